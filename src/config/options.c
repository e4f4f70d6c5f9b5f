/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Walks the command line by the table (option-table.c), and the handlers that only keep a value.
 */
#include "config/options.h"

#include <stdio.h>
#include <string.h>

#include "core/error.h"
#include "hw/i386/cpu-model.h"
#include "monitor/monitor.h"
#include "src/config/options-int.h"

#define HELP_COLUMN 24

static void given_option_free(void *opaque)
{
    GivenOption *given = opaque;

    g_free(given->arg);
    g_free(given);
}

static void add_fd_clear(void *opaque)
{
    g_free(((AddFd *)opaque)->opaque);
}

static void free_drive_option(void *opaque)
{
    DriveOption *drive = opaque;

    keyval_free(drive->keys);
    g_free(drive);
}

void options_init(Options *options)
{
    *options = (Options){
        .accels = g_ptr_array_new_with_free_func(g_free),
        .devices = g_ptr_array_new_with_free_func((GDestroyNotify)keyval_free),
        .objects = g_ptr_array_new_with_free_func((GDestroyNotify)object_free),
        .drives = g_ptr_array_new_with_free_func(free_drive_option),
        .blockdevs = g_ptr_array_new_with_free_func((GDestroyNotify)keyval_free),
        .chardevs = g_ptr_array_new_with_free_func((GDestroyNotify)keyval_free),
        .serials = g_ptr_array_new_with_free_func(g_free),
        .firmware_dirs = g_ptr_array_new_with_free_func(g_free),
        .boot = {.splash_time = -1, .reboot_timeout = -1},
        .monitors = g_ptr_array_new_with_free_func((GDestroyNotify)monitor_options_free),
        .globals = g_ptr_array_new_with_free_func(global_property_free),
        .vcpu_affinity = g_array_new(FALSE, FALSE, sizeof(VcpuAffinity)),
        .add_fds = g_array_new(FALSE, FALSE, sizeof(AddFd)),
        .given = g_ptr_array_new_with_free_func(given_option_free),
        .origins = option_origins_new(),
        .machine = keyval_parse("", NULL, NULL),
        .memory = keyval_parse("", NULL, NULL),
        .smp = keyval_parse("", NULL, NULL),
        .rtc = keyval_parse("", NULL, NULL),
    };
    g_array_set_clear_func(options->vcpu_affinity, vcpu_affinity_clear);
    g_array_set_clear_func(options->add_fds, add_fd_clear);
}

void options_release(Options *options)
{
    for (const OptionSpec *spec = option_table; spec->name; spec++) {
        if (spec->handle == opt_set_string)
            g_clear_pointer((char **)((char *)options + spec->offset), g_free);
    }
    g_free(options->name);
    g_free(options->process_name);
    g_free(options->log_items);
    g_free((char *)options->ram.path);
    cpu_options_release(&options->cpu);
    keyval_free(options->machine);
    keyval_free(options->memory);
    keyval_free(options->smp);
    keyval_free(options->rtc);
    g_ptr_array_free(options->accels, TRUE);
    g_ptr_array_free(options->devices, TRUE);
    g_ptr_array_free(options->objects, TRUE);
    g_ptr_array_free(options->drives, TRUE);
    g_ptr_array_free(options->blockdevs, TRUE);
    g_ptr_array_free(options->chardevs, TRUE);
    g_ptr_array_free(options->serials, TRUE);
    g_ptr_array_free(options->firmware_dirs, TRUE);
    g_free(options->boot.order);
    g_free(options->boot.once);
    g_clear_pointer(&options->boot.option_roms, g_ptr_array_unref);
    g_ptr_array_free(options->monitors, TRUE);
    g_ptr_array_free(options->globals, TRUE);
    g_ptr_array_free(options->given, TRUE);
    g_array_free(options->vcpu_affinity, TRUE);
    g_array_free(options->add_fds, TRUE);
    g_ptr_array_free(options->origins, TRUE);
    g_free(options->writeconfig);
    g_free(options->run_with.chroot);
    g_free(options->run_with.user);
    memset(options, 0, sizeof(*options));
}

bool arg_asks_for_help(const char *arg)
{
    return strcmp(arg, "help") == 0 || strcmp(arg, "?") == 0;
}

bool keyval_asks_for_help(KvNode *kv)
{
    return g_strcmp0(keyval_get(kv, "help"), "on") == 0;
}

char *did_you_mean(const char *word, const char *const *candidates)
{
    const char *near = nearest_name(word, candidates);

    return near ? g_strdup_printf("; did you mean '%s'?", near) : g_strdup("");
}

void options_print_help(Options *options, const GString *text)
{
    fputs(text->str, stdout);
    options->help_printed = true;
}

bool opt_set_flag(Options *options, const OptionSpec *spec, const char *arg, GError **errp)
{
    *(bool *)((char *)options + spec->offset) = true;
    return true;
}

bool opt_set_string(Options *options, const OptionSpec *spec, const char *arg, GError **errp)
{
    char **field = (char **)((char *)options + spec->offset);

    g_free(*field);
    *field = g_strdup(arg);
    return true;
}

