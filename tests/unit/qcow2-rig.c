/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "qcow2-rig.h"

static char *folder;

static const char *rig_folder(void)
{
    if (!folder) {
        folder = g_dir_make_tmp("vmm-qcow2-XXXXXX", NULL);
        assert_non_null(folder);
    }
    return folder;
}

char *rig_path(const char *name)
{
    return g_build_filename(rig_folder(), name, NULL);
}

void rig_cleanup(void)
{
    const char *name;

    if (!folder)
        return;
    GDir *dir = g_dir_open(folder, 0, NULL);
    while ((name = g_dir_read_name(dir))) {
        g_autofree char *path = g_build_filename(folder, name, NULL);
        unlink(path);
    }
    g_dir_close(dir);
    rmdir(folder);
    g_clear_pointer(&folder, g_free);
}

static bool set_option(const char *path, const char *value, void *opaque)
{
    const BlockDriver *driver = block_driver_find("qcow2");

    return property_set(driver->create_props, opaque, "qcow2", path, value, NULL);
}

static void *create_options(const char *text)
{
    const BlockDriver *driver = block_driver_find("qcow2");
    g_autoptr(KvNode) kv = keyval_parse(text, NULL, NULL);
    void *options = g_malloc0(driver->create_size);

    property_set_defaults(driver->create_props, options);
    assert_non_null(kv);
    assert_true(keyval_foreach(kv, set_option, options));
    return options;
}

static void free_options(void *options)
{
    property_release(block_driver_find("qcow2")->create_props, options);
    g_free(options);
}

void rig_create(const char *path, const char *options, uint64_t size)
{
    g_autoptr(GError) err = NULL;
    void *parsed = create_options(options);

    if (!block_create(block_driver_find("qcow2"), path, parsed, size, true, &err))
        fail_msg("create: %s", err->message);
    free_options(parsed);
}

void rig_create_on(BlockNode *file, const char *options, uint64_t size)
{
    g_autoptr(GError) err = NULL;
    void *parsed = create_options(options);

    if (!block_driver_find("qcow2")->create(file, parsed, size, &err))
        fail_msg("create: %s", err->message);
    free_options(parsed);
}

BlockNode *rig_open(const char *path, unsigned flags)
{
    g_autoptr(GError) err = NULL;
    BlockNode *node = block_node_open_file(path, "qcow2", flags, &err);

    if (!node)
        fail_msg("open: %s", err->message);
    node->file->cache_no_flush = true; /* only the host's failure would tell, and it is slow */
    return node;
}

BlockNode *rig_open_on(BlockNode *file, unsigned flags, GError **errp)
{
    BlockNode *node = block_node_new(block_driver_find("qcow2"), NULL);

    node->discard = BLOCK_DISCARD_UNMAP;
    return block_node_start(node, file, flags, errp);
}

/* --- the model --- */

uint32_t model_random(Model *m, uint32_t below)
{
    m->seed ^= m->seed << 13;
    m->seed ^= m->seed >> 7;
    m->seed ^= m->seed << 17;
    return (uint32_t)((m->seed >> 16) % below);
}

void model_init_blind(Model *m, uint64_t size, uint64_t seed)
{
    *m = (Model){.size = size, .seed = seed * 0x9e3779b97f4a7c15ull | 1};
    m->expect = g_malloc0(size);
    m->touched = g_malloc0(size / 512 + 1);
}

void model_init(Model *m, BlockNode *node, uint64_t seed)
{
    model_init_blind(m, block_node_size(node), seed);
    m->node = node;
    assert_int_equal(block_pread(node, 0, m->expect, m->size), 0);
}

void model_release(Model *m)
{
    block_node_unref(m->node);
    g_free(m->expect);
    g_free(m->touched);
}

static void random_range(Model *m, uint64_t *offset, uint64_t *bytes)
{
    uint32_t shape = model_random(m, 8);
    uint64_t max = shape == 0 ? 400000 : shape < 4 ? 70000 : 5000;

    *offset = model_random(m, (uint32_t)m->size);
    *bytes = 1 + model_random(m, (uint32_t)max);
    if (model_random(m, 2)) {
        *offset &= ~511ull;
        *bytes = (*bytes + 511) & ~511ull;
    }
    *bytes = MIN(*bytes, m->size - *offset);
}

