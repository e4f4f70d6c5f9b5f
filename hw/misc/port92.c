/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * System control port A.
 * Source: ICH9 data sheet 13.7.4 (PORT92).
 *
 * Locking: machine_lock.
 */
#include "hw/misc/port92.h"

#include "core/machine.h"

#define P92_INIT_NOW    0x01 /* a change from 0 to 1 resets the processor */
#define P92_ALT_A20     0x02 /* address line 20 is let through */
#define P92_WRITABLE    0x03
#define P92_RESET_VALUE P92_ALT_A20 /* PCs start with A20 on since firmware lives above 1 MiB */

static uint64_t port92_read(void *opaque, uint64_t offset, unsigned size)
{
    const Port92 *port = opaque;

    return port->value;
}

static void port92_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
    Port92 *port = opaque;
    uint8_t old = port->value;

    port->value = value & P92_WRITABLE;
    if ((value ^ old) & P92_ALT_A20)
        irq_set(&port->a20, !!(value & P92_ALT_A20));
    if ((value & ~old) & P92_INIT_NOW)
        machine_request_reset(port->dev.machine, SHUTDOWN_CAUSE_GUEST_RESET);
}

static const MemoryRegionOps port92_ops = {
    .read = port92_read,
    .write = port92_write,
    .valid = {1, 1},
    .impl = {1, 1},
};

void port92_connect(Port92 *port, Irq a20)
{
    port->a20 = a20;
}

static bool port92_realize(Device *dev, GError **errp)
{
    Port92 *port = (Port92 *)dev;

    memory_region_init_io(&port->io, &port92_ops, port, "port92", 1);
    return true;
}

static void port92_unrealize(Device *dev)
{
    Port92 *port = (Port92 *)dev;

    memory_region_release(&port->io);
}

static void port92_reset(Device *dev)
{
    Port92 *port = (Port92 *)dev;

    port->value = P92_RESET_VALUE;
    irq_set(&port->a20, 1);
}

static const DeviceWire port92_wires[] = {{"a20", offsetof(Port92, a20)}, {0}};

const DeviceType port92_type = {
    .name = "port92",
    .desc = "system control port A",
    .bus = "system",
    .instance_size = sizeof(Port92),
    .wires = port92_wires,
    .realize = port92_realize,
    .unrealize = port92_unrealize,
    .reset = port92_reset,
};
