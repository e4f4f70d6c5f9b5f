/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What kernels do all the time beside computing: PUSHF POPF CLI STI, STAC CLAC, SWAPGS, RDTSC RDTSCP, SERIALIZE,
 * PAUSE, MOV from control registers, RDFSBASE and its like; and CLD, MOV from a segment register, BT with a register,
 * XLAT. (SDM vol. 2, under each.)
 *
 * RFLAGS but for the arithmetic flags are in CpuState, at an address known here. The mode word knows DF, and
 * at CPL 0 with SMAP also AC, so CLD has nothing to do, and STAC and CLAC go to a unit of another mode.
 *
 * STI and POPF that set IF stay in translated code only while JitArea.interrupt_maybe says that nobody has
 * asked for an interrupt; else the interpreter and the loop sort it out. The shadow of STI needs no state: the
 * unit goes on with the next instruction, and interrupts are taken where units end.
 */
#include "accel/dbt/jit-translate.h"

#define PAUSES_MASK 0xffu /* op-branch.c yields when these bits of the count become zero */

static bool at_cpl0(const JitTranslator *t)
{
    return !(t->jit->mode_key >> JIT_MODE_CPL_SHIFT & 3);
}

/* op dword [base], imm32: /digit of opcode 81, or TEST with opcode F7 /0. */
static void emit_mem_imm(JitTranslator *t, uint8_t opcode, uint8_t digit, uint8_t base, uint32_t imm)
{
    emit_rm(t->hot, false, opcode, digit, base, 0);
    emit32(t->hot, imm);
}

static void emit_test_mem(JitTranslator *t, uint8_t base, uint32_t imm)
{
    emit_mem_imm(t, 0xf7, 0, base, imm);
}

/* HOST_ADDR = &rflags. */
static void emit_rflags_address(JitTranslator *t)
{
    emit_mov_imm(t->hot, HOST_ADDR, (uintptr_t)&t->jit->v->state->rflags);
}

/* jcc over what follows; close_skip ends it. */
static uint32_t open_skip(JitTranslator *t, uint8_t cc)
{
    return emit_jcc(t->hot, cc, 0);
}

static void close_skip(JitTranslator *t, uint32_t skip)
{
    emit_patch(t->hot, skip, t->hot->at);
}

static void miss_if_interrupt_maybe(JitTranslator *t)
{
    emit_gs(t->hot, false, 0x83, 7, HOST_NO_REG, (int32_t)jit_area_offset(t->jit, offsetof(JitArea, interrupt_maybe)));
    emit8(t->hot, 0); /* cmp dword gs:[], 0 */
    jit_emit_miss(t, HOST_NE);
}

bool jit_emit_cli(JitTranslator *t, const JitInsn *in)
{
    if (!at_cpl0(t))
        return false;
    emit_rflags_address(t);
    jit_emit_park_flags(t, false);
    emit_mem_imm(t, 0x81, 4, HOST_ADDR, ~(uint32_t)RFLAGS_IF); /* and */
    jit_emit_unpark_flags(t);
    return true;
}

bool jit_emit_sti(JitTranslator *t, const JitInsn *in)
{
    uint32_t skip;

    if (!at_cpl0(t) || t->index == t->count - 1)
        return false;
    emit_rflags_address(t);
    jit_emit_park_flags(t, true);
    emit_test_mem(t, HOST_ADDR, RFLAGS_IF);
    skip = open_skip(t, HOST_NE);
    miss_if_interrupt_maybe(t);
    emit_mem_imm(t, 0x81, 1, HOST_ADDR, RFLAGS_IF); /* or */
    close_skip(t, skip);
    jit_emit_unpark_flags(t);
    return true;
}

