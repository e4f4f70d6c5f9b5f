/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * QMP's parser and types: what hostile peers may send, and what the tables must be like.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <string.h>

#include "src/monitor/qmp-parser.h"
#include "src/monitor/qmp-schema.h"

/* --- The parser --- */

typedef struct Feed {
    QmpParser parser;
    unsigned values, errors;
    json_t *last;
    char *error;
} Feed;

static int setup(void **state)
{
    Feed *feed = g_new0(Feed, 1);

    qmp_parser_init(&feed->parser);
    *state = feed;
    return 0;
}

static int teardown(void **state)
{
    Feed *feed = *state;

    qmp_parser_release(&feed->parser);
    json_decref(feed->last);
    g_free(feed->error);
    g_free(feed);
    return 0;
}

static void feed_bytes(Feed *feed, const char *bytes, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        g_autoptr(GError) err = NULL;
        json_t *value;
        if (!qmp_parser_feed(&feed->parser, (uint8_t)bytes[i], &value, &err))
            continue;
        assert_true(!value == !!err);
        json_decref(feed->last);
        feed->last = value;
        feed->values += value != NULL;
        feed->errors += value == NULL;
        if (err) {
            g_free(feed->error);
            feed->error = g_strdup(err->message);
        }
    }
}

static void feed_text(Feed *feed, const char *text)
{
    feed_bytes(feed, text, strlen(text));
}

static void values_end_where_their_brackets_close(void **state)
{
    Feed *feed = *state;

    feed_text(feed, " \r\n{\"a\": [1, {\"b\": \"}]{[\\\"\"}]}[2]{");
    assert_int_equal(feed->values, 2);
    assert_int_equal(json_integer_value(json_array_get(feed->last, 0)), 2);
    feed_text(feed, "}");
    assert_int_equal(feed->values, 3);
    assert_int_equal(feed->errors, 0);
}

static void single_quotes_are_quotes(void **state)
{
    Feed *feed = *state;

    feed_text(feed, "{'a': 'x\"y\\'z\\\\'}");
    assert_int_equal(feed->values, 1);
    assert_string_equal(json_string_value(json_object_get(feed->last, "a")), "x\"y'z\\");
}

static void what_is_no_object_costs_the_rest_of_the_line(void **state)
{
    Feed *feed = *state;

    feed_text(feed, "stop {} {} 'x'\n{}");
    assert_int_equal(feed->errors, 1);
    assert_int_equal(feed->values, 1);
}

static void nesting_is_bounded(void **state)
{
    Feed *feed = *state;
    g_autofree char *deep = g_strnfill(QMP_NESTING_MAX, '['), *end = g_strnfill(QMP_NESTING_MAX, ']');

    feed_text(feed, deep);
    feed_text(feed, end);
    assert_int_equal(feed->values, 1);
    feed_text(feed, deep);
    feed_text(feed, "[[[[[");
    assert_int_equal(feed->errors, 1);
    assert_non_null(strstr(feed->error, "deeper than"));
    feed_text(feed, "]]]]]\n{}");
    assert_int_equal(feed->values, 2);
}

static void length_is_bounded(void **state)
{
    Feed *feed = *state;
    g_autofree char *chunk = g_strnfill(65536, 'x');

    feed_text(feed, "{\"a\": \"");
    for (unsigned i = 0; i < 4 * QMP_INPUT_MAX / 65536; i++) {
        feed_bytes(feed, chunk, 65536);
        assert_true(feed->parser.text->allocated_len <= 4 * QMP_INPUT_MAX);
    }
    assert_int_equal(feed->errors, 1);
    assert_non_null(strstr(feed->error, "longer than"));
    feed_text(feed, "\"}\n{}");
    assert_int_equal(feed->values, 1);
}

static void byte_ff_starts_anew_in_any_state(void **state)
{
    Feed *feed = *state;

    feed_text(feed, "{\"a\": \"\xff{}");
    assert_int_equal(feed->values, 1);
    feed_text(feed, "junk\xff{}");
    assert_int_equal(feed->values, 2);
}

