/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * PUSH, POP and LEAVE at the width of the mode; other widths and segment registers are the
 * interpreter's. Guest RSP is in HOST_SP and changes after the access.
 *
 * The processor's own PUSH and POP move the stack pointer for nothing; ours would take an instruction each for that, and each would wait for
 * the one before it. So HOST_SP lags while nobody looks: what is pushed and popped under a check that has been made, and operations on
 * registers, cannot leave the unit, and what RSP is by then is part of the addresses.
 *
 *     push rbp ; push rbx ; sub rsp, 24        mov [r9 + r11 - 8], rbp ; mov [r9 + r11 - 16], rbx ; lea r9, [r9 - 40]
 */
#include "accel/dbt/jit-translate.h"

#include "accel/dbt/native.h"

#define BEHIND_MAX (1 << 16)
/* What one instruction may add to RSP: those of a unit together fit a displacement. */
#define STEP_MAX (1 << 24)

G_STATIC_ASSERT((int64_t)STEP_MAX * BLOCK_MAX_INSNS <= INT32_MAX);

/* --- A stack pointer that lags. --- */

void jit_emit_sp_settle(JitTranslator *t)
{
    const HostAddress sp = {HOST_SP, HOST_NO_REG, 0, t->sp_behind};

    if (t->sp_behind)
        emit_lea(t->hot, !t->is32, HOST_SP, &sp);
    t->sp_behind = 0;
}

void jit_emit_sp_add(JitTranslator *t, int32_t bytes)
{
    t->sp_behind += bytes;
    if (!t->sp_lags)
        jit_emit_sp_settle(t);
}

/* Of those that never raise an exception on the host, if their operands are general registers and memory that is there. */
static bool is_plain_operation(const JitInsn *in)
{
    switch (in->dec.mnemonic) {
    case ZYDIS_MNEMONIC_MOV:
    case ZYDIS_MNEMONIC_MOVZX:
    case ZYDIS_MNEMONIC_MOVSX:
    case ZYDIS_MNEMONIC_MOVSXD:
    case ZYDIS_MNEMONIC_LEA:
    case ZYDIS_MNEMONIC_NOP:
    case ZYDIS_MNEMONIC_ADD:
    case ZYDIS_MNEMONIC_SUB:
    case ZYDIS_MNEMONIC_AND:
    case ZYDIS_MNEMONIC_OR:
    case ZYDIS_MNEMONIC_XOR:
    case ZYDIS_MNEMONIC_CMP:
    case ZYDIS_MNEMONIC_TEST:
    case ZYDIS_MNEMONIC_INC:
    case ZYDIS_MNEMONIC_DEC:
    case ZYDIS_MNEMONIC_NEG:
    case ZYDIS_MNEMONIC_NOT:
    case ZYDIS_MNEMONIC_SHL:
    case ZYDIS_MNEMONIC_SHR:
    case ZYDIS_MNEMONIC_SAR:
    case ZYDIS_MNEMONIC_IMUL:
        return true;
    default:
        return false;
    }
}

static bool has_stack_register(const JitInsn *in)
{
    for (unsigned i = 0; i < in->dec.operand_count; i++) {
        const ZydisDecodedOperand *op = &in->operands[i];

        if (op->type == ZYDIS_OPERAND_TYPE_REGISTER && native_gpr_number(op->reg.value) == GPR_RSP)
            return true;
    }
    return false;
}

/* There is no check any more for its access, and if that is at RSP its address is nothing but HOST_SP and a displacement. */
static bool is_checked(const JitTranslator *t, const JitInsn *in)
{
    const JitGroup *g = in->group ? &t->groups[in->group - 1] : NULL;
    int64_t at;

    if (!g || !g->checked)
        return false;
    if (g->kind == JIT_GROUP_BASE || g->kind == JIT_GROUP_PAGE)
        return g->keeps;
    at = (int64_t)in->insn->disp + t->sp_behind;
    return in->base != GPR_RSP || (g->kind == JIT_GROUP_VALUE && !g->scale && at == (int32_t)at);
}

