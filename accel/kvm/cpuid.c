/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * CPUID: what KVM can offer (api 4.46) and what a vCPU shows (api 4.74); feature MSRs (api 4.18).
 *
 * Locking: none; before the vCPUs run.
 */
#include <cpuid.h>
#include <errno.h>
#include <linux/kvm_para.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "core/error.h"
#include "core/log.h"
#include "core/tsc.h"
#include "kvm-internal.h"

#define CPUID_1_ECX_X2APIC (1u << 21)
#define CPUID_1_ECX_TSC_DEADLINE (1u << 24)
#define CPUID_1_ECX_HYPERVISOR (1u << 31)
#define CPUID_6_EAX_ARAT (1u << 2)

/* 40000001h EAX bits that need KVM's LAPIC: async page faults, PV EOI, PV unhalt, PV IPI. */
#define KVM_FEATURES_OF_LAPIC                                                                      \
    (1u << KVM_FEATURE_ASYNC_PF | 1u << KVM_FEATURE_PV_EOI | 1u << KVM_FEATURE_PV_UNHALT |          \
     1u << KVM_FEATURE_ASYNC_PF_VMEXIT | 1u << KVM_FEATURE_PV_SEND_IPI | 1u << KVM_FEATURE_ASYNC_PF_INT)

/* KVM's APIC timer counts nanoseconds: APIC_BUS_CYCLE_NS in the kernel. */
#define KVM_APIC_BUS_KHZ 1000000

#define TIMING_LEAF 0x40000010
#define TSC_TOLERANCE 4000 /* 250 ppm, as hardware tolerates */

/* arch_prctl: permission to use AMX tiles in guests (Linux Documentation/arch/x86/xstate.rst). */
#define ARCH_REQ_XCOMP_GUEST_PERM 0x1025
#define XFEATURE_XTILE_DATA 18

/* The leaves a model reads (hw/i386/cpu-model.c); the rest of KVM's list is of no use to it. */
static const uint32_t useful_leaves[] = {
    0, 1, 4, 6, 7, 0xa, 0xd, 0x1d, 0x1e, 0x40000001, 0x80000000, 0x80000001, 0x80000002, 0x80000003, 0x80000004,
    0x80000007, 0x80000008, 0x8000000a, 0x8000001d, 0x80000021,
};

static const uint32_t feature_msrs[] = { 0x8b, 0xcf, 0x10a, 0x345 };

static struct kvm_cpuid2 *alloc_cpuid(unsigned nent)
{
    struct kvm_cpuid2 *cpuid = g_malloc0(sizeof(*cpuid) + nent * sizeof(cpuid->entries[0]));

    cpuid->nent = nent;
    return cpuid;
}

static struct kvm_cpuid2 *read_supported(int fd)
{
    for (unsigned nent = 128; nent <= 1024; nent *= 2) {
        struct kvm_cpuid2 *cpuid = alloc_cpuid(nent);

        if (kvm_ioctl(fd, KVM_GET_SUPPORTED_CPUID, cpuid) >= 0)
            return cpuid;
        g_free(cpuid);
        if (errno != E2BIG)
            break;
    }
    return alloc_cpuid(0);
}

static bool useful(uint32_t leaf)
{
    for (unsigned i = 0; i < G_N_ELEMENTS(useful_leaves); i++)
        if (useful_leaves[i] == leaf)
            return true;
    return false;
}

static CpuidEntry *add_entry(CpuidTable *table, uint32_t leaf)
{
    CpuidEntry *e;

    if (table->count == G_N_ELEMENTS(table->entries))
        return NULL;
    e = &table->entries[table->count++];
    *e = (CpuidEntry){ .leaf = leaf };
    return e;
}

static CpuidEntry *find_or_add(CpuidTable *table, uint32_t leaf)
{
    for (unsigned i = 0; i < table->count; i++)
        if (table->entries[i].leaf == leaf)
            return &table->entries[i];
    return add_entry(table, leaf);
}

/* KVM leaves the brand string out. */
static void add_brand(CpuidTable *table)
{
    for (uint32_t leaf = 0x80000002; leaf <= 0x80000004; leaf++) {
        CpuidEntry *e = find_or_add(table, leaf);

        if (e && !(e->eax | e->ebx | e->ecx | e->edx))
            __get_cpuid(leaf, &e->eax, &e->ebx, &e->ecx, &e->edx);
    }
}

static void add_timing(const KvmAccel *kvm, CpuidTable *table)
{
    int khz = kvm->first_vcpu_fd < 0 ? -1 : kvm_ioctl(kvm->first_vcpu_fd, KVM_GET_TSC_KHZ, NULL);
    CpuidEntry *e = find_or_add(table, TIMING_LEAF);

    if (e) {
        e->eax = khz > 0 ? (uint32_t)khz : host_tsc_khz();
        e->ebx = KVM_APIC_BUS_KHZ;
    }
}

/* What depends on where the LAPIC is. KVM lists x2APIC whether or not it models the LAPIC, and the
 * TSC deadline timer, which comes with it, is a capability of its own on older kernels. */
