/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The same code at another address: a unit is moved instead of made again.
 *
 * Libraries and position-independent programs lie at other linear addresses in each process, and a process
 * that ends leaves units for addresses that never come back. A block (block.h) knows physical addresses
 * only; what depends on the linear one in a unit's code are a few constants:
 *
 *     the page check at its entry       slot and id of the page in the itlb
 *     RIP-relative operands             the address; the slot of its page in the table of the TLB
 *     return addresses                  that CALL pushes, SYSCALL loads
 *
 * The translator notes where they are (JitAddress), behind the unit's instruction offsets. Moving adds the
 * distance, a multiple of the page size, to each, and to the targets of the exits. All links are taken out: who is
 * linked to the unit means the old address, and its targets need not have moved with it.
 *
 * Processes that live side by side must not take their code from each other for ever. An address that a unit
 * of the block has been moved away from, and that is wanted again, gets a unit of its own, which stays: a
 * block has up to COPIES_MAX of one mode. Moved is one that was not made for that reason, if there is any; of
 * more than one the one that was made or moved the longest ago.
 *
 * Units of 32-bit code stay where they are, those without groups (jit-group.c), those whose constants would need a
 * longer form, and those of which a target would come to lie on the other side: a unit that leads to its own begin or lower looks
 * for requests (jit-branch.c), and addresses wrap around.
 *
 * Between units only: no code of the unit is running.
 */
#include "accel/dbt/jit-translate.h"

#define COPIES_MAX 4

/* --- Noting. --- */

void jit_note_address(JitTranslator *t, JitEmit *e, JitAddressKind kind)
{
    JitUnit *u = t->unit;
    bool cold = e == t->cold;
    JitAddress *address = (JitAddress *)(void *)&t->jit->offsets[u->offsets + t->count] + u->address_count;

    if (u->address_count == JIT_ADDRESSES_MAX) {
        u->fixed = true;
        return;
    }
    u->address_count++;
    *address = (JitAddress){
        .at = (uint16_t)(e->at - (cold ? u->cold : u->begin) - (kind == JIT_ADDRESS_64 ? 8 : 4)),
        .kind = (uint8_t)kind,
        .cold = cold,
    };
}

void jit_emit_mov_address(JitTranslator *t, JitEmit *e, uint8_t reg, uint64_t value)
{
    emit_mov_imm(e, reg, value);
    if (value <= UINT32_MAX)
        jit_note_address(t, e, JIT_ADDRESS_32);
    else
        jit_note_address(t, e, (int64_t)value == (int32_t)value ? JIT_ADDRESS_32_SIGNED : JIT_ADDRESS_64);
}

/* --- Moving. --- */

static const JitAddress *addresses_of(const DbtJit *jit, const JitUnit *u)
{
    return (const JitAddress *)(const void *)&jit->offsets[u->offsets + u->block->count];
}

static uint8_t *place_of(const DbtJit *jit, const JitUnit *u, const JitAddress *a)
{
    return jit->rw + (a->cold ? u->cold : u->begin) + a->at;
}

static bool fits(const JitAddress *a, const uint8_t *place, uint64_t distance)
{
    uint32_t now = (uint32_t)load_le(place, 4);
    uint64_t value;

    switch (a->kind) {
    case JIT_ADDRESS_32:
        return now + distance <= UINT32_MAX;
    case JIT_ADDRESS_32_SIGNED:
        value = (uint64_t)(int32_t)now + distance;
        return (int64_t)value == (int32_t)value;
    default:
        return true;
    }
}

/* What leads up goes on doing so. */
static bool exits_fit(const DbtJit *jit, const JitUnit *u, uint64_t distance)
{
    for (uint32_t i = 0; i < u->exit_count; i++) {
        const JitExit *exit = &jit->exits[u->first_exit + i];

        if (!exit->fixed && (exit->rip > u->rip) != (exit->rip + distance > u->rip + distance))
            return false;
    }
    return true;
}

