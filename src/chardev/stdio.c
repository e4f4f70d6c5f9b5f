/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The process's own standard input and output as a character backend.
 *
 * Both may be a terminal, a pipe, a socket, a file or /dev/null. They are shared with whoever
 * started us, so O_NONBLOCK is not set on them: where the file can be opened again (/proc/self/fd),
 * a descriptor of our own is non-blocking, and what others see stays as it was. Sockets cannot be
 * opened again; theirs is set and put back at the end.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/error.h"
#include "src/chardev/chardev-int.h"
#include "src/chardev/terminal.h"

/* Descriptors of others that we made non-blocking; -1: none. */
static int borrowed[2] = {-1, -1};
static bool in_use;

static void return_borrowed(void)
{
    for (int i = 0; i < 2; i++) {
        if (borrowed[i] >= 0)
            fcntl(borrowed[i], F_SETFL, fcntl(borrowed[i], F_GETFL) & ~O_NONBLOCK);
        borrowed[i] = -1;
    }
}

static void release_stdio(void)
{
    terminal_restore();
    return_borrowed();
    in_use = false;
}

/* A non-blocking descriptor for what fd is; mode is O_RDONLY or O_WRONLY. -1 if fd is closed. */
static int own_descriptor(int fd, int mode)
{
    g_autofree char *path = g_strdup_printf("/proc/self/fd/%d", fd);
    struct stat st;

    if (fstat(fd, &st) < 0)
        return -1;
    /* Regular files never block, and a second description would have a position of its own. */
    if (S_ISREG(st.st_mode))
        return fcntl(fd, F_DUPFD_CLOEXEC, 3);
    int own = open(path, mode | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    if (own >= 0)
        return own;
    int flags = fcntl(fd, F_GETFL);
    if (!(flags & O_NONBLOCK) && fcntl(fd, F_SETFL, flags | O_NONBLOCK) == 0)
        borrowed[mode == O_WRONLY] = fd;
    return fcntl(fd, F_DUPFD_CLOEXEC, 3);
}

Chardev *chardev_new_stdio(const char *id, int in_fd, int out_fd, bool signals, GError **errp)
{
    static bool registered;

    if (in_use) {
        error_set_code(errp, VMM_ERROR_USAGE, "stdio is used by another character device already; share it with mon:stdio");
        return NULL;
    }
    int in = own_descriptor(in_fd, O_RDONLY);
    int out = own_descriptor(out_fd, O_WRONLY);
    Chardev *chr = chardev_new_fds(id, in, out, errp);
    if (!chr) {
        close(in);
        close(out);
        return_borrowed();
        return NULL;
    }
    if (!registered)
        atexit(return_borrowed);
    registered = in_use = true;
    chardev_fds_on_release(chr, release_stdio);
    if (isatty(in_fd) && !terminal_enter_raw(in_fd, signals, errp)) {
        chardev_free(chr);
        return NULL;
    }
    return chr;
}
