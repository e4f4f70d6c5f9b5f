/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * snapshot=on: the image is only read, writes go to a qcow2 overlay in a file without a name.
 */
#include <errno.h>
#include <unistd.h>

#include "core/bits.h"
#include "core/error.h"
#include "src/block/block-int.h"

/* The file is ours alone from its creation and has lost its name when this returns. */
static BlockNode *open_unnamed_file(GError **errp)
{
    const char *folder = g_getenv("TMPDIR");
    g_autofree char *path = g_build_filename(folder ? folder : "/var/tmp", "vmm-snapshot-XXXXXX", NULL);
    int fd = g_mkstemp(path);
    BlockNode *file;

    if (fd < 0) {
        error_set_errno(errp, errno, "cannot create a temporary file '%s'; TMPDIR names another directory", path);
        return NULL;
    }
    file = block_node_open_file(path, "file", BLOCK_OPEN_RDWR, errp);
    unlink(path);
    close(fd);
    if (file)
        file->cache_no_flush = true; /* it does not outlive us */
    return file;
}

BlockNode *block_open_temporary(KvNode *options, GError **errp)
{
    g_autoptr(BlockNode) base = NULL, file = NULL;
    const char *wish = keyval_get(options, "read-only");
    bool read_only = false;
    BlockNode *node;

    if (wish)
        parse_bool(wish, &read_only);
    if (!keyval_set(options, "read-only", "on", errp))
        return NULL;
    base = block_node_open(options, BLOCK_OPEN_WARN_PROBED, errp);
    file = base ? open_unnamed_file(errp) : NULL;
    if (!file || !block_driver_qcow2.create(file, NULL, block_node_size(base), errp))
        return NULL;
    for (BlockNode *at = base; at; at = at->file)
        at->opt_read_only = read_only; /* the user's wish again: "commit" may write */
    node = block_node_new(&block_driver_qcow2, NULL);
    node->discard = base->discard;
    node->detect_zeroes = base->detect_zeroes;
    node->filename = g_strdup_printf("%s (temporary overlay)", base->filename);
    node->backing_given = true;
    node->backing = g_steal_pointer(&base);
    return block_node_start(node, g_steal_pointer(&file), BLOCK_OPEN_RDWR, errp);
}
