/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Refcounts, and the clusters they say are free.
 *
 * A refcount block that is missing is put into the first free cluster it would itself cover, so it counts itself. It
 * is on disk before the refcount table names it.
 *
 * Freeing waits twice (qcow2.h): freed -> (references gone on disk) freed_waiting -> (requests of the epoch gone)
 * refcount goes down.
 */
#include <errno.h>

#include "core/bits.h"
#include "src/block/qcow2.h"

/* --- the metadata set --- */

static void metadata_change(Qcow2 *q, uint64_t offset, uint64_t bytes, bool add)
{
    uint64_t first = offset >> q->cluster_bits, last = (offset + bytes - 1) >> q->cluster_bits;

    if (!bytes)
        return;
    pthread_mutex_lock(&q->tables);
    for (uint64_t cluster = first; cluster <= last; cluster++) {
        if (add)
            g_hash_table_add(q->metadata, GSIZE_TO_POINTER(cluster));
        else
            g_hash_table_remove(q->metadata, GSIZE_TO_POINTER(cluster));
    }
    pthread_mutex_unlock(&q->tables);
}

void qcow2_metadata_add(Qcow2 *q, uint64_t offset, uint64_t bytes)
{
    metadata_change(q, offset, bytes, true);
}

void qcow2_metadata_remove(Qcow2 *q, uint64_t offset, uint64_t bytes)
{
    metadata_change(q, offset, bytes, false);
}

bool qcow2_is_metadata(Qcow2 *q, uint64_t offset, uint64_t bytes)
{
    uint64_t last = (offset + bytes - 1) >> q->cluster_bits;

    for (uint64_t cluster = offset >> q->cluster_bits; cluster <= last; cluster++) {
        if (g_hash_table_contains(q->metadata, GSIZE_TO_POINTER(cluster)))
            return true;
    }
    return false;
}

/* --- refcounts in a block: 1 to 64 bits wide, those below a byte from its low end --- */

uint64_t qcow2_refcount_in(const Qcow2 *q, const uint8_t *block, uint32_t index)
{
    unsigned bits = 1u << q->refcount_order;

    switch (q->refcount_order) {
    case 4:
        return (uint64_t)(block[2 * index] << 8 | block[2 * index + 1]);
    case 5:
        return be32_at(block, 4 * (size_t)index);
    case 6:
        return be64_at(block, 8 * (size_t)index);
    case 3:
        return block[index];
    default:
        return block[index * bits / 8] >> (index * bits % 8) & ((1u << bits) - 1);
    }
}

void qcow2_refcount_put(const Qcow2 *q, uint8_t *block, uint32_t index, uint64_t value)
{
    unsigned bits = 1u << q->refcount_order, shift;

    switch (q->refcount_order) {
    case 4:
        block[2 * index] = (uint8_t)(value >> 8);
        block[2 * index + 1] = (uint8_t)value;
        break;
    case 5:
        put_be32(block, 4 * (size_t)index, (uint32_t)value);
        break;
    case 6:
        put_be64(block, 8 * (size_t)index, value);
        break;
    case 3:
        block[index] = (uint8_t)value;
        break;
    default:
        shift = index * bits % 8;
        block[index * bits / 8] &= (uint8_t)~(((1u << bits) - 1) << shift);
        block[index * bits / 8] |= (uint8_t)(value << shift);
    }
}

static uint64_t refcount_max(const Qcow2 *q)
{
    return ~0ull >> (64 - (1u << q->refcount_order));
}

/* --- blocks --- */

static int refcount_slice(Qcow2 *q, uint64_t offset, Qcow2Slice **out)
{
    Qcow2Slice *slice = qcow2_cache_find(&q->refcounts, offset);

    if (!slice) {
        slice = qcow2_cache_victim(&q->refcounts);
        int ret = slice->dirty ? qcow2_write_refcounts(q) : 0;
        if (ret < 0)
            return ret;
        qcow2_cache_place(&q->refcounts, slice, 0);
        ret = block_pread(qcow2_file(q), offset, slice->data, q->refcounts.slice_bytes);
        if (ret < 0)
            return ret;
        qcow2_cache_place(&q->refcounts, slice, offset);
    }
    slice->used = ++q->refcounts.clock;
    *out = slice;
    return 0;
}

