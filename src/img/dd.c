/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * dd: a part of a disk into a new image; operands as dd(1) has them.
 */
#include <string.h>

#include "core/bits.h"
#include "core/error.h"
#include "src/img/img.h"

typedef struct DdArgs {
    ImgArgs base;
    const char *target_format;
} DdArgs;

typedef struct Operands {
    const char *input, *output;
    uint64_t bs, count, skip; /* count UINT64_MAX: to the end */
} Operands;

static bool take_operand(const char *operand, Operands *out, GError **errp)
{
    const char *value = strchr(operand, '=');
    size_t len = value ? (size_t)(value++ - operand) : 0;

    if (len == 2 && strncmp(operand, "if", 2) == 0)
        out->input = value;
    else if (len == 2 && strncmp(operand, "of", 2) == 0)
        out->output = value;
    else if (len == 2 && strncmp(operand, "bs", 2) == 0)
        return img_parse_size(value, "block size", &out->bs, errp);
    else if (len == 5 && strncmp(operand, "count", 5) == 0)
        return img_parse_size(value, "count", &out->count, errp);
    else if (len == 4 && strncmp(operand, "skip", 4) == 0)
        return img_parse_size(value, "number of blocks", &out->skip, errp);
    else
        return error_set_code(errp, VMM_ERROR_USAGE, "dd: '%s' is none of if=, of=, bs=, count= and skip=", operand);
    return true;
}

static bool take_operands(const DdArgs *args, Operands *out, GError **errp)
{
    *out = (Operands){.bs = BLOCK_SECTOR_SIZE, .count = UINT64_MAX};
    for (unsigned i = 0; i < args->base.count; i++) {
        if (!take_operand(args->base.operands[i], out, errp))
            return false;
    }
    if (!out->input || !out->output)
        return error_set_code(errp, VMM_ERROR_USAGE, "dd: if= and of= are needed");
    return (out->bs && out->bs <= INT32_MAX) || error_set_code(errp, VMM_ERROR_USAGE, "dd: bs= is between 1 and 2147483647");
}

/* The window of the source, as a raw image of its own that lies in it. */
static BlockNode *open_window(BlockNode *source, const Operands *o, uint64_t *bytes, GError **errp)
{
    uint64_t size = block_node_size(source);
    unsigned __int128 skip = (unsigned __int128)o->skip * o->bs, count = (unsigned __int128)o->count * o->bs;
    uint64_t start = skip > size ? size : (uint64_t)skip;
    g_autofree char *text = g_strdup_printf("%" G_GUINT64_FORMAT, start);
    BlockNode *window = block_node_new(block_driver_find("raw"), NULL);

    *bytes = count > size - start ? size - start : (uint64_t)count;
    property_parse(property_find(window->driver->props, "offset"), window, text, NULL);
    return block_node_start(window, block_node_ref(source), 0, errp);
}

static bool copy(const DdArgs *args, const Operands *o, BlockNode *source, GError **errp)
{
    const BlockDriver *driver = img_driver(args->target_format, errp);
    g_autoptr(BlockNode) target = NULL, window = NULL;
    ImgOpen how = {.format = args->target_format, .cache = "unsafe", .flags = BLOCK_OPEN_RDWR};
    ImgProgress progress = {0};
    uint64_t bytes;

    window = driver ? open_window(source, o, &bytes, errp) : NULL;
    if (!window || !block_create(driver, o->output, NULL, bytes, false, errp) || !(target = img_open(o->output, &how, errp)))
        return false;
    ImgCopy job = {.sources = &window, .count = 1, .target = target, .size = bytes, .min_sparse = 4096, .threads = 4,
                   .target_is_zero = true, .progress = &progress};
    return img_copy(&job, errp) && img_flush(target, errp);
}

static int run(void *opaque, GError **errp)
{
    const DdArgs *args = opaque;
    ImgOpen how = {.format = args->base.format, .image_opts = args->base.image_opts, .force_share = args->base.force_share};
    Operands operands;
    g_autoptr(BlockNode) source = take_operands(args, &operands, errp) ? img_open(operands.input, &how, errp) : NULL;

    return source && copy(args, &operands, source, errp) ? 0 : -1;
}

static const ImgOption options[] = {
    IMG_OPT_FORMAT,
    {'O', NULL, "FMT", IMG_STRING, offsetof(DdArgs, target_format), "the new image's format", "raw"},
    IMG_OPT_IMAGE_OPTS, IMG_OPT_SHARE, IMG_OPT_END,
};

const ImgCommand img_dd = {
    "dd", "if=FILENAME of=TARGET [bs=SIZE] [count=N] [skip=N]", "copies a part of a disk into a new image", options, sizeof(DdArgs), 2, 5, 1, run,
};
