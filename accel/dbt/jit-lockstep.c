/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Lock-step: each unit's block runs in the interpreter, is undone, and runs translated; at the first
 * difference the program stops and shows the block (-accel dbt,lock-step=on).
 *
 * The interpreter goes first, with a TLB nobody fills, so that all its writes to RAM pass the places
 * that note them in the journal (mmu.c, mmu-seg.c). What cannot be undone is not compared: blocks with
 * system instructions, blocks that met a device, and those that ended in a fault or wrote to watched code.
 *
 * Compared are registers, vectors, opmasks, MXCSR, the flags that are needed behind the unit, and the bytes
 * written. With other vCPUs or devices writing the same bytes at the same time differences are to
 * be expected: for one vCPU.
 */
#include "accel/dbt/jit.h"

#include <Zydis/Zydis.h>

#include "accel/dbt/exec.h"
#include "accel/dbt/mmu-priv.h"

#define JOURNAL_MAX 4096
#define JOURNAL_BYTES 64
#define FINISH_MAX 10000 /* pieces of a string */

typedef struct JournalEntry {
    uint8_t *host;
    uint8_t len;
    uint8_t before[JOURNAL_BYTES], after[JOURNAL_BYTES];
} JournalEntry;

struct DbtJournal {
    bool lost; /* something happened that cannot be undone */
    unsigned count;
    JournalEntry entries[JOURNAL_MAX];
    CpuState before, after;
};

void dbt_journal_write(DbtVcpu *v, uint8_t *host, unsigned len)
{
    struct DbtJournal *journal = v->journal;

    for (unsigned done = 0; done < len; done += JOURNAL_BYTES) {
        JournalEntry *e = &journal->entries[journal->count];

        if (journal->count == JOURNAL_MAX) {
            journal->lost = true;
            return;
        }
        e->host = host + done;
        e->len = (uint8_t)MIN(len - done, JOURNAL_BYTES);
        memcpy(e->before, e->host, e->len);
        journal->count++;
    }
}

void dbt_journal_lost(DbtVcpu *v)
{
    v->journal->lost = true;
}

static void undo(struct DbtJournal *journal)
{
    for (unsigned i = 0; i < journal->count; i++)
        memcpy(journal->entries[i].after, journal->entries[i].host, journal->entries[i].len);
    for (unsigned i = journal->count; i-- > 0;)
        memcpy(journal->entries[i].host, journal->entries[i].before, journal->entries[i].len);
}

/* What differs; NULL: nothing. */
static const char *compare(const struct DbtJournal *journal, const CpuState *now, uint32_t flags)
{
    const CpuState *want = &journal->after;

    if (memcmp(now->gpr, want->gpr, sizeof(now->gpr)))
        return "registers";
    if (now->rip != want->rip)
        return "rip";
    if ((now->rflags ^ want->rflags) & (flags | ~(uint64_t)RFLAGS_ARITH))
        return "flags";
    if (memcmp(now->fpu.zmm, want->fpu.zmm, sizeof(now->fpu.zmm)))
        return "vectors";
    if (memcmp(now->fpu.opmask, want->fpu.opmask, sizeof(now->fpu.opmask)))
        return "opmasks";
    if (now->fpu.mxcsr != want->fpu.mxcsr || memcmp(now->fpu.st, want->fpu.st, sizeof(now->fpu.st)) ||
        now->fpu.fsw != want->fpu.fsw || now->fpu.ftw != want->fpu.ftw || now->fpu.fcw != want->fpu.fcw ||
        now->fpu.fip != want->fpu.fip || now->fpu.fop != want->fpu.fop)
        return "floating point state";
    for (unsigned i = 0; i < journal->count; i++) {
        if (memcmp(journal->entries[i].host, journal->entries[i].after, journal->entries[i].len))
            return "memory";
    }
    return NULL;
}

static void show_state(GString *out, const char *name, const CpuState *s)
{
    g_string_append_printf(out, "%s: rip %lx rflags %lx", name, (unsigned long)s->rip, (unsigned long)s->rflags);
    for (unsigned i = 0; i < 16; i++)
        g_string_append_printf(out, "%s r%u=%lx", i % 4 ? "" : "\n ", i, (unsigned long)s->gpr[i]);
    g_string_append_c(out, '\n');
}

static void show_code(GString *out, const JitUnit *unit, bool is32)
{
    ZydisMachineMode mode = is32 ? ZYDIS_MACHINE_MODE_LEGACY_32 : ZYDIS_MACHINE_MODE_LONG_64;
    const DbtBlock *b = unit->block;
    ZydisDisassembledInstruction insn;

    for (unsigned n = 0, at = 0; n < b->count; at += b->insns[n++].len) {
        uint64_t rip = unit->rip + (uint64_t)b->insns[n].offset;

        if (!ZYAN_SUCCESS(ZydisDisassembleIntel(mode, rip, b->bytes + at, b->size - at, &insn)))
            return;
        g_string_append_printf(out, "  %lx: %s\n", (unsigned long)rip, insn.text);
    }
}

