/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Self-modifying and cross-modifying code: nobody runs a decoded copy of bytes that have changed.
 *
 * Each page has a generation that blocks remember and compare when they are entered. A page is
 * watched in granules of 64 bytes. Two kinds of writers exist:
 *
 *   through a write entry of a TLB    unchecked, so no entry may exist while a granule is watched
 *   all others (slow stores, devices) write, fence, then look at the granules
 *
 *     watch (vCPU A)                               fill of a write entry (vCPU B)
 *     1 granules |= mask, read generation          1 writers |= B
 *     2 read writers; if others: exclusive         2 read granules; if any: no entry
 *       section, drop their entries
 *     3 read the bytes
 *
 *     slow write (vCPU or device)
 *     1 write the bytes
 *     2 read granules; if hit: generation++, granules = 0 (all blocks of the page are void)
 *
 * Each pair is a store followed by a load of what the other one stores, with full fences between,
 * so at least one of the two sees the other (Dekker). The exclusive section waits for instructions
 * that are under way with a pointer from an entry. Setting granules and reading the generation is
 * one step under code_lock, and so is incrementing and clearing: a block whose granules were
 * cleared has an old generation.
 *
 * Sources: Intel SDM vol. 3, 9.1.3 "Handling Self- and Cross-Modifying Code".
 */
#include "accel/dbt/mmu-priv.h"

#define GRANULE_BITS 6

static uint64_t granule_mask(unsigned offset, unsigned len)
{
    return BITS((offset + len - 1) >> GRANULE_BITS, offset >> GRANULE_BITS);
}

/* vCPUs other than v that may have write entries for the page. Indices above 62 share a bit. */
static uint64_t other_writers(const DbtVcpu *v, const MapPage *page)
{
    uint64_t writers = __atomic_load_n(&page->writers, __ATOMIC_SEQ_CST);

    return v->cpu->index < 63 ? writers & ~code_writer_bit(v) : writers;
}

static void revoke_others(DbtVcpu *v, MapPage *page, const uint8_t *host)
{
    dbt_exclusive_begin(v->accel);
    for (guint i = 0; i < v->accel->vcpus->len; i++)
        mmu_drop_write(g_ptr_array_index(v->accel->vcpus, i), host);
    __atomic_store_n(&page->writers, 0, __ATOMIC_SEQ_CST);
    dbt_exclusive_end(v->accel);
}

const uint32_t *dbt_code_watch(DbtVcpu *v, uint64_t gpa, unsigned len, uint32_t *generation)
{
    DbtMap *map = v->accel->map;
    MapEntry e = dbt_map_lookup(map, gpa);
    MapPage *page = e.page;
    unsigned offset = (unsigned)(gpa & ~GUEST_PAGE_MASK);

    if (!e.host)
        return NULL;
    g_assert(len && len <= GUEST_PAGE_SIZE - offset);
    g_mutex_lock(dbt_map_code_lock(map));
    __atomic_store_n(&page->granules, page->granules | granule_mask(offset, len), __ATOMIC_SEQ_CST);
    *generation = page->generation;
    g_mutex_unlock(dbt_map_code_lock(map));
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
    if (other_writers(v, page)) {
        revoke_others(v, page, e.host);
    } else if (page->writers) {
        mmu_drop_write(v, e.host);
        __atomic_fetch_and(&page->writers, ~code_writer_bit(v), __ATOMIC_SEQ_CST);
    }
    return &page->generation;
}

bool code_allow_write_entry(DbtVcpu *v, MapPage *page)
{
    uint64_t bit = code_writer_bit(v);

    /* A bit that is set stays so but in an exclusive section or on this thread. */
    if (!(__atomic_load_n(&page->writers, __ATOMIC_RELAXED) & bit))
        __atomic_fetch_or(&page->writers, bit, __ATOMIC_SEQ_CST);
    return __atomic_load_n(&page->granules, __ATOMIC_SEQ_CST) == 0;
}

void code_written(DbtVcpu *v, DbtMap *map, MapPage *page, unsigned offset, unsigned len)
{
    bool hit;

    __atomic_thread_fence(__ATOMIC_SEQ_CST); /* the bytes before the granules */
    if (!(__atomic_load_n(&page->granules, __ATOMIC_RELAXED) & granule_mask(offset, len)))
        return;
    g_mutex_lock(dbt_map_code_lock(map));
    hit = page->granules & granule_mask(offset, len);
    if (hit) {
        __atomic_store_n(&page->generation, page->generation + 1, __ATOMIC_RELEASE);
        __atomic_store_n(&page->granules, 0, __ATOMIC_RELEASE);
    }
    g_mutex_unlock(dbt_map_code_lock(map));
    if (hit)
        dbt_jit_page_changed(dbt_map_accel(map), &page->generation);
    if (v)
        dbt_end_block(v);
}
