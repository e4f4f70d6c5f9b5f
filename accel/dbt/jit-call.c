/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * SYSCALL and SYSRET between 64-bit code of CPL 3 and of CPL 0, without leaving translated code (SDM vol. 2, under
 * each; sys-call.c has all other forms).
 *
 *     SYSCALL: check -> RCX, R11 -> flags, CS, SS, what is derived from them -> direct exit to LSTAR
 *     SYSRET:  check -> flags, CS, SS, what is derived from them -> indirect exit to RCX
 *
 * STAR, LSTAR, SFMASK and CR4.SMAP decide where it goes and in which mode (jit.h). A unit is made for their values of
 * that moment and compares them when it runs: kernels write them once. After a change the interpreter does it.
 *
 * Flags that would change more than a mode the unit can name (TF, AC, DF and the like in R11), and an interrupt that
 * waits for IF, are the interpreter's, too.
 */
#include "accel/dbt/jit-translate.h"

#include "accel/dbt/mmu-priv.h"
#include "accel/dbt/sys.h"

#define STATE(field) ((int32_t)offsetof(CpuState, field))
#define SYSRET_SIMPLE (RFLAGS_ARITH | RFLAGS_IF | RFLAGS_1)
/* What differs between the two sides in the mode word. */
#define CHANGES (3 << JIT_MODE_CONTEXT_SHIFT | 3 << JIT_MODE_CPL_SHIFT | JIT_MODE_SMAP | JIT_MODE_DOWN)

/* What a transfer loads. */
typedef struct FlatSegments {
    SegmentReg cs, ss;
    uint8_t cpl;
    MmuContext context;
} FlatSegments;

static uint8_t cpl_of(const JitTranslator *t)
{
    return t->jit->mode_key >> JIT_MODE_CPL_SHIFT & 3;
}

/* --- Checks. --- */

/* cmp dword [HOST_ADDR + disp], imm32 ; jne to the interpreter. */
static void check32(JitTranslator *t, int32_t disp, uint32_t value)
{
    emit_rm(t->hot, false, 0x81, 7, HOST_ADDR, disp);
    emit32(t->hot, value);
    jit_emit_miss(t, HOST_NE);
}

static void check64(JitTranslator *t, int32_t disp, uint64_t value)
{
    emit_mov_imm(t->hot, HOST_TEMP, value);
    emit_rm(t->hot, true, HOST_CMP, HOST_TEMP, HOST_ADDR, disp);
    jit_emit_miss(t, HOST_NE);
}

/* HOST_ADDR = the state; flags are in AX and guest RAX in the frame from here on. */
static void begin_checks(JitTranslator *t)
{
    const CpuState *s = t->jit->v->state;

    emit_rm(t->hot, true, HOST_STORE, GPR_RAX, GPR_RSP, JIT_FRAME(rax));
    emit_flags_to_ax(t->hot);
    t->miss_flags = true;
    emit_mov_imm(t->hot, HOST_ADDR, (uintptr_t)s);
    check32(t, STATE(efer), (uint32_t)s->efer);
    check32(t, STATE(msr.star) + 4, (uint32_t)(s->msr.star >> 32));
}

/* --- Effects. HOST_ADDR = the state before and behind them. --- */

static void store64(JitTranslator *t, int32_t disp, uint64_t value)
{
    if ((int64_t)value == (int32_t)value) {
        emit_rm(t->hot, true, 0xc7, 0, HOST_ADDR, disp);
        emit32(t->hot, (uint32_t)value);
        return;
    }
    emit_mov_imm(t->hot, HOST_TEMP, value);
    emit_rm(t->hot, true, HOST_STORE, HOST_TEMP, HOST_ADDR, disp);
}

static void store_segment(JitTranslator *t, int32_t disp, const SegmentReg *segment)
{
    uint64_t words[sizeof(*segment) / sizeof(uint64_t)];

    memcpy(words, segment, sizeof(words));
    for (unsigned i = 0; i < G_N_ELEMENTS(words); i++)
        store64(t, disp + 8 * (int32_t)i, words[i]);
}

