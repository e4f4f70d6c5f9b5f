/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Translating one block: decode, look at the flags, emit.
 *
 * What an instruction becomes is decided by the table at the end; mnemonics without a row are
 * re-encoded if jit-encode.c can, else the interpreter runs them. To teach the translator an instruction,
 * write an emitter and give it a row.
 */
#include "accel/dbt/jit-translate.h"

#include "accel/dbt/ops.h"

typedef struct JitRow {
    uint16_t mnemonic; /* ZydisMnemonic */
    JitEmitter emit;
    bool (*fits)(const JitTranslator *t, const JitInsn *in); /* NULL: all forms */
} JitRow;

#define ATTEMPTS 8 /* at translating a block, of which one cannot be interrupted; the counter stays at its end */

/* --- Small emitters. --- */

static bool emit_nothing(JitTranslator *t, const JitInsn *in)
{
    t->keeps_temp = true;
    return true;
}

static bool emit_lea_insn(JitTranslator *t, const JitInsn *in)
{
    uint8_t guest = in->insn->reg;
    bool spilled = jit_is_spilled(guest), brief = in->dec.operand_width == 16;

    if (spilled && brief)
        return false;
    jit_emit_ea(t, in->insn, in->rip, spilled || brief ? HOST_ADDR : jit_host(guest), in->dec.operand_width == 64);
    t->keeps_temp = in->insn->index == INSN_NO_REG || !jit_is_spilled(in->insn->index);
    if (spilled) {
        jit_emit_store_spill(t, guest, HOST_ADDR);
    } else if (brief) {
        emit8(t->hot, 0x66);
        emit_rr(t->hot, false, HOST_LOAD, jit_host(guest), HOST_ADDR);
    }
    return true;
}

/* 40..4F are prefixes in 64-bit code. */
static bool emit_inc_dec32(JitTranslator *t, const JitInsn *in)
{
    uint8_t guest = in->dec.opcode & 7, digit = in->dec.opcode >> 3 & 1;

    if (in->dec.operand_width == 16)
        emit8(t->hot, 0x66);
    emit_rr(t->hot, false, 0xff, digit, jit_host(guest));
    return true;
}

/* MOV between the accumulator and an address in the instruction. */
static bool emit_moffs(JitTranslator *t, const JitInsn *in)
{
    bool write = in->dec.opcode & 2;
    unsigned size = in->insn->op_size;

    if (!jit_emit_operand(t, in, size, write))
        return false;
    if (size == 2)
        emit8(t->hot, 0x66);
    emit_rm(t->hot, size == 8, (write ? 0x88 : 0x8a) | (size > 1), GPR_RAX, HOST_ADDR, 0);
    return true;
}

/* --- Forms. --- */

static bool fits_near_branch(const JitTranslator *t, const JitInsn *in)
{
    return in->dec.meta.branch_type != ZYDIS_BRANCH_TYPE_FAR && in->dec.operand_width == 8 * jit_word(t);
}

static bool fits_inc_dec32(const JitTranslator *t, const JitInsn *in)
{
    return t->is32 && in->dec.opcode_map == ZYDIS_OPCODE_MAP_DEFAULT && in->dec.opcode >= 0x40 &&
           in->dec.opcode <= 0x4f;
}

static bool fits_moffs(const JitTranslator *t, const JitInsn *in)
{
    return in->dec.opcode_map == ZYDIS_OPCODE_MAP_DEFAULT && in->dec.opcode >= 0xa0 && in->dec.opcode <= 0xa3;
}

static bool fits_lea(const JitTranslator *t, const JitInsn *in)
{
    return in->insn->addr_size != 2;
}

static const JitRow *row_of(const JitTranslator *t, const JitInsn *in);

static JitEmitter pick_emitter(const JitTranslator *t, const JitInsn *in)
{
    const JitRow *row = row_of(t, in);

    if (in->insn->handler == dbt_op_undefined)
        return NULL;
    if (row)
        return row->emit;
    return jit_can_reencode(t, in) ? jit_emit_reencoded : NULL;
}

/* --- The unit. --- */

