/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The split ring (virtio 1.2, 2.7; 0.9.5, 2.3): a descriptor table, a ring of chain heads the driver
 * makes available, a ring of heads the device has used.
 *
 *     available (driver)                     used (device)
 *     0  flags: 1 = do not interrupt         0  flags: 1 = do not notify
 *     2  idx                                 2  idx
 *     4  ring[size] of head, 2 bytes each    4  ring[size] of { id, len }, 8 bytes each
 *        used_event (VIRTIO_F_EVENT_IDX)        avail_event
 *
 * All indices run free in 16 bits; the slot is the index modulo size, a power of two.
 *
 * Locking: vq->lock.
 */
#include "ring.h"

enum {
    AREA_FLAGS = 0,
    AREA_IDX = 2,
    AREA_RING = 4,
};

#define AVAIL_F_NO_INTERRUPT 1
#define USED_F_NO_NOTIFY     1

typedef struct UsedEntry {
    uint32_t id, len;
} UsedEntry;

uint32_t virtqueue_split_driver_bytes(unsigned size)
{
    return AREA_RING + 2 * size + 2;
}

uint32_t virtqueue_split_device_bytes(unsigned size)
{
    return AREA_RING + sizeof(UsedEntry) * size + 2;
}

static uint32_t avail_offset(const Virtqueue *vq, uint16_t index)
{
    return AREA_RING + 2 * (index & (vq->size - 1u));
}

static uint32_t used_offset(const Virtqueue *vq, uint16_t index)
{
    return AREA_RING + sizeof(UsedEntry) * (index & (vq->size - 1u));
}

/* Alignments: 2.7, table. */
static bool split_lay_out(Virtqueue *vq)
{
    vq->desc.len = sizeof(RingDesc) * vq->size;
    vq->driver.len = virtqueue_split_driver_bytes(vq->size);
    vq->device.len = virtqueue_split_device_bytes(vq->size);
    vq->device.writable = true;
    return !(vq->size & (vq->size - 1)) && !(vq->desc.gpa & 15) && !(vq->driver.gpa & 1) && !(vq->device.gpa & 3);
}

/* True if nothing is available; looks at the driver's index only when what it last showed is used up. */
static bool split_empty(Virtqueue *vq)
{
    if (vq->avail_idx != vq->avail_shadow)
        return false;
    vq->avail_shadow = ring_load16(vq, &vq->driver, AREA_IDX);
    if ((uint16_t)(vq->avail_shadow - vq->avail_idx) > vq->size) {
        virtqueue_set_broken(vq, "available index moved from %u to %u in a ring of %u", vq->avail_idx,
                             vq->avail_shadow, vq->size);
        return true;
    }
    return vq->avail_idx == vq->avail_shadow;
}

/* Direct descriptors, and at the end of them perhaps an indirect one (2.7.5.3.2). */
static bool walk(Virtqueue *vq, VirtqElement *e, uint16_t head)
{
    RingDesc desc;

    for (unsigned hops = 0, i = head;; hops++) {
        if (i >= vq->size || hops == vq->size) {
            virtqueue_set_broken(vq, "a chain from descriptor %u leaves the table or is a loop", head);
            return false;
        }
        if (!ring_read_desc(vq, &vq->desc, i, &desc))
            return false;
        if (desc.split.flags & DESC_F_INDIRECT)
            return ring_add_indirect(vq, e, &desc, true);
        if (!ring_add_buffer(vq, e, desc.addr, desc.len, desc.split.flags & DESC_F_WRITE))
            return false;
        if (!(desc.split.flags & DESC_F_NEXT))
            return true;
        i = desc.split.next;
    }
}

static bool split_pop(Virtqueue *vq, VirtqElement *e)
{
    if (split_empty(vq))
        return false;
    e->id = ring_load16(vq, &vq->driver, avail_offset(vq, vq->avail_idx));
    e->entries = 1;
    if (!walk(vq, e, e->id))
        return false;
    vq->avail_idx++;
    return true;
}

static void split_fill(Virtqueue *vq, const VirtqElement *e, uint32_t written)
{
    UsedEntry entry = { e->id, written };

    ring_write(vq, &vq->device, used_offset(vq, vq->used_idx + vq->filled), &entry, sizeof(entry));
    vq->filled++;
}

static void split_flush(Virtqueue *vq)
{
    vq->used_idx += vq->filled;
    ring_store16(vq, &vq->device, AREA_IDX, vq->used_idx);
}

static bool split_wants_interrupt(Virtqueue *vq, uint16_t count)
{
    if (vq->event_idx)
        return ring_need_event(ring_load16(vq, &vq->driver, AREA_RING + 2 * vq->size), vq->used_idx, count);
    return !(ring_load16(vq, &vq->driver, AREA_FLAGS) & AVAIL_F_NO_INTERRUPT);
}

/* With the event index off means to let the event fall behind. */
static void split_set_notify(Virtqueue *vq)
{
    if (!vq->event_idx)
        ring_store16(vq, &vq->device, AREA_FLAGS, vq->notify ? 0 : USED_F_NO_NOTIFY);
    else if (vq->notify)
        ring_store16(vq, &vq->device, used_offset(vq, 0) + sizeof(UsedEntry) * vq->size, vq->avail_idx);
}

const VirtqueueRing virtqueue_ring_split = {
    .lay_out = split_lay_out,
    .pop = split_pop,
    .empty = split_empty,
    .fill = split_fill,
    .flush = split_flush,
    .wants_interrupt = split_wants_interrupt,
    .set_notify = split_set_notify,
};
