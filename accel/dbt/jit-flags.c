/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Liveness of the arithmetic flags: looking at the TLB destroys them, and saving them around each look
 * would cost more than the look. And how they are kept where they must be.
 *
 * Within a unit an instruction's flags are known from Zydis' tables, with the exceptions below. Where
 * the unit goes on at a known address of its page the code there is looked at, a few instructions deep. Should
 * that code be rewritten so that it needs a flag it did not need before, in the moment between
 * two instructions of this one, the flag has whatever value the last access left: no code that
 * follows a calling convention, or comes from a compiler, can be told from that.
 *
 * The next address space that has the unit's page at the same place may have other pages around it, with code that nobody has looked
 * at. So all flags go along when control leaves the page, in frame.flags. At the unit's end they get there as for an unknown
 * successor; on conditional branches out of the page, on the way (jit-branch.c).
 *
 * Undefined flags count as written. A flag nobody needs may be seen by an interrupt handler in the
 * saved image with another value than on hardware.
 *
 * Sources: SDM vol. 1, appendix A "EFLAGS cross-reference"; vol. 2 for counts of zero.
 */
#include "accel/dbt/jit-translate.h"

#define LOOK_INSNS 24 /* compilers keep CF for long without knowing: INC and DEC of loops done by hand */
#define LOOK_DEPTH 2
#define LOOK_BYTES 15

/* Shifts and rotates change nothing if the count, cut to five or six bits, is zero. */
static bool count_may_be_zero(const ZydisDecodedInstruction *dec)
{
    if (dec->encoding != ZYDIS_INSTRUCTION_ENCODING_LEGACY)
        return false;
    if (dec->raw.imm[0].size)
        return !(dec->raw.imm[0].value.u & (dec->operand_width == 64 ? 63 : 31));
    /* D0 and D1 shift by one; the rest have the count in CL. */
    return dec->opcode_map != ZYDIS_OPCODE_MAP_DEFAULT || (dec->opcode & ~1) != 0xd0;
}

JitFlags jit_insn_flags(const ZydisDecodedInstruction *dec, const uint8_t *bytes)
{
    const ZydisAccessedFlags *f = dec->cpu_flags;
    JitFlags flags = {0};

    if (!f)
        return flags;
    flags.reads = f->tested & RFLAGS_ARITH;
    flags.writes = (f->modified | f->set_0 | f->set_1 | f->undefined) & RFLAGS_ARITH;
    flags.touches = flags.writes;
    flags.undefined = f->undefined & RFLAGS_ARITH;
    if ((dec->meta.category == ZYDIS_CATEGORY_SHIFT || dec->meta.category == ZYDIS_CATEGORY_ROTATE) &&
        count_may_be_zero(dec))
        flags.writes = 0;
    if (dec->attributes & (ZYDIS_ATTRIB_HAS_REP | ZYDIS_ATTRIB_HAS_REPE | ZYDIS_ATTRIB_HAS_REPNE))
        flags.writes = 0;
    return flags;
}

/* Where the guest's code bytes are on the host, and how many follow in the page. */
static const uint8_t *code_host(DbtVcpu *v, uint64_t rip, unsigned *len)
{
    uint64_t gpa;
    MapEntry e;

    *len = (unsigned)(GUEST_PAGE_SIZE - (rip & ~GUEST_PAGE_MASK));
    if (!dbt_fetch_gpa(v, rip, &gpa))
        return NULL;
    e = dbt_map_lookup(v->accel->map, gpa);
    return e.host ? e.host + (gpa & ~GUEST_PAGE_MASK) : NULL;
}

/* Whether flags leave to where nobody can look: the successor's needs are all of them. */
static bool leaves_sight(const ZydisDecodedInstruction *dec)
{
    switch (dec->meta.category) {
    case ZYDIS_CATEGORY_RET:
    case ZYDIS_CATEGORY_SYSCALL:
    case ZYDIS_CATEGORY_SYSRET:
    case ZYDIS_CATEGORY_INTERRUPT:
    case ZYDIS_CATEGORY_SYSTEM:
        return true;
    case ZYDIS_CATEGORY_CALL:
    case ZYDIS_CATEGORY_UNCOND_BR:
        return !dec->raw.imm[0].is_relative;
    default:
        return false;
    }
}

/* The instruction there, if it can be looked at; the bytes it is made of go to the caller's LOOK_BYTES. */
static bool decode_at(JitTranslator *t, uint64_t rip, ZydisDecodedInstruction *dec, uint8_t *bytes)
{
    unsigned len;
    const uint8_t *host = code_host(t->jit->v, rip, &len);

    if (!host)
        return false;
    len = MIN(len, LOOK_BYTES);
    memcpy(bytes, host, len);
    return ZYAN_SUCCESS(ZydisDecoderDecodeInstruction(&t->decoder[t->is32], NULL, bytes, len, dec));
}

static uint32_t look(JitTranslator *t, uint64_t rip, unsigned depth)
{
    uint32_t need = 0, unknown = RFLAGS_ARITH;

    for (unsigned n = 0; n < LOOK_INSNS && unknown; n++) {
        ZydisDecodedInstruction dec;
        uint8_t bytes[LOOK_BYTES];
        JitFlags flags;

        if (jit_is_far(t, rip) || !decode_at(t, rip, &dec, bytes))
            break;
        flags = jit_insn_flags(&dec, bytes);
        need |= flags.reads & unknown;
        unknown &= ~(flags.reads | flags.writes);
        if (leaves_sight(&dec))
            break;
        rip += dec.length;
        if (dec.raw.imm[0].is_relative) {
            uint64_t target = rip + (uint64_t)dec.raw.imm[0].value.s;

            if (t->is32)
                target = (uint32_t)target;
            if (dec.meta.category != ZYDIS_CATEGORY_COND_BR)
                rip = target;
            else if (depth == 0)
                break;
            else
                need |= look(t, target, depth - 1) & unknown;
        }
        if (t->is32)
            rip = (uint32_t)rip;
    }
    return need | unknown;
}