bool opt_gdb_default(Options *options, const OptionSpec *spec, const char *arg, GError **errp)
{
    g_free(options->gdb);
    options->gdb = g_strdup("tcp::1234");
    return true;
}

bool opt_only_none(Options *options, const OptionSpec *spec, const char *arg, GError **errp)
{
    if (strcmp(arg, "none") != 0)
        return error_set_code(errp, VMM_ERROR_USAGE, "'%s' is not available; only 'none' is", arg);
    return true;
}

bool opt_no_effect(Options *options, const OptionSpec *spec, const char *arg, GError **errp)
{
    return true;
}

bool opt_version(Options *options, const OptionSpec *spec, const char *arg, GError **errp)
{
    g_autoptr(GString) out = g_string_new("vmm version " VMM_VERSION "\n");

    options_print_help(options, out);
    return true;
}

static void print_option(const OptionSpec *spec, GString *out)
{
    g_auto(GStrv) lines = g_strsplit(spec->help, "\n", -1);
    gsize start = out->len;

    g_string_append_printf(out, "  -%s%s%s", spec->name, spec->form ? " " : "",
                           spec->form ? spec->form : "");
    int used = (int)(out->len - start);
    if (used >= HELP_COLUMN) {
        g_string_append_c(out, '\n');
        used = 0;
    }
    for (char **line = lines; *line; line++) {
        g_string_append_printf(out, "%*s%s\n", HELP_COLUMN - used, "", *line);
        used = 0;
    }
}

bool opt_help(Options *options, const OptionSpec *spec, const char *arg, GError **errp)
{
    g_autoptr(GString) out = g_string_new("usage: vmm [options]\n");

    for (unsigned group = 0; group < GROUP_COUNT; group++) {
        g_string_append_printf(out, "\n%s:\n", option_group_titles[group]);
        for (const OptionSpec *row = option_table; row->name; row++) {
            if (row->group == group)
                print_option(row, out);
        }
    }
    g_string_append(out, "\nWhere QEMU has an option of the same name, it means the same.\n");
    options_print_help(options, out);
    return true;
}

const OptionSpec *option_find(const char *name)
{
    for (const OptionSpec *spec = option_table; spec->name; spec++) {
        if (strcmp(spec->name, name) == 0)
            return spec;
    }
    return NULL;
}

static bool unknown_option(const char *word, const char *name, GError **errp)
{
    g_autoptr(GPtrArray) names = g_ptr_array_new();

    for (const OptionSpec *spec = option_table; spec->name; spec++)
        g_ptr_array_add(names, (char *)spec->name);
    g_ptr_array_add(names, NULL);

    const char *near = nearest_name(name, (const char *const *)names->pdata);
    if (near)
        return error_set_code(errp, VMM_ERROR_USAGE, "unknown option '%s'; did you mean '-%s'?", word, near);
    return error_set_code(errp, VMM_ERROR_USAGE, "unknown option '%s'; 'vmm -help' lists all", word);
}

bool keyval_has_secret(const char *option, KvNode *kv)
{
    return strcmp(option, "object") == 0 && g_strcmp0(keyval_get(kv, "qom-type"), "secret") == 0 && keyval_get(kv, "data");
}

/* As it may be shown: of a secret only its id. */
static char *shown_argument(const OptionSpec *spec, const char *arg)
{
    g_autoptr(KvNode) kv = spec->handle == opt_object ? keyval_parse(arg, "qom-type", NULL) : NULL;

    if (spec->handle == opt_object && !kv)
        return g_strndup(arg, strcspn(arg, ","));
    if (!kv || !keyval_has_secret(spec->name, kv))
        return g_strdup(arg);
    return g_strdup_printf("secret,id=%s", keyval_get(kv, "id") ? keyval_get(kv, "id") : "");
}

bool options_handle(Options *options, const char *name, const char *arg, GError **errp)
{
    const OptionSpec *spec = option_find(name);

    if (!spec)
        return unknown_option(name, name, errp);
    if (!spec->handle(options, spec, arg, errp))
        return false;
    GivenOption *given = g_new(GivenOption, 1);
    *given = (GivenOption){spec, g_strdup(arg)};
    g_ptr_array_add(options->given, given);
    return true;
}

/* Handles the option at *argv and moves it past the option's words. */
static bool parse_option(Options *options, char *const **argv, GError **errp)
{
    const char *word = *(*argv)++;
    const char *name = word + (word[0] == '-') + (word[0] == '-' && word[1] == '-');

    if (word[0] != '-' || !*name)
        return error_set_code(errp, VMM_ERROR_USAGE, "unexpected argument '%s'; options begin with '-'", word);

    const OptionSpec *spec = option_find(name);
    if (!spec)
        return unknown_option(word, name, errp);
    if (spec->form && !**argv)
        return error_set_code(errp, VMM_ERROR_USAGE, "option '%s' needs an argument: %s", word, spec->form);

    const char *arg = spec->form ? *(*argv)++ : NULL;
    if (options_handle(options, name, arg, errp))
        return true;
    g_autofree char *shown = arg ? shown_argument(spec, arg) : NULL;
    g_prefix_error(errp, "-%s%s%s: ", spec->name, shown ? " " : "", shown ? shown : "");
    return false;
}

