/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The walk of the paging structures without its side effects. Intel SDM vol. 3, chapter 4: 32-bit
 * paging with PSE-36 (4.3), PAE (4.4), 4-level and 5-level paging (4.5).
 *
 * Departures: the PAE PDPTEs are read from memory, where a CPU uses what it loaded with CR3; reserved
 * bits are ignored.
 */
#include "core/paging.h"

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
