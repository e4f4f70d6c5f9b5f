/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The 8254 programmable interval timer and the PC's port 61h, which gates and watches channel 2.
 * Sources: Intel 8254 data sheet (order 231164); ICH9 data sheet 5.7 and 13.7.1 (NMI_SC).
 *
 * Locking: machine_lock.
 */
#ifndef HW_TIMER_I8254_H
#define HW_TIMER_I8254_H

#include "core/device.h"
#include "core/irq.h"
#include "core/loop.h"
#include "core/memory.h"

#define I8254_HZ 1193182
#define I8254_CHANNELS 3

typedef struct I8254Channel {
    uint8_t mode;         /* 0..5 */
    uint8_t rw;           /* 1 LSB, 2 MSB, 3 LSB then MSB */
    bool bcd;
    bool gate;
    bool write_msb_next, read_msb_next;
    uint8_t write_lsb;
    bool count_latched;   /* by the counter latch or read-back command */
    uint16_t count_latch;
    bool status_latched;
    uint8_t status_latch;
    bool loaded;          /* a whole count was written since the control word */
    bool triggered;       /* modes 1 and 5: GATE rose since */
    uint32_t count;       /* initial count: 1..65536, or 1..10000 in BCD */
    uint32_t next_count;  /* modes 2, 3: takes effect at next_tick; 0: none */
    /* In clocks of I8254_HZ since the virtual clock's zero. */
    int64_t start_tick;   /* the counting element took count */
    int64_t next_tick;
    int64_t paused;       /* clocks counted when GATE went low; -1: GATE does not hold the count */
} I8254Channel;

typedef struct I8254Regs {
    I8254Channel ch[I8254_CHANNELS];
    uint8_t port61; /* bits 3:0 as written */
} I8254Regs;

typedef struct I8254 {
    Device dev;
    I8254Regs regs;
    MemoryRegion io;     /* 4 ports, at 40h; initialised by realize, mapped by the board */
    MemoryRegion port61; /* 1 port, at 61h */
    Irq irq;             /* OUT0 */
    Timer timer;         /* next rising edge of OUT0 */
    int64_t edge_tick;   /* OUT0's edges up to here were sent */
    bool irq_disabled;   /* the HPET has taken over IRQ 0 */
} I8254;

extern const DeviceType i8254_type;

/* Before realize: where OUT of channel 0 goes. */
void i8254_connect(I8254 *pit, Irq out0);
/* The HPET's legacy replacement mode cuts OUT0 off (true) or gives it back. */
void i8254_set_irq_disabled(I8254 *pit, bool disabled);

#endif
