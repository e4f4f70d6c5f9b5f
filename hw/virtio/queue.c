/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Serving a virtio device's queues: notifications in, interrupts out, enabling and resetting one queue.
 *
 *     driver's notification --> ioeventfd or virtio_queue_kick --> kick_fd --> queue's loop
 *         --> handle_queue (pops, submits) ... completion --> push --> unlock: flush, interrupt
 *
 * Completions that come in one turn of the loop while more are out are shown to the driver together,
 * at the loop's next turn; the last one out at once, so a queue of depth 1 waits for nothing.
 *
 * Locking: vq.lock; the interrupt is sent after it is let go of.
 */
#include <errno.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "core/error.h"
#include "core/iothread.h"
#include "core/log.h"
#include "core/machine.h"
#include "virtio-internal.h"

static void queue_broke(Virtqueue *vq)
{
    virtio_needs_reset(((VirtioQueue *)vq->opaque)->vdev);
}

/* Whether buffers may be taken now. Modern drivers wait for nothing before DRIVER_OK (3.1.1). */
static bool queue_is_served(const VirtioQueue *q)
{
    const VirtioDevice *vdev = q->vdev;
    uint8_t status = virtio_get_status(vdev);

    return q->enabled && !(status & (VIRTIO_STATUS_NEEDS_RESET | VIRTIO_STATUS_FAILED)) &&
           (vdev->legacy || status & VIRTIO_STATUS_DRIVER_OK) &&
           !__atomic_load_n(&vdev->stopped, __ATOMIC_ACQUIRE) && vdev->transport->can_dma(vdev->transport_opaque);
}

void virtio_queue_lock(VirtioQueue *q)
{
    pthread_mutex_lock(&q->vq.lock);
}

void virtio_queue_unlock(VirtioQueue *q)
{
    bool interrupt = virtqueue_flush(&q->vq);

    pthread_mutex_unlock(&q->vq.lock);
    if (interrupt)
        q->vdev->transport->notify_queue(q->vdev->transport_opaque, q);
}

static void flush_batch(void *opaque)
{
    VirtioQueue *q = opaque;

    virtio_queue_lock(q);
    q->flush_queued = false;
    virtio_queue_unlock(q);
}

void virtio_queue_unlock_batched(VirtioQueue *q)
{
    if (!q->vq.in_flight) {
        virtio_queue_unlock(q);
        return;
    }
    if (!q->flush_queued)
        event_loop_call(q->loop, flush_batch, q);
    q->flush_queued = true;
    pthread_mutex_unlock(&q->vq.lock);
}

static void serve(VirtioQueue *q)
{
    virtio_queue_lock(q);
    if (queue_is_served(q))
        q->vdev->ops->handle_queue(q);
    virtio_queue_unlock(q);
}

static bool kicked(int fd, GIOCondition events, void *opaque)
{
    eventfd_t count;

    if (!eventfd_read(fd, &count))
        serve(opaque);
    return true;
}

/* Fails only when the counter is full, and then the loop is awake anyway. */
static void wake(VirtioQueue *q)
{
    (void)eventfd_write(q->kick_fd, 1);
}

static bool set_flush_queued(VirtioQueue *q, bool queued)
{
    virtio_queue_lock(q);
    bool was = q->flush_queued;
    q->flush_queued = queued;
    virtio_queue_unlock(q);
    return was;
}

/* What completes meanwhile is shown at the end, not by a call of the loop. */
static void serve_here(VirtioQueue *q)
{
    bool was = set_flush_queued(q, true);

    q->vdev->ops->serve_here(q, serve);
    set_flush_queued(q, was);
}

void virtio_queue_kick(VirtioQueue *q)
{
    if (q->loop != event_loop_main())
        wake(q);
    else if (q->vdev->ops->serve_here)
        serve_here(q);
    else
        serve(q);
}

void virtio_kick_all(VirtioDevice *vdev)
{
    for (unsigned i = 0; i < vdev->queue_count; i++)
        wake(&vdev->queues[i]);
}

/* --- registers' effects --- */

VirtioQueue *virtio_queue(VirtioDevice *vdev, unsigned index)
{
    return index < vdev->queue_count ? &vdev->queues[index] : NULL;
}

