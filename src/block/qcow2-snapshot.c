/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Internal snapshots: each is an L1 table of its own; the clusters below are shared by refcount.
 *
 * The list's table is written anew at each change, then the header is switched to it. Whatever a power cut leaves is the old
 * state or the new one, and leaks. The node is drained.
 */
#include <errno.h>

#include "core/bits.h"
#include "core/error.h"
#include "src/block/qcow2.h"

#define ENTRY_BYTES 40u
#define MAX_EXTRA 1024u

/* --- the table --- */

static void snapshot_clear(void *opaque)
{
    Qcow2Snapshot *s = opaque;

    g_free(s->info.id);
    g_free(s->info.name);
    g_bytes_unref(s->extra);
}

void qcow2_snapshots_release(Qcow2 *q)
{
    if (q->snapshots)
        g_array_free(q->snapshots, TRUE);
    q->snapshots = NULL;
}

static bool bad(Qcow2 *q, GError **errp, const char *what)
{
    return error_set(errp, "image '%s': %s", q->node.filename, what);
}

/* One entry at *offset, which is moved behind it. */
static bool read_entry(Qcow2 *q, uint64_t *offset, GError **errp)
{
    uint64_t size = block_node_size(qcow2_file(q));
    uint8_t fixed[ENTRY_BYTES];
    int ret = range_ok(*offset, ENTRY_BYTES, size) ? block_pread(qcow2_file(q), *offset, fixed, ENTRY_BYTES) : -EIO;

    if (ret < 0)
        return bad(q, errp, "its snapshot table is cut off");
    uint32_t extra = be32_at(fixed, 36), id_len = be32_at(fixed, 12) >> 16, name_len = be32_at(fixed, 12) & 0xffff;
    uint64_t rest = (uint64_t)extra + id_len + name_len;
    if (extra > MAX_EXTRA || !range_ok(*offset + ENTRY_BYTES, rest, size))
        return bad(q, errp, "its snapshot table has an impossible entry");
    g_autofree uint8_t *data = g_malloc(rest + 1);
    ret = rest ? block_pread(qcow2_file(q), *offset + ENTRY_BYTES, data, rest) : 0;
    if (ret < 0)
        return bad(q, errp, "its snapshot table cannot be read");
    Qcow2Snapshot s = {
        .l1_offset = be64_at(fixed, 0),
        .l1_size = be32_at(fixed, 8),
        .extra = g_bytes_new(data, extra),
        .info = {
            .id = g_strndup((char *)data + extra, id_len),
            .name = g_strndup((char *)data + extra + id_len, name_len),
            .date_sec = be32_at(fixed, 16),
            .date_nsec = be32_at(fixed, 20),
            .vm_clock_ns = be64_at(fixed, 24),
            .vm_state_size = extra >= 8 ? be64_at(data, 0) : be32_at(fixed, 32),
            .disk_size = extra >= 16 ? be64_at(data, 8) : block_node_size(&q->node),
            .icount = extra >= 24 ? be64_at(data, 16) : UINT64_MAX,
        },
    };
    g_array_append_val(q->snapshots, s);
    *offset += align_up(ENTRY_BYTES + rest, 8);
    if ((uint64_t)s.l1_size * 8 > QCOW_MAX_L1_BYTES || (s.l1_size && !qcow2_place_ok(q, s.l1_offset, (uint64_t)s.l1_size * 8)))
        return bad(q, errp, "the L1 table of a snapshot lies outside the file");
    return true;
}

bool qcow2_snapshots_read(Qcow2 *q, GError **errp)
{
    uint64_t offset = q->snapshots_offset;

    q->snapshots = g_array_new(FALSE, TRUE, sizeof(Qcow2Snapshot));
    g_array_set_clear_func(q->snapshots, snapshot_clear);
    for (uint32_t i = 0; i < q->nb_snapshots; i++) {
        if (!read_entry(q, &offset, errp))
            return false;
        if (offset - q->snapshots_offset > QCOW_MAX_SNAPSHOT_TABLE)
            return bad(q, errp, "its snapshot table is larger than 64 MiB");
    }
    if (q->nb_snapshots)
        qcow2_metadata_add(q, q->snapshots_offset, offset - q->snapshots_offset);
    return true;
}

