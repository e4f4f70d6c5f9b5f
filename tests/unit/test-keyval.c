/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The key=value and JSON syntax of option arguments (config/keyval.h).
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "config/keyval.h"

static void assert_error_mentions(GError *err, const char *text)
{
    assert_non_null(err);
    if (!strstr(err->message, text)) {
        fail_msg("'%s' does not mention '%s'", err->message, text);
    }
}

static void assert_refused(const char *arg, const char *mention)
{
    g_autoptr(GError) err = NULL;

    assert_null(keyval_parse(arg, NULL, &err));
    assert_error_mentions(err, mention);
}

static void pairs_are_separated_by_commas(void **state)
{
    g_autoptr(KvNode) kv = keyval_parse("id=a,path=/tmp/x,size=4M,", NULL, NULL);

    assert_string_equal(keyval_get(kv, "id"), "a");
    assert_string_equal(keyval_get(kv, "path"), "/tmp/x");
    assert_string_equal(keyval_get(kv, "size"), "4M");
    assert_null(keyval_get(kv, "other"));
}

static void two_commas_are_one_in_the_value(void **state)
{
    g_autoptr(KvNode) kv = keyval_parse("path=a,,b,,,,c,next=1", NULL, NULL);

    assert_string_equal(keyval_get(kv, "path"), "a,b,,c");
    assert_string_equal(keyval_get(kv, "next"), "1");
}

static void values_may_be_empty_and_contain_equal_signs(void **state)
{
    g_autoptr(KvNode) kv = keyval_parse("append=,opt=a=b=c", NULL, NULL);

    assert_string_equal(keyval_get(kv, "append"), "");
    assert_string_equal(keyval_get(kv, "opt"), "a=b=c");
}

static void first_bare_element_is_the_implied_key(void **state)
{
    g_autoptr(KvNode) kv = keyval_parse("pc,,x,usb", "type", NULL);

    assert_string_equal(keyval_get(kv, "type"), "pc,x");
    assert_string_equal(keyval_get(kv, "usb"), "on");
}

static void bare_element_without_implied_key_is_on(void **state)
{
    g_autoptr(KvNode) kv = keyval_parse("help,nofoo", NULL, NULL);

    assert_string_equal(keyval_get(kv, "help"), "on");
    assert_string_equal(keyval_get(kv, "nofoo"), "on");
}

static void empty_argument_is_an_empty_tree(void **state)
{
    g_autoptr(KvNode) kv = keyval_parse("", "type", NULL);

    assert_non_null(kv);
    assert_null(keyval_get(kv, "type"));
}

static void dots_nest_and_numbers_make_lists(void **state)
{
    g_autoptr(KvNode) kv = keyval_parse("a.b.c=1,l.1=q,l.0.x=p,l.1=r", NULL, NULL);
    KvNode *list = keyval_get_node(kv, "l");

    assert_string_equal(keyval_get(kv, "a.b.c"), "1");
    assert_null(keyval_get(kv, "a.b"));
    assert_int_equal(keyval_kind(keyval_get_node(kv, "a")), KV_DICT);
    assert_int_equal(keyval_kind(list), KV_LIST);
    assert_int_equal(keyval_list_length(list), 2);
    assert_string_equal(keyval_get(keyval_list_item(list, 0), "x"), "p");
    assert_string_equal(keyval_get(kv, "l.1"), "r");
    assert_null(keyval_list_item(list, 2));
}

static void malformed_lists_are_refused(void **state)
{
    assert_refused("l.0=a,l.2=c", "no element 1");
    assert_refused("l.0=a,l.x=c", "'l' mixes");
    assert_refused("0=a", "mixes");
    assert_refused("l.0=a,l.4294967296=b", "no element 1");
}

static void malformed_keys_are_refused(void **state)
{
    assert_refused("=x", "'' is not a valid key");
    assert_refused("a..b=x", "'a..b'");
    assert_refused(".=x", "'.'");
    assert_refused("a b=x", "'a b'");
    assert_refused("a=1,,,b=2,,,=3", "''");
    assert_refused(",a=1", "empty element");
}

static void a_key_is_either_value_or_group(void **state)
{
    assert_refused("a=1,a.b=2", "'a' has both");
    assert_refused("a.b=2,a=1", "'a' has both");
}

static void nesting_is_bounded(void **state)
{
    GString *deep = g_string_new("a");
    GString *json = g_string_new("{\"a\":");

    for (int i = 0; i < 100; i++) {
        g_string_append(deep, ".a");
        g_string_append(json, "[");
    }
    g_string_append(deep, "=1");
    for (int i = 0; i < 100; i++) {
        g_string_append(json, "]");
    }
    g_string_append(json, "}");
    assert_refused(deep->str, "deeper than");
    assert_refused(json->str, "deeper than");
    g_string_free(deep, TRUE);
    g_string_free(json, TRUE);
}

