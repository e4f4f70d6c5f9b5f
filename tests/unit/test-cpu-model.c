/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * CPU models (hw/i386/cpu-model.h) on synthetic accelerators: what -cpu asks for, what is on offer
 * and what the guest's CPUID shows in the end.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "core/thread.h"
#include "hw/i386/cpu-model-internal.h"

typedef struct Host {
    const char *vendor;
    uint32_t signature;
    const char *without; /* features it lacks, as feature_set_apply takes them */
} Host;

static const Host intel = { VENDOR_INTEL, 0x000806f8, "-svm -sse4a -xop -fma4 -topoext -monitor -hle -rtm" };
static const Host amd = { VENDOR_AMD, 0x00a20f12, "-vmx -hle -rtm -amx-tile -amx-int8 -monitor" };
static const Host old_intel = { VENDOR_INTEL, 0x000206a7, "-avx -avx2 -xsave -x2apic -invtsc -topoext -monitor" };

static CpuidEntry *entry(CpuidTable *table, uint32_t leaf, uint32_t subleaf, bool indexed)
{
    CpuidEntry *e = (CpuidEntry *)cpuid_table_peek(table, leaf, subleaf);

    return e && e->indexed == indexed ? e : cpuid_table_add(table, leaf, subleaf, indexed);
}

static void put_word(CpuidTable *table, const FeatureWordInfo *w, uint64_t value)
{
    CpuidEntry *e;

    if (w->msr) {
        table->msrs[table->msr_count++] = (FeatureMsr){ w->msr, value };
        return;
    }
    e = entry(table, w->leaf, w->subleaf, w->indexed);
    *(uint32_t *[]){ &e->eax, &e->ebx, &e->ecx, &e->edx }[w->reg] = (uint32_t)value;
}

static void put_xsave(CpuidTable *table)
{
    static const struct {
        uint32_t bit, size, offset;
    } parts[] = { { 2, 256, 576 }, { 5, 64, 832 }, { 6, 512, 896 }, { 7, 1024, 1408 }, { 9, 8, 2432 } };

    entry(table, 0xd, 0, true)->eax = 0x2e7;
    for (unsigned i = 0; i < G_N_ELEMENTS(parts); i++) {
        CpuidEntry *e = entry(table, 0xd, parts[i].bit, true);

        e->eax = parts[i].size;
        e->ebx = parts[i].offset;
    }
}

/* Every named feature but those the host is without. */
static void offer(CpuidTable *table, const Host *host)
{
    FeatureSet set = { 0 };
    CpuidEntry *e;

    memset(table, 0, sizeof(*table));
    for (const CpuFeature *f = cpu_features; f->name; f++)
        feature_set_change(&set, f, true);
    feature_set_apply(&set, host->without);
    for (unsigned w = 0; w < FEAT_WORD_COUNT; w++)
        put_word(table, &feature_words[w], set.words[w]);
    e = entry(table, 0, 0, false);
    e->eax = 0x1f;
    memcpy(&e->ebx, host->vendor, 4);
    memcpy(&e->edx, host->vendor + 4, 4);
    memcpy(&e->ecx, host->vendor + 8, 4);
    entry(table, 1, 0, false)->eax = host->signature;
    entry(table, 0x80000000, 0, false)->eax = 0x80000021;
    entry(table, 0x80000008, 0, false)->eax = 0x302e; /* 46 physical, 48 linear bits */
    e = entry(table, 0x40000010, 0, false);
    e->eax = 2596124;
    e->ebx = 1000000;
    put_xsave(table);
}

static const SmpTopology uniprocessor = { 1, 1, 1, 1, 1 };

static CpuModel *make(const Host *host, const SmpTopology *smp, const char *arg, GError **errp)
{
    CpuidTable table;
    CpuOptions options = { 0 };
    CpuModel *model = NULL;

    offer(&table, host);
    if (!arg || cpu_options_parse(&options, arg, errp))
        model = cpu_model_new(&options, smp, &table, errp);
    cpu_options_release(&options);
    return model;
}

