/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The pc machine as a whole: memory map, A20, CMOS, interrupt numbers, and the ACPI tables in guest
 * memory.
 */
#include "qtest.h"

#include <inttypes.h>
#include <string.h>
#include <unistd.h>

#include "core/bits.h"

#define RSDP          0xe0000
#define RESET_CONTROL 0xcf9
#define PORT92        0x92

static uint8_t cmos(QTest *qt, uint8_t index)
{
    qt_outb(qt, 0x70, index);
    return qt_inb(qt, 0x71);
}

static bool is_ram(QTest *qt, uint64_t addr)
{
    uint32_t old = qt_readl(qt, addr);
    qt_writel(qt, addr, ~old);
    bool kept = qt_readl(qt, addr) == ~old;
    qt_writel(qt, addr, old);
    return kept;
}

static void ram_has_the_pcs_holes(void **state)
{
    QTest *qt = qt_start("-m 3200");
    const struct {
        uint64_t addr;
        bool ram;
    } probes[] = {
        {0, true}, {0x9fffc, true}, {0xa0000, false}, {0xbfffc, false}, {0xc0000, true}, {0xffffc, true},
        {MIB, true}, {0xc0000000 - 4, true}, {0xc0000000, false}, {0xfffffffc, false},
        {4 * GIB, true}, {4 * GIB + 128 * MIB - 4, true}, {4 * GIB + 128 * MIB, false},
    };

    for (size_t i = 0; i < G_N_ELEMENTS(probes); i++) {
        if (is_ram(qt, probes[i].addr) != probes[i].ram)
            fail_msg("0x%" PRIx64 " %s RAM", probes[i].addr, probes[i].ram ? "is no" : "is");
    }
    assert_true(qt_end(qt));
}

static void max_ram_below_4g_moves_the_split(void **state)
{
    QTest *qt = qt_start("-m 256 -machine pc,max-ram-below-4g=64M");

    assert_true(is_ram(qt, 64 * MIB - 4));
    assert_false(is_ram(qt, 64 * MIB));
    assert_true(is_ram(qt, 4 * GIB + 192 * MIB - 4));
    assert_true(qt_end(qt));
}

static void cmos_tells_the_memory_size_and_processors(void **state)
{
    QTest *qt = qt_start("-m 3200 -smp 3");

    assert_int_equal(cmos(qt, 0x15) | cmos(qt, 0x16) << 8, 640);
    assert_int_equal(cmos(qt, 0x17) | cmos(qt, 0x18) << 8, 0xffff);
    assert_int_equal(cmos(qt, 0x34) | cmos(qt, 0x35) << 8, (3072 - 16) * 16);
    assert_int_equal(cmos(qt, 0x5b) | cmos(qt, 0x5c) << 8 | cmos(qt, 0x5d) << 16, 128 * 16);
    assert_int_equal(cmos(qt, 0x5f), 2);
    assert_true(qt_end(qt));
}

static void a20_is_a_wrap_of_the_second_mib(void **state)
{
    QTest *qt = *state;

    qt_writel(qt, 0x5000, 0x11111111);
    qt_writel(qt, 0x105000, 0x22222222);
    assert_int_equal(qt_readl(qt, 0x5000), 0x11111111);
    qt_outb(qt, PORT92, 0);
    assert_int_equal(qt_readl(qt, 0x105000), 0x11111111);
    assert_int_equal(qt_readl(qt, 0x205000), 0);
    qt_outb(qt, PORT92, 2);
    assert_int_equal(qt_readl(qt, 0x105000), 0x22222222);

    qt_outb(qt, 0x64, 0xd1); /* the keyboard controller's output port moves the same gate */
    qt_outb(qt, 0x60, 0xdd);
    assert_int_equal(qt_readl(qt, 0x105000), 0x11111111);
    qt_outb(qt, RESET_CONTROL, 6);
    assert_int_equal(qt_readl(qt, 0x105000), 0x22222222);
}

static void devices_sit_on_their_interrupt_lines(void **state)
{
    QTest *qt = *state;

    qt_intercept_gsi(qt);
    qt_outb(qt, 0x3f9, 2); /* COM1: transmitter empty */
    qt_outb(qt, 0x3fc, 8);
    assert_true(qt->level[4]);

    qt_outb(qt, 0x43, 0x30); /* 8254 channel 0, mode 0 */
    qt_outb(qt, 0x40, 100);
    qt_outb(qt, 0x40, 0);
    qt_step(qt, 1000000);
    assert_true(qt->level[0]);

    qt_outb(qt, 0x70, 0x0b); /* clock: periodic */
    qt_outb(qt, 0x71, 0x42);
    qt_step(qt, 1000000000);
    assert_true(qt->level[8]);
    qt_outb(qt, 0x71, 0x02);

    qt_outb(qt, 0x64, 0x60); /* keyboard: interrupt on, then the controller's self test result */
    qt_outb(qt, 0x60, 0x01);
    qt_outb(qt, 0x60, 0xee); /* echo */
    assert_true(qt->raised[1] > 0);

    qt_outb(qt, 0x43, 0x30); /* the 8254 rests */
    qt_outw(qt, 0x602, 1);   /* PM timer: its top bit changes every 600 s */
    qt_step(qt, 601000000000);
    assert_true(qt->level[9]);
}

static void apics_answer_at_their_addresses(void **state)
{
    QTest *qt = *state;

    qt_writel(qt, 0xfec00000, 1);
    assert_int_equal(qt_readl(qt, 0xfec00010) >> 16 & 0xff, 23);
    assert_int_equal(qt_readl(qt, 0xfee00030) & 0xff, 0x14);
}

