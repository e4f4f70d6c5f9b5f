/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Instructions on x87 and SSE state as a whole, and the ones that only order or warm memory.
 *
 * SDM vol. 2: each instruction's page; vol. 1, 8.3.11 (waiting), 10.5 (FXSAVE), 11.6.6 (MXCSR).
 * XSAVE and XRSTOR are in fpu-xsave.c. Caches are the host's business: flushes and prefetches check
 * what the manual lets fault and do nothing else.
 */
#include "accel/dbt/fpu.h"

#include "accel/dbt/mmu.h"
#include "accel/dbt/native.h"
#include "accel/dbt/ops.h"

#define FX_MXCSR 24
#define FX_XMM 160

/* --- x87 control --- */

static DbtStep op_fwait(DbtVcpu *v, const DbtInsn *insn)
{
    uint64_t blocked = CR0_MP | CR0_TS;

    dbt_jit_x87_home(v);
    if ((v->state->cr0 & blocked) == blocked)
        return dbt_fault(v, EXC_NM);
    return dbt_x87_pending(&v->state->fpu) ? dbt_fault(v, EXC_MF) : DBT_NEXT;
}

static DbtStep op_fninit(DbtVcpu *v, const DbtInsn *insn)
{
    if (!dbt_fpu_check(v, FPU_X87))
        return DBT_FAULT;
    fpu_x87_init(&v->state->fpu);
    return DBT_NEXT;
}

static DbtStep op_fnclex(DbtVcpu *v, const DbtInsn *insn)
{
    if (!dbt_fpu_check(v, FPU_X87))
        return DBT_FAULT;
    v->state->fpu.fsw &= 0x7f00; /* exception flags, SF, ES, B */
    return DBT_NEXT;
}

static DbtStep store_word(DbtVcpu *v, const DbtInsn *insn, uint16_t value)
{
    if (insn->flags & INSN_MEM)
        return dbt_mem_write(v, insn->seg, dbt_ea(v, insn), &value, 2) ? DBT_NEXT : DBT_FAULT;
    store_le(&v->state->gpr[GPR_RAX], value, 2);
    return DBT_NEXT;
}

static DbtStep op_fnstcw(DbtVcpu *v, const DbtInsn *insn)
{
    return dbt_fpu_check(v, FPU_X87) ? store_word(v, insn, v->state->fpu.fcw) : DBT_FAULT;
}

static DbtStep op_fnstsw(DbtVcpu *v, const DbtInsn *insn)
{
    return dbt_fpu_check(v, FPU_X87) ? store_word(v, insn, v->state->fpu.fsw) : DBT_FAULT;
}

static EnvFormat env_format(const DbtVcpu *v, const DbtInsn *insn)
{
    return (EnvFormat){.wide = insn->op_size != 2, .real = v->real};
}

/* FNSTENV and FNSAVE: the environment, then all registers. */
#define SAVE_MAX (28 + 80)

static DbtStep op_fnstenv(DbtVcpu *v, const DbtInsn *insn)
{
    EnvFormat format = env_format(v, insn);
    uint8_t image[SAVE_MAX];

    if (!dbt_fpu_check(v, FPU_X87))
        return DBT_FAULT;
    fpu_store_env(&v->state->fpu, image, format);
    if (!dbt_mem_write(v, insn->seg, dbt_ea(v, insn), image, env_size(format)))
        return DBT_FAULT;
    fpu_load_control(&v->state->fpu, v->state->fpu.fcw | 0x3f, v->state->fpu.fsw);
    return DBT_NEXT;
}

