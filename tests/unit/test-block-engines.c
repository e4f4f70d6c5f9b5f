/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The ways a request reaches the host: each engine with each cache mode and format, many requests at a time, from the main
 * loop and from an I/O thread.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "block/backend.h"
#include "core/bits.h"
#include "core/thread.h"
#include "src/block/engine-op.h"

#define DISK (8 * MIB)
/* Each request keeps to its own, so they may run in any order. */
#ifdef __SANITIZE_THREAD__ /* each byte takes long */
#define SLOT (16 * KIB)
#else
#define SLOT (64 * KIB)
#endif
#define DEPTH 32
#define REQUESTS 600

typedef struct Load Load;

typedef struct Slot {
    Load *load;
    BlockRequest req;
    struct iovec iov[2];
    uint8_t *buf;        /* SLOT bytes, aligned */
    uint64_t offset;     /* of the slot on the disk */
    unsigned generation; /* what the slot holds was written in; 0: zeroes */
    bool writing;
} Slot;

struct Load {
    BlockBackend *blk;
    EventLoop *loop;
    Slot slots[DEPTH];
    uint64_t seed;
    unsigned depth; /* at most DEPTH */
    unsigned started, running;
    bool aligned;
};

static uint32_t next(Load *load, uint32_t below)
{
    load->seed = load->seed * 6364136223846793005ull + 1442695040888963407ull;
    return (uint32_t)((load->seed >> 33) % below);
}

static uint8_t pattern(const Slot *slot, uint64_t at)
{
    return slot->generation ? (uint8_t)(slot->generation * 31 + at / 512 + slot->offset / SLOT) : 0;
}

static void slot_start(Slot *slot);

static void slot_done(BlockRequest *req, int ret)
{
    Slot *slot = req->opaque;
    Load *load = slot->load;

    assert_int_equal(ret, 0);
    assert_ptr_equal(event_loop_current(), load->loop);
    if (!slot->writing) {
        uint64_t skip = req->offset - slot->offset;
        for (uint64_t i = 0; i < req->bytes; i += 97)
            assert_int_equal(slot->buf[skip + i], pattern(slot, skip + i));
    }
    load->running--;
    if (load->started < REQUESTS)
        slot_start(slot);
}

static void fill(Slot *slot)
{
    slot->generation++;
    for (uint64_t i = 0; i < SLOT; i++)
        slot->buf[i] = pattern(slot, i);
}

static void slot_start(Slot *slot)
{
    Load *load = slot->load;
    uint32_t skip = 0, bytes = SLOT;

    slot->writing = next(load, 2);
    if (slot->writing) {
        fill(slot);
    } else {
        uint32_t unit = load->aligned ? 4096 : 1;
        skip = next(load, SLOT / unit) * unit;
        bytes = unit * (1 + next(load, (SLOT - skip) / unit));
        memset(slot->buf, 0xcc, SLOT);
    }
    uint32_t first = load->aligned ? bytes / 2 & ~4095u : bytes / 3;
    slot->iov[0] = (struct iovec){slot->buf + skip, first};
    slot->iov[1] = (struct iovec){slot->buf + skip + first, bytes - first};
    slot->req = (BlockRequest){
        .op = slot->writing ? BLOCK_WRITE : BLOCK_READ, .offset = slot->offset + skip, .bytes = bytes, .iov = slot->iov,
        .iovcnt = 2, .loop = load->loop, .done = slot_done, .opaque = slot,
        .flags = slot->writing && next(load, 8) == 0 ? BLOCK_FUA : 0,
    };
    __atomic_store_n(&load->started, load->started + 1, __ATOMIC_RELEASE); /* a test may look from its own thread */
    load->running++;
    blk_submit(load->blk, &slot->req);
}

static void load_start(void *opaque)
{
    Load *load = opaque;

    blk_plug();
    for (unsigned i = 0; i < load->depth; i++)
        slot_start(&load->slots[i]);
    blk_unplug();
}

static void load_init(Load *load, BlockBackend *blk, EventLoop *loop, bool aligned)
{
    *load = (Load){.blk = blk, .loop = loop, .seed = 99, .depth = DEPTH, .aligned = aligned};
    for (unsigned i = 0; i < DEPTH; i++) {
        Slot *slot = &load->slots[i];
        void *buf = NULL;
        assert_int_equal(posix_memalign(&buf, 4096, SLOT), 0);
        slot->load = load;
        slot->buf = buf;
        slot->offset = (uint64_t)i * 3 * SLOT;
    }
}

