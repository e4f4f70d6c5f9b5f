/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * -chardev and -serial: properties, logs, refusals; files, FIFOs and ring buffers
 * (chardev/char.h).
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <fcntl.h>
#include <glib/gstdio.h>
#include <signal.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "chardev-front.h"
#include "core/thread.h"

static char *folder; /* of the files of all cases */

static char *in_folder(const char *name)
{
    return g_build_filename(folder, name, NULL);
}

static void assert_file(const char *path, const char *text)
{
    g_autofree char *found = NULL;

    assert_true(g_file_get_contents(path, &found, NULL, NULL));
    assert_string_equal(found, text);
}

static void file_is_replaced_unless_append_is_on(void **state)
{
    g_autofree char *path = in_folder("appended");
    g_autofree char *replace = g_strdup_printf("file,id=a,path=%s", path);
    g_autofree char *append = g_strdup_printf("file,id=b,path=%s,append=on", path);
    Front front;

    assert_true(g_file_set_contents(path, "old", -1, NULL));
    front_connect(&front, chardev_from(replace), 0);
    front_write(&front, "new");
    front_release(&front);
    front_connect(&front, chardev_from(append), 0);
    front_write(&front, "er");
    front_release(&front);
    assert_file(path, "newer");
}

static void file_has_input_of_its_own(void **state)
{
    g_autofree char *in = in_folder("input"), *out = in_folder("output");
    g_autofree char *options = g_strdup_printf("file,id=a,path=%s,input-path=%s", out, in);
    Front front;

    assert_true(g_file_set_contents(in, "typed", -1, NULL));
    front_connect(&front, chardev_from(options), 3);
    loop_until(front.got->len == 3);
    front_take(&front, 10);
    loop_until(front.closed);
    front_expect(&front, "typed");
    front_release(&front);
}

static void absent_input_leaves_the_output_alone(void **state)
{
    g_autofree char *out = in_folder("kept");
    g_autofree char *options = g_strdup_printf("file,id=a,path=%s,input-path=/nonexistent/in", out);

    assert_true(g_file_set_contents(out, "kept", -1, NULL));
    chardev_refused(options, "/nonexistent/in");
    assert_file(out, "kept");
}

static void pipes_are_two_fifos(void **state)
{
    g_autofree char *base = in_folder("fifo"), *in = in_folder("fifo.in"), *out = in_folder("fifo.out");
    g_autofree char *options = g_strdup_printf("pipe,id=a,path=%s", base);
    char buf[8] = "";
    Front front;

    chardev_refused(options, "mkfifo");
    assert_int_equal(mkfifo(in, 0600), 0);
    chardev_refused(options, "fifo.out");
    assert_int_equal(mkfifo(out, 0600), 0);
    front_connect(&front, chardev_from(options), 100);
    for (int round = 0; round < 2; round++) { /* a writer that leaves is not the end */
        int fd = open(in, O_WRONLY);
        assert_int_equal(write(fd, "in", 2), 2);
        close(fd);
        loop_until(front.got->len == 2u * (round + 1));
    }
    assert_int_equal(front.closed, 0);
    int fd = open(out, O_RDONLY | O_NONBLOCK);
    assert_int_equal(front_write(&front, "out"), 3);
    assert_int_equal(read(fd, buf, sizeof(buf)), 3);
    assert_string_equal(buf, "out");
    close(fd);
    front_release(&front);
}

static void ringbuf_keeps_the_last_bytes(void **state)
{
    uint8_t buf[16];
    Front front;
    Chardev *chr = chardev_from("ringbuf,id=r,size=8");

    front_connect(&front, chr, 0);
    assert_true(chardev_is_ringbuf(chr));
    assert_int_equal(front_write(&front, "0123456789"), 10);
    assert_int_equal(chardev_ringbuf_read(chr, buf, 3), 3);
    assert_memory_equal(buf, "234", 3);
    front_write(&front, "ab");
    assert_int_equal(chardev_ringbuf_read(chr, buf, sizeof(buf)), 7);
    assert_memory_equal(buf, "56789ab", 7);
    assert_int_equal(chardev_ringbuf_read(chr, buf, sizeof(buf)), 0);
    front_release(&front);
}

static void ringbuf_sizes_are_powers_of_two(void **state)
{
    chardev_refused("ringbuf,id=r,size=1000", "size=1000");
    chardev_refused("ringbuf,id=r,size=0", "size=0");
    chardev_refused("ringbuf,id=r,size=1T", "size=");
    chardev_refused("ringbuf,id=r,size=much", "size=much");
}

