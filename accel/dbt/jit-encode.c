/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Re-encoding: the guest's own instruction with its registers mapped and [HOST_ADDR] as its memory
 * operand (SDM vol. 2, ch. 2: prefixes, REX, VEX, EVEX, ModRM, SIB).
 *
 * Which instructions may run so is decided by kind: unprivileged, with registers, one memory operand
 * in ModRM and immediates, and no effect but on those and arithmetic flags. All of it is read from
 * Zydis' tables. A guest register that is in the frame may be the memory operand where the instruction has no other
 * (jit-frame.c), or takes the place of a scratch register for this instruction; where there are too few, the interpreter runs it.
 */
#include "accel/dbt/jit-translate.h"
#include "accel/dbt/native.h"

static bool is_gpr(ZydisRegister reg)
{
    return native_gpr_number(reg) != INSN_NO_REG;
}

/* Those whose numbers are the host's: vector registers and opmasks. */
static bool is_vector(ZydisRegister reg)
{
    ZydisRegisterClass class = ZydisRegisterGetClass(reg);

    return class == ZYDIS_REGCLASS_XMM || class == ZYDIS_REGCLASS_YMM || class == ZYDIS_REGCLASS_ZMM ||
           class == ZYDIS_REGCLASS_MASK;
}

/* Named by number in fields that stay as they are, or not at all. */
static bool is_x87(ZydisRegister reg)
{
    ZydisRegisterClass class = ZydisRegisterGetClass(reg);

    return class == ZYDIS_REGCLASS_X87 || class == ZYDIS_REGCLASS_MMX || reg == ZYDIS_REGISTER_X87CONTROL ||
           reg == ZYDIS_REGISTER_X87STATUS || reg == ZYDIS_REGISTER_X87TAG;
}

static bool operand_is_plain(const ZydisDecodedOperand *op)
{
    switch (op->type) {
    case ZYDIS_OPERAND_TYPE_REGISTER:
        return is_gpr(op->reg.value) || ZydisRegisterGetClass(op->reg.value) == ZYDIS_REGCLASS_FLAGS ||
               is_vector(op->reg.value) || is_x87(op->reg.value) || op->reg.value == ZYDIS_REGISTER_MXCSR;
    case ZYDIS_OPERAND_TYPE_MEMORY:
        return op->encoding == ZYDIS_OPERAND_ENCODING_MODRM_RM && op->mem.type == ZYDIS_MEMOP_TYPE_MEM &&
               op->size >= 8 && op->size <= 64 * 8;
    case ZYDIS_OPERAND_TYPE_IMMEDIATE:
        return true;
    default:
        return false;
    }
}

/* Bit tests with a register address memory by bit offset, beyond their operand. */
static bool is_bit_string(const JitInsn *in)
{
    return in->dec.meta.category == ZYDIS_CATEGORY_BITBYTE && in->insn->flags & INSN_MEM &&
           in->operands[1].type == ZYDIS_OPERAND_TYPE_REGISTER && in->operands[0].type == ZYDIS_OPERAND_TYPE_MEMORY;
}

static uint8_t evex_vectors(const JitInsn *in)
{
    uint8_t used = native_ignores_mxcsr(&in->dec) ? 0 : JIT_VECTORS_LOW;

    for (unsigned i = 0; i < in->dec.operand_count; i++) {
        const ZydisDecodedOperand *op = &in->operands[i];
        bool written = op->actions & ZYDIS_OPERAND_ACTION_MASK_WRITE;

        if (op->type != ZYDIS_OPERAND_TYPE_REGISTER || !is_vector(op->reg.value))
            continue;
        if (op->encoding == ZYDIS_OPERAND_ENCODING_MASK && op->reg.value == ZYDIS_REGISTER_K0)
            continue; /* no mask */
        if (ZydisRegisterGetClass(op->reg.value) == ZYDIS_REGCLASS_MASK || ZydisRegisterGetId(op->reg.value) > 15)
            used |= JIT_VECTORS_HIGH;
        else
            used |= JIT_VECTORS_LOW | (written && op->size == 512 ? JIT_VECTORS_WIDE : 0);
    }
    return used;
}

