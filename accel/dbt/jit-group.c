/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Groups: accesses of a unit that share one check of their page.
 *
 *     push rbx ; push rbp ; sub rsp, 24 ; mov [rsp + 8], rax         all within 48 bytes of the stack
 *     mov rcx, [rdx + 8] ; cmp rsi, rcx ; cmovb rcx, [rdx]           two fields of one structure
 *     mov rcx, [rdi + rax * 8] ; add rcx, rsi ; add rax, 1 ; mov [rdi + rax * 8 - 8], rcx      an element of an array
 *
 * Accesses at a displacement from one register, which only constants are added to meanwhile, lie in a
 * range known when the unit is made. So do those with one base, one index and one scale, while the base stays what it is. The first of them to run checks that the whole range is in one page; the
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
    uint8_t base, index, scale; /* index INSN_NO_REG: there is none, and scale is 0 */
    bool write;
    int64_t disp;
    unsigned size;
} GroupAccess;

/* Groups that may go on: their numbers + 1, by direction. */
typedef struct GroupOpen {
    uint8_t base, index, scale;
    uint8_t number[2];
} GroupOpen;

#define OPEN_MAX 16

/* What was added to each register so far. */
typedef struct GroupSearch {
    GroupOpen open[OPEN_MAX];
    unsigned next; /* to make room, modulo OPEN_MAX */
    int64_t shift[16];
} GroupSearch;

static bool stack_access(const JitTranslator *t, const JitInsn *in, GroupAccess *a)
{
    bool memory = in->insn->flags & INSN_MEM;

    *a = (GroupAccess){.base = GPR_RSP, .index = INSN_NO_REG, .size = jit_word(t)};
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

    if (in->emit != jit_emit_reencoded || !mem || insn->base == INSN_NO_REG || insn->addr_size != 8 || insn->seg == SEG_FS ||
        insn->seg == SEG_GS)
        return false;
    if (insn->index != INSN_NO_REG && (jit_is_spilled(insn->base) || jit_is_spilled(insn->index)))
        return false;
    *a = (GroupAccess){
        .base = insn->base,
        .index = insn->index,
        .scale = insn->index != INSN_NO_REG ? insn->scale : 0,
        .write = mem->actions & ZYDIS_OPERAND_ACTION_MASK_WRITE,
        .disp = (int64_t)insn->disp,
        .size = mem->size / 8,
    };
    return a->disp == (int32_t)a->disp;
}

/* Whether the group's range may grow by [low, high). The first access has to reach its begin by a displacement. */
static bool join(JitGroup *g, int64_t low, int64_t high)
{
    low = MIN(low, g->low);
    high = MAX(high, g->high);
    if (high - low > SPAN_MAX || low - g->shift != (int32_t)(low - g->shift))
        return false;
    g->low = low;
    g->high = high;
    g->count++;
    return true;
}

/* The groups the access may be one of. */
static GroupOpen *open_for(GroupSearch *s, const GroupAccess *a)
{
    GroupOpen *open;

    for (unsigned i = 0; i < OPEN_MAX; i++) {
        open = &s->open[i];
        if ((open->number[0] || open->number[1]) && open->base == a->base && open->index == a->index && open->scale == a->scale)
            return open;
    }
    open = &s->open[s->next++ % OPEN_MAX];
    *open = (GroupOpen){.base = a->base, .index = a->index, .scale = a->scale};
    return open;
}

static void add_access(JitTranslator *t, GroupSearch *s, JitInsn *in, const GroupAccess *a)
{
    int64_t shift = s->shift[a->base] + (a->scale ? s->shift[a->index] * a->scale : 0);
    int64_t low = shift + a->disp, high = low + a->size;
    uint8_t *open = open_for(s, a)->number;

    in->shift = shift;
    if (a->write && !open[true] && open[false]) {
        JitGroup *g = &t->groups[open[false] - 1];

        if (join(g, low, high)) {
            g->write = g->known = true;
            in->group = open[true] = open[false];
            return;
        }
    }
    for (unsigned write = 2; write-- > a->write;) {
        if (open[write] && join(&t->groups[open[write] - 1], low, high)) {
            in->group = open[write];
            return;
        }
    }
    t->groups[t->group_count] = (JitGroup){.base = a->base, .index = a->index, .scale = a->scale, .write = a->write,
                                           .shift = shift, .low = low, .high = high, .count = 1};
    in->group = open[a->write] = (uint8_t)++t->group_count;
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

/* The register changes: by a constant, or nobody knows how. */
static void close_groups(GroupSearch *s, uint8_t reg, bool constant)
{
    for (unsigned i = 0; i < OPEN_MAX; i++) {
        GroupOpen *open = &s->open[i];
        bool is_base = open->base == reg, is_index = open->scale && open->index == reg;

        if (constant ? is_base && open->scale : is_base || is_index)
            open->number[0] = open->number[1] = 0;
    }
}

static void note_writes(const JitTranslator *t, GroupSearch *s, const JitInsn *in)
{
    for (unsigned i = 0; i < in->dec.operand_count; i++) {
        const ZydisDecodedOperand *op = &in->operands[i];
        uint8_t reg = op->type == ZYDIS_OPERAND_TYPE_REGISTER ? native_gpr_number(op->reg.value) : INSN_NO_REG;
        bool constant;
        int64_t step;

        if (reg == INSN_NO_REG || !(op->actions & ZYDIS_OPERAND_ACTION_MASK_WRITE))
            continue;
        constant = constant_step(t, in, reg, &step) && s->shift[reg] + step == (int32_t)(s->shift[reg] + step);
        close_groups(s, reg, constant);
        s->shift[reg] = constant ? s->shift[reg] + step : 0;
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