static bool can_move(const DbtJit *jit, const JitUnit *u, uint64_t distance)
{
    const JitAddress *a = addresses_of(jit, u);

    if (u->fixed || !exits_fit(jit, u, distance))
        return false;
    for (unsigned i = 0; i < u->address_count; i++) {
        if (!fits(&a[i], place_of(jit, u, &a[i]), distance))
            return false;
    }
    return true;
}

static void change(const DbtJit *jit, const JitUnit *u, const JitAddress *a, uint64_t distance)
{
    const uint32_t slots = (MMU_TLB_SIZE - 1) * sizeof(MmuEntry);
    uint8_t *place = place_of(jit, u, a);
    uint32_t now = (uint32_t)load_le(place, 4);

    switch ((JitAddressKind)a->kind) {
    case JIT_ADDRESS_64:
        store_le(place, load_le(place, 8) + distance, 8);
        break;
    case JIT_ADDRESS_32:
    case JIT_ADDRESS_32_SIGNED:
        store_le(place, now + (uint32_t)distance, 4);
        break;
    case JIT_ADDRESS_TLB: /* tables begin at multiples of their size from GS */
        now = (now & ~slots) | ((now + (uint32_t)(distance >> GUEST_PAGE_BITS) * (uint32_t)sizeof(MmuEntry)) & slots);
        store_le(place, now, 4);
        break;
    case JIT_ADDRESS_ITLB:
        store_le(place, jit_itlb_offset(jit, u->mode, u->rip), 4);
        break;
    case JIT_ADDRESS_PAGE_ID:
        store_le(place, u->page_id, 4);
        break;
    }
}

static void move(DbtJit *jit, JitUnit *u, uint64_t rip)
{
    const JitAddress *a = addresses_of(jit, u);
    uint64_t distance = rip - u->rip;

    jit_x87_settle(jit); /* it may name an instruction of this unit by the old address */
    jit_unit_isolate(jit, u);
    u->rip = rip;
    u->page_id = jit_page_id(jit, rip, u->block->gpa);
    for (unsigned i = 0; i < u->address_count; i++)
        change(jit, u, &a[i], distance);
    for (uint32_t i = 0; i < u->exit_count; i++) {
        JitExit *exit = &jit->exits[u->first_exit + i];

        if (!exit->fixed)
            exit->rip += distance;
    }
    jit->stats.moved++;
    jit_look_unit(jit, u);
}

/* Where a unit has been: a filter of page addresses. */
static uint64_t trace_of(uint64_t rip)
{
    return BIT((rip >> GUEST_PAGE_BITS) * 0x9e3779b97f4a7c15ull >> 58);
}

bool jit_unit_is_back(const DbtJit *jit, const DbtBlock *block, uint64_t rip)
{
    uint64_t traces = 0;

    for (const JitUnit *u = block->units; u; u = u->next_of_block)
        traces |= u->mode == jit->mode ? u->traces : 0;
    return traces & trace_of(rip);
}

/* The link to the unit that is to be moved. */
static JitUnit **choose(const DbtJit *jit, DbtBlock *block, unsigned *copies)
{
    JitUnit **chosen = NULL;

    *copies = 0;
    for (JitUnit **l = &block->units; *l; l = &(*l)->next_of_block) {
        if ((*l)->mode != jit->mode || (*l)->plain)
            continue;
        ++*copies;
        if (!chosen || !(*l)->stays || (*chosen)->stays)
            chosen = l;
    }
    return chosen;
}

JitUnit *jit_unit_move(DbtJit *jit, DbtBlock *block, uint64_t rip)
{
    unsigned copies;
    JitUnit **link = choose(jit, block, &copies), *u;

    if (!link || (copies < COPIES_MAX && jit_unit_is_back(jit, block, rip)) || !can_move(jit, *link, rip - (*link)->rip))
        return NULL;
    u = *link;
    u->traces |= trace_of(u->rip);
    u->stays = false;
    *link = u->next_of_block;
    u->next_of_block = block->units;
    block->units = u;
    move(jit, u, rip);
    return u;
}
