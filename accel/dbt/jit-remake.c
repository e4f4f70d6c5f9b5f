/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Flags that are made again when somebody wants them.
 *
 * A return passes its flags on, and nearly nobody who is returned to needs them. So a unit that ends in an indirect
 * branch does not save them where its last instruction that changes them does so in a way that can be repeated:
 *
 *     AND OR XOR     test result, result
 *     TEST CMP       the same
 *     ADD SUB        the other of the two on the result, then itself
 *
 * Instead of the flags frame.flags gets a note where the code for that is, in the unit's stubs, which is told from flags by
 * bit 1: SETO leaves 0 or 1. Who wants flags from the frame looks for the note: the ways to C code, and units that need
 * flags. From one of C's returns to the next no code is forgotten, so that a note that nobody looked at does no harm.
 *
 * The operands wait in frame.remake, so that a note stays good while registers change, and units that only pass flags on need not
 * look at it.
 */
#include "accel/dbt/jit-translate.h"

#define FRAME JIT_FRAME
#define NOTE 2
#define NOTE_SHIFT 2
#define NOTE_MAX (1u << 30)
#define DEPTH 8 /* of the stack below the frame where flags are made */

enum { ALU_ADD = 0, ALU_SUB = 5, ALU_CMP = 7, ALU_TEST = 8 };

/* --- What can be made again. --- */

/* The general register an operand is; HOST_NO_REG: it is something else, or AH, CH, DH, BH. */
static uint8_t register_of(const JitTranslator *t, const ZydisDecodedOperand *op)
{
    ZydisMachineMode mode = t->is32 ? ZYDIS_MACHINE_MODE_LEGACY_32 : ZYDIS_MACHINE_MODE_LONG_64;
    ZydisRegister whole;

    if (op->type != ZYDIS_OPERAND_TYPE_REGISTER || (op->reg.value >= ZYDIS_REGISTER_AH && op->reg.value <= ZYDIS_REGISTER_BH))
        return HOST_NO_REG;
    whole = ZydisRegisterGetLargestEnclosing(mode, op->reg.value);
    switch (ZydisRegisterGetClass(whole)) {
    case ZYDIS_REGCLASS_GPR32:
    case ZYDIS_REGCLASS_GPR64:
        return (uint8_t)ZydisRegisterGetId(whole);
    default:
        return HOST_NO_REG;
    }
}

/* Its operands; false: not of a form that can be repeated. */
static bool take_operands(const JitTranslator *t, const JitInsn *in, JitRemake *r)
{
    const ZydisDecodedOperand *source = &in->operands[1];

    r->size = (uint8_t)(in->operands[0].size / 8);
    r->first = register_of(t, &in->operands[0]);
    r->second = register_of(t, source);
    r->immediate = source->type == ZYDIS_OPERAND_TYPE_IMMEDIATE;
    r->value = r->immediate ? (uint32_t)source->imm.value.u : 0;
    return r->first != HOST_NO_REG;
}

static bool can_remake(const JitTranslator *t, const JitInsn *in, JitRemake *r)
{
    if (!take_operands(t, in, r))
        return false;
    r->undo = HOST_NO_REG;
    switch (in->dec.mnemonic) {
    case ZYDIS_MNEMONIC_AND:
    case ZYDIS_MNEMONIC_OR:
    case ZYDIS_MNEMONIC_XOR: /* the other operand does not matter */
        r->alu = ALU_TEST;
        r->second = r->first;
        r->immediate = false;
        return true;
    case ZYDIS_MNEMONIC_TEST:
    case ZYDIS_MNEMONIC_CMP:
        r->alu = in->dec.mnemonic == ZYDIS_MNEMONIC_TEST ? ALU_TEST : ALU_CMP;
        return r->immediate || r->second != HOST_NO_REG;
    case ZYDIS_MNEMONIC_ADD:
    case ZYDIS_MNEMONIC_SUB:
        r->alu = in->dec.mnemonic == ZYDIS_MNEMONIC_ADD ? ALU_ADD : ALU_SUB;
        r->undo = r->alu ^ ALU_SUB;
        return r->immediate || (r->second != HOST_NO_REG && r->second != r->first);
    default:
        return false;
    }
}

bool jit_remake_of(const JitTranslator *t, const JitInsn *in, JitRemake *r)
{
    if (!can_remake(t, in, r))
        return false;
    if (r->immediate)
        r->second = HOST_NO_REG;
    return true;
}

bool jit_remake_find(JitTranslator *t)
{
    return t->save_point >= 0 && t->jit->size <= NOTE_MAX && jit_remake_of(t, &t->insns[t->save_point], &t->remake);
}

/* --- Code for it. --- */

enum { FIRST, SECOND }; /* of frame.remake */

void jit_remake_keep(JitTranslator *t, uint8_t guest, unsigned slot)
{
    uint8_t host = jit_host(guest);

    if (jit_is_spilled(guest)) {
        host = HOST_ADDR;
        jit_emit_load_spill(t, host, guest);
    }
    emit_rm(t->hot, true, HOST_STORE, host, GPR_RSP, FRAME(remake) + 8 * (int32_t)slot);
}

