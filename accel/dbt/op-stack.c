/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The stack: PUSH POP PUSHA POPA PUSHF POPF ENTER LEAVE, near CALL and RET.
 *
 * An access that faults leaves rSP and everything else as it was. The stack is 64 bits wide in
 * 64-bit mode, else as SS.B says; the operand size is the instruction's.
 */
#include "accel/dbt/op-util.h"

uint64_t dbt_stack_pointer(const DbtVcpu *v)
{
    return v->state->gpr[GPR_RSP] & stack_mask(v);
}

void dbt_stack_set(DbtVcpu *v, uint64_t sp)
{
    CpuState *s = v->state;
    uint64_t mask = stack_mask(v);

    s->gpr[GPR_RSP] = (s->gpr[GPR_RSP] & ~mask) | (sp & mask);
}

bool dbt_stack_read(DbtVcpu *v, uint64_t sp, unsigned size, uint64_t *value)
{
    return dbt_load(v, SEG_SS, sp & stack_mask(v), size, value);
}

bool dbt_stack_write(DbtVcpu *v, uint64_t sp, unsigned size, uint64_t value)
{
    return dbt_store(v, SEG_SS, sp & stack_mask(v), size, value);
}

static DbtStep push_r64(DbtVcpu *v, const DbtInsn *insn)
{
    CpuState *s = v->state;
    uint64_t sp = s->gpr[GPR_RSP] - 8;

    if (!dbt_store(v, SEG_SS, sp, 8, s->gpr[insn->reg]))
        return DBT_FAULT;
    s->gpr[GPR_RSP] = sp;
    return DBT_NEXT;
}

static DbtStep pop_r64(DbtVcpu *v, const DbtInsn *insn)
{
    CpuState *s = v->state;
    uint64_t value;

    if (!dbt_load(v, SEG_SS, s->gpr[GPR_RSP], 8, &value))
        return DBT_FAULT;
    s->gpr[GPR_RSP] += 8;
    s->gpr[insn->reg] = value; /* after rSP: POP rSP takes the value */
    return DBT_NEXT;
}

static DbtStep push_r(DbtVcpu *v, const DbtInsn *insn)
{
    uint64_t value = reg_get(v->state, insn->reg, insn->op_size);

    return stack_push(v, insn->op_size, value) ? DBT_NEXT : DBT_FAULT;
}

static DbtStep push_i(DbtVcpu *v, const DbtInsn *insn)
{
    return stack_push(v, insn->op_size, insn->imm) ? DBT_NEXT : DBT_FAULT;
}

static DbtStep push_rm(DbtVcpu *v, const DbtInsn *insn)
{
    uint64_t value;

    if (!insn_load_rm(v, insn, insn->op_size, &value) || !stack_push(v, insn->op_size, value))
        return DBT_FAULT;
    return DBT_NEXT;
}

static DbtStep pop_r(DbtVcpu *v, const DbtInsn *insn)
{
    uint64_t value;

    if (!stack_peek(v, insn->op_size, &value))
        return DBT_FAULT;
    stack_drop(v, insn->op_size);
    reg_set(v->state, insn->reg, insn->op_size, value);
    return DBT_NEXT;
}

/* The address of the destination is computed after rSP moved (SDM vol. 2, POP). */
static DbtStep pop_rm(DbtVcpu *v, const DbtInsn *insn)
{
    CpuState *s = v->state;
    uint64_t rsp = s->gpr[GPR_RSP], value;

    if (!stack_peek(v, insn->op_size, &value))
        return DBT_FAULT;
    stack_drop(v, insn->op_size);
    if (insn_store_rm(v, insn, insn->op_size, value))
        return DBT_NEXT;
    s->gpr[GPR_RSP] = rsp;
    return DBT_FAULT;
}

/* A fault on the way leaves values below rSP, which belong to nobody. */
static DbtStep op_pusha(DbtVcpu *v, const DbtInsn *insn)
{
    uint64_t sp = dbt_stack_pointer(v);

    for (unsigned i = 0; i < 8; i++) {
        sp -= insn->op_size;
        if (!dbt_stack_write(v, sp, insn->op_size, reg_get(v->state, i, insn->op_size)))
            return DBT_FAULT;
    }
    dbt_stack_set(v, sp);
    return DBT_NEXT;
}

static DbtStep op_popa(DbtVcpu *v, const DbtInsn *insn)
{
    uint64_t sp = dbt_stack_pointer(v), values[8];

    for (unsigned i = 0; i < 8; i++) {
        if (!dbt_stack_read(v, sp + i * insn->op_size, insn->op_size, &values[i]))
            return DBT_FAULT;
    }
    for (unsigned i = 0; i < 8; i++) {
        unsigned reg = 7 - i;

        if (reg != GPR_RSP) /* the pushed rSP is thrown away */
            reg_set(v->state, reg, insn->op_size, values[i]);
    }
    dbt_stack_set(v, sp + 8 * insn->op_size);
    return DBT_NEXT;
}

