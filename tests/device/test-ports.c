/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The small ports: i8042, port 92h, reset control, ACPI block, debug console, debug exit, pc-testdev.
 */
#include "qtest.h"

#include <string.h>

#define RESET_CONTROL 0xcf9
#define PORT92        0x92
#define KBC_DATA      0x60
#define KBC_COMMAND   0x64
#define OBF           0x01
#define AUX_OBF       0x20

/* A byte of CMOS RAM outlives a reset, a scratch register does not. */
#define SCRATCH 0x3ff

static int setup(void **state)
{
    QTest *qt = qt_start_serial(NULL);

    qt_outb(qt, SCRATCH, 0x77);
    *state = qt;
    return 0;
}

static bool was_reset(QTest *qt)
{
    return qt_inb(qt, SCRATCH) == 0;
}

/* --- Reset --- */

static void reset_control_resets_on_the_rise_of_rst_cpu(void **state)
{
    QTest *qt = *state;

    qt_outb(qt, RESET_CONTROL, 0x02);
    assert_false(was_reset(qt));
    assert_int_equal(qt_inb(qt, RESET_CONTROL), 0x02);
    qt_outb(qt, RESET_CONTROL, 0x06);
    assert_true(was_reset(qt));
    assert_int_equal(qt_inb(qt, RESET_CONTROL), 0);
}

static void port92_resets_on_the_rise_of_bit_0(void **state)
{
    QTest *qt = *state;

    assert_int_equal(qt_inb(qt, PORT92), 0x02);
    qt_outb(qt, PORT92, 0x03);
    assert_true(was_reset(qt));
    assert_int_equal(qt_inb(qt, PORT92), 0x02);
}

static void pulsing_the_keyboard_controllers_line_0_resets(void **state)
{
    QTest *qt = *state;

    qt_outb(qt, KBC_COMMAND, 0xff);
    assert_false(was_reset(qt));
    qt_outb(qt, KBC_COMMAND, 0xfe);
    assert_true(was_reset(qt));
}

static void no_reboot_turns_a_reset_into_an_exit(void **state)
{
    QTest *qt = qt_start("-no-reboot");
    char *answer = qt_command(qt, "outb 0xcf9 0x06");

    g_free(answer);
    assert_int_equal(qt_wait_exit(qt), 0);
}

/* --- i8042 --- */

static uint8_t kbc_answer(QTest *qt)
{
    assert_int_equal(qt_inb(qt, KBC_COMMAND) & OBF, OBF);
    return qt_inb(qt, KBC_DATA);
}

static void self_test_passes(void **state)
{
    QTest *qt = *state;

    qt_outb(qt, KBC_COMMAND, 0xaa);
    assert_int_equal(kbc_answer(qt), 0x55);
    assert_int_equal(qt_inb(qt, KBC_COMMAND) & (OBF | 0x14), 0x14);
}

static void command_byte_reads_back(void **state)
{
    QTest *qt = *state;

    qt_outb(qt, KBC_COMMAND, 0x60);
    qt_outb(qt, KBC_DATA, 0x74);
    qt_outb(qt, KBC_COMMAND, 0x20);
    assert_int_equal(kbc_answer(qt), 0x74);
}

static void keyboard_answers_reset_and_identify(void **state)
{
    QTest *qt = *state;

    qt_outb(qt, KBC_DATA, 0xff);
    assert_int_equal(kbc_answer(qt), 0xfa);
    assert_int_equal(kbc_answer(qt), 0xaa);
    qt_outb(qt, KBC_COMMAND, 0x60);
    qt_outb(qt, KBC_DATA, 0x05); /* no translation */
    qt_outb(qt, KBC_DATA, 0xf2);
    assert_int_equal(kbc_answer(qt), 0xfa);
    assert_int_equal(kbc_answer(qt), 0xab);
    assert_int_equal(kbc_answer(qt), 0x83);
}

