/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What happens to the VM and tools want to hear of: a QMP monitor shows these as its events.
 *
 * Who makes one happen says so here and knows no monitor; who hears of them is one sink (src/monitor).
 * A new event is a name here and a row with its data's type in src/monitor/qmp-events.c.
 *
 * Threads: event_emit from any. The sink runs on the main thread with machine_lock held: at once if
 * that is the caller's thread, else from the main loop, soon. One thread's events keep their order.
 */
#ifndef CORE_EVENT_H
#define CORE_EVENT_H

#include <jansson.h>
#include <stdint.h>

typedef enum VmEvent {
    VM_EVENT_SHUTDOWN,
    VM_EVENT_POWERDOWN,
    VM_EVENT_RESET,
    VM_EVENT_STOP,
    VM_EVENT_RESUME,
    VM_EVENT_RTC_CHANGE,
    VM_EVENT_BLOCK_IO_ERROR,
    VM_EVENT_BLOCK_IMAGE_CORRUPTED,
    VM_EVENT_DEVICE_TRAY_MOVED,
    VM_EVENT_DEVICE_DELETED,
    VM_EVENT_COUNT,
} VmEvent;

/*
 * format and its arguments describe the data as json_pack does ("{s:b, s:s}", "guest", 1, "reason", why);
 * NULL: no data. Without a sink it costs a comparison.
 */
void event_emit(VmEvent event, const char *format, ...);

/* data belongs to the caller and may be NULL; when_us is the wall clock's, since 1970. */
typedef void EventSink(void *opaque, VmEvent event, json_t *data, int64_t when_us);
/* NULL: nobody listens. Main thread. */
void event_set_sink(EventSink *sink, void *opaque);

#endif
