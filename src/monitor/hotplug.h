/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Devices that come and go while the VM runs, for both kinds of monitor.
 *
 * Locking: the main thread with machine_lock.
 */
#ifndef SRC_MONITOR_HOTPLUG_H
#define SRC_MONITOR_HOTPLUG_H

#include "config/keyval.h"
#include "core/machine.h"

/* As -device. An error leaves nothing behind. */
bool hotplug_add(Machine *machine, KvNode *kv, GError **errp);
/* Asks the guest to let go of it. */
bool hotplug_request_removal(Machine *machine, const char *id, GError **errp);

#endif
