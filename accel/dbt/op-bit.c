/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Bits and compare-and-exchange: BT BTS BTR BTC, BSF BSR, XADD, CMPXCHG, CMPXCHG8B, CMPXCHG16B.
 *
 * With a LOCK prefix each is one locked host instruction on guest RAM, atomic against other vCPUs
 * and devices.
 */
#include "accel/dbt/op-util.h"

typedef uint16_t u16;
typedef uint32_t u32;
typedef uint64_t u64;

/* src: the bit number within the operand. */
#define DEFINE_BIT(type, suffix, op, mem_type)                                                     \
    static void op##_##type(DbtVcpu *v, const DbtInsn *insn, void *host, uint64_t src, bool lock)  \
    {                                                                                              \
        uint64_t ax = flags_to_ax(v->state);                                                       \
        mem_type *p = host;                                                                        \
        type d = 0;                                                                                \
                                                                                                   \
        src &= 8 * sizeof(type) - 1;                                                               \
        if (lock) {                                                                                \
            __asm__ volatile(FLAGS_IN "lock; " #op suffix " %[src], %[d]" FLAGS_OUT                \
                             : [d] "+m"(*p), "+&a"(ax)                                             \
                             : [src] "r"((type)src)                                                \
                             : "cc", "memory");                                                    \
        } else {                                                                                   \
            d = *p;                                                                                \
            __asm__(FLAGS_IN #op suffix " %[src], %[d]" FLAGS_OUT                                  \
                    : [d] "+r"(d), "+&a"(ax)                                                       \
                    : [src] "r"((type)src)                                                         \
                    : "cc");                                                                       \
            *p = d;                                                                                \
        }                                                                                          \
        flags_from_ax(v->state, ax);                                                               \
    }
#define DEFINE_BITS(op)                                                                            \
    DEFINE_BIT(u16, "w", op, MmuU16)                                                               \
    DEFINE_BIT(u32, "l", op, MmuU32)                                                               \
    DEFINE_BIT(u64, "q", op, MmuU64)

DEFINE_BITS(bts)
DEFINE_BITS(btr)
DEFINE_BITS(btc)

/* BT writes nothing, and has no locked form. */
#define DEFINE_BT(type, suffix)                                                                    \
    static void bt_##type(DbtVcpu *v, const DbtInsn *insn, void *host, uint64_t src, bool lock)    \
    {                                                                                              \
        uint64_t ax = flags_to_ax(v->state);                                                       \
        type d = (type) * (const uint64_t *)host;                                                  \
                                                                                                   \
        __asm__(FLAGS_IN "bt" suffix " %[src], %[d]" FLAGS_OUT                                     \
                : "+&a"(ax)                                                                        \
                : [d] "r"(d), [src] "r"((type)src)                                                 \
                : "cc");                                                                           \
        flags_from_ax(v->state, ax);                                                               \
    }

DEFINE_BT(u16, "w")
DEFINE_BT(u32, "l")
DEFINE_BT(u64, "q")

enum { BIT_BT, BIT_BTS, BIT_BTR, BIT_BTC };

static const RmwFn bit_fns[][3] = {
    [BIT_BT] = {bt_u16, bt_u32, bt_u64},
    [BIT_BTS] = {bts_u16, bts_u32, bts_u64},
    [BIT_BTR] = {btr_u16, btr_u32, btr_u64},
    [BIT_BTC] = {btc_u16, btc_u32, btc_u64},
};

static inline RmwFn bit_fn(const DbtInsn *insn)
{
    return *(const RmwFn *)insn->aux;
}

static DbtStep bit_rm(DbtVcpu *v, const DbtInsn *insn, uint64_t bit)
{
    uint64_t d = insn_rm(v, insn, insn->op_size);

    bit_fn(insn)(v, insn, &d, bit, false);
    if (insn->sub != BIT_BT)
        insn_set_rm(v, insn, insn->op_size, d);
    return DBT_NEXT;
}