static unsigned iopl(const CpuState *s)
{
    return s->rflags >> RFLAGS_IOPL_SHIFT & 3;
}

static bool is_vm86(const CpuState *s)
{
    return s->rflags & RFLAGS_VM;
}

/* SDM vol. 2, PUSHF; vol. 3, 20.2.7 (VME). */
static DbtStep op_pushf(DbtVcpu *v, const DbtInsn *insn)
{
    const CpuState *s = v->state;
    uint64_t flags = s->rflags & ~(uint64_t)(RFLAGS_VM | RFLAGS_RF);

    if (is_vm86(s) && iopl(s) < 3) {
        if (!(s->cr4 & CR4_VME) || insn->op_size != 2)
            return dbt_fault_error(v, EXC_GP, 0);
        /* The virtual interrupt flag stands in for IF, and IOPL reads as 3. */
        flags = (flags & ~(uint64_t)RFLAGS_IF) | RFLAGS_IOPL;
        if (s->rflags & RFLAGS_VIF)
            flags |= RFLAGS_IF;
    }
    return stack_push(v, insn->op_size, flags) ? DBT_NEXT : DBT_FAULT;
}

/* The flags POPF may change in this mode. */
static uint64_t popf_mask(const DbtVcpu *v, unsigned size)
{
    const CpuState *s = v->state;
    uint64_t mask = RFLAGS_ARITH | RFLAGS_TF | RFLAGS_DF | RFLAGS_NT | RFLAGS_AC | RFLAGS_ID;

    if (v->cpl == 0)
        mask |= RFLAGS_IOPL;
    if (v->cpl <= iopl(s))
        mask |= RFLAGS_IF;
    return size == 2 ? mask & 0xffff : mask;
}

static DbtStep op_popf(DbtVcpu *v, const DbtInsn *insn)
{
    CpuState *s = v->state;
    uint64_t value, mask = popf_mask(v, insn->op_size), old = s->rflags;

    if (is_vm86(s) && iopl(s) < 3 && (!(s->cr4 & CR4_VME) || insn->op_size != 2))
        return dbt_fault_error(v, EXC_GP, 0);
    if (!stack_peek(v, insn->op_size, &value))
        return DBT_FAULT;
    if (is_vm86(s) && iopl(s) < 3) {
        if ((value & RFLAGS_IF && s->rflags & RFLAGS_VIP) || value & RFLAGS_TF)
            return dbt_fault_error(v, EXC_GP, 0);
        mask = (mask & ~(uint64_t)(RFLAGS_IF | RFLAGS_IOPL)) | RFLAGS_VIF;
        value = value & RFLAGS_IF ? value | RFLAGS_VIF : value & ~(uint64_t)RFLAGS_VIF;
    }
    stack_drop(v, insn->op_size);
    s->rflags = (old & ~mask) | (value & mask);
    if (insn->op_size != 2)
        s->rflags &= ~(uint64_t)RFLAGS_RF;
    if ((old ^ s->rflags) & RFLAGS_AC)
        dbt_context_changed(v);
    if ((old ^ s->rflags) & (RFLAGS_AC | RFLAGS_DF))
        dbt_end_block(v); /* the mode of translated code */
    if ((s->rflags & (RFLAGS_TF | RFLAGS_IF)) & ~(old & RFLAGS_IF))
        dbt_attention(v);
    return DBT_NEXT;
}

/* SDM vol. 2, ENTER: imm = bytes of locals, sub = nesting level. */
static DbtStep op_enter(DbtVcpu *v, const DbtInsn *insn)
{
    CpuState *s = v->state;
    unsigned size = insn->op_size, level = insn->sub & 31;
    uint64_t mask = stack_mask(v), sp = dbt_stack_pointer(v), bp = s->gpr[GPR_RBP], frame, value;
    DbtMemRef top;

    sp = (sp - size) & mask;
    if (!dbt_stack_write(v, sp, size, reg_get(s, GPR_RBP, size)))
        return DBT_FAULT;
    frame = sp;
    for (unsigned i = 1; i < level; i++) {
        bp = (bp - size) & mask;
        sp = (sp - size) & mask;
        if (!dbt_stack_read(v, bp, size, &value) || !dbt_stack_write(v, sp, size, value))
            return DBT_FAULT;
    }
    if (level) {
        sp = (sp - size) & mask;
        if (!dbt_stack_write(v, sp, size, frame))
            return DBT_FAULT;
    }
    sp = (sp - insn->imm) & mask;
    /* The new top must be writable, though nothing is written there. */
    if (!dbt_mem_begin(v, SEG_SS, sp, size, MMU_STORE, false, &top))
        return DBT_FAULT;
    dbt_mem_cancel(v, &top);
    reg_set(s, GPR_RBP, size, frame);
    dbt_stack_set(v, sp);
    return DBT_NEXT;
}

static DbtStep op_leave(DbtVcpu *v, const DbtInsn *insn)
{
    CpuState *s = v->state;
    uint64_t bp = s->gpr[GPR_RBP] & stack_mask(v), value;

    if (!dbt_stack_read(v, bp, insn->op_size, &value))
        return DBT_FAULT;
    dbt_stack_set(v, bp + insn->op_size);
    reg_set(s, GPR_RBP, insn->op_size, value);
    return DBT_NEXT;
}

