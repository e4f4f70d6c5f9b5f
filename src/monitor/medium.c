/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Changing the medium of a removable drive, for both kinds of monitor.
 *
 * A tray the guest has locked is opened only by force; without it the guest is asked, as by the drive's
 * button, and the command fails: the user tries again when the tray is open.
 *
 * Opening and closing images may sleep: machine_lock is let go of meanwhile.
 */
#include <string.h>

#include "core/error.h"
#include "core/lock.h"
#include "core/machine.h"
#include "medium.h"

/* The drive of the device with this id. */
static BlockBackend *find_by_device(const Machine *machine, const char *id)
{
    for (guint i = 0; i < machine->devices->len; i++) {
        const Device *dev = g_ptr_array_index(machine->devices, i);
        if (g_strcmp0(dev->id, id) != 0)
            continue;
        for (const Property *prop = dev->type->props; prop && prop->name; prop++) {
            if (prop->kind == PROP_DRIVE)
                return *(BlockBackend *const *)((const char *)dev + prop->offset);
        }
    }
    return NULL;
}

BlockBackend *medium_find_drive(const Machine *machine, const char *drive, const char *device, GError **errp)
{
    BlockBackend *blk = drive ? blk_find(drive) : device ? find_by_device(machine, device) : NULL;

    if (!blk)
        error_set(errp, "there is no drive '%s'", drive ? drive : device ? device : "");
    else if (!blk_is_removable(blk))
        error_set(errp, "the medium of drive '%s' cannot be changed: it is no CD-ROM drive", blk_name(blk));
    return blk && blk_is_removable(blk) ? blk : NULL;
}

bool medium_eject(BlockBackend *blk, bool force, GError **errp)
{
    if (!blk_request_eject(blk, force))
        return error_set(errp, "drive '%s' is locked by the guest, which was asked to open it; try again, or force it",
                         blk_name(blk));
    blk_eject(blk);
    return true;
}

bool medium_change(BlockBackend *blk, const char *filename, const char *format, bool force, GError **errp)
{
    unsigned depth = machine_lock_release();
    BlockNode *node = block_node_open_file(filename, format, BLOCK_OPEN_WARN_PROBED, errp);

    machine_lock_restore(depth);
    if (!node)
        return false;
    if (!medium_eject(blk, force, errp)) {
        block_node_unref(node);
        return false;
    }
    blk_insert(blk, node);
    return true;
}
