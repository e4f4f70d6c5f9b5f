/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Kernel images made up for tests.
 */
#include "boot-images.h"

#include <bzlib.h>
#include <elf.h>
#include <inttypes.h>
#include <lz4.h>
#include <lzma.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <zlib.h>
#include <zstd.h>

#include <cmocka.h>

#include "core/bits.h"

const char *const image_packing_names[PACK_COUNT] = {
    "none", "gzip", "bzip2", "xz", "zstd", "lz4", "lzma", "lzo",
};

#define TEXT_OFFSET 0x1000
#define DATA_OFFSET (TEXT_OFFSET + IMAGE_TEXT_SIZE)
#define NOTE_OFFSET 0x800

/* Compressible, but not trivially so. */
static void fill_pattern(uint8_t *p, size_t len)
{
    for (size_t i = 0; i < len; i++)
        p[i] = (i * i >> 7) ^ i;
}

static GByteArray *new_image(size_t len)
{
    GByteArray *image = g_byte_array_new();
    g_byte_array_set_size(image, len);
    memset(image->data, 0, len);
    return image;
}

GByteArray *image_elf64(bool pvh_note)
{
    GByteArray *image = new_image(DATA_OFFSET + IMAGE_DATA_SIZE);
    Elf64_Ehdr eh = {.e_type = ET_EXEC, .e_machine = EM_X86_64, .e_version = 1, .e_entry = IMAGE_ENTRY,
                     .e_phoff = sizeof(eh), .e_ehsize = sizeof(eh), .e_phentsize = sizeof(Elf64_Phdr),
                     .e_phnum = pvh_note ? 3 : 2};
    Elf64_Phdr ph[3] = {
        {PT_LOAD, PF_R | PF_X, TEXT_OFFSET, 0xffffffff81000000, IMAGE_BASE, IMAGE_TEXT_SIZE, IMAGE_TEXT_SIZE, 4096},
        {PT_LOAD, PF_R | PF_W, DATA_OFFSET, 0xffffffff81200000, IMAGE_DATA_BASE, IMAGE_DATA_SIZE, IMAGE_DATA_MEM, 4096},
        {PT_NOTE, PF_R, NOTE_OFFSET, 0, 0, 20, 20, 4},
    };
    const uint32_t note[5] = {4, 4, 18, 0x006e6558 /* "Xen" */, IMAGE_PVH_ENTRY};

    memcpy(eh.e_ident, ELFMAG, SELFMAG);
    eh.e_ident[EI_CLASS] = ELFCLASS64;
    eh.e_ident[EI_DATA] = ELFDATA2LSB;
    fill_pattern(image->data + TEXT_OFFSET, IMAGE_TEXT_SIZE + IMAGE_DATA_SIZE);
    memcpy(image->data, &eh, sizeof(eh));
    memcpy(image->data + sizeof(eh), ph, sizeof(ph));
    memcpy(image->data + NOTE_OFFSET, note, sizeof(note));
    return image;
}

GByteArray *image_elf32(void)
{
    GByteArray *image = new_image(DATA_OFFSET + IMAGE_DATA_SIZE);
    Elf32_Ehdr eh = {.e_type = ET_EXEC, .e_machine = EM_386, .e_version = 1, .e_entry = IMAGE_ENTRY,
                     .e_phoff = sizeof(eh), .e_ehsize = sizeof(eh), .e_phentsize = sizeof(Elf32_Phdr), .e_phnum = 2};
    Elf32_Phdr ph[2] = {
        {PT_LOAD, TEXT_OFFSET, IMAGE_BASE, IMAGE_BASE, IMAGE_TEXT_SIZE, IMAGE_TEXT_SIZE, PF_R | PF_X, 4096},
        {PT_LOAD, DATA_OFFSET, IMAGE_DATA_BASE, IMAGE_DATA_BASE, IMAGE_DATA_SIZE, IMAGE_DATA_MEM, PF_R | PF_W, 4096},
    };

    memcpy(eh.e_ident, ELFMAG, SELFMAG);
    eh.e_ident[EI_CLASS] = ELFCLASS32;
    eh.e_ident[EI_DATA] = ELFDATA2LSB;
    fill_pattern(image->data + TEXT_OFFSET, IMAGE_TEXT_SIZE + IMAGE_DATA_SIZE);
    memcpy(image->data, &eh, sizeof(eh));
    memcpy(image->data + sizeof(eh), ph, sizeof(ph));
    return image;
}

