/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * How units begin and end: entries, branches, exits, the jump cache.
 *
 *     back:           cmp dword gs:[go_on], 0 ; je again                   nobody wants the vCPU
 *     far, indirect:  cmp dword gs:[itlb + slot], page id ; jne again      the page is where it was
 *     near:           body
 *
 * Backward links, to the begin of the unit they leave or lower, look for requests. Every cycle of code has one of those in it,
 * or an indirect branch, which looks itself: the same word is the mask that cuts the address to the number of its
 * entry in the jump cache. In a unit that begins a loop the checks change places, so that near links back make the one alone.
 *
 * A unit that needs flags at its entry takes them from EFLAGS on near links, which save them around the checks if they lead
 * back, and from frame.flags on others. There they are on the way into another page in any case, whether the unit needs them or not:
 * the check may find that the page is another one.
 *
 * A unit counts its runs behind all that, or in front of loading flags, until its block is hot, and while its sites are
 * watched: see jit-path.c and jit-site.c.
 *
 * An indirect branch through a constant address, and a return whose place on the stack can be told at the unit's begin, has an exit
 * of its own for what was there when the unit was made, behind a comparison; others, and those for whom that changes, look in the
 * jump cache.
 *
 * An exit to a known address is a jump to its stub, which leaves with the exit's number; once the target
 * has a unit the jump is patched.
 */
#include "accel/dbt/jit-translate.h"
#include "accel/dbt/op-util.h"

#define FRAME JIT_FRAME
#define MODE_AREA(t, mode_index, field)                                                                                \
    ((int32_t)jit_area_offset((t)->jit, offsetof(JitArea, mode) + (mode_index) * sizeof(JitModeArea) +                 \
                                            offsetof(JitModeArea, field)))

uint64_t jit_branch_target(const JitInsn *in)
{
    uint64_t target = in->rip + in->insn->len + in->insn->imm;

    return in->dec.operand_width == 64 ? target : (uint32_t)target;
}

bool jit_is_taken(const JitInsn *in)
{
    return in->next && in->next != in->rip + in->insn->len;
}

void jit_emit_save_flags(JitEmit *e)
{
    emit_rr(e, true, HOST_LOAD, HOST_ADDR, GPR_RAX);
    emit_flags_to_ax(e);
    emit_rm(e, false, HOST_STORE, GPR_RAX, GPR_RSP, FRAME(flags));
    emit_rr(e, true, HOST_LOAD, GPR_RAX, HOST_ADDR);
}

static void emit_load_flags(JitTranslator *t)
{
    emit_rr(t->hot, true, HOST_LOAD, HOST_TEMP, GPR_RAX);
    emit_rm(t->hot, false, HOST_LOAD, GPR_RAX, GPR_RSP, FRAME(flags));
    emit_flags_from_ax(t->hot);
    emit_rr(t->hot, true, HOST_LOAD, GPR_RAX, HOST_TEMP);
}

/* Stub: leave with what. */
static uint32_t emit_leave_stub(JitTranslator *t, uint32_t what, bool flags_in_frame)
{
    uint32_t stub = t->cold->at;

    emit_mov_imm(t->cold, HOST_TEMP, JIT_ID(t->unit->id, what));
    emit_jmp(t->cold, t->jit->glue.leave[flags_in_frame]);
    return stub;
}

static JitExit *new_exit(JitTranslator *t, uint64_t rip, bool flags_in_frame)
{
    uint32_t number = t->unit->exit_count++;
    JitExit *exit = &t->jit->exits[t->unit->first_exit + number];

    g_assert(number < JIT_EXIT_MAX && !t->sp_behind);
    *exit = (JitExit){
        .rip = rip,
        .unit = t->unit->id,
        .mode = t->exit_mode,
        .stub = emit_leave_stub(t, JIT_EXIT_DIRECT + number, flags_in_frame),
        .insn = (uint8_t)t->index,
    };
    return exit;
}

static uint32_t emit_jump(JitEmit *e, uint8_t cc, uint32_t to)
{
    return cc == HOST_NO_REG ? emit_jmp(e, to) : emit_jcc(e, cc, to);
}

