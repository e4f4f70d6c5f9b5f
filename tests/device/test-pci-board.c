/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The pc's PCI: configuration mechanism 1 (data sheet 290549), PAM and SMRAM, PIIX3 (290550), PIIX4
 * power management (290562), and what the board sets up where no firmware runs.
 */
#include "qtest.h"

#include <string.h>
#include <unistd.h>

#include "core/bits.h"

#define CONFADD  0xcf8
#define CONFDATA 0xcfc

#define HOST PCI_ADDR(0, 0)
#define ISA  PCI_ADDR(1, 0)
#define PM   PCI_ADDR(1, 3)
#define PCI_ADDR(slot, function) (0x80000000u | (slot) << 11 | (function) << 8)

static uint32_t config(QTest *qt, uint32_t address, unsigned offset, unsigned size)
{
    qt_outl(qt, CONFADD, address | (offset & ~3u));
    unsigned port = CONFDATA + (offset & 3);
    return size == 1 ? qt_inb(qt, port) : size == 2 ? qt_inw(qt, port) : qt_inl(qt, port);
}

static void set_config(QTest *qt, uint32_t address, unsigned offset, unsigned size, uint32_t value)
{
    unsigned port = CONFDATA + (offset & 3);

    qt_outl(qt, CONFADD, address | (offset & ~3u));
    if (size == 1)
        qt_outb(qt, port, value);
    else if (size == 2)
        qt_outw(qt, port, value);
    else
        qt_outl(qt, port, value);
}

/* A vmm with a firmware image: the board leaves PCI as it comes out of reset. Byte i of it is i / 4096. */
static QTest *start_with_firmware(const char *more)
{
    g_autofree char *path = NULL, *args = NULL;
    int fd = g_file_open_tmp("vmm-bios-XXXXXX", &path, NULL);
    uint8_t page[4096];

    for (unsigned i = 0; i < 32; i++) {
        memset(page, i, sizeof(page));
        assert_int_equal(write(fd, page, sizeof(page)), sizeof(page));
    }
    close(fd);
    args = g_strdup_printf("-m 16 -bios %s%s%s", path, more ? " " : "", more ? more : "");
    QTest *qt = qt_start(args);
    qt_inb(qt, CONFDATA); /* an answer: the image has been read */
    unlink(path);
    return qt;
}

static uint8_t byte_at(QTest *qt, uint64_t addr)
{
    uint8_t value;

    qt_read(qt, addr, &value, 1);
    return value;
}

static void put_byte(QTest *qt, uint64_t addr, uint8_t value)
{
    qt_write(qt, addr, &value, 1);
}

/* --- configuration mechanism 1 --- */

static void confadd_takes_doublewords_only(void **state)
{
    QTest *qt = *state;

    qt_outl(qt, CONFADD, 0x80000800);
    qt_outw(qt, CONFADD, 0x1234);
    qt_outb(qt, CONFADD, 0x56);
    assert_int_equal(qt_inl(qt, CONFADD), 0x80000800);
    assert_int_equal(qt_inw(qt, CONFADD), 0xffff);
}

static void confadds_reserved_bits_read_as_zero(void **state)
{
    QTest *qt = *state;

    qt_outl(qt, CONFADD, 0xffffffff);
    assert_int_equal(qt_inl(qt, CONFADD), 0x80fffffc);
}

static void confdata_needs_the_enable_bit(void **state)
{
    QTest *qt = *state;

    qt_outl(qt, CONFADD, HOST & ~0x80000000u);
    assert_int_equal(qt_inl(qt, CONFDATA), 0xffffffff);
    qt_outl(qt, CONFADD, HOST);
    assert_int_equal(qt_inl(qt, CONFDATA), 0x12378086);
}

static void byte_lanes_reach_single_registers(void **state)
{
    QTest *qt = *state;

    assert_int_equal(config(qt, HOST, 0, 2), 0x8086);
    assert_int_equal(config(qt, HOST, 2, 2), 0x1237);
    assert_int_equal(config(qt, HOST, 1, 1), 0x80);
    set_config(qt, ISA, 0x3c, 1, 7);
    assert_int_equal(config(qt, ISA, 0x61, 1), 0x0a);
}

