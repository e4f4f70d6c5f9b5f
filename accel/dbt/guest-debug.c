/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A debugger's breakpoints and watchpoints (guest-debug.h).
 */
#include "accel/dbt/guest-debug.h"

#include "accel/dbt/block.h"

static int compare_points(const void *a, const void *b)
{
    const DebugPoint *x = a, *y = b;

    return x->addr < y->addr ? -1 : x->addr > y->addr;
}

static const DebugPoint *find_break(const DbtDebug *debug, uint64_t linear)
{
    guint low = 0, high = debug->breaks->len;

    while (low < high) {
        guint middle = (low + high) / 2;
        const DebugPoint *point = &g_array_index(debug->breaks, DebugPoint, middle);

        if (point->addr == linear)
            return point;
        if (point->addr < linear)
            low = middle + 1;
        else
            high = middle;
    }
    return NULL;
}

bool dbt_debug_check(Accel *accel, const DebugPoint *points, unsigned count, GError **errp)
{
    return true;
}

static bool is_block_end(const DbtDebug *debug, uint64_t addr)
{
    unsigned offset = (unsigned)(addr & ~GUEST_PAGE_MASK);

    return debug->ends[offset / 64] >> offset % 64 & 1;
}

/*
 * Blocks decoded so far may run over a breakpoint that is new. One that went away does no harm, and
 * a debugger that takes its breakpoints out at each stop would otherwise have all code decoded anew.
 * True if blocks have to be forgotten.
 */
static bool update_block_ends(DbtDebug *debug)
{
    bool known = true;

    for (guint i = 0; i < debug->breaks->len; i++)
        known = known && is_block_end(debug, g_array_index(debug->breaks, DebugPoint, i).addr);
    if (known)
        return false;
    memset(debug->ends, 0, sizeof(debug->ends));
    for (guint i = 0; i < debug->breaks->len; i++) {
        unsigned offset = (unsigned)(g_array_index(debug->breaks, DebugPoint, i).addr & ~GUEST_PAGE_MASK);
        debug->ends[offset / 64] |= BIT(offset % 64);
    }
    debug->ends_any = true;
    return true;
}

void dbt_debug_arm(Accel *base, const DebugPoint *points, unsigned count)
{
    DbtAccel *accel = (DbtAccel *)base;
    DbtDebug *debug = accel->debug;
    bool flush_blocks;

    dbt_exclusive_begin(accel);
    g_array_set_size(debug->breaks, 0);
    g_array_set_size(debug->watches, 0);
    for (unsigned i = 0; i < count; i++)
        g_array_append_val(debug_point_is_watch(&points[i]) ? debug->watches : debug->breaks, points[i]);
    g_array_sort(debug->breaks, compare_points);
    flush_blocks = update_block_ends(debug);
    for (guint i = 0; i < accel->vcpus->len; i++) {
        DbtVcpu *v = accel->vcpus->pdata[i];
        if (flush_blocks)
            dbt_cache_flush(v);
        if (debug->watches->len)
            dbt_tlb_flush(v, true);
    }
    dbt_exclusive_end(accel);
}

/* The main thread hears of it through a lock that must not be waited for within guest code. */
static void stop(DbtVcpu *v, DebugStopReason reason, const DebugPoint *point)
{
    dbt_guest_leave(v);
    guest_debug_stop(v->cpu, reason, point);
    dbt_guest_enter(v);
}

bool dbt_debug_break(DbtVcpu *v)
{
    const DebugPoint *point = find_break(v->accel->debug, dbt_code_linear(v));

    if (!point)
        return false;
    stop(v, DEBUG_STOP_BREAK, point);
    return true;
}

bool dbt_debug_page_watched(const DbtVcpu *v, uint64_t linear)
{
    const GArray *watches = v->accel->debug->watches;

    for (guint i = 0; i < watches->len; i++) {
        const DebugPoint *point = &g_array_index(watches, DebugPoint, i);
        if (ranges_overlap(linear & GUEST_PAGE_MASK, GUEST_PAGE_SIZE, point->addr, point->len))
            return true;
    }
    return false;
}

static bool watch_wants(const DebugPoint *point, bool write)
{
    return point->kind == DEBUG_WATCH_ACCESS || (point->kind == DEBUG_WATCH_WRITE) == write;
}

void dbt_debug_watch(DbtVcpu *v, uint64_t linear, unsigned len, bool write)
{
    const GArray *watches = v->accel->debug->watches;

    for (guint i = 0; i < watches->len && !v->watch_met; i++) {
        const DebugPoint *point = &g_array_index(watches, DebugPoint, i);
        if (watch_wants(point, write) && ranges_overlap(linear, len, point->addr, point->len)) {
            v->watch_met = point;
            dbt_attention(v);
        }
    }
}

void dbt_debug_report_watch(DbtVcpu *v)
{
    stop(v, DEBUG_STOP_WATCH, v->watch_met);
    v->watch_met = NULL;
}

void dbt_debug_stepped(DbtVcpu *v)
{
    if (v->watch_met)
        dbt_debug_report_watch(v);
    else
        stop(v, DEBUG_STOP_STEP, NULL);
}

void dbt_debug_init(DbtAccel *accel)
{
    accel->debug = g_new0(DbtDebug, 1);
    accel->debug->breaks = g_array_new(FALSE, FALSE, sizeof(DebugPoint));
    accel->debug->watches = g_array_new(FALSE, FALSE, sizeof(DebugPoint));
}

void dbt_debug_release(DbtAccel *accel)
{
    if (!accel->debug)
        return;
    g_array_unref(accel->debug->breaks);
    g_array_unref(accel->debug->watches);
    g_clear_pointer(&accel->debug, g_free);
}
