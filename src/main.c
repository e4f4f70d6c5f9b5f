/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The program's start-up order, and its end.
 *
 *   options -> background (-daemonize) -> descriptors, logs -> objects, character devices, images,
 *   accelerator, devices' properties -> filter of system calls -> build (RAM, board, CPUs, boot image, reset)
 *   -> signals -> monitors, gdb stub -> pid file -> user, root directory -> run the main loop -> take
 *   everything down
 *
 * Exit status: 0 after the guest shut down or a signal ended the VM, what isa-debug-exit says, and 1
 * with one line on stderr for everything that went wrong.
 */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "accel/qtest.h"
#include "block/backend.h"
#include "block/drive.h"
#include "chardev/char.h"
#include "config/configure.h"
#include "config/options.h"
#include "config/pidfile.h"
#include "core/daemon.h"
#include "core/error.h"
#include "core/fdset.h"
#include "core/lock.h"
#include "core/log.h"
#include "core/loop.h"
#include "core/machine.h"
#include "core/sandbox.h"
#include "core/thread.h"
#include "debug/gdbstub.h"
#include "monitor/monitor.h"

static bool open_logs(const Options *options, GError **errp)
{
    if (options->log_items && !log_set_mask(options->log_items, errp)) {
        g_prefix_error(errp, "-d: ");
        return false;
    }
    return !options->log_file || log_set_file(options->log_file, errp);
}

static void quit_from_terminal(void *opaque)
{
    machine_request_shutdown(opaque, SHUTDOWN_CAUSE_HOST_QUIT, 0);
}

static char *commit_from_terminal(void *opaque)
{
    g_autoptr(GError) err = NULL;
    unsigned count;

    if (!blk_commit_all(&count, &err))
        return g_strdup(err->message);
    return count ? g_strdup_printf("%u drive%s committed", count, count == 1 ? "" : "s") : g_strdup("no drive has changes to commit");
}

static int signal_fd = -1; /* eventfd: a signal handler has no other way to us */

static void on_signal(int sig)
{
    int saved_errno = errno;
    uint64_t one = 1;
    ssize_t n = write(signal_fd, &one, sizeof(one));

    (void)n; /* full: the loop will look anyway */
    errno = saved_errno;
}

static bool signal_arrived(int fd, GIOCondition events, void *opaque)
{
    uint64_t count;

    if (read(fd, &count, sizeof(count)) == sizeof(count))
        machine_request_shutdown(opaque, SHUTDOWN_CAUSE_HOST_SIGNAL, 0);
    return true;
}

/*
 * From here on the signals that ask us to end are events of the main loop. Not a signalfd: threads
 * of libraries do not block them.
 */
static bool take_signals(Machine *machine, GError **errp)
{
    static const int signals[] = {SIGINT, SIGTERM, SIGHUP};
    struct sigaction action = {.sa_handler = on_signal, .sa_flags = SA_RESTART};

    signal_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (signal_fd < 0)
        return error_set_errno(errp, errno, "cannot receive signals");
    event_loop_watch(event_loop_main(), signal_fd, G_IO_IN, signal_arrived, machine);
    for (unsigned i = 0; i < G_N_ELEMENTS(signals); i++) {
        struct sigaction old;
        if (sigaction(signals[i], NULL, &old) == 0 && old.sa_handler != SIG_IGN) /* nohup, "&" in scripts */
            sigaction(signals[i], &action, NULL);
    }
    return true;
}

/* The gdb stub, which the monitor's "gdbserver" may replace. */
typedef struct GdbSlot {
    Machine *machine;
    Gdb *gdb; /* NULL: none */
} GdbSlot;

static bool open_gdb(GdbSlot *slot, const char *address, GError **errp)
{
    if (!address || (slot->gdb = gdbstub_new(slot->machine, address, errp)))
        return true;
    g_prefix_error(errp, "-gdb %s: ", address);
    return false;
}

static void close_gdb(GdbSlot *slot)
{
    if (slot->gdb)
        gdbstub_free(slot->gdb);
    slot->gdb = NULL;
}

static bool change_gdb(void *opaque, const char *address, GError **errp)
{
    close_gdb(opaque);
    return strcmp(address, "none") == 0 || open_gdb(opaque, address, errp);
}

static bool open_qtest(Machine *machine, const Options *options, Qtest **qtest, GError **errp)
{
    return !options->qtest || (*qtest = qtest_new(machine, options->qtest, options->qtest_log, errp));
}

