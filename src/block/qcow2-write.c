/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Writes that need more than the data at its place: allocation, copy-on-write, zeroes, discard.
 *
 * A write goes piece by piece; a piece is what can be treated alike:
 *
 *     the host cluster is ours            the data, in place; of a zero cluster or subcluster also zeroes around it
 *     nothing there                       new clusters in a row; what the guest did not write is copied from below
 *     a snapshot's, or compressed         new clusters; the rest of them is copied
 *
 * Data first, then the L2 entry. The guest range is owned meanwhile, so nobody else changes its mapping.
 */
#include <errno.h>

#include "core/bits.h"
#include "core/iov.h"
#include "src/block/qcow2.h"

#define MAX_PIECE (4u << 20) /* of an allocating write: bounds the copies in memory and the time of q->lock */

typedef struct Piece {
    uint64_t offset, bytes; /* what the guest writes */
    uint64_t start, end;    /* what is written: whole units, or whole clusters */
    uint64_t host;          /* of start */
    uint64_t old_entry;     /* of the first cluster: replaced if the cluster is new */
    bool new_clusters;
    bool fresh;             /* the clusters read as zeroes */
    bool copy_below;        /* around the data lies something else than zeroes */
} Piece;

/* --- planning, under q->lock --- */

/* The L2 entry allows writing in place: ours, neither compressed nor empty. */
static bool entry_is_ours(uint64_t entry)
{
    return entry & QCOW_COPIED && !(entry & QCOW_COMPRESSED) && entry & L2E_OFFSET_MASK;
}

/* In place, within one cluster: units that are not data yet become so. */
static void plan_in_place(Qcow2 *q, uint64_t entry, Piece *piece)
{
    uint64_t cluster = qcow2_cluster_start(q, piece->offset);

    piece->bytes = MIN(piece->bytes, cluster + q->cluster_size - piece->offset);
    piece->start = align_down(piece->offset, q->unit_size);
    piece->end = align_up(piece->offset + piece->bytes, q->unit_size);
    piece->host = (entry & L2E_OFFSET_MASK) + (piece->start - cluster);
    piece->copy_below = q->extl2; /* a zero cluster has zeroes around; subclusters may not be */
}

/* How many clusters from offset on are as empty as the first: to be allocated in one go. */
static int count_empty(Qcow2 *q, uint64_t offset, uint64_t bytes, uint64_t *clusters)
{
    uint64_t end = offset + bytes, at = qcow2_cluster_start(q, offset), entry, bitmap;

    for (*clusters = 0; at < end; at += q->cluster_size, (*clusters)++) {
        int ret = qcow2_entry_get(q, at, &entry, &bitmap);
        if (ret < 0)
            return ret;
        if ((*clusters && entry & (QCOW_COMPRESSED | L2E_OFFSET_MASK)) || (*clusters && bitmap))
            break;
    }
    return 0;
}

static int plan_new(Qcow2 *q, uint64_t entry, Piece *piece)
{
    bool replaces = entry & (QCOW_COMPRESSED | L2E_OFFSET_MASK);
    uint64_t first = qcow2_cluster_start(q, piece->offset), clusters = 1, got;
    int ret = replaces ? 0 : count_empty(q, piece->offset, piece->bytes, &clusters);

    if (ret == 0)
        ret = qcow2_alloc(q, clusters << q->cluster_bits, false, &piece->host, &got, &piece->fresh);
    if (ret < 0)
        return ret;
    piece->new_clusters = true;
    piece->bytes = MIN(piece->bytes, first + got - piece->offset);
    if (replaces || !q->extl2) {
        piece->start = first;
        piece->end = qcow2_cluster_start(q, piece->offset + piece->bytes + q->cluster_size - 1);
    } else {
        piece->start = align_down(piece->offset, q->unit_size);
        piece->end = align_up(piece->offset + piece->bytes, q->unit_size);
        piece->host += piece->start - first;
    }
    /* A zero cluster without a place has zeroes around the data; anything else is looked up. */
    piece->copy_below = replaces || q->extl2 || !(entry & QCOW_ZERO) || clusters > 1;
    return 0;
}

