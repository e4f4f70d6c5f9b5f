/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Between the files that make up core/loop.h: loop.c (GLib side), timer.c (heaps and timerfds),
 * loop-poll.c (waiting), clock.c (what time it is).
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
    EventLoop *next; /* of all loops, for the virtual clock */

    /* Waiting (loop-poll.c); loop's thread. */
    LoopPolling polling;
    int64_t poll_ns; /* how long it pays at present */
    LoopPoller *pollers;
    bool pollers_ready; /* the last wait ended because one has work */

    struct LoopData *data; /* atomic; loop-data.c */

    pthread_mutex_t lock; /* a leaf; guards what follows */
    TimerHeap heaps[VMCLOCK_COUNT];
    HostTimer host_timers[HOST_TIMER_COUNT];
    GQueue calls; /* of LoopCall */
};

/* timer.c: the loop's side. */
void event_loop_init_timers(EventLoop *loop);
void event_loop_release_timers(EventLoop *loop);
/* Runs the timers that are due, then arms the timerfds for the next. Loop's thread. */
void event_loop_run_timers(EventLoop *loop);
void event_loop_rearm_timers(EventLoop *loop);
/* Of all loops: the virtual clock started, stopped or was stepped. */
void event_loop_rearm_all(void);
/* Takes the earliest timer with a deadline of at most limit_ns out of its heap and reports its
 * deadline and callback; false if there is none. */
bool event_loop_pop_timer(EventLoop *loop, VmClock clock, int64_t limit_ns, Timer *taken);

/* loop-poll.c: the poll functions of the main loop, which lets go of machine_lock, and of others. */
gint event_loop_poll_main(GPollFD *fds, guint count, gint timeout_ms);
gint event_loop_poll_own(GPollFD *fds, guint count, gint timeout_ms);
/* Runs the pollers that have work. */
void event_loop_run_pollers(EventLoop *loop);

/* loop-data.c: when the loop goes away. */
void event_loop_free_data(EventLoop *loop);

/* clock.c: the host time at which a clock shows deadline_ns: on CLOCK_REALTIME for VMCLOCK_HOST, else
 * on CLOCK_MONOTONIC. DEADLINE_NEVER if the clock stands before it. */
int64_t clock_host_deadline_ns(VmClock clock, int64_t deadline_ns);

#endif
