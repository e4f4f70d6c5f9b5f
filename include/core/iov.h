/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Scattered buffers: struct iovec as readv(2) has it.
 */
#ifndef CORE_IOV_H
#define CORE_IOV_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

size_t iov_size(const struct iovec *iov, int iovcnt);
/* Copies at most len bytes from or to the place skip bytes into the vector; returns how many there were. */
size_t iov_to_buf(const struct iovec *iov, int iovcnt, size_t skip, void *buf, size_t len);
size_t iov_from_buf(const struct iovec *iov, int iovcnt, size_t skip, const void *buf, size_t len);
size_t iov_memset(const struct iovec *iov, int iovcnt, size_t skip, int byte, size_t len);
/* The len bytes skip into iov, as a vector in out (room for iovcnt); returns its count. */
int iov_slice(struct iovec *out, const struct iovec *iov, int iovcnt, size_t skip, size_t len);
bool iov_is_zero(const struct iovec *iov, int iovcnt);
bool buffer_is_zero(const void *buf, size_t len);

#endif
