/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * ELF kernels: an unpacked Linux (vmlinux), or anything with a PVH entry note.
 *
 * System V ABI, "Object Files" and "Program Loading"; Xen's docs/misc/pvh.pandoc for the note
 * XEN_ELFNOTE_PHYS32_ENTRY and public/arch-x86/hvm/start_info.h for the structure in EBX. Without
 * the note an x86-64 ELF is taken for Linux and entered by its 64-bit boot protocol.
 *
 * Not modelled: relocation, sections, symbols; segments go to their physical addresses.
 */
#include <elf.h>
#include <string.h>

#include "core/bits.h"
#include "core/error.h"
#include "load.h"

#define XEN_ELFNOTE_PHYS32_ENTRY 18
#define NOTES_MAX 4096 /* notes looked at in one segment */

/* hvm_start_info, version 1. */
typedef struct HvmStartInfo {
    uint32_t magic; /* "xEn3" */
    uint32_t version;
    uint32_t flags;
    uint32_t nr_modules;
    uint64_t modlist_paddr;
    uint64_t cmdline_paddr;
    uint64_t rsdp_paddr;
    uint64_t memmap_paddr;
    uint32_t memmap_entries;
    uint32_t reserved;
} HvmStartInfo;

typedef struct HvmModlistEntry {
    uint64_t paddr, size, cmdline_paddr, reserved;
} HvmModlistEntry;

typedef struct HvmMemmapEntry {
    uint64_t addr, size;
    uint32_t type, reserved;
} HvmMemmapEntry;

#define HVM_START_MAGIC 0x336ec578

/* What both classes have, in 64-bit widths. */
typedef struct ElfHeader {
    uint16_t machine, type, phnum, phentsize;
    uint64_t entry, phoff;
} ElfHeader;

bool elf_probe(const uint8_t *data, size_t len)
{
    return len >= EI_NIDENT && !memcmp(data, ELFMAG, SELFMAG);
}

static bool read_header(ElfHeader *h, bool *is64, const uint8_t *data, size_t len)
{
    *is64 = data[EI_CLASS] == ELFCLASS64;
    if (data[EI_DATA] != ELFDATA2LSB)
        return false;
    if (*is64) {
        Elf64_Ehdr e;
        if (len < sizeof(e))
            return false;
        memcpy(&e, data, sizeof(e));
        *h = (ElfHeader){e.e_machine, e.e_type, e.e_phnum, e.e_phentsize, e.e_entry, e.e_phoff};
        return e.e_phentsize == sizeof(Elf64_Phdr);
    }
    Elf32_Ehdr e;
    if (len < sizeof(e) || data[EI_CLASS] != ELFCLASS32)
        return false;
    memcpy(&e, data, sizeof(e));
    *h = (ElfHeader){e.e_machine, e.e_type, e.e_phnum, e.e_phentsize, e.e_entry, e.e_phoff};
    return e.e_phentsize == sizeof(Elf32_Phdr);
}

static Elf64_Phdr read_phdr(const uint8_t *p, bool is64)
{
    Elf64_Phdr ph;

    if (is64) {
        memcpy(&ph, p, sizeof(ph));
        return ph;
    }
    Elf32_Phdr ph32;
    memcpy(&ph32, p, sizeof(ph32));
    return (Elf64_Phdr){.p_type = ph32.p_type, .p_offset = ph32.p_offset, .p_vaddr = ph32.p_vaddr,
                        .p_paddr = ph32.p_paddr, .p_filesz = ph32.p_filesz, .p_memsz = ph32.p_memsz,
                        .p_align = ph32.p_align};
}

