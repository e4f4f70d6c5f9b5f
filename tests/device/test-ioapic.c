/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The I/O APIC, and through it the LAPIC of CPU 0, whose registers show what arrived.
 */
#include "qtest.h"

#define IOAPIC 0xfec00000u
#define LAPIC  0xfee00000u

#define MASKED (1u << 16)
#define LEVEL  (1u << 15)
#define REMOTE_IRR (1u << 14)
#define LOGICAL (1u << 11)

static uint32_t get(QTest *qt, uint8_t reg)
{
    qt_writel(qt, IOAPIC, reg);
    return qt_readl(qt, IOAPIC + 0x10);
}

static void set(QTest *qt, uint8_t reg, uint32_t value)
{
    qt_writel(qt, IOAPIC, reg);
    qt_writel(qt, IOAPIC + 0x10, value);
}

static void route(QTest *qt, int pin, uint32_t low, uint32_t high)
{
    set(qt, 0x11 + 2 * pin, high);
    set(qt, 0x10 + 2 * pin, low);
}

static bool in_irr(QTest *qt, uint8_t vector)
{
    return qt_readl(qt, LAPIC + 0x200 + vector / 32 * 0x10) >> vector % 32 & 1;
}

static bool in_tmr(QTest *qt, uint8_t vector)
{
    return qt_readl(qt, LAPIC + 0x180 + vector / 32 * 0x10) >> vector % 32 & 1;
}

static int setup(void **state)
{
    QTest *qt = qt_start("-smp 2");

    qt_writel(qt, LAPIC + 0xf0, 0x1ff);
    *state = qt;
    return 0;
}

static void version_says_24_pins(void **state)
{
    QTest *qt = *state;

    assert_int_equal(get(qt, 1), 0x00170020);
}

static void reset_masks_every_pin(void **state)
{
    QTest *qt = *state;

    for (int pin = 0; pin < 24; pin++) {
        assert_int_equal(get(qt, 0x10 + 2 * pin), MASKED);
        assert_int_equal(get(qt, 0x11 + 2 * pin), 0);
    }
}

static void id_has_four_bits_and_the_arbitration_register_follows(void **state)
{
    QTest *qt = *state;

    set(qt, 0, 0xffffffff);
    assert_int_equal(get(qt, 0), 0x0f000000);
    assert_int_equal(get(qt, 2), 0x0f000000);
}

static void registers_that_are_not_there_read_as_zero(void **state)
{
    QTest *qt = *state;

    set(qt, 0x40, 0xffffffff);
    assert_int_equal(get(qt, 0x40), 0);
    assert_int_equal(get(qt, 0xff), 0);
}

static void read_only_bits_of_an_entry_stay(void **state)
{
    QTest *qt = *state;

    route(qt, 20, 0xffffffff, 0xffffffff);
    assert_int_equal(get(qt, 0x10 + 40), 0x1afff);
    assert_int_equal(get(qt, 0x11 + 40), 0xff000000);
}

static void an_edge_sends_its_vector(void **state)
{
    QTest *qt = *state;

    route(qt, 20, 0x51, 0);
    assert_false(in_irr(qt, 0x51));
    qt_set_gsi(qt, 20, 1);
    assert_true(in_irr(qt, 0x51));
    assert_false(in_tmr(qt, 0x51));
    assert_int_equal(get(qt, 0x10 + 40) & REMOTE_IRR, 0);
}

static void a_masked_edge_is_lost(void **state)
{
    QTest *qt = *state;

    route(qt, 20, 0x51 | MASKED, 0);
    qt_set_gsi(qt, 20, 1);
    route(qt, 20, 0x51, 0);
    assert_false(in_irr(qt, 0x51));
}

static void a_masked_level_waits(void **state)
{
    QTest *qt = *state;

    route(qt, 20, 0x51 | MASKED | LEVEL, 0);
    qt_set_gsi(qt, 20, 1);
    assert_false(in_irr(qt, 0x51));
    route(qt, 20, 0x51 | LEVEL, 0);
    assert_true(in_irr(qt, 0x51));
    assert_true(in_tmr(qt, 0x51));
    assert_int_equal(get(qt, 0x10 + 40) & REMOTE_IRR, REMOTE_IRR);
}

