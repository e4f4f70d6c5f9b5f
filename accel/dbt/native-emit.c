/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The stub around one instruction in normal form.
 *
 * Entered by native_enter (native-run.c) with rdi = CpuState, rsi = operand, rcx = x87 image and
 * [rsp+8] = the host's MXCSR, [rsp+24] = the x87 image again. All registers but rsp are free. For
 * `vaddps ymm2, ymm1, [rbx]` it is
 *
 *     ldmxcsr [rdi+mxcsr]
 *     vmovups ymm1, [rdi+zmm1]
 *     vaddps  ymm2, ymm1, [rsi]        <- may fault: nothing is stored yet
 *     vmovups [rdi+zmm2], ymm2
 *     vpxor   xmm0, xmm0, xmm0 ; vmovups [rdi+zmm2+32], ymm0
 *     stmxcsr [rdi+mxcsr] ; ldmxcsr [rsp+8]
 *     vzeroupper ; ret
 *
 * rsp at the instruction equals that at entry, which the fault exit relies on.
 */
#include "accel/dbt/native.h"

typedef struct Emit {
    uint8_t *out;
    unsigned len;
} Emit;

/* Offsets of [rsp+x] in a stub, as native_enter pushed them. */
enum {
    STACK_MXCSR = 8,
    STACK_FX = 24,
};

static void emit8(Emit *e, uint8_t byte)
{
    g_assert(e->len < NATIVE_STUB_MAX);
    e->out[e->len++] = byte;
}

static void emit_bytes(Emit *e, const void *bytes, unsigned len)
{
    for (unsigned i = 0; i < len; i++) {
        emit8(e, ((const uint8_t *)bytes)[i]);
    }
}

static void emit32(Emit *e, uint32_t value)
{
    emit_bytes(e, &value, sizeof(value));
}

/* ModRM [base+disp32]; base is never RSP or R12, so there is no SIB. */
static void emit_modrm(Emit *e, uint8_t reg, uint8_t base, uint32_t disp)
{
    emit8(e, 0x80 | (reg & 7) << 3 | (base & 7));
    emit32(e, disp);
}

/* opcode reg, [base+disp] with REX.W: 8b mov load, 89 mov store, 23 and, 0b or. */
static void emit_gpr_op(Emit *e, uint8_t opcode, uint8_t reg, uint8_t base, uint32_t disp)
{
    emit8(e, 0x48 | reg >> 3 << 2 | base >> 3);
    emit8(e, opcode);
    emit_modrm(e, reg, base, disp);
}

static void emit_mov(Emit *e, uint8_t to, uint8_t from)
{
    emit8(e, 0x48 | from >> 3 << 2 | to >> 3);
    emit8(e, 0x89);
    emit8(e, 0xc0 | (from & 7) << 3 | (to & 7));
}

/* vmovups zmm; opcode 10 loads, 11 stores. */
static void emit_zmm_op(Emit *e, const NativeInsn *insn, uint8_t opcode, uint8_t vec)
{
    uint8_t base = insn->state_reg;

    emit8(e, 0x62);
    emit8(e, (vec & 8 ? 0 : 0x80) | 0x40 | (base & 8 ? 0 : 0x20) | (vec & 16 ? 0 : 0x10) | 1);
    emit_bytes(e, (const uint8_t[]){0x7c, 0x48}, 2);
    emit8(e, opcode);
    emit_modrm(e, vec, base, offsetof(CpuState, fpu.zmm) + vec * sizeof(((FpuState *)0)->zmm[0]));
}

/* kmovq; opcode 90 loads, 91 stores. */
static void emit_opmask_op(Emit *e, const NativeInsn *insn, uint8_t opcode, uint8_t reg)
{
    emit8(e, 0xc4);
    emit8(e, 0xc0 | (insn->state_reg & 8 ? 0 : 0x20) | 1);
    emit8(e, 0xf8);
    emit8(e, opcode);
    emit_modrm(e, reg, insn->state_reg, offsetof(CpuState, fpu.opmask) + 8 * reg);
}

