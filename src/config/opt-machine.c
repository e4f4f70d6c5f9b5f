/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Options about the machine as a whole: its type, accelerator, CPU model, clock and name.
 *
 * -machine mixes properties of the board with some that belong elsewhere (accel=, kernel-irqchip=,
 * memory-backend=, dump-guest-core=); those are taken out where they are used, the board's own are
 * set by machine_from_options (configure.c), which also refuses what nobody took.
 */
#include <string.h>

#include "core/error.h"
#include "hw/i386/cpu-model.h"
#include "src/config/options-int.h"

static void list_machines(Options *options)
{
    g_autoptr(GString) out = g_string_new("Machines:\n");

    for (unsigned i = 0; machine_types[i]; i++)
        g_string_append_printf(out, "  %-20s %s%s\n", machine_types[i]->name, machine_types[i]->desc,
                               i == 0 ? " (default)" : "");
    options_print_help(options, out);
}

static bool unknown_machine(const char *name, GError **errp)
{
    g_autoptr(GPtrArray) names = g_ptr_array_new();

    for (unsigned i = 0; machine_types[i]; i++)
        g_ptr_array_add(names, (char *)machine_types[i]->name);
    g_ptr_array_add(names, NULL);
    g_autofree char *near = did_you_mean(name, (const char *const *)names->pdata);
    return error_set_code(errp, VMM_ERROR_USAGE, "-machine: unknown machine '%s'%s%s", name, near,
                          *near ? "" : "; '-machine help' lists them");
}

bool machine_type_resolve(Options *options, GError **errp)
{
    const char *name = keyval_get(options->machine, "type");

    options->machine_type = machine_types[0];
    if (!name)
        return true;
    for (unsigned i = 0; machine_types[i]; i++) {
        if (strcmp(machine_types[i]->name, name) == 0) {
            options->machine_type = machine_types[i];
            return true;
        }
    }
    return unknown_machine(name, errp);
}

/* Properties of a board or an accelerator, in the form of "-device NAME,help". */
static void print_properties(Options *options, const char *name, const char *desc, const Property *props)
{
    const DeviceType shown = {.name = name, .desc = desc, .props = props};
    g_autoptr(GString) out = g_string_new(NULL);

    device_type_print_help(&shown, out);
    options_print_help(options, out);
}

bool opt_machine(Options *options, const OptionSpec *spec, const char *arg, GError **errp)
{
    if (arg_asks_for_help(arg)) {
        list_machines(options);
        return true;
    }
    if (!keyval_merge(options->machine, arg, "type", errp))
        return false;
    if (keyval_asks_for_help(options->machine)) {
        if (!machine_type_resolve(options, errp))
            return false;
        const MachineType *type = options->machine_type;
        print_properties(options, type->name, type->desc, type->props);
    }
    return true;
}

static const AccelOps *accel_find(const char *name)
{
    for (unsigned i = 0; accel_list[i]; i++) {
        if (strcmp(accel_list[i]->name, name) == 0)
            return accel_list[i];
    }
    return NULL;
}

/* What is wrong with the accelerator's name or properties, accel_create says. */
bool opt_accel(Options *options, const OptionSpec *spec, const char *arg, GError **errp)
{
    g_auto(GStrv) parts = g_strsplit(arg, ",", 2);
    const AccelOps *accel = parts[0] ? accel_find(parts[0]) : NULL;

    if (arg_asks_for_help(arg)) {
        g_autoptr(GString) out = g_string_new(NULL);
        accel_print_help(out);
        options_print_help(options, out);
        return true;
    }
    if (accel && parts[1] && arg_asks_for_help(parts[1])) {
        print_properties(options, accel->name, "accelerator", accel->props);
        return true;
    }
    g_ptr_array_add(options->accels, g_strdup(arg));
    return true;
}

const char *machine_property(const Options *options, const char *key)
{
    g_autofree char *alias = g_strdelimit(g_strdup(key), "-", '_');
    const char *value = keyval_get(options->machine, key);

    return value ? value : keyval_get(options->machine, alias);
}

