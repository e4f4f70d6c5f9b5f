/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Sockets, dies, cores and threads: APIC ids, caches, and the CPUID leaves that show them.
 *
 * An APIC id is [socket | die | core | thread], each field as wide as its count needs (SDM vol. 3,
 * 9.9.1; AMD APM vol. 3, E.5.1). L1 and L2 belong to a core, L3 to a die.
 *
 * Locking: none; models are immutable.
 */
#include <string.h>

#include "core/error.h"
#include "cpu-model-internal.h"

#define APIC_ID_MAX 254 /* 255 is the xAPIC broadcast */

/* Levels of leaves Bh and 1Fh, ECX[15:8]. */
enum { LEVEL_INVALID = 0, LEVEL_SMT = 1, LEVEL_CORE = 2, LEVEL_DIE = 5 };

enum { CACHE_NULL = 0, CACHE_DATA = 1, CACHE_CODE = 2, CACHE_UNIFIED = 3 };

/* Where the accelerator says nothing: 32K + 32K, 1M, 16M; L3 inclusive of lower levels (EDX bit 1). */
static const CpuCache typical_caches[] = {
    { CACHE_DATA, 1, 64, 1, 8, 64, 0 },
    { CACHE_CODE, 1, 64, 1, 8, 64, 0 },
    { CACHE_UNIFIED, 2, 64, 1, 16, 1024, 0 },
    { CACHE_UNIFIED, 3, 64, 1, 16, 16384, 2 },
    { CACHE_NULL, 0, 0, 0, 0, 0, 0 },
};

static unsigned bits_for(unsigned count)
{
    return count > 1 ? 32 - __builtin_clz(count - 1) : 0;
}

bool cpu_topology_init(CpuTopology *topology, const SmpTopology *smp, GError **errp)
{
    uint32_t last;

    g_assert(smp->cpus && smp->dies && smp->cores && smp->threads);
    topology->smp = *smp;
    topology->core_shift = bits_for(smp->threads);
    topology->die_shift = topology->core_shift + bits_for(smp->cores);
    topology->package_shift = topology->die_shift + bits_for(smp->dies);
    last = cpu_topology_apic_id(topology, smp->cpus - 1);
    if (last > APIC_ID_MAX)
        return error_set_code(errp, VMM_ERROR_USAGE,
                              "-smp: %u CPUs in %u dies, %u cores and %u threads a socket need APIC ids up to %u; "
                              "the highest is %u, use counts that are powers of two or fewer CPUs",
                              smp->cpus, smp->dies, smp->cores, smp->threads, last, APIC_ID_MAX);
    return true;
}

uint32_t cpu_topology_apic_id(const CpuTopology *topology, unsigned index)
{
    const SmpTopology *smp = &topology->smp;
    uint32_t thread = index % smp->threads;
    uint32_t core = index / smp->threads % smp->cores;
    uint32_t die = index / smp->threads / smp->cores % smp->dies;
    uint32_t socket = index / smp->threads / smp->cores / smp->dies;

    return socket << topology->package_shift | die << topology->die_shift | core << topology->core_shift | thread;
}

unsigned cpu_topology_package_threads(const CpuTopology *topology)
{
    return topology->smp.dies * topology->smp.cores * topology->smp.threads;
}

/* One cache from leaf 4 or 8000001Dh, which agree in these fields (APM vol. 3, E.4.15). */
static bool cache_from_leaf(CpuCache *cache, const CpuidEntry *e)
{
    cache->type = e->eax & 0x1f;
    cache->level = e->eax >> 5 & 7;
    cache->line = (e->ebx & 0xfff) + 1;
    cache->partitions = (e->ebx >> 12 & 0x3ff) + 1;
    cache->ways = (e->ebx >> 22) + 1;
    cache->sets = e->ecx + 1;
    cache->flags = e->edx;
    return cache->type >= CACHE_DATA && cache->type <= CACHE_UNIFIED && cache->level && e->ebx;
}

static unsigned caches_from_leaf(CpuCache *caches, const CpuidTable *supported, uint32_t leaf)
{
    unsigned count = 0;

    for (uint32_t i = 0; i < CPU_CACHES_MAX; i++) {
        const CpuidEntry *e = cpuid_table_peek(supported, leaf, i);

        if (!e || !e->indexed || !cache_from_leaf(&caches[count], e))
            break;
        count++;
    }
    memset(&caches[count], 0, sizeof(caches[count]));
    return count;
}

void cpu_caches_init(CpuCache *caches, const CpuidTable *supported, bool l3)
{
    unsigned n = 0;

    if (!caches_from_leaf(caches, supported, 4) && !caches_from_leaf(caches, supported, 0x8000001d))
        memcpy(caches, typical_caches, sizeof(typical_caches));
    for (unsigned i = 0; i < CPU_CACHES_MAX && caches[i].type; i++)
        if (caches[i].level < 3 || l3)
            caches[n++] = caches[i];
    memset(&caches[n], 0, sizeof(caches[n]));
}

static const CpuCache *find_cache(const CpuCache *caches, unsigned level, unsigned type)
{
    for (; caches->type; caches++)
        if (caches->level == level && caches->type == type)
            return caches;
    return NULL;
}

static uint64_t cache_size(const CpuCache *cache)
{
    return (uint64_t)cache->line * cache->partitions * cache->ways * cache->sets;
}

/* APIC ids that share a cache, rounded up to the field's span. */
static unsigned cache_sharing(const CpuTopology *topology, const CpuCache *cache)
{
    return 1u << (cache->level >= 3 ? topology->die_shift : topology->core_shift);
}

