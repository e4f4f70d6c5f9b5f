/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The second level of the TLB and the paging-structure caches (see mmu-cache.h). Intel SDM vol. 3, 4.10.
 *
 *     tag    63..28 page number, or that of 2 MiB or 1 GiB   27..26 kind   25..0 number of the space
 *     value  51..12 address                                  3..0 rights
 *
 * A TLB of four ways, each set a cache line. A lookup tries the sizes of pages that have been entered in that half of
 * the address space, of the space and global, so a kernel's usual address takes one or two sets.
 *
 * Numbers end at 2^26; then everything is forgotten. They stay unique, so that an entry without an owner, which nobody
 * clears, is never found again.
 */
#include "accel/dbt/mmu-cache.h"

#include <glib.h>
#include <string.h>

#define NUMBER_BITS 26
#define KIND_SHIFT NUMBER_BITS
#define PAGE_SHIFT 28
#define ADDRESS_BITS BITS(51, 12)
#define RIGHTS_BITS BITS(3, 0)

enum { KINDS = 4 };
static const uint8_t kind_bits[KINDS] = {12, 21, 22, 30};

static unsigned kind_of(unsigned page_bits)
{
    unsigned kind = 0;

    while (kind_bits[kind] != page_bits)
        kind++;
    return kind;
}

/* --- Spaces. --- */

static uint32_t new_number(MmuCache *c)
{
    if (c->last_number == (1u << NUMBER_BITS) - 1) {
        memset(c->entries, 0, sizeof(c->entries));
        memset(c->structures, 0, sizeof(c->structures));
        for (unsigned i = 0; i < MMU_SPACES; i++) {
            if (&c->spaces[i] != c->space)
                c->spaces[i].number = 0;
        }
        c->global_number = 1;
        c->last_number = 2;
        if (c->space)
            c->space->number = 2;
    }
    return ++c->last_number;
}

void mmu_space_renew_epoch(MmuCache *c, MmuSpace *space)
{
    space->fetch_epoch = ++c->last_epoch;
    memset(space->fetched, 0, sizeof(space->fetched));
}

static void space_renew(MmuCache *c, MmuSpace *space)
{
    space->number = new_number(c);
    mmu_space_renew_epoch(c, space);
}

MmuSpace *mmu_cache_space(MmuCache *c, uint16_t pcid)
{
    for (unsigned i = 0; i < MMU_SPACES; i++) {
        if (c->spaces[i].number && c->spaces[i].pcid == pcid)
            return &c->spaces[i];
    }
    return NULL;
}

bool mmu_cache_switch(MmuCache *c, uint16_t pcid, bool keep)
{
    MmuSpace *space = mmu_cache_space(c, pcid);
    bool same = space && space == c->space;

    if (space && keep) {
        c->space = space;
        return same;
    }
    if (!space) {
        if (&c->spaces[c->next_space] == c->space)
            c->next_space = (c->next_space + 1) % MMU_SPACES;
        space = &c->spaces[c->next_space];
        c->next_space = (c->next_space + 1) % MMU_SPACES;
        space->pcid = pcid;
    }
    c->space = space;
    space_renew(c, space);
    return false;
}

void mmu_cache_flush(MmuCache *c, uint16_t pcid)
{
    for (unsigned i = 0; i < MMU_SPACES; i++)
        c->spaces[i].number = 0;
    c->space = NULL;
    c->global_number = new_number(c);
    c->kinds[0] = c->kinds[1] = 0;
    mmu_cache_switch(c, pcid, false);
}

void mmu_cache_flush_pcid(MmuCache *c, uint16_t pcid)
{
    MmuSpace *space = mmu_cache_space(c, pcid);

    if (space && space == c->space)
        space_renew(c, space);
    else if (space)
        space->number = 0;
}

void mmu_cache_flush_spaces(MmuCache *c)
{
    for (unsigned i = 0; i < MMU_SPACES; i++) {
        if (&c->spaces[i] != c->space)
            c->spaces[i].number = 0;
    }
    space_renew(c, c->space);
}

/* --- The TLB. --- */

static uint64_t tag_of(uint64_t linear, unsigned kind, uint32_t number)
{
    return (linear & BITS(47, 0)) >> kind_bits[kind] << PAGE_SHIFT | (uint64_t)kind << KIND_SHIFT | number;
}

