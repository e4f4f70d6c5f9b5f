/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Options as ini files (config-file.h).
 *
 * A section becomes the argument of its option ("a=1,b=2", commas doubled) and goes through the same
 * handler as on the command line, so both mean the same and are refused for the same reasons.
 */
#include "src/config/config-file.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "core/error.h"
#include "core/host.h"

/* QEMU's sections: the option each stands for, and the key of a value without one. */
typedef struct ConfigSection {
    const char *name, *option, *implied_key;
} ConfigSection;

static const ConfigSection sections[] = {
    {"accel", "accel", "accel"},
    {"action", "action", NULL},
    {"add-fd", "add-fd", NULL},
    {"blockdev", "blockdev", "driver"},
    {"boot-opts", "boot", "order"},
    {"chardev", "chardev", "backend"},
    {"device", "device", "driver"},
    {"drive", "drive", "file"},
    {"fw_cfg", "fw_cfg", "name"},
    {"global", "global", NULL},
    {"machine", "machine", "type"},
    {"memory", "m", "size"},
    {"mon", "mon", "chardev"},
    {"msg", "msg", NULL},
    {"name", "name", "guest"},
    {"netdev", "netdev", "type"},
    {"object", "object", "qom-type"},
    {"overcommit", "overcommit", NULL},
    {"rtc", "rtc", NULL},
    {"run-with", "run-with", NULL},
    {"sandbox", "sandbox", "enable"},
    {"smp-opts", "smp", "cpus"},
    {"vcpu", "vcpu", NULL},
    {NULL, NULL, NULL},
};

/* The section of single options, one a line. */
#define LINES_SECTION "vmm"

static const ConfigSection *section_by_name(const char *name)
{
    for (const ConfigSection *section = sections; section->name; section++) {
        if (strcmp(section->name, name) == 0 && option_find(section->option))
            return section;
    }
    return NULL;
}

static const ConfigSection *section_of_option(const char *option)
{
    for (const ConfigSection *section = sections; section->name; section++) {
        if (strcmp(section->option, option) == 0)
            return section;
    }
    return NULL;
}

/* --- reading --- */

typedef struct Reader {
    Options *options;
    const char *file;
    unsigned line;
    /* The section being read. */
    bool lines_section;           /* [vmm] */
    const ConfigSection *section; /* NULL: none yet, or [vmm] */
    guint origins;                /* options->origins before it */
    GString *arg;
} Reader;

static void origin_free(void *opaque)
{
    OptionOrigin *origin = opaque;

    g_free(origin->option);
    g_free(origin->key);
    g_free(origin->value);
    g_free(origin->file);
    g_free(origin);
}

GPtrArray *option_origins_new(void)
{
    return g_ptr_array_new_with_free_func(origin_free);
}

static void note_origin(Reader *reader, const char *option, const char *key, const char *value)
{
    OptionOrigin *origin = g_new(OptionOrigin, 1);

    *origin = (OptionOrigin){g_strdup(option), g_strdup(key), g_strdup(value), g_strdup(reader->file), reader->line};
    g_ptr_array_add(reader->options->origins, origin);
}

static bool is_word_char(char c)
{
    return g_ascii_isalnum(c) || c == '-' || c == '_';
}

static bool mentions(const char *message, const char *word)
{
    size_t len = word ? strlen(word) : 0;

    for (const char *p = message; len && (p = strstr(p, word)); p++) {
        if ((p == message || !is_word_char(p[-1])) && !is_word_char(p[len]))
            return true;
    }
    return false;
}

static bool speaks_of(const char *message, const char *option)
{
    size_t len = strlen(option);

    return message[0] == '-' && strncmp(message + 1, option, len) == 0 && !is_word_char(message[1 + len]);
}

/* The place among the origins from first on that the message most likely speaks of: where the option
 * was given, better where a key it mentions was, best where a value was. */
