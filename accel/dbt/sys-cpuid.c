/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * CPUID: what dbt can offer, and what one vCPU's instruction returns.
 *
 * Intel SDM vol. 2, CPUID; AMD APM vol. 3, appendix E; Linux Documentation/virt/kvm/x86/cpuid.rst.
 *
 * Two kinds of features. Those of the unprivileged instruction set run on the host's own units, so
 * the host must have them. Those of the system are dbt's own code and offered on every host. The
 * choice makes guests fast: REP MOVS and STOS for copies, PCID, x2APIC and TSC deadline, an
 * invariant TSC, and a processor that says it has none of the flaws kernels work around (it is not a
 * security boundary between a guest's own privilege levels beyond what the host is).
 *
 * AVX-512 is offered with all its extensions, but for those only one kind of processor has had (4VNNIW,
 * 4FMAPS, ER, PF, VP2INTERSECT), on hosts with F, DQ, BW and VL: native-emit.c and jit-code.c use these.
 *
 * Not offered: AMX, CET, XSAVES, protection keys, SGX, TSX, VMX, SVM, MONITOR (a store must
 * end MWAIT, which nobody here would notice), VME, 5-level paging.
 *
 * Locking: none; a vCPU's table is its own.
 */
#include <cpuid.h>

#include "accel/dbt/fpu.h"
#include "accel/dbt/mmu-priv.h"
#include "accel/dbt/seg.h"
#include "accel/dbt/sys.h"
#include "core/tsc.h"

enum { EAX, EBX, ECX, EDX };

#define PHYS_BITS_MAX 42 /* what map.c finds without a search */
#define LAPIC_BUS_KHZ 1000000u /* hw/intc: the timer counts nanoseconds */
#define TIMING_LEAF 0x40000010
#define MSR_ARCH_CAPABILITIES 0x10a
#define MSR_APIC_BASE 0x1b
#define EFER_AIBRSE BIT(21)
#define APIC_BASE_ENABLE BIT(11)

/* A register of features: those the host must have, and those that are our own. */
typedef struct FeatureOffer {
    uint32_t leaf;
    uint8_t subleaf, reg;
    uint32_t host, own;
} FeatureOffer;

#define B(n) (1u << (n))

static const FeatureOffer offers[] = {
    /* ECX: SSE3, PCLMULQDQ, SSSE3, FMA, CX16, SSE4.1, SSE4.2, MOVBE, POPCNT, AES, XSAVE, AVX, F16C,
     * RDRAND; PCID, x2APIC, TSC deadline, hypervisor */
    { 1, 0, ECX,
      B(0) | B(1) | B(9) | B(12) | B(13) | B(19) | B(20) | B(22) | B(23) | B(25) | B(26) | B(28) | B(29) |
          B(30),
      B(17) | B(21) | B(24) | B(31) },
    /* EDX: FPU, CMOV, MMX, FXSR, SSE, SSE2; DE, PSE, TSC, MSR, PAE, MCE, CX8, APIC, SEP, MTRR, PGE, MCA,
     * PAT, PSE36, CLFLUSH, SS, HTT */
    { 1, 0, EDX, B(0) | B(15) | B(23) | B(24) | B(25) | B(26),
      B(2) | B(3) | B(4) | B(5) | B(6) | B(7) | B(8) | B(9) | B(11) | B(12) | B(13) | B(14) | B(16) | B(17) |
          B(19) | B(27) | B(28) },
    { 6, 0, EAX, 0, B(2) }, /* ARAT */
    /* EBX: BMI1, AVX2, BMI2, RDSEED, ADX, SHA; FSGSBASE, TSC_ADJUST, FDP_EXCPTN_ONLY, SMEP, ERMS, INVPCID,
     * ZERO_FCS_FDS, SMAP, CLFLUSHOPT, CLWB */
    { 7, 0, EBX, B(3) | B(5) | B(8) | B(18) | B(19) | B(29),
      B(0) | B(1) | B(6) | B(7) | B(9) | B(10) | B(13) | B(20) | B(23) | B(24) },
    /* ECX: GFNI, VAES, VPCLMULQDQ; UMIP, RDPID */
    { 7, 0, ECX, B(8) | B(9) | B(10), B(2) | B(22) },
    /* EDX: FSRM, MD_CLEAR, SERIALIZE, SPEC_CTRL, STIBP, ARCH_CAPABILITIES, SSBD */
    { 7, 0, EDX, 0, B(4) | B(10) | B(14) | B(26) | B(27) | B(29) | B(31) },
    { 7, 1, EAX, B(4), 0 },               /* AVX-VNNI */
    /* EDX: BHI_CTRL, MCDT_NO. Kernels that do not believe BHI_NO use the former; else each system call
     * begins with a loop of branches. */
    { 7, 2, EDX, 0, B(4) | B(5) },
    { 0xd, 1, EAX, B(0) | B(1) | B(2), 0 }, /* XSAVEOPT, XSAVEC, XGETBV with ECX=1 */
    /* ECX: LZCNT, SSE4A, misaligned SSE, PREFETCHW; LAHF in 64-bit mode */
    { 0x80000001, 0, ECX, B(5) | B(6) | B(7) | B(8) | B(22), B(0) },
    /* EDX: MMX extensions; SYSCALL, NX, 1 GiB pages, RDTSCP, long mode */
    { 0x80000001, 0, EDX, B(22), B(11) | B(20) | B(26) | B(27) | B(29) },
    { 0x80000007, 0, EDX, 0, B(8) }, /* invariant TSC */
    /* EBX: FXSAVE error pointers; WBNOINVD, SSB_NO, BTC_NO */
    { 0x80000008, 0, EBX, B(2), B(9) | B(26) | B(29) },
    /* WRMSR of FS/GS.base not serialising, LFENCE serialising, null selectors clear the base, automatic
     * IBRS (so that kernels need no retpolines), SRSO_NO, SRSO_USER_KERNEL_NO */
    { 0x80000021, 0, EAX, 0, B(1) | B(2) | B(6) | B(8) | B(29) | B(30) },
    /* kvmclock, no port delay, kvmclock at new MSRs, PV EOI, poll control, stable clock */
    { 0x40000001, 0, EAX, 0, B(0) | B(1) | B(3) | B(6) | B(12) | B(24) },
};

static const FeatureOffer avx512_offers[] = {
    /* EBX: F, DQ, IFMA, CD, BW, VL */
    { 7, 0, EBX, B(16) | B(17) | B(21) | B(28) | B(30) | B(31), 0 },
    /* ECX: VBMI, VBMI2, VNNI, BITALG, VPOPCNTDQ */
    { 7, 0, ECX, B(1) | B(6) | B(11) | B(12) | B(14), 0 },
    { 7, 0, EDX, B(23), 0 }, /* FP16 */
    { 7, 1, EAX, B(5), 0 },  /* BF16 */
};

/* IA32_ARCH_CAPABILITIES (SDM vol. 4): RDCL_NO, IBRS_ALL, SKIP_L1DFL_VMENTRY, SSB_NO, MDS_NO,
 * IF_PSCHANGE_MC_NO, TAA_NO, SBDR_SSDP_NO, FBSDP_NO, PSDP_NO, BHI_NO, PBRSB_NO, GDS_NO, RFDS_NO; and ITS_NO, which
 * hypervisors alone have to say it with: a guest without it has all its returns jump to one. */
#define ARCH_CAPABILITIES_VALUE                                                                           \
    (B(0) | B(1) | B(3) | B(4) | B(5) | B(6) | B(8) | B(13) | B(14) | B(15) | B(20) | B(24) | B(26) | B(27) | \
     BIT(62))

/* Leaves that describe the host and are passed on for what a CPU model takes from them. */
static const uint32_t host_leaves[] = { 0,          2,          0x80000000, 0x80000002, 0x80000003,
                                        0x80000004, 0x80000005, 0x80000006 };

static CpuidEntry *add_entry(CpuidTable *table, uint32_t leaf, uint32_t subleaf, bool indexed)
{
    CpuidEntry *e = &table->entries[table->count++];

    g_assert(table->count <= G_N_ELEMENTS(table->entries));
    *e = (CpuidEntry){ .leaf = leaf, .subleaf = subleaf, .indexed = indexed };
    return e;
}

static void host_query(uint32_t leaf, uint32_t subleaf, CpuidEntry *e)
{
    uint32_t highest = __get_cpuid_max(leaf & 0x80000000, NULL);

    if (leaf <= highest)
        __cpuid_count(leaf, subleaf, e->eax, e->ebx, e->ecx, e->edx);
}

static uint32_t *entry_reg(CpuidEntry *e, unsigned reg)
{
    uint32_t *const regs[] = { &e->eax, &e->ebx, &e->ecx, &e->edx };

    return regs[reg];
}

/* Cache parameters: subleaves until the type is 0. */
static void add_caches(CpuidTable *table, uint32_t leaf)
{
    for (unsigned i = 0; i < 8; i++) {
        CpuidEntry e = { .leaf = leaf, .subleaf = i, .indexed = true };
        host_query(leaf, i, &e);
        if (!(e.eax & 0x1f))
            break;
        *add_entry(table, leaf, i, true) = e;
    }
}

bool dbt_host_has_avx512(void)
{
    /* These look at the host's XCR0, too. */
    return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") &&
           __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl");
}

static void add_xsave(CpuidTable *table)
{
    CpuidEntry host = { 0 }, *e = add_entry(table, 0xd, 0, true);
    uint32_t mask = XCR0_X87 | XCR0_SSE | XCR0_AVX | (dbt_host_has_avx512() ? XCR0_AVX512_PARTS : 0);

    host_query(0xd, 0, &host);
    mask &= host.eax;
    e->eax = mask;
    e->ebx = e->ecx = cpu_state_xsave_size(mask);
    add_entry(table, 0xd, 1, true);
    for (unsigned i = 2; i < 32; i++) {
        if (mask & B(i))
            host_query(0xd, i, add_entry(table, 0xd, i, true));
    }
}

static void add_offers(CpuidTable *table, const FeatureOffer *list, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        const FeatureOffer *o = &list[i];
        CpuidEntry host = { 0 }, *e = cpuid_table_find(table, o->leaf, o->subleaf);

        if (o->leaf >> 16 != 0x4000)
            host_query(o->leaf, o->subleaf, &host);
        if (!e)
            e = add_entry(table, o->leaf, o->subleaf, o->leaf == 7 || o->leaf == 0xd);
        *entry_reg(e, o->reg) |= (*entry_reg(&host, o->reg) & o->host) | o->own;
    }
}

