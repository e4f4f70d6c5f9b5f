/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * q and Q packets: what each side can do, the list of threads, the target description, and QEMU's
 * settings for steps and physical memory. GDB manual, E.4 "General Query Packets"; QEMU's manual,
 * "GDB usage", advanced debugging options.
 *
 * Locking: the main loop, machine_lock held.
 */
#include <string.h>

#include "gdb-internal.h"

/* qSupported:feature;feature... Each side says what it can; gdb offers what must be asked for. */
void gdb_query_supported(Gdb *gdb, GdbArgs *args)
{
    g_autofree char *offer = g_strndup(args->next, gdb_args_left(args));
    g_auto(GStrv) features = g_strsplit_set(offer, ":;", -1);

    gdb->multiprocess = g_strv_contains((const char *const *)features, "multiprocess+");
    gdb->reports_breaks = g_strv_contains((const char *const *)features, "swbreak+") &&
                          g_strv_contains((const char *const *)features, "hwbreak+");
    g_string_printf(gdb->reply, "PacketSize=%x;qXfer:features:read+;QStartNoAckMode+;vContSupported+", GDB_PACKET_MAX);
    if (gdb->multiprocess)
        g_string_append(gdb->reply, ";multiprocess+");
    if (gdb->reports_breaks)
        g_string_append(gdb->reply, ";swbreak+;hwbreak+");
}

void gdb_query_attached(Gdb *gdb, GdbArgs *args)
{
    g_string_assign(gdb->reply, "1"); /* gdb detaches when it ends, and does not kill */
}

/* --- threads --- */

void gdb_query_current_thread(Gdb *gdb, GdbArgs *args)
{
    g_string_assign(gdb->reply, "QC");
    gdb_append_thread(gdb, gdb->reply, gdb->general_thread);
}

/* All of them fit in one packet: MAX_VCPUS of at most 6 characters. */
void gdb_query_first_threads(Gdb *gdb, GdbArgs *args)
{
    for (unsigned i = 0; i < gdb->machine->smp.cpus; i++) {
        g_string_append_c(gdb->reply, i ? ',' : 'm');
        gdb_append_thread(gdb, gdb->reply, i);
    }
}

void gdb_query_more_threads(Gdb *gdb, GdbArgs *args)
{
    g_string_assign(gdb->reply, "l");
}

/* qThreadExtraInfo,thread-id: what "info threads" shows. */
void gdb_query_thread_info(Gdb *gdb, GdbArgs *args)
{
    g_autofree char *text = NULL;
    int index;

    if (!gdb_take_char(args, ',') || !gdb_take_thread(gdb, args, &index) || index < 0) {
        gdb_reply_error(gdb, GDB_ERROR_SYNTAX);
        return;
    }
    Vcpu *vcpu = gdb->machine->vcpus[index];
    vcpu_sync_state(vcpu);
    text = g_strdup_printf("CPU#%d [%s]", index, vcpu->state.mp_state == MP_RUNNABLE ? "running" : "halted");
    gdb_append_hex(gdb->reply, text, strlen(text));
}

/* --- target description --- */

/* qXfer:features:read:target.xml:offset,length (E.4 "qXfer target description read"). */
void gdb_query_features(Gdb *gdb, GdbArgs *args)
{
    uint64_t offset, length;

    if (!gdb_take_word(args, ":target.xml:") || !gdb_take_hex(args, &offset) || !gdb_take_char(args, ',') ||
        !gdb_take_hex(args, &length)) {
        gdb_reply_error(gdb, 0);
        return;
    }
    if (offset == 0)
        gdb_layout_choose(gdb); /* what it says now is what the next register packets have */
    const char *xml = gdb_layout_xml(gdb->layout);
    size_t total = strlen(xml);
    if (offset > total) {
        gdb_reply_error(gdb, GDB_ERROR_SYNTAX);
        return;
    }
    length = MIN(length, MIN(total - offset, GDB_PACKET_MAX / 2)); /* half: escapes */
    g_string_append_c(gdb->reply, offset + length < total ? 'm' : 'l');
    g_string_append_len(gdb->reply, xml + offset, (gssize)length);
}

/* --- QEMU's settings: "maintenance packet Qqemu.sstep=0x5" --- */

void gdb_query_step_bits(Gdb *gdb, GdbArgs *args)
{
    g_string_printf(gdb->reply, "ENABLE=%x,NOIRQ=%x,NOTIMER=%x", GDB_STEP_ENABLE, GDB_STEP_NO_IRQ,
                    GDB_STEP_NO_TIMER);
}

void gdb_query_step(Gdb *gdb, GdbArgs *args)
{
    g_string_printf(gdb->reply, "0x%x", gdb->step_flags);
}

void gdb_set_step(Gdb *gdb, GdbArgs *args)
{
    uint64_t flags;

    if (!gdb_take_char(args, '=') || !(gdb_take_word(args, "0x"), gdb_take_hex(args, &flags)) ||
        flags & ~(uint64_t)GDB_STEP_ALL) {
        gdb_reply_error(gdb, GDB_ERROR_SYNTAX);
        return;
    }
    gdb->step_flags = (unsigned)flags;
    gdb_reply_ok(gdb);
}

void gdb_query_physical(Gdb *gdb, GdbArgs *args)
{
    g_string_assign(gdb->reply, gdb->physical ? "1" : "0");
}

void gdb_set_physical(Gdb *gdb, GdbArgs *args)
{
    uint64_t on;

    if (!gdb_take_char(args, ':') || !gdb_take_hex(args, &on)) {
        gdb_reply_error(gdb, GDB_ERROR_SYNTAX);
        return;
    }
    gdb->physical = on != 0;
    gdb_reply_ok(gdb);
}
