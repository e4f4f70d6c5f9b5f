/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A block node's life, and the blocking calls with the checks all drivers may rely on.
 *
 * The list of nodes is the process's, like the option that names them; main thread only.
 */
#include <errno.h>
#include <string.h>

#include "core/bits.h"
#include "core/error.h"
#include "core/event.h"
#include "core/iov.h"
#include "core/log.h"
#include "src/block/block-int.h"

#define ZERO_BUFFER_BYTES (64u << 10)

static GPtrArray *nodes; /* of BlockNode *, in order of creation */
static unsigned next_number;

/* --- names and life --- */

BlockNode *block_node_find(const char *name)
{
    for (guint i = 0; nodes && i < nodes->len; i++) {
        BlockNode *node = g_ptr_array_index(nodes, i);
        if (strcmp(node->name, name) == 0)
            return node;
    }
    return NULL;
}

BlockNode *block_node_next(BlockNode *node)
{
    guint next = 0;

    if (!nodes)
        return NULL;
    if (node && g_ptr_array_find(nodes, node, &next))
        next++;
    return next < nodes->len ? g_ptr_array_index(nodes, next) : NULL;
}

bool block_node_rename(BlockNode *node, const char *name, GError **errp)
{
    if (!g_ascii_isalpha(name[0]) || strlen(name) > 31)
        return error_set_code(errp, VMM_ERROR_USAGE, "node-name=%s: a name begins with a letter and has at most 31 "
                              "characters", name);
    if (block_node_find(name))
        return error_set_code(errp, VMM_ERROR_USAGE, "the node-name '%s' is used twice; choose another", name);
    g_free(node->name);
    node->name = g_strdup(name);
    return true;
}

BlockNode *block_node_new(const BlockDriver *driver, const char *name)
{
    BlockNode *node = g_malloc0(driver->instance_size);

    g_assert(driver->instance_size >= sizeof(BlockNode));
    node->driver = driver;
    node->refs = 1;
    property_set_defaults(block_node_props, node);
    property_set_defaults(driver->props, node);
    node->name = name ? g_strdup(name) : g_strdup_printf("#block%03u", next_number++);
    if (!nodes)
        nodes = g_ptr_array_new();
    g_ptr_array_add(nodes, node);
    return node;
}

/* Of a node that is not open. */
void block_node_free(BlockNode *node)
{
    g_ptr_array_remove(nodes, node);
    block_node_unref(node->backing);
    block_node_unref(node->file);
    property_release(node->driver->props, node);
    g_free(node->filename);
    g_free(node->name);
    g_free(node);
}

BlockNode *block_node_start(BlockNode *node, BlockNode *file, unsigned flags, GError **errp)
{
    node->file = file;
    node->open_flags = flags;
    node->read_only = !(flags & BLOCK_OPEN_RDWR) || node->opt_read_only || (file && file->read_only);
    if (file && !node->filename)
        node->filename = g_strdup(file->filename);
    if (node->driver->open(node, errp))
        return node;
    block_node_free(node);
    return NULL;
}

BlockNode *block_node_ref(BlockNode *node)
{
    node->refs++;
    return node;
}

void block_node_unref(BlockNode *node)
{
    if (!node || --node->refs)
        return;
    if (!node->read_only)
        block_flush(node);
    if (node->driver->close)
        node->driver->close(node);
    block_node_free(node);
}

void block_node_set_backing(BlockNode *node, BlockNode *backing)
{
    block_node_unref(node->backing);
    node->backing = backing;
}

static bool reopen_this(BlockNode *node, bool writable, GError **errp)
{
    node->read_only = !writable;
    if (!node->driver->reopen || node->driver->reopen(node, errp))
        return true;
    node->read_only = writable;
    return false;
}

/* On the way to writing the file comes first, on the way back last. */
bool block_node_reopen(BlockNode *node, bool writable, GError **errp)
{
    if (node->read_only != writable)
        return true;
    if (writable && node->opt_read_only)
        return error_set(errp, "image '%s' is read-only by its options", node->filename);
    if (!writable) {
        int ret = block_flush(node);
        if (ret < 0)
            return error_set_errno(errp, -ret, "cannot write image '%s'", node->filename);
        return reopen_this(node, false, errp) && (!node->file || block_node_reopen(node->file, false, errp));
    }
    if (node->file && !block_node_reopen(node->file, true, errp))
        return false;
    if (reopen_this(node, true, errp))
        return true;
    if (node->file)
        block_node_reopen(node->file, false, NULL);
    return false;
}

uint64_t block_node_size(const BlockNode *node)
{
    return __atomic_load_n(&node->size, __ATOMIC_RELAXED);
}

void block_node_set_size(BlockNode *node, uint64_t size)
{
    __atomic_store_n(&node->size, size, __ATOMIC_RELAXED);
}

