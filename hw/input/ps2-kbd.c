/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The PS/2 keyboard.
 * Source: IBM PS/2 Hardware Interface Technical Reference, "Keyboard": commands, scan code sets 1 and 2.
 *
 * Not modelled: scan code set 3 (asking for it is answered with RESEND), typematic repeat (who types sends
 * the repeats), Num Lock's extra codes around the cursor keys.
 *
 * Locking: machine_lock.
 */
#include <glib.h>
#include <linux/input-event-codes.h>
#include <string.h>

#include "hw/input/ps2.h"

/* Commands and answers. */
enum {
    KBD_SET_LEDS = 0xed,
    KBD_ECHO = 0xee,
    KBD_SCAN_SET = 0xf0,
    KBD_IDENTIFY = 0xf2,
    KBD_SET_RATE = 0xf3,
    KBD_ENABLE = 0xf4,
    KBD_DISABLE = 0xf5,
    KBD_DEFAULTS = 0xf6,
    KBD_RESEND = 0xfe,
    KBD_RESET = 0xff,
    ANSWER_ACK = 0xfa,
    ANSWER_RESEND = 0xfe,
    ANSWER_TEST_PASSED = 0xaa,
};

#define SET1_BREAK 0x80
#define SET2_BREAK 0xf0
#define EXTENDED 0xe0
#define EXTENDED_PAUSE 0xe1

/* The 8042's translation of set 2 into set 1, PC/AT Technical Reference "Scan code translation". What is
 * beyond the table is its own translation. */
static const uint8_t set1_of_set2[] = {
    0xff, 0x43, 0x41, 0x3f, 0x3d, 0x3b, 0x3c, 0x58, 0x64, 0x44, 0x42, 0x40, 0x3e, 0x0f, 0x29, 0x59,
    0x65, 0x38, 0x2a, 0x70, 0x1d, 0x10, 0x02, 0x5a, 0x66, 0x71, 0x2c, 0x1f, 0x1e, 0x11, 0x03, 0x5b,
    0x67, 0x2e, 0x2d, 0x20, 0x12, 0x05, 0x04, 0x5c, 0x68, 0x39, 0x2f, 0x21, 0x14, 0x13, 0x06, 0x5d,
    0x69, 0x31, 0x30, 0x23, 0x22, 0x15, 0x07, 0x5e, 0x6a, 0x72, 0x32, 0x24, 0x16, 0x08, 0x09, 0x5f,
    0x6b, 0x33, 0x25, 0x17, 0x18, 0x0b, 0x0a, 0x60, 0x6c, 0x34, 0x35, 0x26, 0x27, 0x19, 0x0c, 0x61,
    0x6d, 0x73, 0x28, 0x74, 0x1a, 0x0d, 0x62, 0x6e, 0x3a, 0x36, 0x1c, 0x1b, 0x75, 0x2b, 0x63, 0x76,
    0x55, 0x56, 0x77, 0x78, 0x79, 0x7a, 0x0e, 0x7b, 0x7c, 0x4f, 0x7d, 0x4b, 0x47, 0x7e, 0x7f, 0x6f,
    0x52, 0x53, 0x50, 0x4c, 0x4d, 0x48, 0x01, 0x45, 0x57, 0x4e, 0x51, 0x4a, 0x37, 0x49, 0x46, 0x54,
    0x80, 0x81, 0x82, 0x41, 0x54,
};

/* Keys whose set 1 code is preceded by E0; Linux's codes of all others up to F12 are set 1's. */
static const struct {
    uint16_t key;
    uint8_t set1;
} extended_keys[] = {
    {KEY_KPENTER, 0x1c},  {KEY_RIGHTCTRL, 0x1d}, {KEY_KPSLASH, 0x35},  {KEY_SYSRQ, 0x37},    {KEY_RIGHTALT, 0x38},
    {KEY_HOME, 0x47},     {KEY_UP, 0x48},        {KEY_PAGEUP, 0x49},   {KEY_LEFT, 0x4b},     {KEY_RIGHT, 0x4d},
    {KEY_END, 0x4f},      {KEY_DOWN, 0x50},      {KEY_PAGEDOWN, 0x51}, {KEY_INSERT, 0x52},   {KEY_DELETE, 0x53},
    {KEY_LEFTMETA, 0x5b}, {KEY_RIGHTMETA, 0x5c}, {KEY_COMPOSE, 0x5d},  {KEY_POWER, 0x5e},    {KEY_SLEEP, 0x5f},
    {KEY_WAKEUP, 0x63},   {KEY_MUTE, 0x20},      {KEY_VOLUMEDOWN, 0x2e}, {KEY_VOLUMEUP, 0x30},
};

/* --- the queue --- */

bool ps2_queue_pop(Ps2Queue *queue, uint8_t *byte)
{
    if (!queue->len)
        return false;
    *byte = queue->last = queue->data[queue->head];
    queue->head = (queue->head + 1) % PS2_QUEUE_SIZE;
    queue->len--;
    return true;
}

void ps2_queue_push(Ps2Queue *queue, uint8_t byte)
{
    if (queue->len < PS2_QUEUE_SIZE)
        queue->data[(queue->head + queue->len++) % PS2_QUEUE_SIZE] = byte;
}

void ps2_queue_clear(Ps2Queue *queue)
{
    queue->head = queue->len = 0;
}

/* --- keys --- */

uint8_t ps2_translate(uint8_t set2)
{
    return set2 < sizeof(set1_of_set2) ? set1_of_set2[set2] : set2;
}

