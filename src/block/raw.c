/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * raw: the image is the file, or a window of it (offset=, size=).
 */
#include <errno.h>

#include "core/bits.h"
#include "core/error.h"
#include "core/iov.h"
#include "src/block/block-int.h"

typedef struct RawNode {
    BlockNode node;
    uint64_t offset, opt_size; /* opt_size 0: to the end of the file */
} RawNode;

static RawNode *raw_of(BlockNode *node)
{
    return (RawNode *)node;
}

static bool raw_open(BlockNode *node, GError **errp)
{
    RawNode *raw = raw_of(node);
    uint64_t size = block_node_size(node->file);

    if (raw->offset > size || !range_ok(raw->offset, raw->opt_size, size))
        return error_set_code(errp, VMM_ERROR_USAGE, "'%s' has only %" G_GUINT64_FORMAT " bytes; choose offset= and size= "
                              "inside", node->filename, size);
    block_node_set_size(node, raw->opt_size ? raw->opt_size : size - raw->offset);
    node->discard_alignment = node->file->discard_alignment;
    return true;
}

static int raw_preadv(BlockNode *node, uint64_t offset, uint64_t bytes, const struct iovec *iov, int iovcnt)
{
    return block_preadv(node->file, raw_of(node)->offset + offset, bytes, iov, iovcnt);
}

/* Whether the image would be taken for another format after this write. */
static bool changes_format(BlockNode *node, uint64_t offset, uint64_t bytes, const struct iovec *iov, int iovcnt)
{
    uint8_t head[BLOCK_PROBE_BYTES] = {0};
    uint64_t size = block_node_size(node);

    if (!node->probed || offset >= sizeof(head))
        return false;
    if (block_pread(node, 0, head, MIN(size, sizeof(head))) < 0)
        return true;
    iov_to_buf(iov, iovcnt, 0, head + offset, MIN(bytes, sizeof(head) - offset));
    return block_probe_head(head, size) != &block_driver_raw;
}

static int raw_pwritev(BlockNode *node, uint64_t offset, uint64_t bytes, const struct iovec *iov, int iovcnt,
                       unsigned flags)
{
    if (flags & BLOCK_COMPRESSED)
        return -ENOTSUP;
    if (changes_format(node, offset, bytes, iov, iovcnt))
        return -EPERM;
    return block_pwritev(node->file, raw_of(node)->offset + offset, bytes, iov, iovcnt, flags);
}

static int raw_copy_range(BlockNode *node, uint64_t offset, BlockNode *from, uint64_t from_offset, uint64_t bytes)
{
    if (node->probed && offset < BLOCK_PROBE_BYTES)
        return -ENOTSUP; /* somebody has to look at it */
    return block_copy_range(node->file, raw_of(node)->offset + offset, from, from_offset, bytes);
}

static int raw_flush(BlockNode *node)
{
    return block_flush(node->file);
}

static int raw_discard(BlockNode *node, uint64_t offset, uint64_t bytes)
{
    return block_discard(node->file, raw_of(node)->offset + offset, bytes);
}

static int raw_write_zeroes(BlockNode *node, uint64_t offset, uint64_t bytes, unsigned flags)
{
    return block_write_zeroes(node->file, raw_of(node)->offset + offset, bytes, flags | BLOCK_NO_FALLBACK);
}

static int raw_status(BlockNode *node, uint64_t offset, uint64_t bytes, BlockStatus *out)
{
    uint64_t at = raw_of(node)->offset + offset;
    int ret = block_status(node->file, at, bytes, out);

    if (ret == 0)
        out->flags |= BLOCK_STATUS_ALLOCATED | BLOCK_STATUS_OFFSET;
    out->offset = at;
    out->file = node->file;
    return ret;
}

static bool raw_truncate(BlockNode *node, uint64_t size, BlockPrealloc prealloc, GError **errp)
{
    RawNode *raw = raw_of(node);

    if (raw->opt_size || raw->offset)
        return error_set(errp, "'%s' is a window of a file (offset=, size=) and keeps its size", node->filename);
    if (!block_truncate(node->file, size, prealloc, errp))
        return false;
    block_node_set_size(node, block_node_size(node->file));
    return true;
}

static void raw_info(BlockNode *node, BlockInfo *out)
{
    block_info(node->file, out);
}

static void raw_map(BlockNode *node, uint64_t offset, uint64_t bytes, bool write, unsigned flags, BlockExtent *out)
{
    if (write && ((flags & BLOCK_COMPRESSED) || (node->probed && offset < BLOCK_PROBE_BYTES)))
        return;
    *out = (BlockExtent){.kind = BLOCK_EXTENT_DATA, .node = node->file, .offset = raw_of(node)->offset + offset,
                         .bytes = bytes};
}

static const char *const prealloc_names[] = {"off", "metadata", "falloc", "full", NULL};

typedef struct RawCreate {
    int prealloc;
} RawCreate;

static bool raw_create(BlockNode *file, const void *options, uint64_t size, GError **errp)
{
    const RawCreate *create = options;

    return block_truncate(file, size, create ? (BlockPrealloc)create->prealloc : BLOCK_PREALLOC_OFF, errp);
}

static bool raw_measure(const void *options, uint64_t size, uint64_t data, BlockMeasure *out, GError **errp)
{
    out->required = out->fully_allocated = align_up(size, BLOCK_SECTOR_SIZE);
    return true;
}

static const Property raw_create_props[] = {
    {"preallocation", PROP_ENUM, offsetof(RawCreate, prealloc), "off", "space is taken at once", prealloc_names},
    {.name = NULL},
};

static const Property raw_props[] = {
    {"offset", PROP_SIZE, offsetof(RawNode, offset), "0", "where the image begins in the file"},
    {"size", PROP_SIZE, offsetof(RawNode, opt_size), "0", "its size; 0: to the end of the file"},
    {.name = NULL},
};

const BlockDriver block_driver_raw = {
    .name = "raw",
    .desc = "the file is the disk",
    .instance_size = sizeof(RawNode),
    .props = raw_props,
    .create_props = raw_create_props,
    .create_size = sizeof(RawCreate),
    .open = raw_open,
    .preadv = raw_preadv,
    .pwritev = raw_pwritev,
    .copy_range = raw_copy_range,
    .flush = raw_flush,
    .discard = raw_discard,
    .write_zeroes = raw_write_zeroes,
    .status = raw_status,
    .truncate = raw_truncate,
    .info = raw_info,
    .map = raw_map,
    .create = raw_create,
    .measure = raw_measure,
};
