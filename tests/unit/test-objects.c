/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Objects of the user (core/object.h): I/O threads (core/iothread.h), random sources (core/rng.h), secrets
 * (core/secret.h), thread contexts (core/thread-context.h).
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <fcntl.h>
#include <glib/gstdio.h>
#include <pthread.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/error.h"
#include "core/iothread.h"
#include "core/lock.h"
#include "core/rng.h"
#include "core/secret.h"
#include "core/thread-context.h"
#include "core/thread.h"
#include "fake-accel.h"

static Machine *machine;

static int setup(void **state)
{
    machine = fake_machine_new(1, NULL);
    return 0;
}

static int teardown(void **state)
{
    machine_free(machine);
    return 0;
}

/* An object of the machine; props is "name=value,name=value". */
static Object *add(const char *type, const char *id, const char *props)
{
    g_auto(GStrv) list = g_strsplit(props, ",", -1);
    g_autoptr(GError) err = NULL;
    Object *obj = object_new(object_type_find(type), id);

    for (char **prop = list; *prop; prop++) {
        g_auto(GStrv) pair = g_strsplit(*prop, "=", 2);
        assert_true(object_set_property(obj, pair[0], pair[1], &err));
    }
    machine_lock();
    bool ok = object_add(machine, obj, &err);
    machine_unlock();
    if (!ok)
        fail_msg("%s", err->message);
    return obj;
}

/* Turns of the main loop until the flag is set by another thread or a callback. */
static void run_until(const int *flag)
{
    machine_lock();
    while (!__atomic_load_n(flag, __ATOMIC_ACQUIRE))
        g_main_context_iteration(NULL, TRUE);
    machine_unlock();
}

static void an_id_is_used_once(void **state)
{
    g_autoptr(GError) err = NULL;
    Object *twin = object_new(&rng_builtin_type, "a");

    add("rng-builtin", "a", "");
    machine_lock();
    assert_false(object_add(machine, twin, &err));
    machine_unlock();
    assert_non_null(strstr(err->message, "'a' is used twice"));
    object_free(twin);
}

static void what_is_held_cannot_be_removed(void **state)
{
    g_autoptr(GError) err = NULL;
    Object *obj = add("rng-builtin", "held", "");

    machine_lock();
    object_hold(obj);
    assert_false(object_remove(machine, "held", &err));
    assert_non_null(strstr(err->message, "in use"));
    object_release(obj);
    assert_true(object_remove(machine, "held", NULL));
    assert_null(object_find(machine, NULL, "held"));
    assert_false(object_remove(machine, "held", NULL));
    machine_unlock();
}

static void a_missing_object_is_named_with_its_option(void **state)
{
    g_autoptr(GError) err = NULL;

    add("rng-builtin", "x", "");
    assert_null(object_require(machine, &iothread_type, "y", &err));
    assert_non_null(strstr(err->message, "-object iothread,id=y"));
    g_clear_error(&err);
    assert_null(object_require(machine, &iothread_type, "x", &err));
    assert_non_null(strstr(err->message, "'x' is a rng-builtin, not a iothread"));
}

static void an_object_that_cannot_open_is_not_added(void **state)
{
    g_autoptr(GError) err = NULL;
    Object *obj = object_new(&rng_random_type, "r");

    assert_true(object_set_property(obj, "filename", "/nonexistent/random", NULL));
    machine_lock();
    assert_false(object_add(machine, obj, &err));
    machine_unlock();
    assert_non_null(strstr(err->message, "/nonexistent/random"));
    assert_null(object_find(machine, NULL, "r"));
    object_free(obj);
}

/* --- I/O threads --- */

typedef struct Seen {
    pthread_t thread;
    char name[16];
    pid_t tid;
    EventLoop *loop;
    bool locked;
    unsigned calls;
} Seen;

