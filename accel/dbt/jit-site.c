/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Site entries: most instructions access the page they accessed last time, so each has an entry of
 * its own, at a constant place. The check costs no latency then: it is a predicted branch beside the
 * access, not a lookup before it.
 *
 *     lea r10, [address] ; sub r10, gs:[tag] ; cmp r10, 4096 - size ; ja stub
 *     mov r11, gs:[delta] ; the access at [address + r11]
 *
 * A miss fills the entry from the tables of mmu.h, and those by a page walk if need be, and tries again; what
 * may have no entry, faults, or crosses its page is the interpreter's. That costs a mispredicted branch, so an instruction that goes
 * from page to page is better off with the lookup in the tables. So is code that runs now and then: there are
 * fewer entries than a compiler has instructions, and each would find another's page in its own. A block's first
 * units look in the tables and count their runs; when it is hot (JIT_EXIT_HOT) they are made anew with entries. What an
 * instruction does with its entry is found out by counting, too:
 *
 *     fresh --512 misses-> watched (runs are counted, too) --64 misses--+-> hashed    1 of 16 runs misses
 *                             ^                                         +-> settled   fewer
 *                             +-------------------65536 misses----------------+
 *
 * The state is kept by instruction in the block, and the unit made anew when it changes.
 *
 * An empty entry has a tag that is not canonical, and its delta is never cleared: an address in that
 * page, which only a faulty guest makes, becomes one that is not canonical on the host either, whose
 * #GP the interpreter turns into the guest's (jit_signal).
 *
 * Entries are logged when filled. A CR3 write voids those of the lower half of the address space, and those of
 * the upper half unless all pages seen there were global. The logs may have an entry twice.
 *
 * Owner: the vCPU's thread; others only within an exclusive section.
 */
#include "accel/dbt/jit.h"

#include <stddef.h>

#include "accel/dbt/mmu-priv.h"

#define MISSES_FRESH 512
#define MISSES_WATCHED 64
#define MISSES_SETTLED 65536
#define RUNS_MIN 256    /* below them a watched site is left as it is */
#define SITE_LOG_FULL 2 /* in JitArea.site_tired */
#define HASH_RATIO 16   /* a site that misses once in so many runs is given up */

/* Pools by context and direction: a site of one never holds what another may not access. */
typedef struct SitePool {
    uint32_t first, count;
} SitePool;

static const SitePool pools[MMU_CONTEXTS][2] = {
    [MMU_USER] = {{0, 8192}, {8192, 4096}},
    [MMU_SUPERVISOR] = {{12288, 8192}, {20480, 4096}},
    [MMU_SUPERVISOR_AC] = {{24576, 128}, {24704, 128}},
};

#define AREA(jit, field) ((int32_t)jit_area_offset(jit, offsetof(JitArea, field)))

/* --- Pools. --- */

void jit_sites_init(DbtJit *jit)
{
    for (unsigned i = 0; i < JIT_SITES; i++)
        jit->area->sites[i].tag = JIT_SITE_NONE;
    jit->site_owners = g_new0(JitSiteOwner, JIT_SITES);
}

void jit_sites_release(DbtJit *jit)
{
    g_clear_pointer(&jit->site_owners, g_free);
}

static MmuContext context_of(uint32_t mode_key)
{
    return mode_key >> JIT_MODE_CONTEXT_SHIFT & 3;
}

static int32_t first_misses(const DbtBlock *block, unsigned insn)
{
    if (block->sites_watched >> insn & 1)
        return -MISSES_WATCHED;
    return block->sites_settled >> insn & 1 ? -MISSES_SETTLED : -MISSES_FRESH;
}

uint32_t jit_site_new(DbtJit *jit, JitUnit *unit, unsigned insn, bool write)
{
    MmuContext context = context_of(jit->mode_key);
    const SitePool *pool = &pools[context][write];
    uint32_t n = jit->next_site[context][write]++ % pool->count;
    uint32_t number = pool->first + n;

    if (!unit->site_count[write]++)
        unit->first_site[write] = n;
    jit->site_owners[number] = (JitSiteOwner){unit->id, (uint8_t)insn};
    jit->area->site_misses[number] = first_misses(unit->block, insn);
    jit->area->site_runs[number] = 0;
    return number;
}

