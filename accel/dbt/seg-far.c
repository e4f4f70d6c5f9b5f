/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Far transfers: JMP, CALL and RET to another code segment, directly or through call gates and tasks.
 *
 * Intel SDM vol. 2: CALL, JMP, RET; vol. 3: 5.8 (gates, stack switching), 5.8.3.1 (64-bit gates),
 * 5.8.5 (stack layout). Operations follow the manual's pseudocode: its order of checks decides which
 * fault a program sees.
 *
 * Locking: own vCPU thread.
 */
#include "accel/dbt/seg.h"

typedef struct FarTarget {
    uint16_t selector;
    uint64_t offset;
    SegDesc desc;
} FarTarget;

static bool gp(DbtVcpu *v, uint32_t error)
{
    dbt_fault_error(v, EXC_GP, error);
    return false;
}

bool dbt_code_offset_ok(const DbtVcpu *v, const SegDesc *d, uint64_t offset)
{
    if (dbt_long_mode(v) && desc_attr(d) & SEG_ATTR_L)
        return (uint64_t)((int64_t)(offset << 16) >> 16) == offset;
    return (uint32_t)offset <= desc_limit(d);
}

bool dbt_code_commit(DbtVcpu *v, uint16_t selector, SegDesc *d, unsigned cpl)
{
    if (!dbt_desc_accessed(v, d))
        return false;
    v->state->seg[SEG_CS] = dbt_desc_segment(d, (uint16_t)((selector & ~SEL_RPL) | cpl));
    return true;
}

/* Real-address and virtual-8086 mode: the offset only has to be inside the segment. */
static bool real_offset_ok(DbtVcpu *v, uint64_t offset)
{
    return offset <= v->state->seg[SEG_CS].limit || gp(v, 0);
}

static DbtStep real_commit(DbtVcpu *v, uint16_t selector, uint64_t offset)
{
    v->state->seg[SEG_CS] = dbt_real_segment(v, SEG_CS, selector);
    v->state->rip = offset;
    dbt_mode_changed(v);
    return DBT_LEAVE;
}

/* L and D together are reserved in long mode. */
static bool code_size_ok(const DbtVcpu *v, const SegDesc *d)
{
    uint32_t ld = SEG_ATTR_L | SEG_ATTR_DB;

    return !dbt_long_mode(v) || (desc_attr(d) & ld) != ld;
}

/* The checks of a code segment named directly by JMP or CALL; t->desc is read. */
static bool direct_check(DbtVcpu *v, const FarTarget *t)
{
    const SegDesc *d = &t->desc;
    uint32_t error = SEL_ERROR(t->selector);

    if (!code_size_ok(v, d))
        return gp(v, error);
    if (desc_is_conforming(d) ? desc_dpl(d) > v->cpl
                              : (t->selector & SEL_RPL) > v->cpl || desc_dpl(d) != v->cpl)
        return gp(v, error);
    if (!desc_present(d)) {
        dbt_fault_error(v, EXC_NP, error);
        return false;
    }
    return dbt_code_offset_ok(v, d, t->offset) || gp(v, 0);
}

bool dbt_gate_code(DbtVcpu *v, uint16_t selector, uint32_t ext, SegDesc *d)
{
    uint32_t error = SEL_ERROR(selector) | ext;
    bool long_code;

    if (SEL_NULL(selector))
        return gp(v, ext);
    if (!dbt_desc_read(v, selector, false, EXC_GP, ext, d))
        return false;
    if (!desc_is_code(d) || desc_dpl(d) > v->cpl)
        return gp(v, error);
    long_code = (desc_attr(d) & (SEG_ATTR_L | SEG_ATTR_DB)) == SEG_ATTR_L;
    if (dbt_long_mode(v) && !long_code)
        return gp(v, error);
    if (!desc_present(d)) {
        dbt_fault_error(v, EXC_NP, error);
        return false;
    }
    return true;
}

