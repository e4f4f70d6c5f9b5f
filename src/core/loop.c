/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Event loops: a GMainContext with one GSource of ours for timers, queued calls and pollers.
 *
 * machine_lock is held whenever a callback of the main loop runs, and released around the poll:
 * that is the context's poll function, so it holds for whoever iterates the context.
 *
 *     lock --> prepare, query --> [unlock, poll, lock] --> check, dispatch --> prepare ...
 */
#include <glib-unix.h>

#include "core/lock.h"
#include "loop-internal.h"

typedef struct LoopSource {
    GSource source;
    EventLoop *loop;
} LoopSource;

typedef struct LoopCall {
    void (*cb)(void *opaque);
    void *opaque;
} LoopCall;

typedef struct LoopWatch {
    bool (*cb)(int fd, GIOCondition events, void *opaque);
    void *opaque;
} LoopWatch;

static __thread EventLoop *current_loop;

bool event_loop_has_calls(EventLoop *loop)
{
    bool queued;

    pthread_mutex_lock(&loop->lock);
    queued = !g_queue_is_empty(&loop->calls);
    pthread_mutex_unlock(&loop->lock);
    return queued;
}

static bool timer_fired(GSource *source, EventLoop *loop)
{
    for (unsigned i = 0; i < HOST_TIMER_COUNT; i++) {
        if (g_source_query_unix_fd(source, loop->host_timers[i].tag) & G_IO_IN)
            return true;
    }
    return false;
}

static gboolean loop_source_prepare(GSource *source, gint *timeout_ms)
{
    *timeout_ms = -1;
    return event_loop_has_calls(((LoopSource *)source)->loop);
}

static gboolean loop_source_check(GSource *source)
{
    EventLoop *loop = ((LoopSource *)source)->loop;

    return loop->pollers_ready || timer_fired(source, loop) || event_loop_has_calls(loop);
}

static gboolean loop_source_dispatch(GSource *source, GSourceFunc callback, gpointer user_data)
{
    EventLoop *loop = ((LoopSource *)source)->loop;

    if (loop->pollers_ready)
        event_loop_run_pollers(loop);
    if (timer_fired(source, loop))
        event_loop_run_timers(loop);
    event_loop_run_calls(loop);
    return G_SOURCE_CONTINUE;
}

/* All loops, because the virtual clock is one for all of them. */
static struct {
    pthread_mutex_t lock; /* before a loop's lock */
    EventLoop *first;
} loops = {.lock = PTHREAD_MUTEX_INITIALIZER};

static void loops_add(EventLoop *loop)
{
    pthread_mutex_lock(&loops.lock);
    loop->next = loops.first;
    loops.first = loop;
    pthread_mutex_unlock(&loops.lock);
}

static void loops_remove(EventLoop *loop)
{
    EventLoop **link = &loops.first;

    pthread_mutex_lock(&loops.lock);
    while (*link != loop)
        link = &(*link)->next;
    *link = loop->next;
    pthread_mutex_unlock(&loops.lock);
}

void event_loop_rearm_all(void)
{
    pthread_mutex_lock(&loops.lock);
    for (EventLoop *loop = loops.first; loop; loop = loop->next)
        event_loop_rearm_timers(loop);
    pthread_mutex_unlock(&loops.lock);
}

static EventLoop *loop_new(GMainContext *context, GPollFunc poll)
{
    static GSourceFuncs funcs = {
        .prepare = loop_source_prepare,
        .check = loop_source_check,
        .dispatch = loop_source_dispatch,
    };
    EventLoop *loop = g_new0(EventLoop, 1);

    loop->context = context;
    g_main_context_set_poll_func(context, poll);
    pthread_mutex_init(&loop->lock, NULL);
    g_queue_init(&loop->calls);
    loop->source = g_source_new(&funcs, sizeof(LoopSource));
    ((LoopSource *)loop->source)->loop = loop;
    g_source_set_name(loop->source, "vmm timers and calls");
    g_source_set_can_recurse(loop->source, TRUE);
    event_loop_init_timers(loop);
    g_source_attach(loop->source, context);
    loops_add(loop);
    return loop;
}

