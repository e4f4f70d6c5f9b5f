/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A function's life: slot, names, bus mastering.
 * Source: PCI 3.0, 3.2.2.3.4 (multi-function devices), 6.2.2 (Bus Master); Open Firmware PCI bus
 * binding 2.1, section 2.5 and 7 (generic names, for the boot order).
 *
 * Locking: machine_lock; DMA any thread.
 */
#include <stdlib.h>

#include "core/error.h"
#include "core/log.h"
#include "core/machine.h"
#include "hw/pci/msi.h"
#include "pci-internal.h"

/* --- the slot --- */

static bool parse_hex(const char **text, unsigned limit, unsigned *value)
{
    char *end;

    if (!g_ascii_isxdigit(**text))
        return false;
    guint64 n = g_ascii_strtoull(*text, &end, 16);
    *text = end;
    *value = n;
    return n < limit;
}

/* "5", "0x5", "05.1" */
static bool parse_address(const char *text, unsigned *slot, unsigned *function)
{
    *function = 0;
    if (!parse_hex(&text, PCI_SLOTS, slot))
        return false;
    if (*text == '.') {
        text++;
        if (!parse_hex(&text, 8, function))
            return false;
    }
    return !*text;
}

static bool slot_is_free(const PciBus *bus, unsigned slot)
{
    for (unsigned function = 0; function < 8; function++) {
        if (bus->devices[PCI_DEVFN(slot, function)])
            return false;
    }
    return true;
}

static bool choose_slot(const PciBus *bus, unsigned *slot, GError **errp)
{
    for (*slot = 0; *slot < PCI_SLOTS; (*slot)++) {
        if (slot_is_free(bus, *slot))
            return true;
    }
    return error_set(errp, "all %d slots of bus %s are taken", PCI_SLOTS, bus->name);
}

/* Software looks at functions 1 to 7 only if function 0 says that there are any. */
static bool check_functions(const PciDevice *pci, const PciBus *bus, unsigned slot, unsigned function, GError **errp)
{
    const PciDevice *first = bus->devices[PCI_DEVFN(slot, 0)];

    if (bus->devices[PCI_DEVFN(slot, function)])
        return error_set(errp, "slot %x function %u of bus %s is taken by '%s'", slot, function, bus->name,
                         device_name(&bus->devices[PCI_DEVFN(slot, function)]->dev));
    if (function && first && !(first->config[PCI_HEADER_TYPE] & PCI_HEADER_MULTIFUNCTION))
        return error_set(errp, "function 0 of slot %x ('%s') is not multifunction: give it multifunction=on", slot,
                         device_name(&first->dev));
    if (!function && !pci->multifunction && !slot_is_free(bus, slot))
        return error_set(errp, "slot %x has other functions: give function 0 multifunction=on", slot);
    return true;
}

static bool find_place(PciDevice *pci, PciBus *bus, GError **errp)
{
    unsigned slot = 0, function = 0;

    if (!pci->addr && !choose_slot(bus, &slot, errp))
        return false;
    if (pci->addr && !parse_address(pci->addr, &slot, &function))
        return error_set_code(errp, VMM_ERROR_USAGE, "addr=%s is not a slot (0 to 1f) and a function (0 to 7), like "
                              "1c.2", pci->addr);
    if (!check_functions(pci, bus, slot, function, errp))
        return false;
    pci->devfn = PCI_DEVFN(slot, function);
    return true;
}

static PciBus *find_bus(PciDevice *pci, GError **errp)
{
    PciBus *root = pci->dev.machine ? pci->dev.machine->pci : NULL, *bus = root;

    if (root && pci->bus_name)
        bus = pci_bus_find(root, pci->bus_name);
    if (!bus)
        error_set(errp, pci->bus_name ? "there is no PCI bus '%s'" : "this machine has no PCI bus%s",
                  pci->bus_name ? pci->bus_name : "");
    return bus;
}

bool pci_device_attach(PciDevice *pci, const PciInfo *info, GError **errp)
{
    PciBus *bus = find_bus(pci, errp);

    if (!bus || !find_place(pci, bus, errp))
        return false;
    memset(pci->config, 0, sizeof(pci->config));
    memset(pci->wmask, 0, sizeof(pci->wmask));
    memset(pci->w1cmask, 0, sizeof(pci->w1cmask));
    memset(pci->used, 0, sizeof(pci->used));
    pci->have_reset_config = false;
    pci->info = info;
    pci_header_init(pci);
    pci->bus = bus;
    bus->devices[pci->devfn] = pci;
    if (pci_rom_init(pci, errp))
        return true;
    pci_device_detach(pci);
    return false;
}

