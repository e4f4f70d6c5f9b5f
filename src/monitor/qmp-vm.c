/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * QMP commands about the VM as a whole: what it is, whether it runs, its end.
 */
#include <string.h>

#include "accel/accel.h"
#include "core/lock.h"
#include "monitor-internal.h"
#include "qmp-schema.h"

/* --- What it is --- */

static json_t *query_name(Monitor *mon, json_t *args, GError **errp)
{
    json_t *result = json_object();

    if (mon->machine->name)
        json_object_set_new(result, "name", json_string(mon->machine->name));
    return result;
}

static json_t *query_uuid(Monitor *mon, json_t *args, GError **errp)
{
    g_autofree char *text = machine_uuid_text(mon->machine);

    return json_pack("{s:s}", "UUID", text);
}

static json_t *query_kvm(Monitor *mon, json_t *args, GError **errp)
{
    return json_pack("{s:b, s:b}", "enabled", (int)(mon->machine->accel->ops == &kvm_accel_ops), "present",
                     (int)kvm_accel_ops.probe(NULL));
}

static json_t *query_machines(Monitor *mon, json_t *args, GError **errp)
{
    json_t *list = json_array();

    for (unsigned i = 0; machine_types[i]; i++) {
        json_t *info = json_pack("{s:s, s:i, s:b, s:b, s:b, s:b}", "name", machine_types[i]->name, "cpu-max", MAX_VCPUS,
                                 "hotpluggable-cpus", 0, "numa-mem-supported", 0, "deprecated", 0, "acpi", 1);
        if (i == 0)
            json_object_set_new(info, "is-default", json_true());
        json_array_append_new(list, info);
    }
    return list;
}

/* --- Whether it runs --- */

static json_t *query_status(Monitor *mon, json_t *args, GError **errp)
{
    return json_pack("{s:s, s:b, s:b}", "status", run_state_name(mon->machine->run_state), "singlestep", 0, "running",
                     (int)machine_is_running(mon->machine));
}

static json_t *stop(Monitor *mon, json_t *args, GError **errp)
{
    machine_stop(mon->machine, RUN_STATE_PAUSED);
    return json_object();
}

static json_t *cont(Monitor *mon, json_t *args, GError **errp)
{
    if (!machine_start(mon->machine))
        return qmp_fail(errp, QMP_GENERIC_ERROR, "Resetting the Virtual Machine is required");
    return json_object();
}

static json_t *quit(Monitor *mon, json_t *args, GError **errp)
{
    machine_request_shutdown(mon->machine, SHUTDOWN_CAUSE_HOST_QUIT, 0);
    return json_object();
}

static json_t *system_reset(Monitor *mon, json_t *args, GError **errp)
{
    machine_request_reset(mon->machine, SHUTDOWN_CAUSE_HOST_RESET);
    return json_object();
}

static json_t *system_powerdown(Monitor *mon, json_t *args, GError **errp)
{
    if (!machine_press_power_button(mon->machine))
        return qmp_fail(errp, QMP_GENERIC_ERROR, "the machine has no power button: it was made without ACPI");
    return json_object();
}

/* --- Inside --- */

static json_t *x_query_jit(Monitor *mon, json_t *args, GError **errp)
{
    Accel *accel = mon->machine->accel;
    g_autoptr(GString) text = g_string_new(NULL);
    bool ok;

    if (accel->ops != &dbt_accel_ops)
        return qmp_fail(errp, QMP_GENERIC_ERROR, "%s translates no code; -accel dbt does", accel->ops->name);
    vcpu_pause_all(mon->machine);
    ok = accel->ops->print_stats(accel, text, errp);
    vcpu_resume_all(mon->machine);
    return ok ? json_pack("{s:s}", "human-readable-text", text->str) : NULL;
}

/* --- Types --- */

static const QmpMember name_members[] = {{"name", &qmp_str, true, "as -name has it"}, {0}};
static const QmpType name_type = {QMP_OBJECT, "NameInfo", name_members};

static const QmpMember uuid_members[] = {{"UUID", &qmp_str, false, "zeroes: not given"}, {0}};
static const QmpType uuid_type = {QMP_OBJECT, "UuidInfo", uuid_members};

static const QmpMember kvm_members[] = {
    {"enabled", &qmp_bool, false, "KVM runs this VM"},
    {"present", &qmp_bool, false, "the host has KVM"},
    {0},
};
static const QmpType kvm_type = {QMP_OBJECT, "KvmInfo", kvm_members};

static const QmpMember machine_members[] = {
    {"name", &qmp_str, false, NULL},
    {"is-default", &qmp_bool, true, NULL},
    {"cpu-max", &qmp_int, false, NULL},
    {"hotpluggable-cpus", &qmp_bool, false, NULL},
    {"numa-mem-supported", &qmp_bool, false, NULL},
    {"deprecated", &qmp_bool, false, NULL},
    {"acpi", &qmp_bool, false, NULL},
    {0},
};
static const QmpType machine_type = {QMP_OBJECT, "MachineInfo", machine_members};
static const QmpType machine_list = {QMP_ARRAY, .element = &machine_type};

static const char *const run_state_values[] = {
    "prelaunch", "running", "paused", "shutdown", "guest-panicked", "internal-error", "io-error", "debug", "watchdog", NULL,
};
static const QmpType run_state_type = {QMP_ENUM, "RunState", .values = run_state_values};

static const QmpMember status_members[] = {
    {"running", &qmp_bool, false, NULL},
    {"singlestep", &qmp_bool, false, "never"},
    {"status", &run_state_type, false, NULL},
    {0},
};
static const QmpType status_type = {QMP_OBJECT, "StatusInfo", status_members};

static const QmpMember text_members[] = {{"human-readable-text", &qmp_str, false, "lines of 'name: value'"}, {0}};
static const QmpType text_type = {QMP_OBJECT, "HumanReadableText", text_members};

const QmpCommand qmp_vm_commands[] = {
    {"cont", NULL, NULL, cont, "start or go on"},
    {"query-kvm", NULL, &kvm_type, query_kvm, "whether KVM is there and in use"},
    {"query-machines", NULL, &machine_list, query_machines, "the boards there are"},
    {"query-name", NULL, &name_type, query_name, "the VM's name"},
    {"query-status", NULL, &status_type, query_status, "whether the VM runs"},
    {"query-uuid", NULL, &uuid_type, query_uuid, "the VM's UUID"},
    {"quit", NULL, NULL, quit, "end the VM at once"},
    {"stop", NULL, NULL, stop, "stop the CPUs"},
    {"system_powerdown", NULL, NULL, system_powerdown, "press the power button"},
    {"system_reset", NULL, NULL, system_reset, "reset the machine"},
    {"x-query-jit", NULL, &text_type, x_query_jit, "the translator's counters, as \"info jit\""},
    {0},
};
