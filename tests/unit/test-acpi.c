/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * ACPI tables: structure and checksums (ACPI 6.5, 5.2), AML encodings (chapter 20), and what the
 * reference compiler says of the result.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "core/bits.h"
#include "hw/acpi/aml.h"
#include "hw/i386/acpi-tables.h"

#define BASE 0xe0040u

static const AcpiIsaDevice isa[] = {
    {"COM1", "PNP0501", 1, {{0x3f8, 8}}, 4},
    {"RTC", "PNP0B00", 0, {{0x70, 2}}, 8},
    {"FWCF", "QEMU0002", 0, {{0x510, 12}}, ACPI_NO_IRQ},
};

static AcpiTables *build(unsigned cpus, uint32_t first_id)
{
    uint32_t ids[255];
    for (unsigned i = 0; i < cpus; i++)
        ids[i] = first_id + i;
    AcpiBoard board = {
        .cpus = cpus, .apic_ids = ids, .lapic_base = 0xfee00000, .ioapic_base = 0xfec00000, .sci_irq = 9,
        .timer_gsi = 2, .pm_base = 0x600, .smi_cmd = 0xb2, .reset_port = 0xcf9, .reset_value = 6,
        .has_8042 = true, .hpet_base = 0xfed00000, .hpet_id = 0x8086a201, .isa = isa, .pci = {0x80000000, 0xfec00000, 0x140000000, 0x8140000000},
        .isa_count = G_N_ELEMENTS(isa),
    };
    AcpiTables *acpi = acpi_tables_build(&board);
    acpi_tables_link(acpi, BASE);
    return acpi;
}

static uint8_t sum(const uint8_t *p, size_t len)
{
    uint8_t s = 0;
    while (len--)
        s += *p++;
    return s;
}

/* The table at a guest address, its checksum and bounds checked. */
static const uint8_t *table_at(const AcpiTables *acpi, uint64_t gpa, const char *signature)
{
    assert_true(gpa >= BASE && range_ok(gpa - BASE, 36, acpi->tables->len));
    const uint8_t *t = acpi->tables->data + (gpa - BASE);
    assert_memory_equal(t, signature, 4);
    uint32_t len = load_le(t + 4, 4);
    assert_true(range_ok(gpa - BASE, len, acpi->tables->len));
    if (memcmp(signature, "FACS", 4))
        assert_int_equal(sum(t, len), 0);
    return t;
}

static void rsdp_leads_to_every_table_by_32_and_64_bit_pointers(void **state)
{
    g_autoptr(AcpiTables) acpi = build(4, 0);
    const uint8_t *r = acpi->rsdp->data;

    assert_memory_equal(r, "RSD PTR ", 8);
    assert_int_equal(sum(r, 20), 0);
    assert_int_equal(sum(r, 36), 0);
    assert_int_equal(r[15], 2);
    const uint8_t *rsdt = table_at(acpi, load_le(r + 16, 4), "RSDT");
    const uint8_t *xsdt = table_at(acpi, load_le(r + 24, 8), "XSDT");
    assert_int_equal(load_le(rsdt + 4, 4), 36 + 3 * 4);
    assert_int_equal(load_le(xsdt + 4, 4), 36 + 3 * 8);
    for (int i = 0; i < 3; i++)
        assert_int_equal(load_le(rsdt + 36 + 4 * i, 4), load_le(xsdt + 36 + 8 * i, 8));
    const uint8_t *fadt = table_at(acpi, load_le(xsdt + 36, 8), "FACP");
    table_at(acpi, load_le(xsdt + 44, 8), "APIC");
    const uint8_t *hpet = table_at(acpi, load_le(xsdt + 52, 8), "HPET");
    assert_int_equal(load_le(hpet + 36, 4), 0x8086a201);
    assert_int_equal(load_le(hpet + 44, 8), 0xfed00000);
    table_at(acpi, load_le(fadt + 40, 4), "DSDT");
    assert_int_equal(load_le(fadt + 140, 8), load_le(fadt + 40, 4));
    uint32_t facs = load_le(fadt + 36, 4);
    table_at(acpi, facs, "FACS");
    assert_int_equal(facs % 64, 0);
}

