/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The LAPIC's timer: one-shot, periodic, TSC deadline.
 * Source: Intel SDM vol. 3, 11.5.4.
 *
 * Nothing counts: the current count is computed from the virtual clock. count_start_ns is -1 when
 * the count has reached zero in one-shot mode, and stays so if the mode changes to periodic then.
 * A period below PERIOD_FLOOR_NS loses interrupts, and so does a host that comes late by more than
 * a period.
 *
 * Locking: timer_lock; the callback runs on the main loop, everything else on the vCPU's thread. An
 * expiry is delivered before the lock is let go: once a guest's write has stopped the timer nothing
 * more comes from it, however late the host runs the callback.
 */
#include "hw/intc/lapic-internal.h"

#include "core/bits.h"
#include "core/tsc.h"

#define PERIOD_FLOOR_NS (200 * NS_PER_US)
#define DEADLINE_MAX_NS (1000 * NS_PER_SEC) /* looked at again then: no overflow for far deadlines */

/* --- Pure functions --- */

static unsigned timer_mode(const Lapic *lapic)
{
    return LVT_TIMER_MODE(lapic_load(&lapic->lvt[LVT_TIMER]));
}

/* Divide configuration: bits 3, 1, 0 encode 2, 4 .. 128, 1; SDM figure 11-10. */
static unsigned divide_shift(uint32_t divide)
{
    return ((divide & 3) + (divide >> 1 & 4) + 1) & 7;
}

/* At 1 GHz a count is a nanosecond before the divider; at most 2^39 ns. */
static int64_t count_ns(const Lapic *lapic)
{
    return (int64_t)lapic->initial_count << divide_shift(lapic->divide);
}

static uint64_t guest_tsc(const Lapic *lapic)
{
    return host_tsc() + lapic->vcpu->state.tsc_offset;
}

/* --- Arming, with timer_lock held --- */

/* now_ns is when counting started or the last period ended. */
static void arm_count(Lapic *lapic, int64_t now_ns)
{
    int64_t delay = count_ns(lapic);

    lapic->count_start_ns = now_ns;
    if (timer_mode(lapic) == TIMER_PERIODIC)
        delay = MAX(delay, PERIOD_FLOOR_NS);
    timer_mod(&lapic->timer, now_ns + delay);
}

static void arm_deadline(Lapic *lapic)
{
    uint64_t now = guest_tsc(lapic), ahead = lapic->tsc_deadline > now ? lapic->tsc_deadline - now : 0;
    uint64_t limit = muldiv64(DEADLINE_MAX_NS, host_tsc_khz(), NS_PER_MS);
    int64_t delay = muldiv64_up(MIN(ahead, limit), NS_PER_MS, host_tsc_khz());

    timer_mod(&lapic->timer, clock_get_ns(VMCLOCK_VIRTUAL) + delay);
}

static void disarm(Lapic *lapic)
{
    lapic->count_start_ns = -1;
    lapic->tsc_deadline = 0;
    timer_del(&lapic->timer);
}

/* Whether the interrupt is due; re-arms what goes on. */
static bool is_due(Lapic *lapic)
{
    int64_t now = clock_get_ns(VMCLOCK_VIRTUAL), period = count_ns(lapic);

    if (timer_mode(lapic) == TIMER_TSC_DEADLINE) {
        if (!lapic->tsc_deadline)
            return false;
        if (guest_tsc(lapic) < lapic->tsc_deadline) { /* the clocks differ a little */
            arm_deadline(lapic);
            return false;
        }
        lapic->tsc_deadline = 0;
        return true;
    }
    if (lapic->count_start_ns < 0 || !period || now < lapic->count_start_ns + period)
        return false;
    if (timer_mode(lapic) == TIMER_PERIODIC)
        arm_count(lapic, lapic->count_start_ns + (now - lapic->count_start_ns) / period * period);
    else
        lapic->count_start_ns = -1;
    return true;
}

static void expire(Lapic *lapic)
{
    if (is_due(lapic))
        lapic_deliver_lvt(lapic, LVT_TIMER); /* takes no lock */
}

static void timer_fired(void *opaque)
{
    Lapic *lapic = opaque;

    g_mutex_lock(&lapic->timer_lock);
    expire(lapic);
    g_mutex_unlock(&lapic->timer_lock);
}

