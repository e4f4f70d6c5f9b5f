/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Values: what is known about the registers of a unit from one instruction to the next, for accesses that share a check
 * (jit-group.c). Which of them have what another has, or had, plus a constant, and which cannot be larger than something.
 *
 *     add rax, 8 ; lea rdx, [rax - 16] ; push rcx        RDX is 8 less than RAX was, and RSP 8 less
 *     mov r10d, eax ; add eax, 1 ; mov esi, eax          R10 is the lower half of RAX as it was, and EAX is 1 more, or 0
 *     movzx ecx, dl ; shr eax, 24                        both are not more than 255
 *
 * Arithmetic of 32 bits wraps around, so what it makes of a register is a new number; only the lower half is that of before plus a
 * constant, modulo 2^32. Whoever relies on that has to know that both upper halves are 0 (limit), and to see to it that nothing has wrapped.
 *
 * Whatever is not listed here, or writes 8 or 16 bits of a register, makes a number nobody knows anything of. What the interpreter does for
 * one instruction of translated code is the same as what the host would.
 */
#include "accel/dbt/jit-value.h"

#include "accel/dbt/native.h"

void jit_values_begin(JitValues *v)
{
    *v = (JitValues){.count = 16};
    for (uint8_t reg = 0; reg < 16; reg++)
        v->reg[reg] = (JitValue){.number = reg, .low = reg, .limit = JIT_NO_LIMIT};
}

/* What the instruction makes of a register it changes is register *from plus *step, or of its lower half if it works on 32 bits; false: who
 * knows. */
static bool constant_step(const JitTranslator *t, const JitInsn *in, uint8_t reg, uint8_t *from, int64_t *step)
{
    const ZydisDecodedOperand *to = &in->operands[0], *with = &in->operands[1];
    const DbtInsn *insn = in->insn;
    bool is_first = to->type == ZYDIS_OPERAND_TYPE_REGISTER && native_gpr_number(to->reg.value) == reg;
    bool is_stack = in->dec.operand_width == 64 && reg == GPR_RSP;
    int64_t word = (int64_t)jit_word(t);

    *from = reg;
    if (in->dec.operand_width < 32)
        return false;
    if (in->emit == jit_emit_push || in->emit == jit_emit_pop) {
        *step = in->emit == jit_emit_push ? -word : word;
        return is_stack && !is_first;
    }
    if (in->emit == jit_emit_call || in->emit == jit_emit_ret) {
        *step = in->emit == jit_emit_call ? -word : word + (int64_t)(insn->imm & 0xffff);
        return is_stack;
    }
    if (in->emit == jit_emit_leave) {
        *from = GPR_RBP;
        *step = word;
        return is_stack;
    }
    switch (in->dec.mnemonic) {
    case ZYDIS_MNEMONIC_ADD:
        *step = with->imm.value.s;
        return is_first && with->type == ZYDIS_OPERAND_TYPE_IMMEDIATE;
    case ZYDIS_MNEMONIC_SUB:
        *step = -with->imm.value.s;
        return is_first && with->type == ZYDIS_OPERAND_TYPE_IMMEDIATE;
    case ZYDIS_MNEMONIC_INC:
    case ZYDIS_MNEMONIC_DEC:
        *step = in->dec.mnemonic == ZYDIS_MNEMONIC_INC ? 1 : -1;
        return is_first;
    case ZYDIS_MNEMONIC_LEA:
        *from = insn->base;
        *step = (int64_t)insn->disp;
        return insn->base != INSN_NO_REG && insn->index == INSN_NO_REG;
    case ZYDIS_MNEMONIC_MOV:
        *from = with->type == ZYDIS_OPERAND_TYPE_REGISTER ? native_gpr_number(with->reg.value) : INSN_NO_REG;
        *step = 0;
        return *from != INSN_NO_REG;
    default:
        return false;
    }
}

/* All 64 bits of a register are those of what was there before, plus the constant. */
static bool is_whole(const JitInsn *in, const JitValue *before)
{
    if (in->dec.operand_width == 64)
        return in->dec.mnemonic != ZYDIS_MNEMONIC_LEA || in->insn->addr_size == 8;
    return in->dec.mnemonic == ZYDIS_MNEMONIC_MOV && jit_value_is_narrow(before);
}

/*
 * What it makes of the register, op, is not more than this. Only of instructions that write all of the register whatever happens:
 * BSF of zero, CMPXCHG, shifts by CL and their like may leave the upper half as it was.
 */
