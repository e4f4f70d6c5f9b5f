/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The device's side of the block layer: requests, drain, reset, error policies; and file, raw, locks.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "block-record.h"
#include "core/bits.h"
#include "core/event.h"
#include "core/host.h"
#include "core/lock.h"
#include "core/thread.h"
#include "fake-accel.h"

typedef struct Call {
    BlockRequest req;
    struct iovec iov;
    uint8_t buf[4096];
    int ret;
    bool done, stale;
} Call;

static void call_done(BlockRequest *req, int ret)
{
    Call *call = req->opaque;

    assert_ptr_equal(event_loop_current(), event_loop_main());
    call->ret = ret;
    call->stale = blk_request_is_stale(req);
    call->done = true;
}

static void start(BlockBackend *blk, Call *call, BlockOp op, uint64_t offset, unsigned flags)
{
    call->done = false;
    call->iov = (struct iovec){call->buf, sizeof(call->buf)};
    call->req = (BlockRequest){.op = op, .flags = flags, .offset = offset, .bytes = sizeof(call->buf),
                               .iov = &call->iov, .iovcnt = 1, .done = call_done, .opaque = call};
    if (op == BLOCK_FLUSH)
        call->req.bytes = 0;
    blk_submit(blk, &call->req);
}

static int finish(Call *call)
{
    while (!call->done) {
        if (!block_loop_reap(event_loop_main()) && !call->done)
            block_loop_wait(event_loop_main());
    }
    return call->ret;
}

static int run(BlockBackend *blk, Call *call, BlockOp op, uint64_t offset)
{
    start(blk, call, op, offset, 0);
    return finish(call);
}

static BlockBackend *backend_on_record(BlockNode **node)
{
    *node = record_new(1 * MIB);
    BlockBackend *blk = blk_new("disk", *node);
    record_of(*node)->logging = true;
    block_node_unref(*node); /* the backend's now */
    return blk;
}

/* --- requests --- */

static void what_was_written_is_read_back(void **state)
{
    BlockNode *node;
    BlockBackend *blk = backend_on_record(&node);
    Call call;

    memset(call.buf, 0x5a, sizeof(call.buf));
    assert_int_equal(run(blk, &call, BLOCK_WRITE, 8192), 0);
    memset(call.buf, 0, sizeof(call.buf));
    assert_int_equal(run(blk, &call, BLOCK_READ, 8192), 0);
    assert_int_equal(call.buf[0], 0x5a);
    assert_int_equal(call.buf[4095], 0x5a);
    assert_int_equal(run(blk, &call, BLOCK_ZEROES, 8192), 0);
    assert_int_equal(run(blk, &call, BLOCK_READ, 8192), 0);
    assert_int_equal(call.buf[17], 0);
    BlockStats stats;
    blk_get_stats(blk, &stats);
    assert_int_equal(stats.ops[BLOCK_READ], 2);
    assert_int_equal(stats.bytes[BLOCK_WRITE], 4096);
    assert_int_equal(stats.wr_highest_offset, 12288);
    blk_unref(blk);
}

static void a_request_beyond_the_end_fails_and_reaches_nobody(void **state)
{
    BlockNode *node;
    BlockBackend *blk = backend_on_record(&node);
    Call call;

    assert_int_equal(run(blk, &call, BLOCK_WRITE, 1 * MIB - 512), -EIO);
    assert_int_equal(run(blk, &call, BLOCK_READ, UINT64_MAX - 100), -EIO);
    assert_int_equal(run(blk, &call, BLOCK_DISCARD, 1 * MIB), -EIO);
    assert_int_equal(record_of(node)->log->len, 0);
    blk_unref(blk);
}

static void done_never_runs_inside_submit(void **state)
{
    BlockNode *node;
    BlockBackend *blk = backend_on_record(&node);
    Call call;

    start(blk, &call, BLOCK_READ, 2 * MIB, 0); /* an error known at once */
    assert_false(call.done);
    assert_int_equal(finish(&call), -EIO);
    blk_unref(blk);
}

