/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The decoder: Zydis parses, this file fills a DbtInsn and finds its handler.
 *
 * Order: an instruction CPUID does not offer is #UD; else the row of our own tables (ops.h), else
 * native.c, else #UD. Illegal encodings and illegal LOCK prefixes are Zydis' to find; more than 15
 * bytes are #GP (SDM vol. 2, 2.3.11).
 */
#include "accel/dbt/decode.h"

#include "accel/dbt/block.h"
#include "accel/dbt/feature.h"
#include "accel/dbt/ops.h"
#include "core/log.h"

#define INSN_MAX_BYTES 15

/* One Zydis decoder per machine mode that occurs. */
typedef enum DecoderMode {
    DECODER_64,
    DECODER_32,
    DECODER_16,
    DECODER_REAL, /* real-address and virtual-8086 mode: no VEX, no protected-mode instructions */
    DECODER_MODES,
} DecoderMode;

struct DbtDecoder {
    ZydisDecoder zydis[DECODER_MODES];
    ZydisFormatter formatter;
    DbtFeatures features;
};

static DecoderMode decoder_mode(const DbtVcpu *v)
{
    if (v->code_bits == 64)
        return DECODER_64;
    if (v->code_bits == 32)
        return DECODER_32;
    return v->real ? DECODER_REAL : DECODER_16;
}

DbtStep dbt_op_undefined(DbtVcpu *v, const DbtInsn *insn)
{
    return dbt_fault(v, EXC_UD);
}

static DbtStep op_too_long(DbtVcpu *v, const DbtInsn *insn)
{
    return dbt_fault_error(v, EXC_GP, 0);
}

static uint8_t gpr_index(ZydisRegister reg)
{
    return reg == ZYDIS_REGISTER_NONE ? INSN_NO_REG : (uint8_t)ZydisRegisterGetId(reg);
}

static bool is_high_byte(const ZydisDecodedOperand *op)
{
    return op->type == ZYDIS_OPERAND_TYPE_REGISTER && op->reg.value >= ZYDIS_REGISTER_AH &&
           op->reg.value <= ZYDIS_REGISTER_BH;
}

static void fill_memory(DbtInsn *insn, const ZydisDecodedInstruction *dec,
                        const ZydisDecodedOperandMem *mem)
{
    /* Zydis 4.0 takes R13D for "no base, disp32" where REX.B is set and the address size is 32. */
    bool no_base = dec->attributes & ZYDIS_ATTRIB_HAS_SIB && dec->raw.modrm.mod == 0 &&
                   dec->raw.sib.base == 5;

    insn->flags |= INSN_MEM;
    insn->seg = (uint8_t)(mem->segment - ZYDIS_REGISTER_ES);
    insn->disp = no_base ? dec->raw.disp.value : mem->disp.value;
    insn->scale = mem->scale ? mem->scale : 1;
    insn->index = gpr_index(mem->index);
    if (mem->base == ZYDIS_REGISTER_RIP || mem->base == ZYDIS_REGISTER_EIP)
        insn->flags |= INSN_RIP_REL;
    else if (!no_base)
        insn->base = gpr_index(mem->base);
}

/* reg and rm with REX applied, and the operands of fixed or opcode registers. */
static void fill_registers(DbtInsn *insn, const ZydisDecodedInstruction *dec,
                           const ZydisDecodedOperand *operands)
{
    if (dec->attributes & ZYDIS_ATTRIB_HAS_MODRM) {
        insn->reg = dec->raw.modrm.reg | dec->raw.rex.R << 3;
        if (dec->raw.modrm.mod == 3)
            insn->rm = dec->raw.modrm.rm | dec->raw.rex.B << 3;
    } else {
        insn->reg = dec->opcode & 7;
    }
    for (unsigned i = 0; i < dec->operand_count_visible; i++) {
        const ZydisDecodedOperand *op = &operands[i];

        if (op->encoding == ZYDIS_OPERAND_ENCODING_MODRM_RM) {
            /* MOV CR and MOV DR ignore ModRM.mod. */
            if (op->type == ZYDIS_OPERAND_TYPE_REGISTER)
                insn->rm = dec->raw.modrm.rm | dec->raw.rex.B << 3;
            if (is_high_byte(op))
                insn->flags |= INSN_RM_HIGH;
        } else if (op->encoding == ZYDIS_OPERAND_ENCODING_OPCODE) {
            insn->reg = (dec->opcode & 7) | dec->raw.rex.B << 3;
            if (is_high_byte(op))
                insn->flags |= INSN_REG_HIGH;
        } else if (op->encoding == ZYDIS_OPERAND_ENCODING_MODRM_REG && is_high_byte(op)) {
            insn->flags |= INSN_REG_HIGH;
        }
    }
    /* Segment and control registers are what the manual calls them, not the raw field. */
    for (unsigned i = 0; i < dec->operand_count_visible; i++) {
        if (operands[i].type == ZYDIS_OPERAND_TYPE_REGISTER &&
            ZydisRegisterGetClass(operands[i].reg.value) == ZYDIS_REGCLASS_SEGMENT)
            insn->reg = (uint8_t)ZydisRegisterGetId(operands[i].reg.value);
    }
}

