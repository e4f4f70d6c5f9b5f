/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The telnet protocol of character devices (RFC 854, 1143).
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <glib.h>
#include <string.h>

#include "src/chardev/telnet.h"

typedef struct Peer {
    Telnet telnet;
    GByteArray *answers;
    unsigned breaks;
} Peer;

static void keep_answer(void *opaque, const uint8_t *buf, size_t len)
{
    g_byte_array_append(((Peer *)opaque)->answers, buf, (guint)len);
}

static void count_break(void *opaque)
{
    ((Peer *)opaque)->breaks++;
}

static void begin(Peer *peer)
{
    *peer = (Peer){.answers = g_byte_array_new()};
    peer->telnet = (Telnet){.answer = keep_answer, .brk = count_break, .opaque = peer};
    telnet_begin(&peer->telnet);
}

static void end(Peer *peer)
{
    g_byte_array_unref(peer->answers);
}

/* The bytes arrive one by one, so that every state is entered across reads. */
static void assert_decodes(Peer *peer, const char *in, size_t in_len, const char *out, size_t out_len)
{
    g_autoptr(GByteArray) got = g_byte_array_new();

    for (size_t i = 0; i < in_len; i++) {
        uint8_t byte = (uint8_t)in[i];
        if (telnet_decode(&peer->telnet, &byte, 1))
            g_byte_array_append(got, &byte, 1);
    }
    assert_int_equal(got->len, out_len);
    assert_memory_equal(got->data, out, out_len);
}

#define DECODES(peer, in, out) assert_decodes(peer, in, sizeof(in) - 1, out, sizeof(out) - 1)

static void answered(Peer *peer, const char *text, size_t len)
{
    assert_int_equal(peer->answers->len, len);
    assert_memory_equal(peer->answers->data, text, len);
    g_byte_array_set_size(peer->answers, 0);
}

#define ANSWERED(peer, text) answered(peer, text, sizeof(text) - 1)

static void we_offer_to_echo_and_pass_bytes_as_they_are(void **state)
{
    Peer peer;

    begin(&peer);
    ANSWERED(&peer, "\xff\xfb\x01\xff\xfb\x03\xff\xfb\x00\xff\xfd\x00");
    end(&peer);
}

static void commands_are_not_part_of_the_stream(void **state)
{
    Peer peer;

    begin(&peer);
    DECODES(&peer, "a\xff\xfd\x01" "b\xff\xf1" "c\xff\xff" "d", "abc\xff" "d");
    DECODES(&peer, "\xff\xfa\x18 skipped \xff\xff still \xff\xf0" "e", "e");
    end(&peer);
}

static void agreement_gets_no_answer_and_the_unknown_is_refused(void **state)
{
    Peer peer;

    begin(&peer);
    g_byte_array_set_size(peer.answers, 0);
    DECODES(&peer, "\xff\xfd\x01\xff\xfd\x03\xff\xfd\x00\xff\xfb\x00\xff\xfe\x18\xff\xfc\x18", "");
    ANSWERED(&peer, "");
    DECODES(&peer, "\xff\xfd\x18\xff\xfb\x1f", "");
    ANSWERED(&peer, "\xff\xfc\x18\xff\xfe\x1f");
    end(&peer);
}

static void nul_after_return_goes_unless_binary(void **state)
{
    Peer peer;

    begin(&peer);
    DECODES(&peer, "x\r\0y\r\nz", "x\ry\r\nz");
    DECODES(&peer, "\r\xff\xff\0", "\r\xff\0");
    DECODES(&peer, "\xff\xfb\x00x\r\0y", "x\r\0y");
    end(&peer);
}

static void break_is_told(void **state)
{
    Peer peer;

    begin(&peer);
    DECODES(&peer, "a\xff\xf3" "b", "ab");
    assert_int_equal(peer.breaks, 1);
    end(&peer);
}

static void encoding_doubles_iac(void **state)
{
    uint8_t out[8];

    assert_int_equal(telnet_encode((const uint8_t *)"a\xff" "b", 3, out), 4);
    assert_memory_equal(out, "a\xff\xff" "b", 4);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(we_offer_to_echo_and_pass_bytes_as_they_are),
        cmocka_unit_test(commands_are_not_part_of_the_stream),
        cmocka_unit_test(agreement_gets_no_answer_and_the_unknown_is_refused),
        cmocka_unit_test(nul_after_return_goes_unless_binary),
        cmocka_unit_test(break_is_told),
        cmocka_unit_test(encoding_doubles_iac),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
