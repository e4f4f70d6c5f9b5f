/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Hot code is translated over its jumps, calls and returns (accel/dbt/jit-path.c, block-join.c). */
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "accel/dbt/jit.h"
#include "core/thread.h"
#include "dbt-rig.h"

#define TURNS 20000u

static DbtVcpu *vcpu_of(Rig *rig)
{
    return rig->machine->vcpus[0]->accel;
}

static uint32_t gpr(Rig *rig, unsigned reg)
{
    return (uint32_t)rig_state(rig, 0)->gpr[reg];
}

/* What was translated was joined, if anything was. */
static bool joined(Rig *rig)
{
    const DbtVcpu *v = vcpu_of(rig);

    return !v->jit || v->jit->stats.paths > 0;
}

static int setup(void **state)
{
    rig_setup(state);
    vcpu_of(*state)->accel->translate_after = 2;
    vcpu_of(*state)->accel->hot_after = 64;
    return 0;
}

#define PATH_CASE(name) cmocka_unit_test_setup_teardown(name, setup, rig_teardown)

/* A loop that begins in its middle. EAX counts its turns, 3 in each of 20000. */
GUEST(rotated, "mov $20000, %edx\n xor %eax, %eax\n 3: mov $4, %ecx\n lea 2f(%rip), %rbx\n jmp *%rbx\n"
               " 1: inc %eax\n 2: dec %ecx\n jz 4f\n jmp 1b\n 4: dec %edx\n jnz 3b\n nop");
/* Over a jump, into a function and back: EAX counts the turns. */
GUEST(roundabout, "mov $20000, %ecx\n xor %eax, %eax\n 1: jmp 2f\n ud2\n 2: call 3f\n dec %ecx\n jnz 1b\n jmp 9f\n"
                  " 3: push %rbx\n lea 1(%rax), %ebx\n mov %ebx, %eax\n pop %rbx\n ret\n 9:");
/* One way in seven of eight turns, the other in the rest. */
GUEST(mostly, "mov $20000, %ecx\n xor %eax, %eax\n xor %edx, %edx\n 1: test $7, %cl\n jnz 2f\n inc %edx\n jmp 3f\n"
              " nop\n 2: inc %eax\n 3: dec %ecx\n jnz 1b");
/* The function gives bit 1 of the turn as CF, and returns to another place if bit 3 is set. EAX and EDX count CF. */
GUEST(elsewhere, "mov $20000, %ecx\n xor %eax, %eax\n xor %edx, %edx\n 1: call 3f\n adc $0, %eax\n jmp 2f\n"
                 " 4: adc $0, %edx\n 2: dec %ecx\n jnz 1b\n jmp 9f\n"
                 " 3: test $8, %cl\n jz 5f\n lea 4b(%rip), %rbx\n mov %rbx, (%rsp)\n 5: bt $1, %ecx\n ret\n 9:");

/*
 * A piece that changes flags, and what follows it, in a function that returns to another place in one of eight turns. There its flags are
 * compared with those of the piece alone: R12 gets what differs. RAX and RDX are operands that change. The stack is at another address of
 * a page each time, so that what is popped may lie on two.
 */
#define RETURNS(name, piece, tail)                                                                                     \
    GUEST(name, "mov $4000, %ecx\n xor %r12d, %r12d\n xor %r13d, %r13d\n 1: imul $0x2545f491, %rcx, %rsi\n ror $29, %rsi\n"   \
                " imul $0x1e3779b1, %rsi, %rdi\n lea 0x6e000(,%rcx,8), %ebx\n and $0x6fff8, %ebx\n mov %rbx, %rsp\n"         \
                " mov %rsi, %rax\n mov %rdi, %rdx\n sub $32, %rsp\n " piece "\n pushfq\n pop %r8\n mov %rbx, %rsp\n"       \
                " mov %rsi, %rax\n mov %rdi, %rdx\n call 3f\n jmp 2f\n"                                               \
                " 4: pushfq\n pop %r14\n xor %r8, %r14\n or %r14, %r12\n inc %r13d\n 2: sub $1, %ecx\n jnz 1b\n jmp 9f\n"       \
                " 3: lea 4b(%rip), %r15\n test $7, %cl\n cmovnz (%rsp), %r15\n mov %r15, (%rsp)\n push %rdi\n push %rsi\n push %rsi\n"        \
                " " piece "\n " tail "\n pop %r15\n pop %rbp\n pop %r15\n ret\n 9:")
