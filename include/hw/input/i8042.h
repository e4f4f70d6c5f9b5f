/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The 8042 keyboard controller: command set, output port (A20, reset), with a keyboard and a mouse
 * (hw/input/ps2.h) at its ports.
 * Sources: IBM PC/AT Technical Reference, "Keyboard Controller"; ICH9 data sheet 5.18.
 *
 * Locking: machine_lock.
 */
#ifndef HW_INPUT_I8042_H
#define HW_INPUT_I8042_H

#include "core/device.h"
#include "core/irq.h"
#include "core/memory.h"
#include "hw/input/ps2.h"

#define I8042_QUEUE_SIZE 16

/* A byte on its way to the guest, with the status bits that go with it. */
typedef struct I8042Byte {
    uint8_t value;
    uint8_t status;
} I8042Byte;

typedef struct I8042Regs {
    uint8_t status;       /* port 64h; the output-buffer bits are computed */
    uint8_t output_port;  /* bit 0: not reset, bit 1: A20 */
    uint8_t write_cmd;    /* command waiting for its byte on port 60h, 0: none */
    I8042Byte output;     /* the output buffer, which keeps its byte after a read */
    bool full;            /* the guest has not read it yet */
    bool translating_break; /* F0 came from the keyboard: the next byte gets bit 7 */
    I8042Byte queue[I8042_QUEUE_SIZE]; /* the controller's own answers, oldest first */
    uint8_t queue_len;
    uint8_t ram[32];      /* commands 20h..3Fh, 60h..7Fh; [0] is the command byte */
} I8042Regs;

typedef struct I8042 {
    Device dev;
    I8042Regs regs;
    Ps2Kbd kbd;
    Ps2Mouse mouse;
    MemoryRegion data;    /* 1 port, 60h; initialised by realize, mapped by the board */
    MemoryRegion command; /* 1 port, 64h */
    Irq kbd_irq;          /* IRQ 1 */
    Irq aux_irq;          /* IRQ 12 */
    Irq a20;              /* 1: address line 20 is let through */
} I8042;

extern const DeviceType i8042_type;

/* Before realize. Reset requests go to the machine. */
void i8042_connect(I8042 *kbc, Irq kbd_irq, Irq aux_irq, Irq a20);
/* Someone else (port 92h) moved the A20 gate: the output port shows it. */
void i8042_note_a20(I8042 *kbc, bool on);

#endif
