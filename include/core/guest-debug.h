/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Guest debugging: what a debugger asks of an accelerator, and how a vCPU reports that it happened.
 *
 *     debugger, VM stopped                         vCPU thread
 *     AccelOps.debug_check: can it be done?
 *     AccelOps.debug_arm(points); Vcpu.debug.step
 *     machine_start                                runs; meets a point or ends its step
 *                                                  guest_debug_stop: notes why, asks for a stop
 *     run state becomes DEBUG                      stands still before its next instruction
 *     AccelOps.debug_arm(no points)
 *
 * Points are in force on all vCPUs, by linear address, and only while the VM runs: who looks at the
 * stopped guest never sees what an accelerator had to put into its memory. The guest itself cannot
 * see them either, except where the accelerator's description says so.
 *
 *     BREAK_*         stops before the instruction that begins at addr; len is ignored
 *     WATCH_*         stops after an instruction that accessed one of [addr, addr + len)
 *
 * Locking: the vCPUs are paused and machine_lock is held whenever a debugger changes something here.
 */
#ifndef CORE_GUEST_DEBUG_H
#define CORE_GUEST_DEBUG_H

#include <stdbool.h>
#include <stdint.h>

typedef struct Vcpu Vcpu;

typedef enum DebugPointKind {
    DEBUG_BREAK_SOFT, /* as many as asked for */
    DEBUG_BREAK_HARD, /* never changes guest memory; may be few */
    DEBUG_WATCH_WRITE,
    DEBUG_WATCH_READ,
    DEBUG_WATCH_ACCESS,
} DebugPointKind;

typedef struct DebugPoint {
    DebugPointKind kind;
    uint64_t addr;
    uint64_t len; /* at least 1 */
    /* BREAK_SOFT: where addr was mapped when the debugger set it; DEBUG_NO_GPA: nowhere. */
    uint64_t gpa;
} DebugPoint;

#define DEBUG_NO_GPA UINT64_MAX

typedef enum DebugStopReason {
    DEBUG_STOP_NONE,
    DEBUG_STOP_STEP,  /* the step asked for is done, or an interrupt was taken instead */
    DEBUG_STOP_BREAK,
    DEBUG_STOP_WATCH,
} DebugStopReason;

/* point is the one that was met. */
typedef struct DebugStop {
    DebugStopReason reason;
    DebugPoint point;
} DebugStop;

/* Part of each Vcpu. */
typedef struct VcpuDebug {
    bool step;        /* stop after one instruction (one iteration of a REP) */
    bool step_no_irq; /* and take no interrupt or NMI for it, unless the vCPU is halted */
    DebugStop stop;   /* written by the vCPU's thread, cleared by the debugger */
} VcpuDebug;

static inline bool debug_point_is_watch(const DebugPoint *point)
{
    return point->kind >= DEBUG_WATCH_WRITE;
}

/* On the vCPU's own thread: it runs no further instruction, and the VM stops in RUN_STATE_DEBUG. The
 * first stop since the debugger last looked is kept. */
void guest_debug_stop(Vcpu *vcpu, DebugStopReason reason, const DebugPoint *point);

#endif