static void look(void *opaque)
{
    Seen *seen = opaque;

    seen->thread = pthread_self();
    pthread_getname_np(seen->thread, seen->name, sizeof(seen->name));
    seen->tid = gettid();
    seen->loop = event_loop_current();
    seen->locked = machine_lock_held();
    seen->calls++;
}

static void an_iothread_runs_its_loop_on_a_thread_of_its_own_without_the_lock(void **state)
{
    Seen seen = {0};
    IoThread *iothread;

    add("iothread", "io0", "");
    iothread = iothread_find(machine, "io0");
    assert_non_null(iothread);
    machine_lock();
    iothread_run_on(iothread_loop(iothread), look, &seen);
    assert_true(machine_lock_held());
    machine_unlock();
    assert_int_equal(seen.calls, 1);
    assert_false(pthread_equal(seen.thread, pthread_self()));
    assert_string_equal(seen.name, "IO io0");
    assert_int_equal(seen.tid, iothread_tid(iothread));
    assert_ptr_equal(seen.loop, iothread_loop(iothread));
    assert_false(seen.locked);
    assert_null(iothread_find(machine, "io1"));
}

static void run_on_the_own_thread_is_a_plain_call(void **state)
{
    Seen seen = {0};

    iothread_run_on(event_loop_main(), look, &seen);
    assert_true(pthread_equal(seen.thread, pthread_self()));
}

typedef struct Fired {
    Timer timer;
    EventLoop *on;
    int count;
} Fired;

static void timer_fired(void *opaque)
{
    Fired *fired = opaque;

    fired->on = event_loop_current();
    __atomic_add_fetch(&fired->count, 1, __ATOMIC_RELEASE);
    event_loop_notify(event_loop_main());
}

static void timers_of_an_iothread_fire_there(void **state)
{
    EventLoop *loop = iothread_loop((IoThread *)add("iothread", "io", "poll-max-ns=0"));
    Fired fired = {0};

    timer_init(&fired.timer, loop, VMCLOCK_MONO, timer_fired, &fired);
    timer_mod(&fired.timer, clock_get_ns(VMCLOCK_MONO) + NS_PER_MS);
    run_until(&fired.count);
    assert_ptr_equal(fired.on, loop);
    timer_release(&fired.timer);
}

static void virtual_timers_of_an_iothread_start_with_the_clock(void **state)
{
    EventLoop *loop = iothread_loop((IoThread *)add("iothread", "io", ""));
    Fired fired = {0};
    Seen seen = {0};

    timer_init(&fired.timer, loop, VMCLOCK_VIRTUAL, timer_fired, &fired);
    timer_mod(&fired.timer, clock_get_ns(VMCLOCK_VIRTUAL));
    iothread_run_on(loop, look, &seen); /* a whole turn later nothing has fired */
    assert_int_equal(__atomic_load_n(&fired.count, __ATOMIC_ACQUIRE), 0);
    machine_start(machine);
    run_until(&fired.count);
    machine_stop(machine, RUN_STATE_PAUSED);
    timer_release(&fired.timer);
}

typedef struct Ring {
    LoopPoller poller;
    EventLoop *on;
    int filled, emptied;
} Ring;

static bool ring_filled(void *opaque)
{
    return __atomic_load_n(&((Ring *)opaque)->filled, __ATOMIC_ACQUIRE);
}

static void ring_empty(void *opaque)
{
    Ring *ring = opaque;

    ring->on = event_loop_current();
    __atomic_store_n(&ring->filled, 0, __ATOMIC_RELEASE);
    __atomic_store_n(&ring->emptied, 1, __ATOMIC_RELEASE);
}

static void ring_join(void *opaque)
{
    Ring *ring = opaque;

    event_loop_add_poller(event_loop_current(), &ring->poller);
}

static void ring_leave(void *opaque)
{
    Ring *ring = opaque;

    event_loop_remove_poller(event_loop_current(), &ring->poller);
}