uint32_t jit_site_offset(const DbtJit *jit, uint32_t number)
{
    return jit_area_offset(jit, offsetof(JitArea, sites)) + number * (uint32_t)sizeof(JitSite);
}

uint32_t jit_site_runs_offset(const DbtJit *jit, uint32_t number)
{
    return jit_area_offset(jit, offsetof(JitArea, site_runs)) + number * (uint32_t)sizeof(uint32_t);
}

/* --- Emptying. --- */

static JitSite *logged(JitArea *area, const JitSiteLog *log, uint32_t i)
{
    return &area->sites[log->slot[i]];
}

static void flush_half(JitArea *area, JitSiteLog *log)
{
    if (!log->count)
        return;
    for (uint32_t i = 0; i < log->count; i++)
        logged(area, log, i)->tag = JIT_SITE_NONE;
    log->count = 0;
    memset(log->filter, 0, sizeof(log->filter));
}

void jit_sites_flush(JitArea *area, bool upper)
{
    flush_half(area, &area->site_log[0]);
    if (upper)
        flush_half(area, &area->site_log[1]);
}

void jit_sites_flush_page(JitArea *area, uint64_t linear)
{
    const JitSiteLog *log = &area->site_log[linear >> 63];
    unsigned bit = linear >> GUEST_PAGE_BITS & (JIT_SITE_FILTER - 1);

    if (!(log->filter[bit / 64] >> bit % 64 & 1))
        return;
    for (uint32_t i = 0; i < log->count; i++) {
        if (logged(area, log, i)->tag == (linear & GUEST_PAGE_MASK))
            logged(area, log, i)->tag = JIT_SITE_NONE;
    }
}

void jit_sites_drop_host(JitArea *area, const uint8_t *host)
{
    for (unsigned half = 0; half < 2; half++) {
        const JitSiteLog *log = &area->site_log[half];

        for (uint32_t i = 0; i < log->count; i++) {
            JitSite *site = logged(area, log, i);

            if (site->tag + site->delta == (uintptr_t)host)
                site->tag = JIT_SITE_NONE;
        }
    }
}

/* --- Adapting. --- */

/* A watched site has been counted for long enough, or another of its unit has. */
static void judge(const DbtJit *jit, DbtBlock *block, uint32_t number)
{
    uint64_t bit = BIT(jit->site_owners[number].insn);
    uint32_t misses = (uint32_t)(jit->area->site_misses[number] + MISSES_WATCHED);
    uint32_t runs = jit->area->site_runs[number];

    if (runs < RUNS_MIN && misses < MISSES_WATCHED)
        return;
    if ((uint64_t)misses * HASH_RATIO > runs)
        block->sites_hashed |= bit;
    else
        block->sites_settled |= bit;
}

static void judge_all(const DbtJit *jit, const JitUnit *unit)
{
    MmuContext context = context_of(jit->mode_keys[unit->mode]);

    for (unsigned write = 0; write < 2; write++) {
        const SitePool *pool = &pools[context][write];

        for (uint32_t i = 0; i < unit->site_count[write]; i++) {
            uint32_t number = pool->first + (unit->first_site[write] + i) % pool->count;

            if (jit->site_owners[number].unit == unit->id)
                judge(jit, unit->block, number);
        }
    }
}

void jit_sites_adapt(DbtJit *jit, JitUnit *unit)
{
    DbtBlock *block = unit->block;
    JitArea *area = jit->area;
    bool log_full = area->site_tired == SITE_LOG_FULL;

    area->site_tired = 0;
    if (log_full)
        jit_sites_flush(area, true);
    if (log_full || !unit->valid)
        return;
    if (block->sites_watched) {
        block->sites_watched = 0;
        judge_all(jit, unit);
    } else {
        block->sites_watched = UINT64_MAX;
        block->sites_settled = 0;
    }
    jit->stats.sites_adapted++;
    jit_unit_drop(jit, unit);
}

