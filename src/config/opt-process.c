/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Options about the process that runs the VM: its name and how it speaks.
 */
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
