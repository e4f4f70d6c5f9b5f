/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Booting an operating system from its files: "-kernel", "-initrd", "-append".
 *
 *   boot_source_open    names -> open files            once, before the machine is built
 *   boot_plan_make      files -> BootPlan               parses everything, touches no guest memory
 *   boot_plan_place     BootPlan -> guest memory        at each machine reset
 *   boot_entry_apply    BootPlan.entry -> CpuState      at each machine reset, boot processor
 *
 * or, for firmware to place and enter it:
 *
 *   boot_real_mode      files -> BootRealMode
 *
 * A plan is a list of blobs (guest address, bytes, zeros after them) and the registers the image's
 * protocol asks for. Everything in the files is untrusted; a plan never reaches outside the RAM of
 * its memory map and no two blobs of it overlap.
 *
 * The format is found from the kernel file itself: Linux bzImage, multiboot, or ELF (with a PVH
 * entry note, or a 64-bit Linux).
 *
 * Locking: none; one thread at a time.
 */
#ifndef HW_I386_BOOT_H
#define HW_I386_BOOT_H

#include <glib.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/cpu-state.h"
#include "core/machine.h"
#include "hw/i386/memmap.h"

typedef enum BootFormat {
    BOOT_FORMAT_BZIMAGE,
    BOOT_FORMAT_MULTIBOOT,
    BOOT_FORMAT_ELF,
} BootFormat;

typedef struct BootFile {
    char *name; /* as the user gave it; of a multiboot module, with its arguments */
    int fd;     /* -1: data was given in memory */
    uint8_t *data;
    size_t len;
} BootFile;

/* The files of one -kernel. */
typedef struct BootSource {
    BootFile kernel;
    BootFormat format;
    GArray *modules; /* of BootFile: Linux: none or one initrd; multiboot: any number */
    char *append;    /* never NULL */
} BootSource;

/* Bytes for guest memory. data belongs to the source or to the plan's owned list. */
typedef struct BootBlob {
    uint64_t gpa;
    const uint8_t *data;
    uint64_t len;
    uint64_t mem_len; /* >= len; the rest is zeroed */
    bool reserved;    /* only keeps others away: nothing is written */
} BootBlob;

typedef enum BootMode {
    BOOT_MODE_PROT32, /* flat 32-bit protected mode, paging off */
    BOOT_MODE_LONG64, /* 64-bit mode, identity-mapped page tables at cr3 */
} BootMode;

typedef struct BootEntry {
    BootMode mode;
    uint64_t rip, rsp;
    uint64_t rax, rbx, rsi;
    uint64_t cr3;
    uint64_t gdt;
    uint16_t gdt_limit;
    uint16_t cs, ds; /* selectors; their hidden parts are flat */
} BootEntry;

typedef struct BootPlan {
    GArray *blobs;    /* of BootBlob */
    GPtrArray *owned; /* memory blobs point into */
    BootEntry entry;
    char *note; /* worth telling the user once, or NULL */
} BootPlan;

/* What the loaders need to know of the board. */
typedef struct BootBoard {
    const MemMap *map;
    uint64_t rsdp; /* ACPI root pointer; 0: none */
} BootBoard;

/* NULL with an error that names the file. Reads everything. */
BootSource *boot_source_open(const BootOptions *options, GError **errp);
/* From memory, for tests: takes ownership of nothing, copies data. */
BootSource *boot_source_from_data(const char *name, const void *kernel, size_t len, const char *append,
                                  GError **errp);
void boot_source_add_module(BootSource *source, const char *name, const void *data, size_t len);
/* Gives the files' contents back to the host / reads them again through the open descriptors. */
void boot_source_unload(BootSource *source);
bool boot_source_reload(BootSource *source, GError **errp);
void boot_source_free(BootSource *source);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(BootSource, boot_source_free)

/* Why only firmware can start it, as text to be shown; NULL if it has an entry of its own. */
const char *boot_source_needs_firmware(const BootSource *source);

/*
 * What the real-mode boot protocol places where, for firmware to do so. setup is a copy with the fields a boot
 * loader fills in; the other pointers are the source's. initrd_addr is 0 without one.
 */
typedef struct BootRealMode {
    uint32_t setup_addr, kernel_addr, initrd_addr, cmdline_addr;
    uint8_t *setup;
    const uint8_t *kernel, *initrd;
    size_t setup_len, kernel_len, initrd_len;
} BootRealMode;

/* ram_end: of the RAM below 4 GiB that firmware leaves. Only a bzImage has such an entry. */
BootRealMode *boot_real_mode(const BootSource *source, uint64_t ram_end, GError **errp);
void boot_real_mode_free(BootRealMode *parts);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(BootRealMode, boot_real_mode_free)

/* The source must stay loaded as long as the plan is used. */
BootPlan *boot_plan_make(const BootSource *source, const BootBoard *board, GError **errp);
/* Writes all blobs. False (nothing sensible placed) only if the memory map lied about RAM. */
bool boot_plan_place(const BootPlan *plan, AddressSpace *memory, GError **errp);
void boot_plan_free(BootPlan *plan);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(BootPlan, boot_plan_free)

/* On top of the power-up state. */
void boot_entry_apply(const BootEntry *entry, CpuState *state);

#endif
