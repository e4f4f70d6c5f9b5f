/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What other modules keep for a loop: a list that only grows until the loop goes away, so reading
 * takes no lock. make_lock serves the making alone.
 */
#include "loop-internal.h"

typedef struct LoopData {
    const LoopDataType *type;
    void *data;
    struct LoopData *next;
} LoopData;

static void *find(EventLoop *loop, const LoopDataType *type)
{
    for (LoopData *entry = __atomic_load_n(&loop->data, __ATOMIC_ACQUIRE); entry; entry = entry->next) {
        if (entry->type == type)
            return entry->data;
    }
    return NULL;
}

void *event_loop_data(EventLoop *loop, const LoopDataType *type)
{
    static pthread_mutex_t make_lock = PTHREAD_MUTEX_INITIALIZER;
    void *data = find(loop, type);

    if (data)
        return data;
    pthread_mutex_lock(&make_lock);
    data = find(loop, type);
    if (!data) {
        LoopData *entry = g_new(LoopData, 1);
        data = type->make(loop);
        *entry = (LoopData){type, data, loop->data};
        __atomic_store_n(&loop->data, entry, __ATOMIC_RELEASE);
    }
    pthread_mutex_unlock(&make_lock);
    return data;
}

void event_loop_free_data(EventLoop *loop)
{
    while (loop->data) {
        LoopData *entry = loop->data;
        loop->data = entry->next;
        entry->type->free(entry->data);
        g_free(entry);
    }
}
