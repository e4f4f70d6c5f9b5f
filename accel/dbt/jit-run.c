/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The dispatcher: finds or makes the unit at cs:rip, enters it, and learns from how it comes back.
 *
 *     block -> unit? --no--> hot? --no--> interpret the block
 *        ^      | yes          | yes
 *        |      v              v
 *        |    enter <------ translate
 *        |      |
 *        +------+ direct exit: link it to the unit found next
 *               + indirect exit: enter the unit found next into the jump cache
 *               + again: a request, or the page has moved
 *               + hot: made anew, with site entries
 *               + left: the interpreter ended the unit (fault, mode change, watched code written)
 */
#include "accel/dbt/jit.h"

#include "accel/dbt/exec.h"
#include "accel/dbt/guest-debug.h"
#include "accel/dbt/mmu-priv.h"
#include "accel/dbt/op-util.h"
#include "core/error.h"
#include "core/log.h"

/* For each doubling of so many writes to a page's code it stays with the interpreter twice as long. */
#define PAGE_WRITES_COOL 8
#define PAGE_COOL_MAX 8u

static void set_flags(DbtJit *jit)
{
    jit->area->flags = flags_to_ax(jit->v->state);
}

static void take_flags(DbtJit *jit)
{
    flags_from_ax(jit->v->state, jit->area->flags);
}

/* Where the unit would go on behind instruction n, which the interpreter has run, or not finished if it is repeated. What ends a block
 * ends the unit. */
static unsigned next_inside(const DbtJit *jit, const JitUnit *unit, const DbtInsn *insn, unsigned n)
{
    uint64_t offset = jit->v->state->rip - unit->rip;
    bool leaves = jit->step == DBT_LEAVE;

    if (leaves && insn->flags & (INSN_REP | INSN_REPNE) && offset == (uint64_t)insn->offset)
        return n;
    if (n + 1 == unit->block->count || offset != (uint64_t)insn[1].offset)
        return JIT_NOT_LEFT;
    return leaves && insn[1].offset == insn->offset + insn->len ? JIT_NOT_LEFT : n + 1;
}

/* Runs instruction number n of the unit; true: go on behind it. */
static bool interpret(DbtJit *jit, const JitUnit *unit, unsigned n)
{
    DbtVcpu *v = jit->v;
    CpuState *s = v->state;
    const DbtInsn *insn = &dbt_block_insns(v, unit->block)[n];
    uint64_t epoch = v->tlb_epoch;

    s->rip = unit->rip + (uint64_t)insn->offset;
    if (v->code_bits == 32)
        s->rip = (uint32_t)s->rip;
    jit->stats.interpreted++;
    jit->step = insn->handler(v, insn);
    if (jit->step == DBT_NEXT)
        s->rip += insn->len;
    if (v->accel->lock_step)
        jit->left_at = next_inside(jit, unit, insn, n);
    if (jit->step != DBT_NEXT)
        return false;
    if (n + 1 < unit->block->count && s->rip != unit->rip + (uint64_t)insn[1].offset) { /* a branch that was expected to be taken */
        jit->step = DBT_LEAVE;
        return false;
    }
    if (vcpu_requests(v->cpu)) /* the instruction's own device may have asked without a kick */
        __atomic_store_n(&jit->area->go_on, 0, __ATOMIC_RELAXED);
    return v->limit && epoch == v->tlb_epoch && jit->x87_masked == jit_x87_is_masked(&v->state->fpu);
}

/* The interpreter ended a unit: whether translated code goes on at area.resume without the dispatcher. */
static bool find_next(DbtJit *jit)
{
    DbtVcpu *v = jit->v;
    DbtBlock *block;
    JitUnit *u;

    if (jit->step == DBT_FAULT || !jit->goes_on || v->attention || vcpu_requests(v->cpu) ||
        !__atomic_load_n(&jit->area->go_on, __ATOMIC_RELAXED))
        return false;
    if (v->code_bits != 64)
        v->state->rip = (uint32_t)v->state->rip;
    jit_units_sync(jit);
    block = dbt_block_find(v);
    if (!block || jit_mode_now(jit) == JIT_NO_MODE)
        return false;
    u = jit_unit_find(jit, block, v->state->rip, false);
    if (!u)
        return false;
    jit_unit_reachable(jit, u);
    jit->area->resume = (uintptr_t)(jit->rx + u->body);
    v->limit = v->cache->scratch; /* not NULL */
    return true;
}

