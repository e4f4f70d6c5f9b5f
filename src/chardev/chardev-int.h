/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a character backend implements, and how it reaches its front end.
 *
 *     device --char_write--> ChardevOps.write --> host
 *     host --> backend --chardev_deliver--> CharHandlers.read --> device
 *
 * Locking: machine_lock, as in chardev/char.h.
 */
#ifndef SRC_CHARDEV_CHARDEV_INT_H
#define SRC_CHARDEV_CHARDEV_INT_H

#include "chardev/char.h"
#include "config/keyval.h"

/* What -serial takes, for its errors. */
#define LEGACY_FORMS "stdio, mon:stdio, pty, unix:PATH, tcp:HOST:PORT, telnet:HOST:PORT, file:PATH, pipe:PATH, ringbuf, null"

typedef struct ChardevOps {
    const char *kind; /* as in -serial KIND */
    size_t instance_size; /* begins with Chardev */
    /* Takes 0..len bytes without blocking; if fewer than len, chardev_writable follows. */
    size_t (*write)(Chardev *chr, const uint8_t *buf, size_t len);
    /* Whether somebody is at the other end. NULL: always. */
    bool (*is_open)(const Chardev *chr);
    /* be may be able to read again. NULL: never has input. */
    void (*accept_input)(Chardev *chr, CharBackend *be);
    /* Only backends that share themselves among front ends have these. */
    bool (*attach)(Chardev *chr, CharBackend *be, GError **errp);
    void (*detach)(Chardev *chr, CharBackend *be);
    bool (*is_used)(const Chardev *chr);
    bool (*has_focus)(const Chardev *chr, const CharBackend *be);
    void (*release)(Chardev *chr);
} ChardevOps;

struct Chardev {
    const ChardevOps *ops;
    char *id;
    char *filename; /* chardev_filename */
    int log_fd; /* gets a copy of what is written; -1: none */
    CharBackend *be; /* the front end; unused by those that have attach */
};

/* Made and registered under id, which must be free. */
Chardev *chardev_new(const ChardevOps *ops, const char *id, GError **errp);
/* Takes the string; without it the backend's kind stands for it. */
void chardev_set_filename(Chardev *chr, char *filename);
/* Unregisters, releases, frees. Its front ends are no longer connected. */
void chardev_free(Chardev *chr);

/* To one front end; be may be NULL or deaf. */
size_t front_can_read(const CharBackend *be);
void front_read(CharBackend *be, const uint8_t *buf, size_t len);
void front_writable(CharBackend *be);
void front_event(CharBackend *be, CharEvent event);
bool front_has_one_peer(const CharBackend *be);

/* fd.c: on success in_fd and out_fd are the backend's own; either may be -1; non-blocking unless
 * regular files. */
Chardev *chardev_new_fds(const char *id, int in_fd, int out_fd, GError **errp);
/* Called once, after it closed its descriptors. */
void chardev_fds_on_release(Chardev *chr, void (*fn)(void));
/* input_path may be NULL: no input. */
Chardev *chardev_new_file(const char *id, const char *path, bool append, const char *input_path, GError **errp);
/* The FIFOs PATH.in and PATH.out, or PATH for both. */
Chardev *chardev_new_pipe(const char *id, const char *path, GError **errp);
/* stdio.c. signals: keys such as Ctrl-C raise signals here instead of reaching the guest. */
Chardev *chardev_new_stdio(const char *id, int in_fd, int out_fd, bool signals, GError **errp);
/* null.c */
Chardev *chardev_new_null(const char *id, GError **errp);
/* ringbuf.c */
#define RINGBUF_DEFAULT_SIZE 65536
Chardev *chardev_new_ringbuf(const char *id, uint64_t size, GError **errp);
/* pty.c */
Chardev *chardev_new_pty(const char *id, GError **errp);
/* socket.c */
Chardev *chardev_new_socket(const char *id, KvNode *kv, GError **errp);
/* mux.c: shares base, which it takes over (and frees on failure). */
Chardev *chardev_new_mux(const char *id, Chardev *base, GError **errp);
/* Values of -chardev's properties (backends.c). */
bool chardev_option_bool(KvNode *kv, const char *key, bool def, bool *out, GError **errp);
const char *chardev_option_required(KvNode *kv, const char *key, GError **errp);
/* What Ctrl-a x and Ctrl-a s call; chardev_request_commit's text is the caller's. */
void chardev_request_quit(void);
char *chardev_request_commit(void);
/* Whether somebody is at the other end of it. */
bool chardev_is_open(const Chardev *chr);

#endif
