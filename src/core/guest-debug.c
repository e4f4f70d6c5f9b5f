/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * How a vCPU reports a breakpoint, a watchpoint or the end of a step (core/guest-debug.h).
 */
#include "core/guest-debug.h"

#include "core/machine.h"

void guest_debug_stop(Vcpu *vcpu, DebugStopReason reason, const DebugPoint *point)
{
    DebugStop *stop = &vcpu->debug.stop;

    if (stop->reason == DEBUG_STOP_NONE) {
        stop->reason = reason;
        stop->point = point ? *point : (DebugPoint){0};
    }
    machine_request_stop(vcpu->machine, RUN_STATE_DEBUG);
}