static DbtStep op_fnsave(DbtVcpu *v, const DbtInsn *insn)
{
    EnvFormat format = env_format(v, insn);
    unsigned env = env_size(format);
    FpuState *fpu = &v->state->fpu;
    uint8_t image[SAVE_MAX];

    if (!dbt_fpu_check(v, FPU_X87))
        return DBT_FAULT;
    fpu_store_env(fpu, image, format);
    for (unsigned i = 0; i < 8; i++)
        memcpy(image + env + 10 * i, fpu->st[i], 10);
    if (!dbt_mem_write(v, insn->seg, dbt_ea(v, insn), image, env + 80))
        return DBT_FAULT;
    fpu_x87_init(fpu);
    return DBT_NEXT;
}

static DbtStep op_fldenv(DbtVcpu *v, const DbtInsn *insn)
{
    EnvFormat format = env_format(v, insn);
    uint8_t image[SAVE_MAX];

    if (!dbt_fpu_check(v, FPU_X87 | FPU_WAIT) ||
        !dbt_mem_read(v, insn->seg, dbt_ea(v, insn), image, env_size(format)))
        return DBT_FAULT;
    fpu_load_env(&v->state->fpu, image, format);
    return DBT_NEXT;
}

static DbtStep op_frstor(DbtVcpu *v, const DbtInsn *insn)
{
    EnvFormat format = env_format(v, insn);
    unsigned env = env_size(format);
    FpuState *fpu = &v->state->fpu;
    uint8_t image[SAVE_MAX];

    if (!dbt_fpu_check(v, FPU_X87 | FPU_WAIT) ||
        !dbt_mem_read(v, insn->seg, dbt_ea(v, insn), image, env + 80))
        return DBT_FAULT;
    fpu_load_env(fpu, image, format);
    for (unsigned i = 0; i < 8; i++) {
        memcpy(fpu->st[i], image + env + 10 * i, 10);
        memset(fpu->st[i] + 10, 0, 6);
    }
    return DBT_NEXT;
}

/* --- MXCSR --- */

static DbtStep op_ldmxcsr(DbtVcpu *v, const DbtInsn *insn)
{
    uint32_t value;

    if (!dbt_fpu_check(v, insn->sub) ||
        !dbt_mem_read(v, insn->seg, dbt_ea(v, insn), &value, 4))
        return DBT_FAULT;
    if (value & ~fpu_mxcsr_mask())
        return dbt_fault_error(v, EXC_GP, 0);
    v->state->fpu.mxcsr = value;
    return DBT_NEXT;
}

static DbtStep op_stmxcsr(DbtVcpu *v, const DbtInsn *insn)
{
    if (!dbt_fpu_check(v, insn->sub) ||
        !dbt_mem_write(v, insn->seg, dbt_ea(v, insn), &v->state->fpu.mxcsr, 4))
        return DBT_FAULT;
    return DBT_NEXT;
}

/* --- FXSAVE --- */

/* 16 XMM registers in 64-bit mode, 8 elsewhere; none at CPL 0 with EFER.FFXSR (APM vol. 2,
 * 11.4.4). */
static unsigned fxsave_vecs(const DbtVcpu *v)
{
    if (v->code_bits != 64)
        return 8;
    return v->state->efer & EFER_FFXSR && v->cpl == 0 ? 0 : 16;
}

static bool fxsave_check(DbtVcpu *v, const DbtInsn *insn, uint64_t *ea)
{
    uint64_t linear;

    dbt_jit_x87_home(v);
    if (v->state->cr0 & (CR0_EM | CR0_TS)) {
        dbt_fault(v, EXC_NM);
        return false;
    }
    *ea = dbt_ea(v, insn);
    if (!dbt_seg_linear(v, insn->seg, *ea, FXSAVE_SIZE, MMU_READ, &linear))
        return false;
    if (linear & 15) {
        dbt_fault_error(v, EXC_GP, 0);
        return false;
    }
    return true;
}