/* Whoever reads the file may connect, or send a signal, at once: all listens and signals are taken by now. */
static bool create_pidfile(const Options *options, GError **errp)
{
    return !options->pidfile || pidfile_create(options->pidfile, errp);
}

/* The main loop until somebody ends it. */
static bool run_loop(Machine *machine, const Options *options, GError **errp)
{
    Qtest *qtest = NULL;
    GdbSlot gdb = {machine, NULL};
    Monitors *monitors = monitors_new(machine, options->monitors, errp);
    bool ok = monitors && open_gdb(&gdb, options->gdb, errp) && open_qtest(machine, options, &qtest, errp) &&
              create_pidfile(options, errp);

    ok = ok && run_with_enter(&options->run_with, errp) && sandbox_close(&options->sandbox, errp);
    if (ok) {
        daemon_ready();
        monitors_set_gdbserver(monitors, change_gdb, &gdb);
        if (!options->stopped)
            machine_start(machine);
        event_loop_run(event_loop_main());
    }
    if (qtest)
        qtest_free(qtest);
    close_gdb(&gdb);
    if (monitors)
        monitors_free(monitors);
    return ok;
}

static void warn_of_unused_globals(const Options *options)
{
    for (guint i = 0; i < options->globals->len; i++) {
        const GlobalProperty *global = g_ptr_array_index(options->globals, i);
        if (!global->used)
            log_warn("-global %s.%s=%s is not used: the machine has no such device", global->driver, global->property,
                     global->value);
    }
}

/* How the process is called, and what its messages begin with. */
static void take_names(const Options *options)
{
    log_set_prefix(options->msg_timestamp, options->msg_guest_name ? options->name : NULL);
    thread_set_naming(!options->unnamed_threads);
    if (options->process_name)
        prctl(PR_SET_NAME, options->process_name);
}

/* Returns the exit status; -1 with *errp if the machine never ran. */
static int run_machine(Options *options, GError **errp)
{
    Machine *machine = machine_from_options(options, errp);
    int status = -1;

    if (!machine)
        return -1;
    chardev_set_quit_hook(quit_from_terminal, machine);
    chardev_set_commit_hook(commit_from_terminal, NULL);
    blk_bind_machine(machine);
    if (sandbox_enter(&options->sandbox, errp) && machine_build(machine, errp) && drives_check_used(errp) &&
        (!options->mem_lock || lock_memory(errp))) {
        warn_of_unused_globals(options);
        if (take_signals(machine, errp) && run_loop(machine, options, errp))
            status = machine->exit_status;
    }
    blk_drain_all();
    blk_bind_machine(NULL);
    machine_free(machine);
    return status;
}

/* The numbers of descriptors are the user's: the sets come before anything of ours is opened. */
static bool take_descriptors(const Options *options, GError **errp)
{
    for (guint i = 0; i < options->add_fds->len; i++) {
        const AddFd *add = &g_array_index(options->add_fds, AddFd, i);
        if (fdset_add_inherited(add->set, add->fd, add->opaque, errp) < 0) {
            g_prefix_error(errp, "-add-fd fd=%d,set=%u: ", add->fd, add->set);
            return false;
        }
    }
    return true;
}

/* What is left to do where the VM runs. */
static int run_here(Options *options, GError **errp)
{
    int status;

    if (!take_descriptors(options, errp) || !open_logs(options, errp))
        return -1;
    status = run_machine(options, errp);
    pidfile_remove();
    return status;
}

static int run(Options *options, GError **errp)
{
    int status = -1;

    take_names(options);
    if (!options_resolve(options, errp) || !options_write_config(options, errp))
        return -1;
    switch (options->daemonize ? daemon_fork(&status, errp) : DAEMON_CHILD) {
    case DAEMON_CHILD:
        return run_here(options, errp);
    case DAEMON_PARENT:
    case DAEMON_FAILED:
        break;
    }
    return status;
}

int main(int argc, char **argv)
{
    g_autoptr(GError) err = NULL;
    Options options;
    int status = 0;

    signal(SIGPIPE, SIG_IGN); /* writes to pipes and sockets report it */
    core_init();
    options_init(&options);
    switch (options_parse(&options, argc, argv, &err)) {
    case OPTIONS_RUN:
        status = run(&options, &err);
        options_locate(&options, &err);
        break;
    case OPTIONS_DONE:
        break;
    case OPTIONS_BAD:
        status = -1;
        break;
    }
    drives_close();
    chardev_cleanup();
    options_release(&options);
    if (err)
        log_error("%s", err->message);
    if (err)
        daemon_failed();
    return status < 0 ? EXIT_FAILURE : status;
}