RETURNS(returns_add, "add %rdx, %rax", "");
RETURNS(returns_add_lost, "mov %rdx, %rbp\n add %rbp, %rax", "");
RETURNS(returns_add_both_lost, "mov %rdx, %rbp\n mov %rax, %r15\n add %rbp, %r15", "mov %rsi, %rax");
RETURNS(returns_add_byte, "mov %esi, %ebp\n add %dl, %bpl", "mov %dl, %dh");
RETURNS(returns_sub_word, "sub %dx, %ax", "mov $5, %al");
RETURNS(returns_sub_immediate, "sub $0x12345678, %rax", "bswap %rax");
RETURNS(returns_compare, "cmp %edx, %eax", "setc %dl");
RETURNS(returns_compare_immediate, "cmp $-3, %al", "mov $1, %eax\n cmovs %edi, %eax");
RETURNS(returns_compare_spilled, "mov %rdx, %r10\n mov %rax, %r9\n cmp %r9, %r10", "lea 1(%r9), %r9\n mov %rax, %r11");
RETURNS(returns_compare_spilled_kept, "mov %rdx, %r11\n mov %rax, %r10\n cmp %r10, %r11", "mov %rcx, %r11\n mov %rcx, %r10");
RETURNS(returns_test, "test %rdx, %rax", "jmp 6f\n nop\n 6: movzbl %dl, %edx");
RETURNS(returns_and_lost, "and %edx, %eax", "mov $3, %ah");
RETURNS(returns_xor, "xor %rdx, %rax", "xchg %rax, %rdx");
RETURNS(returns_stack, "sub $24, %rsp\n mov %rdx, (%rsp)\n add $24, %rsp", "");
RETURNS(returns_stack_lost, "mov %rsp, %rbp\n sub $24, %rsp", "leave\n push %rdx");
RETURNS(returns_stack_by_register, "mov %rcx, %r15\n and $0x78, %r15d\n sub %r15, %rsp", "mov %rsp, %rax\n lea (%rax,%r15), %rsp");
RETURNS(returns_branch, "cmp %rdx, %rax", "jc 6f\n mov $1, %edx\n 6: mov %edx, %eax");
RETURNS(returns_call, "cmp %rdx, %rax", "call 6f\n jmp 8f\n 6: mov $6, %edx\n ret\n 8: mov $8, %eax");
RETURNS(returns_shift, "shr %rax", "mov %rdx, %rax");
RETURNS(returns_vector, "cmp %rdx, %rax", "movq %rdx, %xmm0\n movdqa %xmm0, %xmm1");
RETURNS(returns_increment, "cmp %rdx, %rax\n inc %eax", "");

/*
 * The same for a piece that an indirect jump to another page follows: what is there changes each operand, but no flag, and goes on to
 * where they are looked at.
 */
#define PASSED_ON(name, piece, tail)                                                                                   \
    GUEST(name, "mov $4000, %ecx\n xor %r12d, %r12d\n xor %r13d, %r13d\n 1: imul $0x2545f491, %rcx, %rsi\n ror $29, %rsi\n"   \
                " imul $0x1e3779b1, %rsi, %rdi\n lea 0x6e000(,%rcx,8), %ebx\n and $0x6fff8, %ebx\n mov %rbx, %rsp\n"         \
                " mov %rsi, %rax\n mov %rdi, %rdx\n sub $32, %rsp\n " piece "\n pushfq\n pop %r8\n mov %rbx, %rsp\n"       \
                " mov %rsi, %rax\n mov %rdi, %rdx\n sub $32, %rsp\n lea 4f(%rip), %r15\n lea 3f(%rip), %r14\n"             \
                " " piece "\n " tail "\n jmp *%r14\n"                                                                 \
                " 4: pushfq\n pop %r14\n xor %r8, %r14\n or %r14, %r12\n inc %r13d\n mov %rbx, %rsp\n sub $1, %ecx\n jnz 1b\n"  \
                " jmp 9f\n .skip 4096\n 3: not %rax\n mov %rcx, %rdx\n mov %rcx, %r9\n mov %rcx, %r10\n mov %rcx, %r11\n"     \
                " lea -24(%rsp), %rsp\n jmp *%r15\n 9:")
PASSED_ON(passes_add, "add %rdx, %rax", "");
PASSED_ON(passes_add_lost, "add %rdx, %rax", "mov %ecx, %edx");
PASSED_ON(passes_sub_lost, "sub %edx, %eax", "xchg %al, %ah");
PASSED_ON(passes_and, "and %edx, %eax", "mov (%rbx), %edx");
PASSED_ON(passes_compare, "cmp %rdx, %rax", "");
PASSED_ON(passes_compare_lost, "cmp %rdx, %rax", "mov (%rbx), %rax\n mov %eax, %edx");
PASSED_ON(passes_compare_spilled, "mov %rdx, %r10\n mov %rax, %r9\n cmp %r9w, %r10w", "mov %ecx, %r11d");
PASSED_ON(passes_compare_spilled_lost, "mov %rdx, %r11\n cmp %r11, %rax", "lea 1(%rcx), %r11");
PASSED_ON(passes_compare_branch, "cmp %edx, %eax", "jc 6f\n mov %rcx, %r9\n 6:");
PASSED_ON(passes_compare_branch_lost, "cmp %edx, %eax", "jc 6f\n mov %ecx, %edx\n 6:");
PASSED_ON(passes_test_immediate, "test $0x5a, %dl", "mov (%rbx), %rax");
PASSED_ON(passes_stack, "add $24, %rsp", "");
PASSED_ON(passes_stack_moved, "add $24, %rsp", "push %rcx\n pop %rax\n pop %rdx\n lea -72(%rsp), %rsp");
PASSED_ON(passes_stack_lost, "sub $24, %rsp", "mov %rbx, %rsp\n push %rcx");
PASSED_ON(passes_stack_compared, "cmp %rsp, %rax", "push %rcx");
PASSED_ON(passes_stack_vector, "add $16, %rsp", "movq %rcx, %xmm0\n push %rcx\n movdqa %xmm0, %xmm1");
/* Between the instruction that changes flags and the RET is one that may fault. */
GUEST(faulting, "xor %edx, %edx\n 1: call 3f\n jmp 2f\n ud2\n 2: sub $1, %ecx\n jnz 1b\n jmp 9f\n"
                " 3: push %rbp\n mov %rcx, %rbp\n cmp %rsi, %rbp\n mov (%rbx,%rcx,8), %rax\n pop %rbp\n ret\n 9:");

