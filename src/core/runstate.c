/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Run states and the requests that change them.
 *
 * A request is noted under request_lock and a timer of the main loop is made due at once; its
 * callback serves everything noted by then. The vCPUs are paused before the notes are read, so
 * requests that several vCPUs make at the same time are served as one.
 */
#include "core/runstate.h"

#include "core/event.h"
#include "core/lock.h"
#include "core/log.h"
#include "core/machine.h"

static const char *const state_names[] = {
    [RUN_STATE_PRELAUNCH] = "prelaunch",
    [RUN_STATE_RUNNING] = "running",
    [RUN_STATE_PAUSED] = "paused",
    [RUN_STATE_SHUTDOWN] = "shutdown",
    [RUN_STATE_GUEST_PANICKED] = "guest-panicked",
    [RUN_STATE_INTERNAL_ERROR] = "internal-error",
    [RUN_STATE_IO_ERROR] = "io-error",
    [RUN_STATE_DEBUG] = "debug",
    [RUN_STATE_WATCHDOG] = "watchdog",
};

static const char *const cause_names[] = {
    [SHUTDOWN_CAUSE_GUEST_SHUTDOWN] = "guest-shutdown",
    [SHUTDOWN_CAUSE_GUEST_RESET] = "guest-reset",
    [SHUTDOWN_CAUSE_TRIPLE_FAULT] = "triple-fault",
    [SHUTDOWN_CAUSE_HOST_SIGNAL] = "host-signal",
    [SHUTDOWN_CAUSE_HOST_QUIT] = "host-quit",
    [SHUTDOWN_CAUSE_DEBUG_EXIT] = "debug-exit",
    [SHUTDOWN_CAUSE_ERROR] = "error",
    [SHUTDOWN_CAUSE_HOST_RESET] = "host-reset",
    [SHUTDOWN_CAUSE_GUEST_PANIC] = "guest-panic",
};

/* What tools are told of a cause: QMP's ShutdownCause, which has fewer. */
static const struct {
    bool guest;
    const char *reason;
} cause_reports[] = {
    [SHUTDOWN_CAUSE_GUEST_SHUTDOWN] = {true, "guest-shutdown"},
    [SHUTDOWN_CAUSE_GUEST_RESET] = {true, "guest-reset"},
    [SHUTDOWN_CAUSE_TRIPLE_FAULT] = {true, "guest-reset"},
    [SHUTDOWN_CAUSE_HOST_SIGNAL] = {false, "host-signal"},
    [SHUTDOWN_CAUSE_HOST_QUIT] = {false, "host-qmp-quit"},
    [SHUTDOWN_CAUSE_DEBUG_EXIT] = {true, "guest-shutdown"},
    [SHUTDOWN_CAUSE_ERROR] = {false, "host-error"},
    [SHUTDOWN_CAUSE_HOST_RESET] = {false, "host-qmp-system-reset"},
    [SHUTDOWN_CAUSE_GUEST_PANIC] = {true, "guest-panic"},
};

static void report_cause(VmEvent event, ShutdownCause cause)
{
    event_emit(event, "{s:b, s:s}", "guest", (int)cause_reports[cause].guest, "reason", cause_reports[cause].reason);
}

const char *run_state_name(RunState state)
{
    return state_names[state];
}

const char *shutdown_cause_name(ShutdownCause cause)
{
    return cause_names[cause];
}

bool machine_is_running(const Machine *machine)
{
    return machine->run_state == RUN_STATE_RUNNING;
}

/* The guest is in no state to go on from. */
static bool needs_reset(RunState state)
{
    return state == RUN_STATE_SHUTDOWN || state == RUN_STATE_GUEST_PANICKED || state == RUN_STATE_INTERNAL_ERROR;
}

void machine_add_run_state_watch(Machine *machine, RunStateWatch *watch)
{
    machine_lock();
    watch->next = machine->run_state_watches;
    machine->run_state_watches = watch;
    machine_unlock();
}

void machine_remove_run_state_watch(Machine *machine, RunStateWatch *watch)
{
    RunStateWatch **link = &machine->run_state_watches;

    machine_lock();
    while (*link && *link != watch)
        link = &(*link)->next;
    if (*link)
        *link = watch->next;
    machine_unlock();
}

static void enter_run_state(Machine *machine, RunState state)
{
    machine->run_state = state;
    for (RunStateWatch *watch = machine->run_state_watches; watch; watch = watch->next)
        watch->changed(watch->opaque, state);
}

static void set_clock_running(Machine *machine, bool running)
{
    const AccelOps *ops = machine->accel->ops;

    clock_set_running(running);
    if (ops->clock_running)
        ops->clock_running(machine->accel, running);
}

bool machine_start(Machine *machine)
{
    if (needs_reset(machine->run_state))
        return false;
    machine_lock();
    if (!machine_is_running(machine)) {
        enter_run_state(machine, RUN_STATE_RUNNING);
        event_emit(VM_EVENT_RESUME, NULL);
        set_clock_running(machine, !machine->hold_clock);
        vcpu_resume_all(machine);
    }
    machine_unlock();
    return true;
}

