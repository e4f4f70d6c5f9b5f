/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Inside the monitors:
 *
 *   monitor.c       what both kinds share: peers that come and go, input, output, flow control
 *   qmp.c           a QMP session: greeting, requests, answers
 *   qmp-parser.c    bytes -> JSON values, with limits
 *   qmp-schema.c    types of arguments and answers: checks, introspection
 *   qmp-events.c    the table of events
 *   qmp-*.c         commands, one file an area; qmp-table.c lists their tables
 *   hmp*.c          the human monitor (hmp-internal.h)
 *
 * Locking: as monitor/monitor.h says.
 */
#ifndef SRC_MONITOR_MONITOR_INTERNAL_H
#define SRC_MONITOR_MONITOR_INTERNAL_H

#include <jansson.h>

#include "chardev/char.h"
#include "core/event.h"
#include "core/machine.h"
#include "monitor/monitor.h"

typedef struct Monitor Monitor;

/* The two kinds of session. */
typedef struct MonitorOps {
    void (*opened)(Monitor *mon); /* a peer is there; the session starts anew */
    void (*closed)(Monitor *mon);
    void (*focus)(Monitor *mon);  /* the terminal it shares is its now; may be NULL */
    void (*feed)(Monitor *mon, uint8_t byte);
    void (*release)(Monitor *mon);
} MonitorOps;

struct Monitor {
    const MonitorOps *ops;
    Monitors *all;
    Machine *machine;
    CharBackend chr;
    GByteArray *in;  /* read and not looked at yet: output waits */
    GByteArray *out; /* not taken by the peer yet */
    bool open;
    bool pumping;
    LogLimit lost;
};

/* An event that must not come often (QmpEvent.rate_ms). */
typedef struct EventRate {
    Monitors *monitors;
    VmEvent event;
    Timer timer;     /* armed: too early for another */
    bool waits;      /* one came meanwhile; the latest is kept */
    json_t *data;
    int64_t when_us;
} EventRate;

struct Monitors {
    Machine *machine;
    GPtrArray *list; /* of Monitor *, each the beginning of its kind's struct */
    EventRate rates[VM_EVENT_COUNT];
    bool (*gdbserver)(void *opaque, const char *address, GError **errp); /* monitors_set_gdbserver */
    void *gdbserver_opaque;
};

/* --- monitor.c --- */
/* For the peer, if there is one. Never fails: what it does not take now waits. */
void monitor_write(Monitor *mon, const char *text, size_t len);
/* The same for what nobody asked for: false if too much waits already. */
bool monitor_write_unasked(Monitor *mon, const char *text, size_t len);

/* --- hmp-session.c --- */
Monitor *hmp_monitor_new(void);
/* One line of the human monitor; what it printed, with "\r\n" at the end of lines. *cpu may be changed. */
char *hmp_execute(Monitor *mon, unsigned *cpu, const GPtrArray *history, const char *line);

/* --- qmp.c --- */
Monitor *qmp_monitor_new(bool pretty);
void qmp_set_negotiated(Monitor *mon);
/* To every QMP monitor whose peer has negotiated. */
void qmp_send_event(Monitors *monitors, VmEvent event, json_t *data, int64_t when_us);

/* --- hmp.c, qmp-table.c: a line each, "  NAME ARGUMENTS -- help" --- */
void hmp_print_help(GString *out);
void qmp_print_help(GString *out);

/* --- qmp-session.c --- */
/* VersionInfo, the caller's. */
json_t *qmp_version(void);

/* --- qmp-events.c --- */
void qmp_events_init(Monitors *monitors);
void qmp_events_release(Monitors *monitors);

#endif
