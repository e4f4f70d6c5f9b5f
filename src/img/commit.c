/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * commit: what an image has of its own goes into its backing file, or into one further down (-b).
 *
 * The chain is opened image by image, because the one that is written has to be opened for writing.
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

/* Opens what lies below node, and below that, until the target, which is returned. */
static BlockNode *open_below(const CommitArgs *args, BlockNode *node, GError **errp)
{
    g_autoptr(GPtrArray) seen = g_ptr_array_new_with_free_func(g_free);

    g_ptr_array_add(seen, g_strdup(args->base.operands[0]));
    for (;;) {
        g_autofree char *format = NULL, *path = img_backing_path(node, &format);
        if (!path) {
            error_set(errp, args->target ? "image '%s' does not lie over '%s'" : "image '%s' has no backing file to commit to",
                      args->base.operands[0], args->target);
            return NULL;
        }
        if (!img_chain_note(seen, path, errp))
            return NULL;
        g_autofree char *name = node->driver->backing_file(node, NULL);
        bool is_target = !args->target || strcmp(args->target, path) == 0 || strcmp(args->target, name) == 0;
        ImgOpen how = {.format = format, .cache = args->base.cache, .flags = is_target ? BLOCK_OPEN_RDWR : BLOCK_OPEN_NO_BACKING};
        BlockNode *below = img_open(path, &how, errp);
        if (!below) {
            g_prefix_error(errp, "backing file of '%s': ", node->filename);
            return NULL;
        }
        block_node_set_backing(node, below);
        if (is_target)
            return below;
        node = below;
    }
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
    g_autoptr(BlockNode) top = img_open_operand(&args->base, BLOCK_OPEN_RDWR | BLOCK_OPEN_NO_BACKING, errp);
    BlockNode *target = top ? open_below(args, top, errp) : NULL;

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
    IMG_OPT_CACHE("writeback"), IMG_OPT_IMAGE_OPTS, IMG_OPT_PROGRESS, IMG_OPT_QUIET, IMG_OPT_END,
};

const ImgCommand img_commit = {
    "commit", "FILENAME", "writes an image's changes into its backing file", options, sizeof(CommitArgs), 1, 1, 1, run,
};
