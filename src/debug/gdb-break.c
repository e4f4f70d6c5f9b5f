/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Breakpoints and watchpoints: Z and z packets (GDB manual, E.2).
 *
 *     Z0 software breakpoint   Z2 write watchpoint   Z4 access watchpoint
 *     Z1 hardware breakpoint   Z3 read watchpoint
 *
 * The list is kept here, and given to the accelerator when the VM runs (gdb-run.c).
 *
 * Locking: the main loop, machine_lock held, vCPUs paused.
 */
#include <string.h>

#include "gdb-internal.h"

/* Watching more than this is a mistake. */
#define WATCH_MAX (UINT64_C(1) << 30)

/* type,addr,kind; further arguments (conditions) are gdb's to evaluate. */
static bool take_point(Gdb *gdb, GdbArgs *args, DebugPoint *point)
{
    static const DebugPointKind kinds[] = {
        DEBUG_BREAK_SOFT, DEBUG_BREAK_HARD, DEBUG_WATCH_WRITE, DEBUG_WATCH_READ, DEBUG_WATCH_ACCESS,
    };
    uint64_t type;

    *point = (DebugPoint){.gpa = DEBUG_NO_GPA};
    if (!gdb_take_hex(args, &type) || type >= G_N_ELEMENTS(kinds) || !gdb_take_char(args, ',') ||
        !gdb_take_hex(args, &point->addr) || !gdb_take_char(args, ',') || !gdb_take_hex(args, &point->len))
        return false;
    point->kind = kinds[type];
    if (!debug_point_is_watch(point))
        point->len = 1;
    return point->len >= 1 && point->len <= WATCH_MAX && point->addr + (point->len - 1) >= point->addr;
}

static int find_point(const Gdb *gdb, const DebugPoint *point)
{
    for (guint i = 0; i < gdb->points->len; i++) {
        const DebugPoint *other = &g_array_index(gdb->points, DebugPoint, i);
        if (other->kind == point->kind && other->addr == point->addr && other->len == point->len)
            return (int)i;
    }
    return -1;
}

/* Twice the same is once: gdb may repeat a packet whose answer it lost. */
void gdb_insert_point(Gdb *gdb, GdbArgs *args)
{
    Accel *accel = gdb->machine->accel;
    g_autoptr(GError) err = NULL;
    DebugPoint point;

    if (!take_point(gdb, args, &point)) {
        gdb_reply_error(gdb, GDB_ERROR_SYNTAX);
        return;
    }
    if (!accel->ops->debug_check) {
        gdb_reply_failure(gdb, "-accel %s runs no guest code that could be stopped", accel->ops->name);
        return;
    }
    if (find_point(gdb, &point) >= 0) {
        gdb_reply_ok(gdb);
        return;
    }
    if (gdb->points->len >= GDB_POINTS_MAX) {
        gdb_reply_failure(gdb, "there are %u breakpoints and watchpoints, and no room for more", GDB_POINTS_MAX);
        return;
    }
    if (point.kind == DEBUG_BREAK_SOFT)
        point.gpa = gdb_translate(gdb, point.addr);
    g_array_append_val(gdb->points, point);
    if (!accel->ops->debug_check(accel, (DebugPoint *)gdb->points->data, gdb->points->len, &err)) {
        g_array_set_size(gdb->points, gdb->points->len - 1);
        gdb_reply_failure(gdb, "%s", err->message);
        return;
    }
    gdb_reply_ok(gdb);
}

void gdb_remove_point(Gdb *gdb, GdbArgs *args)
{
    DebugPoint point;
    int i;

    if (!take_point(gdb, args, &point)) {
        gdb_reply_error(gdb, GDB_ERROR_SYNTAX);
        return;
    }
    i = find_point(gdb, &point);
    if (i >= 0)
        g_array_remove_index(gdb->points, (guint)i);
    gdb_reply_ok(gdb);
}
