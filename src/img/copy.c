/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Disk to disk.
 *
 *     cursor --unit--> thread: read --> (its turn) --> write --> progress
 *
 * Threads take units from one cursor, read them at the same time, and write them in the order of the disk unless any_order
 * is set, so that the target's clusters follow one another.
 *
 * With offload, the host copies a unit in its turn, without our reading it, where it can.
 *
 * What reads as zeroes is not read; what is zero in a unit that was read is found by looking.
 *
 * Locking: job.lock guards the cursor, the turn and the error. It is held while the cursor asks where data is, for no
 * transfer.
 */
#include <errno.h>
#include <pthread.h>
#include <string.h>

#include "core/bits.h"
#include "core/error.h"
#include "core/host.h"
#include "core/iov.h"
#include "core/log.h"
#include "core/loop.h"
#include "src/img/img.h"

#define UNIT_BYTES (1u << 20)

typedef enum UnitKind { UNIT_SKIP, UNIT_ZERO, UNIT_DATA } UnitKind;

typedef struct Unit {
    UnitKind kind;
    BlockNode *node;      /* DATA: read from here */
    uint64_t at;          /* in node */
    BlockNode *file;      /* DATA: where it lies as it is, NULL if nowhere; */
    uint64_t file_at;     /* there */
    uint64_t offset, bytes;
    uint64_t turn;
} Unit;

typedef struct CopyJob {
    const ImgCopy *copy;
    uint64_t unit_bytes;

    pthread_mutex_t lock; /* guards what follows */
    pthread_cond_t turned;
    uint64_t cursor;
    unsigned source;        /* the cursor lies in this one, */
    uint64_t source_start;  /* which begins here */
    UnitKind kind;          /* of what is known from the cursor on, */
    uint64_t known_end;     /* until here */
    BlockNode *file;        /* where its data lies as it is, or NULL; */
    uint64_t file_start;    /* there, less the cursor's place */
    uint64_t next_turn, turn;
    int64_t start_ns;
    GError *error;
} CopyJob;

/* --- the cursor; job->lock is held --- */

static bool fail(CopyJob *job, int ret, const char *what, const BlockNode *node, uint64_t offset)
{
    if (!job->error)
        error_set_errno(&job->error, -ret, "cannot %s '%s' at offset %" G_GUINT64_FORMAT, what, node->filename, offset);
    pthread_cond_broadcast(&job->turned);
    return false;
}

static UnitKind kind_of(const ImgCopy *copy, const BlockStatus *status, int depth)
{
    if (copy->base && depth < 0)
        return UNIT_SKIP;
    if (status->flags & BLOCK_STATUS_ZERO && copy->min_sparse)
        return copy->target_is_zero ? UNIT_SKIP : UNIT_ZERO;
    return UNIT_DATA;
}

/* Finds out what comes at the cursor. */
static bool look(CopyJob *job)
{
    const ImgCopy *copy = job->copy;
    BlockNode *node = copy->sources[job->source];
    uint64_t size = block_node_size(node);
    BlockStatus status;
    int depth = 0;

    if (job->cursor - job->source_start >= size) {
        job->source_start += size;
        job->source++;
        return true;
    }
    uint64_t at = job->cursor - job->source_start, left = MIN(size - at, copy->size - job->cursor);
    int ret = block_status_above(node, copy->base, at, left, &status, &depth);
    if (ret < 0)
        return fail(job, ret, "find the data of", node, at);
    job->kind = kind_of(copy, &status, depth);
    job->known_end = job->cursor + MIN(status.bytes, left);
    job->file = copy->offload && status.flags & BLOCK_STATUS_OFFSET ? status.file : NULL;
    job->file_start = status.offset - job->cursor;
    return true;
}

/* Compressed writes are of whole clusters: what has data anywhere is data. */
static void widen(CopyJob *job)
{
    uint64_t end = align_up(job->known_end, job->unit_bytes), start = job->cursor;
    uint64_t source_end = job->source_start + block_node_size(job->copy->sources[job->source]);

    if (!job->copy->compressed)
        return;
    if (job->kind != UNIT_DATA && align_down(job->known_end, job->unit_bytes) > start) {
        job->known_end = align_down(job->known_end, job->unit_bytes);
    } else if (job->known_end < source_end) {
        job->kind = UNIT_DATA;
        job->known_end = MIN(end, source_end);
    }
}

