/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The client side of qtest. The vmm's path comes from the environment (VMM_BINARY).
 */
#include "qtest.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define CHILD_FD 3 /* the connection's descriptor in the vmm */

/* --- Processes --- */

static int64_t now_ms(void)
{
    return g_get_monotonic_time() / 1000;
}

static bool wait_readable(int fd, int64_t deadline_ms)
{
    struct pollfd pfd = {.fd = fd, .events = POLLIN};
    int rc;

    do
        rc = poll(&pfd, 1, MAX(deadline_ms - now_ms(), 0));
    while (rc < 0 && errno == EINTR);
    return rc > 0;
}

static char **make_argv(const char *args, bool serial)
{
    g_autofree char *line =
        g_strdup_printf("%s -accel qtest -qtest fd:%d -m 64 -nodefaults%s%s%s", getenv("VMM_BINARY"), CHILD_FD,
                        serial ? " -serial stdio" : "", args ? " " : "", args ? args : "");

    return g_strsplit(line, " ", -1);
}

/* In the child: nothing here may return. */
static void G_GNUC_NORETURN run_vmm(char **argv, int fd, int serial_in, int serial_out)
{
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    dup2(serial_in, STDIN_FILENO);
    if (serial_out >= 0)
        dup2(serial_out, STDOUT_FILENO);
    dup2(fd, CHILD_FD);
    fcntl(CHILD_FD, F_SETFD, 0);
    execv(argv[0], argv);
    fprintf(stderr, "%s: %s\n", argv[0], strerror(errno));
    _exit(127);
}

static QTest *start(const char *args, bool serial)
{
    g_auto(GStrv) argv = make_argv(args, serial);
    QTest *qt = g_new0(QTest, 1);
    int sock[2], in[2] = {-1, -1}, out[2] = {-1, -1};

    assert_non_null(getenv("VMM_BINARY"));
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sock), 0);
    if (serial) {
        assert_int_equal(pipe2(in, O_CLOEXEC), 0);
        assert_int_equal(pipe2(out, O_CLOEXEC), 0);
    } else {
        in[0] = open("/dev/null", O_RDWR | O_CLOEXEC);
    }
    qt->pid = fork();
    assert_true(qt->pid >= 0);
    if (qt->pid == 0)
        run_vmm(argv, sock[1], in[0], out[1]);
    close(sock[1]);
    close(in[0]);
    if (serial)
        close(out[1]);
    qt->fd = sock[0];
    qt->serial_in = in[1];
    qt->serial_out = out[0];
    qt->input = g_string_new(NULL);
    return qt;
}

QTest *qt_start(const char *args)
{
    return start(args, false);
}

QTest *qt_start_serial(const char *args)
{
    return start(args, true);
}

static void qt_free(QTest *qt)
{
    close(qt->fd);
    if (qt->serial_in >= 0)
        close(qt->serial_in);
    if (qt->serial_out >= 0)
        close(qt->serial_out);
    g_string_free(qt->input, TRUE);
    g_free(qt);
}

