/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * From a CpuModel to the leaves a vCPU's CPUID shows.
 *
 * Sources: SDM vol. 2A, CPUID; AMD APM vol. 3, appendix E; Linux Documentation/virt/kvm/x86/cpuid.rst
 * for 40000000h up, and the VMware timing leaf 40000010h.
 *
 * The dynamic bits (OSXSAVE, OSPKE, the XSAVE size for the present XCR0) are the accelerator's.
 * Topology and caches are in cpu-topology.c.
 *
 * Locking: none; models are immutable.
 */
#include <string.h>

#include "cpu-model-internal.h"

#define KVM_SIGNATURE_LEAF 0x40000000
#define TIMING_LEAF 0x40000010
#define XSAVE_LEGACY_SIZE 576 /* FXSAVE image and XSAVE header: SDM vol. 1, 13.4 */

/* XSAVE state components and the feature that brings each (SDM vol. 1, 13.1). */
static const struct {
    unsigned bit;
    const char *feature;
} xsave_components[] = {
    { 2, "avx" },     { 3, "mpx" },     { 4, "mpx" }, { 5, "avx512f" },   { 6, "avx512f" },
    { 7, "avx512f" }, { 9, "pku" }, { 17, "amx-tile" }, { 18, "amx-tile" },
};

CpuidEntry *cpuid_table_add(CpuidTable *table, uint32_t leaf, uint32_t subleaf, bool indexed)
{
    CpuidEntry *e;

    g_assert(table->count < G_N_ELEMENTS(table->entries));
    e = &table->entries[table->count++];
    *e = (CpuidEntry){ .leaf = leaf, .subleaf = subleaf, .indexed = indexed };
    return e;
}

const CpuidEntry *cpuid_table_peek(const CpuidTable *table, uint32_t leaf, uint32_t subleaf)
{
    for (unsigned i = 0; i < table->count; i++) {
        const CpuidEntry *e = &table->entries[i];

        if (e->leaf == leaf && (!e->indexed || e->subleaf == subleaf))
            return e;
    }
    return NULL;
}

/* Copies a leaf the accelerator describes in full. */
static void copy_leaf(const CpuModel *m, CpuidTable *table, uint32_t leaf)
{
    for (unsigned i = 0; i < m->supported.count; i++) {
        const CpuidEntry *e = &m->supported.entries[i];

        if (e->leaf == leaf)
            *cpuid_table_add(table, leaf, e->subleaf, e->indexed) = *e;
    }
}

static uint32_t word(const CpuModel *m, FeatureWord w)
{
    return m->features.words[w];
}

static bool has_timing(const CpuModel *m)
{
    return m->tsc_khz && m->bus_khz;
}

void cpu_model_settle_levels(CpuModel *m)
{
    uint32_t level = m->level, xlevel = m->xlevel;
    bool intel = !cpu_model_is_amd(m);

    if (word(m, FEAT_6_EAX))
        level = MAX(level, 6);
    if (word(m, FEAT_7_0_EBX) || word(m, FEAT_7_0_ECX) || word(m, FEAT_7_0_EDX))
        level = MAX(level, 7);
    if (m->topology.smp.cpus > 1 || cpu_model_has(m, "x2apic"))
        level = MAX(level, 0xb);
    if (cpu_model_has(m, "xsave"))
        level = MAX(level, 0xd);
    if (intel && !m->named && has_timing(m))
        level = MAX(level, 0x16);
    if (cpu_model_has(m, "amx-tile"))
        level = MAX(level, 0x1e);
    if (intel && m->topology.smp.dies > 1)
        level = MAX(level, 0x1f);
    if (word(m, FEAT_80000001_EDX) || word(m, FEAT_80000001_ECX))
        xlevel = MAX(xlevel, 0x80000008);
    if (word(m, FEAT_8000000A_EDX))
        xlevel = MAX(xlevel, 0x8000000a);
    if (cpu_model_has(m, "topoext"))
        xlevel = MAX(xlevel, 0x8000001e);
    if (word(m, FEAT_80000021_EAX) || word(m, FEAT_80000021_ECX))
        xlevel = MAX(xlevel, 0x80000021);
    m->level = m->level_fixed ? m->level : level;
    m->xlevel = m->xlevel_fixed ? m->xlevel : xlevel;
}

