/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Makes the machine the options describe (config/configure.h).
 *
 * Character devices of -serial and -debugcon have fixed ids, as on QEMU: serial0 to serial3, debugcon.
 */
#include "config/configure.h"

#include <string.h>

#include "block/drive.h"
#include "chardev/char.h"
#include "core/error.h"
#include "core/lock.h"
#include "hw/i386/cpu-model.h"
#include "monitor/monitor.h"
#include "src/config/options-int.h"

/* Properties of -machine that are no board's (opt-machine.c). */
static const char *const common_machine_keys[] = {
    "type",   "accel",  "kernel-irqchip", "memory-backend", "dump-guest-core",
    "kernel", "initrd", "append",         "firmware",
};

static bool is_common_key(const char *key)
{
    for (unsigned i = 0; i < G_N_ELEMENTS(common_machine_keys); i++) {
        if (strcmp(common_machine_keys[i], key) == 0)
            return true;
    }
    return false;
}

typedef struct BoardProps {
    Machine *machine;
    GError **errp;
} BoardProps;

static bool unknown_machine_property(const MachineType *type, const char *key, GError **errp)
{
    g_autoptr(GPtrArray) names = g_ptr_array_new();

    for (const Property *prop = type->props; prop && prop->name; prop++)
        g_ptr_array_add(names, (char *)prop->name);
    for (unsigned i = 0; i < G_N_ELEMENTS(common_machine_keys); i++)
        g_ptr_array_add(names, (char *)common_machine_keys[i]);
    g_ptr_array_add(names, NULL);
    g_autofree char *near = did_you_mean(key, (const char *const *)names->pdata);
    return error_set_code(errp, VMM_ERROR_USAGE, "-machine %s: unknown property '%s'%s", type->name, key, near);
}

/* "_" in a property's name is "-", as QEMU has it for -machine. */
static bool set_board_property(const char *path, const char *value, void *opaque)
{
    BoardProps *board = opaque;
    const MachineType *type = board->machine->type;
    g_autofree char *key = g_strdelimit(g_strdup(path), "_", '-');

    if (is_common_key(key))
        return true;
    const Property *prop = type->props ? property_find(type->props, key) : NULL;
    if (!prop)
        return unknown_machine_property(type, key, board->errp);
    if (!property_parse(prop, board->machine, value, board->errp)) {
        g_prefix_error(board->errp, "-machine %s: ", type->name);
        return false;
    }
    return true;
}

static bool set_machine_options(Machine *machine, Options *options, GError **errp)
{
    BoardProps board = {machine, errp};

    machine->name = g_steal_pointer(&options->name);
    machine->ram_size = options->ram.size;
    machine->ram_options = options->ram;
    machine->smp = options->topology;
    if (options->cpu.model) {
        cpu_options_release(&machine->cpu);
        machine->cpu = options->cpu;
        options->cpu = (CpuOptions){0};
    }
    machine->boot = options->boot;
    options->boot = (BootOptions){0};
    for (guint i = 0; i < options->firmware_dirs->len; i++)
        g_ptr_array_add(machine->firmware_dirs, g_strdup(g_ptr_array_index(options->firmware_dirs, i)));
    machine->nographic = options->nographic;
    machine->rtc.base = g_strdup(keyval_get(options->rtc, "base"));
    machine->rtc.clock = g_strdup(keyval_get(options->rtc, "clock"));
    machine->no_reboot = options->no_reboot;
    machine->no_shutdown = options->no_shutdown;
    machine->panic_action = options->panic_action;
    machine->watchdog_action = options->watchdog_action;
    memcpy(machine->uuid, options->uuid, sizeof(machine->uuid));
    machine->globals = options->globals;
    machine->vcpu_affinity = options->vcpu_affinity;
    machine->cpu_pm = options->cpu_pm;
    return keyval_foreach(options->machine, set_board_property, &board);
}

