/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The disk's size, and clusters for all of it in advance. The node is drained.
 *
 * Preallocated clusters come from behind everything that was ever written: what free clusters of the image hold is
 * nobody's to read.
 */
#include <errno.h>

#include "core/bits.h"
#include "core/error.h"
#include "src/block/qcow2.h"

#define MAX_RUN (64u << 20) /* bytes allocated at once */

/* --- preallocation --- */

static int alloc_at_end(Qcow2 *q, uint64_t bytes, uint64_t *host, uint64_t *got)
{
    uint64_t hint = q->free_hint;
    bool fresh;

    q->free_hint = q->end_cluster;
    int ret = qcow2_alloc(q, bytes, false, host, got, &fresh);
    q->free_hint = MIN(hint, q->free_hint);
    return ret;
}

/* Clusters for the beginning of [at, end); *done: for how much of it. With a backing file they are there but show nothing yet. */
static int preallocate_run(Qcow2 *q, uint64_t at, uint64_t end, uint64_t *done)
{
    uint64_t table = BIT(q->cluster_bits + q->l2_bits), host, bitmap = q->extl2 && !q->backing_file ? UINT32_MAX : 0;
    uint64_t bytes = MIN(MIN(end, align_down(at, table) + table) - at, MAX_RUN);
    int ret = qcow2_entry_prepare(q, at);

    if (ret == 0)
        ret = alloc_at_end(q, bytes, &host, done);
    for (uint64_t i = 0; ret == 0 && i < *done; i += q->cluster_size)
        ret = qcow2_entry_set(q, at + i, (host + i) | QCOW_COPIED, bitmap);
    return ret;
}

static bool check_preallocation(const Qcow2 *q, GError **errp)
{
    if (!q->backing_file || q->extl2)
        return true;
    return error_set(errp, "'%s': preallocated clusters would hide the backing file; make the image with extended_l2=on, or without "
                     "preallocation", q->node.filename);
}

static bool preallocate(Qcow2 *q, uint64_t from, uint64_t to, BlockPrealloc mode, GError **errp)
{
    BlockNode *file = qcow2_file(q);
    uint64_t start = q->end_cluster << q->cluster_bits, at = align_up(from, q->cluster_size), end = align_up(to, q->cluster_size);
    int ret = 0;

    if (at >= end || !check_preallocation(q, errp))
        return at >= end;
    uint64_t bound = start + qcow2_full_size(q->cluster_bits, q->refcount_order, q->extl2, end - at);
    if (mode != BLOCK_PREALLOC_METADATA && !block_truncate(file, bound, mode, errp))
        return false;
    for (uint64_t done; at < end && ret == 0; at += done)
        ret = preallocate_run(q, at, end, &done);
    if (ret == 0)
        ret = qcow2_flush_all(q);
    if (ret < 0)
        return error_set_errno(errp, -ret, "cannot preallocate '%s'", q->node.filename);
    return block_truncate(file, q->end_cluster << q->cluster_bits, BLOCK_PREALLOC_OFF, errp);
}

bool qcow2_preallocate(Qcow2 *q, uint64_t from, uint64_t to, BlockPrealloc mode, GError **errp)
{
    pthread_mutex_lock(&q->lock);
    bool ok = mode == BLOCK_PREALLOC_OFF || preallocate(q, from, to, mode, errp);
    pthread_mutex_unlock(&q->lock);
    return ok;
}

/* --- another size --- */

static bool shrink(Qcow2 *q, uint64_t size, GError **errp)
{
    uint64_t first = align_up(size, q->cluster_size), old = block_node_size(&q->node);
    int ret = first < old ? qcow2_discard_range(q, first, old - first) : 0;

    return ret == 0 || error_set_errno(errp, -ret, "cannot free the end of '%s'", q->node.filename);
}

/* Gives the file's end back as far as nothing lies there. */
static void trim_file(Qcow2 *q)
{
    uint64_t count = 0;

    qcow2_apply_freed(q, true);
    if (qcow2_flush_all(q) < 0)
        return;
    while (q->end_cluster && qcow2_refcount_get(q, q->end_cluster - 1, &count) == 0 && count == 0)
        q->end_cluster--;
    if (q->end_cluster << q->cluster_bits < block_node_size(qcow2_file(q)))
        block_truncate(qcow2_file(q), q->end_cluster << q->cluster_bits, BLOCK_PREALLOC_OFF, NULL); /* else it is larger than need be */
}

/* What the disk gains reads as zeroes, also in a cluster that was cut, and where a backing file is longer than the disk was. */
static bool clear_gain(Qcow2 *q, uint64_t old, GError **errp)
{
    BlockNode *backing = q->node.backing;
    uint64_t size = block_node_size(&q->node), end = MIN(align_up(old, q->cluster_size), size);
    int ret;

    if (backing)
        end = MAX(end, MIN(block_node_size(backing), size));
    ret = end > old ? block_write_zeroes(&q->node, old, end - old, 0) : 0;
    return ret == 0 || error_set_errno(errp, -ret, "cannot clear the new end of '%s'", q->node.filename);
}

