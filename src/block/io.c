/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Transfers: to the engine or to a worker, and back to the submitter's loop (block/io.h).
 *
 * Nothing is lost between the eventfd and the queue: reap empties the eventfd before it looks, and
 * whoever adds a completion signals after it is in the queue. A completion's callback may wait for
 * others (drain), so each is taken out alone before its callback runs.
 *
 * Locking: BlockLoop.lock is a leaf.
 */
#include "block/io.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "core/lock.h"
#include "core/worker.h"
#include "src/block/block-int.h"

typedef struct BlockLoop {
    EventLoop *loop;
    int efd;
    guint watch;
    BlockLoopEngine *engines; /* atomic; grows only */
    unsigned reaping;         /* the loop's thread: how deep it is in block_loop_reap */
    unsigned at_workers;      /* atomic: transfers */

    pthread_mutex_t lock;
    BlockIo *done, **done_tail;
} BlockLoop;

static __thread bool standing_in; /* for the main loop */
static __thread unsigned plug_depth;
static __thread uint64_t now_bytes; /* of large transfers, since this thread last began a batch, or the end of one */
static __thread EventLoop *plugged_loop; /* where engines hold something back for this thread */

/* --- the loop's side --- */

static void signal_efd(const BlockLoop *bl)
{
    uint64_t one = 1;
    ssize_t n = write(bl->efd, &one, sizeof(one));

    (void)n; /* EAGAIN: signalled a great many times already */
}

static bool efd_ready(int fd, GIOCondition events, void *opaque)
{
    block_loop_reap(((BlockLoop *)opaque)->loop);
    return true;
}

static void *block_loop_make(EventLoop *loop)
{
    BlockLoop *bl = g_new0(BlockLoop, 1);

    bl->loop = loop;
    bl->efd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (bl->efd < 0)
        g_error("eventfd: %s", g_strerror(errno));
    pthread_mutex_init(&bl->lock, NULL);
    bl->done_tail = &bl->done;
    bl->watch = event_loop_watch(loop, bl->efd, G_IO_IN, efd_ready, bl);
    return bl;
}

static void block_loop_free(void *data)
{
    BlockLoop *bl = data;

    g_assert(!bl->done);
    event_loop_unwatch(bl->loop, bl->watch);
    while (bl->engines) {
        BlockLoopEngine *engine = bl->engines;
        bl->engines = engine->next;
        engine->free(engine);
    }
    close(bl->efd);
    pthread_mutex_destroy(&bl->lock);
    g_free(bl);
}

static BlockLoop *block_loop_of(EventLoop *loop)
{
    static const LoopDataType type = {block_loop_make, block_loop_free};

    return event_loop_data(loop, &type);
}

static void flush_engines(BlockLoop *bl)
{
    for (BlockLoopEngine *e = __atomic_load_n(&bl->engines, __ATOMIC_ACQUIRE); e; e = e->next) {
        if (e->flush)
            e->flush(e);
    }
}

/* --- plugging --- */

bool block_loop_plugged(void)
{
    return plug_depth > 0;
}

void blk_plug(void)
{
    if (plug_depth++ == 0)
        now_bytes = 0;
}

void blk_unplug(void)
{
    g_assert(plug_depth);
    if (--plug_depth == 0 && plugged_loop) {
        flush_engines(block_loop_of(plugged_loop));
        plugged_loop = NULL;
    }
}

bool block_loop_may_copy(EventLoop *loop, uint64_t bytes)
{
    if (now_bytes + bytes > BLOCK_COPY_BUDGET || __atomic_load_n(&block_loop_of(loop)->at_workers, __ATOMIC_RELAXED))
        return false;
    now_bytes += bytes;
    return true;
}

/* Submissions for several loops within one plug: only the last one's may wait. */
static void note_plugged(EventLoop *loop)
{
    if (!plug_depth || plugged_loop == loop)
        return;
    if (plugged_loop)
        flush_engines(block_loop_of(plugged_loop));
    plugged_loop = loop;
}

/* --- completions --- */

static BlockIo *take_done(BlockLoop *bl)
{
    BlockIo *io;

    pthread_mutex_lock(&bl->lock);
    io = bl->done;
    if (io && !(bl->done = io->next)) {
        bl->done_tail = &bl->done;
        now_bytes = 0; /* nothing else waits */
    }
    pthread_mutex_unlock(&bl->lock);
    return io;
}

static void empty_efd(const BlockLoop *bl)
{
    uint64_t signals;
    ssize_t n = read(bl->efd, &signals, sizeof(signals));

    (void)n; /* EAGAIN: nobody signalled; whoever asks wants to know all the same */
}

