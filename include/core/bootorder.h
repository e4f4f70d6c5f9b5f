/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What firmware may boot from, and in which order.
 *
 * A device that can be booted from has a property bootindex (BOOTINDEX_PROP) and tells here when it is
 * realized; the board hands the list to the firmware.
 *
 * Locking: machine_lock.
 */
#ifndef CORE_BOOTORDER_H
#define CORE_BOOTORDER_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

typedef struct Machine Machine;

/* Empty; made by machine_new. */
GPtrArray *boot_order_new(void);

/* A row for the property table; field is an int32_t. */
#define BOOTINDEX_PROP(type, field) \
    {"bootindex", PROP_I32, offsetof(type, field), "-1", "place in the boot order, 0 first; -1: none", NULL, 0, 0}

/*
 * path: Open Firmware's name of what is booted, as firmware writes it ("/pci@i0cf8/scsi@4/disk@0,0":
 * pci_boot_path and the device's own part). index -1: firmware's own order, nothing to do. The same
 * index twice is the user's mistake.
 */
bool boot_order_add(Machine *machine, int32_t index, const char *path, GError **errp);
/* Before all that have an index. */
void boot_order_add_first(Machine *machine, const char *path);
/* The device is gone: all entries with this path go too. */
void boot_order_remove(Machine *machine, const char *path);
/* One path a line, without a newline at the end; strict adds the line that tells firmware to stop there.
 * NULL if there is nothing to say. Free with g_free. */
char *boot_order_list(const Machine *machine, bool strict);

#endif