/* Of a machine that stands already, the state changes only for the worse: "stop" must not turn
 * SHUTDOWN into PAUSED, from where "cont" would go on. */
void machine_stop(Machine *machine, RunState state)
{
    machine_lock();
    if (machine_is_running(machine)) {
        vcpu_pause_all(machine);
        set_clock_running(machine, false);
        enter_run_state(machine, state);
        event_emit(VM_EVENT_STOP, NULL);
    } else if (needs_reset(state)) {
        enter_run_state(machine, state);
    }
    machine_unlock();
}

bool machine_press_power_button(Machine *machine)
{
    bool pressed;

    machine_lock();
    pressed = machine->type->power_button && machine->type->power_button(machine);
    if (pressed)
        event_emit(VM_EVENT_POWERDOWN, NULL);
    machine_unlock();
    return pressed;
}

/* --- requests --- */

static void request_noted(Machine *machine)
{
    timer_mod(&machine->request_timer, 0);
    if (current_vcpu)
        vcpu_stop_self();
}

static void note_shutdown(Machine *machine, ShutdownCause cause, int exit_status)
{
    pthread_mutex_lock(&machine->request_lock);
    if (!machine->requests.shutdown) {
        machine->requests.shutdown = true;
        machine->requests.shutdown_cause = cause;
        machine->requests.exit_status = exit_status;
    }
    pthread_mutex_unlock(&machine->request_lock);
}

void machine_request_shutdown(Machine *machine, ShutdownCause cause, int exit_status)
{
    note_shutdown(machine, cause, exit_status);
    request_noted(machine);
}

/* A guest that triple-faults in a loop must not fill the user's disk. */
static void log_triple_fault(Machine *machine)
{
    static LogLimit limit;
    Vcpu *vcpu = current_vcpu;

    if (!vcpu || !log_limit_pass(&limit))
        return;
    vcpu_sync_state(vcpu);
    log_info("CPU %u: triple fault at %04x:%016" G_GINT64_MODIFIER "x, %s", vcpu->index,
             vcpu->state.seg[SEG_CS].selector, vcpu->state.rip,
             machine->no_reboot ? "ending because of -no-reboot" : "resetting");
    if (log_enabled(LOG_CPU_RESET))
        vcpu_log_state(vcpu, LOG_CPU_RESET, "Triple fault");
}

void machine_request_reset(Machine *machine, ShutdownCause cause)
{
    if (cause == SHUTDOWN_CAUSE_TRIPLE_FAULT)
        log_triple_fault(machine);
    if (machine->no_reboot) {
        machine_request_shutdown(machine, cause, 0);
        return;
    }
    pthread_mutex_lock(&machine->request_lock);
    if (!machine->requests.reset) {
        machine->requests.reset = true;
        machine->requests.reset_cause = cause;
    }
    pthread_mutex_unlock(&machine->request_lock);
    request_noted(machine);
}

void machine_request_stop(Machine *machine, RunState state)
{
    pthread_mutex_lock(&machine->request_lock);
    if (!machine->requests.stop) {
        machine->requests.stop = true;
        machine->requests.stop_state = state;
    }
    pthread_mutex_unlock(&machine->request_lock);
    request_noted(machine);
}

/* --- serving them --- */

static bool cause_is_guest(ShutdownCause cause)
{
    return cause == SHUTDOWN_CAUSE_GUEST_SHUTDOWN || cause == SHUTDOWN_CAUSE_GUEST_RESET
           || cause == SHUTDOWN_CAUSE_TRIPLE_FAULT;
}

static void serve_shutdown(Machine *machine, const RunRequests *requests)
{
    report_cause(VM_EVENT_SHUTDOWN, requests->shutdown_cause);
    machine_stop(machine, RUN_STATE_SHUTDOWN);
    machine->shutdown_cause = requests->shutdown_cause;
    if (machine->no_shutdown && cause_is_guest(requests->shutdown_cause))
        return;
    machine->exit_status = requests->exit_status;
    event_loop_quit(event_loop_main());
}

static void serve_reset(Machine *machine, ShutdownCause cause)
{
    machine_reset(machine);
    report_cause(VM_EVENT_RESET, cause);
    if (needs_reset(machine->run_state))
        enter_run_state(machine, RUN_STATE_PAUSED);
}

/* False if there are none. */
static bool take_requests(Machine *machine, RunRequests *requests)
{
    pthread_mutex_lock(&machine->request_lock);
    *requests = machine->requests;
    machine->requests = (RunRequests){ 0 };
    pthread_mutex_unlock(&machine->request_lock);
    return requests->shutdown || requests->reset || requests->stop;
}

/* Until none are left: a reset may end in the request to stop, if the board cannot boot again. */
void machine_serve_requests(void *opaque)
{
    Machine *machine = opaque;
    RunRequests requests;

    vcpu_pause_all(machine);
    while (take_requests(machine, &requests)) {
        if (requests.shutdown)
            serve_shutdown(machine, &requests);
        else if (requests.reset)
            serve_reset(machine, requests.reset_cause);
        if (requests.stop && !requests.shutdown)
            machine_stop(machine, requests.stop_state);
    }
    vcpu_resume_all(machine);
}
