/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Two-operand arithmetic and logic: ADD OR ADC SBB AND SUB XOR CMP TEST, and INC DEC NEG NOT.
 *
 * One handler for each operation, operand size and form, so that the hot ones are a few host
 * instructions: R = register, M = memory, I = immediate; the first letter is the destination.
 * bind_binary brings all encodings to these forms: destination register in rm, source in reg
 * (form rm: destination in reg).
 */
#include "accel/dbt/op-util.h"

DbtStep dbt_rmw_slow(DbtVcpu *v, const DbtInsn *insn, uint64_t ea, unsigned size, RmwFn fn, uint64_t src)
{
    bool lock = insn->flags & INSN_LOCK || insn->mnemonic == ZYDIS_MNEMONIC_XCHG;
    DbtMemRef ref;

    if (!dbt_mem_begin(v, insn->seg, ea, size, MMU_WRITE, lock, &ref))
        return DBT_FAULT;
    fn(v, insn, ref.host, src, lock);
    dbt_mem_end(v, &ref);
    return DBT_NEXT;
}

/* Register images by type, for the macros below. */
#define GET_u8(v, i, f)  ((uint8_t)reg_get8((v)->state, (i)->f, is_high_##f(i)))
#define GET_u16(v, i, f) ((uint16_t)(v)->state->gpr[(i)->f])
#define GET_u32(v, i, f) ((uint32_t)(v)->state->gpr[(i)->f])
#define GET_u64(v, i, f) ((v)->state->gpr[(i)->f])
#define SET_u8(v, i, f, x)  reg_set8((v)->state, (i)->f, is_high_##f(i), (x))
#define SET_u16(v, i, f, x) reg_set((v)->state, (i)->f, 2, (x))
#define SET_u32(v, i, f, x) reg_set((v)->state, (i)->f, 4, (x))
#define SET_u64(v, i, f, x) reg_set((v)->state, (i)->f, 8, (x))

typedef uint8_t u8;
typedef uint16_t u16;
typedef uint32_t u32;
typedef uint64_t u64;
/* The same at any address of guest memory. */
typedef uint8_t __attribute__((may_alias)) mem_u8;
typedef MmuU16 mem_u16;
typedef MmuU32 mem_u32;
typedef MmuU64 mem_u64;

static inline bool is_high_rm(const DbtInsn *insn)
{
    return insn->flags & INSN_RM_HIGH;
}

static inline bool is_high_reg(const DbtInsn *insn)
{
    return insn->flags & INSN_REG_HIGH;
}

/*
 * The operation itself, on values and (locked) in memory. ADC and SBB need CF from before; the
 * others overwrite every flag.
 */
#define DEFINE_COMPUTE(op, type, suffix, in)                                                       \
    static inline type op##_##type(DbtVcpu *v, type d, type src)                                   \
    {                                                                                              \
        uint64_t ax = flags_to_ax(v->state);                                                       \
                                                                                                   \
        __asm__(in #op suffix " %[src], %[d]" FLAGS_OUT                                            \
                : [d] "+q"(d), "+&a"(ax)                                                           \
                : [src] "q"(src)                                                                   \
                : "cc");                                                                           \
        flags_from_ax(v->state, ax);                                                               \
        return d;                                                                                  \
    }

#define DEFINE_RMW(op, type, suffix, in)                                                           \
    static void op##_rmw_##type(DbtVcpu *v, const DbtInsn *insn, void *host, uint64_t src,         \
                                bool lock)                                                         \
    {                                                                                              \
        mem_##type *p = host;                                                                      \
        uint64_t ax;                                                                               \
                                                                                                   \
        if (!lock) {                                                                               \
            *p = op##_##type(v, *p, (type)src);                                                    \
            return;                                                                                \
        }                                                                                          \
        ax = flags_to_ax(v->state);                                                                \
        __asm__ volatile(in "lock; " #op suffix " %[src], %[d]" FLAGS_OUT                          \
                         : [d] "+m"(*p), "+&a"(ax)                                                 \
                         : [src] "q"((type)src)                                                    \
                         : "cc", "memory");                                                        \
        flags_from_ax(v->state, ax);                                                               \
    }