static void writes_are_flushed_when_the_guest_switches_the_cache_off(void **state)
{
    BlockNode *node;
    BlockBackend *blk = backend_on_record(&node);
    Call call;

    assert_int_equal(run(blk, &call, BLOCK_WRITE, 0), 0);
    assert_int_equal(record_count(node, BLOCK_FLUSH), 0);
    blk_set_write_cache(blk, false);
    assert_int_equal(run(blk, &call, BLOCK_WRITE, 0), 0);
    assert_int_equal(record_count(node, BLOCK_FLUSH), 1);
    blk_set_write_cache(blk, true);
    start(blk, &call, BLOCK_WRITE, 0, BLOCK_FUA);
    assert_int_equal(finish(&call), 0);
    assert_int_equal(record_count(node, BLOCK_FLUSH), 2);
    blk_unref(blk);
}

static void zeroes_are_detected_when_asked_for(void **state)
{
    BlockNode *node;
    BlockBackend *blk = backend_on_record(&node);
    Call call;

    memset(call.buf, 0, sizeof(call.buf));
    assert_int_equal(run(blk, &call, BLOCK_WRITE, 0), 0);
    assert_non_null(g_array_index(record_of(node)->log, RecordEvent, 0).data);
    node->detect_zeroes = BLOCK_DETECT_ON;
    assert_int_equal(run(blk, &call, BLOCK_WRITE, 0), 0);
    assert_null(g_array_index(record_of(node)->log, RecordEvent, 1).data);
    call.buf[4095] = 1;
    assert_int_equal(run(blk, &call, BLOCK_WRITE, 0), 0);
    assert_non_null(g_array_index(record_of(node)->log, RecordEvent, 2).data);
    blk_unref(blk);
}

static void *let_go_of(void *opaque)
{
    BlockNode *node = opaque;

    record_wait_held(node, 3);
    record_let_go(node);
    return NULL;
}

static void drain_waits_for_all_requests(void **state)
{
    BlockNode *node;
    BlockBackend *blk = backend_on_record(&node);
    Call calls[3];
    pthread_t thread;

    record_hold(node);
    for (unsigned i = 0; i < 3; i++)
        start(blk, &calls[i], BLOCK_WRITE, i * 4096, 0);
    assert_int_equal(blk_in_flight(blk), 3);
    assert_true(thread_create(&thread, "release", let_go_of, node, NULL));
    blk_drain(blk);
    for (unsigned i = 0; i < 3; i++)
        assert_true(calls[i].done);
    assert_int_equal(blk_in_flight(blk), 0);
    pthread_join(thread, NULL);
    blk_unref(blk);
}

static void *drain_elsewhere(void *opaque)
{
    blk_drain(opaque);
    return NULL;
}

static void requests_wait_while_the_backend_is_held(void **state)
{
    BlockNode *node;
    BlockBackend *blk = backend_on_record(&node);
    Call before, during[3];

    start(blk, &before, BLOCK_WRITE, 0, 0);
    blk_hold(blk);
    assert_true(before.done); /* holding drains */
    for (unsigned i = 0; i < 3; i++)
        start(blk, &during[i], BLOCK_WRITE, 8192 * i, 0);
    blk_hold(blk);
    assert_int_equal(blk_in_flight(blk), 0);
    blk_release(blk);
    assert_int_equal(record_of(node)->log->len, 1);
    blk_release(blk);
    for (unsigned i = 0; i < 3; i++)
        assert_int_equal(finish(&during[i]), 0);
    assert_int_equal(record_of(node)->log->len, 4);
    blk_unref(blk);
}

