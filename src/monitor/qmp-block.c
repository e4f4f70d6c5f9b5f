/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * QMP commands about disks and their images.
 *
 * Block calls that may sleep (opening, closing, resizing) run here with machine_lock let go of: the guest
 * goes on, other monitors wait.
 */
#include <string.h>

#include "block/backend.h"
#include "block/drive.h"
#include "core/error.h"
#include "core/lock.h"
#include "medium.h"
#include "monitor-internal.h"
#include "qmp-schema.h"

/* --- What there is --- */

static json_t *describe_image(BlockNode *node, unsigned depth)
{
    BlockInfo info = {0};
    json_t *image;

    block_info(node, &info);
    image = json_pack("{s:s, s:s, s:I, s:I, s:b}", "filename", node->filename, "format", node->driver->name,
                      "virtual-size", (json_int_t)block_node_size(node), "actual-size",
                      (json_int_t)info.allocated_bytes, "dirty-flag", (int)info.dirty);
    if (info.cluster_size)
        json_object_set_new(image, "cluster-size", json_integer(info.cluster_size));
    if (node->backing && depth < BLOCK_MAX_CHAIN) {
        json_object_set_new(image, "full-backing-filename", json_string(node->backing->filename));
        json_object_set_new(image, "backing-filename", json_string(node->backing->filename));
        json_object_set_new(image, "backing-filename-format", json_string(node->backing->driver->name));
        json_object_set_new(image, "backing-image", describe_image(node->backing, depth + 1));
    }
    return image;
}

static unsigned backing_depth(const BlockNode *node)
{
    unsigned depth = 0;

    while (node->backing && depth < BLOCK_MAX_CHAIN) {
        node = node->backing;
        depth++;
    }
    return depth;
}

static json_t *describe_node(BlockNode *node, bool writeback)
{
    static const char *const detect[] = {
        [BLOCK_DETECT_OFF] = "off", [BLOCK_DETECT_ON] = "on", [BLOCK_DETECT_UNMAP] = "unmap",
    };
    json_t *info = json_pack("{s:s, s:s, s:s, s:b, s:b, s:i, s:s, s:o, s:{s:b, s:b, s:b}}", "file", node->filename,
                             "node-name", node->name, "drv", node->driver->name, "ro", (int)node->read_only,
                             "encrypted", 0, "backing_file_depth", (int)backing_depth(node), "detect_zeroes",
                             detect[node->detect_zeroes], "image", describe_image(node, 0), "cache", "writeback",
                             (int)writeback, "direct", (int)node->cache_direct, "no-flush", (int)node->cache_no_flush);

    if (node->backing)
        json_object_set_new(info, "backing_file", json_string(node->backing->filename));
    return info;
}

static json_t *query_block(Monitor *mon, json_t *args, GError **errp)
{
    json_t *list = json_array();

    for (BlockBackend *blk = blk_next(NULL); blk; blk = blk_next(blk)) {
        BlockNode *root = blk_root(blk);
        json_t *info = json_pack("{s:s, s:s, s:b, s:b}", "device", blk_id(blk) ? blk_id(blk) : "", "type", "unknown",
                                 "removable", (int)blk_is_removable(blk), "locked", (int)blk_tray_is_locked(blk));
        if (blk_is_removable(blk))
            json_object_set_new(info, "tray_open", json_boolean(blk_tray_is_open(blk)));
        if (root)
            json_object_set_new(info, "inserted", describe_node(root, blk_write_cache(blk)));
        json_array_append_new(list, info);
    }
    return list;
}

static json_t *query_named_block_nodes(Monitor *mon, json_t *args, GError **errp)
{
    json_t *list = json_array();

    for (BlockNode *node = block_node_next(NULL); node; node = block_node_next(node))
        json_array_append_new(list, describe_node(node, true));
    return list;
}

static json_t *describe_stats(const BlockStats *stats)
{
    static const struct {
        const char *prefix;
        BlockOp op;
    } kinds[] = {{"rd", BLOCK_READ}, {"wr", BLOCK_WRITE}, {"flush", BLOCK_FLUSH}, {"unmap", BLOCK_DISCARD}};
    json_t *info = json_pack("{s:I}", "wr_highest_offset", (json_int_t)stats->wr_highest_offset);

    for (unsigned i = 0; i < G_N_ELEMENTS(kinds); i++) {
        const struct {
            const char *prefix, *suffix;
            uint64_t value;
        } counters[] = {
            {"", "_operations", stats->ops[kinds[i].op]},
            {"", "_total_time_ns", stats->time_ns[kinds[i].op]},
            {"", "_bytes", stats->bytes[kinds[i].op]},
            {"failed_", "_operations", stats->failed[kinds[i].op]},
        };
        for (unsigned n = 0; n < G_N_ELEMENTS(counters); n++) {
            g_autofree char *name = g_strconcat(counters[n].prefix, kinds[i].prefix, counters[n].suffix, NULL);
            if (kinds[i].op != BLOCK_FLUSH || strcmp(counters[n].suffix, "_bytes") != 0)
                json_object_set_new(info, name, json_integer((json_int_t)counters[n].value));
        }
    }
    return info;
}

