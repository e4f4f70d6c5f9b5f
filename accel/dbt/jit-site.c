/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Site entries: most instructions access the page they accessed last time, so each has an entry of
 * its own, at a constant place. The check costs no latency then: it is a predicted branch beside the
 * access, not a lookup before it.
 *
 *     lea r10, [address] ; sub r10, gs:[tag] ; cmp r10, 4096 - size ; ja stub
 *     mov r11, gs:[delta] ; the access at [address + r11]
 *
 * A miss fills the entry from the tables of mmu.h, and those by a page walk if need be, and tries again; what
 * may have no entry, faults, or crosses its page is the interpreter's (jit-site-fill.c). That costs a mispredicted branch, so an
 * instruction that goes from page to page gets an entry for all pages that lie together, whose limit is in memory, too
 * (jit-span.c). If that does not help it is better off with the lookup in the tables. So is code that runs now and then: there are
 * fewer entries than a compiler has instructions, and each would find another's page in its own. A block's first
 * units look in the tables and count their runs; when it is hot (JIT_EXIT_COUNTED) they are made anew with entries. What an
 * instruction does with its entry is found out by counting, too:
 *
 *     fresh --512 misses-> watched (runs are counted, too) --64 misses---+-> span, fresh   1 of 256 runs misses (now 2048)
 *                             ^                             or 8192 runs +-> hashed        the same with a span, 1 of 40
 *                             |                                          +-> settled       fewer
 *                             +-------------------65536 misses-----------------+
 *
 * The state is kept by instruction in the block, and the unit made anew when it changes.
 *
 * An empty entry has a tag that is not canonical, and its delta is never cleared: an address in that
 * page, which only a faulty guest makes, becomes one that is not canonical on the host either, whose
 * #GP the interpreter turns into the guest's (jit_signal). So up to its access an instruction leaves the guest's registers
 * as they are, or sees to the fault before (jit_emit_touch).
 *
 * Entries are logged when filled. A CR3 write voids those of the lower half of the address space, and those of
 * the upper half unless all pages seen there were global. The logs may have an entry twice, and empty ones until a page is voided by
 * itself, for which they are read.
 *
 * Owner: the vCPU's thread; others only within an exclusive section.
 */
#include "accel/dbt/jit.h"

#include <stddef.h>

#include "accel/dbt/mmu-priv.h"

#define MISSES_FRESH 512
#define MISSES_SPAN 2048 /* a walk through 1 MiB has been on each page by then */
#define MISSES_WATCHED 64
#define MISSES_SETTLED 65536
#define RUNS_MIN 256    /* below them a watched site is left as it is */
#define SPAN_RATIO 256  /* a site that misses once in so many runs gets a span */
#define HASH_RATIO 40   /* one that has a span and misses once in so many runs is given up */

/* Pools by context and kind: a site of one never holds what another may not access. */
typedef struct SitePool {
    uint32_t first, count;
} SitePool;

static const SitePool pools[MMU_CONTEXTS][JIT_SITE_KINDS] = {
    [MMU_USER] = {{0, 8192}, {8192, 4096}, {24832, 2048}, {26880, 1024}},
    [MMU_SUPERVISOR] = {{12288, 8192}, {20480, 4096}, {27904, 2048}, {29952, 1024}},
    [MMU_SUPERVISOR_AC] = {{24576, 128}, {24704, 128}, {30976, 128}, {31104, 128}},
};

#define AREA(jit, field) ((int32_t)jit_area_offset(jit, offsetof(JitArea, field)))

/* --- Pools. --- */

void jit_sites_init(DbtJit *jit)
{
    for (unsigned i = 0; i < JIT_SITES; i++)
        jit->area->sites[i].tag = JIT_SITE_NONE;
    jit->site_owners = g_new0(JitSiteOwner, JIT_SITES);
}

void jit_sites_release(DbtJit *jit)
{
    g_clear_pointer(&jit->site_owners, g_free);
}

static MmuContext context_of(uint32_t mode_key)
{
    return mode_key >> JIT_MODE_CONTEXT_SHIFT & 3;
}

static int32_t first_misses(const DbtBlock *block, unsigned insn)
{
    if (block->sites_watched >> insn & 1)
        return -MISSES_WATCHED;
    if (block->sites_settled >> insn & 1)
        return -MISSES_SETTLED;
    return block->sites_span >> insn & 1 ? -MISSES_SPAN : -MISSES_FRESH;
}

