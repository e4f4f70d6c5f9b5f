/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The terminal is raw while we use it and as it was on every way out (src/chardev/terminal.h).
 *
 * Each case runs as a job on a pseudo-terminal, under a process that stands for the shell (without
 * one, the kernel would not stop it) and passes what waitpid says on to us. We look at the modes and
 * type. The job tells by a byte on the pty that it is raw.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pty.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>
#include <utmp.h>

#include "src/chardev/terminal.h"

typedef struct Session {
    int master, slave;
    struct termios before;
    pid_t shell, job;
    int reports; /* from the shell: the job's pid, then its states */
} Session;

static void enter_and_report(bool signals)
{
    if (!terminal_enter_raw(STDIN_FILENO, signals, NULL))
        _exit(99);
    if (write(STDOUT_FILENO, "R", 1) != 1)
        _exit(98);
}

static void exit_normally(void)
{
    enter_and_report(false);
    exit(0);
}

static void wait_for_signal(void)
{
    enter_and_report(false);
    for (;;)
        pause();
}

static void wait_with_signal_keys(void)
{
    enter_and_report(true);
    for (;;)
        pause();
}

static void abort_at_once(void)
{
    enter_and_report(false);
    abort();
}

static void fault_at_once(void)
{
    enter_and_report(false);
    raise(SIGSEGV);
}

static void restore_and_wait(void)
{
    enter_and_report(false);
    terminal_restore();
    if (write(STDOUT_FILENO, "C", 1) != 1)
        _exit(98);
    pause();
}

static char expect_byte(Session *s)
{
    struct pollfd poller = {s->master, POLLIN, 0};
    char byte = 0;

    assert_int_equal(poll(&poller, 1, 60000), 1);
    assert_int_equal(read(s->master, &byte, 1), 1);
    return byte;
}

/* In the job: a process group of its own, in the foreground, without cmocka's signal handlers. */
static void job_main(void (*job)(void))
{
    const struct rlimit none = {0, 0};

    for (int sig = 1; sig < NSIG; sig++)
        signal(sig, SIG_DFL);
    setrlimit(RLIMIT_CORE, &none);
    signal(SIGTTOU, SIG_IGN);
    setpgid(0, 0);
    tcsetpgrp(STDIN_FILENO, getpid());
    signal(SIGTTOU, SIG_DFL);
    alarm(100);
    job();
    _exit(0);
}

static void report(int fd, int value)
{
    if (write(fd, &value, sizeof(value)) != sizeof(value))
        _exit(97);
}

static void shell_main(const Session *s, int reports, void (*job)(void))
{
    int status;

    login_tty(dup(s->slave));
    pid_t pid = fork();
    if (pid == 0)
        job_main(job);
    report(reports, pid);
    do {
        if (waitpid(pid, &status, WUNTRACED | WCONTINUED) != pid)
            _exit(96);
        report(reports, status);
    } while (WIFSTOPPED(status) || WIFCONTINUED(status));
    _exit(0);
}

static int next_report(const Session *s)
{
    int value;

    assert_int_equal(read(s->reports, &value, sizeof(value)), sizeof(value));
    return value;
}

static void session_start(Session *s, void (*job)(void))
{
    int reports[2];

    assert_int_equal(openpty(&s->master, &s->slave, NULL, NULL, NULL), 0);
    assert_int_equal(tcgetattr(s->slave, &s->before), 0);
    assert_int_equal(pipe(reports), 0);
    s->shell = fork();
    assert_true(s->shell >= 0);
    if (s->shell == 0)
        shell_main(s, reports[1], job);
    close(reports[1]);
    s->reports = reports[0];
    s->job = next_report(s);
    assert_int_equal(expect_byte(s), 'R');
}

static struct termios modes(const Session *s)
{
    struct termios now;

    assert_int_equal(tcgetattr(s->slave, &now), 0);
    return now;
}

static void assert_cooked(const Session *s)
{
    struct termios now = modes(s);

    assert_int_equal(now.c_lflag, s->before.c_lflag);
    assert_int_equal(now.c_iflag, s->before.c_iflag);
    assert_int_equal(now.c_oflag, s->before.c_oflag);
    assert_int_equal(now.c_cflag, s->before.c_cflag);
}

