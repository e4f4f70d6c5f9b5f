/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Resuming vCPUs, stopping them, and telling gdb why they stopped: c, s, vCont, D, ?, Ctrl-C. GDB
 * manual, E.2 "Packets", E.3 "Stop Reply Packets".
 *
 *     c, s, vCont        actions of each vCPU; machine_start
 *       run state RUNNING      points and steps go into force, whoever started the VM
 *       run state another      they are taken out of force, before anybody sees the guest
 *       soon, on the main loop the stop reply, if gdb waits for one
 *
 * A vCPU that gdb does not resume (vCont names others only) is kept by a vcpu_pause of its own.
 *
 * Several vCPUs may stop at once, and gdb hears of one. A breakpoint another one stands before is met
 * again when it is resumed; a watchpoint is not, so that one is kept and reported next.
 *
 * A Ctrl-C that finds the VM standing stops it when it is resumed (E.9 "Interrupts"): gdb may send
 * it ahead of the packet that resumes. One that crosses a stop reply on its way is over with it.
 *
 * Locking: the main loop, machine_lock held.
 */
#include <string.h>

#include "gdb-internal.h"

/* GDB's numbers (include/gdb/signals.def), not the host's. */
enum {
    SIGNAL_INT = 2,
    SIGNAL_QUIT = 3,
    SIGNAL_TRAP = 5,
    SIGNAL_ABRT = 6,
    SIGNAL_STOP = 17,
};

static unsigned cpu_count(const Gdb *gdb)
{
    return gdb->machine->smp.cpus;
}

static Vcpu *cpu_at(const Gdb *gdb, unsigned index)
{
    return gdb->machine->vcpus[index];
}

/* --- into and out of force --- */

static void arm_points(Gdb *gdb, guint count)
{
    Accel *accel = gdb->machine->accel;

    if (accel->ops->debug_arm)
        accel->ops->debug_arm(accel, (const DebugPoint *)gdb->points->data, count);
}

static bool steps(const GdbAction *action)
{
    return action->kind == GDB_STEP || action->kind == GDB_STEP_RANGE;
}

/* The VM is about to run; vCPUs are still paused. */
static void arm(Gdb *gdb)
{
    gdb->armed = true;
    arm_points(gdb, gdb->points->len);
    for (unsigned i = 0; i < cpu_count(gdb); i++) {
        Vcpu *vcpu = cpu_at(gdb, i);
        bool step = steps(&gdb->actions[i]) && (gdb->step_flags & GDB_STEP_ENABLE);

        /* A halted vCPU ends its step with the interrupt that wakes it. */
        vcpu->debug.step = step;
        vcpu->debug.step_no_irq = step && (gdb->step_flags & GDB_STEP_NO_IRQ) &&
                                  vcpu->state.mp_state == MP_RUNNABLE;
    }
}

/* vCPUs are paused. */
static void disarm(Gdb *gdb)
{
    if (!gdb->armed)
        return;
    gdb->armed = false;
    arm_points(gdb, 0);
    gdb->machine->hold_clock = false;
    for (unsigned i = 0; i < cpu_count(gdb); i++) {
        Vcpu *vcpu = cpu_at(gdb, i);

        vcpu->debug.step = vcpu->debug.step_no_irq = false;
        if (gdb->actions[i].held)
            vcpu_resume(vcpu);
        gdb->actions[i].held = false;
    }
}

/* --- resuming --- */

/* The virtual clock stands if all that happens is a step, and nobody has to be woken by it. */
static bool wants_clock_held(const Gdb *gdb)
{
    bool any = false;

    if (!(gdb->step_flags & GDB_STEP_ENABLE) || !(gdb->step_flags & GDB_STEP_NO_TIMER))
        return false;
    for (unsigned i = 0; i < cpu_count(gdb); i++) {
        if (gdb->actions[i].kind == GDB_CONTINUE)
            return false;
        if (steps(&gdb->actions[i]) && cpu_at(gdb, i)->state.mp_state != MP_RUNNABLE)
            return false;
        any = any || steps(&gdb->actions[i]);
    }
    return any;
}

static void stop_if_interrupted(Gdb *gdb)
{
    if (gdb->interrupted && machine_is_running(gdb->machine))
        machine_stop(gdb->machine, RUN_STATE_PAUSED);
}