static void fix_apic_features(const KvmAccel *kvm, CpuidTable *table)
{
    CpuidEntry *leaf1 = find_or_add(table, 1), *pv = find_or_add(table, 0x40000001);

    if (kvm->accel.irqchip != IRQCHIP_USERSPACE) {
        if (leaf1 && kvm_check(kvm->fd, KVM_CAP_TSC_DEADLINE_TIMER))
            leaf1->ecx |= CPUID_1_ECX_TSC_DEADLINE;
        return;
    }
    if (leaf1)
        leaf1->ecx &= ~(CPUID_1_ECX_X2APIC | CPUID_1_ECX_TSC_DEADLINE);
    if (pv)
        pv->eax &= ~KVM_FEATURES_OF_LAPIC;
}

static void add_feature_msrs(const KvmAccel *kvm, CpuidTable *table)
{
    for (unsigned i = 0; i < G_N_ELEMENTS(feature_msrs); i++) {
        FeatureMsr *msr = &table->msrs[table->msr_count];

        msr->index = feature_msrs[i];
        if (kvm_get_msr(kvm->fd, msr->index, &msr->value))
            table->msr_count++;
    }
}

void kvm_supported_cpuid(Accel *accel, CpuidTable *table)
{
    KvmAccel *kvm = kvm_of(accel);
    g_autofree struct kvm_cpuid2 *cpuid = NULL;
    CpuidEntry *e;

    /* Without the permission KVM leaves AMX out; hosts without AMX refuse. */
    (void)syscall(SYS_arch_prctl, ARCH_REQ_XCOMP_GUEST_PERM, XFEATURE_XTILE_DATA);
    cpuid = read_supported(kvm->fd);
    table->count = table->msr_count = 0;
    for (uint32_t i = 0; i < cpuid->nent; i++) {
        const struct kvm_cpuid_entry2 *k = &cpuid->entries[i];

        if (!useful(k->function) || !(e = add_entry(table, k->function)))
            continue;
        e->subleaf = k->index;
        e->indexed = k->flags & KVM_CPUID_FLAG_SIGNIFCANT_INDEX;
        e->eax = k->eax;
        e->ebx = k->ebx;
        e->ecx = k->ecx;
        e->edx = k->edx;
    }
    if ((e = find_or_add(table, 1)))
        e->ecx |= CPUID_1_ECX_HYPERVISOR;
    if ((e = find_or_add(table, 6)))
        e->eax |= CPUID_6_EAX_ARAT; /* KVM's timer never stops */
    fix_apic_features(kvm, table);
    add_brand(table);
    add_timing(kvm, table);
    add_feature_msrs(kvm, table);
}

static const CpuidEntry *find_leaf(const CpuidTable *table, uint32_t leaf)
{
    for (unsigned i = 0; i < table->count; i++)
        if (table->entries[i].leaf == leaf)
            return &table->entries[i];
    return NULL;
}

/* A TSC frequency other than the host's, from -cpu tsc-frequency=. */
static bool set_tsc_khz(KvmVcpu *kv, const CpuidTable *table, GError **errp)
{
    const CpuidEntry *timing = find_leaf(table, TIMING_LEAF);
    int host = timing ? kvm_ioctl(kv->fd, KVM_GET_TSC_KHZ, NULL) : -1;

    /* KVM's and our own measure of the host may differ in the last digits. */
    if (host <= 0 || (uint32_t)ABS((int64_t)timing->eax - host) <= (uint32_t)host / TSC_TOLERANCE)
        return true;
    if (kvm_ioctl(kv->fd, KVM_SET_TSC_KHZ, (void *)(uintptr_t)timing->eax) < 0)
        return error_set(errp, "KVM cannot run the TSC at %u kHz: this host's runs at %d kHz and cannot be scaled",
                         timing->eax, host);
    return true;
}

static void set_feature_msrs(KvmVcpu *kv, const CpuidTable *table)
{
    for (unsigned i = 0; i < table->msr_count; i++)
        if (!kvm_set_msr(kv->fd, table->msrs[i].index, table->msrs[i].value) && kv->cpu->index == 0)
            log_printf(LOG_UNIMP, "kvm: the host refuses feature MSR %#x = %#llx; left as it is\n",
                       table->msrs[i].index, (unsigned long long)table->msrs[i].value);
}

bool kvm_vcpu_set_cpuid(Vcpu *vcpu, const CpuidTable *table, GError **errp)
{
    KvmVcpu *kv = kvm_vcpu_of(vcpu);
    g_autofree struct kvm_cpuid2 *cpuid = alloc_cpuid(table->count);
    const CpuidEntry *xsave = find_leaf(table, 0xd);

    for (unsigned i = 0; i < table->count; i++) {
        const CpuidEntry *e = &table->entries[i];

        cpuid->entries[i] = (struct kvm_cpuid_entry2){
            .function = e->leaf,
            .index = e->subleaf,
            .flags = e->indexed ? KVM_CPUID_FLAG_SIGNIFCANT_INDEX : 0,
            .eax = e->eax,
            .ebx = e->ebx,
            .ecx = e->ecx,
            .edx = e->edx,
        };
    }
    if (kvm_ioctl(kv->fd, KVM_SET_CPUID2, cpuid) < 0)
        return error_set_errno(errp, errno, "KVM refuses this CPUID (KVM_SET_CPUID2, %u leaves)", table->count);
    kvm_regs_set_xcr0_mask(kv, xsave ? (uint64_t)xsave->edx << 32 | xsave->eax : 0);
    if (!set_tsc_khz(kv, table, errp))
        return false;
    set_feature_msrs(kv, table);
    return true;
}
