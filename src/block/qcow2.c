/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The driver qcow2: copy-on-write images, versions 2 and 3.
 *
 * Read and written: every cluster size and refcount width, backing files, zero clusters, extended L2 entries, compressed
 * clusters (zlib, zstd), internal snapshots. Not there: encryption, external data files, persistent bitmaps (they are
 * marked as out of date when the image is written), and lazy refcounts, whose flag is kept but not used: refcounts
 * are always right on disk.
 */
#include <errno.h>

#include "core/bits.h"
#include "core/error.h"
#include "core/iov.h"
#include "src/block/qcow2.h"

#define MAX_L2_SLICE 16384u

static unsigned qcow2_probe(const uint8_t *head, size_t len, uint64_t file_size)
{
    uint32_t version = be32_at(head, HDR_VERSION);

    return be32_at(head, HDR_MAGIC) == QCOW2_MAGIC && version >= 2 ? 100 : 0;
}

/* --- open and close --- */

static uint64_t *read_table(Qcow2 *q, uint64_t offset, uint32_t entries, GError **errp)
{
    uint64_t bytes = (uint64_t)entries * 8, size = block_node_size(qcow2_file(q));
    uint64_t *table = g_try_malloc0(MAX(bytes, 8));
    int ret;

    if (!table) {
        error_set(errp, "no memory for the tables of '%s'", q->node.filename);
        return NULL;
    }
    ret = entries ? block_pread(qcow2_file(q), offset, table, MIN(bytes, size - offset)) : 0;
    if (ret < 0) {
        error_set_errno(errp, -ret, "cannot read the tables of '%s'", q->node.filename);
        g_free(table);
        return NULL;
    }
    for (uint32_t i = 0; i < entries; i++)
        table[i] = be64toh(table[i]);
    return table;
}

/* Where guest data must never be written. Places that are out of bounds are found when they are used. */
static void note_metadata(Qcow2 *q)
{
    qcow2_metadata_add(q, 0, q->cluster_size);
    qcow2_metadata_add(q, q->l1_offset, (uint64_t)q->l1_size * 8);
    qcow2_metadata_add(q, q->reftable_offset, (uint64_t)q->reftable_entries * 8);
    for (uint32_t i = 0; i < q->reftable_entries; i++) {
        if (q->reftable[i] & L1E_OFFSET_MASK)
            qcow2_metadata_add(q, q->reftable[i] & L1E_OFFSET_MASK, q->cluster_size);
    }
    for (uint32_t i = 0; i < q->l1_size; i++) {
        if (q->l1[i] & L1E_OFFSET_MASK)
            qcow2_metadata_add(q, q->l1[i] & L1E_OFFSET_MASK, q->cluster_size);
    }
}

static void init_state(Qcow2 *q)
{
    pthread_mutex_init(&q->lock, NULL);
    pthread_mutex_init(&q->tables, NULL);
    range_lock_init(&q->guest);
    qcow2_cache_init(&q->l2, q->l2_cache_bytes, MIN(q->cluster_size, MAX_L2_SLICE));
    qcow2_cache_init(&q->refcounts, q->refcount_cache_bytes, MIN(q->cluster_size, MAX_L2_SLICE));
    q->metadata = g_hash_table_new(NULL, NULL);
    q->l1_dirty = g_array_new(FALSE, FALSE, sizeof(uint32_t));
    q->freed = g_array_new(FALSE, FALSE, sizeof(Qcow2Free));
    q->freed_waiting = g_array_new(FALSE, FALSE, sizeof(Qcow2Free));
    q->end_cluster = qcow2_clusters(q, block_node_size(qcow2_file(q)));
}

static void release_state(Qcow2 *q)
{
    qcow2_snapshots_release(q);
    g_array_free(q->freed_waiting, TRUE);
    g_array_free(q->freed, TRUE);
    g_array_free(q->l1_dirty, TRUE);
    g_hash_table_destroy(q->metadata);
    qcow2_cache_release(&q->refcounts);
    qcow2_cache_release(&q->l2);
    range_lock_release(&q->guest);
    pthread_mutex_destroy(&q->tables);
    pthread_mutex_destroy(&q->lock);
    g_free(q->reftable);
    g_free(q->l1);
}

