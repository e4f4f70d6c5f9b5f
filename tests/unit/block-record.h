/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A block protocol for tests: an image in memory that records what is done to it, fails when told to, and
 * holds requests until they may go on.
 *
 * The log is what a disk with a volatile cache saw, in order: a write is on the disk for sure only when a
 * flush after it has returned, so a power cut may leave any part of the writes since the last flush.
 */
#ifndef TESTS_UNIT_BLOCK_RECORD_H
#define TESTS_UNIT_BLOCK_RECORD_H

#include <pthread.h>

#include "block/backend.h"

typedef struct RecordEvent {
    BlockOp op;       /* WRITE (zeroes too), FLUSH */
    uint64_t offset, bytes;
    uint8_t *data;    /* NULL: zeroes */
} RecordEvent;

typedef struct RecordNode {
    BlockNode node;
    pthread_mutex_t lock; /* guards what follows */
    pthread_cond_t changed;
    uint8_t *image;
    uint64_t image_size;
    GArray *log;          /* of RecordEvent */
    bool logging;
    BlockOp fail_op;      /* the next fail_count of this kind end with -fail_errno */
    unsigned fail_count;
    int fail_errno;
    uint64_t limit;       /* writes end here with ENOSPC; 0: no limit */
    bool held;            /* requests wait */
    unsigned waiting;
} RecordNode;

/* An open node with size zero bytes; logging is off. */
BlockNode *record_new(uint64_t size);
RecordNode *record_of(BlockNode *node);
void record_fail(BlockNode *node, BlockOp op, unsigned count, int err);
/* Holds requests, and waits until so many are held; lets them go. */
void record_hold(BlockNode *node);
void record_wait_held(BlockNode *node, unsigned count);
void record_let_go(BlockNode *node);
unsigned record_count(BlockNode *node, BlockOp op);

#endif
