/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Inside the gdb stub:
 *
 *   gdb-packet.c     framing, checksums, escapes, hex digits
 *   gdb-address.c    "-gdb ADDRESS" -> a socket that listens
 *   gdb-server.c     who may connect; bytes in and out
 *   gdb-cmd.c        the table of packets, and the simple ones
 *   gdb-query.c      q and Q packets: features, threads, settings
 *   gdb-monitor.c    "monitor" commands
 *   gdb-regs.c       registers as gdb sees them, target description; gdb-reg-table.c: which there are
 *   gdb-mem.c        memory
 *   gdb-break.c      Z and z packets
 *   gdb-run.c        resuming vCPUs, and why they stopped
 *
 * A handler appends its answer to gdb->reply; an empty one tells gdb that the packet is not known.
 * Threads are numbered from 1: thread N is vCPU N - 1. Source: GDB manual, appendix E (sections in
 * the files).
 */
#ifndef SRC_DEBUG_GDB_INTERNAL_H
#define SRC_DEBUG_GDB_INTERNAL_H

#include "core/guest-debug.h"
#include "debug/gdbstub.h"
#include "gdb-packet.h"

/* The VM, where a packet names a process. */
#define GDB_PROCESS 1
#define GDB_POINTS_MAX 1024

/* Bits of the "qqemu.sstep" packets. */
enum {
    GDB_STEP_ENABLE = 1 << 0,
    GDB_STEP_NO_IRQ = 1 << 1,   /* no interrupt is taken for a step */
    GDB_STEP_NO_TIMER = 1 << 2, /* the virtual clock stands during a step */
    GDB_STEP_ALL = GDB_STEP_ENABLE | GDB_STEP_NO_IRQ | GDB_STEP_NO_TIMER,
};

/* What a resumed vCPU does. */
typedef enum GdbActionKind { GDB_HOLD, GDB_CONTINUE, GDB_STEP, GDB_STEP_RANGE } GdbActionKind;

typedef struct GdbAction {
    GdbActionKind kind;
    uint64_t start, end; /* STEP_RANGE: steps while start <= rip < end */
    bool held;           /* vcpu_pause was called for it */
} GdbAction;

/* What the main loop has queued; it may outlive us. */
typedef struct GdbReport {
    Gdb *gdb; /* NULL: gone */
} GdbReport;

typedef struct GdbServer GdbServer;
typedef struct GdbLayout GdbLayout;

/* Which registers gdb is shown. */
typedef enum GdbArch { GDB_ARCH_AUTO, GDB_ARCH_I386, GDB_ARCH_AMD64 } GdbArch;

struct Gdb {
    Machine *machine;
    GdbServer *server;
    RunStateWatch run_state_watch;

    /* Of the connection; gdb_session_begin. */
    bool no_ack;
    bool multiprocess;       /* thread ids are "pPID.TID" */
    bool reports_breaks;     /* stop replies say swbreak, hwbreak */
    bool physical;           /* memory packets give physical addresses */
    unsigned step_flags;
    unsigned general_thread; /* vCPU index: Hg, for registers and memory */
    int resume_thread;       /* Hc: -1 all, else a vCPU index */
    GArray *points;          /* of DebugPoint */

    bool awaiting_stop;      /* gdb resumed the VM and is owed a stop reply */
    bool interrupted;        /* Ctrl-C came, and no stop reply has been sent since */
    bool armed;              /* points and steps are in force: the VM runs */
    GdbReport *report;       /* a stop reply to be sent soon; NULL: none */
    GdbAction *actions;      /* of each vCPU, of the last resume */

    GdbArch arch;            /* "monitor arch"; outlives connections */
    GdbLayout *layout;       /* as gdb last read it */

    GString *reply;
    bool reply_later;        /* the handler's answer is a stop reply, or none at all */
};

/* --- gdb-cmd.c --- */
void gdb_handle_packet(Gdb *gdb, const char *payload, size_t length);
void gdb_reply_ok(Gdb *gdb);
void gdb_reply_error(Gdb *gdb, unsigned code);
/* "E.text": gdb shows the text of some. */
void gdb_reply_failure(Gdb *gdb, const char *fmt, ...) G_GNUC_PRINTF(2, 3);
enum { GDB_ERROR_SYNTAX = 0x16, GDB_ERROR_MEMORY = 0x0e }; /* EINVAL, EFAULT */

