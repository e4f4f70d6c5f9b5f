/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "virtio-rig.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "core/bits.h"
#include "core/lock.h"
#include "hw/virtio/ring.h"

static void queue_broken(Virtqueue *vq)
{
    ((Rig *)vq->opaque)->broken++;
}

static void ram_written(void *opaque, uint64_t addr, uint64_t len)
{
    Rig *rig = opaque;

    assert_true(len > 0 && addr + len <= RIG_RAM_SIZE);
    rig->written_events++;
}

static void driver_begin(Rig *rig)
{
    memset(rig->ram->host + RIG_RING, 0, RIG_INDIRECT - RIG_RING);
    rig->next_free = rig->avail_idx = rig->used_idx = 0;
    rig->avail_wrap = rig->used_wrap = true;
    rig->free_count = rig->config.size;
}

void rig_init(Rig *rig, uint64_t features, uint16_t size)
{
    RamOptions options = { .size = RIG_RAM_SIZE, .seal = true };

    *rig = (Rig){ .features = features, .packed = features & BIT(VIRTIO_F_RING_PACKED) };
    rig->ram = ram_block_new("ram", &options, NULL);
    rig->rom = ram_block_new_anon("rom", RIG_ROM_SIZE, NULL);
    assert_true(rig->ram && rig->rom);
    machine_lock();
    memory_region_init_container(&rig->root, "root", MEMORY_SPACE_SIZE);
    memory_region_init_ram(&rig->ram_mr, "ram", rig->ram, 0, RIG_RAM_SIZE);
    memory_region_init_rom(&rig->rom_mr, "rom", rig->rom, 0, RIG_ROM_SIZE);
    address_space_init(&rig->as, &rig->root, "rig");
    memory_region_add(&rig->root, 0, &rig->ram_mr, 0);
    memory_region_add(&rig->root, RIG_ROM, &rig->rom_mr, 0);
    machine_unlock();
    rig->as.ram_written = ram_written;
    rig->as.ram_written_opaque = rig;
    virtqueue_init(&rig->vq, &rig->as, "rig", 0, MAX(size, 256), sizeof(RigElement), queue_broken, rig);
    rig->config = (VirtqueueConfig){
        .desc = RIG_RING,
        .driver = RIG_RING + 0x8000,
        .device = RIG_RING + 0xa000,
        .size = size,
    };
    driver_begin(rig);
    assert_true(virtqueue_start(&rig->vq, &rig->config, features));
}

bool rig_restart(Rig *rig)
{
    virtqueue_stop(&rig->vq);
    driver_begin(rig);
    return virtqueue_start(&rig->vq, &rig->config, rig->features);
}

void rig_release(Rig *rig)
{
    virtqueue_stop(&rig->vq);
    virtqueue_release(&rig->vq);
    machine_lock();
    memory_region_remove(&rig->ram_mr);
    memory_region_remove(&rig->rom_mr);
    address_space_release(&rig->as);
    memory_region_release(&rig->ram_mr);
    memory_region_release(&rig->rom_mr);
    memory_region_release(&rig->root);
    machine_unlock();
    ram_block_free(rig->ram);
    ram_block_free(rig->rom);
}

uint16_t rig_read16(const Rig *rig, uint64_t addr)
{
    return load_le(rig->ram->host + addr, 2);
}

void rig_write16(Rig *rig, uint64_t addr, uint16_t value)
{
    store_le(rig->ram->host + addr, value, 2);
}

void rig_write32(Rig *rig, uint64_t addr, uint32_t value)
{
    store_le(rig->ram->host + addr, value, 4);
}

/* --- writing descriptors --- */

static RingDesc *table_row(Rig *rig, uint64_t table, unsigned i)
{
    return (RingDesc *)(void *)(rig->ram->host + table + sizeof(RingDesc) * i);
}

static void split_make_available(Rig *rig, uint16_t head)
{
    rig_write16(rig, rig->config.driver + 4 + 2 * (rig->avail_idx % rig->config.size), head);
    rig_write16(rig, rig->config.driver + 2, ++rig->avail_idx);
}

static uint16_t split_add(Rig *rig, const RigBuffer *buffers, unsigned count)
{
    uint16_t head = rig->next_free;

    for (unsigned i = 0; i < count; i++) {
        uint16_t at = rig->next_free;
        rig->next_free = (at + 1) % rig->config.size;
        *table_row(rig, rig->config.desc, at) = (RingDesc){
            .addr = buffers[i].addr,
            .len = buffers[i].len,
            .split = { (i + 1 < count ? DESC_F_NEXT : 0) | (buffers[i].device_writes ? DESC_F_WRITE : 0),
                       rig->next_free },
        };
    }
    split_make_available(rig, head);
    return head;
}

static uint16_t packed_flags(const Rig *rig)
{
    return rig->avail_wrap ? DESC_F_AVAIL : DESC_F_USED;
}

static void packed_put(Rig *rig, uint64_t addr, uint32_t len, uint16_t flags, uint16_t id)
{
    *table_row(rig, rig->config.desc, rig->avail_idx) = (RingDesc){
        .addr = addr,
        .len = len,
        .packed = { id, flags | packed_flags(rig) },
    };
    if (++rig->avail_idx == rig->config.size) {
        rig->avail_idx = 0;
        rig->avail_wrap = !rig->avail_wrap;
    }
}