/* A gate's own checks, and what it points at. size: of what the gate pushes. */
static bool call_gate_open(DbtVcpu *v, uint16_t selector, const SegDesc *gate, FarTarget *t, unsigned *size)
{
    uint32_t error = SEL_ERROR(selector);

    if (desc_dpl(gate) < MAX(v->cpl, selector & SEL_RPL))
        return gp(v, error);
    if (!desc_present(gate)) {
        dbt_fault_error(v, EXC_NP, error);
        return false;
    }
    t->selector = (uint16_t)(gate->low >> 16);
    t->offset = (gate->low & 0xffff) | (gate->high & 0xffff0000);
    *size = 4;
    if (dbt_long_mode(v)) {
        t->offset |= (uint64_t)gate->base_high << 32;
        *size = 8;
    } else if (desc_type(gate) == DESC_CALL16) {
        t->offset &= 0xffff;
        *size = 2;
    }
    return dbt_gate_code(v, t->selector, 0, &t->desc);
}

typedef enum FarKind { FAR_CODE, FAR_CALL_GATE, FAR_TASK, FAR_TASK_GATE } FarKind;

/* Reads the descriptor of a far pointer's selector and says what it is. */
static bool far_open(DbtVcpu *v, uint16_t selector, SegDesc *d, FarKind *kind)
{
    if (SEL_NULL(selector))
        return gp(v, 0);
    if (!dbt_desc_read(v, selector, false, EXC_GP, 0, d))
        return false;
    if (desc_is_code(d)) {
        *kind = FAR_CODE;
        return true;
    }
    if (!desc_is_system(d))
        return gp(v, SEL_ERROR(selector));
    switch (desc_type(d)) {
    case DESC_CALL16:
        if (dbt_long_mode(v))
            break;
        *kind = FAR_CALL_GATE;
        return true;
    case DESC_CALL32:
        *kind = FAR_CALL_GATE;
        return !dbt_long_mode(v) || dbt_desc_read(v, selector, true, EXC_GP, 0, d);
    case DESC_TSS16:
    case DESC_TSS32:
        *kind = FAR_TASK;
        return !dbt_long_mode(v) || gp(v, SEL_ERROR(selector));
    case DESC_TASK_GATE:
        *kind = FAR_TASK_GATE;
        return !dbt_long_mode(v) || gp(v, SEL_ERROR(selector));
    default:
        break;
    }
    return gp(v, SEL_ERROR(selector));
}

static DbtStep far_task(DbtVcpu *v, uint16_t selector, SegDesc *d, FarKind kind, TaskSwitch why,
                        uint64_t next_rip)
{
    if (desc_dpl(d) < MAX(v->cpl, selector & SEL_RPL)) {
        gp(v, SEL_ERROR(selector));
        return DBT_FAULT;
    }
    if (!desc_present(d))
        return dbt_fault_error(v, EXC_NP, SEL_ERROR(selector));
    if (kind == FAR_TASK_GATE)
        return dbt_task_gate(v, d, why, next_rip, NULL, 0) ? DBT_LEAVE : DBT_FAULT;
    return dbt_task_switch(v, selector, d, why, next_rip, NULL, 0) ? DBT_LEAVE : DBT_FAULT;
}

static DbtStep code_jump(DbtVcpu *v, FarTarget *t, unsigned cpl)
{
    if (!dbt_code_commit(v, t->selector, &t->desc, cpl))
        return DBT_FAULT;
    v->state->rip = t->offset;
    dbt_mode_changed(v);
    return DBT_LEAVE;
}

static uint64_t cut_offset(uint64_t offset, unsigned size)
{
    return offset & size_mask(size);
}

DbtStep dbt_far_jump(DbtVcpu *v, uint16_t selector, uint64_t offset, unsigned size, uint64_t next_rip)
{
    FarTarget t = { .selector = selector, .offset = cut_offset(offset, size) };
    FarKind kind;

    if (v->real)
        return real_offset_ok(v, t.offset) ? real_commit(v, selector, t.offset) : DBT_FAULT;
    if (!far_open(v, selector, &t.desc, &kind))
        return DBT_FAULT;
    if (kind == FAR_TASK || kind == FAR_TASK_GATE)
        return far_task(v, selector, &t.desc, kind, TASK_JUMP, next_rip);
    if (kind == FAR_CALL_GATE) {
        SegDesc gate = t.desc;
        if (!call_gate_open(v, selector, &gate, &t, &size))
            return DBT_FAULT;
        if (!desc_is_conforming(&t.desc) && desc_dpl(&t.desc) != v->cpl)
            return dbt_fault_error(v, EXC_GP, SEL_ERROR(t.selector));
        if (!dbt_code_offset_ok(v, &t.desc, t.offset))
            return dbt_fault_error(v, EXC_GP, 0);
    } else if (!direct_check(v, &t)) {
        return DBT_FAULT;
    }
    return code_jump(v, &t, v->cpl);
}

