/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the op-*.c files share: registers by size, flags from the host, memory operands in place,
 * branches and the stack.
 *
 * Flags. The guest's arithmetic flags are what the host's unit computes. Around each operation
 * they travel in AX as LAHF and SETO leave them: AH = SF ZF AF PF CF, AL = OF. FLAGS_IN puts them
 * into the host's EFLAGS (ADD $0x7f sets OF from AL, SAHF the rest), so that flags an instruction
 * leaves alone, or leaves undefined, come out as they do on the host. PUSHF and POPF cost ten times
 * as much.
 */
#ifndef DBT_OP_UTIL_H
#define DBT_OP_UTIL_H

#include "accel/dbt/dbt.h"
#include "accel/dbt/mmu.h"
#include "accel/dbt/ops.h"

#define FLAGS_IN  "addb $0x7f, %%al\n\tsahf\n\t"
#define FLAGS_OUT "\n\tlahf\n\tseto %%al"

static inline uint64_t flags_to_ax(const CpuState *s)
{
    return (s->rflags & 0xff) << 8 | (s->rflags >> 11 & 1);
}

static inline void flags_from_ax(CpuState *s, uint64_t ax)
{
    s->rflags = (s->rflags & ~(uint64_t)RFLAGS_ARITH) | (ax >> 8 & 0xff) | (ax & 1) << 11;
}

/* --- Registers. Byte registers with high set are AH, CH, DH, BH. --- */

static inline uint64_t reg_get8(const CpuState *s, unsigned reg, bool high)
{
    return high ? (uint8_t)(s->gpr[reg & 3] >> 8) : (uint8_t)s->gpr[reg];
}

static inline void reg_set8(CpuState *s, unsigned reg, bool high, uint64_t value)
{
    if (high)
        s->gpr[reg & 3] = (s->gpr[reg & 3] & ~0xff00ull) | (uint64_t)(uint8_t)value << 8;
    else
        s->gpr[reg] = (s->gpr[reg] & ~0xffull) | (uint8_t)value;
}

/* A 32-bit result clears the upper half; 8- and 16-bit results keep the rest. */
static inline void reg_set(CpuState *s, unsigned reg, unsigned size, uint64_t value)
{
    switch (size) {
    case 1:
        s->gpr[reg] = (s->gpr[reg] & ~0xffull) | (uint8_t)value;
        break;
    case 2:
        s->gpr[reg] = (s->gpr[reg] & ~0xffffull) | (uint16_t)value;
        break;
    case 4:
        s->gpr[reg] = (uint32_t)value;
        break;
    default:
        s->gpr[reg] = value;
        break;
    }
}

static inline uint64_t reg_get(const CpuState *s, unsigned reg, unsigned size)
{
    return s->gpr[reg] & size_mask(size);
}

/* The operand ModRM.reg or ModRM.rm (register form) at size, high bytes included. */
static inline uint64_t insn_reg(const DbtVcpu *v, const DbtInsn *insn, unsigned size)
{
    if (size == 1)
        return reg_get8(v->state, insn->reg, insn->flags & INSN_REG_HIGH);
    return reg_get(v->state, insn->reg, size);
}

static inline void insn_set_reg(DbtVcpu *v, const DbtInsn *insn, unsigned size, uint64_t value)
{
    if (size == 1)
        reg_set8(v->state, insn->reg, insn->flags & INSN_REG_HIGH, value);
    else
        reg_set(v->state, insn->reg, size, value);
}

static inline uint64_t insn_rm(const DbtVcpu *v, const DbtInsn *insn, unsigned size)
{
    if (size == 1)
        return reg_get8(v->state, insn->rm, insn->flags & INSN_RM_HIGH);
    return reg_get(v->state, insn->rm, size);
}

static inline void insn_set_rm(DbtVcpu *v, const DbtInsn *insn, unsigned size, uint64_t value)
{
    if (size == 1)
        reg_set8(v->state, insn->rm, insn->flags & INSN_RM_HIGH, value);
    else
        reg_set(v->state, insn->rm, size, value);
}

/* For bind functions: ModRM.reg and ModRM.rm (register form) change places. */
static inline void insn_swap_registers(DbtInsn *insn)
{
    uint16_t high = insn->flags & (INSN_REG_HIGH | INSN_RM_HIGH);
    uint8_t reg = insn->reg;

    insn->reg = insn->rm;
    insn->rm = reg;
    if (high == INSN_REG_HIGH || high == INSN_RM_HIGH)
        insn->flags ^= INSN_REG_HIGH | INSN_RM_HIGH;
}

/* --- Memory operands. --- */

static inline bool insn_load(DbtVcpu *v, const DbtInsn *insn, unsigned size, uint64_t *value)
{
    return dbt_load(v, insn->seg, dbt_ea(v, insn), size, value);
}