/* movups xmm (ymm false) or vmovups; opcode 10 loads, 11 stores. */
static void emit_vec_op(Emit *e, const NativeInsn *insn, uint8_t opcode, uint8_t vec, bool ymm,
                        uint32_t disp)
{
    uint8_t base = insn->state_reg;

    if (insn->vex) {
        emit8(e, 0xc4);
        emit8(e, (vec & 8 ? 0 : 0x80) | 0x40 | (base & 8 ? 0 : 0x20) | 1);
        emit8(e, 0x78 | ymm << 2);
    } else {
        emit8(e, 0x40 | vec >> 3 << 2 | base >> 3);
        emit8(e, 0x0f);
    }
    emit8(e, opcode);
    emit_modrm(e, vec, base, disp);
}

/* ldmxcsr (/2) and stmxcsr (/3) of the guest's, ldmxcsr of the host's. */
static void emit_mxcsr(Emit *e, const NativeInsn *insn, bool store)
{
    emit8(e, 0x40 | insn->state_reg >> 3);
    emit8(e, 0x0f);
    emit8(e, 0xae);
    emit_modrm(e, store ? 3 : 2, insn->state_reg, offsetof(CpuState, fpu.mxcsr));
    if (store) {
        emit_bytes(e, (const uint8_t[]){0x0f, 0xae, 0x54, 0x24, STACK_MXCSR}, 5);
    }
}

static uint8_t host_gpr(const NativeInsn *insn, uint8_t number)
{
    return number == GPR_RSP ? insn->rsp_reg : number;
}

/* Two of the low registers that hold neither CpuState nor the operand. */
static void scratch_registers(const NativeInsn *insn, uint8_t scratch[2])
{
    unsigned found = 0;

    for (uint8_t reg = GPR_RAX; found < 2; reg++) {
        if (reg != insn->state_reg && reg != insn->mem_reg && reg != GPR_RSP && reg != GPR_RBP) {
            scratch[found++] = reg;
        }
    }
}

/* Host flags from the guest's arithmetic ones; the rest must not reach the host. */
static void emit_load_flags(Emit *e, const NativeInsn *insn, const uint8_t scratch[2])
{
    emit8(e, 0xb8 | scratch[0]); /* mov scratch0, RFLAGS_ARITH */
    emit32(e, RFLAGS_ARITH);
    emit_gpr_op(e, 0x23, scratch[0], insn->state_reg, offsetof(CpuState, rflags));
    emit8(e, 0x50 | scratch[0]); /* push */
    emit8(e, 0x9d);              /* popfq */
}

static void emit_store_flags(Emit *e, const NativeInsn *insn, const uint8_t scratch[2])
{
    emit8(e, 0x9c);              /* pushfq */
    emit8(e, 0x58 | scratch[0]); /* pop */
    emit8(e, 0x81);              /* and scratch0, RFLAGS_ARITH */
    emit8(e, 0xe0 | scratch[0]);
    emit32(e, RFLAGS_ARITH);
    emit8(e, 0x48);              /* mov scratch1, ~RFLAGS_ARITH */
    emit8(e, 0xc7);
    emit8(e, 0xc0 | scratch[1]);
    emit32(e, ~RFLAGS_ARITH);
    emit_gpr_op(e, 0x23, scratch[1], insn->state_reg, offsetof(CpuState, rflags));
    emit8(e, 0x48);              /* or scratch1, scratch0 */
    emit8(e, 0x09);
    emit8(e, 0xc0 | scratch[0] << 3 | scratch[1]);
    emit_gpr_op(e, 0x89, scratch[1], insn->state_reg, offsetof(CpuState, rflags));
}

static uint32_t vec_offset(unsigned vec)
{
    return offsetof(CpuState, fpu.zmm) + vec * sizeof(((FpuState *)0)->zmm[0]);
}

/* One register as wide as the instruction has it. */
static void emit_vec(Emit *e, const NativeInsn *insn, uint8_t opcode, uint8_t vec)
{
    if (insn->evex) {
        emit_zmm_op(e, insn, opcode, vec);
    } else {
        emit_vec_op(e, insn, opcode, vec, insn->ymm, vec_offset(vec));
    }
}

