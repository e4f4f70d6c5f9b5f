/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A pool of threads for what blocks (fsync, open on a slow file system, decompression).
 *
 * Threads are made when work comes and none is idle, and leave after some idle seconds.
 */
#ifndef CORE_WORKER_H
#define CORE_WORKER_H

#include "core/loop.h"

/* Runs work(opaque) on a pool thread, then done(opaque) on loop. done may be NULL. Any thread. */
void worker_submit(void (*work)(void *opaque), EventLoop *loop, void (*done)(void *opaque), void *opaque);
/* Waits until no submitted work is left, running the completions (and other queued calls) of the
 * calling thread's loop. machine_lock is released while waiting. */
void worker_drain(void);

#endif
