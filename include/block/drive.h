/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Drives: what -drive and its short forms (-hda, -cdrom) describe, for the board to put devices on.
 *
 *     parsing    drive_check            one -drive by itself; opens nothing
 *     start-up   drive_open             image, BlockBackend, its place (interface, bus, unit)
 *     board      drive_at, drive_next   makes a device for each with an interface, and sets its drive= property to
 *                                       blk_id(drive->blk)
 *     after it   drives_check_used      a drive no device took is an error
 *
 * With if=none nothing is made; a -device names the drive by its id.
 *
 * Locking: main thread.
 */
#ifndef BLOCK_DRIVE_H
#define BLOCK_DRIVE_H

#include "block/backend.h"
#include "config/keyval.h"

typedef enum DriveInterface {
    DRIVE_IF_DEFAULT, /* only in options: the board's */
    DRIVE_IF_NONE,
    DRIVE_IF_IDE,    /* bus: channel; unit: 0 master, 1 slave */
    DRIVE_IF_VIRTIO, /* bus 0; unit: any number */
} DriveInterface;

typedef struct Drive {
    DriveInterface interface;
    unsigned bus, unit;
    bool cdrom;
    BlockBackend *blk; /* its id is the drive's; a reference is held */
} Drive;

/* The option's keys; "file" is implied. Unknown ones go to the image's driver, which may refuse them later. */
bool drive_check(KvNode *options, GError **errp);
/* default_interface: for drives without if=. snapshot: as if each had snapshot=on. */
bool drive_open(KvNode *options, DriveInterface default_interface, bool snapshot, GError **errp);
/* -blockdev: a node with a node-name. The check opens nothing. */
bool blockdev_check(KvNode *options, GError **errp);
bool blockdev_open(KvNode *options, GError **errp);
/* Closes it, which may sleep; an error while a device or another node uses it. */
bool blockdev_close(const char *node_name, GError **errp);

/* NULL begins, NULL ends. */
Drive *drive_next(Drive *drive);
Drive *drive_at(DriveInterface interface, unsigned bus, unsigned unit);
bool drives_check_used(GError **errp);
/* Flushes and closes all drives and nodes of -blockdev; after the devices are gone. */
void drives_close(void);
void drive_print_help(GString *out);

#endif