static void the_boards_functions_are_where_systems_expect_them(void **state)
{
    QTest *qt = *state;

    assert_int_equal(config(qt, HOST, 8, 4), 0x06000002);
    assert_int_equal(config(qt, ISA, 0, 4), 0x70008086);
    assert_int_equal(config(qt, ISA, 8, 4), 0x06010000);
    assert_int_equal(config(qt, ISA, 0x0e, 1), 0x80);
    assert_int_equal(config(qt, PM, 0, 4), 0x71138086);
    assert_int_equal(config(qt, PM, 8, 4), 0x06800003);
    for (unsigned slot = 2; slot < 32; slot++)
        assert_int_equal(config(qt, PCI_ADDR(slot, 0), 0, 4), 0xffffffff);
    assert_int_equal(config(qt, HOST | 1 << 16, 0, 4), 0xffffffff);
}

static void reset_control_lies_inside_confadd(void **state)
{
    QTest *qt = *state;

    qt_outl(qt, CONFADD, 0x80000000);
    qt_outb(qt, 0xcf9, 0x02);
    assert_int_equal(qt_inb(qt, 0xcf9), 0x02);
    assert_int_equal(qt_inl(qt, CONFADD), 0x80000000);
}

/* --- PAM, 3.2.18 --- */

static void pam_off_shows_the_rom_and_drops_writes(void **state)
{
    QTest *qt = start_with_firmware(NULL);

    assert_int_equal(config(qt, HOST, 0x59, 1), 0);
    assert_int_equal(byte_at(qt, 0xf1000), 17);
    put_byte(qt, 0xf1000, 0x77);
    assert_int_equal(byte_at(qt, 0xf1000), 17);
    assert_int_equal(byte_at(qt, 0xe0000), 0);
    assert_int_equal(byte_at(qt, 0xffffffff), 31);
    assert_int_equal(byte_at(qt, 0xc0000), 0xff);
    assert_true(qt_end(qt));
}

static void pam_copies_a_rom_to_its_shadow_and_protects_it(void **state)
{
    QTest *qt = start_with_firmware(NULL);

    set_config(qt, HOST, 0x59, 1, 0x20); /* reads ROM, writes RAM */
    for (unsigned i = 0; i < 16; i++)
        put_byte(qt, 0xf0000 + i, byte_at(qt, 0xf0000 + i) + 1);
    assert_int_equal(byte_at(qt, 0xf0000), 16);
    set_config(qt, HOST, 0x59, 1, 0x10); /* reads RAM, writes go nowhere */
    assert_int_equal(byte_at(qt, 0xf0000), 17);
    put_byte(qt, 0xf0000, 0x55);
    assert_int_equal(byte_at(qt, 0xf0000), 17);
    set_config(qt, HOST, 0x59, 1, 0x30);
    put_byte(qt, 0xf0000, 0x55);
    assert_int_equal(byte_at(qt, 0xf0000), 0x55);
    set_config(qt, HOST, 0x59, 1, 0x00);
    assert_int_equal(byte_at(qt, 0xf0000), 16);
    assert_true(qt_end(qt));
}

static void each_pam_half_governs_its_segment_alone(void **state)
{
    QTest *qt = start_with_firmware(NULL);

    for (unsigned i = 0; i < 12; i++) {
        uint32_t base = 0xc0000 + i * 0x4000;
        unsigned reg = 0x5a + i / 2, shift = i & 1 ? 4 : 0;

        set_config(qt, HOST, reg, 1, 3 << shift);
        put_byte(qt, base, 0xa0 + i);
        put_byte(qt, base + 0x3fff, 0xb0 + i);
        assert_int_equal(byte_at(qt, base), 0xa0 + i);
        assert_int_equal(byte_at(qt, base + 0x3fff), 0xb0 + i);
        set_config(qt, HOST, reg, 1, 0);
        assert_int_not_equal(byte_at(qt, base), 0xa0 + i);
    }
    assert_true(qt_end(qt));
}