bool qcow2_truncate(BlockNode *node, uint64_t size, BlockPrealloc prealloc, GError **errp)
{
    Qcow2 *q = qcow2_of(node);
    uint64_t old = block_node_size(node), per_l1 = BIT(q->cluster_bits + q->l2_bits);
    int ret;

    if (size % BLOCK_SECTOR_SIZE)
        return error_set(errp, "the size of '%s' is a multiple of 512", node->filename);
    if (q->snapshots->len && (size < old || q->version < 3))
        return error_set(errp, "image '%s' has snapshots and cannot be resized that way; delete them first", node->filename);
    if (prealloc != BLOCK_PREALLOC_OFF && !check_preallocation(q, errp))
        return false;
    if (size < old && !shrink(q, size, errp))
        return false;
    pthread_mutex_lock(&q->lock);
    ret = qcow2_l1_grow(q, (size + per_l1 - 1) / per_l1);
    if (ret == 0)
        ret = qcow2_flush_all(q);
    if (ret == 0)
        ret = qcow2_header_put64(q, HDR_SIZE, size);
    if (ret == 0 && size < old)
        trim_file(q);
    pthread_mutex_unlock(&q->lock);
    if (ret < 0)
        return error_set_errno(errp, -ret, "cannot resize '%s'", node->filename);
    block_node_set_size(node, size);
    return size <= old || (clear_gain(q, old, errp) && qcow2_preallocate(q, old, size, prealloc, errp));
}

/* --- nothing of its own --- */

static int empty_table(Qcow2 *q, uint64_t at)
{
    uint64_t end = at + BIT(q->cluster_bits + q->l2_bits), entry, bitmap;
    int ret = 0;

    for (; at < end && ret == 0; at += q->cluster_size) {
        ret = qcow2_entry_get(q, at, &entry, &bitmap);
        if (ret < 0 || !(entry | bitmap))
            continue;
        ret = qcow2_entry_set(q, at, 0, 0);
        if (ret == 0)
            qcow2_free_entry(q, entry, true);
    }
    return ret;
}

int qcow2_make_empty(BlockNode *node)
{
    Qcow2 *q = qcow2_of(node);
    int ret = 0;

    pthread_mutex_lock(&q->lock);
    for (uint32_t i = 0; i < q->l1_size && ret == 0; i++) {
        if (q->l1[i] & L1E_OFFSET_MASK)
            ret = empty_table(q, (uint64_t)i << (q->cluster_bits + q->l2_bits));
    }
    if (ret == 0)
        ret = qcow2_flush_all(q);
    if (ret == 0)
        trim_file(q);
    pthread_mutex_unlock(&q->lock);
    return ret;
}

/* --- in advance --- */

static uint64_t refcount_clusters(uint64_t clusters, uint32_t cluster_bits, uint32_t refcount_order)
{
    uint64_t per_block = BIT(cluster_bits + 3 - refcount_order), per_table = BIT(cluster_bits - 3), table = 0, blocks = 0, all = 0, last;

    do { /* they count themselves too */
        last = all;
        blocks = (clusters + table + blocks + per_block - 1) / per_block;
        table = (blocks + per_table - 1) / per_table;
        all = blocks + table;
    } while (all != last);
    return all;
}

uint64_t qcow2_full_size(uint32_t cluster_bits, uint32_t refcount_order, bool extl2, uint64_t size)
{
    uint64_t per_l2 = BIT(cluster_bits - (extl2 ? 4 : 3)), data = (size + BIT(cluster_bits) - 1) >> cluster_bits;
    uint64_t l2 = (data + per_l2 - 1) / per_l2, l1 = (l2 * 8 + BIT(cluster_bits) - 1) >> cluster_bits, clusters = 1 + l1 + l2 + data;

    return (clusters + refcount_clusters(clusters, cluster_bits, refcount_order)) << cluster_bits;
}

uint64_t qcow2_create_grain(const void *options)
{
    return ((const Qcow2CreateOptions *)options)->cluster_size;
}

bool qcow2_measure(const void *options, uint64_t size, uint64_t data, BlockMeasure *out, GError **errp)
{
    const Qcow2CreateOptions *o = options;

    size = align_up(size, BLOCK_SECTOR_SIZE);
    if (!qcow2_create_check(o, size, errp))
        return false;
    out->fully_allocated = qcow2_full_size((uint32_t)__builtin_ctzll(o->cluster_size), (uint32_t)__builtin_ctz(o->refcount_bits),
                                           o->extended_l2, size);
    out->required = out->fully_allocated;
    if (o->preallocation < BLOCK_PREALLOC_FALLOC)
        out->required -= align_up(size, o->cluster_size) - data;
    return true;
}
