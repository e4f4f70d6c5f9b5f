/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Configuration space: the header, the capability list, and the guest's reads and writes.
 * Source: PCI 3.0, 6.1 (header), 6.2 (registers), 6.7 (capabilities).
 *
 * A write goes byte by byte through wmask and w1cmask; then whatever depends on the bytes touched
 * is brought up to date: mappings, bus mastering, the interrupt pin, messages, the device's hook.
 *
 * Not modelled: parity, SERR#, BIST, latency and cache line timing (the registers are there).
 *
 * Locking: machine_lock. The status register's abort bits are set by DMA on any thread and cleared
 * here, both atomically.
 */
#include "core/bits.h"
#include "hw/pci/msi.h"
#include "pci-internal.h"

#define COMMAND_WRITABLE                                                                             \
    (PCI_COMMAND_MASTER | PCI_COMMAND_SPECIAL | PCI_COMMAND_INVALIDATE | PCI_COMMAND_PARITY |        \
     PCI_COMMAND_SERR | PCI_COMMAND_FAST_BACK)

void pci_init_register(PciDevice *pci, unsigned offset, unsigned size, uint32_t value, uint32_t wmask)
{
    g_assert(range_ok(offset, size, PCI_CONFIG_SIZE));
    store_le(pci->config + offset, value, size);
    store_le(pci->wmask + offset, wmask, size);
    memset(pci->used + offset, 1, size);
}

static void init_bridge_header(PciDevice *pci)
{
    pci_init_register(pci, PCI_PRIMARY_BUS, 4, 0, 0xffffffff);
    pci_init_register(pci, PCI_IO_BASE, 2, 0x0101, 0xf0f0); /* 32-bit decoding */
    store_le(pci->w1cmask + PCI_SEC_STATUS, PCI_STATUS_RW1C, 2);
    pci_init_register(pci, PCI_MEMORY_BASE, 4, 0, 0xfff0fff0);
    pci_init_register(pci, PCI_PREF_MEMORY_BASE, 4, 0x00010001, 0xfff0fff0); /* 64-bit decoding */
    pci_init_register(pci, PCI_PREF_BASE_UPPER32, 4, 0, 0xffffffff);
    pci_init_register(pci, PCI_PREF_LIMIT_UPPER32, 4, 0, 0xffffffff);
    pci_init_register(pci, PCI_IO_BASE_UPPER16, 4, 0, 0);
    pci_init_register(pci, PCI_BRIDGE_CONTROL, 2, 0, 0x0fff);
}

void pci_header_init(PciDevice *pci)
{
    const PciInfo *info = pci->info;

    memset(pci->used, 1, PCI_HEADER_SIZE);
    store_le(pci->config + PCI_VENDOR_ID, info->vendor, 2);
    store_le(pci->config + PCI_DEVICE_ID, info->device, 2);
    store_le(pci->wmask + PCI_COMMAND, COMMAND_WRITABLE, 2);
    store_le(pci->w1cmask + PCI_STATUS, PCI_STATUS_RW1C, 2);
    pci->config[PCI_REVISION_ID] = info->revision;
    store_le(pci->config + PCI_CLASS_PROG, info->class_code, 3);
    pci->wmask[PCI_CACHE_LINE_SIZE] = 0xff;
    pci->config[PCI_HEADER_TYPE] = info->header_type | (pci->multifunction ? PCI_HEADER_MULTIFUNCTION : 0);
    pci->wmask[PCI_INTERRUPT_LINE] = 0xff;
    if (info->interrupt_pin) {
        pci->config[PCI_INTERRUPT_PIN] = info->interrupt_pin;
        pci->wmask[PCI_COMMAND + 1] |= PCI_COMMAND_INTX_DISABLE >> 8;
    }
    if (info->header_type == PCI_HEADER_TYPE_BRIDGE) {
        init_bridge_header(pci);
        return;
    }
    bool default_ids = !info->subsystem_vendor;
    store_le(pci->config + PCI_SUBSYSTEM_VENDOR_ID,
             default_ids ? PCI_VENDOR_REDHAT_QUMRANET : info->subsystem_vendor, 2);
    store_le(pci->config + PCI_SUBSYSTEM_ID, default_ids ? PCI_SUBSYSTEM_QEMU : info->subsystem, 2);
}

/* --- capabilities --- */

static unsigned find_room(const PciDevice *pci, unsigned size)
{
    unsigned offset = PCI_HEADER_SIZE;

    for (unsigned i = offset; i < PCI_CONFIG_SIZE && i < offset + size; i++) {
        if (pci->used[i])
            offset = (i & ~3u) + 4;
    }
    return offset;
}