static void last_of_repeated_keys_wins(void **state)
{
    g_autoptr(KvNode) kv = keyval_parse("a=1,b=2,a=3", NULL, NULL);

    assert_string_equal(keyval_get(kv, "a"), "3");
}

static void merging_overrides_strings_and_unites_groups(void **state)
{
    g_autoptr(KvNode) kv = keyval_parse("pc,accel=kvm,g.a=1", "type", NULL);

    assert_true(keyval_merge(kv, "accel=dbt,g.b=2", "type", NULL));
    assert_string_equal(keyval_get(kv, "type"), "pc");
    assert_string_equal(keyval_get(kv, "accel"), "dbt");
    assert_string_equal(keyval_get(kv, "g.a"), "1");
    assert_string_equal(keyval_get(kv, "g.b"), "2");
}

static void failed_merge_changes_nothing(void **state)
{
    g_autoptr(KvNode) kv = keyval_parse("a=1,g.a=1", NULL, NULL);
    g_autoptr(GError) err = NULL;

    assert_false(keyval_merge(kv, "a=2,g=3", NULL, &err));
    assert_error_mentions(err, "'g'");
    assert_string_equal(keyval_get(kv, "a"), "1");
    assert_string_equal(keyval_get(kv, "g.a"), "1");
}

static void json_objects_give_the_same_tree(void **state)
{
    const char *text = "{\"id\":\"a,b\",\"on\":true,\"off\":false,\"n\":-7,\"l\":[{\"x\":\"p\"},\"q\"]}";
    g_autoptr(KvNode) kv = keyval_parse(text, NULL, NULL);

    assert_string_equal(keyval_get(kv, "id"), "a,b");
    assert_string_equal(keyval_get(kv, "on"), "on");
    assert_string_equal(keyval_get(kv, "off"), "off");
    assert_string_equal(keyval_get(kv, "n"), "-7");
    assert_string_equal(keyval_get(kv, "l.0.x"), "p");
    assert_string_equal(keyval_get(kv, "l.1"), "q");
}

static void malformed_json_is_refused(void **state)
{
    assert_refused("{", "not a JSON object");
    assert_refused("{\"a\":1} x", "not a JSON object");
    assert_refused("{\"a\":1,\"a\":2}", "not a JSON object");
    assert_refused("{\"a\":null}", "'a' is null");
    assert_refused("{\"a.b\":1}", "'a.b' is not a valid key");
}

static bool collect(const char *path, const char *value, void *opaque)
{
    g_string_append_printf(opaque, "%s=%s;", path, value);
    return strcmp(path, "stop") != 0;
}

static void foreach_visits_leaves_in_order_until_told_to_stop(void **state)
{
    g_autoptr(KvNode) kv = keyval_parse("z=1,l.0=a,l.1=b,g.x=2,stop=1,after=1", NULL, NULL);
    GString *seen = g_string_new(NULL);

    assert_false(keyval_foreach(kv, collect, seen));
    assert_string_equal(seen->str, "z=1;l.0=a;l.1=b;g.x=2;stop=1;");
    g_string_free(seen, TRUE);
}

static void unread_keys_are_named_with_the_nearest_known_one(void **state)
{
    static const char *const known[] = {"size", "share", NULL};
    g_autoptr(KvNode) kv = keyval_parse("size=1,shre=on", NULL, NULL);
    g_autoptr(GError) err = NULL;

    keyval_get(kv, "size");
    assert_false(keyval_check_unused(kv, "-object", known, &err));
    assert_string_equal(err->message, "-object: unknown property 'shre'; did you mean 'share'?");
    keyval_get(kv, "shre");
    assert_true(keyval_check_unused(kv, "-object", known, NULL));
}

static void unread_empty_objects_are_named_too(void **state)
{
    g_autoptr(KvNode) kv = keyval_parse("{\"a\":{\"b\":[]}}", NULL, NULL);
    g_autoptr(GError) err = NULL;

    assert_false(keyval_check_unused(kv, "-x", NULL, &err));
    assert_error_mentions(err, "'a.b'");
}

static void booleans_are_spelled_four_ways(void **state)
{
    static const char *const on[] = {"on", "yes", "true", "y"};
    static const char *const off[] = {"off", "no", "false", "n"};
    bool value;

    for (int i = 0; i < 4; i++) {
        value = false;
        assert_true(parse_bool(on[i], &value) && value);
        assert_true(parse_bool(off[i], &value) && !value);
    }
    assert_false(parse_bool("", &value));
    assert_false(parse_bool("1", &value));
    assert_false(parse_bool("On", &value));
}

