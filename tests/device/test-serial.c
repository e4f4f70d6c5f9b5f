/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The 16550A as COM1, its line on a pair of pipes, IRQ 4 watched.
 */
#include "qtest.h"

#include <string.h>

#define COM1 0x3f8
#define RBR  (COM1 + 0)
#define THR  (COM1 + 0)
#define DLL  (COM1 + 0)
#define IER  (COM1 + 1)
#define DLM  (COM1 + 1)
#define IIR  (COM1 + 2)
#define FCR  (COM1 + 2)
#define LCR  (COM1 + 3)
#define MCR  (COM1 + 4)
#define LSR  (COM1 + 5)
#define MSR  (COM1 + 6)
#define SCR  (COM1 + 7)

#define IRQ 4
#define DR  0x01
#define OE  0x02
#define LOOP 0x10

static int setup(void **state)
{
    QTest *qt = qt_start_serial(NULL);

    qt_intercept_gsi(qt);
    *state = qt;
    return 0;
}

static void fill(QTest *qt, const char *text)
{
    qt_serial_write(qt, text, strlen(text));
}

/* The bytes come by the vmm's main loop: wait for each before the next assertion. */
static void loop_back(QTest *qt, unsigned count)
{
    qt_outb(qt, MCR, LOOP);
    for (unsigned i = 0; i < count; i++)
        qt_outb(qt, THR, 'a' + i);
}

static void reset_values_are_the_data_sheets(void **state)
{
    QTest *qt = *state;

    assert_int_equal(qt_inb(qt, IER), 0);
    assert_int_equal(qt_inb(qt, IIR), 0x01);
    assert_int_equal(qt_inb(qt, LCR), 0);
    assert_int_equal(qt_inb(qt, MCR), 0);
    assert_int_equal(qt_inb(qt, LSR), 0x60);
    assert_int_equal(qt_inb(qt, MSR) & 0x0f, 0);
}

static void scratch_register_keeps_what_is_written(void **state)
{
    QTest *qt = *state;

    qt_outb(qt, SCR, 0x5a);
    assert_int_equal(qt_inb(qt, SCR), 0x5a);
}

static void dlab_shows_the_divisor_latch(void **state)
{
    QTest *qt = *state;

    qt_outb(qt, LCR, 0x83);
    qt_outb(qt, DLL, 0x34);
    qt_outb(qt, DLM, 0x12);
    assert_int_equal(qt_inb(qt, DLL), 0x34);
    assert_int_equal(qt_inb(qt, DLM), 0x12);
    qt_outb(qt, LCR, 0x03);
    assert_int_equal(qt_inb(qt, IER), 0);
}

static void unused_bits_of_ier_and_mcr_read_as_zero(void **state)
{
    QTest *qt = *state;

    qt_outb(qt, IER, 0xff);
    assert_int_equal(qt_inb(qt, IER), 0x0f);
    qt_outb(qt, MCR, 0xff);
    assert_int_equal(qt_inb(qt, MCR), 0x1f);
}

static void a_byte_written_to_thr_leaves_on_the_line(void **state)
{
    QTest *qt = *state;
    char buf[5];

    for (int i = 0; i < 5; i++)
        qt_outb(qt, THR, "hello"[i]);
    qt_serial_read(qt, buf, 5);
    assert_memory_equal(buf, "hello", 5);
}

static void received_byte_sets_dr_and_raises_the_interrupt(void **state)
{
    QTest *qt = *state;

    qt_outb(qt, IER, 1);
    fill(qt, "x");
    qt_wait_inb(qt, LSR, DR, DR);
    assert_true(qt->level[IRQ]);
    assert_int_equal(qt_inb(qt, IIR), 0x04);
    assert_int_equal(qt_inb(qt, RBR), 'x');
    assert_false(qt->level[IRQ]);
    assert_int_equal(qt_inb(qt, LSR), 0x60);
    assert_int_equal(qt_inb(qt, IIR), 0x01);
}