static DbtStep op_fxsave(DbtVcpu *v, const DbtInsn *insn)
{
    const FpuState *fpu = &v->state->fpu;
    unsigned vecs = fxsave_vecs(v);
    uint8_t image[FXSAVE_SIZE];
    uint64_t ea;

    if (!fxsave_check(v, insn, &ea))
        return DBT_FAULT;
    fpu_store_x87(fpu, image, insn->sub);
    store_le(image + FX_MXCSR, fpu->mxcsr, 4);
    store_le(image + FX_MXCSR + 4, fpu_mxcsr_mask(), 4);
    fpu_store_component(v->state, 1, vecs, image + FX_XMM);
    return dbt_mem_write(v, insn->seg, ea, image, FX_XMM + 16 * vecs) ? DBT_NEXT : DBT_FAULT;
}

static DbtStep op_fxrstor(DbtVcpu *v, const DbtInsn *insn)
{
    FpuState *fpu = &v->state->fpu;
    unsigned vecs = fxsave_vecs(v);
    uint8_t image[FXSAVE_SIZE];
    uint64_t ea;

    if (!fxsave_check(v, insn, &ea) || !dbt_mem_read(v, insn->seg, ea, image, FX_XMM + 16 * vecs))
        return DBT_FAULT;
    if (load_le(image + FX_MXCSR, 4) & ~fpu_mxcsr_mask())
        return dbt_fault_error(v, EXC_GP, 0);
    fpu_load_x87(fpu, image, insn->sub);
    fpu->mxcsr = load_le(image + FX_MXCSR, 4);
    fpu_load_component(v->state, 1, vecs, image + FX_XMM);
    return DBT_NEXT;
}

/* --- VZEROUPPER, VZEROALL --- */

static DbtStep op_vzero(DbtVcpu *v, const DbtInsn *insn)
{
    unsigned count = v->code_bits == 64 ? 16 : 8;
    unsigned keep = insn->sub; /* bytes of each register */

    if (!dbt_fpu_check(v, FPU_AVX))
        return DBT_FAULT;
    for (unsigned i = 0; i < count; i++)
        memset(v->state->fpu.zmm[i] + keep, 0, 64 - keep);
    return DBT_NEXT;
}

/* --- memory ordering and caches --- */

static DbtStep op_nop(DbtVcpu *v, const DbtInsn *insn)
{
    return DBT_NEXT;
}

/* LFENCE, SFENCE and MFENCE: non-temporal stores run natively, so a real fence is due. */
static DbtStep op_fence(DbtVcpu *v, const DbtInsn *insn)
{
    __asm__ volatile("mfence" ::: "memory");
    return DBT_NEXT;
}

/* A flush may fault as a one-byte load does. */
static DbtStep op_clflush(DbtVcpu *v, const DbtInsn *insn)
{
    uint64_t ea = dbt_ea(v, insn), linear;
    unsigned len;
    uint8_t byte;

    if (!dbt_seg_linear(v, insn->seg, ea, 1, MMU_READ, &linear))
        return DBT_FAULT;
    if (dbt_host_span(v, linear, MMU_READ, &len))
        return DBT_NEXT;
    return dbt_mem_read(v, insn->seg, ea, &byte, 1) ? DBT_NEXT : DBT_FAULT;
}

/* --- binding: what Zydis' operands tell and DbtInsn's common fields do not --- */

static DbtHandler bind_env(DbtVcpu *v, DbtInsn *insn, const DbtDecoded *dec)
{
    insn->op_size = dec->insn->operand_width / 8;
    switch (dec->insn->mnemonic) {
    case ZYDIS_MNEMONIC_FNSTENV: return op_fnstenv;
    case ZYDIS_MNEMONIC_FNSAVE: return op_fnsave;
    case ZYDIS_MNEMONIC_FLDENV: return op_fldenv;
    default: return op_frstor;
    }
}

static uint8_t vec_operand(const DbtDecoded *dec, unsigned i)
{
    return ZydisRegisterGetId(dec->operands[i].reg.value);
}

