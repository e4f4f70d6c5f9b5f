/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * -qtest: a test drives the machine over a stream with QEMU's qtest line protocol.
 *
 * Commands (one a line; numbers in C notation) and answers:
 *
 *     inb|inw|inl PORT                   OK 0xVALUE
 *     outb|outw|outl PORT VALUE          OK
 *     readb|readw|readl|readq ADDR       OK 0xVALUE
 *     writeb|writew|writel|writeq ADDR VALUE   OK
 *     read ADDR SIZE                     OK 0xHEXBYTES
 *     write ADDR SIZE 0xHEXBYTES         OK
 *     memset ADDR SIZE BYTE              OK
 *     b64read ADDR SIZE                  OK BASE64
 *     b64write ADDR SIZE BASE64          OK
 *     clock_step [NS]                    OK NOW   by NS, or to the next deadline
 *     clock_set NS                       OK NOW
 *     irq_intercept_in ANY               OK       "IRQ raise N", "IRQ lower N" for each GSI from now on;
 *                                                 the board's interrupt controllers no longer hear them
 *     irq_intercept_out DEVICE           OK       likewise for the device's outputs
 *     set_irq_in gsi ANY N LEVEL         OK       drives GSI N
 *     endianness                         OK little
 *
 * Anything else: FAIL and why. IRQ lines come before the answer of the command that caused them.
 * A reset or shutdown a command asks for has happened (or begun) before its answer; the end of the
 * stream ends the VM.
 *
 * Locking: the main loop with machine_lock, like a device.
 */
#ifndef ACCEL_QTEST_H
#define ACCEL_QTEST_H

#include <glib.h>
#include <stdbool.h>

typedef struct Machine Machine;
typedef struct Qtest Qtest;

/*
 * Connects to "unix:PATH" (the test listens there), "fd:N" or "stdio". log: NULL, or a file for both
 * directions. Call when the machine is built. NULL with an error that names the address.
 */
Qtest *qtest_new(Machine *machine, const char *address, const char *log, GError **errp);
/* Before machine_free. */
void qtest_free(Qtest *qtest);

#endif