/* --- Filling: code all units use. --- */

/* mov reg, gs:[index + disp] and the like. */
static void gs_load(JitEmit *e, uint8_t reg, uint8_t index, int32_t disp)
{
    emit_gs(e, true, HOST_LOAD, reg, index, disp);
}

static void push(JitEmit *e, uint8_t reg)
{
    emit8(e, 0x50 | reg);
}

static void pop(JitEmit *e, uint8_t reg)
{
    emit8(e, 0x58 | reg);
}

static void shift_right(JitEmit *e, uint8_t reg, uint8_t bits)
{
    emit_bytes(e, (const uint8_t[]){0xc1, 0xe8 | reg, bits}, 3); /* shr reg32, bits */
}

static void and_imm(JitEmit *e, uint8_t reg, uint32_t mask)
{
    emit_bytes(e, (const uint8_t[]){0x81, 0xe0 | reg}, 2);
    emit32(e, mask);
}

/* Counts a miss of the site in R11 unless it was empty. The jump is to when the count is at its end. */
static uint32_t count_miss(DbtJit *jit, JitEmit *e)
{
    uint32_t empty, tired;

    gs_load(e, GPR_RCX, GPR_R11, 0);
    emit_rr(e, true, HOST_ADD, GPR_RCX, GPR_RCX); /* JIT_SITE_NONE and page 0 become 0 */
    empty = emit_jcc(e, HOST_E, 0);
    emit_rr(e, false, HOST_LOAD, GPR_RCX, GPR_R11);
    emit_bytes(e, (const uint8_t[]){0x81, 0xe9}, 2); /* sub ecx, imm32 */
    emit32(e, (uint32_t)AREA(jit, sites));
    shift_right(e, GPR_RCX, 4);
    emit_gs_scaled(e, false, 0x83, 0, GPR_RCX, 2, AREA(jit, site_misses)); /* add dword, 1 */
    emit8(e, 1);
    tired = emit_jcc(e, HOST_E, 0);
    emit_patch(e, empty, e->at);
    return tired;
}

/* RDX: the tag of the page of R10 in the table, RAX: its delta. The jump is to when it is not there. */
static uint32_t look_up(JitEmit *e, int32_t table)
{
    uint32_t missing;

    emit_rr(e, false, HOST_LOAD, GPR_RCX, GPR_R10);
    shift_right(e, GPR_RCX, GUEST_PAGE_BITS - 4);
    and_imm(e, GPR_RCX, (MMU_TLB_SIZE - 1) * sizeof(MmuEntry));
    gs_load(e, GPR_RDX, GPR_RCX, table);
    emit_rr(e, true, HOST_LOAD, GPR_RAX, GPR_R10);
    emit_rr(e, true, HOST_SUB, GPR_RAX, GPR_RDX);
    emit_cmp_imm(e, GPR_RAX, GUEST_PAGE_SIZE - 1);
    missing = emit_jcc(e, HOST_A, 0);
    gs_load(e, GPR_RAX, GPR_RCX, table + (int32_t)offsetof(MmuEntry, value));
    return missing;
}

/* Logs the site in R11, whose tag was RCX, as one of this half; RAX, RCX and RDX are free. The jump is
 * to when the log is full. */
