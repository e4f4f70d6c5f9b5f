/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Socket character devices: addresses, servers and clients, inherited descriptors, telnet, what is
 * refused, what is left behind (nothing).
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "chardev-front.h"
#include "core/thread.h"

static char *path;

static struct sockaddr_un unix_address(const char *name, bool abstract)
{
    struct sockaddr_un addr = {.sun_family = AF_UNIX};

    memcpy(addr.sun_path + abstract, name, strlen(name));
    return addr;
}

static int dial_unix(void)
{
    struct sockaddr_un addr = unix_address(path, false);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    assert_int_equal(connect(fd, (struct sockaddr *)&addr, sizeof(addr)), 0);
    return fd;
}

static int listen_unix(void)
{
    struct sockaddr_un addr = unix_address(path, false);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    assert_int_equal(bind(fd, (struct sockaddr *)&addr, sizeof(addr)), 0);
    assert_int_equal(listen(fd, 1), 0);
    return fd;
}

/* A listening TCP socket on the loopback address, and its port. */
static int listen_tcp(unsigned *port)
{
    struct sockaddr_in addr = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(addr);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    assert_int_equal(bind(fd, (struct sockaddr *)&addr, len), 0);
    assert_int_equal(listen(fd, 1), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&addr, &len), 0);
    *port = ntohs(addr.sin_port);
    return fd;
}

static int dial_tcp(unsigned port)
{
    struct sockaddr_in addr = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    addr.sin_port = htons((uint16_t)port);
    assert_int_equal(connect(fd, (struct sockaddr *)&addr, sizeof(addr)), 0);
    return fd;
}

static unsigned free_port(void)
{
    unsigned port;

    close(listen_tcp(&port));
    return port;
}

/* Both directions between the front end and the peer. */
static void check_talk(Front *front, int fd)
{
    char buf[8] = "";

    front_take(front, 100);
    g_byte_array_set_size(front->got, 0);
    assert_int_equal(write(fd, "in", 2), 2);
    loop_until(front->got->len == 2); /* from now on a server knows that the peer is there */
    front_expect(front, "in");
    assert_int_equal(front_write(front, "out"), 3);
    loop_receive(fd, buf, 3);
    assert_string_equal(buf, "out");
}

static void connect_front(Front *front, const char *format, ...) G_GNUC_PRINTF(2, 3);
static void connect_front(Front *front, const char *format, ...)
{
    va_list ap;

    va_start(ap, format);
    g_autofree char *options = g_strdup_vprintf(format, ap);
    va_end(ap);
    front_connect(front, chardev_from(options), 0);
}

static void unix_server_serves_one_peer_after_another_and_is_unlinked(void **state)
{
    Front front;

    connect_front(&front, "socket,id=s,path=%s,server=on,wait=off", path);
    int first = dial_unix(), second = dial_unix(); /* the second waits */
    check_talk(&front, first);
    close(first);
    check_talk(&front, second);
    close(second);
    front_release(&front);
    chardev_cleanup();
    assert_int_equal(access(path, F_OK), -1);
}

static void abstract_names_have_no_file(void **state)
{
    struct sockaddr_un addr = unix_address(path, true);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    Front front;

    connect_front(&front, "socket,id=s,path=%s,abstract=on,server=on,wait=off", path);
    assert_int_equal(connect(fd, (struct sockaddr *)&addr, offsetof(struct sockaddr_un, sun_path) + 1 + strlen(path)), 0);
    check_talk(&front, fd);
    assert_int_equal(access(path, F_OK), -1);
    close(fd);
    front_release(&front);
}

static void tcp_server_is_on_the_loopback_address(void **state)
{
    g_autoptr(GError) err = NULL;
    unsigned port = free_port();
    g_autofree char *spec = g_strdup_printf("tcp::%u,server,nowait,nodelay", port);
    Front front;

    front_connect(&front, chardev_new_legacy("serial0", spec, &err), 0);
    int fd = dial_tcp(port);
    check_talk(&front, fd);
    close(fd);
    front_release(&front);
}

static void tcp_client_connects_at_start(void **state)
{
    unsigned port;
    int listener = listen_tcp(&port);
    Front front;

    connect_front(&front, "socket,id=s,host=localhost,ipv4=on,port=%u", port);
    int fd = accept(listener, NULL, NULL);
    check_talk(&front, fd);
    close(fd);
    loop_until(front.closed);
    assert_int_equal(front_write(&front, "nobody comes any more"), 21);
    close(listener);
    front_release(&front);
}

