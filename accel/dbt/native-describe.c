/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Which instructions run natively, and what they need: registers, operand, units, alignment.
 *
 * All of it comes from Zydis' metadata: operands with their actions, exception classes, flags. The
 * lists here are of instruction-set extensions; single mnemonics are named only where the metadata
 * does not say (SDM vol. 2, 2.4 ff. has the alignment rules of the classes).
 *
 * Not here: instructions with implicit memory operands, stack and string instructions, branches,
 * anything privileged, gathers, scatters and masked moves of AVX (fpu-mask.c).
 */
#include "accel/dbt/native.h"

#define ARITH_FLAGS                                                                                \
    (ZYDIS_CPUFLAG_CF | ZYDIS_CPUFLAG_PF | ZYDIS_CPUFLAG_AF | ZYDIS_CPUFLAG_ZF |                   \
     ZYDIS_CPUFLAG_SF | ZYDIS_CPUFLAG_OF)

static bool base_category_is_plain(ZydisInstructionCategory category)
{
    switch (category) {
    case ZYDIS_CATEGORY_BINARY:
    case ZYDIS_CATEGORY_LOGICAL:
    case ZYDIS_CATEGORY_SHIFT:
    case ZYDIS_CATEGORY_ROTATE:
    case ZYDIS_CATEGORY_BITBYTE:
    case ZYDIS_CATEGORY_DATAXFER:
    case ZYDIS_CATEGORY_CMOV:
    case ZYDIS_CATEGORY_SETCC:
    case ZYDIS_CATEGORY_CONVERT:
    case ZYDIS_CATEGORY_FLAGOP:
    case ZYDIS_CATEGORY_SEMAPHORE:
        return true;
    default:
        return false;
    }
}

bool native_extension_is_plain(const ZydisDecodedInstruction *dec)
{
    switch (dec->meta.isa_ext) {
    case ZYDIS_ISA_EXT_BASE:
    case ZYDIS_ISA_EXT_LONGMODE:
        return base_category_is_plain(dec->meta.category);
    case ZYDIS_ISA_EXT_X87:
    case ZYDIS_ISA_EXT_MMX:
    case ZYDIS_ISA_EXT_SSE:
    case ZYDIS_ISA_EXT_SSE2:
    case ZYDIS_ISA_EXT_SSE3:
    case ZYDIS_ISA_EXT_SSSE3:
    case ZYDIS_ISA_EXT_SSE4: /* POPCNT and CRC32 as well */
    case ZYDIS_ISA_EXT_SSE4A:
    case ZYDIS_ISA_EXT_AES:
    case ZYDIS_ISA_EXT_PCLMULQDQ:
    case ZYDIS_ISA_EXT_SHA:
    case ZYDIS_ISA_EXT_GFNI:
    case ZYDIS_ISA_EXT_AVX:
    case ZYDIS_ISA_EXT_AVX2:
    case ZYDIS_ISA_EXT_AVX512EVEX:
    case ZYDIS_ISA_EXT_AVX512VEX:
    case ZYDIS_ISA_EXT_AVXAES:
    case ZYDIS_ISA_EXT_AVX_VNNI:
    case ZYDIS_ISA_EXT_VAES:
    case ZYDIS_ISA_EXT_VPCLMULQDQ:
    case ZYDIS_ISA_EXT_F16C:
    case ZYDIS_ISA_EXT_FMA:
    case ZYDIS_ISA_EXT_BMI1:
    case ZYDIS_ISA_EXT_BMI2:
    case ZYDIS_ISA_EXT_LZCNT:
    case ZYDIS_ISA_EXT_MOVBE:
    case ZYDIS_ISA_EXT_ADOX_ADCX:
        return true;
    default:
        return false;
    }
}

static bool is_random(const ZydisDecodedInstruction *dec)
{
    return dec->meta.isa_ext == ZYDIS_ISA_EXT_RDRAND || dec->meta.isa_ext == ZYDIS_ISA_EXT_RDSEED;
}