static DbtStep bit_mem(DbtVcpu *v, const DbtInsn *insn, uint64_t ea, uint64_t bit)
{
    uint64_t d;
    void *host;

    if (insn->sub == BIT_BT) {
        if (!dbt_load(v, insn->seg, ea, insn->op_size, &d))
            return DBT_FAULT;
        bit_fn(insn)(v, insn, &d, bit, false);
        return DBT_NEXT;
    }
    host = mmu_rmw_host(v, insn->seg, ea, insn->op_size);
    if (!host)
        return dbt_rmw_slow(v, insn, ea, insn->op_size, bit_fn(insn), bit);
    bit_fn(insn)(v, insn, host, bit, insn->flags & INSN_LOCK);
    return DBT_NEXT;
}

static DbtStep op_bit_i(DbtVcpu *v, const DbtInsn *insn)
{
    if (insn->flags & INSN_MEM)
        return bit_mem(v, insn, dbt_ea(v, insn), insn->imm);
    return bit_rm(v, insn, insn->imm);
}

/* With a register, the memory operand is a bit string: the signed bit number moves the address by
 * whole operands (SDM vol. 2, BT, and vol. 1 figure 3-2). */
static DbtStep op_bit_r(DbtVcpu *v, const DbtInsn *insn)
{
    unsigned shift = 64 - 8 * insn->op_size, log2_bits = 3 + (unsigned)__builtin_ctz(insn->op_size);
    uint64_t src = insn_reg(v, insn, insn->op_size), ea;
    int64_t bit = (int64_t)(src << shift) >> shift;

    if (!(insn->flags & INSN_MEM))
        return bit_rm(v, insn, src);
    ea = dbt_ea(v, insn) + (uint64_t)((bit >> log2_bits) * insn->op_size);
    if (insn->addr_size != 8)
        ea &= size_mask(insn->addr_size);
    return bit_mem(v, insn, ea, src);
}

/* A source of zero leaves the destination and the undefined flags as the host has them. */
#define SCAN_ASM(op)                                                                               \
    switch (insn->op_size) {                                                                       \
    case 2:                                                                                        \
        __asm__(FLAGS_IN op "w %w[src], %w[d]" FLAGS_OUT                                           \
                : [d] "+r"(d), "+&a"(ax) : [src] "r"(src) : "cc");                                 \
        break;                                                                                     \
    case 4:                                                                                        \
        __asm__(FLAGS_IN op "l %k[src], %k[d]" FLAGS_OUT                                           \
                : [d] "+r"(d), "+&a"(ax) : [src] "r"(src) : "cc");                                 \
        break;                                                                                     \
    default:                                                                                       \
        __asm__(FLAGS_IN op "q %[src], %[d]" FLAGS_OUT                                             \
                : [d] "+r"(d), "+&a"(ax) : [src] "r"(src) : "cc");                                 \
        break;                                                                                     \
    }

enum { SCAN_FORWARD, SCAN_REVERSE };

static DbtStep op_scan(DbtVcpu *v, const DbtInsn *insn)
{
    CpuState *s = v->state;
    uint64_t src, d = s->gpr[insn->reg], ax = flags_to_ax(s);

    if (!insn_load_rm(v, insn, insn->op_size, &src))
        return DBT_FAULT;
    if (insn->sub == SCAN_FORWARD) {
        SCAN_ASM("bsf")
    } else {
        SCAN_ASM("bsr")
    }
    flags_from_ax(s, ax);
    s->gpr[insn->reg] = d;
    return DBT_NEXT;
}

#define DEFINE_XADD(size, suffix, mod, mem_type)                                                   \
    static void xadd_##size(DbtVcpu *v, const DbtInsn *insn, void *host, uint64_t src, bool lock)  \
    {                                                                                              \
        uint64_t ax = 0;                                                                           \
                                                                                                   \
        if (lock)                                                                                  \
            __asm__ volatile("lock; xadd" suffix " %" mod "[src], %[d]" FLAGS_OUT                  \
                             : [src] "+q"(src), [d] "+m"(*(mem_type *)host), "+&a"(ax)             \
                             :                                                                     \
                             : "cc", "memory");                                                    \
        else                                                                                       \
            __asm__ volatile("xadd" suffix " %" mod "[src], %[d]" FLAGS_OUT                        \
                             : [src] "+q"(src), [d] "+m"(*(mem_type *)host), "+&a"(ax)             \
                             :                                                                     \
                             : "cc", "memory");                                                    \
        flags_from_ax(v->state, ax);                                                               \
        insn_set_reg(v, insn, size, src);                                                          \
    }