static int plan_piece(Qcow2 *q, Piece *piece)
{
    uint64_t bitmap;
    Qcow2Map map;
    int ret = qcow2_map_locked(q, piece->offset, piece->bytes, &map);

    if (ret == 0)
        ret = qcow2_entry_get(q, piece->offset, &piece->old_entry, &bitmap);
    if (ret < 0)
        return ret;
    if (map.kind == Q_DATA && map.copied) {
        piece->bytes = map.bytes;
        piece->start = piece->offset;
        piece->end = piece->offset + piece->bytes;
        piece->host = map.host;
        return qcow2_is_metadata(q, piece->host, piece->bytes)
                   ? qcow2_corrupt(q, piece->host, "guest data would overwrite metadata") : 1;
    }
    ret = qcow2_entry_prepare(q, piece->offset);
    if (ret < 0)
        return ret;
    piece->bytes = MIN(MIN(piece->bytes, MAX_PIECE),
                       BIT(q->cluster_bits + q->l2_bits) - (piece->offset & (BIT(q->cluster_bits + q->l2_bits) - 1)));
    if (!entry_is_ours(piece->old_entry))
        return plan_new(q, piece->old_entry, piece);
    plan_in_place(q, piece->old_entry, piece);
    return qcow2_is_metadata(q, piece->host, piece->end - piece->start)
               ? qcow2_corrupt(q, piece->host, "guest data would overwrite metadata") : 0;
}

/* --- data --- */

/* The guest's bytes of [start, end) into buf, as far as they are not zeroes for sure. */
static int read_around(Qcow2 *q, const Piece *piece, uint64_t start, uint64_t end, uint8_t *buf)
{
    uint64_t size = block_node_size(&q->node);

    memset(buf, 0, end - start);
    if (!piece->copy_below || start >= size)
        return 0;
    return block_pread(&q->node, start, buf, MIN(end, size) - start);
}

/* The data with what surrounds it in its clusters, in one write. */
static int write_data(Qcow2 *q, const Piece *piece, const struct iovec *iov, int iovcnt, uint64_t skip)
{
    uint64_t head = piece->offset - piece->start, tail = piece->end - piece->offset - piece->bytes;
    g_autofree uint8_t *head_buf = head ? g_malloc(head) : NULL, *tail_buf = tail ? g_malloc(tail) : NULL;
    g_autofree struct iovec *all = g_new(struct iovec, (size_t)iovcnt + 2);
    uint64_t host = piece->host, bytes = piece->bytes;
    int n = 0, ret = 0;

    if (head)
        ret = read_around(q, piece, piece->start, piece->offset, head_buf);
    if (tail && ret == 0)
        ret = read_around(q, piece, piece->offset + piece->bytes, piece->end, tail_buf);
    if (ret < 0)
        return ret;
    if (head && piece->fresh && buffer_is_zero(head_buf, head)) {
        host += head;
    } else if (head) {
        all[n++] = (struct iovec){head_buf, head};
        bytes += head;
    }
    n += iov_slice(all + n, iov, iovcnt, skip, piece->bytes);
    if (tail && !(piece->fresh && buffer_is_zero(tail_buf, tail))) {
        all[n++] = (struct iovec){tail_buf, tail};
        bytes += tail;
    }
    return block_pwritev(qcow2_file(q), host, bytes, all, n, 0);
}

/* --- the entries --- */

static uint64_t unit_bits(const Qcow2 *q, uint64_t cluster, uint64_t start, uint64_t end)
{
    uint64_t from = start > cluster ? (start - cluster) / q->unit_size : 0;
    uint64_t to = MIN(end - cluster, q->cluster_size) / q->unit_size;

    return BITS(to - 1, from);
}