/* HOST_ADDR has the address to store at. */
bool jit_emit_pushf(JitTranslator *t, const JitInsn *in)
{
    const HostAddress top = {HOST_SP, HOST_NO_REG, 0, -(int32_t)jit_word(t)};
    const uint32_t other = ~(uint32_t)(RFLAGS_ARITH | RFLAGS_VM | RFLAGS_RF);

    if (in->dec.operand_width != 8 * jit_word(t))
        return false;
    jit_emit_access(t, &top, jit_word(t), true);
    jit_emit_touch(t);
    emit_rm(t->hot, true, HOST_STORE, GPR_RAX, GPR_RSP, JIT_FRAME(rax));
    emit_flags_to_ax(t->hot);
    emit_rm(t->hot, false, HOST_STORE, GPR_RAX, GPR_RSP, JIT_FRAME(temp));
    emit_bytes(t->hot, (const uint8_t[]){0x44, 0x0f, 0xb6, 0xd8}, 4); /* movzx r11d, al */
    emit_bytes(t->hot, (const uint8_t[]){0x41, 0xc1, 0xe3, 11}, 4);   /* shl r11d, 11 */
    emit_bytes(t->hot, (const uint8_t[]){0x0f, 0xb6, 0xc4}, 3);       /* movzx eax, ah */
    emit_bytes(t->hot, (const uint8_t[]){0x44, 0x09, 0xd8}, 3);       /* or eax, r11d */
    emit_mov_imm(t->hot, HOST_TEMP, (uintptr_t)&t->jit->v->state->rflags);
    emit_rm(t->hot, false, HOST_LOAD, HOST_TEMP, HOST_TEMP, 0);
    emit_bytes(t->hot, (const uint8_t[]){0x41, 0x81, 0xe3}, 3); /* and r11d, */
    emit32(t->hot, other);
    emit_bytes(t->hot, (const uint8_t[]){0x44, 0x09, 0xd8}, 3); /* or eax, r11d */
    emit_rm(t->hot, !t->is32, HOST_STORE, GPR_RAX, HOST_ADDR, 0);
    emit_rm(t->hot, false, HOST_LOAD, GPR_RAX, GPR_RSP, JIT_FRAME(temp));
    emit_flags_from_ax(t->hot);
    emit_rm(t->hot, true, HOST_LOAD, GPR_RAX, GPR_RSP, JIT_FRAME(rax));
    jit_emit_sp_add(t, -(int32_t)jit_word(t));
    return true;
}

/* EFLAGS = those of R11D. */
static void emit_flags_from_image(JitTranslator *t)
{
    emit_rm(t->hot, true, HOST_STORE, GPR_RAX, GPR_RSP, JIT_FRAME(rax));
    emit_bytes(t->hot, (const uint8_t[]){0x41, 0x0f, 0xb6, 0xc3}, 4);       /* movzx eax, r11b */
    emit_bytes(t->hot, (const uint8_t[]){0xc1, 0xe0, 8}, 3);                /* shl eax, 8 */
    emit_bytes(t->hot, (const uint8_t[]){0x41, 0x0f, 0xba, 0xe3, 11}, 5);   /* bt r11d, 11 */
    emit_bytes(t->hot, (const uint8_t[]){0x0f, 0x92, 0xc0}, 3);             /* setc al */
    emit_flags_from_ax(t->hot);
    emit_rm(t->hot, true, HOST_LOAD, GPR_RAX, GPR_RSP, JIT_FRAME(rax));
}

/* Changes of arithmetic flags, and of IF at CPL 0; anything else is the interpreter's. */
bool jit_emit_popf(JitTranslator *t, const JitInsn *in)
{
    const HostAddress top = {HOST_SP, HOST_NO_REG, 0, 0};
    uint32_t skip, same, mine = RFLAGS_ARITH | (at_cpl0(t) ? RFLAGS_IF : 0);

    /* The first store of IF must be the last thing that can be left to the interpreter. */
    if (in->dec.operand_width != 8 * jit_word(t) || jit_flags_live(t))
        return false;
    jit_emit_access(t, &top, jit_word(t), false);
    emit_rm(t->hot, false, HOST_LOAD, HOST_TEMP, HOST_ADDR, 0);
    emit_rflags_address(t);
    emit_rm(t->hot, false, HOST_STORE, HOST_TEMP, GPR_RSP, JIT_FRAME(temp));
    emit_rm(t->hot, false, HOST_XOR, HOST_TEMP, HOST_ADDR, 0);
    emit_bytes(t->hot, (const uint8_t[]){0x41, 0xf7, 0xc3}, 3); /* test r11d, */
    emit32(t->hot, ~mine);
    jit_emit_miss(t, HOST_NE);
    if (at_cpl0(t)) {
        emit_bytes(t->hot, (const uint8_t[]){0x41, 0xf7, 0xc3}, 3);
        emit32(t->hot, RFLAGS_IF);
        same = open_skip(t, HOST_E);
        emit_test_mem(t, HOST_ADDR, RFLAGS_IF);
        skip = open_skip(t, HOST_NE);
        miss_if_interrupt_maybe(t);
        close_skip(t, skip);
        emit_mem_imm(t, 0x81, 6, HOST_ADDR, RFLAGS_IF); /* xor */
        close_skip(t, same);
    }
    emit_rm(t->hot, false, HOST_LOAD, HOST_TEMP, GPR_RSP, JIT_FRAME(temp));
    jit_emit_sp_add(t, (int32_t)jit_word(t));
    emit_flags_from_image(t);
    return true;
}

