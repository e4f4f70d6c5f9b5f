/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * virtio-pci: the function, its BARs, and interrupts. The registers are in virtio-pci-modern.c and
 * virtio-pci-legacy.c. Source: virtio 1.2, 4.1.2 (identification), 4.1.5 (interrupts).
 *
 * Locking: as in hw/virtio/virtio-pci.h. notify_queue runs on any thread: it only looks at atomics,
 * writes an eventfd or calls pci_msix_notify, and leaves the INTx line to the main loop.
 */
#include "hw/virtio/virtio-pci.h"

#include <sys/eventfd.h>
#include <unistd.h>

#include "core/bits.h"
#include "core/error.h"
#include "core/lock.h"
#include "core/machine.h"
#include "hw/pci/msi.h"
#include "virtio-pci-internal.h"

#define ISR_QUEUE  1
#define ISR_CONFIG 2

#define MSIX_BAR 1

/* 4.1.2 */
#define DEVICE_ID_MODERN(type) (0x1040 + (type))
#define REVISION_MODERN        1

const char *const virtio_pci_auto_names[] = { "auto", "on", "off", NULL };

/* Transitional IDs are a list, not a rule (4.1.2.1). */
static uint16_t transitional_id(uint16_t type)
{
    static const uint16_t ids[] = { [1] = 0x1000, [2] = 0x1001, [3] = 0x1003, [4] = 0x1005, [5] = 0x1002,
                                    [8] = 0x1004, [9] = 0x1009 };

    return type < G_N_ELEMENTS(ids) ? ids[type] : 0;
}

/* --- interrupts --- */

/* INTx is up while the ISR is not empty; with MSI-X nobody looks at either. */
static void update_irq(void *opaque)
{
    VirtioPci *proxy = opaque;

    pci_set_irq(&proxy->pci, __atomic_load_n(&proxy->isr, __ATOMIC_ACQUIRE) != 0);
}

static void raise_isr(VirtioPci *proxy, uint8_t bit)
{
    __atomic_fetch_or(&proxy->isr, bit, __ATOMIC_ACQ_REL);
    if (machine_lock_held())
        update_irq(proxy);
    else
        timer_mod(&proxy->irq_timer, 0);
}

uint8_t virtio_pci_read_isr(VirtioPci *proxy)
{
    uint8_t isr = __atomic_exchange_n(&proxy->isr, 0, __ATOMIC_ACQ_REL);

    update_irq(proxy);
    return isr;
}

static void send_vector(VirtioPci *proxy, uint16_t vector)
{
    int fd;

    if (vector >= proxy->vector_count)
        return;
    fd = __atomic_load_n(&proxy->vector_fds[vector], __ATOMIC_ACQUIRE);
    if (fd >= 0)
        (void)eventfd_write(fd, 1);
    else
        pci_msix_notify(&proxy->pci, vector);
}

static void notify_queue(void *opaque, VirtioQueue *q)
{
    VirtioPci *proxy = opaque;

    if (pci_msix_enabled(&proxy->pci))
        send_vector(proxy, __atomic_load_n(&q->vector, __ATOMIC_RELAXED));
    else
        raise_isr(proxy, ISR_QUEUE);
}

static void notify_config(void *opaque)
{
    VirtioPci *proxy = opaque;

    if (pci_msix_enabled(&proxy->pci))
        send_vector(proxy, proxy->config_vector);
    else
        raise_isr(proxy, ISR_CONFIG);
}

/* Drivers of the legacy interface did not always turn bus mastering on, and nobody told them to. */
static bool can_dma(void *opaque)
{
    const VirtioPci *proxy = opaque;

    return proxy->vdev->legacy || pci_is_master(&proxy->pci);
}

static void registers_reset(void *opaque)
{
    VirtioPci *proxy = opaque;

    proxy->device_feature_select = proxy->driver_feature_select = 0;
    proxy->queue_select = 0;
    __atomic_store_n(&proxy->config_vector, VIRTIO_NO_VECTOR, __ATOMIC_RELAXED);
    __atomic_store_n(&proxy->isr, 0, __ATOMIC_RELEASE);
    timer_del(&proxy->irq_timer);
    update_irq(proxy);
}

static const VirtioTransportOps transport_ops = { notify_queue, notify_config, can_dma, registers_reset };

/* A vector that is used gets an irqfd, if the accelerator has them; kept until the function goes. */
static void add_irqfd(VirtioPci *proxy, uint16_t vector)
{
    int fd;

    if (proxy->vector_fds[vector] >= 0)
        return;
    fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (fd < 0)
        return;
    if (pci_msix_set_eventfd(&proxy->pci, vector, fd))
        __atomic_store_n(&proxy->vector_fds[vector], fd, __ATOMIC_RELEASE);
    else
        close(fd);
}

/* 4.1.5.1.2.1: a vector that cannot be had reads back as none. */
void virtio_pci_set_vector(VirtioPci *proxy, uint16_t *vector, uint16_t value)
{
    if (value >= proxy->vector_count)
        value = VIRTIO_NO_VECTOR;
    else
        add_irqfd(proxy, value);
    __atomic_store_n(vector, value, __ATOMIC_RELAXED);
}

