/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "fake-accel.h"

#include <sched.h>

#include "core/bits.h"

typedef struct FakeAccel {
    Accel accel;
    FakeGuest guest;
} FakeAccel;

static bool fake_init(Accel *accel, Machine *machine, GError **errp)
{
    accel->irqchip = IRQCHIP_USERSPACE;
    return true;
}

static bool fake_vcpu_init(Vcpu *vcpu, GError **errp)
{
    vcpu->accel = g_aligned_alloc0(1, sizeof(FakeVcpu), 64);
    return true;
}

static void fake_vcpu_release(Vcpu *vcpu)
{
    g_aligned_free(vcpu->accel);
}

static VcpuExit fake_run(Vcpu *vcpu)
{
    FakeGuest guest = ((FakeAccel *)vcpu->machine->accel)->guest;
    VcpuExit exit;

    while (!(vcpu_requests(vcpu) & VCPU_REQ_CORE)) {
        __atomic_fetch_add(&fake_vcpu(vcpu)->steps, 1, __ATOMIC_RELEASE);
        if (guest && (exit = guest(vcpu)) != VCPU_EXIT_REQUEST)
            return exit;
        vcpu_flush_state(vcpu);
    }
    return VCPU_EXIT_REQUEST;
}

/* run looks at the word between instructions anyway. */
static void fake_kick(Vcpu *vcpu)
{
}

static void fake_get_state(Vcpu *vcpu)
{
    vcpu->state = fake_vcpu(vcpu)->registers;
    fake_vcpu(vcpu)->gets++;
}

static void fake_put_state(Vcpu *vcpu)
{
    fake_vcpu(vcpu)->registers = vcpu->state;
    fake_vcpu(vcpu)->puts++;
    fake_vcpu(vcpu)->put_elsewhere |= current_vcpu != vcpu;
}

const AccelOps fake_accel_ops = {
    .name = "fake",
    .thread_suffix = "FAKE",
    .instance_size = sizeof(FakeAccel),
    .init = fake_init,
    .vcpu_init = fake_vcpu_init,
    .vcpu_release = fake_vcpu_release,
    .run = fake_run,
    .kick = fake_kick,
    .get_state = fake_get_state,
    .put_state = fake_put_state,
};

static bool fake_build(Machine *machine, GError **errp)
{
    for (unsigned i = 0; i < machine->smp.cpus; i++) {
        machine->vcpus[i] = vcpu_new(machine, i, i, errp);
        if (!machine->vcpus[i])
            return false;
    }
    return true;
}

static void fake_reset(Machine *machine)
{
    FakeMachine *fake = (FakeMachine *)machine;

    fake->board_resets++;
    if (fake->cannot_boot)
        machine_request_stop(machine, RUN_STATE_INTERNAL_ERROR);
}

static const MachineType fake_machine_type = {
    .name = "fake",
    .desc = "vCPUs and nothing else",
    .instance_size = sizeof(FakeMachine),
    .build = fake_build,
    .reset = fake_reset,
};

Machine *fake_machine_new(unsigned cpus, FakeGuest guest)
{
    Machine *machine = machine_new(&fake_machine_type);
    FakeAccel *accel = g_new0(FakeAccel, 1);
    g_autoptr(GError) err = NULL;

    accel->accel.ops = &fake_accel_ops;
    accel->guest = guest;
    machine->accel = &accel->accel;
    machine->ram_size = MIB;
    machine->smp.cpus = machine->smp.cores = cpus;
    if (!machine_build(machine, &err))
        g_error("%s", err->message);
    return machine;
}

void fake_wait_steps(const Vcpu *vcpu, uint64_t more)
{
    uint64_t from = fake_steps(vcpu);

    while (fake_steps(vcpu) < from + more)
        sched_yield();
}