/* The parts of feature leaves that are numbers. */
static void add_numbers(CpuidTable *table)
{
    CpuidEntry host = { 0 }, *e = cpuid_table_find(table, 1, 0);

    host_query(1, 0, &host);
    e->eax = host.eax; /* signature */
    e->ebx = 64 / 8 << 8;
    cpuid_table_find(table, 7, 0)->eax = 2;
    host_query(0x80000008, 0, &host);
    e = cpuid_table_find(table, 0x80000008, 0);
    e->eax = 48 << 8 | MIN(host.eax & 0xff, PHYS_BITS_MAX);
    e = add_entry(table, 0x40000000, 0, false);
    e->eax = TIMING_LEAF;
    memcpy(&e->ebx, "KVMKVMKVM\0\0\0", 12);
    e = add_entry(table, TIMING_LEAF, 0, false);
    e->eax = host_tsc_khz();
    e->ebx = LAPIC_BUS_KHZ;
}

void dbt_supported_cpuid(Accel *accel, CpuidTable *table)
{
    table->count = table->msr_count = 0;
    for (unsigned i = 0; i < G_N_ELEMENTS(host_leaves); i++)
        host_query(host_leaves[i], 0, add_entry(table, host_leaves[i], 0, false));
    add_caches(table, 4);
    add_caches(table, 0x8000001d);
    add_xsave(table);
    add_offers(table, offers, G_N_ELEMENTS(offers));
    if (dbt_host_has_avx512())
        add_offers(table, avx512_offers, G_N_ELEMENTS(avx512_offers));
    add_numbers(table);
    table->msrs[table->msr_count++] = (FeatureMsr){ MSR_ARCH_CAPABILITIES, ARCH_CAPABILITIES_VALUE };
}

