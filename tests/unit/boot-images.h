/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Kernel images made up for tests: ELF files, bzImages around them in every compression, multiboot.
 */
#ifndef TESTS_UNIT_BOOT_IMAGES_H
#define TESTS_UNIT_BOOT_IMAGES_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

#include "hw/i386/boot.h"

/* Of the ELF images: two segments, the second with zeros behind it, and an entry. */
#define IMAGE_BASE 0x1000000ull
#define IMAGE_ENTRY (IMAGE_BASE + 0x40)
#define IMAGE_TEXT_SIZE 0x9000ull
#define IMAGE_DATA_BASE (IMAGE_BASE + 0x200000)
#define IMAGE_DATA_SIZE 0x1800ull
#define IMAGE_DATA_MEM 0x5000ull
#define IMAGE_PVH_ENTRY (IMAGE_BASE + 0x80)

GByteArray *image_elf64(bool pvh_note);
GByteArray *image_elf32(void);

typedef enum ImagePacking {
    PACK_NONE, PACK_GZIP, PACK_BZIP2, PACK_XZ, PACK_ZSTD, PACK_LZ4, PACK_LZMA, PACK_LZO, PACK_COUNT,
} ImagePacking;
extern const char *const image_packing_names[PACK_COUNT];

/* Offsets a test changes to make a header hostile. */
enum {
    BZ_SETUP_SECTS = 0x1f1,
    BZ_VERSION = 0x206,
    BZ_LOADFLAGS = 0x211,
    BZ_CODE32_START = 0x214,
    BZ_INITRD_ADDR_MAX = 0x22c,
    BZ_CMDLINE_SIZE = 0x238,
    BZ_PAYLOAD_OFFSET = 0x248,
    BZ_PAYLOAD_LENGTH = 0x24c,
    BZ_INIT_SIZE = 0x260,
};
/* payload is consumed. */
GByteArray *image_bzimage(GByteArray *payload, ImagePacking packing);

#define MULTIBOOT_LOAD 0x200000u
/* A flat image with its own load addresses; code_size bytes of which follow the header. */
GByteArray *image_multiboot_flat(uint32_t code_size);
/* elf (consumed) with a multiboot header put into its first segment. */
GByteArray *image_multiboot_elf(GByteArray *elf);

/* A PC's memory map with this much RAM. */
MemMap image_memmap(uint64_t ram);
/* The planned contents at gpa; fails the test if they are not wholly in one blob. */
const uint8_t *plan_at(const BootPlan *plan, uint64_t gpa, uint64_t len);
/* Every blob in RAM, no two overlapping. */
void plan_check(const BootPlan *plan, const MemMap *map);

#endif