/* false: Zydis and the block disagree, which means that a feature bit changed the meaning. */
static bool decode_insn(JitTranslator *t, JitInsn *in, const DbtInsn *insn)
{
    if (!ZYAN_SUCCESS(ZydisDecoderDecodeFull(&t->decoder[t->is32], in->bytes, insn->len, &in->dec, in->operands)) ||
        in->dec.length != insn->len || in->dec.mnemonic != insn->mnemonic) {
        memset(&in->dec, 0, sizeof(in->dec));
        in->emit = NULL;
        in->x87 = false;
        in->vectors = 0;
        in->flags = (JitFlags){.reads = RFLAGS_ARITH, .touches = RFLAGS_ARITH};
        return false;
    }
    in->flags = jit_insn_flags(&in->dec, in->bytes);
    in->emit = pick_emitter(t, in);
    in->vectors = in->emit == jit_emit_reencoded ? jit_uses_vectors(in) : in->emit == jit_emit_gather ? JIT_VECTORS_LOW : 0;
    in->x87 = (in->emit == jit_emit_reencoded || in->emit == jit_emit_fldcw) && jit_uses_x87(in);
    return true;
}

/*
 * Somebody wants the vCPU, and a unit takes 10 us and more to make: the block is interpreted this time. Not always, so that one who
 * asks all the time does not keep translation away.
 */
static bool is_interrupted(const JitTranslator *t, const DbtBlock *block)
{
    const DbtVcpu *v = t->jit->v;

    return G_UNLIKELY(vcpu_requests(v->cpu)) && block->heat % ATTEMPTS != ATTEMPTS - 1 && !v->accel->lock_step;
}

static bool decode_insns(JitTranslator *t, DbtBlock *block, uint64_t rip, bool *known)
{
    const DbtInsn *insns = dbt_block_insns(t->jit->v, block);
    unsigned offset = 0;

    t->count = block->count;
    for (unsigned i = 0; i < block->count; i++) {
        JitInsn *in = &t->insns[i];

        in->insn = &insns[i];
        in->bytes = block->bytes + offset;
        in->rip = rip + (uint64_t)insns[i].offset;
        in->next = i + 1 < block->count ? rip + (uint64_t)insns[i + 1].offset : 0;
        *known = decode_insn(t, in, in->insn);
        offset += in->insn->len;
        if (is_interrupted(t, block))
            return false;
    }
    return true;
}

/* known: what the last instruction is. */
static JitEnd end_of_block(const JitTranslator *t, bool known)
{
    const JitInsn *last = &t->insns[t->count - 1];

    if (!known)
        return JIT_END_INTERPRETER;
    switch (last->dec.meta.category) {
    case ZYDIS_CATEGORY_RET:
    case ZYDIS_CATEGORY_CALL:
    case ZYDIS_CATEGORY_UNCOND_BR:
        if (!last->emit)
            return JIT_END_INTERPRETER;
        return last->dec.raw.imm[0].is_relative ? JIT_END_NEXT : JIT_END_INDIRECT;
    case ZYDIS_CATEGORY_COND_BR:
        return last->emit ? JIT_END_NEXT : JIT_END_INTERPRETER;
    case ZYDIS_CATEGORY_SYSCALL:
    case ZYDIS_CATEGORY_SYSRET:
    case ZYDIS_CATEGORY_INTERRUPT:
    case ZYDIS_CATEGORY_SYSTEM:
        return JIT_END_INTERPRETER;
    default:
        return JIT_END_NEXT;
    }
}

static void emit_interpreted(JitTranslator *t)
{
    jit_emit_x87_note(t, t->hot);
    t->x87 = false;
    jit_emit_recover_flags(t, t->hot);
    emit_mov_imm(t->hot, HOST_TEMP, JIT_ID(t->unit->id, JIT_EXIT_INSN + t->index));
    emit_call(t->hot, t->jit->glue.interpret[t->flags_in_frame]);
}

static bool emit_it(JitTranslator *t, const JitInsn *in)
{
    if (in->vectors & ~t->vectors)
        jit_emit_want_vectors(t, in->vectors & ~t->vectors);
    if (in->x87 && !t->x87)
        jit_emit_want_x87(t);
    if (in->vectors & ~t->vectors || (in->x87 && !t->x87))
        t->held = 0; /* loading them may have taken HOST_TEMP */
    if (!jit_stack_moves(t, in) && !in->emit(t, in))
        return false;
    t->vectors |= in->vectors;
    t->x87 |= in->x87;
    return true;
}

