/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * MSI-X: a table of messages and an array of pending bits in a BAR.
 * Source: PCI 3.0, 6.8.2.
 *
 *     notify:  function off          -> dropped (the device uses INTx)
 *              vector masked         -> pending bit
 *              else                  -> message
 *     unmasked (entry or function)   -> message if pending
 *
 * A vector with an eventfd has an irqfd in the accelerator while it is unmasked. While it is masked
 * nobody reads the eventfd: its counter is the pending bit, and the accelerator finds it when the
 * irqfd is attached again.
 *
 * Locking: PciMsix.lock is a leaf (above the accelerator's own routes lock) and held while a message
 * is sent: no message follows a mask.
 */
#include <poll.h>
#include <pthread.h>

#include "core/bits.h"
#include "core/log.h"
#include "core/machine.h"
#include "hw/pci/msi.h"

typedef struct Entry {
    uint64_t address;
    uint32_t data, control;
    bool pending;
    int fd;        /* -1: none */
    int route;     /* of the accelerator, while there is an fd */
    bool attached; /* writes to fd go to the accelerator */
} Entry;

struct PciMsix {
    unsigned offset; /* of the capability */
    unsigned vectors;
    PciDevice *pci;
    MemoryRegion table, pba;
    MemoryRegion *bar; /* container of both, if the layout is our own */

    pthread_mutex_t lock;
    bool enabled, masked; /* of the function. enabled is also read without the lock, as a hint */
    Entry *entries;
};

/* --- vectors --- */

static bool is_masked(const PciMsix *msix, const Entry *e)
{
    return msix->masked || (e->control & PCI_MSIX_ENTRY_MASKED);
}

static bool counter_is_up(int fd)
{
    struct pollfd pfd = {.fd = fd, .events = POLLIN};

    return poll(&pfd, 1, 0) == 1 && (pfd.revents & POLLIN);
}

static void attach(PciMsix *msix, Entry *e)
{
    Accel *accel = msix->pci->dev.machine->accel;

    accel->ops->msi_route_change(accel, e->route, e->address, e->data);
    if (e->attached)
        return;
    e->attached = accel->ops->irqfd_add_route(accel, e->route, e->fd);
    if (!e->attached)
        log_warn("%s: the accelerator takes no more interrupt eventfds", device_name(&msix->pci->dev));
}

static void detach(PciMsix *msix, Entry *e)
{
    Accel *accel = msix->pci->dev.machine->accel;

    if (e->attached)
        accel->ops->irqfd_remove_route(accel, e->route, e->fd);
    e->attached = false;
}

/* After any change of what decides whether a vector may send. */
static void update_entry_locked(PciMsix *msix, Entry *e)
{
    bool open = msix->enabled && !is_masked(msix, e);

    if (open && e->pending) {
        e->pending = false;
        msi_send(&msix->pci->dev.machine->msi, e->address, e->data);
    }
    if (e->fd < 0)
        return;
    if (open)
        attach(msix, e);
    else
        detach(msix, e);
}

void pci_msix_notify(PciDevice *pci, unsigned vector)
{
    PciMsix *msix = pci->msix;

    if (!msix || vector >= msix->vectors)
        return;
    pthread_mutex_lock(&msix->lock);
    Entry *e = &msix->entries[vector];
    if (msix->enabled && is_masked(msix, e))
        e->pending = true;
    else if (msix->enabled)
        msi_send(&pci->dev.machine->msi, e->address, e->data);
    pthread_mutex_unlock(&msix->lock);
}

bool pci_msix_enabled(const PciDevice *pci)
{
    return pci->msix && __atomic_load_n(&pci->msix->enabled, __ATOMIC_RELAXED);
}

unsigned pci_msix_vectors(const PciDevice *pci)
{
    return pci->msix ? pci->msix->vectors : 0;
}

static void forget_eventfd_locked(PciMsix *msix, Entry *e)
{
    Accel *accel = msix->pci->dev.machine->accel;

    if (e->fd < 0)
        return;
    detach(msix, e);
    accel->ops->msi_route_remove(accel, e->route);
    e->fd = -1;
}

bool pci_msix_set_eventfd(PciDevice *pci, unsigned vector, int fd)
{
    PciMsix *msix = pci->msix;
    const AccelOps *ops = pci->dev.machine->accel->ops;
    bool ok = true;

    if (!msix || vector >= msix->vectors || !ops->msi_route_add || !ops->irqfd_add_route)
        return fd < 0;
    pthread_mutex_lock(&msix->lock);
    Entry *e = &msix->entries[vector];
    forget_eventfd_locked(msix, e);
    if (fd >= 0) {
        e->route = ops->msi_route_add(pci->dev.machine->accel, e->address, e->data);
        ok = e->route >= 0;
        if (ok)
            e->fd = fd;
        update_entry_locked(msix, e);
    }
    pthread_mutex_unlock(&msix->lock);
    return ok;
}

/* --- the table, 6.8.2.6 to 6.8.2.9 --- */

static uint64_t table_read(void *opaque, uint64_t offset, unsigned size)
{
    PciMsix *msix = opaque;
    uint32_t value = 0;

    pthread_mutex_lock(&msix->lock);
    const Entry *e = &msix->entries[offset / PCI_MSIX_ENTRY_SIZE];
    switch (offset % PCI_MSIX_ENTRY_SIZE) {
    case PCI_MSIX_ENTRY_ADDRESS_LOW:
        value = e->address;
        break;
    case PCI_MSIX_ENTRY_ADDRESS_HIGH:
        value = e->address >> 32;
        break;
    case PCI_MSIX_ENTRY_DATA:
        value = e->data;
        break;
    case PCI_MSIX_ENTRY_CONTROL:
        value = e->control;
        break;
    }
    pthread_mutex_unlock(&msix->lock);
    return value;
}

static void table_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
    PciMsix *msix = opaque;

    pthread_mutex_lock(&msix->lock);
    Entry *e = &msix->entries[offset / PCI_MSIX_ENTRY_SIZE];
    switch (offset % PCI_MSIX_ENTRY_SIZE) {
    case PCI_MSIX_ENTRY_ADDRESS_LOW:
        e->address = (e->address & ~UINT64_C(0xffffffff)) | (value & 0xfffffffc);
        break;
    case PCI_MSIX_ENTRY_ADDRESS_HIGH:
        e->address = (uint32_t)e->address | value << 32;
        break;
    case PCI_MSIX_ENTRY_DATA:
        e->data = value;
        break;
    case PCI_MSIX_ENTRY_CONTROL:
        e->control = value & PCI_MSIX_ENTRY_MASKED;
        break;
    }
    update_entry_locked(msix, e);
    pthread_mutex_unlock(&msix->lock);
}

