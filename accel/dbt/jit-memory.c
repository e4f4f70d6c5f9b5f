/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Memory operands in translated code: effective address, and the check that the page is mapped, by
 * one of three ways (mmu.h, jit-site.c):
 *
 *     at a site entry      lea  r10, [address]
 *                          sub  r10, gs:[site.tag]
 *                          cmp  r10, 4096 - size ; ja miss       neither another page nor across its end (or site.limit)
 *                          mov  r11, gs:[site.delta]             the access is at [address + r11]
 *
 *     in the table         mov  r11d, r10d ; shr r11d, 8 ; and r11d, 0xfff0     index of the entry, in bytes
 *                          sub  r10, gs:[r11 + table]
 *                          cmp  r10, 4096 - size ; ja miss
 *                          mov  r11, gs:[r11 + table + 8]        the access is at [address + r11]
 *
 *     without a register   jit-fixed.c
 *
 * An instruction has a site until it has missed often. Accesses that share a check (jit-group.c) share its delta.
 * If flags are needed behind the check they wait in AX meanwhile, and guest RAX in the frame.
 */
#include "accel/dbt/jit-translate.h"

/* The effective address in host registers; those of the frame are loaded into HOST_ADDR and HOST_TEMP. */
static HostAddress load_address(JitTranslator *t, const DbtInsn *insn)
{
    HostAddress a = {HOST_NO_REG, HOST_NO_REG, (uint8_t)__builtin_ctz(insn->scale), (int32_t)insn->disp};

    if (insn->base != INSN_NO_REG) {
        a.base = jit_host(insn->base);
        if (jit_is_spilled(insn->base)) {
            jit_emit_load_spill(t, HOST_ADDR, insn->base);
            a.base = HOST_ADDR;
        }
    }
    if (insn->index != INSN_NO_REG) {
        a.index = jit_host(insn->index);
        if (jit_is_spilled(insn->index)) {
            jit_emit_load_spill(t, HOST_TEMP, insn->index);
            a.index = HOST_TEMP;
        }
    }
    return a;
}

/* host = a, cut to 32 bits unless wide. */
static void emit_sum(JitTranslator *t, uint8_t host, const HostAddress *a, bool wide)
{
    if (a->index != HOST_NO_REG || a->disp || !wide)
        emit_lea(t->hot, wide, host, a);
    else if (a->base != host)
        emit_rr(t->hot, true, HOST_LOAD, host, a->base);
}

static void emit_address_sum(JitTranslator *t, const HostAddress *a, bool wide)
{
    emit_sum(t, HOST_ADDR, a, wide);
}

/* The host address in HOST_ADDR. */
static void collapse(JitTranslator *t, JitPlace *place)
{
    emit_address_sum(t, &place->at, true);
    *place = (JitPlace){{HOST_ADDR, HOST_NO_REG, 0, 0}, HOST_TEMP};
    t->keeps_temp = false;
}

static bool is_scratch(uint8_t host)
{
    return host == HOST_ADDR || host == HOST_TEMP;
}

/* The registers of the address keep what they have while the check runs. */
static bool can_repeat(const HostAddress *a)
{
    return !is_scratch(a->base) && !is_scratch(a->index);
}

void jit_emit_ea(JitTranslator *t, const DbtInsn *insn, uint64_t rip, uint8_t host, bool wide)
{
    uint64_t value;
    HostAddress a;

    if (jit_constant_address(insn, rip, &value)) {
        jit_emit_constant(t, t->hot, host, insn, value);
        if (!wide)
            emit_rr(t->hot, false, HOST_LOAD, host, host);
        return;
    }
    a = load_address(t, insn);
    emit_sum(t, host, &a, wide && insn->addr_size == 8);
}

/* --- Checks. --- */

JitMiss *jit_emit_miss_in(JitTranslator *t, JitEmit *e, uint8_t cc)
{
    JitMiss *miss = &t->misses[t->miss_count];

    g_assert(t->miss_count < G_N_ELEMENTS(t->misses));
    t->miss_count++;
    *miss = (JitMiss){.patch = emit_jcc(e, cc, 0)};
    return miss;
}

JitMiss *jit_emit_miss(JitTranslator *t, uint8_t cc)
{
    return jit_emit_miss_in(t, t->hot, cc);
}

