/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A byte stream to a peer that comes and goes (stream.h has the rules).
 *
 * The end of a peer's input is its goodbye, also if it only shut down its sending side: TCP does not
 * let us tell the two apart, and whatever is sent to a peer that is gone would be lost. What was
 * sent before is still delivered, so a peer that says goodbye, reads to the end and connects again
 * has missed nothing.
 */
#include "src/chardev/stream.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <unistd.h>


#define READ_CHUNK 4096
#define SEND_CHUNK 4096            /* before encoding, which at most doubles it */
#define COLLECT_MAX (STREAM_QUEUE_SIZE / 2)
#define LEFTOVERS_MAX (256u << 10) /* more than a socket's buffer holds by default */
#define FLUSH_PATIENCE_MS 1000     /* at exit: how long a peer may take nothing */

/* --- Output --- */

static void push(CharStream *s, const uint8_t *buf, size_t len)
{
    size_t tail = (s->head + s->len) % STREAM_QUEUE_SIZE;
    size_t first = MIN(len, STREAM_QUEUE_SIZE - tail);

    memcpy(s->queue + tail, buf, first);
    memcpy(s->queue, buf + first, len - first);
    s->len += len;
}

static void pop(CharStream *s, size_t n)
{
    s->head = (s->head + n) % STREAM_QUEUE_SIZE;
    s->len -= n;
}

/* Like write, but 0 for "not now". */
static ssize_t send_some(int fd, const uint8_t *buf, size_t len)
{
    ssize_t n;

    do
        n = write(fd, buf, len);
    while (n < 0 && errno == EINTR);
    return n < 0 && errno == EAGAIN ? 0 : n;
}

/* False if the peer is gone; *stuck if it takes no more. */
static bool send_control(CharStream *s, bool *stuck)
{
    ssize_t n = s->control_len ? send_some(s->fd, s->control, s->control_len) : 0;

    if (n < 0)
        return false;
    s->control_len -= (size_t)n;
    memmove(s->control, s->control + n, s->control_len);
    *stuck = s->control_len > 0;
    return true;
}

/*
 * What of the queue's first len bytes is done with when sent of their encoded bytes were. A byte
 * with two encoded bytes of which one was sent stays in the queue.
 */
static size_t count_sent(CharStream *s, const uint8_t *raw, size_t len, size_t sent)
{
    uint8_t scratch[2];
    size_t done = 0;

    while (done < len && sent) {
        size_t width = s->ops->encode(s, raw + done, 1, scratch);
        if (sent < width) {
            s->cut = true;
            return done;
        }
        sent -= width;
        done++;
    }
    return done;
}

/* One run of the queue; false if the peer is gone. */
static bool send_run(CharStream *s, bool *stuck)
{
    const uint8_t *raw = s->queue + s->head;
    size_t len = MIN(MIN(s->len, STREAM_QUEUE_SIZE - s->head), SEND_CHUNK);
    uint8_t encoded[2 * SEND_CHUNK];
    const uint8_t *wire = raw;
    size_t wire_len = len;
    bool was_cut = s->cut;

    if (s->ops->encode) {
        wire_len = s->ops->encode(s, raw, len, encoded) - was_cut;
        wire = encoded + was_cut;
    }
    ssize_t n = send_some(s->fd, wire, wire_len);
    if (n < 0)
        return false;
    *stuck = (size_t)n < wire_len;
    if (n > 0) {
        s->cut = false;
        pop(s, s->ops->encode ? count_sent(s, raw, len, (size_t)n + was_cut) : (size_t)n);
    }
    return true;
}

/* False if the peer is gone. */
static bool send_all(CharStream *s, bool *stuck)
{
    *stuck = false;
    /* Protocol bytes never go between the halves of a byte. */
    if (s->cut && !send_run(s, stuck))
        return false;
    if (!*stuck && !send_control(s, stuck))
        return false;
    while (s->len && !*stuck) {
        if (!send_run(s, stuck))
            return false;
    }
    return true;
}

static void tell_device(CharStream *s)
{
    if (s->held && s->len < STREAM_QUEUE_SIZE) {
        s->held = false;
        front_writable(s->chr.be);
    }
}

static bool output_ready(int fd, GIOCondition events, void *opaque);

/* Never calls the device: this runs below its write. */
static void flush(CharStream *s)
{
    bool stuck;

    if (s->fd < 0 || s->out_watch)
        return;
    if (!send_all(s, &stuck))
        stuck = true; /* the watch will see the error, outside of the device's call */
    if (stuck)
        s->out_watch = event_loop_watch(event_loop_main(), s->fd, G_IO_OUT | G_IO_HUP | G_IO_ERR, output_ready, s);
}