static uint16_t packed_add(Rig *rig, const RigBuffer *buffers, unsigned count)
{
    uint16_t id = rig->next_free;

    rig->next_free = (id + 1) % rig->config.size;
    for (unsigned i = 0; i < count; i++)
        packed_put(rig, buffers[i].addr, buffers[i].len,
                   (i + 1 < count ? DESC_F_NEXT : 0) | (buffers[i].device_writes ? DESC_F_WRITE : 0), id);
    rig->chain[id] = count;
    return id;
}

uint16_t rig_add(Rig *rig, const RigBuffer *buffers, unsigned count)
{
    assert_true(count <= rig->free_count);
    rig->free_count -= count;
    uint16_t id = rig->packed ? packed_add(rig, buffers, count) : split_add(rig, buffers, count);
    rig->chain[id] = count;
    return id;
}

void rig_add_raw(Rig *rig, uint64_t addr, uint32_t len, uint16_t flags, uint16_t next)
{
    if (rig->packed) {
        packed_put(rig, addr, len, flags, next);
    } else {
        *table_row(rig, rig->config.desc, rig->next_free) = (RingDesc){ addr, len, { { flags, next } } };
        split_make_available(rig, rig->next_free);
        rig->next_free = (rig->next_free + 1) % rig->config.size;
    }
}

uint16_t rig_add_indirect(Rig *rig, uint64_t addr, const RigBuffer *buffers, unsigned count)
{
    uint16_t id = rig->next_free;

    for (unsigned i = 0; i < count; i++) {
        uint16_t flags = buffers[i].device_writes ? DESC_F_WRITE : 0;
        RingDesc *row = table_row(rig, addr, i);
        *row = (RingDesc){ .addr = buffers[i].addr, .len = buffers[i].len };
        if (rig->packed) {
            row->packed.flags = flags;
        } else {
            row->split.flags = flags | (i + 1 < count ? DESC_F_NEXT : 0);
            row->split.next = i + 1;
        }
    }
    rig->free_count--;
    rig->chain[id] = 1;
    if (rig->packed)
        rig->next_free = (id + 1) % rig->config.size;
    rig_add_raw(rig, addr, sizeof(RingDesc) * count, DESC_F_INDIRECT, id);
    return id;
}

/* --- what the device gave back --- */

static bool split_take(Rig *rig, uint16_t *id, uint32_t *len)
{
    uint64_t row = rig->config.device + 4 + 8 * (rig->used_idx % rig->config.size);

    if (rig_read16(rig, rig->config.device + 2) == rig->used_idx)
        return false;
    rig->used_idx++;
    *id = load_le(rig->ram->host + row, 4);
    *len = load_le(rig->ram->host + row + 4, 4);
    return true;
}

static bool packed_take(Rig *rig, uint16_t *id, uint32_t *len)
{
    RingDesc *row = table_row(rig, rig->config.desc, rig->used_idx);
    bool avail = row->packed.flags & DESC_F_AVAIL, used = row->packed.flags & DESC_F_USED;

    if (avail != rig->used_wrap || used != rig->used_wrap)
        return false;
    *id = row->packed.id;
    *len = row->len;
    rig->used_idx += rig->chain[*id];
    if (rig->used_idx >= rig->config.size) {
        rig->used_idx -= rig->config.size;
        rig->used_wrap = !rig->used_wrap;
    }
    return true;
}

bool rig_take(Rig *rig, uint16_t *id, uint32_t *len)
{
    if (!(rig->packed ? packed_take(rig, id, len) : split_take(rig, id, len)))
        return false;
    rig->free_count += rig->chain[*id];
    return true;
}

void rig_want_interrupt(Rig *rig, bool on)
{
    rig_write16(rig, rig->config.driver + (rig->packed ? 2 : 0), on ? 0 : 1);
}

void rig_want_interrupt_after(Rig *rig, unsigned ahead)
{
    unsigned at = rig->used_idx + ahead - 1;

    if (!rig->packed) {
        rig_write16(rig, rig->config.driver + 4 + 2 * rig->config.size, at);
        return;
    }
    bool wrap = rig->used_wrap;
    if (at >= rig->config.size) {
        at -= rig->config.size;
        wrap = !wrap;
    }
    rig_write16(rig, rig->config.driver, at | (wrap ? 0x8000 : 0));
    rig_write16(rig, rig->config.driver + 2, 2);
}

bool rig_must_notify(const Rig *rig)
{
    if (!rig->packed) {
        if (rig->features & BIT(VIRTIO_F_EVENT_IDX))
            return rig_read16(rig, rig->config.device + 4 + 8 * rig->config.size) == (uint16_t)(rig->avail_idx - 1);
        return !(rig_read16(rig, rig->config.device) & 1);
    }
    uint16_t flags = rig_read16(rig, rig->config.device + 2), event = rig_read16(rig, rig->config.device);
    uint16_t last = (rig->avail_idx ? rig->avail_idx : rig->config.size) - 1;
    bool last_wrap = rig->avail_idx ? rig->avail_wrap : !rig->avail_wrap;
    return flags == 2 ? event == (last | (last_wrap ? 0x8000 : 0)) : flags == 0;
}
