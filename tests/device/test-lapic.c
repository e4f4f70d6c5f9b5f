/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The LAPIC of CPU 0 through its MMIO page. Acknowledge, priorities and x2APIC need a CPU:
 * tests/unit/test-lapic.c.
 */
#include "qtest.h"

#define LAPIC 0xfee00000u

enum {
    ID = 0x20, VERSION = 0x30, TPR = 0x80, PPR = 0xa0, EOI = 0xb0, LDR = 0xd0, DFR = 0xe0, SVR = 0xf0,
    ESR = 0x280, ICR_LOW = 0x300, ICR_HIGH = 0x310, LVT_TIMER = 0x320, LINT0 = 0x350, LINT1 = 0x360,
    LVT_ERROR = 0x370, INITIAL = 0x380, CURRENT = 0x390, DIVIDE = 0x3e0,
};

#define MASKED   0x10000u
#define PERIODIC 0x20000u
#define DIVIDE_BY_1 0xb

static uint32_t get(QTest *qt, uint16_t reg)
{
    return qt_readl(qt, LAPIC + reg);
}

static void set(QTest *qt, uint16_t reg, uint32_t value)
{
    qt_writel(qt, LAPIC + reg, value);
}

static bool in_irr(QTest *qt, uint8_t vector)
{
    return get(qt, 0x200 + vector / 32 * 0x10) >> vector % 32 & 1;
}

static int setup(void **state)
{
    QTest *qt = qt_start(NULL);

    set(qt, SVR, 0x1ff);
    *state = qt;
    return 0;
}

static void power_up_values_are_the_manuals(void **state)
{
    QTest *qt = *state;

    assert_int_equal(get(qt, ID), 0);
    assert_int_equal(get(qt, VERSION) & 0xff, 0x14);
    assert_int_equal(get(qt, VERSION) >> 16 & 0xff, 5);
    assert_int_equal(get(qt, TPR), 0);
    assert_int_equal(get(qt, LDR), 0);
    assert_int_equal(get(qt, DFR), 0xffffffff);
    assert_int_equal(get(qt, LVT_TIMER), MASKED);
    assert_int_equal(get(qt, LINT0), 0x700); /* virtual wire mode */
    assert_int_equal(get(qt, LINT1), MASKED);
    assert_int_equal(get(qt, LVT_ERROR), MASKED);
    assert_int_equal(get(qt, CURRENT), 0);
}

static void registers_keep_their_writable_bits(void **state)
{
    QTest *qt = *state;

    set(qt, TPR, 0xffffffff);
    assert_int_equal(get(qt, TPR), 0xff);
    set(qt, LDR, 0xffffffff);
    assert_int_equal(get(qt, LDR), 0xff000000);
    set(qt, DFR, 0);
    assert_int_equal(get(qt, DFR), 0x0fffffff);
    set(qt, LVT_TIMER, 0xffffffff);
    assert_int_equal(get(qt, LVT_TIMER), 0x300ff); /* qtest's CPUs have no TSC deadline */
    set(qt, VERSION, 0);
    assert_int_not_equal(get(qt, VERSION), 0);
}

static void software_disable_masks_the_lvt_for_good(void **state)
{
    QTest *qt = *state;

    set(qt, LVT_ERROR, 0x40);
    set(qt, SVR, 0xff);
    assert_int_equal(get(qt, LVT_ERROR), 0x40 | MASKED);
    set(qt, LVT_ERROR, 0x41);
    assert_int_equal(get(qt, LVT_ERROR), 0x41 | MASKED);
    set(qt, SVR, 0x1ff);
    assert_int_equal(get(qt, LVT_ERROR), 0x41 | MASKED);
}

static void one_shot_counts_down_and_fires_once(void **state)
{
    QTest *qt = *state;

    set(qt, DIVIDE, DIVIDE_BY_1);
    set(qt, LVT_TIMER, 0x40);
    set(qt, INITIAL, 1000000);
    assert_int_equal(get(qt, CURRENT), 1000000);
    qt_step(qt, 400000);
    assert_int_equal(get(qt, CURRENT), 600000);
    assert_false(in_irr(qt, 0x40));
    qt_step(qt, 600000);
    assert_true(in_irr(qt, 0x40));
    assert_int_equal(get(qt, CURRENT), 0);
    assert_int_equal(get(qt, INITIAL), 1000000);
}

