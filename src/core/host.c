/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Host calls that can fail; see the header. The fault seam is process-wide because it stands in
 * for the host; only tests turn it on.
 */
#include "core/host.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/memfd.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/bits.h"
#include "core/error.h"
#include "core/fdset.h"

#define SMALL_PAGE 4096u
#define HUGE_PAGE (2u << 20)

static uint64_t fault_state; /* 0: off; else the state of a xorshift generator */

void host_fault_seed(uint64_t seed)
{
    __atomic_store_n(&fault_state, seed, __ATOMIC_RELAXED);
}

/* True about once in 16 calls when the seam is on; errno is set. */
static bool fault_injected(void)
{
    uint64_t s = __atomic_load_n(&fault_state, __ATOMIC_RELAXED);

    if (G_LIKELY(!s))
        return false;
    s ^= s << 13;
    s ^= s >> 7;
    s ^= s << 17;
    __atomic_store_n(&fault_state, s, __ATOMIC_RELAXED);
    if (s % 16)
        return false;
    errno = EIO;
    return true;
}

static int open_name(const char *path, int flags, mode_t mode)
{
    return g_str_has_prefix(path, FDSET_PREFIX) ? fdset_open(path, flags) : open(path, flags, mode);
}

int host_open(const char *path, int flags, mode_t mode, const char *purpose, GError **errp)
{
    int fd;

    do {
        fd = fault_injected() ? -1 : open_name(path, flags | O_CLOEXEC, mode);
    } while (fd < 0 && errno == EINTR);
    if (fd < 0)
        error_set_errno(errp, errno, "cannot open %s '%s'", purpose, path);
    return fd;
}

/* One transfer; offset counts only for the positioned calls. */
typedef ssize_t (*TransferFn)(int fd, void *buf, size_t len, off_t offset);

static ssize_t read_some(int fd, void *buf, size_t len, off_t offset)
{
    return read(fd, buf, len);
}

static ssize_t write_some(int fd, void *buf, size_t len, off_t offset)
{
    return write(fd, buf, len);
}

static ssize_t pwrite_some(int fd, void *buf, size_t len, off_t offset)
{
    return pwrite(fd, buf, len, offset);
}

static bool transfer_full(TransferFn transfer, int fd, void *buf, size_t len, off_t offset)
{
    for (size_t done = 0; done < len;) {
        ssize_t n = fault_injected() ? -1 : transfer(fd, (char *)buf + done, len - done, offset + (off_t)done);
        if (n > 0) {
            done += (size_t)n;
        } else if (n == 0) {
            errno = 0;
            return false;
        } else if (errno != EINTR) {
            return false;
        }
    }
    return true;
}

bool host_read_full(int fd, void *buf, size_t len)
{
    return transfer_full(read_some, fd, buf, len, 0);
}

bool host_write_full(int fd, const void *buf, size_t len)
{
    return transfer_full(write_some, fd, (void *)buf, len, 0);
}

bool host_pread_full(int fd, void *buf, size_t len, off_t offset)
{
    return transfer_full(pread, fd, buf, len, offset);
}

bool host_pwrite_full(int fd, const void *buf, size_t len, off_t offset)
{
    return transfer_full(pwrite_some, fd, (void *)buf, len, offset);
}

/* Moves done bytes out of the copy iov[0..*iovcnt). */
static struct iovec *vector_advance(struct iovec *iov, int *iovcnt, size_t done)
{
    while (*iovcnt && done >= iov->iov_len) {
        done -= iov->iov_len;
        iov++;
        (*iovcnt)--;
    }
    if (*iovcnt) {
        iov->iov_base = (char *)iov->iov_base + done;
        iov->iov_len -= done;
    }
    return iov;
}

#define COPY_ON_STACK 16

typedef ssize_t (*VectorFn)(int fd, const struct iovec *iov, int iovcnt, off_t offset, int rwf);

/* The bytes transferred until the end, the first error (then -errno), or a transfer of nothing. */
static ssize_t transfer_vector(VectorFn transfer, int fd, const struct iovec *iov, int iovcnt, off_t offset, int rwf)
{
    struct iovec few[COPY_ON_STACK];
    g_autofree struct iovec *many = iovcnt > COPY_ON_STACK ? g_new(struct iovec, (size_t)iovcnt) : NULL;
    struct iovec *left = memcpy(many ? many : few, iov, (size_t)iovcnt * sizeof(*iov));
    ssize_t done = 0;

    for (left = vector_advance(left, &iovcnt, 0); iovcnt;) {
        ssize_t n = fault_injected() ? -1 : transfer(fd, left, MIN(iovcnt, IOV_MAX), offset + done, rwf);
        if (n == 0)
            break;
        if (n < 0 && errno != EINTR)
            return -errno;
        if (n > 0) {
            done += n;
            left = vector_advance(left, &iovcnt, (size_t)n);
        }
    }
    return done;
}

ssize_t host_preadv(int fd, const struct iovec *iov, int iovcnt, off_t offset)
{
    return transfer_vector(preadv2, fd, iov, iovcnt, offset, 0);
}

