/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * How a loop waits.
 *
 * The main loop lets go of machine_lock and sleeps. Others may poll first: a sleep costs two context
 * switches, tens of microseconds on a busy queue. How long polling pays is learnt:
 *
 *     waited <= poll_ns             nothing to learn: polling caught it, or would have
 *     poll_ns < waited <= max_ns    a longer poll would have caught it: grow, up to max_ns
 *     waited > max_ns               no poll would have: shrink
 */
#include "core/lock.h"
#include "loop-internal.h"

#define POLL_START_NS 4000
#define POLL_GROW 2

gint event_loop_poll_main(GPollFD *fds, guint count, gint timeout_ms)
{
    unsigned depth = machine_lock_release();
    gint ready = g_poll(fds, count, timeout_ms);

    machine_lock_restore(depth);
    return ready;
}

void event_loop_set_polling(EventLoop *loop, LoopPolling polling)
{
    loop->polling = polling;
}

void event_loop_add_poller(EventLoop *loop, LoopPoller *poller)
{
    poller->next = loop->pollers;
    loop->pollers = poller;
}

void event_loop_remove_poller(EventLoop *loop, LoopPoller *poller)
{
    LoopPoller **link = &loop->pollers;

    while (*link && *link != poller)
        link = &(*link)->next;
    if (*link)
        *link = poller->next;
}

static bool poller_has_work(const EventLoop *loop)
{
    for (const LoopPoller *poller = loop->pollers; poller; poller = poller->next) {
        if (poller->has_work(poller->opaque))
            return true;
    }
    return false;
}

/* A poller may remove itself, and only itself, when it is ready. */
void event_loop_run_pollers(EventLoop *loop)
{
    loop->pollers_ready = false;
    for (LoopPoller *poller = loop->pollers, *next; poller; poller = next) {
        next = poller->next;
        if (poller->has_work(poller->opaque))
            poller->ready(poller->opaque);
    }
}

static gint poll_busily(EventLoop *loop, GPollFD *fds, guint count, int64_t until_ns)
{
    gint ready;

    do {
        loop->pollers_ready = poller_has_work(loop);
        ready = g_poll(fds, count, 0);
    } while (!ready && !loop->pollers_ready && clock_get_ns(VMCLOCK_MONO) < until_ns);
    return ready;
}

static void learn(EventLoop *loop, int64_t waited_ns)
{
    const LoopPolling *polling = &loop->polling;

    if (waited_ns <= loop->poll_ns)
        return;
    if (waited_ns > polling->max_ns)
        loop->poll_ns = polling->shrink ? loop->poll_ns / polling->shrink : 0;
    else if (loop->poll_ns == 0)
        loop->poll_ns = MIN(POLL_START_NS, polling->max_ns);
    else
        loop->poll_ns = MIN(loop->poll_ns * (polling->grow ? polling->grow : POLL_GROW), polling->max_ns);
}

gint event_loop_poll_own(GPollFD *fds, guint count, gint timeout_ms)
{
    EventLoop *loop = event_loop_current();
    int64_t start_ns;
    gint ready = 0;

    if (!loop || !loop->polling.max_ns || timeout_ms == 0)
        return g_poll(fds, count, timeout_ms);
    start_ns = clock_get_ns(VMCLOCK_MONO);
    if (loop->poll_ns)
        ready = poll_busily(loop, fds, count, start_ns + loop->poll_ns);
    if (!ready && !loop->pollers_ready)
        ready = g_poll(fds, count, timeout_ms);
    learn(loop, clock_get_ns(VMCLOCK_MONO) - start_ns);
    return ready;
}
