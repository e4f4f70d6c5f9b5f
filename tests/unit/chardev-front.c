/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A front end for tests of character backends (chardev-front.h).
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <poll.h>
#include <string.h>
#include <unistd.h>

#include "chardev-front.h"
#include "core/lock.h"
#include "core/loop.h"

static size_t can_read(void *opaque)
{
    return ((Front *)opaque)->room;
}

static void got(void *opaque, const uint8_t *buf, size_t len)
{
    Front *front = opaque;

    assert_true(len <= front->room);
    front->room -= len;
    g_byte_array_append(front->got, buf, (guint)len);
}

static void is_writable(void *opaque)
{
    ((Front *)opaque)->writable++;
}

static void saw_event(void *opaque, CharEvent event)
{
    Front *front = opaque;

    front->opened += event == CHAR_EVENT_OPENED;
    front->closed += event == CHAR_EVENT_CLOSED;
    front->breaks += event == CHAR_EVENT_BREAK;
}

static const CharHandlers handlers = {can_read, got, is_writable, saw_event};

void front_connect(Front *front, Chardev *chr, size_t room)
{
    *front = (Front){.got = g_byte_array_new(), .room = room};
    assert_true(char_attach(&front->be, chr, NULL));
    char_set_handlers(&front->be, &handlers, front);
}

void front_release(Front *front)
{
    char_detach(&front->be);
    g_byte_array_unref(front->got);
}

void front_take(Front *front, size_t room)
{
    front->room = room;
    char_accept_input(&front->be);
}

size_t front_write(Front *front, const char *text)
{
    return char_write(&front->be, (const uint8_t *)text, strlen(text));
}

void front_expect(const Front *front, const char *text)
{
    assert_int_equal(front->got->len, strlen(text));
    assert_memory_equal(front->got->data, text, strlen(text));
}

void loop_turn(void)
{
    g_main_context_iteration(event_loop_context(event_loop_main()), TRUE);
}

void loop_settle(void)
{
    while (g_main_context_iteration(event_loop_context(event_loop_main()), FALSE))
        continue;
}

void loop_receive(int fd, void *buf, size_t len)
{
    struct pollfd pfd = {.fd = fd, .events = POLLIN};

    for (size_t done = 0; done < len;) {
        loop_settle();
        if (poll(&pfd, 1, 1) == 0)
            continue;
        ssize_t n = read(fd, (char *)buf + done, len - done);
        assert_true(n > 0);
        done += (size_t)n;
    }
}

Chardev *chardev_from(const char *options)
{
    g_autoptr(GError) err = NULL;
    g_autoptr(KvNode) kv = keyval_parse(options, "backend", &err);
    Chardev *chr = kv ? chardev_new_from_options(kv, &err) : NULL;

    if (!chr)
        fail_msg("'%s' was refused: %s", options, err->message);
    return chr;
}

void chardev_refused(const char *options, const char *mention)
{
    g_autoptr(GError) err = NULL;
    g_autoptr(KvNode) kv = keyval_parse(options, "backend", NULL);

    assert_non_null(kv);
    assert_null(chardev_new_from_options(kv, &err));
    assert_non_null(err);
    if (!strstr(err->message, mention) || strchr(err->message, '\n'))
        fail_msg("'%s' does not mention '%s' in one line", err->message, mention);
}

int chardev_begin(void **state)
{
    alarm(100);
    machine_lock();
    return 0;
}

int chardev_end(void **state)
{
    chardev_cleanup();
    machine_unlock();
    alarm(0);
    return 0;
}