static unsigned reap(BlockLoop *bl)
{
    unsigned count = 0;
    BlockIo *io;

    bl->reaping++;
    blk_plug(); /* what the callbacks submit goes to the host together */
    for (BlockLoopEngine *e = __atomic_load_n(&bl->engines, __ATOMIC_ACQUIRE); e; e = e->next)
        count += e->collect(e);
    while (count < BLOCK_REAP_BUDGET && (io = take_done(bl))) {
        io->done(io);
        count++;
    }
    blk_unplug();
    bl->reaping--;
    if (count >= BLOCK_REAP_BUDGET)
        signal_efd(bl);
    return count;
}

unsigned block_loop_reap(EventLoop *loop)
{
    BlockLoop *bl = block_loop_of(loop);

    empty_efd(bl);
    return reap(bl);
}

/* On its own thread, what is added while it reaps is reaped; so it is by who stands in. */
static bool will_look(const BlockLoop *bl)
{
    return (event_loop_current() == bl->loop && bl->reaping) || (standing_in && bl->loop == event_loop_main());
}

void block_loop_stand_in(void)
{
    g_assert(machine_lock_held() && !standing_in);
    standing_in = true;
}

void block_loop_stand_down(void)
{
    BlockLoop *bl = block_loop_of(event_loop_main());
    unsigned count = 0;
    BlockIo *io;

    while (count < BLOCK_REAP_BUDGET && (io = take_done(bl))) {
        io->done(io);
        count++;
    }
    standing_in = false;
    if (count == BLOCK_REAP_BUDGET)
        signal_efd(bl);
}

void block_loop_wait(EventLoop *loop)
{
    BlockLoop *bl = block_loop_of(loop);
    struct pollfd pfd = {.fd = bl->efd, .events = POLLIN};

    flush_engines(bl);
    if (plugged_loop && plugged_loop != loop)
        flush_engines(block_loop_of(plugged_loop));
    unsigned depth = machine_lock_release();
    int ready = poll(&pfd, 1, -1); /* EINTR: the caller looks again */
    machine_lock_restore(depth);
    if (ready > 0)
        empty_efd(bl);
    reap(bl);
}

void block_loop_kick(EventLoop *loop)
{
    signal_efd(block_loop_of(loop));
}

int block_loop_eventfd(EventLoop *loop)
{
    return block_loop_of(loop)->efd;
}

BlockLoopEngine *block_loop_engine(EventLoop *loop, const void *kind, BlockLoopEngine *(*make)(EventLoop *loop))
{
    static pthread_mutex_t make_lock = PTHREAD_MUTEX_INITIALIZER;
    BlockLoop *bl = block_loop_of(loop);
    BlockLoopEngine *e;

    for (e = __atomic_load_n(&bl->engines, __ATOMIC_ACQUIRE); e; e = e->next) {
        if (e->kind == kind)
            return e;
    }
    pthread_mutex_lock(&make_lock);
    for (e = bl->engines; e && e->kind != kind; e = e->next)
        ;
    if (!e && (e = make(loop))) {
        e->kind = kind;
        e->next = bl->engines;
        __atomic_store_n(&bl->engines, e, __ATOMIC_RELEASE);
    }
    pthread_mutex_unlock(&make_lock);
    return e;
}

/* --- a transfer --- */

void block_io_complete(BlockIo *io, int ret)
{
    BlockLoop *bl = block_loop_of(io->loop);
    bool first;

    io->ret = ret;
    io->next = NULL;
    pthread_mutex_lock(&bl->lock);
    first = !bl->done;
    *bl->done_tail = io;
    bl->done_tail = &io->next;
    pthread_mutex_unlock(&bl->lock);
    if (first && !will_look(bl))
        signal_efd(bl);
}

static void io_work(void *opaque)
{
    BlockIo *io = opaque;
    int ret = block_io_execute(io);

    __atomic_fetch_sub(&block_loop_of(io->loop)->at_workers, 1, __ATOMIC_RELAXED);
    block_io_complete(io, ret);
}

void block_io_punt(BlockIo *io)
{
    __atomic_fetch_add(&block_loop_of(io->loop)->at_workers, 1, __ATOMIC_RELAXED);
    worker_submit(io_work, NULL, NULL, io);
}

void block_io_submit(BlockIo *io)
{
    if (!plug_depth)
        now_bytes = 0;
    if (io->node->driver->submit) {
        note_plugged(io->loop);
        if (io->node->driver->submit(io->node, io))
            return;
    }
    block_io_punt(io);
}