bool block_node_is_corrupt(const BlockNode *node)
{
    return __atomic_load_n(&node->corrupt, __ATOMIC_RELAXED);
}

void block_node_set_corrupt(BlockNode *node, uint64_t offset, const char *fmt, ...)
{
    va_list ap;

    if (__atomic_exchange_n(&node->corrupt, true, __ATOMIC_RELAXED))
        return;
    va_start(ap, fmt);
    g_autofree char *what = g_strdup_vprintf(fmt, ap);
    va_end(ap);
    log_warn("image '%s' is corrupt: %s (at offset 0x%" G_GINT64_MODIFIER "x); it is read-only from here on: check it "
             "with 'vmm-img check'", node->filename ? node->filename : node->name, what, offset);
    event_emit(VM_EVENT_BLOCK_IMAGE_CORRUPTED, "{s:s, s:s, s:s, s:I, s:b}", "device", "", "node-name", node->name, "msg", what,
               "offset", (json_int_t)offset, "fatal", 1);
}

void block_snapshot_free(void *opaque)
{
    BlockSnapshot *snapshot = opaque;

    if (snapshot) {
        g_free(snapshot->id);
        g_free(snapshot->name);
        g_free(snapshot);
    }
}

/* --- blocking I/O --- */

static int check_write(const BlockNode *node)
{
    if (node->read_only)
        return -EACCES;
    return block_node_is_corrupt(node) ? -EIO : 0;
}

static bool in_bounds(const BlockNode *node, uint64_t offset, uint64_t bytes)
{
    return range_ok(offset, bytes, block_node_size(node));
}

/* A file grows under the format that lies in it; anything else has a fixed end. */
static bool in_write_bounds(const BlockNode *node, uint64_t offset, uint64_t bytes)
{
    return node->driver->is_protocol ? range_ok(offset, bytes, BLOCK_MAX_SIZE) : in_bounds(node, offset, bytes);
}

int block_preadv(BlockNode *node, uint64_t offset, uint64_t bytes, const struct iovec *iov, int iovcnt)
{
    if (!in_bounds(node, offset, bytes))
        return -EIO;
    return bytes ? node->driver->preadv(node, offset, bytes, iov, iovcnt) : 0;
}

int block_pwritev(BlockNode *node, uint64_t offset, uint64_t bytes, const struct iovec *iov, int iovcnt, unsigned flags)
{
    int ret = check_write(node);

    if (ret < 0)
        return ret;
    if (!in_write_bounds(node, offset, bytes))
        return -EIO;
    return bytes ? node->driver->pwritev(node, offset, bytes, iov, iovcnt, flags) : 0;
}

int block_copy_range(BlockNode *node, uint64_t offset, BlockNode *from, uint64_t from_offset, uint64_t bytes)
{
    int ret = check_write(node);

    if (ret < 0)
        return ret;
    if (!in_write_bounds(node, offset, bytes) || !range_ok(from_offset, bytes, block_node_size(from)))
        return -EIO;
    return node->driver->copy_range ? node->driver->copy_range(node, offset, from, from_offset, bytes) : -ENOTSUP;
}

int block_pread(BlockNode *node, uint64_t offset, void *buf, uint64_t bytes)
{
    struct iovec iov = {buf, bytes};

    return block_preadv(node, offset, bytes, &iov, 1);
}

int block_pwrite(BlockNode *node, uint64_t offset, const void *buf, uint64_t bytes, unsigned flags)
{
    struct iovec iov = {(void *)buf, bytes};

    return block_pwritev(node, offset, bytes, &iov, 1, flags);
}

int block_flush(BlockNode *node)
{
    return node->driver->flush && !node->read_only ? node->driver->flush(node) : 0;
}

int block_discard(BlockNode *node, uint64_t offset, uint64_t bytes)
{
    int ret = check_write(node);

    if (ret < 0)
        return ret;
    if (!in_bounds(node, offset, bytes))
        return -EIO;
    if (!bytes || node->discard == BLOCK_DISCARD_IGNORE || !node->driver->discard)
        return 0;
    return node->driver->discard(node, offset, bytes);
}

static int write_zero_buffers(BlockNode *node, uint64_t offset, uint64_t bytes, unsigned flags)
{
    static const uint8_t zeroes[ZERO_BUFFER_BYTES];

    while (bytes) {
        uint64_t part = MIN(bytes, ZERO_BUFFER_BYTES);
        int ret = block_pwrite(node, offset, zeroes, part, flags & BLOCK_FUA);
        if (ret < 0)
            return ret;
        offset += part;
        bytes -= part;
    }
    return 0;
}

