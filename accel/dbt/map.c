/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The guest-physical map as the MMU wants it: page number to host page, two levels deep.
 *
 * A chunk of 2 MiB is built from the sections of machine->memory when it is first asked for, and
 * rewritten in place when a commit touches it, so chunks live as long as the map and readers need
 * no lock. A page only partly RAM (or made of two regions) is treated as MMIO.
 *
 * Pages of RAM blocks have a MapPage each, found by block, not by address: code decoded through one
 * alias is noticed when written through another. They are never freed before the map is, so a
 * device thread that lags behind a commit only touches stale counters.
 *
 * Locking: lock guards sections, blocks and the building of chunks; code_lock see code.c. A commit
 * (machine_lock held) rewrites chunks within an exclusive section and leaves every vCPU the order
 * to flush before it enters guest code again.
 */
#include "accel/dbt/mmu-priv.h"

#include <errno.h>
#include <sys/mman.h>

#define CHUNK_BITS 21
#define CHUNK_PAGES (1u << (CHUNK_BITS - GUEST_PAGE_BITS))
#define MAP_BITS 42 /* addresses above go through the sections each time */
#define MAP_CHUNKS (1ull << (MAP_BITS - CHUNK_BITS))

/* All pages of one RAM block. */
typedef struct MapBlock {
    RamBlock *ram;
    const uint8_t *host;
    uint64_t pages;
    MapPage *page;
} MapBlock;

typedef struct MapRange {
    uint64_t addr, size;
} MapRange;

struct DbtMap {
    DbtAccel *accel;
    Machine *machine;
    MemoryListener listener;
    GMutex lock;
    GMutex code_lock;
    GArray *sections; /* of MemorySection, RAM and ROM only, sorted by address */
    GArray *blocks;   /* of MapBlock */
    GArray *changed;  /* of MapRange: of the transaction that is being reported */
    bool lost;        /* RAM went away in it */
    MapEntry **chunks;     /* MAP_CHUNKS, mostly untouched */
    GPtrArray *chunk_list; /* those that exist */
};

AddressSpace *dbt_map_space(DbtMap *map)
{
    return &map->machine->memory;
}

DbtAccel *dbt_map_accel(DbtMap *map)
{
    return map->accel;
}

GMutex *dbt_map_code_lock(DbtMap *map)
{
    return &map->code_lock;
}

static void *map_anonymous(uint64_t size)
{
    void *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

    return p == MAP_FAILED ? NULL : p;
}

/* The pages of a RAM block; NULL if their table can't be had (the block is then treated as MMIO,
 * slow but right). lock held. */
static MapPage *block_pages(DbtMap *map, RamBlock *ram)
{
    MapBlock block = { ram, ram->host, align_up(ram->size, GUEST_PAGE_SIZE) / GUEST_PAGE_SIZE, NULL };

    for (guint i = 0; i < map->blocks->len; i++) {
        const MapBlock *b = &g_array_index(map->blocks, MapBlock, i);
        if (b->ram == ram && b->host == ram->host && b->pages == block.pages)
            return b->page;
    }
    block.page = map_anonymous(block.pages * sizeof(MapPage));
    if (!block.page)
        return NULL;
    g_array_append_val(map->blocks, block);
    return block.page;
}

/* The entry of the page at gpa, from the sections. lock held. */
static MapEntry entry_from_sections(DbtMap *map, uint64_t gpa)
{
    guint low = 0, high = map->sections->len;

    while (low < high) {
        guint mid = low + (high - low) / 2;
        const MemorySection *s = &g_array_index(map->sections, MemorySection, mid);
        if (gpa < s->addr) {
            high = mid;
        } else if (gpa - s->addr >= s->size) {
            low = mid + 1;
        } else {
            uint64_t offset = s->mr->ram_offset + s->mr_offset + (gpa - s->addr);
            MapPage *pages;
            if (!range_ok(gpa - s->addr, GUEST_PAGE_SIZE, s->size) || offset % GUEST_PAGE_SIZE)
                break;
            pages = block_pages(map, s->mr->ram);
            if (!pages)
                break;
            return (MapEntry){ s->mr->ram->host + offset, &pages[offset / GUEST_PAGE_SIZE], s->read_only };
        }
    }
    return (MapEntry){ 0 };
}

