/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "src/block/range-lock.h"

#include <stddef.h>

#include "core/bits.h"

void range_lock_init(RangeLock *rl)
{
    pthread_mutex_init(&rl->lock, NULL);
    pthread_cond_init(&rl->released, NULL);
    rl->holds = NULL;
}

void range_lock_release(RangeLock *rl)
{
    pthread_cond_destroy(&rl->released);
    pthread_mutex_destroy(&rl->lock);
}

static bool conflicts(const RangeLock *rl, const RangeHold *wanted)
{
    for (const RangeHold *hold = rl->holds; hold; hold = hold->next) {
        if ((hold->exclusive || wanted->exclusive)
            && ranges_overlap(hold->start, hold->len, wanted->start, wanted->len))
            return true;
    }
    return false;
}

static void insert(RangeLock *rl, RangeHold *hold)
{
    hold->prev = NULL;
    hold->next = rl->holds;
    if (rl->holds)
        rl->holds->prev = hold;
    rl->holds = hold;
}

void range_lock(RangeLock *rl, RangeHold *hold, uint64_t start, uint64_t len, bool exclusive)
{
    *hold = (RangeHold){.start = start, .len = len, .exclusive = exclusive};
    pthread_mutex_lock(&rl->lock);
    while (conflicts(rl, hold))
        pthread_cond_wait(&rl->released, &rl->lock);
    insert(rl, hold);
    pthread_mutex_unlock(&rl->lock);
}

bool range_trylock(RangeLock *rl, RangeHold *hold, uint64_t start, uint64_t len, bool exclusive)
{
    *hold = (RangeHold){.start = start, .len = len, .exclusive = exclusive};
    pthread_mutex_lock(&rl->lock);
    bool free = !conflicts(rl, hold);
    if (free)
        insert(rl, hold);
    pthread_mutex_unlock(&rl->lock);
    return free;
}

void range_unlock(RangeLock *rl, RangeHold *hold)
{
    pthread_mutex_lock(&rl->lock);
    if (hold->prev)
        hold->prev->next = hold->next;
    else
        rl->holds = hold->next;
    if (hold->next)
        hold->next->prev = hold->prev;
    pthread_cond_broadcast(&rl->released);
    pthread_mutex_unlock(&rl->lock);
}
