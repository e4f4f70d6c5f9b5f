/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The high precision event timer (IA-PC HPET Specification 1.0a).
 */
#include "qtest.h"

#include "core/bits.h"

#define HPET 0xfed00000ull
#define GCAP_ID (HPET + 0x00)
#define GEN_CONF (HPET + 0x10)
#define GINTR_STA (HPET + 0x20)
#define MAIN_CNT (HPET + 0xf0)
#define TN_CONF(n) (HPET + 0x100 + 0x20 * (n))
#define TN_CMP(n) (TN_CONF(n) + 8)

#define LEVEL 0x2
#define ENABLE 0x4
#define PERIODIC 0x8
#define VAL_SET 0x40
#define MODE_32 0x100
#define ROUTE(gsi) ((gsi) << 9)

#define TICK 10
#define MS 1000000

static void start_counter(QTest *qt)
{
    qt_writeq(qt, GEN_CONF, 1);
}

static void capabilities_are_those_of_three_64_bit_timers(void **state)
{
    QTest *qt = *state;

    assert_int_equal(qt_readq(qt, GCAP_ID), 0x009896808086a201);
    assert_int_equal(qt_readq(qt, TN_CONF(0)), 0x00ff000000008030);
    assert_int_equal(qt_readq(qt, TN_CMP(2)), UINT64_MAX);
    assert_int_equal(qt_readq(qt, TN_CONF(3)), 0);
}

static void the_counter_counts_while_it_is_enabled(void **state)
{
    QTest *qt = *state;

    qt_step(qt, MS);
    assert_int_equal(qt_readq(qt, MAIN_CNT), 0);
    start_counter(qt);
    qt_step(qt, MS);
    assert_int_equal(qt_readq(qt, MAIN_CNT), MS / TICK);
    qt_writeq(qt, MAIN_CNT, 5); /* not while it runs */
    assert_int_equal(qt_readq(qt, MAIN_CNT), MS / TICK);
    qt_writeq(qt, GEN_CONF, 0);
    qt_step(qt, MS);
    assert_int_equal(qt_readq(qt, MAIN_CNT), MS / TICK);
    qt_writeq(qt, MAIN_CNT, 0x123456789a);
    assert_int_equal(qt_readq(qt, MAIN_CNT), 0x123456789a);
}

static void halves_of_registers_can_be_used(void **state)
{
    QTest *qt = *state;

    qt_writel(qt, MAIN_CNT + 4, 7);
    qt_writel(qt, MAIN_CNT, 9);
    assert_int_equal(qt_readq(qt, MAIN_CNT), 0x700000009);
    assert_int_equal(qt_readl(qt, GCAP_ID + 4), 10000000);
}

static void a_one_shot_interrupts_once(void **state)
{
    QTest *qt = *state;

    qt_intercept_gsi(qt);
    qt_writeq(qt, TN_CONF(0), ENABLE | ROUTE(20));
    qt_writeq(qt, TN_CMP(0), MS / TICK);
    start_counter(qt);
    qt_step(qt, MS - 1);
    assert_int_equal(qt->raised[20], 0);
    qt_step(qt, 1);
    assert_int_equal(qt->raised[20], 1);
    qt_step(qt, 1000ll * MS);
    assert_int_equal(qt->raised[20], 1);
}

static void a_32_bit_timer_matches_again_after_the_wrap(void **state)
{
    QTest *qt = *state;

    qt_intercept_gsi(qt);
    qt_writeq(qt, TN_CONF(0), ENABLE | MODE_32 | ROUTE(20));
    qt_writeq(qt, TN_CMP(0), MS / TICK);
    start_counter(qt);
    qt_step(qt, MS);
    assert_int_equal(qt->raised[20], 1);
    qt_step(qt, (1ll << 32) * TICK);
    assert_int_equal(qt->raised[20], 2);
}

static void a_periodic_timer_keeps_its_phase(void **state)
{
    QTest *qt = *state;

    qt_intercept_gsi(qt);
    qt_writeq(qt, TN_CONF(1), ENABLE | PERIODIC | VAL_SET | ROUTE(21));
    qt_writeq(qt, TN_CMP(1), 3 * MS / TICK);
    qt_writeq(qt, TN_CMP(1), MS / TICK);
    start_counter(qt);
    qt_step(qt, 3 * MS - 1);
    assert_int_equal(qt->raised[21], 0);
    for (int i = 1; i <= 10; i++) {
        qt_step(qt, i == 1 ? 1 : MS);
        assert_int_equal(qt->raised[21], i);
    }
    assert_int_equal(qt_readq(qt, TN_CMP(1)), 13 * MS / TICK);
}

static void a_level_interrupt_lasts_until_its_status_is_cleared(void **state)
{
    QTest *qt = *state;

    qt_intercept_gsi(qt);
    qt_writeq(qt, TN_CONF(2), ENABLE | LEVEL | ROUTE(22));
    qt_writeq(qt, TN_CMP(2), 100);
    start_counter(qt);
    qt_step(qt, MS);
    assert_true(qt->level[22]);
    assert_int_equal(qt_readq(qt, GINTR_STA), 4);
    qt_writeq(qt, GINTR_STA, 3);
    assert_true(qt->level[22]);
    qt_writel(qt, GINTR_STA, 4);
    assert_false(qt->level[22]);
    assert_int_equal(qt_readq(qt, GINTR_STA), 0);
}