static uint32_t note(DbtJit *jit, JitEmit *e, bool upper)
{
    int32_t log = AREA(jit, site_log) + (int32_t)(upper * sizeof(JitSiteLog));
    uint32_t known, full;

    emit_rr(e, false, HOST_LOAD, GPR_RAX, GPR_R10);
    shift_right(e, GPR_RAX, GUEST_PAGE_BITS);
    and_imm(e, GPR_RAX, JIT_SITE_FILTER - 1);
    emit_bytes(e, (const uint8_t[]){0x65, 0x0f, 0xab, 0x04, 0x25}, 5); /* bts gs:[filter], eax */
    emit32(e, (uint32_t)(log + (int32_t)offsetof(JitSiteLog, filter)));
    emit_bytes(e, (const uint8_t[]){0x48, 0x0f, 0xba, 0xe1, upper ? 62 : 63}, 5); /* bt rcx, 62 or 63 */
    known = emit_jcc(e, upper ? HOST_B : HOST_AE, 0); /* the old tag is of this half, too */
    emit_gs(e, false, HOST_LOAD, GPR_RAX, HOST_NO_REG, log + (int32_t)offsetof(JitSiteLog, count));
    emit_bytes(e, (const uint8_t[]){0x3d}, 1); /* cmp eax, imm32 */
    emit32(e, JIT_SITE_LOG);
    full = emit_jcc(e, HOST_AE, 0);
    emit_rr(e, false, HOST_LOAD, GPR_RDX, GPR_R11);
    emit_bytes(e, (const uint8_t[]){0x81, 0xea}, 2); /* sub edx, imm32 */
    emit32(e, (uint32_t)AREA(jit, sites));
    shift_right(e, GPR_RDX, 4);
    emit_gs_scaled(e, false, HOST_STORE, GPR_RDX, GPR_RAX, 2, log + (int32_t)offsetof(JitSiteLog, slot));
    emit_gs(e, false, 0x83, 0, HOST_NO_REG, log + (int32_t)offsetof(JitSiteLog, count)); /* add dword, 1 */
    emit8(e, 1);
    emit_patch(e, known, e->at);
    return full;
}

static void finish(JitEmit *e, bool done)
{
    if (done)
        emit_bytes(e, (const uint8_t[]){0x31, 0xc0}, 2); /* xor eax, eax */
    else
        emit_bytes(e, (const uint8_t[]){0x83, 0xc8, 1}, 3); /* or eax, 1 */
    pop(e, GPR_RAX);
    pop(e, GPR_RDX);
    pop(e, GPR_RCX);
    emit8(e, 0xc3);
}

static const uint8_t caller_saved[] = {GPR_RSI, GPR_RDI, GPR_R8, GPR_R9, GPR_R10, GPR_R11};

/*
 * Calls mmu_fill for the address in R10; RAX, RCX and RDX are lost. Its C code may use vector registers: if
 * they are the guest's, and if the page may not be entered, the jumps are to where the interpreter
 * gets it. On the stack: the three registers, and the way back to the unit.
 */
static void call_fill(DbtJit *jit, JitEmit *e, MmuContext context, bool write, uint32_t failed[2])
{
    emit8(e, 0x83); /* cmp dword [rsp + vectors], 0 */
    emit_base_disp(e, 7, GPR_RSP, (int32_t)offsetof(JitFrame, vectors) + 4 * 8);
    emit8(e, 0);
    failed[0] = emit_jcc(e, HOST_NE, 0);
    for (unsigned i = 0; i < G_N_ELEMENTS(caller_saved); i++) {
        emit_rex(e, false, 0, 0, caller_saved[i]);
        push(e, caller_saved[i] & 7);
    }
    emit_rr(e, true, HOST_LOAD, GPR_RSI, GPR_R10);
    emit_mov_imm(e, GPR_RDI, (uintptr_t)jit->v);
    emit_mov_imm(e, GPR_RDX, write ? MMU_WRITE : MMU_READ);
    emit_mov_imm(e, GPR_RCX, context);
    jit_glue_call(jit, e, (uintptr_t)mmu_fill, 8 * (4 + G_N_ELEMENTS(caller_saved)));
    for (unsigned i = G_N_ELEMENTS(caller_saved); i-- > 0;) {
        emit_rex(e, false, 0, 0, caller_saved[i]);
        pop(e, caller_saved[i] & 7);
    }
    emit_bytes(e, (const uint8_t[]){0x84, 0xc0}, 2); /* test al, al */
    failed[1] = emit_jcc(e, HOST_E, 0);
}

