/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Block nodes: images, and the graph they make.
 *
 *     BlockBackend (block/backend.h)      what a device holds
 *          |
 *     qcow2 node --file--> file node      a format on a protocol
 *          |
 *          +--backing--> qcow2 or raw node --file--> file node
 *
 * A node is a driver's instance. Drivers are straight-line blocking code: every call below may
 * sleep, so it runs on a worker, at start-up, or in vmm-img, and never under machine_lock. What makes
 * a running guest's I/O asynchronous is one more function of the driver, map(): it says, without
 * blocking, where a range lies in the node below. Where that is known down to a host file, the request goes from
 * the submitting thread straight to the file's engine (src/block/submit.c); all the rest (allocation,
 * copy-on-write, decompression) is a worker in the blocking call.
 *
 * Offsets and lengths are bytes, of any alignment. I/O calls return 0 or -errno and are all or nothing
 * to the caller; a failed write leaves the range undefined, as on a disk.
 *
 * Locking: the graph (open, ref, unref, names) belongs to the main thread, or to vmm-img's one. I/O calls
 * on a node come from any number of threads at once; the driver locks for itself. A node changes
 * in shape (truncate to less, snapshots, close) only while it is drained: no request in flight.
 */
#ifndef BLOCK_BLOCK_H
#define BLOCK_BLOCK_H

#include <glib.h>
#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/uio.h>

#include "config/keyval.h"
#include "core/device.h"

typedef struct BlockNode BlockNode;
typedef struct BlockDriver BlockDriver;
typedef struct BlockIo BlockIo; /* block/io.h */

#define BLOCK_SECTOR_SIZE 512u
#define BLOCK_MAX_SIZE (INT64_MAX - 4095) /* what a host file offset can reach */
#define BLOCK_MAX_CHAIN 200               /* nodes under one another */

/* Flags of a write or write_zeroes. */
enum {
    BLOCK_FUA = 1 << 0,        /* on stable storage when it returns */
    BLOCK_MAY_UNMAP = 1 << 1,  /* write_zeroes: the space may be given back */
    BLOCK_COMPRESSED = 1 << 2, /* write: whole clusters, stored compressed; -ENOTSUP if the format cannot */
    BLOCK_NO_FALLBACK = 1 << 3, /* write_zeroes: -ENOTSUP rather than writing zeroes out */
};

/* Flags of opening. */
enum {
    BLOCK_OPEN_RDWR = 1 << 0,         /* unless the options say read-only */
    BLOCK_OPEN_NO_BACKING = 1 << 1,   /* do not open what the header names (info, check) */
    BLOCK_OPEN_CHECK = 1 << 2,        /* for a repair: corrupt and dirty images open as they are */
    BLOCK_OPEN_TRUST_PROBED = 1 << 3, /* follow backing names also of images whose format was guessed */
    BLOCK_OPEN_WARN_PROBED = 1 << 4,  /* say so when a writable image is guessed to be raw */
};

typedef enum BlockDiscardMode { BLOCK_DISCARD_IGNORE, BLOCK_DISCARD_UNMAP } BlockDiscardMode;
typedef enum BlockZeroDetect { BLOCK_DETECT_OFF, BLOCK_DETECT_ON, BLOCK_DETECT_UNMAP } BlockZeroDetect;

/* --- what drivers tell --- */

typedef enum BlockExtentKind {
    BLOCK_EXTENT_SLOW, /* takes I/O to find out or to change: use the blocking call */
    BLOCK_EXTENT_DATA, /* at offset of node */
    BLOCK_EXTENT_ZERO, /* reads as zeroes; reads only */
} BlockExtentKind;

/* map()'s answer for the first bytes of a range. */
typedef struct BlockExtent {
    BlockExtentKind kind;
    BlockNode *node; /* DATA: node->file or a backing node */
    uint64_t offset;
    uint64_t bytes;  /* 1 to the number asked for */
    bool held;       /* DATA: map_release(node, hold) is due when the I/O has ended */
    unsigned hold;
} BlockExtent;

/* Block status, for map, convert and QMP. */
enum {
    BLOCK_STATUS_DATA = 1 << 0,      /* may differ from zero; the layer or one below has data */
    BLOCK_STATUS_ZERO = 1 << 1,      /* reads as zeroes */
    BLOCK_STATUS_ALLOCATED = 1 << 2, /* decided by this node, not by its backing node */
    BLOCK_STATUS_OFFSET = 1 << 3,    /* lies at offset of file, uncompressed */
    BLOCK_STATUS_COMPRESSED = 1 << 4,
};

