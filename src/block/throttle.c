/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "block/throttle.h"

#include "core/error.h"
#include "core/loop.h"

static bool kind_is_bytes(ThrottleKind kind)
{
    return kind <= THROTTLE_BPS_WRITE;
}

/* Whether requests of this direction pour into the bucket. */
static bool kind_counts(ThrottleKind kind, bool write)
{
    ThrottleKind direction = kind % THROTTLE_IOPS_TOTAL;

    return direction == THROTTLE_BPS_TOTAL || direction == (write ? THROTTLE_BPS_WRITE : THROTTLE_BPS_READ);
}

bool throttle_is_limited(const ThrottleConfig *config)
{
    for (ThrottleKind kind = 0; kind < THROTTLE_KIND_COUNT; kind++) {
        if (config->avg[kind] || config->max[kind])
            return true;
    }
    return false;
}

bool throttle_check(const ThrottleConfig *config, GError **errp)
{
    static const ThrottleKind totals[] = {THROTTLE_BPS_TOTAL, THROTTLE_IOPS_TOTAL};

    for (unsigned i = 0; i < G_N_ELEMENTS(totals); i++) {
        ThrottleKind total = totals[i];
        const char *what = kind_is_bytes(total) ? "bps" : "iops";
        if (config->avg[total] && (config->avg[total + 1] || config->avg[total + 2]))
            return error_set_code(errp, VMM_ERROR_USAGE, "throttling: %s-total excludes %s-read and %s-write", what, what,
                                  what);
    }
    for (ThrottleKind kind = 0; kind < THROTTLE_KIND_COUNT; kind++) {
        uint64_t avg = config->avg[kind], max = config->max[kind], length = config->length[kind];
        if (avg > 1000000000000000 || max > 1000000000000000 || length > 1000000)
            return error_set_code(errp, VMM_ERROR_USAGE, "throttling: limits go up to 10^15, lengths to 10^6 seconds");
        if (max && max <= avg)
            return error_set_code(errp, VMM_ERROR_USAGE, "throttling: a burst (max) is above the average it interrupts");
        if (max && !avg)
            return error_set_code(errp, VMM_ERROR_USAGE, "throttling: a burst (max) needs an average limit");
        if (length > 1 && !max)
            return error_set_code(errp, VMM_ERROR_USAGE, "throttling: max-length needs a burst (max)");
    }
    return true;
}

void throttle_init(ThrottleState *state, const ThrottleConfig *config, int64_t now_ns)
{
    *state = (ThrottleState){.config = *config, .last_ns = now_ns};
}

static void leak(ThrottleState *state, int64_t now_ns)
{
    double seconds = (double)MAX(now_ns - state->last_ns, 0) / (double)NS_PER_SEC;

    for (ThrottleKind kind = 0; kind < THROTTLE_KIND_COUNT; kind++) {
        state->level[kind] = MAX(state->level[kind] - (double)state->config.avg[kind] * seconds, 0);
        state->burst[kind] = MAX(state->burst[kind] - (double)state->config.max[kind] * seconds, 0);
    }
    state->last_ns = now_ns;
}

/* Until level, leaking at rate, is down to size. */
static int64_t time_to_leak(double level, double size, double rate)
{
    return level > size && rate > 0 ? (int64_t)((level - size) / rate * (double)NS_PER_SEC) + 1 : 0;
}

static int64_t bucket_wait_ns(const ThrottleState *state, ThrottleKind kind)
{
    double avg = (double)state->config.avg[kind], max = (double)state->config.max[kind];
    uint64_t length = MAX(state->config.length[kind], 1);
    int64_t wait_ns = time_to_leak(state->level[kind], max > 0 ? max * (double)length : avg / 10, avg);

    if (max > 0 && length > 1)
        wait_ns = MAX(wait_ns, time_to_leak(state->burst[kind], max / 10, max));
    return wait_ns;
}

int64_t throttle_wait_ns(ThrottleState *state, bool write, int64_t now_ns)
{
    int64_t wait_ns = 0;

    leak(state, now_ns);
    for (ThrottleKind kind = 0; kind < THROTTLE_KIND_COUNT; kind++) {
        if (kind_counts(kind, write) && state->config.avg[kind])
            wait_ns = MAX(wait_ns, bucket_wait_ns(state, kind));
    }
    return wait_ns;
}

void throttle_account(ThrottleState *state, bool write, uint64_t bytes)
{
    uint64_t size = state->config.iops_size;
    double requests = size && bytes > size ? (double)bytes / (double)size : 1;

    for (ThrottleKind kind = 0; kind < THROTTLE_KIND_COUNT; kind++) {
        double units = kind_is_bytes(kind) ? (double)bytes : requests;
        if (!kind_counts(kind, write))
            continue;
        state->level[kind] += units;
        state->burst[kind] += units;
    }
}
