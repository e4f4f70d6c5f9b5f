/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * IRET in all its forms, and the instructions that raise interrupts.
 *
 *     real-address mode   IP, CS, FLAGS
 *     virtual-8086        the same, with IOPL 3; else #GP
 *     NT set              back to the previous task
 *     VM in the image     into virtual-8086 mode, from CPL 0 outside long mode
 *     outer level         SS:rSP as well
 *     64-bit mode         SS:RSP always
 *
 * Intel SDM vol. 2: IRET, INT n; vol. 3: 6.7.1 (NMI is unmasked), 20.2.2 (VM86), 6.14.3 (64-bit).
 *
 * Locking: own vCPU thread.
 */
#include "accel/dbt/ops.h"
#include "accel/dbt/seg.h"

static uint64_t insn_end(const DbtVcpu *v, const DbtInsn *insn)
{
    uint64_t end = v->state->rip + insn->len;

    return v->code_bits == 64 ? end : (uint32_t)end;
}

/* Which flags an image of size bytes may change at this privilege. */
static uint64_t flags_mask(const DbtVcpu *v, unsigned size)
{
    const CpuState *s = v->state;
    uint64_t mask = RFLAGS_ARITH | RFLAGS_TF | RFLAGS_DF | RFLAGS_NT;
    unsigned iopl = s->rflags >> RFLAGS_IOPL_SHIFT & 3;

    if (size > 2)
        mask |= RFLAGS_RF | RFLAGS_AC | RFLAGS_ID;
    if (v->cpl <= iopl)
        mask |= RFLAGS_IF;
    if (v->cpl == 0)
        mask |= RFLAGS_IOPL;
    return mask;
}

static void flags_restore(DbtVcpu *v, uint64_t image, uint64_t mask)
{
    CpuState *s = v->state;

    s->rflags = (s->rflags & ~mask) | (image & mask) | RFLAGS_1;
}

static DbtStep iret_done(DbtVcpu *v)
{
    v->state->nmi_masked = false;
    dbt_mode_changed(v);
    dbt_rflags_loaded(v);
    return DBT_LEAVE;
}

static DbtStep iret_real(DbtVcpu *v, unsigned size)
{
    CpuState *s = v->state;
    DbtStack st = dbt_stack_current(v, 0);
    bool v86 = s->rflags & RFLAGS_VM;
    uint64_t rip, cs, flags;

    if (v86 && (s->rflags & RFLAGS_IOPL) != RFLAGS_IOPL)
        return dbt_fault_error(v, EXC_GP, 0);
    if (!dbt_pop(v, &st, size, &rip) || !dbt_pop(v, &st, size, &cs) || !dbt_pop(v, &st, size, &flags))
        return DBT_FAULT;
    if (rip > s->seg[SEG_CS].limit)
        return dbt_fault_error(v, EXC_GP, 0);
    dbt_stack_pointer_store(v, &st);
    s->seg[SEG_CS] = dbt_real_segment(v, SEG_CS, (uint16_t)cs);
    s->rip = rip;
    flags_restore(v, flags, v86 ? flags_mask(v, size) & ~(uint64_t)RFLAGS_IOPL : flags_mask(v, size));
    return iret_done(v);
}

/* The rest of the stack image is read; from here on nothing faults. */
static DbtStep iret_to_v86(DbtVcpu *v, DbtStack *st, uint64_t rip, uint64_t cs, uint64_t flags)
{
    static const SegIndex order[] = { SEG_SS, SEG_ES, SEG_DS, SEG_FS, SEG_GS };
    CpuState *s = v->state;
    uint64_t rsp, selector[G_N_ELEMENTS(order)];

    if (!dbt_pop(v, st, 4, &rsp))
        return DBT_FAULT;
    for (unsigned i = 0; i < G_N_ELEMENTS(order); i++) {
        if (!dbt_pop(v, st, 4, &selector[i]))
            return DBT_FAULT;
    }
    flags_restore(v, flags, flags_mask(v, 4) | RFLAGS_VM);
    s->seg[SEG_CS] = dbt_real_segment(v, SEG_CS, (uint16_t)cs);
    for (unsigned i = 0; i < G_N_ELEMENTS(order); i++)
        s->seg[order[i]] = dbt_real_segment(v, order[i], (uint16_t)selector[i]);
    s->gpr[GPR_RSP] = (uint32_t)rsp;
    s->rip = (uint16_t)rip;
    return iret_done(v);
}