/* What dbt_mode_changed() would come to; 64-bit code stays that, and its segments' bases stay. */
static void emit_transfer(JitTranslator *t, const FlatSegments *to)
{
    DbtVcpu *v = t->jit->v;
    DbtMmu *mmu = v->mmu;

    t->unit->pure = false;
    store_segment(t, STATE(seg[SEG_CS]), &to->cs);
    store_segment(t, STATE(seg[SEG_SS]), &to->ss);
    emit_mov_imm(t->hot, HOST_ADDR, (uintptr_t)v);
    emit_rm(t->hot, false, 0xc6, 0, HOST_ADDR, offsetof(DbtVcpu, cpl)); /* mov byte, */
    emit8(t->hot, to->cpl);
    emit_rm(t->hot, false, 0xc6, 0, HOST_ADDR, offsetof(DbtVcpu, stack32));
    emit8(t->hot, true);
    store64(t, offsetof(DbtVcpu, fetch_tlb),
            (uintptr_t)mmu->tables[to->cpl == 3 ? MMU_TABLE_FETCH_USER : MMU_TABLE_FETCH_SUPERVISOR]);
    store64(t, offsetof(DbtVcpu, tlb), (uintptr_t)mmu->tables[2 * to->context]);
    emit_mov_imm(t->hot, HOST_ADDR, (uintptr_t)&mmu->context);
    emit_rm(t->hot, false, 0xc7, 0, HOST_ADDR, 0); /* mov dword, */
    emit32(t->hot, to->context);
    emit_mov_imm(t->hot, HOST_ADDR, (uintptr_t)v->state);
}

/* R11D = flags in AX as an image of RFLAGS; EAX is lost. */
static void emit_image_from_ax(JitTranslator *t)
{
    emit_bytes(t->hot, (const uint8_t[]){0x44, 0x0f, 0xb6, 0xd8}, 4); /* movzx r11d, al */
    emit_bytes(t->hot, (const uint8_t[]){0x41, 0xc1, 0xe3, 11}, 4);   /* shl r11d, 11 */
    emit_bytes(t->hot, (const uint8_t[]){0x0f, 0xb6, 0xc4}, 3);       /* movzx eax, ah */
    emit_bytes(t->hot, (const uint8_t[]){0x41, 0x09, 0xc3}, 3);       /* or r11d, eax */
}

/* EAX = the image in R11D as flags in AX. */
static void emit_ax_from_image(JitTranslator *t)
{
    emit_bytes(t->hot, (const uint8_t[]){0x41, 0x0f, 0xb6, 0xc3}, 4);     /* movzx eax, r11b */
    emit_bytes(t->hot, (const uint8_t[]){0xc1, 0xe0, 8}, 3);              /* shl eax, 8 */
    emit_bytes(t->hot, (const uint8_t[]){0x41, 0x0f, 0xba, 0xe3, 11}, 5); /* bt r11d, 11 */
    emit_bytes(t->hot, (const uint8_t[]){0x0f, 0x92, 0xc0}, 3);           /* setc al */
}

/* --- SYSCALL. --- */

/* The mode of the kernel's entry; JIT_NO_MODE: not one that is known beforehand. */
static uint8_t syscall_mode(const JitTranslator *t)
{
    const CpuState *s = t->jit->v->state;
    bool smap = s->cr4 & CR4_SMAP;
    uint32_t key = (t->jit->mode_key & ~(uint32_t)CHANGES) | MMU_SUPERVISOR << JIT_MODE_CONTEXT_SHIFT | (smap ? JIT_MODE_SMAP : 0);

    if (smap && !(s->msr.sfmask & RFLAGS_AC)) /* the context would be that of the caller's AC */
        return JIT_NO_MODE;
    if (t->jit->mode_key & JIT_MODE_DOWN && !(s->msr.sfmask & RFLAGS_DF))
        key |= JIT_MODE_DOWN;
    return jit_mode_of(t->jit, key);
}

