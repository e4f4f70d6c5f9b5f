/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The telnet protocol on one connection (RFC 854, 856 binary, 857 echo, 858 suppress go-ahead): what
 * makes a telnet client pass each key on at once and unchanged.
 */
#ifndef SRC_CHARDEV_TELNET_H
#define SRC_CHARDEV_TELNET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define TELNET_IAC 0xff

typedef enum TelnetState {
    TELNET_DATA,
    TELNET_AFTER_CR,     /* a NUL that follows belongs to the carriage return */
    TELNET_AFTER_IAC,
    TELNET_OPTION,       /* of the command */
    TELNET_SUB,          /* subnegotiation: skipped until IAC SE */
    TELNET_SUB_IAC,
} TelnetState;

typedef struct Telnet {
    TelnetState state;
    uint8_t command;     /* WILL, WONT, DO or DONT, in TELNET_OPTION */
    bool peer_is_binary;
    /* Any may be called during telnet_decode. */
    void (*answer)(void *opaque, const uint8_t *buf, size_t len);
    void (*brk)(void *opaque);
    void *opaque;
} Telnet;

/* A new connection: answer is called with what we offer and ask for. */
void telnet_begin(Telnet *telnet);
/* Takes the protocol out of buf, in place; returns the bytes of the stream. */
size_t telnet_decode(Telnet *telnet, uint8_t *buf, size_t len);
/* Doubles IAC; out holds 2 * len bytes. */
size_t telnet_encode(const uint8_t *in, size_t len, uint8_t *out);

#endif
