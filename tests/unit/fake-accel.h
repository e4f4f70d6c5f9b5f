/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * An accelerator for tests of core: its guest is a C function, its registers are a copy of CpuState
 * kept apart (as KVM's are), and it counts what core asks of it.
 */
#ifndef TESTS_UNIT_FAKE_ACCEL_H
#define TESTS_UNIT_FAKE_ACCEL_H

#include "accel/accel.h"
#include "core/machine.h"

typedef struct FakeVcpu {
    CpuState registers;  /* the truth while running */
    uint64_t steps;      /* atomic: guest instructions executed */
    unsigned gets, puts; /* of the state; vCPU's thread, or while it is paused */
    bool put_elsewhere;  /* put_state ran on a thread that is not the vCPU's */
} FakeVcpu;

typedef struct FakeMachine {
    Machine machine;
    unsigned board_resets; /* MachineType.reset; machine_lock */
    bool cannot_boot;      /* its reset ends in a request to stop */
} FakeMachine;

/* One guest instruction; NULL: it only counts. Called between checks of the request word. */
typedef VcpuExit (*FakeGuest)(Vcpu *vcpu);

extern const AccelOps fake_accel_ops;

/* A built machine of this many vCPUs, RUN_STATE_PRELAUNCH, on which every vCPU runs guest. */
Machine *fake_machine_new(unsigned cpus, FakeGuest guest);

static inline FakeVcpu *fake_vcpu(const Vcpu *vcpu)
{
    return vcpu->accel;
}

static inline uint64_t fake_steps(const Vcpu *vcpu)
{
    return __atomic_load_n(&fake_vcpu(vcpu)->steps, __ATOMIC_ACQUIRE);
}

/* Waits until the vCPU has executed some more guest instructions. */
void fake_wait_steps(const Vcpu *vcpu, uint64_t more);

#endif
