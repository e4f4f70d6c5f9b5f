/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Memory slots: the RAM and ROM of the flat view, as KVM maps it into the guest (api 4.35).
 *
 * A section becomes one slot, or several where it is larger than a slot may be. Its edges are
 * brought in to page boundaries: what is left over is reached by MMIO exits, as device memory is. ROM
 * and write-protected RAM are read-only slots; writes to them exit and are dropped by the core.
 *
 * A transaction's changes are collected and applied at its commit. Slots that are in both views
 * stay. If slots both go and come, guest code is kept out meanwhile (the gate in kvm-internal.h):
 * KVM can only delete and create, and a vCPU would find a hole in between. One kind alone needs no
 * gate, as each single change is atomic and the missing part is an exit, which sees the new view.
 *
 * Locking: machine_lock.
 */
#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "core/bits.h"
#include "core/log.h"
#include "core/machine.h"
#include "kvm-internal.h"

/* KVM_MEM_MAX_NR_PAGES is 2^31 - 1; a power of two keeps pieces aligned for huge pages. */
#define SLOT_SIZE_MAX (4096ull * GIB)

static bool slot_equal(const KvmSlot *a, const KvmSlot *b)
{
    return a->gpa == b->gpa && a->size == b->size && a->host == b->host && a->read_only == b->read_only;
}

/* Calls out for each slot a section is made of. */
static void section_to_slots(const MemorySection *section, GArray *out)
{
    uint64_t start = align_up(section->addr, GUEST_PAGE_SIZE);
    uint64_t end = align_down(section->addr + section->size, GUEST_PAGE_SIZE);

    if (!section->mr->ram)
        return;
    while (start < end) {
        KvmSlot slot = {
            .gpa = start,
            .size = MIN(end - start, SLOT_SIZE_MAX),
            .host = memory_section_host(section, start),
            .read_only = section->read_only || section->mr->kind == MEMORY_REGION_ROM,
        };

        /* A file's or device's part that is not page aligned cannot be mapped at all. */
        if (!((uintptr_t)slot.host & (GUEST_PAGE_SIZE - 1)))
            g_array_append_val(out, slot);
        start += slot.size;
    }
}

static int slot_set(KvmAccel *kvm, const KvmSlot *slot, uint64_t size)
{
    struct kvm_userspace_memory_region region = {
        .slot = slot->id,
        .flags = size && slot->read_only ? KVM_MEM_READONLY : 0,
        .guest_phys_addr = slot->gpa,
        .memory_size = size,
        .userspace_addr = (uintptr_t)slot->host,
    };

    return kvm_ioctl(kvm->vm_fd, KVM_SET_USER_MEMORY_REGION, &region);
}

/* The host ran out of something: the guest would miss memory, so the VM ends. */
static void slot_failed(KvmAccel *kvm, const KvmSlot *slot, const char *reason)
{
    log_warn("kvm: cannot map %" PRIu64 " KiB of guest memory at %#" PRIx64 ": %s", slot->size / KIB, slot->gpa, reason);
    machine_request_shutdown(kvm->accel.machine, SHUTDOWN_CAUSE_ERROR, 1);
}

static bool id_used(const KvmSlots *slots, uint32_t id)
{
    for (guint i = 0; i < slots->slots->len; i++)
        if (g_array_index(slots->slots, KvmSlot, i).id == id)
            return true;
    return false;
}

static void slot_remove(KvmAccel *kvm, const KvmSlot *gone)
{
    GArray *slots = kvm->slots.slots;

    for (guint i = 0; i < slots->len; i++) {
        KvmSlot *slot = &g_array_index(slots, KvmSlot, i);

        if (!slot_equal(slot, gone))
            continue;
        if (slot_set(kvm, slot, 0) < 0)
            slot_failed(kvm, slot, g_strerror(errno));
        g_array_remove_index_fast(slots, i);
        return;
    }
}

static void slot_add(KvmAccel *kvm, const KvmSlot *added)
{
    KvmSlot slot = *added;

    while (id_used(&kvm->slots, slot.id))
        slot.id++;
    if (slot.id >= kvm->slots.max) {
        slot_failed(kvm, &slot, "KVM has no memory slot left");
        return;
    }
    if (slot_set(kvm, &slot, slot.size) < 0) {
        slot_failed(kvm, &slot, g_strerror(errno));
        return;
    }
    g_array_append_val(kvm->slots.slots, slot);
}

/* What goes and comes back the same stays. */
static void drop_unchanged(KvmSlots *slots)
{
    for (guint i = 0; i < slots->removed->len;) {
        bool same = false;

        for (guint j = 0; j < slots->added->len && !same; j++) {
            same = slot_equal(&g_array_index(slots->removed, KvmSlot, i), &g_array_index(slots->added, KvmSlot, j));
            if (same)
                g_array_remove_index_fast(slots->added, j);
        }
        if (same)
            g_array_remove_index_fast(slots->removed, i);
        else
            i++;
    }
}

static KvmAccel *kvm_of_listener(MemoryListener *listener)
{
    return listener->opaque;
}

static void slots_begin(MemoryListener *listener)
{
    KvmSlots *slots = &kvm_of_listener(listener)->slots;

    g_array_set_size(slots->removed, 0);
    g_array_set_size(slots->added, 0);
}

static void slots_section_del(MemoryListener *listener, const MemorySection *section)
{
    KvmAccel *kvm = kvm_of_listener(listener);

    section_to_slots(section, kvm->slots.removed);
    kvm_coalesced_update(kvm, section, false, false);
}

static void slots_section_add(MemoryListener *listener, const MemorySection *section)
{
    KvmAccel *kvm = kvm_of_listener(listener);

    section_to_slots(section, kvm->slots.added);
    kvm_coalesced_update(kvm, section, false, true);
}

static void slots_commit(MemoryListener *listener)
{
    KvmAccel *kvm = kvm_of_listener(listener);
    KvmSlots *slots = &kvm->slots;
    bool exclusive;

    drop_unchanged(slots);
    exclusive = slots->removed->len && slots->added->len;
    if (exclusive)
        kvm_gate_close(kvm);
    for (guint i = 0; i < slots->removed->len; i++)
        slot_remove(kvm, &g_array_index(slots->removed, KvmSlot, i));
    for (guint i = 0; i < slots->added->len; i++)
        slot_add(kvm, &g_array_index(slots->added, KvmSlot, i));
    if (exclusive)
        kvm_gate_open(kvm);
}

void kvm_slots_init(KvmAccel *kvm)
{
    KvmSlots *slots = &kvm->slots;
    int max = kvm_check(kvm->vm_fd, KVM_CAP_NR_MEMSLOTS);

    slots->max = max > 0 ? (uint32_t)max : 32;
    slots->slots = g_array_new(false, true, sizeof(KvmSlot));
    slots->removed = g_array_new(false, true, sizeof(KvmSlot));
    slots->added = g_array_new(false, true, sizeof(KvmSlot));
    kvm_eventfd_listener_init(&slots->listener, false);
    slots->listener.begin = slots_begin;
    slots->listener.section_del = slots_section_del;
    slots->listener.section_add = slots_section_add;
    slots->listener.commit = slots_commit;
    slots->listener.opaque = kvm;
    address_space_add_listener(&kvm->accel.machine->memory, &slots->listener);
}

void kvm_slots_release(KvmAccel *kvm)
{
    KvmSlots *slots = &kvm->slots;

    if (!slots->slots)
        return;
    address_space_remove_listener(&kvm->accel.machine->memory, &slots->listener);
    g_array_free(slots->slots, true);
    g_array_free(slots->removed, true);
    g_array_free(slots->added, true);
}
