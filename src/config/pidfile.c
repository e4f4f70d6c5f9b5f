/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The pid file (config/pidfile.h). The lock is an open-file-description lock: it goes with the
 * process, so a file left by one that was killed is taken over.
 */
#include "config/pidfile.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "core/error.h"
#include "core/host.h"

static struct {
    char *path;
    int fd;
} pidfile = {NULL, -1};

static bool lock_and_write(int fd, const char *path, GError **errp)
{
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    g_autofree char *text = g_strdup_printf("%d\n", (int)getpid());

    if (fcntl(fd, F_OFD_SETLK, &lock) < 0)
        return error_set_errno(errp, errno, "-pidfile: another process uses '%s'", path);
    if (ftruncate(fd, 0) < 0 || !host_write_full(fd, text, strlen(text)))
        return error_set_errno(errp, errno, "-pidfile: cannot write '%s'", path);
    return true;
}

bool pidfile_create(const char *path, GError **errp)
{
    int fd = host_open(path, O_WRONLY | O_CREAT, 0644, "pid file", errp);

    if (fd < 0)
        return false;
    if (!lock_and_write(fd, path, errp)) {
        close(fd);
        return false;
    }
    pidfile.path = g_strdup(path);
    pidfile.fd = fd;
    return true;
}

void pidfile_remove(void)
{
    if (pidfile.fd < 0)
        return;
    unlink(pidfile.path);
    close(pidfile.fd);
    g_clear_pointer(&pidfile.path, g_free);
    pidfile.fd = -1;
}