static void client_without_a_server_is_an_error_unless_it_reconnects(void **state)
{
    g_autofree char *options = g_strdup_printf("socket,id=s,path=%s", path);
    Front front;

    chardev_refused(options, "reconnect=");
    connect_front(&front, "socket,id=s,path=%s,reconnect=1", path);
    assert_int_equal(front_write(&front, "kept "), 5);
    int listener = listen_unix();
    for (int round = 0; round < 2; round++) {
        unsigned opened = front.opened;
        char buf[8] = "";
        loop_until(front.opened == opened + 1);
        int fd = accept(listener, NULL, NULL);
        loop_receive(fd, buf, 5);
        assert_string_equal(buf, "kept ");
        check_talk(&front, fd);
        unsigned closed = front.closed;
        close(fd);
        loop_until(front.closed == closed + 1);
        assert_int_equal(front_write(&front, "kept "), 5);
    }
    close(listener);
    unlink(path);
    front_release(&front);
}

static void reconnecting_tcp_client_meets_refusal_and_success(void **state)
{
    unsigned port = free_port(), opened;
    Front front;

    connect_front(&front, "socket,id=s,host=127.0.0.1,port=%u,reconnect=1", port);
    loop_settle();
    struct sockaddr_in addr = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
                               .sin_port = htons((uint16_t)port)};
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), on = 1;
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
    assert_int_equal(bind(listener, (struct sockaddr *)&addr, sizeof(addr)), 0);
    assert_int_equal(listen(listener, 1), 0);
    opened = front.opened;
    loop_until(front.opened == opened + 1);
    int fd = accept(listener, NULL, NULL);
    check_talk(&front, fd);
    close(fd);
    close(listener);
    front_release(&front);
}

static void inherited_sockets_are_used(void **state)
{
    int pair[2], listener = listen_unix();
    Front front;

    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
    connect_front(&front, "socket,id=c,fd=%d", pair[0]);
    check_talk(&front, pair[1]);
    close(pair[1]);
    front_release(&front);

    connect_front(&front, "socket,id=l,fd=%d,server=on,wait=off", listener);
    int fd = dial_unix();
    check_talk(&front, fd);
    close(fd);
    front_release(&front);
    chardev_cleanup();
    assert_int_equal(access(path, F_OK), 0); /* not made by us */
    unlink(path);
}

static void inherited_descriptors_are_checked(void **state)
{
    int pair[2], file = open("/dev/null", O_RDWR);
    g_autofree char *no_socket = g_strdup_printf("socket,id=s,fd=%d", file);

    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
    g_autofree char *no_server = g_strdup_printf("socket,id=s,fd=%d,server=on,wait=off", pair[0]);
    chardev_refused(no_socket, "no socket");
    chardev_refused(no_server, "leave out server=on");
    chardev_refused("socket,id=s,fd=1", "fd=1");
    chardev_refused("socket,id=s,fd=999", "fd=999");
    chardev_refused("socket,id=s,fd=5,port=80", "port=");
    close(file);
    close(pair[0]);
    close(pair[1]);
}

static void wait_ends_with_the_first_peer(void **state)
{
    pid_t peer = fork();
    Front front;

    if (peer == 0) {
        struct sockaddr_un addr = unix_address(path, false);
        int fd;
        char buf[4];
        do /* until the parent listens */
            fd = socket(AF_UNIX, SOCK_STREAM, 0);
        while (connect(fd, (struct sockaddr *)&addr, sizeof(addr)) < 0 && usleep(1000) == 0 && close(fd) == 0);
        _exit(recv(fd, buf, 3, MSG_WAITALL) == 3 && memcmp(buf, "out", 3) == 0 ? 0 : 1);
    }
    connect_front(&front, "socket,id=s,path=%s,server=on", path);
    assert_int_equal(front_write(&front, "out"), 3);
    int status;
    assert_int_equal(waitpid(peer, &status, 0), peer);
    assert_int_equal(status, 0);
    front_release(&front);
}

static void signal_while_waiting_leaves_no_socket(void **state)
{
    pid_t child = fork();
    int status;

    if (child == 0) {
        g_autofree char *options = g_strdup_printf("socket,id=s,path=%s,server=on", path);
        g_autoptr(KvNode) kv = keyval_parse(options, "backend", NULL);
        chardev_new_from_options(kv, NULL);
        _exit(1);
    }
    while (access(path, F_OK) < 0)
        usleep(1000);
    kill(child, SIGTERM);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGTERM);
    assert_int_equal(access(path, F_OK), -1);
}

