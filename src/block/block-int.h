/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Between the files of the block layer.
 *
 *   node.c        a node's life, names, the blocking calls with their checks
 *   open.c        options and file names into nodes; probe.c: formats guessed
 *   io.c          one transfer: engine or worker; completions on the submitter's loop
 *   backend.c     the device's side: a request's life; submit.c: its way through the graph
 *   policy.c      werror/rerror, parking, events; throttle-group.c: requests that wait for their limit
 *   commit.c      an overlay's changes into its backing image
 *   drive.c       -drive; temporary.c: snapshot=on; conf.c: properties of disk devices
 *   drivers.c     the table; file.c, raw.c, null.c, qcow2.c: the drivers
 */
#ifndef SRC_BLOCK_BLOCK_INT_H
#define SRC_BLOCK_BLOCK_INT_H

#include <pthread.h>

#include "block/backend.h"
#include "block/block.h"
#include "block/io.h"

/* What the first bytes of an image tell its format by. */
#define BLOCK_PROBE_BYTES 2048u

extern const BlockDriver block_driver_file, block_driver_qcow2, block_driver_raw, block_driver_null;

/* node.c: the user's name for a node that is being made. */
bool block_node_rename(BlockNode *node, const char *name, GError **errp);
/* node.c: a node that is not open, and its references. */
void block_node_free(BlockNode *node);
/* temporary.c: the image of these options below an overlay that is gone when it is closed. */
BlockNode *block_open_temporary(KvNode *options, GError **errp);
/* file.c: the values of aio=. */
extern const char *const block_file_aio_names[];
/* file.c: makes sure there is a file to open; *created: there was none. */
bool block_file_create(const char *path, bool *created, GError **errp);
/* The blocking call io stands for. */
int block_io_execute(const BlockIo *io);

/* probe.c: the format these first bytes show; raw if none. */
const BlockDriver *block_probe_head(const uint8_t *head, uint64_t file_size);

typedef struct ThrottleGroup ThrottleGroup; /* throttle-group.c */

struct BlockBackend {
    char *id;
    unsigned refs;
    BlockNode *root;
    bool has_device;
    const BlockDeviceOps *device_ops;
    void *device_opaque;
    bool write_cache;
    BlockErrorPolicy on_error[2]; /* read, write */

    unsigned generation; /* atomic */
    BlockStats stats;    /* each atomic */
    ThrottleGroup *throttle; /* NULL: no limits */

    pthread_mutex_t lock; /* guards what follows */
    unsigned in_flight;
    pthread_cond_t drained; /* in_flight is 0 */
    GSList *drain_loops;  /* of EventLoop: waiting in blk_drain */
    unsigned held;        /* blk_hold */
    BlockRequest *waiting, **waiting_last; /* submitted since then */
    BlockRequest *parked;
};

/* submit.c: req on its way; blk_request_finish follows on its loop. */
void blk_request_start(BlockRequest *req);
/* backend.c: the outcome before the policy. On req->loop's thread. */
void blk_request_finish(BlockRequest *req, int ret);
/* backend.c: in_flight goes down; wakes who drains. */
void blk_request_left(BlockBackend *blk);
void blk_request_entered(BlockBackend *blk);
/* throttle-group.c: true if req waits there; it will be started by the group. */
bool throttle_group_holds(BlockRequest *req);
/* throttle-group.c: starts all of blk's requests that wait. */
void throttle_group_release(BlockBackend *blk);
/* policy.c: true if req is parked or its error becomes *ret. */
bool blk_error_parks(BlockRequest *req, int *ret);
/* policy.c: requests parked so far, off the list. */
BlockRequest *blk_take_parked(BlockBackend *blk);

#endif