static void a_thread_without_a_loop_can_drain(void **state)
{
    BlockNode *node;
    BlockBackend *blk = backend_on_record(&node);
    pthread_t thread;
    Call call;

    start(blk, &call, BLOCK_READ, 0, 0);
    assert_true(thread_create(&thread, "drain", drain_elsewhere, blk, NULL));
    finish(&call);
    pthread_join(thread, NULL);
    assert_int_equal(blk_in_flight(blk), 0);
    blk_unref(blk);
}

static void after_reset_running_requests_are_stale(void **state)
{
    BlockNode *node;
    BlockBackend *blk = backend_on_record(&node);
    Call calls[3];
    pthread_t thread;

    record_hold(node);
    for (unsigned i = 0; i < 3; i++)
        start(blk, &calls[i], BLOCK_READ, 0, 0);
    assert_true(thread_create(&thread, "release", let_go_of, node, NULL));
    blk_reset(blk);
    pthread_join(thread, NULL);
    for (unsigned i = 0; i < 3; i++)
        assert_true(calls[i].done && calls[i].stale);
    assert_int_equal(run(blk, &calls[0], BLOCK_READ, 0), 0);
    assert_false(calls[0].stale);
    blk_unref(blk);
}

/* --- policy --- */

static void errors_are_reported_or_ignored_as_the_policy_says(void **state)
{
    BlockNode *node;
    BlockBackend *blk = backend_on_record(&node);
    Call call;

    record_fail(node, BLOCK_READ, 1, EIO);
    assert_int_equal(run(blk, &call, BLOCK_READ, 0), -EIO);
    blk_set_error_policy(blk, BLOCK_ON_ERROR_IGNORE, BLOCK_ON_ERROR_REPORT);
    record_fail(node, BLOCK_READ, 1, EIO);
    assert_int_equal(run(blk, &call, BLOCK_READ, 0), 0);
    record_fail(node, BLOCK_WRITE, 1, ENOSPC);
    assert_int_equal(run(blk, &call, BLOCK_WRITE, 0), -ENOSPC);
    blk_unref(blk);
}

static bool last_nospace;
static unsigned io_errors;

static void on_event(void *opaque, VmEvent event, json_t *data, int64_t when_us)
{
    if (event != VM_EVENT_BLOCK_IO_ERROR)
        return;
    last_nospace = json_is_true(json_object_get(data, "nospace"));
    assert_string_equal(json_string_value(json_object_get(data, "action")), "stop");
    io_errors++;
}

static void turn_until(const bool *done, Machine *machine, RunState until)
{
    machine_lock();
    while (!(done && *done) && !(machine && machine->run_state == until))
        g_main_context_iteration(event_loop_context(event_loop_main()), TRUE);
    machine_unlock();
}

static void a_full_disk_stops_the_vm_and_cont_tries_again(void **state)
{
    Machine *machine = fake_machine_new(1, NULL);
    BlockNode *node;
    BlockBackend *blk = backend_on_record(&node);
    Call call;

    io_errors = 0;
    event_set_sink(on_event, NULL);
    blk_bind_machine(machine);
    machine_start(machine);
    record_fail(node, BLOCK_WRITE, 2, ENOSPC);
    memset(call.buf, 0x77, sizeof(call.buf));
    start(blk, &call, BLOCK_WRITE, 4096, 0);
    turn_until(&call.done, machine, RUN_STATE_IO_ERROR);
    assert_false(call.done);
    assert_int_equal(blk_in_flight(blk), 0); /* parked does not hold up a drain */
    blk_drain(blk);

    machine_start(machine); /* still full */
    turn_until(&call.done, machine, RUN_STATE_IO_ERROR);
    assert_false(call.done);
    machine_start(machine);
    turn_until(&call.done, NULL, 0);
    assert_int_equal(call.ret, 0);
    assert_int_equal(record_of(node)->image[4096], 0x77);
    assert_int_equal(io_errors, 2);
    assert_true(last_nospace);
    blk_bind_machine(NULL);
    event_set_sink(NULL, NULL);
    blk_unref(blk);
    machine_free(machine);
}

/* --- who stands in for the main loop --- */

