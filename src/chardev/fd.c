/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Character backends on file descriptors: files, FIFOs, and the half of stdio that moves bytes.
 *
 *   input:   watched while the front end takes bytes        READING <--> PAUSED --> ENDED (EOF, error)
 *   output:  written at once; after EAGAIN the descriptor is watched until it takes bytes again
 *
 * When the reader of the output is gone (EPIPE, EIO), what the guest writes vanishes, as on a line
 * nobody listens to; a full disk is told once and then treated alike.
 *
 * Locking: machine_lock; the watches run on the main loop.
 */
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/error.h"
#include "core/host.h"
#include "core/log.h"
#include "core/loop.h"
#include "src/chardev/chardev-int.h"

#define READ_CHUNK 4096

typedef struct FdChardev {
    Chardev chr;
    int in_fd, out_fd; /* -1: none, or ended */
    guint in_watch, out_watch; /* 0: not watched */
    bool input_ended;
    void (*on_release)(void);
} FdChardev;

static void close_input(FdChardev *fd)
{
    if (fd->in_fd >= 0)
        close(fd->in_fd);
    fd->in_fd = -1;
    fd->in_watch = 0;
}

/* Returns false, which ends the watch, when the front end is full or the input has ended. */
static bool input_ready(int in_fd, GIOCondition events, void *opaque)
{
    FdChardev *fd = opaque;
    uint8_t buf[READ_CHUNK];
    size_t room = MIN(front_can_read(fd->chr.be), sizeof(buf));

    if (!room) {
        fd->in_watch = 0;
        return false;
    }
    ssize_t n = read(in_fd, buf, room);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return true;
    if (n <= 0) {
        close_input(fd);
        fd->input_ended = true;
        front_event(fd->chr.be, CHAR_EVENT_CLOSED);
        return false;
    }
    front_read(fd->chr.be, buf, (size_t)n);
    return fd->in_fd >= 0;
}

static void fd_accept_input(Chardev *chr, CharBackend *be)
{
    FdChardev *fd = (FdChardev *)chr;

    if (fd->in_fd >= 0 && !fd->in_watch && front_can_read(be))
        fd->in_watch = event_loop_watch(event_loop_main(), fd->in_fd, G_IO_IN | G_IO_HUP | G_IO_ERR, input_ready, fd);
}

static void output_failed(FdChardev *fd, int err)
{
    if (err != EPIPE && err != EIO)
        log_warn("character device '%s': %s; further output is dropped", fd->chr.id, g_strerror(err));
    close(fd->out_fd);
    fd->out_fd = -1;
}

/* There is room, or an error the next write will find. */
static bool output_ready(int out_fd, GIOCondition events, void *opaque)
{
    FdChardev *fd = opaque;

    fd->out_watch = 0;
    front_writable(fd->chr.be);
    return false;
}

static size_t fd_write(Chardev *chr, const uint8_t *buf, size_t len)
{
    FdChardev *fd = (FdChardev *)chr;
    size_t done = 0;

    while (done < len && fd->out_fd >= 0 && !fd->out_watch) {
        ssize_t n = write(fd->out_fd, buf + done, len - done);
        if (n >= 0)
            done += (size_t)n;
        else if (errno == EAGAIN)
            fd->out_watch = event_loop_watch(event_loop_main(), fd->out_fd, G_IO_OUT | G_IO_HUP | G_IO_ERR,
                                             output_ready, fd);
        else if (errno != EINTR)
            output_failed(fd, errno);
    }
    return fd->out_fd >= 0 ? done : len;
}

/* After the end of its input it is closed, as the front end was told; output may go on. */
static bool fd_is_open(const Chardev *chr)
{
    return !((const FdChardev *)chr)->input_ended;
}

static void fd_release(Chardev *chr)
{
    FdChardev *fd = (FdChardev *)chr;

    if (fd->in_watch)
        event_loop_unwatch(event_loop_main(), fd->in_watch);
    if (fd->out_watch)
        event_loop_unwatch(event_loop_main(), fd->out_watch);
    close_input(fd);
    if (fd->out_fd >= 0)
        close(fd->out_fd);
    if (fd->on_release)
        fd->on_release();
}

static const ChardevOps fd_ops = {
    .kind = "fd",
    .instance_size = sizeof(FdChardev),
    .is_open = fd_is_open,
    .write = fd_write,
    .accept_input = fd_accept_input,
    .release = fd_release,
};

Chardev *chardev_new_fds(const char *id, int in_fd, int out_fd, GError **errp)
{
    FdChardev *fd = (FdChardev *)chardev_new(&fd_ops, id, errp);

    if (fd) {
        fd->in_fd = in_fd;
        fd->out_fd = out_fd;
    }
    return (Chardev *)fd;
}

void chardev_fds_on_release(Chardev *chr, void (*fn)(void))
{
    ((FdChardev *)chr)->on_release = fn;
}

/* Takes over both descriptors, also on failure. */
static Chardev *new_or_close(const char *id, int in_fd, int out_fd, GError **errp)
{
    Chardev *chr = chardev_new_fds(id, in_fd, out_fd, errp);

    if (!chr) {
        if (in_fd >= 0)
            close(in_fd);
        close(out_fd);
    }
    return chr;
}

Chardev *chardev_new_file(const char *id, const char *path, bool append, const char *input_path, GError **errp)
{
    int in = -1, out;

    /* The input first: a mistake there leaves the output file as it was. */
    if (input_path) {
        in = host_open(input_path, O_RDONLY | O_NONBLOCK, 0, "character device's input", errp);
        if (in < 0)
            return NULL;
    }
    /* Non-blocking, so that a FIFO nobody reads is an error and not a program that hangs. */
    out = host_open(path, O_WRONLY | O_CREAT | O_NONBLOCK | (append ? O_APPEND : O_TRUNC), 0644, "character device",
                    errp);
    if (out < 0) {
        if (in >= 0)
            close(in);
        return NULL;
    }
    return new_or_close(id, in, out, errp);
}

/*
 * Both ends of each FIFO are ours, as with QEMU: its other users come and go unnoticed, there is no
 * end of input, and what nobody reads waits in the pipe until it is full and holds the guest back.
 */
Chardev *chardev_new_pipe(const char *id, const char *path, GError **errp)
{
    g_autofree char *in_path = g_strconcat(path, ".in", NULL);
    g_autofree char *out_path = g_strconcat(path, ".out", NULL);
    bool pair = access(in_path, F_OK) == 0 || access(out_path, F_OK) == 0;
    int in, out;

    if (!pair && access(path, F_OK) != 0) {
        error_set(errp, "path=%s: there is neither %s nor %s; make them with 'mkfifo %s %s'", path, in_path, path,
                  in_path, out_path);
        return NULL;
    }
    in = host_open(pair ? in_path : path, O_RDWR | O_NONBLOCK, 0, "character device's input", errp);
    if (in < 0)
        return NULL;
    out = host_open(pair ? out_path : path, O_RDWR | O_NONBLOCK, 0, "character device's output", errp);
    if (out < 0) {
        close(in);
        return NULL;
    }
    return new_or_close(id, in, out, errp);
}
