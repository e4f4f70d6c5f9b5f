/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Memory for units, as a ring of parts.
 *
 *     code buffer   | glue | part 0: units, their stubs | part 1: ... | ... |
 *     tables        | units of part 0 | ... |    exits | ... |    offsets | ... |
 *
 * When any of a part's stretches is full the next part is emptied and used: its units are unlinked and
 * forgotten, the oldest first. So what runs now stays, making room takes no longer than one part's
 * units need (under a millisecond), and a guest that translates more than fits loses a part at a time.
 *
 * Code that runs in turns longer than all parts would be forgotten each time before it runs again, and the vCPU would do nothing but
 * translate. So where a part is full sooner than its units can have paid for themselves, blocks have to run twice as often as before to be
 * translated (heat_needed), and so on until it lasts; the rest is interpreted.
 *
 * Called between units only: no code of a part that is emptied is running.
 */
#include "accel/dbt/jit.h"

#include <sys/mman.h>

#include "accel/dbt/mmu-priv.h"

/* For so many bytes of translated code, in 64ths. */
#define SHARE_TABLES 56

/* For each unit there are so many exits and instructions, on average. */
#define EXITS_PER_UNIT 9 / 4
#define OFFSETS_PER_UNIT 17
/* Of one unit: its instructions, the constants that depend on its address. */
#define OFFSETS_MAX (BLOCK_MAX_INSNS + 2 * JIT_ADDRESSES_MAX)
#define BYTES_PER_UNIT (sizeof(JitUnit) + sizeof(JitExit) * EXITS_PER_UNIT + sizeof(uint16_t) * OFFSETS_PER_UNIT)

/* CPU time for each unit of a part, until that is full: with less translation does not pay, with more there is room. */
#define CROWDED_NS 40000
#define ROOMY_NS 160000

static void use_part(DbtJit *jit, unsigned part)
{
    jit->part = part;
    jit_code_use_part(jit, part);
}

static bool part_has_room(const DbtJit *jit)
{
    const JitPart *p = &jit->parts[jit->part];

    return jit_code_has_room(jit) && p->units + 2 <= jit->part_units && p->exits + JIT_EXIT_MAX <= jit->part_exits &&
           p->offsets + OFFSETS_MAX <= jit->part_offsets;
}

static void judge_part(DbtJit *jit, int64_t now_ns)
{
    int64_t each_ns = (now_ns - jit->part_since_ns) / MAX(jit_part_now(jit)->units, 1);

    if (each_ns < CROWDED_NS && jit->crowded < JIT_CROWDED_MAX)
        jit->crowded++;
    else if (each_ns > ROOMY_NS && jit->crowded)
        jit->crowded--;
    jit->part_since_ns = now_ns;
}

/* The next part is empty and in use. */
static void recycle_part(DbtJit *jit)
{
    JitPart *p = jit_part_now(jit);

    jit_x87_settle(jit);
    jit->pending_exit = 0;
    p->code = jit_code_used(jit);
    use_part(jit, (jit->part + 1) % jit->part_count);
    p = jit_part_now(jit);
    for (uint32_t i = 0; i < p->units; i++) {
        JitUnit *u = &jit->units[jit->part * jit->part_units + i];

        if (u->valid) {
            u->block->heat = 0; /* it may not be worth it any more */
            jit_unit_drop(jit, u);
        }
    }
    jit_gdb_forget_part(jit, jit->part);
    jit->stats.parts_recycled += p->units > 0;
    *p = (JitPart){0};
}

void jit_parts_make_room(DbtJit *jit)
{
    int64_t start_ns;

    if (part_has_room(jit))
        return;
    start_ns = dbt_reclaim_begin();
    if (jit->stats.parts_recycled) /* else a boot is the first to fill them */
        judge_part(jit, start_ns);
    recycle_part(jit);
    dbt_reclaim_end(jit->v, start_ns);
}

void jit_parts_reset(DbtJit *jit)
{
    for (unsigned part = 0; part < jit->part_count; part++)
        jit_gdb_forget_part(jit, part);
    memset(jit->parts, 0, sizeof(jit->parts));
    use_part(jit, 0);
}

void jit_units_foreach(DbtJit *jit, void (*call)(DbtJit *jit, JitUnit *unit))
{
    for (unsigned part = 0; part < jit->part_count; part++) {
        for (uint32_t i = 0; i < jit->parts[part].units; i++) {
            JitUnit *u = &jit->units[part * jit->part_units + i];

            if (u->valid)
                call(jit, u);
        }
    }
}

JitUsage jit_usage(const DbtJit *jit)
{
    JitUsage usage = {0};

    for (unsigned part = 0; part < jit->part_count; part++) {
        const JitPart *p = &jit->parts[part];

        for (uint32_t i = 0; i < p->units; i++)
            usage.live += jit->units[part * jit->part_units + i].valid;
        usage.code += part == jit->part ? jit_code_used(jit) : p->code;
        usage.index += p->units * sizeof(JitUnit) + p->exits * sizeof(JitExit) + p->offsets * sizeof(uint16_t);
    }
    return usage;
}

JitUnit *jit_unit_at(const DbtJit *jit, uint32_t offset)
{
    uint32_t part = (offset - jit->after_glue) / jit->part_code, lo = 0, hi;
    JitUnit *units;

    if (offset < jit->after_glue || part >= jit->part_count)
        return NULL;
    units = &jit->units[part * jit->part_units];
    hi = jit->parts[part].units;
    while (lo < hi) {
        uint32_t mid = lo + (hi - lo) / 2;

        if (units[mid].end <= offset)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo < jit->parts[part].units && units[lo].begin <= offset ? &units[lo] : NULL;
}

static void *table_new(uint32_t count, size_t size)
{
    void *p = mmap(NULL, count * size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

    return p == MAP_FAILED ? NULL : p;
}

bool jit_parts_init(DbtJit *jit)
{
    jit->part_units = (uint32_t)(dbt_budget(jit->v, SHARE_TABLES) / BYTES_PER_UNIT / jit->part_count);
    jit->part_exits = jit->part_units * EXITS_PER_UNIT + JIT_EXIT_MAX;
    jit->part_offsets = jit->part_units * OFFSETS_PER_UNIT + OFFSETS_MAX;
    jit->units = table_new(jit->part_count * jit->part_units, sizeof(JitUnit));
    jit->exits = table_new(jit->part_count * jit->part_exits, sizeof(JitExit));
    jit->offsets = table_new(jit->part_count * jit->part_offsets, sizeof(uint16_t));
    return jit->units && jit->exits && jit->offsets;
}

void jit_parts_release(DbtJit *jit)
{
    if (jit->units)
        munmap(jit->units, jit->part_count * jit->part_units * sizeof(JitUnit));
    if (jit->exits)
        munmap(jit->exits, jit->part_count * jit->part_exits * sizeof(JitExit));
    if (jit->offsets)
        munmap(jit->offsets, jit->part_count * jit->part_offsets * sizeof(uint16_t));
}
