/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Hardware task switches, with 16- and 32-bit task-state segments.
 *
 * Intel SDM vol. 3: 8.2 (structures), 8.3 (the steps, numbered below), 8.4 (linking), 8.6 (16-bit
 * TSS), table 8-1 (exceptions). Long mode has no task switches.
 *
 * Steps 1..10 can fault in the old task. From then on the new task's registers are in place, and
 * loading its segments (step 13) faults there.
 *
 * Locking: own vCPU thread.
 */
#include "accel/dbt/mmu-priv.h"
#include "accel/dbt/seg.h"
#include "accel/dbt/sys.h"

#define TSS_MAX 104
#define DR6_BT (1u << 15)
#define DR7_LOCAL 0x155u /* L0..L3 and LE */

/* Where a TSS keeps what; all fields of one size but the selectors, which use its low half. */
typedef struct TssLayout {
    uint8_t limit; /* smallest */
    uint8_t size;  /* of a field */
    uint8_t ip, flags, gpr, seg, seg_count, ldt;
} TssLayout;

static const TssLayout layout16 = { 0x2b, 2, 0x0e, 0x10, 0x12, 0x22, 4, 0x2a };
static const TssLayout layout32 = { 0x67, 4, 0x20, 0x24, 0x28, 0x48, 6, 0x60 };

#define TSS32_CR3 0x1c
#define TSS32_T 0x64

static const TssLayout *tss_layout(unsigned type)
{
    return type & 8 ? &layout32 : &layout16;
}

static bool fault(DbtVcpu *v, uint8_t vector, uint16_t selector, uint32_t ext)
{
    dbt_fault_error(v, vector, SEL_ERROR(selector) | ext);
    return false;
}

/* Step 9: the old task's registers. The static fields (stacks, CR3, LDT) stay. */
static bool save_old(DbtVcpu *v, uint64_t next_rip, uint64_t flags)
{
    const CpuState *s = v->state;
    const TssLayout *l = tss_layout(s->tr.attr);
    unsigned len = l->seg + l->seg_count * l->size - l->ip;
    uint8_t image[TSS_MAX] = { 0 };

    store_le(image + l->ip, next_rip, l->size);
    store_le(image + l->flags, flags, l->size);
    for (unsigned i = 0; i < 8; i++)
        store_le(image + l->gpr + i * l->size, s->gpr[i], l->size);
    for (unsigned i = 0; i < l->seg_count; i++)
        store_le(image + l->seg + i * l->size, s->seg[i].selector, l->size);
    return dbt_lin_write(v, s->tr.base + l->ip, image + l->ip, len, MMU_SYSTEM);
}

/* Step 12: everything but the hidden parts of the segment registers, which become null for now. */
static void load_registers(DbtVcpu *v, const TssLayout *l, const uint8_t *image, uint64_t extra_flags)
{
    CpuState *s = v->state;
    uint64_t flags = load_le(image + l->flags, l->size) | RFLAGS_1 | extra_flags;

    s->rip = load_le(image + l->ip, l->size);
    s->rflags = flags & (RFLAGS_ARITH | RFLAGS_1 | RFLAGS_TF | RFLAGS_IF | RFLAGS_DF | RFLAGS_IOPL |
                         RFLAGS_NT | RFLAGS_RF | RFLAGS_VM | RFLAGS_AC | RFLAGS_ID);
    for (unsigned i = 0; i < 8; i++)
        s->gpr[i] = load_le(image + l->gpr + i * l->size, l->size);
    for (unsigned i = 0; i < SEG_COUNT; i++) {
        uint16_t selector = i < l->seg_count ? (uint16_t)load_le(image + l->seg + i * l->size, 2) : 0;
        s->seg[i] = dbt_null_segment(selector, 0);
    }
    s->seg[SEG_SS].attr |= (uint32_t)(s->seg[SEG_CS].selector & SEL_RPL) << SEG_ATTR_DPL_SHIFT;
    s->ldtr = dbt_null_segment((uint16_t)load_le(image + l->ldt, 2), 0);
    s->dr[7] &= ~(uint64_t)DR7_LOCAL;
    s->cr0 |= CR0_TS;
}