/* The slice with a cluster's refcount, and its place there; *out NULL: there is no block, the refcount is 0. */
int qcow2_refblock(Qcow2 *q, uint64_t cluster, Qcow2Slice **out, uint32_t *index)
{
    uint64_t table_index = cluster >> q->refblock_bits;
    uint64_t in_block = cluster & (BIT(q->refblock_bits) - 1);
    uint64_t block = table_index < q->reftable_entries ? q->reftable[table_index] & L1E_OFFSET_MASK : 0;
    uint64_t byte = (in_block << q->refcount_order) / 8, at = byte & ~(uint64_t)(q->refcounts.slice_bytes - 1);

    *out = NULL;
    if (!block)
        return 0;
    if (!qcow2_place_ok(q, block, q->cluster_size))
        return qcow2_corrupt(q, q->reftable_offset + 8 * table_index, "a refcount table entry points outside the image");
    *index = (uint32_t)(in_block - ((at * 8) >> q->refcount_order));
    return refcount_slice(q, block + at, out);
}

int qcow2_refcount_get(Qcow2 *q, uint64_t cluster, uint64_t *out)
{
    Qcow2Slice *slice;
    uint32_t index;
    int ret = qcow2_refblock(q, cluster, &slice, &index);

    *out = ret == 0 && slice ? qcow2_refcount_in(q, slice->data, index) : 0;
    return ret;
}

static int refcount_set(Qcow2 *q, uint64_t cluster, uint64_t value)
{
    Qcow2Slice *slice;
    uint32_t index;
    int ret = qcow2_refblock(q, cluster, &slice, &index);

    if (ret < 0)
        return ret;
    if (!slice)
        return -EIO;
    qcow2_refcount_put(q, slice->data, index, value);
    qcow2_cache_set_dirty(&q->refcounts, slice, true);
    return 0;
}

/*
 * The new table lies behind everything, together with the blocks that cover it: all of that is written, then the header
 * is switched over.
 */
static int grow_reftable(Qcow2 *q, uint64_t entries)
{
    uint64_t old_bytes = (uint64_t)q->reftable_entries * 8, old_offset = q->reftable_offset;
    uint64_t per_block = BIT(q->refblock_bits), per_cluster = q->cluster_size / 8;
    uint64_t start = align_up(q->end_cluster, per_block), blocks = 0, table_clusters;
    uint8_t place[12];
    int ret = 0;

    /* It begins where a block's clusters begin, so these blocks are new, and count the table and themselves. */
    do {
        uint64_t want = MAX(MAX(entries, q->reftable_entries * 3ull / 2), (start >> q->refblock_bits) + ++blocks);
        table_clusters = (want + per_cluster - 1) / per_cluster;
    } while (table_clusters + blocks > blocks * per_block);
    if (table_clusters << q->cluster_bits > QCOW_MAX_REFTABLE_BYTES)
        return -EFBIG;

    uint64_t new_entries = table_clusters * per_cluster;
    g_autofree uint64_t *table = g_new0(uint64_t, new_entries), *disk = g_new0(uint64_t, new_entries);
    memcpy(table, q->reftable, old_bytes);
    for (uint64_t b = 0; b < blocks && ret == 0; b++) {
        g_autofree uint8_t *block = g_malloc0(q->cluster_size);
        uint64_t used = table_clusters + blocks, first = b * per_block;
        for (uint64_t i = first; i < MIN(used, first + per_block); i++)
            qcow2_refcount_put(q, block, (uint32_t)(i - first), 1);
        table[(start >> q->refblock_bits) + b] = (start + b) << q->cluster_bits;
        ret = block_pwrite(qcow2_file(q), (start + b) << q->cluster_bits, block, q->cluster_size, 0);
    }
    uint64_t offset = (start + blocks) << q->cluster_bits;
    for (uint64_t i = 0; i < new_entries; i++)
        disk[i] = htobe64(table[i]);
    if (ret == 0)
        ret = block_pwrite(qcow2_file(q), offset, disk, new_entries * 8, 0);
    if (ret == 0)
        ret = block_flush(qcow2_file(q));
    put_be64(place, 0, offset);
    put_be32(place, 8, (uint32_t)table_clusters);
    if (ret == 0)
        ret = qcow2_header_write(q, HDR_REFTABLE_OFFSET, place, sizeof(place));
    if (ret < 0)
        return ret;
    qcow2_metadata_remove(q, old_offset, old_bytes);
    qcow2_metadata_add(q, start << q->cluster_bits, (blocks + table_clusters) << q->cluster_bits);
    g_free(q->reftable);
    q->reftable = g_steal_pointer(&table);
    q->reftable_entries = (uint32_t)new_entries;
    q->reftable_offset = offset;
    q->end_cluster = start + blocks + table_clusters;
    qcow2_free_now(q, old_offset, old_bytes);
    return 0;
}

