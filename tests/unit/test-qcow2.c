/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * qcow2: every variant under random requests, interchange with qemu-img both ways, snapshots, backing files, hostile images.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "block-record.h"
#include "core/bits.h"
#include "core/thread.h"
#include "qcow2-rig.h"
#include "src/block/qcow2.h"

#define DISK (3 * MIB + 512)

static const char *const variants[] = {
    "",
    "compat=0.10",
    "cluster_size=512",
    "cluster_size=4K,refcount_bits=1",
    "cluster_size=4K,refcount_bits=64",
    "cluster_size=2M",
    "refcount_bits=8,compression_type=zstd",
    "extended_l2=on",
    "extended_l2=on,cluster_size=16K,lazy_refcounts=on",
    "compat=0.10,cluster_size=1K",
};

static void check_by_qemu(const char *path)
{
    g_autofree char *check = g_strdup_printf("check %s", path);

    if (have_qemu_img())
        qemu_img(0, check);
}

static void compare_by_qemu(const char *path, const Model *m)
{
    g_autofree char *raw = rig_path("expect.raw"), *compare = g_strdup_printf("compare -f raw -F qcow2 expect.raw %s", path);

    if (!have_qemu_img())
        return;
    assert_true(g_file_set_contents(raw, (const char *)m->expect, (gssize)m->size, NULL));
    qemu_img(0, compare);
}

/* A new image at path, writable, as the model's node. */
static void create_image(Model *m, const char *path, const char *options, uint64_t seed)
{
    rig_create(path, options, DISK);
    model_init(m, rig_open(path, BLOCK_OPEN_RDWR), seed);
}

/* Random requests; the image holds what it must, and is in order. */
static void exercise_image(Model *m, unsigned steps)
{
    while (steps--)
        model_step(m);
    model_compare(m);
    assert_clean(m->node);
}

/* qemu-img finds it in order and holding what it must. */
static void close_image(Model *m, const char *path)
{
    block_node_unref(m->node);
    m->node = NULL;
    check_by_qemu(path);
    compare_by_qemu(path, m);
}

/* --- our images --- */

static void every_variant_holds_what_was_written(void **state)
{
    for (unsigned i = 0; i < G_N_ELEMENTS(variants); i++) {
        g_autofree char *path = rig_path("a.qcow2");
        Model m;
        print_message("variant '%s'\n", variants[i]);
        create_image(&m, path, variants[i], i + 1);
        m.node->discard = BLOCK_DISCARD_UNMAP;
        exercise_image(&m, 250);
        close_image(&m, path);
        m.node = rig_open(path, 0);
        model_compare(&m);
        model_release(&m);
    }
}

static void an_overlay_shows_its_backing_file_and_leaves_it_alone(void **state)
{
    static const char *const options[] = {"", "compat=0.10", "extended_l2=on,cluster_size=64K", "cluster_size=4K"};

    for (unsigned i = 0; i < G_N_ELEMENTS(options); i++) {
        g_autofree char *base = rig_path("base.raw"), *path = rig_path("over.qcow2"), *before = g_malloc(2 * MIB), *after = NULL;
        g_autofree char *all = g_strdup_printf("%s%sbacking_file=base.raw,backing_fmt=raw", options[i], *options[i] ? "," : "");
        Model m;
        for (unsigned j = 0; j < 2 * MIB; j++)
            before[j] = (char)(j * 7 + (j >> 12));
        assert_true(g_file_set_contents(base, before, 2 * MIB, NULL));
        create_image(&m, path, all, 100 + i);
        m.node->discard = BLOCK_DISCARD_UNMAP;
        assert_memory_equal(m.expect, before, 2 * MIB);
        exercise_image(&m, 200);
        close_image(&m, path);
        assert_true(g_file_get_contents(base, &after, NULL, NULL));
        assert_memory_equal(before, after, 2 * MIB);
        model_release(&m);
    }
}