static size_t pack_gzip(const GByteArray *in, uint8_t *out, size_t room)
{
    z_stream z = {.next_in = in->data, .avail_in = in->len, .next_out = out, .avail_out = room};
    assert_int_equal(deflateInit2(&z, 9, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY), Z_OK);
    assert_int_equal(deflate(&z, Z_FINISH), Z_STREAM_END);
    deflateEnd(&z);
    return z.total_out;
}

static size_t pack_bzip2(const GByteArray *in, uint8_t *out, size_t room)
{
    unsigned len = room;
    assert_int_equal(BZ2_bzBuffToBuffCompress((char *)out, &len, (char *)in->data, in->len, 9, 0, 0), BZ_OK);
    return len;
}

/* As the kernel's build does: the x86 filter before LZMA2. */
static size_t pack_xz(const GByteArray *in, uint8_t *out, size_t room)
{
    lzma_options_lzma options;
    size_t len = 0;
    assert_false(lzma_lzma_preset(&options, 6));
    lzma_filter filters[] = {{LZMA_FILTER_X86, NULL}, {LZMA_FILTER_LZMA2, &options}, {LZMA_VLI_UNKNOWN, NULL}};
    assert_int_equal(lzma_stream_buffer_encode(filters, LZMA_CHECK_CRC32, NULL, in->data, in->len, out, &len, room),
                     LZMA_OK);
    return len;
}

static size_t pack_zstd(const GByteArray *in, uint8_t *out, size_t room)
{
    ZSTD_CCtx *ctx = ZSTD_createCCtx();
    ZSTD_CCtx_setParameter(ctx, ZSTD_c_compressionLevel, 19);
    ZSTD_CCtx_setParameter(ctx, ZSTD_c_checksumFlag, 1); /* as the zstd command does */
    size_t len = ZSTD_compress2(ctx, out, room, in->data, in->len);
    assert_false(ZSTD_isError(len));
    ZSTD_freeCCtx(ctx);
    return len;
}

static size_t pack_lz4(const GByteArray *in, uint8_t *out, size_t room)
{
    store_le(out, 0x184c2102, 4);
    int len = LZ4_compress_default((char *)in->data, (char *)out + 8, in->len, room - 8);
    assert_true(len > 0);
    store_le(out + 4, len, 4);
    return len + 8;
}

static size_t pack_foreign(const char *magic, size_t magic_len, const GByteArray *in, uint8_t *out)
{
    memcpy(out, in->data, in->len);
    memcpy(out, magic, magic_len);
    return in->len;
}

static size_t pack(const GByteArray *in, ImagePacking packing, uint8_t *out, size_t room)
{
    switch (packing) {
    case PACK_GZIP:
        return pack_gzip(in, out, room);
    case PACK_BZIP2:
        return pack_bzip2(in, out, room);
    case PACK_XZ:
        return pack_xz(in, out, room);
    case PACK_ZSTD:
        return pack_zstd(in, out, room);
    case PACK_LZ4:
        return pack_lz4(in, out, room);
    case PACK_LZMA:
        return pack_foreign("\x5d\0\0\0", 4, in, out);
    case PACK_LZO:
        return pack_foreign("\x89" "LZO\0\r\n\x1a\n", 9, in, out);
    default:
        memcpy(out, in->data, in->len);
        return in->len;
    }
}

