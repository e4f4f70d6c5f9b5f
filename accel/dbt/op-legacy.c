/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Instructions 64-bit mode no longer has, so the host cannot run them: DAA DAS AAA AAS AAM AAD,
 * BOUND, ARPL, SALC; and XLAT.
 *
 * Source: Intel SDM vol. 2, the operation of each. Flags it leaves undefined are cleared, but SF,
 * ZF and PF, which follow AL.
 */
#include "accel/dbt/op-util.h"

/* SF, ZF and PF of a byte, and the given others. */
static void set_flags(CpuState *s, uint8_t al, uint64_t others)
{
    uint64_t flags = others;

    if (!al)
        flags |= RFLAGS_ZF;
    if (al & 0x80)
        flags |= RFLAGS_SF;
    if (!__builtin_parity(al))
        flags |= RFLAGS_PF;
    s->rflags = (s->rflags & ~(uint64_t)RFLAGS_ARITH) | flags;
}

enum { ADJUST_ADD, ADJUST_SUB };

/* DAA, DAS */
static DbtStep op_decimal(DbtVcpu *v, const DbtInsn *insn)
{
    CpuState *s = v->state;
    uint8_t old = (uint8_t)s->gpr[GPR_RAX], al = old;
    bool cf = s->rflags & RFLAGS_CF, sub = insn->sub == ADJUST_SUB;
    uint64_t flags = 0;

    if ((old & 0xf) > 9 || s->rflags & RFLAGS_AF) {
        al = (uint8_t)(sub ? al - 6 : al + 6);
        flags |= RFLAGS_AF;
        if (sub && old < 6)
            flags |= RFLAGS_CF;
    }
    if (old > 0x99 || cf) {
        al = (uint8_t)(sub ? al - 0x60 : al + 0x60);
        flags |= RFLAGS_CF;
    }
    reg_set(s, GPR_RAX, 1, al);
    set_flags(s, al, flags);
    return DBT_NEXT;
}

/* AAA, AAS */
static DbtStep op_ascii(DbtVcpu *v, const DbtInsn *insn)
{
    CpuState *s = v->state;
    uint16_t ax = (uint16_t)s->gpr[GPR_RAX];
    uint64_t flags = 0;

    if ((ax & 0xf) > 9 || s->rflags & RFLAGS_AF) {
        ax = (uint16_t)(insn->sub == ADJUST_SUB ? ax - 0x106 : ax + 0x106);
        flags = RFLAGS_AF | RFLAGS_CF;
    }
    ax &= 0xff0f;
    reg_set(s, GPR_RAX, 2, ax);
    set_flags(s, (uint8_t)ax, flags);
    return DBT_NEXT;
}

static DbtStep op_aam(DbtVcpu *v, const DbtInsn *insn)
{
    CpuState *s = v->state;
    uint8_t al = (uint8_t)s->gpr[GPR_RAX], base = (uint8_t)insn->imm;

    if (!base)
        return dbt_fault(v, EXC_DE);
    reg_set(s, GPR_RAX, 2, (uint64_t)(al / base) << 8 | al % base);
    set_flags(s, al % base, 0);
    return DBT_NEXT;
}

static DbtStep op_aad(DbtVcpu *v, const DbtInsn *insn)
{
    CpuState *s = v->state;
    uint8_t al = (uint8_t)(s->gpr[GPR_RAX] + (s->gpr[GPR_RAX] >> 8) * (uint8_t)insn->imm);

    reg_set(s, GPR_RAX, 2, al);
    set_flags(s, al, 0);
    return DBT_NEXT;
}

static DbtStep op_salc(DbtVcpu *v, const DbtInsn *insn)
{
    reg_set(v->state, GPR_RAX, 1, v->state->rflags & RFLAGS_CF ? 0xff : 0);
    return DBT_NEXT;
}

static DbtStep op_xlat(DbtVcpu *v, const DbtInsn *insn)
{
    CpuState *s = v->state;
    uint64_t ea = s->gpr[GPR_RBX] + (uint8_t)s->gpr[GPR_RAX], value;

    if (!dbt_load(v, insn->seg, ea & size_mask(insn->addr_size), 1, &value))
        return DBT_FAULT;
    reg_set(s, GPR_RAX, 1, value);
    return DBT_NEXT;
}

static int64_t signed_of(uint64_t value, unsigned size)
{
    return size == 2 ? (int16_t)value : (int32_t)value;
}

static DbtStep op_bound(DbtVcpu *v, const DbtInsn *insn)
{
    unsigned size = insn->op_size;
    uint64_t ea = dbt_ea(v, insn), lower, upper;
    int64_t index = signed_of(v->state->gpr[insn->reg], size);

    if (!dbt_load(v, insn->seg, ea, size, &lower) ||
        !dbt_load(v, insn->seg, (ea + size) & size_mask(insn->addr_size), size, &upper))
        return DBT_FAULT;
    if (index < signed_of(lower, size) || index > signed_of(upper, size))
        return dbt_fault(v, EXC_BR);
    return DBT_NEXT;
}

/* Raises the RPL of the destination to that of the source; the operands are 16 bits. */
static DbtStep op_arpl(DbtVcpu *v, const DbtInsn *insn)
{
    CpuState *s = v->state;
    uint64_t dst, rpl = s->gpr[insn->reg] & 3;

    if (!insn_load_rm(v, insn, 2, &dst))
        return DBT_FAULT;
    if ((dst & 3) >= rpl) {
        s->rflags &= ~(uint64_t)RFLAGS_ZF;
        return DBT_NEXT;
    }
    if (!insn_store_rm(v, insn, 2, (dst & ~3ull) | rpl))
        return DBT_FAULT;
    s->rflags |= RFLAGS_ZF;
    return DBT_NEXT;
}

static DbtHandler bind_xlat(DbtVcpu *v, DbtInsn *insn, const DbtDecoded *dec)
{
    insn->seg = (uint8_t)(dec->operands[0].mem.segment - ZYDIS_REGISTER_ES);
    return op_xlat;
}

const DbtOp dbt_ops_legacy[] = {
    {ZYDIS_MNEMONIC_DAA, .sub = ADJUST_ADD, .handler = op_decimal},
    {ZYDIS_MNEMONIC_DAS, .sub = ADJUST_SUB, .handler = op_decimal},
    {ZYDIS_MNEMONIC_AAA, .sub = ADJUST_ADD, .handler = op_ascii},
    {ZYDIS_MNEMONIC_AAS, .sub = ADJUST_SUB, .handler = op_ascii},
    {ZYDIS_MNEMONIC_AAM, .handler = op_aam},
    {ZYDIS_MNEMONIC_AAD, .handler = op_aad},
    {ZYDIS_MNEMONIC_SALC, .handler = op_salc},
    {ZYDIS_MNEMONIC_XLAT, .bind = bind_xlat},
    {ZYDIS_MNEMONIC_BOUND, .handler = op_bound},
    {ZYDIS_MNEMONIC_ARPL, .handler = op_arpl},
    {ZYDIS_MNEMONIC_INVALID, .bind = NULL},
};
