/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Message-signalled interrupts of a PCI function: MSI and MSI-X.
 * Source: PCI Local Bus Specification 3.0, 6.8.
 *
 * A device calls pci_msi(x)_notify for a vector and need not know whether it is masked: masked
 * messages become pending bits and are sent when the mask goes. Both kinds are off after reset; a
 * device that finds pci_msix_enabled (or pci_msi_enabled) false uses pci_set_irq.
 *
 * pci_msix_set_eventfd lets another process or thread raise a vector by writing to an eventfd: where the
 * accelerator has irqfds the write goes straight to the vCPU. While the vector is masked the eventfd
 * is detached and its counter is the pending bit.
 *
 * Threads: notify and the enabled predicates on any thread, without machine_lock; a leaf mutex of the
 * function orders them with the guest's changes of the table. All else under machine_lock.
 */
#ifndef HW_PCI_MSI_H
#define HW_PCI_MSI_H

#include "hw/pci/pci.h"

/* --- MSI --- */

#define PCI_MSI_VECTORS_MAX 32

/* vectors: 1, 2, 4 .. 32. 64-bit addresses and per-vector masks. In realize. offset: as pci_add_capability. */
void pci_msi_init(PciDevice *pci, unsigned offset, unsigned vectors);
bool pci_msi_enabled(const PciDevice *pci);
/* Vectors the guest has enabled, 1 if it enabled none. */
unsigned pci_msi_vectors(const PciDevice *pci);
/* vector is reduced modulo what the guest has enabled. */
void pci_msi_notify(PciDevice *pci, unsigned vector);

/* --- MSI-X --- */

#define PCI_MSIX_VECTORS_MAX 2048

/* Where table and pending bits lie: offsets (multiples of 8) in regions that are or become BARs. */
typedef struct PciMsixLayout {
    unsigned vectors; /* 1..2048 */
    unsigned offset;  /* of the capability; 0: where there is room */
    unsigned table_bar, pba_bar;
    uint32_t table_offset, pba_offset;
    MemoryRegion *table_region, *pba_region; /* containers */
} PciMsixLayout;

/* In realize; the regions are given back by pci_device_detach. */
void pci_msix_init(PciDevice *pci, const PciMsixLayout *layout);
/* The same with a BAR of its own, 4 KiB or more. */
void pci_msix_init_exclusive(PciDevice *pci, unsigned vectors, unsigned bar);
bool pci_msix_enabled(const PciDevice *pci);
unsigned pci_msix_vectors(const PciDevice *pci); /* 0: no such capability */
/* Vectors out of range (a guest may have programmed them into the device) are ignored. */
void pci_msix_notify(PciDevice *pci, unsigned vector);

/*
 * From now on a write to fd raises the vector without the process, masks included; -1 ends that. The fd
 * stays the caller's. False: the accelerator cannot (or has no route left), nothing changed, and
 * whoever reads fd calls pci_msix_notify.
 */
bool pci_msix_set_eventfd(PciDevice *pci, unsigned vector, int fd);

/* --- whichever the guest chose --- */

/* MSI-X, else MSI; false if neither is on and INTx is the way. */
bool pci_msg_notify(PciDevice *pci, unsigned vector);

/* --- for hw/pci --- */

void pci_msi_written(PciDevice *pci, unsigned offset, unsigned len);
void pci_msi_reset(PciDevice *pci);
void pci_msi_release(PciDevice *pci);
void pci_msix_written(PciDevice *pci, unsigned offset, unsigned len);
void pci_msix_reset(PciDevice *pci);
void pci_msix_release(PciDevice *pci);

#endif