/* What the function adds to EAX is another number behind the 10001st turn. */
GUEST(rewritten, "mov $20000, %ecx\n xor %eax, %eax\n 1: call 3f\n cmp $10000, %ecx\n jne 2f\n movl $5, 4f(%rip)\n"
                 " 2: dec %ecx\n jnz 1b\n jmp 9f\n .skip 64\n 3: .byte 0x05\n 4: .long 1\n ret\n 9:");
/* For ever: down by a jump, and up by another. */
GUEST(circle, "mov $0x20000, %ebx\n jmp 1f\n 2: incl (%rbx)\n jmp 1f\n ud2\n 1: dec %rcx\n jmp 2b");
/* Through a table for dynamic linking in another page, with CF set in the lower half of the turns. EAX and EDX count CF in what
 * the table leads to until the 15001st turn, and from then on. */
GUEST(linked, "mov $20000, %ecx\n xor %eax, %eax\n xor %edx, %edx\n lea 5f(%rip), %rbx\n mov %rbx, 0x20100\n"
              "1: cmp $10000, %ecx\n call 3f\n cmp $5000, %ecx\n jne 2f\n lea 6f(%rip), %rbx\n mov %rbx, 0x20100\n"
              "2: dec %ecx\n jnz 1b\n jmp 9f\n"
              "5: adc $0, %eax\n ret\n 6: adc $0, %edx\n ret\n .skip 4096\n 3: jmp *0x20100\n 9:");
/* For ever, up and down through such tables. */
GUEST(linked_circle, "lea 2f(%rip), %rax\n mov %rax, 0x20100\n lea 1f(%rip), %rax\n mov %rax, 0x20108\n"
                     "1: incl 0x20000\n jmp *0x20100\n .skip 4096\n 2: dec %rcx\n jmp *0x20108\n");

/* Of a function in another page, with CF set in the lower half of the turns: from one place, and behind the 15000th turn from another.
 * EAX and EDX count CF there. */
GUEST(returner, "mov $20000, %ecx\n xor %eax, %eax\n xor %edx, %edx\n"
                "1: cmp $5000, %ecx\n jna 2f\n call 3f\n 4: adc $0, %eax\n jmp 5f\n 2: call 3f\n adc $0, %edx\n"
                "5: dec %ecx\n jnz 1b\n jmp 9f\n .skip 4096\n"
                "3: push %rbx\n sub $40, %rsp\n mov %rcx, %rbx\n add $32, %rsp\n cmp $10000, %rbx\n lea 8(%rsp), %rsp\n pop %rbx\n ret\n 9:");
/* For ever, from page to page by RET. */
GUEST(return_circle, "lea 64(%rsp), %rsp\n 1: lea -64(%rsp), %rsp\n lea 2f(%rip), %rax\n incl 0x20000\n push %rax\n ret\n .skip 4096\n"
                     " 2: sub $-128, %rsp\n lea 1b(%rip), %rax\n sub $64, %rsp\n dec %rcx\n push %rax\n ret\n");

/* Adds 3 to each of RCX words from RBX on, and 1 to the word behind each: EDX is the sum of the first. */
GUEST(words, "xor %edx, %edx\n 1: addl $3, (%rbx)\n add (%rbx), %edx\n incl 4(%rbx)\n add $8, %rbx\n dec %ecx\n jnz 1b");

static int run_words(Rig *rig, uint64_t rbx, uint32_t count)
{
    CpuState *s = rig_state(rig, 0);

    RIG_LOAD(rig, words);
    rig_mode(rig, 0, 64);
    s->cr0 |= CR0_WP;
    s->gpr[GPR_RBX] = rbx;
    s->gpr[GPR_RCX] = count;
    return rig_run(rig, 0);
}

static bool goes_round(const DbtBlock *b)
{
    for (unsigned n = 1; b && n < b->count; n++) {
        if (b->insns[n].offset == b->insns[0].offset)
            return true;
    }
    return false;
}

