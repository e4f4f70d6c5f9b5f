/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Returns within a path, and flags for those that go elsewhere.
 *
 * A path goes on behind the call it came by (jit-path.c), so its RET is a guard: another return address leaves the unit in front of
 * the RET. Behind it nobody needs flags, as a rule, but whoever is returned to instead may. Where the last instruction that
 * changed them can be repeated (jit-remake.c) they are made again there, and the guard is a comparison:
 *
 *     add rsp, 24 ; pop rbx ; ret       cmp qword [return address], expected ; jne away
 *                                 away: mov r11, r9 - 8 ; sub r11, 24 ; add r11, 24 ; jmp exit
 *
 * From that instruction to the RET no check has to save flags: they are made again wherever the unit is left in between, too,
 * for the interpreter or a unit without groups. Their operands are taken from where they still are. RSP is known from what
 * was pushed and popped; what else has changed meanwhile is kept in frame.remake by a store behind the instruction.
 *
 * Where flags are in frame.flags already the guard is as short. Elsewhere it leaves EFLAGS alone (jit-branch.c).
 *
 * A RET at the end of a path goes to an address nobody has promised. When a unit is made it is about to run, so the address is looked
 * for on the stack, as far as RSP can be followed from here to there: jit_predict makes use of it.
 */
#include "accel/dbt/jit-translate.h"
#include "accel/dbt/native.h"

enum { FIRST, SECOND }; /* of JitInsn.keeps and frame.remake */

static bool is_guard(const JitInsn *in)
{
    return in->next && in->emit == jit_emit_ret;
}

/* It leaves the unit by its checks or its exit alone: no exception comes from the host, but at the page of empty entries (jit-site.c),
 * where the guest finds flags that are not made again. */
static bool is_tame(const JitInsn *in)
{
    if (in->emit == jit_emit_reencoded)
        return !in->vectors && !in->x87;
    return in->emit == jit_emit_push || in->emit == jit_emit_pop || in->emit == jit_emit_leave || in->emit == jit_emit_jcc ||
           in->emit == jit_emit_jmp || in->emit == jit_emit_call || in->emit == jit_emit_ret ||
           in->dec.mnemonic == ZYDIS_MNEMONIC_LEA || in->dec.mnemonic == ZYDIS_MNEMONIC_NOP;
}

void jit_returns_find(JitTranslator *t)
{
    unsigned maker = 0;

    for (unsigned i = 0; i < t->count; i++) {
        JitInsn *in = &t->insns[i];

        in->maker = is_guard(in) ? (uint8_t)maker : 0;
        in->keeps = 0;
        in->brief = false;
        if (in->flags.touches)
            maker = jit_remake_of(t, in, &in->remake) ? i + 1 : 0;
        else if (!is_tame(in))
            maker = 0;
    }
}

static bool changes(const JitInsn *in, uint8_t reg)
{
    for (unsigned i = 0; i < in->dec.operand_count; i++) {
        const ZydisDecodedOperand *op = &in->operands[i];

        if (op->type == ZYDIS_OPERAND_TYPE_REGISTER && op->actions & ZYDIS_OPERAND_ACTION_MASK_WRITE &&
            native_gpr_number(op->reg.value) == reg)
            return true;
    }
    return false;
}

/* Which operands of a repetition are not to be found behind the instruction. */
static uint8_t lost_at(const JitTranslator *t, const JitRemake *r, const JitInsn *in)
{
    int32_t step;
    uint8_t lost = 0;

    if (changes(in, r->first) && !(r->first == GPR_RSP && jit_moves_stack(t, in, &step)))
        lost |= BIT(FIRST);
    if (r->second != HOST_NO_REG && r->second != r->first && changes(in, r->second))
        lost |= BIT(SECOND);
    return lost;
}

uint32_t jit_return_needs(JitTranslator *t, unsigned n, uint32_t live)
{
    JitInsn *in = &t->insns[n], *maker;
    bool in_frame = (int)n > t->save_point;

    in->brief = !live && (in->maker || in_frame);
    if (!in->brief || in_frame)
        in->maker = 0;
    if (!in->brief)
        return RFLAGS_ARITH;
    if (in_frame)
        return 0;
    maker = &t->insns[in->maker - 1];
    for (unsigned i = in->maker; i < n; i++) {
        t->insns[i].maker = in->maker;
        maker->keeps |= lost_at(t, &maker->remake, &t->insns[i]);
    }
    return 0;
}

bool jit_return_slot(const JitTranslator *t, uint64_t *address)
{
    int32_t step;

    *address = t->jit->v->state->gpr[GPR_RSP];
    for (unsigned i = 0; i + 1 < t->count; i++) {
        if (!changes(&t->insns[i], GPR_RSP))
            continue;
        if (!jit_moves_stack(t, &t->insns[i], &step))
            return false;
        *address += (uint64_t)(int64_t)step;
    }
    return true;
}

void jit_emit_keep_operands(JitTranslator *t)
{
    const JitInsn *in = &t->insns[t->index];

    if (in->keeps & BIT(FIRST))
        jit_remake_keep(t, in->remake.first, FIRST);
    if (in->keeps & BIT(SECOND))
        jit_remake_keep(t, in->remake.second, SECOND);
}

/* What has been added to the stack pointer since the maker ran. */
static int32_t stack_moved(const JitTranslator *t, unsigned maker)
{
    int32_t sum = 0, step;

    for (unsigned i = maker; i < t->index; i++) {
        if (changes(&t->insns[i], GPR_RSP) && jit_moves_stack(t, &t->insns[i], &step))
            sum += step;
    }
    return sum;
}

static void load_first(const JitTranslator *t, JitEmit *e, const JitInsn *maker)
{
    uint8_t first = maker->remake.first;
    const HostAddress sum = {HOST_SP, HOST_NO_REG, 0, -stack_moved(t, t->insns[t->index].maker)};

    if (maker->keeps & BIT(FIRST))
        emit_rm(e, true, HOST_LOAD, HOST_TEMP, GPR_RSP, JIT_FRAME(remake));
    else if (jit_is_spilled(first))
        emit_rm(e, true, HOST_LOAD, HOST_TEMP, GPR_RSP, jit_spill_slot(first));
    else if (first == GPR_RSP)
        emit_lea(e, true, HOST_TEMP, &sum);
    else
        emit_rr(e, true, HOST_LOAD, HOST_TEMP, first);
}

void jit_emit_recover_flags(JitTranslator *t, JitEmit *e)
{
    const JitInsn *in = &t->insns[t->index], *maker;
    uint8_t second;

    if (!in->maker || jit_flags_live(t))
        return;
    maker = &t->insns[in->maker - 1];
    second = maker->remake.second;
    load_first(t, e, maker);
    if (maker->keeps & BIT(SECOND))
        jit_remake_repeat(e, &maker->remake, HOST_NO_REG, JIT_FRAME(remake) + 8);
    else if (second != HOST_NO_REG && jit_is_spilled(second))
        jit_remake_repeat(e, &maker->remake, HOST_NO_REG, jit_spill_slot(second));
    else
        jit_remake_repeat(e, &maker->remake, jit_host(second), 0);
}
