/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Code that runs often is translated once more, with site entries (accel/dbt/jit-site.c). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "accel/dbt/jit.h"
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        RIG_CASE(code_that_runs_often_gets_site_entries),
        RIG_CASE(flags_survive_when_code_gets_hot),
        RIG_CASE(code_that_runs_now_and_then_takes_no_site_entries),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
