/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Groups: accesses of a unit that share one check of their page.
 *
 *     push rbx ; push rbp ; sub rsp, 24 ; mov [rsp + 8], rax         all within 48 bytes of the stack
 *     mov rcx, [rdx + 8] ; cmp rsi, rcx ; cmovb rcx, [rdx]           two fields of one structure
 *     mov rcx, [rdi + rax * 8] ; add rcx, rsi ; add rax, 1 ; mov [rdi + rax * 8 - 8], rcx      an element of an array
 *
 *     mov rdi, rax ; mov rdx, [rax] ; add rax, 8 ; mov [rdi], rsi    copies count: both are at what RAX was
 *     mov rax, fs:[40] ; ... ; sub rax, fs:[40]                      what a thread has, or a processor (GS)
 *     mov rcx, [rip + 4096] ; inc qword [rip + 4112]                 variables of a page
 *     movzx esi, sil ; xor edx, [rbx + rsi * 4]                      an array with an index that cannot be larger than 255
 *
 * Accesses at a displacement from one value, which only constants are added to meanwhile, lie in a
 * range known when the unit is made. So do those with one base, one index and one scale, while the base stays what it is. The
 * first of them to run checks that the whole range is in one page; the
 * others go to their register plus the page's delta, which does not change while the unit runs: what may drop an
 * entry happens in the interpreter, and that ends the unit then (jit_interpret, by tlb_epoch). Loads
 * join accesses that are checked for writing. If a store comes behind loads all of them are checked so, but not by a walk,
 * which would say that the page was written: the page has to be known as writable, or else each goes by itself.
 *
 * An array's range is all that the index may reach, up to ARRAY_MAX: its site is a span from the begin (jit-span.c). Where its pages do not lie
 * side by side, or not all are known, that misses, and if it goes on to, each access is on its own (jit-site.c).
 *
 * Operands without a register (jit-fixed.c) share a check if they lie in one page, at constant addresses that move together when the unit
 * does, or in JIT_BASE_BYTES from one value of a segment's base: their range is what the check is for, wherever it is. What the first
 * one finds on the host waits in the frame for the others. Loads join stores here, not the other way round.
 *
 * Where the range does not lie in one page, or its page may have no entry, nothing has happened yet: the unit is
 * left for another one from this instruction on, without groups (JitUnit.plain).
 */
#include "accel/dbt/jit-translate.h"
#include "accel/dbt/native.h"

/* A longer range is in one page less often. */
#define SPAN_MAX 512
#define ARRAY_MAX (32 * KIB)
#define NO_LIMIT UINT64_MAX

typedef struct GroupAccess {
    uint8_t base, index, scale; /* index INSN_NO_REG: there is none, and scale is 0 */
    bool write;
    bool array;                 /* with a scale: the index is limited */
    int64_t disp;
    unsigned size;
} GroupAccess;

/* What a register has: what nobody can tell from what was there before gets a number, as do the registers at the begin. */
typedef struct GroupValue {
    uint16_t number;
    int64_t shift; /* what was added to it */
    uint64_t limit; /* it is not more than this */
} GroupValue;

/* Groups that may go on, of accesses near the value base, or base + index * scale: their numbers + 1, by direction. */
typedef struct GroupOpen {
    uint16_t base, index;
    uint8_t scale;      /* 0: no index */
    bool array;
    int64_t base_shift; /* with an index the base has to stay what it is; of an array: where it begins */
    uint8_t number[2];
} GroupOpen;

/* Those of accesses without a register: in one page, or near the base of a segment. */
typedef struct GroupFixed {
    SegIndex segment; /* SEG_DS: none with a base */
    uint16_t base;    /* the number of its base */
    bool moves;       /* with the unit */
    int64_t low;
    uint8_t number[2];
} GroupFixed;

typedef struct GroupSearch {
    uint16_t segment_base[2]; /* FS and GS: numbers of what they have */
    unsigned fixed_count;
    GroupFixed fixed[BLOCK_MAX_INSNS];
    GroupValue reg[16];
    uint16_t values; /* so many numbers are in use */
    unsigned count;
    GroupOpen open[BLOCK_MAX_INSNS];
} GroupSearch;

static void new_value(GroupSearch *s, uint8_t reg, uint64_t limit)
{
    s->reg[reg] = (GroupValue){.number = s->values++, .limit = limit};
}