static void fadt_describes_the_fixed_hardware(void **state)
{
    g_autoptr(AcpiTables) acpi = build(1, 0);
    const uint8_t *xsdt = table_at(acpi, load_le(acpi->rsdp->data + 24, 8), "XSDT");
    const uint8_t *f = table_at(acpi, load_le(xsdt + 36, 8), "FACP");

    assert_int_equal(load_le(f + 4, 4), 276);
    assert_int_equal(load_le(f + 46, 2), 9);
    assert_int_equal(load_le(f + 56, 4), 0x600);
    assert_int_equal(load_le(f + 64, 4), 0x604);
    assert_int_equal(load_le(f + 76, 4), 0x608);
    assert_int_equal(load_le(f + 112, 4) & (1 << 20), 0); /* not hardware-reduced */
    assert_int_equal(load_le(f + 112, 4) & (1 << 4), 0);  /* the power button is fixed hardware */
    assert_int_equal(f[116], 1);                          /* reset register: I/O space */
    assert_int_equal(load_le(f + 120, 8), 0xcf9);
    assert_int_equal(f[128], 6);
}

/* Counts the MADT's structures of a type; *last is the last of them. */
static unsigned count_madt(const uint8_t *m, uint8_t type, const uint8_t **last)
{
    unsigned count = 0;
    for (uint32_t i = 44; i < load_le(m + 4, 4); i += m[i + 1]) {
        assert_true(m[i + 1] >= 2);
        if (m[i] == type) {
            count++;
            *last = m + i;
        }
    }
    return count;
}

static void madt_lists_processors_ioapic_and_overrides(void **state)
{
    g_autoptr(AcpiTables) acpi = build(255, 0);
    const uint8_t *xsdt = table_at(acpi, load_le(acpi->rsdp->data + 24, 8), "XSDT");
    const uint8_t *m = table_at(acpi, load_le(xsdt + 44, 8), "APIC"), *e = NULL;

    assert_int_equal(count_madt(m, 0, &e), 255);
    assert_int_equal(e[3], 254);
    assert_int_equal(count_madt(m, 1, &e), 1);
    assert_int_equal(load_le(e + 4, 4), 0xfec00000);
    assert_int_equal(count_madt(m, 2, &e), 5);
    assert_int_equal(e[3], 9);
    assert_int_equal(load_le(e + 8, 2), 0xd);
    assert_int_equal(count_madt(m, 4, &e), 1);
    assert_int_equal(e[5], 1);
}

static void ids_beyond_8_bits_become_x2apic_structures(void **state)
{
    g_autoptr(AcpiTables) acpi = build(4, 253);
    const uint8_t *xsdt = table_at(acpi, load_le(acpi->rsdp->data + 24, 8), "XSDT");
    const uint8_t *m = table_at(acpi, load_le(xsdt + 44, 8), "APIC"), *e = NULL;

    assert_int_equal(count_madt(m, 0, &e), 2);
    assert_int_equal(count_madt(m, 9, &e), 2);
    assert_int_equal(load_le(e + 4, 4), 256);
}

static void expect_aml(Aml *aml, const char *bytes, size_t len)
{
    assert_int_equal(aml->len, len);
    assert_memory_equal(aml->data, bytes, len);
    g_byte_array_unref(aml);
}

static void aml_encodes_the_shortest_form(void **state)
{
    expect_aml(aml_int(0), "\x00", 1);
    expect_aml(aml_int(1), "\x01", 1);
    expect_aml(aml_int(2), "\x0a\x02", 2);
    expect_aml(aml_int(0x1234), "\x0b\x34\x12", 3);
    expect_aml(aml_int(0x12345678), "\x0c\x78\x56\x34\x12", 5);
    expect_aml(aml_int(0x100000000), "\x0e\0\0\0\0\1\0\0\0", 9);
    expect_aml(aml_eisa_id("PNP0501"), "\x0c\x41\xd0\x05\x01", 5);
    expect_aml(aml_name("_S5", aml_int(1)), "\x08_S5_\x01", 6);
    expect_aml(aml_irq(4), "\x22\x10\x00", 3);
}

