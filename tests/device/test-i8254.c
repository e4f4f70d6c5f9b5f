/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The 8254 and port 61h. A clock is 1/1193182 s; times below are in clocks ("CLK pulses").
 */
#include "qtest.h"

#define CONTROL 0x43
#define CH0     0x40
#define CH2     0x42
#define PORT61  0x61

#define LSB_MSB 0x30
#define MODE(n) ((n) << 1)

static uint64_t ticks; /* stepped since start_at() */

/* Steps so that exactly n clocks have passed since the virtual clock was zero. */
static void step_clocks(QTest *qt, uint64_t n)
{
    int64_t now, want;

    ticks += n;
    want = (ticks * 1000000000ull + 1193181) / 1193182;
    now = qt_step(qt, 0);
    qt_step(qt, want - now);
}

static int setup(void **state)
{
    ticks = 0;
    return qt_setup(state);
}

static void program(QTest *qt, int channel, uint8_t mode_bits, uint16_t count)
{
    qt_outb(qt, CONTROL, channel << 6 | mode_bits);
    qt_outb(qt, CH0 + channel, count & 0xff);
    qt_outb(qt, CH0 + channel, count >> 8);
}

static uint16_t latch(QTest *qt, int channel)
{
    uint8_t low;

    qt_outb(qt, CONTROL, channel << 6);
    low = qt_inb(qt, CH0 + channel);
    return low | qt_inb(qt, CH0 + channel) << 8;
}

static uint8_t status(QTest *qt, int channel)
{
    qt_outb(qt, CONTROL, 0xe0 | 2 << channel);
    return qt_inb(qt, CH0 + channel);
}

static bool out2(QTest *qt)
{
    return qt_inb(qt, PORT61) & 0x20;
}

static void mode_0_raises_out_after_count_plus_one_clocks(void **state)
{
    QTest *qt = *state;

    qt_intercept_out(qt, "isa-pit");
    program(qt, 0, LSB_MSB | MODE(0), 100);
    assert_false(qt->level[0]);
    step_clocks(qt, 100);
    assert_false(qt->level[0]);
    step_clocks(qt, 1);
    assert_true(qt->level[0]);
    step_clocks(qt, 70000);
    assert_int_equal(qt->raised[0], 1);
}

static void mode_0_goes_on_counting_below_zero(void **state)
{
    QTest *qt = *state;

    program(qt, 2, LSB_MSB | MODE(0), 100);
    qt_outb(qt, PORT61, 1);
    program(qt, 2, LSB_MSB | MODE(0), 100);
    step_clocks(qt, 1);
    assert_int_equal(latch(qt, 2), 100);
    step_clocks(qt, 103);
    assert_int_equal(latch(qt, 2), 0xfffd);
}

static void mode_0_first_byte_of_a_new_count_stops_counting(void **state)
{
    QTest *qt = *state;

    qt_outb(qt, PORT61, 1);
    program(qt, 2, LSB_MSB | MODE(0), 10);
    step_clocks(qt, 20);
    assert_true(out2(qt));
    qt_outb(qt, CH2, 5);
    assert_false(out2(qt));
    step_clocks(qt, 100);
    assert_false(out2(qt));
    qt_outb(qt, CH2, 0);
    step_clocks(qt, 6);
    assert_true(out2(qt));
}

static void gate_low_holds_the_count_of_mode_0(void **state)
{
    QTest *qt = *state;

    qt_outb(qt, PORT61, 1);
    program(qt, 2, LSB_MSB | MODE(0), 1000);
    step_clocks(qt, 101);
    qt_outb(qt, PORT61, 0);
    step_clocks(qt, 5000);
    assert_int_equal(latch(qt, 2), 900);
    qt_outb(qt, PORT61, 1);
    step_clocks(qt, 100);
    assert_int_equal(latch(qt, 2), 800);
}

