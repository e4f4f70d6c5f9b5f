/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Virtio devices: the status register, features and configuration. Queues are in queue.c.
 * Source: virtio 1.2, chapters 2 and 3; the tables are in hw/virtio/virtio.h.
 *
 * Not modelled: IN_ORDER, NOTIFICATION_DATA, shared memory regions, device groups (1.3).
 *
 * Locking: machine_lock; status is atomic because a queue that breaks writes it, too.
 */
#include "hw/virtio/virtio.h"

#include <inttypes.h>

#include "core/bits.h"
#include "core/lock.h"
#include "core/log.h"
#include "core/machine.h"
#include "virtio-internal.h"

#define STATUS_DRIVERS (VIRTIO_STATUS_ACKNOWLEDGE | VIRTIO_STATUS_DRIVER | VIRTIO_STATUS_DRIVER_OK | \
                        VIRTIO_STATUS_FEATURES_OK | VIRTIO_STATUS_FAILED)

/* Bits 0..23 and 50.. are the device's, the others reserved for rings and transports (6). */
#define LEGACY_FEATURES UINT32_MAX

static uint64_t common_features(const VirtioDevice *vdev)
{
    return BIT(VIRTIO_F_VERSION_1) | (vdev->indirect_desc ? BIT(VIRTIO_F_INDIRECT_DESC) : 0) |
           (vdev->event_idx ? BIT(VIRTIO_F_EVENT_IDX) : 0) | (vdev->packed ? BIT(VIRTIO_F_RING_PACKED) : 0) |
           (vdev->queue_reset ? BIT(VIRTIO_F_RING_RESET) : 0) |
           (vdev->any_layout ? BIT(VIRTIO_F_ANY_LAYOUT) : 0);
}

uint8_t virtio_get_status(const VirtioDevice *vdev)
{
    return __atomic_load_n(&vdev->status, __ATOMIC_ACQUIRE);
}

static void status_add(VirtioDevice *vdev, uint8_t bits)
{
    __atomic_fetch_or(&vdev->status, bits, __ATOMIC_ACQ_REL);
}

/* Any thread: a queue broke. The legacy interface has no word for it. */
void virtio_needs_reset(VirtioDevice *vdev)
{
    if (vdev->legacy)
        return;
    status_add(vdev, VIRTIO_STATUS_NEEDS_RESET);
    timer_mod(&vdev->config_timer, 0);
}

/* 2.1.2: told only to a driver that is there. */
static void config_timer_fired(void *opaque)
{
    VirtioDevice *vdev = opaque;

    if (virtio_get_status(vdev) & VIRTIO_STATUS_DRIVER_OK)
        vdev->transport->notify_config(vdev->transport_opaque);
}

void virtio_config_changed(VirtioDevice *vdev)
{
    vdev->config_generation++;
    timer_mod(&vdev->config_timer, 0);
}

/* --- features --- */

uint32_t virtio_get_offered(const VirtioDevice *vdev, uint32_t half)
{
    return half < 2 ? vdev->offered >> (32 * half) : 0;
}

uint32_t virtio_get_driver_features(const VirtioDevice *vdev, uint32_t half)
{
    return half < 2 ? vdev->driver_features >> (32 * half) : 0;
}

void virtio_set_driver_features(VirtioDevice *vdev, uint32_t half, uint32_t value)
{
    if (half >= 2 || vdev->resetting)
        return;
    if (virtio_get_status(vdev) & VIRTIO_STATUS_FEATURES_OK) {
        guest_error(device_name(vdev->dev), "features written after FEATURES_OK");
        return;
    }
    vdev->driver_features &= ~((uint64_t)UINT32_MAX << (32 * half));
    vdev->driver_features |= (uint64_t)value << (32 * half);
}

static void agree(VirtioDevice *vdev, uint64_t features)
{
    vdev->features = features;
    if (vdev->ops->features_set)
        vdev->ops->features_set(vdev);
}

/* 0.9.5: written in one go; what was not offered is not taken. */
void virtio_set_features_legacy(VirtioDevice *vdev, uint32_t value)
{
    if (vdev->resetting || virtio_get_status(vdev) & VIRTIO_STATUS_DRIVER_OK)
        return;
    vdev->legacy = true;
    vdev->driver_features = value;
    agree(vdev, value & vdev->offered & LEGACY_FEATURES);
}

static bool features_acceptable(const VirtioDevice *vdev)
{
    return !(vdev->driver_features & ~vdev->offered) && vdev->driver_features & BIT(VIRTIO_F_VERSION_1);
}

/* --- status --- */

/* What a write adds; 0 if it may not be. */
static uint8_t status_added(VirtioDevice *vdev, uint8_t value)
{
    uint8_t old = virtio_get_status(vdev);

    if (old & STATUS_DRIVERS & ~value)
        guest_error(device_name(vdev->dev), "status 0x%02x takes bits of 0x%02x away", value, old);
    return value & STATUS_DRIVERS & ~old;
}

