/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * virtio-blk: requests, from the ring to the block backend and back.
 * Source: virtio 1.2, 5.2.6; 0.9.5, appendix D.
 *
 *     header (16 bytes) | data the driver wrote || data for the driver | status (1 byte)
 *     le32 type, le32 reserved, le64 sector            ^ device-writable from here on
 *
 * A batch of the ring is submitted between blk_plug and blk_unplug, so the engine passes it to the
 * host in one call; reads or writes of it that lie one behind the other become one request. If such
 * a one fails each part is tried by itself, for the driver is told which sectors are bad.
 *
 * Not modelled: SCSI commands, lifetime, secure erase, zones (answered with UNSUPP).
 *
 * Locking: on the queue's loop; q's lock around the ring.
 */
#include "virtio-blk.h"

#include "core/bits.h"

/* Request types, 5.2.6. */
enum {
    T_IN = 0,
    T_OUT = 1,
    T_FLUSH = 4,
    T_GET_ID = 8,
    T_DISCARD = 11,
    T_WRITE_ZEROES = 13,
};

enum {
    S_OK = 0,
    S_IOERR = 1,
    S_UNSUPP = 2,
};

#define SECTOR_BITS 9

typedef struct Header {
    uint32_t type, reserved;
    uint64_t sector;
} Header;

/* What DISCARD and WRITE_ZEROES carry: one of them, as max_*_seg says. */
typedef struct Segment {
    uint64_t sector;
    uint32_t count, flags;
} Segment;

#define SEGMENT_F_UNMAP 1

/* Merged requests: no longer than this, as one that is too long only waits for itself. */
#define MERGE_BYTES (1 * MIB)

typedef struct Request {
    VirtqElement elem; /* first */
    VirtioQueue *q;
    uint8_t *status;
    BlockRequest io;
    struct Request *merged, *merged_last; /* those that io stands for, besides this one */
    struct iovec *vectors;                /* of a merged io */
} Request;

const size_t virtio_blk_request_size = sizeof(Request);

static VirtioBlk *blk_of(const VirtioQueue *q)
{
    return (VirtioBlk *)q->vdev;
}

/* q's lock held. Nothing of a request from before a reset reaches the guest. */
static void finish(Request *req, uint8_t status)
{
    if (!virtq_element_is_stale(&req->elem))
        *req->status = status;
    virtqueue_push(&req->q->vq, &req->elem, req->elem.in_bytes);
}

static void submit(Request *req)
{
    blk_submit(blk_of(req->q)->conf.blk, &req->io);
}

/* Each of a failed merged request goes by itself. */
static void submit_parts(Request *req)
{
    for (Request *next; req; req = next) {
        next = req->merged;
        req->merged = NULL;
        req->io.iov = req->io.op == BLOCK_READ ? req->elem.in : req->elem.out;
        req->io.iovcnt = req->io.op == BLOCK_READ ? req->elem.in_count : req->elem.out_count;
        req->io.bytes = req->io.op == BLOCK_READ ? req->elem.in_bytes - 1 : req->elem.out_bytes - sizeof(Header);
        submit(req);
    }
}

static void request_done(BlockRequest *io, int ret)
{
    Request *req = io->opaque, *next;
    VirtioQueue *q = req->q;

    g_clear_pointer(&req->vectors, g_free);
    if (ret < 0 && req->merged && !blk_request_is_stale(io)) {
        submit_parts(req);
        return;
    }
    virtio_queue_lock(q);
    for (; req; req = next) {
        next = req->merged;
        finish(req, ret < 0 ? S_IOERR : S_OK);
    }
    virtio_queue_unlock_batched(q);
}

/* --- merging --- */

/* Requests of the batch that are not submitted yet: one, and what was merged with it. */
typedef struct Batch {
    Request *head;
    unsigned vectors;
} Batch;

static void batch_submit(Batch *batch)
{
    Request *head = batch->head;
    unsigned n = 0;

    if (!head)
        return;
    batch->head = NULL;
    if (head->merged) {
        head->vectors = g_new(struct iovec, batch->vectors);
        for (Request *req = head; req; req = req->merged) {
            memcpy(head->vectors + n, req->io.iov, req->io.iovcnt * sizeof(struct iovec));
            n += req->io.iovcnt;
            if (req != head)
                head->io.bytes += req->io.bytes;
        }
        head->io.iov = head->vectors;
        head->io.iovcnt = n;
    }
    submit(head);
}

static uint64_t batch_end(const Batch *batch)
{
    const Request *last = batch->head->merged ? batch->head->merged_last : batch->head;

    return last->io.offset + last->io.bytes;
}

static bool batch_takes(const Batch *batch, const Request *req)
{
    return batch->head && batch->head->io.op == req->io.op && batch_end(batch) == req->io.offset &&
           batch->vectors + req->io.iovcnt <= VIRTQUEUE_MAX_VECTORS &&
           req->io.offset + req->io.bytes - batch->head->io.offset <= MERGE_BYTES;
}

static void batch_add(Batch *batch, Request *req)
{
    if (blk_of(req->q)->request_merging && batch_takes(batch, req)) {
        if (batch->head->merged)
            batch->head->merged_last->merged = req;
        else
            batch->head->merged = req;
        batch->head->merged_last = req;
        batch->vectors += req->io.iovcnt;
        return;
    }
    batch_submit(batch);
    batch->head = req;
    batch->vectors = req->io.iovcnt;
}

/* --- one request --- */

