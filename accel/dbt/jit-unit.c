/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The units of a vCPU: making, finding, linking and dropping them.
 *
 * What may void a unit, and who notices:
 *
 *     bytes written   code.c raises the page's generation and calls dbt_jit_page_changed, which notes
 *                     the counter in a ring all vCPUs read; each drops its units of that page before
 *                     it enters translated code again (jit_units_sync)
 *     mapping changed a fetch_epoch moved: the itlbs of its half are others (jit-itlb.c), so that links from other
 *                     pages and indirect branches come back and ask the TLB
 *     blocks freed    dbt_cache_flush: everything goes
 *
 * A unit dropped loses its incoming links and its place in the jump cache, so nobody can enter it; its
 * memory is used again only after jit_units_flush.
 */
#include "accel/dbt/jit.h"

#include "accel/dbt/mmu-priv.h"
#include "core/log.h"

/* Ids of pages are kept up to this many, then everything starts anew. */
#define PAGE_IDS_MAX (1u << 16)

#define RING_SIZE 256

/* Pages written lately: their generation counters. Under lock. */
struct DbtJitPages {
    GMutex lock;
    uint64_t count; /* atomic: of all time */
    const uint32_t *ring[RING_SIZE];
};

typedef struct PageKey {
    uint64_t linear, gpa;
    uint32_t mode;
} PageKey;

static guint page_key_hash(gconstpointer p)
{
    const PageKey *key = p;
    uint64_t h = (key->linear ^ key->gpa * 0x9e3779b97f4a7c15ull ^ key->mode) * 0xff51afd7ed558ccdull;

    return (guint)(h >> 32);
}

static gboolean page_key_equal(gconstpointer a, gconstpointer b)
{
    const PageKey *x = a, *y = b;

    return x->linear == y->linear && x->gpa == y->gpa && x->mode == y->mode;
}

uint32_t jit_page_id(DbtJit *jit, uint64_t linear, uint64_t gpa)
{
    PageKey key = {linear >> GUEST_PAGE_BITS, gpa >> GUEST_PAGE_BITS, jit->mode};
    gpointer id = g_hash_table_lookup(jit->page_ids, &key);

    if (!id) {
        id = GUINT_TO_POINTER(++jit->last_page_id);
        g_hash_table_insert(jit->page_ids, g_memdup2(&key, sizeof(key)), id);
    }
    return GPOINTER_TO_UINT(id);
}

static uint32_t *page_head(DbtJit *jit, const uint32_t *generation)
{
    uintptr_t h = (uintptr_t)generation >> 3;

    return &jit->page_heads[(h ^ h >> 12) % G_N_ELEMENTS(jit->page_heads)];
}

static unsigned jump_slot(uint64_t rip)
{
    return (unsigned)rip & JIT_JUMP_MASK;
}

/* An address that nobody looks for in this entry. */
static uint64_t no_jump(unsigned slot)
{
    return slot < 2 ? 2 : 0;
}

/* All else is 0. */
static void init_jumps(const DbtJit *jit, JitJumps *jumps)
{
    for (unsigned i = 0; i < 2; i++)
        jumps->rip[i] = no_jump(i);
    jumps->host[0] = (uintptr_t)(jit->rx + jit->glue.leave_empty);
}

/* --- Modes. --- */

static bool mode_bits(const DbtVcpu *v, uint32_t *bits)
{
    const CpuState *s = v->state;
    uint64_t avx = XCR0_SSE | XCR0_AVX;

    /* Alignment checks and data breakpoints: tables nobody fills. */
    if (v->real || v->code_bits == 16 || (const void *)v->tlb == v->mmu->tables[MMU_TABLE_CHECKED])
        return false;
    *bits = (uint32_t)v->mmu->context << JIT_MODE_CONTEXT_SHIFT | (uint32_t)v->cpl << JIT_MODE_CPL_SHIFT;
    *bits |= s->rflags & RFLAGS_DF ? JIT_MODE_DOWN : 0;
    *bits |= v->cpl == 0 && s->cr4 & CR4_SMAP ? JIT_MODE_SMAP : 0;
    if (v->code_bits == 32) {
        if (!v->flat || !v->stack32 || s->seg[SEG_CS].base || s->seg[SEG_CS].limit != UINT32_MAX)
            return false;
        *bits |= JIT_MODE_32 | (uint32_t)v->flat_read << JIT_MODE_SEGS_SHIFT |
                 (uint32_t)v->flat_write << (JIT_MODE_SEGS_SHIFT + 6);
    }
    if (!(s->cr0 & (CR0_EM | CR0_TS))) {
        *bits |= v->jit->x87_available && jit_x87_is_masked(&s->fpu) ? JIT_MODE_X87 : 0;
        if (s->cr4 & CR4_OSFXSR)
            *bits |= JIT_MODE_SSE;
        if (s->cr4 & CR4_OSXSAVE && (s->xcr0 & avx) == avx)
            *bits |= JIT_MODE_AVX;
        if (*bits & JIT_MODE_AVX && (s->xcr0 & XCR0_AVX512_PARTS) == XCR0_AVX512_PARTS)
            *bits |= JIT_MODE_AVX512;
    }
    return true;
}