uint32_t jit_interpret(DbtJit *jit, uint32_t id)
{
    uint32_t result = JIT_GO_ON;
    JitUnit *unit = &jit->units[id >> 8];

    take_flags(jit);
    if (G_UNLIKELY(jit->area->site_tired))
        jit_sites_adapt(jit, unit); /* the code stays until it has ended */
    if (!interpret(jit, unit, (id & 0xff) - JIT_EXIT_INSN))
        result = find_next(jit) ? JIT_GO_ON_ELSEWHERE : JIT_LEAVE;
    set_flags(jit);
    return result;
}

bool jit_signal(DbtVcpu *v, uint64_t *rip, uint64_t *r11)
{
    DbtJit *jit = v->jit;
    uint32_t offset = (uint32_t)(*rip - (uintptr_t)jit->rx);
    const JitUnit *u;
    unsigned n;

    if (*rip - (uintptr_t)jit->rx >= jit->size)
        return false;
    u = jit_unit_at(jit, offset);
    if (!u || offset < u->body)
        return false;
    for (n = u->block->count - 1; n > 0 && u->begin + jit->offsets[u->offsets + n] > offset; n--)
        ;
    *r11 = JIT_ID(u->id, JIT_EXIT_INSN + n);
    if (jit->area->x87)
        jit_x87_note_before(jit, u, n);
    *rip = (uintptr_t)jit->rx + jit->glue.leave[(int)n > u->save_point];
    return true;
}

/* How often a block is entered before it is translated: longer where code has been written over often, up
 * to where interpreting it cost as much as translating it would. */
static uint32_t heat_needed(const DbtJit *jit, const DbtBlock *block)
{
    uint32_t after = jit->v->accel->translate_after;
    uint32_t written = __atomic_load_n(block->page_generation[0], __ATOMIC_RELAXED) / PAGE_WRITES_COOL;
    unsigned shift = 32 - (unsigned)__builtin_clz(written | 1) - !written;

    return after == 1 ? 1 : MIN(after << MIN(shift + jit->crowded, PAGE_COOL_MAX), UINT16_MAX); /* 1: always at once */
}

/* The last unit was left for one without groups, which is still to run. */
static bool wants_plain(const DbtJit *jit)
{
    const JitExit *exit = &jit->exits[jit->pending_exit - 1];

    return jit->pending_exit && exit->plain && exit->rip == jit->v->state->rip;
}

/* The unit for the block, made if the block has become hot. NULL: interpret it. */
static JitUnit *unit_of(DbtJit *jit, DbtBlock *block)
{
    uint64_t rip = jit->v->state->rip;
    bool plain = wants_plain(jit);
    JitUnit *u = jit_unit_find(jit, block, rip, plain);

    if (!u && block->units && !plain)
        u = jit_unit_move(jit, block, rip);
    if (u)
        return u;
    if (block == jit->v->cache->once)
        return NULL;
    /* One whose instructions are gone must be decoded in any case; where memory is short they always are. */
    block->heat += block->heat < UINT16_MAX;
    if (!plain && block->heat < heat_needed(jit, block) && (block->insns || jit->crowded))
        return NULL;
    if (block->hot && !plain)
        block = jit_path(jit, block);
    return block ? jit_translate(jit, block, rip, plain) : NULL;
}

/*
 * The last instruction of the unit was an indirect branch to an address that is not canonical: its
 * #GP belongs to the branch itself. Takes its effect on RSP back and has the interpreter do it.
 */
