/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A line editor for a terminal at the other end of bytes: no file descriptor, so no library's.
 *
 *     arrows, Home, End, Delete, Backspace     Ctrl-A -E -B -F -D -H -P -N   move and delete
 *     Ctrl-K -U -W     delete to the end, all before, the word before        Ctrl-C   start anew
 *     Tab              complete                                              Ctrl-L   show again
 *
 * Escape sequences are those of VT100 and xterm. Text is bytes below 80h; others are ignored.
 *
 * Locking: the owner's.
 */
#ifndef SRC_MONITOR_READLINE_H
#define SRC_MONITOR_READLINE_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

#define READLINE_LENGTH_MAX 4095
#define READLINE_HISTORY_MAX 128

typedef struct ReadlineOps {
    void (*show)(void *opaque, const char *text);
    void (*line)(void *opaque, const char *line); /* Enter; the next prompt is readline_prompt's */
    GPtrArray *(*complete)(void *opaque, const char *before); /* of char *: what the last word could be */
} ReadlineOps;

typedef struct Readline {
    const ReadlineOps *ops;
    void *opaque;
    const char *prompt;
    GString *text;
    gsize cursor;
    GPtrArray *history; /* of char *, oldest first */
    guint recalled;     /* index in history; its length: the line being typed */
    char *typed;        /* that line, while another is recalled */
    enum { KEY_PLAIN, KEY_ESCAPE, KEY_SEQUENCE } state;
    unsigned number;    /* of the sequence */
    bool after_return;  /* a line feed or NUL after it belongs to it */
} Readline;

void readline_init(Readline *rl, const ReadlineOps *ops, void *opaque, const char *prompt);
void readline_release(Readline *rl);
/* An empty line, without history. */
void readline_reset(Readline *rl);
void readline_prompt(Readline *rl);
void readline_feed(Readline *rl, uint8_t byte);

#endif
