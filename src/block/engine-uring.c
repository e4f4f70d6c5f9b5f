/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * aio=io_uring: a ring for each loop that submits. Completions signal the loop's eventfd (block/io.h).
 *
 * What the ring cannot take, or leaves half done, is a worker's: block_io_punt does the whole transfer again.
 *
 * Locking: lock for the submission side; the completion side is the loop's thread's alone.
 */
#include "src/block/engine-config.h"
#include "src/block/engine-op.h"

#ifdef HAVE_LIBURING

#include <liburing.h>
#include <limits.h>

#define RING_ENTRIES 256
#define MAX_HELD_BACK 32 /* submissions collected between blk_plug and blk_unplug */

typedef struct UringEngine {
    BlockLoopEngine base;
    struct io_uring ring;
    pthread_mutex_t lock; /* guards what follows, and the ring's submission queue */
    unsigned held_back;
    EngineOps ops;
} UringEngine;

static const char uring_kind;

bool file_uring_works(void)
{
    struct io_uring ring;

    if (io_uring_queue_init(2, &ring, 0) < 0)
        return false;
    io_uring_queue_exit(&ring);
    return true;
}

static void op_done(UringEngine *engine, EngineOp *op, int res)
{
    BlockIo *io = engine_op_ended(op);

    if (!engine_op_end(&engine->ops, op, res, &io->ret))
        block_io_punt(io);
    else
        io->done(io);
}

static unsigned uring_collect(BlockLoopEngine *base)
{
    UringEngine *engine = (UringEngine *)base;
    struct io_uring_cqe *cqe;
    unsigned count = 0;

    while (count < BLOCK_REAP_BUDGET && io_uring_peek_cqe(&engine->ring, &cqe) == 0) {
        EngineOp *op = io_uring_cqe_get_data(cqe);
        int res = cqe->res;
        io_uring_cqe_seen(&engine->ring, cqe); /* before done, which may collect the next itself */
        op_done(engine, op, res);
        count++;
    }
    return count;
}

static void submit_locked(UringEngine *engine)
{
    engine->held_back = 0;
    io_uring_submit(&engine->ring); /* what stays queued on EAGAIN or EBUSY goes with the next */
}

static void uring_flush(BlockLoopEngine *base)
{
    UringEngine *engine = (UringEngine *)base;

    pthread_mutex_lock(&engine->lock);
    if (engine->held_back || io_uring_sq_ready(&engine->ring))
        submit_locked(engine);
    pthread_mutex_unlock(&engine->lock);
}

static void uring_free(BlockLoopEngine *base)
{
    UringEngine *engine = (UringEngine *)base;

    engine_ops_release(&engine->ops);
    io_uring_queue_exit(&engine->ring);
    pthread_mutex_destroy(&engine->lock);
    g_free(engine);
}

static BlockLoopEngine *uring_make(EventLoop *loop)
{
    UringEngine *engine = g_new0(UringEngine, 1);
    struct io_uring_params params = {.flags = IORING_SETUP_CQSIZE, .cq_entries = 16 * RING_ENTRIES};

    if (io_uring_queue_init_params(RING_ENTRIES, &engine->ring, &params) < 0) {
        g_free(engine);
        return NULL;
    }
    if (io_uring_register_eventfd(&engine->ring, block_loop_eventfd(loop)) < 0) {
        io_uring_queue_exit(&engine->ring);
        g_free(engine);
        return NULL;
    }
    pthread_mutex_init(&engine->lock, NULL);
    engine_ops_init(&engine->ops, sizeof(EngineOp));
    engine->base = (BlockLoopEngine){.collect = uring_collect, .flush = uring_flush, .free = uring_free};
    return &engine->base;
}

static struct io_uring_sqe *take_sqe_locked(UringEngine *engine)
{
    struct io_uring_sqe *sqe = io_uring_get_sqe(&engine->ring);

    if (sqe)
        return sqe;
    submit_locked(engine);
    return io_uring_get_sqe(&engine->ring);
}

static void prepare(struct io_uring_sqe *sqe, const FileNode *file, const BlockIo *io)
{
    int rwf = io->flags & BLOCK_FUA && !file->node.cache_no_flush ? RWF_DSYNC : 0;

    if (io->op == BLOCK_READ)
        io_uring_prep_readv(sqe, file->fd, io->iov, (unsigned)io->iovcnt, io->offset);
    else
        io_uring_prep_writev2(sqe, file->fd, io->iov, (unsigned)io->iovcnt, io->offset, rwf);
}

bool file_uring_submit(FileNode *file, BlockIo *io)
{
    UringEngine *engine = (UringEngine *)block_loop_engine(io->loop, &uring_kind, uring_make);
    struct io_uring_sqe *sqe;
    EngineOp *op;

    if (engine && engine_op_transfer_alone(&engine->ops, file, io))
        return true;
    op = engine ? engine_op_begin(&engine->ops, file, io) : NULL;
    if (!op)
        return false;
    pthread_mutex_lock(&engine->lock);
    sqe = take_sqe_locked(engine);
    if (sqe) {
        prepare(sqe, file, io);
        io_uring_sqe_set_data(sqe, op);
        if (!block_loop_plugged() || ++engine->held_back >= MAX_HELD_BACK)
            submit_locked(engine);
    }
    pthread_mutex_unlock(&engine->lock);
    if (!sqe)
        engine_op_drop(&engine->ops, op);
    return sqe != NULL;
}

#else

bool file_uring_works(void)
{
    return false;
}

bool file_uring_submit(FileNode *file, BlockIo *io)
{
    return false;
}

#endif
