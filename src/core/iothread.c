/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * I/O threads (core/iothread.h).
 */
#include "core/iothread.h"

#include <unistd.h>

#include "core/error.h"
#include "core/lock.h"
#include "core/thread-context.h"
#include "core/thread.h"

struct IoThread {
    Object obj;
    /* Properties. */
    uint64_t poll_max_ns, poll_grow, poll_shrink;
    uint32_t aio_max_batch;
    char *context; /* thread-context */

    pthread_t thread;
    EventLoop *loop;
    pid_t tid; /* set by the thread before its first callback */
};

static void note_tid(void *opaque)
{
    ((IoThread *)opaque)->tid = gettid();
}

static void *iothread_main(void *opaque)
{
    event_loop_run(((IoThread *)opaque)->loop);
    return NULL;
}

static bool start(IoThread *iothread, GError **errp)
{
    g_autofree char *name = g_strdup_printf("IO %s", iothread->obj.id);

    iothread->loop = event_loop_new();
    event_loop_set_polling(iothread->loop, (LoopPolling){
        .max_ns = (int64_t)iothread->poll_max_ns,
        .grow = (unsigned)iothread->poll_grow,
        .shrink = (unsigned)iothread->poll_shrink,
    });
    if (!thread_create(&iothread->thread, name, iothread_main, iothread, errp)) {
        event_loop_free(iothread->loop);
        iothread->loop = NULL;
        return false;
    }
    iothread_run_on(iothread->loop, note_tid, iothread);
    return true;
}

static bool place(IoThread *iothread, GError **errp)
{
    const cpu_set_t *cpus;

    if (!iothread->context)
        return true;
    cpus = thread_context_cpus(iothread->obj.machine, iothread->context, errp);
    return cpus && thread_set_cpus(iothread->thread, cpus, iothread->context, errp);
}

static void stop(IoThread *iothread)
{
    unsigned depth = machine_lock_release();

    event_loop_quit(iothread->loop);
    pthread_join(iothread->thread, NULL);
    machine_lock_restore(depth);
    event_loop_free(iothread->loop);
}

static bool iothread_open(Object *obj, GError **errp)
{
    IoThread *iothread = (IoThread *)obj;

    if (!start(iothread, errp))
        return false;
    if (place(iothread, errp))
        return true;
    stop(iothread);
    return false;
}

static void iothread_close(Object *obj)
{
    stop((IoThread *)obj);
}

IoThread *iothread_find(const Machine *machine, const char *id)
{
    return (IoThread *)object_find(machine, &iothread_type, id);
}

Object *iothread_object(IoThread *iothread)
{
    return &iothread->obj;
}

EventLoop *iothread_loop(IoThread *iothread)
{
    return iothread->loop;
}

pid_t iothread_tid(const IoThread *iothread)
{
    return iothread->tid;
}

unsigned iothread_aio_max_batch(const IoThread *iothread)
{
    return iothread->aio_max_batch;
}

/* --- a call that waits --- */

typedef struct SyncCall {
    void (*fn)(void *opaque);
    void *opaque;
    pthread_mutex_t lock;
    pthread_cond_t cond;
    bool done;
} SyncCall;

static void sync_call_run(void *opaque)
{
    SyncCall *call = opaque;

    call->fn(call->opaque);
    pthread_mutex_lock(&call->lock);
    call->done = true;
    pthread_cond_signal(&call->cond);
    pthread_mutex_unlock(&call->lock);
}

void iothread_run_on(EventLoop *loop, void (*fn)(void *opaque), void *opaque)
{
    SyncCall call = {.fn = fn, .opaque = opaque};

    if (event_loop_current() == loop) {
        fn(opaque);
        return;
    }
    pthread_mutex_init(&call.lock, NULL);
    pthread_cond_init(&call.cond, NULL);
    event_loop_call(loop, sync_call_run, &call);

    unsigned depth = machine_lock_release();
    pthread_mutex_lock(&call.lock);
    while (!call.done)
        pthread_cond_wait(&call.cond, &call.lock);
    pthread_mutex_unlock(&call.lock);
    machine_lock_restore(depth);
    pthread_cond_destroy(&call.cond);
    pthread_mutex_destroy(&call.lock);
}

static const Property iothread_props[] = {
    {.name = "poll-max-ns", .kind = PROP_U64, .offset = offsetof(IoThread, poll_max_ns), .def = "32768",
     .help = "poll so long before sleeping, if it pays; 0: never", .min = 0, .max = NS_PER_SEC},
    {.name = "poll-grow", .kind = PROP_U64, .offset = offsetof(IoThread, poll_grow), .def = "0",
     .help = "factor by which polling grows; 0: 2", .min = 0, .max = 1024},
    {.name = "poll-shrink", .kind = PROP_U64, .offset = offsetof(IoThread, poll_shrink), .def = "0",
     .help = "divisor by which it shrinks; 0: to nothing", .min = 0, .max = 1024},
    {.name = "aio-max-batch", .kind = PROP_U32, .offset = offsetof(IoThread, aio_max_batch), .def = "0",
     .help = "requests handed to the host at once; 0: the engine's limit"},
    {.name = "thread-context", .kind = PROP_STRING, .offset = offsetof(IoThread, context),
     .help = "the host's CPUs it runs on: a thread-context"},
    {.name = NULL},
};

const ObjectType iothread_type = {
    .name = "iothread",
    .desc = "a thread for the data plane of devices",
    .instance_size = sizeof(IoThread),
    .props = iothread_props,
    .open = iothread_open,
    .close = iothread_close,
};
