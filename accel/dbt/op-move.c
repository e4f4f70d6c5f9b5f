/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Data movement: MOV MOVZX MOVSX MOVSXD LEA XCHG BSWAP CMOVcc SETcc, NOP.
 *
 * The hot forms have handlers of their own by size: R = register, M = memory, I = immediate,
 * destination first. MOV of segment, control and debug registers is bound to seg.c and sys.c.
 */
#include "accel/dbt/op-util.h"

#define DEFINE_MOV(size)                                                                           \
    static DbtStep mov_rr_##size(DbtVcpu *v, const DbtInsn *insn)                                  \
    {                                                                                              \
        insn_set_rm(v, insn, size, insn_reg(v, insn, size));                                       \
        return DBT_NEXT;                                                                           \
    }                                                                                              \
    static DbtStep mov_ri_##size(DbtVcpu *v, const DbtInsn *insn)                                  \
    {                                                                                              \
        insn_set_rm(v, insn, size, insn->imm);                                                     \
        return DBT_NEXT;                                                                           \
    }                                                                                              \
    static DbtStep mov_rm_##size(DbtVcpu *v, const DbtInsn *insn)                                  \
    {                                                                                              \
        uint64_t value;                                                                            \
                                                                                                   \
        if (!insn_load(v, insn, size, &value))                                                     \
            return DBT_FAULT;                                                                      \
        insn_set_reg(v, insn, size, value);                                                        \
        return DBT_NEXT;                                                                           \
    }                                                                                              \
    static DbtStep mov_mr_##size(DbtVcpu *v, const DbtInsn *insn)                                  \
    {                                                                                              \
        return insn_store(v, insn, size, insn_reg(v, insn, size)) ? DBT_NEXT : DBT_FAULT;          \
    }                                                                                              \
    static DbtStep mov_mi_##size(DbtVcpu *v, const DbtInsn *insn)                                  \
    {                                                                                              \
        return insn_store(v, insn, size, insn->imm) ? DBT_NEXT : DBT_FAULT;                        \
    }

DEFINE_MOV(1)
DEFINE_MOV(2)
DEFINE_MOV(4)
DEFINE_MOV(8)

/* rm is the source, extended from its size to op_size. */
#define DEFINE_EXTEND(name, size, cast)                                                            \
    static DbtStep name##_##size(DbtVcpu *v, const DbtInsn *insn)                                  \
    {                                                                                              \
        uint64_t value;                                                                            \
                                                                                                   \
        if (!insn_load_rm(v, insn, size, &value))                                                  \
            return DBT_FAULT;                                                                      \
        reg_set(v->state, insn->reg, insn->op_size, (uint64_t)(int64_t)(cast)value);               \
        return DBT_NEXT;                                                                           \
    }

DEFINE_EXTEND(movzx, 1, uint8_t)
DEFINE_EXTEND(movzx, 2, uint16_t)
DEFINE_EXTEND(movsx, 1, int8_t)
DEFINE_EXTEND(movsx, 2, int16_t)
DEFINE_EXTEND(movsx, 4, int32_t)

static DbtStep op_lea(DbtVcpu *v, const DbtInsn *insn)
{
    reg_set(v->state, insn->reg, insn->op_size, dbt_ea(v, insn));
    return DBT_NEXT;
}

static DbtStep op_lea_8(DbtVcpu *v, const DbtInsn *insn)
{
    v->state->gpr[insn->reg] = dbt_ea(v, insn);
    return DBT_NEXT;
}

static DbtStep op_nop(DbtVcpu *v, const DbtInsn *insn)
{
    return DBT_NEXT;
}

static DbtStep op_bswap(DbtVcpu *v, const DbtInsn *insn)
{
    CpuState *s = v->state;
    uint64_t *r = &s->gpr[insn->reg];

    if (insn->op_size == 8)
        *r = __builtin_bswap64(*r);
    else if (insn->op_size == 4)
        *r = __builtin_bswap32((uint32_t)*r);
    else
        *r &= ~0xffffull; /* undefined; processors clear the word */
    return DBT_NEXT;
}

