/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * MUL IMUL DIV IDIV, and the sign extensions of the accumulator (CBW ... CQO).
 *
 * The products and quotients are the host's; a division is checked first, since the host's #DE
 * would be a signal (SDM vol. 2, DIV: zero divisor or a quotient that does not fit).
 */
#include "accel/dbt/op-util.h"

/* rDX:rAX at the operand size; the byte forms use AX alone. */
static void set_result(DbtVcpu *v, unsigned size, uint64_t lo, uint64_t hi)
{
    CpuState *s = v->state;

    if (size == 1) {
        reg_set(s, GPR_RAX, 2, (lo & 0xff) | hi << 8);
        return;
    }
    reg_set(s, GPR_RAX, size, lo);
    reg_set(s, GPR_RDX, size, hi);
}

static void get_dividend(const DbtVcpu *v, unsigned size, uint64_t *lo, uint64_t *hi)
{
    const CpuState *s = v->state;

    if (size == 1) {
        *lo = s->gpr[GPR_RAX] & 0xff;
        *hi = s->gpr[GPR_RAX] >> 8 & 0xff;
        return;
    }
    *lo = reg_get(s, GPR_RAX, size);
    *hi = reg_get(s, GPR_RDX, size);
}

/* One host instruction on hi:lo; MOV leaves the flags alone. The byte form has AX for both halves. */
#define WIDE_ASM(op)                                                                               \
    __asm__(FLAGS_IN "movq %[lo], %%rax\n\t" op "\n\tmovq %%rax, %[lo]" FLAGS_OUT                  \
            : "+&a"(ax), [lo] "+&r"(lo), "+&d"(hi)                                                 \
            : [src] "r"(src)                                                                       \
            : "cc")