static DbtStep real_call(DbtVcpu *v, uint16_t selector, uint64_t offset, unsigned size, uint64_t next_rip)
{
    DbtStack st = dbt_stack_current(v, 0);

    if (!real_offset_ok(v, offset) || !dbt_push(v, &st, size, v->state->seg[SEG_CS].selector) ||
        !dbt_push(v, &st, size, next_rip))
        return DBT_FAULT;
    dbt_stack_pointer_store(v, &st);
    return real_commit(v, selector, offset);
}

/* Pushes the return address on st and goes to t at privilege cpl; SS is already st's if it differs. */
static DbtStep call_enter(DbtVcpu *v, FarTarget *t, DbtStack *st, unsigned size, uint64_t next_rip,
                          unsigned cpl)
{
    CpuState *s = v->state;

    if (!dbt_push(v, st, size, s->seg[SEG_CS].selector) || !dbt_push(v, st, size, next_rip))
        return DBT_FAULT;
    if (!dbt_code_offset_ok(v, &t->desc, t->offset))
        return dbt_fault_error(v, EXC_GP, 0);
    if (!dbt_code_commit(v, t->selector, &t->desc, cpl))
        return DBT_FAULT;
    s->seg[SEG_SS] = st->ss;
    s->rip = t->offset;
    dbt_mode_changed(v);
    dbt_stack_pointer_store(v, st);
    return DBT_LEAVE;
}

/* The caller's stack pointer and count parameters of size bytes go to the inner stack. */
static bool copy_parameters(DbtVcpu *v, DbtStack *inner, unsigned size, unsigned count)
{
    DbtStack outer = dbt_stack_current(v, 0);
    uint64_t params[31];

    if (!dbt_push(v, inner, size, v->state->seg[SEG_SS].selector) ||
        !dbt_push(v, inner, size, v->state->gpr[GPR_RSP]))
        return false;
    for (unsigned i = 0; i < count; i++) {
        if (!dbt_pop(v, &outer, size, &params[i]))
            return false;
    }
    while (count--) {
        if (!dbt_push(v, inner, size, params[count]))
            return false;
    }
    return true;
}

static DbtStep gate_call(DbtVcpu *v, uint16_t selector, const SegDesc *gate, uint64_t next_rip)
{
    FarTarget t;
    unsigned size, cpl, params;
    DbtStack st;

    if (!call_gate_open(v, selector, gate, &t, &size))
        return DBT_FAULT;
    if (desc_is_conforming(&t.desc) || desc_dpl(&t.desc) == v->cpl) {
        st = dbt_stack_current(v, 0);
        if (size == 8)
            st.width = 8;
        return call_enter(v, &t, &st, size, next_rip, v->cpl);
    }
    cpl = desc_dpl(&t.desc);
    params = size == 8 ? 0 : gate->high & 31;
    if (!dbt_stack_inner(v, cpl, 0, 0, &st) || !copy_parameters(v, &st, size, params))
        return DBT_FAULT;
    return call_enter(v, &t, &st, size, next_rip, cpl);
}

DbtStep dbt_far_call(DbtVcpu *v, uint16_t selector, uint64_t offset, unsigned size, uint64_t next_rip)
{
    FarTarget t = { .selector = selector, .offset = cut_offset(offset, size) };
    DbtStack st;
    FarKind kind;

    if (v->real)
        return real_call(v, selector, t.offset, size, next_rip);
    if (!far_open(v, selector, &t.desc, &kind))
        return DBT_FAULT;
    if (kind == FAR_TASK || kind == FAR_TASK_GATE)
        return far_task(v, selector, &t.desc, kind, TASK_CALL, next_rip);
    if (kind == FAR_CALL_GATE) {
        SegDesc gate = t.desc;
        return gate_call(v, selector, &gate, next_rip);
    }
    if (!direct_check(v, &t))
        return DBT_FAULT;
    st = dbt_stack_current(v, 0);
    return call_enter(v, &t, &st, size, next_rip, v->cpl);
}

