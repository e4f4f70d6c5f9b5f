/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Guessing an image's format: from the fixed list of drivers, by the beginning of the file.
 *
 * A guest that writes another format's header into a raw disk could have the host open a file of its choice at the
 * next start. So a guessed raw image refuses such a write (raw.c), and names in the header of a guessed
 * image are not followed (open.c).
 */
#include <errno.h>

#include "core/error.h"
#include "src/block/block-int.h"

const BlockDriver *block_probe_head(const uint8_t *head, uint64_t file_size)
{
    const BlockDriver *best = &block_driver_raw;
    unsigned best_score = 0;

    for (const BlockDriver *const *driver = block_drivers; *driver; driver++) {
        unsigned score = (*driver)->probe ? (*driver)->probe(head, BLOCK_PROBE_BYTES, file_size) : 0;
        if (score > best_score) {
            best = *driver;
            best_score = score;
        }
    }
    return best;
}

const BlockDriver *block_probe(BlockNode *file, GError **errp)
{
    uint8_t head[BLOCK_PROBE_BYTES] = {0};
    uint64_t size = block_node_size(file);
    int ret = block_pread(file, 0, head, MIN(size, sizeof(head)));

    if (ret < 0) {
        error_set_errno(errp, -ret, "cannot read the beginning of '%s'", file->filename);
        return NULL;
    }
    return block_probe_head(head, size);
}
