/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * compare: do two images show the same disk.
 *
 * Exit status: 0 yes, 1 no, 2 an image cannot be opened, 3 it cannot be found out where data is, 4 data cannot be read.
 */
#include <stdio.h>
#include <string.h>

#include "core/error.h"
#include "core/iov.h"
#include "src/img/img.h"

#define BUFFER_BYTES (1u << 20)

enum { STATUS_SAME = 0, STATUS_DIFFERENT = 1, STATUS_NOT_OPEN = 2, STATUS_NO_STATUS = 3, STATUS_NOT_READ = 4 };

typedef struct CompareArgs {
    ImgArgs base;
    const char *second_format;
    bool strict;
} CompareArgs;

typedef struct Compare {
    const CompareArgs *args;
    BlockNode *nodes[2];
    uint8_t *buf[2];
    ImgProgress progress;
    GError **errp;
} Compare;

static int differ(const Compare *c, const char *fmt, uint64_t offset)
{
    if (!c->args->base.quiet)
        printf(fmt, offset);
    return STATUS_DIFFERENT;
}

static int read_one(Compare *c, unsigned i, uint64_t offset, uint64_t bytes)
{
    int ret = block_pread(c->nodes[i], offset, c->buf[i], bytes);

    if (ret == 0)
        return STATUS_SAME;
    error_set_errno(c->errp, -ret, "cannot read '%s' at offset %" G_GUINT64_FORMAT, c->nodes[i]->filename, offset);
    return STATUS_NOT_READ;
}

static uint64_t first_difference(const uint8_t *a, const uint8_t *b, uint64_t bytes)
{
    uint64_t at = 0;

    while (at < bytes && a[at] == b[at])
        at++;
    return at;
}

/* The bytes are data in at least one; zero tells which is known to be zeroes. */
static int compare_data(Compare *c, uint64_t offset, uint64_t bytes, const bool zero[2])
{
    for (uint64_t done = 0; done < bytes; done += BUFFER_BYTES) {
        uint64_t part = MIN(bytes - done, BUFFER_BYTES);
        for (unsigned i = 0; i < 2; i++) {
            int status = zero[i] ? STATUS_SAME : read_one(c, i, offset + done, part);
            if (status != STATUS_SAME)
                return status;
        }
        if (zero[0] || zero[1]) {
            if (buffer_is_zero(c->buf[zero[0]], part))
                continue;
            memset(c->buf[!zero[0]], 0, part);
        } else if (memcmp(c->buf[0], c->buf[1], part) == 0) {
            continue;
        }
        return differ(c, "Content mismatch at offset %" G_GUINT64_FORMAT "!\n",
                      offset + done + first_difference(c->buf[0], c->buf[1], part));
    }
    return STATUS_SAME;
}

static int find_status(Compare *c, unsigned i, uint64_t offset, uint64_t *bytes, bool *zero, bool *allocated)
{
    BlockStatus status;
    int depth, ret;

    if (offset >= block_node_size(c->nodes[i])) { /* the shorter one */
        *zero = true;
        *allocated = false;
        return STATUS_SAME;
    }
    ret = block_status_above(c->nodes[i], NULL, offset, MIN(*bytes, block_node_size(c->nodes[i]) - offset), &status, &depth);
    if (ret < 0) {
        error_set_errno(c->errp, -ret, "cannot find the data of '%s' at offset %" G_GUINT64_FORMAT, c->nodes[i]->filename, offset);
        return STATUS_NO_STATUS;
    }
    *bytes = status.bytes;
    *zero = status.flags & BLOCK_STATUS_ZERO;
    *allocated = status.flags & BLOCK_STATUS_DATA;
    return STATUS_SAME;
}

static int compare_all(Compare *c)
{
    uint64_t sizes[2] = {block_node_size(c->nodes[0]), block_node_size(c->nodes[1])}, total = MAX(sizes[0], sizes[1]);
    bool strict = c->args->strict;

    if (strict && sizes[0] != sizes[1])
        return differ(c, "Strict mode: Image size mismatch!\n", 0);
    img_progress_start(&c->progress, c->args->base.progress && !c->args->base.quiet, total);
    for (uint64_t offset = 0, bytes; offset < total; offset += bytes) {
        bool zero[2], allocated[2];
        int status;
        bytes = total - offset;
        for (unsigned i = 0; i < 2; i++) {
            status = find_status(c, i, offset, &bytes, &zero[i], &allocated[i]);
            if (status != STATUS_SAME)
                return status;
        }
        if (strict && allocated[0] != allocated[1])
            return differ(c, "Strict mode: Offset %" G_GUINT64_FORMAT " block status mismatch!\n", offset);
        status = zero[0] && zero[1] ? STATUS_SAME : compare_data(c, offset, bytes, zero);
        if (status != STATUS_SAME)
            return status;
        img_progress_add(&c->progress, bytes);
    }
    img_progress_end(&c->progress);
    if (c->args->base.quiet)
        return STATUS_SAME;
    if (sizes[0] != sizes[1])
        puts("Warning: Image size mismatch!");
    puts("Images are identical.");
    return STATUS_SAME;
}

static int run(void *opaque, GError **errp)
{
    const CompareArgs *args = opaque;
    ImgOpen how = {.format = args->base.format, .cache = args->base.src_cache, .image_opts = args->base.image_opts,
                   .force_share = args->base.force_share};
    g_autoptr(BlockNode) first = img_open(args->base.operands[0], &how, errp);
    how.format = args->second_format;
    g_autoptr(BlockNode) second = first ? img_open(args->base.operands[1], &how, errp) : NULL;
    g_autofree uint8_t *buf = g_malloc(2 * BUFFER_BYTES);
    Compare c = {.args = args, .nodes = {first, second}, .buf = {buf, buf + BUFFER_BYTES}, .errp = errp};

    return second ? compare_all(&c) : -1;
}

static const ImgOption options[] = {
    {'f', NULL, "FMT", IMG_STRING, offsetof(ImgArgs, format), "the first image's format; else it is guessed"},
    {'F', NULL, "FMT", IMG_STRING, offsetof(CompareArgs, second_format), "the second image's format; else it is guessed"},
    {'s', NULL, NULL, IMG_FLAG, offsetof(CompareArgs, strict), "sizes and allocated parts have to be the same too"},
    IMG_OPT_SRC_CACHE('T'), IMG_OPT_IMAGE_OPTS, IMG_OPT_SHARE, IMG_OPT_PROGRESS, IMG_OPT_OBJECT, IMG_OPT_QUIET, IMG_OPT_END,
};

const ImgCommand img_compare = {
    "compare", "FILENAME1 FILENAME2", "tells whether two images show the same disk", options, sizeof(CompareArgs), 2, 2, STATUS_NOT_OPEN, run,
};
