/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * QMP commands about QMP itself: negotiation, version, introspection.
 */
#include <string.h>

#include "monitor-internal.h"
#include "qmp-schema.h"

/* Clients decide by this which commands and options to try: it is the QEMU whose protocol we speak. */
enum { SPOKEN_MAJOR = 7, SPOKEN_MINOR = 2, SPOKEN_MICRO = 0 };

json_t *qmp_version(void)
{
    return json_pack("{s:{s:i, s:i, s:i}, s:s}", "qemu", "major", SPOKEN_MAJOR, "minor", SPOKEN_MINOR, "micro",
                     SPOKEN_MICRO, "package", "vmm " VMM_VERSION);
}

static json_t *qmp_capabilities(Monitor *mon, json_t *args, GError **errp)
{
    json_t *enable = json_object_get(args, "enable");

    if (json_array_size(enable))
        return qmp_fail(errp, QMP_GENERIC_ERROR, "Capability '%s' is not offered",
                        json_string_value(json_array_get(enable, 0)));
    qmp_set_negotiated(mon);
    return json_object();
}

static json_t *query_version(Monitor *mon, json_t *args, GError **errp)
{
    return qmp_version();
}

static json_t *query_commands(Monitor *mon, json_t *args, GError **errp)
{
    json_t *list = json_array();

    for (const QmpCommand *const *table = qmp_command_tables; *table; table++) {
        for (const QmpCommand *command = *table; command->name; command++)
            json_array_append_new(list, json_pack("{s:s}", "name", command->name));
    }
    return list;
}

static json_t *query_qmp_schema(Monitor *mon, json_t *args, GError **errp)
{
    return qmp_schema();
}

static json_t *human_monitor_command(Monitor *mon, json_t *args, GError **errp)
{
    int64_t cpu = qmp_arg_int(args, "cpu-index", 0);

    if (cpu < 0 || cpu >= mon->machine->smp.cpus)
        return qmp_fail(errp, QMP_GENERIC_ERROR, "there is no CPU %" G_GINT64_FORMAT, cpu);
    unsigned index = (unsigned)cpu;
    g_autofree char *text = hmp_execute(mon, &index, NULL, qmp_arg_str(args, "command-line"));
    g_autofree char *valid = g_utf8_make_valid(text, -1);
    return json_string(valid);
}

static const char *const capability_values[] = {"oob", NULL};
static const QmpType capability_type = {QMP_ENUM, "QMPCapability", .values = capability_values};
static const QmpType capability_list = {QMP_ARRAY, .element = &capability_type};

static const QmpMember capabilities_args[] = {
    {"enable", &capability_list, true, "none is offered"},
    {0},
};

static const QmpMember triple_members[] = {
    {"major", &qmp_int, false, NULL},
    {"minor", &qmp_int, false, NULL},
    {"micro", &qmp_int, false, NULL},
    {0},
};
static const QmpType triple_type = {QMP_OBJECT, "VersionTriple", triple_members};

static const QmpMember version_members[] = {
    {"qemu", &triple_type, false, "of the QEMU whose QMP this is"},
    {"package", &qmp_str, false, "our own version"},
    {0},
};
static const QmpType version_type = {QMP_OBJECT, "VersionInfo", version_members};

static const QmpMember command_members[] = {{"name", &qmp_str, false, NULL}, {0}};
static const QmpType command_type = {QMP_OBJECT, "CommandInfo", command_members};
static const QmpType command_list = {QMP_ARRAY, .element = &command_type};

static const QmpMember schema_members[] = {
    {"name", &qmp_str, false, NULL},
    {"meta-type", &qmp_str, false, "command, event, object, array, enum or builtin; the other members depend on it"},
    {0},
};
static const QmpType schema_type = {QMP_OBJECT, "SchemaInfo", schema_members, .more_members = true};
static const QmpType schema_list = {QMP_ARRAY, .element = &schema_type};

static const QmpMember human_args[] = {
    {"command-line", &qmp_str, false, "as typed at the human monitor"},
    {"cpu-index", &qmp_int, true, "whose registers and memory it means (0)"},
    {0},
};

const QmpCommand qmp_session_commands[] = {
    {"human-monitor-command", human_args, &qmp_str, human_monitor_command, "what the human monitor prints for a line"},
    {"qmp_capabilities", capabilities_args, NULL, qmp_capabilities, "begin the session; the first command of each"},
    {"query-commands", NULL, &command_list, query_commands, "the commands there are"},
    {"query-qmp-schema", NULL, &schema_list, query_qmp_schema, "the types of all commands and events"},
    {"query-version", NULL, &version_type, query_version, "versions of QMP and of this program"},
    {0},
};