typedef struct BlockStatus {
    unsigned flags;
    uint64_t bytes;  /* how far this holds: at least 1 */
    uint64_t offset; /* with BLOCK_STATUS_OFFSET, in file */
    BlockNode *file; /* with BLOCK_STATUS_OFFSET */
} BlockStatus;

typedef struct BlockInfo {
    uint32_t cluster_size;     /* 0: none */
    uint64_t allocated_bytes;  /* on the host */
    bool zero_init;            /* a new image there reads as zeroes */
    bool dirty, corrupt;
    bool has_compression;      /* the format can hold compressed clusters */
    uint32_t compat;           /* qcow2: 2 or 3 */
} BlockInfo;

typedef struct BlockSnapshot {
    char *id, *name;
    uint64_t vm_state_size, disk_size;
    int64_t date_sec;
    uint32_t date_nsec;
    uint64_t vm_clock_ns, icount;
} BlockSnapshot;

/* What a check found and repaired. */
typedef struct BlockCheck {
    uint64_t corruptions, leaks, check_errors;
    uint64_t corruptions_fixed, leaks_fixed;
    uint64_t image_end_offset;
    uint64_t total_clusters, allocated_clusters, fragmented_clusters, compressed_clusters;
    void (*report)(void *opaque, const char *line); /* one finding; NULL: silent */
    void *opaque;
} BlockCheck;

enum { BLOCK_FIX_LEAKS = 1, BLOCK_FIX_ERRORS = 2 };

typedef struct BlockMeasure {
    uint64_t required, fully_allocated; /* file sizes: as the disk is now, and when all of it was written */
} BlockMeasure;

typedef enum BlockPrealloc { BLOCK_PREALLOC_OFF, BLOCK_PREALLOC_METADATA, BLOCK_PREALLOC_FALLOC, BLOCK_PREALLOC_FULL } BlockPrealloc;

/* --- nodes --- */

struct BlockNode {
    const BlockDriver *driver;
    char *name;       /* node-name: the user's, or "#blockN" */
    char *filename;   /* for messages: the file's path; a format node has that of its file */
    BlockNode *file;  /* formats: what they lie in; a reference is held */
    BlockNode *backing;
    unsigned refs;
    unsigned open_flags;
    bool read_only;   /* as opened */
    bool probed;      /* the format is our guess */
    bool corrupt;     /* atomic; block_node_set_corrupt */
    bool backing_given; /* by the options: the header's name is not used */
    unsigned depth;   /* nodes above it in its chain when it was opened */

    /* Options every driver has. */
    bool opt_read_only, auto_read_only, force_share;
    bool cache_direct, cache_no_flush;
    int discard;       /* BlockDiscardMode */
    int detect_zeroes; /* BlockZeroDetect */

    /* Set by open. */
    uint64_t size;             /* read with block_node_size */
    uint32_t discard_alignment; /* a hint for devices; 0: none */
};

/*
 * A driver; its instance begins with BlockNode. Functions may be NULL where noted.
 *
 * All but probe, map, map_release and submit may block. Ranges lie inside the node's size (the callers in node.c
 * see to it), lengths are not 0, and iov holds exactly bytes.
 */
struct BlockDriver {
    const char *name;
    const char *desc;
    bool is_protocol;      /* no file node below */
    bool has_backing;      /* takes a backing node */
    size_t instance_size;
    const Property *props; /* options beyond the common ones; may be NULL */
    const Property *create_props; /* of create_struct, for "-o help"; may be NULL */
    size_t create_size;

    /* 0: not this format, to 100: surely. head is the image's beginning, zero-padded to len. NULL: never guessed. */
    unsigned (*probe)(const uint8_t *head, size_t len, uint64_t file_size);
    /* node->file is open, options are set. Sets size; may set node->backing with block_node_open_backing. */
    bool (*open)(BlockNode *node, GError **errp);
    void (*close)(BlockNode *node); /* writes out what is cached; may be NULL */