static void compressed_writes_read_back(void **state)
{
    static const char *const options[] = {"", "compression_type=zstd", "cluster_size=4K", "compat=0.10,cluster_size=512"};

    for (unsigned i = 0; i < G_N_ELEMENTS(options); i++) {
        g_autofree char *path = rig_path("c.qcow2");
        BlockInfo info;
        Model m;
        create_image(&m, path, options[i], 200 + i);
        block_info(m.node, &info);
        for (uint64_t at = 0; at + info.cluster_size <= m.size; at += 2 * (uint64_t)info.cluster_size) {
            memset(m.expect + at, (int)(at >> 9) & 0x7f, info.cluster_size / 2);
            for (uint32_t j = 0; at % 3 == 0 && j < info.cluster_size; j++)
                m.expect[at + j] = (uint8_t)model_random(&m, 256);
            assert_int_equal(block_pwrite(m.node, at, m.expect + at, info.cluster_size, BLOCK_COMPRESSED), 0);
        }
        model_compare(&m);
        for (unsigned step = 0; step < 60; step++)
            model_step(&m); /* overwrites some */
        model_compare(&m);
        assert_clean(m.node);
        close_image(&m, path);
        model_release(&m);
    }
}

static void snapshots_keep_what_was_there(void **state)
{
    static const char *const options[] = {"", "cluster_size=4K", "extended_l2=on", "compat=0.10"};

    for (unsigned i = 0; i < G_N_ELEMENTS(options); i++) {
        g_autofree char *path = rig_path("s.qcow2"), *name = NULL;
        g_autofree uint8_t *kept = NULL;
        g_autoptr(GError) err = NULL;
        BlockSnapshot snap = {.name = (char *)"one", .date_sec = 1700000000};
        Model m;
        create_image(&m, path, options[i], 300 + i);
        for (unsigned step = 0; step < 60; step++)
            model_step(&m);
        kept = g_memdup2(m.expect, m.size);
        if (!m.node->driver->snapshot_create(m.node, &snap, &err))
            fail_msg("%s", err->message);
        assert_string_equal(snap.id, "1");
        name = snap.id;
        assert_clean(m.node);
        exercise_image(&m, 120);
        close_image(&m, path);

        m.node = rig_open(path, BLOCK_OPEN_RDWR);
        GPtrArray *list = m.node->driver->snapshot_list(m.node);
        assert_int_equal(list->len, 1);
        assert_string_equal(((BlockSnapshot *)list->pdata[0])->name, "one");
        g_ptr_array_unref(list);
        assert_true(m.node->driver->snapshot_apply(m.node, "one", NULL));
        memcpy(m.expect, kept, m.size);
        model_compare(&m);
        assert_clean(m.node);
        for (unsigned step = 0; step < 60; step++)
            model_step(&m);
        model_compare(&m);
        assert_true(m.node->driver->snapshot_delete(m.node, "one", NULL));
        assert_false(m.node->driver->snapshot_delete(m.node, "one", &err));
        model_compare(&m);
        assert_clean(m.node);
        close_image(&m, path);
        model_release(&m);
    }
}

static void an_image_grows_and_shrinks(void **state)
{
    g_autofree char *path = rig_path("r.qcow2");
    uint64_t sizes[] = {DISK, 40 * MIB, 1 * MIB, 2 * MIB};
    uint8_t buf[512];
    BlockNode *node;

    rig_create(path, "cluster_size=512", DISK);
    node = rig_open(path, BLOCK_OPEN_RDWR);
    for (unsigned i = 0; i < G_N_ELEMENTS(sizes); i++) {
        assert_true(block_truncate(node, sizes[i], BLOCK_PREALLOC_OFF, NULL));
        assert_int_equal(block_node_size(node), sizes[i]);
        assert_int_equal(block_pread(node, sizes[i] - 512, buf, 512), 0);
        assert_int_equal(buf[0], 0);
        memset(buf, 0xaa, sizeof(buf));
        assert_int_equal(block_pwrite(node, sizes[i] - 512, buf, 512, 0), 0);
        assert_clean(node);
    }
    block_node_unref(node);
    check_by_qemu(path);
}

/* --- images of others --- */

