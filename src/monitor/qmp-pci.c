/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * QMP's view of the PCI buses.
 */
#include "hw/pci/pci.h"
#include "monitor-internal.h"
#include "qmp-schema.h"

static json_t *describe_bars(const PciDevice *pci)
{
    json_t *list = json_array();

    for (unsigned i = 0; i <= PCI_ROM_BAR; i++) {
        const PciBar *bar = &pci->bars[i];
        bool io = bar->flags & PCI_BAR_IO;
        if (!bar->mr)
            continue;
        json_t *info = json_pack("{s:i, s:s, s:I, s:I}", "bar", (int)i, "type", io ? "io" : "memory", "address",
                                 (json_int_t)(bar->mapped ? bar->address : UINT64_MAX), "size",
                                 (json_int_t)bar->mr->size);
        if (!io) {
            json_object_set_new(info, "prefetch", json_boolean(bar->flags & PCI_BAR_PREFETCH));
            json_object_set_new(info, "mem_type_64", json_boolean(bar->flags & PCI_BAR_MEM64));
        }
        json_array_append_new(list, info);
    }
    return list;
}

static void describe_function(PciDevice *pci, void *list)
{
    json_t *info = json_pack("{s:i, s:i, s:i, s:{s:i}, s:{s:i, s:i, s:i, s:i}, s:s, s:o}", "bus",
                             (int)pci_bus_number(pci->bus), "slot", (int)PCI_SLOT(pci->devfn), "function",
                             (int)PCI_FUNC(pci->devfn), "class_info", "class", (int)pci_get(pci, PCI_CLASS_DEVICE, 2),
                             "id", "vendor", (int)pci_get(pci, PCI_VENDOR_ID, 2), "device",
                             (int)pci_get(pci, PCI_DEVICE_ID, 2), "subsystem-vendor",
                             (int)pci_get(pci, PCI_SUBSYSTEM_VENDOR_ID, 2), "subsystem",
                             (int)pci_get(pci, PCI_SUBSYSTEM_ID, 2), "qdev_id", pci->dev.id ? pci->dev.id : "",
                             "regions", describe_bars(pci));

    if (pci_get(pci, PCI_INTERRUPT_PIN, 1)) {
        json_object_set_new(info, "irq", json_integer(pci_get(pci, PCI_INTERRUPT_LINE, 1)));
        json_object_set_new(info, "irq_pin", json_integer(pci_get(pci, PCI_INTERRUPT_PIN, 1)));
    }
    json_array_append_new(list, info);
}

/* All functions under bus 0: those behind bridges have their own "bus". */
static json_t *query_pci(Monitor *mon, json_t *args, GError **errp)
{
    json_t *devices;

    if (!mon->machine->pci)
        return json_array();
    devices = json_array();
    pci_bus_foreach(mon->machine->pci, describe_function, devices);
    return json_pack("[{s:i, s:o}]", "bus", 0, "devices", devices);
}

static const QmpMember region_members[] = {
    {"bar", &qmp_int, false, "6: the ROM"},
    {"type", &qmp_str, false, "io or memory"},
    {"address", &qmp_int, false, "-1: not mapped"},
    {"size", &qmp_int, false, NULL},
    {"prefetch", &qmp_bool, true, NULL},
    {"mem_type_64", &qmp_bool, true, NULL},
    {0},
};
static const QmpType region_type = {QMP_OBJECT, "PciMemoryRegion", region_members};
static const QmpType region_list = {QMP_ARRAY, .element = &region_type};

static const QmpMember class_members[] = {{"class", &qmp_int, false, NULL}, {0}};
static const QmpType class_type = {QMP_OBJECT, "PciDeviceClass", class_members};

static const QmpMember id_members[] = {
    {"vendor", &qmp_int, false, NULL},
    {"device", &qmp_int, false, NULL},
    {"subsystem-vendor", &qmp_int, true, NULL},
    {"subsystem", &qmp_int, true, NULL},
    {0},
};
static const QmpType id_type = {QMP_OBJECT, "PciDeviceId", id_members};

static const QmpMember device_members[] = {
    {"bus", &qmp_int, false, NULL},
    {"slot", &qmp_int, false, NULL},
    {"function", &qmp_int, false, NULL},
    {"class_info", &class_type, false, NULL},
    {"id", &id_type, false, NULL},
    {"irq", &qmp_int, true, NULL},
    {"irq_pin", &qmp_int, true, NULL},
    {"qdev_id", &qmp_str, false, NULL},
    {"regions", &region_list, false, NULL},
    {0},
};
static const QmpType device_type = {QMP_OBJECT, "PciDeviceInfo", device_members};
static const QmpType device_list = {QMP_ARRAY, .element = &device_type};

static const QmpMember pci_members[] = {
    {"bus", &qmp_int, false, NULL},
    {"devices", &device_list, false, NULL},
    {0},
};
static const QmpType pci_type = {QMP_OBJECT, "PciInfo", pci_members};
static const QmpType pci_list = {QMP_ARRAY, .element = &pci_type};

const QmpCommand qmp_pci_commands[] = {
    {"query-pci", NULL, &pci_list, query_pci, "PCI functions, their interrupts and BARs"},
    {0},
};
