/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Options about the process that runs the VM: its name, how it speaks, what it was given and what it
 * gives up.
 */
#include <limits.h>
#include <unistd.h>

#include "core/error.h"
#include "src/config/options-int.h"

/* False if value is there and no boolean; *out stays if it is not there. */
static bool read_bool(KvNode *kv, const char *key, bool *out, GError **errp)
{
    const char *value = keyval_get(kv, key);

    if (value && !parse_bool(value, out))
        return error_set_code(errp, VMM_ERROR_USAGE, "%s=%s is neither on nor off", key, value);
    return true;
}

bool opt_name(Options *options, const OptionSpec *spec, const char *arg, GError **errp)
{
    static const char *const keys[] = {"guest", "process", "debug-threads", NULL};
    g_autoptr(KvNode) kv = keyval_parse(arg, "guest", errp);
    bool named = true;

    if (!kv)
        return false;
    const char *guest = keyval_get(kv, "guest");
    const char *process = keyval_get(kv, "process");
    if (!read_bool(kv, "debug-threads", &named, errp) || !keyval_check_unused(kv, "-name", keys, errp))
        return false;
    options->unnamed_threads = !named;
    g_free(options->name);
    g_free(options->process_name);
    options->name = g_strdup(guest);
    options->process_name = g_strdup(process);
    return true;
}

bool opt_msg(Options *options, const OptionSpec *spec, const char *arg, GError **errp)
{
    static const char *const keys[] = {"timestamp", "guest-name", NULL};
    g_autoptr(KvNode) kv = keyval_parse(arg, NULL, errp);

    return kv && read_bool(kv, "timestamp", &options->msg_timestamp, errp) &&
           read_bool(kv, "guest-name", &options->msg_guest_name, errp) && keyval_check_unused(kv, "-msg", keys, errp);
}

bool opt_overcommit(Options *options, const OptionSpec *spec, const char *arg, GError **errp)
{
    static const char *const keys[] = {"mem-lock", "cpu-pm", NULL};
    g_autoptr(KvNode) kv = keyval_parse(arg, NULL, errp);

    return kv && read_bool(kv, "mem-lock", &options->mem_lock, errp) && read_bool(kv, "cpu-pm", &options->cpu_pm, errp) &&
           keyval_check_unused(kv, "-overcommit", keys, errp);
}

/* NULL: as before. Checked here, while the command line is the user's to correct. */
static bool set_run_with(RunWith *run_with, const char *root, const char *user, GError **errp)
{
    const RunWith given = {(char *)root, (char *)user};

    if (!run_with_check(&given, errp))
        return false;
    if (root) {
        g_free(run_with->chroot);
        run_with->chroot = g_strdup(root);
    }
    if (user) {
        g_free(run_with->user);
        run_with->user = g_strdup(user);
    }
    return true;
}

bool opt_run_with(Options *options, const OptionSpec *spec, const char *arg, GError **errp)
{
    static const char *const keys[] = {"chroot", "user", NULL};
    g_autoptr(KvNode) kv = keyval_parse(arg, NULL, errp);

    if (!kv)
        return false;
    const char *root = keyval_get(kv, "chroot"), *user = keyval_get(kv, "user");
    if (!keyval_check_unused(kv, "-run-with", keys, errp))
        return false;
    if (!root && !user)
        return error_set_code(errp, VMM_ERROR_USAGE, "it takes chroot=DIR and user=NAME");
    return set_run_with(&options->run_with, root, user, errp);
}

bool opt_runas(Options *options, const OptionSpec *spec, const char *arg, GError **errp)
{
    return set_run_with(&options->run_with, NULL, arg, errp);
}

bool opt_chroot(Options *options, const OptionSpec *spec, const char *arg, GError **errp)
{
    return set_run_with(&options->run_with, arg, NULL, errp);
}

/* The members of -sandbox; "children" is elevateprivileges' alone. */
typedef struct SandboxArgs {
    bool enable;
    int obsolete, elevate, spawn, resource;
} SandboxArgs;

