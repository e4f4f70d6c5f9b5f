/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Events on their way to the one who listens (core/event.h).
 *
 * The sink belongs to the process: one process is one VM.
 */
#include "core/event.h"

#include <glib.h>
#include <pthread.h>
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

/* What was emitted and not delivered yet, in this order whichever thread it came from. */
static struct {
    pthread_mutex_t lock; /* a leaf */
    GQueue deliveries;
} waiting = {.lock = PTHREAD_MUTEX_INITIALIZER, .deliveries = G_QUEUE_INIT};

static void enqueue(Delivery *delivery)
{
    pthread_mutex_lock(&waiting.lock);
    g_queue_push_tail(&waiting.deliveries, delivery);
    pthread_mutex_unlock(&waiting.lock);
}

static Delivery *dequeue(void)
{
    pthread_mutex_lock(&waiting.lock);
    Delivery *delivery = g_queue_pop_head(&waiting.deliveries);
    pthread_mutex_unlock(&waiting.lock);
    return delivery;
}

/* Main thread. */
static void deliver_all(void *opaque)
{
    Delivery *delivery;

    machine_lock();
    while ((delivery = dequeue())) {
        if (sink.fn)
            sink.fn(sink.opaque, delivery->event, delivery->data, delivery->when_us);
        json_decref(delivery->data);
        g_free(delivery);
    }
    machine_unlock();
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
    enqueue(delivery);
    if (event_loop_current() == loop)
        deliver_all(NULL);
    else
        event_loop_call(loop, deliver_all, NULL);
}

void event_set_sink(EventSink *fn, void *opaque)
{
    sink.opaque = opaque;
    __atomic_store_n(&sink.fn, fn, __ATOMIC_RELEASE);
}
