/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Between virtio.c (status, features) and queue.c (serving queues).
 */
#ifndef HW_VIRTIO_VIRTIO_INTERNAL_H
#define HW_VIRTIO_VIRTIO_INTERNAL_H

#include "hw/virtio/virtio.h"

/* Makes NEEDS_RESET known to the driver. Any thread. */
void virtio_needs_reset(VirtioDevice *vdev);

bool virtio_queue_init(VirtioQueue *q, VirtioDevice *vdev, unsigned index, const VirtioInit *init, GError **errp);
/* Of all queues; waits until their loop has let go of them. */
void virtio_release_queues(VirtioDevice *vdev);
/* No buffer is taken from now on; those that are out are forgotten. */
void virtio_queue_stop(VirtioQueue *q);
/* The registers as after a reset. */
void virtio_queue_clear(VirtioQueue *q);

#endif
