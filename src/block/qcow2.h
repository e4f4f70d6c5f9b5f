/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * qcow2, between its files. The format is specified in QEMU's docs/interop/qcow2.txt, whose terms are used here.
 *
 *   qcow2.c             the driver: reads, writes, zeroes, discard, flush
 *   qcow2-header.c      header and extensions: parsing, checks, feature bits
 *   qcow2-create.c      a new image
 *   qcow2-map.c         guest offset to host offset: L1 and L2 tables
 *   qcow2-alloc.c       refcounts: allocation, deferred freeing
 *   qcow2-cache.c       slices of L2 tables and refcount blocks in memory
 *   qcow2-flush.c       the order in which metadata reaches the disk
 *   qcow2-write.c       writes that allocate
 *   qcow2-compressed.c  compressed clusters
 *   qcow2-snapshot.c    the snapshot table
 *   qcow2-size.c        another size, preallocation, emptying
 *   qcow2-amend.c       options of creation, changed later
 *   qcow2-check.c       consistency check and repair
 *
 * What makes any moment a good one for a power cut. A disk may keep any part of the writes since the last
 * completed flush. Two rules hold for what is on it:
 *
 *     a cluster's refcount is at least the number of references to it     (a leak is the worst)
 *     what a reference points to was on disk before the reference
 *
 *     flush:  1. refcount blocks (which only grew since then), data, first contents of new L2 tables;   fdatasync
 *             2. L2 tables, L1 entries;                                                                 fdatasync
 *             3. what step 2 stopped pointing at may be freed: refcounts go down, to be written by the next step 1
 *
 * Whoever must write an L2 slice for lack of memory does step 1 first. A new refcount block is on disk before its entry in
 * the refcount table.
 *
 * Reuse. A request that found a host offset (map) may still be transferring when the cluster is freed. It holds the epoch
 * it began in; clusters freed in an epoch are allocated again only when no request of it or an earlier one is left.
 *
 * Locking, in this order:
 *     guest ranges   (range_lock) a write that allocates, zeroes or discards owns its clusters' guest range
 *     q->lock        all metadata; held over metadata I/O, never over guest data
 *     q->tables      what map() looks at without blocking: the L2 cache's directory and entries, epochs. A leaf, held for
 *                    no I/O. L1 entries are read atomically.
 */
#ifndef SRC_BLOCK_QCOW2_H
#define SRC_BLOCK_QCOW2_H

#include <endian.h>
#include <string.h>

#include "src/block/block-int.h"
#include "src/block/range-lock.h"

#define QCOW2_MAGIC 0x514649fbu /* "QFI\xfb" */

#define L1E_OFFSET_MASK 0x00fffffffffffe00ull
#define L2E_OFFSET_MASK 0x00fffffffffffe00ull
#define QCOW_COPIED (1ull << 63)     /* refcount is exactly 1 */
#define QCOW_COMPRESSED (1ull << 62)
#define QCOW_ZERO (1ull << 0)

enum { /* incompatible_features */
    QCOW_INCOMPAT_DIRTY = 1 << 0,
    QCOW_INCOMPAT_CORRUPT = 1 << 1,
    QCOW_INCOMPAT_DATA_FILE = 1 << 2,
    QCOW_INCOMPAT_COMPRESSION = 1 << 3,
    QCOW_INCOMPAT_EXTL2 = 1 << 4,
};
enum { QCOW_COMPAT_LAZY_REFCOUNTS = 1 << 0 };
enum { QCOW_COMPRESSION_ZLIB, QCOW_COMPRESSION_ZSTD };

#define QCOW_MIN_CLUSTER_BITS 9u
#define QCOW_MAX_CLUSTER_BITS 21u
#define QCOW_MAX_L1_BYTES (32u << 20)
#define QCOW_MAX_REFTABLE_BYTES (8u << 20)
#define QCOW_MAX_SNAPSHOTS 65536u
#define QCOW_MAX_SNAPSHOT_TABLE (64u << 20)
#define QCOW_MAX_BACKING_NAME 1023u
#define QCOW_SUBCLUSTERS 32u

