/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The PS/2 mouse, with wheel and five buttons for those who ask.
 * Sources: IBM PS/2 Hardware Interface Technical Reference, "Mouse"; Microsoft's Intellimouse extensions:
 * sample rates 200, 100, 80 set in a row turn the wheel on (id 3), 200, 200, 80 the buttons as well (id 4).
 *
 * Movements are summed until they fit a packet and the queue has room, so a guest that reads slowly sees
 * fewer and larger ones, and no more than 127 notches or counts a packet.
 *
 * Not modelled: sample rate and resolution change nothing but the status report; 2:1 scaling neither.
 *
 * Locking: machine_lock.
 */
#include <glib.h>

#include "hw/input/ps2.h"

enum {
    MOUSE_SCALE_1 = 0xe6,
    MOUSE_SCALE_2 = 0xe7,
    MOUSE_RESOLUTION = 0xe8,
    MOUSE_STATUS = 0xe9,
    MOUSE_STREAM = 0xea,
    MOUSE_READ = 0xeb,
    MOUSE_UNWRAP = 0xec,
    MOUSE_WRAP = 0xee,
    MOUSE_REMOTE = 0xf0,
    MOUSE_IDENTIFY = 0xf2,
    MOUSE_RATE = 0xf3,
    MOUSE_ENABLE = 0xf4,
    MOUSE_DISABLE = 0xf5,
    MOUSE_DEFAULTS = 0xf6,
    MOUSE_RESEND = 0xfe,
    MOUSE_RESET = 0xff,
    ANSWER_ACK = 0xfa,
    ANSWER_ERROR = 0xfc,
    ANSWER_TEST_PASSED = 0xaa,
};

/* A packet's first byte. */
#define PACKET_ALWAYS 0x08
#define PACKET_X_SIGN 0x10
#define PACKET_Y_SIGN 0x20
/* The status report's. */
#define STATUS_REMOTE 0x40
#define STATUS_REPORTING 0x20
#define STATUS_SCALING 0x10

#define ID_WHEEL 3
#define ID_FIVE_BUTTONS 4

/* --- packets --- */

static int take(int32_t *delta, int limit)
{
    int part = CLAMP(*delta, -limit, limit);

    *delta -= part;
    return part;
}

static unsigned packet_size(const Ps2MouseRegs *r)
{
    return r->id ? 4 : 3;
}

static void push_packet(Ps2MouseRegs *r)
{
    int x = take(&r->delta[INPUT_AXIS_X], 127), y = take(&r->delta[INPUT_AXIS_Y], 127);
    int wheel = take(&r->delta[INPUT_AXIS_WHEEL], r->id == ID_FIVE_BUTTONS ? 7 : 127);

    /* Upward is positive here and downward on a screen. */
    y = -y;
    ps2_queue_push(&r->out, PACKET_ALWAYS | (r->buttons & 7) | (x < 0 ? PACKET_X_SIGN : 0) | (y < 0 ? PACKET_Y_SIGN : 0));
    ps2_queue_push(&r->out, x);
    ps2_queue_push(&r->out, y);
    /* The wheel counts toward the user. */
    if (r->id == ID_WHEEL)
        ps2_queue_push(&r->out, -wheel);
    else if (r->id == ID_FIVE_BUTTONS)
        ps2_queue_push(&r->out, (-wheel & 0x0f) | (r->buttons & 0x18) << 1);
    r->changed = r->delta[INPUT_AXIS_X] || r->delta[INPUT_AXIS_Y] || r->delta[INPUT_AXIS_WHEEL];
}

static void notify(Ps2Mouse *mouse)
{
    if (mouse->regs.out.len)
        mouse->link.changed(mouse->link.opaque);
}

void ps2_mouse_continue(Ps2Mouse *mouse)
{
    Ps2MouseRegs *r = &mouse->regs;

    if (!r->reporting || r->remote || r->wrap)
        return;
    while (r->changed && r->out.len + packet_size(r) <= PS2_QUEUE_EVENTS)
        push_packet(r);
}

static void rel_event(void *opaque, InputAxis axis, int delta)
{
    Ps2MouseRegs *r = &((Ps2Mouse *)opaque)->regs;

    if (!r->id && axis == INPUT_AXIS_WHEEL)
        return;
    /* What a guest does not fetch does not grow for ever. */
    r->delta[axis] = CLAMP(r->delta[axis] + (int64_t)delta, -4096, 4096);
    r->changed = true;
}

static void button_event(void *opaque, InputButton button, bool down)
{
    static const uint8_t bits[INPUT_BUTTON_COUNT] = {0x01, 0x02, 0x04, 0x08, 0x10};
    Ps2MouseRegs *r = &((Ps2Mouse *)opaque)->regs;

    r->buttons = down ? r->buttons | bits[button] : r->buttons & ~bits[button];
    r->changed = true;
}

static void sync_event(void *opaque)
{
    Ps2Mouse *mouse = opaque;

    ps2_mouse_continue(mouse);
    notify(mouse);
}