static void what_qemu_writes_reads_equal(void **state)
{
    static const char *const creates[] = {
        "convert -f raw -O qcow2 src.raw q.qcow2",
        "convert -f raw -O qcow2 -c src.raw q.qcow2",
        "convert -f raw -O qcow2 -c -o compression_type=zstd src.raw q.qcow2",
        "convert -f raw -O qcow2 -o compat=0.10 src.raw q.qcow2",
        "convert -f raw -O qcow2 -o cluster_size=512 src.raw q.qcow2",
        "convert -f raw -O qcow2 -o cluster_size=2M,preallocation=metadata src.raw q.qcow2",
        "convert -f raw -O qcow2 -o extended_l2=on src.raw q.qcow2",
        "convert -f raw -O qcow2 -o refcount_bits=1,lazy_refcounts=on,preallocation=falloc src.raw q.qcow2",
    };
    g_autofree char *raw = rig_path("src.raw"), *path = rig_path("q.qcow2"), *data = g_malloc0(DISK - 512);

    if (!have_qemu_img())
        skip();
    for (unsigned i = 0; i < DISK - 512; i++)
        data[i] = i % (96 * 1024) < 40000 ? (char)(i / 4096 + (i % 4096 < 100 ? i * i : 0)) : 0;
    assert_true(g_file_set_contents(raw, data, DISK - 512, NULL));
    for (unsigned i = 0; i < G_N_ELEMENTS(creates); i++) {
        Model m;
        print_message("%s\n", creates[i]);
        unlink(path);
        qemu_img(0, creates[i]);
        model_init(&m, rig_open(path, BLOCK_OPEN_RDWR), 400 + i);
        assert_memory_equal(m.expect, data, DISK - 512);
        assert_clean(m.node);
        exercise_image(&m, 60);
        close_image(&m, path);
        model_release(&m);
    }
}

static void snapshots_of_qemu_are_listed_and_kept(void **state)
{
    g_autofree char *path = rig_path("q.qcow2"), *before = NULL;
    Model m;

    if (!have_qemu_img())
        skip();
    unlink(path);
    qemu_img(0, "create -f qcow2 q.qcow2 3M");
    m.node = NULL;
    model_init(&m, rig_open(path, BLOCK_OPEN_RDWR), 500);
    for (unsigned step = 0; step < 40; step++)
        model_step(&m);
    block_node_unref(m.node);
    qemu_img(0, "snapshot -c first q.qcow2");
    before = (char *)g_memdup2(m.expect, m.size);
    m.node = rig_open(path, BLOCK_OPEN_RDWR);
    exercise_image(&m, 80);
    block_node_unref(m.node);
    m.node = NULL;
    check_by_qemu(path);
    qemu_img(0, "snapshot -a first q.qcow2");
    memcpy(m.expect, before, m.size);
    compare_by_qemu(path, &m);
    model_release(&m);
}

/* --- damaged and hostile --- */

static BlockNode *image_on_record(const char *options, uint64_t size)
{
    BlockNode *file = record_new(0);

    rig_create_on(file, options, size);
    return file;
}

static void patch(BlockNode *file, uint64_t at, uint64_t value, unsigned bytes)
{
    for (unsigned i = 0; i < bytes; i++)
        record_of(file)->image[at + i] = (uint8_t)(value >> (8 * (bytes - 1 - i)));
}

static void bad_headers_are_refused_in_one_line(void **state)
{
    static const struct {
        uint64_t at, value;
        unsigned bytes;
        const char *says;
    } rows[] = {
        {0, 0x12345678, 4, "not in qcow2 format"},
        {4, 4, 4, "qcow version 4"},
        {20, 40, 4, "clusters"},
        {20, 3, 4, "clusters"},
        {24, ~0ull >> 1, 8, "8 EiB"},
        {24, 1ull << 50, 8, "L1 table is too small"},
        {32, 1, 4, "encrypted"},
        {36, 0xffffffff, 4, "32 MiB"},
        {40, 123, 8, "outside the file"},
        {40, 1ull << 60, 8, "outside the file"},
        {48, 77, 8, "outside the file"},
        {56, 0xffffff, 4, "8 MiB"},
        {56, 0, 4, "missing"},
        {60, 70000, 4, "65536 snapshots"},
        {64, 3, 8, NULL}, /* no snapshots: not looked at */
        {72, 1ull << 2, 8, "external file"},
        {72, 1ull << 40, 8, "feature bit 40"},
        {72, 1ull << 1, 8, "corrupt"},
        {96, 7, 4, "64 bits"},
        {100, 50, 4, "impossible length"},
        {104, 9, 1, "compression type 9"},
        {8, 1ull << 40, 8, NULL}, /* with a name of length 0 below the bound: looked at below */
    };

    for (unsigned i = 0; i < G_N_ELEMENTS(rows); i++) {
        BlockNode *file = image_on_record("", 10 * MIB), *node;
        g_autoptr(GError) err = NULL;
        patch(file, rows[i].at, rows[i].value, rows[i].bytes);
        node = rig_open_on(file, BLOCK_OPEN_RDWR, &err);
        if (!rows[i].says) {
            block_node_unref(node);
            continue;
        }
        if (node)
            fail_msg("row %u was accepted", i);
        if (!strstr(err->message, rows[i].says))
            fail_msg("'%s' does not mention '%s'", err->message, rows[i].says);
        assert_null(strchr(err->message, '\n'));
    }
}