/* The machine owns those that were added, options the rest. */
static bool add_objects(Machine *machine, Options *options, GError **errp)
{
    while (options->objects->len) {
        Object *obj = g_ptr_array_index(options->objects, 0);
        if (!object_add(machine, obj, errp)) {
            g_prefix_error(errp, "-object %s,id=%s: ", obj->type->name, obj->id);
            return false;
        }
        g_ptr_array_steal_index(options->objects, 0);
    }
    return true;
}

static bool open_chardevs(const Options *options, GError **errp)
{
    for (guint i = 0; i < options->chardevs->len; i++) {
        KvNode *kv = g_ptr_array_index(options->chardevs, i);
        if (!chardev_new_from_options(kv, errp)) {
            g_prefix_error(errp, "-chardev %s,id=%s: ", keyval_get(kv, "backend"), keyval_get(kv, "id"));
            return false;
        }
    }
    return true;
}

static bool open_serials(Machine *machine, const Options *options, GError **errp)
{
    for (guint i = 0; i < options->serials->len; i++) {
        const char *spec = g_ptr_array_index(options->serials, i);
        g_autofree char *id = g_strdup_printf("serial%u", i);
        if (strcmp(spec, "none") == 0)
            continue;
        Chardev *chr = chardev_new_legacy(id, spec, errp);
        if (!chr) {
            g_prefix_error(errp, "-serial %s: ", spec);
            return false;
        }
        machine->serial[i] = g_strdup(chardev_id(chr));
    }
    return true;
}

/* -monitor's devices have QEMU's ids; from here on each monitor knows its chardev. */
static bool open_monitors(const Options *options, GError **errp)
{
    for (guint i = 0; i < options->monitors->len; i++) {
        MonitorOptions *monitor = g_ptr_array_index(options->monitors, i);
        const char *option = monitor->mode == MONITOR_QMP ? "qmp" : "monitor";
        g_autofree char *id = g_strdup_printf("compat_monitor%u", i);
        if (!monitor->device)
            continue;
        Chardev *chr = chardev_new_legacy(id, monitor->device, errp);
        if (!chr) {
            g_prefix_error(errp, "-%s %s: ", option, monitor->device);
            return false;
        }
        monitor->chardev = g_strdup(chardev_id(chr));
    }
    return true;
}

static bool find_monitors_chardevs(const Options *options, GError **errp)
{
    for (guint i = 0; i < options->monitors->len; i++) {
        const MonitorOptions *monitor = g_ptr_array_index(options->monitors, i);
        if (!chardev_find(monitor->chardev))
            return error_set_code(errp, VMM_ERROR_USAGE, "-mon %s: there is no such character device; make it with "
                                  "-chardev BACKEND,id=%s", monitor->chardev, monitor->chardev);
    }
    return true;
}

static bool open_blockdev(KvNode *kv, GError **errp)
{
    if (blockdev_open(kv, errp))
        return true;
    g_prefix_error(errp, "-blockdev node-name=%s: ", keyval_get(kv, "node-name"));
    return false;
}

static bool open_drive(const DriveOption *drive, bool snapshot, GError **errp)
{
    const char *file = keyval_get(drive->keys, "file");

    if (drive_open(drive->keys, DRIVE_IF_IDE, snapshot, errp))
        return true;
    g_prefix_error(errp, "-%s %s%s: ", drive->name, file && strcmp(drive->name, "drive") == 0 ? "file=" : "", file ? file : "");
    return false;
}

/* An empty CD drive, as on QEMU, unless there is a drive in its place or -device names IDE drives. */
static bool open_default_cdrom(const Options *options, GError **errp)
{
    bool wanted = !options->nodefaults && !drive_at(DRIVE_IF_IDE, 1, 0);

    for (guint i = 0; i < options->devices->len && wanted; i++) {
        const char *driver = keyval_get(g_ptr_array_index(options->devices, i), "driver");
        wanted = g_strcmp0(driver, "ide-hd") != 0 && g_strcmp0(driver, "ide-cd") != 0;
    }
    if (!wanted)
        return true;
    g_autoptr(KvNode) kv = keyval_parse("if=ide,index=2,media=cdrom", NULL, errp);
    return kv && drive_open(kv, DRIVE_IF_IDE, false, errp);
}

