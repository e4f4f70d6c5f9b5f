/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Code that runs often is translated, and once more with site entries (accel/dbt/jit-site.c), where it lies well
 * (accel/dbt/jit-place.c); but not while somebody wants the vCPU.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <Zydis/Zydis.h>
#include <cmocka.h>

#include "accel/dbt/jit.h"
#include "core/thread.h"
#include "dbt-rig.h"

#define TURNS 20000u

static DbtVcpu *vcpu_of(Rig *rig)
{
    return rig->machine->vcpus[0]->accel;
}

/* Counts at RIG_DATA in ECX turns; flags are dead where the loop begins. */
GUEST(dead_flags, "mov $0x20000, %ebx\n mov $20000, %ecx\n 1: addl $3, (%rbx)\n mov 4(%rbx), %edx\n dec %ecx\n jnz 1b");
/* The carry goes from each turn to the next. */
GUEST(live_flags, "mov $0x20000, %ebx\n mov $20000, %ecx\n stc\n 1: adcl $0x7fffffff, (%rbx)\n adcl $0, 4(%rbx)\n dec %ecx\n jnz 1b");
/* A short walk through memory, which is no reason to translate anything again. */
GUEST(rare, "mov $0x20000, %ebx\n mov $100, %ecx\n 1: addl $3, (%rbx)\n dec %ecx\n jnz 1b");

static void code_that_runs_often_gets_site_entries(void **state)
{
    Rig *rig = *state;
    const DbtVcpu *v = vcpu_of(rig);

    vcpu_of(rig)->accel->translate_after = 4;
    assert_int_equal(RIG_RUN(rig, 64, dead_flags), -1);
    assert_int_equal(*(uint32_t *)rig_mem(rig, RIG_DATA), 3 * TURNS);
    if (!v->jit)
        return;
    assert_int_equal(v->jit->stats.hot, 1);
    assert_true(v->jit->next_site[MMU_SUPERVISOR][true] > 0);
}

static void flags_survive_when_code_gets_hot(void **state)
{
    Rig *rig = *state;
    const DbtVcpu *v = vcpu_of(rig);
    uint32_t low = 0, high = 0;
    bool carry = true;

    vcpu_of(rig)->accel->translate_after = 4;
    for (unsigned i = 0; i < TURNS; i++) {
        uint64_t sum = (uint64_t)low + 0x7fffffff + carry;

        low = (uint32_t)sum;
        sum = (uint64_t)high + (sum >> 32);
        high = (uint32_t)sum;
        carry = sum >> 32;
    }
    assert_int_equal(RIG_RUN(rig, 64, live_flags), -1);
    assert_int_equal(*(uint32_t *)rig_mem(rig, RIG_DATA), low);
    assert_int_equal(*(uint32_t *)rig_mem(rig, RIG_DATA + 4), high);
    assert_true(!v->jit || v->jit->stats.hot >= 1);
}

static void code_that_runs_now_and_then_takes_no_site_entries(void **state)
{
    Rig *rig = *state;
    const DbtVcpu *v = vcpu_of(rig);

    vcpu_of(rig)->accel->translate_after = 4;
    assert_int_equal(RIG_RUN(rig, 64, rare), -1);
    if (!v->jit)
        return;
    assert_true(v->jit->stats.units > 0);
    assert_int_equal(v->jit->next_site[MMU_SUPERVISOR][true], 0);
}

/* Loops that are too long for two turns in a unit, at all kinds of addresses. */
GUEST(loops, "mov $0x20000, %ebx\n"
             ".rept 12\n mov $5000, %ecx\n 1:\n .rept 36\n add %ecx, %eax\n .endr\n addl $1, (%rbx)\n dec %ecx\n jnz 1b\n .skip 9, 0x90\n .endr");
static unsigned placed[2]; /* by the half the guest's is in */

/* The last byte of a conditional branch is in the half of 64 bytes that the guest's is in. */
static void check_branches(DbtJit *jit, JitUnit *unit)
{
    const DbtInsn *insns = dbt_block_insns(jit->v, unit->block);

    for (unsigned i = 0; i < unit->exit_count && unit->block->hot; i++) {
        const JitExit *exit = &jit->exits[unit->first_exit + i];
        const uint8_t *patch = jit->hot.base + exit->patch;
        uint64_t rip = unit->rip + (uint64_t)insns[exit->insn].offset + insns[exit->insn].len - 1;

        if (patch[-2] != 0x0f || insns[exit->insn].mnemonic != ZYDIS_MNEMONIC_JNZ)
            continue;
        assert_int_equal((exit->patch + 3) & 32, rip & 32);
        placed[rip >> 5 & 1]++;
    }
}

static void branches_of_hot_code_lie_as_they_do_in_the_guest(void **state)
{
    Rig *rig = *state;
    const DbtVcpu *v = vcpu_of(rig);

    vcpu_of(rig)->accel->translate_after = 4;
    assert_int_equal(RIG_RUN(rig, 64, loops), -1);
    assert_int_equal(*(uint32_t *)rig_mem(rig, RIG_DATA), 12 * 5000);
    if (!v->jit)
        return;
    jit_units_foreach(v->jit, check_branches);
    assert_true(placed[0] >= 4 && placed[1] >= 4);
}

/* 300 blocks of 32 instructions, in turn, 20 times. */
#define CHAIN 300u
GUEST(chain, "mov $20, %ecx\n 1: .rept 300\n .rept 30\n inc %eax\n .endr\n jmp . + 2\n .endr\n dec %ecx\n jnz 1b");

typedef struct Asker {
    Rig *rig;
    bool done;
} Asker;

static void *ask_all_the_time(void *opaque)
{
    Asker *a = opaque;

    while (!__atomic_load_n(&a->done, __ATOMIC_RELAXED))
        vcpu_request(a->rig->machine->vcpus[0], VCPU_REQ_INTR);
    return NULL;
}

static void translation_gives_way_to_requests_but_not_for_ever(void **state)
{
    Rig *rig = *state;
    const DbtVcpu *v = vcpu_of(rig);
    Asker asker = {.rig = rig};
    uint64_t units = 0;
    pthread_t thread;

    if (!v->jit || v->accel->lock_step) /* where nothing may be left out */
        return;
    assert_true(thread_create(&thread, "asker", ask_all_the_time, &asker, NULL));
    while (!v->jit->stats.interrupted || v->jit->stats.units < units + CHAIN) {
        units = v->jit->stats.units;
        assert_int_equal(RIG_RUN(rig, 64, chain), -1); /* new code each time */
        assert_int_equal(rig_state(rig, 0)->gpr[GPR_RAX], 20 * 30 * CHAIN);
    }
    __atomic_store_n(&asker.done, true, __ATOMIC_RELAXED);
    pthread_join(thread, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        RIG_CASE(code_that_runs_often_gets_site_entries),
        RIG_CASE(flags_survive_when_code_gets_hot),
        RIG_CASE(code_that_runs_now_and_then_takes_no_site_entries),
        RIG_CASE(branches_of_hot_code_lie_as_they_do_in_the_guest),
        RIG_CASE(translation_gives_way_to_requests_but_not_for_ever),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
