/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * virtio-pci, the modern registers: BAR 4 and the capabilities that say where they are.
 * Source: virtio 1.2, 4.1.4.
 *
 * Locking: machine_lock.
 */
#include "core/bits.h"
#include "core/log.h"
#include "virtio-pci-internal.h"

/* 4.1.4.3 */
enum {
    COMMON_DFSELECT = 0x00,      /* RW device_feature_select */
    COMMON_DF = 0x04,            /* R  device_feature */
    COMMON_GFSELECT = 0x08,      /* RW driver_feature_select */
    COMMON_GF = 0x0c,            /* RW driver_feature */
    COMMON_MSIX = 0x10,          /* RW config_msix_vector */
    COMMON_NUMQ = 0x12,          /* R  num_queues */
    COMMON_STATUS = 0x14,        /* RW device_status */
    COMMON_GENERATION = 0x15,    /* R  config_generation */
    COMMON_Q_SELECT = 0x16,      /* RW queue_select */
    COMMON_Q_SIZE = 0x18,        /* RW queue_size */
    COMMON_Q_MSIX = 0x1a,        /* RW queue_msix_vector */
    COMMON_Q_ENABLE = 0x1c,      /* RW queue_enable */
    COMMON_Q_NOTIFY_OFF = 0x1e,  /* R  queue_notify_off */
    COMMON_Q_DESC = 0x20,        /* RW queue_desc, two halves */
    COMMON_Q_DRIVER = 0x28,      /* RW queue_driver */
    COMMON_Q_DEVICE = 0x30,      /* RW queue_device */
    COMMON_Q_NOTIFY_DATA = 0x38, /* R  queue_notify_data: not offered */
    COMMON_Q_RESET = 0x3a,       /* RW queue_reset */
    COMMON_SIZE = 0x3c,
};

/* Capability types, 4.1.4. */
enum {
    CAP_COMMON = 1,
    CAP_NOTIFY = 2,
    CAP_ISR = 3,
    CAP_DEVICE = 4,
    CAP_ACCESS = 5,
};

/* struct virtio_pci_cap */
enum {
    CAP_LEN = 2,
    CAP_TYPE = 3,
    CAP_BAR = 4,
    CAP_OFFSET = 8,
    CAP_LENGTH = 12,
    CAP_SIZE = 16,
    CAP_EXTRA = 16, /* notify_off_multiplier, or pci_cfg_data */
};

/* One of the three addresses of the selected queue, and which half of it. */
static uint64_t *queue_address(VirtioQueue *q, uint64_t offset)
{
    switch (offset & ~UINT64_C(7)) {
    case COMMON_Q_DESC:
        return &q->config.desc;
    case COMMON_Q_DRIVER:
        return &q->config.driver;
    default:
        return &q->config.device;
    }
}

/* Without a queue of that number everything reads as 0, its size among it (4.1.4.3.1). */
static uint64_t queue_read(VirtioPci *proxy, uint64_t offset)
{
    VirtioQueue *q = virtio_pci_selected_queue(proxy);

    if (!q)
        return 0;
    switch (offset) {
    case COMMON_Q_SIZE:
        return q->config.size;
    case COMMON_Q_MSIX:
        return q->vector;
    case COMMON_Q_ENABLE:
        return virtio_queue_is_enabled(q);
    case COMMON_Q_NOTIFY_OFF:
        return q->index;
    case COMMON_Q_RESET:
        return virtio_queue_is_resetting(q);
    case COMMON_Q_DESC ... COMMON_Q_NOTIFY_DATA - 1:
        return *queue_address(q, offset) >> (8 * (offset & 4));
    default:
        return 0;
    }
}

static uint64_t common_read(void *opaque, uint64_t offset, unsigned size)
{
    VirtioPci *proxy = opaque;

    switch (offset) {
    case COMMON_DFSELECT:
        return proxy->device_feature_select;
    case COMMON_DF:
        return virtio_get_offered(proxy->vdev, proxy->device_feature_select);
    case COMMON_GFSELECT:
        return proxy->driver_feature_select;
    case COMMON_GF:
        return virtio_get_driver_features(proxy->vdev, proxy->driver_feature_select);
    case COMMON_MSIX:
        return proxy->config_vector;
    case COMMON_NUMQ:
        return proxy->vdev->queue_count;
    case COMMON_STATUS:
        return virtio_get_status(proxy->vdev);
    case COMMON_GENERATION:
        return proxy->vdev->config_generation;
    case COMMON_Q_SELECT:
        return proxy->queue_select;
    default:
        return queue_read(proxy, offset);
    }
}