G_GNUC_NORETURN static void report(const DbtJit *jit, const JitUnit *unit, const char *what)
{
    GString *out = g_string_new(NULL);

    show_code(out, unit, jit->mode_key & JIT_MODE_32);
    show_state(out, "before", &jit->v->journal->before);
    show_state(out, "interpreted", &jit->v->journal->after);
    show_state(out, "translated", jit->v->state);
    g_error("lock-step: %s differ after a block\n%s", what, out->str);
}

/* Instructions n and on, while control stays on the block, over branches that are taken, too. */
static DbtStep run_from(DbtVcpu *v, const JitUnit *unit, const DbtInsn *insns, unsigned n)
{
    const DbtInsn *insn = &insns[n], *last = &insns[unit->block->count - 1];

    for (;; insn++) {
        DbtStep step = insn->handler(v, insn);
        bool jumps = insn < last && insn[1].offset != insn->offset + insn->len;

        if (step == DBT_NEXT)
            v->state->rip += insn->len;
        if (insn == last || !v->limit || step == DBT_FAULT || (step != DBT_NEXT && !jumps) ||
            (jumps && v->state->rip != unit->rip + (uint64_t)insn[1].offset))
            return step;
    }
}

/* The interpreter's turn. */
static DbtStep interpret_noting(DbtVcpu *v, const JitUnit *unit)
{
    const DbtInsn *insns = dbt_block_insns(v, unit->block);
    DbtStep step;

    v->journal->lost = false;
    v->journal->count = 0;
    v->tlb = (MmuTlb *)(void *)v->mmu->tables[MMU_TABLE_CHECKED];
    v->journaling = true;
    v->limit = insns; /* not NULL */
    step = run_from(v, unit, insns, 0);
    v->journaling = false;
    dbt_context_changed(v);
    return step;
}

/* A repeated string instruction may be where it goes on later. How far it came is not the same for both. */
static bool at_repetition(const DbtVcpu *v, const JitUnit *unit)
{
    const DbtBlock *b = unit->block;

    for (unsigned n = 0; n < b->count; n++) {
        if (unit->rip + (uint64_t)b->insns[n].offset == v->state->rip)
            return b->insns[n].flags & (INSN_REP | INSN_REPNE);
    }
    return false;
}

/* Translated code may end before its unit does: when an instruction changed what it takes for granted (the x87
 * exceptions unmasked, say), for a request, in the middle of a repeated string instruction, or before the first
 * access of a group. The interpreter does the rest, the string piece by piece. */
static DbtStep finish(DbtVcpu *v, const JitUnit *unit, unsigned n, DbtStep step)
{
    const DbtBlock *b = unit->block;

    for (unsigned pieces = 0; pieces < FINISH_MAX; pieces++) {
        while (n < b->count && unit->rip + (uint64_t)b->insns[n].offset != v->state->rip)
            n++;
        if (n == b->count)
            break;
        v->limit = b->insns; /* not NULL */
        step = run_from(v, unit, b->insns, n);
        if (step != DBT_LEAVE || !at_repetition(v, unit))
            break;
    }
    return step;
}

DbtStep jit_lockstep(DbtJit *jit, JitUnit *unit)
{
    DbtVcpu *v = jit->v;
    struct DbtJournal *journal = v->journal;
    uint64_t epoch = v->tlb_epoch;
    const char *what;
    DbtStep step;

    if (!unit->pure)
        return jit_run_unit(jit, unit);
    if (unit->counts_at_entry && --jit->area->runs[unit->id % JIT_RUNS] == 0) { /* it is entered behind that */
        jit_unit_counted(jit, unit);
        return DBT_LEAVE;
    }
    dbt_jit_x87_home(v);
    journal->before = *v->state;
    step = interpret_noting(v, unit);
    if (step == DBT_FAULT || journal->lost || v->attention || !v->limit || epoch != v->tlb_epoch)
        return step;
    if (v->code_bits == 32)
        v->state->rip = (uint32_t)v->state->rip;
    if (at_repetition(v, unit))
        return step;
    journal->after = *v->state;
    undo(journal);
    *v->state = journal->before;
    step = jit_run_unit(jit, unit);
    dbt_jit_x87_home(v);
    if (jit->not_run)
        return step;
    if (step != DBT_FAULT && jit->left_at != JIT_NOT_LEFT)
        step = finish(v, unit, jit->left_at, step);
    if (step == DBT_FAULT)
        report(jit, unit, "faults");
    what = compare(journal, v->state, (jit->jumped ? RFLAGS_ARITH : unit->flags_out) & ~unit->flags_undefined);
    if (what)
        report(jit, unit, what);
    jit->stats.compared++;
    return step;
}

void jit_lockstep_init(DbtJit *jit)
{
    jit->v->journal = g_new0(struct DbtJournal, 1);
}

void jit_lockstep_release(DbtJit *jit)
{
    g_clear_pointer(&jit->v->journal, g_free);
}