static bool load_ldt(DbtVcpu *v, uint32_t ext)
{
    uint16_t selector = v->state->ldtr.selector;
    SegDesc d;

    if (SEL_NULL(selector))
        return true;
    if (selector & SEL_TI)
        return fault(v, EXC_TS, selector, ext);
    if (!dbt_desc_read(v, selector, true, EXC_TS, ext, &d))
        return false;
    if (!desc_is_system(&d) || desc_type(&d) != DESC_LDT || !desc_present(&d))
        return fault(v, EXC_TS, selector, ext);
    v->state->ldtr = dbt_desc_segment(&d, selector);
    return true;
}

static bool load_code(DbtVcpu *v, uint32_t ext)
{
    uint16_t selector = v->state->seg[SEG_CS].selector;
    unsigned rpl = selector & SEL_RPL;
    SegDesc d;

    if (SEL_NULL(selector))
        return fault(v, EXC_TS, 0, ext);
    if (!dbt_desc_read(v, selector, false, EXC_TS, ext, &d))
        return false;
    if (!desc_is_code(&d) || (desc_is_conforming(&d) ? desc_dpl(&d) > rpl : desc_dpl(&d) != rpl))
        return fault(v, EXC_TS, selector, ext);
    if (!desc_present(&d))
        return fault(v, EXC_NP, selector, ext);
    return dbt_code_commit(v, selector, &d, rpl);
}

static bool load_data(DbtVcpu *v, SegIndex seg, uint32_t ext)
{
    uint16_t selector = v->state->seg[seg].selector;
    SegDesc d;

    if (SEL_NULL(selector))
        return true;
    if (!dbt_desc_read(v, selector, false, EXC_TS, ext, &d))
        return false;
    if (desc_is_system(&d) || (desc_is_code(&d) && !(desc_attr(&d) & SEG_ATTR_RW)) ||
        (!desc_is_conforming(&d) && MAX(selector & SEL_RPL, v->cpl) > desc_dpl(&d)))
        return fault(v, EXC_TS, selector, ext);
    if (!desc_present(&d))
        return fault(v, EXC_NP, selector, ext);
    if (!dbt_desc_accessed(v, &d))
        return false;
    v->state->seg[seg] = dbt_desc_segment(&d, selector);
    return true;
}

/* Step 13. */
static bool load_segments(DbtVcpu *v, uint32_t ext)
{
    static const SegIndex data[] = { SEG_ES, SEG_DS, SEG_FS, SEG_GS };
    CpuState *s = v->state;
    SegDesc d;

    if (!load_ldt(v, ext))
        return false;
    if (s->rflags & RFLAGS_VM) {
        for (SegIndex i = 0; i < SEG_COUNT; i++)
            s->seg[i] = dbt_real_segment(v, i, s->seg[i].selector);
        return true;
    }
    if (!load_code(v, ext) || !dbt_ss_check(v, s->seg[SEG_SS].selector, v->cpl, EXC_TS, ext, &d) ||
        !dbt_desc_accessed(v, &d))
        return false;
    s->seg[SEG_SS] = dbt_desc_segment(&d, s->seg[SEG_SS].selector);
    dbt_mode_changed(v);
    for (unsigned i = 0; i < G_N_ELEMENTS(data); i++) {
        if (!load_data(v, data[i], ext))
            return false;
    }
    return true;
}

/* Steps 13 to 15: in the new task. */
static bool begin_task(DbtVcpu *v, const TssLayout *l, bool trap, const uint32_t *error, uint32_t ext)
{
    bool ok = load_segments(v, ext);

    dbt_mode_changed(v);
    if (!ok)
        return false;
    if (trap) {
        v->debug_traps |= DR6_BT;
        dbt_attention(v);
    }
    if (error) {
        DbtStack st = dbt_stack_current(v, ext);
        if (!dbt_push(v, &st, l->size, *error))
            return false;
        dbt_stack_pointer_store(v, &st);
    }
    if (!v->real && v->state->rip > v->state->seg[SEG_CS].limit)
        return fault(v, EXC_GP, 0, ext);
    return true;
}

