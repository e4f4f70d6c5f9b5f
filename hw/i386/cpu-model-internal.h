/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the files of the CPU models share:
 *
 *   cpu-model.c          options and model name -> CpuModel (features, identity), the filter
 *   cpu-model-props.c    "-cpu" properties, the argument's syntax, help
 *   cpu-model-table.c    the named models
 *   cpu-features.c       feature names and sets; cpu-feature-table.c their tables
 *   cpu-topology.c       APIC ids, caches and the leaves that show them
 *   cpu-cpuid.c          CpuModel -> CpuidTable
 */
#ifndef HW_I386_CPU_MODEL_INTERNAL_H
#define HW_I386_CPU_MODEL_INTERNAL_H

#include "cpu-features.h"
#include "hw/i386/cpu-model.h"

#define VENDOR_INTEL "GenuineIntel"
#define VENDOR_AMD "AuthenticAMD"
#define VENDOR_HYGON "HygonGenuine"

#define CPUID_VENDOR_LEN 12
#define CPUID_MODEL_ID_LEN 48

/* A named model: base's features, changed by the list. Everything else is its own. */
typedef struct CpuModelDef {
    const char *name;
    const char *alias; /* another name in use, or NULL */
    const char *base;  /* NULL: no features */
    const char *vendor;
    uint16_t family, model, stepping;
    uint32_t level, xlevel; /* highest basic and extended leaf, at least; xlevel 0: none */
    const char *model_id;
    const char *features;
} CpuModelDef;

/* Ends with a NULL name. */
extern const CpuModelDef cpu_model_defs[];
/* "NAME-v1" is NAME. NULL if unknown. */
const CpuModelDef *cpu_model_def_find(const char *name);

/* The values of -cpu's properties. Numbers that are -1 (or 0 for bit counts): not given. */
typedef struct CpuProps {
    bool check, enforce, migratable, kvm, host_phys_bits, l3_cache;
    int pmu; /* index into auto, off, on */
    int32_t family, model, stepping;
    uint32_t level, xlevel, phys_bits;
    uint64_t tsc_frequency;
    char *vendor, *model_id;
} CpuProps;

enum { PMU_AUTO, PMU_OFF, PMU_ON };

extern const Property cpu_props[];

/* One item of -cpu's list. Exactly one of feature and prop is set; value is the rest (on/off applied
 * to on for features). */
typedef struct CpuListItem {
    const CpuFeature *feature;
    bool on;
    const Property *prop;
    const char *value;
} CpuListItem;

/* Takes "+f", "-f", "f", "f=on", "prop=value" apart; text must outlive item. */
bool cpu_list_item_parse(const char *text, CpuListItem *item, GError **errp);
/* "max", "host" or a named model; otherwise an error with the nearest name. */
bool cpu_model_name_check(const char *name, GError **errp);
bool cpu_model_is_max(const char *name);

/* Bit positions of the numbers in an APIC id. */
typedef struct CpuTopology {
    SmpTopology smp;
    unsigned core_shift, die_shift, package_shift;
} CpuTopology;

/* As CPUID leaf 4 describes it: counts, not counts less one. */
typedef struct CpuCache {
    uint8_t type; /* 1 data, 2 instruction, 3 unified; 0: end of list */
    uint8_t level;
    uint16_t line, partitions, ways;
    uint32_t sets;
    uint32_t flags; /* EDX */
} CpuCache;

#define CPU_CACHES_MAX 8

struct CpuModel {
    char *name;
    bool named; /* not max or host */
    char vendor[CPUID_VENDOR_LEN + 1];
    char model_id[CPUID_MODEL_ID_LEN + 1];
    uint32_t signature;
    uint32_t level, xlevel;
    bool level_fixed, xlevel_fixed; /* given by the user: not raised by features */
    unsigned phys_bits;
    bool pmu, kvm;
    uint32_t tsc_khz, bus_khz; /* 0: unknown */
    FeatureSet features;
    CpuTopology topology;
    CpuCache caches[CPU_CACHES_MAX + 1];
    CpuidTable supported;
};

static inline bool cpu_model_is_amd(const CpuModel *model)
{
    return g_str_equal(model->vendor, VENDOR_AMD) || g_str_equal(model->vendor, VENDOR_HYGON);
}

/* Appends an entry. The table's size is our own bound: never reached by any model. */
CpuidEntry *cpuid_table_add(CpuidTable *table, uint32_t leaf, uint32_t subleaf, bool indexed);
/* The entry, or NULL; ignores subleaf where the entry is not indexed. */
const CpuidEntry *cpuid_table_peek(const CpuidTable *table, uint32_t leaf, uint32_t subleaf);

/* cpu-cpuid.c: raises level and xlevel to the highest leaf the features and the topology need. */
void cpu_model_settle_levels(CpuModel *model);

/* cpu-topology.c */
bool cpu_topology_init(CpuTopology *topology, const SmpTopology *smp, GError **errp);
uint32_t cpu_topology_apic_id(const CpuTopology *topology, unsigned index);
/* Threads of one package, and the APIC ids it spans. */
unsigned cpu_topology_package_threads(const CpuTopology *topology);
/* Sizes from supported's leaf 4 or 8000001Dh (guests tune copies by them), else typical ones. */
void cpu_caches_init(CpuCache *caches, const CpuidTable *supported, bool l3);
/* Leaves 4, Bh, 1Fh, 80000005h, 80000006h, 8000001Dh, 8000001Eh. */
void cpu_topology_add_leaves(const CpuModel *model, uint32_t apic_id, CpuidTable *table);

#endif
