/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the memory files of accel/dbt share among themselves.
 *
 *     map.c        guest-physical page -> host page: a listener's view of machine->memory
 *     mmu-walk.c   linear -> guest-physical: the paging structures
 *     mmu-cache.c  what walks have found, by address space
 *     mmu.c        the TLB: fill, flush; linear accesses
 *     window.c     pages of the guest side by side on the host
 *     mmu-seg.c    accesses by segment; operands for one instruction (DbtMemRef)
 *     code.c       code pages: who watches, who must be told
 */
#ifndef DBT_MMU_PRIV_H
#define DBT_MMU_PRIV_H

#include "accel/dbt/mmu-cache.h"
#include "accel/dbt/mmu.h"
#include "core/error.h"
#include "core/machine.h"

typedef struct DbtMmu DbtMmu;

/* --- map.c --- */

/*
 * A page of a RAM block, whatever addresses show it (aliases, shadowed ROM). code.c's rules:
 * granules and generation change under the map's code_lock; writers only grows but in an exclusive
 * section. Zeroed is the initial state, and most pages keep it, so the tables are sparse.
 */
typedef struct MapPage {
    uint64_t granules;   /* bit n: the 64 bytes at 64 * n hold code somebody decoded */
    uint64_t writers;    /* vCPUs that may have a write entry: bit min(index, 63) */
    uint32_t generation; /* incremented after each write to a granule with code */
} MapPage;

/* One guest-physical page. host NULL: not wholly RAM or ROM, so go through machine->memory. */
typedef struct MapEntry {
    uint8_t *host;
    MapPage *page;
    bool read_only;
} MapEntry;

typedef struct DbtMap DbtMap;

/* Any thread; the host address is valid for a vCPU until it leaves guest code. */
MapEntry dbt_map_lookup(DbtMap *map, uint64_t gpa);
AddressSpace *dbt_map_space(DbtMap *map);
GMutex *dbt_map_code_lock(DbtMap *map);
DbtAccel *dbt_map_accel(DbtMap *map);

/* --- mmu-walk.c --- */

typedef struct MmuWalk {
    uint64_t gpa;
    uint8_t page_bits; /* 12, 21, 22 or 30 */
    bool global;
} MmuWalk;

/* Translates as the hardware would, accessed and dirty bits included. access MMU_STORE is as
 * MMU_WRITE. false: *error is the page-fault error code. */
bool mmu_walk(DbtVcpu *v, uint64_t linear, MmuAccess access, MmuContext context, MmuWalk *walk,
              uint32_t *error);

/* --- mmu.c --- */

#define MMU_LOG_SIZE 1024
#define MMU_LARGE_CLASSES 3 /* 2 MiB, 4 MiB, 1 GiB */
#define MMU_LARGE_BITS 1024 /* of each class's filter */

enum {
    MMU_TABLE_FETCH_USER = 2 * MMU_CONTEXTS, /* tables 0..5: read and write of each context */
    MMU_TABLE_FETCH_SUPERVISOR,
    MMU_TABLES,
    MMU_TABLE_CHECKED = MMU_TABLES, /* a pair that is never filled: every access is slow */
    MMU_TABLES_ALL = MMU_TABLES + 2,
};

/* Where the table of a context and direction begins, as translated code addresses it: from the first table. */
static inline int32_t mmu_table_offset(MmuContext context, bool write)
{
    return (int32_t)((2 * context + write) * sizeof(MmuEntry[MMU_TLB_SIZE]));
}

/* Entries filled since the last flush, so that a flush costs what was filled. */
typedef struct MmuLog {
    uint16_t count;
    bool overflow;
    uint16_t slot[MMU_LOG_SIZE]; /* table << MMU_TLB_BITS | index */
} MmuLog;

/* For people ("info jit"). */
typedef struct MmuStats {
    uint64_t fills, walks, found, flushes, kept, page_flushes;
    uint64_t windowed; /* pages that got into a window */
} MmuStats;

struct DbtMmu {
    MmuEntry (*tables)[MMU_TLB_SIZE]; /* MMU_TABLES_ALL of them */
    MmuContext context;               /* of data accesses of this moment */
    bool align_check;                 /* CR0.AM, RFLAGS.AC, CPL 3 */
    uint64_t pdpte[4];                /* PAE: loaded with CR3 */
    uint64_t reserved;                /* physical-address bits this CPU doesn't have */
    unsigned phys_bits;
    uint32_t filled;                  /* bit n: table n may have entries */
    uint64_t fetched_upper[MMU_TLB_SIZE / 64]; /* page numbers modulo the table's size; of the lower half: MmuSpace */
    bool upper_local;                 /* pages that are not global were seen in the upper half */
    bool map_changed;                 /* atomic: guest memory moved, flush everything */
    MmuLog log[2];                    /* [1]: of global pages */
    uint64_t large[MMU_LARGE_CLASSES][MMU_LARGE_BITS / 64]; /* large pages some entry is part of */
    struct DbtWindows *windows;       /* window.c; NULL: none yet */
    uintptr_t windows_at, windows_size; /* where they are on the host */
    uint64_t window_misses;           /* that windows may help against, since the last flush or window_gather */
    uint64_t window_due;              /* when it comes to this window_gather is to be called */
    uint64_t window_rest;             /* misses to come that they are not to */
    MmuStats stats;
    MmuCache cache;
};

