/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Shifts and rotates: ROL ROR RCL RCR SHL SHR SAR, and SHLD SHRD.
 *
 * The host's own instruction runs with the guest's flags loaded, so a count of zero leaves them as
 * they are and undefined ones come out as on the host. The host masks the count as the guest's CPU
 * would (SDM vol. 2, SHL: 5 bits, 6 with a 64-bit operand).
 */
#include "accel/dbt/op-util.h"

typedef uint8_t u8;
typedef uint16_t u16;
typedef uint32_t u32;
typedef uint64_t u64;

/* sub, after bind: where the count comes from. */
enum { COUNT_IMM, COUNT_CL };

static inline uint8_t shift_count(const DbtVcpu *v, const DbtInsn *insn)
{
    return insn->sub == COUNT_CL ? (uint8_t)v->state->gpr[GPR_RCX] : (uint8_t)insn->imm;
}

#define DEFINE_SHIFT(type, suffix, op)                                                             \
    static inline type op##_##type(DbtVcpu *v, type d, uint8_t count)                              \
    {                                                                                              \
        uint64_t ax = flags_to_ax(v->state);                                                       \
                                                                                                   \
        __asm__(FLAGS_IN #op suffix " %%cl, %[d]" FLAGS_OUT                                        \
                : [d] "+q"(d), "+&a"(ax)                                                           \
                : "c"(count)                                                                       \
                : "cc");                                                                           \
        flags_from_ax(v->state, ax);                                                               \
        return d;                                                                                  \
    }                                                                                              \
    static void op##_rmw_##type(DbtVcpu *v, const DbtInsn *insn, void *host, uint64_t count,       \
                                bool lock)                                                         \
    {                                                                                              \
        mmu_host_store(host, sizeof(type),                                                         \
                       op##_##type(v, (type)mmu_host_load(host, sizeof(type)), (uint8_t)count));   \
    }                                                                                              \
    static DbtStep op##_r_##type(DbtVcpu *v, const DbtInsn *insn)                                  \
    {                                                                                              \
        type d = (type)insn_rm(v, insn, sizeof(type));                                             \
                                                                                                   \
        insn_set_rm(v, insn, sizeof(type), op##_##type(v, d, shift_count(v, insn)));               \
        return DBT_NEXT;                                                                           \
    }                                                                                              \
    static DbtStep op##_m_##type(DbtVcpu *v, const DbtInsn *insn)                                  \
    {                                                                                              \
        uint64_t ea = dbt_ea(v, insn);                                                             \
        void *host = mmu_rmw_host(v, insn->seg, ea, sizeof(type));                                 \
                                                                                                   \
        if (!host)                                                                                 \
            return dbt_rmw_slow(v, insn, ea, sizeof(type), op##_rmw_##type, shift_count(v, insn)); \
        op##_rmw_##type(v, insn, host, shift_count(v, insn), false);                               \
        return DBT_NEXT;                                                                           \
    }

#define DEFINE_SHIFTS(op)                                                                          \
    DEFINE_SHIFT(u8, "b", op)                                                                      \
    DEFINE_SHIFT(u16, "w", op)                                                                     \
    DEFINE_SHIFT(u32, "l", op)                                                                     \
    DEFINE_SHIFT(u64, "q", op)

DEFINE_SHIFTS(rol)
DEFINE_SHIFTS(ror)
DEFINE_SHIFTS(rcl)
DEFINE_SHIFTS(rcr)
DEFINE_SHIFTS(shl)
DEFINE_SHIFTS(shr)
DEFINE_SHIFTS(sar)

/* Double shifts: src is shifted into d. */
#define DEFINE_DOUBLE(type, suffix, op)                                                            \
    static void op##_rmw_##type(DbtVcpu *v, const DbtInsn *insn, void *host, uint64_t src,         \
                                bool lock)                                                         \
    {                                                                                              \
        uint64_t ax = flags_to_ax(v->state);                                                       \
        type d = (type)mmu_host_load(host, sizeof(type));                                          \
                                                                                                   \
        __asm__(FLAGS_IN #op suffix " %%cl, %[src], %[d]" FLAGS_OUT                                \
                : [d] "+r"(d), "+&a"(ax)                                                           \
                : [src] "r"((type)src), "c"(shift_count(v, insn))                                  \
                : "cc");                                                                           \
        flags_from_ax(v->state, ax);                                                               \
        mmu_host_store(host, sizeof(type), d);                                                     \
    }

DEFINE_DOUBLE(u16, "w", shld)
DEFINE_DOUBLE(u32, "l", shld)
DEFINE_DOUBLE(u64, "q", shld)
DEFINE_DOUBLE(u16, "w", shrd)
DEFINE_DOUBLE(u32, "l", shrd)
DEFINE_DOUBLE(u64, "q", shrd)

enum { SHIFT_ROL, SHIFT_ROR, SHIFT_RCL, SHIFT_RCR, SHIFT_SHL, SHIFT_SHR, SHIFT_SAR };
enum { SHIFT_SHLD, SHIFT_SHRD };

static const RmwFn double_fns[][3] = {
    [SHIFT_SHLD] = {shld_rmw_u16, shld_rmw_u32, shld_rmw_u64},
    [SHIFT_SHRD] = {shrd_rmw_u16, shrd_rmw_u32, shrd_rmw_u64},
};

static DbtStep op_double(DbtVcpu *v, const DbtInsn *insn)
{
    RmwFn fn = *(const RmwFn *)insn->aux;
    uint64_t src = insn_reg(v, insn, insn->op_size), ea, d;
    void *host;

    if (!(insn->flags & INSN_MEM)) {
        d = insn_rm(v, insn, insn->op_size);
        fn(v, insn, &d, src, false);
        insn_set_rm(v, insn, insn->op_size, d);
        return DBT_NEXT;
    }
    ea = dbt_ea(v, insn);
    host = mmu_rmw_host(v, insn->seg, ea, insn->op_size);
    if (!host)
        return dbt_rmw_slow(v, insn, ea, insn->op_size, fn, src);
    fn(v, insn, host, src, false);
    return DBT_NEXT;
}

#define SHIFT_ROWS(op)                                                                             \
    {                                                                                              \
        {op##_r_u8, op##_m_u8}, {op##_r_u16, op##_m_u16}, {op##_r_u32, op##_m_u32},                \
            {op##_r_u64, op##_m_u64},                                                              \
    }

static const DbtHandler shift_handlers[][4][2] = {
    [SHIFT_ROL] = SHIFT_ROWS(rol), [SHIFT_ROR] = SHIFT_ROWS(ror), [SHIFT_RCL] = SHIFT_ROWS(rcl),
    [SHIFT_RCR] = SHIFT_ROWS(rcr), [SHIFT_SHL] = SHIFT_ROWS(shl), [SHIFT_SHR] = SHIFT_ROWS(shr),
    [SHIFT_SAR] = SHIFT_ROWS(sar),
};

static void bind_count(DbtInsn *insn, const ZydisDecodedOperand *count)
{
    insn->sub = count->type == ZYDIS_OPERAND_TYPE_REGISTER ? COUNT_CL : COUNT_IMM;
    /* The opcodes D0 and D1 shift by one without saying so. */
    if (insn->sub == COUNT_IMM)
        insn->imm = count->imm.value.u;
}

static DbtHandler bind_shift(DbtVcpu *v, DbtInsn *insn, const DbtDecoded *dec)
{
    const DbtHandler(*rows)[2] = shift_handlers[insn->sub];

    bind_count(insn, &dec->operands[1]);
    return rows[__builtin_ctz(insn->op_size)][(insn->flags & INSN_MEM) != 0];
}

static DbtHandler bind_double(DbtVcpu *v, DbtInsn *insn, const DbtDecoded *dec)
{
    insn->aux = &double_fns[insn->sub][__builtin_ctz(insn->op_size) - 1];
    bind_count(insn, &dec->operands[2]);
    return op_double;
}

const DbtOp dbt_ops_shift[] = {
    {ZYDIS_MNEMONIC_ROL, SHIFT_ROL, .bind = bind_shift},
    {ZYDIS_MNEMONIC_ROR, SHIFT_ROR, .bind = bind_shift},
    {ZYDIS_MNEMONIC_RCL, SHIFT_RCL, .bind = bind_shift},
    {ZYDIS_MNEMONIC_RCR, SHIFT_RCR, .bind = bind_shift},
    {ZYDIS_MNEMONIC_SHL, SHIFT_SHL, .bind = bind_shift},
    {ZYDIS_MNEMONIC_SHR, SHIFT_SHR, .bind = bind_shift},
    {ZYDIS_MNEMONIC_SAR, SHIFT_SAR, .bind = bind_shift},
    {ZYDIS_MNEMONIC_SHLD, SHIFT_SHLD, .bind = bind_double},
    {ZYDIS_MNEMONIC_SHRD, SHIFT_SHRD, .bind = bind_double},
    {ZYDIS_MNEMONIC_INVALID, .bind = NULL},
};
