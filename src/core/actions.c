/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What happens when the guest panics or its watchdog expires: the user's choice (-action).
 */
#include "core/runstate.h"

#include "core/log.h"
#include "core/machine.h"

void machine_guest_panicked(Machine *machine)
{
    PanicAction action = machine->panic_action;

    if (action == PANIC_ACTION_SHUTDOWN && machine->no_shutdown)
        action = PANIC_ACTION_PAUSE;
    switch (action) {
    case PANIC_ACTION_SHUTDOWN:
        machine_request_shutdown(machine, SHUTDOWN_CAUSE_GUEST_PANIC, 0);
        break;
    case PANIC_ACTION_EXIT_FAILURE:
        machine_request_shutdown(machine, SHUTDOWN_CAUSE_GUEST_PANIC, 1);
        break;
    case PANIC_ACTION_PAUSE:
        machine_request_stop(machine, RUN_STATE_GUEST_PANICKED);
        break;
    case PANIC_ACTION_NONE:
        break;
    }
}

void machine_watchdog_expired(Machine *machine)
{
    switch (machine->watchdog_action) {
    case WATCHDOG_ACTION_RESET:
        machine_request_reset(machine, SHUTDOWN_CAUSE_GUEST_RESET);
        break;
    case WATCHDOG_ACTION_SHUTDOWN:
        if (!machine_press_power_button(machine))
            machine_request_shutdown(machine, SHUTDOWN_CAUSE_GUEST_SHUTDOWN, 0);
        break;
    case WATCHDOG_ACTION_POWEROFF:
        machine_request_shutdown(machine, SHUTDOWN_CAUSE_GUEST_SHUTDOWN, 0);
        break;
    case WATCHDOG_ACTION_PAUSE:
        machine_request_stop(machine, RUN_STATE_WATCHDOG);
        break;
    case WATCHDOG_ACTION_DEBUG:
        log_warn("the guest's watchdog has expired");
        break;
    case WATCHDOG_ACTION_INJECT_NMI:
        for (unsigned i = 0; i < machine->smp.cpus; i++)
            vcpu_request(machine->vcpus[i], VCPU_REQ_NMI);
        break;
    case WATCHDOG_ACTION_NONE:
        break;
    }
}
