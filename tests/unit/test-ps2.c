/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Keyboard and mouse behind the 8042 (hw/input): scan codes, packets, and how they share the output buffer.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <glib.h>
#include <linux/input-event-codes.h>

#include "core/lock.h"
#include "core/thread.h"
#include "hw/input/i8042.h"

#define OBF 0x01
#define AUX 0x20

static int wires[3]; /* IRQ 1, IRQ 12, A20 */
static unsigned edges[3];

static void wire(void *opaque, int pin, int level)
{
    edges[pin] += level && !wires[pin];
    wires[pin] = level;
}

static int setup(void **state)
{
    I8042 *kbc = (I8042 *)device_new(&i8042_type, NULL, NULL);

    machine_lock();
    i8042_connect(kbc, (Irq){wire, NULL, 0}, (Irq){wire, NULL, 1}, (Irq){wire, NULL, 2});
    assert_true(device_realize(&kbc->dev, NULL));
    device_reset(&kbc->dev);
    edges[0] = edges[1] = 0;
    *state = kbc;
    return 0;
}

static int teardown(void **state)
{
    device_free(*state);
    machine_unlock();
    return 0;
}

static uint8_t status(I8042 *kbc)
{
    uint64_t value;

    memory_region_read(&kbc->command, 0, 1, &value);
    return value;
}

static int next(I8042 *kbc)
{
    uint64_t value;

    if (!(status(kbc) & OBF))
        return -1;
    memory_region_read(&kbc->data, 0, 1, &value);
    return value;
}

static void command(I8042 *kbc, uint8_t value)
{
    memory_region_write(&kbc->command, 0, 1, value);
}

static void data(I8042 *kbc, uint8_t value)
{
    memory_region_write(&kbc->data, 0, 1, value);
}

static void mouse(I8042 *kbc, uint8_t value)
{
    command(kbc, 0xd4);
    data(kbc, value);
}

static void expect(I8042 *kbc, const char *bytes)
{
    g_auto(GStrv) list = g_strsplit(bytes, " ", -1);

    for (char **byte = list; *byte; byte++)
        assert_int_equal(next(kbc), (int)g_ascii_strtoull(*byte, NULL, 16));
    assert_int_equal(next(kbc), -1);
}

static void tap(unsigned key)
{
    input_send_key(key, true);
    input_send_key(key, false);
}

/* --- keyboard --- */

static void keys_are_translated_into_set_1(void **state)
{
    I8042 *kbc = *state;

    tap(KEY_A);
    expect(kbc, "1e 9e");
    tap(KEY_ESC);
    expect(kbc, "01 81");
    tap(KEY_F11);
    expect(kbc, "57 d7");
    tap(KEY_UP);
    expect(kbc, "e0 48 e0 c8");
    tap(KEY_RIGHTCTRL);
    expect(kbc, "e0 1d e0 9d");
}

static void without_translation_they_are_set_2(void **state)
{
    I8042 *kbc = *state;

    command(kbc, 0x60);
    data(kbc, 0x01);
    tap(KEY_A);
    expect(kbc, "1c f0 1c");
    tap(KEY_UP);
    expect(kbc, "e0 75 e0 f0 75");
}

static void the_keyboard_itself_can_speak_set_1(void **state)
{
    I8042 *kbc = *state;

    command(kbc, 0x60);
    data(kbc, 0x01);
    data(kbc, 0xf0);
    data(kbc, 0x01);
    expect(kbc, "fa fa");
    tap(KEY_A);
    expect(kbc, "1e 9e");
    data(kbc, 0xf0);
    data(kbc, 0x00);
    expect(kbc, "fa fa 01");
}

static void every_key_of_a_pc_has_a_code_of_its_own(void **state)
{
    I8042 *kbc = *state;
    bool seen[2][256] = {{false}};

    for (unsigned key = KEY_ESC; key <= KEY_COMPOSE; key++) {
        int first, code;

        if (key == KEY_PAUSE)
            continue;
        tap(key);
        first = code = next(kbc);
        if (first < 0)
            continue;
        if (first == 0xe0)
            code = next(kbc);
        assert_in_range(code, 1, 0x7f);
        assert_false(seen[first == 0xe0][code]);
        seen[first == 0xe0][code] = true;
        while (next(kbc) >= 0)
            ;
    }
    for (unsigned key = KEY_ESC; key <= KEY_KPDOT; key++)
        assert_true(seen[0][key]);
}

