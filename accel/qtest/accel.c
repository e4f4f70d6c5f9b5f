/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The accelerator of tests: vCPUs exist and never run an instruction; time stands until a test
 * moves it.
 *
 * Interrupt requests to a vCPU are taken and forgotten: what is pending stays in its LAPIC, where a
 * test reads it.
 */
#include "accel/accel.h"
#include "core/loop.h"
#include "core/machine.h"

static bool qtest_init(Accel *accel, Machine *machine, GError **errp)
{
    accel->irqchip = IRQCHIP_USERSPACE;
    clock_set_stepped();
    return true;
}

static void qtest_supported_cpuid(Accel *accel, CpuidTable *table)
{
    table->count = 0;
    table->msr_count = 0;
}

static VcpuExit qtest_run(Vcpu *vcpu)
{
    while (!(vcpu_requests(vcpu) & VCPU_REQ_CORE)) {
        vcpu_take_requests(vcpu, ~(VCPU_REQ_CORE | VCPU_WAITING));
        vcpu_wait(vcpu, -1);
    }
    return VCPU_EXIT_REQUEST;
}

/* A vCPU that is not in vcpu_wait is on its way to look at its requests. */
static void qtest_kick(Vcpu *vcpu)
{
}

const AccelOps qtest_accel_ops = {
    .name = "qtest",
    .thread_suffix = "QTEST",
    .instance_size = sizeof(Accel),
    .init = qtest_init,
    .supported_cpuid = qtest_supported_cpuid,
    .run = qtest_run,
    .kick = qtest_kick,
};