/* The memory operand of MASKMOVQ and MASKMOVDQU is seg:rDI. */
static DbtHandler bind_maskmov_implicit(DbtVcpu *v, DbtInsn *insn, const DbtDecoded *dec)
{
    insn->flags |= INSN_MEM;
    insn->seg = dec->operands[2].mem.segment - ZYDIS_REGISTER_ES;
    insn->base = GPR_RDI;
    insn->index = INSN_NO_REG;
    insn->disp = 0;
    insn->reg = vec_operand(dec, 0);
    insn->rm = vec_operand(dec, 1);
    insn->op_size = dec->operands[2].size / 8;
    insn->sub = dec->insn->encoding == ZYDIS_INSTRUCTION_ENCODING_VEX ? FPU_AVX : FPU_SSE;
    return dec->insn->mnemonic == ZYDIS_MNEMONIC_MASKMOVQ ? fpu_maskmovq : fpu_maskmovdqu;
}

/* reg: the data, rm: the mask, sub: bytes of an element. */
static DbtHandler bind_masked(DbtVcpu *v, DbtInsn *insn, const DbtDecoded *dec)
{
    bool store = dec->operands[0].type == ZYDIS_OPERAND_TYPE_MEMORY;

    insn->reg = vec_operand(dec, store ? 2 : 0);
    insn->rm = vec_operand(dec, 1);
    insn->op_size = dec->insn->avx.vector_length / 8;
    return store ? fpu_masked_store : fpu_masked_load;
}

/*
 * Gathers and scatters: reg: the data, rm: the mask, index: vector, sub: bytes of an element, op_size: of an
 * index, imm: number of elements. The operands are data, memory and mask; with an opmask data, mask and
 * memory, or memory, mask and data.
 */
static DbtHandler bind_indexed(DbtVcpu *v, DbtInsn *insn, const DbtDecoded *dec)
{
    bool opmask = dec->insn->encoding == ZYDIS_INSTRUCTION_ENCODING_EVEX;
    bool scatter = dec->operands[0].type == ZYDIS_OPERAND_TYPE_MEMORY;
    const ZydisDecodedOperand *mem = &dec->operands[scatter ? 0 : opmask ? 2 : 1];

    insn->index = ZydisRegisterGetId(mem->mem.index);
    insn->reg = vec_operand(dec, scatter ? 2 : 0);
    insn->rm = vec_operand(dec, opmask ? 1 : 2);
    insn->op_size = insn->sub & 0x80 ? 8 : 4;
    insn->sub &= 0x0f;
    insn->imm = dec->insn->avx.vector_length / 8 / MAX(insn->sub, insn->op_size);
    if (scatter)
        return insn->rm == 0 ? NULL : fpu_scatter;
    /* #UD (SDM vol. 2, VGATHERDPS, VPGATHERDD). */
    if (opmask)
        return insn->rm == 0 || insn->reg == insn->index ? NULL : fpu_gather_opmask;
    if (insn->reg == insn->rm || insn->reg == insn->index || insn->rm == insn->index)
        return NULL;
    return fpu_gather;
}

#define ROW(name, sub, handler) {ZYDIS_MNEMONIC_##name, sub, 0, handler, NULL}
#define BIND(name, sub, bind) {ZYDIS_MNEMONIC_##name, sub, 0, NULL, bind}
#define QWORD_INDEX 0x80