static void add_vendor(const CpuModel *m, CpuidTable *table, uint32_t leaf, uint32_t highest)
{
    CpuidEntry *e = cpuid_table_add(table, leaf, 0, false);

    e->eax = highest;
    memcpy(&e->ebx, m->vendor, 4);
    memcpy(&e->edx, m->vendor + 4, 4);
    memcpy(&e->ecx, m->vendor + 8, 4);
}

/* EBX[23:16] of leaf 1: ids a package spans for Intel, threads for AMD (APM vol. 3, E.5.1). */
static unsigned package_ids(const CpuModel *m)
{
    const CpuTopology *t = &m->topology;
    unsigned n = cpu_model_is_amd(m) ? cpu_topology_package_threads(t) : 1u << t->package_shift;

    return MIN(n, 255);
}

static void add_leaf_1(const CpuModel *m, CpuidTable *table, uint32_t apic_id)
{
    CpuidEntry *e = cpuid_table_add(table, 1, 0, false);

    e->eax = m->signature;
    e->ebx = apic_id << 24 | package_ids(m) << 16 | 64 / 8 << 8; /* CLFLUSH line in quadwords */
    e->ecx = word(m, FEAT_1_ECX);
    e->edx = word(m, FEAT_1_EDX);
}

static void add_monitor(const CpuModel *m, CpuidTable *table)
{
    CpuidEntry *e = cpuid_table_add(table, 5, 0, false);

    if (cpu_model_has(m, "monitor")) {
        e->eax = e->ebx = 64; /* line sizes */
        e->ecx = 3;           /* enumerated; interrupts break MWAIT even if masked */
    }
}

static void add_leaf_7(const CpuModel *m, CpuidTable *table)
{
    uint32_t highest = word(m, FEAT_7_2_EDX) ? 2 : word(m, FEAT_7_1_EAX) || word(m, FEAT_7_1_EDX) ? 1 : 0;
    CpuidEntry *e = cpuid_table_add(table, 7, 0, true);

    e->eax = highest;
    e->ebx = word(m, FEAT_7_0_EBX);
    e->ecx = word(m, FEAT_7_0_ECX);
    e->edx = word(m, FEAT_7_0_EDX);
    e = cpuid_table_add(table, 7, 1, true);
    e->eax = word(m, FEAT_7_1_EAX);
    e->edx = word(m, FEAT_7_1_EDX);
    e = cpuid_table_add(table, 7, 2, true);
    e->edx = word(m, FEAT_7_2_EDX);
}

/* XCR0 bits the guest may set: its features' components, as far as the accelerator has them. */
static uint64_t xcr0_mask(const CpuModel *m)
{
    const CpuidEntry *e = cpuid_table_peek(&m->supported, 0xd, 0);
    uint64_t offer = e ? (uint64_t)e->edx << 32 | e->eax : 0, mask = 3;

    for (unsigned i = 0; i < G_N_ELEMENTS(xsave_components); i++)
        if (cpu_model_has(m, xsave_components[i].feature))
            mask |= 1ull << xsave_components[i].bit;
    return mask & offer;
}

/* Leaf Dh: the layout is the accelerator's, which is the host CPU's. */
static void add_xsave(const CpuModel *m, CpuidTable *table)
{
    uint64_t mask = xcr0_mask(m);
    uint32_t size = XSAVE_LEGACY_SIZE;
    CpuidEntry *leaf0, *leaf1;

    if (!cpu_model_has(m, "xsave") || !mask)
        return;
    leaf0 = cpuid_table_add(table, 0xd, 0, true);
    leaf1 = cpuid_table_add(table, 0xd, 1, true);
    for (unsigned bit = 2; bit < 63; bit++) {
        const CpuidEntry *e = mask >> bit & 1 ? cpuid_table_peek(&m->supported, 0xd, bit) : NULL;

        if (!e)
            continue;
        *cpuid_table_add(table, 0xd, bit, true) = *e;
        size = MAX(size, e->ebx + e->eax);
    }
    leaf0->eax = mask;
    leaf0->edx = mask >> 32;
    leaf0->ebx = leaf0->ecx = size;
    leaf1->eax = word(m, FEAT_D_1_EAX);
    leaf1->ebx = size;
}

