/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Damaged images: metadata with random changes must be refused or survived. tests/fuzz/fuzz-qcow2.c goes further.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "block-record.h"
#include "core/bits.h"
#include "core/thread.h"
#include "qcow2-exercise.h"
#include "qcow2-rig.h"

static uint64_t seed = 20240607;

static uint32_t next(uint32_t below)
{
    seed = seed * 6364136223846793005ull + 1442695040888963407ull;
    return (uint32_t)((seed >> 33) % below);
}

/* A small image with data, a snapshot, and all that has metadata. */
static GBytes *sample(const char *options)
{
    BlockNode *file = record_new(0), *node;
    BlockSnapshot snapshot = {.name = (char *)"s"};
    Model m;

    rig_create_on(file, options, 1 * MIB);
    node = rig_open_on(block_node_ref(file), BLOCK_OPEN_RDWR, NULL);
    model_init(&m, node, 5);
    for (unsigned i = 0; i < 12; i++)
        model_step(&m);
    assert_true(node->driver->snapshot_create(node, &snapshot, NULL));
    g_free(snapshot.id);
    for (unsigned i = 0; i < 12; i++)
        model_step(&m);
    model_release(&m);
    GBytes *bytes = g_bytes_new(record_of(file)->image, record_of(file)->image_size);
    block_node_unref(file);
    return bytes;
}

/* Header fields, or table-like values anywhere. */
static void damage(uint8_t *image, size_t len, size_t metadata)
{
    static const uint64_t values[] = {0, 1, 0x200, 0x10000, ~0ull, 1ull << 63, 1ull << 62, 1ull << 50, 0x8000000000000200ull,
                                      0xc000000000000001ull, 0x7fffffffffffffffull};

    for (unsigned i = 1 + next(4); i > 0; i--) {
        size_t at = next(3) == 0 ? next(112) : next((uint32_t)(next(2) ? metadata : len - 8));
        uint64_t value = next(3) ? values[next(G_N_ELEMENTS(values))] : (uint64_t)next(64) << 9 | (uint64_t)next(2) << 63;
        if (next(4) == 0) {
            image[at] ^= (uint8_t)(1u << next(8));
        } else {
            for (unsigned b = 0; b < 8; b++)
                image[(at & ~7ull) + b] = (uint8_t)(value >> (56 - 8 * b));
        }
    }
}

static void damaged_images_are_refused_or_survived(void **state)
{
    static const char *const options[] = {"cluster_size=512", "cluster_size=512,compat=0.10", "cluster_size=4K,refcount_bits=1",
                                          "cluster_size=16K,extended_l2=on"};
    bool full = g_strcmp0(g_getenv("VMM_TEST_DEPTH"), "full") == 0;
    unsigned opened = 0, count = full ? 2000 : 60;

    for (unsigned i = 0; i < G_N_ELEMENTS(options); i++) {
        gsize len;
        /* Snapshots need refcounts above 1. */
        g_autoptr(GBytes) bytes = sample(i == 2 ? "cluster_size=4K,refcount_bits=2" : options[i]);
        const uint8_t *data = g_bytes_get_data(bytes, &len);
        for (unsigned n = 0; n < count; n++) {
            g_autofree uint8_t *copy = g_memdup2(data, len);
            damage(copy, len, MIN(len - 8, 16384));
            opened += qcow2_exercise(copy, next(20) ? len : next((uint32_t)len));
        }
    }
    assert_true(opened > count); /* the damage reaches behind the header */
    assert_null(block_node_next(NULL));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(damaged_images_are_refused_or_survived),
    };

    core_init();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