static JitMiss *miss_if_beyond(JitTranslator *t, uint32_t retry, bool write)
{
    JitMiss *miss = jit_emit_miss(t, HOST_A);

    miss->retry = retry;
    miss->write = write;
    return miss;
}

/* HOST_TEMP = offset of the entry for the address in HOST_ADDR, and that the distance from the entry's tag. */
static JitMiss *check_table(JitTranslator *t, unsigned size, bool write)
{
    uint32_t retry = t->hot->at;
    JitMiss *miss;

    emit_rr(t->hot, false, HOST_LOAD, HOST_TEMP, HOST_ADDR);
    /* shr r11d, 8; and r11d, 0xfff0 */
    emit_bytes(t->hot, (const uint8_t[]){0x41, 0xc1, 0xeb, 0x08, 0x41, 0x81, 0xe3}, 7);
    emit32(t->hot, (MMU_TLB_SIZE - 1) * sizeof(MmuEntry));
    emit_gs(t->hot, true, HOST_SUB, HOST_ADDR, HOST_TEMP, mmu_table_offset(jit_context(t), write));
    emit_cmp_imm(t->hot, HOST_ADDR, (int32_t)(GUEST_PAGE_SIZE - size));
    miss = miss_if_beyond(t, retry, write);
    miss->kind = JIT_MISS_TABLE;
    return miss;
}

/* op reg, the delta in the entry at HOST_TEMP. */
static void use_table_delta(JitTranslator *t, uint8_t opcode, uint8_t reg, bool write)
{
    emit_gs(t->hot, true, opcode, reg, HOST_TEMP,
            mmu_table_offset(jit_context(t), write) + (int32_t)offsetof(MmuEntry, value));
}

/* The distance in HOST_ADDR becomes the host address. */
static void use_table_entry(JitTranslator *t, bool write)
{
    emit_gs(t->hot, true, HOST_ADD, HOST_ADDR, HOST_TEMP, mmu_table_offset(jit_context(t), write));
    use_table_delta(t, HOST_ADD, HOST_ADDR, write);
}

void jit_emit_table(JitTranslator *t, unsigned size, bool write)
{
    check_table(t, size, write);
    use_table_entry(t, write);
}

uint32_t jit_emit_site(JitTranslator *t, unsigned size, bool write, bool span)
{
    uint32_t number = jit_site_new(t->jit, t->unit, t->index, size, (write ? JIT_SITE_STORE : 0) | (span ? JIT_SITE_SPAN : 0));

    if (t->unit->block->sites_watched >> t->index & 1) {
        emit_gs(t->hot, false, 0x83, 0, HOST_NO_REG, (int32_t)jit_site_runs_offset(t->jit, number)); /* add, 1 */
        emit8(t->hot, 1);
    }
    return number;
}

/* The register has the address minus the site's tag when it is compared. */
static JitMiss *compare_site(JitTranslator *t, uint8_t reg, uint32_t site, uint32_t retry, unsigned size, bool write, bool span)
{
    uint32_t offset = jit_site_offset(t->jit, site);
    JitMiss *miss;

    emit_gs(t->hot, true, HOST_SUB, reg, HOST_NO_REG, (int32_t)offset);
    if (span)
        emit_gs(t->hot, true, HOST_CMP, reg, HOST_NO_REG, (int32_t)jit_site_limit_offset(t->jit, site));
    else
        emit_cmp_imm(t->hot, reg, (int32_t)(GUEST_PAGE_SIZE - size));
    miss = miss_if_beyond(t, retry, write);
    miss->kind = reg == HOST_ADDR ? JIT_MISS_SITE_DISTANCE : JIT_MISS_SITE;
    miss->span = span;
    miss->site = offset;
    return miss;
}

static void load_delta(JitTranslator *t, uint8_t opcode, uint8_t reg, uint32_t site)
{
    emit_gs(t->hot, true, opcode, reg, HOST_NO_REG, (int32_t)(jit_site_offset(t->jit, site) + offsetof(JitSite, delta)));
}

/* At an address of registers that are none of the scratch registers. An index has no addition to wait for that it would not have
 * without us: what goes to the delta is the base, which rarely changes meanwhile. */
