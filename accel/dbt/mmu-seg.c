/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Memory operands: segmentation, alignment checks, data breakpoints, then the page.
 *
 * Intel SDM vol. 3: 5.3 limit checking, 5.5 type checking, 3.3.7.1 canonical addresses, 6.15 #AC.
 * In 64-bit mode ES, CS, SS and DS have base 0 and no limit; FS and GS add their base.
 *
 * An operand whose address is asked for (DbtMemRef) is guest RAM itself where that is possible:
 *
 *     DIRECT   one page of RAM, reached through a TLB entry
 *     CODE     one page of RAM that holds watched code; the end checks for a hit
 *     BOUNCE   all else: a copy, written back at the end
 *
 * Locking: own vCPU thread, inside guest code. A locked operation on a bounce buffer of RAM holds
 * the exclusive section; one on MMIO is not indivisible (devices see a read, then a write).
 */
#include "accel/dbt/guest-debug.h"
#include "accel/dbt/mmu-priv.h"
#include "accel/dbt/seg.h"

enum { REF_DIRECT, REF_CODE, REF_BOUNCE, REF_PAIR };

static bool segment_fault(DbtVcpu *v, SegIndex seg)
{
    dbt_fault_error(v, seg == SEG_SS ? EXC_SS : EXC_GP, 0);
    return false;
}

static bool is_write(MmuAccess access)
{
    return access == MMU_WRITE || access == MMU_STORE;
}

/* SDM vol. 3, 5.3: the limit is the last valid offset, or the last invalid one. */
bool dbt_limit_ok(const SegmentReg *s, uint64_t ea, unsigned len)
{
    uint64_t last = ea + (len - 1);

    if ((s->attr & (SEG_ATTR_CODE | SEG_ATTR_DC)) == SEG_ATTR_DC)
        return ea > s->limit && last <= (s->attr & SEG_ATTR_DB ? 0xffffffff : 0xffff);
    return last <= s->limit;
}

static bool type_ok(const SegmentReg *s, MmuAccess access)
{
    bool code = s->attr & SEG_ATTR_CODE;

    if (s->attr & SEG_ATTR_UNUSABLE)
        return false;
    if (access == MMU_FETCH)
        return true;
    if (is_write(access))
        return !code && (s->attr & SEG_ATTR_RW);
    return !code || (s->attr & SEG_ATTR_RW);
}

static bool canonical(uint64_t linear)
{
    return (uint64_t)((int64_t)(linear << 16) >> 16) == linear;
}

bool dbt_seg_linear(DbtVcpu *v, SegIndex seg, uint64_t ea, unsigned len, MmuAccess access, uint64_t *linear)
{
    const SegmentReg *s = &v->state->seg[seg];

    if (v->code_bits == 64) {
        *linear = v->seg_base[seg] + ea;
        if (!canonical(*linear) || !canonical(*linear + (len - 1)))
            return segment_fault(v, seg);
        return true;
    }
    if ((!v->real && !type_ok(s, access)) || !dbt_limit_ok(s, ea, len))
        return segment_fault(v, seg);
    *linear = (uint32_t)(s->base + ea);
    return true;
}

/* Segment and alignment. */
static bool operand_linear(DbtVcpu *v, SegIndex seg, uint64_t ea, unsigned len, MmuAccess access,
                           uint64_t *linear)
{
    if (!dbt_seg_linear(v, seg, ea, len, access, linear))
        return false;
    if (v->mmu->align_check && (len == 2 || len == 4 || len == 8) && (*linear & (len - 1))) {
        dbt_fault_error(v, EXC_AC, 0);
        return false;
    }
    return true;
}

static void operand_done(DbtVcpu *v, uint64_t linear, unsigned len, bool write)
{
    if (__builtin_expect(v->state->dr[7] & 0xff, 0))
        dbt_debug_data(v, linear, len, write);
    if (__builtin_expect(dbt_debug_has_watches(v), 0))
        dbt_debug_watch(v, linear, len, write);
}

bool dbt_mem_read(DbtVcpu *v, SegIndex seg, uint64_t ea, void *buf, unsigned len)
{
    uint64_t linear;

    if (!operand_linear(v, seg, ea, len, MMU_READ, &linear) ||
        !mmu_read(v, linear, buf, len, v->mmu->context))
        return false;
    operand_done(v, linear, len, false);
    return true;
}

