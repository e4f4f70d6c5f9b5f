/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Power cuts and kills: whatever moment they hit, a qcow2 image is not corrupt and has everything that was flushed.
 *
 * A disk under random requests records what it does to its file. A power cut is then a prefix of that log, in which the
 * writes since the last completed flush happened or not, sector by sector. VMM_TEST_DEPTH=full plays 1000 of them.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "block-record.h"
#include "core/bits.h"
#include "core/thread.h"
#include "qcow2-rig.h"

#define DISK (6 * MIB)
#define ROUNDS 8
#define STEPS 25

/* What must hold after a cut at or behind log_len: the disk as flushed, but for sectors the next round touches. */
typedef struct FlushPoint {
    guint log_len;
    uint8_t *expect;
    uint8_t *touched_after; /* per sector */
} FlushPoint;

typedef struct History {
    BlockNode *file;
    uint8_t *start; /* the file when logging began */
    uint64_t start_size;
    FlushPoint points[ROUNDS + 1];
} History;

static BlockNode *small_cache_node(BlockNode *file)
{
    BlockNode *node = block_node_new(block_driver_find("qcow2"), NULL);

    assert_true(property_set(node->driver->props, node, "qcow2", "l2-cache-size", "64K", NULL));
    assert_true(property_set(node->driver->props, node, "qcow2", "refcount-cache-size", "64K", NULL));
    node->discard = BLOCK_DISCARD_UNMAP;
    return block_node_start(node, file, BLOCK_OPEN_RDWR, NULL);
}

static void note_point(History *h, Model *m, unsigned i)
{
    h->points[i].log_len = record_of(h->file)->log->len;
    h->points[i].expect = g_memdup2(m->expect, m->size);
}

static void record_history(History *h, const char *options, uint64_t seed)
{
    RecordNode *rec;
    Model m;

    h->file = record_new(0);
    rec = record_of(h->file);
    rig_create_on(h->file, options, DISK);
    h->start_size = rec->image_size;
    h->start = g_memdup2(rec->image, rec->image_size);
    rec->logging = true;
    model_init(&m, small_cache_node(block_node_ref(h->file)), seed);
    note_point(h, &m, 0);
    for (unsigned round = 1; round <= ROUNDS; round++) {
        memset(m.touched, 0, m.size / 512);
        for (unsigned step = 0; step < STEPS; step++)
            model_step(&m);
        h->points[round - 1].touched_after = g_memdup2(m.touched, m.size / 512);
        assert_int_equal(block_flush(m.node), 0);
        note_point(h, &m, round);
    }
    h->points[ROUNDS].touched_after = g_malloc0(m.size / 512);
    model_release(&m);
}

static void history_release(History *h)
{
    for (unsigned i = 0; i <= ROUNDS; i++) {
        g_free(h->points[i].expect);
        g_free(h->points[i].touched_after);
    }
    g_free(h->start);
    block_node_unref(h->file);
}

static uint64_t seed_next(uint64_t *seed, uint64_t below)
{
    *seed = *seed * 6364136223846793005ull + 1442695040888963407ull;
    return (*seed >> 33) % below;
}

static void apply(BlockNode *file, const RecordEvent *e, uint64_t from, uint64_t bytes)
{
    if (e->data)
        assert_int_equal(block_pwrite(file, e->offset + from, e->data + from, bytes, 0), 0);
    else
        assert_int_equal(block_write_zeroes(file, e->offset + from, bytes, 0), 0);
}

/* A write under way: all of it, nothing, or some of its sectors. */
static void apply_torn(BlockNode *file, const RecordEvent *e, uint64_t *seed)
{
    uint64_t how = seed_next(seed, 3);

    if (how == 0)
        return;
    for (uint64_t at = 0; at < e->bytes;) {
        uint64_t part = MIN(512 - ((e->offset + at) & 511), e->bytes - at);
        if (how == 1 || seed_next(seed, 2))
            apply(file, e, at, part);
        at += part;
    }
}

/* The file as a cut after cut events may leave it. */
static BlockNode *file_after_cut(const History *h, guint cut, bool in_order, uint64_t *seed)
{
    const GArray *log = record_of(h->file)->log;
    BlockNode *file = record_new(0);
    guint flushed = 0;

    assert_int_equal(block_pwrite(file, 0, h->start, h->start_size, 0), 0);
    for (guint i = 0; i < cut; i++) {
        if (g_array_index(log, RecordEvent, i).op == BLOCK_FLUSH)
            flushed = i + 1;
    }
    for (guint i = 0; i < cut; i++) {
        const RecordEvent *e = &g_array_index(log, RecordEvent, i);
        if (e->op != BLOCK_WRITE)
            continue;
        if (i < flushed || in_order)
            apply(file, e, 0, e->bytes);
        else
            apply_torn(file, e, seed);
    }
    return file;
}

static const FlushPoint *point_before(const History *h, guint cut)
{
    unsigned i = ROUNDS;

    while (i && h->points[i].log_len > cut)
        i--;
    return &h->points[i];
}