static void fill(DbtInsn *insn, const ZydisDecodedInstruction *dec,
                 const ZydisDecodedOperand *operands)
{
    *insn = (DbtInsn){
        .len = dec->length,
        .op_size = dec->operand_width / 8,
        .addr_size = dec->address_width / 8,
        .rm = INSN_NO_REG,
        .base = INSN_NO_REG,
        .index = INSN_NO_REG,
        .scale = 1,
        .seg = SEG_DS,
        .mnemonic = dec->mnemonic,
        .imm = dec->raw.imm[0].value.u,
    };
    if (dec->attributes & ZYDIS_ATTRIB_HAS_LOCK)
        insn->flags |= INSN_LOCK;
    if (dec->attributes & (ZYDIS_ATTRIB_HAS_REP | ZYDIS_ATTRIB_HAS_REPE))
        insn->flags |= INSN_REP;
    if (dec->attributes & ZYDIS_ATTRIB_HAS_REPNE)
        insn->flags |= INSN_REPNE;
    fill_registers(insn, dec, operands);
    for (unsigned i = 0; i < dec->operand_count_visible; i++) {
        if (operands[i].type == ZYDIS_OPERAND_TYPE_MEMORY)
            fill_memory(insn, dec, &operands[i].mem);
        else if (operands[i].type == ZYDIS_OPERAND_TYPE_POINTER)
            insn->disp = operands[i].ptr.segment;
    }
}

/* A forward conditional branch is mostly not taken: the block goes on behind it. */
static bool ends_block(const ZydisDecodedInstruction *dec, const DbtOp *op)
{
    if (dec->meta.category == ZYDIS_CATEGORY_COND_BR && dec->raw.imm[0].value.s > 0)
        return false;
    return dec->meta.branch_type != ZYDIS_BRANCH_TYPE_NONE || (op && op->flags & OP_END_BLOCK);
}

static void log_insn(const struct DbtDecoder *d, const ZydisDecodedInstruction *dec,
                     const ZydisDecodedOperand *operands, uint64_t linear)
{
    char text[96];

    ZydisFormatterFormatInstruction(&d->formatter, dec, operands, dec->operand_count_visible, text,
                                    sizeof(text), linear, ZYAN_NULL);
    log_printf(LOG_IN_ASM, "0x%016" G_GINT64_MODIFIER "x:  %s\n", linear, text);
}

/* An instruction that only faults. */
static DecodeResult fill_illegal(DbtInsn *insn, DbtHandler handler, unsigned len)
{
    *insn = (DbtInsn){.handler = handler, .len = MIN(len, INSN_MAX_BYTES)};
    return DECODE_END;
}

/* KVM guests have these without VMX or SVM; op-sys.c asks whether this guest is one. */
static bool is_hypercall(const ZydisDecodedInstruction *dec)
{
    return dec->mnemonic == ZYDIS_MNEMONIC_VMCALL || dec->mnemonic == ZYDIS_MNEMONIC_VMMCALL;
}

/* linear NULL: not logged. */
static DecodeResult decode(DbtVcpu *v, const uint8_t *bytes, unsigned len, const uint64_t *linear, DbtInsn *insn)
{
    struct DbtDecoder *d = v->cache->decoder;
    ZydisDecodedInstruction dec;
    ZydisDecodedOperand operands[ZYDIS_MAX_OPERAND_COUNT];
    ZyanStatus status = ZydisDecoderDecodeFull(&d->zydis[decoder_mode(v)], bytes,
                                               MIN(len, INSN_MAX_BYTES), &dec, operands);

    if (status == ZYDIS_STATUS_NO_MORE_DATA && len < INSN_MAX_BYTES)
        return DECODE_MORE;
    if (status == ZYDIS_STATUS_INSTRUCTION_TOO_LONG || status == ZYDIS_STATUS_NO_MORE_DATA)
        return fill_illegal(insn, op_too_long, len);
    if (!ZYAN_SUCCESS(status) || !(d->features.isa_set[dec.meta.isa_set] || is_hypercall(&dec)))
        return fill_illegal(insn, dbt_op_undefined, ZYAN_SUCCESS(status) ? dec.length : len);

    const DbtOp *op = v->accel->ops[dec.mnemonic];

    if (linear && log_enabled(LOG_IN_ASM))
        log_insn(d, &dec, operands, *linear);
    fill(insn, &dec, operands);
    if (op) {
        insn->sub = op->sub;
        insn->handler = op->handler;
        if (op->bind) {
            const DbtDecoded decoded = {&dec, operands, bytes, v->code_bits};

            insn->handler = op->bind(v, insn, &decoded);
        }
    }
    if (!insn->handler && !dbt_native_bind(v, insn, &dec, operands, bytes))
        return fill_illegal(insn, dbt_op_undefined, dec.length);
    return ends_block(&dec, op) ? DECODE_END : DECODE_NEXT;
}

