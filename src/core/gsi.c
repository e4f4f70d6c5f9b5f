/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The board's interrupt lines: one hop from a device's wire to machine->gsi[] or a watcher.
 *
 * Locking: as core/gsi.h says.
 */
#include "core/gsi.h"

#include "core/machine.h"

static void gsi_set(void *opaque, int pin, int level)
{
    Machine *machine = opaque;

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