static void mode_1_is_a_one_shot_that_gate_triggers(void **state)
{
    QTest *qt = *state;

    program(qt, 2, LSB_MSB | MODE(1), 50);
    step_clocks(qt, 100);
    assert_true(out2(qt));
    qt_outb(qt, PORT61, 1);
    step_clocks(qt, 1);
    assert_false(out2(qt));
    step_clocks(qt, 49);
    assert_false(out2(qt));
    step_clocks(qt, 1);
    assert_true(out2(qt));
    qt_outb(qt, PORT61, 0);
    qt_outb(qt, PORT61, 1);
    step_clocks(qt, 2);
    assert_false(out2(qt));
}

static void mode_2_divides_by_n(void **state)
{
    QTest *qt = *state;

    qt_intercept_out(qt, "isa-pit");
    program(qt, 0, LSB_MSB | MODE(2), 1193); /* about 1 kHz */
    qt->raised[0] = 0;
    step_clocks(qt, 1 + 10 * 1193);
    assert_int_equal(qt->raised[0], 10);
}

static void mode_2_takes_a_new_count_at_the_end_of_the_period(void **state)
{
    QTest *qt = *state;

    qt_outb(qt, PORT61, 1);
    program(qt, 2, LSB_MSB | MODE(2), 1000);
    step_clocks(qt, 101);
    qt_outb(qt, CH2, 0xf4); /* 500 */
    qt_outb(qt, CH2, 0x01);
    assert_true(status(qt, 2) & 0x40); /* NULL COUNT: not loaded yet */
    assert_int_equal(latch(qt, 2), 900);
    step_clocks(qt, 900);
    assert_false(status(qt, 2) & 0x40);
    assert_int_equal(latch(qt, 2), 500);
    step_clocks(qt, 499);
    assert_int_equal(latch(qt, 2), 1);
    assert_false(out2(qt));
    step_clocks(qt, 1);
    assert_int_equal(latch(qt, 2), 500);
}

static void mode_3_is_a_square_wave_counted_by_two(void **state)
{
    QTest *qt = *state;

    qt_outb(qt, PORT61, 1);
    program(qt, 2, LSB_MSB | MODE(3), 100);
    step_clocks(qt, 1);
    assert_int_equal(latch(qt, 2), 100);
    step_clocks(qt, 10);
    assert_int_equal(latch(qt, 2), 80);
    assert_true(out2(qt));
    step_clocks(qt, 40);
    assert_false(out2(qt));
    assert_int_equal(latch(qt, 2), 100);
    step_clocks(qt, 50);
    assert_true(out2(qt));
}

static void mode_3_with_an_odd_count_is_high_one_clock_longer(void **state)
{
    QTest *qt = *state;

    qt_outb(qt, PORT61, 1);
    program(qt, 2, LSB_MSB | MODE(3), 5);
    step_clocks(qt, 1 + 2);
    assert_true(out2(qt));
    step_clocks(qt, 1);
    assert_false(out2(qt));
    step_clocks(qt, 2);
    assert_true(out2(qt));
}

static void gate_low_forces_out_high_in_mode_3(void **state)
{
    QTest *qt = *state;

    qt_outb(qt, PORT61, 1);
    program(qt, 2, LSB_MSB | MODE(3), 100);
    step_clocks(qt, 61);
    assert_false(out2(qt));
    qt_outb(qt, PORT61, 0);
    assert_true(out2(qt));
}

static void mode_4_strobes_once(void **state)
{
    QTest *qt = *state;

    qt_intercept_out(qt, "isa-pit");
    program(qt, 0, LSB_MSB | MODE(4), 100);
    qt->raised[0] = 0;
    step_clocks(qt, 101);
    assert_int_equal(qt->raised[0], 0);
    step_clocks(qt, 1);
    assert_int_equal(qt->raised[0], 1);
    step_clocks(qt, 200000);
    assert_int_equal(qt->raised[0], 1);
}

static void mode_5_strobes_after_its_trigger(void **state)
{
    QTest *qt = *state;

    program(qt, 2, LSB_MSB | MODE(5), 10);
    step_clocks(qt, 100);
    assert_true(out2(qt));
    qt_outb(qt, PORT61, 1);
    step_clocks(qt, 11);
    assert_false(out2(qt));
    step_clocks(qt, 1);
    assert_true(out2(qt));
}

