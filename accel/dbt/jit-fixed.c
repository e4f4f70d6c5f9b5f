/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Memory operands without a register: constant addresses, and what lies at constant distances from the base of FS or GS (a
 * thread's variables, a processor's).
 *
 *     constant address     cmp  gs:[entry], page ; jne miss
 *                          mov  r10, gs:[entry + 8]              the access is at [r10 + address]
 *                          or, if that is long or may move (jit-move.c), the page in R10, and
 *                          add  r10, gs:[entry + 8]              the access is at [r10 + offset in the page]
 *
 *     fs:[disp]            mov  r10, [base of FS]
 *                          cmp  r10, gs:[site.tag] ; jne miss    the same base as last time
 *                          add  r10, gs:[site.delta]             the access is at [r10 + disp]
 *
 * A constant address' entry is that of its page in the tables (mmu.h). For the bases there are entries of their own, behind
 * the sites (jit-site.c): each for one segment, direction and JIT_BASE_BYTES, for all code of a context. So code that
 * runs rarely finds them filled, too. Which one it is is part of the code, so an entry is somebody else's only when all units are gone;
 * should there be too many, the segment's base is added to the address as to any other.
 *
 * A base entry's tag is the base it was filled for, with which all its bytes were in one page, and checked like a site's. Where
 * they cross the end of a page it stays empty, and who asks goes on in a unit without groups (jit-group.c), as do those that may not have
 * their page.
 */
#include "accel/dbt/jit-translate.h"

/* Compiled for general registers alone: called from translated code that may have the guest's vectors in the host's. */
#define GENERAL __attribute__((target("general-regs-only")))

/* --- Constant addresses. --- */

bool jit_constant_address(const DbtInsn *insn, uint64_t rip, uint64_t *value)
{
    if (insn->base != INSN_NO_REG || insn->index != INSN_NO_REG)
        return false;
    *value = (uint64_t)insn->disp + (insn->flags & INSN_RIP_REL ? rip + insn->len : 0);
    if (insn->addr_size != 8)
        *value = (uint32_t)*value;
    return true;
}

bool jit_peek(const JitTranslator *t, uint64_t address, uint64_t *value)
{
    unsigned size = jit_word(t);
    const void *host = mmu_entry_host(t->jit->v->mmu->tables[2 * jit_context(t)], address, size);

    if (host)
        *value = mmu_host_load(host, size);
    return host != NULL;
}

void jit_emit_constant(JitTranslator *t, JitEmit *e, uint8_t host, const DbtInsn *insn, uint64_t value)
{
    if (insn->flags & INSN_RIP_REL)
        jit_emit_mov_address(t, e, host, value);
    else
        emit_mov_imm(e, host, value);
}

/* The displacement just emitted is that of the entry of a constant address. */
static void note_entry(JitTranslator *t, bool moves)
{
    if (moves)
        jit_note_address(t, t->hot, JIT_ADDRESS_TLB);
}

/* The address fits where only 32 bits of it do, for all of its page. */
static bool is_brief(const DbtInsn *insn, uint64_t address)
{
    return !(insn->flags & INSN_RIP_REL) && (int64_t)address == (int32_t)address;
}

/* Where the access is once HOST_ADDR is what the check leaves there. */
static JitPlace constant_place(const DbtInsn *insn, uint64_t address)
{
    int32_t disp = (int32_t)(is_brief(insn, address) ? address : address & ~GUEST_PAGE_MASK);

    return (JitPlace){{HOST_ADDR, HOST_NO_REG, 0, disp}, HOST_TEMP};
}

static JitMiss *check_constant(JitTranslator *t, const DbtInsn *insn, uint64_t address, bool write)
{
    uint64_t page = address & GUEST_PAGE_MASK, slot = address >> GUEST_PAGE_BITS & (MMU_TLB_SIZE - 1);
    int32_t entry = mmu_table_offset(jit_context(t), write) + (int32_t)(slot * sizeof(MmuEntry));
    int32_t delta = entry + (int32_t)offsetof(MmuEntry, value);
    bool moves = insn->flags & INSN_RIP_REL, brief = is_brief(insn, address);
    uint32_t retry;
    JitMiss *miss;

    jit_emit_park_flags(t, true);
    retry = t->hot->at;
    if (brief) {
        emit_gs(t->hot, true, 0x81, 7, HOST_NO_REG, entry); /* cmp qword, imm32 */
        emit32(t->hot, (uint32_t)page);
    } else {
        jit_emit_constant(t, t->hot, HOST_ADDR, insn, page);
        emit_gs(t->hot, true, HOST_CMP, HOST_ADDR, HOST_NO_REG, entry);
        note_entry(t, moves);
    }
    miss = jit_emit_miss(t, HOST_NE);
    miss->kind = JIT_MISS_CONSTANT;
    miss->retry = retry;
    miss->write = write;
    miss->address = address;
    miss->insn = insn;
    emit_gs(t->hot, true, brief ? HOST_LOAD : HOST_ADD, HOST_ADDR, HOST_NO_REG, delta);
    note_entry(t, moves);
    jit_emit_unpark_flags(t);
    return miss;
}

