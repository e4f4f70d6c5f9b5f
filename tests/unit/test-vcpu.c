/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * vCPU threads (core/vcpu.h): pause and resume, work on the thread, waits and their wake-ups,
 * register state, INIT and SIPI.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <sched.h>

#include "core/lock.h"
#include "core/loop.h"
#include "core/thread.h"
#include "fake-accel.h"

static void nothing(Vcpu *vcpu, void *opaque)
{
}

static void a_vcpu_runs_only_between_resume_and_pause(void **state)
{
    Machine *machine = fake_machine_new(1, NULL);
    Vcpu *vcpu = machine->vcpus[0];
    uint64_t steps;

    vcpu_run_on(vcpu, nothing, NULL); /* the thread is there, and still has run nothing */
    assert_int_equal(fake_steps(vcpu), 0);
    vcpu_resume(vcpu);
    fake_wait_steps(vcpu, 100);
    vcpu_pause(vcpu);
    steps = fake_steps(vcpu);
    vcpu_run_on(vcpu, nothing, NULL);
    assert_int_equal(fake_steps(vcpu), steps);
    vcpu_resume(vcpu);
    fake_wait_steps(vcpu, 100);
    machine_free(machine);
}

static void pauses_nest(void **state)
{
    Machine *machine = fake_machine_new(1, NULL);
    Vcpu *vcpu = machine->vcpus[0];
    uint64_t steps = fake_steps(vcpu);

    vcpu_pause(vcpu);
    vcpu_resume(vcpu);
    vcpu_run_on(vcpu, nothing, NULL);
    assert_int_equal(fake_steps(vcpu), steps);
    vcpu_resume(vcpu);
    fake_wait_steps(vcpu, 1);
    machine_free(machine);
}

static VcpuExit guest_accesses_device(Vcpu *vcpu)
{
    machine_lock();
    machine_unlock();
    return VCPU_EXIT_REQUEST;
}

/* The main thread holds machine_lock when it pauses; a vCPU inside an access waits for that lock. */
static void pause_under_machine_lock_lets_a_device_access_finish(void **state)
{
    Machine *machine = fake_machine_new(2, guest_accesses_device);

    vcpu_resume_all(machine);
    for (int i = 0; i < 2000; i++) {
        machine_lock();
        machine_lock();
        vcpu_pause_all(machine);
        assert_true(machine_lock_held());
        vcpu_resume_all(machine);
        machine_unlock();
        machine_unlock();
    }
    fake_wait_steps(machine->vcpus[0], 1);
    fake_wait_steps(machine->vcpus[1], 1);
    machine_free(machine);
}

static void add_one_on_own_thread(Vcpu *vcpu, void *opaque)
{
    int *count = opaque;

    assert_ptr_equal(current_vcpu, vcpu);
    assert_false(machine_lock_held());
    (*count)++;
}

static void work_runs_on_the_vcpus_thread_running_or_paused(void **state)
{
    Machine *machine = fake_machine_new(1, guest_accesses_device);
    Vcpu *vcpu = machine->vcpus[0];
    int count = 0;

    machine_lock();
    for (int i = 0; i < 500; i++)
        vcpu_run_on(vcpu, add_one_on_own_thread, &count);
    vcpu_resume(vcpu);
    for (int i = 0; i < 500; i++)
        vcpu_run_on(vcpu, add_one_on_own_thread, &count);
    machine_unlock();
    assert_int_equal(count, 1000);
    machine_free(machine);
}

/* --- waits --- */

static uint32_t served;

/* Without polling first: each wait goes for the futex. */
static VcpuExit guest_halts(Vcpu *vcpu)
{
    vcpu->spin_ns = 0;
    vcpu_wait(vcpu, -1);
    if (vcpu_take_requests(vcpu, VCPU_REQ_INTR))
        __atomic_fetch_add(&served, 1, __ATOMIC_RELEASE);
    return VCPU_EXIT_REQUEST;
}

/* The test of the protocol in vcpu-request.c: a lost wake-up hangs it. The delay moves the request
 * over the vCPU's way from "nothing to do" into the futex. */
