/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Option arguments written as a JSON object (RFC 8259), as the tree of config/keyval.h.
 *
 * Scalars become strings in option syntax: true is "on", false is "off", numbers their decimal
 * digits; so whoever reads the tree need not know which syntax it came from. null has no such form
 * and is refused. Duplicate names in one object are refused, not merged.
 */
#include "src/config/keyval-int.h"

#include <jansson.h>

#include "core/error.h"

static KvNode *convert(json_t *json, const char *name, int depth, GError **errp);

static KvNode *convert_object(json_t *json, int depth, GError **errp)
{
    g_autoptr(KvNode) dict = keyval_new_dict();
    const char *key;
    json_t *value;

    json_object_foreach(json, key, value)
    {
        if (!keyval_name_ok(key)) {
            error_set_code(errp, VMM_ERROR_USAGE, "'%s' is not a valid key", key);
            return NULL;
        }
        KvNode *node = convert(value, key, depth + 1, errp);
        if (!node) {
            return NULL;
        }
        keyval_dict_set(dict, key, node);
    }
    return g_steal_pointer(&dict);
}

static KvNode *convert_array(json_t *json, const char *name, int depth, GError **errp)
{
    g_autoptr(KvNode) list = keyval_new_list();

    for (size_t i = 0; i < json_array_size(json); i++) {
        KvNode *node = convert(json_array_get(json, i), name, depth + 1, errp);
        if (!node) {
            return NULL;
        }
        keyval_list_append(list, node);
    }
    return g_steal_pointer(&list);
}

static KvNode *convert_number(json_t *json)
{
    g_autofree char *text =
        json_is_integer(json)
            ? g_strdup_printf("%" JSON_INTEGER_FORMAT, json_integer_value(json))
            : g_strdup_printf("%.17g", json_real_value(json));

    return keyval_new_string(text);
}

/* Recursion ends at KEYVAL_MAX_DEPTH. */
static KvNode *convert(json_t *json, const char *name, int depth, GError **errp)
{
    if (depth > KEYVAL_MAX_DEPTH) {
        error_set_code(errp, VMM_ERROR_USAGE, "key '%s' nests deeper than %d levels", name,
                       KEYVAL_MAX_DEPTH);
        return NULL;
    }
    switch (json_typeof(json)) {
    case JSON_OBJECT:
        return convert_object(json, depth, errp);
    case JSON_ARRAY:
        return convert_array(json, name, depth, errp);
    case JSON_STRING:
        return keyval_new_string(json_string_value(json));
    case JSON_INTEGER:
    case JSON_REAL:
        return convert_number(json);
    case JSON_TRUE:
        return keyval_new_string("on");
    case JSON_FALSE:
        return keyval_new_string("off");
    case JSON_NULL:
        break;
    }
    error_set_code(errp, VMM_ERROR_USAGE, "key '%s' is null, which means nothing here", name);
    return NULL;
}

KvNode *keyval_parse_json(const char *text, GError **errp)
{
    json_error_t why;
    json_t *json = json_loads(text, JSON_REJECT_DUPLICATES, &why);

    if (!json) {
        error_set_code(errp, VMM_ERROR_USAGE, "not a JSON object: %s (column %d)", why.text,
                       why.column);
        return NULL;
    }
    KvNode *node = convert(json, "", 0, errp);
    json_decref(json);
    return node;
}