/* Pushes the return address and goes to target; the target is checked before the stack changes. */
static DbtStep call_to(DbtVcpu *v, const DbtInsn *insn, uint64_t target)
{
    CpuState *s = v->state;
    uint64_t rip = s->rip;
    DbtStep step = branch_to(v, target, insn->op_size);

    if (step != DBT_FAULT && !stack_push(v, insn->op_size, rip + insn->len)) {
        s->rip = rip;
        return DBT_FAULT;
    }
    return step;
}

static DbtStep call_relative(DbtVcpu *v, const DbtInsn *insn)
{
    return call_to(v, insn, v->state->rip + insn->len + insn->imm);
}

static DbtStep call_rm(DbtVcpu *v, const DbtInsn *insn)
{
    uint64_t target;

    if (!insn_load_rm(v, insn, insn->op_size, &target))
        return DBT_FAULT;
    return call_to(v, insn, target);
}

/* imm: bytes of parameters to drop. */
static DbtStep op_ret(DbtVcpu *v, const DbtInsn *insn)
{
    uint64_t target;
    DbtStep step;

    if (!stack_peek(v, insn->op_size, &target))
        return DBT_FAULT;
    step = branch_to(v, target, insn->op_size);
    if (step != DBT_FAULT)
        stack_drop(v, insn->op_size + insn->imm);
    return step;
}

static bool is_segment(const ZydisDecodedOperand *op)
{
    return op->type == ZYDIS_OPERAND_TYPE_REGISTER &&
           ZydisRegisterGetClass(op->reg.value) == ZYDIS_REGCLASS_SEGMENT;
}

static DbtHandler bind_push(DbtVcpu *v, DbtInsn *insn, const DbtDecoded *dec)
{
    if (is_segment(&dec->operands[0]))
        return dbt_op_push_seg;
    if (dec->operands[0].type == ZYDIS_OPERAND_TYPE_IMMEDIATE)
        return push_i;
    if (dec->insn->attributes & ZYDIS_ATTRIB_HAS_MODRM)
        return push_rm;
    return insn->op_size == 8 ? push_r64 : push_r;
}

static DbtHandler bind_pop(DbtVcpu *v, DbtInsn *insn, const DbtDecoded *dec)
{
    if (is_segment(&dec->operands[0]))
        return dbt_op_pop_seg;
    if (dec->insn->attributes & ZYDIS_ATTRIB_HAS_MODRM)
        return pop_rm;
    return insn->op_size == 8 ? pop_r64 : pop_r;
}

static DbtHandler bind_call(DbtVcpu *v, DbtInsn *insn, const DbtDecoded *dec)
{
    if (dec->insn->meta.branch_type == ZYDIS_BRANCH_TYPE_FAR)
        return dbt_op_call_far;
    return dec->operands[0].type == ZYDIS_OPERAND_TYPE_IMMEDIATE ? call_relative : call_rm;
}

static DbtHandler bind_ret(DbtVcpu *v, DbtInsn *insn, const DbtDecoded *dec)
{
    return dec->insn->meta.branch_type == ZYDIS_BRANCH_TYPE_FAR ? dbt_op_ret_far : op_ret;
}

static DbtHandler bind_enter(DbtVcpu *v, DbtInsn *insn, const DbtDecoded *dec)
{
    insn->sub = (uint8_t)dec->insn->raw.imm[1].value.u;
    return op_enter;
}

const DbtOp dbt_ops_stack[] = {
    {ZYDIS_MNEMONIC_PUSH, .bind = bind_push},
    {ZYDIS_MNEMONIC_POP, .bind = bind_pop},
    {ZYDIS_MNEMONIC_PUSHA, .handler = op_pusha},
    {ZYDIS_MNEMONIC_PUSHAD, .handler = op_pusha},
    {ZYDIS_MNEMONIC_POPA, .handler = op_popa},
    {ZYDIS_MNEMONIC_POPAD, .handler = op_popa},
    {ZYDIS_MNEMONIC_PUSHF, .handler = op_pushf},
    {ZYDIS_MNEMONIC_PUSHFD, .handler = op_pushf},
    {ZYDIS_MNEMONIC_PUSHFQ, .handler = op_pushf},
    {ZYDIS_MNEMONIC_POPF, .handler = op_popf},
    {ZYDIS_MNEMONIC_POPFD, .handler = op_popf},
    {ZYDIS_MNEMONIC_POPFQ, .handler = op_popf},
    {ZYDIS_MNEMONIC_ENTER, .bind = bind_enter},
    {ZYDIS_MNEMONIC_LEAVE, .handler = op_leave},
    {ZYDIS_MNEMONIC_CALL, .bind = bind_call},
    {ZYDIS_MNEMONIC_RET, .bind = bind_ret},
    {ZYDIS_MNEMONIC_INVALID, .bind = NULL},
};
