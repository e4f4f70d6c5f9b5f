/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The KVM accelerator: probe, options, creation of the VM, the table of its operations.
 *
 * Order of creation (api 4.2, 4.24, 4.62): VM, TSS and identity-map pages, interrupt controllers, all
 * before the first vCPU.
 *
 * Locking: init and release on the main thread.
 */
#include <errno.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "core/error.h"
#include "core/machine.h"
#include "kvm-internal.h"

static const char *const irqchip_names[] = { "on", "split", "off", NULL };
static const IrqchipKind irqchip_kinds[] = { IRQCHIP_KERNEL, IRQCHIP_SPLIT, IRQCHIP_USERSPACE };

static const Property kvm_props[] = {
    { "kernel-irqchip", PROP_ENUM, offsetof(KvmAccel, kernel_irqchip), "on",
      "interrupt controllers in the kernel: all, the LAPICs only (split), none", irqchip_names, 0, 0 },
    { NULL, 0, 0, NULL, NULL, NULL, 0, 0 },
};

static bool kvm_probe(GError **errp)
{
    int fd = kvm_open(errp);

    if (fd < 0)
        return false;
    close(fd);
    return true;
}

static int create_vm(int fd)
{
    int vm_fd;

    /* EINTR: a signal while the kernel was busy; nothing has been made. */
    do {
        vm_fd = ioctl(fd, KVM_CREATE_VM, 0);
    } while (vm_fd < 0 && errno == EINTR);
    return vm_fd;
}

static bool set_special_pages(KvmAccel *kvm, GError **errp)
{
    uint64_t identity = KVM_IDENTITY_BASE;

    if (kvm_ioctl(kvm->vm_fd, KVM_SET_IDENTITY_MAP_ADDR, &identity) < 0)
        return error_set_errno(errp, errno, "KVM_SET_IDENTITY_MAP_ADDR");
    if (kvm_ioctl(kvm->vm_fd, KVM_SET_TSS_ADDR, (void *)(uintptr_t)KVM_TSS_BASE) < 0)
        return error_set_errno(errp, errno, "KVM_SET_TSS_ADDR");
    return true;
}

static bool read_sizes(KvmAccel *kvm, GError **errp)
{
    int run_size = kvm_ioctl(kvm->fd, KVM_GET_VCPU_MMAP_SIZE, NULL);
    int xsave_size = kvm_check(kvm->vm_fd, KVM_CAP_XSAVE2);

    if (run_size < (int)sizeof(struct kvm_run))
        return error_set(errp, "KVM_GET_VCPU_MMAP_SIZE: %d bytes are too few", run_size);
    kvm->run_size = (size_t)run_size;
    kvm->has_xsave2 = xsave_size > 0;
    kvm->xsave_size = MAX((size_t)xsave_size, sizeof(struct kvm_xsave));
    kvm->has_sregs2 = kvm_check(kvm->vm_fd, KVM_CAP_SREGS2);
    kvm->has_ioeventfd_any_length = kvm_check(kvm->vm_fd, KVM_CAP_IOEVENTFD_ANY_LENGTH);
    kvm->ring_page = (unsigned)kvm_check(kvm->vm_fd, KVM_CAP_COALESCED_MMIO);
    kvm->has_coalesced_pio = kvm_check(kvm->vm_fd, KVM_CAP_COALESCED_PIO);
    if (kvm->ring_page * 4096ul + 4096 > kvm->run_size)
        kvm->ring_page = 0;
    return true;
}

static bool create_first_vcpu(KvmAccel *kvm, GError **errp)
{
    kvm->first_vcpu_fd = kvm_ioctl(kvm->vm_fd, KVM_CREATE_VCPU, NULL);
    return kvm->first_vcpu_fd >= 0 || error_set_errno(errp, errno, "KVM cannot create a vCPU");
}

static void attach(KvmAccel *kvm)
{
    kvm_slots_init(kvm);
    kvm_eventfd_listener_init(&kvm->io_listener, true);
    kvm->io_listener.opaque = kvm;
    address_space_add_listener(&kvm->accel.machine->io, &kvm->io_listener);
}

static void kvm_release(Accel *accel)
{
    KvmAccel *kvm = kvm_of(accel);

    if (!kvm->vcpus)
        return;
    if (kvm->io_listener.opaque)
        address_space_remove_listener(&accel->machine->io, &kvm->io_listener);
    kvm_slots_release(kvm);
    kvm_irqchip_release(kvm);
    kvm_msr_release(kvm);
    kvm_debug_release(kvm);
    g_clear_pointer(&kvm->vcpus, g_ptr_array_unref);
    pthread_mutex_destroy(&kvm->gate.lock);
    pthread_cond_destroy(&kvm->gate.cond);
    if (kvm->first_vcpu_fd >= 0)
        close(kvm->first_vcpu_fd);
    if (kvm->vm_fd >= 0)
        close(kvm->vm_fd);
    if (kvm->fd >= 0)
        close(kvm->fd);
}