/* Whether a block of the guest has several turns of a loop in it. */
static bool has_turns(Rig *rig)
{
    const DbtVcpu *v = vcpu_of(rig);
    bool found = !v->jit;

    for (uint64_t gpa = RIG_CODE; gpa < RIG_CODE + 0x40; gpa++)
        found |= goes_round(dbt_block_known(v, gpa, 64));
    return found;
}

static void a_short_loop_ends_in_any_of_its_turns(void **state)
{
    Rig *rig = *state;
    uint32_t *word = rig_mem(rig, RIG_DATA);

    assert_int_equal(run_words(rig, RIG_DATA, 1500), -1); /* into a third page */
    assert_true(has_turns(rig));
    for (uint32_t count = 1; count < 20; count++) {
        memset(word, 0, 0x4000);
        assert_int_equal(run_words(rig, RIG_DATA + 0x1000 - 24, count), -1);
        assert_int_equal(gpr(rig, GPR_RDX), 3 * count);
        for (uint32_t i = 0; i < 20; i++) {
            assert_int_equal(word[0x400 - 6 + 2 * i], i < count ? 3 : 0);
            assert_int_equal(word[0x400 - 5 + 2 * i], i < count ? 1 : 0);
        }
    }
}

static void a_fault_in_a_later_turn_has_the_state_of_that_turn(void **state)
{
    Rig *rig = *state;
    uint64_t *pte = (uint64_t *)rig_mem(rig, 0x1000) + (RIG_DATA + 0x1000) / 0x1000;
    const CpuState *s = rig_state(rig, 0);

    assert_int_equal(run_words(rig, RIG_DATA, 1500), -1);
    assert_true(has_turns(rig));
    for (uint32_t before = 0; before < 20; before++) {
        memset(rig_mem(rig, RIG_DATA), 0, 0x2000);
        *pte &= ~1ull;
        assert_int_equal(run_words(rig, RIG_DATA + 0x1000 - 8 * before, 30), 14);
        assert_true(s->cr2 == RIG_DATA + 0x1000 && s->gpr[GPR_RBX] == s->cr2);
        assert_true(rig_fault_rip(rig, 64, true) == RIG_CODE + 2);
        assert_int_equal(gpr(rig, GPR_RCX), 30 - before);
        assert_int_equal(gpr(rig, GPR_RDX), 3 * before);
        /* The word before is on the first page, that behind it on the second. */
        assert_int_equal(run_words(rig, RIG_DATA + 0x1000 - 4 - 8 * before, 30), 14);
        assert_true(rig_fault_rip(rig, 64, true) == RIG_CODE + 7);
        assert_int_equal(gpr(rig, GPR_RCX), 30 - before);
        *pte |= 1;
    }
}

static void jumps_calls_and_returns_are_within_one_unit(void **state)
{
    Rig *rig = *state;
    const DbtVcpu *v = vcpu_of(rig);

    assert_int_equal(RIG_RUN(rig, 64, roundabout), -1);
    assert_int_equal(gpr(rig, GPR_RAX), TURNS);
    assert_true(joined(rig));
    if (!v->jit || v->accel->lock_step)
        return;
    /* What runs for so long is one unit that goes to its own begin. */
    assert_true(v->jit->stats.entries < 1000);
    assert_true(v->jit->stats.jump_misses < 10);
}

static void a_loop_that_begins_in_its_middle_goes_round_in_one_unit(void **state)
{
    const size_t middle = (size_t)(rotated_end - rotated) - 11;
    Rig *rig = *state;
    const DbtBlock *b;

    assert_int_equal(RIG_RUN(rig, 64, rotated), -1);
    assert_int_equal(gpr(rig, GPR_RAX), 3 * TURNS);
    b = dbt_block_known(vcpu_of(rig), RIG_CODE + middle, 64);
    assert_non_null(b);
    if (vcpu_of(rig)->jit && !vcpu_of(rig)->accel->lock_step)
        assert_true(b->joined && b->count > 2 * 4);
}

static void a_path_is_left_where_a_branch_goes_the_other_way(void **state)
{
    Rig *rig = *state;

    assert_int_equal(RIG_RUN(rig, 64, mostly), -1);
    assert_int_equal(gpr(rig, GPR_RAX), TURNS / 8 * 7);
    assert_int_equal(gpr(rig, GPR_RDX), TURNS / 8);
    assert_true(joined(rig));
}

static void a_return_to_another_place_takes_its_flags_there(void **state)
{
    Rig *rig = *state;
    uint32_t here = 0, there = 0;

    for (uint32_t turn = 1; turn <= TURNS; turn++) {
        here += !(turn & 8) && turn & 2;
        there += turn & 8 && turn & 2;
    }
    assert_int_equal(RIG_RUN(rig, 64, elsewhere), -1);
    assert_int_equal(gpr(rig, GPR_RAX), here);
    assert_int_equal(gpr(rig, GPR_RDX), there);
    assert_true(joined(rig));
}

