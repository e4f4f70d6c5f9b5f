/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * QMP commands about CPUs.
 */
#include <string.h>

#include "hw/i386/cpu-model.h"
#include "monitor-internal.h"
#include "qmp-schema.h"

/* Where a CPU sits in the topology -smp gave. */
static json_t *topology_of(const Machine *machine, unsigned index)
{
    const SmpTopology *smp = &machine->smp;

    return json_pack("{s:i, s:i, s:i, s:i}", "socket-id", (int)(index / (smp->threads * smp->cores * smp->dies)),
                     "die-id", (int)(index / (smp->threads * smp->cores) % smp->dies),
                     "core-id", (int)(index / smp->threads % smp->cores), "thread-id", (int)(index % smp->threads));
}

static json_t *path_of(unsigned index)
{
    return json_sprintf("/machine/cpu[%u]", index);
}

static json_t *query_cpus_fast(Monitor *mon, json_t *args, GError **errp)
{
    json_t *list = json_array();

    for (unsigned i = 0; i < mon->machine->smp.cpus; i++)
        json_array_append_new(list, json_pack("{s:i, s:o, s:i, s:o, s:s}", "cpu-index", (int)i, "qom-path", path_of(i),
                                              "thread-id", (int)vcpu_thread_id(mon->machine->vcpus[i]), "props",
                                              topology_of(mon->machine, i), "target", "x86_64"));
    return list;
}

/* All are there from the start and none can go. */
static json_t *query_hotpluggable_cpus(Monitor *mon, json_t *args, GError **errp)
{
    json_t *list = json_array();

    for (unsigned i = 0; i < mon->machine->smp.cpus; i++)
        json_array_append_new(list, json_pack("{s:s, s:i, s:o, s:o}", "type", "x86_64-cpu", "vcpus-count", 1, "props",
                                              topology_of(mon->machine, i), "qom-path", path_of(i)));
    return list;
}

static void add_model(const char *name, const char *desc, void *list)
{
    json_array_append_new(list, json_pack("{s:s, s:b, s:b, s:b, s:s}", "name", name, "migration-safe", 0, "static", 0,
                                          "deprecated", 0, "typename", name));
}

static json_t *query_cpu_definitions(Monitor *mon, json_t *args, GError **errp)
{
    json_t *list = json_array();

    cpu_model_foreach(add_model, list);
    return list;
}

/* "name,avx2=on,..." */
static char *model_text(json_t *model, GError **errp)
{
    g_autoptr(GString) text = g_string_new(qmp_arg_str(model, "name"));
    json_t *props = json_object_get(model, "props"), *value;
    const char *key;

    json_object_foreach(props, key, value) {
        if (json_is_boolean(value))
            g_string_append_printf(text, ",%s=%s", key, json_is_true(value) ? "on" : "off");
        else if (json_is_integer(value))
            g_string_append_printf(text, ",%s=%" JSON_INTEGER_FORMAT, key, json_integer_value(value));
        else if (json_is_string(value) && !strchr(json_string_value(value), ','))
            g_string_append_printf(text, ",%s=%s", key, json_string_value(value));
        else
            return (char *)qmp_fail(errp, QMP_GENERIC_ERROR, "Property '%s' has a value no property takes", key);
    }
    return g_strdup(text->str);
}

static void add_feature(const char *name, bool on, void *props)
{
    json_object_set_new(props, name, json_boolean(on));
}

static json_t *query_cpu_model_expansion(Monitor *mon, json_t *args, GError **errp)
{
    json_t *asked = json_object_get(args, "model"), *props;
    g_autofree char *text = model_text(asked, errp);
    g_autoptr(CpuModel) model = text ? cpu_model_expand(mon->machine, text, errp) : NULL;

    if (!model)
        return NULL;
    props = json_object();
    cpu_model_foreach_feature(model, add_feature, props);
    return json_pack("{s:{s:s, s:o}}", "model", "name", qmp_arg_str(asked, "name"), "props", props);
}

static json_t *query_target(Monitor *mon, json_t *args, GError **errp)
{
    return json_pack("{s:s}", "arch", "x86_64");
}

