/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The worker pool.
 *
 * Locking: pool.lock guards everything; only a loop's lock is taken inside it, and it is not held
 * while work or a completion runs.
 */
#include "core/worker.h"

#include <errno.h>
#include <time.h>

#include "core/lock.h"
#include "core/log.h"
#include "core/thread.h"

#define WORKER_MAX_THREADS 64
#define WORKER_IDLE_SEC 10

typedef struct WorkItem WorkItem;
struct WorkItem {
    void (*work)(void *opaque);
    void (*done)(void *opaque);
    void *opaque;
    EventLoop *loop;
    WorkItem *next;
};

/* The process's, like the threads themselves. */
static struct {
    pthread_mutex_t lock;
    pthread_cond_t queued;   /* for idle workers */
    pthread_cond_t progress; /* for worker_drain: some item's work or completion ended */
    WorkItem *first, **last; /* queued */
    unsigned queued_count;
    unsigned threads, idle;
    unsigned outstanding;    /* submitted, completion not yet run */
} pool = {
    .lock = PTHREAD_MUTEX_INITIALIZER,
    .queued = PTHREAD_COND_INITIALIZER,
    .progress = PTHREAD_COND_INITIALIZER,
    .last = &pool.first,
};

static WorkItem *pop_locked(void)
{
    WorkItem *item = pool.first;

    if (!item)
        return NULL;
    pool.first = item->next;
    if (!pool.first)
        pool.last = &pool.first;
    pool.queued_count--;
    return item;
}

static void push_locked(WorkItem *item)
{
    *pool.last = item;
    pool.last = &item->next;
    pool.queued_count++;
}

static void item_finish(WorkItem *item)
{
    g_free(item);
    pthread_mutex_lock(&pool.lock);
    pool.outstanding--;
    pthread_cond_broadcast(&pool.progress);
    pthread_mutex_unlock(&pool.lock);
}

static void item_done(void *opaque)
{
    WorkItem *item = opaque;

    item->done(item->opaque);
    item_finish(item);
}

static void item_run(WorkItem *item)
{
    item->work(item->opaque);
    if (!item->done) {
        item_finish(item);
        return;
    }
    event_loop_call(item->loop, item_done, item);
    pthread_mutex_lock(&pool.lock);
    pthread_cond_broadcast(&pool.progress);
    pthread_mutex_unlock(&pool.lock);
}

static WorkItem *worker_wait_locked(void)
{
    struct timespec until;
    WorkItem *item;
    int err = 0;

    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += WORKER_IDLE_SEC;
    pool.idle++;
    while (!(item = pop_locked()) && err != ETIMEDOUT)
        err = pthread_cond_timedwait(&pool.queued, &pool.lock, &until);
    pool.idle--;
    return item;
}

/* NULL: nothing came for long enough, and the thread has been taken off the pool's count. */
static WorkItem *worker_next(void)
{
    WorkItem *item;

    pthread_mutex_lock(&pool.lock);
    item = pop_locked();
    if (!item)
        item = worker_wait_locked();
    if (!item)
        pool.threads--;
    pthread_mutex_unlock(&pool.lock);
    return item;
}

static void *worker_main(void *opaque)
{
    WorkItem *item;

    while ((item = worker_next()))
        item_run(item);
    return NULL;
}

/* An idle worker counts for one queued item: one more is made when there are more items than those. */
static bool worker_wanted_locked(void)
{
    return pool.queued_count > pool.idle && pool.threads < WORKER_MAX_THREADS;
}

static void worker_spawn(void)
{
    g_autoptr(GError) err = NULL;
    WorkItem *item = NULL;
    pthread_t thread;

    if (thread_create(&thread, "worker", worker_main, NULL, &err)) {
        pthread_detach(thread);
        return;
    }
    /* The host has no thread for us. If there is no other worker either, the caller works. */
    log_warn("%s", err->message);
    pthread_mutex_lock(&pool.lock);
    if (--pool.threads == 0)
        item = pop_locked();
    pthread_mutex_unlock(&pool.lock);
    if (item)
        item_run(item);
}

void worker_submit(void (*work)(void *opaque), EventLoop *loop, void (*done)(void *opaque), void *opaque)
{
    WorkItem *item = g_new(WorkItem, 1);
    bool spawn;

    *item = (WorkItem){ .work = work, .done = done, .opaque = opaque, .loop = loop };
    pthread_mutex_lock(&pool.lock);
    push_locked(item);
    pool.outstanding++;
    spawn = worker_wanted_locked();
    if (spawn)
        pool.threads++;
    pthread_mutex_unlock(&pool.lock);
    pthread_cond_signal(&pool.queued); /* without the lock, for which who wakes up would have to wait again */
    if (spawn)
        worker_spawn();
}

void worker_drain(void)
{
    EventLoop *loop = event_loop_current();
    unsigned left;

    do {
        if (loop)
            event_loop_run_calls(loop);
        unsigned depth = machine_lock_release();
        pthread_mutex_lock(&pool.lock);
        /* No completion is missed: item_run queues it first and signals under the lock after. */
        while (pool.outstanding && !(loop && event_loop_has_calls(loop)))
            pthread_cond_wait(&pool.progress, &pool.lock);
        left = pool.outstanding;
        pthread_mutex_unlock(&pool.lock);
        machine_lock_restore(depth);
    } while (left);
}