static void telnet_negotiates_and_doubles_iac(void **state)
{
    unsigned port = free_port();
    uint8_t buf[64];
    Front front;

    connect_front(&front, "socket,id=s,port=%u,server=on,wait=off,telnet=on", port);
    front.room = 100;
    int fd = dial_tcp(port);
    loop_until(front.opened == 1);
    loop_receive(fd, buf, 12);
    assert_memory_equal(buf, "\xff\xfb\x01", 3);
    front_write(&front, "a\xff" "b");
    loop_receive(fd, buf, 4);
    assert_memory_equal(buf, "a\xff\xff" "b", 4);
    assert_int_equal(write(fd, "x\xff\xfd\x18\xff\xf3\xff\xffy", 9), 9);
    loop_until(front.got->len == 3);
    front_expect(&front, "x\xffy");
    assert_int_equal(front.breaks, 1);
    loop_receive(fd, buf, 3);
    assert_memory_equal(buf, "\xff\xfc\x18", 3);
    close(fd);
    front_release(&front);
}

static void telnet_output_of_iac_alone_survives_a_slow_peer(void **state)
{
    g_autofree char *block = g_strnfill(50000, '\xff');
    unsigned port = free_port();
    size_t got = 0, total = 0;
    uint8_t buf[501];
    Front front;

    connect_front(&front, "socket,id=s,port=%u,server=on,wait=off,telnet=on", port);
    int fd = dial_tcp(port);
    loop_until(front.opened == 1);
    loop_receive(fd, buf, 12);
    while (total < 8000000 || got < 2 * total) {
        if (total < 8000000)
            total += front_write(&front, block);
        ssize_t n = recv(fd, buf, sizeof(buf), MSG_DONTWAIT);
        for (ssize_t i = 0; i < n; i++)
            assert_int_equal(buf[i], 0xff);
        got += n > 0 ? (size_t)n : 0;
        loop_settle();
    }
    assert_int_equal(got, 2 * total);
    close(fd);
    front_release(&front);
}

static void mistakes_are_named(void **state)
{
    unsigned port;
    int listener = listen_tcp(&port);
    g_autofree char *busy = g_strdup_printf("socket,id=s,port=%u,server=on,wait=off", port);
    g_autofree char *number = g_strdup_printf("127.0.0.1:%u is in use", port);

    chardev_refused(busy, number);
    chardev_refused("socket,id=s", "path=PATH");
    chardev_refused("socket,id=s,port=0", "port=0");
    chardev_refused("socket,id=s,port=99999", "port=99999");
    chardev_refused("socket,id=s,port=ssh", "port=ssh");
    chardev_refused("socket,id=s,path=/x,port=1", "exclude");
    chardev_refused("socket,id=s,path=/nonexistent/s,server=on,wait=off", "/nonexistent/s");
    chardev_refused("socket,id=s,path=/dev/null,server=on,wait=off", "not a socket");
    chardev_refused("socket,id=s,path=/x,wait=on", "wait=on");
    chardev_refused("socket,id=s,path=/x,server=on,reconnect=1", "reconnect=1");
    chardev_refused("socket,id=s,path=/x,reconnect=soon", "reconnect=soon");
    chardev_refused("socket,id=s,port=1,ipv4=off,ipv6=off", "ipv6=off");
    chardev_refused("socket,id=s,port=1,serve=on", "did you mean 'server'");
    assert_null(chardev_find("s"));
    close(listener);
}

static void busy_path_is_refused_and_a_stale_one_replaced(void **state)
{
    g_autofree char *options = g_strdup_printf("socket,id=s,path=%s,server=on,wait=off", path);
    int other = listen_unix();

    chardev_refused(options, "another program listens");
    assert_int_equal(access(path, F_OK), 0);
    close(other);
    chardev_from(options);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        CHARDEV_CASE(unix_server_serves_one_peer_after_another_and_is_unlinked),
        CHARDEV_CASE(abstract_names_have_no_file),
        CHARDEV_CASE(tcp_server_is_on_the_loopback_address),
        CHARDEV_CASE(tcp_client_connects_at_start),
        CHARDEV_CASE(client_without_a_server_is_an_error_unless_it_reconnects),
        CHARDEV_CASE(reconnecting_tcp_client_meets_refusal_and_success),
        CHARDEV_CASE(inherited_sockets_are_used),
        CHARDEV_CASE(inherited_descriptors_are_checked),
        CHARDEV_CASE(wait_ends_with_the_first_peer),
        CHARDEV_CASE(signal_while_waiting_leaves_no_socket),
        CHARDEV_CASE(telnet_negotiates_and_doubles_iac),
        CHARDEV_CASE(telnet_output_of_iac_alone_survives_a_slow_peer),
        CHARDEV_CASE(mistakes_are_named),
        CHARDEV_CASE(busy_path_is_refused_and_a_stale_one_replaced),
    };

    signal(SIGPIPE, SIG_IGN);
    core_init();
    path = g_strdup_printf("%s/vmm-socket-%d", g_get_tmp_dir(), getpid());
    return cmocka_run_group_tests(tests, NULL, NULL);
}
