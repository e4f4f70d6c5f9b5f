/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * PCI hot plug by ACPI: the ports through which the DSDT's methods learn which slots of the root bus have got a
 * device, and which device the user wants back.
 *
 *     plug ---------> UP bit, GPE 1 --> \_GPE._E01 --> Notify(Sxx, 1): the system looks into the slot
 *     unplug -------> DOWN bit, GPE 1 --> ... --> Notify(Sxx, 3): the system lets go of the device
 *                                         _EJ0 --> EJECT bit --> the device is gone, DEVICE_DELETED
 *
 * A system that does not answer keeps its device, until the next reset takes it.
 *
 * Locking: machine_lock.
 */
#ifndef HW_ACPI_PCI_HOTPLUG_H
#define HW_ACPI_PCI_HOTPLUG_H

#include "core/device.h"
#include "core/loop.h"
#include "core/memory.h"
#include "hw/acpi/pm.h"
#include "hw/pci/pci.h"

#define PCI_HOTPLUG_BASE 0xae00
#define PCI_HOTPLUG_SIZE 0x14
#define PCI_HOTPLUG_GPE 1

/* Registers of 32 bits; a bit is a slot. QEMU, docs/specs/acpi_pci_hotplug.rst. */
enum {
    PCIHP_UP = 0x00,      /* R  new devices; cleared by reading */
    PCIHP_DOWN = 0x04,    /* R  wanted back */
    PCIHP_EJECT = 0x08,   /* W  takes devices out; reads as 0: no further features */
    PCIHP_REMOVABLE = 0x0c, /* R  slots whose devices can go */
    PCIHP_BUS = 0x10,     /* RW which bus the others speak of; there is bus 0 only */
};

typedef struct AcpiPciHotplugRegs {
    uint32_t up, down, bus;
} AcpiPciHotplugRegs;

typedef struct AcpiPciHotplug {
    Device dev;
    AcpiPciHotplugRegs regs;
    uint32_t leaving;  /* ejected; the main loop frees them */
    Timer removal;     /* due at once: the main loop's next turn */
    MemoryRegion io;   /* PCI_HOTPLUG_SIZE ports; initialised by realize, mapped by the board */

    /* Wiring. */
    AcpiPm *pm;
    PciBus *bus;
    uint32_t fixed;    /* slots of the board itself */
} AcpiPciHotplug;

extern const DeviceType acpi_pci_hotplug_type;

/* Before realize. */
void acpi_pci_hotplug_connect(AcpiPciHotplug *hotplug, AcpiPm *pm, PciBus *bus, uint32_t fixed);
/* Realized just now. False if it is where no device can come: behind a bridge, a second function. */
bool acpi_pci_hotplug_plug(AcpiPciHotplug *hotplug, PciDevice *pci, GError **errp);
/* Asks the guest. The device is gone when the event DEVICE_DELETED says so. */
bool acpi_pci_hotplug_request_unplug(AcpiPciHotplug *hotplug, PciDevice *pci, GError **errp);

#endif