static CpuModel *model_of(const Host *host, const char *arg)
{
    g_autoptr(GError) err = NULL;
    CpuModel *model = make(host, &uniprocessor, arg, &err);

    if (!model)
        fail_msg("-cpu %s: %s", arg ? arg : "(none)", err->message);
    return model;
}

static void assert_refused(const Host *host, const SmpTopology *smp, const char *arg, const char *message)
{
    g_autoptr(GError) err = NULL;

    assert_null(make(host, smp, arg, &err));
    assert_non_null(err);
    if (!strstr(err->message, message))
        fail_msg("-cpu %s: \"%s\" does not say \"%s\"", arg, err->message, message);
}

static void query(const CpuModel *model, unsigned index, uint32_t leaf, uint32_t subleaf, uint32_t regs[4])
{
    CpuidTable table;

    cpu_model_get_cpuid(model, index, &table);
    cpuid_table_query(&table, leaf, subleaf, regs);
}

static uint32_t reg(const CpuModel *model, uint32_t leaf, uint32_t subleaf, unsigned which)
{
    uint32_t regs[4];

    query(model, 0, leaf, subleaf, regs);
    return regs[which];
}

/* --- names --- */

static void every_named_model_resolves_and_fits_the_table(void **state)
{
    for (const CpuModelDef *def = cpu_model_defs; def->name; def++) {
        g_autofree char *arg = g_strdup_printf("%s,check=off", def->name);
        g_autoptr(CpuModel) model = model_of(&intel, arg);
        CpuidTable table;

        cpu_model_get_cpuid(model, 0, &table);
        assert_in_range(table.count, 3, G_N_ELEMENTS(table.entries) - 1);
        assert_true(cpu_model_has(model, "fpu"));
        assert_true(!def->base || cpu_model_def_find(def->base));
        if (def->alias)
            assert_ptr_equal(cpu_model_def_find(def->alias), def);
    }
}

static void every_feature_name_is_found_and_stands_for_one_bit(void **state)
{
    for (const CpuFeature *f = cpu_features; f->name; f++) {
        assert_ptr_equal(cpu_feature_find(f->name), f);
        for (const CpuFeature *g = f + 1; g->name; g++)
            assert_false(f->word == g->word && f->bit == g->bit);
    }
    assert_ptr_equal(cpu_feature_find("sse4_1"), cpu_feature_find("sse4.1"));
    assert_ptr_equal(cpu_feature_find("lahf_lm"), cpu_feature_find("lahf-lm"));
    for (const FeatureDependency *d = feature_dependencies; d->feature; d++)
        assert_true(cpu_feature_find(d->feature) && cpu_feature_find(d->needs));
}

static void unknown_names_are_errors_with_the_nearest_name(void **state)
{
    assert_refused(&intel, &uniprocessor, "Haswel", "did you mean 'Haswell'");
    assert_refused(&intel, &uniprocessor, "host,+avx3", "did you mean 'avx");
    assert_refused(&intel, &uniprocessor, "host,fammily=6", "did you mean 'family'");
    assert_refused(&intel, &uniprocessor, "host,hv_relaxed", "Hyper-V");
    assert_refused(&intel, &uniprocessor, "", "a model is missing");
}

static void bad_values_are_errors(void **state)
{
    assert_refused(&intel, &uniprocessor, "host,avx=maybe", "expected on or off");
    assert_refused(&intel, &uniprocessor, "host,phys-bits=50", "46");
    assert_refused(&intel, &uniprocessor, "host,vendor=Intel", "12 characters");
    assert_refused(&intel, &uniprocessor, "host,stepping=16", "0 to 15");
    assert_refused(&intel, &uniprocessor, "host,xlevel=8", "0x80000000");
    assert_refused(&intel, &uniprocessor, "host,kvm=off,tsc-frequency=2000000000", "kvm=on");
}

static void a_failed_parse_leaves_the_options_alone(void **state)
{
    CpuOptions options = { 0 };

    assert_true(cpu_options_parse(&options, "Nehalem,+avx", NULL));
    assert_false(cpu_options_parse(&options, "Nehalem,+nonsense", NULL));
    assert_string_equal(options.model, "Nehalem");
    assert_int_equal(options.features->len, 1);
    cpu_options_release(&options);
}

/* --- features --- */