/* A thread-id: "p1.2", "2", "-1", "0" (any). *index is a vCPU's, or -1: all, or any. False: syntax, or
 * no such thread. */
bool gdb_take_thread(Gdb *gdb, GdbArgs *args, int *index);
void gdb_append_thread(const Gdb *gdb, GString *out, unsigned index);
static inline Vcpu *gdb_vcpu(const Gdb *gdb)
{
    return gdb->machine->vcpus[gdb->general_thread];
}

/* --- gdb-server.c --- */
GdbServer *gdb_server_new(Gdb *gdb, const char *address, GError **errp);
void gdb_server_free(GdbServer *server);
/* A packet for the connected debugger; nothing if there is none. */
void gdb_send(Gdb *gdb, const char *payload, size_t length);

/* --- gdb-address.c --- */
/* A listening socket, or -1. *unlink_path: of a unix socket, to be removed by the owner; else NULL. */
int gdb_listen(const char *address, char **unlink_path, GError **errp);

/* --- gdb-query.c --- */
void gdb_query_supported(Gdb *gdb, GdbArgs *args);
void gdb_query_first_threads(Gdb *gdb, GdbArgs *args);
void gdb_query_more_threads(Gdb *gdb, GdbArgs *args);
void gdb_query_thread_info(Gdb *gdb, GdbArgs *args);
void gdb_query_features(Gdb *gdb, GdbArgs *args);
void gdb_query_current_thread(Gdb *gdb, GdbArgs *args);
void gdb_query_attached(Gdb *gdb, GdbArgs *args);
void gdb_query_step_bits(Gdb *gdb, GdbArgs *args);
void gdb_query_step(Gdb *gdb, GdbArgs *args);
void gdb_set_step(Gdb *gdb, GdbArgs *args);
void gdb_query_physical(Gdb *gdb, GdbArgs *args);
void gdb_set_physical(Gdb *gdb, GdbArgs *args);

/* --- gdb-monitor.c --- */
void gdb_query_monitor(Gdb *gdb, GdbArgs *args);

/* --- gdb-regs.c --- */
GdbLayout *gdb_layout_new(bool amd64, uint64_t xcr0_mask);
void gdb_layout_free(GdbLayout *layout);
const char *gdb_layout_xml(const GdbLayout *layout);
/* The layout for the arch asked for and the guest's CPUs. */
void gdb_layout_choose(Gdb *gdb);
void gdb_read_registers(Gdb *gdb, GdbArgs *args);
void gdb_write_registers(Gdb *gdb, GdbArgs *args);
void gdb_read_register(Gdb *gdb, GdbArgs *args);
void gdb_write_register(Gdb *gdb, GdbArgs *args);

/* --- gdb-mem.c --- */
void gdb_read_memory(Gdb *gdb, GdbArgs *args);
void gdb_write_memory(Gdb *gdb, GdbArgs *args);
void gdb_write_memory_binary(Gdb *gdb, GdbArgs *args);
/* DEBUG_NO_GPA if addr, as memory packets mean it now, is not mapped. */
uint64_t gdb_translate(Gdb *gdb, uint64_t addr);

/* --- gdb-break.c --- */
void gdb_insert_point(Gdb *gdb, GdbArgs *args);
void gdb_remove_point(Gdb *gdb, GdbArgs *args);

/* --- gdb-run.c --- */
void gdb_session_begin(Gdb *gdb);
/* The debugger is gone, with or without a word. */
void gdb_session_end(Gdb *gdb);
/* Makes the VM stand still without telling gdb, which believes that it does. */
void gdb_stop_quietly(Gdb *gdb);
/* Ctrl-C. */
void gdb_interrupt(Gdb *gdb);
void gdb_run_state_changed(void *gdb, RunState state);
void gdb_report_status(Gdb *gdb, GdbArgs *args);
void gdb_continue(Gdb *gdb, GdbArgs *args);
void gdb_continue_signal(Gdb *gdb, GdbArgs *args);
void gdb_step(Gdb *gdb, GdbArgs *args);
void gdb_step_signal(Gdb *gdb, GdbArgs *args);
void gdb_vcont_query(Gdb *gdb, GdbArgs *args);
void gdb_vcont(Gdb *gdb, GdbArgs *args);
void gdb_detach(Gdb *gdb, GdbArgs *args);

#endif
