/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Values: what is known about the registers of a unit from one instruction to the next, for accesses that share a check
 * (jit-group.c). Which of them have what another has, or had, plus a constant, and which cannot be larger than something.
 *
 *     add rax, 8 ; lea rdx, [rax - 16] ; push rcx        RDX is 8 less than RAX was, and RSP 8 less
 *     mov r10d, eax ; add eax, 1 ; mov esi, eax          R10 is the lower half of RAX as it was, and EAX is 1 more, or 0
 *     lea edx, [rsi + rax] ; inc eax ; lea ecx, [rax + rsi]    ECX is 1 more than EDX, or 0
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
    v->count = 16;
    v->sum_count = 0;
    v->segment_base[0] = v->segment_base[1] = 0;
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

/* The instruction makes of a register it changes register *first plus register *second times *scale plus *step, or that with their lower
 * halves if it works on 32 bits; false: who knows. */
static bool sum_of(const JitInsn *in, uint8_t *first, uint8_t *second, uint8_t *scale, int64_t *step)
{
    const ZydisDecodedOperand *to = &in->operands[0], *with = &in->operands[1];

    *first = in->insn->base;
    *second = in->insn->index;
    *scale = in->insn->scale;
    *step = (int64_t)in->insn->disp;
    if (in->dec.mnemonic == ZYDIS_MNEMONIC_ADD && to->type == ZYDIS_OPERAND_TYPE_REGISTER && with->type == ZYDIS_OPERAND_TYPE_REGISTER) {
        *first = native_gpr_number(to->reg.value);
        *second = native_gpr_number(with->reg.value);
        *scale = 1;
        *step = 0;
    } else if (in->dec.mnemonic != ZYDIS_MNEMONIC_LEA) {
        return false;
    }
    return in->dec.operand_width >= 32 && *first != INSN_NO_REG && *second != INSN_NO_REG;
}

static uint16_t sum_number(JitValues *v, uint16_t first, uint16_t second, uint8_t scale)
{
    JitSum *s = v->sums, sum = {first, second, v->count, scale};

    if (scale == 1 && first > second) {
        sum.first = second;
        sum.second = first;
    }
    for (; s < &v->sums[v->sum_count]; s++) {
        if (s->first == sum.first && s->second == sum.second && s->scale == scale)
            return s->number;
    }
    v->count++;
    if (v->sum_count < G_N_ELEMENTS(v->sums))
        v->sums[v->sum_count++] = sum;
    return sum.number;
}

/* What an instruction makes of a register, if that is what was there before, or a sum, plus a constant. */
static bool value_made(const JitTranslator *t, JitValues *v, const JitInsn *in, uint8_t reg, const JitValue *before, JitValue *made)
{
    uint8_t first, second, scale;
    int64_t step;

    if (constant_step(t, in, reg, &first, &step)) {
        *made = before[first];
    } else if (sum_of(in, &first, &second, &scale, &step)) {
        const JitValue *a = &before[first], *b = &before[second];

        made->number = sum_number(v, a->number, b->number, scale);
        made->shift = a->shift + b->shift * scale;
        made->low = sum_number(v, a->low, b->low, scale);
        made->low_shift = a->low_shift + b->low_shift * scale;
    } else {
        return false;
    }
    made->shift += step;
    made->low_shift += (uint32_t)step;
    return true;
}

/* What the instruction makes is made of all 64 bits of registers. */
static bool is_whole(const JitInsn *in, const JitValue *before)
{
    if (in->dec.operand_width == 64)
        return in->dec.mnemonic != ZYDIS_MNEMONIC_LEA || in->insn->addr_size == 8;
    return in->dec.mnemonic == ZYDIS_MNEMONIC_MOV && jit_value_is_narrow(&before[native_gpr_number(in->operands[1].reg.value)]);
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
    uint8_t reg = native_gpr_number(op->reg.value);
    JitValue *now = &v->reg[reg], made = {0};

    new_value(v, reg, limit_of(in, op, before));
    if (!value_made(t, v, in, reg, before, &made))
        return;
    now->low = made.low;
    now->low_shift = made.low_shift;
    if (is_whole(in, before) && made.shift == (int32_t)made.shift) {
        now->number = made.number;
        now->shift = made.shift;
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
