/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the files of hw/pci share.
 */
#ifndef HW_PCI_PCI_INTERNAL_H
#define HW_PCI_PCI_INTERNAL_H

#include "hw/pci/pci.h"

/* --- bar.c --- */
/* Offset of the register in configuration space; it depends on the header type. */
unsigned pci_bar_register(const PciDevice *pci, unsigned index);
/* Maps and unmaps regions by what command and BARs say, in one transaction. */
void pci_update_mappings(PciDevice *pci);
/* Takes all regions out of the address spaces. */
void pci_unmap_all(PciDevice *pci);

/* --- intx.c --- */
/* Brings status register and bus line up to date with irq_level and INTx Disable. */
void pci_update_intx(PciDevice *pci);

/* --- config.c --- */
void pci_header_init(PciDevice *pci);

/* --- rom.c --- */
/* Loads romfile into the expansion ROM BAR; nothing to do without one. */
bool pci_rom_init(PciDevice *pci, GError **errp);
void pci_rom_release(PciDevice *pci);

#endif