/* jmp (cc HOST_NO_REG) or jcc to rip: five or six bytes. Flags that go to another page and are not in the frame get there on the way. */
static JitExit *emit_exit(JitTranslator *t, uint64_t rip, uint8_t cc)
{
    bool far = jit_is_far(t, rip), saves = far && !t->flags_in_frame;
    uint32_t patch;
    JitExit *exit;

    jit_emit_x87_note(t, t->hot);
    patch = emit_jump(t->hot, cc, t->cold->at);
    if (saves) {
        jit_emit_save_flags(t->cold);
        patch = emit_jmp(t->cold, 0);
    }
    exit = new_exit(t, rip, far || t->flags_in_frame);
    exit->in_frame = far || (t->hands_flags_over && t->index + 1 >= t->count);
    exit->patch = patch;
    emit_patch(t->hot, patch, exit->stub);
    return exit;
}

JitExit *jit_emit_exit(JitTranslator *t, uint64_t rip)
{
    return emit_exit(t, rip, HOST_NO_REG);
}

/* In front of the instruction now emitted, by the jump in cold code whose rel32 is at patch. */
static JitExit *emit_exit_inside(JitTranslator *t, uint32_t patch)
{
    JitExit *exit = new_exit(t, t->insns[t->index].rip, t->flags_in_frame);

    exit->inside = true;
    exit->in_frame = t->flags_in_frame;
    exit->patch = patch;
    emit_patch(t->cold, patch, exit->stub);
    return exit;
}

void jit_emit_plain_exit(JitTranslator *t, uint32_t patch)
{
    emit_exit_inside(t, patch)->plain = true;
}

static int32_t go_on_offset(const JitTranslator *t)
{
    return (int32_t)jit_area_offset(t->jit, offsetof(JitArea, go_on));
}

void jit_emit_request_check(JitTranslator *t, JitEmit *e)
{
    emit_gs(e, false, 0x83, 7, HOST_NO_REG, go_on_offset(t));
    emit8(e, 0);
}

/* The jump cache's other entry of the pair: R10 the target, R11 the number of the first. Begins where it returns. */
static uint32_t emit_second_look(JitTranslator *t, uint32_t leave)
{
    uint32_t begin = t->cold->at;

    jit_emit_request_check(t, t->cold);
    emit_jcc(t->cold, HOST_E, leave);
    emit_bytes(t->cold, (const uint8_t[]){0x41, 0x83, 0xf3, 1}, 4); /* xor r11d, 1 */
    emit_gs_scaled(t->cold, true, HOST_CMP, HOST_ADDR, HOST_TEMP, 3, MODE_AREA(t, t->exit_mode, jumps.rip));
    emit_jcc(t->cold, HOST_NE, leave);
    emit_gs_scaled(t->cold, false, 0xff, 4, HOST_TEMP, 3, MODE_AREA(t, t->exit_mode, jumps.host)); /* jmp */
    return begin;
}

void jit_emit_indirect(JitTranslator *t)
{
    jit_emit_x87_note(t, t->hot);
    /* Emitted last in the unit: the stub's place is known. */
    uint32_t stub = emit_second_look(t, emit_leave_stub(t, JIT_EXIT_INDIRECT, true));

    emit_gs(t->hot, false, HOST_LOAD, HOST_TEMP, HOST_NO_REG, go_on_offset(t));
    emit_rr(t->hot, false, HOST_AND, HOST_TEMP, HOST_ADDR);
    emit_gs_scaled(t->hot, true, HOST_CMP, HOST_ADDR, HOST_TEMP, 3, MODE_AREA(t, t->exit_mode, jumps.rip));
    emit_jcc(t->hot, HOST_NE, stub);
    emit_gs_scaled(t->hot, false, 0xff, 4, HOST_TEMP, 3, MODE_AREA(t, t->exit_mode, jumps.host)); /* jmp */
}

static void emit_page_check(JitTranslator *t, uint64_t linear, uint32_t id, uint32_t again)
{
    emit_gs(t->hot, false, 0x81, 7, HOST_NO_REG, (int32_t)jit_itlb_offset(t->jit, t->jit->mode, linear));
    jit_note_address(t, t->hot, JIT_ADDRESS_ITLB);
    emit32(t->hot, id);
    jit_note_address(t, t->hot, JIT_ADDRESS_PAGE_ID);
    emit_jcc(t->hot, HOST_NE, again);
}

