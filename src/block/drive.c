/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * -drive: one flat option for the image, the host's side and the place of a disk.
 *
 *     -drive file=a.img,format=raw,cache=none,if=virtio,id=d0
 *
 * is put into the words of -blockdev, {driver: raw, cache.direct: on, file: {driver: file, filename: a.img}}, and a
 * BlockBackend "d0" on that node. Keys that are not -drive's own (file.locking, lazy-refcounts, ...) go along as they are.
 */
#include "block/drive.h"

#include <string.h>

#include "block/throttle.h"
#include "core/error.h"
#include "src/block/block-int.h"

#define IDE_UNITS 2u
#define IDE_BUSES 2u

typedef struct DriveOptions {
    char *file, *format, *id, *throttle_group;
    int interface, media, cache, aio, on_write_error, on_read_error;
    uint32_t bus, unit, index; /* UINT32_MAX: not given */
    bool snapshot, read_only;
    ThrottleConfig throttle;
} DriveOptions;

enum { CACHE_UNSET, CACHE_WRITEBACK, CACHE_NONE, CACHE_WRITETHROUGH, CACHE_DIRECTSYNC, CACHE_UNSAFE };
enum { MEDIA_DISK, MEDIA_CDROM };

static const char *const interface_names[] = {"default", "none", "ide", "virtio", NULL};
static const char *const media_names[] = {"disk", "cdrom", NULL};
static const char *const cache_names[] = {"default", "writeback", "none", "writethrough", "directsync", "unsafe", NULL};
static const char *const on_error_names[] = {"report", "ignore", "stop", "enospc", NULL};

#define UNSET "4294967295"
#define OFFSET(field) offsetof(DriveOptions, field)

#define THROTTLE_PROPS(name, kind)                                                                                       \
    {"throttling." name, PROP_SIZE, OFFSET(throttle.avg[kind]), NULL, "limit a second"},                                 \
    {"throttling." name "-max", PROP_SIZE, OFFSET(throttle.max[kind]), NULL, "in a burst"},                              \
    {"throttling." name "-max-length", PROP_U64, OFFSET(throttle.length[kind]), NULL, "seconds of a burst"}

static const Property drive_props[] = {
    {"file", PROP_STRING, OFFSET(file), NULL, "the image"},
    {"format", PROP_STRING, OFFSET(format), NULL, "its format; guessed if not given, with a warning for raw"},
    {"if", PROP_ENUM, OFFSET(interface), "default", "the device to make for it; none: only what -device names", interface_names},
    {"bus", PROP_U32, OFFSET(bus), UNSET, "place: which channel"},
    {"unit", PROP_U32, OFFSET(unit), UNSET, "place: which on the channel"},
    {"index", PROP_U32, OFFSET(index), UNSET, "place: counted over all channels"},
    {"media", PROP_ENUM, OFFSET(media), "disk", "a disk or a CD", media_names},
    {"id", PROP_STRING, OFFSET(id), NULL, "for drive=ID and the monitor"},
    {"snapshot", PROP_BOOL, OFFSET(snapshot), "off", "writes go to a temporary file that is gone at exit"},
    {"cache", PROP_ENUM, OFFSET(cache), "default", "see the chapter on images", cache_names},
    {"aio", PROP_ENUM, OFFSET(aio), "threads", "how requests are handed to the host", block_file_aio_names},
    {"readonly", PROP_BOOL, OFFSET(read_only), "off", "the same as read-only"},
    {"read-only", PROP_BOOL, OFFSET(read_only), "off", "refuse writes"},
    {"werror", PROP_ENUM, OFFSET(on_write_error), "enospc", "what a failed write does", on_error_names},
    {"rerror", PROP_ENUM, OFFSET(on_read_error), "report", "what a failed read does", on_error_names},
    THROTTLE_PROPS("bps-total", THROTTLE_BPS_TOTAL),
    THROTTLE_PROPS("bps-read", THROTTLE_BPS_READ),
    THROTTLE_PROPS("bps-write", THROTTLE_BPS_WRITE),
    THROTTLE_PROPS("iops-total", THROTTLE_IOPS_TOTAL),
    THROTTLE_PROPS("iops-read", THROTTLE_IOPS_READ),
    THROTTLE_PROPS("iops-write", THROTTLE_IOPS_WRITE),
    {"throttling.iops-size", PROP_SIZE, OFFSET(throttle.iops_size), NULL, "a larger request counts as several"},
    {"throttling.group", PROP_STRING, OFFSET(throttle_group), NULL, "drives of one group share their limits"},
    {.name = NULL},
};