uint8_t jit_uses_vectors(const JitInsn *in)
{
    switch (in->dec.meta.isa_ext) {
    case ZYDIS_ISA_EXT_BASE:
    case ZYDIS_ISA_EXT_LONGMODE:
    case ZYDIS_ISA_EXT_BMI1:
    case ZYDIS_ISA_EXT_BMI2:
    case ZYDIS_ISA_EXT_LZCNT:
    case ZYDIS_ISA_EXT_MOVBE:
    case ZYDIS_ISA_EXT_ADOX_ADCX:
    case ZYDIS_ISA_EXT_X87:
    case ZYDIS_ISA_EXT_MMX:
        return 0;
    case ZYDIS_ISA_EXT_AVX512VEX:
        return JIT_VECTORS_HIGH;
    default:
        break;
    }
    if (in->dec.encoding == ZYDIS_INSTRUCTION_ENCODING_EVEX)
        return evex_vectors(in);
    switch (in->dec.mnemonic) {
    case ZYDIS_MNEMONIC_POPCNT:
    case ZYDIS_MNEMONIC_CRC32:
    case ZYDIS_MNEMONIC_LFENCE: /* kernels have these on the way in and out */
    case ZYDIS_MNEMONIC_MFENCE:
    case ZYDIS_MNEMONIC_SFENCE:
    case ZYDIS_MNEMONIC_MOVNTI:
        return 0;
    default:
        return JIT_VECTORS_LOW; /* CVTSD2SI r32, m64 names no vector register, but works with MXCSR */
    }
}

/* The unit an instruction of vectors needs is there; else the interpreter finds the right exception. */
static bool unit_is_available(const JitTranslator *t, const JitInsn *in)
{
    bool avx512 = in->dec.encoding == ZYDIS_INSTRUCTION_ENCODING_EVEX || in->dec.meta.isa_ext == ZYDIS_ISA_EXT_AVX512VEX;
    bool vex = in->dec.encoding == ZYDIS_INSTRUCTION_ENCODING_VEX;

    if (jit_uses_x87(in) && !(t->jit->mode_key & JIT_MODE_X87 && jit_x87_can_reencode(in)))
        return false;
    if (avx512)
        return t->jit->mode_key & JIT_MODE_AVX512;
    return !jit_uses_vectors(in) || t->jit->mode_key & (vex ? JIT_MODE_AVX : JIT_MODE_SSE);
}

static bool encoding_is_known(const ZydisDecodedInstruction *dec)
{
    return dec->encoding == ZYDIS_INSTRUCTION_ENCODING_LEGACY || dec->encoding == ZYDIS_INSTRUCTION_ENCODING_VEX ||
           dec->encoding == ZYDIS_INSTRUCTION_ENCODING_EVEX;
}

/* EVEX.W of integers outside a vector is ignored in 32-bit code, where not, is not told by the opcode alone. */
static bool evex_w_is_doubtful(const JitInsn *in)
{
    const ZydisDecodedInstruction *dec = &in->dec;

    if (dec->encoding != ZYDIS_INSTRUCTION_ENCODING_EVEX || !(in->bytes[dec->raw.evex.offset + 2] & 0x80))
        return false;
    for (unsigned i = 0; i < dec->operand_count; i++) {
        if (in->operands[i].type == ZYDIS_OPERAND_TYPE_REGISTER && is_gpr(in->operands[i].reg.value))
            return true;
    }
    return in->insn->flags & INSN_MEM && dec->avx.vector_length == 128;
}