/* -overcommit cpu-pm=on: HLT, PAUSE, MWAIT and C-states of the guest are the host CPU's. */
static bool let_guest_idle(KvmAccel *kvm, GError **errp)
{
    const int wanted = KVM_X86_DISABLE_EXITS_MWAIT | KVM_X86_DISABLE_EXITS_HLT | KVM_X86_DISABLE_EXITS_PAUSE |
                       KVM_X86_DISABLE_EXITS_CSTATE;
    struct kvm_enable_cap cap = {.cap = KVM_CAP_X86_DISABLE_EXITS};
    int offered = kvm_check(kvm->vm_fd, KVM_CAP_X86_DISABLE_EXITS);

    if (!kvm->accel.machine->cpu_pm)
        return true;
    if (offered <= 0 || !(offered & wanted))
        return error_set(errp, "-overcommit cpu-pm=on: this host's KVM cannot leave idling to the guest");
    cap.args[0] = (uint64_t)(offered & wanted);
    return kvm_ioctl(kvm->vm_fd, KVM_ENABLE_CAP, &cap) == 0 ||
           error_set_errno(errp, errno, "-overcommit cpu-pm=on: KVM_CAP_X86_DISABLE_EXITS");
}

static bool create(KvmAccel *kvm, GError **errp)
{
    kvm->fd = kvm_open(errp);
    if (kvm->fd < 0 || !kvm_check_caps(kvm, errp))
        return false;
    kvm->vm_fd = create_vm(kvm->fd);
    if (kvm->vm_fd < 0)
        return error_set_errno(errp, errno, "KVM cannot create a VM (is virtualization enabled in the firmware set-up, "
                               "and is no other hypervisor using it?)");
    return read_sizes(kvm, errp) && let_guest_idle(kvm, errp) && set_special_pages(kvm, errp) && kvm_irqchip_create(kvm, errp) &&
           kvm_msr_init(kvm, errp) && create_first_vcpu(kvm, errp);
}

static bool kvm_init(Accel *accel, Machine *machine, GError **errp)
{
    KvmAccel *kvm = kvm_of(accel);

    accel->machine = machine;
    accel->irqchip = irqchip_kinds[kvm->kernel_irqchip];
    kvm->fd = kvm->vm_fd = kvm->first_vcpu_fd = -1;
    kvm->vcpus = g_ptr_array_new();
    pthread_mutex_init(&kvm->gate.lock, NULL);
    pthread_cond_init(&kvm->gate.cond, NULL);
    if (!create(kvm, errp)) {
        kvm_release(accel);
        return false;
    }
    kvm_debug_init(kvm);
    attach(kvm);
    return true;
}

const AccelOps kvm_accel_ops = {
    .name = "kvm",
    .thread_suffix = "KVM",
    .props = kvm_props,
    .instance_size = sizeof(KvmAccel),
    .probe = kvm_probe,
    .init = kvm_init,
    .release = kvm_release,
    .supported_cpuid = kvm_supported_cpuid,
    .vcpu_init = kvm_vcpu_init,
    .vcpu_set_cpuid = kvm_vcpu_set_cpuid,
    .vcpu_thread_init = kvm_vcpu_thread_init,
    .vcpu_release = kvm_vcpu_release,
    .run = kvm_vcpu_run,
    .kick = kvm_vcpu_kick,
    .get_state = kvm_get_state,
    .put_state = kvm_put_state,
    .debug_check = kvm_debug_check,
    .debug_arm = kvm_debug_arm,
    .clock_running = kvm_clock_running,
    .print_stats = kvm_print_stats,
    .irqchip_set_gsi = kvm_irqchip_set_gsi,
    .irqchip_send_msi = kvm_irqchip_send_msi,
    .irqchip_route = kvm_irqchip_route,
    .irqchip_reset = kvm_irqchip_reset,
    .msi_route_add = kvm_msi_route_add,
    .msi_route_change = kvm_msi_route_change,
    .msi_route_remove = kvm_msi_route_remove,
    .irqfd_add_route = kvm_irqfd_add_route,
    .irqfd_remove_route = kvm_irqfd_remove_route,
    .irqfd_add_gsi = kvm_irqfd_add_gsi,
    .irqfd_remove_gsi = kvm_irqfd_remove_gsi,
};