static void check_site_kept(JitTranslator *t, const HostAddress *a, unsigned size, bool write, JitPlace *place)
{
    const HostAddress base = {HOST_TEMP, a->base, 0, 0};
    bool span = jit_is_span(t, t->index);
    uint32_t site, retry;

    jit_emit_park_flags(t, true);
    site = jit_emit_site(t, size, write, span);
    retry = t->hot->at;
    emit_address_sum(t, a, true);
    compare_site(t, HOST_ADDR, site, retry, size, write, span);
    jit_emit_unpark_flags(t);
    load_delta(t, HOST_LOAD, HOST_TEMP, site);
    if (a->index == HOST_NO_REG) {
        *place = (JitPlace){{a->base, HOST_TEMP, 0, a->disp}, HOST_ADDR};
        return;
    }
    if (a->base != HOST_NO_REG)
        emit_lea(t->hot, true, HOST_TEMP, &base);
    *place = (JitPlace){{HOST_TEMP, a->index, a->scale, a->disp}, HOST_ADDR};
}

/* At HOST_ADDR. spare: HOST_TEMP is needed. */
static void check_site(JitTranslator *t, unsigned size, bool write, bool spare, JitPlace *place)
{
    bool span = jit_is_span(t, t->index);
    uint32_t site, retry;

    jit_emit_park_flags(t, true);
    site = jit_emit_site(t, size, write, span);
    retry = t->hot->at;
    emit_rr(t->hot, true, HOST_LOAD, HOST_TEMP, HOST_ADDR);
    compare_site(t, HOST_TEMP, site, retry, size, write, span);
    if (spare)
        load_delta(t, HOST_ADD, HOST_ADDR, site);
    jit_emit_unpark_flags(t);
    if (!spare)
        load_delta(t, HOST_LOAD, HOST_TEMP, site);
    *place = spare ? (JitPlace){{HOST_ADDR, HOST_NO_REG, 0, 0}, HOST_TEMP}
                   : (JitPlace){{HOST_ADDR, HOST_TEMP, 0, 0}, HOST_NO_REG};
}

static bool is_hashed(const JitTranslator *t)
{
    return jit_is_hashed(t, t->index);
}

/* HOST_ADDR has the linear address; again is how it is made, NULL: that cannot be repeated. */
static void check_hashed(JitTranslator *t, const HostAddress *again, bool wide, unsigned size, bool write, bool spare,
                         JitPlace *place)
{
    jit_emit_park_flags(t, true);
    check_table(t, size, write);
    if (!again) {
        use_table_entry(t, write);
        jit_emit_unpark_flags(t);
        *place = (JitPlace){{HOST_ADDR, HOST_NO_REG, 0, 0}, HOST_TEMP};
        return;
    }
    use_table_delta(t, HOST_LOAD, HOST_TEMP, write);
    jit_emit_unpark_flags(t);
    if (wide && again->index == HOST_NO_REG) {
        *place = (JitPlace){{again->base, HOST_TEMP, 0, again->disp}, HOST_ADDR};
        return;
    }
    emit_address_sum(t, again, wide);
    *place = (JitPlace){{HOST_ADDR, HOST_TEMP, 0, 0}, HOST_NO_REG};
    if (spare)
        collapse(t, place);
}

/* HOST_ADDR has the linear address. */
static void check_address(JitTranslator *t, const HostAddress *again, bool wide, unsigned size, bool write, bool spare,
                          JitPlace *place)
{
    if (is_hashed(t))
        check_hashed(t, again, wide, size, write, spare, place);
    else
        check_site(t, size, write, spare, place);
}

/* --- Groups. --- */

/* Its accesses go from delta and base. */
static bool has_index(const JitGroup *g)
{
    return g->scale || g->kind == JIT_GROUP_ARRAY;
}

/* HOST_TEMP has the delta. HOST_ADDR is lost. */
static void add_group_base(JitTranslator *t, const JitGroup *g)
{
    uint8_t base = t->insns[t->index].base;
    const HostAddress sum = {HOST_TEMP, jit_is_spilled(base) ? HOST_ADDR : jit_host(base), 0, 0};

    if (!has_index(g))
        return;
    if (jit_is_spilled(base))
        jit_emit_load_spill(t, HOST_ADDR, base);
    emit_lea(t->hot, true, HOST_TEMP, &sum);
}