static void *submit_standing_in(void *opaque)
{
    Call *call = opaque;

    machine_lock();
    block_loop_stand_in();
    blk_submit(call->req.blk, &call->req); /* it ends at once: it is not started */
    assert_false(call->done);
    block_loop_stand_down();
    machine_unlock();
    return NULL;
}

static void done_elsewhere(BlockRequest *req, int ret)
{
    Call *call = req->opaque;

    assert_true(machine_lock_held());
    call->ret = ret;
    call->done = true;
}

static void who_stands_in_for_the_main_loop_calls_back_what_ended_at_once(void **state)
{
    BlockNode *node;
    BlockBackend *blk = backend_on_record(&node);
    pthread_t thread;
    Call call;

    memset(&call, 0, sizeof(call));
    call.req = (BlockRequest){.op = BLOCK_READ, .offset = UINT64_MAX, .bytes = 512, .done = done_elsewhere, .opaque = &call, .blk = blk};
    assert_true(thread_create(&thread, "vcpu", submit_standing_in, &call, NULL));
    pthread_join(thread, NULL);
    assert_true(call.done);
    assert_int_equal(call.ret, -EIO);
    assert_int_equal(blk_in_flight(blk), 0);
    blk_unref(blk);
}

static VmEvent seen[2];
static unsigned seen_count;

static void note_event(void *opaque, VmEvent event, json_t *data, int64_t when_us)
{
    if (seen_count < 2)
        seen[seen_count] = event;
    seen_count++;
}

static void *emit_first(void *opaque)
{
    event_emit(VM_EVENT_BLOCK_IO_ERROR, NULL);
    return NULL;
}

static void events_arrive_in_the_order_they_were_emitted_whoever_did_it(void **state)
{
    pthread_t thread;

    seen_count = 0;
    event_set_sink(note_event, NULL);
    assert_true(thread_create(&thread, "other", emit_first, NULL, NULL));
    pthread_join(thread, NULL);
    event_emit(VM_EVENT_STOP, NULL);
    assert_int_equal(seen_count, 2);
    assert_int_equal(seen[0], VM_EVENT_BLOCK_IO_ERROR);
    assert_int_equal(seen[1], VM_EVENT_STOP);
    event_set_sink(NULL, NULL);
}

static void reset_cancels_a_parked_request(void **state)
{
    Machine *machine = fake_machine_new(1, NULL);
    BlockNode *node;
    BlockBackend *blk = backend_on_record(&node);
    Call call;

    blk_bind_machine(machine);
    machine_start(machine);
    record_fail(node, BLOCK_WRITE, 1, ENOSPC);
    start(blk, &call, BLOCK_WRITE, 4096, 0);
    turn_until(&call.done, machine, RUN_STATE_IO_ERROR);
    blk_reset(blk);
    assert_true(call.done && call.stale);
    assert_int_equal(call.ret, -ECANCELED);
    blk_bind_machine(NULL);
    blk_unref(blk);
    machine_free(machine);
}

/* --- the medium --- */

static unsigned media_changes;
static bool media_inserted;

static void on_media(void *opaque, bool inserted)
{
    media_changes++;
    media_inserted = inserted;
}

static void a_medium_can_be_ejected_and_another_inserted(void **state)
{
    static const BlockDeviceOps ops = {.media_changed = on_media};
    BlockNode *node;
    BlockBackend *blk = backend_on_record(&node);
    Call call;

    media_changes = 0;
    blk_set_device_ops(blk, &ops, NULL);
    blk_eject(blk);
    assert_false(blk_is_inserted(blk));
    assert_false(media_inserted);
    assert_int_equal(run(blk, &call, BLOCK_READ, 0), -ENOMEDIUM);
    blk_insert(blk, record_new(8192));
    assert_true(media_inserted);
    assert_int_equal(media_changes, 2);
    assert_int_equal(blk_size(blk), 8192);
    assert_int_equal(run(blk, &call, BLOCK_READ, 4096), 0);
    blk_unref(blk);
}

