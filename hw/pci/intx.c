/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The interrupt pins INTA# to INTD# and the lines they share.
 * Source: PCI 3.0, 2.2.6 (pins), 6.2.2 and 6.2.3 (INTx Disable, Interrupt Status); PCI-to-PCI Bridge
 * 1.2, 9.1 (pins behind a bridge).
 *
 * A line is the OR of the pins on it. Who pulls it is kept by function, so that setting a pin twice
 * does nothing and a function that goes away lets go.
 *
 * Locking: machine_lock.
 */
#include "pci-internal.h"

static bool line_level(const PciBus *bus, unsigned line)
{
    uint64_t any = 0;

    for (unsigned i = 0; i < PCI_DEVFNS / 64; i++)
        any |= bus->asserted[line][i];
    return any;
}

static unsigned line_of_pin(const PciBus *bus, uint8_t devfn, unsigned pin)
{
    return (PCI_SLOT(devfn) + pin + bus->swizzle) % PCI_INTX_LINES;
}

/* Up through the bridges, whose pins are the lines of the bus behind them, until no line changes. */
static void set_pin(PciBus *bus, uint8_t devfn, unsigned pin, bool level)
{
    while (bus) {
        unsigned line = line_of_pin(bus, devfn, pin);
        bool before = line_level(bus, line), after;
        uint64_t bit = UINT64_C(1) << (devfn & 63);

        if (level)
            bus->asserted[line][devfn / 64] |= bit;
        else
            bus->asserted[line][devfn / 64] &= ~bit;
        after = line_level(bus, line);
        if (before == after)
            return;
        if (!bus->bridge) {
            irq_set(&bus->intx[line], after);
            return;
        }
        level = after;
        pin = line;
        devfn = bus->bridge->devfn;
        bus = bus->bridge->bus;
    }
}

void pci_update_intx(PciDevice *pci)
{
    bool disabled = pci->config[PCI_COMMAND + 1] & PCI_COMMAND_INTX_DISABLE >> 8;
    uint8_t pin = pci->config[PCI_INTERRUPT_PIN];

    if (!pin || !pci->bus)
        return;
    if (pci->irq_level)
        __atomic_fetch_or(&pci->config[PCI_STATUS], PCI_STATUS_INTERRUPT, __ATOMIC_RELAXED);
    else
        __atomic_fetch_and(&pci->config[PCI_STATUS], (uint8_t)~PCI_STATUS_INTERRUPT, __ATOMIC_RELAXED);
    set_pin(pci->bus, pci->devfn, pin - 1, pci->irq_level && !disabled);
}

void pci_set_irq(PciDevice *pci, int level)
{
    pci->irq_level = level;
    pci_update_intx(pci);
}

static void irq_handler(void *opaque, int pin, int level)
{
    pci_set_irq(opaque, level);
}

Irq pci_irq(PciDevice *pci)
{
    return (Irq){irq_handler, pci, 0};
}

int pci_intx_root_line(const PciDevice *pci)
{
    unsigned pin = pci->config[PCI_INTERRUPT_PIN];

    if (!pin || !pci->bus)
        return -1;
    for (pin--; ; pci = pci->bus->bridge) {
        pin = line_of_pin(pci->bus, pci->devfn, pin);
        if (!pci->bus->bridge)
            return pin;
    }
}
