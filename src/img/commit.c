/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * commit: what an image has of its own goes into its backing file, or into one further down (-b).
 */
#include <stdio.h>
#include <string.h>

#include "core/error.h"
#include "src/img/img.h"

typedef struct CommitArgs {
    ImgArgs base;
    const char *target;
    bool keep;
    uint64_t rate;
} CommitArgs;

/* The image to write to, which is made writable. */
static BlockNode *open_target(const CommitArgs *args, BlockNode *top, GError **errp)
{
    for (BlockNode *node = top; node->backing; node = node->backing) {
        g_autofree char *name = node->driver->backing_file(node, NULL);
        if (!args->target || strcmp(args->target, node->backing->filename) == 0 || g_strcmp0(args->target, name) == 0)
            return block_node_reopen(node->backing, true, errp) ? node->backing : NULL;
    }
    error_set(errp, args->target ? "image '%s' does not lie over '%s'" : "image '%s' has no backing file to commit to",
              args->base.operands[0], args->target);
    return NULL;
}

static bool commit(const CommitArgs *args, BlockNode *top, BlockNode *target, GError **errp)
{
    ImgProgress progress;
    ImgCopy copy = {
        .sources = &top, .count = 1, .base = target, .target = target, .size = block_node_size(top), .min_sparse = 4096,
        .threads = 4, .rate = args->rate, .progress = &progress,
    };

    if (!img_cache_write_flags(args->base.cache, &copy.write_flags, errp))
        return false;
    if (block_node_size(target) < copy.size && !block_truncate(target, copy.size, BLOCK_PREALLOC_OFF, errp))
        return false;
    img_progress_start(&progress, args->base.progress && !args->base.quiet, copy.size);
    if (!img_copy(&copy, errp) || !img_flush(target, errp))
        return false;
    img_progress_end(&progress);
    /* Images in between would show through an empty one; they are out of date as it is. */
    if (args->keep || args->target)
        return true;
    int ret = top->driver->make_empty(top);
    if (ret < 0)
        return error_set_errno(errp, -ret, "everything is committed, but image '%s' cannot be emptied", top->filename);
    return img_flush(top, errp);
}

static int run(void *opaque, GError **errp)
{
    const CommitArgs *args = opaque;
    g_autoptr(BlockNode) top = img_open_operand(&args->base, BLOCK_OPEN_RDWR, errp);
    BlockNode *target = top ? open_target(args, top, errp) : NULL;

    if (!target || !commit(args, top, target, errp))
        return -1;
    if (!args->base.quiet)
        puts("Image committed.");
    return 0;
}

static const ImgOption options[] = {
    IMG_OPT_FORMAT,
    {'b', NULL, "FILE", IMG_STRING, offsetof(CommitArgs, target), "the image below to write to; all between it and FILENAME become invalid"},
    {'d', NULL, NULL, IMG_FLAG, offsetof(CommitArgs, keep), "do not empty FILENAME"},
    {'r', NULL, "RATE", IMG_SIZE, offsetof(CommitArgs, rate), "at most so many bytes a second", "0"},
    IMG_OPT_CACHE("writeback"), IMG_OPT_IMAGE_OPTS, IMG_OPT_PROGRESS, IMG_OPT_OBJECT, IMG_OPT_QUIET, IMG_OPT_END,
};

const ImgCommand img_commit = {
    "commit", "FILENAME", "writes an image's changes into its backing file", options, sizeof(CommitArgs), 1, 1, 1, run,
};
