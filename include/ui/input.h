/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a user does with keyboard and pointer, on its way from consoles (VNC, the monitor's sendkey) to input
 * devices.
 *
 *     input_send_key ---------------> the newest handler that takes keys
 *     input_send_rel/abs/button ----> the newest handler that takes them ... input_sync: all of one
 *                                     movement has been sent
 *
 * Keys are Linux's event codes (KEY_A is 30; linux/input-event-codes.h), whatever the guest's layout.
 *
 * Locking: machine_lock.
 */
#ifndef UI_INPUT_H
#define UI_INPUT_H

#include <stdbool.h>

typedef enum InputButton {
    INPUT_BUTTON_LEFT,
    INPUT_BUTTON_RIGHT,
    INPUT_BUTTON_MIDDLE,
    INPUT_BUTTON_SIDE,
    INPUT_BUTTON_EXTRA,
    INPUT_BUTTON_COUNT,
} InputButton;

typedef enum InputAxis {
    INPUT_AXIS_X,
    INPUT_AXIS_Y,
    INPUT_AXIS_WHEEL, /* one is a notch; positive is away from the user */
    INPUT_AXIS_COUNT,
} InputAxis;

#define INPUT_ABS_MAX 0x7fff /* absolute positions run from 0 to this */

/* Part of a device; members are NULL for what it does not take. */
typedef struct InputHandler {
    void (*key)(void *opaque, unsigned code, bool down);
    void (*rel)(void *opaque, InputAxis axis, int delta);
    void (*abs)(void *opaque, InputAxis axis, int position);
    void (*button)(void *opaque, InputButton button, bool down);
    void (*sync)(void *opaque); /* the end of what belongs together */
    void *opaque;
} InputHandler;

/* handler stays the caller's until it is removed. */
void input_add_handler(const InputHandler *handler);
void input_remove_handler(const InputHandler *handler);

/* Events nobody takes vanish. */
void input_send_key(unsigned code, bool down);
void input_send_rel(InputAxis axis, int delta);
void input_send_abs(InputAxis axis, int position);
void input_send_button(InputButton button, bool down);
void input_sync(void);
/* Whether positions will be taken as absolute: else a console sends movements. */
bool input_wants_absolute(void);

#endif
