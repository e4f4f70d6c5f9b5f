/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The 8259A pair. INTR is watched as the device's output; the poll command stands for INTA, which only
 * a CPU makes (tests/unit/test-lapic.c has vectors and spurious interrupts).
 */
#include "qtest.h"

#define MASTER 0x20
#define SLAVE  0xa0
#define ELCR1  0x4d0
#define ELCR2  0x4d1

#define EOI         0x20
#define ROTATE_EOI  0xa0
#define SPECIFIC(n) (0x60 | (n))
#define SET_PRIORITY(n) (0xc0 | (n))
#define POLL        0x0c
#define READ_IRR    0x0a
#define READ_ISR    0x0b
#define SET_SMM     0x68
#define RESET_SMM   0x48

static void init_chip(QTest *qt, uint16_t port, uint8_t base, uint8_t icw3, uint8_t icw4)
{
    qt_outb(qt, port, 0x11);
    qt_outb(qt, port + 1, base);
    qt_outb(qt, port + 1, icw3);
    qt_outb(qt, port + 1, icw4);
}

static int setup(void **state)
{
    QTest *qt = qt_start(NULL);

    init_chip(qt, MASTER, 0x20, 4, 1);
    init_chip(qt, SLAVE, 0x28, 2, 1);
    qt_intercept_out(qt, "isa-i8259");
    *state = qt;
    return 0;
}

static bool intr(QTest *qt)
{
    return qt->level[0];
}

static uint8_t poll(QTest *qt, uint16_t port)
{
    qt_outb(qt, port, POLL);
    return qt_inb(qt, port);
}

static uint8_t read_irr(QTest *qt, uint16_t port)
{
    qt_outb(qt, port, READ_IRR);
    return qt_inb(qt, port);
}

static uint8_t read_isr(QTest *qt, uint16_t port)
{
    qt_outb(qt, port, READ_ISR);
    return qt_inb(qt, port);
}

static void pulse(QTest *qt, int irq)
{
    qt_set_gsi(qt, irq, 1);
    qt_set_gsi(qt, irq, 0);
}

static void icw1_clears_the_mask(void **state)
{
    QTest *qt = *state;

    qt_outb(qt, MASTER + 1, 0xff);
    assert_int_equal(qt_inb(qt, MASTER + 1), 0xff);
    init_chip(qt, MASTER, 0x20, 4, 1);
    assert_int_equal(qt_inb(qt, MASTER + 1), 0);
}

static void an_edge_sets_irr_and_raises_int(void **state)
{
    QTest *qt = *state;

    qt_set_gsi(qt, 5, 1);
    assert_true(intr(qt));
    assert_int_equal(read_irr(qt, MASTER) & 0x20, 0x20);
    assert_int_equal(poll(qt, MASTER), 0x85);
    assert_false(intr(qt));
    assert_int_equal(read_irr(qt, MASTER) & 0x20, 0);
    assert_int_equal(read_isr(qt, MASTER), 0x20);
    qt_outb(qt, MASTER, EOI);
    assert_int_equal(read_isr(qt, MASTER), 0);
    assert_false(intr(qt)); /* the line is still high, but that is no edge */
}

static void a_masked_request_waits_for_its_mask(void **state)
{
    QTest *qt = *state;

    qt_outb(qt, MASTER + 1, 0x20);
    pulse(qt, 5);
    assert_false(intr(qt));
    assert_int_equal(read_irr(qt, MASTER) & 0x20, 0x20);
    qt_outb(qt, MASTER + 1, 0);
    assert_true(intr(qt));
}

static void lower_priority_waits_for_the_eoi(void **state)
{
    QTest *qt = *state;

    pulse(qt, 3);
    assert_int_equal(poll(qt, MASTER), 0x83);
    pulse(qt, 5);
    assert_false(intr(qt));
    pulse(qt, 1);
    assert_true(intr(qt)); /* higher priority nests */
    assert_int_equal(poll(qt, MASTER), 0x81);
    qt_outb(qt, MASTER, EOI);
    assert_int_equal(read_isr(qt, MASTER), 1 << 3);
    qt_outb(qt, MASTER, EOI);
    assert_true(intr(qt));
    assert_int_equal(poll(qt, MASTER), 0x85);
}

static void specific_eoi_ends_the_level_it_names(void **state)
{
    QTest *qt = *state;

    pulse(qt, 5);
    poll(qt, MASTER);
    pulse(qt, 3);
    poll(qt, MASTER);
    qt_outb(qt, MASTER, SPECIFIC(5));
    assert_int_equal(read_isr(qt, MASTER), 1 << 3);
}

static void rotation_on_eoi_makes_the_level_lowest(void **state)
{
    QTest *qt = *state;

    pulse(qt, 3);
    poll(qt, MASTER);
    qt_outb(qt, MASTER, ROTATE_EOI);
    pulse(qt, 3);
    pulse(qt, 4);
    assert_int_equal(poll(qt, MASTER), 0x84);
    qt_outb(qt, MASTER, EOI);
    assert_int_equal(poll(qt, MASTER), 0x83);
}

