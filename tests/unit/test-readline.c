/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The human monitor's line editor: keys in, lines and a picture of the terminal out.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <string.h>

#include "src/monitor/readline.h"

#define UP "\x1b[A"
#define DOWN "\x1b[B"
#define RIGHT "\x1b[C"
#define LEFT "\x1b[D"

typedef struct Screen {
    Readline rl;
    GString *shown;
    GString *lines; /* each in brackets */
} Screen;

static void show(void *opaque, const char *text)
{
    g_string_append(((Screen *)opaque)->shown, text);
}

static void line_entered(void *opaque, const char *line)
{
    g_string_append_printf(((Screen *)opaque)->lines, "[%s]", line);
}

static GPtrArray *complete(void *opaque, const char *before)
{
    static const char *const words[] = {"stop", "status", "quit"};
    GPtrArray *found = g_ptr_array_new_with_free_func(g_free);

    for (unsigned i = 0; i < G_N_ELEMENTS(words); i++) {
        if (g_str_has_prefix(words[i], before))
            g_ptr_array_add(found, g_strdup(words[i]));
    }
    return found;
}

static const ReadlineOps ops = {show, line_entered, complete};

static int setup(void **state)
{
    Screen *screen = g_new0(Screen, 1);

    screen->shown = g_string_new(NULL);
    screen->lines = g_string_new(NULL);
    readline_init(&screen->rl, &ops, screen, "> ");
    *state = screen;
    return 0;
}

static int teardown(void **state)
{
    Screen *screen = *state;

    readline_release(&screen->rl);
    g_string_free(screen->shown, TRUE);
    g_string_free(screen->lines, TRUE);
    g_free(screen);
    return 0;
}

/* Types the keys; the lines entered must be these. */
static void expect(Screen *screen, const char *keys, const char *lines)
{
    g_string_truncate(screen->lines, 0);
    for (const char *key = keys; *key; key++)
        readline_feed(&screen->rl, (uint8_t)*key);
    assert_string_equal(screen->lines->str, lines);
}

static void enter_comes_as_return_line_feed_or_both(void **state)
{
    Screen *screen = *state;

    expect(screen, "a\rb\nc\r\nd\r", "[a][b][c][d]");
    expect(screen, "e\n\n", "[e][]");
}

static void keys_move_and_delete(void **state)
{
    expect(*state, "ac" LEFT "b\r", "[abc]");
    expect(*state, "xabc\x01\x04\r", "[abc]");
    expect(*state, "abcx" "\x7f\r", "[abc]");
    expect(*state, "bc\x1b[Ha\x1b[Fd\r", "[abcd]");
    expect(*state, "bc\x1b[1~a\x1b[4~d\x1bOHx\r", "[xabcd]");
    expect(*state, "abXc" LEFT LEFT "\x1b[3~\r", "[abc]");
    expect(*state, "one two three\x17\x17" "2\r", "[one 2]");
    expect(*state, "drop this\x15keep\r", "[keep]");
    expect(*state, "keep drop" LEFT LEFT LEFT LEFT LEFT "\x0b\r", "[keep]");
    expect(*state, "nothing\x03it\r", "[it]");
}

static void the_ends_of_the_line_hold(void **state)
{
    expect(*state, LEFT LEFT "\x7f\x04\x0b\x15\x17" RIGHT "a" RIGHT RIGHT "b\x04\r", "[ab]");
    expect(*state, "\x7f\x08\x02\x06\r", "[]");
}

static void history_is_recalled_and_keeps_what_was_being_typed(void **state)
{
    expect(*state, "one\rtwo\rtwo\r", "[one][two][two]");
    expect(*state, UP UP "\r", "[one]");
    expect(*state, "half" UP UP UP UP DOWN DOWN DOWN DOWN DOWN "!\r", "[half!]");
    expect(*state, UP "\x01not \r", "[not half!]");
}

static void history_is_bounded(void **state)
{
    Screen *screen = *state;

    for (unsigned i = 0; i < 3 * READLINE_HISTORY_MAX; i++) {
        g_autofree char *keys = g_strdup_printf("line %u\r", i), *lines = g_strdup_printf("[line %u]", i);
        expect(screen, keys, lines);
    }
    assert_int_equal(screen->rl.history->len, READLINE_HISTORY_MAX);
}

static void lines_are_bounded(void **state)
{
    Screen *screen = *state;

    for (unsigned i = 0; i < 3 * READLINE_LENGTH_MAX; i++)
        readline_feed(&screen->rl, 'x');
    assert_int_equal(screen->rl.text->len, READLINE_LENGTH_MAX);
}

static void tab_completes_as_far_as_candidates_agree(void **state)
{
    Screen *screen = *state;

    expect(screen, "q\t\r", "[quit ]");
    expect(screen, "s\t\r", "[st]");
    g_string_truncate(screen->shown, 0);
    expect(screen, "st\t\x15zz\t\r", "[zz]");
    assert_non_null(strstr(screen->shown->str, "stop  status"));
}

static void unknown_keys_and_broken_sequences_do_nothing(void **state)
{
    expect(*state, "a\x1b[99~\x1b[1;5Q\x1b[\xff\x1bxb\xe2\x82\xac\x7f\r", "[a]");
    expect(*state, "\x1b[99999999999999999999~c\r", "[c]");
}

static void random_keys_keep_the_cursor_inside(void **state)
{
    Screen *screen = *state;
    GRand *rand = g_rand_new_with_seed(1);

    for (unsigned i = 0; i < 200000; i++) {
        readline_feed(&screen->rl, (uint8_t)g_rand_int_range(rand, 0, i % 3 ? 256 : 0x20));
        assert_true(screen->rl.cursor <= screen->rl.text->len);
        assert_true(screen->rl.recalled <= screen->rl.history->len);
        g_string_truncate(screen->shown, 0);
    }
    g_rand_free(rand);
}

#define CASE(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(enter_comes_as_return_line_feed_or_both),
        CASE(keys_move_and_delete),
        CASE(the_ends_of_the_line_hold),
        CASE(history_is_recalled_and_keeps_what_was_being_typed),
        CASE(history_is_bounded),
        CASE(lines_are_bounded),
        CASE(tab_completes_as_far_as_candidates_agree),
        CASE(unknown_keys_and_broken_sequences_do_nothing),
        CASE(random_keys_keep_the_cursor_inside),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
