/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Character backends: bytes in and out with backpressure, the mux's keys (chardev/char.h). The
 * terminal has its own test (test-terminal.c).
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <glib/gstdio.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "chardev/char.h"
#include "core/lock.h"
#include "core/loop.h"
#include "core/thread.h"
#include "src/chardev/chardev-int.h"

/* A front end that takes room bytes at a time and keeps all it got. */
typedef struct Front {
    CharBackend be;
    GByteArray *got;
    size_t room;
    unsigned writable, opened, closed, breaks;
} Front;

static size_t front_room(void *opaque)
{
    return ((Front *)opaque)->room;
}

static void front_got(void *opaque, const uint8_t *buf, size_t len)
{
    Front *front = opaque;

    assert_true(len <= front->room);
    front->room -= len;
    g_byte_array_append(front->got, buf, (guint)len);
}

static void front_is_writable(void *opaque)
{
    ((Front *)opaque)->writable++;
}

static void front_saw_event(void *opaque, CharEvent event)
{
    Front *front = opaque;

    front->opened += event == CHAR_EVENT_OPENED;
    front->closed += event == CHAR_EVENT_CLOSED;
    front->breaks += event == CHAR_EVENT_BREAK;
}

static const CharHandlers front_handlers = {front_room, front_got, front_is_writable, front_saw_event};

static void front_connect(Front *front, Chardev *chr, size_t room)
{
    *front = (Front){.got = g_byte_array_new(), .room = room};
    assert_true(char_attach(&front->be, chr, NULL));
    char_set_handlers(&front->be, &front_handlers, front);
}

static void front_release(Front *front)
{
    char_detach(&front->be);
    g_byte_array_unref(front->got);
}

static void take(Front *front, size_t room)
{
    front->room = room;
    char_accept_input(&front->be);
}

/* One turn of the main loop that waits for an event; alarm(2) ends a test that waits in vain. */
static void turn(void)
{
    g_main_context_iteration(event_loop_context(event_loop_main()), TRUE);
}

static void settle(void)
{
    while (g_main_context_iteration(event_loop_context(event_loop_main()), FALSE))
        continue;
}

static void make_pipe(int ends[2])
{
    assert_int_equal(pipe2(ends, O_CLOEXEC | O_NONBLOCK), 0);
}

static void write_text(int fd, const char *text)
{
    assert_int_equal(write(fd, text, strlen(text)), strlen(text));
}

static void assert_got(const Front *front, const char *text)
{
    assert_int_equal(front->got->len, strlen(text));
    assert_memory_equal(front->got->data, text, strlen(text));
}

static void unconnected_front_end_writes_into_nothing(void **state)
{
    CharBackend be = {0};

    assert_int_equal(char_write(&be, (const uint8_t *)"abc", 3), 3);
    char_accept_input(&be);
    char_detach(&be);
}

static void null_takes_everything(void **state)
{
    Front front;

    front_connect(&front, chardev_new_legacy("n", "null", NULL), 8);
    assert_int_equal(char_write(&front.be, (const uint8_t *)"abc", 3), 3);
    front_release(&front);
}

static void file_holds_what_was_written(void **state)
{
    g_autofree char *path = g_build_filename(g_get_tmp_dir(), "vmm-test-chardev", NULL);
    g_autofree char *spec = g_strconcat("file:", path, NULL);
    g_autofree char *text = NULL;
    Front front;

    front_connect(&front, chardev_new_legacy("f", spec, NULL), 0);
    assert_int_equal(char_write(&front.be, (const uint8_t *)"abc", 3), 3);
    assert_int_equal(char_write(&front.be, (const uint8_t *)"def", 3), 3);
    assert_true(g_file_get_contents(path, &text, NULL, NULL));
    assert_string_equal(text, "abcdef");
    front_release(&front);
    g_unlink(path);
}

static void unwritable_file_is_an_error_that_names_it(void **state)
{
    g_autoptr(GError) err = NULL;

    assert_null(chardev_new_legacy("f", "file:/nonexistent/x", &err));
    assert_non_null(strstr(err->message, "/nonexistent/x"));
    assert_null(chardev_find("f"));
}

