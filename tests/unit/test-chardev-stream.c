/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What happens to bytes while peers are slow, leave and come (src/chardev/stream.h), over a unix
 * socket.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <errno.h>
#include <glib/gstdio.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "chardev-front.h"
#include "core/thread.h"
#include "src/chardev/stream.h"

static char *path;

static Chardev *server(const char *more)
{
    g_autofree char *options = g_strdup_printf("socket,id=s,path=%s,server=on,wait=off%s", path, more);

    return chardev_from(options);
}

static int dial(void)
{
    struct sockaddr_un addr = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    memcpy(addr.sun_path, path, strlen(path));
    assert_int_equal(connect(fd, (struct sockaddr *)&addr, sizeof(addr)), 0);
    return fd;
}

static bool is_readable(int fd)
{
    struct pollfd pfd = {.fd = fd, .events = POLLIN};

    return poll(&pfd, 1, 0) > 0;
}

/* Connects and waits until the backend has taken the connection. */
static int join(Front *front)
{
    unsigned opened = front->opened;
    int fd = dial();

    loop_until(front->opened == opened + 1);
    return fd;
}

/* The peer says goodbye and reads what is left. */
static void leave(Front *front, int fd, GByteArray *got)
{
    unsigned closed = front->closed;
    uint8_t buf[4096];
    ssize_t n;

    shutdown(fd, SHUT_WR);
    loop_until(front->closed == closed + 1);
    while ((n = read(fd, buf, sizeof(buf))) > 0)
        g_byte_array_append(got, buf, (guint)n);
    assert_int_equal(n, 0);
    close(fd);
}

/* The bytes of the guest's output at an offset. */
static void fill(uint8_t *buf, size_t len, uint64_t offset)
{
    for (size_t i = 0; i < len; i++)
        buf[i] = (uint8_t)((offset + i) * 2654435761u >> 13);
}

/* A device that always has more to write: until it is refused, or the end. */
static void pour(Front *front, uint64_t *written, uint64_t end)
{
    uint8_t block[1024];
    size_t len, taken;

    do {
        len = MIN(sizeof(block), end - *written);
        fill(block, len, *written);
        taken = char_write(&front->be, block, len);
        *written += taken;
    } while (len && taken == len);
}

static void slow_peers_that_leave_and_return_lose_nothing(void **state)
{
    enum { TOTAL = 20 << 20, PER_PEER = 3 << 20 };
    g_autoptr(GByteArray) got = g_byte_array_new();
    uint64_t written = 0;
    Front front;

    front_connect(&front, server(""), 0);
    int fd = join(&front);
    for (uint64_t quota = PER_PEER; got->len < TOTAL;) {
        uint8_t buf[777];
        pour(&front, &written, TOTAL);
        assert_true(written - got->len <= STREAM_QUEUE_SIZE + (1 << 20)); /* ours and the kernel's */
        loop_until(is_readable(fd));
        ssize_t n = read(fd, buf, sizeof(buf));
        assert_true(n > 0);
        g_byte_array_append(got, buf, (guint)n);
        loop_settle();
        if (got->len >= quota) {
            leave(&front, fd, got);
            pour(&front, &written, TOTAL);
            fd = join(&front);
            quota = got->len + PER_PEER;
        }
    }
    assert_int_equal(got->len, TOTAL);
    for (size_t i = 0; i < TOTAL; i += 4096) {
        uint8_t expected[4096];
        fill(expected, sizeof(expected), i);
        assert_memory_equal(got->data + i, expected, sizeof(expected));
    }
    close(fd);
    front_release(&front);
}

static void nobody_there_yet_means_output_vanishes(void **state)
{
    g_autofree char *block = g_strnfill(STREAM_QUEUE_SIZE * 2, 'x');
    char buf[8];
    Front front;

    front_connect(&front, server(""), 0);
    assert_int_equal(front_write(&front, block), STREAM_QUEUE_SIZE * 2);
    int fd = join(&front);
    front_write(&front, "now");
    assert_int_equal(read(fd, buf, sizeof(buf)), 3);
    assert_memory_equal(buf, "now", 3);
    close(fd);
    front_release(&front);
}

static void guest_goes_on_when_a_peer_does_not_return(void **state)
{
    g_autofree char *block = g_strnfill(STREAM_QUEUE_SIZE, 'x');
    g_autoptr(GByteArray) got = g_byte_array_new();
    Front front;

    front_connect(&front, server(",hold=1"), 0);
    leave(&front, join(&front), got);
    assert_int_equal(front_write(&front, "first"), 5);
    assert_int_equal(front_write(&front, block), STREAM_QUEUE_SIZE - 5);
    assert_int_equal(front_write(&front, "y"), 0);
    assert_int_equal(front.writable, 0);
    loop_until(front.writable); /* a second later */
    assert_int_equal(front_write(&front, block), STREAM_QUEUE_SIZE);
    /* A late peer continues where the last one left, up to what was kept. */
    int fd = join(&front);
    leave(&front, fd, got);
    assert_int_equal(got->len, STREAM_QUEUE_SIZE);
    assert_memory_equal(got->data, "first", 5);
    front_release(&front);
}