static void put_entry(GByteArray *out, const Qcow2Snapshot *s)
{
    uint8_t fixed[ENTRY_BYTES] = {0}, zeroes[8] = {0};
    uint32_t id_len = (uint32_t)strlen(s->info.id), name_len = (uint32_t)strlen(s->info.name);
    gsize extra_len;
    const void *extra = g_bytes_get_data(s->extra, &extra_len);

    put_be64(fixed, 0, s->l1_offset);
    put_be32(fixed, 8, s->l1_size);
    put_be32(fixed, 12, id_len << 16 | name_len);
    put_be32(fixed, 16, (uint32_t)s->info.date_sec);
    put_be32(fixed, 20, s->info.date_nsec);
    put_be64(fixed, 24, s->info.vm_clock_ns);
    put_be32(fixed, 32, (uint32_t)MIN(s->info.vm_state_size, UINT32_MAX));
    put_be32(fixed, 36, (uint32_t)extra_len);
    g_byte_array_append(out, fixed, sizeof(fixed));
    g_byte_array_append(out, extra, (guint)extra_len);
    g_byte_array_append(out, (const uint8_t *)s->info.id, id_len);
    g_byte_array_append(out, (const uint8_t *)s->info.name, name_len);
    g_byte_array_append(out, zeroes, (8 - out->len % 8) % 8);
}

uint64_t qcow2_snapshot_table_bytes(const Qcow2 *q)
{
    g_autoptr(GByteArray) out = g_byte_array_new();

    for (guint i = 0; i < q->snapshots->len; i++)
        put_entry(out, &g_array_index(q->snapshots, Qcow2Snapshot, i));
    return out->len;
}

/* Writes the list as it is now and switches the header; old_bytes: what the old table took. */
static int write_table(Qcow2 *q, uint64_t old_bytes)
{
    g_autoptr(GByteArray) out = g_byte_array_new();
    uint64_t offset = 0, got, old_offset = q->snapshots_offset;
    uint8_t place[12];
    bool fresh;
    int ret = 0;

    for (guint i = 0; i < q->snapshots->len; i++)
        put_entry(out, &g_array_index(q->snapshots, Qcow2Snapshot, i));
    if (out->len > QCOW_MAX_SNAPSHOT_TABLE)
        return -EFBIG;
    if (out->len) {
        ret = qcow2_alloc(q, out->len, true, &offset, &got, &fresh);
        if (ret == 0)
            ret = block_pwrite(qcow2_file(q), offset, out->data, out->len, 0);
    }
    if (ret == 0)
        ret = qcow2_flush_all(q);
    put_be32(place, 0, q->snapshots->len);
    put_be64(place, 4, offset);
    if (ret == 0)
        ret = qcow2_header_write(q, HDR_NB_SNAPSHOTS, place, sizeof(place));
    if (ret < 0)
        return ret;
    if (old_bytes && q->nb_snapshots) {
        qcow2_metadata_remove(q, old_offset, old_bytes);
        qcow2_free_now(q, old_offset, old_bytes);
    }
    qcow2_metadata_add(q, offset, out->len);
    q->snapshots_offset = offset;
    q->nb_snapshots = q->snapshots->len;
    return 0;
}

/* --- shared trees --- */

static int read_l2(Qcow2 *q, uint64_t entry, uint8_t *table)
{
    uint64_t offset = entry & L1E_OFFSET_MASK;

    if (!qcow2_place_ok(q, offset, q->cluster_size))
        return qcow2_corrupt(q, offset, "an L1 entry points outside the image");
    return block_pread(qcow2_file(q), offset, table, q->cluster_size);
}

static int entry_add(Qcow2 *q, uint64_t entry, int delta)
{
    uint64_t offset, bytes;

    if (entry & QCOW_COMPRESSED) {
        qcow2_compressed_place(q, entry, &offset, &bytes);
        return qcow2_refcount_add(q, offset, bytes, delta);
    }
    offset = entry & L2E_OFFSET_MASK;
    return offset ? qcow2_refcount_add(q, offset, q->cluster_size, delta) : 0;
}

/* One reference more or less to all that a tree points to: what the L2 tables have, then the tables. */
static int tree_add(Qcow2 *q, const uint64_t *l1, uint32_t l1_size, int delta)
{
    g_autofree uint8_t *table = g_malloc(q->cluster_size);

    for (uint32_t i = 0; i < l1_size; i++) {
        int ret = l1[i] & L1E_OFFSET_MASK ? read_l2(q, l1[i], table) : 0;
        if (ret < 0)
            return ret;
        for (uint32_t at = 0; l1[i] & L1E_OFFSET_MASK && at < q->cluster_size; at += q->l2_entry_bytes) {
            ret = entry_add(q, be64_at(table, at), delta);
            if (ret < 0)
                return ret;
        }
        ret = l1[i] & L1E_OFFSET_MASK ? qcow2_refcount_add(q, l1[i] & L1E_OFFSET_MASK, q->cluster_size, delta) : 0;
        if (ret < 0)
            return ret;
    }
    return 0;
}

