/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Threads that may read RCU-protected structures. Every thread of the program is made here.
 */
#ifndef CORE_THREAD_H
#define CORE_THREAD_H

#include <glib.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>

/* Sent to a vCPU's thread to end a blocking system call (KVM_RUN). Its handler does nothing; an
 * accelerator that needs it closes the race with the call by other means (KVM: immediate_exit). */
#define VCPU_KICK_SIGNAL SIGUSR1

/* name: at most 15 characters, seen in top -H and gdb. All signals are blocked in the new thread
 * except the vCPU kick and synchronous faults. Registers with RCU around fn. */
bool thread_create(pthread_t *thread, const char *name, void *(*fn)(void *), void *arg, GError **errp);

/* -name debug-threads=off: threads made from here on keep the process's name. */
void thread_set_naming(bool on);

/* Call once on the main thread before anything else of core: RCU, loop, lock, kick signal. */
void core_init(void);

#endif
