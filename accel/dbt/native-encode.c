/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Normal form of an unprivileged instruction: host bytes with the same meaning in 64-bit mode.
 *
 * SDM vol. 2, ch. 2: prefixes, REX, VEX, EVEX, ModRM. Prefixes that change nothing are dropped, the
 * memory operand becomes [reg], guest RSP is renamed. An instruction of 16- or 32-bit code may need
 * another operand-size prefix or VEX.W here; the candidates are decoded again and the one with the
 * same mnemonic and operands is taken, so no table of such rules is needed.
 */
#include "accel/dbt/native.h"

static uint8_t host_number(const NativeInsn *out, ZydisRegister reg, uint8_t field)
{
    return native_gpr_number(reg) == GPR_RSP && !native_is_high_byte(reg) ? out->rsp_reg : field;
}

/* The register fields: as they were, but for RSP. AH has number 4 and stays. */
static void fill_fields(const NativeInsn *out, NativeFields *f, const ZydisDecodedInstruction *dec,
                        const ZydisDecodedOperand *operands, uint8_t rex_r, uint8_t rex_b)
{
    f->reg = dec->raw.modrm.reg | rex_r << 3;
    f->rm = dec->raw.modrm.rm | rex_b << 3;
    f->opcode_reg = (dec->opcode & 7) | rex_b << 3;
    for (unsigned i = 0; i < dec->operand_count; i++) {
        const ZydisDecodedOperand *op = &operands[i];

        if (op->type != ZYDIS_OPERAND_TYPE_REGISTER ||
            native_gpr_number(op->reg.value) != GPR_RSP) {
            f->opcode_has_reg |= op->encoding == ZYDIS_OPERAND_ENCODING_OPCODE;
            continue;
        }
        switch (op->encoding) {
        case ZYDIS_OPERAND_ENCODING_MODRM_REG:
            f->reg = host_number(out, op->reg.value, f->reg);
            break;
        case ZYDIS_OPERAND_ENCODING_MODRM_RM:
            f->rm = host_number(out, op->reg.value, f->rm);
            break;
        case ZYDIS_OPERAND_ENCODING_OPCODE:
            f->opcode_reg = host_number(out, op->reg.value, f->opcode_reg);
            f->opcode_has_reg = true;
            break;
        case ZYDIS_OPERAND_ENCODING_NDSNDD:
            f->vvvv = host_number(out, op->reg.value, f->vvvv);
            break;
        default:
            break;
        }
    }
}

static void put(NativeInsn *out, uint8_t byte)
{
    g_assert(out->len < NATIVE_INSN_MAX);
    out->bytes[out->len++] = byte;
}

static void put_modrm_and_imm(NativeInsn *out, const NativeFields *f,
                              const ZydisDecodedInstruction *dec, const uint8_t *bytes)
{
    if (dec->attributes & ZYDIS_ATTRIB_HAS_MODRM) {
        if (dec->raw.modrm.mod == 3) {
            put(out, 0xc0 | (f->reg & 7) << 3 | (f->rm & 7));
        } else {
            put(out, (f->reg & 7) << 3 | out->mem_reg);
        }
    }
    for (unsigned i = 0; i < 2; i++) {
        for (unsigned j = 0; j < dec->raw.imm[i].size / 8; j++) {
            put(out, bytes[dec->raw.imm[i].offset + j]);
        }
    }
}