static void a_drive_belongs_to_one_device(void **state)
{
    BlockNode *node;
    BlockBackend *blk = backend_on_record(&node);
    g_autoptr(GError) err = NULL;

    assert_true(blk_attach_device(blk, NULL));
    assert_false(blk_attach_device(blk, &err));
    assert_non_null(strstr(err->message, "another device"));
    blk_detach_device(blk);
    blk_unref(blk);
}

/* --- files --- */

static char *temp_image(uint64_t size)
{
    char *path = g_build_filename(g_get_tmp_dir(), "vmm-block-XXXXXX", NULL);
    int fd = g_mkstemp(path);

    assert_true(fd >= 0);
    assert_int_equal(ftruncate(fd, (off_t)size), 0);
    close(fd);
    return path;
}

static void drop_image(char *path)
{
    unlink(path);
    g_free(path);
}

static void a_raw_file_is_written_zeroed_and_read(void **state)
{
    char *path = temp_image(1 * MIB);
    g_autoptr(GError) err = NULL;
    BlockNode *node = block_node_open_file(path, "raw", BLOCK_OPEN_RDWR, &err);
    BlockStatus status;
    uint8_t buf[10000];

    assert_non_null(node);
    memset(buf, 0xee, sizeof(buf));
    assert_int_equal(block_pwrite(node, 65536, buf, sizeof(buf), BLOCK_FUA), 0);
    assert_int_equal(block_pread(node, 65530, buf, sizeof(buf)), 0);
    assert_int_equal(buf[5], 0);
    assert_int_equal(buf[6], 0xee);
    assert_int_equal(block_write_zeroes(node, 65536, 8192, BLOCK_MAY_UNMAP), 0);
    assert_int_equal(block_pread(node, 65536, buf, sizeof(buf)), 0);
    assert_int_equal(buf[8191], 0);
    assert_int_equal(buf[8192], 0xee);
    assert_int_equal(block_flush(node), 0);
    assert_int_equal(block_status(node, 0, 65536, &status), 0);
    assert_true(status.bytes >= 4096);
    assert_int_equal(block_pread(node, 1 * MIB - 1, buf, 2), -EIO);
    block_node_unref(node);
    drop_image(path);
}

static void a_file_of_odd_size_ends_with_a_whole_sector(void **state)
{
    char *path = temp_image(1000);
    BlockNode *node = block_node_open_file(path, "raw", BLOCK_OPEN_RDWR, NULL);
    uint8_t buf[512], byte = 0x77;

    assert_non_null(node);
    assert_int_equal(block_node_size(node), 1024);
    assert_int_equal(block_pwrite(node, 999, &byte, 1, 0), 0);
    assert_int_equal(block_pread(node, 512, buf, 512), 0);
    assert_int_equal(buf[487], 0x77);
    assert_int_equal(buf[488], 0);
    assert_int_equal(buf[511], 0);
    assert_int_equal(block_pwrite(node, 1023, &byte, 1, 0), 0);
    assert_int_equal(block_pwrite(node, 1024, &byte, 1, 0), -EIO);
    block_node_unref(node);
    drop_image(path);
}

static off_t blocks_of(const char *path)
{
    struct stat st;

    assert_int_equal(stat(path, &st), 0);
    return st.st_blocks;
}

