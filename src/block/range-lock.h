/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Locks on ranges of an image: who writes where. Shared holds overlap one another, exclusive ones nothing.
 *
 * For the few requests in flight at a time: a list, walked at each lock.
 */
#ifndef SRC_BLOCK_RANGE_LOCK_H
#define SRC_BLOCK_RANGE_LOCK_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

typedef struct RangeHold RangeHold;
struct RangeHold {
    uint64_t start, len;
    bool exclusive;
    RangeHold *next, *prev;
};

typedef struct RangeLock {
    pthread_mutex_t lock; /* a leaf */
    pthread_cond_t released;
    RangeHold *holds;
} RangeLock;

void range_lock_init(RangeLock *rl);
void range_lock_release(RangeLock *rl);
/* The hold is the caller's, in memory that stays until range_unlock, by any thread. */
void range_lock(RangeLock *rl, RangeHold *hold, uint64_t start, uint64_t len, bool exclusive);
/* False instead of waiting. */
bool range_trylock(RangeLock *rl, RangeHold *hold, uint64_t start, uint64_t len, bool exclusive);
void range_unlock(RangeLock *rl, RangeHold *hold);

#endif