/* Resumes as gdb->actions say. False: there is something to report as it is. */
static bool resume(Gdb *gdb)
{
    bool unreported = false;

    gdb->awaiting_stop = true;
    gdb->reply_later = true;
    for (unsigned i = 0; i < cpu_count(gdb); i++) {
        Vcpu *vcpu = cpu_at(gdb, i);

        if (vcpu->debug.stop.reason == DEBUG_STOP_WATCH)
            unreported = true;
        else
            vcpu->debug.stop.reason = DEBUG_STOP_NONE;
        if (steps(&gdb->actions[i]))
            vcpu_sync_state(vcpu);
    }
    if (unreported)
        return false;
    for (unsigned i = 0; i < cpu_count(gdb); i++) {
        gdb->actions[i].held = gdb->actions[i].kind == GDB_HOLD;
        if (gdb->actions[i].held)
            vcpu_pause(cpu_at(gdb, i));
    }
    gdb->machine->hold_clock = wants_clock_held(gdb);
    if (machine_start(gdb->machine)) {
        stop_if_interrupted(gdb);
        return true;
    }
    gdb->armed = true; /* only a reset leads on from here: gdb is told again why it stands */
    disarm(gdb);
    return false;
}

static void set_all_actions(Gdb *gdb, GdbActionKind kind)
{
    for (unsigned i = 0; i < cpu_count(gdb); i++)
        gdb->actions[i] = (GdbAction){.kind = kind};
}

/* --- stop replies --- */

static unsigned state_signal(RunState state)
{
    switch (state) {
    case RUN_STATE_PAUSED:
    case RUN_STATE_WATCHDOG:
        return SIGNAL_INT;
    case RUN_STATE_SHUTDOWN:
        return SIGNAL_QUIT;
    case RUN_STATE_GUEST_PANICKED:
    case RUN_STATE_INTERNAL_ERROR:
        return SIGNAL_ABRT;
    case RUN_STATE_IO_ERROR:
        return SIGNAL_STOP;
    case RUN_STATE_PRELAUNCH:
    case RUN_STATE_RUNNING:
    case RUN_STATE_DEBUG:
        break;
    }
    return SIGNAL_TRAP;
}

static void append_reason(const Gdb *gdb, GString *out, const DebugStop *stop)
{
    static const char *const watch_names[] = {
        [DEBUG_WATCH_WRITE] = "watch", [DEBUG_WATCH_READ] = "rwatch", [DEBUG_WATCH_ACCESS] = "awatch",
    };

    if (stop->reason == DEBUG_STOP_WATCH)
        g_string_append_printf(out, "%s:%" G_GINT64_MODIFIER "x;", watch_names[stop->point.kind], stop->point.addr);
    else if (stop->reason == DEBUG_STOP_BREAK && gdb->reports_breaks)
        g_string_append(out, stop->point.kind == DEBUG_BREAK_HARD ? "hwbreak:;" : "swbreak:;");
}

/* T signal reason thread, of the vCPU gdb is to look at. */
static void append_stop(const Gdb *gdb, GString *out, unsigned signal, unsigned index, const DebugStop *stop)
{
    g_string_append_printf(out, "T%02x", signal);
    if (stop)
        append_reason(gdb, out, stop);
    g_string_append(out, "thread:");
    gdb_append_thread(gdb, out, index);
    g_string_append_c(out, ';');
}

/* ? */
void gdb_report_status(Gdb *gdb, GdbArgs *args)
{
    append_stop(gdb, gdb->reply, state_signal(gdb->machine->run_state), gdb->general_thread, NULL);
}

/* The vCPU with the most to tell: what would be lost first; -1: none has stopped by itself. */
static int stopped_cpu(const Gdb *gdb)
{
    int best = -1;

    for (unsigned i = 0; i < cpu_count(gdb); i++) {
        DebugStopReason reason = cpu_at(gdb, i)->debug.stop.reason;
        if (reason != DEBUG_STOP_NONE && (best < 0 || reason > cpu_at(gdb, (unsigned)best)->debug.stop.reason))
            best = (int)i;
    }
    return best;
}

/* A step that ended within the range gdb wants to leave. */
static bool still_in_range(const Gdb *gdb, unsigned index)
{
    const GdbAction *action = &gdb->actions[index];
    Vcpu *vcpu = cpu_at(gdb, index);

    if (vcpu->debug.stop.reason != DEBUG_STOP_STEP || action->kind != GDB_STEP_RANGE)
        return false;
    vcpu_sync_state(vcpu);
    return vcpu->state.rip >= action->start && vcpu->state.rip < action->end;
}

