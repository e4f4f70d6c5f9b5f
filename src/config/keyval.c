/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The option tree and the key=value syntax (include/config/keyval.h has the grammar).
 *
 * Every argument is first parsed into a tree of its own, in which "list.0=x" is a dictionary with
 * the key "0"; then dictionaries whose keys are all numbers become lists, and only a tree that is
 * right in itself is merged into an older one. So a failure never leaves half an argument behind.
 *
 * Not here: the meaning of any key. JSON objects are read by keyval-json.c into the same tree.
 *
 * Locking: none; a tree belongs to the thread that parsed it.
 */
#include "config/keyval.h"

#include <string.h>

#include "core/error.h"
#include "src/config/keyval-int.h"

/* Key fragments of QEMU's longest names fit; the parser's recursion is bounded by KEYVAL_MAX_DEPTH. */
#define MAX_FRAGMENT 127

typedef struct KvEntry {
    char *key;
    KvNode *value;
} KvEntry;

struct KvNode {
    KvKind kind;
    bool used;
    char *string;   /* KV_STRING */
    GArray *dict;   /* KV_DICT: of KvEntry, in the order given */
    GPtrArray *list; /* KV_LIST: of KvNode */
};

static void entry_clear(void *data)
{
    KvEntry *entry = data;

    g_free(entry->key);
    keyval_free(entry->value);
}

KvNode *keyval_new_string(const char *value)
{
    KvNode *node = g_new0(KvNode, 1);

    node->kind = KV_STRING;
    node->string = g_strdup(value);
    return node;
}

KvNode *keyval_new_dict(void)
{
    KvNode *node = g_new0(KvNode, 1);

    node->kind = KV_DICT;
    node->dict = g_array_new(FALSE, FALSE, sizeof(KvEntry));
    g_array_set_clear_func(node->dict, entry_clear);
    return node;
}

KvNode *keyval_new_list(void)
{
    KvNode *node = g_new0(KvNode, 1);

    node->kind = KV_LIST;
    node->list = g_ptr_array_new_with_free_func((GDestroyNotify)keyval_free);
    return node;
}

void keyval_free(KvNode *node)
{
    if (!node) {
        return;
    }
    g_free(node->string);
    if (node->dict) {
        g_array_free(node->dict, TRUE);
    }
    if (node->list) {
        g_ptr_array_free(node->list, TRUE);
    }
    g_free(node);
}

static KvEntry *dict_entry(const KvNode *dict, guint i)
{
    return &g_array_index(dict->dict, KvEntry, i);
}

static KvEntry *dict_find(const KvNode *dict, const char *key)
{
    for (guint i = 0; i < dict->dict->len; i++) {
        KvEntry *entry = dict_entry(dict, i);
        if (strcmp(entry->key, key) == 0) {
            return entry;
        }
    }
    return NULL;
}

void keyval_dict_set(KvNode *dict, const char *key, KvNode *value)
{
    KvEntry *old = dict_find(dict, key);

    if (old) {
        keyval_free(old->value);
        old->value = value;
    } else {
        KvEntry entry = {g_strdup(key), value};
        g_array_append_val(dict->dict, entry);
    }
}

void keyval_list_append(KvNode *list, KvNode *value)
{
    g_ptr_array_add(list->list, value);
}

bool keyval_name_ok(const char *name)
{
    return *name && strlen(name) <= MAX_FRAGMENT &&
           strspn(name, G_CSET_A_2_Z G_CSET_a_2_z G_CSET_DIGITS "-_+") == strlen(name);
}

/* Stores value under the dotted key, making the dictionaries on the way. */
static bool put_dotted(KvNode *dict, const char *key, const char *value, GError **errp)
{
    g_auto(GStrv) parts = g_strsplit(key, ".", KEYVAL_MAX_DEPTH + 1);
    guint count = g_strv_length(parts);

    if (count > KEYVAL_MAX_DEPTH) {
        return error_set_code(errp, VMM_ERROR_USAGE, "key '%s' nests deeper than %d levels", key,
                              KEYVAL_MAX_DEPTH);
    }
    bool valid = count > 0; /* "" has no parts */
    for (guint i = 0; i < count; i++) {
        valid = valid && keyval_name_ok(parts[i]);
    }
    if (!valid) {
        return error_set_code(errp, VMM_ERROR_USAGE, "'%s' is not a valid key", key);
    }
    for (guint i = 0; i + 1 < count; i++) {
        KvEntry *entry = dict_find(dict, parts[i]);
        if (entry && entry->value->kind != KV_DICT) {
            return error_set_code(errp, VMM_ERROR_USAGE,
                                  "key '%s' has both a value and members (as in '%s')", parts[i],
                                  key);
        }
        if (!entry) {
            keyval_dict_set(dict, parts[i], keyval_new_dict());
            entry = dict_find(dict, parts[i]);
        }
        dict = entry->value;
    }
    KvEntry *leaf = dict_find(dict, parts[count - 1]);
    if (leaf && leaf->value->kind != KV_STRING) {
        return error_set_code(errp, VMM_ERROR_USAGE, "key '%s' has both a value and members", key);
    }
    keyval_dict_set(dict, parts[count - 1], keyval_new_string(value));
    return true;
}

