/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The walk of the paging structures. Intel SDM vol. 3, chapter 4: 32-bit paging with PSE and PSE-36
 * (4.3), PAE (4.4), 4-level (4.5), access rights (4.6), page-fault error codes (4.7), accessed and
 * dirty bits (4.8). AMD APM vol. 2, 5 agrees where both exist.
 *
 * Not offered to guests: 5-level paging, protection keys.
 *
 * Accessed and dirty bits are set with compare-and-swap in guest RAM; an entry that changed under
 * the walk starts it again. Upper levels get their accessed bit as they are passed, the last level
 * only when the access is allowed. Structures outside RAM and ROM read as an undecoded bus does.
 *
 * A page that was walked before is found in mmu-cache.c, and so is the table of its last levels.
 *
 * Locking: own vCPU thread, inside guest code.
 */
#include "accel/dbt/mmu-priv.h"
#include "core/log.h"
#include "core/paging.h"

#define PF_P (1u << 0)
#define PF_W (1u << 1)
#define PF_U (1u << 2)
#define PF_RSVD (1u << 3)
#define PF_I (1u << 4)

/* An entry, and where it lies: host NULL if it can't be written. */
typedef struct WalkEntry {
    uint64_t value;
    uint8_t *host;
    MapPage *page;
    unsigned offset;
} WalkEntry;

typedef enum WalkResult { WALK_OK, WALK_FAULT, WALK_AGAIN } WalkResult;

static WalkEntry entry_load(DbtVcpu *v, uint64_t gpa, unsigned size)
{
    MapEntry map = dbt_map_lookup(v->accel->map, gpa);
    WalkEntry e = { .value = size_mask(size), .offset = (unsigned)(gpa & ~GUEST_PAGE_MASK) };

    if (!map.host)
        return e;
    e.value = mmu_host_load(map.host + e.offset, size);
    e.page = map.page;
    if (!map.read_only)
        e.host = map.host + e.offset;
    return e;
}

/* Sets bits in an entry. false: it changed meanwhile, walk again. */
static bool entry_set(DbtVcpu *v, WalkEntry *e, uint64_t bits, unsigned size)
{
    bool same;

    if ((e->value & bits) == bits || !e->host)
        return true;
    if (size == 8) {
        uint64_t old = e->value;
        same = __atomic_compare_exchange_n((uint64_t *)(void *)e->host, &old, old | bits, false,
                                           __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);
    } else {
        uint32_t old = (uint32_t)e->value;
        same = __atomic_compare_exchange_n((uint32_t *)(void *)e->host, &old, old | (uint32_t)bits, false,
                                           __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);
    }
    if (!same)
        return false;
    if (v->journaling)
        dbt_journal_lost(v); /* what the TLB now has would keep a second run from setting them */
    e->value |= bits;
    code_written(v, v->accel->map, e->page, e->offset, size);
    return true;
}

/* Bits that must be zero in a present entry (SDM vol. 3, 4.3 to 4.5). level 1 is the last. */
static uint64_t entry_reserved(const DbtVcpu *v, const PagingShape *shape, unsigned level, bool large)
{
    const CpuState *s = v->state;
    uint64_t reserved;

    if (shape->entry_size == 4) /* PSE-36: bits 20..13 are address bits 39..32 */
        return large ? BIT(21) | (v->mmu->reserved >> 32 & 0xff) << 13 : 0;
    reserved = v->mmu->reserved;
    if (!(s->efer & EFER_NXE))
        reserved |= PTE_NX;
    if (!(s->efer & EFER_LMA))
        reserved |= BITS(62, 52);
    if (large)
        reserved |= level == 3 ? BITS(29, 13) : BITS(20, 13);
    else if (level == 4)
        reserved |= PTE_PS;
    return reserved;
}

static bool is_write(MmuAccess access)
{
    return access == MMU_WRITE || access == MMU_STORE;
}

