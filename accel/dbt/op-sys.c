/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * System instructions. Intel SDM vol. 2, under each mnemonic; privilege: vol. 3, 5.9.
 *
 * What changes how later instructions run (modes, paging, MSRs) ends the block: the setters in
 * sys-*.c see to that.
 *
 * Locking: own vCPU thread.
 */
#include "accel/dbt/mmu-priv.h"
#include "accel/dbt/op-util.h"
#include "accel/dbt/seg.h"
#include "accel/dbt/sys.h"

#define DR6_FIXED 0xffff0ff0u
#define DR6_WRITABLE 0xe00fu
#define DR6_BD (1u << 13)
#define DR7_FIXED 0x400u
#define DR7_WRITABLE 0xffff23ffu
#define DR7_GD (1u << 13)

/* Linux Documentation/virt/kvm/x86/hypercalls.rst */
#define KVM_ENOSYS 1000
#define KVM_EPERM 1

static DbtStep done(bool ok)
{
    return ok ? DBT_NEXT : DBT_FAULT;
}

static bool privileged(DbtVcpu *v)
{
    if (v->cpl == 0)
        return true;
    dbt_fault_error(v, EXC_GP, 0);
    return false;
}

/* SGDT, SIDT, SMSW: privileged only with UMIP. */
static bool may_store(DbtVcpu *v)
{
    return !(v->state->cr4 & CR4_UMIP) || privileged(v);
}

/* MOV CR and MOV DR have the size of the mode, whatever the prefixes say. */
static uint64_t control_source(const DbtVcpu *v, const DbtInsn *insn)
{
    return reg_get(v->state, insn->rm, v->code_bits == 64 ? 8 : 4);
}

static void control_result(DbtVcpu *v, const DbtInsn *insn, uint64_t value)
{
    reg_set(v->state, insn->rm, v->code_bits == 64 ? 8 : 4, value);
}

static bool cr8_write(DbtVcpu *v, uint64_t value)
{
    const Vcpu *cpu = v->cpu;

    if (value > 15) {
        dbt_fault_error(v, EXC_GP, 0);
        return false;
    }
    v->state->cr8 = value;
    if (cpu->intr)
        cpu->intr->set_tpr(cpu->intr_opaque, value);
    dbt_attention(v);
    return true;
}

DbtStep dbt_op_mov_to_cr(DbtVcpu *v, const DbtInsn *insn)
{
    uint64_t value = control_source(v, insn);

    if (!privileged(v))
        return DBT_FAULT;
    switch (insn->reg) {
    case 0:
        return done(dbt_cr0_write(v, value));
    case 2:
        v->state->cr2 = value;
        return DBT_NEXT;
    case 3:
        return done(dbt_cr3_write(v, value));
    case 4:
        return done(dbt_cr4_write(v, value));
    case 8:
        return v->code_bits == 64 ? done(cr8_write(v, value)) : dbt_fault(v, EXC_UD);
    default:
        return dbt_fault(v, EXC_UD);
    }
}

DbtStep dbt_op_mov_from_cr(DbtVcpu *v, const DbtInsn *insn)
{
    const CpuState *s = v->state;
    const Vcpu *cpu = v->cpu;

    if (!privileged(v))
        return DBT_FAULT;
    switch (insn->reg) {
    case 0:
        control_result(v, insn, s->cr0);
        return DBT_NEXT;
    case 2:
        control_result(v, insn, s->cr2);
        return DBT_NEXT;
    case 3:
        control_result(v, insn, s->cr3);
        return DBT_NEXT;
    case 4:
        control_result(v, insn, s->cr4);
        return DBT_NEXT;
    case 8:
        if (v->code_bits != 64)
            return dbt_fault(v, EXC_UD);
        control_result(v, insn, cpu->intr ? cpu->intr->get_tpr(cpu->intr_opaque) : s->cr8);
        return DBT_NEXT;
    default:
        return dbt_fault(v, EXC_UD);
    }
}

/* The register a MOV DR means; 4 and 5 are aliases unless CR4.DE is set. false: fault. */
static bool debug_register(DbtVcpu *v, unsigned reg, unsigned *n)
{
    CpuState *s = v->state;

    *n = reg == 4 || reg == 5 ? reg + 2 : reg;
    if (reg > 7 || (*n != reg && s->cr4 & CR4_DE)) {
        dbt_fault(v, EXC_UD);
        return false;
    }
    if (!privileged(v))
        return false;
    if (s->dr[7] & DR7_GD) {
        s->dr[6] |= DR6_BD;
        dbt_fault(v, EXC_DB);
        return false;
    }
    return true;
}