/*
 * Another unit has had entry n of the pool until now. With a page of somebody else's it could go on; not with a span, whose
 * limit is for accesses of one size. Nor is it made anew with entries at once, so that code that needs more of them than
 * there are takes turns at a bearable pace.
 */
static void displace(DbtJit *jit, uint32_t id, MmuContext context, unsigned kind, uint32_t n)
{
    uint32_t count = pools[context][kind].count;
    JitUnit *unit = &jit->units[id];

    if (!unit->valid || context_of(jit->mode_keys[unit->mode]) != context ||
        (n + count - unit->first_site[kind]) % count >= unit->site_count[kind])
        return;
    unit->block->hot = false;
    jit->stats.sites_displaced++;
    jit_unit_drop(jit, unit);
}

uint32_t jit_site_new(DbtJit *jit, JitUnit *unit, unsigned insn, unsigned size, unsigned kind)
{
    MmuContext context = context_of(jit->mode_key);
    const SitePool *pool = &pools[context][kind];
    uint32_t n = jit->next_site[context][kind]++ % pool->count;
    uint32_t number = pool->first + n;
    JitSiteOwner *owner = &jit->site_owners[number];

    if (kind & JIT_SITE_SPAN) {
        if (owner->unit != unit->id)
            displace(jit, owner->unit, context, kind, n);
        jit->area->sites[number].tag = JIT_SITE_NONE;
        jit->area->limits[number - JIT_SPAN_FIRST].page = GUEST_PAGE_SIZE - (int64_t)size;
    }
    if (!unit->site_count[kind]++)
        unit->first_site[kind] = n;
    *owner = (JitSiteOwner){unit->id, (uint8_t)insn};
    jit->area->site_misses[number] = first_misses(unit->block, insn);
    jit->area->site_runs[number] = 0;
    return number;
}

uint32_t jit_site_offset(const DbtJit *jit, uint32_t number)
{
    return jit_area_offset(jit, offsetof(JitArea, sites)) + number * (uint32_t)sizeof(JitSite);
}

uint32_t jit_site_limit_offset(const DbtJit *jit, uint32_t number)
{
    return jit_area_offset(jit, offsetof(JitArea, limits)) + (number - JIT_SPAN_FIRST) * (uint32_t)sizeof(JitLimit);
}

uint32_t jit_site_runs_offset(const DbtJit *jit, uint32_t number)
{
    return jit_area_offset(jit, offsetof(JitArea, site_runs)) + number * (uint32_t)sizeof(uint32_t);
}

/* --- Emptying. --- */

static bool is_store(uint32_t number)
{
    for (unsigned context = 0; context < MMU_CONTEXTS; context++) {
        for (unsigned kind = JIT_SITE_STORE; kind < JIT_SITE_KINDS; kind += JIT_SITE_SPAN) {
            if (number - pools[context][kind].first < pools[context][kind].count)
                return true;
        }
    }
    return jit_base_is_store(number);
}

/* The linear address of its first page; that of none when it is empty. */
static uint64_t first_page(const JitArea *area, uint32_t number)
{
    uint64_t tag = area->sites[number].tag;

    if (number < JIT_BASE_FIRST)
        return tag;
    return (tag + (uint64_t)(int64_t)area->bases[number - JIT_BASE_FIRST].low) & GUEST_PAGE_MASK;
}

/* The page is one of the site's. */
static bool covers(const JitArea *area, uint32_t number, uint64_t page)
{
    const JitLimit *limit = number >= JIT_SPAN_FIRST && number < JIT_BASE_FIRST ? &area->limits[number - JIT_SPAN_FIRST] : NULL;
    uint64_t bytes = limit ? limit->span + jit_limit_size(limit) : GUEST_PAGE_SIZE;

    return page - first_page(area, number) < bytes;
}

static void flush_half(JitArea *area, JitSiteLog *log)
{
    if (!log->count)
        return;
    for (uint32_t i = 0; i < log->count; i++)
        area->sites[log->slot[i]].tag = JIT_SITE_NONE;
    log->count = 0;
    memset(log->filter, 0, sizeof(log->filter));
}

void jit_sites_flush(JitArea *area, bool upper)
{
    flush_half(area, &area->site_log[0]);
    if (upper)
        flush_half(area, &area->site_log[1]);
}

