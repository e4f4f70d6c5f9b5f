/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * map: where each part of the disk lies, in which file of the chain.
 */
#include <stdio.h>

#include "core/error.h"
#include "src/img/img.h"

typedef struct MapArgs {
    ImgArgs base;
    uint64_t start, max;
} MapArgs;

typedef struct Entry {
    uint64_t start, bytes, offset;
    unsigned flags;
    int depth;
    BlockNode *file;
} Entry;

static int find_entry(BlockNode *node, uint64_t start, uint64_t bytes, Entry *out)
{
    BlockStatus status;
    int ret = block_status_above(node, NULL, start, bytes, &status, &out->depth);

    if (ret < 0)
        return ret;
    if (out->depth < 0) { /* nobody has it: the last one in the chain */
        for (BlockNode *at = node; at; at = at->backing)
            out->depth++;
    }
    out->start = start;
    out->bytes = status.bytes;
    out->flags = status.flags;
    out->offset = status.offset;
    out->file = status.file;
    return 0;
}

/* b goes on where a ends, in all that is shown. */
static bool continues(const Entry *a, const Entry *b)
{
    return a->flags == b->flags && a->depth == b->depth && a->file == b->file
           && (!(a->flags & BLOCK_STATUS_OFFSET) || a->offset + a->bytes == b->offset);
}

static const char *json_bool(bool value)
{
    return value ? "true" : "false";
}

/* qemu-img's layout: scripts read it line by line. */
static void print_json(const Entry *e, bool first)
{
    printf("%s{ \"start\": %" G_GUINT64_FORMAT ", \"length\": %" G_GUINT64_FORMAT ", \"depth\": %d, \"present\": %s, \"zero\": %s, \"data\": %s",
           first ? "[" : ",\n", e->start, e->bytes, e->depth, json_bool(e->flags & BLOCK_STATUS_ALLOCATED),
           json_bool(e->flags & BLOCK_STATUS_ZERO), json_bool(e->flags & BLOCK_STATUS_DATA));
    if (e->flags & BLOCK_STATUS_OFFSET)
        printf(", \"offset\": %" G_GUINT64_FORMAT, e->offset);
    putchar('}');
}

static bool print_human(const Entry *e, GError **errp)
{
    if (!(e->flags & BLOCK_STATUS_DATA) || e->flags & BLOCK_STATUS_ZERO)
        return true;
    if (!(e->flags & BLOCK_STATUS_OFFSET))
        return error_set(errp, "the image has compressed clusters, which lie at no offset; use --output=json");
    printf("%#-16" G_GINT64_MODIFIER "x%#-16" G_GINT64_MODIFIER "x%#-16" G_GINT64_MODIFIER "x%s\n", e->start, e->bytes, e->offset,
           e->file->filename);
    return true;
}

static bool print_entry(const MapArgs *args, const Entry *e, bool first, GError **errp)
{
    if (args->base.output == IMG_HUMAN)
        return print_human(e, errp);
    print_json(e, first);
    return true;
}

static bool map(const MapArgs *args, BlockNode *node, uint64_t end, GError **errp)
{
    Entry current = {0}, next = {0};
    bool first = true;

    for (uint64_t at = args->start; at < end; at += next.bytes) {
        int ret = find_entry(node, at, end - at, &next);
        if (ret < 0)
            return error_set_errno(errp, -ret, "cannot find the data of '%s' at offset %" G_GUINT64_FORMAT, node->filename, at);
        if (current.bytes && continues(&current, &next)) {
            current.bytes += next.bytes;
            continue;
        }
        if (current.bytes) {
            if (!print_entry(args, &current, first, errp))
                return false;
            first = false;
        }
        current = next;
    }
    return !current.bytes || print_entry(args, &current, first, errp);
}

static int run(void *opaque, GError **errp)
{
    const MapArgs *args = opaque;
    g_autoptr(BlockNode) node = img_open_operand(&args->base, 0, errp);

    if (!node)
        return -1;
    uint64_t size = block_node_size(node), start = MIN(args->start, size), end = start + MIN(args->max ? args->max : size, size - start);
    if (args->base.output == IMG_HUMAN)
        printf("%-16s%-16s%-16s%s\n", "Offset", "Length", "Mapped to", "File");
    if (!map(args, node, end, errp))
        return -1;
    if (args->base.output == IMG_JSON)
        puts(start < end ? "]" : "[]");
    return 0;
}

static const ImgOption options[] = {
    IMG_OPT_FORMAT, IMG_OPT_IMAGE_OPTS, IMG_OPT_OUTPUT,
    {'s', "start-offset", "OFFSET", IMG_SIZE, offsetof(MapArgs, start), "where to begin", "0"},
    {'l', "max-length", "SIZE", IMG_SIZE, offsetof(MapArgs, max), "how much to look at; 0: all", "0"},
    IMG_OPT_SHARE, IMG_OPT_OBJECT, IMG_OPT_END,
};

const ImgCommand img_map = {
    "map", "FILENAME", "shows where the disk's parts lie", options, sizeof(MapArgs), 1, 1, 1, run,
};