bool dbt_mem_write(DbtVcpu *v, SegIndex seg, uint64_t ea, const void *buf, unsigned len)
{
    uint64_t linear;

    if (!operand_linear(v, seg, ea, len, MMU_STORE, &linear) ||
        !mmu_write(v, linear, buf, len, v->mmu->context))
        return false;
    operand_done(v, linear, len, true);
    return true;
}

bool dbt_load_slow(DbtVcpu *v, SegIndex seg, uint64_t ea, unsigned size, uint64_t *value)
{
    uint64_t linear, loaded = 0;
    const void *host;

    if (!operand_linear(v, seg, ea, size, MMU_READ, &linear))
        return false;
    host = mmu_entry_host(v->tlb->read, linear, size);
    if (host) {
        *value = mmu_host_load(host, size);
        return true;
    }
    if (!mmu_read(v, linear, &loaded, size, v->mmu->context))
        return false;
    *value = loaded;
    operand_done(v, linear, size, false);
    return true;
}

bool dbt_store_slow(DbtVcpu *v, SegIndex seg, uint64_t ea, unsigned size, uint64_t value)
{
    uint64_t linear;
    void *host;

    if (!operand_linear(v, seg, ea, size, MMU_STORE, &linear))
        return false;
    host = mmu_entry_host(v->tlb->write, linear, size);
    if (host) {
        mmu_host_store(host, size, value);
        return true;
    }
    if (!mmu_write(v, linear, &value, size, v->mmu->context))
        return false;
    operand_done(v, linear, size, true);
    return true;
}

static void ref_set_direct(DbtVcpu *v, DbtMemRef *ref, uint8_t kind, void *host)
{
    if (__builtin_expect(v->journaling, 0) && ref->write)
        dbt_journal_write(v, host, ref->len);
    ref->kind = kind;
    ref->host = host;
}

static bool parts_have_device(const MmuPart *parts, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        if (!parts[i].map.host)
            return true;
    }
    return false;
}

/* The part of begin behind the segment: pages, and a copy if need be. */
static bool ref_begin(DbtVcpu *v, DbtMemRef *ref, MmuAccess access)
{
    MmuPart parts[MMU_MAX_PARTS];
    unsigned count = mmu_split(v, ref->linear, ref->len, access, v->mmu->context, parts);

    if (!count)
        return false;
    for (unsigned i = 0; i < count; i++)
        ref->gpa[i] = parts[i].gpa;
    if (count == 1 && parts[0].map.host && !(ref->write && parts[0].map.read_only)) {
        ref_set_direct(v, ref, ref->write ? REF_CODE : REF_DIRECT,
                       parts[0].map.host + (parts[0].gpa & ~GUEST_PAGE_MASK));
        return true;
    }
    ref->kind = REF_BOUNCE;
    ref->host = ref->bounce;
    if (ref->locked && parts_have_device(parts, count)) {
        dbt_exclusive_end(v->accel);
        ref->locked = false;
    }
    if (access != MMU_STORE)
        mmu_parts_read(v, parts, count, ref->bounce);
    return true;
}

void dbt_mem_cancel(DbtVcpu *v, DbtMemRef *ref)
{
    if (ref->locked)
        dbt_exclusive_end(v->accel);
}

/* An operand over the end of a page, both pages in the table: no walk, and no device. */
static bool ref_begin_pair(DbtVcpu *v, const MmuEntry *table, MmuAccess access, DbtMemRef *ref)
{
    unsigned first = (unsigned)(GUEST_PAGE_SIZE - (ref->linear & ~GUEST_PAGE_MASK));

    if (first >= ref->len || ref->locked || __builtin_expect(v->journaling, 0) ||
        (v->code_bits != 64 && ref->linear + ref->len - 1 > UINT32_MAX))
        return false;
    ref->pair[0] = mmu_entry_host(table, ref->linear, first);
    ref->pair[1] = mmu_entry_host(table, ref->linear + first, ref->len - first);
    if (!ref->pair[0] || !ref->pair[1])
        return false;
    ref->kind = REF_PAIR;
    ref->host = ref->bounce;
    if (access != MMU_STORE) {
        memcpy(ref->bounce, ref->pair[0], first);
        memcpy(ref->bounce + first, ref->pair[1], ref->len - first);
    }
    return true;
}