/* Puts a block for the clusters around cluster into it; it counts itself. */
static int add_refblock(Qcow2 *q, uint64_t cluster)
{
    uint64_t table_index = cluster >> q->refblock_bits, offset = cluster << q->cluster_bits;
    g_autofree uint8_t *block = g_malloc0(q->cluster_size);
    uint8_t entry[8];
    int ret;

    if (table_index >= q->reftable_entries)
        return offset < BLOCK_MAX_SIZE ? grow_reftable(q, table_index + 1) : -EFBIG;
    if (qcow2_is_metadata(q, offset, q->cluster_size))
        return qcow2_corrupt(q, offset, "metadata in use has refcount 0");
    qcow2_refcount_put(q, block, (uint32_t)(cluster & (BIT(q->refblock_bits) - 1)), 1);
    ret = block_pwrite(qcow2_file(q), offset, block, q->cluster_size, 0);
    if (ret == 0)
        ret = block_flush(qcow2_file(q));
    put_be64(entry, 0, offset);
    if (ret == 0)
        ret = block_pwrite(qcow2_file(q), q->reftable_offset + 8 * table_index, entry, sizeof(entry), 0);
    if (ret < 0)
        return ret;
    q->reftable[table_index] = offset;
    qcow2_metadata_add(q, offset, q->cluster_size);
    q->end_cluster = MAX(q->end_cluster, cluster + 1);
    return 0;
}

int qcow2_refcount_add(Qcow2 *q, uint64_t offset, uint64_t bytes, int delta)
{
    uint64_t last = (offset + bytes - 1) >> q->cluster_bits, count;

    for (uint64_t cluster = offset >> q->cluster_bits; bytes && cluster <= last; cluster++) {
        int ret = qcow2_refcount_get(q, cluster, &count);
        if (ret < 0)
            return ret;
        if (delta < 0 ? count == 0 : count == 0 || count >= refcount_max(q))
            return delta > 0 && count ? -ENOSPC
                                      : qcow2_corrupt(q, cluster << q->cluster_bits, "a cluster in use has refcount 0");
        count = delta < 0 ? count - 1 : count + 1;
        ret = refcount_set(q, cluster, count);
        if (ret < 0)
            return ret;
        if (count == 0)
            q->free_hint = MIN(q->free_hint, cluster);
    }
    return 0;
}

/* --- allocation --- */

/* Whether the cluster is free; one without a refcount block gets it, which may take that very cluster. */
static int cluster_is_free(Qcow2 *q, uint64_t cluster, bool *out)
{
    Qcow2Slice *slice;
    uint32_t index;
    int ret = qcow2_refblock(q, cluster, &slice, &index);

    if (ret == 0 && !slice) {
        ret = add_refblock(q, cluster);
        *out = false; /* looked at again, or taken */
        return ret < 0 ? ret : -EAGAIN;
    }
    *out = ret == 0 && qcow2_refcount_in(q, slice->data, index) == 0;
    return ret;
}

/* The first run of free clusters at or after from: as many as wanted, or if not exact, at least one. */
static int find_free(Qcow2 *q, uint64_t from, uint64_t want, bool exact, uint64_t *start, uint64_t *count)
{
    uint64_t cluster = from, run = 0;

    while (run < want) {
        bool free;
        int ret = cluster_is_free(q, cluster, &free);
        if (ret == -EAGAIN)
            continue;
        if (ret < 0)
            return ret;
        if (!free && run && !exact)
            break;
        run = free ? run + 1 : 0;
        cluster++;
    }
    *start = cluster - run;
    *count = run;
    return 0;
}

