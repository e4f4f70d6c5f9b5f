/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Groups: accesses of a unit that share one check of their page.
 *
 *     push rbx ; push rbp ; sub rsp, 24 ; mov [rsp + 8], rax         all within 48 bytes of the stack
 *     mov rcx, [rdx + 8] ; cmp rsi, rcx ; cmovb rcx, [rdx]           two fields of one structure
 *     mov rcx, [rdi + rax * 8] ; add rcx, rsi ; add rax, 1 ; mov [rdi + rax * 8 - 8], rcx      an element of an array
 *
 *     mov rdi, rax ; mov rdx, [rax] ; add rax, 8 ; mov [rdi], rsi    copies count: both are at what RAX was
 *     mov r10d, eax ; add eax, 1 ; mov cl, [rdi + r10] ; mov [rdi + rax], cl                   an index of 32 bits
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
 * What is known of registers is told by jit-value.c. An index that is counted in 32 bits may wrap around. The lower half of one access's is that
 * of the first one's plus a distance, modulo 2^32; if both have no upper half, and the first one's plus the distance is in 0..2^32 - 1, it is
 * just that. So the check has a comparison of the first one's index with the distances of all the others (JitGroup.before and behind), and
 * if one of them wraps the unit is left for one without groups.
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
#include "accel/dbt/jit-value.h"

/* A longer range is in one page less often. */
#define SPAN_MAX 512
#define ARRAY_MAX (32 * KIB)

typedef struct GroupAccess {
    uint8_t base, index, scale; /* index INSN_NO_REG: there is none, and scale is 0 */
    bool write;
    bool array;                 /* with a scale: the index is limited */
    int64_t disp;
    unsigned size;
} GroupAccess;

/* What accesses of a group are near: the value base, or base + index * scale. */
typedef struct GroupKey {
    uint16_t base;
    uint8_t scale;      /* 0: no index */
    bool array;
    int64_t base_shift; /* with an index the base has to stay what it is; of an array: where it begins */
    JitValue index;     /* of the first access */
} GroupKey;

/* Those of accesses without a register: in one page, or near the base of a segment. */
typedef struct GroupFixed {
    SegIndex segment; /* SEG_DS: none with a base */
    uint16_t base;    /* the number of its base */
    bool moves;       /* with the unit */
    int64_t low;
    uint8_t number[2];
} GroupFixed;

typedef struct GroupSearch {
    JitValues values;
    unsigned fixed_count;
    GroupFixed fixed[BLOCK_MAX_INSNS];
    unsigned first; /* group that may go on */
    GroupKey keys[BLOCK_MAX_INSNS]; /* of groups, by their numbers */
} GroupSearch;

static void begin_search(const JitTranslator *t, GroupSearch *s)
{
    jit_values_begin(&s->values);
    s->fixed_count = 0;
    s->first = t->group_count;
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
    uint64_t limit;

    if (in->emit != jit_emit_reencoded || !mem || insn->base == INSN_NO_REG || insn->addr_size != 8 || insn->seg == SEG_FS ||
        insn->seg == SEG_GS)
        return false;
    *a = (GroupAccess){
        .base = insn->base,
        .index = insn->index,
        .scale = insn->index != INSN_NO_REG ? insn->scale : 0,
        .write = mem->actions & ZYDIS_OPERAND_ACTION_MASK_WRITE,
        .disp = (int64_t)insn->disp,
        .size = mem->size / 8,
    };
    limit = a->scale ? s->values.reg[a->index].limit : JIT_NO_LIMIT;
    a->array = limit < ARRAY_MAX && limit * a->scale + a->size <= ARRAY_MAX;
    return a->disp == (int32_t)a->disp;
}

/*
 * How far the value is from another, if anyone knows; *wraps: if only in 32 bits, between two that have no more. The other one plus
 * the distance is the value then as long as that sum is in 0..2^32 - 1: it is the same modulo 2^32.
 */
static bool distance_from(const JitValue *from, const JitValue *value, int64_t *distance, bool *wraps)
{
    *wraps = from->number != value->number;
    if (!*wraps) {
        *distance = value->shift - from->shift;
        return true;
    }
    *distance = (int32_t)(value->low_shift - from->low_shift);
    return from->low == value->low && jit_value_is_narrow(from) && jit_value_is_narrow(value) && ABS(*distance) <= SPAN_MAX;
}

/* Bytes behind where the access would be with an index of 0. */
static int64_t reach_of(const GroupSearch *s, const GroupAccess *a)
{
    return a->size + (a->array ? (int64_t)s->values.reg[a->index].limit * a->scale : 0);
}

