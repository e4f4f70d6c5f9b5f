/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The system call filter (core/sandbox.h): everything is allowed but the groups that were denied, as
 * on QEMU. It is no jail by itself, since files may still be opened; it takes from an attacker inside the
 * process the calls an exploit goes on with.
 *
 * clone() must go on making threads: it is denied only without CLONE_THREAD. clone3() has its flags in
 * memory, where a filter cannot look; it answers ENOSYS, and libc falls back to clone().
 */
#include "core/sandbox.h"

#include <errno.h>
#include <sched.h>
#include <sys/prctl.h>
#ifdef HAVE_SECCOMP
#include <seccomp.h>
#endif

#include "core/error.h"

#ifdef HAVE_SECCOMP

#define GROUP_END (-1)

static const int obsolete_calls[] = {
    SCMP_SYS(readdir), SCMP_SYS(_sysctl), SCMP_SYS(bdflush), SCMP_SYS(create_module), SCMP_SYS(get_kernel_syms),
    SCMP_SYS(query_module), SCMP_SYS(sgetmask), SCMP_SYS(ssetmask), SCMP_SYS(sysfs), SCMP_SYS(uselib), SCMP_SYS(ustat),
    GROUP_END,
};

static const int elevate_calls[] = {
    SCMP_SYS(setuid), SCMP_SYS(setgid), SCMP_SYS(setpgid), SCMP_SYS(setsid), SCMP_SYS(setreuid), SCMP_SYS(setregid),
    SCMP_SYS(setresuid), SCMP_SYS(setresgid), SCMP_SYS(setfsuid), SCMP_SYS(setfsgid), SCMP_SYS(setgroups),
    GROUP_END,
};

static const int spawn_calls[] = {
    SCMP_SYS(fork), SCMP_SYS(vfork), SCMP_SYS(execve), SCMP_SYS(execveat),
    GROUP_END,
};

static const int resource_calls[] = {
    SCMP_SYS(setpriority), SCMP_SYS(sched_setparam), SCMP_SYS(sched_setaffinity), SCMP_SYS(sched_setscheduler),
    SCMP_SYS(sched_setattr), SCMP_SYS(ioprio_set), SCMP_SYS(mbind), SCMP_SYS(set_mempolicy), SCMP_SYS(migrate_pages),
    SCMP_SYS(move_pages),
    GROUP_END,
};

bool sandbox_is_available(GError **errp)
{
    return true;
}

/* 0, or the first error as a negative errno. A call this architecture does not have is none. */
static int add_rules(scmp_filter_ctx ctx, const int *calls, uint32_t action)
{
    for (; *calls != GROUP_END; calls++) {
        int err = seccomp_rule_add(ctx, action, *calls, 0);
        if (err && err != -EDOM)
            return err;
    }
    return 0;
}

static int deny_spawn(scmp_filter_ctx ctx)
{
    int err = add_rules(ctx, spawn_calls, SCMP_ACT_KILL_PROCESS);

    if (!err)
        err = seccomp_rule_add(ctx, SCMP_ACT_KILL_PROCESS, SCMP_SYS(clone), 1,
                               SCMP_A0(SCMP_CMP_MASKED_EQ, CLONE_THREAD, 0));
    return err ? err : seccomp_rule_add(ctx, SCMP_ACT_ERRNO(ENOSYS), SCMP_SYS(clone3), 0);
}

static int load(scmp_filter_ctx ctx)
{
    int err = seccomp_attr_set(ctx, SCMP_FLTATR_CTL_TSYNC, 1);

    return err ? err : seccomp_load(ctx);
}

/* Ends the filter's making: err is what went wrong so far. */
static bool finish(scmp_filter_ctx ctx, int err, GError **errp)
{
    if (!err)
        err = load(ctx);
    seccomp_release(ctx);
    return !err || error_set_errno(errp, -err, "-sandbox: cannot install the filter of system calls");
}

bool sandbox_enter(const SandboxOptions *options, GError **errp)
{
    scmp_filter_ctx ctx;
    int err = 0;

    if (!options->enable)
        return true;
    if (options->no_new_privs && prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
        return error_set_errno(errp, errno, "-sandbox: cannot give up new privileges");
    ctx = seccomp_init(SCMP_ACT_ALLOW);
    if (!ctx)
        return error_set(errp, "-sandbox: no memory for the filter of system calls");
    if (!options->allow_obsolete)
        err = add_rules(ctx, obsolete_calls, SCMP_ACT_KILL_PROCESS);
    if (!err && options->deny_spawn)
        err = deny_spawn(ctx);
    return finish(ctx, err, errp);
}

bool sandbox_close(const SandboxOptions *options, GError **errp)
{
    scmp_filter_ctx ctx;
    int err = 0;

    if (!options->enable || (!options->deny_elevate && !options->deny_resource_control))
        return true;
    ctx = seccomp_init(SCMP_ACT_ALLOW);
    if (!ctx)
        return error_set(errp, "-sandbox: no memory for the filter of system calls");
    if (options->deny_elevate)
        err = add_rules(ctx, elevate_calls, SCMP_ACT_KILL_PROCESS);
    if (!err && options->deny_resource_control)
        err = add_rules(ctx, resource_calls, SCMP_ACT_ERRNO(EPERM));
    return finish(ctx, err, errp);
}

#else /* !HAVE_SECCOMP */

bool sandbox_is_available(GError **errp)
{
    return error_set_code(errp, VMM_ERROR_ABSENT, "this build of vmm has no system call filter (build with libseccomp)");
}

bool sandbox_enter(const SandboxOptions *options, GError **errp)
{
    return !options->enable || sandbox_is_available(errp);
}

bool sandbox_close(const SandboxOptions *options, GError **errp)
{
    return true;
}

#endif
