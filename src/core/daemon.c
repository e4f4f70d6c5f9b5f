/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Going into the background (core/daemon.h).
 *
 * Two forks: the first gives a session of its own, the second a process that does not lead it and so
 * cannot be given a controlling terminal. The parent waits on a pipe: a byte is the exit status, its
 * end without one is a child that died.
 */
#include "core/daemon.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/error.h"
#include "core/host.h"
#include "core/log.h"

static int report_fd = -1; /* in the child, until it has reported */

static int wait_for_child(int fd, GError **errp)
{
    uint8_t status;

    if (host_read_full(fd, &status, 1))
        return status;
    error_set(errp, "-daemonize: the VM's process died before it was ready");
    return EXIT_FAILURE;
}

DaemonRole daemon_fork(int *status, GError **errp)
{
    int fds[2];
    pid_t pid;

    if (pipe2(fds, O_CLOEXEC) < 0) {
        error_set_errno(errp, errno, "-daemonize: cannot make a pipe");
        return DAEMON_FAILED;
    }
    pid = fork();
    if (pid < 0) {
        error_set_errno(errp, errno, "-daemonize: cannot make a process");
        close(fds[0]);
        close(fds[1]);
        return DAEMON_FAILED;
    }
    if (pid > 0) {
        close(fds[1]);
        *status = wait_for_child(fds[0], errp);
        close(fds[0]);
        while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
            continue;
        return DAEMON_PARENT;
    }
    close(fds[0]);
    setsid();
    if (fork() != 0)
        _exit(0); /* if it failed, the pipe's end tells the parent */
    report_fd = fds[1];
    return DAEMON_CHILD;
}

static void report(uint8_t status)
{
    (void)host_write_full(report_fd, &status, 1); /* a parent that was killed needs no answer */
    close(report_fd);
    report_fd = -1;
}

/* The user's terminal or pipes must not wait for us: whoever reads them wants to see their end. */
static void leave_stdio(void)
{
    int null_fd = open("/dev/null", O_RDWR | O_CLOEXEC), log_fd = log_file_fd();

    if (null_fd < 0)
        return;
    dup2(null_fd, STDIN_FILENO);
    dup2(null_fd, STDOUT_FILENO);
    dup2(log_fd >= 0 ? log_fd : null_fd, STDERR_FILENO);
    if (null_fd > STDERR_FILENO)
        close(null_fd);
}

void daemon_ready(void)
{
    if (report_fd < 0)
        return;
    leave_stdio();
    report(EXIT_SUCCESS);
}

void daemon_failed(void)
{
    if (report_fd >= 0)
        report(EXIT_FAILURE);
}
