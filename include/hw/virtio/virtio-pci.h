/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The PCI transport of a virtio device: modern, legacy or both at once (transitional).
 * Source: virtio 1.2, 4.1; legacy interface: 0.9.5, 2.1 and 2.2.
 *
 *     BAR 0  I/O      legacy registers (absent with disable-legacy=on)
 *     BAR 1  memory   MSI-X table and pending bits (absent with vectors=0)
 *     BAR 4  memory   0000h common, 1000h ISR, 2000h device configuration, 3000h notifications (modern)
 *
 * A device embeds VirtioPci and its VirtioDevice, and lists VIRTIO_PCI_PROPS and the device's own rows:
 *
 *     typedef struct VirtioFooPci { VirtioPci proxy; VirtioFoo foo; } VirtioFooPci;
 *
 * Notifications: with ioeventfd=on a write to a queue's notification register only signals the queue's eventfd, if
 * the kernel does that (kvm) or an I/O thread waits for it; else who writes serves the queue, which saves waking
 * another thread.
 * Interrupts: MSI-X by the vector the driver gave the queue (through an irqfd where the accelerator has
 * them, without machine_lock), else INTx and the ISR register.
 *
 * Not modelled: NOTIFICATION_DATA, shared memory capabilities, PCI Express capabilities.
 *
 * Locking: machine_lock; isr and the vectors are atomic.
 */
#ifndef HW_VIRTIO_VIRTIO_PCI_H
#define HW_VIRTIO_VIRTIO_PCI_H

#include "hw/pci/pci.h"
#include "hw/virtio/virtio.h"

#define VIRTIO_PCI_VECTORS_AUTO UINT32_MAX

typedef struct VirtioPci {
    PciDevice pci;

    /* Registers. */
    uint32_t device_feature_select, driver_feature_select;
    uint16_t queue_select;
    uint16_t config_vector; /* atomic */
    uint8_t isr;            /* atomic: 1 a queue, 2 the configuration */

    /* Wiring. */
    VirtioDevice *vdev;
    PciInfo info;
    MemoryRegion legacy, modern, common, isr_region, device, notify;
    bool has_legacy, has_modern;
    unsigned access_cap; /* offset of the configuration access capability */
    Timer irq_timer;     /* brings the line up to date from other threads */
    unsigned vector_count;
    int *vector_fds; /* by vector: an eventfd that raises it without us, or -1 */

    /* Properties: VIRTIO_PCI_PROPS. */
    int disable_legacy;
    bool disable_modern;
    uint32_t vectors;
    bool ioeventfd;
} VirtioPci;

extern const char *const virtio_pci_auto_names[];
enum {
    VIRTIO_PCI_AUTO, /* on a conventional bus: off */
    VIRTIO_PCI_ON,
    VIRTIO_PCI_OFF,
};

/* Rows for the type's table. LEGACY and MODERN: defaults of disable-legacy and disable-modern. */
#define VIRTIO_PCI_PROPS(LEGACY, MODERN) \
    PCI_DEVICE_PROPS, \
    {"disable-legacy", PROP_ENUM, offsetof(VirtioPci, disable_legacy), LEGACY, "no legacy interface", \
     virtio_pci_auto_names, 0, 0}, \
    {"disable-modern", PROP_BOOL, offsetof(VirtioPci, disable_modern), MODERN, "no virtio 1 interface", NULL, 0, 0}, \
    {"vectors", PROP_U32, offsetof(VirtioPci, vectors), "0xffffffff", \
     "MSI-X vectors; 0: no MSI-X; default: one a queue and one for the configuration", NULL, 0, 0}, \
    {"ioeventfd", PROP_BOOL, offsetof(VirtioPci, ioeventfd), "on", "notifications by eventfd", NULL, 0, 0}

/* In realize: the function, its BARs and capabilities. vdev's properties are set; init is its device's. */
bool virtio_pci_realize(VirtioPci *proxy, VirtioDevice *vdev, const VirtioInit *init, uint32_t class_code,
                        GError **errp);
void virtio_pci_unrealize(VirtioPci *proxy);
void virtio_pci_reset(VirtioPci *proxy);

#endif
