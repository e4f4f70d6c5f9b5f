/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Interrupt controllers in the kernel.
 *
 *   kernel-irqchip=on     PIC, IOAPIC and LAPICs by KVM_CREATE_IRQCHIP (api 4.24), PIT by
 *                         KVM_CREATE_PIT2 (4.71), which also answers port 61h
 *   kernel-irqchip=split  LAPICs by KVM_CAP_SPLIT_IRQCHIP (api 7.5); the others are hw/'s
 *
 * Reset restores the controllers' power-up state as KVM itself made it; each LAPIC follows with its
 * vCPU's next put (regs.c).
 *
 * Locking: set_gsi and send_msi from any thread; the rest at start-up or with all vCPUs paused.
 */
#include <errno.h>
#include <string.h>

#include "core/error.h"
#include "core/log.h"
#include "kvm-internal.h"

static bool need_cap(KvmAccel *kvm, int cap, const char *name, const char *mode, GError **errp)
{
    if (kvm_check(kvm->vm_fd, cap))
        return true;
    return error_set(errp, "the host's KVM lacks %s for kernel-irqchip=%s; use a newer kernel, or kernel-irqchip=off",
                     name, mode);
}

static bool create_split(KvmAccel *kvm, GError **errp)
{
    struct kvm_enable_cap cap = { .cap = KVM_CAP_SPLIT_IRQCHIP, .args[0] = KVM_IOAPIC_PINS };

    if (!need_cap(kvm, KVM_CAP_SPLIT_IRQCHIP, "KVM_CAP_SPLIT_IRQCHIP", "split", errp))
        return false;
    if (kvm_ioctl(kvm->vm_fd, KVM_ENABLE_CAP, &cap) < 0)
        return error_set_errno(errp, errno, "KVM cannot create the split interrupt controller");
    return true;
}

static bool get_images(KvmAccel *kvm, GError **errp)
{
    kvm->images = g_new0(KvmIrqchipImages, 1);
    for (unsigned i = 0; i < G_N_ELEMENTS(kvm->images->chip); i++) {
        kvm->images->chip[i].chip_id = i; /* PIC master, PIC slave, IOAPIC */
        if (kvm_ioctl(kvm->vm_fd, KVM_GET_IRQCHIP, &kvm->images->chip[i]) < 0)
            return error_set_errno(errp, errno, "KVM_GET_IRQCHIP");
    }
    if (kvm_ioctl(kvm->vm_fd, KVM_GET_PIT2, &kvm->images->pit) < 0)
        return error_set_errno(errp, errno, "KVM_GET_PIT2");
    return true;
}

static bool create_kernel(KvmAccel *kvm, GError **errp)
{
    struct kvm_pit_config pit = { .flags = KVM_PIT_SPEAKER_DUMMY };

    if (!need_cap(kvm, KVM_CAP_IRQCHIP, "KVM_CAP_IRQCHIP", "on", errp) ||
        !need_cap(kvm, KVM_CAP_PIT2, "KVM_CAP_PIT2", "on", errp))
        return false;
    if (kvm_ioctl(kvm->vm_fd, KVM_CREATE_IRQCHIP, NULL) < 0)
        return error_set_errno(errp, errno, "KVM cannot create the interrupt controllers");
    if (kvm_ioctl(kvm->vm_fd, KVM_CREATE_PIT2, &pit) < 0)
        return error_set_errno(errp, errno, "KVM cannot create the timer (PIT)");
    return get_images(kvm, errp);
}

bool kvm_irqchip_create(KvmAccel *kvm, GError **errp)
{
    if (kvm->accel.irqchip == IRQCHIP_USERSPACE)
        return true;
    if (!need_cap(kvm, KVM_CAP_SIGNAL_MSI, "KVM_CAP_SIGNAL_MSI", "on|split", errp) ||
        !need_cap(kvm, KVM_CAP_IRQ_ROUTING, "KVM_CAP_IRQ_ROUTING", "on|split", errp))
        return false;
    if (kvm->accel.irqchip == IRQCHIP_SPLIT ? !create_split(kvm, errp) : !create_kernel(kvm, errp))
        return false;
    return kvm_routes_init(kvm, errp);
}

void kvm_irqchip_release(KvmAccel *kvm)
{
    kvm_routes_release(kvm);
    g_clear_pointer(&kvm->images, g_free);
}

void kvm_irqchip_set_gsi(Accel *accel, int gsi, int level)
{
    struct kvm_irq_level line = { .irq = (uint32_t)gsi, .level = (uint32_t)level };

    kvm_ioctl(kvm_of(accel)->vm_fd, KVM_IRQ_LINE, &line);
}

void kvm_irqchip_send_msi(Accel *accel, uint64_t address, uint32_t data)
{
    struct kvm_msi msi = {
        .address_lo = (uint32_t)address,
        .address_hi = address >> 32,
        .data = data,
    };

    kvm_ioctl(kvm_of(accel)->vm_fd, KVM_SIGNAL_MSI, &msi);
}

void kvm_irqchip_reset(Accel *accel)
{
    KvmAccel *kvm = kvm_of(accel);

    pthread_mutex_lock(&kvm->gate.lock);
    for (guint i = 0; i < kvm->vcpus->len; i++)
        __atomic_store_n(&((KvmVcpu *)kvm->vcpus->pdata[i])->lapic_reset, 1, __ATOMIC_RELEASE);
    pthread_mutex_unlock(&kvm->gate.lock);
    if (!kvm->images)
        return;
    for (unsigned i = 0; i < G_N_ELEMENTS(kvm->images->chip); i++)
        if (kvm_ioctl(kvm->vm_fd, KVM_SET_IRQCHIP, &kvm->images->chip[i]) < 0)
            log_warn("kvm: interrupt controller %u cannot be reset: %s", i, g_strerror(errno));
    if (kvm_ioctl(kvm->vm_fd, KVM_SET_PIT2, &kvm->images->pit) < 0)
        log_warn("kvm: the timer (PIT) cannot be reset: %s", g_strerror(errno));
}