static void send_stop(Gdb *gdb, int index)
{
    g_autoptr(GString) packet = g_string_new(NULL);
    unsigned signal = state_signal(gdb->machine->run_state);

    gdb->awaiting_stop = gdb->interrupted = false;
    set_all_actions(gdb, GDB_CONTINUE);
    if (index < 0) {
        append_stop(gdb, packet, signal, gdb->general_thread, NULL);
    } else {
        DebugStop *stop = &cpu_at(gdb, (unsigned)index)->debug.stop;
        gdb->general_thread = (unsigned)index;
        append_stop(gdb, packet, SIGNAL_TRAP, (unsigned)index, stop);
        stop->reason = DEBUG_STOP_NONE;
    }
    gdb_send(gdb, packet->str, packet->len);
}

/* Nothing gdb asked for: a step within the range it wants to leave, or a stop asked for by a vCPU
 * whose reason has been reported, or is void, meanwhile. */
static bool goes_on(const Gdb *gdb, int index)
{
    if (index < 0)
        return gdb->machine->run_state == RUN_STATE_DEBUG;
    return still_in_range(gdb, (unsigned)index);
}

/* The VM stopped, or was never started, and gdb waits to hear of it. */
static void report(Gdb *gdb)
{
    int index;

    gdb->report = NULL;
    if (!gdb->awaiting_stop || machine_is_running(gdb->machine))
        return;
    index = stopped_cpu(gdb);
    if (!goes_on(gdb, index) || !resume(gdb))
        send_stop(gdb, stopped_cpu(gdb));
}

static void report_now(void *opaque)
{
    GdbReport *queued = opaque;

    if (queued->gdb)
        report(queued->gdb);
    g_free(queued);
}

static void report_next_turn(void *opaque)
{
    event_loop_call(event_loop_main(), report_now, opaque);
}

/* Two turns of the loop from now: if the VM ends, that is reported instead (gdbstub_free). */
static void queue_report(Gdb *gdb)
{
    if (gdb->report)
        return;
    gdb->report = g_new0(GdbReport, 1);
    gdb->report->gdb = gdb;
    event_loop_call(event_loop_main(), report_next_turn, gdb->report);
}

static void resume_or_report(Gdb *gdb)
{
    if (!resume(gdb))
        queue_report(gdb);
}

void gdb_run_state_changed(void *opaque, RunState state)
{
    Gdb *gdb = opaque;

    if (state == RUN_STATE_RUNNING) {
        arm(gdb);
        return;
    }
    disarm(gdb);
    queue_report(gdb);
}

/* --- stopping --- */

void gdb_stop_quietly(Gdb *gdb)
{
    if (gdb->awaiting_stop)
        gdb->awaiting_stop = gdb->interrupted = false;
    if (machine_is_running(gdb->machine))
        machine_stop(gdb->machine, RUN_STATE_PAUSED);
    set_all_actions(gdb, GDB_CONTINUE);
}

void gdb_interrupt(Gdb *gdb)
{
    gdb->interrupted = true;
    if (gdb->awaiting_stop)
        stop_if_interrupted(gdb);
}

/* --- packets --- */

/* A signal number, which a VM has no use for. */
static bool take_signal(GdbArgs *args)
{
    uint8_t number;

    return gdb_take_bytes(args, &number, 1);
}

/* [addr] of c and s: where to go on. */
static bool take_resume_address(Gdb *gdb, GdbArgs *args)
{
    Vcpu *vcpu = gdb_vcpu(gdb);
    uint64_t addr;

    if (args->next == args->end)
        return true;
    if (!gdb_take_hex(args, &addr))
        return false;
    vcpu_sync_state(vcpu);
    vcpu->state.rip = addr;
    vcpu_mark_dirty(vcpu);
    return true;
}

static void resume_all(Gdb *gdb, GdbArgs *args, bool step)
{
    unsigned index = gdb->resume_thread < 0 ? gdb->general_thread : (unsigned)gdb->resume_thread;

    if (!take_resume_address(gdb, args)) {
        gdb_reply_error(gdb, GDB_ERROR_SYNTAX);
        return;
    }
    set_all_actions(gdb, GDB_CONTINUE);
    if (step)
        gdb->actions[index].kind = GDB_STEP;
    resume_or_report(gdb);
}

