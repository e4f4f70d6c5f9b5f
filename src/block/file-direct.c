/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * O_DIRECT transfers of any alignment (cache=none, cache=directsync).
 *
 * The host wants offsets, lengths and memory aligned to its block size. What is not goes through an aligned
 * buffer; a write that begins or ends inside a block reads the block first. Between that read and the write nobody
 * else may write the block, so such writes hold their blocks exclusively and all others theirs shared.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/bits.h"
#include "core/host.h"
#include "core/iov.h"
#include "src/block/file-int.h"

#define BOUNCE_BYTES (1u << 20)

static void *bounce_new(uint32_t align, size_t len)
{
    void *buf;

    return posix_memalign(&buf, MAX(align, sizeof(void *)), len) == 0 ? buf : NULL;
}

void file_probe_alignment(FileNode *file)
{
    static const uint32_t candidates[] = {512, 1024, 2048, 4096};
    void *buf = bounce_new(4096, 4096);

    file->align = 4096;
    for (unsigned i = 0; buf && i < G_N_ELEMENTS(candidates); i++) {
        if (pread(file->fd, buf, candidates[i], 0) >= 0) {
            file->align = candidates[i];
            break;
        }
    }
    free(buf);
}

bool file_is_aligned(const FileNode *file, uint64_t offset, uint64_t bytes, const struct iovec *iov, int iovcnt)
{
    uint64_t bits = offset | bytes;

    if (file->align == 1)
        return true;
    for (int i = 0; i < iovcnt; i++)
        bits |= (uintptr_t)iov[i].iov_base | iov[i].iov_len;
    return (bits & (file->align - 1)) == 0;
}

/* Reads whole blocks; what lies past the end of the file is zero. */
static int read_blocks(FileNode *file, uint64_t offset, void *buf, size_t len)
{
    struct iovec iov = {buf, len};
    ssize_t n = host_preadv(file->fd, &iov, 1, (off_t)offset);

    if (n < 0)
        return (int)n;
    memset((char *)buf + n, 0, len - (size_t)n);
    return 0;
}

/* Calls fn for each piece of [offset, offset + bytes) that fits the bounce buffer, with the blocks around it. */
typedef struct Bounce {
    FileNode *file;
    void *buf;
    uint64_t offset, bytes;   /* the piece */
    uint64_t start, len;      /* its blocks */
    const struct iovec *iov;
    int iovcnt;
    size_t skip;              /* the piece's place in iov */
    int rwf;
} Bounce;

static int for_each_bounce(Bounce *b, uint64_t offset, uint64_t bytes, int (*fn)(Bounce *b))
{
    uint32_t align = b->file->align;
    int ret = 0;

    b->buf = bounce_new(align, MIN(BOUNCE_BYTES, align_up(bytes, align) + align));
    if (!b->buf)
        return -ENOMEM;
    for (uint64_t done = 0; done < bytes && ret == 0; done += b->bytes) {
        b->offset = offset + done;
        b->start = align_down(b->offset, align);
        b->bytes = MIN(bytes - done, b->start + BOUNCE_BYTES - b->offset);
        b->len = align_up(b->offset + b->bytes, align) - b->start;
        b->skip = done;
        ret = fn(b);
    }
    free(b->buf);
    return ret;
}

static int bounce_read(Bounce *b)
{
    int ret = read_blocks(b->file, b->start, b->buf, b->len);

    if (ret == 0)
        iov_from_buf(b->iov, b->iovcnt, b->skip, (char *)b->buf + (b->offset - b->start), b->bytes);
    return ret;
}

static int bounce_write_locked(Bounce *b)
{
    uint64_t head = b->offset - b->start, tail = b->len - head - b->bytes;
    int ret = head || tail ? read_blocks(b->file, b->start, b->buf, b->len) : 0;

    if (ret < 0)
        return ret;
    iov_to_buf(b->iov, b->iovcnt, b->skip, (char *)b->buf + head, b->bytes);
    struct iovec whole = {b->buf, b->len};
    return host_pwritev(b->file->fd, &whole, 1, (off_t)b->start, b->rwf);
}

static int bounce_write(Bounce *b)
{
    RangeHold hold;
    int ret;

    range_lock(&b->file->writes, &hold, b->start, b->len, true);
    ret = bounce_write_locked(b);
    range_unlock(&b->file->writes, &hold);
    return ret;
}

int file_direct_read(FileNode *file, uint64_t offset, uint64_t bytes, const struct iovec *iov, int iovcnt)
{
    Bounce bounce = {.file = file, .iov = iov, .iovcnt = iovcnt};

    return for_each_bounce(&bounce, offset, bytes, bounce_read);
}

int file_direct_write(FileNode *file, uint64_t offset, uint64_t bytes, const struct iovec *iov, int iovcnt, int rwf)
{
    Bounce bounce = {.file = file, .iov = iov, .iovcnt = iovcnt, .rwf = rwf};
    RangeHold hold;
    int ret;

    if (!file_is_aligned(file, offset, bytes, iov, iovcnt))
        return for_each_bounce(&bounce, offset, bytes, bounce_write);
    range_lock(&file->writes, &hold, offset, bytes, false);
    ret = host_pwritev(file->fd, iov, iovcnt, (off_t)offset, rwf);
    range_unlock(&file->writes, &hold);
    return ret;
}
