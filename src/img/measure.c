/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * measure: how large a file will be that a disk is converted into.
 */
#include <stdio.h>

#include "core/bits.h"
#include "core/error.h"
#include "src/img/img.h"

typedef struct MeasureArgs {
    ImgArgs base;
    const char *target_format, *size, *snapshot;
    GPtrArray *options;
} MeasureArgs;

#define GRAIN (64 * KIB) /* data is counted in steps of the target's clusters, or of this */

/* What of the disk is not zero for sure, in whole grains. */
static bool count_data(BlockNode *node, uint64_t grain, uint64_t *data, GError **errp)
{
    uint64_t size = block_node_size(node), counted = 0;
    BlockStatus status;
    int depth;

    *data = 0;
    for (uint64_t offset = 0; offset < size; offset += status.bytes) {
        int ret = block_status_above(node, NULL, offset, size - offset, &status, &depth);
        if (ret < 0)
            return error_set_errno(errp, -ret, "cannot find the data of '%s' at offset %" G_GUINT64_FORMAT, node->filename, offset);
        uint64_t end = align_up(offset + status.bytes, grain), start = MAX(align_down(offset, grain), counted);
        if (status.flags & BLOCK_STATUS_ZERO || end <= start)
            continue;
        *data += end - start;
        counted = end;
    }
    return true;
}

static bool measure(const MeasureArgs *args, const BlockDriver *driver, BlockMeasure *out, GError **errp)
{
    g_autoptr(KvNode) options = img_create_options(args->options, errp);
    g_autoptr(BlockNode) node = NULL;
    uint64_t size = 0, data = 0, from_options = 0;
    bool ok = options != NULL;

    if (ok && args->size)
        ok = img_parse_size(args->size, "size", &size, errp);
    else if (ok)
        ok = (node = img_open_operand(&args->base, 0, errp)) && (!args->snapshot || img_load_snapshot(node, args->snapshot, errp));
    void *instance = ok ? img_create_struct(driver, options, &from_options, errp) : NULL;
    if (!instance)
        return false;
    uint64_t grain = driver->create_grain ? driver->create_grain(instance) : GRAIN;
    if (node)
        size = block_node_size(node);
    ok = (!node || count_data(node, grain, &data, errp)) && driver->measure(instance, size, data, out, errp);
    img_create_struct_free(driver, instance);
    return ok;
}

static int run(void *opaque, GError **errp)
{
    const MeasureArgs *args = opaque;
    const BlockDriver *driver = img_driver(args->target_format, errp);
    BlockMeasure result;

    if (driver && !args->size == !args->base.count) {
        error_set_code(errp, VMM_ERROR_USAGE, "measure: --size=SIZE or FILENAME, one of them");
        return -1;
    }
    if (args->snapshot && args->size) {
        error_set_code(errp, VMM_ERROR_USAGE, "measure: -l is for FILENAME");
        return -1;
    }
    if (!driver || !measure(args, driver, &result, errp))
        return -1;
    if (args->base.output == IMG_JSON)
        img_print_json(json_pack("{s:I, s:I}", "required", (json_int_t)result.required, "fully-allocated", (json_int_t)result.fully_allocated));
    else
        printf("required size: %" G_GUINT64_FORMAT "\nfully allocated size: %" G_GUINT64_FORMAT "\n", result.required, result.fully_allocated);
    return 0;
}

static const ImgOption options[] = {
    IMG_OPT_FORMAT,
    {'O', NULL, "FMT", IMG_STRING, offsetof(MeasureArgs, target_format), "the new image's format", "raw"},
    {'o', NULL, "OPTIONS", IMG_LIST, offsetof(MeasureArgs, options), "the format's: name=value,..."},
    {0, "size", "SIZE", IMG_STRING, offsetof(MeasureArgs, size), "of an empty disk, instead of an image's"},
    {'l', NULL, "SNAPSHOT", IMG_STRING, offsetof(MeasureArgs, snapshot), "an internal snapshot of the source, by id or name"},
    IMG_OPT_OBJECT, IMG_OPT_IMAGE_OPTS, IMG_OPT_OUTPUT, IMG_OPT_SHARE, IMG_OPT_END,
};

const ImgCommand img_measure = {
    "measure", "[FILENAME]", "tells how large a converted image will be", options, sizeof(MeasureArgs), 0, 1, 1, run,
};