static void set_priority_names_the_lowest_level(void **state)
{
    QTest *qt = *state;

    qt_outb(qt, MASTER, SET_PRIORITY(4));
    pulse(qt, 1);
    pulse(qt, 5);
    assert_int_equal(poll(qt, MASTER), 0x85);
}

static void auto_eoi_leaves_nothing_in_service(void **state)
{
    QTest *qt = *state;

    init_chip(qt, MASTER, 0x20, 4, 3);
    pulse(qt, 5);
    assert_int_equal(poll(qt, MASTER), 0x85);
    assert_int_equal(read_isr(qt, MASTER), 0);
}

static void special_mask_mode_lets_lower_levels_through(void **state)
{
    QTest *qt = *state;

    pulse(qt, 3);
    poll(qt, MASTER);
    pulse(qt, 5);
    assert_false(intr(qt));
    qt_outb(qt, MASTER + 1, 1 << 3);
    assert_false(intr(qt));
    qt_outb(qt, MASTER, SET_SMM);
    assert_true(intr(qt));
    qt_outb(qt, MASTER, RESET_SMM);
    assert_false(intr(qt));
}

static void a_level_line_requests_for_as_long_as_it_is_high(void **state)
{
    QTest *qt = *state;

    qt_outb(qt, ELCR1, 0x20);
    qt_set_gsi(qt, 5, 1);
    assert_int_equal(poll(qt, MASTER), 0x85);
    qt_outb(qt, MASTER, EOI);
    assert_true(intr(qt));
    qt_set_gsi(qt, 5, 0);
    assert_false(intr(qt));
}

static void elcr_keeps_the_system_lines_edge_triggered(void **state)
{
    QTest *qt = *state;

    qt_outb(qt, ELCR1, 0xff);
    qt_outb(qt, ELCR2, 0xff);
    assert_int_equal(qt_inb(qt, ELCR1), 0xf8);
    assert_int_equal(qt_inb(qt, ELCR2), 0xde);
}

static void the_slave_comes_through_ir2(void **state)
{
    QTest *qt = *state;

    pulse(qt, 12);
    assert_true(intr(qt));
    assert_int_equal(read_irr(qt, MASTER) & 4, 4);
    assert_int_equal(poll(qt, MASTER), 0x82);
    assert_int_equal(poll(qt, SLAVE), 0x84);
    qt_outb(qt, SLAVE, EOI);
    qt_outb(qt, MASTER, EOI);
    assert_false(intr(qt));
}

static void a_second_slave_request_follows_the_first(void **state)
{
    QTest *qt = *state;

    pulse(qt, 9);
    pulse(qt, 12);
    assert_int_equal(poll(qt, MASTER), 0x82);
    assert_int_equal(poll(qt, SLAVE), 0x81);
    qt_outb(qt, SLAVE, EOI);
    qt_outb(qt, MASTER, EOI);
    assert_true(intr(qt));
    assert_int_equal(poll(qt, MASTER), 0x82);
    assert_int_equal(poll(qt, SLAVE), 0x84);
}

static void special_fully_nested_mode_lets_the_slave_nest(void **state)
{
    QTest *qt = *state;

    init_chip(qt, MASTER, 0x20, 4, 0x11);
    pulse(qt, 12);
    assert_int_equal(poll(qt, MASTER), 0x82);
    assert_int_equal(poll(qt, SLAVE), 0x84);
    assert_false(intr(qt));
    pulse(qt, 9); /* above 12 on the slave */
    assert_true(intr(qt));
}

static void poll_without_a_request_reads_zero(void **state)
{
    QTest *qt = *state;

    assert_int_equal(poll(qt, MASTER) & 0x80, 0);
    assert_int_equal(poll(qt, SLAVE) & 0x80, 0);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, qt_teardown)
    const struct CMUnitTest tests[] = {
        T(icw1_clears_the_mask),
        T(an_edge_sets_irr_and_raises_int),
        T(a_masked_request_waits_for_its_mask),
        T(lower_priority_waits_for_the_eoi),
        T(specific_eoi_ends_the_level_it_names),
        T(rotation_on_eoi_makes_the_level_lowest),
        T(set_priority_names_the_lowest_level),
        T(auto_eoi_leaves_nothing_in_service),
        T(special_mask_mode_lets_lower_levels_through),
        T(a_level_line_requests_for_as_long_as_it_is_high),
        T(elcr_keeps_the_system_lines_edge_triggered),
        T(the_slave_comes_through_ir2),
        T(a_second_slave_request_follows_the_first),
        T(special_fully_nested_mode_lets_the_slave_nest),
        T(poll_without_a_request_reads_zero),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