static void fifo_without_reader_is_an_error_and_no_wait(void **state)
{
    g_autofree char *path = g_build_filename(g_get_tmp_dir(), "vmm-test-fifo", NULL);
    g_autofree char *spec = g_strconcat("file:", path, NULL);
    g_autoptr(GError) err = NULL;

    g_unlink(path);
    assert_int_equal(mkfifo(path, 0600), 0);
    assert_null(chardev_new_legacy("f", spec, &err));
    assert_non_null(err);
    g_unlink(path);
}

static void unknown_kinds_and_ids_are_named(void **state)
{
    g_autoptr(GError) err = NULL;

    assert_null(chardev_new_legacy("s", "carrier-pigeon:1", &err));
    assert_non_null(strstr(err->message, "'carrier-pigeon:1'"));
    g_clear_error(&err);
    assert_null(chardev_new_legacy("s", "chardev:nobody", &err));
    assert_non_null(strstr(err->message, "'nobody'"));
}

static void an_id_is_used_once(void **state)
{
    g_autoptr(GError) err = NULL;
    Chardev *chr = chardev_new_legacy("a", "null", NULL);

    assert_ptr_equal(chardev_find("a"), chr);
    assert_ptr_equal(chardev_new_legacy("b", "chardev:a", NULL), chr);
    assert_null(chardev_new_legacy("a", "null", &err));
    assert_non_null(strstr(err->message, "'a'"));
}

static void only_a_mux_has_two_front_ends(void **state)
{
    g_autoptr(GError) err = NULL;
    CharBackend one = {0}, two = {0};
    Chardev *chr = chardev_new_legacy("a", "null", NULL);

    assert_true(char_attach(&one, chr, NULL));
    assert_false(char_attach(&two, chr, &err));
    assert_non_null(strstr(err->message, "in use"));
    char_detach(&one);
    assert_true(char_attach(&two, chr, NULL));
}

static void input_waits_until_the_front_end_takes_it(void **state)
{
    Front front;
    int ends[2];

    make_pipe(ends);
    front_connect(&front, chardev_new_fds("p", ends[0], -1, NULL), 0);
    write_text(ends[1], "abcdefgh");
    settle();
    assert_got(&front, "");
    take(&front, 3);
    settle();
    assert_got(&front, "abc");
    take(&front, 100);
    settle();
    assert_got(&front, "abcdefgh");
    front_release(&front);
    close(ends[1]);
}

static void nothing_is_lost_in_small_bites(void **state)
{
    g_autoptr(GByteArray) sent = g_byte_array_new();
    Front front;
    int ends[2];
    gsize offset = 0;

    for (unsigned i = 0; i < 200000; i++) {
        uint8_t byte = (uint8_t)(i * 7 + i / 251);
        g_byte_array_append(sent, &byte, 1);
    }
    make_pipe(ends);
    front_connect(&front, chardev_new_fds("p", ends[0], -1, NULL), 0);
    while (front.got->len < sent->len) {
        ssize_t n = write(ends[1], sent->data + offset, sent->len - offset);
        offset += n > 0 ? (gsize)n : 0;
        take(&front, 13);
        settle();
    }
    assert_memory_equal(front.got->data, sent->data, sent->len);
    front_release(&front);
    close(ends[1]);
}

static void end_of_input_closes_and_output_goes_on(void **state)
{
    Front front;
    int in[2], out[2];
    char buf[4];

    make_pipe(in);
    make_pipe(out);
    front_connect(&front, chardev_new_fds("p", in[0], out[1], NULL), 100);
    assert_int_equal(front.opened, 1);
    write_text(in[1], "last");
    close(in[1]);
    settle();
    assert_got(&front, "last");
    assert_int_equal(front.closed, 1);
    assert_int_equal(char_write(&front.be, (const uint8_t *)"more", 4), 4);
    assert_int_equal(read(out[0], buf, 4), 4);
    front_release(&front);
    close(out[0]);
}

