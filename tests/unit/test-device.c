/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Devices and property tables (core/device.h).
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "core/bits.h"
#include "core/device.h"
#include "core/error.h"
#include "core/thread.h"
#include "fake-accel.h"

typedef struct Widget {
    Device dev;
    bool flag;
    uint8_t u8;
    uint16_t u16;
    uint32_t u32;
    uint64_t u64;
    int32_t i32;
    uint64_t size;
    char *text;
    int mode;
    bool fail;

    GString *history; /* of the calls made to it; the test's */
} Widget;

static bool widget_realize(Device *dev, GError **errp)
{
    Widget *w = (Widget *)dev;

    if (w->fail)
        return error_set(errp, "no room");
    if (w->history)
        g_string_append_printf(w->history, "+%s ", device_name(dev));
    return true;
}

static void widget_unrealize(Device *dev)
{
    Widget *w = (Widget *)dev;

    if (w->history)
        g_string_append_printf(w->history, "-%s ", device_name(dev));
}

static void widget_reset(Device *dev)
{
    Widget *w = (Widget *)dev;

    if (w->history)
        g_string_append_printf(w->history, "0%s ", device_name(dev));
}

static const char *const modes[] = { "slow", "fast", "adaptive", NULL };

static const Property widget_props[] = {
    { .name = "flag", .kind = PROP_BOOL, .offset = offsetof(Widget, flag), .def = "on", .help = "a flag" },
    { .name = "u8", .kind = PROP_U8, .offset = offsetof(Widget, u8), .def = "0x7f" },
    { .name = "u16", .kind = PROP_U16, .offset = offsetof(Widget, u16) },
    { .name = "irq", .kind = PROP_U32, .offset = offsetof(Widget, u32), .def = "4", .min = 3, .max = 15 },
    { .name = "u64", .kind = PROP_U64, .offset = offsetof(Widget, u64) },
    { .name = "i32", .kind = PROP_I32, .offset = offsetof(Widget, i32), .def = "-1" },
    { .name = "size", .kind = PROP_SIZE, .offset = offsetof(Widget, size), .def = "64K" },
    { .name = "text", .kind = PROP_STRING, .offset = offsetof(Widget, text), .def = "hello" },
    { .name = "mode", .kind = PROP_ENUM, .offset = offsetof(Widget, mode), .def = "fast", .names = modes },
    { .name = "fail", .kind = PROP_BOOL, .offset = offsetof(Widget, fail) },
    { 0 },
};

static const DeviceType widget_type = {
    .name = "widget",
    .desc = "a thing to test with",
    .bus = "system",
    .instance_size = sizeof(Widget),
    .props = widget_props,
    .realize = widget_realize,
    .unrealize = widget_unrealize,
    .reset = widget_reset,
};

static Widget *widget_new(Machine *machine, const char *id)
{
    return (Widget *)device_new(&widget_type, machine, id);
}

static void a_new_device_has_its_defaults(void **state)
{
    Widget *w = widget_new(NULL, NULL);

    assert_true(w->flag);
    assert_int_equal(w->u8, 0x7f);
    assert_int_equal(w->u16, 0);
    assert_int_equal(w->u32, 4);
    assert_int_equal(w->i32, -1);
    assert_int_equal(w->size, 64 * KIB);
    assert_string_equal(w->text, "hello");
    assert_int_equal(w->mode, 1);
    assert_string_equal(device_name(&w->dev), "widget");
    device_free(&w->dev);
}

static void properties_take_values_in_option_syntax(void **state)
{
    Widget *w = widget_new(NULL, "w0");
    static const char *const settings[][2] = {
        { "flag", "off" }, { "u8", "255" }, { "u16", "0xffff" }, { "irq", "15" },
        { "u64", "18446744073709551615" }, { "i32", "-2147483648" }, { "size", "1.5G" },
        { "text", "" }, { "mode", "adaptive" },
    };

    for (unsigned i = 0; i < G_N_ELEMENTS(settings); i++)
        assert_true(device_set_property(&w->dev, settings[i][0], settings[i][1], NULL));
    assert_false(w->flag);
    assert_int_equal(w->u8, 255);
    assert_int_equal(w->u16, 0xffff);
    assert_int_equal(w->u32, 15);
    assert_int_equal(w->u64, UINT64_MAX);
    assert_int_equal(w->i32, INT32_MIN);
    assert_int_equal(w->size, 3 * GIB / 2);
    assert_string_equal(w->text, "");
    assert_int_equal(w->mode, 2);
    assert_string_equal(device_name(&w->dev), "w0");
    device_free(&w->dev);
}