static void pause_is_one_long_code(void **state)
{
    tap(KEY_PAUSE);
    expect(*state, "e1 1d 45 e1 9d c5");
}

static void a_disabled_keyboard_reports_no_keys(void **state)
{
    I8042 *kbc = *state;

    data(kbc, 0xf5);
    expect(kbc, "fa");
    tap(KEY_A);
    assert_int_equal(next(kbc), -1);
    data(kbc, 0xf4);
    expect(kbc, "fa");
    tap(KEY_A);
    expect(kbc, "1e 9e");
}

static void a_disabled_interface_holds_keys_back(void **state)
{
    I8042 *kbc = *state;

    command(kbc, 0xad);
    tap(KEY_A);
    assert_int_equal(next(kbc), -1);
    command(kbc, 0xae);
    expect(kbc, "1e 9e");
}

static void resend_repeats_the_last_byte(void **state)
{
    I8042 *kbc = *state;

    data(kbc, 0xee);
    expect(kbc, "ee");
    data(kbc, 0xfe);
    expect(kbc, "ee");
}

static void an_unknown_scan_set_is_refused(void **state)
{
    I8042 *kbc = *state;

    data(kbc, 0xf0);
    data(kbc, 0x03);
    expect(kbc, "fa fe");
}

static void keys_nobody_fetches_are_dropped_and_answers_are_not(void **state)
{
    I8042 *kbc = *state;
    unsigned count = 0;

    for (int i = 0; i < 1000; i++)
        tap(KEY_A);
    data(kbc, 0xee);
    while (next(kbc) >= 0)
        count++;
    assert_in_range(count, 10, 64);
    assert_int_equal(kbc->regs.output.value, 0xee);
}

/* --- mouse --- */

static void the_mouse_passes_its_test_and_has_three_buttons(void **state)
{
    I8042 *kbc = *state;

    mouse(kbc, 0xff);
    assert_true(status(kbc) & AUX);
    expect(kbc, "fa aa 00");
    mouse(kbc, 0xf2);
    expect(kbc, "fa 00");
}

static void movements_are_packets(void **state)
{
    I8042 *kbc = *state;

    mouse(kbc, 0xf4);
    expect(kbc, "fa");
    input_send_rel(INPUT_AXIS_X, 5);
    input_send_rel(INPUT_AXIS_Y, 3);
    input_send_button(INPUT_BUTTON_LEFT, true);
    input_sync();
    expect(kbc, "29 05 fd"); /* down on the screen is negative */
    input_send_rel(INPUT_AXIS_X, -200);
    input_sync();
    expect(kbc, "19 81 00 19 b7 00");
}

static void a_mouse_reports_only_when_it_is_enabled(void **state)
{
    I8042 *kbc = *state;

    input_send_rel(INPUT_AXIS_X, 5);
    input_sync();
    assert_int_equal(next(kbc), -1);
    mouse(kbc, 0xeb); /* but it can be asked */
    expect(kbc, "fa 08 05 00");
}

static void knock(I8042 *kbc, uint8_t a, uint8_t b, uint8_t c)
{
    const uint8_t rates[] = {a, b, c};

    for (int i = 0; i < 3; i++) {
        mouse(kbc, 0xf3);
        mouse(kbc, rates[i]);
        expect(kbc, "fa fa");
    }
}

static void three_rates_turn_the_wheel_on(void **state)
{
    I8042 *kbc = *state;

    knock(kbc, 200, 100, 80);
    mouse(kbc, 0xf2);
    expect(kbc, "fa 03");
    mouse(kbc, 0xf4);
    expect(kbc, "fa");
    input_send_rel(INPUT_AXIS_WHEEL, 1);
    input_sync();
    expect(kbc, "08 00 00 ff");
}