DbtStep dbt_op_mov_to_dr(DbtVcpu *v, const DbtInsn *insn)
{
    uint64_t value = control_source(v, insn);
    unsigned n;

    if (!debug_register(v, insn->reg, &n))
        return DBT_FAULT;
    if (n >= 6 && value >> 32)
        return dbt_fault_error(v, EXC_GP, 0);
    if (n == 6)
        value = (value & DR6_WRITABLE) | DR6_FIXED;
    if (n == 7)
        value = (value & DR7_WRITABLE) | DR7_FIXED;
    v->state->dr[n] = value;
    dbt_context_changed(v);
    dbt_attention(v);
    return DBT_NEXT;
}

DbtStep dbt_op_mov_from_dr(DbtVcpu *v, const DbtInsn *insn)
{
    unsigned n;

    if (!debug_register(v, insn->reg, &n))
        return DBT_FAULT;
    control_result(v, insn, v->state->dr[n]);
    return DBT_NEXT;
}

static DbtStep op_clts(DbtVcpu *v, const DbtInsn *insn)
{
    return done(privileged(v) && dbt_cr0_write(v, v->state->cr0 & ~(uint64_t)CR0_TS));
}

/* Bits 3:0, and PE can't be cleared this way. */
static DbtStep op_lmsw(DbtVcpu *v, const DbtInsn *insn)
{
    uint64_t cr0 = v->state->cr0, value;

    if (!privileged(v) || !insn_load_rm(v, insn, 2, &value))
        return DBT_FAULT;
    return done(dbt_cr0_write(v, (cr0 & ~0xeull) | (value & 0xf)));
}

static DbtStep op_smsw(DbtVcpu *v, const DbtInsn *insn)
{
    unsigned size = insn->flags & INSN_MEM ? 2 : insn->op_size;

    return done(may_store(v) && insn_store_rm(v, insn, size, v->state->cr0));
}

static DbtStep op_load_table(DbtVcpu *v, const DbtInsn *insn)
{
    DescTableReg *table = insn->sub ? &v->state->idtr : &v->state->gdtr;
    unsigned len = v->code_bits == 64 ? 10 : 6;
    uint8_t bytes[10] = { 0 };
    uint64_t base;

    if (!privileged(v) || !dbt_mem_read(v, insn->seg, dbt_ea(v, insn), bytes, len))
        return DBT_FAULT;
    base = load_le(bytes + 2, len - 2);
    if (len == 6 && insn->op_size == 2)
        base &= 0xffffff;
    if (!is_canonical(base))
        return dbt_fault_error(v, EXC_GP, 0);
    *table = (DescTableReg){ base, (uint16_t)load_le(bytes, 2) };
    return DBT_NEXT;
}

static DbtStep op_store_table(DbtVcpu *v, const DbtInsn *insn)
{
    const DescTableReg *table = insn->sub ? &v->state->idtr : &v->state->gdtr;
    unsigned len = v->code_bits == 64 ? 10 : 6;
    uint8_t bytes[10];

    store_le(bytes, table->limit, 2);
    store_le(bytes + 2, table->base, 8);
    return done(may_store(v) && dbt_mem_write(v, insn->seg, dbt_ea(v, insn), bytes, len));
}

static DbtStep op_invlpg(DbtVcpu *v, const DbtInsn *insn)
{
    uint64_t linear = v->seg_base[insn->seg] + dbt_ea(v, insn);

    if (!privileged(v))
        return DBT_FAULT;
    dbt_tlb_flush_page(v, v->code_bits == 64 ? linear : (uint32_t)linear);
    dbt_end_block(v);
    return DBT_NEXT;
}

/* SDM vol. 2, INVPCID: 0 a page, 1 an identifier, 2 everything, 3 everything but global pages. */
static DbtStep op_invpcid(DbtVcpu *v, const DbtInsn *insn)
{
    uint64_t type = reg_get(v->state, insn->reg, v->code_bits == 64 ? 8 : 4), desc[2];
    bool pcide = v->state->cr4 & CR4_PCIDE;

    if (v->state->rflags & RFLAGS_VM)
        return dbt_fault_error(v, EXC_GP, 0);
    if (!privileged(v) || !dbt_mem_read(v, insn->seg, dbt_ea(v, insn), desc, 16))
        return DBT_FAULT;
    if (type > 3 || desc[0] >> 12 || (type < 2 && !pcide && desc[0]) || (type == 0 && !is_canonical(desc[1])))
        return dbt_fault_error(v, EXC_GP, 0);
    if (type == 0)
        dbt_tlb_flush_page_of(v, (uint16_t)desc[0], desc[1]);
    else if (type == 1)
        dbt_tlb_flush_pcid(v, (uint16_t)desc[0]);
    else
        dbt_tlb_flush(v, type == 2);
    dbt_end_block(v);
    return DBT_NEXT;
}