static void full_output_takes_less_and_tells_when_there_is_room(void **state)
{
    static const uint8_t block[1000];
    uint8_t sink[65536];
    Front front;
    int ends[2];
    size_t total = 0, n;

    make_pipe(ends);
    front_connect(&front, chardev_new_fds("p", -1, ends[1], NULL), 0);
    while ((n = char_write(&front.be, block, sizeof(block))) == sizeof(block))
        total += n;
    total += n;
    assert_int_equal(char_write(&front.be, block, 1), 0);
    settle();
    assert_int_equal(front.writable, 0);

    size_t drained = 0;
    while ((n = (size_t)read(ends[0], sink, sizeof(sink))) != (size_t)-1)
        drained += n;
    assert_int_equal(drained, total);
    turn();
    assert_int_equal(front.writable, 1);
    assert_int_equal(char_write(&front.be, block, 1), 1);
    front_release(&front);
    close(ends[0]);
}

static void output_nobody_reads_any_more_vanishes(void **state)
{
    Front front;
    int ends[2];

    make_pipe(ends);
    front_connect(&front, chardev_new_fds("p", -1, ends[1], NULL), 0);
    close(ends[0]);
    assert_int_equal(char_write(&front.be, (const uint8_t *)"abc", 3), 3);
    assert_int_equal(char_write(&front.be, (const uint8_t *)"abc", 3), 3);
    front_release(&front);
}

static void freed_backend_leaves_its_front_end_unconnected(void **state)
{
    Front front;
    int ends[2];

    make_pipe(ends);
    front_connect(&front, chardev_new_fds("p", ends[0], -1, NULL), 10);
    chardev_cleanup();
    assert_null(front.be.chr);
    assert_int_equal(char_write(&front.be, (const uint8_t *)"abc", 3), 3);
    g_byte_array_unref(front.got);
    close(ends[1]);
}

/* A mux with two front ends on a pipe in each direction. */
typedef struct MuxFixture {
    Front guest, monitor;
    int in, out; /* our ends */
} MuxFixture;

static void mux_setup(MuxFixture *f, size_t room)
{
    int in[2], out[2];

    make_pipe(in);
    make_pipe(out);
    Chardev *mux = chardev_new_mux("m", chardev_new_fds("m-base", in[0], out[1], NULL), NULL);
    front_connect(&f->guest, mux, room);
    front_connect(&f->monitor, mux, room);
    f->in = in[1];
    f->out = out[0];
}

static void mux_teardown(MuxFixture *f)
{
    front_release(&f->guest);
    front_release(&f->monitor);
    close(f->in);
    close(f->out);
}

static void mux_input_goes_to_the_focus_and_ctrl_a_c_moves_it(void **state)
{
    MuxFixture f;

    mux_setup(&f, 100);
    write_text(f.in, "one\001ctwo\001cthree");
    settle();
    assert_got(&f.guest, "onethree");
    assert_got(&f.monitor, "two");
    mux_teardown(&f);
}

static void mux_output_comes_from_all(void **state)
{
    MuxFixture f;
    char buf[8] = {0};

    mux_setup(&f, 100);
    char_write(&f.guest.be, (const uint8_t *)"ab", 2);
    char_write(&f.monitor.be, (const uint8_t *)"cd", 2);
    assert_int_equal(read(f.out, buf, sizeof(buf)), 4);
    assert_string_equal(buf, "abcd");
    mux_teardown(&f);
}

static void ctrl_a_twice_sends_one(void **state)
{
    MuxFixture f;

    mux_setup(&f, 100);
    write_text(f.in, "x\001\001y\001zb");
    settle();
    assert_got(&f.guest, "x\001yb"); /* an unknown key is dropped with its Ctrl-a */
    mux_teardown(&f);
}

static void ctrl_a_b_is_a_break_and_ctrl_a_h_helps(void **state)
{
    MuxFixture f;
    char buf[1024] = {0};

    mux_setup(&f, 100);
    write_text(f.in, "\001b\001h");
    settle();
    assert_int_equal(f.guest.breaks, 1);
    assert_int_equal(f.monitor.breaks, 0);
    assert_true(read(f.out, buf, sizeof(buf) - 1) > 0);
    assert_non_null(strstr(buf, "C-a x"));
    assert_got(&f.guest, "");
    mux_teardown(&f);
}

static void count_quit(void *opaque)
{
    ++*(unsigned *)opaque;
}