static bool apic_enabled(DbtVcpu *v)
{
    const Vcpu *cpu = v->cpu;
    uint64_t base = v->state->apic_base;

    if (cpu->intr)
        cpu->intr->read_msr(cpu->intr_opaque, MSR_APIC_BASE, &base);
    return base & APIC_BASE_ENABLE;
}

/* SDM vol. 1, 13.4.3: one behind the other, those with ECX[1] aligned. All our components are user ones. */
static uint32_t compacted_size(const DbtVcpu *v, uint64_t mask)
{
    uint32_t size = XSAVE_EXTENDED, regs[4];

    for (unsigned i = 2; i < 63; i++) {
        if (!(mask & BIT(i)))
            continue;
        cpuid_table_query(v->cpuid, 0xd, i, regs);
        size = (regs[ECX] & 2 ? (uint32_t)align_up(size, 64) : size) + regs[EAX];
    }
    return size;
}

void dbt_cpuid(DbtVcpu *v, uint32_t leaf, uint32_t subleaf, uint32_t regs[4])
{
    const CpuState *s = v->state;

    memset(regs, 0, 4 * sizeof(*regs));
    if (!v->cpuid)
        return;
    cpuid_table_query(v->cpuid, leaf, subleaf, regs);
    if (leaf == 1) {
        regs[ECX] &= ~B(27);
        if (s->cr4 & CR4_OSXSAVE)
            regs[ECX] |= B(27);
    }
    if ((leaf == 1 || leaf == 0x80000001) && !apic_enabled(v))
        regs[EDX] &= ~B(9);
    if (leaf == 0xd && subleaf < 2 && regs[EAX])
        regs[EBX] = subleaf ? compacted_size(v, s->xcr0) : cpu_state_xsave_size(s->xcr0);
}

