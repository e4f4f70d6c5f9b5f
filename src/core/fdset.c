/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Sets of descriptors (core/fdset.h).
 *
 * Locking: table.lock, a leaf.
 */
#include "core/fdset.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <string.h>
#include <unistd.h>

#include "config/keyval.h"
#include "core/error.h"

/* A peer that adds descriptors must not use up ours. */
#define FDSET_MAX 256

typedef struct FdsetEntry {
    unsigned set;
    int fd;
    char *opaque;
} FdsetEntry;

static struct {
    pthread_mutex_t lock;
    FdsetEntry entries[FDSET_MAX];
    unsigned count;
} table = {.lock = PTHREAD_MUTEX_INITIALIZER};

int fdset_add(unsigned set, int fd, const char *opaque, GError **errp)
{
    int copy = fcntl(fd, F_DUPFD_CLOEXEC, 0);
    bool full;

    if (copy < 0) {
        error_set_errno(errp, errno, "cannot use descriptor %d", fd);
        return -1;
    }
    pthread_mutex_lock(&table.lock);
    full = table.count == FDSET_MAX;
    if (!full)
        table.entries[table.count++] = (FdsetEntry){set, copy, g_strdup(opaque)};
    pthread_mutex_unlock(&table.lock);
    if (!full)
        return copy;
    close(copy);
    error_set(errp, "there are %d descriptors in sets already; remove some", FDSET_MAX);
    return -1;
}

int fdset_add_inherited(unsigned set, int fd, const char *opaque, GError **errp)
{
    int flags = fcntl(fd, F_GETFD);

    /* What came through execve cannot be close-on-exec; all of ours are. */
    if (flags < 0 || (flags & FD_CLOEXEC)) {
        error_set_code(errp, VMM_ERROR_USAGE, "descriptor %d is not open; the parent process has to pass it on", fd);
        return -1;
    }
    return fdset_add(set, fd, opaque, errp);
}

bool fdset_remove(unsigned set, int fd, GError **errp)
{
    unsigned kept = 0, before;

    pthread_mutex_lock(&table.lock);
    before = table.count;
    for (unsigned i = 0; i < before; i++) {
        FdsetEntry *entry = &table.entries[i];
        if (entry->set == set && (fd < 0 || entry->fd == fd)) {
            close(entry->fd);
            g_free(entry->opaque);
        } else {
            table.entries[kept++] = *entry;
        }
    }
    table.count = kept;
    pthread_mutex_unlock(&table.lock);
    if (kept < before)
        return true;
    if (fd < 0)
        return error_set(errp, "there is no fd set %u", set);
    return error_set(errp, "fd set %u has no descriptor %d", set, fd);
}

/* The set's number; false if the name is no set's. */
static bool parse_name(const char *path, uint64_t *set)
{
    return parse_u64(path + strlen(FDSET_PREFIX), set) && *set <= G_MAXUINT;
}

static bool has_access(int fd, int flags)
{
    int has = fcntl(fd, F_GETFL);

    return has >= 0 && (has & O_ACCMODE) == (flags & O_ACCMODE);
}

/* A duplicate shares offset and status flags with the others; of the flags that act at open, O_TRUNC is done. */
static int duplicate(int fd, int flags)
{
    int copy = fcntl(fd, F_DUPFD_CLOEXEC, 0);

    if (copy >= 0 && (flags & O_TRUNC) && ftruncate(copy, 0) < 0) {
        int err = errno;
        close(copy);
        errno = err;
        return -1;
    }
    return copy;
}

int fdset_open(const char *path, int flags)
{
    int fd = -1, err = ENOENT;
    uint64_t set;

    if (!parse_name(path, &set)) {
        errno = ENOENT;
        return -1;
    }
    pthread_mutex_lock(&table.lock);
    for (unsigned i = 0; i < table.count && fd < 0; i++) {
        if (table.entries[i].set != set)
            continue;
        err = EACCES; /* the set is there, but not for this kind of access */
        if (has_access(table.entries[i].fd, flags)) {
            fd = duplicate(table.entries[i].fd, flags);
            err = errno;
        }
    }
    pthread_mutex_unlock(&table.lock);
    errno = err;
    return fd;
}

void fdset_foreach(void (*fn)(unsigned set, int fd, const char *opaque, void *user), void *user)
{
    pthread_mutex_lock(&table.lock);
    for (unsigned i = 0; i < table.count; i++)
        fn(table.entries[i].set, table.entries[i].fd, table.entries[i].opaque, user);
    pthread_mutex_unlock(&table.lock);
}

unsigned fdset_unused(void)
{
    unsigned unused = 0;

    pthread_mutex_lock(&table.lock);
    for (unsigned i = 0; i < table.count; i++) {
        if (table.entries[i].set == unused) {
            unused++;
            i = -1u; /* from the start */
        }
    }
    pthread_mutex_unlock(&table.lock);
    return unused;
}
