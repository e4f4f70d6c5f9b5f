/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Groups: accesses of a unit that share one check of their page.
 *
 *     push rbx ; push rbp ; sub rsp, 24 ; mov [rsp + 8], rax         all within 48 bytes of the stack
 *     mov rcx, [rdx + 8] ; cmp rsi, rcx ; cmovb rcx, [rdx]           two fields of one structure
 *
 * Accesses at a displacement from one register, which only constants are added to meanwhile, lie in a
 * range known when the unit is made. The first of them to run checks that the whole range is in one page; the
 * others go to their register plus the page's delta, which does not change while the unit runs: what may drop an
 * entry happens in the interpreter, and that ends the unit then (jit_interpret, by tlb_epoch). Loads
 * join accesses that are checked for writing. If a store comes behind loads all of them are checked so, but not by a walk,
 * which would say that the page was written: the page has to be known as writable, or else each goes by itself.
 *
 * Where the range does not lie in one page, or its page may have no entry, nothing has happened yet: the unit is
 * left for another one from this instruction on, without groups (JitUnit.plain).
 */
#include "accel/dbt/jit-translate.h"
#include "accel/dbt/native.h"

/* A longer range is in one page less often. */
#define SPAN_MAX 512

typedef struct GroupAccess {
    uint8_t base;
    bool write;
    int64_t disp;
    unsigned size;
} GroupAccess;

/* For each register: the groups that may go on (number + 1), by direction, and what was added to it so far. */
typedef struct GroupSearch {
    uint8_t open[16][2];
    int64_t shift[16];
} GroupSearch;

static bool stack_access(const JitTranslator *t, const JitInsn *in, GroupAccess *a)
{
    bool memory = in->insn->flags & INSN_MEM;

    *a = (GroupAccess){.base = GPR_RSP, .size = jit_word(t)};
    if (in->dec.operand_width != 64 || memory)
        return false;
    if (in->emit == jit_emit_push || in->emit == jit_emit_call) {
        a->write = true;
        a->disp = -(int64_t)jit_word(t);
    } else if (in->emit == jit_emit_leave) {
        a->base = GPR_RBP;
    }
    return in->emit == jit_emit_push || in->emit == jit_emit_call || in->emit == jit_emit_pop ||
           in->emit == jit_emit_ret || in->emit == jit_emit_leave;
}

static bool operand_access(const JitInsn *in, GroupAccess *a)
{
    const DbtInsn *insn = in->insn;
    const ZydisDecodedOperand *mem = jit_memory_operand(in);

    if (in->emit != jit_emit_reencoded || !mem || insn->base == INSN_NO_REG || insn->index != INSN_NO_REG ||
        insn->addr_size != 8 || insn->seg == SEG_FS || insn->seg == SEG_GS)
        return false;
    *a = (GroupAccess){
        .base = insn->base,
        .write = mem->actions & ZYDIS_OPERAND_ACTION_MASK_WRITE,
        .disp = (int64_t)insn->disp,
        .size = mem->size / 8,
    };
    return a->disp == (int32_t)a->disp;
}

/* Whether the group's range may grow by [low, high). */
static bool join(JitGroup *g, int64_t low, int64_t high)
{
    low = MIN(low, g->low);
    high = MAX(high, g->high);
    if (high - low > SPAN_MAX)
        return false;
    g->low = low;
    g->high = high;
    g->count++;
    return true;
}

static void add_access(JitTranslator *t, GroupSearch *s, JitInsn *in, const GroupAccess *a)
{
    int64_t low = s->shift[a->base] + a->disp, high = low + a->size;

    in->shift = s->shift[a->base];
    if (a->write && !s->open[a->base][true] && s->open[a->base][false]) {
        JitGroup *g = &t->groups[s->open[a->base][false] - 1];

        if (join(g, low, high)) {
            g->write = g->known = true;
            in->group = s->open[a->base][true] = s->open[a->base][false];
            return;
        }
    }
    for (unsigned write = 2; write-- > a->write;) {
        unsigned open = s->open[a->base][write];

        if (open && join(&t->groups[open - 1], low, high)) {
            in->group = (uint8_t)open;
            return;
        }
    }
    t->groups[t->group_count] = (JitGroup){.base = a->base, .write = a->write, .low = low, .high = high, .count = 1};
    in->group = s->open[a->base][a->write] = (uint8_t)++t->group_count;
}