static void the_divider_slows_the_count(void **state)
{
    static const struct {
        uint8_t reg;
        unsigned by;
    } rows[] = {{0x0, 2}, {0x1, 4}, {0x2, 8}, {0x3, 16}, {0x8, 32}, {0x9, 64}, {0xa, 128}, {0xb, 1}};
    QTest *qt = *state;

    for (unsigned i = 0; i < 8; i++) {
        set(qt, INITIAL, 0);
        set(qt, DIVIDE, rows[i].reg);
        set(qt, INITIAL, 10000);
        qt_step(qt, 1000 * rows[i].by);
        assert_int_equal(get(qt, CURRENT), 9000);
    }
}

static void periodic_reloads(void **state)
{
    QTest *qt = *state;

    set(qt, DIVIDE, DIVIDE_BY_1);
    set(qt, LVT_TIMER, 0x40 | PERIODIC);
    set(qt, INITIAL, 1000000);
    qt_step(qt, 2500000);
    assert_true(in_irr(qt, 0x40));
    assert_int_equal(get(qt, CURRENT), 500000);
}

static void an_expired_one_shot_stays_at_zero_in_periodic_mode(void **state)
{
    QTest *qt = *state;

    set(qt, DIVIDE, DIVIDE_BY_1);
    set(qt, LVT_TIMER, 0x40);
    set(qt, INITIAL, 1000);
    qt_step(qt, 2000);
    set(qt, LVT_TIMER, 0x40 | PERIODIC);
    assert_int_equal(get(qt, CURRENT), 0);
    qt_step(qt, 5000);
    assert_int_equal(get(qt, CURRENT), 0);
}

static void a_running_one_shot_turns_periodic_and_back(void **state)
{
    QTest *qt = *state;

    set(qt, DIVIDE, DIVIDE_BY_1);
    set(qt, LVT_TIMER, 0x40);
    set(qt, INITIAL, 1000000);
    qt_step(qt, 400000);
    set(qt, LVT_TIMER, 0x40 | PERIODIC);
    assert_int_equal(get(qt, CURRENT), 600000);
    qt_step(qt, 1000000);
    assert_int_equal(get(qt, CURRENT), 600000);
    set(qt, LVT_TIMER, 0x40);
    assert_int_equal(get(qt, CURRENT), 600000);
    qt_step(qt, 1000000);
    assert_int_equal(get(qt, CURRENT), 0);
}

static void writing_zero_stops_the_timer(void **state)
{
    QTest *qt = *state;

    set(qt, DIVIDE, DIVIDE_BY_1);
    set(qt, LVT_TIMER, 0x40);
    set(qt, INITIAL, 1000);
    set(qt, INITIAL, 0);
    qt_step(qt, 10000);
    assert_false(in_irr(qt, 0x40));
    assert_int_equal(get(qt, CURRENT), 0);
}

static void a_masked_timer_counts_silently(void **state)
{
    QTest *qt = *state;

    set(qt, DIVIDE, DIVIDE_BY_1);
    set(qt, LVT_TIMER, 0x40 | MASKED);
    set(qt, INITIAL, 1000);
    qt_step(qt, 500);
    assert_int_equal(get(qt, CURRENT), 500);
    qt_step(qt, 500);
    assert_false(in_irr(qt, 0x40));
}

static void tiny_periods_do_not_storm(void **state)
{
    QTest *qt = *state;

    set(qt, DIVIDE, DIVIDE_BY_1);
    set(qt, LVT_TIMER, 0x40 | PERIODIC);
    set(qt, INITIAL, 1);
    qt_step(qt, 1000000000); /* must come back within the time-out */
    assert_true(in_irr(qt, 0x40));
}

static void self_ipi_by_shorthand(void **state)
{
    QTest *qt = *state;

    set(qt, ICR_LOW, 0x40041);
    assert_true(in_irr(qt, 0x41));
    assert_int_equal(get(qt, ICR_LOW), 0x40041); /* delivery status is idle */
}

