/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * bench: so many requests, so many at once, the way a device makes them.
 *
 * Offsets go up by the step and wrap around; with --random they are anywhere, by a generator with a fixed seed, at multiples
 * of the buffer's size. Two buffers are shared by all requests: what is measured is the way to the image, not the memory's
 * size. Reads into one alone would have two CPUs that copy at the same time fight for it, as no guest has them do; writes
 * share one.
 *
 * Requests are made and complete on a loop of their own, as those of a disk on an I/O thread are.
 *
 * Locking: one thread.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "block/backend.h"
#include "core/error.h"
#include "core/host.h"
#include "core/loop.h"
#include "src/img/img.h"

#define MAX_BUFFERS 2 /* together no more than a cache of one CPU, at 1 MiB each */

typedef struct BenchArgs {
    ImgArgs base;
    uint64_t count, depth, flush_interval, pattern, size, step, offset;
    bool writes, native, no_drain, random;
    const char *aio;
} BenchArgs;

typedef struct Bench Bench;

typedef struct Slot {
    BlockRequest req;
    struct iovec iov;
    Bench *bench;
} Slot;

struct Bench {
    const BenchArgs *args;
    BlockBackend *blk;
    EventLoop *loop;
    uint64_t image_size, offset, random;
    uint64_t to_start; /* requests, flushes not counted */
    uint64_t since_flush;
    bool flushing;
    uint64_t running;
    GSList *idle;  /* of Slot */
    Slot flush;
    int error;     /* the first one, or 0 */
};

static uint64_t next_offset(Bench *b)
{
    uint64_t at = b->offset;

    if (b->args->random) { /* xorshift64* */
        b->random ^= b->random >> 12;
        b->random ^= b->random << 25;
        b->random ^= b->random >> 27;
        return (b->random * 0x2545f4914f6cdd1dull >> 16) % (b->image_size / b->args->size) * b->args->size;
    }
    b->offset += b->args->step;
    if (b->image_size <= b->args->size)
        b->offset = 0;
    else
        b->offset %= b->image_size - b->args->size;
    return at;
}

static void fill_queue(Bench *b);

static void ended(Bench *b, int ret)
{
    b->running--;
    if (ret < 0 && !b->error)
        b->error = ret;
    fill_queue(b);
}

static void request_done(BlockRequest *req, int ret)
{
    Slot *slot = req->opaque;
    Bench *b = slot->bench;

    b->idle = g_slist_prepend(b->idle, slot);
    ended(b, ret);
}

static void flush_done(BlockRequest *req, int ret)
{
    Bench *b = ((Slot *)req->opaque)->bench;

    b->flushing = false;
    ended(b, ret);
}

static void start_request(Bench *b, Slot *slot)
{
    slot->req = (BlockRequest){
        .op = b->args->writes ? BLOCK_WRITE : BLOCK_READ, .offset = next_offset(b), .bytes = b->args->size, .iov = &slot->iov,
        .iovcnt = 1, .loop = b->loop, .done = request_done, .opaque = slot,
    };
    b->running++;
    b->to_start--;
    b->since_flush++;
    blk_submit(b->blk, &slot->req);
}

static void start_flush(Bench *b)
{
    b->flush.req = (BlockRequest){.op = BLOCK_FLUSH, .loop = b->loop, .done = flush_done, .opaque = &b->flush};
    b->flushing = true;
    b->since_flush = 0;
    b->running++;
    blk_submit(b->blk, &b->flush.req);
}

static bool flush_is_due(const Bench *b)
{
    return b->args->flush_interval && b->since_flush >= b->args->flush_interval;
}

/* With drains, a flush waits for all before it, and all after wait for it. */
static void fill_queue(Bench *b)
{
    bool drain = !b->args->no_drain;

    blk_plug();
    while (b->idle && b->to_start && !b->error && !(b->flushing && drain) && !(flush_is_due(b) && drain)) {
        Slot *slot = b->idle->data;
        b->idle = g_slist_delete_link(b->idle, b->idle);
        start_request(b, slot);
        if (flush_is_due(b) && !drain && !b->flushing)
            start_flush(b);
    }
    if (flush_is_due(b) && drain && !b->running && !b->error)
        start_flush(b);
    blk_unplug();
}

static void run_on_loop(void *opaque)
{
    Bench *b = opaque;

    fill_queue(b);
    blk_drain(b->blk); /* each that ends starts the next */
    event_loop_quit(b->loop);
}

static unsigned buffer_count(const BenchArgs *args)
{
    return args->writes ? 1 : (unsigned)MIN(args->depth, MAX_BUFFERS);
}

/* How long they took; b->error says how they ended. */
static int64_t run_all(Bench *b, char *bufs)
{
    g_autofree Slot *slots = g_new0(Slot, b->args->depth);

    b->flush.bench = b;
    b->loop = event_loop_new();
    for (uint64_t i = 0; i < b->args->depth; i++) {
        slots[i] = (Slot){.bench = b, .iov = {bufs + i % buffer_count(b->args) * b->args->size, b->args->size}};
        b->idle = g_slist_prepend(b->idle, &slots[i]);
    }
    int64_t start = clock_get_ns(VMCLOCK_MONO);
    event_loop_call(b->loop, run_on_loop, b);
    event_loop_run(b->loop);
    int64_t ns = clock_get_ns(VMCLOCK_MONO) - start;
    event_loop_free(b->loop);
    g_slist_free(b->idle);
    return ns;
}

