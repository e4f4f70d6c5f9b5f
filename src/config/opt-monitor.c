/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Options that add monitors.
 */
#include <string.h>

#include "core/error.h"
#include "monitor/monitor.h"
#include "src/config/options-int.h"

static bool add_on_device(Options *options, MonitorMode mode, bool pretty, const char *device)
{
    if (arg_asks_for_help(device)) {
        g_autoptr(GString) out = g_string_new(NULL);
        monitor_print_help(mode, out);
        options_print_help(options, out);
    } else if (strcmp(device, "none") != 0) {
        MonitorOptions *monitor = monitor_options_new(mode, device, NULL);
        monitor->pretty = pretty;
        g_ptr_array_add(options->monitors, monitor);
    }
    return true;
}

bool opt_monitor(Options *options, const OptionSpec *spec, const char *arg, GError **errp)
{
    options->monitor_given = true;
    return add_on_device(options, MONITOR_HUMAN, false, arg);
}

bool opt_qmp(Options *options, const OptionSpec *spec, const char *arg, GError **errp)
{
    return add_on_device(options, MONITOR_QMP, strcmp(spec->name, "qmp-pretty") == 0, arg);
}

static bool parse_mode(const char *value, MonitorMode *mode, GError **errp)
{
    *mode = value && strcmp(value, "control") == 0 ? MONITOR_QMP : MONITOR_HUMAN;
    if (*mode == MONITOR_HUMAN && value && strcmp(value, "readline") != 0)
        return error_set_code(errp, VMM_ERROR_USAGE, "mode=%s: it can be readline (for people) or control (QMP)", value);
    return true;
}

bool opt_mon(Options *options, const OptionSpec *spec, const char *arg, GError **errp)
{
    static const char *const known[] = {"chardev", "mode", "pretty", NULL};
    g_autoptr(KvNode) kv = keyval_parse(arg, "chardev", errp);
    MonitorMode mode;
    bool pretty = false;

    if (!kv || !parse_mode(keyval_get(kv, "mode"), &mode, errp))
        return false;
    const char *chardev = keyval_get(kv, "chardev"), *indented = keyval_get(kv, "pretty");
    if (!chardev)
        return error_set_code(errp, VMM_ERROR_USAGE, "chardev= is missing; make one with -chardev BACKEND,id=ID");
    if (indented && !parse_bool(indented, &pretty))
        return error_set_code(errp, VMM_ERROR_USAGE, "pretty=%s is neither on nor off", indented);
    if (pretty && mode == MONITOR_HUMAN)
        return error_set_code(errp, VMM_ERROR_USAGE, "pretty=on is for mode=control");
    if (!keyval_check_unused(kv, "mon", known, errp))
        return false;
    MonitorOptions *monitor = monitor_options_new(mode, NULL, chardev);
    monitor->pretty = pretty;
    g_ptr_array_add(options->monitors, monitor);
    if (mode == MONITOR_HUMAN)
        options->monitor_given = true;
    return true;
}
