/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * CPU features by name: each is one bit of a CPUID register or of a feature MSR.
 *
 * The table is the single source for -cpu's "+f,-f", the named models, "-cpu help" and the filter
 * against what the accelerator offers. A bit without a row is never shown to a guest: what it
 * would need (state to save, MSRs, a leaf of its own) is unknown here.
 */
#ifndef HW_I386_CPU_FEATURES_H
#define HW_I386_CPU_FEATURES_H

#include <stdbool.h>
#include <stdint.h>

#include "accel/accel.h"

/* The registers features live in: FEAT_<leaf>_[<subleaf>_]<register>, or the MSR's name. */
typedef enum FeatureWord {
    FEAT_1_EDX,
    FEAT_1_ECX,
    FEAT_6_EAX,
    FEAT_7_0_EBX,
    FEAT_7_0_ECX,
    FEAT_7_0_EDX,
    FEAT_7_1_EAX,
    FEAT_7_1_EDX,
    FEAT_7_2_EDX,
    FEAT_D_1_EAX,
    FEAT_80000001_EDX,
    FEAT_80000001_ECX,
    FEAT_80000007_EDX,
    FEAT_80000008_EBX,
    FEAT_8000000A_EDX,
    FEAT_80000021_EAX,
    FEAT_80000021_ECX,
    FEAT_KVM,       /* 40000001h EAX */
    FEAT_KVM_HINTS, /* 40000001h EDX */
    FEAT_ARCH_CAPABILITIES,
    FEAT_CORE_CAPABILITIES,
    FEAT_WORD_COUNT,
} FeatureWord;

enum { CPUID_EAX, CPUID_EBX, CPUID_ECX, CPUID_EDX };

#define MSR_IA32_UCODE_REV 0x8b
#define MSR_IA32_CORE_CAPABILITIES 0xcf
#define MSR_IA32_ARCH_CAPABILITIES 0x10a
#define MSR_IA32_PERF_CAPABILITIES 0x345
#define MSR_K7_HWCR 0xc0010015
#define HWCR_TSC_FREQ_SEL (1u << 24) /* the TSC counts at the P0 frequency */

/* Where a word is. msr is 0 for CPUID words. */
typedef struct FeatureWordInfo {
    uint32_t leaf, subleaf;
    uint8_t reg;
    bool indexed;
    uint32_t msr;
} FeatureWordInfo;

typedef struct CpuFeature {
    const char *name;
    FeatureWord word;
    uint8_t bit;
    const char *alias; /* another name in use, or NULL */
} CpuFeature;

typedef struct FeatureSet {
    uint64_t words[FEAT_WORD_COUNT];
} FeatureSet;

/* Useless without: cleared when needs is absent. */
typedef struct FeatureDependency {
    const char *feature, *needs;
} FeatureDependency;

/* cpu-feature-table.c; the last two end with a NULL name. */
extern const FeatureWordInfo feature_words[FEAT_WORD_COUNT];
extern const FeatureDependency feature_dependencies[];
extern const CpuFeature cpu_features[];

/* '-', '_' and '.' are the same in a name. NULL if unknown. */
const CpuFeature *cpu_feature_find(const char *name);

static inline bool feature_set_has(const FeatureSet *set, const CpuFeature *feature)
{
    return set->words[feature->word] >> feature->bit & 1;
}

static inline void feature_set_change(FeatureSet *set, const CpuFeature *feature, bool on)
{
    uint64_t mask = 1ull << feature->bit;

    if (on)
        set->words[feature->word] |= mask;
    else
        set->words[feature->word] &= ~mask;
}

/* Applies a model's list: names separated by spaces, "-name" removes. The names must exist. */
void feature_set_apply(FeatureSet *set, const char *list);
/* The named bits a CPUID table has. */
void feature_set_from_cpuid(FeatureSet *set, const CpuidTable *table);
/* Clears features that need one that is not in the set (SDM vol. 1, the "Detection of ..." section
 * of each extension), until nothing changes. */
void feature_set_drop_orphans(FeatureSet *set);

#endif
