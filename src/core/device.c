/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The life of a device, as core/device.h draws it.
 */
#include "core/device.h"

#include <string.h>

#include "core/error.h"
#include "core/lock.h"
#include "core/log.h"
#include "core/machine.h"

const DeviceType *device_type_find(const char *name)
{
    for (const DeviceType *const *type = device_types; *type; type++) {
        if (!strcmp((*type)->name, name))
            return *type;
    }
    return NULL;
}

const char *device_name(const Device *dev)
{
    return dev->id ? dev->id : dev->type->name;
}

bool device_set_property(Device *dev, const char *name, const char *value, GError **errp)
{
    g_assert(!dev->realized);
    return property_set(dev->type->props, dev, device_name(dev), name, value, errp);
}

/* Values were checked when they were given. */
static void set_globals(Device *dev)
{
    const GPtrArray *globals = dev->machine ? dev->machine->globals : NULL;

    for (guint i = 0; globals && i < globals->len; i++) {
        GlobalProperty *global = g_ptr_array_index(globals, i);
        if (strcmp(global->driver, dev->type->name) == 0) {
            global->used = true;
            (void)device_set_property(dev, global->property, global->value, NULL);
        }
    }
}

Device *device_new(const DeviceType *type, Machine *machine, const char *id)
{
    Device *dev = g_malloc0(type->instance_size);

    g_assert(type->instance_size >= sizeof(Device));
    dev->type = type;
    dev->machine = machine;
    dev->id = g_strdup(id);
    property_set_defaults(type->props, dev);
    set_globals(dev);
    return dev;
}

bool device_realize(Device *dev, GError **errp)
{
    bool ok;

    g_assert(!dev->realized);
    machine_lock();
    ok = !dev->type->realize || dev->type->realize(dev, errp);
    if (ok) {
        dev->realized = true;
        if (dev->machine)
            g_ptr_array_add(dev->machine->devices, dev);
    } else {
        g_prefix_error(errp, "%s: ", device_name(dev));
    }
    machine_unlock();
    return ok;
}

/* A reset gives a device that its guest broke a new start. */
void device_reset(Device *dev)
{
    machine_lock();
    g_clear_pointer(&dev->broken, g_free);
    if (dev->type->reset)
        dev->type->reset(dev);
    machine_unlock();
}

static void unrealize_locked(Device *dev)
{
    if (dev->machine)
        g_ptr_array_remove(dev->machine->devices, dev);
    if (dev->type->unrealize)
        dev->type->unrealize(dev);
    dev->realized = false;
}

void device_free(Device *dev)
{
    if (!dev)
        return;
    machine_lock();
    if (dev->realized)
        unrealize_locked(dev);
    property_release(dev->type->props, dev);
    machine_unlock();
    g_free(dev->broken);
    g_free(dev->id);
    g_free(dev);
}

void device_set_broken(Device *dev, const char *fmt, ...)
{
    va_list ap;

    if (dev->broken)
        return;
    va_start(ap, fmt);
    dev->broken = g_strdup_vprintf(fmt, ap);
    va_end(ap);
    log_warn("%s: stopped until its next reset: %s", device_name(dev), dev->broken);
}

void device_type_print_help(const DeviceType *type, GString *out)
{
    g_string_append_printf(out, "%s: %s\n", type->name, type->desc);
    property_print_help(type->props, out);
}