/* Byte positions in the header. */
enum {
    HDR_MAGIC = 0, HDR_VERSION = 4, HDR_BACKING_OFFSET = 8, HDR_BACKING_SIZE = 16, HDR_CLUSTER_BITS = 20, HDR_SIZE = 24,
    HDR_CRYPT = 32, HDR_L1_SIZE = 36, HDR_L1_OFFSET = 40, HDR_REFTABLE_OFFSET = 48, HDR_REFTABLE_CLUSTERS = 56,
    HDR_NB_SNAPSHOTS = 60, HDR_SNAPSHOTS_OFFSET = 64, HDR_INCOMPATIBLE = 72, HDR_COMPATIBLE = 80, HDR_AUTOCLEAR = 88,
    HDR_REFCOUNT_ORDER = 96, HDR_HEADER_LENGTH = 100, HDR_COMPRESSION = 104,
    HDR_V2_LENGTH = 72, HDR_V3_LENGTH = 104, HDR_OUR_LENGTH = 112,
};
enum {
    EXT_END = 0, EXT_BACKING_FORMAT = 0xe2792aca, EXT_FEATURE_NAMES = 0x6803f857, EXT_BITMAPS = 0x23852875,
    EXT_ENCRYPTION = 0x0537be77, EXT_DATA_FILE = 0x44415441,
};

static inline uint32_t be32_at(const void *p, size_t at)
{
    uint32_t v;
    memcpy(&v, (const char *)p + at, sizeof(v));
    return be32toh(v);
}

static inline uint64_t be64_at(const void *p, size_t at)
{
    uint64_t v;
    memcpy(&v, (const char *)p + at, sizeof(v));
    return be64toh(v);
}

static inline void put_be32(void *p, size_t at, uint32_t v)
{
    v = htobe32(v);
    memcpy((char *)p + at, &v, sizeof(v));
}

static inline void put_be64(void *p, size_t at, uint64_t v)
{
    v = htobe64(v);
    memcpy((char *)p + at, &v, sizeof(v));
}

/* --- qcow2-cache.c --- */

typedef struct Qcow2Slice {
    uint64_t offset; /* in the file; 0: unused */
    uint8_t *data;
    uint64_t used;   /* when last, in gets of its cache */
    bool dirty;
} Qcow2Slice;

typedef struct Qcow2Cache {
    GHashTable *by_offset; /* of Qcow2Slice */
    Qcow2Slice *slices;
    unsigned count, max;
    uint32_t slice_bytes;
    uint64_t clock;
    unsigned dirty;
} Qcow2Cache;

/* A run of host clusters, or of 512-byte sectors of compressed data, whose references are gone. */
typedef struct Qcow2Free {
    uint64_t offset, bytes;
    bool discard; /* tell the file */
} Qcow2Free;

typedef struct Qcow2Snapshot {
    BlockSnapshot info;
    uint64_t l1_offset;
    uint32_t l1_size;
    GBytes *extra; /* the whole extra data, kept as it is */
} Qcow2Snapshot;