static void max_is_all_that_is_on_offer(void **state)
{
    g_autoptr(CpuModel) model = model_of(&intel, NULL);

    assert_string_equal(cpu_model_name(model), "max");
    assert_true(cpu_model_has(model, "avx512f"));
    assert_true(cpu_model_has(model, "invtsc"));
    assert_true(cpu_model_has(model, "hypervisor"));
    assert_false(cpu_model_has(model, "rtm"));
    assert_false(cpu_model_has(model, "kvm-hint-dedicated"));
    assert_int_equal(cpu_model_signature(model), 0x806f8);
    assert_int_equal(cpu_model_phys_bits(model), 46);
}

static void changes_apply_in_order(void **state)
{
    g_autoptr(CpuModel) off = model_of(&intel, "host,+aes,-aes");
    g_autoptr(CpuModel) on = model_of(&intel, "host,-aes,aes=on");

    assert_false(cpu_model_has(off, "aes"));
    assert_true(cpu_model_has(on, "aes"));
}

static void what_builds_on_a_missing_feature_goes_with_it(void **state)
{
    g_autoptr(CpuModel) no_avx = model_of(&intel, "host,-avx");
    g_autoptr(CpuModel) no_xsave = model_of(&intel, "host,-xsave");

    assert_false(cpu_model_has(no_avx, "avx2"));
    assert_false(cpu_model_has(no_avx, "fma"));
    assert_false(cpu_model_has(no_avx, "avx512f"));
    assert_false(cpu_model_has(no_avx, "avx512vl"));
    assert_true(cpu_model_has(no_avx, "sse4.2"));
    assert_false(cpu_model_has(no_xsave, "avx"));
    assert_false(cpu_model_has(no_xsave, "pku"));
    assert_int_equal(reg(no_xsave, 0xd, 0, CPUID_EAX), 0);
}

static void a_model_loses_what_the_accelerator_lacks(void **state)
{
    g_autoptr(CpuModel) model = model_of(&old_intel, "Haswell,check=off");

    assert_false(cpu_model_has(model, "avx"));
    assert_false(cpu_model_has(model, "avx2"));
    assert_true(cpu_model_has(model, "sse4.2"));
    assert_int_equal(cpu_model_signature(model), 0x306c4);
}

static void enforce_makes_that_an_error_that_names_it(void **state)
{
    assert_refused(&old_intel, &uniprocessor, "Haswell,enforce", " avx2");
    assert_refused(&old_intel, &uniprocessor, "host,+avx,enforce", " avx");
    g_autoptr(CpuModel) fine = model_of(&old_intel, "Nehalem,enforce");
    assert_true(cpu_model_has(fine, "popcnt"));
}

static void named_models_grow_from_their_bases(void **state)
{
    g_autoptr(CpuModel) haswell = model_of(&intel, "Haswell-noTSX");
    g_autoptr(CpuModel) rome = model_of(&amd, "EPYC-Rome,check=off");

    assert_true(cpu_model_has(haswell, "sse2"));
    assert_true(cpu_model_has(haswell, "avx2"));
    assert_true(cpu_model_has(haswell, "x2apic"));
    assert_true(cpu_model_has(haswell, "kvmclock"));
    assert_false(cpu_model_has(haswell, "avx512f"));
    assert_false(cpu_model_has(haswell, "invtsc"));
    assert_true(cpu_model_has(rome, "clzero"));
    assert_true(cpu_model_has(rome, "topoext"));
    assert_false(cpu_model_has(rome, "svm"));
}

static void kvm_off_hides_the_paravirtual_leaves(void **state)
{
    g_autoptr(CpuModel) on = model_of(&intel, "host");
    g_autoptr(CpuModel) off = model_of(&intel, "host,kvm=off");
    uint32_t regs[4];

    query(on, 0, 0x40000000, 0, regs);
    assert_memory_equal(&regs[1], "KVMKVMKVM\0\0\0", 12);
    assert_int_equal(regs[0], 0x40000010);
    assert_true(reg(on, 0x40000001, 0, CPUID_EAX) & 1);
    CpuidTable table;
    cpu_model_get_cpuid(off, 0, &table);
    assert_null(cpuid_table_peek(&table, 0x40000000, 0));
    assert_null(cpuid_table_peek(&table, 0x40000001, 0));
}