static void no_received_byte_is_lost_when_the_guest_is_slow(void **state)
{
    QTest *qt = *state;
    char text[1000];

    for (unsigned i = 0; i < sizeof(text); i++)
        text[i] = 'A' + i % 26;
    qt_outb(qt, FCR, 0x01);
    qt_serial_write(qt, text, sizeof(text));
    for (unsigned i = 0; i < sizeof(text); i++) {
        qt_wait_inb(qt, LSR, DR, DR);
        assert_int_equal(qt_inb(qt, RBR), text[i]);
    }
    assert_int_equal(qt_inb(qt, LSR), 0x60);
}

static void enabling_thri_with_an_empty_transmitter_interrupts(void **state)
{
    QTest *qt = *state;

    qt_outb(qt, IER, 2);
    assert_true(qt->level[IRQ]);
    assert_int_equal(qt_inb(qt, IIR), 0x02);
    assert_false(qt->level[IRQ]);
    qt_outb(qt, IER, 0);
    qt_outb(qt, IER, 2);
    assert_true(qt->level[IRQ]);
}

static void reading_iir_acknowledges_thre_and_nothing_else(void **state)
{
    QTest *qt = *state;

    qt_outb(qt, IER, 3);
    fill(qt, "x");
    qt_wait_inb(qt, LSR, DR, DR);
    assert_int_equal(qt_inb(qt, IIR), 0x04);
    assert_int_equal(qt_inb(qt, IIR), 0x04);
    qt_inb(qt, RBR);
    assert_int_equal(qt_inb(qt, IIR), 0x02);
    assert_int_equal(qt_inb(qt, IIR), 0x01);
}

static void writing_thr_raises_thre_again(void **state)
{
    QTest *qt = *state;

    qt_outb(qt, IER, 2);
    qt_inb(qt, IIR);
    qt_outb(qt, THR, 'x');
    assert_true(qt->level[IRQ]);
    assert_int_equal(qt_inb(qt, IIR), 0x02);
}

static void interrupts_come_in_order_of_priority(void **state)
{
    QTest *qt = *state;

    qt_outb(qt, FCR, 0x00);
    loop_back(qt, 2);      /* overruns: no FIFO */
    qt_outb(qt, MCR, LOOP | 1); /* DSR changes */
    qt_outb(qt, IER, 0x0f);
    assert_int_equal(qt_inb(qt, IIR), 0x06);
    assert_int_equal(qt_inb(qt, LSR) & OE, OE);
    assert_int_equal(qt_inb(qt, IIR), 0x04);
    qt_inb(qt, RBR);
    assert_int_equal(qt_inb(qt, IIR), 0x02);
    assert_int_equal(qt_inb(qt, IIR), 0x00);
    qt_inb(qt, MSR);
    assert_int_equal(qt_inb(qt, IIR), 0x01);
}

static void iir_shows_the_fifos(void **state)
{
    QTest *qt = *state;

    qt_outb(qt, FCR, 0x01);
    assert_int_equal(qt_inb(qt, IIR), 0xc1);
    qt_outb(qt, FCR, 0x00);
    assert_int_equal(qt_inb(qt, IIR), 0x01);
}

static void the_trigger_level_holds_the_interrupt_back(void **state)
{
    static const struct {
        uint8_t fcr;
        unsigned level;
    } rows[] = {{0x01, 1}, {0x41, 4}, {0x81, 8}, {0xc1, 14}};
    QTest *qt = *state;

    qt_outb(qt, IER, 1);
    for (unsigned i = 0; i < 4; i++) {
        qt_outb(qt, FCR, rows[i].fcr | 0x06);
        loop_back(qt, rows[i].level - 1);
        assert_int_equal(qt_inb(qt, IIR), 0xc1);
        loop_back(qt, 1);
        assert_int_equal(qt_inb(qt, IIR), 0xc4);
        qt_inb(qt, RBR);
        assert_int_equal(qt_inb(qt, IIR), 0xc1);
    }
}