static void push_scratch(JitEmit *e)
{
    push(e, GPR_RCX);
    push(e, GPR_RDX);
    push(e, GPR_RAX);
}

/* RCX = R10 - gs:[R11 + disp]; the jump is to when that is in the page, which the access crosses then. */
static uint32_t jump_if_crosses(JitEmit *e, int32_t disp)
{
    emit_rr(e, true, HOST_LOAD, GPR_RCX, GPR_R10);
    emit_gs(e, true, HOST_SUB, GPR_RCX, GPR_R11, disp);
    emit_cmp_imm(e, GPR_RCX, GUEST_PAGE_SIZE);
    return emit_jcc(e, HOST_B, 0);
}

static void glue_fill_site(DbtJit *jit, JitEmit *e, MmuContext context, bool write)
{
    int32_t table = mmu_table_offset(context, write);
    uint32_t crosses, tired, again, missing, upper, full[2], failed[2];

    jit->glue.fill_site_distance[context][write] = e->at;
    emit_gs(e, true, HOST_ADD, GPR_R10, GPR_R11, 0);
    jit->glue.fill_site[context][write] = e->at;
    push_scratch(e);
    crosses = jump_if_crosses(e, 0);
    tired = count_miss(jit, e);
    again = e->at;
    missing = look_up(e, table);
    gs_load(e, GPR_RCX, GPR_R11, 0);
    emit_gs(e, true, HOST_STORE, GPR_RDX, GPR_R11, 0);
    emit_gs(e, true, HOST_STORE, GPR_RAX, GPR_R11, (int32_t)offsetof(JitSite, delta));
    emit_bytes(e, (const uint8_t[]){0x48, 0x85, 0xd2}, 3); /* test rdx, rdx */
    upper = emit_jcc(e, HOST_S, 0);
    full[0] = note(jit, e, false);
    finish(e, true);
    emit_patch(e, upper, e->at);
    full[1] = note(jit, e, true);
    finish(e, true);

    emit_patch(e, missing, e->at);
    call_fill(jit, e, context, write, failed);
    emit_jmp(e, again);

    emit_patch(e, full[0], e->at);
    emit_patch(e, full[1], e->at);
    emit_mov_imm(e, GPR_RDX, JIT_SITE_NONE);
    emit_gs(e, true, HOST_STORE, GPR_RDX, GPR_R11, 0);
    emit_gs(e, false, 0xc7, 0, HOST_NO_REG, AREA(jit, site_tired)); /* mov dword, */
    emit32(e, SITE_LOG_FULL);
    finish(e, false);
    emit_patch(e, tired, e->at);
    emit_gs(e, false, 0xc7, 0, HOST_NO_REG, AREA(jit, site_tired));
    emit32(e, 1);
    emit_patch(e, crosses, e->at);
    emit_patch(e, failed[0], e->at);
    emit_patch(e, failed[1], e->at);
    finish(e, false);
}

static void glue_fill_table(DbtJit *jit, JitEmit *e, MmuContext context, bool write)
{
    int32_t table = mmu_table_offset(context, write);
    uint32_t crosses, go, failed[2];

    jit->glue.fill_table_distance[context][write] = e->at;
    emit_gs(e, true, HOST_ADD, GPR_R10, GPR_R11, table);
    push_scratch(e);
    crosses = jump_if_crosses(e, table);
    go = emit_jmp(e, 0);
    jit->glue.fill_table[context][write] = e->at;
    push_scratch(e);
    emit_patch(e, go, e->at);
    call_fill(jit, e, context, write, failed);
    finish(e, true);
    emit_patch(e, crosses, e->at);
    emit_patch(e, failed[0], e->at);
    emit_patch(e, failed[1], e->at);
    finish(e, false);
}

void jit_sites_glue(DbtJit *jit, JitEmit *e)
{
    for (unsigned context = 0; context < MMU_CONTEXTS; context++) {
        for (unsigned write = 0; write < 2; write++) {
            glue_fill_site(jit, e, context, write);
            glue_fill_table(jit, e, context, write);
        }
    }
}
