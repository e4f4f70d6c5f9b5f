/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * info: what an image is, alone or with all that lies below it.
 */
#include <stdio.h>
#include <string.h>

#include "core/error.h"
#include "src/img/img.h"

typedef struct InfoArgs {
    ImgArgs base;
    bool chain;
} InfoArgs;

static GPtrArray *snapshots_of(BlockNode *node)
{
    return node->driver->snapshot_list ? node->driver->snapshot_list(node) : NULL;
}

/* --- JSON --- */

static json_t *snapshot_json(const BlockSnapshot *s)
{
    json_t *out = json_pack("{s:s, s:s, s:I, s:I, s:I, s:I, s:I}", "id", s->id, "name", s->name, "vm-state-size",
                            (json_int_t)s->vm_state_size, "date-sec", (json_int_t)s->date_sec, "date-nsec",
                            (json_int_t)s->date_nsec, "vm-clock-sec", (json_int_t)(s->vm_clock_ns / 1000000000),
                            "vm-clock-nsec", (json_int_t)(s->vm_clock_ns % 1000000000));

    if (s->icount != UINT64_MAX)
        json_object_set_new(out, "icount", json_integer((json_int_t)s->icount));
    return out;
}

static void add_snapshots(json_t *out, BlockNode *node)
{
    g_autoptr(GPtrArray) list = snapshots_of(node);
    json_t *all;

    if (!list || !list->len)
        return;
    all = json_array();
    for (guint i = 0; i < list->len; i++)
        json_array_append_new(all, snapshot_json(g_ptr_array_index(list, i)));
    json_object_set_new(out, "snapshots", all);
}

static void add_backing(json_t *out, BlockNode *node)
{
    g_autofree char *format = NULL, *path = img_backing_path(node, &format);
    g_autofree char *name = path ? node->driver->backing_file(node, NULL) : NULL;

    if (!name)
        return;
    json_object_set_new(out, "backing-filename", json_string(name));
    json_object_set_new(out, "full-backing-filename", json_string(path));
    if (format)
        json_object_set_new(out, "backing-filename-format", json_string(format));
}

static json_t *info_json(BlockNode *node)
{
    json_t *specific = node->driver->specific_info ? node->driver->specific_info(node) : NULL;
    BlockInfo info;
    json_t *out;

    block_info(node, &info);
    out = json_pack("{s:s, s:s, s:I, s:I, s:b}", "filename", node->filename, "format", node->driver->name, "virtual-size",
                    (json_int_t)block_node_size(node), "actual-size", (json_int_t)info.allocated_bytes, "dirty-flag", (int)info.dirty);
    if (info.cluster_size)
        json_object_set_new(out, "cluster-size", json_integer(info.cluster_size));
    add_backing(out, node);
    add_snapshots(out, node);
    if (specific)
        json_object_set_new(out, "format-specific", json_pack("{s:s, s:o}", "type", node->driver->name, "data", specific));
    return out;
}

/* --- for people --- */

static void print_specific(BlockNode *node)
{
    json_t *specific = node->driver->specific_info ? node->driver->specific_info(node) : NULL, *value;
    const char *key;

    if (!specific)
        return;
    puts("Format specific information:");
    json_object_foreach(specific, key, value) {
        g_autofree char *name = g_strdelimit(g_strdup(key), "-", ' ');
        if (json_is_string(value))
            printf("    %s: %s\n", name, json_string_value(value));
        else if (json_is_boolean(value))
            printf("    %s: %s\n", name, json_is_true(value) ? "true" : "false");
        else
            printf("    %s: %lld\n", name, (long long)json_integer_value(value));
    }
    json_decref(specific);
}

static void print_backing(BlockNode *node)
{
    g_autofree char *format = NULL, *path = img_backing_path(node, &format);
    g_autofree char *name = path ? node->driver->backing_file(node, NULL) : NULL;

    if (!name)
        return;
    printf("backing file: %s", name);
    if (strcmp(name, path) != 0)
        printf(" (actual path: %s)", path);
    putchar('\n');
    if (format)
        printf("backing file format: %s\n", format);
}

static void print_info(BlockNode *node)
{
    g_autoptr(GPtrArray) snapshots = snapshots_of(node);
    BlockInfo info;

    block_info(node, &info);
    g_autofree char *size = img_size_text(block_node_size(node)), *disk = img_size_text(info.allocated_bytes);
    printf("image: %s\nfile format: %s\nvirtual size: %s (%" G_GUINT64_FORMAT " bytes)\ndisk size: %s\n", node->filename,
           node->driver->name, size, block_node_size(node), disk);
    if (info.cluster_size)
        printf("cluster_size: %u\n", info.cluster_size);
    if (info.dirty)
        puts("cleanly shut down: no");
    print_backing(node);
    if (snapshots && snapshots->len)
        img_print_snapshots(snapshots);
    print_specific(node);
}

/* --- the command --- */

/* Notes the path of an image on the way down the chain; false: it was met before. */
static bool note_path(GPtrArray *seen, const char *path, GError **errp)
{
    for (guint i = 0; i < seen->len; i++) {
        if (strcmp(g_ptr_array_index(seen, i), path) == 0)
            return error_set(errp, "image '%s' is its own backing file", path);
    }
    g_ptr_array_add(seen, g_strdup(path));
    return true;
}

/* All images, each by itself: one that is missing does not hide those above. */
static bool show(const InfoArgs *args, json_t *all, GError **errp)
{
    g_autoptr(GPtrArray) seen = g_ptr_array_new_with_free_func(g_free);
    g_autofree char *name = g_strdup(args->base.operands[0]), *format = g_strdup(args->base.format);
    ImgOpen how = {.flags = BLOCK_OPEN_NO_BACKING | BLOCK_OPEN_CHECK, .image_opts = args->base.image_opts, .force_share = args->base.force_share};

    while (name) {
        if (!note_path(seen, name, errp))
            return false;
        how.format = format;
        g_autoptr(BlockNode) node = img_open(name, &how, errp);
        if (!node)
            return false;
        if (all)
            json_array_append_new(all, info_json(node));
        else
            printf("%s", seen->len > 1 ? "\n" : ""), print_info(node);
        g_free(name);
        g_clear_pointer(&format, g_free);
        name = args->chain ? img_backing_path(node, &format) : NULL;
        how.image_opts = false;
    }
    return true;
}

static int run(void *opaque, GError **errp)
{
    const InfoArgs *args = opaque;
    json_t *all = args->base.output == IMG_JSON ? json_array() : NULL;
    bool ok = show(args, all, errp);

    if (ok && all && args->chain)
        img_print_json(json_incref(all));
    else if (ok && all)
        img_print_json(json_incref(json_array_get(all, 0)));
    json_decref(all);
    return ok ? 0 : -1;
}

static const ImgOption options[] = {
    IMG_OPT_FORMAT, IMG_OPT_IMAGE_OPTS, IMG_OPT_OUTPUT,
    {0, "backing-chain", NULL, IMG_FLAG, offsetof(InfoArgs, chain), "the backing files too"},
    IMG_OPT_SHARE, IMG_OPT_OBJECT, IMG_OPT_END,
};

const ImgCommand img_info = {
    "info", "FILENAME", "shows what an image is", options, sizeof(InfoArgs), 1, 1, 1, run,
};