/* What the instruction adds to the register it changes; false: who knows. */
static bool constant_step(const JitTranslator *t, const JitInsn *in, uint8_t reg, int64_t *step)
{
    const ZydisDecodedOperand *to = &in->operands[0], *from = &in->operands[1];
    const DbtInsn *insn = in->insn;
    bool is_first = to->type == ZYDIS_OPERAND_TYPE_REGISTER && native_gpr_number(to->reg.value) == reg;

    if (in->dec.operand_width != 64)
        return false;
    if (in->emit == jit_emit_push || in->emit == jit_emit_pop) {
        *step = in->emit == jit_emit_push ? -(int64_t)jit_word(t) : (int64_t)jit_word(t);
        return reg == GPR_RSP && !is_first;
    }
    if (in->emit == jit_emit_call || in->emit == jit_emit_ret) {
        *step = in->emit == jit_emit_call ? -(int64_t)jit_word(t) : (int64_t)(jit_word(t) + (in->insn->imm & 0xffff));
        return reg == GPR_RSP;
    }
    switch (in->dec.mnemonic) {
    case ZYDIS_MNEMONIC_ADD:
        *step = from->imm.value.s;
        return is_first && from->type == ZYDIS_OPERAND_TYPE_IMMEDIATE;
    case ZYDIS_MNEMONIC_SUB:
        *step = -from->imm.value.s;
        return is_first && from->type == ZYDIS_OPERAND_TYPE_IMMEDIATE;
    case ZYDIS_MNEMONIC_LEA:
        *step = (int64_t)insn->disp;
        return insn->base == reg && insn->index == INSN_NO_REG && insn->addr_size == 8;
    default:
        return false;
    }
}

static void note_writes(const JitTranslator *t, GroupSearch *s, const JitInsn *in)
{
    for (unsigned i = 0; i < in->dec.operand_count; i++) {
        const ZydisDecodedOperand *op = &in->operands[i];
        uint8_t reg = op->type == ZYDIS_OPERAND_TYPE_REGISTER ? native_gpr_number(op->reg.value) : INSN_NO_REG;
        int64_t step;

        if (reg == INSN_NO_REG || !(op->actions & ZYDIS_OPERAND_ACTION_MASK_WRITE))
            continue;
        if (constant_step(t, in, reg, &step) && s->shift[reg] + step == (int32_t)(s->shift[reg] + step)) {
            s->shift[reg] += step;
        } else {
            s->shift[reg] = 0;
            s->open[reg][0] = s->open[reg][1] = 0;
        }
    }
}

/* Those of one access are none. A group whose first access looks its page up in the tables keeps the delta in the frame. */
static void drop_single(JitTranslator *t)
{
    unsigned slots = 0;

    for (unsigned i = 0; i < t->count; i++) {
        JitInsn *in = &t->insns[i];
        JitGroup *g = in->group ? &t->groups[in->group - 1] : NULL;

        if (!g)
            continue;
        if (!g->seen && g->count > 1 && jit_is_hashed(t, i)) {
            g->hashed = true;
            g->slot = slots++;
        }
        g->seen = true;
        if (g->count < 2 || g->slot >= JIT_GROUP_SLOTS)
            in->group = 0;
    }
}

void jit_groups_find(JitTranslator *t)
{
    GroupSearch s = {0};

    t->group_count = 0;
    for (unsigned i = 0; i < t->count; i++)
        t->insns[i].group = 0;
    if (t->is32 || t->unit->plain)
        return;
    for (unsigned i = 0; i < t->count; i++) {
        JitInsn *in = &t->insns[i];
        GroupAccess a;

        if (!in->emit) {
            s = (GroupSearch){0};
            continue;
        }
        if (stack_access(t, in, &a) || operand_access(in, &a))
            add_access(t, &s, in, &a);
        note_writes(t, &s, in);
    }
    drop_single(t);
}
