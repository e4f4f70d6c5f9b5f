/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * -pidfile: the process id in a file, locked while we run, gone afterwards.
 */
#ifndef CONFIG_PIDFILE_H
#define CONFIG_PIDFILE_H

#include <glib.h>
#include <stdbool.h>

/* An error if another process holds the file. */
bool pidfile_create(const char *path, GError **errp);
/* Does nothing if there is none. */
void pidfile_remove(void);

#endif
