/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * -vcpu: on which CPUs of the host a vCPU's thread runs.
 */
#include "core/error.h"
#include "core/thread-context.h"
#include "src/config/options-int.h"

void vcpu_affinity_clear(void *opaque)
{
    g_free(((VcpuAffinity *)opaque)->context);
}

static bool read_where(VcpuAffinity *out, const char *list, const char *context, GError **errp)
{
    if (!list == !context)
        return error_set_code(errp, VMM_ERROR_USAGE, "it takes one of affinity= and thread-context=");
    if (list && !cpu_list_parse(list, &out->cpus, errp)) {
        g_prefix_error(errp, "affinity=%s: ", list);
        return false;
    }
    out->context = g_strdup(context);
    return true;
}

bool opt_vcpu(Options *options, const OptionSpec *spec, const char *arg, GError **errp)
{
    static const char *const keys[] = {"vcpunum", "affinity", "thread-context", NULL};
    g_autoptr(KvNode) kv = keyval_parse(arg, NULL, errp);
    VcpuAffinity affinity = {0};
    uint64_t vcpu;

    if (!kv)
        return false;
    const char *number = keyval_get(kv, "vcpunum");
    const char *list = keyval_get(kv, "affinity"), *context = keyval_get(kv, "thread-context");
    if (!keyval_check_unused(kv, "-vcpu", keys, errp))
        return false;
    if (!number || !parse_u64(number, &vcpu) || vcpu >= MAX_VCPUS)
        return error_set_code(errp, VMM_ERROR_USAGE, "vcpunum=%s is not the number of a vCPU; they count from 0",
                              number ? number : "");
    affinity.vcpu = (unsigned)vcpu;
    if (!read_where(&affinity, list, context, errp))
        return false;
    g_array_append_val(options->vcpu_affinity, affinity);
    return true;
}

bool vcpu_affinity_check(const Options *options, GError **errp)
{
    for (guint i = 0; i < options->vcpu_affinity->len; i++) {
        const VcpuAffinity *affinity = &g_array_index(options->vcpu_affinity, VcpuAffinity, i);
        if (affinity->vcpu >= options->topology.cpus)
            return error_set_code(errp, VMM_ERROR_USAGE, "-vcpu vcpunum=%u: the machine has the vCPUs 0 to %u; see -smp",
                                  affinity->vcpu, options->topology.cpus - 1);
    }
    return true;
}
