/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The instruction TLBs of translated code: which page is known to be where, by the id of (linear page, physical page,
 * mode). A link from another page and an indirect branch compare the word of the target's page with its id.
 *
 * DbtVcpu.fetch_epoch is the name of what is mapped: of the lower half of the address space and of the upper. When it
 * changes, the words of that half are void. What has been known in an epoch of the lower half is written down, and
 * when that epoch is back, as happens with each switch between two processes, so are its words.
 *
 * Owner: the vCPU's thread.
 */
#include "accel/dbt/jit.h"

#include <string.h>

static uint32_t *word_of(DbtJit *jit, const JitItlbPage *page)
{
    return &jit->area->mode[page->mode].itlb[page->slot];
}

void jit_itlb_enter(DbtJit *jit, uint8_t mode, uint64_t linear, uint32_t id)
{
    const JitItlbPage page = {id, linear >> GUEST_PAGE_BITS & (JIT_ITLB_SIZE - 1), mode};
    JitItlbSpace *space = jit->itlb_space;
    uint32_t *word = word_of(jit, &page);

    if (*word == id)
        return;
    *word = id;
    if (linear >> 63)
        return;
    jit->lower_modes |= 1u << mode;
    if (space->count == JIT_ITLB_KEPT)
        space->overflow = true;
    else
        space->page[space->count++] = page;
}

/* All words that may be of the lower half, or all there are. */
static void clear(DbtJit *jit, bool upper)
{
    for (unsigned i = 0; i < jit->mode_count; i++) {
        if (upper || jit->lower_modes >> i & 1)
            memset(jit->area->mode[i].itlb, 0, sizeof(jit->area->mode[i].itlb));
    }
}

static void clear_known(DbtJit *jit, const JitItlbSpace *space)
{
    for (uint32_t i = 0; i < space->count; i++) {
        uint32_t *word = word_of(jit, &space->page[i]);

        if (*word == space->page[i].id)
            *word = 0;
    }
}

static JitItlbSpace *space_of(DbtJit *jit, uint64_t epoch)
{
    JitItlbSpace *space;

    for (unsigned i = 0; i < JIT_ITLB_SPACES; i++) {
        if (jit->itlb_spaces[i].epoch == epoch)
            return &jit->itlb_spaces[i];
    }
    space = &jit->itlb_spaces[jit->next_itlb_space++ % JIT_ITLB_SPACES];
    space->epoch = epoch;
    space->count = 0;
    space->overflow = false;
    return space;
}

void jit_itlb_sync(DbtJit *jit)
{
    const uint64_t *now = jit->v->fetch_epoch;
    JitItlbSpace *space = jit->itlb_space;
    bool upper = jit->epoch[1] != now[1];

    if (upper || space->overflow)
        clear(jit, upper);
    else
        clear_known(jit, space);
    if (space->overflow) /* too many to write down */
        space->count = 0;
    space->overflow = false;
    jit->itlb_space = space = space_of(jit, now[0]);
    for (uint32_t i = 0; i < space->count; i++)
        *word_of(jit, &space->page[i]) = space->page[i].id;
    memcpy(jit->epoch, now, sizeof(jit->epoch));
}

void jit_itlb_reset(DbtJit *jit)
{
    memset(jit->itlb_spaces, 0, sizeof(*jit->itlb_spaces) * JIT_ITLB_SPACES);
    jit->itlb_space = space_of(jit, jit->epoch[0]);
    jit->lower_modes = 0;
}
