/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * QMP commands about devices and objects: their types, their properties, and -object while the VM runs.
 */
#include <string.h>

#include "core/error.h"
#include "core/iothread.h"
#include "core/object.h"
#include "hotplug.h"
#include "monitor-internal.h"
#include "qmp-schema.h"

/* --- Types and their properties --- */

static const char *property_type_name(const Property *prop)
{
    switch (prop->kind) {
    case PROP_BOOL:
        return "bool";
    case PROP_U8:
        return "uint8";
    case PROP_U16:
        return "uint16";
    case PROP_U32:
        return "uint32";
    case PROP_U64:
        return "uint64";
    case PROP_I32:
        return "int32";
    case PROP_SIZE:
        return "size";
    default:
        return "str";
    }
}

static json_t *describe_properties(const Property *props)
{
    json_t *list = json_array();

    for (const Property *prop = props; prop && prop->name; prop++) {
        json_t *info = json_pack("{s:s, s:s}", "name", prop->name, "type", property_type_name(prop));
        if (prop->help)
            json_object_set_new(info, "description", json_string(prop->help));
        if (prop->def)
            json_object_set_new(info, "default-value", json_string(prop->def));
        json_array_append_new(list, info);
    }
    return list;
}

static json_t *device_list_properties(Monitor *mon, json_t *args, GError **errp)
{
    const char *name = qmp_arg_str(args, "typename");
    const DeviceType *type = device_type_find(name);

    if (!type || !type->user_creatable)
        return qmp_fail(errp, QMP_DEVICE_NOT_FOUND, "Device '%s' not found", name);
    return describe_properties(type->props);
}

static json_t *qom_list_properties(Monitor *mon, json_t *args, GError **errp)
{
    const char *name = qmp_arg_str(args, "typename");
    const DeviceType *device = device_type_find(name);
    const ObjectType *object = object_type_find(name);

    if (!device && !object)
        return qmp_fail(errp, QMP_DEVICE_NOT_FOUND, "Class '%s' not found", name);
    return describe_properties(device ? device->props : object->props);
}

static void add_type_name(json_t *list, const char *name, const char *parent)
{
    json_array_append_new(list, json_pack("{s:s, s:s}", "name", name, "parent", parent));
}

static json_t *qom_list_types(Monitor *mon, json_t *args, GError **errp)
{
    const char *parent = qmp_arg_str(args, "implements");
    bool devices = !parent || strcmp(parent, "device") == 0, objects = !parent || strcmp(parent, "user-creatable") == 0;
    json_t *list = json_array();

    for (unsigned i = 0; devices && device_types[i]; i++)
        add_type_name(list, device_types[i]->name, "device");
    for (unsigned i = 0; objects && object_types[i]; i++)
        add_type_name(list, object_types[i]->name, "user-creatable");
    return list;
}

/* --- Devices that come and go --- */

static json_t *device_add(Monitor *mon, json_t *args, GError **errp)
{
    char *text = json_dumps(args, 0);
    g_autoptr(KvNode) kv = keyval_parse(text, NULL, errp);

    free(text);
    return kv && hotplug_add(mon->machine, kv, errp) ? json_object() : NULL;
}

static json_t *device_del(Monitor *mon, json_t *args, GError **errp)
{
    return hotplug_request_removal(mon->machine, qmp_arg_str(args, "id"), errp) ? json_object() : NULL;
}

/* --- Objects --- */

/* JSON's scalars in option syntax; NULL: not a scalar. */
static char *scalar_text(json_t *value)
{
    if (json_is_string(value))
        return g_strdup(json_string_value(value));
    if (json_is_boolean(value))
        return g_strdup(json_is_true(value) ? "on" : "off");
    if (json_is_integer(value))
        return g_strdup_printf("%" JSON_INTEGER_FORMAT, json_integer_value(value));
    return NULL;
}

static bool set_properties(Object *obj, json_t *args, GError **errp)
{
    const char *key;
    json_t *value;

    json_object_foreach(args, key, value) {
        g_autofree char *text = scalar_text(value);
        if (strcmp(key, "qom-type") == 0 || strcmp(key, "id") == 0)
            continue;
        if (!text)
            return error_set(errp, "Invalid parameter type for '%s', expected: a simple value", key);
        if (!object_set_property(obj, key, text, errp))
            return false;
    }
    return true;
}

