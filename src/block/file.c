/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The protocol "file": a regular file or a block device of the host.
 *
 *     request            what the host sees
 *     write, FUA         pwritev2 with RWF_DSYNC
 *     flush              fdatasync; the first failure is final, because Linux forgets the pages that failed
 *     discard            FALLOC_FL_PUNCH_HOLE
 *     write zeroes       FALLOC_FL_ZERO_RANGE; with MAY_UNMAP a hole
 *
 * The size is rounded up to whole sectors; what lies between the file's end and there reads as zeroes.
 * A write past the end lets a regular file grow.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/bits.h"
#include "core/error.h"
#include "core/host.h"
#include "core/iov.h"
#include "src/block/file-int.h"

#define FULL_PREALLOC_CHUNK (1u << 20)

static FileNode *file_of(BlockNode *node)
{
    return (FileNode *)node;
}

/* --- open and close --- */

static bool file_find_size(FileNode *file, GError **errp)
{
    off_t end = lseek(file->fd, 0, SEEK_END);

    if (end < 0)
        return error_set_errno(errp, errno, "cannot find the size of '%s'", file->path);
    block_node_set_size(&file->node, align_up((uint64_t)end, BLOCK_SECTOR_SIZE));
    return true;
}

static bool file_check_kind(FileNode *file, GError **errp)
{
    struct stat st;

    if (fstat(file->fd, &st) < 0)
        return error_set_errno(errp, errno, "cannot examine image '%s'", file->path);
    file->is_device = S_ISBLK(st.st_mode);
    if (S_ISREG(st.st_mode) || file->is_device)
        return true;
    return error_set(errp, "'%s' is %s; an image is a regular file or a block device", file->path,
                     S_ISDIR(st.st_mode) ? "a directory" : "neither file nor block device");
}

/* O_NONBLOCK: a FIFO by that name must not hold us up. It means nothing to files and block devices. */
static bool file_open_fd(FileNode *file, GError **errp)
{
    BlockNode *node = &file->node;
    int flags = O_NONBLOCK | (node->cache_direct ? O_DIRECT : 0);
    g_autoptr(GError) err = NULL;

    file->fd = host_open(file->path, flags | (node->read_only ? O_RDONLY : O_RDWR), 0, "image", &err);
    if (file->fd < 0 && !node->read_only && node->auto_read_only
        && (errno == EACCES || errno == EPERM || errno == EROFS)) {
        g_clear_error(&err);
        node->read_only = true;
        file->fd = host_open(file->path, flags | O_RDONLY, 0, "image", &err);
    }
    if (file->fd >= 0)
        return true;
    if (errno == EINVAL && node->cache_direct)
        return error_set(errp, "image '%s' lies on a file system without O_DIRECT; use cache=writeback", file->path);
    g_propagate_error(errp, g_steal_pointer(&err));
    return false;
}

static bool file_check_engine(const FileNode *file, GError **errp)
{
    if (file->aio == FILE_AIO_NATIVE && !file->node.cache_direct)
        return error_set_code(errp, VMM_ERROR_USAGE, "aio=native needs O_DIRECT; use cache=none or cache=directsync with it");
    if (file->aio == FILE_AIO_NATIVE && !file_aio_works())
        return error_set(errp, "this build has no aio=native (libaio); use aio=threads");
    if (file->aio == FILE_AIO_URING && !file_uring_works())
        return error_set(errp, "aio=io_uring is not to be had: the kernel refuses it, or this build lacks liburing; use "
                         "aio=threads");
    return true;
}

static bool file_open(BlockNode *node, GError **errp)
{
    FileNode *file = file_of(node);

    if (!file->path || !*file->path)
        return error_set_code(errp, VMM_ERROR_USAGE, "filename= is missing");
    node->filename = g_strdup(file->path);
    if (!file_check_engine(file, errp) || !file_open_fd(file, errp))
        return false;
    if (!file_check_kind(file, errp) || !file_lock_image(file, errp) || !file_find_size(file, errp)) {
        close(file->fd);
        return false;
    }
    file->align = 1;
    if (node->cache_direct)
        file_probe_alignment(file);
    file_now_init(file);
    pthread_mutex_init(&file->grow_lock, NULL);
    range_lock_init(&file->writes);
    return true;
}

