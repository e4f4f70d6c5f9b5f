/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The drives on an IDE channel: ide-hd, ide-cd.
 *
 * A drive finds its channel among the machine's controllers: bus=ide.0 or ide.1 and unit=0 or 1, or
 * the first that is free.
 *
 * Locking: machine_lock.
 */
#include <string.h>

#include "core/bootorder.h"
#include "core/bits.h"
#include "core/error.h"
#include "core/machine.h"
#include "ide-internal.h"

#define SECTORS_MAX (UINT64_C(1) << 48)

/* --- Finding a place --- */

static PiixIde *find_controller(const Machine *machine)
{
    for (guint i = 0; i < machine->devices->len; i++) {
        Device *dev = g_ptr_array_index(machine->devices, i);

        if (dev->type == &piix_ide_type)
            return (PiixIde *)dev;
    }
    return NULL;
}

static bool fits(const IdeDrive *drive, unsigned channel, unsigned unit)
{
    g_autofree char *bus = g_strdup_printf("ide.%u", channel);

    return (!drive->bus_name || strcmp(drive->bus_name, bus) == 0) &&
           (drive->unit == IDE_UNIT_ANY || drive->unit == unit);
}

static bool no_place(const IdeDrive *drive, GError **errp)
{
    if (drive->unit != IDE_UNIT_ANY && drive->unit >= IDE_UNITS)
        return error_set(errp, "unit=%u: an IDE channel has units 0 and 1", drive->unit);
    if (drive->bus_name && strcmp(drive->bus_name, "ide.0") != 0 && strcmp(drive->bus_name, "ide.1") != 0)
        return error_set(errp, "there is no IDE channel '%s'; ide.0 and ide.1 exist", drive->bus_name);
    return error_set(errp, "there is a drive already: two channels, ide.0 and ide.1, have units 0 and 1 each");
}

static bool find_place(IdeDrive *drive, GError **errp)
{
    PiixIde *ide = find_controller(drive->dev.machine);

    if (!ide)
        return error_set(errp, "this machine has no IDE controller");
    for (unsigned i = 0; i < IDE_CHANNELS * IDE_UNITS; i++) {
        IdeChannel *channel = &ide->channels[i / IDE_UNITS];
        unsigned unit = i % IDE_UNITS;

        if (channel->drives[unit] || !fits(drive, channel->index, unit))
            continue;
        channel->drives[unit] = drive;
        drive->channel = channel;
        return true;
    }
    return no_place(drive, errp);
}

/* --- Properties --- */

static bool check_string(const char *name, const char *value, size_t max, GError **errp)
{
    for (const char *p = value; *p; p++) {
        if (*p < ' ' || *p > '~')
            return error_set(errp, "%s holds a character that is not printable ASCII", name);
    }
    if (strlen(value) > max)
        return error_set(errp, "%s '%s' is longer than %zu characters", name, value, max);
    return true;
}

static void default_string(char **value, char *other)
{
    if (*value)
        g_free(other);
    else
        *value = other;
}

/* VM00001 to VM00004, by place: so that disks can be told apart by their serial numbers. */
static bool set_names(IdeDrive *drive, GError **errp)
{
    default_string(&drive->serial, g_strdup_printf("VM%05u", ide_drive_index(drive) + 1));
    default_string(&drive->version, g_strdup("1.0"));
    default_string(&drive->model, g_strdup(drive->is_cd ? "VMM DVD-ROM" : "VMM HARDDISK"));
    return check_string("serial", drive->serial, 20, errp) && check_string("ver", drive->version, 8, errp) &&
           check_string("model", drive->model, 40, errp);
}

static bool check_geometry(const BlockConf *conf, GError **errp)
{
    if (conf->cylinders > 65535 || !conf->heads || conf->heads > 16 || !conf->sectors || conf->sectors > 63)
        return error_set(errp, "cyls=%u,heads=%u,secs=%u: an IDE disk has at most 65535, 16 and 63", conf->cylinders,
                         conf->heads, conf->sectors);
    return true;
}

static bool check_disk(IdeDrive *drive, GError **errp)
{
    BlockConf *conf = &drive->conf;

    if (!conf->blk && drive->is_cd)
        return true;
    if (!block_conf_check(conf, !drive->is_cd, drive->is_cd, errp))
        return false;
    if (conf->logical_block_size != IDE_SECTOR)
        return error_set(errp, "logical_block_size=%u: sectors of an IDE drive have 512 bytes",
                         conf->logical_block_size);
    if (drive->is_cd)
        return true;
    if (!check_geometry(conf, errp))
        return false;
    if (!ide_drive_sectors(drive))
        return error_set(errp, "'%s' is smaller than a sector of 512 bytes", blk_name(drive->conf.blk));
    if (ide_drive_sectors(drive) > SECTORS_MAX)
        return error_set(errp, "'%s' is larger than the 128 PiB an IDE disk can have", blk_name(drive->conf.blk));
    return true;
}