OptionsResult options_parse(Options *options, int argc, char *const *argv, GError **errp)
{
    char *const *next = argv + MIN(argc, 1);

    while (*next) {
        if (!parse_option(options, &next, errp))
            return OPTIONS_BAD;
        if (options->help_printed)
            return OPTIONS_DONE;
    }
    return OPTIONS_RUN;
}

static bool check_boot(const BootOptions *boot, GError **errp)
{
    if (boot->append && !boot->kernel)
        return error_set_code(errp, VMM_ERROR_USAGE, "-append: there is no kernel to pass this to; give -kernel");
    if (boot->initrd && !boot->kernel)
        return error_set_code(errp, VMM_ERROR_USAGE, "-initrd: there is no kernel to pass this to; give -kernel");
    return true;
}

/* "stdio" or "mon:stdio", with or without properties. */
static bool is_stdio(const char *device)
{
    device += g_str_has_prefix(device, "mon:") ? strlen("mon:") : 0;
    return g_str_has_prefix(device, "stdio") && (device[5] == '\0' || device[5] == ',');
}

static bool monitor_is_on_terminal(const Options *options)
{
    for (guint i = 0; i < options->monitors->len; i++) {
        const MonitorOptions *monitor = g_ptr_array_index(options->monitors, i);
        if (monitor->device && strstr(monitor->device, "stdio"))
            return true;
    }
    return false;
}

/* What wants the terminal, the gdb stub and qtest aside; NULL: nothing. */
static const char *terminal_user(const Options *options)
{
    if (options->nographic && options->serial_implied)
        return "-nographic";
    for (guint i = 0; i < options->chardevs->len; i++) {
        if (strcmp(keyval_get(g_ptr_array_index(options->chardevs, i), "backend"), "stdio") == 0)
            return "-chardev stdio";
    }
    for (guint i = 0; i < options->serials->len; i++) {
        if (is_stdio(g_ptr_array_index(options->serials, i)))
            return "-serial stdio";
    }
    if (options->debugcon && is_stdio(options->debugcon))
        return "-debugcon stdio";
    return monitor_is_on_terminal(options) ? "a monitor on stdio" : NULL;
}

/* The terminal has one user. */
static bool check_gdb(const Options *options, GError **errp)
{
    const char *user = g_strcmp0(options->gdb, "stdio") == 0 ? terminal_user(options) : NULL;

    if (user)
        return error_set_code(errp, VMM_ERROR_USAGE, "-gdb stdio: the terminal is taken by %s; use -gdb unix:PATH", user);
    return true;
}

static bool check_daemonize(const Options *options, GError **errp)
{
    const char *user = terminal_user(options);

    if (g_strcmp0(options->gdb, "stdio") == 0)
        user = "-gdb stdio";
    if (g_strcmp0(options->qtest, "stdio") == 0)
        user = "-qtest stdio";
    if (options->daemonize && user)
        return error_set_code(errp, VMM_ERROR_USAGE,
                              "-daemonize: %s needs the terminal, which a process in the background does not have; leave "
                              "one of them out", user);
    return true;
}

/* COM1 exists even if nobody asked for it, as on QEMU; -nographic puts it on the terminal. */
static void default_serial(Options *options)
{
    options->serial_implied = options->serials->len == 0;
    if (options->serials->len == 0 && options->nographic)
        g_ptr_array_add(options->serials, g_strdup("mon:stdio"));
    else if (options->serials->len == 0 && !options->nodefaults)
        g_ptr_array_add(options->serials, g_strdup("null"));
}

/* "mon:" is a terminal shared with a monitor. -nographic's is, unless a monitor was asked for elsewhere. */
static void resolve_shared_monitors(Options *options)
{
    for (guint i = 0; i < options->serials->len; i++) {
        g_autofree char *id = g_strdup_printf("serial%u", i);
        bool implied = i == 0 && options->serial_implied;
        if (g_str_has_prefix(g_ptr_array_index(options->serials, i), "mon:") && !(implied && options->monitor_given))
            g_ptr_array_add(options->monitors, monitor_options_new(MONITOR_HUMAN, NULL, id));
    }
    if (options->debugcon && g_str_has_prefix(options->debugcon, "mon:"))
        g_ptr_array_add(options->monitors, monitor_options_new(MONITOR_HUMAN, NULL, "debugcon"));
}

bool options_resolve(Options *options, GError **errp)
{
    default_serial(options);
    boot_resolve(options);
    resolve_shared_monitors(options);
    return machine_type_resolve(options, errp) && accel_resolve(options, errp) &&
           smp_resolve(options->smp, &options->topology, errp) && ram_resolve(options, errp) &&
           check_boot(&options->boot, errp) && check_gdb(options, errp) && check_daemonize(options, errp) &&
           vcpu_affinity_check(options, errp);
}