static int copied_bit(Qcow2 *q, uint64_t entry, uint64_t *out)
{
    uint64_t offset = entry & L2E_OFFSET_MASK, count = 0;
    int ret = 0;

    *out = entry;
    if (entry & QCOW_COMPRESSED || !offset)
        return 0;
    ret = qcow2_refcount_get(q, offset >> q->cluster_bits, &count);
    *out = count == 1 ? entry | QCOW_COPIED : entry & ~QCOW_COPIED;
    return ret;
}

/* COPIED in an L2 table is what the refcounts say. A table that is shared is not touched. */
static int fix_l2(Qcow2 *q, uint64_t l2_offset)
{
    g_autofree uint8_t *table = g_malloc(q->cluster_size);
    bool changed = false;
    uint64_t fixed;
    int ret = read_l2(q, l2_offset, table);

    for (uint32_t at = 0; ret == 0 && at < q->cluster_size; at += q->l2_entry_bytes) {
        uint64_t entry = be64_at(table, at);
        ret = copied_bit(q, entry, &fixed);
        if (fixed != entry)
            changed = true;
        put_be64(table, at, fixed);
    }
    if (ret == 0 && changed)
        ret = block_pwrite(qcow2_file(q), l2_offset & L1E_OFFSET_MASK, table, q->cluster_size, 0);
    return ret;
}

static void drop_l2_cache(Qcow2 *q)
{
    pthread_mutex_lock(&q->tables);
    for (unsigned i = 0; i < q->l2.count; i++) {
        g_assert(!q->l2.slices[i].dirty);
        qcow2_cache_place(&q->l2, &q->l2.slices[i], 0);
    }
    pthread_mutex_unlock(&q->tables);
}

int qcow2_fix_copied(Qcow2 *q)
{
    int ret = qcow2_flush_all(q);

    drop_l2_cache(q);
    for (uint32_t i = 0; i < q->l1_size && ret == 0; i++) {
        uint64_t entry = q->l1[i], fixed;
        if (!(entry & L1E_OFFSET_MASK))
            continue;
        ret = fix_l2(q, entry);
        if (ret == 0)
            ret = copied_bit(q, entry, &fixed);
        if (ret == 0 && fixed != entry)
            qcow2_l1_set(q, i, fixed);
    }
    return ret == 0 ? qcow2_flush_all(q) : ret;
}

/* --- operations --- */

static int find_snapshot(const Qcow2 *q, const char *id_or_name)
{
    for (int pass = 0; pass < 2; pass++) {
        for (guint i = 0; i < q->snapshots->len; i++) {
            const Qcow2Snapshot *s = &g_array_index(q->snapshots, Qcow2Snapshot, i);
            if (strcmp(pass ? s->info.name : s->info.id, id_or_name) == 0)
                return (int)i;
        }
    }
    return -1;
}

static int find_or_error(const Qcow2 *q, const char *id_or_name, GError **errp)
{
    int index = find_snapshot(q, id_or_name);

    if (index < 0)
        error_set(errp, "image '%s' has no snapshot '%s'", q->node.filename, id_or_name);
    return index;
}

GPtrArray *qcow2_snapshot_list(BlockNode *node)
{
    Qcow2 *q = qcow2_of(node);
    GPtrArray *list = g_ptr_array_new_with_free_func(block_snapshot_free);

    for (guint i = 0; i < q->snapshots->len; i++) {
        BlockSnapshot *copy = g_memdup2(&g_array_index(q->snapshots, Qcow2Snapshot, i).info, sizeof(BlockSnapshot));
        copy->id = g_strdup(copy->id);
        copy->name = g_strdup(copy->name);
        g_ptr_array_add(list, copy);
    }
    return list;
}

static char *new_id(const Qcow2 *q)
{
    guint64 highest = 0;

    for (guint i = 0; i < q->snapshots->len; i++)
        highest = MAX(highest, g_ascii_strtoull(g_array_index(q->snapshots, Qcow2Snapshot, i).info.id, NULL, 10));
    return g_strdup_printf("%" G_GUINT64_FORMAT, highest + 1);
}

