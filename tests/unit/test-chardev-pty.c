/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The pty character device: the slave is opened, closed and opened again.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "chardev-front.h"
#include "core/thread.h"

/* The chardev, and the slave's name out of what is printed on stdout. */
static Chardev *new_pty(char name[64])
{
    int ends[2], saved = dup(STDOUT_FILENO);
    char text[128] = "", id[16];

    assert_int_equal(pipe(ends), 0);
    dup2(ends[1], STDOUT_FILENO);
    Chardev *chr = chardev_from("pty,id=p");
    dup2(saved, STDOUT_FILENO);
    assert_true(read(ends[0], text, sizeof(text) - 1) > 0);
    close(saved);
    close(ends[0]);
    close(ends[1]);
    assert_int_equal(sscanf(text, "char device redirected to %63s (label %15[^)])\n", name, id), 2);
    assert_string_equal(id, "p");
    return chr;
}

static int open_slave(const char *name)
{
    int fd = open(name, O_RDWR | O_NOCTTY | O_CLOEXEC);

    assert_true(fd >= 0);
    return fd;
}

static void read_text(int fd, const char *text)
{
    char buf[64];

    loop_receive(fd, buf, strlen(text));
    assert_memory_equal(buf, text, strlen(text));
}

static void output_before_the_first_opening_vanishes(void **state)
{
    g_autofree char *block = g_strnfill(1 << 20, 'x');
    char name[64];
    Front front;

    front_connect(&front, new_pty(name), 0);
    assert_int_equal(front_write(&front, block), 1 << 20);
    int slave = open_slave(name);
    assert_int_equal(front_write(&front, "hello\n"), 6); /* notices the opening */
    read_text(slave, "hello\n");
    close(slave);
    front_release(&front);
}

static void bytes_go_both_ways_unchanged(void **state)
{
    char name[64];
    Front front;

    front_connect(&front, new_pty(name), 100);
    int slave = open_slave(name);
    assert_int_equal(write(slave, "\x03\x04\r\n\x7f", 5), 5);
    loop_until(front.got->len == 5);
    front_expect(&front, "\x03\x04\r\n\x7f");
    front_write(&front, "\x13\n\xff");
    read_text(slave, "\x13\n\xff");
    close(slave);
    front_release(&front);
}

static void closing_and_opening_again_loses_nothing(void **state)
{
    char name[64];
    Front front;

    front_connect(&front, new_pty(name), 100);
    unsigned closed = front.closed;
    int slave = open_slave(name);
    front_write(&front, "one");
    read_text(slave, "one");
    close(slave);
    loop_until(front.closed == closed + 1);
    assert_int_equal(front_write(&front, "two"), 3);
    slave = open_slave(name);
    front_write(&front, "three");
    read_text(slave, "twothree");
    assert_int_equal(write(slave, "in", 2), 2);
    loop_until(front.got->len == 2);
    close(slave);
    front_release(&front);
}

static void slave_is_gone_with_the_backend(void **state)
{
    char name[64];

    new_pty(name);
    chardev_cleanup();
    assert_int_equal(access(name, F_OK), -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        CHARDEV_CASE(output_before_the_first_opening_vanishes),
        CHARDEV_CASE(bytes_go_both_ways_unchanged),
        CHARDEV_CASE(closing_and_opening_again_loses_nothing),
        CHARDEV_CASE(slave_is_gone_with_the_backend),
    };

    signal(SIGPIPE, SIG_IGN);
    core_init();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
