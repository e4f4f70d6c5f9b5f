/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Segment descriptors and registers.
 *
 * Intel SDM vol. 3: 3.4 (descriptors), 5.2 to 5.8 (checks), 5.14 and 6.12.1 (stacks of inner levels),
 * 20.1 (real-address mode); vol. 2, MOV. AMD APM vol. 2, 4.5, where null selectors in 64-bit mode
 * are concerned.
 *
 * Invariant: the DPL in SS's hidden part is the CPL in every mode.
 *
 * Locking: own vCPU thread.
 */
#include "accel/dbt/seg.h"

#include "accel/dbt/mmu-priv.h"

uint64_t desc_base(const SegDesc *d)
{
    return d->low >> 16 | (d->high & 0xff) << 16 | (d->high & 0xff000000) | (uint64_t)d->base_high << 32;
}

uint32_t desc_limit(const SegDesc *d)
{
    uint32_t limit = (d->low & 0xffff) | (d->high & 0xf0000);

    return d->high >> 8 & SEG_ATTR_G ? limit << 12 | 0xfff : limit;
}

DescResult dbt_desc_try(DbtVcpu *v, uint16_t selector, bool system, SegDesc *d)
{
    const CpuState *s = v->state;
    unsigned size = system && dbt_long_mode(v) ? 16 : 8;
    uint64_t base = s->gdtr.base;
    uint32_t limit = s->gdtr.limit;
    unsigned offset = selector & 0xfff8;
    uint32_t words[4] = { 0 };

    if (selector & SEL_TI) {
        if (s->ldtr.attr & SEG_ATTR_UNUSABLE || !(s->ldtr.attr & SEG_ATTR_P))
            return DESC_OUTSIDE;
        base = s->ldtr.base;
        limit = s->ldtr.limit;
    }
    if (offset + size - 1 > limit)
        return DESC_OUTSIDE;
    if (!dbt_lin_read(v, base + offset, words, size, MMU_SYSTEM))
        return DESC_FAULT;
    *d = (SegDesc){ base + offset, words[0], words[1], words[2] };
    return DESC_OK;
}

bool dbt_desc_read(DbtVcpu *v, uint16_t selector, bool system, uint8_t vector, uint32_t ext, SegDesc *d)
{
    DescResult result = dbt_desc_try(v, selector, system, d);

    if (result == DESC_OUTSIDE)
        dbt_fault_error(v, vector, SEL_ERROR(selector) | ext);
    return result == DESC_OK;
}

bool dbt_desc_accessed(DbtVcpu *v, SegDesc *d)
{
    if (d->high & SEG_ATTR_ACCESSED << 8)
        return true;
    if (!mmu_update_byte(v, d->linear + 5, SEG_ATTR_ACCESSED, 0))
        return false;
    d->high |= SEG_ATTR_ACCESSED << 8;
    return true;
}

SegmentReg dbt_desc_segment(const SegDesc *d, uint16_t selector)
{
    return (SegmentReg){ selector, desc_attr(d), desc_limit(d), desc_base(d) };
}

SegmentReg dbt_null_segment(uint16_t selector, unsigned dpl)
{
    return (SegmentReg){ .selector = selector, .attr = SEG_ATTR_UNUSABLE | dpl << SEG_ATTR_DPL_SHIFT };
}

SegmentReg dbt_real_segment(const DbtVcpu *v, SegIndex seg, uint16_t selector)
{
    SegmentReg r = v->state->seg[seg];

    r.selector = selector;
    r.base = (uint32_t)selector << 4;
    if (v->state->rflags & RFLAGS_VM) {
        r.limit = 0xffff;
        r.attr = SEG_ATTR_P | SEG_ATTR_DPL | SEG_ATTR_S | SEG_ATTR_RW | SEG_ATTR_ACCESSED;
    } else if (r.attr & SEG_ATTR_UNUSABLE) {
        r.limit = 0xffff;
        r.attr = SEG_ATTR_P | SEG_ATTR_S | SEG_ATTR_RW | SEG_ATTR_ACCESSED;
    }
    return r; /* real mode keeps limit and attributes: "unreal mode" lives on that */
}

bool dbt_ss_check(DbtVcpu *v, uint16_t selector, unsigned cpl, uint8_t vector, uint32_t ext, SegDesc *d)
{
    uint32_t error = SEL_ERROR(selector) | ext;

    if (SEL_NULL(selector)) {
        dbt_fault_error(v, vector, ext);
        return false;
    }
    if (!dbt_desc_read(v, selector, false, vector, ext, d))
        return false;
    if ((selector & SEL_RPL) != cpl || !desc_is_writable_data(d) || desc_dpl(d) != cpl) {
        dbt_fault_error(v, vector, error);
        return false;
    }
    if (!desc_present(d)) {
        dbt_fault_error(v, EXC_SS, error);
        return false;
    }
    return true;
}

