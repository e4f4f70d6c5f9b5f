/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The telnet protocol (telnet.h).
 *
 * We announce our options once, at the beginning; what the peer says about them afterwards is its
 * answer and gets none of ours, so the two sides cannot talk in circles (RFC 1143). Every other
 * option is refused. Nothing of what a peer sends is stored but the state.
 */
#include "src/chardev/telnet.h"

/* RFC 854 */
enum {
    SE = 240,
    BRK = 243,
    SB = 250,
    WILL = 251,
    WONT = 252,
    DO = 253,
    DONT = 254,
};

enum {
    OPTION_BINARY = 0,
    OPTION_ECHO = 1,
    OPTION_SGA = 3,
};

/* The guest echoes; lines are not ours to edit. */
static const uint8_t offers[] = {
    TELNET_IAC, WILL, OPTION_ECHO,
    TELNET_IAC, WILL, OPTION_SGA,
    TELNET_IAC, WILL, OPTION_BINARY,
    TELNET_IAC, DO, OPTION_BINARY,
};

void telnet_begin(Telnet *telnet)
{
    telnet->state = TELNET_DATA;
    telnet->peer_is_binary = false;
    telnet->answer(telnet->opaque, offers, sizeof(offers));
}

static void refuse(Telnet *telnet, uint8_t how, uint8_t option)
{
    const uint8_t answer[] = {TELNET_IAC, how, option};

    telnet->answer(telnet->opaque, answer, sizeof(answer));
}

/* WONT and DONT of what is off already need no answer. */
static void negotiate(Telnet *telnet, uint8_t option)
{
    if (telnet->command == DO && option != OPTION_ECHO && option != OPTION_SGA && option != OPTION_BINARY)
        refuse(telnet, WONT, option);
    if (telnet->command == WILL && option != OPTION_BINARY && option != OPTION_SGA)
        refuse(telnet, DONT, option);
    if (option == OPTION_BINARY && (telnet->command == WILL || telnet->command == WONT))
        telnet->peer_is_binary = telnet->command == WILL;
}

/* The byte after IAC. True if it is one of the stream's. */
static bool command(Telnet *telnet, uint8_t byte)
{
    telnet->state = TELNET_DATA;
    switch (byte) {
    case TELNET_IAC:
        return true;
    case WILL:
    case WONT:
    case DO:
    case DONT:
        telnet->command = byte;
        telnet->state = TELNET_OPTION;
        return false;
    case SB:
        telnet->state = TELNET_SUB;
        return false;
    case BRK:
        telnet->brk(telnet->opaque);
        return false;
    default: /* NOP, AYT, IP, ...: nothing a serial line has */
        return false;
    }
}

/* True if byte is one of the stream's. */
static bool take(Telnet *telnet, uint8_t byte)
{
    switch (telnet->state) {
    case TELNET_DATA:
    case TELNET_AFTER_CR:
        if (byte == TELNET_IAC) {
            telnet->state = TELNET_AFTER_IAC;
            return false;
        }
        if (telnet->state == TELNET_AFTER_CR && byte == 0) {
            telnet->state = TELNET_DATA;
            return false;
        }
        telnet->state = byte == '\r' && !telnet->peer_is_binary ? TELNET_AFTER_CR : TELNET_DATA;
        return true;
    case TELNET_AFTER_IAC:
        return command(telnet, byte);
    case TELNET_OPTION:
        telnet->state = TELNET_DATA;
        negotiate(telnet, byte);
        return false;
    case TELNET_SUB:
        if (byte == TELNET_IAC)
            telnet->state = TELNET_SUB_IAC;
        return false;
    case TELNET_SUB_IAC:
        telnet->state = byte == SE ? TELNET_DATA : TELNET_SUB;
        return false;
    }
    return false;
}

size_t telnet_decode(Telnet *telnet, uint8_t *buf, size_t len)
{
    size_t kept = 0;

    for (size_t i = 0; i < len; i++) {
        uint8_t byte = buf[i];
        if (take(telnet, byte))
            buf[kept++] = byte;
    }
    return kept;
}

size_t telnet_encode(const uint8_t *in, size_t len, uint8_t *out)
{
    size_t n = 0;

    for (size_t i = 0; i < len; i++) {
        if (in[i] == TELNET_IAC)
            out[n++] = TELNET_IAC;
        out[n++] = in[i];
    }
    return n;
}