/* lock held. */
static void chunk_fill(DbtMap *map, MapEntry *chunk, uint64_t number)
{
    for (unsigned i = 0; i < CHUNK_PAGES; i++) {
        MapEntry e = entry_from_sections(map, number << CHUNK_BITS | (uint64_t)i << GUEST_PAGE_BITS);
        __atomic_store_n(&chunk[i].page, e.page, __ATOMIC_RELEASE);
        chunk[i].host = e.host;
        chunk[i].read_only = e.read_only;
    }
}

static MapEntry lookup_slow(DbtMap *map, uint64_t gpa)
{
    uint64_t number = gpa >> CHUNK_BITS;
    MapEntry *chunk;
    MapEntry e;

    g_mutex_lock(&map->lock);
    if (number >= MAP_CHUNKS) {
        e = entry_from_sections(map, gpa & GUEST_PAGE_MASK);
        g_mutex_unlock(&map->lock);
        return e;
    }
    chunk = map->chunks[number];
    if (!chunk) {
        chunk = g_new0(MapEntry, CHUNK_PAGES);
        g_ptr_array_add(map->chunk_list, chunk);
        chunk_fill(map, chunk, number);
        __atomic_store_n(&map->chunks[number], chunk, __ATOMIC_RELEASE);
    }
    e = chunk[gpa >> GUEST_PAGE_BITS & (CHUNK_PAGES - 1)];
    g_mutex_unlock(&map->lock);
    return e;
}

MapEntry dbt_map_lookup(DbtMap *map, uint64_t gpa)
{
    uint64_t number = gpa >> CHUNK_BITS;
    MapEntry *chunk;

    if (number >= MAP_CHUNKS)
        return lookup_slow(map, gpa);
    chunk = __atomic_load_n(&map->chunks[number], __ATOMIC_ACQUIRE);
    if (!chunk)
        return lookup_slow(map, gpa);
    return chunk[gpa >> GUEST_PAGE_BITS & (CHUNK_PAGES - 1)];
}

static void map_begin(MemoryListener *listener)
{
    DbtMap *map = listener->opaque;

    g_array_set_size(map->changed, 0);
    map->lost = false;
}

static bool section_is_memory(const MemorySection *section)
{
    return section->mr->kind == MEMORY_REGION_RAM || section->mr->kind == MEMORY_REGION_ROM;
}

static void note_change(DbtMap *map, const MemorySection *section)
{
    MapRange range = { section->addr, section->size };

    g_array_append_val(map->changed, range);
}

static void map_section_del(MemoryListener *listener, const MemorySection *section)
{
    DbtMap *map = listener->opaque;

    if (!section_is_memory(section))
        return;
    g_mutex_lock(&map->lock);
    for (guint i = 0; i < map->sections->len; i++) {
        if (g_array_index(map->sections, MemorySection, i).addr == section->addr) {
            g_array_remove_index(map->sections, i);
            break;
        }
    }
    g_mutex_unlock(&map->lock);
    note_change(map, section);
    map->lost = true;
}

static void map_section_add(MemoryListener *listener, const MemorySection *section)
{
    DbtMap *map = listener->opaque;
    guint i = 0;

    if (!section_is_memory(section))
        return;
    g_mutex_lock(&map->lock);
    while (i < map->sections->len && g_array_index(map->sections, MemorySection, i).addr < section->addr)
        i++;
    g_array_insert_val(map->sections, i, *section);
    g_mutex_unlock(&map->lock);
    note_change(map, section);
}

