/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * machine_lock (core/lock.h), the main loop's use of it, and the worker pool.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <sched.h>
#include <unistd.h>

#include "core/lock.h"
#include "core/loop.h"
#include "core/thread.h"
#include "core/worker.h"

static void the_lock_is_recursive_by_count(void **state)
{
    assert_false(machine_lock_held());
    machine_lock();
    machine_lock();
    machine_unlock();
    assert_true(machine_lock_held());
    machine_unlock();
    assert_false(machine_lock_held());
}

static void release_and_restore_keep_the_count(void **state)
{
    unsigned depth;

    assert_int_equal(machine_lock_release(), 0);
    machine_lock_restore(0);
    assert_false(machine_lock_held());

    machine_lock();
    machine_lock();
    depth = machine_lock_release();
    assert_int_equal(depth, 2);
    assert_false(machine_lock_held());
    machine_lock_restore(depth);
    machine_unlock();
    assert_true(machine_lock_held());
    machine_unlock();
    assert_false(machine_lock_held());
}

enum { THREADS = 4, ROUNDS = 20000 };

static unsigned counter; /* not atomic: the lock guards it */

static void *count_under_lock(void *opaque)
{
    for (int i = 0; i < ROUNDS; i++) {
        machine_lock();
        counter++;
        machine_unlock();
    }
    return NULL;
}

static void one_thread_at_a_time_holds_it(void **state)
{
    pthread_t threads[THREADS];

    counter = 0;
    for (int i = 0; i < THREADS; i++)
        assert_true(thread_create(&threads[i], "counter", count_under_lock, NULL, NULL));
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    assert_int_equal(counter, THREADS * ROUNDS);
}

static bool stop_hogging;

static void *hog_lock(void *opaque)
{
    machine_lock();
    while (!__atomic_load_n(&stop_hogging, __ATOMIC_RELAXED)) {
        __atomic_fetch_add(&counter, 1, __ATOMIC_RELAXED);
        machine_unlock();
        machine_lock();
    }
    machine_unlock();
    return NULL;
}

/* How often the hog gets the lock while we wait for it: once, except where the host takes the CPU
 * from us on our way to the lock. A lock that the hog can take back at once gives it hundreds. */
static void a_waiter_goes_before_a_thread_that_comes_back(void **state)
{
    enum { ATTEMPTS = 200 };
    unsigned overtaken = 0;
    pthread_t hog;

    counter = 0;
    assert_true(thread_create(&hog, "hog", hog_lock, NULL, NULL));
    while (!__atomic_load_n(&counter, __ATOMIC_RELAXED))
        sched_yield();
    for (int i = 0; i < ATTEMPTS; i++) {
        unsigned before = __atomic_load_n(&counter, __ATOMIC_RELAXED);
        machine_lock();
        overtaken += __atomic_load_n(&counter, __ATOMIC_RELAXED) - before > 10;
        machine_unlock();
    }
    __atomic_store_n(&stop_hogging, true, __ATOMIC_RELAXED);
    pthread_join(hog, NULL);
    assert_true(overtaken < ATTEMPTS / 2);
}

/* --- the main loop --- */

static void *lock_then_quit(void *opaque)
{
    machine_lock(); /* succeeds only while the loop polls */
    event_loop_quit(event_loop_main());
    machine_unlock();
    return NULL;
}

static void the_loop_lets_go_of_the_lock_while_it_polls(void **state)
{
    pthread_t thread;

    assert_true(thread_create(&thread, "locker", lock_then_quit, NULL, NULL));
    event_loop_run(event_loop_main());
    pthread_join(thread, NULL);
    assert_false(machine_lock_held());
}

typedef struct Pipe {
    int fds[2];
    unsigned reads;
    bool keep; /* the watch */
    bool locked;
} Pipe;

static bool on_readable(int fd, GIOCondition events, void *opaque)
{
    Pipe *p = opaque;
    char c;

    assert_int_equal(read(fd, &c, 1), 1);
    p->reads++;
    p->locked = machine_lock_held();
    event_loop_quit(event_loop_main());
    return p->keep;
}