static DbtStep refuse_target(DbtJit *jit, const JitUnit *unit)
{
    unsigned n = unit->block->count - 1;
    const DbtInsn *insn = &dbt_block_insns(jit->v, unit->block)[n];
    uint64_t *rsp = &jit->v->state->gpr[GPR_RSP];

    if (insn->mnemonic == ZYDIS_MNEMONIC_RET)
        *rsp -= 8 + (insn->imm & 0xffff);
    else if (insn->mnemonic == ZYDIS_MNEMONIC_CALL)
        *rsp += 8;
    interpret(jit, unit, n);
    return jit->step;
}

void jit_unit_counted(DbtJit *jit, JitUnit *u)
{
    jit->not_run = true;
    if (u->block->sites_watched) {
        jit_sites_watched(jit, u);
        return;
    }
    u->block->hot = true;
    u->block->sources = jit_path_sources(jit, u);
    u->block->begins_loop = jit_path_begins_loop(jit, u);
    jit->stats.hot++;
    dbt_jit_drop_block(jit->v, u->block);
}

/* What the exit says about the state. rip is that of the next instruction, but for DBT_NEXT. */
static DbtStep after_unit(DbtJit *jit, uint32_t id)
{
    DbtVcpu *v = jit->v;
    JitUnit *u = &jit->units[id >> 8];
    uint32_t what = id & 0xff;

    jit->jumped = jit->not_run = false;
    if (id == JIT_EXIT_LEFT)
        return jit->step;
    jit->left_at = JIT_NOT_LEFT;
    take_flags(jit);
    if (what <= JIT_EXIT_MAX) {
        jit->pending_exit = u->first_exit + what + 1;
        v->state->rip = jit->exits[u->first_exit + what].rip;
        if (jit->exits[u->first_exit + what].inside)
            jit->left_at = jit->exits[u->first_exit + what].insn;
        if (G_UNLIKELY(jit->area->site_tired))
            jit_sites_adapt(jit, u);
    } else if (what == JIT_EXIT_INDIRECT) {
        if (v->code_bits == 64 && !is_canonical(jit->area->target))
            return refuse_target(jit, u);
        v->state->rip = jit->area->target;
        jit->jumped = true;
    } else if (what == JIT_EXIT_AGAIN) {
        v->state->rip = u->rip;
    } else if (what == JIT_EXIT_COUNTED) {
        v->state->rip = u->rip;
        jit_unit_counted(jit, u);
    } else {
        interpret(jit, u, what - JIT_EXIT_INSN);
        return jit->step;
    }
    return DBT_LEAVE;
}

DbtStep jit_run_unit(DbtJit *jit, JitUnit *u)
{
    set_flags(jit);
    jit->v->limit = jit->v->cache->scratch; /* not NULL */
    jit->stats.entries++;
    return after_unit(jit, jit_code_enter(jit, u->body));
}

/* The unit at cs:rip was found through the TLB: what came back from the last one may lead to it. */
static void note_arrival(DbtJit *jit, JitUnit *u)
{
    jit_unit_reachable(jit, u);
    if (jit->pending_exit && jit->exits[jit->pending_exit - 1].rip == u->rip &&
        jit->exits[jit->pending_exit - 1].plain == u->plain)
        jit_unit_link(jit, &jit->exits[jit->pending_exit - 1], u);
    if (jit->jumped) {
        jit->stats.jump_misses++;
        jit_unit_remember_jump(jit, u);
    }
    jit->pending_exit = 0;
    jit->jumped = false;
}

void dbt_jit_run(DbtVcpu *v)
{
    DbtJit *jit = v->jit;
    DbtBlock *block;
    JitUnit *u;

    __atomic_exchange_n(&jit->area->go_on, JIT_JUMP_MASK, __ATOMIC_SEQ_CST);
    if (!wants_plain(jit))
        jit->pending_exit = 0;
    jit->jumped = false;
    while (!vcpu_requests(v->cpu) && !v->attention) {
        jit_units_sync(jit);
        block = dbt_block_find(v);
        if (!block) {
            dbt_after_block(v, DBT_FAULT);
            return;
        }
        u = jit_mode_now(jit) == JIT_NO_MODE ? NULL : unit_of(jit, block);
        if (!u) {
            dbt_run_block(v, block);
            return;
        }
        if (G_UNLIKELY(log_enabled(LOG_EXEC)))
            dbt_log_block(v, block);
        if (G_UNLIKELY(v->accel->lock_step)) {
            dbt_after_block(v, jit_lockstep(jit, u));
        } else {
            note_arrival(jit, u);
            jit->goes_on = !log_enabled(LOG_EXEC);
            dbt_after_block(v, jit_run_unit(jit, u));
            jit->goes_on = false;
        }
        if (!__atomic_load_n(&jit->area->go_on, __ATOMIC_RELAXED))
            return;
    }
}