static void zeroes_and_discards_give_the_hosts_space_back(void **state)
{
    char *path = temp_image(4 * MIB);
    BlockNode *node = block_node_open_file(path, "raw", BLOCK_OPEN_RDWR, NULL);
    g_autofree uint8_t *buf = g_malloc(MIB);

    node->discard = BLOCK_DISCARD_UNMAP;
    memset(buf, 0x77, MIB);
    for (uint64_t at = 0; at < 4 * MIB; at += MIB)
        assert_int_equal(block_pwrite(node, at, buf, MIB, 0), 0);
    assert_int_equal(block_flush(node), 0);
    off_t full = blocks_of(path);
    assert_true(full >= (off_t)(4 * MIB / 512));
    assert_int_equal(block_write_zeroes(node, 0, MIB, 0), 0); /* zeroes that keep their place */
    assert_true(blocks_of(path) >= full - 16);
    assert_int_equal(block_write_zeroes(node, MIB, MIB, BLOCK_MAY_UNMAP), 0);
    assert_true(blocks_of(path) <= full - (off_t)(MIB / 512));
    assert_int_equal(block_discard(node, 2 * MIB, MIB), 0);
    assert_true(blocks_of(path) <= full - (off_t)(2 * MIB / 512));
    for (uint64_t at = 0; at < 4 * MIB; at += MIB) {
        assert_int_equal(block_pread(node, at, buf, MIB), 0);
        assert_int_equal(buf[4711], at < 3 * MIB ? 0 : 0x77);
    }
    block_node_unref(node);
    drop_image(path);
}

static BlockNode *open_guessed(const char *path, GError **errp)
{
    g_autofree char *arg = g_strdup_printf("file.driver=file,file.filename=%s", path);
    g_autoptr(KvNode) options = keyval_parse(arg, NULL, NULL);

    return block_node_open(options, BLOCK_OPEN_RDWR, errp);
}

static void a_guessed_raw_image_never_becomes_another_format(void **state)
{
    static const uint8_t magic[4] = {'Q', 'F', 'I', 0xfb}, version[4] = {0, 0, 0, 3};
    char *path = temp_image(1 * MIB);
    BlockNode *node = open_guessed(path, NULL);
    uint8_t sector[512] = {0};

    assert_ptr_equal(node->driver, block_driver_find("raw"));
    memcpy(sector + 4, version, sizeof(version));
    assert_int_equal(block_pwrite(node, 0, sector, sizeof(sector), 0), 0); /* harmless so far */
    assert_int_equal(block_pwrite(node, 0, magic, sizeof(magic), 0), -EPERM);
    assert_int_equal(block_pwrite(node, 0, magic, 3, 0), 0);
    assert_int_equal(block_pwrite(node, 3, magic + 3, 1, 0), -EPERM); /* nor piece by piece */
    assert_int_equal(block_pwrite(node, 512, magic, sizeof(magic), 0), 0);
    block_node_unref(node);

    node = block_node_open_file(path, "raw", BLOCK_OPEN_RDWR, NULL); /* who gives the format knows what it is */
    assert_int_equal(block_pwrite(node, 0, magic, sizeof(magic), 0), 0);
    block_node_unref(node);
    drop_image(path);
}

static void a_guessed_images_header_names_no_file(void **state)
{
    char *path = temp_image(1 * MIB), *secret = temp_image(1 * MIB);
    g_autoptr(GError) err = NULL;
    const BlockDriver *qcow2 = block_driver_find("qcow2");
    g_autofree void *create = g_malloc0(qcow2->create_size);
    BlockNode *node;

    property_set_defaults(qcow2->create_props, create);
    assert_true(property_set(qcow2->create_props, create, "qcow2", "backing_file", secret, NULL));
    assert_true(property_set(qcow2->create_props, create, "qcow2", "backing_fmt", "raw", NULL));
    assert_true(block_create(qcow2, path, create, MIB, false, NULL));
    property_release(qcow2->create_props, create);
    assert_null(open_guessed(path, &err));
    assert_non_null(strstr(err->message, "guessed"));
    assert_non_null(strstr(err->message, secret));
    node = block_node_open_file(path, "qcow2", BLOCK_OPEN_RDWR, NULL);
    assert_non_null(node);
    assert_non_null(node->backing);
    block_node_unref(node);
    drop_image(path);
    drop_image(secret);
}

