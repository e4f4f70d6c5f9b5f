/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Model-specific registers.
 *
 * Intel SDM vol. 4 (IA32_*), vol. 3: 11.11 (MTRRs), 11.12 (PAT), 15.3 (machine check), 17.17 (TSC);
 * AMD APM vol. 2, appendix A and the PPR for C001_xxxx. An MSR that is not here, or whose value has
 * reserved bits set, is #GP(0).
 *
 * Memory types are remembered and have no effect. There are no machine-check banks and no
 * performance counters.
 *
 * Locking: own vCPU thread. The LAPIC's MSRs are served by its model, which takes no lock.
 */
#include "accel/dbt/seg.h"
#include "accel/dbt/sys.h"
#include "core/tsc.h"

#define MSR_TSC 0x10
#define MSR_PLATFORM_ID 0x17
#define MSR_APIC_BASE 0x1b
#define MSR_TSC_ADJUST 0x3b
#define MSR_SPEC_CTRL 0x48
#define MSR_PRED_CMD 0x49
#define MSR_UCODE_REV 0x8b
#define MSR_MTRR_CAP 0xfe
#define MSR_SYSENTER_CS 0x174
#define MSR_SYSENTER_ESP 0x175
#define MSR_SYSENTER_EIP 0x176
#define MSR_MCG_CAP 0x179
#define MSR_MCG_STATUS 0x17a
#define MSR_MISC_ENABLE 0x1a0
#define MSR_DEBUGCTL 0x1d9
#define MSR_MTRR_PHYS 0x200
#define MSR_MTRR_FIX64K 0x250
#define MSR_MTRR_FIX16K 0x258
#define MSR_MTRR_FIX4K 0x268
#define MSR_PAT 0x277
#define MSR_MTRR_DEF_TYPE 0x2ff
#define MSR_TSC_DEADLINE 0x6e0
#define MSR_X2APIC 0x800
#define MSR_EFER 0xc0000080
#define MSR_STAR 0xc0000081
#define MSR_LSTAR 0xc0000082
#define MSR_CSTAR 0xc0000083
#define MSR_SFMASK 0xc0000084
#define MSR_FS_BASE 0xc0000100
#define MSR_GS_BASE 0xc0000101
#define MSR_KERNEL_GS_BASE 0xc0000102
#define MSR_TSC_AUX 0xc0000103
#define MSR_AMD_PERF_EVT_SEL0 0xc0010000 /* four, then four counters; not enumerated by CPUID */
#define MSR_AMD_PERF_CTR3 0xc0010007
#define MSR_AMD_SYSCFG 0xc0010010
#define MSR_AMD_HWCR 0xc0010015
#define MSR_AMD_PATCH_LOADER 0xc0010020
#define MSR_AMD_NB_CFG 0xc001001f
#define MSR_AMD_DE_CFG 0xc0011029

#define MTRR_CAP_VALUE 0x508u        /* 8 variable ranges, fixed ranges, write-combining */
#define MTRR_VARIABLE 8
#define HWCR_TSC_FREQ_SEL BIT(24)    /* the TSC counts at the P0 frequency */
#define DE_CFG_LFENCE_SERIALIZES BIT(1)
#define PRED_CMD_IBPB BIT(0)

static bool canonical(uint64_t value)
{
    return (uint64_t)((int64_t)(value << 16) >> 16) == value;
}

uint64_t dbt_tsc(const DbtVcpu *v)
{
    return host_tsc() + v->state->tsc_offset;
}

/* The memory-type field shared by MTRRs and PAT: 2 and 3 are reserved; PAT also has 7, UC-. */
static bool memory_type_ok(uint8_t type, bool pat)
{
    return type < 8 && type != 2 && type != 3 && (pat || type != 7);
}

static bool memory_types_ok(uint64_t value, bool pat)
{
    for (unsigned i = 0; i < 64; i += 8) {
        if (!memory_type_ok((uint8_t)(value >> i), pat))
            return false;
    }
    return true;
}

/* The storage of a fixed-range MTRR, or NULL. */
static uint64_t *mtrr_fixed(CpuState *s, uint32_t msr)
{
    if (msr == MSR_MTRR_FIX64K)
        return &s->msr.mtrr_fixed[0];
    if (msr - MSR_MTRR_FIX16K < 2)
        return &s->msr.mtrr_fixed[1 + msr - MSR_MTRR_FIX16K];
    if (msr - MSR_MTRR_FIX4K < 8)
        return &s->msr.mtrr_fixed[3 + msr - MSR_MTRR_FIX4K];
    return NULL;
}

