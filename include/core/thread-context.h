/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * On which CPUs of the host a thread runs: lists of CPUs, and "-object thread-context", which gives
 * a list a name for others to refer to (-vcpu, an iothread, a memory backend's pre-allocation).
 */
#ifndef CORE_THREAD_CONTEXT_H
#define CORE_THREAD_CONTEXT_H

#include <pthread.h>
#include <sched.h>

#include "core/object.h"

/* "0-3:6" or "0-3,6"; the error names the list. A list is not empty. */
bool cpu_list_parse(const char *list, cpu_set_t *cpus, GError **errp);
/* Puts a running thread on these CPUs; what is for the message. */
bool thread_set_cpus(pthread_t thread, const cpu_set_t *cpus, const char *what, GError **errp);

extern const ObjectType thread_context_type;

/* The CPUs of the thread-context of this id. */
const cpu_set_t *thread_context_cpus(const Machine *machine, const char *id, GError **errp);

#endif