/* The configuration of an enabled queue is latched; the vector may still change. */
static void queue_write(VirtioPci *proxy, uint64_t offset, uint64_t value)
{
    VirtioQueue *q = virtio_pci_selected_queue(proxy);
    unsigned shift = 8 * (offset & 4);

    if (!q)
        return;
    if (offset == COMMON_Q_MSIX) {
        virtio_pci_set_vector(proxy, &q->vector, value);
        return;
    }
    if (offset == COMMON_Q_RESET) {
        if (value == 1)
            virtio_queue_reset(q);
        return;
    }
    if (virtio_queue_is_enabled(q) || virtio_queue_is_resetting(q)) {
        guest_error(device_name(&proxy->pci.dev), "queue %u is configured while it is in use", q->index);
        return;
    }
    switch (offset) {
    case COMMON_Q_SIZE:
        if (value && value <= q->vq.max_size)
            q->config.size = value;
        break;
    case COMMON_Q_ENABLE:
        if (value == 1)
            virtio_queue_enable(q);
        break;
    case COMMON_Q_DESC ... COMMON_Q_NOTIFY_DATA - 1: {
        uint64_t *address = queue_address(q, offset);
        *address = (*address & ~((uint64_t)UINT32_MAX << shift)) | value << shift;
        break;
    }
    }
}

static void common_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
    VirtioPci *proxy = opaque;

    if (proxy->vdev->resetting)
        return;
    switch (offset) {
    case COMMON_DFSELECT:
        proxy->device_feature_select = value;
        break;
    case COMMON_GFSELECT:
        proxy->driver_feature_select = value;
        break;
    case COMMON_GF:
        virtio_set_driver_features(proxy->vdev, proxy->driver_feature_select, value);
        break;
    case COMMON_MSIX:
        virtio_pci_set_vector(proxy, &proxy->config_vector, value);
        break;
    case COMMON_STATUS:
        virtio_set_status(proxy->vdev, value);
        break;
    case COMMON_Q_SELECT:
        proxy->queue_select = value;
        break;
    default:
        queue_write(proxy, offset, value);
    }
}

static uint64_t isr_read(void *opaque, uint64_t offset, unsigned size)
{
    return offset ? 0 : virtio_pci_read_isr(opaque);
}

static void isr_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
}

static uint64_t device_read(void *opaque, uint64_t offset, unsigned size)
{
    return virtio_read_config(((VirtioPci *)opaque)->vdev, offset, size);
}

static void device_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
    virtio_write_config(((VirtioPci *)opaque)->vdev, offset, size, value);
}

static uint64_t notify_read(void *opaque, uint64_t offset, unsigned size)
{
    return 0;
}

/* The register's place says which queue (4.1.5.2). */
static void notify_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
    VirtioQueue *q = virtio_queue(((VirtioPci *)opaque)->vdev, offset / NOTIFY_MULTIPLIER);

    if (q && !(offset % NOTIFY_MULTIPLIER))
        virtio_queue_kick(q);
}

static const MemoryRegionOps common_ops = { common_read, common_write, { 1, 4, false }, { 1, 4, false }, false };
static const MemoryRegionOps isr_ops = { isr_read, isr_write, { 1, 4, false }, { 1, 4, false }, false };
static const MemoryRegionOps device_ops = { device_read, device_write, { 1, 8, true }, { 1, 8, true }, false };
static const MemoryRegionOps notify_ops = { notify_read, notify_write, { 1, 4, false }, { 1, 4, false }, false };

/* --- capabilities --- */

static unsigned add_cap(VirtioPci *proxy, unsigned type, unsigned size, uint32_t offset, uint32_t length)
{
    unsigned cap = pci_add_capability(&proxy->pci, PCI_CAP_ID_VENDOR, 0, size);

    pci_set(&proxy->pci, cap + CAP_LEN, 1, size);
    pci_set(&proxy->pci, cap + CAP_TYPE, 1, type);
    pci_set(&proxy->pci, cap + CAP_BAR, 1, type == CAP_ACCESS ? 0 : MODERN_BAR);
    pci_set(&proxy->pci, cap + CAP_OFFSET, 4, offset);
    pci_set(&proxy->pci, cap + CAP_LENGTH, 4, length);
    return cap;
}

/* 4.1.4.9: a window into the BARs for who cannot map them (firmware). The first of a list is found
 * first, and each is put in front, so the order here is the reverse. */
static void add_caps(VirtioPci *proxy)
{
    PciDevice *pci = &proxy->pci;
    unsigned cap;

    cap = proxy->access_cap = add_cap(proxy, CAP_ACCESS, CAP_SIZE + 4, 0, 0);
    pci_init_register(pci, cap + CAP_BAR, 1, 0, 0xff);
    pci_init_register(pci, cap + CAP_OFFSET, 4, 0, UINT32_MAX);
    pci_init_register(pci, cap + CAP_LENGTH, 4, 0, UINT32_MAX);
    pci_init_register(pci, cap + CAP_EXTRA, 4, 0, UINT32_MAX);
    cap = add_cap(proxy, CAP_NOTIFY, CAP_SIZE + 4, MODERN_NOTIFY, MODERN_PART);
    pci_set(pci, cap + CAP_EXTRA, 4, NOTIFY_MULTIPLIER);
    add_cap(proxy, CAP_DEVICE, CAP_SIZE, MODERN_DEVICE, MODERN_PART);
    add_cap(proxy, CAP_ISR, CAP_SIZE, MODERN_ISR, MODERN_PART);
    add_cap(proxy, CAP_COMMON, CAP_SIZE, MODERN_COMMON, MODERN_PART);
}

