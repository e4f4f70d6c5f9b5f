/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Virtqueues: life, the pool of elements, and what both ring layouts share. See hw/virtio/virtqueue.h.
 *
 * Locking: vq->lock.
 */
#include "hw/virtio/virtqueue.h"

#include <inttypes.h>

#include "core/bits.h"
#include "core/log.h"
#include "core/trace.h"
#include "ring.h"

/* An element with room for more gives it back: a pool of the largest would be 32 MiB. */
#define KEPT_PIECES 256

void virtqueue_init(Virtqueue *vq, AddressSpace *as, const char *owner, unsigned index, uint16_t max_size,
                    size_t element_size, void (*broken_cb)(Virtqueue *vq), void *opaque)
{
    g_assert(element_size >= sizeof(VirtqElement) && max_size && max_size <= VIRTQUEUE_MAX_SIZE);
    *vq = (Virtqueue){
        .as = as,
        .owner = owner,
        .index = index,
        .max_size = max_size,
        .element_size = element_size,
        .broken_cb = broken_cb,
        .opaque = opaque,
    };
    pthread_mutex_init(&vq->lock, NULL);
}

static void element_free(VirtqElement *e)
{
    g_free(e->vectors);
    g_free(e->pieces);
    g_free(e);
}

static void pool_empty(Virtqueue *vq)
{
    VirtqElement *e;

    while ((e = vq->pool)) {
        vq->pool = e->next_free;
        element_free(e);
    }
}

void virtqueue_release(Virtqueue *vq)
{
    pool_empty(vq);
    pthread_mutex_destroy(&vq->lock);
}

/* --- memory of the ring --- */

static void area_remap(Virtqueue *vq, VirtqueueArea *area)
{
    uint64_t len = area->len;

    area->host = dma_map(vq->as, area->gpa, &len, area->writable ? DMA_FROM_DEVICE : DMA_TO_DEVICE);
    if (len < area->len)
        area->host = NULL;
}

/* generation was read before the map is, so a change in between is noticed the next time. */
void ring_remap(Virtqueue *vq, uint64_t generation)
{
    area_remap(vq, &vq->desc);
    area_remap(vq, &vq->driver);
    area_remap(vq, &vq->device);
    vq->window.len = 0;
    vq->map_generation = generation;
}

bool ring_read_slow(Virtqueue *vq, const VirtqueueArea *area, uint32_t offset, void *buf, uint32_t len)
{
    if (dma_read(vq->as, area->gpa + offset, buf, len))
        return true;
    memset(buf, 0, len);
    virtqueue_set_broken(vq, "the ring at 0x%" PRIx64 " is not in RAM", area->gpa);
    return false;
}

void ring_write_slow(Virtqueue *vq, const VirtqueueArea *area, uint32_t offset, const void *buf, uint32_t len)
{
    if (!dma_write(vq->as, area->gpa + offset, buf, len))
        virtqueue_set_broken(vq, "the ring at 0x%" PRIx64 " is not in RAM", area->gpa);
}

/* --- life --- */

static bool area_ok(const VirtqueueArea *area)
{
    return range_ok(area->gpa, area->len, MEMORY_SPACE_SIZE);
}

bool virtqueue_start(Virtqueue *vq, const VirtqueueConfig *config, uint64_t features)
{
    bool packed = features & BIT(VIRTIO_F_RING_PACKED);

    g_assert(!vq->running && !vq->in_flight);
    vq->ring = packed ? &virtqueue_ring_packed : &virtqueue_ring_split;
    vq->event_idx = features & BIT(VIRTIO_F_EVENT_IDX);
    vq->indirect = features & BIT(VIRTIO_F_INDIRECT_DESC);
    vq->size = config->size;
    vq->desc = (VirtqueueArea){ .gpa = config->desc };
    vq->driver = (VirtqueueArea){ .gpa = config->driver };
    vq->device = (VirtqueueArea){ .gpa = config->device };
    vq->avail_idx = vq->avail_shadow = vq->used_idx = 0;
    vq->avail_wrap = vq->used_wrap = true;
    vq->filled = 0;
    vq->notify = true;
    if (!vq->size || vq->size > vq->max_size || !vq->ring->lay_out(vq) || !area_ok(&vq->desc) ||
        !area_ok(&vq->driver) || !area_ok(&vq->device)) {
        virtqueue_set_broken(vq, "no ring of %u entries can be at 0x%" PRIx64 ", 0x%" PRIx64 ", 0x%" PRIx64,
                             config->size, config->desc, config->driver, config->device);
        return false;
    }
    ring_remap(vq, address_space_generation(vq->as));
    vq->running = true;
    return true;
}

