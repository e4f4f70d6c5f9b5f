/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The LAPICs' lock-free paths under load: vCPUs that acknowledge and end interrupts on their own
 * threads while others send. Nothing is lost, nothing comes twice, and an IPI that finds its target
 * asleep wakes it.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "core/lock.h"
#include "core/machine.h"
#include "core/thread.h"
#include "fake-accel.h"
#include "hw/intc/lapic.h"

#define CPUS   3
#define ROUNDS 20000
#define VECTOR 0x40

enum { MSR_APIC_BASE = 0x1b, X2_EOI = 0x80b, X2_SVR = 0x80f, X2_ICR = 0x830 };

/* Atomic: interrupts each vCPU has taken, by vector. */
static uint32_t taken[CPUS][256];
static uint32_t relay; /* vCPUs pass every interrupt on to the next one */

static void eoi(Vcpu *vcpu)
{
    g_assert(vcpu->intr->write_msr(vcpu->intr_opaque, X2_EOI, 0));
}

/* The guest: takes what is pending, counts it, and sleeps when there is nothing. */
static VcpuExit guest(Vcpu *vcpu)
{
    int vector;

    vcpu_take_requests(vcpu, VCPU_REQ_INTR);
    if (!vcpu->intr->pending(vcpu->intr_opaque)) {
        vcpu_wait(vcpu, -1);
        return VCPU_EXIT_REQUEST;
    }
    vector = vcpu->intr->ack(vcpu->intr_opaque);
    if (vector < 0)
        return VCPU_EXIT_REQUEST;
    if (__atomic_load_n(&relay, __ATOMIC_ACQUIRE)) {
        uint64_t next = (vcpu->index + 1) % CPUS;

        g_assert(vcpu->intr->write_msr(vcpu->intr_opaque, X2_ICR, next << 32 | vector));
    }
    __atomic_fetch_add(&taken[vcpu->index][vector], 1, __ATOMIC_SEQ_CST);
    eoi(vcpu);
    return VCPU_EXIT_REQUEST;
}

static uint32_t count(unsigned cpu, unsigned vector)
{
    return __atomic_load_n(&taken[cpu][vector], __ATOMIC_SEQ_CST);
}

static void enable(Vcpu *vcpu, void *opaque)
{
    uint64_t base;

    vcpu->feature_ecx = 1u << 21;
    g_assert(vcpu->intr->read_msr(vcpu->intr_opaque, MSR_APIC_BASE, &base));
    g_assert(vcpu->intr->write_msr(vcpu->intr_opaque, MSR_APIC_BASE, base | 1 << 10));
    g_assert(vcpu->intr->write_msr(vcpu->intr_opaque, X2_SVR, 0x1ff));
}

static int setup(void **state)
{
    Machine *machine = fake_machine_new(CPUS, guest);
    LapicBus *bus;

    memset(taken, 0, sizeof(taken));
    __atomic_store_n(&relay, 0, __ATOMIC_RELEASE);
    machine_lock();
    bus = (LapicBus *)device_new(&lapic_bus_type, machine, NULL);
    assert_true(device_realize(&bus->dev, NULL));
    machine->msi = lapic_bus_msi(bus);
    machine_unlock();
    for (unsigned i = 0; i < CPUS; i++) {
        lapic_bus_attach(bus, machine->vcpus[i]);
        vcpu_run_on(machine->vcpus[i], enable, NULL);
    }
    assert_true(machine_start(machine));
    *state = machine;
    return 0;
}

static int teardown(void **state)
{
    machine_free(*state);
    return 0;
}

static void send(Machine *machine, unsigned cpu, unsigned vector)
{
    msi_send(&machine->msi, 0xfee00000 | cpu << 12, vector);
}

static void await(unsigned cpu, unsigned vector, uint32_t want)
{
    int64_t deadline = g_get_monotonic_time() + 60 * G_USEC_PER_SEC;

    while (count(cpu, vector) < want) {
        if (g_get_monotonic_time() > deadline)
            fail_msg("CPU %u took vector %#x %u times of %u", cpu, vector, count(cpu, vector), want);
        g_thread_yield();
    }
}

static void each_message_is_taken_exactly_once(void **state)
{
    for (uint32_t i = 1; i <= ROUNDS; i++) {
        send(*state, 1, VECTOR);
        await(1, VECTOR, i);
    }
    assert_int_equal(count(1, VECTOR), ROUNDS);
    assert_int_equal(count(0, VECTOR), 0);
}

static void vectors_do_not_disturb_each_other(void **state)
{
    for (uint32_t i = 1; i <= ROUNDS / 20; i++) {
        for (unsigned vector = 0x20; vector < 0x100; vector += 8)
            send(*state, 2, vector);
        for (unsigned vector = 0x20; vector < 0x100; vector += 8)
            await(2, vector, i);
    }
    for (unsigned vector = 0x20; vector < 0x100; vector += 8)
        assert_int_equal(count(2, vector), ROUNDS / 20);
}

/* Several interrupts run around the ring of vCPUs; one lost would stop for good. */
static void ipis_go_around_and_none_is_lost(void **state)
{
    __atomic_store_n(&relay, 1, __ATOMIC_RELEASE);
    for (unsigned vector = 0x30; vector < 0x70; vector += 0x10)
        send(*state, 0, vector);
    for (unsigned vector = 0x30; vector < 0x70; vector += 0x10)
        await(CPUS - 1, vector, ROUNDS / 10);
    for (unsigned vector = 0x30; vector < 0x70; vector += 0x10)
        await(0, vector, ROUNDS / 10);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(each_message_is_taken_exactly_once),
        T(vectors_do_not_disturb_each_other),
        T(ipis_go_around_and_none_is_lost),
    };

    core_init();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