typedef struct Returning {
    const char *name;
    const uint8_t *code, *end;
    uint32_t undefined;
} Returning;

#define RETURNING(name, undefined) {#name, name, name##_end, undefined}

static const Returning returning[] = {
    RETURNING(returns_add, 0),
    RETURNING(returns_add_lost, 0),
    RETURNING(returns_add_both_lost, 0),
    RETURNING(returns_add_byte, 0),
    RETURNING(returns_sub_word, 0),
    RETURNING(returns_sub_immediate, 0),
    RETURNING(returns_compare, 0),
    RETURNING(returns_compare_immediate, 0),
    RETURNING(returns_compare_spilled, 0),
    RETURNING(returns_compare_spilled_kept, 0),
    RETURNING(returns_test, RFLAGS_AF),
    RETURNING(returns_and_lost, RFLAGS_AF),
    RETURNING(returns_xor, RFLAGS_AF),
    RETURNING(returns_stack, 0),
    RETURNING(returns_stack_lost, 0),
    RETURNING(returns_stack_by_register, 0),
    RETURNING(returns_branch, 0),
    RETURNING(returns_call, 0),
    RETURNING(returns_shift, RFLAGS_AF),
    RETURNING(returns_vector, 0),
    RETURNING(returns_increment, 0),
};

static const Returning passed_on[] = {
    RETURNING(passes_add, 0),
    RETURNING(passes_add_lost, 0),
    RETURNING(passes_sub_lost, 0),
    RETURNING(passes_and, RFLAGS_AF),
    RETURNING(passes_compare, 0),
    RETURNING(passes_compare_lost, 0),
    RETURNING(passes_compare_spilled, 0),
    RETURNING(passes_compare_spilled_lost, 0),
    RETURNING(passes_compare_branch, 0),
    RETURNING(passes_compare_branch_lost, 0),
    RETURNING(passes_test_immediate, RFLAGS_AF),
    RETURNING(passes_stack, 0),
    RETURNING(passes_stack_moved, 0),
    RETURNING(passes_stack_lost, 0),
    RETURNING(passes_stack_compared, 0),
    RETURNING(passes_stack_vector, 0),
};

/* times: the flags have been compared. */
static void check_flags(Rig *rig, const Returning *all, size_t count, uint32_t times)
{
    for (unsigned i = 0; i < count; i++) {
        const Returning *r = &all[i];
        const CpuState *s = rig_state(rig, 0);

        rig_enable_units(rig, 64, XCR0_X87 | XCR0_SSE);
        rig_code(rig, r->code, (size_t)(r->end - r->code));
        s = rig_state(rig, 0);
        assert_int_equal(rig_run(rig, 0), -1);
        if (s->gpr[GPR_R12] & RFLAGS_ARITH & ~r->undefined)
            fail_msg("%s: flags %lx differ", r->name, (unsigned long)s->gpr[GPR_R12]);
        assert_int_equal(gpr(rig, GPR_R13), times);
    }
}

static void a_return_to_another_place_takes_the_flags_of_any_instruction_there(void **state)
{
    check_flags(*state, returning, G_N_ELEMENTS(returning), 4000 / 8);
    assert_true(joined(*state));
}

static void flags_go_along_through_code_that_changes_what_they_are_made_of(void **state)
{
    check_flags(*state, passed_on, G_N_ELEMENTS(passed_on), 4000);
}

/* Down from RCX, which is compared with RSI. */
static int run_faulting(Rig *rig, uint64_t rcx, uint64_t rsi)
{
    CpuState *s = rig_state(rig, 0);

    RIG_LOAD(rig, faulting);
    rig_mode(rig, 0, 64);
    s->gpr[GPR_RBX] = RIG_DATA;
    s->gpr[GPR_RCX] = rcx;
    s->gpr[GPR_RSI] = rsi;
    return rig_run(rig, 0);
}

static void a_fault_in_front_of_a_return_has_the_flags_of_before(void **state)
{
    static const struct {
        uint64_t rsi, flags;
    } cases[] = {{512, RFLAGS_CF | RFLAGS_PF}, {511, RFLAGS_ZF | RFLAGS_PF}, {510, 0}, {508, RFLAGS_PF}};
    Rig *rig = *state;
    uint64_t *pte = (uint64_t *)rig_mem(rig, 0x1000) + RIG_DATA / 0x1000;

    assert_int_equal(run_faulting(rig, 1500, 0), -1);
    assert_true(joined(rig));
    *pte &= ~1ull;
    for (unsigned i = 0; i < 4 * G_N_ELEMENTS(cases); i++) {
        const uint64_t *frame; /* error code, RIP, CS, RFLAGS */

        /* In any of the turns within the unit. */
        assert_int_equal(run_faulting(rig, 1500 + i / 4, cases[i % 4].rsi), 14);
        assert_int_equal(gpr(rig, GPR_RCX), 511);
        frame = rig_mem(rig, rig_state(rig, 0)->gpr[GPR_RSP]);
        assert_int_equal(frame[3] & (RFLAGS_CF | RFLAGS_ZF | RFLAGS_PF), cases[i % 4].flags);
    }
}