static void ctrl_a_x_quits_even_if_the_guest_takes_nothing(void **state)
{
    unsigned quits = 0;
    MuxFixture f;

    mux_setup(&f, 0);
    chardev_set_quit_hook(count_quit, &quits);
    for (unsigned i = 0; i < 100; i++)
        write_text(f.in, "are you there? ");
    write_text(f.in, "\001x");
    settle();
    assert_int_equal(quits, 1);
    chardev_set_quit_hook(NULL, NULL);
    mux_teardown(&f);
}

static char *pretend_to_commit(void *opaque)
{
    return g_strdup_printf("%d images committed", ++*(int *)opaque);
}

/* What the terminal shows since the last look. */
static void assert_shows(MuxFixture *f, const char *pattern)
{
    char buf[1024] = {0};

    settle();
    assert_true(read(f->out, buf, sizeof(buf) - 1) >= 0);
    if (!g_regex_match_simple(pattern, buf, 0, 0))
        fail_msg("'%s' does not match '%s'", buf, pattern);
}

static void guest_prints(MuxFixture *f, const char *text)
{
    assert_int_equal(char_write(&f->guest.be, (const uint8_t *)text, strlen(text)), strlen(text));
}

static void ctrl_a_s_commits_images_if_there_are_any(void **state)
{
    int commits = 0;
    MuxFixture f;

    mux_setup(&f, 100);
    write_text(f.in, "\001s");
    assert_shows(&f, "^vmm: no image to commit\r\n$");
    chardev_set_commit_hook(pretend_to_commit, &commits);
    write_text(f.in, "\001s");
    assert_shows(&f, "^vmm: 1 images committed\r\n$");
    chardev_set_commit_hook(NULL, NULL);
    mux_teardown(&f);
}

#define STAMP "\\[\\d\\d:\\d\\d:\\d\\d\\.\\d\\d\\d\\] "

static void ctrl_a_t_begins_lines_with_the_time(void **state)
{
    MuxFixture f;

    mux_setup(&f, 100);
    guest_prints(&f, "login: ");
    write_text(f.in, "\001t");
    settle();
    guest_prints(&f, "me\none\ntwo");
    guest_prints(&f, " and\n");
    assert_shows(&f, "^login: me\n" STAMP "one\n" STAMP "two and\n$");
    guest_prints(&f, "\n");
    assert_shows(&f, "^" STAMP "\n$");
    write_text(f.in, "\001t");
    settle();
    guest_prints(&f, "three\nfour\n");
    assert_shows(&f, "^three\nfour\n$");
    mux_teardown(&f);
}

/* A terminal that is full takes a stamp and its line in pieces. */
static void stamped_output_survives_a_slow_terminal(void **state)
{
    g_autoptr(GString) shown = g_string_new(NULL);
    const char *line = "0123456789abcdefghijklmnopqrstuvwxyz\n";
    size_t lines = 3000, done = 0, total = lines * strlen(line);
    MuxFixture f;

    mux_setup(&f, 100);
    write_text(f.in, "\001t");
    settle();
    guest_prints(&f, "\n");
    while (done < total) {
        const char *rest = line + done % strlen(line);
        char buf[509];
        size_t n = char_write(&f.guest.be, (const uint8_t *)rest, strlen(rest));
        done += n;
        if (n == strlen(rest))
            continue;
        ssize_t got = read(f.out, buf, sizeof(buf));
        g_string_append_len(shown, buf, MAX(got, 0));
        settle();
    }
    for (char buf[4096];;) {
        ssize_t got = read(f.out, buf, sizeof(buf));
        if (got <= 0)
            break;
        g_string_append_len(shown, buf, got);
    }
    g_auto(GStrv) rows = g_strsplit(shown->str, "\n", -1);
    assert_int_equal(g_strv_length(rows), lines + 2);
    for (size_t i = 1; i <= lines; i++)
        assert_true(g_regex_match_simple("^" STAMP "0123456789abcdefghijklmnopqrstuvwxyz$", rows[i], 0, 0));
    mux_teardown(&f);
}