int qt_wait_exit(QTest *qt)
{
    int64_t deadline = now_ms() + QT_TIMEOUT_MS;
    char drain[256];
    int status = 0;

    /* The connection ends when the process does. */
    while (wait_readable(qt->fd, deadline) && read(qt->fd, drain, sizeof(drain)) > 0)
        continue;
    if (now_ms() >= deadline)
        kill(qt->pid, SIGKILL);
    waitpid(qt->pid, &status, 0);
    qt_free(qt);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

bool qt_end(QTest *qt)
{
    shutdown(qt->fd, SHUT_WR);
    return qt_wait_exit(qt) == 0;
}

/* --- Lines --- */

static char *receive_line(QTest *qt)
{
    int64_t deadline = now_ms() + QT_TIMEOUT_MS;
    char buf[4096], *end, *line;
    ssize_t n;

    while (!(end = memchr(qt->input->str, '\n', qt->input->len))) {
        if (!wait_readable(qt->fd, deadline))
            fail_msg("the vmm does not answer");
        n = read(qt->fd, buf, sizeof(buf));
        if (n <= 0)
            fail_msg("the vmm has ended");
        g_string_append_len(qt->input, buf, n);
    }
    line = g_strndup(qt->input->str, end - qt->input->str);
    g_string_erase(qt->input, 0, end + 1 - qt->input->str);
    return line;
}

static void note_irq(QTest *qt, const char *line)
{
    bool raise = g_str_has_prefix(line, "IRQ raise ");
    int n = atoi(line + strlen("IRQ raise ")); /* "lower" is as long */

    assert_in_range(n, 0, QT_LINES - 1);
    qt->level[n] = raise;
    qt->raised[n] += raise;
}

/* The answer to one command: what follows "OK", NULL if it was FAIL. */
static char *receive_answer(QTest *qt)
{
    for (;;) {
        g_autofree char *line = receive_line(qt);

        if (g_str_has_prefix(line, "IRQ "))
            note_irq(qt, line);
        else if (g_str_has_prefix(line, "OK"))
            return g_strdup(line[2] ? line + 3 : "");
        else
            return NULL;
    }
}

static void send_text(QTest *qt, const char *text)
{
    if (send(qt->fd, text, strlen(text), MSG_NOSIGNAL) != (ssize_t)strlen(text))
        fail_msg("the vmm has ended");
}

char *qt_command(QTest *qt, const char *fmt, ...)
{
    g_autofree char *command = NULL;
    g_autofree char *line = NULL;
    va_list ap;

    va_start(ap, fmt);
    command = g_strdup_vprintf(fmt, ap);
    va_end(ap);
    line = g_strconcat(command, "\n", NULL);
    send_text(qt, line);
    return receive_answer(qt);
}

void qt_batch(QTest *qt, const char *lines, unsigned count)
{
    send_text(qt, lines);
    while (count--)
        g_free(receive_answer(qt));
}

/* A command that must succeed, and its answer as a number. */
static uint64_t number(char *answer)
{
    uint64_t value;

    assert_non_null(answer);
    value = strtoull(answer, NULL, 0);
    g_free(answer);
    return value;
}

uint8_t qt_inb(QTest *qt, uint16_t port)
{
    return number(qt_command(qt, "inb 0x%x", port));
}

uint16_t qt_inw(QTest *qt, uint16_t port)
{
    return number(qt_command(qt, "inw 0x%x", port));
}

uint32_t qt_inl(QTest *qt, uint16_t port)
{
    return number(qt_command(qt, "inl 0x%x", port));
}

void qt_outb(QTest *qt, uint16_t port, uint8_t value)
{
    number(qt_command(qt, "outb 0x%x 0x%x", port, value));
}

void qt_outw(QTest *qt, uint16_t port, uint16_t value)
{
    number(qt_command(qt, "outw 0x%x 0x%x", port, value));
}

void qt_outl(QTest *qt, uint16_t port, uint32_t value)
{
    number(qt_command(qt, "outl 0x%x 0x%x", port, value));
}

uint32_t qt_readl(QTest *qt, uint64_t addr)
{
    return number(qt_command(qt, "readl 0x%" G_GINT64_MODIFIER "x", addr));
}

uint64_t qt_readq(QTest *qt, uint64_t addr)
{
    return number(qt_command(qt, "readq 0x%" G_GINT64_MODIFIER "x", addr));
}

void qt_writel(QTest *qt, uint64_t addr, uint32_t value)
{
    number(qt_command(qt, "writel 0x%" G_GINT64_MODIFIER "x 0x%x", addr, value));
}

void qt_writeq(QTest *qt, uint64_t addr, uint64_t value)
{
    number(qt_command(qt, "writeq 0x%" G_GINT64_MODIFIER "x 0x%" G_GINT64_MODIFIER "x", addr, value));
}

void qt_read(QTest *qt, uint64_t addr, void *buf, size_t len)
{
    g_autofree char *hex = qt_command(qt, "read 0x%" G_GINT64_MODIFIER "x %zu", addr, len);

    assert_non_null(hex);
    assert_int_equal(strlen(hex), 2 + 2 * len);
    for (size_t i = 0; i < len; i++)
        ((uint8_t *)buf)[i] = g_ascii_xdigit_value(hex[2 + 2 * i]) << 4 | g_ascii_xdigit_value(hex[3 + 2 * i]);
}

void qt_write(QTest *qt, uint64_t addr, const void *buf, size_t len)
{
    g_autoptr(GString) hex = g_string_new("0x");

    for (size_t i = 0; i < len; i++)
        g_string_append_printf(hex, "%02x", ((const uint8_t *)buf)[i]);
    number(qt_command(qt, "write 0x%" G_GINT64_MODIFIER "x %zu %s", addr, len, hex->str));
}

int64_t qt_step(QTest *qt, int64_t ns)
{
    return number(qt_command(qt, "clock_step %" G_GINT64_FORMAT, ns));
}

int64_t qt_step_next(QTest *qt)
{
    return number(qt_command(qt, "clock_step"));
}

void qt_intercept_gsi(QTest *qt)
{
    number(qt_command(qt, "irq_intercept_in gsi"));
}

void qt_intercept_out(QTest *qt, const char *device)
{
    number(qt_command(qt, "irq_intercept_out %s", device));
}

void qt_set_gsi(QTest *qt, int gsi, int level)
{
    number(qt_command(qt, "set_irq_in gsi in %d %d", gsi, level));
}

/* --- COM1 --- */

void qt_serial_read(QTest *qt, void *buf, size_t len)
{
    int64_t deadline = now_ms() + QT_TIMEOUT_MS;
    size_t done = 0;

    while (done < len) {
        ssize_t n;

        if (!wait_readable(qt->serial_out, deadline))
            fail_msg("COM1 sent %zu bytes of %zu", done, len);
        n = read(qt->serial_out, (uint8_t *)buf + done, len - done);
        if (n <= 0)
            fail_msg("the vmm has ended");
        done += n;
    }
}

void qt_serial_write(QTest *qt, const void *buf, size_t len)
{
    assert_int_equal(write(qt->serial_in, buf, len), len);
}

void qt_wait_inb(QTest *qt, uint16_t port, uint8_t mask, uint8_t want)
{
    int64_t deadline = now_ms() + QT_TIMEOUT_MS;

    while ((qt_inb(qt, port) & mask) != want)
        if (now_ms() >= deadline)
            fail_msg("port %#x: bits %#x never became %#x", port, mask, want);
}

/* --- Fixtures --- */

int qt_setup(void **state)
{
    *state = qt_start(NULL);
    return 0;
}

int qt_setup_serial(void **state)
{
    *state = qt_start_serial(NULL);
    return 0;
}

int qt_teardown(void **state)
{
    return qt_end(*state) ? 0 : -1;
}