static void check_after_cut(const History *h, guint cut, bool in_order, uint64_t *seed)
{
    const FlushPoint *point = point_before(h, cut);
    g_autofree uint8_t *disk = g_malloc(DISK);
    BlockCheck result = {0};
    g_autoptr(GError) err = NULL;
    BlockNode *node = rig_open_on(file_after_cut(h, cut, in_order, seed), BLOCK_OPEN_RDWR, &err);

    if (!node)
        fail_msg("cut %u: %s", cut, err->message);
    if (!node->driver->check(node, &result, 0, &err))
        fail_msg("cut %u: %s", cut, err->message);
    if (result.corruptions)
        fail_msg("cut %u of %u: %" G_GUINT64_FORMAT " corruptions", cut, record_of(h->file)->log->len, result.corruptions);
    assert_int_equal(block_pread(node, 0, disk, DISK), 0);
    for (uint64_t sector = 0; sector < DISK / 512; sector++) {
        if (!point->touched_after[sector] && memcmp(disk + sector * 512, point->expect + sector * 512, 512) != 0)
            fail_msg("cut %u of %u: flushed sector %" G_GUINT64_FORMAT " is lost", cut, record_of(h->file)->log->len, sector);
    }
    block_node_unref(node);
}

static unsigned depth(unsigned normal, unsigned full)
{
    return g_strcmp0(g_getenv("VMM_TEST_DEPTH"), "full") == 0 ? full : normal;
}

static void no_power_cut_corrupts_or_loses_what_was_flushed(void **state)
{
    static const char *const options[] = {"cluster_size=512", "cluster_size=4K,refcount_bits=1", "", "extended_l2=on,cluster_size=16K",
                                          "compat=0.10,cluster_size=1K"};
    unsigned cuts = depth(25, 200);

    for (unsigned i = 0; i < G_N_ELEMENTS(options); i++) {
        History h = {0};
        uint64_t seed = 77 + i;
        record_history(&h, options[i], 900 + i);
        guint len = record_of(h.file)->log->len;
        for (unsigned n = 0; n < cuts; n++)
            check_after_cut(&h, (guint)seed_next(&seed, len + 1), n % 5 == 0, &seed);
        history_release(&h);
    }
}

/* --- kill -9 --- */

static void child_rounds(const char *path, uint64_t seed, int tell, int wait)
{
    Model m;
    char c = 0;

    model_init(&m, rig_open(path, BLOCK_OPEN_RDWR), seed);
    m.no_discard = true;
    for (;;) {
        for (unsigned step = 0; step < STEPS; step++)
            model_step(&m);
        if (block_flush(m.node) < 0 || write(tell, &c, 1) != 1 || read(wait, &c, 1) != 1)
            _exit(0);
    }
}

/* Kills the child somewhere in the round after the given number. */
static void run_and_kill(const char *path, uint64_t seed, unsigned rounds, unsigned delay)
{
    int up[2], down[2];
    char c = 0;

    assert_int_equal(pipe(up), 0);
    assert_int_equal(pipe(down), 0);
    pid_t pid = fork();
    if (pid == 0)
        child_rounds(path, seed, up[1], down[0]);
    assert_true(pid > 0);
    for (unsigned i = 0; i < rounds; i++) {
        assert_int_equal(read(up[0], &c, 1), 1);
        assert_int_equal(write(down[1], &c, 1), 1);
    }
    for (volatile unsigned i = 0; i < delay; i++)
        ;
    kill(pid, SIGKILL);
    assert_int_equal(waitpid(pid, NULL, 0), pid);
    for (unsigned i = 0; i < 2; i++) {
        close(up[i]);
        close(down[i]);
    }
}

static void check_after_kill(const char *path, uint64_t seed, unsigned rounds)
{
    g_autofree uint8_t *disk = g_malloc(DISK);
    BlockCheck result = {0};
    Model m;

    model_init_blind(&m, DISK, seed);
    m.no_discard = true;
    for (unsigned step = 0; step < rounds * STEPS; step++)
        model_step(&m);
    g_autofree uint8_t *expect = g_memdup2(m.expect, DISK);
    memset(m.touched, 0, DISK / 512);
    for (unsigned step = 0; step < STEPS; step++)
        model_step(&m); /* what the child may have done before it was hit */

    BlockNode *node = rig_open(path, BLOCK_OPEN_RDWR);
    assert_true(node->driver->check(node, &result, 0, NULL));
    assert_int_equal(result.corruptions, 0);
    assert_int_equal(block_pread(node, 0, disk, DISK), 0);
    for (uint64_t sector = 0; sector < DISK / 512; sector++) {
        if (!m.touched[sector] && memcmp(disk + sector * 512, expect + sector * 512, 512) != 0)
            fail_msg("flushed sector %" G_GUINT64_FORMAT " is lost", sector);
    }
    block_node_unref(node);
    model_release(&m);
}

static void kill_9_neither_corrupts_nor_loses_what_was_flushed(void **state)
{
    unsigned kills = depth(10, 200);
    uint64_t seed = 4711;

    for (unsigned i = 0; i < kills; i++) {
        g_autofree char *path = rig_path("k.qcow2");
        unsigned rounds = (unsigned)seed_next(&seed, 4);
        rig_create(path, i % 2 ? "cluster_size=512" : "", DISK);
        run_and_kill(path, 1000 + i, rounds, (unsigned)seed_next(&seed, 4000000));
        check_after_kill(path, 1000 + i, rounds);
        unlink(path);
    }
}

static int cleanup(void **state)
{
    rig_cleanup();
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(no_power_cut_corrupts_or_loses_what_was_flushed, cleanup),
        cmocka_unit_test_teardown(kill_9_neither_corrupts_nor_loses_what_was_flushed, cleanup),
    };

    core_init();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