int qcow2_alloc(Qcow2 *q, uint64_t bytes, bool exact, uint64_t *offset, uint64_t *got, bool *fresh)
{
    uint64_t want = qcow2_clusters(q, bytes), start, count;
    int ret = find_free(q, q->free_hint, want, exact, &start, &count);

    if (ret < 0)
        return ret;
    if (qcow2_is_metadata(q, start << q->cluster_bits, count << q->cluster_bits) || start == 0)
        return qcow2_corrupt(q, start << q->cluster_bits, "metadata in use has refcount 0");
    for (uint64_t cluster = start; cluster < start + count; cluster++) {
        ret = refcount_set(q, cluster, 1);
        if (ret < 0)
            return ret;
    }
    if (start == q->free_hint || !exact || want == 1)
        q->free_hint = start + count; /* everything below was looked at and is in use */
    *fresh = start >= q->end_cluster;
    q->end_cluster = MAX(q->end_cluster, start + count);
    *offset = start << q->cluster_bits;
    *got = count << q->cluster_bits;
    return 0;
}

/* --- freeing --- */

void qcow2_free_now(Qcow2 *q, uint64_t offset, uint64_t bytes)
{
    qcow2_refcount_add(q, offset, bytes, -1); /* on failure a leak */
}

void qcow2_free_later(Qcow2 *q, uint64_t offset, uint64_t bytes, bool discard)
{
    Qcow2Free freed = {offset, bytes, discard};
    Qcow2Free *last = q->freed->len ? &g_array_index(q->freed, Qcow2Free, q->freed->len - 1) : NULL;

    if (last && last->offset + last->bytes == offset && last->discard == discard && !qcow2_in_cluster(q, offset))
        last->bytes += bytes;
    else
        g_array_append_val(q->freed, freed);
}

void qcow2_free_entry(Qcow2 *q, uint64_t entry, bool discard)
{
    uint64_t offset, bytes;

    if (entry & QCOW_COMPRESSED) {
        qcow2_compressed_place(q, entry, &offset, &bytes);
        qcow2_free_later(q, offset, bytes, false);
    } else if (entry & L2E_OFFSET_MASK) {
        qcow2_free_later(q, entry & L2E_OFFSET_MASK, q->cluster_size, discard);
    }
}

/* Space of the file goes back before anybody else can have the cluster. */
static void free_run(Qcow2 *q, const Qcow2Free *freed)
{
    uint64_t first = freed->offset >> q->cluster_bits, last = (freed->offset + freed->bytes - 1) >> q->cluster_bits, count;

    for (uint64_t cluster = first; cluster <= last; cluster++) {
        if (freed->discard && qcow2_refcount_get(q, cluster, &count) == 0 && count == 1)
            block_discard(qcow2_file(q), cluster << q->cluster_bits, q->cluster_size);
        qcow2_refcount_add(q, cluster << q->cluster_bits, 1, -1);
    }
}

static void free_all(Qcow2 *q, GArray *list)
{
    for (guint i = 0; i < list->len; i++)
        free_run(q, &g_array_index(list, Qcow2Free, i));
    g_array_set_size(list, 0);
}

void qcow2_apply_freed(Qcow2 *q, bool all)
{
    unsigned older;

    pthread_mutex_lock(&q->tables);
    bool gone = all || q->holds[!q->epoch] == 0;
    older = q->epoch;
    if (gone)
        q->epoch = !older;
    pthread_mutex_unlock(&q->tables);
    if (!gone || !(q->freed->len + q->freed_waiting->len))
        return;
    free_all(q, q->freed_waiting);
    GArray *list = q->freed_waiting;
    q->freed_waiting = q->freed;
    q->freed = list;
    if (all)
        free_all(q, q->freed_waiting);
}

unsigned qcow2_hold(Qcow2 *q)
{
    pthread_mutex_lock(&q->tables);
    unsigned epoch = q->epoch;
    q->holds[epoch]++;
    pthread_mutex_unlock(&q->tables);
    return epoch;
}

void qcow2_release_hold(Qcow2 *q, unsigned epoch)
{
    pthread_mutex_lock(&q->tables);
    g_assert(q->holds[epoch]);
    q->holds[epoch]--;
    pthread_mutex_unlock(&q->tables);
}
