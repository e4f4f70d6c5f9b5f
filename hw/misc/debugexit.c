/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * isa-debug-exit: a write ends the VM with exit status (value << 1) | 1, as QEMU's device does; test
 * guests end this way.
 *
 * Locking: machine_lock.
 */
#include "core/bits.h"
#include "core/error.h"
#include "core/machine.h"
#include "hw/misc/pc-devices.h"

typedef struct DebugExit {
    Device dev;
    MemoryRegion io;
    uint32_t iobase;
    uint32_t iosize;
} DebugExit;

static uint64_t debug_exit_read(void *opaque, uint64_t offset, unsigned size)
{
    return 0;
}

static void debug_exit_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
    DebugExit *exit_dev = opaque;

    /* The host keeps the low eight bits of a status. */
    machine_request_shutdown(exit_dev->dev.machine, SHUTDOWN_CAUSE_DEBUG_EXIT, (value << 1 | 1) & 0xff);
}

static const MemoryRegionOps debug_exit_ops = {
    .read = debug_exit_read,
    .write = debug_exit_write,
    .valid = {1, 4, true},
    .impl = {1, 4, true},
};

static bool debug_exit_realize(Device *dev, GError **errp)
{
    DebugExit *exit_dev = (DebugExit *)dev;

    if (!exit_dev->iosize || !range_ok(exit_dev->iobase, exit_dev->iosize, IO_SPACE_SIZE))
        return error_set(errp, "isa-debug-exit: iobase=%#x,iosize=%#x is not in the I/O space",
                         exit_dev->iobase, exit_dev->iosize);
    memory_region_init_io(&exit_dev->io, &debug_exit_ops, exit_dev, "debug-exit", exit_dev->iosize);
    memory_region_add(&dev->machine->io_root, exit_dev->iobase, &exit_dev->io, 0);
    return true;
}

static void debug_exit_unrealize(Device *dev)
{
    DebugExit *exit_dev = (DebugExit *)dev;

    memory_region_remove(&exit_dev->io);
    memory_region_release(&exit_dev->io);
}

static const Property debug_exit_props[] = {
    {.name = "iobase", PROP_U32, offsetof(DebugExit, iobase), "0x501", "first I/O port"},
    {.name = "iosize", PROP_U32, offsetof(DebugExit, iosize), "2", "number of ports"},
    {0},
};

const DeviceType isa_debug_exit_type = {
    .name = "isa-debug-exit",
    .desc = "ends the VM with a status of the guest's choice",
    .bus = "isa",
    .instance_size = sizeof(DebugExit),
    .user_creatable = true,
    .props = debug_exit_props,
    .realize = debug_exit_realize,
    .unrealize = debug_exit_unrealize,
};
