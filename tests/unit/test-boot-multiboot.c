/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Multiboot images: Multiboot Specification 0.6.96, sections 3.1 to 3.3.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "boot-images.h"
#include "core/bits.h"

typedef struct Boot {
    MemMap map;
    BootSource *source;
    BootPlan *plan;
    GError *error;
} Boot;

static Boot boot(GByteArray *image, const char *append, unsigned modules)
{
    Boot b = {.map = image_memmap(128 * MIB)};
    BootBoard board = {.map = &b.map};

    b.source = boot_source_from_data("guest.flat", image->data, image->len, append, &b.error);
    g_byte_array_unref(image);
    if (!b.source)
        return b;
    for (unsigned i = 0; i < modules; i++) {
        g_autofree char *name = g_strdup_printf("mod%u arg", i);
        g_autofree char *data = g_strdup_printf("contents %u", i);
        boot_source_add_module(b.source, name, data, strlen(data));
    }
    b.plan = boot_plan_make(b.source, &board, &b.error);
    assert_true(!b.plan == !!b.error);
    if (b.plan)
        plan_check(b.plan, &b.map);
    return b;
}

static void boot_done(Boot *b)
{
    boot_plan_free(b->plan);
    boot_source_free(b->source);
    g_clear_error(&b->error);
}

static void expect_error(GByteArray *image, const char *what)
{
    Boot b = boot(image, "", 0);
    assert_null(b.plan);
    assert_non_null(strstr(b.error->message, "'guest.flat'"));
    if (!strstr(b.error->message, what))
        fail_msg("'%s' does not mention '%s'", b.error->message, what);
    boot_done(&b);
}

static void a_flat_image_goes_to_its_load_address(void **state)
{
    g_autoptr(GByteArray) copy = image_multiboot_flat(0x3000);
    Boot b = boot(image_multiboot_flat(0x3000), "a b", 0);

    assert_non_null(b.plan);
    assert_int_equal(b.source->format, BOOT_FORMAT_MULTIBOOT);
    assert_int_equal(b.plan->entry.mode, BOOT_MODE_PROT32);
    assert_int_equal(b.plan->entry.rip, MULTIBOOT_LOAD + 0x40);
    assert_int_equal(b.plan->entry.rax, 0x2badb002);
    assert_memory_equal(plan_at(b.plan, MULTIBOOT_LOAD, copy->len), copy->data, copy->len);
    boot_done(&b);
}

static void elf_images_are_loaded_by_their_segments(void **state)
{
    Boot b = boot(image_multiboot_elf(image_elf32()), "", 0);
    assert_non_null(b.plan);
    assert_int_equal(b.plan->entry.rip, IMAGE_ENTRY);
    boot_done(&b);
    b = boot(image_multiboot_elf(image_elf64(false)), "", 0);
    assert_non_null(b.plan);
    assert_int_equal(b.plan->entry.mode, BOOT_MODE_PROT32);
    assert_int_equal(b.plan->entry.rip, IMAGE_ENTRY);
    boot_done(&b);
}

static void the_information_names_cmdline_loader_memory_and_modules(void **state)
{
    Boot b = boot(image_multiboot_flat(0x100), "one two", 2);
    assert_non_null(b.plan);
    const uint8_t *info = plan_at(b.plan, b.plan->entry.rbx, 72);

    assert_int_equal(load_le(info, 4), 1 << 0 | 1 << 2 | 1 << 3 | 1 << 6 | 1 << 9);
    assert_int_equal(load_le(info + 4, 4), 639);
    assert_int_equal(load_le(info + 8, 4), 127 * 1024);
    assert_string_equal((const char *)plan_at(b.plan, load_le(info + 16, 4), 19), "guest.flat one two");
    assert_string_equal((const char *)plan_at(b.plan, load_le(info + 64, 4), 4), "vmm");

    assert_int_equal(load_le(info + 20, 4), 2);
    const uint8_t *mods = plan_at(b.plan, load_le(info + 24, 4), 32);
    uint32_t start = load_le(mods + 16, 4);
    assert_int_equal(start % 4096, 0);
    assert_int_equal(load_le(mods + 20, 4) - start, 10);
    assert_memory_equal(plan_at(b.plan, start, 10), "contents 1", 10);
    assert_string_equal((const char *)plan_at(b.plan, load_le(mods + 24, 4), 9), "mod1 arg");

    uint32_t mmap_len = load_le(info + 44, 4);
    assert_int_equal(mmap_len, 24 * b.map.count);
    const uint8_t *mmap = plan_at(b.plan, load_le(info + 48, 4), mmap_len);
    for (unsigned i = 0; i < b.map.count; i++) {
        assert_int_equal(load_le(mmap + 24 * i, 4), 20);
        assert_int_equal(load_le(mmap + 24 * i + 4, 8), b.map.entries[i].base);
        assert_int_equal(load_le(mmap + 24 * i + 12, 8), b.map.entries[i].size);
        assert_int_equal(load_le(mmap + 24 * i + 20, 4), b.map.entries[i].type);
    }
    boot_done(&b);
}

