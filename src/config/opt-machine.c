/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Options about the machine as a whole: its type, accelerator, CPU model, clock, identity, and what
 * becomes of it when the guest resets, shuts down or fails.
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

    for (unsigned i = 0; machine_types[i]; i++) {
        const MachineType *type = machine_types[i];
        g_string_append_printf(out, "  %-20s %s%s", type->name, type->desc, i == 0 ? " (default)" : "");
        if (type->versioned_name)
            g_string_append_printf(out, "; also as %sN.M, any version", type->versioned_name);
        g_string_append_c(out, '\n');
    }
    options_print_help(options, out);
}

static bool unknown_machine(const char *name, GError **errp)
{
    g_autoptr(GPtrArray) names = g_ptr_array_new();

    for (unsigned i = 0; machine_types[i]; i++)
        g_ptr_array_add(names, (char *)machine_types[i]->name);
    g_ptr_array_add(names, NULL);
    g_autofree char *near = did_you_mean(name, (const char *const *)names->pdata);
    g_autofree char *default_near = g_strdup_printf("; did you mean '%s'?", machine_types[0]->name);
    return error_set_code(errp, VMM_ERROR_USAGE, "-machine: there is no machine '%s'%s '-machine help' lists them", name,
                          *near ? near : default_near);
}

/* "pc-i440fx-7.2" and the like. */
static bool is_versioned_name(const MachineType *type, const char *name)
{
    if (!type->versioned_name || !g_str_has_prefix(name, type->versioned_name))
        return false;
    g_auto(GStrv) numbers = g_strsplit(name + strlen(type->versioned_name), ".", 3);
    uint64_t n;
    return g_strv_length(numbers) == 2 && parse_u64(numbers[0], &n) && parse_u64(numbers[1], &n);
}

bool machine_type_resolve(Options *options, GError **errp)
{
    const char *name = keyval_get(options->machine, "type");

    options->machine_type = machine_types[0];
    if (!name)
        return true;
    for (unsigned i = 0; machine_types[i]; i++) {
        if (strcmp(machine_types[i]->name, name) == 0 || is_versioned_name(machine_types[i], name)) {
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

/* QEMU's other spelling of -kernel and its kind; the option goes first. */
void boot_resolve(Options *options)
{
    const struct {
        const char *key;
        char **field;
    } keys[] = {{"kernel", &options->boot.kernel},
                {"initrd", &options->boot.initrd},
                {"append", &options->boot.append},
                {"firmware", &options->boot.firmware}};

    for (unsigned i = 0; i < G_N_ELEMENTS(keys); i++) {
        const char *value = machine_property(options, keys[i].key);
        if (value && !*keys[i].field)
            *keys[i].field = g_strdup(value);
    }
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
    arg += g_str_has_prefix(arg, "accel=") ? strlen("accel=") : 0;
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

bool opt_no_acpi(Options *options, const OptionSpec *spec, const char *arg, GError **errp)
{
    return keyval_merge(options->machine, "acpi=off", NULL, errp);
}

bool opt_no_hpet(Options *options, const OptionSpec *spec, const char *arg, GError **errp)
{
    return keyval_merge(options->machine, "hpet=off", NULL, errp);
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

static bool parse_uuid(const char *text, uint8_t uuid[16])
{
    unsigned digits = 0;

    for (const char *p = text; *p; p++) {
        bool dash = digits == 8 || digits == 12 || digits == 16 || digits == 20;
        if (*p == '-' && dash && p[-1] != '-')
            continue;
        if (!g_ascii_isxdigit(*p) || digits == 32 || (dash && p[-1] != '-'))
            return false;
        unsigned nibble = (unsigned)g_ascii_xdigit_value(*p);
        uuid[digits / 2] = (uint8_t)(digits % 2 ? uuid[digits / 2] | nibble : nibble << 4);
        digits++;
    }
    return digits == 32;
}

bool opt_uuid(Options *options, const OptionSpec *spec, const char *arg, GError **errp)
{
    uint8_t uuid[16];

    if (!parse_uuid(arg, uuid))
        return error_set_code(errp, VMM_ERROR_USAGE,
                              "'%s' is not a UUID; it has the form 550e8400-e29b-41d4-a716-446655440000", arg);
    memcpy(options->uuid, uuid, sizeof(uuid));
    return true;
}

/* -action's words; each list in the order of its enumeration. */
typedef struct ActionArgs {
    int reboot, shutdown, panic, watchdog;
} ActionArgs;

static const char *const reboot_names[] = {"reset", "shutdown", NULL};
static const char *const shutdown_names[] = {"poweroff", "pause", NULL};
static const char *const panic_names[] = {"shutdown", "pause", "exit-failure", "none", NULL};
static const char *const watchdog_names[] = {"reset", "shutdown", "poweroff", "inject-nmi", "pause", "debug", "none",
                                             NULL};

#define ACTION(name_, help_) \
    {.name = #name_, .kind = PROP_ENUM, .offset = offsetof(ActionArgs, name_), .names = name_##_names, .help = help_}

static const Property action_props[] = {
    ACTION(reboot, "when the guest resets itself"),
    ACTION(shutdown, "when the guest shuts down"),
    ACTION(panic, "when the guest says that it has crashed"),
    ACTION(watchdog, "when the guest's watchdog expires"),
    {.name = NULL},
};

typedef struct SetAction {
    ActionArgs args;
    GError **errp;
} SetAction;

static bool set_action(const char *path, const char *value, void *opaque)
{
    SetAction *set = opaque;

    return property_set(action_props, &set->args, "-action", path, value, set->errp);
}

bool opt_action(Options *options, const OptionSpec *spec, const char *arg, GError **errp)
{
    SetAction set = {
        .args = {options->no_reboot, options->no_shutdown, (int)options->panic_action, (int)options->watchdog_action},
        .errp = errp,
    };

    if (arg_asks_for_help(arg)) {
        print_properties(options, "-action", "what the VM does when something happens to the guest", action_props);
        return true;
    }
    g_autoptr(KvNode) kv = keyval_parse(arg, NULL, errp);
    if (!kv || !keyval_foreach(kv, set_action, &set))
        return false;
    options->no_reboot = set.args.reboot == 1;
    options->no_shutdown = set.args.shutdown == 1;
    options->panic_action = (PanicAction)set.args.panic;
    options->watchdog_action = (WatchdogAction)set.args.watchdog;
    return true;
}