/* To the same or an outer level; the image up to the flags is read. */
static DbtStep iret_to_level(DbtVcpu *v, DbtStack *st, unsigned size, uint64_t rip, uint16_t cs, uint64_t flags)
{
    CpuState *s = v->state;
    unsigned cpl = cs & SEL_RPL, old_cpl = v->cpl;
    bool with_stack = v->code_bits == 64 || cpl != old_cpl;
    uint64_t mask = flags_mask(v, size), rsp, ss;
    SegDesc d;

    if (!dbt_return_code(v, cs, rip, &d))
        return DBT_FAULT;
    if (with_stack && (!dbt_pop(v, st, size, &rsp) || !dbt_pop(v, st, size, &ss) ||
                       !dbt_return_stack(v, (uint16_t)ss, &d, cpl, &st->ss)))
        return DBT_FAULT;
    if (!dbt_code_commit(v, cs, &d, cpl))
        return DBT_FAULT;
    s->rip = rip;
    flags_restore(v, flags, mask);
    if (!with_stack) {
        dbt_stack_pointer_store(v, st);
        return iret_done(v);
    }
    s->seg[SEG_SS] = st->ss;
    if (cpl != old_cpl)
        dbt_seg_drop_inner(v, cpl);
    dbt_mode_changed(v);
    *st = dbt_stack_current(v, 0); /* the width of the stack returned to */
    st->sp = rsp;
    dbt_stack_pointer_store(v, st);
    return iret_done(v);
}

static DbtStep op_iret(DbtVcpu *v, const DbtInsn *insn)
{
    unsigned size = insn->op_size;
    const CpuState *s = v->state;
    DbtStack st = dbt_stack_current(v, 0);
    uint64_t rip, cs, flags;

    if (v->real)
        return iret_real(v, size);
    if (s->rflags & RFLAGS_NT) {
        if (dbt_long_mode(v))
            return dbt_fault_error(v, EXC_GP, 0);
        if (!dbt_task_return(v, insn_end(v, insn)))
            return DBT_FAULT;
        return iret_done(v);
    }
    if (!dbt_pop(v, &st, size, &rip) || !dbt_pop(v, &st, size, &cs) || !dbt_pop(v, &st, size, &flags))
        return DBT_FAULT;
    if (size == 4 && flags & RFLAGS_VM && v->cpl == 0 && !dbt_long_mode(v))
        return iret_to_v86(v, &st, rip, cs, flags);
    return iret_to_level(v, &st, size, rip, (uint16_t)cs, flags);
}

/* In virtual-8086 mode INT n needs IOPL 3; the other three don't (SDM vol. 3, 20.2.7). */
static DbtStep op_int(DbtVcpu *v, const DbtInsn *insn)
{
    const CpuState *s = v->state;

    if (s->rflags & RFLAGS_VM && (s->rflags & RFLAGS_IOPL) != RFLAGS_IOPL)
        return dbt_fault_error(v, EXC_GP, 0);
    return dbt_software_interrupt(v, (uint8_t)insn->imm, insn_end(v, insn));
}

static DbtStep op_int3(DbtVcpu *v, const DbtInsn *insn)
{
    return dbt_software_interrupt(v, EXC_BP, insn_end(v, insn));
}

static DbtStep op_into(DbtVcpu *v, const DbtInsn *insn)
{
    if (!(v->state->rflags & RFLAGS_OF))
        return DBT_NEXT;
    return dbt_software_interrupt(v, EXC_OF, insn_end(v, insn));
}

static DbtStep op_int1(DbtVcpu *v, const DbtInsn *insn)
{
    return dbt_icebp(v, insn_end(v, insn));
}

const DbtOp dbt_ops_exc[] = {
    { ZYDIS_MNEMONIC_INT, 0, OP_END_BLOCK, op_int, NULL },
    { ZYDIS_MNEMONIC_INT3, 0, OP_END_BLOCK, op_int3, NULL },
    { ZYDIS_MNEMONIC_INT1, 0, OP_END_BLOCK, op_int1, NULL },
    { ZYDIS_MNEMONIC_INTO, 0, OP_END_BLOCK, op_into, NULL },
    { ZYDIS_MNEMONIC_IRET, 0, OP_END_BLOCK, op_iret, NULL },
    { ZYDIS_MNEMONIC_IRETD, 0, OP_END_BLOCK, op_iret, NULL },
    { ZYDIS_MNEMONIC_IRETQ, 0, OP_END_BLOCK, op_iret, NULL },
    { ZYDIS_MNEMONIC_INVALID, 0, 0, NULL, NULL },
};
