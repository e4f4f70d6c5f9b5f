/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * BlockBackend: life, requests in flight, the medium.
 */
#include <errno.h>
#include <string.h>

#include "core/bits.h"
#include "core/error.h"
#include "core/lock.h"
#include "core/trace.h"
#include "src/block/block-int.h"

static GPtrArray *backends; /* of BlockBackend *: main thread */

/* --- life --- */

BlockBackend *blk_find(const char *id)
{
    for (BlockBackend *blk = blk_next(NULL); blk; blk = blk_next(blk)) {
        if (g_strcmp0(blk->id, id) == 0)
            return blk;
    }
    return NULL;
}

BlockBackend *blk_next(BlockBackend *blk)
{
    guint next = 0;

    if (!backends)
        return NULL;
    if (blk && g_ptr_array_find(backends, blk, &next))
        next++;
    return next < backends->len ? g_ptr_array_index(backends, next) : NULL;
}

BlockBackend *blk_new(const char *id, BlockNode *root)
{
    BlockBackend *blk = g_new0(BlockBackend, 1);

    blk->id = g_strdup(id);
    blk->refs = 1;
    blk->root = root ? block_node_ref(root) : NULL;
    blk->write_cache = true;
    blk->on_error[false] = BLOCK_ON_ERROR_REPORT;
    blk->on_error[true] = BLOCK_ON_ERROR_ENOSPC;
    pthread_mutex_init(&blk->lock, NULL);
    pthread_cond_init(&blk->drained, NULL);
    blk->waiting_last = &blk->waiting;
    if (!backends)
        backends = g_ptr_array_new();
    g_ptr_array_add(backends, blk);
    return blk;
}

BlockBackend *blk_ref(BlockBackend *blk)
{
    blk->refs++;
    return blk;
}

void blk_unref(BlockBackend *blk)
{
    if (!blk || --blk->refs)
        return;
    blk_reset(blk);
    blk_set_throttle(blk, NULL, NULL);
    g_ptr_array_remove(backends, blk);
    block_node_unref(blk->root);
    pthread_cond_destroy(&blk->drained);
    pthread_mutex_destroy(&blk->lock);
    g_free(blk->id);
    g_free(blk);
}

const char *blk_id(const BlockBackend *blk)
{
    return blk->id;
}

const char *blk_name(const BlockBackend *blk)
{
    return blk->id ? blk->id : blk->root ? blk->root->name : "(no medium)";
}

bool blk_attach_device(BlockBackend *blk, GError **errp)
{
    if (blk->has_device)
        return error_set_code(errp, VMM_ERROR_USAGE, "drive '%s' belongs to another device; each needs its own",
                              blk_name(blk));
    blk->has_device = true;
    blk_ref(blk);
    return true;
}

BlockBackend *blk_attach_by_name(const char *name, GError **errp)
{
    BlockBackend *blk = blk_find(name);
    BlockNode *node = blk ? NULL : block_node_find(name);
    bool attached;

    if (!blk && !node) {
        error_set_code(errp, VMM_ERROR_USAGE, "there is no drive with this id and no node of this name; make it with -drive "
                       "if=none,id=%s or -blockdev node-name=%s", name, name);
        return NULL;
    }
    blk = blk ? blk_ref(blk) : blk_new(NULL, node);
    attached = blk_attach_device(blk, errp);
    blk_unref(blk); /* the device's reference keeps it */
    return attached ? blk : NULL;
}

void blk_detach_device(BlockBackend *blk)
{
    g_assert(blk->has_device);
    blk->has_device = false;
    blk_set_device_ops(blk, NULL, NULL);
    blk_unref(blk);
}

bool blk_has_device(const BlockBackend *blk)
{
    return blk->has_device;
}

void blk_set_device_ops(BlockBackend *blk, const BlockDeviceOps *ops, void *opaque)
{
    blk->device_ops = ops;
    blk->device_opaque = opaque;
}

bool blk_require_writable(BlockBackend *blk, GError **errp)
{
    if (!blk->root || !blk->root->read_only)
        return true;
    return error_set(errp, "drive '%s' (%s) is read-only and the device writes; give the drive without read-only, or use "
                     "snapshot=on", blk_name(blk), blk->root->filename ? blk->root->filename : blk->root->name);
}