GByteArray *image_bzimage(GByteArray *payload, ImagePacking packing)
{
    enum { SETUP = 5 * 512, OFFSET = 0x300 };
    size_t room = payload->len * 2 + 65536;
    GByteArray *image = new_image(SETUP + OFFSET + room);
    uint8_t *d = image->data;
    size_t len = pack(payload, packing, d + SETUP + OFFSET, room - 4);

    if (packing != PACK_GZIP) { /* gzip has its length at its end anyway */
        store_le(d + SETUP + OFFSET + len, payload->len, 4);
        len += 4;
    }
    memset(d, 0x90, SETUP);
    memset(d + BZ_SETUP_SECTS, 0, 0x290 - BZ_SETUP_SECTS);
    d[BZ_SETUP_SECTS] = SETUP / 512 - 1;
    store_le(d + 0x1fe, 0xaa55, 2);
    d[0x200] = 0xeb;
    d[0x201] = 0x6a; /* header up to 0x26c */
    memcpy(d + 0x202, "HdrS", 4);
    store_le(d + BZ_VERSION, 0x20f, 2);
    d[BZ_LOADFLAGS] = 1;
    store_le(d + BZ_CODE32_START, 0x100000, 4);
    store_le(d + BZ_INITRD_ADDR_MAX, 0x7fffffff, 4);
    store_le(d + 0x22c, 0x7fffffff, 4); /* initrd_addr_max */
    store_le(d + BZ_CMDLINE_SIZE, 2047, 4);
    store_le(d + BZ_PAYLOAD_OFFSET, OFFSET, 4);
    store_le(d + BZ_PAYLOAD_LENGTH, len, 4);
    store_le(d + 0x258, IMAGE_BASE, 8);
    store_le(d + BZ_INIT_SIZE, 0x400000, 4);
    g_byte_array_set_size(image, SETUP + OFFSET + len);
    g_byte_array_unref(payload);
    return image;
}

static void put_multiboot_header(uint8_t *p, uint32_t flags)
{
    store_le(p, 0x1badb002, 4);
    store_le(p + 4, flags, 4);
    store_le(p + 8, -(0x1badb002 + flags), 4);
}

GByteArray *image_multiboot_flat(uint32_t code_size)
{
    GByteArray *image = new_image(0x40 + code_size);
    uint8_t *p = image->data + 0x10;

    fill_pattern(image->data, image->len);
    put_multiboot_header(p, 0x10003);
    store_le(p + 12, MULTIBOOT_LOAD + 0x10, 4);               /* header_addr */
    store_le(p + 16, MULTIBOOT_LOAD, 4);                      /* load_addr */
    store_le(p + 20, 0, 4);                                   /* load_end_addr: all */
    store_le(p + 24, MULTIBOOT_LOAD + image->len + 0x800, 4); /* bss_end_addr */
    store_le(p + 28, MULTIBOOT_LOAD + 0x40, 4);               /* entry_addr */
    return image;
}

GByteArray *image_multiboot_elf(GByteArray *elf)
{
    put_multiboot_header(elf->data + TEXT_OFFSET + 0x10, 3);
    return elf;
}

MemMap image_memmap(uint64_t ram)
{
    MemMap map = {0};
    memmap_add(&map, 0, 0x9fc00, MEMMAP_RAM);
    memmap_add(&map, 0x9fc00, 0x400, MEMMAP_RESERVED);
    memmap_add(&map, 0xe0000, 0x20000, MEMMAP_RESERVED);
    memmap_add(&map, MIB, MIN(ram, 3 * GIB) - MIB, MEMMAP_RAM);
    if (ram > 3 * GIB)
        memmap_add(&map, 4 * GIB, ram - 3 * GIB, MEMMAP_RAM);
    return map;
}

const uint8_t *plan_at(const BootPlan *plan, uint64_t gpa, uint64_t len)
{
    for (guint i = 0; i < plan->blobs->len; i++) {
        const BootBlob *blob = &g_array_index(plan->blobs, BootBlob, i);
        if (!blob->reserved && gpa >= blob->gpa && range_ok(gpa - blob->gpa, len, blob->len))
            return blob->data + (gpa - blob->gpa);
    }
    fail_msg("nothing planned at 0x%" PRIx64, gpa);
    return NULL;
}

void plan_check(const BootPlan *plan, const MemMap *map)
{
    for (guint i = 0; i < plan->blobs->len; i++) {
        const BootBlob *a = &g_array_index(plan->blobs, BootBlob, i);
        assert_true(a->len <= a->mem_len);
        assert_true(memmap_is_ram(map, a->gpa, a->mem_len));
        for (guint j = 0; j < i; j++) {
            const BootBlob *b = &g_array_index(plan->blobs, BootBlob, j);
            assert_false(ranges_overlap(a->gpa, a->mem_len, b->gpa, b->mem_len));
        }
    }
}
