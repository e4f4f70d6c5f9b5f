/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Checks values against types, and describes the types to clients.
 * Source: QEMU's docs/devel/qapi-code-gen, "Client JSON Protocol introspection" (SchemaInfo).
 */
#include "qmp-schema.h"

#include <string.h>

#include "core/error.h"

const QmpType qmp_str = {QMP_STR, "str"};
const QmpType qmp_int = {QMP_INT, "int"};
const QmpType qmp_number = {QMP_NUMBER, "number"};
const QmpType qmp_bool = {QMP_BOOL, "bool"};
const QmpType qmp_any = {QMP_ANY, "any"};
const QmpType qmp_str_list = {QMP_ARRAY, .element = &qmp_str};

/* What clients are told, and what errors call it. */
static const char *const json_types[] = {
    [QMP_STR] = "string", [QMP_INT] = "int", [QMP_NUMBER] = "number", [QMP_BOOL] = "boolean",
    [QMP_ANY] = "value", [QMP_OBJECT] = "object", [QMP_ARRAY] = "array", [QMP_ENUM] = "string",
};

/* --- Errors --- */

G_DEFINE_QUARK(qmp-error-quark, qmp_error)

json_t *qmp_fail(GError **errp, QmpErrorClass class, const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    if (errp)
        *errp = g_error_new_valist(QMP_ERROR, class, fmt, ap);
    va_end(ap);
    return NULL;
}

const char *qmp_error_class(const GError *err)
{
    static const char *const names[] = {
        [QMP_GENERIC_ERROR] = "GenericError", [QMP_COMMAND_NOT_FOUND] = "CommandNotFound",
        [QMP_DEVICE_NOT_FOUND] = "DeviceNotFound", [QMP_DEVICE_NOT_ACTIVE] = "DeviceNotActive",
    };

    return names[err->domain == QMP_ERROR ? err->code : QMP_GENERIC_ERROR];
}

/* --- Checks --- */

static bool check_enum(const QmpType *type, const char *name, json_t *value, GError **errp)
{
    const char *text = json_string_value(value);

    if (text && g_strv_contains(type->values, text))
        return true;
    if (!text)
        return error_set(errp, "Invalid parameter type for '%s', expected: string", name);
    g_autofree char *all = g_strjoinv(", ", (char **)type->values);
    return error_set(errp, "Invalid parameter '%s' for '%s'; it can be %s", text, name, all);
}

static bool check_members(const QmpMember *members, bool more, json_t *object, GError **errp)
{
    const char *key;
    json_t *value;

    for (const QmpMember *m = members; m && m->name; m++) {
        value = json_object_get(object, m->name);
        if (!value && !m->optional)
            return error_set(errp, "Parameter '%s' is missing", m->name);
        if (value && !qmp_check_type(m->type, m->name, value, errp))
            return false;
    }
    json_object_foreach(object, key, value) {
        const QmpMember *m = members;
        while (m && m->name && strcmp(m->name, key) != 0)
            m++;
        if (!more && (!m || !m->name))
            return error_set(errp, "Parameter '%s' is unexpected", key);
    }
    return true;
}

static bool check_array(const QmpType *type, const char *name, json_t *array, GError **errp)
{
    size_t i;
    json_t *item;

    json_array_foreach(array, i, item) {
        g_autofree char *item_name = g_strdup_printf("%s[%zu]", name, i);
        if (!qmp_check_type(type->element, item_name, item, errp))
            return false;
    }
    return true;
}

bool qmp_check_type(const QmpType *type, const char *name, json_t *value, GError **errp)
{
    bool ok = false;

    switch (type->kind) {
    case QMP_STR:
        ok = json_is_string(value);
        break;
    case QMP_INT:
        ok = json_is_integer(value);
        break;
    case QMP_NUMBER:
        ok = json_is_number(value);
        break;
    case QMP_BOOL:
        ok = json_is_boolean(value);
        break;
    case QMP_ANY:
        return true;
    case QMP_OBJECT:
        if (json_is_object(value))
            return check_members(type->members, type->more_members, value, errp);
        break;
    case QMP_ARRAY:
        if (json_is_array(value))
            return check_array(type, name, value, errp);
        break;
    case QMP_ENUM:
        return check_enum(type, name, value, errp);
    }
    return ok || error_set(errp, "Invalid parameter type for '%s', expected: %s", name, json_types[type->kind]);
}

bool qmp_check_args(const QmpCommand *command, json_t *args, GError **errp)
{
    return check_members(command->args, command->more_args, args, errp);
}

const char *qmp_arg_str(json_t *args, const char *name)
{
    return json_string_value(json_object_get(args, name));
}

