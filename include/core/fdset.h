/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Sets of descriptors that were handed to us (-add-fd, QMP add-fd): the name "/dev/fdset/N", wherever a
 * file is opened (host_open), means a duplicate of the set's descriptor with the access asked for.
 *
 * The sets belong to the process, like its descriptors. Any thread.
 */
#ifndef CORE_FDSET_H
#define CORE_FDSET_H

#include <glib.h>
#include <stdbool.h>

#define FDSET_PREFIX "/dev/fdset/"

/* Takes a duplicate of fd into the set, which is made if it is new. The duplicate's number, or -1. */
int fdset_add(unsigned set, int fd, const char *opaque, GError **errp);
/* The same for a number of the user's: it must have come with the start of the program, and not be a
 * file of ours that happens to have the number. */
int fdset_add_inherited(unsigned set, int fd, const char *opaque, GError **errp);
/* Removes one descriptor (fd is what fdset_add returned), or with -1 all. */
bool fdset_remove(unsigned set, int fd, GError **errp);
/* open(2) of "/dev/fdset/N": a new descriptor, or -1 with errno. */
int fdset_open(const char *path, int flags);

/* For "query-fdsets": calls fn for each descriptor, set by set. */
void fdset_foreach(void (*fn)(unsigned set, int fd, const char *opaque, void *user), void *user);
/* A number no set has. */
unsigned fdset_unused(void);

#endif