static bool mtrr_read(CpuState *s, uint32_t msr, uint64_t *value)
{
    const uint64_t *fixed = mtrr_fixed(s, msr);

    if (fixed)
        *value = *fixed;
    else if (msr == MSR_MTRR_CAP)
        *value = MTRR_CAP_VALUE;
    else if (msr == MSR_MTRR_DEF_TYPE)
        *value = s->msr.mtrr_def_type;
    else if (msr - MSR_MTRR_PHYS < 2 * MTRR_VARIABLE)
        *value = (msr & 1 ? s->msr.mtrr_phys_mask : s->msr.mtrr_phys_base)[(msr - MSR_MTRR_PHYS) / 2];
    else
        return false;
    return true;
}

static bool mtrr_write(DbtVcpu *v, uint32_t msr, uint64_t value)
{
    CpuState *s = v->state;
    uint64_t *fixed = mtrr_fixed(s, msr);
    uint64_t beyond = ~(BIT(v->sys->phys_bits) - 1);

    if (fixed) {
        if (!memory_types_ok(value, false))
            return false;
        *fixed = value;
        return true;
    }
    if (msr == MSR_MTRR_DEF_TYPE) {
        if (value & ~0xcffull || !memory_type_ok((uint8_t)value, false))
            return false;
        s->msr.mtrr_def_type = value;
        return true;
    }
    if (msr - MSR_MTRR_PHYS >= 2 * MTRR_VARIABLE)
        return false;
    if (msr & 1) {
        if (value & (beyond | 0x7ff))
            return false;
        s->msr.mtrr_phys_mask[(msr - MSR_MTRR_PHYS) / 2] = value;
        return true;
    }
    if (value & (beyond | 0xf00) || !memory_type_ok((uint8_t)value, false))
        return false;
    s->msr.mtrr_phys_base[(msr - MSR_MTRR_PHYS) / 2] = value;
    return true;
}

static bool is_lapic_msr(uint32_t msr)
{
    return msr == MSR_APIC_BASE || msr == MSR_TSC_DEADLINE || msr - MSR_X2APIC < 0x100;
}

static bool lapic_read(DbtVcpu *v, uint32_t msr, uint64_t *value)
{
    const Vcpu *cpu = v->cpu;

    if (cpu->intr)
        return cpu->intr->read_msr(cpu->intr_opaque, msr, value);
    *value = v->state->apic_base;
    return msr == MSR_APIC_BASE;
}

/* Writes can raise interrupts and timers of this vCPU, and move the APIC page. */
static bool lapic_write(DbtVcpu *v, uint32_t msr, uint64_t value)
{
    const Vcpu *cpu = v->cpu;
    bool ok;

    if (!cpu->intr || (msr == MSR_APIC_BASE && value >> v->sys->phys_bits))
        return false;
    dbt_guest_leave(v); /* moving the page takes machine_lock */
    ok = cpu->intr->write_msr(cpu->intr_opaque, msr, value);
    dbt_guest_enter(v);
    dbt_attention(v);
    return ok;
}

/* Feature MSRs of the CPU model (microcode revision, IA32_ARCH_CAPABILITIES, ...). */
static bool feature_msr_read(const DbtVcpu *v, uint32_t msr, uint64_t *value)
{
    for (unsigned i = 0; v->cpuid && i < v->cpuid->msr_count; i++) {
        if (v->cpuid->msrs[i].index == msr) {
            *value = v->cpuid->msrs[i].value;
            return true;
        }
    }
    return false;
}

/* What reads as a constant and ignores writes. */
static bool constant_read(const DbtVcpu *v, uint32_t msr, uint64_t *value)
{
    *value = 0;
    switch (msr) {
    case MSR_PLATFORM_ID:
    case MSR_UCODE_REV:
    case MSR_MCG_CAP:
    case MSR_DEBUGCTL:
        return true;
    case MSR_AMD_PERF_EVT_SEL0 ... MSR_AMD_PERF_CTR3: /* nothing is counted */
    case MSR_AMD_SYSCFG:
    case MSR_AMD_NB_CFG:
    case MSR_AMD_PATCH_LOADER:
        return v->sys->amd;
    case MSR_AMD_HWCR:
        *value = HWCR_TSC_FREQ_SEL;
        return v->sys->amd;
    case MSR_AMD_DE_CFG:
        *value = DE_CFG_LFENCE_SERIALIZES;
        return v->sys->amd;
    default:
        return false;
    }
}

