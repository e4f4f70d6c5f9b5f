/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * KVM's counters, from KVM_GET_STATS_FD (api 4.133): a header, descriptors and values in one file.
 *
 * Locking: any thread; vCPUs are those registered now.
 */
#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <unistd.h>

#include "core/error.h"
#include "core/host.h"
#include "kvm-internal.h"

/* Sanity bounds for what the kernel says about its own file. */
#define STATS_DESC_MAX 4096
#define STATS_NAME_MAX 256
#define STATS_VALUES_MAX 1024

static void print_values(const struct kvm_stats_desc *desc, const uint64_t *values, const char *prefix, GString *out)
{
    g_string_append_printf(out, "%s%s:", prefix, desc->name);
    for (unsigned i = 0; i < desc->size; i++)
        g_string_append_printf(out, " %" PRIu64, values[i]);
    g_string_append_c(out, '\n');
}

static bool print_file(int fd, const char *prefix, GString *out)
{
    struct kvm_stats_header header;
    g_autofree uint8_t *descs = NULL;
    size_t desc_size;

    if (!host_pread_full(fd, &header, sizeof(header), 0) || header.num_desc > STATS_DESC_MAX ||
        header.name_size > STATS_NAME_MAX)
        return false;
    desc_size = sizeof(struct kvm_stats_desc) + header.name_size;
    descs = g_malloc0(desc_size * header.num_desc + 1);
    if (!host_pread_full(fd, descs, desc_size * header.num_desc, header.desc_offset))
        return false;
    for (uint32_t i = 0; i < header.num_desc; i++) {
        const struct kvm_stats_desc *desc = (const void *)(descs + desc_size * i);
        uint64_t values[STATS_VALUES_MAX];

        if (!desc->size || desc->size > STATS_VALUES_MAX || strnlen(desc->name, header.name_size) == header.name_size)
            return false;
        if (!host_pread_full(fd, values, desc->size * sizeof(values[0]), (off_t)header.data_offset + desc->offset))
            return false;
        print_values(desc, values, prefix, out);
    }
    return true;
}

static bool print_of(int object_fd, const char *prefix, GString *out, GError **errp)
{
    int fd = kvm_ioctl(object_fd, KVM_GET_STATS_FD, NULL);
    bool ok;

    if (fd < 0)
        return error_set_errno(errp, errno, "KVM_GET_STATS_FD");
    ok = print_file(fd, prefix, out);
    close(fd);
    return ok || error_set(errp, "KVM's statistics file is not as documented");
}

bool kvm_print_stats(Accel *accel, GString *out, GError **errp)
{
    KvmAccel *kvm = kvm_of(accel);
    bool ok;

    if (!kvm_check(kvm->vm_fd, KVM_CAP_BINARY_STATS_FD))
        return error_set(errp, "the host's KVM has no statistics file (Linux 5.14)");
    ok = print_of(kvm->vm_fd, "vm.", out, errp);
    pthread_mutex_lock(&kvm->gate.lock);
    for (guint i = 0; ok && i < kvm->vcpus->len; i++) {
        const KvmVcpu *kv = kvm->vcpus->pdata[i];
        g_autofree char *prefix = g_strdup_printf("cpu%u.", kv->cpu->index);

        ok = print_of(kv->fd, prefix, out, errp);
    }
    pthread_mutex_unlock(&kvm->gate.lock);
    return ok;
}
