/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * MOVS STOS LODS CMPS SCAS, alone and repeated, upwards (JIT_MODE_DOWN is not set) and at the address size of
 * the mode; the other forms are the interpreter's (op-string.c).
 *
 * A repeated one runs as the host's own on host addresses, page by page: a piece ends where a page of either
 * side does, and behind each piece the registers are exact, so that what the next one meets (a page that may not be
 * entered, a request to leave, an element across a page's end) is the interpreter's from there on. Overlaps and
 * flags are the host's: guest and host addresses differ by a constant, which is added back. A MOVS that goes beyond the
 * page is one call for all its pieces (jit-string-run.c). Before all that MOVS and STOS try to do without pieces
 * (jit-string-span.c).
 *
 *     top: rsi -> host address in frame.temp ; rdi -> host address in frame.string[0]
 *          r10 = elements to the end of the page, at most rcx ; frame.string[1] = rcx - r10 ; rcx = r10
 *          r11 = guest rdi - host rdi ; frame.temp = guest rsi - host rsi
 *          rep movs
 *          rdi += r11 ; rsi += frame.temp ; rcx += frame.string[1] ; jrcxz out ; jmp top
 *
 * Everything behind the checks leaves the flags alone (NOT and LEA), for CMPS and SCAS want them.
 */
#include "accel/dbt/jit-translate.h"

#define OPCODE_MOVS 0xa4
#define OPCODE_CMPS 0xa6
#define OPCODE_STOS 0xaa
#define OPCODE_LODS 0xac
#define OPCODE_SCAS 0xae

#define STRING_SPANS_MAX 8

/* How an instruction uses its two addresses. */
typedef struct StringKind {
    bool source, destination, writes;
} StringKind;

static StringKind kind_of(const JitInsn *in)
{
    switch (in->dec.opcode & ~1) {
    case OPCODE_MOVS:
        return (StringKind){true, true, true};
    case OPCODE_CMPS:
        return (StringKind){true, true, false};
    case OPCODE_LODS:
        return (StringKind){true, false, false};
    case OPCODE_STOS:
        return (StringKind){false, true, true};
    default:
        return (StringKind){false, true, false};
    }
}

bool jit_fits_string(const JitTranslator *t, const JitInsn *in)
{
    /* MOVSD and CMPSD are also names of SSE2 instructions. */
    if (in->dec.opcode_map != ZYDIS_OPCODE_MAP_DEFAULT || t->jit->mode_key & JIT_MODE_DOWN ||
        in->insn->addr_size != jit_word(t))
        return false;
    /* ES is flat by the mode, as are DS and SS. */
    return !kind_of(in).source || in->insn->seg == SEG_DS || in->insn->seg == SEG_SS || in->insn->seg == SEG_ES;
}

/* op al/ax/eax/rax, operand in [HOST_ADDR], or with the register given. */
static void emit_sized(JitTranslator *t, unsigned size, uint8_t opcode, uint8_t reg)
{
    if (size == 2)
        emit8(t->hot, 0x66);
    emit_rm(t->hot, size == 8, opcode | (size > 1), reg, HOST_ADDR, 0);
}

static void emit_advance(JitTranslator *t, uint8_t reg, unsigned size)
{
    const HostAddress next = {reg, HOST_NO_REG, 0, (int32_t)size};

    emit_lea(t->hot, !t->is32, reg, &next);
}

static bool emit_once(JitTranslator *t, const JitInsn *in)
{
    static const HostAddress from = {GPR_RSI, HOST_NO_REG, 0, 0}, to = {GPR_RDI, HOST_NO_REG, 0, 0};
    StringKind kind = kind_of(in);
    unsigned size = in->insn->op_size;
    uint8_t value = GPR_RAX;

    if (kind.source)
        jit_emit_access(t, &from, size, false);
    if (kind.source && kind.destination) {
        value = HOST_TEMP;
        emit_sized(t, size, 0x8a, value);
        emit_rm(t->hot, true, HOST_STORE, value, GPR_RSP, JIT_FRAME(temp));
    }
    if (kind.destination)
        jit_emit_access(t, &to, size, kind.writes);
    if (value == HOST_TEMP)
        emit_rm(t->hot, true, HOST_LOAD, value, GPR_RSP, JIT_FRAME(temp));
    emit_sized(t, size, kind.writes ? 0x88 : kind.destination ? 0x3a : 0x8a, value);
    if (kind.source)
        emit_advance(t, GPR_RSI, size);
    if (kind.destination)
        emit_advance(t, GPR_RDI, size);
    return true;
}

/* HOST_ADDR = host address of the guest address in reg. Changes flags. */
static void emit_page(JitTranslator *t, uint8_t reg, bool write)
{
    emit_rr(t->hot, !t->is32, HOST_LOAD, HOST_ADDR, reg);
    jit_emit_table(t, 1, write);
}

/* and reg32, offset in the page: reg is R10 or R11. */
static void emit_page_offset(JitTranslator *t, uint8_t reg)
{
    emit_bytes(t->hot, (const uint8_t[]){0x41, 0x81, 0xe0 | (reg & 7)}, 3);
    emit32(t->hot, GUEST_PAGE_SIZE - 1);
}

/* HOST_TEMP = guest address in reg - host address in HOST_ADDR; reg = that. Flags stay. */
static void emit_go_host(JitTranslator *t, uint8_t reg)
{
    const HostAddress difference = {HOST_TEMP, reg, 0, 1};

    emit_rr(t->hot, true, HOST_LOAD, HOST_TEMP, HOST_ADDR);
    emit_bytes(t->hot, (const uint8_t[]){0x49, 0xf7, 0xd3}, 3); /* not r11 */
    emit_lea(t->hot, true, HOST_TEMP, &difference);
    emit_rr(t->hot, true, HOST_LOAD, reg, HOST_ADDR);
}

static void emit_go_guest(JitTranslator *t, uint8_t reg)
{
    const HostAddress sum = {reg, HOST_TEMP, 0, 0};

    emit_lea(t->hot, !t->is32, reg, &sum);
}

/* More than is left of the page: jit_string_run does it. The rel32 to the end of the instruction. */
static uint32_t emit_run(JitTranslator *t, unsigned shift, uint32_t top)
{
    uint32_t word = shift | (t->is32 ? JIT_RUN_32 : 0) | (uint32_t)jit_context(t) << JIT_RUN_CONTEXT_SHIFT;

    emit_mov_imm(t->cold, HOST_TEMP, word);
    emit_call(t->cold, t->jit->glue.string_run);
    jit_emit_miss_in(t, t->cold, HOST_E);
    if (jit_flags_live(t))
        jit_emit_flags_back(t->cold);
    emit_bytes(t->cold, (const uint8_t[]){0xe3, 5}, 2); /* jrcxz */
    emit_jmp(t->cold, top);
    return emit_jmp(t->cold, 0);
}

/*
 * HOST_ADDR: the offset in the page becomes the number of elements to its end, at most RCX. If they are not enough:
 * none is a miss, or emit_run's turn, whose result this is.
 */
static uint32_t emit_piece(JitTranslator *t, StringKind kind, unsigned shift, uint32_t top)
{
    uint32_t out = 0;

    emit_bytes(t->hot, (const uint8_t[]){0x41, 0xf7, 0xda, 0x41, 0x81, 0xc2}, 6); /* neg r10d; add r10d, */
    emit32(t->hot, GUEST_PAGE_SIZE);
    if (shift)
        emit_bytes(t->hot, (const uint8_t[]){0x41, 0xc1, 0xea, (uint8_t)shift}, 4); /* shr r10d, */
    if (kind.writes && kind.source) {
        emit_rr(t->hot, true, HOST_CMP, HOST_ADDR, GPR_RCX);
        emit_jcc(t->hot, HOST_B, t->cold->at);
        out = emit_run(t, shift, top);
        emit_rr(t->hot, true, HOST_LOAD, HOST_ADDR, GPR_RCX);
        return out;
    }
    if (shift)
        jit_emit_miss(t, HOST_E);
    emit_rr(t->hot, true, HOST_CMP, HOST_ADDR, GPR_RCX);
    emit_bytes(t->hot, (const uint8_t[]){0x4c, 0x0f, 0x47, 0xd1}, 4); /* cmova r10, rcx */
    return out;
}

/* Host addresses in frame.temp (source, if there are two) and frame.string[0], the length in HOST_ADDR. What
 * emit_piece says. */
static uint32_t emit_checks(JitTranslator *t, StringKind kind, unsigned shift)
{
    uint32_t top = t->hot->at, out;
    bool both = kind.source && kind.destination;

    jit_emit_park_flags(t, true);
    if (t->is32) /* what 64-bit code left in the upper half does not count */
        emit_rr(t->hot, false, HOST_LOAD, GPR_RCX, GPR_RCX);
    jit_emit_request_check(t, t->hot);
    jit_emit_miss(t, HOST_E);
    if (kind.source)
        emit_page(t, GPR_RSI, false);
    if (both)
        emit_rm(t->hot, true, HOST_STORE, HOST_ADDR, GPR_RSP, JIT_FRAME(temp));
    if (kind.destination)
        emit_page(t, GPR_RDI, kind.writes);
    emit_rm(t->hot, true, HOST_STORE, HOST_ADDR, GPR_RSP, JIT_FRAME(string));
    emit_page_offset(t, HOST_ADDR);
    if (both) {
        emit_rm(t->hot, true, HOST_LOAD, HOST_TEMP, GPR_RSP, JIT_FRAME(temp));
        emit_page_offset(t, HOST_TEMP);
        emit_rr(t->hot, false, HOST_CMP, HOST_ADDR, HOST_TEMP);
        emit_bytes(t->hot, (const uint8_t[]){0x45, 0x0f, 0x42, 0xd3}, 4); /* cmovb r10d, r11d */
    }
    out = emit_piece(t, kind, shift, top);
    jit_emit_unpark_flags(t);
    return out;
}

/* RCX = the length in HOST_ADDR, frame.string[1] = what is left after it. */
static void emit_split_count(JitTranslator *t)
{
    const HostAddress rest = {GPR_RCX, HOST_ADDR, 0, 1};

    emit_bytes(t->hot, (const uint8_t[]){0x49, 0xf7, 0xd2}, 3); /* not r10 */
    emit_lea(t->hot, true, GPR_RCX, &rest);
    emit_rm(t->hot, true, HOST_STORE, GPR_RCX, GPR_RSP, JIT_FRAME(string) + 8);
    emit_bytes(t->hot, (const uint8_t[]){0x49, 0xf7, 0xd2}, 3);
    emit_rr(t->hot, true, HOST_LOAD, GPR_RCX, HOST_ADDR);
}

/* RCX += what is left; goes on at top if that is anything and no comparison has ended the instruction. */
static void emit_again(JitTranslator *t, const JitInsn *in, bool compares, uint32_t top)
{
    const HostAddress sum = {GPR_RCX, HOST_ADDR, 0, 0};
    bool until_equal = in->insn->flags & INSN_REPNE;

    emit_rm(t->hot, true, HOST_LOAD, HOST_ADDR, GPR_RSP, JIT_FRAME(string) + 8);
    emit_lea(t->hot, true, GPR_RCX, &sum);
    if (compares)
        emit_bytes(t->hot, (const uint8_t[]){until_equal ? 0x74 : 0x75, 7}, 2); /* je, jne */
    emit_bytes(t->hot, (const uint8_t[]){0xe3, 5}, 2);                          /* jrcxz */
    emit_jmp(t->hot, top);
}

/* The first ones of a unit, as each takes a lot of code (UNIT_HOT_MAX of jit-code.c). */
static bool tries_spans(JitTranslator *t, StringKind kind)
{
    return kind.writes && !t->is32 && !jit_is_hashed(t, t->index) && t->string_spans++ < STRING_SPANS_MAX;
}

static bool emit_repeated(JitTranslator *t, const JitInsn *in)
{
    StringKind kind = kind_of(in);
    unsigned size = in->insn->op_size;
    bool both = kind.source && kind.destination;
    uint32_t done = tries_spans(t, kind) ? jit_emit_string_span(t, in, kind.source) : 0;
    uint32_t top = t->hot->at, out = emit_checks(t, kind, (unsigned)__builtin_ctz(size));

    emit_split_count(t);
    if (both) {
        emit_rm(t->hot, true, HOST_LOAD, HOST_ADDR, GPR_RSP, JIT_FRAME(temp));
        emit_go_host(t, GPR_RSI);
        emit_rm(t->hot, true, HOST_STORE, HOST_TEMP, GPR_RSP, JIT_FRAME(temp));
    }
    emit_rm(t->hot, true, HOST_LOAD, HOST_ADDR, GPR_RSP, JIT_FRAME(string));
    emit_go_host(t, kind.destination ? GPR_RDI : GPR_RSI);
    emit8(t->hot, in->insn->flags & INSN_REPNE ? 0xf2 : 0xf3);
    if (size == 2)
        emit8(t->hot, 0x66);
    emit_rex(t->hot, size == 8, 0, 0, 0);
    emit8(t->hot, in->dec.opcode);
    emit_go_guest(t, kind.destination ? GPR_RDI : GPR_RSI);
    if (both) {
        emit_rm(t->hot, true, HOST_LOAD, HOST_TEMP, GPR_RSP, JIT_FRAME(temp));
        emit_go_guest(t, GPR_RSI);
    }
    emit_again(t, in, !kind.writes && kind.destination, top);
    if (out)
        emit_patch(t->cold, out, t->hot->at);
    if (done)
        emit_patch(t->hot, done, t->hot->at);
    return true;
}

bool jit_emit_string(JitTranslator *t, const JitInsn *in)
{
    if (!(in->insn->flags & (INSN_REP | INSN_REPNE)))
        return emit_once(t, in);
    return emit_repeated(t, in);
}
