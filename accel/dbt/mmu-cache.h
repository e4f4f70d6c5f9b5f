/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What page walks have found: the second level of the TLB, and the paging-structure caches.
 *
 * The tables of mmu.h have what the current address space, or every one (global pages), maps. This keeps
 * translations beyond that, as a processor's second-level TLB does (Intel SDM vol. 3, 4.10.2 and 4.10.3):
 *
 *     TLB       (page, address space) -> page frame and rights; large pages are one entry
 *     structures  (2 MiB or 1 GiB, address space) -> the table to go on from, and the rights so far
 *
 * Entries know nothing of contexts, CR0.WP, SMEP or SMAP: whoever finds one checks its rights. An access that is not
 * allowed must be walked, so that a fault never comes from what is only remembered.
 *
 * An address space is a number that is used once. A process-context identifier has one for as long as nothing flushes it,
 * so flushing gives it another and touches no entry. The last MMU_SPACES identifiers are known; what an older one had is
 * forgotten (4.10.4: a processor may do that at any time). The number of global pages is that of no identifier.
 *
 *     MmuSpace: unused --a CR3 write names it--> current --another CR3 write--> kept --the same again, bit 63 set--> current
 *                  ^                                |                             |
 *                  +------ INVPCID, a full flush, MMU_SPACES others since --------+
 *
 * Owner: the vCPU's thread.
 */
#ifndef DBT_MMU_CACHE_H
#define DBT_MMU_CACHE_H

#include <stdbool.h>
#include <stdint.h>

#include "core/bits.h"

#define MMU_SPACES 16
#define MMU_CACHE_WAYS 4
#define MMU_CACHE_SETS 2048
#define MMU_STRUCTURES 64 /* of each of two levels */

/* What all levels together allow, and what is known of the last one. */
enum {
    MMU_RIGHT_USER = 1 << 0,
    MMU_RIGHT_WRITE = 1 << 1,
    MMU_RIGHT_EXECUTE = 1 << 2,
    MMU_RIGHTS_ALL = MMU_RIGHT_USER | MMU_RIGHT_WRITE | MMU_RIGHT_EXECUTE,
    MMU_IS_DIRTY = 1 << 3,
};

typedef struct MmuCached {
    uint64_t address; /* guest-physical: of the page, or of the next table */
    uint8_t page_bits;
    uint8_t rights;   /* MMU_RIGHT_*, MMU_IS_DIRTY */
    bool global;
} MmuCached;

/* tag 0: empty. See mmu-cache.c. */
typedef struct MmuCacheEntry {
    uint64_t tag;
    uint64_t value;
} MmuCacheEntry;

/* An address space: what a process-context identifier names. */
typedef struct MmuSpace {
    uint32_t number;  /* 0: unused */
    uint16_t pcid;
    uint64_t fetch_epoch; /* DbtVcpu.fetch_epoch of the lower half while it is current */
    uint64_t fetched[4096 / 64]; /* pages of the lower half fetched from, by number modulo 4096 */
} MmuSpace;

typedef struct MmuCache {
    MmuCacheEntry entries[MMU_CACHE_SETS][MMU_CACHE_WAYS];
    MmuCacheEntry structures[2][MMU_STRUCTURES];
    MmuSpace spaces[MMU_SPACES];
    MmuSpace *space;       /* the current one */
    uint32_t last_number;
    uint32_t global_number;
    uint64_t last_epoch;   /* of those given to spaces */
    unsigned next_space, next_way; /* to be replaced */
    uint8_t kinds[2];      /* by half of the address space: what may be there, see mmu-cache.c */
} MmuCache;

/* No translations, and the space of this identifier is the current one. */
void mmu_cache_flush(MmuCache *c, uint16_t pcid);
/* The space of this identifier is the current one; if it isn't to be kept, or isn't known, an empty one. Whether it already
 * was, and has been kept. */
bool mmu_cache_switch(MmuCache *c, uint16_t pcid, bool keep);
/* Forgets the identifier's entries, but for global ones. If it is the current one, it goes on with another space. */
void mmu_cache_flush_pcid(MmuCache *c, uint16_t pcid);
/* The same for all identifiers. */
void mmu_cache_flush_spaces(MmuCache *c);
/* Forgets the page at linear, as large as it may be, for this identifier, and if wanted, where it is global; and all
 * structures. */
void mmu_cache_drop(MmuCache *c, uint16_t pcid, uint64_t linear, bool global_too);
/* The space of an identifier; NULL: not known. */
MmuSpace *mmu_cache_space(MmuCache *c, uint16_t pcid);
/* Code found through the space's translations must be looked for anew. */
void mmu_space_renew_epoch(MmuCache *c, MmuSpace *space);

/* The translation of linear. *found is that of its page. */
bool mmu_cache_find(const MmuCache *c, uint64_t linear, MmuCached *found);
void mmu_cache_enter(MmuCache *c, uint64_t linear, const MmuCached *found);
/* Of 4-level paging: the table of level 1 or 2 (*level) that linear goes through. */
bool mmu_cache_find_table(const MmuCache *c, uint64_t linear, unsigned *level, MmuCached *found);
void mmu_cache_enter_table(MmuCache *c, uint64_t linear, unsigned level, const MmuCached *found);

#endif