static inline bool insn_store(DbtVcpu *v, const DbtInsn *insn, unsigned size, uint64_t value)
{
    return dbt_store(v, insn->seg, dbt_ea(v, insn), size, value);
}

/* r/m as a source; false: v->fault is set. */
static inline bool insn_load_rm(DbtVcpu *v, const DbtInsn *insn, unsigned size, uint64_t *value)
{
    if (insn->flags & INSN_MEM)
        return insn_load(v, insn, size, value);
    *value = insn_rm(v, insn, size);
    return true;
}

static inline bool insn_store_rm(DbtVcpu *v, const DbtInsn *insn, unsigned size, uint64_t value)
{
    if (insn->flags & INSN_MEM)
        return insn_store(v, insn, size, value);
    insn_set_rm(v, insn, size, value);
    return true;
}

/* Host address of an operand to read and write in place, or NULL: take dbt_mem_begin. */
static inline void *mmu_rmw_host(DbtVcpu *v, SegIndex seg, uint64_t ea, unsigned size)
{
    if (__builtin_expect(v->flat_write >> seg & 1, 1))
        return mmu_entry_host(v->tlb->write, v->seg_base[seg] + ea, size);
    return NULL;
}

/*
 * An operation on a memory operand in place: host is guest RAM or a bounce buffer of the operand's
 * size. With lock it is one indivisible host instruction.
 */
typedef void (*RmwFn)(DbtVcpu *v, const DbtInsn *insn, void *host, uint64_t src, bool lock);

/* The same through dbt_mem_begin: page crossings, MMIO, watched code, segment limits (op-alu.c). */
DbtStep dbt_rmw_slow(DbtVcpu *v, const DbtInsn *insn, uint64_t ea, unsigned size, RmwFn fn, uint64_t src);

/* --- Branches. --- */

static inline bool is_canonical(uint64_t addr)
{
    return (uint64_t)((int64_t)(addr << 16) >> 16) == addr;
}

/* Goes to target, cut to the operand size; #GP(0) outside CS or not canonical. */
static inline DbtStep branch_to(DbtVcpu *v, uint64_t target, unsigned size)
{
    CpuState *s = v->state;

    if (v->code_bits == 64) {
        if (__builtin_expect(!is_canonical(target), 0))
            return dbt_fault_error(v, EXC_GP, 0);
    } else {
        target = size == 2 ? (uint16_t)target : (uint32_t)target;
        if (__builtin_expect(target > s->seg[SEG_CS].limit, 0))
            return dbt_fault_error(v, EXC_GP, 0);
    }
    s->rip = target;
    return DBT_LEAVE;
}

static inline DbtStep branch_relative(DbtVcpu *v, const DbtInsn *insn)
{
    return branch_to(v, v->state->rip + insn->len + insn->imm, insn->op_size);
}

/* --- The stack. --- */

static inline uint64_t stack_mask(const DbtVcpu *v)
{
    return v->code_bits == 64 ? ~0ull : v->stack32 ? 0xffffffffull : 0xffffull;
}

/* Pushes one value; rSP changes only if that worked. */
static inline bool stack_push(DbtVcpu *v, unsigned size, uint64_t value)
{
    CpuState *s = v->state;
    uint64_t mask = stack_mask(v), sp = (s->gpr[GPR_RSP] - size) & mask;

    if (!dbt_store(v, SEG_SS, sp, size, value))
        return false;
    s->gpr[GPR_RSP] = (s->gpr[GPR_RSP] & ~mask) | sp;
    return true;
}

/* Reads the top without popping. */
static inline bool stack_peek(DbtVcpu *v, unsigned size, uint64_t *value)
{
    return dbt_load(v, SEG_SS, v->state->gpr[GPR_RSP] & stack_mask(v), size, value);
}

static inline void stack_drop(DbtVcpu *v, uint64_t bytes)
{
    CpuState *s = v->state;
    uint64_t mask = stack_mask(v);

    s->gpr[GPR_RSP] = (s->gpr[GPR_RSP] & ~mask) | ((s->gpr[GPR_RSP] + bytes) & mask);
}

/* --- Conditions, in the order of the opcodes' low four bits (SDM vol. 2, table B-10). --- */

static inline bool condition(uint64_t rflags, unsigned cc)
{
    bool cf = rflags & RFLAGS_CF, zf = rflags & RFLAGS_ZF, result;
    bool lt = (rflags >> 7 ^ rflags >> 11) & 1;

    switch (cc >> 1) {
    case 0:
        result = rflags & RFLAGS_OF;
        break;
    case 1:
        result = cf;
        break;
    case 2:
        result = zf;
        break;
    case 3:
        result = cf || zf;
        break;
    case 4:
        result = rflags & RFLAGS_SF;
        break;
    case 5:
        result = rflags & RFLAGS_PF;
        break;
    case 6:
        result = lt;
        break;
    default:
        result = lt || zf;
        break;
    }
    return result != (cc & 1);
}

#endif