bool keyval_set(KvNode *dict, const char *path, const char *value, GError **errp)
{
    return put_dotted(dict, path, value, errp);
}

/*
 * Takes one element off *pos, up to a single comma or the end. In a value ",," is a comma. *key is
 * NULL if there is no "=". QEMU allows a comma at the very end; so do we.
 */
static void take_element(const char **pos, char **key, char **value)
{
    const char *p = *pos;
    size_t name_len = strcspn(p, "=,");
    g_autoptr(GString) text = g_string_new(NULL);

    *key = NULL;
    if (p[name_len] == '=') {
        *key = g_strndup(p, name_len);
        p += name_len + 1;
    }
    while (*p && (*p != ',' || p[1] == ',')) {
        if (*p == ',') {
            p++;
        }
        g_string_append_c(text, *p++);
    }
    *pos = *p ? p + 1 : p;
    *value = g_string_free(g_steal_pointer(&text), FALSE);
}

/* Stores value under the key as it is: dots are part of it. */
static bool put_flat(KvNode *dict, const char *key, const char *value, GError **errp)
{
    g_auto(GStrv) parts = g_strsplit(key, ".", -1);

    for (guint i = 0; i == 0 || parts[i]; i++) {
        if (!parts[i] || !keyval_name_ok(parts[i]))
            return error_set_code(errp, VMM_ERROR_USAGE, "'%s' is not a valid key", key);
    }
    keyval_dict_set(dict, key, keyval_new_string(value));
    return true;
}

typedef bool (*PutFn)(KvNode *dict, const char *key, const char *value, GError **errp);

static bool parse_list(KvNode *dict, const char *arg, const char *implied_key, PutFn put, GError **errp)
{
    for (const char *pos = arg; *pos; implied_key = NULL) {
        g_autofree char *key = NULL;
        g_autofree char *value = NULL;
        bool ok;

        take_element(&pos, &key, &value);
        if (key) {
            ok = put(dict, key, value, errp);
        } else if (implied_key) {
            ok = put(dict, implied_key, value, errp);
        } else if (*value) {
            ok = put(dict, value, "on", errp);
        } else {
            ok = error_set_code(errp, VMM_ERROR_USAGE, "'%s' has an empty element", arg);
        }
        if (!ok) {
            return false;
        }
    }
    return true;
}

static bool is_index(const char *key)
{
    return strspn(key, G_CSET_DIGITS) == strlen(key);
}

/* Turns dictionaries with the keys 0 to n-1 into lists, innermost first. */
static bool listify(KvNode *node, const char *name, GError **errp)
{
    guint count = node->dict->len;
    guint indices = 0;

    for (guint i = 0; i < count; i++) {
        KvEntry *entry = dict_entry(node, i);
        if (entry->value->kind == KV_DICT && !listify(entry->value, entry->key, errp)) {
            return false;
        }
        indices += is_index(entry->key);
    }
    if (!indices) {
        return true;
    }
    if (!name || indices != count) {
        return error_set_code(errp, VMM_ERROR_USAGE, "'%s' mixes numbers and names as keys",
                              name ? name : "the list");
    }

    g_autoptr(KvNode) list = keyval_new_list();
    for (guint i = 0; i < count; i++) {
        g_autofree char *key = g_strdup_printf("%u", i);
        KvEntry *entry = dict_find(node, key);
        if (!entry) {
            return error_set_code(errp, VMM_ERROR_USAGE, "list '%s' has no element %u", name, i);
        }
        keyval_list_append(list, g_steal_pointer(&entry->value));
    }
    g_array_free(node->dict, TRUE);
    node->dict = NULL;
    node->kind = KV_LIST;
    node->list = g_steal_pointer(&list->list);
    return true;
}

KvNode *keyval_parse(const char *arg, const char *implied_key, GError **errp)
{
    if (arg[0] == '{') {
        return keyval_parse_json(arg, errp);
    }
    g_autoptr(KvNode) dict = keyval_new_dict();
    if (!parse_list(dict, arg, implied_key, put_dotted, errp) || !listify(dict, NULL, errp)) {
        return NULL;
    }
    return g_steal_pointer(&dict);
}

KvNode *keyval_parse_flat(const char *arg, const char *implied_key, GError **errp)
{
    g_autoptr(KvNode) dict = keyval_new_dict();

    return parse_list(dict, arg, implied_key, put_flat, errp) ? g_steal_pointer(&dict) : NULL;
}

