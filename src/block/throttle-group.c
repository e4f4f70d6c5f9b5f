/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Throttle groups: drives that share their limits, and the requests that wait.
 *
 * Requests wait in one queue for reads and one for writes, in the order they came, whichever drive they are for. A timer
 * of the main loop lets the first ones go; they then run on their own loops as if submitted now.
 *
 * Locking: group->lock, held while nothing is submitted. Groups come and go on the main thread.
 */
#include <string.h>

#include "block/throttle.h"
#include "src/block/block-int.h"

typedef struct RequestQueue {
    BlockRequest *first, **tail;
} RequestQueue;

struct ThrottleGroup {
    char *name;
    unsigned refs;
    Timer timer[2];
    pthread_mutex_t lock; /* guards what follows */
    ThrottleState state;
    RequestQueue waiting[2]; /* reads, writes */
};

static GSList *groups; /* of ThrottleGroup: main thread */

static bool is_write(const BlockRequest *req)
{
    return req->op != BLOCK_READ;
}

/* Runs first and those behind it that may go. */
static void start_all(BlockRequest *first)
{
    for (BlockRequest *req = first, *next; req; req = next) {
        next = req->next;
        blk_request_start(req);
    }
}

static BlockRequest *queue_pop(RequestQueue *queue)
{
    BlockRequest *req = queue->first;

    if (req && !(queue->first = req->next))
        queue->tail = &queue->first;
    return req;
}

static void let_go(ThrottleGroup *group, bool write)
{
    RequestQueue *queue = &group->waiting[write];
    BlockRequest *go = NULL, **tail = &go, *req;
    int64_t wait_ns = 0, now_ns = clock_get_ns(VMCLOCK_MONO);

    pthread_mutex_lock(&group->lock);
    while (queue->first && (wait_ns = throttle_wait_ns(&group->state, write, now_ns)) == 0) {
        req = queue_pop(queue);
        throttle_account(&group->state, write, req->bytes);
        *tail = req;
        tail = &req->next;
    }
    *tail = NULL;
    if (queue->first)
        timer_mod(&group->timer[write], now_ns + wait_ns);
    pthread_mutex_unlock(&group->lock);
    start_all(go);
}

static void let_reads_go(void *opaque)
{
    let_go(opaque, false);
}

static void let_writes_go(void *opaque)
{
    let_go(opaque, true);
}

bool throttle_group_holds(BlockRequest *req)
{
    ThrottleGroup *group = req->blk->throttle;
    RequestQueue *queue;
    bool write = is_write(req), passes;
    int64_t wait_ns, now_ns;

    if (!group || req->op == BLOCK_FLUSH || req->op == BLOCK_DISCARD)
        return false;
    queue = &group->waiting[write];
    now_ns = clock_get_ns(VMCLOCK_MONO);
    pthread_mutex_lock(&group->lock);
    wait_ns = throttle_wait_ns(&group->state, write, now_ns);
    passes = wait_ns == 0 && !queue->first;
    if (passes) {
        throttle_account(&group->state, write, req->bytes);
    } else {
        req->next = NULL;
        if (!queue->first)
            timer_mod(&group->timer[write], now_ns + wait_ns);
        *queue->tail = req;
        queue->tail = &req->next;
    }
    pthread_mutex_unlock(&group->lock);
    return !passes;
}

void throttle_group_release(BlockBackend *blk)
{
    ThrottleGroup *group = blk->throttle;
    BlockRequest *go = NULL, **tail = &go;

    if (!group)
        return;
    pthread_mutex_lock(&group->lock);
    for (unsigned i = 0; i < 2; i++) {
        RequestQueue *queue = &group->waiting[i];
        BlockRequest **link = &queue->first, *req;
        while ((req = *link)) {
            if (req->blk != blk) {
                link = &req->next;
                continue;
            }
            *link = req->next;
            *tail = req;
            tail = &req->next;
        }
        queue->tail = link;
    }
    *tail = NULL;
    pthread_mutex_unlock(&group->lock);
    start_all(go);
}

static ThrottleGroup *group_find(const char *name)
{
    for (GSList *l = groups; l; l = l->next) {
        ThrottleGroup *group = l->data;
        if (strcmp(group->name, name) == 0)
            return group;
    }
    return NULL;
}

static ThrottleGroup *group_new(const char *name)
{
    ThrottleGroup *group = g_new0(ThrottleGroup, 1);

    group->name = g_strdup(name);
    pthread_mutex_init(&group->lock, NULL);
    for (unsigned i = 0; i < 2; i++)
        group->waiting[i].tail = &group->waiting[i].first;
    timer_init(&group->timer[0], event_loop_main(), VMCLOCK_MONO, let_reads_go, group);
    timer_init(&group->timer[1], event_loop_main(), VMCLOCK_MONO, let_writes_go, group);
    groups = g_slist_prepend(groups, group);
    return group;
}

static void group_unref(ThrottleGroup *group)
{
    if (!group || --group->refs)
        return;
    groups = g_slist_remove(groups, group);
    timer_release(&group->timer[0]);
    timer_release(&group->timer[1]);
    pthread_mutex_destroy(&group->lock);
    g_free(group->name);
    g_free(group);
}

void blk_set_throttle(BlockBackend *blk, const char *name, const ThrottleConfig *config)
{
    ThrottleGroup *group = NULL;

    blk_drain(blk);
    if (config) {
        group = group_find(name);
        if (!group)
            group = group_new(name);
        group->refs++;
        pthread_mutex_lock(&group->lock);
        throttle_init(&group->state, config, clock_get_ns(VMCLOCK_MONO));
        pthread_mutex_unlock(&group->lock);
    }
    group_unref(blk->throttle);
    blk->throttle = group;
}