void gdb_continue(Gdb *gdb, GdbArgs *args)
{
    resume_all(gdb, args, false);
}

void gdb_step(Gdb *gdb, GdbArgs *args)
{
    resume_all(gdb, args, true);
}

static void resume_with_signal(Gdb *gdb, GdbArgs *args, bool step)
{
    if (!take_signal(args)) {
        gdb_reply_error(gdb, GDB_ERROR_SYNTAX);
        return;
    }
    gdb_take_char(args, ';');
    resume_all(gdb, args, step);
}

void gdb_continue_signal(Gdb *gdb, GdbArgs *args)
{
    resume_with_signal(gdb, args, false);
}

void gdb_step_signal(Gdb *gdb, GdbArgs *args)
{
    resume_with_signal(gdb, args, true);
}

void gdb_vcont_query(Gdb *gdb, GdbArgs *args)
{
    g_string_assign(gdb->reply, "vCont;c;C;s;S;t;r");
}

/* c, C sig, s, S sig, t, r start,end */
static bool take_action(GdbArgs *args, GdbAction *action)
{
    *action = (GdbAction){0};
    if (gdb_take_char(args, 'c') || (gdb_take_char(args, 'C') && take_signal(args))) {
        action->kind = GDB_CONTINUE;
        return true;
    }
    if (gdb_take_char(args, 's') || (gdb_take_char(args, 'S') && take_signal(args))) {
        action->kind = GDB_STEP;
        return true;
    }
    if (gdb_take_char(args, 't'))
        return true;
    action->kind = GDB_STEP_RANGE;
    return gdb_take_char(args, 'r') && gdb_take_hex(args, &action->start) && gdb_take_char(args, ',') &&
           gdb_take_hex(args, &action->end);
}

/* ;action[:thread]...: for each thread the first that names it. False: syntax. */
static bool take_actions(Gdb *gdb, GdbArgs *args, GdbAction *actions)
{
    g_autofree bool *named = g_new0(bool, cpu_count(gdb));
    bool any = false;

    while (args->next < args->end) {
        GdbAction action;
        int index = -1;

        if (!gdb_take_char(args, ';') || !take_action(args, &action) ||
            (gdb_take_char(args, ':') && !gdb_take_thread(gdb, args, &index)))
            return false;
        for (unsigned i = 0; i < cpu_count(gdb); i++) {
            if (named[i] || (index >= 0 && (unsigned)index != i))
                continue;
            named[i] = true;
            actions[i] = action;
            any = any || action.kind != GDB_HOLD;
        }
    }
    return any;
}

void gdb_vcont(Gdb *gdb, GdbArgs *args)
{
    g_autofree GdbAction *actions = g_new0(GdbAction, cpu_count(gdb));

    if (!take_actions(gdb, args, actions)) {
        gdb_reply_error(gdb, GDB_ERROR_SYNTAX);
        return;
    }
    memcpy(gdb->actions, actions, cpu_count(gdb) * sizeof(*actions));
    resume_or_report(gdb);
}

/* --- sessions --- */

static void forget_points(Gdb *gdb)
{
    g_array_set_size(gdb->points, 0);
    set_all_actions(gdb, GDB_CONTINUE);
    for (unsigned i = 0; i < cpu_count(gdb); i++)
        cpu_at(gdb, i)->debug.stop.reason = DEBUG_STOP_NONE;
}

void gdb_detach(Gdb *gdb, GdbArgs *args)
{
    forget_points(gdb);
    machine_start(gdb->machine);
    gdb_reply_ok(gdb);
}

void gdb_session_begin(Gdb *gdb)
{
    gdb->no_ack = gdb->multiprocess = gdb->reports_breaks = gdb->physical = gdb->interrupted = false;
    gdb->step_flags = GDB_STEP_ALL;
    gdb->general_thread = 0;
    gdb->resume_thread = -1;
    gdb_layout_choose(gdb);
}

void gdb_session_end(Gdb *gdb)
{
    bool resumed = gdb->awaiting_stop;

    gdb->awaiting_stop = false;
    if (machine_is_running(gdb->machine)) {
        vcpu_pause_all(gdb->machine);
        disarm(gdb);
        forget_points(gdb);
        vcpu_resume_all(gdb->machine);
    } else {
        forget_points(gdb);
        if (resumed && gdb->machine->run_state == RUN_STATE_DEBUG)
            machine_start(gdb->machine); /* it met a breakpoint nobody will hear of */
    }
}
