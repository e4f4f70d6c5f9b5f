/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The memory-region tree: construction, changes, transactions.
 *
 * Every change runs inside a transaction (its own, if the caller opened none). The outermost commit
 * rebuilds the flat view of every address space, because through aliases a region may be seen in
 * any of them. Trees are small and commits rare (BAR moves, PAM, hotplug), so nothing cleverer.
 *
 * Locking: machine_lock guards the trees, the transaction depth and the list of address spaces,
 * which belong to the process as the lock does.
 */
#include "src/core/memory-internal.h"

#include <inttypes.h>

#include "core/bits.h"
#include "core/lock.h"
#include "core/ram.h"

static struct {
    unsigned depth;
    bool dirty;
    GPtrArray *spaces; /* of AddressSpace * */
} transaction;

static const char *const kind_names[] = {
    [MEMORY_REGION_CONTAINER] = "container", [MEMORY_REGION_RAM] = "ram",     [MEMORY_REGION_ROM] = "rom",
    [MEMORY_REGION_IO] = "i/o",              [MEMORY_REGION_ALIAS] = "alias",
};

void memory_transaction_begin(void)
{
    machine_lock();
    transaction.depth++;
}

void memory_transaction_commit(void)
{
    g_assert(transaction.depth > 0);
    if (--transaction.depth == 0 && transaction.dirty) {
        transaction.dirty = false;
        for (guint i = 0; transaction.spaces && i < transaction.spaces->len; i++)
            address_space_update(g_ptr_array_index(transaction.spaces, i));
    }
    machine_unlock();
}

static void change_begin(void)
{
    memory_transaction_begin();
    transaction.dirty = true;
}

void memory_register_address_space(AddressSpace *as)
{
    machine_lock();
    if (!transaction.spaces)
        transaction.spaces = g_ptr_array_new();
    g_ptr_array_add(transaction.spaces, as);
    machine_unlock();
}

void memory_unregister_address_space(AddressSpace *as)
{
    machine_lock();
    g_ptr_array_remove(transaction.spaces, as);
    machine_unlock();
}

static void region_init(MemoryRegion *mr, MemoryRegionKind kind, const char *name, uint64_t size)
{
    g_assert(size > 0 && size <= MEMORY_SPACE_SIZE);
    *mr = (MemoryRegion){ .name = name, .kind = kind, .size = size, .enabled = true };
}

void memory_region_init_container(MemoryRegion *mr, const char *name, uint64_t size)
{
    region_init(mr, MEMORY_REGION_CONTAINER, name, size);
    mr->children = g_ptr_array_new();
}

void memory_region_init_io(MemoryRegion *mr, const MemoryRegionOps *ops, void *opaque, const char *name,
                           uint64_t size)
{
    region_init(mr, MEMORY_REGION_IO, name, size);
    mr->ops = ops;
    mr->opaque = opaque;
}

static void init_backed(MemoryRegion *mr, MemoryRegionKind kind, const char *name, RamBlock *ram,
                        uint64_t ram_offset, uint64_t size)
{
    g_assert(range_ok(ram_offset, size, ram->size));
    region_init(mr, kind, name, size);
    mr->ram = ram;
    mr->ram_offset = ram_offset;
}

void memory_region_init_ram(MemoryRegion *mr, const char *name, RamBlock *ram, uint64_t ram_offset,
                            uint64_t size)
{
    init_backed(mr, MEMORY_REGION_RAM, name, ram, ram_offset, size);
}

void memory_region_init_rom(MemoryRegion *mr, const char *name, RamBlock *ram, uint64_t ram_offset,
                            uint64_t size)
{
    init_backed(mr, MEMORY_REGION_ROM, name, ram, ram_offset, size);
}

void memory_region_init_rom_device(MemoryRegion *mr, const MemoryRegionOps *ops, void *opaque, const char *name,
                                   RamBlock *ram, uint64_t ram_offset, uint64_t size)
{
    memory_region_init_rom(mr, name, ram, ram_offset, size);
    mr->ops = ops;
    mr->opaque = opaque;
}

void memory_region_init_alias(MemoryRegion *mr, const char *name, MemoryRegion *target, uint64_t target_offset,
                              uint64_t size)
{
    region_init(mr, MEMORY_REGION_ALIAS, name, size);
    mr->alias = target;
    mr->alias_offset = target_offset;
}

/* Keeps children in lookup order: higher priority first, among equals the newest first. */
static void insert_child(MemoryRegion *container, MemoryRegion *mr)
{
    guint i = 0;

    while (i < container->children->len &&
           ((MemoryRegion *)g_ptr_array_index(container->children, i))->priority > mr->priority)
        i++;
    g_ptr_array_insert(container->children, (int)i, mr);
}

void memory_region_add(MemoryRegion *container, uint64_t offset, MemoryRegion *mr, int priority)
{
    g_assert(container->kind == MEMORY_REGION_CONTAINER && !mr->parent && offset < MEMORY_SPACE_SIZE);
    change_begin();
    mr->parent = container;
    mr->offset = offset;
    mr->priority = priority;
    insert_child(container, mr);
    memory_transaction_commit();
}

void memory_region_remove(MemoryRegion *mr)
{
    g_assert(mr->parent);
    change_begin();
    g_ptr_array_remove(mr->parent->children, mr);
    mr->parent = NULL;
    memory_transaction_commit();
}

/* Waits for readers with machine_lock released: one of them may be waiting for it. */
static void wait_for_readers(void)
{
    unsigned held = 0;

    while (machine_lock_held()) {
        machine_unlock();
        held++;
    }
    synchronize_rcu();
    while (held--)
        machine_lock();
}

