/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Raw mode of the user's terminal (termios(3), signal-safety(7), credentials(7) on job control).
 *
 * Handlers are installed for each signal whose default ends or stops the process; each gives the
 * terminal back, then lets the default happen. SIGTERM, SIGINT and SIGHUP get here only while main
 * does not take them itself (src/main.c), that is during start-up.
 *
 * A process in the background must not touch the terminal: tcsetattr would stop it (SIGTTOU), and
 * the shell that is in the foreground has its own idea of the modes.
 */
#include "src/chardev/terminal.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <termios.h>
#include <unistd.h>

#include "core/error.h"

static struct {
    volatile sig_atomic_t raw; /* modes are the raw ones, or were when we were stopped */
    volatile sig_atomic_t stopping; /* SIGTSTP has its default meaning for a moment */
    int fd;
    struct termios cooked_modes, raw_modes;
} terminal;

static const int fatal_signals[] = {
    SIGHUP, SIGINT, SIGQUIT, SIGILL, SIGTRAP, SIGABRT, SIGBUS, SIGFPE, SIGSEGV, SIGALRM, SIGTERM, SIGXCPU, SIGXFSZ, SIGSYS,
};

/* Also true if fd is no terminal we could be in the background of. */
static bool in_foreground(void)
{
    pid_t group = tcgetpgrp(terminal.fd);

    return group < 0 || group == getpgrp();
}

static void set_modes(const struct termios *modes)
{
    int saved_errno = errno;

    if (in_foreground()) {
        while (tcsetattr(terminal.fd, TCSANOW, modes) < 0 && errno == EINTR)
            continue;
    }
    errno = saved_errno;
}

void terminal_restore(void)
{
    if (terminal.raw) {
        terminal.raw = 0;
        set_modes(&terminal.cooked_modes);
    }
}

/* Leaves a signal alone that someone ignores (nohup) or handles. SIGCONT's handler waits for the end
 * of the others: the terminal is raw again only when the next stop will be noticed. */
static void install(int sig, void (*handler)(int sig))
{
    struct sigaction old;
    struct sigaction new = {.sa_handler = handler, .sa_flags = SA_RESTART};

    sigemptyset(&new.sa_mask);
    sigaddset(&new.sa_mask, SIGCONT);
    if (sigaction(sig, NULL, &old) == 0 && old.sa_handler == SIG_DFL)
        sigaction(sig, &new, NULL);
}

static void raise_default(int sig)
{
    sigset_t set;

    signal(sig, SIG_DFL);
    sigemptyset(&set);
    sigaddset(&set, sig);
    raise(sig);
    pthread_sigmask(SIG_UNBLOCK, &set, NULL); /* here it happens */
}

static void on_fatal_signal(int sig)
{
    terminal_restore();
    raise_default(sig);
}

/*
 * The modes are raw again only when this handler is installed again: a second SIGTSTP that comes
 * while the first is served finds the terminal cooked, or us ready for it.
 */
static void on_stop_signal(int sig)
{
    int saved_errno = errno;

    terminal.stopping = 1;
    if (terminal.raw)
        set_modes(&terminal.cooked_modes);
    raise_default(sig);
    install(sig, on_stop_signal);
    terminal.stopping = 0;
    if (terminal.raw)
        set_modes(&terminal.raw_modes);
    errno = saved_errno;
}

/* Alone after SIGSTOP; else on_stop_signal does the rest. */
static void on_continue(int sig)
{
    if (terminal.raw && !terminal.stopping)
        set_modes(&terminal.raw_modes);
}

static void install_all(void)
{
    for (unsigned i = 0; i < G_N_ELEMENTS(fatal_signals); i++)
        install(fatal_signals[i], on_fatal_signal);
    install(SIGTSTP, on_stop_signal);
    install(SIGCONT, on_continue);
    atexit(terminal_restore);
}

bool terminal_enter_raw(int fd, bool signals, GError **errp)
{
    static bool installed;

    if (tcgetattr(fd, &terminal.cooked_modes) < 0)
        return error_set_errno(errp, errno, "cannot read the modes of the terminal");
    terminal.fd = fd;
    terminal.raw_modes = terminal.cooked_modes;
    /* cfmakeraw, but output is still processed: the guest's "\n" alone begins a line. */
    struct termios *raw = &terminal.raw_modes;
    raw->c_iflag &= ~(tcflag_t)(IGNBRK | BRKINT | PARMRK | ISTRIP | INLCR | IGNCR | ICRNL | IXON);
    raw->c_oflag |= OPOST;
    raw->c_lflag &= ~(tcflag_t)(ECHO | ECHONL | ICANON | IEXTEN);
    if (!signals)
        raw->c_lflag &= ~(tcflag_t)ISIG;
    raw->c_cflag &= ~(tcflag_t)(CSIZE | PARENB);
    raw->c_cflag |= CS8;
    raw->c_cc[VMIN] = 1;
    raw->c_cc[VTIME] = 0;

    if (!installed)
        install_all();
    installed = true;
    terminal.raw = 1;
    set_modes(&terminal.raw_modes);
    return true;
}