static void o_direct_takes_any_alignment(void **state)
{
    char *path = temp_image(1 * MIB);
    g_autofree char *arg = g_strdup_printf("driver=raw,cache.direct=on,file.driver=file,file.filename=%s", path);
    g_autoptr(GError) err = NULL;
    g_autoptr(KvNode) options = keyval_parse(arg, NULL, NULL);
    BlockNode *node = block_node_open(options, BLOCK_OPEN_RDWR, &err);
    uint8_t expect[50000] = {0}, buf[50000];
    uint32_t seed = 12345;

    if (!node) { /* the file system of the temporary directory has none */
        assert_non_null(strstr(err->message, "O_DIRECT"));
        drop_image(path);
        skip();
    }
    assert_true(node->file->cache_direct);
    for (unsigned i = 0; i < 200; i++) {
        seed = seed * 1103515245 + 12345;
        uint32_t at = (seed >> 8) % 40000, len = 1 + (seed >> 5) % 9999;
        memset(expect + at, (int)i, len);
        assert_int_equal(block_pwrite(node, at, expect + at, len, 0), 0);
    }
    assert_int_equal(block_pread(node, 3, buf, sizeof(buf) - 3), 0);
    assert_memory_equal(buf, expect + 3, sizeof(buf) - 3);
    block_node_unref(node);
    drop_image(path);
}

static void a_flush_that_failed_once_fails_for_ever(void **state)
{
    char *path = temp_image(65536);
    BlockNode *node = block_node_open_file(path, "raw", BLOCK_OPEN_RDWR, NULL);
    uint8_t byte = 1;

    assert_int_equal(block_flush(node), 0);
    host_fault_seed(42);
    while (block_flush(node) == 0)
        ;
    host_fault_seed(0);
    assert_int_equal(block_flush(node), -EIO);
    assert_int_equal(block_pwrite(node, 0, &byte, 1, BLOCK_FUA), -EIO);
    assert_int_equal(block_pwrite(node, 0, &byte, 1, 0), 0);
    block_node_unref(node);
    drop_image(path);
}

static void two_writers_of_one_image_are_refused(void **state)
{
    char *path = temp_image(1 * MIB);
    g_autoptr(GError) err = NULL, err2 = NULL;
    BlockNode *writer = block_node_open_file(path, "raw", BLOCK_OPEN_RDWR, NULL), *reader, *other;

    assert_non_null(writer);
    assert_null(block_node_open_file(path, "raw", BLOCK_OPEN_RDWR, &err));
    assert_non_null(strstr(err->message, "in use"));
    assert_null(block_node_open_file(path, "raw", 0, NULL));
    block_node_unref(writer);

    reader = block_node_open_file(path, "raw", 0, NULL);
    other = block_node_open_file(path, "raw", 0, NULL);
    assert_true(reader && other);
    assert_null(block_node_open_file(path, "raw", BLOCK_OPEN_RDWR, &err2));
    block_node_unref(reader);
    block_node_unref(other);
    drop_image(path);
}

static void a_read_only_image_refuses_writes(void **state)
{
    char *path = temp_image(65536);
    BlockNode *node = block_node_open_file(path, "raw", 0, NULL);
    uint8_t byte = 1;

    assert_int_equal(block_pwrite(node, 0, &byte, 1, 0), -EACCES);
    assert_int_equal(block_write_zeroes(node, 0, 512, 0), -EACCES);
    assert_int_equal(block_discard(node, 0, 512), -EACCES);
    block_node_unref(node);
    drop_image(path);
}

static void what_is_no_image_is_refused_in_one_line(void **state)
{
    static const struct {
        const char *path, *format, *says;
    } rows[] = {
        {"/", "raw", "directory"},
        {"/dev/null", "raw", "regular file or a block device"},
        {"/nonexistent/disk.img", NULL, "No such file"},
        {"nbd://host/x", "raw", "protocol 'nbd' is not available"},
        {"/dev/zero", "vmdk", "unknown format or protocol 'vmdk'"},
    };

    for (unsigned i = 0; i < G_N_ELEMENTS(rows); i++) {
        g_autoptr(GError) err = NULL;
        assert_null(block_node_open_file(rows[i].path, rows[i].format, 0, &err));
        assert_non_null(strstr(err->message, rows[i].says));
        assert_null(strchr(err->message, '\n'));
    }
    assert_null(block_node_next(NULL)); /* nothing is left behind */
}