/* --- Registers --- */

void lapic_timer_write_lvt(Lapic *lapic, uint32_t value)
{
    unsigned old_mode, mode = LVT_TIMER_MODE(value);

    g_mutex_lock(&lapic->timer_lock);
    old_mode = timer_mode(lapic);
    if (old_mode == TIMER_ONE_SHOT && mode != old_mode)
        expire(lapic); /* it did, only nobody has looked yet */
    lapic_store(&lapic->lvt[LVT_TIMER], value);
    if ((old_mode == TIMER_TSC_DEADLINE) != (mode == TIMER_TSC_DEADLINE))
        disarm(lapic); /* SDM 11.5.4.1 */
    else if (mode != old_mode && lapic->count_start_ns >= 0)
        arm_count(lapic, lapic->count_start_ns);
    g_mutex_unlock(&lapic->timer_lock);
}

void lapic_timer_write_initial(Lapic *lapic, uint32_t value)
{
    g_mutex_lock(&lapic->timer_lock);
    if (timer_mode(lapic) != TIMER_TSC_DEADLINE) { /* ignored there */
        lapic->initial_count = value;
        if (value)
            arm_count(lapic, clock_get_ns(VMCLOCK_VIRTUAL));
        else
            disarm(lapic);
    }
    g_mutex_unlock(&lapic->timer_lock);
}

/* With timer_lock. */
static uint32_t current_count(const Lapic *lapic)
{
    int64_t period = count_ns(lapic), past;

    if (lapic->count_start_ns < 0 || !period)
        return 0;
    past = clock_get_ns(VMCLOCK_VIRTUAL) - lapic->count_start_ns;
    if (timer_mode(lapic) == TIMER_PERIODIC)
        past %= period;
    if (past >= period)
        return 0;
    return lapic->initial_count - (past >> divide_shift(lapic->divide));
}

uint32_t lapic_timer_current(Lapic *lapic)
{
    uint32_t count;

    g_mutex_lock(&lapic->timer_lock);
    count = current_count(lapic);
    g_mutex_unlock(&lapic->timer_lock);
    return count;
}

/* The count goes on from where it stands, at the new rate. */
void lapic_timer_write_divide(Lapic *lapic, uint32_t value)
{
    g_mutex_lock(&lapic->timer_lock);
    if (lapic->count_start_ns >= 0) {
        int64_t counted = lapic->initial_count - current_count(lapic);

        lapic->divide = value;
        arm_count(lapic, clock_get_ns(VMCLOCK_VIRTUAL) - (counted << divide_shift(value)));
    }
    lapic->divide = value;
    g_mutex_unlock(&lapic->timer_lock);
}

void lapic_timer_write_deadline(Lapic *lapic, uint64_t tsc)
{
    g_mutex_lock(&lapic->timer_lock);
    if (timer_mode(lapic) == TIMER_TSC_DEADLINE) { /* ignored elsewhere */
        lapic->tsc_deadline = tsc;
        if (tsc)
            arm_deadline(lapic);
        else
            timer_del(&lapic->timer);
    }
    g_mutex_unlock(&lapic->timer_lock);
}

uint64_t lapic_timer_read_deadline(Lapic *lapic)
{
    uint64_t tsc;

    g_mutex_lock(&lapic->timer_lock);
    tsc = lapic->tsc_deadline;
    g_mutex_unlock(&lapic->timer_lock);
    return tsc;
}

/* --- Life cycle --- */

void lapic_timer_init(Lapic *lapic)
{
    g_mutex_init(&lapic->timer_lock);
    timer_init(&lapic->timer, event_loop_main(), VMCLOCK_VIRTUAL, timer_fired, lapic);
    lapic->count_start_ns = -1;
}

void lapic_timer_release(Lapic *lapic)
{
    timer_release(&lapic->timer);
    g_mutex_clear(&lapic->timer_lock);
}

void lapic_timer_reset(Lapic *lapic)
{
    g_mutex_lock(&lapic->timer_lock);
    disarm(lapic);
    lapic->initial_count = 0;
    lapic->divide = 0;
    g_mutex_unlock(&lapic->timer_lock);
}
