/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Accesses to an address space: lookup, splitting, dispatch to RAM or a region's handlers.
 *
 * machine_lock and RCU. A handler that needs the lock is never waited for inside a read-side
 * section (the lock's holder may be waiting for readers): the lookup ends its section, takes the
 * lock, and looks again if the view changed meanwhile. Handlers of lockless regions run inside the
 * section, so that their region cannot go away under them.
 */
#include "src/core/memory-internal.h"

#include <sys/eventfd.h>

#include "core/bits.h"
#include "core/lock.h"
#include "core/ram.h"

void address_space_init(AddressSpace *as, MemoryRegion *root, const char *name)
{
    *as = (AddressSpace){ .name = name, .root = root, .listeners = g_ptr_array_new() };
    as->view = flat_view_new(root);
    memory_register_address_space(as);
}

void address_space_release(AddressSpace *as)
{
    memory_unregister_address_space(as);
    flat_view_free_rcu(as->view);
    g_ptr_array_unref(as->listeners);
    *as = (AddressSpace){ 0 };
}

void address_space_add_listener(AddressSpace *as, MemoryListener *listener)
{
    machine_lock();
    g_ptr_array_add(as->listeners, listener);
    flat_view_replay(as->view, listener);
    machine_unlock();
}

void address_space_remove_listener(AddressSpace *as, MemoryListener *listener)
{
    machine_lock();
    g_ptr_array_remove(as->listeners, listener);
    machine_unlock();
}

static AccessSizes valid_sizes(const MemoryRegionOps *ops)
{
    AccessSizes s = ops->valid;

    if (!s.max)
        s = (AccessSizes){ .min = 1, .max = 4, .unaligned = s.unaligned };
    return s;
}

static AccessSizes impl_sizes(const MemoryRegionOps *ops)
{
    return ops->impl.max ? ops->impl : valid_sizes(ops);
}

/* The largest access that sizes allow at offset, of at most len bytes. */
static unsigned access_size(AccessSizes sizes, uint64_t offset, uint64_t len)
{
    unsigned size = sizes.max;

    while (size > len || (!sizes.unaligned && offset & (size - 1)))
        size >>= 1;
    return size;
}

/*
 * The largest access the bus lets through at offset. The device at the first byte answers all of
 * it, though another device may decode the next byte alone: a doubleword at port CF8h belongs to
 * PCI's address register, a byte at CF9h to the reset control.
 */
static unsigned bus_access_size(const MemoryRegion *mr, uint64_t offset, uint64_t len)
{
    return access_size(valid_sizes(mr->ops), offset, MIN(len, mr->size - offset));
}

/* The same where nobody answers. */
static unsigned unclaimed_access_size(uint64_t addr, uint64_t len)
{
    return access_size((AccessSizes){ .min = 1, .max = 4 }, addr, len);
}

static bool access_allowed(const MemoryRegion *mr, uint64_t offset, unsigned size)
{
    AccessSizes valid = valid_sizes(mr->ops);

    return size >= valid.min && size <= valid.max && (valid.unaligned || !(offset & (size - 1)));
}

MemTxResult memory_region_read(MemoryRegion *mr, uint64_t offset, unsigned size, uint64_t *value)
{
    AccessSizes impl = impl_sizes(mr->ops);

    if (!access_allowed(mr, offset, size) || !mr->ops->read) {
        *value = size_mask(size);
        return MEM_TX_ACCESS_ERROR;
    }
    if (size < impl.min) {
        uint64_t start = align_down(offset, impl.min);
        *value = mr->ops->read(mr->opaque, start, impl.min) >> (8 * (offset - start));
    } else if (size <= impl.max) {
        *value = mr->ops->read(mr->opaque, offset, size);
    } else {
        *value = 0;
        for (unsigned i = 0; i < size; i += impl.max)
            *value |= (mr->ops->read(mr->opaque, offset + i, impl.max) & size_mask(impl.max)) << (8 * i);
    }
    *value &= size_mask(size);
    return MEM_TX_OK;
}

/* True if an ioeventfd took the write; accelerators without kernel ioeventfds come here. */
static bool eventfd_taken(MemoryRegion *mr, uint64_t offset, unsigned size, uint64_t value)
{
    const RegionEventFds *fds = rcu_dereference(mr->eventfds);

    for (guint i = 0; fds && i < fds->count; i++) {
        const RegionEventFd *efd = &fds->fds[i];
        if (efd->offset == offset && (!efd->size || efd->size == size) &&
            (!efd->match || efd->data == value)) {
            /* Fails only when the counter is full, and then the reader is awake anyway. */
            (void)eventfd_write(efd->fd, 1);
            return true;
        }
    }
    return false;
}

MemTxResult memory_region_write(MemoryRegion *mr, uint64_t offset, unsigned size, uint64_t value)
{
    AccessSizes impl = impl_sizes(mr->ops);

    value &= size_mask(size);
    if (!access_allowed(mr, offset, size) || !mr->ops->write)
        return MEM_TX_ACCESS_ERROR;
    if (G_UNLIKELY(mr->eventfds) && eventfd_taken(mr, offset, size, value))
        return MEM_TX_OK;
    if (size < impl.min) {
        uint64_t start = align_down(offset, impl.min);
        mr->ops->write(mr->opaque, start, value << (8 * (offset - start)), impl.min);
    } else if (size <= impl.max) {
        mr->ops->write(mr->opaque, offset, value, size);
    } else {
        for (unsigned i = 0; i < size; i += impl.max)
            mr->ops->write(mr->opaque, offset + i, value >> (8 * i) & size_mask(impl.max), impl.max);
    }
    return MEM_TX_OK;
}

void *memory_section_host(const MemorySection *section, uint64_t addr)
{
    const MemoryRegion *mr = section->mr;

    return mr->ram->host + mr->ram_offset + section->mr_offset + (addr - section->addr);
}

static void section_leave(bool locked)
{
    if (locked)
        machine_unlock();
    else
        rcu_read_unlock();
}

/*
 * Finds addr's section and enters what protects it: machine_lock if the region's handlers need it
 * (*locked), else the RCU read side. NULL with nothing entered if there is no section. A handler
 * may itself change the tree: nothing of the section is looked at after it ran.
 */
static const MemorySection *section_enter(AddressSpace *as, uint64_t addr, bool *locked)
{
    *locked = false;
    rcu_read_lock();
    const MemorySection *s = flat_view_find(rcu_dereference(as->view), addr);
    if (s && s->mr->ops && !s->mr->ops->lockless) {
        rcu_read_unlock();
        machine_lock(); /* now the view stands still */
        s = flat_view_find(as->view, addr);
        *locked = true;
    }
    if (!s)
        section_leave(*locked);
    return s;
}

/* How many of len bytes at addr lie in a RAM or ROM section. */
static unsigned ram_part(const MemorySection *s, uint64_t addr, uint64_t len)
{
    return (unsigned)MIN(len, MIN(s->addr + s->size - addr, GIB));
}

/* Reads what one section gives at addr, at most len bytes; returns how many. */
static unsigned read_part(AddressSpace *as, uint64_t addr, void *buf, uint64_t len, MemTxResult *result)
{
    bool locked;
    const MemorySection *s = section_enter(as, addr, &locked);
    unsigned n;

    if (!s) {
        *result = MEM_TX_DECODE_ERROR;
        n = unclaimed_access_size(addr, len);
        memset(buf, 0xff, n);
        return n;
    }
    uint64_t offset = addr - s->addr + s->mr_offset;
    if (s->mr->ram) {
        n = ram_part(s, addr, len);
        memcpy(buf, memory_section_host(s, addr), n);
    } else {
        uint64_t value;
        n = bus_access_size(s->mr, offset, len);
        MemTxResult r = memory_region_read(s->mr, offset, n, &value);
        if (r != MEM_TX_OK)
            *result = r;
        store_le(buf, value, n);
    }
    section_leave(locked);
    return n;
}

static unsigned write_part(AddressSpace *as, uint64_t addr, const void *buf, uint64_t len, MemTxResult *result)
{
    bool locked;
    const MemorySection *s = section_enter(as, addr, &locked);
    unsigned n;

    if (!s) {
        *result = MEM_TX_DECODE_ERROR;
        return unclaimed_access_size(addr, len);
    }
    uint64_t offset = addr - s->addr + s->mr_offset;
    bool rom_device = s->mr->ram && s->mr->ops;
    if (s->read_only && !rom_device) {
        n = ram_part(s, addr, len);
        *result = MEM_TX_ACCESS_ERROR;
    } else if (s->mr->ram && !rom_device) {
        n = ram_part(s, addr, len);
        memcpy(memory_section_host(s, addr), buf, n);
        if (as->ram_written)
            as->ram_written(as->ram_written_opaque, addr, n);
    } else {
        n = bus_access_size(s->mr, offset, len);
        MemTxResult r = memory_region_write(s->mr, offset, n, load_le(buf, n));
        if (r != MEM_TX_OK)
            *result = r;
    }
    section_leave(locked);
    return n;
}

MemTxResult address_space_read(AddressSpace *as, uint64_t addr, void *buf, uint64_t len)
{
    MemTxResult result = MEM_TX_OK;

    while (len) {
        unsigned n = read_part(as, addr, buf, len, &result);
        addr += n;
        buf = (uint8_t *)buf + n;
        len -= n;
    }
    return result;
}

MemTxResult address_space_write(AddressSpace *as, uint64_t addr, const void *buf, uint64_t len)
{
    MemTxResult result = MEM_TX_OK;

    while (len) {
        unsigned n = write_part(as, addr, buf, len, &result);
        addr += n;
        buf = (const uint8_t *)buf + n;
        len -= n;
    }
    return result;
}

MemTxResult address_space_load(AddressSpace *as, uint64_t addr, unsigned size, uint64_t *value)
{
    uint8_t buf[8] = { 0 };
    MemTxResult result = address_space_read(as, addr, buf, size);

    *value = load_le(buf, size);
    return result;
}

MemTxResult address_space_store(AddressSpace *as, uint64_t addr, unsigned size, uint64_t value)
{
    uint8_t buf[8];

    store_le(buf, value, 8);
    return address_space_write(as, addr, buf, size);
}

bool address_space_lookup(AddressSpace *as, uint64_t addr, MemorySection *section)
{
    rcu_read_lock();
    const MemorySection *s = flat_view_find(rcu_dereference(as->view), addr);
    if (s)
        *section = *s;
    rcu_read_unlock();
    return s != NULL;
}
