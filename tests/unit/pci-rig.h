/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A machine with a PCI bus and a function to plug into it, for tests of hw/pci.
 */
#ifndef TESTS_UNIT_PCI_RIG_H
#define TESTS_UNIT_PCI_RIG_H

#include "core/bits.h"
#include "core/machine.h"
#include "hw/pci/msi.h"

#define RIG_BAR0 4096  /* 32-bit memory */
#define RIG_BAR1 32    /* ports */
#define RIG_BAR2 65536 /* 64-bit memory, prefetchable */
#define RIG_MSIX_VECTORS 40

/* Reads give the offset and the BAR. */
typedef struct RigDevice {
    PciDevice pci;
    MemoryRegion bar0, bar1, bar2;
    unsigned bars[3];
    unsigned written; /* calls of the hook */
    bool no_msi;
} RigDevice;

typedef struct RigMessage {
    uint64_t address;
    uint32_t data;
} RigMessage;

typedef struct PciRig {
    Machine *machine;
    PciBus bus;
    MemoryRegion memory, io;
    int line[PCI_INTX_LINES]; /* level of the root's lines */
    unsigned changes;
    GArray *messages; /* of RigMessage */
} PciRig;

extern const DeviceType rig_device_type;

int pci_rig_setup(void **state);
int pci_rig_teardown(void **state);
/* props: "addr=4,multifunction=on" or NULL. NULL with *errp set if it cannot be realized. */
RigDevice *pci_rig_plug(PciRig *rig, const char *props, GError **errp);

static inline uint32_t rig_read(PciRig *rig, const RigDevice *dev, unsigned offset, unsigned size)
{
    return pci_config_read(&rig->bus, pci_bus_number(dev->pci.bus), dev->pci.devfn, offset, size);
}
static inline void rig_write(PciRig *rig, const RigDevice *dev, unsigned offset, uint32_t value, unsigned size)
{
    pci_config_write(&rig->bus, pci_bus_number(dev->pci.bus), dev->pci.devfn, offset, value, size);
}
uint64_t rig_load(PciRig *rig, uint64_t addr, unsigned size);
void rig_store(PciRig *rig, uint64_t addr, unsigned size, uint64_t value);
uint64_t rig_in(PciRig *rig, uint16_t port, unsigned size);

#endif
