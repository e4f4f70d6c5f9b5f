/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Finds where a JSON value ends and hands it to jansson (qmp-parser.h has the states). Source: RFC 8259.
 */
#include "qmp-parser.h"

#include "core/error.h"

#define BYTE_ANEW 0xff /* is in no UTF-8 text */

void qmp_parser_init(QmpParser *parser)
{
    *parser = (QmpParser){.text = g_string_new(NULL)};
}

void qmp_parser_release(QmpParser *parser)
{
    g_string_free(parser->text, TRUE);
}

void qmp_parser_reset(QmpParser *parser)
{
    if (parser->text->allocated_len > 65536) { /* one long command is no reason to keep its memory */
        g_string_free(parser->text, TRUE);
        parser->text = g_string_new(NULL);
    }
    g_string_truncate(parser->text, 0);
    parser->state = QMP_PARSER_IDLE;
    parser->depth = 0;
    parser->quote = 0;
    parser->escaped = false;
}

static bool skip_rest(QmpParser *parser, uint8_t byte)
{
    qmp_parser_reset(parser);
    if (byte != '\n')
        parser->state = QMP_PARSER_SKIPPING;
    return true;
}

static void collect_in_string(QmpParser *parser, char c)
{
    if (parser->escaped) {
        parser->escaped = false;
        if (c == '\'') /* needs no backslash between double quotes, and may have none */
            g_string_truncate(parser->text, parser->text->len - 1);
        g_string_append_c(parser->text, c);
    } else if (c == parser->quote) {
        parser->quote = 0;
        g_string_append_c(parser->text, '"');
    } else {
        if (c == '"')
            g_string_append_c(parser->text, '\\');
        parser->escaped = c == '\\';
        g_string_append_c(parser->text, c);
    }
}

static void collect(QmpParser *parser, char c)
{
    if (parser->quote) {
        collect_in_string(parser, c);
        return;
    }
    if (c == '"' || c == '\'') {
        parser->quote = c;
        c = '"';
    } else if (c == '{' || c == '[') {
        parser->depth++;
    } else if (c == '}' || c == ']') {
        parser->depth--;
    }
    g_string_append_c(parser->text, c);
}

static void finish(QmpParser *parser, json_t **value, GError **errp)
{
    json_error_t why;

    *value = json_loadb(parser->text->str, parser->text->len, JSON_REJECT_DUPLICATES, &why);
    if (!*value)
        error_set(errp, "JSON parse error: %s", why.text);
    qmp_parser_reset(parser);
}

bool qmp_parser_feed(QmpParser *parser, uint8_t byte, json_t **value, GError **errp)
{
    bool space = byte == ' ' || byte == '\t' || byte == '\r' || byte == '\n';

    *value = NULL;
    if (byte == BYTE_ANEW) {
        qmp_parser_reset(parser);
        return false;
    }
    if (parser->state == QMP_PARSER_SKIPPING) {
        if (byte == '\n')
            qmp_parser_reset(parser);
        return false;
    }
    if (parser->state == QMP_PARSER_IDLE) {
        if (space)
            return false;
        if (byte != '{' && byte != '[') {
            error_set(errp, "JSON parse error: an object is wanted, the rest of the line is skipped");
            return skip_rest(parser, byte);
        }
        parser->state = QMP_PARSER_COLLECTING;
    }
    collect(parser, (char)byte);
    if (parser->depth > QMP_NESTING_MAX || parser->text->len > QMP_INPUT_MAX) {
        if (parser->depth > QMP_NESTING_MAX)
            error_set(errp, "JSON parse error: deeper than %d levels", QMP_NESTING_MAX);
        else
            error_set(errp, "JSON parse error: longer than %u bytes", QMP_INPUT_MAX);
        return skip_rest(parser, byte);
    }
    if (parser->depth)
        return false;
    finish(parser, value, errp);
    return true;
}