DEFINE_XADD(1, "b", "b", uint8_t)
DEFINE_XADD(2, "w", "w", MmuU16)
DEFINE_XADD(4, "l", "k", MmuU32)
DEFINE_XADD(8, "q", "q", MmuU64)

static const RmwFn xadd_fns[] = {xadd_1, xadd_2, xadd_4, xadd_8};

/* The accumulator is loaded from the destination only if they differ; flags are those of CMP. */
#define DEFINE_CMPXCHG(size, suffix, mod, mem_type)                                                \
    static void cmpxchg_##size(DbtVcpu *v, const DbtInsn *insn, void *host, uint64_t src,          \
                               bool lock)                                                          \
    {                                                                                              \
        CpuState *s = v->state;                                                                    \
        uint64_t acc = reg_get(s, GPR_RAX, size), old = acc, ax = acc;                             \
                                                                                                   \
        if (lock)                                                                                  \
            __asm__ volatile("lock; cmpxchg" suffix " %" mod "[src], %[d]\n\tmov %%rax, %[old]"    \
                             FLAGS_OUT                                                             \
                             : "+&a"(ax), [old] "=&r"(old), [d] "+m"(*(mem_type *)host)            \
                             : [src] "q"(src)                                                      \
                             : "cc", "memory");                                                    \
        else                                                                                       \
            __asm__ volatile("cmpxchg" suffix " %" mod "[src], %[d]\n\tmov %%rax, %[old]"          \
                             FLAGS_OUT                                                             \
                             : "+&a"(ax), [old] "=&r"(old), [d] "+m"(*(mem_type *)host)            \
                             : [src] "q"(src)                                                      \
                             : "cc", "memory");                                                    \
        flags_from_ax(s, ax);                                                                      \
        if (!(s->rflags & RFLAGS_ZF))                                                              \
            reg_set(s, GPR_RAX, size, old);                                                        \
    }

DEFINE_CMPXCHG(1, "b", "b", uint8_t)
DEFINE_CMPXCHG(2, "w", "w", MmuU16)
DEFINE_CMPXCHG(4, "l", "k", MmuU32)
DEFINE_CMPXCHG(8, "q", "q", MmuU64)

static const RmwFn cmpxchg_fns[] = {cmpxchg_1, cmpxchg_2, cmpxchg_4, cmpxchg_8};

/* Memory, or the register rm. fn writes its other operand itself; rm is written behind it, by CMPXCHG only
 * if the two were equal. */
static inline DbtStep exchange(DbtVcpu *v, const DbtInsn *insn, RmwFn fn, bool if_equal)
{
    uint64_t src = insn_reg(v, insn, insn->op_size), d, ea;
    void *host;

    if (!(insn->flags & INSN_MEM)) {
        d = insn_rm(v, insn, insn->op_size);
        fn(v, insn, &d, src, false);
        if (!if_equal || v->state->rflags & RFLAGS_ZF)
            insn_set_rm(v, insn, insn->op_size, d);
        return DBT_NEXT;
    }
    ea = dbt_ea(v, insn);
    host = mmu_rmw_host(v, insn->seg, ea, insn->op_size);
    if (!host)
        return dbt_rmw_slow(v, insn, ea, insn->op_size, fn, src);
    fn(v, insn, host, src, insn->flags & INSN_LOCK);
    return DBT_NEXT;
}

static DbtStep op_xadd(DbtVcpu *v, const DbtInsn *insn)
{
    return exchange(v, insn, xadd_fns[__builtin_ctz(insn->op_size)], false);
}

static DbtStep op_cmpxchg(DbtVcpu *v, const DbtInsn *insn)
{
    return exchange(v, insn, cmpxchg_fns[__builtin_ctz(insn->op_size)], true);
}

static void set_zf(CpuState *s, bool zf)
{
    s->rflags = zf ? s->rflags | RFLAGS_ZF : s->rflags & ~(uint64_t)RFLAGS_ZF;
}

