/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Inside the boot loaders: the formats, and finding room for what they place.
 */
#ifndef HW_I386_LOAD_H
#define HW_I386_LOAD_H

#include <inttypes.h>

#include "hw/i386/boot.h"

/* --- boot-plan.c --- */
typedef enum BootPlacement { BOOT_PLACE_LOW, BOOT_PLACE_HIGH } BootPlacement;

BootPlan *boot_plan_new(void);
/* A blob at a given place: false if it is not RAM throughout or overlaps another one. */
bool boot_plan_add(BootPlan *plan, const MemMap *map, const BootBlob *blob);
/*
 * Room of size bytes in RAM inside [min, max), away from all blobs, as low or as high as possible.
 * Returns false if there is none. align is a power of two.
 */
bool boot_plan_find(const BootPlan *plan, const MemMap *map, uint64_t size, uint64_t align, uint64_t min,
                    uint64_t max, BootPlacement placement, uint64_t *gpa);
/* Zeroed memory freed with the plan. */
void *boot_plan_alloc(BootPlan *plan, size_t len);
/* Frees p with the plan. */
void boot_plan_own(BootPlan *plan, void *p);
/* A copy of data (may be NULL: zeros, filled in by the caller through the result) placed low below
 * 1 MiB for the structures a protocol passes. NULL with an error if there is no room. */
void *boot_plan_add_low(BootPlan *plan, const MemMap *map, const void *data, size_t len, uint64_t align,
                        uint64_t *gpa, GError **errp);

/* --- load-elf.c --- */
#define ELF_MAX_SEGMENTS 64

typedef struct ElfSegment {
    uint64_t paddr, vaddr;
    uint64_t memsz;
    uint64_t offset, filesz; /* checked: inside the file */
} ElfSegment;

typedef struct ElfImage {
    bool is64;
    uint64_t entry; /* physical */
    bool has_pvh;
    uint64_t pvh_entry;
    uint64_t low, high; /* physical extent of the segments */
    unsigned count;
    ElfSegment segments[ELF_MAX_SEGMENTS]; /* PT_LOAD with memory */
} ElfImage;

bool elf_probe(const uint8_t *data, size_t len);
/* name and remedy go into the error. */
bool elf_parse(ElfImage *elf, const uint8_t *data, size_t len, const char *name, GError **errp);
bool elf_place(const ElfImage *elf, const uint8_t *data, BootPlan *plan, const MemMap *map, const char *name,
               GError **errp);
/* A plan for an ELF kernel: PVH if it has the note, else 64-bit Linux. */
bool load_elf(BootPlan *plan, const BootSource *source, const BootBoard *board, GError **errp);

/* --- load-unpack.c --- */
/* The compression's name from its magic, or NULL. */
const char *unpack_name(const uint8_t *data, size_t len);
/*
 * Decompresses at most max bytes; free *out with g_free. Data after the stream's end is ignored. The error says
 * which compression and what is wrong, not which file.
 */
bool unpack(const uint8_t *data, size_t len, size_t max, uint8_t **out, size_t *out_len, GError **errp);

/* --- load-linux.c --- */
#define LOADER_UNDEFINED 0xff /* type_of_loader */
/* Whether a kernel that takes max characters (0: does not say) takes the source's command line. */
bool linux_check_append(const BootSource *source, uint64_t max, GError **errp);
/* The error of an initrd that finds no place. Returns false. */
bool linux_initrd_too_large(const BootFile *initrd, GError **errp);
/* As high as possible in [1 MiB, max). The error names the file. */
bool linux_place_initrd(BootPlan *plan, const BootFile *initrd, const MemMap *map, uint64_t max, uint64_t *gpa,
                        GError **errp);
/* Completes and places boot_params (4 KiB, setup header copied in; zeros for a bare vmlinux) with
 * command line, initrd, memory map and RSDP; entry.rsi points to it. Kernel blobs come before. */
bool linux_finish(BootPlan *plan, const BootSource *source, const BootBoard *board, uint8_t *boot_params,
                  GError **errp);
/* The 32- and 64-bit boot protocols' machine state. */
bool linux_enter_32(BootPlan *plan, const BootBoard *board, uint64_t entry, GError **errp);
bool linux_enter_64(BootPlan *plan, const BootBoard *board, uint64_t entry, GError **errp);

/* --- load-bzimage.c --- */
bool bzimage_probe(const uint8_t *data, size_t len);
/* boot_source_needs_firmware and boot_real_mode for such an image. */
const char *bzimage_needs_firmware(const BootFile *kernel);
BootRealMode *bzimage_real_mode(const BootSource *source, uint64_t ram_end, GError **errp);
bool load_bzimage(BootPlan *plan, const BootSource *source, const BootBoard *board, GError **errp);

/* --- load-multiboot.c --- */
bool multiboot_probe(const uint8_t *data, size_t len);
bool load_multiboot(BootPlan *plan, const BootSource *source, const BootBoard *board, GError **errp);

#endif
