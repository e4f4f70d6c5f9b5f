/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * "monitor COMMAND" in gdb (qRcmd; GDB manual, E.4): the human monitor's commands (monitor/hmp.h), and a
 * few that only a debugger has.
 *
 * Locking: the main loop, machine_lock held, vCPUs paused.
 */
#include <string.h>

#include "core/error.h"
#include "gdb-internal.h"
#include "monitor/hmp.h"

/* What is sent in one packet, in hex. */
#define OUTPUT_PART (GDB_PACKET_MAX / 2 - 1)

static bool info_breakpoints(HmpContext *ctx, GError **errp)
{
    const Gdb *gdb = ctx->opaque;
    static const char *const kinds[] = {
        [DEBUG_BREAK_SOFT] = "breakpoint", [DEBUG_BREAK_HARD] = "hardware breakpoint",
        [DEBUG_WATCH_WRITE] = "write watchpoint", [DEBUG_WATCH_READ] = "read watchpoint",
        [DEBUG_WATCH_ACCESS] = "access watchpoint",
    };

    for (guint i = 0; i < gdb->points->len; i++) {
        const DebugPoint *point = &g_array_index(gdb->points, DebugPoint, i);
        g_string_append_printf(ctx->out, "%s at %#" G_GINT64_MODIFIER "x, %" G_GINT64_MODIFIER "u bytes\n",
                               kinds[point->kind], point->addr, point->len);
    }
    if (!gdb->points->len)
        g_string_append(ctx->out, "none (gdb takes its breakpoints out when the guest stops)\n");
    return true;
}

/* gdb would not know of it. */
static bool cont(HmpContext *ctx, GError **errp)
{
    return error_set(errp, "the debugger has stopped the VM: use gdb's own 'continue', or 'detach'");
}

/* gdb asks for the description again when it is told to forget its own. */
static bool set_arch(HmpContext *ctx, GError **errp)
{
    static const char *const names[] = {
        [GDB_ARCH_AUTO] = "auto", [GDB_ARCH_I386] = "i386", [GDB_ARCH_AMD64] = "amd64",
    };
    Gdb *gdb = ctx->opaque;
    g_autofree char *arch = hmp_take_word(ctx);

    for (unsigned i = 0; arch && i < G_N_ELEMENTS(names); i++) {
        if (strcmp(arch, names[i]) == 0) {
            gdb->arch = (GdbArch)i;
            g_string_append(ctx->out,
                            "now 'unset tdesc filename' makes gdb read the registers' description again\n");
            return true;
        }
    }
    g_string_append_printf(ctx->out, "arch is %s; it can be auto, i386 or amd64\n", names[gdb->arch]);
    return true;
}

static const HmpCommand commands[] = {
    {"info breakpoints", NULL, info_breakpoints, "breakpoints and watchpoints in the guest now"},
    {"arch", "auto|i386|amd64", set_arch, "which registers gdb is shown"},
    {"cont|c", NULL, cont, "gdb's own 'continue' does that"},
    {0},
};

/* A reset happens at once, so that what gdb reads next is what it will find. */
static void run_command(Gdb *gdb, const char *line, GString *out)
{
    HmpContext ctx = {
        .machine = gdb->machine,
        .cpu = gdb->general_thread,
        .out = out,
        .more = commands,
        .opaque = gdb,
    };

    hmp_run(&ctx, line);
    machine_serve_requests(gdb->machine);
}

/* Text comes in "O" packets, then OK. */
static void send_output(Gdb *gdb, const GString *out)
{
    g_autoptr(GString) packet = g_string_new(NULL);
    size_t total = out->len;

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
