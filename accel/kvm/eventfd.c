/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Writes that need no exit: ioeventfds (api 4.59) and coalesced writes (api 4.116).
 *
 * A region's eventfds are given to KVM as the views change. Where KVM refuses one (its bus is full,
 * a length it does not know), the write exits and the core signals the eventfd itself, only slower.
 *
 * A region marked coalesced before it is mapped has its writes queued by KVM in a ring all vCPUs
 * share; it is drained at every exit, before the exit itself is looked at, so that a device sees
 * the writes in order before any later access.
 *
 * Locking: machine_lock; the ring is drained under it, too.
 */
#include "core/lock.h"
#include "core/machine.h"
#include "kvm-internal.h"

static void ioeventfd_set(MemoryListener *listener, const MemorySection *section, const RegionEventFd *efd, bool pio,
                          bool assign)
{
    KvmAccel *kvm = listener->opaque;
    struct kvm_ioeventfd arg = {
        .datamatch = efd->data,
        .addr = section->addr + (efd->offset - section->mr_offset),
        .len = efd->size,
        .fd = efd->fd,
        .flags = (efd->match ? KVM_IOEVENTFD_FLAG_DATAMATCH : 0) | (pio ? KVM_IOEVENTFD_FLAG_PIO : 0) |
                 (assign ? 0 : KVM_IOEVENTFD_FLAG_DEASSIGN),
    };

    if (!efd->size && (efd->match || !kvm->has_ioeventfd_any_length))
        return;
    (void)kvm_ioctl(kvm->vm_fd, KVM_IOEVENTFD, &arg);
}

static void mmio_eventfd_add(MemoryListener *listener, const MemorySection *section, const RegionEventFd *efd)
{
    ioeventfd_set(listener, section, efd, false, true);
}

static void mmio_eventfd_del(MemoryListener *listener, const MemorySection *section, const RegionEventFd *efd)
{
    ioeventfd_set(listener, section, efd, false, false);
}

static void pio_eventfd_add(MemoryListener *listener, const MemorySection *section, const RegionEventFd *efd)
{
    ioeventfd_set(listener, section, efd, true, true);
}

static void pio_eventfd_del(MemoryListener *listener, const MemorySection *section, const RegionEventFd *efd)
{
    ioeventfd_set(listener, section, efd, true, false);
}

static void pio_section_add(MemoryListener *listener, const MemorySection *section)
{
    kvm_coalesced_update(listener->opaque, section, true, true);
}

static void pio_section_del(MemoryListener *listener, const MemorySection *section)
{
    kvm_coalesced_update(listener->opaque, section, true, false);
}

void kvm_eventfd_listener_init(MemoryListener *listener, bool pio)
{
    listener->eventfd_add = pio ? pio_eventfd_add : mmio_eventfd_add;
    listener->eventfd_del = pio ? pio_eventfd_del : mmio_eventfd_del;
    if (pio) {
        listener->section_add = pio_section_add;
        listener->section_del = pio_section_del;
    }
}

void kvm_coalesced_update(KvmAccel *kvm, const MemorySection *section, bool pio, bool add)
{
    struct kvm_coalesced_mmio_zone zone = { .addr = section->addr, .size = section->size, .pio = pio };

    if (!section->mr->coalesced || section->mr->kind != MEMORY_REGION_IO || section->size > UINT32_MAX)
        return;
    if (!kvm->ring_page || (pio && !kvm->has_coalesced_pio))
        return;
    if (!add)
        kvm_coalesced_drain(kvm);
    (void)kvm_ioctl(kvm->vm_fd, add ? KVM_REGISTER_COALESCED_MMIO : KVM_UNREGISTER_COALESCED_MMIO, &zone);
}

/* The kernel appends at last and never overwrites first; each entry is copied before it is freed. */
void kvm_coalesced_drain_slow(KvmAccel *kvm)
{
    struct kvm_coalesced_mmio_ring *ring = kvm->ring;
    const uint32_t size = (4096 - sizeof(*ring)) / sizeof(ring->coalesced_mmio[0]);
    Machine *machine = kvm->accel.machine;

    machine_lock();
    while (ring->first != __atomic_load_n(&ring->last, __ATOMIC_ACQUIRE)) {
        struct kvm_coalesced_mmio entry = ring->coalesced_mmio[ring->first];

        __atomic_store_n(&ring->first, (ring->first + 1) % size, __ATOMIC_RELEASE);
        address_space_write(entry.pio ? &machine->io : &machine->memory, entry.phys_addr, entry.data,
                            MIN(entry.len, sizeof(entry.data)));
    }
    machine_unlock();
}
