/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Run states (core/runstate.h): what requests from vCPUs and from the host become, under
 * -no-reboot and -no-shutdown.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "core/lock.h"
#include "core/loop.h"
#include "core/thread.h"
#include "fake-accel.h"

/* What CPU 0's guest does at its first instruction after start and after each reset, in order. */
typedef enum GuestAct {
    ACT_NONE, /* compute for ever */
    ACT_RESET,
    ACT_TRIPLE_FAULT,
    ACT_SHUTDOWN,
    ACT_EXIT_5,
    ACT_STOP,
} GuestAct;

static const GuestAct *script;
static uint32_t ran_on; /* instructions CPU 0 executed after it had asked for something */
static bool asked;

static void act(Machine *machine)
{
    switch (*script++) {
    case ACT_NONE:
        script--;
        return;
    case ACT_RESET:
        machine_request_reset(machine, SHUTDOWN_CAUSE_GUEST_RESET);
        break;
    case ACT_TRIPLE_FAULT:
        machine_request_reset(machine, SHUTDOWN_CAUSE_TRIPLE_FAULT);
        break;
    case ACT_SHUTDOWN:
        machine_request_shutdown(machine, SHUTDOWN_CAUSE_GUEST_SHUTDOWN, 0);
        break;
    case ACT_EXIT_5:
        machine_request_shutdown(machine, SHUTDOWN_CAUSE_DEBUG_EXIT, 5);
        break;
    case ACT_STOP:
        machine_request_stop(machine, RUN_STATE_INTERNAL_ERROR);
        break;
    }
    asked = true;
}

/* Reset puts RIP back: that is how the guest knows that what it asked for was done. */
static VcpuExit guest_plays_script(Vcpu *vcpu)
{
    if (vcpu->index != 0)
        return VCPU_EXIT_REQUEST;
    if (fake_vcpu(vcpu)->registers.rip == 0xfff0) {
        fake_vcpu(vcpu)->registers.rip = 0x1000;
        asked = false;
        act(vcpu->machine);
    } else if (asked) {
        ran_on++;
    }
    return VCPU_EXIT_REQUEST;
}

static Machine *machine_with_script(const GuestAct *acts)
{
    script = acts;
    ran_on = 0;
    asked = false;
    return fake_machine_new(2, guest_plays_script);
}

/* One turn of the main loop, its callbacks under machine_lock as always. */
static void iterate(void)
{
    machine_lock();
    g_main_context_iteration(event_loop_context(event_loop_main()), TRUE);
    machine_unlock();
}

static void run_until_stopped(Machine *machine)
{
    while (machine_is_running(machine))
        iterate();
}

static void run_until_resets(Machine *machine, unsigned resets)
{
    while (((FakeMachine *)machine)->board_resets < resets)
        iterate();
}

static void a_guest_shutdown_ends_the_loop_with_status_0(void **state)
{
    static const GuestAct acts[] = { ACT_SHUTDOWN, ACT_NONE };
    Machine *machine = machine_with_script(acts);

    assert_true(machine_start(machine));
    event_loop_run(event_loop_main());
    assert_int_equal(machine->run_state, RUN_STATE_SHUTDOWN);
    assert_int_equal(machine->exit_status, 0);
    assert_int_equal(machine->shutdown_cause, SHUTDOWN_CAUSE_GUEST_SHUTDOWN);
    assert_int_equal(ran_on, 0);
    machine_free(machine);
}

static void debug_exit_gives_the_exit_status(void **state)
{
    static const GuestAct acts[] = { ACT_EXIT_5, ACT_NONE };
    Machine *machine = machine_with_script(acts);

    machine_start(machine);
    event_loop_run(event_loop_main());
    assert_int_equal(machine->exit_status, 5);
    machine_free(machine);
}

static void the_first_shutdown_request_wins_and_beats_a_reset(void **state)
{
    static const GuestAct acts[] = { ACT_NONE };
    Machine *machine = machine_with_script(acts);

    machine_start(machine);
    machine_request_reset(machine, SHUTDOWN_CAUSE_GUEST_RESET);
    machine_request_shutdown(machine, SHUTDOWN_CAUSE_ERROR, 1);
    machine_request_shutdown(machine, SHUTDOWN_CAUSE_HOST_SIGNAL, 0);
    event_loop_run(event_loop_main());
    assert_int_equal(machine->exit_status, 1);
    assert_int_equal(machine->shutdown_cause, SHUTDOWN_CAUSE_ERROR);
    assert_int_equal(((FakeMachine *)machine)->board_resets, 1); /* the first, of the build */
    machine_free(machine);
}