static uint64_t limit_of(const JitInsn *in, const ZydisDecodedOperand *op, const JitValue *before)
{
    const ZydisDecodedOperand *with = &in->operands[1];
    bool immediate = with->type == ZYDIS_OPERAND_TYPE_IMMEDIATE;
    uint8_t from = with->type == ZYDIS_OPERAND_TYPE_REGISTER ? native_gpr_number(with->reg.value) : INSN_NO_REG;
    uint64_t most = op->size == 64 ? JIT_NO_LIMIT : UINT32_MAX, was;
    unsigned count = immediate ? (unsigned)with->imm.value.u & (op->size - 1u) : 0;

    if (op != &in->operands[0] || op->size < 32)
        return JIT_NO_LIMIT;
    was = MIN(most, before[native_gpr_number(op->reg.value)].limit);
    switch (in->dec.mnemonic) {
    case ZYDIS_MNEMONIC_MOVZX:
        return with->size == 8 ? UINT8_MAX : UINT16_MAX;
    case ZYDIS_MNEMONIC_MOV:
        return from != INSN_NO_REG ? MIN(most, before[from].limit) : most;
    case ZYDIS_MNEMONIC_AND:
        return immediate ? MIN(was, with->imm.value.u & most) : was;
    case ZYDIS_MNEMONIC_SHR:
        return count ? was >> count : JIT_NO_LIMIT;
    case ZYDIS_MNEMONIC_ADD:
    case ZYDIS_MNEMONIC_SUB:
    case ZYDIS_MNEMONIC_INC:
    case ZYDIS_MNEMONIC_DEC:
    case ZYDIS_MNEMONIC_LEA:
    case ZYDIS_MNEMONIC_OR:
    case ZYDIS_MNEMONIC_XOR:
        return most;
    default:
        return JIT_NO_LIMIT;
    }
}

/* SWAPGS, WRFSBASE, POP FS and their like. */
static bool changes_segments(const JitInsn *in)
{
    const ZydisDecodedOperand *to = &in->operands[0];

    return in->emit == jit_emit_swapgs || in->emit == jit_emit_write_base ||
           (to->type == ZYDIS_OPERAND_TYPE_REGISTER && to->actions & ZYDIS_OPERAND_ACTION_MASK_WRITE &&
            ZydisRegisterGetClass(to->reg.value) == ZYDIS_REGCLASS_SEGMENT);
}

static void new_value(JitValues *v, uint8_t reg, uint64_t limit)
{
    v->reg[reg] = (JitValue){.number = v->count, .low = v->count, .limit = limit};
    v->count++;
}

static void follow_write(const JitTranslator *t, JitValues *v, const JitInsn *in, const ZydisDecodedOperand *op, const JitValue *before)
{
    uint8_t reg = native_gpr_number(op->reg.value), from;
    JitValue *now = &v->reg[reg];
    int64_t step, shift;

    new_value(v, reg, limit_of(in, op, before));
    if (!constant_step(t, in, reg, &from, &step))
        return;
    now->low = before[from].low;
    now->low_shift = before[from].low_shift + (uint32_t)step;
    shift = before[from].shift + step;
    if (is_whole(in, &before[from]) && shift == (int32_t)shift) {
        now->number = before[from].number;
        now->shift = shift;
    }
}

void jit_values_follow(const JitTranslator *t, JitValues *v, const JitInsn *in)
{
    JitValue before[16];

    if (changes_segments(in))
        v->segment_base[0] = v->segment_base[1] = v->count++;
    memcpy(before, v->reg, sizeof(before));
    for (unsigned i = 0; i < in->dec.operand_count; i++) {
        const ZydisDecodedOperand *op = &in->operands[i];

        if (op->type == ZYDIS_OPERAND_TYPE_REGISTER && native_gpr_number(op->reg.value) != INSN_NO_REG &&
            op->actions & ZYDIS_OPERAND_ACTION_MASK_WRITE)
            follow_write(t, v, in, op, before);
    }
    if (in->dec.meta.category == ZYDIS_CATEGORY_STRINGOP) { /* Zydis does not tell that CMPS and SCAS change these */
        new_value(v, GPR_RSI, JIT_NO_LIMIT);
        new_value(v, GPR_RDI, JIT_NO_LIMIT);
    }
}
