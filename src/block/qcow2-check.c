/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Consistency check: counts all references there are and compares with the refcounts.
 *
 *     refcount > references    a leak: space is lost, nothing else
 *     refcount < references    a corruption: the cluster may be given away twice
 *     COPIED wrong             a corruption: a shared cluster may be written, or an own one not
 *     an impossible entry      a corruption; the data is gone, so it is not repaired
 *
 * Repair of leaks lowers refcounts. Repair of corruptions writes all refcounts anew, behind everything, and switches the
 * header over; so what is wrong with the old ones does not matter.
 */
#include <errno.h>

#include "core/bits.h"
#include "core/error.h"
#include "src/block/qcow2.h"

typedef struct Check {
    Qcow2 *q;
    BlockCheck *result;
    uint32_t *refs; /* per cluster of the file */
    uint64_t clusters;
    uint64_t last_host; /* of the guest cluster before, for fragmentation */
    bool unrepairable;
} Check;

static void report(Check *c, const char *kind, const char *fmt, ...) G_GNUC_PRINTF(3, 4);
static void report(Check *c, const char *kind, const char *fmt, ...)
{
    va_list ap;

    if (!c->result->report)
        return;
    va_start(ap, fmt);
    g_autofree char *what = g_strdup_vprintf(fmt, ap);
    va_end(ap);
    g_autofree char *line = g_strdup_printf("%s %s", kind, what);
    c->result->report(c->result->opaque, line);
}

static void corruption(Check *c, const char *what, uint64_t offset)
{
    c->result->corruptions++;
    report(c, "ERROR", "%s at 0x%" G_GINT64_MODIFIER "x", what, offset);
}

/* --- counting --- */

static void add_refs(Check *c, uint64_t offset, uint64_t bytes)
{
    uint64_t last = (offset + bytes - 1) >> c->q->cluster_bits;

    for (uint64_t i = offset >> c->q->cluster_bits; bytes && i <= last && i < c->clusters; i++) {
        if (c->refs[i] < UINT32_MAX)
            c->refs[i]++;
        c->result->image_end_offset = MAX(c->result->image_end_offset, (i + 1) << c->q->cluster_bits);
    }
}

static bool place_is_bad(Check *c, uint64_t offset, const char *what)
{
    if (!qcow2_in_cluster(c->q, offset) && offset >> c->q->cluster_bits < c->clusters)
        return false;
    corruption(c, what, offset);
    c->unrepairable = true;
    return true;
}

static void count_compressed(Check *c, uint64_t entry, bool active)
{
    uint64_t offset, bytes;

    qcow2_compressed_place(c->q, entry, &offset, &bytes);
    if (!range_ok(offset, 1, c->clusters << c->q->cluster_bits)) {
        corruption(c, "a compressed cluster lies outside the image", offset);
        c->unrepairable = true;
        return;
    }
    add_refs(c, offset, bytes);
    if (active) {
        c->result->compressed_clusters++;
        c->result->allocated_clusters++;
        c->result->fragmented_clusters++;
    }
}

static void count_entry(Check *c, uint64_t entry, bool active)
{
    uint64_t host = entry & L2E_OFFSET_MASK;

    if (entry & QCOW_COMPRESSED) {
        count_compressed(c, entry, active);
        return;
    }
    if (!host || place_is_bad(c, host, "a data cluster lies outside the image"))
        return;
    add_refs(c, host, c->q->cluster_size);
    if (!active)
        return;
    c->result->allocated_clusters++;
    if (c->last_host && host != c->last_host + c->q->cluster_size)
        c->result->fragmented_clusters++;
    c->last_host = host;
}

static int count_l2(Check *c, uint64_t offset, bool active)
{
    g_autofree uint8_t *table = g_malloc0(c->q->cluster_size);
    uint64_t size = block_node_size(qcow2_file(c->q));
    int ret = block_pread(qcow2_file(c->q), offset, table, MIN(c->q->cluster_size, size - offset));

    for (uint32_t at = 0; ret == 0 && at < c->q->cluster_size; at += c->q->l2_entry_bytes)
        count_entry(c, be64_at(table, at), active);
    return ret;
}