/* Bits that say what an image is fit for. */
static bool check_state(Qcow2 *q, GError **errp)
{
    bool check = q->node.open_flags & BLOCK_OPEN_CHECK;

    if (q->incompatible & QCOW_INCOMPAT_CORRUPT && !check && !q->node.read_only)
        return error_set(errp, "image '%s' is marked corrupt and can only be read (read-only=on); repair it with 'vmm-img "
                         "check -r all'", q->node.filename);
    return true;
}

/* Refcounts that were not kept up to date have to be right before anything is allocated by them. */
static bool repair_dirty(Qcow2 *q, GError **errp)
{
    BlockCheck result = {0};

    if (!(q->incompatible & QCOW_INCOMPAT_DIRTY) || q->node.read_only || q->node.open_flags & BLOCK_OPEN_CHECK)
        return true;
    if (!qcow2_check(&q->node, &result, BLOCK_FIX_LEAKS | BLOCK_FIX_ERRORS, errp))
        return false;
    if (result.corruptions > result.corruptions_fixed)
        return error_set(errp, "image '%s' was not closed properly and could not be repaired; try 'vmm-img check -r all'",
                         q->node.filename);
    return true;
}

/* Data of features we do not know becomes out of date with the first write. */
static int clear_autoclear(Qcow2 *q)
{
    if (!q->autoclear || q->node.read_only)
        return 0;
    q->autoclear = 0;
    return qcow2_header_put64(q, HDR_AUTOCLEAR, 0);
}

static bool read_state(Qcow2 *q, GError **errp)
{
    int ret;

    q->l1 = read_table(q, q->l1_offset, q->l1_size, errp);
    q->reftable = q->l1 ? read_table(q, q->reftable_offset, q->reftable_entries, errp) : NULL;
    if (!q->reftable || !qcow2_snapshots_read(q, errp))
        return false;
    note_metadata(q);
    if (!repair_dirty(q, errp))
        return false;
    ret = clear_autoclear(q);
    if (ret < 0)
        return error_set_errno(errp, -ret, "cannot write the header of '%s'", q->node.filename);
    return !q->backing_file || block_node_open_backing(&q->node, q->backing_file, q->backing_format, errp);
}

static bool qcow2_open(BlockNode *node, GError **errp)
{
    Qcow2 *q = qcow2_of(node);

    if (!qcow2_header_read(q, errp) || !check_state(q, errp))
        goto free_names;
    init_state(q);
    if (!read_state(q, errp))
        goto release;
    if (q->incompatible & QCOW_INCOMPAT_CORRUPT && !(node->open_flags & BLOCK_OPEN_CHECK))
        node->read_only = true;
    node->discard_alignment = q->cluster_size;
    return true;

release:
    release_state(q);
free_names:
    g_free(q->backing_file);
    g_free(q->backing_format);
    return false;
}

/* All that is only in memory goes to the file, and what is free is free there too. */
static void write_out(Qcow2 *q)
{
    pthread_mutex_lock(&q->lock);
    if (qcow2_flush_all(q) == 0) {
        qcow2_apply_freed(q, true);
        qcow2_flush_all(q);
    }
    pthread_mutex_unlock(&q->lock);
}

static bool qcow2_reopen(BlockNode *node, GError **errp)
{
    Qcow2 *q = qcow2_of(node);

    if (node->read_only) {
        node->read_only = false; /* for what is written out */
        write_out(q);
        node->read_only = true;
        return true;
    }
    if (!check_state(q, errp) || !repair_dirty(q, errp))
        return false;
    int ret = clear_autoclear(q);
    return ret == 0 || error_set_errno(errp, -ret, "cannot write the header of '%s'", node->filename);
}

static void qcow2_close(BlockNode *node)
{
    Qcow2 *q = qcow2_of(node);

    if (!node->read_only && !block_node_is_corrupt(node))
        write_out(q);
    release_state(q);
    g_free(q->backing_file);
    g_free(q->backing_format);
}

/* --- reads --- */

