/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The MC146818A on the virtual clock, started at a known date; IRQ 8 watched.
 */
#include "qtest.h"

#define INDEX 0x70
#define DATA  0x71

#define SECOND 1000000000ll

enum { A = 0x0a, B = 0x0b, C = 0x0c, D = 0x0d, CENTURY = 0x32 };

static int setup(void **state)
{
    QTest *qt = qt_start("-rtc base=2026-02-28T23:59:50,clock=vm");

    qt_intercept_gsi(qt);
    *state = qt;
    return 0;
}

static uint8_t get(QTest *qt, uint8_t reg)
{
    qt_outb(qt, INDEX, reg);
    return qt_inb(qt, DATA);
}

static void set(QTest *qt, uint8_t reg, uint8_t value)
{
    qt_outb(qt, INDEX, reg);
    qt_outb(qt, DATA, value);
}

static void base_option_sets_the_time(void **state)
{
    QTest *qt = *state;

    assert_int_equal(get(qt, 0), 0x50);
    assert_int_equal(get(qt, 2), 0x59);
    assert_int_equal(get(qt, 4), 0x23);
    assert_int_equal(get(qt, 6), 7); /* a Saturday */
    assert_int_equal(get(qt, 7), 0x28);
    assert_int_equal(get(qt, 8), 0x02);
    assert_int_equal(get(qt, 9), 0x26);
    assert_int_equal(get(qt, CENTURY), 0x20);
    assert_int_equal(get(qt, D), 0x80);
}

static void the_date_carries(void **state)
{
    QTest *qt = *state;

    qt_step(qt, 10 * SECOND);
    assert_int_equal(get(qt, 0), 0);
    assert_int_equal(get(qt, 4), 0);
    assert_int_equal(get(qt, 7), 0x01);
    assert_int_equal(get(qt, 8), 0x03);
}

static void dm_selects_binary(void **state)
{
    QTest *qt = *state;

    set(qt, B, 0x06);
    assert_int_equal(get(qt, 0), 50);
    assert_int_equal(get(qt, 9), 26);
    assert_int_equal(get(qt, CENTURY), 20);
}

static void twelve_hour_mode_marks_the_afternoon(void **state)
{
    QTest *qt = *state;

    set(qt, B, 0x00);
    assert_int_equal(get(qt, 4), 0x91); /* 11 PM */
    qt_step(qt, 10 * SECOND);
    assert_int_equal(get(qt, 4), 0x12); /* 12 AM */
}

static void set_stops_the_time_and_takes_a_new_one(void **state)
{
    QTest *qt = *state;

    set(qt, B, 0x82);
    qt_step(qt, 5 * SECOND);
    assert_int_equal(get(qt, 0), 0x50);
    set(qt, 0, 0x10);
    set(qt, 2, 0x20);
    set(qt, 4, 0x08);
    set(qt, 9, 0x30);
    set(qt, B, 0x02);
    assert_int_equal(get(qt, 0), 0x10);
    qt_step(qt, 1 * SECOND);
    assert_int_equal(get(qt, 0), 0x11);
    assert_int_equal(get(qt, 2), 0x20);
    assert_int_equal(get(qt, 4), 0x08);
    assert_int_equal(get(qt, 9), 0x30);
}

static void a_divider_let_go_updates_half_a_second_later(void **state)
{
    QTest *qt = *state;

    set(qt, A, 0x76);
    qt_step(qt, 5 * SECOND);
    assert_int_equal(get(qt, 0), 0x50);
    set(qt, A, 0x26);
    qt_step(qt, SECOND * 4 / 10);
    assert_int_equal(get(qt, 0), 0x50);
    qt_step(qt, SECOND * 2 / 10);
    assert_int_equal(get(qt, 0), 0x51);
}

static void uip_announces_the_update(void **state)
{
    QTest *qt = *state;

    qt_step(qt, SECOND - 2300000);
    assert_int_equal(get(qt, A), 0x26);
    qt_step(qt, 200000); /* 2.1 ms to go: t_BUC + t_UC is 2.228 ms */
    assert_int_equal(get(qt, A), 0xa6);
    assert_int_equal(get(qt, 0), 0x50);
    qt_step(qt, 2100000);
    assert_int_equal(get(qt, A), 0x26);
    assert_int_equal(get(qt, 0), 0x51);
}

static void update_ended_interrupts_every_second(void **state)
{
    QTest *qt = *state;

    get(qt, C);
    set(qt, B, 0x12);
    qt_step(qt, SECOND);
    assert_true(qt->level[8]);
    assert_int_equal(get(qt, C) & 0x90, 0x90);
    assert_false(qt->level[8]);
    assert_int_equal(get(qt, C), 0);
    qt_step(qt, SECOND);
    assert_int_equal(qt->raised[8], 2);
}