/* The context of data accesses changes, so does the mode: the unit ends here, and its exit is in the other. */
bool jit_emit_set_ac(JitTranslator *t, const JitInsn *in)
{
    const int32_t ac = RFLAGS_AC;
    bool set = in->dec.mnemonic == ZYDIS_MNEMONIC_STAC;
    MmuContext now = jit_context(t);
    MmuContext then = set ? MMU_SUPERVISOR_AC : MMU_SUPERVISOR;
    DbtVcpu *v = t->jit->v;
    uint8_t mode;

    if (!(t->jit->mode_key & JIT_MODE_SMAP))
        return false;
    t->unit->pure = false; /* lock-step knows nothing of what else changes here */
    if (now == then)
        return true;
    mode = jit_mode_of(t->jit, (t->jit->mode_key & ~(3u << JIT_MODE_CONTEXT_SHIFT)) |
                                   (uint32_t)then << JIT_MODE_CONTEXT_SHIFT);
    if (mode == JIT_NO_MODE)
        return false;
    /* AC is known to be the other way, so that adding does what flags would suffer from. */
    const HostAddress changed = {HOST_TEMP, HOST_NO_REG, 0, set ? ac : -ac};
    const HostAddress tables = {HOST_TEMP, HOST_NO_REG, 0,
                                ((int32_t)then - (int32_t)now) * (int32_t)sizeof(MmuEntry[2][MMU_TLB_SIZE])};

    emit_rflags_address(t);
    emit_rm(t->hot, false, HOST_LOAD, HOST_TEMP, HOST_ADDR, 0);
    emit_lea(t->hot, false, HOST_TEMP, &changed);
    emit_rm(t->hot, false, HOST_STORE, HOST_TEMP, HOST_ADDR, 0);
    emit_mov_imm(t->hot, HOST_ADDR, (uintptr_t)&v->mmu->context);
    emit_mem_imm(t, 0xc7, 0, HOST_ADDR, then);
    emit_mov_imm(t->hot, HOST_ADDR, (uintptr_t)&v->tlb);
    emit_rm(t->hot, true, HOST_LOAD, HOST_TEMP, HOST_ADDR, 0);
    emit_lea(t->hot, true, HOST_TEMP, &tables);
    emit_rm(t->hot, true, HOST_STORE, HOST_TEMP, HOST_ADDR, 0);
    t->exit_mode = mode;
    return true;
}

/* The segment's base becomes HOST_TEMP; HOST_ADDR is lost. */
static void emit_set_base(JitTranslator *t, SegIndex segment)
{
    DbtVcpu *v = t->jit->v;

    emit_mov_imm(t->hot, HOST_ADDR, (uintptr_t)&v->state->seg[segment].base);
    emit_rm(t->hot, true, HOST_STORE, HOST_TEMP, HOST_ADDR, 0);
    emit_mov_imm(t->hot, HOST_ADDR, (uintptr_t)&v->seg_base[segment]);
    emit_rm(t->hot, true, HOST_STORE, HOST_TEMP, HOST_ADDR, 0);
    emit_rm(t->hot, true, HOST_STORE, HOST_TEMP, GPR_RSP, jit_base_slot(segment));
}

bool jit_emit_swapgs(JitTranslator *t, const JitInsn *in)
{
    DbtVcpu *v = t->jit->v;

    if (t->is32 || !at_cpl0(t))
        return false;
    t->unit->pure = false;
    emit_mov_imm(t->hot, HOST_ADDR, (uintptr_t)&v->state->seg[SEG_GS].base);
    emit_rm(t->hot, true, HOST_LOAD, HOST_TEMP, HOST_ADDR, 0);
    emit_rm(t->hot, true, HOST_STORE, HOST_TEMP, GPR_RSP, JIT_FRAME(temp));
    emit_mov_imm(t->hot, HOST_ADDR, (uintptr_t)&v->state->msr.kernel_gs_base);
    emit_rm(t->hot, true, HOST_LOAD, HOST_TEMP, HOST_ADDR, 0);
    emit_set_base(t, SEG_GS);
    emit_rm(t->hot, true, HOST_LOAD, HOST_TEMP, GPR_RSP, JIT_FRAME(temp));
    emit_mov_imm(t->hot, HOST_ADDR, (uintptr_t)&v->state->msr.kernel_gs_base);
    emit_rm(t->hot, true, HOST_STORE, HOST_TEMP, HOST_ADDR, 0);
    return true;
}