DbtStep dbt_jit_run_once(DbtVcpu *v, bool *translated)
{
    DbtJit *jit = v->jit;
    DbtBlock *block;
    JitUnit *u = NULL;
    DbtStep step;

    jit_units_sync(jit);
    block = dbt_block_find(v);
    *translated = false;
    if (!block)
        return DBT_FAULT;
    if (jit_mode_now(jit) != JIT_NO_MODE)
        u = unit_of(jit, block);
    if (!u)
        return DBT_NEXT;
    *translated = true;
    jit->pending_exit = 0;
    step = jit_run_unit(jit, u);
    while (wants_plain(jit) && (block = dbt_block_find(v)) && (u = unit_of(jit, block)))
        step = jit_run_unit(jit, u);
    dbt_jit_x87_home(v);
    return step;
}

/* --- Life cycle. --- */

void dbt_jit_release(DbtVcpu *v)
{
    DbtJit *jit = v->jit;

    if (!jit)
        return;
    jit_lockstep_release(jit);
    jit_translator_release(jit);
    jit_sites_release(jit);
    jit_units_release(jit);
    jit_parts_release(jit);
    jit_gdb_release(jit);
    jit_code_release(jit);
    g_free(jit);
    v->jit = NULL;
}

bool dbt_jit_init(DbtVcpu *v, GError **errp)
{
    DbtJit *jit = g_new0(DbtJit, 1);

    v->jit = jit;
    jit->v = v;
    jit->area = dbt_mmu_area(v, &jit->tables);
    jit->area->go_on = JIT_JUMP_MASK;
    jit->x87_available = jit_x87_available();
    jit_string_init(jit);
    if (!jit_code_init(jit, errp))
        return false;
    if (!jit_parts_init(jit))
        return error_set_errno(errp, errno, "cannot map tables for %zu KiB of translated code (-accel dbt,tb-size=)",
                               dbt_budget(v, 64) / KIB);
    if (!jit_gdb_init(jit, errp))
        return false;
    if (v->accel->lock_step)
        jit_lockstep_init(jit);
    jit_units_init(jit);
    jit_sites_init(jit);
    return jit_translator_init(jit);
}

void dbt_jit_flush(DbtVcpu *v)
{
    if (v->jit)
        jit_units_flush(v->jit);
}

void dbt_jit_settle(DbtVcpu *v)
{
    if (v->jit)
        jit_x87_settle(v->jit);
}

void dbt_jit_enter_thread(DbtVcpu *v)
{
    if (v->jit)
        jit_code_use_gs(v->jit);
}

void dbt_jit_interrupt_maybe(DbtVcpu *v)
{
    if (v->jit)
        __atomic_store_n(&v->jit->area->interrupt_maybe, 1, __ATOMIC_RELAXED);
}

void dbt_jit_interrupt_none(DbtVcpu *v)
{
    if (v->jit && __atomic_load_n(&v->jit->area->interrupt_maybe, __ATOMIC_RELAXED))
        __atomic_exchange_n(&v->jit->area->interrupt_maybe, 0, __ATOMIC_SEQ_CST);
}

bool dbt_jit_no_interrupt(const DbtVcpu *v)
{
    return v->jit && !__atomic_load_n(&v->jit->area->interrupt_maybe, __ATOMIC_ACQUIRE);
}

void dbt_jit_kick(DbtVcpu *v)
{
    if (!v->jit)
        return;
    __atomic_store_n(&v->jit->area->interrupt_maybe, 1, __ATOMIC_SEQ_CST);
    __atomic_store_n(&v->jit->area->go_on, 0, __ATOMIC_SEQ_CST);
}
