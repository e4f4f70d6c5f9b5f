/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "qcow2-exercise.h"

#include "block-record.h"
#include "core/bits.h"

#define FILE_LIMIT (64 * MIB)

static BlockNode *open_bytes(const uint8_t *data, size_t len, unsigned flags)
{
    BlockNode *file = record_new(0), *node = block_node_new(block_driver_find("qcow2"), NULL);

    record_of(file)->limit = FILE_LIMIT;
    if (len)
        block_pwrite(file, 0, data, len, 0);
    node->discard = BLOCK_DISCARD_UNMAP;
    return block_node_start(node, file, BLOCK_OPEN_RDWR | BLOCK_OPEN_NO_BACKING | flags, NULL);
}

static void request_all(BlockNode *node)
{
    uint64_t size = block_node_size(node);
    static uint8_t buf[70000];

    for (unsigned i = 0; i < 12 && size > sizeof(buf); i++) {
        uint64_t offset = i < 4 ? i * sizeof(buf) : i < 8 ? size / 8 * (i - 4) : size - sizeof(buf) - (i - 8) * 100000;
        BlockStatus status;
        if (!range_ok(offset, sizeof(buf), size))
            continue;
        block_pread(node, offset, buf, sizeof(buf));
        block_status(node, offset, sizeof(buf), &status);
        block_pwrite(node, offset + 100, buf, 5000, 0);
        block_write_zeroes(node, offset, sizeof(buf) / 2, i & 1 ? BLOCK_MAY_UNMAP : 0);
        block_discard(node, offset, sizeof(buf));
        if (i % 4 == 3)
            block_flush(node);
    }
}

static void snapshot_all(BlockNode *node)
{
    GPtrArray *list = node->driver->snapshot_list(node);
    BlockSnapshot snapshot = {.name = (char *)"x"};

    if (list->len)
        node->driver->snapshot_apply(node, ((BlockSnapshot *)list->pdata[0])->id, NULL);
    if (node->driver->snapshot_create(node, &snapshot, NULL))
        node->driver->snapshot_delete(node, snapshot.id, NULL);
    g_free(snapshot.id);
    g_ptr_array_unref(list);
}

/* Only disks of a size at which this takes no time. */
static void resize_all(BlockNode *node)
{
    uint64_t size = block_node_size(node);

    if (size > FILE_LIMIT)
        return;
    block_truncate(node, align_up(size + 200000, 512), BLOCK_PREALLOC_METADATA, NULL);
    block_truncate(node, align_down(size / 2, 512), BLOCK_PREALLOC_OFF, NULL);
    block_truncate(node, align_up(size, 512), BLOCK_PREALLOC_OFF, NULL);
    node->driver->make_empty(node);
}

bool qcow2_exercise(const uint8_t *data, size_t len)
{
    BlockNode *node = open_bytes(data, len, 0);
    BlockCheck check = {0}, repair = {0};
    bool opened = node != NULL;

    if (node) {
        request_all(node);
        snapshot_all(node);
        resize_all(node);
    }
    block_node_unref(node);
    node = open_bytes(data, len, BLOCK_OPEN_CHECK);
    if (node) {
        node->driver->check(node, &check, 0, NULL);
        node->driver->check(node, &repair, BLOCK_FIX_LEAKS | BLOCK_FIX_ERRORS, NULL);
        request_all(node);
    }
    block_node_unref(node);
    return opened;
}
