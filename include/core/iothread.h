/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * "-object iothread": a thread with an event loop of its own, on which a device's data plane runs
 * without machine_lock.
 *
 * Callbacks of its loop never hold machine_lock and must not take it while the main thread may wait
 * for them (iothread_run_on lets go of the lock, so code called through it may). Device state that such callbacks
 * use is either theirs alone while the device runs, or locked by the device.
 *
 * Before it sleeps the loop polls for a while (poll-max-ns), if that has been paying: descriptors
 * through poll(2) and memory through LoopPoller (core/loop.h).
 */
#ifndef CORE_IOTHREAD_H
#define CORE_IOTHREAD_H

#include <sys/types.h>

#include "core/loop.h"
#include "core/object.h"

typedef struct IoThread IoThread;

extern const ObjectType iothread_type;

/* NULL if no object of this id is an iothread. Who keeps it holds its object (object_hold). */
IoThread *iothread_find(const Machine *machine, const char *id);
Object *iothread_object(IoThread *iothread);
EventLoop *iothread_loop(IoThread *iothread);
pid_t iothread_tid(const IoThread *iothread);
/* Requests an I/O engine hands to the host at once; 0: the engine's own limit. */
unsigned iothread_aio_max_batch(const IoThread *iothread);

/* Runs fn(opaque) on the loop's thread and waits for it; at once if that is the calling thread.
 * machine_lock is released while waiting. Not from one iothread to another. */
void iothread_run_on(EventLoop *loop, void (*fn)(void *opaque), void *opaque);

#endif
