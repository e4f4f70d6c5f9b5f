/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The client side of qtest: starts a vmm without CPUs and drives its ports, memory, interrupt lines
 * and clock (accel/qtest.h has the protocol).
 *
 * Every call waits at most QT_TIMEOUT_MS and fails the running cmocka test if the vmm does not
 * answer, or answers FAIL.
 */
#ifndef TESTS_DEVICE_QTEST_H
#define TESTS_DEVICE_QTEST_H

#include <glib.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#define QT_TIMEOUT_MS 90000
#define QT_LINES      64

typedef struct QTest {
    pid_t pid;
    int fd;
    int serial_in;  /* writes reach the guest's COM1; -1 without QT_SERIAL */
    int serial_out; /* what COM1 sent */
    GString *input;
    bool level[QT_LINES];      /* of the intercepted lines */
    unsigned raised[QT_LINES]; /* times each went high */
} QTest;

/* args: more options for the command line, one string, split at spaces; may be NULL. */
QTest *qt_start(const char *args);
/* The same, with COM1 on pipes. */
QTest *qt_start_serial(const char *args);
/* Ends the vmm by closing the connection. True: it exited with status 0. */
bool qt_end(QTest *qt);
/* The vmm is to end by itself: its exit status, -1 if a signal killed it. Frees qt. */
int qt_wait_exit(QTest *qt);

uint8_t qt_inb(QTest *qt, uint16_t port);
uint16_t qt_inw(QTest *qt, uint16_t port);
uint32_t qt_inl(QTest *qt, uint16_t port);
void qt_outb(QTest *qt, uint16_t port, uint8_t value);
void qt_outw(QTest *qt, uint16_t port, uint16_t value);
void qt_outl(QTest *qt, uint16_t port, uint32_t value);
uint32_t qt_readl(QTest *qt, uint64_t addr);
uint64_t qt_readq(QTest *qt, uint64_t addr);
void qt_writel(QTest *qt, uint64_t addr, uint32_t value);
void qt_writeq(QTest *qt, uint64_t addr, uint64_t value);
void qt_read(QTest *qt, uint64_t addr, void *buf, size_t len);
void qt_write(QTest *qt, uint64_t addr, const void *buf, size_t len);

/* Both return the virtual clock. */
int64_t qt_step(QTest *qt, int64_t ns);
int64_t qt_step_next(QTest *qt); /* to the next deadline */
/* From now on the GSIs, or a device's outputs, show in level[] and raised[]. */
void qt_intercept_gsi(QTest *qt);
void qt_intercept_out(QTest *qt, const char *device);
void qt_set_gsi(QTest *qt, int gsi, int level);
/* One raw command; the answer after "OK", or NULL if it was FAIL. Caller frees. */
char *qt_command(QTest *qt, const char *fmt, ...) G_GNUC_PRINTF(2, 3);

/* Sends count commands (whole lines, at most some 10 KiB) at once and takes their answers, whatever
 * they are. */
void qt_batch(QTest *qt, const char *lines, unsigned count);

/* Exactly len bytes out of COM1, waiting for them. */
void qt_serial_read(QTest *qt, void *buf, size_t len);
void qt_serial_write(QTest *qt, const void *buf, size_t len);
/* Polls port until (value & mask) == want: for what happens on the vmm's own time (host input). */
void qt_wait_inb(QTest *qt, uint16_t port, uint8_t mask, uint8_t want);

/* cmocka fixtures: a vmm for each test, *state is the QTest. */
int qt_setup(void **state);
int qt_setup_serial(void **state);
int qt_teardown(void **state);

#endif