static void a_reset_restarts_the_guest_and_goes_on_running(void **state)
{
    static const GuestAct acts[] = { ACT_RESET, ACT_TRIPLE_FAULT, ACT_RESET, ACT_SHUTDOWN, ACT_NONE };
    Machine *machine = machine_with_script(acts);

    machine_start(machine);
    event_loop_run(event_loop_main());
    assert_int_equal(((FakeMachine *)machine)->board_resets, 1 + 3);
    assert_int_equal(ran_on, 0); /* never an instruction between request and reset */
    machine_free(machine);
}

static void no_reboot_turns_a_triple_fault_into_a_shutdown(void **state)
{
    static const GuestAct acts[] = { ACT_TRIPLE_FAULT, ACT_NONE };
    Machine *machine = machine_with_script(acts);

    machine->no_reboot = true;
    machine_start(machine);
    event_loop_run(event_loop_main());
    assert_int_equal(machine->run_state, RUN_STATE_SHUTDOWN);
    assert_int_equal(machine->shutdown_cause, SHUTDOWN_CAUSE_TRIPLE_FAULT);
    assert_int_equal(machine->exit_status, 0);
    assert_int_equal(((FakeMachine *)machine)->board_resets, 1);
    machine_free(machine);
}

static void no_shutdown_keeps_a_shut_down_guest_until_its_reset(void **state)
{
    static const GuestAct acts[] = { ACT_SHUTDOWN, ACT_NONE };
    Machine *machine = machine_with_script(acts);
    uint64_t steps;

    machine->no_shutdown = true;
    machine_start(machine);
    run_until_stopped(machine);
    assert_int_equal(machine->run_state, RUN_STATE_SHUTDOWN);
    assert_false(machine_start(machine));
    machine_stop(machine, RUN_STATE_PAUSED);
    assert_false(machine_start(machine)); /* "stop" did not open a way around that */

    machine_request_reset(machine, SHUTDOWN_CAUSE_HOST_QUIT);
    run_until_resets(machine, 2);
    assert_int_equal(machine->run_state, RUN_STATE_PAUSED);
    steps = fake_steps(machine->vcpus[0]);
    assert_true(machine_start(machine));
    fake_wait_steps(machine->vcpus[0], 10);
    assert_true(fake_steps(machine->vcpus[0]) > steps);
    machine_free(machine);
}

static void a_panic_ends_the_program_as_the_user_chose(void **state)
{
    static const struct {
        PanicAction action;
        int status;
    } cases[] = {{PANIC_ACTION_SHUTDOWN, 0}, {PANIC_ACTION_EXIT_FAILURE, 1}};

    for (unsigned i = 0; i < G_N_ELEMENTS(cases); i++) {
        static const GuestAct acts[] = { ACT_NONE };
        Machine *machine = machine_with_script(acts);
        machine->panic_action = cases[i].action;
        machine_start(machine);
        machine_guest_panicked(machine);
        event_loop_run(event_loop_main());
        assert_int_equal(machine->shutdown_cause, SHUTDOWN_CAUSE_GUEST_PANIC);
        assert_int_equal(machine->exit_status, cases[i].status);
        machine_free(machine);
    }
}

static void a_panic_may_stop_the_guest_or_be_ignored(void **state)
{
    static const GuestAct acts[] = { ACT_NONE };
    Machine *machine = machine_with_script(acts);

    machine->panic_action = PANIC_ACTION_NONE;
    machine_start(machine);
    machine_guest_panicked(machine);
    fake_wait_steps(machine->vcpus[0], 10);
    assert_true(machine_is_running(machine));
    machine->panic_action = PANIC_ACTION_SHUTDOWN;
    machine->no_shutdown = true; /* turns it into a pause */
    machine_guest_panicked(machine);
    run_until_stopped(machine);
    assert_int_equal(machine->run_state, RUN_STATE_GUEST_PANICKED);
    assert_false(machine_start(machine));
    machine_free(machine);
}

static void an_expired_watchdog_does_what_the_user_chose(void **state)
{
    static const GuestAct acts[] = { ACT_NONE };
    Machine *machine = machine_with_script(acts);

    machine_start(machine);
    machine_watchdog_expired(machine); /* the default is a reset */
    run_until_resets(machine, 2);
    assert_true(machine_is_running(machine));
    machine->watchdog_action = WATCHDOG_ACTION_PAUSE;
    machine_watchdog_expired(machine);
    run_until_stopped(machine);
    assert_int_equal(machine->run_state, RUN_STATE_WATCHDOG);
    assert_true(machine_start(machine));
    machine->watchdog_action = WATCHDOG_ACTION_POWEROFF;
    machine_watchdog_expired(machine);
    event_loop_run(event_loop_main());
    assert_int_equal(machine->run_state, RUN_STATE_SHUTDOWN);
    machine_free(machine);
}

