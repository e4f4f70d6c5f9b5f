/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * x87 and MMX in translated code: the guest's registers are in the host's unit.
 *
 *     HOME --a unit's first x87 instruction--> LIVE --C code wants it (dbt_jit_x87_home)--> HOME
 *
 * LIVE survives calls of the interpreter: its code has no x87 instructions of its own. What does use
 * or show the unit asks for it first: handlers of x87 state, and everything outside guest code
 * (dbt_guest_leave). So a TLB miss or a system call costs a program with x87 state nothing.
 *
 * Only with all exceptions masked (part of the mode word), so that #MF cannot happen here, and FLDCW to
 * anything else is the interpreter's. FDP then does not change (CPUID.7.EBX[6]), FCS and FDS are zero
 * (bit 13); FIP and FOP are those of JitArea.x87_note, the last x87 instruction that was no control instruction.
 * It is stored where somebody may see it, not behind each instruction: at exits and before fallbacks.
 * The host's own pointers are never looked at.
 *
 * SDM vol. 1, 8.1.8 (pointers), 13.8 (XRSTOR).
 */
#include "accel/dbt/jit-translate.h"
#include "accel/dbt/native.h"

/* In an XSAVE area. */
enum {
    FX_MXCSR = 24,
    FX_ST = 32,
    XSTATE_BV = 512,
};

/* --- Run time. --- */

void jit_x87_settle(DbtJit *jit)
{
    uint32_t note = jit->area->x87_note;
    const JitUnit *u = &jit->units[note >> 8];
    const DbtInsn *insn;

    if (!note)
        return;
    jit->area->x87_note = 0;
    insn = &dbt_block_insns(jit->v, u->block)[(note & 0xff) - JIT_EXIT_INSN];
    dbt_native_note_x87(jit->v, insn, u->rip + insn->offset);
}

void jit_x87_note_before(DbtJit *jit, const JitUnit *unit, unsigned n)
{
    while (n-- > 0) {
        if (dbt_native_notes_x87(&dbt_block_insns(jit->v, unit->block)[n])) {
            jit->area->x87_note = JIT_ID(unit->id, JIT_EXIT_INSN + n);
            return;
        }
    }
}

void dbt_jit_x87_home(DbtVcpu *v)
{
    DbtJit *jit = v->jit;
    FpuState *fpu = &v->state->fpu;
    uint8_t *image;

    if (!jit || jit->area->x87 != JIT_X87_LIVE)
        return;
    image = jit->area->x87_image;
    __asm__ volatile("fxsave64 (%0)\n\tfninit" : : "r"(image) : "memory");
    fpu->fcw = (uint16_t)load_le(image, 2);
    fpu->fsw = (uint16_t)load_le(image + 2, 2);
    fpu->ftw = image[4];
    memcpy(fpu->st, image + FX_ST, sizeof(fpu->st));
    jit->area->x87 = JIT_X87_HOME;
    jit_x87_settle(jit);
}

/* The guest's vector registers are in the host's, so none may be touched. */
__attribute__((target("general-regs-only"))) void jit_x87_load(DbtJit *jit)
{
    const MmuU64 *from = (const MmuU64 *)(const void *)&jit->v->state->fpu;
    MmuU64 *to = (MmuU64 *)(void *)jit->area->x87_image;

    if (jit->area->x87 == JIT_X87_LIVE)
        return;
    to[0] = from[0] & 0xffffffffff; /* FCW, FSW, FTW */
    to[1] = to[2] = 0;
    to[FX_MXCSR / 8] = 0x1f80;
    for (unsigned i = FX_ST / 8; i < (FX_ST + 128) / 8; i++) {
        to[i] = from[i];
        __asm__ volatile("" : : : "memory"); /* no vectors, and no call of memcpy */
    }
    to[XSTATE_BV / 8] = 1;
    __asm__ volatile("xrstor64 (%0)" : : "r"(to), "a"(1), "d"(0) : "memory");
    jit->area->x87 = JIT_X87_LIVE;
}

bool jit_x87_available(void)
{
    return __builtin_cpu_supports("avx"); /* the kernel has XSAVE switched on */
}

