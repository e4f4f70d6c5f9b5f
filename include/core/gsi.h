/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The board's interrupt lines (GSIs): how a device drives one without knowing what is behind it.
 *
 * The board fills machine->gsi[] before it realizes devices: to the PIC and IOAPIC of hw/intc, or
 * to the accelerator's irqchip. ISA interrupt n is GSI n. A test can watch the lines instead
 * (qtest's irq_intercept_in): then changes go to the watcher and not to the board's sinks.
 *
 * Locking: machine_lock, or none where the board's sink allows that.
 */
#ifndef CORE_GSI_H
#define CORE_GSI_H

#include "core/irq.h"

typedef struct Machine Machine;

#define GSI_COUNT 24

/* The wire for a device to keep a copy of; silent (unconnected) if gsi is out of range. */
Irq machine_gsi(Machine *machine, int gsi);

#endif
