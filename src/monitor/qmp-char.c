/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * QMP commands about character devices.
 *
 * chardev-add takes QEMU's nested form, {"type": "socket", "data": {"addr": {"type": "unix", "data": ...}}},
 * and puts it into the option tree that -chardev makes, so there is one place that makes backends.
 */
#include <string.h>

#include "core/error.h"
#include "monitor-internal.h"
#include "qmp-schema.h"

/* --- chardev-add --- */

/* A member of QEMU's data that has another name as an option; NULL: the same. */
static const struct {
    const char *member, *key;
} renamed[] = {
    {"out", "path"}, {"in", "input-path"}, {"device", "path"}, {"str", "fd"},
};

static const char *option_key(const char *member)
{
    for (unsigned i = 0; i < G_N_ELEMENTS(renamed); i++) {
        if (strcmp(renamed[i].member, member) == 0)
            return renamed[i].key;
    }
    return member;
}

/* Scalars of the object and of those in it become members of flat; "type" is said elsewhere. */
static bool flatten(json_t *flat, json_t *object, unsigned depth, GError **errp)
{
    const char *key;
    json_t *value;

    json_object_foreach(object, key, value) {
        if (json_is_object(value)) {
            if (depth == 0 || !flatten(flat, value, depth - 1, errp))
                return depth > 0 ? false : error_set(errp, "Parameter '%s' nests too deep", key);
        } else if (json_is_array(value) || json_is_null(value)) {
            return error_set(errp, "Invalid parameter type for '%s', expected: a simple value", key);
        } else if (strcmp(key, "type") != 0) {
            json_object_set(flat, option_key(key), value);
        }
    }
    return true;
}

static KvNode *backend_options(const char *id, json_t *backend, GError **errp)
{
    const char *type = qmp_arg_str(backend, "type");
    json_t *flat = json_pack("{s:s, s:s}", "backend", type, "id", id);
    KvNode *kv = NULL;

    if (flatten(flat, json_object_get(backend, "data"), 3, errp)) {
        char *text = json_dumps(flat, 0);
        /* A server that waits would hold up everything else here. */
        kv = keyval_parse(text, NULL, errp);
        free(text);
    }
    json_decref(flat);
    return kv;
}

static json_t *chardev_add(Monitor *mon, json_t *args, GError **errp)
{
    json_t *backend = json_object_get(args, "backend"), *data = json_object_get(backend, "data");
    bool is_socket = g_strcmp0(qmp_arg_str(backend, "type"), "socket") == 0;

    if (is_socket && json_is_true(json_object_get(data, "wait")))
        return qmp_fail(errp, QMP_GENERIC_ERROR, "Parameter 'wait' cannot be true while the VM runs");
    if (is_socket) {
        json_object_set_new(data, "wait", json_false());
        if (!json_object_get(data, "server"))
            json_object_set_new(data, "server", json_true()); /* QAPI's default, not -chardev's */
    }
    g_autoptr(KvNode) kv = backend_options(qmp_arg_str(args, "id"), backend, errp);
    Chardev *chr = kv ? chardev_new_from_options(kv, errp) : NULL;
    if (!chr)
        return NULL;
    if (!g_str_has_prefix(chardev_filename(chr), "pty:"))
        return json_object();
    return json_pack("{s:s}", "pty", chardev_filename(chr) + strlen("pty:"));
}

/* --- The others --- */

static Chardev *find(json_t *args, const char *name, GError **errp)
{
    Chardev *chr = chardev_find(qmp_arg_str(args, name));

    if (!chr)
        qmp_fail(errp, QMP_GENERIC_ERROR, "Chardev '%s' not found", qmp_arg_str(args, name));
    return chr;
}

static json_t *chardev_remove(Monitor *mon, json_t *args, GError **errp)
{
    Chardev *chr = find(args, "id", errp);

    if (!chr)
        return NULL;
    return chardev_delete(chr, errp) ? json_object() : NULL;
}