static void peer_that_vanishes_while_the_guest_writes_is_no_matter(void **state)
{
    g_autofree char *block = g_strnfill(STREAM_QUEUE_SIZE, 'x');
    Front front;

    front_connect(&front, server(",hold=0"), 10);
    for (int round = 0; round < 20; round++) {
        int fd = join(&front);
        unsigned closed = front.closed;
        front_write(&front, block);
        assert_int_equal(write(fd, "bye", 3), 3);
        close(fd); /* with everything unread */
        loop_until(front.closed == closed + 1);
        front_take(&front, 10);
    }
    assert_int_equal(front.got->len, 60);
    front_release(&front);
}

static void input_waits_for_the_guest(void **state)
{
    g_autofree char *block = g_strnfill(100000, 'i');
    Front front;

    front_connect(&front, server(""), 0);
    int fd = join(&front);
    ssize_t sent = send(fd, block, 100000, MSG_DONTWAIT);
    assert_true(sent > 0);
    loop_settle();
    assert_int_equal(front.got->len, 0);
    while (front.got->len < (guint)sent) {
        front_take(&front, 16);
        loop_turn();
    }
    close(fd);
    front_release(&front);
}

static void what_a_peer_typed_before_leaving_still_arrives(void **state)
{
    Front front;

    front_connect(&front, server(""), 0);
    int fd = join(&front);
    unsigned closed = front.closed;
    assert_int_equal(write(fd, "reboot\n", 7), 7);
    close(fd);
    loop_until(front.closed == closed + 1); /* so the next peer can connect */
    fd = join(&front);
    assert_int_equal(write(fd, "again\n", 6), 6);
    front_take(&front, 7);
    front_expect(&front, "reboot\n");
    front_take(&front, 6);
    loop_until(front.got->len == 13);
    front_expect(&front, "reboot\nagain\n");
    close(fd);
    front_release(&front);
}

static void flooding_and_leaving_is_bounded(void **state)
{
    g_autofree char *block = g_strnfill(1 << 16, 'f');
    Front front;

    front_connect(&front, server(""), 0);
    for (int round = 0; round < 20; round++) {
        int fd = join(&front);
        unsigned closed = front.closed;
        while (send(fd, block, 1 << 16, MSG_DONTWAIT) > 0)
            continue;
        close(fd);
        loop_until(front.closed == closed + 1);
    }
    while (front.room == 0) {
        guint before = front.got->len;
        front_take(&front, 4096);
        if (front.got->len == before)
            break;
    }
    assert_true(front.got->len > 0 && front.got->len <= (256 << 10) + 4096);
    front_release(&front);
}

static void what_is_queued_is_sent_at_the_end(void **state)
{
    g_autofree char *block = g_strnfill(STREAM_QUEUE_SIZE, 'x');
    size_t total = 0;
    char buf[4096];
    ssize_t n;
    Front front;

    front_connect(&front, server(""), 0);
    int fd = join(&front);
    for (size_t taken = 1; taken; total += taken) /* fills the kernel's buffer and part of the queue */
        taken = total > (400 << 10) ? 0 : front_write(&front, block);
    front_release(&front);
    pid_t reader = fork();
    if (reader == 0) {
        while (total && (n = read(fd, buf, sizeof(buf))) > 0)
            total -= (size_t)n;
        _exit(total ? 1 : 0);
    }
    chardev_cleanup();
    close(fd);
    int status;
    assert_int_equal(waitpid(reader, &status, 0), reader);
    assert_int_equal(status, 0);
}

static void peer_that_never_reads_does_not_stop_the_end(void **state)
{
    g_autofree char *block = g_strnfill(STREAM_QUEUE_SIZE, 'x');
    Front front;

    front_connect(&front, server(""), 0);
    int fd = join(&front);
    while (front_write(&front, block) == STREAM_QUEUE_SIZE)
        continue;
    front_release(&front);
    chardev_cleanup(); /* alarm(2) if it waits for ever */
    close(fd);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        CHARDEV_CASE(slow_peers_that_leave_and_return_lose_nothing),
        CHARDEV_CASE(nobody_there_yet_means_output_vanishes),
        CHARDEV_CASE(guest_goes_on_when_a_peer_does_not_return),
        CHARDEV_CASE(peer_that_vanishes_while_the_guest_writes_is_no_matter),
        CHARDEV_CASE(input_waits_for_the_guest),
        CHARDEV_CASE(what_a_peer_typed_before_leaving_still_arrives),
        CHARDEV_CASE(flooding_and_leaving_is_bounded),
        CHARDEV_CASE(what_is_queued_is_sent_at_the_end),
        CHARDEV_CASE(peer_that_never_reads_does_not_stop_the_end),
    };

    signal(SIGPIPE, SIG_IGN);
    core_init();
    path = g_strdup_printf("%s/vmm-stream-%d", g_get_tmp_dir(), getpid());
    return cmocka_run_group_tests(tests, NULL, NULL);
}
