/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The header: fixed fields, extensions, the backing file's name; all of it in the first cluster.
 *
 * Nothing in it is believed: sizes are bounded before anything is allocated by them, places are checked to be aligned
 * and inside the file.
 */
#include <errno.h>

#include "core/bits.h"
#include "core/error.h"
#include "src/block/qcow2.h"

#define KNOWN_INCOMPATIBLE (QCOW_INCOMPAT_DIRTY | QCOW_INCOMPAT_CORRUPT | QCOW_INCOMPAT_COMPRESSION | QCOW_INCOMPAT_EXTL2)
#define FEATURE_NAME_BYTES 48u

bool qcow2_place_ok(Qcow2 *q, uint64_t offset, uint64_t bytes)
{
    uint64_t size = align_up(block_node_size(qcow2_file(q)), q->cluster_size);

    return offset && !qcow2_in_cluster(q, offset) && range_ok(offset, bytes, size);
}

int qcow2_header_write(Qcow2 *q, size_t at, const void *data, size_t len)
{
    int ret = block_pwrite(qcow2_file(q), at, data, len, 0);

    return ret == 0 ? block_flush(qcow2_file(q)) : ret;
}

int qcow2_header_put32(Qcow2 *q, size_t at, uint32_t value)
{
    value = htobe32(value);
    return qcow2_header_write(q, at, &value, sizeof(value));
}

int qcow2_header_put64(Qcow2 *q, size_t at, uint64_t value)
{
    value = htobe64(value);
    return qcow2_header_write(q, at, &value, sizeof(value));
}

int qcow2_corrupt(Qcow2 *q, uint64_t offset, const char *what)
{
    bool first = !block_node_is_corrupt(&q->node);

    block_node_set_corrupt(&q->node, offset, "%s", what);
    if (first && !q->node.read_only && q->version >= 3) {
        q->incompatible |= QCOW_INCOMPAT_CORRUPT;
        qcow2_header_put64(q, HDR_INCOMPATIBLE, q->incompatible); /* if this fails too, it is still read-only here */
    }
    return -EIO;
}

static bool bad(Qcow2 *q, GError **errp, const char *what)
{
    return error_set(errp, "image '%s' is not a valid qcow2 image: %s", q->node.filename, what);
}

/* --- extensions --- */

/* The name the image itself gives an incompatible feature bit, or its number. */
static char *feature_name(const uint8_t *table, uint32_t len, unsigned bit)
{
    for (uint32_t at = 0; table && at + FEATURE_NAME_BYTES <= len; at += FEATURE_NAME_BYTES) {
        if (table[at] == 0 && table[at + 1] == bit) {
            g_autofree char *raw = g_strndup((const char *)table + at + 2, FEATURE_NAME_BYTES - 2);
            return g_str_to_ascii(raw, "C");
        }
    }
    return g_strdup_printf("feature bit %u", bit);
}

static bool check_features(Qcow2 *q, const uint8_t *names, uint32_t names_len, GError **errp)
{
    uint64_t unknown = q->incompatible & ~(uint64_t)KNOWN_INCOMPATIBLE;

    if (q->incompatible & QCOW_INCOMPAT_DATA_FILE)
        return error_set(errp, "image '%s' keeps its data in an external file, which is not supported; convert it with the "
                         "program that made it", q->node.filename);
    if (!unknown)
        return true;
    g_autofree char *name = feature_name(names, names_len, (unsigned)__builtin_ctzll(unknown));
    return error_set(errp, "image '%s' needs the feature '%s', which is not supported; convert it with the program that "
                     "made it", q->node.filename, name);
}