/* The region the window shows now, with offset made relative to it; NULL: none, or no access PCI would make. */
static MemoryRegion *window(VirtioPci *proxy, uint32_t *offset, uint32_t *length)
{
    MemoryRegion *const parts[] = { &proxy->common, &proxy->isr_region, &proxy->device, &proxy->notify };
    unsigned bar = pci_get(&proxy->pci, proxy->access_cap + CAP_BAR, 1);

    *offset = pci_get(&proxy->pci, proxy->access_cap + CAP_OFFSET, 4);
    *length = pci_get(&proxy->pci, proxy->access_cap + CAP_LENGTH, 4);
    if (bar != MODERN_BAR || (*length != 1 && *length != 2 && *length != 4) || *offset % *length ||
        !range_ok(*offset, *length, MODERN_SIZE))
        return NULL;
    bar = *offset / MODERN_PART;
    *offset %= MODERN_PART;
    return range_ok(*offset, *length, parts[bar]->size) ? parts[bar] : NULL;
}

static void before_read(PciDevice *pci, unsigned offset, unsigned len)
{
    VirtioPci *proxy = (VirtioPci *)pci;
    uint32_t at, length;
    uint64_t value = 0;
    MemoryRegion *mr;

    if (!pci_touches(offset, len, proxy->access_cap + CAP_EXTRA, 4) || !(mr = window(proxy, &at, &length)))
        return;
    memory_region_read(mr, at, length, &value);
    pci_set(pci, proxy->access_cap + CAP_EXTRA, 4, value);
}

static void access_written(VirtioPci *proxy, unsigned offset, unsigned len)
{
    uint32_t at, length;
    MemoryRegion *mr;

    if (pci_touches(offset, len, proxy->access_cap + CAP_EXTRA, 4) && (mr = window(proxy, &at, &length)))
        memory_region_write(mr, at, length, pci_get(&proxy->pci, proxy->access_cap + CAP_EXTRA, 4));
}

static void written(PciDevice *pci, unsigned offset, unsigned len)
{
    VirtioPci *proxy = (VirtioPci *)pci;

    if (proxy->has_modern)
        access_written(proxy, offset, len);
    if (pci_touches(offset, len, PCI_COMMAND, 2) && pci_is_master(pci))
        virtio_kick_all(proxy->vdev);
}

static void add_ioeventfds(VirtioPci *proxy)
{
    for (unsigned i = 0; i < proxy->vdev->queue_count; i++) {
        RegionEventFd efd = { .offset = NOTIFY_MULTIPLIER * i, .fd = proxy->vdev->queues[i].kick_fd };
        if (virtio_pci_wants_ioeventfd(proxy, &proxy->vdev->queues[i]))
            memory_region_add_eventfd(&proxy->notify, &efd);
    }
}

void virtio_pci_init_hooks(PciInfo *info, bool modern)
{
    info->before_read = modern ? before_read : NULL;
    info->written = written;
}

void virtio_pci_init_modern(VirtioPci *proxy)
{
    memory_region_init_container(&proxy->modern, "virtio-pci", MODERN_SIZE);
    memory_region_init_io(&proxy->common, &common_ops, proxy, "virtio-pci-common", MODERN_PART);
    memory_region_init_io(&proxy->isr_region, &isr_ops, proxy, "virtio-pci-isr", MODERN_PART);
    memory_region_init_io(&proxy->device, &device_ops, proxy, "virtio-pci-device", MODERN_PART);
    memory_region_init_io(&proxy->notify, &notify_ops, proxy, "virtio-pci-notify", MODERN_PART);
    memory_region_add(&proxy->modern, MODERN_COMMON, &proxy->common, 0);
    memory_region_add(&proxy->modern, MODERN_ISR, &proxy->isr_region, 0);
    memory_region_add(&proxy->modern, MODERN_DEVICE, &proxy->device, 0);
    memory_region_add(&proxy->modern, MODERN_NOTIFY, &proxy->notify, 0);
    add_ioeventfds(proxy);
    pci_register_bar(&proxy->pci, MODERN_BAR, PCI_BAR_MEM64 | PCI_BAR_PREFETCH, &proxy->modern);
    add_caps(proxy);
}