static json_t *object_add_command(Monitor *mon, json_t *args, GError **errp)
{
    const char *name = qmp_arg_str(args, "qom-type"), *id = qmp_arg_str(args, "id");
    const ObjectType *type = object_type_find(name);

    if (!type)
        return qmp_fail(errp, QMP_GENERIC_ERROR, "Invalid parameter 'qom-type': there is no object type '%s'", name);
    if (!*id || object_find(mon->machine, NULL, id))
        return qmp_fail(errp, QMP_GENERIC_ERROR, "the id '%s' is %s", id, *id ? "used already" : "empty");
    Object *obj = object_new(type, id);
    if (set_properties(obj, args, errp) && object_add(mon->machine, obj, errp))
        return json_object();
    object_free(obj);
    return NULL;
}

static json_t *object_del(Monitor *mon, json_t *args, GError **errp)
{
    return object_remove(mon->machine, qmp_arg_str(args, "id"), errp) ? json_object() : NULL;
}

static json_t *query_iothreads(Monitor *mon, json_t *args, GError **errp)
{
    json_t *list = json_array();

    for (guint i = 0; i < mon->machine->objects->len; i++) {
        const Object *obj = g_ptr_array_index(mon->machine->objects, i);
        IoThread *iothread = obj->type == &iothread_type ? iothread_find(mon->machine, obj->id) : NULL;
        if (iothread)
            json_array_append_new(list, json_pack("{s:s, s:i, s:I}", "id", obj->id, "thread-id",
                                                  (int)iothread_tid(iothread), "aio-max-batch",
                                                  (json_int_t)iothread_aio_max_batch(iothread)));
    }
    return list;
}

/* --- Types --- */

static const QmpMember typename_args[] = {{"typename", &qmp_str, false, NULL}, {0}};

static const QmpMember property_members[] = {
    {"name", &qmp_str, false, NULL},
    {"type", &qmp_str, false, NULL},
    {"description", &qmp_str, true, NULL},
    {"default-value", &qmp_any, true, "in option syntax"},
    {0},
};
static const QmpType property_type = {QMP_OBJECT, "ObjectPropertyInfo", property_members};
static const QmpType property_list = {QMP_ARRAY, .element = &property_type};

static const QmpMember list_types_args[] = {
    {"implements", &qmp_str, true, "device or user-creatable"},
    {"abstract", &qmp_bool, true, "none is"},
    {0},
};
static const QmpMember type_members[] = {
    {"name", &qmp_str, false, NULL},
    {"parent", &qmp_str, true, NULL},
    {0},
};
static const QmpType type_type = {QMP_OBJECT, "ObjectTypeInfo", type_members};
static const QmpType type_list = {QMP_ARRAY, .element = &type_type};

static const QmpMember object_add_args[] = {
    {"qom-type", &qmp_str, false, "as -object's TYPE"},
    {"id", &qmp_str, false, NULL},
    {0},
};
static const QmpMember id_args[] = {{"id", &qmp_str, false, NULL}, {0}};

static const QmpMember iothread_members[] = {
    {"id", &qmp_str, false, NULL},
    {"thread-id", &qmp_int, false, NULL},
    {"aio-max-batch", &qmp_int, false, NULL},
    {0},
};
static const QmpType iothread_info = {QMP_OBJECT, "IOThreadInfo", iothread_members};
static const QmpType iothread_list = {QMP_ARRAY, .element = &iothread_info};

static const QmpMember device_add_args[] = {
    {"driver", &qmp_str, false, NULL},
    {"id", &qmp_str, true, NULL},
    {"bus", &qmp_str, true, NULL},
    {0},
};

static const QmpMember device_del_args[] = {{"id", &qmp_str, false, NULL}, {0}};

const QmpCommand qmp_device_commands[] = {
    {"device_add", device_add_args, NULL, device_add, "plug a PCI device, as -device does; its properties are arguments",
     .more_args = true},
    {"device_del", device_del_args, NULL, device_del, "ask the guest to let go of a device; DEVICE_DELETED says when"},
    {"device-list-properties", typename_args, &property_list, device_list_properties, "properties of a -device"},
    {"object-add", object_add_args, NULL, object_add_command, "make an object, as -object does; its properties are arguments",
     .more_args = true},
    {"object-del", id_args, NULL, object_del, "remove an object that nothing uses"},
    {"qom-list-properties", typename_args, &property_list, qom_list_properties, "properties of a device's or object's type"},
    {"qom-list-types", list_types_args, &type_list, qom_list_types, "types of devices and objects"},
    {"query-iothreads", NULL, &iothread_list, query_iothreads, "the I/O threads"},
    {0},
};