static void a_watch_runs_under_the_lock_until_it_is_removed(void **state)
{
    Pipe p = { .keep = true };
    guint id;

    assert_int_equal(pipe(p.fds), 0);
    id = event_loop_watch(event_loop_main(), p.fds[0], G_IO_IN, on_readable, &p);
    for (unsigned i = 1; i <= 3; i++) {
        assert_int_equal(write(p.fds[1], "x", 1), 1);
        event_loop_run(event_loop_main());
        assert_int_equal(p.reads, i);
        assert_true(p.locked);
    }
    event_loop_unwatch(event_loop_main(), id);
    assert_int_equal(write(p.fds[1], "x", 1), 1);
    while (g_main_context_iteration(event_loop_context(event_loop_main()), FALSE))
        ;
    assert_int_equal(p.reads, 3);

    /* One whose callback says so removes itself: it takes the byte left over, and no more. */
    p.keep = false;
    event_loop_watch(event_loop_main(), p.fds[0], G_IO_IN, on_readable, &p);
    event_loop_run(event_loop_main());
    assert_int_equal(write(p.fds[1], "x", 1), 1);
    while (g_main_context_iteration(event_loop_context(event_loop_main()), FALSE))
        ;
    assert_int_equal(p.reads, 4);
    close(p.fds[0]);
    close(p.fds[1]);
}

enum { CALLERS = 3, CALLS = 2000 };

static unsigned calls_run; /* on the loop's thread */

static void on_call(void *opaque)
{
    assert_true(machine_lock_held());
    if (++calls_run == CALLERS * CALLS)
        event_loop_quit(event_loop_main());
}

static void *make_calls(void *opaque)
{
    for (int i = 0; i < CALLS; i++)
        event_loop_call(event_loop_main(), on_call, NULL);
    return NULL;
}

static void calls_from_many_threads_all_run_on_the_loop(void **state)
{
    pthread_t threads[CALLERS];

    calls_run = 0;
    for (int i = 0; i < CALLERS; i++)
        assert_true(thread_create(&threads[i], "caller", make_calls, NULL, NULL));
    event_loop_run(event_loop_main());
    for (int i = 0; i < CALLERS; i++)
        pthread_join(threads[i], NULL);
    assert_int_equal(calls_run, CALLERS * CALLS);
}

/* --- workers --- */

typedef struct Job {
    unsigned *done_count;
    EventLoop *worked_on; /* event_loop_current() there: no loop */
    bool worked, done;
} Job;

static void job_work(void *opaque)
{
    Job *job = opaque;

    machine_lock(); /* the drain must not keep it */
    machine_unlock();
    job->worked_on = event_loop_current();
    job->worked = true;
}

static void job_done(void *opaque)
{
    Job *job = opaque;

    assert_true(job->worked);
    assert_true(machine_lock_held());
    assert_ptr_equal(event_loop_current(), event_loop_main());
    job->done = true;
    (*job->done_count)++;
}

static void drain_runs_all_work_and_completions(void **state)
{
    enum { JOBS = 300 };
    g_autofree Job *jobs = g_new0(Job, JOBS);
    unsigned done = 0;

    machine_lock();
    for (int i = 0; i < JOBS; i++) {
        jobs[i].done_count = &done;
        worker_submit(job_work, event_loop_main(), i % 3 ? job_done : NULL, &jobs[i]);
    }
    worker_drain();
    machine_unlock();
    assert_int_equal(done, JOBS - JOBS / 3);
    for (int i = 0; i < JOBS; i++) {
        assert_true(jobs[i].worked);
        assert_null(jobs[i].worked_on);
        assert_int_equal(jobs[i].done, i % 3 != 0);
    }
}

static void completion_quits(void *opaque)
{
    job_done(opaque);
    event_loop_quit(event_loop_main());
}

static void a_completion_wakes_the_loop(void **state)
{
    unsigned done = 0;
    Job job = { .done_count = &done };

    worker_submit(job_work, event_loop_main(), completion_quits, &job);
    event_loop_run(event_loop_main());
    assert_true(job.done);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_lock_is_recursive_by_count),
        cmocka_unit_test(release_and_restore_keep_the_count),
        cmocka_unit_test(one_thread_at_a_time_holds_it),
        cmocka_unit_test(a_waiter_goes_before_a_thread_that_comes_back),
        cmocka_unit_test(the_loop_lets_go_of_the_lock_while_it_polls),
        cmocka_unit_test(a_watch_runs_under_the_lock_until_it_is_removed),
        cmocka_unit_test(calls_from_many_threads_all_run_on_the_loop),
        cmocka_unit_test(drain_runs_all_work_and_completions),
        cmocka_unit_test(a_completion_wakes_the_loop),
    };

    core_init();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