static void numbers_are_decimal_or_hexadecimal_and_nothing_else(void **state)
{
    uint64_t n;

    assert_true(parse_u64("18446744073709551615", &n) && n == UINT64_MAX);
    assert_true(parse_u64("0xffffffffffffffff", &n) && n == UINT64_MAX);
    assert_true(parse_u64("010", &n) && n == 10);
    assert_false(parse_u64("18446744073709551616", &n));
    assert_false(parse_u64("0x10000000000000000", &n));
    assert_false(parse_u64("", &n));
    assert_false(parse_u64("0x", &n));
    assert_false(parse_u64("-1", &n));
    assert_false(parse_u64("+1", &n));
    assert_false(parse_u64(" 1", &n));
    assert_false(parse_u64("1 ", &n));
}

static void sizes_take_suffixes_and_fractions(void **state)
{
    uint64_t n;

    assert_true(parse_size("512", 1 << 20, &n) && n == 512 << 20);
    assert_true(parse_size("512", 1, &n) && n == 512);
    assert_true(parse_size("3B", 1 << 20, &n) && n == 3);
    assert_true(parse_size("4k", 1, &n) && n == 4096);
    assert_true(parse_size("1.5G", 1, &n) && n == 3ull << 29);
    assert_true(parse_size("0.25T", 1, &n) && n == 1ull << 38);
    assert_true(parse_size("2P", 1, &n) && n == 1ull << 51);
    assert_true(parse_size("15E", 1, &n) && n == 15ull << 60);
    assert_true(parse_size("0x10", 1, &n) && n == 16);
}

static void malformed_sizes_are_refused(void **state)
{
    uint64_t n;

    assert_false(parse_size("16E", 1, &n));
    assert_false(parse_size("1.", 1024, &n));
    assert_false(parse_size(".5G", 1, &n));
    assert_false(parse_size("1.5", 1, &n));
    assert_false(parse_size("4G8", 1, &n));
    assert_false(parse_size("4Q", 1, &n));
    assert_false(parse_size("G", 1, &n));
    assert_false(parse_size("-4G", 1, &n));
    assert_false(parse_size("", 1, &n));
}

static void near_names_are_found_and_far_ones_are_not(void **state)
{
    static const char *const names[] = {"kernel", "initrd", "append", "machine", "m", "no-reboot", NULL};

    assert_string_equal(nearest_name("kernle", names), "kernel");
    assert_string_equal(nearest_name("KERNEL", names), "kernel");
    assert_string_equal(nearest_name("inird", names), "initrd");
    assert_string_equal(nearest_name("no_rebot", names), "no-reboot");
    assert_null(nearest_name("vnc", names));
    assert_null(nearest_name("", names));
    assert_null(nearest_name("kernel", NULL));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pairs_are_separated_by_commas),
        cmocka_unit_test(two_commas_are_one_in_the_value),
        cmocka_unit_test(values_may_be_empty_and_contain_equal_signs),
        cmocka_unit_test(first_bare_element_is_the_implied_key),
        cmocka_unit_test(bare_element_without_implied_key_is_on),
        cmocka_unit_test(empty_argument_is_an_empty_tree),
        cmocka_unit_test(dots_nest_and_numbers_make_lists),
        cmocka_unit_test(malformed_lists_are_refused),
        cmocka_unit_test(malformed_keys_are_refused),
        cmocka_unit_test(a_key_is_either_value_or_group),
        cmocka_unit_test(nesting_is_bounded),
        cmocka_unit_test(last_of_repeated_keys_wins),
        cmocka_unit_test(merging_overrides_strings_and_unites_groups),
        cmocka_unit_test(failed_merge_changes_nothing),
        cmocka_unit_test(json_objects_give_the_same_tree),
        cmocka_unit_test(malformed_json_is_refused),
        cmocka_unit_test(foreach_visits_leaves_in_order_until_told_to_stop),
        cmocka_unit_test(unread_keys_are_named_with_the_nearest_known_one),
        cmocka_unit_test(unread_empty_objects_are_named_too),
        cmocka_unit_test(booleans_are_spelled_four_ways),
        cmocka_unit_test(numbers_are_decimal_or_hexadecimal_and_nothing_else),
        cmocka_unit_test(sizes_take_suffixes_and_fractions),
        cmocka_unit_test(malformed_sizes_are_refused),
        cmocka_unit_test(near_names_are_found_and_far_ones_are_not),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