static void begin_search(GroupSearch *s)
{
    s->values = 0;
    s->count = 0;
    s->fixed_count = 0;
    s->segment_base[0] = s->segment_base[1] = 0;
    for (uint8_t reg = 0; reg < 16; reg++)
        new_value(s, reg, NO_LIMIT);
}

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

static bool operand_access(const GroupSearch *s, const JitInsn *in, GroupAccess *a)
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
    a->array = a->scale && s->reg[a->index].limit < ARRAY_MAX && s->reg[a->index].limit * a->scale + a->size <= ARRAY_MAX;
    return a->disp == (int32_t)a->disp;
}

/* Whether the group's range may grow by [low, high). The first access has to reach its begin by a displacement. */
static bool join(JitGroup *g, int64_t low, int64_t high)
{
    low = MIN(low, g->low);
    high = MAX(high, g->high);
    if (high - low > (g->kind == JIT_GROUP_ARRAY ? (int64_t)ARRAY_MAX : SPAN_MAX) || low - g->shift != (int32_t)(low - g->shift))
        return false;
    g->low = low;
    g->high = high;
    g->count++;
    return true;
}

/* The groups the access may be one of. */
static GroupOpen *open_for(GroupSearch *s, const GroupAccess *a)
{
    GroupOpen key = {.base = s->reg[a->base].number, .scale = a->array ? 0 : a->scale, .array = a->array};
    GroupOpen *open = s->open;

    if (key.scale) {
        key.index = s->reg[a->index].number;
        key.base_shift = s->reg[a->base].shift;
    }
    if (a->array)
        key.base_shift = s->reg[a->base].shift + a->disp;
    for (; open < &s->open[s->count]; open++) {
        if (open->base == key.base && open->index == key.index && open->scale == key.scale && open->array == key.array &&
            open->base_shift == key.base_shift)
            return open;
    }
    s->count++;
    *open = key;
    return open;
}

