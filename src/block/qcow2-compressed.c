/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Compressed clusters: a raw deflate stream (zlib, window of 4 KiB) or one zstd frame, at any byte, described in sectors.
 */
#include <errno.h>
#include <zlib.h>
#include <zstd.h>

#include "core/bits.h"
#include "src/block/qcow2.h"

#define DEFLATE_WINDOW (-12) /* raw, 4 KiB */
#define DEFLATE_LEVEL 5      /* in so small a window, zlib's default of 6 saves 3 bytes in 1000 for a fifth more time */
#define DEFLATE_MEMORY 9     /* the most: it is a thread's, and no more than 0.3 MiB */

void qcow2_compressed_place(const Qcow2 *q, uint64_t entry, uint64_t *offset, uint64_t *bytes)
{
    unsigned shift = 62 - (q->cluster_bits - 8);
    uint64_t sectors = (entry >> shift & (BIT(q->cluster_bits - 8) - 1)) + 1;

    *offset = entry & (BIT(shift) - 1);
    *bytes = sectors * BLOCK_SECTOR_SIZE - (*offset & (BLOCK_SECTOR_SIZE - 1));
}

/* The stream may end before the sectors do; the output must be a whole cluster. */
static bool inflate_cluster(const uint8_t *in, size_t in_len, uint8_t *out, size_t out_len)
{
    z_stream z = {.next_in = (Bytef *)in, .avail_in = (uInt)in_len, .next_out = out, .avail_out = (uInt)out_len};
    int rc;

    if (inflateInit2(&z, DEFLATE_WINDOW) != Z_OK)
        return false;
    rc = inflate(&z, Z_FINISH);
    inflateEnd(&z);
    return (rc == Z_STREAM_END || rc == Z_BUF_ERROR) && z.avail_out == 0;
}

static bool unzstd_cluster(const uint8_t *in, size_t in_len, uint8_t *out, size_t out_len)
{
    ZSTD_DCtx *ctx = ZSTD_createDCtx();
    ZSTD_inBuffer from = {in, in_len, 0};
    ZSTD_outBuffer to = {out, out_len, 0};
    bool ok = ctx != NULL;

    while (ok && to.pos < to.size) {
        size_t before = to.pos, rc = ZSTD_decompressStream(ctx, &to, &from);
        ok = !ZSTD_isError(rc) && (to.pos > before || from.pos < from.size);
        if (rc == 0)
            break;
    }
    ZSTD_freeDCtx(ctx);
    return ok && to.pos == to.size;
}

int qcow2_decompress(Qcow2 *q, uint64_t entry, uint8_t *buf)
{
    uint64_t offset, bytes, size = block_node_size(qcow2_file(q));
    bool ok;
    int ret;

    qcow2_compressed_place(q, entry, &offset, &bytes);
    if (offset >= size)
        return -EIO;
    bytes = MIN(bytes, size - offset); /* the last sector may not be there in full */
    g_autofree uint8_t *in = g_malloc(bytes);
    ret = block_pread(qcow2_file(q), offset, in, bytes);
    if (ret < 0)
        return ret;
    ok = q->compression == QCOW_COMPRESSION_ZSTD ? unzstd_cluster(in, bytes, buf, q->cluster_size)
                                                 : inflate_cluster(in, bytes, buf, q->cluster_size);
    return ok ? 0 : -EIO;
}

static size_t deflate_cluster(const uint8_t *in, size_t in_len, uint8_t *out, size_t out_len)
{
    z_stream z = {.next_in = (Bytef *)in, .avail_in = (uInt)in_len, .next_out = out, .avail_out = (uInt)out_len};
    int rc;

    if (deflateInit2(&z, DEFLATE_LEVEL, Z_DEFLATED, DEFLATE_WINDOW, DEFLATE_MEMORY, Z_DEFAULT_STRATEGY) != Z_OK)
        return 0;
    rc = deflate(&z, Z_FINISH);
    deflateEnd(&z);
    return rc == Z_STREAM_END ? out_len - z.avail_out : 0;
}

size_t qcow2_compress(const Qcow2 *q, const uint8_t *cluster, uint8_t *out)
{
    size_t limit = q->cluster_size - 1, len;

    if (q->compression != QCOW_COMPRESSION_ZSTD)
        return deflate_cluster(cluster, q->cluster_size, out, limit);
    len = ZSTD_compress(out, limit, cluster, q->cluster_size, ZSTD_CLEVEL_DEFAULT);
    return ZSTD_isError(len) ? 0 : len;
}
