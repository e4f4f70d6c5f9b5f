/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * MSI: one message address, up to 32 vectors in the low bits of the data.
 * Source: PCI 3.0, 6.8.1.
 *
 * The capability in configuration space is what the guest sees; the copy in PciMsi is what senders
 * on other threads look at, taken under its mutex when the guest has written.
 *
 * Locking: PciMsi.lock is a leaf and held while a message is sent: no message follows a mask.
 */
#include "hw/pci/msi.h"

#include <pthread.h>

#include "core/bits.h"
#include "core/machine.h"

struct PciMsi {
    unsigned offset;  /* of the capability */
    unsigned capable; /* vectors */

    pthread_mutex_t lock;
    uint64_t address;
    uint32_t data, mask, pending;
    unsigned vectors; /* enabled; 0: MSI is off. Also read without the lock, as a hint */
};

void pci_msi_init(PciDevice *pci, unsigned offset, unsigned vectors)
{
    PciMsi *msi = g_new0(PciMsi, 1);
    unsigned log = __builtin_ctz(vectors);
    uint32_t vector_bits = vectors == 32 ? UINT32_MAX : (1u << vectors) - 1;

    g_assert(vectors && vectors <= PCI_MSI_VECTORS_MAX && !(vectors & (vectors - 1)) && !pci->msi);
    pthread_mutex_init(&msi->lock, NULL);
    offset = pci_add_capability(pci, PCI_CAP_ID_MSI, offset, PCI_MSI_SIZE_MASKED);
    msi->offset = offset;
    msi->capable = vectors;
    pci_init_register(pci, offset + PCI_MSI_CONTROL, 2,
                      PCI_MSI_CTRL_64BIT | PCI_MSI_CTRL_MASKABLE | log << PCI_MSI_CTRL_CAPABLE_SHIFT,
                      PCI_MSI_CTRL_ENABLE | PCI_MSI_CTRL_ENABLED);
    pci_init_register(pci, offset + PCI_MSI_ADDRESS_LOW, 4, 0, 0xfffffffc);
    pci_init_register(pci, offset + PCI_MSI_ADDRESS_HIGH, 4, 0, 0xffffffff);
    pci_init_register(pci, offset + PCI_MSI_DATA, 2, 0, 0xffff);
    pci_init_register(pci, offset + PCI_MSI_MASK, 4, 0, vector_bits);
    pci->msi = msi;
}

bool pci_msi_enabled(const PciDevice *pci)
{
    return pci_msi_vectors(pci);
}

unsigned pci_msi_vectors(const PciDevice *pci)
{
    return pci->msi ? __atomic_load_n(&pci->msi->vectors, __ATOMIC_RELAXED) : 0;
}

static void send_locked(PciDevice *pci, unsigned vector)
{
    const PciMsi *msi = pci->msi;

    msi_send(&pci->dev.machine->msi, msi->address, (msi->data & ~(msi->vectors - 1)) | vector);
}

/* The pending register, which the guest only reads. */
static void show_pending_locked(PciDevice *pci)
{
    pci_set(pci, pci->msi->offset + PCI_MSI_PENDING, 4, pci->msi->pending);
}

void pci_msi_notify(PciDevice *pci, unsigned vector)
{
    PciMsi *msi = pci->msi;

    pthread_mutex_lock(&msi->lock);
    if (msi->vectors) {
        vector %= msi->vectors;
        if (msi->mask >> vector & 1) {
            msi->pending |= 1u << vector;
            show_pending_locked(pci);
        } else {
            send_locked(pci, vector);
        }
    }
    pthread_mutex_unlock(&msi->lock);
}

/* Multiple Message Enable may not exceed what the function is capable of; software that tries gets that. */
static unsigned enabled_vectors(const PciMsi *msi, uint16_t control)
{
    if (!(control & PCI_MSI_CTRL_ENABLE))
        return 0;
    return MIN(1u << ((control & PCI_MSI_CTRL_ENABLED) >> PCI_MSI_CTRL_ENABLED_SHIFT), msi->capable);
}

void pci_msi_written(PciDevice *pci, unsigned offset, unsigned len)
{
    PciMsi *msi = pci->msi;

    if (!msi || !pci_touches(offset, len, msi->offset, PCI_MSI_SIZE_MASKED))
        return;
    pthread_mutex_lock(&msi->lock);
    __atomic_store_n(&msi->vectors, enabled_vectors(msi, pci_get(pci, msi->offset + PCI_MSI_CONTROL, 2)),
                     __ATOMIC_RELAXED);
    msi->address = pci_get(pci, msi->offset + PCI_MSI_ADDRESS_LOW, 4) |
                   (uint64_t)pci_get(pci, msi->offset + PCI_MSI_ADDRESS_HIGH, 4) << 32;
    msi->data = pci_get(pci, msi->offset + PCI_MSI_DATA, 2);
    msi->mask = pci_get(pci, msi->offset + PCI_MSI_MASK, 4);
    for (unsigned i = 0; i < msi->vectors; i++) {
        if (msi->pending & ~msi->mask & 1u << i) {
            msi->pending &= ~(1u << i);
            send_locked(pci, i);
        }
    }
    show_pending_locked(pci);
    pthread_mutex_unlock(&msi->lock);
}

void pci_msi_reset(PciDevice *pci)
{
    if (!pci->msi)
        return;
    pthread_mutex_lock(&pci->msi->lock);
    pci->msi->pending = 0;
    show_pending_locked(pci);
    pthread_mutex_unlock(&pci->msi->lock);
    pci_msi_written(pci, pci->msi->offset, 1);
}

void pci_msi_release(PciDevice *pci)
{
    if (!pci->msi)
        return;
    pthread_mutex_destroy(&pci->msi->lock);
    g_clear_pointer(&pci->msi, g_free);
}

bool pci_msg_notify(PciDevice *pci, unsigned vector)
{
    if (pci_msix_enabled(pci))
        pci_msix_notify(pci, vector);
    else if (pci_msi_enabled(pci))
        pci_msi_notify(pci, vector);
    else
        return false;
    return true;
}
