/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Human monitor commands about disks.
 */
#include <string.h>

#include "block/backend.h"
#include "config/keyval.h"
#include "core/error.h"
#include "hmp-internal.h"
#include "medium.h"

static void print_drive(BlockBackend *blk, GString *out)
{
    const BlockNode *root = blk_root(blk);

    g_string_append_printf(out, "%s: ", blk_name(blk));
    if (!root) {
        g_string_append(out, "[not inserted]\n");
        return;
    }
    g_string_append_printf(out, "%s (%s%s)\n    size: %" G_GUINT64_FORMAT " bytes, cache: %s%s%s\n", root->filename,
                           root->driver->name, root->read_only ? ", read-only" : "", blk_size(blk),
                           blk_write_cache(blk) ? "writeback" : "writethrough", root->cache_direct ? ", direct" : "",
                           root->cache_no_flush ? ", ignore flushes" : "");
    unsigned depth = 0;
    for (const BlockNode *node = root->backing; node && depth < BLOCK_MAX_CHAIN; node = node->backing, depth++)
        g_string_append_printf(out, "    backing file: %s (%s)\n", node->filename, node->driver->name);
}

static bool info_block(HmpContext *ctx, GError **errp)
{
    for (BlockBackend *blk = blk_next(NULL); blk; blk = blk_next(blk))
        print_drive(blk, ctx->out);
    return true;
}

static bool info_blockstats(HmpContext *ctx, GError **errp)
{
    for (BlockBackend *blk = blk_next(NULL); blk; blk = blk_next(blk)) {
        BlockStats s;
        blk_get_stats(blk, &s);
        g_string_append_printf(ctx->out,
                               "%s: rd_bytes=%" G_GUINT64_FORMAT " wr_bytes=%" G_GUINT64_FORMAT
                               " rd_operations=%" G_GUINT64_FORMAT " wr_operations=%" G_GUINT64_FORMAT
                               " flush_operations=%" G_GUINT64_FORMAT " failed=%" G_GUINT64_FORMAT "\n",
                               blk_name(blk), s.bytes[BLOCK_READ], s.bytes[BLOCK_WRITE], s.ops[BLOCK_READ],
                               s.ops[BLOCK_WRITE], s.ops[BLOCK_FLUSH],
                               s.failed[BLOCK_READ] + s.failed[BLOCK_WRITE] + s.failed[BLOCK_FLUSH]);
    }
    return true;
}

static bool block_resize(HmpContext *ctx, GError **errp)
{
    g_autofree char *id = NULL, *text = NULL;
    uint64_t size;

    if (!hmp_need_word(ctx, "the drive", &id, errp) || !hmp_need_word(ctx, "the size", &text, errp) || !hmp_end(ctx, errp))
        return false;
    BlockBackend *blk = blk_find(id);
    if (!blk)
        return error_set(errp, "there is no drive '%s'; 'info block' lists them", id);
    if (!parse_size(text, 1 << 20, &size) || size > BLOCK_MAX_SIZE)
        return error_set(errp, "'%s' is not a size; give MiB, or use a suffix", text);
    return blk_resize(blk, size, errp);
}

static bool commit(HmpContext *ctx, GError **errp)
{
    g_autofree char *id = NULL;
    unsigned count;

    if (!hmp_need_word(ctx, "the drive, or 'all'", &id, errp) || !hmp_end(ctx, errp))
        return false;
    if (strcmp(id, "all") == 0)
        return blk_commit_all(&count, errp);
    BlockBackend *blk = blk_find(id);
    return blk ? blk_commit(blk, errp) : error_set(errp, "there is no drive '%s'; 'info block' lists them", id);
}

static bool eject(HmpContext *ctx, GError **errp)
{
    bool force = hmp_take_flag(ctx, 'f');
    g_autofree char *id = NULL;

    if (!hmp_need_word(ctx, "the drive", &id, errp) || !hmp_end(ctx, errp))
        return false;
    BlockBackend *blk = medium_find_drive(ctx->machine, id, NULL, errp);
    return blk && medium_eject(blk, force, errp);
}

static bool change(HmpContext *ctx, GError **errp)
{
    bool force = hmp_take_flag(ctx, 'f');
    g_autofree char *id = NULL, *path = NULL, *format = NULL;

    if (!hmp_need_word(ctx, "the drive", &id, errp) || !hmp_need_word(ctx, "the image", &path, errp))
        return false;
    format = hmp_take_word(ctx);
    BlockBackend *blk = hmp_end(ctx, errp) ? medium_find_drive(ctx->machine, id, NULL, errp) : NULL;
    return blk && medium_change(blk, path, format, force, errp);
}

const HmpCommand hmp_block_commands[] = {
    {"info block", NULL, info_block, "drives and their images"},
    {"info blockstats", NULL, info_blockstats, "the drives' counters"},
    {"change", "[-f] DRIVE FILE [FORMAT]", change, "put another medium into a CD-ROM drive; -f: even if it is locked"},
    {"eject", "[-f] DRIVE", eject, "take the medium out of a CD-ROM drive"},
    {"commit", "DRIVE|all", commit, "write a drive's changes into its backing file (snapshot=on, overlays)"},
    {"block_resize", "DRIVE SIZE", block_resize, "grow or shrink a drive's image"},
    {0},
};
