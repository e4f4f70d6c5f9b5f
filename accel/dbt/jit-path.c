/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Paths: what a hot unit is made of. Blocks run on over branches that are not taken; a path follows those that are,
 * too, so that flags, checks of the stack and the look at requests are not had anew at each jump.
 *
 *     jmp, call         go on at the target; where a call returns to is kept
 *     ret               goes on behind the call on the path, guarded: elsewhere the unit is left in front of it
 *     jcc               goes where more than half of the runs of the first block went; the other way is an exit
 *
 * Blocks count their runs until they are hot, and are only entered by jumps, so the count of a target's says how
 * often it was jumped to. A path ends where it would leave its page or code nobody has run, at indirect branches, where no
 * direction stands out, and where it comes back to itself. A short one that comes back to its begin goes round a few times:
 * what its turns access lies side by side, as a rule, and is one group (jit-group.c).
 *
 * Owner: the vCPU's thread.
 */
#include "accel/dbt/jit.h"

#define RETURNS_MAX 8
/* Instructions of all turns together. */
#define TURNS_MAX_INSNS 48

typedef struct PathSearch {
    DbtJit *jit;
    const DbtBlock *first;
    DbtJoin *join;
    int returns[RETURNS_MAX]; /* where calls on the path come back to */
    unsigned depth;
    unsigned turn; /* the number of the present turn's first instruction */
} PathSearch;

/* Where the path goes on: an offset from its begin, or one of these. */
enum { PATH_STRAIGHT = 1 << 20, PATH_ENDS };

static DbtBlock *block_at(const PathSearch *s, int offset)
{
    uint64_t gpa = s->first->gpa + (uint64_t)offset;
    DbtBlock *b;

    if ((gpa ^ s->first->gpa) >> GUEST_PAGE_BITS)
        return NULL;
    b = dbt_block_known(s->jit->v, gpa, s->first->mode);
    return b && !b->crosses ? b : NULL;
}

static bool is_on_path(const PathSearch *s, int offset)
{
    for (unsigned i = s->turn; i < s->join->count; i++) {
        if (s->join->insns[i].offset == offset)
            return true;
    }
    return false;
}

/* The path has come back to its begin: whether it goes round once more. */
static bool begin_turn(PathSearch *s)
{
    unsigned end = s->join->count;

    if (s->depth || 2 * end - s->turn > TURNS_MAX_INSNS)
        return false;
    for (unsigned i = s->turn; i < end; i++) {
        if (s->join->insns[i].flags & (INSN_REP | INSN_REPNE)) /* it may be left in the middle, and come back (jit-lockstep.c) */
            return false;
    }
    s->turn = end;
    return true;
}

uint8_t jit_path_sources(const DbtJit *jit, const JitUnit *unit)
{
    uint8_t links = 0;

    for (uint32_t i = unit->incoming; i && links < UINT8_MAX; i = jit->exits[i - 1].next)
        links++;
    return MAX(links, 1);
}

bool jit_path_begins_loop(const DbtJit *jit, const JitUnit *unit)
{
    for (uint32_t i = unit->incoming; i; i = jit->exits[i - 1].next) {
        const JitExit *exit = &jit->exits[i - 1];

        if (!exit->in_frame && jit->units[exit->unit].rip >= unit->rip)
            return true;
    }
    return false;
}

/* Most runs of the path's begin may be expected to come there next: more than half, if those who jump there do so equally often. */
static bool is_usual(PathSearch *s, int offset)
{
    const DbtBlock *b = block_at(s, offset);
    uint32_t runs = 0, hot = s->jit->v->accel->hot_after;

    if (offset == 0)
        return begin_turn(s);
    if (!b || is_on_path(s, offset))
        return false;
    if (b->hot)
        return b->sources < 2;
    for (const JitUnit *u = b->units; u; u = u->next_of_block) {
        if (u->mode == s->jit->mode && !u->plain)
            runs = (hot - MIN(hot, s->jit->area->runs[u->id % JIT_RUNS])) / jit_path_sources(s->jit, u);
    }
    return runs > hot / 2;
}

static int follow_always(PathSearch *s, int offset)
{
    if (offset == 0)
        return begin_turn(s) ? 0 : PATH_ENDS;
    return block_at(s, offset) && !is_on_path(s, offset) ? offset : PATH_ENDS;
}

static int follow_return(PathSearch *s)
{
    return s->depth ? follow_always(s, s->returns[--s->depth]) : PATH_ENDS;
}

/* last: nothing is known of what is behind. */
static int follow_condition(PathSearch *s, int target, int behind, bool last)
{
    if (target != behind && is_usual(s, target))
        return target;
    if (!last)
        return PATH_STRAIGHT;
    return is_usual(s, behind) ? behind : PATH_ENDS;
}

/* Behind an instruction at offset, of so many bytes: forms that compilers use. */
static int follow(PathSearch *s, const DbtInsn *insn, const uint8_t *bytes, int offset, bool last)
{
    int behind = offset + insn->len;
    int64_t distance = (int64_t)insn->imm;
    int target = distance == (int16_t)distance ? behind + (int)distance : PATH_STRAIGHT; /* nowhere */

    switch (bytes[0]) {
    case 0xe8:
        if (s->depth == RETURNS_MAX || target == behind)
            return PATH_ENDS;
        s->returns[s->depth++] = behind;
        return follow_always(s, target);
    case 0xe9:
    case 0xeb:
        return target == behind ? PATH_ENDS : follow_always(s, target);
    case 0xc3:
        return follow_return(s);
    case 0x70 ... 0x7f:
        return follow_condition(s, target, behind, last);
    case 0x0f:
        if (bytes[1] >> 4 == 8)
            return follow_condition(s, target, behind, last);
        return last ? PATH_ENDS : PATH_STRAIGHT;
    default:
        return last ? PATH_ENDS : PATH_STRAIGHT;
    }
}

/* Adds the block that begins at offset as far as control is in it; where it goes on. */
static int add_block(PathSearch *s, DbtBlock *b, int offset)
{
    const DbtInsn *insns = dbt_block_insns(s->jit->v, b);
    const uint8_t *bytes = b->bytes;
    int next = PATH_ENDS;

    for (unsigned i = 0; i < b->straight; i++) {
        if (!dbt_join_add(s->join, &insns[i], bytes, offset))
            return PATH_ENDS;
        next = follow(s, &insns[i], bytes, offset, i + 1 == b->straight);
        if (next != PATH_STRAIGHT)
            return next;
        bytes += insns[i].len;
        offset += insns[i].len;
        if (offset == 0 || is_on_path(s, offset))
            return follow_always(s, offset);
    }
    return next;
}

DbtBlock *jit_path(DbtJit *jit, DbtBlock *first)
{
    DbtVcpu *v = jit->v;
    DbtJoin join = {0};
    PathSearch s = {.jit = jit, .first = first, .join = &join};
    DbtBlock *b = first;
    int offset = 0;

    if (first->joined || first->crosses || v->code_bits != 64 || v->accel->one_insn_per_tb)
        return first;
    first->joined = true;
    while (b) {
        offset = add_block(&s, b, offset);
        b = offset < PATH_STRAIGHT ? block_at(&s, offset) : NULL;
    }
    if (join.pieces < 2 && join.count <= first->count)
        return first;
    b = dbt_join_finish(v, &join, first);
    jit->stats.paths += b != NULL;
    return b;
}
