/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Whether the VM runs, and what should happen to it next.
 *
 *     PRELAUNCH --start--> RUNNING <--start/stop--> PAUSED
 *                           |  ^                      ^
 *                           |  +-- reset: stays       | reset
 *                           |                         |
 *                           +--> SHUTDOWN, GUEST_PANICKED, INTERNAL_ERROR
 *                           +--> IO_ERROR <--start--> RUNNING (the request is tried again)
 *                           +--> WATCHDOG <--start--> RUNNING
 *                           +--> DEBUG <--start--> RUNNING (a debugger's breakpoint, watchpoint, step)
 *
 * Requests come from any thread and are carried out by the main thread, which pauses the vCPUs
 * first. A vCPU that makes one executes no further instruction before it is served. Of those that
 * are pending together a shutdown goes before a reset, and a reset before a stop; the first of each
 * kind wins.
 *
 *     request                        -no-reboot           -no-shutdown
 *     reset (guest, triple fault)    becomes a shutdown
 *     shutdown by the guest                               vCPUs stay paused in SHUTDOWN
 *     shutdown by the host, an error                      (ends the program all the same)
 *     or isa-debug-exit
 *
 * A shutdown ends the main loop; main returns machine->exit_status.
 */
#ifndef CORE_RUNSTATE_H
#define CORE_RUNSTATE_H

#include <stdbool.h>

typedef struct Machine Machine;

typedef enum RunState {
    RUN_STATE_PRELAUNCH,
    RUN_STATE_RUNNING,
    RUN_STATE_PAUSED,
    RUN_STATE_SHUTDOWN,
    RUN_STATE_GUEST_PANICKED,
    RUN_STATE_INTERNAL_ERROR,
    RUN_STATE_IO_ERROR,
    RUN_STATE_DEBUG,
    RUN_STATE_WATCHDOG,
} RunState;

typedef enum ShutdownCause {
    SHUTDOWN_CAUSE_GUEST_SHUTDOWN, /* ACPI S5 and the like */
    SHUTDOWN_CAUSE_GUEST_RESET,
    SHUTDOWN_CAUSE_TRIPLE_FAULT,
    SHUTDOWN_CAUSE_HOST_SIGNAL,
    SHUTDOWN_CAUSE_HOST_QUIT,      /* monitor quit, Ctrl-a x */
    SHUTDOWN_CAUSE_DEBUG_EXIT,     /* isa-debug-exit: exit status is given */
    SHUTDOWN_CAUSE_ERROR,
    SHUTDOWN_CAUSE_HOST_RESET,     /* monitor system_reset */
    SHUTDOWN_CAUSE_GUEST_PANIC,
} ShutdownCause;

/* -action panic= and watchdog=, in the order of their names there. */
typedef enum PanicAction {
    PANIC_ACTION_SHUTDOWN,
    PANIC_ACTION_PAUSE,
    PANIC_ACTION_EXIT_FAILURE,
    PANIC_ACTION_NONE,
} PanicAction;

typedef enum WatchdogAction {
    WATCHDOG_ACTION_RESET,
    WATCHDOG_ACTION_SHUTDOWN,
    WATCHDOG_ACTION_POWEROFF,
    WATCHDOG_ACTION_INJECT_NMI,
    WATCHDOG_ACTION_PAUSE,
    WATCHDOG_ACTION_DEBUG,
    WATCHDOG_ACTION_NONE,
} WatchdogAction;

/* What was asked for and not done yet. */
typedef struct RunRequests {
    bool reset, shutdown, stop;
    ShutdownCause reset_cause, shutdown_cause;
    int exit_status;     /* with shutdown */
    RunState stop_state; /* with stop */
} RunRequests;

const char *run_state_name(RunState state);
const char *shutdown_cause_name(ShutdownCause cause);
/* The power button (system_powerdown): asks the guest to shut down. False: the machine has none. */
bool machine_press_power_button(Machine *machine);

/* From any thread. A triple fault logs where it happened; call it on the vCPU's own thread. */
void machine_request_reset(Machine *machine, ShutdownCause cause);
void machine_request_shutdown(Machine *machine, ShutdownCause cause, int exit_status);
/* Stops all vCPUs into the given state (e.g. INTERNAL_ERROR after an impossible KVM exit). */
void machine_request_stop(Machine *machine, RunState state);
/* The guest said that it has crashed; its watchdog ran out. Does what the user chose (src/core/actions.c). */
void machine_guest_panicked(Machine *machine);
void machine_watchdog_expired(Machine *machine);

/* Main thread. machine_start is "cont"; false: this state is left only by a reset. */
bool machine_start(Machine *machine);
void machine_stop(Machine *machine, RunState state);
bool machine_is_running(const Machine *machine);
/*
 * Hears of every change, after it happened and before anything else does: a debugger, a monitor.
 * Main thread, machine_lock held; the callback changes nothing itself (event_loop_call does it soon).
 */
typedef struct RunStateWatch RunStateWatch;
struct RunStateWatch {
    void (*changed)(void *opaque, RunState state);
    void *opaque;
    RunStateWatch *next;
};
void machine_add_run_state_watch(Machine *machine, RunStateWatch *watch);
void machine_remove_run_state_watch(Machine *machine, RunStateWatch *watch);

/* Carries out what was requested so far; the main loop calls it. */
void machine_serve_requests(void *machine);

#endif
