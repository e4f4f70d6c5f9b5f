/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * From guest offset to host offset: the L1 table, L2 tables by slices, their entries.
 *
 *     guest offset  | L1 index | L2 index | in cluster |
 *                        |          |          cluster_bits
 *                        |          l2_bits
 *     With extended L2 an entry has a bitmap behind it: which of its 32 subclusters are allocated, and which zero.
 */
#include <errno.h>

#include "core/bits.h"
#include "src/block/qcow2.h"

typedef struct Place {
    uint32_t l1_index, l2_index;
} Place;

static Place place_of(const Qcow2 *q, uint64_t offset)
{
    return (Place){
        .l1_index = (uint32_t)(offset >> (q->cluster_bits + q->l2_bits)),
        .l2_index = (uint32_t)(offset >> q->cluster_bits) & ((1u << q->l2_bits) - 1),
    };
}

static uint64_t l1_entry(const Qcow2 *q, uint32_t index)
{
    return index < q->l1_size ? __atomic_load_n(&q->l1[index], __ATOMIC_ACQUIRE) : 0;
}

/* The slice an entry lies in, and the entry's place there. */
static uint64_t slice_of(const Qcow2 *q, uint64_t l2_offset, uint32_t index, uint32_t *at)
{
    uint32_t byte = index * q->l2_entry_bytes;

    *at = byte & (q->l2.slice_bytes - 1);
    return l2_offset + (byte - *at);
}

/* --- entries --- */

static Qcow2Kind subcluster_kind(uint64_t host, uint64_t bitmap, uint32_t sub)
{
    bool alloc = bitmap & BIT(sub), zero = bitmap & BIT(sub + 32);

    if (alloc && (zero || !host))
        return Q_INVALID;
    return zero ? Q_ZERO : alloc ? Q_DATA : Q_UNALLOCATED;
}

/* The kind of the unit at in_cluster of an entry; *host is where that byte lies or would lie. */
static Qcow2Kind entry_kind(const Qcow2 *q, uint64_t entry, uint64_t bitmap, uint64_t in_cluster, uint64_t *host)
{
    uint64_t cluster = entry & L2E_OFFSET_MASK;

    if (entry & QCOW_COMPRESSED) {
        *host = entry;
        return bitmap ? Q_INVALID : Q_COMPRESSED;
    }
    *host = cluster ? cluster + in_cluster : 0;
    if (qcow2_in_cluster(q, cluster))
        return Q_INVALID;
    if (q->extl2)
        return entry & QCOW_ZERO ? Q_INVALID : subcluster_kind(cluster, bitmap, (uint32_t)(in_cluster / q->unit_size));
    if (entry & QCOW_ZERO)
        return q->version >= 3 ? Q_ZERO : Q_INVALID;
    return cluster ? Q_DATA : Q_UNALLOCATED;
}

/* Extends out, which describes the unit at offset, over the units of the same kind behind it in the slice. */
static void scan_slice(const Qcow2 *q, const uint8_t *data, uint32_t at, uint64_t offset, uint64_t bytes, Qcow2Map *out)
{
    uint64_t in_cluster = qcow2_in_cluster(q, offset), done = 0;

    while (done < bytes && at < q->l2.slice_bytes) {
        uint64_t entry = be64_at(data, at), bitmap = q->extl2 ? be64_at(data, at + 8) : 0, host;
        Qcow2Kind kind = entry_kind(q, entry, bitmap, in_cluster, &host);
        bool copied = entry & QCOW_COPIED;
        if (done == 0)
            *out = (Qcow2Map){.kind = kind, .host = host, .copied = copied};
        else if (kind != out->kind || kind == Q_COMPRESSED
                 || (kind == Q_DATA && (host != out->host + done || copied != out->copied)))
            break;
        uint64_t unit = kind == Q_COMPRESSED ? q->cluster_size : q->unit_size;
        uint64_t step = unit - (in_cluster & (unit - 1));
        done += step;
        in_cluster += step;
        if (in_cluster == q->cluster_size) {
            in_cluster = 0;
            at += q->l2_entry_bytes;
        }
    }
    out->bytes = MIN(done, bytes);
}

static uint64_t bytes_to_table_end(const Qcow2 *q, uint64_t offset)
{
    uint64_t covered = BIT(q->cluster_bits + q->l2_bits);

    return covered - (offset & (covered - 1));
}

static void map_nothing(const Qcow2 *q, uint64_t offset, uint64_t bytes, Qcow2Map *out)
{
    *out = (Qcow2Map){.kind = Q_UNALLOCATED, .bytes = MIN(bytes, bytes_to_table_end(q, offset))};
}