static void broken_json_is_one_error_each(void **state)
{
    static const char *const broken[] = {
        "{]", "{\"a\"}", "{\"a\": 1, \"a\": 2}", "[1,]", "{\"a\": \"\xc3\x28\"}", "{\"a\": \"\\u0000\"}",
        "[99999999999999999999999]", "[nul]", "{\"a\": '\\x'}", "[\"\x01\"]",
    };
    Feed *feed = *state;

    for (unsigned i = 0; i < G_N_ELEMENTS(broken); i++) {
        feed_text(feed, broken[i]);
        feed_text(feed, "\n");
        assert_int_equal(feed->errors, i + 1);
    }
    feed_text(feed, "{}");
    assert_int_equal(feed->values, 1);
}

/* --- Types --- */

static const char *const color_values[] = {"red", "blue", NULL};
static const QmpType color = {QMP_ENUM, "Color", .values = color_values};
static const QmpType colors = {QMP_ARRAY, .element = &color};
static const QmpMember inner_members[] = {{"n", &qmp_int, false, NULL}, {0}};
static const QmpType inner = {QMP_OBJECT, "Inner", inner_members};
static const QmpMember members[] = {
    {"s", &qmp_str, false, NULL},
    {"b", &qmp_bool, true, NULL},
    {"d", &qmp_number, true, NULL},
    {"c", &colors, true, NULL},
    {"o", &inner, true, NULL},
    {0},
};
static const QmpCommand command = {"test", members};

static void check(const char *json, const char *problem)
{
    g_autoptr(GError) err = NULL;
    json_t *args = json_loads(json, 0, NULL);

    assert_non_null(args);
    bool ok = qmp_check_args(&command, args, &err);
    json_decref(args);
    assert_int_equal(ok, problem == NULL);
    if (problem && !strstr(err->message, problem))
        fail_msg("%s: '%s' does not mention '%s'", json, err->message, problem);
}

static void arguments_are_held_against_their_types(void **state)
{
    check("{\"s\": \"x\"}", NULL);
    check("{\"s\": \"x\", \"b\": true, \"d\": 1.5, \"c\": [\"red\", \"blue\"], \"o\": {\"n\": 1}}", NULL);
    check("{}", "'s' is missing");
    check("{\"s\": 1}", "'s', expected: string");
    check("{\"s\": \"x\", \"b\": 1}", "'b', expected: boolean");
    check("{\"s\": \"x\", \"d\": \"1\"}", "'d', expected: number");
    check("{\"s\": \"x\", \"c\": \"red\"}", "'c', expected: array");
    check("{\"s\": \"x\", \"c\": [\"red\", \"green\"]}", "'green' for 'c[1]'; it can be red, blue");
    check("{\"s\": \"x\", \"c\": [1]}", "'c[0]', expected: string");
    check("{\"s\": \"x\", \"o\": {}}", "'n' is missing");
    check("{\"s\": \"x\", \"o\": {\"n\": 1.5}}", "'n', expected: int");
    check("{\"s\": \"x\", \"o\": {\"n\": 1, \"m\": 2}}", "'m' is unexpected");
    check("{\"s\": \"x\", \"t\": null}", "'t' is unexpected");
}

static void every_command_is_complete_and_named_once(void **state)
{
    for (const QmpCommand *const *table = qmp_command_tables; *table; table++) {
        for (const QmpCommand *row = *table; row->name; row++) {
            assert_non_null(row->run);
            assert_true(row->help && *row->help);
            assert_ptr_equal(qmp_command_find(row->name), row);
        }
    }
}

static void every_event_has_a_row(void **state)
{
    for (unsigned i = 0; i < VM_EVENT_COUNT; i++)
        assert_true(qmp_events[i].name && qmp_events[i].help);
}

#define PARSER_CASE(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        PARSER_CASE(values_end_where_their_brackets_close),
        PARSER_CASE(single_quotes_are_quotes),
        PARSER_CASE(what_is_no_object_costs_the_rest_of_the_line),
        PARSER_CASE(nesting_is_bounded),
        PARSER_CASE(length_is_bounded),
        PARSER_CASE(byte_ff_starts_anew_in_any_state),
        PARSER_CASE(broken_json_is_one_error_each),
        cmocka_unit_test(arguments_are_held_against_their_types),
        cmocka_unit_test(every_command_is_complete_and_named_once),
        cmocka_unit_test(every_event_has_a_row),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
