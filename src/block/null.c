/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * null-co: a disk that takes everything and gives zeroes; for measuring what is above it.
 */
#include "core/iov.h"
#include "src/block/block-int.h"

typedef struct NullNode {
    BlockNode node;
    uint64_t opt_size;
} NullNode;

static bool null_open(BlockNode *node, GError **errp)
{
    block_node_set_size(node, ((NullNode *)node)->opt_size);
    node->filename = g_strdup("null-co://");
    return true;
}

static int null_preadv(BlockNode *node, uint64_t offset, uint64_t bytes, const struct iovec *iov, int iovcnt)
{
    iov_memset(iov, iovcnt, 0, 0, bytes);
    return 0;
}

static int null_pwritev(BlockNode *node, uint64_t offset, uint64_t bytes, const struct iovec *iov, int iovcnt,
                        unsigned flags)
{
    return 0;
}

static int null_flush(BlockNode *node)
{
    return 0;
}

static int null_write_zeroes(BlockNode *node, uint64_t offset, uint64_t bytes, unsigned flags)
{
    return 0;
}

/* Done where it is submitted; the completion still takes its way over the loop. */
static bool null_submit(BlockNode *node, BlockIo *io)
{
    block_io_complete(io, block_io_execute(io));
    return true;
}

static const Property null_props[] = {
    {"size", PROP_SIZE, offsetof(NullNode, opt_size), "1G", "of the disk"},
    {.name = NULL},
};

const BlockDriver block_driver_null = {
    .name = "null-co",
    .desc = "takes everything, gives zeroes",
    .is_protocol = true,
    .instance_size = sizeof(NullNode),
    .props = null_props,
    .open = null_open,
    .preadv = null_preadv,
    .pwritev = null_pwritev,
    .flush = null_flush,
    .write_zeroes = null_write_zeroes,
    .submit = null_submit,
};
