/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * -global: defaults for all devices of a kind. The value is tried on a device that is thrown away, so
 * that device_new (core/device.c) has nothing to refuse.
 */
#include <string.h>

#include "core/error.h"
#include "src/config/options-int.h"

void global_property_free(void *opaque)
{
    GlobalProperty *global = opaque;

    g_free(global->driver);
    g_free(global->property);
    g_free(global->value);
    g_free(global);
}

/* "DRIVER.PROP=VALUE", or with the keys driver=, property= and value=. NULL with an error. */
static GlobalProperty *parse(const char *arg, GError **errp)
{
    static const char *const keys[] = {"driver", "property", "value", NULL};
    GlobalProperty *global = g_new0(GlobalProperty, 1);
    size_t driver_len = strcspn(arg, ".=,"), name_len = strcspn(arg, "=,");

    if (arg[driver_len] == '.' && arg[name_len] == '=') {
        global->driver = g_strndup(arg, driver_len);
        global->property = g_strndup(arg + driver_len + 1, name_len - driver_len - 1);
        global->value = g_strdup(arg + name_len + 1);
        return global;
    }
    g_autoptr(KvNode) kv = keyval_parse(strchr(arg, '=') ? arg : "", NULL, errp);
    if (kv) {
        global->driver = g_strdup(keyval_get(kv, "driver"));
        global->property = g_strdup(keyval_get(kv, "property"));
        global->value = g_strdup(keyval_get(kv, "value"));
        if (!keyval_check_unused(kv, "-global", keys, errp)) {
            global_property_free(global);
            return NULL;
        }
    }
    if (kv && global->driver && global->property && global->value)
        return global;
    if (kv)
        error_set_code(errp, VMM_ERROR_USAGE, "it takes DRIVER.PROPERTY=VALUE, or driver=, property= and value=");
    global_property_free(global);
    return NULL;
}

static bool unknown_driver(const char *name, GError **errp)
{
    g_autoptr(GPtrArray) names = g_ptr_array_new();

    for (unsigned i = 0; device_types[i]; i++)
        g_ptr_array_add(names, (char *)device_types[i]->name);
    g_ptr_array_add(names, NULL);
    g_autofree char *near = did_you_mean(name, (const char *const *)names->pdata);
    return error_set_code(errp, VMM_ERROR_USAGE, "there is no device '%s'%s", name, near);
}

static bool try_value(const DeviceType *type, const GlobalProperty *global, GError **errp)
{
    const Property *prop = property_find(type->props, global->property);

    if (prop && prop->kind == PROP_CHARDEV)
        return error_set_code(errp, VMM_ERROR_USAGE, "%s is a character device, which has one user; give it with -device",
                              global->property);
    Device *dev = device_new(type, NULL, NULL);
    bool ok = device_set_property(dev, global->property, global->value, errp);
    device_free(dev);
    return ok;
}

bool opt_global(Options *options, const OptionSpec *spec, const char *arg, GError **errp)
{
    GlobalProperty *global = parse(arg, errp);

    if (!global)
        return false;
    const DeviceType *type = device_type_find(global->driver);
    if (type ? try_value(type, global, errp) : unknown_driver(global->driver, errp)) {
        g_ptr_array_add(options->globals, global);
        return true;
    }
    global_property_free(global);
    return false;
}