/* Everything the slots hold, once more and blocking. */
static void load_verify(Load *load)
{
    g_autofree uint8_t *buf = g_malloc(SLOT);

    assert_int_equal(load->running, 0);
    assert_int_equal(load->started, REQUESTS);
    for (unsigned i = 0; i < DEPTH; i++) {
        Slot *slot = &load->slots[i];
        assert_int_equal(blk_pread(load->blk, slot->offset, buf, SLOT), 0);
        for (uint64_t at = 0; at < SLOT; at++)
            assert_int_equal(buf[at], pattern(slot, at));
        free(slot->buf);
    }
}

static char *image;

/* NULL: the host cannot. */
static BlockBackend *open_disk(const char *format, const char *aio, bool direct)
{
    g_autofree char *arg = g_strdup_printf("driver=%s,cache.direct=%s,file.driver=file,file.filename=%s,file.aio=%s", format,
                                           direct ? "on" : "off", image, aio);
    g_autoptr(KvNode) options = keyval_parse(arg, NULL, NULL);
    g_autoptr(GError) err = NULL;
    g_autoptr(BlockNode) node = NULL;

    unlink(image);
    assert_true(block_create(block_driver_find(format), image, NULL, DISK, true, &err));
    node = block_node_open(options, BLOCK_OPEN_RDWR, &err);
    if (!node) {
        print_message("%s\n", err->message);
        return NULL;
    }
    return blk_new("disk", node);
}

static void run_all(const char *aio, bool direct)
{
    static const char *const formats[] = {"raw", "qcow2"};

    for (unsigned i = 0; i < 4; i++) {
        BlockBackend *blk = open_disk(formats[i / 2], aio, direct);
        Load load;
        if (!blk)
            skip();
        load_init(&load, blk, event_loop_main(), i % 2);
        load_start(&load);
        while (load.running)
            blk_drain(blk);
        load_verify(&load);
        assert_int_equal(blk_flush(blk), 0);
        blk_unref(blk);
    }
}

static void worker_threads_serve_all_requests(void **state)
{
    run_all("threads", false);
    run_all("threads", true);
}

static void io_uring_serves_all_requests(void **state)
{
    run_all("io_uring", false);
    run_all("io_uring", true);
}

static void linux_aio_serves_all_requests(void **state)
{
    run_all("native", true);
}

static void linux_aio_without_o_direct_is_refused(void **state)
{
    assert_null(open_disk("raw", "native", false));
}

#define FLOOD 3000 /* more than a loop calls back at a time */

static void count_done(BlockRequest *req, int ret)
{
    assert_int_equal(ret, 0);
    ++*(unsigned *)req->opaque;
}

static void more_requests_than_a_reap_calls_back_all_complete(void **state)
{
    static const char *const engines[] = {"threads", "native", "io_uring"};
    g_autofree BlockRequest *reqs = g_new(BlockRequest, FLOOD);
    struct iovec iov = {.iov_len = 4096};

    assert_int_equal(posix_memalign(&iov.iov_base, 4096, 4096), 0);
    for (unsigned i = 0; i < 2 * G_N_ELEMENTS(engines); i++) {
        bool direct = i % 2 || engines[i / 2][0] == 'n';
        BlockBackend *blk = open_disk("raw", engines[i / 2], direct);
        unsigned done = 0;
        if (!blk)
            continue;
        blk_plug();
        for (unsigned n = 0; n < FLOOD; n++) {
            reqs[n] = (BlockRequest){.op = BLOCK_READ, .offset = n % 2000 * 4096, .bytes = 4096, .iov = &iov, .iovcnt = 1,
                                     .done = count_done, .opaque = &done};
            blk_submit(blk, &reqs[n]);
        }
        blk_unplug();
        blk_drain(blk);
        assert_int_equal(done, FLOOD);
        blk_unref(blk);
    }
    free(iov.iov_base);
}

static void *loop_thread(void *opaque)
{
    event_loop_run(opaque);
    return NULL;
}

static void requests_of_an_io_thread_complete_there(void **state)
{
    static const char *const engines[] = {"threads", "io_uring"};

    for (unsigned i = 0; i < G_N_ELEMENTS(engines); i++) {
        BlockBackend *blk = open_disk("qcow2", engines[i], false);
        EventLoop *loop = event_loop_new();
        pthread_t thread;
        Load load;
        if (!blk) {
            event_loop_free(loop);
            skip();
        }
        load_init(&load, blk, loop, true);
        assert_true(thread_create(&thread, "IO test", loop_thread, loop, NULL));
        event_loop_call(loop, load_start, &load);
        do /* from another thread: waits for what is in flight, more may follow */
            blk_drain(blk);
        while (__atomic_load_n(&load.started, __ATOMIC_ACQUIRE) < REQUESTS);
        blk_drain(blk);
        event_loop_quit(loop);
        pthread_join(thread, NULL);
        event_loop_free(loop);
        load_verify(&load);
        blk_unref(blk);
    }
}

typedef struct OwnLoop {
    Load *load;
    EventLoop *loop;
} OwnLoop;

