/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Between virtio-pci.c (function, BARs, interrupts) and the two register interfaces.
 */
#ifndef HW_VIRTIO_VIRTIO_PCI_INTERNAL_H
#define HW_VIRTIO_VIRTIO_PCI_INTERNAL_H

#include "hw/virtio/virtio-pci.h"

/* BAR 4. */
#define MODERN_COMMON  0x0000
#define MODERN_ISR     0x1000
#define MODERN_DEVICE  0x2000
#define MODERN_NOTIFY  0x3000
#define MODERN_PART    0x1000
#define MODERN_SIZE    0x4000
#define MODERN_BAR     4

/* Each queue's notification register is this far behind the one before. */
#define NOTIFY_MULTIPLIER 4

/* Whether a notification of q only signals its eventfd. */
bool virtio_pci_wants_ioeventfd(const VirtioPci *proxy, const VirtioQueue *q);
/* The hooks on configuration space. */
void virtio_pci_init_hooks(PciInfo *info, bool modern);
void virtio_pci_init_modern(VirtioPci *proxy);
void virtio_pci_init_legacy(VirtioPci *proxy);

/* The selected queue, or NULL. */
VirtioQueue *virtio_pci_selected_queue(VirtioPci *proxy);
/* Reads and clears the ISR, which lowers INTx. */
uint8_t virtio_pci_read_isr(VirtioPci *proxy);
/* A vector as the driver wrote it: what the register then shows. */
void virtio_pci_set_vector(VirtioPci *proxy, uint16_t *vector, uint16_t value);

#endif