uint8_t native_gpr_number(ZydisRegister reg)
{
    switch (ZydisRegisterGetClass(reg)) {
    case ZYDIS_REGCLASS_GPR8:
    case ZYDIS_REGCLASS_GPR16:
    case ZYDIS_REGCLASS_GPR32:
    case ZYDIS_REGCLASS_GPR64:
        return ZydisRegisterGetId(
            ZydisRegisterGetLargestEnclosing(ZYDIS_MACHINE_MODE_LONG_64, reg));
    default:
        return INSN_NO_REG;
    }
}

/* Instructions on packed integers have names that begin with VP. */
bool native_ignores_mxcsr(const ZydisDecodedInstruction *dec)
{
    const char *name = ZydisMnemonicGetString(dec->mnemonic);

    return (name[0] == 'v' && name[1] == 'p') || dec->meta.category == ZYDIS_CATEGORY_DATAXFER;
}

bool native_is_high_byte(ZydisRegister reg)
{
    return reg >= ZYDIS_REGISTER_AH && reg <= ZYDIS_REGISTER_BH;
}

static bool note_register(NativeInsn *out, NativeFields *f, const ZydisDecodedOperand *op)
{
    ZydisRegister reg = op->reg.value;
    bool written = op->actions & ZYDIS_OPERAND_ACTION_MASK_WRITE;
    uint8_t number = native_gpr_number(reg);

    if (number != INSN_NO_REG) {
        out->gprs |= BIT(number);
        out->gprs_written |= written ? BIT(number) : 0;
        f->no_rex |= native_is_high_byte(reg);
        f->need_rex |= reg >= ZYDIS_REGISTER_SPL && reg <= ZYDIS_REGISTER_DIL;
        return true;
    }
    number = ZydisRegisterGetId(reg);
    switch (ZydisRegisterGetClass(reg)) {
    case ZYDIS_REGCLASS_ZMM:
        out->unit |= written && number < 16 ? FPU_WIDE : 0;
        __attribute__((fallthrough));
    case ZYDIS_REGCLASS_YMM:
        out->ymm = true;
        __attribute__((fallthrough));
    case ZYDIS_REGCLASS_XMM:
        out->vecs |= BIT(number);
        out->vecs_written |= written ? BIT(number) : 0;
        out->unit |= out->evex ? FPU_AVX512 : out->vex ? FPU_AVX : FPU_SSE;
        return true;
    case ZYDIS_REGCLASS_MASK:
        out->unit |= FPU_AVX512;
        if (op->encoding == ZYDIS_OPERAND_ENCODING_MASK && number == 0) {
            return true; /* K0 there means no mask */
        }
        out->opmasks |= BIT(number);
        out->opmasks_written |= written ? BIT(number) : 0;
        return true;
    case ZYDIS_REGCLASS_MMX:
        out->x87 = true;
        out->unit |= FPU_MMX | FPU_WAIT;
        return true;
    case ZYDIS_REGCLASS_X87:
        out->x87 = true;
        out->unit |= FPU_X87 | FPU_WAIT; /* FISTTP belongs to SSE3 */
        return true;
    case ZYDIS_REGCLASS_FLAGS:
        out->flags = true;
        return true;
    default:
        /* X87CONTROL, X87STATUS, X87TAG go with the x87 unit; MXCSR is loaded where it counts. */
        return reg == ZYDIS_REGISTER_X87CONTROL || reg == ZYDIS_REGISTER_X87STATUS ||
               reg == ZYDIS_REGISTER_X87TAG || reg == ZYDIS_REGISTER_MXCSR;
    }
}

static bool note_memory(NativeInsn *out, const ZydisDecodedOperand *op)
{
    if (op->encoding != ZYDIS_OPERAND_ENCODING_MODRM_RM || op->mem.type != ZYDIS_MEMOP_TYPE_MEM ||
        op->size == 0 || op->size > 64 * 8) {
        return false;
    }
    out->mem_len = op->size / 8;
    if (!(op->actions & ZYDIS_OPERAND_ACTION_MASK_WRITE)) {
        out->access = MMU_READ;
    } else if (op->actions == ZYDIS_OPERAND_ACTION_WRITE) {
        out->access = MMU_STORE;
    } else {
        out->access = MMU_WRITE;
    }
    return true;
}

