/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Filling entries (jit-site.c, mmu.h): code that units call when a check has failed. They go back to the check if it
 * will not fail again, and to the interpreter if the page may have no entry or the access crosses the end of what can be had.
 */
#include "accel/dbt/jit.h"

#include <stddef.h>

#include "accel/dbt/mmu-priv.h"

#define AREA(jit, field) ((int32_t)jit_area_offset(jit, offsetof(JitArea, field)))

/* mov reg, gs:[index + disp] and the like. */
static void gs_load(JitEmit *e, uint8_t reg, uint8_t index, int32_t disp)
{
    emit_gs(e, true, HOST_LOAD, reg, index, disp);
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

/* reg32 = number of the site at R11. */
static void number_of(DbtJit *jit, JitEmit *e, uint8_t reg)
{
    emit_rr(e, false, HOST_LOAD, reg, GPR_R11);
    emit_bytes(e, (const uint8_t[]){0x81, 0xe8 | reg}, 2); /* sub reg32, imm32 */
    emit32(e, (uint32_t)AREA(jit, sites));
    shift_right(e, reg, 4);
}

/* Counts a miss of the site in R11 unless it was empty. The jump is to when the count is at its end. */
static uint32_t count_miss(DbtJit *jit, JitEmit *e)
{
    uint32_t empty, tired;

    gs_load(e, GPR_RCX, GPR_R11, 0);
    emit_rr(e, true, HOST_ADD, GPR_RCX, GPR_RCX); /* JIT_SITE_NONE and page 0 become 0 */
    empty = emit_jcc(e, HOST_E, 0);
    number_of(jit, e, GPR_RCX);
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
    number_of(jit, e, GPR_RDX);
    emit_gs_scaled(e, false, HOST_STORE, GPR_RDX, GPR_RAX, 2, log + (int32_t)offsetof(JitSiteLog, slot));
    emit_gs(e, false, 0x83, 0, HOST_NO_REG, log + (int32_t)offsetof(JitSiteLog, count)); /* add dword, 1 */
    emit8(e, 1);
    emit_patch(e, known, e->at);
    return full;
}

static const uint8_t scratch[] = {GPR_RCX, GPR_RDX, GPR_RAX};

static void finish(JitEmit *e, bool done)
{
    if (done)
        emit_bytes(e, (const uint8_t[]){0x31, 0xc0}, 2); /* xor eax, eax */
    else
        emit_bytes(e, (const uint8_t[]){0x83, 0xc8, 1}, 3); /* or eax, 1 */
    emit_pop_all(e, scratch, G_N_ELEMENTS(scratch));
    emit8(e, 0xc3);
}

static const uint8_t caller_saved[] = {GPR_RSI, GPR_RDI, GPR_R8, GPR_R9, GPR_R10, GPR_R11};

static void push_caller_saved(JitEmit *e)
{
    emit_push_all(e, caller_saved, G_N_ELEMENTS(caller_saved));
}

/* Behind push_scratch and push_caller_saved. ZF: the function says false. */
static void call_c(DbtJit *jit, JitEmit *e, uintptr_t function)
{
    jit_glue_call(jit, e, function, 8 * (4 + G_N_ELEMENTS(caller_saved)));
    emit_pop_all(e, caller_saved, G_N_ELEMENTS(caller_saved));
    emit_bytes(e, (const uint8_t[]){0x84, 0xc0}, 2); /* test al, al */
}

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
    push_caller_saved(e);
    emit_rr(e, true, HOST_LOAD, GPR_RSI, GPR_R10);
    emit_mov_imm(e, GPR_RDI, (uintptr_t)jit->v);
    emit_mov_imm(e, GPR_RDX, write ? MMU_WRITE : MMU_READ);
    emit_mov_imm(e, GPR_RCX, context);
    call_c(jit, e, (uintptr_t)mmu_fill);
    failed[1] = emit_jcc(e, HOST_E, 0);
}

