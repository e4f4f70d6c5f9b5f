/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The board's interrupt lines: one hop from a device's wire to machine->gsi[] or a watcher.
 *
 * Locking: as core/gsi.h says.
 */
#include "core/gsi.h"

#include "core/machine.h"

/* A device may say the same level again. Atomic, as some sinks are called without a lock. */
static void count_edge(Machine *machine, int pin, int level)
{
    uint32_t bit = 1u << pin, levels = __atomic_load_n(&machine->gsi_levels, __ATOMIC_RELAXED);

    if (!(levels & bit) == !level)
        return;
    if (level) {
        __atomic_fetch_or(&machine->gsi_levels, bit, __ATOMIC_RELAXED);
        __atomic_fetch_add(&machine->gsi_raised[pin], 1, __ATOMIC_RELAXED);
    } else {
        __atomic_fetch_and(&machine->gsi_levels, ~bit, __ATOMIC_RELAXED);
    }
}

static void gsi_set(void *opaque, int pin, int level)
{
    Machine *machine = opaque;

    count_edge(machine, pin, level);
    if (machine->gsi_watch.handler)
        machine->gsi_watch.handler(machine->gsi_watch.opaque, pin, level);
    else
        irq_set(&machine->gsi[pin], level);
}

Irq machine_gsi(Machine *machine, int gsi)
{
    if (!machine || gsi < 0 || gsi >= GSI_COUNT)
        return (Irq){0};
    return (Irq){.handler = gsi_set, .opaque = machine, .pin = gsi};
}
