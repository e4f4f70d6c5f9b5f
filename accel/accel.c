/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The choice among the accelerators: "-accel" arguments in their order, or by default what this host
 * runs best (accel/accel.h).
 */
#include "accel/accel.h"

#include <cpuid.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "config/keyval.h"
#include "core/error.h"
#include "core/log.h"

#define CPUID_1_ECX_VMX (1u << 5)
#define CPUID_80000001_ECX_SVM (1u << 2)

static const AccelOps *accel_find(const char *name)
{
    if (!strcmp(name, "tcg"))
        name = "dbt"; /* scripts written for QEMU say so */
    for (const AccelOps *const *ops = accel_list; *ops; ops++) {
        if (!strcmp((*ops)->name, name))
            return *ops;
    }
    return NULL;
}

static const AccelOps *accel_find_or_error(const char *name, GError **errp)
{
    const AccelOps *ops = accel_find(name);
    g_autoptr(GPtrArray) names = NULL;

    if (ops)
        return ops;
    names = g_ptr_array_new();
    for (const AccelOps *const *known = accel_list; *known; known++)
        g_ptr_array_add(names, (void *)(*known)->name);
    g_ptr_array_add(names, NULL);
    g_autofree char *all = g_strjoinv(", ", (char **)names->pdata);
    error_set_code(errp, VMM_ERROR_USAGE, "-accel %s: there is no such accelerator; known are %s", name, all);
    return NULL;
}

/* One "-accel" argument, taken apart. */
typedef struct AccelSpec {
    const AccelOps *ops;
    KvNode *options;
} AccelSpec;

static void accel_spec_clear(AccelSpec *spec)
{
    if (spec->options)
        keyval_free(spec->options);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(AccelSpec, accel_spec_clear)

static bool accel_spec_parse(AccelSpec *spec, const char *arg, GError **errp)
{
    const char *name;

    spec->options = keyval_parse(arg, "accel", errp);
    if (!spec->options) {
        g_prefix_error(errp, "-accel %s: ", arg);
        return false;
    }
    name = keyval_get(spec->options, "accel");
    if (!name)
        return error_set_code(errp, VMM_ERROR_USAGE, "-accel %s: which accelerator? Write -accel NAME,...", arg);
    spec->ops = accel_find_or_error(name, errp);
    return spec->ops != NULL;
}

typedef struct PropertyTarget {
    Accel *accel;
    GError *err;
} PropertyTarget;

static bool accel_set_option(const char *path, const char *value, void *opaque)
{
    PropertyTarget *target = opaque;
    const AccelOps *ops = target->accel->ops;
    g_autofree char *owner = g_strdup_printf("-accel %s", ops->name);

    return !strcmp(path, "accel") || property_set(ops->props, target->accel, owner, path, value, &target->err);
}

static Accel *accel_new(const AccelSpec *spec, GError **errp)
{
    Accel *accel = g_malloc0(spec->ops->instance_size);
    PropertyTarget target = { .accel = accel };

    accel->ops = spec->ops;
    property_set_defaults(spec->ops->props, accel);
    if (spec->options && !keyval_foreach(spec->options, accel_set_option, &target)) {
        g_propagate_error(errp, target.err);
        accel_free(accel);
        return NULL;
    }
    return accel;
}

/* Whether its properties are such; on an instance that is thrown away. */
static bool accel_spec_check(const AccelSpec *spec, GError **errp)
{
    Accel *accel = accel_new(spec, errp);
    bool ok = accel != NULL;

    accel_free(accel);
    return ok;
}

static bool accel_probe(const AccelOps *ops, GError **errp)
{
    return !ops->probe || ops->probe(errp);
}

/* All arguments are read before the first is tried, so a misspelled fallback is found today and not
 * on the day it is needed. */
static Accel *create_from_specs(const char *const *args, unsigned count, GError **errp)
{
    g_autofree AccelSpec *specs = g_new0(AccelSpec, count);
    Accel *accel = NULL;
    bool ok = true;

    for (unsigned i = 0; i < count && ok; i++)
        ok = accel_spec_parse(&specs[i], args[i], errp) && accel_spec_check(&specs[i], errp);
    for (unsigned i = 0; i < count && ok; i++) {
        g_autoptr(GError) reason = NULL;
        if (accel_probe(specs[i].ops, &reason)) {
            accel = accel_new(&specs[i], errp);
            break;
        }
        if (i + 1 < count && g_error_matches(reason, VMM_ERROR, VMM_ERROR_ABSENT)) {
            log_info("%s: %s; trying %s", specs[i].ops->name, reason->message, specs[i + 1].ops->name);
            continue;
        }
        g_propagate_prefixed_error(errp, g_steal_pointer(&reason), "-accel %s: ", specs[i].ops->name);
        break;
    }
    for (unsigned i = 0; i < count; i++)
        accel_spec_clear(&specs[i]);
    return accel;
}

/* VT-x or AMD-V, by the name users know; NULL: neither. A /dev/kvm without them exists, where the
 * host kernel emulates every instruction of the guest's kernel. */
static const char *host_virtualization(void)
{
    uint32_t eax, ebx, ecx, edx;

    if (__get_cpuid(1, &eax, &ebx, &ecx, &edx) && (ecx & CPUID_1_ECX_VMX))
        return "VT-x";
    if (__get_cpuid(0x80000001, &eax, &ebx, &ecx, &edx) && (ecx & CPUID_80000001_ECX_SVM))
        return "AMD-V";
    return NULL;
}

/* Why kvm is not the one to use, or NULL. */
static char *kvm_unfit(const AccelOps *kvm)
{
    g_autoptr(GError) reason = NULL;

    if (!kvm)
        return g_strdup("this build has no kvm");
    if (!accel_probe(kvm, &reason))
        return g_strdup(reason->message);
    if (!host_virtualization())
        return g_strdup("the host CPU has neither VT-x nor AMD-V (-accel kvm uses /dev/kvm all the same)");
    return NULL;
}

static Accel *create_default(GError **errp)
{
    const AccelOps *kvm = accel_find("kvm"), *dbt = accel_find("dbt");
    g_autofree char *unfit = kvm_unfit(kvm);
    AccelSpec spec = { .ops = unfit ? dbt : kvm };

    if (!spec.ops) {
        error_set_code(errp, VMM_ERROR_ABSENT, "no accelerator: %s, and this build has no dbt", unfit);
        return NULL;
    }
    if (unfit)
        log_info("using dbt: %s", unfit);
    else
        log_info("using kvm: the host CPU has %s and /dev/kvm opens", host_virtualization());
    return accel_new(&spec, errp);
}

void accel_print_help(GString *out)
{
    const AccelOps *kvm = accel_find("kvm");

    g_string_append(out, "Accelerators:\n");
    for (const AccelOps *const *ops = accel_list; *ops; ops++) {
        g_autoptr(GError) reason = NULL;
        g_autofree char *unfit = *ops == kvm ? kvm_unfit(kvm) : NULL;
        if (!unfit && !accel_probe(*ops, &reason))
            unfit = g_strdup(reason->message);
        g_string_append_printf(out, "  %-8s %s\n", (*ops)->name, unfit ? unfit : "works on this host");
    }
}

Accel *accel_create(const char *const *specs, unsigned count, GError **errp)
{
    return count ? create_from_specs(specs, count, errp) : create_default(errp);
}

void accel_free(Accel *accel)
{
    if (!accel)
        return;
    if (accel->machine && accel->ops->release)
        accel->ops->release(accel);
    property_release(accel->ops->props, accel);
    g_free(accel);
}