static void emit_request_check(JitTranslator *t, uint32_t again)
{
    jit_emit_request_check(t, t->hot);
    emit_jcc(t->hot, HOST_E, again);
}

/* Where flags are not needed, or in the frame. */
static void emit_count(JitTranslator *t)
{
    uint32_t n = t->unit->id % JIT_RUNS;

    t->jit->area->runs[n] = t->counts;
    emit_gs(t->hot, false, 0x83, 5, HOST_NO_REG,
            (int32_t)jit_area_offset(t->jit, offsetof(JitArea, runs) + n * sizeof(uint32_t))); /* sub dword, 1 */
    emit8(t->hot, 1);
    emit_jcc(t->hot, HOST_E, emit_leave_stub(t, JIT_EXIT_COUNTED, true));
}

/* Whether the unit has a link to itself. */
static bool loops(const JitTranslator *t)
{
    for (unsigned i = 0; i < t->count; i++) {
        const JitInsn *in = &t->insns[i];

        if (in->dec.raw.imm[0].is_relative && !(in->next && in->next == t->unit->rip) && jit_branch_target(in) == t->unit->rip)
            return true;
    }
    return t->predicted == t->unit->rip;
}

void jit_emit_entries(JitTranslator *t)
{
    JitUnit *u = t->unit;
    /* An instruction that crosses: nobody near has looked at its other page, and what is there now may need flags. */
    bool passes = t->save_point < 0 || u->next_page_id, flags = t->live_in || passes, alone = loops(t) || u->block->begins_loop;
    uint32_t again = emit_leave_stub(t, JIT_EXIT_AGAIN, true);

    u->entry_back = t->hot->at;
    if (flags)
        jit_emit_save_flags(t->hot);
    u->entry_far_back = t->hot->at;
    if (!alone)
        emit_request_check(t, again);
    u->entry_indirect = t->hot->at;
    emit_page_check(t, u->rip, u->page_id, again);
    if (u->next_page_id)
        emit_page_check(t, u->rip + GUEST_PAGE_SIZE, u->next_page_id, again);
    if (alone && !flags)
        u->entry_back = t->hot->at;
    if (alone)
        emit_request_check(t, again);
    if (t->live_in)
        jit_emit_settle_flags(t);
    u->counts_at_entry = t->counts && flags;
    if (u->counts_at_entry)
        emit_count(t);
    if (t->live_in)
        emit_load_flags(t);
    u->body = t->hot->at;
    u->entry_near = passes || u->counts_at_entry ? u->entry_back : u->body;
    if (t->counts && !flags)
        emit_count(t);
}

bool jit_emit_jcc(JitTranslator *t, const JitInsn *in)
{
    bool taken = jit_is_taken(in);

    t->keeps_temp = true;
    emit_exit(t, taken ? in->rip + in->insn->len : jit_branch_target(in), (in->dec.opcode & 15) ^ taken);
    t->branches[t->branch_count++] = (JitBranch){t->hot->at - 1, in->rip + in->insn->len - 1};
    return true;
}

/* After RCX has been counted down, flags kept: LOOP goes on unless RCX is 0, LOOPE and LOOPNE look at ZF, too. */
static void emit_loop_exit(JitTranslator *t, const JitInsn *in)
{
    bool plain = in->dec.mnemonic == ZYDIS_MNEMONIC_LOOP;

    emit_bytes(t->hot, (const uint8_t[]){0xe3, plain ? 5 : 6}, 2); /* jrcxz over the jump */
    emit_exit(t, jit_branch_target(in),
              plain ? HOST_NO_REG : in->dec.mnemonic == ZYDIS_MNEMONIC_LOOPE ? HOST_E : HOST_NE);
}

/*
 * JCXZ has a short distance: the host's own goes round an exit.
 *
 *     jcxz +2 ; jmp +5 ; jmp exit
 *
 * LOOP is slow on hosts: it is DEC and JNZ, or LEA and JRCXZ where flags are to be kept.
 */
