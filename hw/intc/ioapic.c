/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The I/O APIC.
 * Source: Intel 82093AA data sheet (order 290566), "DS" below, section 3; version 20h's EOI
 * register: ICH9 data sheet 13.5.5.
 *
 * An edge is sent when it comes (masked: lost, DS 3.2.4 "Interrupt Mask"); a level pin's request is
 * its line. A level entry is sent once, then Remote IRR holds it until the EOI of its vector.
 * Polarity is the board's matter: a line is 1 when asserted.
 *
 * Locking: machine_lock.
 */
#include "hw/intc/ioapic.h"

#include "core/log.h"
#include "core/machine.h"

/* Registers in the page. */
enum {
    REG_IOREGSEL = 0x00,
    REG_IOWIN = 0x10,
    REG_EOI = 0x40,
};

/* Registers behind IOREGSEL; DS 3.2. */
enum {
    IOAPICID = 0x00,
    IOAPICVER = 0x01,
    IOAPICARB = 0x02,
    IOREDTBL = 0x10, /* two words an entry */
};

#define IOAPIC_VERSION (0x20 | (IOAPIC_PINS - 1) << 16)
#define ID_SHIFT       24

/* Redirection entry; DS 3.2.4. */
#define RE_VECTOR          0xffull
#define RE_DELIVERY_SHIFT  8
#define RE_LOGICAL         (1ull << 11)
#define RE_DELIVERY_STATUS (1ull << 12) /* read-only: messages are never held up */
#define RE_REMOTE_IRR      (1ull << 14) /* read-only */
#define RE_LEVEL           (1ull << 15)
#define RE_MASKED          (1ull << 16)
#define RE_DEST_SHIFT      56
#define RE_WRITABLE_LOW    (0x1ffffull & ~RE_DELIVERY_STATUS & ~RE_REMOTE_IRR)
#define RE_WRITABLE_HIGH   0xff000000ull

/* The message of an entry, as a PCI function would write it; SDM vol. 3, 11.11. */
static uint64_t entry_address(uint64_t entry)
{
    return 0xfee00000 | (entry >> RE_DEST_SHIFT) << 12 | (entry & RE_LOGICAL ? 1 << 2 : 0);
}

static uint32_t entry_data(uint64_t entry)
{
    return (entry & (RE_VECTOR | RE_LEVEL | 7 << RE_DELIVERY_SHIFT)) | 1 << 14;
}

static void send_pin(IoApic *ioapic, int pin)
{
    uint64_t entry = ioapic->regs.redir[pin];

    if (entry & RE_LEVEL)
        ioapic->regs.redir[pin] |= RE_REMOTE_IRR;
    msi_send(&ioapic->dev.machine->msi, entry_address(entry), entry_data(entry));
}

/* A level pin whose line is asserted and that is free to be sent. After every change of either. */
static void update_level_pin(IoApic *ioapic, int pin)
{
    uint64_t entry = ioapic->regs.redir[pin];

    if ((ioapic->regs.lines & 1u << pin) && (entry & RE_LEVEL) && !(entry & (RE_MASKED | RE_REMOTE_IRR)))
        send_pin(ioapic, pin);
}

static void pin_set(void *opaque, int pin, int level)
{
    IoApic *ioapic = opaque;
    uint32_t bit = 1u << pin;
    bool rises = level && !(ioapic->regs.lines & bit);

    ioapic->regs.lines = level ? ioapic->regs.lines | bit : ioapic->regs.lines & ~bit;
    if (!rises)
        return;
    if (ioapic->regs.redir[pin] & RE_LEVEL)
        update_level_pin(ioapic, pin);
    else if (!(ioapic->regs.redir[pin] & RE_MASKED))
        send_pin(ioapic, pin);
}

Irq ioapic_irq(IoApic *ioapic, int pin)
{
    g_assert(pin >= 0 && pin < IOAPIC_PINS);
    return (Irq){.handler = pin_set, .opaque = ioapic, .pin = pin};
}

void ioapic_eoi(IoApic *ioapic, int vector)
{
    for (int pin = 0; pin < IOAPIC_PINS; pin++) {
        uint64_t *entry = &ioapic->regs.redir[pin];

        if ((*entry & RE_VECTOR) != (uint64_t)vector || !(*entry & RE_REMOTE_IRR))
            continue;
        *entry &= ~RE_REMOTE_IRR;
        update_level_pin(ioapic, pin);
    }
}

