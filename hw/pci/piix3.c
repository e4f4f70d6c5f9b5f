/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The PIIX3's PCI-to-ISA bridge (82371SB, function 0).
 * Source: data sheet 290550, 2.2 (configuration registers), 2.2.7 (PIRQRC).
 *
 * ELCR is the 8259's (hw/intc/i8259.c), reset control hw/misc/reset-control.c.
 *
 * Not modelled: DMA controllers and what routes them, X-bus decoding (the registers are there), SMI
 * timers, APIC chip select. The levels of PIRQs and of piix3_isa_irq are combined; an ISA device that
 * drives an interrupt itself and a PIRQ that a guest routes there overwrite each other.
 *
 * Locking: machine_lock.
 */
#include "hw/pci/piix3.h"

#include "core/bits.h"

/* Further registers, with their reset values. */
enum {
    REG_IORT = 0x4c,    /* ISA I/O recovery timer */
    REG_XBCS = 0x4e,    /* X-bus chip select */
    REG_TOM = 0x69,     /* top of memory */
    REG_MSTAT = 0x6a,
    REG_MBIRQ0 = 0x70,
    REG_MBDMA = 0x76,   /* two of them */
    REG_PCSC = 0x78,
    REG_APICBASE = 0x80,
    REG_DLC = 0x82,     /* deterministic latency control: bit 1 passive release, bit 0 delayed transaction */
    REG_SMICNTL = 0xa0,
    REG_SMIEN = 0xa2,
    REG_SEE = 0xa4,
    REG_FTMR = 0xa8,
    REG_SMIREQ = 0xaa,
    REG_CTLTMR = 0xac,
    REG_CTHTMR = 0xae,
};

/* 2.2.7: interrupts 0, 1, 2, 8 and 13 cannot be chosen. */
#define ROUTABLE 0xdef8

int piix3_pirq_route(const Piix3 *piix3, unsigned line)
{
    uint8_t control = piix3->pci.config[PIIX3_PIRQRCA + line];
    unsigned irq = control & PIRQRC_IRQ;

    return !(control & PIRQRC_DISABLED) && ROUTABLE >> irq & 1 ? (int)irq : -1;
}

static uint16_t wanted_levels(const Piix3 *piix3)
{
    uint16_t levels = piix3->isa_level;

    for (unsigned line = 0; line < PCI_INTX_LINES; line++) {
        int irq = piix3_pirq_route(piix3, line);
        if (irq >= 0 && piix3->pirq[line])
            levels |= 1u << irq;
    }
    return levels;
}

static void update_irqs(Piix3 *piix3)
{
    uint16_t levels = wanted_levels(piix3), changed = levels ^ piix3->driven;

    piix3->driven = levels;
    for (unsigned irq = 0; irq < PIIX3_ISA_IRQS; irq++) {
        if (changed >> irq & 1)
            irq_set(&piix3->isa[irq], levels >> irq & 1);
    }
}

static void pirq_changed(void *opaque, int pin, int level)
{
    Piix3 *piix3 = opaque;

    piix3->pirq[pin] = level;
    update_irqs(piix3);
}

static void isa_changed(void *opaque, int pin, int level)
{
    Piix3 *piix3 = opaque;

    if (level)
        piix3->isa_level |= 1u << pin;
    else
        piix3->isa_level &= ~(1u << pin);
    update_irqs(piix3);
}

Irq piix3_pirq(Piix3 *piix3, unsigned line)
{
    return (Irq){pirq_changed, piix3, line};
}

Irq piix3_isa_irq(Piix3 *piix3, unsigned irq)
{
    return (Irq){isa_changed, piix3, irq};
}

static void piix3_written(PciDevice *pci, unsigned offset, unsigned len)
{
    if (pci_touches(offset, len, PIIX3_PIRQRCA, PCI_INTX_LINES))
        update_irqs((Piix3 *)pci);
}

/* --- life cycle --- */

void piix3_connect(Piix3 *piix3, const Irq isa[PIIX3_ISA_IRQS])
{
    memcpy(piix3->isa, isa, sizeof(piix3->isa));
}

static const PciInfo piix3_info = {
    .vendor = PCI_VENDOR_INTEL,
    .device = 0x7000,
    .class_code = PCI_CLASS_BRIDGE_ISA,
    .written = piix3_written,
};

static const struct {
    uint8_t offset, size;
    uint16_t value, wmask;
} registers[] = {
    {REG_IORT, 1, 0x4d, 0xff},      {REG_XBCS, 2, 0x0003, 0x01ff},
    {PIIX3_PIRQRCA, 1, 0x80, 0x8f}, {PIIX3_PIRQRCA + 1, 1, 0x80, 0x8f},
    {PIIX3_PIRQRCA + 2, 1, 0x80, 0x8f}, {PIIX3_PIRQRCA + 3, 1, 0x80, 0x8f},
    {REG_TOM, 1, 0x02, 0xfe},       {REG_MSTAT, 2, 0, 0},
    {REG_MBIRQ0, 1, 0x80, 0xef},    {REG_MBDMA, 2, 0x0c0c, 0x8f8f},
    {REG_PCSC, 2, 0x0002, 0xffff},  {REG_APICBASE, 1, 0, 0x7f},
    {REG_DLC, 1, 0, 0x0f},          {REG_SMICNTL, 1, 0x08, 0x1f},
    {REG_SMIEN, 2, 0, 0x01ff},      {REG_SEE, 2, 0, 0xf9ff},
    {REG_FTMR, 1, 0x0f, 0xff},      {REG_SMIREQ, 2, 0, 0x01ff},
    {REG_CTLTMR, 1, 0, 0xff},       {REG_CTHTMR, 1, 0, 0xff},
};

static bool piix3_realize(Device *dev, GError **errp)
{
    PciDevice *pci = &((Piix3 *)dev)->pci;

    if (!pci_device_attach(pci, &piix3_info, errp))
        return false;
    /* 2.2.3: the function is always on and a master. */
    pci_init_register(pci, PCI_COMMAND, 2, PCI_COMMAND_IO | PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER,
                      PCI_COMMAND_SPECIAL | PCI_COMMAND_SERR);
    pci_set(pci, PCI_STATUS, 2, PCI_STATUS_DEVSEL_MEDIUM);
    for (size_t i = 0; i < G_N_ELEMENTS(registers); i++)
        pci_init_register(pci, registers[i].offset, registers[i].size, registers[i].value, registers[i].wmask);
    return true;
}

static void piix3_unrealize(Device *dev)
{
    pci_device_detach(&((Piix3 *)dev)->pci);
}

/* The lines are the devices'; they follow with their own reset. */
static void piix3_reset(Device *dev)
{
    Piix3 *piix3 = (Piix3 *)dev;

    pci_device_reset(&piix3->pci);
    update_irqs(piix3);
}

static const Property piix3_props[] = {
    PCI_DEVICE_PROPS,
    {0},
};

const DeviceType piix3_type = {
    .name = "PIIX3",
    .desc = "PIIX3 PCI-to-ISA bridge",
    .bus = "pci",
    .instance_size = sizeof(Piix3),
    .props = piix3_props,
    .realize = piix3_realize,
    .unrealize = piix3_unrealize,
    .reset = piix3_reset,
};
