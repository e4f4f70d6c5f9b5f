/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * DMA: device accesses to guest RAM, checked whole before the first byte moves.
 */
#include "core/dma.h"

#include "src/core/memory-internal.h"

#include "core/bits.h"
#include "core/ram.h"

/* Bytes of RAM usable in this direction from addr on within one section; 0: not RAM. */
static uint64_t ram_at(FlatView *view, uint64_t addr, DmaDirection direction, uint8_t **host)
{
    const MemorySection *s = flat_view_find(view, addr);

    if (!s || !s->mr->ram || (direction == DMA_FROM_DEVICE && s->read_only))
        return 0;
    *host = memory_section_host(s, addr);
    return s->addr + s->size - addr;
}

static bool all_ram(FlatView *view, uint64_t addr, uint64_t len, DmaDirection direction)
{
    uint8_t *host;

    if (!range_ok(addr, len, MEMORY_SPACE_SIZE))
        return false;
    while (len) {
        uint64_t n = MIN(len, ram_at(view, addr, direction, &host));
        if (!n)
            return false;
        addr += n;
        len -= n;
    }
    return true;
}

static void tell_written(AddressSpace *as, uint64_t addr, uint64_t len)
{
    if (as->ram_written && len)
        as->ram_written(as->ram_written_opaque, addr, len);
}

bool dma_read(AddressSpace *as, uint64_t addr, void *buf, uint64_t len)
{
    rcu_read_lock();
    FlatView *view = rcu_dereference(as->view);
    bool ok = all_ram(view, addr, len, DMA_TO_DEVICE);
    while (ok && len) {
        uint8_t *host = NULL;
        uint64_t n = MIN(len, ram_at(view, addr, DMA_TO_DEVICE, &host));
        memcpy(buf, host, n);
        buf = (uint8_t *)buf + n;
        addr += n;
        len -= n;
    }
    rcu_read_unlock();
    return ok;
}

/* Copies from buf, or fills with byte if buf is NULL. */
static bool write_ram(AddressSpace *as, uint64_t addr, const void *buf, uint8_t byte, uint64_t len)
{
    uint64_t start = addr, total = len;

    rcu_read_lock();
    FlatView *view = rcu_dereference(as->view);
    bool ok = all_ram(view, addr, len, DMA_FROM_DEVICE);
    while (ok && len) {
        uint8_t *host = NULL;
        uint64_t n = MIN(len, ram_at(view, addr, DMA_FROM_DEVICE, &host));
        if (buf)
            memcpy(host, (const uint8_t *)buf + (addr - start), n);
        else
            memset(host, byte, n);
        addr += n;
        len -= n;
    }
    if (ok)
        tell_written(as, start, total);
    rcu_read_unlock();
    return ok;
}

bool dma_write(AddressSpace *as, uint64_t addr, const void *buf, uint64_t len)
{
    return write_ram(as, addr, buf, 0, len);
}

bool dma_fill(AddressSpace *as, uint64_t addr, uint8_t byte, uint64_t len)
{
    return write_ram(as, addr, NULL, byte, len);
}

void *dma_map(AddressSpace *as, uint64_t addr, uint64_t *len, DmaDirection direction)
{
    uint8_t *host = NULL;

    rcu_read_lock();
    uint64_t n = range_ok(addr, *len, MEMORY_SPACE_SIZE)
                     ? ram_at(rcu_dereference(as->view), addr, direction, &host)
                     : 0;
    rcu_read_unlock();
    if (!n)
        return NULL;
    *len = MIN(*len, n);
    return host;
}

void dma_unmap(AddressSpace *as, uint64_t addr, uint64_t written, DmaDirection direction)
{
    if (direction == DMA_FROM_DEVICE)
        tell_written(as, addr, written);
}
