/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Where the system keeps firmware and option ROMs.
 */
#ifndef PC_BIOS_LOOKUP_H
#define PC_BIOS_LOOKUP_H

#include <glib.h>

typedef struct Machine Machine;

/*
 * Path of the image: name itself if it is a file (relative names from the working directory, as given), else
 * the first of the -L directories and then of the system's that has it. NULL with an error that says
 * what it was for ("option ROM") and, for images we know, which package brings it. Free with g_free.
 */
char *firmware_find(const Machine *machine, const char *name, const char *purpose, GError **errp);

#endif