static GroupKey key_of(const GroupSearch *s, const GroupAccess *a)
{
    const JitValue *base = &s->values.reg[a->base];

    if (a->array)
        return (GroupKey){.base = base->number, .array = true, .base_shift = base->shift + a->disp};
    if (!a->scale)
        return (GroupKey){.base = base->number};
    return (GroupKey){.base = base->number, .scale = a->scale, .base_shift = base->shift, .index = s->values.reg[a->index]};
}

/* The last group of this direction that an access with the key may be one of: its number + 1; 0: none. */
static uint8_t find_group(const JitTranslator *t, const GroupSearch *s, const GroupKey *key, bool write)
{
    int64_t distance;
    bool wraps;

    for (unsigned n = t->group_count; n > s->first; n--) {
        const JitGroup *g = &t->groups[n - 1];
        const GroupKey *near = &s->keys[n - 1];

        if ((g->kind == JIT_GROUP_VALUE || g->kind == JIT_GROUP_ARRAY) && g->write == write && near->base == key->base &&
            near->base_shift == key->base_shift && near->scale == key->scale && near->array == key->array &&
            (!key->scale || distance_from(&near->index, &key->index, &distance, &wraps)))
            return (uint8_t)n;
    }
    return 0;
}

/* The group's check has to tell whether the index of the first access plus the distance wraps around. */
static void note_wrap(JitGroup *g, const JitValue *first, int64_t distance)
{
    if (distance < 0)
        g->before = MAX(g->before, (uint16_t)-distance);
    else if (first->limit + (uint64_t)distance > UINT32_MAX)
        g->behind = MAX(g->behind, (uint16_t)distance);
}

/* Whether the group, which was found for the key, takes in the access. The first one has to reach the range's begin by a displacement. */
static bool join(JitTranslator *t, GroupSearch *s, JitInsn *in, const GroupAccess *a, const GroupKey *key, uint8_t group)
{
    JitGroup *g = &t->groups[group - 1];
    const JitValue *first = &s->keys[group - 1].index;
    int64_t distance = 0, shift = s->values.reg[a->base].shift, low, high;
    bool wraps = false;

    if (key->scale && distance_from(first, &key->index, &distance, &wraps))
        shift = (first->shift + distance) * key->scale;
    low = MIN(shift + a->disp, g->low);
    high = MAX(shift + a->disp + reach_of(s, a), g->high);
    if (high - low > (a->array ? (int64_t)ARRAY_MAX : SPAN_MAX) || low - g->shift != (int32_t)(low - g->shift))
        return false;
    if (wraps)
        note_wrap(g, first, distance);
    g->low = low;
    g->high = high;
    g->count++;
    in->shift = shift;
    in->group = group;
    return true;
}

static void begin_group(JitTranslator *t, GroupSearch *s, JitInsn *in, const GroupAccess *a, const GroupKey *key)
{
    int64_t shift = key->scale ? key->index.shift * key->scale : s->values.reg[a->base].shift;

    s->keys[t->group_count] = *key;
    t->groups[t->group_count] = (JitGroup){
        .kind = a->array ? JIT_GROUP_ARRAY : JIT_GROUP_VALUE,
        .scale = key->scale,
        .write = a->write,
        .shift = shift,
        .low = shift + a->disp,
        .high = shift + a->disp + reach_of(s, a),
        .count = 1,
    };
    in->shift = shift;
    in->group = (uint8_t)++t->group_count;
}

static void add_access(JitTranslator *t, GroupSearch *s, JitInsn *in, const GroupAccess *a)
{
    const GroupKey key = key_of(s, a);
    uint8_t loads = find_group(t, s, &key, false), stores = find_group(t, s, &key, true);

    in->base = a->base;
    in->index = a->index;
    if (a->write && !a->array && !stores && loads && join(t, s, in, a, &key, loads)) {
        t->groups[loads - 1].write = t->groups[loads - 1].known = true;
        return;
    }
    if (stores && join(t, s, in, a, &key, stores))
        return;
    if (!a->write && loads && join(t, s, in, a, &key, loads))
        return;
    begin_group(t, s, in, a, &key);
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
        .base = based ? s->values.segment_base[insn->seg == SEG_GS] : 0,
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

    t->group_count = 0;
    begin_search(t, &s);
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
            begin_search(t, &s);
            continue;
        }
        if (stack_access(t, in, &a) || operand_access(&s, in, &a))
            add_access(t, &s, in, &a);
        else if (fixed_access(&s, in, &fixed, &write))
            add_fixed(t, &s, in, &fixed, write);
        jit_values_follow(t, &s.values, in);
    }
    settle_groups(t);
}
