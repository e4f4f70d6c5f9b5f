/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Event loops on GLib, and their timers.
 *
 * Threads: one main loop, and one loop per "-object iothread" (core/iothread.h). A loop's callbacks
 * (timers, file descriptors, bottom halves) run on its thread; those of the main loop run with
 * machine_lock held, so legacy devices need no locking of their own. Those of another loop run
 * without it.
 *
 * Clocks (nanoseconds):
 *   CLOCK_VIRTUAL   CLOCK_MONOTONIC less the time the VM was stopped; 0 at start. Under qtest it
 *                   moves only when the test steps it.
 *   CLOCK_HOST      wall clock (CLOCK_REALTIME).
 *   CLOCK_MONO      CLOCK_MONOTONIC, never stopped; for backends and time-outs.
 *
 * Timer states:
 *                  timer_mod                 deadline reached
 *     IDLE ------------------------> ARMED ------------------> IDLE, then cb runs
 *       ^  <------------------------   |  ^
 *                  timer_del           +--+ timer_mod: deadline replaced
 *
 * timer_mod and timer_del may be called from any thread; after timer_del returns on the loop's own
 * thread (or with machine_lock held, for the main loop) the callback will not run. Virtual timers
 * do not run while the virtual clock stands.
 */
#ifndef CORE_LOOP_H
#define CORE_LOOP_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

#define NS_PER_SEC 1000000000ll
#define NS_PER_MS 1000000ll
#define NS_PER_US 1000ll

typedef enum VmClock {
    VMCLOCK_VIRTUAL,
    VMCLOCK_HOST,
    VMCLOCK_MONO,
    VMCLOCK_COUNT,
} VmClock;

int64_t clock_get_ns(VmClock clock);
/* The virtual clock runs or stands; called by run-state changes only. Initially stands. */
void clock_set_running(bool running);
/* qtest: the virtual clock is no longer driven by the host, nor stopped with the VM. clock_step_to
 * moves it to now_ns (never back), running the main loop's timers that fall due in order, each at
 * its own deadline. Main thread. */
void clock_set_stepped(void);
void clock_step_to(int64_t now_ns);
/* Earliest armed virtual-clock deadline on the main loop, or -1. */
int64_t clock_next_deadline_ns(void);

typedef struct EventLoop EventLoop;
typedef struct Timer Timer;

/* The main thread's loop, on GLib's default context; exists from core_init() on. */
EventLoop *event_loop_main(void);
/* The calling thread's own loop; NULL on threads without one (vCPUs, workers). */
EventLoop *event_loop_current(void);
GMainContext *event_loop_context(EventLoop *loop);
/* Runs until event_loop_quit(), on the calling thread, whose loop it is meanwhile. */
void event_loop_run(EventLoop *loop);
void event_loop_quit(EventLoop *loop);
/* Wakes the loop's poll. Any thread. */
void event_loop_notify(EventLoop *loop);

/* A loop for a thread of its own. Free it when it does not run and nobody uses it: no timer on it
 * is armed, no watch and no poller is left; queued calls are dropped. */
EventLoop *event_loop_new(void);
void event_loop_free(EventLoop *loop);

/*
 * Polling before the sleep, for loops other than the main one. The time grows from 4 us by the
 * factor grow (0: 2) while what ends the sleeps would have come within max_ns, and shrinks by shrink
 * (0: to nothing) when they last longer.
 */
typedef struct LoopPolling {
    int64_t max_ns; /* 0: never */
    unsigned grow, shrink;
} LoopPolling;

/* Before the loop runs. */
void event_loop_set_polling(EventLoop *loop, LoopPolling polling);

/* Looks at memory (a virtqueue's index) while the loop polls. has_work only looks; if it is true,
 * ready runs as a callback of the loop. Embedded; loop's thread. */
typedef struct LoopPoller LoopPoller;
struct LoopPoller {
    bool (*has_work)(void *opaque);
    void (*ready)(void *opaque);
    void *opaque;
    LoopPoller *next;
};

void event_loop_add_poller(EventLoop *loop, LoopPoller *poller);
void event_loop_remove_poller(EventLoop *loop, LoopPoller *poller);

struct Timer {
    EventLoop *loop;
    VmClock clock;
    void (*cb)(void *opaque);
    void *opaque;
    /* Guarded by the loop's lock. */
    int64_t deadline_ns; /* -1: idle */
    uint32_t heap_index;
};

/* Embedded; the owner keeps it until timer_release. */
void timer_init(Timer *timer, EventLoop *loop, VmClock clock, void (*cb)(void *opaque), void *opaque);
void timer_release(Timer *timer);
/* Absolute deadline on the timer's clock; one in the past fires at the loop's next turn. */
void timer_mod(Timer *timer, int64_t deadline_ns);
void timer_del(Timer *timer);
bool timer_pending(const Timer *timer);

/* fd readiness on a loop. events: G_IO_IN etc. cb returns false to remove the watch. The id is
 * removed with event_loop_unwatch (any thread). */
guint event_loop_watch(EventLoop *loop, int fd, GIOCondition events,
                       bool (*cb)(int fd, GIOCondition events, void *opaque), void *opaque);
void event_loop_unwatch(EventLoop *loop, guint id);
/* Runs cb once on the loop's thread, soon. Any thread. */
void event_loop_call(EventLoop *loop, void (*cb)(void *opaque), void *opaque);
/* Runs what event_loop_call queued so far, nothing else; for a wait on the loop's own thread. */
void event_loop_run_calls(EventLoop *loop);
bool event_loop_has_calls(EventLoop *loop);

/*
 * What another module keeps for each loop it works on (the block layer's completion queue). Made by
 * the first use and freed with the loop. Any thread; make runs once for a loop, under no lock of the loop.
 */
typedef struct LoopDataType {
    void *(*make)(EventLoop *loop);
    void (*free)(void *data);
} LoopDataType;
void *event_loop_data(EventLoop *loop, const LoopDataType *type);

#endif
