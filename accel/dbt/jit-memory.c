/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Memory operands in translated code: effective address, and the look at the software TLB (mmu.h).
 *
 *     lea  r10, [effective address]
 *     mov  r11d, r10d ; shr r11d, 8 ; and r11d, 0xfff0     index of the entry, in bytes
 *     sub  r10, gs:[r11 + table]                           offset in the page, if it is the page
 *     cmp  r10, 4096 - size ; ja miss                      neither another page nor across its end
 *     add  r10, gs:[r11 + table + 8]                       host address
 *
 * If flags are needed behind it they wait in AX meanwhile, and guest RAX in the frame.
 */
#include "accel/dbt/jit-translate.h"
#include "accel/dbt/mmu-priv.h"

/* Flags-neutral: lea a, [a + b]. */
static void add_registers(JitTranslator *t, uint8_t a, uint8_t b)
{
    const HostAddress sum = {a, b, 0, 0};

    emit_lea(t->hot, true, a, &sum);
}

void jit_emit_ea(JitTranslator *t, const DbtInsn *insn, uint64_t rip, bool *constant, uint64_t *value)
{
    bool wide = insn->addr_size == 8;
    HostAddress a = {HOST_NO_REG, HOST_NO_REG, (uint8_t)__builtin_ctz(insn->scale), (int32_t)insn->disp};

    *constant = insn->base == INSN_NO_REG && insn->index == INSN_NO_REG;
    if (*constant) {
        *value = (uint64_t)insn->disp + (insn->flags & INSN_RIP_REL ? rip + insn->len : 0);
        if (!wide)
            *value = (uint32_t)*value;
        return;
    }
    if (insn->base != INSN_NO_REG) {
        a.base = jit_host(insn->base);
        if (jit_is_spilled(insn->base)) {
            jit_emit_load_spill(t, HOST_ADDR, insn->base);
            a.base = HOST_ADDR;
        }
    }
    if (insn->index != INSN_NO_REG) {
        a.index = jit_host(insn->index);
        if (jit_is_spilled(insn->index)) {
            jit_emit_load_spill(t, HOST_TEMP, insn->index);
            a.index = HOST_TEMP;
        }
    }
    if (a.index != HOST_NO_REG || a.disp || !wide)
        emit_lea(t->hot, wide, HOST_ADDR, &a);
    else if (a.base != HOST_ADDR)
        emit_rr(t->hot, true, HOST_LOAD, HOST_ADDR, a.base);
}

/* HOST_ADDR: linear address to host address. index HOST_NO_REG: the entry is at a constant place. */
static void emit_lookup(JitTranslator *t, uint8_t index, int32_t entry, unsigned size)
{
    emit_gs(t->hot, true, HOST_SUB, HOST_ADDR, index, entry);
    emit_cmp_imm(t->hot, HOST_ADDR, (int32_t)(GUEST_PAGE_SIZE - size));
    g_assert(t->miss_count < G_N_ELEMENTS(t->misses));
    t->misses[t->miss_count++] = emit_jcc(t->hot, HOST_A, 0);
    emit_gs(t->hot, true, HOST_ADD, HOST_ADDR, index, entry + (int32_t)offsetof(MmuEntry, value));
}

static void emit_check(JitTranslator *t, unsigned size, bool write, const uint64_t *constant)
{
    MmuContext context = t->jit->mode_key >> JIT_MODE_CONTEXT_SHIFT & 3;
    int32_t table = (int32_t)((2 * context + write) * sizeof(MmuEntry[MMU_TLB_SIZE]));
    bool live = t->insns[t->index].live;

    if (live) {
        emit_rm(t->hot, true, HOST_STORE, GPR_RAX, GPR_RSP, JIT_FRAME(rax));
        emit_flags_to_ax(t->hot);
        t->miss_flags = true;
    }
    if (constant) {
        uint64_t slot = *constant >> GUEST_PAGE_BITS & (MMU_TLB_SIZE - 1);

        emit_lookup(t, HOST_NO_REG, table + (int32_t)(slot * sizeof(MmuEntry)), size);
    } else {
        emit_rr(t->hot, false, HOST_LOAD, HOST_TEMP, HOST_ADDR);
        /* shr r11d, 8; and r11d, 0xfff0 */
        emit_bytes(t->hot, (const uint8_t[]){0x41, 0xc1, 0xeb, 0x08, 0x41, 0x81, 0xe3}, 7);
        emit32(t->hot, (MMU_TLB_SIZE - 1) * sizeof(MmuEntry));
        emit_lookup(t, HOST_TEMP, table, size);
    }
    if (live) {
        emit_flags_from_ax(t->hot);
        emit_rm(t->hot, true, HOST_LOAD, GPR_RAX, GPR_RSP, JIT_FRAME(rax));
    }
}

