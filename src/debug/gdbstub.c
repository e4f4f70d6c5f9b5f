/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The gdb stub's beginning and end (debug/gdbstub.h).
 */
#include "debug/gdbstub.h"

#include <string.h>

#include "core/lock.h"
#include "gdb-internal.h"

Gdb *gdbstub_new(Machine *machine, const char *address, GError **errp)
{
    Gdb *gdb = g_new0(Gdb, 1);

    gdb->machine = machine;
    gdb->points = g_array_new(FALSE, FALSE, sizeof(DebugPoint));
    gdb->actions = g_new0(GdbAction, machine->smp.cpus);
    for (unsigned i = 0; i < machine->smp.cpus; i++)
        gdb->actions[i].kind = GDB_CONTINUE;
    gdb->reply = g_string_new(NULL);
    gdb->run_state_watch = (RunStateWatch){.changed = gdb_run_state_changed, .opaque = gdb};
    machine_lock();
    machine_add_run_state_watch(machine, &gdb->run_state_watch);
    gdb_session_begin(gdb);
    gdb->server = gdb_server_new(gdb, address, errp);
    machine_unlock();
    if (!gdb->server) {
        gdbstub_free(gdb);
        return NULL;
    }
    return gdb;
}

/* E.3: "W exit status", if gdb waits for something to happen. */
static void send_exit(Gdb *gdb)
{
    g_autofree char *packet = g_strdup_printf("W%02x", gdb->machine->exit_status & 0xff);

    if (gdb->awaiting_stop)
        gdb_send(gdb, packet, strlen(packet));
    gdb->awaiting_stop = false;
}

void gdbstub_free(Gdb *gdb)
{
    machine_lock();
    if (gdb->server) {
        send_exit(gdb);
        gdb_server_free(gdb->server);
    }
    machine_remove_run_state_watch(gdb->machine, &gdb->run_state_watch);
    if (gdb->report)
        gdb->report->gdb = NULL;
    machine_unlock();
    gdb_layout_free(gdb->layout);
    g_array_unref(gdb->points);
    g_free(gdb->actions);
    g_string_free(gdb->reply, TRUE);
    g_free(gdb);
}