typedef struct Qcow2 {
    BlockNode node;
    /* Options. */
    uint64_t l2_cache_bytes, refcount_cache_bytes;

    /* The header, as it is on disk. */
    uint32_t version, cluster_bits, cluster_size, refcount_order, header_length;
    uint64_t incompatible, compatible, autoclear;
    uint32_t l1_size;
    uint64_t l1_offset;
    uint64_t reftable_offset;
    uint32_t reftable_entries; /* of 8 bytes */
    uint64_t snapshots_offset;
    uint32_t nb_snapshots;
    uint8_t compression;
    char *backing_file, *backing_format;
    bool has_bitmaps;

    /* Worked out. */
    bool extl2;
    uint32_t l2_entry_bytes, l2_bits;   /* entries in an L2 table: 1 << l2_bits */
    uint32_t unit_size;                 /* what is mapped by itself: a cluster, or a subcluster */
    uint32_t refblock_bits;             /* refcounts in a block: 1 << refblock_bits */

    pthread_mutex_t lock; /* guards what follows, up to tables */
    uint64_t *l1;         /* host order; entries are read atomically without the lock */
    GArray *l1_dirty;     /* of uint32_t: sectors of the L1 table */
    uint64_t *reftable;   /* host order */
    Qcow2Cache refcounts;
    uint64_t free_hint;   /* no free cluster lies below */
    uint64_t end_cluster; /* nothing was ever written from here on */
    GHashTable *metadata; /* clusters of header, tables and blocks: guest data must not go there */
    uint64_t compressed_at; /* where the next compressed cluster may begin; 0: in a new one */
    GArray *freed;        /* of Qcow2Free: dereferenced in memory */
    GArray *freed_waiting; /* dereferenced on disk, in the epoch that is ending */
    GArray *snapshots;    /* of Qcow2Snapshot */

    pthread_mutex_t tables; /* a leaf; guards what follows */
    Qcow2Cache l2;          /* changes under both locks */
    bool l2_unsynced;       /* entries were written after the last fdatasync */
    unsigned epoch;         /* 0 or 1 */
    unsigned holds[2];

    RangeLock guest;
} Qcow2;

static inline Qcow2 *qcow2_of(BlockNode *node)
{
    return (Qcow2 *)node;
}

static inline BlockNode *qcow2_file(Qcow2 *q)
{
    return q->node.file;
}

static inline uint64_t qcow2_in_cluster(const Qcow2 *q, uint64_t offset)
{
    return offset & (q->cluster_size - 1);
}

static inline uint64_t qcow2_cluster_start(const Qcow2 *q, uint64_t offset)
{
    return offset & ~(uint64_t)(q->cluster_size - 1);
}

static inline uint64_t qcow2_clusters(const Qcow2 *q, uint64_t bytes)
{
    return (bytes + q->cluster_size - 1) >> q->cluster_bits;
}

void qcow2_cache_init(Qcow2Cache *cache, uint64_t bytes, uint32_t slice_bytes);
void qcow2_cache_release(Qcow2Cache *cache);
Qcow2Slice *qcow2_cache_find(const Qcow2Cache *cache, uint64_t offset);
/* The slice to load offset into: unused, or the one used longest ago, which may be dirty. */
Qcow2Slice *qcow2_cache_victim(Qcow2Cache *cache);
/* Gives the slice another place in the directory; offset 0: none. Its data is the caller's to fill before. */
void qcow2_cache_place(Qcow2Cache *cache, Qcow2Slice *slice, uint64_t offset);
void qcow2_cache_set_dirty(Qcow2Cache *cache, Qcow2Slice *slice, bool dirty);

/* --- qcow2-header.c --- */

bool qcow2_header_read(Qcow2 *q, GError **errp);
/* Writes one feature field or pointer of the header and waits until it is on disk. 0 or -errno. */
int qcow2_header_put32(Qcow2 *q, size_t at, uint32_t value);
int qcow2_header_put64(Qcow2 *q, size_t at, uint64_t value);
int qcow2_header_write(Qcow2 *q, size_t at, const void *data, size_t len);
/* Writes the extensions and the backing file's name anew. */
bool qcow2_header_set_backing(Qcow2 *q, const char *filename, const char *format, GError **errp);
/* Version 2 to 3. 0 or -errno. */
int qcow2_header_upgrade(Qcow2 *q);
/* The image contradicts itself: no more writes, and the header says so. q->lock held. */
int qcow2_corrupt(Qcow2 *q, uint64_t offset, const char *what);
/* A table's place as the header or an entry gives it: aligned, inside the file. */
bool qcow2_place_ok(Qcow2 *q, uint64_t offset, uint64_t bytes);

/* --- qcow2-map.c --- */

typedef enum Qcow2Kind {
    Q_UNALLOCATED, /* the backing file decides */
    Q_ZERO,
    Q_DATA,
    Q_COMPRESSED,
    Q_INVALID,
} Qcow2Kind;