static void code_written_far_behind_the_begin_of_a_path_is_seen(void **state)
{
    Rig *rig = *state;

    assert_int_equal(RIG_RUN(rig, 64, rewritten), -1);
    assert_int_equal(gpr(rig, GPR_RAX), 10001 + 9999 * 5);
    assert_true(joined(rig));
}

/* What the block at this address jumps to through memory is linked like any other successor, if it is translated. */
static bool goes_on_directly(Rig *rig, uint64_t gpa, uint64_t target)
{
    const DbtJit *jit = vcpu_of(rig)->jit;
    const DbtBlock *b = dbt_block_known(vcpu_of(rig), gpa, 64);

    if (!jit || vcpu_of(rig)->accel->lock_step)
        return true;
    for (uint32_t i = 0; b && b->units && i < b->units->exit_count; i++) {
        const JitExit *exit = &jit->exits[b->units->first_exit + i];

        if (exit->rip == target && exit->linked)
            return true;
    }
    return false;
}

static void a_jump_through_a_table_follows_what_the_table_says(void **state)
{
    const size_t size = (size_t)(linked_end - linked), stub = size - 7, functions = stub - 4096 - 8;
    Rig *rig = *state;

    assert_int_equal(RIG_RUN(rig, 64, linked), -1);
    assert_int_equal(gpr(rig, GPR_RAX), 5000);
    assert_int_equal(gpr(rig, GPR_RDX), 4999);
    assert_true(goes_on_directly(rig, RIG_CODE + stub, RIG_CODE + functions));
}

/* Runs what goes round for ever and counts at RIG_DATA until there is a request. */
static void run_circle(Rig *rig)
{
    Vcpu *vcpu = rig->machine->vcpus[0];
    uint32_t *turns = rig_mem(rig, RIG_DATA);
    pthread_t thread;

    *turns = 0;
    rig_mode(rig, 0, 64);
    vcpu_take_requests(vcpu, ~0u);
    assert_true(thread_create(&thread, "circle", rig_run_until_told, vcpu, NULL));
    while (__atomic_load_n(turns, __ATOMIC_RELAXED) < TURNS)
        sched_yield();
    vcpu_request(vcpu, VCPU_REQ_PAUSE);
    pthread_join(thread, NULL);
}

static void a_circle_that_joins_its_backward_jump_looks_at_requests(void **state)
{
    Rig *rig = *state;

    RIG_LOAD(rig, circle);
    run_circle(rig);
    assert_true(joined(rig));
}

/* It ends when it is told to, though its two halves go on to each other by links. */
static void check_linked_circle(Rig *rig, uint64_t first, uint64_t second)
{
    run_circle(rig);
    assert_true(goes_on_directly(rig, first, second));
    assert_true(goes_on_directly(rig, second, first));
}

static void a_circle_through_tables_looks_at_requests(void **state)
{
    const size_t size = (size_t)(linked_circle_end - linked_circle), second = size - 10, first = second - 4096 - 14;
    Rig *rig = *state;

    RIG_LOAD(rig, linked_circle);
    check_linked_circle(rig, RIG_CODE + first, RIG_CODE + second);
}

static void a_return_to_the_usual_place_is_linked_and_one_to_another_is_right(void **state)
{
    const size_t function = (size_t)(returner_end - returner) - 26, usual = 22;
    Rig *rig = *state;

    assert_int_equal(RIG_RUN(rig, 64, returner), -1);
    assert_int_equal(gpr(rig, GPR_RAX), 4999);
    assert_int_equal(gpr(rig, GPR_RDX), 5000);
    assert_true(goes_on_directly(rig, RIG_CODE + function, RIG_CODE + usual));
}

static void a_circle_of_returns_looks_at_requests(void **state)
{
    const size_t second = (size_t)(return_circle_end - return_circle) - 20, first = 5;
    Rig *rig = *state;

    RIG_LOAD(rig, return_circle);
    check_linked_circle(rig, RIG_CODE + first, RIG_CODE + second);
}

static void pieces_decoded_again_are_where_they_were(void **state)
{
    Rig *rig = *state;
    DbtVcpu *v = vcpu_of(rig);
    unsigned found = 0;

    assert_int_equal(RIG_RUN(rig, 64, roundabout), -1);
    for (uint64_t gpa = RIG_CODE; gpa < RIG_CODE + 0x100; gpa++) {
        DbtBlock *b = dbt_block_known(v, gpa, 64);
        DbtInsn before[BLOCK_MAX_INSNS];

        if (!b || b->pieces < 2)
            continue;
        found++;
        memcpy(before, dbt_block_insns(v, b), b->count * sizeof(before[0]));
        b->insns = NULL;
        for (unsigned i = 0; i < b->count; i++) {
            const DbtInsn *now = &dbt_block_insns(v, b)[i];

            assert_int_equal(now->offset, before[i].offset);
            assert_int_equal(now->len, before[i].len);
            assert_ptr_equal(now->handler, before[i].handler);
        }
    }
    assert_true(!v->jit || found);
}

