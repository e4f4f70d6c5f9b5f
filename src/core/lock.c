/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * machine_lock, as two mutexes.
 *
 * The main loop holds the lock while it dispatches and lets go of it only around poll(). With one
 * plain mutex it would, when busy, take the lock again before a vCPU thread that was just woken
 * for it gets going, and starve that vCPU. Hence the turnstile: a thread takes it, then the lock,
 * then lets the turnstile go. Whoever waits for the lock stands in the turnstile, so a thread that
 * comes back for the lock queues behind it and gets it second.
 *
 *     holder:  lock ................. unlock   turnstile (waits for the waiter) lock ...
 *     waiter:      turnstile, lock (waits) --> has it, leaves the turnstile
 *
 * Critical sections are short (a register access), so waiters spin a little before they sleep.
 */
#include "core/lock.h"

#include <glib.h>
#include <pthread.h>

static pthread_mutex_t turnstile = PTHREAD_ADAPTIVE_MUTEX_INITIALIZER_NP;
static pthread_mutex_t lock = PTHREAD_ADAPTIVE_MUTEX_INITIALIZER_NP;
static __thread unsigned lock_depth;

static void lock_take(void)
{
    pthread_mutex_lock(&turnstile);
    pthread_mutex_lock(&lock);
    pthread_mutex_unlock(&turnstile);
}

void machine_lock(void)
{
    if (lock_depth++ == 0)
        lock_take();
}

void machine_unlock(void)
{
    g_assert(lock_depth > 0);
    if (--lock_depth == 0)
        pthread_mutex_unlock(&lock);
}

bool machine_lock_held(void)
{
    return lock_depth > 0;
}

unsigned machine_lock_release(void)
{
    unsigned depth = lock_depth;

    if (depth) {
        lock_depth = 0;
        pthread_mutex_unlock(&lock);
    }
    return depth;
}

void machine_lock_restore(unsigned depth)
{
    g_assert(lock_depth == 0);
    if (depth) {
        lock_take();
        lock_depth = depth;
    }
}
