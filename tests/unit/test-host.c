/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Host calls: transfers in pieces, files that are not what they should be, injected faults; and the
 * token bucket that keeps a guest's faults from filling the user's disk.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <string.h>
#include <unistd.h>

#include "core/error.h"
#include "core/host.h"
#include "core/log.h"
#include "core/thread.h"

#define TRANSFER (1u << 20) /* more than a pipe holds */

typedef struct Piecewise {
    int fd;
    unsigned sum;
} Piecewise;

static void *read_in_pieces(void *opaque)
{
    Piecewise *p = opaque;
    uint8_t buf[777];
    ssize_t n;

    while ((n = read(p->fd, buf, sizeof(buf))) > 0) {
        for (ssize_t i = 0; i < n; i++)
            p->sum += buf[i];
    }
    return NULL;
}

static void a_write_larger_than_the_pipe_goes_through_whole(void **state)
{
    g_autofree uint8_t *data = g_malloc(TRANSFER);
    unsigned sum = 0;
    pthread_t thread;
    int fds[2];

    assert_int_equal(pipe(fds), 0);
    for (unsigned i = 0; i < TRANSFER; i++)
        sum += data[i] = (uint8_t)(i * 7);
    Piecewise p = { .fd = fds[0] };
    assert_true(thread_create(&thread, "reader", read_in_pieces, &p, NULL));
    assert_true(host_write_full(fds[1], data, TRANSFER));
    close(fds[1]);
    pthread_join(thread, NULL);
    assert_int_equal(p.sum, sum);
    close(fds[0]);
}

static void an_early_end_of_file_is_told_from_an_error(void **state)
{
    char buf[8];
    int fds[2];

    assert_int_equal(pipe(fds), 0);
    assert_true(host_write_full(fds[1], "abc", 3));
    close(fds[1]);
    assert_false(host_read_full(fds[0], buf, sizeof(buf)));
    assert_int_equal(errno, 0);
    close(fds[0]);
    assert_false(host_read_full(fds[0], buf, sizeof(buf)));
    assert_int_equal(errno, EBADF);
}

static void positioned_transfers_meet_in_the_file(void **state)
{
    uint64_t value = 0;
    int fd = host_memfd("test", 4096, 0, NULL);

    assert_true(fd >= 0);
    assert_true(host_pwrite_full(fd, "12345678", 8, 100));
    assert_true(host_pread_full(fd, &value, 8, 100));
    assert_memory_equal(&value, "12345678", 8);
    assert_false(host_pread_full(fd, &value, 8, 4092)); /* beyond the end */
    close(fd);
}

static bool load_error(const char *path, size_t max, const char *expected)
{
    g_autoptr(GError) err = NULL;
    guint8 *data = NULL;
    size_t len;

    if (host_load_file(path, max, "test image", &data, &len, &err))
        return false;
    return strstr(err->message, path) && strstr(err->message, "test image") && strstr(err->message, expected);
}

static void a_file_that_cannot_be_loaded_is_named_with_the_reason(void **state)
{
    assert_true(load_error("/nonexistent/x", 10, "No such file"));
    assert_true(load_error("/proc", 10, "not a regular file"));
    assert_true(load_error("/bin/sh", 10, "more than the 10 allowed"));
}

static void a_fault_seed_replays_exactly(void **state)
{
    unsigned failures = 0;
    bool failed[200];
    uint8_t byte;
    int fd = host_memfd("test", 4096, 0, NULL);

    host_fault_seed(42);
    for (unsigned i = 0; i < G_N_ELEMENTS(failed); i++) {
        failed[i] = !host_pread_full(fd, &byte, 1, 0);
        failures += failed[i];
    }
    assert_in_range(failures, 1, G_N_ELEMENTS(failed) / 4);
    host_fault_seed(42);
    for (unsigned i = 0; i < G_N_ELEMENTS(failed); i++)
        assert_int_equal(!host_pread_full(fd, &byte, 1, 0), failed[i]);
    host_fault_seed(0);
    for (unsigned i = 0; i < 100; i++)
        assert_true(host_pread_full(fd, &byte, 1, 0));
    close(fd);
}

static void memory_for_transfers_is_aligned_and_as_large_as_asked(void **state)
{
    const struct { size_t size, align; } cases[] = {{1, 4096}, {4096, 4096}, {1 << 20, 2 << 20}, {(4 << 20) + 1, 2 << 20}};

    for (unsigned i = 0; i < G_N_ELEMENTS(cases); i++) {
        char *p = host_io_alloc(cases[i].size);
        assert_non_null(p);
        assert_int_equal((uintptr_t)p % cases[i].align, 0);
        memset(p, 0x5a, cases[i].size);
        free(p);
    }
    assert_null(host_io_alloc(SIZE_MAX));
}

static void a_call_site_may_log_a_burst_and_no_more(void **state)
{
    LogLimit limit = { 0 };
    unsigned passed = 0;

    for (unsigned i = 0; i < 10000; i++)
        passed += log_limit_pass(&limit);
    assert_in_range(passed, 20, 25); /* the burst, and a line for each second this took */
}

static void an_unknown_log_item_is_refused_by_name(void **state)
{
    g_autoptr(GError) err = NULL;

    assert_false(log_set_mask("int,nonsense", &err));
    assert_non_null(strstr(err->message, "'nonsense'"));
    assert_false(log_enabled(LOG_INT));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_write_larger_than_the_pipe_goes_through_whole),
        cmocka_unit_test(an_early_end_of_file_is_told_from_an_error),
        cmocka_unit_test(positioned_transfers_meet_in_the_file),
        cmocka_unit_test(a_file_that_cannot_be_loaded_is_named_with_the_reason),
        cmocka_unit_test(a_fault_seed_replays_exactly),
        cmocka_unit_test(memory_for_transfers_is_aligned_and_as_large_as_asked),
        cmocka_unit_test(a_call_site_may_log_a_burst_and_no_more),
        cmocka_unit_test(an_unknown_log_item_is_refused_by_name),
    };

    core_init();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
