/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * machine_lock: guards legacy device state and the machine's configuration.
 *
 * One process is one VM, so the lock is the process's. It is recursive by count (a device that
 * raises a line into another device takes it once); machine_lock_held() is for assertions.
 * It is fair: a thread that waits gets it before a thread that lets go and takes it again.
 * Order: machine_lock before any device's or backend's own lock. Never held across blocking I/O,
 * KVM_RUN or translated code.
 */
#ifndef CORE_LOCK_H
#define CORE_LOCK_H

#include <stdbool.h>

void machine_lock(void);
void machine_unlock(void);
bool machine_lock_held(void);

/* Lets go of the lock around a wait, however often this thread holds it (0: not at all). What it
 * returns goes to machine_lock_restore. The state the lock guards may have changed in between. */
unsigned machine_lock_release(void);
void machine_lock_restore(unsigned depth);

#endif