/* Notes are {namesz, descsz, type}, name and descriptor, each padded to 4 bytes. */
static void scan_notes(ElfImage *elf, const uint8_t *notes, uint64_t len)
{
    for (unsigned n = 0; n < NOTES_MAX && len >= sizeof(Elf64_Nhdr); n++) {
        Elf64_Nhdr nh;
        memcpy(&nh, notes, sizeof(nh));
        uint64_t name = sizeof(nh), desc = name + align_up(nh.n_namesz, 4);
        uint64_t next = desc + align_up(nh.n_descsz, 4);
        if (desc + nh.n_descsz > len)
            return;
        if (nh.n_type == XEN_ELFNOTE_PHYS32_ENTRY && nh.n_namesz == 4 && !memcmp(notes + name, "Xen", 4) &&
            (nh.n_descsz == 4 || nh.n_descsz == 8)) {
            elf->has_pvh = true;
            elf->pvh_entry = load_le(notes + desc, nh.n_descsz);
        }
        if (next >= len)
            return;
        notes += next;
        len -= next;
    }
}

static bool add_segment(ElfImage *elf, const Elf64_Phdr *ph, const char *name, GError **errp)
{
    if (!ph->p_memsz)
        return true;
    if (ph->p_filesz > ph->p_memsz || !range_ok(ph->p_paddr, ph->p_memsz, BIT(52)))
        return error_set(errp, "ELF image '%s' is damaged: a segment of impossible size: get a good copy", name);
    if (elf->count == ELF_MAX_SEGMENTS)
        return error_set(errp, "ELF image '%s' has more than %d segments to load: link it with fewer", name,
                         ELF_MAX_SEGMENTS);
    elf->segments[elf->count++] =
        (ElfSegment){ph->p_paddr, ph->p_vaddr, ph->p_memsz, ph->p_offset, ph->p_filesz};
    elf->low = MIN(elf->low, ph->p_paddr);
    elf->high = MAX(elf->high, ph->p_paddr + ph->p_memsz);
    return true;
}

/* Some images give their entry as a virtual address. */
static uint64_t physical_entry(const ElfImage *elf, uint64_t entry)
{
    for (unsigned i = 0; i < elf->count; i++) {
        if (entry - elf->segments[i].paddr < elf->segments[i].memsz)
            return entry;
    }
    for (unsigned i = 0; i < elf->count; i++) {
        const ElfSegment *s = &elf->segments[i];
        if (entry - s->vaddr < s->memsz)
            return entry - s->vaddr + s->paddr;
    }
    return entry;
}

bool elf_parse(ElfImage *elf, const uint8_t *data, size_t len, const char *name, GError **errp)
{
    ElfHeader h;

    *elf = (ElfImage){.low = UINT64_MAX};
    if (!read_header(&h, &elf->is64, data, len))
        return error_set(errp, "ELF image '%s' is truncated or not little-endian: give an x86 image", name);
    if (h.machine != EM_X86_64 && h.machine != EM_386)
        return error_set(errp, "ELF image '%s' is for another processor (e_machine %u): give an x86 image", name,
                         h.machine);
    if (h.type != ET_EXEC && h.type != ET_DYN)
        return error_set(errp, "ELF image '%s' is not an executable (e_type %u): link it first", name, h.type);
    size_t phsize = elf->is64 ? sizeof(Elf64_Phdr) : sizeof(Elf32_Phdr);
    if (!range_ok(h.phoff, h.phnum * phsize, len))
        return error_set(errp, "ELF image '%s' is truncated: its program headers are missing: get a good copy", name);
    for (unsigned i = 0; i < h.phnum; i++) {
        Elf64_Phdr ph = read_phdr(data + h.phoff + i * phsize, elf->is64);
        if (ph.p_type == PT_INTERP)
            return error_set(errp, "ELF image '%s' is a program for an operating system: give a kernel", name);
        if (ph.p_type != PT_LOAD && ph.p_type != PT_NOTE)
            continue;
        if (!range_ok(ph.p_offset, ph.p_filesz, len))
            return error_set(errp, "ELF image '%s' is truncated: segment %u ends beyond the file: get a good copy",
                             name, i);
        if (ph.p_type == PT_NOTE)
            scan_notes(elf, data + ph.p_offset, ph.p_filesz);
        else if (!add_segment(elf, &ph, name, errp))
            return false;
    }
    if (!elf->count)
        return error_set(errp, "ELF image '%s' has nothing to load: link it as an executable", name);
    elf->entry = physical_entry(elf, h.entry);
    return true;
}

