/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * "-chardev BACKEND,id=ID,...": the backends there are, their properties, and how one is made.
 *
 *   chardev_options_check   touches nothing outside: all options are checked before any takes effect
 *   chardev_new_from_options   opens, creates, listens
 *
 * Common to all: logfile= and logappend= copy what the guest writes to a file; mux=on shares the
 * backend among several front ends, under the same id.
 */
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "core/error.h"
#include "core/host.h"
#include "src/chardev/chardev-int.h"
#include "src/chardev/socket-address.h"

#define MAX_KEYS 32

typedef struct BackendType {
    const char *name;
    Chardev *(*create)(const char *id, KvNode *kv, GError **errp);
    const char *form; /* its properties, for help */
    const char *help;
    const char *keys[20];
} BackendType;

static const char *const common_keys[] = {"backend", "id", "logfile", "logappend", "mux", "help"};

bool chardev_option_bool(KvNode *kv, const char *key, bool def, bool *out, GError **errp)
{
    const char *value = keyval_get(kv, key);

    *out = def;
    if (!value || parse_bool(value, out))
        return true;
    return error_set_code(errp, VMM_ERROR_USAGE, "%s=%s is neither on nor off", key, value);
}

const char *chardev_option_required(KvNode *kv, const char *key, GError **errp)
{
    const char *value = keyval_get(kv, key);

    if (value && *value)
        return value;
    error_set_code(errp, VMM_ERROR_USAGE, "%s= is missing", key);
    return NULL;
}

static Chardev *create_null(const char *id, KvNode *kv, GError **errp)
{
    return chardev_new_null(id, errp);
}

static Chardev *create_stdio(const char *id, KvNode *kv, GError **errp)
{
    bool signals;

    if (!chardev_option_bool(kv, "signal", true, &signals, errp))
        return NULL;
    return chardev_new_stdio(id, STDIN_FILENO, STDOUT_FILENO, signals, errp);
}

static Chardev *create_pty(const char *id, KvNode *kv, GError **errp)
{
    return chardev_new_pty(id, errp);
}

static Chardev *create_file(const char *id, KvNode *kv, GError **errp)
{
    const char *path = chardev_option_required(kv, "path", errp);
    bool append;

    if (!path || !chardev_option_bool(kv, "append", false, &append, errp))
        return NULL;
    return chardev_new_file(id, path, append, keyval_get(kv, "input-path"), errp);
}

static Chardev *create_pipe(const char *id, KvNode *kv, GError **errp)
{
    const char *path = chardev_option_required(kv, "path", errp);

    return path ? chardev_new_pipe(id, path, errp) : NULL;
}

static Chardev *create_ringbuf(const char *id, KvNode *kv, GError **errp)
{
    const char *value = keyval_get(kv, "size");
    uint64_t size = RINGBUF_DEFAULT_SIZE;

    if (value && !parse_size(value, 1, &size)) {
        error_set_code(errp, VMM_ERROR_USAGE, "size=%s is not a size; use bytes, or a suffix K or M", value);
        return NULL;
    }
    return chardev_new_ringbuf(id, size, errp);
}

static const BackendType backend_types[] = {
    {"null", create_null, "", "takes everything, gives nothing", {0}},
    {"stdio", create_stdio, ",signal=on|off", "the terminal; signal=off: Ctrl-C is the guest's", {"signal"}},
    {"file", create_file, ",path=FILE[,append=on|off][,input-path=FILE]", "output in a file, input from another",
     {"path", "append", "input-path"}},
    {"pipe", create_pipe, ",path=PATH", "input from the FIFO PATH.in, output to PATH.out; or PATH for both", {"path"}},
    {"pty", create_pty, "", "a new pseudo-terminal, whose name is printed", {0}},
    {"socket", chardev_new_socket,
     ",path=PATH|port=PORT[,host=HOST]|fd=NUMBER[,server=on|off][,wait=on|off]\n"
     "      [,reconnect=SECONDS][,hold=SECONDS][,telnet=on|off][,nodelay=on|off][,ipv4=on|off][,ipv6=on|off]\n"
     "      [,abstract=on|off][,tight=on|off]",
     "a unix or TCP socket. wait: at start, for a peer (server's default: on);\n"
     "      reconnect: a client tries again; hold: how long the guest waits for a peer that left (10)",
     {SOCKET_KEYS, "fd", "server", "wait", "nowait", "reconnect", "hold", "telnet", "delay", "nodelay"}},
    {"ringbuf", create_ringbuf, "[,size=SIZE]", "the last SIZE bytes of output, a power of two (64K)", {"size"}},
};

