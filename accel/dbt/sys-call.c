/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * SYSCALL, SYSRET, SYSENTER, SYSEXIT: transfers with fixed flat segments, no descriptor read.
 *
 * Intel SDM vol. 2, under each; AMD APM vol. 3, for SYSCALL outside 64-bit mode (decode.c lets it
 * through on AMD models only) and for SYSENTER, which AMD has in legacy mode only. Translated code has the usual
 * SYSCALL and SYSRET inline (jit-call.c).
 *
 * Locking: own vCPU thread.
 */
#include "accel/dbt/op-util.h"
#include "accel/dbt/seg.h"
#include "accel/dbt/sys.h"

#define CODE_ATTR (SEG_ATTR_P | SEG_ATTR_S | SEG_ATTR_CODE | SEG_ATTR_RW | SEG_ATTR_ACCESSED | SEG_ATTR_G)
#define DATA_ATTR (SEG_ATTR_P | SEG_ATTR_S | SEG_ATTR_RW | SEG_ATTR_ACCESSED | SEG_ATTR_G | SEG_ATTR_DB)

/* What SYSRET takes from R11: all but RF, VM and the reserved bits. */
#define SYSRET_FLAGS 0x3c7fd7u
#define DR6_BS (1u << 14)

static SegmentReg flat_code(uint16_t selector, unsigned cpl, bool long_code)
{
    uint32_t size = long_code ? SEG_ATTR_L : SEG_ATTR_DB;

    return (SegmentReg){ selector, CODE_ATTR | cpl << SEG_ATTR_DPL_SHIFT | size, 0xffffffff, 0 };
}

static SegmentReg flat_data(uint16_t selector, unsigned cpl)
{
    return (SegmentReg){ selector, DATA_ATTR | cpl << SEG_ATTR_DPL_SHIFT, 0xffffffff, 0 };
}

static uint16_t syscall_selector(const CpuState *s)
{
    return (uint16_t)(s->msr.star >> 32 & 0xfffc);
}

static uint16_t sysret_selector(const CpuState *s)
{
    return (uint16_t)(s->msr.star >> 48);
}

void dbt_syscall_segments(const CpuState *s, SegmentReg *cs, SegmentReg *ss)
{
    *cs = flat_code(syscall_selector(s), 0, true);
    *ss = flat_data(syscall_selector(s) + 8, 0);
}

void dbt_sysret_segments(const CpuState *s, SegmentReg *cs, SegmentReg *ss)
{
    *cs = flat_code((sysret_selector(s) + 16) | 3, 3, true);
    *ss = flat_data((sysret_selector(s) + 8) | 3, 3);
}

static DbtStep enter_flat(DbtVcpu *v, uint16_t cs, uint16_t ss, unsigned cpl, bool long_code, uint64_t rip)
{
    CpuState *s = v->state;

    s->seg[SEG_CS] = flat_code(cs, cpl, long_code);
    s->seg[SEG_SS] = flat_data(ss, cpl);
    s->rip = rip;
    /* TF counts as it is after the transfer: SYSCALL may mask the trap, SYSRET may bring it. */
    v->untraced = true;
    if (s->rflags & RFLAGS_TF) {
        v->debug_traps |= DR6_BS;
        dbt_attention(v);
    }
    dbt_mode_changed(v);
    return DBT_LEAVE;
}

DbtStep dbt_op_syscall(DbtVcpu *v, const DbtInsn *insn)
{
    CpuState *s = v->state;
    uint16_t cs = syscall_selector(s);
    uint64_t next = s->rip + insn->len;

    if (!(s->efer & EFER_SCE) || !(s->cr0 & CR0_PE))
        return dbt_fault(v, EXC_UD);
    if (!dbt_long_mode(v)) {
        s->gpr[GPR_RCX] = (uint32_t)next;
        s->rflags &= ~(uint64_t)(RFLAGS_IF | RFLAGS_VM | RFLAGS_RF);
        return enter_flat(v, cs, cs + 8, 0, false, (uint32_t)s->msr.star);
    }
    s->gpr[GPR_RCX] = v->code_bits == 64 ? next : (uint32_t)next;
    s->gpr[GPR_R11] = s->rflags & ~(uint64_t)RFLAGS_RF;
    s->rflags = (s->rflags & ~s->msr.sfmask & ~(uint64_t)RFLAGS_RF) | RFLAGS_1;
    return enter_flat(v, cs, cs + 8, 0, true, v->code_bits == 64 ? s->msr.lstar : s->msr.cstar);
}

DbtStep dbt_op_sysret(DbtVcpu *v, const DbtInsn *insn)
{
    CpuState *s = v->state;
    bool long_code = insn->op_size == 8;
    uint16_t base = sysret_selector(s);
    uint64_t rip = long_code ? s->gpr[GPR_RCX] : (uint32_t)s->gpr[GPR_RCX];

    if (!(s->efer & EFER_SCE) || !(s->cr0 & CR0_PE))
        return dbt_fault(v, EXC_UD);
    if (v->cpl != 0 || !is_canonical(rip))
        return dbt_fault_error(v, EXC_GP, 0);
    if (dbt_long_mode(v))
        s->rflags = (s->gpr[GPR_R11] & SYSRET_FLAGS) | RFLAGS_1;
    else
        s->rflags |= RFLAGS_IF;
    dbt_rflags_loaded(v);
    return enter_flat(v, (uint16_t)((base + (long_code ? 16 : 0)) | 3), (uint16_t)((base + 8) | 3), 3,
                      long_code, rip);
}

DbtStep dbt_op_sysenter(DbtVcpu *v, const DbtInsn *insn)
{
    CpuState *s = v->state;
    uint16_t cs = s->msr.sysenter_cs & 0xfffc;
    bool long_mode = dbt_long_mode(v);

    if (long_mode && v->sys->amd)
        return dbt_fault(v, EXC_UD);
    if (!(s->cr0 & CR0_PE) || !cs)
        return dbt_fault_error(v, EXC_GP, 0);
    s->rflags &= ~(uint64_t)(RFLAGS_IF | RFLAGS_VM | RFLAGS_RF);
    s->gpr[GPR_RSP] = long_mode ? s->msr.sysenter_esp : (uint32_t)s->msr.sysenter_esp;
    return enter_flat(v, cs, cs + 8, 0, long_mode,
                      long_mode ? s->msr.sysenter_eip : (uint32_t)s->msr.sysenter_eip);
}

DbtStep dbt_op_sysexit(DbtVcpu *v, const DbtInsn *insn)
{
    CpuState *s = v->state;
    uint16_t base = s->msr.sysenter_cs & 0xfffc;
    bool long_code = insn->op_size == 8;
    uint64_t rip = s->gpr[GPR_RDX], rsp = s->gpr[GPR_RCX];

    if (dbt_long_mode(v) && v->sys->amd)
        return dbt_fault(v, EXC_UD);
    if (!(s->cr0 & CR0_PE) || !base || v->cpl != 0 ||
        (long_code && (!is_canonical(rip) || !is_canonical(rsp))))
        return dbt_fault_error(v, EXC_GP, 0);
    s->gpr[GPR_RSP] = long_code ? rsp : (uint32_t)rsp;
    return enter_flat(v, (uint16_t)((base + (long_code ? 32 : 16)) | 3),
                      (uint16_t)((base + (long_code ? 40 : 24)) | 3), 3, long_code,
                      long_code ? rip : (uint32_t)rip);
}