bool jit_can_reencode(const JitTranslator *t, const JitInsn *in)
{
    const ZydisDecodedInstruction *dec = &in->dec;
    const ZydisAccessedFlags *f = dec->cpu_flags;

    if (!native_extension_is_plain(dec) || dec->attributes & ZYDIS_ATTRIB_IS_PRIVILEGED ||
        !encoding_is_known(dec) || is_bit_string(in) || !unit_is_available(t, in))
        return false;
    if (f && (f->tested | f->modified | f->set_0 | f->set_1) & ~(ZydisAccessedFlagsMask)RFLAGS_ARITH)
        return false;
    if (t->is32 && evex_w_is_doubtful(in))
        return false;
    /* There these clear registers 0 to 7 only. */
    if (t->is32 && (dec->mnemonic == ZYDIS_MNEMONIC_VZEROALL || dec->mnemonic == ZYDIS_MNEMONIC_VZEROUPPER))
        return false;
    /* Encodings that mean something else in 64-bit mode: INC and DEC have rows of their own. */
    if (t->is32 && dec->opcode_map == ZYDIS_OPCODE_MAP_DEFAULT &&
        ((dec->opcode >= 0x40 && dec->opcode <= 0x4f) || dec->opcode == 0x82))
        return false;
    for (unsigned i = 0; i < dec->operand_count; i++) {
        if (!operand_is_plain(&in->operands[i]))
            return false;
    }
    return true;
}

/* The fields of the new encoding. */
typedef struct Fields {
    uint8_t opcode, reg, rm, vvvv, opcode_reg;
    bool opcode_has_reg, memory;
    bool need_rex, no_rex; /* SPL..DIL; AH..BH */
    uint8_t swapped;       /* AL..BL stands for AH..BH, HOST_NO_REG: none does */
    bool has_gpr;
    bool zeroing;
    HostAddress at;        /* the memory operand */
    const ZydisDecodedOperand *in_frame; /* the register that is it; NULL: none */
    bool reversed;         /* what was in rm is in reg, and the other way round */
    uint8_t pool[2];       /* scratch registers not given away */
    unsigned pool_count;
    struct {
        uint8_t guest, host;
        bool load, store;
    } spilled[3];
    unsigned spilled_count;
} Fields;

/* Some of what the register has is needed, or stays. BSF and BSR of zero change nothing, of which Zydis does not know. */
bool jit_register_is_kept(const JitInsn *in, const ZydisDecodedOperand *op)
{
    return op->size < 32 || !(op->actions & ZYDIS_OPERAND_ACTION_MASK_WRITE) ||
           op->actions & (ZYDIS_OPERAND_ACTION_MASK_READ | ZYDIS_OPERAND_ACTION_CONDWRITE) ||
           in->dec.mnemonic == ZYDIS_MNEMONIC_BSF || in->dec.mnemonic == ZYDIS_MNEMONIC_BSR;
}

/* The host register for a guest register in this instruction; HOST_NO_REG: none left. */
static uint8_t assign(Fields *f, const JitInsn *in, const ZydisDecodedOperand *op)
{
    uint8_t guest = native_gpr_number(op->reg.value);
    unsigned i;

    if (!jit_is_spilled(guest))
        return jit_host(guest);
    if (op == f->in_frame)
        return GPR_RSP;
    for (i = 0; i < f->spilled_count && f->spilled[i].guest != guest; i++)
        ;
    if (i == f->spilled_count) {
        if (!f->pool_count)
            return HOST_NO_REG;
        f->spilled[i].guest = guest;
        f->spilled[i].host = f->pool[--f->pool_count];
        f->spilled[i].load = f->spilled[i].store = false;
        f->spilled_count++;
    }
    f->spilled[i].load |= jit_register_is_kept(in, op) && !f->zeroing;
    f->spilled[i].store |= op->actions & ZYDIS_OPERAND_ACTION_MASK_WRITE;
    return f->spilled[i].host;
}

