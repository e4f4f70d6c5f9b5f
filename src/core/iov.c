/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "core/iov.h"

#include <glib.h>
#include <string.h>

size_t iov_size(const struct iovec *iov, int iovcnt)
{
    size_t size = 0;

    for (int i = 0; i < iovcnt; i++)
        size += iov[i].iov_len;
    return size;
}

int iov_slice(struct iovec *out, const struct iovec *iov, int iovcnt, size_t skip, size_t len)
{
    int n = 0;

    for (int i = 0; i < iovcnt && len; i++) {
        if (skip >= iov[i].iov_len) {
            skip -= iov[i].iov_len;
            continue;
        }
        size_t part = MIN(iov[i].iov_len - skip, len);
        out[n++] = (struct iovec){(char *)iov[i].iov_base + skip, part};
        len -= part;
        skip = 0;
    }
    return n;
}

/* Calls fn for each piece of the len bytes skip into the vector, with their distance from the first. */
static size_t walk(const struct iovec *iov, int iovcnt, size_t skip, size_t len,
                   void (*fn)(char *piece, size_t at, size_t len, void *opaque), void *opaque)
{
    size_t done = 0;

    for (int i = 0; i < iovcnt && done < len; i++) {
        if (skip >= iov[i].iov_len) {
            skip -= iov[i].iov_len;
            continue;
        }
        size_t part = MIN(iov[i].iov_len - skip, len - done);
        fn((char *)iov[i].iov_base + skip, done, part, opaque);
        done += part;
        skip = 0;
    }
    return done;
}

static void copy_out(char *piece, size_t at, size_t len, void *opaque)
{
    memcpy((char *)opaque + at, piece, len);
}

static void copy_in(char *piece, size_t at, size_t len, void *opaque)
{
    memcpy(piece, (const char *)opaque + at, len);
}

static void fill(char *piece, size_t at, size_t len, void *opaque)
{
    memset(piece, *(const int *)opaque, len);
}

size_t iov_to_buf(const struct iovec *iov, int iovcnt, size_t skip, void *buf, size_t len)
{
    return walk(iov, iovcnt, skip, len, copy_out, buf);
}

size_t iov_from_buf(const struct iovec *iov, int iovcnt, size_t skip, const void *buf, size_t len)
{
    return walk(iov, iovcnt, skip, len, copy_in, (void *)buf);
}

size_t iov_memset(const struct iovec *iov, int iovcnt, size_t skip, int byte, size_t len)
{
    return walk(iov, iovcnt, skip, len, fill, &byte);
}

/* Data differs from zero early as a rule: the first words decide, memcmp with itself does the rest. */
bool buffer_is_zero(const void *buf, size_t len)
{
    const uint8_t *p = buf;
    size_t head = MIN(len, 16);

    for (size_t i = 0; i < head; i++) {
        if (p[i])
            return false;
    }
    return len <= 16 || memcmp(p, p + 16, len - 16) == 0;
}

bool iov_is_zero(const struct iovec *iov, int iovcnt)
{
    for (int i = 0; i < iovcnt; i++) {
        if (!buffer_is_zero(iov[i].iov_base, iov[i].iov_len))
            return false;
    }
    return true;
}