/* --- commands --- */

static void set_defaults(Ps2MouseRegs *r)
{
    r->rate = 100;
    r->resolution = 2;
    r->reporting = r->remote = r->wrap = r->scaling = false;
    r->changed = false;
    for (int i = 0; i < INPUT_AXIS_COUNT; i++)
        r->delta[i] = 0;
    ps2_queue_clear(&r->out);
}

/* 200, 100, 80 or 200, 200, 80: two states after the first 200. */
static void hear_rate(Ps2MouseRegs *r, uint8_t rate)
{
    enum { NOTHING, HEARD_200, HEARD_100, HEARD_200_TWICE };

    if (rate == 80 && r->knock == HEARD_100)
        r->id = ID_WHEEL;
    else if (rate == 80 && r->knock == HEARD_200_TWICE)
        r->id = ID_FIVE_BUTTONS;
    if (rate == 200)
        r->knock = r->knock == HEARD_200 ? HEARD_200_TWICE : HEARD_200;
    else
        r->knock = rate == 100 && r->knock == HEARD_200 ? HEARD_100 : NOTHING;
}

static void run_argument(Ps2MouseRegs *r, uint8_t command, uint8_t value)
{
    if (command == MOUSE_RESOLUTION) {
        r->resolution = value & 3;
    } else {
        r->rate = value;
        hear_rate(r, value);
    }
    ps2_queue_push(&r->out, ANSWER_ACK);
}

static void report_status(Ps2MouseRegs *r)
{
    uint8_t buttons = (r->buttons & 1) << 2 | (r->buttons & 4) >> 1 | (r->buttons & 2) >> 1;

    ps2_queue_push(&r->out, (r->remote ? STATUS_REMOTE : 0) | (r->reporting ? STATUS_REPORTING : 0) |
                                (r->scaling ? STATUS_SCALING : 0) | buttons);
    ps2_queue_push(&r->out, r->resolution);
    ps2_queue_push(&r->out, r->rate);
}

static void run_command(Ps2Mouse *mouse, uint8_t command)
{
    Ps2MouseRegs *r = &mouse->regs;

    ps2_queue_clear(&r->out); /* an answer comes first: what was queued is lost */
    ps2_queue_push(&r->out, ANSWER_ACK);
    switch (command) {
    case MOUSE_SCALE_1:
    case MOUSE_SCALE_2:
        r->scaling = command == MOUSE_SCALE_2;
        break;
    case MOUSE_RESOLUTION:
    case MOUSE_RATE:
        r->command = command;
        break;
    case MOUSE_STATUS:
        report_status(r);
        break;
    case MOUSE_STREAM:
    case MOUSE_REMOTE:
        r->remote = command == MOUSE_REMOTE;
        break;
    case MOUSE_READ:
        push_packet(r);
        break;
    case MOUSE_UNWRAP:
    case MOUSE_WRAP:
        r->wrap = command == MOUSE_WRAP;
        break;
    case MOUSE_IDENTIFY:
        ps2_queue_push(&r->out, r->id);
        break;
    case MOUSE_ENABLE:
    case MOUSE_DISABLE:
        r->reporting = command == MOUSE_ENABLE;
        break;
    case MOUSE_DEFAULTS:
        set_defaults(r);
        ps2_queue_push(&r->out, ANSWER_ACK);
        break;
    case MOUSE_RESEND:
        ps2_queue_clear(&r->out);
        ps2_queue_push(&r->out, r->out.last);
        break;
    case MOUSE_RESET:
        ps2_mouse_reset(mouse);
        ps2_queue_push(&r->out, ANSWER_ACK);
        ps2_queue_push(&r->out, ANSWER_TEST_PASSED);
        ps2_queue_push(&r->out, 0);
        break;
    default:
        ps2_queue_clear(&r->out);
        ps2_queue_push(&r->out, ANSWER_ERROR);
        break;
    }
}

void ps2_mouse_write(Ps2Mouse *mouse, uint8_t value)
{
    Ps2MouseRegs *r = &mouse->regs;
    uint8_t command = r->command;

    r->command = 0;
    if (r->wrap && value != MOUSE_UNWRAP && value != MOUSE_RESET)
        ps2_queue_push(&r->out, value);
    else if (command)
        run_argument(r, command, value);
    else
        run_command(mouse, value);
    notify(mouse);
}

/* --- life cycle --- */

void ps2_mouse_init(Ps2Mouse *mouse, Ps2Link link)
{
    mouse->link = link;
    mouse->input = (InputHandler){.rel = rel_event, .button = button_event, .sync = sync_event, .opaque = mouse};
    ps2_mouse_reset(mouse);
    input_add_handler(&mouse->input);
}

void ps2_mouse_release(Ps2Mouse *mouse)
{
    input_remove_handler(&mouse->input);
}

void ps2_mouse_reset(Ps2Mouse *mouse)
{
    mouse->regs = (Ps2MouseRegs){0};
    set_defaults(&mouse->regs);
}
