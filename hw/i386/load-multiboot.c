/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Multiboot images: small kernels, hypervisors, and the kvm-unit-tests.
 *
 * Multiboot Specification version 0.6.96, sections 3.1 (header), 3.2 (machine state) and 3.3
 * (information). ELF images may be ELF64 as well, entered in 32-bit mode all the same.
 *
 * Not modelled: video modes, symbols, drives, APM.
 */
#include <string.h>

#include "core/bits.h"
#include "core/error.h"
#include "load.h"

#define HEADER_SEARCH 8192
#define HEADER_MAGIC 0x1badb002
#define BOOT_MAGIC 0x2badb002

/* Header flags, 3.1.2: an unknown one among 0..15 is a demand that cannot be met. */
#define HDR_PAGE_ALIGN BIT(0)
#define HDR_MEMORY_INFO BIT(1)
#define HDR_VIDEO BIT(2)
#define HDR_ADDRESSES BIT(16)
#define HDR_REQUIRED 0xffff

typedef struct MbHeader {
    uint32_t magic, flags, checksum;
    uint32_t header_addr, load_addr, load_end_addr, bss_end_addr, entry_addr;
} MbHeader;

/* 3.3, up to boot_loader_name. */
typedef struct MbInfo {
    uint32_t flags;
    uint32_t mem_lower, mem_upper;
    uint32_t boot_device;
    uint32_t cmdline;
    uint32_t mods_count, mods_addr;
    uint32_t syms[4];
    uint32_t mmap_length, mmap_addr;
    uint32_t drives_length, drives_addr;
    uint32_t config_table;
    uint32_t boot_loader_name;
    uint32_t apm_table;
} MbInfo;

#define INFO_MEMORY BIT(0)
#define INFO_CMDLINE BIT(2)
#define INFO_MODS BIT(3)
#define INFO_MMAP BIT(6)
#define INFO_LOADER_NAME BIT(9)

typedef struct MbModule {
    uint32_t start, end, string, reserved;
} MbModule;

typedef struct __attribute__((packed)) MbMmap {
    uint32_t size; /* of the rest */
    uint64_t base, length;
    uint32_t type;
} MbMmap;

#define MODULES_MAX 512

/* Finds the header; its offset, or -1. */
static int64_t find_header(const uint8_t *data, size_t len, MbHeader *header)
{
    size_t end = MIN(len, HEADER_SEARCH);

    for (size_t i = 0; i + 12 <= end; i += 4) {
        *header = (MbHeader){0};
        memcpy(header, data + i, MIN(sizeof(*header), len - i));
        if (header->magic == HEADER_MAGIC && header->magic + header->flags + header->checksum == 0)
            return i;
    }
    return -1;
}

bool multiboot_probe(const uint8_t *data, size_t len)
{
    MbHeader header;
    return find_header(data, len, &header) >= 0;
}

/* The header's own addresses (the "a.out kludge"). */
static bool place_flat(BootPlan *plan, const BootFile *kernel, const MbHeader *h, uint64_t offset,
                       const BootBoard *board, GError **errp)
{
    if (h->load_addr > h->header_addr || h->header_addr - h->load_addr > offset)
        return error_set(errp, "multiboot image '%s' is damaged: its header is not where it says: get a good copy",
                         kernel->name);
    uint64_t start = offset - (h->header_addr - h->load_addr);
    uint64_t len = h->load_end_addr ? (uint64_t)h->load_end_addr - h->load_addr : kernel->len - start;
    uint64_t mem = h->bss_end_addr ? (uint64_t)h->bss_end_addr - h->load_addr : len;
    if (!range_ok(start, len, kernel->len) || !range_ok(h->load_addr, MAX(mem, len), 4 * GIB))
        return error_set(errp, "multiboot image '%s' is truncated or damaged: its load addresses do not fit its "
                         "length: get a good copy", kernel->name);
    BootBlob blob = {.gpa = h->load_addr, .data = kernel->data + start, .len = len, .mem_len = MAX(mem, len)};
    if (!boot_plan_add(plan, board->map, &blob))
        return error_set(errp, "multiboot image '%s' does not fit: it wants 0x%" PRIx64 "-0x%" PRIx64
                         ", which is not all RAM: give the guest more with -m",
                         kernel->name, blob.gpa, blob.gpa + blob.mem_len);
    plan->entry.rip = h->entry_addr;
    return true;
}

static bool place_elf(BootPlan *plan, const BootFile *kernel, const BootBoard *board, GError **errp)
{
    ElfImage elf;

    if (!elf_probe(kernel->data, kernel->len))
        return error_set(errp, "multiboot image '%s' has no load addresses and is not an ELF image: link it again",
                         kernel->name);
    if (!elf_parse(&elf, kernel->data, kernel->len, kernel->name, errp) ||
        !elf_place(&elf, kernel->data, plan, board->map, kernel->name, errp))
        return false;
    if (elf.entry >= 4 * GIB)
        return error_set(errp, "multiboot image '%s' has an entry point above 4 GiB: link it lower", kernel->name);
    plan->entry.rip = elf.entry;
    return true;
}