static void three_others_give_five_buttons(void **state)
{
    I8042 *kbc = *state;

    knock(kbc, 200, 200, 80);
    mouse(kbc, 0xf2);
    expect(kbc, "fa 04");
    mouse(kbc, 0xf4);
    expect(kbc, "fa");
    input_send_button(INPUT_BUTTON_EXTRA, true);
    input_send_rel(INPUT_AXIS_WHEEL, -1);
    input_sync();
    expect(kbc, "08 00 00 21");
}

static void status_tells_buttons_resolution_and_rate(void **state)
{
    I8042 *kbc = *state;

    mouse(kbc, 0xe8);
    mouse(kbc, 0x03);
    expect(kbc, "fa fa");
    mouse(kbc, 0xe7);
    expect(kbc, "fa");
    input_send_button(INPUT_BUTTON_LEFT, true);
    mouse(kbc, 0xe9);
    expect(kbc, "fa 14 03 64");
}

static void wrap_mode_echoes(void **state)
{
    I8042 *kbc = *state;

    mouse(kbc, 0xee);
    mouse(kbc, 0x55);
    expect(kbc, "fa 55");
    mouse(kbc, 0xec);
    expect(kbc, "fa");
}

static void a_mouse_that_is_not_read_stays_bounded(void **state)
{
    I8042 *kbc = *state;
    unsigned count = 0;

    mouse(kbc, 0xf4);
    expect(kbc, "fa");
    for (int i = 0; i < 100000; i++) {
        input_send_rel(INPUT_AXIS_X, 127);
        input_sync();
    }
    while (next(kbc) >= 0)
        count++;
    assert_int_equal(count % 3, 0);
    assert_in_range(count, 3, 200);
}

/* --- both --- */

static void each_source_has_its_interrupt(void **state)
{
    I8042 *kbc = *state;

    command(kbc, 0x60);
    data(kbc, 0x43);
    mouse(kbc, 0xf4);
    assert_int_equal(edges[1], 1);
    assert_int_equal(edges[0], 0);
    next(kbc);
    tap(KEY_A);
    assert_int_equal(edges[0], 1);
    next(kbc);
    assert_int_equal(edges[0], 2);
    assert_true(wires[0]);
    next(kbc);
    assert_false(wires[0]);
}

static void a_byte_in_the_buffer_stays_its_sources(void **state)
{
    I8042 *kbc = *state;

    tap(KEY_A);
    command(kbc, 0x60); /* the keyboard's byte is there already */
    data(kbc, 0x57);
    assert_false(status(kbc) & AUX);
    assert_int_equal(next(kbc), 0x1e);
    assert_int_equal(next(kbc), -1);
}

static void events_go_to_the_newest_device(void **state)
{
    static const InputHandler deaf = {.rel = NULL};

    input_add_handler(&deaf);
    tap(KEY_A);
    expect(*state, "1e 9e");
    input_remove_handler(&deaf);
    assert_false(input_wants_absolute());
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    static const struct CMUnitTest tests[] = {
        CASE(keys_are_translated_into_set_1),
        CASE(without_translation_they_are_set_2),
        CASE(the_keyboard_itself_can_speak_set_1),
        CASE(every_key_of_a_pc_has_a_code_of_its_own),
        CASE(pause_is_one_long_code),
        CASE(a_disabled_keyboard_reports_no_keys),
        CASE(a_disabled_interface_holds_keys_back),
        CASE(resend_repeats_the_last_byte),
        CASE(an_unknown_scan_set_is_refused),
        CASE(keys_nobody_fetches_are_dropped_and_answers_are_not),
        CASE(the_mouse_passes_its_test_and_has_three_buttons),
        CASE(movements_are_packets),
        CASE(a_mouse_reports_only_when_it_is_enabled),
        CASE(three_rates_turn_the_wheel_on),
        CASE(three_others_give_five_buttons),
        CASE(status_tells_buttons_resolution_and_rate),
        CASE(wrap_mode_echoes),
        CASE(a_mouse_that_is_not_read_stays_bounded),
        CASE(each_source_has_its_interrupt),
        CASE(a_byte_in_the_buffer_stays_its_sources),
        CASE(events_go_to_the_newest_device),
    };

    core_init();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