bool qcow2_map_cached(Qcow2 *q, uint64_t offset, uint64_t bytes, Qcow2Map *out)
{
    Place place = place_of(q, offset);
    uint64_t l2_offset = l1_entry(q, place.l1_index) & L1E_OFFSET_MASK;
    uint32_t at;

    if (!l2_offset) {
        map_nothing(q, offset, bytes, out);
        return true;
    }
    Qcow2Slice *slice = qcow2_cache_find(&q->l2, slice_of(q, l2_offset, place.l2_index, &at));
    if (!slice)
        return false;
    slice->used = ++q->l2.clock;
    scan_slice(q, slice->data, at, offset, bytes, out);
    return true;
}

/* --- slices --- */

/* Makes room for and reads the slice at offset. */
static int load_slice(Qcow2 *q, uint64_t offset, Qcow2Slice **out)
{
    Qcow2Slice *slice;
    int ret;

    pthread_mutex_lock(&q->tables);
    slice = qcow2_cache_victim(&q->l2);
    pthread_mutex_unlock(&q->tables);
    if (slice->dirty) {
        ret = qcow2_write_metadata(q);
        if (ret < 0)
            return ret;
    }
    pthread_mutex_lock(&q->tables);
    qcow2_cache_place(&q->l2, slice, 0);
    pthread_mutex_unlock(&q->tables);
    ret = block_pread(qcow2_file(q), offset, slice->data, q->l2.slice_bytes);
    if (ret < 0)
        return ret;
    pthread_mutex_lock(&q->tables);
    qcow2_cache_place(&q->l2, slice, offset);
    slice->used = ++q->l2.clock;
    pthread_mutex_unlock(&q->tables);
    *out = slice;
    return 0;
}

int qcow2_l2_slice(Qcow2 *q, uint64_t l2_offset, uint32_t index, Qcow2Slice **out)
{
    uint32_t at;
    uint64_t offset = slice_of(q, l2_offset, index, &at);

    if (!qcow2_place_ok(q, l2_offset, q->cluster_size))
        return qcow2_corrupt(q, l2_offset, "an L1 entry points outside the image");
    pthread_mutex_lock(&q->tables);
    *out = qcow2_cache_find(&q->l2, offset);
    if (*out)
        (*out)->used = ++q->l2.clock;
    pthread_mutex_unlock(&q->tables);
    return *out ? 0 : load_slice(q, offset, out);
}

/* Slices of a cluster that is, or was, something else. */
static void forget_slices(Qcow2 *q, uint64_t l2_offset)
{
    pthread_mutex_lock(&q->tables);
    for (uint64_t at = 0; at < q->cluster_size; at += q->l2.slice_bytes) {
        Qcow2Slice *slice = qcow2_cache_find(&q->l2, l2_offset + at);
        if (slice) {
            qcow2_cache_set_dirty(&q->l2, slice, false);
            qcow2_cache_place(&q->l2, slice, 0);
        }
    }
    pthread_mutex_unlock(&q->tables);
}

/* --- lookups under q->lock --- */

int qcow2_map_locked(Qcow2 *q, uint64_t offset, uint64_t bytes, Qcow2Map *out)
{
    Place place = place_of(q, offset);
    uint64_t l2_offset = l1_entry(q, place.l1_index) & L1E_OFFSET_MASK;
    Qcow2Slice *slice;
    uint32_t at;

    if (!l2_offset) {
        map_nothing(q, offset, bytes, out);
        return 0;
    }
    int ret = qcow2_l2_slice(q, l2_offset, place.l2_index, &slice);
    if (ret < 0)
        return ret;
    slice_of(q, l2_offset, place.l2_index, &at);
    scan_slice(q, slice->data, at, offset, bytes, out);
    if (out->kind == Q_INVALID)
        return qcow2_corrupt(q, l2_offset, "an L2 entry contradicts itself");
    if (out->kind == Q_DATA && !qcow2_place_ok(q, out->host & ~(uint64_t)(q->cluster_size - 1), 1))
        return qcow2_corrupt(q, l2_offset, "an L2 entry points outside the image");
    return 0;
}

int qcow2_entry_get(Qcow2 *q, uint64_t offset, uint64_t *entry, uint64_t *bitmap)
{
    Place place = place_of(q, offset);
    uint64_t l2_offset = l1_entry(q, place.l1_index) & L1E_OFFSET_MASK;
    Qcow2Slice *slice;
    uint32_t at;

    *entry = *bitmap = 0;
    if (!l2_offset)
        return 0;
    int ret = qcow2_l2_slice(q, l2_offset, place.l2_index, &slice);
    if (ret < 0)
        return ret;
    slice_of(q, l2_offset, place.l2_index, &at);
    *entry = be64_at(slice->data, at);
    if (q->extl2)
        *bitmap = be64_at(slice->data, at + 8);
    return 0;
}

/* --- changes --- */