/* XCHG with memory is locked with or without the prefix (SDM vol. 2, XCHG). */
static void xchg_rmw(DbtVcpu *v, const DbtInsn *insn, void *host, uint64_t src, bool lock)
{
    uint64_t old;

    switch (insn->op_size) {
    case 1:
        old = __atomic_exchange_n((uint8_t *)host, (uint8_t)src, __ATOMIC_SEQ_CST);
        break;
    case 2:
        __asm__ volatile("xchgw %w0, %1" : "+r"(src), "+m"(*(MmuU16 *)host) : : "memory");
        old = (uint16_t)src;
        break;
    case 4:
        __asm__ volatile("xchgl %k0, %1" : "+r"(src), "+m"(*(MmuU32 *)host) : : "memory");
        old = (uint32_t)src;
        break;
    default:
        __asm__ volatile("xchgq %0, %1" : "+r"(src), "+m"(*(MmuU64 *)host) : : "memory");
        old = src;
        break;
    }
    insn_set_reg(v, insn, insn->op_size, old);
}

static DbtStep xchg_m(DbtVcpu *v, const DbtInsn *insn)
{
    uint64_t ea = dbt_ea(v, insn), src = insn_reg(v, insn, insn->op_size);
    void *host = mmu_rmw_host(v, insn->seg, ea, insn->op_size);

    if (!host)
        return dbt_rmw_slow(v, insn, ea, insn->op_size, xchg_rmw, src);
    xchg_rmw(v, insn, host, src, true);
    return DBT_NEXT;
}

static DbtStep xchg_r(DbtVcpu *v, const DbtInsn *insn)
{
    uint64_t a = insn_reg(v, insn, insn->op_size), b = insn_rm(v, insn, insn->op_size);

    insn_set_reg(v, insn, insn->op_size, b);
    insn_set_rm(v, insn, insn->op_size, a);
    return DBT_NEXT;
}

/* The memory operand is read whether or not the condition holds; a 32-bit destination is always
 * zero-extended (SDM vol. 2, CMOVcc). */
static DbtStep op_cmov(DbtVcpu *v, const DbtInsn *insn)
{
    uint64_t src;

    if (!insn_load_rm(v, insn, insn->op_size, &src))
        return DBT_FAULT;
    if (!condition(v->state->rflags, insn->sub))
        src = insn_reg(v, insn, insn->op_size);
    reg_set(v->state, insn->reg, insn->op_size, src);
    return DBT_NEXT;
}

static DbtStep op_set(DbtVcpu *v, const DbtInsn *insn)
{
    bool value = condition(v->state->rflags, insn->sub);

    return insn_store_rm(v, insn, 1, value) ? DBT_NEXT : DBT_FAULT;
}

enum { MOV_RR, MOV_RI, MOV_RM, MOV_MR, MOV_MI, MOV_FORMS };

#define MOV_ROW(size)                                                                              \
    {                                                                                              \
        mov_rr_##size, mov_ri_##size, mov_rm_##size, mov_mr_##size, mov_mi_##size                  \
    }

static const DbtHandler mov_handlers[4][MOV_FORMS] = {
    MOV_ROW(1),
    MOV_ROW(2),
    MOV_ROW(4),
    MOV_ROW(8),
};

static ZydisRegisterClass operand_class(const ZydisDecodedOperand *op)
{
    return op->type == ZYDIS_OPERAND_TYPE_REGISTER ? ZydisRegisterGetClass(op->reg.value)
                                                   : ZYDIS_REGCLASS_INVALID;
}

/* MOV of the registers other files own; NULL: none of them. */
static DbtHandler bind_mov_special(const DbtDecoded *dec)
{
    ZydisRegisterClass dst = operand_class(&dec->operands[0]), src = operand_class(&dec->operands[1]);

    if (dst == ZYDIS_REGCLASS_SEGMENT)
        return dbt_op_mov_to_seg;
    if (src == ZYDIS_REGCLASS_SEGMENT)
        return dbt_op_mov_from_seg;
    if (dst == ZYDIS_REGCLASS_CONTROL)
        return dbt_op_mov_to_cr;
    if (src == ZYDIS_REGCLASS_CONTROL)
        return dbt_op_mov_from_cr;
    if (dst == ZYDIS_REGCLASS_DEBUG)
        return dbt_op_mov_to_dr;
    if (src == ZYDIS_REGCLASS_DEBUG)
        return dbt_op_mov_from_dr;
    return NULL;
}

