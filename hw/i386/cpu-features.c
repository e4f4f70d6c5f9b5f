/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Look-up of CPU features by name, and sets of them. The tables are in cpu-feature-table.c.
 *
 * Locking: none; everything here is constant or the caller's.
 */
#include "cpu-features.h"

#include <string.h>

static char name_char(char c)
{
    return c == '_' || c == '.' ? '-' : c;
}

static bool name_equal(const char *a, const char *b)
{
    while (*a && name_char(*a) == name_char(*b)) {
        a++;
        b++;
    }
    return name_char(*a) == name_char(*b);
}

const CpuFeature *cpu_feature_find(const char *name)
{
    for (const CpuFeature *f = cpu_features; f->name; f++)
        if (name_equal(f->name, name) || (f->alias && name_equal(f->alias, name)))
            return f;
    return NULL;
}

void feature_set_apply(FeatureSet *set, const char *list)
{
    g_auto(GStrv) names = g_strsplit(list, " ", -1);

    for (char **name = names; *name; name++) {
        bool on = **name != '-';
        const CpuFeature *feature;

        if (!**name)
            continue;
        feature = cpu_feature_find(*name + !on);
        g_assert(feature);
        feature_set_change(set, feature, on);
    }
}

static uint64_t table_word(const CpuidTable *table, const FeatureWordInfo *info)
{
    if (info->msr) {
        for (unsigned i = 0; i < table->msr_count; i++)
            if (table->msrs[i].index == info->msr)
                return table->msrs[i].value;
        return 0;
    }
    for (unsigned i = 0; i < table->count; i++) {
        const CpuidEntry *e = &table->entries[i];
        const uint32_t regs[] = { e->eax, e->ebx, e->ecx, e->edx };

        if (e->leaf == info->leaf && (!e->indexed || e->subleaf == info->subleaf))
            return regs[info->reg];
    }
    return 0;
}

void feature_set_from_cpuid(FeatureSet *set, const CpuidTable *table)
{
    uint64_t words[FEAT_WORD_COUNT];

    for (unsigned w = 0; w < FEAT_WORD_COUNT; w++)
        words[w] = table_word(table, &feature_words[w]);
    memset(set, 0, sizeof(*set));
    for (const CpuFeature *f = cpu_features; f->name; f++)
        set->words[f->word] |= words[f->word] & 1ull << f->bit;
}

void feature_set_drop_orphans(FeatureSet *set)
{
    bool changed;

    do {
        changed = false;
        for (const FeatureDependency *d = feature_dependencies; d->feature; d++) {
            const CpuFeature *feature = cpu_feature_find(d->feature);

            if (feature_set_has(set, feature) && !feature_set_has(set, cpu_feature_find(d->needs))) {
                feature_set_change(set, feature, false);
                changed = true;
            }
        }
    } while (changed);
}