static void a_polling_loop_sees_memory_change(void **state)
{
    EventLoop *loop = iothread_loop((IoThread *)add("iothread", "io", "poll-max-ns=1000000000,poll-grow=16"));
    Ring ring = {.poller = {ring_filled, ring_empty, &ring, NULL}};
    Seen seen = {0};

    iothread_run_on(loop, ring_join, &ring);
    /* Each call that ends a sleep makes the next poll longer. */
    __atomic_store_n(&ring.filled, 1, __ATOMIC_RELEASE);
    while (!__atomic_load_n(&ring.emptied, __ATOMIC_ACQUIRE))
        iothread_run_on(loop, look, &seen);
    assert_ptr_equal(ring.on, loop);
    iothread_run_on(loop, ring_leave, &ring);
}

static void bad_polling_is_refused(void **state)
{
    g_autoptr(GError) err = NULL;
    Object *obj = object_new(&iothread_type, "io");

    assert_false(object_set_property(obj, "poll-max-ns", "2000000000", &err));
    assert_non_null(strstr(err->message, "poll-max-ns"));
    g_clear_error(&err);
    assert_false(object_set_property(obj, "poll-max", "1", &err));
    assert_non_null(strstr(err->message, "'poll-max-ns'"));
    object_free(obj);
}

/* --- random bytes --- */

typedef struct Reader {
    RngRequest req;
    uint8_t buf[1000];
    size_t len;
    EventLoop *on;
    int done;
} Reader;

static void reader_done(void *opaque, size_t len)
{
    Reader *reader = opaque;

    reader->len = len;
    reader->on = event_loop_current();
    __atomic_add_fetch(&reader->done, 1, __ATOMIC_RELEASE);
    event_loop_notify(event_loop_main());
}

static void reader_init(Reader *reader, const char *id, EventLoop *loop)
{
    *reader = (Reader){0};
    machine_lock();
    rng_request_init(&reader->req, rng_find(machine, id), loop, reader_done, reader);
    machine_unlock();
}

static void submit(Reader *reader)
{
    machine_lock();
    rng_request_submit(&reader->req, reader->buf, sizeof(reader->buf));
    assert_true(rng_request_busy(&reader->req));
    assert_int_equal(reader->done, 0); /* never inside submit */
    machine_unlock();
}

static void reader_release(Reader *reader)
{
    machine_lock();
    rng_request_release(&reader->req);
    machine_unlock();
}

static void the_builtin_source_fills_a_request_on_the_loop(void **state)
{
    uint8_t zero[1000] = {0};
    Reader reader;

    add("rng-builtin", "rng", "");
    reader_init(&reader, "rng", NULL);
    submit(&reader);
    run_until(&reader.done);
    assert_int_equal(reader.len, sizeof(reader.buf));
    assert_ptr_equal(reader.on, event_loop_main());
    assert_memory_not_equal(reader.buf, zero, sizeof(zero));
    assert_false(rng_request_busy(&reader.req));
    reader_release(&reader);
}

static void submit_there(void *opaque)
{
    Reader *reader = opaque;

    rng_request_submit(&reader->req, reader->buf, sizeof(reader->buf));
}

static void a_source_serves_an_iothread_too(void **state)
{
    EventLoop *loop = iothread_loop((IoThread *)add("iothread", "io", ""));
    Reader reader;

    add("rng-random", "rng", "");
    reader_init(&reader, "rng", loop);
    event_loop_call(loop, submit_there, &reader);
    run_until(&reader.done);
    assert_int_equal(reader.len, sizeof(reader.buf));
    assert_ptr_equal(reader.on, loop);
    reader_release(&reader);
}

/* A source that has nothing: a pipe, whose writing end is returned. */
static int add_pipe_source(const char *id)
{
    g_autofree char *folder = g_dir_make_tmp("vmm-rng-XXXXXX", NULL);
    g_autofree char *path = g_build_filename(folder, "pipe", NULL);
    g_autofree char *props = g_strconcat("filename=", path, NULL);

    assert_int_equal(mkfifo(path, 0600), 0);
    int fd = g_open(path, O_RDWR | O_CLOEXEC);
    assert_true(fd >= 0);
    add("rng-random", id, props);
    unlink(path);
    rmdir(folder);
    return fd;
}