static bool open_drives(const Options *options, GError **errp)
{
    for (guint i = 0; i < options->blockdevs->len; i++) {
        if (!open_blockdev(g_ptr_array_index(options->blockdevs, i), errp))
            return false;
    }
    for (guint i = 0; i < options->drives->len; i++) {
        if (!open_drive(g_ptr_array_index(options->drives, i), options->snapshot, errp))
            return false;
    }
    return open_default_cdrom(options, errp);
}

typedef struct DeviceProps {
    Device *dev;
    GError **errp;
} DeviceProps;

static bool set_device_property(const char *path, const char *value, void *opaque)
{
    DeviceProps *props = opaque;

    if (strcmp(path, "driver") == 0 || strcmp(path, "id") == 0)
        return true;
    return device_set_property(props->dev, path, value, props->errp);
}

static bool id_is_taken(const Machine *machine, const char *id)
{
    for (guint i = 0; id && i < machine->user_devices->len; i++) {
        const Device *dev = g_ptr_array_index(machine->user_devices, i);
        if (g_strcmp0(dev->id, id) == 0)
            return true;
    }
    return false;
}

Device *device_from_options(Machine *machine, KvNode *kv, GError **errp)
{
    Device *dev = device_new(device_type_find(keyval_get(kv, "driver")), machine, keyval_get(kv, "id"));
    DeviceProps props = {dev, errp};

    if (keyval_foreach(kv, set_device_property, &props))
        return dev;
    device_free(dev);
    return NULL;
}

static bool add_device(Machine *machine, KvNode *kv, GError **errp)
{
    const char *name = keyval_get(kv, "driver");
    const char *id = keyval_get(kv, "id");

    if (id_is_taken(machine, id))
        return error_set_code(errp, VMM_ERROR_USAGE, "-device %s: the id '%s' is used twice", name, id);
    Device *dev = device_from_options(machine, kv, errp);
    if (!dev) {
        g_prefix_error(errp, "-device %s: ", name);
        return false;
    }
    g_ptr_array_add(machine->user_devices, dev);
    return true;
}

static bool add_debugcon(Machine *machine, const char *spec, GError **errp)
{
    Chardev *chr = chardev_new_legacy("debugcon", spec, errp);

    if (!chr) {
        g_prefix_error(errp, "-debugcon %s: ", spec);
        return false;
    }
    g_autofree char *arg = g_strdup_printf("isa-debugcon,chardev=%s", chardev_id(chr));
    g_autoptr(KvNode) kv = keyval_parse(arg, "driver", errp);
    return kv && add_device(machine, kv, errp);
}

static bool add_devices(Machine *machine, const Options *options, GError **errp)
{
    for (guint i = 0; i < options->devices->len; i++) {
        if (!add_device(machine, g_ptr_array_index(options->devices, i), errp))
            return false;
    }
    return !options->debugcon || add_debugcon(machine, options->debugcon, errp);
}

Machine *machine_from_options(Options *options, GError **errp)
{
    Machine *machine = machine_new(options->machine_type);

    machine_lock();
    bool ok = set_machine_options(machine, options, errp) && add_objects(machine, options, errp) &&
              open_chardevs(options, errp) && open_serials(machine, options, errp) &&
              open_monitors(options, errp) && open_drives(options, errp) && add_devices(machine, options, errp) &&
              find_monitors_chardevs(options, errp);
    machine_unlock();
    if (!ok) {
        machine_free(machine);
        return NULL;
    }
    machine->accel = accel_create((const char *const *)options->accels->pdata, options->accels->len, errp);
    if (!machine->accel) {
        machine_free(machine);
        return NULL;
    }
    return machine;
}
