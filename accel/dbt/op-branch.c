/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Control flow within a segment and what waits: Jcc JMP LOOP JCXZ, HLT PAUSE MWAIT, CLI STI, and
 * the single flags (CLC STC CMC CLD STD LAHF SAHF).
 *
 * A branch that is not taken returns DBT_NEXT, so a block goes on behind a forward Jcc.
 */
#include "accel/dbt/op-util.h"

#include <sched.h>

#include "core/loop.h"

/* PAUSEs in a row after which the host may run someone else, probably the lock's holder. */
#define PAUSE_YIELD 256
/* MWAIT wakes early now and then, as it may (SDM vol. 2, MWAIT): stores are not monitored. */
#define MWAIT_NS (200 * NS_PER_US)

#define DEFINE_JCC(n)                                                                              \
    static DbtStep jcc64_##n(DbtVcpu *v, const DbtInsn *insn)                                      \
    {                                                                                              \
        CpuState *s = v->state;                                                                    \
        uint64_t target;                                                                           \
                                                                                                   \
        if (!condition(s->rflags, n))                                                              \
            return DBT_NEXT;                                                                       \
        target = s->rip + insn->len + insn->imm;                                                   \
        if (__builtin_expect(!is_canonical(target), 0))                                            \
            return dbt_fault_error(v, EXC_GP, 0);                                                  \
        s->rip = target;                                                                           \
        return DBT_LEAVE;                                                                          \
    }

DEFINE_JCC(0)
DEFINE_JCC(1)
DEFINE_JCC(2)
DEFINE_JCC(3)
DEFINE_JCC(4)
DEFINE_JCC(5)
DEFINE_JCC(6)
DEFINE_JCC(7)
DEFINE_JCC(8)
DEFINE_JCC(9)
DEFINE_JCC(10)
DEFINE_JCC(11)
DEFINE_JCC(12)
DEFINE_JCC(13)
DEFINE_JCC(14)
DEFINE_JCC(15)

static DbtStep op_jcc(DbtVcpu *v, const DbtInsn *insn)
{
    return condition(v->state->rflags, insn->sub) ? branch_relative(v, insn) : DBT_NEXT;
}

static DbtStep op_jmp(DbtVcpu *v, const DbtInsn *insn)
{
    return branch_relative(v, insn);
}

static DbtStep op_jmp_rm(DbtVcpu *v, const DbtInsn *insn)
{
    uint64_t target;

    if (!insn_load_rm(v, insn, insn->op_size, &target))
        return DBT_FAULT;
    return branch_to(v, target, insn->op_size);
}

/* LOOPcc: the count register has the address size. */
enum { LOOP_ALWAYS, LOOP_ZF, LOOP_NOT_ZF };

static DbtStep op_loop(DbtVcpu *v, const DbtInsn *insn)
{
    CpuState *s = v->state;
    uint64_t count = reg_get(s, GPR_RCX, insn->addr_size) - 1, rcx = s->gpr[GPR_RCX];
    bool zf = s->rflags & RFLAGS_ZF;
    bool taken = (count & size_mask(insn->addr_size)) != 0;
    DbtStep step;

    if (insn->sub != LOOP_ALWAYS)
        taken = taken && zf == (insn->sub == LOOP_ZF);
    reg_set(s, GPR_RCX, insn->addr_size, count);
    if (!taken)
        return DBT_NEXT;
    step = branch_relative(v, insn);
    if (step == DBT_FAULT)
        s->gpr[GPR_RCX] = rcx;
    return step;
}

static DbtStep op_jcxz(DbtVcpu *v, const DbtInsn *insn)
{
    return reg_get(v->state, GPR_RCX, insn->addr_size) ? DBT_NEXT : branch_relative(v, insn);
}

static DbtStep op_hlt(DbtVcpu *v, const DbtInsn *insn)
{
    if (v->cpl)
        return dbt_fault_error(v, EXC_GP, 0);
    v->state->mp_state = MP_HALTED;
    dbt_attention(v);
    return DBT_NEXT;
}

static DbtStep op_pause(DbtVcpu *v, const DbtInsn *insn)
{
    if (++v->pauses % PAUSE_YIELD == 0)
        sched_yield();
    dbt_end_block(v);
    return DBT_NEXT;
}