/* One cluster's entry after the data is there. */
static int link_cluster(Qcow2 *q, const Piece *piece, uint64_t cluster, bool first)
{
    uint64_t host = qcow2_cluster_start(q, piece->host) + (cluster - qcow2_cluster_start(q, piece->start));
    uint64_t entry, bitmap;
    int ret = qcow2_entry_get(q, cluster, &entry, &bitmap);

    if (ret < 0)
        return ret;
    if (q->extl2) {
        uint64_t written = unit_bits(q, cluster, piece->start, piece->end);
        bitmap = (bitmap | written) & ~(written << 32);
    }
    ret = qcow2_entry_set(q, cluster, host | QCOW_COPIED, bitmap);
    if (ret == 0 && piece->new_clusters && first)
        qcow2_free_entry(q, piece->old_entry, true);
    return ret;
}

static int link_piece(Qcow2 *q, const Piece *piece)
{
    for (uint64_t cluster = qcow2_cluster_start(q, piece->start); cluster < piece->end; cluster += q->cluster_size) {
        int ret = link_cluster(q, piece, cluster, cluster == qcow2_cluster_start(q, piece->start));
        if (ret < 0)
            return ret;
    }
    return 0;
}

static void unplan(Qcow2 *q, const Piece *piece)
{
    if (piece->new_clusters)
        qcow2_free_now(q, qcow2_cluster_start(q, piece->host), piece->end - qcow2_cluster_start(q, piece->start));
}

/* Writes the first part of the rest; its length is in piece->bytes. */
static int write_piece(Qcow2 *q, Piece *piece, const struct iovec *iov, int iovcnt, uint64_t skip)
{
    int ret, plan;

    pthread_mutex_lock(&q->lock);
    plan = plan_piece(q, piece);
    pthread_mutex_unlock(&q->lock);
    if (plan < 0)
        return plan;
    ret = write_data(q, piece, iov, iovcnt, skip);
    if (plan == 1) /* it was data before */
        return ret;
    pthread_mutex_lock(&q->lock);
    if (ret == 0)
        ret = link_piece(q, piece);
    else
        unplan(q, piece);
    pthread_mutex_unlock(&q->lock);
    return ret;
}

int qcow2_write(Qcow2 *q, uint64_t offset, uint64_t bytes, const struct iovec *iov, int iovcnt)
{
    uint64_t start = qcow2_cluster_start(q, offset), end = qcow2_cluster_start(q, offset + bytes + q->cluster_size - 1);
    RangeHold hold;
    int ret = 0;

    range_lock(&q->guest, &hold, start, end - start, true);
    for (uint64_t done = 0; done < bytes && ret == 0;) {
        Piece piece = {.offset = offset + done, .bytes = bytes - done};
        ret = write_piece(q, &piece, iov, iovcnt, done);
        done += piece.bytes;
    }
    range_unlock(&q->guest, &hold);
    return ret;
}

/* --- zeroes and discard: whole clusters or subclusters --- */

static uint64_t zero_entry(const Qcow2 *q, uint64_t kept)
{
    return kept | (q->extl2 ? 0 : QCOW_ZERO);
}

/* The cluster, or with extended L2 the units [start, end) of it, read as zeroes from now on. */
static int zero_cluster(Qcow2 *q, uint64_t cluster, uint64_t start, uint64_t end, bool unmap)
{
    bool whole = start == cluster && end == cluster + q->cluster_size;
    uint64_t entry, bitmap, ones = q->extl2 ? unit_bits(q, cluster, start, end) : 0;
    int ret = qcow2_entry_get(q, cluster, &entry, &bitmap);

    if (ret < 0)
        return ret;
    if (!whole && entry & QCOW_COMPRESSED)
        return -ENOTSUP;
    bool drop = whole && (unmap || !entry_is_ours(entry));
    uint64_t kept = drop ? 0 : entry & (L2E_OFFSET_MASK | QCOW_COPIED);
    bitmap = whole ? 0 : bitmap;
    ret = qcow2_entry_set(q, cluster, zero_entry(q, kept), (bitmap & ~ones) | ones << 32);
    if (ret == 0 && drop)
        qcow2_free_entry(q, entry, true);
    return ret;
}