void virtio_set_status(VirtioDevice *vdev, uint8_t value)
{
    uint8_t added;

    if (vdev->resetting)
        return;
    if (!value) {
        virtio_reset(vdev);
        return;
    }
    added = status_added(vdev, value);
    if (added & VIRTIO_STATUS_FEATURES_OK) {
        vdev->legacy = false;
        if (features_acceptable(vdev)) {
            agree(vdev, vdev->driver_features);
        } else {
            guest_error(device_name(vdev->dev), "features 0x%" PRIx64 " of 0x%" PRIx64 " cannot be taken",
                        vdev->driver_features, vdev->offered);
            added &= ~VIRTIO_STATUS_FEATURES_OK;
        }
    }
    if (added & VIRTIO_STATUS_DRIVER_OK && !((virtio_get_status(vdev) | added) & VIRTIO_STATUS_FEATURES_OK)) {
        guest_error(device_name(vdev->dev), "DRIVER_OK without FEATURES_OK");
        added &= ~VIRTIO_STATUS_DRIVER_OK;
    }
    status_add(vdev, added);
    if (added & VIRTIO_STATUS_DRIVER_OK)
        virtio_kick_all(vdev);
}

void virtio_set_status_legacy(VirtioDevice *vdev, uint8_t value)
{
    uint8_t added;

    if (vdev->resetting)
        return;
    if (!value) {
        virtio_reset(vdev);
        return;
    }
    vdev->legacy = true;
    added = status_added(vdev, value) & ~VIRTIO_STATUS_FEATURES_OK;
    status_add(vdev, added);
    if (added & VIRTIO_STATUS_DRIVER_OK)
        virtio_kick_all(vdev);
}

void virtio_reset(VirtioDevice *vdev)
{
    if (vdev->resetting)
        return;
    vdev->resetting = true;
    for (unsigned i = 0; i < vdev->queue_count; i++)
        virtio_queue_stop(&vdev->queues[i]);
    vdev->ops->reset(vdev);
    for (unsigned i = 0; i < vdev->queue_count; i++)
        virtio_queue_clear(&vdev->queues[i]);
    timer_del(&vdev->config_timer);
    vdev->legacy = false;
    vdev->driver_features = 0;
    agree(vdev, 0);
    vdev->transport->reset(vdev->transport_opaque);
    __atomic_store_n(&vdev->status, 0, __ATOMIC_RELEASE);
    vdev->resetting = false;
}

/* --- configuration --- */

uint64_t virtio_read_config(VirtioDevice *vdev, uint32_t offset, unsigned size)
{
    uint8_t config[VIRTIO_CONFIG_MAX + 8] = { 0 };

    if (offset >= vdev->ops->config_size)
        return 0;
    vdev->ops->get_config(vdev, config);
    memset(config + vdev->ops->config_size, 0, 8);
    return load_le(config + offset, size);
}

void virtio_write_config(VirtioDevice *vdev, uint32_t offset, unsigned size, uint64_t value)
{
    if (!vdev->resetting && vdev->ops->set_config && range_ok(offset, size, vdev->ops->config_size))
        vdev->ops->set_config(vdev, offset, size, value);
}

/* --- life --- */

/* Popping stops with the VM; what is under way ends. Buffers the driver added meanwhile are looked for on "cont". */
static void run_state_changed(void *opaque, RunState state)
{
    VirtioDevice *vdev = opaque;
    bool stopped = state != RUN_STATE_RUNNING;

    __atomic_store_n(&vdev->stopped, stopped, __ATOMIC_RELEASE);
    if (!stopped)
        virtio_kick_all(vdev);
}

bool virtio_init(VirtioDevice *vdev, Device *dev, const VirtioInit *init, const VirtioTransportOps *transport,
                 void *transport_opaque, GError **errp)
{
    g_assert(init->queue_count <= VIRTIO_QUEUES_MAX && init->ops->config_size <= VIRTIO_CONFIG_MAX);
    vdev->dev = dev;
    vdev->ops = init->ops;
    vdev->transport = transport;
    vdev->transport_opaque = transport_opaque;
    vdev->queue_count = init->queue_count;
    vdev->offered = init->features | common_features(vdev);
    vdev->stopped = !machine_is_running(dev->machine);
    vdev->run_state_watch = (RunStateWatch){ .changed = run_state_changed, .opaque = vdev };
    timer_init(&vdev->config_timer, event_loop_main(), VMCLOCK_MONO, config_timer_fired, vdev);
    vdev->queues = g_new0(VirtioQueue, init->queue_count);
    for (unsigned i = 0; i < init->queue_count; i++) {
        if (!virtio_queue_init(&vdev->queues[i], vdev, i, init, errp)) {
            vdev->queue_count = i;
            virtio_release_queues(vdev);
            timer_release(&vdev->config_timer);
            return false;
        }
    }
    machine_add_run_state_watch(dev->machine, &vdev->run_state_watch);
    return true;
}

void virtio_release(VirtioDevice *vdev)
{
    machine_remove_run_state_watch(vdev->dev->machine, &vdev->run_state_watch);
    virtio_release_queues(vdev);
    timer_release(&vdev->config_timer);
}
