/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The human monitor's commands: lines of text, for people at a terminal, for "human-monitor-command" of
 * QMP and for "monitor" in gdb. All of them use the same tables (src/monitor/hmp-table.c).
 *
 * Locking: the main thread, machine_lock held. A row's handler runs with the vCPUs paused if the row says so.
 */
#ifndef MONITOR_HMP_H
#define MONITOR_HMP_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

typedef struct Machine Machine;
typedef struct HmpContext HmpContext;

/* False with an error: its message is printed. The arguments are taken from ctx->args (hmp_take_*). */
typedef bool HmpHandler(HmpContext *ctx, GError **errp);

typedef struct HmpCommand {
    const char *name;  /* with aliases: "cont|c"; of two words: "info status" */
    const char *args;  /* their form, for help; NULL: none, which is checked before the handler is called */
    HmpHandler *run;
    const char *help;
    bool paused;       /* needs the vCPUs' state */
} HmpCommand;

/* Where a command is given. */
struct HmpContext {
    Machine *machine;
    unsigned cpu;           /* whose registers and virtual addresses; "cpu N" changes it */
    GString *out;           /* what the command prints */
    const HmpCommand *more; /* further commands of the caller, looked at first; NULL: none */
    void *opaque;           /* theirs */
    const GPtrArray *history; /* of char *, for "info history"; NULL: none is kept */
    /* Starts or ends ("none") the gdb stub; NULL: cannot be done here. */
    bool (*gdbserver)(void *opaque, const char *address, GError **errp);
    void *gdbserver_opaque;

    const char *args; /* of the command that runs, what of them is left */
};

/* What one command may print; the rest is cut off, with a line that says so. */
#define HMP_OUTPUT_MAX (1u << 20)

/* Carries out one line, errors included: "Error: ..." in ctx->out. */
void hmp_run(HmpContext *ctx, const char *line);
/* Words the last word of line could be, sorted; free with g_ptr_array_unref. */
GPtrArray *hmp_complete(const char *line);

/* For handlers. */
bool hmp_out_is_full(const HmpContext *ctx);
/* "-a": true and taken if that is next. */
bool hmp_take_flag(HmpContext *ctx, char flag);
/* The next word, or what is between double quotes; NULL: there is none. The caller's. */
char *hmp_take_word(HmpContext *ctx);
bool hmp_need_word(HmpContext *ctx, const char *what, char **word, GError **errp);
/* "$rip + 4": as long as it goes on, spaces included. Registers are those of ctx->cpu. */
bool hmp_take_number(HmpContext *ctx, const char *what, uint64_t *value, GError **errp);
bool hmp_is_at_end(const HmpContext *ctx);
/* Nothing may be left. */
bool hmp_end(const HmpContext *ctx, GError **errp);

/* "/8xw": how numbers are shown. */
typedef struct HmpFormat {
    unsigned count;
    char format; /* x d u o c i */
    unsigned size; /* bytes */
} HmpFormat;
/* Fields that are not given keep their values. */
bool hmp_take_format(HmpContext *ctx, HmpFormat *format, GError **errp);

#endif