static bool note_operands(NativeInsn *out, NativeFields *f, const ZydisDecodedInstruction *dec,
                          const ZydisDecodedOperand *operands)
{
    for (unsigned i = 0; i < dec->operand_count; i++) {
        switch (operands[i].type) {
        case ZYDIS_OPERAND_TYPE_REGISTER:
            if (!note_register(out, f, &operands[i])) {
                return false;
            }
            break;
        case ZYDIS_OPERAND_TYPE_MEMORY:
            if (!note_memory(out, &operands[i])) {
                return false;
            }
            break;
        case ZYDIS_OPERAND_TYPE_IMMEDIATE:
            break;
        default:
            return false;
        }
    }
    return true;
}

/* Exception classes with fault suppression: SDM vol. 2, 2.8, those without NF and NM in their names. */
static bool suppresses_faults(const ZydisDecodedInstruction *dec)
{
    switch (dec->mnemonic) {
    case ZYDIS_MNEMONIC_VCVTNE2PS2BF16: /* these are of E4NF */
    case ZYDIS_MNEMONIC_VDBPSADBW:
    case ZYDIS_MNEMONIC_VGF2P8AFFINEQB:
    case ZYDIS_MNEMONIC_VGF2P8AFFINEINVQB:
        return false;
    default:
        break;
    }
    switch (dec->meta.exception_class) {
    case ZYDIS_EXCEPTION_CLASS_E1:
    case ZYDIS_EXCEPTION_CLASS_E2:
    case ZYDIS_EXCEPTION_CLASS_E3:
    case ZYDIS_EXCEPTION_CLASS_E4:
    case ZYDIS_EXCEPTION_CLASS_E5:
    case ZYDIS_EXCEPTION_CLASS_E6:
    case ZYDIS_EXCEPTION_CLASS_E10:
    case ZYDIS_EXCEPTION_CLASS_E11:
        return true;
    default:
        return false;
    }
}

/* How many elements a broadcast fills. */
static unsigned broadcast_bits_log2(ZydisBroadcastMode mode)
{
    static const uint8_t log2[] = {
        [ZYDIS_BROADCAST_MODE_1_TO_2] = 1,  [ZYDIS_BROADCAST_MODE_1_TO_4] = 2,  [ZYDIS_BROADCAST_MODE_1_TO_8] = 3,
        [ZYDIS_BROADCAST_MODE_1_TO_16] = 4, [ZYDIS_BROADCAST_MODE_1_TO_32] = 5, [ZYDIS_BROADCAST_MODE_1_TO_64] = 6,
        [ZYDIS_BROADCAST_MODE_2_TO_4] = 2,  [ZYDIS_BROADCAST_MODE_2_TO_8] = 3,  [ZYDIS_BROADCAST_MODE_2_TO_16] = 4,
        [ZYDIS_BROADCAST_MODE_4_TO_8] = 3,  [ZYDIS_BROADCAST_MODE_4_TO_16] = 4, [ZYDIS_BROADCAST_MODE_8_TO_16] = 4,
    };

    return log2[mode];
}

static void note_mask(NativeInsn *out, const ZydisDecodedInstruction *dec, const ZydisDecodedOperand *operands)
{
    const ZydisDecodedOperand *mem = operands;
    NativeMask *mask = &out->mask;

    if (!out->evex || !out->mem_len || dec->avx.mask.reg == ZYDIS_REGISTER_NONE ||
        dec->avx.mask.reg == ZYDIS_REGISTER_K0 || !suppresses_faults(dec)) {
        return;
    }
    while (mem->type != ZYDIS_OPERAND_TYPE_MEMORY) {
        mem++;
    }
    mask->reg = ZydisRegisterGetId(dec->avx.mask.reg);
    mask->element_log2 = __builtin_ctz(mem->element_size / 8);
    mask->bits_log2 = __builtin_ctz(mem->element_count);
    mask->kind = NATIVE_MASK_EACH;
    if (dec->avx.broadcast.mode) {
        mask->kind = NATIVE_MASK_REPEATED;
        mask->bits_log2 = broadcast_bits_log2(dec->avx.broadcast.mode);
    } else if (dec->meta.category == ZYDIS_CATEGORY_COMPRESS || dec->meta.category == ZYDIS_CATEGORY_EXPAND) {
        mask->kind = NATIVE_MASK_PACKED;
    }
}

