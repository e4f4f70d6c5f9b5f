/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A request's way through the node graph.
 *
 *     READ, WRITE   map() from node to node. Known down to a protocol: its engine, from here. Otherwise:
 *     all else      the blocking call on the root node, by a worker
 *
 * What map() found must stay true while the transfer runs: a driver that could give the space to somebody
 * else meanwhile marks the extent as held and waits for map_release before it does.
 */
#include <errno.h>

#include "core/bits.h"
#include "core/iov.h"
#include "src/block/block-int.h"

static void io_done(BlockIo *io)
{
    BlockRequest *req = (BlockRequest *)((char *)io - offsetof(BlockRequest, io));

    if (req->held) {
        req->held->driver->map_release(req->held, req->hold);
        req->held = NULL;
    }
    blk_request_finish(req, io->ret);
}

static void finish_soon(BlockRequest *req, int ret)
{
    block_io_complete(&req->io, ret);
}

static void release_hold(BlockRequest *req)
{
    if (req->held)
        req->held->driver->map_release(req->held, req->hold);
    req->held = NULL;
}

/* One step down the graph; false: not to be had without blocking. */
static bool map_step(BlockRequest *req, BlockNode **node, uint64_t *offset, bool *zero)
{
    BlockNode *at = *node;
    bool write = req->op == BLOCK_WRITE;
    BlockExtent ext = {.kind = BLOCK_EXTENT_SLOW};

    if (!at->driver->map)
        return false;
    at->driver->map(at, *offset, req->bytes, write, req->io.flags, &ext);
    if (ext.kind == BLOCK_EXTENT_DATA && ext.held) {
        if (req->held || ext.bytes != req->bytes) {
            at->driver->map_release(at, ext.hold);
            return false;
        }
        req->held = at;
        req->hold = ext.hold;
    }
    if (ext.kind == BLOCK_EXTENT_SLOW || ext.bytes != req->bytes)
        return false;
    *zero = ext.kind == BLOCK_EXTENT_ZERO;
    *node = ext.node;
    *offset = ext.offset;
    return true;
}

/* Sets io to the protocol node and offset the request maps to. False: io is as it was. */
static bool map_request(BlockRequest *req, bool *zero)
{
    BlockNode *node = req->io.node;
    uint64_t offset = req->offset;

    *zero = false;
    while (!node->driver->is_protocol) {
        if (!map_step(req, &node, &offset, zero)) {
            release_hold(req);
            return false;
        }
        if (*zero)
            return true;
    }
    if (req->op == BLOCK_READ && !range_ok(offset, req->bytes, block_node_size(node))) {
        release_hold(req); /* an image cut short: the blocking call sorts it out */
        return false;
    }
    req->io.node = node;
    req->io.offset = offset;
    return true;
}

/* detect-zeroes: zeroes are written as such. */
static void detect_zeroes(BlockRequest *req)
{
    BlockNode *root = req->io.node;

    if (root->detect_zeroes == BLOCK_DETECT_OFF || req->op != BLOCK_WRITE || !iov_is_zero(req->iov, req->iovcnt))
        return;
    req->io.op = BLOCK_ZEROES;
    if (root->detect_zeroes == BLOCK_DETECT_UNMAP)
        req->io.flags |= BLOCK_MAY_UNMAP;
}

static int check_request(const BlockRequest *req, const BlockNode *root)
{
    if (!root)
        return -ENOMEDIUM;
    if (req->op == BLOCK_FLUSH)
        return 0;
    if (!range_ok(req->offset, req->bytes, block_node_size(root)))
        return -EIO;
    if (req->op != BLOCK_READ && (root->read_only || block_node_is_corrupt(root)))
        return root->read_only ? -EACCES : -EIO;
    return 0;
}

void blk_request_start(BlockRequest *req)
{
    BlockNode *root = req->blk->root;
    bool zero;

    req->io = (BlockIo){
        .node = root, .op = req->op, .flags = req->flags, .offset = req->offset, .bytes = req->bytes,
        .iov = req->iov, .iovcnt = req->iovcnt, .loop = req->loop, .done = io_done,
    };
    req->held = NULL;
    int ret = check_request(req, root);
    if (ret < 0 || (!req->bytes && req->op != BLOCK_FLUSH)) {
        finish_soon(req, ret);
        return;
    }
    if (!blk_write_cache(req->blk) && (req->op == BLOCK_WRITE || req->op == BLOCK_ZEROES))
        req->io.flags |= BLOCK_FUA;
    detect_zeroes(req);
    if ((req->io.op != BLOCK_READ && req->io.op != BLOCK_WRITE) || !map_request(req, &zero)) {
        block_io_punt(&req->io);
    } else if (zero) {
        iov_memset(req->iov, req->iovcnt, 0, 0, req->bytes);
        finish_soon(req, 0);
    } else {
        block_io_submit(&req->io);
    }
}