/* Destination written (ADD ... XOR). */
#define DEFINE_FORMS(op, type)                                                                     \
    static DbtStep op##_rr_##type(DbtVcpu *v, const DbtInsn *insn)                                 \
    {                                                                                              \
        SET_##type(v, insn, rm,                                                                    \
                   op##_##type(v, GET_##type(v, insn, rm), GET_##type(v, insn, reg)));             \
        return DBT_NEXT;                                                                           \
    }                                                                                              \
    static DbtStep op##_ri_##type(DbtVcpu *v, const DbtInsn *insn)                                 \
    {                                                                                              \
        SET_##type(v, insn, rm, op##_##type(v, GET_##type(v, insn, rm), (type)insn->imm));         \
        return DBT_NEXT;                                                                           \
    }                                                                                              \
    static DbtStep op##_rm_##type(DbtVcpu *v, const DbtInsn *insn)                                 \
    {                                                                                              \
        uint64_t src;                                                                              \
                                                                                                   \
        if (!insn_load(v, insn, sizeof(type), &src))                                               \
            return DBT_FAULT;                                                                      \
        SET_##type(v, insn, reg, op##_##type(v, GET_##type(v, insn, reg), (type)src));             \
        return DBT_NEXT;                                                                           \
    }                                                                                              \
    static inline DbtStep op##_mem_##type(DbtVcpu *v, const DbtInsn *insn, uint64_t src)           \
    {                                                                                              \
        uint64_t ea = dbt_ea(v, insn);                                                             \
        void *host = mmu_rmw_host(v, insn->seg, ea, sizeof(type));                                 \
                                                                                                   \
        if (__builtin_expect(!host, 0))                                                            \
            return dbt_rmw_slow(v, insn, ea, sizeof(type), op##_rmw_##type, src);                  \
        op##_rmw_##type(v, insn, host, src, insn->flags & INSN_LOCK);                              \
        return DBT_NEXT;                                                                           \
    }                                                                                              \
    static DbtStep op##_mr_##type(DbtVcpu *v, const DbtInsn *insn)                                 \
    {                                                                                              \
        return op##_mem_##type(v, insn, GET_##type(v, insn, reg));                                 \
    }                                                                                              \
    static DbtStep op##_mi_##type(DbtVcpu *v, const DbtInsn *insn)                                 \
    {                                                                                              \
        return op##_mem_##type(v, insn, insn->imm);                                                \
    }

/* Only flags (CMP, TEST). */
#define DEFINE_COMPARE_FORMS(op, type)                                                             \
    static DbtStep op##_rr_##type(DbtVcpu *v, const DbtInsn *insn)                                 \
    {                                                                                              \
        op##_##type(v, GET_##type(v, insn, rm), GET_##type(v, insn, reg));                         \
        return DBT_NEXT;                                                                           \
    }                                                                                              \
    static DbtStep op##_ri_##type(DbtVcpu *v, const DbtInsn *insn)                                 \
    {                                                                                              \
        op##_##type(v, GET_##type(v, insn, rm), (type)insn->imm);                                  \
        return DBT_NEXT;                                                                           \
    }                                                                                              \
    static DbtStep op##_rm_##type(DbtVcpu *v, const DbtInsn *insn)                                 \
    {                                                                                              \
        uint64_t src;                                                                              \
                                                                                                   \
        if (!insn_load(v, insn, sizeof(type), &src))                                               \
            return DBT_FAULT;                                                                      \
        op##_##type(v, GET_##type(v, insn, reg), (type)src);                                       \
        return DBT_NEXT;                                                                           \
    }                                                                                              \
    static DbtStep op##_mr_##type(DbtVcpu *v, const DbtInsn *insn)                                 \
    {                                                                                              \
        uint64_t d;                                                                                \
                                                                                                   \
        if (!insn_load(v, insn, sizeof(type), &d))                                                 \
            return DBT_FAULT;                                                                      \
        op##_##type(v, (type)d, GET_##type(v, insn, reg));                                         \
        return DBT_NEXT;                                                                           \
    }                                                                                              \
    static DbtStep op##_mi_##type(DbtVcpu *v, const DbtInsn *insn)                                 \
    {                                                                                              \
        uint64_t d;                                                                                \
                                                                                                   \
        if (!insn_load(v, insn, sizeof(type), &d))                                                 \
            return DBT_FAULT;                                                                      \
        op##_##type(v, (type)d, (type)insn->imm);                                                  \
        return DBT_NEXT;                                                                           \
    }

#define FOR_EACH_TYPE(X, ...) X(u8, "b", __VA_ARGS__) X(u16, "w", __VA_ARGS__) X(u32, "l", __VA_ARGS__) \
    X(u64, "q", __VA_ARGS__)

#define DEFINE_BINARY_TYPE(type, suffix, op, in)                                                   \
    DEFINE_COMPUTE(op, type, suffix, in)                                                           \
    DEFINE_RMW(op, type, suffix, in)                                                               \
    DEFINE_FORMS(op, type)
#define DEFINE_COMPARE_TYPE(type, suffix, op, in)                                                  \
    DEFINE_COMPUTE(op, type, suffix, in)                                                           \
    DEFINE_COMPARE_FORMS(op, type)

FOR_EACH_TYPE(DEFINE_BINARY_TYPE, add, "")
FOR_EACH_TYPE(DEFINE_BINARY_TYPE, or, "")
FOR_EACH_TYPE(DEFINE_BINARY_TYPE, adc, FLAGS_IN)
FOR_EACH_TYPE(DEFINE_BINARY_TYPE, sbb, FLAGS_IN)
FOR_EACH_TYPE(DEFINE_BINARY_TYPE, and, "")
FOR_EACH_TYPE(DEFINE_BINARY_TYPE, sub, "")
FOR_EACH_TYPE(DEFINE_BINARY_TYPE, xor, "")
FOR_EACH_TYPE(DEFINE_COMPARE_TYPE, cmp, "")
FOR_EACH_TYPE(DEFINE_COMPARE_TYPE, test, "")

/* INC and DEC leave CF, NOT leaves every flag: all of them are loaded first. */
#define DEFINE_UNARY_TYPE(type, suffix, op, in)                                                    \
    static inline type op##_##type(DbtVcpu *v, type d)                                             \
    {                                                                                              \
        uint64_t ax = flags_to_ax(v->state);                                                       \
                                                                                                   \
        __asm__(in #op suffix " %[d]" FLAGS_OUT : [d] "+q"(d), "+&a"(ax) : : "cc");                \
        flags_from_ax(v->state, ax);                                                               \
        return d;                                                                                  \
    }                                                                                              \
    static void op##_rmw_##type(DbtVcpu *v, const DbtInsn *insn, void *host, uint64_t src,         \
                                bool lock)                                                         \
    {                                                                                              \
        mem_##type *p = host;                                                                      \
        uint64_t ax;                                                                               \
                                                                                                   \
        if (!lock) {                                                                               \
            *p = op##_##type(v, *p);                                                               \
            return;                                                                                \
        }                                                                                          \
        ax = flags_to_ax(v->state);                                                                \
        __asm__ volatile(in "lock; " #op suffix " %[d]" FLAGS_OUT                                  \
                         : [d] "+m"(*p), "+&a"(ax)                                                 \
                         :                                                                         \
                         : "cc", "memory");                                                        \
        flags_from_ax(v->state, ax);                                                               \
    }                                                                                              \
    static DbtStep op##_r_##type(DbtVcpu *v, const DbtInsn *insn)                                  \
    {                                                                                              \
        SET_##type(v, insn, rm, op##_##type(v, GET_##type(v, insn, rm)));                          \
        return DBT_NEXT;                                                                           \
    }                                                                                              \
    static DbtStep op##_m_##type(DbtVcpu *v, const DbtInsn *insn)                                  \
    {                                                                                              \
        uint64_t ea = dbt_ea(v, insn);                                                             \
        void *host = mmu_rmw_host(v, insn->seg, ea, sizeof(type));                                 \
                                                                                                   \
        if (__builtin_expect(!host, 0))                                                            \
            return dbt_rmw_slow(v, insn, ea, sizeof(type), op##_rmw_##type, 0);                    \
        op##_rmw_##type(v, insn, host, 0, insn->flags & INSN_LOCK);                                \
        return DBT_NEXT;                                                                           \
    }

FOR_EACH_TYPE(DEFINE_UNARY_TYPE, inc, FLAGS_IN)
FOR_EACH_TYPE(DEFINE_UNARY_TYPE, dec, FLAGS_IN)
FOR_EACH_TYPE(DEFINE_UNARY_TYPE, neg, FLAGS_IN)
FOR_EACH_TYPE(DEFINE_UNARY_TYPE, not, FLAGS_IN)

/* XOR r,r and SUB r,r: the result and the flags are known. */
static DbtStep zero_r(DbtVcpu *v, const DbtInsn *insn)
{
    CpuState *s = v->state;

    s->gpr[insn->rm] = 0;
    s->rflags = (s->rflags & ~(uint64_t)RFLAGS_ARITH) | RFLAGS_ZF | RFLAGS_PF;
    return DBT_NEXT;
}

/* The forms' order in the handler tables. */
enum { FORM_RR, FORM_RI, FORM_RM, FORM_MR, FORM_MI, FORMS };

#define FORM_ROW(op, type)                                                                         \
    {                                                                                              \
        op##_rr_##type, op##_ri_##type, op##_rm_##type, op##_mr_##type, op##_mi_##type             \
    }
#define BINARY_ROWS(op)                                                                            \
    {                                                                                              \
        FORM_ROW(op, u8), FORM_ROW(op, u16), FORM_ROW(op, u32), FORM_ROW(op, u64)                  \
    }
#define UNARY_ROWS(op)                                                                             \
    {                                                                                              \
        {op##_r_u8, op##_m_u8}, {op##_r_u16, op##_m_u16}, {op##_r_u32, op##_m_u32},                \
            {op##_r_u64, op##_m_u64},                                                              \
    }

enum { ALU_ADD, ALU_OR, ALU_ADC, ALU_SBB, ALU_AND, ALU_SUB, ALU_XOR, ALU_CMP, ALU_TEST };
enum { ALU_INC, ALU_DEC, ALU_NEG, ALU_NOT };

static const DbtHandler binary_handlers[][4][FORMS] = {
    [ALU_ADD] = BINARY_ROWS(add), [ALU_OR] = BINARY_ROWS(or),     [ALU_ADC] = BINARY_ROWS(adc),
    [ALU_SBB] = BINARY_ROWS(sbb), [ALU_AND] = BINARY_ROWS(and),   [ALU_SUB] = BINARY_ROWS(sub),
    [ALU_XOR] = BINARY_ROWS(xor), [ALU_CMP] = BINARY_ROWS(cmp),   [ALU_TEST] = BINARY_ROWS(test),
};

static const DbtHandler unary_handlers[][4][2] = {
    [ALU_INC] = UNARY_ROWS(inc),
    [ALU_DEC] = UNARY_ROWS(dec),
    [ALU_NEG] = UNARY_ROWS(neg),
    [ALU_NOT] = UNARY_ROWS(not),
};

static unsigned size_index(unsigned size)
{
    return (unsigned)__builtin_ctz(size);
}

static DbtHandler bind_binary(DbtVcpu *v, DbtInsn *insn, const DbtDecoded *dec)
{
    const DbtHandler *forms = binary_handlers[insn->sub][size_index(insn->op_size)];
    bool mem = insn->flags & INSN_MEM;

    if (dec->operands[1].type == ZYDIS_OPERAND_TYPE_IMMEDIATE) {
        /* The accumulator forms have no ModRM. */
        if (!mem && !(dec->insn->attributes & ZYDIS_ATTRIB_HAS_MODRM))
            insn->rm = GPR_RAX;
        return forms[mem ? FORM_MI : FORM_RI];
    }
    if (mem)
        return forms[dec->operands[0].type == ZYDIS_OPERAND_TYPE_MEMORY ? FORM_MR : FORM_RM];
    if (dec->operands[0].encoding == ZYDIS_OPERAND_ENCODING_MODRM_REG)
        insn_swap_registers(insn);
    if (insn->op_size >= 4 && insn->rm == insn->reg &&
        (insn->sub == ALU_XOR || insn->sub == ALU_SUB))
        return zero_r;
    return forms[FORM_RR];
}

static DbtHandler bind_unary(DbtVcpu *v, DbtInsn *insn, const DbtDecoded *dec)
{
    /* INC and DEC of the one-byte opcodes name their register there. */
    if (!(dec->insn->attributes & ZYDIS_ATTRIB_HAS_MODRM))
        insn->rm = insn->reg;
    return unary_handlers[insn->sub][size_index(insn->op_size)][(insn->flags & INSN_MEM) != 0];
}

const DbtOp dbt_ops_alu[] = {
    {ZYDIS_MNEMONIC_ADD, ALU_ADD, .bind = bind_binary},
    {ZYDIS_MNEMONIC_OR, ALU_OR, .bind = bind_binary},
    {ZYDIS_MNEMONIC_ADC, ALU_ADC, .bind = bind_binary},
    {ZYDIS_MNEMONIC_SBB, ALU_SBB, .bind = bind_binary},
    {ZYDIS_MNEMONIC_AND, ALU_AND, .bind = bind_binary},
    {ZYDIS_MNEMONIC_SUB, ALU_SUB, .bind = bind_binary},
    {ZYDIS_MNEMONIC_XOR, ALU_XOR, .bind = bind_binary},
    {ZYDIS_MNEMONIC_CMP, ALU_CMP, .bind = bind_binary},
    {ZYDIS_MNEMONIC_TEST, ALU_TEST, .bind = bind_binary},
    {ZYDIS_MNEMONIC_INC, ALU_INC, .bind = bind_unary},
    {ZYDIS_MNEMONIC_DEC, ALU_DEC, .bind = bind_unary},
    {ZYDIS_MNEMONIC_NEG, ALU_NEG, .bind = bind_unary},
    {ZYDIS_MNEMONIC_NOT, ALU_NOT, .bind = bind_unary},
    {ZYDIS_MNEMONIC_INVALID, .bind = NULL},
};
