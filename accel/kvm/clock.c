/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * kvmclock stands while the VM does (api 4.29, 4.30): a guest that was stopped for an hour goes on
 * where it was. The TSC runs on, as it does on hardware in a sleep state.
 *
 * KVM_KVMCLOCK_CTRL (api 4.76) tells the guest's watchdog that the time it misses was not its fault.
 *
 * Locking: machine_lock, vCPUs paused.
 */
#include <errno.h>

#include "core/log.h"
#include "kvm-internal.h"

static void clock_stop(KvmAccel *kvm)
{
    struct kvm_clock_data data = { 0 };

    if (kvm->clock_stopped || kvm_ioctl(kvm->vm_fd, KVM_GET_CLOCK, &data) < 0)
        return;
    kvm->clock_ns = data.clock;
    kvm->clock_stopped = true;
}

static void clock_start(KvmAccel *kvm)
{
    struct kvm_clock_data data = { .clock = kvm->clock_ns };

    if (!kvm->clock_stopped)
        return;
    kvm->clock_stopped = false;
    if (kvm_ioctl(kvm->vm_fd, KVM_SET_CLOCK, &data) < 0)
        log_warn("kvm: the guest's clock cannot be set back to when it was stopped: %s", g_strerror(errno));
    /* Refused by a vCPU whose guest does not use kvmclock. */
    for (guint i = 0; i < kvm->vcpus->len; i++)
        (void)kvm_ioctl(((KvmVcpu *)kvm->vcpus->pdata[i])->fd, KVM_KVMCLOCK_CTRL, NULL);
}

void kvm_clock_running(Accel *accel, bool running)
{
    KvmAccel *kvm = kvm_of(accel);

    if (!kvm_check(kvm->vm_fd, KVM_CAP_ADJUST_CLOCK))
        return;
    if (running)
        clock_start(kvm);
    else
        clock_stop(kvm);
}
