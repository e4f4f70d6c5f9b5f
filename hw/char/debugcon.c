/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * isa-debugcon: one port whose bytes go to a character device (Bochs' E9 hack; firmware likes 402h).
 * A guest learns that it is there by reading E9h from it.
 *
 * A backend that is full loses bytes: there is no status a guest could wait for.
 *
 * Locking: machine_lock.
 */
#include "chardev/char.h"
#include "core/bits.h"
#include "core/error.h"
#include "core/machine.h"
#include "hw/misc/pc-devices.h"

typedef struct DebugCon {
    Device dev;
    MemoryRegion io;
    CharBackend chr;
    uint32_t iobase;
    uint32_t readback;
} DebugCon;

static uint64_t debugcon_read(void *opaque, uint64_t offset, unsigned size)
{
    const DebugCon *con = opaque;

    return con->readback;
}

static void debugcon_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
    DebugCon *con = opaque;
    uint8_t byte = value;

    char_write(&con->chr, &byte, 1);
}

static const MemoryRegionOps debugcon_ops = {
    .read = debugcon_read,
    .write = debugcon_write,
    .valid = {1, 1},
    .impl = {1, 1},
};

static bool debugcon_realize(Device *dev, GError **errp)
{
    DebugCon *con = (DebugCon *)dev;

    if (!range_ok(con->iobase, 1, IO_SPACE_SIZE))
        return error_set(errp, "isa-debugcon: iobase=%#x is not an I/O port", con->iobase);
    memory_region_init_io(&con->io, &debugcon_ops, con, "debugcon", 1);
    memory_region_add(&dev->machine->io_root, con->iobase, &con->io, 0);
    return true;
}

static void debugcon_unrealize(Device *dev)
{
    DebugCon *con = (DebugCon *)dev;

    memory_region_remove(&con->io);
    memory_region_release(&con->io);
}

static const Property debugcon_props[] = {
    {.name = "iobase", PROP_U32, offsetof(DebugCon, iobase), "0xe9", "the I/O port"},
    {.name = "readback", PROP_U32, offsetof(DebugCon, readback), "0xe9", "what reads of the port give"},
    {.name = "chardev", PROP_CHARDEV, offsetof(DebugCon, chr), NULL, "id of the character device behind it"},
    {0},
};

const DeviceType isa_debugcon_type = {
    .name = "isa-debugcon",
    .desc = "debug console port",
    .bus = "isa",
    .instance_size = sizeof(DebugCon),
    .user_creatable = true,
    .props = debugcon_props,
    .realize = debugcon_realize,
    .unrealize = debugcon_unrealize,
};