static void a_request_waits_for_a_slow_source_and_takes_what_it_gives(void **state)
{
    int fd = add_pipe_source("rng");
    Reader reader;

    reader_init(&reader, "rng", NULL);
    submit(&reader);
    machine_lock();
    while (!reader.req.watch)
        g_main_context_iteration(NULL, TRUE);
    machine_unlock();
    assert_int_equal(reader.done, 0);
    assert_int_equal(write(fd, "abc", 3), 3);
    run_until(&reader.done);
    assert_int_equal(reader.len, 3);
    assert_memory_equal(reader.buf, "abc", 3);
    reader_release(&reader);
    close(fd);
}

static void a_cancelled_request_never_completes(void **state)
{
    int fd = add_pipe_source("rng");
    Reader first, second;

    reader_init(&first, "rng", NULL);
    reader_init(&second, "rng", NULL);
    submit(&first);
    submit(&second);
    machine_lock();
    while (!first.req.watch || !second.req.watch)
        g_main_context_iteration(NULL, TRUE);
    rng_request_cancel(&first.req);
    machine_unlock();
    assert_int_equal(write(fd, "abc", 3), 3);
    run_until(&second.done);
    assert_int_equal(second.len, 3);
    assert_int_equal(first.done, 0);
    assert_false(rng_request_busy(&first.req));
    reader_release(&first);
    reader_release(&second);
    close(fd);
}

static void a_source_that_ends_gives_nothing(void **state)
{
    Reader reader;

    add("rng-random", "rng", "filename=/dev/null");
    reader_init(&reader, "rng", NULL);
    submit(&reader);
    run_until(&reader.done);
    assert_int_equal(reader.len, 0);
    reader_release(&reader);
}

/* --- secrets --- */

static void assert_secret(const char *id, const char *expected)
{
    g_autoptr(GError) err = NULL;
    size_t len;
    const guint8 *bytes = secret_lookup(machine, id, &len, &err);

    if (!bytes)
        fail_msg("%s", err->message);
    assert_int_equal(len, strlen(expected));
    assert_string_equal((const char *)bytes, expected);
}

/* What is wrong with the secret. */
static char *secret_error(const char *id, const char *const *props)
{
    g_autoptr(GError) err = NULL;
    Object *obj = object_new(&secret_type, id);

    for (; props[0]; props += 2)
        assert_true(object_set_property(obj, props[0], props[1], NULL));
    machine_lock();
    assert_false(object_add(machine, obj, &err));
    machine_unlock();
    object_free(obj);
    return g_strdup(err->message);
}

static void a_secret_is_text_base64_or_a_file(void **state)
{
    g_autofree char *path = NULL;
    int fd = g_file_open_tmp("vmm-secret-XXXXXX", &path, NULL);
    g_autofree char *props = g_strdup_printf("file=%s,format=base64", path);

    assert_int_equal(write(fd, "aGVs\nbG8=\n", 10), 10);
    close(fd);
    add("secret", "raw", "data=hello");
    add("secret", "base64", "data=aGVsbG8=,format=base64");
    add("secret", "file", props);
    assert_secret("raw", "hello");
    assert_secret("base64", "hello");
    assert_secret("file", "hello");
    unlink(path);
}

#ifdef HAVE_GNUTLS
/* openssl enc -aes-256-cbc -K 000102..1f -iv 101112..1f */
#define KEY "data=AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=,format=base64"
#define IV "EBESExQVFhcYGRobHB0eHw=="
#define SESAME "6I3hOPZ+vswvw99eeMJLvA=="

