/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The argument of -cpu: its syntax, its properties, and what "-cpu help" prints.
 *
 *     -cpu MODEL[,+FEATURE][,-FEATURE][,FEATURE[=on|off]][,PROPERTY=VALUE]...
 *
 * Items apply in the order given. Names of features and properties take '-', '_' and '.' alike.
 *
 * Locking: none.
 */
#include <string.h>

#include "config/keyval.h"
#include "core/error.h"
#include "cpu-model-internal.h"

static const char *const pmu_names[] = { "auto", "off", "on", NULL };

const Property cpu_props[] = {
    { "check", PROP_BOOL, offsetof(CpuProps, check), "on", "warn of features the accelerator lacks", NULL, 0, 0 },
    { "enforce", PROP_BOOL, offsetof(CpuProps, enforce), "off", "refuse to start without them", NULL, 0, 0 },
    { "migratable", PROP_BOOL, offsetof(CpuProps, migratable), "off",
      "leave out of max and host what cannot move to another host (invtsc)", NULL, 0, 0 },
    { "kvm", PROP_BOOL, offsetof(CpuProps, kvm), "on", "show the KVM paravirtual leaves 40000000h up", NULL, 0, 0 },
    { "pmu", PROP_ENUM, offsetof(CpuProps, pmu), "auto", "performance counters; auto: with max and host", pmu_names,
      0, 0 },
    { "host-phys-bits", PROP_BOOL, offsetof(CpuProps, host_phys_bits), "on",
      "as many physical address bits as the host; off: 40", NULL, 0, 0 },
    { "phys-bits", PROP_U32, offsetof(CpuProps, phys_bits), "0", "physical address bits; 0: see host-phys-bits", NULL,
      0, 52 },
    { "l3-cache", PROP_BOOL, offsetof(CpuProps, l3_cache), "on", "show a third-level cache", NULL, 0, 0 },
    { "family", PROP_I32, offsetof(CpuProps, family), "-1", "family, 0..270", NULL, 0, 0 },
    { "model", PROP_I32, offsetof(CpuProps, model), "-1", "model, 0..255", NULL, 0, 0 },
    { "stepping", PROP_I32, offsetof(CpuProps, stepping), "-1", "stepping, 0..15", NULL, 0, 0 },
    { "vendor", PROP_STRING, offsetof(CpuProps, vendor), NULL, "vendor, 12 characters; default: the host's", NULL, 0,
      0 },
    { "model-id", PROP_STRING, offsetof(CpuProps, model_id), NULL, "brand string, at most 48 characters", NULL, 0, 0 },
    { "level", PROP_U32, offsetof(CpuProps, level), "0", "highest basic leaf; 0: as the features need", NULL, 0, 0xff },
    { "xlevel", PROP_U32, offsetof(CpuProps, xlevel), "0", "highest extended leaf; 0: as the features need", NULL, 0,
      0x800000ff },
    { "tsc-frequency", PROP_U64, offsetof(CpuProps, tsc_frequency), "0", "TSC frequency in Hz; 0: the host's", NULL, 0,
      0 },
    { NULL, 0, 0, NULL, NULL, NULL, 0, 0 },
};

const CpuModelDef *cpu_model_def_find(const char *name)
{
    size_t len = g_str_has_suffix(name, "-v1") ? strlen(name) - 3 : strlen(name);

    for (const CpuModelDef *def = cpu_model_defs; def->name; def++) {
        if (strlen(def->name) == len && !strncmp(def->name, name, len))
            return def;
        if (def->alias && g_str_equal(def->alias, name))
            return def;
    }
    return NULL;
}

bool cpu_model_is_max(const char *name)
{
    return g_str_equal(name, "max") || g_str_equal(name, "host");
}

static const char *nearest_model(const char *name)
{
    g_autoptr(GPtrArray) names = g_ptr_array_new();

    g_ptr_array_add(names, (gpointer) "max");
    g_ptr_array_add(names, (gpointer) "host");
    for (const CpuModelDef *def = cpu_model_defs; def->name; def++) {
        g_ptr_array_add(names, (gpointer)def->name);
        if (def->alias)
            g_ptr_array_add(names, (gpointer)def->alias);
    }
    g_ptr_array_add(names, NULL);
    return nearest_name(name, (const char *const *)names->pdata);
}

bool cpu_model_name_check(const char *name, GError **errp)
{
    const char *near;

    if (cpu_model_is_max(name) || cpu_model_def_find(name))
        return true;
    near = nearest_model(name);
    if (near)
        return error_set_code(errp, VMM_ERROR_USAGE, "no CPU model '%s'; did you mean '%s'?", name, near);
    return error_set_code(errp, VMM_ERROR_USAGE, "no CPU model '%s'; -cpu help lists them", name);
}