/* The older spelling of limits. */
static const char *const legacy_limits[][2] = {
    {"bps", "throttling.bps-total"}, {"bps_rd", "throttling.bps-read"}, {"bps_wr", "throttling.bps-write"},
    {"iops", "throttling.iops-total"}, {"iops_rd", "throttling.iops-read"}, {"iops_wr", "throttling.iops-write"},
    {"bps_max", "throttling.bps-total-max"}, {"bps_rd_max", "throttling.bps-read-max"},
    {"bps_wr_max", "throttling.bps-write-max"}, {"iops_max", "throttling.iops-total-max"},
    {"iops_rd_max", "throttling.iops-read-max"}, {"iops_wr_max", "throttling.iops-write-max"},
    {"iops_size", "throttling.iops-size"},
};

static GPtrArray *drives;    /* of Drive * */
static GPtrArray *blockdevs; /* of BlockNode *: references -blockdev holds */

/* --- options --- */

typedef struct DriveParse {
    DriveOptions *options;
    KvNode *node; /* what goes to the driver */
    GError **errp;
} DriveParse;

static const char *modern_name(const char *key)
{
    for (unsigned i = 0; i < G_N_ELEMENTS(legacy_limits); i++) {
        if (strcmp(key, legacy_limits[i][0]) == 0)
            return legacy_limits[i][1];
    }
    return key;
}

static bool parse_key(const char *path, const char *value, void *opaque)
{
    DriveParse *parse = opaque;
    const Property *prop = property_find(drive_props, modern_name(path));

    if (prop)
        return property_parse(prop, parse->options, value, parse->errp);
    return keyval_set(parse->node, path, value, parse->errp);
}

static void drive_options_release(DriveOptions *options)
{
    property_release(drive_props, options);
}

static bool check_place(const DriveOptions *options, GError **errp)
{
    if (options->index != UINT32_MAX && (options->bus != UINT32_MAX || options->unit != UINT32_MAX))
        return error_set_code(errp, VMM_ERROR_USAGE, "index= excludes bus= and unit=");
    if (options->on_read_error == BLOCK_ON_ERROR_ENOSPC)
        return error_set_code(errp, VMM_ERROR_USAGE, "rerror takes report, ignore or stop; reading needs no space");
    return throttle_check(&options->throttle, errp);
}

/* On failure there is nothing to release. */
static bool parse_drive(KvNode *kv, DriveOptions *options, KvNode **node, GError **errp)
{
    DriveParse parse = {options, keyval_new_dict(), errp};

    *options = (DriveOptions){0};
    property_set_defaults(drive_props, options);
    if (keyval_foreach(kv, parse_key, &parse) && check_place(options, errp)) {
        *node = parse.node;
        return true;
    }
    keyval_free(parse.node);
    drive_options_release(options);
    return false;
}

bool drive_check(KvNode *kv, GError **errp)
{
    DriveOptions options;
    KvNode *node;

    if (!parse_drive(kv, &options, &node, errp))
        return false;
    keyval_free(node);
    drive_options_release(&options);
    return true;
}

/* --- into node options --- */

static bool set_unless_given(KvNode *node, const char *path, const char *value, GError **errp)
{
    return keyval_get_node(node, path) || keyval_set(node, path, value, errp);
}

static bool set_cache(KvNode *node, int cache, GError **errp)
{
    bool direct = cache == CACHE_NONE || cache == CACHE_DIRECTSYNC;

    if (direct && !set_unless_given(node, "cache.direct", "on", errp))
        return false;
    return cache != CACHE_UNSAFE || set_unless_given(node, "cache.no-flush", "on", errp);
}

