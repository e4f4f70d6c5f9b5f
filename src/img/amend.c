/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * amend: options of creation, changed in an image that is there.
 */
#include <stdio.h>

#include "core/error.h"
#include "src/img/img.h"

typedef struct AmendArgs {
    ImgArgs base;
    GPtrArray *options;
} AmendArgs;

static int run(void *opaque, GError **errp)
{
    const AmendArgs *args = opaque;
    ImgProgress progress;
    g_autoptr(KvNode) options = args->options ? img_create_options(args->options, errp) : NULL;

    if (!args->options)
        error_set_code(errp, VMM_ERROR_USAGE, "amend: -o is missing: what to change");
    if (!options)
        return -1;
    g_autoptr(BlockNode) node = img_open_operand(&args->base, BLOCK_OPEN_RDWR | BLOCK_OPEN_NO_BACKING, errp);
    if (!node)
        return -1;
    if (!node->driver->amend) {
        error_set(errp, "image '%s': the format '%s' has nothing to amend", node->filename, node->driver->name);
        return -1;
    }
    img_progress_start(&progress, args->base.progress && !args->base.quiet, 1);
    if (!node->driver->amend(node, options, errp))
        return -1;
    img_progress_add(&progress, 1);
    img_progress_end(&progress);
    return 0;
}

static const ImgOption options[] = {
    IMG_OPT_FORMAT,
    {'o', NULL, "OPTIONS", IMG_LIST, offsetof(AmendArgs, options), "qcow2: compat, lazy_refcounts, size, backing_file, backing_fmt"},
    {0, "force", NULL, IMG_REFUSED, 0, "it is for the keys of encrypted images, which are not supported"},
    IMG_OPT_CACHE("writeback"), IMG_OPT_OBJECT, IMG_OPT_IMAGE_OPTS, IMG_OPT_PROGRESS, IMG_OPT_QUIET, IMG_OPT_END,
};

const ImgCommand img_amend = {
    "amend", "FILENAME", "changes options an image was made with", options, sizeof(AmendArgs), 1, 1, 1, run,
};
