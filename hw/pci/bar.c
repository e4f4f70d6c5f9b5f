/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Base address registers: sizing, and regions that follow what the guest writes.
 * Source: PCI 3.0, 6.2.5.
 *
 * Sizing needs no state: the address bits below the region's size are read-only zeros, so that all
 * ones written read back as the size.
 *
 * Locking: machine_lock.
 */
#include "core/bits.h"
#include "pci-internal.h"

#define NOT_MAPPED UINT64_MAX
#define MEMORY32_END (UINT64_C(1) << 32)

unsigned pci_bar_register(const PciDevice *pci, unsigned index)
{
    if (index < PCI_ROM_BAR)
        return PCI_BAR0 + 4 * index;
    return pci->info->header_type == PCI_HEADER_TYPE_BRIDGE ? PCI_BRIDGE_ROM_ADDRESS : PCI_ROM_ADDRESS;
}

static bool is_power_of_two(uint64_t v)
{
    return v && !(v & (v - 1));
}

void pci_register_bar(PciDevice *pci, unsigned index, uint8_t flags, MemoryRegion *mr)
{
    unsigned reg = pci_bar_register(pci, index);
    uint64_t mask = ~(mr->size - 1);

    g_assert(index <= PCI_ROM_BAR && !pci->bars[index].mr && is_power_of_two(mr->size));
    g_assert(mr->size >= (flags & PCI_BAR_IO ? 4 : 16));
    pci->bars[index] = (PciBar){.mr = mr, .flags = flags};
    if (index == PCI_ROM_BAR) {
        pci_init_register(pci, reg, 4, 0, (mask & PCI_ROM_MASK) | PCI_ROM_ENABLE);
    } else {
        pci_init_register(pci, reg, 4, flags, mask & (flags & PCI_BAR_IO ? PCI_BAR_IO_MASK : PCI_BAR_MEM_MASK));
        if (flags & PCI_BAR_MEM64) {
            g_assert(index + 1 < PCI_BARS && !pci->bars[index + 1].mr);
            pci_init_register(pci, reg + 4, 4, 0, mask >> 32);
        }
    }
    /* A function decodes only what it has. */
    pci->wmask[PCI_COMMAND] |= flags & PCI_BAR_IO ? PCI_COMMAND_IO : PCI_COMMAND_MEMORY;
}

uint64_t pci_bar_address(const PciDevice *pci, unsigned index)
{
    unsigned reg = pci_bar_register(pci, index);
    uint64_t value = pci_get(pci, reg, 4);

    if (index == PCI_ROM_BAR)
        return value & PCI_ROM_MASK;
    if (pci->bars[index].flags & PCI_BAR_IO)
        return value & PCI_BAR_IO_MASK;
    if (pci->bars[index].flags & PCI_BAR_MEM64)
        value |= (uint64_t)pci_get(pci, reg + 4, 4) << 32;
    return value & PCI_BAR_MEM_MASK;
}

static bool decodes(const PciDevice *pci, unsigned index)
{
    uint8_t command = pci->config[PCI_COMMAND];

    if (index == PCI_ROM_BAR && !(pci->config[pci_bar_register(pci, index)] & PCI_ROM_ENABLE))
        return false;
    return command & (pci->bars[index].flags & PCI_BAR_IO ? PCI_COMMAND_IO : PCI_COMMAND_MEMORY);
}

static uint64_t space_end(uint8_t flags)
{
    if (flags & PCI_BAR_IO)
        return IO_SPACE_SIZE + 1; /* the last port may be used: sizing goes beyond 64 KiB */
    return flags & PCI_BAR_MEM64 ? MEMORY_SPACE_SIZE : MEMORY32_END;
}

/* Where the region is to be, NOT_MAPPED if nowhere. */
static uint64_t wanted_address(const PciDevice *pci, unsigned index)
{
    const PciBar *bar = &pci->bars[index];
    uint64_t address;

    if (!bar->mr || !decodes(pci, index))
        return NOT_MAPPED;
    address = pci_bar_address(pci, index);
    return address && range_ok(address, bar->mr->size, space_end(bar->flags) - 1) ? address : NOT_MAPPED;
}

static MemoryRegion *space_of(const PciDevice *pci, const PciBar *bar)
{
    return bar->flags & PCI_BAR_IO ? pci->bus->io : pci->bus->memory;
}

static void move_bar(PciDevice *pci, PciBar *bar, uint64_t address)
{
    if (bar->mapped == (address != NOT_MAPPED) && (!bar->mapped || bar->address == address))
        return;
    if (bar->mapped)
        memory_region_remove(bar->mr);
    bar->mapped = address != NOT_MAPPED;
    if (!bar->mapped)
        return;
    bar->address = address;
    memory_region_add(space_of(pci, bar), address, bar->mr, 0);
}

void pci_update_mappings(PciDevice *pci)
{
    memory_transaction_begin();
    for (unsigned i = 0; i <= PCI_ROM_BAR; i++)
        move_bar(pci, &pci->bars[i], wanted_address(pci, i));
    memory_transaction_commit();
}

void pci_unmap_all(PciDevice *pci)
{
    memory_transaction_begin();
    for (unsigned i = 0; i <= PCI_ROM_BAR; i++)
        move_bar(pci, &pci->bars[i], NOT_MAPPED);
    memory_transaction_commit();
}
