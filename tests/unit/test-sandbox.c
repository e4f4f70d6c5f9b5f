/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The filter of system calls (core/sandbox.h) by its effect, each in a child of its own; and sets of
 * descriptors (core/fdset.h).
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <glib.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/fdset.h"
#include "core/host.h"
#include "core/sandbox.h"

/* 0 or errno of the call. */
typedef int (*Act)(void);

/* In a child in this sandbox: the call's errno, or the signal that ended it as a negative number. */
static int act_in_sandbox(const SandboxOptions *options, Act act)
{
    pid_t pid = fork();
    int status;

    assert_true(pid >= 0);
    if (pid == 0) {
        struct rlimit no_core = {0, 0};
        setrlimit(RLIMIT_CORE, &no_core);
        if (!sandbox_enter(options, NULL) || !sandbox_close(options, NULL))
            _exit(255);
        _exit(act());
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return WIFSIGNALED(status) ? -WTERMSIG(status) : WEXITSTATUS(status);
}

static int act_ustat(void)
{
    return syscall(SYS_ustat, 0, NULL) < 0 ? errno : 0;
}

static int act_setuid(void)
{
    return syscall(SYS_setuid, getuid()) < 0 ? errno : 0;
}

static int act_fork(void)
{
    pid_t pid = fork();

    if (pid == 0)
        _exit(0);
    return pid < 0 ? errno : 0;
}

static int act_exec(void)
{
    execl("/nonexistent", "x", NULL);
    return errno;
}

static int act_affinity(void)
{
    cpu_set_t cpus;

    sched_getaffinity(0, sizeof(cpus), &cpus);
    return sched_setaffinity(0, sizeof(cpus), &cpus) < 0 ? errno : 0;
}

static void *nothing(void *opaque)
{
    return opaque;
}

static int act_thread(void)
{
    pthread_t thread;
    int err = pthread_create(&thread, NULL, nothing, NULL);

    return err ? err : pthread_join(thread, NULL);
}

static void denied_groups_end_the_process(void **state)
{
    const SandboxOptions on = {.enable = true};
    const SandboxOptions all = {.enable = true, .deny_elevate = true, .deny_spawn = true, .deny_resource_control = true};

    if (!sandbox_is_available(NULL)) {
        print_message("# built without libseccomp\n");
        skip();
    }
    assert_int_equal(act_in_sandbox(&on, act_ustat), -SIGSYS);
    assert_int_equal(act_in_sandbox(&all, act_setuid), -SIGSYS);
    assert_int_equal(act_in_sandbox(&all, act_fork), -SIGSYS);
    assert_int_equal(act_in_sandbox(&all, act_exec), -SIGSYS);
    assert_int_equal(act_in_sandbox(&all, act_affinity), EPERM);
}

static void what_was_not_denied_works(void **state)
{
    const SandboxOptions off = {.enable = false, .deny_spawn = true};
    const SandboxOptions on = {.enable = true, .allow_obsolete = true};
    const SandboxOptions all = {.enable = true, .deny_elevate = true, .deny_spawn = true, .deny_resource_control = true};

    if (!sandbox_is_available(NULL)) {
        print_message("# built without libseccomp\n");
        skip();
    }
    assert_int_equal(act_in_sandbox(&off, act_fork), 0);
    assert_int_not_equal(act_in_sandbox(&on, act_ustat), -SIGSYS);
    assert_int_equal(act_in_sandbox(&on, act_setuid), 0);
    assert_int_equal(act_in_sandbox(&on, act_fork), 0);
    assert_int_equal(act_in_sandbox(&on, act_exec), ENOENT);
    assert_int_equal(act_in_sandbox(&on, act_affinity), 0);
    assert_int_equal(act_in_sandbox(&all, act_thread), 0);
}

static void a_set_gives_the_descriptor_with_the_access_asked_for(void **state)
{
    int readable = open("/dev/zero", O_RDONLY | O_CLOEXEC), writable = open("/dev/null", O_WRONLY | O_CLOEXEC);
    g_autoptr(GError) err = NULL;
    char byte = 1;

    assert_true(fdset_add(5, readable, "r", NULL) >= 0);
    assert_true(fdset_add(5, writable, NULL, NULL) >= 0);
    close(readable);
    close(writable);
    int fd = host_open("/dev/fdset/5", O_RDONLY, 0, "file", NULL);
    assert_true(host_read_full(fd, &byte, 1));
    assert_int_equal(byte, 0);
    assert_true(fcntl(fd, F_GETFD) & FD_CLOEXEC);
    close(fd);
    fd = host_open("/dev/fdset/5", O_WRONLY, 0, "file", NULL);
    assert_true(host_write_full(fd, "x", 1));
    close(fd);
    assert_int_equal(host_open("/dev/fdset/5", O_RDWR, 0, "file", &err), -1);
    assert_non_null(strstr(err->message, "/dev/fdset/5"));
    assert_true(fdset_remove(5, -1, NULL));
    assert_false(fdset_remove(5, -1, NULL));
    assert_int_equal(host_open("/dev/fdset/5", O_RDONLY, 0, "file", NULL), -1);
}

static void names_that_are_no_sets_do_not_open(void **state)
{
    static const char *const names[] = {"/dev/fdset/", "/dev/fdset/x", "/dev/fdset/-1", "/dev/fdset/1/2",
                                        "/dev/fdset/99999999999", "/dev/fdset/0"};

    for (unsigned i = 0; i < G_N_ELEMENTS(names); i++)
        assert_int_equal(host_open(names[i], O_RDONLY, 0, "file", NULL), -1);
}

static void unused_numbers_are_found(void **state)
{
    int fd = open("/dev/null", O_RDWR | O_CLOEXEC);

    assert_int_equal(fdset_unused(), 0);
    assert_true(fdset_add(1, fd, NULL, NULL) >= 0);
    assert_true(fdset_add(0, fd, NULL, NULL) >= 0);
    assert_int_equal(fdset_unused(), 2);
    assert_true(fdset_remove(0, -1, NULL));
    assert_true(fdset_remove(1, -1, NULL));
    close(fd);
}

static void the_number_of_descriptors_is_bounded(void **state)
{
    g_autoptr(GError) err = NULL;
    int fd = open("/dev/null", O_RDWR | O_CLOEXEC);

    for (unsigned i = 0; i < 256; i++)
        assert_true(fdset_add(i, fd, NULL, NULL) >= 0);
    assert_int_equal(fdset_add(256, fd, NULL, &err), -1);
    assert_non_null(err);
    for (unsigned i = 0; i < 256; i++)
        assert_true(fdset_remove(i, -1, NULL));
    close(fd);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(denied_groups_end_the_process),
        cmocka_unit_test(what_was_not_denied_works),
        cmocka_unit_test(a_set_gives_the_descriptor_with_the_access_asked_for),
        cmocka_unit_test(names_that_are_no_sets_do_not_open),
        cmocka_unit_test(unused_numbers_are_found),
        cmocka_unit_test(the_number_of_descriptors_is_bounded),
    };

    return cmocka_run_group_tests_name("sandbox", tests, NULL, NULL);
}
