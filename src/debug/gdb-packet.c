/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Framing and hex digits of gdb's remote protocol (gdb-packet.h).
 */
#include "gdb-packet.h"

#include <string.h>

#define BYTE_INTERRUPT 0x03
#define ESCAPE_XOR 0x20

static void begin(GdbParser *parser)
{
    parser->state = GDB_PARSER_PAYLOAD;
    parser->sum = 0;
    parser->length = 0;
    parser->too_long = false;
}

static void store(GdbParser *parser, uint8_t byte)
{
    if (parser->length < GDB_PACKET_MAX)
        parser->payload[parser->length++] = (char)byte;
    else
        parser->too_long = true;
}

static GdbEvent feed_idle(GdbParser *parser, uint8_t byte)
{
    switch (byte) {
    case '$':
        begin(parser);
        return GDB_EVENT_NONE;
    case '+':
        return GDB_EVENT_ACK;
    case '-':
        return GDB_EVENT_NAK;
    case BYTE_INTERRUPT:
        return GDB_EVENT_INTERRUPT;
    default: /* noise */
        return GDB_EVENT_NONE;
    }
}

static void feed_payload(GdbParser *parser, uint8_t byte)
{
    switch (byte) {
    case '$': /* the end of a packet was lost, and this is the next */
        begin(parser);
        return;
    case '#':
        parser->state = GDB_PARSER_SUM_HIGH;
        return;
    case '}':
        parser->state = GDB_PARSER_ESCAPE;
        break;
    default:
        store(parser, byte);
        break;
    }
    parser->sum = (uint8_t)(parser->sum + byte);
}

static GdbEvent finish(GdbParser *parser, int sum_low)
{
    bool sum_ok = parser->sum_high >= 0 && sum_low >= 0 && parser->sum == (parser->sum_high << 4 | sum_low);

    parser->state = GDB_PARSER_IDLE;
    parser->payload[parser->length] = '\0';
    if (!sum_ok)
        return GDB_EVENT_BAD;
    return parser->too_long ? GDB_EVENT_TOO_LONG : GDB_EVENT_PACKET;
}

GdbEvent gdb_parser_feed(GdbParser *parser, uint8_t byte)
{
    switch (parser->state) {
    case GDB_PARSER_IDLE:
        return feed_idle(parser, byte);
    case GDB_PARSER_PAYLOAD:
        feed_payload(parser, byte);
        return GDB_EVENT_NONE;
    case GDB_PARSER_ESCAPE:
        parser->state = GDB_PARSER_PAYLOAD;
        parser->sum = (uint8_t)(parser->sum + byte);
        store(parser, byte ^ ESCAPE_XOR);
        return GDB_EVENT_NONE;
    case GDB_PARSER_SUM_HIGH:
        parser->sum_high = g_ascii_xdigit_value((char)byte);
        parser->state = GDB_PARSER_SUM_LOW;
        return GDB_EVENT_NONE;
    case GDB_PARSER_SUM_LOW:
        return finish(parser, g_ascii_xdigit_value((char)byte));
    }
    return GDB_EVENT_NONE;
}

void gdb_packet_append(GString *out, const char *payload, size_t length)
{
    uint8_t sum = 0;

    g_string_append_c(out, '$');
    for (size_t i = 0; i < length; i++) {
        char c = payload[i];
        if (c == '#' || c == '$' || c == '}' || c == '*') { /* '*' would begin a run length */
            g_string_append_c(out, '}');
            sum = (uint8_t)(sum + '}');
            c ^= ESCAPE_XOR;
        }
        g_string_append_c(out, c);
        sum = (uint8_t)(sum + (uint8_t)c);
    }
    g_string_append_printf(out, "#%02x", sum);
}

bool gdb_take_char(GdbArgs *args, char c)
{
    if (args->next == args->end || *args->next != c)
        return false;
    args->next++;
    return true;
}

bool gdb_take_word(GdbArgs *args, const char *word)
{
    size_t length = strlen(word);

    if (gdb_args_left(args) < length || memcmp(args->next, word, length) != 0)
        return false;
    args->next += length;
    return true;
}

bool gdb_take_hex(GdbArgs *args, uint64_t *value)
{
    const char *p = args->next;
    uint64_t v = 0;
    int digit;

    while (p < args->end && (digit = g_ascii_xdigit_value(*p)) >= 0) {
        if (v >> 60)
            return false;
        v = v << 4 | (unsigned)digit;
        p++;
    }
    if (p == args->next)
        return false;
    args->next = p;
    *value = v;
    return true;
}

bool gdb_take_id(GdbArgs *args, int64_t *value)
{
    uint64_t v;

    if (gdb_take_word(args, "-1")) {
        *value = -1;
        return true;
    }
    if (!gdb_take_hex(args, &v))
        return false;
    *value = v > INT32_MAX ? INT32_MAX : (int64_t)v; /* no such thing either way */
    return true;
}

bool gdb_take_bytes(GdbArgs *args, uint8_t *bytes, size_t length)
{
    if (gdb_args_left(args) / 2 < length)
        return false;
    for (size_t i = 0; i < length; i++) {
        int high = g_ascii_xdigit_value(args->next[2 * i]), low = g_ascii_xdigit_value(args->next[2 * i + 1]);
        if (high < 0 || low < 0)
            return false;
        bytes[i] = (uint8_t)(high << 4 | low);
    }
    args->next += 2 * length;
    return true;
}

void gdb_append_hex(GString *out, const void *bytes, size_t length)
{
    static const char digits[] = "0123456789abcdef";
    const uint8_t *p = bytes;

    for (size_t i = 0; i < length; i++) {
        g_string_append_c(out, digits[p[i] >> 4]);
        g_string_append_c(out, digits[p[i] & 15]);
    }
}