/* rights: MMU_RIGHT_*, what all levels together allow. */
static bool access_allowed(const DbtVcpu *v, unsigned rights, MmuAccess access, MmuContext context)
{
    const CpuState *s = v->state;
    bool user = rights & MMU_RIGHT_USER;

    if (context == MMU_USER) {
        if (!user)
            return false;
    } else if (user) {
        if (access == MMU_FETCH ? s->cr4 & CR4_SMEP : context == MMU_SUPERVISOR && (s->cr4 & CR4_SMAP))
            return false;
    }
    if (access == MMU_FETCH)
        return rights & MMU_RIGHT_EXECUTE;
    if (access == MMU_READ || rights & MMU_RIGHT_WRITE)
        return true;
    return context != MMU_USER && !(s->cr0 & CR0_WP);
}

static unsigned entry_rights(const PagingShape *shape, uint64_t entry)
{
    unsigned rights = entry & PTE_U ? MMU_RIGHT_USER : 0;

    rights |= entry & PTE_W ? MMU_RIGHT_WRITE : 0;
    return rights | (shape->entry_size == 8 && entry & PTE_NX ? 0 : MMU_RIGHT_EXECUTE);
}

/* Where a walk begins, and what the levels above allow. */
typedef struct WalkStart {
    uint64_t table;
    unsigned level, rights;
} WalkStart;

static WalkStart walk_start(const DbtVcpu *v, const PagingShape *shape, uint64_t linear)
{
    MmuCached found;
    unsigned level;

    if (shape->levels == 4 && mmu_cache_find_table(&v->mmu->cache, linear, &level, &found))
        return (WalkStart){found.address, level, found.rights};
    return (WalkStart){shape->table, shape->levels, MMU_RIGHTS_ALL};
}

static WalkResult walk_once(DbtVcpu *v, const PagingShape *shape, const WalkStart *start, uint64_t linear, MmuAccess access,
                            MmuContext context, MmuWalk *walk, uint32_t *error)
{
    uint64_t table = start->table;
    unsigned rights = start->rights;
    bool write = is_write(access);

    for (unsigned level = start->level;; level--) {
        unsigned shift = GUEST_PAGE_BITS + (level - 1) * shape->index_bits;
        uint64_t index = linear >> shift & (BIT(shape->index_bits) - 1);
        WalkEntry e = entry_load(v, table + index * shape->entry_size, shape->entry_size);
        bool large = paging_entry_is_large(v->state, shape, level, e.value);

        *error = 0;
        if (!(e.value & PTE_P))
            return WALK_FAULT;
        *error = PF_P | PF_RSVD;
        if (e.value & entry_reserved(v, shape, level, large))
            return WALK_FAULT;
        rights &= entry_rights(shape, e.value);
        if (level > 1 && !large) {
            if (!entry_set(v, &e, PTE_A, shape->entry_size))
                return WALK_AGAIN;
            table = shape->entry_size == 4 ? e.value & 0xfffff000 : e.value & PTE_ADDR;
            if (shape->levels == 4 && level <= 3)
                mmu_cache_enter_table(&v->mmu->cache, linear, level - 1,
                                      &(MmuCached){.address = table, .rights = (uint8_t)rights});
            continue;
        }
        *error = PF_P;
        if (!access_allowed(v, rights, access, context))
            return WALK_FAULT;
        if (!entry_set(v, &e, write ? PTE_A | PTE_D : PTE_A, shape->entry_size))
            return WALK_AGAIN;
        walk->page_bits = (uint8_t)shift;
        walk->global = (e.value & PTE_G) && (v->state->cr4 & CR4_PGE);
        walk->gpa = paging_page_address(shape, e.value, linear, shift);
        mmu_cache_enter(&v->mmu->cache, linear,
                        &(MmuCached){walk->gpa & ~(BIT(shift) - 1), (uint8_t)shift,
                                     (uint8_t)(rights | (e.value & PTE_D ? MMU_IS_DIRTY : 0)), walk->global});
        return WALK_OK;
    }
}

