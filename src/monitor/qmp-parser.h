/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Bytes of a QMP peer -> JSON values.
 *
 *              { or [                     depth 0 again
 *     IDLE -----------------> COLLECTING ---------------> a value, or what is wrong with it; IDLE
 *       |                        | too long, too deep
 *       | anything else          v
 *       +--------------------> SKIPPING ---- end of line ----> IDLE
 *
 * Limits hold before anything is allocated or recursed into: QMP_INPUT_MAX bytes a value,
 * QMP_NESTING_MAX levels. Byte FFh starts anew in any state, so that a client can synchronise.
 * Strings may also be in single quotes, as QEMU takes them and people type them.
 */
#ifndef SRC_MONITOR_QMP_PARSER_H
#define SRC_MONITOR_QMP_PARSER_H

#include <glib.h>
#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#define QMP_INPUT_MAX (1u << 20)
#define QMP_NESTING_MAX 64

typedef enum QmpParserState { QMP_PARSER_IDLE, QMP_PARSER_COLLECTING, QMP_PARSER_SKIPPING } QmpParserState;

typedef struct QmpParser {
    QmpParserState state;
    GString *text;  /* in double quotes */
    unsigned depth;
    char quote;     /* inside a string: its delimiter; else 0 */
    bool escaped;   /* the last character was its backslash */
} QmpParser;

void qmp_parser_init(QmpParser *parser);
void qmp_parser_release(QmpParser *parser);
/* A new peer. */
void qmp_parser_reset(QmpParser *parser);
/* True if the byte ends something: a value in *value (the caller's), or *value NULL and an error. */
bool qmp_parser_feed(QmpParser *parser, uint8_t byte, json_t **value, GError **errp);

#endif
