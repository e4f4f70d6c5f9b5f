/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Devices that come and go while their character backends live, and the reverse: what hotplug does.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "chardev-front.h"
#include "core/host.h"
#include "core/thread.h"
#include "src/chardev/chardev-int.h"

/* A connected pair: the backend "s" on one end, the peer's descriptor is returned. */
static int connected_chardev(Chardev **chr)
{
    int ends[2];

    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
    g_autofree char *options = g_strdup_printf("socket,id=s,fd=%d", ends[0]);
    *chr = chardev_from(options);
    return ends[1];
}

static void opened_is_heard_only_if_a_peer_is_there(void **state)
{
    g_autofree char *options = g_strdup_printf("socket,id=a,path=@vmm-life-%d,abstract=on,tight=off,server=on,wait=off",
                                               getpid());
    Chardev *chr;
    Front front;

    front_connect(&front, chardev_from(options), 10);
    loop_settle();
    assert_int_equal(front.opened, 0);
    front_release(&front);

    int peer = connected_chardev(&chr);
    front_connect(&front, chr, 10);
    assert_int_equal(front.opened, 1);
    front_release(&front);
    close(peer);
    loop_settle();
    front_connect(&front, chr, 10); /* the peer may have been noticed to leave, or is now */
    loop_until(front.closed == front.opened);
    front_release(&front);
    front_connect(&front, chr, 10);
    assert_int_equal(front.opened, 0);
    front_release(&front);
}

static void unplugging_a_device_that_is_held_back_loses_nothing_of_the_next(void **state)
{
    g_autofree char *block = g_strnfill(4096, 'x');
    char buf[4096];
    size_t sent = 0, n;
    Chardev *chr;
    Front front;

    int peer = connected_chardev(&chr);
    front_connect(&front, chr, 10);
    do {
        n = front_write(&front, block);
        sent += n;
        loop_settle();
    } while (n);
    front_release(&front);
    front_connect(&front, chr, 10);
    while (sent) {
        loop_receive(peer, buf, MIN(sent, sizeof(buf)));
        sent -= MIN(sent, sizeof(buf));
    }
    assert_int_equal(front_write(&front, "next"), 4);
    loop_receive(peer, buf, 4);
    assert_memory_equal(buf, "next", 4);
    front_release(&front);
    close(peer);
}

static void input_waits_while_there_is_no_device(void **state)
{
    Chardev *chr;
    Front front;

    int peer = connected_chardev(&chr);
    assert_int_equal(write(peer, "early", 5), 5);
    loop_settle();
    front_connect(&front, chr, 10);
    loop_until(front.got->len == 5);
    front_release(&front);
    assert_int_equal(write(peer, "later", 5), 5);
    loop_settle();
    front_connect(&front, chr, 3);
    loop_until(front.got->len == 3);
    front_expect(&front, "lat");
    front_release(&front);
    close(peer);
}

static void backend_that_goes_leaves_its_device_unconnected(void **state)
{
    g_autofree char *block = g_strnfill(1 << 20, 'x');
    Chardev *chr;
    Front front;

    int peer = connected_chardev(&chr);
    front_connect(&front, chr, 0);
    while (front_write(&front, block)) /* held back, with watches and timers at work */
        continue;
    assert_int_equal(write(peer, "in", 2), 2);
    loop_settle();
    close(peer);
    chardev_free(chr);
    assert_int_equal(front_write(&front, "gone"), 4);
    front_take(&front, 100);
    loop_settle();
    assert_int_equal(front.got->len, 0);
    front_release(&front);
}

/* --- Devices that unplug themselves in a callback --- */

typedef struct Leaver {
    CharBackend be;
    enum { LEAVES_READING, LEAVES_WRITABLE, LEAVES_CLOSED, STAYS } when;
    unsigned calls;
} Leaver;

static void leave(Leaver *leaver, int when)
{
    leaver->calls++;
    if (when == (int)leaver->when)
        char_detach(&leaver->be);
}

static size_t leaver_room(void *opaque)
{
    return 1;
}

static void leaver_reads(void *opaque, const uint8_t *buf, size_t len)
{
    leave(opaque, LEAVES_READING);
}

static void leaver_may_write(void *opaque)
{
    leave(opaque, LEAVES_WRITABLE);
}

static void leaver_hears(void *opaque, CharEvent event)
{
    if (event == CHAR_EVENT_CLOSED)
        leave(opaque, LEAVES_CLOSED);
}

static const CharHandlers leaver_handlers = {leaver_room, leaver_reads, leaver_may_write, leaver_hears};