/* --- Registers --- */

static uint32_t read_selected(const IoApic *ioapic)
{
    const IoApicRegs *r = &ioapic->regs;
    unsigned word = r->select - IOREDTBL;

    switch (r->select) {
    case IOAPICID:
    case IOAPICARB:
        return (uint32_t)r->id << ID_SHIFT;
    case IOAPICVER:
        return IOAPIC_VERSION;
    }
    if (r->select >= IOREDTBL && word < 2 * IOAPIC_PINS)
        return r->redir[word / 2] >> (word & 1 ? 32 : 0);
    return 0;
}

static void tell_route(IoApic *ioapic, int pin)
{
    Accel *accel = ioapic->dev.machine->accel;
    uint64_t entry = ioapic->regs.redir[pin];

    if (ioapic->split)
        accel->ops->irqchip_route(accel, pin, entry_address(entry), entry_data(entry), entry & RE_LEVEL);
}

static void write_entry(IoApic *ioapic, unsigned word, uint32_t value)
{
    int pin = word / 2;
    uint64_t *entry = &ioapic->regs.redir[pin];

    if (word & 1)
        *entry = (*entry & 0xffffffff) | (uint64_t)(value & RE_WRITABLE_HIGH) << 32;
    else
        *entry = (*entry & ~RE_WRITABLE_LOW) | (value & RE_WRITABLE_LOW);
    /* Guests without the EOI register end a level interrupt by a turn through edge mode. */
    if (!(*entry & RE_LEVEL))
        *entry &= ~RE_REMOTE_IRR;
    tell_route(ioapic, pin);
    update_level_pin(ioapic, pin);
}

static void write_selected(IoApic *ioapic, uint32_t value)
{
    unsigned word = ioapic->regs.select - IOREDTBL;

    if (ioapic->regs.select == IOAPICID)
        ioapic->regs.id = value >> ID_SHIFT & 0xf;
    else if (ioapic->regs.select >= IOREDTBL && word < 2 * IOAPIC_PINS)
        write_entry(ioapic, word, value);
    else
        guest_error("ioapic", "write of %#x to register %#x", value, ioapic->regs.select);
}

static uint64_t ioapic_read(void *opaque, uint64_t offset, unsigned size)
{
    const IoApic *ioapic = opaque;

    switch (offset) {
    case REG_IOREGSEL:
        return ioapic->regs.select;
    case REG_IOWIN:
        return read_selected(ioapic);
    }
    return 0;
}

static void ioapic_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
    IoApic *ioapic = opaque;

    switch (offset) {
    case REG_IOREGSEL:
        ioapic->regs.select = value;
        break;
    case REG_IOWIN:
        write_selected(ioapic, value);
        break;
    case REG_EOI:
        ioapic_eoi(ioapic, value & 0xff);
        break;
    }
}

static const MemoryRegionOps ioapic_ops = {
    .read = ioapic_read,
    .write = ioapic_write,
    .valid = {1, 4},
    .impl = {1, 4},
};

/* --- Life cycle --- */

static bool ioapic_realize(Device *dev, GError **errp)
{
    IoApic *ioapic = (IoApic *)dev;

    ioapic->split = dev->machine->accel && dev->machine->accel->irqchip == IRQCHIP_SPLIT;
    memory_region_init_io(&ioapic->mmio, &ioapic_ops, ioapic, "ioapic", IOAPIC_MMIO_SIZE);
    return true;
}

static void ioapic_unrealize(Device *dev)
{
    IoApic *ioapic = (IoApic *)dev;

    memory_region_release(&ioapic->mmio);
}

static void ioapic_reset(Device *dev)
{
    IoApic *ioapic = (IoApic *)dev;
    uint32_t lines = ioapic->regs.lines; /* the sources drive them on */

    ioapic->regs = (IoApicRegs){.lines = lines};
    for (int pin = 0; pin < IOAPIC_PINS; pin++) {
        ioapic->regs.redir[pin] = RE_MASKED;
        tell_route(ioapic, pin);
    }
}

const DeviceType ioapic_type = {
    .name = "ioapic",
    .desc = "I/O APIC",
    .bus = "system",
    .instance_size = sizeof(IoApic),
    .realize = ioapic_realize,
    .unrealize = ioapic_unrealize,
    .reset = ioapic_reset,
};