static int count_tree(Check *c, const uint64_t *l1, uint32_t l1_size, bool active)
{
    for (uint32_t i = 0; i < l1_size; i++) {
        uint64_t offset = l1[i] & L1E_OFFSET_MASK;
        if (!offset || place_is_bad(c, offset, "an L2 table lies outside the image"))
            continue;
        add_refs(c, offset, c->q->cluster_size);
        int ret = count_l2(c, offset, active);
        if (ret < 0)
            return ret;
    }
    return 0;
}

static int count_snapshot(Check *c, const Qcow2Snapshot *s)
{
    g_autofree uint64_t *l1 = g_new0(uint64_t, MAX(s->l1_size, 1));
    uint64_t size = block_node_size(qcow2_file(c->q)), bytes = (uint64_t)s->l1_size * 8;
    int ret = bytes ? block_pread(qcow2_file(c->q), s->l1_offset, l1, MIN(bytes, size - s->l1_offset)) : 0;

    for (uint32_t i = 0; i < s->l1_size; i++)
        l1[i] = be64toh(l1[i]);
    add_refs(c, s->l1_offset, bytes);
    return ret == 0 ? count_tree(c, l1, s->l1_size, false) : ret;
}

static int count_all(Check *c, uint64_t snapshot_table_bytes)
{
    Qcow2 *q = c->q;
    int ret;

    add_refs(c, 0, q->cluster_size);
    add_refs(c, q->l1_offset, (uint64_t)q->l1_size * 8);
    add_refs(c, q->snapshots_offset, q->nb_snapshots ? snapshot_table_bytes : 0);
    ret = count_tree(c, q->l1, q->l1_size, true);
    for (guint i = 0; i < q->snapshots->len && ret == 0; i++)
        ret = count_snapshot(c, &g_array_index(q->snapshots, Qcow2Snapshot, i));
    return ret;
}

static void count_refcount_blocks(Check *c)
{
    Qcow2 *q = c->q;

    add_refs(c, q->reftable_offset, (uint64_t)q->reftable_entries * 8);
    for (uint32_t i = 0; i < q->reftable_entries; i++) {
        uint64_t block = q->reftable[i] & L1E_OFFSET_MASK;
        if (!block)
            continue;
        if (qcow2_in_cluster(q, block) || block >> q->cluster_bits >= c->clusters) {
            corruption(c, "a refcount block lies outside the image", block);
            q->reftable[i] = 0; /* in memory: the check goes on as if there were none */
            continue;
        }
        add_refs(c, block, q->cluster_size);
        if (c->refs[block >> q->cluster_bits] > 1)
            corruption(c, "a refcount block is used twice", block);
    }
}

/* --- comparing --- */

/* One cluster; fix_leaks lowers its refcount. */
static int compare(Check *c, uint64_t cluster, bool fix_leaks)
{
    uint64_t have, want = c->refs[cluster];
    Qcow2Slice *slice;
    uint32_t index;
    int ret = qcow2_refcount_get(c->q, cluster, &have);

    if (ret < 0 || have == want)
        return ret;
    if (have < want) {
        c->result->corruptions++;
        report(c, "ERROR", "cluster %" G_GUINT64_FORMAT " refcount=%" G_GUINT64_FORMAT " reference=%" G_GUINT64_FORMAT, cluster, have,
               want);
        return 0;
    }
    if (c->q->has_bitmaps && want == 0)
        return 0; /* may be a bitmap's */
    c->result->leaks++;
    report(c, fix_leaks ? "Repairing" : "Leaked",
           "cluster %" G_GUINT64_FORMAT " refcount=%" G_GUINT64_FORMAT " reference=%" G_GUINT64_FORMAT, cluster, have, want);
    if (!fix_leaks)
        return 0;
    ret = qcow2_refblock(c->q, cluster, &slice, &index);
    if (ret < 0)
        return ret;
    qcow2_refcount_put(c->q, slice->data, index, want);
    qcow2_cache_set_dirty(&c->q->refcounts, slice, true);
    c->q->free_hint = 0;
    c->result->leaks_fixed++;
    return 0;
}