static void assert_raw(const Session *s)
{
    assert_false(modes(s).c_lflag & (ICANON | ECHO));
}

static void session_end(Session *s)
{
    kill(s->job, SIGKILL);
    waitpid(s->shell, NULL, 0);
    close(s->reports);
    close(s->master);
    close(s->slave);
}

static void raw_mode_passes_keys_and_processes_output(void **state)
{
    Session s;

    session_start(&s, wait_for_signal);
    assert_raw(&s);
    assert_false(modes(&s).c_lflag & ISIG);
    assert_false(modes(&s).c_iflag & (ICRNL | IXON));
    assert_true(modes(&s).c_oflag & OPOST);
    session_end(&s);
}

static void signal_keys_stay_if_asked_for(void **state)
{
    Session s;

    session_start(&s, wait_with_signal_keys);
    assert_true(modes(&s).c_lflag & ISIG);
    assert_int_equal(write(s.master, "\003", 1), 1);
    int status = next_report(&s);
    assert_true(WIFSIGNALED(status));
    assert_int_equal(WTERMSIG(status), SIGINT);
    assert_cooked(&s);
    session_end(&s);
}

static void exit_restores(void **state)
{
    Session s;

    session_start(&s, exit_normally);
    assert_int_equal(next_report(&s), 0);
    assert_cooked(&s);
    session_end(&s);
}

static void terminal_restore_restores(void **state)
{
    Session s;

    session_start(&s, restore_and_wait);
    assert_int_equal(expect_byte(&s), 'C');
    assert_cooked(&s);
    session_end(&s);
}

static void assert_signal_restores(void (*job)(void), int sig, int expected)
{
    Session s;

    session_start(&s, job);
    if (sig)
        kill(s.job, sig);
    int status = next_report(&s);
    assert_true(WIFSIGNALED(status));
    assert_int_equal(WTERMSIG(status), expected);
    assert_cooked(&s);
    session_end(&s);
}

static void fatal_signals_restore_and_keep_their_meaning(void **state)
{
    static const int signals[] = {SIGTERM, SIGINT, SIGHUP, SIGQUIT, SIGALRM, SIGXCPU};

    for (unsigned i = 0; i < sizeof(signals) / sizeof(signals[0]); i++)
        assert_signal_restores(wait_for_signal, signals[i], signals[i]);
}

static void abort_and_faults_restore(void **state)
{
    assert_signal_restores(abort_at_once, 0, SIGABRT);
    assert_signal_restores(fault_at_once, 0, SIGSEGV);
}

static void stopping_gives_the_terminal_back_and_continuing_takes_it(void **state)
{
    Session s;

    session_start(&s, wait_for_signal);
    /* At once again as soon as the terminal is raw: that is when it must be ready for it. */
    for (int round = 0; round < 50; round++) {
        kill(s.job, SIGTSTP);
        assert_true(WIFSTOPPED(next_report(&s)));
        assert_cooked(&s);
        kill(s.job, SIGCONT);
        assert_true(WIFCONTINUED(next_report(&s)));
        /* The handler runs when the child is scheduled; modes have no event to wait for. */
        for (int i = 0; i < 15000 && (modes(&s).c_lflag & ICANON); i++)
            usleep(i < 500 ? 10 : 1000);
        assert_raw(&s);
    }
    kill(s.job, SIGTERM);
    assert_true(WIFSIGNALED(next_report(&s)));
    assert_cooked(&s);
    session_end(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(raw_mode_passes_keys_and_processes_output),
        cmocka_unit_test(signal_keys_stay_if_asked_for),
        cmocka_unit_test(exit_restores),
        cmocka_unit_test(terminal_restore_restores),
        cmocka_unit_test(fatal_signals_restore_and_keep_their_meaning),
        cmocka_unit_test(abort_and_faults_restore),
        cmocka_unit_test(stopping_gives_the_terminal_back_and_continuing_takes_it),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