/* Rewrites the chunks of a range that exist. */
static void refresh_range(DbtMap *map, const MapRange *range)
{
    uint64_t last = (range->addr + (range->size - 1)) >> CHUNK_BITS;

    for (uint64_t n = range->addr >> CHUNK_BITS; n <= last && n < MAP_CHUNKS; n++) {
        if (map->chunks[n])
            chunk_fill(map, map->chunks[n], n);
    }
}

static void map_commit(MemoryListener *listener)
{
    DbtMap *map = listener->opaque;

    if (!map->changed->len)
        return;
    dbt_exclusive_begin(map->accel);
    g_mutex_lock(&map->lock);
    for (guint i = 0; i < map->changed->len; i++)
        refresh_range(map, &g_array_index(map->changed, MapRange, i));
    g_mutex_unlock(&map->lock);
    if (map->lost) { /* what was added only is in no TLB: device pages never are */
        for (guint i = 0; i < map->accel->vcpus->len; i++) {
            DbtVcpu *v = g_ptr_array_index(map->accel->vcpus, i);
            __atomic_store_n(&v->mmu->map_changed, true, __ATOMIC_RELEASE);
            vcpu_request(v->cpu, VCPU_REQ_ACCEL); /* dbt_mmu_sync, before it runs guest code again */
        }
    }
    dbt_exclusive_end(map->accel);
}

/* AddressSpace.ram_written: somebody who is no vCPU has written RAM. */
static void map_ram_written(void *opaque, uint64_t addr, uint64_t len)
{
    DbtMap *map = opaque;

    while (len) {
        unsigned offset = (unsigned)(addr & ~GUEST_PAGE_MASK);
        unsigned part = (unsigned)MIN(len, GUEST_PAGE_SIZE - offset);
        MapPage *page = dbt_map_lookup(map, addr).page;
        if (page)
            code_written(NULL, map, page, offset, part);
        addr += part;
        len -= part;
    }
}

bool dbt_map_init(DbtAccel *accel, Machine *machine, GError **errp)
{
    DbtMap *map = g_new0(DbtMap, 1);

    map->chunks = map_anonymous(MAP_CHUNKS * sizeof(*map->chunks));
    if (!map->chunks) {
        g_free(map);
        return error_set_errno(errp, errno, "dbt: address space for the table of guest memory");
    }
    map->accel = accel;
    map->machine = machine;
    g_mutex_init(&map->lock);
    g_mutex_init(&map->code_lock);
    map->sections = g_array_new(false, false, sizeof(MemorySection));
    map->blocks = g_array_new(false, false, sizeof(MapBlock));
    map->changed = g_array_new(false, false, sizeof(MapRange));
    map->chunk_list = g_ptr_array_new_with_free_func(g_free);
    map->listener = (MemoryListener){
        .begin = map_begin,
        .section_del = map_section_del,
        .section_add = map_section_add,
        .commit = map_commit,
        .opaque = map,
    };
    accel->map = map;
    address_space_add_listener(&machine->memory, &map->listener);
    machine->memory.ram_written_opaque = map;
    machine->memory.ram_written = map_ram_written;
    return true;
}

void dbt_map_release(DbtAccel *accel)
{
    DbtMap *map = accel->map;

    if (!map)
        return;
    map->machine->memory.ram_written = NULL;
    address_space_remove_listener(&map->machine->memory, &map->listener);
    g_ptr_array_unref(map->chunk_list);
    munmap(map->chunks, MAP_CHUNKS * sizeof(*map->chunks));
    for (guint i = 0; i < map->blocks->len; i++) {
        const MapBlock *b = &g_array_index(map->blocks, MapBlock, i);
        munmap(b->page, b->pages * sizeof(MapPage));
    }
    g_array_unref(map->sections);
    g_array_unref(map->blocks);
    g_array_unref(map->changed);
    g_mutex_clear(&map->lock);
    g_mutex_clear(&map->code_lock);
    g_clear_pointer(&accel->map, g_free);
}