void memory_region_release(MemoryRegion *mr)
{
    if (mr->parent)
        memory_region_remove(mr);
    wait_for_readers();
    if (mr->children) {
        g_assert(mr->children->len == 0);
        g_clear_pointer(&mr->children, g_ptr_array_unref);
    }
    g_clear_pointer(&mr->eventfds, g_free);
}

void memory_region_set_enabled(MemoryRegion *mr, bool enabled)
{
    if (mr->enabled == enabled)
        return;
    change_begin();
    mr->enabled = enabled;
    memory_transaction_commit();
}

void memory_region_set_offset(MemoryRegion *mr, uint64_t offset)
{
    if (mr->offset == offset)
        return;
    g_assert(offset < MEMORY_SPACE_SIZE);
    change_begin();
    mr->offset = offset;
    memory_transaction_commit();
}

void memory_region_set_size(MemoryRegion *mr, uint64_t size)
{
    if (mr->size == size)
        return;
    g_assert(size > 0 && size <= MEMORY_SPACE_SIZE);
    g_assert(!mr->ram || range_ok(mr->ram_offset, size, mr->ram->size));
    change_begin();
    mr->size = size;
    memory_transaction_commit();
}

void memory_region_set_alias_offset(MemoryRegion *mr, uint64_t target_offset)
{
    g_assert(mr->kind == MEMORY_REGION_ALIAS);
    if (mr->alias_offset == target_offset)
        return;
    change_begin();
    mr->alias_offset = target_offset;
    memory_transaction_commit();
}

void memory_region_set_read_only(MemoryRegion *mr, bool read_only)
{
    if (mr->read_only == read_only)
        return;
    change_begin();
    mr->read_only = read_only;
    memory_transaction_commit();
}

void memory_region_set_coalesced(MemoryRegion *mr, bool coalesced)
{
    if (mr->coalesced == coalesced)
        return;
    change_begin();
    mr->coalesced = coalesced;
    memory_transaction_commit();
}

static bool eventfd_equal(const RegionEventFd *a, const RegionEventFd *b)
{
    return a->offset == b->offset && a->size == b->size && a->match == b->match &&
           (!a->match || a->data == b->data) && a->fd == b->fd;
}

static void eventfds_free(struct rcu_head *head)
{
    g_free(caa_container_of(head, RegionEventFds, rcu));
}

/* Publishes the old array without drop and with add; either may be NULL. */
static void replace_eventfds(MemoryRegion *mr, const RegionEventFd *drop, const RegionEventFd *add)
{
    RegionEventFds *old = mr->eventfds;
    guint old_count = old ? old->count : 0;
    RegionEventFds *fds = g_malloc0(sizeof(*fds) + (old_count + 1) * sizeof(fds->fds[0]));

    change_begin();
    for (guint i = 0; i < old_count; i++) {
        if (drop && eventfd_equal(&old->fds[i], drop))
            continue;
        fds->fds[fds->count++] = old->fds[i];
    }
    if (add)
        fds->fds[fds->count++] = *add;
    if (fds->count == 0)
        g_clear_pointer(&fds, g_free);
    rcu_assign_pointer(mr->eventfds, fds);
    if (old)
        call_rcu(&old->rcu, eventfds_free);
    memory_transaction_commit();
}

void memory_region_add_eventfd(MemoryRegion *mr, const RegionEventFd *efd)
{
    g_assert(mr->kind == MEMORY_REGION_IO && efd->offset < mr->size);
    replace_eventfds(mr, NULL, efd);
}

void memory_region_remove_eventfd(MemoryRegion *mr, const RegionEventFd *efd)
{
    replace_eventfds(mr, efd, NULL);
}

static void print_region(const MemoryRegion *mr, uint64_t base, int depth, GString *out)
{
    uint64_t start = base + mr->offset;

    g_string_append_printf(out, "%*s%016" PRIx64 "-%016" PRIx64 " (prio %d, %s%s%s): %s", 2 + 2 * depth, "",
                           start, start + mr->size - 1, mr->priority, kind_names[mr->kind],
                           mr->read_only ? ", read-only" : "", mr->enabled ? "" : ", disabled", mr->name);
    if (mr->kind == MEMORY_REGION_ALIAS)
        g_string_append_printf(out, " -> %s @%016" PRIx64, mr->alias->name, mr->alias_offset);
    g_string_append_c(out, '\n');
    for (guint i = 0; mr->children && i < mr->children->len; i++)
        print_region(g_ptr_array_index(mr->children, i), start, depth + 1, out);
}

void memory_print_tree(AddressSpace *as, GString *out)
{
    g_string_append_printf(out, "address-space: %s\n", as->name);
    print_region(as->root, 0, 0, out);
}

static void print_sections(AddressSpace *as, bool roms_only, GString *out)
{
    const FlatView *view;

    rcu_read_lock();
    view = rcu_dereference(as->view);
    for (guint i = 0; i < view->count; i++) {
        const MemorySection *section = &view->sections[i];
        bool rom = section->mr->kind == MEMORY_REGION_ROM || section->read_only;
        if (roms_only && !rom)
            continue;
        g_string_append_printf(out, "  %016" PRIx64 "-%016" PRIx64 " (%s%s): %s @%016" PRIx64 "\n", section->addr,
                               section->addr + section->size - 1, kind_names[section->mr->kind],
                               section->read_only && section->mr->kind == MEMORY_REGION_RAM ? ", read-only" : "",
                               section->mr->name, section->mr_offset);
    }
    rcu_read_unlock();
}

void memory_print_flat(AddressSpace *as, GString *out)
{
    g_string_append_printf(out, "flat view: %s\n", as->name);
    print_sections(as, false, out);
}

void memory_print_roms(AddressSpace *as, GString *out)
{
    print_sections(as, true, out);
}