/* A copy of the active L1 table on disk. */
static int copy_l1(Qcow2 *q, uint64_t *offset)
{
    uint64_t bytes = (uint64_t)q->l1_size * 8, got;
    g_autofree uint64_t *copy = g_new(uint64_t, MAX(q->l1_size, 1));
    bool fresh;
    int ret = qcow2_alloc(q, MAX(bytes, 8), true, offset, &got, &fresh);

    for (uint32_t i = 0; i < q->l1_size; i++)
        copy[i] = htobe64(q->l1[i] & ~QCOW_COPIED);
    return ret == 0 ? block_pwrite(qcow2_file(q), *offset, copy, bytes, 0) : ret;
}

static int create_locked(Qcow2 *q, BlockSnapshot *info)
{
    uint64_t old_bytes = qcow2_snapshot_table_bytes(q);
    uint8_t extra[24];
    Qcow2Snapshot s = {.l1_size = q->l1_size, .info = *info};
    int ret = qcow2_flush_all(q);

    qcow2_apply_freed(q, true);
    if (ret == 0)
        ret = copy_l1(q, &s.l1_offset);
    if (ret == 0)
        ret = tree_add(q, q->l1, q->l1_size, 1);
    if (ret == 0)
        ret = qcow2_fix_copied(q);
    if (ret < 0)
        return ret;
    put_be64(extra, 0, info->vm_state_size);
    put_be64(extra, 8, info->disk_size);
    put_be64(extra, 16, info->icount);
    s.extra = g_bytes_new(extra, sizeof(extra));
    s.info.id = g_strdup(info->id);
    s.info.name = g_strdup(info->name);
    g_array_append_val(q->snapshots, s);
    ret = write_table(q, old_bytes);
    if (ret < 0)
        g_array_set_size(q->snapshots, q->snapshots->len - 1);
    return ret;
}

bool qcow2_snapshot_create(BlockNode *node, BlockSnapshot *snapshot, GError **errp)
{
    Qcow2 *q = qcow2_of(node);
    int ret;

    if (node->read_only)
        return error_set(errp, "image '%s' is read-only", node->filename);
    if (q->snapshots->len >= QCOW_MAX_SNAPSHOTS)
        return error_set(errp, "image '%s' has all the snapshots it can have", node->filename);
    g_free(snapshot->id);
    snapshot->id = new_id(q);
    snapshot->disk_size = block_node_size(node);
    pthread_mutex_lock(&q->lock);
    ret = create_locked(q, snapshot);
    pthread_mutex_unlock(&q->lock);
    return ret == 0 || error_set_errno(errp, -ret, "cannot make a snapshot of '%s'", node->filename);
}

static uint64_t *read_l1(Qcow2 *q, const Qcow2Snapshot *s, int *ret)
{
    uint64_t *l1 = g_new0(uint64_t, MAX(s->l1_size, 1));

    *ret = s->l1_size ? block_pread(qcow2_file(q), s->l1_offset, l1, (uint64_t)s->l1_size * 8) : 0;
    for (uint32_t i = 0; i < s->l1_size; i++)
        l1[i] = be64toh(l1[i]);
    return l1;
}

/* The active table becomes a copy of the snapshot's; what it pointed to loses a reference after that is on disk. */
static int apply_locked(Qcow2 *q, const Qcow2Snapshot *s)
{
    g_autofree uint64_t *old = NULL, *l1 = NULL;
    uint32_t old_size;
    int ret = qcow2_flush_all(q);

    qcow2_apply_freed(q, true);
    if (ret == 0)
        ret = qcow2_l1_grow(q, s->l1_size);
    if (ret < 0)
        return ret;
    l1 = read_l1(q, s, &ret);
    if (ret == 0)
        ret = tree_add(q, l1, s->l1_size, 1);
    if (ret == 0)
        ret = qcow2_flush_all(q);
    if (ret < 0)
        return ret;
    old = g_memdup2(q->l1, (size_t)q->l1_size * 8);
    old_size = q->l1_size;
    drop_l2_cache(q);
    for (uint32_t i = 0; i < q->l1_size; i++) {
        uint64_t entry = i < s->l1_size ? l1[i] & ~QCOW_COPIED : 0;
        if (q->l1[i] & L1E_OFFSET_MASK)
            qcow2_metadata_remove(q, q->l1[i] & L1E_OFFSET_MASK, q->cluster_size);
        if (entry & L1E_OFFSET_MASK)
            qcow2_metadata_add(q, entry & L1E_OFFSET_MASK, q->cluster_size);
        qcow2_l1_set(q, i, entry);
    }
    ret = qcow2_flush_all(q);
    if (ret == 0 && s->info.disk_size != block_node_size(&q->node)) {
        ret = qcow2_header_put64(q, HDR_SIZE, s->info.disk_size);
        block_node_set_size(&q->node, s->info.disk_size);
    }
    if (ret == 0)
        ret = tree_add(q, old, old_size, -1);
    return ret == 0 ? qcow2_fix_copied(q) : ret;
}