#define DEFINE_WIDE(name)                                                                          \
    static void wide_##name(DbtVcpu *v, unsigned size, uint64_t src, uint64_t *plo, uint64_t *phi) \
    {                                                                                              \
        uint64_t ax = flags_to_ax(v->state), lo = *plo, hi = *phi;                                 \
                                                                                                   \
        switch (size) {                                                                            \
        case 1:                                                                                    \
            lo |= hi << 8;                                                                         \
            WIDE_ASM(#name "b %b[src]");                                                           \
            hi = lo >> 8 & 0xff;                                                                   \
            break;                                                                                 \
        case 2:                                                                                    \
            WIDE_ASM(#name "w %w[src]");                                                   \
            break;                                                                                 \
        case 4:                                                                                    \
            WIDE_ASM(#name "l %k[src]");                                                 \
            break;                                                                                 \
        default:                                                                                   \
            WIDE_ASM(#name "q %[src]");                                                  \
            break;                                                                                 \
        }                                                                                          \
        flags_from_ax(v->state, ax);                                                               \
        *plo = lo;                                                                                 \
        *phi = hi;                                                                                 \
    }

DEFINE_WIDE(mul)
DEFINE_WIDE(imul)
DEFINE_WIDE(div)
DEFINE_WIDE(idiv)

static DbtStep op_mul(DbtVcpu *v, const DbtInsn *insn)
{
    uint64_t src, lo = reg_get(v->state, GPR_RAX, insn->op_size), hi = 0;

    if (!insn_load_rm(v, insn, insn->op_size, &src))
        return DBT_FAULT;
    wide_mul(v, insn->op_size, src, &lo, &hi);
    set_result(v, insn->op_size, lo, hi);
    return DBT_NEXT;
}

static DbtStep op_imul_wide(DbtVcpu *v, const DbtInsn *insn)
{
    uint64_t src, lo = reg_get(v->state, GPR_RAX, insn->op_size), hi = 0;

    if (!insn_load_rm(v, insn, insn->op_size, &src))
        return DBT_FAULT;
    wide_imul(v, insn->op_size, src, &lo, &hi);
    set_result(v, insn->op_size, lo, hi);
    return DBT_NEXT;
}

static DbtStep op_div(DbtVcpu *v, const DbtInsn *insn)
{
    uint64_t src, lo, hi;

    if (!insn_load_rm(v, insn, insn->op_size, &src))
        return DBT_FAULT;
    get_dividend(v, insn->op_size, &lo, &hi);
    if (hi >= src) /* src == 0 as well */
        return dbt_fault(v, EXC_DE);
    wide_div(v, insn->op_size, src, &lo, &hi);
    set_result(v, insn->op_size, lo, hi);
    return DBT_NEXT;
}

static int64_t sign_extend(uint64_t value, unsigned size)
{
    unsigned shift = 64 - 8 * size;

    return (int64_t)(value << shift) >> shift;
}

/* Whether hi:lo / src fits a signed quotient: |hi:lo| < |src| * 2^(bits - 1), or its lower bound. */
static bool idiv_fits(uint64_t lo, uint64_t hi, uint64_t src, unsigned size)
{
    unsigned bits = 8 * size;
    int64_t divisor = sign_extend(src, size), high = sign_extend(hi, size);
    unsigned __int128 n = size == 8 ? (unsigned __int128)hi << 64 | lo
                                    : (unsigned __int128)(((uint64_t)high << bits) | lo);
    unsigned __int128 d = divisor < 0 ? -(unsigned __int128)(__int128)divisor : (unsigned __int128)divisor;
    bool negative = (high < 0) != (divisor < 0);

    if (!divisor)
        return false;
    if (high < 0)
        n = size == 8 ? -n : (unsigned __int128)(uint64_t)-(uint64_t)n;
    /* The magnitude of the quotient: below 2^(bits-1), or up to it if the result is negative. */
    if (negative)
        return n < d * (((unsigned __int128)1 << (bits - 1)) + 1);
    return n < d << (bits - 1);
}

static DbtStep op_idiv(DbtVcpu *v, const DbtInsn *insn)
{
    uint64_t src, lo, hi;

    if (!insn_load_rm(v, insn, insn->op_size, &src))
        return DBT_FAULT;
    get_dividend(v, insn->op_size, &lo, &hi);
    if (!idiv_fits(lo, hi, src, insn->op_size))
        return dbt_fault(v, EXC_DE);
    wide_idiv(v, insn->op_size, src, &lo, &hi);
    set_result(v, insn->op_size, lo, hi);
    return DBT_NEXT;
}

/* IMUL r, r/m and IMUL r, r/m, imm. */
static uint64_t imul_low(DbtVcpu *v, unsigned size, uint64_t a, uint64_t b)
{
    uint64_t ax = flags_to_ax(v->state);

    switch (size) {
    case 2:
        __asm__(FLAGS_IN "imulw %w[b], %w[a]" FLAGS_OUT : [a] "+r"(a), "+&a"(ax) : [b] "r"(b) : "cc");
        break;
    case 4:
        __asm__(FLAGS_IN "imull %k[b], %k[a]" FLAGS_OUT : [a] "+r"(a), "+&a"(ax) : [b] "r"(b) : "cc");
        break;
    default:
        __asm__(FLAGS_IN "imulq %[b], %[a]" FLAGS_OUT : [a] "+r"(a), "+&a"(ax) : [b] "r"(b) : "cc");
        break;
    }
    flags_from_ax(v->state, ax);
    return a;
}

static DbtStep op_imul_r(DbtVcpu *v, const DbtInsn *insn)
{
    uint64_t src;

    if (!insn_load_rm(v, insn, insn->op_size, &src))
        return DBT_FAULT;
    insn_set_reg(v, insn, insn->op_size,
                 imul_low(v, insn->op_size, insn_reg(v, insn, insn->op_size), src));
    return DBT_NEXT;
}

static DbtStep op_imul_i(DbtVcpu *v, const DbtInsn *insn)
{
    uint64_t src;

    if (!insn_load_rm(v, insn, insn->op_size, &src))
        return DBT_FAULT;
    insn_set_reg(v, insn, insn->op_size, imul_low(v, insn->op_size, src, insn->imm));
    return DBT_NEXT;
}

/* CBW, CWDE, CDQE: sub is the size of the result. */
static DbtStep op_extend_a(DbtVcpu *v, const DbtInsn *insn)
{
    CpuState *s = v->state;

    reg_set(s, GPR_RAX, insn->sub, (uint64_t)sign_extend(s->gpr[GPR_RAX], insn->sub / 2));
    return DBT_NEXT;
}

/* CWD, CDQ, CQO: the sign of rAX fills rDX. */
static DbtStep op_extend_d(DbtVcpu *v, const DbtInsn *insn)
{
    CpuState *s = v->state;

    reg_set(s, GPR_RDX, insn->sub, (uint64_t)(sign_extend(s->gpr[GPR_RAX], insn->sub) >> 63));
    return DBT_NEXT;
}

static DbtHandler bind_imul(DbtVcpu *v, DbtInsn *insn, const DbtDecoded *dec)
{
    if (dec->insn->operand_count_visible == 1)
        return op_imul_wide;
    return dec->insn->operand_count_visible == 2 ? op_imul_r : op_imul_i;
}

const DbtOp dbt_ops_mul[] = {
    {ZYDIS_MNEMONIC_MUL, .handler = op_mul},
    {ZYDIS_MNEMONIC_IMUL, .bind = bind_imul},
    {ZYDIS_MNEMONIC_DIV, .handler = op_div},
    {ZYDIS_MNEMONIC_IDIV, .handler = op_idiv},
    {ZYDIS_MNEMONIC_CBW, .sub = 2, .handler = op_extend_a},
    {ZYDIS_MNEMONIC_CWDE, .sub = 4, .handler = op_extend_a},
    {ZYDIS_MNEMONIC_CDQE, .sub = 8, .handler = op_extend_a},
    {ZYDIS_MNEMONIC_CWD, .sub = 2, .handler = op_extend_d},
    {ZYDIS_MNEMONIC_CDQ, .sub = 4, .handler = op_extend_d},
    {ZYDIS_MNEMONIC_CQO, .sub = 8, .handler = op_extend_d},
    {ZYDIS_MNEMONIC_INVALID, .bind = NULL},
};
