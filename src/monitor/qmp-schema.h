/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Types of what QMP commands take and answer, and the rows of the command and event tables.
 *
 * A command is one row: name, types, handler, help. The row's types check each request before the handler
 * sees it, describe the command to clients (query-qmp-schema, query-commands), and tests hold the answers
 * against them. Names are those of QEMU's schema, where QEMU has the type.
 *
 *     static const QmpMember eject_args[] = {
 *         {"id", &qmp_str, true, "..."},
 *         {0},
 *     };
 *     {"eject", eject_args, NULL, qmp_eject, "..."},
 *
 * Locking: none; the tables are constant.
 */
#ifndef SRC_MONITOR_QMP_SCHEMA_H
#define SRC_MONITOR_QMP_SCHEMA_H

#include <glib.h>
#include <jansson.h>
#include <stdbool.h>

#include "core/event.h"

typedef struct Monitor Monitor;
typedef struct QmpType QmpType;

typedef enum QmpKind {
    QMP_STR,
    QMP_INT,
    QMP_NUMBER,
    QMP_BOOL,
    QMP_ANY,
    QMP_OBJECT,
    QMP_ARRAY,
    QMP_ENUM,
} QmpKind;

typedef struct QmpMember {
    const char *name;
    const QmpType *type;
    bool optional;
    const char *help; /* NULL: the name says it */
} QmpMember;

struct QmpType {
    QmpKind kind;
    const char *name;          /* NULL: an array */
    const QmpMember *members;  /* OBJECT; ends with .name NULL */
    const QmpType *element;    /* ARRAY */
    const char *const *values; /* ENUM; NULL-terminated */
    bool more_members;         /* OBJECT: the handler takes, and checks, members not listed here */
};

extern const QmpType qmp_str, qmp_int, qmp_number, qmp_bool, qmp_any, qmp_str_list;

/* args: an object of the checked type, never NULL. The answer is the caller's; NULL: *errp says why not. */
typedef json_t *QmpHandler(Monitor *mon, json_t *args, GError **errp);

typedef struct QmpCommand {
    const char *name;
    const QmpMember *args; /* NULL: none */
    const QmpType *ret;    /* NULL: an empty object */
    QmpHandler *run;
    const char *help;
    bool more_args;        /* as QmpType.more_members */
} QmpCommand;

typedef struct QmpEvent {
    const char *name;
    const QmpMember *data; /* NULL: none */
    unsigned rate_ms;      /* at least so far apart; the last of those in between is sent late. 0: all */
    const char *help;
} QmpEvent;

/* qmp-table.c: the areas' tables, each ending with .name NULL; ends with NULL. */
extern const QmpCommand *const qmp_command_tables[];
extern const QmpCommand qmp_session_commands[], qmp_vm_commands[], qmp_cpu_commands[], qmp_memory_commands[],
    qmp_char_commands[], qmp_device_commands[], qmp_block_commands[], qmp_pci_commands[], qmp_input_commands[];
const QmpCommand *qmp_command_find(const char *name);
/* qmp-events.c */
extern const QmpEvent qmp_events[VM_EVENT_COUNT];

/* The error names the member: "Parameter 'size' is missing". */
bool qmp_check_args(const QmpCommand *command, json_t *args, GError **errp);
bool qmp_check_type(const QmpType *type, const char *name, json_t *value, GError **errp);
/* query-qmp-schema: SchemaInfo of every command, event and type they use. */
json_t *qmp_schema(void);

/* Classes of QMP errors: codes of this domain; every other error is a GenericError. */
#define QMP_ERROR qmp_error_quark()
GQuark qmp_error_quark(void);
typedef enum QmpErrorClass {
    QMP_GENERIC_ERROR,
    QMP_COMMAND_NOT_FOUND,
    QMP_DEVICE_NOT_FOUND,
    QMP_DEVICE_NOT_ACTIVE,
} QmpErrorClass;
/* Always NULL, so that a handler fails with "return qmp_fail(errp, ...)". */
json_t *qmp_fail(GError **errp, QmpErrorClass class, const char *fmt, ...) G_GNUC_PRINTF(3, 4);
const char *qmp_error_class(const GError *err);

/* Of checked arguments: NULL or the default if absent. */
const char *qmp_arg_str(json_t *args, const char *name);
int64_t qmp_arg_int(json_t *args, const char *name, int64_t def);
bool qmp_arg_bool(json_t *args, const char *name, bool def);

#endif