/* What a guest range maps to: bytes of one kind, Q_DATA contiguous in the file. */
typedef struct Qcow2Map {
    Qcow2Kind kind;
    uint64_t bytes;
    uint64_t host;   /* Q_DATA: of the first byte. Q_COMPRESSED: the L2 entry. Others: the host cluster kept, or 0 */
    bool copied;     /* the host cluster is this image's alone */
} Qcow2Map;

/* From the L2 cache alone; false: not cached. q->tables held. */
bool qcow2_map_cached(Qcow2 *q, uint64_t offset, uint64_t bytes, Qcow2Map *out);
/* q->lock held. */
int qcow2_map_locked(Qcow2 *q, uint64_t offset, uint64_t bytes, Qcow2Map *out);
/* The L2 entry of the cluster that holds offset; bitmap is 0 without extended L2. q->lock held. */
int qcow2_entry_get(Qcow2 *q, uint64_t offset, uint64_t *entry, uint64_t *bitmap);
/* Makes the L2 table this image's own if need be. q->lock held. */
int qcow2_entry_set(Qcow2 *q, uint64_t offset, uint64_t entry, uint64_t bitmap);
/* An L2 table for offset that may be written; so that entry_set fails no more for lack of space. q->lock held. */
int qcow2_entry_prepare(Qcow2 *q, uint64_t offset);
/* Sets L1 entry index, in memory; qcow2_flush_metadata writes it. q->lock held. */
void qcow2_l1_set(Qcow2 *q, uint32_t index, uint64_t entry);
/* A larger or equal L1 table, elsewhere. q->lock held, the node drained. */
int qcow2_l1_grow(Qcow2 *q, uint64_t entries);
/* The slice of an L2 table; q->lock held. */
int qcow2_l2_slice(Qcow2 *q, uint64_t l2_offset, uint32_t index, Qcow2Slice **out);

/* --- qcow2-alloc.c; q->lock held --- */

int qcow2_refcount_get(Qcow2 *q, uint64_t cluster, uint64_t *out);
/* Adds delta to each refcount of the run; refuses to wrap. */
int qcow2_refcount_add(Qcow2 *q, uint64_t offset, uint64_t bytes, int delta);
/* Free clusters in a row, at least one and at most bytes' worth, now with refcount 1; *fresh: they read as zeroes.
 * exact: all of bytes. */
int qcow2_alloc(Qcow2 *q, uint64_t bytes, bool exact, uint64_t *offset, uint64_t *got, bool *fresh);
/* The reference is gone in memory: the refcount goes down when that is so on disk too. */
void qcow2_free_later(Qcow2 *q, uint64_t offset, uint64_t bytes, bool discard);
/* Never referenced anywhere: at once. */
void qcow2_free_now(Qcow2 *q, uint64_t offset, uint64_t bytes);
/* What the old L2 entry held. */
void qcow2_free_entry(Qcow2 *q, uint64_t entry, bool discard);
/* After step 2 of a flush: lowers the refcounts that may go down. all: nobody else uses the image. */
void qcow2_apply_freed(Qcow2 *q, bool all);
int qcow2_refblock(Qcow2 *q, uint64_t cluster, Qcow2Slice **out, uint32_t *index);
uint64_t qcow2_refcount_in(const Qcow2 *q, const uint8_t *block, uint32_t index);
void qcow2_refcount_put(const Qcow2 *q, uint8_t *block, uint32_t index, uint64_t value);

void qcow2_metadata_add(Qcow2 *q, uint64_t offset, uint64_t bytes);
void qcow2_metadata_remove(Qcow2 *q, uint64_t offset, uint64_t bytes);
bool qcow2_is_metadata(Qcow2 *q, uint64_t offset, uint64_t bytes);

/* --- qcow2-flush.c; q->lock held --- */

