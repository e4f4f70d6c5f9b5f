/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The MC146818A real-time clock and its CMOS RAM of 128 bytes.
 * Sources: Motorola MC146818A data sheet; ICH9 data sheet 5.11 and 13.6.
 *
 * Locking: machine_lock.
 */
#ifndef HW_RTC_MC146818_H
#define HW_RTC_MC146818_H

#include "core/device.h"
#include "core/irq.h"
#include "core/loop.h"
#include "core/memory.h"

#define CMOS_SIZE 128

typedef enum RtcClock { RTC_CLOCK_HOST, RTC_CLOCK_VM } RtcClock;

typedef struct Mc146818Regs {
    uint8_t index;           /* port 70h, bit 7 (NMI mask) dropped */
    uint8_t cmos[CMOS_SIZE]; /* registers A..D at 0Ah..0Dh; the time's only while it is stopped */
    int64_t offset_ns;       /* guest's time since 1970 less the clock's reading */
    int64_t update_seen_s;   /* seconds up to here have set UF and been compared with the alarm */
    int64_t periodic_seen;   /* periods up to this clock of 32768 Hz have set PF */
} Mc146818Regs;

typedef struct Mc146818 {
    Device dev;
    Mc146818Regs regs;

    MemoryRegion io;         /* 2 ports, at 70h; initialised by realize, mapped by the board */
    Irq irq;                 /* IRQ 8 */
    Timer periodic_timer, update_timer;

    /* Properties. */
    char *base;              /* "utc", "localtime" or YYYY-MM-DD[THH:MM:SS] */
    int clock;               /* RtcClock */
} Mc146818;

extern const DeviceType mc146818_type;

/* Before realize. */
void mc146818_connect(Mc146818 *rtc, Irq irq8);
/* The firmware's bytes (0Eh and up); the century byte 32h is the clock's. After realize. */
void mc146818_set_nvram(Mc146818 *rtc, unsigned index, uint8_t value);
uint8_t mc146818_get_nvram(const Mc146818 *rtc, unsigned index);

#endif