static void writes_without_reads_reach_ram_where_there_is_no_rom(void **state)
{
    QTest *qt = start_with_firmware(NULL);

    set_config(qt, HOST, 0x5a, 1, 0x02);
    qt_writel(qt, 0xc0100, 0x12345678);
    assert_int_equal(qt_readl(qt, 0xc0100), 0xffffffff);
    set_config(qt, HOST, 0x5a, 1, 0x01);
    assert_int_equal(qt_readl(qt, 0xc0100), 0x12345678);
    assert_true(qt_end(qt));
}

static void a_reset_closes_the_shadow(void **state)
{
    QTest *qt = start_with_firmware(NULL);

    set_config(qt, HOST, 0x59, 1, 0x30);
    put_byte(qt, 0xf0000, 0x55);
    qt_outb(qt, 0xcf9, 0x02);
    qt_outb(qt, 0xcf9, 0x06);
    assert_int_equal(config(qt, HOST, 0x59, 1), 0);
    assert_int_equal(byte_at(qt, 0xf0000), 16);
    assert_true(qt_end(qt));
}

/* --- SMRAM, 3.2.24 --- */

static void smram_shows_while_it_is_open_and_not_after_the_lock(void **state)
{
    QTest *qt = start_with_firmware(NULL);

    assert_int_equal(config(qt, HOST, 0x72, 1), 0x02);
    assert_int_equal(qt_readl(qt, 0xa8000), 0xffffffff);
    set_config(qt, HOST, 0x72, 1, 0x4a);
    qt_writel(qt, 0xa8000, 0x5a5a5a5a);
    assert_int_equal(qt_readl(qt, 0xa8000), 0x5a5a5a5a);
    set_config(qt, HOST, 0x72, 1, 0x5a); /* lock */
    assert_int_equal(config(qt, HOST, 0x72, 1), 0x1a);
    assert_int_equal(qt_readl(qt, 0xa8000), 0xffffffff);
    set_config(qt, HOST, 0x72, 1, 0x4a);
    assert_int_equal(config(qt, HOST, 0x72, 1), 0x1a);
    qt_outb(qt, 0xcf9, 0x02);
    qt_outb(qt, 0xcf9, 0x06);
    set_config(qt, HOST, 0x72, 1, 0x4a);
    assert_int_equal(qt_readl(qt, 0xa8000), 0x5a5a5a5a);
    assert_true(qt_end(qt));
}

/* --- PIIX3 and PIIX4 --- */

static void pirq_routes_come_up_disabled(void **state)
{
    QTest *qt = start_with_firmware(NULL);

    assert_int_equal(config(qt, ISA, 0x60, 4), 0x80808080);
    set_config(qt, ISA, 0x60, 4, 0xffffffff);
    assert_int_equal(config(qt, ISA, 0x60, 4), 0x8f8f8f8f);
    assert_true(qt_end(qt));
}

static void the_acpi_registers_lie_where_pmba_says(void **state)
{
    QTest *qt = start_with_firmware(NULL);

    assert_int_equal(qt_inl(qt, 0x608), 0xffffffff);
    set_config(qt, PM, 0x40, 4, 0x601);
    assert_int_equal(config(qt, PM, 0x40, 4), 0x601);
    assert_int_equal(qt_inw(qt, 0x604), 0xffff);
    set_config(qt, PM, 0x80, 1, 1);
    assert_int_equal(qt_inw(qt, 0x604), 0);
    set_config(qt, PM, 0x40, 4, 0xb001);
    assert_int_equal(qt_inw(qt, 0x604), 0xffff);
    assert_int_equal(qt_inw(qt, 0xb004), 0);
    set_config(qt, PM, 0x80, 1, 0);
    assert_int_equal(qt_inw(qt, 0xb004), 0xffff);
    assert_true(qt_end(qt));
}

static void a_transaction_on_the_smbus_finds_nobody(void **state)
{
    QTest *qt = *state;

    assert_int_equal(config(qt, PM, 0x90, 4), 0x701);
    qt_outb(qt, 0x700, 0xff);
    qt_outb(qt, 0x704, 0xa1);
    qt_outb(qt, 0x703, 0x10);
    assert_int_equal(qt_inb(qt, 0x700), 0);
    qt_outb(qt, 0x702, 0x48);
    assert_int_equal(qt_inb(qt, 0x700), 0x04);
    assert_int_equal(qt_inb(qt, 0x702), 0x08);
    qt_outb(qt, 0x700, 0x04);
    assert_int_equal(qt_inb(qt, 0x700), 0);
}

