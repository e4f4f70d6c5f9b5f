/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "block-record.h"

#include <errno.h>
#include <string.h>

#include "core/iov.h"

RecordNode *record_of(BlockNode *node)
{
    return (RecordNode *)node;
}

static bool record_open(BlockNode *node, GError **errp)
{
    node->filename = g_strdup("(record)");
    return true;
}

static void event_clear(void *opaque)
{
    g_free(((RecordEvent *)opaque)->data);
}

static void record_close(BlockNode *node)
{
    RecordNode *rec = record_of(node);

    g_array_free(rec->log, TRUE);
    g_free(rec->image);
    pthread_mutex_destroy(&rec->lock);
    pthread_cond_destroy(&rec->changed);
}

/* Every call begins here, with the lock held from now on: 0, or the fault that is due. */
static int enter(RecordNode *rec, BlockOp op, uint64_t end)
{
    pthread_mutex_lock(&rec->lock);
    rec->waiting++;
    pthread_cond_broadcast(&rec->changed);
    while (rec->held)
        pthread_cond_wait(&rec->changed, &rec->lock);
    rec->waiting--;
    if (op != BLOCK_READ && rec->limit && end > rec->limit)
        return -ENOSPC;
    if (rec->fail_count && rec->fail_op == op) {
        rec->fail_count--;
        return -rec->fail_errno;
    }
    return 0;
}

static void note(RecordNode *rec, BlockOp op, uint64_t offset, uint64_t bytes, uint8_t *data)
{
    RecordEvent event = {op, offset, bytes, data};

    if (rec->logging)
        g_array_append_val(rec->log, event);
    else
        g_free(data);
}

static void grow(RecordNode *rec, uint64_t size)
{
    if (size <= rec->image_size)
        return;
    rec->image = g_realloc(rec->image, size);
    memset(rec->image + rec->image_size, 0, size - rec->image_size);
    rec->image_size = size;
    block_node_set_size(&rec->node, size);
}

static int record_preadv(BlockNode *node, uint64_t offset, uint64_t bytes, const struct iovec *iov, int iovcnt)
{
    RecordNode *rec = record_of(node);
    int ret = enter(rec, BLOCK_READ, 0);

    if (ret == 0)
        iov_from_buf(iov, iovcnt, 0, rec->image + offset, bytes);
    pthread_mutex_unlock(&rec->lock);
    return ret;
}

static int record_pwritev(BlockNode *node, uint64_t offset, uint64_t bytes, const struct iovec *iov, int iovcnt,
                          unsigned flags)
{
    RecordNode *rec = record_of(node);
    int ret = enter(rec, BLOCK_WRITE, offset + bytes);

    if (ret == 0) {
        uint8_t *data = g_malloc(bytes);
        grow(rec, offset + bytes);
        iov_to_buf(iov, iovcnt, 0, data, bytes);
        memcpy(rec->image + offset, data, bytes);
        note(rec, BLOCK_WRITE, offset, bytes, data);
        if (flags & BLOCK_FUA)
            note(rec, BLOCK_FLUSH, 0, 0, NULL);
    }
    pthread_mutex_unlock(&rec->lock);
    return ret;
}

static int record_flush(BlockNode *node)
{
    RecordNode *rec = record_of(node);
    int ret = enter(rec, BLOCK_FLUSH, 0);

    if (ret == 0)
        note(rec, BLOCK_FLUSH, 0, 0, NULL);
    pthread_mutex_unlock(&rec->lock);
    return ret;
}

static int record_zeroes(BlockNode *node, uint64_t offset, uint64_t bytes, unsigned flags)
{
    RecordNode *rec = record_of(node);
    int ret = enter(rec, BLOCK_ZEROES, offset + bytes);

    if (ret == 0) {
        grow(rec, offset + bytes);
        memset(rec->image + offset, 0, bytes);
        note(rec, BLOCK_WRITE, offset, bytes, NULL);
    }
    pthread_mutex_unlock(&rec->lock);
    return ret;
}

static int record_discard(BlockNode *node, uint64_t offset, uint64_t bytes)
{
    return record_zeroes(node, offset, bytes, 0);
}

static bool record_truncate(BlockNode *node, uint64_t size, BlockPrealloc prealloc, GError **errp)
{
    RecordNode *rec = record_of(node);

    pthread_mutex_lock(&rec->lock);
    grow(rec, size);
    if (size < rec->image_size) {
        rec->image_size = size;
        block_node_set_size(node, size);
    }
    pthread_mutex_unlock(&rec->lock);
    return true;
}

static const BlockDriver record_driver = {
    .name = "record",
    .is_protocol = true,
    .instance_size = sizeof(RecordNode),
    .open = record_open,
    .close = record_close,
    .preadv = record_preadv,
    .pwritev = record_pwritev,
    .flush = record_flush,
    .discard = record_discard,
    .write_zeroes = record_zeroes,
    .truncate = record_truncate,
};

BlockNode *record_new(uint64_t size)
{
    BlockNode *node = block_node_new(&record_driver, NULL);
    RecordNode *rec = record_of(node);

    pthread_mutex_init(&rec->lock, NULL);
    pthread_cond_init(&rec->changed, NULL);
    rec->log = g_array_new(FALSE, FALSE, sizeof(RecordEvent));
    g_array_set_clear_func(rec->log, event_clear);
    node->discard = BLOCK_DISCARD_UNMAP;
    grow(rec, size);
    return block_node_start(node, NULL, BLOCK_OPEN_RDWR, NULL);
}

void record_fail(BlockNode *node, BlockOp op, unsigned count, int err)
{
    RecordNode *rec = record_of(node);

    pthread_mutex_lock(&rec->lock);
    rec->fail_op = op;
    rec->fail_count = count;
    rec->fail_errno = err;
    pthread_mutex_unlock(&rec->lock);
}

void record_hold(BlockNode *node)
{
    RecordNode *rec = record_of(node);

    pthread_mutex_lock(&rec->lock);
    rec->held = true;
    pthread_mutex_unlock(&rec->lock);
}

void record_wait_held(BlockNode *node, unsigned count)
{
    RecordNode *rec = record_of(node);

    pthread_mutex_lock(&rec->lock);
    while (rec->waiting < count)
        pthread_cond_wait(&rec->changed, &rec->lock);
    pthread_mutex_unlock(&rec->lock);
}

void record_let_go(BlockNode *node)
{
    RecordNode *rec = record_of(node);

    pthread_mutex_lock(&rec->lock);
    rec->held = false;
    pthread_cond_broadcast(&rec->changed);
    pthread_mutex_unlock(&rec->lock);
}

unsigned record_count(BlockNode *node, BlockOp op)
{
    RecordNode *rec = record_of(node);
    unsigned count = 0;

    pthread_mutex_lock(&rec->lock);
    for (guint i = 0; i < rec->log->len; i++)
        count += g_array_index(rec->log, RecordEvent, i).op == op;
    pthread_mutex_unlock(&rec->lock);
    return count;
}
