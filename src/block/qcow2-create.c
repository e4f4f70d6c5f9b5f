/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A new image: header, refcount table, refcount blocks, L1 table, in that order from the file's beginning.
 */
#include <errno.h>

#include "core/bits.h"
#include "core/error.h"
#include "src/block/qcow2.h"

#define NAME_BYTES 48u

typedef struct Layout {
    uint32_t cluster_bits, cluster_size, refcount_order, l1_entries;
    bool extl2;
    uint64_t table_clusters, blocks, l1_clusters; /* of refcount table, refcount blocks, L1 table */
} Layout;

static const struct {
    uint8_t type, bit;
    const char *name;
} feature_names[] = {
    {0, 0, "dirty bit"}, {0, 1, "corrupt bit"}, {0, 2, "external data file"}, {0, 3, "compression type"},
    {0, 4, "extended L2 entries"}, {1, 0, "lazy refcounts"}, {2, 0, "bitmaps"}, {2, 1, "raw external data"},
};

static bool check_options(const Qcow2CreateOptions *o, GError **errp)
{
    uint64_t cs = o->cluster_size;

    if (cs < 512 || cs > 2 * MIB || cs & (cs - 1))
        return error_set_code(errp, VMM_ERROR_USAGE, "cluster_size is a power of two from 512 to 2M");
    if (!o->refcount_bits || o->refcount_bits > 64 || o->refcount_bits & (o->refcount_bits - 1))
        return error_set_code(errp, VMM_ERROR_USAGE, "refcount_bits is a power of two from 1 to 64");
    if (!(o->compat & 1) && (o->refcount_bits != 16 || o->lazy_refcounts || o->extended_l2 || o->compression_type))
        return error_set_code(errp, VMM_ERROR_USAGE, "compat=0.10 has neither lazy_refcounts, extended_l2 nor compression_type, "
                              "and 16 refcount_bits; use compat=1.1");
    if (o->extended_l2 && cs < 16384)
        return error_set_code(errp, VMM_ERROR_USAGE, "extended_l2 needs a cluster_size of at least 16K");
    if (o->preallocation != BLOCK_PREALLOC_OFF && o->backing_file && !o->extended_l2)
        return error_set_code(errp, VMM_ERROR_USAGE, "preallocation would hide the backing file; use extended_l2=on with it");
    return true;
}

static bool lay_out(const Qcow2CreateOptions *o, uint64_t size, Layout *l, GError **errp)
{
    *l = (Layout){
        .cluster_bits = (uint32_t)__builtin_ctzll(o->cluster_size),
        .cluster_size = (uint32_t)o->cluster_size,
        .refcount_order = (uint32_t)__builtin_ctz(o->refcount_bits),
        .extl2 = o->extended_l2,
    };
    uint64_t per_l1 = BIT(2 * l->cluster_bits - (l->extl2 ? 4 : 3)), per_block = BIT(l->cluster_bits + 3 - l->refcount_order);
    uint64_t l1_entries = MAX((size + per_l1 - 1) / per_l1, 1);

    if (l1_entries * 8 > QCOW_MAX_L1_BYTES)
        return error_set_code(errp, VMM_ERROR_USAGE, "a disk of this size needs larger clusters; choose a larger cluster_size");
    l->l1_entries = (uint32_t)l1_entries;
    l->l1_clusters = align_up(l1_entries * 8, l->cluster_size) >> l->cluster_bits;
    do {
        l->blocks++;
        l->table_clusters = align_up(l->blocks * 8, l->cluster_size) >> l->cluster_bits;
    } while (l->blocks * per_block < 1 + l->table_clusters + l->blocks + l->l1_clusters);
    return true;
}

static void put_feature_names(GByteArray *out)
{
    uint8_t head[8];

    put_be32(head, 0, EXT_FEATURE_NAMES);
    put_be32(head, 4, NAME_BYTES * G_N_ELEMENTS(feature_names));
    g_byte_array_append(out, head, sizeof(head));
    for (unsigned i = 0; i < G_N_ELEMENTS(feature_names); i++) {
        uint8_t row[NAME_BYTES] = {feature_names[i].type, feature_names[i].bit};
        memcpy(row + 2, feature_names[i].name, MIN(strlen(feature_names[i].name), NAME_BYTES - 2));
        g_byte_array_append(out, row, sizeof(row));
    }
}

