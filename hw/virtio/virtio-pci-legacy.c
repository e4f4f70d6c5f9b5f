/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * virtio-pci, the legacy registers in I/O BAR 0.
 * Source: virtio 0.9.5, 2.2 and 2.3; virtio 1.2, 4.1.4.10.
 *
 * A queue is one block of memory: descriptors at a page the driver names, the available ring behind
 * them, the used ring at the next page.
 *
 * Locking: machine_lock.
 */
#include "core/bits.h"
#include "hw/pci/msi.h"
#include "virtio-pci-internal.h"

enum {
    LEGACY_HOST_FEATURES = 0x00,  /* R  4 */
    LEGACY_GUEST_FEATURES = 0x04, /* RW 4 */
    LEGACY_QUEUE_PFN = 0x08,      /* RW 4 */
    LEGACY_QUEUE_SIZE = 0x0c,     /* R  2 */
    LEGACY_QUEUE_SELECT = 0x0e,   /* RW 2 */
    LEGACY_QUEUE_NOTIFY = 0x10,   /* W  2 */
    LEGACY_STATUS = 0x12,         /* RW 1 */
    LEGACY_ISR = 0x13,            /* R  1 */
    LEGACY_CONFIG_VECTOR = 0x14,  /* RW 2, while MSI-X is enabled */
    LEGACY_QUEUE_VECTOR = 0x16,   /* RW 2, likewise */
    LEGACY_CONFIG = 0x14,         /* the device's configuration */
    LEGACY_CONFIG_MSIX = 0x18,    /* the same, while MSI-X is enabled */
};

#define PAGE_SHIFT 12

static unsigned config_offset(const VirtioPci *proxy)
{
    return pci_msix_enabled(&proxy->pci) ? LEGACY_CONFIG_MSIX : LEGACY_CONFIG;
}

static uint64_t legacy_read(void *opaque, uint64_t offset, unsigned size)
{
    VirtioPci *proxy = opaque;
    VirtioQueue *q = virtio_pci_selected_queue(proxy);

    if (offset >= config_offset(proxy))
        return virtio_read_config(proxy->vdev, offset - config_offset(proxy), size);
    switch (offset) {
    case LEGACY_HOST_FEATURES:
        return virtio_get_offered(proxy->vdev, 0);
    case LEGACY_GUEST_FEATURES:
        return virtio_get_driver_features(proxy->vdev, 0);
    case LEGACY_QUEUE_PFN:
        return q && virtio_queue_is_enabled(q) ? q->config.desc >> PAGE_SHIFT : 0;
    case LEGACY_QUEUE_SIZE:
        return q ? q->vq.max_size : 0;
    case LEGACY_QUEUE_SELECT:
        return proxy->queue_select;
    case LEGACY_STATUS:
        return virtio_get_status(proxy->vdev);
    case LEGACY_ISR:
        return virtio_pci_read_isr(proxy);
    case LEGACY_CONFIG_VECTOR:
        return proxy->config_vector;
    case LEGACY_QUEUE_VECTOR:
        return q ? q->vector : VIRTIO_NO_VECTOR;
    default:
        return 0;
    }
}

/* 0 takes the queue away; as its buffers may be in use, that is a reset of the device. */
static void set_pfn(VirtioPci *proxy, uint32_t pfn)
{
    VirtioQueue *q = virtio_pci_selected_queue(proxy);

    if (!q)
        return;
    if (!pfn) {
        if (virtio_queue_is_enabled(q))
            virtio_reset(proxy->vdev);
        return;
    }
    if (virtio_queue_is_enabled(q))
        return;
    proxy->vdev->legacy = true;
    q->config.size = q->vq.max_size;
    q->config.desc = (uint64_t)pfn << PAGE_SHIFT;
    q->config.driver = q->config.desc + 16 * q->config.size;
    q->config.device = align_up(q->config.driver + virtqueue_split_driver_bytes(q->config.size), GUEST_PAGE_SIZE);
    virtio_queue_enable(q);
}

static void legacy_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
    VirtioPci *proxy = opaque;
    VirtioQueue *q = virtio_pci_selected_queue(proxy);

    if (proxy->vdev->resetting)
        return;
    if (offset >= config_offset(proxy)) {
        virtio_write_config(proxy->vdev, offset - config_offset(proxy), size, value);
        return;
    }
    switch (offset) {
    case LEGACY_GUEST_FEATURES:
        virtio_set_features_legacy(proxy->vdev, value);
        break;
    case LEGACY_QUEUE_PFN:
        set_pfn(proxy, value);
        break;
    case LEGACY_QUEUE_SELECT:
        proxy->queue_select = value;
        break;
    case LEGACY_QUEUE_NOTIFY:
        if ((q = virtio_queue(proxy->vdev, value)))
            virtio_queue_kick(q);
        break;
    case LEGACY_STATUS:
        virtio_set_status_legacy(proxy->vdev, value);
        break;
    case LEGACY_CONFIG_VECTOR:
        virtio_pci_set_vector(proxy, &proxy->config_vector, value);
        break;
    case LEGACY_QUEUE_VECTOR:
        if (q)
            virtio_pci_set_vector(proxy, &q->vector, value);
        break;
    }
}

static const MemoryRegionOps legacy_ops = { legacy_read, legacy_write, { 1, 4, true }, { 1, 4, true }, false };

void virtio_pci_init_legacy(VirtioPci *proxy)
{
    uint64_t size = 32;

    while (size < LEGACY_CONFIG_MSIX + proxy->vdev->ops->config_size)
        size *= 2;
    memory_region_init_io(&proxy->legacy, &legacy_ops, proxy, "virtio-pci-legacy", size);
    for (unsigned i = 0; i < proxy->vdev->queue_count; i++) {
        RegionEventFd efd = {
            .offset = LEGACY_QUEUE_NOTIFY,
            .size = 2,
            .match = true,
            .data = i,
            .fd = proxy->vdev->queues[i].kick_fd,
        };
        if (virtio_pci_wants_ioeventfd(proxy, &proxy->vdev->queues[i]))
            memory_region_add_eventfd(&proxy->legacy, &efd);
    }
    pci_register_bar(&proxy->pci, 0, PCI_BAR_IO, &proxy->legacy);
}
