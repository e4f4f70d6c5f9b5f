/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Human monitor commands about the VM as a whole, logs and debugging.
 */
#include <string.h>

#include "core/error.h"
#include "core/log.h"
#include "hmp-internal.h"

static bool info_version(HmpContext *ctx, GError **errp)
{
    g_string_append(ctx->out, VMM_VERSION "\n");
    return true;
}

static bool info_name(HmpContext *ctx, GError **errp)
{
    if (ctx->machine->name)
        g_string_append_printf(ctx->out, "%s\n", ctx->machine->name);
    return true;
}

static bool info_uuid(HmpContext *ctx, GError **errp)
{
    g_autofree char *text = machine_uuid_text(ctx->machine);

    g_string_append_printf(ctx->out, "%s\n", text);
    return true;
}

static bool info_status(HmpContext *ctx, GError **errp)
{
    RunState state = ctx->machine->run_state;

    g_string_append_printf(ctx->out, "VM status: %s", state == RUN_STATE_RUNNING ? "running" : "paused");
    if (state != RUN_STATE_RUNNING && state != RUN_STATE_PAUSED)
        g_string_append_printf(ctx->out, " (%s)", run_state_name(state));
    g_string_append_c(ctx->out, '\n');
    return true;
}

static bool info_kvm(HmpContext *ctx, GError **errp)
{
    bool enabled = ctx->machine->accel->ops == &kvm_accel_ops;

    g_string_append_printf(ctx->out, "kvm support: %s\n", enabled ? "enabled" : "disabled");
    return true;
}

static bool info_stats(HmpContext *ctx, GError **errp)
{
    const Accel *accel = ctx->machine->accel;

    if (!accel->ops->print_stats)
        return error_set(errp, "the accelerator %s keeps no statistics", accel->ops->name);
    return accel->ops->print_stats(ctx->machine->accel, ctx->out, errp);
}

static bool info_jit(HmpContext *ctx, GError **errp)
{
    if (ctx->machine->accel->ops != &dbt_accel_ops)
        return error_set(errp, "%s translates no code; -accel dbt does", ctx->machine->accel->ops->name);
    return info_stats(ctx, errp);
}

static bool info_history(HmpContext *ctx, GError **errp)
{
    for (guint i = 0; ctx->history && i < ctx->history->len; i++)
        g_string_append_printf(ctx->out, "%u: '%s'\n", i, (const char *)g_ptr_array_index(ctx->history, i));
    return true;
}

static bool stop(HmpContext *ctx, GError **errp)
{
    machine_stop(ctx->machine, RUN_STATE_PAUSED);
    return true;
}

static bool cont(HmpContext *ctx, GError **errp)
{
    return machine_start(ctx->machine) || error_set(errp, "the guest cannot go on from here; 'system_reset' starts it anew");
}

static bool quit(HmpContext *ctx, GError **errp)
{
    machine_request_shutdown(ctx->machine, SHUTDOWN_CAUSE_HOST_QUIT, 0);
    return true;
}

static bool system_reset(HmpContext *ctx, GError **errp)
{
    machine_request_reset(ctx->machine, SHUTDOWN_CAUSE_HOST_RESET);
    return true;
}

static bool system_powerdown(HmpContext *ctx, GError **errp)
{
    return machine_press_power_button(ctx->machine) ||
           error_set(errp, "the machine has no power button: it was made without ACPI");
}

static bool set_log(HmpContext *ctx, GError **errp)
{
    g_autofree char *items = NULL;

    if (!hmp_need_word(ctx, "the list of items", &items, errp) || !hmp_end(ctx, errp))
        return false;
    if (strcmp(items, "help") == 0) {
        log_print_help(ctx->out);
        return true;
    }
    return log_set_mask(strcmp(items, "none") == 0 ? "" : items, errp);
}

static bool set_log_file(HmpContext *ctx, GError **errp)
{
    g_autofree char *path = NULL;

    return hmp_need_word(ctx, "the file's name", &path, errp) && hmp_end(ctx, errp) && log_set_file(path, errp);
}

static bool gdbserver(HmpContext *ctx, GError **errp)
{
    g_autofree char *address = hmp_take_word(ctx);

    if (!hmp_end(ctx, errp))
        return false;
    if (!ctx->gdbserver)
        return error_set(errp, "the gdb stub cannot be changed from here");
    if (!ctx->gdbserver(ctx->gdbserver_opaque, address ? address : "tcp::1234", errp))
        return false;
    if (g_strcmp0(address, "none") == 0)
        g_string_append(ctx->out, "Disabled gdbserver\n");
    else
        g_string_append_printf(ctx->out, "Waiting for gdb connection on device '%s'\n", address ? address : "tcp::1234");
    return true;
}

const HmpCommand hmp_vm_commands[] = {
    {"help|?", "[COMMAND]", hmp_help, "print this, or one command's line"},
    {"info history", NULL, info_history, "the lines typed here"},
    {"info jit", NULL, info_jit, "counters of the translator", .paused = true},
    {"info kvm", NULL, info_kvm, "whether KVM runs the VM"},
    {"info name", NULL, info_name, "the VM's name"},
    {"info stats", NULL, info_stats, "counters of the accelerator", .paused = true},
    {"info status", NULL, info_status, "whether the VM runs"},
    {"info uuid", NULL, info_uuid, "the VM's UUID"},
    {"info version", NULL, info_version, "the program's version"},
    {"cont|c", NULL, cont, "start or go on"},
    {"gdbserver", "[tcp:[HOST]:PORT|unix:PATH|none]", gdbserver, "let gdb connect there (tcp::1234), or no longer"},
    {"log", "ITEM[,ITEM...]", set_log, "log these, as -d does; 'log none', 'log help'"},
    {"logfile", "FILE", set_log_file, "log to this file, as -D does"},
    {"quit|q", NULL, quit, "end the VM at once"},
    {"stop|s", NULL, stop, "stop the CPUs"},
    {"system_powerdown", NULL, system_powerdown, "press the power button"},
    {"system_reset", NULL, system_reset, "reset the machine"},
    {0},
};
