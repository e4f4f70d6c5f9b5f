/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * -object: makes the object and sets its properties; what it opens, it opens when the machine takes
 * it (configure.c).
 */
#include <string.h>

#include "core/error.h"
#include "src/config/options-int.h"

static bool unknown_type(const char *name, GError **errp)
{
    g_autoptr(GPtrArray) names = g_ptr_array_new();

    for (unsigned i = 0; object_types[i]; i++)
        g_ptr_array_add(names, (char *)object_types[i]->name);
    g_ptr_array_add(names, NULL);
    g_autofree char *near = did_you_mean(name, (const char *const *)names->pdata);
    return error_set_code(errp, VMM_ERROR_USAGE, "unknown object type '%s'%s%s", name, near,
                          *near ? "" : "; '-object help' lists them");
}

static bool id_is_taken(const Options *options, const char *id)
{
    for (guint i = 0; i < options->objects->len; i++) {
        const Object *obj = g_ptr_array_index(options->objects, i);
        if (strcmp(obj->id, id) == 0)
            return true;
    }
    return false;
}

typedef struct SetProperty {
    Object *obj;
    GError **errp;
} SetProperty;

static bool set_property(const char *path, const char *value, void *opaque)
{
    SetProperty *set = opaque;

    if (strcmp(path, "qom-type") == 0 || strcmp(path, "id") == 0)
        return true;
    return object_set_property(set->obj, path, value, set->errp);
}

static bool make_object(Options *options, const ObjectType *type, KvNode *kv, GError **errp)
{
    const char *id = keyval_get(kv, "id");

    if (!id || !*id)
        return error_set_code(errp, VMM_ERROR_USAGE, "id= is missing");
    if (id_is_taken(options, id))
        return error_set_code(errp, VMM_ERROR_USAGE, "the id '%s' is used twice; choose another", id);
    Object *obj = object_new(type, id);
    SetProperty set = {obj, errp};
    if (!keyval_foreach(kv, set_property, &set) || !object_check(obj, errp)) {
        object_free(obj);
        return false;
    }
    g_ptr_array_add(options->objects, obj);
    return true;
}

/* What a list's member says, "on" if it has no value; NULL: it is no list's. */
static const char *affinity_value(const char *member)
{
    const char *value = strchr(member, '=');
    size_t len = value ? (size_t)(value - member) : strlen(member);

    if (strncmp(member, "cpu-affinity", MAX(len, strlen("cpu-affinity"))) != 0 &&
        strncmp(member, "node-affinity", MAX(len, strlen("node-affinity"))) != 0)
        return NULL;
    return value ? value + 1 : "on";
}

/* QEMU collects the repeats of thread-context's lists, "cpu-affinity=0-1,cpu-affinity=6"; elsewhere the
 * last one counts. Here they become one, "cpu-affinity=0-1:6". */
static char *join_lists(const char *arg)
{
    g_auto(GStrv) members = g_strsplit(arg, ",", -1);
    g_autoptr(GString) out = g_string_new(NULL), lists = g_string_new(NULL);

    if (!g_str_has_prefix(arg, "thread-context,"))
        return g_strdup(arg);
    for (char **member = members; *member; member++) {
        const char *value = affinity_value(*member);
        if (value && lists->len && strncmp(lists->str, *member, 4) == 0)
            g_string_append_printf(lists, ":%s", value);
        else if (value && !lists->len)
            g_string_append_printf(lists, "%.*s=%s", (int)strcspn(*member, "="), *member, value);
        else
            g_string_append_printf(out, "%s%s", out->len ? "," : "", *member);
    }
    if (lists->len)
        g_string_append_printf(out, ",%s", lists->str);
    return g_string_free(g_steal_pointer(&out), FALSE);
}

bool opt_object(Options *options, const OptionSpec *spec, const char *arg, GError **errp)
{
    g_autoptr(GString) help = g_string_new(NULL);

    if (arg_asks_for_help(arg)) {
        object_types_print_help(help);
        options_print_help(options, help);
        return true;
    }
    g_autofree char *joined = join_lists(arg);
    g_autoptr(KvNode) kv = keyval_parse(joined, "qom-type", errp);
    if (!kv)
        return false;

    const char *name = keyval_get(kv, "qom-type");
    if (!name)
        return error_set_code(errp, VMM_ERROR_USAGE, "the type is missing; '-object help' lists them");
    const ObjectType *type = object_type_find(name);
    if (!type)
        return unknown_type(name, errp);
    if (keyval_asks_for_help(kv)) {
        object_type_print_help(type, help);
        options_print_help(options, help);
        return true;
    }
    return make_object(options, type, kv, errp);
}
