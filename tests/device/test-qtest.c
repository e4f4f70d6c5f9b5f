/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The qtest protocol itself.
 */
#include "qtest.h"

#include <string.h>

static void accesses_of_every_size_meet_in_ram(void **state)
{
    QTest *qt = *state;

    qt_writeq(qt, 0x1000, 0x1122334455667788);
    assert_int_equal(qt_readq(qt, 0x1000), 0x1122334455667788);
    assert_int_equal(qt_readl(qt, 0x1004), 0x11223344);
    g_free(qt_command(qt, "writeb 0x1000 0xaa"));
    g_free(qt_command(qt, "writew 0x1002 0xbbcc"));
    assert_int_equal(qt_readl(qt, 0x1000), 0xbbcc77aa);
}

static void blocks_of_bytes_go_in_and_out(void **state)
{
    QTest *qt = *state;
    uint8_t buf[5000], back[5000];
    char *b64;

    for (unsigned i = 0; i < sizeof(buf); i++)
        buf[i] = i * 7;
    qt_write(qt, 0xff0, buf, sizeof(buf));
    qt_read(qt, 0xff0, back, sizeof(back));
    assert_memory_equal(buf, back, sizeof(buf));
    g_free(qt_command(qt, "memset 0x1000 16 0x41"));
    b64 = qt_command(qt, "b64read 0x1000 3");
    assert_string_equal(b64, "QUFB");
    g_free(b64);
    g_free(qt_command(qt, "b64write 0x1000 3 Qk9P"));
    qt_read(qt, 0x1000, back, 4);
    assert_memory_equal(back, "BOOA", 4);
}

static void time_stands_until_it_is_stepped(void **state)
{
    QTest *qt = *state;
    int64_t start = qt_step(qt, 0);

    assert_int_equal(qt_step(qt, 0), start);
    assert_int_equal(qt_step(qt, 12345), start + 12345);
    g_free(qt_command(qt, "clock_set %" G_GINT64_FORMAT, start + 20000));
    assert_int_equal(qt_step(qt, 0), start + 20000);
}

static void step_without_an_argument_goes_to_the_next_deadline(void **state)
{
    QTest *qt = *state;
    int64_t start = qt_step(qt, 0);

    qt_outb(qt, 0x43, 0x30);
    qt_outb(qt, 0x40, 0xe8);
    qt_outb(qt, 0x40, 0x03); /* 1000 clocks of 838.1 ns, and one to load */
    assert_in_range(qt_step_next(qt) - start, 838000, 840000);
}

static void bad_commands_fail_and_say_why(void **state)
{
    static const char *const bad[] = {
        "", "nonsense", "inb", "inb x", "outb 1", "outb 1 2 3", "read 0 0", "read 0 0x10000000",
        "memset 0xffffffffffffffff 2 0", "set_irq_in gsi in 24 1", "set_irq_in other in 0 1",
        "irq_intercept_out nobody", "clock_step x",
    };
    QTest *qt = *state;

    for (size_t i = 0; i < G_N_ELEMENTS(bad); i++)
        assert_null(qt_command(qt, "%s", bad[i]));
    assert_int_equal(qt_inb(qt, 0x4d0), 0); /* and the vmm goes on */
}

static void ports_that_nobody_has_read_as_ones(void **state)
{
    QTest *qt = *state;

    assert_int_equal(qt_inb(qt, 0xdead), 0xff);
    assert_int_equal(qt_inw(qt, 0xdeae), 0xffff);
    assert_int_equal(qt_inl(qt, 0xdeac), 0xffffffff);
    qt_outl(qt, 0xdeac, 0);
}

static void endianness_is_little(void **state)
{
    QTest *qt = *state;
    char *answer = qt_command(qt, "endianness");

    assert_string_equal(answer, "little");
    g_free(answer);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, qt_setup, qt_teardown)
    const struct CMUnitTest tests[] = {
        T(accesses_of_every_size_meet_in_ram),
        T(blocks_of_bytes_go_in_and_out),
        T(time_stands_until_it_is_stepped),
        T(step_without_an_argument_goes_to_the_next_deadline),
        T(bad_commands_fail_and_say_why),
        T(ports_that_nobody_has_read_as_ones),
        T(endianness_is_little),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
