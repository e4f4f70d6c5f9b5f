/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * commit: what an image has of its own goes into its backing image, and the image is empty after.
 *
 * The order is that of a crash's safety: the backing image has everything on disk before the first cluster above is let go.
 */
#include "core/error.h"
#include "src/block/block-int.h"

#define BUFFER_BYTES (1u << 20)

static int copy_part(BlockNode *top, BlockNode *base, uint64_t offset, uint64_t bytes, bool zero, uint8_t *buf)
{
    int ret = 0;

    if (zero)
        return block_write_zeroes(base, offset, bytes, BLOCK_MAY_UNMAP);
    for (uint64_t done = 0, part; done < bytes && ret == 0; done += part) {
        part = MIN(bytes - done, BUFFER_BYTES);
        ret = block_pread(top, offset + done, buf, part);
        if (ret == 0)
            ret = block_pwrite(base, offset + done, buf, part, 0);
    }
    return ret;
}

static int copy_own(BlockNode *top, BlockNode *base)
{
    g_autofree uint8_t *buf = g_malloc(BUFFER_BYTES);
    uint64_t size = block_node_size(top);
    BlockStatus status;
    int ret = 0;

    for (uint64_t offset = 0; offset < size && ret == 0; offset += status.bytes) {
        ret = block_status(top, offset, size - offset, &status);
        if (ret == 0 && status.flags & BLOCK_STATUS_ALLOCATED)
            ret = copy_part(top, base, offset, status.bytes, status.flags & BLOCK_STATUS_ZERO, buf);
    }
    return ret == 0 ? block_flush(base) : ret;
}

static bool commit_to(BlockNode *top, BlockNode *base, GError **errp)
{
    if (block_node_size(base) < block_node_size(top)
        && !block_truncate(base, block_node_size(top), BLOCK_PREALLOC_OFF, errp))
        return false;
    int ret = copy_own(top, base);
    if (ret < 0)
        return error_set_errno(errp, -ret, "cannot commit '%s' to '%s'", top->filename, base->filename);
    ret = top->driver->make_empty(top);
    return ret == 0 || error_set_errno(errp, -ret, "'%s' is committed but cannot be emptied", top->filename);
}

bool block_commit(BlockNode *top, GError **errp)
{
    BlockNode *base = top->backing;

    if (!base || !top->driver->make_empty)
        return error_set(errp, "image '%s' has no backing file to commit to", top->filename);
    if (top->read_only)
        return error_set(errp, "image '%s' is read-only", top->filename);
    if (base->refs > 1)
        return error_set(errp, "image '%s' is a node of its own (-blockdev), or several images lie over it; it is not committed to",
                         base->filename);
    if (!block_node_reopen(base, true, errp))
        return false;
    bool ok = commit_to(top, base, errp);
    block_node_reopen(base, false, NULL); /* else it stays writable, which nobody makes use of */
    return ok;
}