EventLoop *event_loop_new(void)
{
    return loop_new(g_main_context_new(), event_loop_poll_own);
}

void event_loop_free(EventLoop *loop)
{
    event_loop_free_data(loop);
    loops_remove(loop);
    g_source_destroy(loop->source);
    g_source_unref(loop->source);
    event_loop_release_timers(loop);
    g_queue_clear_full(&loop->calls, g_free);
    g_main_context_unref(loop->context);
    pthread_mutex_destroy(&loop->lock);
    g_free(loop);
}

EventLoop *event_loop_main(void)
{
    static EventLoop *main_loop; /* made by core_init, before any other thread */

    if (G_UNLIKELY(!main_loop)) {
        main_loop = loop_new(g_main_context_ref(g_main_context_default()), event_loop_poll_main);
        current_loop = main_loop;
    }
    return main_loop;
}

EventLoop *event_loop_current(void)
{
    return current_loop;
}

GMainContext *event_loop_context(EventLoop *loop)
{
    return loop->context;
}

void event_loop_run(EventLoop *loop)
{
    bool is_main = loop == event_loop_main();
    EventLoop *before = current_loop;

    current_loop = loop;
    if (is_main)
        machine_lock();
    else
        g_main_context_push_thread_default(loop->context);
    while (!__atomic_exchange_n(&loop->quit, 0, __ATOMIC_ACQ_REL))
        g_main_context_iteration(loop->context, TRUE);
    if (is_main)
        machine_unlock();
    else
        g_main_context_pop_thread_default(loop->context);
    current_loop = before;
}

void event_loop_quit(EventLoop *loop)
{
    __atomic_store_n(&loop->quit, 1, __ATOMIC_RELEASE);
    event_loop_notify(loop);
}

void event_loop_notify(EventLoop *loop)
{
    g_main_context_wakeup(loop->context);
}

void event_loop_call(EventLoop *loop, void (*cb)(void *opaque), void *opaque)
{
    LoopCall *call = g_new(LoopCall, 1);
    bool first;

    *call = (LoopCall){ cb, opaque };
    pthread_mutex_lock(&loop->lock);
    first = g_queue_is_empty(&loop->calls);
    g_queue_push_tail(&loop->calls, call);
    pthread_mutex_unlock(&loop->lock);
    /* Later calls are covered by the first one's wake-up; on the loop's own thread prepare looks. */
    if (first && current_loop != loop)
        event_loop_notify(loop);
}

void event_loop_run_calls(EventLoop *loop)
{
    guint budget;
    LoopCall *call;

    pthread_mutex_lock(&loop->lock);
    budget = g_queue_get_length(&loop->calls);
    while (budget-- && (call = g_queue_pop_head(&loop->calls))) {
        pthread_mutex_unlock(&loop->lock);
        call->cb(call->opaque);
        g_free(call);
        pthread_mutex_lock(&loop->lock);
    }
    pthread_mutex_unlock(&loop->lock);
}

static gboolean watch_ready(gint fd, GIOCondition events, gpointer opaque)
{
    LoopWatch *watch = opaque;

    return watch->cb(fd, events, watch->opaque);
}

guint event_loop_watch(EventLoop *loop, int fd, GIOCondition events,
                       bool (*cb)(int fd, GIOCondition events, void *opaque), void *opaque)
{
    GSource *source = g_unix_fd_source_new(fd, events);
    LoopWatch *watch = g_new(LoopWatch, 1);
    guint id;

    *watch = (LoopWatch){ cb, opaque };
    g_source_set_callback(source, G_SOURCE_FUNC(watch_ready), watch, g_free);
    /* Nobody iterates the loop within a callback. Otherwise GLib would take the descriptor out of the poll around each call,
     * and wake the loop up for that, twice. */
    g_source_set_can_recurse(source, TRUE);
    id = g_source_attach(source, loop->context);
    g_source_unref(source);
    return id;
}

void event_loop_unwatch(EventLoop *loop, guint id)
{
    GSource *source = g_main_context_find_source_by_id(loop->context, id);

    if (source)
        g_source_destroy(source);
}
