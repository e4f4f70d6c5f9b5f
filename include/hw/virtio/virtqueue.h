/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Virtqueues as a device sees them: buffers come from the driver (pop), go back to it (push), and
 * become visible to it at once (flush). Both ring layouts are behind the same calls: split
 * (virtio 1.2, 2.7) and packed (2.8), with indirect descriptors and the event index.
 *
 *              virtqueue_start                    the driver broke a rule
 *     STOPPED -----------------> RUNNING ----------------------------------> BROKEN
 *        ^  <--------------------   |                                          |
 *        |      virtqueue_stop                                                 |
 *        +---------------------------------------------------------------------+
 *
 * The configuration is latched by virtqueue_start; what the driver writes later waits for the next
 * one. Popping from a queue that is not RUNNING gives nothing. A buffer popped before a stop and
 * pushed after it is dropped (its generation is an old one).
 *
 * What a driver may do wrong breaks the queue and never the process: each descriptor is read once,
 * a chain has at most as many hops as its table has entries and 1024 in all, a buffer at most 1024
 * vectors and 4 GiB, and no more buffers are out than the ring has entries. DMA that does not reach
 * RAM breaks the queue, too.
 *
 * Not offered: VIRTIO_F_IN_ORDER, VIRTIO_F_NOTIFICATION_DATA, VIRTIO_F_ACCESS_PLATFORM (there is no
 * IOMMU) and VIRTIO_F_ORDER_PLATFORM.
 *
 * Locking: vq->lock for everything that takes a Virtqueue, except init and release, which need that
 * nobody else knows it. It comes after machine_lock. The broken callback runs under it.
 */
#ifndef HW_VIRTIO_VIRTQUEUE_H
#define HW_VIRTIO_VIRTQUEUE_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#include "core/memory.h"

#define VIRTQUEUE_MAX_SIZE    1024 /* entries of a ring */
#define VIRTQUEUE_MAX_VECTORS 1024 /* pieces of a buffer */

/* Reserved feature bits that rings and transports understand (virtio 1.2, 6). */
#define VIRTIO_F_NOTIFY_ON_EMPTY 24 /* legacy */
#define VIRTIO_F_ANY_LAYOUT      27 /* legacy */
#define VIRTIO_F_INDIRECT_DESC   28
#define VIRTIO_F_EVENT_IDX       29
#define VIRTIO_F_VERSION_1       32
#define VIRTIO_F_RING_PACKED     34
#define VIRTIO_F_RING_RESET      40

typedef struct Virtqueue Virtqueue;
typedef struct VirtqueueRing VirtqueueRing; /* the layout's operations: hw/virtio/ring.h */

/*
 * A buffer of the driver's. A device's request begins with it and is virtqueue_init's element_size
 * bytes long; what follows this part is the device's and is not cleared between uses.
 */
typedef struct VirtqElement VirtqElement;
struct VirtqElement {
    struct iovec *out; /* what the driver wrote, for the device to read */
    struct iovec *in;  /* for the device to write */
    unsigned out_count, in_count;
    uint64_t out_bytes, in_bytes;

    /* The ring's own. */
    Virtqueue *vq;
    uint32_t generation;
    uint16_t id;      /* split: head descriptor; packed: buffer ID */
    uint16_t entries; /* of the ring that it takes */
    uint16_t piece_count, out_pieces, capacity;
    struct VirtqPiece *pieces; /* what the vectors were, before the device cut them */
    struct iovec *vectors;     /* out, then in */
    VirtqElement *next_free;
};

/* Guest-physical. */
typedef struct VirtqPiece {
    uint64_t addr, len;
} VirtqPiece;

/* Where the parts of the ring lie, guest-physical, in the words of virtio 1.2: 2.6. */
typedef struct VirtqueueConfig {
    uint64_t desc;   /* descriptor table or ring */
    uint64_t driver; /* split: available ring; packed: driver event suppression */
    uint64_t device; /* split: used ring; packed: device event suppression */
    uint16_t size;   /* entries */
} VirtqueueConfig;

/* A part of the ring. host is NULL where it is not in one piece of RAM; then each access looks. */
typedef struct VirtqueueArea {
    uint64_t gpa, len;
    bool writable;
    uint8_t *host;
} VirtqueueArea;

struct Virtqueue {
    /* Fixed by virtqueue_init. */
    AddressSpace *as;
    const char *owner; /* for messages */
    unsigned index;
    uint16_t max_size;
    size_t element_size;
    void (*broken_cb)(Virtqueue *vq);
    void *opaque; /* the owner's */

