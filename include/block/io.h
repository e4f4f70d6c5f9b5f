/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * One transfer under way, between the block layer's core and the engines of protocol drivers.
 *
 *     submit.c: block_io_submit -> driver->submit or a worker -> block_io_complete (any thread)
 *               -> the loop's completion queue -> io->done on the loop's thread
 *
 * Every loop that does block I/O has a BlockLoop: one eventfd that workers, io_uring and libaio all
 * signal, so one watch and one poll see all completions. A wait on the loop's own thread (drain)
 * polls that eventfd and runs nothing else of the loop.
 *
 * Locking: block_io_submit and block_io_complete from any thread; done runs on io->loop's thread; for the
 * main loop with machine_lock held, on its thread or one that stands in for it.
 */
#ifndef BLOCK_IO_H
#define BLOCK_IO_H

#include "block/block.h"
#include "core/loop.h"

typedef enum BlockOp {
    BLOCK_READ,
    BLOCK_WRITE,
    BLOCK_FLUSH,
    BLOCK_DISCARD,
    BLOCK_ZEROES,
    BLOCK_OP_COUNT,
} BlockOp;

struct BlockIo {
    /* Of the submitter; they stay as they are until done. */
    BlockNode *node;
    BlockOp op;
    unsigned flags;
    uint64_t offset, bytes;
    const struct iovec *iov; /* READ, WRITE: holds exactly bytes */
    int iovcnt;
    EventLoop *loop;
    void (*done)(BlockIo *io); /* the outcome is in ret */

    int ret;       /* 0 or -errno */
    BlockIo *next; /* the layer's: queues */
    void *engine;  /* the driver's, from submit to complete */
};

/* Starts io; done is never called from within. */
void block_io_submit(BlockIo *io);
/* The engine has ended io with ret. */
void block_io_complete(BlockIo *io, int ret);
/* The engine cannot go on with io (a short transfer, misaligned rest): a worker does all of it. Any thread. */
void block_io_punt(BlockIo *io);

/* Runs the completions that are there; returns how many. The loop's own thread. */
unsigned block_loop_reap(EventLoop *loop);
/* Waits until there may be some, or block_loop_kick, and runs those that are there. The loop's own thread; machine_lock is let go of
 * meanwhile. Completions from before it are for block_loop_reap. */
void block_loop_wait(EventLoop *loop);
void block_loop_kick(EventLoop *loop);
/*
 * Between these two the calling thread, which holds machine_lock, stands in for the main loop: what is done at once is called
 * back by the second, instead of waking that loop. A vCPU that serves its own notification does so. They do not nest.
 */
void block_loop_stand_in(void);
void block_loop_stand_down(void);
/* The eventfd the loop's engines signal. */
int block_loop_eventfd(EventLoop *loop);
/* Completions of one reap; a guest that submits anew in each callback must let the loop turn. */
#define BLOCK_REAP_BUDGET 1024
/* An engine that has completions of its own to collect at each reap. collect returns how many, at most the budget; it calls
 * done itself, one at a time, because done may wait in turn. */
typedef struct BlockLoopEngine BlockLoopEngine;
struct BlockLoopEngine {
    unsigned (*collect)(BlockLoopEngine *engine);
    void (*flush)(BlockLoopEngine *engine); /* hands over what blk_plug held back; may be NULL */
    void (*free)(BlockLoopEngine *engine);
    const void *kind; /* which engine it is: its own key */
    BlockLoopEngine *next;
};
/* The loop's engine of this kind, made by make (NULL: it cannot be had, which is remembered). Any thread. */
BlockLoopEngine *block_loop_engine(EventLoop *loop, const void *kind, BlockLoopEngine *(*make)(EventLoop *loop));
/* What the thread that submits may copy itself of large transfers before it looks at what else there is, bytes. */
#define BLOCK_COPY_BUDGET (1u << 20)
/* Takes bytes of that for a transfer of loop; false: there are not as many left, or workers are at it, who had better share. */
bool block_loop_may_copy(EventLoop *loop, uint64_t bytes);
/* True between blk_plug and blk_unplug on the calling thread: engines may hold submissions back. */
bool block_loop_plugged(void);

#endif