static void emit_insn(JitTranslator *t, const JitInsn *in)
{
    uint32_t hot = t->hot->at, cold = t->cold->at, exits = t->unit->exit_count, note = t->x87_note;
    uint16_t addresses = t->unit->address_count;
    bool first = in->group && !t->groups[in->group - 1].checked;
    int32_t sp_behind = t->sp_behind;

    t->miss_count = 0;
    t->miss_flags = t->keeps_temp = false;
    t->sp_lags = jit_stack_may_lag(t, in);
    if (!t->sp_lags)
        jit_emit_sp_settle(t);
    if (in->emit && emit_it(t, in)) {
        if (!t->keeps_temp)
            t->held = 0;
        g_assert(!t->miss_count || !t->sp_behind);
        jit_emit_misses(t);
        if (in->x87)
            jit_x87_emitted(t, in);
        return;
    }
    if (first)
        jit_group_give_up(t, in->group);
    t->held = 0;
    t->x87_note = note;
    t->hot->at = hot;
    t->cold->at = cold;
    t->unit->exit_count = exits;
    t->unit->address_count = addresses;
    t->sp_behind = sp_behind;
    jit_emit_sp_settle(t);
    t->jit->stats.fallbacks++;
    t->unit->pure &= in->dec.meta.category == ZYDIS_CATEGORY_STRINGOP;
    emit_interpreted(t);
}

/* Whether control goes on behind the last instruction. */
static bool falls_through(const JitInsn *last)
{
    switch (last->dec.meta.category) {
    case ZYDIS_CATEGORY_RET:
    case ZYDIS_CATEGORY_CALL:
    case ZYDIS_CATEGORY_UNCOND_BR:
    case ZYDIS_CATEGORY_SYSCALL:
    case ZYDIS_CATEGORY_SYSRET:
        return !last->emit;
    default:
        return true;
    }
}

/* Nobody knows of the unit yet. */
static JitUnit *interrupted(JitTranslator *t)
{
    t->jit->stats.interrupted++;
    return NULL;
}

/* All of the unit from t->hot and t->cold on; false: interrupted. */
static bool emit_unit(JitTranslator *t, const DbtBlock *block)
{
    DbtJit *jit = t->jit;
    JitUnit *u = t->unit;
    const JitInsn *last = &t->insns[t->count - 1];

    u->begin = t->hot->at;
    u->cold = t->cold->at;
    t->flags_in_frame = t->x87 = false;
    t->vectors = 0;
    t->string_spans = 0;
    t->held = 0;
    t->sp_behind = 0;
    t->x87_note = 0;
    t->branch_count = 0;
    for (unsigned i = 0; i < t->group_count; i++)
        t->groups[i].checked = false;
    jit_emit_entries(t);
    for (t->index = 0; t->index < t->count; t->index++) {
        t->flags_in_frame = (int)t->index > t->save_point;
        jit->offsets[u->offsets + t->index] = (uint16_t)(t->hot->at - u->begin);
        emit_insn(t, &t->insns[t->index]);
        jit_emit_keep_operands(t);
        if ((int)t->index == t->save_point && t->remakes)
            jit_emit_note_flags(t);
        else if ((int)t->index == t->save_point)
            jit_emit_save_flags(t->hot);
        if (is_interrupted(t, block))
            return false;
    }
    jit_emit_sp_settle(t);
    t->flags_in_frame = (int)t->count > t->save_point;
    if (falls_through(last))
        jit_emit_exit(t, t->is32 ? (uint32_t)(last->rip + last->insn->len) : last->rip + last->insn->len);
    u->end = t->hot->at;
    u->cold_end = t->cold->at;
    return true;
}

/* A second time if its branches lie better elsewhere. */
static bool emit_placed(JitTranslator *t, const DbtBlock *block)
{
    const JitUnit unit = *t->unit;
    uint32_t hot = t->hot->at, cold = t->cold->at, sites[MMU_CONTEXTS][JIT_SITE_KINDS];
    unsigned skip;

    memcpy(sites, t->jit->next_site, sizeof(sites));
    if (!emit_unit(t, block))
        return false;
    skip = t->has_sites ? jit_place_unit(t) : 0;
    if (!skip)
        return true;
    *t->unit = unit;
    memcpy(t->jit->next_site, sites, sizeof(sites));
    t->hot->at = hot + skip;
    t->cold->at = cold;
    return emit_unit(t, block);
}

