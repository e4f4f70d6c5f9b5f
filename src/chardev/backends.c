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
#include "chardev/socket-address.h"

#define MAX_KEYS 32

/* The names are the keys that are accepted; the rest is for help and the manual. */
typedef struct BackendProp {
    const char *name, *type, *def, *help;
} BackendProp;

typedef struct BackendType {
    const char *name;
    Chardev *(*create)(const char *id, KvNode *kv, GError **errp);
    const char *help;
    const BackendProp *props; /* beside the common ones; ends with .name NULL, may be NULL */
} BackendType;

static const BackendProp common_props[] = {
    {"id", "str", NULL, "the name devices refer to it by: chardev=ID"},
    {"logfile", "str", NULL, "copy what the guest writes to this file"},
    {"logappend", "bool", "off", "keep what is in the log file already"},
    {"mux", "bool", "off", "several users may share it; Ctrl-a c switches between them"},
    {.name = NULL},
};

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

static const BackendProp stdio_props[] = {
    {"signal", "bool", "on", "Ctrl-C, Ctrl-Z and Ctrl-\\ raise signals here; off: the guest gets them"},
    {.name = NULL},
};

static const BackendProp file_props[] = {
    {"path", "str", NULL, "the file, made if need be"},
    {"append", "bool", "off", "keep what is in it already"},
    {"input-path", "str", NULL, "what the guest reads comes from this file or FIFO"},
    {.name = NULL},
};

static const BackendProp pipe_props[] = {
    {"path", "str", NULL, "input from the FIFO PATH.in, output to PATH.out; or both through PATH"},
    {.name = NULL},
};

static const BackendProp socket_props[] = {
    {"path", "str", NULL, "of a unix socket"},
    {"abstract", "bool", "off", "path is an abstract name: no file is made"},
    {"tight", "bool", "on", "an abstract name ends where path ends; off: zeros fill the address"},
    {"host", "str", NULL, "of a TCP socket, a name or an address; without one: this host's loopback"},
    {"port", "str", NULL, "of a TCP socket, a number or a service's name"},
    {"ipv4", "bool", NULL, "on: only IPv4; off: not IPv4"},
    {"ipv6", "bool", NULL, "on: only IPv6; off: not IPv6"},
    {"fd", "uint32", NULL, "a socket vmm has inherited, instead of an address"},
    {"server", "bool", "off", "listen for peers, one at a time; off: connect"},
    {"wait", "bool", "on", "a server waits at start until its first peer is there"},
    {"nowait", "bool", "off", "older word for wait=off"},
    {"reconnect", "uint32", "0", "seconds after which a client tries again; 0: never"},
    {"hold", "uint32", "10", "seconds the guest is held back at most when a peer has left"},
    {"telnet", "bool", "off", "speak the telnet protocol"},
    {"nodelay", "bool", "off", "send small packets at once (TCP_NODELAY)"},
    {"delay", "bool", "on", "older word for the opposite of nodelay"},
    {.name = NULL},
};

static const BackendProp ringbuf_props[] = {
    {"size", "size", "64K", "bytes kept, a power of two"},
    {.name = NULL},
};

static const BackendType backend_types[] = {
    {"null", create_null, "takes everything, gives nothing", NULL},
    {"stdio", create_stdio, "the terminal", stdio_props},
    {"file", create_file, "output to a file, input from another", file_props},
    {"pipe", create_pipe, "input from one FIFO, output to another", pipe_props},
    {"pty", create_pty, "a new pseudo-terminal, whose name is printed", NULL},
    {"socket", chardev_new_socket, "a unix or TCP socket, also telnet", socket_props},
    {"ringbuf", create_ringbuf, "memory that keeps the last of the output", ringbuf_props},
};

static void print_props(const BackendProp *props, GString *out)
{
    for (; props && props->name; props++) {
        g_autofree char *left = g_strdup_printf("%s=<%s>", props->name, props->type);
        g_string_append_printf(out, "  %-24s %s", left, props->help);
        if (props->def)
            g_string_append_printf(out, " (default: %s)", props->def);
        g_string_append_c(out, '\n');
    }
}

void chardev_print_help(const char *backend, GString *out)
{
    if (!backend)
        g_string_append(out, "Character devices:\n");
    for (unsigned i = 0; i < G_N_ELEMENTS(backend_types); i++) {
        const BackendType *type = &backend_types[i];
        if (!backend) {
            g_string_append_printf(out, "  %-20s %s\n", type->name, type->help);
        } else if (strcmp(type->name, backend) == 0) {
            g_string_append_printf(out, "%s: %s\n", type->name, type->help);
            print_props(type->props, out);
            print_props(common_props, out);
        }
    }
    if (!backend)
        g_string_append(out, "'-chardev BACKEND,help' lists the properties of one.\n");
}

void chardev_backends_foreach(void (*fn)(const char *name, void *opaque), void *opaque)
{
    for (unsigned i = 0; i < G_N_ELEMENTS(backend_types); i++)
        fn(backend_types[i].name, opaque);
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

static unsigned add_keys(const char *known[MAX_KEYS], unsigned count, const BackendProp *props)
{
    for (; props && props->name; props++) {
        g_assert(count + 1 < MAX_KEYS);
        known[count++] = props->name;
    }
    return count;
}

/* Every key that is known counts as read; the first of the others is the error. */
static bool check_keys(const BackendType *type, KvNode *kv, GError **errp)
{
    const char *known[MAX_KEYS] = {"backend", "help"};
    unsigned count = add_keys(known, add_keys(known, 2, common_props), type->props);

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
    if (!chr->filename)
        chardev_set_filename(chr, g_strdup(type->name));
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