uint8_t jit_mode_of(DbtJit *jit, uint32_t key)
{
    for (unsigned i = 0; i < jit->mode_count; i++) {
        if (jit->mode_keys[i] == key)
            return (uint8_t)i;
    }
    if (jit->mode_count == JIT_MODES)
        return JIT_NO_MODE;
    init_jumps(jit, &jit->area->mode[jit->mode_count].jumps);
    jit->mode_keys[jit->mode_count] = key;
    return (uint8_t)jit->mode_count++;
}

uint8_t jit_mode_now(DbtJit *jit)
{
    uint32_t bits;

    jit->x87_masked = jit_x87_is_masked(&jit->v->state->fpu);
    if (!mode_bits(jit->v, &bits)) {
        jit->mode = JIT_NO_MODE;
    } else if (jit->mode == JIT_NO_MODE || bits != jit->mode_key) {
        jit->mode = jit_mode_of(jit, bits);
        if (jit->mode == JIT_NO_MODE) {
            jit_units_flush(jit);
            jit->mode = jit_mode_of(jit, bits);
        }
        jit->mode_key = bits;
    }
    return jit->mode;
}

/* --- Units. --- */

JitUnit *jit_unit_new(DbtJit *jit, DbtBlock *block, uint64_t rip, bool plain)
{
    const JitPart *part;
    uint32_t id;

    jit_parts_make_room(jit);
    part = jit_part_now(jit);
    id = jit->part * jit->part_units + part->units;
    jit->units[id] = (JitUnit){
        .block = block,
        .page = block->page_generation[0],
        .rip = rip,
        .id = id,
        .mode = jit->mode,
        .pure = true,
        .plain = plain,
        .stays = jit_unit_is_back(jit, block, rip),
        .page_id = jit_page_id(jit, rip, block->gpa),
        .next_page_id = block->crosses ? jit_page_id(jit, rip + GUEST_PAGE_SIZE, block->gpa_next) : 0,
        .first_exit = jit->part * jit->part_exits + part->exits,
        .offsets = jit->part * jit->part_offsets + part->offsets,
    };
    return &jit->units[id];
}

static void list_by_page(DbtJit *jit, JitUnit *unit)
{
    uint32_t *head = page_head(jit, unit->page);

    unit->next_in_page = *head;
    unit->prev_in_page = 0;
    if (*head)
        jit->units[*head - 1].prev_in_page = unit->id + 1;
    *head = unit->id + 1;
}

/* A record behind the unit's that stands for it in the list of its second page. */
static void list_by_next_page(DbtJit *jit, const JitUnit *unit)
{
    JitUnit *stand_in = &jit->units[unit->id + 1];

    jit_part_now(jit)->units++;
    *stand_in = (JitUnit){
        .page = unit->block->page_generation[1],
        .id = unit->id + 1,
        .begin = unit->end,
        .end = unit->end,
        .stands_for = unit->id + 1,
    };
    list_by_page(jit, stand_in);
}

void jit_unit_publish(DbtJit *jit, JitUnit *unit)
{
    JitPart *part = jit_part_now(jit);

    part->units++;
    part->exits += unit->exit_count;
    part->offsets += unit->block->count + 2u * unit->address_count;
    unit->valid = true;
    list_by_page(jit, unit);
    if (unit->next_page_id)
        list_by_next_page(jit, unit);
    unit->next_of_block = unit->block->units;
    unit->block->units = unit;
    jit->stats.units++;
    jit->stats.insns += unit->block->count;
    jit->stats.code_bytes += unit->end - unit->begin;
    jit_look_unit(jit, unit);
}

JitUnit *jit_unit_find(const DbtJit *jit, const DbtBlock *block, uint64_t rip, bool plain)
{
    JitUnit *u = block->units;

    while (u && (u->rip != rip || u->mode != jit->mode || u->plain != plain))
        u = u->next_of_block;
    return u;
}

static void patch(DbtJit *jit, const JitExit *exit, uint32_t target)
{
    emit_patch(&(JitEmit){.base = jit->rw}, exit->patch, target);
}

/* Of linear addresses and of memory. */
static bool share_page(const JitUnit *a, const JitUnit *b)
{
    return !(((a->rip ^ b->rip) | (a->block->gpa ^ b->block->gpa)) >> GUEST_PAGE_BITS);
}