const DbtOp dbt_ops_fpu[] = {
    ROW(FWAIT, 0, op_fwait),
    ROW(FNINIT, 0, op_fninit),
    ROW(FNCLEX, 0, op_fnclex),
    ROW(FNSTCW, 0, op_fnstcw),
    ROW(FNSTSW, 0, op_fnstsw),
    BIND(FNSTENV, 0, bind_env),
    BIND(FNSAVE, 0, bind_env),
    BIND(FLDENV, 0, bind_env),
    BIND(FRSTOR, 0, bind_env),
    ROW(LDMXCSR, FPU_SSE, op_ldmxcsr),
    ROW(STMXCSR, FPU_SSE, op_stmxcsr),
    ROW(VLDMXCSR, FPU_AVX, op_ldmxcsr),
    ROW(VSTMXCSR, FPU_AVX, op_stmxcsr),
    ROW(FXSAVE, 0, op_fxsave), /* sub: 64-bit pointers */
    ROW(FXSAVE64, 1, op_fxsave),
    ROW(FXRSTOR, 0, op_fxrstor),
    ROW(FXRSTOR64, 1, op_fxrstor),
    ROW(XSAVE, XSAVE_PLAIN, fpu_xsave),
    ROW(XSAVE64, XSAVE_PLAIN | XSAVE_WIDE, fpu_xsave),
    ROW(XSAVEOPT, XSAVE_OPT, fpu_xsave),
    ROW(XSAVEOPT64, XSAVE_OPT | XSAVE_WIDE, fpu_xsave),
    ROW(XSAVEC, XSAVE_COMPACT, fpu_xsave),
    ROW(XSAVEC64, XSAVE_COMPACT | XSAVE_WIDE, fpu_xsave),
    ROW(XRSTOR, 0, fpu_xrstor),
    ROW(XRSTOR64, XSAVE_WIDE, fpu_xrstor),
    ROW(VZEROUPPER, 16, op_vzero),
    ROW(VZEROALL, 0, op_vzero),
    ROW(LFENCE, 0, op_fence),
    ROW(SFENCE, 0, op_fence),
    ROW(MFENCE, 0, op_fence),
    ROW(PREFETCH, 0, op_nop),
    ROW(PREFETCHNTA, 0, op_nop),
    ROW(PREFETCHT0, 0, op_nop),
    ROW(PREFETCHT1, 0, op_nop),
    ROW(PREFETCHT2, 0, op_nop),
    ROW(PREFETCHW, 0, op_nop),
    ROW(PREFETCHWT1, 0, op_nop),
    ROW(CLDEMOTE, 0, op_nop),
    ROW(CLFLUSH, 0, op_clflush),
    ROW(CLFLUSHOPT, 0, op_clflush),
    ROW(CLWB, 0, op_clflush),
    BIND(MASKMOVQ, 0, bind_maskmov_implicit),
    BIND(MASKMOVDQU, 0, bind_maskmov_implicit),
    BIND(VMASKMOVDQU, 0, bind_maskmov_implicit),
    BIND(VMASKMOVPS, 4, bind_masked),
    BIND(VMASKMOVPD, 8, bind_masked),
    BIND(VPMASKMOVD, 4, bind_masked),
    BIND(VPMASKMOVQ, 8, bind_masked),
    BIND(VGATHERDPS, 4, bind_indexed),
    BIND(VGATHERDPD, 8, bind_indexed),
    BIND(VGATHERQPS, 4 | QWORD_INDEX, bind_indexed),
    BIND(VGATHERQPD, 8 | QWORD_INDEX, bind_indexed),
    BIND(VPGATHERDD, 4, bind_indexed),
    BIND(VPGATHERDQ, 8, bind_indexed),
    BIND(VPGATHERQD, 4 | QWORD_INDEX, bind_indexed),
    BIND(VPGATHERQQ, 8 | QWORD_INDEX, bind_indexed),
    BIND(VSCATTERDPS, 4, bind_indexed),
    BIND(VSCATTERDPD, 8, bind_indexed),
    BIND(VSCATTERQPS, 4 | QWORD_INDEX, bind_indexed),
    BIND(VSCATTERQPD, 8 | QWORD_INDEX, bind_indexed),
    BIND(VPSCATTERDD, 4, bind_indexed),
    BIND(VPSCATTERDQ, 8, bind_indexed),
    BIND(VPSCATTERQD, 4 | QWORD_INDEX, bind_indexed),
    BIND(VPSCATTERQQ, 8 | QWORD_INDEX, bind_indexed),
    {0},
};
