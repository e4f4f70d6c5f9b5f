/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Options that add devices and the character backends behind them.
 */
#include <string.h>

#include "chardev/char.h"
#include "core/error.h"
#include "core/log.h"
#include "src/config/options-int.h"

static void list_devices(Options *options)
{
    g_autoptr(GString) out = g_string_new("Devices:\n");

    for (unsigned i = 0; device_types[i]; i++) {
        const DeviceType *type = device_types[i];
        if (type->user_creatable)
            g_string_append_printf(out, "  %-20s bus %-8s %s\n", type->name, type->bus, type->desc);
    }
    options_print_help(options, out);
}

static bool unknown_device(const char *name, GError **errp)
{
    g_autoptr(GPtrArray) names = g_ptr_array_new();

    for (unsigned i = 0; device_types[i]; i++) {
        if (device_types[i]->user_creatable)
            g_ptr_array_add(names, (char *)device_types[i]->name);
    }
    g_ptr_array_add(names, NULL);
    g_autofree char *near = did_you_mean(name, (const char *const *)names->pdata);
    return error_set_code(errp, VMM_ERROR_USAGE, "unknown device '%s'%s%s", name, near,
                          *near ? "" : "; '-device help' lists them");
}

bool opt_device(Options *options, const OptionSpec *spec, const char *arg, GError **errp)
{
    if (arg_asks_for_help(arg)) {
        list_devices(options);
        return true;
    }
    g_autoptr(KvNode) kv = keyval_parse(arg, "driver", errp);
    if (!kv)
        return false;

    const char *name = keyval_get(kv, "driver");
    if (!name)
        return error_set_code(errp, VMM_ERROR_USAGE, "the device's name is missing; '-device help' lists them");
    const DeviceType *type = device_type_find(name);
    if (!type)
        return unknown_device(name, errp);
    if (keyval_asks_for_help(kv)) {
        g_autoptr(GString) out = g_string_new(NULL);
        device_type_print_help(type, out);
        options_print_help(options, out);
        return true;
    }
    if (!type->user_creatable)
        return error_set_code(errp, VMM_ERROR_USAGE, "'%s' is part of the board and cannot be added", name);
    g_ptr_array_add(options->devices, g_steal_pointer(&kv));
    return true;
}

static bool chardev_id_is_free(const Options *options, const char *id, GError **errp)
{
    for (guint i = 0; i < options->chardevs->len; i++) {
        if (strcmp(keyval_get(g_ptr_array_index(options->chardevs, i), "id"), id) == 0)
            return error_set_code(errp, VMM_ERROR_USAGE, "the id '%s' is used twice; choose another", id);
    }
    return true;
}

bool opt_chardev(Options *options, const OptionSpec *spec, const char *arg, GError **errp)
{
    bool help = arg_asks_for_help(arg);
    g_autoptr(KvNode) kv = help ? NULL : keyval_parse(arg, "backend", errp);

    if (!help && (!kv || !chardev_options_check(kv, errp)))
        return false;
    if (help || keyval_asks_for_help(kv)) {
        g_autoptr(GString) out = g_string_new(NULL);
        chardev_print_help(help ? NULL : keyval_get(kv, "backend"), out);
        options_print_help(options, out);
        return true;
    }
    if (!chardev_id_is_free(options, keyval_get(kv, "id"), errp))
        return false;
    g_ptr_array_add(options->chardevs, g_steal_pointer(&kv));
    return true;
}

bool opt_serial(Options *options, const OptionSpec *spec, const char *arg, GError **errp)
{
    if (options->serials->len == MAX_SERIALS)
        return error_set_code(errp, VMM_ERROR_USAGE, "there are only %d serial ports", MAX_SERIALS);
    g_ptr_array_add(options->serials, g_strdup(arg));
    return true;
}

bool opt_log_items(Options *options, const OptionSpec *spec, const char *arg, GError **errp)
{
    if (arg_asks_for_help(arg)) {
        g_autoptr(GString) out = g_string_new("Log items (comma separated):\n");
        log_print_help(out);
        options_print_help(options, out);
        return true;
    }
    g_free(options->log_items);
    options->log_items = g_strdup(arg);
    return true;
}