static void a_host_signal_ends_the_program_even_under_no_shutdown(void **state)
{
    static const GuestAct acts[] = { ACT_NONE };
    Machine *machine = machine_with_script(acts);

    machine->no_shutdown = true;
    machine_start(machine);
    machine_request_shutdown(machine, SHUTDOWN_CAUSE_HOST_SIGNAL, 0);
    event_loop_run(event_loop_main());
    assert_int_equal(machine->run_state, RUN_STATE_SHUTDOWN);
    machine_free(machine);
}

static void an_internal_error_stops_all_vcpus_and_the_clock(void **state)
{
    static const GuestAct acts[] = { ACT_STOP, ACT_NONE };
    Machine *machine = machine_with_script(acts);
    uint64_t steps;
    int64_t stood_ns;

    machine_start(machine);
    run_until_stopped(machine);
    assert_int_equal(machine->run_state, RUN_STATE_INTERNAL_ERROR);
    steps = fake_steps(machine->vcpus[1]);
    stood_ns = clock_get_ns(VMCLOCK_VIRTUAL);
    assert_true(stood_ns > 0);
    assert_false(machine_start(machine));
    assert_int_equal(ran_on, 0);
    assert_int_equal(clock_get_ns(VMCLOCK_VIRTUAL), stood_ns);
    assert_int_equal(fake_steps(machine->vcpus[1]), steps);
    machine_free(machine);
}

static void a_board_that_cannot_boot_again_stops_before_its_first_instruction(void **state)
{
    static const GuestAct acts[] = { ACT_RESET, ACT_NONE };
    Machine *machine = machine_with_script(acts);

    ((FakeMachine *)machine)->cannot_boot = true;
    machine_start(machine);
    run_until_stopped(machine);
    assert_int_equal(machine->run_state, RUN_STATE_INTERNAL_ERROR);
    assert_int_equal(ran_on, 0);
    vcpu_sync_state(machine->vcpus[0]);
    assert_int_equal(machine->vcpus[0]->state.rip, 0xfff0);
    machine_free(machine);
}

static void stop_and_start_nest_with_requests_in_between(void **state)
{
    static const GuestAct acts[] = { ACT_NONE };
    Machine *machine = machine_with_script(acts);
    uint64_t steps;

    machine_start(machine);
    machine_start(machine);
    fake_wait_steps(machine->vcpus[1], 1);
    machine_stop(machine, RUN_STATE_PAUSED);
    machine_stop(machine, RUN_STATE_PAUSED);
    machine_request_reset(machine, SHUTDOWN_CAUSE_HOST_QUIT);
    run_until_resets(machine, 2);
    assert_int_equal(machine->run_state, RUN_STATE_PAUSED);
    steps = fake_steps(machine->vcpus[1]);
    assert_int_equal(fake_steps(machine->vcpus[1]), steps);
    machine_start(machine);
    fake_wait_steps(machine->vcpus[0], 1);
    fake_wait_steps(machine->vcpus[1], 1);
    machine_free(machine);
}

static VcpuExit guest_resets_at_once(Vcpu *vcpu)
{
    machine_request_reset(vcpu->machine, SHUTDOWN_CAUSE_GUEST_RESET);
    return VCPU_EXIT_STOP;
}

/* All vCPUs ask for a reset for ever, while the host starts and stops: nothing may hang. */
static void vcpus_that_reset_all_the_time_can_be_stopped(void **state)
{
    Machine *machine = fake_machine_new(2, guest_resets_at_once);

    for (int i = 0; i < 50; i++) {
        unsigned resets = ((FakeMachine *)machine)->board_resets;
        machine_start(machine);
        run_until_resets(machine, resets + 20);
        machine_stop(machine, RUN_STATE_PAUSED);
    }
    machine_free(machine);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_guest_shutdown_ends_the_loop_with_status_0),
        cmocka_unit_test(debug_exit_gives_the_exit_status),
        cmocka_unit_test(the_first_shutdown_request_wins_and_beats_a_reset),
        cmocka_unit_test(a_reset_restarts_the_guest_and_goes_on_running),
        cmocka_unit_test(no_reboot_turns_a_triple_fault_into_a_shutdown),
        cmocka_unit_test(no_shutdown_keeps_a_shut_down_guest_until_its_reset),
        cmocka_unit_test(a_panic_ends_the_program_as_the_user_chose),
        cmocka_unit_test(a_panic_may_stop_the_guest_or_be_ignored),
        cmocka_unit_test(an_expired_watchdog_does_what_the_user_chose),
        cmocka_unit_test(a_host_signal_ends_the_program_even_under_no_shutdown),
        cmocka_unit_test(an_internal_error_stops_all_vcpus_and_the_clock),
        cmocka_unit_test(a_board_that_cannot_boot_again_stops_before_its_first_instruction),
        cmocka_unit_test(stop_and_start_nest_with_requests_in_between),
        cmocka_unit_test(vcpus_that_reset_all_the_time_can_be_stopped),
    };

    core_init();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
