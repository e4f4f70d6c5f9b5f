/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A byte stream to a peer that comes and goes: what sockets and pseudo-terminals have in common.
 *
 *                 stream_connect                          goodbye, error, stream_disconnect
 *   NO PEER ------------------------------> CONNECTED ---------------------------------------> NO PEER
 *
 *   device --write--> queue (64 KiB) --flush--> peer           full: the guest is held back
 *   peer --> [leftovers of the last peer] --> device           device full: the peer is held back
 *
 * Output while there is no peer:
 *
 *   expecting  condition                                       output
 *   no         no peer was there yet, or none can come          dropped
 *   yes        the queue has room                              queued, for the next peer
 *   yes        the queue is full, for less than hold seconds    the guest is held back
 *   yes        ... for longer                                  dropped, until a peer is there
 *
 * A device that writes byte by byte costs a system call for each run of STREAM_FLUSH_INTERVAL_NS only: the
 * first byte after a pause goes out at once, what follows is collected.
 *
 * So a peer that returns in time continues the stream exactly, and one that does not return never
 * stops the guest for longer than hold. What the host's kernel took for a peer belongs to that peer.
 *
 * Locking: machine_lock.
 */
#ifndef SRC_CHARDEV_STREAM_H
#define SRC_CHARDEV_STREAM_H

#include "core/log.h"
#include "core/loop.h"
#include "src/chardev/chardev-int.h"

#define STREAM_QUEUE_SIZE 65536
#define STREAM_HOLD_DEFAULT 10
#define STREAM_FLUSH_INTERVAL_NS 200000

typedef struct CharStream CharStream;

typedef struct StreamOps {
    /* Closes fd or keeps it; the next peer may be connected at once. */
    void (*gone)(CharStream *stream, int fd);
    /* NULL: bytes go as they are. Both as telnet_encode and telnet_decode. */
    size_t (*encode)(CharStream *stream, const uint8_t *in, size_t len, uint8_t *out);
    size_t (*decode)(CharStream *stream, uint8_t *buf, size_t len);
} StreamOps;

struct CharStream {
    Chardev chr;
    const StreamOps *ops;
    int fd;                /* -1: no peer */
    guint in_watch, out_watch;
    bool in_watch_is_full; /* reads; else it only sees the peer leave */
    bool expecting;        /* a peer is or will be there */
    bool held;             /* the device was refused something: it is told when there is room */
    bool dropping;
    uint64_t dropped;
    unsigned hold;         /* seconds */
    LogLimit warnings;     /* peers can cause them */
    Timer hold_timer;
    Timer flush_timer;
    int64_t flushed_ns;    /* when the device's bytes last went out at once */
    GByteArray *leftovers; /* input of a peer that left */
    uint8_t *queue;        /* a ring */
    size_t head, len;
    bool cut;              /* the first byte of the queue is sent by half (an escaped byte) */
    uint8_t control[128];  /* goes out before the queue */
    size_t control_len;
};

void stream_init(CharStream *stream, const StreamOps *ops);
/* Sends what the peer still takes, waiting for it a little. The descriptor is left to the caller. */
void stream_release(CharStream *stream);
/* fd is non-blocking. */
void stream_connect(CharStream *stream, int fd);
void stream_disconnect(CharStream *stream);
/* No peer will come any more. */
void stream_stop_expecting(CharStream *stream);
/* Bytes of the protocol, not of the stream; lost if the peer takes none. */
void stream_send_control(CharStream *stream, const uint8_t *buf, size_t len);

/* For ChardevOps. */
bool stream_is_open(const Chardev *chr);
size_t stream_write(Chardev *chr, const uint8_t *buf, size_t len);
void stream_accept_input(Chardev *chr, CharBackend *be);

#endif
