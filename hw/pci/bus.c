/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Buses: which functions are on them, and how configuration cycles find one.
 * Source: PCI 3.0, 3.2.2.3 (configuration cycles); PCI-to-PCI Bridge 1.2, 3.1 (which bus a bridge
 * passes a type 1 cycle to).
 *
 * Locking: machine_lock.
 */
#include <string.h>

#include "pci-internal.h"

void pci_bus_init(PciBus *bus, const char *name, PciDevice *bridge, MemoryRegion *memory, MemoryRegion *io)
{
    *bus = (PciBus){
        .name = g_strdup(name),
        .bridge = bridge,
        .memory = memory,
        .io = io,
        .children = g_ptr_array_new(),
    };
    if (bridge)
        g_ptr_array_add(bridge->bus->children, bus);
}

void pci_bus_release(PciBus *bus)
{
    if (!bus->children)
        return;
    if (bus->bridge && bus->bridge->bus)
        g_ptr_array_remove(bus->bridge->bus->children, bus);
    g_clear_pointer(&bus->children, g_ptr_array_unref);
    g_clear_pointer(&bus->name, g_free);
}

uint8_t pci_bus_number(const PciBus *bus)
{
    return bus->bridge ? bus->bridge->config[PCI_SECONDARY_BUS] : 0;
}

PciBus *pci_bus_find(PciBus *root, const char *name)
{
    if (!strcmp(root->name, name))
        return root;
    for (guint i = 0; i < root->children->len; i++) {
        PciBus *found = pci_bus_find(g_ptr_array_index(root->children, i), name);
        if (found)
            return found;
    }
    return NULL;
}

/* Bridges are as deep as the user built them; the numbers in them are the guest's, any two may overlap. */
PciBus *pci_bus_find_number(PciBus *root, uint8_t number)
{
    PciBus *bus = root;

    if (!number)
        return root;
    while (bus) {
        PciBus *next = NULL;
        for (guint i = 0; i < bus->children->len && !next; i++) {
            PciBus *child = g_ptr_array_index(bus->children, i);
            uint8_t secondary = pci_bus_number(child);
            if (secondary == number)
                return child;
            if (secondary && secondary < number && number <= child->bridge->config[PCI_SUBORDINATE_BUS])
                next = child;
        }
        bus = next;
    }
    return NULL;
}

void pci_bus_foreach(PciBus *root, void (*fn)(PciDevice *pci, void *opaque), void *opaque)
{
    for (unsigned devfn = 0; devfn < PCI_DEVFNS; devfn++) {
        if (root->devices[devfn])
            fn(root->devices[devfn], opaque);
    }
    for (guint i = 0; i < root->children->len; i++)
        pci_bus_foreach(g_ptr_array_index(root->children, i), fn, opaque);
}
