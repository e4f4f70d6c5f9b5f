/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The reset control register.
 * Source: ICH9 data sheet 13.7.5 (RST_CNT).
 *
 * A soft reset (INIT of the processor alone) resets the whole machine too: nothing that guests run
 * depends on memory-preserving INIT through this port.
 *
 * Locking: machine_lock.
 */
#include "hw/misc/reset-control.h"

#include "core/machine.h"

static uint64_t reset_control_read(void *opaque, uint64_t offset, unsigned size)
{
    const ResetControl *ctl = opaque;

    return ctl->value;
}

static void reset_control_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
    ResetControl *ctl = opaque;
    bool starts = (value & RST_CNT_RST_CPU) && !(ctl->value & RST_CNT_RST_CPU);

    ctl->value = value & (RST_CNT_SYS_RST | RST_CNT_FULL_RST); /* RST_CPU never stays */
    if (starts)
        machine_request_reset(ctl->dev.machine, SHUTDOWN_CAUSE_GUEST_RESET);
}

static const MemoryRegionOps reset_control_ops = {
    .read = reset_control_read,
    .write = reset_control_write,
    .valid = {1, 1},
    .impl = {1, 1},
};

static bool reset_control_realize(Device *dev, GError **errp)
{
    ResetControl *ctl = (ResetControl *)dev;

    memory_region_init_io(&ctl->io, &reset_control_ops, ctl, "reset-control", 1);
    return true;
}

static void reset_control_unrealize(Device *dev)
{
    ResetControl *ctl = (ResetControl *)dev;

    memory_region_release(&ctl->io);
}

static void reset_control_reset(Device *dev)
{
    ((ResetControl *)dev)->value = 0;
}

const DeviceType reset_control_type = {
    .name = "reset-control",
    .desc = "reset control register (CF9h)",
    .bus = "system",
    .instance_size = sizeof(ResetControl),
    .realize = reset_control_realize,
    .unrealize = reset_control_unrealize,
    .reset = reset_control_reset,
};
