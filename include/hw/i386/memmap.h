/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The map of guest-physical memory as firmware reports it (e820; ACPI 6.5, section 15).
 *
 * Entries are sorted, disjoint and few. The board makes it; the boot loaders look for room in it
 * and hand it to the guest in each protocol's own form.
 */
#ifndef HW_I386_MEMMAP_H
#define HW_I386_MEMMAP_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

/* Address range types, ACPI 6.5 table 15.2. */
typedef enum MemMapType {
    MEMMAP_RAM = 1,
    MEMMAP_RESERVED = 2,
    MEMMAP_ACPI = 3, /* reclaimable */
    MEMMAP_NVS = 4,
} MemMapType;

typedef struct MemMapEntry {
    uint64_t base, size;
    MemMapType type;
} MemMapEntry;

#define MEMMAP_MAX 32

typedef struct MemMap {
    unsigned count;
    MemMapEntry entries[MEMMAP_MAX];
} MemMap;

/* In ascending order; an empty range is left out, one that continues the last is merged with it. */
void memmap_add(MemMap *map, uint64_t base, uint64_t size, MemMapType type);
/* True if all of [base, base + size) is one RAM range. */
bool memmap_is_ram(const MemMap *map, uint64_t base, uint64_t size);
/* Bytes of RAM in [0, limit). */
uint64_t memmap_ram_below(const MemMap *map, uint64_t limit);

#endif