static json_t *query_blockstats(Monitor *mon, json_t *args, GError **errp)
{
    json_t *list = json_array();

    for (BlockBackend *blk = blk_next(NULL); blk; blk = blk_next(blk)) {
        BlockNode *root = blk_root(blk);
        BlockStats stats;
        blk_get_stats(blk, &stats);
        json_t *info = json_pack("{s:s, s:o}", "device", blk_id(blk) ? blk_id(blk) : "", "stats",
                                 describe_stats(&stats));
        if (root)
            json_object_set_new(info, "node-name", json_string(root->name));
        json_array_append_new(list, info);
    }
    return list;
}

/* --- Changes --- */

static json_t *block_resize(Monitor *mon, json_t *args, GError **errp)
{
    const char *device = qmp_arg_str(args, "device"), *node = qmp_arg_str(args, "node-name");
    int64_t size = qmp_arg_int(args, "size", 0);
    BlockBackend *blk = device ? blk_find(device) : NULL;

    for (BlockBackend *b = blk_next(NULL); node && !blk && b; b = blk_next(b)) {
        if (blk_root(b) && strcmp(blk_root(b)->name, node) == 0)
            blk = b;
    }
    if (!blk)
        return qmp_fail(errp, QMP_DEVICE_NOT_FOUND, "Device '%s' not found", device ? device : node ? node : "");
    if (size < 0 || size > (int64_t)BLOCK_MAX_SIZE)
        return qmp_fail(errp, QMP_GENERIC_ERROR, "Parameter 'size' is out of range");
    return blk_resize(blk, (uint64_t)size, errp) ? json_object() : NULL;
}

static BlockBackend *find_removable(Monitor *mon, json_t *args, GError **errp)
{
    return medium_find_drive(mon->machine, qmp_arg_str(args, "device"), qmp_arg_str(args, "id"), errp);
}

static json_t *eject(Monitor *mon, json_t *args, GError **errp)
{
    BlockBackend *blk = find_removable(mon, args, errp);

    return blk && medium_eject(blk, qmp_arg_bool(args, "force", false), errp) ? json_object() : NULL;
}

static json_t *change_medium(Monitor *mon, json_t *args, GError **errp)
{
    BlockBackend *blk = find_removable(mon, args, errp);

    return blk && medium_change(blk, qmp_arg_str(args, "filename"), qmp_arg_str(args, "format"),
                                qmp_arg_bool(args, "force", false), errp)
               ? json_object() : NULL;
}

static json_t *blockdev_add(Monitor *mon, json_t *args, GError **errp)
{
    char *text = json_dumps(args, 0);
    g_autoptr(KvNode) kv = keyval_parse(text, NULL, errp);
    bool ok = kv && blockdev_check(kv, errp);

    free(text);
    if (ok) {
        unsigned depth = machine_lock_release();
        ok = blockdev_open(kv, errp);
        machine_lock_restore(depth);
    }
    return ok ? json_object() : NULL;
}

static json_t *blockdev_del(Monitor *mon, json_t *args, GError **errp)
{
    return blockdev_close(qmp_arg_str(args, "node-name"), errp) ? json_object() : NULL;
}

/* --- Types --- */

static const QmpMember cache_members[] = {
    {"writeback", &qmp_bool, false, NULL},
    {"direct", &qmp_bool, false, NULL},
    {"no-flush", &qmp_bool, false, NULL},
    {0},
};
static const QmpType cache_type = {QMP_OBJECT, "BlockdevCacheInfo", cache_members};

static const QmpMember node_members[] = {
    {"file", &qmp_str, false, NULL},
    {"node-name", &qmp_str, true, NULL},
    {"drv", &qmp_str, false, NULL},
    {"ro", &qmp_bool, false, NULL},
    {"encrypted", &qmp_bool, false, "never"},
    {"backing_file", &qmp_str, true, NULL},
    {"backing_file_depth", &qmp_int, false, NULL},
    {"detect_zeroes", &qmp_str, false, NULL},
    {"image", &qmp_any, false, "ImageInfo, with the backing chain"},
    {"cache", &cache_type, false, NULL},
    {0},
};
static const QmpType node_type = {QMP_OBJECT, "BlockDeviceInfo", node_members};
static const QmpType node_list = {QMP_ARRAY, .element = &node_type};