static void bcd_counts_in_decimal(void **state)
{
    QTest *qt = *state;

    qt_outb(qt, PORT61, 1);
    program(qt, 2, LSB_MSB | MODE(2) | 1, 0x1000);
    step_clocks(qt, 2);
    assert_int_equal(latch(qt, 2), 0x0999);
}

static void count_zero_is_the_largest(void **state)
{
    QTest *qt = *state;

    qt_outb(qt, PORT61, 1);
    program(qt, 2, LSB_MSB | MODE(0), 0);
    step_clocks(qt, 0x10000);
    assert_false(out2(qt));
    step_clocks(qt, 1);
    assert_true(out2(qt));
}

static void a_latched_count_stays_until_it_is_read(void **state)
{
    QTest *qt = *state;

    qt_outb(qt, PORT61, 1);
    program(qt, 2, LSB_MSB | MODE(2), 0x4321);
    step_clocks(qt, 1);
    qt_outb(qt, CONTROL, 0x80);
    step_clocks(qt, 0x100);
    qt_outb(qt, CONTROL, 0x80); /* ignored */
    assert_int_equal(qt_inb(qt, CH2), 0x21);
    assert_int_equal(qt_inb(qt, CH2), 0x43);
    assert_int_equal(qt_inb(qt, CH2), 0x21); /* not latched any more: 4221h */
    assert_int_equal(qt_inb(qt, CH2), 0x42);
}

static void read_back_gives_status_before_count(void **state)
{
    QTest *qt = *state;

    qt_outb(qt, PORT61, 1);
    program(qt, 2, LSB_MSB | MODE(2), 0x1234);
    step_clocks(qt, 1);
    qt_outb(qt, CONTROL, 0xc8); /* count and status of channel 2 */
    assert_int_equal(qt_inb(qt, CH2), 0x80 | LSB_MSB | MODE(2));
    assert_int_equal(qt_inb(qt, CH2), 0x34);
    assert_int_equal(qt_inb(qt, CH2), 0x12);
}

static void null_count_clears_when_the_count_is_loaded(void **state)
{
    QTest *qt = *state;

    qt_outb(qt, PORT61, 1);
    program(qt, 2, LSB_MSB | MODE(2), 100);
    assert_true(status(qt, 2) & 0x40);
    step_clocks(qt, 1);
    assert_false(status(qt, 2) & 0x40);
}

static void port61_refresh_bit_toggles(void **state)
{
    QTest *qt = *state;
    uint8_t first = qt_inb(qt, PORT61) & 0x10;

    qt_step(qt, 15085);
    assert_int_equal(qt_inb(qt, PORT61) & 0x10, first ^ 0x10);
    qt_outb(qt, PORT61, 0xff);
    assert_int_equal(qt_inb(qt, PORT61) & 0x0f, 0x0f);
}

static void tiny_periods_do_not_storm(void **state)
{
    QTest *qt = *state;

    qt_intercept_out(qt, "isa-pit");
    program(qt, 0, LSB_MSB | MODE(2), 1);
    qt->raised[0] = 0;
    qt_step(qt, 100 * 1000000);
    assert_in_range(qt->raised[0], 100, 501);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, qt_teardown)
    const struct CMUnitTest tests[] = {
        T(mode_0_raises_out_after_count_plus_one_clocks),
        T(mode_0_goes_on_counting_below_zero),
        T(mode_0_first_byte_of_a_new_count_stops_counting),
        T(gate_low_holds_the_count_of_mode_0),
        T(mode_1_is_a_one_shot_that_gate_triggers),
        T(mode_2_divides_by_n),
        T(mode_2_takes_a_new_count_at_the_end_of_the_period),
        T(mode_3_is_a_square_wave_counted_by_two),
        T(mode_3_with_an_odd_count_is_high_one_clock_longer),
        T(gate_low_forces_out_high_in_mode_3),
        T(mode_4_strobes_once),
        T(mode_5_strobes_after_its_trigger),
        T(bcd_counts_in_decimal),
        T(count_zero_is_the_largest),
        T(a_latched_count_stays_until_it_is_read),
        T(read_back_gives_status_before_count),
        T(null_count_clears_when_the_count_is_loaded),
        T(port61_refresh_bit_toggles),
        T(tiny_periods_do_not_storm),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