/* Refcounts may reach the disk early: a count too high is a leak. */
int qcow2_write_refcounts(Qcow2 *q);
/* Steps 1 and 2 without the last fdatasync; nothing if no L2 or L1 entry is dirty. */
int qcow2_write_metadata(Qcow2 *q);
/* All three steps. */
int qcow2_flush_all(Qcow2 *q);

/* --- epochs; any thread, takes q->tables --- */

unsigned qcow2_hold(Qcow2 *q);
void qcow2_release_hold(Qcow2 *q, unsigned epoch);

/* --- qcow2-write.c --- */

int qcow2_write(Qcow2 *q, uint64_t offset, uint64_t bytes, const struct iovec *iov, int iovcnt);
int qcow2_zero(Qcow2 *q, uint64_t offset, uint64_t bytes, bool unmap);
int qcow2_discard_range(Qcow2 *q, uint64_t offset, uint64_t bytes);
int qcow2_write_compressed(Qcow2 *q, uint64_t offset, uint64_t bytes, const struct iovec *iov, int iovcnt);

/* --- qcow2-compressed.c --- */

/* The whole guest cluster an L2 entry describes, into buf. Without q->lock; the caller holds an epoch. */
int qcow2_decompress(Qcow2 *q, uint64_t entry, uint8_t *buf);
/* Where its bytes lie in the file. */
void qcow2_compressed_place(const Qcow2 *q, uint64_t entry, uint64_t *offset, uint64_t *bytes);
/* A cluster into at most cluster_size - 1 bytes; the length, or 0 if it does not get smaller. */
size_t qcow2_compress(const Qcow2 *q, const uint8_t *cluster, uint8_t *out);

/* --- qcow2-snapshot.c, qcow2-check.c, qcow2-create.c --- */

bool qcow2_snapshots_read(Qcow2 *q, GError **errp);
void qcow2_snapshots_release(Qcow2 *q);
uint64_t qcow2_snapshot_table_bytes(const Qcow2 *q);
/* The COPIED flags of the active tables as the refcounts say. q->lock held, the node drained. */
int qcow2_fix_copied(Qcow2 *q);
GPtrArray *qcow2_snapshot_list(BlockNode *node);
bool qcow2_snapshot_create(BlockNode *node, BlockSnapshot *snapshot, GError **errp);
bool qcow2_snapshot_apply(BlockNode *node, const char *id_or_name, GError **errp);
bool qcow2_snapshot_delete(BlockNode *node, const char *id_or_name, GError **errp);
bool qcow2_snapshot_load(BlockNode *node, const char *id_or_name, GError **errp);
bool qcow2_check(BlockNode *node, BlockCheck *result, unsigned fix, GError **errp);
bool qcow2_create(BlockNode *file, const void *options, uint64_t size, GError **errp);
bool qcow2_create_check(const void *options, uint64_t size, GError **errp);

typedef struct Qcow2CreateOptions {
    uint64_t cluster_size;
    uint32_t refcount_bits;
    int compat; /* even: v2, odd: v3 */
    bool lazy_refcounts, extended_l2;
    int compression_type;
    int preallocation; /* BlockPrealloc */
    char *backing_file, *backing_format;
} Qcow2CreateOptions;

extern const Property qcow2_create_props[];

/* --- qcow2-size.c, qcow2-amend.c --- */

bool qcow2_truncate(BlockNode *node, uint64_t size, BlockPrealloc prealloc, GError **errp);
/* Clusters for a part of the disk that has none. */
bool qcow2_preallocate(Qcow2 *q, uint64_t from, uint64_t to, BlockPrealloc mode, GError **errp);
int qcow2_make_empty(BlockNode *node);
/* The file of an image with all clusters of a disk. */
uint64_t qcow2_full_size(uint32_t cluster_bits, uint32_t refcount_order, bool extl2, uint64_t size);
uint64_t qcow2_create_grain(const void *options);
bool qcow2_measure(const void *options, uint64_t size, uint64_t data, BlockMeasure *out, GError **errp);
bool qcow2_amend(BlockNode *node, KvNode *options, GError **errp);

#endif