/* --- requests --- */

void blk_request_entered(BlockBackend *blk)
{
    pthread_mutex_lock(&blk->lock);
    blk->in_flight++;
    pthread_mutex_unlock(&blk->lock);
}

/* The last thing done for a request: blk may be gone when this returns. */
void blk_request_left(BlockBackend *blk)
{
    pthread_mutex_lock(&blk->lock);
    if (--blk->in_flight == 0) {
        for (GSList *l = blk->drain_loops; l; l = l->next)
            block_loop_kick(l->data);
        pthread_cond_broadcast(&blk->drained);
    }
    pthread_mutex_unlock(&blk->lock);
}

unsigned blk_in_flight(const BlockBackend *blk)
{
    pthread_mutex_lock((pthread_mutex_t *)&blk->lock);
    unsigned n = blk->in_flight;
    pthread_mutex_unlock((pthread_mutex_t *)&blk->lock);
    return n;
}

static void count_request(const BlockRequest *req, int ret)
{
    BlockStats *stats = &req->blk->stats;
    int64_t ns = clock_get_ns(VMCLOCK_MONO) - req->start_ns;

    if (ret < 0) {
        __atomic_fetch_add(&stats->failed[req->op], 1, __ATOMIC_RELAXED);
    } else {
        __atomic_fetch_add(&stats->ops[req->op], 1, __ATOMIC_RELAXED);
        __atomic_fetch_add(&stats->bytes[req->op], req->bytes, __ATOMIC_RELAXED);
    }
    __atomic_fetch_add(&stats->time_ns[req->op], (uint64_t)ns, __ATOMIC_RELAXED);
    if (req->op == BLOCK_WRITE && ret == 0) {
        uint64_t end = req->offset + req->bytes, seen = __atomic_load_n(&stats->wr_highest_offset, __ATOMIC_RELAXED);
        while (seen < end && !__atomic_compare_exchange_n(&stats->wr_highest_offset, &seen, end, true, __ATOMIC_RELAXED,
                                                          __ATOMIC_RELAXED))
            ;
    }
}

void blk_get_stats(const BlockBackend *blk, BlockStats *out)
{
    const uint64_t *from = (const uint64_t *)&blk->stats;
    uint64_t *to = (uint64_t *)out;

    for (size_t i = 0; i < sizeof(*out) / sizeof(*to); i++)
        to[i] = __atomic_load_n(&from[i], __ATOMIC_RELAXED);
}

void blk_request_finish(BlockRequest *req, int ret)
{
    BlockBackend *blk = req->blk;

    TRACE4(block_complete, req, req->op, req->offset, ret);
    count_request(req, ret);
    if (ret < 0 && blk_error_parks(req, &ret)) {
        blk_request_left(blk);
        return;
    }
    req->done(req, ret);
    blk_request_left(blk);
}

/* False: the backend is held, and the request waits for its release. */
static bool enter_or_wait(BlockBackend *blk, BlockRequest *req)
{
    pthread_mutex_lock(&blk->lock);
    bool held = blk->held;
    if (held) {
        req->next = NULL;
        *blk->waiting_last = req;
        blk->waiting_last = &req->next;
    } else {
        blk->in_flight++;
    }
    pthread_mutex_unlock(&blk->lock);
    return !held;
}

void blk_submit(BlockBackend *blk, BlockRequest *req)
{
    req->blk = blk;
    if (!req->loop)
        req->loop = event_loop_main();
    req->generation = __atomic_load_n(&blk->generation, __ATOMIC_RELAXED);
    req->start_ns = clock_get_ns(VMCLOCK_MONO);
    TRACE4(block_submit, req, req->op, req->offset, req->bytes);
    if (!enter_or_wait(blk, req) || throttle_group_holds(req))
        return;
    blk_request_start(req);
}

bool blk_request_is_stale(const BlockRequest *req)
{
    return req->generation != __atomic_load_n(&req->blk->generation, __ATOMIC_RELAXED);
}

/* --- waiting for them --- */

/* A holder does not wait for the requests that wait for it. blk->lock is held. */
static bool busy_locked(const BlockBackend *blk, bool holder)
{
    return blk->in_flight || (blk->waiting && !holder);
}