/* Each message names the property or the device, the value, and what would do. */
static void bad_values_are_refused_and_change_nothing(void **state)
{
    Widget *w = widget_new(NULL, "w0"), *before = widget_new(NULL, "w0");
    static const char *const settings[][3] = {
        { "flag", "maybe", "on or off" }, { "u8", "256", "255" }, { "u8", "-1", "number" },
        { "u16", "65536", "65535" }, { "irq", "2", "3 to 15" }, { "irq", "16", "3 to 15" },
        { "irq", "", "number" }, { "u64", "18446744073709551616", "number" }, { "i32", "2147483648", "range" },
        { "i32", "-2147483649", "range" }, { "size", "12Q", "size" }, { "mode", "fats", "'fast'" },
        { "mode", "zzzzzzzz", "slow, fast, adaptive" },
    };

    for (unsigned i = 0; i < G_N_ELEMENTS(settings); i++) {
        g_autoptr(GError) err = NULL;
        assert_false(device_set_property(&w->dev, settings[i][0], settings[i][1], &err));
        assert_true(g_error_matches(err, VMM_ERROR, VMM_ERROR_USAGE));
        assert_non_null(strstr(err->message, settings[i][0]));
        assert_non_null(strstr(err->message, settings[i][1]));
        assert_non_null(strstr(err->message, settings[i][2]));
        assert_non_null(strstr(err->message, "w0"));
    }
    assert_int_equal(w->u8, before->u8);
    assert_int_equal(w->u32, before->u32);
    assert_int_equal(w->i32, before->i32);
    assert_int_equal(w->size, before->size);
    assert_int_equal(w->mode, before->mode);
    device_free(&w->dev);
    device_free(&before->dev);
}

static void an_unknown_property_names_the_nearest(void **state)
{
    Widget *w = widget_new(NULL, NULL);
    g_autoptr(GError) near = NULL, far = NULL;

    assert_false(device_set_property(&w->dev, "siez", "1", &near));
    assert_non_null(strstr(near->message, "'siez'"));
    assert_non_null(strstr(near->message, "'size'"));
    assert_false(device_set_property(&w->dev, "qwertyuiop", "1", &far));
    assert_null(strstr(far->message, "did you mean"));
    device_free(&w->dev);
}

static void devices_are_reset_in_order_and_freed_in_reverse(void **state)
{
    Machine *machine = fake_machine_new(1, NULL);
    g_autoptr(GString) history = g_string_new(NULL);
    static const char *const ids[] = { "a", "b", "c" };

    for (unsigned i = 0; i < 3; i++) {
        Widget *w = widget_new(machine, ids[i]);
        w->history = history;
        assert_true(device_realize(&w->dev, NULL));
    }
    machine_reset(machine);
    machine_free(machine);
    assert_string_equal(history->str, "+a +b +c 0a 0b 0c -c -b -a ");
}

static void a_failed_realize_leaves_the_device_new(void **state)
{
    Machine *machine = fake_machine_new(1, NULL);
    Widget *w = widget_new(machine, "w0");
    g_autoptr(GError) err = NULL;
    guint devices = machine->devices->len;

    w->history = g_string_new(NULL);
    device_set_property(&w->dev, "fail", "on", NULL);
    assert_false(device_realize(&w->dev, &err));
    assert_string_equal(err->message, "w0: no room");
    assert_false(w->dev.realized);
    assert_int_equal(machine->devices->len, devices);

    device_set_property(&w->dev, "fail", "off", NULL);
    assert_true(device_realize(&w->dev, NULL));
    assert_true(w->dev.realized);
    assert_string_equal(w->history->str, "+w0 ");
    g_string_free(g_steal_pointer(&w->history), TRUE);
    device_free(&w->dev);
    assert_int_equal(machine->devices->len, devices);
    machine_free(machine);
}

static void a_broken_device_stays_so_until_reset(void **state)
{
    Widget *w = widget_new(NULL, "w0");

    device_set_broken(&w->dev, "ring %d is a loop", 3);
    device_set_broken(&w->dev, "another reason");
    assert_string_equal(w->dev.broken, "ring 3 is a loop");
    device_reset(&w->dev);
    assert_null(w->dev.broken);
    device_free(&w->dev);
}

static void help_lists_every_property_with_type_and_default(void **state)
{
    g_autoptr(GString) out = g_string_new(NULL);

    device_type_print_help(&widget_type, out);
    assert_non_null(strstr(out->str, "widget: a thing to test with"));
    for (const Property *prop = widget_props; prop->name; prop++)
        assert_non_null(strstr(out->str, prop->name));
    assert_non_null(strstr(out->str, "irq=<uint32>"));
    assert_non_null(strstr(out->str, "(default: 64K)"));
    assert_non_null(strstr(out->str, "(slow|fast|adaptive)"));
}

static void known_types_are_found_by_name(void **state)
{
    assert_null(device_type_find("no-such-device"));
    for (const DeviceType *const *type = device_types; *type; type++)
        assert_ptr_equal(device_type_find((*type)->name), *type);
}

/* device_new asserts that defaults parse: a mistake in any table is found here. */
static void every_known_type_can_be_made(void **state)
{
    for (const DeviceType *const *type = device_types; *type; type++) {
        Device *dev = device_new(*type, NULL, NULL);
        assert_ptr_equal(dev->type, *type);
        device_free(dev);
    }
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_new_device_has_its_defaults),
        cmocka_unit_test(properties_take_values_in_option_syntax),
        cmocka_unit_test(bad_values_are_refused_and_change_nothing),
        cmocka_unit_test(an_unknown_property_names_the_nearest),
        cmocka_unit_test(devices_are_reset_in_order_and_freed_in_reverse),
        cmocka_unit_test(a_failed_realize_leaves_the_device_new),
        cmocka_unit_test(a_broken_device_stays_so_until_reset),
        cmocka_unit_test(help_lists_every_property_with_type_and_default),
        cmocka_unit_test(known_types_are_found_by_name),
        cmocka_unit_test(every_known_type_can_be_made),
    };

    core_init();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