bool jit_emit_constant_place(JitTranslator *t, const DbtInsn *insn, uint64_t address, unsigned size, bool write, JitPlace *place)
{
    if ((address & ~GUEST_PAGE_MASK) > GUEST_PAGE_SIZE - size)
        return false;
    check_constant(t, insn, address, write);
    *place = constant_place(insn, address);
    return true;
}

/* --- Entries for the bases of segments. --- */

/* As the sites' pools (jit-site.c). */
static const struct {
    uint32_t first, count;
} pools[MMU_CONTEXTS][2] = {
    [MMU_USER] = {{0, 448}, {448, 192}},
    [MMU_SUPERVISOR] = {{640, 512}, {1152, 256}},
    [MMU_SUPERVISOR_AC] = {{1408, 64}, {1472, 64}},
};

G_STATIC_ASSERT(JIT_BASE_FIRST + 1536 == JIT_SITES);

bool jit_base_is_store(uint32_t number)
{
    for (unsigned context = 0; context < MMU_CONTEXTS; context++) {
        if (number - JIT_BASE_FIRST - pools[context][true].first < pools[context][true].count)
            return true;
    }
    return false;
}

bool jit_base_find(JitTranslator *t, JitGroup *g)
{
    DbtJit *jit = t->jit;
    MmuContext context = jit_context(t);
    uint32_t first = pools[context][g->write].first, *count = &jit->base_count[context][g->write];
    JitBase *bases = &jit->area->bases[first];
    uint32_t n = 0;

    while (n < *count && (bases[n].low != g->low || bases[n].segment != g->segment))
        n++;
    if (n == pools[context][g->write].count)
        return false;
    if (n == *count) {
        bases[n] = (JitBase){(int32_t)g->low, g->segment};
        ++*count;
    }
    g->site = JIT_BASE_FIRST + first + n;
    return true;
}

void jit_bases_reset(DbtJit *jit)
{
    memset(jit->base_count, 0, sizeof(jit->base_count));
    for (uint32_t number = JIT_BASE_FIRST; number < JIT_SITES; number++)
        jit->area->sites[number].tag = JIT_SITE_NONE;
}

GENERAL bool jit_base_refill(DbtJit *jit, uint64_t linear, uint32_t number, uint32_t table)
{
    JitArea *area = jit->area;
    JitSite *site = &area->sites[number];
    uint64_t page = linear & GUEST_PAGE_MASK;
    uint64_t base = linear - (uint64_t)(int64_t)area->bases[number - JIT_BASE_FIRST].low;

    /* What crosses the page's end does not come here. The log the entry is in goes by the half its tag is in. */
    if (linear - page > GUEST_PAGE_SIZE - JIT_BASE_BYTES || (base ^ linear) >> 63)
        return false;
    if (!jit_site_note(area, number, page, page)) {
        site->tag = JIT_SITE_NONE;
        area->site_tired = JIT_SITE_LOG_FULL;
        return false;
    }
    *site = (JitSite){base, jit->v->mmu->tables[table][page >> GUEST_PAGE_BITS & (MMU_TLB_SIZE - 1)].value};
    return true;
}

static JitMiss *check_base(JitTranslator *t, const JitGroup *g)
{
    int32_t entry = (int32_t)jit_site_offset(t->jit, g->site);
    uint32_t retry;
    JitMiss *miss;

    jit_emit_park_flags(t, true);
    retry = t->hot->at;
    emit_rm(t->hot, true, HOST_LOAD, HOST_ADDR, GPR_RSP, jit_base_slot(g->segment));
    emit_gs(t->hot, true, HOST_CMP, HOST_ADDR, HOST_NO_REG, entry);
    miss = jit_emit_miss(t, HOST_NE);
    miss->kind = JIT_MISS_BASE;
    miss->retry = retry;
    miss->write = g->write;
    miss->site = (uint32_t)entry;
    miss->low = (int32_t)g->low;
    emit_gs(t->hot, true, HOST_ADD, HOST_ADDR, HOST_NO_REG, entry + (int32_t)offsetof(JitSite, delta));
    jit_emit_unpark_flags(t);
    return miss;
}

/* --- Groups of both. --- */

void jit_emit_fixed_place(JitTranslator *t, const JitInsn *in, bool spare, JitPlace *place)
{
    JitGroup *g = &t->groups[in->group - 1];
    bool base = g->kind == JIT_GROUP_BASE;
    uint64_t value = 0;
    JitMiss *miss;

    jit_constant_address(in->insn, in->rip, &value);
    if (g->checked && g->keeps) {
        emit_rm(t->hot, true, HOST_LOAD, HOST_ADDR, GPR_RSP, jit_group_slot(g));
        t->jit->stats.shared++;
    } else {
        miss = base ? check_base(t, g) : check_constant(t, in->insn, value, g->write);
        miss->plain = true;
        miss->keeps_temp = t->held && !spare;
        if (g->keeps)
            emit_rm(t->hot, true, HOST_STORE, HOST_ADDR, GPR_RSP, jit_group_slot(g));
        g->checked = true;
    }
    if (base && in->insn->flags & INSN_RIP_REL)
        t->unit->fixed = true; /* another entry would be the right one elsewhere */
    t->keeps_temp = !spare;
    *place = base ? (JitPlace){{HOST_ADDR, HOST_NO_REG, 0, (int32_t)value}, HOST_TEMP} : constant_place(in->insn, value);
}
