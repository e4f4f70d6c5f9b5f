/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A human monitor on a chardev: greeting, prompt, editor.
 *
 * On a mux it is silent until it has the keyboard (Ctrl-a c) for the first time.
 */
#include <string.h>

#include "hmp-internal.h"
#include "monitor-internal.h"
#include "readline.h"

#define PROMPT "(vmm) "

typedef struct HmpMonitor {
    Monitor mon;
    Readline readline;
    unsigned cpu;
    bool greeted;
} HmpMonitor;

/* Terminals want a carriage return before each line feed. */
static char *for_terminal(const char *text)
{
    g_auto(GStrv) lines = g_strsplit(text, "\n", -1);

    return g_strjoinv("\r\n", lines);
}

static void show(void *opaque, const char *text)
{
    monitor_write(opaque, text, strlen(text));
}

static void prompt(HmpMonitor *hmp)
{
    if (!hmp->greeted)
        show(hmp, "vmm " VMM_VERSION " monitor - 'help' lists the commands\r\n");
    hmp->greeted = true;
    readline_prompt(&hmp->readline);
}

char *hmp_execute(Monitor *mon, unsigned *cpu, const GPtrArray *history, const char *line)
{
    g_autoptr(GString) out = g_string_new(NULL);
    HmpContext ctx = {
        .machine = mon->machine,
        .cpu = *cpu,
        .out = out,
        .history = history,
        .gdbserver = mon->all->gdbserver,
        .gdbserver_opaque = mon->all->gdbserver_opaque,
    };

    hmp_run(&ctx, line);
    *cpu = ctx.cpu;
    return for_terminal(out->str);
}

static void run_line(void *opaque, const char *line)
{
    HmpMonitor *hmp = opaque;
    g_autofree char *text = hmp_execute(&hmp->mon, &hmp->cpu, hmp->readline.history, line);

    show(hmp, text);
    prompt(hmp);
}

static GPtrArray *complete(void *opaque, const char *before)
{
    return hmp_complete(before);
}

static const ReadlineOps readline_ops = {show, run_line, complete};

static void hmp_opened(Monitor *mon)
{
    HmpMonitor *hmp = (HmpMonitor *)mon;

    readline_reset(&hmp->readline);
    hmp->cpu = 0;
    hmp->greeted = false;
    if (char_has_focus(&mon->chr))
        prompt(hmp);
}

static void hmp_closed(Monitor *mon)
{
    readline_reset(&((HmpMonitor *)mon)->readline);
}

static void hmp_focus(Monitor *mon)
{
    show(mon, "\r\n");
    prompt((HmpMonitor *)mon);
}

static void hmp_feed(Monitor *mon, uint8_t byte)
{
    readline_feed(&((HmpMonitor *)mon)->readline, byte);
}

static void hmp_release(Monitor *mon)
{
    HmpMonitor *hmp = (HmpMonitor *)mon;

    readline_release(&hmp->readline);
    g_free(hmp);
}

static const MonitorOps hmp_ops = {
    .opened = hmp_opened,
    .closed = hmp_closed,
    .focus = hmp_focus,
    .feed = hmp_feed,
    .release = hmp_release,
};

Monitor *hmp_monitor_new(void)
{
    HmpMonitor *hmp = g_new0(HmpMonitor, 1);

    hmp->mon.ops = &hmp_ops;
    readline_init(&hmp->readline, &readline_ops, hmp, PROMPT);
    return &hmp->mon;
}