static void load_group_site(JitTranslator *t, const JitGroup *g)
{
    load_delta(t, HOST_LOAD, HOST_TEMP, g->site);
    add_group_base(t, g);
}

/* Parks flags, and makes sure that no index of the group, which are so far below and above this one, wraps around. HOST_TEMP is lost. */
static void park_and_check_index(JitTranslator *t, const JitGroup *g, uint8_t index)
{
    const HostAddress lowest = {index, HOST_NO_REG, 0, -(int32_t)g->before};
    bool checks = g->before || g->behind;

    if (checks && (g->before || (index == GPR_RAX && jit_flags_live(t)))) {
        emit_lea(t->hot, false, HOST_TEMP, &lowest);
        index = HOST_TEMP;
    }
    jit_emit_park_flags(t, true);
    if (!checks)
        return;
    emit_cmp_imm32(t->hot, index, UINT32_MAX - g->before - g->behind);
    jit_emit_miss(t, HOST_A)->kind = JIT_MISS_WRAP;
}

static void check_group_site(JitTranslator *t, JitGroup *g, const HostAddress *low, unsigned size)
{
    /* Neither the flags nor what is loaded from the frame may stand where the address is made from. */
    bool uses_rax = low->base == GPR_RAX || low->index == GPR_RAX;
    bool again = can_repeat(low) && !(uses_rax && jit_flags_live(t));
    uint8_t distance = again ? HOST_ADDR : HOST_TEMP;
    bool span = g->kind == JIT_GROUP_ARRAY || jit_is_span(t, t->index);
    uint32_t retry;
    JitMiss *miss;

    if (!again)
        emit_address_sum(t, low, true);
    park_and_check_index(t, g, low->index);
    g->site = jit_emit_site(t, size, g->write, span);
    retry = t->hot->at;
    if (again)
        emit_address_sum(t, low, true);
    else
        emit_rr(t->hot, true, HOST_LOAD, HOST_TEMP, HOST_ADDR);
    miss = compare_site(t, distance, g->site, retry, size, g->write, span);
    miss->plain = true;
    miss->known = g->known;
    jit_emit_unpark_flags(t);
    load_group_site(t, g);
}

static void check_group_hashed(JitTranslator *t, const JitGroup *g, const HostAddress *low, unsigned size)
{
    JitMiss *miss;

    emit_address_sum(t, low, true);
    park_and_check_index(t, g, low->index);
    miss = check_table(t, size, g->write);
    miss->plain = true;
    if (g->known)
        miss->kind = JIT_MISS_INTERPRET;
    use_table_delta(t, HOST_LOAD, HOST_TEMP, g->write);
    jit_emit_unpark_flags(t);
    add_group_base(t, g);
    emit_rm(t->hot, true, HOST_STORE, HOST_TEMP, GPR_RSP, jit_group_slot(g));
}

/* Where the access's registers and HOST_TEMP lead to. */
static HostAddress group_address(JitTranslator *t, const JitInsn *in, const JitGroup *g, int32_t disp)
{
    if (has_index(g))
        return (HostAddress){HOST_TEMP, jit_emit_load_guest(t, in->index, HOST_ADDR), (uint8_t)__builtin_ctz(in->insn->scale), disp};
    return (HostAddress){jit_emit_load_guest(t, in->base, HOST_ADDR), HOST_TEMP, 0, disp};
}

/* The linear address its range begins at. */
static HostAddress group_begin(JitTranslator *t, const JitInsn *in, const JitGroup *g, int32_t disp)
{
    uint8_t base = jit_emit_load_guest(t, in->base, HOST_ADDR);

    if (g->scale)
        return (HostAddress){base, jit_emit_load_guest(t, in->index, HOST_TEMP), (uint8_t)__builtin_ctz(g->scale), disp};
    return (HostAddress){base, HOST_NO_REG, 0, disp};
}

/* HOST_TEMP has what the access goes by. An array's accesses may differ in their base, and that is part of it. */
static bool is_held(const JitTranslator *t, const JitInsn *in, const JitGroup *g)
{
    return t->held == in->group && (g->kind != JIT_GROUP_ARRAY || t->held_shift == in->shift);
}