bool dbt_task_switch(DbtVcpu *v, uint16_t selector, SegDesc *d, TaskSwitch why, uint64_t next_rip,
                     const uint32_t *error, uint32_t ext)
{
    CpuState *s = v->state;
    const TssLayout *l = tss_layout(desc_type(d));
    bool nest = why == TASK_CALL || why == TASK_INTERRUPT;
    bool leave_old = why == TASK_JUMP || why == TASK_RETURN;
    uint64_t flags = s->rflags, old_desc = s->gdtr.base + (s->tr.selector & ~7u);
    uint8_t image[TSS_MAX] = { 0 };

    if (desc_limit(d) < l->limit)
        return fault(v, EXC_TS, selector, ext);
    if (why == TASK_RETURN)
        flags &= ~(uint64_t)RFLAGS_NT;
    /* The new TSS is read whole before anything is written: steps 6 and 7. */
    if (!dbt_lin_read(v, desc_base(d), image, l->limit + 1u, MMU_SYSTEM) || !save_old(v, next_rip, flags))
        return false;
    if (nest && !dbt_lin_write(v, desc_base(d), &s->tr.selector, 2, MMU_SYSTEM))
        return false;
    if (leave_old && !mmu_update_byte(v, old_desc + 5, 0, DESC_TSS_BUSY))
        return false;
    if (why != TASK_RETURN && !mmu_update_byte(v, d->linear + 5, DESC_TSS_BUSY, 0))
        return false;
    s->tr = dbt_desc_segment(d, selector);
    s->tr.attr |= DESC_TSS_BUSY;
    load_registers(v, l, image, nest ? RFLAGS_NT : 0);
    if (l == &layout32 && s->cr0 & CR0_PG)
        dbt_cr3_load(v, load_le(image + TSS32_CR3, 4));
    dbt_mode_changed(v);
    return begin_task(v, l, l == &layout32 && image[TSS32_T] & 1, error, ext);
}

bool dbt_task_gate(DbtVcpu *v, const SegDesc *gate, TaskSwitch why, uint64_t next_rip,
                   const uint32_t *error, uint32_t ext)
{
    uint16_t selector = (uint16_t)(gate->low >> 16);
    SegDesc d;

    if (selector & SEL_TI || SEL_NULL(selector))
        return fault(v, EXC_GP, selector, ext);
    if (!dbt_desc_read(v, selector, true, EXC_GP, ext, &d))
        return false;
    if (!desc_is_system(&d) || (desc_type(&d) != DESC_TSS16 && desc_type(&d) != DESC_TSS32))
        return fault(v, EXC_GP, selector, ext);
    if (!desc_present(&d))
        return fault(v, EXC_NP, selector, ext);
    return dbt_task_switch(v, selector, &d, why, next_rip, error, ext);
}

bool dbt_task_return(DbtVcpu *v, uint64_t next_rip)
{
    uint16_t selector;
    SegDesc d;

    if (!dbt_lin_read(v, v->state->tr.base, &selector, 2, MMU_SYSTEM))
        return false;
    if (selector & SEL_TI || SEL_NULL(selector))
        return fault(v, EXC_TS, selector, 0);
    if (!dbt_desc_read(v, selector, true, EXC_TS, 0, &d))
        return false;
    if (!desc_is_system(&d) || (desc_type(&d) != DESC_TSS16_BUSY && desc_type(&d) != DESC_TSS32_BUSY))
        return fault(v, EXC_TS, selector, 0);
    if (!desc_present(&d))
        return fault(v, EXC_NP, selector, 0);
    return dbt_task_switch(v, selector, &d, TASK_RETURN, next_rip, NULL, 0);
}
