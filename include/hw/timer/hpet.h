/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The high precision event timer.
 * Source: IA-PC HPET Specification 1.0a.
 *
 * Locking: machine_lock.
 */
#ifndef HW_TIMER_HPET_H
#define HW_TIMER_HPET_H

#include "core/device.h"
#include "core/gsi.h"
#include "core/irq.h"
#include "core/loop.h"
#include "core/memory.h"

#define HPET_BASE 0xfed00000u
#define HPET_SIZE 0x400
#define HPET_TIMERS 3
#define HPET_TICK_NS 10

typedef struct HpetTimerRegs {
    uint64_t config;     /* TN_CONF, writable bits only */
    uint64_t comparator; /* the next match; periodic timers advance it */
    uint64_t period;
    uint64_t fsb;        /* TN_FSB_INT_ROUTE: address above, data below */
} HpetTimerRegs;

typedef struct HpetRegs {
    uint64_t gen_conf;
    uint32_t gintr_sta;
    uint64_t counter;  /* at start_ns while it runs */
    int64_t start_ns;  /* virtual clock */
    HpetTimerRegs timer[HPET_TIMERS];
} HpetRegs;

typedef struct Hpet Hpet;

typedef struct HpetTimer {
    Hpet *hpet;
    unsigned index;
    Timer timer;    /* next match, if its interrupt is enabled */
    int64_t due_ns; /* when that is; -1: not armed */
    int route;   /* GSI held high by this timer, -1: none */
} HpetTimer;

struct Hpet {
    Device dev;
    HpetRegs regs;
    HpetTimer timers[HPET_TIMERS];
    bool rtc_level;       /* of the clock's interrupt, which passes through here */

    /* Wiring. */
    MemoryRegion mmio;    /* initialised by realize, mapped by the board */
    Irq gsi[GSI_COUNT];
    Irq legacy;           /* 1: timers 0 and 1 replace the 8254 and the clock on IRQ 0 and 8 */
    bool legacy_capable;  /* the board can cut the 8254 off */
};

extern const DeviceType hpet_type;

/* Before realize. legacy: where the legacy replacement bit is shown; without a handler the bit does not exist. */
void hpet_connect(Hpet *hpet, const Irq gsi[GSI_COUNT], Irq legacy);
/* Input for the real-time clock's interrupt. */
Irq hpet_rtc_irq(Hpet *hpet);
/* GCAP_ID's low half, for the ACPI table. */
uint32_t hpet_block_id(const Hpet *hpet);

#endif