static void no_request_is_lost_on_the_way_into_a_wait(void **state)
{
    Machine *machine = fake_machine_new(1, guest_halts);
    Vcpu *vcpu = machine->vcpus[0];

    served = 0;
    vcpu_resume(vcpu);
    for (uint32_t i = 0; i < 20000; i++) {
        for (volatile uint32_t delay = 0; delay < (i * 7) % 3000; delay++)
            ;
        vcpu_request(vcpu, VCPU_REQ_INTR);
        while (__atomic_load_n(&served, __ATOMIC_ACQUIRE) != i + 1)
            sched_yield();
    }
    machine_free(machine);
}

static void a_halted_vcpu_can_be_paused_and_ended(void **state)
{
    Machine *machine = fake_machine_new(2, guest_halts);

    vcpu_resume_all(machine);
    for (int i = 0; i < 300; i++) {
        vcpu_pause_all(machine);
        vcpu_resume_all(machine);
    }
    machine_free(machine);
}

enum { REQUESTERS = 3, REQUESTS = 5000 };

typedef struct Requester {
    Vcpu *vcpu;
    pthread_t thread;
    uint32_t bit;
    uint32_t *acks;
} Requester;

static uint32_t acks[REQUESTERS];

static VcpuExit guest_acks(Vcpu *vcpu)
{
    static const uint32_t bits[REQUESTERS] = { VCPU_REQ_INTR, VCPU_REQ_NMI, VCPU_REQ_ACCEL };

    vcpu_wait(vcpu, -1);
    for (unsigned i = 0; i < REQUESTERS; i++) {
        if (vcpu_take_requests(vcpu, bits[i]))
            __atomic_fetch_add(&acks[i], 1, __ATOMIC_RELEASE);
    }
    return VCPU_EXIT_REQUEST;
}

static void *request_and_await(void *opaque)
{
    Requester *r = opaque;

    for (uint32_t i = 1; i <= REQUESTS; i++) {
        vcpu_request(r->vcpu, r->bit);
        while (__atomic_load_n(r->acks, __ATOMIC_ACQUIRE) != i)
            sched_yield();
    }
    return NULL;
}

static void requests_from_several_threads_are_all_seen(void **state)
{
    static const uint32_t bits[REQUESTERS] = { VCPU_REQ_INTR, VCPU_REQ_NMI, VCPU_REQ_ACCEL };
    Machine *machine = fake_machine_new(1, guest_acks);
    Requester r[REQUESTERS];

    memset(acks, 0, sizeof(acks));
    vcpu_resume(machine->vcpus[0]);
    for (unsigned i = 0; i < REQUESTERS; i++) {
        r[i] = (Requester){ .vcpu = machine->vcpus[0], .bit = bits[i], .acks = &acks[i] };
        assert_true(thread_create(&r[i].thread, "requester", request_and_await, &r[i], NULL));
    }
    for (unsigned i = 0; i < REQUESTERS; i++) {
        pthread_join(r[i].thread, NULL);
        assert_int_equal(acks[i], REQUESTS);
    }
    machine_free(machine);
}

static int64_t overslept_ns;

static VcpuExit guest_sleeps_until_deadline(Vcpu *vcpu)
{
    int64_t deadline_ns = clock_get_ns(VMCLOCK_MONO) + NS_PER_MS;

    vcpu_wait(vcpu, deadline_ns);
    if (!vcpu_requests(vcpu))
        __atomic_store_n(&overslept_ns, clock_get_ns(VMCLOCK_MONO) - deadline_ns, __ATOMIC_RELEASE);
    return VCPU_EXIT_REQUEST;
}

static void a_wait_ends_at_its_deadline_and_not_before(void **state)
{
    Machine *machine = fake_machine_new(1, guest_sleeps_until_deadline);

    overslept_ns = INT64_MIN;
    vcpu_resume(machine->vcpus[0]);
    fake_wait_steps(machine->vcpus[0], 5);
    assert_true(__atomic_load_n(&overslept_ns, __ATOMIC_ACQUIRE) >= 0);
    machine_free(machine);
}

/* --- state --- */

