/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Clocks and timers (core/loop.h). The virtual clock is stepped in most cases; those that need the
 * host's clock wait for an event, never for time to pass.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "core/loop.h"
#include "core/thread.h"

typedef struct Fired {
    GArray *order;   /* of int: ids in the order the callbacks ran */
    GArray *when_ns; /* of int64_t: virtual time at each */
} Fired;

typedef struct TestTimer {
    Timer timer;
    Fired *fired;
    int id;
    int64_t period_ns; /* re-arms itself so long after its deadline */
    Timer *victim;     /* deleted by the callback */
    bool quit;         /* ends the main loop */
} TestTimer;

static void on_timer(void *opaque)
{
    TestTimer *t = opaque;
    int64_t now_ns = clock_get_ns(t->timer.clock);

    g_array_append_val(t->fired->order, t->id);
    g_array_append_val(t->fired->when_ns, now_ns);
    if (t->period_ns)
        timer_mod(&t->timer, now_ns + t->period_ns);
    if (t->victim)
        timer_del(t->victim);
    if (t->quit)
        event_loop_quit(event_loop_main());
}

static void test_timer_init(TestTimer *t, Fired *fired, int id, VmClock clock)
{
    *t = (TestTimer){ .fired = fired, .id = id };
    timer_init(&t->timer, event_loop_main(), clock, on_timer, t);
}

static Fired fired_new(void)
{
    return (Fired){
        .order = g_array_new(FALSE, FALSE, sizeof(int)),
        .when_ns = g_array_new(FALSE, FALSE, sizeof(int64_t)),
    };
}

static void fired_free(Fired *fired)
{
    g_array_unref(fired->order);
    g_array_unref(fired->when_ns);
}

static void timers_fire_in_order_each_at_its_own_deadline(void **state)
{
    Fired fired = fired_new();
    TestTimer t[8];
    static const int64_t after_ns[8] = { 500, 100, 800, 300, 700, 200, 600, 400 };
    int64_t start_ns = clock_get_ns(VMCLOCK_VIRTUAL);

    for (int i = 0; i < 8; i++) {
        test_timer_init(&t[i], &fired, (int)after_ns[i], VMCLOCK_VIRTUAL);
        timer_mod(&t[i].timer, start_ns + after_ns[i]);
    }
    assert_int_equal(clock_next_deadline_ns(), start_ns + 100);
    clock_step_to(start_ns + 650);
    assert_int_equal(fired.order->len, 6);
    for (int i = 0; i < 6; i++) {
        assert_int_equal(g_array_index(fired.order, int, i), 100 * (i + 1));
        assert_int_equal(g_array_index(fired.when_ns, int64_t, i), start_ns + 100 * (i + 1));
    }
    assert_int_equal(clock_get_ns(VMCLOCK_VIRTUAL), start_ns + 650);
    assert_int_equal(clock_next_deadline_ns(), start_ns + 700);
    for (int i = 0; i < 8; i++)
        timer_release(&t[i].timer);
    assert_int_equal(clock_next_deadline_ns(), -1);
    fired_free(&fired);
}

static void a_periodic_timer_fires_once_for_each_period_of_a_step(void **state)
{
    Fired fired = fired_new();
    TestTimer t;
    int64_t start_ns = clock_get_ns(VMCLOCK_VIRTUAL);

    test_timer_init(&t, &fired, 1, VMCLOCK_VIRTUAL);
    t.period_ns = 1000;
    timer_mod(&t.timer, start_ns + 1000);
    clock_step_to(start_ns + 10 * 1000);
    assert_int_equal(fired.order->len, 10);
    assert_int_equal(g_array_index(fired.when_ns, int64_t, 9), start_ns + 10 * 1000);
    timer_release(&t.timer);
    fired_free(&fired);
}

static void a_timer_deleted_by_an_earlier_callback_does_not_fire(void **state)
{
    Fired fired = fired_new();
    TestTimer killer, victim;
    int64_t start_ns = clock_get_ns(VMCLOCK_VIRTUAL);

    test_timer_init(&killer, &fired, 1, VMCLOCK_VIRTUAL);
    test_timer_init(&victim, &fired, 2, VMCLOCK_VIRTUAL);
    killer.victim = &victim.timer;
    timer_mod(&killer.timer, start_ns + 10);
    timer_mod(&victim.timer, start_ns + 10 + 1);
    clock_step_to(start_ns + 100);
    assert_int_equal(fired.order->len, 1);
    assert_false(timer_pending(&victim.timer));
    fired_free(&fired);
}

