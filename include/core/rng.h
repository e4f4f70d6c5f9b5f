/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Sources of random bytes for guests: "-object rng-random" (a file of the host) and "-object
 * rng-builtin" (getrandom(2)).
 *
 * A request is embedded in the device that makes it:
 *
 *               rng_request_submit              bytes arrived
 *     IDLE -----------------------------> BUSY ---------------> IDLE, then done(opaque, len)
 *       ^  <-----------------------------   |
 *               rng_request_cancel
 *
 * done gets how many of the bytes asked for have been written to buf: at least one, or 0 if the
 * source has failed or ended (then a later request may be tried). A source gives what it has; who
 * wants more asks again.
 *
 * Threads: a request belongs to one loop. Submit and cancel on its thread (the main loop: with
 * machine_lock); done runs there, never inside submit, and never after cancel has returned.
 */
#ifndef CORE_RNG_H
#define CORE_RNG_H

#include "core/loop.h"
#include "core/object.h"

typedef struct Rng Rng;

typedef struct RngRequest {
    Rng *rng;
    EventLoop *loop;
    void (*done)(void *opaque, size_t len);
    void *opaque;

    Timer timer; /* makes done come from the loop */
    guint watch; /* 0: not waiting for the source */
    uint8_t *buf;
    size_t len;
} RngRequest;

extern const ObjectType rng_random_type, rng_builtin_type;

/* NULL if no object of this id is a source. */
Rng *rng_find(const Machine *machine, const char *id);
Object *rng_object(Rng *rng);

/* Holds the source until rng_request_release; loop NULL: the main loop. machine_lock. */
void rng_request_init(RngRequest *req, Rng *rng, EventLoop *loop, void (*done)(void *opaque, size_t len),
                      void *opaque);
/* Cancels. machine_lock, and the loop's thread or its loop no longer running. */
void rng_request_release(RngRequest *req);
/* The request is IDLE. len > 0; buf stays valid until done or cancel. */
void rng_request_submit(RngRequest *req, void *buf, size_t len);
void rng_request_cancel(RngRequest *req);
bool rng_request_busy(const RngRequest *req);

#endif