/* The operation on HOST_TEMP and the second operand, which is in a register (HOST_NO_REG: at slot in the frame). */
static void emit_alu(JitEmit *e, const JitRemake *r, uint8_t alu, uint8_t second, int32_t slot)
{
    bool test = alu == ALU_TEST, wide = r->size == 8;
    uint8_t opcode = (test ? 0x84 : alu << 3 | 2) | (r->size > 1);

    if (r->size == 2)
        emit8(e, 0x66);
    if (r->immediate) {
        emit_rr(e, wide, (test ? 0xf6 : 0x80) | (r->size > 1), test ? 0 : alu, HOST_TEMP);
        emit_bytes(e, &r->value, MIN(r->size, 4));
    } else if (r->second == r->first) {
        emit_rr(e, wide, opcode, HOST_TEMP, HOST_TEMP);
    } else if (second != HOST_NO_REG) {
        emit_rr(e, wide, opcode, HOST_TEMP, second);
    } else {
        emit_rm(e, wide, opcode, HOST_TEMP, GPR_RSP, slot);
    }
}

void jit_remake_repeat(JitEmit *e, const JitRemake *r, uint8_t second, int32_t slot)
{
    if (r->undo != HOST_NO_REG)
        emit_alu(e, r, r->undo, second, slot);
    emit_alu(e, r, r->alu, second, slot);
}

void jit_emit_note_flags(JitTranslator *t)
{
    const JitRemake *r = &t->remake;
    uint32_t begin = t->cold->at;

    emit_rm(t->cold, true, HOST_LOAD, HOST_TEMP, GPR_RSP, FRAME(remake) + 8 * FIRST + DEPTH);
    jit_remake_repeat(t->cold, r, HOST_NO_REG, FRAME(remake) + 8 * SECOND + DEPTH);
    emit_jmp(t->cold, t->jit->glue.remade);
    jit_remake_keep(t, r->first, FIRST);
    if (!r->immediate && r->second != r->first)
        jit_remake_keep(t, r->second, SECOND);
    emit_rm(t->hot, false, 0xc7, 0, GPR_RSP, FRAME(flags)); /* mov dword, */
    emit32(t->hot, begin << NOTE_SHIFT | NOTE);
}

/* ZF: there are flags in the frame, not a note. */
static void emit_test_note(JitEmit *e, int32_t depth)
{
    emit_rm(e, false, 0xf6, 0, GPR_RSP, FRAME(flags) + depth);
    emit8(e, NOTE);
}

void jit_emit_settle_flags(JitTranslator *t)
{
    uint32_t note;

    emit_test_note(t->hot, 0);
    note = emit_jcc(t->hot, HOST_NE, 0);
    emit_patch(t->hot, note, t->cold->at);
    emit_call(t->cold, t->jit->glue.remake);
    emit_jmp(t->cold, t->hot->at);
}

void jit_glue_settle_flags(DbtJit *jit, JitEmit *e, bool called)
{
    uint32_t none;

    emit_test_note(e, called ? 8 : 0);
    none = emit_jcc(e, HOST_E, 0);
    if (called)
        emit_bytes(e, (const uint8_t[]){0x41, 0x5a}, 2); /* pop r10 */
    emit_rm(e, true, HOST_STORE, GPR_R11, GPR_RSP, FRAME(entry));
    emit_call(e, jit->glue.remake);
    emit_rm(e, true, HOST_LOAD, GPR_R11, GPR_RSP, FRAME(entry));
    if (called)
        emit_bytes(e, (const uint8_t[]){0x41, 0x52}, 2); /* push r10 */
    emit_patch(e, none, e->at);
}

void jit_remake_glue(DbtJit *jit, JitEmit *e)
{
    jit->glue.remake = e->at;
    emit_rm(e, false, HOST_LOAD, GPR_R11, GPR_RSP, FRAME(flags) + DEPTH);
    emit_bytes(e, (const uint8_t[]){0x41, 0xc1, 0xeb, NOTE_SHIFT, 0x41, 0x52}, 6); /* shr r11d, ; push r10 */
    emit_mov_imm(e, GPR_R10, (uintptr_t)jit->rx);
    emit_bytes(e, (const uint8_t[]){0x4d, 0x01, 0xd3, 0x41, 0x5a, 0x41, 0xff, 0xe3}, 8); /* add r11, r10 ; pop r10 ; jmp r11 */
    jit->glue.remade = e->at;
    emit8(e, 0x50); /* push rax */
    emit_flags_to_ax(e);
    emit_rm(e, false, HOST_STORE, GPR_RAX, GPR_RSP, FRAME(flags) + DEPTH + 8);
    emit_bytes(e, (const uint8_t[]){0x58, 0xc3}, 2); /* pop rax ; ret */
}