static bool fill_register(Fields *f, const JitInsn *in, const ZydisDecodedOperand *op)
{
    uint8_t host;

    if (!is_gpr(op->reg.value) && !is_vector(op->reg.value))
        return true;
    /* Implicit registers are never RSP, R9, R10 or R11. */
    if (is_gpr(op->reg.value) && op->encoding == ZYDIS_OPERAND_ENCODING_NONE)
        return true;
    if (is_vector(op->reg.value)) {
        host = (uint8_t)ZydisRegisterGetId(op->reg.value);
    } else if (native_is_high_byte(op->reg.value) && f->memory) {
        /* The address has a REX prefix, with which these cannot be named. */
        host = f->swapped = (uint8_t)(op->reg.value - ZYDIS_REGISTER_AH);
    } else if (native_is_high_byte(op->reg.value)) {
        f->no_rex = true;
        host = (uint8_t)(op->reg.value - ZYDIS_REGISTER_AH + 4);
    } else {
        host = assign(f, in, op);
        f->need_rex |= op->reg.value >= ZYDIS_REGISTER_SPL && op->reg.value <= ZYDIS_REGISTER_DIL;
    }
    if (host == HOST_NO_REG)
        return false;
    f->has_gpr |= is_gpr(op->reg.value);
    switch (op->encoding) {
    case ZYDIS_OPERAND_ENCODING_MODRM_REG:
        *(f->reversed ? &f->rm : &f->reg) = host;
        break;
    case ZYDIS_OPERAND_ENCODING_MODRM_RM:
        *(f->reversed ? &f->reg : &f->rm) = host;
        break;
    case ZYDIS_OPERAND_ENCODING_NDSNDD:
        f->vvvv = host;
        break;
    case ZYDIS_OPERAND_ENCODING_OPCODE:
        f->opcode_reg = host;
        f->opcode_has_reg = true;
        break;
    default:
        break;
    }
    return true;
}

static void set_frame_address(Fields *f)
{
    f->memory = true;
    f->at = (HostAddress){GPR_RSP, HOST_NO_REG, 0, jit_spill_slot(native_gpr_number(f->in_frame->reg.value))};
}

/* place: of the memory operand; NULL: there is none. */
static bool fill_fields(const JitTranslator *t, Fields *f, const JitInsn *in, const JitPlace *place)
{
    const ZydisDecodedInstruction *dec = &in->dec;

    *f = (Fields){.reg = dec->raw.modrm.reg, .rm = dec->raw.modrm.rm, .pool = {HOST_TEMP, HOST_ADDR}, .swapped = HOST_NO_REG};
    f->opcode = dec->opcode;
    f->memory = place != NULL;
    if (!place)
        f->in_frame = jit_frame_operand(t, in, &f->reversed, &f->opcode);
    if (f->in_frame)
        set_frame_address(f);
    f->zeroing = !place && jit_is_zeroing(in);
    f->pool_count = 2;
    if (place) {
        f->at = place->at;
        f->rm = place->at.base;
        f->pool[0] = place->spare;
        f->pool_count = place->spare != HOST_NO_REG;
    }
    for (unsigned i = 0; i < dec->operand_count; i++) {
        if (in->operands[i].type == ZYDIS_OPERAND_TYPE_REGISTER && !fill_register(f, in, &in->operands[i]))
            return false;
    }
    return !(f->no_rex && (f->need_rex || (f->reg | f->rm | f->opcode_reg) & 8));
}

/* The high bit of the index register; 0: none. */
static uint8_t index_high(const Fields *f)
{
    return f->memory && f->at.index != HOST_NO_REG ? f->at.index >> 3 : 0;
}

static void emit_modrm_and_imm(JitEmit *e, const Fields *f, const JitInsn *in)
{
    const ZydisDecodedInstruction *dec = &in->dec;

    if (dec->attributes & ZYDIS_ATTRIB_HAS_MODRM) {
        if (f->memory)
            emit_address(e, f->reg, &f->at);
        else
            emit8(e, 0xc0 | (f->reg & 7) << 3 | (f->rm & 7));
    }
    for (unsigned i = 0; i < 2; i++)
        emit_bytes(e, in->bytes + dec->raw.imm[i].offset, dec->raw.imm[i].size / 8);
}

