/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A virtqueue in a small memory, and the driver's side of it in both layouts: the part a guest's
 * kernel plays, so that what the device does can be looked at from there.
 */
#ifndef TESTS_UNIT_VIRTIO_RIG_H
#define TESTS_UNIT_VIRTIO_RIG_H

#include "core/ram.h"
#include "hw/virtio/virtqueue.h"

/* RAM at 0 and, behind a hole, ROM; then the ring, what buffers may use, and indirect tables. */
#define RIG_RAM_SIZE 0x800000
#define RIG_ROM      0x1000000
#define RIG_ROM_SIZE 0x1000
#define RIG_RING     0x10000
#define RIG_INDIRECT 0x20000
#define RIG_DATA     0x80000

typedef struct RigBuffer {
    uint64_t addr;
    uint32_t len;
    bool device_writes;
} RigBuffer;

typedef struct Rig {
    MemoryRegion root, ram_mr, rom_mr;
    RamBlock *ram, *rom;
    AddressSpace as;
    Virtqueue vq;
    VirtqueueConfig config;
    uint64_t features;
    unsigned broken; /* times the device said so */

    /* The driver. */
    bool packed;
    uint16_t next_free;            /* descriptor (split) or ring position (packed) */
    uint16_t avail_idx, used_idx;
    bool avail_wrap, used_wrap;
    unsigned free_count;
    uint16_t chain[VIRTQUEUE_MAX_SIZE]; /* by id: descriptors it takes */
    uint64_t written_events;       /* calls of ram_written */
} Rig;

typedef struct RigElement {
    VirtqElement elem;
    uint32_t tag;
} RigElement;

/* features: bit numbers of EVENT_IDX, INDIRECT_DESC and RING_PACKED count; the queue runs. */
void rig_init(Rig *rig, uint64_t features, uint16_t size);
void rig_release(Rig *rig);
/* Stops and starts the queue, the driver begins anew. */
bool rig_restart(Rig *rig);

/* Makes a buffer available; returns its id. The descriptors are put one behind the other. */
uint16_t rig_add(Rig *rig, const RigBuffer *buffers, unsigned count);
/* The same in an indirect table at addr. */
uint16_t rig_add_indirect(Rig *rig, uint64_t addr, const RigBuffer *buffers, unsigned count);
/* One descriptor as it is written there, made available; flags without AVAIL and USED. */
void rig_add_raw(Rig *rig, uint64_t addr, uint32_t len, uint16_t flags, uint16_t next);
/* The next used buffer; false if there is none. */
bool rig_take(Rig *rig, uint16_t *id, uint32_t *len);
/* The driver's wish. With the event index: an interrupt when `ahead` more entries are used. */
void rig_want_interrupt(Rig *rig, bool on);
void rig_want_interrupt_after(Rig *rig, unsigned ahead);
/* Whether the device asks to be notified of the entry just made available. */
bool rig_must_notify(const Rig *rig);

uint16_t rig_read16(const Rig *rig, uint64_t addr);
void rig_write16(Rig *rig, uint64_t addr, uint16_t value);
void rig_write32(Rig *rig, uint64_t addr, uint32_t value);

#endif
