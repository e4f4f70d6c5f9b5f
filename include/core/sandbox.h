/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Giving up what the running VM does not need: system calls (-sandbox, by seccomp), the root directory
 * (-run-with chroot=) and the user (-run-with user=). And holding on to memory (-overcommit mem-lock=).
 *
 * Main thread; each holds for all threads, those made later included, and cannot be undone.
 */
#ifndef CORE_SANDBOX_H
#define CORE_SANDBOX_H

#include <glib.h>
#include <stdbool.h>

/* -sandbox: groups of system calls whose use ends the process; QEMU's groups and names. */
typedef struct SandboxOptions {
    bool enable;
    bool allow_obsolete;        /* obsolete=allow; denied otherwise */
    bool deny_elevate;          /* elevateprivileges=deny or children: set*id and the like */
    bool no_new_privs;          /* elevateprivileges=children: programs we start gain none */
    bool deny_spawn;            /* spawn=deny: fork, vfork, execve */
    bool deny_resource_control; /* resourcecontrol=deny: affinity, priorities, scheduling; they fail */
} SandboxOptions;

/* False in a build without libseccomp; the message says so. */
bool sandbox_is_available(GError **errp);
bool sandbox_enter(const SandboxOptions *options, GError **errp);
/* The second part, when the machine is built and the user was changed: elevateprivileges and
 * resourcecontrol. */
bool sandbox_close(const SandboxOptions *options, GError **errp);

typedef struct RunWith {
    char *chroot; /* NULL: stay */
    char *user;   /* "NAME" or "UID:GID"; NULL: stay */
} RunWith;

/* Whether the user exists; asked while its name can still be looked up. */
bool run_with_check(const RunWith *run_with, GError **errp);
/* Changes the root directory, then the user. */
bool run_with_enter(const RunWith *run_with, GError **errp);

/* All memory, present and future, stays in RAM. */
bool lock_memory(GError **errp);

#endif