static void leds_take_an_argument(void **state)
{
    QTest *qt = *state;

    qt_outb(qt, KBC_DATA, 0xed);
    assert_int_equal(kbc_answer(qt), 0xfa);
    qt_outb(qt, KBC_DATA, 0x02);
    assert_int_equal(kbc_answer(qt), 0xfa);
    assert_int_equal(qt_inb(qt, KBC_COMMAND) & OBF, 0);
}

static void each_byte_makes_an_edge_on_irq_1(void **state)
{
    QTest *qt = *state;

    qt_intercept_gsi(qt);
    qt_outb(qt, KBC_DATA, 0xff);
    assert_int_equal(qt->raised[1], 1);
    qt_inb(qt, KBC_DATA);
    assert_int_equal(qt->raised[1], 2);
    qt_inb(qt, KBC_DATA);
    assert_false(qt->level[1]);
}

static void the_aux_port_loops_back_and_has_a_mouse(void **state)
{
    QTest *qt = *state;

    qt_outb(qt, KBC_COMMAND, 0xd3);
    qt_outb(qt, KBC_DATA, 0x5a);
    assert_int_equal(qt_inb(qt, KBC_COMMAND) & (OBF | AUX_OBF), OBF | AUX_OBF);
    assert_int_equal(qt_inb(qt, KBC_DATA), 0x5a);
    qt_outb(qt, KBC_COMMAND, 0xd4);
    qt_outb(qt, KBC_DATA, 0xf2);
    assert_int_equal(qt_inb(qt, KBC_COMMAND) & (OBF | AUX_OBF), OBF | AUX_OBF);
    assert_int_equal(qt_inb(qt, KBC_DATA), 0xfa);
    assert_int_equal(qt_inb(qt, KBC_DATA), 0x00);
    assert_int_equal(qt_inb(qt, KBC_COMMAND) & OBF, 0);
}

static void output_port_and_port92_agree_on_a20(void **state)
{
    QTest *qt = *state;

    qt_outb(qt, KBC_COMMAND, 0xd0);
    assert_int_equal(kbc_answer(qt) & 3, 3);
    qt_outb(qt, PORT92, 0x00);
    qt_writel(qt, 0x100000, 0x12345678);
    assert_int_equal(qt_readl(qt, 0x0), 0x12345678); /* 1 MiB wraps to 0 */
    qt_outb(qt, PORT92, 0x02);
    assert_int_not_equal(qt_readl(qt, 0x100000), 0x12345678);
}

/* --- ACPI --- */

#define PM        0x600
#define PM_EN     (PM + 2)
#define PM_CNT    (PM + 4)
#define PM_TMR    (PM + 8)
#define GPE0      (PM + 0x20)
#define SMI_CMD   0xb2
#define SCI_EN    1
#define TMR       1

static void smi_cmd_turns_acpi_on_and_off(void **state)
{
    QTest *qt = *state;

    qt_outb(qt, SMI_CMD, 3);
    assert_int_equal(qt_inw(qt, PM_CNT) & SCI_EN, 0);
    qt_outb(qt, SMI_CMD, 2);
    assert_int_equal(qt_inw(qt, PM_CNT) & SCI_EN, SCI_EN);
}

static void the_pm_timer_runs_at_3579545_hz(void **state)
{
    QTest *qt = *state;
    uint32_t before = qt_inl(qt, PM_TMR);

    qt_step(qt, 1000000000);
    assert_int_equal(qt_inl(qt, PM_TMR) - before, 3579545);
}

static void the_top_bit_of_the_timer_raises_sci(void **state)
{
    QTest *qt = *state;

    qt_intercept_gsi(qt);
    qt_outb(qt, SMI_CMD, 2);
    qt_outw(qt, PM_EN, TMR);
    qt_step(qt, 599000000000ll); /* 2^31 / 3579545 Hz = 599.93 s */
    assert_false(qt->level[9]);
    qt_step(qt, 2000000000);
    assert_true(qt->level[9]);
    assert_int_equal(qt_inw(qt, PM) & TMR, TMR);
    qt_outw(qt, PM, TMR); /* write one to clear */
    assert_false(qt->level[9]);
    assert_int_equal(qt_inw(qt, PM) & TMR, 0);
}