/*
 * The fraction p/q nearest to n/d with p <= limit, by continued fractions. Guests multiply the
 * numerator by the crystal's kHz in 32 bits (Linux native_calibrate_tsc), so it must stay small;
 * the error is below 1/(p q), less than a part per million here.
 */
static void approximate(uint64_t n, uint64_t d, uint32_t limit, uint32_t *p, uint32_t *q)
{
    uint64_t p0 = 0, q0 = 1, p1 = 1, q1 = 0;

    while (d) {
        uint64_t a = n / d, p2 = a * p1 + p0, q2 = a * q1 + q0, r = n % d;

        if (p2 > limit)
            break;
        p0 = p1, q0 = q1, p1 = p2, q1 = q2;
        n = d, d = r;
    }
    *p = p1;
    *q = q1;
}

/* Leaves 15h and 16h: the crystal is the APIC timer's clock, as SDM vol. 3, 11.5.4 has it. */
static void add_frequencies(const CpuModel *m, CpuidTable *table)
{
    CpuidEntry *e;
    uint32_t numerator, denominator;

    if (!has_timing(m) || cpu_model_is_amd(m))
        return;
    approximate(m->tsc_khz, m->bus_khz, UINT32_MAX / m->bus_khz, &numerator, &denominator);
    if (m->level >= 0x15 && numerator && denominator && m->bus_khz <= UINT32_MAX / 1000) {
        e = cpuid_table_add(table, 0x15, 0, false);
        e->eax = denominator;
        e->ebx = numerator;
        e->ecx = m->bus_khz * 1000;
    }
    if (m->level >= 0x16) {
        e = cpuid_table_add(table, 0x16, 0, false);
        e->eax = e->ebx = MIN((m->tsc_khz + 500) / 1000, 0xffff);
        e->ecx = 100; /* bus MHz, as every such CPU says */
    }
}

static void add_kvm(const CpuModel *m, CpuidTable *table)
{
    CpuidEntry *e;

    if (!m->kvm || !(word(m, FEAT_KVM) || has_timing(m)))
        return;
    e = cpuid_table_add(table, KVM_SIGNATURE_LEAF, 0, false);
    e->eax = has_timing(m) ? TIMING_LEAF : KVM_SIGNATURE_LEAF + 1;
    memcpy(&e->ebx, "KVMK", 4);
    memcpy(&e->ecx, "VMKV", 4);
    memcpy(&e->edx, "M\0\0\0", 4);
    e = cpuid_table_add(table, KVM_SIGNATURE_LEAF + 1, 0, false);
    e->eax = word(m, FEAT_KVM);
    e->edx = word(m, FEAT_KVM_HINTS);
    if (has_timing(m)) {
        e = cpuid_table_add(table, TIMING_LEAF, 0, false);
        e->eax = m->tsc_khz;
        e->ebx = m->bus_khz;
    }
}

/* Bits of leaf 1 EDX that AMD repeats in 80000001h EDX (APM vol. 3, E.4.2). */
#define AMD_ALIAS_BITS 0x0183f3ff

static void add_brand(const CpuModel *m, CpuidTable *table)
{
    for (unsigned i = 0; i < 3; i++) {
        CpuidEntry *e = cpuid_table_add(table, 0x80000002 + i, 0, false);

        memcpy(&e->eax, m->model_id + 16 * i, 4);
        memcpy(&e->ebx, m->model_id + 16 * i + 4, 4);
        memcpy(&e->ecx, m->model_id + 16 * i + 8, 4);
        memcpy(&e->edx, m->model_id + 16 * i + 12, 4);
    }
}

static void add_address_sizes(const CpuModel *m, CpuidTable *table)
{
    CpuidEntry *e = cpuid_table_add(table, 0x80000008, 0, false);
    unsigned linear = cpu_model_has(m, "la57") ? 57 : 48;

    e->eax = cpu_model_has(m, "lm") ? linear << 8 | m->phys_bits : 32 << 8 | (cpu_model_has(m, "pse36") ? 36 : 32);
    e->ebx = word(m, FEAT_80000008_EBX);
    if (cpu_model_is_amd(m)) /* ApicIdSize and NC */
        e->ecx = m->topology.package_shift << 12 | (MIN(cpu_topology_package_threads(&m->topology), 256) - 1);
}