/* Operand alignment of SSE and AVX: SDM vol. 2, table 2-21 ff., the exception classes. */
static void note_alignment(NativeInsn *out, const ZydisDecodedInstruction *dec)
{
    if (!out->mem_len) {
        return;
    }
    switch (dec->mnemonic) {
    case ZYDIS_MNEMONIC_MOVUPS:
    case ZYDIS_MNEMONIC_MOVUPD:
    case ZYDIS_MNEMONIC_MOVDQU:
    case ZYDIS_MNEMONIC_LDDQU:
    case ZYDIS_MNEMONIC_PCMPESTRI:
    case ZYDIS_MNEMONIC_PCMPESTRM:
    case ZYDIS_MNEMONIC_PCMPISTRI:
    case ZYDIS_MNEMONIC_PCMPISTRM:
        return;
    case ZYDIS_MNEMONIC_CMPXCHG16B:
    case ZYDIS_MNEMONIC_CVTPD2PI: /* no class in Zydis */
    case ZYDIS_MNEMONIC_CVTTPD2PI:
        out->align = 16;
        return;
    default:
        break;
    }
    switch (dec->meta.exception_class) {
    case ZYDIS_EXCEPTION_CLASS_SSE1:
    case ZYDIS_EXCEPTION_CLASS_AVX1:
        out->align = out->mem_len;
        break;
    case ZYDIS_EXCEPTION_CLASS_E1:
    case ZYDIS_EXCEPTION_CLASS_E1NF:
        out->align = out->mem_len;
        break;
    case ZYDIS_EXCEPTION_CLASS_SSE2:
    case ZYDIS_EXCEPTION_CLASS_SSE4:
        /* SHA: AMD's take any alignment, Intel's #GP comes from the host. */
        out->align = out->mem_len == 16 && dec->meta.isa_ext != ZYDIS_ISA_EXT_SHA ? 16 : 0;
        out->misalign_ok = true;
        break;
    default:
        break;
    }
}

/* Formerly of the 8087 and 80287, no operation today; the other ones are in fpu-ops.c. */
static bool x87_does_not_wait(ZydisMnemonic mnemonic)
{
    return mnemonic == ZYDIS_MNEMONIC_FENI8087_NOP || mnemonic == ZYDIS_MNEMONIC_FDISI8087_NOP ||
           mnemonic == ZYDIS_MNEMONIC_FSETPM287_NOP;
}

static void note_units(NativeInsn *out, const ZydisDecodedInstruction *dec)
{
    switch (dec->meta.exception_class) {
    case ZYDIS_EXCEPTION_CLASS_SSE2:
    case ZYDIS_EXCEPTION_CLASS_SSE3:
    case ZYDIS_EXCEPTION_CLASS_AVX2:
    case ZYDIS_EXCEPTION_CLASS_AVX3:
    case ZYDIS_EXCEPTION_CLASS_AVX11:
        out->mxcsr = true;
        break;
    default:
        /* CVTPI2PS and its like have no class. */
        out->mxcsr = dec->meta.category == ZYDIS_CATEGORY_CONVERT &&
                     dec->opcode_map != ZYDIS_OPCODE_MAP_DEFAULT;
        break;
    }
    if (out->evex) {
        out->mxcsr = !native_ignores_mxcsr(dec); /* denormals are zeros for some that raise no exceptions, too */
    }
    if (dec->meta.isa_ext == ZYDIS_ISA_EXT_X87) {
        out->x87 = true;
        out->unit |= FPU_X87 | FPU_WAIT;
    } else if (dec->meta.isa_ext == ZYDIS_ISA_EXT_MMX && !out->vecs) {
        out->x87 = true; /* EMMS has no operands */
        out->unit |= FPU_MMX | FPU_WAIT;
    }
    if (out->unit & FPU_X87 && out->access == MMU_STORE) {
        out->access = MMU_WRITE; /* an unmasked exception keeps the operand as it is */
    }
    if (x87_does_not_wait(dec->mnemonic)) {
        out->unit &= ~FPU_WAIT;
    } else if (out->unit & FPU_X87 && dec->mnemonic != ZYDIS_MNEMONIC_FLDCW) {
        out->x87_pointers = true;
        out->fop = (dec->opcode & 7) << 8 | dec->raw.modrm.mod << 6 | dec->raw.modrm.reg << 3 |
                   dec->raw.modrm.rm;
    }
    out->locked = dec->attributes & ZYDIS_ATTRIB_HAS_LOCK;
}

