/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Slices of metadata tables in memory, at most so many: the one used longest ago makes room.
 */
#include "src/block/qcow2.h"

void qcow2_cache_init(Qcow2Cache *cache, uint64_t bytes, uint32_t slice_bytes)
{
    *cache = (Qcow2Cache){.slice_bytes = slice_bytes, .max = (unsigned)MAX(bytes / slice_bytes, 8)};
    cache->by_offset = g_hash_table_new(g_int64_hash, g_int64_equal);
    cache->slices = g_new0(Qcow2Slice, cache->max); /* their data is allocated as it is used */
}

void qcow2_cache_release(Qcow2Cache *cache)
{
    for (unsigned i = 0; i < cache->count; i++)
        g_free(cache->slices[i].data);
    g_free(cache->slices);
    g_hash_table_destroy(cache->by_offset);
}

Qcow2Slice *qcow2_cache_find(const Qcow2Cache *cache, uint64_t offset)
{
    return g_hash_table_lookup(cache->by_offset, &offset);
}

Qcow2Slice *qcow2_cache_victim(Qcow2Cache *cache)
{
    Qcow2Slice *oldest = NULL;

    if (cache->count < cache->max) {
        Qcow2Slice *slice = &cache->slices[cache->count++];
        slice->data = g_malloc(cache->slice_bytes);
        return slice;
    }
    for (unsigned i = 0; i < cache->count; i++) {
        Qcow2Slice *slice = &cache->slices[i];
        if (!slice->offset)
            return slice;
        if (!oldest || slice->used < oldest->used)
            oldest = slice;
    }
    return oldest;
}

void qcow2_cache_place(Qcow2Cache *cache, Qcow2Slice *slice, uint64_t offset)
{
    if (slice->offset)
        g_hash_table_remove(cache->by_offset, &slice->offset);
    slice->offset = offset;
    if (offset)
        g_hash_table_insert(cache->by_offset, &slice->offset, slice);
}

void qcow2_cache_set_dirty(Qcow2Cache *cache, Qcow2Slice *slice, bool dirty)
{
    cache->dirty += dirty;
    cache->dirty -= slice->dirty;
    slice->dirty = dirty;
}