static const OptionOrigin *find_origin(const Options *options, guint first, const char *message)
{
    const OptionOrigin *best = NULL;
    unsigned best_score = 0;

    for (guint i = first; i < options->origins->len; i++) {
        const OptionOrigin *origin = g_ptr_array_index(options->origins, i);
        const char *text = message + 1 + strlen(origin->option);
        if (!speaks_of(message, origin->option))
            continue;
        unsigned score = 1 + 2 * mentions(text, origin->key) + 3 * mentions(text, origin->value);
        if (score > best_score) {
            best = origin;
            best_score = score;
        }
    }
    return best;
}

/* Whether the option was given on the command line too. */
static bool is_given_elsewhere(const Options *options, const char *option)
{
    unsigned given = 0, in_files = 0;

    for (guint i = 0; i < options->given->len; i++)
        given += strcmp(((GivenOption *)g_ptr_array_index(options->given, i))->spec->name, option) == 0;
    for (guint i = 0; i < options->origins->len; i++) {
        const OptionOrigin *origin = g_ptr_array_index(options->origins, i);
        in_files += !origin->key && strcmp(origin->option, option) == 0;
    }
    return given > in_files;
}

void options_locate(const Options *options, GError **errp)
{
    const OptionOrigin *origin = errp && *errp ? find_origin(options, 0, (*errp)->message) : NULL;

    if (origin && (origin->key || !is_given_elsewhere(options, origin->option)))
        g_prefix_error(errp, "-readconfig %s: line %u: ", origin->file, origin->line);
}

/* Hands an option to its handler; first: of the origins that belong to it. After a failure
 * reader->line is the one to blame. */
static bool handle(Reader *reader, const char *name, const char *arg, guint first, GError **errp)
{
    if (options_handle(reader->options, name, arg, errp))
        return true;
    g_prefix_error(errp, "-%s: ", name);
    const OptionOrigin *origin = errp ? find_origin(reader->options, first, (*errp)->message) : NULL;
    if (origin)
        reader->line = origin->line;
    return false;
}

static bool end_section(Reader *reader, GError **errp)
{
    const ConfigSection *section = reader->section;

    reader->section = NULL;
    return !section || handle(reader, section->option, reader->arg->str, reader->origins, errp);
}

/* key=value with the value's commas doubled, as in an argument. */
static void append_pair(GString *arg, const char *key, const char *value)
{
    g_string_append_printf(arg, "%s%s=", arg->len ? "," : "", key);
    for (const char *p = value; *p; p++) {
        g_string_append_c(arg, *p);
        if (*p == ',')
            g_string_append_c(arg, ',');
    }
}

static bool unknown_section(const char *name, GError **errp)
{
    g_autoptr(GPtrArray) names = g_ptr_array_new();

    g_ptr_array_add(names, (char *)LINES_SECTION);
    for (const ConfigSection *section = sections; section->name; section++) {
        if (option_find(section->option))
            g_ptr_array_add(names, (char *)section->name);
    }
    g_ptr_array_add(names, NULL);
    g_autofree char *near = did_you_mean(name, (const char *const *)names->pdata);
    return error_set_code(errp, VMM_ERROR_USAGE, "unknown section [%s]%s", name, near);
}

/* "NAME" or "NAME "ID"" into its parts; *id is NULL if there is none. */
static bool split_heading(char *text, char **name, char **id)
{
    size_t len = strlen(text);
    char *quote = strchr(text, '"');

    *name = text;
    *id = NULL;
    if (quote) {
        if (quote == text || text[len - 1] != '"' || quote == text + len - 1)
            return false;
        text[len - 1] = '\0';
        *quote = '\0';
        *id = quote + 1;
    }
    g_strchomp(text);
    return *text && !strpbrk(text, " \t[]");
}