/* A new descriptor, locked in its turn; ours must not be in its way. */
static bool file_reopen(BlockNode *node, GError **errp)
{
    FileNode *file = file_of(node);
    int old = file->fd, flags = O_NONBLOCK | (node->cache_direct ? O_DIRECT : 0);
    int fd = host_open(file->path, flags | (node->read_only ? O_RDONLY : O_RDWR), 0, "image", errp);

    if (fd < 0)
        return false;
    file_unlock_image(file);
    file->fd = fd;
    if (file_lock_image(file, errp)) {
        close(old);
        return true;
    }
    close(fd);
    file->fd = old;
    node->read_only = !node->read_only;
    file_lock_image(file, NULL);
    node->read_only = !node->read_only;
    return false;
}

bool block_file_create(const char *path, bool *created, GError **errp)
{
    int fd = host_open(path, O_RDWR | O_CREAT | O_EXCL, 0644, "image", NULL);

    *created = fd >= 0;
    if (fd < 0)
        fd = host_open(path, O_RDWR | O_CREAT | O_NONBLOCK, 0644, "image", errp);
    if (fd < 0)
        return false;
    close(fd);
    return true;
}

static void file_close(BlockNode *node)
{
    FileNode *file = file_of(node);

    range_lock_release(&file->writes);
    pthread_mutex_destroy(&file->grow_lock);
    close(file->fd);
}

/* --- transfers --- */

static int file_preadv(BlockNode *node, uint64_t offset, uint64_t bytes, const struct iovec *iov, int iovcnt)
{
    FileNode *file = file_of(node);
    ssize_t n;

    if (!file_is_aligned(file, offset, bytes, iov, iovcnt))
        return file_direct_read(file, offset, bytes, iov, iovcnt);
    n = host_preadv(file->fd, iov, iovcnt, (off_t)offset);
    if (n < 0)
        return (int)n;
    iov_memset(iov, iovcnt, (size_t)n, 0, bytes - (size_t)n);
    return 0;
}

static void file_grown(FileNode *file, uint64_t end)
{
    end = align_up(end, BLOCK_SECTOR_SIZE);
    pthread_mutex_lock(&file->grow_lock);
    if (end > block_node_size(&file->node))
        block_node_set_size(&file->node, end);
    pthread_mutex_unlock(&file->grow_lock);
}

static int file_flush(BlockNode *node)
{
    FileNode *file = file_of(node);
    int ret = __atomic_load_n(&file->flush_error, __ATOMIC_RELAXED);

    if (ret || node->cache_no_flush)
        return ret;
    ret = host_fdatasync(file->fd);
    if (ret < 0)
        __atomic_store_n(&file->flush_error, ret, __ATOMIC_RELAXED);
    return ret;
}

static int file_pwritev(BlockNode *node, uint64_t offset, uint64_t bytes, const struct iovec *iov, int iovcnt,
                        unsigned flags)
{
    FileNode *file = file_of(node);
    bool sync = flags & BLOCK_FUA && !node->cache_no_flush;
    int rwf = sync ? RWF_DSYNC : 0;
    int ret = sync ? __atomic_load_n(&file->flush_error, __ATOMIC_RELAXED) : 0;

    if (ret < 0)
        return ret;
    if (flags & BLOCK_COMPRESSED)
        return -ENOTSUP;
    ret = file->align > 1 ? file_direct_write(file, offset, bytes, iov, iovcnt, rwf)
                          : host_pwritev(file->fd, iov, iovcnt, (off_t)offset, rwf);
    if (ret == 0)
        file_grown(file, offset + bytes);
    return ret;
}

static int file_copy_range(BlockNode *node, uint64_t offset, BlockNode *from, uint64_t from_offset, uint64_t bytes)
{
    FileNode *file = file_of(node);

    if (from->driver != node->driver || file->align > 1)
        return -ENOTSUP;
    for (uint64_t done = 0; done < bytes;) {
        ssize_t n = host_copy_file_range(file_of(from)->fd, (off_t)(from_offset + done), file->fd, (off_t)(offset + done), bytes - done);
        if (n == 0 || n == -EXDEV || n == -EINVAL || n == -EOPNOTSUPP || n == -ENOSYS || n == -EPERM)
            return -ENOTSUP;
        if (n < 0)
            return (int)n;
        done += (uint64_t)n;
    }
    file_grown(file, offset + bytes);
    return 0;
}