VirtioQueue *virtio_pci_selected_queue(VirtioPci *proxy)
{
    return virtio_queue(proxy->vdev, proxy->queue_select);
}

/* An accelerator with irqfds has ioeventfds, too. */
bool virtio_pci_wants_ioeventfd(const VirtioPci *proxy, const VirtioQueue *q)
{
    return proxy->ioeventfd &&
           (proxy->pci.dev.machine->accel->ops->irqfd_add_route || q->loop != event_loop_main());
}

/* --- life --- */

static bool choose_interfaces(VirtioPci *proxy, uint16_t type, GError **errp)
{
    proxy->has_legacy = proxy->disable_legacy != VIRTIO_PCI_ON;
    proxy->has_modern = !proxy->disable_modern;
    if (!proxy->has_legacy && !proxy->has_modern)
        return error_set(errp, "disable-legacy=on and disable-modern=on leave no interface; drop one of them");
    if (proxy->has_legacy && !transitional_id(type)) {
        if (proxy->disable_legacy == VIRTIO_PCI_OFF)
            return error_set(errp, "this device has no legacy interface; drop disable-legacy=off");
        proxy->has_legacy = false;
    }
    return true;
}

static void fill_info(VirtioPci *proxy, uint16_t type, uint32_t class_code)
{
    proxy->info = (PciInfo){
        .vendor = PCI_VENDOR_REDHAT_QUMRANET,
        .device = proxy->has_legacy ? transitional_id(type) : DEVICE_ID_MODERN(type),
        .revision = proxy->has_legacy ? 0 : REVISION_MODERN,
        .subsystem_vendor = PCI_VENDOR_REDHAT_QUMRANET,
        .subsystem = proxy->has_legacy ? type : PCI_SUBSYSTEM_QEMU,
        .class_code = class_code,
        .interrupt_pin = 1,
    };
    virtio_pci_init_hooks(&proxy->info, proxy->has_modern);
}

static void init_msix(VirtioPci *proxy)
{
    unsigned wanted = proxy->vectors == VIRTIO_PCI_VECTORS_AUTO ? proxy->vdev->queue_count + 1 : proxy->vectors;

    proxy->vector_count = MIN(wanted, PCI_MSIX_VECTORS_MAX);
    proxy->vector_fds = g_new(int, proxy->vector_count);
    for (unsigned i = 0; i < proxy->vector_count; i++)
        proxy->vector_fds[i] = -1;
    if (proxy->vector_count)
        pci_msix_init_exclusive(&proxy->pci, proxy->vector_count, MSIX_BAR);
}

bool virtio_pci_realize(VirtioPci *proxy, VirtioDevice *vdev, const VirtioInit *init, uint32_t class_code,
                        GError **errp)
{
    uint16_t type = init->ops->device_id;

    if (!choose_interfaces(proxy, type, errp))
        return false;
    if (vdev->packed && !proxy->has_modern)
        return error_set(errp, "packed=on needs the virtio 1 interface; drop disable-modern=on");
    proxy->vdev = vdev;
    fill_info(proxy, type, class_code);
    if (!pci_device_attach(&proxy->pci, &proxy->info, errp))
        return false;
    if (!virtio_init(vdev, &proxy->pci.dev, init, &transport_ops, proxy, errp)) {
        pci_device_detach(&proxy->pci);
        return false;
    }
    timer_init(&proxy->irq_timer, event_loop_main(), VMCLOCK_MONO, update_irq, proxy);
    proxy->config_vector = VIRTIO_NO_VECTOR;
    init_msix(proxy);
    if (proxy->has_legacy)
        virtio_pci_init_legacy(proxy);
    if (proxy->has_modern)
        virtio_pci_init_modern(proxy);
    return true;
}

static void release_regions(VirtioPci *proxy)
{
    if (proxy->has_legacy)
        memory_region_release(&proxy->legacy);
    if (!proxy->has_modern)
        return;
    memory_region_release(&proxy->common);
    memory_region_release(&proxy->isr_region);
    memory_region_release(&proxy->device);
    memory_region_release(&proxy->notify);
    memory_region_release(&proxy->modern);
}

/* The guest's side goes first, then the data plane, then what it sends interrupts with. */
void virtio_pci_unrealize(VirtioPci *proxy)
{
    virtio_reset(proxy->vdev);
    pci_device_detach(&proxy->pci);
    release_regions(proxy);
    virtio_release(proxy->vdev);
    timer_release(&proxy->irq_timer);
    for (unsigned i = 0; i < proxy->vector_count; i++)
        if (proxy->vector_fds[i] >= 0)
            close(proxy->vector_fds[i]);
    g_clear_pointer(&proxy->vector_fds, g_free);
}

void virtio_pci_reset(VirtioPci *proxy)
{
    pci_device_reset(&proxy->pci);
    virtio_reset(proxy->vdev);
}
