/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Another user, another root directory, memory that stays (core/sandbox.h).
 */
#include "core/sandbox.h"

#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <sys/mman.h>
#include <unistd.h>

#include "config/keyval.h"
#include "core/error.h"

#define GROUPS_MAX 256

typedef struct Identity {
    uid_t uid;
    gid_t gid;
    gid_t groups[GROUPS_MAX];
    int group_count;
} Identity;

/* "UID:GID" */
static bool parse_numbers(const char *user, Identity *id)
{
    g_auto(GStrv) parts = g_strsplit(user, ":", 2);
    uint64_t uid, gid;

    if (g_strv_length(parts) != 2 || !parse_u64(parts[0], &uid) || !parse_u64(parts[1], &gid))
        return false;
    if (uid >= (uid_t)-1 || gid >= (gid_t)-1)
        return false;
    *id = (Identity){.uid = (uid_t)uid, .gid = (gid_t)gid};
    return true;
}

static bool find_user(const char *user, Identity *id, GError **errp)
{
    const struct passwd *entry;

    if (parse_numbers(user, id))
        return true;
    entry = getpwnam(user);
    if (!entry)
        return error_set_code(errp, VMM_ERROR_USAGE, "there is no user '%s'; give a name or UID:GID", user);
    *id = (Identity){.uid = entry->pw_uid, .gid = entry->pw_gid, .group_count = GROUPS_MAX};
    if (getgrouplist(user, id->gid, id->groups, &id->group_count) < 0)
        return error_set(errp, "user '%s' is in more than %d groups", user, GROUPS_MAX);
    return true;
}

bool run_with_check(const RunWith *run_with, GError **errp)
{
    Identity id;

    if (run_with->chroot && run_with->chroot[0] != '/')
        return error_set_code(errp, VMM_ERROR_USAGE, "chroot '%s' is not an absolute path", run_with->chroot);
    return !run_with->user || find_user(run_with->user, &id, errp);
}

static bool enter_root(const char *path, GError **errp)
{
    if (chroot(path) < 0 || chdir("/") < 0)
        return error_set_errno(errp, errno, "-run-with chroot=%s: cannot make it the root directory", path);
    return true;
}

/* Groups first, while we may; then there must be no way back. */
static bool become(const Identity *id, const char *user, GError **errp)
{
    if (setgroups((size_t)id->group_count, id->groups) < 0 || setresgid(id->gid, id->gid, id->gid) < 0 || setresuid(id->uid, id->uid, id->uid) < 0)
        return error_set_errno(errp, errno, "-run-with user=%s: cannot become this user", user);
    if (id->uid && setuid(0) == 0)
        return error_set(errp, "-run-with user=%s: the process could still become root; this is refused", user);
    return true;
}

bool run_with_enter(const RunWith *run_with, GError **errp)
{
    Identity id;

    if (run_with->user && !find_user(run_with->user, &id, errp))
        return false;
    if (run_with->chroot && !enter_root(run_with->chroot, errp))
        return false;
    return !run_with->user || become(&id, run_with->user, errp);
}

bool lock_memory(GError **errp)
{
    if (mlockall(MCL_CURRENT | MCL_FUTURE) == 0)
        return true;
    return error_set_errno(errp, errno, "-overcommit mem-lock=on: cannot lock the memory (see ulimit -l)");
}