static void nodes_are_made_and_named_by_options(void **state)
{
    char *path = temp_image(65536);
    g_autofree char *file_arg = g_strdup_printf("driver=file,node-name=f0,filename=%s", path);
    g_autoptr(KvNode) file_options = keyval_parse(file_arg, NULL, NULL);
    g_autoptr(KvNode) raw_options = keyval_parse("{\"driver\": \"raw\", \"node-name\": \"r0\", \"file\": \"f0\", "
                                                 "\"offset\": 512, \"read-only\": true}", NULL, NULL);
    g_autoptr(KvNode) wrong = keyval_parse("driver=raw,file=f0,ofset=1", NULL, NULL);
    g_autoptr(GError) err = NULL;
    BlockNode *file = block_node_open(file_options, BLOCK_OPEN_RDWR, NULL);
    BlockNode *raw = block_node_open(raw_options, BLOCK_OPEN_RDWR, NULL);

    assert_true(file && raw);
    assert_ptr_equal(block_node_find("r0"), raw);
    assert_ptr_equal(raw->file, file);
    assert_int_equal(block_node_size(raw), 65536 - 512);
    assert_true(raw->read_only);
    assert_null(block_node_open(wrong, 0, &err));
    assert_non_null(strstr(err->message, "did you mean 'offset'"));
    block_node_unref(raw);
    block_node_unref(file);
    assert_null(block_node_find("f0"));
    drop_image(path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_was_written_is_read_back),
        cmocka_unit_test(a_request_beyond_the_end_fails_and_reaches_nobody),
        cmocka_unit_test(done_never_runs_inside_submit),
        cmocka_unit_test(writes_are_flushed_when_the_guest_switches_the_cache_off),
        cmocka_unit_test(zeroes_are_detected_when_asked_for),
        cmocka_unit_test(drain_waits_for_all_requests),
        cmocka_unit_test(who_stands_in_for_the_main_loop_calls_back_what_ended_at_once),
        cmocka_unit_test(events_arrive_in_the_order_they_were_emitted_whoever_did_it),
        cmocka_unit_test(requests_wait_while_the_backend_is_held),
        cmocka_unit_test(a_thread_without_a_loop_can_drain),
        cmocka_unit_test(after_reset_running_requests_are_stale),
        cmocka_unit_test(errors_are_reported_or_ignored_as_the_policy_says),
        cmocka_unit_test(a_full_disk_stops_the_vm_and_cont_tries_again),
        cmocka_unit_test(reset_cancels_a_parked_request),
        cmocka_unit_test(a_medium_can_be_ejected_and_another_inserted),
        cmocka_unit_test(a_drive_belongs_to_one_device),
        cmocka_unit_test(a_raw_file_is_written_zeroed_and_read),
        cmocka_unit_test(a_file_of_odd_size_ends_with_a_whole_sector),
        cmocka_unit_test(zeroes_and_discards_give_the_hosts_space_back),
        cmocka_unit_test(a_guessed_raw_image_never_becomes_another_format),
        cmocka_unit_test(a_guessed_images_header_names_no_file),
        cmocka_unit_test(o_direct_takes_any_alignment),
        cmocka_unit_test(a_flush_that_failed_once_fails_for_ever),
        cmocka_unit_test(two_writers_of_one_image_are_refused),
        cmocka_unit_test(a_read_only_image_refuses_writes),
        cmocka_unit_test(what_is_no_image_is_refused_in_one_line),
        cmocka_unit_test(nodes_are_made_and_named_by_options),
    };

    core_init();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