static void emit_legacy(JitEmit *e, const Fields *f, const JitInsn *in)
{
    const ZydisDecodedInstruction *dec = &in->dec;
    bool modrm = dec->attributes & ZYDIS_ATTRIB_HAS_MODRM;
    uint8_t rex = (dec->attributes & ZYDIS_ATTRIB_HAS_REX ? dec->raw.rex.W << 3 : 0) |
                  (modrm ? f->reg >> 3 << 2 | index_high(f) << 1 | f->rm >> 3 : 0) | (f->opcode_has_reg ? f->opcode_reg >> 3 : 0);

    if (dec->attributes & ZYDIS_ATTRIB_HAS_LOCK)
        emit8(e, 0xf0);
    if (dec->attributes & ZYDIS_ATTRIB_HAS_OPERANDSIZE)
        emit8(e, 0x66);
    for (unsigned i = 0; i < dec->raw.prefix_count; i++) {
        if (dec->raw.prefixes[i].type == ZYDIS_PREFIX_TYPE_MANDATORY)
            emit8(e, dec->raw.prefixes[i].value);
    }
    if (rex || f->need_rex)
        emit8(e, 0x40 | rex);
    if (dec->opcode_map != ZYDIS_OPCODE_MAP_DEFAULT)
        emit8(e, 0x0f);
    if (dec->opcode_map == ZYDIS_OPCODE_MAP_0F38)
        emit8(e, 0x38);
    if (dec->opcode_map == ZYDIS_OPCODE_MAP_0F3A)
        emit8(e, 0x3a);
    emit8(e, f->opcode_has_reg ? (f->opcode & ~7) | (f->opcode_reg & 7) : f->opcode);
    emit_modrm_and_imm(e, f, in);
}

/* Instructions whose general register or integer in memory VEX.W makes 64 bits wide, in 64-bit mode only. */
static bool w_is_for_integers(const ZydisDecodedInstruction *dec, const Fields *f)
{
    switch (dec->opcode_map << 8 | dec->opcode) {
    case ZYDIS_OPCODE_MAP_0F << 8 | 0x2a: /* VCVTSI2SS, VCVTSI2SD */
    case ZYDIS_OPCODE_MAP_0F << 8 | 0x6e: /* VMOVD */
    case ZYDIS_OPCODE_MAP_0F << 8 | 0x7e:
    case ZYDIS_OPCODE_MAP_0F3A << 8 | 0x16: /* VPEXTRD */
    case ZYDIS_OPCODE_MAP_0F3A << 8 | 0x22: /* VPINSRD */
        return true;
    default:
        return f->has_gpr;
    }
}

/* Always the three-byte form. */
static void emit_vex(JitEmit *e, const Fields *f, const JitInsn *in)
{
    const ZydisDecodedInstruction *dec = &in->dec;
    bool legacy = dec->machine_mode != ZYDIS_MACHINE_MODE_LONG_64;
    bool w = dec->raw.vex.W && !(legacy && w_is_for_integers(dec, f));

    emit8(e, 0xc4);
    emit8(e, (f->reg & 8 ? 0 : 0x80) | (index_high(f) ? 0 : 0x40) | (f->rm & 8 ? 0 : 0x20) | dec->raw.vex.m_mmmm);
    emit8(e, w << 7 | (~f->vvvv & 15) << 3 | dec->raw.vex.L << 2 | dec->raw.vex.pp);
    emit8(e, dec->opcode);
    emit_modrm_and_imm(e, f, in);
    for (unsigned i = 0; i < dec->operand_count; i++) {
        if (in->operands[i].encoding == ZYDIS_OPERAND_ENCODING_IS4 && legacy)
            e->base[e->at - 1] &= 0x7f; /* the register's high bit is ignored there */
    }
}

/* ModRM and what follows. The processor multiplies a short displacement by the operand's size, so only that of
 * the guest's own encoding is known to be possible. */
static void emit_evex_address(JitEmit *e, const Fields *f, const JitInsn *in)
{
    const HostAddress *a = &f->at;
    bool sib = a->index != HOST_NO_REG || (a->base & 7) == GPR_RSP;
    bool is_short = in->dec.raw.disp.size == 8 && a->disp == in->insn->disp;
    uint8_t mod = is_short ? 1 : a->disp == 0 && (a->base & 7) != GPR_RBP ? 0 : 2;

    emit8(e, mod << 6 | (f->reg & 7) << 3 | (sib ? 4 : a->base & 7));
    if (sib)
        emit8(e, a->scale << 6 | (a->index == HOST_NO_REG ? 4 : a->index & 7) << 3 | (a->base & 7));
    if (mod == 1)
        emit8(e, (uint8_t)in->dec.raw.disp.value);
    else if (mod == 2)
        emit32(e, (uint32_t)a->disp);
}