/* The file may end inside its last cluster. */
static int read_data(Qcow2 *q, uint64_t host, uint64_t bytes, const struct iovec *iov, int iovcnt)
{
    uint64_t size = block_node_size(qcow2_file(q)), there = host < size ? MIN(bytes, size - host) : 0;

    if (there == bytes)
        return block_preadv(qcow2_file(q), host, bytes, iov, iovcnt);
    iov_memset(iov, iovcnt, there, 0, bytes - there);
    if (!there)
        return 0;
    g_autofree struct iovec *part = g_new(struct iovec, (size_t)iovcnt);
    int n = iov_slice(part, iov, iovcnt, 0, there);
    return block_preadv(qcow2_file(q), host, there, part, n);
}

static int read_below(Qcow2 *q, uint64_t offset, uint64_t bytes, const struct iovec *iov, int iovcnt)
{
    BlockNode *backing = q->node.backing;
    uint64_t size = backing ? block_node_size(backing) : 0, there = offset < size ? MIN(bytes, size - offset) : 0;

    if (there == bytes)
        return block_preadv(backing, offset, bytes, iov, iovcnt);
    iov_memset(iov, iovcnt, there, 0, bytes - there);
    if (!there)
        return 0;
    g_autofree struct iovec *part = g_new(struct iovec, (size_t)iovcnt);
    int n = iov_slice(part, iov, iovcnt, 0, there);
    return block_preadv(backing, offset, there, part, n);
}

static int read_compressed(Qcow2 *q, uint64_t entry, uint64_t in_cluster, uint64_t bytes, const struct iovec *iov, int iovcnt)
{
    g_autofree uint8_t *cluster = g_malloc(q->cluster_size);
    int ret = qcow2_decompress(q, entry, cluster);

    if (ret == 0)
        iov_from_buf(iov, iovcnt, 0, cluster + in_cluster, bytes);
    return ret;
}

static int find_map(Qcow2 *q, uint64_t offset, uint64_t bytes, Qcow2Map *map)
{
    int ret = 0;

    pthread_mutex_lock(&q->tables);
    bool found = qcow2_map_cached(q, offset, bytes, map);
    pthread_mutex_unlock(&q->tables);
    if (found && map->kind != Q_INVALID && (map->kind != Q_DATA || qcow2_place_ok(q, qcow2_cluster_start(q, map->host), 1)))
        return 0;
    pthread_mutex_lock(&q->lock);
    ret = qcow2_map_locked(q, offset, bytes, map);
    pthread_mutex_unlock(&q->lock);
    return ret;
}

/* Reads the first part of the range; how much is in *done. The epoch keeps the clusters found from being used again. */
static int read_part(Qcow2 *q, uint64_t offset, uint64_t bytes, const struct iovec *iov, int iovcnt, uint64_t skip,
                     uint64_t *done)
{
    g_autofree struct iovec *part = g_new(struct iovec, (size_t)iovcnt);
    unsigned epoch = qcow2_hold(q);
    Qcow2Map map = {.bytes = bytes};
    int ret = find_map(q, offset, bytes, &map);

    if (ret == 0) {
        int n = iov_slice(part, iov, iovcnt, skip, map.bytes);
        if (map.kind == Q_DATA)
            ret = read_data(q, map.host, map.bytes, part, n);
        else if (map.kind == Q_COMPRESSED)
            ret = read_compressed(q, map.host, qcow2_in_cluster(q, offset), map.bytes, part, n);
        else if (map.kind == Q_UNALLOCATED)
            ret = read_below(q, offset, map.bytes, part, n);
        else
            iov_memset(part, n, 0, 0, map.bytes);
    }
    qcow2_release_hold(q, epoch);
    *done = map.bytes;
    return ret;
}

static int qcow2_preadv(BlockNode *node, uint64_t offset, uint64_t bytes, const struct iovec *iov, int iovcnt)
{
    int ret = 0;

    for (uint64_t done = 0, part; done < bytes && ret == 0; done += part)
        ret = read_part(qcow2_of(node), offset + done, bytes - done, iov, iovcnt, done, &part);
    return ret;
}

/* --- writes --- */

static int qcow2_flush(BlockNode *node)
{
    Qcow2 *q = qcow2_of(node);
    int ret;

    pthread_mutex_lock(&q->lock);
    ret = block_node_is_corrupt(node) ? block_flush(node->file) : qcow2_flush_all(q);
    pthread_mutex_unlock(&q->lock);
    return ret;
}