static bool read_extensions(Qcow2 *q, const uint8_t *head, size_t head_len, GError **errp)
{
    uint64_t at = q->header_length;
    const uint8_t *names = NULL;
    uint32_t names_len = 0;

    while (at + 8 <= head_len) {
        uint32_t type = be32_at(head, at), len = be32_at(head, at + 4);
        const uint8_t *data = head + at + 8;
        if (type == EXT_END)
            break;
        if (!range_ok(at + 8, len, head_len))
            return bad(q, errp, "a header extension reaches beyond the first cluster");
        if (type == EXT_BACKING_FORMAT && len < 32) {
            g_free(q->backing_format);
            q->backing_format = g_strndup((const char *)data, len);
        } else if (type == EXT_FEATURE_NAMES) {
            names = data;
            names_len = len;
        } else if (type == EXT_ENCRYPTION) {
            return error_set(errp, "image '%s' is encrypted, which is not supported", q->node.filename);
        } else if (type == EXT_BITMAPS) {
            q->has_bitmaps = true;
        }
        at += 8 + align_up(len, 8);
    }
    return check_features(q, names, names_len, errp);
}

/* --- fields --- */

static bool read_version_fields(Qcow2 *q, const uint8_t *head, GError **errp)
{
    q->refcount_order = 4;
    q->header_length = HDR_V2_LENGTH;
    if (q->version == 2)
        return true;
    q->incompatible = be64_at(head, HDR_INCOMPATIBLE);
    q->compatible = be64_at(head, HDR_COMPATIBLE);
    q->autoclear = be64_at(head, HDR_AUTOCLEAR);
    q->refcount_order = be32_at(head, HDR_REFCOUNT_ORDER);
    q->header_length = be32_at(head, HDR_HEADER_LENGTH);
    if (q->header_length < HDR_V3_LENGTH || q->header_length > q->cluster_size || q->header_length % 8)
        return bad(q, errp, "its header has an impossible length");
    if (q->refcount_order > 6)
        return bad(q, errp, "its refcounts are wider than 64 bits");
    q->compression = q->header_length > HDR_COMPRESSION ? head[HDR_COMPRESSION] : 0;
    if (q->compression > QCOW_COMPRESSION_ZSTD || !q->compression != !(q->incompatible & QCOW_INCOMPAT_COMPRESSION))
        return error_set(errp, "image '%s' uses compression type %u, which is not supported", q->node.filename, q->compression);
    return true;
}

static void work_out(Qcow2 *q)
{
    q->extl2 = q->incompatible & QCOW_INCOMPAT_EXTL2;
    q->l2_entry_bytes = q->extl2 ? 16 : 8;
    q->l2_bits = q->cluster_bits - (q->extl2 ? 4 : 3);
    q->unit_size = q->extl2 ? q->cluster_size / QCOW_SUBCLUSTERS : q->cluster_size;
    q->refblock_bits = q->cluster_bits + 3 - q->refcount_order;
}

static bool read_tables_fields(Qcow2 *q, const uint8_t *head, GError **errp)
{
    uint64_t size = be64_at(head, HDR_SIZE), reftable_bytes;
    uint64_t per_l1 = BIT(q->cluster_bits + q->l2_bits);

    q->l1_size = be32_at(head, HDR_L1_SIZE);
    q->l1_offset = be64_at(head, HDR_L1_OFFSET);
    q->reftable_offset = be64_at(head, HDR_REFTABLE_OFFSET);
    reftable_bytes = (uint64_t)be32_at(head, HDR_REFTABLE_CLUSTERS) << q->cluster_bits;
    q->nb_snapshots = be32_at(head, HDR_NB_SNAPSHOTS);
    q->snapshots_offset = be64_at(head, HDR_SNAPSHOTS_OFFSET);
    if (size > BLOCK_MAX_SIZE)
        return bad(q, errp, "its disk is larger than 8 EiB");
    if ((uint64_t)q->l1_size * 8 > QCOW_MAX_L1_BYTES)
        return bad(q, errp, "its L1 table is larger than 32 MiB");
    if (size && (size - 1) / per_l1 >= q->l1_size)
        return bad(q, errp, "its L1 table is too small for its disk");
    if (q->l1_size && !qcow2_place_ok(q, q->l1_offset, (uint64_t)q->l1_size * 8))
        return bad(q, errp, "its L1 table lies outside the file");
    if (!reftable_bytes || reftable_bytes > QCOW_MAX_REFTABLE_BYTES)
        return bad(q, errp, "its refcount table is missing or larger than 8 MiB");
    if (!qcow2_place_ok(q, q->reftable_offset, reftable_bytes))
        return bad(q, errp, "its refcount table lies outside the file");
    if (q->nb_snapshots > QCOW_MAX_SNAPSHOTS)
        return bad(q, errp, "it has more than 65536 snapshots");
    if (q->nb_snapshots && !qcow2_place_ok(q, q->snapshots_offset, 1))
        return bad(q, errp, "its snapshot table lies outside the file");
    q->reftable_entries = (uint32_t)(reftable_bytes / 8);
    block_node_set_size(&q->node, size);
    return true;
}