/*
 * The unit ends at a known address in another page, or where code goes on to an unknown one at once, an entry of a table for dynamic
 * linking as a rule. That code would have to save the flags that this one knows how to note.
 */
static bool hands_flags_over(JitTranslator *t, JitEnd end)
{
    const JitInsn *last = &t->insns[t->count - 1];
    bool jumps = last->dec.raw.imm[0].is_relative;
    uint64_t target = jumps ? jit_branch_target(last) : last->rip + last->insn->len;
    ZydisDecodedInstruction dec;
    uint8_t bytes[LOOK_BYTES];

    if (end != JIT_END_NEXT || last->dec.meta.category == ZYDIS_CATEGORY_COND_BR)
        return false;
    if (jit_is_far(t, target))
        return true;
    if (t->is32 || !jumps)
        return false;
    if (decode_at(t, target, &dec, bytes) && dec.mnemonic == ZYDIS_MNEMONIC_ENDBR64)
        target += dec.length;
    return decode_at(t, target, &dec, bytes) && leaves_sight(&dec);
}

/* What a successor of the unit needs from EFLAGS, to which instruction n leads. */
static uint32_t needed_at(JitTranslator *t, unsigned n, uint64_t rip)
{
    uint32_t need = look(t, rip, LOOK_DEPTH);

    if (jit_is_far(t, rip) && (int)n > t->save_point) /* they are in the frame */
        return 0;
    t->flags_out &= need;
    return need;
}

/* Flags that are undefined at the end or at an exit on the way. */
static uint32_t undefined_flags(const JitTranslator *t)
{
    uint32_t now = 0, all = 0;

    for (unsigned i = 0; i < t->count; i++) {
        const JitInsn *in = &t->insns[i];

        if (in->flags.reads & now)
            t->unit->pure = false; /* lock-step: what it does is undefined */
        now = (now & ~in->flags.writes) | in->flags.undefined;
        if (in->dec.raw.imm[0].is_relative || i == t->count - 1)
            all |= now;
    }
    return all;
}

/* What is needed where instruction n leaves the unit, but for indirect branches at its end. live: behind it. */
static uint32_t needed_at_exits(JitTranslator *t, unsigned n, uint32_t live)
{
    const JitInsn *in = &t->insns[n];
    uint64_t behind = in->rip + in->insn->len;

    switch (in->dec.meta.category) {
    case ZYDIS_CATEGORY_COND_BR:
        if (jit_is_taken(in))
            return needed_at(t, n, behind);
        return needed_at(t, n, jit_branch_target(in)) | (in->next ? 0 : needed_at(t, n, behind));
    case ZYDIS_CATEGORY_RET:
        return in->next ? jit_return_needs(t, n, live) : 0;
    default:
        return in->dec.raw.imm[0].is_relative && !in->next && !t->hands_flags_over ? needed_at(t, n, jit_branch_target(in)) : 0;
    }
}

void jit_flags_analyse(JitTranslator *t, JitEnd end)
{
    const JitInsn *last = &t->insns[t->count - 1];
    uint32_t live = end == JIT_END_INTERPRETER ? RFLAGS_ARITH : 0;
    bool in_frame;

    t->hands_flags_over = hands_flags_over(t, end);
    in_frame = end == JIT_END_INDIRECT || t->hands_flags_over;
    t->save_point = (int)t->count;
    t->flags_out = RFLAGS_ARITH;
    if (in_frame) {
        for (t->save_point = (int)t->count - 1; t->save_point >= 0; t->save_point--) {
            if (t->insns[t->save_point].flags.touches)
                break;
        }
    }
    t->remakes = in_frame && jit_remake_find(t);
    jit_returns_find(t);
    if (end == JIT_END_NEXT && last->dec.meta.branch_type == ZYDIS_BRANCH_TYPE_NONE && !t->hands_flags_over)
        live = needed_at(t, t->count - 1, last->rip + last->insn->len);
    for (int i = (int)t->count - 1; i >= 0; i--) {
        JitInsn *in = &t->insns[i];

        if (i == t->save_point && !t->remakes)
            live = RFLAGS_ARITH;
        live |= needed_at_exits(t, (unsigned)i, live);
        live = (live & ~in->flags.writes) | in->flags.reads;
        in->live = live;
    }
    t->live_in = live;
    t->flags_undefined = undefined_flags(t);
}

/* --- Keeping them. --- */

void jit_emit_park_flags(JitTranslator *t, bool may_miss)
{
    if (!jit_flags_live(t))
        return;
    emit_rm(t->hot, true, HOST_STORE, GPR_RAX, GPR_RSP, JIT_FRAME(rax));
    emit_flags_to_ax(t->hot);
    t->miss_flags |= may_miss;
}

void jit_emit_flags_back(JitEmit *e)
{
    emit_flags_from_ax(e);
    emit_rm(e, true, HOST_LOAD, GPR_RAX, GPR_RSP, JIT_FRAME(rax));
}

void jit_emit_unpark_flags(JitTranslator *t)
{
    if (jit_flags_live(t))
        jit_emit_flags_back(t->hot);
}
