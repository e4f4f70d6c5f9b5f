/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What every Linux entry needs: boot_params, command line, initrd, and the 64-bit entry state.
 *
 * Documentation/arch/x86/boot.rst, "The real-mode kernel header" and "64-bit Boot Protocol".
 */
#include <string.h>

#include "boot-params.h"
#include "core/bits.h"
#include "core/error.h"
#include "load.h"

#define E820_ENTRY_SIZE 20
#define XLF_CAN_BE_LOADED_ABOVE_4G BIT(1)

/* COMMAND_LINE_SIZE of x86 Linux, for a vmlinux that cannot say. */
#define CMDLINE_DEFAULT 2047
#define INITRD_MAX_DEFAULT 0x7fffffff

/* __BOOT_CS and __BOOT_DS, boot.rst "64-bit Boot Protocol". */
#define BOOT_CS 0x10
#define BOOT_DS 0x18

#define PTE_P 0x01
#define PTE_RW 0x02
#define PTE_PS 0x80

bool linux_initrd_too_large(const BootFile *initrd, GError **errp)
{
    return error_set(errp, "initrd '%s' (%" PRIu64 " MiB) does not fit into the guest's RAM beside the kernel: "
                     "give it more with -m", initrd->name, (uint64_t)initrd->len / MIB + 1);
}

bool linux_place_initrd(BootPlan *plan, const BootFile *initrd, const MemMap *map, uint64_t max, uint64_t *gpa,
                        GError **errp)
{
    if (!boot_plan_find(plan, map, initrd->len, GUEST_PAGE_SIZE, MIB, max, BOOT_PLACE_HIGH, gpa))
        return linux_initrd_too_large(initrd, errp);
    BootBlob blob = {.gpa = *gpa, .data = initrd->data, .len = initrd->len, .mem_len = initrd->len};
    return boot_plan_add(plan, map, &blob);
}

static bool set_initrd(BootPlan *plan, const BootSource *source, const BootBoard *board, uint8_t *bp, GError **errp)
{
    uint64_t gpa, max = load_le(bp + HDR_INITRD_ADDR_MAX, 4);

    if (!source->modules->len)
        return true;
    const BootFile *initrd = &g_array_index(source->modules, BootFile, 0);
    if (load_le(bp + HDR_XLOADFLAGS, 2) & XLF_CAN_BE_LOADED_ABOVE_4G)
        max = UINT32_MAX; /* and above, but below 4 GiB there is room enough for any sane initrd */
    else if (!max)
        max = INITRD_MAX_DEFAULT;
    if (!linux_place_initrd(plan, initrd, board->map, max + 1, &gpa, NULL) &&
        !(max == UINT32_MAX && linux_place_initrd(plan, initrd, board->map, BIT(52), &gpa, NULL)))
        return linux_place_initrd(plan, initrd, board->map, max + 1, &gpa, errp);
    store_le(bp + HDR_RAMDISK_IMAGE, gpa, 4);
    store_le(bp + BP_EXT_RAMDISK_IMAGE, gpa >> 32, 4);
    store_le(bp + HDR_RAMDISK_SIZE, initrd->len, 4);
    store_le(bp + BP_EXT_RAMDISK_SIZE, (uint64_t)initrd->len >> 32, 4);
    return true;
}

bool linux_check_append(const BootSource *source, uint64_t max, GError **errp)
{
    size_t len = strlen(source->append);

    if (!max)
        max = CMDLINE_DEFAULT;
    if (len > max)
        return error_set(errp, "-append is %zu characters long, but kernel '%s' takes at most %" PRIu64 ": shorten it",
                         len, source->kernel.name, max);
    return true;
}

static bool set_cmdline(BootPlan *plan, const BootSource *source, const BootBoard *board, uint8_t *bp, GError **errp)
{
    uint64_t gpa;

    if (!linux_check_append(source, load_le(bp + HDR_CMDLINE_SIZE, 4), errp) ||
        !boot_plan_add_low(plan, board->map, source->append, strlen(source->append) + 1, 16, &gpa, errp))
        return false;
    store_le(bp + HDR_CMD_LINE_PTR, gpa, 4);
    store_le(bp + BP_EXT_CMD_LINE_PTR, 0, 4);
    return true;
}

