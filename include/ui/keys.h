/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Keys by name, and keys that a program presses for the user.
 *
 * Names are QEMU's ("ctrl", "ret", "kp_5"), codes Linux's, as in ui/input.h. Combinations are pressed in their
 * order, held, and let go of in reverse order; the next waits for the end of the one before. Time is the
 * virtual clock: while the VM stands, keys stay where they are.
 *
 * Locking: machine_lock; the timer runs on the main loop.
 */
#ifndef UI_KEYS_H
#define UI_KEYS_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

#define KEYS_AT_ONCE 16 /* in one combination */
#define KEYS_HOLD_MS 100
#define KEYS_HOLD_MAX_MS 60000

/* The code of a named key, or of a number of the first scan code set (without prefix). 0: there is none. */
unsigned key_code(const char *name);
unsigned key_code_of_scancode(int64_t scancode);
/* From 0 on; NULL after the last. */
const char *key_name(unsigned index);

/* "ctrl-alt-f1", or the scan codes "0x1d-0x38-0x3b". False with an error that names the key. */
bool keys_parse(const char *text, unsigned codes[KEYS_AT_ONCE], unsigned *count, GError **errp);
/* Fails if too many wait already. */
bool keys_press(const unsigned *codes, unsigned count, unsigned hold_ms, GError **errp);

#endif