static MmuCacheEntry *set_of(const MmuCache *c, uint64_t tag)
{
    uint64_t page = tag >> PAGE_SHIFT, number = tag & BITS(NUMBER_BITS - 1, 0);
    uint64_t hash = page ^ page >> 11 ^ page >> 22 ^ number * 0x61d;

    return (MmuCacheEntry *)c->entries[hash & (MMU_CACHE_SETS - 1)];
}

static MmuCacheEntry *lookup(const MmuCache *c, uint64_t tag)
{
    MmuCacheEntry *set = set_of(c, tag);

    for (unsigned i = 0; i < MMU_CACHE_WAYS; i++) {
        if (set[i].tag == tag)
            return &set[i];
    }
    return NULL;
}

/* Bit of kinds: there may be pages of this kind that are global, or that are not. */
static unsigned kind_bit(unsigned kind, bool global)
{
    return 2 * kind + global;
}

bool mmu_cache_find(const MmuCache *c, uint64_t linear, MmuCached *found)
{
    for (unsigned kinds = c->kinds[linear >> 63]; kinds; kinds &= kinds - 1) {
        unsigned bit = (unsigned)__builtin_ctz(kinds), kind = bit / 2;
        bool global = bit & 1;
        const MmuCacheEntry *e = lookup(c, tag_of(linear, kind, global ? c->global_number : c->space->number));

        if (e) {
            *found = (MmuCached){e->value & ADDRESS_BITS, kind_bits[kind], e->value & RIGHTS_BITS, global};
            return true;
        }
    }
    return false;
}

void mmu_cache_enter(MmuCache *c, uint64_t linear, const MmuCached *found)
{
    unsigned kind = kind_of(found->page_bits);
    uint64_t tag = tag_of(linear, kind, found->global ? c->global_number : c->space->number);
    MmuCacheEntry *e = lookup(c, tag);

    if (!e)
        e = &set_of(c, tag)[c->next_way++ % MMU_CACHE_WAYS];
    *e = (MmuCacheEntry){tag, (found->address & ADDRESS_BITS) | found->rights};
    c->kinds[linear >> 63] |= (uint8_t)(1u << kind_bit(kind, found->global));
}

static void drop(MmuCache *c, uint64_t tag)
{
    MmuCacheEntry *e = lookup(c, tag);

    if (e)
        e->tag = 0;
}

void mmu_cache_drop(MmuCache *c, uint16_t pcid, uint64_t linear, bool global_too)
{
    const MmuSpace *space = mmu_cache_space(c, pcid);

    for (unsigned kind = 0; kind < KINDS; kind++) {
        if (space)
            drop(c, tag_of(linear, kind, space->number));
        if (global_too)
            drop(c, tag_of(linear, kind, c->global_number));
    }
    memset(c->structures, 0, sizeof(c->structures));
}

/* --- Structures. --- */

/* level: of the table the entry leads to. */
static uint64_t table_tag(const MmuCache *c, uint64_t linear, unsigned level)
{
    return tag_of(linear, level == 1 ? kind_of(21) : kind_of(30), c->space->number);
}

static MmuCacheEntry *table_slot(const MmuCache *c, uint64_t tag, unsigned level)
{
    return (MmuCacheEntry *)&c->structures[level - 1][(tag >> PAGE_SHIFT ^ tag) & (MMU_STRUCTURES - 1)];
}

bool mmu_cache_find_table(const MmuCache *c, uint64_t linear, unsigned *level, MmuCached *found)
{
    for (unsigned l = 1; l <= 2; l++) {
        uint64_t tag = table_tag(c, linear, l);
        const MmuCacheEntry *e = table_slot(c, tag, l);

        if (e->tag == tag) {
            *level = l;
            *found = (MmuCached){.address = e->value & ADDRESS_BITS, .rights = e->value & RIGHTS_BITS};
            return true;
        }
    }
    return false;
}

void mmu_cache_enter_table(MmuCache *c, uint64_t linear, unsigned level, const MmuCached *found)
{
    uint64_t tag = table_tag(c, linear, level);

    *table_slot(c, tag, level) = (MmuCacheEntry){tag, (found->address & ADDRESS_BITS) | found->rights};
}