static void mux_keeps_what_the_guest_has_not_taken(void **state)
{
    g_autoptr(GByteArray) sent = g_byte_array_new();
    MuxFixture f;
    gsize offset = 0;

    for (unsigned i = 0; i < 300000; i++) {
        uint8_t byte = (uint8_t)(2 + i % 200); /* never Ctrl-a */
        g_byte_array_append(sent, &byte, 1);
    }
    mux_setup(&f, 0);
    while (f.guest.got->len < sent->len) {
        ssize_t n = write(f.in, sent->data + offset, sent->len - offset);
        offset += n > 0 ? (gsize)n : 0;
        settle();
        take(&f.guest, 10000);
        settle();
    }
    assert_memory_equal(f.guest.got->data, sent->data, sent->len);
    mux_teardown(&f);
}

static void stdio_leaves_the_flags_of_shared_descriptors_alone(void **state)
{
    int in[2], out[2];
    Front front;

    assert_int_equal(pipe2(in, O_CLOEXEC), 0);
    assert_int_equal(pipe2(out, O_CLOEXEC), 0);
    front_connect(&front, chardev_new_stdio("s", in[0], out[1], true, NULL), 100);
    assert_false(fcntl(in[0], F_GETFL) & O_NONBLOCK);
    assert_false(fcntl(out[1], F_GETFL) & O_NONBLOCK);
    write_text(in[1], "hello");
    settle();
    assert_got(&front, "hello");
    front_release(&front);
    for (int i = 0; i < 2; i++) {
        close(in[i]);
        close(out[i]);
    }
}

static void stdio_on_a_socket_puts_its_flags_back(void **state)
{
    int ends[2];

    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
    Chardev *chr = chardev_new_stdio("s", ends[0], ends[0], true, NULL);
    assert_non_null(chr);
    assert_true(fcntl(ends[0], F_GETFL) & O_NONBLOCK);
    chardev_free(chr);
    assert_false(fcntl(ends[0], F_GETFL) & O_NONBLOCK);
    close(ends[0]);
    close(ends[1]);
}

static void stdio_has_one_user_at_a_time(void **state)
{
    g_autoptr(GError) err = NULL;
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    Chardev *chr = chardev_new_stdio("s", null, null, true, NULL);

    assert_null(chardev_new_stdio("t", null, null, true, &err));
    assert_non_null(strstr(err->message, "mon:stdio"));
    chardev_free(chr);
    assert_non_null(chardev_new_stdio("t", null, null, true, NULL));
    close(null);
}

static int begin(void **state)
{
    alarm(100);
    machine_lock();
    return 0;
}

static int end(void **state)
{
    chardev_cleanup();
    machine_unlock();
    alarm(0);
    return 0;
}

#define CASE(fn) cmocka_unit_test_setup_teardown(fn, begin, end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(unconnected_front_end_writes_into_nothing),
        CASE(null_takes_everything),
        CASE(file_holds_what_was_written),
        CASE(unwritable_file_is_an_error_that_names_it),
        CASE(fifo_without_reader_is_an_error_and_no_wait),
        CASE(unknown_kinds_and_ids_are_named),
        CASE(an_id_is_used_once),
        CASE(only_a_mux_has_two_front_ends),
        CASE(input_waits_until_the_front_end_takes_it),
        CASE(nothing_is_lost_in_small_bites),
        CASE(end_of_input_closes_and_output_goes_on),
        CASE(full_output_takes_less_and_tells_when_there_is_room),
        CASE(output_nobody_reads_any_more_vanishes),
        CASE(freed_backend_leaves_its_front_end_unconnected),
        CASE(mux_input_goes_to_the_focus_and_ctrl_a_c_moves_it),
        CASE(mux_output_comes_from_all),
        CASE(ctrl_a_twice_sends_one),
        CASE(ctrl_a_b_is_a_break_and_ctrl_a_h_helps),
        CASE(ctrl_a_x_quits_even_if_the_guest_takes_nothing),
        CASE(ctrl_a_s_commits_images_if_there_are_any),
        CASE(ctrl_a_t_begins_lines_with_the_time),
        CASE(stamped_output_survives_a_slow_terminal),
        CASE(mux_keeps_what_the_guest_has_not_taken),
        CASE(stdio_leaves_the_flags_of_shared_descriptors_alone),
        CASE(stdio_on_a_socket_puts_its_flags_back),
        CASE(stdio_has_one_user_at_a_time),
    };

    signal(SIGPIPE, SIG_IGN);
    core_init();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