static int check_copied_entry(Check *c, uint64_t entry, const char *what, uint64_t at)
{
    uint64_t host = entry & L2E_OFFSET_MASK, count;

    if (entry & QCOW_COMPRESSED || !host || host >> c->q->cluster_bits >= c->clusters)
        return 0;
    count = c->refs[host >> c->q->cluster_bits];
    if ((count == 1) != !!(entry & QCOW_COPIED))
        corruption(c, what, at);
    return 0;
}

static int check_copied(Check *c)
{
    g_autofree uint8_t *table = g_malloc0(c->q->cluster_size);
    uint64_t size = block_node_size(qcow2_file(c->q));

    for (uint32_t i = 0; i < c->q->l1_size; i++) {
        uint64_t offset = c->q->l1[i] & L1E_OFFSET_MASK;
        if (!offset || qcow2_in_cluster(c->q, offset) || offset >= size)
            continue;
        check_copied_entry(c, c->q->l1[i], "the COPIED flag of an L2 table is wrong", offset);
        int ret = block_pread(qcow2_file(c->q), offset, table, MIN(c->q->cluster_size, size - offset));
        if (ret < 0)
            return ret;
        for (uint32_t at = 0; at < c->q->cluster_size; at += c->q->l2_entry_bytes)
            check_copied_entry(c, be64_at(table, at), "the COPIED flag of a cluster is wrong", offset + at);
    }
    return 0;
}

/* --- repair --- */

/* All refcounts anew, at the end of the file. */
static int rebuild(Check *c)
{
    Qcow2 *q = c->q;
    uint64_t per_block = BIT(q->refblock_bits), per_cluster = q->cluster_size / 8;
    uint64_t start = align_up(MAX(c->clusters, q->end_cluster), per_block), own_blocks = 0, table_clusters, entries;
    uint64_t old_blocks = start / per_block;
    uint8_t place[12];
    int ret = 0;

    do {
        entries = old_blocks + ++own_blocks;
        table_clusters = (entries + per_cluster - 1) / per_cluster;
    } while (table_clusters + entries > own_blocks * per_block); /* a block for each stretch lies there too */
    if (table_clusters << q->cluster_bits > QCOW_MAX_REFTABLE_BYTES)
        return -EFBIG;
    entries = table_clusters * per_cluster;
    g_autofree uint64_t *table = g_new0(uint64_t, entries), *disk = g_new0(uint64_t, entries);
    g_autofree uint8_t *block = g_malloc(q->cluster_size);
    uint64_t next = start + table_clusters, used = table_clusters + old_blocks + own_blocks;
    for (uint64_t b = 0; b < old_blocks + own_blocks && ret == 0; b++) {
        memset(block, 0, q->cluster_size);
        for (uint64_t i = 0; i < per_block; i++) {
            uint64_t cluster = b * per_block + i;
            uint64_t count = cluster < c->clusters ? c->refs[cluster] : cluster >= start && cluster < start + used;
            if (count)
                qcow2_refcount_put(q, block, (uint32_t)i, count);
        }
        table[b] = next++ << q->cluster_bits;
        disk[b] = htobe64(table[b]);
        ret = block_pwrite(qcow2_file(q), table[b], block, q->cluster_size, 0);
    }
    if (ret == 0)
        ret = block_pwrite(qcow2_file(q), start << q->cluster_bits, disk, entries * 8, 0);
    if (ret == 0)
        ret = block_flush(qcow2_file(q));
    put_be64(place, 0, start << q->cluster_bits);
    put_be32(place, 8, (uint32_t)table_clusters);
    if (ret == 0)
        ret = qcow2_header_write(q, HDR_REFTABLE_OFFSET, place, sizeof(place));
    if (ret < 0)
        return ret;
    for (unsigned i = 0; i < q->refcounts.count; i++) {
        qcow2_cache_set_dirty(&q->refcounts, &q->refcounts.slices[i], false);
        qcow2_cache_place(&q->refcounts, &q->refcounts.slices[i], 0);
    }
    g_free(q->reftable);
    q->reftable = g_steal_pointer(&table);
    q->reftable_entries = (uint32_t)entries;
    q->reftable_offset = start << q->cluster_bits;
    q->end_cluster = start + used;
    q->free_hint = 0;
    qcow2_metadata_add(q, q->reftable_offset, used << q->cluster_bits);
    return 0;
}

