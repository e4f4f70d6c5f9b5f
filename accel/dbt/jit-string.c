/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * MOVS STOS LODS CMPS SCAS, alone and repeated, upwards (JIT_MODE_DOWN is not set) and at the address size of
 * the mode; the other forms are the interpreter's (op-string.c).
 *
 * A repeated one runs as the host's own, on host addresses, if all of it lies in one page of plain RAM on
 * each side: the length is tried first, then the page, then whether the page holds the length. What
 * does not pass is the interpreter's as a whole, piece by piece. Overlaps, flags, and the registers
 * behind it are the host's: guest and host addresses differ by a constant, which is added back in the end.
 *
 *     cmp  rcx, 4096 / size ; ja miss
 *     rsi -> host address in frame.temp ; rdi -> host address in r10
 *     r11 = guest rdi - host rdi ; frame.temp = guest rsi - host rsi
 *     rep movs
 *     rdi += r11 ; rsi += frame.temp
 *
 * Everything behind the checks leaves the flags alone (NOT and LEA), for CMPS and SCAS want them.
 */
#include "accel/dbt/jit-translate.h"
#include "accel/dbt/mmu-priv.h"

#define OPCODE_MOVS 0xa4
#define OPCODE_CMPS 0xa6
#define OPCODE_STOS 0xaa
#define OPCODE_LODS 0xac
#define OPCODE_SCAS 0xae

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

/* HOST_ADDR = host address of RCX elements at the guest address in reg. Changes flags. */
static void emit_span(JitTranslator *t, uint8_t reg, unsigned shift, bool write)
{
    MmuContext context = t->jit->mode_key >> JIT_MODE_CONTEXT_SHIFT & 3;
    int32_t table = (int32_t)((2 * context + write) * sizeof(MmuEntry[MMU_TLB_SIZE]));
    const HostAddress last = {HOST_ADDR, GPR_RCX, (uint8_t)shift, -1};

    emit_rr(t->hot, !t->is32, HOST_LOAD, HOST_ADDR, reg);
    emit_rr(t->hot, false, HOST_LOAD, HOST_TEMP, HOST_ADDR);
    emit_bytes(t->hot, (const uint8_t[]){0x41, 0xc1, 0xeb, 0x08, 0x41, 0x81, 0xe3}, 7); /* shr r11d, 8; and r11d, */
    emit32(t->hot, (MMU_TLB_SIZE - 1) * sizeof(MmuEntry));
    emit_gs(t->hot, true, HOST_SUB, HOST_ADDR, HOST_TEMP, table);
    emit_cmp_imm(t->hot, HOST_ADDR, GUEST_PAGE_SIZE - 1);
    jit_emit_miss(t, HOST_A);
    emit_gs(t->hot, true, HOST_ADD, HOST_ADDR, HOST_TEMP, table + (int32_t)offsetof(MmuEntry, value));
    emit_lea(t->hot, true, HOST_TEMP, &last);
    emit_rr(t->hot, true, HOST_XOR, HOST_TEMP, HOST_ADDR);
    emit_bytes(t->hot, (const uint8_t[]){0x49, 0xc1, 0xeb, GUEST_PAGE_BITS}, 4); /* shr r11, 12 */
    jit_emit_miss(t, HOST_NE);
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

static void emit_checks(JitTranslator *t, StringKind kind, unsigned shift)
{
    bool live = t->insns[t->index].live;

    if (live) {
        emit_rm(t->hot, true, HOST_STORE, GPR_RAX, GPR_RSP, JIT_FRAME(rax));
        emit_flags_to_ax(t->hot);
        t->miss_flags = true;
    }
    if (t->is32) /* what 64-bit code left in the upper half does not count */
        emit_rr(t->hot, false, HOST_LOAD, GPR_RCX, GPR_RCX);
    emit_cmp_imm(t->hot, GPR_RCX, GUEST_PAGE_SIZE >> shift);
    jit_emit_miss(t, HOST_A);
    if (kind.source)
        emit_span(t, GPR_RSI, shift, false);
    if (kind.source && kind.destination)
        emit_rm(t->hot, true, HOST_STORE, HOST_ADDR, GPR_RSP, JIT_FRAME(temp));
    if (kind.destination)
        emit_span(t, GPR_RDI, shift, kind.writes);
    if (live) {
        emit_flags_from_ax(t->hot);
        emit_rm(t->hot, true, HOST_LOAD, GPR_RAX, GPR_RSP, JIT_FRAME(rax));
    }
}

static bool emit_repeated(JitTranslator *t, const JitInsn *in)
{
    StringKind kind = kind_of(in);
    unsigned size = in->insn->op_size, shift = (unsigned)__builtin_ctz(size);

    emit_checks(t, kind, shift);
    if (kind.source && kind.destination) {
        emit_rr(t->hot, true, HOST_LOAD, HOST_TEMP, HOST_ADDR);
        emit_rm(t->hot, true, HOST_LOAD, HOST_ADDR, GPR_RSP, JIT_FRAME(temp));
        emit_rm(t->hot, true, HOST_STORE, HOST_TEMP, GPR_RSP, JIT_FRAME(temp));
        emit_go_host(t, GPR_RSI);
        emit_rm(t->hot, true, HOST_LOAD, HOST_ADDR, GPR_RSP, JIT_FRAME(temp));
        emit_rm(t->hot, true, HOST_STORE, HOST_TEMP, GPR_RSP, JIT_FRAME(temp));
    }
    emit_go_host(t, kind.destination ? GPR_RDI : GPR_RSI);
    emit8(t->hot, in->insn->flags & INSN_REPNE ? 0xf2 : 0xf3);
    if (size == 2)
        emit8(t->hot, 0x66);
    emit_rex(t->hot, size == 8, 0, 0, 0);
    emit8(t->hot, in->dec.opcode);
    emit_go_guest(t, kind.destination ? GPR_RDI : GPR_RSI);
    if (kind.source && kind.destination) {
        emit_rm(t->hot, true, HOST_LOAD, HOST_TEMP, GPR_RSP, JIT_FRAME(temp));
        emit_go_guest(t, GPR_RSI);
    }
    return true;
}

bool jit_emit_string(JitTranslator *t, const JitInsn *in)
{
    if (!(in->insn->flags & (INSN_REP | INSN_REPNE)))
        return emit_once(t, in);
    return emit_repeated(t, in);
}
