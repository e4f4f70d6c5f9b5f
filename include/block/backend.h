/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * BlockBackend: a disk as its device sees it.
 *
 * A device fills in a BlockRequest of its own, calls blk_submit, and is called back once, on the
 * request's loop, never from within blk_submit. Errors have been through the drive's policy by then:
 *
 *                         error, policy "stop"
 *     SUBMITTED ---------------------------------> PARKED   the VM stops in IO_ERROR, with an event
 *         |  ^-----------------------------------------+    "cont" submits it again
 *         |                                            |
 *         +--> done(ret): 0, or -errno to report  <----+    blk_reset: -ECANCELED
 *
 * So a device never retries by itself. At its reset it calls blk_reset, which cancels parked and waits
 * for running requests; their callbacks run in between and find blk_request_is_stale(): the guest
 * must not see them any more.
 *
 * Locking: blk_submit from any thread. Configuration from the main thread, or from a vCPU's with
 * machine_lock. blk->lock is a leaf but for what the throttle group holds.
 */
#ifndef BLOCK_BACKEND_H
#define BLOCK_BACKEND_H

#include "block/block.h"
#include "block/io.h"

typedef struct BlockBackend BlockBackend;
typedef struct BlockRequest BlockRequest;

struct BlockRequest {
    /* Of the submitter; they stay as they are until done. bytes 0 is allowed. */
    BlockOp op;
    unsigned flags;          /* BLOCK_FUA, BLOCK_MAY_UNMAP */
    uint64_t offset, bytes;
    const struct iovec *iov; /* READ, WRITE: holds exactly bytes */
    int iovcnt;
    EventLoop *loop;         /* where done runs; NULL: the main loop */
    void (*done)(BlockRequest *req, int ret);
    void *opaque;

    /* The layer's. */
    BlockBackend *blk;
    BlockIo io;
    BlockNode *held;         /* map_release(held, hold) is due */
    unsigned hold;
    unsigned generation;
    int64_t start_ns;
    BlockRequest *next;
};

typedef enum BlockErrorPolicy {
    BLOCK_ON_ERROR_REPORT,
    BLOCK_ON_ERROR_IGNORE,
    BLOCK_ON_ERROR_STOP,
    BLOCK_ON_ERROR_ENOSPC, /* stop on ENOSPC, else report */
} BlockErrorPolicy;

typedef struct BlockStats {
    uint64_t bytes[BLOCK_OP_COUNT], ops[BLOCK_OP_COUNT], failed[BLOCK_OP_COUNT], time_ns[BLOCK_OP_COUNT];
    uint64_t wr_highest_offset;
} BlockStats;

/* What the device wants to hear; any may be NULL. Main thread, machine_lock held. */
typedef struct BlockDeviceOps {
    void (*resized)(void *opaque);
    void (*media_changed)(void *opaque, bool inserted);
    void (*eject_requested)(void *opaque, bool force); /* the tray is locked and the user wants the medium */
    bool (*tray_is_open)(void *opaque);
    bool (*tray_is_locked)(void *opaque);
} BlockDeviceOps;

/* --- life --- */

/* root NULL: no medium. id NULL: not to be found by name. One reference is the caller's. */
BlockBackend *blk_new(const char *id, BlockNode *root);
BlockBackend *blk_find(const char *id);
BlockBackend *blk_next(BlockBackend *blk);
BlockBackend *blk_ref(BlockBackend *blk);
/* The last one drains, flushes and lets go of the root. */
void blk_unref(BlockBackend *blk);
const char *blk_id(const BlockBackend *blk);
/* Not NULL: what to call it in a message. */
const char *blk_name(const BlockBackend *blk);
/* Each backend has at most one device: claimed when the device's drive= is set (PROP_DRIVE). */
bool blk_attach_device(BlockBackend *blk, GError **errp);
/* What drive=NAME names: a drive by id, or a node, which then gets a backend of its own. Attached, or NULL. */
BlockBackend *blk_attach_by_name(const char *name, GError **errp);
void blk_detach_device(BlockBackend *blk);
bool blk_has_device(const BlockBackend *blk);
void blk_set_device_ops(BlockBackend *blk, const BlockDeviceOps *ops, void *opaque);
/* The device wants to write: an error if the root cannot be written. */
bool blk_require_writable(BlockBackend *blk, GError **errp);