static void describe(const Chardev *chr, void *list)
{
    json_array_append_new(list, json_pack("{s:s, s:s, s:b}", "label", chardev_id(chr), "filename",
                                          chardev_filename(chr), "frontend-open", (int)chardev_is_used(chr)));
}

static json_t *query_chardev(Monitor *mon, json_t *args, GError **errp)
{
    json_t *list = json_array();

    chardev_foreach(describe, list);
    return list;
}

static void add_backend(const char *name, void *list)
{
    json_array_append_new(list, json_pack("{s:s}", "name", name));
}

static json_t *query_chardev_backends(Monitor *mon, json_t *args, GError **errp)
{
    json_t *list = json_array();

    chardev_backends_foreach(add_backend, list);
    return list;
}

static json_t *ringbuf_read(Monitor *mon, json_t *args, GError **errp)
{
    int64_t size = qmp_arg_int(args, "size", 0);
    bool base64 = g_strcmp0(qmp_arg_str(args, "format"), "base64") == 0;
    Chardev *chr = find(args, "device", errp);

    if (!chr)
        return NULL;
    if (!chardev_is_ringbuf(chr))
        return qmp_fail(errp, QMP_GENERIC_ERROR, "'%s' is not a ringbuf device", chardev_id(chr));
    if (size <= 0 || size > 16 << 20)
        return qmp_fail(errp, QMP_GENERIC_ERROR, "size must be from 1 to 16777216");
    g_autofree uint8_t *buf = g_malloc((gsize)size);
    size_t n = chardev_ringbuf_read(chr, buf, (size_t)size);
    g_autofree char *text = base64 ? g_base64_encode(buf, n) : g_utf8_make_valid((const char *)buf, (gssize)n);
    return json_string(text);
}

/* --- Types --- */

static const QmpMember backend_members[] = {
    {"type", &qmp_str, false, "as query-chardev-backends lists them"},
    {"data", &qmp_any, false, "the backend's properties"},
    {0},
};
static const QmpType backend_type = {QMP_OBJECT, "ChardevBackend", backend_members};

static const QmpMember add_args[] = {
    {"id", &qmp_str, false, NULL},
    {"backend", &backend_type, false, NULL},
    {0},
};
static const QmpMember return_members[] = {{"pty", &qmp_str, true, "of a pty: its slave"}, {0}};
static const QmpType return_type = {QMP_OBJECT, "ChardevReturn", return_members};

static const QmpMember remove_args[] = {{"id", &qmp_str, false, NULL}, {0}};

static const QmpMember chardev_members[] = {
    {"label", &qmp_str, false, NULL},
    {"filename", &qmp_str, false, NULL},
    {"frontend-open", &qmp_bool, false, "a device uses it"},
    {0},
};
static const QmpType chardev_type = {QMP_OBJECT, "ChardevInfo", chardev_members};
static const QmpType chardev_list = {QMP_ARRAY, .element = &chardev_type};

static const QmpMember name_members[] = {{"name", &qmp_str, false, NULL}, {0}};
static const QmpType name_type = {QMP_OBJECT, "ChardevBackendInfo", name_members};
static const QmpType name_list = {QMP_ARRAY, .element = &name_type};

static const char *const format_values[] = {"utf8", "base64", NULL};
static const QmpType format_type = {QMP_ENUM, "DataFormat", .values = format_values};
static const QmpMember ringbuf_args[] = {
    {"device", &qmp_str, false, NULL},
    {"size", &qmp_int, false, "at most so many bytes"},
    {"format", &format_type, true, NULL},
    {0},
};

const QmpCommand qmp_char_commands[] = {
    {"chardev-add", add_args, &return_type, chardev_add, "make a character device"},
    {"chardev-remove", remove_args, NULL, chardev_remove, "remove one that nothing uses"},
    {"query-chardev", NULL, &chardev_list, query_chardev, "the character devices there are"},
    {"query-chardev-backends", NULL, &name_list, query_chardev_backends, "the backends there are"},
    {"ringbuf-read", ringbuf_args, &qmp_str, ringbuf_read, "take output out of a ring buffer"},
    {0},
};