static int flush_if(BlockNode *node, int ret, unsigned flags)
{
    return ret == 0 && flags & BLOCK_FUA ? qcow2_flush(node) : ret;
}

static int qcow2_pwritev(BlockNode *node, uint64_t offset, uint64_t bytes, const struct iovec *iov, int iovcnt, unsigned flags)
{
    Qcow2 *q = qcow2_of(node);
    int ret = flags & BLOCK_COMPRESSED ? qcow2_write_compressed(q, offset, bytes, iov, iovcnt)
                                       : qcow2_write(q, offset, bytes, iov, iovcnt);

    return flush_if(node, ret, flags);
}

static int qcow2_discard(BlockNode *node, uint64_t offset, uint64_t bytes)
{
    return qcow2_discard_range(qcow2_of(node), offset, bytes);
}

static int qcow2_write_zeroes(BlockNode *node, uint64_t offset, uint64_t bytes, unsigned flags)
{
    return flush_if(node, qcow2_zero(qcow2_of(node), offset, bytes, flags & BLOCK_MAY_UNMAP), flags);
}

/* --- the way without a worker --- */

/* A write in place is allowed if the clusters are ours and, for FUA, their entries are on disk. q->tables held. */
static bool may_write_in_place(Qcow2 *q, const Qcow2Map *map, unsigned flags)
{
    if (!map->copied || block_node_is_corrupt(&q->node) || qcow2_is_metadata(q, map->host, map->bytes))
        return false;
    return !(flags & BLOCK_FUA) || (!q->l2.dirty && !q->l2_unsynced);
}

static void map_data(Qcow2 *q, const Qcow2Map *map, bool write, unsigned flags, BlockExtent *out)
{
    if (!range_ok(map->host, map->bytes, block_node_size(qcow2_file(q))) || (write && !may_write_in_place(q, map, flags)))
        return;
    *out = (BlockExtent){.kind = BLOCK_EXTENT_DATA, .node = qcow2_file(q), .offset = map->host, .bytes = map->bytes,
                         .held = true, .hold = q->epoch};
    q->holds[q->epoch]++;
}

static void map_below(Qcow2 *q, uint64_t offset, uint64_t bytes, BlockExtent *out)
{
    BlockNode *backing = q->node.backing;

    if (backing && offset < block_node_size(backing)) {
        *out = (BlockExtent){.kind = BLOCK_EXTENT_DATA, .node = backing, .offset = offset,
                             .bytes = MIN(bytes, block_node_size(backing) - offset)};
        return;
    }
    *out = (BlockExtent){.kind = BLOCK_EXTENT_ZERO, .bytes = bytes};
}

static void qcow2_map(BlockNode *node, uint64_t offset, uint64_t bytes, bool write, unsigned flags, BlockExtent *out)
{
    Qcow2 *q = qcow2_of(node);
    Qcow2Map map;

    if (flags & BLOCK_COMPRESSED)
        return;
    pthread_mutex_lock(&q->tables);
    if (qcow2_map_cached(q, offset, bytes, &map)) {
        if (map.kind == Q_DATA)
            map_data(q, &map, write, flags, out);
        else if (map.kind == Q_ZERO && !write)
            *out = (BlockExtent){.kind = BLOCK_EXTENT_ZERO, .bytes = map.bytes};
        else if (map.kind == Q_UNALLOCATED && !write)
            map_below(q, offset, map.bytes, out);
    }
    pthread_mutex_unlock(&q->tables);
}

static void qcow2_map_release(BlockNode *node, unsigned hold)
{
    qcow2_release_hold(qcow2_of(node), hold);
}

/* --- status --- */

static int qcow2_status(BlockNode *node, uint64_t offset, uint64_t bytes, BlockStatus *out)
{
    Qcow2 *q = qcow2_of(node);
    Qcow2Map map;
    int ret = find_map(q, offset, bytes, &map);

    if (ret < 0)
        return ret;
    *out = (BlockStatus){.bytes = map.bytes};
    switch (map.kind) {
    case Q_UNALLOCATED:
        out->flags = node->backing ? 0 : BLOCK_STATUS_ZERO;
        break;
    case Q_ZERO:
        out->flags = BLOCK_STATUS_ZERO | BLOCK_STATUS_ALLOCATED;
        break;
    case Q_COMPRESSED:
        out->flags = BLOCK_STATUS_DATA | BLOCK_STATUS_ALLOCATED | BLOCK_STATUS_COMPRESSED;
        break;
    default:
        out->flags = BLOCK_STATUS_DATA | BLOCK_STATUS_ALLOCATED | BLOCK_STATUS_OFFSET;
        out->offset = map.host;
        out->file = node->file;
    }
    return 0;
}