void virtio_queue_enable(VirtioQueue *q)
{
    VirtioDevice *vdev = q->vdev;

    if (vdev->resetting)
        return;
    if (!vdev->legacy && !(virtio_get_status(vdev) & VIRTIO_STATUS_FEATURES_OK)) {
        guest_error(device_name(vdev->dev), "queue %u enabled before FEATURES_OK", q->index);
        return;
    }
    pthread_mutex_lock(&q->vq.lock);
    if (!q->enabled && !q->resetting) {
        virtqueue_stop(&q->vq);
        q->enabled = virtqueue_start(&q->vq, &q->config, vdev->features);
    }
    pthread_mutex_unlock(&q->vq.lock);
    wake(q); /* one that is enabled after its reset may have buffers */
}

void virtio_queue_disable(VirtioQueue *q)
{
    virtio_queue_stop(q);
}

void virtio_queue_stop(VirtioQueue *q)
{
    pthread_mutex_lock(&q->vq.lock);
    if (q->vdev->ops->queue_reset)
        q->vdev->ops->queue_reset(q);
    virtqueue_stop(&q->vq);
    q->enabled = q->resetting = false;
    pthread_mutex_unlock(&q->vq.lock);
}

void virtio_queue_clear(VirtioQueue *q)
{
    q->config = (VirtqueueConfig){ .size = q->vq.max_size };
    __atomic_store_n(&q->vector, VIRTIO_NO_VECTOR, __ATOMIC_RELAXED);
}

/* Buffers that a backend works on come back first: until then the driver's memory is in use. */
static void finish_reset(VirtioQueue *q)
{
    if (q->resetting && !q->vq.in_flight) {
        virtqueue_stop(&q->vq);
        q->resetting = false;
        virtio_queue_clear(q);
    }
}

void virtio_queue_reset(VirtioQueue *q)
{
    if (q->vdev->resetting || !virtio_has(q->vdev, VIRTIO_F_RING_RESET))
        return;
    pthread_mutex_lock(&q->vq.lock);
    if (q->enabled) {
        q->enabled = false;
        q->resetting = true;
        virtqueue_quiesce(&q->vq);
        if (q->vdev->ops->queue_reset)
            q->vdev->ops->queue_reset(q);
        finish_reset(q);
    }
    pthread_mutex_unlock(&q->vq.lock);
}

bool virtio_queue_is_enabled(VirtioQueue *q)
{
    bool enabled;

    pthread_mutex_lock(&q->vq.lock);
    enabled = q->enabled;
    pthread_mutex_unlock(&q->vq.lock);
    return enabled;
}

bool virtio_queue_is_resetting(VirtioQueue *q)
{
    bool resetting;

    pthread_mutex_lock(&q->vq.lock);
    finish_reset(q);
    resetting = q->resetting;
    pthread_mutex_unlock(&q->vq.lock);
    return resetting;
}

/* --- life --- */

bool virtio_queue_init(VirtioQueue *q, VirtioDevice *vdev, unsigned index, const VirtioInit *init, GError **errp)
{
    q->vdev = vdev;
    q->index = index;
    q->loop = init->loop ? init->loop : event_loop_main();
    q->kick_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (q->kick_fd < 0)
        return error_set_errno(errp, errno, "no eventfd for queue %u can be made; see ulimit -n", index);
    virtqueue_init(&q->vq, &vdev->dev->machine->memory, device_name(vdev->dev), index, init->queue_size,
                   init->element_size, queue_broke, q);
    virtio_queue_clear(q);
    q->kick_watch = event_loop_watch(q->loop, q->kick_fd, G_IO_IN, kicked, q);
    return true;
}

static void nothing(void *opaque)
{
}

/* After the calls that are queued on the loop, and any callback that runs there now. */
static void wait_for_loop(EventLoop *loop)
{
    if (loop == event_loop_main())
        event_loop_run_calls(loop);
    else
        iothread_run_on(loop, nothing, NULL);
}

void virtio_release_queues(VirtioDevice *vdev)
{
    for (unsigned i = 0; i < vdev->queue_count; i++)
        event_loop_unwatch(vdev->queues[i].loop, vdev->queues[i].kick_watch);
    if (vdev->queue_count)
        wait_for_loop(vdev->queues[0].loop);
    for (unsigned i = 0; i < vdev->queue_count; i++) {
        close(vdev->queues[i].kick_fd);
        virtqueue_release(&vdev->queues[i].vq);
    }
    g_clear_pointer(&vdev->queues, g_free);
    vdev->queue_count = 0;
}
