/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Decompression of a bzImage's payload on the host, at the host's speed.
 *
 * The compressions are those of the kernel's lib/decompress*.c: gzip (RFC 1952), bzip2, xz (with
 * the x86 BCJ filter), zstd (RFC 8878) and the lz4 legacy frame (LZ4_Frame_format.md). lzma and lzo
 * are recognised by name only: such a kernel unpacks itself.
 *
 * Input is untrusted: output is bounded by the caller, and so is the working memory of xz.
 */
#include <bzlib.h>
#include <lz4.h>
#include <lzma.h>
#include <string.h>
#include <zlib.h>
#include <zstd.h>

#include "core/bits.h"
#include "core/error.h"
#include "load.h"

#define XZ_MEMORY_MAX (256 * MIB)
#define LZ4_LEGACY_BLOCK (8 * MIB) /* uncompressed size of every block but the last */

typedef struct Unpack {
    const uint8_t *in;
    size_t in_len;
    uint8_t *out;
    size_t max;
    size_t done; /* bytes of out produced */
} Unpack;

static bool unpack_gzip(Unpack *u)
{
    z_stream z = {.next_in = (Bytef *)u->in, .avail_in = u->in_len, .next_out = u->out, .avail_out = u->max};

    if (inflateInit2(&z, 15 + 16) != Z_OK)
        return false;
    int ret = inflate(&z, Z_FINISH);
    u->done = z.total_out;
    inflateEnd(&z);
    return ret == Z_STREAM_END;
}

static bool unpack_bzip2(Unpack *u)
{
    bz_stream b = {.next_in = (char *)u->in, .avail_in = u->in_len, .next_out = (char *)u->out, .avail_out = u->max};

    if (BZ2_bzDecompressInit(&b, 0, 0) != BZ_OK)
        return false;
    int ret = BZ2_bzDecompress(&b);
    u->done = u->max - b.avail_out;
    BZ2_bzDecompressEnd(&b);
    return ret == BZ_STREAM_END;
}

static bool unpack_xz(Unpack *u)
{
    lzma_stream s = LZMA_STREAM_INIT;

    if (lzma_stream_decoder(&s, XZ_MEMORY_MAX, 0) != LZMA_OK)
        return false;
    s.next_in = u->in;
    s.avail_in = u->in_len;
    s.next_out = u->out;
    s.avail_out = u->max;
    lzma_ret ret = lzma_code(&s, LZMA_FINISH);
    u->done = s.total_out;
    lzma_end(&s);
    return ret == LZMA_STREAM_END;
}

static bool unpack_zstd(Unpack *u)
{
    size_t frame = ZSTD_findFrameCompressedSize(u->in, u->in_len);
    if (ZSTD_isError(frame))
        return false;
    size_t n = ZSTD_decompress(u->out, u->max, u->in, frame);
    if (ZSTD_isError(n))
        return false;
    u->done = n;
    return true;
}

/* Blocks of {le32 compressed size, data} after the magic; a magic may start a further frame. */
static bool unpack_lz4(Unpack *u)
{
    size_t pos = 4;

    while (u->in_len - pos > 4) { /* a payload's last 4 bytes are its unpacked length, no block */
        uint32_t size = load_le(u->in + pos, 4);
        pos += 4;
        if (size == 0x184c2102)
            continue;
        if (!size || !range_ok(pos, size, u->in_len))
            return false;
        size_t room = MIN(u->max - u->done, LZ4_LEGACY_BLOCK);
        int n = LZ4_decompress_safe((const char *)u->in + pos, (char *)u->out + u->done, size, room);
        if (n < 0)
            return false;
        u->done += n;
        pos += size;
    }
    return u->done;
}

static const struct Compression {
    const char *name;
    const char *magic;
    uint8_t magic_len;
    bool (*unpack)(Unpack *u); /* NULL: known, not supported */
} compressions[] = {
    {"gzip", "\x1f\x8b\x08", 3, unpack_gzip},
    {"bzip2", "BZh", 3, unpack_bzip2},
    {"xz", "\xfd" "7zXZ\0", 6, unpack_xz},
    {"zstd", "\x28\xb5\x2f\xfd", 4, unpack_zstd},
    {"lz4", "\x02\x21\x4c\x18", 4, unpack_lz4},
    {"lzma", "\x5d\0\0", 3, NULL},
    {"lzo", "\x89" "LZO\0\r\n\x1a\n", 9, NULL},
};

static const struct Compression *find_compression(const uint8_t *data, size_t len)
{
    for (size_t i = 0; i < G_N_ELEMENTS(compressions); i++) {
        const struct Compression *c = &compressions[i];
        if (len >= c->magic_len && !memcmp(data, c->magic, c->magic_len))
            return c;
    }
    return NULL;
}

const char *unpack_name(const uint8_t *data, size_t len)
{
    const struct Compression *c = find_compression(data, len);
    return c ? c->name : NULL;
}

bool unpack(const uint8_t *data, size_t len, size_t max, uint8_t **out, size_t *out_len, GError **errp)
{
    const struct Compression *c = find_compression(data, len);

    if (!c)
        return error_set(errp, "unknown compression");
    if (!c->unpack)
        return error_set(errp, "%s compression is not supported", c->name);
    if (len > UINT32_MAX || max > UINT32_MAX) /* zlib and bzip2 count in 32 bits */
        return error_set(errp, "%s data too large", c->name);
    uint8_t *buf = g_try_malloc(max);
    if (!buf)
        return error_set(errp, "no memory to unpack %zu MiB", (size_t)(max / MIB));
    Unpack u = {.in = data, .in_len = len, .out = buf, .max = max};
    if (!c->unpack(&u)) {
        g_free(buf);
        return error_set(errp, "%s data is damaged, truncated, or unpacks to more than %zu MiB", c->name,
                         (size_t)(max / MIB));
    }
    *out = buf;
    *out_len = u.done;
    return true;
}