/* "[name]" or "[name "id"]" */
static bool begin_section(Reader *reader, char *text, GError **errp)
{
    size_t len = strlen(text);
    char *name, *id;

    if (text[len - 1] != ']')
        return error_set_code(errp, VMM_ERROR_USAGE, "'%s' has no closing bracket", text);
    text[len - 1] = '\0';
    if (!split_heading(g_strstrip(text + 1), &name, &id))
        return error_set_code(errp, VMM_ERROR_USAGE, "a section is written [name] or [name \"id\"]");
    reader->lines_section = strcmp(name, LINES_SECTION) == 0;
    reader->section = reader->lines_section ? NULL : section_by_name(name);
    if (!reader->lines_section && !reader->section)
        return unknown_section(name, errp);
    if (id && reader->lines_section)
        return error_set_code(errp, VMM_ERROR_USAGE, "section [%s] has no id", name);
    reader->origins = reader->options->origins->len;
    g_string_truncate(reader->arg, 0);
    if (reader->section)
        note_origin(reader, reader->section->option, NULL, id);
    if (id)
        append_pair(reader->arg, "id", id);
    return true;
}

static bool is_about_files(const OptionSpec *spec)
{
    return spec->handle == opt_readconfig || spec->handle == opt_writeconfig;
}

/* A line of [vmm]. */
static bool read_option(Reader *reader, const char *name, const char *value, GError **errp)
{
    const OptionSpec *spec = option_find(name);
    bool on = false;

    if (spec && is_about_files(spec))
        return error_set_code(errp, VMM_ERROR_USAGE, "'%s' belongs on the command line", name);
    if (spec && !spec->form && !parse_bool(value, &on))
        return error_set_code(errp, VMM_ERROR_USAGE, "%s takes no argument; write %s = \"on\", or leave it out", name,
                              name);
    if (spec && !spec->form && !on)
        return true;
    note_origin(reader, name, NULL, value);
    return handle(reader, name, spec && !spec->form ? NULL : value, reader->options->origins->len - 1, errp);
}

/* key = "value" */
static bool read_pair(Reader *reader, char *text, GError **errp)
{
    char *equals = strchr(text, '=');
    char *value = equals ? g_strchug(equals + 1) : NULL;
    size_t len = value ? strlen(value) : 0;

    if (!equals || len < 2 || value[0] != '"' || value[len - 1] != '"')
        return error_set_code(errp, VMM_ERROR_USAGE, "'%s' is neither a [section] nor key = \"value\"", text);
    value[len - 1] = '\0';
    value++;
    *equals = '\0';
    char *key = g_strchomp(text);
    if (!*key || strpbrk(key, ", \t"))
        return error_set_code(errp, VMM_ERROR_USAGE, "'%s' is not a valid key", key);
    if (!reader->lines_section && !reader->section)
        return error_set_code(errp, VMM_ERROR_USAGE, "'%s' stands before the first [section]", key);
    if (reader->lines_section)
        return read_option(reader, key, value, errp);
    note_origin(reader, reader->section->option, key, value);
    append_pair(reader->arg, key, value);
    return true;
}

static bool read_line(Reader *reader, char *text, GError **errp)
{
    g_strstrip(text);
    if (!*text || *text == '#')
        return true;
    if (*text == '[')
        return end_section(reader, errp) && begin_section(reader, text, errp);
    return read_pair(reader, text, errp);
}

bool config_file_parse(Options *options, const char *text, const char *name, GError **errp)
{
    g_auto(GStrv) lines = g_strsplit(text, "\n", -1);
    Reader reader = {.options = options, .file = name, .arg = g_string_new(NULL)};
    bool ok = true;

    for (char **line = lines; *line && ok && !options->help_printed; line++) {
        reader.line++;
        ok = read_line(&reader, *line, errp);
    }
    ok = ok && end_section(&reader, errp);
    if (!ok)
        g_prefix_error(errp, "line %u: ", reader.line);
    g_string_free(reader.arg, TRUE);
    return ok;
}

/* A regular file, a pipe or a device; NULL with an error. */
static char *read_text(const char *path, GError **errp)
{
    int fd = host_open(path, O_RDONLY, 0, "configuration file", errp);
    g_autofree char *text = NULL;
    size_t len = 0;
    ssize_t n;

    if (fd < 0)
        return NULL;
    text = g_malloc(CONFIG_FILE_MAX + 1);
    do {
        n = read(fd, text + len, CONFIG_FILE_MAX - len);
        len += n > 0 ? (size_t)n : 0;
    } while (n > 0 || (n < 0 && errno == EINTR));
    if (n < 0)
        error_set_errno(errp, errno, "cannot read it");
    close(fd);
    if (n < 0)
        return NULL;
    if (len == CONFIG_FILE_MAX) {
        error_set_code(errp, VMM_ERROR_USAGE, "this is no configuration file: it has a megabyte or more");
        return NULL;
    }
    text[len] = '\0';
    if (strlen(text) != len || !g_utf8_validate(text, -1, NULL)) {
        error_set_code(errp, VMM_ERROR_USAGE, "this is no configuration file: it is not text");
        return NULL;
    }
    return g_steal_pointer(&text);
}

