/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Monitors: how a user or a tool talks to a VM that runs.
 *
 *     -qmp, -mon mode=control      JSON commands, answers and events (src/monitor/qmp*.c)
 *     -monitor, -mon               lines of text with an editor and history (src/monitor/hmp*.c)
 *
 * Each monitor is the front end of one chardev, or of its part of a mux. There may be several at once;
 * a command of one is carried out wholly before that of another is looked at.
 *
 * A peer is hostile: what it sends is bounded before it is parsed, and while it does not take our
 * output no further command of its is read.
 *
 * Locking: the main thread with machine_lock held, for everything here and all command handlers. vCPUs
 * run meanwhile: a handler that looks at their state pauses them.
 */
#ifndef MONITOR_MONITOR_H
#define MONITOR_MONITOR_H

#include <glib.h>
#include <stdbool.h>

typedef struct Machine Machine;

typedef enum MonitorMode { MONITOR_HUMAN, MONITOR_QMP } MonitorMode;

/* One -qmp, -monitor or -mon. */
typedef struct MonitorOptions {
    MonitorMode mode;
    bool pretty;   /* QMP: indented */
    char *device;  /* "unix:PATH" and the like; NULL: chardev is given */
    char *chardev; /* id; of the device once it is open */
} MonitorOptions;

MonitorOptions *monitor_options_new(MonitorMode mode, const char *device, const char *chardev);
void monitor_options_free(MonitorOptions *options);

/* "-monitor help", "-qmp help": the commands. */
void monitor_print_help(MonitorMode mode, GString *out);

typedef struct Monitors Monitors;

/*
 * Attaches a monitor to each chardev; options are of MonitorOptions *, their chardevs open. From here on
 * events go to the QMP monitors. The machine is built, so that on a mux the guest's console came first
 * and has the keyboard. NULL with an error.
 */
Monitors *monitors_new(Machine *machine, GPtrArray *options, GError **errp);
/* What the command "gdbserver" does; address "none": no gdb stub. */
void monitors_set_gdbserver(Monitors *monitors, bool (*fn)(void *opaque, const char *address, GError **errp),
                            void *opaque);
/* Before machine_free, once the main loop has ended. */
void monitors_free(Monitors *monitors);

#endif