static const char *const elevate_names[] = {"allow", "deny", "children", NULL};
static const char *const deny_names[] = {"allow", "deny", NULL};

#define SANDBOX_GROUP(name_, field, names_, def_, help_) \
    {.name = name_, .kind = PROP_ENUM, .offset = offsetof(SandboxArgs, field), .def = def_, .names = names_, .help = help_}

static const Property sandbox_props[] = {
    {.name = "enable", .kind = PROP_BOOL, .offset = offsetof(SandboxArgs, enable), .help = "whether there is a sandbox"},
    SANDBOX_GROUP("obsolete", obsolete, deny_names, "deny", "calls nothing uses any more"),
    SANDBOX_GROUP("elevateprivileges", elevate, elevate_names, "allow", "set*uid, set*gid and their kind"),
    SANDBOX_GROUP("spawn", spawn, deny_names, "allow", "new processes and programs"),
    SANDBOX_GROUP("resourcecontrol", resource, deny_names, "allow", "affinity, priorities, scheduling"),
    {.name = NULL},
};

typedef struct SetSandbox {
    SandboxArgs args;
    GError **errp;
} SetSandbox;

static bool set_sandbox(const char *path, const char *value, void *opaque)
{
    SetSandbox *set = opaque;

    return property_set(sandbox_props, &set->args, "-sandbox", path, value, set->errp);
}

bool opt_sandbox(Options *options, const OptionSpec *spec, const char *arg, GError **errp)
{
    g_autoptr(KvNode) kv = keyval_parse(arg, "enable", errp);
    SetSandbox set = {.errp = errp};
    bool detailed;

    property_set_defaults(sandbox_props, &set.args);
    if (!kv || !keyval_foreach(kv, set_sandbox, &set))
        return false;
    if (!keyval_get(kv, "enable"))
        return error_set_code(errp, VMM_ERROR_USAGE, "it takes on or off first");
    detailed = keyval_get(kv, "obsolete") || keyval_get(kv, "elevateprivileges") || keyval_get(kv, "spawn") ||
               keyval_get(kv, "resourcecontrol");
    if (detailed && !set.args.enable)
        return error_set_code(errp, VMM_ERROR_USAGE, "groups are named, but the sandbox is not on; write -sandbox on,...");
    options->sandbox = (SandboxOptions){
        .enable = set.args.enable,
        .allow_obsolete = set.args.obsolete == 0,
        .deny_elevate = set.args.elevate != 0,
        .no_new_privs = set.args.elevate == 2,
        .deny_spawn = set.args.spawn != 0,
        .deny_resource_control = set.args.resource != 0,
    };
    return !set.args.enable || sandbox_is_available(errp);
}

static bool read_number(KvNode *kv, const char *key, uint64_t min, uint64_t *out, GError **errp)
{
    const char *value = keyval_get(kv, key);

    if (!value)
        return error_set_code(errp, VMM_ERROR_USAGE, "%s= is missing", key);
    if (!parse_u64(value, out) || *out < min || *out > INT_MAX)
        return error_set_code(errp, VMM_ERROR_USAGE, "%s=%s is not a number of at least %" G_GUINT64_FORMAT, key, value, min);
    return true;
}

/* That the descriptor is there is seen when the sets are made, with everything else that is opened. */
bool opt_add_fd(Options *options, const OptionSpec *spec, const char *arg, GError **errp)
{
    static const char *const keys[] = {"fd", "set", "opaque", NULL};
    g_autoptr(KvNode) kv = keyval_parse(arg, NULL, errp);
    uint64_t fd, set;

    if (!kv || !read_number(kv, "fd", STDERR_FILENO + 1, &fd, errp) || !read_number(kv, "set", 0, &set, errp))
        return false;
    AddFd add = {(int)fd, (unsigned)set, g_strdup(keyval_get(kv, "opaque"))};
    if (!keyval_check_unused(kv, "-add-fd", keys, errp)) {
        g_free(add.opaque);
        return false;
    }
    g_array_append_val(options->add_fds, add);
    return true;
}