int block_write_zeroes(BlockNode *node, uint64_t offset, uint64_t bytes, unsigned flags)
{
    int ret = check_write(node);

    if (ret < 0)
        return ret;
    if (!in_write_bounds(node, offset, bytes))
        return -EIO;
    if (!bytes)
        return 0;
    if (node->discard == BLOCK_DISCARD_IGNORE)
        flags &= ~BLOCK_MAY_UNMAP;
    ret = node->driver->write_zeroes ? node->driver->write_zeroes(node, offset, bytes, flags) : -ENOTSUP;
    if (ret == -ENOTSUP && !(flags & BLOCK_NO_FALLBACK))
        ret = write_zero_buffers(node, offset, bytes, flags);
    return ret;
}

int block_io_execute(const BlockIo *io)
{
    switch (io->op) {
    case BLOCK_READ:
        return block_preadv(io->node, io->offset, io->bytes, io->iov, io->iovcnt);
    case BLOCK_WRITE:
        return block_pwritev(io->node, io->offset, io->bytes, io->iov, io->iovcnt, io->flags);
    case BLOCK_FLUSH:
        return block_flush(io->node);
    case BLOCK_DISCARD:
        return block_discard(io->node, io->offset, io->bytes);
    case BLOCK_ZEROES:
        return block_write_zeroes(io->node, io->offset, io->bytes, io->flags);
    case BLOCK_OP_COUNT:
        break;
    }
    g_assert_not_reached();
}

/* --- status, size --- */

int block_status(BlockNode *node, uint64_t offset, uint64_t bytes, BlockStatus *out)
{
    if (!bytes || !in_bounds(node, offset, bytes))
        return -EIO;
    *out = (BlockStatus){.flags = BLOCK_STATUS_DATA | BLOCK_STATUS_ALLOCATED, .bytes = bytes};
    return node->driver->status ? node->driver->status(node, offset, bytes, out) : 0;
}

int block_status_above(BlockNode *node, BlockNode *base, uint64_t offset, uint64_t bytes, BlockStatus *out, int *depth)
{
    int level = 0;

    for (BlockNode *at = node; at && at != base; at = at->backing, level++) {
        uint64_t size = block_node_size(at);
        if (offset >= size) { /* a backing file that is shorter: zeroes from its end on, decided by it */
            *out = (BlockStatus){.flags = BLOCK_STATUS_ZERO | BLOCK_STATUS_ALLOCATED, .bytes = bytes};
            *depth = level;
            return 0;
        }
        int ret = block_status(at, offset, MIN(bytes, size - offset), out);
        if (ret < 0)
            return ret;
        bytes = out->bytes;
        if (out->flags & BLOCK_STATUS_ALLOCATED) {
            *depth = level;
            return 0;
        }
    }
    *out = (BlockStatus){.flags = base ? 0 : BLOCK_STATUS_ZERO, .bytes = bytes};
    *depth = -1;
    return 0;
}

bool block_truncate(BlockNode *node, uint64_t size, BlockPrealloc prealloc, GError **errp)
{
    const char *name = node->filename ? node->filename : node->name;

    if (node->read_only)
        return error_set(errp, "image '%s' is read-only and keeps its size", name);
    if (!node->driver->truncate)
        return error_set(errp, "images of format '%s' keep their size", node->driver->name);
    if (size > BLOCK_MAX_SIZE)
        return error_set(errp, "image '%s' cannot have more than 8 EiB", name);
    return node->driver->truncate(node, size, prealloc, errp);
}

void block_info(BlockNode *node, BlockInfo *out)
{
    *out = (BlockInfo){0};
    if (node->driver->info)
        node->driver->info(node, out);
}

static const char *const discard_names[] = {"ignore", "unmap", NULL};
static const char *const detect_names[] = {"off", "on", "unmap", NULL};

const Property block_node_props[] = {
    {"read-only", PROP_BOOL, offsetof(BlockNode, opt_read_only), "off", "refuse writes"},
    {"auto-read-only", PROP_BOOL, offsetof(BlockNode, auto_read_only), "off", "read-only where the host refuses writing"},
    {"force-share", PROP_BOOL, offsetof(BlockNode, force_share), "off", "take no lock (reading only)"},
    {"cache.direct", PROP_BOOL, offsetof(BlockNode, cache_direct), "off", "O_DIRECT: past the host's page cache"},
    {"cache.no-flush", PROP_BOOL, offsetof(BlockNode, cache_no_flush), "off", "ignore flushes; data is lost if the host fails"},
    {"discard", PROP_ENUM, offsetof(BlockNode, discard), "ignore", "what the guest's discards do", discard_names},
    {"detect-zeroes", PROP_ENUM, offsetof(BlockNode, detect_zeroes), "off", "write zeroes as zeroes, or as holes", detect_names},
    {.name = NULL},
};