static bool put_legacy(NativeInsn *out, const NativeFields *f, const ZydisDecodedInstruction *dec,
                       const uint8_t *bytes, bool op_size_prefix)
{
    bool memory = dec->attributes & ZYDIS_ATTRIB_HAS_MODRM && dec->raw.modrm.mod != 3;
    bool has_rm = dec->attributes & ZYDIS_ATTRIB_HAS_MODRM && !memory;
    uint8_t low = f->opcode_has_reg ? f->opcode_reg : has_rm ? f->rm : 0;
    uint8_t rex = (dec->attributes & ZYDIS_ATTRIB_HAS_REX ? dec->raw.rex.W << 3 : 0) |
                  (dec->attributes & ZYDIS_ATTRIB_HAS_MODRM ? f->reg >> 3 << 2 : 0) | low >> 3;

    if (out->locked) {
        put(out, 0xf0);
    }
    if (op_size_prefix) {
        put(out, 0x66);
    }
    for (unsigned i = 0; i < dec->raw.prefix_count; i++) {
        if (dec->raw.prefixes[i].type == ZYDIS_PREFIX_TYPE_MANDATORY) {
            put(out, dec->raw.prefixes[i].value);
        }
    }
    if (rex || f->need_rex) {
        if (f->no_rex) {
            return false;
        }
        put(out, 0x40 | rex);
    }
    switch (dec->opcode_map) {
    case ZYDIS_OPCODE_MAP_DEFAULT:
        break;
    case ZYDIS_OPCODE_MAP_0F:
        put(out, 0x0f);
        break;
    case ZYDIS_OPCODE_MAP_0F38:
        put(out, 0x0f);
        put(out, 0x38);
        break;
    case ZYDIS_OPCODE_MAP_0F3A:
        put(out, 0x0f);
        put(out, 0x3a);
        break;
    default:
        return false;
    }
    put(out, f->opcode_has_reg ? (dec->opcode & ~7) | (f->opcode_reg & 7) : dec->opcode);
    put_modrm_and_imm(out, f, dec, bytes);
    return true;
}

/* Always the three-byte form. long_mode: the guest's; else the extension bits are ignored there
 * and must be neutral here. */
static bool put_vex(NativeInsn *out, const NativeFields *f, const ZydisDecodedInstruction *dec,
                    const ZydisDecodedOperand *operands, const uint8_t *bytes, bool long_mode,
                    bool w)
{
    bool memory = dec->raw.modrm.mod != 3;

    if (!(dec->attributes & ZYDIS_ATTRIB_HAS_MODRM) || dec->raw.vex.m_mmmm > 3) {
        return false;
    }
    put(out, 0xc4);
    put(out,
        (f->reg & 8 ? 0 : 0x80) | 0x40 | (!memory && f->rm & 8 ? 0 : 0x20) | dec->raw.vex.m_mmmm);
    put(out, w << 7 | (~f->vvvv & 15) << 3 | dec->raw.vex.L << 2 | dec->raw.vex.pp);
    put(out, dec->opcode);
    put_modrm_and_imm(out, f, dec, bytes);
    for (unsigned i = 0; i < dec->operand_count; i++) {
        if (operands[i].encoding == ZYDIS_OPERAND_ENCODING_IS4 && !long_mode) {
            out->bytes[out->len - 1] &= 0x7f; /* the register's high bit, ignored in that mode */
        }
    }
    return true;
}

/* All registers by their operands: outside 64-bit mode the extension bits are ignored or fixed. */
static void fill_evex_fields(const NativeInsn *out, NativeFields *f, const ZydisDecodedInstruction *dec,
                             const ZydisDecodedOperand *operands)
{
    f->reg = dec->raw.modrm.reg;
    f->rm = dec->raw.modrm.rm;
    f->vvvv = 0;
    for (unsigned i = 0; i < dec->operand_count; i++) {
        const ZydisDecodedOperand *op = &operands[i];
        uint8_t number;

        if (op->type != ZYDIS_OPERAND_TYPE_REGISTER) {
            continue;
        }
        number = native_gpr_number(op->reg.value);
        number = number == INSN_NO_REG ? ZydisRegisterGetId(op->reg.value)
                                       : host_number(out, op->reg.value, number);
        switch (op->encoding) {
        case ZYDIS_OPERAND_ENCODING_MODRM_REG:
            f->reg = number;
            break;
        case ZYDIS_OPERAND_ENCODING_MODRM_RM:
            f->rm = number;
            break;
        case ZYDIS_OPERAND_ENCODING_NDSNDD:
            f->vvvv = number;
            break;
        default:
            break;
        }
    }
}

/* SDM vol. 2, 2.7.1: 62, P0 = R X B R' 0 mmm, P1 = W vvvv 1 pp, P2 = z L'L b V' aaa. */
static void put_evex(NativeInsn *out, const NativeFields *f, const ZydisDecodedInstruction *dec,
                     const uint8_t *bytes, bool w)
{
    const uint8_t *evex = bytes + dec->raw.evex.offset;
    uint8_t rm = dec->raw.modrm.mod == 3 ? f->rm : 0;

    put(out, 0x62);
    put(out, (f->reg & 8 ? 0 : 0x80) | (rm & 16 ? 0 : 0x40) | (rm & 8 ? 0 : 0x20) | (f->reg & 16 ? 0 : 0x10) |
                 (evex[1] & 7));
    put(out, w << 7 | (~f->vvvv & 15) << 3 | (evex[2] & 7));
    put(out, (evex[3] & 0xf7) | (f->vvvv & 16 ? 0 : 8));
    put(out, dec->opcode);
    put_modrm_and_imm(out, f, dec, bytes);
}

