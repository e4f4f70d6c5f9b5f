/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Spans: site entries for instructions that go from page to page (jit-site.c).
 *
 * A site that is empty gets one page (jit-site-fill.c): it may not go anywhere before it is emptied again.
 *
 * A span is pages side by side in the address space and on the host, each in the tables for the site's context and
 * direction, or in the site's last span, so each has passed every check. When a site misses it gets the page it needs
 * with all its neighbours that can be had. An array is a span, or a few, where the guest's kernel gave it memory that lies
 * together. A miss that only made the span longer is not counted as one: it happens once. Nor is one between pages that
 * a window could bring together (window.c): from time to time some get there.
 *
 * A check for a whole array (jit-group.c) wants a span that has all of it; a shorter one leaves the site empty, which counts as a miss.
 *
 * Spans do not go beyond the bounds of a GiB, so one has never to do with two halves of the address space, nor
 * with the end of a 32-bit one.
 *
 * What is here is called from translated code and may find the guest's vectors in the host's registers: it is compiled
 * without them.
 */
#include "accel/dbt/jit.h"

#include "accel/dbt/mmu-priv.h"

/* Compiled for general registers alone. */
#define GENERAL __attribute__((target("general-regs-only")))

#define SPAN_BLOCK_BITS 30
#define REACH 512u /* entries looked at in each direction */

typedef struct Span {
    uint64_t first, last; /* linear addresses of pages */
    uint64_t delta;
} Span;

GENERAL static inline bool span_has(const Span *span, uint64_t page)
{
    return page - span->first <= span->last - span->first;
}

/* The last page on the way from this one, by pages of step, that goes on where the one before it ends on the host. was:
 * a span that is as good as entries. */
GENERAL static uint64_t reach(const MmuEntry *entries, const Span *was, uint64_t page, uint64_t delta, uint64_t step)
{
    for (unsigned i = 0; i < REACH; i++) {
        uint64_t next = page + step;
        const MmuEntry *e = &entries[next >> GUEST_PAGE_BITS & (MMU_TLB_SIZE - 1)];

        if ((next ^ page) >> SPAN_BLOCK_BITS)
            break;
        if (was->delta == delta && span_has(was, next))
            next = step == GUEST_PAGE_SIZE ? was->last : was->first;
        else if (e->tag != next || e->value != delta)
            break;
        page = next;
    }
    return page;
}

/* INVLPG of one of these pages will look at the log. */
GENERAL static void filter_pages(JitSiteLog *log, uint64_t begin, uint64_t last)
{
    uint64_t first = begin >> GUEST_PAGE_BITS, count = (last >> GUEST_PAGE_BITS) - first + 1;

    for (uint64_t i = 0; i < MIN(count, JIT_SITE_FILTER);) {
        unsigned bit = (first + i) % JIT_SITE_FILTER, n = (unsigned)MIN(64 - bit % 64, count - i);

        log->filter[bit / 64] |= BITS(bit % 64 + n - 1, bit % 64);
        i += n;
    }
}

GENERAL bool jit_site_note(JitArea *area, uint32_t number, uint64_t first, uint64_t last)
{
    unsigned half = first >> 63;
    JitSiteLog *log = &area->site_log[half];
    uint64_t old = area->sites[number].tag;

    filter_pages(log, first, last);
    if (old != JIT_SITE_NONE && old >> 63 == half)
        return true;
    if (log->count == JIT_SITE_LOG)
        return false;
    log->slot[log->count++] = number;
    return true;
}

/* The page beside the span on the way to where the site was before. */
GENERAL static uint64_t beside(const Span *span, const Span *was)
{
    return was->first > span->last ? span->last + GUEST_PAGE_SIZE : span->first - GUEST_PAGE_SIZE;
}

/*
 * A miss between pages that a window could bring together. With one delta they are in one already, but pages between them may
 * not be.
 */
GENERAL static bool is_scattered(DbtMmu *mmu, const MmuEntry *entries, const Span *span, const Span *was)
{
    uint64_t next = beside(span, was);

    if (span->first >> 63 || (span->first ^ was->first) >> SPAN_BLOCK_BITS)
        return false;
    if (span->delta == was->delta && entries[next >> GUEST_PAGE_BITS & (MMU_TLB_SIZE - 1)].tag != next)
        return false;
    if (mmu->window_rest) {
        mmu->window_rest--;
        return false;
    }
    mmu->window_misses++;
    return true;
}

/* A miss that happens again and again; false: the dispatcher is to look at it. */
GENERAL static bool count_miss(DbtJit *jit, const MmuEntry *entries, uint64_t page, uint32_t number, const Span *span,
                               const Span *was)
{
    JitArea *area = jit->area;

    if (!is_scattered(jit->v->mmu, entries, span, was)) {
        area->site_tired = ++area->site_misses[number] == 0 ? JIT_SITE_MISSED : 0;
    } else if (jit->v->mmu->window_misses >= jit->v->mmu->window_due) {
        area->site_tired = JIT_SITE_SCATTERED;
        area->scattered[0] = span->delta == was->delta ? beside(span, was) : page;
        area->scattered[1] = was->first;
    }
    return !area->site_tired;
}

/* The page behind the span, if it is known; else the span. */
GENERAL static Span behind(const MmuEntry *entries, const Span *span)
{
    uint64_t next = span->last + GUEST_PAGE_SIZE;
    const MmuEntry *e = &entries[next >> GUEST_PAGE_BITS & (MMU_TLB_SIZE - 1)];

    return e->tag == next ? (Span){next, next, e->value} : *span;
}

GENERAL bool jit_span_refill(DbtJit *jit, uint64_t linear, uint32_t number, uint32_t table)
{
    JitSite *site = &jit->area->sites[number];
    JitLimit *limit = &jit->area->limits[number - JIT_SPAN_FIRST];
    const MmuEntry *entries = jit->v->mmu->tables[table];
    uint64_t page = linear & GUEST_PAGE_MASK, size = jit_limit_size(limit);
    uint64_t delta = entries[page >> GUEST_PAGE_BITS & (MMU_TLB_SIZE - 1)].value;
    Span was = {site->tag, site->tag + ((limit->span + size - 1) & GUEST_PAGE_MASK), site->delta}, span = {page, page, delta};

    if (site->tag == JIT_SITE_NONE)
        was = span;
    span.first = reach(entries, &was, page, delta, -GUEST_PAGE_SIZE);
    span.last = reach(entries, &was, page, delta, GUEST_PAGE_SIZE);
    jit->stats.span_misses++;
    if (span.last - span.first + GUEST_PAGE_SIZE < size) {
        site->tag = JIT_SITE_NONE;
        was = behind(entries, &span);
        count_miss(jit, entries, page, number, &span, &was);
        return false;
    }
    if (!(was.delta == delta && span_has(&span, was.first)) && !count_miss(jit, entries, page, number, &span, &was))
        return false;
    if (!jit_site_note(jit->area, number, span.first, span.last)) {
        site->tag = JIT_SITE_NONE;
        jit->area->site_tired = JIT_SITE_LOG_FULL;
        return false;
    }
    *site = (JitSite){span.first, delta};
    limit->span = span.last - span.first + GUEST_PAGE_SIZE - size;
    jit->stats.span_pages += (span.last - span.first) / GUEST_PAGE_SIZE + 1;
    return linear - span.first <= limit->span;
}