unsigned pci_add_capability(PciDevice *pci, uint8_t id, unsigned offset, unsigned size)
{
    if (!offset)
        offset = find_room(pci, size);
    g_assert(!(offset & 3) && offset >= PCI_HEADER_SIZE && range_ok(offset, size, PCI_CONFIG_SIZE));
    g_assert(!memchr(pci->used + offset, 1, size));
    memset(pci->used + offset, 1, size);
    pci->config[offset] = id;
    pci->config[offset + PCI_CAP_NEXT] = pci->config[PCI_CAPABILITY_LIST];
    pci->config[PCI_CAPABILITY_LIST] = offset;
    pci->config[PCI_STATUS] |= PCI_STATUS_CAP_LIST;
    return offset;
}

/* The list is ours and read-only, so it ends. */
unsigned pci_find_capability(const PciDevice *pci, uint8_t id)
{
    unsigned offset = pci->config[PCI_CAPABILITY_LIST];

    while (offset && pci->config[offset] != id)
        offset = pci->config[offset + PCI_CAP_NEXT];
    return offset;
}

/* --- the guest's accesses --- */

static PciDevice *find_target(PciBus *root, uint8_t number, uint8_t devfn)
{
    PciBus *bus = pci_bus_find_number(root, number);
    PciDevice *pci = bus ? bus->devices[devfn] : NULL;

    return pci && !pci->dev.broken ? pci : NULL;
}

uint32_t pci_config_read(PciBus *root, uint8_t bus, uint8_t devfn, unsigned offset, unsigned size)
{
    PciDevice *pci = find_target(root, bus, devfn);

    g_assert(range_ok(offset, size, PCI_CONFIG_SIZE));
    if (!pci)
        return size_mask(size);
    if (pci->info->before_read)
        pci->info->before_read(pci, offset, size);
    return pci_get(pci, offset, size);
}

static void store_byte(PciDevice *pci, unsigned offset, uint8_t value)
{
    uint8_t writable = pci->wmask[offset], clearing = pci->w1cmask[offset] & value;

    if (writable)
        pci->config[offset] = (pci->config[offset] & ~writable) | (value & writable);
    if (clearing)
        __atomic_fetch_and(&pci->config[offset], (uint8_t)~clearing, __ATOMIC_RELAXED);
}

static bool touches_bars(const PciDevice *pci, unsigned offset, unsigned len)
{
    unsigned bars = pci->info->header_type == PCI_HEADER_TYPE_BRIDGE ? PCI_BRIDGE_BARS : PCI_BARS;

    return pci_touches(offset, len, PCI_BAR0, 4 * bars) ||
           pci_touches(offset, len, pci_bar_register(pci, PCI_ROM_BAR), 4);
}

/* What follows from the bytes at offset. */
static void take_effect(PciDevice *pci, unsigned offset, unsigned len)
{
    bool command = pci_touches(offset, len, PCI_COMMAND, 2);

    if (command) {
        __atomic_store_n(&pci->is_master, pci->config[PCI_COMMAND] & PCI_COMMAND_MASTER, __ATOMIC_RELAXED);
        pci_update_intx(pci);
    }
    if (command || touches_bars(pci, offset, len))
        pci_update_mappings(pci);
    pci_msi_written(pci, offset, len);
    pci_msix_written(pci, offset, len);
}

void pci_config_write(PciBus *root, uint8_t bus, uint8_t devfn, unsigned offset, uint32_t value, unsigned size)
{
    PciDevice *pci = find_target(root, bus, devfn);

    g_assert(range_ok(offset, size, PCI_CONFIG_SIZE));
    if (!pci)
        return;
    for (unsigned i = 0; i < size; i++)
        store_byte(pci, offset + i, value >> 8 * i);
    take_effect(pci, offset, size);
    if (pci->info->written)
        pci->info->written(pci, offset, size);
}

/* The first reset comes before the guest runs and finds the registers as realize left them. */
void pci_device_reset(PciDevice *pci)
{
    if (!pci->have_reset_config) {
        memcpy(pci->reset_config, pci->config, PCI_CONFIG_SIZE);
        pci->have_reset_config = true;
    }
    memcpy(pci->config, pci->reset_config, PCI_CONFIG_SIZE);
    pci->irq_level = false;
    pci_msi_reset(pci);
    pci_msix_reset(pci);
    take_effect(pci, 0, PCI_CONFIG_SIZE);
}
