/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Paging: the geometry every walker shares, and a walk for someone who looks from outside (a
 * debugger, a monitor). Sources: Intel SDM vol. 3, 4.3 to 4.5.
 *
 * The walk says where a linear address lies in guest-physical memory. Permissions are ignored and no accessed or dirty bit is set; translations a
 * CPU may still have in its TLB are not seen.
 *
 * Locking: machine_lock, the vCPU PAUSED and its state synchronised.
 */
#ifndef CORE_PAGING_H
#define CORE_PAGING_H

#include <stdbool.h>
#include <stdint.h>

#include "core/bits.h"
#include "core/cpu-state.h"
#include "core/memory.h"

#define PTE_P BIT(0)
#define PTE_W BIT(1)
#define PTE_U BIT(2)
#define PTE_PWT BIT(3)
#define PTE_PCD BIT(4)
#define PTE_A BIT(5)
#define PTE_D BIT(6)
#define PTE_PS BIT(7)
#define PTE_G BIT(8)
#define PTE_NX BIT(63)
#define PTE_ADDR BITS(51, 12)

/* A paging mode: where the walk starts and the shape of its tables. */
typedef struct PagingShape {
    uint64_t table;      /* of the first level walked */
    unsigned levels;
    unsigned index_bits; /* 9 or 10 */
    unsigned entry_size; /* 8 or 4 */
} PagingShape;

/* Whether an entry maps a page instead of a table; level 1 is the last. */
static inline bool paging_entry_is_large(const CpuState *s, const PagingShape *shape, unsigned level,
                                         uint64_t entry)
{
    if (!(entry & PTE_PS))
        return false;
    if (shape->entry_size == 4)
        return level == 2 && (s->cr4 & CR4_PSE);
    return level == 2 || (level == 3 && shape->levels > 3);
}

/* Where linear lies in the page of 2^page_bits bytes that the entry maps. */
static inline uint64_t paging_page_address(const PagingShape *shape, uint64_t entry, uint64_t linear,
                                           unsigned page_bits)
{
    uint64_t offset = linear & (BIT(page_bits) - 1);

    if (page_bits == 22) /* PSE-36 */
        return (entry & 0xffc00000) | (entry >> 13 & 0xff) << 32 | offset;
    if (shape->entry_size == 4)
        return (entry & 0xfffff000) | offset;
    return (entry & PTE_ADDR & ~(BIT(page_bits) - 1)) | offset;
}

/* One page, and what all levels together allow. */
typedef struct PagingMapping {
    uint64_t linear, gpa, size;
    uint64_t entry; /* that maps it */
    bool user, writable, no_execute;
} PagingMapping;

/*
 * Every mapping, in the order of linear addresses, until visit says false. At most max_tables tables are
 * read, as tables that refer to themselves make no end of mappings; false: that was not enough.
 */
bool paging_foreach(AddressSpace *as, const CpuState *state, unsigned max_tables,
                    bool (*visit)(void *opaque, const PagingMapping *mapping), void *opaque);
/* False: not mapped, or the tables are not in RAM or ROM. */
bool paging_translate(AddressSpace *as, const CpuState *state, uint64_t linear, uint64_t *gpa);

#endif