static void set_memory(const MemMap *map, uint8_t *bp)
{
    for (unsigned i = 0; i < map->count; i++) {
        uint8_t *e = bp + BP_E820_TABLE + i * E820_ENTRY_SIZE;
        store_le(e, map->entries[i].base, 8);
        store_le(e + 8, map->entries[i].size, 8);
        store_le(e + 16, map->entries[i].type, 4);
    }
    bp[BP_E820_ENTRIES] = map->count;
    uint64_t low = memmap_ram_below(map, 4 * GIB);
    store_le(bp + BP_ALT_MEM_K, low > MIB ? (low - MIB) / KIB : 0, 4);
}

bool linux_finish(BootPlan *plan, const BootSource *source, const BootBoard *board, uint8_t *boot_params,
                  GError **errp)
{
    uint64_t gpa;

    /* screen_info stays zero: no display adapter was set up, so Linux looks for none. */
    boot_params[HDR_TYPE_OF_LOADER] = LOADER_UNDEFINED;
    store_le(boot_params + BP_ACPI_RSDP_ADDR, board->rsdp, 8);
    set_memory(board->map, boot_params);
    if (!set_initrd(plan, source, board, boot_params, errp) || !set_cmdline(plan, source, board, boot_params, errp) ||
        !boot_plan_add_low(plan, board->map, boot_params, GUEST_PAGE_SIZE, GUEST_PAGE_SIZE, &gpa, errp))
        return false;
    plan->entry.rsi = gpa;
    return true;
}

/* The descriptors both entry protocols want loaded. */
static bool add_gdt(BootPlan *plan, const BootBoard *board, uint64_t code, GError **errp)
{
    const uint64_t gdt[4] = {0, 0, code, 0x00cf93000000ffff};

    plan->entry.cs = BOOT_CS;
    plan->entry.ds = BOOT_DS;
    plan->entry.gdt_limit = sizeof(gdt) - 1;
    return boot_plan_add_low(plan, board->map, gdt, sizeof(gdt), 8, &plan->entry.gdt, errp);
}

bool linux_enter_32(BootPlan *plan, const BootBoard *board, uint64_t entry, GError **errp)
{
    plan->entry.mode = BOOT_MODE_PROT32;
    plan->entry.rip = entry;
    return add_gdt(plan, board, 0x00cf9b000000ffff, errp);
}

bool linux_enter_64(BootPlan *plan, const BootBoard *board, uint64_t entry, GError **errp)
{
    enum { PAGES = 6 }; /* PML4, PDPT, and four directories of 2 MiB pages: the low 4 GiB */
    uint64_t gpa;
    uint64_t *tables = boot_plan_add_low(plan, board->map, NULL, PAGES * GUEST_PAGE_SIZE, GUEST_PAGE_SIZE, &gpa, errp);

    if (!tables)
        return false;
    tables[0] = (gpa + GUEST_PAGE_SIZE) | PTE_P | PTE_RW;
    for (unsigned i = 0; i < 4; i++)
        tables[512 + i] = (gpa + (2 + i) * GUEST_PAGE_SIZE) | PTE_P | PTE_RW;
    for (uint64_t i = 0; i < 4 * 512; i++)
        tables[1024 + i] = i << 21 | PTE_P | PTE_RW | PTE_PS;
    plan->entry.cr3 = gpa;

    void *stack = boot_plan_add_low(plan, board->map, NULL, GUEST_PAGE_SIZE, 16, &gpa, errp);
    if (!stack)
        return false;
    plan->entry.rsp = gpa + GUEST_PAGE_SIZE;
    plan->entry.mode = BOOT_MODE_LONG64;
    plan->entry.rip = entry;
    return add_gdt(plan, board, 0x00af9b000000ffff, errp);
}
