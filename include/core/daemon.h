/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * -daemonize: the VM goes on in a process of its own, and the command returns when it is ready.
 *
 *     daemon_fork --> DAEMON_PARENT: waited; exits with *status
 *                 --> DAEMON_CHILD:  a session of its own, stdio still the user's, for errors
 *                                    daemon_ready: tells the parent 0, and lets go of the user's stdio
 *                                    daemon_failed: tells the parent to fail
 *
 * The working directory stays, so relative names keep their meaning.
 *
 * Locking: none; main thread, and no other exists at daemon_fork.
 */
#ifndef CORE_DAEMON_H
#define CORE_DAEMON_H

#include <glib.h>
#include <stdbool.h>

typedef enum DaemonRole {
    DAEMON_FAILED, /* *errp says why; no other process is left */
    DAEMON_PARENT,
    DAEMON_CHILD,
} DaemonRole;

/* In the parent, *status is the exit status, and *errp is set if the child died without a word. */
DaemonRole daemon_fork(int *status, GError **errp);
/* Both do nothing in a process that is no daemon, or has called one of them. */
void daemon_ready(void);
void daemon_failed(void);

#endif
