/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Guest registers that are in the frame (R9, R10, R11) as memory operands: adc rdx, [rsp] instead of a load into a scratch
 * register, the instruction on that and, if it writes, a store.
 *
 * An instruction without a memory operand may have one register in ModRM.rm, where memory can stand. If it is
 * in ModRM.reg, opcodes that have a direction bit are turned round. The memory form of an opcode is the same instruction with
 * these exceptions, which stay with the scratch registers (SDM vol. 2):
 *
 *     32 bits are written    a register's upper half becomes zero, what is behind it in memory stays
 *     BT r, r and its like   in memory the bit may be beyond the operand
 *     XCHG                   locks
 *     EVEX                   the bit for rounding is that for broadcasts
 *
 * So do others for what they cost. Processors give a load the register of the store just before it (Intel's since Golden
 * Cove, AMD's since Zen 2), so that registers in the frame cost no latency; but on a Sapphire Rapids only loads of all 64 bits, by MOV
 * or ALU operations with two operands: a chain of loads, additions and stores takes 1 cycle a round, of additions to memory
 * 7, with a load of 32 bits 6, with ADC, CMOV or CMP from memory 7. So other forms are for registers to which the unit
 * writes constants at most: no chain goes through them.
 */
#include "accel/dbt/jit-translate.h"
#include "accel/dbt/native.h"

/* xor r, r and sub r, r, which read nothing. */
bool jit_is_zeroing(const JitInsn *in)
{
    return (in->dec.mnemonic == ZYDIS_MNEMONIC_XOR || in->dec.mnemonic == ZYDIS_MNEMONIC_SUB) &&
           in->dec.operand_width >= 32 && in->operands[0].type == ZYDIS_OPERAND_TYPE_REGISTER &&
           in->operands[1].type == ZYDIS_OPERAND_TYPE_REGISTER &&
           in->operands[0].reg.value == in->operands[1].reg.value;
}

/* The first operand becomes this constant. */
static bool makes_constant(const JitInsn *in, uint64_t *value)
{
    const ZydisDecodedOperand *with = &in->operands[1];

    *value = 0;
    if (jit_is_zeroing(in))
        return true;
    if (in->dec.mnemonic != ZYDIS_MNEMONIC_MOV || in->dec.operand_width < 32 || with->type != ZYDIS_OPERAND_TYPE_IMMEDIATE)
        return false;
    *value = in->dec.operand_width == 32 ? (uint32_t)with->imm.value.u : with->imm.value.u;
    return true;
}

void jit_frame_note_writes(JitTranslator *t)
{
    uint64_t value;

    t->frame_written = 0;
    for (unsigned i = 0; i < t->count; i++) {
        const JitInsn *in = &t->insns[i];

        if (makes_constant(in, &value))
            continue;
        for (unsigned j = 0; j < in->dec.operand_count; j++) {
            const ZydisDecodedOperand *op = &in->operands[j];
            uint8_t guest = op->type == ZYDIS_OPERAND_TYPE_REGISTER ? native_gpr_number(op->reg.value) : INSN_NO_REG;

            if (guest != INSN_NO_REG && op->actions & ZYDIS_OPERAND_ACTION_MASK_WRITE)
                t->frame_written |= 1u << guest;
        }
    }
}

/* Whether a general register in ModRM.rm that is not both read and written may as well be in memory. */
static bool has_memory_form(const JitInsn *in)
{
    switch (in->dec.meta.category) {
    case ZYDIS_CATEGORY_BINARY:
    case ZYDIS_CATEGORY_LOGICAL:
    case ZYDIS_CATEGORY_CMOV:
    case ZYDIS_CATEGORY_BMI1:
    case ZYDIS_CATEGORY_BMI2:
    case ZYDIS_CATEGORY_LZCNT:
    case ZYDIS_CATEGORY_ADOX_ADCX:
        return true;
    default:
        break;
    }
    switch (in->dec.mnemonic) {
    case ZYDIS_MNEMONIC_MOV:
    case ZYDIS_MNEMONIC_MOVZX:
    case ZYDIS_MNEMONIC_MOVSX:
    case ZYDIS_MNEMONIC_MOVSXD:
    case ZYDIS_MNEMONIC_MOVD:
    case ZYDIS_MNEMONIC_VMOVD:
    case ZYDIS_MNEMONIC_MOVQ:
    case ZYDIS_MNEMONIC_VMOVQ:
    case ZYDIS_MNEMONIC_POPCNT:
    case ZYDIS_MNEMONIC_CRC32:
    case ZYDIS_MNEMONIC_BSF:
    case ZYDIS_MNEMONIC_BSR:
    case ZYDIS_MNEMONIC_CVTSI2SS:
    case ZYDIS_MNEMONIC_VCVTSI2SS:
    case ZYDIS_MNEMONIC_CVTSI2SD:
    case ZYDIS_MNEMONIC_VCVTSI2SD:
        return true;
    default:
        return false;
    }
}

/* The processor finds the register of a store just before. */
static bool forwards(const JitInsn *in, const ZydisDecodedOperand *op)
{
    switch (in->dec.mnemonic) {
    case ZYDIS_MNEMONIC_MOV:
    case ZYDIS_MNEMONIC_ADD:
    case ZYDIS_MNEMONIC_SUB:
    case ZYDIS_MNEMONIC_AND:
    case ZYDIS_MNEMONIC_OR:
    case ZYDIS_MNEMONIC_XOR:
        return op->size == 64;
    case ZYDIS_MNEMONIC_IMUL:
        return op->size == 64 && in->dec.operand_count_visible > 1;
    default:
        return false;
    }
}

/* What turns an opcode round, so that the register in ModRM.reg gets into ModRM.rm; -1: it cannot be. */
static int direction_bit(const JitInsn *in)
{
    uint8_t opcode = in->dec.opcode;

    if (in->dec.encoding != ZYDIS_INSTRUCTION_ENCODING_LEGACY || in->dec.opcode_map != ZYDIS_OPCODE_MAP_DEFAULT)
        return -1;
    if ((opcode < 0x40 && (opcode & 7) < 4) || (opcode >= 0x88 && opcode <= 0x8b)) /* ADD to CMP; MOV */
        return 2;
    return opcode == 0x84 || opcode == 0x85 ? 0 : -1; /* TEST */
}

/* Another operand is the same register and what it has: it is loaded anyway, or (behind a write) would be loaded too late. */
static bool is_elsewhere(const JitInsn *in, const ZydisDecodedOperand *found)
{
    for (unsigned i = 0; i < in->dec.operand_count; i++) {
        const ZydisDecodedOperand *op = &in->operands[i];

        if (op != found && op->type == ZYDIS_OPERAND_TYPE_REGISTER &&
            native_gpr_number(op->reg.value) == native_gpr_number(found->reg.value) && jit_register_is_kept(in, op))
            return true;
    }
    return false;
}

static bool is_good(const JitTranslator *t, const JitInsn *in, const ZydisDecodedOperand *op)
{
    if (op->actions & ZYDIS_OPERAND_ACTION_MASK_WRITE)
        return op->size == 64 && !jit_register_is_kept(in, op);
    return forwards(in, op) || !(t->frame_written >> native_gpr_number(op->reg.value) & 1);
}

/* The spilled register with that encoding, if it is a good memory operand. */
static const ZydisDecodedOperand *find_in(const JitTranslator *t, const JitInsn *in, ZydisOperandEncoding encoding)
{
    for (unsigned i = 0; i < in->dec.operand_count; i++) {
        const ZydisDecodedOperand *op = &in->operands[i];

        if (op->type == ZYDIS_OPERAND_TYPE_REGISTER && op->encoding == encoding &&
            jit_is_spilled(native_gpr_number(op->reg.value)) && is_good(t, in, op) && !is_elsewhere(in, op))
            return op;
    }
    return NULL;
}

const ZydisDecodedOperand *jit_frame_operand(const JitTranslator *t, const JitInsn *in, bool *reversed, uint8_t *opcode)
{
    const ZydisDecodedOperand *op;

    *reversed = false;
    *opcode = in->dec.opcode;
    if (in->dec.encoding == ZYDIS_INSTRUCTION_ENCODING_EVEX || !has_memory_form(in))
        return NULL;
    op = find_in(t, in, ZYDIS_OPERAND_ENCODING_MODRM_RM);
    if (op || direction_bit(in) < 0)
        return op;
    op = find_in(t, in, ZYDIS_OPERAND_ENCODING_MODRM_REG);
    *reversed = op;
    *opcode ^= op ? direction_bit(in) : 0;
    return op;
}

/* Nobody needs a flag the instruction changes. */
static bool flags_are_dead_behind(const JitTranslator *t)
{
    return t->index + 1 < t->count && (int)t->index != t->save_point && !t->insns[t->index + 1].live;
}

bool jit_emit_frame_constant(JitTranslator *t, const JitInsn *in)
{
    const ZydisDecodedOperand *to = &in->operands[0];
    uint8_t guest = to->type == ZYDIS_OPERAND_TYPE_REGISTER ? native_gpr_number(to->reg.value) : INSN_NO_REG;
    uint64_t value;

    if (!jit_is_spilled(guest) || !makes_constant(in, &value) || (int64_t)value != (int32_t)value)
        return false;
    if (jit_is_zeroing(in) && !flags_are_dead_behind(t))
        return false;
    emit_rm(t->hot, true, 0xc7, 0, GPR_RSP, jit_spill_slot(guest)); /* mov qword, imm32 */
    emit32(t->hot, (uint32_t)value);
    t->keeps_temp = true;
    return true;
}
