/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * snapshot: the internal snapshots of an image.
 */
#include <sys/time.h>

#include "core/error.h"
#include "src/img/img.h"

typedef struct SnapshotArgs {
    ImgArgs base;
    bool list;
    const char *create, *apply, *delete;
} SnapshotArgs;

static bool create(BlockNode *node, const char *name, GError **errp)
{
    struct timeval now;
    BlockSnapshot snapshot = {.name = (char *)name, .icount = UINT64_MAX};
    bool ok;

    gettimeofday(&now, NULL);
    snapshot.date_sec = now.tv_sec;
    snapshot.date_nsec = (uint32_t)now.tv_usec * 1000;
    ok = node->driver->snapshot_create(node, &snapshot, errp);
    g_free(snapshot.id);
    return ok;
}

static bool change(BlockNode *node, const SnapshotArgs *args, GError **errp)
{
    bool ok;

    if (args->create)
        ok = create(node, args->create, errp);
    else if (args->apply)
        ok = node->driver->snapshot_apply(node, args->apply, errp);
    else
        ok = node->driver->snapshot_delete(node, args->delete, errp);
    return ok && img_flush(node, errp);
}

static int run(void *opaque, GError **errp)
{
    const SnapshotArgs *args = opaque;
    int actions = !!args->create + !!args->apply + !!args->delete;

    if (actions + args->list > 1) {
        error_set_code(errp, VMM_ERROR_USAGE, "snapshot: one of -l, -c, -a and -d at a time");
        return -1;
    }
    g_autoptr(BlockNode) node = img_open_operand(&args->base, BLOCK_OPEN_NO_BACKING | (actions ? BLOCK_OPEN_RDWR : 0), errp);
    if (!node)
        return -1;
    if (!node->driver->snapshot_list) {
        error_set(errp, "image '%s': the format '%s' has no snapshots; qcow2 has", node->filename, node->driver->name);
        return -1;
    }
    if (actions)
        return change(node, args, errp) ? 0 : -1;
    g_autoptr(GPtrArray) list = node->driver->snapshot_list(node);
    if (list->len)
        img_print_snapshots(list);
    return 0;
}

static const ImgOption options[] = {
    IMG_OPT_FORMAT, IMG_OPT_IMAGE_OPTS,
    {'l', NULL, NULL, IMG_FLAG, offsetof(SnapshotArgs, list), "list them (also without any option)"},
    {'c', NULL, "NAME", IMG_STRING, offsetof(SnapshotArgs, create), "make one"},
    {'a', NULL, "SNAPSHOT", IMG_STRING, offsetof(SnapshotArgs, apply), "go back to one, by id or name"},
    {'d', NULL, "SNAPSHOT", IMG_STRING, offsetof(SnapshotArgs, delete), "delete one, by id or name"},
    IMG_OPT_SHARE, IMG_OPT_QUIET, IMG_OPT_OBJECT, IMG_OPT_END,
};

const ImgCommand img_snapshot = {
    "snapshot", "FILENAME", "lists, makes, applies and deletes snapshots", options, sizeof(SnapshotArgs), 1, 1, 1, run,
};