static bool busy(BlockBackend *blk, bool holder)
{
    pthread_mutex_lock(&blk->lock);
    bool yes = busy_locked(blk, holder);
    pthread_mutex_unlock(&blk->lock);
    return yes;
}

static void drain_on_loop(BlockBackend *blk, EventLoop *loop, bool holder)
{
    pthread_mutex_lock(&blk->lock);
    blk->drain_loops = g_slist_prepend(blk->drain_loops, loop);
    pthread_mutex_unlock(&blk->lock);
    if (busy(blk, holder))
        block_loop_reap(loop);
    while (busy(blk, holder))
        block_loop_wait(loop);
    pthread_mutex_lock(&blk->lock);
    blk->drain_loops = g_slist_remove(blk->drain_loops, loop);
    pthread_mutex_unlock(&blk->lock);
}

static void drain_on_thread(BlockBackend *blk, bool holder)
{
    unsigned depth = machine_lock_release(); /* completions on the main loop take it */

    pthread_mutex_lock(&blk->lock);
    while (busy_locked(blk, holder))
        pthread_cond_wait(&blk->drained, &blk->lock);
    pthread_mutex_unlock(&blk->lock);
    machine_lock_restore(depth);
}

static void drain(BlockBackend *blk, bool holder)
{
    EventLoop *loop = event_loop_current();

    throttle_group_release(blk);
    if (loop)
        drain_on_loop(blk, loop, holder);
    else
        drain_on_thread(blk, holder);
}

void blk_drain(BlockBackend *blk)
{
    drain(blk, false);
}

void blk_hold(BlockBackend *blk)
{
    pthread_mutex_lock(&blk->lock);
    blk->held++;
    pthread_mutex_unlock(&blk->lock);
    drain(blk, true);
}

void blk_release(BlockBackend *blk)
{
    BlockRequest *req = NULL, *next;

    pthread_mutex_lock(&blk->lock);
    g_assert(blk->held);
    if (--blk->held == 0) {
        req = blk->waiting;
        blk->waiting = NULL;
        blk->waiting_last = &blk->waiting;
    }
    for (next = req; next; next = next->next)
        blk->in_flight++;
    pthread_mutex_unlock(&blk->lock);
    for (; req; req = next) {
        next = req->next;
        if (!throttle_group_holds(req))
            blk_request_start(req);
    }
}

void blk_drain_all(void)
{
    for (BlockBackend *blk = blk_next(NULL); blk; blk = blk_next(blk))
        blk_drain(blk);
}

void blk_reset(BlockBackend *blk)
{
    BlockRequest *req, *next;

    __atomic_fetch_add(&blk->generation, 1, __ATOMIC_RELAXED);
    for (req = blk_take_parked(blk); req; req = next) {
        next = req->next;
        blk_request_entered(blk);
        block_io_complete(&req->io, -ECANCELED);
    }
    blk_drain(blk);
}

typedef struct Blocking {
    BlockBackend *blk;
    uint64_t offset, bytes;
    void *buf;
    unsigned flags;
} Blocking;

static int run_blocking(const Blocking *b, int (*fn)(const Blocking *b))
{
    int ret = -ENOMEDIUM;

    blk_request_entered(b->blk);
    if (b->blk->root)
        ret = fn(b);
    blk_request_left(b->blk);
    return ret;
}

static int blocking_read(const Blocking *b)
{
    return block_pread(b->blk->root, b->offset, b->buf, b->bytes);
}

static int blocking_write(const Blocking *b)
{
    return block_pwrite(b->blk->root, b->offset, b->buf, b->bytes, b->flags | (b->blk->write_cache ? 0 : BLOCK_FUA));
}

static int blocking_flush(const Blocking *b)
{
    return block_flush(b->blk->root);
}

int blk_pread(BlockBackend *blk, uint64_t offset, void *buf, uint64_t bytes)
{
    return run_blocking(&(Blocking){blk, offset, bytes, buf, 0}, blocking_read);
}

int blk_pwrite(BlockBackend *blk, uint64_t offset, const void *buf, uint64_t bytes, unsigned flags)
{
    return run_blocking(&(Blocking){blk, offset, bytes, (void *)buf, flags}, blocking_write);
}

