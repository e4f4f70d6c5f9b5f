/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * System registers: what the files of accel/dbt/sys-*.c and their neighbours share.
 *
 *     sys-cr.c     CR0, CR3, CR4, CR8, EFER, XCR0, DR
 *     sys-msr.c    model-specific registers
 *     sys-cpuid.c  CPUID as the guest sees it, and what dbt offers
 *     sys-io.c     ports and their permission
 *     sys-call.c   SYSCALL, SYSRET, SYSENTER, SYSEXIT
 *     kvm-pv.c     KVM's paravirtual interface
 *     op-sys.c     the instructions
 *
 * Setters check as MOV CR / WRMSR do and return false with v->fault set, nothing changed.
 */
#ifndef DBT_SYS_H
#define DBT_SYS_H

#include "accel/dbt/dbt.h"

#define XSAVE_COMPONENTS 10 /* up to PKRU */

/* Features of this vCPU's CPUID that system registers depend on; dbt_sys_cpuid_changed derives them. */
typedef struct DbtSys DbtSys;
struct DbtSys {
    uint64_t cr4_allowed;
    uint64_t efer_allowed;
    uint64_t xcr0_allowed;
    uint64_t spec_ctrl_allowed;
    unsigned phys_bits;
    bool amd, pred_cmd;
    bool kvm; /* its signature is shown */
    bool kvm_clock, kvm_clock2, kvm_pv_eoi, kvm_poll;
    uint64_t tsc_hz;
    uint32_t xsave_offset[XSAVE_COMPONENTS]; /* CPUID.0Dh: of each component, in the standard format */
    uint32_t xsave_aligned;                  /* bit n: component n begins at 64 bytes in the compacted one */
};

/* The table v->cpuid has changed. */
void dbt_sys_cpuid_changed(DbtVcpu *v);

bool dbt_cr0_write(DbtVcpu *v, uint64_t value);
bool dbt_cr3_write(DbtVcpu *v, uint64_t value);
bool dbt_cr4_write(DbtVcpu *v, uint64_t value);
bool dbt_efer_write(DbtVcpu *v, uint64_t value);
bool dbt_xcr0_write(DbtVcpu *v, uint64_t value);
/* A task switch's: no checks, invalid PDPTEs are not present. */
void dbt_cr3_load(DbtVcpu *v, uint64_t value);

bool dbt_msr_read(DbtVcpu *v, uint32_t msr, uint64_t *value);
bool dbt_msr_write(DbtVcpu *v, uint32_t msr, uint64_t value);
uint64_t dbt_tsc(const DbtVcpu *v);

/* CPUID with what depends on the vCPU's registers: OSXSAVE, APIC, XSAVE sizes. */
void dbt_cpuid(DbtVcpu *v, uint32_t leaf, uint32_t subleaf, uint32_t regs[4]);

/* kvm-pv.c: the MSRs KVM_FEATURE_* bits announce. */
bool dbt_kvm_msr_read(DbtVcpu *v, uint32_t msr, uint64_t *value);
bool dbt_kvm_msr_write(DbtVcpu *v, uint32_t msr, uint64_t value);
/* Writes the clock page anew, if there is one: at registration, after the TSC or the clock jumped. */
void dbt_kvm_clock_update(DbtVcpu *v);

DbtStep dbt_op_syscall(DbtVcpu *v, const DbtInsn *insn);
DbtStep dbt_op_sysret(DbtVcpu *v, const DbtInsn *insn);
DbtStep dbt_op_sysenter(DbtVcpu *v, const DbtInsn *insn);
DbtStep dbt_op_sysexit(DbtVcpu *v, const DbtInsn *insn);
/* What SYSCALL in long mode and SYSRET to 64-bit code load. */
void dbt_syscall_segments(const CpuState *s, SegmentReg *cs, SegmentReg *ss);
void dbt_sysret_segments(const CpuState *s, SegmentReg *cs, SegmentReg *ss);

#endif