static void state_travels_by_sync_and_mark_dirty(void **state)
{
    Machine *machine = fake_machine_new(1, NULL);
    Vcpu *vcpu = machine->vcpus[0];
    FakeVcpu *fake = fake_vcpu(vcpu);

    vcpu_resume(vcpu);
    fake_wait_steps(vcpu, 1);
    vcpu_pause(vcpu);
    assert_int_equal(fake->puts, 1); /* the reset's */

    vcpu_sync_state(vcpu);
    vcpu_sync_state(vcpu);
    assert_int_equal(fake->gets, 1);
    assert_int_equal(vcpu->state.rip, 0xfff0);

    vcpu->state.rip = 0x1234;
    vcpu_mark_dirty(vcpu);
    assert_int_equal(fake->registers.rip, 0xfff0);
    vcpu_resume(vcpu);
    fake_wait_steps(vcpu, 1);
    vcpu_pause(vcpu);
    assert_int_equal(fake->registers.rip, 0x1234);
    assert_int_equal(fake->puts, 2);
    assert_false(fake->put_elsewhere);

    vcpu_sync_state(vcpu); /* stale since it ran */
    assert_int_equal(fake->gets, 2);
    machine_free(machine);
}

static void serve_requests(Vcpu *vcpu)
{
    vcpu_resume(vcpu);
    fake_wait_steps(vcpu, 2);
    vcpu_pause(vcpu);
    vcpu_sync_state(vcpu);
}

static void an_application_processor_starts_by_init_and_sipi(void **state)
{
    Machine *machine = fake_machine_new(2, NULL);
    Vcpu *ap = machine->vcpus[1];

    assert_int_equal(ap->state.mp_state, MP_INIT_RECEIVED);
    ap->sipi_vector = 0x9a;
    vcpu_request(ap, VCPU_REQ_INIT | VCPU_REQ_SIPI);
    serve_requests(ap);
    assert_int_equal(ap->state.mp_state, MP_RUNNABLE);
    assert_int_equal(ap->state.seg[SEG_CS].selector, 0x9a00);
    assert_int_equal(ap->state.seg[SEG_CS].base, 0x9a000);
    assert_int_equal(ap->state.rip, 0);

    /* One that runs takes no notice of another. */
    ap->sipi_vector = 0x10;
    vcpu_request(ap, VCPU_REQ_SIPI);
    serve_requests(ap);
    assert_int_equal(ap->state.seg[SEG_CS].selector, 0x9a00);

    vcpu_request(ap, VCPU_REQ_INIT);
    serve_requests(ap);
    assert_int_equal(ap->state.mp_state, MP_INIT_RECEIVED);
    machine_free(machine);
}

static void init_sends_the_bootstrap_processor_to_the_reset_vector(void **state)
{
    Machine *machine = fake_machine_new(1, NULL);
    Vcpu *bsp = machine->vcpus[0];

    bsp->state.rip = 0x5555;
    bsp->state.msr.lstar = 0x77;
    vcpu_mark_dirty(bsp);
    vcpu_request(bsp, VCPU_REQ_INIT);
    serve_requests(bsp);
    assert_int_equal(bsp->state.mp_state, MP_RUNNABLE);
    assert_int_equal(bsp->state.rip, 0xfff0);
    assert_int_equal(bsp->state.seg[SEG_CS].base, 0xffff0000);
    assert_int_equal(bsp->state.msr.lstar, 0x77);
    machine_free(machine);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_vcpu_runs_only_between_resume_and_pause),
        cmocka_unit_test(pauses_nest),
        cmocka_unit_test(pause_under_machine_lock_lets_a_device_access_finish),
        cmocka_unit_test(work_runs_on_the_vcpus_thread_running_or_paused),
        cmocka_unit_test(no_request_is_lost_on_the_way_into_a_wait),
        cmocka_unit_test(a_halted_vcpu_can_be_paused_and_ended),
        cmocka_unit_test(requests_from_several_threads_are_all_seen),
        cmocka_unit_test(a_wait_ends_at_its_deadline_and_not_before),
        cmocka_unit_test(state_travels_by_sync_and_mark_dirty),
        cmocka_unit_test(an_application_processor_starts_by_init_and_sipi),
        cmocka_unit_test(init_sends_the_bootstrap_processor_to_the_reset_vector),
    };

    core_init();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