void pci_device_detach(PciDevice *pci)
{
    if (!pci->bus)
        return;
    pci_set_irq(pci, 0);
    __atomic_store_n(&pci->is_master, false, __ATOMIC_RELAXED);
    pci_unmap_all(pci);
    pci_msi_release(pci);
    pci_msix_release(pci);
    pci_rom_release(pci);
    memset(pci->bars, 0, sizeof(pci->bars));
    pci->bus->devices[pci->devfn] = NULL;
    pci->bus = NULL;
}

/* --- bus mastering --- */

/* Received Master Abort: nobody claimed the address, or the function may not ask. */
static bool master_abort(PciDevice *pci, uint64_t addr)
{
    guest_error(device_name(&pci->dev), "%s at 0x%" G_GINT64_MODIFIER "x",
                pci_is_master(pci) ? "DMA outside RAM" : "DMA without BUS MASTER", addr);
    __atomic_fetch_or(&pci->config[PCI_STATUS + 1], PCI_STATUS_REC_MASTER_ABORT >> 8, __ATOMIC_RELAXED);
    return false;
}

bool pci_dma_read(PciDevice *pci, uint64_t addr, void *buf, uint64_t len)
{
    return (pci_is_master(pci) && dma_read(&pci->dev.machine->memory, addr, buf, len)) || master_abort(pci, addr);
}

bool pci_dma_write(PciDevice *pci, uint64_t addr, const void *buf, uint64_t len)
{
    return (pci_is_master(pci) && dma_write(&pci->dev.machine->memory, addr, buf, len)) || master_abort(pci, addr);
}

void *pci_dma_map(PciDevice *pci, uint64_t addr, uint64_t *len, DmaDirection direction)
{
    void *host = pci_is_master(pci) ? dma_map(&pci->dev.machine->memory, addr, len, direction) : NULL;

    if (!host)
        master_abort(pci, addr);
    return host;
}

void pci_dma_unmap(PciDevice *pci, uint64_t addr, uint64_t written, DmaDirection direction)
{
    dma_unmap(&pci->dev.machine->memory, addr, written, direction);
}

/* --- names --- */

char *pci_device_address(const PciDevice *pci)
{
    return g_strdup_printf("0000:%02x:%02x.%x", pci->bus ? pci_bus_number(pci->bus) : 0, PCI_SLOT(pci->devfn),
                           PCI_FUNC(pci->devfn));
}

static const char *generic_name(uint32_t class_code)
{
    static const struct {
        uint32_t class_code, mask;
        const char *name;
    } names[] = {
        {PCI_CLASS_STORAGE_IDE, 0xffff00, "ide"},          {PCI_CLASS_STORAGE_SCSI, 0xff0000, "scsi"},
        {PCI_CLASS_NETWORK_ETHERNET, 0xffff00, "ethernet"}, {PCI_CLASS_DISPLAY_VGA, 0xff0000, "display"},
        {PCI_CLASS_BRIDGE_ISA, 0xffff00, "isa"},           {PCI_CLASS_BRIDGE_PCI, 0xffff00, "pci-bridge"},
        {PCI_CLASS_SERIAL_USB_UHCI, 0xffff00, "usb"},
    };

    for (size_t i = 0; i < G_N_ELEMENTS(names); i++) {
        if ((class_code & names[i].mask) == (names[i].class_code & names[i].mask))
            return names[i].name;
    }
    return "pci";
}

char *pci_boot_path(const PciDevice *pci)
{
    const PciDevice *bridge = pci->bus->bridge;
    g_autofree char *parent = bridge ? pci_boot_path(bridge) : g_strdup("/pci@i0cf8");
    unsigned function = PCI_FUNC(pci->devfn);
    g_autofree char *unit = function ? g_strdup_printf("%x,%x", PCI_SLOT(pci->devfn), function)
                                     : g_strdup_printf("%x", PCI_SLOT(pci->devfn));

    return g_strdup_printf("%s/%s@%s", parent, generic_name(pci->info->class_code), unit);
}