static void flush_collected(void *opaque)
{
    CharStream *s = opaque;

    s->flushed_ns = clock_get_ns(VMCLOCK_MONO);
    flush(s);
}

/* A pause ends, or enough has come together: at once; else a little later. */
static void flush_soon(CharStream *s)
{
    int64_t now;

    if (s->fd < 0 || s->out_watch || (timer_pending(&s->flush_timer) && s->len < COLLECT_MAX))
        return;
    now = clock_get_ns(VMCLOCK_MONO);
    if (s->len < COLLECT_MAX && now - s->flushed_ns < STREAM_FLUSH_INTERVAL_NS) {
        timer_mod(&s->flush_timer, s->flushed_ns + STREAM_FLUSH_INTERVAL_NS);
        return;
    }
    s->flushed_ns = now;
    flush(s);
}

static bool output_ready(int fd, GIOCondition events, void *opaque)
{
    CharStream *s = opaque;
    bool stuck;

    if (!send_all(s, &stuck)) {
        stream_disconnect(s);
        return false;
    }
    if (!stuck)
        s->out_watch = 0;
    tell_device(s);
    /* What the device wrote meanwhile may have made a new watch, or ended this one. */
    return stuck;
}

bool stream_is_open(const Chardev *chr)
{
    return ((const CharStream *)chr)->fd >= 0;
}

size_t stream_write(Chardev *chr, const uint8_t *buf, size_t len)
{
    CharStream *s = (CharStream *)chr;
    size_t taken = MIN(len, STREAM_QUEUE_SIZE - s->len);

    if (!s->expecting)
        return len;
    push(s, buf, taken);
    flush_soon(s);
    if (taken == len)
        return len;
    if (s->dropping) {
        s->dropped += len - taken;
        return len;
    }
    s->held = true;
    if (s->fd < 0 && !timer_pending(&s->hold_timer))
        timer_mod(&s->hold_timer, clock_get_ns(VMCLOCK_MONO) + s->hold * NS_PER_SEC);
    return taken;
}

/* Nobody came in time. */
static void hold_ended(void *opaque)
{
    CharStream *s = opaque;

    s->dropping = true;
    if (s->held) {
        s->held = false;
        front_writable(s->chr.be);
    }
}

/* --- Input --- */

static void deliver_leftovers(CharStream *s)
{
    size_t n;

    while (s->leftovers->len && (n = front_can_read(s->chr.be)) != 0) {
        uint8_t chunk[256];
        n = MIN(MIN(n, s->leftovers->len), sizeof(chunk));
        memcpy(chunk, s->leftovers->data, n);
        g_byte_array_remove_range(s->leftovers, 0, (guint)n);
        front_read(s->chr.be, chunk, n);
    }
}

/* > 0: bytes of the stream; 0: nothing now; < 0: the peer is gone. */
static ssize_t receive(CharStream *s, uint8_t *buf, size_t len)
{
    for (;;) {
        ssize_t n = read(s->fd, buf, len);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && errno == EAGAIN)
            return 0;
        if (n <= 0)
            return -1;
        size_t kept = s->ops->decode ? s->ops->decode(s, buf, (size_t)n) : (size_t)n;
        if (kept)
            return (ssize_t)kept;
    }
}

/* The peer leaves while the device takes no input: what it has sent is kept, within bounds. */
static void keep_leftovers(CharStream *s)
{
    uint8_t buf[READ_CHUNK];
    ssize_t n;

    while (s->leftovers->len < LEFTOVERS_MAX && (n = receive(s, buf, sizeof(buf))) > 0)
        g_byte_array_append(s->leftovers, buf, (guint)n);
    if (s->leftovers->len >= LEFTOVERS_MAX && log_limit_pass(&s->warnings))
        log_warn("character device '%s': a peer left more input than the guest takes; the rest is lost", s->chr.id);
}

static bool input_ready(int fd, GIOCondition events, void *opaque);
static bool peer_left(int fd, GIOCondition events, void *opaque);

/* Reads while the device takes input; else only looks for the peer's end. */
static void watch_input(CharStream *s)
{
    bool full = front_can_read(s->chr.be) && !s->leftovers->len;

    if (s->fd < 0 || (s->in_watch && s->in_watch_is_full == full))
        return;
    if (s->in_watch)
        event_loop_unwatch(event_loop_main(), s->in_watch);
    s->in_watch_is_full = full;
    s->in_watch = event_loop_watch(event_loop_main(), s->fd, (full ? G_IO_IN : (GIOCondition)POLLRDHUP) | G_IO_HUP | G_IO_ERR,
                                   full ? input_ready : peer_left, s);
}