JitUnit *jit_translate(DbtJit *jit, DbtBlock *block, uint64_t rip, bool plain)
{
    JitTranslator *t = jit->translator;
    JitUnit *u = jit_unit_new(jit, block, rip, plain);
    uint32_t hot = t->hot->at, cold = t->cold->at;
    bool known = true;

    t->unit = u;
    t->is32 = jit->mode_key & JIT_MODE_32;
    t->exit_mode = jit->mode;
    if (!decode_insns(t, block, rip, &known))
        return interrupted(t);
    jit_flags_analyse(t, end_of_block(t, known));
    t->has_sites = block->hot || jit->v->accel->translate_after <= 1;
    if (t->has_sites)
        t->counts = block->sites_watched ? JIT_RUNS_WATCHED : 0;
    else
        t->counts = jit->v->accel->hot_after;
    t->predicted = jit_predict(t);
    jit_groups_find(t);
    jit_frame_note_writes(t);
    u->fixed = t->is32 || block->crosses;
    if (!emit_placed(t, block)) {
        t->hot->at = hot;
        t->cold->at = cold;
        return interrupted(t);
    }
    u->save_point = t->save_point;
    u->flags_out = t->flags_out;
    u->flags_undefined = t->flags_undefined;
    jit_unit_publish(jit, u);
    return u;
}

bool jit_translator_init(DbtJit *jit)
{
    JitTranslator *t = g_new0(JitTranslator, 1);

    jit->translator = t;
    t->jit = jit;
    t->hot = &jit->hot;
    t->cold = &jit->cold;
    ZydisDecoderInit(&t->decoder[0], ZYDIS_MACHINE_MODE_LONG_64, ZYDIS_STACK_WIDTH_64);
    ZydisDecoderInit(&t->decoder[1], ZYDIS_MACHINE_MODE_LEGACY_32, ZYDIS_STACK_WIDTH_32);
    for (unsigned i = 0; i < G_N_ELEMENTS(t->decoder); i++) {
        ZydisDecoderEnableMode(&t->decoder[i], ZYDIS_DECODER_MODE_MPX, ZYAN_FALSE);
        ZydisDecoderEnableMode(&t->decoder[i], ZYDIS_DECODER_MODE_CET, ZYAN_FALSE);
        ZydisDecoderEnableMode(&t->decoder[i], ZYDIS_DECODER_MODE_CLDEMOTE, ZYAN_FALSE);
    }
    return true;
}

void jit_translator_release(DbtJit *jit)
{
    g_clear_pointer(&jit->translator, g_free);
}

