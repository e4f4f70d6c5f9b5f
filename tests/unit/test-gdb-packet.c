/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Framing of gdb's remote protocol: checksums, escapes, and what a hostile peer may send.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "src/debug/gdb-packet.h"

static GdbParser parser;

static int fresh(void **state)
{
    memset(&parser, 0, sizeof(parser));
    return 0;
}

/* Feeds bytes; the event of the last one, and that no other made one. */
static GdbEvent feed(const char *bytes, size_t length)
{
    GdbEvent event = GDB_EVENT_NONE;

    for (size_t i = 0; i < length; i++) {
        assert_int_equal(event, GDB_EVENT_NONE);
        event = gdb_parser_feed(&parser, (uint8_t)bytes[i]);
    }
    return event;
}

#define FEED(text) feed(text, sizeof(text) - 1)

static void a_packet_has_the_sum_of_its_payload(void **state)
{
    assert_int_equal(FEED("$g#67"), GDB_EVENT_PACKET);
    assert_string_equal(parser.payload, "g");
    assert_int_equal(FEED("$#00"), GDB_EVENT_PACKET);
    assert_int_equal(parser.length, 0);
    assert_int_equal(FEED("$OK#9A"), GDB_EVENT_PACKET);
    assert_int_equal(FEED("$g#68"), GDB_EVENT_BAD);
    assert_int_equal(FEED("$g#x7"), GDB_EVENT_BAD);
    assert_int_equal(FEED("$g#67"), GDB_EVENT_PACKET);
}

static void an_escaped_byte_is_taken_as_it_is(void **state)
{
    /* '}' 0x03 stands for '#', and is summed as it was sent: 61 + 7d + 03 + 7a. */
    assert_int_equal(FEED("$a}\x03z#5b"), GDB_EVENT_PACKET);
    assert_string_equal(parser.payload, "a#z");
}

static void between_packets_there_are_acks_interrupts_and_noise(void **state)
{
    assert_int_equal(FEED("+"), GDB_EVENT_ACK);
    assert_int_equal(FEED("-"), GDB_EVENT_NAK);
    assert_int_equal(FEED("\x03"), GDB_EVENT_INTERRUPT);
    assert_int_equal(FEED("GET / HTTP/1.1\r\n"), GDB_EVENT_NONE);
    assert_int_equal(FEED("$m\x03#70"), GDB_EVENT_PACKET); /* not an interrupt there */
}

static void a_new_packet_replaces_one_that_did_not_end(void **state)
{
    assert_int_equal(FEED("$m1000,10$g#67"), GDB_EVENT_PACKET);
    assert_string_equal(parser.payload, "g");
}

static void a_packet_of_the_greatest_length_fits_and_a_longer_one_is_told(void **state)
{
    g_autofree char *text = g_strnfill(GDB_PACKET_MAX, 'a');
    char sum[4];

    for (unsigned extra = 0; extra < 2; extra++) {
        assert_int_equal(FEED("$"), GDB_EVENT_NONE);
        assert_int_equal(feed(text, GDB_PACKET_MAX), GDB_EVENT_NONE);
        assert_int_equal(feed(text, extra), GDB_EVENT_NONE);
        snprintf(sum, sizeof(sum), "#%02x", (GDB_PACKET_MAX + extra) * 'a' & 0xff);
        assert_int_equal(feed(sum, 3), extra ? GDB_EVENT_TOO_LONG : GDB_EVENT_PACKET);
    }
    assert_int_equal(FEED("$g#67"), GDB_EVENT_PACKET);
}

static void answers_are_escaped_so_that_they_come_back(void **state)
{
    const char payload[] = "#$}*\0\x03plain";
    g_autoptr(GString) out = g_string_new(NULL);

    gdb_packet_append(out, payload, sizeof(payload) - 1);
    assert_null(memchr(out->str, '*', out->len));
    assert_int_equal(feed(out->str, out->len), GDB_EVENT_PACKET);
    assert_int_equal(parser.length, sizeof(payload) - 1);
    assert_memory_equal(parser.payload, payload, sizeof(payload) - 1);
}

static GdbArgs args_of(const char *text)
{
    return (GdbArgs){text, text + strlen(text)};
}

static void numbers_are_hex_and_at_most_64_bits(void **state)
{
    GdbArgs args = args_of("ffffffffffffffff,1Ag");
    uint64_t value;

    assert_true(gdb_take_hex(&args, &value));
    assert_int_equal(value, UINT64_MAX);
    assert_false(gdb_take_hex(&args, &value));
    assert_true(gdb_take_char(&args, ','));
    assert_true(gdb_take_hex(&args, &value));
    assert_int_equal(value, 0x1a);
    assert_string_equal(args.next, "g");
    args = args_of("10000000000000000");
    assert_false(gdb_take_hex(&args, &value));
    assert_int_equal(gdb_args_left(&args), 17);
    args = args_of("00000000000000000001");
    assert_true(gdb_take_hex(&args, &value));
    assert_int_equal(value, 1);
}

static void bytes_come_in_pairs_of_digits(void **state)
{
    GdbArgs args = args_of("00ff7");
    uint8_t bytes[3];

    assert_false(gdb_take_bytes(&args, bytes, 3));
    assert_false(gdb_take_bytes(&args, bytes, SIZE_MAX));
    assert_true(gdb_take_bytes(&args, bytes, 2));
    assert_int_equal(bytes[1], 0xff);
    args = args_of("0g");
    assert_false(gdb_take_bytes(&args, bytes, 1));
}

#define CASE(name) cmocka_unit_test_setup(name, fresh)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(a_packet_has_the_sum_of_its_payload),
        CASE(an_escaped_byte_is_taken_as_it_is),
        CASE(between_packets_there_are_acks_interrupts_and_noise),
        CASE(a_new_packet_replaces_one_that_did_not_end),
        CASE(a_packet_of_the_greatest_length_fits_and_a_longer_one_is_told),
        CASE(answers_are_escaped_so_that_they_come_back),
        CASE(numbers_are_hex_and_at_most_64_bits),
        CASE(bytes_come_in_pairs_of_digits),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