/* The guest's time stamp counter is the host's and an offset. LFENCE makes RDTSCP wait as it should. */
bool jit_emit_rdtsc(JitTranslator *t, const JitInsn *in)
{
    CpuState *s = t->jit->v->state;
    bool ordered = in->dec.mnemonic == ZYDIS_MNEMONIC_RDTSCP;

    t->unit->pure = false;
    jit_emit_park_flags(t, true);
    if (!at_cpl0(t)) {
        emit_mov_imm(t->hot, HOST_ADDR, (uintptr_t)&s->cr4);
        emit_test_mem(t, HOST_ADDR, CR4_TSD);
        jit_emit_miss(t, HOST_NE);
    }
    if (jit_flags_live(t))
        emit_rm(t->hot, false, HOST_STORE, GPR_RAX, GPR_RSP, JIT_FRAME(temp));
    if (ordered)
        emit_bytes(t->hot, (const uint8_t[]){0x0f, 0xae, 0xe8}, 3); /* lfence */
    emit_bytes(t->hot, (const uint8_t[]){0x0f, 0x31}, 2);             /* rdtsc */
    emit_bytes(t->hot, (const uint8_t[]){0x48, 0xc1, 0xe2, 32}, 4);   /* shl rdx, 32 */
    emit_bytes(t->hot, (const uint8_t[]){0x48, 0x09, 0xc2}, 3);       /* or rdx, rax */
    emit_mov_imm(t->hot, HOST_ADDR, (uintptr_t)&s->tsc_offset);
    emit_rm(t->hot, true, HOST_ADD, GPR_RDX, HOST_ADDR, 0);
    if (jit_flags_live(t)) {
        emit_rm(t->hot, false, HOST_LOAD, GPR_RAX, GPR_RSP, JIT_FRAME(temp));
        emit_rr(t->hot, true, HOST_LOAD, HOST_TEMP, GPR_RDX);
        emit_bytes(t->hot, (const uint8_t[]){0x48, 0xc1, 0xea, 32}, 4); /* shr rdx, 32 */
        emit_flags_from_ax(t->hot);
        emit_rr(t->hot, false, HOST_LOAD, GPR_RAX, HOST_TEMP);
    } else {
        emit_rr(t->hot, false, HOST_LOAD, GPR_RAX, GPR_RDX);
        emit_bytes(t->hot, (const uint8_t[]){0x48, 0xc1, 0xea, 32}, 4);
    }
    if (ordered) {
        emit_mov_imm(t->hot, HOST_ADDR, (uintptr_t)&s->msr.tsc_aux);
        emit_rm(t->hot, false, HOST_LOAD, GPR_RCX, HOST_ADDR, 0);
    }
    return true;
}

/* Code written by others by now is asked for: they have made a request. Own writes end the unit anyway. */
bool jit_emit_serialize(JitTranslator *t, const JitInsn *in)
{
    jit_emit_park_flags(t, true);
    emit_bytes(t->hot, (const uint8_t[]){0x0f, 0xae, 0xf0}, 3); /* mfence */
    jit_emit_request_check(t, t->hot);
    jit_emit_miss(t, HOST_E);
    jit_emit_unpark_flags(t);
    return true;
}

/* The interpreter's turn is the one that yields. */
bool jit_emit_pause(JitTranslator *t, const JitInsn *in)
{
    jit_emit_park_flags(t, true);
    emit_mov_imm(t->hot, HOST_ADDR, (uintptr_t)&t->jit->v->pauses);
    emit_rm(t->hot, false, 0x80, 7, HOST_ADDR, 0); /* cmp byte [r10], */
    emit8(t->hot, PAUSES_MASK);
    jit_emit_miss(t, HOST_E);
    emit_rm(t->hot, false, 0xff, 0, HOST_ADDR, 0); /* inc dword [r10] */
    emit_bytes(t->hot, (const uint8_t[]){0xf3, 0x90}, 2);
    jit_emit_unpark_flags(t);
    return true;
}

