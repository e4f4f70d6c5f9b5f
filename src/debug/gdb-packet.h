/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Framing of gdb's remote protocol: GDB manual, E.1 "Overview".
 *
 *     $payload#xx     xx: sum of the bytes between $ and #, in two hex digits
 *     }b              in a payload: the byte b ^ 0x20; needed for # $ } and, in answers, *
 *     + -             the last packet arrived well, or is wanted again
 *     0x03            stop the program; only between packets
 *
 * A parser is fed byte by byte and holds one packet of bounded size, whatever the peer sends.
 */
#ifndef SRC_DEBUG_GDB_PACKET_H
#define SRC_DEBUG_GDB_PACKET_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

/* The longest payload either side sends, told to gdb as PacketSize. */
#define GDB_PACKET_MAX 0x4000u

typedef enum GdbEvent {
    GDB_EVENT_NONE,
    GDB_EVENT_PACKET,    /* parser->payload, unescaped, is complete; NUL-terminated */
    GDB_EVENT_BAD,       /* a packet with a wrong checksum */
    GDB_EVENT_TOO_LONG,  /* one that did not fit, with a right checksum */
    GDB_EVENT_ACK,
    GDB_EVENT_NAK,
    GDB_EVENT_INTERRUPT,
} GdbEvent;

typedef enum GdbParserState {
    GDB_PARSER_IDLE,
    GDB_PARSER_PAYLOAD,
    GDB_PARSER_ESCAPE,
    GDB_PARSER_SUM_HIGH,
    GDB_PARSER_SUM_LOW,
} GdbParserState;

/* Zeroed is the initial state. */
typedef struct GdbParser {
    GdbParserState state;
    uint8_t sum;   /* of the bytes so far */
    int sum_high;  /* as received; -1: not a hex digit */
    bool too_long;
    size_t length;
    char payload[GDB_PACKET_MAX + 1];
} GdbParser;

GdbEvent gdb_parser_feed(GdbParser *parser, uint8_t byte);
/* Appends the packet with this payload, escaped. */
void gdb_packet_append(GString *out, const char *payload, size_t length);

/* The rest of a payload that is being taken apart. A function that fails takes nothing. */
typedef struct GdbArgs {
    const char *next, *end;
} GdbArgs;

static inline size_t gdb_args_left(const GdbArgs *args)
{
    return (size_t)(args->end - args->next);
}

bool gdb_take_char(GdbArgs *args, char c);
bool gdb_take_word(GdbArgs *args, const char *word);
/* One or more hex digits, at most 16 of them significant. */
bool gdb_take_hex(GdbArgs *args, uint64_t *value);
/* A "-1" or a hex number. */
bool gdb_take_id(GdbArgs *args, int64_t *value);
/* Exactly length bytes in hex. */
bool gdb_take_bytes(GdbArgs *args, uint8_t *bytes, size_t length);

void gdb_append_hex(GString *out, const void *bytes, size_t length);

#endif
