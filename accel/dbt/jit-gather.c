/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Gathers of AVX2 in translated code (SDM vol. 2, VGATHERDPS and those behind it).
 *
 *     base + displacement in R10, index and mask to memory -> jit_gather: each element by the tables of the TLB
 *                                                          -> the data from memory, the mask cleared
 *
 * The elements may lie in as many pages, so nothing is gained by the host's own instruction. An element without an
 * entry in the tables leaves the whole instruction to the interpreter, which knows what of it is done when one faults.
 * Those with an opmask are always the interpreter's.
 */
#include "accel/dbt/fpu.h"
#include "accel/dbt/jit-translate.h"

/* What jit_gather has to know of the instruction. */
enum {
    GATHER_COUNT = 15,
    GATHER_QWORDS = 1 << 4,  /* elements of eight bytes, else four */
    GATHER_QINDEX = 1 << 5,  /* indices, likewise */
    GATHER_SCALE_SHIFT = 6,  /* log2, 2 bits */
    GATHER_CONTEXT_SHIFT = 8,
};

/* Called by glue: fills area.gather.data; 0: not all elements have entries. Vector registers are the guest's. */
__attribute__((target("general-regs-only"))) static uint64_t gather(DbtJit *jit, uint64_t base, uint32_t word)
{
    const MmuEntry *table = jit->v->mmu->tables[2 * (word >> GATHER_CONTEXT_SHIFT)];
    unsigned count = word & GATHER_COUNT, size = word & GATHER_QWORDS ? 8 : 4, shift = word >> GATHER_SCALE_SHIFT & 3;
    JitGather *g = &jit->area->gather;

    for (unsigned i = 0; i < count; i++) {
        uint64_t address = base + ((word & GATHER_QINDEX ? g->index.q[i] : (uint64_t)(int32_t)g->index.d[i]) << shift);
        const MmuEntry *e = &table[address >> GUEST_PAGE_BITS & (MMU_TLB_SIZE - 1)];
        const void *host = (const void *)(uintptr_t)(address + e->value);
        bool wanted = size == 8 ? g->mask.q[i] >> 63 : g->mask.d[i] >> 31;

        if (!wanted)
            continue;
        if (address - e->tag > GUEST_PAGE_SIZE - size)
            return 0;
        if (size == 8)
            g->data.q[i] = *(const volatile MmuU64 *)host;
        else
            g->data.d[i] = *(const volatile MmuU32 *)host;
    }
    return 1;
}

/* R10: the base, R11: the word; ZF: not done. Changes both. */
void jit_gather_glue(DbtJit *jit, JitEmit *e)
{
    jit->glue.gather = e->at;
    jit_glue_push(e);
    emit_mov_imm(e, GPR_RDI, (uintptr_t)jit);
    emit_rr(e, true, HOST_LOAD, GPR_RSI, GPR_R10);
    emit_rr(e, false, HOST_LOAD, GPR_RDX, GPR_R11);
    jit_glue_call(jit, e, (uintptr_t)gather, 8 + JIT_GLUE_PUSHED);
    emit_rr(e, true, HOST_LOAD, GPR_R10, GPR_RAX);
    jit_glue_pop(e);
    emit_bytes(e, (const uint8_t[]){0x4d, 0x85, 0xd2, 0xc3}, 4); /* test r10, r10; ret */
}

/* An instruction of map 0F with VEX.pp between a vector register and gs:[place]. */
static void emit_vector(JitTranslator *t, bool wide, uint8_t pp, uint8_t opcode, uint8_t reg, size_t place)
{
    const HostAddress at = {HOST_NO_REG, HOST_NO_REG, 0, (int32_t)jit_area_offset(t->jit, place)};

    emit_bytes(t->hot, (const uint8_t[]){0x65, 0xc5, (reg & 8 ? 0 : 0x80) | 0x78 | wide << 2 | pp, opcode}, 4);
    emit_address(t->hot, reg, &at);
}

static void emit_store(JitTranslator *t, uint8_t reg, size_t place)
{
    emit_vector(t, true, 2, 0x7f, reg, place); /* vmovdqu ymm */
}

/* As many bytes as the elements have; the rest of the register becomes zero. */
static void emit_load(JitTranslator *t, uint8_t reg, size_t place, unsigned bytes)
{
    if (bytes == 8)
        emit_vector(t, false, 2, 0x7e, reg, place); /* vmovq */
    else
        emit_vector(t, bytes == 32, 2, 0x6f, reg, place); /* vmovdqu */
}

/* vpxor reg, reg, reg. */
static void emit_clear(JitTranslator *t, uint8_t reg)
{
    emit_bytes(t->hot, (const uint8_t[]){0xc4, reg & 8 ? 0x41 : 0xe1, (~reg & 15) << 3 | 1, 0xef, 0xc0 | (reg & 7) * 9}, 5);
}

/* base + displacement in HOST_ADDR; flags stay. */
static void emit_base(JitTranslator *t, const JitInsn *in)
{
    DbtInsn plain = *in->insn;

    plain.index = INSN_NO_REG; /* a vector */
    plain.scale = 1;
    jit_emit_ea(t, &plain, in->rip, HOST_ADDR, true);
    if (plain.seg == SEG_FS || plain.seg == SEG_GS)
        jit_emit_add_segment(t, plain.seg);
}

bool jit_fits_gather(const JitTranslator *t, const JitInsn *in)
{
    return !t->is32 && in->insn->handler == fpu_gather && in->insn->addr_size == 8 && t->jit->mode_key & JIT_MODE_AVX;
}

bool jit_emit_gather(JitTranslator *t, const JitInsn *in)
{
    const DbtInsn *insn = in->insn;
    unsigned count = (unsigned)insn->imm, size = insn->sub;
    uint32_t word = count | (size == 8 ? GATHER_QWORDS : 0) | (insn->op_size == 8 ? GATHER_QINDEX : 0) |
                    (uint32_t)__builtin_ctz(insn->scale) << GATHER_SCALE_SHIFT |
                    (uint32_t)jit_context(t) << GATHER_CONTEXT_SHIFT;

    emit_base(t, in);
    emit_store(t, insn->index, offsetof(JitArea, gather.index));
    emit_store(t, insn->rm, offsetof(JitArea, gather.mask));
    emit_store(t, insn->reg, offsetof(JitArea, gather.data));
    jit_emit_park_flags(t, true);
    emit_mov_imm(t->hot, HOST_TEMP, word);
    emit_call(t->hot, t->jit->glue.gather);
    jit_emit_miss(t, HOST_E);
    jit_emit_unpark_flags(t);
    emit_load(t, insn->reg, offsetof(JitArea, gather.data), count * size);
    emit_clear(t, insn->rm);
    return true;
}