void virtqueue_quiesce(Virtqueue *vq)
{
    vq->running = false;
}

void virtqueue_stop(Virtqueue *vq)
{
    vq->running = false;
    vq->broken = false;
    vq->generation++;
    vq->in_flight = 0;
    pool_empty(vq);
}

void virtqueue_set_broken(Virtqueue *vq, const char *fmt, ...)
{
    va_list ap;

    vq->running = false;
    if (vq->broken)
        return;
    vq->broken = true;
    va_start(ap, fmt);
    g_autofree char *why = g_strdup_vprintf(fmt, ap);
    va_end(ap);
    guest_error(vq->owner, "queue %u is stopped until its next reset: %s", vq->index, why);
    if (vq->broken_cb)
        vq->broken_cb(vq);
}

/* --- buffers --- */

static VirtqElement *element_get(Virtqueue *vq)
{
    VirtqElement *e = vq->pool;

    if (e)
        vq->pool = e->next_free;
    else
        e = g_malloc0(vq->element_size);
    e->vq = vq;
    e->generation = vq->generation;
    e->piece_count = e->out_pieces = 0;
    e->out_bytes = e->in_bytes = 0;
    return e;
}

static void element_put(Virtqueue *vq, VirtqElement *e)
{
    if (e->capacity > KEPT_PIECES) {
        g_clear_pointer(&e->vectors, g_free);
        g_clear_pointer(&e->pieces, g_free);
        e->capacity = 0;
    }
    e->next_free = vq->pool;
    vq->pool = e;
}

VirtqElement *virtqueue_pop(Virtqueue *vq)
{
    VirtqElement *e;

    if (!vq->running)
        return NULL;
    ring_refresh(vq);
    if (vq->ring->empty(vq))
        return NULL;
    if (vq->in_flight >= vq->size) {
        virtqueue_set_broken(vq, "more buffers are available than the ring has entries");
        return NULL;
    }
    e = element_get(vq);
    if (!vq->ring->pop(vq, e) || vq->broken) {
        element_put(vq, e);
        return NULL;
    }
    e->out = e->vectors;
    e->out_count = e->out_pieces;
    e->in = e->piece_count ? e->vectors + e->out_pieces : NULL;
    e->in_count = e->piece_count - e->out_pieces;
    vq->in_flight += e->entries;
    if (vq->notify && vq->event_idx) {
        /* The driver notifies when it passes the event, so that follows; then the next look for a buffer. */
        vq->ring->set_notify(vq);
        __atomic_thread_fence(__ATOMIC_SEQ_CST);
    }
    TRACE5(virtqueue_pop, vq->owner, vq->index, e->id, e->out_bytes, e->in_bytes);
    return e;
}

bool virtqueue_empty(Virtqueue *vq)
{
    if (!vq->running)
        return true;
    ring_refresh(vq);
    return vq->ring->empty(vq);
}

static void tell_written(Virtqueue *vq, const VirtqElement *e, uint64_t written)
{
    for (unsigned i = e->out_pieces; i < e->piece_count && written; i++) {
        uint64_t n = MIN(written, e->pieces[i].len);
        dma_unmap(vq->as, e->pieces[i].addr, n, DMA_FROM_DEVICE);
        written -= n;
    }
}

void virtqueue_drop(Virtqueue *vq, VirtqElement *e)
{
    if (e->generation != vq->generation) {
        element_free(e);
        return;
    }
    vq->in_flight -= e->entries;
    element_put(vq, e);
}

void virtqueue_push(Virtqueue *vq, VirtqElement *e, uint64_t written)
{
    tell_written(vq, e, written);
    if (e->generation != vq->generation || !vq->running) {
        virtqueue_drop(vq, e);
        return;
    }
    TRACE4(virtqueue_push, vq->owner, vq->index, e->id, written);
    ring_refresh(vq);
    vq->ring->fill(vq, e, MIN(written, UINT32_MAX));
    vq->in_flight -= e->entries;
    element_put(vq, e);
}

bool virtqueue_flush(Virtqueue *vq)
{
    if (!vq->running || !vq->filled)
        return false;
    uint16_t count = vq->filled;
    vq->ring->flush(vq);
    vq->filled = 0;
    /* The entries before the look at the driver's wish; the driver does the opposite (2.7.7.2). */
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
    return vq->running && vq->ring->wants_interrupt(vq, count);
}

void virtqueue_set_notify(Virtqueue *vq, bool notify)
{
    if (!vq->running)
        return;
    vq->notify = notify;
    ring_refresh(vq);
    vq->ring->set_notify(vq);
    if (notify)
        __atomic_thread_fence(__ATOMIC_SEQ_CST); /* before the caller looks for buffers once more */
}
