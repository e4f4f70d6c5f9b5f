/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The gdb stub: gdb's remote serial protocol (GDB manual, appendix E) on a socket or on stdio.
 *
 * One debugger at a time; it sees one process, the VM, with one thread per vCPU, "CPU#0 [running]".
 * Who connects and says nothing sensible changes nothing: the guest is stopped by the first command
 * that looks at it.
 *
 *     WAITING --connect--> CONNECTED --a command that looks at the guest--> VM stopped
 *        ^                    |  ^                                           |    |
 *        |                    |  +-- detach: VM runs ------------------------+    | c, s, vCont
 *        +--- disconnect -----+  +-- stop reply: breakpoint, step, Ctrl-C <-- VM runs
 *
 * Without a debugger nothing is left of it: its breakpoints are gone, a VM that ran runs on, one that
 * it had stopped stays stopped for whoever connects next.
 *
 * Locking: the main loop, machine_lock held.
 */
#ifndef DEBUG_GDBSTUB_H
#define DEBUG_GDBSTUB_H

#include <glib.h>

#include "core/machine.h"

typedef struct Gdb Gdb;

/*
 * Listens at address: "tcp:[HOST]:PORT" (no host: the loopback address), "unix:PATH" or "stdio". The
 * error says what about the address is wrong; the caller adds which option it was. Main thread.
 */
Gdb *gdbstub_new(Machine *machine, const char *address, GError **errp);
/* Tells the debugger that the VM has ended, with machine->exit_status, and closes everything. */
void gdbstub_free(Gdb *gdb);

#endif