static bool next_unit(CopyJob *job, Unit *unit)
{
    const ImgCopy *copy = job->copy;

    while (job->cursor < copy->size && !job->error) {
        if (job->cursor >= job->known_end) {
            if (!look(job))
                return false;
            if (job->cursor < job->known_end)
                widen(job);
            continue;
        }
        uint64_t end = job->kind == UNIT_DATA ? MIN(job->known_end, align_down(job->cursor, job->unit_bytes) + job->unit_bytes)
                                              : job->known_end;
        *unit = (Unit){.kind = job->kind, .node = copy->sources[job->source], .at = job->cursor - job->source_start,
                       .offset = job->cursor, .bytes = MIN(end, copy->size) - job->cursor,
                       .file = job->file, .file_at = job->file_start + job->cursor};
        job->cursor += unit->bytes;
        if (unit->kind != UNIT_SKIP) {
            unit->turn = job->next_turn++;
            return true;
        }
        img_progress_add(copy->progress, unit->bytes);
    }
    return false;
}

/* --- reading --- */

/* Sector by sector, what cannot be read becomes zeroes. */
static void read_salvage(const Unit *unit, uint8_t *buf)
{
    for (uint64_t done = 0; done < unit->bytes; done += BLOCK_SECTOR_SIZE) {
        uint64_t part = MIN(unit->bytes - done, BLOCK_SECTOR_SIZE);
        int ret = block_pread(unit->node, unit->at + done, buf + done, part);
        if (ret == 0)
            continue;
        log_warn("cannot read '%s' at offset %" G_GUINT64_FORMAT ": %s; the sector is zeroes in the copy", unit->node->filename,
                 unit->at + done, g_strerror(-ret));
        memset(buf + done, 0, part);
    }
}

static int read_unit(const ImgCopy *copy, const Unit *unit, uint8_t *buf)
{
    int ret = block_pread(unit->node, unit->at, buf, unit->bytes);

    if (ret < 0 && copy->salvage) {
        read_salvage(unit, buf);
        ret = 0;
    }
    return ret;
}

/* --- writing --- */

static int write_zeroes(const ImgCopy *copy, uint64_t offset, uint64_t bytes)
{
    return copy->target_is_zero ? 0 : block_write_zeroes(copy->target, copy->target_at + offset, bytes, copy->write_flags | BLOCK_MAY_UNMAP);
}

/* How many bytes from at on are alike, zero or not; in steps of min_sparse that lie at multiples of it in the disk. */
static uint64_t run_length(const ImgCopy *copy, const Unit *unit, const uint8_t *buf, uint64_t at, bool *zero)
{
    uint64_t step = copy->min_sparse, end = at;

    while (end < unit->bytes) {
        uint64_t part = MIN(step - (unit->offset + end) % step, unit->bytes - end);
        bool part_zero = buffer_is_zero(buf + end, part);
        if (end == at)
            *zero = part_zero;
        else if (part_zero != *zero)
            break;
        end += part;
    }
    return end - at;
}

static int write_data(const ImgCopy *copy, const Unit *unit, const uint8_t *buf)
{
    int ret = 0;

    if (!copy->min_sparse)
        return block_pwrite(copy->target, copy->target_at + unit->offset, buf, unit->bytes, copy->write_flags);
    for (uint64_t at = 0, len; at < unit->bytes && ret == 0; at += len) {
        bool zero = false;
        len = run_length(copy, unit, buf, at, &zero);
        ret = zero ? write_zeroes(copy, unit->offset + at, len)
                   : block_pwrite(copy->target, copy->target_at + unit->offset + at, buf + at, len, copy->write_flags);
    }
    return ret;
}

/* A unit is a cluster, as large as the disk has left. */
static int write_compressed(const ImgCopy *copy, const Unit *unit, const uint8_t *buf)
{
    if (copy->min_sparse && buffer_is_zero(buf, unit->bytes))
        return write_zeroes(copy, unit->offset, unit->bytes);
    return block_pwrite(copy->target, copy->target_at + unit->offset, buf, unit->bytes, BLOCK_COMPRESSED);
}