/* INVD and WBINVD (WBNOINVD decodes as it): caches are coherent and nobody can tell. */
static DbtStep op_cache(DbtVcpu *v, const DbtInsn *insn)
{
    return done(privileged(v));
}

static DbtStep op_serialize(DbtVcpu *v, const DbtInsn *insn)
{
    dbt_end_block(v);
    return DBT_NEXT;
}

static DbtStep op_rdtsc(DbtVcpu *v, const DbtInsn *insn)
{
    CpuState *s = v->state;
    uint64_t tsc;

    if (s->cr4 & CR4_TSD && !privileged(v))
        return DBT_FAULT;
    tsc = dbt_tsc(v);
    s->gpr[GPR_RAX] = (uint32_t)tsc;
    s->gpr[GPR_RDX] = tsc >> 32;
    if (insn->sub) /* RDTSCP */
        s->gpr[GPR_RCX] = (uint32_t)s->msr.tsc_aux;
    return DBT_NEXT;
}

static DbtStep op_rdpid(DbtVcpu *v, const DbtInsn *insn)
{
    v->state->gpr[insn->rm] = v->state->msr.tsc_aux;
    return DBT_NEXT;
}

/* There are no counters, so every index is wrong. */
static DbtStep op_rdpmc(DbtVcpu *v, const DbtInsn *insn)
{
    return dbt_fault_error(v, EXC_GP, 0);
}

static DbtStep op_rdmsr(DbtVcpu *v, const DbtInsn *insn)
{
    CpuState *s = v->state;
    uint64_t value;

    if (!privileged(v) || !dbt_msr_read(v, (uint32_t)s->gpr[GPR_RCX], &value))
        return DBT_FAULT;
    s->gpr[GPR_RAX] = (uint32_t)value;
    s->gpr[GPR_RDX] = value >> 32;
    return DBT_NEXT;
}

static DbtStep op_wrmsr(DbtVcpu *v, const DbtInsn *insn)
{
    const CpuState *s = v->state;
    uint64_t value = (uint32_t)s->gpr[GPR_RAX] | s->gpr[GPR_RDX] << 32;

    return done(privileged(v) && dbt_msr_write(v, (uint32_t)s->gpr[GPR_RCX], value));
}

static DbtStep op_cpuid(DbtVcpu *v, const DbtInsn *insn)
{
    CpuState *s = v->state;
    uint32_t regs[4];

    dbt_cpuid(v, (uint32_t)s->gpr[GPR_RAX], (uint32_t)s->gpr[GPR_RCX], regs);
    s->gpr[GPR_RAX] = regs[0];
    s->gpr[GPR_RBX] = regs[1];
    s->gpr[GPR_RCX] = regs[2];
    s->gpr[GPR_RDX] = regs[3];
    return DBT_NEXT;
}

/* ECX 1 asks for the components in use (SDM vol. 1, 13.6): all enabled ones may be. */
static DbtStep op_xgetbv(DbtVcpu *v, const DbtInsn *insn)
{
    CpuState *s = v->state;
    uint32_t index = (uint32_t)s->gpr[GPR_RCX], regs[4] = {0};

    if (!(s->cr4 & CR4_OSXSAVE))
        return dbt_fault(v, EXC_UD);
    if (index == 1)
        dbt_cpuid(v, 0xd, 1, regs);
    if (index > 1 || (index == 1 && !(regs[0] >> 2 & 1)))
        return dbt_fault_error(v, EXC_GP, 0);
    s->gpr[GPR_RAX] = (uint32_t)s->xcr0;
    s->gpr[GPR_RDX] = s->xcr0 >> 32;
    return DBT_NEXT;
}

static DbtStep op_xsetbv(DbtVcpu *v, const DbtInsn *insn)
{
    const CpuState *s = v->state;

    if (!(s->cr4 & CR4_OSXSAVE))
        return dbt_fault(v, EXC_UD);
    if (!privileged(v))
        return DBT_FAULT;
    if ((uint32_t)s->gpr[GPR_RCX] != 0)
        return dbt_fault_error(v, EXC_GP, 0);
    return done(dbt_xcr0_write(v, (uint32_t)s->gpr[GPR_RAX] | s->gpr[GPR_RDX] << 32));
}

/* STAC, CLAC: what SMAP asks (SDM vol. 3, 4.6.1). sub: AC's new value. */
static DbtStep op_set_ac(DbtVcpu *v, const DbtInsn *insn)
{
    CpuState *s = v->state;

    if (v->real ? s->rflags & RFLAGS_VM : v->cpl != 0)
        return dbt_fault(v, EXC_UD);
    s->rflags = insn->sub ? s->rflags | RFLAGS_AC : s->rflags & ~(uint64_t)RFLAGS_AC;
    dbt_context_changed(v);
    return DBT_NEXT;
}