static void emit_load(Emit *e, const NativeInsn *insn)
{
    uint8_t scratch[2];

    if (insn->x87) {
        emit_bytes(e, (const uint8_t[]){0x48, 0x0f, 0xae, 0x09}, 4); /* fxrstor64 [rcx] */
    }
    if (insn->state_reg != GPR_RDI) {
        emit_mov(e, insn->state_reg, GPR_RDI);
    }
    if (insn->mem_reg != INSN_NO_REG && insn->mem_reg != GPR_RSI) {
        emit_mov(e, insn->mem_reg, GPR_RSI);
    }
    if (insn->mxcsr) {
        emit_mxcsr(e, insn, false);
    }
    if (insn->flags) {
        scratch_registers(insn, scratch);
        emit_load_flags(e, insn, scratch);
    }
    for (unsigned i = 0; i < 32; i++) {
        if (insn->vecs & BIT(i)) {
            emit_vec(e, insn, 0x10, i);
        }
    }
    for (unsigned i = 0; i < 8; i++) {
        if (insn->opmasks & BIT(i)) {
            emit_opmask_op(e, insn, 0x90, i);
        }
    }
    for (unsigned i = 0; i < 16; i++) {
        if (insn->gprs & BIT(i)) {
            emit_gpr_op(e, 0x8b, host_gpr(insn, i), insn->state_reg, 8 * i);
        }
    }
}

/* A VEX result is zero above what the instruction wrote (SDM vol. 1, 14.1.1). */
static void emit_zero_upper(Emit *e, const NativeInsn *insn)
{
    uint8_t zero = 0;

    if (!insn->vex || !insn->vecs_written) {
        return;
    }
    emit_bytes(e, (const uint8_t[]){0xc5, 0xf9, 0xef, 0xc0}, 4); /* vpxor xmm0, xmm0, xmm0 */
    for (unsigned i = 0; i < 16; i++) {
        if (insn->vecs_written & BIT(i)) {
            if (!insn->ymm) {
                emit_vec_op(e, insn, 0x11, zero, false, vec_offset(i) + 16);
            }
            emit_vec_op(e, insn, 0x11, zero, true, vec_offset(i) + 32);
        }
    }
}

static void emit_store(Emit *e, const NativeInsn *insn)
{
    uint8_t scratch[2];

    for (unsigned i = 0; i < 16; i++) {
        if (insn->gprs_written & BIT(i)) {
            emit_gpr_op(e, 0x89, host_gpr(insn, i), insn->state_reg, 8 * i);
        }
    }
    if (insn->flags) {
        scratch_registers(insn, scratch);
        emit_store_flags(e, insn, scratch);
    }
    for (unsigned i = 0; i < 32; i++) {
        if (insn->vecs_written & BIT(i)) {
            emit_vec(e, insn, 0x11, i);
        }
    }
    for (unsigned i = 0; i < 8; i++) {
        if (insn->opmasks_written & BIT(i)) {
            emit_opmask_op(e, insn, 0x91, i);
        }
    }
    emit_zero_upper(e, insn);
    if (insn->mxcsr) {
        emit_mxcsr(e, insn, true);
    }
    if (insn->x87) {
        /* mov rcx, [rsp+STACK_FX]; fxsave64 [rcx]; fninit */
        emit_bytes(e, (const uint8_t[]){0x48, 0x8b, 0x4c, 0x24, STACK_FX}, 5);
        emit_bytes(e, (const uint8_t[]){0x48, 0x0f, 0xae, 0x01, 0xdb, 0xe3}, 6);
    }
    if ((insn->vex || insn->evex) && insn->vecs) {
        emit_bytes(e, (const uint8_t[]){0xc5, 0xf8, 0x77}, 3); /* vzeroupper */
    }
}

unsigned native_emit(uint8_t *out, const NativeInsn *insn)
{
    Emit e = {.out = out};

    emit_load(&e, insn);
    emit_bytes(&e, insn->bytes, insn->len);
    emit_store(&e, insn);
    emit8(&e, 0xc3);
    return e.len;
}