/* --- identity --- */

static void the_vendor_is_the_hosts_unless_given(void **state)
{
    g_autoptr(CpuModel) host = model_of(&amd, "Haswell,check=off");
    g_autoptr(CpuModel) given = model_of(&amd, "Haswell,check=off,vendor=GenuineIntel");
    uint32_t regs[4];

    query(host, 0, 0, 0, regs);
    assert_memory_equal(&regs[1], "Auth", 4);
    query(given, 0, 0, 0, regs);
    assert_memory_equal(&regs[1], "Genu", 4);
    assert_memory_equal(&regs[3], "ineI", 4);
    assert_memory_equal(&regs[2], "ntel", 4);
}

static void family_model_and_stepping_can_be_given(void **state)
{
    g_autoptr(CpuModel) model = model_of(&intel, "host,family=25,model=33,stepping=2,model-id=A CPU");
    uint32_t regs[4];

    assert_int_equal(reg(model, 1, 0, CPUID_EAX), 0x00a20f12);
    query(model, 0, 0x80000002, 0, regs);
    assert_memory_equal(regs, "A CPU", 6);
}

static void amd_repeats_leaf_1_in_80000001(void **state)
{
    g_autoptr(CpuModel) model = model_of(&amd, "host");
    g_autoptr(CpuModel) other = model_of(&intel, "host");

    assert_true(reg(model, 0x80000001, 0, CPUID_EDX) & 1); /* fpu */
    assert_false(reg(other, 0x80000001, 0, CPUID_EDX) & 1);
}

static void levels_reach_the_leaves_features_need(void **state)
{
    g_autoptr(CpuModel) nehalem = model_of(&intel, "Nehalem,+xsave,+avx2,+avx");
    g_autoptr(CpuModel) fixed = model_of(&intel, "Skylake-Server,check=off,level=4");

    assert_int_equal(reg(nehalem, 0, 0, CPUID_EAX), 0xd);
    assert_int_equal(reg(fixed, 0, 0, CPUID_EAX), 4);
}

static void xsave_shows_the_components_of_the_features_left(void **state)
{
    g_autoptr(CpuModel) all = model_of(&intel, "host");
    g_autoptr(CpuModel) some = model_of(&intel, "host,-avx512f,-pku");
    uint32_t regs[4];

    assert_int_equal(reg(all, 0xd, 0, CPUID_EAX), 0x2e7);
    query(some, 0, 0xd, 0, regs);
    assert_int_equal(regs[CPUID_EAX], 7);
    assert_int_equal(regs[CPUID_ECX], 832);
    assert_int_equal(reg(some, 0xd, 5, CPUID_EAX), 0);
}

static void feature_msrs_come_with_their_feature(void **state)
{
    g_autoptr(CpuModel) with = model_of(&intel, "Cascadelake-Server-v2,check=off");
    g_autoptr(CpuModel) without = model_of(&intel, "Haswell-noTSX");
    CpuidTable table;

    cpu_model_get_cpuid(with, 0, &table);
    assert_int_equal(table.msr_count, 1);
    assert_int_equal(table.msrs[0].index, MSR_IA32_ARCH_CAPABILITIES);
    assert_int_equal(table.msrs[0].value, 0x2b); /* RDCL_NO, IBRS_ALL, SKIP_L1DFL, MDS_NO */
    cpu_model_get_cpuid(without, 0, &table);
    assert_int_equal(table.msr_count, 0);
}

static void the_tsc_ratio_is_exact_to_a_part_per_million_and_small(void **state)
{
    g_autoptr(CpuModel) model = model_of(&intel, "host");
    uint32_t regs[4];
    double khz;

    query(model, 0, 0x15, 0, regs);
    assert_int_equal(regs[CPUID_ECX], 1000000000);
    assert_in_range(regs[CPUID_EBX], 1, UINT32_MAX / 1000000);
    khz = 1e6 * regs[CPUID_EBX] / regs[CPUID_EAX];
    assert_true(khz > 2596124 * (1 - 1e-6) && khz < 2596124 * (1 + 1e-6));
    assert_int_equal(reg(model, 0x16, 0, CPUID_EAX), 2596);
    assert_int_equal(reg(model, 0x40000010, 0, CPUID_EAX), 2596124);
}

