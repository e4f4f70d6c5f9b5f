/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A driver for virtio-pci devices on qtest: what firmware does (BARs), what a kernel does (features, queues,
 * buffers), for the modern and the legacy interface and both ring layouts.
 */
#ifndef TESTS_DEVICE_VIRTIO_DRIVER_H
#define TESTS_DEVICE_VIRTIO_DRIVER_H

#include "qtest.h"

/* The common configuration of virtio 1.2, 4.1.4.3. */
enum {
    VC_DFSELECT = 0x00, VC_DF = 0x04, VC_GFSELECT = 0x08, VC_GF = 0x0c, VC_MSIX = 0x10, VC_NUMQ = 0x12,
    VC_STATUS = 0x14, VC_GENERATION = 0x15, VC_Q_SELECT = 0x16, VC_Q_SIZE = 0x18, VC_Q_MSIX = 0x1a,
    VC_Q_ENABLE = 0x1c, VC_Q_NOTIFY_OFF = 0x1e, VC_Q_DESC = 0x20, VC_Q_DRIVER = 0x28, VC_Q_DEVICE = 0x30,
    VC_Q_RESET = 0x3a,
};

/* Legacy registers. */
enum {
    VL_HOST_FEATURES = 0, VL_GUEST_FEATURES = 4, VL_PFN = 8, VL_QUEUE_SIZE = 12, VL_QUEUE_SELECT = 14,
    VL_NOTIFY = 16, VL_STATUS = 18, VL_ISR = 19, VL_CONFIG_VECTOR = 20, VL_QUEUE_VECTOR = 22,
};

#define VS_ACKNOWLEDGE 1
#define VS_DRIVER      2
#define VS_DRIVER_OK   4
#define VS_FEATURES_OK 8
#define VS_NEEDS_RESET 0x40

#define F_INDIRECT  (UINT64_C(1) << 28)
#define F_EVENT_IDX (UINT64_C(1) << 29)
#define F_VERSION_1 (UINT64_C(1) << 32)
#define F_PACKED    (UINT64_C(1) << 34)
#define F_RESET     (UINT64_C(1) << 40)

#define VD_IO     0xc000
#define VD_MSIX   0xfd000000u
#define VD_MODERN 0xfd010000u
#define VD_COMMON VD_MODERN
#define VD_ISR    (VD_MODERN + 0x1000)
#define VD_CONFIG (VD_MODERN + 0x2000)
#define VD_NOTIFY (VD_MODERN + 0x3000)

/* Where in RAM: rings, 32 KiB each, then buffers. -m 8 is enough. */
#define VD_RINGS   0x100000u
#define VD_BUFFERS 0x200000u

typedef struct VirtioDriver {
    QTest *qt;
    unsigned slot;
    bool legacy;
    uint64_t features;
} VirtioDriver;

typedef struct VirtioBuffer {
    uint64_t addr;
    uint32_t len;
    bool device_writes;
} VirtioBuffer;

typedef struct VirtioRing {
    VirtioDriver *drv;
    unsigned index, size;
    bool packed;
    uint64_t desc, driver, device;
    uint16_t next, avail, used; /* next free descriptor, available index or position, used likewise */
    bool avail_wrap, used_wrap;
    uint16_t chain[256];        /* packed: descriptors by id */
    unsigned added;             /* entries since the last vd_kick */
} VirtioRing;

uint32_t vd_config_read(VirtioDriver *drv, unsigned offset, unsigned size);
void vd_config_write(VirtioDriver *drv, unsigned offset, unsigned size, uint32_t value);
/* Offset of the n-th capability of that id, 0 if there is none. */
unsigned vd_find_cap(VirtioDriver *drv, uint8_t id, unsigned n);

/* BARs assigned, everything enabled; the device in slot is reset. */
void vd_open(VirtioDriver *drv, QTest *qt, unsigned slot, bool legacy);
uint8_t vd_status(VirtioDriver *drv);
void vd_set_status(VirtioDriver *drv, uint8_t status);
uint64_t vd_offered(VirtioDriver *drv);
/* ACKNOWLEDGE, DRIVER, features (cut to what is offered), FEATURES_OK. */
void vd_negotiate(VirtioDriver *drv, uint64_t features);
void vd_driver_ok(VirtioDriver *drv);
/* negotiate, queue 0 of that size, driver_ok. size is the device's own with the legacy interface. */
void vd_start(VirtioDriver *drv, VirtioRing *ring, uint64_t features, unsigned size);
/* Writes the modern common configuration. */
void vd_common(VirtioDriver *drv, unsigned offset, unsigned size, uint64_t value);
uint32_t vd_common_get(VirtioDriver *drv, unsigned offset, unsigned size);

/* Clears the memory of the ring and enables it. */
void vd_queue(VirtioRing *ring, VirtioDriver *drv, unsigned index, unsigned size);
void vd_notify(VirtioRing *ring);
/* The same, if the device asked for it: what a driver does. */
void vd_kick(VirtioRing *ring);
/* Makes a buffer available, without a notification; its id. */
uint16_t vd_add(VirtioRing *ring, const VirtioBuffer *buffers, unsigned count);
/* Waits for the next used buffer. */
uint16_t vd_wait_used(VirtioRing *ring, uint32_t *len);
/* True if there is one now; then it is taken. */
bool vd_take(VirtioRing *ring, uint16_t *id, uint32_t *len);
/* add, kick, wait: the length the device wrote. */
uint32_t vd_do(VirtioRing *ring, const VirtioBuffer *buffers, unsigned count);
/* Waits until the status has these bits. */
void vd_wait_status(VirtioDriver *drv, uint8_t bits);

/* MSI-X vector n sends LAPIC vector v to CPU 0; enables MSI-X. */
void vd_msix_route(VirtioDriver *drv, unsigned n, uint8_t v);
/* LAPIC vector v in CPU 0's IRR, where it stays: no CPU runs. */
bool vd_lapic_has(QTest *qt, uint8_t v);
void vd_wait_lapic(QTest *qt, uint8_t v);

/* A counter for waits: fails the test after QT_TIMEOUT_MS. */
typedef struct VdWait {
    int64_t deadline_us;
} VdWait;
void vd_wait(VdWait *wait, const char *what);

#endif