bool opt_readconfig(Options *options, const OptionSpec *spec, const char *arg, GError **errp)
{
    g_autofree char *text = read_text(arg, errp);

    return text && config_file_parse(options, text, arg, errp);
}

/* --- writing --- */

typedef struct Printer {
    GString *out;
    const char *option;
    GError **errp;
} Printer;

static bool print_pair(const char *key, const char *value, void *opaque)
{
    Printer *printer = opaque;

    if (strpbrk(value, "\n\r"))
        return error_set_code(printer->errp, VMM_ERROR_USAGE,
                              "the argument of -%s has a line end, which a configuration file cannot hold", printer->option);
    g_string_append_printf(printer->out, "  %s = \"%s\"\n", key, value);
    return true;
}

static bool print_member(const char *path, const char *value, void *opaque)
{
    return strcmp(path, "id") == 0 || print_pair(path, value, opaque);
}

static bool print_section(Printer *printer, const ConfigSection *section, const char *arg)
{
    g_autoptr(KvNode) kv = keyval_parse(arg, section->implied_key, printer->errp);

    if (!kv)
        return false;
    const char *id = keyval_get(kv, "id");
    if (keyval_has_secret(section->option, kv))
        return error_set_code(printer->errp, VMM_ERROR_USAGE,
                              "secret '%s' is not written to files; give it with file= instead of data=", id ? id : "");
    if (id)
        g_string_append_printf(printer->out, "[%s \"%s\"]\n", section->name, id);
    else
        g_string_append_printf(printer->out, "[%s]\n", section->name);
    return keyval_foreach(kv, print_member, printer);
}

static bool print_line(Printer *printer, const char *option, const char *arg)
{
    g_string_append_printf(printer->out, "[%s]\n", LINES_SECTION);
    return print_pair(option, arg ? arg : "on", printer);
}

bool config_file_print(const Options *options, GString *out, GError **errp)
{
    g_string_append(out, "# vmm " VMM_VERSION "; vmm -readconfig reads this\n");
    for (guint i = 0; i < options->given->len; i++) {
        const GivenOption *given = g_ptr_array_index(options->given, i);
        const ConfigSection *section = section_of_option(given->spec->name);
        Printer printer = {out, given->spec->name, errp};
        if (is_about_files(given->spec))
            continue;
        g_string_append_c(out, '\n');
        if (!(section ? print_section(&printer, section, given->arg) : print_line(&printer, given->spec->name, given->arg)))
            return false;
    }
    return true;
}

bool opt_writeconfig(Options *options, const OptionSpec *spec, const char *arg, GError **errp)
{
    g_free(options->writeconfig);
    options->writeconfig = g_strdup(arg);
    return true;
}

static bool write_text(const char *path, const GString *text, GError **errp)
{
    bool to_stdout = strcmp(path, "-") == 0;
    int fd = to_stdout ? STDOUT_FILENO : host_open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600, "configuration file", errp);

    if (fd < 0)
        return false;
    bool ok = host_write_full(fd, text->str, text->len);
    if (!ok)
        error_set_errno(errp, errno, "cannot write it");
    if (!to_stdout)
        close(fd);
    return ok;
}

bool options_write_config(const Options *options, GError **errp)
{
    g_autoptr(GString) text = g_string_new(NULL);

    if (!options->writeconfig)
        return true;
    if (config_file_print(options, text, errp) && write_text(options->writeconfig, text, errp))
        return true;
    g_prefix_error(errp, "-writeconfig %s: ", options->writeconfig);
    return false;
}