/* --- Translation. --- */

static bool is_x87_register(ZydisRegister reg)
{
    ZydisRegisterClass class = ZydisRegisterGetClass(reg);

    return class == ZYDIS_REGCLASS_X87 || class == ZYDIS_REGCLASS_MMX;
}

bool jit_uses_x87(const JitInsn *in)
{
    if (in->dec.meta.isa_ext == ZYDIS_ISA_EXT_X87 || in->dec.meta.isa_ext == ZYDIS_ISA_EXT_MMX)
        return true;
    for (unsigned i = 0; i < in->dec.operand_count; i++) {
        if (in->operands[i].type == ZYDIS_OPERAND_TYPE_REGISTER && is_x87_register(in->operands[i].reg.value))
            return true;
    }
    return false;
}

bool jit_x87_can_reencode(const JitInsn *in)
{
    switch (in->dec.mnemonic) {
    case ZYDIS_MNEMONIC_FNSTENV: /* the pointers are in memory */
    case ZYDIS_MNEMONIC_FNSAVE:
    case ZYDIS_MNEMONIC_FLDENV:
    case ZYDIS_MNEMONIC_FRSTOR:
    case ZYDIS_MNEMONIC_FNINIT: /* clears them */
    case ZYDIS_MNEMONIC_FLDCW:
        return false;
    default:
        return true;
    }
}

static int32_t area_x87(const JitTranslator *t)
{
    return (int32_t)jit_area_offset(t->jit, offsetof(JitArea, x87));
}

void jit_emit_want_x87(JitTranslator *t)
{
    uint32_t jump;

    jit_emit_park_flags(t, false);
    emit_gs(t->hot, false, 0x83, 7, HOST_NO_REG, area_x87(t)); /* cmp dword gs:[x87], */
    emit8(t->hot, JIT_X87_LIVE);
    jump = emit_jcc(t->hot, HOST_NE, t->cold->at);
    emit_call(t->cold, t->jit->glue.load_x87);
    emit_jmp(t->cold, jump + 4);
    jit_emit_unpark_flags(t);
}

void jit_emit_x87_note(JitTranslator *t, JitEmit *e)
{
    if (!t->x87_note)
        return;
    emit_gs(e, false, 0xc7, 0, HOST_NO_REG, (int32_t)jit_area_offset(t->jit, offsetof(JitArea, x87_note)));
    emit32(e, t->x87_note);
    if (e == t->hot)
        t->x87_note = 0;
}

void jit_x87_emitted(JitTranslator *t, const JitInsn *in)
{
    if (dbt_native_notes_x87(in->insn))
        t->x87_note = JIT_ID(t->unit->id, JIT_EXIT_INSN + t->index);
}

bool jit_emit_fldcw(JitTranslator *t, const JitInsn *in)
{
    if (!(t->jit->mode_key & JIT_MODE_X87) || jit_flags_live(t) || !jit_emit_operand(t, in, 2, false))
        return false;
    emit_rex(t->hot, false, HOST_TEMP, 0, HOST_ADDR);
    emit_bytes(t->hot, (const uint8_t[]){0x0f, 0xb7}, 2); /* movzx r11d, word [r10] */
    emit_base_disp(t->hot, HOST_TEMP, HOST_ADDR, 0);
    emit_rm(t->hot, false, HOST_STORE, HOST_TEMP, GPR_RSP, JIT_FRAME(temp));
    emit_bytes(t->hot, (const uint8_t[]){0x41, 0xf7, 0xd3}, 3);       /* not r11d */
    emit_bytes(t->hot, (const uint8_t[]){0x41, 0xf6, 0xc3, 0x3f}, 4); /* test r11b, 0x3f */
    jit_emit_miss(t, HOST_NE);
    emit_rm(t->hot, false, 0xd9, 5, GPR_RSP, JIT_FRAME(temp)); /* fldcw */
    return true;
}

bool jit_emit_fwait(JitTranslator *t, const JitInsn *in)
{
    return t->jit->mode_key & JIT_MODE_X87; /* nothing is pending: all is masked */
}
