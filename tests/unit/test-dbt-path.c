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
/* What the function adds to EAX is another number behind the 10001st turn. */
GUEST(rewritten, "mov $20000, %ecx\n xor %eax, %eax\n 1: call 3f\n cmp $10000, %ecx\n jne 2f\n movl $5, 4f(%rip)\n"
                 " 2: dec %ecx\n jnz 1b\n jmp 9f\n .skip 64\n 3: .byte 0x05\n 4: .long 1\n ret\n 9:");
/* For ever: down by a jump, and up by another. */
GUEST(circle, "mov $0x20000, %ebx\n jmp 1f\n 2: incl (%rbx)\n jmp 1f\n ud2\n 1: dec %rcx\n jmp 2b");

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

static void code_written_far_behind_the_begin_of_a_path_is_seen(void **state)
{
    Rig *rig = *state;

    assert_int_equal(RIG_RUN(rig, 64, rewritten), -1);
    assert_int_equal(gpr(rig, GPR_RAX), 10001 + 9999 * 5);
    assert_true(joined(rig));
}

static void a_circle_that_joins_its_backward_jump_looks_at_requests(void **state)
{
    Rig *rig = *state;
    Vcpu *vcpu = rig->machine->vcpus[0];
    uint32_t *turns = rig_mem(rig, RIG_DATA);
    pthread_t thread;

    *turns = 0;
    RIG_LOAD(rig, circle);
    rig_mode(rig, 0, 64);
    vcpu_take_requests(vcpu, ~0u);
    assert_true(thread_create(&thread, "circle", rig_run_until_told, vcpu, NULL));
    while (__atomic_load_n(turns, __ATOMIC_RELAXED) < TURNS)
        sched_yield();
    vcpu_request(vcpu, VCPU_REQ_PAUSE);
    pthread_join(thread, NULL);
    assert_true(joined(rig));
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        PATH_CASE(jumps_calls_and_returns_are_within_one_unit),
        PATH_CASE(a_path_is_left_where_a_branch_goes_the_other_way),
        PATH_CASE(a_return_to_another_place_takes_its_flags_there),
        PATH_CASE(code_written_far_behind_the_begin_of_a_path_is_seen),
        PATH_CASE(a_circle_that_joins_its_backward_jump_looks_at_requests),
        PATH_CASE(a_short_loop_ends_in_any_of_its_turns),
        PATH_CASE(a_fault_in_a_later_turn_has_the_state_of_that_turn),
        PATH_CASE(pieces_decoded_again_are_where_they_were),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
