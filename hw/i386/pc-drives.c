/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The PC's disks: a device for each -drive that names an interface.
 *
 * Drives of if=virtio come after the user's devices, in the order of the command line, each in the next free slot
 * of the root bus. Those of if=none are left to a -device.
 *
 * Locking: machine_lock, at start-up.
 */
#include "block/drive.h"
#include "hw/virtio/virtio-devices.h"
#include "pc-internal.h"

static bool build_virtio(PcMachine *pc, const Drive *drive, GError **errp)
{
    Device *dev = device_new(&virtio_blk_pci_type, &pc->machine, NULL);

    if (device_set_property(dev, "drive", blk_id(drive->blk), errp) && device_realize(dev, errp))
        return true;
    device_free(dev);
    return false;
}

bool pc_drives_build(PcMachine *pc, GError **errp)
{
    for (Drive *drive = drive_next(NULL); drive; drive = drive_next(drive)) {
        if (drive->interface == DRIVE_IF_VIRTIO && !build_virtio(pc, drive, errp))
            return false;
    }
    return true;
}