static void add_access(JitTranslator *t, GroupSearch *s, JitInsn *in, const GroupAccess *a)
{
    const GroupValue *base = &s->reg[a->base], *index = a->scale ? &s->reg[a->index] : NULL;
    int64_t shift = index && !a->array ? index->shift * a->scale : base->shift;
    int64_t low = shift + a->disp, high = low + a->size + (a->array ? (int64_t)index->limit * a->scale : 0);
    uint8_t *open = open_for(s, a)->number;

    in->base = a->base;
    in->index = a->index;
    in->shift = shift;
    if (a->write && !a->array && !open[true] && open[false]) {
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
    t->groups[t->group_count] = (JitGroup){
        .kind = a->array ? JIT_GROUP_ARRAY : JIT_GROUP_VALUE,
        .scale = a->array ? 0 : a->scale,
        .write = a->write,
        .shift = shift,
        .low = low,
        .high = high,
        .count = 1,
    };
    in->group = open[a->write] = (uint8_t)++t->group_count;
}

/* key is what those it may share a check with have in common. */
static bool fixed_access(const GroupSearch *s, const JitInsn *in, GroupFixed *key, bool *write)
{
    const DbtInsn *insn = in->insn;
    const ZydisDecodedOperand *mem = jit_memory_operand(in);
    bool based = insn->seg == SEG_FS || insn->seg == SEG_GS;
    uint64_t value, reach = based ? JIT_BASE_BYTES : GUEST_PAGE_SIZE;

    if (in->emit != jit_emit_reencoded || !mem || insn->addr_size != 8 || !jit_constant_address(insn, in->rip, &value) ||
        (value & (reach - 1)) + mem->size / 8 > reach || (based && (int64_t)value != (int32_t)value))
        return false;
    *key = (GroupFixed){
        .segment = based ? insn->seg : SEG_DS,
        .base = based ? s->segment_base[insn->seg == SEG_GS] : 0,
        .moves = insn->flags & INSN_RIP_REL,
        .low = (int64_t)(value & ~(reach - 1)),
    };
    *write = mem->actions & ZYDIS_OPERAND_ACTION_MASK_WRITE;
    return true;
}

/* Loads join stores. Not the other way round: one more check of such a kind costs less than a page that is only read. */
static void add_fixed(JitTranslator *t, GroupSearch *s, JitInsn *in, const GroupFixed *key, bool write)
{
    GroupFixed *f = s->fixed;
    uint8_t group;

    while (f < &s->fixed[s->fixed_count] &&
           (f->segment != key->segment || f->base != key->base || f->moves != key->moves || f->low != key->low))
        f++;
    if (f == &s->fixed[s->fixed_count]) {
        *f = *key;
        s->fixed_count++;
    }
    group = f->number[true] ? f->number[true] : f->number[write];
    if (!group) {
        t->groups[t->group_count] = (JitGroup){
            .kind = key->segment == SEG_DS ? JIT_GROUP_PAGE : JIT_GROUP_BASE,
            .segment = key->segment,
            .write = write,
            .low = key->low,
        };
        group = f->number[write] = (uint8_t)++t->group_count;
    }
    in->group = group;
    t->groups[group - 1].count++;
}

/* What the instruction makes of a register it changes is register *from plus *step; false: who knows. */
static bool constant_step(const JitTranslator *t, const JitInsn *in, uint8_t reg, uint8_t *from, int64_t *step)
{
    const ZydisDecodedOperand *to = &in->operands[0], *with = &in->operands[1];
    const DbtInsn *insn = in->insn;
    bool is_first = to->type == ZYDIS_OPERAND_TYPE_REGISTER && native_gpr_number(to->reg.value) == reg;
    int64_t word = (int64_t)jit_word(t);

    *from = reg;
    if (in->dec.operand_width != 64)
        return false;
    if (in->emit == jit_emit_push || in->emit == jit_emit_pop) {
        *step = in->emit == jit_emit_push ? -word : word;
        return reg == GPR_RSP && !is_first;
    }
    if (in->emit == jit_emit_call || in->emit == jit_emit_ret) {
        *step = in->emit == jit_emit_call ? -word : word + (int64_t)(insn->imm & 0xffff);
        return reg == GPR_RSP;
    }
    if (in->emit == jit_emit_leave) {
        *from = GPR_RBP;
        *step = word;
        return reg == GPR_RSP;
    }
    switch (in->dec.mnemonic) {
    case ZYDIS_MNEMONIC_ADD:
        *step = with->imm.value.s;
        return is_first && with->type == ZYDIS_OPERAND_TYPE_IMMEDIATE;
    case ZYDIS_MNEMONIC_SUB:
        *step = -with->imm.value.s;
        return is_first && with->type == ZYDIS_OPERAND_TYPE_IMMEDIATE;
    case ZYDIS_MNEMONIC_LEA:
        *from = insn->base;
        *step = (int64_t)insn->disp;
        return insn->base != INSN_NO_REG && insn->index == INSN_NO_REG && insn->addr_size == 8;
    case ZYDIS_MNEMONIC_MOV:
        *from = with->type == ZYDIS_OPERAND_TYPE_REGISTER ? native_gpr_number(with->reg.value) : INSN_NO_REG;
        *step = 0;
        return *from != INSN_NO_REG;
    default:
        return false;
    }
}

/*
 * What it makes of the register, op, is not more than this. Only of instructions that write all of the register whatever happens:
 * BSF of zero, CMPXCHG and their like may leave the upper half as it was.
 */
static uint64_t limit_of(const JitInsn *in, const ZydisDecodedOperand *op, const GroupValue *before)
{
    const ZydisDecodedOperand *with = &in->operands[1];
    bool immediate = with->type == ZYDIS_OPERAND_TYPE_IMMEDIATE;
    uint8_t from = with->type == ZYDIS_OPERAND_TYPE_REGISTER ? native_gpr_number(with->reg.value) : INSN_NO_REG;
    uint64_t most = op->size == 64 ? NO_LIMIT : UINT32_MAX, was;
    unsigned count = immediate ? (unsigned)with->imm.value.u & (op->size - 1u) : 0;

    if (op != &in->operands[0] || op->size < 32)
        return NO_LIMIT;
    was = MIN(most, before[native_gpr_number(op->reg.value)].limit);
    switch (in->dec.mnemonic) {
    case ZYDIS_MNEMONIC_MOVZX:
        return with->size == 8 ? UINT8_MAX : UINT16_MAX;
    case ZYDIS_MNEMONIC_MOV:
        return from != INSN_NO_REG ? MIN(most, before[from].limit) : most;
    case ZYDIS_MNEMONIC_AND:
        return immediate ? MIN(was, with->imm.value.u & most) : was;
    case ZYDIS_MNEMONIC_SHR:
        return count ? was >> count : NO_LIMIT;
    default:
        return NO_LIMIT;
    }
}

/* SWAPGS, WRFSBASE, POP FS and their like. */
static bool changes_segments(const JitInsn *in)
{
    const ZydisDecodedOperand *to = &in->operands[0];

    return in->emit == jit_emit_swapgs || in->emit == jit_emit_write_base ||
           (to->type == ZYDIS_OPERAND_TYPE_REGISTER && to->actions & ZYDIS_OPERAND_ACTION_MASK_WRITE &&
            ZydisRegisterGetClass(to->reg.value) == ZYDIS_REGCLASS_SEGMENT);
}

static void note_writes(const JitTranslator *t, GroupSearch *s, const JitInsn *in)
{
    GroupValue before[16];

    if (changes_segments(in))
        s->segment_base[0] = s->segment_base[1] = s->values++;
    memcpy(before, s->reg, sizeof(before));
    for (unsigned i = 0; i < in->dec.operand_count; i++) {
        const ZydisDecodedOperand *op = &in->operands[i];
        uint8_t reg = op->type == ZYDIS_OPERAND_TYPE_REGISTER ? native_gpr_number(op->reg.value) : INSN_NO_REG;
        uint8_t from;
        int64_t step;

        if (reg == INSN_NO_REG || !(op->actions & ZYDIS_OPERAND_ACTION_MASK_WRITE))
            continue;
        if (constant_step(t, in, reg, &from, &step) && before[from].shift + step == (int32_t)(before[from].shift + step))
            s->reg[reg] = (GroupValue){before[from].number, before[from].shift + step, limit_of(in, op, before)};
        else
            new_value(s, reg, limit_of(in, op, before));
    }
    if (in->dec.meta.category == ZYDIS_CATEGORY_STRINGOP) { /* Zydis does not tell that CMPS and SCAS change these */
        new_value(s, GPR_RSI, NO_LIMIT);
        new_value(s, GPR_RDI, NO_LIMIT);
    }
}

/* What becomes of a group whose first access is instruction n. One of one access is none, but near a segment's base, where the
 * check is shared with other units. A group that looks its page up in the tables keeps the delta in the frame. */
static void settle(JitTranslator *t, JitGroup *g, unsigned n, unsigned *slots)
{
    bool shared = g->count > 1;

    if (g->kind == JIT_GROUP_ARRAY)
        shared = shared && !jit_is_hashed(t, n);
    else if (g->kind == JIT_GROUP_VALUE)
        g->hashed = shared && jit_is_hashed(t, n);
    else
        g->keeps = shared && *slots < JIT_GROUP_SLOTS;
    g->dropped = !shared || (g->hashed && *slots == JIT_GROUP_SLOTS) || (g->kind == JIT_GROUP_PAGE && !g->keeps);
    if (g->kind == JIT_GROUP_BASE)
        g->dropped = !jit_base_find(t, g);
    if (!g->dropped && (g->hashed || g->keeps))
        g->slot = (*slots)++;
}

static void settle_groups(JitTranslator *t)
{
    unsigned slots = 0;

    for (unsigned i = 0; i < t->count; i++) {
        JitInsn *in = &t->insns[i];
        JitGroup *g = in->group ? &t->groups[in->group - 1] : NULL;

        if (!g)
            continue;
        if (!g->seen)
            settle(t, g, i, &slots);
        g->seen = true;
        if (g->dropped)
            in->group = 0;
    }
}

/* Only the first one is known to reach the begin of the range. */
void jit_group_give_up(JitTranslator *t, uint8_t group)
{
    for (unsigned i = t->index; i < t->count; i++) {
        if (t->insns[i].group == group)
            t->insns[i].group = 0;
    }
}

void jit_groups_find(JitTranslator *t)
{
    GroupSearch s;

    begin_search(&s);
    t->group_count = 0;
    for (unsigned i = 0; i < t->count; i++)
        t->insns[i].group = 0;
    if (t->is32 || t->unit->plain)
        return;
    for (unsigned i = 0; i < t->count; i++) {
        JitInsn *in = &t->insns[i];
        GroupFixed fixed;
        GroupAccess a;
        bool write;

        if (!in->emit) {
            begin_search(&s);
            continue;
        }
        if (stack_access(t, in, &a) || operand_access(&s, in, &a))
            add_access(t, &s, in, &a);
        else if (fixed_access(&s, in, &fixed, &write))
            add_fixed(t, &s, in, &fixed, write);
        note_writes(t, &s, in);
    }
    settle_groups(t);
}
