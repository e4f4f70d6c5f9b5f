/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The I/O APIC (82093AA, version 20h with the EOI register): 24 pins, each routed by a redirection
 * entry to an interrupt message.
 * Sources: Intel 82093AA data sheet (order 290566); ICH9 data sheet 13.5.
 *
 * Messages go to machine->msi; where the accelerator has the LAPICs (IRQCHIP_SPLIT) each change of
 * an entry is also told to AccelOps.irqchip_route.
 *
 * Locking: machine_lock, for the pins and ioapic_eoi too.
 */
#ifndef HW_INTC_IOAPIC_H
#define HW_INTC_IOAPIC_H

#include "core/device.h"
#include "core/irq.h"
#include "core/memory.h"

#define IOAPIC_PINS 24
#define IOAPIC_MMIO_SIZE 0x1000
#define IOAPIC_DEFAULT_BASE 0xfec00000u

typedef struct IoApicRegs {
    uint8_t select; /* IOREGSEL */
    uint8_t id;     /* 4 bits */
    uint32_t lines; /* levels on the pins, 1: asserted */
    uint64_t redir[IOAPIC_PINS];
} IoApicRegs;

typedef struct IoApic {
    Device dev;
    IoApicRegs regs;
    MemoryRegion mmio; /* initialised by realize; the board maps it at IOAPIC_DEFAULT_BASE */
    bool split;        /* messages are routed by the accelerator */
} IoApic;

extern const DeviceType ioapic_type;

/* The wire of pin 0..23. ISA IRQ 0 belongs on pin 2 (the board's and the MADT's override). */
Irq ioapic_irq(IoApic *ioapic, int pin);
/* A LAPIC broadcast an EOI for this vector, or the guest wrote the EOI register. */
void ioapic_eoi(IoApic *ioapic, int vector);

#endif