static void qcow2_info(BlockNode *node, BlockInfo *out)
{
    Qcow2 *q = qcow2_of(node);

    block_info(node->file, out);
    out->cluster_size = q->cluster_size;
    out->dirty = q->incompatible & QCOW_INCOMPAT_DIRTY;
    out->corrupt = q->incompatible & QCOW_INCOMPAT_CORRUPT;
    out->has_compression = true;
    out->compat = q->version;
}

static json_t *qcow2_specific_info(BlockNode *node)
{
    Qcow2 *q = qcow2_of(node);

    if (q->version < 3)
        return json_pack("{s:s, s:s, s:i}", "compat", "0.10", "compression-type", "zlib", "refcount-bits", 16);
    return json_pack("{s:s, s:s, s:b, s:i, s:b, s:b}", "compat", "1.1", "compression-type",
                     q->compression == QCOW_COMPRESSION_ZSTD ? "zstd" : "zlib", "lazy-refcounts",
                     (int)!!(q->compatible & QCOW_COMPAT_LAZY_REFCOUNTS), "refcount-bits", 1 << q->refcount_order, "corrupt",
                     (int)!!(q->incompatible & QCOW_INCOMPAT_CORRUPT), "extended-l2", (int)q->extl2);
}

static char *qcow2_backing_file(BlockNode *node, char **format)
{
    Qcow2 *q = qcow2_of(node);

    if (format)
        *format = g_strdup(q->backing_format);
    return g_strdup(q->backing_file);
}

static bool qcow2_set_backing_file(BlockNode *node, const char *filename, const char *format, GError **errp)
{
    return qcow2_header_set_backing(qcow2_of(node), filename, format, errp);
}

static const Property qcow2_props[] = {
    {"l2-cache-size", PROP_SIZE, offsetof(Qcow2, l2_cache_bytes), "16M", "memory for L2 tables", .min = 65536, .max = 1u << 30},
    {"refcount-cache-size", PROP_SIZE, offsetof(Qcow2, refcount_cache_bytes), "1M", "memory for refcounts", .min = 65536,
     .max = 1u << 30},
    {.name = NULL},
};

const BlockDriver block_driver_qcow2 = {
    .name = "qcow2",
    .desc = "images that grow, with snapshots and backing files",
    .has_backing = true,
    .instance_size = sizeof(Qcow2),
    .props = qcow2_props,
    .create_props = qcow2_create_props,
    .create_size = sizeof(Qcow2CreateOptions),
    .probe = qcow2_probe,
    .open = qcow2_open,
    .close = qcow2_close,
    .reopen = qcow2_reopen,
    .preadv = qcow2_preadv,
    .pwritev = qcow2_pwritev,
    .flush = qcow2_flush,
    .discard = qcow2_discard,
    .write_zeroes = qcow2_write_zeroes,
    .status = qcow2_status,
    .truncate = qcow2_truncate,
    .info = qcow2_info,
    .specific_info = qcow2_specific_info,
    .map = qcow2_map,
    .map_release = qcow2_map_release,
    .create = qcow2_create,
    .create_check = qcow2_create_check,
    .check = qcow2_check,
    .snapshot_list = qcow2_snapshot_list,
    .snapshot_create = qcow2_snapshot_create,
    .snapshot_apply = qcow2_snapshot_apply,
    .snapshot_delete = qcow2_snapshot_delete,
    .backing_file = qcow2_backing_file,
    .set_backing_file = qcow2_set_backing_file,
    .snapshot_load = qcow2_snapshot_load,
    .make_empty = qcow2_make_empty,
    .amend = qcow2_amend,
    .measure = qcow2_measure,
    .create_grain = qcow2_create_grain,
};