/*
 * A page ends behind a comparison and a store, and control goes on in the next page. What is there does not need the flags in one
 * address space, and does in another, where it counts in EAX how often they are those of R13. R9 becomes that page's entry at R10 in
 * between. R11 is where the code is.
 */
#define COMPARES "cmp %edx, %ecx\n mov %ecx, (%rbx)\n "
GUEST(going_on_over_the_end, COMPARES);
GUEST(a_jump_over_the_end, COMPARES "jmp 1f\n 1:");
GUEST(a_call_over_the_end, COMPARES "call 1f\n 1:");
GUEST(a_branch_over_the_end, COMPARES "jb 1f\n nop\n 1:");
GUEST(a_branch_not_taken_over_the_end, "1: " COMPARES "ja 1b\n");
GUEST(a_branch_on_rcx_over_the_end, COMPARES "jrcxz 1f\n nop\n 1:");
GUEST(a_loop_over_the_end, COMPARES "loop 1f\n nop\n 1:");
GUEST(a_jump_to_what_goes_over_the_end, COMPARES "jmp 1f\n ud2\n 1: lea 1(%r14), %r14\n");
GUEST(an_instruction_over_the_end, COMPARES ".byte 0x0f\n"); /* IMUL EDI, EDI or MOVZX EDI, BH */
GUEST(needs_nothing, ".byte 0xaf, 0xff\n xor %edx, %edx\n ret\n");
GUEST(needs_flags, ".byte 0xb6, 0xff\n pushfq\n pop %rdi\n and $0x8d5, %edi\n cmp %r13, %rdi\n jne 1f\n inc %eax\n 1: ret\n");
#define CALLED_100_TIMES "mov $100, %ebp\n 1: mov $2, %edx\n xor %ecx, %ecx\n call *%r11\n dec %ebp\n jnz 1b\n"
GUEST(two_spaces, "xor %eax, %eax\n " CALLED_100_TIMES
                  "mov %r9, (%r10)\n mov %cr3, %rcx\n mov %rcx, %cr3\n " CALLED_100_TIMES);
#define BOUNDARY 0x41000u
#define OTHER 0x45000u

static void check_boundary(Rig *rig, const uint8_t *code, const uint8_t *end)
{
    CpuState *s = rig_state(rig, 0);
    size_t size = (size_t)(end - code), skip = end[-1] == 0x0f ? 0 : 2;

    memcpy((uint8_t *)rig_mem(rig, BOUNDARY) - size, code, size);
    memcpy(rig_mem(rig, BOUNDARY), needs_nothing + skip, (size_t)(needs_nothing_end - needs_nothing) - skip);
    memcpy(rig_mem(rig, OTHER), needs_flags + skip, (size_t)(needs_flags_end - needs_flags) - skip);
    RIG_LOAD(rig, two_spaces);
    rig_mode(rig, 0, 64);
    s->gpr[GPR_RBX] = RIG_DATA;
    s->gpr[GPR_R9] = OTHER | 3;
    s->gpr[GPR_R10] = 0x1000 + BOUNDARY / 0x1000 * 8;
    s->gpr[GPR_R11] = BOUNDARY - size;
    s->gpr[GPR_R13] = RFLAGS_CF | RFLAGS_AF | RFLAGS_SF; /* of 0 - 2 */
    assert_int_equal(rig_run(rig, 0), -1);
    assert_int_equal(gpr(rig, GPR_RAX), 100);
}