static uint64_t pba_read(void *opaque, uint64_t offset, unsigned size)
{
    PciMsix *msix = opaque;
    uint32_t bits = 0;

    pthread_mutex_lock(&msix->lock);
    for (unsigned i = 0; i < 32 && 8 * offset + i < msix->vectors; i++) {
        const Entry *e = &msix->entries[8 * offset + i];
        if (e->pending || (e->fd >= 0 && !e->attached && counter_is_up(e->fd)))
            bits |= 1u << i;
    }
    pthread_mutex_unlock(&msix->lock);
    return bits;
}

/* 6.8.2: software uses aligned doublewords or quadwords. */
static const MemoryRegionOps table_ops = {
    .read = table_read,
    .write = table_write,
    .valid = {4, 8},
    .impl = {4, 4},
};

/* Writes to the pending bits are undefined: dropped. */
static const MemoryRegionOps pba_ops = {
    .read = pba_read,
    .valid = {4, 8},
    .impl = {4, 4},
};

/* --- control and life cycle --- */

static uint32_t pba_size(unsigned vectors)
{
    return align_up(vectors, 64) / 8;
}

void pci_msix_init(PciDevice *pci, const PciMsixLayout *layout)
{
    PciMsix *msix = g_new0(PciMsix, 1);

    g_assert(layout->vectors && layout->vectors <= PCI_MSIX_VECTORS_MAX && !pci->msix);
    g_assert(!(layout->table_offset & 7) && !(layout->pba_offset & 7));
    pthread_mutex_init(&msix->lock, NULL);
    msix->pci = pci;
    msix->vectors = layout->vectors;
    msix->entries = g_new0(Entry, msix->vectors);
    for (unsigned i = 0; i < msix->vectors; i++)
        msix->entries[i] = (Entry){.control = PCI_MSIX_ENTRY_MASKED, .fd = -1};
    msix->offset = pci_add_capability(pci, PCI_CAP_ID_MSIX, layout->offset, PCI_MSIX_SIZE);
    pci_init_register(pci, msix->offset + PCI_MSIX_CONTROL, 2, msix->vectors - 1,
                      PCI_MSIX_CTRL_ENABLE | PCI_MSIX_CTRL_MASK_ALL);
    pci_init_register(pci, msix->offset + PCI_MSIX_TABLE, 4, layout->table_offset | layout->table_bar, 0);
    pci_init_register(pci, msix->offset + PCI_MSIX_PBA, 4, layout->pba_offset | layout->pba_bar, 0);
    memory_region_init_io(&msix->table, &table_ops, msix, "msix-table", msix->vectors * PCI_MSIX_ENTRY_SIZE);
    memory_region_init_io(&msix->pba, &pba_ops, msix, "msix-pba", pba_size(msix->vectors));
    memory_region_add(layout->table_region, layout->table_offset, &msix->table, 0);
    memory_region_add(layout->pba_region, layout->pba_offset, &msix->pba, 0);
    pci->msix = msix;
}