/* ES, DS, FS, GS in protected mode; not null. */
static bool data_segment_read(DbtVcpu *v, uint16_t selector, SegDesc *d)
{
    if (!dbt_desc_read(v, selector, false, EXC_GP, 0, d))
        return false;
    if (desc_is_system(d) || (desc_is_code(d) && !(desc_attr(d) & SEG_ATTR_RW)) ||
        (!desc_is_conforming(d) && MAX(selector & SEL_RPL, v->cpl) > desc_dpl(d))) {
        dbt_fault_error(v, EXC_GP, SEL_ERROR(selector));
        return false;
    }
    if (!desc_present(d)) {
        dbt_fault_error(v, EXC_NP, SEL_ERROR(selector));
        return false;
    }
    return true;
}

static bool protected_load(DbtVcpu *v, SegIndex seg, uint16_t selector, SegmentReg *loaded)
{
    SegDesc d;

    if (SEL_NULL(selector)) {
        bool allowed = seg != SEG_SS ||
                       (v->code_bits == 64 && v->cpl != 3 && (selector & SEL_RPL) == v->cpl);
        if (!allowed) {
            dbt_fault_error(v, EXC_GP, 0);
            return false;
        }
        *loaded = dbt_null_segment(selector, seg == SEG_SS ? v->cpl : 0);
        return true;
    }
    if (seg == SEG_SS ? !dbt_ss_check(v, selector, v->cpl, EXC_GP, 0, &d) : !data_segment_read(v, selector, &d))
        return false;
    if (!dbt_desc_accessed(v, &d))
        return false;
    *loaded = dbt_desc_segment(&d, selector);
    return true;
}

bool dbt_seg_load(DbtVcpu *v, SegIndex seg, uint16_t selector)
{
    SegmentReg loaded;

    if (v->real)
        loaded = dbt_real_segment(v, seg, selector);
    else if (!protected_load(v, seg, selector, &loaded))
        return false;
    v->state->seg[seg] = loaded;
    dbt_mode_changed(v);
    return true;
}

void dbt_seg_drop_inner(DbtVcpu *v, unsigned cpl)
{
    static const SegIndex data[] = { SEG_ES, SEG_DS, SEG_FS, SEG_GS };

    for (unsigned i = 0; i < G_N_ELEMENTS(data); i++) {
        SegmentReg *r = &v->state->seg[data[i]];
        bool conforming = (r->attr & (SEG_ATTR_CODE | SEG_ATTR_DC)) == (SEG_ATTR_CODE | SEG_ATTR_DC);
        /* The base stays, as processors have it: in 64-bit mode FS and GS go on using it. */
        if (!(r->attr & SEG_ATTR_UNUSABLE) && !conforming && (r->attr >> SEG_ATTR_DPL_SHIFT & 3) < cpl) {
            r->selector = 0;
            r->attr = SEG_ATTR_UNUSABLE;
        }
    }
}

/* Whether accesses through a segment need no check: flat, present, of a fitting type. */
static bool segment_is_flat(const DbtVcpu *v, const SegmentReg *r, bool write)
{
    if (r->base || r->limit != 0xffffffff || r->attr & SEG_ATTR_UNUSABLE)
        return false;
    if (v->real)
        return true;
    if (r->attr & SEG_ATTR_CODE)
        return !write && (r->attr & SEG_ATTR_RW);
    return !(r->attr & SEG_ATTR_DC) && (!write || r->attr & SEG_ATTR_RW);
}

static void derive_segments(DbtVcpu *v)
{
    const CpuState *s = v->state;
    uint8_t flat = BIT(SEG_DS) | BIT(SEG_ES) | BIT(SEG_SS);

    if (v->code_bits == 64) { /* each system call comes here */
        memset(v->seg_base, 0, sizeof(v->seg_base));
        v->seg_base[SEG_FS] = s->seg[SEG_FS].base;
        v->seg_base[SEG_GS] = s->seg[SEG_GS].base;
        v->flat_read = v->flat_write = BIT(SEG_COUNT) - 1;
        v->flat = true;
        return;
    }
    v->flat_read = v->flat_write = 0;
    for (SegIndex i = 0; i < SEG_COUNT; i++) {
        v->seg_base[i] = s->seg[i].base;
        if (segment_is_flat(v, &s->seg[i], false))
            v->flat_read |= (uint8_t)BIT(i);
        if (segment_is_flat(v, &s->seg[i], true))
            v->flat_write |= (uint8_t)BIT(i);
    }
    v->flat = (v->flat_write & flat) == flat;
}

void dbt_mode_changed(DbtVcpu *v)
{
    const CpuState *s = v->state;
    uint32_t cs = s->seg[SEG_CS].attr;

    v->real = !(s->cr0 & CR0_PE) || s->rflags & RFLAGS_VM;
    v->paging = s->cr0 & CR0_PG;
    v->cpl = s->cr0 & CR0_PE ? (uint8_t)cpu_state_cpl(s) : 0;
    if (s->rflags & RFLAGS_VM)
        v->code_bits = 16;
    else if (s->efer & EFER_LMA && cs & SEG_ATTR_L)
        v->code_bits = 64;
    else
        v->code_bits = cs & SEG_ATTR_DB ? 32 : 16;
    v->stack32 = s->seg[SEG_SS].attr & SEG_ATTR_DB;
    derive_segments(v);
    dbt_context_changed(v);
    dbt_end_block(v);
}