/* --- topology --- */

static void apic_ids_are_bit_fields(void **state)
{
    static const SmpTopology smp = { .cpus = 24, .sockets = 2, .dies = 2, .cores = 3, .threads = 2 };
    g_autoptr(CpuModel) model = make(&intel, &smp, "host", NULL);

    assert_int_equal(cpu_model_apic_id(model, 0), 0);
    assert_int_equal(cpu_model_apic_id(model, 1), 1);
    assert_int_equal(cpu_model_apic_id(model, 2), 2);
    assert_int_equal(cpu_model_apic_id(model, 5), 5);
    assert_int_equal(cpu_model_apic_id(model, 6), 8);   /* die 1 */
    assert_int_equal(cpu_model_apic_id(model, 12), 16); /* socket 1 */
    assert_int_equal(cpu_model_apic_id(model, 23), 29);
}

static void too_sparse_apic_ids_are_an_error(void **state)
{
    static const SmpTopology smp = { .cpus = 240, .sockets = 80, .dies = 1, .cores = 3, .threads = 1 };

    assert_refused(&intel, &smp, "host", "APIC ids up to");
}

static void intel_topology_leaves_agree(void **state)
{
    static const SmpTopology smp = { .cpus = 16, .sockets = 1, .dies = 2, .cores = 4, .threads = 2 };
    g_autoptr(CpuModel) model = make(&intel, &smp, "host", NULL);
    uint32_t regs[4];

    query(model, 9, 1, 0, regs);
    assert_int_equal(regs[CPUID_EBX] >> 24, 9);
    assert_int_equal(regs[CPUID_EBX] >> 16 & 0xff, 16);
    assert_true(regs[CPUID_EDX] >> 28 & 1);
    query(model, 9, 0xb, 0, regs);
    assert_int_equal(regs[CPUID_EAX], 1);
    assert_int_equal(regs[CPUID_EBX], 2);
    assert_int_equal(regs[CPUID_ECX], 0x100);
    assert_int_equal(regs[CPUID_EDX], 9);
    query(model, 9, 0xb, 1, regs);
    assert_int_equal(regs[CPUID_EAX], 4);
    assert_int_equal(regs[CPUID_EBX], 16);
    assert_int_equal(regs[CPUID_ECX], 0x201);
    query(model, 9, 0xb, 2, regs);
    assert_int_equal(regs[CPUID_EBX], 0);
    query(model, 9, 0x1f, 2, regs);
    assert_int_equal(regs[CPUID_EAX], 4);
    assert_int_equal(regs[CPUID_ECX], 0x502);
    query(model, 0, 4, 0, regs);
    assert_int_equal(regs[CPUID_EAX] >> 14 & 0xfff, 1);  /* two threads share L1 */
    assert_int_equal(regs[CPUID_EAX] >> 26, 7);          /* eight core ids */
    query(model, 0, 4, 3, regs);
    assert_int_equal(regs[CPUID_EAX] >> 14 & 0xfff, 7);  /* a die shares L3 */
}

static void amd_topology_leaves_agree(void **state)
{
    static const SmpTopology smp = { .cpus = 16, .sockets = 2, .dies = 1, .cores = 4, .threads = 2 };
    g_autoptr(CpuModel) model = make(&amd, &smp, "host", NULL);
    uint32_t regs[4];

    query(model, 11, 0x80000008, 0, regs);
    assert_int_equal(regs[CPUID_ECX], 0x3007);
    query(model, 11, 0x8000001e, 0, regs);
    assert_int_equal(regs[CPUID_EAX], 11);
    assert_int_equal(regs[CPUID_EBX], 0x101); /* two threads a core, core 1 */
    assert_int_equal(regs[CPUID_ECX], 1);     /* node 1 */
    query(model, 0, 0x8000001d, 3, regs);
    assert_int_equal(regs[CPUID_EAX] >> 14 & 0xfff, 7);
    query(model, 0, 4, 0, regs);
    assert_int_equal(regs[CPUID_EAX], 0);
    assert_true(cpu_model_has(model, "cmp-legacy"));
}

