/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Timers: one heap per clock and loop, and a timerfd per host clock that wakes the loop.
 *
 * Arming is lazy: a timerfd is set only when a deadline earlier than the armed one appears, by the
 * thread that called timer_mod, so a vCPU that arms its LAPIC timer need not wake the loop to make
 * it listen. A deadline that moves back leaves the timerfd as it was; it then fires for nothing
 * once, and is armed anew.
 *
 * Locking: loop->lock, a leaf, never held while a callback runs. That a callback cannot run after
 * timer_del follows from the thread (or machine_lock) its caller must have: between the moment
 * event_loop_run_timers takes a timer from the heap and its callback nobody else can hold it.
 */
#include <errno.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "loop-internal.h"

static bool earlier(const Timer *a, const Timer *b)
{
    return a->deadline_ns < b->deadline_ns;
}

static void heap_place(TimerHeap *heap, uint32_t i, Timer *timer)
{
    heap->slots[i] = timer;
    timer->heap_index = i;
}

static void heap_sift_up(TimerHeap *heap, uint32_t i, Timer *timer)
{
    while (i > 0 && earlier(timer, heap->slots[(i - 1) / 2])) {
        heap_place(heap, i, heap->slots[(i - 1) / 2]);
        i = (i - 1) / 2;
    }
    heap_place(heap, i, timer);
}

static void heap_sift_down(TimerHeap *heap, uint32_t i, Timer *timer)
{
    for (;;) {
        uint32_t child = 2 * i + 1;
        if (child >= heap->count)
            break;
        if (child + 1 < heap->count && earlier(heap->slots[child + 1], heap->slots[child]))
            child++;
        if (!earlier(heap->slots[child], timer))
            break;
        heap_place(heap, i, heap->slots[child]);
        i = child;
    }
    heap_place(heap, i, timer);
}

static void heap_insert(TimerHeap *heap, Timer *timer)
{
    if (heap->count == heap->capacity) {
        heap->capacity = MAX(16, heap->capacity * 2);
        heap->slots = g_renew(Timer *, heap->slots, heap->capacity);
    }
    heap->count++;
    heap_sift_up(heap, heap->count - 1, timer);
}

/* The last timer fills the hole; it may belong above it or below. */
static void heap_remove(TimerHeap *heap, Timer *timer)
{
    uint32_t hole = timer->heap_index;
    Timer *last = heap->slots[--heap->count];

    if (last == timer)
        return;
    if (hole > 0 && earlier(last, heap->slots[(hole - 1) / 2]))
        heap_sift_up(heap, hole, last);
    else
        heap_sift_down(heap, hole, last);
}

static unsigned host_timer_of(VmClock clock)
{
    return clock == VMCLOCK_HOST ? HOST_TIMER_REALTIME : HOST_TIMER_MONO;
}

static void host_timer_set(HostTimer *host, int64_t deadline_ns)
{
    int64_t ns = deadline_ns == DEADLINE_NEVER ? 0 : MAX(deadline_ns, 1); /* 0 disarms */
    struct itimerspec its = { .it_value = { ns / NS_PER_SEC, ns % NS_PER_SEC } };
    int rc = timerfd_settime(host->fd, TFD_TIMER_ABSTIME, &its, NULL);

    g_assert(rc == 0);
    host->armed_ns = deadline_ns;
}

static int64_t heap_host_deadline_ns(const EventLoop *loop, VmClock clock)
{
    const TimerHeap *heap = &loop->heaps[clock];

    return heap->count ? clock_host_deadline_ns(clock, heap->slots[0]->deadline_ns) : DEADLINE_NEVER;
}

/* Sets both timerfds to the earliest deadline of their clocks; also makes a fired one unreadable. */
static void rearm_locked(EventLoop *loop)
{
    int64_t next[HOST_TIMER_COUNT] = { DEADLINE_NEVER, DEADLINE_NEVER };

    for (VmClock clock = 0; clock < VMCLOCK_COUNT; clock++) {
        int64_t deadline_ns = heap_host_deadline_ns(loop, clock);
        next[host_timer_of(clock)] = MIN(next[host_timer_of(clock)], deadline_ns);
    }
    for (unsigned i = 0; i < HOST_TIMER_COUNT; i++) {
        if (next[i] != DEADLINE_NEVER || loop->host_timers[i].armed_ns != DEADLINE_NEVER)
            host_timer_set(&loop->host_timers[i], next[i]);
    }
}

void event_loop_rearm_timers(EventLoop *loop)
{
    pthread_mutex_lock(&loop->lock);
    rearm_locked(loop);
    pthread_mutex_unlock(&loop->lock);
}