static bool describe_node(const DriveOptions *options, KvNode *node, GError **errp)
{
    bool read_only = options->read_only || options->media == MEDIA_CDROM;
    const char *path = options->file ? block_plain_path(options->file, errp) : NULL;

    if (options->file && !path)
        return false;
    if (path && !(set_unless_given(node, "file.driver", "file", errp) && keyval_set(node, "file.filename", path, errp)
                  && set_unless_given(node, "file.aio", block_file_aio_names[options->aio], errp)))
        return false;
    if (options->format && !keyval_set(node, "driver", options->format, errp))
        return false;
    if (read_only && !keyval_set(node, "read-only", "on", errp))
        return false;
    return set_cache(node, options->cache, errp);
}

/* --- places --- */

Drive *drive_next(Drive *drive)
{
    guint next = 0;

    if (!drives)
        return NULL;
    if (drive && g_ptr_array_find(drives, drive, &next))
        next++;
    return next < drives->len ? g_ptr_array_index(drives, next) : NULL;
}

Drive *drive_at(DriveInterface interface, unsigned bus, unsigned unit)
{
    for (Drive *drive = drive_next(NULL); drive; drive = drive_next(drive)) {
        if (drive->interface == interface && drive->bus == bus && drive->unit == unit)
            return drive;
    }
    return NULL;
}

static bool find_place(Drive *drive, const DriveOptions *options, GError **errp)
{
    unsigned units = drive->interface == DRIVE_IF_IDE ? IDE_UNITS : UINT32_MAX;
    unsigned index = options->index;

    if (drive->interface == DRIVE_IF_NONE)
        return true;
    if (index != UINT32_MAX || (options->bus == UINT32_MAX && options->unit == UINT32_MAX)) {
        if (index == UINT32_MAX) /* the next free one */
            for (index = 0; drive_at(drive->interface, index / units, index % units); index++)
                ;
        drive->bus = index / units;
        drive->unit = index % units;
    } else {
        drive->bus = options->bus == UINT32_MAX ? 0 : options->bus;
        drive->unit = options->unit == UINT32_MAX ? 0 : options->unit;
        while (options->unit == UINT32_MAX && drive_at(drive->interface, drive->bus, drive->unit))
            drive->unit++;
    }
    if (drive->interface == DRIVE_IF_IDE && (drive->bus >= IDE_BUSES || drive->unit >= IDE_UNITS))
        return error_set_code(errp, VMM_ERROR_USAGE, "IDE has two channels (bus=0,1) of two drives (unit=0,1), and a place "
                              "there is taken or does not exist; use if=virtio");
    if (drive_at(drive->interface, drive->bus, drive->unit))
        return error_set_code(errp, VMM_ERROR_USAGE, "there is another drive at if=%s, bus %u, unit %u",
                              interface_names[drive->interface], drive->bus, drive->unit);
    return true;
}

static char *default_id(const Drive *drive)
{
    switch (drive->interface) {
    case DRIVE_IF_IDE:
        return g_strdup_printf("ide%u-%s%u", drive->bus, drive->cdrom ? "cd" : "hd", drive->unit);
    case DRIVE_IF_VIRTIO:
        return g_strdup_printf("virtio%u", drive->unit);
    default:
        return g_strdup_printf("none%u", drives->len);
    }
}

/* --- opening --- */

static bool open_image(const DriveOptions *options, KvNode *node_options, bool snapshot, BlockNode **out, GError **errp)
{
    bool has_image = options->file || keyval_get_node(node_options, "file");

    *out = NULL;
    if (!has_image) {
        if (options->media == MEDIA_CDROM)
            return true; /* an empty tray */
        return error_set_code(errp, VMM_ERROR_USAGE, "file= is missing");
    }
    if (!describe_node(options, node_options, errp))
        return false;
    if (snapshot && options->media != MEDIA_CDROM)
        *out = block_open_temporary(node_options, errp);
    else
        *out = block_node_open(node_options, BLOCK_OPEN_RDWR | BLOCK_OPEN_WARN_PROBED, errp);
    return *out != NULL;
}

static Drive *make_drive(const DriveOptions *options, BlockNode *node, DriveInterface default_interface, GError **errp)
{
    g_autofree Drive *drive = g_new0(Drive, 1);

    drive->interface = options->interface == DRIVE_IF_DEFAULT ? default_interface : (DriveInterface)options->interface;
    drive->cdrom = options->media == MEDIA_CDROM;
    if (!find_place(drive, options, errp))
        return NULL;
    g_autofree char *id = options->id ? g_strdup(options->id) : default_id(drive);
    if (blk_find(id)) {
        error_set_code(errp, VMM_ERROR_USAGE, "the id '%s' is used twice; choose another", id);
        return NULL;
    }
    drive->blk = blk_new(id, node);
    return g_steal_pointer(&drive);
}