/* The page is in no table: goes on at again when it is, or by the jumps if it cannot be, or is not to be. */
static void fill_table(DbtJit *jit, JitEmit *e, MmuContext context, JitFill fill, uint32_t again, uint32_t failed[2])
{
    if (fill != JIT_FILL_KNOWN) {
        call_fill(jit, e, context, fill == JIT_FILL_WRITE, failed);
        emit_jmp(e, again);
        return;
    }
    failed[0] = failed[1] = emit_jmp(e, 0);
}

static void push_scratch(JitEmit *e)
{
    emit_push_all(e, scratch, G_N_ELEMENTS(scratch));
}

/* RCX = R10 - gs:[R11 + disp]; the jump is to when that is in the page, which the access crosses then. */
static uint32_t jump_if_crosses(JitEmit *e, int32_t disp)
{
    emit_rr(e, true, HOST_LOAD, GPR_RCX, GPR_R10);
    emit_gs(e, true, HOST_SUB, GPR_RCX, GPR_R11, disp);
    emit_cmp_imm(e, GPR_RCX, GUEST_PAGE_SIZE);
    return emit_jcc(e, HOST_B, 0);
}

/* The site at R11 gets the page RDX with the delta RAX, and that is that; the jump is to when the log is full. */
static uint32_t store_page(DbtJit *jit, JitEmit *e)
{
    uint32_t upper, full[2];

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
    emit_patch(e, full[0], e->at);
    emit_patch(e, full[1], e->at);
    emit_mov_imm(e, GPR_RDX, JIT_SITE_NONE);
    emit_gs(e, true, HOST_STORE, GPR_RDX, GPR_R11, 0);
    emit_gs(e, false, 0xc7, 0, HOST_NO_REG, AREA(jit, site_tired)); /* mov dword, */
    emit32(e, JIT_SITE_LOG_FULL);
    return emit_jmp(e, 0);
}

static void glue_fill_site(DbtJit *jit, JitEmit *e, MmuContext context, JitFill fill)
{
    int32_t table = mmu_table_offset(context, fill != JIT_FILL_READ);
    uint32_t crosses, tired, again, missing, full, failed[2];

    jit->glue.fill_site_distance[context][fill] = e->at;
    emit_gs(e, true, HOST_ADD, GPR_R10, GPR_R11, 0);
    jit->glue.fill_site[context][fill] = e->at;
    push_scratch(e);
    crosses = jump_if_crosses(e, 0);
    tired = count_miss(jit, e);
    again = e->at;
    missing = look_up(e, table);
    full = store_page(jit, e);

    emit_patch(e, missing, e->at);
    fill_table(jit, e, context, fill, again, failed);

    emit_patch(e, tired, e->at);
    emit_gs(e, false, 0xc7, 0, HOST_NO_REG, AREA(jit, site_tired));
    emit32(e, JIT_SITE_MISSED);
    emit_patch(e, full, e->at);
    emit_patch(e, crosses, e->at);
    emit_patch(e, failed[0], e->at);
    emit_patch(e, failed[1], e->at);
    finish(e, false);
}

/* The function is told the address in R10, the number of the site at R11 and that of the table; the jump is to when it says false. */
static uint32_t call_refill(DbtJit *jit, JitEmit *e, uintptr_t function, MmuContext context, bool write)
{
    number_of(jit, e, GPR_RDX);
    push_caller_saved(e);
    emit_rr(e, true, HOST_LOAD, GPR_RSI, GPR_R10);
    emit_mov_imm(e, GPR_RDI, (uintptr_t)jit);
    emit_mov_imm(e, GPR_RCX, 2 * context + write);
    call_c(jit, e, function);
    return emit_jcc(e, HOST_E, 0);
}

/* What is more than a page for an empty site is not done here: one that had something else (or page 0), an access across
 * the page's end. RDX is the page; limit: the displacement of the site's from it. */
