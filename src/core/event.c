/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Events on their way to the one who listens (core/event.h).
 *
 * The sink belongs to the process: one process is one VM.
 */
#include "core/event.h"

#include <glib.h>
#include <stdarg.h>

#include "core/lock.h"
#include "core/loop.h"

typedef struct Delivery {
    VmEvent event;
    json_t *data;
    int64_t when_us;
} Delivery;

static struct {
    EventSink *fn; /* atomic */
    void *opaque;
} sink;

static void deliver(void *opaque)
{
    Delivery *delivery = opaque;

    machine_lock();
    if (sink.fn)
        sink.fn(sink.opaque, delivery->event, delivery->data, delivery->when_us);
    machine_unlock();
    json_decref(delivery->data);
    g_free(delivery);
}

void event_emit(VmEvent event, const char *format, ...)
{
    EventLoop *loop = event_loop_main();
    Delivery *delivery;
    va_list ap;

    if (!__atomic_load_n(&sink.fn, __ATOMIC_ACQUIRE))
        return;
    delivery = g_new0(Delivery, 1);
    *delivery = (Delivery){.event = event, .when_us = g_get_real_time()};
    if (format) {
        va_start(ap, format);
        delivery->data = json_vpack_ex(NULL, 0, format, ap);
        va_end(ap);
        g_assert(delivery->data); /* a wrong format is ours */
    }
    if (event_loop_current() != loop) {
        event_loop_call(loop, deliver, delivery);
        return;
    }
    deliver(delivery);
}

void event_set_sink(EventSink *fn, void *opaque)
{
    sink.opaque = opaque;
    __atomic_store_n(&sink.fn, fn, __ATOMIC_RELEASE);
}
