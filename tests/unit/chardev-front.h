/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A front end for tests of character backends, and turns of the main loop.
 */
#ifndef TESTS_UNIT_CHARDEV_FRONT_H
#define TESTS_UNIT_CHARDEV_FRONT_H

#include "chardev/char.h"

/* Takes room bytes at a time and keeps all it got. */
typedef struct Front {
    CharBackend be;
    GByteArray *got;
    size_t room;
    unsigned writable, opened, closed, breaks;
} Front;

void front_connect(Front *front, Chardev *chr, size_t room);
void front_release(Front *front);
/* Makes room and asks for input. */
void front_take(Front *front, size_t room);
size_t front_write(Front *front, const char *text);
void front_expect(const Front *front, const char *text);

/* One turn of the main loop that waits for an event; alarm(2) ends a test that waits in vain. */
void loop_turn(void);
/* Turns as long as something is ready. */
void loop_settle(void);
/* Turns until the condition holds. */
#define loop_until(condition) \
    do {                      \
        while (!(condition))  \
            loop_turn();      \
    } while (0)

/* What a peer at fd gets next, len bytes, while the main loop turns. */
void loop_receive(int fd, void *buf, size_t len);

/* From -chardev syntax; the test fails if it is refused. */
Chardev *chardev_from(const char *options);
/* The options are refused, in one line that mentions this. */
void chardev_refused(const char *options, const char *mention);

/* cmocka set-up and tear-down: the lock held, everything closed afterwards. */
int chardev_begin(void **state);
int chardev_end(void **state);
#define CHARDEV_CASE(fn) cmocka_unit_test_setup_teardown(fn, chardev_begin, chardev_end)

#endif