/* What is empty, or in the other half by now, is logged when it is filled again. */
static bool stays_logged(const JitSite *site, unsigned half)
{
    return site->tag != JIT_SITE_NONE && site->tag >> 63 == half;
}

void jit_sites_flush_pages(JitArea *area, uint64_t first, uint64_t count)
{
    unsigned half = first >> 63, bit = first >> GUEST_PAGE_BITS & (JIT_SITE_FILTER - 1);
    JitSiteLog *log = &area->site_log[half];
    uint32_t kept = 0;

    if (count == 1 && !(log->filter[bit / 64] >> bit % 64 & 1))
        return;
    for (uint32_t i = 0; i < log->count; i++) {
        uint32_t number = log->slot[i];
        JitSite *site = &area->sites[number];

        if (covers(area, number, first) || first_page(area, number) - first < count << GUEST_PAGE_BITS)
            site->tag = JIT_SITE_NONE;
        if (stays_logged(site, half))
            log->slot[kept++] = number;
    }
    log->count = kept;
}

void jit_sites_drop_host(const DbtMmu *mmu, JitArea *area, const uint8_t *host)
{
    for (unsigned half = 0; half < 2; half++) {
        JitSiteLog *log = &area->site_log[half];
        uint32_t kept = 0;

        for (uint32_t i = 0; i < log->count; i++) {
            uint32_t number = log->slot[i];
            JitSite *site = &area->sites[number];

            if ((covers(area, number, (uintptr_t)host - site->delta) || window_has(mmu, first_page(area, number) + site->delta)) &&
                is_store(number))
                site->tag = JIT_SITE_NONE;
            if (stays_logged(site, half))
                log->slot[kept++] = number;
        }
        log->count = kept;
    }
}

/* --- Adapting. --- */

/* A watched site has been counted for long enough, or another of its unit has. */
static void judge(const DbtJit *jit, DbtBlock *block, uint32_t number)
{
    uint64_t bit = BIT(jit->site_owners[number].insn);
    uint32_t misses = (uint32_t)(jit->area->site_misses[number] + MISSES_WATCHED);
    uint32_t runs = jit->area->site_runs[number];

    if (runs < RUNS_MIN && misses < MISSES_WATCHED)
        return;
    if (!(block->sites_span & bit) && (uint64_t)misses * SPAN_RATIO > runs)
        block->sites_span |= bit;
    else if (block->sites_span & bit && (uint64_t)misses * HASH_RATIO > runs)
        block->sites_hashed |= bit;
    else
        block->sites_settled |= bit;
}

static void judge_all(const DbtJit *jit, const JitUnit *unit)
{
    MmuContext context = context_of(jit->mode_keys[unit->mode]);

    for (unsigned kind = 0; kind < JIT_SITE_KINDS; kind++) {
        const SitePool *pool = &pools[context][kind];

        for (uint32_t i = 0; i < unit->site_count[kind]; i++) {
            uint32_t number = pool->first + (unit->first_site[kind] + i) % pool->count;

            if (jit->site_owners[number].unit == unit->id)
                judge(jit, unit->block, number);
        }
    }
}

static void made_anew(DbtJit *jit, JitUnit *unit)
{
    jit->stats.sites_adapted++;
    jit_unit_drop(jit, unit);
}

void jit_sites_watched(DbtJit *jit, JitUnit *unit)
{
    unit->block->sites_watched = 0;
    judge_all(jit, unit);
    made_anew(jit, unit);
}

void jit_sites_adapt(DbtJit *jit, JitUnit *unit)
{
    DbtBlock *block = unit->block;
    JitArea *area = jit->area;
    bool log_full = area->site_tired == JIT_SITE_LOG_FULL;

    if (area->site_tired == JIT_SITE_SCATTERED) {
        area->site_tired = 0;
        window_gather(jit->v, area->scattered[0], area->scattered[1]);
        return;
    }
    area->site_tired = 0;
    if (log_full)
        jit_sites_flush(area, true);
    if (log_full || !unit->valid)
        return;
    if (block->sites_watched) {
        jit_sites_watched(jit, unit);
        return;
    }
    block->sites_watched = UINT64_MAX;
    block->sites_settled = 0;
    made_anew(jit, unit);
}