/* Whether "from" can go over "into": a string never meets a dictionary or a list. */
static bool can_merge(const KvNode *into, const KvNode *from, const char *name, GError **errp)
{
    if (into->kind != from->kind) {
        return error_set_code(errp, VMM_ERROR_USAGE, "key '%s' was given as another kind before",
                              name);
    }
    if (into->kind == KV_DICT) {
        for (guint i = 0; i < from->dict->len; i++) {
            KvEntry *entry = dict_entry(from, i);
            KvEntry *old = dict_find(into, entry->key);
            if (old && !can_merge(old->value, entry->value, entry->key, errp)) {
                return false;
            }
        }
    }
    return true;
}

/* Moves from's members over into's. Lists are replaced as a whole, like strings. */
static void merge_dict(KvNode *into, KvNode *from)
{
    for (guint i = 0; i < from->dict->len; i++) {
        KvEntry *entry = dict_entry(from, i);
        KvEntry *old = dict_find(into, entry->key);
        if (old && old->value->kind == KV_DICT) {
            merge_dict(old->value, entry->value);
        } else {
            keyval_dict_set(into, entry->key, g_steal_pointer(&entry->value));
        }
    }
}

bool keyval_merge(KvNode *into, const char *arg, const char *implied_key, GError **errp)
{
    g_autoptr(KvNode) from = keyval_parse(arg, implied_key, errp);

    if (!from || !can_merge(into, from, "", errp)) {
        return false;
    }
    merge_dict(into, from);
    return true;
}

KvKind keyval_kind(const KvNode *node)
{
    return node->kind;
}

static KvNode *child(const KvNode *node, const char *name)
{
    if (node->kind == KV_DICT) {
        KvEntry *entry = dict_find(node, name);
        return entry ? entry->value : NULL;
    }
    uint64_t i;
    if (node->kind == KV_LIST && is_index(name) && parse_u64(name, &i) && i < node->list->len) {
        return g_ptr_array_index(node->list, i);
    }
    return NULL;
}

KvNode *keyval_get_node(KvNode *dict, const char *path)
{
    g_auto(GStrv) parts = g_strsplit(path, ".", KEYVAL_MAX_DEPTH + 1);

    for (guint i = 0; parts[i] && dict; i++) {
        dict = child(dict, parts[i]);
    }
    if (dict) {
        dict->used = true;
    }
    return dict;
}

const char *keyval_get(KvNode *dict, const char *path)
{
    KvNode *node = keyval_get_node(dict, path);

    return node ? node->string : NULL;
}

guint keyval_list_length(const KvNode *list)
{
    return list->kind == KV_LIST ? list->list->len : 0;
}

KvNode *keyval_list_item(KvNode *list, guint i)
{
    return i < keyval_list_length(list) ? g_ptr_array_index(list->list, i) : NULL;
}

typedef bool (*LeafFn)(KvNode *leaf, const char *path, void *opaque);

static guint child_count(const KvNode *node)
{
    return node->dict ? node->dict->len : keyval_list_length(node);
}

/* Calls fn for each string and each empty list or object below node; false as soon as fn says so. */
static bool walk(KvNode *node, const char *path, LeafFn fn, void *opaque)
{
    guint count = child_count(node);

    if (!count) {
        return fn(node, path, opaque);
    }
    for (guint i = 0; i < count; i++) {
        g_autofree char *index = g_strdup_printf("%u", i);
        const char *name = node->kind == KV_DICT ? dict_entry(node, i)->key : index;
        KvNode *item = node->kind == KV_DICT ? dict_entry(node, i)->value
                                             : g_ptr_array_index(node->list, i);
        g_autofree char *sub = *path ? g_strconcat(path, ".", name, NULL) : g_strdup(name);
        if (!walk(item, sub, fn, opaque)) {
            return false;
        }
    }
    return true;
}

typedef struct Foreach {
    bool (*fn)(const char *path, const char *value, void *opaque);
    void *opaque;
} Foreach;

static bool foreach_leaf(KvNode *leaf, const char *path, void *opaque)
{
    Foreach *call = opaque;

    leaf->used = true;
    return leaf->kind != KV_STRING || call->fn(path, leaf->string, call->opaque);
}

bool keyval_foreach(KvNode *dict, bool (*fn)(const char *path, const char *value, void *opaque),
                    void *opaque)
{
    Foreach call = {fn, opaque};

    return walk(dict, "", foreach_leaf, &call);
}

static bool leaf_is_used(KvNode *leaf, const char *path, void *opaque)
{
    char **unused = opaque;

    if (!leaf->used && *path) {
        *unused = g_strdup(path);
    }
    return !*unused;
}

bool keyval_check_unused(KvNode *dict, const char *option, const char *const *known, GError **errp)
{
    g_autofree char *unused = NULL;

    if (walk(dict, "", leaf_is_used, &unused)) {
        return true;
    }
    const char *near = nearest_name(unused, known);
    if (near) {
        return error_set_code(errp, VMM_ERROR_USAGE, "%s: unknown property '%s'; did you mean '%s'?",
                              option, unused, near);
    }
    return error_set_code(errp, VMM_ERROR_USAGE, "%s: unknown property '%s'", option, unused);
}