/* Fills the output, sends input, reads all and leaves, so that each callback has an occasion. */
static void live_through_everything(Chardev *chr, int peer, Leaver *leavers, unsigned count)
{
    g_autofree char *block = g_strnfill(65536, 'x');
    char buf[65536];

    for (unsigned i = 0; i < count; i++) {
        assert_true(char_attach(&leavers[i].be, chr, NULL));
        char_set_handlers(&leavers[i].be, &leaver_handlers, &leavers[i]);
    }
    while (char_write(&leavers[0].be, (uint8_t *)block, 65536))
        loop_settle();
    assert_int_equal(write(peer, "abc", 3), 3);
    loop_settle();
    while (recv(peer, buf, sizeof(buf), MSG_DONTWAIT) > 0)
        loop_settle();
    assert_int_equal(write(peer, "def", 3), 3);
    close(peer);
    loop_settle();
    for (unsigned i = 0; i < count; i++) {
        assert_int_equal(leavers[i].be.chr == NULL, leavers[i].when != STAYS);
        char_detach(&leavers[i].be);
    }
}

static void device_may_unplug_itself_in_any_callback(void **state)
{
    for (int when = LEAVES_READING; when <= LEAVES_CLOSED; when++) {
        Leaver leaver = {.when = (unsigned)when};
        Chardev *chr;
        int peer = connected_chardev(&chr);
        live_through_everything(chr, peer, &leaver, 1);
        assert_true(leaver.calls > 0);
        chardev_free(chr);
    }
}

static void users_of_a_mux_may_unplug_themselves_in_any_callback(void **state)
{
    /* Each reason on each place; the others stay. The focus, which reads, is the first. */
    for (int when = LEAVES_READING; when <= LEAVES_CLOSED; when++) {
        for (unsigned place = 0; place < (when == LEAVES_READING ? 1 : 3); place++) {
            Leaver leavers[3] = {{.when = STAYS}, {.when = STAYS}, {.when = STAYS}};
            Chardev *base;
            int peer = connected_chardev(&base);
            Chardev *mux = chardev_new_mux("m", base, NULL);
            leavers[place].when = (unsigned)when;
            live_through_everything(mux, peer, leavers, 3);
            chardev_free(mux);
            chardev_free(base);
        }
    }
}

/* --- Anything in any order --- */

typedef struct World {
    Chardev *base, *mux;
    int peer; /* -1: it left */
    Front fronts[3];
    bool plugged[3];
} World;

static void random_step(World *w, GRand *rand)
{
    unsigned who = (unsigned)g_rand_int_range(rand, 0, 3);
    Front *front = &w->fronts[who];
    char buf[3000];

    memset(buf, 1 + g_rand_int_range(rand, 0, 120), sizeof(buf)); /* Ctrl-a among them */
    switch (g_rand_int_range(rand, 0, 8)) {
    case 0:
        if (!w->plugged[who])
            front_connect(front, w->mux, (size_t)g_rand_int_range(rand, 0, 50));
        w->plugged[who] = true;
        break;
    case 1:
        if (w->plugged[who])
            front_release(front);
        w->plugged[who] = false;
        break;
    case 2:
        if (w->plugged[who])
            front_take(front, (size_t)g_rand_int_range(rand, 0, 5000));
        break;
    case 3:
    case 4:
        if (w->plugged[who])
            char_write(&front->be, (uint8_t *)buf, (size_t)g_rand_int_range(rand, 1, 3000));
        break;
    case 5:
        if (w->peer >= 0)
            (void)!send(w->peer, buf, (size_t)g_rand_int_range(rand, 1, 3000), MSG_DONTWAIT | MSG_NOSIGNAL);
        break;
    case 6:
        while (w->peer >= 0 && recv(w->peer, buf, sizeof(buf), MSG_DONTWAIT) > 0)
            continue;
        break;
    case 7:
        loop_settle();
        break;
    }
    if (w->peer >= 0 && g_rand_int_range(rand, 0, 500) == 0) {
        close(w->peer);
        w->peer = -1;
    }
}

static void any_order_of_coming_and_going_is_survived(void **state)
{
    for (unsigned seed = 1; seed <= 40; seed++) {
        GRand *rand = g_rand_new_with_seed(seed);
        World w = {0};
        w.peer = connected_chardev(&w.base);
        w.mux = chardev_new_mux("m", w.base, NULL);
        for (unsigned i = 0; i < 1000; i++)
            random_step(&w, rand);
        for (unsigned i = 0; i < 3; i++) {
            if (w.plugged[i])
                front_release(&w.fronts[i]);
        }
        if (w.peer >= 0)
            close(w.peer);
        chardev_free(w.mux);
        chardev_free(w.base);
        g_rand_free(rand);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        CHARDEV_CASE(opened_is_heard_only_if_a_peer_is_there),
        CHARDEV_CASE(unplugging_a_device_that_is_held_back_loses_nothing_of_the_next),
        CHARDEV_CASE(input_waits_while_there_is_no_device),
        CHARDEV_CASE(backend_that_goes_leaves_its_device_unconnected),
        CHARDEV_CASE(device_may_unplug_itself_in_any_callback),
        CHARDEV_CASE(users_of_a_mux_may_unplug_themselves_in_any_callback),
        CHARDEV_CASE(any_order_of_coming_and_going_is_survived),
    };

    signal(SIGPIPE, SIG_IGN);
    core_init();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