    pthread_mutex_t lock;
    bool running, broken;
    uint32_t generation;

    /* Latched by virtqueue_start. */
    const VirtqueueRing *ring;
    bool event_idx, indirect;
    uint16_t size;
    VirtqueueArea desc, driver, device;
    uint64_t map_generation; /* the host pointers above and below are of this view of the memory */
    VirtqueueArea window;    /* the piece of RAM the last buffer was in; len 0: none */

    /* Position. Split: free-running indices. Packed: 0..size-1 with the wrap counters. */
    uint16_t avail_idx;    /* next entry to pop */
    uint16_t avail_shadow; /* split: the driver's index as it was last read */
    uint16_t used_idx;     /* next entry to fill */
    bool avail_wrap, used_wrap;
    uint16_t filled;       /* entries filled since the last flush */
    uint16_t filled_first; /* packed: the first of them, whose flags are still to be written */
    uint16_t filled_first_flags;
    unsigned in_flight;    /* entries popped and not pushed; at most size */
    bool notify;           /* the driver is asked to notify */

    VirtqElement *pool;
};

/* owner and as stay the caller's. element_size >= sizeof(VirtqElement). */
void virtqueue_init(Virtqueue *vq, AddressSpace *as, const char *owner, unsigned index, uint16_t max_size,
                    size_t element_size, void (*broken_cb)(Virtqueue *vq), void *opaque);
/* No element may be out. */
void virtqueue_release(Virtqueue *vq);

/* features: as negotiated. False: the configuration is against the rules; the queue is BROKEN. */
bool virtqueue_start(Virtqueue *vq, const VirtqueueConfig *config, uint64_t features);
/* Nothing is popped any more and nothing shown to the driver; buffers that are out are still counted
 * (in_flight) as they are pushed or dropped. */
void virtqueue_quiesce(Virtqueue *vq);
/* The queue forgets them. */
void virtqueue_stop(Virtqueue *vq);

/* Bytes of the driver's and the device's part of a split ring of that size. */
uint32_t virtqueue_split_driver_bytes(unsigned size);
uint32_t virtqueue_split_device_bytes(unsigned size);

/* The next buffer, or NULL: none, or the queue is not running. */
VirtqElement *virtqueue_pop(Virtqueue *vq);
/* True if there is nothing to pop. */
bool virtqueue_empty(Virtqueue *vq);
/* Gives the buffer back with its first written bytes (of in) changed. e is then the pool's. */
void virtqueue_push(Virtqueue *vq, VirtqElement *e, uint64_t written);
/* Gives e back to the pool and not to the driver: it sees a buffer that is never used. */
void virtqueue_drop(Virtqueue *vq, VirtqElement *e);
/* Shows the driver all that was pushed. True: it wants an interrupt for that. */
bool virtqueue_flush(Virtqueue *vq);
/*
 * Whether the driver shall notify when it adds buffers; on at first. A hint: a driver may notify anyway. After
 * turning it on, look whether the queue is still empty: the driver may just have missed it. While it is on,
 * pop until there is nothing: the driver notifies once for buffers it adds behind the last one popped.
 */
void virtqueue_set_notify(Virtqueue *vq, bool notify);

/* True if the queue was stopped since e was popped: the driver may use its memory for something else. */
static inline bool virtq_element_is_stale(const VirtqElement *e)
{
    return e->generation != e->vq->generation;
}

/* The driver broke a rule: logged, and the queue is BROKEN. */
void virtqueue_set_broken(Virtqueue *vq, const char *fmt, ...) G_GNUC_PRINTF(2, 3);

/*
 * Copies between a buffer and a local, for headers and status bytes wherever the driver cut them.
 * They give the bytes copied: fewer than len where the buffer ends. offset is from out's or in's begin.
 */
size_t virtq_element_read(const VirtqElement *e, uint64_t offset, void *buf, size_t len);
size_t virtq_element_write(const VirtqElement *e, uint64_t offset, const void *buf, size_t len);
/* Cuts the first or last bytes off a list of vectors, in place. False if it has fewer. */
bool virtq_vectors_cut_front(struct iovec **vectors, unsigned *count, uint64_t bytes);
bool virtq_vectors_cut_back(struct iovec *vectors, unsigned *count, uint64_t bytes);

#endif
