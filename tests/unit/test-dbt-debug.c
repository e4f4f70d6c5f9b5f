/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A debugger's breakpoints, watchpoints and steps in the interpreter (accel/dbt/guest-debug.h).
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "core/thread.h"
#include "dbt-rig.h"

static Vcpu *cpu0(Rig *rig)
{
    return rig->machine->vcpus[0];
}

static void arm(Rig *rig, const DebugPoint *points, unsigned count)
{
    Accel *accel = rig->machine->accel;

    assert_true(accel->ops->debug_check(accel, points, count, NULL));
    accel->ops->debug_arm(accel, points, count);
}

/* Runs until the debugger or the end of the guest stops the vCPU. */
static DebugStop run(Rig *rig)
{
    Vcpu *vcpu = cpu0(rig);

    vcpu->debug.stop = (DebugStop){0};
    rig->stopped[0] = -2;
    current_vcpu = vcpu;
    __atomic_store_n(&vcpu->requests, 0, __ATOMIC_SEQ_CST);
    while (rig->stopped[0] == -2 && !vcpu->debug.stop.reason)
        rig->machine->accel->ops->run(vcpu);
    current_vcpu = NULL;
    return vcpu->debug.stop;
}

static DebugPoint point(DebugPointKind kind, uint64_t addr, uint64_t len)
{
    return (DebugPoint){.kind = kind, .addr = addr, .len = len, .gpa = addr};
}

/* Offsets:                0             2                    4                  6 */
GUEST(straight, "movb $1, %al\n movb $2, %bl\n movb $3, %cl\n movb $4, %dl");

static void a_breakpoint_stops_before_its_instruction(void **state)
{
    Rig *rig = *state;
    DebugPoint at = point(DEBUG_BREAK_SOFT, RIG_CODE + 4, 1);
    DebugStop stop;

    RIG_LOAD(rig, straight);
    rig_mode(rig, 0, 64);
    arm(rig, &at, 1);
    stop = run(rig);
    assert_int_equal(stop.reason, DEBUG_STOP_BREAK);
    assert_int_equal(stop.point.addr, RIG_CODE + 4);
    assert_int_equal(rig_state(rig, 0)->rip, RIG_CODE + 4);
    assert_int_equal(rig_state(rig, 0)->gpr[GPR_RBX] & 0xff, 2);
    assert_int_equal(rig_state(rig, 0)->gpr[GPR_RCX] & 0xff, 0);
    arm(rig, NULL, 0);
    assert_int_equal(run(rig).reason, DEBUG_STOP_NONE);
    assert_int_equal(rig->stopped[0], -1);
}

static void a_breakpoint_inside_a_block_that_has_run_is_met(void **state)
{
    Rig *rig = *state;
    DebugPoint at = point(DEBUG_BREAK_HARD, RIG_CODE + 6, 1);

    assert_int_equal(RIG_RUN(rig, 64, straight), -1);
    rig_mode(rig, 0, 64);
    arm(rig, &at, 1);
    assert_int_equal(run(rig).reason, DEBUG_STOP_BREAK);
    assert_int_equal(rig_state(rig, 0)->rip, RIG_CODE + 6);
}

static void breakpoints_are_by_linear_address_in_16_bit_code(void **state)
{
    Rig *rig = *state;
    DebugPoint at = point(DEBUG_BREAK_SOFT, RIG_CODE + 2, 1);

    RIG_LOAD(rig, straight);
    rig_mode(rig, 0, 16);
    arm(rig, &at, 1);
    assert_int_equal(run(rig).reason, DEBUG_STOP_BREAK);
    assert_int_equal(rig_state(rig, 0)->rip, 2);
}

/* Reads its own first byte while a breakpoint is there, and writes over code with a breakpoint. */
GUEST(look_and_change, "nop\n mov -8(%rip), %al\n movb $9, 1f+1(%rip)\n 1: mov $1, %bl");

static void breakpoints_are_not_in_memory_and_survive_writes(void **state)
{
    Rig *rig = *state;
    DebugPoint at = point(DEBUG_BREAK_SOFT, RIG_CODE + 14, 1);

    RIG_LOAD(rig, look_and_change);
    rig_mode(rig, 0, 64);
    arm(rig, &at, 1);
    assert_int_equal(run(rig).reason, DEBUG_STOP_BREAK);
    assert_int_equal(rig_state(rig, 0)->rip, RIG_CODE + 14);
    assert_int_not_equal(*(uint8_t *)rig_mem(rig, RIG_CODE + 14), 0xcc);
    cpu0(rig)->debug.step = true;
    assert_int_equal(run(rig).reason, DEBUG_STOP_STEP);
    assert_int_equal(rig_state(rig, 0)->gpr[GPR_RBX] & 0xff, 9);
    cpu0(rig)->debug.step = false;
    rig_mode(rig, 0, 64);
    assert_int_equal(run(rig).reason, DEBUG_STOP_BREAK);
    assert_int_equal(rig_state(rig, 0)->rip, RIG_CODE + 14);
}

static void a_step_is_one_instruction(void **state)
{
    Rig *rig = *state;

    RIG_LOAD(rig, straight);
    rig_mode(rig, 0, 32);
    cpu0(rig)->debug.step = true;
    for (unsigned i = 1; i <= 4; i++) {
        assert_int_equal(run(rig).reason, DEBUG_STOP_STEP);
        assert_int_equal(rig_state(rig, 0)->rip, RIG_CODE + 2 * i);
        assert_int_equal(rig_state(rig, 0)->rflags & RFLAGS_TF, 0);
    }
}