/* --- Life cycle --- */

/* As firmware names it: SeaBIOS docs/Runtime_config, "bootorder". */
static char *boot_path(const IdeDrive *drive)
{
    const IdeChannel *channel = drive->channel;
    g_autofree char *controller = pci_boot_path(&channel->ide->pci);

    return g_strdup_printf("%s/drive@%x/disk@%x", controller, channel->index, channel->drives[1] == drive);
}

static bool join_boot_order(IdeDrive *drive, GError **errp)
{
    g_autofree char *path = boot_path(drive);

    return boot_order_add(drive->dev.machine, drive->bootindex, path, errp);
}

static void leave_boot_order(IdeDrive *drive)
{
    g_autofree char *path = boot_path(drive);

    boot_order_remove(drive->dev.machine, path);
}

static void detach(IdeDrive *drive)
{
    if (drive->conf.blk) {
        blk_reset(drive->conf.blk);
        blk_set_device_ops(drive->conf.blk, NULL, NULL);
    }
    g_clear_pointer(&drive->buf, g_free);
    if (drive->channel)
        drive->channel->drives[drive->channel->drives[1] == drive] = NULL;
    drive->channel = NULL;
}

static bool drive_realize(IdeDrive *drive, bool is_cd, GError **errp)
{
    drive->is_cd = is_cd;
    if (!find_place(drive, errp))
        return false;
    if (!set_names(drive, errp) || !check_disk(drive, errp) || !join_boot_order(drive, errp)) {
        detach(drive);
        return false;
    }
    if (is_cd && drive->conf.blk)
        blk_set_device_ops(drive->conf.blk, &atapi_device_ops, drive);
    drive->buf = g_malloc(IDE_BUFFER_SIZE);
    ide_drive_defaults(drive);
    ide_drive_signature(drive);
    return true;
}

static bool hd_realize(Device *dev, GError **errp)
{
    return drive_realize((IdeDrive *)dev, false, errp);
}

static bool cd_realize(Device *dev, GError **errp)
{
    return drive_realize((IdeDrive *)dev, true, errp);
}

static void drive_unrealize(Device *dev)
{
    IdeDrive *drive = (IdeDrive *)dev;

    drive->regs.intrq = false;
    ide_channel_update_irq(drive->channel);
    leave_boot_order(drive);
    detach(drive);
}

/* The controller is reset before the drives, which are realized after it. */
static void drive_reset(Device *dev)
{
    IdeDrive *drive = (IdeDrive *)dev;

    ide_transfer_reset(drive);
    ide_drive_defaults(drive);
    drive->atapi.tray_open = false;
    ide_drive_signature(drive);
    ide_channel_update_irq(drive->channel);
}

#define DRIVE_PROPS \
    BLOCK_CONF_PROPERTIES(IdeDrive, conf), \
    {"bus", PROP_STRING, offsetof(IdeDrive, bus_name), NULL, "ide.0 or ide.1; the first with room", NULL, 0, 0}, \
    {"unit", PROP_U32, offsetof(IdeDrive, unit), "0xffffffff", "0 or 1 on its channel; the first free", NULL, 0, 0}, \
    {"serial", PROP_STRING, offsetof(IdeDrive, serial), NULL, "serial number, 20 characters", NULL, 0, 0}, \
    {"ver", PROP_STRING, offsetof(IdeDrive, version), NULL, "firmware revision, 8 characters", NULL, 0, 0}, \
    {"model", PROP_STRING, offsetof(IdeDrive, model), NULL, "model name, 40 characters", NULL, 0, 0}, \
    BOOTINDEX_PROP(IdeDrive, bootindex)

static const Property hd_props[] = {
    DRIVE_PROPS,
    {"wwn", PROP_U64, offsetof(IdeDrive, wwn), "0", "world wide name; 0: none", NULL, 0, 0},
    {"rotation_rate", PROP_U16, offsetof(IdeDrive, rotation_rate), "0", "rpm; 1: not rotating, 0: not told"},
    {0},
};

static const Property cd_props[] = {
    DRIVE_PROPS,
    {0},
};

const DeviceType ide_hd_type = {
    .name = "ide-hd",
    .desc = "IDE disk",
    .bus = "ide",
    .instance_size = sizeof(IdeDrive),
    .user_creatable = true,
    .props = hd_props,
    .realize = hd_realize,
    .unrealize = drive_unrealize,
    .reset = drive_reset,
};

const DeviceType ide_cd_type = {
    .name = "ide-cd",
    .desc = "IDE CD-ROM drive",
    .bus = "ide",
    .instance_size = sizeof(IdeDrive),
    .user_creatable = true,
    .props = cd_props,
    .realize = cd_realize,
    .unrealize = drive_unrealize,
    .reset = drive_reset,
};
