/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The walk of the paging structures without its side effects. Intel SDM vol. 3, chapter 4: 32-bit
 * paging with PSE-36 (4.3), PAE (4.4), 4-level and 5-level paging (4.5).
 *
 * Departures: the PAE PDPTEs are read from memory, where a CPU uses what it loaded with CR3; reserved
 * bits are ignored.
 */
#include "core/paging.h"

#include "core/dma.h"

static PagingShape paging_shape(const CpuState *s)
{
    if (s->efer & EFER_LMA)
        return (PagingShape){s->cr3 & PTE_ADDR, s->cr4 & CR4_LA57 ? 5 : 4, 9, 8};
    if (s->cr4 & CR4_PAE)
        return (PagingShape){s->cr3 & 0xffffffe0, 3, 9, 8};
    return (PagingShape){s->cr3 & 0xfffff000, 2, 10, 4};
}

/* Only from memory: a table in a device's registers would be read with side effects. */
static bool load_entry(AddressSpace *as, uint64_t gpa, unsigned size, uint64_t *entry)
{
    MemorySection section;

    *entry = 0;
    if (!address_space_lookup(as, gpa, &section) || section.mr->kind == MEMORY_REGION_IO)
        return false;
    return address_space_load(as, gpa, size, entry) == MEM_TX_OK;
}

/* Addresses outside the canonical range, which no table covers (SDM vol. 1, 3.3.7.1). */
static bool canonical(const PagingShape *shape, uint64_t linear)
{
    unsigned unused = 64 - (GUEST_PAGE_BITS + 9 * shape->levels);

    return (uint64_t)((int64_t)(linear << unused) >> unused) == linear;
}

bool paging_translate(AddressSpace *as, const CpuState *state, uint64_t linear, uint64_t *gpa)
{
    PagingShape shape = paging_shape(state);
    uint64_t table = shape.table, entry;

    if (!(state->efer & EFER_LMA))
        linear = (uint32_t)linear;
    *gpa = linear;
    if (!(state->cr0 & CR0_PG))
        return true;
    if (shape.levels > 3 && !canonical(&shape, linear))
        return false;
    for (unsigned level = shape.levels;; level--) {
        unsigned shift = GUEST_PAGE_BITS + (level - 1) * shape.index_bits;
        uint64_t index = linear >> shift & (BIT(shape.index_bits) - 1);

        if (level == 3 && shape.levels == 3)
            index &= 3;
        if (!load_entry(as, table + index * shape.entry_size, shape.entry_size, &entry) || !(entry & PTE_P))
            return false;
        if (level == 1 || paging_entry_is_large(state, &shape, level, entry)) {
            *gpa = paging_page_address(&shape, entry, linear, shift);
            return true;
        }
        table = shape.entry_size == 4 ? entry & 0xfffff000 : entry & PTE_ADDR;
    }
}

typedef struct Walk {
    AddressSpace *as;
    const CpuState *state;
    PagingShape shape;
    unsigned tables_left;
    bool (*visit)(void *opaque, const PagingMapping *mapping);
    void *opaque;
    bool ended; /* visit has seen enough */
} Walk;

/* Where the top bit is set, the addresses are those at the other end (SDM vol. 1, 3.3.7.1). */
static uint64_t make_canonical(const PagingShape *shape, uint64_t linear)
{
    unsigned unused = 64 - (GUEST_PAGE_BITS + 9 * shape->levels);

    return shape->levels > 3 ? (uint64_t)((int64_t)(linear << unused) >> unused) : linear;
}

static bool walk_table(Walk *walk, uint64_t table, unsigned level, const PagingMapping *above)
{
    const PagingShape *shape = &walk->shape;
    unsigned shift = GUEST_PAGE_BITS + (level - 1) * shape->index_bits;
    bool pae_top = shape->levels == 3 && level == 3; /* 4 entries, without permissions (SDM 4.4.1) */
    unsigned count = pae_top ? 4 : 1u << shape->index_bits;
    uint8_t entries[GUEST_PAGE_SIZE];

    if (!walk->tables_left--) {
        walk->tables_left = 0;
        return false;
    }
    if (!dma_read(walk->as, table, entries, (uint64_t)count * shape->entry_size))
        return true;
    for (unsigned i = 0; i < count && !walk->ended; i++) {
        uint64_t entry = load_le(entries + i * shape->entry_size, shape->entry_size);
        PagingMapping mapping = *above;

        if (!(entry & PTE_P))
            continue;
        mapping.linear = make_canonical(shape, above->linear | (uint64_t)i << shift);
        mapping.user = above->user && (pae_top || entry & PTE_U);
        mapping.writable = above->writable && (pae_top || entry & PTE_W);
        mapping.no_execute = above->no_execute || (shape->entry_size == 8 && !pae_top && entry & PTE_NX);
        if (level == 1 || paging_entry_is_large(walk->state, shape, level, entry)) {
            mapping.gpa = paging_page_address(shape, entry, 0, shift);
            mapping.size = BIT(shift);
            mapping.entry = entry;
            walk->ended = !walk->visit(walk->opaque, &mapping);
        } else if (!walk_table(walk, shape->entry_size == 4 ? entry & 0xfffff000 : entry & PTE_ADDR, level - 1,
                               &mapping)) {
            return false;
        }
    }
    return true;
}

bool paging_foreach(AddressSpace *as, const CpuState *state, unsigned max_tables,
                    bool (*visit)(void *opaque, const PagingMapping *mapping), void *opaque)
{
    Walk walk = {as, state, paging_shape(state), max_tables, visit, opaque, false};
    PagingMapping all = {.user = true, .writable = true};

    return walk_table(&walk, walk.shape.table, walk.shape.levels, &all);
}