/* What sstep's NOIRQ means; an NMI, because nothing else masks it. */
static void a_step_takes_an_interrupt_only_if_it_may(void **state)
{
    Rig *rig = *state;
    CpuState *s = rig_state(rig, 0);

    RIG_LOAD(rig, straight);
    rig_mode(rig, 0, 64);
    s->nmi_pending = true;
    cpu0(rig)->debug.step = cpu0(rig)->debug.step_no_irq = true;
    for (unsigned i = 1; i <= 2; i++) {
        assert_int_equal(run(rig).reason, DEBUG_STOP_STEP);
        assert_int_equal(s->rip, RIG_CODE + 2 * i);
    }
    assert_true(s->nmi_pending);
    cpu0(rig)->debug.step_no_irq = false;
    assert_int_equal(run(rig).reason, DEBUG_STOP_STEP);
    assert_int_equal(s->rip, 0x6000 + 4 * EXC_NMI);
    assert_false(s->nmi_pending);
}

GUEST(faults, "ud2");

static void a_step_over_a_fault_ends_at_the_handler(void **state)
{
    Rig *rig = *state;

    RIG_LOAD(rig, faults);
    rig_mode(rig, 0, 64);
    cpu0(rig)->debug.step = true;
    assert_int_equal(run(rig).reason, DEBUG_STOP_STEP);
    assert_int_equal(rig_state(rig, 0)->rip, 0x6000 + 4 * EXC_UD);
}

GUEST(accesses, "mov $0x20000, %edi\n"
                "mov 8(%rdi), %eax\n"       /* +5: reads 8 */
                "movl $1, 16(%rdi)\n"       /* +8: writes 16 */
                "incl 24(%rdi)\n"           /* +15: reads and writes 24 */
                "fldl 32(%rdi)\n"           /* +18: reads 32, on the host's unit */
                "mov $64, %ecx\n rep stosb\n" /* +21, +26: writes 0..63 */);

static DebugStop watch(Rig *rig, DebugPointKind kind, uint64_t offset, uint64_t len)
{
    DebugPoint at = point(kind, RIG_DATA + offset, len);

    RIG_LOAD(rig, accesses);
    rig_mode(rig, 0, 64);
    arm(rig, &at, 1);
    return run(rig);
}

static void a_watchpoint_stops_after_the_access(void **state)
{
    Rig *rig = *state;
    uint64_t *rip = &rig_state(rig, 0)->rip;

    assert_int_equal(watch(rig, DEBUG_WATCH_READ, 8, 4).reason, DEBUG_STOP_WATCH);
    assert_int_equal(*rip, RIG_CODE + 8);
    assert_int_equal(watch(rig, DEBUG_WATCH_WRITE, 16, 1).reason, DEBUG_STOP_WATCH);
    assert_int_equal(*rip, RIG_CODE + 15);
    assert_int_equal(*(uint32_t *)rig_mem(rig, RIG_DATA + 16), 1);
    assert_int_equal(watch(rig, DEBUG_WATCH_ACCESS, 27, 1).reason, DEBUG_STOP_WATCH);
    assert_int_equal(*rip, RIG_CODE + 18);
    assert_int_equal(watch(rig, DEBUG_WATCH_READ, 39, 1).reason, DEBUG_STOP_WATCH);
    assert_int_equal(*rip, RIG_CODE + 21);
    assert_int_equal(watch(rig, DEBUG_WATCH_WRITE, 63, 1).reason, DEBUG_STOP_WATCH);
    assert_int_equal(rig_state(rig, 0)->gpr[GPR_RCX], 0);
}

static void a_watchpoint_may_be_of_any_length(void **state)
{
    Rig *rig = *state;

    /* From before the data to the middle of what the string instruction writes. */
    assert_int_equal(watch(rig, DEBUG_WATCH_WRITE, (uint64_t)-8192, 8192 + 2).reason, DEBUG_STOP_WATCH);
    assert_int_equal(rig_state(rig, 0)->rip, RIG_CODE + 26);
    assert_int_equal(rig_state(rig, 0)->gpr[GPR_RDI], RIG_DATA + 1);
}

static void nothing_else_meets_a_watchpoint(void **state)
{
    Rig *rig = *state;

    assert_int_equal(watch(rig, DEBUG_WATCH_WRITE, 64, 4096).reason, DEBUG_STOP_NONE);
    assert_int_equal(rig->stopped[0], -1);
    assert_int_equal(watch(rig, DEBUG_WATCH_READ, 16, 4).reason, DEBUG_STOP_NONE);
    assert_int_equal(rig->stopped[0], -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        RIG_CASE(a_breakpoint_stops_before_its_instruction),
        RIG_CASE(a_breakpoint_inside_a_block_that_has_run_is_met),
        RIG_CASE(breakpoints_are_by_linear_address_in_16_bit_code),
        RIG_CASE(breakpoints_are_not_in_memory_and_survive_writes),
        RIG_CASE(a_step_is_one_instruction),
        RIG_CASE(a_step_over_a_fault_ends_at_the_handler),
        RIG_CASE(a_step_takes_an_interrupt_only_if_it_may),
        RIG_CASE(a_watchpoint_stops_after_the_access),
        RIG_CASE(a_watchpoint_may_be_of_any_length),
        RIG_CASE(nothing_else_meets_a_watchpoint),
    };

    core_init();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
