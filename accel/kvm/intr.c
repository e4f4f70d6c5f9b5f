/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Interrupts for vCPUs whose interrupt controller is in the process (vcpu->intr is set).
 *
 *   kernel-irqchip=off    LAPIC and PIC: vectors by KVM_INTERRUPT (api 4.16), CR8 and IA32_APIC_BASE
 *                         through kvm_run (api 5), HLT, INIT and SIPI in the process
 *   kernel-irqchip=split  the PIC alone, on the vCPU that has its LINT0: ExtINT by KVM_INTERRUPT; KVM
 *                         halts and starts the vCPU. Of VcpuIntrOps only pending and ack are set.
 *
 * KVM takes a vector when ready_for_interrupt_injection says so; until then request_interrupt_window
 * makes it exit as soon as the guest can take one.
 *
 * Locking: none held, on the vCPU's own thread.
 */
#include "core/machine.h"
#include "kvm-internal.h"

#define MSR_IA32_APIC_BASE 0x1b

static bool owns_lapic(const KvmVcpu *kv)
{
    return kv->kvm->accel.irqchip == IRQCHIP_USERSPACE;
}

static bool pending(const Vcpu *vcpu)
{
    return vcpu->intr && vcpu->intr->pending && vcpu->intr->pending(vcpu->intr_opaque);
}

static bool can_inject(const KvmVcpu *kv)
{
    return kv->run->ready_for_interrupt_injection && !kv->cpu->debug.step_no_irq && pending(kv->cpu);
}

/* An access in flight is completed first; KVM would take an interrupt in the middle of it. That is
 * cheaper than the exit an interrupt window makes, and does not depend on when KVM looks for one. */
static void inject(KvmVcpu *kv)
{
    Vcpu *vcpu = kv->cpu;
    struct kvm_interrupt interrupt;
    int vector;

    if (!can_inject(kv))
        return;
    kvm_complete_io(kv);
    if (!can_inject(kv))
        return;
    vector = vcpu->intr->ack(vcpu->intr_opaque);
    if (vector < 0)
        return;
    interrupt.irq = (uint32_t)vector;
    kvm_ioctl(kv->fd, KVM_INTERRUPT, &interrupt);
    /* One at a time: KVM holds it until the guest has taken it. */
    kv->run->ready_for_interrupt_injection = 0;
    kv->halted = false;
}

bool kvm_intr_before_run(KvmVcpu *kv)
{
    Vcpu *vcpu = kv->cpu;

    if (owns_lapic(kv) && kv->wait_sipi)
        return false;
    inject(kv);
    kv->run->request_interrupt_window = pending(vcpu) && !vcpu->debug.step_no_irq;
    if (owns_lapic(kv) && vcpu->intr && vcpu->intr->get_tpr)
        kv->run->cr8 = vcpu->intr->get_tpr(vcpu->intr_opaque);
    return !kv->halted;
}

void kvm_intr_after_run(KvmVcpu *kv)
{
    Vcpu *vcpu = kv->cpu;

    if (!owns_lapic(kv) || !vcpu->intr)
        return;
    if (vcpu->intr->set_tpr && kv->run->cr8 != vcpu->intr->get_tpr(vcpu->intr_opaque))
        vcpu->intr->set_tpr(vcpu->intr_opaque, kv->run->cr8);
    if (kv->run->apic_base != kv->apic_base) {
        kv->apic_base = kv->run->apic_base;
        if (vcpu->intr->write_msr)
            vcpu->intr->write_msr(vcpu->intr_opaque, MSR_IA32_APIC_BASE, kv->apic_base);
    }
}

/* A halted vCPU wakes for an interrupt it can take, an NMI or a request (SDM vol. 2A, HLT). */
void kvm_intr_wait(KvmVcpu *kv)
{
    Vcpu *vcpu = kv->cpu;

    if (vcpu_requests(vcpu))
        return;
    vcpu_wait(vcpu, -1);
}
