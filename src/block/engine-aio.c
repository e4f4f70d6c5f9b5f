/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * aio=native: Linux AIO through libaio. Asynchronous for O_DIRECT only, so cache=none or directsync is required.
 *
 * Completions signal the loop's eventfd. They lie in a ring the kernel shares with us (linux/fs/aio.c: the context's handle is its
 * address), from which they are collected without a system call. What the context does not take goes to a worker.
 *
 * Locking: lock for what is held back. io_submit needs none; the ring's head is the loop's thread's alone.
 */
#include "src/block/engine-config.h"
#include "src/block/engine-op.h"

#ifdef HAVE_LIBAIO

#include <errno.h>
#include <libaio.h>

#define MAX_EVENTS 1024
#define MAX_HELD_BACK 4 /* few: the disk begins with them while the rest is prepared */

#define AIO_RING_MAGIC 0xa10a10a1
#define AIO_RING_INCOMPAT 0 /* what the kernel may do that we have to know of: nothing so far */

/* As the kernel lays it out. Its tail moves on as transfers end; head is ours. */
typedef struct AioRing {
    uint32_t id, nr; /* nr: entries */
    uint32_t head, tail;
    uint32_t magic, compat_features, incompat_features, header_length;
    struct io_event events[];
} AioRing;

typedef struct AioOp {
    EngineOp op;
    struct iocb iocb;
} AioOp;

typedef struct AioEngine {
    BlockLoopEngine base;
    io_context_t context;
    AioRing *ring; /* the context's own memory */
    int efd;
    pthread_mutex_t lock; /* guards what follows */
    struct iocb *held_back[MAX_HELD_BACK];
    int held_back_count;
    EngineOps ops;
} AioEngine;

static const char aio_kind;

bool file_aio_works(void)
{
    return true;
}

static void op_done(AioEngine *engine, EngineOp *op, long res)
{
    BlockIo *io = engine_op_ended(op);

    if (!engine_op_end(&engine->ops, op, res, &io->ret))
        block_io_punt(io);
    else
        io->done(io);
}

/* False: none is there. */
static bool take_event(AioRing *ring, struct io_event *event)
{
    uint32_t head = ring->head;

    if (head == __atomic_load_n(&ring->tail, __ATOMIC_ACQUIRE))
        return false;
    *event = ring->events[head];
    __atomic_store_n(&ring->head, (head + 1) % ring->nr, __ATOMIC_RELEASE); /* before done, which may collect the next itself */
    return true;
}

static unsigned aio_collect(BlockLoopEngine *base)
{
    AioEngine *engine = (AioEngine *)base;
    struct io_event event;
    unsigned count = 0;

    while (count < BLOCK_REAP_BUDGET && take_event(engine->ring, &event)) {
        op_done(engine, event.data, (long)event.res);
        count++;
    }
    return count;
}

/* Hands over; what is not taken is punted. The caller does not hold the lock. */
static void submit_all(AioEngine *engine, struct iocb **iocbs, int count)
{
    int done = 0;

    while (done < count) {
        int n = io_submit(engine->context, count - done, iocbs + done);
        if (n > 0) {
            done += n;
        } else if (n != -EINTR) {
            EngineOp *op = iocbs[done++]->data;
            BlockIo *io = op->io;
            engine_op_drop(&engine->ops, op);
            block_io_punt(io);
        }
    }
}

static void aio_flush(BlockLoopEngine *base)
{
    AioEngine *engine = (AioEngine *)base;
    struct iocb *iocbs[MAX_HELD_BACK];
    int count;

    pthread_mutex_lock(&engine->lock);
    count = engine->held_back_count;
    for (int i = 0; i < count; i++)
        iocbs[i] = engine->held_back[i];
    engine->held_back_count = 0;
    pthread_mutex_unlock(&engine->lock);
    submit_all(engine, iocbs, count);
}

static void aio_free(BlockLoopEngine *base)
{
    AioEngine *engine = (AioEngine *)base;

    engine_ops_release(&engine->ops);
    io_destroy(engine->context);
    pthread_mutex_destroy(&engine->lock);
    g_free(engine);
}

static BlockLoopEngine *aio_make(EventLoop *loop)
{
    AioEngine *engine = g_new0(AioEngine, 1);

    if (io_setup(MAX_EVENTS, &engine->context) < 0) {
        g_free(engine);
        return NULL;
    }
    engine->ring = (AioRing *)engine->context;
    if (engine->ring->magic != AIO_RING_MAGIC || engine->ring->incompat_features != AIO_RING_INCOMPAT) {
        io_destroy(engine->context);
        g_free(engine);
        return NULL;
    }
    engine->efd = block_loop_eventfd(loop);
    pthread_mutex_init(&engine->lock, NULL);
    engine_ops_init(&engine->ops, sizeof(AioOp));
    engine->base = (BlockLoopEngine){.collect = aio_collect, .flush = aio_flush, .free = aio_free};
    return &engine->base;
}

static void prepare(AioEngine *engine, AioOp *op)
{
    const BlockIo *io = op->op.io;
    const FileNode *file = op->op.file;

    if (io->op == BLOCK_READ)
        io_prep_preadv(&op->iocb, file->fd, io->iov, io->iovcnt, (long long)io->offset);
    else
        io_prep_pwritev(&op->iocb, file->fd, io->iov, io->iovcnt, (long long)io->offset);
    if (io->op == BLOCK_WRITE && io->flags & BLOCK_FUA && !file->node.cache_no_flush)
        op->iocb.aio_rw_flags = RWF_DSYNC;
    op->iocb.data = op;
    io_set_eventfd(&op->iocb, engine->efd);
}

/* True if the operation waits for blk_unplug, or for as many others as there is room for. */
static bool hold_back(AioEngine *engine, struct iocb *iocb)
{
    bool held = false, full;

    if (!block_loop_plugged())
        return false;
    pthread_mutex_lock(&engine->lock);
    if (engine->held_back_count < MAX_HELD_BACK) {
        engine->held_back[engine->held_back_count++] = iocb;
        held = true;
    }
    full = engine->held_back_count == MAX_HELD_BACK;
    pthread_mutex_unlock(&engine->lock);
    if (full)
        aio_flush(&engine->base);
    return held;
}

bool file_aio_submit(FileNode *file, BlockIo *io)
{
    AioEngine *engine = (AioEngine *)block_loop_engine(io->loop, &aio_kind, aio_make);
    struct iocb *iocb;
    AioOp *op;

    if (engine && engine_op_transfer_alone(&engine->ops, file, io))
        return true;
    op = engine ? (AioOp *)engine_op_begin(&engine->ops, file, io) : NULL;
    if (!op)
        return false;
    prepare(engine, op);
    iocb = &op->iocb;
    if (!hold_back(engine, iocb))
        submit_all(engine, &iocb, 1);
    return true;
}

#else

bool file_aio_works(void)
{
    return false;
}

bool file_aio_submit(FileNode *file, BlockIo *io)
{
    return false;
}

#endif