/* Whether out's bytes mean in 64-bit mode what the instruction meant in its own. */
static bool same_meaning(const NativeInsn *out, const ZydisDecodedInstruction *dec,
                         const ZydisDecodedOperand *operands)
{
    ZydisDecoder decoder;
    ZydisDecodedInstruction got;
    ZydisDecodedOperand got_operands[ZYDIS_MAX_OPERAND_COUNT];

    ZydisDecoderInit(&decoder, ZYDIS_MACHINE_MODE_LONG_64, ZYDIS_STACK_WIDTH_64);
    if (!ZYAN_SUCCESS(ZydisDecoderDecodeFull(&decoder, out->bytes, out->len, &got, got_operands)) ||
        got.length != out->len || got.mnemonic != dec->mnemonic ||
        got.operand_count != dec->operand_count) {
        return false;
    }
    for (unsigned i = 0; i < dec->operand_count; i++) {
        const ZydisDecodedOperand *a = &operands[i], *b = &got_operands[i];

        if (a->type != b->type) {
            return false;
        }
        if (a->type == ZYDIS_OPERAND_TYPE_REGISTER) {
            ZydisRegisterClass class = ZydisRegisterGetClass(a->reg.value);
            uint8_t number = native_gpr_number(a->reg.value);

            if (class == ZYDIS_REGCLASS_FLAGS) {
                continue;
            }
            if (number == GPR_RSP && !native_is_high_byte(a->reg.value)) {
                if (a->size != b->size || native_gpr_number(b->reg.value) != out->rsp_reg) {
                    return false;
                }
            } else if (a->reg.value != b->reg.value) {
                return false;
            }
        } else if (a->size != b->size) {
            return false;
        }
    }
    return true;
}

/* Tries the encodings that may be right, in order of likelihood. */
static bool encode_bytes(NativeInsn *out, NativeFields *f, unsigned code_bits,
                         const ZydisDecodedInstruction *dec, const ZydisDecodedOperand *operands,
                         const uint8_t *bytes)
{
    bool long_mode = code_bits == 64;
    bool prefix = dec->attributes & ZYDIS_ATTRIB_HAS_OPERANDSIZE;

    for (unsigned attempt = 0; attempt < 2; attempt++) {
        out->len = 0;
        if (out->evex) {
            fill_evex_fields(out, f, dec, operands);
            put_evex(out, f, dec, bytes, attempt == 0 && bytes[dec->raw.evex.offset + 2] & 0x80);
            if (same_meaning(out, dec, operands)) {
                return true;
            }
        } else if (out->vex) {
            const uint8_t *vex = bytes + dec->raw.vex.offset;
            uint8_t payload = vex[dec->raw.vex.size - 1];
            uint8_t extension = vex[1];
            bool short_form = dec->raw.vex.size == 2;

            f->vvvv = ~payload >> 3 & (long_mode ? 15 : 7);
            fill_fields(out, f, dec, operands, long_mode && !(extension & 0x80),
                        long_mode && !short_form && !(extension & 0x20));
            if (put_vex(out, f, dec, operands, bytes, long_mode, attempt == 0 && dec->raw.vex.W) &&
                same_meaning(out, dec, operands)) {
                return true;
            }
        } else {
            bool rex = dec->attributes & ZYDIS_ATTRIB_HAS_REX;

            fill_fields(out, f, dec, operands, rex && dec->raw.rex.R, rex && dec->raw.rex.B);
            if (put_legacy(out, f, dec, bytes, long_mode ? prefix != attempt : attempt) &&
                same_meaning(out, dec, operands)) {
                return true;
            }
        }
    }
    return false;
}

bool native_encode(NativeInsn *out, unsigned code_bits, const ZydisDecodedInstruction *dec,
                   const ZydisDecodedOperand *operands, const uint8_t *bytes)
{
    NativeFields f;

    return native_describe(out, &f, dec, operands) &&
           encode_bytes(out, &f, code_bits, dec, operands, bytes);
}