static bool read_backing_name(Qcow2 *q, const uint8_t *head, size_t head_len, GError **errp)
{
    uint64_t offset = be64_at(head, HDR_BACKING_OFFSET);
    uint32_t len = be32_at(head, HDR_BACKING_SIZE);

    if (!offset)
        return true;
    if (len > QCOW_MAX_BACKING_NAME || offset < q->header_length || !range_ok(offset, len, head_len))
        return bad(q, errp, "the name of its backing file lies outside the first cluster");
    if (len)
        q->backing_file = g_strndup((const char *)head + offset, len);
    return true;
}

bool qcow2_header_read(Qcow2 *q, GError **errp)
{
    uint8_t fixed[HDR_OUR_LENGTH] = {0};
    uint64_t file_size = block_node_size(qcow2_file(q));
    int ret = file_size >= HDR_V2_LENGTH ? block_pread(qcow2_file(q), 0, fixed, MIN(file_size, sizeof(fixed))) : 0;

    if (ret < 0)
        return error_set_errno(errp, -ret, "cannot read the header of '%s'", q->node.filename);
    if (be32_at(fixed, HDR_MAGIC) != QCOW2_MAGIC)
        return error_set(errp, "image '%s' is not in qcow2 format; give the format it has, format=raw for a plain disk image",
                         q->node.filename);
    q->version = be32_at(fixed, HDR_VERSION);
    if (q->version != 2 && q->version != 3)
        return error_set(errp, "image '%s' has qcow version %u; 2 and 3 are supported", q->node.filename, q->version);
    q->cluster_bits = be32_at(fixed, HDR_CLUSTER_BITS);
    if (q->cluster_bits < QCOW_MIN_CLUSTER_BITS || q->cluster_bits > QCOW_MAX_CLUSTER_BITS)
        return bad(q, errp, "its clusters are smaller than 512 bytes or larger than 2 MiB");
    q->cluster_size = 1u << q->cluster_bits;
    if (be32_at(fixed, HDR_CRYPT))
        return error_set(errp, "image '%s' is encrypted, which is not supported", q->node.filename);
    if (!read_version_fields(q, fixed, errp))
        return false;

    size_t head_len = (size_t)MIN(file_size, q->cluster_size);
    g_autofree uint8_t *head = g_malloc(head_len);
    ret = block_pread(qcow2_file(q), 0, head, head_len);
    if (ret < 0)
        return error_set_errno(errp, -ret, "cannot read the header of '%s'", q->node.filename);
    if (!read_extensions(q, head, head_len, errp))
        return false;
    work_out(q);
    if (q->extl2 && q->cluster_bits < 14)
        return bad(q, errp, "extended L2 entries need clusters of at least 16 KiB");
    return read_tables_fields(q, head, errp) && read_backing_name(q, head, head_len, errp);
}

/* --- the backing file's name --- */

static void put_extension(GByteArray *out, uint32_t type, const void *data, uint32_t len)
{
    uint8_t head[8], zeroes[8] = {0};

    put_be32(head, 0, type);
    put_be32(head, 4, len);
    g_byte_array_append(out, head, sizeof(head));
    g_byte_array_append(out, data, len);
    g_byte_array_append(out, zeroes, (8 - len % 8) % 8);
}

