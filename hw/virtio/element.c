/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The pieces of a buffer: from descriptors to vectors of host memory, with the bounds of
 * hw/virtio/virtqueue.h, and copying in and out of them.
 *
 * Locking: collecting under the queue's lock; an element that was popped is its owner's.
 */
#include <inttypes.h>

#include "core/bits.h"
#include "ring.h"

#define FIRST_PIECES     16
#define BUFFER_MAX_BYTES (UINT64_C(1) << 32)

static void grow(VirtqElement *e)
{
    e->capacity = e->capacity ? MIN(2 * e->capacity, VIRTQUEUE_MAX_VECTORS) : FIRST_PIECES;
    e->vectors = g_renew(struct iovec, e->vectors, e->capacity);
    e->pieces = g_renew(VirtqPiece, e->pieces, e->capacity);
}

/* Neighbours become one vector, so that a driver's pages are not the backend's pieces. */
static bool add_vector(Virtqueue *vq, VirtqElement *e, uint64_t addr, void *host, uint64_t len, bool device_writes)
{
    unsigned n = e->piece_count, begin = device_writes ? e->out_pieces : 0;

    if (n > begin && e->pieces[n - 1].addr + e->pieces[n - 1].len == addr &&
        (char *)e->vectors[n - 1].iov_base + e->vectors[n - 1].iov_len == host) {
        e->vectors[n - 1].iov_len += len;
        e->pieces[n - 1].len += len;
        return true;
    }
    if (n == VIRTQUEUE_MAX_VECTORS) {
        virtqueue_set_broken(vq, "a buffer has more than %u pieces", VIRTQUEUE_MAX_VECTORS);
        return false;
    }
    if (n == e->capacity)
        grow(e);
    e->vectors[n] = (struct iovec){ host, len };
    e->pieces[n] = (VirtqPiece){ addr, len };
    e->piece_count++;
    if (!device_writes)
        e->out_pieces++;
    return true;
}

/* Guests have few pieces of RAM, and most buffers are where the one before was. */
static bool find_window(Virtqueue *vq, uint64_t addr)
{
    MemorySection section;

    if (!address_space_lookup(vq->as, addr, &section) || !section.mr->ram || section.read_only)
        return false;
    vq->window = (VirtqueueArea){
        .gpa = section.addr,
        .len = section.size,
        .writable = true,
        .host = memory_section_host(&section, section.addr),
    };
    return true;
}

/* As dma_map. */
static void *map(Virtqueue *vq, uint64_t addr, uint64_t *len, bool device_writes)
{
    if (G_UNLIKELY(addr - vq->window.gpa >= vq->window.len) && !find_window(vq, addr))
        return dma_map(vq->as, addr, len, device_writes ? DMA_FROM_DEVICE : DMA_TO_DEVICE);
    uint64_t offset = addr - vq->window.gpa;
    *len = MIN(*len, vq->window.len - offset);
    return vq->window.host + offset;
}

bool ring_add_buffer(Virtqueue *vq, VirtqElement *e, uint64_t addr, uint32_t len, bool device_writes)
{
    if (!device_writes && e->in_bytes) {
        virtqueue_set_broken(vq, "a buffer has a part for reading behind one for writing");
        return false;
    }
    if (e->out_bytes + e->in_bytes + len > BUFFER_MAX_BYTES) {
        virtqueue_set_broken(vq, "a buffer has more than 4 GiB");
        return false;
    }
    *(device_writes ? &e->in_bytes : &e->out_bytes) += len;
    for (uint64_t left = len; left;) {
        uint64_t n = left;
        void *host = map(vq, addr, &n, device_writes);
        if (!host) {
            virtqueue_set_broken(vq, "a buffer at 0x%" PRIx64 " is not in RAM", addr);
            return false;
        }
        if (!add_vector(vq, e, addr, host, n, device_writes))
            return false;
        addr += n;
        left -= n;
    }
    return true;
}