static bool unknown_item(const char *name, GError **errp)
{
    g_autoptr(GPtrArray) names = g_ptr_array_new();
    const char *near;

    if (g_str_has_prefix(name, "hv-") || g_str_has_prefix(name, "hv_"))
        return error_set_code(errp, VMM_ERROR_USAGE, "%s: Hyper-V enlightenments are not available; leave it out",
                              name);
    for (const CpuFeature *f = cpu_features; f->name; f++)
        g_ptr_array_add(names, (gpointer)f->name);
    for (const Property *p = cpu_props; p->name; p++)
        g_ptr_array_add(names, (gpointer)p->name);
    g_ptr_array_add(names, NULL);
    near = nearest_name(name, (const char *const *)names->pdata);
    if (near)
        return error_set_code(errp, VMM_ERROR_USAGE, "no feature or property '%s'; did you mean '%s'?", name,
                              near);
    return error_set_code(errp, VMM_ERROR_USAGE, "no feature or property '%s'; -cpu help lists them", name);
}

bool cpu_list_item_parse(const char *text, CpuListItem *item, GError **errp)
{
    bool sign = *text == '+' || *text == '-';
    const char *equals = sign ? NULL : strchr(text, '=');
    g_autofree char *name = equals ? g_strndup(text, equals - text) : g_strdup(text + sign);

    *item = (CpuListItem){ .on = *text != '-', .value = equals ? equals + 1 : "on" };
    item->feature = cpu_feature_find(name);
    if (item->feature) {
        if (equals && !parse_bool(item->value, &item->on))
            return error_set_code(errp, VMM_ERROR_USAGE, "%s=%s: expected on or off", name, item->value);
        return true;
    }
    g_strdelimit(name, "_", '-');
    item->prop = sign ? NULL : property_find(cpu_props, name);
    if (!item->prop)
        return unknown_item(name, errp);
    return true;
}

static bool items_check(GPtrArray *items, GError **errp)
{
    CpuProps scratch = { 0 };
    bool ok = true;

    for (guint i = 0; ok && i < items->len; i++) {
        CpuListItem item;

        ok = cpu_list_item_parse(items->pdata[i], &item, errp) &&
             (item.feature || property_parse(item.prop, &scratch, item.value, errp));
    }
    property_release(cpu_props, &scratch);
    return ok;
}

bool cpu_options_parse(CpuOptions *options, const char *arg, GError **errp)
{
    g_auto(GStrv) parts = g_strsplit(arg, ",", -1);
    g_autoptr(GPtrArray) items = g_ptr_array_new_with_free_func(g_free);

    if (!parts[0] || !*parts[0])
        return error_set_code(errp, VMM_ERROR_USAGE, "a model is missing; -cpu help lists them");
    if (!cpu_model_name_check(parts[0], errp))
        return false;
    for (char **p = parts + 1; *p; p++)
        if (**p)
            g_ptr_array_add(items, g_strdup(*p));
    if (!items_check(items, errp))
        return false;
    cpu_options_release(options);
    options->model = g_strdup(parts[0]);
    options->features = g_steal_pointer(&items);
    return true;
}

void cpu_options_release(CpuOptions *options)
{
    g_clear_pointer(&options->model, g_free);
    g_clear_pointer(&options->features, g_ptr_array_unref);
}

static void print_features(GString *out)
{
    unsigned column = 0;

    for (const CpuFeature *f = cpu_features; f->name; f++) {
        size_t len = strlen(f->name) + 1;

        if (column && column + len > 78)
            column = 0;
        if (!column)
            g_string_append(out, f == cpu_features ? "  " : "\n  ");
        g_string_append_printf(out, "%s ", f->name);
        column += len;
    }
    g_string_append_c(out, '\n');
}

void cpu_model_foreach(void (*fn)(const char *name, const char *desc, void *opaque), void *opaque)
{
    fn("max", "everything the accelerator offers on this host", opaque);
    fn("host", "the same", opaque);
    for (const CpuModelDef *def = cpu_model_defs; def->name; def++)
        fn(def->name, def->model_id, opaque);
}

void cpu_model_print_help(GString *out)
{
    g_string_append(out, "Available CPUs:\n"
                         "x86 max                       everything the accelerator offers on this host (default)\n"
                         "x86 host                      the same\n");
    for (const CpuModelDef *def = cpu_model_defs; def->name; def++) {
        g_string_append_printf(out, "x86 %-25s %s\n", def->name, def->model_id);
        if (def->alias)
            g_string_append_printf(out, "x86 %-25s (alias of %s)\n", def->alias, def->name);
    }
    g_string_append(out, "\nProperties:\n");
    for (const Property *p = cpu_props; p->name; p++)
        g_string_append_printf(out, "  %-16s %s (default: %s)\n", p->name, p->help, p->def ? p->def : "none");
    g_string_append(out, "\nFeatures (+NAME, -NAME, NAME=on|off):\n");
    print_features(out);
}
