/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * I/O limits: leaky buckets.
 *
 *     requests pour in --> [ level ] --> leaks avg units a second
 *
 * A request may start while the level is at most the bucket's size; then it adds its units. Without max the bucket
 * holds a tenth of a second's worth. With max and length it holds max * length, so that after a quiet time max units
 * a second pass for length seconds; a second, small bucket keeps that burst at max.
 *
 * One ThrottleState has six buckets: bytes and requests, each for reads, writes and both. Pure functions of the time
 * they are given; the locking is the caller's.
 */
#ifndef BLOCK_THROTTLE_H
#define BLOCK_THROTTLE_H

#include <stdbool.h>
#include <stdint.h>

#include "core/device.h"

typedef enum ThrottleKind {
    THROTTLE_BPS_TOTAL,
    THROTTLE_BPS_READ,
    THROTTLE_BPS_WRITE,
    THROTTLE_IOPS_TOTAL,
    THROTTLE_IOPS_READ,
    THROTTLE_IOPS_WRITE,
    THROTTLE_KIND_COUNT,
} ThrottleKind;

/* What throttling.* says; all 0: no limit. */
struct ThrottleConfig {
    uint64_t avg[THROTTLE_KIND_COUNT];    /* units a second */
    uint64_t max[THROTTLE_KIND_COUNT];    /* in a burst; 0: none */
    uint64_t length[THROTTLE_KIND_COUNT]; /* of a burst, seconds */
    uint64_t iops_size;                   /* a larger request counts as several; 0: as one */
};
typedef struct ThrottleConfig ThrottleConfig;

typedef struct ThrottleState {
    ThrottleConfig config;
    double level[THROTTLE_KIND_COUNT], burst[THROTTLE_KIND_COUNT];
    int64_t last_ns; /* when the levels were true */
} ThrottleState;

bool throttle_is_limited(const ThrottleConfig *config);
/* Contradictions are errors: a burst below the average, a length without a burst, total and read or write together. */
bool throttle_check(const ThrottleConfig *config, GError **errp);
void throttle_init(ThrottleState *state, const ThrottleConfig *config, int64_t now_ns);
/* How long the next read or write has to wait; 0: it may start, and throttle_account is called. */
int64_t throttle_wait_ns(ThrottleState *state, bool write, int64_t now_ns);
void throttle_account(ThrottleState *state, bool write, uint64_t bytes);

#endif
