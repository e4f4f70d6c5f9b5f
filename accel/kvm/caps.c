/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Whether the host's KVM can do the work: /dev/kvm, API version, capabilities.
 *
 * Everything asked for here is in Linux 4.17 and later on x86; what newer kernels add is optional and
 * noted in KvmAccel.
 *
 * Locking: none; called once, at start-up.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "core/error.h"
#include "core/host.h"
#include "kvm-internal.h"

typedef struct KvmCap {
    int cap;
    const char *name;
    const char *since; /* Linux release */
} KvmCap;

static const KvmCap needed_caps[] = {
    { KVM_CAP_USER_MEMORY, "KVM_CAP_USER_MEMORY", "2.6.25" },
    { KVM_CAP_EXT_CPUID, "KVM_CAP_EXT_CPUID", "2.6.26" },
    { KVM_CAP_SET_TSS_ADDR, "KVM_CAP_SET_TSS_ADDR", "2.6.24" },
    { KVM_CAP_SET_IDENTITY_MAP_ADDR, "KVM_CAP_SET_IDENTITY_MAP_ADDR", "2.6.32" },
    { KVM_CAP_MP_STATE, "KVM_CAP_MP_STATE", "2.6.26" },
    { KVM_CAP_VCPU_EVENTS, "KVM_CAP_VCPU_EVENTS", "2.6.33" },
    { KVM_CAP_DEBUGREGS, "KVM_CAP_DEBUGREGS", "2.6.35" },
    { KVM_CAP_XSAVE, "KVM_CAP_XSAVE", "2.6.36" },
    { KVM_CAP_XCRS, "KVM_CAP_XCRS", "2.6.36" },
    { KVM_CAP_READONLY_MEM, "KVM_CAP_READONLY_MEM", "3.7" },
    { KVM_CAP_IMMEDIATE_EXIT, "KVM_CAP_IMMEDIATE_EXIT", "4.11" },
    { KVM_CAP_GET_MSR_FEATURES, "KVM_CAP_GET_MSR_FEATURES", "4.17" },
};

int kvm_ioctl(int fd, unsigned long request, void *arg)
{
    int ret;

    do {
        ret = ioctl(fd, request, arg);
    } while (ret < 0 && errno == EINTR);
    return ret;
}

int kvm_check(int fd, int cap)
{
    int ret = kvm_ioctl(fd, KVM_CHECK_EXTENSION, (void *)(uintptr_t)cap);

    return ret < 0 ? 0 : ret;
}

static bool open_error(int err, GError **errp)
{
    switch (err) {
    case ENOENT:
        return error_set_code(errp, VMM_ERROR_ABSENT,
                              "/dev/kvm does not exist: load the module kvm_intel or kvm_amd (virtualization must be "
                              "enabled in the firmware set-up), or use -accel dbt");
    case EACCES:
    case EPERM:
        return error_set_code(errp, VMM_ERROR_ABSENT,
                              "/dev/kvm: permission denied: add the user to the group kvm, or use -accel dbt");
    case ENODEV:
    case ENXIO:
        return error_set_code(errp, VMM_ERROR_ABSENT,
                              "/dev/kvm: no KVM module is loaded behind it: load kvm_intel or kvm_amd, or use -accel dbt");
    default:
        return error_set_code(errp, VMM_ERROR_ABSENT, "/dev/kvm cannot be opened: %s; -accel dbt works without it",
                              g_strerror(err));
    }
}

int kvm_open(GError **errp)
{
    int fd = host_open("/dev/kvm", O_RDWR, 0, "accelerator", NULL);
    int err = errno, version;

    if (fd < 0) {
        open_error(err, errp);
        return -1;
    }
    version = kvm_ioctl(fd, KVM_GET_API_VERSION, NULL);
    if (version == KVM_API_VERSION)
        return fd;
    if (version < 0)
        error_set_code(errp, VMM_ERROR_ABSENT, "/dev/kvm is not KVM (%s); -accel dbt works without it",
                       g_strerror(errno));
    else
        error_set_code(errp, VMM_ERROR_ABSENT,
                       "the host's KVM has API version %d, this program needs %d: use another kernel, or -accel dbt",
                       version, KVM_API_VERSION);
    close(fd);
    return -1;
}

bool kvm_check_caps(KvmAccel *kvm, GError **errp)
{
    for (unsigned i = 0; i < G_N_ELEMENTS(needed_caps); i++)
        if (!kvm_check(kvm->fd, needed_caps[i].cap))
            return error_set_code(errp, VMM_ERROR_ABSENT,
                                  "the host's KVM is too old: it lacks %s (Linux %s); use a newer kernel, or -accel dbt",
                                  needed_caps[i].name, needed_caps[i].since);
    return true;
}