static void package_lengths_grow_with_their_contents(void **state)
{
    const size_t sizes[] = {58, 59, 100, 4000, 5000, 70000};

    for (size_t i = 0; i < G_N_ELEMENTS(sizes); i++) {
        Aml *body = aml_new();
        g_byte_array_set_size(body, sizes[i]);
        Aml *scope = aml_scope("ABCD", body);
        unsigned follow = scope->data[1] >> 6;
        uint32_t len = follow ? (scope->data[1] & 0xf) | load_le(scope->data + 2, follow) << 4 : scope->data[1] & 0x3f;
        assert_int_equal(len, scope->len - 1);
        assert_int_equal(len, 1 + follow + 4 + sizes[i]);
        g_byte_array_unref(scope);
    }
}

/* Runs iasl in dir; its output. NULL if there is none. */
static char *run_iasl(const char *dir, const char *option, const char *file)
{
    const char *argv[] = {"iasl", option, file, NULL};
    char *out = NULL;
    int status;

    if (!g_spawn_sync(dir, (char **)argv, NULL, G_SPAWN_SEARCH_PATH | G_SPAWN_STDERR_TO_DEV_NULL, NULL, NULL, &out,
                      NULL, &status, NULL))
        return NULL;
    assert_true(g_spawn_check_wait_status(status, NULL));
    return out;
}

static void the_reference_compiler_takes_every_table_apart_and_together(void **state)
{
    g_autoptr(AcpiTables) acpi = build(4, 0);
    g_autofree char *dir = g_dir_make_tmp("vmm-test-XXXXXX", NULL);
    g_autofree char *iasl = g_find_program_in_path("iasl");
    const uint8_t *xsdt = table_at(acpi, load_le(acpi->rsdp->data + 24, 8), "XSDT");
    const uint8_t *fadt = table_at(acpi, load_le(xsdt + 36, 8), "FACP");
    const struct {
        const char *name;
        const uint8_t *table;
    } tables[] = {
        {"facp", fadt},
        {"apic", table_at(acpi, load_le(xsdt + 44, 8), "APIC")},
        {"hpet", table_at(acpi, load_le(xsdt + 52, 8), "HPET")},
        {"facs", table_at(acpi, load_le(fadt + 36, 4), "FACS")},
        {"dsdt", table_at(acpi, load_le(fadt + 40, 4), "DSDT")},
    };

    if (!iasl) {
        rmdir(dir);
        skip();
    }
    for (size_t i = 0; i < G_N_ELEMENTS(tables); i++) {
        g_autofree char *dat = g_strdup_printf("%s/%s.dat", dir, tables[i].name);
        g_autofree char *dsl = g_strdup_printf("%s/%s.dsl", dir, tables[i].name);
        assert_true(g_file_set_contents(dat, (const char *)tables[i].table, load_le(tables[i].table + 4, 4), NULL));
        g_autofree char *taken_apart = run_iasl(dir, "-d", dat);
        assert_non_null(taken_apart);
        g_autofree char *compiled = run_iasl(dir, "-ve", dsl);
        assert_non_null(compiled);
        if (!strstr(compiled, "0 Errors") || !strstr(compiled, "0 Warnings"))
            fail_msg("%s: %s", tables[i].name, compiled);
        unlink(dat);
        unlink(dsl);
        g_autofree char *aml = g_strdup_printf("%s/%s.aml", dir, tables[i].name);
        unlink(aml);
    }
    rmdir(dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rsdp_leads_to_every_table_by_32_and_64_bit_pointers),
        cmocka_unit_test(fadt_describes_the_fixed_hardware),
        cmocka_unit_test(madt_lists_processors_ioapic_and_overrides),
        cmocka_unit_test(ids_beyond_8_bits_become_x2apic_structures),
        cmocka_unit_test(aml_encodes_the_shortest_form),
        cmocka_unit_test(package_lengths_grow_with_their_contents),
        cmocka_unit_test(the_reference_compiler_takes_every_table_apart_and_together),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