static bool input_ready(int fd, GIOCondition events, void *opaque)
{
    CharStream *s = opaque;
    uint8_t buf[READ_CHUNK];
    size_t room = MIN(front_can_read(s->chr.be), sizeof(buf));
    guint watch = s->in_watch;

    if (room) {
        ssize_t n = receive(s, buf, room);
        flush(s); /* answers of the protocol */
        if (n < 0) {
            stream_disconnect(s);
            return false;
        }
        if (n > 0)
            front_read(s->chr.be, buf, (size_t)n);
    }
    watch_input(s);
    return s->in_watch == watch;
}

static bool peer_left(int fd, GIOCondition events, void *opaque)
{
    CharStream *s = opaque;

    if (!front_has_one_peer(s->chr.be))
        keep_leftovers(s);
    stream_disconnect(s);
    return false;
}

void stream_accept_input(Chardev *chr, CharBackend *be)
{
    CharStream *s = (CharStream *)chr;

    deliver_leftovers(s);
    watch_input(s);
}

/* --- Peers --- */

void stream_connect(CharStream *s, int fd)
{
    g_assert(s->fd < 0);
    timer_del(&s->hold_timer);
    if (front_has_one_peer(s->chr.be)) {
        s->len = 0;
        g_byte_array_set_size(s->leftovers, 0);
    }
    if (s->dropped && log_limit_pass(&s->warnings))
        log_warn("character device '%s': %" G_GUINT64_FORMAT " bytes of output were dropped while no peer was there",
                 s->chr.id, s->dropped);
    s->fd = fd;
    s->expecting = true;
    s->dropping = false;
    s->dropped = 0;
    front_event(s->chr.be, CHAR_EVENT_OPENED);
    flush(s);
    tell_device(s);
    watch_input(s);
}

static void unwatch(CharStream *s)
{
    if (s->in_watch)
        event_loop_unwatch(event_loop_main(), s->in_watch);
    if (s->out_watch)
        event_loop_unwatch(event_loop_main(), s->out_watch);
    s->in_watch = s->out_watch = 0;
}

void stream_disconnect(CharStream *s)
{
    int fd = s->fd;
    bool stuck;

    if (fd < 0)
        return;
    if (timer_pending(&s->flush_timer)) /* collected for this peer, who may still read */
        send_all(s, &stuck);
    unwatch(s);
    timer_del(&s->flush_timer);
    s->fd = -1;
    s->cut = false; /* the next peer gets the whole byte */
    s->control_len = 0;
    if (s->held)
        timer_mod(&s->hold_timer, clock_get_ns(VMCLOCK_MONO) + s->hold * NS_PER_SEC);
    front_event(s->chr.be, CHAR_EVENT_CLOSED);
    s->ops->gone(s, fd);
}

void stream_stop_expecting(CharStream *s)
{
    s->expecting = false;
    s->len = 0;
    timer_del(&s->hold_timer);
    tell_device(s);
}

void stream_send_control(CharStream *s, const uint8_t *buf, size_t len)
{
    if (len > sizeof(s->control) - s->control_len)
        return;
    memcpy(s->control + s->control_len, buf, len);
    s->control_len += len;
}

void stream_init(CharStream *s, const StreamOps *ops)
{
    s->ops = ops;
    s->fd = -1;
    s->hold = STREAM_HOLD_DEFAULT;
    s->queue = g_malloc(STREAM_QUEUE_SIZE);
    s->leftovers = g_byte_array_new();
    timer_init(&s->hold_timer, event_loop_main(), VMCLOCK_MONO, hold_ended, s);
    timer_init(&s->flush_timer, event_loop_main(), VMCLOCK_MONO, flush_collected, s);
}

void stream_release(CharStream *s)
{
    bool stuck = false;

    unwatch(s);
    while (s->fd >= 0 && (s->len || s->control_len) && send_all(s, &stuck) && stuck) {
        struct pollfd pfd = {.fd = s->fd, .events = POLLOUT};
        if (poll(&pfd, 1, FLUSH_PATIENCE_MS) <= 0)
            break;
    }
    timer_release(&s->hold_timer);
    timer_release(&s->flush_timer);
    g_byte_array_unref(s->leftovers);
    g_free(s->queue);
}