static void mod_replaces_the_deadline_in_both_directions(void **state)
{
    Fired fired = fired_new();
    TestTimer t;
    int64_t start_ns = clock_get_ns(VMCLOCK_VIRTUAL);

    test_timer_init(&t, &fired, 1, VMCLOCK_VIRTUAL);
    timer_mod(&t.timer, start_ns + 100);
    timer_mod(&t.timer, start_ns + 300);
    clock_step_to(start_ns + 200);
    assert_int_equal(fired.order->len, 0);
    timer_mod(&t.timer, start_ns + 210);
    clock_step_to(start_ns + 220);
    assert_int_equal(fired.order->len, 1);
    assert_false(timer_pending(&t.timer));
    fired_free(&fired);
}

/* A guest that programs a period of nothing must not hang the process. */
static void a_timer_that_rearms_in_the_past_does_not_hang_a_step(void **state)
{
    Fired fired = fired_new();
    TestTimer t;
    int64_t start_ns = clock_get_ns(VMCLOCK_VIRTUAL);

    test_timer_init(&t, &fired, 1, VMCLOCK_VIRTUAL);
    t.period_ns = -1;
    timer_mod(&t.timer, start_ns + 1);
    clock_step_to(start_ns + 100);
    assert_true(fired.order->len > 1);
    assert_int_equal(clock_get_ns(VMCLOCK_VIRTUAL), start_ns + 100);
    timer_release(&t.timer);
    fired_free(&fired);
}

static void the_heap_keeps_order_through_random_changes(void **state)
{
    enum { COUNT = 200 };
    Fired fired = fired_new();
    g_autofree TestTimer *t = g_new(TestTimer, COUNT);
    g_autoptr(GRand) rand = g_rand_new_with_seed(1);
    int64_t start_ns = clock_get_ns(VMCLOCK_VIRTUAL), last_ns = 0;
    unsigned armed = 0;

    for (int i = 0; i < COUNT; i++)
        test_timer_init(&t[i], &fired, i, VMCLOCK_VIRTUAL);
    for (int round = 0; round < 20 * COUNT; round++) {
        Timer *timer = &t[g_rand_int_range(rand, 0, COUNT)].timer;
        if (g_rand_int_range(rand, 0, 4) == 0)
            timer_del(timer);
        else
            timer_mod(timer, start_ns + g_rand_int_range(rand, 1, 1000));
    }
    for (int i = 0; i < COUNT; i++)
        armed += timer_pending(&t[i].timer);
    clock_step_to(start_ns + 1000);
    assert_int_equal(fired.order->len, armed);
    for (unsigned i = 0; i < armed; i++) {
        assert_true(g_array_index(fired.when_ns, int64_t, i) >= last_ns);
        last_ns = g_array_index(fired.when_ns, int64_t, i);
    }
    fired_free(&fired);
}

static void *arm_from_another_thread(void *opaque)
{
    TestTimer *t = opaque;

    timer_mod(&t->timer, clock_get_ns(t->timer.clock) + NS_PER_MS);
    return NULL;
}

/* The loop sleeps in poll with nothing armed; the other thread arms the timerfd under it. */
static void a_timer_armed_by_another_thread_wakes_the_sleeping_loop(void **state)
{
    static const VmClock clocks[] = { VMCLOCK_MONO, VMCLOCK_HOST };

    for (unsigned i = 0; i < G_N_ELEMENTS(clocks); i++) {
        Fired fired = fired_new();
        TestTimer t;
        pthread_t thread;
        test_timer_init(&t, &fired, 1, clocks[i]);
        t.quit = true;
        assert_true(thread_create(&thread, "armer", arm_from_another_thread, &t, NULL));
        event_loop_run(event_loop_main());
        pthread_join(thread, NULL);
        assert_int_equal(fired.order->len, 1);
        fired_free(&fired);
    }
}