/* Transfers inside the file, aligned as the host wants them, are the engine's. */
static bool file_submit(BlockNode *node, BlockIo *io)
{
    FileNode *file = file_of(node);

    if ((io->op != BLOCK_READ && io->op != BLOCK_WRITE) || io->iovcnt > IOV_MAX
        || !range_ok(io->offset, io->bytes, block_node_size(node))
        || !file_is_aligned(file, io->offset, io->bytes, io->iov, io->iovcnt)
        || (io->flags & BLOCK_FUA && __atomic_load_n(&file->flush_error, __ATOMIC_RELAXED)))
        return false;
    if (file_transfer_now(file, io)) {
        block_io_complete(io, 0);
        return true;
    }
    switch (file->aio) {
    case FILE_AIO_NATIVE:
        return file_aio_submit(file, io);
    case FILE_AIO_URING:
        return file_uring_submit(file, io);
    default:
        return false;
    }
}

/* --- holes and zeroes --- */

static int punch_hole(FileNode *file, uint64_t offset, uint64_t bytes)
{
    int ret;

    if (__atomic_load_n(&file->no_punch_hole, __ATOMIC_RELAXED))
        return -ENOTSUP;
    ret = host_fallocate(file->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)offset, (off_t)bytes);
    if (ret == -EOPNOTSUPP || ret == -ENOSYS) {
        __atomic_store_n(&file->no_punch_hole, true, __ATOMIC_RELAXED);
        ret = -ENOTSUP;
    }
    return ret;
}

static int zero_range(FileNode *file, uint64_t offset, uint64_t bytes)
{
    int ret;

    if (__atomic_load_n(&file->no_zero_range, __ATOMIC_RELAXED))
        return -ENOTSUP;
    ret = host_fallocate(file->fd, FALLOC_FL_ZERO_RANGE, (off_t)offset, (off_t)bytes);
    if (ret == -EOPNOTSUPP || ret == -ENOSYS) {
        __atomic_store_n(&file->no_zero_range, true, __ATOMIC_RELAXED);
        ret = -ENOTSUP;
    }
    return ret;
}

static int file_discard(BlockNode *node, uint64_t offset, uint64_t bytes)
{
    int ret = punch_hole(file_of(node), offset, bytes);

    return ret == -ENOTSUP || ret == -EINVAL ? 0 : ret; /* a hint: a device may want it aligned, or not at all */
}

static int file_extend_locked(FileNode *file, uint64_t end)
{
    if (end <= block_node_size(&file->node))
        return 0;
    if (file->is_device)
        return -ENOSPC;
    if (ftruncate(file->fd, (off_t)end) < 0)
        return -errno;
    block_node_set_size(&file->node, align_up(end, BLOCK_SECTOR_SIZE));
    return 0;
}

static int file_write_zeroes(BlockNode *node, uint64_t offset, uint64_t bytes, unsigned flags)
{
    FileNode *file = file_of(node);
    int ret;

    pthread_mutex_lock(&file->grow_lock);
    ret = file_extend_locked(file, offset + bytes);
    pthread_mutex_unlock(&file->grow_lock);
    if (ret < 0)
        return ret;
    ret = flags & BLOCK_MAY_UNMAP ? punch_hole(file, offset, bytes) : -ENOTSUP;
    if (ret == -ENOTSUP)
        ret = zero_range(file, offset, bytes);
    if (ret == -EINVAL && file->is_device) /* not aligned to the device's blocks */
        ret = -ENOTSUP;
    if (ret == 0 && flags & BLOCK_FUA)
        ret = file_flush(node);
    return ret;
}

/* --- status, size --- */