static int clear_marks(Qcow2 *q)
{
    uint64_t marks = QCOW_INCOMPAT_DIRTY | QCOW_INCOMPAT_CORRUPT;

    if (!(q->incompatible & marks))
        return 0;
    q->incompatible &= ~marks;
    return qcow2_header_put64(q, HDR_INCOMPATIBLE, q->incompatible);
}

static int repair(Check *c)
{
    int ret = rebuild(c);

    if (ret == 0)
        ret = qcow2_fix_copied(c->q);
    if (ret == 0)
        c->result->corruptions_fixed = c->result->corruptions;
    return ret;
}

static int run_check(Check *c, unsigned fix, uint64_t snapshot_table_bytes)
{
    bool fix_errors = fix & BLOCK_FIX_ERRORS;
    int ret = count_all(c, snapshot_table_bytes);

    /* What a rebuild counts: everything but the old refcounts themselves. */
    g_autofree uint32_t *without_blocks = fix_errors ? g_memdup2(c->refs, c->clusters * sizeof(*c->refs)) : NULL;
    if (ret == 0) {
        count_refcount_blocks(c);
        ret = check_copied(c);
    }
    for (uint64_t i = 0; i < c->clusters && ret == 0; i++)
        ret = compare(c, i, false);
    if (ret == 0 && fix_errors && c->result->corruptions && !c->unrepairable) {
        g_free(c->refs);
        c->refs = g_steal_pointer(&without_blocks);
        c->result->leaks_fixed = c->result->leaks;
        ret = repair(c);
    } else if (ret == 0 && fix & BLOCK_FIX_LEAKS && c->result->leaks) {
        uint64_t leaks = c->result->leaks, corruptions = c->result->corruptions;
        for (uint64_t i = 0; i < c->clusters && ret == 0; i++)
            ret = compare(c, i, true);
        c->result->leaks = leaks;
        c->result->corruptions = corruptions;
    }
    if (ret == 0 && fix)
        ret = qcow2_flush_all(c->q);
    if (ret == 0 && fix && c->result->corruptions == c->result->corruptions_fixed)
        ret = clear_marks(c->q);
    return ret;
}

bool qcow2_check(BlockNode *node, BlockCheck *result, unsigned fix, GError **errp)
{
    Qcow2 *q = qcow2_of(node);
    Check c = {.q = q, .result = result, .clusters = qcow2_clusters(q, block_node_size(node->file))};
    int ret;

    if (fix && node->read_only)
        return error_set(errp, "image '%s' is read-only and cannot be repaired", node->filename);
    c.refs = g_try_malloc0(c.clusters * sizeof(*c.refs));
    if (!c.refs)
        return error_set(errp, "no memory to check '%s'", node->filename);
    pthread_mutex_lock(&q->lock);
    result->total_clusters = qcow2_clusters(q, block_node_size(node));
    ret = qcow2_flush_all(q);
    qcow2_apply_freed(q, true);
    if (ret == 0)
        ret = run_check(&c, fix, qcow2_snapshot_table_bytes(q));
    pthread_mutex_unlock(&q->lock);
    g_free(c.refs);
    if (ret < 0)
        result->check_errors++;
    return ret == 0 || error_set_errno(errp, -ret, "cannot check '%s'", node->filename);
}
