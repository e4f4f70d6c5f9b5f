/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Sources of random bytes (core/rng.h).
 *
 * The file of rng-random is read without blocking: /dev/random, a hardware generator or a pipe
 * from an entropy daemon may have nothing for long. Requests of several devices may wait for one
 * file; each watches it on its own loop.
 */
#include "core/rng.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/random.h>
#include <unistd.h>

#include "core/error.h"
#include "core/host.h"
#include "core/log.h"

/* getrandom(2) gives so much without being interrupted. */
#define GETRANDOM_CHUNK 256

struct Rng {
    Object obj;
    char *filename; /* rng-random */
    int fd;         /* -1: rng-builtin */
    int warned;     /* atomic: the source failed, and the user was told */
};

static ssize_t read_builtin(void *buf, size_t len)
{
    return getrandom(buf, MIN(len, GETRANDOM_CHUNK), GRND_NONBLOCK);
}

static ssize_t read_source(Rng *rng, void *buf, size_t len)
{
    ssize_t n;

    do {
        n = rng->fd < 0 ? read_builtin(buf, len) : read(rng->fd, buf, len);
    } while (n < 0 && errno == EINTR);
    return n;
}

static void source_failed(Rng *rng, int err)
{
    if (!__atomic_exchange_n(&rng->warned, 1, __ATOMIC_RELAXED))
        log_warn("-object %s,id=%s: the source gives no more random bytes: %s", rng->obj.type->name, rng->obj.id,
                 err ? g_strerror(err) : "end of file");
}

static bool source_readable(int fd, GIOCondition events, void *opaque);

/* The kernel's pool is not ready, early in the host's boot: try again soon. */
static void wait_for_source(RngRequest *req)
{
    if (req->rng->fd < 0)
        timer_mod(&req->timer, clock_get_ns(VMCLOCK_MONO) + 10 * NS_PER_MS);
    else
        req->watch = event_loop_watch(req->loop, req->rng->fd, G_IO_IN, source_readable, req);
}

/* The turn after submit, or after the source became readable. */
static void try_read(void *opaque)
{
    RngRequest *req = opaque;
    size_t filled = 0;
    ssize_t n = 1;

    while (filled < req->len && n > 0) {
        n = read_source(req->rng, req->buf + filled, req->len - filled);
        filled += n > 0 ? (size_t)n : 0;
    }
    if (!filled && n < 0 && errno == EAGAIN) {
        wait_for_source(req);
        return;
    }
    if (!filled)
        source_failed(req->rng, n < 0 ? errno : 0);
    req->buf = NULL;
    req->done(req->opaque, filled);
}

static bool source_readable(int fd, GIOCondition events, void *opaque)
{
    RngRequest *req = opaque;

    req->watch = 0;
    try_read(req);
    return false;
}

void rng_request_init(RngRequest *req, Rng *rng, EventLoop *loop, void (*done)(void *opaque, size_t len),
                      void *opaque)
{
    *req = (RngRequest){.rng = rng, .loop = loop ? loop : event_loop_main(), .done = done, .opaque = opaque};
    timer_init(&req->timer, req->loop, VMCLOCK_MONO, try_read, req);
    object_hold(&rng->obj);
}

void rng_request_release(RngRequest *req)
{
    if (!req->rng)
        return;
    rng_request_cancel(req);
    timer_release(&req->timer);
    object_release(&req->rng->obj);
    req->rng = NULL;
}

void rng_request_submit(RngRequest *req, void *buf, size_t len)
{
    g_assert(!rng_request_busy(req) && len > 0);
    req->buf = buf;
    req->len = len;
    timer_mod(&req->timer, 0);
}

void rng_request_cancel(RngRequest *req)
{
    timer_del(&req->timer);
    if (req->watch)
        event_loop_unwatch(req->loop, req->watch);
    req->watch = 0;
    req->buf = NULL;
}

bool rng_request_busy(const RngRequest *req)
{
    return req->buf != NULL;
}

Rng *rng_find(const Machine *machine, const char *id)
{
    Object *obj = object_find(machine, &rng_random_type, id);

    return (Rng *)(obj ? obj : object_find(machine, &rng_builtin_type, id));
}

Object *rng_object(Rng *rng)
{
    return &rng->obj;
}

static bool builtin_open(Object *obj, GError **errp)
{
    ((Rng *)obj)->fd = -1;
    return true;
}

static bool random_open(Object *obj, GError **errp)
{
    Rng *rng = (Rng *)obj;

    rng->fd = host_open(rng->filename, O_RDONLY | O_NONBLOCK, 0, "random source", errp);
    return rng->fd >= 0;
}

static void random_close(Object *obj)
{
    close(((Rng *)obj)->fd);
}

static const Property random_props[] = {
    {.name = "filename", .kind = PROP_STRING, .offset = offsetof(Rng, filename), .def = "/dev/urandom",
     .help = "file or device to read"},
    {.name = NULL},
};

static const Property builtin_props[] = {
    {.name = NULL},
};

const ObjectType rng_random_type = {
    .name = "rng-random",
    .desc = "random bytes from a file or device",
    .instance_size = sizeof(Rng),
    .props = random_props,
    .open = random_open,
    .close = random_close,
};

const ObjectType rng_builtin_type = {
    .name = "rng-builtin",
    .desc = "random bytes from the host's kernel",
    .instance_size = sizeof(Rng),
    .props = builtin_props,
    .open = builtin_open,
};
