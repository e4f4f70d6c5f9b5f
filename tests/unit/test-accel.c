/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The choice among accelerators (accel/accel.h), on a list of this test's own, and CPUID look-up.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "accel/accel.h"
#include "core/error.h"
#include "core/thread.h"

typedef struct TestAccel {
    Accel accel;
    uint32_t cache;
    bool fast;
} TestAccel;

static const Property accel_props[] = {
    { .name = "cache-size", .kind = PROP_U32, .offset = offsetof(TestAccel, cache), .def = "7", .max = 100 },
    { .name = "fast", .kind = PROP_BOOL, .offset = offsetof(TestAccel, fast) },
    { 0 },
};

static bool absent(GError **errp)
{
    return error_set_code(errp, VMM_ERROR_ABSENT, "not on this host");
}

static bool broken(GError **errp)
{
    return error_set_code(errp, VMM_ERROR_HOST, "out of order");
}

static const AccelOps dbt_ops = { .name = "dbt", .instance_size = sizeof(TestAccel), .props = accel_props };
static const AccelOps kvm_ops = {
    .name = "kvm", .instance_size = sizeof(TestAccel), .props = accel_props, .probe = absent,
};
static const AccelOps broken_ops = { .name = "broken", .instance_size = sizeof(TestAccel), .probe = broken };

const AccelOps *const accel_list[] = { &kvm_ops, &dbt_ops, &broken_ops, NULL };

static void assert_chooses(const char *const *specs, unsigned count, const char *name)
{
    g_autoptr(GError) err = NULL;
    Accel *accel = accel_create(specs, count, &err);

    assert_null(err);
    assert_non_null(accel);
    assert_string_equal(accel->ops->name, name);
    accel_free(accel);
}

static void assert_refuses(const char *const *specs, unsigned count, const char *says)
{
    g_autoptr(GError) err = NULL;

    assert_null(accel_create(specs, count, &err));
    assert_non_null(err);
    assert_non_null(strstr(err->message, says));
}

static void without_arguments_dbt_stands_in_for_an_absent_kvm(void **state)
{
    assert_chooses(NULL, 0, "dbt");
}

static void tcg_is_dbt(void **state)
{
    assert_chooses((const char *[]){ "tcg" }, 1, "dbt");
    assert_chooses((const char *[]){ "accel=tcg,fast=on" }, 1, "dbt");
}

static void an_absent_accelerator_is_skipped_if_others_follow(void **state)
{
    assert_chooses((const char *[]){ "kvm", "dbt" }, 2, "dbt");
    assert_refuses((const char *[]){ "kvm" }, 1, "-accel kvm: not on this host");
    assert_refuses((const char *[]){ "kvm", "kvm" }, 2, "not on this host");
}

static void one_that_fails_for_another_reason_is_not_skipped(void **state)
{
    assert_refuses((const char *[]){ "broken", "dbt" }, 2, "-accel broken: out of order");
}

static void properties_reach_the_instance(void **state)
{
    TestAccel *accel = (TestAccel *)accel_create((const char *[]){ "dbt,cache-size=32,fast=on" }, 1, NULL);

    assert_non_null(accel);
    assert_int_equal(accel->cache, 32);
    assert_true(accel->fast);
    accel_free(&accel->accel);

    accel = (TestAccel *)accel_create((const char *[]){ "dbt" }, 1, NULL);
    assert_int_equal(accel->cache, 7);
    accel_free(&accel->accel);
}

static void mistakes_are_named(void **state)
{
    assert_refuses((const char *[]){ "kvn" }, 1, "kvn");
    assert_refuses((const char *[]){ "kvn" }, 1, "kvm, dbt");
    assert_refuses((const char *[]){ "dbt,cache-sise=3" }, 1, "did you mean 'cache-size'");
    assert_refuses((const char *[]){ "dbt,cache-size=101" }, 1, "0 to 100");
    assert_refuses((const char *[]){ "fast=on" }, 1, "which accelerator");
    assert_refuses((const char *[]){ "dbt", "nonsense" }, 2, "nonsense"); /* though dbt would do */
}

