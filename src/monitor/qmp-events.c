/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The table of QMP events, and the rate at which a guest can cause them. Names and data are QEMU's
 * (docs/interop, "QMP events").
 */
#include "monitor-internal.h"
#include "qmp-schema.h"

static const char *const cause_values[] = {
    "host-error", "host-qmp-quit", "host-qmp-system-reset", "host-signal", "host-ui", "guest-shutdown", "guest-reset",
    "guest-panic", NULL,
};
static const QmpType cause_type = {QMP_ENUM, "ShutdownCause", .values = cause_values};

static const QmpMember cause_data[] = {
    {"guest", &qmp_bool, false, "the guest did it"},
    {"reason", &cause_type, false, NULL},
    {0},
};

static const QmpMember rtc_data[] = {
    {"offset", &qmp_int, false, "seconds the guest's clock is ahead of the host's UTC"},
    {0},
};

static const char *const operation_values[] = {"read", "write", NULL};
static const QmpType operation_type = {QMP_ENUM, "IoOperationType", .values = operation_values};
static const char *const action_values[] = {"ignore", "report", "stop", NULL};
static const QmpType action_type = {QMP_ENUM, "BlockErrorAction", .values = action_values};

static const QmpMember block_error_data[] = {
    {"device", &qmp_str, false, NULL},
    {"node-name", &qmp_str, true, NULL},
    {"operation", &operation_type, false, NULL},
    {"action", &action_type, false, "what was done about it"},
    {"nospace", &qmp_bool, true, "the host's disk is full"},
    {"reason", &qmp_str, false, "for people"},
    {0},
};

static const QmpMember corrupted_data[] = {
    {"device", &qmp_str, false, NULL},
    {"node-name", &qmp_str, true, NULL},
    {"msg", &qmp_str, false, "for people"},
    {"offset", &qmp_int, true, "in the image's file"},
    {"fatal", &qmp_bool, false, "it is not written any more"},
    {0},
};

static const QmpMember tray_data[] = {
    {"device", &qmp_str, false, NULL},
    {"id", &qmp_str, false, NULL},
    {"tray-open", &qmp_bool, false, NULL},
    {0},
};

static const QmpMember deleted_data[] = {
    {"device", &qmp_str, false, NULL},
    {"path", &qmp_str, false, NULL},
    {0},
};

const QmpEvent qmp_events[VM_EVENT_COUNT] = {
    [VM_EVENT_SHUTDOWN] = {"SHUTDOWN", cause_data, 0, "the VM ends, or with -no-shutdown stands still"},
    [VM_EVENT_POWERDOWN] = {"POWERDOWN", NULL, 0, "the power button was pressed"},
    [VM_EVENT_RESET] = {"RESET", cause_data, 0, "the machine was reset"},
    [VM_EVENT_STOP] = {"STOP", NULL, 0, "the CPUs have stopped"},
    [VM_EVENT_RESUME] = {"RESUME", NULL, 0, "the CPUs run"},
    [VM_EVENT_RTC_CHANGE] = {"RTC_CHANGE", rtc_data, 1000, "the guest has set its clock"},
    [VM_EVENT_BLOCK_IO_ERROR] = {"BLOCK_IO_ERROR", block_error_data, 0, "a disk's image could not be read or written"},
    [VM_EVENT_BLOCK_IMAGE_CORRUPTED] = {"BLOCK_IMAGE_CORRUPTED", corrupted_data, 0, "an image's metadata contradict themselves"},
    [VM_EVENT_DEVICE_TRAY_MOVED] = {"DEVICE_TRAY_MOVED", tray_data, 0, "a drive's tray has opened or closed"},
    [VM_EVENT_DEVICE_DELETED] = {"DEVICE_DELETED", deleted_data, 0, "a device that was unplugged is gone"},
};

/* --- Rates --- */

static void send_limited(EventRate *rate, json_t *data, int64_t when_us)
{
    qmp_send_event(rate->monitors, rate->event, data, when_us);
    timer_mod(&rate->timer, clock_get_ns(VMCLOCK_MONO) + qmp_events[rate->event].rate_ms * NS_PER_MS);
}

static void forget_waiting(EventRate *rate)
{
    json_decref(rate->data);
    rate->data = NULL;
    rate->waits = false;
}

static void rate_timer(void *opaque)
{
    EventRate *rate = opaque;

    if (!rate->waits)
        return;
    send_limited(rate, rate->data, rate->when_us);
    forget_waiting(rate);
}

/* The EventSink. */
static void event_arrived(void *opaque, VmEvent event, json_t *data, int64_t when_us)
{
    Monitors *monitors = opaque;
    EventRate *rate = &monitors->rates[event];

    if (!qmp_events[event].rate_ms) {
        qmp_send_event(monitors, event, data, when_us);
    } else if (!timer_pending(&rate->timer)) {
        send_limited(rate, data, when_us);
    } else {
        forget_waiting(rate);
        rate->waits = true;
        rate->data = json_incref(data);
        rate->when_us = when_us;
    }
}

void qmp_events_init(Monitors *monitors)
{
    for (unsigned i = 0; i < VM_EVENT_COUNT; i++) {
        EventRate *rate = &monitors->rates[i];
        *rate = (EventRate){.monitors = monitors, .event = (VmEvent)i};
        timer_init(&rate->timer, event_loop_main(), VMCLOCK_MONO, rate_timer, rate);
    }
    event_set_sink(event_arrived, monitors);
}

void qmp_events_release(Monitors *monitors)
{
    event_set_sink(NULL, NULL);
    for (unsigned i = 0; i < VM_EVENT_COUNT; i++) {
        EventRate *rate = &monitors->rates[i];
        if (rate->monitors)
            timer_release(&rate->timer);
        forget_waiting(rate);
    }
}