static json_t *inject_nmi(Monitor *mon, json_t *args, GError **errp)
{
    machine_inject_nmi(mon->machine);
    return json_object();
}

static const QmpMember topology_members[] = {
    {"socket-id", &qmp_int, true, NULL},
    {"die-id", &qmp_int, true, NULL},
    {"core-id", &qmp_int, true, NULL},
    {"thread-id", &qmp_int, true, NULL},
    {0},
};
static const QmpType topology_type = {QMP_OBJECT, "CpuInstanceProperties", topology_members};

static const char *const target_values[] = {"x86_64", NULL};
static const QmpType target_enum = {QMP_ENUM, "SysEmuTarget", .values = target_values};

static const QmpMember cpu_members[] = {
    {"cpu-index", &qmp_int, false, NULL},
    {"qom-path", &qmp_str, false, NULL},
    {"thread-id", &qmp_int, false, "the host's number of its thread"},
    {"props", &topology_type, true, NULL},
    {"target", &target_enum, false, NULL},
    {0},
};
static const QmpType cpu_type = {QMP_OBJECT, "CpuInfoFast", cpu_members};
static const QmpType cpu_list = {QMP_ARRAY, .element = &cpu_type};

static const QmpMember hotpluggable_members[] = {
    {"type", &qmp_str, false, NULL},
    {"vcpus-count", &qmp_int, false, NULL},
    {"props", &topology_type, false, NULL},
    {"qom-path", &qmp_str, true, NULL},
    {0},
};
static const QmpType hotpluggable_type = {QMP_OBJECT, "HotpluggableCPU", hotpluggable_members};
static const QmpType hotpluggable_list = {QMP_ARRAY, .element = &hotpluggable_type};

static const QmpMember definition_members[] = {
    {"name", &qmp_str, false, NULL},
    {"migration-safe", &qmp_bool, true, NULL},
    {"static", &qmp_bool, false, NULL},
    {"typename", &qmp_str, false, NULL},
    {"deprecated", &qmp_bool, false, NULL},
    {0},
};
static const QmpType definition_type = {QMP_OBJECT, "CpuDefinitionInfo", definition_members};
static const QmpType definition_list = {QMP_ARRAY, .element = &definition_type};

static const char *const expansion_values[] = {"static", "full", NULL};
static const QmpType expansion_enum = {QMP_ENUM, "CpuModelExpansionType", .values = expansion_values};

static const QmpType props_type = {QMP_OBJECT, "CpuModelProps", .more_members = true};
static const QmpMember model_members[] = {
    {"name", &qmp_str, false, NULL},
    {"props", &props_type, true, "features and properties, by name"},
    {0},
};
static const QmpType model_type = {QMP_OBJECT, "CpuModelInfo", model_members};

static const QmpMember expansion_members[] = {{"model", &model_type, false, NULL}, {0}};
static const QmpType expansion_type = {QMP_OBJECT, "CpuModelExpansionInfo", expansion_members};

static const QmpMember expansion_args[] = {
    {"type", &expansion_enum, false, "both give all features"},
    {"model", &model_type, false, NULL},
    {0},
};

static const QmpMember target_members[] = {{"arch", &target_enum, false, NULL}, {0}};
static const QmpType target_type = {QMP_OBJECT, "TargetInfo", target_members};

const QmpCommand qmp_cpu_commands[] = {
    {"inject-nmi", NULL, NULL, inject_nmi, "send a non-maskable interrupt to all CPUs"},
    {"query-cpu-definitions", NULL, &definition_list, query_cpu_definitions, "the CPU models there are"},
    {"query-cpu-model-expansion", expansion_args, &expansion_type, query_cpu_model_expansion,
     "the features a CPU model has here"},
    {"query-cpus-fast", NULL, &cpu_list, query_cpus_fast, "the CPUs and their threads"},
    {"query-hotpluggable-cpus", NULL, &hotpluggable_list, query_hotpluggable_cpus, "the CPUs the machine can have: those it has"},
    {"query-target", NULL, &target_type, query_target, "the guest's architecture"},
    {0},
};