static void cmpxchg8b(DbtVcpu *v, const DbtInsn *insn, void *host, uint64_t src, bool lock)
{
    CpuState *s = v->state;
    uint64_t old = (uint32_t)s->gpr[GPR_RAX] | s->gpr[GPR_RDX] << 32;
    uint64_t new = (uint32_t)s->gpr[GPR_RBX] | s->gpr[GPR_RCX] << 32;
    bool same;

    /* Locked or not, the host's locked form does no harm. */
    __asm__ volatile("lock; cmpxchgq %[new], %[d]"
                     : "+a"(old), [d] "+m"(*(MmuU64 *)host), "=@ccz"(same)
                     : [new] "r"(new)
                     : "memory");
    set_zf(s, same);
    if (!same) {
        s->gpr[GPR_RAX] = (uint32_t)old;
        s->gpr[GPR_RDX] = old >> 32;
    }
}

static void cmpxchg16b(DbtVcpu *v, const DbtInsn *insn, void *host, uint64_t src, bool lock)
{
    CpuState *s = v->state;
    uint64_t lo = s->gpr[GPR_RAX], hi = s->gpr[GPR_RDX];
    bool same;

    __asm__ volatile("lock; cmpxchg16b %[d]"
                     : "+a"(lo), "+d"(hi), [d] "+m"(*(uint8_t(*)[16])host), "=@ccz"(same)
                     : "b"(s->gpr[GPR_RBX]), "c"(s->gpr[GPR_RCX])
                     : "memory");
    set_zf(s, same);
    if (!same) {
        s->gpr[GPR_RAX] = lo;
        s->gpr[GPR_RDX] = hi;
    }
}

static DbtStep op_cmpxchg8b(DbtVcpu *v, const DbtInsn *insn)
{
    uint64_t ea = dbt_ea(v, insn);
    void *host = mmu_rmw_host(v, insn->seg, ea, 8);

    if (!host)
        return dbt_rmw_slow(v, insn, ea, 8, cmpxchg8b, 0);
    cmpxchg8b(v, insn, host, 0, true);
    return DBT_NEXT;
}

static DbtStep op_cmpxchg16b(DbtVcpu *v, const DbtInsn *insn)
{
    uint64_t ea = dbt_ea(v, insn);
    void *host;

    /* Guest pages are host pages, so the low bits of both addresses are the same. */
    if ((v->seg_base[insn->seg] + ea) & 15)
        return dbt_fault_error(v, EXC_GP, 0);
    host = mmu_rmw_host(v, insn->seg, ea, 16);
    if (!host)
        return dbt_rmw_slow(v, insn, ea, 16, cmpxchg16b, 0);
    cmpxchg16b(v, insn, host, 0, true);
    return DBT_NEXT;
}

static DbtHandler bind_bit(DbtVcpu *v, DbtInsn *insn, const DbtDecoded *dec)
{
    insn->aux = &bit_fns[insn->sub][__builtin_ctz(insn->op_size) - 1];
    return dec->operands[1].type == ZYDIS_OPERAND_TYPE_IMMEDIATE ? op_bit_i : op_bit_r;
}

const DbtOp dbt_ops_bit[] = {
    {ZYDIS_MNEMONIC_BT, .sub = BIT_BT, .bind = bind_bit},
    {ZYDIS_MNEMONIC_BTS, .sub = BIT_BTS, .bind = bind_bit},
    {ZYDIS_MNEMONIC_BTR, .sub = BIT_BTR, .bind = bind_bit},
    {ZYDIS_MNEMONIC_BTC, .sub = BIT_BTC, .bind = bind_bit},
    {ZYDIS_MNEMONIC_BSF, .sub = SCAN_FORWARD, .handler = op_scan},
    {ZYDIS_MNEMONIC_BSR, .sub = SCAN_REVERSE, .handler = op_scan},
    {ZYDIS_MNEMONIC_XADD, .handler = op_xadd},
    {ZYDIS_MNEMONIC_CMPXCHG, .handler = op_cmpxchg},
    {ZYDIS_MNEMONIC_CMPXCHG8B, .handler = op_cmpxchg8b},
    {ZYDIS_MNEMONIC_CMPXCHG16B, .handler = op_cmpxchg16b},
    {ZYDIS_MNEMONIC_INVALID, .bind = NULL},
};