static void gpe_enables_read_back(void **state)
{
    QTest *qt = *state;

    qt_outb(qt, GPE0 + 8, 0x5a);
    assert_int_equal(qt_inb(qt, GPE0 + 8), 0x5a);
    assert_int_equal(qt_inb(qt, GPE0), 0);
}

static void other_sleep_types_do_nothing(void **state)
{
    QTest *qt = *state;

    qt_outw(qt, PM_CNT, 0x2000 | 1 << 10);
    assert_int_equal(qt_inb(qt, SCRATCH), 0x77);
    assert_int_equal(qt_inw(qt, PM_CNT) & 0x2000, 0); /* SLP_EN reads as zero */
}

static void s5_ends_the_vm_with_status_0(void **state)
{
    QTest *qt = qt_start(NULL);
    char *answer = qt_command(qt, "outw 0x604 0x3400");

    g_free(answer);
    assert_int_equal(qt_wait_exit(qt), 0);
}

/* --- Test devices --- */

static void debug_exit_shifts_its_value_into_the_status(void **state)
{
    QTest *qt = qt_start("-device isa-debug-exit,iobase=0xf4,iosize=4");
    char *answer = qt_command(qt, "outl 0xf4 0x10");

    g_free(answer);
    assert_int_equal(qt_wait_exit(qt), 0x21);
}

static void debugcon_sends_its_bytes_and_reads_e9(void **state)
{
    QTest *qt = qt_start_serial("-debugcon file:/dev/null");

    assert_int_equal(qt_inb(qt, 0xe9), 0xe9);
    qt_outb(qt, 0xe9, 'x');
    assert_true(qt_end(qt));
}

static void testdev_has_its_scratch_registers_lines_and_memory(void **state)
{
    QTest *qt = qt_start("-device pc-testdev");

    qt_outl(qt, 0xe0, 0x12345678);
    assert_int_equal(qt_inw(qt, 0xe2), 0x1234);
    qt_outb(qt, 0xe9, 0xaa);
    assert_int_equal(qt_inl(qt, 0xe8), 0x1234aa78);
    qt_intercept_gsi(qt);
    qt_outb(qt, 0x2000 + 20, 1);
    assert_true(qt->level[20]);
    qt_outb(qt, 0x2000 + 20, 0);
    assert_false(qt->level[20]);
    qt_writeq(qt, 0xff000ff8, 0x1122334455667788);
    assert_int_equal(qt_readl(qt, 0xff000ffc), 0x11223344);
    assert_true(qt_end(qt));
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, qt_teardown)
    const struct CMUnitTest tests[] = {
        T(reset_control_resets_on_the_rise_of_rst_cpu),
        T(port92_resets_on_the_rise_of_bit_0),
        T(pulsing_the_keyboard_controllers_line_0_resets),
        cmocka_unit_test(no_reboot_turns_a_reset_into_an_exit),
        T(self_test_passes),
        T(command_byte_reads_back),
        T(keyboard_answers_reset_and_identify),
        T(leds_take_an_argument),
        T(each_byte_makes_an_edge_on_irq_1),
        T(the_aux_port_loops_back_and_has_a_mouse),
        T(output_port_and_port92_agree_on_a20),
        T(smi_cmd_turns_acpi_on_and_off),
        T(the_pm_timer_runs_at_3579545_hz),
        T(the_top_bit_of_the_timer_raises_sci),
        T(gpe_enables_read_back),
        T(other_sleep_types_do_nothing),
        cmocka_unit_test(s5_ends_the_vm_with_status_0),
        cmocka_unit_test(debug_exit_shifts_its_value_into_the_status),
        cmocka_unit_test(debugcon_sends_its_bytes_and_reads_e9),
        cmocka_unit_test(testdev_has_its_scratch_registers_lines_and_memory),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