int host_pwritev(int fd, const struct iovec *iov, int iovcnt, off_t offset, int rwf)
{
    ssize_t n = transfer_vector(pwritev2, fd, iov, iovcnt, offset, rwf);
    size_t len = 0;

    for (int i = 0; i < iovcnt; i++)
        len += iov[i].iov_len;
    if (n < 0)
        return (int)n;
    return (size_t)n == len ? 0 : -ENOSPC; /* a write of nothing: no file system does it for another reason */
}

ssize_t host_preadv_nowait(int fd, const struct iovec *iov, int iovcnt, off_t offset)
{
    ssize_t n = preadv2(fd, iov, iovcnt, offset, RWF_NOWAIT);

    return n < 0 ? -errno : n;
}

ssize_t host_pwritev_nowait(int fd, const struct iovec *iov, int iovcnt, off_t offset)
{
    ssize_t n = pwritev2(fd, iov, iovcnt, offset, RWF_NOWAIT);

    return n < 0 ? -errno : n;
}

ssize_t host_copy_file_range(int from, off_t from_offset, int to, off_t to_offset, size_t bytes)
{
    ssize_t n;

    do {
        n = fault_injected() ? -1 : copy_file_range(from, &from_offset, to, &to_offset, bytes, 0);
    } while (n < 0 && errno == EINTR);
    return n < 0 ? -errno : n;
}

int host_fdatasync(int fd)
{
    int rc;

    do {
        rc = fault_injected() ? -1 : fdatasync(fd);
    } while (rc < 0 && errno == EINTR);
    return rc < 0 ? -errno : 0;
}

int host_fallocate(int fd, int mode, off_t offset, off_t len)
{
    int rc;

    do {
        rc = fault_injected() ? -1 : fallocate(fd, mode, offset, len);
    } while (rc < 0 && errno == EINTR);
    return rc < 0 ? -errno : 0;
}

bool host_load_file(const char *path, size_t max, const char *purpose, guint8 **data, size_t *len, GError **errp)
{
    g_autofree guint8 *buf = NULL;
    struct stat st;
    int fd = host_open(path, O_RDONLY, 0, purpose, errp);

    if (fd < 0)
        return false;
    if (fstat(fd, &st) < 0) {
        error_set_errno(errp, errno, "cannot examine %s '%s'", purpose, path);
        goto close_fd;
    }
    if (!S_ISREG(st.st_mode)) {
        error_set(errp, "%s '%s' is not a regular file", purpose, path);
        goto close_fd;
    }
    if ((uint64_t)st.st_size > max) {
        error_set(errp, "%s '%s' is %" G_GINT64_FORMAT " bytes long, more than the %zu allowed", purpose,
                  path, (gint64)st.st_size, max);
        goto close_fd;
    }
    buf = g_try_malloc((size_t)st.st_size + 1);
    if (!buf) {
        error_set(errp, "no memory for the %" G_GINT64_FORMAT " bytes of %s '%s'", (gint64)st.st_size,
                  purpose, path);
        goto close_fd;
    }
    if (!host_read_full(fd, buf, (size_t)st.st_size)) {
        error_set_errno(errp, errno ? errno : EIO, "cannot read %s '%s'", purpose, path);
        goto close_fd;
    }
    close(fd);
    buf[st.st_size] = 0;
    *data = g_steal_pointer(&buf);
    *len = (size_t)st.st_size;
    return true;

close_fd:
    close(fd);
    return false;
}

static unsigned hugepage_flags(unsigned size)
{
    return size ? MFD_HUGETLB | (unsigned)__builtin_ctz(size) << MFD_HUGE_SHIFT : 0;
}

int host_memfd(const char *name, uint64_t size, unsigned hugepage_size, GError **errp)
{
    int fd = fault_injected()
                 ? -1
                 : memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING | hugepage_flags(hugepage_size));

    if (fd < 0) {
        error_set_errno(errp, errno, "cannot create a memory file for '%s'", name);
        return -1;
    }
    if (ftruncate(fd, (off_t)size) < 0) {
        error_set_errno(errp, errno, "cannot give '%s' its %" G_GUINT64_FORMAT " bytes", name, size);
        close(fd);
        return -1;
    }
    return fd;
}

void *host_mmap(size_t size, int prot, int flags, int fd, off_t offset, const char *purpose, GError **errp)
{
    void *p = fault_injected() ? MAP_FAILED : mmap(NULL, size, prot, flags, fd, offset);

    if (p == MAP_FAILED) {
        error_set_errno(errp, errno, "cannot map %zu bytes for %s", size, purpose);
        return NULL;
    }
    return p;
}

void *host_io_alloc(size_t size)
{
    size_t align = size >= HUGE_PAGE / 2 ? HUGE_PAGE : SMALL_PAGE;
    void *p = NULL;

    if (fault_injected() || size > SIZE_MAX - align)
        return NULL;
    size = align_up(size, align);
    if (posix_memalign(&p, align, size) != 0)
        return NULL;
    if (align == HUGE_PAGE)
        (void)madvise(p, size, MADV_HUGEPAGE); /* a hint */
    return p;
}
