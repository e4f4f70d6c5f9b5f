/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What an I/O error does: werror= and rerror=, parked requests, and the event a monitor hears.
 *
 * A request is parked before the VM is asked to stop. "cont" takes the parked ones when the VM runs
 * again; one that parks after that has asked for its own stop, so none is forgotten.
 *
 * Locking: blk->lock for the parked list.
 */
#include <errno.h>
#include <string.h>

#include "core/event.h"
#include "core/machine.h"
#include "src/block/block-int.h"

static struct {
    Machine *machine;
    RunStateWatch watch;
} bound; /* the VM there is; main thread changes it while no request is in flight */

void blk_set_error_policy(BlockBackend *blk, BlockErrorPolicy on_read, BlockErrorPolicy on_write)
{
    blk->on_error[false] = on_read;
    blk->on_error[true] = on_write;
}

BlockErrorPolicy blk_error_policy(const BlockBackend *blk, bool write)
{
    return blk->on_error[write];
}

static BlockErrorPolicy action_for(const BlockRequest *req, int err)
{
    BlockErrorPolicy policy = blk_error_policy(req->blk, req->op != BLOCK_READ);

    if (policy == BLOCK_ON_ERROR_ENOSPC)
        policy = err == ENOSPC ? BLOCK_ON_ERROR_STOP : BLOCK_ON_ERROR_REPORT;
    return policy == BLOCK_ON_ERROR_STOP && !bound.machine ? BLOCK_ON_ERROR_REPORT : policy;
}

static const char *action_name(BlockErrorPolicy action)
{
    return action == BLOCK_ON_ERROR_STOP ? "stop" : action == BLOCK_ON_ERROR_IGNORE ? "ignore" : "report";
}

static void park(BlockRequest *req)
{
    BlockBackend *blk = req->blk;

    pthread_mutex_lock(&blk->lock);
    req->next = blk->parked;
    blk->parked = req;
    pthread_mutex_unlock(&blk->lock);
    machine_request_stop(bound.machine, RUN_STATE_IO_ERROR);
}

bool blk_error_parks(BlockRequest *req, int *ret)
{
    BlockBackend *blk = req->blk;

    if (blk_request_is_stale(req) || *ret == -ECANCELED)
        return false;
    BlockErrorPolicy action = action_for(req, -*ret);
    event_emit(VM_EVENT_BLOCK_IO_ERROR, "{s:s, s:s*, s:s, s:s, s:b, s:s}", "device", blk->id ? blk->id : "", "node-name",
               blk->root ? blk->root->name : NULL, "operation", req->op == BLOCK_READ ? "read" : "write", "action",
               action_name(action), "nospace", *ret == -ENOSPC, "reason", g_strerror(-*ret));
    if (action == BLOCK_ON_ERROR_IGNORE)
        *ret = 0;
    if (action != BLOCK_ON_ERROR_STOP)
        return false;
    park(req);
    return true;
}

/* In the order they were submitted, as far as parking kept it. */
BlockRequest *blk_take_parked(BlockBackend *blk)
{
    BlockRequest *list = NULL, *req;

    pthread_mutex_lock(&blk->lock);
    while ((req = blk->parked)) {
        blk->parked = req->next;
        req->next = list;
        list = req;
    }
    pthread_mutex_unlock(&blk->lock);
    return list;
}

void blk_retry_parked(void)
{
    for (BlockBackend *blk = blk_next(NULL); blk; blk = blk_next(blk)) {
        for (BlockRequest *req = blk_take_parked(blk), *next; req; req = next) {
            next = req->next;
            blk_request_entered(blk);
            blk_request_start(req);
        }
    }
}

static void run_state_changed(void *opaque, RunState state)
{
    if (state == RUN_STATE_RUNNING)
        blk_retry_parked();
}

void blk_bind_machine(Machine *machine)
{
    if (bound.machine)
        machine_remove_run_state_watch(bound.machine, &bound.watch);
    bound.machine = machine;
    bound.watch = (RunStateWatch){.changed = run_state_changed};
    if (machine)
        machine_add_run_state_watch(machine, &bound.watch);
}
