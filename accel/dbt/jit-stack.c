/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * PUSH, POP and LEAVE at the width of the mode; other widths and segment registers are the
 * interpreter's. Guest RSP is in HOST_SP and changes after the access.
 */
#include "accel/dbt/jit-translate.h"

void jit_emit_sp_add(JitTranslator *t, int32_t bytes)
{
    const HostAddress sp = {HOST_SP, HOST_NO_REG, 0, bytes};

    emit_lea(t->hot, !t->is32, HOST_SP, &sp);
}

JitPlace jit_emit_access_push(JitTranslator *t)
{
    const HostAddress top = {HOST_SP, HOST_NO_REG, 0, -(int32_t)jit_word(t)};
    JitPlace place;

    jit_emit_access_place(t, &top, jit_word(t), true, &place);
    return place;
}

static void store_and_move(JitTranslator *t, uint8_t host, const JitPlace *place)
{
    emit_at(t->hot, !t->is32, HOST_STORE, host, &place->at);
    jit_emit_sp_add(t, -(int32_t)jit_word(t));
}

static bool push_register(JitTranslator *t, uint8_t guest)
{
    JitPlace place = jit_emit_access_push(t);

    if (jit_is_spilled(guest))
        jit_emit_load_spill(t, place.spare, guest);
    store_and_move(t, jit_is_spilled(guest) ? place.spare : jit_host(guest), &place);
    return true;
}

static bool push_immediate(JitTranslator *t, uint64_t value)
{
    JitPlace place = jit_emit_access_push(t);

    emit_at(t->hot, !t->is32, 0xc7, 0, &place.at); /* mov [place], imm32 */
    emit32(t->hot, (uint32_t)value);
    jit_emit_sp_add(t, -(int32_t)jit_word(t));
    return true;
}

static bool push_memory(JitTranslator *t, const JitInsn *in)
{
    JitPlace place;

    if (!jit_emit_place(t, in, jit_word(t), false, false, &place))
        return false;
    emit_at(t->hot, !t->is32, HOST_LOAD, HOST_TEMP, &place.at);
    emit_rm(t->hot, true, HOST_STORE, HOST_TEMP, GPR_RSP, JIT_FRAME(temp));
    place = jit_emit_access_push(t);
    emit_rm(t->hot, true, HOST_LOAD, place.spare, GPR_RSP, JIT_FRAME(temp));
    store_and_move(t, place.spare, &place);
    return true;
}

/* A general register as the first operand; HOST_NO_REG: it is something else. */
static uint8_t register_operand(const JitInsn *in)
{
    const ZydisDecodedOperand *op = &in->operands[0];

    if (op->type != ZYDIS_OPERAND_TYPE_REGISTER || ZydisRegisterGetClass(op->reg.value) == ZYDIS_REGCLASS_SEGMENT)
        return HOST_NO_REG;
    return (uint8_t)ZydisRegisterGetId(op->reg.value);
}

bool jit_emit_push(JitTranslator *t, const JitInsn *in)
{
    if (in->dec.operand_width != 8 * jit_word(t))
        return false;
    switch (in->operands[0].type) {
    case ZYDIS_OPERAND_TYPE_MEMORY:
        return push_memory(t, in);
    case ZYDIS_OPERAND_TYPE_IMMEDIATE:
        return push_immediate(t, in->insn->imm);
    default:
        return register_operand(in) != HOST_NO_REG && push_register(t, register_operand(in));
    }
}

bool jit_emit_pop(JitTranslator *t, const JitInsn *in)
{
    const HostAddress top = {HOST_SP, HOST_NO_REG, 0, 0};
    uint8_t guest = register_operand(in);
    JitPlace place;

    if (in->dec.operand_width != 8 * jit_word(t) || guest == HOST_NO_REG)
        return false;
    jit_emit_access_place(t, &top, jit_word(t), false, &place);
    if (guest == GPR_RSP) {
        emit_at(t->hot, !t->is32, HOST_LOAD, HOST_SP, &place.at);
        return true;
    }
    emit_at(t->hot, !t->is32, HOST_LOAD, jit_is_spilled(guest) ? place.spare : guest, &place.at);
    if (jit_is_spilled(guest))
        jit_emit_store_spill(t, guest, place.spare);
    jit_emit_sp_add(t, (int32_t)jit_word(t));
    return true;
}

bool jit_emit_leave(JitTranslator *t, const JitInsn *in)
{
    const HostAddress frame = {GPR_RBP, HOST_NO_REG, 0, 0};
    const HostAddress above = {GPR_RBP, HOST_NO_REG, 0, (int32_t)jit_word(t)};
    JitPlace place;

    if (in->dec.operand_width != 8 * jit_word(t))
        return false;
    jit_emit_access_place(t, &frame, jit_word(t), false, &place);
    emit_at(t->hot, !t->is32, HOST_LOAD, place.spare, &place.at);
    emit_lea(t->hot, !t->is32, HOST_SP, &above);
    emit_rr(t->hot, true, HOST_LOAD, GPR_RBP, place.spare);
    return true;
}