#define STRING(name)                                                                                                   \
    {ZYDIS_MNEMONIC_##name##B, jit_emit_string, jit_fits_string},                                                      \
        {ZYDIS_MNEMONIC_##name##W, jit_emit_string, jit_fits_string},                                                  \
        {ZYDIS_MNEMONIC_##name##D, jit_emit_string, jit_fits_string},                                                  \
        {ZYDIS_MNEMONIC_##name##Q, jit_emit_string, jit_fits_string}
#define GATHER(name) {ZYDIS_MNEMONIC_##name, jit_emit_gather, jit_fits_gather}
#define JCC(cc) {ZYDIS_MNEMONIC_J##cc, jit_emit_jcc, fits_near_branch}

static const JitRow rows[] = {
    {ZYDIS_MNEMONIC_NOP, emit_nothing, NULL},
    {ZYDIS_MNEMONIC_PREFETCH, emit_nothing, NULL},
    {ZYDIS_MNEMONIC_PREFETCHNTA, emit_nothing, NULL},
    {ZYDIS_MNEMONIC_PREFETCHT0, emit_nothing, NULL},
    {ZYDIS_MNEMONIC_PREFETCHT1, emit_nothing, NULL},
    {ZYDIS_MNEMONIC_PREFETCHT2, emit_nothing, NULL},
    {ZYDIS_MNEMONIC_PREFETCHW, emit_nothing, NULL},
    {ZYDIS_MNEMONIC_LEA, emit_lea_insn, fits_lea},
    {ZYDIS_MNEMONIC_MOV, emit_moffs, fits_moffs},
    {ZYDIS_MNEMONIC_MOV, jit_emit_mov_from_segment, jit_fits_mov_from_segment},
    {ZYDIS_MNEMONIC_MOV, jit_emit_mov_from_control, jit_fits_mov_from_control},
    {ZYDIS_MNEMONIC_RDFSBASE, jit_emit_read_base, NULL},
    {ZYDIS_MNEMONIC_RDGSBASE, jit_emit_read_base, NULL},
    {ZYDIS_MNEMONIC_WRFSBASE, jit_emit_write_base, NULL},
    {ZYDIS_MNEMONIC_WRGSBASE, jit_emit_write_base, NULL},
    {ZYDIS_MNEMONIC_INC, emit_inc_dec32, fits_inc_dec32},
    {ZYDIS_MNEMONIC_DEC, emit_inc_dec32, fits_inc_dec32},
    {ZYDIS_MNEMONIC_DIV, jit_emit_divide, jit_fits_divide},
    {ZYDIS_MNEMONIC_IDIV, jit_emit_divide, jit_fits_divide},
    {ZYDIS_MNEMONIC_PUSH, jit_emit_push, NULL},
    {ZYDIS_MNEMONIC_POP, jit_emit_pop, NULL},
    {ZYDIS_MNEMONIC_LEAVE, jit_emit_leave, NULL},
    {ZYDIS_MNEMONIC_FLDCW, jit_emit_fldcw, NULL},
    {ZYDIS_MNEMONIC_FWAIT, jit_emit_fwait, NULL},
    {ZYDIS_MNEMONIC_PUSHFD, jit_emit_pushf, NULL},
    {ZYDIS_MNEMONIC_PUSHFQ, jit_emit_pushf, NULL},
    {ZYDIS_MNEMONIC_POPFD, jit_emit_popf, NULL},
    {ZYDIS_MNEMONIC_POPFQ, jit_emit_popf, NULL},
    {ZYDIS_MNEMONIC_CLI, jit_emit_cli, NULL},
    {ZYDIS_MNEMONIC_STI, jit_emit_sti, NULL},
    {ZYDIS_MNEMONIC_STAC, jit_emit_set_ac, NULL},
    {ZYDIS_MNEMONIC_CLAC, jit_emit_set_ac, NULL},
    {ZYDIS_MNEMONIC_SWAPGS, jit_emit_swapgs, NULL},
    {ZYDIS_MNEMONIC_SYSCALL, jit_emit_syscall, NULL},
    {ZYDIS_MNEMONIC_SYSRET, jit_emit_sysret, NULL},
    {ZYDIS_MNEMONIC_RDTSC, jit_emit_rdtsc, NULL},
    {ZYDIS_MNEMONIC_RDTSCP, jit_emit_rdtsc, NULL},
    {ZYDIS_MNEMONIC_SERIALIZE, jit_emit_serialize, NULL},
    {ZYDIS_MNEMONIC_PAUSE, jit_emit_pause, NULL},
    {ZYDIS_MNEMONIC_CLD, jit_emit_cld, NULL},
    {ZYDIS_MNEMONIC_XLAT, jit_emit_xlat, NULL},
    {ZYDIS_MNEMONIC_BT, jit_emit_bit_string, jit_fits_bit_string},
    {ZYDIS_MNEMONIC_BTS, jit_emit_bit_string, jit_fits_bit_string},
    {ZYDIS_MNEMONIC_BTR, jit_emit_bit_string, jit_fits_bit_string},
    {ZYDIS_MNEMONIC_BTC, jit_emit_bit_string, jit_fits_bit_string},
    GATHER(VGATHERDPD), GATHER(VGATHERDPS), GATHER(VGATHERQPD), GATHER(VGATHERQPS),
    GATHER(VPGATHERDD), GATHER(VPGATHERDQ), GATHER(VPGATHERQD), GATHER(VPGATHERQQ),
    STRING(MOVS), STRING(STOS), STRING(LODS), STRING(CMPS), STRING(SCAS),
    JCC(B), JCC(BE), JCC(L), JCC(LE), JCC(NB), JCC(NBE), JCC(NL), JCC(NLE),
    JCC(NO), JCC(NP), JCC(NS), JCC(NZ), JCC(O), JCC(P), JCC(S), JCC(Z),
    {ZYDIS_MNEMONIC_LOOP, jit_emit_loop, fits_near_branch},
    {ZYDIS_MNEMONIC_LOOPE, jit_emit_loop, fits_near_branch},
    {ZYDIS_MNEMONIC_LOOPNE, jit_emit_loop, fits_near_branch},
    {ZYDIS_MNEMONIC_JCXZ, jit_emit_loop, fits_near_branch},
    {ZYDIS_MNEMONIC_JECXZ, jit_emit_loop, fits_near_branch},
    {ZYDIS_MNEMONIC_JRCXZ, jit_emit_loop, fits_near_branch},
    {ZYDIS_MNEMONIC_JMP, jit_emit_jmp, fits_near_branch},
    {ZYDIS_MNEMONIC_CALL, jit_emit_call, fits_near_branch},
    {ZYDIS_MNEMONIC_RET, jit_emit_ret, fits_near_branch},
};

static const JitRow *row_of(const JitTranslator *t, const JitInsn *in)
{
    for (unsigned i = 0; i < G_N_ELEMENTS(rows); i++) {
        if (rows[i].mnemonic == in->dec.mnemonic && (!rows[i].fits || rows[i].fits(t, in)))
            return &rows[i];
    }
    return NULL;
}