static GByteArray *flat_with(unsigned offset, uint32_t value)
{
    GByteArray *image = image_multiboot_flat(0x100);
    store_le(image->data + 0x10 + offset, value, 4);
    return image;
}

static void bad_images_are_refused_by_name_and_reason(void **state)
{
    expect_error(flat_with(12, 0), "header");
    expect_error(flat_with(16, 0), "header");
    expect_error(flat_with(20, 0xffffffff), "length");
    expect_error(flat_with(24, 0xfffffff0), "does not fit");
    GByteArray *image = flat_with(4, 0x10023);
    store_le(image->data + 0x18, -(0x1badb002 + 0x10023), 4);
    expect_error(image, "demands");
    image = flat_with(4, 3);
    store_le(image->data + 0x18, -(0x1badb002 + 3), 4);
    expect_error(image, "not an ELF");
    expect_error(flat_with(8, 0), "neither"); /* wrong checksum: not multiboot at all */
}

static char *write_file(const char *dir, const char *name, const void *data, size_t len)
{
    char *path = g_build_filename(dir, name, NULL);
    assert_true(g_file_set_contents(path, data, len, NULL));
    return path;
}

static void initrd_lists_modules_with_arguments(void **state)
{
    g_autofree char *dir = g_dir_make_tmp("vmm-test-XXXXXX", NULL);
    g_autoptr(GByteArray) image = image_multiboot_flat(0x100);
    g_autofree char *kernel = write_file(dir, "k", image->data, image->len);
    g_autofree char *one = write_file(dir, "one", "1", 1);
    g_autofree char *two = write_file(dir, "t,wo", "22", 2);
    g_autofree char *list = g_strdup_printf("%s x=1,%s/t,,wo", one, dir);
    BootOptions options = {.kernel = kernel, .initrd = list};
    g_autoptr(GError) error = NULL;
    BootSource *source = boot_source_open(&options, &error);

    assert_non_null(source);
    assert_int_equal(source->modules->len, 2);
    const BootFile *file = &g_array_index(source->modules, BootFile, 0);
    assert_true(g_str_has_suffix(file->name, "/one x=1"));
    file = &g_array_index(source->modules, BootFile, 1);
    assert_int_equal(file->len, 2);

    /* A reset reads the files again, also when their names are gone. */
    unlink(two);
    boot_source_unload(source);
    assert_null(source->kernel.data);
    assert_true(boot_source_reload(source, &error));
    assert_memory_equal(source->kernel.data, image->data, image->len);
    boot_source_free(source);

    options.initrd = (char *)"/nonexistent/file arg";
    assert_null(boot_source_open(&options, &error));
    assert_non_null(strstr(error->message, "/nonexistent/file"));
    unlink(one);
    unlink(kernel);
    rmdir(dir);
}

static void mutated_images_never_escape_ram(void **state)
{
    for (uint32_t seed = 0; seed < 5000; seed++) {
        g_autoptr(GRand) rand = g_rand_new_with_seed(seed);
        GByteArray *image = seed & 1 ? image_multiboot_flat(0x100) : image_multiboot_elf(image_elf32());
        for (int i = g_rand_int_range(rand, 1, 4); i > 0; i--) {
            uint32_t offset = seed & 1 ? g_rand_int_range(rand, 0x1c, 0x30) : g_rand_int_range(rand, 0, 0x80);
            image->data[offset] = g_rand_int(rand);
        }
        Boot b = boot(image, "", seed & 2);
        boot_done(&b);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_flat_image_goes_to_its_load_address),
        cmocka_unit_test(elf_images_are_loaded_by_their_segments),
        cmocka_unit_test(the_information_names_cmdline_loader_memory_and_modules),
        cmocka_unit_test(bad_images_are_refused_by_name_and_reason),
        cmocka_unit_test(initrd_lists_modules_with_arguments),
        cmocka_unit_test(mutated_images_never_escape_ram),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
