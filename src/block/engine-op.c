/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "src/block/engine-op.h"

#include <errno.h>

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
    pthread_mutex_unlock(&ops->lock);
    return op ? op : g_malloc0(ops->size);
}

static void give_back(EngineOps *ops, EngineOp *op)
{
    pthread_mutex_lock(&ops->lock);
    op->next = ops->free;
    ops->free = op;
    pthread_mutex_unlock(&ops->lock);
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