/* --- CPUID --- */

static CpuidTable table_of(const char *vendor)
{
    CpuidTable table = {
        .entries = {
            { .leaf = 0, .eax = 0xd },
            { .leaf = 1, .eax = 0x111 },
            { .leaf = 4, .subleaf = 0, .indexed = true, .eax = 0x40 },
            { .leaf = 4, .subleaf = 1, .indexed = true, .eax = 0x41 },
            { .leaf = 0xb, .subleaf = 0, .indexed = true, .eax = 1, .ebx = 2, .ecx = 0x100, .edx = 5 },
            { .leaf = 0xd, .subleaf = 0, .indexed = true, .eax = 0xd0 },
            { .leaf = 0x40000000, .eax = 0x40000001 },
            { .leaf = 0x80000000, .eax = 0x80000001 },
            { .leaf = 0x80000001, .eax = 0x81 },
        },
        .count = 9,
    };

    memcpy(&table.entries[0].ebx, vendor, 4);
    memcpy(&table.entries[0].edx, vendor + 4, 4);
    memcpy(&table.entries[0].ecx, vendor + 8, 4);
    return table;
}

static uint32_t query_eax(const CpuidTable *table, uint32_t leaf, uint32_t subleaf)
{
    uint32_t regs[4];

    cpuid_table_query(table, leaf, subleaf, regs);
    return regs[0];
}

static void leaves_and_subleaves_are_found(void **state)
{
    CpuidTable table = table_of("GenuineIntel");

    assert_int_equal(query_eax(&table, 1, 0), 0x111);
    assert_int_equal(query_eax(&table, 1, 77), 0x111);
    assert_int_equal(query_eax(&table, 4, 1), 0x41);
    assert_int_equal(query_eax(&table, 4, 2), 0);
    assert_int_equal(query_eax(&table, 2, 0), 0); /* in range, not there */
    assert_int_equal(query_eax(&table, 0x80000001, 0), 0x81);
    assert_ptr_equal(cpuid_table_find(&table, 4, 1), &table.entries[3]);
    assert_null(cpuid_table_find(&table, 4, 2));
}

static void beyond_the_range_intel_repeats_the_last_leaf_and_amd_gives_zero(void **state)
{
    CpuidTable intel = table_of("GenuineIntel"), amd = table_of("AuthenticAMD");
    static const uint32_t beyond[] = { 0xe, 0x3fffffff, 0x40000002, 0x80000002, 0xffffffff };

    for (unsigned i = 0; i < G_N_ELEMENTS(beyond); i++) {
        assert_int_equal(query_eax(&intel, beyond[i], 0), 0xd0);
        assert_int_equal(query_eax(&amd, beyond[i], 0), 0);
    }
}

static void topology_levels_that_do_not_exist_tell_level_and_apic_id(void **state)
{
    CpuidTable table = table_of("AuthenticAMD");
    uint32_t regs[4];

    cpuid_table_query(&table, 0xb, 3, regs);
    assert_int_equal(regs[0], 0);
    assert_int_equal(regs[1], 0);
    assert_int_equal(regs[2], 3);
    assert_int_equal(regs[3], 5);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(without_arguments_dbt_stands_in_for_an_absent_kvm),
        cmocka_unit_test(tcg_is_dbt),
        cmocka_unit_test(an_absent_accelerator_is_skipped_if_others_follow),
        cmocka_unit_test(one_that_fails_for_another_reason_is_not_skipped),
        cmocka_unit_test(properties_reach_the_instance),
        cmocka_unit_test(mistakes_are_named),
        cmocka_unit_test(leaves_and_subleaves_are_found),
        cmocka_unit_test(beyond_the_range_intel_repeats_the_last_leaf_and_amd_gives_zero),
        cmocka_unit_test(topology_levels_that_do_not_exist_tell_level_and_apic_id),
    };

    core_init();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
