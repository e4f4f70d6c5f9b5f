/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The packed ring (virtio 1.2, 2.8): one ring of descriptors that driver and device overwrite in turn.
 *
 * Each side keeps a wrap counter, 1 at first and flipped at the end of the ring. A descriptor is
 * available if its AVAIL flag is the counter and its USED flag is not, and used if both are. The
 * buffer ID stands in the last descriptor of a chain; a used descriptor takes the place of the
 * first and the others are skipped.
 *
 *     event suppression (driver's and device's, 4 bytes each):
 *     0  desc   bits 14:0 offset, bit 15 wrap counter (VIRTIO_F_EVENT_IDX)
 *     2  flags  0 = always, 1 = never, 2 = when the descriptor above is passed
 *
 * Locking: vq->lock.
 */
#include "ring.h"

enum {
    EVENT_DESC = 0,
    EVENT_FLAGS = 2,
    EVENT_BYTES = 4,
};

enum {
    EVENT_FLAGS_ENABLE = 0,
    EVENT_FLAGS_DISABLE = 1,
    EVENT_FLAGS_DESC = 2,
};

#define EVENT_OFFSET 0x7fff
#define EVENT_WRAP   0x8000

/* Alignments: 2.8.10.1. The size need not be a power of two. */
static bool packed_lay_out(Virtqueue *vq)
{
    vq->desc.len = sizeof(RingDesc) * vq->size;
    vq->desc.writable = true;
    vq->driver.len = EVENT_BYTES;
    vq->device.len = EVENT_BYTES;
    vq->device.writable = true;
    return !(vq->desc.gpa & 15) && !(vq->driver.gpa & 3) && !(vq->device.gpa & 3);
}

static bool packed_empty(Virtqueue *vq)
{
    uint16_t flags = ring_load16(vq, &vq->desc, sizeof(RingDesc) * vq->avail_idx + offsetof(RingDesc, packed.flags));

    return vq->broken || !!(flags & DESC_F_AVAIL) != vq->avail_wrap || !!(flags & DESC_F_USED) == vq->avail_wrap;
}

static uint16_t wrapped(const Virtqueue *vq, unsigned index)
{
    return index < vq->size ? index : index - vq->size;
}

/* e->entries counts the ring's descriptors, those of an indirect table not. */
static bool walk(Virtqueue *vq, VirtqElement *e)
{
    RingDesc desc;

    do {
        if (vq->in_flight + e->entries == vq->size) {
            virtqueue_set_broken(vq, "more descriptors are available than the ring has");
            return false;
        }
        if (!ring_read_desc(vq, &vq->desc, wrapped(vq, vq->avail_idx + e->entries), &desc))
            return false;
        e->entries++;
        e->id = desc.packed.id;
        if (desc.packed.flags & DESC_F_INDIRECT)
            return ring_add_indirect(vq, e, &desc, false);
        if (!ring_add_buffer(vq, e, desc.addr, desc.len, desc.packed.flags & DESC_F_WRITE))
            return false;
    } while (desc.packed.flags & DESC_F_NEXT);
    return true;
}

static bool packed_pop(Virtqueue *vq, VirtqElement *e)
{
    e->entries = 0;
    if (packed_empty(vq) || !walk(vq, e))
        return false;
    if (vq->avail_idx + e->entries >= vq->size)
        vq->avail_wrap = !vq->avail_wrap;
    vq->avail_idx = wrapped(vq, vq->avail_idx + e->entries);
    return true;
}

/* The flags of a batch's first descriptor are kept back until the flush: the driver looks at the
 * descriptors in order, so the others are not seen before it. */
static void packed_fill(Virtqueue *vq, const VirtqElement *e, uint32_t written)
{
    uint32_t at = sizeof(RingDesc) * vq->used_idx;
    uint16_t flags = (vq->used_wrap ? DESC_F_AVAIL | DESC_F_USED : 0) | (written ? DESC_F_WRITE : 0);
    struct {
        uint32_t len;
        uint16_t id;
    } row = { written, e->id };

    ring_write(vq, &vq->desc, at + offsetof(RingDesc, len), &row, offsetof(RingDesc, packed.flags) -
                                                                      offsetof(RingDesc, len));
    if (vq->filled) {
        ring_store16(vq, &vq->desc, at + offsetof(RingDesc, packed.flags), flags);
    } else {
        vq->filled_first = vq->used_idx;
        vq->filled_first_flags = flags;
    }
    vq->filled += e->entries;
    if (vq->used_idx + e->entries >= vq->size)
        vq->used_wrap = !vq->used_wrap;
    vq->used_idx = wrapped(vq, vq->used_idx + e->entries);
}

static void packed_flush(Virtqueue *vq)
{
    ring_store16(vq, &vq->desc, sizeof(RingDesc) * vq->filled_first + offsetof(RingDesc, packed.flags),
                 vq->filled_first_flags);
}

static bool packed_wants_interrupt(Virtqueue *vq, uint16_t count)
{
    uint16_t flags = ring_load16(vq, &vq->driver, EVENT_FLAGS);
    uint16_t event;

    if (flags != EVENT_FLAGS_DESC || !vq->event_idx)
        return flags != EVENT_FLAGS_DISABLE;
    event = ring_load16(vq, &vq->driver, EVENT_DESC);
    /* On one scale with used_idx: a position of the round before lies below it. */
    return ring_need_event((event & EVENT_OFFSET) - (!!(event & EVENT_WRAP) == vq->used_wrap ? 0 : vq->size),
                           vq->used_idx, count);
}

static void packed_set_notify(Virtqueue *vq)
{
    if (vq->notify && vq->event_idx)
        ring_store16(vq, &vq->device, EVENT_DESC, vq->avail_idx | (vq->avail_wrap ? EVENT_WRAP : 0));
    ring_store16(vq, &vq->device, EVENT_FLAGS,
                 !vq->notify ? EVENT_FLAGS_DISABLE : vq->event_idx ? EVENT_FLAGS_DESC : EVENT_FLAGS_ENABLE);
}

const VirtqueueRing virtqueue_ring_packed = {
    .lay_out = packed_lay_out,
    .pop = packed_pop,
    .empty = packed_empty,
    .fill = packed_fill,
    .flush = packed_flush,
    .wants_interrupt = packed_wants_interrupt,
    .set_notify = packed_set_notify,
};
