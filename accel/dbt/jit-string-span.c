/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A repeated MOVS or STOS whose memory lies in spans (jit-span.c) is one of the host's, whatever pages it goes over. It has
 * a site for each side.
 *
 *     rcx in 1..max? else pieces ; r10 = bytes - 1
 *     for each side:  bits 63 and 62 of the register differ? pieces: only an empty site could cover that
 *                     r11 = register - gs:[tag]   ; beyond gs:[limit]? fill the site for the first byte, then pieces
 *                     r11 += r10                  ; beyond gs:[limit]? the same for the last byte
 *     r10, r11 = deltas ; rdi += r10 ; rsi += r11 ; rep movs ; rdi -= r10 ; rsi -= r11
 *
 * A site is filled for the next time: a span may be too short for ever, and the pieces (jit-string.c) need none.
 *
 * Sides that overlap do so on the host, too, if their deltas are the same. Else a page might be there at two addresses (window.c),
 * where the host does not see an overlap as it should: then pieces, which are within a page.
 *
 * The registers have host addresses meanwhile, which a guest must never see: the host's instruction may not fault. So the page
 * of an empty site (jit-site.c) is kept out.
 */
#include "accel/dbt/jit-translate.h"

typedef struct Side {
    uint8_t reg;
    bool write;
    uint32_t site; /* its number */
} Side;

/* Jumps to the pieces. */
typedef struct Elsewhere {
    uint32_t patch[12];
    unsigned count;
} Elsewhere;

static void leave_for_pieces(Elsewhere *to, uint32_t patch)
{
    g_assert(to->count < G_N_ELEMENTS(to->patch));
    to->patch[to->count++] = patch;
}

static int32_t tag_of(const JitTranslator *t, const Side *side)
{
    return (int32_t)jit_site_offset(t->jit, side->site);
}

static int32_t delta_of(const JitTranslator *t, const Side *side)
{
    return tag_of(t, side) + (int32_t)offsetof(JitSite, delta);
}

/* Out of line: the site gets the page of the side's first or last byte; then pieces. */
static void emit_fill(JitTranslator *t, const Side *side, bool last, uint32_t jump, Elsewhere *to)
{
    const HostAddress address = {side->reg, last ? HOST_ADDR : HOST_NO_REG, 0, 0};

    emit_patch(t->hot, jump, t->cold->at);
    emit_lea(t->cold, true, HOST_ADDR, &address);
    emit_mov_imm(t->cold, HOST_TEMP, (uint32_t)tag_of(t, side));
    emit_call(t->cold, t->jit->glue.fill_span[jit_context(t)][side->write]);
    jit_emit_miss_in(t, t->cold, HOST_NE);
    leave_for_pieces(to, emit_jmp(t->cold, 0));
}

/* HOST_ADDR: bytes - 1. */
static void emit_check(JitTranslator *t, const Side *side, Elsewhere *to)
{
    const HostAddress twice = {side->reg, side->reg, 0, 0};
    int32_t limit = (int32_t)jit_site_limit_offset(t->jit, side->site);
    uint32_t first, last;

    emit_lea(t->hot, true, HOST_TEMP, &twice);
    emit_rr(t->hot, true, HOST_XOR, HOST_TEMP, side->reg);
    leave_for_pieces(to, emit_jcc(t->hot, HOST_S, 0));
    emit_rr(t->hot, true, HOST_LOAD, HOST_TEMP, side->reg);
    emit_gs(t->hot, true, HOST_SUB, HOST_TEMP, HOST_NO_REG, tag_of(t, side));
    emit_gs(t->hot, true, HOST_CMP, HOST_TEMP, HOST_NO_REG, limit);
    first = emit_jcc(t->hot, HOST_A, 0);
    emit_rr(t->hot, true, HOST_ADD, HOST_TEMP, HOST_ADDR);
    emit_gs(t->hot, true, HOST_CMP, HOST_TEMP, HOST_NO_REG, limit);
    last = emit_jcc(t->hot, HOST_A, 0);
    emit_fill(t, side, false, first, to);
    emit_fill(t, side, true, last, to);
}

/* HOST_TEMP = one - other; pieces if that is less than the bytes in HOST_ADDR + 1. */
static void emit_apart(JitTranslator *t, uint8_t one, uint8_t other, Elsewhere *to)
{
    emit_rr(t->cold, true, HOST_LOAD, HOST_TEMP, one);
    emit_rr(t->cold, true, HOST_SUB, HOST_TEMP, other);
    emit_rr(t->cold, true, HOST_CMP, HOST_TEMP, HOST_ADDR);
    leave_for_pieces(to, emit_jcc(t->cold, HOST_BE, 0));
}