/* An access of a group at disp from its registers. Only the first one checks, for all of them. */
static void grouped_place(JitTranslator *t, const JitInsn *in, int32_t disp, bool spare, JitPlace *place)
{
    JitGroup *g = &t->groups[in->group - 1];
    unsigned size = (unsigned)(g->high - g->low);

    if (!g->checked) {
        HostAddress begin = group_begin(t, in, g, (int32_t)(g->low - in->shift));

        if (g->hashed)
            check_group_hashed(t, g, &begin, size);
        else
            check_group_site(t, g, &begin, size);
        g->checked = true;
    } else {
        t->jit->stats.shared++;
        if (!is_held(t, in, g) && g->hashed)
            emit_rm(t->hot, true, HOST_LOAD, HOST_TEMP, GPR_RSP, jit_group_slot(g));
        else if (!is_held(t, in, g))
            load_group_site(t, g);
    }
    t->held = in->group;
    t->held_shift = in->shift;
    t->keeps_temp = true;
    if (in->base == GPR_RSP)
        disp += t->sp_behind;
    place->at = group_address(t, in, g, disp);
    place->spare = place->at.base == HOST_ADDR || place->at.index == HOST_ADDR ? HOST_NO_REG : HOST_ADDR;
    if (spare && place->spare == HOST_NO_REG)
        collapse(t, place);
}

/* --- Operands. --- */

/* Whether accesses through the segment need its base only. */
static bool segment_is_inline(const JitTranslator *t, SegIndex seg, bool write)
{
    unsigned shift = JIT_MODE_SEGS_SHIFT + (write ? 6 : 0);

    return !t->is32 || t->jit->mode_key >> (shift + seg) & 1;
}

void jit_emit_add_segment(JitTranslator *t, SegIndex seg)
{
    const HostAddress sum = {HOST_ADDR, HOST_TEMP, 0, 0};

    emit_rm(t->hot, true, HOST_LOAD, HOST_TEMP, GPR_RSP, jit_base_slot(seg));
    emit_lea(t->hot, true, HOST_ADDR, &sum);
}

/* The segment's base as one more register of the address; false: there is none to spare. */
static bool put_segment(JitTranslator *t, HostAddress *a, SegIndex seg)
{
    if (a->index != HOST_NO_REG)
        return false;
    if (a->base == HOST_NO_REG)
        a->base = HOST_TEMP;
    else
        a->index = HOST_TEMP;
    emit_rm(t->hot, true, HOST_LOAD, HOST_TEMP, GPR_RSP, jit_base_slot(seg));
    return true;
}

/* The registers of the address keep what they have while flags may be in RAX, too. */
static bool is_kept(const JitTranslator *t, const HostAddress *a)
{
    return can_repeat(a) && !((a->base == GPR_RAX || a->index == GPR_RAX) && jit_flags_live(t));
}

bool jit_emit_place(JitTranslator *t, const JitInsn *in, unsigned size, bool write, bool spare, JitPlace *place)
{
    const DbtInsn *insn = in->insn;
    bool based = !t->is32 && (insn->seg == SEG_FS || insn->seg == SEG_GS), wide = insn->addr_size == 8, put = false;
    HostAddress a = {0};
    uint64_t value;

    if (!segment_is_inline(t, insn->seg, write) || insn->addr_size == 2)
        return false;
    if (in->group && t->groups[in->group - 1].kind >= JIT_GROUP_BASE) {
        jit_emit_fixed_place(t, in, spare, place);
        return true;
    }
    if (in->group) {
        grouped_place(t, in, (int32_t)insn->disp, spare, place);
        return true;
    }
    if (jit_constant_address(insn, in->rip, &value)) {
        if (!based)
            return jit_emit_constant_place(t, insn, value, size, write, place);
        jit_emit_constant(t, t->hot, HOST_ADDR, insn, value);
    } else {
        a = load_address(t, insn);
        if (!based && wide && is_kept(t, &a) && !is_hashed(t)) {
            check_site_kept(t, &a, size, write, place);
            return true;
        }
        put = based && wide && put_segment(t, &a, insn->seg);
        emit_address_sum(t, &a, wide);
    }
    if (based && !put)
        jit_emit_add_segment(t, insn->seg);
    check_address(t, !based && can_repeat(&a) ? &a : NULL, wide, size, write, spare, place);
    return true;
}

