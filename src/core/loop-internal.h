/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Between the files that make up core/loop.h: loop.c (GLib side), timer.c (heaps and timerfds),
 * clock.c (what time it is).
 */
#ifndef CORE_LOOP_INTERNAL_H
#define CORE_LOOP_INTERNAL_H

#include <pthread.h>

#include "core/loop.h"

#define DEADLINE_NEVER INT64_MAX

/* A binary heap, earliest deadline first; a timer knows its slot. */
typedef struct TimerHeap {
    Timer **slots;
    uint32_t count, capacity;
} TimerHeap;

/* A timerfd: will fire at armed_ns on its host clock, or earlier for nothing. */
typedef struct HostTimer {
    int fd;
    gpointer tag; /* of the loop's GSource */
    int64_t armed_ns; /* DEADLINE_NEVER: disarmed */
} HostTimer;

enum {
    HOST_TIMER_MONO,     /* CLOCK_MONOTONIC: VMCLOCK_MONO and VMCLOCK_VIRTUAL */
    HOST_TIMER_REALTIME, /* CLOCK_REALTIME: VMCLOCK_HOST; follows changes of the wall clock */
    HOST_TIMER_COUNT,
};

struct EventLoop {
    GMainContext *context;
    GSource *source;
    int quit; /* atomic */

    pthread_mutex_t lock; /* a leaf; guards what follows */
    TimerHeap heaps[VMCLOCK_COUNT];
    HostTimer host_timers[HOST_TIMER_COUNT];
    GQueue calls; /* of LoopCall */
};

/* timer.c: the loop's side. */
void event_loop_init_timers(EventLoop *loop);
/* Runs the timers that are due, then arms the timerfds for the next. Loop's thread. */
void event_loop_run_timers(EventLoop *loop);
/* The virtual clock started, stopped or became stepped. */
void event_loop_rearm_timers(EventLoop *loop);
/* Takes the earliest timer with a deadline of at most limit_ns out of its heap and reports its
 * deadline and callback; false if there is none. */
bool event_loop_pop_timer(EventLoop *loop, VmClock clock, int64_t limit_ns, Timer *taken);

/* clock.c: the host time at which a clock shows deadline_ns: on CLOCK_REALTIME for VMCLOCK_HOST, else
 * on CLOCK_MONOTONIC. DEADLINE_NEVER if the clock stands before it. */
int64_t clock_host_deadline_ns(VmClock clock, int64_t deadline_ns);

#endif