static DbtHandler bind_mov(DbtVcpu *v, DbtInsn *insn, const DbtDecoded *dec)
{
    const DbtHandler *forms = mov_handlers[__builtin_ctz(insn->op_size)];
    DbtHandler special = bind_mov_special(dec);
    bool mem = insn->flags & INSN_MEM;

    if (special)
        return special;
    if (dec->operands[1].type == ZYDIS_OPERAND_TYPE_IMMEDIATE) {
        if (mem)
            return forms[MOV_MI];
        if (!(dec->insn->attributes & ZYDIS_ATTRIB_HAS_MODRM))
            insn_swap_registers(insn); /* B0..BF name the register in the opcode */
        return forms[MOV_RI];
    }
    if (mem) {
        /* A0..A3 have neither ModRM nor register field: the accumulator. */
        if (!(dec->insn->attributes & ZYDIS_ATTRIB_HAS_MODRM))
            insn->reg = GPR_RAX;
        return forms[dec->operands[0].type == ZYDIS_OPERAND_TYPE_MEMORY ? MOV_MR : MOV_RM];
    }
    if (dec->operands[0].encoding == ZYDIS_OPERAND_ENCODING_MODRM_REG)
        insn_swap_registers(insn);
    return forms[MOV_RR];
}

static DbtHandler bind_extend(DbtVcpu *v, DbtInsn *insn, const DbtDecoded *dec)
{
    bool sign = insn->mnemonic != ZYDIS_MNEMONIC_MOVZX;

    switch (dec->operands[1].size) {
    case 8:
        return sign ? movsx_1 : movzx_1;
    case 16:
        return sign ? movsx_2 : movzx_2;
    default:
        /* The SDM's MOVSXD r16, r/m16 reads a word, whatever Zydis makes of it. */
        return insn->op_size == 2 ? movsx_2 : movsx_4;
    }
}

static DbtHandler bind_lea(DbtVcpu *v, DbtInsn *insn, const DbtDecoded *dec)
{
    return insn->op_size == 8 ? op_lea_8 : op_lea;
}

static DbtHandler bind_xchg(DbtVcpu *v, DbtInsn *insn, const DbtDecoded *dec)
{
    if (insn->flags & INSN_MEM)
        return xchg_m;
    if (!(dec->insn->attributes & ZYDIS_ATTRIB_HAS_MODRM))
        insn->rm = GPR_RAX; /* 90..97 */
    return xchg_r;
}

#define CMOV(cc, n) {ZYDIS_MNEMONIC_CMOV##cc, .sub = (n), .handler = op_cmov}
#define SETCC(cc, n) {ZYDIS_MNEMONIC_SET##cc, .sub = (n), .handler = op_set}

const DbtOp dbt_ops_move[] = {
    {ZYDIS_MNEMONIC_MOV, .bind = bind_mov},
    {ZYDIS_MNEMONIC_MOVZX, .bind = bind_extend},
    {ZYDIS_MNEMONIC_MOVSX, .bind = bind_extend},
    {ZYDIS_MNEMONIC_MOVSXD, .bind = bind_extend},
    {ZYDIS_MNEMONIC_LEA, .bind = bind_lea},
    {ZYDIS_MNEMONIC_XCHG, .bind = bind_xchg},
    {ZYDIS_MNEMONIC_BSWAP, .handler = op_bswap},
    {ZYDIS_MNEMONIC_NOP, .handler = op_nop},
    CMOV(O, 0x0),   CMOV(NO, 0x1),  CMOV(B, 0x2),   CMOV(NB, 0x3),  CMOV(Z, 0x4),   CMOV(NZ, 0x5),
    CMOV(BE, 0x6),  CMOV(NBE, 0x7), CMOV(S, 0x8),   CMOV(NS, 0x9),  CMOV(P, 0xa),   CMOV(NP, 0xb),
    CMOV(L, 0xc),   CMOV(NL, 0xd),  CMOV(LE, 0xe),  CMOV(NLE, 0xf),
    SETCC(O, 0x0),  SETCC(NO, 0x1), SETCC(B, 0x2),  SETCC(NB, 0x3), SETCC(Z, 0x4),  SETCC(NZ, 0x5),
    SETCC(BE, 0x6), SETCC(NBE, 0x7), SETCC(S, 0x8), SETCC(NS, 0x9), SETCC(P, 0xa),  SETCC(NP, 0xb),
    SETCC(L, 0xc),  SETCC(NL, 0xd), SETCC(LE, 0xe), SETCC(NLE, 0xf),
    {ZYDIS_MNEMONIC_INVALID, .bind = NULL},
};
