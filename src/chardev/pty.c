/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A pseudo-terminal as a character backend (pty(7)): the user opens the slave with screen or the
 * like. The name is printed on stdout, in QEMU's words, which scripts look for.
 *
 * A slave nobody has open hangs up the master (POLLHUP). There is no event for its being opened, so
 * that is looked for whenever the guest writes, and once a second.
 *
 * Locking: machine_lock.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <termios.h>
#include <unistd.h>

#include "core/error.h"
#include "src/chardev/stream.h"

#define LOOK_INTERVAL_NS NS_PER_SEC

typedef struct PtyChardev {
    CharStream stream;
    int master;
    Timer look_timer;
} PtyChardev;

static bool slave_is_open(const PtyChardev *pty)
{
    struct pollfd pfd = {.fd = pty->master, .events = POLLOUT};

    return poll(&pfd, 1, 0) >= 0 && !(pfd.revents & POLLHUP);
}

static void look(void *opaque)
{
    PtyChardev *pty = opaque;

    if (pty->stream.fd >= 0)
        return;
    if (slave_is_open(pty)) {
        timer_del(&pty->look_timer);
        stream_connect(&pty->stream, pty->master);
    } else {
        timer_mod(&pty->look_timer, clock_get_ns(VMCLOCK_MONO) + LOOK_INTERVAL_NS);
    }
}

static void slave_closed(CharStream *stream, int fd)
{
    PtyChardev *pty = (PtyChardev *)stream;

    timer_mod(&pty->look_timer, clock_get_ns(VMCLOCK_MONO) + LOOK_INTERVAL_NS);
}

static const StreamOps stream_ops = {.gone = slave_closed};

static size_t pty_write(Chardev *chr, const uint8_t *buf, size_t len)
{
    look(chr);
    return stream_write(chr, buf, len);
}

static void pty_release(Chardev *chr)
{
    PtyChardev *pty = (PtyChardev *)chr;

    stream_release(&pty->stream);
    timer_release(&pty->look_timer);
    close(pty->master);
}

static const ChardevOps pty_ops = {
    .kind = "pty",
    .instance_size = sizeof(PtyChardev),
    .is_open = stream_is_open,
    .write = pty_write,
    .accept_input = stream_accept_input,
    .release = pty_release,
};

/* Opening and closing the slave once also makes the master report that nobody has it. */
static bool make_raw(const char *slave)
{
    int fd = open(slave, O_RDWR | O_NOCTTY | O_CLOEXEC);
    struct termios modes;
    bool ok = fd >= 0 && tcgetattr(fd, &modes) == 0;

    if (ok) {
        cfmakeraw(&modes);
        ok = tcsetattr(fd, TCSANOW, &modes) == 0;
    }
    if (fd >= 0)
        close(fd);
    return ok;
}

static int open_master(char *name, size_t size, GError **errp)
{
    int fd = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);

    if (fd >= 0 && grantpt(fd) == 0 && unlockpt(fd) == 0 && ptsname_r(fd, name, size) == 0 && make_raw(name) &&
        fcntl(fd, F_SETFL, O_RDWR | O_NONBLOCK) == 0)
        return fd;
    error_set_errno(errp, errno, "cannot make a pseudo-terminal (is /dev/pts mounted, with ptys left?)");
    if (fd >= 0)
        close(fd);
    return -1;
}

Chardev *chardev_new_pty(const char *id, GError **errp)
{
    char name[64];
    int master = open_master(name, sizeof(name), errp);

    if (master < 0)
        return NULL;
    PtyChardev *pty = (PtyChardev *)chardev_new(&pty_ops, id, errp);
    if (!pty) {
        close(master);
        return NULL;
    }
    pty->master = master;
    chardev_set_filename(&pty->stream.chr, g_strdup_printf("pty:%s", name));
    stream_init(&pty->stream, &stream_ops);
    timer_init(&pty->look_timer, event_loop_main(), VMCLOCK_MONO, look, pty);
    look(pty);
    printf("char device redirected to %s (label %s)\n", name, id);
    fflush(stdout);
    return &pty->stream.chr;
}