static void timers_of_the_loop_fire_in_order_and_not_early(void **state)
{
    Fired fired = fired_new();
    TestTimer late, soon;
    int64_t start_ns = clock_get_ns(VMCLOCK_MONO);

    test_timer_init(&late, &fired, 2, VMCLOCK_MONO);
    test_timer_init(&soon, &fired, 1, VMCLOCK_MONO);
    late.quit = true;
    timer_mod(&late.timer, start_ns + 3 * NS_PER_MS);
    timer_mod(&soon.timer, start_ns + NS_PER_MS);
    event_loop_run(event_loop_main());
    assert_int_equal(fired.order->len, 2);
    assert_int_equal(g_array_index(fired.order, int, 0), 1);
    assert_true(g_array_index(fired.when_ns, int64_t, 0) >= start_ns + NS_PER_MS);
    assert_true(g_array_index(fired.when_ns, int64_t, 1) >= start_ns + 3 * NS_PER_MS);
    fired_free(&fired);
}

/* Runs first: afterwards the clock is stepped for good. */
static void the_virtual_clock_stands_until_started_and_while_stopped(void **state)
{
    Fired fired = fired_new();
    TestTimer held, mark;
    int64_t stood_ns;

    assert_int_equal(clock_get_ns(VMCLOCK_VIRTUAL), 0);
    clock_set_running(true);
    while (clock_get_ns(VMCLOCK_VIRTUAL) < NS_PER_MS)
        ;
    clock_set_running(false);
    stood_ns = clock_get_ns(VMCLOCK_VIRTUAL);

    /* A due virtual timer stays put while a MONO timer passes it by. */
    test_timer_init(&held, &fired, 1, VMCLOCK_VIRTUAL);
    test_timer_init(&mark, &fired, 2, VMCLOCK_MONO);
    timer_mod(&held.timer, stood_ns);
    mark.quit = true;
    timer_mod(&mark.timer, clock_get_ns(VMCLOCK_MONO) + NS_PER_MS);
    event_loop_run(event_loop_main());
    assert_int_equal(fired.order->len, 1);
    assert_int_equal(g_array_index(fired.order, int, 0), 2);
    assert_int_equal(clock_get_ns(VMCLOCK_VIRTUAL), stood_ns);

    /* It fires when the clock runs again, which goes on where it stood. */
    held.quit = true;
    clock_set_running(true);
    event_loop_run(event_loop_main());
    assert_int_equal(fired.order->len, 2);
    assert_true(g_array_index(fired.when_ns, int64_t, 1) >= stood_ns);
    clock_set_running(false);
    fired_free(&fired);
}

static void stepping_takes_the_clock_from_the_host(void **state)
{
    int64_t at_ns = clock_get_ns(VMCLOCK_VIRTUAL);

    clock_set_stepped();
    clock_set_running(true); /* the VM may run; its clock does not */
    assert_int_equal(clock_get_ns(VMCLOCK_VIRTUAL), at_ns);
    clock_step_to(at_ns + 5);
    assert_int_equal(clock_get_ns(VMCLOCK_VIRTUAL), at_ns + 5);
    clock_step_to(at_ns); /* never back */
    assert_int_equal(clock_get_ns(VMCLOCK_VIRTUAL), at_ns + 5);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_virtual_clock_stands_until_started_and_while_stopped),
        cmocka_unit_test(stepping_takes_the_clock_from_the_host),
        cmocka_unit_test(timers_fire_in_order_each_at_its_own_deadline),
        cmocka_unit_test(a_periodic_timer_fires_once_for_each_period_of_a_step),
        cmocka_unit_test(a_timer_deleted_by_an_earlier_callback_does_not_fire),
        cmocka_unit_test(mod_replaces_the_deadline_in_both_directions),
        cmocka_unit_test(a_timer_that_rearms_in_the_past_does_not_hang_a_step),
        cmocka_unit_test(the_heap_keeps_order_through_random_changes),
        cmocka_unit_test(a_timer_armed_by_another_thread_wakes_the_sleeping_loop),
        cmocka_unit_test(timers_of_the_loop_fire_in_order_and_not_early),
    };

    core_init();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