static bool add_table(Virtqueue *vq, VirtqElement *e, const VirtqueueArea *table, bool split)
{
    uint32_t count = (uint32_t)(table->len / sizeof(RingDesc));
    RingDesc desc;
    uint16_t flags;

    for (uint32_t hops = 0, i = 0;; hops++) {
        if (hops == MIN(count, VIRTQUEUE_MAX_VECTORS)) {
            virtqueue_set_broken(vq, "an indirect chain is longer than %u descriptors", hops);
            return false;
        }
        if (!ring_read_desc(vq, table, i, &desc))
            return false;
        flags = split ? desc.split.flags : desc.packed.flags;
        if (flags & DESC_F_INDIRECT) {
            virtqueue_set_broken(vq, "an indirect table names an indirect table");
            return false;
        }
        if (!ring_add_buffer(vq, e, desc.addr, desc.len, flags & DESC_F_WRITE))
            return false;
        if (split ? !(flags & DESC_F_NEXT) : hops + 1 == count)
            return true;
        i = split ? desc.split.next : i + 1;
        if (i >= count) {
            virtqueue_set_broken(vq, "descriptor %u of an indirect table of %u", i, count);
            return false;
        }
    }
}

bool ring_add_indirect(Virtqueue *vq, VirtqElement *e, const RingDesc *desc, bool split)
{
    VirtqueueArea table = { .gpa = desc->addr, .len = desc->len };
    uint16_t flags = split ? desc->split.flags : desc->packed.flags;
    uint64_t mapped = desc->len;

    if (!vq->indirect || flags & DESC_F_NEXT) {
        virtqueue_set_broken(vq, vq->indirect ? "an indirect descriptor with a successor"
                                              : "an indirect descriptor without VIRTIO_F_INDIRECT_DESC");
        return false;
    }
    if (!desc->len || desc->len % sizeof(RingDesc) || !range_ok(desc->addr, desc->len, MEMORY_SPACE_SIZE)) {
        virtqueue_set_broken(vq, "an indirect table of %u bytes at 0x%" PRIx64, desc->len, desc->addr);
        return false;
    }
    table.host = map(vq, desc->addr, &mapped, false);
    if (mapped < desc->len)
        table.host = NULL;
    return add_table(vq, e, &table, split);
}

/* --- for devices --- */

static size_t copy_vectors(const struct iovec *vectors, unsigned count, uint64_t offset, void *buf, size_t len,
                           bool write)
{
    size_t done = 0;

    for (unsigned i = 0; i < count && done < len; i++) {
        if (offset >= vectors[i].iov_len) {
            offset -= vectors[i].iov_len;
            continue;
        }
        uint8_t *host = (uint8_t *)vectors[i].iov_base + offset;
        size_t n = MIN(len - done, vectors[i].iov_len - offset);
        if (write)
            memcpy(host, (uint8_t *)buf + done, n);
        else
            memcpy((uint8_t *)buf + done, host, n);
        done += n;
        offset = 0;
    }
    __asm__ volatile("" : : "r"(buf) : "memory"); /* what was read is read once */
    return done;
}

size_t virtq_element_read(const VirtqElement *e, uint64_t offset, void *buf, size_t len)
{
    return copy_vectors(e->out, e->out_count, offset, buf, len, false);
}

size_t virtq_element_write(const VirtqElement *e, uint64_t offset, const void *buf, size_t len)
{
    return copy_vectors(e->in, e->in_count, offset, (void *)(uintptr_t)buf, len, true);
}

bool virtq_vectors_cut_front(struct iovec **vectors, unsigned *count, uint64_t bytes)
{
    while (bytes && *count) {
        struct iovec *v = *vectors;
        size_t n = MIN(bytes, v->iov_len);
        v->iov_base = (char *)v->iov_base + n;
        v->iov_len -= n;
        bytes -= n;
        if (!v->iov_len) {
            ++*vectors;
            --*count;
        }
    }
    return !bytes;
}

bool virtq_vectors_cut_back(struct iovec *vectors, unsigned *count, uint64_t bytes)
{
    while (bytes && *count) {
        struct iovec *v = &vectors[*count - 1];
        size_t n = MIN(bytes, v->iov_len);
        v->iov_len -= n;
        bytes -= n;
        if (!v->iov_len)
            --*count;
    }
    return !bytes;
}
