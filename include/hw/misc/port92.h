/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * System control port A (port 92h): fast A20 gate and fast reset.
 * Source: ICH9 data sheet 13.7.4 (PORT92).
 *
 * Locking: machine_lock.
 */
#ifndef HW_MISC_PORT92_H
#define HW_MISC_PORT92_H

#include "core/device.h"
#include "core/irq.h"
#include "core/memory.h"

typedef struct Port92 {
    Device dev;
    uint8_t value;
    MemoryRegion io; /* 1 port; initialised by realize, mapped by the board */
    Irq a20;
} Port92;

extern const DeviceType port92_type;

void port92_connect(Port92 *port, Irq a20);

#endif
