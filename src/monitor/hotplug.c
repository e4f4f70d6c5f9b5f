/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * device_add and device_del: what can be plugged are devices of bus "pci", into the machine's hot plug
 * controller (MachineType.plug).
 */
#include "hotplug.h"

#include <string.h>

#include "config/configure.h"
#include "core/error.h"

static Device *find_device(const Machine *machine, const char *id)
{
    for (guint i = 0; i < machine->devices->len; i++) {
        Device *dev = g_ptr_array_index(machine->devices, i);
        if (g_strcmp0(dev->id, id) == 0)
            return dev;
    }
    return NULL;
}

static bool can_be_plugged(const Machine *machine, const DeviceType *type)
{
    return machine->type->plug && strcmp(type->bus, "pci") == 0;
}

static bool check(const Machine *machine, KvNode *kv, GError **errp)
{
    const char *name = keyval_get(kv, "driver"), *id = keyval_get(kv, "id");
    const DeviceType *type = name ? device_type_find(name) : NULL;

    if (!name)
        return error_set(errp, "driver= is missing: the kind of device");
    if (!type || !type->user_creatable)
        return error_set(errp, "there is no device '%s'; 'vmm -device help' lists them", name);
    if (!can_be_plugged(machine, type))
        return error_set(errp, "a device '%s' cannot be plugged while the VM runs; give it to the next with -device",
                         name);
    if (id && find_device(machine, id))
        return error_set(errp, "the id '%s' is taken", id);
    return true;
}

bool hotplug_add(Machine *machine, KvNode *kv, GError **errp)
{
    Device *dev = check(machine, kv, errp) ? device_from_options(machine, kv, errp) : NULL;

    if (!dev)
        return false;
    if (device_realize(dev, errp)) {
        device_reset(dev);
        if (machine->type->plug(machine, dev, errp))
            return true;
    }
    device_free(dev);
    return false;
}

bool hotplug_request_removal(Machine *machine, const char *id, GError **errp)
{
    Device *dev = find_device(machine, id);

    if (!dev)
        return error_set(errp, "there is no device with the id '%s'", id);
    if (!can_be_plugged(machine, dev->type))
        return error_set(errp, "'%s' cannot be unplugged", id);
    return machine->type->request_unplug(machine, dev, errp);
}
