/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The PC's pair of 8259A interrupt controllers, cascaded through the master's IR2, with the
 * edge/level control registers (ELCR) of the EISA/PIIX bridges.
 * Sources: Intel 8259A data sheet (order 231468); ICH9 data sheet 5.8, 13.4.
 *
 * Locking: machine_lock, i8259_ack included.
 */
#ifndef HW_INTC_I8259_H
#define HW_INTC_I8259_H

#include "core/device.h"
#include "core/irq.h"
#include "core/memory.h"

/* What the guest can observe of one 8259A. */
typedef struct I8259Regs {
    uint8_t lines;     /* levels on IR7..IR0 */
    uint8_t irr;       /* interrupt request register */
    uint8_t isr;       /* in-service register */
    uint8_t imr;       /* interrupt mask register (OCW1) */
    uint8_t elcr;      /* 1: level-triggered */
    uint8_t base;      /* ICW2: vector of IR0 */
    uint8_t lowest;    /* IR of the lowest priority; 7 is fully nested order */
    uint8_t init_step; /* next ICW expected: 0 none, 2, 3, 4 */
    bool single;       /* ICW1.SNGL */
    bool level;        /* ICW1.LTIM */
    bool need_icw4;    /* ICW1.IC4 */
    bool auto_eoi;     /* ICW4.AEOI */
    bool rotate_aeoi;  /* OCW2: rotate in automatic EOI mode */
    bool special_nested; /* ICW4.SFNM */
    bool special_mask; /* OCW3.SMM */
    bool poll;         /* OCW3.P: the next read is a poll */
    bool read_isr;     /* OCW3.RIS: reads of A0=0 give the ISR */
} I8259Regs;

enum { I8259_MASTER, I8259_SLAVE, I8259_CHIPS };

typedef struct I8259 I8259;

typedef struct I8259Chip {
    I8259 *pair;
    I8259Regs regs;
    bool is_slave;
    uint8_t elcr_mask; /* lines that may be level-triggered */
    MemoryRegion io;   /* 2 ports: 20h, A0h */
    MemoryRegion elcr; /* 1 port: 4D0h, 4D1h */
} I8259Chip;

struct I8259 {
    Device dev;
    I8259Chip chip[I8259_CHIPS];
    Irq intr; /* INTR to the CPU or LINT0 */
};

extern const DeviceType i8259_type;

/* Before realize: where the master's INT output goes. The regions chip[].io and chip[].elcr are
 * initialised by realize; the board maps them. */
void i8259_connect(I8259 *pic, Irq intr);
/* The wire of ISA interrupt request n, 0..15 (2 is the cascade and ignored). */
Irq i8259_irq(I8259 *pic, int n);
/* The CPU's INTA cycles: returns the vector, a spurious IRQ7's or IRQ15's if the request is gone. */
int i8259_ack(I8259 *pic);
/* INT output of the master. */
bool i8259_intr_pending(const I8259 *pic);

#endif