static DbtStep op_monitor(DbtVcpu *v, const DbtInsn *insn)
{
    uint64_t byte, ea = v->state->gpr[GPR_RAX];

    if (v->cpl)
        return dbt_fault(v, EXC_UD);
    if (v->state->gpr[GPR_RCX] & 0xffffffffu)
        return dbt_fault_error(v, EXC_GP, 0);
    if (insn->addr_size != 8)
        ea &= size_mask(insn->addr_size);
    return dbt_load(v, insn->seg, ea, 1, &byte) ? DBT_NEXT : DBT_FAULT;
}

static DbtStep op_mwait(DbtVcpu *v, const DbtInsn *insn)
{
    if (v->cpl)
        return dbt_fault(v, EXC_UD);
    if (v->state->gpr[GPR_RCX] & 0xfffffffeu)
        return dbt_fault_error(v, EXC_GP, 0);
    dbt_guest_leave(v);
    vcpu_wait(v->cpu, clock_get_ns(VMCLOCK_MONO) + MWAIT_NS);
    dbt_guest_enter(v);
    dbt_attention(v);
    return DBT_NEXT;
}

/* What CLI and STI act on (SDM vol. 2, tables of CLI and STI). 0: #GP. */
static uint64_t interrupt_flag(const DbtVcpu *v)
{
    const CpuState *s = v->state;
    unsigned iopl = s->rflags >> RFLAGS_IOPL_SHIFT & 3;

    if (v->cpl <= iopl)
        return RFLAGS_IF;
    if (s->rflags & RFLAGS_VM)
        return s->cr4 & CR4_VME ? RFLAGS_VIF : 0;
    return v->cpl == 3 && s->cr4 & CR4_PVI ? RFLAGS_VIF : 0;
}

static DbtStep op_cli(DbtVcpu *v, const DbtInsn *insn)
{
    uint64_t flag = interrupt_flag(v);

    if (!flag)
        return dbt_fault_error(v, EXC_GP, 0);
    v->state->rflags &= ~flag;
    return DBT_NEXT;
}

static DbtStep op_sti(DbtVcpu *v, const DbtInsn *insn)
{
    CpuState *s = v->state;
    uint64_t flag = interrupt_flag(v);

    if (!flag || (flag == RFLAGS_VIF && s->rflags & RFLAGS_VIP))
        return dbt_fault_error(v, EXC_GP, 0);
    if (flag == RFLAGS_IF && !(s->rflags & RFLAGS_IF)) {
        s->interrupt_shadow = true;
        dbt_attention(v);
    }
    s->rflags |= flag;
    return DBT_NEXT;
}

/* DF is part of translated code's mode word. */
static void set_direction(DbtVcpu *v, uint64_t df)
{
    uint64_t *rflags = &v->state->rflags;

    if ((*rflags & RFLAGS_DF) != df)
        dbt_end_block(v);
    *rflags = (*rflags & ~(uint64_t)RFLAGS_DF) | df;
}

/* CLC STC CMC CLD STD. sub: what becomes of which flag. */
enum { FLAG_CLC, FLAG_STC, FLAG_CMC, FLAG_CLD, FLAG_STD };

static DbtStep op_flag(DbtVcpu *v, const DbtInsn *insn)
{
    uint64_t *rflags = &v->state->rflags;

    switch (insn->sub) {
    case FLAG_CLC:
        *rflags &= ~(uint64_t)RFLAGS_CF;
        break;
    case FLAG_STC:
        *rflags |= RFLAGS_CF;
        break;
    case FLAG_CMC:
        *rflags ^= RFLAGS_CF;
        break;
    case FLAG_CLD:
        set_direction(v, 0);
        break;
    default:
        set_direction(v, RFLAGS_DF);
        break;
    }
    return DBT_NEXT;
}

static DbtStep op_lahf(DbtVcpu *v, const DbtInsn *insn)
{
    reg_set8(v->state, GPR_RAX, true, (uint8_t)v->state->rflags);
    return DBT_NEXT;
}

static DbtStep op_sahf(DbtVcpu *v, const DbtInsn *insn)
{
    CpuState *s = v->state;
    uint64_t mask = RFLAGS_CF | RFLAGS_PF | RFLAGS_AF | RFLAGS_ZF | RFLAGS_SF;

    s->rflags = (s->rflags & ~mask) | (reg_get8(s, GPR_RAX, true) & mask);
    return DBT_NEXT;
}

static const DbtHandler jcc64_handlers[16] = {
    jcc64_0, jcc64_1, jcc64_2,  jcc64_3,  jcc64_4,  jcc64_5,  jcc64_6,  jcc64_7,
    jcc64_8, jcc64_9, jcc64_10, jcc64_11, jcc64_12, jcc64_13, jcc64_14, jcc64_15,
};

