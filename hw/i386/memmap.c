/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The map of guest-physical memory (e820).
 */
#include "hw/i386/memmap.h"

#include "core/bits.h"

void memmap_add(MemMap *map, uint64_t base, uint64_t size, MemMapType type)
{
    if (!size)
        return;
    if (map->count) {
        MemMapEntry *last = &map->entries[map->count - 1];
        g_assert(base >= last->base + last->size);
        if (last->type == type && last->base + last->size == base) {
            last->size += size;
            return;
        }
    }
    g_assert(map->count < MEMMAP_MAX);
    map->entries[map->count++] = (MemMapEntry){base, size, type};
}

bool memmap_is_ram(const MemMap *map, uint64_t base, uint64_t size)
{
    for (unsigned i = 0; i < map->count; i++) {
        const MemMapEntry *e = &map->entries[i];
        if (e->type == MEMMAP_RAM && base >= e->base && range_ok(base - e->base, size, e->size))
            return true;
    }
    return false;
}

uint64_t memmap_ram_below(const MemMap *map, uint64_t limit)
{
    uint64_t sum = 0;
    for (unsigned i = 0; i < map->count; i++) {
        const MemMapEntry *e = &map->entries[i];
        if (e->type == MEMMAP_RAM && e->base < limit)
            sum += MIN(e->size, limit - e->base);
    }
    return sum;
}