/* --- requests --- */

void blk_submit(BlockBackend *blk, BlockRequest *req);
/* Between these two, submissions of the calling thread may be collected into one system call. They nest. */
void blk_plug(void);
void blk_unplug(void);
/* Waits until no request is in flight; parked ones stay parked, throttled ones go at once. On a loop's own thread that
 * loop's block completions run meanwhile, nothing else of it; machine_lock is let go of while waiting. */
void blk_drain(BlockBackend *blk);
void blk_drain_all(void);
/* Between these two no request runs: those that are submitted wait. For changes to the image while the VM runs. Main thread. */
void blk_hold(BlockBackend *blk);
void blk_release(BlockBackend *blk);
/* Device reset: everything submitted so far becomes stale; parked requests end with -ECANCELED; drains. */
void blk_reset(BlockBackend *blk);
bool blk_request_is_stale(const BlockRequest *req);
unsigned blk_in_flight(const BlockBackend *blk);

/* Waits for one request; ret as done would get it, without the error policy. For firmware-like
 * paths and vmm-img; blocks, so never under machine_lock. */
int blk_pread(BlockBackend *blk, uint64_t offset, void *buf, uint64_t bytes);
int blk_pwrite(BlockBackend *blk, uint64_t offset, const void *buf, uint64_t bytes, unsigned flags);
int blk_flush(BlockBackend *blk);

/* --- the medium --- */

BlockNode *blk_root(BlockBackend *blk); /* NULL: no medium */
bool blk_is_inserted(const BlockBackend *blk);
bool blk_is_read_only(const BlockBackend *blk);
uint64_t blk_size(const BlockBackend *blk); /* bytes; 0 without a medium */
/* Its device takes media in and out; what it says of its tray. */
bool blk_is_removable(const BlockBackend *blk);
bool blk_tray_is_open(const BlockBackend *blk);
bool blk_tray_is_locked(const BlockBackend *blk);
/* The user wants the medium: whether blk_eject may follow. A locked tray opens by force only; else the guest is asked. */
bool blk_request_eject(BlockBackend *blk, bool force);
/* Medium out, in (a reference is taken over); the device hears of it. Drains. */
void blk_eject(BlockBackend *blk);
void blk_insert(BlockBackend *blk, BlockNode *root);
/* The user's resize: grows or shrinks the image and tells the device. */
bool blk_resize(BlockBackend *blk, uint64_t size, GError **errp);
/* Writes the changes of an image to its backing file and empties it. The guest's requests wait meanwhile. */
bool blk_commit(BlockBackend *blk, GError **errp);
/* All drives that have a backing file; how many. */
bool blk_commit_all(unsigned *count, GError **errp);
/* The guest's switch (WCE, SET FEATURES). Off: every write is followed by a flush. */
bool blk_write_cache(const BlockBackend *blk);
void blk_set_write_cache(BlockBackend *blk, bool on);
bool blk_can_discard(const BlockBackend *blk); /* discard=unmap */

/* --- policy --- */

void blk_set_error_policy(BlockBackend *blk, BlockErrorPolicy on_read, BlockErrorPolicy on_write);
BlockErrorPolicy blk_error_policy(const BlockBackend *blk, bool write);
/* Limits; groups of the same name share theirs. NULL: none. */
typedef struct ThrottleConfig ThrottleConfig; /* block/throttle.h */
void blk_set_throttle(BlockBackend *blk, const char *group, const ThrottleConfig *config);
void blk_get_stats(const BlockBackend *blk, BlockStats *out);

/*
 * The VM the policy "stop" stops, and whose "cont" tries parked requests again. Once, before devices run;
 * NULL: no longer (the machine is going away).
 */
typedef struct Machine Machine;
void blk_bind_machine(Machine *machine);
/* Submits all parked requests again. */
void blk_retry_parked(void);

#endif