static void ref_end_pair(const DbtMemRef *ref)
{
    unsigned first = (unsigned)(GUEST_PAGE_SIZE - (ref->linear & ~GUEST_PAGE_MASK));

    memcpy(ref->pair[0], ref->bounce, first);
    memcpy(ref->pair[1], ref->bounce + first, ref->len - first);
}

bool dbt_mem_begin(DbtVcpu *v, SegIndex seg, uint64_t ea, unsigned len, MmuAccess access, bool locked,
                   DbtMemRef *ref)
{
    const MmuEntry *table;
    void *host;

    g_assert(len && len <= sizeof(ref->bounce));
    ref->len = len;
    ref->write = is_write(access);
    ref->locked = locked;
    if (!operand_linear(v, seg, ea, len, access, &ref->linear))
        return false;
    table = v->mmu->tables[2 * v->mmu->context + ref->write];
    host = mmu_entry_host(table, ref->linear, len);
    if (host) {
        ref->locked = false; /* the host's own LOCK does it */
        ref_set_direct(v, ref, REF_DIRECT, host);
        return true;
    }
    if (ref_begin_pair(v, table, access, ref))
        return true;
    /* Before anything is translated: waiting for the section makes host addresses void. */
    ref->locked = locked && GUEST_PAGE_SIZE - (ref->linear & ~GUEST_PAGE_MASK) < len;
    if (ref->locked)
        dbt_exclusive_begin(v->accel);
    if (ref_begin(v, ref, access))
        return true;
    dbt_mem_cancel(v, ref);
    return false;
}

/* The pages of a bounced operand again, by their physical addresses: a device may have been asked
 * in between. */
static unsigned ref_parts(DbtVcpu *v, const DbtMemRef *ref, MmuPart parts[2])
{
    unsigned first = (unsigned)MIN(ref->len, GUEST_PAGE_SIZE - (ref->linear & ~GUEST_PAGE_MASK));
    unsigned count = first < ref->len ? 2 : 1;

    for (unsigned i = 0; i < count; i++) {
        parts[i].gpa = ref->gpa[i];
        parts[i].map = dbt_map_lookup(v->accel->map, ref->gpa[i]);
        parts[i].len = i ? ref->len - first : first;
    }
    return count;
}

void dbt_mem_end(DbtVcpu *v, DbtMemRef *ref)
{
    MmuPart parts[2];
    unsigned count;

    if (ref->write && ref->kind == REF_PAIR) {
        ref_end_pair(ref);
    } else if (ref->write && ref->kind != REF_DIRECT) {
        count = ref_parts(v, ref, parts);
        if (ref->kind == REF_BOUNCE)
            mmu_parts_write(v, parts, count, ref->bounce);
        else if (parts[0].map.page)
            code_written(v, v->accel->map, parts[0].map.page, (unsigned)(parts[0].gpa & ~GUEST_PAGE_MASK),
                         ref->len);
    }
    operand_done(v, ref->linear, ref->len, ref->write);
    if (ref->locked)
        dbt_exclusive_end(v->accel);
}

unsigned dbt_fetch(DbtVcpu *v, uint8_t *buf, unsigned len, uint64_t *gpa)
{
    const CpuState *s = v->state;
    unsigned done = 0;

    while (done < len) {
        uint64_t ip = s->rip + done, linear, page;
        MmuPart part;

        if (!dbt_seg_linear(v, SEG_CS, v->code_bits == 64 ? ip : (uint32_t)ip, 1, MMU_FETCH, &linear) ||
            !dbt_fetch_gpa(v, linear, &page))
            return done;
        if (!done)
            *gpa = page;
        part = (MmuPart){ dbt_map_lookup(v->accel->map, page), page,
                          (uint32_t)MIN(len - done, GUEST_PAGE_SIZE - (page & ~GUEST_PAGE_MASK)) };
        if (v->code_bits != 64 && s->seg[SEG_CS].limit - (uint32_t)ip < part.len)
            part.len = s->seg[SEG_CS].limit - (uint32_t)ip + 1;
        mmu_parts_read(v, &part, 1, buf + done);
        done += part.len;
    }
    return done;
}