static void disabling_an_interrupt_drops_its_line(void **state)
{
    QTest *qt = *state;

    qt_intercept_gsi(qt);
    qt_writeq(qt, TN_CONF(2), ENABLE | LEVEL | ROUTE(22));
    qt_writeq(qt, TN_CMP(2), 100);
    start_counter(qt);
    qt_step(qt, MS);
    qt_writeq(qt, TN_CONF(2), LEVEL | ROUTE(22));
    assert_false(qt->level[22]);
}

static void legacy_replacement_takes_irq_0_and_8(void **state)
{
    QTest *qt = *state;

    qt_intercept_gsi(qt);
    qt_outb(qt, 0x43, 0x34); /* the 8254 at 1 kHz */
    qt_outb(qt, 0x40, 0xa9);
    qt_outb(qt, 0x40, 0x04);
    qt_step(qt, 10 * MS);
    assert_true(qt->raised[0] >= 9);
    qt_writeq(qt, TN_CONF(0), ENABLE);
    qt_writeq(qt, TN_CONF(1), ENABLE);
    qt_writeq(qt, TN_CMP(0), 5 * MS / TICK);
    qt_writeq(qt, TN_CMP(1), 6 * MS / TICK);
    qt_writeq(qt, GEN_CONF, 3);
    unsigned before = qt->raised[0];
    qt_step(qt, 5 * MS - 1);
    assert_int_equal(qt->raised[0], before); /* the 8254 is cut off */
    qt_step(qt, 2 * MS);
    assert_int_equal(qt->raised[0], before + 1);
    assert_int_equal(qt->raised[8], 1);
    qt_writeq(qt, GEN_CONF, 1);
    qt_step(qt, 10 * MS);
    assert_true(qt->raised[0] >= before + 9);
}

static void routes_that_do_not_exist_are_nowhere(void **state)
{
    QTest *qt = *state;

    qt_intercept_gsi(qt);
    qt_writeq(qt, TN_CONF(0), ENABLE | ROUTE(5));
    qt_writeq(qt, TN_CMP(0), 100);
    start_counter(qt);
    qt_step(qt, MS);
    for (int i = 0; i < 24; i++)
        assert_int_equal(qt->raised[i], 0);
}

static void short_periods_have_a_floor(void **state)
{
    QTest *qt = *state;

    qt_intercept_gsi(qt);
    qt_writeq(qt, TN_CONF(0), ENABLE | PERIODIC | VAL_SET | ROUTE(20));
    qt_writeq(qt, TN_CMP(0), 1);
    start_counter(qt);
    qt_step(qt, 10 * MS);
    assert_in_range(qt->raised[20], 1, 51);
}

static void a_period_of_zero_is_no_period(void **state)
{
    QTest *qt = *state;

    qt_intercept_gsi(qt);
    qt_writeq(qt, TN_CONF(0), ENABLE | PERIODIC | VAL_SET | MODE_32 | ROUTE(20));
    qt_writeq(qt, TN_CMP(0), 0);
    start_counter(qt);
    qt_step(qt, 100 * MS);
    assert_int_equal(qt->raised[20], 0);
}

static void reset_stops_and_clears_it(void **state)
{
    QTest *qt = *state;

    qt_writeq(qt, TN_CONF(0), ENABLE | PERIODIC | VAL_SET | ROUTE(20));
    qt_writeq(qt, TN_CMP(0), 1000);
    qt_writeq(qt, GEN_CONF, 3);
    qt_step(qt, MS);
    qt_outb(qt, 0xcf9, 0x02);
    qt_outb(qt, 0xcf9, 0x06);
    assert_int_equal(qt_readq(qt, GEN_CONF), 0);
    assert_int_equal(qt_readq(qt, MAIN_CNT), 0);
    assert_int_equal(qt_readq(qt, TN_CONF(0)), 0x00ff000000008030);
}

static void the_board_can_do_without_it(void **state)
{
    QTest *qt = qt_start("-machine hpet=off");

    assert_int_equal(qt_readl(qt, GCAP_ID), 0xffffffff);
    assert_true(qt_end(qt));
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, qt_setup, qt_teardown)

int main(void)
{
    static const struct CMUnitTest tests[] = {
        CASE(capabilities_are_those_of_three_64_bit_timers),
        CASE(the_counter_counts_while_it_is_enabled),
        CASE(halves_of_registers_can_be_used),
        CASE(a_one_shot_interrupts_once),
        CASE(a_32_bit_timer_matches_again_after_the_wrap),
        CASE(a_periodic_timer_keeps_its_phase),
        CASE(a_level_interrupt_lasts_until_its_status_is_cleared),
        CASE(disabling_an_interrupt_drops_its_line),
        CASE(legacy_replacement_takes_irq_0_and_8),
        CASE(routes_that_do_not_exist_are_nowhere),
        CASE(short_periods_have_a_floor),
        CASE(a_period_of_zero_is_no_period),
        CASE(reset_stops_and_clears_it),
        cmocka_unit_test(the_board_can_do_without_it),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