void event_loop_init_timers(EventLoop *loop)
{
    static const clockid_t ids[HOST_TIMER_COUNT] = { CLOCK_MONOTONIC, CLOCK_REALTIME };

    for (unsigned i = 0; i < HOST_TIMER_COUNT; i++) {
        HostTimer *host = &loop->host_timers[i];
        host->fd = timerfd_create(ids[i], TFD_CLOEXEC | TFD_NONBLOCK);
        if (host->fd < 0)
            g_error("timerfd_create: %s", g_strerror(errno));
        host->armed_ns = DEADLINE_NEVER;
        host->tag = g_source_add_unix_fd(loop->source, host->fd, G_IO_IN);
    }
}

void event_loop_release_timers(EventLoop *loop)
{
    for (unsigned i = 0; i < HOST_TIMER_COUNT; i++)
        close(loop->host_timers[i].fd);
    for (VmClock clock = 0; clock < VMCLOCK_COUNT; clock++) {
        g_assert(loop->heaps[clock].count == 0);
        g_free(loop->heaps[clock].slots);
    }
}

bool event_loop_pop_timer(EventLoop *loop, VmClock clock, int64_t limit_ns, Timer *taken)
{
    TimerHeap *heap = &loop->heaps[clock];
    bool found;

    pthread_mutex_lock(&loop->lock);
    found = heap->count && heap->slots[0]->deadline_ns <= limit_ns;
    if (found) {
        Timer *timer = heap->slots[0];
        *taken = *timer;
        heap_remove(heap, timer);
        timer->deadline_ns = -1;
    }
    pthread_mutex_unlock(&loop->lock);
    return found;
}

/* At most as many callbacks as there are timers: one that re-arms itself in the past waits for the
 * loop's next turn, so it cannot shut out everything else. */
static void run_due(EventLoop *loop, VmClock clock)
{
    int64_t now_ns = clock_get_ns(clock);
    uint32_t budget;
    Timer taken;

    pthread_mutex_lock(&loop->lock);
    budget = loop->heaps[clock].count;
    pthread_mutex_unlock(&loop->lock);
    /* A callback may stop the virtual clock; then the rest stays for the next start. */
    while (budget-- && clock_host_deadline_ns(clock, now_ns) != DEADLINE_NEVER
           && event_loop_pop_timer(loop, clock, now_ns, &taken))
        taken.cb(taken.opaque);
}

void event_loop_run_timers(EventLoop *loop)
{
    for (VmClock clock = 0; clock < VMCLOCK_COUNT; clock++)
        run_due(loop, clock);
    event_loop_rearm_timers(loop);
}

void timer_init(Timer *timer, EventLoop *loop, VmClock clock, void (*cb)(void *opaque), void *opaque)
{
    *timer = (Timer){ .loop = loop, .clock = clock, .cb = cb, .opaque = opaque, .deadline_ns = -1 };
}

void timer_release(Timer *timer)
{
    timer_del(timer);
    timer->cb = NULL;
}

void timer_mod(Timer *timer, int64_t deadline_ns)
{
    EventLoop *loop = timer->loop;
    HostTimer *host = &loop->host_timers[host_timer_of(timer->clock)];
    int64_t host_ns;

    g_assert(timer->cb);
    pthread_mutex_lock(&loop->lock);
    if (timer->deadline_ns >= 0)
        heap_remove(&loop->heaps[timer->clock], timer);
    timer->deadline_ns = MAX(deadline_ns, 0);
    heap_insert(&loop->heaps[timer->clock], timer);
    host_ns = heap_host_deadline_ns(loop, timer->clock);
    if (host_ns < host->armed_ns)
        host_timer_set(host, host_ns);
    pthread_mutex_unlock(&loop->lock);
}

void timer_del(Timer *timer)
{
    EventLoop *loop = timer->loop;

    if (!loop)
        return; /* never initialised: a device that failed to realize */
    pthread_mutex_lock(&loop->lock);
    if (timer->deadline_ns >= 0) {
        heap_remove(&loop->heaps[timer->clock], timer);
        timer->deadline_ns = -1;
    }
    pthread_mutex_unlock(&loop->lock);
}

bool timer_pending(const Timer *timer)
{
    EventLoop *loop = timer->loop;
    bool pending;

    pthread_mutex_lock(&loop->lock);
    pending = timer->deadline_ns >= 0;
    pthread_mutex_unlock(&loop->lock);
    return pending;
}

int64_t clock_next_deadline_ns(void)
{
    EventLoop *loop = event_loop_main();
    const TimerHeap *heap = &loop->heaps[VMCLOCK_VIRTUAL];
    int64_t deadline_ns;

    pthread_mutex_lock(&loop->lock);
    deadline_ns = heap->count ? heap->slots[0]->deadline_ns : -1;
    pthread_mutex_unlock(&loop->lock);
    return deadline_ns;
}