static bool needs_no_stack_pointer(const JitTranslator *t, const JitInsn *in)
{
    if (!in->emit || !is_plain_operation(in) || has_stack_register(in))
        return false;
    if (in->dec.mnemonic == ZYDIS_MNEMONIC_LEA || in->dec.mnemonic == ZYDIS_MNEMONIC_NOP)
        return in->insn->base != GPR_RSP;
    return in->emit == jit_emit_reencoded && (!(in->insn->flags & INSN_MEM) || is_checked(t, in));
}

bool jit_moves_stack(const JitTranslator *t, const JitInsn *in, int32_t *step)
{
    const ZydisDecodedOperand *with = &in->operands[1];
    int32_t word = (int32_t)jit_word(t);
    int64_t sum;

    if (in->dec.operand_width != 64)
        return false;
    switch (in->dec.mnemonic) {
    case ZYDIS_MNEMONIC_PUSH:
    case ZYDIS_MNEMONIC_CALL:
        *step = -word;
        return true;
    case ZYDIS_MNEMONIC_POP:
        *step = word;
        return in->operands[0].reg.value != ZYDIS_REGISTER_RSP;
    case ZYDIS_MNEMONIC_RET:
        *step = word + (int32_t)(in->insn->imm & 0xffff);
        return true;
    case ZYDIS_MNEMONIC_ADD:
    case ZYDIS_MNEMONIC_SUB:
        if (with->type != ZYDIS_OPERAND_TYPE_IMMEDIATE)
            return false;
        sum = in->dec.mnemonic == ZYDIS_MNEMONIC_ADD ? with->imm.value.s : -with->imm.value.s;
        break;
    case ZYDIS_MNEMONIC_LEA:
        if (in->insn->base != GPR_RSP || in->insn->index != INSN_NO_REG || in->insn->addr_size != 8)
            return false;
        sum = (int64_t)in->insn->disp;
        break;
    default:
        return false;
    }
    *step = (int32_t)sum;
    return sum > -STEP_MAX && sum < STEP_MAX;
}

/* ADD, SUB or LEA whose flags nobody needs, neither from EFLAGS nor made again. */
static bool is_stack_step(const JitTranslator *t, const JitInsn *in, int32_t *step)
{
    unsigned i = (unsigned)(in - t->insns);
    bool moves = in->dec.mnemonic == ZYDIS_MNEMONIC_ADD || in->dec.mnemonic == ZYDIS_MNEMONIC_SUB || in->dec.mnemonic == ZYDIS_MNEMONIC_LEA;
    const ZydisDecodedOperand *to = &in->operands[0];

    return moves && to->type == ZYDIS_OPERAND_TYPE_REGISTER && to->reg.value == ZYDIS_REGISTER_RSP && !in->keeps &&
           (int)i != t->save_point && i + 1 < t->count && !t->insns[i + 1].live && jit_moves_stack(t, in, step);
}

bool jit_stack_may_lag(const JitTranslator *t, const JitInsn *in)
{
    unsigned i = (unsigned)(in - t->insns);
    int32_t step;

    if (t->is32 || ABS(t->sp_behind) > BEHIND_MAX)
        return false;
    if (i + 1 < t->count && in[1].emit == jit_emit_jcc) /* the two are one operation on the host: nothing gets between them */
        return false;
    if (in->emit == jit_emit_push || in->emit == jit_emit_pop)
        return in->dec.operand_width == 64 && !(in->insn->flags & INSN_MEM) && is_checked(t, in) &&
               !(in->operands[0].type == ZYDIS_OPERAND_TYPE_REGISTER && in->operands[0].reg.value == ZYDIS_REGISTER_RSP);
    if (in->emit == jit_emit_call)
        return in->dec.raw.imm[0].is_relative && is_checked(t, in);
    if (in->emit == jit_emit_ret)
        return !in->next && is_checked(t, in);
    if (in->emit == jit_emit_jmp)
        return in->next;
    return needs_no_stack_pointer(t, in) || is_stack_step(t, in, &step);
}

bool jit_stack_moves(JitTranslator *t, const JitInsn *in)
{
    int32_t step;

    if (!t->sp_lags || !is_stack_step(t, in, &step))
        return false;
    t->keeps_temp = true;
    jit_emit_sp_add(t, step);
    return true;
}

/* --- Instructions. --- */

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
