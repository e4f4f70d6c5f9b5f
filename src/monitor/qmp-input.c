/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * QMP commands that stand in for keyboard and mouse.
 */
#include <string.h>

#include "core/error.h"
#include "monitor-internal.h"
#include "qmp-schema.h"
#include "ui/input.h"
#include "ui/keys.h"

#define EVENTS_MAX 1024 /* in one input-send-event */

/* --- Types --- */

static const char *const key_kinds[] = {"number", "qcode", NULL};
static const QmpType key_kind_enum = {QMP_ENUM, "KeyValueKind", .values = key_kinds};
static const QmpMember key_members[] = {
    {"type", &key_kind_enum, false, NULL},
    {"data", &qmp_any, false, "a scan code of the first set, or a name"},
    {0},
};
static const QmpType key_type = {QMP_OBJECT, "KeyValue", key_members};
static const QmpType key_list = {QMP_ARRAY, .element = &key_type};

enum { EVENT_KEY, EVENT_BUTTON, EVENT_REL, EVENT_ABS };
static const char *const event_kinds[] = {"key", "btn", "rel", "abs", NULL};
static const QmpType event_kind_enum = {QMP_ENUM, "InputEventKind", .values = event_kinds};
static const QmpMember event_members[] = {
    {"type", &event_kind_enum, false, NULL},
    {"data", &qmp_any, false, "InputKeyEvent, InputBtnEvent or InputMoveEvent"},
    {0},
};
static const QmpType event_type = {QMP_OBJECT, "InputEvent", event_members};
static const QmpType event_list = {QMP_ARRAY, .element = &event_type};

static const QmpMember key_event_members[] = {{"key", &key_type, false, NULL}, {"down", &qmp_bool, false, NULL}, {0}};
static const QmpType key_event = {QMP_OBJECT, "InputKeyEvent", key_event_members};

enum { BUTTON_WHEEL_UP = 3, BUTTON_WHEEL_DOWN };
static const char *const button_names[] = {"left", "middle", "right", "wheel-up", "wheel-down", "side", "extra", NULL};
static const InputButton buttons[] = {
    INPUT_BUTTON_LEFT, INPUT_BUTTON_MIDDLE, INPUT_BUTTON_RIGHT, 0, 0, INPUT_BUTTON_SIDE, INPUT_BUTTON_EXTRA,
};
static const QmpType button_enum = {QMP_ENUM, "InputButton", .values = button_names};
static const QmpMember button_event_members[] = {
    {"button", &button_enum, false, NULL},
    {"down", &qmp_bool, false, NULL},
    {0},
};
static const QmpType button_event = {QMP_OBJECT, "InputBtnEvent", button_event_members};

static const char *const axis_names[] = {"x", "y", NULL}; /* as InputAxis */
static const QmpType axis_enum = {QMP_ENUM, "InputAxis", .values = axis_names};
static const QmpMember move_event_members[] = {
    {"axis", &axis_enum, false, NULL},
    {"value", &qmp_int, false, NULL},
    {0},
};
static const QmpType move_event = {QMP_OBJECT, "InputMoveEvent", move_event_members};

static const QmpType *const event_types[] = {&key_event, &button_event, &move_event, &move_event}; /* by EVENT_* */

static unsigned index_of(const char *const *names, const char *name)
{
    unsigned i = 0;

    while (strcmp(names[i], name) != 0) /* its type has been checked */
        i++;
    return i;
}

/* --- send-key --- */

/* 0 with an error: there is none. */
static unsigned code_of(json_t *key, GError **errp)
{
    json_t *data = json_object_get(key, "data");
    bool by_number = strcmp(qmp_arg_str(key, "type"), "number") == 0;
    unsigned code = 0;

    if (by_number ? !json_is_integer(data) : !json_is_string(data)) {
        qmp_fail(errp, QMP_GENERIC_ERROR, "Parameter 'data' expects %s", by_number ? "a number" : "a key's name");
        return 0;
    }
    code = by_number ? key_code_of_scancode(json_integer_value(data)) : key_code(json_string_value(data));
    if (!code && by_number)
        qmp_fail(errp, QMP_GENERIC_ERROR, "There is no key with scan code %" JSON_INTEGER_FORMAT,
                 json_integer_value(data));
    else if (!code)
        qmp_fail(errp, QMP_GENERIC_ERROR, "There is no key '%s'", json_string_value(data));
    return code;
}

