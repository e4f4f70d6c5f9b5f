/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Media of removable drives (src/monitor/medium.c).
 *
 * Locking: the main thread, machine_lock held.
 */
#ifndef SRC_MONITOR_MEDIUM_H
#define SRC_MONITOR_MEDIUM_H

#include "block/backend.h"

/* By the drive's id or the id of its device; either may be NULL. An error if it is no removable one. */
BlockBackend *medium_find_drive(const Machine *machine, const char *drive, const char *device, GError **errp);
bool medium_eject(BlockBackend *blk, bool force, GError **errp);
/* format NULL: guessed. On failure the old medium stays. */
bool medium_change(BlockBackend *blk, const char *filename, const char *format, bool force, GError **errp);

#endif