/* A string in low memory. */
static bool add_string(BootPlan *plan, const MemMap *map, const char *s, uint32_t *addr, GError **errp)
{
    uint64_t gpa;

    if (!boot_plan_add_low(plan, map, s, strlen(s) + 1, 1, &gpa, errp))
        return false;
    *addr = gpa;
    return true;
}

static bool add_modules(BootPlan *plan, const BootSource *source, const MemMap *map, MbInfo *info, GError **errp)
{
    guint count = source->modules->len;
    uint64_t gpa;

    if (!count)
        return true;
    if (count > MODULES_MAX)
        return error_set(errp, "-initrd names %u multiboot modules, more than %d: give fewer", count, MODULES_MAX);
    g_autofree MbModule *list = g_new0(MbModule, count);
    for (guint i = 0; i < count; i++) {
        const BootFile *file = &g_array_index(source->modules, BootFile, i);
        if (!boot_plan_find(plan, map, file->len, GUEST_PAGE_SIZE, MIB, 4 * GIB, BOOT_PLACE_LOW, &gpa))
            return error_set(errp, "module '%s' (%" PRIu64 " MiB) does not fit into the guest's RAM: "
                             "give it more with -m", file->name, (uint64_t)file->len / MIB + 1);
        BootBlob blob = {.gpa = gpa, .data = file->data, .len = file->len, .mem_len = file->len};
        boot_plan_add(plan, map, &blob);
        list[i] = (MbModule){.start = gpa, .end = gpa + file->len};
        if (!add_string(plan, map, file->name, &list[i].string, errp))
            return false;
    }
    if (!boot_plan_add_low(plan, map, list, count * sizeof(*list), 4, &gpa, errp))
        return false;
    info->flags |= INFO_MODS;
    info->mods_count = count;
    info->mods_addr = gpa;
    return true;
}

static bool add_memory(BootPlan *plan, const MemMap *map, MbInfo *info, GError **errp)
{
    MbMmap mmap[MEMMAP_MAX];
    uint64_t gpa;

    for (unsigned i = 0; i < map->count; i++) {
        const MemMapEntry *e = &map->entries[i];
        mmap[i] = (MbMmap){sizeof(MbMmap) - 4, e->base, e->size, e->type};
        if (e->type == MEMMAP_RAM && !e->base)
            info->mem_lower = e->size / KIB;
        if (e->type == MEMMAP_RAM && e->base == MIB)
            info->mem_upper = MIN(e->size / KIB, UINT32_MAX);
    }
    if (!boot_plan_add_low(plan, map, mmap, map->count * sizeof(mmap[0]), 4, &gpa, errp))
        return false;
    info->flags |= INFO_MEMORY | INFO_MMAP;
    info->mmap_length = map->count * sizeof(mmap[0]);
    info->mmap_addr = gpa;
    return true;
}

bool load_multiboot(BootPlan *plan, const BootSource *source, const BootBoard *board, GError **errp)
{
    const BootFile *kernel = &source->kernel;
    MbHeader header;
    int64_t offset = find_header(kernel->data, kernel->len, &header);

    g_assert(offset >= 0); /* probed */
    if (header.flags & HDR_REQUIRED & ~(HDR_PAGE_ALIGN | HDR_MEMORY_INFO | HDR_VIDEO))
        return error_set(errp, "multiboot image '%s' demands features (flags 0x%x) that do not exist here",
                         kernel->name, header.flags);
    if (!(header.flags & HDR_ADDRESSES ? place_flat(plan, kernel, &header, offset, board, errp)
                                       : place_elf(plan, kernel, board, errp)))
        return false;

    /* The first word of the command line is the image's name, as boot loaders have it. */
    g_autofree char *cmdline = g_strdup_printf("%s%s%s", kernel->name, *source->append ? " " : "", source->append);
    MbInfo info = {.flags = INFO_CMDLINE | INFO_LOADER_NAME};
    uint64_t gpa;
    if (!add_string(plan, board->map, cmdline, &info.cmdline, errp) ||
        !add_string(plan, board->map, "vmm", &info.boot_loader_name, errp) ||
        !add_modules(plan, source, board->map, &info, errp) || !add_memory(plan, board->map, &info, errp) ||
        !boot_plan_add_low(plan, board->map, &info, sizeof(info), 4, &gpa, errp))
        return false;
    plan->entry.mode = BOOT_MODE_PROT32;
    plan->entry.rax = BOOT_MAGIC;
    plan->entry.rbx = gpa;
    plan->entry.cs = 0x08;
    plan->entry.ds = 0x10;
    return true;
}
