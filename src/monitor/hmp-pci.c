/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Human monitor commands about PCI.
 */
#include "core/error.h"
#include "hmp-internal.h"
#include "hw/pci/pci.h"

static void print_bar(const PciBar *bar, unsigned index, GString *out)
{
    g_string_append_printf(out, "    %s %u: %s%s, %" G_GUINT64_FORMAT " bytes", index == PCI_ROM_BAR ? "ROM" : "BAR", index,
                           bar->flags & PCI_BAR_IO ? "I/O" : bar->flags & PCI_BAR_MEM64 ? "64-bit memory" : "memory",
                           bar->flags & PCI_BAR_PREFETCH ? ", prefetchable" : "", bar->mr->size);
    if (bar->mapped)
        g_string_append_printf(out, " at %#" G_GINT64_MODIFIER "x", bar->address);
    g_string_append_c(out, '\n');
}

static void print_function(PciDevice *pci, void *out)
{
    g_autofree char *address = pci_device_address(pci);

    g_string_append_printf(out, "%s %04x: %04x:%04x (rev %02x) %s, id \"%s\"\n", address,
                           pci_get(pci, PCI_CLASS_DEVICE, 2), pci_get(pci, PCI_VENDOR_ID, 2),
                           pci_get(pci, PCI_DEVICE_ID, 2), pci_get(pci, PCI_REVISION_ID, 1), pci->dev.type->name,
                           pci->dev.id ? pci->dev.id : "");
    if (pci_get(pci, PCI_INTERRUPT_PIN, 1))
        g_string_append_printf(out, "    IRQ %u, pin %c\n", pci_get(pci, PCI_INTERRUPT_LINE, 1),
                               (int)('@' + pci_get(pci, PCI_INTERRUPT_PIN, 1)));
    for (unsigned i = 0; i <= PCI_ROM_BAR; i++) {
        if (pci->bars[i].mr)
            print_bar(&pci->bars[i], i, out);
    }
}

static bool info_pci(HmpContext *ctx, GError **errp)
{
    if (!ctx->machine->pci)
        return error_set(errp, "the machine has no PCI bus");
    pci_bus_foreach(ctx->machine->pci, print_function, ctx->out);
    return true;
}

const HmpCommand hmp_pci_commands[] = {
    {"info pci", NULL, info_pci, "PCI functions, their interrupts and BARs"},
    {0},
};