static void uf_is_set_without_its_interrupt_too(void **state)
{
    QTest *qt = *state;

    get(qt, C);
    qt_step(qt, SECOND);
    assert_int_equal(get(qt, C) & 0x90, 0x10);
    assert_int_equal(qt->raised[8], 0);
}

static void the_alarm_fires_at_its_time(void **state)
{
    QTest *qt = *state;

    set(qt, 1, 0x55);
    set(qt, 3, 0x59);
    set(qt, 5, 0x23);
    get(qt, C);
    set(qt, B, 0x22);
    qt_step(qt, 4 * SECOND);
    assert_false(qt->level[8]);
    qt_step(qt, 1 * SECOND);
    assert_true(qt->level[8]);
    assert_int_equal(get(qt, C) & 0xa0, 0xa0);
    qt_step(qt, 60 * SECOND);
    assert_int_equal(qt->raised[8], 1);
}

static void dont_care_alarms_fire_every_second(void **state)
{
    QTest *qt = *state;

    set(qt, 1, 0xff);
    set(qt, 3, 0xc0);
    set(qt, 5, 0xff);
    get(qt, C);
    set(qt, B, 0x22);
    for (unsigned i = 1; i <= 3; i++) {
        qt_step(qt, SECOND);
        assert_int_equal(qt->raised[8], i);
        get(qt, C);
    }
}

static void the_periodic_rate_is_register_as(void **state)
{
    QTest *qt = *state;
    unsigned count = 0;

    set(qt, A, 0x2a); /* 64 Hz */
    get(qt, C);
    set(qt, B, 0x42);
    for (int ms = 0; ms < 1000; ms++) {
        qt_step(qt, 1000000);
        if (qt->level[8]) {
            assert_int_equal(get(qt, C) & 0xc0, 0xc0);
            count++;
        }
    }
    assert_in_range(count, 63, 64);
}

static void an_unread_flag_holds_the_line(void **state)
{
    QTest *qt = *state;

    set(qt, A, 0x26);
    set(qt, B, 0x42);
    qt_step(qt, SECOND);
    assert_true(qt->level[8]);
    assert_int_equal(qt->raised[8], 1);
}

static void nvram_keeps_its_bytes_and_the_index_wraps_below_80h(void **state)
{
    QTest *qt = *state;

    set(qt, 0x40, 0xa5);
    assert_int_equal(get(qt, 0x40), 0xa5);
    assert_int_equal(get(qt, 0xc0), 0xa5); /* bit 7 masks NMI */
    set(qt, C, 0xff);
    set(qt, D, 0x00);
    assert_int_equal(get(qt, D), 0x80);
}

static void system_reset_clears_the_enables_and_keeps_time_and_ram(void **state)
{
    QTest *qt = *state;

    set(qt, 0x40, 0xa5);
    set(qt, B, 0x72);
    qt_outb(qt, 0xcf9, 0x06);
    assert_int_equal(get(qt, B), 0x02);
    assert_int_equal(get(qt, 0x40), 0xa5);
    assert_int_equal(get(qt, 0), 0x50);
}

static void dates_beyond_reason_are_clamped(void **state)
{
    QTest *qt = *state;

    set(qt, CENTURY, 0x99);
    assert_int_equal(get(qt, CENTURY), 0x22);
    set(qt, CENTURY, 0x00);
    assert_int_equal(get(qt, CENTURY), 0x17);
    for (int reg = 0; reg < 10; reg++)
        set(qt, reg, 0xff);
    qt_step(qt, SECOND); /* and the clock still runs */
    get(qt, C);
    qt_step(qt, SECOND);
    assert_int_equal(get(qt, C) & 0x10, 0x10);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, qt_teardown)
    const struct CMUnitTest tests[] = {
        T(base_option_sets_the_time),
        T(the_date_carries),
        T(dm_selects_binary),
        T(twelve_hour_mode_marks_the_afternoon),
        T(set_stops_the_time_and_takes_a_new_one),
        T(a_divider_let_go_updates_half_a_second_later),
        T(uip_announces_the_update),
        T(update_ended_interrupts_every_second),
        T(uf_is_set_without_its_interrupt_too),
        T(the_alarm_fires_at_its_time),
        T(dont_care_alarms_fire_every_second),
        T(the_periodic_rate_is_register_as),
        T(an_unread_flag_holds_the_line),
        T(nvram_keeps_its_bytes_and_the_index_wraps_below_80h),
        T(system_reset_clears_the_enables_and_keeps_time_and_ram),
        T(dates_beyond_reason_are_clamped),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