static void the_eoi_register_clears_remote_irr(void **state)
{
    QTest *qt = *state;

    route(qt, 20, 0x51 | LEVEL, 0);
    qt_set_gsi(qt, 20, 1);
    qt_set_gsi(qt, 20, 0);
    assert_int_equal(get(qt, 0x10 + 40) & REMOTE_IRR, REMOTE_IRR);
    qt_writel(qt, IOAPIC + 0x40, 0x52);
    assert_int_equal(get(qt, 0x10 + 40) & REMOTE_IRR, REMOTE_IRR);
    qt_writel(qt, IOAPIC + 0x40, 0x51);
    assert_int_equal(get(qt, 0x10 + 40) & REMOTE_IRR, 0);
}

static void a_turn_through_edge_mode_clears_remote_irr(void **state)
{
    QTest *qt = *state;

    route(qt, 20, 0x51 | LEVEL, 0);
    qt_set_gsi(qt, 20, 1);
    qt_set_gsi(qt, 20, 0);
    route(qt, 20, 0x51 | MASKED, 0);
    route(qt, 20, 0x51 | LEVEL, 0);
    assert_int_equal(get(qt, 0x10 + 40) & REMOTE_IRR, 0);
}

static void other_cpus_do_not_see_it(void **state)
{
    QTest *qt = *state;

    route(qt, 20, 0x51, 1u << 24);
    qt_set_gsi(qt, 20, 1);
    assert_false(in_irr(qt, 0x51));
}

static void broadcast_reaches_everybody(void **state)
{
    QTest *qt = *state;

    route(qt, 20, 0x51, 0xffu << 24);
    qt_set_gsi(qt, 20, 1);
    assert_true(in_irr(qt, 0x51));
}

static void flat_logical_destination_is_a_bit_of_ldr(void **state)
{
    QTest *qt = *state;

    qt_writel(qt, LAPIC + 0xd0, 4u << 24);
    route(qt, 20, 0x51 | LOGICAL, 3u << 24);
    qt_set_gsi(qt, 20, 1);
    assert_false(in_irr(qt, 0x51));
    route(qt, 21, 0x52 | LOGICAL, 6u << 24);
    qt_set_gsi(qt, 21, 1);
    assert_true(in_irr(qt, 0x52));
}

static void cluster_logical_destination_names_cluster_and_member(void **state)
{
    QTest *qt = *state;

    qt_writel(qt, LAPIC + 0xe0, 0x0fffffff);
    qt_writel(qt, LAPIC + 0xd0, 0x32u << 24);
    route(qt, 20, 0x51 | LOGICAL, 0x22u << 24);
    qt_set_gsi(qt, 20, 1);
    assert_false(in_irr(qt, 0x51));
    route(qt, 21, 0x52 | LOGICAL, 0x36u << 24);
    qt_set_gsi(qt, 21, 1);
    assert_true(in_irr(qt, 0x52));
}

static void a_software_disabled_lapic_takes_nothing(void **state)
{
    QTest *qt = *state;

    qt_writel(qt, LAPIC + 0xf0, 0xff);
    route(qt, 20, 0x51, 0);
    qt_set_gsi(qt, 20, 1);
    assert_false(in_irr(qt, 0x51));
}

static void illegal_vectors_are_an_error(void **state)
{
    QTest *qt = *state;

    route(qt, 20, 0x0f, 0);
    qt_set_gsi(qt, 20, 1);
    qt_writel(qt, LAPIC + 0x280, 0);
    assert_int_equal(qt_readl(qt, LAPIC + 0x280), 0x40);
}

static void isa_irq_0_arrives_on_pin_2(void **state)
{
    QTest *qt = *state;

    route(qt, 2, 0x61, 0);
    qt_set_gsi(qt, 0, 0);
    qt_set_gsi(qt, 0, 1);
    assert_true(in_irr(qt, 0x61));
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, qt_teardown)
    const struct CMUnitTest tests[] = {
        T(version_says_24_pins),
        T(reset_masks_every_pin),
        T(id_has_four_bits_and_the_arbitration_register_follows),
        T(registers_that_are_not_there_read_as_zero),
        T(read_only_bits_of_an_entry_stay),
        T(an_edge_sends_its_vector),
        T(a_masked_edge_is_lost),
        T(a_masked_level_waits),
        T(the_eoi_register_clears_remote_irr),
        T(a_turn_through_edge_mode_clears_remote_irr),
        T(other_cpus_do_not_see_it),
        T(broadcast_reaches_everybody),
        T(flat_logical_destination_is_a_bit_of_ldr),
        T(cluster_logical_destination_names_cluster_and_member),
        T(a_software_disabled_lapic_takes_nothing),
        T(illegal_vectors_are_an_error),
        T(isa_irq_0_arrives_on_pin_2),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