static void an_encrypted_secret_is_opened_by_its_key(void **state)
{
    add("secret", "key", KEY);
    add("secret", "sesame", "data=" SESAME ",format=base64,keyid=key,iv=" IV);
    assert_secret("sesame", "open sesame");
}

static void a_secret_that_does_not_open_says_why_and_not_what(void **state)
{
    static const struct {
        const char *props[11];
        const char *mention;
    } cases[] = {
        {{"data", SESAME, "format", "base64", "keyid", "none", "iv", IV}, "'none'"},
        {{"data", SESAME, "format", "base64", "keyid", "short", "iv", IV}, "32 bytes"},
        {{"data", SESAME, "format", "base64", "keyid", "key", "iv", "EBES"}, "16 bytes"},
        {{"data", SESAME, "format", "base64", "keyid", "key"}, "go together"},
        {{"data", "6I3hOPZ+", "format", "base64", "keyid", "key", "iv", IV}, "multiple of 16"},
        {{"data", SESAME, "format", "base64", "keyid", "other", "iv", IV}, "padding"},
        {{"data", "hush!", "format", "base64"}, "not base64"},
        {{"data", "hush", "file", "/x"}, "one of"},
        {{NULL}, "one of"},
        {{"file", "/nonexistent/secret"}, "/nonexistent/secret"},
    };

    add("secret", "key", KEY);
    add("secret", "short", "data=hello");
    add("secret", "other", "data=01234567890123456789012345678901");
    for (unsigned i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autofree char *message = secret_error("s", cases[i].props);
        if (!strstr(message, cases[i].mention))
            fail_msg("'%s' does not mention '%s'", message, cases[i].mention);
        assert_null(strstr(message, "hush"));
        assert_null(strstr(message, SESAME));
    }
}
#endif

/* --- thread contexts --- */

static void lists_of_cpus_have_ranges(void **state)
{
    static const char *const bad[] = {"", "x", "1-", "-1", "3-1", "1024", "0-1024", "1::2", "1,,2", "1 2"};
    cpu_set_t cpus;

    assert_true(cpu_list_parse("0-2:5,7", &cpus, NULL));
    assert_int_equal(CPU_COUNT(&cpus), 5);
    assert_true(CPU_ISSET(0, &cpus) && CPU_ISSET(2, &cpus) && CPU_ISSET(5, &cpus) && CPU_ISSET(7, &cpus));
    assert_true(cpu_list_parse("1023", &cpus, NULL));
    for (unsigned i = 0; i < G_N_ELEMENTS(bad); i++) {
        g_autoptr(GError) err = NULL;
        assert_false(cpu_list_parse(bad[i], &cpus, &err));
        assert_non_null(err);
    }
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(an_id_is_used_once),
        CASE(what_is_held_cannot_be_removed),
        CASE(a_missing_object_is_named_with_its_option),
        CASE(an_object_that_cannot_open_is_not_added),
        CASE(an_iothread_runs_its_loop_on_a_thread_of_its_own_without_the_lock),
        CASE(run_on_the_own_thread_is_a_plain_call),
        CASE(timers_of_an_iothread_fire_there),
        CASE(virtual_timers_of_an_iothread_start_with_the_clock),
        CASE(a_polling_loop_sees_memory_change),
        CASE(bad_polling_is_refused),
        CASE(the_builtin_source_fills_a_request_on_the_loop),
        CASE(a_source_serves_an_iothread_too),
        CASE(a_request_waits_for_a_slow_source_and_takes_what_it_gives),
        CASE(a_cancelled_request_never_completes),
        CASE(a_source_that_ends_gives_nothing),
        CASE(a_secret_is_text_base64_or_a_file),
#ifdef HAVE_GNUTLS
        CASE(an_encrypted_secret_is_opened_by_its_key),
        CASE(a_secret_that_does_not_open_says_why_and_not_what),
#endif
        CASE(lists_of_cpus_have_ranges),
    };

    core_init();
    return cmocka_run_group_tests_name("objects", tests, NULL, NULL);
}
