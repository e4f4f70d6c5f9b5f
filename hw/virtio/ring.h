/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Between virtqueue.c and the two ring layouts: access to the ring's memory, and collecting the
 * pieces of a buffer.
 *
 * The ring's memory is reached through host pointers that hold as long as the memory map does; that
 * is looked at once per operation (ring_refresh). What is not in one piece of RAM goes through
 * dma_read and dma_write, and where there is no RAM the queue breaks.
 */
#ifndef HW_VIRTIO_RING_H
#define HW_VIRTIO_RING_H

#include <string.h>

#include "core/dma.h"
#include "hw/virtio/virtqueue.h"

/* One row of a descriptor table (2.7.5) or ring (2.8.13); in the latter id is where next is. */
typedef struct RingDesc {
    uint64_t addr;
    uint32_t len;
    union {
        struct {
            uint16_t flags, next;
        } split;
        struct {
            uint16_t id, flags;
        } packed;
    };
} RingDesc;

_Static_assert(sizeof(RingDesc) == 16, "a descriptor has 16 bytes");

/* Flags of a descriptor. */
#define DESC_F_NEXT     0x0001 /* the chain goes on */
#define DESC_F_WRITE    0x0002 /* the device writes it */
#define DESC_F_INDIRECT 0x0004 /* it holds a table of descriptors */
#define DESC_F_AVAIL    0x0080 /* packed */
#define DESC_F_USED     0x8000 /* packed */

struct VirtqueueRing {
    /* Lengths and alignments of the three parts; false if size is none this layout can have. */
    bool (*lay_out)(Virtqueue *vq);
    /* Walks the next buffer into e. False: nothing there, or broken; e is then to be recycled. */
    bool (*pop)(Virtqueue *vq, VirtqElement *e);
    bool (*empty)(Virtqueue *vq);
    void (*fill)(Virtqueue *vq, const VirtqElement *e, uint32_t written);
    /* Shows what was filled. */
    void (*flush)(Virtqueue *vq);
    /* Whether the driver wants to hear of the last count entries. */
    bool (*wants_interrupt)(Virtqueue *vq, uint16_t count);
    void (*set_notify)(Virtqueue *vq);
};

extern const VirtqueueRing virtqueue_ring_split, virtqueue_ring_packed;

void ring_remap(Virtqueue *vq, uint64_t generation);
bool ring_read_slow(Virtqueue *vq, const VirtqueueArea *area, uint32_t offset, void *buf, uint32_t len);
void ring_write_slow(Virtqueue *vq, const VirtqueueArea *area, uint32_t offset, const void *buf, uint32_t len);

static inline void ring_refresh(Virtqueue *vq)
{
    uint64_t generation = address_space_generation(vq->as);

    if (G_UNLIKELY(generation != vq->map_generation))
        ring_remap(vq, generation);
}

/* A 16-bit index or flag word that the driver writes meanwhile; what was written before it is seen. */
static inline uint16_t ring_load16(Virtqueue *vq, const VirtqueueArea *area, uint32_t offset)
{
    uint16_t value = 0;

    if (G_LIKELY(area->host))
        return __atomic_load_n((uint16_t *)(void *)(area->host + offset), __ATOMIC_ACQUIRE);
    ring_read_slow(vq, area, offset, &value, sizeof(value));
    __atomic_thread_fence(__ATOMIC_ACQUIRE);
    return value;
}

/* The counterpart: the driver sees all earlier stores first. */
static inline void ring_store16(Virtqueue *vq, const VirtqueueArea *area, uint32_t offset, uint16_t value)
{
    __atomic_thread_fence(__ATOMIC_RELEASE);
    if (G_LIKELY(area->host)) {
        __atomic_store_n((uint16_t *)(void *)(area->host + offset), value, __ATOMIC_RELEASE);
        dma_unmap(vq->as, area->gpa + offset, sizeof(value), DMA_FROM_DEVICE);
    } else {
        ring_write_slow(vq, area, offset, &value, sizeof(value));
    }
}

static inline void ring_write(Virtqueue *vq, const VirtqueueArea *area, uint32_t offset, const void *buf,
                              uint32_t len)
{
    if (G_LIKELY(area->host)) {
        memcpy(area->host + offset, buf, len);
        dma_unmap(vq->as, area->gpa + offset, len, DMA_FROM_DEVICE);
    } else {
        ring_write_slow(vq, area, offset, buf, len);
    }
}

/* A private copy of a descriptor: the barrier keeps the compiler from reading guest memory again. */
static inline bool ring_read_desc(Virtqueue *vq, const VirtqueueArea *table, uint32_t index, RingDesc *desc)
{
    if (G_UNLIKELY(!table->host))
        return ring_read_slow(vq, table, index * sizeof(*desc), desc, sizeof(*desc));
    memcpy(desc, table->host + index * sizeof(*desc), sizeof(*desc));
    __asm__ volatile("" : : "r"(desc) : "memory");
    return true;
}

/* True if an index that moved to now by count steps passed event (2.7.10.1). */
static inline bool ring_need_event(uint16_t event, uint16_t now, uint16_t count)
{
    return (uint16_t)(now - event - 1) < count;
}

/* Adds [addr, addr + len) to e's vectors. False: the queue is broken. */
bool ring_add_buffer(Virtqueue *vq, VirtqElement *e, uint64_t addr, uint32_t len, bool device_writes);
/* The table an indirect descriptor names, checked. split: rows point to each other (2.7.5.3), else
 * they follow each other (2.8.8). */
bool ring_add_indirect(Virtqueue *vq, VirtqElement *e, const RingDesc *desc, bool split);

#endif