bool jit_emit_loop(JitTranslator *t, const JitInsn *in)
{
    const HostAddress less = {GPR_RCX, HOST_NO_REG, 0, -1};
    bool wide = in->insn->addr_size == 8, counts = in->dec.opcode != 0xe3;

    if (in->insn->addr_size == 2)
        return false;
    if (in->dec.mnemonic == ZYDIS_MNEMONIC_LOOP && !in->live) {
        emit_rr(t->hot, wide, 0xff, 1, GPR_RCX); /* dec */
        emit_exit(t, jit_branch_target(in), HOST_NE);
        return true;
    }
    jit_emit_x87_note(t, t->hot);
    if (counts) {
        emit_lea(t->hot, wide, GPR_RCX, &less);
        emit_loop_exit(t, in);
        return true;
    }
    if (!wide)
        emit8(t->hot, 0x67);
    emit_bytes(t->hot, (const uint8_t[]){in->dec.opcode, 2, 0xeb, 5}, 4);
    emit_exit(t, jit_branch_target(in), HOST_NO_REG);
    return true;
}

/* Where the indirect branch at the unit's end has its target from, if that is memory and can be told from here. */
static bool find_pointer(const JitTranslator *t, uint64_t *address)
{
    const JitInsn *last = &t->insns[t->count - 1];
    const DbtInsn *insn = last->insn;

    if (last->emit == jit_emit_ret)
        return jit_return_slot(t, address);
    return (last->emit == jit_emit_jmp || last->emit == jit_emit_call) && insn->flags & INSN_MEM && insn->seg != SEG_FS &&
           insn->seg != SEG_GS && jit_constant_address(insn, last->rip, address);
}

uint64_t jit_predict(const JitTranslator *t)
{
    uint64_t address, target;

    if (!t->has_sites || t->is32 || !find_pointer(t, &address) || !jit_peek(t, address, &target) || !is_canonical(target))
        return 0;
    return target;
}

/*
 * To the address in HOST_ADDR, which is the predicted one most of the time: tables for dynamic linking, and pointers to functions
 * that are chosen once, hardly ever change, and much of what is hot returns to one place. A unit that is moved takes the target with
 * it, as libraries lie at the same distance from each other wherever they are.
 */
static void emit_predicted(JitTranslator *t)
{
    uint64_t target = t->predicted;

    if (!target)
        return;
    if ((int64_t)target == (int32_t)target) {
        emit_rr(t->hot, true, 0x81, 7, HOST_ADDR); /* cmp */
        emit32(t->hot, (uint32_t)target);
        jit_note_address(t, t->hot, JIT_ADDRESS_32_SIGNED);
    } else {
        jit_emit_mov_address(t, t->hot, HOST_TEMP, target);
        emit_rr(t->hot, true, HOST_CMP, HOST_ADDR, HOST_TEMP);
    }
    emit_exit(t, target, HOST_E)->in_frame = true;
}

/* The operand of an indirect branch in host; false: not by inline code. */
static bool emit_load_target(JitTranslator *t, const JitInsn *in, uint8_t host)
{
    uint8_t guest = in->insn->rm;
    JitPlace place;

    if (in->insn->flags & INSN_MEM) {
        if (!jit_emit_place(t, in, jit_word(t), false, false, &place))
            return false;
        emit_at(t->hot, !t->is32, HOST_LOAD, host, &place.at);
    } else if (jit_is_spilled(guest)) {
        jit_emit_load_spill(t, host, guest);
    } else {
        emit_rr(t->hot, !t->is32, HOST_LOAD, host, jit_host(guest));
    }
    return true;
}

bool jit_emit_jmp(JitTranslator *t, const JitInsn *in)
{
    if (in->dec.raw.imm[0].is_relative) {
        t->keeps_temp = true;
        if (!in->next)
            emit_exit(t, jit_branch_target(in), HOST_NO_REG);
        return true;
    }
    if (!emit_load_target(t, in, HOST_ADDR))
        return false;
    emit_predicted(t);
    jit_emit_indirect(t);
    return true;
}

static void emit_push_return(JitTranslator *t, const JitInsn *in)
{
    JitPlace place = jit_emit_access_push(t);
    uint64_t value = in->rip + in->insn->len;

    if (t->is32 || (int64_t)value == (int32_t)value) {
        emit_at(t->hot, !t->is32, 0xc7, 0, &place.at);
        emit32(t->hot, (uint32_t)value);
        jit_note_address(t, t->hot, JIT_ADDRESS_32_SIGNED);
    } else {
        jit_emit_mov_address(t, t->hot, place.spare, value);
        emit_at(t->hot, true, HOST_STORE, place.spare, &place.at);
    }
    jit_emit_sp_add(t, -(int32_t)jit_word(t));
}

