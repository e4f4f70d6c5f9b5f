/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Image locking: two processes must not write one image, nor one write what another builds upon.
 *
 * The protocol is the one QEMU and its tools use, so they and we see each other. Each permission has a number n. Who
 * uses it holds a read lock on byte 100 + n; who does not want others to use it, one on byte 200 + n. Read locks never
 * collide, so both are then tested for with F_OFD_GETLK:
 *
 *     permission       n    writer          reader
 *     consistent read  0    uses            uses
 *     write            1    uses, forbids   forbids
 *     resize           3    uses, forbids   forbids
 *
 * The locks belong to the open file description and vanish with it, also by kill -9.
 */
#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "core/error.h"
#include "src/block/file-int.h"

#define LOCK_USES 100
#define LOCK_FORBIDS 200

enum { PERM_READ = 1 << 0, PERM_WRITE = 1 << 1, PERM_RESIZE = 1 << 3, PERM_BITS = 4 };

static int lock_byte(int fd, off_t at)
{
    struct flock lock = {.l_type = F_RDLCK, .l_whence = SEEK_SET, .l_start = at, .l_len = 1};
    int rc;

    do {
        rc = fcntl(fd, F_OFD_SETLK, &lock);
    } while (rc < 0 && errno == EINTR);
    return rc < 0 ? -errno : 0;
}

/* 0: nobody else holds the byte; 1: somebody does; -errno. */
static int byte_is_held(int fd, off_t at)
{
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = at, .l_len = 1};

    if (fcntl(fd, F_OFD_GETLK, &lock) < 0)
        return -errno;
    return lock.l_type != F_UNLCK;
}

static int lock_bits(int fd, off_t base, unsigned bits)
{
    for (unsigned n = 0; n < PERM_BITS; n++) {
        int ret = bits & 1u << n ? lock_byte(fd, base + n) : 0;
        if (ret < 0)
            return ret;
    }
    return 0;
}

static int bits_held(int fd, off_t base, unsigned bits)
{
    for (unsigned n = 0; n < PERM_BITS; n++) {
        int ret = bits & 1u << n ? byte_is_held(fd, base + n) : 0;
        if (ret)
            return ret;
    }
    return 0;
}

static bool in_use(const FileNode *file, bool writer_there, GError **errp)
{
    if (writer_there)
        return error_set(errp, "image '%s' is in use: another process writes it; stop that one, or give this drive "
                         "a copy or an overlay", file->path);
    return error_set(errp, "image '%s' is in use by another process, so it cannot be written here; stop that one, "
                     "or use read-only=on or snapshot=on", file->path);
}

bool file_lock_image(FileNode *file, GError **errp)
{
    unsigned uses = file->node.read_only ? PERM_READ : PERM_READ | PERM_WRITE | PERM_RESIZE;
    unsigned forbids = PERM_WRITE | PERM_RESIZE;
    int ret;

    if (file->locking == FILE_LOCKING_OFF || (file->node.force_share && file->node.read_only))
        return true;
    ret = lock_bits(file->fd, LOCK_USES, uses);
    if (ret == 0)
        ret = lock_bits(file->fd, LOCK_FORBIDS, forbids);
    if (ret == 0) {
        int writer = bits_held(file->fd, LOCK_USES, forbids);
        int forbidden = bits_held(file->fd, LOCK_FORBIDS, uses);
        if (writer > 0 || forbidden > 0)
            return in_use(file, writer > 0, errp);
        ret = MIN(writer, forbidden);
    }
    if (ret < 0 && (ret == -EAGAIN || ret == -EACCES))
        return in_use(file, true, errp);
    /* A file system without locks (some network mounts) is no reason to refuse, unless the user insists. */
    if (ret < 0 && file->locking == FILE_LOCKING_ON)
        return error_set_errno(errp, -ret, "cannot lock image '%s'; use locking=off if nobody else can open it", file->path);
    return true;
}

void file_unlock_image(FileNode *file)
{
    struct flock all = {.l_type = F_UNLCK, .l_whence = SEEK_SET, .l_start = LOCK_USES, .l_len = LOCK_FORBIDS + PERM_BITS - LOCK_USES};

    fcntl(file->fd, F_OFD_SETLK, &all); /* there may be none */
}
