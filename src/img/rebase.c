/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * rebase: another backing file.
 *
 *     safe      what shows through from the old one and differs in the new one is copied into the image first
 *     unsafe -u only the name in the header changes
 *
 * The header changes last, when all that was copied is on disk; an interruption leaves the image as it was, only larger.
 */
#include <string.h>

#include "core/error.h"
#include "core/iov.h"
#include "src/img/img.h"

#define BUFFER_BYTES (1u << 20)

typedef struct RebaseArgs {
    ImgArgs base;
    const char *backing, *backing_format;
    bool unsafe;
} RebaseArgs;

typedef struct Rebase {
    BlockNode *node, *old, *new; /* old, new: backing files or NULL */
    uint8_t *buf[2];             /* of old and new */
    unsigned write_flags;
    ImgProgress progress;
    GError **errp;
} Rebase;

static bool read_below(const Rebase *r, BlockNode *below, uint64_t offset, uint64_t bytes, uint8_t *buf)
{
    uint64_t size = below ? block_node_size(below) : 0, there = offset < size ? MIN(bytes, size - offset) : 0;
    int ret = there ? block_pread(below, offset, buf, there) : 0;

    memset(buf + there, 0, bytes - there);
    return ret == 0 || error_set_errno(r->errp, -ret, "cannot read '%s' at offset %" G_GUINT64_FORMAT, below->filename, offset);
}

/* Steps of this size are copied or left alone as a whole. */
static uint64_t granularity(BlockNode *node)
{
    BlockInfo info;

    block_info(node, &info);
    return info.cluster_size ? MIN(info.cluster_size, BUFFER_BYTES) : BLOCK_SECTOR_SIZE;
}

static bool copy_old(const Rebase *r, uint64_t offset, uint64_t bytes, const uint8_t *data)
{
    int ret = buffer_is_zero(data, bytes) ? block_write_zeroes(r->node, offset, bytes, r->write_flags)
                                          : block_pwrite(r->node, offset, data, bytes, r->write_flags);

    return ret == 0 || error_set_errno(r->errp, -ret, "cannot write '%s' at offset %" G_GUINT64_FORMAT, r->node->filename, offset);
}

/* The bytes come from below. */
static bool rebase_part(const Rebase *r, uint64_t offset, uint64_t bytes)
{
    uint64_t step = granularity(r->node), len;

    if (!read_below(r, r->old, offset, bytes, r->buf[0]) || !read_below(r, r->new, offset, bytes, r->buf[1]))
        return false;
    for (uint64_t at = 0; at < bytes; at += len) {
        len = MIN(step - (offset + at) % step, bytes - at);
        if (memcmp(r->buf[0] + at, r->buf[1] + at, len) != 0 && !copy_old(r, offset + at, len, r->buf[0] + at))
            return false;
    }
    return true;
}

static bool copy_differences(Rebase *r, bool shown)
{
    uint64_t size = block_node_size(r->node);
    BlockStatus status;

    img_progress_start(&r->progress, shown, size);
    for (uint64_t offset = 0; offset < size; offset += status.bytes) {
        int ret = block_status(r->node, offset, size - offset, &status);
        if (ret < 0)
            return error_set_errno(r->errp, -ret, "cannot find the data of '%s' at offset %" G_GUINT64_FORMAT, r->node->filename, offset);
        if (!(status.flags & BLOCK_STATUS_ALLOCATED)) {
            status.bytes = MIN(status.bytes, BUFFER_BYTES);
            if (!rebase_part(r, offset, status.bytes))
                return false;
        }
        img_progress_add(&r->progress, status.bytes);
    }
    img_progress_end(&r->progress);
    return img_flush(r->node, r->errp);
}

static bool open_new(Rebase *r, const RebaseArgs *args, GError **errp)
{
    ImgOpen how = {.format = args->backing_format, .cache = args->base.src_cache, .force_share = args->base.force_share};

    if (!*args->backing)
        return true;
    g_autofree char *path = block_backing_path(r->node, args->backing);
    r->new = img_open(path, &how, errp);
    return r->new || (g_prefix_error(errp, "new backing file: "), false);
}

static bool rebase(Rebase *r, const RebaseArgs *args, GError **errp)
{
    g_autofree uint8_t *buf = g_malloc(2 * BUFFER_BYTES);

    r->buf[0] = buf;
    r->buf[1] = buf + BUFFER_BYTES;
    r->old = r->node->backing;
    if (!args->unsafe
        && (!open_new(r, args, errp) || !copy_differences(r, args->base.progress && !args->base.quiet)))
        return false;
    return r->node->driver->set_backing_file(r->node, *args->backing ? args->backing : NULL, args->backing_format, errp);
}

static int run(void *opaque, GError **errp)
{
    const RebaseArgs *args = opaque;
    Rebase r = {.errp = errp};
    bool ok = false;

    if (!args->backing || (*args->backing && !args->backing_format)) {
        error_set_code(errp, VMM_ERROR_USAGE, args->backing ? "the format of the backing file is not given; say it with -F"
                                                            : "rebase: -b is missing: the new backing file, or '' for none");
        return -1;
    }
    r.node = img_cache_write_flags(args->base.cache, &r.write_flags, errp)
                 ? img_open_operand(&args->base, BLOCK_OPEN_RDWR | (args->unsafe ? BLOCK_OPEN_NO_BACKING : 0), errp) : NULL;
    if (r.node && !r.node->driver->set_backing_file)
        error_set(errp, "image '%s': the format '%s' has no backing files; qcow2 has", r.node->filename, r.node->driver->name);
    else if (r.node)
        ok = rebase(&r, args, errp);
    block_node_unref(r.new);
    block_node_unref(r.node);
    return ok ? 0 : -1;
}

static const ImgOption options[] = {
    IMG_OPT_FORMAT,
    {'b', NULL, "FILE", IMG_STRING, offsetof(RebaseArgs, backing), "the new backing file; '' for none"},
    {'F', NULL, "FMT", IMG_STRING, offsetof(RebaseArgs, backing_format), "its format"},
    {'u', NULL, NULL, IMG_FLAG, offsetof(RebaseArgs, unsafe), "change the name only: both files have the same contents"},
    IMG_OPT_CACHE("writeback"), IMG_OPT_SRC_CACHE('T'), IMG_OPT_IMAGE_OPTS, IMG_OPT_SHARE, IMG_OPT_PROGRESS, IMG_OPT_QUIET, IMG_OPT_OBJECT, IMG_OPT_END,
};

const ImgCommand img_rebase = {
    "rebase", "FILENAME", "gives an image another backing file", options, sizeof(RebaseArgs), 1, 1, 1, run,
};
