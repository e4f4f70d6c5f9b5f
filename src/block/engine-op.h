/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * An engine's transfer under way: what both engines keep for each, and the ones that are free.
 *
 * Locking: EngineOps.lock guards the free ones; a leaf. Any thread.
 */
#ifndef SRC_BLOCK_ENGINE_OP_H
#define SRC_BLOCK_ENGINE_OP_H

#include "src/block/file-int.h"

typedef struct EngineOp EngineOp;
struct EngineOp {
    BlockIo *io;
    FileNode *file;
    RangeHold hold; /* O_DIRECT writes: of the file's writes */
    bool held;
    bool begun; /* atomic: what is above is written */
    EngineOp *next; /* free ones */
};

typedef struct EngineOps {
    size_t size; /* of the engine's struct, which begins with EngineOp */
    pthread_mutex_t lock;
    EngineOp *free;
    unsigned in_flight;
    int alone; /* how many in a row came while no other was under way; below 0: how many that has to become true for again */
} EngineOps;

void engine_ops_init(EngineOps *ops, size_t size);
void engine_ops_release(EngineOps *ops);
/*
 * A transfer past the page cache is about to begin. True: it and those before it came one at a time, so its thread may as well wait
 * for it in the kernel, which spares the ways to the engine and back. Now and then false all the same: only while a transfer is
 * under way does it show whether another comes meanwhile.
 */
bool engine_op_comes_alone(EngineOps *ops);
/* Makes such a transfer of io, by whose loop's thread it is called: true, and it is complete. */
bool engine_op_transfer_alone(EngineOps *ops, FileNode *file, BlockIo *io);
/* NULL: a write in the neighbourhood has to end first; a worker waits for it. */
EngineOp *engine_op_begin(EngineOps *ops, FileNode *file, BlockIo *io);
/* The host has ended op: its transfer. It may have been begun by another thread, with nothing but the kernel in between. */
BlockIo *engine_op_ended(const EngineOp *op);
/* The host did not take it. */
void engine_op_drop(EngineOps *ops, EngineOp *op);
/* The host's result for op, which is free after: true with io's outcome in *ret; false: a worker does all of io again. */
bool engine_op_end(EngineOps *ops, EngineOp *op, long result, int *ret);

#endif