static void put_fields(const Qcow2CreateOptions *o, const Layout *l, uint64_t size, uint8_t *h)
{
    put_be32(h, HDR_MAGIC, QCOW2_MAGIC);
    put_be32(h, HDR_VERSION, o->compat & 1 ? 3 : 2);
    put_be32(h, HDR_CLUSTER_BITS, l->cluster_bits);
    put_be64(h, HDR_SIZE, size);
    put_be32(h, HDR_L1_SIZE, l->l1_entries);
    put_be64(h, HDR_L1_OFFSET, (1 + l->table_clusters + l->blocks) << l->cluster_bits);
    put_be64(h, HDR_REFTABLE_OFFSET, l->cluster_size);
    put_be32(h, HDR_REFTABLE_CLUSTERS, (uint32_t)l->table_clusters);
    if (!(o->compat & 1))
        return;
    put_be64(h, HDR_INCOMPATIBLE, (o->compression_type ? QCOW_INCOMPAT_COMPRESSION : 0) | (l->extl2 ? QCOW_INCOMPAT_EXTL2 : 0));
    put_be64(h, HDR_COMPATIBLE, o->lazy_refcounts ? QCOW_COMPAT_LAZY_REFCOUNTS : 0);
    put_be32(h, HDR_REFCOUNT_ORDER, l->refcount_order);
    put_be32(h, HDR_HEADER_LENGTH, HDR_OUR_LENGTH);
    h[HDR_COMPRESSION] = (uint8_t)o->compression_type;
}

/* NULL: it does not fit into one cluster. */
static GByteArray *make_header(const Qcow2CreateOptions *o, const Layout *l, uint64_t size, GError **errp)
{
    GByteArray *out = g_byte_array_new();
    uint8_t fields[HDR_OUR_LENGTH] = {0}, ext[8], zeroes[8] = {0};
    uint32_t name_len = o->backing_file ? (uint32_t)strlen(o->backing_file) : 0;

    put_fields(o, l, size, fields);
    g_byte_array_append(out, fields, o->compat & 1 ? HDR_OUR_LENGTH : HDR_V2_LENGTH);
    if (o->backing_format) {
        uint32_t len = (uint32_t)strlen(o->backing_format);
        put_be32(ext, 0, EXT_BACKING_FORMAT);
        put_be32(ext, 4, len);
        g_byte_array_append(out, ext, sizeof(ext));
        g_byte_array_append(out, (const uint8_t *)o->backing_format, len);
        g_byte_array_append(out, zeroes, (8 - len % 8) % 8);
    }
    if (o->compat & 1 && out->len + 16 + NAME_BYTES * G_N_ELEMENTS(feature_names) + name_len <= l->cluster_size)
        put_feature_names(out);
    g_byte_array_append(out, zeroes, 8); /* EXT_END */
    if (name_len) {
        put_be64(out->data, HDR_BACKING_OFFSET, out->len);
        put_be32(out->data, HDR_BACKING_SIZE, name_len);
        g_byte_array_append(out, (const uint8_t *)o->backing_file, name_len);
    }
    if (name_len <= QCOW_MAX_BACKING_NAME && out->len <= l->cluster_size)
        return out;
    g_byte_array_unref(out);
    error_set(errp, "the name of the backing file is too long for an image");
    return NULL;
}

static int write_refcounts(BlockNode *file, const Layout *l)
{
    uint64_t used = 1 + l->table_clusters + l->blocks + l->l1_clusters, per_block = BIT(l->cluster_bits + 3 - l->refcount_order);
    g_autofree uint8_t *table = g_malloc0(l->table_clusters << l->cluster_bits), *block = g_malloc(l->cluster_size);
    Qcow2 q = {.refcount_order = l->refcount_order};
    int ret = 0;

    for (uint64_t b = 0; b < l->blocks && ret == 0; b++) {
        uint64_t offset = (1 + l->table_clusters + b) << l->cluster_bits;
        memset(block, 0, l->cluster_size);
        for (uint64_t i = b * per_block; i < MIN(used, (b + 1) * per_block); i++)
            qcow2_refcount_put(&q, block, (uint32_t)(i - b * per_block), 1);
        put_be64(table, 8 * b, offset);
        ret = block_pwrite(file, offset, block, l->cluster_size, 0);
    }
    return ret == 0 ? block_pwrite(file, l->cluster_size, table, l->table_clusters << l->cluster_bits, 0) : ret;
}

