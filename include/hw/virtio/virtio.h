/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Virtio devices, whatever carries them: status, features, configuration, queues.
 * Source: Virtual I/O Device (VIRTIO) 1.2, chapters 2 and 3; legacy interface: 0.9.5.
 *
 * A device (hw/block/virtio-blk.h) embeds VirtioDevice and brings a VirtioDeviceOps. A transport
 * (hw/virtio/virtio-pci.h) shows it to the guest: it decodes registers, calls what is below, and is
 * called through VirtioTransportOps for interrupts.
 *
 * The status register, and what its bits allow (2.1, 3.1.1):
 *
 *     0 --> ACKNOWLEDGE --> DRIVER --> features --> FEATURES_OK --> queues --> DRIVER_OK
 *     ^                                                                          |
 *     +---- write of 0, from anywhere: queues stop, requests end -- NEEDS_RESET <+ the driver broke a rule
 *
 *     write of                 effect
 *     0                        reset; the register reads as before until it is done
 *     FEATURES_OK              sticks if the features are a subset of those offered and have VERSION_1; latches them
 *     DRIVER_OK                needs FEATURES_OK (not with the legacy interface); queues are served from now on
 *     fewer bits than set      a bit never goes but by reset
 *     NEEDS_RESET              the device's: ignored
 *
 * The legacy interface has no FEATURES_OK: its features are latched as they are written, and a queue is
 * served when it has an address and is notified, be there DRIVER_OK or not (drivers of that time did so).
 *
 * A queue:
 *
 *              virtio_queue_enable             virtio_queue_reset (RING_RESET)        last buffer out returned
 *     DISABLED -------------------> ENABLED ------------------------------> RESETTING -------------------> DISABLED
 *        ^                             |                                        |
 *        +------------- device reset --+----------------------------------------+
 *
 * Threads: a queue is served on its loop: the main loop, or an I/O thread's without machine_lock.
 * Registers are the transport's, under machine_lock. What both touch is under the queue's lock (order:
 * machine_lock, then the queue's lock, then nothing of a device's above it); status and stopped are atomic. An
 * interrupt is sent without any of a queue's locks.
 */
#ifndef HW_VIRTIO_VIRTIO_H
#define HW_VIRTIO_VIRTIO_H

#include "core/device.h"
#include "core/loop.h"
#include "core/runstate.h"
#include "hw/virtio/virtqueue.h"

#define VIRTIO_QUEUES_MAX 1024
#define VIRTIO_CONFIG_MAX 256 /* bytes of device configuration */
#define VIRTIO_NO_VECTOR  0xffff

/* Device status, 2.1. */
#define VIRTIO_STATUS_ACKNOWLEDGE 0x01
#define VIRTIO_STATUS_DRIVER      0x02
#define VIRTIO_STATUS_DRIVER_OK   0x04
#define VIRTIO_STATUS_FEATURES_OK 0x08
#define VIRTIO_STATUS_NEEDS_RESET 0x40
#define VIRTIO_STATUS_FAILED      0x80

typedef struct VirtioDevice VirtioDevice;
typedef struct VirtioQueue VirtioQueue;

struct VirtioQueue {
    Virtqueue vq; /* first; lock, ring */
    VirtioDevice *vdev;
    unsigned index;

    /* What the driver writes before it enables the queue; machine_lock. */
    VirtqueueConfig config;
    uint16_t vector; /* atomic: the transport reads it when it sends the interrupt */

    /* vq.lock. */
    bool enabled, resetting;
    bool flush_queued;

    EventLoop *loop;
    int kick_fd;      /* eventfd: the driver notifies */
    guint kick_watch;
};

typedef struct VirtioDeviceOps {
    uint16_t device_id;   /* virtio 1.2, 5 */
    uint32_t config_size; /* bytes; at most VIRTIO_CONFIG_MAX */
    /* Fills in the whole configuration, zeroed before. machine_lock. */
    void (*get_config)(VirtioDevice *vdev, uint8_t *config);
    /* The driver wrote size bytes at offset, within the configuration. May be NULL. machine_lock. */
    void (*set_config)(VirtioDevice *vdev, uint32_t offset, unsigned size, uint64_t value);
    /* vdev->features are agreed. May be NULL. machine_lock. */
    void (*features_set)(VirtioDevice *vdev);
    /* Buffers may have come. On the queue's loop, q's lock held. */
    void (*handle_queue)(VirtioQueue *q);
    /* Calls serve(q) on the thread that notified, and may finish what is done at once: the driver sees all of it together. May
     * be NULL. machine_lock, q's lock not held. */
    void (*serve_here)(VirtioQueue *q, void (*serve)(VirtioQueue *q));
    /* The queue is being reset: buffers that no backend works on are to be dropped. q's lock held. May be NULL. */
    void (*queue_reset)(VirtioQueue *q);
    /* The queues have stopped: waits until no request is out, then puts the device's own state to its
     * initial values. May let go of machine_lock meanwhile. */
    void (*reset)(VirtioDevice *vdev);
} VirtioDeviceOps;

typedef struct VirtioTransportOps {
    /* The driver is to look at q's used buffers. Any thread, no queue's lock held. */
    void (*notify_queue)(void *opaque, VirtioQueue *q);
    /* The configuration changed, or the device needs a reset. machine_lock. */
    void (*notify_config)(void *opaque);
    /* False: the device may not reach memory now (bus mastering is off). Any thread. */
    bool (*can_dma)(void *opaque);
    /* The device has been reset: the transport's own registers follow. machine_lock. */
    void (*reset)(void *opaque);
} VirtioTransportOps;