static void configure_backend(BlockBackend *blk, const DriveOptions *options)
{
    blk_set_error_policy(blk, (BlockErrorPolicy)options->on_read_error, (BlockErrorPolicy)options->on_write_error);
    blk_set_write_cache(blk, options->cache != CACHE_WRITETHROUGH && options->cache != CACHE_DIRECTSYNC);
    if (throttle_is_limited(&options->throttle))
        blk_set_throttle(blk, options->throttle_group ? options->throttle_group : blk_id(blk), &options->throttle);
}

static bool open_parsed(const DriveOptions *options, KvNode *node_options, DriveInterface default_interface, bool snapshot,
                        GError **errp)
{
    g_autoptr(BlockNode) node = NULL;

    if (!open_image(options, node_options, snapshot || options->snapshot, &node, errp))
        return false;
    Drive *drive = make_drive(options, node, default_interface, errp);
    if (!drive)
        return false;
    configure_backend(drive->blk, options);
    g_ptr_array_add(drives, drive);
    return true;
}

bool drive_open(KvNode *kv, DriveInterface default_interface, bool snapshot, GError **errp)
{
    DriveOptions options;
    KvNode *node_options;
    bool ok;

    if (!drives)
        drives = g_ptr_array_new();
    if (!parse_drive(kv, &options, &node_options, errp))
        return false;
    ok = open_parsed(&options, node_options, default_interface, snapshot, errp);
    keyval_free(node_options);
    drive_options_release(&options);
    return ok;
}

bool blockdev_check(KvNode *kv, GError **errp)
{
    if (!keyval_get(kv, "node-name"))
        return error_set_code(errp, VMM_ERROR_USAGE, "node-name= is missing: devices and other nodes refer to it");
    if (!keyval_get(kv, "driver"))
        return error_set_code(errp, VMM_ERROR_USAGE, "driver= is missing; formats are not guessed here");
    return true;
}

bool blockdev_open(KvNode *kv, GError **errp)
{
    BlockNode *node = block_node_open(kv, BLOCK_OPEN_RDWR, errp);

    if (!node)
        return false;
    if (!blockdevs)
        blockdevs = g_ptr_array_new();
    g_ptr_array_add(blockdevs, node);
    return true;
}

bool blockdev_close(const char *node_name, GError **errp)
{
    BlockNode *node = block_node_find(node_name);
    guint index;

    if (!node || !blockdevs || !g_ptr_array_find(blockdevs, node, &index))
        return error_set(errp, "there is no node '%s' that -blockdev or blockdev-add made", node_name);
    if (node->refs > 1)
        return error_set(errp, "node '%s' is in use", node_name);
    g_ptr_array_remove_index(blockdevs, index);
    block_node_unref(node);
    return true;
}

bool drives_check_used(GError **errp)
{
    for (Drive *drive = drive_next(NULL); drive; drive = drive_next(drive)) {
        if (drive->interface != DRIVE_IF_NONE && !blk_has_device(drive->blk))
            return error_set(errp, "this machine has no place for drive '%s' (if=%s, bus %u, unit %u); use if=none and "
                             "-device", blk_id(drive->blk), interface_names[drive->interface], drive->bus, drive->unit);
    }
    return true;
}

void drives_close(void)
{
    for (guint i = 0; drives && i < drives->len; i++) {
        Drive *drive = g_ptr_array_index(drives, i);
        blk_unref(drive->blk);
        g_free(drive);
    }
    g_clear_pointer(&drives, g_ptr_array_unref);
    /* Later ones stand on earlier ones. */
    for (guint i = blockdevs ? blockdevs->len : 0; i-- > 0;)
        block_node_unref(g_ptr_array_index(blockdevs, i));
    g_clear_pointer(&blockdevs, g_ptr_array_unref);
}

void drive_print_help(GString *out)
{
    g_string_append(out, "-drive, and after these the options of the image's driver:\n");
    property_print_help(drive_props, out);
}