/* Whether accesses through the segment need its base only. */
static bool segment_is_inline(const JitTranslator *t, SegIndex seg, bool write)
{
    unsigned shift = JIT_MODE_SEGS_SHIFT + (write ? 6 : 0);

    return !t->is32 || t->jit->mode_key >> (shift + seg) & 1;
}

bool jit_emit_operand(JitTranslator *t, const JitInsn *in, unsigned size, bool write)
{
    const DbtInsn *insn = in->insn;
    bool constant, based = !t->is32 && (insn->seg == SEG_FS || insn->seg == SEG_GS);
    uint64_t value;

    if (!segment_is_inline(t, insn->seg, write) || insn->addr_size == 2)
        return false;
    jit_emit_ea(t, insn, in->rip, &constant, &value);
    if (constant)
        emit_mov_imm(t->hot, HOST_ADDR, value);
    if (based) {
        emit_rm(t->hot, true, HOST_LOAD, HOST_TEMP, GPR_RSP,
                JIT_FRAME(seg_base) + (insn->seg == SEG_GS ? 8 : 0));
        add_registers(t, HOST_ADDR, HOST_TEMP);
    }
    emit_check(t, size, write, constant && !based ? &value : NULL);
    return true;
}

void jit_emit_access(JitTranslator *t, const HostAddress *a, unsigned size, bool write)
{
    emit_lea(t->hot, !t->is32, HOST_ADDR, a);
    emit_check(t, size, write, NULL);
}

void jit_emit_want_vectors(JitTranslator *t)
{
    bool live = t->insns[t->index].live;
    uint32_t jump;

    if (live) {
        emit_rm(t->hot, true, HOST_STORE, GPR_RAX, GPR_RSP, JIT_FRAME(rax));
        emit_flags_to_ax(t->hot);
    }
    emit8(t->hot, 0x83); /* cmp dword [rsp + vectors], 0 */
    emit_base_disp(t->hot, 7, GPR_RSP, JIT_FRAME(vectors));
    emit8(t->hot, 0);
    jump = emit_jcc(t->hot, HOST_E, t->cold->at);
    emit_call(t->cold, t->jit->glue.load_vectors);
    emit_rm(t->cold, true, 0xc7, 0, GPR_RSP, JIT_FRAME(vectors)); /* mov qword, 1 */
    emit32(t->cold, 1);
    emit_jmp(t->cold, jump + 4);
    if (live) {
        emit_flags_from_ax(t->hot);
        emit_rm(t->hot, true, HOST_LOAD, GPR_RAX, GPR_RSP, JIT_FRAME(rax));
    }
}

void jit_emit_misses(JitTranslator *t)
{
    uint32_t stub = t->cold->at;

    if (!t->miss_count)
        return;
    if (t->miss_flags) {
        emit_flags_from_ax(t->cold);
        emit_rm(t->cold, true, HOST_LOAD, GPR_RAX, GPR_RSP, JIT_FRAME(rax));
    }
    emit_mov_imm(t->cold, HOST_TEMP, JIT_ID(t->unit->id, JIT_EXIT_INSN + t->index));
    emit_call(t->cold, t->jit->glue.interpret[t->flags_in_frame]);
    emit_jmp(t->cold, t->hot->at);
    for (unsigned i = 0; i < t->miss_count; i++)
        emit_patch(t->hot, t->misses[i], stub);
}