/* From the host's map of holes; a file system without one says it is all data. */
static int file_status(BlockNode *node, uint64_t offset, uint64_t bytes, BlockStatus *out)
{
    FileNode *file = file_of(node);
    off_t data = lseek(file->fd, (off_t)offset, SEEK_DATA);
    off_t end;

    out->flags = BLOCK_STATUS_DATA | BLOCK_STATUS_ALLOCATED | BLOCK_STATUS_OFFSET;
    out->offset = offset;
    out->file = node;
    out->bytes = bytes;
    if (data < 0 && errno != ENXIO)
        return 0;
    if (data < 0 || (uint64_t)data > offset) { /* ENXIO: only a hole until the end */
        out->flags = BLOCK_STATUS_ZERO | BLOCK_STATUS_ALLOCATED | BLOCK_STATUS_OFFSET;
        end = data;
    } else {
        end = lseek(file->fd, (off_t)offset, SEEK_HOLE);
    }
    if (end > (off_t)offset)
        out->bytes = MIN(bytes, (uint64_t)end - offset);
    return 0;
}

static int preallocate_full(FileNode *file, uint64_t from, uint64_t to)
{
    g_autofree uint8_t *zeroes = g_malloc0(FULL_PREALLOC_CHUNK);

    while (from < to) {
        uint64_t part = MIN(to - from, FULL_PREALLOC_CHUNK);
        int ret = block_pwrite(&file->node, from, zeroes, part, 0);
        if (ret < 0)
            return ret;
        from += part;
    }
    return 0;
}

static int preallocate(FileNode *file, uint64_t from, uint64_t to, BlockPrealloc prealloc)
{
    int ret;

    if (from >= to)
        return 0;
    switch (prealloc) {
    case BLOCK_PREALLOC_FALLOC:
        ret = host_fallocate(file->fd, 0, (off_t)from, (off_t)(to - from));
        return ret == -EOPNOTSUPP ? preallocate_full(file, from, to) : ret;
    case BLOCK_PREALLOC_FULL:
        return preallocate_full(file, from, to);
    default:
        return 0;
    }
}

static bool file_truncate(BlockNode *node, uint64_t size, BlockPrealloc prealloc, GError **errp)
{
    FileNode *file = file_of(node);
    uint64_t old = block_node_size(node);
    int ret;

    if (file->is_device) {
        if (size <= old)
            return true;
        return error_set(errp, "device '%s' has %" G_GUINT64_FORMAT " bytes and cannot grow", file->path, old);
    }
    if (ftruncate(file->fd, (off_t)size) < 0)
        return error_set_errno(errp, errno, "cannot give '%s' its %" G_GUINT64_FORMAT " bytes", file->path, size);
    block_node_set_size(node, align_up(size, BLOCK_SECTOR_SIZE));
    ret = preallocate(file, old, size, prealloc);
    if (ret == 0)
        return true;
    if (ftruncate(file->fd, (off_t)old) == 0)
        block_node_set_size(node, old);
    return error_set_errno(errp, -ret, "cannot allocate the %" G_GUINT64_FORMAT " bytes of '%s'", size, file->path);
}

static void file_info(BlockNode *node, BlockInfo *out)
{
    struct stat st;

    out->zero_init = !file_of(node)->is_device;
    if (fstat(file_of(node)->fd, &st) == 0)
        out->allocated_bytes = (uint64_t)st.st_blocks * 512;
}

const char *const block_file_aio_names[] = {"threads", "native", "io_uring", NULL};
static const char *const locking_names[] = {"auto", "on", "off", NULL};

static const Property file_props[] = {
    {"filename", PROP_STRING, offsetof(FileNode, path), NULL, "the file or block device"},
    {"aio", PROP_ENUM, offsetof(FileNode, aio), "threads", "how requests are handed to the host", block_file_aio_names},
    {"locking", PROP_ENUM, offsetof(FileNode, locking), "auto", "lock the image against other processes", locking_names},
    {.name = NULL},
};

const BlockDriver block_driver_file = {
    .name = "file",
    .desc = "a file or block device of the host",
    .is_protocol = true,
    .instance_size = sizeof(FileNode),
    .props = file_props,
    .open = file_open,
    .close = file_close,
    .reopen = file_reopen,
    .preadv = file_preadv,
    .pwritev = file_pwritev,
    .copy_range = file_copy_range,
    .flush = file_flush,
    .discard = file_discard,
    .write_zeroes = file_write_zeroes,
    .status = file_status,
    .truncate = file_truncate,
    .info = file_info,
    .submit = file_submit,
};
