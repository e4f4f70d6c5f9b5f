/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A QMP session. Source: QEMU's docs/interop/qmp-spec, sections 2.2 to 2.7.
 *
 *     peer arrives: greeting --> NEGOTIATING: qmp_capabilities alone --> commands, answers, events
 *
 * Not offered: the capability "oob" (commands that overtake others).
 */
#include <string.h>

#include "core/error.h"
#include "monitor-internal.h"
#include "qmp-parser.h"
#include "qmp-schema.h"

typedef struct QmpMonitor {
    Monitor mon;
    QmpParser parser;
    bool pretty;
    bool negotiated;
} QmpMonitor;

static char *dump(const QmpMonitor *qmp, json_t *value)
{
    return json_dumps(value, qmp->pretty ? JSON_INDENT(4) : 0);
}

/* Takes the value. */
static void send(QmpMonitor *qmp, json_t *value)
{
    char *text = dump(qmp, value);

    monitor_write(&qmp->mon, text, strlen(text));
    monitor_write(&qmp->mon, "\r\n", 2);
    free(text);
    json_decref(value);
}

/* Adds the request's id, takes the answer. */
static void answer(QmpMonitor *qmp, json_t *request, json_t *value)
{
    json_t *id = json_object_get(request, "id");

    if (id)
        json_object_set(value, "id", id);
    send(qmp, value);
}

static void answer_error(QmpMonitor *qmp, json_t *request, const GError *err)
{
    g_autofree char *desc = g_utf8_make_valid(err->message, -1); /* it may quote the peer */

    answer(qmp, request,
           json_pack("{s:{s:s, s:s}}", "error", "class", qmp_error_class(err), "desc", desc));
}

/* qmp-spec 2.3: what a request may consist of. */
static bool check_request(json_t *request, GError **errp)
{
    const char *key;
    json_t *value;

    if (!json_is_object(request))
        return error_set(errp, "QMP input must be a JSON object");
    json_object_foreach(request, key, value) {
        if (strcmp(key, "execute") == 0 && !json_is_string(value))
            return error_set(errp, "QMP input member 'execute' must be a string");
        if (strcmp(key, "arguments") == 0 && !json_is_object(value))
            return error_set(errp, "QMP input member 'arguments' must be an object");
        if (strcmp(key, "exec-oob") == 0)
            return error_set(errp, "QMP input member 'exec-oob': out-of-band execution is not offered; use 'execute'");
        if (strcmp(key, "execute") != 0 && strcmp(key, "arguments") != 0 && strcmp(key, "id") != 0)
            return error_set(errp, "QMP input member '%s' is unexpected", key);
    }
    return json_object_get(request, "execute") || error_set(errp, "QMP input lacks member 'execute'");
}

static const QmpCommand *find_command(const QmpMonitor *qmp, const char *name, GError **errp)
{
    const QmpCommand *command = qmp_command_find(name);
    bool negotiates = strcmp(name, "qmp_capabilities") == 0;

    if (!qmp->negotiated && !negotiates)
        qmp_fail(errp, QMP_COMMAND_NOT_FOUND, "Expecting capabilities negotiation with 'qmp_capabilities'");
    else if (qmp->negotiated && negotiates)
        qmp_fail(errp, QMP_COMMAND_NOT_FOUND, "Capabilities negotiation is already complete, command ignored");
    else if (!command)
        qmp_fail(errp, QMP_COMMAND_NOT_FOUND, "The command %s has not been found", name);
    else
        return command;
    return NULL;
}

/* The answer's "return"; NULL with an error. */
static json_t *execute(QmpMonitor *qmp, json_t *request, GError **errp)
{
    if (!check_request(request, errp))
        return NULL;
    const QmpCommand *command = find_command(qmp, qmp_arg_str(request, "execute"), errp);
    if (!command)
        return NULL;
    json_t *args = json_object_get(request, "arguments");
    args = args ? json_incref(args) : json_object();
    json_t *result = qmp_check_args(command, args, errp) ? command->run(&qmp->mon, args, errp) : NULL;
    json_decref(args);
    return result;
}

static void handle(QmpMonitor *qmp, json_t *request)
{
    g_autoptr(GError) err = NULL;
    json_t *result = execute(qmp, request, &err);

    if (result)
        answer(qmp, request, json_pack("{s:o}", "return", result));
    else
        answer_error(qmp, request, err);
}

static void qmp_feed(Monitor *mon, uint8_t byte)
{
    QmpMonitor *qmp = (QmpMonitor *)mon;
    g_autoptr(GError) err = NULL;
    json_t *request;

    if (!qmp_parser_feed(&qmp->parser, byte, &request, &err))
        return;
    if (request)
        handle(qmp, request);
    else
        answer_error(qmp, NULL, err);
    json_decref(request);
}

static void qmp_opened(Monitor *mon)
{
    QmpMonitor *qmp = (QmpMonitor *)mon;

    qmp_parser_reset(&qmp->parser);
    qmp->negotiated = false;
    send(qmp, json_pack("{s:{s:o, s:[]}}", "QMP", "version", qmp_version(), "capabilities"));
}

static void qmp_closed(Monitor *mon)
{
    qmp_parser_reset(&((QmpMonitor *)mon)->parser);
}

void qmp_set_negotiated(Monitor *mon)
{
    ((QmpMonitor *)mon)->negotiated = true;
}

static void qmp_release(Monitor *mon)
{
    QmpMonitor *qmp = (QmpMonitor *)mon;

    qmp_parser_release(&qmp->parser);
    g_free(qmp);
}

static const MonitorOps qmp_ops = {
    .opened = qmp_opened,
    .closed = qmp_closed,
    .feed = qmp_feed,
    .release = qmp_release,
};

Monitor *qmp_monitor_new(bool pretty)
{
    QmpMonitor *qmp = g_new0(QmpMonitor, 1);

    qmp->mon.ops = &qmp_ops;
    qmp->pretty = pretty;
    qmp_parser_init(&qmp->parser);
    return &qmp->mon;
}

/* --- Events --- */

static void send_event(QmpMonitor *qmp, json_t *event)
{
    char *json = dump(qmp, event);
    g_autofree char *text = g_strconcat(json, "\r\n", NULL);

    free(json);
    if (!monitor_write_unasked(&qmp->mon, text, strlen(text)) && log_limit_pass(&qmp->mon.lost))
        log_warn("monitor '%s': its peer takes no output; events are lost", chardev_id(qmp->mon.chr.chr));
}

void qmp_send_event(Monitors *monitors, VmEvent event, json_t *data, int64_t when_us)
{
    json_t *value = json_pack("{s:{s:I, s:I}, s:s}", "timestamp", "seconds", (json_int_t)(when_us / 1000000),
                              "microseconds", (json_int_t)(when_us % 1000000), "event", qmp_events[event].name);

    if (data)
        json_object_set(value, "data", data);
    for (guint i = 0; i < monitors->list->len; i++) {
        Monitor *mon = g_ptr_array_index(monitors->list, i);
        if (mon->ops == &qmp_ops && mon->open && ((QmpMonitor *)mon)->negotiated)
            send_event((QmpMonitor *)mon, value);
    }
    json_decref(value);
}