DecodeResult dbt_decode(DbtVcpu *v, const uint8_t *bytes, unsigned len, uint64_t linear, DbtInsn *insn)
{
    return decode(v, bytes, len, &linear, insn);
}

DecodeResult dbt_decode_again(DbtVcpu *v, const uint8_t *bytes, unsigned len, DbtInsn *insn)
{
    return decode(v, bytes, len, NULL, insn);
}

struct DbtDecoder *dbt_decoder_new(void)
{
    static const struct {
        ZydisMachineMode mode;
        ZydisStackWidth width;
    } modes[DECODER_MODES] = {
        [DECODER_64] = {ZYDIS_MACHINE_MODE_LONG_64, ZYDIS_STACK_WIDTH_64},
        [DECODER_32] = {ZYDIS_MACHINE_MODE_LEGACY_32, ZYDIS_STACK_WIDTH_32},
        [DECODER_16] = {ZYDIS_MACHINE_MODE_LEGACY_16, ZYDIS_STACK_WIDTH_16},
        [DECODER_REAL] = {ZYDIS_MACHINE_MODE_REAL_16, ZYDIS_STACK_WIDTH_16},
    };
    struct DbtDecoder *d = g_new0(struct DbtDecoder, 1);

    for (unsigned i = 0; i < DECODER_MODES; i++)
        ZydisDecoderInit(&d->zydis[i], modes[i].mode, modes[i].width);
    ZydisFormatterInit(&d->formatter, ZYDIS_FORMATTER_STYLE_INTEL);
    return d;
}

void dbt_decoder_free(struct DbtDecoder *d)
{
    g_free(d);
}

void dbt_decoder_set_cpuid(struct DbtDecoder *d, const CpuidTable *cpuid)
{
    const bool *sets = d->features.isa_set;

    dbt_features_from_cpuid(&d->features, cpuid);
    for (unsigned i = 0; i < DECODER_MODES; i++) {
        ZydisDecoder *z = &d->zydis[i];

        /* Off, their encodings are what they were before: NOP, BSF, BSR, WBINVD. */
        ZydisDecoderEnableMode(z, ZYDIS_DECODER_MODE_LZCNT, sets[ZYDIS_ISA_SET_LZCNT]);
        ZydisDecoderEnableMode(z, ZYDIS_DECODER_MODE_TZCNT, sets[ZYDIS_ISA_SET_BMI1]);
        ZydisDecoderEnableMode(z, ZYDIS_DECODER_MODE_MPX, ZYAN_FALSE);
        ZydisDecoderEnableMode(z, ZYDIS_DECODER_MODE_CET, ZYAN_FALSE);
        ZydisDecoderEnableMode(z, ZYDIS_DECODER_MODE_CLDEMOTE, ZYAN_FALSE);
        ZydisDecoderEnableMode(z, ZYDIS_DECODER_MODE_WBNOINVD, d->features.wbnoinvd);
    }
}

const DbtOp **dbt_ops_index(void)
{
    static const DbtOp *const tables[] = {
        dbt_ops_alu, dbt_ops_shift,  dbt_ops_mul,    dbt_ops_move, dbt_ops_stack, dbt_ops_branch,
        dbt_ops_bit, dbt_ops_string, dbt_ops_legacy, dbt_ops_fpu,  dbt_ops_seg,   dbt_ops_exc,
        dbt_ops_sys,
    };
    const DbtOp **index = g_new0(const DbtOp *, ZYDIS_MNEMONIC_MAX_VALUE + 1);

    for (unsigned i = 0; i < G_N_ELEMENTS(tables); i++) {
        for (const DbtOp *op = tables[i]; op->mnemonic != ZYDIS_MNEMONIC_INVALID; op++) {
            g_assert(!index[op->mnemonic]);
            index[op->mnemonic] = op;
        }
    }
    return index;
}