bool jit_emit_operand(JitTranslator *t, const JitInsn *in, unsigned size, bool write)
{
    JitPlace place;

    if (!jit_emit_place(t, in, size, write, true, &place))
        return false;
    collapse(t, &place);
    return true;
}

void jit_emit_touch(JitTranslator *t)
{
    emit_rex(t->hot, false, HOST_TEMP, 0, HOST_ADDR);
    emit_bytes(t->hot, (const uint8_t[]){0x0f, 0xb6}, 2); /* movzx r11d, byte [r10] */
    emit_base_disp(t->hot, HOST_TEMP, HOST_ADDR, 0);
}

void jit_emit_access_place(JitTranslator *t, const HostAddress *a, unsigned size, bool write, JitPlace *place)
{
    if (t->insns[t->index].group) {
        grouped_place(t, &t->insns[t->index], a->disp, true, place);
        return;
    }
    if (!t->is32 && is_kept(t, a) && !is_hashed(t)) {
        check_site_kept(t, a, size, write, place);
        return;
    }
    emit_lea(t->hot, !t->is32, HOST_ADDR, a);
    check_address(t, can_repeat(a) ? a : NULL, !t->is32, size, write, true, place);
}

void jit_emit_access(JitTranslator *t, const HostAddress *a, unsigned size, bool write)
{
    JitPlace place;

    jit_emit_access_place(t, a, size, write, &place);
    collapse(t, &place);
}

/* If the bit of frame.vectors is clear, loads what is wanted and not there. Changes flags. */
static void want_vectors_bit(JitTranslator *t, uint8_t bit, uint8_t wanted)
{
    uint32_t jump;

    emit8(t->hot, 0xf6); /* test byte [rsp + vectors], bit */
    emit_base_disp(t->hot, 0, GPR_RSP, JIT_FRAME(vectors));
    emit8(t->hot, bit);
    jump = emit_jcc(t->hot, HOST_E, t->cold->at);
    emit_rm(t->cold, false, HOST_LOAD, HOST_TEMP, GPR_RSP, JIT_FRAME(vectors));
    emit_bytes(t->cold, (const uint8_t[]){0x41, 0xf7, 0xd3, 0x41, 0x83, 0xe3, wanted}, 7); /* not r11d; and r11d, */
    emit_call(t->cold, t->jit->glue.load_vectors);
    emit_rm(t->cold, false, 0x09, HOST_TEMP, GPR_RSP, JIT_FRAME(vectors)); /* or */
    emit_jmp(t->cold, jump + 4);
}

void jit_emit_want_vectors(JitTranslator *t, uint8_t wanted)
{
    jit_emit_park_flags(t, false);
    if (wanted & (JIT_VECTORS_LOW | JIT_VECTORS_WIDE))
        want_vectors_bit(t, wanted & JIT_VECTORS_WIDE ? JIT_VECTORS_WIDE : JIT_VECTORS_LOW, wanted);
    if (wanted & JIT_VECTORS_HIGH)
        want_vectors_bit(t, JIT_VECTORS_HIGH, wanted);
    jit_emit_unpark_flags(t);
}