static void emit_check_overlap(JitTranslator *t, const Side *from, const Side *into, Elsewhere *to)
{
    uint32_t differ;

    emit_gs(t->hot, true, HOST_LOAD, HOST_TEMP, HOST_NO_REG, delta_of(t, from));
    emit_gs(t->hot, true, HOST_CMP, HOST_TEMP, HOST_NO_REG, delta_of(t, into));
    differ = emit_jcc(t->hot, HOST_NE, 0);
    emit_patch(t->hot, differ, t->cold->at);
    emit_apart(t, into->reg, from->reg, to);
    emit_apart(t, from->reg, into->reg, to);
    emit_jmp(t->cold, t->hot->at);
}

/* HOST_ADDR = bytes - 1, of which there are some and not too many. */
static void emit_bytes_of(JitTranslator *t, unsigned shift, Elsewhere *to)
{
    const HostAddress count = {GPR_RCX, HOST_NO_REG, 0, -1}, bytes = {HOST_ADDR, HOST_NO_REG, 0, -1};

    emit_lea(t->hot, true, HOST_ADDR, &count);
    emit_cmp_imm(t->hot, HOST_ADDR, (int32_t)(JIT_STRING_MAX >> shift) - 1);
    leave_for_pieces(to, emit_jcc(t->hot, HOST_A, 0));
    if (!shift)
        return;
    emit_rr(t->hot, false, HOST_LOAD, HOST_ADDR, GPR_RCX);
    emit_bytes(t->hot, (const uint8_t[]){0x41, 0xc1, 0xe2, (uint8_t)shift}, 4); /* shl r10d, */
    emit_lea(t->hot, true, HOST_ADDR, &bytes);
}

/* reg += delta; flags stay. */
static void emit_go_host(JitTranslator *t, uint8_t reg, uint8_t delta)
{
    const HostAddress sum = {reg, delta, 0, 0};

    emit_lea(t->hot, true, reg, &sum);
}

/* reg -= delta, which is lost; flags stay. */
static void emit_go_guest(JitTranslator *t, uint8_t reg, uint8_t delta)
{
    const HostAddress difference = {reg, delta, 0, 1};

    emit_bytes(t->hot, (const uint8_t[]){0x49, 0xf7, 0xd0 | (delta & 7)}, 3); /* not */
    emit_lea(t->hot, true, reg, &difference);
}

uint32_t jit_emit_string_span(JitTranslator *t, const JitInsn *in, bool source)
{
    unsigned size = in->insn->op_size;
    Side from = {.reg = GPR_RSI}, into = {.reg = GPR_RDI, .write = true};
    Elsewhere pieces = {0};
    uint32_t done;

    jit_emit_park_flags(t, true);
    if (source)
        from.site = jit_emit_site(t, 1, false, true);
    into.site = jit_emit_site(t, 1, true, true);
    emit_bytes_of(t, (unsigned)__builtin_ctz(size), &pieces);
    if (source)
        emit_check(t, &from, &pieces);
    emit_check(t, &into, &pieces);
    if (source)
        emit_check_overlap(t, &from, &into, &pieces);
    jit_emit_unpark_flags(t);
    emit_gs(t->hot, true, HOST_LOAD, HOST_ADDR, HOST_NO_REG, delta_of(t, &into));
    emit_go_host(t, GPR_RDI, HOST_ADDR);
    if (source) {
        emit_gs(t->hot, true, HOST_LOAD, HOST_TEMP, HOST_NO_REG, delta_of(t, &from));
        emit_go_host(t, GPR_RSI, HOST_TEMP);
    }
    emit8(t->hot, 0xf3);
    if (size == 2)
        emit8(t->hot, 0x66);
    emit_rex(t->hot, size == 8, 0, 0, 0);
    emit8(t->hot, in->dec.opcode);
    emit_go_guest(t, GPR_RDI, HOST_ADDR);
    if (source)
        emit_go_guest(t, GPR_RSI, HOST_TEMP);
    done = emit_jmp(t->hot, 0);
    while (pieces.count)
        emit_patch(t->hot, pieces.patch[--pieces.count], t->hot->at);
    jit_emit_unpark_flags(t);
    return done;
}