/* A register of candidates that is not in used; candidates end with INSN_NO_REG. */
static uint8_t pick_register(const uint8_t *candidates, uint16_t used)
{
    while (*candidates != INSN_NO_REG && used & BIT(*candidates)) {
        candidates++;
    }
    return *candidates;
}

/* The registers the stub needs for itself. mem and rsp must be encodable without REX; mem without
 * SIB and displacement (not RSP, RBP). */
static bool choose_registers(NativeInsn *out)
{
    static const uint8_t low[] = {GPR_RSI, GPR_RBX, GPR_RDX, GPR_RCX, GPR_RAX, INSN_NO_REG};
    static const uint8_t any[] = {GPR_RDI, GPR_R8,  GPR_R9,  GPR_R10,    GPR_R11,
                                  GPR_R13, GPR_R14, GPR_R15, INSN_NO_REG};
    uint16_t used = out->gprs & ~BIT(GPR_RSP);

    out->state_reg = pick_register(any, used);
    used |= BIT(out->state_reg);
    out->mem_reg = INSN_NO_REG;
    if (out->mem_len) {
        out->mem_reg = pick_register(low, used);
        if (out->mem_reg == INSN_NO_REG) {
            return false;
        }
        used |= BIT(out->mem_reg);
    }
    out->rsp_reg = INSN_NO_REG;
    if (out->gprs & BIT(GPR_RSP)) {
        out->rsp_reg = pick_register(low, used);
        if (out->rsp_reg == INSN_NO_REG) {
            return false;
        }
    }
    return out->state_reg != INSN_NO_REG;
}

bool native_describe(NativeInsn *out, NativeFields *f, const ZydisDecodedInstruction *dec,
                     const ZydisDecodedOperand *operands)
{
    const ZydisAccessedFlags *flags = dec->cpu_flags;

    *out = (NativeInsn){.vex = dec->encoding == ZYDIS_INSTRUCTION_ENCODING_VEX,
                        .evex = dec->encoding == ZYDIS_INSTRUCTION_ENCODING_EVEX};
    *f = (NativeFields){0};
    if ((dec->encoding != ZYDIS_INSTRUCTION_ENCODING_LEGACY && !out->vex && !out->evex) ||
        !(native_extension_is_plain(dec) || is_random(dec)) || dec->attributes & ZYDIS_ATTRIB_IS_PRIVILEGED ||
        dec->meta.branch_type != ZYDIS_BRANCH_TYPE_NONE) {
        return false;
    }
    if (flags && (flags->tested | flags->modified | flags->set_0 | flags->set_1) & ~ARITH_FLAGS) {
        return false;
    }
    if (!note_operands(out, f, dec, operands)) {
        return false;
    }
    if (out->mem_len && dec->meta.category == ZYDIS_CATEGORY_BITBYTE &&
        dec->operand_count_visible > 1 && operands[1].type == ZYDIS_OPERAND_TYPE_REGISTER) {
        return false; /* BT m, r and its like address memory by bit offset */
    }
    note_alignment(out, dec);
    note_units(out, dec);
    note_mask(out, dec, operands);
    return choose_registers(out);
}