#define BOUNDARY_CASE(name)                                                                        \
    static void flags_are_right_after_##name(void **state)                                         \
    {                                                                                              \
        check_boundary(*state, name, name##_end);                                                  \
    }
BOUNDARY_CASE(going_on_over_the_end)
BOUNDARY_CASE(a_jump_over_the_end)
BOUNDARY_CASE(a_call_over_the_end)
BOUNDARY_CASE(a_branch_over_the_end)
BOUNDARY_CASE(a_branch_not_taken_over_the_end)
BOUNDARY_CASE(a_branch_on_rcx_over_the_end)
BOUNDARY_CASE(a_loop_over_the_end)
BOUNDARY_CASE(a_jump_to_what_goes_over_the_end)
BOUNDARY_CASE(an_instruction_over_the_end)

/* Both ways of a branch within a page, in one address space and, with another page there, in the next. */
GUEST(two_ways, "test %ecx, %ecx\n jz 1f\n inc %eax\n 1: ret\n");
#define TWO_WAYS_RETURN 6u
#define CALLED_BOTH_WAYS "mov $40, %ebp\n 1: mov %ebp, %ecx\n and $1, %ecx\n call *%r11\n dec %ebp\n jnz 1b\n"
GUEST(two_pages, CALLED_BOTH_WAYS "mov %r9, (%r10)\n mov %cr3, %rcx\n mov %rcx, %cr3\n" CALLED_BOTH_WAYS);

static JitUnit *unit_at(const DbtJit *jit, uint64_t rip, uint64_t gpa)
{
    for (unsigned part = 0; part < jit->part_count; part++) {
        for (uint32_t i = 0; i < jit->parts[part].units; i++) {
            JitUnit *u = &jit->units[part * jit->part_units + i];

            if (u->valid && u->rip == rip && u->block->gpa == gpa)
                return u;
        }
    }
    fail_msg("no unit for %lx at %lx", (unsigned long)rip, (unsigned long)gpa);
    return NULL;
}

static JitExit *exit_to(const DbtJit *jit, const JitUnit *unit, uint64_t rip)
{
    for (uint32_t i = 0; i < unit->exit_count; i++) {
        if (jit->exits[unit->first_exit + i].rip == rip)
            return &jit->exits[unit->first_exit + i];
    }
    fail_msg("no exit to %lx", (unsigned long)rip);
    return NULL;
}

static void a_link_within_a_page_leads_to_the_same_page_of_memory(void **state)
{
    Rig *rig = *state;
    CpuState *s = rig_state(rig, 0);
    DbtJit *jit = vcpu_of(rig)->jit;
    JitUnit *here;
    JitExit *exit;

    memcpy(rig_mem(rig, BOUNDARY), two_ways, (size_t)(two_ways_end - two_ways));
    memcpy(rig_mem(rig, OTHER), two_ways, (size_t)(two_ways_end - two_ways));
    RIG_LOAD(rig, two_pages);
    rig_mode(rig, 0, 64);
    s->gpr[GPR_R9] = OTHER | 3;
    s->gpr[GPR_R10] = 0x1000 + BOUNDARY / 0x1000 * 8;
    s->gpr[GPR_R11] = BOUNDARY;
    assert_int_equal(rig_run(rig, 0), -1);
    if (!jit || vcpu_of(rig)->accel->lock_step) /* which links nothing */
        return;
    here = unit_at(jit, BOUNDARY + TWO_WAYS_RETURN, BOUNDARY + TWO_WAYS_RETURN);
    exit = exit_to(jit, unit_at(jit, BOUNDARY, BOUNDARY), BOUNDARY + TWO_WAYS_RETURN);
    assert_int_equal(exit->linked, here->id + 1);
    jit_unit_drop(jit, here);
    assert_int_equal(exit->linked, 0);
    jit_unit_link(jit, exit, unit_at(jit, BOUNDARY + TWO_WAYS_RETURN, OTHER + TWO_WAYS_RETURN));
    assert_int_equal(exit->linked, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        PATH_CASE(a_link_within_a_page_leads_to_the_same_page_of_memory),
        PATH_CASE(flags_are_right_after_going_on_over_the_end),
        PATH_CASE(flags_are_right_after_a_jump_over_the_end),
        PATH_CASE(flags_are_right_after_a_call_over_the_end),
        PATH_CASE(flags_are_right_after_a_branch_over_the_end),
        PATH_CASE(flags_are_right_after_a_branch_not_taken_over_the_end),
        PATH_CASE(flags_are_right_after_a_branch_on_rcx_over_the_end),
        PATH_CASE(flags_are_right_after_a_loop_over_the_end),
        PATH_CASE(flags_are_right_after_a_jump_to_what_goes_over_the_end),
        PATH_CASE(flags_are_right_after_an_instruction_over_the_end),
        PATH_CASE(jumps_calls_and_returns_are_within_one_unit),
        PATH_CASE(a_loop_that_begins_in_its_middle_goes_round_in_one_unit),
        PATH_CASE(a_path_is_left_where_a_branch_goes_the_other_way),
        PATH_CASE(a_return_to_another_place_takes_its_flags_there),
        PATH_CASE(a_return_to_another_place_takes_the_flags_of_any_instruction_there),
        PATH_CASE(flags_go_along_through_code_that_changes_what_they_are_made_of),
        PATH_CASE(a_fault_in_front_of_a_return_has_the_flags_of_before),
        PATH_CASE(code_written_far_behind_the_begin_of_a_path_is_seen),
        PATH_CASE(a_jump_through_a_table_follows_what_the_table_says),
        PATH_CASE(a_circle_through_tables_looks_at_requests),
        PATH_CASE(a_return_to_the_usual_place_is_linked_and_one_to_another_is_right),
        PATH_CASE(a_circle_of_returns_looks_at_requests),
        PATH_CASE(a_circle_that_joins_its_backward_jump_looks_at_requests),
        PATH_CASE(a_short_loop_ends_in_any_of_its_turns),
        PATH_CASE(a_fault_in_a_later_turn_has_the_state_of_that_turn),
        PATH_CASE(pieces_decoded_again_are_where_they_were),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