/* 62, R X B R' 0 mmm, W vvvv 1 pp, z L'L b V' aaa. */
static void emit_evex(JitEmit *e, const Fields *f, const JitInsn *in)
{
    const ZydisDecodedInstruction *dec = &in->dec;
    const uint8_t *evex = in->bytes + dec->raw.evex.offset;
    uint8_t x = f->memory ? index_high(f) << 4 : f->rm; /* in bit 4 */

    emit8(e, 0x62);
    emit8(e, (f->reg & 8 ? 0 : 0x80) | (x & 16 ? 0 : 0x40) | (f->rm & 8 ? 0 : 0x20) | (f->reg & 16 ? 0 : 0x10) | (evex[1] & 7));
    emit8(e, (evex[2] & 0x80) | (~f->vvvv & 15) << 3 | (evex[2] & 7));
    emit8(e, (evex[3] & 0xf7) | (f->vvvv & 16 ? 0 : 8));
    emit8(e, dec->opcode);
    if (f->memory)
        emit_evex_address(e, f, in);
    else
        emit8(e, 0xc0 | (f->reg & 7) << 3 | (f->rm & 7));
    emit_bytes(e, in->bytes + dec->raw.imm[0].offset, dec->raw.imm[0].size / 8);
}

const ZydisDecodedOperand *jit_memory_operand(const JitInsn *in)
{
    for (unsigned i = 0; i < in->dec.operand_count; i++) {
        if (in->operands[i].type == ZYDIS_OPERAND_TYPE_MEMORY)
            return &in->operands[i];
    }
    return NULL;
}

/* xchg al, ah and its like: between two of them nothing may fault. */
static void emit_swap(JitTranslator *t, const Fields *f)
{
    if (f->swapped != HOST_NO_REG)
        emit_bytes(t->hot, (const uint8_t[]){0x86, 0xc0 | (f->swapped + 4) << 3 | f->swapped}, 2);
}

/* The memory operand, and the fields with it. */
static bool emit_memory(JitTranslator *t, const JitInsn *in, const ZydisDecodedOperand *mem, Fields *f)
{
    JitPlace place = {{HOST_ADDR, HOST_NO_REG, 0, 0}, HOST_TEMP};
    bool write = mem->actions & ZYDIS_OPERAND_ACTION_MASK_WRITE;

    /* A register that is swapped must not be part of the address. */
    if (f->swapped != HOST_NO_REG) {
        if (in->dec.mnemonic == ZYDIS_MNEMONIC_CMPXCHG || !jit_emit_operand(t, in, mem->size / 8, write))
            return false;
        jit_emit_touch(t);
        return true;
    }
    return jit_emit_place(t, in, mem->size / 8, write, f->spilled_count, &place) && fill_fields(t, f, in, &place);
}

bool jit_emit_reencoded(JitTranslator *t, const JitInsn *in)
{
    const ZydisDecodedOperand *mem = jit_memory_operand(in);
    /* Any place tells how many scratch registers are needed. */
    JitPlace place = {{HOST_ADDR, HOST_NO_REG, 0, 0}, HOST_TEMP};
    Fields f;

    if (!mem && jit_emit_frame_constant(t, in))
        return true;
    if (!fill_fields(t, &f, in, mem ? &place : NULL))
        return false;
    if (mem && !emit_memory(t, in, mem, &f))
        return false;
    for (unsigned i = 0; i < f.spilled_count; i++) {
        if (f.spilled[i].load)
            jit_emit_load_spill(t, f.spilled[i].host, f.spilled[i].guest);
    }
    emit_swap(t, &f);
    if (in->dec.encoding == ZYDIS_INSTRUCTION_ENCODING_EVEX)
        emit_evex(t->hot, &f, in);
    else if (in->dec.encoding == ZYDIS_INSTRUCTION_ENCODING_VEX)
        emit_vex(t->hot, &f, in);
    else
        emit_legacy(t->hot, &f, in);
    emit_swap(t, &f);
    for (unsigned i = 0; i < f.spilled_count; i++) {
        if (f.spilled[i].store)
            jit_emit_store_spill(t, f.spilled[i].guest, f.spilled[i].host);
    }
    t->keeps_temp |= !mem && f.pool_count;
    return true;
}
