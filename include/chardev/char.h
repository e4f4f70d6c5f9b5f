/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Character backends: where a serial port's bytes come from and go to.
 *
 * A Chardev (stdio, file, null, ... made by option or by id) has one front end, a CharBackend
 * embedded in the device that reads and writes it. A mux chardev shares one Chardev among several
 * front ends.
 *
 * Backpressure, both ways, with nothing lost: a backend delivers at most char_can_read() bytes and
 * asks again after char_accept_input(); char_write() may take fewer bytes than offered, then
 * calls writable once there is room again.
 *
 * Locking: machine_lock; callbacks run on the main loop.
 */
#ifndef CHARDEV_CHAR_H
#define CHARDEV_CHAR_H

#include <glib.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "config/keyval.h"

typedef struct Chardev Chardev;

typedef enum CharEvent {
    CHAR_EVENT_OPENED, /* a peer is there */
    CHAR_EVENT_CLOSED,
    CHAR_EVENT_BREAK,  /* serial break, Ctrl-a b */
    CHAR_EVENT_FOCUS,  /* of the front ends of a mux this one has the keyboard now */
} CharEvent;

/* The front end's callbacks; any may be NULL. */
typedef struct CharHandlers {
    size_t (*can_read)(void *opaque); /* bytes it takes now */
    void (*read)(void *opaque, const uint8_t *buf, size_t len); /* len <= can_read() */
    void (*writable)(void *opaque);
    void (*event)(void *opaque, CharEvent event);
    /* Each peer is a conversation of its own: what one was not sent, and what it left unread, ends with it.
     * Without it, as for a serial line, the next peer goes on where the last one left. */
    bool one_peer;
} CharHandlers;

typedef struct CharBackend {
    Chardev *chr; /* NULL: not connected; writes vanish */
    const CharHandlers *handlers;
    void *opaque;
} CharBackend;

/* Binds the front end to a chardev; error if it is taken and is not a mux. */
bool char_attach(CharBackend *be, Chardev *chr, GError **errp);
void char_detach(CharBackend *be);
/* Handlers NULL: deaf. Hears OPENED at once if somebody is at the other end already. */
void char_set_handlers(CharBackend *be, const CharHandlers *handlers, void *opaque);
/* Returns the bytes taken, 0..len; all of them when not connected. Never blocks. */
size_t char_write(CharBackend *be, const uint8_t *buf, size_t len);
/* The front end can take input again. */
void char_accept_input(CharBackend *be);
/* Whether input goes to this front end; false for one that shares a mux and is not its focus. */
bool char_has_focus(const CharBackend *be);

/* By id, NULL if unknown. */
Chardev *chardev_find(const char *id);
const char *chardev_id(const Chardev *chr);
/* What is behind it, as QEMU writes it: "pty:/dev/pts/3", "unix:/path,server=on", "null". */
const char *chardev_filename(const Chardev *chr);
/* A front end is attached. */
bool chardev_is_used(const Chardev *chr);
/* Ends one that nothing uses; else an error. */
bool chardev_delete(Chardev *chr, GError **errp);
/* Names of the backends there are. */
void chardev_backends_foreach(void (*fn)(const char *name, void *opaque), void *opaque);
/* In the order they were made. */
void chardev_foreach(void (*fn)(const Chardev *chr, void *opaque), void *opaque);
/* -chardev: properties of a backend, "backend" and "id" among them. The check changes nothing. */
bool chardev_options_check(KvNode *kv, GError **errp);
Chardev *chardev_new_from_options(KvNode *kv, GError **errp);
/* NULL: all backends. */
void chardev_print_help(const char *backend, GString *out);
/*
 * Makes a chardev from a legacy "-serial" style argument: stdio, null, file:PATH, mon:stdio, ...,
 * or finds chardev:ID. The error names the argument, the reason and the remedy.
 */
Chardev *chardev_new_legacy(const char *id, const char *spec, GError **errp);
/* Takes up to len bytes out of a ringbuf, oldest first. */
bool chardev_is_ringbuf(const Chardev *chr);
size_t chardev_ringbuf_read(Chardev *chr, uint8_t *buf, size_t len);
/* What Ctrl-a x on a mux does: asks for the end of the VM. */
void chardev_set_quit_hook(void (*fn)(void *opaque), void *opaque);
/* What Ctrl-a s does: writes temporary overlays of disks to their images. fn returns one line for the
 * user, whether it worked or not. */
void chardev_set_commit_hook(char *(*fn)(void *opaque), void *opaque);
/* Flushes what can be flushed, restores the terminal, closes everything. At exit. */
void chardev_cleanup(void);

#endif