static DbtStep real_return(DbtVcpu *v, unsigned size, uint16_t params)
{
    DbtStack st = dbt_stack_current(v, 0);
    uint64_t rip, cs;

    if (!dbt_pop(v, &st, size, &rip) || !dbt_pop(v, &st, size, &cs) || !real_offset_ok(v, rip))
        return DBT_FAULT;
    st.sp += params;
    dbt_stack_pointer_store(v, &st);
    return real_commit(v, (uint16_t)cs, rip);
}

bool dbt_return_code(DbtVcpu *v, uint16_t selector, uint64_t offset, SegDesc *d)
{
    unsigned rpl = selector & SEL_RPL;
    uint32_t error = SEL_ERROR(selector);

    if (SEL_NULL(selector))
        return gp(v, 0);
    if (!dbt_desc_read(v, selector, false, EXC_GP, 0, d))
        return false;
    if (!desc_is_code(d) || rpl < v->cpl || !code_size_ok(v, d))
        return gp(v, error);
    if (desc_is_conforming(d) ? desc_dpl(d) > rpl : desc_dpl(d) != rpl)
        return gp(v, error);
    if (!desc_present(d)) {
        dbt_fault_error(v, EXC_NP, error);
        return false;
    }
    return dbt_code_offset_ok(v, d, offset) || gp(v, 0);
}

bool dbt_return_stack(DbtVcpu *v, uint16_t selector, const SegDesc *code, unsigned cpl, SegmentReg *ss)
{
    bool long_code = dbt_long_mode(v) && desc_attr(code) & SEG_ATTR_L;
    SegDesc d;

    if (SEL_NULL(selector) && long_code && cpl != 3 && (selector & SEL_RPL) == cpl) {
        *ss = dbt_null_segment(selector, cpl);
        return true;
    }
    if (!dbt_ss_check(v, selector, cpl, EXC_GP, 0, &d) || !dbt_desc_accessed(v, &d))
        return false;
    *ss = dbt_desc_segment(&d, selector);
    return true;
}

DbtStep dbt_far_return(DbtVcpu *v, unsigned size, uint16_t params)
{
    DbtStack st = dbt_stack_current(v, 0);
    CpuState *s = v->state;
    uint64_t rip, cs, rsp, ss;
    SegDesc d;
    unsigned cpl;

    if (v->real)
        return real_return(v, size, params);
    if (!dbt_pop(v, &st, size, &rip) || !dbt_pop(v, &st, size, &cs) ||
        !dbt_return_code(v, (uint16_t)cs, rip, &d))
        return DBT_FAULT;
    st.sp = (st.sp + params) & size_mask(st.width);
    cpl = cs & SEL_RPL;
    if (cpl == v->cpl) {
        if (!dbt_code_commit(v, (uint16_t)cs, &d, cpl))
            return DBT_FAULT;
        s->rip = rip;
        dbt_stack_pointer_store(v, &st);
        dbt_mode_changed(v);
        return DBT_LEAVE;
    }
    if (!dbt_pop(v, &st, size, &rsp) || !dbt_pop(v, &st, size, &ss) ||
        !dbt_return_stack(v, (uint16_t)ss, &d, cpl, &st.ss) || !dbt_code_commit(v, (uint16_t)cs, &d, cpl))
        return DBT_FAULT;
    s->seg[SEG_SS] = st.ss;
    s->rip = rip;
    dbt_seg_drop_inner(v, cpl);
    dbt_mode_changed(v);
    st = dbt_stack_current(v, 0); /* the width of the outer stack */
    st.sp = rsp + params;
    dbt_stack_pointer_store(v, &st);
    return DBT_LEAVE;
}