static void log_holds_what_was_taken(void **state)
{
    g_autofree char *path = in_folder("log");
    g_autofree char *options = g_strdup_printf("null,id=n,logfile=%s", path);
    g_autofree char *append = g_strdup_printf("ringbuf,id=m,mux=on,logfile=%s,logappend=on", path);
    Front front;

    front_connect(&front, chardev_from(options), 0);
    front_write(&front, "one ");
    front_release(&front);
    front_connect(&front, chardev_from(append), 0);
    front_write(&front, "two");
    front_release(&front);
    assert_file(path, "one two");
    chardev_refused("null,id=o,logfile=/nonexistent/log", "/nonexistent/log");
}

static void full_log_does_not_stop_the_device(void **state)
{
    Front front;

    front_connect(&front, chardev_from("null,id=n,logfile=/dev/full"), 0);
    assert_int_equal(front_write(&front, "one"), 3);
    assert_int_equal(front_write(&front, "two"), 3);
    front_release(&front);
}

static void mux_on_has_the_id_and_several_users(void **state)
{
    Chardev *chr = chardev_from("null,id=m,mux=on");
    Front one, two;

    assert_ptr_equal(chardev_find("m"), chr);
    front_connect(&one, chr, 0);
    front_connect(&two, chr, 0);
    front_release(&one);
    front_release(&two);
}

static void json_means_the_same(void **state)
{
    chardev_from("{\"backend\": \"ringbuf\", \"id\": \"j\", \"size\": 64, \"mux\": true}");
    assert_non_null(chardev_find("j"));
    chardev_refused("{\"backend\": \"null\", \"id\": \"k\", \"logfile\": {\"a\": 1}}", "logfile");
}

static void mistakes_are_named_with_the_remedy(void **state)
{
    chardev_refused("nul,id=a", "did you mean 'null'");
    chardev_refused("id=a", "-chardev help");
    chardev_refused("null", "id= is missing");
    chardev_refused("null,id=1a", "id=1a");
    chardev_refused("null,id=a,path=x", "'path'");
    chardev_refused("file,id=a,pth=x", "did you mean 'path'");
    chardev_refused("file,id=a", "path= is missing");
    chardev_refused("file,id=a,path=x,append=maybe", "append=maybe");
    chardev_refused("file,id=a,path=/nonexistent/x", "/nonexistent/x");
    assert_null(chardev_find("a"));
}

static void id_in_use_leaves_the_file_alone(void **state)
{
    g_autofree char *path = in_folder("precious");
    g_autofree char *options = g_strdup_printf("file,id=a,path=%s", path);

    assert_true(g_file_set_contents(path, "precious", -1, NULL));
    chardev_from("null,id=a");
    chardev_refused(options, "'a' is used twice");
    assert_file(path, "precious");
}

static void legacy_paths_may_have_commas(void **state)
{
    g_autofree char *path = in_folder("a,b=c,,d");
    g_autofree char *spec = g_strconcat("file:", path, NULL);
    Front front;

    front_connect(&front, chardev_new_legacy("serial0", spec, NULL), 0);
    front_write(&front, "x");
    front_release(&front);
    assert_file(path, "x");
}

static void help_lists_every_backend_or_one(void **state)
{
    g_autoptr(GString) all = g_string_new(NULL), one = g_string_new(NULL);

    chardev_print_help(NULL, all);
    chardev_print_help("ringbuf", one);
    assert_non_null(strstr(all->str, "  file  "));
    assert_non_null(strstr(one->str, "  size=<size>  "));
    assert_non_null(strstr(one->str, "  logfile=<str>  "));
    assert_null(strstr(one->str, "stdio"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        CHARDEV_CASE(file_is_replaced_unless_append_is_on),
        CHARDEV_CASE(file_has_input_of_its_own),
        CHARDEV_CASE(absent_input_leaves_the_output_alone),
        CHARDEV_CASE(pipes_are_two_fifos),
        CHARDEV_CASE(ringbuf_keeps_the_last_bytes),
        CHARDEV_CASE(ringbuf_sizes_are_powers_of_two),
        CHARDEV_CASE(log_holds_what_was_taken),
        CHARDEV_CASE(full_log_does_not_stop_the_device),
        CHARDEV_CASE(mux_on_has_the_id_and_several_users),
        CHARDEV_CASE(json_means_the_same),
        CHARDEV_CASE(mistakes_are_named_with_the_remedy),
        CHARDEV_CASE(id_in_use_leaves_the_file_alone),
        CHARDEV_CASE(legacy_paths_may_have_commas),
        CHARDEV_CASE(help_lists_every_backend_or_one),
    };

    signal(SIGPIPE, SIG_IGN);
    core_init();
    folder = g_dir_make_tmp("vmm-chardev-XXXXXX", NULL);
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    g_autofree char *remove = g_strdup_printf("rm -r '%s'", folder);
    return system(remove) ? 1 : failed;
}
