/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The older syntax of character devices, "-serial unix:/path,server=on", put into that of -chardev.
 *
 *     unix:PATH[,PROP=VALUE...]            socket,path=PATH,...
 *     tcp:[HOST]:PORT[,PROP=VALUE...]      socket,host=HOST,port=PORT,...; HOST may be [an IPv6 address]
 *     telnet:[HOST]:PORT[,...]             the same with telnet=on
 *     file:PATH  pipe:PATH                 the rest is the path, commas and all
 *     mon:SPEC                             SPEC,mux=on; with stdio also signal=off
 *     chardev:ID                           one that -chardev made
 *
 * Where QEMU has both syntaxes they mean the same, so there is one place that makes backends.
 */
#include <string.h>

#include "core/error.h"
#include "src/chardev/chardev-int.h"

typedef struct LegacyForm {
    const char *prefix; /* "KIND:", or the whole word */
    const char *options; /* what it means, before the rest */
    enum { REST_NONE, REST_PATH, REST_OPTIONS, REST_HOST_PORT } rest;
} LegacyForm;

static const LegacyForm forms[] = {
    {"null", "null", REST_NONE},
    {"stdio", "stdio", REST_NONE},
    {"ringbuf", "ringbuf", REST_NONE},
    {"pty", "pty", REST_NONE},
    {"unix:", "socket,path=", REST_OPTIONS},
    {"tcp:", "socket,", REST_HOST_PORT},
    {"telnet:", "socket,telnet=on,", REST_HOST_PORT},
    {"file:", "file,path=", REST_PATH},
    {"pipe:", "pipe,path=", REST_PATH},
};

/* A comma in a value is written twice. */
static void append_value(GString *out, const char *value)
{
    for (; *value; value++)
        g_string_append(out, *value == ',' ? ",," : (char[]){*value, 0});
}

/* "[HOST]:PORT,..." */
static bool append_host_port(GString *out, const char *rest, GError **errp)
{
    size_t len = strcspn(rest, ",");
    g_autofree char *address = g_strndup(rest, len);
    char *colon = strrchr(address, ':');

    if (!colon)
        return error_set_code(errp, VMM_ERROR_USAGE, "'%s' has no port; HOST:PORT is wanted", address);
    *colon = 0;
    const char *host = address;
    if (host[0] == '[' && colon[-1] == ']') {
        colon[-1] = 0;
        host++;
    }
    g_string_append_printf(out, "host=%s,port=%s%s", host, colon + 1, rest + len);
    return true;
}

/* The argument of -chardev that means the same, without an id; NULL if spec is of no known form. */
static char *translate(const char *spec, GError **errp)
{
    for (unsigned i = 0; i < G_N_ELEMENTS(forms); i++) {
        const LegacyForm *form = &forms[i];
        const char *rest = spec + strlen(form->prefix);
        if (!g_str_has_prefix(spec, form->prefix) || (form->rest == REST_NONE && *rest))
            continue;
        g_autoptr(GString) out = g_string_new(form->options);
        if (form->rest == REST_PATH)
            append_value(out, rest);
        else if (form->rest == REST_OPTIONS)
            g_string_append(out, rest);
        else if (form->rest == REST_HOST_PORT && !append_host_port(out, rest, errp))
            return NULL;
        return g_string_free(g_steal_pointer(&out), FALSE);
    }
    error_set_code(errp, VMM_ERROR_USAGE,
                   "'%s' is no character device here; use " LEGACY_FORMS " or chardev:ID", spec);
    return NULL;
}

static Chardev *find_by_id(const char *id, GError **errp)
{
    Chardev *chr = chardev_find(id);

    if (!chr)
        error_set_code(errp, VMM_ERROR_USAGE,
                       "there is no character device with the id '%s'; make it with -chardev BACKEND,id=%s", id, id);
    return chr;
}

Chardev *chardev_new_legacy(const char *id, const char *spec, GError **errp)
{
    bool mux = g_str_has_prefix(spec, "mon:"); /* shared with the monitor: keys are the guest's, Ctrl-a is ours */

    if (g_str_has_prefix(spec, "chardev:"))
        return find_by_id(spec + strlen("chardev:"), errp);
    spec += mux ? strlen("mon:") : 0;
    g_autofree char *options = translate(spec, errp);
    if (!options)
        return NULL;
    g_autofree char *arg = g_strconcat(options, ",id=", id, mux ? ",mux=on" : "",
                                       mux && strcmp(spec, "stdio") == 0 ? ",signal=off" : "", NULL);
    g_autoptr(KvNode) kv = keyval_parse(arg, "backend", errp);
    return kv ? chardev_new_from_options(kv, errp) : NULL;
}