static DbtHandler bind_jcc(DbtVcpu *v, DbtInsn *insn, const DbtDecoded *dec)
{
    return dec->code_bits == 64 ? jcc64_handlers[insn->sub] : op_jcc;
}

static DbtHandler bind_jmp(DbtVcpu *v, DbtInsn *insn, const DbtDecoded *dec)
{
    if (dec->insn->meta.branch_type == ZYDIS_BRANCH_TYPE_FAR)
        return dbt_op_jmp_far;
    return dec->operands[0].type == ZYDIS_OPERAND_TYPE_IMMEDIATE ? op_jmp : op_jmp_rm;
}

/* MONITOR names its address in rAX; an override is a prefix of no operand. */
static DbtHandler bind_monitor(DbtVcpu *v, DbtInsn *insn, const DbtDecoded *dec)
{
    for (unsigned i = 0; i < dec->insn->raw.prefix_count; i++) {
        if (dec->insn->raw.prefixes[i].value == 0x64)
            insn->seg = SEG_FS;
        else if (dec->insn->raw.prefixes[i].value == 0x65)
            insn->seg = SEG_GS;
    }
    return op_monitor;
}

#define JCC(cc, n) {ZYDIS_MNEMONIC_J##cc, .sub = (n), .bind = bind_jcc}

const DbtOp dbt_ops_branch[] = {
    JCC(O, 0x0), JCC(NO, 0x1), JCC(B, 0x2), JCC(NB, 0x3), JCC(Z, 0x4), JCC(NZ, 0x5), JCC(BE, 0x6),
    JCC(NBE, 0x7), JCC(S, 0x8), JCC(NS, 0x9), JCC(P, 0xa), JCC(NP, 0xb), JCC(L, 0xc), JCC(NL, 0xd),
    JCC(LE, 0xe), JCC(NLE, 0xf),
    {ZYDIS_MNEMONIC_JMP, .bind = bind_jmp},
    {ZYDIS_MNEMONIC_LOOP, .sub = LOOP_ALWAYS, .handler = op_loop},
    {ZYDIS_MNEMONIC_LOOPE, .sub = LOOP_ZF, .handler = op_loop},
    {ZYDIS_MNEMONIC_LOOPNE, .sub = LOOP_NOT_ZF, .handler = op_loop},
    {ZYDIS_MNEMONIC_JCXZ, .handler = op_jcxz},
    {ZYDIS_MNEMONIC_JECXZ, .handler = op_jcxz},
    {ZYDIS_MNEMONIC_JRCXZ, .handler = op_jcxz},
    {ZYDIS_MNEMONIC_HLT, .flags = OP_END_BLOCK, .handler = op_hlt},
    {ZYDIS_MNEMONIC_PAUSE, .flags = OP_END_BLOCK, .handler = op_pause},
    {ZYDIS_MNEMONIC_MONITOR, .bind = bind_monitor},
    {ZYDIS_MNEMONIC_MWAIT, .flags = OP_END_BLOCK, .handler = op_mwait},
    {ZYDIS_MNEMONIC_CLI, .handler = op_cli},
    {ZYDIS_MNEMONIC_STI, .handler = op_sti},
    {ZYDIS_MNEMONIC_CLC, .sub = FLAG_CLC, .handler = op_flag},
    {ZYDIS_MNEMONIC_STC, .sub = FLAG_STC, .handler = op_flag},
    {ZYDIS_MNEMONIC_CMC, .sub = FLAG_CMC, .handler = op_flag},
    {ZYDIS_MNEMONIC_CLD, .sub = FLAG_CLD, .handler = op_flag},
    {ZYDIS_MNEMONIC_STD, .sub = FLAG_STD, .handler = op_flag},
    {ZYDIS_MNEMONIC_LAHF, .handler = op_lahf},
    {ZYDIS_MNEMONIC_SAHF, .handler = op_sahf},
    {ZYDIS_MNEMONIC_UD0, .flags = OP_END_BLOCK, .handler = dbt_op_undefined},
    {ZYDIS_MNEMONIC_UD1, .flags = OP_END_BLOCK, .handler = dbt_op_undefined},
    {ZYDIS_MNEMONIC_UD2, .flags = OP_END_BLOCK, .handler = dbt_op_undefined},
    {ZYDIS_MNEMONIC_INVALID, .bind = NULL},
};