static void jump_unless_plain(JitEmit *e, int32_t limit, uint32_t jumps[2])
{
    gs_load(e, GPR_RCX, GPR_R11, (int32_t)offsetof(JitSite, tag));
    emit_rr(e, true, HOST_ADD, GPR_RCX, GPR_RCX); /* JIT_SITE_NONE becomes 0 */
    jumps[0] = emit_jcc(e, HOST_NE, 0);
    emit_rr(e, true, HOST_LOAD, GPR_RCX, GPR_R10);
    emit_rr(e, true, HOST_SUB, GPR_RCX, GPR_RDX);
    emit_gs(e, true, HOST_CMP, GPR_RCX, GPR_R11, limit + (int32_t)offsetof(JitLimit, page));
    jumps[1] = emit_jcc(e, HOST_G, 0);
}

/* The same for one that holds a span: it gets a page if it is empty; the rest is jit_span_refill's. */
static void glue_fill_span(DbtJit *jit, JitEmit *e, MmuContext context, JitFill fill)
{
    bool write = fill != JIT_FILL_READ;
    int32_t limit = AREA(jit, limits) - AREA(jit, sites[JIT_SPAN_FIRST]);
    uint32_t again, missing, refill[2], useless, full, failed[2];

    jit->glue.fill_span_distance[context][fill] = e->at;
    emit_gs(e, true, HOST_ADD, GPR_R10, GPR_R11, 0);
    jit->glue.fill_span[context][fill] = e->at;
    push_scratch(e);
    again = e->at;
    missing = look_up(e, mmu_table_offset(context, write));
    jump_unless_plain(e, limit, refill);
    gs_load(e, GPR_RCX, GPR_R11, limit + (int32_t)offsetof(JitLimit, page));
    emit_gs(e, true, HOST_STORE, GPR_RCX, GPR_R11, limit + (int32_t)offsetof(JitLimit, span));
    full = store_page(jit, e);

    emit_patch(e, missing, e->at);
    fill_table(jit, e, context, fill, again, failed);

    emit_patch(e, refill[0], e->at);
    emit_patch(e, refill[1], e->at);
    useless = call_refill(jit, e, (uintptr_t)jit_span_refill, context, write);
    finish(e, true);

    emit_patch(e, full, e->at);
    emit_patch(e, useless, e->at);
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

static void glue_fill_base(DbtJit *jit, JitEmit *e, MmuContext context, bool write)
{
    uint32_t crosses, again, missing, useless, failed[2];

    jit->glue.fill_base[context][write] = e->at;
    push_scratch(e);
    emit_rr(e, false, HOST_LOAD, GPR_RCX, GPR_R10);
    and_imm(e, GPR_RCX, GUEST_PAGE_SIZE - 1);
    emit_cmp_imm(e, GPR_RCX, GUEST_PAGE_SIZE - JIT_BASE_BYTES);
    crosses = emit_jcc(e, HOST_A, 0); /* before a walk for a page that the access may not be in */
    again = e->at;
    missing = look_up(e, mmu_table_offset(context, write));
    useless = call_refill(jit, e, (uintptr_t)jit_base_refill, context, write);
    finish(e, true);

    emit_patch(e, missing, e->at);
    fill_table(jit, e, context, write ? JIT_FILL_WRITE : JIT_FILL_READ, again, failed);
    emit_patch(e, crosses, e->at);
    emit_patch(e, useless, e->at);
    emit_patch(e, failed[0], e->at);
    emit_patch(e, failed[1], e->at);
    finish(e, false);
}

void jit_sites_glue(DbtJit *jit, JitEmit *e)
{
    for (unsigned context = 0; context < MMU_CONTEXTS; context++) {
        for (JitFill fill = 0; fill < JIT_FILLS; fill++) {
            glue_fill_site(jit, e, context, fill);
            glue_fill_span(jit, e, context, fill);
        }
        glue_fill_table(jit, e, context, false);
        glue_fill_table(jit, e, context, true);
        glue_fill_base(jit, e, context, false);
        glue_fill_base(jit, e, context, true);
    }
}