static bool bench(Bench *b, GError **errp)
{
    uint64_t bytes = buffer_count(b->args) * b->args->size;
    char *bufs = host_io_alloc(bytes);
    int64_t ns;

    if (!bufs)
        return error_set(errp, "no memory for %" G_GUINT64_FORMAT " bytes", bytes);
    memset(bufs, (int)b->args->pattern, bytes);
    ns = run_all(b, bufs);
    free(bufs);
    if (b->error)
        return error_set_errno(errp, -b->error, "a request to '%s' failed", blk_root(b->blk)->filename);
    if (!b->args->base.quiet)
        printf("Run completed in %.3f seconds.\n", (double)ns / (double)NS_PER_SEC);
    return true;
}

static void print_plan(const Bench *b)
{
    const BenchArgs *args = b->args;

    printf("Sending %" G_GUINT64_FORMAT " %s requests, %" G_GUINT64_FORMAT " bytes each, %" G_GUINT64_FORMAT " in parallel ",
           args->count, args->writes ? "write" : "read", args->size, args->depth);
    if (args->random)
        puts("(at random offsets)");
    else
        printf("(starting at offset %" G_GUINT64_FORMAT ", step size %" G_GUINT64_FORMAT ")\n", args->offset, args->step);
    if (args->flush_interval)
        printf("Sending flush every %" G_GUINT64_FORMAT " requests%s\n", args->flush_interval, args->no_drain ? ", without draining" : "");
}

static bool check_args(BenchArgs *args, GError **errp)
{
    if (args->flush_interval && !args->writes)
        return error_set_code(errp, VMM_ERROR_USAGE, "--flush-interval is for writes (-w)");
    if (args->no_drain && !args->flush_interval)
        return error_set_code(errp, VMM_ERROR_USAGE, "--no-drain is for --flush-interval");
    if (args->random && (args->step || args->offset))
        return error_set_code(errp, VMM_ERROR_USAGE, "--random has neither -o nor -S");
    if (args->native && !args->aio)
        args->aio = "native";
    if (!args->step)
        args->step = args->size;
    return true;
}

static int run(void *opaque, GError **errp)
{
    BenchArgs *args = opaque;
    g_autoptr(BlockNode) node = NULL;
    unsigned write_flags;

    if (!check_args(args, errp) || !img_cache_write_flags(args->base.cache, &write_flags, errp))
        return -1;
    ImgOpen how = {.format = args->base.format, .cache = args->base.cache, .aio = args->aio, .image_opts = args->base.image_opts,
                   .force_share = args->base.force_share, .flags = args->writes ? BLOCK_OPEN_RDWR : 0};
    node = img_open(args->base.operands[0], &how, errp);
    if (!node)
        return -1;
    Bench b = {.args = args, .image_size = block_node_size(node), .offset = args->offset, .random = 0x9e3779b97f4a7c15ull,
               .to_start = args->count};
    if (b.image_size < args->size || args->offset > b.image_size - args->size) {
        error_set_code(errp, VMM_ERROR_USAGE, "image '%s' has only %" G_GUINT64_FORMAT " bytes", node->filename, b.image_size);
        return -1;
    }
    if (!args->base.quiet)
        print_plan(&b);
    b.blk = blk_new(NULL, node);
    blk_set_error_policy(b.blk, BLOCK_ON_ERROR_REPORT, BLOCK_ON_ERROR_REPORT);
    blk_set_write_cache(b.blk, !write_flags);
    bool ok = bench(&b, errp);
    blk_unref(b.blk);
    return ok ? 0 : -1;
}

static const ImgOption options[] = {
    {'c', NULL, "COUNT", IMG_NUMBER, offsetof(BenchArgs, count), "requests", "75000", .min = 1},
    {'d', NULL, "DEPTH", IMG_NUMBER, offsetof(BenchArgs, depth), "at once", "64", .min = 1, .max = 4096},
    {'s', NULL, "SIZE", IMG_SIZE, offsetof(BenchArgs, size), "bytes of each", "4K", .min = 512, .max = 64u << 20},
    {'S', NULL, "STEP", IMG_SIZE, offsetof(BenchArgs, step), "from one offset to the next; 0: SIZE", "0"},
    {'o', NULL, "OFFSET", IMG_SIZE, offsetof(BenchArgs, offset), "the first one", "0"},
    {0, "random", NULL, IMG_FLAG, offsetof(BenchArgs, random), "anywhere instead"},
    {'w', NULL, NULL, IMG_FLAG, offsetof(BenchArgs, writes), "write; the image's contents are lost"},
    {0, "pattern", "BYTE", IMG_NUMBER, offsetof(BenchArgs, pattern), "what is written", "0", .max = 255},
    {0, "flush-interval", "N", IMG_NUMBER, offsetof(BenchArgs, flush_interval), "flush after so many writes; 0: never", "0"},
    {0, "no-drain", NULL, IMG_FLAG, offsetof(BenchArgs, no_drain), "flush while writes are under way"},
    {'i', "aio", "AIO", IMG_STRING, offsetof(BenchArgs, aio), "threads, native or io_uring"},
    {'n', "native", NULL, IMG_FLAG, offsetof(BenchArgs, native), "the same as -i native"},
    IMG_OPT_FORMAT, IMG_OPT_CACHE("writeback"), IMG_OPT_IMAGE_OPTS, IMG_OPT_SHARE, IMG_OPT_QUIET, IMG_OPT_END,
};

const ImgCommand img_bench = {
    "bench", "FILENAME", "measures reads and writes", options, sizeof(BenchArgs), 1, 1, 1, run,
};