/* The registers that are plain state; NULL: not one of them. mask: writable bits. */
static uint64_t *plain_msr(DbtVcpu *v, uint32_t msr, uint64_t *mask)
{
    MsrState *m = &v->state->msr;

    *mask = ~0ull;
    switch (msr) {
    case MSR_STAR:
        return &m->star;
    case MSR_SFMASK:
        *mask = 0xffffffff;
        return &m->sfmask;
    case MSR_SYSENTER_CS:
        return &m->sysenter_cs;
    case MSR_TSC_AUX:
        *mask = 0xffffffff;
        return &m->tsc_aux;
    case MSR_MISC_ENABLE:
        return &m->misc_enable;
    case MSR_MCG_STATUS:
        *mask = 7;
        return &m->mcg_status;
    case MSR_SPEC_CTRL:
        *mask = v->sys->spec_ctrl_allowed;
        return *mask ? &m->spec_ctrl : NULL;
    default:
        return NULL;
    }
}

/* Registers that hold a linear address. */
static uint64_t *address_msr(DbtVcpu *v, uint32_t msr)
{
    CpuState *s = v->state;

    switch (msr) {
    case MSR_LSTAR:
        return &s->msr.lstar;
    case MSR_CSTAR:
        return &s->msr.cstar;
    case MSR_SYSENTER_ESP:
        return &s->msr.sysenter_esp;
    case MSR_SYSENTER_EIP:
        return &s->msr.sysenter_eip;
    case MSR_FS_BASE:
        return &s->seg[SEG_FS].base;
    case MSR_GS_BASE:
        return &s->seg[SEG_GS].base;
    case MSR_KERNEL_GS_BASE:
        return &s->msr.kernel_gs_base;
    default:
        return NULL;
    }
}

bool dbt_msr_read(DbtVcpu *v, uint32_t msr, uint64_t *value)
{
    CpuState *s = v->state;
    uint64_t mask, *plain = plain_msr(v, msr, &mask), *address = address_msr(v, msr);

    if (plain || address) {
        *value = plain ? *plain : *address;
        return true;
    }
    switch (msr) {
    case MSR_TSC:
        *value = dbt_tsc(v);
        return true;
    case MSR_TSC_ADJUST:
        *value = s->msr.tsc_adjust;
        return true;
    case MSR_PAT:
        *value = s->msr.pat;
        return true;
    case MSR_EFER:
        *value = s->efer;
        return true;
    default:
        break;
    }
    if (is_lapic_msr(msr) ? lapic_read(v, msr, value)
                          : mtrr_read(s, msr, value) || dbt_kvm_msr_read(v, msr, value) ||
                                feature_msr_read(v, msr, value) || constant_read(v, msr, value))
        return true;
    dbt_fault_error(v, EXC_GP, 0);
    return false;
}

/* The TSC and its adjustment move together (SDM vol. 3, 17.17.3). */
static void tsc_shift(DbtVcpu *v, uint64_t delta)
{
    v->state->tsc_offset += delta;
    v->state->msr.tsc_adjust += delta;
    dbt_kvm_clock_update(v);
}

static bool constant_write(DbtVcpu *v, uint32_t msr, uint64_t value)
{
    uint64_t now;

    if (msr == MSR_PRED_CMD)
        return v->sys->pred_cmd && !(value & ~PRED_CMD_IBPB); /* nothing to flush */
    return msr != MSR_MCG_CAP && constant_read(v, msr, &now);
}

/* False: #GP, nothing changed. */
static bool msr_write(DbtVcpu *v, uint32_t msr, uint64_t value)
{
    CpuState *s = v->state;
    uint64_t mask, *plain = plain_msr(v, msr, &mask), *address = address_msr(v, msr);

    if (plain) {
        if (value & ~mask)
            return false;
        *plain = value;
        return true;
    }
    if (address) {
        if (!canonical(value))
            return false;
        *address = value;
        dbt_mode_changed(v); /* FS and GS */
        return true;
    }
    switch (msr) {
    case MSR_TSC:
        tsc_shift(v, value - dbt_tsc(v));
        return true;
    case MSR_TSC_ADJUST:
        tsc_shift(v, value - s->msr.tsc_adjust);
        return true;
    case MSR_PAT:
        if (!memory_types_ok(value, true))
            return false;
        s->msr.pat = value;
        return true;
    default:
        break;
    }
    return is_lapic_msr(msr) ? lapic_write(v, msr, value)
                             : mtrr_write(v, msr, value) || dbt_kvm_msr_write(v, msr, value) ||
                                   constant_write(v, msr, value);
}

bool dbt_msr_write(DbtVcpu *v, uint32_t msr, uint64_t value)
{
    if (msr == MSR_EFER)
        return dbt_efer_write(v, value);
    if (msr_write(v, msr, value))
        return true;
    dbt_fault_error(v, EXC_GP, 0);
    return false;
}