/* The mode word has DF clear already. */
bool jit_emit_cld(JitTranslator *t, const JitInsn *in)
{
    return !(t->jit->mode_key & JIT_MODE_DOWN);
}

bool jit_fits_mov_from_segment(const JitTranslator *t, const JitInsn *in)
{
    return in->dec.opcode_map == ZYDIS_OPCODE_MAP_DEFAULT && in->dec.opcode == 0x8c;
}

/* The guest's register gets so many bytes of HOST_TEMP, zero-extended from 4. */
static void emit_result(JitTranslator *t, uint8_t guest, unsigned size)
{
    if (size == 4)
        emit_rr(t->hot, false, HOST_LOAD, HOST_TEMP, HOST_TEMP);
    if (size == 2)
        emit8(t->hot, 0x66);
    if (jit_is_spilled(guest))
        emit_rm(t->hot, size > 2, HOST_STORE, HOST_TEMP, GPR_RSP, jit_spill_slot(guest));
    else
        emit_rr(t->hot, size > 2, HOST_LOAD, jit_host(guest), HOST_TEMP);
}

bool jit_emit_mov_from_segment(JitTranslator *t, const JitInsn *in)
{
    unsigned segment = (unsigned)(in->operands[1].reg.value - ZYDIS_REGISTER_ES);
    bool memory = in->insn->flags & INSN_MEM;

    if (segment > SEG_GS || (memory && !jit_emit_operand(t, in, 2, true)))
        return false;
    emit_mov_imm(t->hot, HOST_TEMP, (uintptr_t)&t->jit->v->state->seg[segment].selector);
    emit_bytes(t->hot, (const uint8_t[]){0x45, 0x0f, 0xb7, 0x1b}, 4); /* movzx r11d, word [r11] */
    if (memory)
        emit_bytes(t->hot, (const uint8_t[]){0x66, 0x45, 0x89, 0x1a}, 4); /* mov [r10], r11w */
    else
        emit_result(t, in->insn->rm, in->dec.operand_width == 16 ? 2 : 4);
    return true;
}

/* MOV r, CRn: of those that are plain values in CpuState. */
bool jit_fits_mov_from_control(const JitTranslator *t, const JitInsn *in)
{
    return in->dec.opcode_map == ZYDIS_OPCODE_MAP_0F && in->dec.opcode == 0x20;
}

bool jit_emit_mov_from_control(JitTranslator *t, const JitInsn *in)
{
    const CpuState *s = t->jit->v->state;
    const uint64_t *const control[] = {[0] = &s->cr0, [2] = &s->cr2, [3] = &s->cr3, [4] = &s->cr4};
    unsigned n = in->insn->reg;

    if (!at_cpl0(t) || n >= G_N_ELEMENTS(control) || !control[n])
        return false;
    t->unit->pure = false;
    emit_mov_imm(t->hot, HOST_TEMP, (uintptr_t)control[n]);
    emit_rm(t->hot, true, HOST_LOAD, HOST_TEMP, HOST_TEMP, 0);
    emit_result(t, in->insn->rm, t->is32 ? 4 : 8);
    return true;
}

static SegIndex based_segment(const JitInsn *in)
{
    bool fs = in->dec.mnemonic == ZYDIS_MNEMONIC_RDFSBASE || in->dec.mnemonic == ZYDIS_MNEMONIC_WRFSBASE;

    return fs ? SEG_FS : SEG_GS;
}

static void miss_unless_fsgsbase(JitTranslator *t)
{
    emit_mov_imm(t->hot, HOST_ADDR, (uintptr_t)&t->jit->v->state->cr4);
    emit_test_mem(t, HOST_ADDR, CR4_FSGSBASE);
    jit_emit_miss(t, HOST_E);
}

bool jit_emit_read_base(JitTranslator *t, const JitInsn *in)
{
    if (t->is32)
        return false;
    jit_emit_park_flags(t, true);
    miss_unless_fsgsbase(t);
    jit_emit_unpark_flags(t);
    emit_rm(t->hot, true, HOST_LOAD, HOST_TEMP, GPR_RSP, jit_base_slot(based_segment(in)));
    emit_result(t, in->insn->rm, in->insn->op_size);
    return true;
}