/* The part of a linear access that lies in one page. */
typedef struct MmuPart {
    MapEntry map;
    uint64_t gpa;
    uint32_t len;
} MmuPart;

#define MMU_MAX_PARTS 4

/* Translates all pages of an access; the number of parts, 0 with v->fault set. */
unsigned mmu_split(DbtVcpu *v, uint64_t linear, unsigned len, MmuAccess access, MmuContext context,
                   MmuPart parts[MMU_MAX_PARTS]);
/* The copies of an access already translated. RAM parts first: devices make host pointers void. */
void mmu_parts_read(DbtVcpu *v, const MmuPart *parts, unsigned count, void *buf);
void mmu_parts_write(DbtVcpu *v, const MmuPart *parts, unsigned count, const void *buf);
bool mmu_read(DbtVcpu *v, uint64_t linear, void *buf, unsigned len, MmuContext context);
bool mmu_write(DbtVcpu *v, uint64_t linear, const void *buf, unsigned len, MmuContext context);
/* Sets and clears bits of one byte of a system table, indivisibly where it is RAM. */
bool mmu_update_byte(DbtVcpu *v, uint64_t linear, uint8_t set, uint8_t clear);
/* Empties the tables, to be filled again from what walks have found. */
void mmu_tables_empty(DbtVcpu *v);
/* Drops this vCPU's write entries of a host page. */
void mmu_drop_write(DbtVcpu *v, const uint8_t *host);
/* Enters the page of a data access if it may be entered; whether it was. Raises no fault. */
bool mmu_fill(DbtVcpu *v, uint64_t linear, MmuAccess access, MmuContext context);

/* Memory of the vCPU's for translated code, and how far behind the tables it lies. */
struct JitArea *dbt_mmu_area(DbtVcpu *v, uint32_t *offset);
/* All memory of one vCPU's TLBs and jump caches, for as many modes as there usually are. */
size_t dbt_mmu_size(void);

/* --- window.c --- */

typedef struct DbtWindows DbtWindows;

#define WINDOW_COST 16u /* misses that a page is worth */
#define WINDOW_DUE (4 * WINDOW_COST)
#define WINDOW_DUE_FIRST 1024u /* of an address space: most programs end before that */

/* Where a TLB entry for the page goes: host, or where that is in a window of the address space in use. */
uint8_t *window_address(const DbtVcpu *v, uint64_t linear, uint8_t *host);
/* The page's own address, of one that may be in a window. */
const uint8_t *window_direct(const DbtMmu *mmu, const uint8_t *host);
/* The address is one of a window. */
static inline bool window_has(const DbtMmu *mmu, uint64_t host)
{
    return host - mmu->windows_at < mmu->windows_size;
}
/* Puts pages around two linear addresses, both in the lower half and in the TLB, into their window: as many as the misses
 * are worth. Entries of the TLB may go: then the unit that runs ends. */
void window_gather(DbtVcpu *v, uint64_t linear, uint64_t other);
/* Gives all pages back; the TLB has been flushed. */
void windows_forget(DbtVcpu *v);
void windows_release(DbtVcpu *v);

/* --- code.c --- */

static inline uint64_t code_writer_bit(const DbtVcpu *v)
{
    return BIT(MIN(v->cpu->index, 63));
}

/* Before a write entry goes in: registers the vCPU as a writer; false: the page holds code. */
bool code_allow_write_entry(DbtVcpu *v, MapPage *page);
/* After a write of [offset, offset + len) of a page that no write entry covered. v may be NULL: a
 * device's thread. */
void code_written(DbtVcpu *v, DbtMap *map, MapPage *page, unsigned offset, unsigned len);

/* --- debug.c --- */

/* Data and I/O breakpoints: note the DR6 bits of an access that succeeded. */
void dbt_debug_data(DbtVcpu *v, uint64_t linear, unsigned len, bool write);
void dbt_debug_io(DbtVcpu *v, uint16_t port, unsigned size);
bool dbt_debug_data_enabled(const DbtVcpu *v);

#endif