static void a_uniprocessor_has_no_ht(void **state)
{
    g_autoptr(CpuModel) model = model_of(&amd, "host");

    assert_false(cpu_model_has(model, "ht"));
    assert_false(cpu_model_has(model, "cmp-legacy"));
    assert_int_equal(reg(model, 1, 0, CPUID_EBX) >> 16 & 0xff, 1);
}

static void cache_sizes_are_the_hosts_where_it_tells(void **state)
{
    CpuidTable table;
    CpuOptions options = { 0 };
    CpuidEntry *e;

    offer(&table, &amd);
    e = cpuid_table_add(&table, 0x8000001d, 0, true);
    *e = (CpuidEntry){ 0x8000001d, 0, true, 0x121, 0x02c0003f, 0x3f, 0 }; /* 48 KiB, 12 ways */
    g_autoptr(CpuModel) model = cpu_model_new(&options, &uniprocessor, &table, NULL);
    assert_int_equal(reg(model, 0x8000001d, 0, CPUID_EBX), 0x02c0003f);
    assert_int_equal(reg(model, 0x80000005, 0, CPUID_ECX) >> 24, 48);
}

static void without_an_offer_nothing_is_filtered(void **state)
{
    static const CpuidTable empty;
    CpuOptions options = { .model = (char *)"Haswell" };
    g_autoptr(CpuModel) model = cpu_model_new(&options, &uniprocessor, &empty, NULL);

    assert_true(cpu_model_has(model, "avx2"));
    assert_true(cpu_model_has(model, "rtm"));
}

static void help_lists_models_features_and_properties(void **state)
{
    g_autoptr(GString) out = g_string_new(NULL);

    cpu_model_print_help(out);
    assert_non_null(strstr(out->str, "\nx86 EPYC-Genoa"));
    assert_non_null(strstr(out->str, "(alias of Haswell-v2)"));
    assert_non_null(strstr(out->str, " avx512-vpopcntdq "));
    assert_non_null(strstr(out->str, "  host-phys-bits "));
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_named_model_resolves_and_fits_the_table),
        cmocka_unit_test(every_feature_name_is_found_and_stands_for_one_bit),
        cmocka_unit_test(unknown_names_are_errors_with_the_nearest_name),
        cmocka_unit_test(bad_values_are_errors),
        cmocka_unit_test(a_failed_parse_leaves_the_options_alone),
        cmocka_unit_test(max_is_all_that_is_on_offer),
        cmocka_unit_test(changes_apply_in_order),
        cmocka_unit_test(what_builds_on_a_missing_feature_goes_with_it),
        cmocka_unit_test(a_model_loses_what_the_accelerator_lacks),
        cmocka_unit_test(enforce_makes_that_an_error_that_names_it),
        cmocka_unit_test(named_models_grow_from_their_bases),
        cmocka_unit_test(kvm_off_hides_the_paravirtual_leaves),
        cmocka_unit_test(the_vendor_is_the_hosts_unless_given),
        cmocka_unit_test(family_model_and_stepping_can_be_given),
        cmocka_unit_test(amd_repeats_leaf_1_in_80000001),
        cmocka_unit_test(levels_reach_the_leaves_features_need),
        cmocka_unit_test(xsave_shows_the_components_of_the_features_left),
        cmocka_unit_test(feature_msrs_come_with_their_feature),
        cmocka_unit_test(the_tsc_ratio_is_exact_to_a_part_per_million_and_small),
        cmocka_unit_test(apic_ids_are_bit_fields),
        cmocka_unit_test(too_sparse_apic_ids_are_an_error),
        cmocka_unit_test(intel_topology_leaves_agree),
        cmocka_unit_test(amd_topology_leaves_agree),
        cmocka_unit_test(a_uniprocessor_has_no_ht),
        cmocka_unit_test(cache_sizes_are_the_hosts_where_it_tells),
        cmocka_unit_test(without_an_offer_nothing_is_filtered),
        cmocka_unit_test(help_lists_models_features_and_properties),
    };

    core_init();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