void qcow2_l1_set(Qcow2 *q, uint32_t index, uint64_t entry)
{
    uint32_t sector = index / (BLOCK_SECTOR_SIZE / 8);

    __atomic_store_n(&q->l1[index], entry, __ATOMIC_RELEASE);
    for (guint i = 0; i < q->l1_dirty->len; i++) {
        if (g_array_index(q->l1_dirty, uint32_t, i) == sector)
            return;
    }
    g_array_append_val(q->l1_dirty, sector);
}

/* A cluster with the first contents of an L2 table: those of old, or zeroes. */
static int new_l2_table(Qcow2 *q, uint64_t old, uint64_t *out)
{
    g_autofree uint8_t *table = g_malloc0(q->cluster_size);
    uint64_t offset, got;
    bool fresh;
    int ret = old ? block_pread(qcow2_file(q), old, table, q->cluster_size) : 0;

    if (ret < 0 || (ret = qcow2_alloc(q, q->cluster_size, true, &offset, &got, &fresh)) < 0)
        return ret;
    forget_slices(q, offset);
    ret = block_pwrite(qcow2_file(q), offset, table, q->cluster_size, 0);
    if (ret < 0) {
        qcow2_free_now(q, offset, q->cluster_size);
        return ret;
    }
    qcow2_metadata_add(q, offset, q->cluster_size);
    *out = offset;
    return 0;
}

int qcow2_entry_prepare(Qcow2 *q, uint64_t offset)
{
    Place place = place_of(q, offset);
    uint64_t entry = l1_entry(q, place.l1_index), old = entry & L1E_OFFSET_MASK, table;
    int ret;

    g_assert(place.l1_index < q->l1_size);
    if (old && !qcow2_place_ok(q, old, q->cluster_size))
        return qcow2_corrupt(q, old, "an L1 entry points outside the image");
    if (old && entry & QCOW_COPIED)
        return 0;
    ret = new_l2_table(q, old, &table);
    if (ret < 0)
        return ret;
    qcow2_l1_set(q, place.l1_index, table | QCOW_COPIED);
    if (old) { /* a snapshot keeps it */
        qcow2_metadata_remove(q, old, q->cluster_size);
        qcow2_free_later(q, old, q->cluster_size, false);
    }
    return 0;
}

int qcow2_entry_set(Qcow2 *q, uint64_t offset, uint64_t entry, uint64_t bitmap)
{
    Place place = place_of(q, offset);
    Qcow2Slice *slice;
    uint64_t l2_offset;
    uint32_t at;
    int ret = qcow2_entry_prepare(q, offset);

    if (ret < 0)
        return ret;
    l2_offset = l1_entry(q, place.l1_index) & L1E_OFFSET_MASK;
    ret = qcow2_l2_slice(q, l2_offset, place.l2_index, &slice);
    if (ret < 0)
        return ret;
    slice_of(q, l2_offset, place.l2_index, &at);
    pthread_mutex_lock(&q->tables);
    put_be64(slice->data, at, entry);
    if (q->extl2)
        put_be64(slice->data, at + 8, bitmap);
    qcow2_cache_set_dirty(&q->l2, slice, true);
    pthread_mutex_unlock(&q->tables);
    return 0;
}

/* The new table is complete on disk before the header names it, and the old one is free after. */
int qcow2_l1_grow(Qcow2 *q, uint64_t entries)
{
    uint64_t bytes = entries * 8, old_offset = q->l1_offset, offset, got;
    uint64_t old_bytes = (uint64_t)q->l1_size * 8;
    uint8_t place[12];
    bool fresh;
    int ret;

    if (entries <= q->l1_size)
        return 0;
    if (bytes > QCOW_MAX_L1_BYTES)
        return -EFBIG;
    g_autofree uint64_t *table = g_new0(uint64_t, entries), *disk = g_new0(uint64_t, entries);
    for (uint32_t i = 0; i < q->l1_size; i++) {
        table[i] = q->l1[i];
        disk[i] = htobe64(q->l1[i]);
    }
    ret = qcow2_alloc(q, bytes, true, &offset, &got, &fresh);
    if (ret < 0)
        return ret;
    ret = block_pwrite(qcow2_file(q), offset, disk, bytes, 0);
    if (ret == 0)
        ret = qcow2_flush_all(q);
    put_be32(place, 0, (uint32_t)entries);
    put_be64(place, 4, offset);
    if (ret == 0) /* both fields lie in one sector */
        ret = qcow2_header_write(q, HDR_L1_SIZE, place, sizeof(place));
    if (ret < 0) {
        qcow2_free_now(q, offset, bytes);
        return ret;
    }
    qcow2_metadata_add(q, offset, bytes);
    qcow2_metadata_remove(q, old_offset, old_bytes);
    g_free(q->l1);
    q->l1 = g_steal_pointer(&table);
    q->l1_size = (uint32_t)entries;
    q->l1_offset = offset;
    g_array_set_size(q->l1_dirty, 0);
    if (old_bytes)
        qcow2_free_now(q, old_offset, old_bytes);
    return 0;
}