/* Leaf 4 and 8000001Dh; cores is what leaf 4 has in EAX[31:26] and the other reserves. */
static void add_caches(const CpuModel *model, CpuidTable *table, uint32_t leaf, unsigned cores)
{
    const CpuCache *cache = model->caches;

    for (uint32_t i = 0;; i++, cache++) {
        CpuidEntry *e = cpuid_table_add(table, leaf, i, true);

        if (!cache->type)
            break;
        /* Self-initialising (bit 8). */
        e->eax = cache->type | cache->level << 5 | 1 << 8 |
                 (cache_sharing(&model->topology, cache) - 1) << 14 | (MIN(cores, 64) - 1) << 26;
        e->ebx = (cache->line - 1) | (cache->partitions - 1) << 12 | (uint32_t)(cache->ways - 1) << 22;
        e->ecx = cache->sets - 1;
        e->edx = cache->flags;
    }
}

/* SDM vol. 2A, CPUID leaf Bh; 1Fh has the same shape and knows dies. */
static void add_extended_topology(const CpuModel *model, uint32_t apic_id, CpuidTable *table, uint32_t leaf)
{
    const CpuTopology *t = &model->topology;
    const struct {
        unsigned type, shift, threads;
    } levels[] = {
        { LEVEL_SMT, t->core_shift, t->smp.threads },
        { LEVEL_CORE, leaf == 0x1f ? t->die_shift : t->package_shift,
          leaf == 0x1f ? t->smp.threads * t->smp.cores : cpu_topology_package_threads(t) },
        { LEVEL_DIE, t->package_shift, cpu_topology_package_threads(t) },
    };
    unsigned count = leaf == 0x1f ? 3 : 2;

    for (unsigned i = 0; i <= count; i++) {
        CpuidEntry *e = cpuid_table_add(table, leaf, i, true);

        e->ecx = i;
        e->edx = apic_id;
        if (i == count)
            break;
        e->eax = levels[i].shift;
        e->ebx = levels[i].threads;
        e->ecx |= levels[i].type << 8;
    }
}

/* Associativity as 80000006h encodes it (APM vol. 3, E.4.4, table E-4). */
static unsigned amd_associativity(unsigned ways)
{
    static const struct {
        unsigned ways, code;
    } codes[] = { { 128, 0xe }, { 96, 0xd }, { 64, 0xc }, { 48, 0xb }, { 32, 0xa }, { 16, 8 },
                  { 8, 6 },     { 6, 5 },    { 4, 4 },    { 3, 3 },    { 2, 2 },    { 1, 1 } };

    for (unsigned i = 0; i < G_N_ELEMENTS(codes); i++)
        if (ways >= codes[i].ways)
            return codes[i].code;
    return 0;
}

static uint32_t l1_descriptor(const CpuCache *cache)
{
    if (!cache)
        return 0;
    return (uint32_t)MIN(cache_size(cache) >> 10, 255) << 24 | (uint32_t)MIN(cache->ways, 254) << 16 | 1 << 8 |
           MIN(cache->line, 255);
}

/* 80000005h (AMD) and 80000006h: the older description, which guests still read. */
static void add_legacy_caches(const CpuModel *model, CpuidTable *table)
{
    const CpuCache *l2 = find_cache(model->caches, 2, CACHE_UNIFIED);
    const CpuCache *l3 = find_cache(model->caches, 3, CACHE_UNIFIED);
    CpuidEntry *e = cpuid_table_add(table, 0x80000005, 0, false);

    if (cpu_model_is_amd(model)) {
        e->ecx = l1_descriptor(find_cache(model->caches, 1, CACHE_DATA));
        e->edx = l1_descriptor(find_cache(model->caches, 1, CACHE_CODE));
    }
    e = cpuid_table_add(table, 0x80000006, 0, false);
    if (l2)
        e->ecx = (uint32_t)MIN(cache_size(l2) >> 10, 0xffff) << 16 | amd_associativity(l2->ways) << 12 | 1 << 8 |
                 MIN(l2->line, 255);
    if (l3 && cpu_model_is_amd(model))
        e->edx = (uint32_t)MIN(cache_size(l3) >> 19, 0x3fff) << 18 | amd_associativity(l3->ways) << 12 | 1 << 8 |
                 MIN(l3->line, 255);
}

/* 8000001Eh (APM vol. 3, E.4.16): core in the package, threads of a core, node. */
static void add_amd_topology(const CpuModel *model, uint32_t apic_id, CpuidTable *table)
{
    const CpuTopology *t = &model->topology;
    CpuidEntry *e = cpuid_table_add(table, 0x8000001e, 0, false);
    uint32_t in_package = apic_id & ((1u << t->package_shift) - 1);

    e->eax = apic_id;
    e->ebx = (t->smp.threads - 1) << 8 | (in_package >> t->core_shift & 0xff);
    e->ecx = (MIN(t->smp.dies, 8) - 1) << 8 | (apic_id >> t->die_shift & 0xff);
}

void cpu_topology_add_leaves(const CpuModel *model, uint32_t apic_id, CpuidTable *table)
{
    const CpuTopology *t = &model->topology;
    bool topoext = cpu_model_has(model, "topoext");

    if (!cpu_model_is_amd(model) && model->level >= 4)
        add_caches(model, table, 4, 1u << (t->package_shift - t->core_shift));
    if (model->level >= 0xb)
        add_extended_topology(model, apic_id, table, 0xb);
    if (!cpu_model_is_amd(model) && model->level >= 0x1f && t->smp.dies > 1)
        add_extended_topology(model, apic_id, table, 0x1f);
    if (model->xlevel >= 0x80000006)
        add_legacy_caches(model, table);
    if (model->xlevel >= 0x8000001e && topoext) {
        add_caches(model, table, 0x8000001d, 1);
        add_amd_topology(model, apic_id, table);
    }
}