    int (*preadv)(BlockNode *node, uint64_t offset, uint64_t bytes, const struct iovec *iov, int iovcnt);
    int (*pwritev)(BlockNode *node, uint64_t offset, uint64_t bytes, const struct iovec *iov, int iovcnt,
                   unsigned flags);
    /* All completed writes are on stable storage, with the metadata they need. Once it failed it keeps failing. */
    int (*flush)(BlockNode *node);
    int (*discard)(BlockNode *node, uint64_t offset, uint64_t bytes);                      /* NULL: does nothing */
    int (*write_zeroes)(BlockNode *node, uint64_t offset, uint64_t bytes, unsigned flags); /* NULL: zeroes are written */
    /* The host copies from a protocol node; -ENOTSUP: it cannot, nor all of it perhaps, and part of it may be done. NULL: likewise. */
    int (*copy_range)(BlockNode *node, uint64_t offset, BlockNode *from, uint64_t from_offset, uint64_t bytes);
    int (*status)(BlockNode *node, uint64_t offset, uint64_t bytes, BlockStatus *out);     /* NULL: all data */
    bool (*truncate)(BlockNode *node, uint64_t size, BlockPrealloc prealloc, GError **errp); /* NULL: cannot */
    void (*info)(BlockNode *node, BlockInfo *out);      /* out is zeroed; may be NULL */
    json_t *(*specific_info)(BlockNode *node);          /* QMP's ImageInfoSpecific data; may be NULL */

    /* Where [offset, offset + bytes) lies; write: it will be written with flags. Must not block, nor take
     * a lock that is held over I/O. NULL: all slow (formats), or itself (protocols). */
    void (*map)(BlockNode *node, uint64_t offset, uint64_t bytes, bool write, unsigned flags, BlockExtent *out);
    void (*map_release)(BlockNode *node, unsigned hold);
    /* Protocols: starts the I/O; block_io_complete follows. False, with nothing done: use the blocking
     * call. Any thread, must not block. NULL: never. */
    bool (*submit)(BlockNode *node, BlockIo *io);

    /* Format work of vmm-img and the monitor; NULL: the format has none. The node is drained. */
    bool (*create)(BlockNode *file, const void *create_options, uint64_t size, GError **errp);
    /* Whether create can succeed as far as the options tell; before anything is written. NULL: always. */
    bool (*create_check)(const void *options, uint64_t size, GError **errp);
    bool (*check)(BlockNode *node, BlockCheck *result, unsigned fix, GError **errp);
    GPtrArray *(*snapshot_list)(BlockNode *node); /* of BlockSnapshot, freed by the array */
    bool (*snapshot_create)(BlockNode *node, BlockSnapshot *snapshot, GError **errp); /* fills id */
    bool (*snapshot_apply)(BlockNode *node, const char *id_or_name, GError **errp);
    bool (*snapshot_delete)(BlockNode *node, const char *id_or_name, GError **errp);
    /* A read-only node shows the snapshot's disk from here on. */
    bool (*snapshot_load)(BlockNode *node, const char *id_or_name, GError **errp);
    /* The names in the header; allocated, NULL if there is none. */
    char *(*backing_file)(BlockNode *node, char **format);
    bool (*set_backing_file)(BlockNode *node, const char *filename, const char *format, GError **errp);
    /* read_only has changed, and file's before if it is to be written; sees to what an open would. NULL: nothing. */
    bool (*reopen)(BlockNode *node, GError **errp);
    /* Everything shows what the backing node has. */
    int (*make_empty)(BlockNode *node);
    /* Changes what create_props call so in an image that is there. */
    bool (*amend)(BlockNode *node, KvNode *options, GError **errp);
    /* The file size of an image of a disk with so many bytes of data, counted in steps of create_grain (NULL: any). */
    bool (*measure)(const void *create_options, uint64_t size, uint64_t data, BlockMeasure *out, GError **errp);
    uint64_t (*create_grain)(const void *create_options);
};

/* The drivers, NULL-terminated (src/block/drivers.c). */
extern const BlockDriver *const block_drivers[];
const BlockDriver *block_driver_find(const char *name);

/* --- opening --- */

/*
 * A node graph from -blockdev's options: driver, node-name, the common and the driver's own options, file
 * and backing each an inline dictionary or the name of a node. One reference is the caller's; NULL with an error
 * that names the file, what is wrong and what to do. options keeps its keys, marked as used.
 */
