/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * COM1 to COM4: a 16550A on the ISA bus.
 * Source: IBM PC/AT Technical Reference, "Serial/Parallel Adapter", for the ports and interrupts.
 *
 * Locking: machine_lock.
 */
#include "core/bits.h"
#include "core/error.h"
#include "core/gsi.h"
#include "core/machine.h"
#include "hw/char/serial.h"

#define BY_DEFAULT 0xffffffffu
#define ISA_IRQS   16

static const struct {
    uint16_t iobase;
    uint8_t irq;
} com_ports[] = {
    {0x3f8, 4},
    {0x2f8, 3},
    {0x3e8, 4},
    {0x2e8, 3},
};

/* The first of COM1..COM4 that no realized isa-serial has. */
static uint32_t free_index(const Machine *machine)
{
    uint32_t taken = 0;

    for (guint i = 0; i < machine->devices->len; i++) {
        const Device *dev = g_ptr_array_index(machine->devices, i);

        if (dev->type == &isa_serial_type && ((const IsaSerial *)dev)->index < G_N_ELEMENTS(com_ports))
            taken |= 1u << ((const IsaSerial *)dev)->index;
    }
    return __builtin_ctz(~taken);
}

static bool isa_serial_realize(Device *dev, GError **errp)
{
    IsaSerial *com = (IsaSerial *)dev;
    uint32_t index = com->index == BY_DEFAULT ? free_index(dev->machine) : com->index;

    if (index >= G_N_ELEMENTS(com_ports))
        return error_set(errp, "index=%u: the ports are 0 to %zu", index, G_N_ELEMENTS(com_ports) - 1);
    com->index = index;
    if (com->iobase == BY_DEFAULT)
        com->iobase = com_ports[index].iobase;
    if (com->irq == BY_DEFAULT)
        com->irq = com_ports[index].irq;
    if (!range_ok(com->iobase, SERIAL_PORTS, IO_SPACE_SIZE) || com->irq >= ISA_IRQS)
        return error_set(errp, "isa-serial: iobase=%#x,irq=%u is not on the ISA bus", com->iobase, com->irq);
    serial_init(&com->uart, machine_gsi(dev->machine, com->irq));
    memory_region_add(&dev->machine->io_root, com->iobase, &com->uart.io, 0);
    return true;
}

static void isa_serial_unrealize(Device *dev)
{
    IsaSerial *com = (IsaSerial *)dev;

    memory_region_remove(&com->uart.io);
    serial_release(&com->uart);
}

static void isa_serial_reset(Device *dev)
{
    serial_reset(&((IsaSerial *)dev)->uart);
}

static const Property isa_serial_props[] = {
    {.name = "index", PROP_U32, offsetof(IsaSerial, index), "0xffffffff", "0..3 for COM1..COM4; the first free one"},
    {.name = "iobase", PROP_U32, offsetof(IsaSerial, iobase), "0xffffffff", "first I/O port; by index"},
    {.name = "irq", PROP_U32, offsetof(IsaSerial, irq), "0xffffffff", "ISA interrupt 0..15; by index"},
    {.name = "chardev", PROP_CHARDEV, offsetof(IsaSerial, uart.chr), NULL, "id of the character device behind it"},
    {0},
};

static const DeviceWire isa_serial_wires[] = {{"irq", offsetof(IsaSerial, uart.irq)}, {0}};

const DeviceType isa_serial_type = {
    .name = "isa-serial",
    .desc = "16550A serial port",
    .bus = "isa",
    .instance_size = sizeof(IsaSerial),
    .user_creatable = true,
    .props = isa_serial_props,
    .wires = isa_serial_wires,
    .realize = isa_serial_realize,
    .unrealize = isa_serial_unrealize,
    .reset = isa_serial_reset,
};