static void work_and_quit(void *opaque)
{
    OwnLoop *own = opaque;

    load_start(own->load);
    blk_drain(own->load->blk); /* each that ends starts the next */
    event_loop_quit(own->loop);
}

static void a_loop_is_the_threads_only_while_it_runs(void **state)
{
    static const char *const engines[] = {"threads", "io_uring", "native"};
    EventLoop *before = event_loop_current();

    for (unsigned i = 0; i < G_N_ELEMENTS(engines); i++) {
        BlockBackend *blk = open_disk("qcow2", engines[i], engines[i][0] == 'n');
        OwnLoop own = {.load = &(Load){0}};
        if (!blk)
            continue;
        own.loop = event_loop_new();
        load_init(own.load, blk, own.loop, true);
        event_loop_call(own.loop, work_and_quit, &own);
        event_loop_run(own.loop);
        event_loop_free(own.loop);
        assert_ptr_equal(event_loop_current(), before);
        load_verify(own.load);
        blk_unref(blk); /* drains, on the loop there was before */
    }
}

static void requests_one_at_a_time_past_the_page_cache_are_served(void **state)
{
    static const char *const engines[] = {"io_uring", "native"};

    for (unsigned i = 0; i < 2 * G_N_ELEMENTS(engines); i++) {
        BlockBackend *blk = open_disk(i % 2 ? "qcow2" : "raw", engines[i / 2], true);
        OwnLoop own = {.load = &(Load){0}};
        if (!blk)
            continue;
        own.loop = event_loop_new();
        load_init(own.load, blk, own.loop, true);
        own.load->depth = 1;
        event_loop_call(own.loop, work_and_quit, &own);
        event_loop_run(own.loop);
        event_loop_free(own.loop);
        load_verify(own.load);
        blk_unref(blk);
    }
}

/* The next transfer comes when none is under way, and begins if it is not waited for at once. */
static bool next_is_waited_for(EngineOps *ops)
{
    bool alone = engine_op_comes_alone(ops);

    if (!alone) {
        BlockIo io = {.op = BLOCK_READ};
        engine_op_drop(ops, engine_op_begin(ops, NULL, &io));
    }
    return alone;
}

static unsigned count_until_waited_for(EngineOps *ops)
{
    unsigned n = 0;

    while (!next_is_waited_for(ops))
        n++;
    return n;
}

static void transfers_are_waited_for_only_while_they_come_one_at_a_time(void **state)
{
    BlockIo io = {.op = BLOCK_READ};
    EngineOps ops;
    unsigned waited = 0;

    engine_ops_init(&ops, sizeof(EngineOp));
    assert_in_range(count_until_waited_for(&ops), 8, 64);
    for (unsigned i = 0; i < 64; i++)
        waited += next_is_waited_for(&ops);
    assert_in_range(waited, 48, 63); /* some go by the engine, to see whether another comes meanwhile */
    EngineOp *one = engine_op_begin(&ops, NULL, &io);
    assert_false(engine_op_comes_alone(&ops));
    engine_op_drop(&ops, one);
    assert_in_range(count_until_waited_for(&ops), 1000, 1100);
    engine_ops_release(&ops);
}

static void a_batch_of_large_reads_is_not_copied_by_its_thread_alone(void **state)
{
    EventLoop *loop = event_loop_main();

    for (unsigned i = 0; i < 2; i++) {
        blk_plug();
        assert_true(block_loop_may_copy(loop, BLOCK_COPY_BUDGET / 2));
        assert_true(block_loop_may_copy(loop, BLOCK_COPY_BUDGET / 2));
        assert_false(block_loop_may_copy(loop, 1));
        blk_unplug();
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(worker_threads_serve_all_requests),
        cmocka_unit_test(io_uring_serves_all_requests),
        cmocka_unit_test(linux_aio_serves_all_requests),
        cmocka_unit_test(linux_aio_without_o_direct_is_refused),
        cmocka_unit_test(more_requests_than_a_reap_calls_back_all_complete),
        cmocka_unit_test(requests_of_an_io_thread_complete_there),
        cmocka_unit_test(a_loop_is_the_threads_only_while_it_runs),
        cmocka_unit_test(requests_one_at_a_time_past_the_page_cache_are_served),
        cmocka_unit_test(a_batch_of_large_reads_is_not_copied_by_its_thread_alone),
        cmocka_unit_test(transfers_are_waited_for_only_while_they_come_one_at_a_time),
    };
    int failed;

    core_init();
    image = g_strdup_printf("%s/vmm-engines-%d.img", g_get_tmp_dir(), (int)getpid());
    failed = cmocka_run_group_tests(tests, NULL, NULL);
    unlink(image);
    g_free(image);
    return failed;
}