DbtStack dbt_stack_current(const DbtVcpu *v, uint32_t ext)
{
    const CpuState *s = v->state;
    unsigned width = v->code_bits == 64 ? 8 : v->stack32 ? 4 : 2;

    return (DbtStack){ s->seg[SEG_SS], s->gpr[GPR_RSP] & size_mask(width), width, v->cpl, ext };
}

/* The linear address of a stack access. */
static bool stack_linear(DbtVcpu *v, const DbtStack *st, uint64_t sp, unsigned size, uint64_t *linear)
{
    *linear = sp;
    if (st->width == 8) {
        if ((uint64_t)((int64_t)(sp << 16) >> 16) == sp)
            return true;
    } else if (dbt_limit_ok(&st->ss, sp, size) && !(st->ss.attr & SEG_ATTR_UNUSABLE)) {
        *linear = (uint32_t)(st->ss.base + sp);
        return true;
    }
    dbt_fault_error(v, EXC_SS, st->error);
    return false;
}

/* Pushes on an inner stack are accesses of the inner level; AC does not open user pages to them. */
static MmuContext stack_context(const DbtVcpu *v, const DbtStack *st)
{
    if (st->cpl == 3)
        return MMU_USER;
    return st->cpl == v->cpl ? v->mmu->context : MMU_SUPERVISOR;
}

bool dbt_push(DbtVcpu *v, DbtStack *st, unsigned size, uint64_t value)
{
    uint64_t sp = (st->sp - size) & size_mask(st->width), linear;

    if (!stack_linear(v, st, sp, size, &linear) ||
        !mmu_write(v, linear, &value, size, stack_context(v, st)))
        return false;
    st->sp = sp;
    return true;
}

bool dbt_pop(DbtVcpu *v, DbtStack *st, unsigned size, uint64_t *value)
{
    uint64_t linear;

    *value = 0;
    if (!stack_linear(v, st, st->sp, size, &linear) ||
        !mmu_read(v, linear, value, size, stack_context(v, st)))
        return false;
    st->sp = (st->sp + size) & size_mask(st->width);
    return true;
}

void dbt_stack_pointer_store(DbtVcpu *v, const DbtStack *st)
{
    uint64_t *rsp = &v->state->gpr[GPR_RSP];

    /* A 16-bit stack pointer leaves the upper half of ESP alone. */
    *rsp = st->width == 2 ? (*rsp & ~0xffffull) | (st->sp & 0xffff) : st->sp & size_mask(st->width);
}

static bool tss_fault(DbtVcpu *v, uint32_t ext)
{
    dbt_fault_error(v, EXC_TS, SEL_ERROR(v->state->tr.selector) | ext);
    return false;
}

/* SDM vol. 3, 8.7: the 64-bit TSS has RSP0..2 from 4 on and IST1..7 from 36 on. */
static bool long_inner_stack(DbtVcpu *v, unsigned cpl, unsigned ist, uint32_t ext, DbtStack *st)
{
    const CpuState *s = v->state;
    unsigned offset = ist ? 36 + 8 * (ist - 1) : 4 + 8 * cpl;
    uint64_t rsp;

    if (offset + 7 > s->tr.limit)
        return tss_fault(v, ext);
    if (!dbt_lin_read(v, s->tr.base + offset, &rsp, 8, MMU_SYSTEM))
        return false;
    *st = (DbtStack){ dbt_null_segment((uint16_t)cpl, cpl), rsp, 8, cpl, ext };
    if (cpl == v->cpl)
        st->ss = s->seg[SEG_SS];
    return true;
}

bool dbt_stack_inner(DbtVcpu *v, unsigned cpl, unsigned ist, uint32_t ext, DbtStack *st)
{
    const CpuState *s = v->state;
    bool tss32 = s->tr.attr & 8;
    unsigned size = tss32 ? 4 : 2, offset = size + 2 * size * cpl;
    uint32_t sp = 0;
    uint16_t ss;
    SegDesc d;

    if (dbt_long_mode(v))
        return long_inner_stack(v, cpl, ist, ext, st);
    if (s->tr.attr & SEG_ATTR_UNUSABLE || offset + size + 1 > s->tr.limit)
        return tss_fault(v, ext);
    if (!dbt_lin_read(v, s->tr.base + offset, &sp, size, MMU_SYSTEM) ||
        !dbt_lin_read(v, s->tr.base + offset + size, &ss, 2, MMU_SYSTEM))
        return false;
    if (!dbt_ss_check(v, ss, cpl, EXC_TS, ext, &d) || !dbt_desc_accessed(v, &d))
        return false;
    *st = (DbtStack){ dbt_desc_segment(&d, ss), sp, 2, cpl, SEL_ERROR(ss) | ext };
    if (st->ss.attr & SEG_ATTR_DB)
        st->width = 4;
    st->sp &= size_mask(st->width);
    return true;
}
