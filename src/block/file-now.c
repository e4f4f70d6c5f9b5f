/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Transfers between the page cache and memory, done at once by whoever asks.
 *
 * A worker or an engine costs switches between threads, which take several times as long as copying a few pages.
 *
 *     reads     RWF_NOWAIT: what the page cache does not have is the engine's
 *     writes    RWF_NOWAIT where the file system knows it (XFS, btrfs, block devices). Where it does not (ext4) a plain write,
 *               but only to a disk of this host, whose server cannot go away in the midst of it, and from the thread of a
 *               loop that is not the main one: nobody waits for that but its own requests
 *
 * A plain write can be held up: the host slows down who dirties pages faster than its disk takes them. When writes take long on
 * average, they are the engine's for several times as long, so that the thread is there for others most of the time. The average
 * is what tells that from another process having its turn on the CPU in the midst of one.
 *
 * Locking: what is learnt is in atomics; threads that race learn a little less.
 */
#include <errno.h>
#include <linux/magic.h>
#include <sys/vfs.h>

#include "core/host.h"
#include "core/lock.h"
#include "src/block/file-int.h"

#define SMALL_BYTES (64u << 10)       /* copied sooner than another thread is awake */
#define NOW_BYTES (1u << 20)
#define AVERAGE_OF 16                 /* transfers that were waited for, the last ones weighing most */
#define PATIENCE_NS (1 * NS_PER_MS)   /* for their average */
#define PAUSE_FACTOR 4                /* how much longer than the transfers the pause is */
#define MISSES_IN_A_ROW 16            /* from then on only one in as many is tried */

void file_now_init(FileNode *file)
{
    struct statfs fs;

    file->now.local = fstatfs(file->fd, &fs) == 0
                      && (fs.f_type == EXT4_SUPER_MAGIC || fs.f_type == TMPFS_MAGIC || fs.f_type == OVERLAYFS_SUPER_MAGIC);
}

/* Looks for one worth a try after many that were not. */
static bool is_promising(const FileNode *file, bool write)
{
    unsigned misses = __atomic_load_n(&file->now.misses[write], __ATOMIC_RELAXED);

    return misses < MISSES_IN_A_ROW || misses % MISSES_IN_A_ROW == 0;
}

static void note_outcome(FileNode *file, bool write, ssize_t n)
{
    unsigned misses = n > 0 ? 0 : __atomic_load_n(&file->now.misses[write], __ATOMIC_RELAXED) + 1;

    __atomic_store_n(&file->now.misses[write], misses, __ATOMIC_RELAXED);
    if (n == -EOPNOTSUPP)
        __atomic_store_n(&file->now.unknown[write], true, __ATOMIC_RELAXED);
}

static bool transfer_nowait(FileNode *file, const BlockIo *io, bool write)
{
    ssize_t n = -EAGAIN;

    if (is_promising(file, write))
        n = write ? host_pwritev_nowait(file->fd, io->iov, io->iovcnt, (off_t)io->offset)
                  : host_preadv_nowait(file->fd, io->iov, io->iovcnt, (off_t)io->offset);
    note_outcome(file, write, n);
    return n >= 0 && (uint64_t)n == io->bytes;
}

/* The thread of a loop of its own, which holds up nobody else. */
static bool may_be_held_up(void)
{
    EventLoop *loop = event_loop_current();

    return loop && loop != event_loop_main() && !machine_lock_held();
}

bool file_may_wait(const FileNode *file)
{
    return may_be_held_up() && clock_get_ns(VMCLOCK_MONO) >= __atomic_load_n(&file->now.resume_ns, __ATOMIC_RELAXED);
}

void file_waited(FileNode *file, int64_t start_ns)
{
    int64_t end_ns = clock_get_ns(VMCLOCK_MONO);
    int64_t average_ns = __atomic_load_n(&file->now.average_ns, __ATOMIC_RELAXED);

    average_ns += (end_ns - start_ns - average_ns) / AVERAGE_OF;
    if (average_ns > PATIENCE_NS) {
        __atomic_store_n(&file->now.resume_ns, end_ns + PAUSE_FACTOR * AVERAGE_OF * average_ns, __ATOMIC_RELAXED);
        average_ns = 0;
    }
    __atomic_store_n(&file->now.average_ns, average_ns, __ATOMIC_RELAXED);
}

static bool write_plainly(FileNode *file, const BlockIo *io)
{
    if (!file_may_wait(file))
        return false;
    int64_t start_ns = clock_get_ns(VMCLOCK_MONO);
    int ret = host_pwritev(file->fd, io->iov, io->iovcnt, (off_t)io->offset, 0);
    file_waited(file, start_ns);
    return ret == 0;
}

/* Of several large reads at a time others copy some; writes of one file wait for each other in any case. */
static bool is_now_size(const BlockIo *io)
{
    if (io->op == BLOCK_WRITE || io->bytes <= SMALL_BYTES)
        return io->bytes <= NOW_BYTES;
    return block_loop_may_copy(io->loop, io->bytes);
}

bool file_transfer_now(FileNode *file, const BlockIo *io)
{
    bool write = io->op == BLOCK_WRITE;

    if (file->node.cache_direct || (write && io->flags & BLOCK_FUA) || !is_now_size(io))
        return false;
    if (!__atomic_load_n(&file->now.unknown[write], __ATOMIC_RELAXED))
        return transfer_nowait(file, io, write);
    return write && file->now.local && write_plainly(file, io);
}