BlockNode *block_node_open(KvNode *options, unsigned flags, GError **errp);
/* A file by name ("PATH", "file:PATH"), format NULL: guessed. For vmm-img, backing files and tests. */
BlockNode *block_node_open_file(const char *filename, const char *format, unsigned flags, GError **errp);
/* For open(): the backing file a header names, relative to node's own file, as allowed by flags and options. */
bool block_node_open_backing(BlockNode *node, const char *filename, const char *format, GError **errp);
/* The path in "PATH" or "file:PATH"; NULL with an error for another protocol. */
const char *block_plain_path(const char *filename, GError **errp);
/* A name relative to the image that holds it; allocated. */
char *block_backing_path(const BlockNode *node, const char *filename);
/* The format of the image in file; never NULL (raw), NULL with an error if it cannot be read. */
const BlockDriver *block_probe(BlockNode *file, GError **errp);
/* Creates filename as driver's image of that size; create_options as driver->create_props, or NULL: defaults. durable: on
 * stable storage when it returns. */
bool block_create(const BlockDriver *driver, const char *filename, const void *create_options, uint64_t size, bool durable,
                  GError **errp);
/* A node without options: of a driver in a test, or under construction. */
BlockNode *block_node_new(const BlockDriver *driver, const char *name);
/* Opens what block_node_new made, on file (a reference is taken over) or NULL. On failure node and file are gone. */
BlockNode *block_node_start(BlockNode *node, BlockNode *file, unsigned flags, GError **errp);

BlockNode *block_node_find(const char *name);
/* All nodes with a name, in order of creation: NULL begins, NULL ends. */
BlockNode *block_node_next(BlockNode *node);
BlockNode *block_node_ref(BlockNode *node);
/* The last one flushes and closes. NULL is allowed. */
void block_node_unref(BlockNode *node);
/* Makes a node and its files writable, or read-only again; drained. A node the user wants read-only stays so. On failure it is as
 * it was. */
bool block_node_reopen(BlockNode *node, bool writable, GError **errp);
/* What top has of its own goes into its backing node; top is empty after. Drained; blocks. */
bool block_commit(BlockNode *top, GError **errp);
/* Replaces the backing node (a reference is taken over); drained. NULL: none. */
void block_node_set_backing(BlockNode *node, BlockNode *backing);

/* --- I/O: blocking; -EIO beyond the end, -EACCES for writes to a read-only node, else as the driver says --- */

uint64_t block_node_size(const BlockNode *node);
int block_preadv(BlockNode *node, uint64_t offset, uint64_t bytes, const struct iovec *iov, int iovcnt);
int block_pwritev(BlockNode *node, uint64_t offset, uint64_t bytes, const struct iovec *iov, int iovcnt, unsigned flags);
int block_pread(BlockNode *node, uint64_t offset, void *buf, uint64_t bytes);
int block_pwrite(BlockNode *node, uint64_t offset, const void *buf, uint64_t bytes, unsigned flags);
int block_flush(BlockNode *node);
int block_discard(BlockNode *node, uint64_t offset, uint64_t bytes);
int block_write_zeroes(BlockNode *node, uint64_t offset, uint64_t bytes, unsigned flags);
/* Copies from a protocol node (BlockStatus.file) without the data passing through memory of ours, perhaps by sharing it. -ENOTSUP:
 * the two have no such way, read and write it. */
int block_copy_range(BlockNode *node, uint64_t offset, BlockNode *from, uint64_t from_offset, uint64_t bytes);
/* This layer only. */
int block_status(BlockNode *node, uint64_t offset, uint64_t bytes, BlockStatus *out);
/* Down to base (exclusive; NULL: the whole chain): who decides the range. depth counts from 0, -1 if nobody. */
int block_status_above(BlockNode *node, BlockNode *base, uint64_t offset, uint64_t bytes, BlockStatus *out, int *depth);
bool block_truncate(BlockNode *node, uint64_t size, BlockPrealloc prealloc, GError **errp);
void block_info(BlockNode *node, BlockInfo *out);

/* For drivers: the node's size changed. */
void block_node_set_size(BlockNode *node, uint64_t size);
/* For drivers: writes stop here from now on (a violated invariant); warns once, tells the event handler. */
void block_node_set_corrupt(BlockNode *node, uint64_t offset, const char *fmt, ...) G_GNUC_PRINTF(3, 4);
bool block_node_is_corrupt(const BlockNode *node);

void block_snapshot_free(void *snapshot);

/* The common options, for help. */
extern const Property block_node_props[];

G_DEFINE_AUTOPTR_CLEANUP_FUNC(BlockNode, block_node_unref)

#endif
