/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The expansion ROM of a function.
 * Source: PCI 3.0, 6.2.5.2 and 6.3.
 *
 * With rombar=off the image is not on the bus; the board hands it to the firmware instead.
 *
 * Locking: machine_lock.
 */
#include "core/bits.h"
#include "core/error.h"
#include "core/host.h"
#include "core/machine.h"
#include "core/ram.h"
#include "pc-bios/lookup.h"
#include "pci-internal.h"

#define ROM_MAX (16 * MIB) /* SeaBIOS and OVMF take far less */
#define ROM_MIN (4 * KIB) /* a page, which accelerators map as memory */

static uint64_t bar_size(uint64_t len)
{
    uint64_t size = ROM_MIN;

    while (size < len)
        size *= 2;
    return size;
}

bool pci_rom_init(PciDevice *pci, GError **errp)
{
    g_auto(FirmwareImage) image = {0};

    if (!pci->romfile || !*pci->romfile)
        return true;
    if (!firmware_load(&image, pci->dev.machine, pci->romfile, FIRMWARE_OPTION_ROM, ROM_MAX, errp))
        return false;
    if (!image.len)
        return error_set(errp, "option ROM '%s' is empty", image.path);
    if (!pci->rombar)
        return true;
    pci->rom_block = ram_block_new_anon("pci.rom", bar_size(image.len), errp);
    if (!pci->rom_block)
        return false;
    memcpy(pci->rom_block->host, image.data, image.len);
    memory_region_init_rom(&pci->rom, "pci.rom", pci->rom_block, 0, pci->rom_block->size);
    pci_register_bar(pci, PCI_ROM_BAR, 0, &pci->rom);
    return true;
}

void pci_rom_release(PciDevice *pci)
{
    if (!pci->rom_block)
        return;
    memory_region_release(&pci->rom);
    ram_block_free(pci->rom_block);
    pci->rom_block = NULL;
}