bool jit_emit_write_base(JitTranslator *t, const JitInsn *in)
{
    SegIndex segment = based_segment(in);
    uint8_t guest = in->insn->rm;

    if (t->is32)
        return false;
    t->unit->pure = false;
    if (jit_is_spilled(guest))
        jit_emit_load_spill(t, HOST_TEMP, guest);
    else
        emit_rr(t->hot, true, HOST_LOAD, HOST_TEMP, jit_host(guest));
    if (in->insn->op_size != 8)
        emit_rr(t->hot, false, HOST_LOAD, HOST_TEMP, HOST_TEMP);
    jit_emit_park_flags(t, true);
    miss_unless_fsgsbase(t);
    emit_rr(t->hot, true, HOST_LOAD, HOST_ADDR, HOST_TEMP);
    emit_bytes(t->hot, (const uint8_t[]){0x49, 0xc1, 0xe2, 16}, 4); /* shl r10, 16 */
    emit_bytes(t->hot, (const uint8_t[]){0x49, 0xc1, 0xfa, 16}, 4); /* sar r10, 16 */
    emit_rr(t->hot, true, HOST_CMP, HOST_ADDR, HOST_TEMP);
    jit_emit_miss(t, HOST_NE); /* not canonical */
    jit_emit_unpark_flags(t);
    emit_set_base(t, segment);
    return true;
}

bool jit_emit_xlat(JitTranslator *t, const JitInsn *in)
{
    const HostAddress entry = {GPR_RBX, HOST_TEMP, 0, 0};
    unsigned seg = in->insn->seg;

    if (in->insn->addr_size != jit_word(t) || (seg != SEG_DS && seg != SEG_SS && seg != SEG_ES))
        return false;
    emit_bytes(t->hot, (const uint8_t[]){0x44, 0x0f, 0xb6, 0xd8}, 4); /* movzx r11d, al */
    jit_emit_access(t, &entry, 1, false);
    emit_rm(t->hot, false, 0x8a, GPR_RAX, HOST_ADDR, 0);
    return true;
}

/* BT and its like with a bit number in a register, which reaches beyond the operand. */
bool jit_fits_bit_string(const JitTranslator *t, const JitInsn *in)
{
    return in->insn->flags & INSN_MEM && in->operands[1].type == ZYDIS_OPERAND_TYPE_REGISTER;
}

bool jit_emit_bit_string(JitTranslator *t, const JitInsn *in)
{
    unsigned size = in->insn->op_size, seg = in->insn->seg;
    bool wide = size == 8, write = in->dec.mnemonic != ZYDIS_MNEMONIC_BT;
    const HostAddress word = {HOST_ADDR, HOST_TEMP, wide ? 3 : 2, 0};
    uint8_t bit = in->insn->reg;

    if (size == 2 || in->insn->addr_size != jit_word(t) || jit_is_spilled(bit))
        return false;
    if (seg != SEG_DS && seg != SEG_SS && seg != SEG_ES && !(seg == SEG_CS && !t->is32))
        return false;
    jit_emit_ea(t, in->insn, in->rip, HOST_ADDR, true);
    emit_rr(t->hot, true, wide ? HOST_LOAD : 0x63, HOST_TEMP, jit_host(bit)); /* movsxd */
    jit_emit_park_flags(t, false);
    emit_bytes(t->hot, (const uint8_t[]){0x49, 0xc1, 0xfb, wide ? 6 : 5}, 4); /* sar r11, */
    jit_emit_unpark_flags(t);
    jit_emit_access(t, &word, size, write);
    if (!write) {
        emit_rm(t->hot, wide, HOST_LOAD, HOST_ADDR, HOST_ADDR, 0);
        emit_rex(t->hot, wide, jit_host(bit), 0, HOST_ADDR);
        emit_bytes(t->hot, (const uint8_t[]){0x0f, in->dec.opcode, 0xc0 | (jit_host(bit) & 7) << 3 | (HOST_ADDR & 7)}, 3);
        return true;
    }
    emit_rr(t->hot, false, HOST_LOAD, HOST_TEMP, jit_host(bit));
    jit_emit_park_flags(t, false);
    emit_bytes(t->hot, (const uint8_t[]){0x41, 0x83, 0xe3, wide ? 63 : 31}, 4); /* and r11d, */
    jit_emit_unpark_flags(t);
    if (in->insn->flags & INSN_LOCK)
        emit8(t->hot, 0xf0);
    emit_rex(t->hot, wide, HOST_TEMP, 0, HOST_ADDR);
    emit_bytes(t->hot, (const uint8_t[]){0x0f, in->dec.opcode}, 2);
    emit_base_disp(t->hot, HOST_TEMP, HOST_ADDR, 0);
    return true;
}