static const QmpMember block_members[] = {
    {"device", &qmp_str, false, NULL},
    {"type", &qmp_str, false, NULL},
    {"removable", &qmp_bool, false, NULL},
    {"locked", &qmp_bool, false, NULL},
    {"inserted", &node_type, true, "absent: no medium"},
    {"tray_open", &qmp_bool, true, "of removable ones"},
    {0},
};
static const QmpType block_type = {QMP_OBJECT, "BlockInfo", block_members};
static const QmpType block_list = {QMP_ARRAY, .element = &block_type};

static const QmpMember stats_members[] = {
    {"rd_bytes", &qmp_int, false, NULL}, {"wr_bytes", &qmp_int, false, NULL}, {"unmap_bytes", &qmp_int, false, NULL},
    {"rd_operations", &qmp_int, false, NULL}, {"wr_operations", &qmp_int, false, NULL},
    {"flush_operations", &qmp_int, false, NULL}, {"unmap_operations", &qmp_int, false, NULL},
    {"rd_total_time_ns", &qmp_int, false, NULL}, {"wr_total_time_ns", &qmp_int, false, NULL},
    {"flush_total_time_ns", &qmp_int, false, NULL}, {"unmap_total_time_ns", &qmp_int, false, NULL},
    {"failed_rd_operations", &qmp_int, false, NULL}, {"failed_wr_operations", &qmp_int, false, NULL},
    {"failed_flush_operations", &qmp_int, false, NULL}, {"failed_unmap_operations", &qmp_int, false, NULL},
    {"wr_highest_offset", &qmp_int, false, NULL},
    {0},
};
static const QmpType stats_type = {QMP_OBJECT, "BlockDeviceStats", stats_members};

static const QmpMember blockstats_members[] = {
    {"device", &qmp_str, true, NULL},
    {"node-name", &qmp_str, true, NULL},
    {"stats", &stats_type, false, NULL},
    {0},
};
static const QmpType blockstats_type = {QMP_OBJECT, "BlockStats", blockstats_members};
static const QmpType blockstats_list = {QMP_ARRAY, .element = &blockstats_type};

static const QmpMember blockstats_args[] = {{"query-nodes", &qmp_bool, true, "accepted: drives are what is counted"}, {0}};
static const QmpMember named_args[] = {{"flat", &qmp_bool, true, "accepted"}, {0}};

static const QmpMember resize_args[] = {
    {"device", &qmp_str, true, "the drive's id"},
    {"node-name", &qmp_str, true, "or its image's name"},
    {"size", &qmp_int, false, "bytes"},
    {0},
};

static const QmpMember add_args[] = {
    {"driver", &qmp_str, false, NULL},
    {"node-name", &qmp_str, false, NULL},
    {0},
};

static const QmpMember del_args[] = {{"node-name", &qmp_str, false, NULL}, {0}};

static const QmpMember eject_args[] = {
    {"device", &qmp_str, true, "the drive's id"},
    {"id", &qmp_str, true, "or its device's"},
    {"force", &qmp_bool, true, "also if the guest has locked it"},
    {0},
};

static const QmpMember change_args[] = {
    {"device", &qmp_str, true, "the drive's id"},
    {"id", &qmp_str, true, "or its device's"},
    {"filename", &qmp_str, false, NULL},
    {"format", &qmp_str, true, "guessed if it is not given"},
    {"force", &qmp_bool, true, "also if the guest has locked it"},
    {0},
};

const QmpCommand qmp_block_commands[] = {
    {"block_resize", resize_args, NULL, block_resize, "grow or shrink a drive's image"},
    {"blockdev-add", add_args, NULL, blockdev_add, "open an image, as -blockdev does; its properties are arguments",
     .more_args = true},
    {"blockdev-change-medium", change_args, NULL, change_medium, "put another medium into a CD-ROM drive"},
    {"blockdev-del", del_args, NULL, blockdev_del, "close an image that nothing uses any more"},
    {"eject", eject_args, NULL, eject, "take the medium out of a CD-ROM drive"},
    {"query-block", NULL, &block_list, query_block, "the drives and what is in them"},
    {"query-blockstats", blockstats_args, &blockstats_list, query_blockstats, "the drives' counters"},
    {"query-named-block-nodes", named_args, &node_list, query_named_block_nodes, "the images that are open"},
    {0},
};