/* Without a zero flag (v2) a cluster reads as zeroes if there is none and no backing file. */
static int zero_cluster_v2(Qcow2 *q, uint64_t cluster)
{
    uint64_t entry, bitmap;
    int ret = qcow2_entry_get(q, cluster, &entry, &bitmap);

    if (ret < 0 || !entry)
        return q->node.backing ? -ENOTSUP : ret;
    if (q->node.backing)
        return -ENOTSUP;
    ret = qcow2_entry_set(q, cluster, 0, 0);
    if (ret == 0)
        qcow2_free_entry(q, entry, true);
    return ret;
}

static int zero_units(Qcow2 *q, uint64_t start, uint64_t end, bool unmap)
{
    int ret = 0;

    while (start < end && ret == 0) {
        uint64_t cluster = qcow2_cluster_start(q, start), stop = MIN(end, cluster + q->cluster_size);
        Qcow2Map map;
        pthread_mutex_lock(&q->lock);
        ret = qcow2_map_locked(q, start, stop - start, &map);
        bool nothing = ret == 0 && map.bytes == stop - start && (map.kind == Q_ZERO || (map.kind == Q_UNALLOCATED && !q->node.backing));
        if (ret == 0 && !(nothing && !map.host))
            ret = q->version < 3 ? (unmap ? zero_cluster_v2(q, cluster) : -ENOTSUP) : zero_cluster(q, cluster, start, stop, unmap);
        pthread_mutex_unlock(&q->lock);
        start = stop;
    }
    return ret;
}

static int write_zero_part(Qcow2 *q, uint64_t start, uint64_t end)
{
    Qcow2Map map = {0};
    int ret;

    if (start >= end)
        return 0;
    g_autofree uint8_t *zeroes = g_malloc0(end - start);
    struct iovec iov = {zeroes, end - start};
    pthread_mutex_lock(&q->lock);
    ret = qcow2_map_locked(q, start, end - start, &map);
    pthread_mutex_unlock(&q->lock);
    if (ret < 0 || (map.bytes == end - start && map.kind == Q_ZERO))
        return ret;
    return qcow2_write(q, start, end - start, &iov, 1);
}

int qcow2_zero(Qcow2 *q, uint64_t offset, uint64_t bytes, bool unmap)
{
    uint64_t unit = q->version < 3 ? q->cluster_size : q->unit_size, size = block_node_size(&q->node);
    uint64_t end = offset + bytes, first = align_up(offset, unit);
    /* The last cluster may reach over the disk's end. */
    uint64_t last = end == size ? align_up(end, unit) : align_down(end, unit);
    RangeHold hold;
    int ret;

    if (first >= last)
        return write_zero_part(q, offset, end);
    ret = write_zero_part(q, offset, first);
    if (ret == 0 && last < end)
        ret = write_zero_part(q, last, end);
    if (ret < 0)
        return ret;
    range_lock(&q->guest, &hold, qcow2_cluster_start(q, first), align_up(last, q->cluster_size) - qcow2_cluster_start(q, first), true);
    ret = zero_units(q, first, last, unmap);
    range_unlock(&q->guest, &hold);
    return ret;
}

/* A cluster that is discarded must not show what the backing file has there. */
static int discard_cluster(Qcow2 *q, uint64_t cluster)
{
    uint64_t entry, bitmap;
    int ret = qcow2_entry_get(q, cluster, &entry, &bitmap);

    if (ret < 0 || (!entry && !bitmap && !q->node.backing))
        return ret;
    if (q->node.backing && q->version < 3)
        return 0;
    if (!(entry & (QCOW_COMPRESSED | L2E_OFFSET_MASK)))
        return 0; /* gives nothing back */
    if (q->node.backing)
        return zero_cluster(q, cluster, cluster, cluster + q->cluster_size, true);
    ret = qcow2_entry_set(q, cluster, 0, 0);
    if (ret == 0)
        qcow2_free_entry(q, entry, true);
    return ret;
}

