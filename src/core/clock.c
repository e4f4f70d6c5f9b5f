/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What time it is on the clocks of core/loop.h.
 *
 * The virtual clock has two modes: it runs (CLOCK_MONOTONIC less offset_ns) or it stands at
 * stand_ns. Stepped, it always stands, and clock_step_to moves stand_ns. It is read on every PM
 * timer and LAPIC access from any thread, so readers take no lock: a sequence count tells them that
 * they saw two halves of a change (start and stop come from the main thread only).
 */
#include <time.h>

#include "core/lock.h"
#include "loop-internal.h"

/* Timers of one step that fall due at the same instant: more means that one re-arms itself in place. */
#define STEP_BURST 4096

static struct {
    uint32_t seq; /* odd: being changed */
    bool running;
    bool stepped;
    int64_t offset_ns;
    int64_t stand_ns;
} virtual_clock;

typedef struct VirtualNow {
    bool running, stepped;
    int64_t offset_ns, stand_ns;
} VirtualNow;

static int64_t host_clock_ns(clockid_t id)
{
    struct timespec ts;

    clock_gettime(id, &ts);
    return ts.tv_sec * NS_PER_SEC + ts.tv_nsec;
}

/* The loads are acquire loads so that the last look at seq cannot move before them. */
static VirtualNow virtual_read(void)
{
    VirtualNow now;
    uint32_t seq;

    do {
        seq = __atomic_load_n(&virtual_clock.seq, __ATOMIC_ACQUIRE);
        now.running = __atomic_load_n(&virtual_clock.running, __ATOMIC_ACQUIRE);
        now.stepped = __atomic_load_n(&virtual_clock.stepped, __ATOMIC_ACQUIRE);
        now.offset_ns = __atomic_load_n(&virtual_clock.offset_ns, __ATOMIC_ACQUIRE);
        now.stand_ns = __atomic_load_n(&virtual_clock.stand_ns, __ATOMIC_ACQUIRE);
    } while ((seq & 1) || __atomic_load_n(&virtual_clock.seq, __ATOMIC_RELAXED) != seq);
    return now;
}

static void virtual_write(VirtualNow now)
{
    uint32_t seq = virtual_clock.seq;

    __atomic_exchange_n(&virtual_clock.seq, seq + 1, __ATOMIC_ACQ_REL);
    __atomic_store_n(&virtual_clock.running, now.running, __ATOMIC_RELEASE);
    __atomic_store_n(&virtual_clock.stepped, now.stepped, __ATOMIC_RELEASE);
    __atomic_store_n(&virtual_clock.offset_ns, now.offset_ns, __ATOMIC_RELEASE);
    __atomic_store_n(&virtual_clock.stand_ns, now.stand_ns, __ATOMIC_RELEASE);
    __atomic_store_n(&virtual_clock.seq, seq + 2, __ATOMIC_RELEASE);
}

int64_t clock_get_ns(VmClock clock)
{
    VirtualNow now;

    switch (clock) {
    case VMCLOCK_VIRTUAL:
        now = virtual_read();
        return now.running ? host_clock_ns(CLOCK_MONOTONIC) - now.offset_ns : now.stand_ns;
    case VMCLOCK_HOST:
        return host_clock_ns(CLOCK_REALTIME);
    default:
        return host_clock_ns(CLOCK_MONOTONIC);
    }
}

int64_t clock_host_deadline_ns(VmClock clock, int64_t deadline_ns)
{
    VirtualNow now;
    int64_t host_ns;

    if (clock != VMCLOCK_VIRTUAL)
        return deadline_ns;
    now = virtual_read();
    if (now.stepped)
        return deadline_ns <= now.stand_ns ? 0 : DEADLINE_NEVER;
    if (!now.running || __builtin_add_overflow(deadline_ns, now.offset_ns, &host_ns))
        return DEADLINE_NEVER;
    return host_ns;
}

void clock_set_running(bool running)
{
    VirtualNow now = virtual_read();

    if (now.stepped || now.running == running)
        return;
    if (running)
        now.offset_ns = host_clock_ns(CLOCK_MONOTONIC) - now.stand_ns;
    else
        now.stand_ns = host_clock_ns(CLOCK_MONOTONIC) - now.offset_ns;
    now.running = running;
    virtual_write(now);
    event_loop_rearm_all();
}

void clock_set_stepped(void)
{
    VirtualNow now = virtual_read();

    now.stand_ns = clock_get_ns(VMCLOCK_VIRTUAL);
    now.running = false;
    now.stepped = true;
    virtual_write(now);
    event_loop_rearm_all();
}

static void step_stand_to(int64_t ns)
{
    VirtualNow now = virtual_read();

    if (ns > now.stand_ns) {
        now.stand_ns = ns;
        virtual_write(now);
    }
}

void clock_step_to(int64_t now_ns)
{
    EventLoop *loop = event_loop_main();
    int64_t instant_ns = -1;
    unsigned burst = 0;
    Timer taken;

    g_assert(virtual_read().stepped);
    machine_lock();
    while (event_loop_pop_timer(loop, VMCLOCK_VIRTUAL, now_ns, &taken)) {
        step_stand_to(taken.deadline_ns);
        taken.cb(taken.opaque);
        burst = clock_get_ns(VMCLOCK_VIRTUAL) == instant_ns ? burst + 1 : 0;
        if (burst == STEP_BURST)
            break; /* the loop runs the rest, in turn with everything else */
        instant_ns = clock_get_ns(VMCLOCK_VIRTUAL);
    }
    step_stand_to(now_ns);
    event_loop_rearm_all();
    machine_unlock();
}
