/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef TESTS_UNIT_QCOW2_EXERCISE_H
#define TESTS_UNIT_QCOW2_EXERCISE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Opens these bytes as a qcow2 image and reads, writes, zeroes, discards, checks and repairs it. Whatever they are, nothing
 * bad may happen. False: they were not opened. */
bool qcow2_exercise(const uint8_t *data, size_t len);

#endif