/* --- ACPI --- */

static uint8_t *read_table(QTest *qt, uint64_t addr, const char *signature, uint32_t *len)
{
    uint8_t header[8];

    qt_read(qt, addr, header, sizeof(header));
    assert_memory_equal(header, signature, 4);
    *len = load_le(header + 4, 4);
    assert_in_range(*len, 36, 0x10000);
    uint8_t *table = g_malloc(*len);
    qt_read(qt, addr, table, *len);
    return table;
}

static uint8_t sum(const uint8_t *p, size_t len)
{
    uint8_t s = 0;
    while (len--)
        s += *p++;
    return s;
}

/* Address of the n-th table of the XSDT. */
static uint64_t xsdt_entry(QTest *qt, unsigned n)
{
    uint64_t xsdt = qt_readq(qt, RSDP + 24);
    return qt_readq(qt, xsdt + 36 + 8 * n);
}

static void acpi_tables_are_found_from_the_bios_area(void **state)
{
    QTest *qt = *state;
    uint8_t rsdp[36];
    uint32_t len;

    qt_read(qt, RSDP, rsdp, sizeof(rsdp));
    assert_memory_equal(rsdp, "RSD PTR ", 8);
    assert_int_equal(sum(rsdp, 20), 0);
    assert_int_equal(sum(rsdp, 36), 0);
    const char *signatures[] = {"FACP", "APIC"};
    for (unsigned i = 0; i < 2; i++) {
        g_autofree uint8_t *table = read_table(qt, xsdt_entry(qt, i), signatures[i], &len);
        assert_int_equal(sum(table, len), 0);
    }
}

static void a_reset_brings_the_tables_back(void **state)
{
    QTest *qt = *state;

    qt_writel(qt, RSDP, 0);
    qt_outb(qt, RESET_CONTROL, 6);
    assert_int_equal(qt_readl(qt, RSDP), 0x20445352);
}

static void without_acpi_there_are_neither_tables_nor_registers(void **state)
{
    QTest *qt = qt_start("-machine pc,acpi=off");

    assert_int_equal(qt_readl(qt, RSDP), 0);
    assert_int_equal(qt_inl(qt, 0x608), 0xffffffff);
    assert_true(qt_end(qt));
}

/* Runs iasl in dir; what it printed. */
static char *run_iasl(const char *dir, const char *option, const char *file)
{
    const char *argv[] = {"iasl", option, file, NULL};
    char *out = NULL;
    int status;

    assert_true(g_spawn_sync(dir, (char **)argv, NULL, G_SPAWN_SEARCH_PATH | G_SPAWN_STDERR_TO_DEV_NULL, NULL, NULL,
                             &out, NULL, &status, NULL));
    assert_true(g_spawn_check_wait_status(status, NULL));
    return out;
}

/* The DSDT of the machine as it stands, taken apart and compiled again. */
static void the_reference_compiler_accepts_the_dsdt(void **state)
{
    QTest *qt = *state;
    g_autofree char *iasl = g_find_program_in_path("iasl");
    uint32_t len;

    if (!iasl)
        skip();
    g_autofree char *dir = g_dir_make_tmp("vmm-test-XXXXXX", NULL);
    g_autofree char *dat = g_build_filename(dir, "dsdt.dat", NULL), *dsl = g_build_filename(dir, "dsdt.dsl", NULL);
    g_autofree char *aml = g_build_filename(dir, "dsdt.aml", NULL);
    uint32_t dsdt = qt_readl(qt, xsdt_entry(qt, 0) + 40);
    g_autofree uint8_t *table = read_table(qt, dsdt, "DSDT", &len);
    assert_true(g_file_set_contents(dat, (char *)table, len, NULL));
    g_autofree char *taken_apart = run_iasl(dir, "-d", dat);
    assert_non_null(taken_apart);
    g_autofree char *source = NULL;
    assert_true(g_file_get_contents(dsl, &source, NULL, NULL));
    const char *names[] = {"COM1", "PNP0501", "KBD", "RTC", "_S5", "ACPI0007"};
    for (size_t i = 0; i < G_N_ELEMENTS(names); i++) {
        if (!strstr(source, names[i]))
            fail_msg("the DSDT lacks %s", names[i]);
    }
    g_autofree char *compiled = run_iasl(dir, "-ve", dsl);
    if (!strstr(compiled, "0 Errors") || !strstr(compiled, "0 Warnings"))
        fail_msg("%s", compiled);
    unlink(dat);
    unlink(dsl);
    unlink(aml);
    rmdir(dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ram_has_the_pcs_holes),
        cmocka_unit_test(max_ram_below_4g_moves_the_split),
        cmocka_unit_test(cmos_tells_the_memory_size_and_processors),
        cmocka_unit_test_setup_teardown(a20_is_a_wrap_of_the_second_mib, qt_setup, qt_teardown),
        cmocka_unit_test_setup_teardown(devices_sit_on_their_interrupt_lines, qt_setup_serial, qt_teardown),
        cmocka_unit_test_setup_teardown(apics_answer_at_their_addresses, qt_setup, qt_teardown),
        cmocka_unit_test_setup_teardown(acpi_tables_are_found_from_the_bios_area, qt_setup, qt_teardown),
        cmocka_unit_test_setup_teardown(a_reset_brings_the_tables_back, qt_setup, qt_teardown),
        cmocka_unit_test(without_acpi_there_are_neither_tables_nor_registers),
        cmocka_unit_test_setup_teardown(the_reference_compiler_accepts_the_dsdt, qt_setup_serial, qt_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