static int write_l1(BlockNode *file, const Layout *l)
{
    uint64_t offset = (1 + l->table_clusters + l->blocks) << l->cluster_bits;
    g_autofree uint8_t *zeroes = g_malloc0(l->l1_clusters << l->cluster_bits);

    return block_pwrite(file, offset, zeroes, l->l1_clusters << l->cluster_bits, 0);
}

static const Qcow2CreateOptions default_options = {.cluster_size = 65536, .refcount_bits = 16, .compat = 1};

static GByteArray *plan(const Qcow2CreateOptions *o, uint64_t size, Layout *l, GError **errp)
{
    return check_options(o, errp) && lay_out(o, size, l, errp) ? make_header(o, l, size, errp) : NULL;
}

bool qcow2_create_check(const void *options, uint64_t size, GError **errp)
{
    Layout l;
    g_autoptr(GByteArray) header = plan(options ? options : &default_options, align_up(size, BLOCK_SECTOR_SIZE), &l, errp);

    return header != NULL;
}

static bool preallocate(BlockNode *file, uint64_t size, BlockPrealloc mode, GError **errp)
{
    BlockNode *node = block_node_new(&block_driver_qcow2, NULL);

    node = block_node_start(node, block_node_ref(file), BLOCK_OPEN_RDWR | BLOCK_OPEN_NO_BACKING, errp);
    bool ok = node && qcow2_preallocate(qcow2_of(node), 0, size, mode, errp);
    block_node_unref(node);
    return ok;
}

bool qcow2_create(BlockNode *file, const void *options, uint64_t size, GError **errp)
{
    const Qcow2CreateOptions *o = options ? options : &default_options;
    Layout l;
    int ret;

    size = align_up(size, BLOCK_SECTOR_SIZE);
    g_autoptr(GByteArray) header = plan(o, size, &l, errp);
    if (!header)
        return false;
    ret = write_refcounts(file, &l);
    if (ret == 0)
        ret = write_l1(file, &l);
    if (ret == 0)
        ret = block_flush(file);
    if (ret == 0) /* last: until then it is no qcow2 image */
        ret = block_pwrite(file, 0, header->data, header->len, BLOCK_FUA);
    if (ret < 0)
        return error_set_errno(errp, -ret, "cannot write image '%s'", file->filename);
    return o->preallocation == BLOCK_PREALLOC_OFF || preallocate(file, size, (BlockPrealloc)o->preallocation, errp);
}

static const char *const compat_names[] = {"0.10", "1.1", "v2", "v3", NULL};
static const char *const prealloc_names[] = {"off", "metadata", "falloc", "full", NULL};
static const char *const compression_names[] = {"zlib", "zstd", NULL};

const Property qcow2_create_props[] = {
    {"cluster_size", PROP_SIZE, offsetof(Qcow2CreateOptions, cluster_size), "64K", "512 to 2M"},
    {"compat", PROP_ENUM, offsetof(Qcow2CreateOptions, compat), "1.1", "0.10, v2: version 2", compat_names},
    {"refcount_bits", PROP_U32, offsetof(Qcow2CreateOptions, refcount_bits), "16", "width of a refcount"},
    {"lazy_refcounts", PROP_BOOL, offsetof(Qcow2CreateOptions, lazy_refcounts), "off", "others may postpone refcounts"},
    {"extended_l2", PROP_BOOL, offsetof(Qcow2CreateOptions, extended_l2), "off", "allocate 1/32 of a cluster at a time"},
    {"compression_type", PROP_ENUM, offsetof(Qcow2CreateOptions, compression_type), "zlib", "of compressed clusters",
     compression_names},
    {"preallocation", PROP_ENUM, offsetof(Qcow2CreateOptions, preallocation), "off", "clusters for the whole disk at once", prealloc_names},
    {"backing_file", PROP_STRING, offsetof(Qcow2CreateOptions, backing_file), NULL, "what shows where nothing was written"},
    {"backing_fmt", PROP_STRING, offsetof(Qcow2CreateOptions, backing_format), NULL, "its format"},
    {.name = NULL},
};