void chardev_print_help(const char *backend, GString *out)
{
    if (!backend)
        g_string_append(out, "Character devices:\n");
    for (unsigned i = 0; i < G_N_ELEMENTS(backend_types); i++) {
        const BackendType *type = &backend_types[i];
        if (!backend || strcmp(type->name, backend) == 0)
            g_string_append_printf(out, "  %s,id=ID%s\n      %s\n", type->name, type->form, type->help);
    }
    g_string_append(out, "All: logfile=FILE[,logappend=on|off] copies output there; mux=on allows several users.\n");
}

static const BackendType *find_type(const char *name, GError **errp)
{
    const char *names[G_N_ELEMENTS(backend_types) + 1] = {0};

    for (unsigned i = 0; i < G_N_ELEMENTS(backend_types); i++) {
        if (strcmp(backend_types[i].name, name) == 0)
            return &backend_types[i];
        names[i] = backend_types[i].name;
    }
    const char *near = nearest_name(name, names);
    error_set_code(errp, VMM_ERROR_USAGE, "there is no character backend '%s'%s%s%s; '-chardev help' lists them", name,
                   near ? "; did you mean '" : "", near ? near : "", near ? "'?" : "");
    return NULL;
}

/* QEMU's rule for ids: what the user chose begins with a letter. */
static bool id_is_well_formed(const char *id)
{
    return g_ascii_isalpha(id[0]) && strspn(id, G_CSET_A_2_Z G_CSET_a_2_z G_CSET_DIGITS "-._") == strlen(id);
}

/* Every key that is known counts as read; the first of the others is the error. */
static bool check_keys(const BackendType *type, KvNode *kv, GError **errp)
{
    const char *known[MAX_KEYS] = {0};
    unsigned count = 0;

    for (unsigned i = 0; i < G_N_ELEMENTS(common_keys); i++)
        known[count++] = common_keys[i];
    for (unsigned i = 0; i < G_N_ELEMENTS(type->keys) && type->keys[i]; i++)
        known[count++] = type->keys[i];
    for (unsigned i = 0; i < count; i++) {
        KvNode *node = keyval_get_node(kv, known[i]);
        if (node && keyval_kind(node) != KV_STRING)
            return error_set_code(errp, VMM_ERROR_USAGE, "%s has no members; %s=VALUE is wanted", known[i], known[i]);
    }
    return keyval_check_unused(kv, type->name, known, errp);
}

bool chardev_options_check(KvNode *kv, GError **errp)
{
    const char *backend = keyval_get(kv, "backend");
    const char *id = keyval_get(kv, "id");

    if (!backend)
        return error_set_code(errp, VMM_ERROR_USAGE, "the backend is missing; '-chardev help' lists them");
    const BackendType *type = find_type(backend, errp);
    if (!type || !check_keys(type, kv, errp))
        return false;
    if (keyval_get(kv, "help"))
        return true;
    if (!id)
        return error_set_code(errp, VMM_ERROR_USAGE, "id= is missing; devices refer to it by chardev=ID");
    if (!id_is_well_formed(id))
        return error_set_code(errp, VMM_ERROR_USAGE,
                              "id=%s: an id is a letter followed by letters, digits, '-', '.' and '_'", id);
    return true;
}

/* Opened before the backend, so that a log that cannot be written leaves no socket behind. */
static bool open_log(KvNode *kv, int *fd, GError **errp)
{
    const char *path = keyval_get(kv, "logfile");
    bool append;

    *fd = -1;
    if (!chardev_option_bool(kv, "logappend", false, &append, errp))
        return false;
    if (!path)
        return true;
    *fd = host_open(path, O_WRONLY | O_CREAT | O_NONBLOCK | (append ? O_APPEND : O_TRUNC), 0644,
                    "character device's log", errp);
    return *fd >= 0;
}

/* Takes over log_fd, also on failure. The user's id is the mux's. */
static Chardev *create(const BackendType *type, const char *id, KvNode *kv, int log_fd, bool mux, GError **errp)
{
    g_autofree char *base_id = g_strdup_printf("%s%s", id, mux ? "-base" : "");
    Chardev *chr = type->create(base_id, kv, errp);

    if (!chr) {
        if (log_fd >= 0)
            close(log_fd);
        return NULL;
    }
    chr->log_fd = log_fd;
    return mux ? chardev_new_mux(id, chr, errp) : chr;
}

Chardev *chardev_new_from_options(KvNode *kv, GError **errp)
{
    bool mux;
    int log_fd;

    if (!chardev_options_check(kv, errp) || !chardev_option_bool(kv, "mux", false, &mux, errp))
        return NULL;
    const char *id = keyval_get(kv, "id");
    if (chardev_find(id)) { /* before anything is opened */
        error_set_code(errp, VMM_ERROR_USAGE, "the character device id '%s' is used twice; choose another", id);
        return NULL;
    }
    if (!open_log(kv, &log_fd, errp))
        return NULL;
    return create(find_type(keyval_get(kv, "backend"), NULL), id, kv, log_fd, mux, errp);
}