/* Where a link enters. One that leads back looks for requests (jit-branch.c). */
static uint32_t entry_for(const JitUnit *unit, const JitExit *exit, const JitUnit *target)
{
    bool back = target->rip <= unit->rip;

    if (exit->in_frame)
        return back ? target->entry_far_back : target->entry_indirect;
    return back ? target->entry_back : target->entry_near;
}

void jit_unit_link(DbtJit *jit, JitExit *exit, JitUnit *target)
{
    const JitUnit *unit = &jit->units[exit->unit];

    /* A unit that was dropped while it ran links nothing: its exits will be somebody else's. */
    if (exit->linked || !unit->valid || exit->mode != target->mode || log_enabled(LOG_EXEC))
        return;
    /* The entry for near links looks at no page. What the TLB says may have changed since the exit's unit was entered. */
    if (!exit->in_frame && !share_page(unit, target))
        return;
    exit->linked = target->id + 1;
    exit->next = target->incoming;
    target->incoming = (uint32_t)(exit - jit->exits) + 1;
    patch(jit, exit, entry_for(unit, exit, target));
    jit->stats.links++;
}

void jit_unit_reachable(DbtJit *jit, JitUnit *unit)
{
    jit_itlb_enter(jit, unit->mode, unit->rip, unit->page_id);
    if (unit->next_page_id)
        jit_itlb_enter(jit, unit->mode, unit->rip + GUEST_PAGE_SIZE, unit->next_page_id);
}

void jit_unit_remember_jump(DbtJit *jit, JitUnit *unit)
{
    JitJumps *jumps = &jit->area->mode[unit->mode].jumps;
    unsigned slot = jump_slot(unit->rip);

    if (log_enabled(LOG_EXEC)) /* which the dispatcher writes */
        return;
    if (slot == 0)
        slot = 1;
    else if (slot > 1 && jumps->rip[slot] != unit->rip && jumps->rip[slot] != no_jump(slot)) {
        jumps->rip[slot ^ 1] = jumps->rip[slot];
        jumps->host[slot ^ 1] = jumps->host[slot];
    }
    jumps->rip[slot] = unit->rip;
    jumps->host[slot] = (uintptr_t)(jit->rx + unit->entry_indirect);
}

static void forget_jump(DbtJit *jit, const JitUnit *unit)
{
    JitJumps *jumps = &jit->area->mode[unit->mode].jumps;
    unsigned slot = jump_slot(unit->rip);

    for (unsigned i = 0; i < 2; i++, slot ^= 1) {
        if (jumps->rip[slot] == unit->rip)
            jumps->rip[slot] = no_jump(slot);
    }
}

static void unlink_exit(DbtJit *jit, JitExit *exit)
{
    patch(jit, exit, exit->stub);
    exit->linked = 0;
}

/* Takes the exit out of the list of the unit it is linked to. */
static void forget_link(DbtJit *jit, JitExit *exit)
{
    uint32_t index = (uint32_t)(exit - jit->exits) + 1;
    uint32_t *link;

    if (!exit->linked)
        return;
    link = &jit->units[exit->linked - 1].incoming;
    while (*link != index)
        link = &jit->exits[*link - 1].next;
    *link = exit->next;
    unlink_exit(jit, exit);
}

static void forget_in_page(DbtJit *jit, const JitUnit *unit)
{
    uint32_t next = unit->next_in_page, prev = unit->prev_in_page;

    *(prev ? &jit->units[prev - 1].next_in_page : page_head(jit, unit->page)) = next;
    if (next)
        jit->units[next - 1].prev_in_page = prev;
}

void jit_unit_isolate(DbtJit *jit, JitUnit *unit)
{
    while (unit->incoming) {
        JitExit *exit = &jit->exits[unit->incoming - 1];

        unit->incoming = exit->next;
        unlink_exit(jit, exit);
    }
    for (uint32_t i = 0; i < unit->exit_count; i++)
        forget_link(jit, &jit->exits[unit->first_exit + i]);
    forget_jump(jit, unit);
    if (jit->pending_exit && jit->exits[jit->pending_exit - 1].unit == unit->id)
        jit->pending_exit = 0;
}

void jit_unit_drop(DbtJit *jit, JitUnit *unit)
{
    JitUnit **link = &unit->block->units;

    unit->valid = false;
    jit_unit_isolate(jit, unit);
    forget_in_page(jit, unit);
    if (unit->next_page_id)
        forget_in_page(jit, &jit->units[unit->id + 1]);
    while (*link != unit)
        link = &(*link)->next_of_block;
    *link = unit->next_of_block;
    jit->stats.units_dropped++;
}