bool jit_emit_syscall(JitTranslator *t, const JitInsn *in)
{
    const CpuState *s = t->jit->v->state;
    FlatSegments to = {.cpl = 0, .context = MMU_SUPERVISOR};
    uint32_t cleared = (uint32_t)s->msr.sfmask | RFLAGS_RF;
    uint8_t mode;

    if (t->is32 || cpl_of(t) != 3 || !(s->efer & EFER_SCE) || s->msr.sfmask > UINT32_MAX)
        return false;
    mode = syscall_mode(t);
    if (mode == JIT_NO_MODE)
        return false;
    dbt_syscall_segments(s, &to.cs, &to.ss);
    begin_checks(t);
    check64(t, STATE(msr.lstar), s->msr.lstar);
    check64(t, STATE(msr.sfmask), s->msr.sfmask);
    emit_bytes(t->hot, (const uint8_t[]){0x41, 0xf7}, 2); /* test dword [r10 + cr4], SMAP */
    emit_base_disp(t->hot, 0, HOST_ADDR, STATE(cr4));
    emit32(t->hot, CR4_SMAP);
    jit_emit_miss(t, s->cr4 & CR4_SMAP ? HOST_E : HOST_NE);

    emit_image_from_ax(t);
    emit_rm(t->hot, false, HOST_LOAD, GPR_RAX, HOST_ADDR, STATE(rflags));
    emit8(t->hot, 0x25); /* and eax, */
    emit32(t->hot, ~(uint32_t)(RFLAGS_ARITH | RFLAGS_RF));
    emit_bytes(t->hot, (const uint8_t[]){0x41, 0x09, 0xc3}, 3); /* or r11d, eax */
    jit_emit_store_spill(t, GPR_R11, HOST_TEMP);
    emit_bytes(t->hot, (const uint8_t[]){0x41, 0x81, 0xe3}, 3); /* and r11d, */
    emit32(t->hot, ~cleared);
    emit_bytes(t->hot, (const uint8_t[]){0x41, 0x83, 0xcb, RFLAGS_1}, 4); /* or r11d, */
    emit_rm(t->hot, true, HOST_STORE, HOST_TEMP, HOST_ADDR, STATE(rflags));
    emit_ax_from_image(t);
    emit_transfer(t, &to);
    jit_emit_mov_address(t, t->hot, GPR_RCX, in->rip + in->insn->len);
    emit_flags_from_ax(t->hot);
    emit_rm(t->hot, true, HOST_LOAD, GPR_RAX, GPR_RSP, JIT_FRAME(rax));
    t->exit_mode = mode;
    jit_emit_exit(t, s->msr.lstar)->fixed = true;
    return true;
}

/* --- SYSRET. --- */

bool jit_emit_sysret(JitTranslator *t, const JitInsn *in)
{
    const CpuState *s = t->jit->v->state;
    FlatSegments to = {.cpl = 3, .context = MMU_USER};
    uint8_t mode;

    if (t->is32 || cpl_of(t) != 0 || in->insn->op_size != 8 || !(s->efer & EFER_SCE))
        return false;
    mode = jit_mode_of(t->jit, (t->jit->mode_key & ~(uint32_t)CHANGES) | MMU_USER << JIT_MODE_CONTEXT_SHIFT | 3 << JIT_MODE_CPL_SHIFT);
    if (mode == JIT_NO_MODE)
        return false;
    dbt_sysret_segments(s, &to.cs, &to.ss);
    begin_checks(t);
    emit_rr(t->hot, true, HOST_LOAD, HOST_TEMP, GPR_RCX);
    emit_bytes(t->hot, (const uint8_t[]){0x49, 0xc1, 0xeb, 47}, 4); /* shr r11, */
    jit_emit_miss(t, HOST_NE); /* not in the lower half */
    emit_gs(t->hot, false, 0x83, 7, HOST_NO_REG, (int32_t)jit_area_offset(t->jit, offsetof(JitArea, interrupt_maybe)));
    emit8(t->hot, 0);
    jit_emit_miss(t, HOST_NE);
    jit_emit_load_spill(t, HOST_TEMP, GPR_R11);
    emit_bytes(t->hot, (const uint8_t[]){0x41, 0xf7, 0xc3}, 3); /* test r11d, */
    emit32(t->hot, ~(uint32_t)SYSRET_SIMPLE);
    jit_emit_miss(t, HOST_NE);

    emit_rr(t->hot, false, HOST_LOAD, HOST_TEMP, HOST_TEMP); /* 32 bits of it */
    emit_bytes(t->hot, (const uint8_t[]){0x41, 0x83, 0xcb, RFLAGS_1}, 4); /* or r11d, */
    emit_rm(t->hot, true, HOST_STORE, HOST_TEMP, HOST_ADDR, STATE(rflags));
    emit_ax_from_image(t);
    emit_rm(t->hot, true, HOST_STORE, GPR_RAX, GPR_RSP, JIT_FRAME(flags));
    emit_transfer(t, &to);
    emit_rm(t->hot, true, HOST_LOAD, GPR_RAX, GPR_RSP, JIT_FRAME(rax));
    emit_rr(t->hot, true, HOST_LOAD, HOST_ADDR, GPR_RCX);
    t->exit_mode = mode;
    jit_emit_indirect(t);
    return true;
}