static void ipi_by_physical_id_and_all_including_self(void **state)
{
    QTest *qt = *state;

    set(qt, ICR_HIGH, 0);
    set(qt, ICR_LOW, 0x42);
    assert_true(in_irr(qt, 0x42));
    set(qt, ICR_LOW, 0x80043);
    assert_true(in_irr(qt, 0x43));
    set(qt, ICR_LOW, 0xc0044); /* all but self */
    assert_false(in_irr(qt, 0x44));
    set(qt, ICR_HIGH, 7u << 24);
    set(qt, ICR_LOW, 0x45); /* nobody */
    assert_false(in_irr(qt, 0x45));
}

static void lowest_priority_finds_a_matching_cpu(void **state)
{
    QTest *qt = *state;

    set(qt, LDR, 1u << 24);
    set(qt, ICR_HIGH, 0xffu << 24);
    set(qt, ICR_LOW, 0x946);
    assert_true(in_irr(qt, 0x46));
}

static void esr_shows_errors_after_a_write(void **state)
{
    QTest *qt = *state;

    set(qt, LVT_ERROR, 0x50);
    set(qt, ICR_LOW, 0x40005); /* illegal vector, to itself */
    assert_true(in_irr(qt, 0x50));
    assert_int_equal(get(qt, ESR), 0);
    set(qt, ESR, 0);
    assert_int_equal(get(qt, ESR), 0x60);
    set(qt, ESR, 0);
    assert_int_equal(get(qt, ESR), 0);
}

static void reserved_registers_are_an_error(void **state)
{
    QTest *qt = *state;

    assert_int_equal(get(qt, 0x3f0), 0);
    set(qt, ESR, 0);
    assert_int_equal(get(qt, ESR), 0x80);
}

static void eoi_with_nothing_in_service_is_harmless(void **state)
{
    QTest *qt = *state;

    set(qt, EOI, 0);
    assert_int_equal(get(qt, PPR), 0);
}

static void ppr_follows_tpr(void **state)
{
    QTest *qt = *state;

    set(qt, TPR, 0x35);
    assert_int_equal(get(qt, PPR), 0x35);
}

static void the_pic_reaches_a_fixed_lint0(void **state)
{
    QTest *qt = *state;

    set(qt, LINT0, 0x30);
    qt_outb(qt, 0x20, 0x11);
    qt_outb(qt, 0x21, 0x20);
    qt_outb(qt, 0x21, 0x04);
    qt_outb(qt, 0x21, 0x01);
    assert_false(in_irr(qt, 0x30));
    qt_set_gsi(qt, 5, 1);
    assert_true(in_irr(qt, 0x30));
}

static void the_identity_register_is_writable(void **state)
{
    QTest *qt = *state;

    set(qt, ID, 5u << 24);
    assert_int_equal(get(qt, ID), 5u << 24);
    set(qt, ICR_HIGH, 5u << 24);
    set(qt, ICR_LOW, 0x47);
    assert_true(in_irr(qt, 0x47));
}

static void reset_restores_everything(void **state)
{
    QTest *qt = *state;

    set(qt, ID, 5u << 24);
    set(qt, TPR, 0x20);
    set(qt, ICR_LOW, 0x40041);
    qt_outb(qt, 0xcf9, 0x06);
    assert_int_equal(get(qt, ID), 0);
    assert_int_equal(get(qt, TPR), 0);
    assert_int_equal(get(qt, SVR), 0xff);
    assert_false(in_irr(qt, 0x41));
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, qt_teardown)
    const struct CMUnitTest tests[] = {
        T(power_up_values_are_the_manuals),
        T(registers_keep_their_writable_bits),
        T(software_disable_masks_the_lvt_for_good),
        T(one_shot_counts_down_and_fires_once),
        T(the_divider_slows_the_count),
        T(periodic_reloads),
        T(an_expired_one_shot_stays_at_zero_in_periodic_mode),
        T(a_running_one_shot_turns_periodic_and_back),
        T(writing_zero_stops_the_timer),
        T(a_masked_timer_counts_silently),
        T(tiny_periods_do_not_storm),
        T(self_ipi_by_shorthand),
        T(ipi_by_physical_id_and_all_including_self),
        T(lowest_priority_finds_a_matching_cpu),
        T(esr_shows_errors_after_a_write),
        T(reserved_registers_are_an_error),
        T(eoi_with_nothing_in_service_is_harmless),
        T(ppr_follows_tpr),
        T(the_pic_reaches_a_fixed_lint0),
        T(the_identity_register_is_writable),
        T(reset_restores_everything),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
