/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A debugger's breakpoints and watchpoints in the interpreter (core/guest-debug.h). Nothing of them
 * is in guest memory or in the guest's debug registers:
 *
 *     breakpoints  a block never has one inside: it ends before an instruction whose offset in its
 *                  page is that of some breakpoint (the offset is the same whatever linear address
 *                  shows the page), and the loop compares cs:rip before each block
 *     watchpoints  pages that hold one get no TLB entry, so that their accesses, and no others, take
 *                  the slow path, which compares
 *
 * A read-modify-write access counts as a write. Accesses the processor makes for itself (page walks,
 * descriptor tables, interrupt frames) are not watched.
 *
 * Locking: changed in an exclusive section while all vCPUs are paused, read by vCPU threads.
 */
#ifndef DBT_GUEST_DEBUG_H
#define DBT_GUEST_DEBUG_H

#include "accel/dbt/dbt.h"
#include "core/bits.h"

typedef struct DbtDebug {
    GArray *breaks;  /* of DebugPoint, sorted by address */
    GArray *watches; /* of DebugPoint */
    uint64_t ends[GUEST_PAGE_SIZE / 64]; /* bit n: blocks end before offset n of a page */
    bool ends_any;
} DbtDebug;

void dbt_debug_init(DbtAccel *accel);
void dbt_debug_release(DbtAccel *accel);
/* AccelOps. */
bool dbt_debug_check(Accel *accel, const DebugPoint *points, unsigned count, GError **errp);
void dbt_debug_arm(Accel *accel, const DebugPoint *points, unsigned count);

static inline bool dbt_debug_has_breaks(const DbtVcpu *v)
{
    return v->accel->debug->breaks->len > 0;
}

static inline bool dbt_debug_has_watches(const DbtVcpu *v)
{
    return v->accel->debug->watches->len > 0;
}

/* Somebody, the guest or a debugger, wants to hear of data accesses: dbt_mem_end is not optional. */
static inline bool dbt_debug_wants_data(const DbtVcpu *v)
{
    return v->state->dr[7] & 0xff || dbt_debug_has_watches(v);
}

/* Whether a block has to end before the instruction at linear. */
static inline bool dbt_debug_ends_block(const DbtVcpu *v, uint64_t linear)
{
    const DbtDebug *debug = v->accel->debug;
    unsigned offset = (unsigned)(linear & ~GUEST_PAGE_MASK);

    return __builtin_expect(debug->ends_any, 0) && debug->ends[offset / 64] >> offset % 64 & 1;
}

/* Before an instruction that is not being stepped: true if it has a breakpoint, which is reported. */
bool dbt_debug_break(DbtVcpu *v);
/* A page that must not be entered in the TLB. */
bool dbt_debug_page_watched(const DbtVcpu *v, uint64_t linear);
/* After an access that succeeded. */
void dbt_debug_watch(DbtVcpu *v, uint64_t linear, unsigned len, bool write);
/* When the instruction has ended: reports what dbt_debug_watch noted. */
void dbt_debug_report_watch(DbtVcpu *v);
/* A step is over. */
void dbt_debug_stepped(DbtVcpu *v);

#endif
