/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Between virtio-blk.c (requests) and virtio-blk-pci.c (configuration, properties, types).
 * Source: virtio 1.2, 5.2; 0.9.5, appendix D.
 *
 * Locking: a request belongs to its queue's loop; the device struct is fixed while realized.
 */
#ifndef HW_BLOCK_VIRTIO_BLK_H
#define HW_BLOCK_VIRTIO_BLK_H

#include "block/conf.h"
#include "core/iothread.h"
#include "hw/virtio/virtio.h"

#define VIRTIO_BLK_SERIAL_MAX 20

/* Feature bits, 5.2.3. */
enum {
    VIRTIO_BLK_F_SEG_MAX = 2,
    VIRTIO_BLK_F_GEOMETRY = 4,
    VIRTIO_BLK_F_RO = 5,
    VIRTIO_BLK_F_BLK_SIZE = 6,
    VIRTIO_BLK_F_FLUSH = 9,
    VIRTIO_BLK_F_TOPOLOGY = 10,
    VIRTIO_BLK_F_CONFIG_WCE = 11,
    VIRTIO_BLK_F_MQ = 12,
    VIRTIO_BLK_F_DISCARD = 13,
    VIRTIO_BLK_F_WRITE_ZEROES = 14,
};

typedef struct VirtioBlk {
    VirtioDevice vdev; /* first */
    IoThread *iothread; /* NULL: the main loop */
    bool write_cache;   /* as the user set it: what a reset restores */

    /* Properties. */
    BlockConf conf; /* drive=, sizes, geometry */
    char *iothread_id, *serial;
    uint32_t num_queues, queue_size;
    uint32_t max_discard_sectors, max_write_zeroes_sectors;
    bool config_wce, discard, write_zeroes, request_merging;
    int on_read_error, on_write_error;
} VirtioBlk;

/* virtio-blk.c: the queues' handler, and the size of a request. */
void virtio_blk_handle_queue(VirtioQueue *q);
/* As ops->serve_here: requests that the page cache answers at once complete without the main loop. */
void virtio_blk_serve_here(VirtioQueue *q, void (*serve)(VirtioQueue *q));
extern const size_t virtio_blk_request_size;

#endif
