/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The user's terminal in raw mode, given back as it was whenever we are not using it.
 *
 *            terminal_enter_raw            terminal_restore, exit, fatal signal
 *   COOKED ----------------------> RAW ------------------------------------------> COOKED
 *                                  | ^
 *                          SIGTSTP | | SIGCONT
 *                                  v |
 *                                STOPPED (cooked: the shell's again)
 *
 * The state belongs to the process: signal handlers must find it.
 */
#ifndef SRC_CHARDEV_TERMINAL_H
#define SRC_CHARDEV_TERMINAL_H

#include <glib.h>
#include <stdbool.h>

/* fd stays open until terminal_restore. signals: Ctrl-C, Ctrl-\ and Ctrl-Z keep their meaning. */
bool terminal_enter_raw(int fd, bool signals, GError **errp);
/* Does nothing if not raw. Async-signal-safe. */
void terminal_restore(void);

#endif
