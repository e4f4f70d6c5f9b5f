/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The qtest connection: lines in, lines out.
 *
 * Answers are written at once and block: a test that does not read them has itself to blame.
 * Locking: the main loop, machine_lock held.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "core/error.h"
#include "core/host.h"
#include "core/loop.h"
#include "core/machine.h"
#include "qtest-internal.h"

#define LINE_MAX_BYTES (2 * QTEST_MAX_SIZE + 256)

static void log_line(Qtest *qtest, char direction, const char *line)
{
    g_autofree char *text = NULL;

    if (qtest->log_fd < 0)
        return;
    text = g_strdup_printf("%c %s\n", direction, line);
    host_write_full(qtest->log_fd, text, strlen(text));
}

static void send_line(Qtest *qtest, const char *line)
{
    g_autofree char *out = g_strconcat(line, "\n", NULL);

    log_line(qtest, 'S', line);
    host_write_full(qtest->out_fd, out, strlen(out)); /* the peer's end is seen when reading */
}

/* A reset or shutdown would wait for the main loop's next turn. */
static void settle(Machine *machine)
{
    if (!timer_pending(&machine->request_timer))
        return;
    timer_del(&machine->request_timer);
    machine_serve_requests(machine);
}

void qtest_answer(Qtest *qtest, const char *fmt, ...)
{
    g_autofree char *line = NULL;
    va_list ap;

    settle(qtest->machine);
    va_start(ap, fmt);
    line = g_strdup_vprintf(fmt, ap);
    va_end(ap);
    send_line(qtest, line);
}

void qtest_irq(void *opaque, int pin, int level)
{
    Qtest *qtest = opaque;
    uint64_t bit = 1ull << (pin % QTEST_MAX_LINES);
    char line[32];

    if (!!(qtest->levels & bit) == !!level)
        return;
    qtest->levels ^= bit;
    snprintf(line, sizeof(line), "IRQ %s %d", level ? "raise" : "lower", pin);
    send_line(qtest, line);
}

static void run_lines(Qtest *qtest)
{
    char *end;

    while ((end = memchr(qtest->input->str, '\n', qtest->input->len))) {
        g_autofree char *line = g_strndup(qtest->input->str, end - qtest->input->str);

        g_string_erase(qtest->input, 0, end + 1 - qtest->input->str);
        log_line(qtest, 'R', line);
        qtest_command(qtest, line);
    }
}

static bool input_ready(int fd, GIOCondition events, void *opaque)
{
    Qtest *qtest = opaque;
    char buf[65536];
    ssize_t n = read(fd, buf, sizeof(buf));

    if (n < 0 && (errno == EINTR || errno == EAGAIN))
        return true;
    if (n <= 0 || qtest->input->len + n > LINE_MAX_BYTES) {
        qtest->watch = 0;
        machine_request_shutdown(qtest->machine, SHUTDOWN_CAUSE_HOST_QUIT, 0);
        return false;
    }
    g_string_append_len(qtest->input, buf, n);
    run_lines(qtest);
    return true;
}

static bool connect_unix(Qtest *qtest, const char *path, GError **errp)
{
    struct sockaddr_un addr = {.sun_family = AF_UNIX};
    int fd;

    if (strlen(path) >= sizeof(addr.sun_path))
        return error_set_code(errp, VMM_ERROR_USAGE, "-qtest unix:%s: the path is too long", path);
    g_strlcpy(addr.sun_path, path, sizeof(addr.sun_path));
    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || connect(fd, (struct sockaddr *)&addr, sizeof(addr)) < 0) {
        error_set_errno(errp, errno, "-qtest unix:%s: no test listens there", path);
        if (fd >= 0)
            close(fd);
        return false;
    }
    qtest->in_fd = qtest->out_fd = fd;
    return true;
}

static bool connect_address(Qtest *qtest, const char *address, GError **errp)
{
    char *end;

    if (g_str_equal(address, "stdio")) {
        qtest->in_fd = STDIN_FILENO;
        qtest->out_fd = STDOUT_FILENO;
        return true;
    }
    if (g_str_has_prefix(address, "unix:"))
        return connect_unix(qtest, address + strlen("unix:"), errp);
    if (g_str_has_prefix(address, "fd:")) {
        long fd = strtol(address + strlen("fd:"), &end, 10);

        if (*end == '\0' && fd > STDERR_FILENO && fcntl(fd, F_SETFD, FD_CLOEXEC) == 0) {
            qtest->in_fd = qtest->out_fd = fd;
            return true;
        }
    }
    return error_set_code(errp, VMM_ERROR_USAGE, "-qtest %s: expected unix:PATH, fd:N (an open descriptor) or stdio",
                          address);
}

Qtest *qtest_new(Machine *machine, const char *address, const char *log, GError **errp)
{
    Qtest *qtest = g_new0(Qtest, 1);

    qtest->machine = machine;
    qtest->in_fd = qtest->out_fd = qtest->log_fd = -1;
    qtest->input = g_string_new(NULL);
    if (log) {
        qtest->log_fd = host_open(log, O_WRONLY | O_CREAT | O_TRUNC, 0666, "qtest log", errp);
        if (qtest->log_fd < 0)
            goto fail;
    }
    if (!connect_address(qtest, address, errp))
        goto fail;
    qtest->watch = event_loop_watch(event_loop_main(), qtest->in_fd, G_IO_IN | G_IO_HUP, input_ready, qtest);
    return qtest;

fail:
    qtest_free(qtest);
    return NULL;
}

void qtest_free(Qtest *qtest)
{
    if (qtest->watch)
        event_loop_unwatch(event_loop_main(), qtest->watch);
    if (qtest->machine->gsi_watch.opaque == qtest)
        qtest->machine->gsi_watch = (Irq){0};
    if (qtest->in_fd > STDERR_FILENO)
        close(qtest->in_fd);
    if (qtest->log_fd >= 0)
        close(qtest->log_fd);
    g_string_free(qtest->input, TRUE);
    g_free(qtest);
}