int blk_flush(BlockBackend *blk)
{
    return run_blocking(&(Blocking){.blk = blk}, blocking_flush);
}

/* --- the medium --- */

BlockNode *blk_root(BlockBackend *blk)
{
    return blk->root;
}

bool blk_is_inserted(const BlockBackend *blk)
{
    return blk->root != NULL;
}

bool blk_is_read_only(const BlockBackend *blk)
{
    return blk->root && blk->root->read_only;
}

uint64_t blk_size(const BlockBackend *blk)
{
    return blk->root ? block_node_size(blk->root) : 0;
}

static void change_medium(BlockBackend *blk, BlockNode *root)
{
    blk_hold(blk);
    block_node_unref(blk->root);
    blk->root = root;
    blk_release(blk);
    if (blk->device_ops && blk->device_ops->media_changed)
        blk->device_ops->media_changed(blk->device_opaque, root != NULL);
}

bool blk_is_removable(const BlockBackend *blk)
{
    return blk->device_ops && blk->device_ops->media_changed;
}

bool blk_tray_is_open(const BlockBackend *blk)
{
    return blk->device_ops && blk->device_ops->tray_is_open && blk->device_ops->tray_is_open(blk->device_opaque);
}

bool blk_tray_is_locked(const BlockBackend *blk)
{
    return blk->device_ops && blk->device_ops->tray_is_locked && blk->device_ops->tray_is_locked(blk->device_opaque);
}

bool blk_request_eject(BlockBackend *blk, bool force)
{
    bool locked = blk_tray_is_locked(blk) && !blk_tray_is_open(blk);

    if (locked && blk->device_ops->eject_requested)
        blk->device_ops->eject_requested(blk->device_opaque, force);
    return force || !locked;
}

void blk_eject(BlockBackend *blk)
{
    if (blk->root)
        change_medium(blk, NULL);
}

void blk_insert(BlockBackend *blk, BlockNode *root)
{
    change_medium(blk, root);
}

/* fn may take its time: the guest goes on, and its requests to this drive wait. */
static bool change_image(BlockBackend *blk, bool (*fn)(BlockNode *root, void *opaque, GError **errp), void *opaque, GError **errp)
{
    blk_hold(blk);
    unsigned depth = machine_lock_release();
    bool ok = fn(blk->root, opaque, errp);
    machine_lock_restore(depth);
    blk_release(blk);
    return ok;
}

static bool resize_image(BlockNode *root, void *opaque, GError **errp)
{
    return block_truncate(root, *(uint64_t *)opaque, BLOCK_PREALLOC_OFF, errp);
}

bool blk_resize(BlockBackend *blk, uint64_t size, GError **errp)
{
    if (!blk->root)
        return error_set(errp, "drive '%s' has no medium to resize", blk_name(blk));
    if (!change_image(blk, resize_image, &size, errp))
        return false;
    if (blk->device_ops && blk->device_ops->resized)
        blk->device_ops->resized(blk->device_opaque);
    return true;
}

static bool commit_image(BlockNode *root, void *opaque, GError **errp)
{
    return block_commit(root, errp);
}

bool blk_commit(BlockBackend *blk, GError **errp)
{
    if (!blk->root)
        return error_set(errp, "drive '%s' has no medium to commit", blk_name(blk));
    return change_image(blk, commit_image, NULL, errp);
}

bool blk_commit_all(unsigned *count, GError **errp)
{
    *count = 0;
    for (BlockBackend *blk = blk_next(NULL); blk; blk = blk_next(blk)) {
        if (!blk->root || !blk->root->backing || blk->root->read_only)
            continue;
        if (!blk_commit(blk, errp))
            return false;
        (*count)++;
    }
    return true;
}

bool blk_write_cache(const BlockBackend *blk)
{
    return __atomic_load_n(&blk->write_cache, __ATOMIC_RELAXED);
}

void blk_set_write_cache(BlockBackend *blk, bool on)
{
    __atomic_store_n(&blk->write_cache, on, __ATOMIC_RELAXED);
}

bool blk_can_discard(const BlockBackend *blk)
{
    return blk->root && blk->root->discard == BLOCK_DISCARD_UNMAP && !blk->root->read_only;
}