bool jit_emit_call(JitTranslator *t, const JitInsn *in)
{
    if (in->dec.raw.imm[0].is_relative) {
        emit_push_return(t, in);
        if (in->next)
            return true;
        jit_emit_sp_settle(t);
        emit_exit(t, jit_branch_target(in), HOST_NO_REG);
        return true;
    }
    if (in->insn->flags & INSN_MEM || in->insn->rm == GPR_RSP) {
        if (!emit_load_target(t, in, HOST_ADDR))
            return false;
        emit_rm(t->hot, true, HOST_STORE, HOST_ADDR, GPR_RSP, FRAME(temp));
        emit_push_return(t, in);
        emit_rm(t->hot, true, HOST_LOAD, HOST_ADDR, GPR_RSP, FRAME(temp));
    } else {
        emit_push_return(t, in);
        emit_load_target(t, in, HOST_ADDR);
    }
    emit_predicted(t);
    jit_emit_indirect(t);
    return true;
}

/* The return address is the one the path goes on at, or the unit is left in front of the RET (jit-return.c). */
static void emit_brief_guard(JitTranslator *t, const JitInsn *in, const JitPlace *place)
{
    if ((int64_t)in->next == (int32_t)in->next) {
        emit_at(t->hot, true, 0x81, 7, &place->at); /* cmp qword, imm32 */
        emit32(t->hot, (uint32_t)in->next);
        jit_note_address(t, t->hot, JIT_ADDRESS_32_SIGNED);
    } else {
        jit_emit_mov_address(t, t->hot, place->spare, in->next);
        emit_at(t->hot, true, HOST_CMP, place->spare, &place->at);
    }
    emit_jcc(t->hot, HOST_NE, t->cold->at);
    jit_emit_x87_note(t, t->cold);
    jit_emit_recover_flags(t, t->cold);
    emit_exit_inside(t, emit_jmp(t->cold, 0));
}

/*
 * The same for the address in HOST_ADDR, and flags stay: whoever is returned to instead may want them.
 *
 *     mov r11, expected ; not r11 ; lea r10, [r10 + r11 + 1] ; mov r11, rcx ; mov rcx, r10
 *     jrcxz +8 ; mov rcx, r11 ; jmp exit ; mov rcx, r11
 */
static void emit_return_guard(JitTranslator *t, const JitInsn *in)
{
    const HostAddress difference = {HOST_ADDR, HOST_TEMP, 0, 1};

    t->keeps_temp = false;
    jit_emit_x87_note(t, t->hot);
    jit_emit_mov_address(t, t->hot, HOST_TEMP, in->next);
    emit_rr(t->hot, true, 0xf7, 2, HOST_TEMP); /* not */
    emit_lea(t->hot, true, HOST_ADDR, &difference);
    emit_rr(t->hot, true, HOST_LOAD, HOST_TEMP, GPR_RCX);
    emit_rr(t->hot, true, HOST_LOAD, GPR_RCX, HOST_ADDR);
    emit_bytes(t->hot, (const uint8_t[]){0xe3, 8}, 2); /* jrcxz */
    emit_rr(t->hot, true, HOST_LOAD, GPR_RCX, HOST_TEMP);
    emit_exit(t, in->rip, HOST_NO_REG)->inside = true;
    emit_rr(t->hot, true, HOST_LOAD, GPR_RCX, HOST_TEMP);
}

bool jit_emit_ret(JitTranslator *t, const JitInsn *in)
{
    const HostAddress top = {HOST_SP, HOST_NO_REG, 0, 0};
    JitPlace place;

    jit_emit_access_place(t, &top, jit_word(t), false, &place);
    if (in->brief)
        emit_brief_guard(t, in, &place);
    else
        emit_at(t->hot, !t->is32, HOST_LOAD, HOST_ADDR, &place.at);
    if (in->next && !in->brief)
        emit_return_guard(t, in);
    jit_emit_sp_add(t, (int32_t)(jit_word(t) + (in->insn->imm & 0xffff)));
    jit_emit_sp_settle(t);
    if (in->next)
        return true;
    emit_predicted(t);
    jit_emit_indirect(t);
    return true;
}
