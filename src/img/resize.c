/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * resize: another size of the disk, absolute, or with + or - relative to what it has.
 */
#include <stdio.h>
#include <string.h>

#include "core/bits.h"
#include "core/error.h"
#include "src/img/img.h"

typedef struct ResizeArgs {
    ImgArgs base;
    int prealloc;
    bool shrink;
} ResizeArgs;

static const char *const prealloc_names[] = {"off", "metadata", "falloc", "full", NULL};

static bool new_size(const char *text, uint64_t old, uint64_t *size, GError **errp)
{
    char sign = *text == '+' || *text == '-' ? *text : 0;

    if (!img_parse_size(text + !!sign, "size", size, errp))
        return false;
    if (sign == '-' && *size > old)
        return error_set_code(errp, VMM_ERROR_USAGE, "'%s' is more than the %" G_GUINT64_FORMAT " bytes the disk has", text, old);
    if (sign == '+' && !range_ok(old, *size, BLOCK_MAX_SIZE))
        return error_set_code(errp, VMM_ERROR_USAGE, "'%s' would make a disk of more than 8 EiB", text);
    if (sign)
        *size = sign == '+' ? old + *size : old - *size;
    return true;
}

static int run(void *opaque, GError **errp)
{
    ResizeArgs *args = opaque;
    const char *text = args->base.operands[1];
    g_autoptr(BlockNode) node = img_open_operand(&args->base, BLOCK_OPEN_RDWR, errp);
    uint64_t size;

    if (!node || !new_size(text, block_node_size(node), &size, errp))
        return -1;
    if (size < block_node_size(node) && !args->shrink) {
        error_set_code(errp, VMM_ERROR_USAGE, "this would cut off the end of '%s' and what is there; say --shrink if that is meant",
                       node->filename);
        return -1;
    }
    if (size < block_node_size(node) && args->prealloc) {
        error_set_code(errp, VMM_ERROR_USAGE, "--preallocation is for disks that grow");
        return -1;
    }
    if (!block_truncate(node, size, (BlockPrealloc)args->prealloc, errp) || !img_flush(node, errp))
        return -1;
    if (!args->base.quiet)
        puts("Image resized.");
    return 0;
}

static const ImgOption options[] = {
    IMG_OPT_FORMAT, IMG_OPT_IMAGE_OPTS,
    {0, "preallocation", "MODE", IMG_CHOICE, offsetof(ResizeArgs, prealloc), "of what the disk gains: off, metadata, falloc, full", "off",
     prealloc_names},
    {0, "shrink", NULL, IMG_FLAG, offsetof(ResizeArgs, shrink), "cut off the disk's end"},
    IMG_OPT_QUIET, IMG_OPT_OBJECT, IMG_OPT_END,
};

const ImgCommand img_resize = {
    "resize", "FILENAME [+|-]SIZE", "makes the disk larger or smaller", options, sizeof(ResizeArgs), 2, 2, 1, run,
};
