/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * SYSCALL, SYSRET, SYSENTER, SYSEXIT: transfers with fixed flat segments, no descriptor read.
 *
 * Intel SDM vol. 2, under each; AMD APM vol. 3, for SYSCALL outside 64-bit mode (decode.c lets it
 * through on AMD models only) and for SYSENTER, which AMD has in legacy mode only.
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

static DbtStep enter_flat(DbtVcpu *v, uint16_t cs, uint16_t ss, unsigned cpl, bool long_code, uint64_t rip)
{
    CpuState *s = v->state;
    uint32_t dpl = cpl << SEG_ATTR_DPL_SHIFT, size = long_code ? SEG_ATTR_L : SEG_ATTR_DB;

    s->seg[SEG_CS] = (SegmentReg){ cs, CODE_ATTR | dpl | size, 0xffffffff, 0 };
    s->seg[SEG_SS] = (SegmentReg){ ss, DATA_ATTR | dpl, 0xffffffff, 0 };
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
    uint16_t cs = (uint16_t)(s->msr.star >> 32 & 0xfffc);
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
    uint16_t base = (uint16_t)(s->msr.star >> 48);
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