static void add_extended(const CpuModel *m, CpuidTable *table)
{
    CpuidEntry *e;

    add_vendor(m, table, 0x80000000, m->xlevel);
    e = cpuid_table_add(table, 0x80000001, 0, false);
    e->eax = m->signature;
    e->ecx = word(m, FEAT_80000001_ECX);
    e->edx = word(m, FEAT_80000001_EDX);
    if (cpu_model_is_amd(m))
        e->edx |= word(m, FEAT_1_EDX) & AMD_ALIAS_BITS;
    if (m->xlevel >= 0x80000004)
        add_brand(m, table);
    if (m->xlevel >= 0x80000007)
        cpuid_table_add(table, 0x80000007, 0, false)->edx = word(m, FEAT_80000007_EDX);
    if (m->xlevel >= 0x80000008)
        add_address_sizes(m, table);
    if (m->xlevel >= 0x8000000a && cpu_model_has(m, "svm")) {
        e = cpuid_table_add(table, 0x8000000a, 0, false);
        e->eax = 1;  /* revision */
        e->ebx = 16; /* ASIDs */
        e->edx = word(m, FEAT_8000000A_EDX);
    }
    if (m->xlevel >= 0x80000021) {
        e = cpuid_table_add(table, 0x80000021, 0, false);
        e->eax = word(m, FEAT_80000021_EAX);
        e->ecx = word(m, FEAT_80000021_ECX);
    }
}

static void add_msr(CpuidTable *table, uint32_t index, uint64_t value)
{
    table->msrs[table->msr_count++] = (FeatureMsr){ index, value };
}

/* Microcode revision and performance capabilities are the host's, where it tells. */
static void add_msrs(const CpuModel *m, CpuidTable *table)
{
    for (unsigned i = 0; i < m->supported.msr_count; i++) {
        const FeatureMsr *msr = &m->supported.msrs[i];

        if ((msr->index == MSR_IA32_UCODE_REV && !m->named) ||
            (msr->index == MSR_IA32_PERF_CAPABILITIES && cpu_model_has(m, "pdcm")))
            add_msr(table, msr->index, msr->value);
    }
    if (cpu_model_has(m, "arch-capabilities"))
        add_msr(table, MSR_IA32_ARCH_CAPABILITIES, m->features.words[FEAT_ARCH_CAPABILITIES]);
    /* Goes with an invariant TSC (AMD PPR, HWCR[24]); Linux calls it a firmware bug otherwise. */
    if (cpu_model_is_amd(m) && cpu_model_has(m, "invtsc"))
        add_msr(table, MSR_K7_HWCR, HWCR_TSC_FREQ_SEL);
    if (cpu_model_has(m, "core-capability"))
        add_msr(table, MSR_IA32_CORE_CAPABILITIES, m->features.words[FEAT_CORE_CAPABILITIES]);
}

void cpu_model_get_cpuid(const CpuModel *m, unsigned index, CpuidTable *table)
{
    uint32_t apic_id = cpu_model_apic_id(m, index);

    table->count = table->msr_count = 0;
    add_vendor(m, table, 0, m->level);
    add_leaf_1(m, table, apic_id);
    if (m->level >= 2 && !cpu_model_is_amd(m)) /* descriptor FFh: see leaf 4 */
        cpuid_table_add(table, 2, 0, false)->eax = 0xff01;
    if (m->level >= 5)
        add_monitor(m, table);
    if (m->level >= 6)
        cpuid_table_add(table, 6, 0, false)->eax = word(m, FEAT_6_EAX);
    if (m->level >= 7)
        add_leaf_7(m, table);
    if (m->level >= 0xa && m->pmu)
        copy_leaf(m, table, 0xa);
    if (m->level >= 0xd)
        add_xsave(m, table);
    add_frequencies(m, table);
    if (cpu_model_has(m, "amx-tile")) {
        copy_leaf(m, table, 0x1d);
        copy_leaf(m, table, 0x1e);
    }
    add_kvm(m, table);
    if (m->xlevel >= 0x80000000)
        add_extended(m, table);
    cpu_topology_add_leaves(m, apic_id, table);
    add_msrs(m, table);
}