static void data_below_the_trigger_times_out_after_four_characters(void **state)
{
    QTest *qt = *state;

    qt_outb(qt, LCR, 0x83);
    qt_outb(qt, DLL, 1); /* 115200 baud, 8n1: 10 bits take 86.8 us */
    qt_outb(qt, DLM, 0);
    qt_outb(qt, LCR, 0x03);
    qt_outb(qt, IER, 1);
    qt_outb(qt, FCR, 0xc7);
    loop_back(qt, 2);
    qt_step(qt, 340000);
    assert_int_equal(qt_inb(qt, IIR), 0xc1);
    qt_step(qt, 10000);
    assert_true(qt->level[IRQ]);
    assert_int_equal(qt_inb(qt, IIR), 0xcc);
    qt_inb(qt, RBR); /* clears it and starts the time again */
    assert_int_equal(qt_inb(qt, IIR), 0xc1);
    qt_step(qt, 350000);
    assert_int_equal(qt_inb(qt, IIR), 0xcc);
}

static void a_full_fifo_overruns_and_keeps_the_older_bytes(void **state)
{
    QTest *qt = *state;

    qt_outb(qt, FCR, 0x07);
    loop_back(qt, 17);
    assert_int_equal(qt_inb(qt, LSR) & OE, OE);
    assert_int_equal(qt_inb(qt, LSR) & OE, 0); /* reading clears */
    for (unsigned i = 0; i < 16; i++)
        assert_int_equal(qt_inb(qt, RBR), 'a' + i);
    assert_int_equal(qt_inb(qt, LSR) & DR, 0);
}

static void fcr_clears_the_receiver(void **state)
{
    QTest *qt = *state;

    qt_outb(qt, FCR, 0x01);
    loop_back(qt, 3);
    qt_outb(qt, FCR, 0x03);
    assert_int_equal(qt_inb(qt, LSR) & DR, 0);
    assert_int_equal(qt_inb(qt, IIR) & 0xc0, 0xc0);
}

static void loopback_connects_outputs_to_inputs(void **state)
{
    static const struct {
        uint8_t mcr, msr;
    } rows[] = {{0x01, 0x20}, {0x02, 0x10}, {0x04, 0x40}, {0x08, 0x80}};
    QTest *qt = *state;

    for (unsigned i = 0; i < 4; i++) {
        qt_outb(qt, MCR, LOOP | rows[i].mcr);
        assert_int_equal(qt_inb(qt, MSR) & 0xf0, rows[i].msr);
    }
}

static void modem_changes_set_the_delta_bits(void **state)
{
    QTest *qt = *state;

    qt_outb(qt, MCR, LOOP);
    qt_inb(qt, MSR);
    qt_outb(qt, MCR, LOOP | 0x0f);
    assert_int_equal(qt_inb(qt, MSR) & 0x0f, 0x0b); /* RI rising is no event */
    qt_outb(qt, MCR, LOOP);
    assert_int_equal(qt_inb(qt, MSR) & 0x0f, 0x0f);
    assert_int_equal(qt_inb(qt, MSR) & 0x0f, 0);
}

static void loopback_sends_nothing_out(void **state)
{
    QTest *qt = *state;
    char c;

    loop_back(qt, 1);
    assert_int_equal(qt_inb(qt, RBR), 'a');
    qt_outb(qt, MCR, 0);
    qt_outb(qt, THR, 'Z');
    qt_serial_read(qt, &c, 1);
    assert_int_equal(c, 'Z');
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, qt_teardown)
    const struct CMUnitTest tests[] = {
        T(reset_values_are_the_data_sheets),
        T(scratch_register_keeps_what_is_written),
        T(dlab_shows_the_divisor_latch),
        T(unused_bits_of_ier_and_mcr_read_as_zero),
        T(a_byte_written_to_thr_leaves_on_the_line),
        T(received_byte_sets_dr_and_raises_the_interrupt),
        T(no_received_byte_is_lost_when_the_guest_is_slow),
        T(enabling_thri_with_an_empty_transmitter_interrupts),
        T(reading_iir_acknowledges_thre_and_nothing_else),
        T(writing_thr_raises_thre_again),
        T(interrupts_come_in_order_of_priority),
        T(iir_shows_the_fifos),
        T(the_trigger_level_holds_the_interrupt_back),
        T(data_below_the_trigger_times_out_after_four_characters),
        T(a_full_fifo_overruns_and_keeps_the_older_bytes),
        T(fcr_clears_the_receiver),
        T(loopback_connects_outputs_to_inputs),
        T(modem_changes_set_the_delta_bits),
        T(loopback_sends_nothing_out),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
