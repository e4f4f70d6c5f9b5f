/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * bzImage and ELF kernels: what the boot protocols promise to the guest, and what bad files get.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "boot-images.h"
#include "core/bits.h"

#define RSDP 0xe0000

typedef struct Boot {
    MemMap map;
    BootSource *source;
    BootPlan *plan;
    GError *error;
} Boot;

/* image is consumed; initrd of 12345 bytes if asked for. */
static Boot boot(GByteArray *image, const char *append, bool initrd, uint64_t ram)
{
    Boot b = {.map = image_memmap(ram)};
    BootBoard board = {.map = &b.map, .rsdp = RSDP};

    b.source = boot_source_from_data("k", image->data, image->len, append, &b.error);
    g_byte_array_unref(image);
    if (!b.source)
        return b;
    if (initrd) {
        uint8_t data[12345];
        memset(data, 0xa5, sizeof(data));
        boot_source_add_module(b.source, "initrd", data, sizeof(data));
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
    Boot b = boot(image, "", false, 512 * MIB);
    assert_null(b.plan);
    assert_non_null(b.error);
    assert_non_null(strstr(b.error->message, "'k'"));
    if (!strstr(b.error->message, what))
        fail_msg("'%s' does not mention '%s'", b.error->message, what);
    assert_null(strchr(b.error->message, '\n'));
    boot_done(&b);
}

static void check_segments(const BootPlan *plan)
{
    g_autoptr(GByteArray) elf = image_elf64(false);
    assert_memory_equal(plan_at(plan, IMAGE_BASE, IMAGE_TEXT_SIZE), elf->data + 0x1000, IMAGE_TEXT_SIZE);
    assert_memory_equal(plan_at(plan, IMAGE_DATA_BASE, IMAGE_DATA_SIZE), elf->data + 0x1000 + IMAGE_TEXT_SIZE,
                        IMAGE_DATA_SIZE);
}

static void every_compression_is_unpacked_and_entered_in_64_bit_mode(void **state)
{
    const ImagePacking packings[] = {PACK_NONE, PACK_GZIP, PACK_BZIP2, PACK_XZ, PACK_ZSTD, PACK_LZ4};

    for (size_t i = 0; i < G_N_ELEMENTS(packings); i++) {
        Boot b = boot(image_bzimage(image_elf64(false), packings[i]), "", false, 512 * MIB);
        if (!b.plan)
            fail_msg("%s: %s", image_packing_names[packings[i]], b.error->message);
        assert_null(b.plan->note);
        assert_int_equal(b.plan->entry.mode, BOOT_MODE_LONG64);
        assert_int_equal(b.plan->entry.rip, IMAGE_ENTRY);
        check_segments(b.plan);
        boot_done(&b);
    }
}

static void lzma_and_lzo_kernels_unpack_themselves_by_the_32_bit_protocol(void **state)
{
    const ImagePacking packings[] = {PACK_LZMA, PACK_LZO};

    for (size_t i = 0; i < G_N_ELEMENTS(packings); i++) {
        Boot b = boot(image_bzimage(image_elf64(false), packings[i]), "", false, 512 * MIB);
        assert_non_null(b.plan);
        assert_non_null(strstr(b.plan->note, image_packing_names[packings[i]]));
        assert_int_equal(b.plan->entry.mode, BOOT_MODE_PROT32);
        assert_int_equal(b.plan->entry.rip, MIB);
        boot_done(&b);
    }
}

static void a_32_bit_kernel_unpacks_itself(void **state)
{
    Boot b = boot(image_bzimage(image_elf32(), PACK_GZIP), "", false, 512 * MIB);
    assert_non_null(b.plan);
    assert_non_null(strstr(b.plan->note, "32-bit"));
    assert_int_equal(b.plan->entry.mode, BOOT_MODE_PROT32);
    boot_done(&b);
}

static void boot_params_carry_header_cmdline_initrd_map_and_rsdp(void **state)
{
    Boot b = boot(image_bzimage(image_elf64(false), PACK_GZIP), "console=ttyS0 x", true, 512 * MIB);
    assert_non_null(b.plan);
    const uint8_t *bp = plan_at(b.plan, b.plan->entry.rsi, 4096);

    assert_memory_equal(bp + 0x202, "HdrS", 4);
    assert_int_equal(bp[0x210], 0xff);
    assert_int_equal(load_le(bp + 0x70, 8), RSDP);
    assert_string_equal((const char *)plan_at(b.plan, load_le(bp + 0x228, 4), 16), "console=ttyS0 x");
    uint64_t initrd = load_le(bp + 0x218, 4);
    assert_int_equal(load_le(bp + 0x21c, 4), 12345);
    assert_int_equal(initrd % 4096, 0);
    assert_true(initrd + 12345 <= 0x80000000);
    assert_int_equal(plan_at(b.plan, initrd, 12345)[12344], 0xa5);
    assert_int_equal(bp[0x1e8], b.map.count);
    for (unsigned i = 0; i < b.map.count; i++) {
        assert_int_equal(load_le(bp + 0x2d0 + 20 * i, 8), b.map.entries[i].base);
        assert_int_equal(load_le(bp + 0x2d8 + 20 * i, 8), b.map.entries[i].size);
        assert_int_equal(load_le(bp + 0x2e0 + 20 * i, 4), b.map.entries[i].type);
    }
    boot_done(&b);
}

static void the_64_bit_entry_state_is_identity_mapped_with_boot_selectors(void **state)
{
    Boot b = boot(image_bzimage(image_elf64(false), PACK_GZIP), "", false, 512 * MIB);
    const BootEntry *e = &b.plan->entry;
    CpuState cpu;

    memset(&cpu, 0xcc, sizeof(cpu));
    boot_entry_apply(e, &cpu);
    assert_int_equal(cpu.rip, IMAGE_ENTRY);
    assert_int_equal(cpu.gpr[GPR_RSI], e->rsi);
    assert_int_equal(cpu.rflags, RFLAGS_1);
    assert_true(cpu.cr0 & CR0_PG && cpu.cr0 & CR0_PE && cpu.cr4 & CR4_PAE);
    assert_int_equal(cpu.efer, EFER_LME | EFER_LMA);
    assert_int_equal(cpu.seg[SEG_CS].selector, 0x10);
    assert_int_equal(cpu.seg[SEG_DS].selector, 0x18);
    assert_int_equal(cpu_state_code_bits(&cpu), 64);

    const uint8_t *gdt = plan_at(b.plan, e->gdt, e->gdt_limit + 1);
    assert_int_equal(load_le(gdt + 0x10, 8), 0x00af9b000000ffff);
    assert_int_equal(load_le(gdt + 0x18, 8), 0x00cf93000000ffff);

    uint64_t pml4e = load_le(plan_at(b.plan, e->cr3, 8), 8);
    const uint64_t probes[] = {0, IMAGE_BASE, 0xfee00000, 4 * GIB - 1};
    for (size_t i = 0; i < G_N_ELEMENTS(probes); i++) {
        uint64_t pdpte = load_le(plan_at(b.plan, (pml4e & GUEST_PAGE_MASK) + 8 * (probes[i] >> 30), 8), 8);
        uint64_t pde = load_le(plan_at(b.plan, (pdpte & GUEST_PAGE_MASK) + 8 * (probes[i] >> 21 & 511), 8), 8);
        assert_int_equal(pde & 0x83, 0x83);
        assert_int_equal(pde & ~0x1fffffull, probes[i] & ~0x1fffffull);
    }
    boot_done(&b);
}

static void initrd_stays_clear_of_the_memory_the_kernel_starts_in(void **state)
{
    /* 21 MiB: the kernel's init_size ends at 20 MiB, so there is one MiB for the initrd. */
    Boot b = boot(image_bzimage(image_elf64(false), PACK_GZIP), "", true, 21 * MIB);
    assert_non_null(b.plan);
    const uint8_t *bp = plan_at(b.plan, b.plan->entry.rsi, 4096);
    assert_true(load_le(bp + 0x218, 4) >= 20 * MIB);
    boot_done(&b);
}

static void vmlinux_is_entered_in_64_bit_mode(void **state)
{
    Boot b = boot(image_elf64(false), "quiet", true, 512 * MIB);
    assert_non_null(b.plan);
    assert_int_equal(b.plan->entry.mode, BOOT_MODE_LONG64);
    assert_int_equal(b.plan->entry.rip, IMAGE_ENTRY);
    check_segments(b.plan);
    boot_done(&b);
}

static void a_pvh_note_gets_start_info(void **state)
{
    Boot b = boot(image_elf64(true), "quiet", true, 512 * MIB);
    assert_non_null(b.plan);
    assert_int_equal(b.plan->entry.mode, BOOT_MODE_PROT32);
    assert_int_equal(b.plan->entry.rip, IMAGE_PVH_ENTRY);
    const uint8_t *info = plan_at(b.plan, b.plan->entry.rbx, 56);
    assert_int_equal(load_le(info, 4), 0x336ec578);
    assert_int_equal(load_le(info + 4, 4), 1);
    assert_int_equal(load_le(info + 12, 4), 1);
    assert_int_equal(load_le(plan_at(b.plan, load_le(info + 16, 8), 32) + 8, 8), 12345);
    assert_string_equal((const char *)plan_at(b.plan, load_le(info + 24, 8), 6), "quiet");
    assert_int_equal(load_le(info + 32, 8), RSDP);
    assert_int_equal(load_le(info + 48, 4), b.map.count);
    assert_int_equal(load_le(plan_at(b.plan, load_le(info + 40, 8), 24) + 8, 8), b.map.entries[0].size);
    boot_done(&b);
}

/* A changed header field: offset, size, value. */
static GByteArray *bz_with(unsigned offset, unsigned size, uint64_t value)
{
    GByteArray *image = image_bzimage(image_elf64(false), PACK_GZIP);
    store_le(image->data + offset, value, size);
    return image;
}

static GByteArray *elf_with(unsigned offset, unsigned size, uint64_t value)
{
    GByteArray *image = image_elf64(false);
    store_le(image->data + offset, value, size);
    return image;
}

static void bad_bzimages_are_refused_by_name_and_reason(void **state)
{
    expect_error(bz_with(BZ_VERSION, 2, 0x201), "2.01");
    expect_error(bz_with(BZ_LOADFLAGS, 1, 0), "zImage");
    expect_error(bz_with(BZ_SETUP_SECTS, 1, 255), "truncated");
    expect_error(bz_with(BZ_PAYLOAD_OFFSET, 4, 0xfffffff0), "truncated");
    expect_error(bz_with(BZ_PAYLOAD_LENGTH, 4, 0xffffffff), "truncated");
    GByteArray *image = image_bzimage(image_elf64(false), PACK_XZ);
    g_byte_array_set_size(image, image->len / 2);
    expect_error(image, "truncated");
    image = image_bzimage(image_elf64(false), PACK_XZ);
    g_byte_array_set_size(image, 0x300);
    expect_error(image, "truncated");
}

static void a_damaged_payload_is_left_to_the_kernels_own_decompressor(void **state)
{
    for (ImagePacking p = PACK_GZIP; p <= PACK_LZ4; p++) {
        GByteArray *image = image_bzimage(image_elf64(false), p);
        memset(image->data + 0xd00 + 64, 0xff, 256);
        Boot b = boot(image, "", false, 512 * MIB);
        assert_non_null(b.plan);
        if (!b.plan->note)
            fail_msg("damage to %s went unnoticed", image_packing_names[p]);
        boot_done(&b);
    }
}

static void unpacking_is_bounded_by_the_size_the_image_states(void **state)
{
    GByteArray *image = image_bzimage(image_elf64(false), PACK_ZSTD);
    store_le(image->data + image->len - 4, 0x2000, 4);
    Boot b = boot(image, "", false, 512 * MIB);
    assert_non_null(strstr(b.plan->note, "zstd"));
    boot_done(&b);
}

static void bad_elf_images_are_refused_by_name_and_reason(void **state)
{
    expect_error(elf_with(18, 2, 183), "another processor");
    expect_error(elf_with(16, 2, 1), "not an executable");
    expect_error(elf_with(5, 1, 2), "little-endian");
    expect_error(elf_with(32, 8, UINT64_MAX - 8), "truncated");  /* e_phoff */
    expect_error(elf_with(56, 2, 0xffff), "truncated");          /* e_phnum */
    expect_error(elf_with(56, 2, 0), "nothing to load");
    expect_error(elf_with(64 + 8, 8, UINT64_MAX), "truncated");  /* p_offset */
    expect_error(elf_with(64 + 40, 8, UINT64_MAX), "impossible"); /* p_memsz */
    expect_error(elf_with(64 + 24, 8, 4 * GIB), "does not fit"); /* p_paddr */
    expect_error(image_elf32(), "32-bit");
    expect_error(elf_with(0, 1, 0), "neither");
    GByteArray *empty = g_byte_array_new();
    g_byte_array_append(empty, (const uint8_t *)"x", 1);
    expect_error(empty, "neither");
}

static void what_does_not_fit_says_what_to_do(void **state)
{
    Boot b = boot(image_bzimage(image_elf64(false), PACK_GZIP), "", false, 17 * MIB);
    assert_non_null(strstr(b.error->message, "-m"));
    boot_done(&b);
    g_autofree char *longest = g_strnfill(2048, 'x');
    b = boot(image_bzimage(image_elf64(false), PACK_GZIP), longest, false, 512 * MIB);
    assert_non_null(strstr(b.error->message, "2047"));
    boot_done(&b);
    b = boot(image_bzimage(image_elf64(false), PACK_GZIP), longest + 1, false, 512 * MIB);
    assert_non_null(b.plan);
    boot_done(&b);
}

static BootSource *source_of(GByteArray *image, const char *append, size_t initrd)
{
    g_autofree uint8_t *data = g_malloc0(initrd);
    BootSource *source = boot_source_from_data("k", image->data, image->len, append, NULL);

    assert_non_null(source);
    if (initrd)
        boot_source_add_module(source, "initrd", data, initrd);
    g_byte_array_unref(image);
    return source;
}

static void only_an_image_without_an_entry_in_protected_mode_needs_firmware(void **state)
{
    g_autoptr(BootSource) kernel = source_of(image_bzimage(image_elf64(false), PACK_GZIP), "", 0);
    g_autoptr(BootSource) loader = source_of(bz_with(BZ_CODE32_START, 4, 0), "", 0);
    g_autoptr(BootSource) elf = source_of(image_elf64(false), "", 0);

    assert_null(boot_source_needs_firmware(kernel));
    assert_string_equal(boot_source_needs_firmware(loader), "it has an entry in real mode only");
    assert_null(boot_source_needs_firmware(elf));
}

static void the_real_mode_parts_carry_what_a_boot_loader_fills_in(void **state)
{
    g_autoptr(BootSource) source = source_of(image_bzimage(image_elf64(false), PACK_GZIP), "quiet", 12345);
    g_autoptr(BootRealMode) parts = boot_real_mode(source, 64 * MIB, NULL);

    assert_non_null(parts);
    assert_int_equal(parts->setup_len + parts->kernel_len, source->kernel.len);
    assert_int_equal(parts->kernel_addr, MIB);
    assert_int_equal(parts->initrd_addr, align_down(64 * MIB - 12345, 4096));
    assert_int_equal(parts->initrd_len, 12345);
    assert_int_equal(parts->setup[0x210], 0xff);                                /* type_of_loader */
    assert_int_equal(parts->setup[BZ_LOADFLAGS], 0x81);                         /* LOADED_HIGH, CAN_USE_HEAP */
    assert_int_equal(load_le(parts->setup + 0x224, 2), 0xe000 - 0x200);         /* heap_end_ptr */
    assert_int_equal(load_le(parts->setup + 0x228, 4), parts->cmdline_addr);
    assert_int_equal(load_le(parts->setup + 0x218, 4), parts->initrd_addr);
    assert_int_equal(load_le(parts->setup + 0x21c, 4), 12345);
    /* Set-up code, heap and stack share a segment, the command line is behind them, all of it in low RAM. */
    assert_true(parts->setup_addr + parts->setup_len < parts->cmdline_addr);
    assert_true(parts->cmdline_addr < 0x9fc00);
}

static void expect_no_real_mode(GByteArray *image, const char *append, size_t initrd, uint64_t ram_end, const char *what)
{
    g_autoptr(BootSource) source = source_of(image, append, initrd);
    g_autoptr(GError) error = NULL;
    g_autoptr(BootRealMode) parts = boot_real_mode(source, ram_end, &error);

    assert_null(parts);
    if (!strstr(error->message, what))
        fail_msg("'%s' does not mention '%s'", error->message, what);
}

static void real_mode_parts_that_do_not_fit_say_what_to_do(void **state)
{
    g_autofree char *longest = g_strnfill(2048, 'x');

    expect_no_real_mode(image_bzimage(image_elf64(false), PACK_GZIP), longest, 0, 64 * MIB, "2047");
    expect_no_real_mode(image_bzimage(image_elf64(false), PACK_GZIP), "", 0, MIB, "-m");
    expect_no_real_mode(image_bzimage(image_elf64(false), PACK_GZIP), "", 70 * MIB, 64 * MIB, "-m");
    expect_no_real_mode(bz_with(BZ_INITRD_ADDR_MAX, 4, 0xfffff), "", 4096, 64 * MIB, "-m");
    GByteArray *image = image_bzimage(image_elf64(false), PACK_NONE);
    g_byte_array_set_size(image, 256 * KIB);
    image->data[BZ_SETUP_SECTS] = 200;
    store_le(image->data + BZ_PAYLOAD_LENGTH, 0, 4);
    expect_no_real_mode(image, "", 0, 64 * MIB, "32 KiB of set-up code");
}

/* Any image either boots inside its RAM or is an error; seeds make failures repeatable. */
static void mutated_images_never_escape_ram(void **state)
{
    for (uint32_t seed = 0; seed < 3000; seed++) {
        g_autoptr(GRand) rand = g_rand_new_with_seed(seed);
        GByteArray *image = seed % 3 == 0   ? image_elf64(seed & 1)
                            : seed % 3 == 1 ? image_bzimage(image_elf64(false), seed % PACK_COUNT)
                                            : image_bzimage(image_elf32(), PACK_NONE);
        unsigned changes = g_rand_int_range(rand, 1, 6);
        for (unsigned i = 0; i < changes; i++) {
            guint limit = g_rand_boolean(rand) ? 0x300 : image->len;
            image->data[g_rand_int_range(rand, 0, MIN(limit, image->len))] = g_rand_int(rand);
        }
        if (g_rand_int_range(rand, 0, 8) == 0)
            g_byte_array_set_size(image, g_rand_int_range(rand, 1, image->len));
        Boot b = boot(image, "root=x", seed & 2, 64 * MIB);
        boot_done(&b);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_compression_is_unpacked_and_entered_in_64_bit_mode),
        cmocka_unit_test(lzma_and_lzo_kernels_unpack_themselves_by_the_32_bit_protocol),
        cmocka_unit_test(a_32_bit_kernel_unpacks_itself),
        cmocka_unit_test(boot_params_carry_header_cmdline_initrd_map_and_rsdp),
        cmocka_unit_test(the_64_bit_entry_state_is_identity_mapped_with_boot_selectors),
        cmocka_unit_test(initrd_stays_clear_of_the_memory_the_kernel_starts_in),
        cmocka_unit_test(vmlinux_is_entered_in_64_bit_mode),
        cmocka_unit_test(a_pvh_note_gets_start_info),
        cmocka_unit_test(bad_bzimages_are_refused_by_name_and_reason),
        cmocka_unit_test(a_damaged_payload_is_left_to_the_kernels_own_decompressor),
        cmocka_unit_test(unpacking_is_bounded_by_the_size_the_image_states),
        cmocka_unit_test(bad_elf_images_are_refused_by_name_and_reason),
        cmocka_unit_test(what_does_not_fit_says_what_to_do),
        cmocka_unit_test(only_an_image_without_an_entry_in_protected_mode_needs_firmware),
        cmocka_unit_test(the_real_mode_parts_carry_what_a_boot_loader_fills_in),
        cmocka_unit_test(real_mode_parts_that_do_not_fit_say_what_to_do),
        cmocka_unit_test(mutated_images_never_escape_ram),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