/* No hypercall is announced in CPUID; a KVM guest that tries one is told so in RAX. */
static DbtStep op_hypercall(DbtVcpu *v, const DbtInsn *insn)
{
    int64_t result = v->cpl ? -KVM_EPERM : -KVM_ENOSYS;

    if (!v->sys->kvm)
        return dbt_fault(v, EXC_UD);
    v->state->gpr[GPR_RAX] = v->code_bits == 64 ? (uint64_t)result : (uint32_t)result;
    return DBT_NEXT;
}

static uint16_t io_port(const DbtVcpu *v, const DbtInsn *insn)
{
    return insn->sub ? (uint8_t)insn->imm : (uint16_t)v->state->gpr[GPR_RDX];
}

static DbtStep op_in(DbtVcpu *v, const DbtInsn *insn)
{
    uint16_t port = io_port(v, insn);

    if (!dbt_io_check(v, port, insn->op_size))
        return DBT_FAULT;
    reg_set(v->state, GPR_RAX, insn->op_size, dbt_io_read(v, port, insn->op_size));
    return DBT_NEXT;
}

static DbtStep op_out(DbtVcpu *v, const DbtInsn *insn)
{
    uint16_t port = io_port(v, insn);

    if (!dbt_io_check(v, port, insn->op_size))
        return DBT_FAULT;
    dbt_io_write(v, port, insn->op_size, (uint32_t)reg_get(v->state, GPR_RAX, insn->op_size));
    dbt_end_block(v); /* it may have been a reset, or raised an interrupt */
    return DBT_NEXT;
}

/* sub: the port is in the instruction. */
static DbtHandler bind_in(DbtVcpu *v, DbtInsn *insn, const DbtDecoded *dec)
{
    insn->sub = dec->operands[1].type == ZYDIS_OPERAND_TYPE_IMMEDIATE;
    insn->op_size = MIN(insn->op_size, 4);
    return op_in;
}

static DbtHandler bind_out(DbtVcpu *v, DbtInsn *insn, const DbtDecoded *dec)
{
    insn->sub = dec->operands[0].type == ZYDIS_OPERAND_TYPE_IMMEDIATE;
    insn->op_size = MIN(insn->op_size, 4);
    return op_out;
}

#define ROW(name, sub, handler) { ZYDIS_MNEMONIC_##name, sub, 0, handler, NULL }
#define END(name, sub, handler) { ZYDIS_MNEMONIC_##name, sub, OP_END_BLOCK, handler, NULL }

const DbtOp dbt_ops_sys[] = {
    ROW(CLTS, 0, op_clts),
    END(LMSW, 0, op_lmsw),
    ROW(SMSW, 0, op_smsw),
    ROW(LGDT, 0, op_load_table),
    ROW(LIDT, 1, op_load_table),
    ROW(SGDT, 0, op_store_table),
    ROW(SIDT, 1, op_store_table),
    ROW(INVLPG, 0, op_invlpg),
    ROW(INVPCID, 0, op_invpcid),
    ROW(INVD, 0, op_cache),
    ROW(WBINVD, 0, op_cache),
    ROW(SERIALIZE, 0, op_serialize),
    ROW(RDTSC, 0, op_rdtsc),
    ROW(RDTSCP, 1, op_rdtsc),
    ROW(RDPID, 0, op_rdpid),
    ROW(RDPMC, 0, op_rdpmc),
    ROW(RDMSR, 0, op_rdmsr),
    END(WRMSR, 0, op_wrmsr),
    ROW(CPUID, 0, op_cpuid),
    ROW(XGETBV, 0, op_xgetbv),
    ROW(XSETBV, 0, op_xsetbv),
    END(CLAC, 0, op_set_ac),
    END(STAC, 1, op_set_ac),
    ROW(VMCALL, 0, op_hypercall),
    ROW(VMMCALL, 0, op_hypercall),
    END(SYSCALL, 0, dbt_op_syscall),
    END(SYSRET, 0, dbt_op_sysret),
    END(SYSENTER, 0, dbt_op_sysenter),
    END(SYSEXIT, 0, dbt_op_sysexit),
    { ZYDIS_MNEMONIC_IN, 0, 0, NULL, bind_in },
    { ZYDIS_MNEMONIC_OUT, 0, 0, NULL, bind_out },
    { ZYDIS_MNEMONIC_INVALID, 0, 0, NULL, NULL },
};
