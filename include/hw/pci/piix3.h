/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The PIIX3's PCI-to-ISA bridge: routes the PCI interrupt lines to ISA interrupts.
 * Source: Intel 82371SB (PIIX3) data sheet 290550, 2.2.
 *
 * Locking: machine_lock.
 */
#ifndef HW_PCI_PIIX3_H
#define HW_PCI_PIIX3_H

#include "hw/pci/pci.h"

enum {
    PIIX3_PIRQRCA = 0x60, /* PIRQ route control, A to D */
};
#define PIRQRC_DISABLED 0x80
#define PIRQRC_IRQ 0x0f

#define PIIX3_ISA_IRQS 16

typedef struct Piix3 {
    PciDevice pci;
    bool pirq[PCI_INTX_LINES]; /* level of each PCI line */
    uint16_t isa_level;        /* ISA interrupts held high by sources that share them with PIRQs */
    uint16_t driven;           /* levels last put on the ISA interrupts */

    /* Wiring. */
    Irq isa[PIIX3_ISA_IRQS];
} Piix3;

extern const DeviceType piix3_type;

/* Before realize: the wires of the ISA interrupts. */
void piix3_connect(Piix3 *piix3, const Irq isa[PIIX3_ISA_IRQS]);
/* Inputs: PCI line 0..3 (PIRQA# to PIRQD#), and a level source that shares ISA interrupt irq. */
Irq piix3_pirq(Piix3 *piix3, unsigned line);
Irq piix3_isa_irq(Piix3 *piix3, unsigned irq);
/* The ISA interrupt that a PCI line is routed to, -1 if none. */
int piix3_pirq_route(const Piix3 *piix3, unsigned line);

#endif