/* bytes at sector: whole logical blocks, on the disk. */
static bool range_valid(const VirtioBlk *blk, uint64_t sector, uint64_t bytes)
{
    uint64_t disk = blk_size(blk->conf.blk);

    return sector <= disk >> SECTOR_BITS && range_ok(sector << SECTOR_BITS, bytes, disk) &&
           !((sector << SECTOR_BITS | bytes) & (blk->conf.logical_block_size - 1));
}

static void start_transfer(Request *req, Batch *batch, BlockOp op, uint64_t sector)
{
    VirtqElement *e = &req->elem;
    bool read = op == BLOCK_READ;
    uint64_t bytes = read ? e->in_bytes - 1 : e->out_bytes - sizeof(Header);

    if (!range_valid(blk_of(req->q), sector, bytes) || (!read && blk_is_read_only(blk_of(req->q)->conf.blk))) {
        finish(req, S_IOERR);
        return;
    }
    req->io.op = op;
    req->io.offset = sector << SECTOR_BITS;
    req->io.bytes = bytes;
    req->io.iov = read ? e->in : e->out;
    req->io.iovcnt = read ? e->in_count : e->out_count;
    batch_add(batch, req);
}

static void start_segment(Request *req, Batch *batch, bool zeroes)
{
    const VirtioBlk *blk = blk_of(req->q);
    uint32_t max = zeroes ? blk->max_write_zeroes_sectors : blk->max_discard_sectors;
    Segment segment;

    if (!virtio_has(&blk->vdev, zeroes ? VIRTIO_BLK_F_WRITE_ZEROES : VIRTIO_BLK_F_DISCARD) ||
        req->elem.out_bytes != sizeof(Header) + sizeof(segment)) {
        finish(req, S_UNSUPP);
        return;
    }
    virtq_element_read(&req->elem, 0, &segment, sizeof(segment)); /* the header is cut off */
    if (segment.flags & ~(zeroes ? SEGMENT_F_UNMAP : 0u)) {
        finish(req, S_UNSUPP);
        return;
    }
    if (segment.count > max || blk_is_read_only(blk->conf.blk) ||
        !range_valid(blk, segment.sector, (uint64_t)segment.count << SECTOR_BITS)) {
        finish(req, S_IOERR);
        return;
    }
    batch_submit(batch);
    req->io.op = zeroes ? BLOCK_ZEROES : BLOCK_DISCARD;
    req->io.flags = segment.flags & SEGMENT_F_UNMAP ? BLOCK_MAY_UNMAP : 0;
    req->io.offset = segment.sector << SECTOR_BITS;
    req->io.bytes = (uint64_t)segment.count << SECTOR_BITS;
    submit(req);
}

/* 20 bytes, zero-padded and not terminated. */
static void get_id(Request *req)
{
    const char *serial = blk_of(req->q)->serial;
    char id[VIRTIO_BLK_SERIAL_MAX] = { 0 };

    memcpy(id, serial ? serial : "", serial ? strnlen(serial, sizeof(id)) : 0);
    virtq_element_write(&req->elem, 0, id, sizeof(id));
    finish(req, S_OK);
}

static void start(Request *req, Batch *batch, const Header *header)
{
    switch (header->type) {
    case T_IN:
        start_transfer(req, batch, BLOCK_READ, header->sector);
        break;
    case T_OUT:
        start_transfer(req, batch, BLOCK_WRITE, header->sector);
        break;
    case T_FLUSH:
        batch_submit(batch);
        req->io.op = BLOCK_FLUSH;
        submit(req);
        break;
    case T_GET_ID:
        get_id(req);
        break;
    case T_DISCARD:
        start_segment(req, batch, false);
        break;
    case T_WRITE_ZEROES:
        start_segment(req, batch, true);
        break;
    default:
        finish(req, S_UNSUPP);
    }
}

/* Takes header and status byte off. False: the queue is broken. */
static bool parse(Request *req, Header *header)
{
    VirtqElement *e = &req->elem;

    if (virtq_element_read(e, 0, header, sizeof(*header)) < sizeof(*header) || !e->in_bytes) {
        virtio_queue_broken(req->q, "a request without header or status byte");
        virtqueue_drop(&req->q->vq, e);
        return false;
    }
    const struct iovec *last = &e->in[e->in_count - 1];
    req->status = (uint8_t *)last->iov_base + last->iov_len - 1;
    virtq_vectors_cut_front(&e->out, &e->out_count, sizeof(*header));
    virtq_vectors_cut_back(e->in, &e->in_count, 1);
    return true;
}

static void take_all(VirtioQueue *q, Batch *batch)
{
    Request *req;
    Header header;

    while ((req = (Request *)virtqueue_pop(&q->vq))) {
        req->q = q;
        req->merged = NULL;
        req->io = (BlockRequest){ .loop = q->loop, .done = request_done, .opaque = req };
        if (!parse(req, &header))
            return;
        start(req, batch, &header);
    }
}

/* The driver need not notify while we look anyway. */
void virtio_blk_handle_queue(VirtioQueue *q)
{
    Batch batch = { 0 };

    blk_plug();
    do {
        virtqueue_set_notify(&q->vq, false);
        take_all(q, &batch);
        batch_submit(&batch);
        virtqueue_set_notify(&q->vq, true);
    } while (!virtqueue_empty(&q->vq));
    blk_unplug();
}

void virtio_blk_serve_here(VirtioQueue *q, void (*serve)(VirtioQueue *q))
{
    block_loop_stand_in();
    serve(q);
    block_loop_stand_down();
}