/* Has an entry filled and goes back to the check; what cannot be filled goes on behind. */
static void emit_fill_stub(JitTranslator *t, const JitMiss *miss)
{
    const JitGlue *glue = &t->jit->glue;
    MmuContext context = jit_context(t);
    JitFill fill;
    uint32_t retry;

    if (miss->keeps_temp)
        emit_rm(t->cold, true, HOST_STORE, HOST_TEMP, GPR_RSP, JIT_FRAME(temp));
    switch (miss->kind) {
    case JIT_MISS_SITE:
    case JIT_MISS_SITE_DISTANCE:
        emit_mov_imm(t->cold, HOST_TEMP, miss->site);
        fill = miss->known ? JIT_FILL_KNOWN : miss->write ? JIT_FILL_WRITE : JIT_FILL_READ;
        if (miss->span)
            emit_call(t->cold, miss->kind == JIT_MISS_SITE ? glue->fill_span[context][fill]
                                                           : glue->fill_span_distance[context][fill]);
        else
            emit_call(t->cold, miss->kind == JIT_MISS_SITE ? glue->fill_site[context][fill]
                                                           : glue->fill_site_distance[context][fill]);
        break;
    case JIT_MISS_TABLE:
        emit_call(t->cold, glue->fill_table_distance[context][miss->write]);
        break;
    case JIT_MISS_CONSTANT:
        jit_emit_constant(t, t->cold, HOST_ADDR, miss->insn, miss->address);
        emit_call(t->cold, glue->fill_table[context][miss->write]);
        break;
    case JIT_MISS_BASE:
        emit_lea(t->cold, true, HOST_ADDR, &(HostAddress){HOST_ADDR, HOST_NO_REG, 0, miss->low});
        emit_mov_imm(t->cold, HOST_TEMP, miss->site);
        emit_call(t->cold, glue->fill_base[context][miss->write]);
        break;
    default:
        return;
    }
    if (miss->keeps_temp)
        emit_rm(t->cold, true, HOST_LOAD, HOST_TEMP, GPR_RSP, JIT_FRAME(temp));
    retry = emit_jcc(t->cold, HOST_E, 0);
    emit_patch(t->cold, retry, miss->retry);
}

/* The guest's state as it is where units begin and end. */
static void emit_settle(JitTranslator *t)
{
    if (t->miss_flags)
        jit_emit_flags_back(t->cold);
    jit_emit_recover_flags(t, t->cold);
    jit_emit_x87_note(t, t->cold);
}

/* The check of a group, the only one of its instruction, perhaps behind that of the index. The dispatcher wants to hear of a site
 * that misses often. */
static void emit_group_miss(JitTranslator *t)
{
    const JitMiss *miss = &t->misses[t->miss_count - 1];
    uint32_t tired, go;

    emit_patch(t->hot, miss->patch, t->cold->at);
    emit_fill_stub(t, miss);
    emit_gs(t->cold, false, 0x83, 7, HOST_NO_REG, (int32_t)jit_area_offset(t->jit, offsetof(JitArea, site_tired)));
    emit8(t->cold, 0); /* cmp dword gs:[], 0 */
    tired = emit_jcc(t->cold, HOST_NE, 0);
    if (miss != t->misses)
        emit_patch(t->hot, t->misses[0].patch, t->cold->at);
    emit_settle(t);
    go = emit_jmp(t->cold, 0);
    emit_patch(t->cold, tired, t->cold->at);
    emit_settle(t);
    jit_emit_plain_exit(t, go);
}

void jit_emit_misses(JitTranslator *t)
{
    uint32_t common[G_N_ELEMENTS(t->misses)];
    unsigned jumps = 0;

    if (!t->miss_count)
        return;
    if (t->misses[t->miss_count - 1].plain) {
        g_assert(t->miss_count == (t->misses[0].kind == JIT_MISS_WRAP ? 2 : 1));
        emit_group_miss(t);
        return;
    }
    for (unsigned i = 0; i < t->miss_count; i++) {
        if (t->misses[i].kind == JIT_MISS_INTERPRET)
            continue;
        emit_patch(t->hot, t->misses[i].patch, t->cold->at);
        emit_fill_stub(t, &t->misses[i]);
        if (i + 1 < t->miss_count)
            common[jumps++] = emit_jmp(t->cold, 0);
    }
    while (jumps)
        emit_patch(t->cold, common[--jumps], t->cold->at);
    for (unsigned i = 0; i < t->miss_count; i++) {
        if (t->misses[i].kind == JIT_MISS_INTERPRET)
            emit_patch(t->hot, t->misses[i].patch, t->cold->at);
    }
    emit_settle(t);
    emit_mov_imm(t->cold, HOST_TEMP, JIT_ID(t->unit->id, JIT_EXIT_INSN + t->index));
    emit_call(t->cold, t->jit->glue.interpret[t->flags_in_frame]);
    if (t->x87)
        emit_call(t->cold, t->jit->glue.load_x87); /* C may have taken the registers home */
    emit_jmp(t->cold, t->hot->at);
}