static void smm_is_announced_as_set_up(void **state)
{
    QTest *qt = start_with_firmware(NULL);

    assert_int_equal(config(qt, PM, 0x5b, 1) & 0x02, 0x02);
    assert_true(qt_end(qt));
}

/* --- in a firmware's stead --- */

static void without_firmware_pci_is_set_up(void **state)
{
    QTest *qt = *state;

    assert_int_equal(config(qt, HOST, 0x58, 4), 0x33333000);
    assert_int_equal(config(qt, HOST, 0x5c, 4), 0x33333333);
    assert_int_equal(config(qt, ISA, 0x60, 4), 0x0b0b0a0a);
    assert_int_equal(qt_inb(qt, 0x4d1), 0x0c);
    assert_int_equal(config(qt, PM, 0x40, 4), 0x601);
    assert_int_equal(config(qt, PM, 0x3c, 1), 9);
}

/* --- hostile guests --- */

static void no_write_survives_a_reset(void **state)
{
    static const uint32_t functions[] = {HOST, ISA, PM};
    static const uint32_t patterns[] = {0xffffffff, 0, 0xa5a5a5a5, 0x5a5a5a5a, 0x80008000, 0x00010001};
    QTest *qt = start_with_firmware("-no-shutdown");
    uint32_t before[3][64];

    for (unsigned f = 0; f < 3; f++)
        for (unsigned i = 0; i < 64; i++)
            before[f][i] = config(qt, functions[f], 4 * i, 4);
    for (unsigned p = 0; p < G_N_ELEMENTS(patterns); p++)
        for (unsigned f = 0; f < 3; f++)
            for (unsigned i = 0; i < 64; i++)
                set_config(qt, functions[f], 4 * i, 4, patterns[p]);
    qt_outb(qt, 0xcf9, 0x02);
    qt_outb(qt, 0xcf9, 0x06);
    for (unsigned f = 0; f < 3; f++)
        for (unsigned i = 0; i < 64; i++)
            assert_int_equal(config(qt, functions[f], 4 * i, 4), before[f][i]);
    assert_true(qt_end(qt));
}

static void acpi_registers_over_other_ports_are_not_seen(void **state)
{
    QTest *qt = start_with_firmware(NULL);

    set_config(qt, PM, 0x80, 1, 1);
    set_config(qt, PM, 0x40, 4, 0xcc1); /* 0xcc0 to 0xcff: over CF8h and CFCh */
    assert_int_equal(config(qt, HOST, 0, 4), 0x12378086);
    assert_true(qt_end(qt));
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, qt_setup, qt_teardown)

int main(void)
{
    static const struct CMUnitTest tests[] = {
        CASE(confadd_takes_doublewords_only),
        CASE(confadds_reserved_bits_read_as_zero),
        CASE(confdata_needs_the_enable_bit),
        CASE(byte_lanes_reach_single_registers),
        CASE(the_boards_functions_are_where_systems_expect_them),
        CASE(reset_control_lies_inside_confadd),
        cmocka_unit_test(pam_off_shows_the_rom_and_drops_writes),
        cmocka_unit_test(pam_copies_a_rom_to_its_shadow_and_protects_it),
        cmocka_unit_test(each_pam_half_governs_its_segment_alone),
        cmocka_unit_test(writes_without_reads_reach_ram_where_there_is_no_rom),
        cmocka_unit_test(a_reset_closes_the_shadow),
        cmocka_unit_test(smram_shows_while_it_is_open_and_not_after_the_lock),
        cmocka_unit_test(pirq_routes_come_up_disabled),
        cmocka_unit_test(the_acpi_registers_lie_where_pmba_says),
        CASE(a_transaction_on_the_smbus_finds_nobody),
        cmocka_unit_test(smm_is_announced_as_set_up),
        CASE(without_firmware_pci_is_set_up),
        cmocka_unit_test(no_write_survives_a_reset),
        cmocka_unit_test(acpi_registers_over_other_ports_are_not_seen),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