/* What a structure cache says may be out of date, but nobody faults by it: the second walk begins at the top. */
static WalkResult walk_shape(DbtVcpu *v, const PagingShape *shape, uint64_t linear, MmuAccess access, MmuContext context,
                             MmuWalk *walk, uint32_t *error)
{
    WalkStart start = walk_start(v, shape, linear);
    WalkResult result;

    do {
        result = walk_once(v, shape, &start, linear, access, context, walk, error);
        if (result == WALK_FAULT && start.level < shape->levels)
            result = WALK_AGAIN;
        start = (WalkStart){shape->table, shape->levels, MMU_RIGHTS_ALL};
    } while (result == WALK_AGAIN);
    return result;
}

static bool walk_all(DbtVcpu *v, uint64_t linear, MmuAccess access, MmuContext context, MmuWalk *walk,
                     uint32_t *error)
{
    const CpuState *s = v->state;
    PagingShape shape = { s->cr3 & 0xfffff000, 2, 10, 4 };
    WalkResult result = WALK_FAULT;

    *error = 0;
    if (s->efer & EFER_LMA) {
        shape = (PagingShape){ s->cr3 & PTE_ADDR, 4, 9, 8 };
    } else if (s->cr4 & CR4_PAE) {
        uint64_t pdpte = v->mmu->pdpte[linear >> 30 & 3];
        shape = (PagingShape){ pdpte & PTE_ADDR, pdpte & PTE_P ? 2 : 0, 9, 8 };
    }
    if (shape.levels)
        result = walk_shape(v, &shape, linear, access, context, walk, error);
    if (result == WALK_OK)
        return true;
    if (is_write(access))
        *error |= PF_W;
    if (context == MMU_USER)
        *error |= PF_U;
    if (access == MMU_FETCH && ((s->cr4 & CR4_SMEP) || (shape.entry_size == 8 && (s->efer & EFER_NXE))))
        *error |= PF_I;
    return false;
}

/* Has an earlier walk found the page, for this access? One that is not allowed, or that has to set the dirty bit, is walked. */
static bool walk_remembered(DbtVcpu *v, uint64_t linear, MmuAccess access, MmuContext context, MmuWalk *walk)
{
    MmuCached found;

    if (!mmu_cache_find(&v->mmu->cache, linear, &found) || !access_allowed(v, found.rights, access, context) ||
        (is_write(access) && !(found.rights & MMU_IS_DIRTY)))
        return false;
    *walk = (MmuWalk){found.address | (linear & (BIT(found.page_bits) - 1)), found.page_bits, found.global};
    return true;
}

static void log_walk(const DbtVcpu *v, uint64_t linear, MmuAccess access, MmuContext context, const MmuWalk *walk,
                     uint32_t error)
{
    static const char *const accesses[] = { [MMU_READ] = "read", [MMU_WRITE] = "write", [MMU_STORE] = "write", [MMU_FETCH] = "fetch" };
    static const char *const contexts[] = { [MMU_USER] = "user", [MMU_SUPERVISOR] = "supervisor", [MMU_SUPERVISOR_AC] = "supervisor, AC" };
    g_autofree char *result = walk ? g_strdup_printf("gpa %" G_GINT64_MODIFIER "x, page of 2^%u%s", walk->gpa, walk->page_bits,
                                                     walk->global ? ", global" : "")
                                   : g_strdup_printf("#PF, error %x", error);

    log_printf(LOG_MMU, "CPU%u walk 0x%016" G_GINT64_MODIFIER "x for %s (%s): %s\n", v->cpu->index, linear, accesses[access],
               contexts[context], result);
}

bool mmu_walk(DbtVcpu *v, uint64_t linear, MmuAccess access, MmuContext context, MmuWalk *walk,
              uint32_t *error)
{
    bool ok = true;

    if (!(v->state->cr0 & CR0_PG)) {
        *walk = (MmuWalk){ .gpa = linear, .page_bits = GUEST_PAGE_BITS };
    } else if (walk_remembered(v, linear, access, context, walk)) {
        v->mmu->stats.found++;
        return true;
    } else {
        ok = walk_all(v, linear, access, context, walk, error);
    }
    v->mmu->stats.walks++;
    if (G_UNLIKELY(log_enabled(LOG_MMU)))
        log_walk(v, linear, access, context, ok ? walk : NULL, ok ? 0 : *error);
    return ok;
}
