/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Interrupt wires.
 *
 * An Irq is a small value: the sink's handler, its object and the pin number there. A source keeps
 * a copy and calls irq_set; an unconnected wire (handler NULL) is silent. Levels are 0 or 1.
 *
 * Locking: machine_lock unless the sink's header says otherwise (the LAPIC's entry points and an
 * accelerator's irqchip are lock-free).
 */
#ifndef CORE_IRQ_H
#define CORE_IRQ_H

#include <stdint.h>

typedef struct Irq {
    void (*handler)(void *opaque, int pin, int level);
    void *opaque;
    int pin;
} Irq;

static inline void irq_set(const Irq *irq, int level)
{
    if (irq->handler)
        irq->handler(irq->opaque, irq->pin, level);
}

static inline void irq_pulse(const Irq *irq)
{
    irq_set(irq, 1);
    irq_set(irq, 0);
}

/*
 * Where message-signalled interrupts go: the LAPICs of hw/intc or the accelerator's irqchip.
 * address and data are as a PCI function writes them (SDM vol. 3, 11.11 "Message Signalled
 * Interrupts"). Any thread, no lock needed.
 */
typedef struct MsiSink {
    void (*send)(void *opaque, uint64_t address, uint32_t data);
    void *opaque;
} MsiSink;

static inline void msi_send(const MsiSink *sink, uint64_t address, uint32_t data)
{
    if (sink->send)
        sink->send(sink->opaque, address, data);
}

#endif
