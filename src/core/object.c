/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Objects of the user (core/object.h).
 */
#include "core/object.h"

#include <string.h>

#include "core/error.h"
#include "core/machine.h"

const ObjectType *object_type_find(const char *name)
{
    for (unsigned i = 0; object_types[i]; i++) {
        if (strcmp(object_types[i]->name, name) == 0)
            return object_types[i];
    }
    return NULL;
}

Object *object_new(const ObjectType *type, const char *id)
{
    Object *obj = g_malloc0(type->instance_size);

    g_assert(type->instance_size >= sizeof(Object));
    obj->type = type;
    obj->id = g_strdup(id);
    property_set_defaults(type->props, obj);
    return obj;
}

void object_free(Object *obj)
{
    if (obj->machine && obj->type->close)
        obj->type->close(obj);
    property_release(obj->type->props, obj);
    g_free(obj->id);
    g_free(obj);
}

bool object_set_property(Object *obj, const char *name, const char *value, GError **errp)
{
    g_assert(!obj->machine);
    return property_set(obj->type->props, obj, obj->type->name, name, value, errp);
}

bool object_check(const Object *obj, GError **errp)
{
    return !obj->type->check || obj->type->check(obj, errp);
}

bool object_add(Machine *machine, Object *obj, GError **errp)
{
    if (object_find(machine, NULL, obj->id))
        return error_set_code(errp, VMM_ERROR_USAGE, "the id '%s' is used twice; choose another", obj->id);
    if (!object_check(obj, errp))
        return false;
    obj->machine = machine;
    if (obj->type->open && !obj->type->open(obj, errp)) {
        obj->machine = NULL;
        return false;
    }
    g_ptr_array_add(machine->objects, obj);
    return true;
}

bool object_remove(Machine *machine, const char *id, GError **errp)
{
    Object *obj = object_find(machine, NULL, id);

    if (!obj)
        return error_set_code(errp, VMM_ERROR_USAGE, "there is no object '%s'", id);
    if (obj->holders)
        return error_set_code(errp, VMM_ERROR_USAGE, "object '%s' is in use", id);
    g_ptr_array_remove(machine->objects, obj);
    object_free(obj);
    return true;
}

Object *object_find(const Machine *machine, const ObjectType *type, const char *id)
{
    for (guint i = 0; i < machine->objects->len; i++) {
        Object *obj = g_ptr_array_index(machine->objects, i);
        if (strcmp(obj->id, id) == 0)
            return !type || obj->type == type ? obj : NULL;
    }
    return NULL;
}

Object *object_require(const Machine *machine, const ObjectType *type, const char *id, GError **errp)
{
    Object *obj = object_find(machine, type, id);

    if (obj)
        return obj;
    obj = object_find(machine, NULL, id);
    if (obj)
        error_set_code(errp, VMM_ERROR_USAGE, "object '%s' is a %s, not a %s", id, obj->type->name, type->name);
    else
        error_set_code(errp, VMM_ERROR_USAGE, "there is no object '%s'; add -object %s,id=%s", id, type->name, id);
    return NULL;
}

void object_hold(Object *obj)
{
    obj->holders++;
}

void object_release(Object *obj)
{
    g_assert(obj->holders > 0);
    obj->holders--;
}

void object_types_print_help(GString *out)
{
    g_string_append(out, "Objects:\n");
    for (unsigned i = 0; object_types[i]; i++)
        g_string_append_printf(out, "  %-22s %s\n", object_types[i]->name, object_types[i]->desc);
}

void object_type_print_help(const ObjectType *type, GString *out)
{
    const DeviceType shown = {.name = type->name, .desc = type->desc, .props = type->props};

    device_type_print_help(&shown, out);
}
