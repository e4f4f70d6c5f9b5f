/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The software TLB: its layout, and the inline fast paths of loads, stores and instruction fetch.
 *
 * A vCPU has one pair of tables (read, write) for each context of data accesses, and one fetch
 * table per privilege. An entry maps one 4 KiB page of plain RAM or ROM to host memory. An
 * entry in a table means that every check has passed for that context:
 *
 *     read    present, readable, accessed bit set
 *     write   and writable, dirty bit set, not ROM, no code watched in it (see code.c)
 *     fetch   executable; holds the guest-physical page
 *
 * MMIO and pages that need a look at each access never get an entry. One comparison,
 * linear - tag <= 4096 - size, checks page and crossing at once; non-canonical addresses can't
 * match because no fill ever enters one. An invalid entry has the tag of a page that belongs to
 * another index, so zeroed tables are empty but for index 0.
 *
 * Owner: the vCPU's thread; other threads only within an exclusive section.
 */
#ifndef DBT_MMU_H
#define DBT_MMU_H

#include "accel/dbt/dbt.h"

#define MMU_TLB_BITS 12
#define MMU_TLB_SIZE (1u << MMU_TLB_BITS)

/* Who makes a data access: what paging checks differ by. */
typedef enum MmuContext {
    MMU_USER,          /* CPL 3 */
    MMU_SUPERVISOR,    /* CPL 0..2; with CR4.SMAP user pages are out of reach */
    MMU_SUPERVISOR_AC, /* the same with RFLAGS.AC: user pages are reachable */
    MMU_CONTEXTS,
} MmuContext;

typedef struct MmuEntry {
    uint64_t tag;   /* linear address of the page */
    uint64_t value; /* host address minus linear address; fetch: guest-physical address */
} MmuEntry;

typedef struct MmuTlb {
    MmuEntry read[MMU_TLB_SIZE];
    MmuEntry write[MMU_TLB_SIZE];
} MmuTlb;

typedef struct MmuFetchTlb {
    MmuEntry entry[MMU_TLB_SIZE];
} MmuFetchTlb;

/* Guest memory is unaligned and of no particular type. */
typedef uint16_t __attribute__((aligned(1), may_alias)) MmuU16;
typedef uint32_t __attribute__((aligned(1), may_alias)) MmuU32;
typedef uint64_t __attribute__((aligned(1), may_alias)) MmuU64;

/* One access of 1, 2, 4 or 8 bytes of host memory; indivisible where the hardware's is. */
static inline uint64_t mmu_host_load(const void *host, unsigned size)
{
    switch (size) {
    case 1: return *(const volatile uint8_t *)host;
    case 2: return *(const volatile MmuU16 *)host;
    case 4: return *(const volatile MmuU32 *)host;
    default: return *(const volatile MmuU64 *)host;
    }
}

static inline void mmu_host_store(void *host, unsigned size, uint64_t value)
{
    switch (size) {
    case 1: *(volatile uint8_t *)host = (uint8_t)value; break;
    case 2: *(volatile MmuU16 *)host = (uint16_t)value; break;
    case 4: *(volatile MmuU32 *)host = (uint32_t)value; break;
    default: *(volatile MmuU64 *)host = value; break;
    }
}

/* The slow paths behind the inline ones; same results. */
bool dbt_load_slow(DbtVcpu *v, SegIndex seg, uint64_t ea, unsigned size, uint64_t *value);
bool dbt_store_slow(DbtVcpu *v, SegIndex seg, uint64_t ea, unsigned size, uint64_t value);

/* Host address of [linear, linear + size) if one entry covers it, else NULL. size is 1..4096. */
static inline void *mmu_entry_host(const MmuEntry *table, uint64_t linear, unsigned size)
{
    const MmuEntry *e = &table[linear >> GUEST_PAGE_BITS & (MMU_TLB_SIZE - 1)];

    if (__builtin_expect(linear - e->tag <= GUEST_PAGE_SIZE - size, 1))
        return (void *)(uintptr_t)(linear + e->value);
    return NULL;
}

/* Loads 1, 2, 4 or 8 bytes at seg:ea, zero-extended. false: v->fault is set. */
static inline bool dbt_load(DbtVcpu *v, SegIndex seg, uint64_t ea, unsigned size, uint64_t *value)
{
    if (__builtin_expect(v->flat_read >> seg & 1, 1)) {
        const void *host = mmu_entry_host(v->tlb->read, v->seg_base[seg] + ea, size);
        if (__builtin_expect(host != NULL, 1)) {
            *value = mmu_host_load(host, size);
            return true;
        }
    }
    return dbt_load_slow(v, seg, ea, size, value);
}

/* Stores the low size bytes. A store that hits watched code calls dbt_end_block. */
static inline bool dbt_store(DbtVcpu *v, SegIndex seg, uint64_t ea, unsigned size, uint64_t value)
{
    if (__builtin_expect(v->flat_write >> seg & 1, 1)) {
        void *host = mmu_entry_host(v->tlb->write, v->seg_base[seg] + ea, size);
        if (__builtin_expect(host != NULL, 1)) {
            mmu_host_store(host, size, value);
            return true;
        }
    }
    return dbt_store_slow(v, seg, ea, size, value);
}

/*
 * For string instructions: the host address of the byte at linear if its page is plain RAM for this
 * access, and in *len how many bytes of it follow in the page. NULL: go element by element (the page
 * is MMIO, holds watched code, or would fault; v->fault is not set). Valid until the vCPU leaves
 * guest code or touches memory by another way.
 */
void *dbt_host_span(DbtVcpu *v, uint64_t linear, MmuAccess access, unsigned *len);

/* dbt_fetch_page behind the fetch TLB. */
static inline bool dbt_fetch_gpa(DbtVcpu *v, uint64_t linear, uint64_t *gpa)
{
    const MmuEntry *e = &v->fetch_tlb->entry[linear >> GUEST_PAGE_BITS & (MMU_TLB_SIZE - 1)];
    uint64_t offset = linear - e->tag;

    if (__builtin_expect(offset < GUEST_PAGE_SIZE, 1)) {
        *gpa = e->value + offset;
        return true;
    }
    return dbt_fetch_page(v, linear, gpa);
}

#endif
