/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What monitors of both kinds share: peers, input, output, flow control.
 *
 *     chardev --in (<= INPUT_MAX)--> feed --> command --> out --> chardev
 *
 * While anything waits in out, nothing of in is looked at and nothing more is read: a peer that does not
 * read holds up its own commands and nobody else. So out holds one answer at most, and beside it events
 * up to UNASKED_MAX.
 */
#include "monitor-internal.h"

#include <string.h>

#include "core/lock.h"
#include "core/log.h"

#define INPUT_MAX 4096
#define UNASKED_MAX (1u << 20)

static void flush(Monitor *mon)
{
    size_t taken = 0, n;

    while (taken < mon->out->len &&
           (n = char_write(&mon->chr, mon->out->data + taken, mon->out->len - taken)) != 0)
        taken += n;
    g_byte_array_remove_range(mon->out, 0, (guint)taken);
}

void monitor_write(Monitor *mon, const char *text, size_t len)
{
    bool waits = mon->out->len;

    if (!mon->open)
        return;
    g_byte_array_append(mon->out, (const uint8_t *)text, (guint)len);
    if (!waits)
        flush(mon);
}

bool monitor_write_unasked(Monitor *mon, const char *text, size_t len)
{
    if (mon->open && mon->out->len + len > UNASKED_MAX)
        return false;
    monitor_write(mon, text, len);
    return true;
}

/* Carries out what was read, as long as the peer takes the answers. */
static void pump(Monitor *mon)
{
    size_t done = 0;

    if (mon->pumping)
        return;
    mon->pumping = true;
    while (done < mon->in->len && !mon->out->len)
        mon->ops->feed(mon, mon->in->data[done++]);
    g_byte_array_remove_range(mon->in, 0, (guint)done);
    mon->pumping = false;
}

static size_t mon_can_read(void *opaque)
{
    const Monitor *mon = opaque;

    return mon->out->len || mon->in->len ? 0 : INPUT_MAX;
}

static void mon_read(void *opaque, const uint8_t *buf, size_t len)
{
    Monitor *mon = opaque;

    if (!mon->open)
        return;
    g_byte_array_append(mon->in, buf, (guint)len);
    pump(mon);
}

static void mon_writable(void *opaque)
{
    Monitor *mon = opaque;

    flush(mon);
    pump(mon);
    if (mon_can_read(mon))
        char_accept_input(&mon->chr);
}

static void forget(Monitor *mon)
{
    g_byte_array_set_size(mon->in, 0);
    g_byte_array_set_size(mon->out, 0);
}

static void mon_event(void *opaque, CharEvent event)
{
    Monitor *mon = opaque;

    switch (event) {
    case CHAR_EVENT_OPENED:
        forget(mon);
        mon->open = true;
        mon->ops->opened(mon);
        break;
    case CHAR_EVENT_CLOSED:
        if (mon->open)
            mon->ops->closed(mon);
        mon->open = false;
        forget(mon);
        break;
    case CHAR_EVENT_FOCUS:
        if (mon->ops->focus)
            mon->ops->focus(mon);
        break;
    case CHAR_EVENT_BREAK:
        break;
    }
}

static const CharHandlers mon_handlers = {
    .can_read = mon_can_read,
    .read = mon_read,
    .writable = mon_writable,
    .event = mon_event,
    .one_peer = true,
};

/* --- Life cycle --- */

static void monitor_free(Monitor *mon)
{
    char_detach(&mon->chr);
    g_byte_array_unref(mon->in);
    g_byte_array_unref(mon->out);
    mon->ops->release(mon);
}

static bool add_monitor(Monitors *monitors, const MonitorOptions *options, GError **errp)
{
    Monitor *mon = options->mode == MONITOR_QMP ? qmp_monitor_new(options->pretty) : hmp_monitor_new();

    mon->all = monitors;
    mon->machine = monitors->machine;
    mon->in = g_byte_array_new();
    mon->out = g_byte_array_new();
    if (!char_attach(&mon->chr, chardev_find(options->chardev), errp)) {
        g_prefix_error(errp, "monitor: ");
        monitor_free(mon);
        return false;
    }
    g_ptr_array_add(monitors->list, mon);
    return true;
}

static void start_all(Monitors *monitors)
{
    qmp_events_init(monitors);
    for (guint i = 0; i < monitors->list->len; i++) {
        Monitor *mon = g_ptr_array_index(monitors->list, i);
        char_set_handlers(&mon->chr, &mon_handlers, mon);
    }
}

Monitors *monitors_new(Machine *machine, GPtrArray *options, GError **errp)
{
    Monitors *monitors = g_new0(Monitors, 1);
    bool ok = true;

    monitors->machine = machine;
    monitors->list = g_ptr_array_new();
    machine_lock();
    for (guint i = 0; ok && i < options->len; i++)
        ok = add_monitor(monitors, g_ptr_array_index(options, i), errp);
    if (ok)
        start_all(monitors);
    machine_unlock();
    if (ok)
        return monitors;
    monitors_free(monitors);
    return NULL;
}

void monitors_set_gdbserver(Monitors *monitors, bool (*fn)(void *opaque, const char *address, GError **errp),
                            void *opaque)
{
    monitors->gdbserver = fn;
    monitors->gdbserver_opaque = opaque;
}

void monitors_free(Monitors *monitors)
{
    machine_lock();
    event_loop_run_calls(event_loop_main()); /* the last events of other threads */
    qmp_events_release(monitors);
    for (guint i = 0; i < monitors->list->len; i++)
        monitor_free(g_ptr_array_index(monitors->list, i));
    machine_unlock();
    g_ptr_array_unref(monitors->list);
    g_free(monitors);
}

void monitor_print_help(MonitorMode mode, GString *out)
{
    if (mode == MONITOR_QMP)
        qmp_print_help(out);
    else
        hmp_print_help(out);
}

MonitorOptions *monitor_options_new(MonitorMode mode, const char *device, const char *chardev)
{
    MonitorOptions *options = g_new0(MonitorOptions, 1);

    *options = (MonitorOptions){.mode = mode, .device = g_strdup(device), .chardev = g_strdup(chardev)};
    return options;
}

void monitor_options_free(MonitorOptions *options)
{
    g_free(options->device);
    g_free(options->chardev);
    g_free(options);
}