static void drop_page(DbtJit *jit, const uint32_t *generation)
{
    uint32_t next = *page_head(jit, generation);

    jit->stats.pages_changed++;
    while (next) {
        JitUnit *u = &jit->units[next - 1];

        next = u->next_in_page;
        if (u->page != generation)
            continue;
        if (u->stands_for)
            u = &jit->units[u->stands_for - 1];
        if (u->valid) {
            u->block->heat = 0;
            jit_unit_drop(jit, u);
        }
    }
}

void dbt_jit_drop_block(DbtVcpu *v, DbtBlock *block)
{
    while (block->units)
        jit_unit_drop(v->jit, block->units);
}

static void forget_unit(DbtJit *jit, JitUnit *unit)
{
    unit->block->units = NULL;
    unit->valid = false;
}

void jit_units_flush(DbtJit *jit)
{
    jit_x87_settle(jit);
    jit_units_foreach(jit, forget_unit);
    for (unsigned i = 0; i < jit->mode_count; i++)
        memset(&jit->area->mode[i], 0, sizeof(jit->area->mode[i]));
    memset(jit->page_heads, 0, sizeof(jit->page_heads));
    g_hash_table_remove_all(jit->page_ids);
    jit->last_page_id = 0;
    jit->mode_count = 0;
    jit_itlb_reset(jit);
    jit->mode = JIT_NO_MODE;
    jit->pending_exit = 0;
    jit->stats.flushes++;
    jit_bases_reset(jit);
    jit_parts_reset(jit);
}

/* --- Pages written. --- */

void dbt_jit_page_changed(DbtAccel *accel, const uint32_t *generation)
{
    struct DbtJitPages *pages = accel->jit_pages;

    g_mutex_lock(&pages->lock);
    pages->ring[pages->count % RING_SIZE] = generation;
    __atomic_store_n(&pages->count, pages->count + 1, __ATOMIC_RELEASE);
    for (guint i = 0; i < accel->vcpus->len; i++) {
        DbtVcpu *v = g_ptr_array_index(accel->vcpus, i);

        if (v->jit)
            __atomic_store_n(&v->jit->area->go_on, 0, __ATOMIC_SEQ_CST);
    }
    g_mutex_unlock(&pages->lock);
}

void dbt_jit_pages_vcpu(DbtVcpu *v, bool add)
{
    struct DbtJitPages *pages = v->accel->jit_pages;

    g_mutex_lock(&pages->lock);
    if (add)
        g_ptr_array_add(v->accel->vcpus, v);
    else
        g_ptr_array_remove(v->accel->vcpus, v);
    g_mutex_unlock(&pages->lock);
}

/* Not inlined: its array is large. */
static G_GNUC_NO_INLINE void sync_pages(DbtJit *jit)
{
    struct DbtJitPages *pages = jit->v->accel->jit_pages;
    const uint32_t *changed[RING_SIZE];
    uint64_t count, first;

    g_mutex_lock(&pages->lock);
    count = pages->count;
    first = jit->pages_seen;
    for (uint64_t i = first; i < count && count - first <= RING_SIZE; i++)
        changed[i - first] = pages->ring[i % RING_SIZE];
    g_mutex_unlock(&pages->lock);
    jit->pages_seen = count;
    if (count - first > RING_SIZE) {
        jit_units_flush(jit);
        return;
    }
    for (uint64_t i = 0; i < count - first; i++)
        drop_page(jit, changed[i]);
}

void jit_units_sync(DbtJit *jit)
{
    const uint64_t *now = jit->v->fetch_epoch;

    if (G_UNLIKELY(jit->last_page_id > PAGE_IDS_MAX))
        jit_units_flush(jit);
    if (G_UNLIKELY(jit->epoch[0] != now[0] || jit->epoch[1] != now[1]))
        jit_itlb_sync(jit);
    if (G_UNLIKELY(__atomic_load_n(&jit->v->accel->jit_pages->count, __ATOMIC_ACQUIRE) != jit->pages_seen))
        sync_pages(jit);
}

bool dbt_jit_pages_init(DbtAccel *accel)
{
    accel->jit_pages = g_new0(struct DbtJitPages, 1);
    g_mutex_init(&accel->jit_pages->lock);
    return true;
}

void dbt_jit_pages_release(DbtAccel *accel)
{
    if (accel->jit_pages)
        g_mutex_clear(&accel->jit_pages->lock);
    g_clear_pointer(&accel->jit_pages, g_free);
}

void jit_units_init(DbtJit *jit)
{
    jit->page_ids = g_hash_table_new_full(page_key_hash, page_key_equal, g_free, NULL);
    jit->mode = JIT_NO_MODE;
    jit->itlb_spaces = g_new0(JitItlbSpace, JIT_ITLB_SPACES);
    jit_itlb_reset(jit);
    jit_parts_reset(jit);
}

void jit_units_release(DbtJit *jit)
{
    if (jit->page_ids)
        g_hash_table_destroy(jit->page_ids);
    g_free(jit->itlb_spaces);
}
