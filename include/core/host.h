/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Host calls that can fail, in one place: EINTR, short transfers and O_CLOEXEC are handled here
 * once, and a test build can inject faults (host_fault_seed).
 */
#ifndef CORE_HOST_H
#define CORE_HOST_H

#include <glib.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/uio.h>

/* open(2) with O_CLOEXEC, also of "/dev/fdset/N" (core/fdset.h); the error names the path and what it was for ("kernel image"). -1 on error. */
int host_open(const char *path, int flags, mode_t mode, const char *purpose, GError **errp);
/* Whole transfers; false with errno set (0 at end of file for reads). */
bool host_read_full(int fd, void *buf, size_t len);
bool host_write_full(int fd, const void *buf, size_t len);
bool host_pread_full(int fd, void *buf, size_t len, off_t offset);
bool host_pwrite_full(int fd, const void *buf, size_t len, off_t offset);
/* Vectors of any length. The read returns the bytes transferred, fewer than asked only at the end of the file;
 * the write is whole; rwf as for pwritev2(2). Both return -errno on failure. */
ssize_t host_preadv(int fd, const struct iovec *iov, int iovcnt, off_t offset);
int host_pwritev(int fd, const struct iovec *iov, int iovcnt, off_t offset, int rwf);
/* One transfer of what can be done at once, from and to the page cache: the bytes, -EAGAIN if it would take waiting, -EOPNOTSUPP
 * if the file system does not know. */
ssize_t host_preadv_nowait(int fd, const struct iovec *iov, int iovcnt, off_t offset);
ssize_t host_pwritev_nowait(int fd, const struct iovec *iov, int iovcnt, off_t offset);
/* copy_file_range(2): the bytes copied, 0 at the source's end, -EXDEV, -EINVAL or -EOPNOTSUPP if these two files cannot. */
ssize_t host_copy_file_range(int from, off_t from_offset, int to, off_t to_offset, size_t bytes);
int host_fdatasync(int fd);
/* fallocate(2); -errno on failure. */
int host_fallocate(int fd, int mode, off_t offset, off_t len);
/* data is NUL-terminated one byte past len, freed with g_free. */
/* A whole regular file of at most max bytes, for images that are parsed (kernels, firmware). */
bool host_load_file(const char *path, size_t max, const char *purpose, guint8 **data, size_t *len, GError **errp);
/* An anonymous memory file of that size, on huge pages of hugepage_size bytes if not 0; sealing is
 * allowed and left to the caller. -1 on error. */
int host_memfd(const char *name, uint64_t size, unsigned hugepage_size, GError **errp);
/* mmap with the errors spelled out; NULL on failure. */
void *host_mmap(size_t size, int prot, int flags, int fd, off_t offset, const char *purpose, GError **errp);
/* Memory for transfers past the page cache; free(3) it. Aligned to pages, and from 1 MiB on made of huge pages where the host has
 * some: it looks up and holds each page of a transfer. NULL if there is no memory. */
void *host_io_alloc(size_t size);
/* Test seam: about one in 16 of the calls above fails with EIO, as the seed decides; 0 turns it off. */
void host_fault_seed(uint64_t seed);

#endif
