/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The PC's memory: RAM around its holes, firmware, the A20 gate.
 *
 *     0xfffffffff...  RAM above 4 GiB
 *     4 GiB
 *                     firmware image, ending at 4 GiB
 *     0xfee00000      local APICs
 *     0xfec00000      I/O APIC
 *     0xc0000000      hole for devices (PCI)
 *                     RAM
 *     1 MiB
 *     0xc0000         RAM or PCI, as the host bridge's PAM registers say: option ROMs, and from 0xe0000 on the
 *                     firmware's last 128 KiB; without firmware, RAM with the ACPI tables
 *     0xa0000         a display adapter's memory
 *     0               RAM
 *
 * A20 (IBM PC/AT Technical Reference): held low, each odd MiB shows the even one below. Modelled for
 * the first odd MiB only, the one 16-bit code reaches.
 */
#include <inttypes.h>

#include "core/bits.h"
#include "core/error.h"
#include "core/host.h"
#include "pc-bios/lookup.h"
#include "pc-internal.h"

#define LOW_RAM_END 0xa0000ull
#define EBDA 0x9fc00ull
#define FIRMWARE_MAX (16 * MIB)
#define FIRMWARE_ISA_MAX (MIB - PC_BIOS_AREA)
/* Kept free for KVM's TSS and identity map (Intel processors without unrestricted guest). */
#define KVM_PAGES 0xfeffc000ull
#define KVM_PAGES_SIZE 0x4000ull

static void add_ram(PcMachine *pc, const char *name, uint64_t gpa, uint64_t ram_offset, uint64_t size)
{
    if (!size)
        return;
    g_assert(pc->ram_pieces < PC_RAM_PIECES);
    MemoryRegion *mr = &pc->ram[pc->ram_pieces++];
    memory_region_init_ram(mr, name, pc->machine.ram, ram_offset, size);
    memory_region_add(&pc->machine.memory_root, gpa, mr, 0);
}

static bool load_firmware(PcMachine *pc, const char *name, GError **errp)
{
    g_auto(FirmwareImage) image = {0};

    if (!firmware_load(&image, &pc->machine, name, FIRMWARE_BIOS, FIRMWARE_MAX, errp))
        return false;
    if (!image.len || image.len % (64 * KIB))
        return error_set(errp, "firmware image '%s' is %zu bytes long: it has to be a multiple of 64 KiB", image.path, image.len);
    pc->firmware_block = ram_block_new_anon("pc.bios", image.len, errp);
    if (!pc->firmware_block)
        return false;
    memcpy(pc->firmware_block->host, image.data, image.len);
    pc->firmware_size = image.len;
    pc->firmware_isa_size = MIN(image.len, FIRMWARE_ISA_MAX);
    memory_region_init_rom(&pc->firmware, "pc.bios", pc->firmware_block, 0, image.len);
    memory_region_add(&pc->machine.memory_root, 4 * GIB - image.len, &pc->firmware, 0);
    return true;
}

static void build_map(PcMachine *pc, uint64_t below_4g, uint64_t above_4g)
{
    MemMap *map = &pc->map;

    memmap_add(map, 0, EBDA, MEMMAP_RAM);
    memmap_add(map, EBDA, LOW_RAM_END - EBDA, MEMMAP_RESERVED);
    memmap_add(map, PC_BIOS_AREA, MIB - PC_BIOS_AREA, MEMMAP_RESERVED);
    memmap_add(map, MIB, below_4g - MIB, MEMMAP_RAM);
    memmap_add(map, KVM_PAGES, KVM_PAGES_SIZE, MEMMAP_RESERVED);
    memmap_add(map, 4 * GIB - pc->firmware_size, pc->firmware_size, MEMMAP_RESERVED);
    memmap_add(map, 4 * GIB, above_4g, MEMMAP_RAM);

    map = &pc->firmware_map;
    memmap_add(map, 0, below_4g, MEMMAP_RAM);
    memmap_add(map, KVM_PAGES, KVM_PAGES_SIZE, MEMMAP_RESERVED);
    memmap_add(map, 4 * GIB, above_4g, MEMMAP_RAM);
}

bool pc_memory_build(PcMachine *pc, GError **errp)
{
    Machine *machine = &pc->machine;
    uint64_t size = machine->ram->size;
    uint64_t below_4g = MIN(size, pc->max_ram_below_4g), above_4g = size - below_4g;

    if (size < MIB)
        return error_set(errp, "%" PRIu64 " KiB of RAM are too few for a PC: give at least 1 MiB with -m", size / KIB);
    add_ram(pc, "ram-low", 0, 0, LOW_RAM_END);
    add_ram(pc, "ram-below-4g", MIB, MIB, below_4g - MIB);
    add_ram(pc, "ram-above-4g", 4 * GIB, below_4g, above_4g);
    memory_region_init_alias(&pc->a20_wrap, "a20-wrap", &machine->memory_root, 0, MIB);
    memory_region_set_enabled(&pc->a20_wrap, false);
    memory_region_add(&machine->memory_root, MIB, &pc->a20_wrap, 10);
    if (machine->boot.firmware && !load_firmware(pc, machine->boot.firmware, errp))
        return false;
    build_map(pc, below_4g, above_4g);
    return true;
}

void pc_memory_set_a20(PcMachine *pc, bool on)
{
    memory_region_set_enabled(&pc->a20_wrap, !on);
}

/* All may be half built. */
void pc_memory_release(PcMachine *pc)
{
    MemoryRegion *regions[] = {&pc->firmware, &pc->a20_wrap};

    for (unsigned i = 0; i < pc->ram_pieces; i++) {
        memory_region_remove(&pc->ram[i]);
        memory_region_release(&pc->ram[i]);
    }
    for (size_t i = 0; i < G_N_ELEMENTS(regions); i++) {
        if (!regions[i]->parent)
            continue;
        memory_region_remove(regions[i]);
        memory_region_release(regions[i]);
    }
    ram_block_free(pc->firmware_block);
}
