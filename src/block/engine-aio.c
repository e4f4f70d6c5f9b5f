/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * aio=native: Linux AIO through libaio. Asynchronous for O_DIRECT only, so cache=none or directsync is required.
 *
 * Completions signal the loop's eventfd; collecting moves them into the loop's queue. What the context does not take
 * goes to a worker.
 *
 * Locking: lock for what is held back and the free operations. io_submit and io_getevents need none.
 */
#include "src/block/engine-config.h"
#include "src/block/file-int.h"

#ifdef HAVE_LIBAIO

#include <errno.h>
#include <libaio.h>

#define MAX_EVENTS 1024
#define EVENTS_AT_ONCE 64
#define MAX_HELD_BACK 32

typedef struct AioOp AioOp;
struct AioOp {
    struct iocb iocb;
    BlockIo *io;
    FileNode *file;
    RangeHold hold;
    bool held;
    AioOp *next;
};

typedef struct AioEngine {
    BlockLoopEngine base;
    io_context_t context;
    int efd;
    pthread_mutex_t lock; /* guards what follows */
    struct iocb *held_back[MAX_HELD_BACK];
    int held_back_count;
    AioOp *free;
} AioEngine;

static const char aio_kind;

bool file_aio_works(void)
{
    return true;
}

static AioOp *op_take(AioEngine *engine)
{
    AioOp *op;

    pthread_mutex_lock(&engine->lock);
    op = engine->free;
    if (op)
        engine->free = op->next;
    pthread_mutex_unlock(&engine->lock);
    return op ? op : g_new0(AioOp, 1);
}

static void op_give_back(AioEngine *engine, AioOp *op)
{
    if (op->held)
        range_unlock(&op->file->writes, &op->hold);
    pthread_mutex_lock(&engine->lock);
    op->next = engine->free;
    engine->free = op;
    pthread_mutex_unlock(&engine->lock);
}

static void op_done(AioEngine *engine, AioOp *op, long res)
{
    BlockIo *io = op->io;

    op_give_back(engine, op);
    if (res == -EAGAIN || res == -EINTR || (res >= 0 && (uint64_t)res < io->bytes))
        block_io_punt(io);
    else
        block_io_complete(io, res < 0 ? (int)res : 0);
}

static unsigned aio_collect(BlockLoopEngine *base)
{
    AioEngine *engine = (AioEngine *)base;
    struct io_event events[EVENTS_AT_ONCE];
    struct timespec none = {0};
    int n;

    do {
        n = io_getevents(engine->context, 0, EVENTS_AT_ONCE, events, &none);
        for (int i = 0; i < n; i++)
            op_done(engine, (AioOp *)events[i].data, (long)events[i].res);
    } while (n == EVENTS_AT_ONCE);
    return 0; /* they are counted when they leave the loop's queue */
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
            AioOp *op = (AioOp *)iocbs[done++]->data;
            BlockIo *io = op->io;
            op_give_back(engine, op);
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

    while (engine->free) {
        AioOp *op = engine->free;
        engine->free = op->next;
        g_free(op);
    }
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
    engine->efd = block_loop_eventfd(loop);
    pthread_mutex_init(&engine->lock, NULL);
    engine->base = (BlockLoopEngine){.collect = aio_collect, .flush = aio_flush, .free = aio_free};
    return &engine->base;
}

static void prepare(AioEngine *engine, AioOp *op)
{
    const BlockIo *io = op->io;

    if (io->op == BLOCK_READ)
        io_prep_preadv(&op->iocb, op->file->fd, io->iov, io->iovcnt, (long long)io->offset);
    else
        io_prep_pwritev(&op->iocb, op->file->fd, io->iov, io->iovcnt, (long long)io->offset);
    if (io->op == BLOCK_WRITE && io->flags & BLOCK_FUA && !op->file->node.cache_no_flush)
        op->iocb.aio_rw_flags = RWF_DSYNC;
    op->iocb.data = op;
    io_set_eventfd(&op->iocb, engine->efd);
}

/* True if the operation waits for blk_unplug. */
static bool hold_back(AioEngine *engine, struct iocb *iocb)
{
    bool held = false;

    if (!block_loop_plugged())
        return false;
    pthread_mutex_lock(&engine->lock);
    if (engine->held_back_count < MAX_HELD_BACK) {
        engine->held_back[engine->held_back_count++] = iocb;
        held = true;
    }
    pthread_mutex_unlock(&engine->lock);
    return held;
}

bool file_aio_submit(FileNode *file, BlockIo *io)
{
    AioEngine *engine = (AioEngine *)block_loop_engine(io->loop, &aio_kind, aio_make);
    AioOp *op;
    struct iocb *iocb;

    if (!engine)
        return false;
    op = op_take(engine);
    op->io = io;
    op->file = file;
    op->held = io->op == BLOCK_WRITE;
    if (op->held && !range_trylock(&file->writes, &op->hold, io->offset, io->bytes, false)) {
        op->held = false;
        op_give_back(engine, op);
        return false;
    }
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
