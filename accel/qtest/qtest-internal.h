/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Inside accel/qtest: the connection (qtest.c) and the commands (commands.c).
 */
#ifndef ACCEL_QTEST_INTERNAL_H
#define ACCEL_QTEST_INTERNAL_H

#include <stdint.h>

#include "accel/qtest.h"
#include "core/irq.h"

#define QTEST_MAX_LINES 64         /* interrupt lines whose level is remembered */
#define QTEST_MAX_SIZE  (16 << 20) /* bytes of one read or write command */

struct Qtest {
    Machine *machine;
    int in_fd, out_fd;
    int log_fd;     /* -1: none */
    guint watch;
    GString *input; /* up to the end of the line */
    uint64_t levels; /* as told by IRQ lines */
};

/* Sends the line that answers a command, after what the command asked of the machine is done. */
void qtest_answer(Qtest *qtest, const char *fmt, ...) G_GNUC_PRINTF(2, 3);
/* The sink of intercepted wires. */
void qtest_irq(void *opaque, int pin, int level);
/* Carries one command out and answers. line is taken apart. */
void qtest_command(Qtest *qtest, char *line);

#endif