int64_t qmp_arg_int(json_t *args, const char *name, int64_t def)
{
    json_t *value = json_object_get(args, name);

    return value ? json_integer_value(value) : def;
}

bool qmp_arg_bool(json_t *args, const char *name, bool def)
{
    json_t *value = json_object_get(args, name);

    return value ? json_is_true(value) : def;
}

/* --- Introspection --- */

typedef struct Schema {
    json_t *infos;
    GHashTable *seen; /* names of types */
} Schema;

/* Arrays are called after their element. */
static char *type_name(const QmpType *type)
{
    g_autofree char *element = type->kind == QMP_ARRAY ? type_name(type->element) : NULL;

    return element ? g_strdup_printf("[%s]", element) : g_strdup(type->name);
}

static void add_type(Schema *schema, const QmpType *type);

static json_t *describe_members(Schema *schema, const QmpMember *members)
{
    json_t *list = json_array();

    for (const QmpMember *m = members; m && m->name; m++) {
        g_autofree char *type = type_name(m->type);
        json_t *info = json_pack("{s:s, s:s}", "name", m->name, "type", type);
        if (m->optional)
            json_object_set_new(info, "default", json_null());
        json_array_append_new(list, info);
        add_type(schema, m->type);
    }
    return list;
}

static json_t *describe_enum(const QmpType *type)
{
    json_t *members = json_array(), *values = json_array();

    for (const char *const *value = type->values; *value; value++) {
        json_array_append_new(members, json_pack("{s:s}", "name", *value));
        json_array_append_new(values, json_string(*value));
    }
    return json_pack("{s:s, s:s, s:o, s:o}", "name", type->name, "meta-type", "enum", "members", members, "values",
                     values);
}

static json_t *describe_type(Schema *schema, const QmpType *type, const char *name)
{
    switch (type->kind) {
    case QMP_OBJECT:
        return json_pack("{s:s, s:s, s:o}", "name", name, "meta-type", "object", "members",
                         describe_members(schema, type->members));
    case QMP_ENUM:
        return describe_enum(type);
    case QMP_ARRAY: {
        g_autofree char *element = type_name(type->element);
        add_type(schema, type->element);
        return json_pack("{s:s, s:s, s:s}", "name", name, "meta-type", "array", "element-type", element);
    }
    default:
        return json_pack("{s:s, s:s, s:s}", "name", name, "meta-type", "builtin", "json-type", json_types[type->kind]);
    }
}

/* Types refer to each other in no circle; one that is used twice is described once. */
static void add_type(Schema *schema, const QmpType *type)
{
    g_autofree char *name = type_name(type);

    if (g_hash_table_contains(schema->seen, name))
        return;
    g_hash_table_add(schema->seen, g_strdup(name));
    json_array_append_new(schema->infos, describe_type(schema, type, name));
}

/* An object without a type of its own: of a command's arguments, of an event's data. */
static char *add_members(Schema *schema, const char *owner, const char *suffix, const QmpMember *members)
{
    char *name = members ? g_strdup_printf("q_obj_%s-%s", owner, suffix) : g_strdup("q_empty");
    const QmpType type = {QMP_OBJECT, name, members};

    add_type(schema, &type);
    return name;
}

static void add_command(Schema *schema, const QmpCommand *command)
{
    static const QmpType empty = {QMP_OBJECT, "q_empty"};
    g_autofree char *arg = add_members(schema, command->name, "arg", command->args);
    const QmpType *ret_type = command->ret ? command->ret : &empty;
    g_autofree char *ret = type_name(ret_type);

    add_type(schema, ret_type);
    json_array_append_new(schema->infos,
                          json_pack("{s:s, s:s, s:s, s:s, s:b}", "name", command->name, "meta-type", "command",
                                    "arg-type", arg, "ret-type", ret, "allow-oob", 0));
}

json_t *qmp_schema(void)
{
    Schema schema = {json_array(), g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL)};

    for (const QmpCommand *const *table = qmp_command_tables; *table; table++) {
        for (const QmpCommand *command = *table; command->name; command++)
            add_command(&schema, command);
    }
    for (unsigned i = 0; i < VM_EVENT_COUNT; i++) {
        g_autofree char *arg = add_members(&schema, qmp_events[i].name, "arg", qmp_events[i].data);
        json_array_append_new(schema.infos, json_pack("{s:s, s:s, s:s}", "name", qmp_events[i].name, "meta-type",
                                                      "event", "arg-type", arg));
    }
    g_hash_table_unref(schema.seen);
    return schema.infos;
}
