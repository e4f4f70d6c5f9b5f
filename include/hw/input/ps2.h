/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The PS/2 keyboard and mouse: what is at the other end of the 8042's two cables.
 * Sources: IBM PS/2 Hardware Interface Technical Reference, "Keyboard" (101/102 keys) and "Mouse";
 * Microsoft, "Intellimouse extensions" (wheel and buttons 4 and 5).
 *
 * A device has a queue of bytes for the controller, which takes them when it can. changed is called
 * when the queue was empty and is not any more.
 *
 * Locking: machine_lock.
 */
#ifndef HW_INPUT_PS2_H
#define HW_INPUT_PS2_H

#include <stdbool.h>
#include <stdint.h>

#include "ui/input.h"

#define PS2_QUEUE_SIZE 64
/* Events are dropped beyond this, so that answers to commands find room. */
#define PS2_QUEUE_EVENTS 48

typedef struct Ps2Queue {
    uint8_t data[PS2_QUEUE_SIZE];
    uint8_t head, len;
    uint8_t last; /* the byte taken last, for RESEND */
} Ps2Queue;

bool ps2_queue_pop(Ps2Queue *queue, uint8_t *byte);
/* A full queue loses the byte. */
void ps2_queue_push(Ps2Queue *queue, uint8_t byte);
void ps2_queue_clear(Ps2Queue *queue);

/* Where a device says that it has something. */
typedef struct Ps2Link {
    void (*changed)(void *opaque);
    void *opaque;
} Ps2Link;

typedef struct Ps2KbdRegs {
    Ps2Queue out;
    uint8_t scan_set; /* 1 or 2 */
    uint8_t command;  /* waits for its argument; 0: none */
    uint8_t leds;
    bool scanning;    /* keys are reported */
} Ps2KbdRegs;

typedef struct Ps2Kbd {
    Ps2KbdRegs regs;
    Ps2Link link;
    InputHandler input;
} Ps2Kbd;

void ps2_kbd_init(Ps2Kbd *kbd, Ps2Link link);
void ps2_kbd_release(Ps2Kbd *kbd);
void ps2_kbd_reset(Ps2Kbd *kbd);
/* A byte from the controller. */
void ps2_kbd_write(Ps2Kbd *kbd, uint8_t value);
/* What the 8042 makes of a byte of scan code set 2 with translation on. */
uint8_t ps2_translate(uint8_t set2);

typedef struct Ps2MouseRegs {
    Ps2Queue out;
    uint8_t id;        /* 0: three buttons, 3: with wheel, 4: with five buttons */
    uint8_t command;   /* waits for its argument; 0: none */
    uint8_t rate, resolution;
    uint8_t knock;     /* how much of a sequence of rates that unlocks the extensions was seen */
    bool reporting, remote, wrap, scaling;
    uint8_t buttons;   /* as in a packet; bits 3 and 4: side and extra */
    bool changed;      /* since the last packet */
    int32_t delta[INPUT_AXIS_COUNT];
} Ps2MouseRegs;

typedef struct Ps2Mouse {
    Ps2MouseRegs regs;
    Ps2Link link;
    InputHandler input;
} Ps2Mouse;

void ps2_mouse_init(Ps2Mouse *mouse, Ps2Link link);
void ps2_mouse_release(Ps2Mouse *mouse);
void ps2_mouse_reset(Ps2Mouse *mouse);
void ps2_mouse_write(Ps2Mouse *mouse, uint8_t value);
/* The controller has taken bytes: movements that found no room may follow. */
void ps2_mouse_continue(Ps2Mouse *mouse);

#endif