static void a_feature_is_refused_by_the_name_the_image_gives(void **state)
{
    BlockNode *file = image_on_record("", MIB);
    g_autoptr(GError) err = NULL;
    uint8_t *image = record_of(file)->image;

    for (unsigned at = 112; at < 600; at++) { /* the name table: type 0, bit 4 becomes bit 20 */
        if (image[at] == 0 && image[at + 1] == 4 && memcmp(image + at + 2, "extended", 8) == 0)
            image[at + 1] = 20;
    }
    patch(file, 72, 1 << 20, 8);
    assert_null(rig_open_on(file, 0, &err));
    assert_non_null(strstr(err->message, "'extended L2 entries'"));
}

/* An image with one written cluster; l2 is where its L2 entry lies. */
static BlockNode *one_cluster_image(uint64_t *l2)
{
    BlockNode *file = image_on_record("", 10 * MIB), *node;
    uint8_t byte = 1;

    block_node_ref(file);
    node = rig_open_on(file, BLOCK_OPEN_RDWR, NULL);
    assert_int_equal(block_pwrite(node, 0, &byte, 1, 0), 0);
    block_node_unref(node);
    uint64_t l1 = 0;
    for (unsigned i = 0; i < 8; i++)
        l1 = l1 << 8 | record_of(file)->image[40 + i];
    *l2 = 0;
    for (unsigned i = 0; i < 8; i++)
        *l2 = *l2 << 8 | record_of(file)->image[l1 + i];
    *l2 &= 0x00fffffffffffe00ull;
    return file;
}

static void an_entry_that_points_at_metadata_marks_the_image_corrupt(void **state)
{
    uint64_t l2;
    BlockNode *file = one_cluster_image(&l2), *node;
    uint8_t buf[512] = {9};

    patch(file, l2, 1ull << 63 | 0, 8);         /* COPIED, the header */
    patch(file, l2 + 8, 1ull << 63 | l2, 8);    /* its own table */
    node = rig_open_on(file, BLOCK_OPEN_RDWR, NULL);
    assert_int_equal(block_pwrite(node, 65536, buf, 512, 0), -EIO);
    assert_true(block_node_is_corrupt(node));
    assert_int_equal(block_pwrite(node, 1 * MIB, buf, 512, 0), -EIO); /* nothing is written any more */
    assert_int_equal(record_of(file)->image[79] & 2, 2);
    assert_int_equal(block_pread(node, 1 * MIB, buf, 512), 0);
    block_node_unref(node);
}

static void an_entry_outside_the_image_is_an_io_error(void **state)
{
    uint64_t l2;
    BlockNode *file = one_cluster_image(&l2), *node;
    uint8_t buf[512];

    patch(file, l2, 1ull << 63 | 1ull << 50, 8);
    patch(file, l2 + 8, 1ull << 63 | 0x10200, 8); /* not aligned */
    patch(file, l2 + 16, 1ull << 62 | ((1ull << 54) - 1), 8); /* compressed, far away */
    node = rig_open_on(file, 0, NULL);
    assert_int_equal(block_pread(node, 0, buf, 512), -EIO);
    assert_int_equal(block_pread(node, 65536, buf, 512), -EIO);
    assert_int_equal(block_pread(node, 131072, buf, 512), -EIO);
    assert_int_equal(block_pread(node, 5 * MIB, buf, 512), 0);
    block_node_unref(node);
}