static uint8_t set2_of_set1(uint8_t set1)
{
    for (unsigned i = 1; i < sizeof(set1_of_set2); i++) {
        if (set1_of_set2[i] == set1)
            return i;
    }
    return 0;
}

/* The key's code in set 1, 0 if it has none. */
static uint8_t set1_of_key(unsigned key, bool *extended)
{
    *extended = false;
    if ((key >= KEY_ESC && key <= KEY_KPDOT) || (key >= KEY_102ND && key <= KEY_F12))
        return key;
    *extended = true;
    for (size_t i = 0; i < G_N_ELEMENTS(extended_keys); i++) {
        if (extended_keys[i].key == key)
            return extended_keys[i].set1;
    }
    return 0;
}

static void push_code(Ps2Kbd *kbd, uint8_t set1, bool down)
{
    Ps2Queue *out = &kbd->regs.out;

    if (kbd->regs.scan_set == 1) {
        ps2_queue_push(out, set1 | (down ? 0 : SET1_BREAK));
        return;
    }
    if (!down)
        ps2_queue_push(out, SET2_BREAK);
    ps2_queue_push(out, set2_of_set1(set1));
}

/* Pause has no break code: make and break of two codes, at once. */
static void push_pause(Ps2Kbd *kbd)
{
    for (int down = 1; down >= 0; down--) {
        ps2_queue_push(&kbd->regs.out, EXTENDED_PAUSE);
        push_code(kbd, 0x1d, down);
        push_code(kbd, 0x45, down);
    }
}

static void notify(Ps2Kbd *kbd)
{
    if (kbd->regs.out.len)
        kbd->link.changed(kbd->link.opaque);
}

static void key_event(void *opaque, unsigned code, bool down)
{
    Ps2Kbd *kbd = opaque;
    bool extended;
    uint8_t set1 = set1_of_key(code, &extended);

    if (!kbd->regs.scanning || kbd->regs.out.len >= PS2_QUEUE_EVENTS)
        return;
    if (code == KEY_PAUSE) {
        if (down)
            push_pause(kbd);
    } else if (set1) {
        if (extended)
            ps2_queue_push(&kbd->regs.out, EXTENDED);
        push_code(kbd, set1, down);
    }
    notify(kbd);
}

/* --- commands --- */

static void set_defaults(Ps2Kbd *kbd)
{
    ps2_queue_clear(&kbd->regs.out);
    kbd->regs.scan_set = 2;
}

static void run_argument(Ps2Kbd *kbd, uint8_t command, uint8_t value)
{
    Ps2KbdRegs *r = &kbd->regs;

    switch (command) {
    case KBD_SET_LEDS:
        r->leds = value & 7;
        break;
    case KBD_SCAN_SET:
        if (value > 2) {
            ps2_queue_push(&r->out, ANSWER_RESEND);
            return;
        }
        ps2_queue_push(&r->out, ANSWER_ACK);
        if (value)
            r->scan_set = value;
        else
            ps2_queue_push(&r->out, r->scan_set);
        return;
    }
    ps2_queue_push(&r->out, ANSWER_ACK);
}

static void run_command(Ps2Kbd *kbd, uint8_t command)
{
    Ps2KbdRegs *r = &kbd->regs;

    switch (command) {
    case KBD_ECHO:
        ps2_queue_push(&r->out, KBD_ECHO);
        break;
    case KBD_IDENTIFY:
        ps2_queue_push(&r->out, ANSWER_ACK);
        ps2_queue_push(&r->out, 0xab);
        ps2_queue_push(&r->out, 0x83);
        break;
    case KBD_SET_LEDS:
    case KBD_SCAN_SET:
    case KBD_SET_RATE:
        r->command = command;
        ps2_queue_push(&r->out, ANSWER_ACK);
        break;
    case KBD_ENABLE:
        ps2_queue_clear(&r->out);
        r->scanning = true;
        ps2_queue_push(&r->out, ANSWER_ACK);
        break;
    case KBD_DISABLE:
    case KBD_DEFAULTS:
        set_defaults(kbd);
        r->scanning = command == KBD_DEFAULTS;
        ps2_queue_push(&r->out, ANSWER_ACK);
        break;
    case KBD_RESEND:
        ps2_queue_push(&r->out, r->out.last);
        break;
    case KBD_RESET:
        ps2_kbd_reset(kbd);
        ps2_queue_push(&r->out, ANSWER_ACK);
        ps2_queue_push(&r->out, ANSWER_TEST_PASSED);
        break;
    default:
        ps2_queue_push(&r->out, ANSWER_RESEND);
        break;
    }
}

/* A command instead of an argument is a command. */
void ps2_kbd_write(Ps2Kbd *kbd, uint8_t value)
{
    uint8_t command = kbd->regs.command;

    kbd->regs.command = 0;
    if (command && value < KBD_SET_LEDS)
        run_argument(kbd, command, value);
    else
        run_command(kbd, value);
    notify(kbd);
}

/* --- life cycle --- */

void ps2_kbd_init(Ps2Kbd *kbd, Ps2Link link)
{
    kbd->link = link;
    kbd->input = (InputHandler){.key = key_event, .opaque = kbd};
    ps2_kbd_reset(kbd);
    input_add_handler(&kbd->input);
}

void ps2_kbd_release(Ps2Kbd *kbd)
{
    input_remove_handler(&kbd->input);
}

void ps2_kbd_reset(Ps2Kbd *kbd)
{
    kbd->regs = (Ps2KbdRegs){.scan_set = 2, .scanning = true};
}
