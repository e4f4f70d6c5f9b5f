/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "src/block/engine-op.h"

#include <errno.h>
#include <limits.h>

#define ALONE_RUN 16     /* transfers that came alone before the next is waited for; as often one is not */
#define ALONE_AGAIN 1024 /* more of them, after some that came together */

void engine_ops_init(EngineOps *ops, size_t size)
{
    *ops = (EngineOps){.size = size};
    pthread_mutex_init(&ops->lock, NULL);
}

void engine_ops_release(EngineOps *ops)
{
    while (ops->free) {
        EngineOp *op = ops->free;
        ops->free = op->next;
        g_free(op);
    }
    pthread_mutex_destroy(&ops->lock);
}

static EngineOp *take(EngineOps *ops)
{
    EngineOp *op;

    pthread_mutex_lock(&ops->lock);
    op = ops->free;
    if (op)
        ops->free = op->next;
    ops->in_flight++;
    pthread_mutex_unlock(&ops->lock);
    return op ? op : g_malloc0(ops->size);
}

static void give_back(EngineOps *ops, EngineOp *op)
{
    pthread_mutex_lock(&ops->lock);
    op->next = ops->free;
    ops->free = op;
    ops->in_flight--;
    pthread_mutex_unlock(&ops->lock);
}

bool engine_op_comes_alone(EngineOps *ops)
{
    pthread_mutex_lock(&ops->lock);
    ops->alone = ops->in_flight ? -ALONE_AGAIN : ops->alone < INT_MAX ? ops->alone + 1 : ALONE_RUN;
    bool alone = ops->alone > ALONE_RUN && ops->alone % ALONE_RUN != 0;
    pthread_mutex_unlock(&ops->lock);
    return alone;
}

bool engine_op_transfer_alone(EngineOps *ops, FileNode *file, BlockIo *io)
{
    if (!file->node.cache_direct || !file_may_wait(file) || !engine_op_comes_alone(ops))
        return false;
    int64_t start_ns = clock_get_ns(VMCLOCK_MONO);
    int ret = block_io_execute(io);
    file_waited(file, start_ns);
    block_io_complete(io, ret);
    return true;
}

EngineOp *engine_op_begin(EngineOps *ops, FileNode *file, BlockIo *io)
{
    EngineOp *op = take(ops);

    op->io = io;
    op->file = file;
    op->held = io->op == BLOCK_WRITE && file->align > 1;
    if (op->held && !range_trylock(&file->writes, &op->hold, io->offset, io->bytes, false)) {
        give_back(ops, op);
        return NULL;
    }
    __atomic_store_n(&op->begun, true, __ATOMIC_RELEASE);
    return op;
}

BlockIo *engine_op_ended(const EngineOp *op)
{
    bool begun = __atomic_load_n(&op->begun, __ATOMIC_ACQUIRE);

    g_assert(begun);
    return op->io;
}

void engine_op_drop(EngineOps *ops, EngineOp *op)
{
    if (op->held)
        range_unlock(&op->file->writes, &op->hold);
    give_back(ops, op);
}

/* What is half done, or was interrupted, is done again as a whole. */
bool engine_op_end(EngineOps *ops, EngineOp *op, long result, int *ret)
{
    uint64_t bytes = op->io->bytes;

    engine_op_drop(ops, op);
    *ret = result < 0 ? (int)result : 0;
    return result != -EAGAIN && result != -EINTR && (result < 0 || (uint64_t)result >= bytes);
}