static void check_finds_and_repairs_what_is_wrong(void **state)
{
    uint64_t l2;
    BlockNode *file = one_cluster_image(&l2), *node;
    BlockCheck found = {0}, fixed = {0};
    uint64_t refblock = 2 * 65536;

    patch(file, refblock + 2 * 5, 0, 2);   /* a cluster in use: the first data cluster lies there */
    patch(file, refblock + 2 * 100, 3, 2); /* a cluster not in use, beyond the end: not looked at */
    node = rig_open_on(file, BLOCK_OPEN_RDWR | BLOCK_OPEN_CHECK, NULL);
    assert_true(node->driver->check(node, &found, 0, NULL));
    assert_true(found.corruptions > 0);
    assert_true(node->driver->check(node, &fixed, BLOCK_FIX_ERRORS | BLOCK_FIX_LEAKS, NULL));
    assert_int_equal(fixed.corruptions, fixed.corruptions_fixed);
    assert_clean(node);
    uint8_t byte = 0;
    assert_int_equal(block_pread(node, 0, &byte, 1), 0);
    assert_int_equal(byte, 1);
    block_node_unref(node);
}

/* What the image's tables have taken of our memory. */
static uint64_t metadata_bytes(const Qcow2 *q)
{
    return (uint64_t)q->l2.count * q->l2.slice_bytes + (uint64_t)q->refcounts.count * q->refcounts.slice_bytes
           + (q->l2.max + q->refcounts.max) * sizeof(Qcow2Slice) + (uint64_t)q->l1_size * 8 + (uint64_t)q->reftable_entries * 8;
}

/* Table by table over the whole disk, more of them than the caches take. */
static void metadata_caches_are_bounded_for_a_large_disk(void **state)
{
    g_autofree char *path = rig_path("large.qcow2");
    const uint64_t size = 1ull << 40, table = 512 * MIB, tables = 600; /* table: of the disk, by one L2 table */
    uint8_t byte = 1;

    rig_create(path, "", size);
    BlockNode *node = rig_open(path, BLOCK_OPEN_RDWR);
    const Qcow2 *q = (const Qcow2 *)node;
    for (uint64_t i = 0; i < tables; i++)
        assert_int_equal(block_pwrite(node, i * (size / tables) / table * table, &byte, 1, 0), 0);
    for (uint64_t i = 0; i < tables; i++) {
        for (uint64_t at = 0; at < table; at += 32 * MIB) /* a slice each */
            assert_int_equal(block_pread(node, i * (size / tables) / table * table + at, &byte, 1), 0);
    }
    assert_int_equal(q->l2.count, q->l2.max); /* they are full */
    assert_in_range(metadata_bytes(q), 16 * MIB, 32 * MIB);
    assert_clean(node);
    block_node_unref(node);
}

static int cleanup(void **state)
{
    rig_cleanup();
    assert_null(block_node_next(NULL));
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(every_variant_holds_what_was_written, cleanup),
        cmocka_unit_test_teardown(an_overlay_shows_its_backing_file_and_leaves_it_alone, cleanup),
        cmocka_unit_test_teardown(compressed_writes_read_back, cleanup),
        cmocka_unit_test_teardown(snapshots_keep_what_was_there, cleanup),
        cmocka_unit_test_teardown(an_image_grows_and_shrinks, cleanup),
        cmocka_unit_test_teardown(what_qemu_writes_reads_equal, cleanup),
        cmocka_unit_test_teardown(snapshots_of_qemu_are_listed_and_kept, cleanup),
        cmocka_unit_test_teardown(bad_headers_are_refused_in_one_line, cleanup),
        cmocka_unit_test_teardown(a_feature_is_refused_by_the_name_the_image_gives, cleanup),
        cmocka_unit_test_teardown(an_entry_that_points_at_metadata_marks_the_image_corrupt, cleanup),
        cmocka_unit_test_teardown(an_entry_outside_the_image_is_an_io_error, cleanup),
        cmocka_unit_test_teardown(check_finds_and_repairs_what_is_wrong, cleanup),
        cmocka_unit_test_teardown(metadata_caches_are_bounded_for_a_large_disk, cleanup),
    };

    core_init();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