static json_t *send_key(Monitor *mon, json_t *args, GError **errp)
{
    json_t *keys = json_object_get(args, "keys");
    int64_t hold_ms = qmp_arg_int(args, "hold-time", KEYS_HOLD_MS);
    unsigned codes[KEYS_AT_ONCE], count = json_array_size(keys);

    if (!count || count > KEYS_AT_ONCE)
        return qmp_fail(errp, QMP_GENERIC_ERROR, "1 to %d keys can be pressed at once", KEYS_AT_ONCE);
    if (hold_ms < 0 || hold_ms > KEYS_HOLD_MAX_MS)
        return qmp_fail(errp, QMP_GENERIC_ERROR, "Parameter 'hold-time' is out of range");
    for (unsigned i = 0; i < count; i++) {
        codes[i] = code_of(json_array_get(keys, i), errp);
        if (!codes[i])
            return NULL;
    }
    return keys_press(codes, count, (unsigned)hold_ms, errp) ? json_object() : NULL;
}

/* --- input-send-event --- */

static void send_button(unsigned button, bool down)
{
    if (button != BUTTON_WHEEL_UP && button != BUTTON_WHEEL_DOWN)
        input_send_button(buttons[button], down);
    else if (down)
        input_send_rel(INPUT_AXIS_WHEEL, button == BUTTON_WHEEL_UP ? 1 : -1);
}

static unsigned kind_of(json_t *event)
{
    return index_of(event_kinds, qmp_arg_str(event, "type"));
}

static bool check_event(json_t *event, GError **errp)
{
    unsigned kind = kind_of(event);
    json_t *data = json_object_get(event, "data");

    return qmp_check_type(event_types[kind], "data", data, errp) &&
           (kind != EVENT_KEY || code_of(json_object_get(data, "key"), errp));
}

static void send_event(json_t *event)
{
    json_t *data = json_object_get(event, "data");
    int value = (int)CLAMP(qmp_arg_int(data, "value", 0), -INPUT_ABS_MAX, INPUT_ABS_MAX);

    switch (kind_of(event)) {
    case EVENT_KEY:
        input_send_key(code_of(json_object_get(data, "key"), NULL), qmp_arg_bool(data, "down", false));
        break;
    case EVENT_BUTTON:
        send_button(index_of(button_names, qmp_arg_str(data, "button")), qmp_arg_bool(data, "down", false));
        break;
    case EVENT_REL:
        input_send_rel((InputAxis)index_of(axis_names, qmp_arg_str(data, "axis")), value);
        break;
    default:
        input_send_abs((InputAxis)index_of(axis_names, qmp_arg_str(data, "axis")), value);
        break;
    }
}

/* All or nothing. */
static json_t *input_send_event(Monitor *mon, json_t *args, GError **errp)
{
    json_t *events = json_object_get(args, "events"), *event;
    size_t i;

    if (json_array_size(events) > EVENTS_MAX)
        return qmp_fail(errp, QMP_GENERIC_ERROR, "Parameter 'events' holds more than %d", EVENTS_MAX);
    json_array_foreach(events, i, event) {
        if (!check_event(event, errp))
            return NULL;
    }
    json_array_foreach(events, i, event)
        send_event(event);
    input_sync();
    return json_object();
}

static const QmpMember send_key_args[] = {
    {"keys", &key_list, false, "pressed in this order, let go of in reverse"},
    {"hold-time", &qmp_int, true, "milliseconds; 100"},
    {0},
};

static const QmpMember send_event_args[] = {
    {"device", &qmp_str, true, "accepted: there is one console"},
    {"head", &qmp_int, true, "accepted"},
    {"events", &event_list, false, NULL},
    {0},
};

const QmpCommand qmp_input_commands[] = {
    {"input-send-event", send_event_args, NULL, input_send_event, "keys, buttons and movements, as they happen"},
    {"send-key", send_key_args, NULL, send_key, "press keys together for a moment"},
    {0},
};