static void step_write(Model *m, uint64_t offset, uint64_t bytes)
{
    uint8_t value = (uint8_t)model_random(m, 256);

    for (uint64_t i = 0; i < bytes; i++)
        m->expect[offset + i] = (uint8_t)(value + (i >> 9));
    struct iovec iov[2] = {{m->expect + offset, bytes / 3}, {m->expect + offset + bytes / 3, bytes - bytes / 3}};
    if (m->node)
        assert_int_equal(block_pwritev(m->node, offset, bytes, iov, 2, 0), 0);
}

static void step_zero(Model *m, uint64_t offset, uint64_t bytes)
{
    unsigned flags = model_random(m, 2) ? BLOCK_MAY_UNMAP : 0;

    memset(m->expect + offset, 0, bytes);
    if (m->node)
        assert_int_equal(block_write_zeroes(m->node, offset, bytes, flags), 0);
}

static void step_discard(Model *m, uint64_t offset, uint64_t bytes)
{
    assert_int_equal(block_discard(m->node, offset, bytes), 0);
    /* What a discarded range holds is up to the format; ours to take over. */
    assert_int_equal(block_pread(m->node, offset, m->expect + offset, bytes), 0);
}

static void step_read(Model *m, uint64_t offset, uint64_t bytes)
{
    g_autofree uint8_t *buf = g_malloc(bytes);

    assert_int_equal(block_pread(m->node, offset, buf, bytes), 0);
    assert_memory_equal(buf, m->expect + offset, bytes);
}

void model_step(Model *m)
{
    uint64_t offset, bytes;
    uint32_t what = model_random(m, 20);

    random_range(m, &offset, &bytes);
    if (what < 14 && bytes)
        memset(m->touched + offset / 512, 1, (offset + bytes - 1) / 512 - offset / 512 + 1);
    if (what < 9)
        step_write(m, offset, bytes);
    else if (what < 12)
        step_zero(m, offset, bytes);
    else if (what < 14 && !m->no_discard)
        step_discard(m, offset, bytes);
    else if (what == 14 && m->node)
        assert_int_equal(block_flush(m->node), 0);
    else if (what > 14 && m->node)
        step_read(m, offset, bytes);
}

void model_compare(Model *m)
{
    g_autofree uint8_t *buf = g_malloc(m->size);

    assert_int_equal(block_pread(m->node, 0, buf, m->size), 0);
    assert_memory_equal(buf, m->expect, m->size);
}

static void print_finding(void *opaque, const char *line)
{
    print_message("%s\n", line);
}

void assert_clean(BlockNode *node)
{
    BlockCheck result = {.report = print_finding};
    g_autoptr(GError) err = NULL;

    if (!node->driver->check(node, &result, 0, &err))
        fail_msg("check: %s", err->message);
    assert_int_equal(result.corruptions, 0);
    assert_int_equal(result.leaks, 0);
}

/* --- qemu-img --- */

bool have_qemu_img(void)
{
    g_autofree char *path = g_find_program_in_path("qemu-img");

    return path != NULL;
}

void qemu_img(int expect_status, const char *command)
{
    g_autofree char *line = g_strconcat("qemu-img ", command, NULL);
    g_autofree char *out = NULL, *err = NULL;
    g_auto(GStrv) argv = NULL;
    g_autoptr(GError) error = NULL;
    int status;

    assert_true(g_shell_parse_argv(line, NULL, &argv, NULL));
    if (!g_spawn_sync(rig_folder(), argv, NULL, G_SPAWN_SEARCH_PATH, NULL, NULL, &out, &err, &status, &error))
        fail_msg("%s: %s", line, error->message);
    if (!WIFEXITED(status) || WEXITSTATUS(status) != expect_status)
        fail_msg("%s: status %d\n%s%s", line, status, out, err);
}