/* Table in the lower half, pending bits in the upper. */
void pci_msix_init_exclusive(PciDevice *pci, unsigned vectors, unsigned bar)
{
    uint32_t half = 2 * KIB;

    while (half < vectors * PCI_MSIX_ENTRY_SIZE)
        half *= 2;
    MemoryRegion *container = g_new0(MemoryRegion, 1);
    memory_region_init_container(container, "msix", 2 * half);
    pci_register_bar(pci, bar, 0, container);
    pci_msix_init(pci, &(PciMsixLayout){
                           .vectors = vectors,
                           .table_bar = bar,
                           .pba_bar = bar,
                           .pba_offset = half,
                           .table_region = container,
                           .pba_region = container,
                       });
    pci->msix->bar = container;
}

void pci_msix_written(PciDevice *pci, unsigned offset, unsigned len)
{
    PciMsix *msix = pci->msix;
    uint16_t control;

    if (!msix || !pci_touches(offset, len, msix->offset + PCI_MSIX_CONTROL, 2))
        return;
    control = pci_get(pci, msix->offset + PCI_MSIX_CONTROL, 2);
    pthread_mutex_lock(&msix->lock);
    __atomic_store_n(&msix->enabled, control & PCI_MSIX_CTRL_ENABLE, __ATOMIC_RELAXED);
    msix->masked = control & PCI_MSIX_CTRL_MASK_ALL;
    for (unsigned i = 0; i < msix->vectors; i++)
        update_entry_locked(msix, &msix->entries[i]);
    pthread_mutex_unlock(&msix->lock);
}

/* The control register is back at its reset value; eventfds stay, detached. */
void pci_msix_reset(PciDevice *pci)
{
    PciMsix *msix = pci->msix;

    if (!msix)
        return;
    pthread_mutex_lock(&msix->lock);
    __atomic_store_n(&msix->enabled, false, __ATOMIC_RELAXED);
    msix->masked = false;
    for (unsigned i = 0; i < msix->vectors; i++) {
        Entry *e = &msix->entries[i];
        e->address = 0;
        e->data = 0;
        e->control = PCI_MSIX_ENTRY_MASKED;
        e->pending = false;
        update_entry_locked(msix, e);
    }
    pthread_mutex_unlock(&msix->lock);
}

void pci_msix_release(PciDevice *pci)
{
    PciMsix *msix = pci->msix;

    if (!msix)
        return;
    pthread_mutex_lock(&msix->lock);
    for (unsigned i = 0; i < msix->vectors; i++)
        forget_eventfd_locked(msix, &msix->entries[i]);
    pthread_mutex_unlock(&msix->lock);
    memory_region_release(&msix->table);
    memory_region_release(&msix->pba);
    if (msix->bar) {
        memory_region_release(msix->bar);
        g_free(msix->bar);
    }
    pthread_mutex_destroy(&msix->lock);
    g_free(msix->entries);
    g_clear_pointer(&pci->msix, g_free);
}
