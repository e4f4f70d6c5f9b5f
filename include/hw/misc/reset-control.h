/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The reset control register (port CF9h).
 * Source: ICH9 data sheet 13.7.5 (RST_CNT).
 *
 * Locking: machine_lock.
 */
#ifndef HW_MISC_RESET_CONTROL_H
#define HW_MISC_RESET_CONTROL_H

#include "core/device.h"
#include "core/memory.h"

#define RESET_CONTROL_PORT 0xcf9

/* RST_CNT */
#define RST_CNT_SYS_RST 0x02 /* 1: hard reset, 0: soft reset (INIT) */
#define RST_CNT_RST_CPU 0x04 /* a change from 0 to 1 starts the reset */
#define RST_CNT_FULL_RST 0x08

typedef struct ResetControl {
    Device dev;
    uint8_t value;
    MemoryRegion io; /* 1 port; priority above CF8h's; initialised by realize, mapped by the board */
} ResetControl;

extern const DeviceType reset_control_type;

#endif