static uint32_t feature_word(const DbtVcpu *v, uint32_t leaf, uint32_t subleaf, unsigned reg)
{
    uint32_t highest[4], regs[4] = { 0 };

    if (!v->cpuid)
        return 0;
    cpuid_table_query(v->cpuid, leaf & 0xffff0000, 0, highest);
    if (leaf > highest[EAX] || (leaf ^ highest[EAX]) >> 16)
        return 0;
    cpuid_table_query(v->cpuid, leaf, subleaf, regs);
    return regs[reg];
}

static uint64_t when(uint32_t word, unsigned bit, uint64_t value)
{
    return word >> bit & 1 ? value : 0;
}

static uint64_t cr4_allowed(const DbtVcpu *v)
{
    uint32_t edx = feature_word(v, 1, 0, EDX), ecx = feature_word(v, 1, 0, ECX);
    uint32_t ebx7 = feature_word(v, 7, 0, EBX), ecx7 = feature_word(v, 7, 0, ECX);

    return CR4_PCE | when(edx, 4, CR4_TSD) | when(edx, 2, CR4_DE) | when(edx, 3, CR4_PSE) |
           when(edx, 6, CR4_PAE) | when(edx, 7, CR4_MCE) | when(edx, 13, CR4_PGE) |
           when(edx, 24, CR4_OSFXSR) | when(edx, 25, CR4_OSXMMEXCPT) | when(ecx7, 2, CR4_UMIP) |
           when(ebx7, 0, CR4_FSGSBASE) | when(ecx, 17, CR4_PCIDE) | when(ecx, 26, CR4_OSXSAVE) |
           when(ebx7, 7, CR4_SMEP) | when(ebx7, 20, CR4_SMAP);
}

static void learn_xsave_layout(DbtVcpu *v)
{
    v->sys->xsave_aligned = 0;
    for (unsigned i = 2; i < XSAVE_COMPONENTS; i++) {
        v->sys->xsave_offset[i] = feature_word(v, 0xd, i, EBX);
        v->sys->xsave_aligned |= (feature_word(v, 0xd, i, ECX) >> 1 & 1) << i;
    }
}

void dbt_sys_cpuid_changed(DbtVcpu *v)
{
    DbtSys *sys = v->sys;
    uint32_t ext = feature_word(v, 0x80000001, 0, EDX), kvm = feature_word(v, 0x40000001, 0, EAX);
    uint32_t edx7 = feature_word(v, 7, 0, EDX), edx72 = feature_word(v, 7, 2, EDX);
    uint32_t timing = feature_word(v, TIMING_LEAF, 0, EAX);
    unsigned phys_bits = feature_word(v, 0x80000008, 0, EAX) & 0xff;

    sys->cr4_allowed = cr4_allowed(v);
    sys->efer_allowed = when(ext, 11, EFER_SCE) | when(ext, 29, EFER_LME) | when(ext, 20, EFER_NXE) |
                        when(feature_word(v, 0x80000021, 0, EAX), 8, EFER_AIBRSE);
    sys->xcr0_allowed = feature_word(v, 1, 0, ECX) & B(26) ? feature_word(v, 0xd, 0, EAX) : 0;
    sys->spec_ctrl_allowed = when(edx7, 26, B(0)) | when(edx7, 27, B(1)) | when(edx7, 31, B(2)) |
                             when(edx72, 4, B(10));
    sys->pred_cmd = edx7 & B(26);
    sys->amd = feature_word(v, 0, 0, EBX) == 0x68747541; /* "Auth" */
    sys->phys_bits = phys_bits ? phys_bits : 36;
    sys->kvm = feature_word(v, 0x40000000, 0, EBX) == 0x4b4d564b; /* "KVMK" */
    sys->kvm_clock = kvm & B(0);
    sys->kvm_clock2 = kvm & B(3);
    sys->kvm_pv_eoi = kvm & B(6);
    sys->kvm_poll = kvm & B(12);
    sys->tsc_hz = (timing ? timing : host_tsc_khz()) * 1000ull;
    learn_xsave_layout(v);
    v->mmu->phys_bits = sys->phys_bits;
    v->mmu->reserved = BITS(51, 0) & ~(BIT(sys->phys_bits) - 1);
}

bool dbt_sys_init(DbtVcpu *v, GError **errp)
{
    v->sys = g_new0(DbtSys, 1);
    dbt_sys_cpuid_changed(v);
    return true;
}

void dbt_sys_release(DbtVcpu *v)
{
    g_clear_pointer(&v->sys, g_free);
}