static bool is_kvm(const char *accel)
{
    return strcmp(accel, "kvm") == 0 || g_str_has_prefix(accel, "kvm,");
}

bool accel_resolve(Options *options, GError **errp)
{
    const char *names = machine_property(options, "accel");
    const char *irqchip = machine_property(options, "kernel-irqchip");
    bool kvm_seen = false;

    if (names && options->accels->len)
        return error_set_code(errp, VMM_ERROR_USAGE, "-accel and -machine accel= exclude each other; give one of them");
    if (names) {
        g_auto(GStrv) list = g_strsplit(names, ":", -1);
        for (char **name = list; *name; name++)
            g_ptr_array_add(options->accels, g_strdup(*name));
    }
    if (options->qtest && !options->accels->len)
        g_ptr_array_add(options->accels, g_strdup("qtest"));
    if (!irqchip)
        return true;
    for (guint i = 0; i < options->accels->len; i++) {
        char *spec = g_ptr_array_index(options->accels, i);
        if (is_kvm(spec)) {
            kvm_seen = true;
            options->accels->pdata[i] = g_strdup_printf("%s,kernel-irqchip=%s", spec, irqchip);
            g_free(spec);
        }
    }
    if (!kvm_seen)
        return error_set_code(errp, VMM_ERROR_USAGE,
                              "-machine kernel-irqchip=%s is kvm's, which was not asked for; add -accel kvm", irqchip);
    return true;
}

bool opt_enable_kvm(Options *options, const OptionSpec *spec, const char *arg, GError **errp)
{
    g_ptr_array_add(options->accels, g_strdup("kvm"));
    return true;
}

bool opt_cpu(Options *options, const OptionSpec *spec, const char *arg, GError **errp)
{
    if (arg_asks_for_help(arg)) {
        g_autoptr(GString) out = g_string_new(NULL);
        cpu_model_print_help(out);
        options_print_help(options, out);
        return true;
    }
    return cpu_options_parse(&options->cpu, arg, errp);
}

/* Takes "guest=NAME,process=NAME,debug-threads=on"; threads are always named. */
bool opt_name(Options *options, const OptionSpec *spec, const char *arg, GError **errp)
{
    static const char *const keys[] = {"guest", "process", "debug-threads", NULL};
    g_autoptr(KvNode) kv = keyval_parse(arg, "guest", errp);
    bool named = true;

    if (!kv)
        return false;
    const char *guest = keyval_get(kv, "guest");
    const char *process = keyval_get(kv, "process");
    const char *debug = keyval_get(kv, "debug-threads");
    if (!keyval_check_unused(kv, "-name", keys, errp))
        return false;
    if (debug && !parse_bool(debug, &named))
        return error_set_code(errp, VMM_ERROR_USAGE, "debug-threads=%s is neither on nor off", debug);
    if (!named)
        return error_set_code(errp, VMM_ERROR_USAGE, "threads are always named; leave debug-threads=off out");
    g_free(options->name);
    g_free(options->process_name);
    options->name = g_strdup(guest);
    options->process_name = g_strdup(process);
    return true;
}

/* The values' meaning is the clock's (hw/rtc); driftfix=none is what it does. */
bool opt_rtc(Options *options, const OptionSpec *spec, const char *arg, GError **errp)
{
    static const char *const keys[] = {"base", "clock", "driftfix", NULL};

    if (!keyval_merge(options->rtc, arg, NULL, errp))
        return false;
    keyval_get(options->rtc, "base");
    keyval_get(options->rtc, "clock");
    const char *driftfix = keyval_get(options->rtc, "driftfix");
    if (driftfix && strcmp(driftfix, "none") != 0)
        return error_set_code(errp, VMM_ERROR_USAGE, "driftfix=%s is not available; only 'none' is", driftfix);
    return keyval_check_unused(options->rtc, "-rtc", keys, errp);
}