/* All but the old backing format, as they are. */
static void copy_extensions(const Qcow2 *q, const uint8_t *head, GByteArray *out)
{
    uint64_t at = q->header_length;

    while (at + 8 <= q->cluster_size) {
        uint32_t type = be32_at(head, at), len = be32_at(head, at + 4);
        if (type == EXT_END || !range_ok(at + 8, len, q->cluster_size))
            return;
        if (type != EXT_BACKING_FORMAT)
            put_extension(out, type, head + at + 8, len);
        at += 8 + align_up(len, 8);
    }
}

bool qcow2_header_set_backing(Qcow2 *q, const char *filename, const char *format, GError **errp)
{
    g_autofree uint8_t *head = g_malloc0(q->cluster_size);
    g_autoptr(GByteArray) out = g_byte_array_new();
    size_t name_len = filename ? strlen(filename) : 0, name_at;
    int ret = block_pread(qcow2_file(q), 0, head, MIN(q->cluster_size, block_node_size(qcow2_file(q))));

    if (ret < 0)
        return error_set_errno(errp, -ret, "cannot read the header of '%s'", q->node.filename);
    g_byte_array_append(out, head, q->header_length);
    if (filename && format)
        put_extension(out, EXT_BACKING_FORMAT, format, (uint32_t)strlen(format));
    copy_extensions(q, head, out);
    put_extension(out, EXT_END, NULL, 0);
    name_at = out->len;
    if (name_len > QCOW_MAX_BACKING_NAME || name_at + name_len > q->cluster_size)
        return error_set(errp, "the name of the backing file is too long for the header of '%s'", q->node.filename);
    g_byte_array_append(out, (const uint8_t *)filename, (guint)name_len);
    put_be64(out->data, HDR_BACKING_OFFSET, name_len ? name_at : 0);
    put_be32(out->data, HDR_BACKING_SIZE, (uint32_t)name_len);
    ret = qcow2_header_write(q, 0, out->data, out->len);
    if (ret < 0)
        return error_set_errno(errp, -ret, "cannot write the header of '%s'", q->node.filename);
    g_free(q->backing_file);
    g_free(q->backing_format);
    q->backing_file = g_strdup(filename);
    q->backing_format = g_strdup(filename ? format : NULL);
    return true;
}

/* The extensions and the name move behind the longer header. */
int qcow2_header_upgrade(Qcow2 *q)
{
    g_autofree uint8_t *head = g_malloc0(q->cluster_size);
    g_autoptr(GByteArray) out = g_byte_array_new();
    uint8_t fields[HDR_OUR_LENGTH] = {0};
    size_t name_len = q->backing_file ? strlen(q->backing_file) : 0;
    int ret = block_pread(qcow2_file(q), 0, head, MIN(q->cluster_size, block_node_size(qcow2_file(q))));

    if (ret < 0)
        return ret;
    memcpy(fields, head, HDR_V2_LENGTH);
    put_be32(fields, HDR_VERSION, 3);
    put_be32(fields, HDR_REFCOUNT_ORDER, q->refcount_order);
    put_be32(fields, HDR_HEADER_LENGTH, sizeof(fields));
    g_byte_array_append(out, fields, sizeof(fields));
    if (q->backing_format)
        put_extension(out, EXT_BACKING_FORMAT, q->backing_format, (uint32_t)strlen(q->backing_format));
    copy_extensions(q, head, out);
    put_extension(out, EXT_END, NULL, 0);
    put_be64(out->data, HDR_BACKING_OFFSET, name_len ? out->len : 0);
    g_byte_array_append(out, (const uint8_t *)q->backing_file, (guint)name_len);
    if (out->len > q->cluster_size)
        return -EFBIG;
    ret = qcow2_header_write(q, 0, out->data, out->len);
    if (ret == 0) {
        q->version = 3;
        q->header_length = sizeof(fields);
    }
    return ret;
}