int qcow2_discard_range(Qcow2 *q, uint64_t offset, uint64_t bytes)
{
    uint64_t end = offset + bytes, first = align_up(offset, q->cluster_size);
    uint64_t last = end == block_node_size(&q->node) ? align_up(end, q->cluster_size) : align_down(end, q->cluster_size);
    RangeHold hold;
    int ret = 0;

    if (first >= last)
        return 0;
    range_lock(&q->guest, &hold, first, last - first, true);
    for (uint64_t cluster = first; cluster < last && ret == 0; cluster += q->cluster_size) {
        pthread_mutex_lock(&q->lock);
        ret = discard_cluster(q, cluster);
        pthread_mutex_unlock(&q->lock);
    }
    range_unlock(&q->guest, &hold);
    return ret;
}

/* --- compressed --- */

/* Room for len bytes: behind the last compressed cluster, or in a new cluster. */
static int alloc_compressed(Qcow2 *q, size_t len, uint64_t *offset)
{
    uint64_t got;
    bool fresh;
    int ret;

    if (q->compressed_at && qcow2_in_cluster(q, q->compressed_at) + len <= q->cluster_size
        && qcow2_refcount_add(q, q->compressed_at, len, 1) == 0) {
        *offset = q->compressed_at;
    } else {
        ret = qcow2_alloc(q, q->cluster_size, true, offset, &got, &fresh);
        if (ret < 0)
            return ret;
    }
    q->compressed_at = *offset + len;
    if (!qcow2_in_cluster(q, q->compressed_at))
        q->compressed_at = 0;
    return 0;
}

static int link_compressed(Qcow2 *q, uint64_t cluster, uint64_t offset, size_t len)
{
    unsigned shift = 62 - (q->cluster_bits - 8);
    uint64_t sectors = ((offset + len - 1) >> 9) - (offset >> 9), old, bitmap;
    int ret = qcow2_entry_get(q, cluster, &old, &bitmap);

    if (ret == 0)
        ret = qcow2_entry_set(q, cluster, QCOW_COMPRESSED | sectors << shift | offset, 0);
    if (ret == 0)
        qcow2_free_entry(q, old, true);
    return ret;
}

static int write_compressed_cluster(Qcow2 *q, uint64_t cluster, const uint8_t *data)
{
    g_autofree uint8_t *out = g_malloc(q->cluster_size);
    size_t len = qcow2_compress(q, data, out);
    struct iovec plain = {(void *)data, MIN(q->cluster_size, block_node_size(&q->node) - cluster)};
    uint64_t offset;
    RangeHold hold;
    int ret;

    if (!len) /* does not get smaller */
        return qcow2_write(q, cluster, plain.iov_len, &plain, 1);
    range_lock(&q->guest, &hold, cluster, q->cluster_size, true);
    pthread_mutex_lock(&q->lock);
    ret = alloc_compressed(q, len, &offset);
    pthread_mutex_unlock(&q->lock);
    if (ret == 0)
        ret = block_pwrite(qcow2_file(q), offset, out, len, 0);
    pthread_mutex_lock(&q->lock);
    if (ret == 0)
        ret = link_compressed(q, cluster, offset, len);
    pthread_mutex_unlock(&q->lock);
    range_unlock(&q->guest, &hold);
    return ret;
}

int qcow2_write_compressed(Qcow2 *q, uint64_t offset, uint64_t bytes, const struct iovec *iov, int iovcnt)
{
    g_autofree uint8_t *data = g_malloc(q->cluster_size);
    uint64_t end = offset + bytes;

    if (qcow2_in_cluster(q, offset) || (qcow2_in_cluster(q, end) && end != block_node_size(&q->node)))
        return -EINVAL;
    for (uint64_t done = 0; done < bytes; done += q->cluster_size) {
        size_t part = iov_to_buf(iov, iovcnt, done, data, MIN(q->cluster_size, bytes - done));
        memset(data + part, 0, q->cluster_size - part);
        int ret = write_compressed_cluster(q, offset + done, data);
        if (ret < 0)
            return ret;
    }
    return 0;
}