bool elf_place(const ElfImage *elf, const uint8_t *data, BootPlan *plan, const MemMap *map, const char *name,
               GError **errp)
{
    for (unsigned i = 0; i < elf->count; i++) {
        const ElfSegment *s = &elf->segments[i];
        BootBlob blob = {.gpa = s->paddr, .data = data + s->offset, .len = s->filesz, .mem_len = s->memsz};
        if (!boot_plan_add(plan, map, &blob))
            return error_set(errp, "kernel '%s' does not fit: it wants 0x%" PRIx64 "-0x%" PRIx64
                             ", which is not all free RAM: give the guest more with -m",
                             name, s->paddr, s->paddr + s->memsz);
    }
    return true;
}

/* The module list and memory map behind the start info, in one low allocation each. */
static bool pvh_info(BootPlan *plan, const BootSource *source, const BootBoard *board, HvmStartInfo *info,
                     GError **errp)
{
    HvmMemmapEntry memmap[MEMMAP_MAX] = {0};
    const MemMap *map = board->map;
    uint64_t gpa;

    if (source->modules->len) {
        const BootFile *initrd = &g_array_index(source->modules, BootFile, 0);
        if (!linux_place_initrd(plan, initrd, map, 4 * GIB, &gpa, errp))
            return false;
        HvmModlistEntry module = {.paddr = gpa, .size = initrd->len};
        if (!boot_plan_add_low(plan, map, &module, sizeof(module), 8, &info->modlist_paddr, errp))
            return false;
        info->nr_modules = 1;
    }
    for (unsigned i = 0; i < map->count; i++)
        memmap[i] = (HvmMemmapEntry){map->entries[i].base, map->entries[i].size, map->entries[i].type, 0};
    info->memmap_entries = map->count;
    return boot_plan_add_low(plan, map, memmap, map->count * sizeof(memmap[0]), 8, &info->memmap_paddr, errp) &&
           boot_plan_add_low(plan, map, source->append, strlen(source->append) + 1, 1, &info->cmdline_paddr, errp);
}

static bool load_pvh(const ElfImage *elf, BootPlan *plan, const BootSource *source, const BootBoard *board,
                     GError **errp)
{
    HvmStartInfo info = {.magic = HVM_START_MAGIC, .version = 1, .rsdp_paddr = board->rsdp};
    uint64_t gpa;

    if (elf->pvh_entry >= 4 * GIB)
        return error_set(errp, "kernel '%s' is damaged: its PVH entry is not a 32-bit address", source->kernel.name);
    if (!pvh_info(plan, source, board, &info, errp) ||
        !boot_plan_add_low(plan, board->map, &info, sizeof(info), 8, &gpa, errp))
        return false;
    plan->entry = (BootEntry){.mode = BOOT_MODE_PROT32, .rip = elf->pvh_entry, .rbx = gpa, .cs = 0x08, .ds = 0x10};
    return true;
}

bool load_elf(BootPlan *plan, const BootSource *source, const BootBoard *board, GError **errp)
{
    const BootFile *kernel = &source->kernel;
    ElfImage elf;

    if (!elf_parse(&elf, kernel->data, kernel->len, kernel->name, errp))
        return false;
    if (!elf.has_pvh && !elf.is64)
        return error_set(errp, "cannot boot kernel '%s': a 32-bit ELF without a multiboot header or PVH note: "
                         "give its bzImage", kernel->name);
    if (!elf_place(&elf, kernel->data, plan, board->map, kernel->name, errp))
        return false;
    if (elf.has_pvh)
        return load_pvh(&elf, plan, source, board, errp);

    uint8_t *params = boot_plan_alloc(plan, GUEST_PAGE_SIZE);
    if (!linux_finish(plan, source, board, params, errp))
        return false;
    return linux_enter_64(plan, board, elf.entry, errp);
}
