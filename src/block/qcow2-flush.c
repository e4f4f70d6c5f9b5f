/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The order in which metadata reaches the disk; qcow2.h has the argument.
 */
#include "core/bits.h"
#include "src/block/qcow2.h"

static int write_slice(Qcow2 *q, Qcow2Cache *cache, Qcow2Slice *slice)
{
    return block_pwrite(qcow2_file(q), slice->offset, slice->data, cache->slice_bytes, 0);
}

int qcow2_write_refcounts(Qcow2 *q)
{
    for (unsigned i = 0; q->refcounts.dirty && i < q->refcounts.count; i++) {
        Qcow2Slice *slice = &q->refcounts.slices[i];
        int ret = slice->dirty ? write_slice(q, &q->refcounts, slice) : 0;
        if (ret < 0)
            return ret;
        qcow2_cache_set_dirty(&q->refcounts, slice, false);
    }
    return 0;
}

static int write_l2(Qcow2 *q)
{
    for (unsigned i = 0; q->l2.dirty && i < q->l2.count; i++) {
        Qcow2Slice *slice = &q->l2.slices[i];
        int ret = slice->dirty ? write_slice(q, &q->l2, slice) : 0;
        if (ret < 0)
            return ret;
        pthread_mutex_lock(&q->tables);
        qcow2_cache_set_dirty(&q->l2, slice, false);
        q->l2_unsynced = true;
        pthread_mutex_unlock(&q->tables);
    }
    return 0;
}

static int write_l1_sector(Qcow2 *q, uint32_t sector)
{
    uint64_t entries[BLOCK_SECTOR_SIZE / 8] = {0};
    uint32_t first = sector * (BLOCK_SECTOR_SIZE / 8);

    for (uint32_t i = 0; i < G_N_ELEMENTS(entries) && first + i < q->l1_size; i++)
        entries[i] = htobe64(q->l1[first + i]);
    return block_pwrite(qcow2_file(q), q->l1_offset + (uint64_t)sector * BLOCK_SECTOR_SIZE, entries, sizeof(entries), 0);
}

static int write_l1(Qcow2 *q)
{
    while (q->l1_dirty->len) {
        int ret = write_l1_sector(q, g_array_index(q->l1_dirty, uint32_t, q->l1_dirty->len - 1));
        if (ret < 0)
            return ret;
        g_array_set_size(q->l1_dirty, q->l1_dirty->len - 1);
        pthread_mutex_lock(&q->tables);
        q->l2_unsynced = true;
        pthread_mutex_unlock(&q->tables);
    }
    return 0;
}

int qcow2_write_metadata(Qcow2 *q)
{
    int ret;

    if (!q->l2.dirty && !q->l1_dirty->len)
        return 0;
    ret = qcow2_write_refcounts(q);
    if (ret == 0)
        ret = block_flush(qcow2_file(q));
    if (ret == 0)
        ret = write_l2(q);
    return ret == 0 ? write_l1(q) : ret;
}

int qcow2_flush_all(Qcow2 *q)
{
    int ret = qcow2_write_metadata(q);

    if (ret == 0)
        ret = qcow2_write_refcounts(q);
    if (ret == 0)
        ret = block_flush(qcow2_file(q));
    if (ret < 0)
        return ret;
    pthread_mutex_lock(&q->tables);
    q->l2_unsynced = false;
    pthread_mutex_unlock(&q->tables);
    qcow2_apply_freed(q, false);
    return 0;
}