struct VirtioDevice {
    /* Wiring, from virtio_init to virtio_release. */
    Device *dev; /* the transport's: name and machine */
    const VirtioDeviceOps *ops;
    const VirtioTransportOps *transport;
    void *transport_opaque;
    VirtioQueue *queues;
    unsigned queue_count;
    Timer config_timer; /* makes notify_config come from the main loop */
    RunStateWatch run_state_watch;

    /* The guest's view. */
    uint8_t status; /* atomic */
    uint8_t config_generation;
    bool legacy;    /* the driver uses the legacy interface */
    uint64_t offered, driver_features;
    uint64_t features; /* agreed; latched */

    bool resetting; /* the requests of before are being waited for */
    bool stopped;   /* atomic: the VM does not run */

    /* Properties: VIRTIO_DEVICE_PROPS. */
    bool indirect_desc, event_idx, packed, queue_reset, any_layout;
};

/* Rows for the property table of a device that embeds VirtioDevice as FIELD of TYPE. */
#define VIRTIO_DEVICE_PROPS(TYPE, FIELD) \
    {"indirect_desc", PROP_BOOL, offsetof(TYPE, FIELD.indirect_desc), "on", "offer indirect descriptors", NULL, 0, 0}, \
    {"event_idx", PROP_BOOL, offsetof(TYPE, FIELD.event_idx), "on", "offer the event index", NULL, 0, 0}, \
    {"packed", PROP_BOOL, offsetof(TYPE, FIELD.packed), "off", "offer the packed ring layout", NULL, 0, 0}, \
    {"queue_reset", PROP_BOOL, offsetof(TYPE, FIELD.queue_reset), "on", "offer the reset of single queues", NULL, 0, 0}, \
    {"any_layout", PROP_BOOL, offsetof(TYPE, FIELD.any_layout), "on", "take requests cut anywhere (legacy)", NULL, 0, 0}

/* --- for devices --- */

/* What a device asks for. */
typedef struct VirtioInit {
    const VirtioDeviceOps *ops;
    uint64_t features;    /* its own bits; those of ring and transport are added */
    unsigned queue_count;
    uint16_t queue_size;
    size_t element_size;  /* of a request, which begins with VirtqElement */
    EventLoop *loop;      /* NULL: the main loop */
} VirtioInit;

/* dev: the realized transport's. False with an error: no eventfd can be had. */
bool virtio_init(VirtioDevice *vdev, Device *dev, const VirtioInit *init, const VirtioTransportOps *transport,
                 void *transport_opaque, GError **errp);
/* After a reset. Waits for the queues' loop. */
void virtio_release(VirtioDevice *vdev);
static inline bool virtio_has(const VirtioDevice *vdev, unsigned feature)
{
    return vdev->features >> feature & 1;
}

/* Around virtqueue_* calls outside handle_queue. Unlock shows the driver what was pushed and sends the
 * interrupt it wants for that. */
void virtio_queue_lock(VirtioQueue *q);
void virtio_queue_unlock(VirtioQueue *q);
/* The same for a completion on the queue's loop when more may follow in this turn: one flush for all. */
void virtio_queue_unlock_batched(VirtioQueue *q);
/* The driver broke a rule of the device's: q is stopped and the device needs a reset. q's lock held. */
#define virtio_queue_broken(q, ...) virtqueue_set_broken(&(q)->vq, __VA_ARGS__)
/* The device's configuration changed by itself. machine_lock. */
void virtio_config_changed(VirtioDevice *vdev);

/* --- for transports; machine_lock, except as noted --- */

/* System reset as well as a write of 0. May let go of machine_lock; calls meanwhile have no effect. */
void virtio_reset(VirtioDevice *vdev);
uint8_t virtio_get_status(const VirtioDevice *vdev);
void virtio_set_status(VirtioDevice *vdev, uint8_t status);
/* The legacy interface's: another machine, as above. */
void virtio_set_status_legacy(VirtioDevice *vdev, uint8_t status);
/* half 0: bits 0..31, 1: bits 32..63; others read as 0 and are ignored. */
uint32_t virtio_get_offered(const VirtioDevice *vdev, uint32_t half);
uint32_t virtio_get_driver_features(const VirtioDevice *vdev, uint32_t half);
void virtio_set_driver_features(VirtioDevice *vdev, uint32_t half, uint32_t value);
void virtio_set_features_legacy(VirtioDevice *vdev, uint32_t value);
/* Any size and offset; beyond the configuration there is nothing. */
uint64_t virtio_read_config(VirtioDevice *vdev, uint32_t offset, unsigned size);
void virtio_write_config(VirtioDevice *vdev, uint32_t offset, unsigned size, uint64_t value);

/* NULL: there is no such queue. */
VirtioQueue *virtio_queue(VirtioDevice *vdev, unsigned index);
/* From the configuration in q. What is wrong with it makes the device need a reset. */
void virtio_queue_enable(VirtioQueue *q);
/* Legacy: address 0 takes the queue away. */
void virtio_queue_disable(VirtioQueue *q);
void virtio_queue_reset(VirtioQueue *q);
bool virtio_queue_is_enabled(VirtioQueue *q);
bool virtio_queue_is_resetting(VirtioQueue *q);
/* The driver notified, and no ioeventfd took it. */
void virtio_queue_kick(VirtioQueue *q);
/* What kept the queues from being served may be gone (bus mastering): looks at all of them again. */
void virtio_kick_all(VirtioDevice *vdev);

#endif
