/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * "monitor COMMAND" in gdb (qRcmd; GDB manual, E.4): what concerns the VM and not a register or a
 * byte of memory. Commands are rows of the table at the end.
 *
 * Locking: the main loop, machine_lock held, vCPUs paused.
 */
#include <string.h>

#include "gdb-internal.h"

/* What one command may print. */
#define OUTPUT_MAX (256 * 1024)
/* Of it in one packet, in hex. */
#define OUTPUT_PART (GDB_PACKET_MAX / 2 - 1)

typedef struct MonitorCommand {
    const char *name;
    const char *help;
    void (*run)(Gdb *gdb, const char *args, GString *out);
} MonitorCommand;

static void info_cpus(Gdb *gdb, const char *args, GString *out)
{
    for (unsigned i = 0; i < gdb->machine->smp.cpus; i++) {
        Vcpu *vcpu = gdb->machine->vcpus[i];

        vcpu_sync_state(vcpu);
        g_string_append_printf(out, "%c CPU#%u: rip %#018" G_GINT64_MODIFIER "x, CPL %u, %u-bit code, %s\n",
                               i == gdb->general_thread ? '*' : ' ', i, vcpu->state.rip, cpu_state_cpl(&vcpu->state),
                               cpu_state_code_bits(&vcpu->state),
                               vcpu->state.mp_state == MP_RUNNABLE ? "running"
                               : vcpu->state.mp_state == MP_HALTED ? "halted" : "waits for a start-up IPI");
    }
}

static void info_registers(Gdb *gdb, const char *args, GString *out)
{
    bool all = strcmp(args, "-a") == 0;

    for (unsigned i = 0; i < gdb->machine->smp.cpus; i++) {
        Vcpu *vcpu = gdb->machine->vcpus[i];

        if (!all && i != gdb->general_thread)
            continue;
        vcpu_sync_state(vcpu);
        cpu_state_print(&vcpu->state, i, out);
    }
}

static void info_status(Gdb *gdb, const char *args, GString *out)
{
    g_string_append_printf(out, "VM status: %s\n", run_state_name(gdb->machine->run_state));
}

static void info_mtree(Gdb *gdb, const char *args, GString *out)
{
    memory_print_tree(&gdb->machine->memory, out);
    memory_print_tree(&gdb->machine->io, out);
}

static void info_breakpoints(Gdb *gdb, const char *args, GString *out)
{
    static const char *const kinds[] = {
        [DEBUG_BREAK_SOFT] = "breakpoint", [DEBUG_BREAK_HARD] = "hardware breakpoint",
        [DEBUG_WATCH_WRITE] = "write watchpoint", [DEBUG_WATCH_READ] = "read watchpoint",
        [DEBUG_WATCH_ACCESS] = "access watchpoint",
    };

    for (guint i = 0; i < gdb->points->len; i++) {
        const DebugPoint *point = &g_array_index(gdb->points, DebugPoint, i);
        g_string_append_printf(out, "%s at %#" G_GINT64_MODIFIER "x, %" G_GINT64_MODIFIER "u bytes\n",
                               kinds[point->kind], point->addr, point->len);
    }
    if (!gdb->points->len)
        g_string_append(out, "none (gdb takes its breakpoints out when the guest stops)\n");
}

static void stop(Gdb *gdb, const char *args, GString *out)
{
    g_string_append(out, "the VM has stopped for the debugger already\n");
}

static void system_reset(Gdb *gdb, const char *args, GString *out)
{
    machine_request_reset(gdb->machine, SHUTDOWN_CAUSE_HOST_RESET);
    machine_serve_requests(gdb->machine);
    g_string_append(out, "reset; 'maintenance flush register-cache' makes gdb look at the new state\n");
}

static void quit(Gdb *gdb, const char *args, GString *out)
{
    machine_request_shutdown(gdb->machine, SHUTDOWN_CAUSE_HOST_QUIT, 0);
}

/* gdb asks for the description again when it is told to forget its own. */
static void set_arch(Gdb *gdb, const char *args, GString *out)
{
    static const char *const names[] = {
        [GDB_ARCH_AUTO] = "auto", [GDB_ARCH_I386] = "i386", [GDB_ARCH_AMD64] = "amd64",
    };

    for (unsigned i = 0; i < G_N_ELEMENTS(names); i++) {
        if (strcmp(args, names[i]) == 0) {
            gdb->arch = (GdbArch)i;
            g_string_append(out, "now 'unset tdesc filename' makes gdb read the registers' description again\n");
            return;
        }
    }
    g_string_append_printf(out, "arch is %s; it can be auto, i386 or amd64\n", names[gdb->arch]);
}

static const MonitorCommand commands[] = {
    {"help", "print this", NULL}, /* needs this table */
    {"info breakpoints", "breakpoints and watchpoints in the guest now", info_breakpoints},
    {"info cpus", "what each CPU does", info_cpus},
    {"info mtree", "the memory and I/O maps", info_mtree},
    {"info registers", "all registers of the selected CPU; -a: of all CPUs", info_registers},
    {"info status", "the run state", info_status},
    {"arch", "auto|i386|amd64: which registers gdb is shown", set_arch},
    {"stop", "stop the VM", stop},
    {"system_reset", "reset the VM; it stays stopped", system_reset},
    {"quit", "end the VM", quit},
};

static void help(GString *out)
{
    for (unsigned i = 0; i < G_N_ELEMENTS(commands); i++)
        g_string_append_printf(out, "%-18s %s\n", commands[i].name, commands[i].help);
}

static void run_command(Gdb *gdb, const char *line, GString *out)
{
    for (unsigned i = 0; i < G_N_ELEMENTS(commands); i++) {
        size_t length = strlen(commands[i].name);
        if (strncmp(line, commands[i].name, length) == 0 && (line[length] == '\0' || line[length] == ' ')) {
            g_autofree char *args = g_strstrip(g_strdup(line + length));
            if (commands[i].run)
                commands[i].run(gdb, args, out);
            else
                help(out);
            return;
        }
    }
    g_string_append_printf(out, "unknown command '%s'; 'monitor help' lists all\n", line);
}

/* Text comes in "O" packets, then OK. */
static void send_output(Gdb *gdb, const GString *out)
{
    g_autoptr(GString) packet = g_string_new(NULL);
    size_t total = MIN(out->len, OUTPUT_MAX);

    for (size_t done = 0; done < total;) {
        size_t part = MIN(total - done, OUTPUT_PART);
        g_string_assign(packet, "O");
        gdb_append_hex(packet, out->str + done, part);
        gdb_send(gdb, packet->str, packet->len);
        done += part;
    }
    gdb_reply_ok(gdb);
}

/* qRcmd,command in hex */
void gdb_query_monitor(Gdb *gdb, GdbArgs *args)
{
    g_autoptr(GString) out = g_string_new(NULL);
    char line[256] = "";
    size_t length;

    if (!gdb_take_char(args, ',') || (length = gdb_args_left(args) / 2) >= sizeof(line) ||
        !gdb_take_bytes(args, (uint8_t *)line, length)) {
        gdb_reply_error(gdb, GDB_ERROR_SYNTAX);
        return;
    }
    run_command(gdb, g_strstrip(line), out);
    send_output(gdb, out);
}