static bool l1_suffices(const Qcow2 *q, const Qcow2Snapshot *s, GError **errp)
{
    uint64_t per_l1 = BIT(q->cluster_bits + q->l2_bits);

    if (s->info.disk_size <= BLOCK_MAX_SIZE && (s->info.disk_size + per_l1 - 1) / per_l1 <= s->l1_size)
        return true;
    return error_set(errp, "snapshot '%s' of '%s' is damaged: its L1 table is too small", s->info.id, q->node.filename);
}

bool qcow2_snapshot_apply(BlockNode *node, const char *id_or_name, GError **errp)
{
    Qcow2 *q = qcow2_of(node);
    int index = find_or_error(q, id_or_name, errp), ret;

    if (index < 0)
        return false;
    if (node->read_only)
        return error_set(errp, "image '%s' is read-only", node->filename);
    const Qcow2Snapshot *s = &g_array_index(q->snapshots, Qcow2Snapshot, index);
    if (!l1_suffices(q, s, errp))
        return false;
    pthread_mutex_lock(&q->lock);
    ret = apply_locked(q, s);
    pthread_mutex_unlock(&q->lock);
    return ret == 0 || error_set_errno(errp, -ret, "cannot go back to snapshot '%s' of '%s'", id_or_name, node->filename);
}

static int delete_locked(Qcow2 *q, guint index)
{
    Qcow2Snapshot s = g_array_index(q->snapshots, Qcow2Snapshot, index);
    uint64_t old_bytes = qcow2_snapshot_table_bytes(q);
    g_autofree uint64_t *l1 = NULL;
    int ret = qcow2_flush_all(q);

    qcow2_apply_freed(q, true);
    if (ret < 0)
        return ret;
    l1 = read_l1(q, &s, &ret);
    if (ret < 0)
        return ret;
    g_array_set_clear_func(q->snapshots, NULL);
    g_array_remove_index(q->snapshots, index);
    g_array_set_clear_func(q->snapshots, snapshot_clear);
    ret = write_table(q, old_bytes);
    if (ret < 0) {
        g_array_insert_val(q->snapshots, index, s);
        return ret;
    }
    ret = tree_add(q, l1, s.l1_size, -1);
    if (ret == 0 && s.l1_size)
        qcow2_free_now(q, s.l1_offset, (uint64_t)s.l1_size * 8);
    snapshot_clear(&s);
    return ret == 0 ? qcow2_fix_copied(q) : ret;
}

bool qcow2_snapshot_delete(BlockNode *node, const char *id_or_name, GError **errp)
{
    Qcow2 *q = qcow2_of(node);
    int index = find_or_error(q, id_or_name, errp), ret;

    if (index < 0)
        return false;
    if (node->read_only)
        return error_set(errp, "image '%s' is read-only", node->filename);
    pthread_mutex_lock(&q->lock);
    ret = delete_locked(q, (guint)index);
    pthread_mutex_unlock(&q->lock);
    return ret == 0 || error_set_errno(errp, -ret, "cannot delete snapshot '%s' of '%s'", id_or_name, node->filename);
}

bool qcow2_snapshot_load(BlockNode *node, const char *id_or_name, GError **errp)
{
    Qcow2 *q = qcow2_of(node);
    int index = find_or_error(q, id_or_name, errp), ret;

    g_assert(node->read_only);
    if (index < 0)
        return false;
    const Qcow2Snapshot *s = &g_array_index(q->snapshots, Qcow2Snapshot, index);
    if (!l1_suffices(q, s, errp))
        return false;
    uint64_t *l1 = read_l1(q, s, &ret);
    if (ret < 0) {
        g_free(l1);
        return error_set_errno(errp, -ret, "cannot read snapshot '%s' of '%s'", id_or_name, node->filename);
    }
    pthread_mutex_lock(&q->lock);
    drop_l2_cache(q);
    g_free(q->l1);
    q->l1 = l1;
    q->l1_size = s->l1_size;
    q->l1_offset = s->l1_offset;
    pthread_mutex_unlock(&q->lock);
    block_node_set_size(node, s->info.disk_size);
    return true;
}