/* The host copies it, or it is read and written here. */
static int offload_unit(const ImgCopy *copy, const Unit *unit, uint8_t *buf)
{
    uint64_t to = copy->target_at + unit->offset;
    int ret = block_copy_range(copy->target, to, unit->file, unit->file_at, unit->bytes);

    if (ret != -ENOTSUP)
        return ret;
    ret = read_unit(copy, unit, buf);
    return ret < 0 ? ret : block_pwrite(copy->target, to, buf, unit->bytes, copy->write_flags);
}

static int write_unit(const ImgCopy *copy, const Unit *unit, uint8_t *buf)
{
    if (unit->kind == UNIT_ZERO)
        return write_zeroes(copy, unit->offset, unit->bytes);
    if (unit->file)
        return offload_unit(copy, unit, buf);
    return copy->compressed ? write_compressed(copy, unit, buf) : write_data(copy, unit, buf);
}

/* --- threads --- */

/* -r: not before its time. */
static void wait_for_rate(const CopyJob *job, uint64_t offset)
{
    if (!job->copy->rate)
        return;
    int64_t due = job->start_ns + (int64_t)((double)offset * (double)NS_PER_SEC / (double)job->copy->rate);
    int64_t left = due - clock_get_ns(VMCLOCK_MONO);
    if (left > 0)
        g_usleep((gulong)(left / NS_PER_US));
}

/* Read, wait for the turn, write. False: the job has failed. */
static bool do_unit(CopyJob *job, const Unit *unit, uint8_t *buf)
{
    const ImgCopy *copy = job->copy;
    int read_ret = unit->kind == UNIT_DATA && !unit->file ? read_unit(copy, unit, buf) : 0, ret = 0;

    wait_for_rate(job, unit->offset);
    pthread_mutex_lock(&job->lock);
    while (!copy->any_order && job->turn != unit->turn && !job->error)
        pthread_cond_wait(&job->turned, &job->lock);
    bool failed = job->error != NULL;
    pthread_mutex_unlock(&job->lock);
    if (!failed && read_ret == 0)
        ret = write_unit(copy, unit, buf);
    pthread_mutex_lock(&job->lock);
    job->turn++;
    if (!copy->any_order)
        pthread_cond_broadcast(&job->turned);
    if (read_ret < 0)
        fail(job, read_ret, "read", unit->node, unit->at);
    else if (ret < 0)
        fail(job, ret, "write", copy->target, copy->target_at + unit->offset);
    else
        img_progress_add(copy->progress, unit->bytes);
    pthread_mutex_unlock(&job->lock);
    return !failed && read_ret == 0 && ret == 0;
}

static void *copy_thread(void *opaque)
{
    CopyJob *job = opaque;
    void *buf = host_io_alloc(job->unit_bytes);
    bool more = buf;
    Unit unit;

    while (more) {
        pthread_mutex_lock(&job->lock);
        more = next_unit(job, &unit);
        pthread_mutex_unlock(&job->lock);
        more = more && do_unit(job, &unit, buf);
    }
    free(buf);
    return NULL;
}

static uint64_t unit_bytes(const ImgCopy *copy)
{
    BlockInfo info;

    block_info(copy->target, &info);
    return copy->compressed && info.cluster_size ? info.cluster_size : UNIT_BYTES;
}

bool img_copy(ImgCopy *copy, GError **errp)
{
    CopyJob job = {.copy = copy, .unit_bytes = unit_bytes(copy), .start_ns = clock_get_ns(VMCLOCK_MONO)};
    g_autofree pthread_t *threads = g_new(pthread_t, copy->threads);
    unsigned started = 0;

    pthread_mutex_init(&job.lock, NULL);
    pthread_cond_init(&job.turned, NULL);
    while (started + 1 < copy->threads && pthread_create(&threads[started], NULL, copy_thread, &job) == 0)
        started++;
    copy_thread(&job);
    while (started)
        pthread_join(threads[--started], NULL);
    pthread_cond_destroy(&job.turned);
    pthread_mutex_destroy(&job.lock);
    if (job.error)
        g_propagate_error(errp, job.error);
    else if (job.cursor < copy->size)
        return error_set(errp, "no memory to copy '%s'", copy->target->filename);
    return !job.error;
}
