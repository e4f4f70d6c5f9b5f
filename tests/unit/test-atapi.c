/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The IDE CD-ROM drive: PACKET, its commands as MMC-5 has them, media and the tray (hw/ide/ide.h).
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "core/thread.h"
#include "ide-rig.h"

#define PACKET(...) ((const uint8_t[12]){__VA_ARGS__})
#define TEST_UNIT_READY PACKET(0)

static uint8_t data[65536];

static void assert_check(IdeRig *rig, const uint8_t *packet, uint32_t sense)
{
    assert_int_equal(ide_packet(rig, packet, false, 0xfffe) & (BSY | DRQ | ERR), ERR);
    assert_int_equal(ide_in(rig, 1, ERROR) >> 4, sense >> 16);
    assert_int_equal(ide_in(rig, 1, COUNT) & 3, 3);
    assert_int_equal(ide_sense(rig), sense);
}

static void assert_good(IdeRig *rig, const uint8_t *packet)
{
    assert_int_equal(ide_packet(rig, packet, false, 0xfffe) & (BSY | DRQ | ERR), 0);
    assert_int_equal(ide_in(rig, 1, COUNT) & 3, 3);
}

static int setup_ready(void **state)
{
    ide_rig_setup(state);
    ide_clear_attention(*state);
    return 0;
}

/* --- what it is --- */

static void commands_for_disks_end_with_the_packet_signature(void **state)
{
    IdeRig *rig = *state;
    static const uint8_t codes[] = {0xec, 0x20};

    for (unsigned i = 0; i < sizeof(codes); i++) {
        ide_out(rig, 1, LBA_MID, 0);
        assert_int_equal(ide_run(rig, 1, codes[i]) & ERR, ERR);
        assert_int_equal(ide_in(rig, 1, ERROR), 0x04);
        assert_int_equal(ide_in(rig, 1, LBA_MID), 0x14);
        assert_int_equal(ide_in(rig, 1, LBA_HIGH), 0xeb);
    }
    assert_int_equal(ide_run(rig, 1, 0xc8) & ERR, ERR);
}

static void identify_packet_device_tells_a_cd_drive(void **state)
{
    IdeRig *rig = *state;

    assert_int_equal(ide_run(rig, 1, 0xa1) & (DRQ | ERR), DRQ);
    ide_read_data(rig, 1, data, 512);
    assert_int_equal(load_le(data, 2), 0x85c0);
    assert_memory_equal(data + 2 * 27, "MV MVD-DOR M", 12);
    assert_int_equal(load_le(data + 2 * 82, 2) & 0x10, 0x10);
}

static void device_reset_ends_anything(void **state)
{
    IdeRig *rig = *state;

    ide_out(rig, 1, COMMAND, 0xa0);
    assert_int_equal(ide_alternate(rig, 1) & DRQ, DRQ);
    ide_out(rig, 1, COMMAND, 0x08);
    assert_int_equal(ide_alternate(rig, 1), 0);
    assert_int_equal(ide_in(rig, 1, LBA_MID), 0x14);
}

static void inquiry_is_cut_to_what_the_host_allocates(void **state)
{
    IdeRig *rig = *state;

    assert_int_equal(ide_packet_reply(rig, PACKET(0x12, 0, 0, 0, 96), data, sizeof(data)), 36);
    assert_int_equal(data[0], 5);
    assert_int_equal(data[1], 0x80);
    assert_memory_equal(data + 8, "VMM     ", 8);
    assert_int_equal(ide_packet_reply(rig, PACKET(0x12, 0, 0, 0, 5), data, sizeof(data)), 5);
    assert_good(rig, PACKET(0x12, 0, 0, 0, 0));
    assert_check(rig, PACKET(0x12, 1, 0x80, 0, 96), 0x052400);
}

static void unknown_commands_are_illegal_requests(void **state)
{
    IdeRig *rig = *state;

    assert_check(rig, PACKET(0x2a), 0x052000);
    assert_check(rig, PACKET(0xff), 0x052000);
    assert_int_equal(ide_sense(rig), 0); /* told once */
    ide_out(rig, 1, FEATURE, 2); /* overlap */
    assert_int_equal(ide_run(rig, 1, 0xa0) & ERR, ERR);
}

/* --- reading --- */

static void a_reset_is_told_once_as_unit_attention(void **state)
{
    IdeRig *rig = *state;

    assert_int_equal(ide_packet_reply(rig, PACKET(0x12, 0, 0, 0, 36), data, sizeof(data)), 36); /* always works */
    assert_check(rig, TEST_UNIT_READY, 0x062900);
    assert_good(rig, TEST_UNIT_READY);
}

static void request_sense_takes_a_unit_attention(void **state)
{
    IdeRig *rig = *state;

    assert_int_equal(ide_sense(rig), 0x062900);
    assert_good(rig, TEST_UNIT_READY);
}

static void capacity_is_the_last_sector_and_the_sector_size(void **state)
{
    IdeRig *rig = *state;

    assert_int_equal(ide_packet_reply(rig, PACKET(0x25), data, sizeof(data)), 8);
    assert_int_equal(load_be(data, 4), CD_SECTORS - 1);
    assert_int_equal(load_be(data + 4, 4), 2048);
}

static void reads_come_in_blocks_no_longer_than_the_byte_count(void **state)
{
    IdeRig *rig = *state;
    unsigned len = 0;

    assert_int_equal(ide_packet(rig, PACKET(0x28, 0, 0, 0, 1, 0x10, 0, 0, 3), false, 2000) & DRQ, DRQ);
    rig->rises[1] = 0;
    while (ide_wait(rig, 1) & DRQ) {
        unsigned block = ide_in(rig, 1, LBA_MID) | ide_in(rig, 1, LBA_HIGH) << 8;
        assert_int_equal(block, MIN(2000, 3 * 2048 - len));
        assert_int_equal(rig->level[1], 1);
        ide_in(rig, 1, STATUS);
        ide_read_data(rig, 1, data + len, block);
        len += block;
    }
    assert_int_equal(len, 3 * 2048);
    assert_int_equal(rig->rises[1], 4); /* three more blocks and the end */
    assert_memory_equal(data, ide_image(rig->cd_node, 0x110 * 2048), 3 * 2048);
}

static void read_12_and_read_cd_read_the_same(void **state)
{
    IdeRig *rig = *state;

    assert_int_equal(ide_packet_reply(rig, PACKET(0xa8, 0, 0, 0, 0, 7, 0, 0, 0, 2), data, sizeof(data)), 4096);
    assert_int_equal(load_le(data, 4), 7);
    assert_int_equal(ide_packet_reply(rig, PACKET(0xbe, 0, 0, 0, 0, 8, 0, 0, 1, 0x10), data, sizeof(data)), 2048);
    assert_int_equal(load_le(data, 4), 8);
    assert_good(rig, PACKET(0xbe, 0, 0, 0, 0, 8, 0, 0, 1, 0)); /* no field of the sector wanted */
    assert_good(rig, PACKET(0x28)); /* no sectors */
}

/* ECMA-130 annex A: the sum over a code word, and the sum weighted by powers of alpha, are zero. */
static void assert_code_word(const uint8_t *bytes, unsigned first, unsigned step, unsigned count, unsigned period,
                             const unsigned parity[2])
{
    unsigned sum = 0, weighted = 0;

    for (unsigned i = 0; i < count + 2; i++) {
        unsigned word = i < count ? (first + i * step) % period : parity[i - count];
        weighted = weighted << 1 ^ (weighted & 0x80 ? 0x11d : 0) ^ bytes[2 * word];
        sum ^= bytes[2 * word];
    }
    assert_int_equal(sum, 0);
    assert_int_equal(weighted, 0);
}

static void assert_raw_sector(const uint8_t *sector, uint32_t lba, const uint8_t *user)
{
    static const uint8_t sync[12] = {0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0};
    unsigned frames = lba + 150;
    uint32_t code = 0;

    assert_memory_equal(sector, sync, 12);
    assert_int_equal(sector[12] * 65536 + sector[13] * 256 + sector[14],
                     (frames / 75 / 10 << 4 | frames / 75 % 10) * 256 + (frames % 75 / 10 << 4 | frames % 75 % 10));
    assert_int_equal(sector[15], 1);
    assert_memory_equal(sector + 16, user, 2048);
    /* With its code behind it the sector is a multiple of the polynomial. */
    for (unsigned bit = 0; bit < 2068 * 8; bit++)
        code = code >> 1 ^ ((code ^ sector[bit / 8] >> bit % 8) & 1 ? 0xd8018001 : 0);
    assert_int_equal(code, 0);
    for (unsigned plane = 0; plane < 2; plane++) {
        for (unsigned n = 0; n < 43; n++)
            assert_code_word(sector + 12 + plane, n, 43, 24, 1032, (unsigned[]){1032 + n, 1075 + n});
        for (unsigned n = 0; n < 26; n++)
            assert_code_word(sector + 12 + plane, 43 * n, 44, 43, 1118, (unsigned[]){1118 + n, 1144 + n});
    }
}

static void read_cd_gives_sectors_as_on_the_disc(void **state)
{
    IdeRig *rig = *state;

    assert_int_equal(ide_packet_reply(rig, PACKET(0xbe, 8, 0, 0, 0, 8, 0, 0, 3, 0xf8), data, sizeof(data)), 3 * 2352);
    for (unsigned i = 0; i < 3; i++)
        assert_raw_sector(data + i * 2352, 8 + i, ide_image(rig->cd_node, (8 + i) * 2048));
    /* Sector 8 is at 00:02:08. */
    assert_int_equal(ide_packet_reply(rig, PACKET(0xb9, 0, 0, 0, 2, 8, 0, 2, 10, 0xf8), data, sizeof(data)), 2 * 2352);
    assert_raw_sector(data + 2352, 9, ide_image(rig->cd_node, 9 * 2048));
    assert_int_equal(ide_packet_reply(rig, PACKET(0xbe, 0, 0, 0, 0, 8, 0, 0, 2, 0x20), data, sizeof(data)), 8);
    assert_memory_equal(data, "\0\2\x08\1\0\2\x09\1", 8);
    assert_int_equal(ide_packet_reply(rig, PACKET(0xbe, 0, 0, 0, 0, 8, 0, 0, 2, 0x30), data, sizeof(data)), 2 * 2052);
    assert_memory_equal(data + 2056, ide_image(rig->cd_node, 9 * 2048), 2048);
}

static void long_raw_reads_go_on_by_dma(void **state)
{
    IdeRig *rig = *state;
    enum { SECTORS = 150 };

    for (unsigned i = 0; i < 6; i++)
        ide_descriptor(rig, i, DATA_AREA + i * 0x10000, i < 5 ? 0x10000 : SECTORS * 2352 - 5 * 0x10000, i == 5);
    ide_packet(rig, PACKET(0xbe, 0, 0, 0, 1, 0, 0, 0, SECTORS, 0xf8), true, 0);
    ide_bm_begin(rig, 1, true);
    assert_int_equal(ide_wait_interrupt(rig, 1) & (DRQ | ERR), 0);
    assert_int_equal(ide_bm_finish(rig, 1), BM_INTR);
    for (unsigned i = 0; i < SECTORS; i++)
        assert_raw_sector(ide_ram(rig, DATA_AREA + i * 2352), 256 + i, ide_image(rig->cd_node, (256 + i) * 2048));
}

static void read_cd_refuses_what_the_disc_has_not(void **state)
{
    IdeRig *rig = *state;

    assert_check(rig, PACKET(0xbe, 4, 0, 0, 0, 8, 0, 0, 1, 0xf8), 0x056400);          /* audio */
    assert_check(rig, PACKET(0xbe, 0, 0, 0, 0, 8, 0, 0, 1, 0xfa), 0x052400);          /* C2 errors */
    assert_check(rig, PACKET(0xbe, 0, 0, 0, 0, 8, 0, 0, 1, 0xf8, 1), 0x052400);       /* sub-channels */
    assert_check(rig, PACKET(0xbe, 0, 0, 0, 0, 8, 0, 0, 1, 0x90), 0x052400);          /* parts that are no neighbours */
    assert_check(rig, PACKET(0xbe, 0, 0, 0, 8, 0, 0, 0, 1, 0xf8), 0x052100);
    assert_check(rig, PACKET(0xb9, 0, 0, 0, 2, 8, 0, 2, 7, 0xf8), 0x052400);          /* ends before it begins */
    record_fail(rig->cd_node, BLOCK_READ, 1, EIO);
    assert_check(rig, PACKET(0xbe, 0, 0, 0, 0, 9, 0, 0, 2, 0xf8), 0x031100);
}

static void dma_reads_go_to_the_descriptors(void **state)
{
    IdeRig *rig = *state;

    ide_descriptor(rig, 0, DATA_AREA, 3000, false);
    ide_descriptor(rig, 1, DATA_AREA + 0x4000, 4096 - 3000, true);
    ide_packet(rig, PACKET(0x28, 0, 0, 0, 0, 9, 0, 0, 2), true, 0);
    ide_in(rig, 1, STATUS);
    ide_bm_begin(rig, 1, true);
    assert_int_equal(ide_wait_interrupt(rig, 1) & (DRQ | ERR), 0);
    assert_int_equal(ide_bm_finish(rig, 1), BM_INTR);
    assert_int_equal(ide_in(rig, 1, COUNT) & 3, 3);
    assert_memory_equal(ide_ram(rig, DATA_AREA), ide_image(rig->cd_node, 9 * 2048), 3000);
    assert_memory_equal(ide_ram(rig, DATA_AREA + 0x4000), ide_image(rig->cd_node, 9 * 2048 + 3000), 1096);
}

static void replies_can_be_moved_by_dma_too(void **state)
{
    IdeRig *rig = *state;

    ide_descriptor(rig, 0, DATA_AREA, 36, true);
    ide_packet(rig, PACKET(0x12, 0, 0, 0, 36), true, 0);
    ide_bm_begin(rig, 1, true);
    assert_int_equal(ide_wait_interrupt(rig, 1) & ERR, 0);
    assert_memory_equal(ide_ram(rig, DATA_AREA + 8), "VMM", 3);
    ide_descriptor(rig, 0, 0xf0000000, 36, true);
    bm_out(rig, 1, BM_COMMAND, 0, 1);
    ide_packet(rig, PACKET(0x12, 0, 0, 0, 36), true, 0);
    ide_bm_begin(rig, 1, true);
    assert_int_equal(ide_wait_interrupt(rig, 1) & ERR, ERR);
    assert_int_equal(ide_bm_finish(rig, 1) & BM_ERROR, BM_ERROR);
    assert_int_equal(ide_sense(rig) >> 16, 0x0b);
}

static void reads_beyond_the_disc_are_out_of_range(void **state)
{
    IdeRig *rig = *state;

    assert_check(rig, PACKET(0x28, 0, 0, 0, 8, 0, 0, 0, 1), 0x052100);
    assert_check(rig, PACKET(0x28, 0, 0, 0, 7, 0xff, 0, 0, 2), 0x052100);
    assert_check(rig, PACKET(0xa8, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff), 0x052100);
    assert_check(rig, PACKET(0x2b, 0, 0, 0, 8, 0), 0x052100);
    assert_good(rig, PACKET(0x2b, 0, 0, 0, 7, 0));
}

static void bad_sectors_are_medium_errors(void **state)
{
    IdeRig *rig = *state;

    record_fail(rig->cd_node, BLOCK_READ, 1, EIO);
    assert_check(rig, PACKET(0x28, 0, 0, 0, 0, 9, 0, 0, 2), 0x031100);
}

/* --- the disc --- */

static void the_table_of_contents_has_one_data_track(void **state)
{
    IdeRig *rig = *state;

    assert_int_equal(ide_packet_reply(rig, PACKET(0x43, 0, 0, 0, 0, 0, 0, 1, 0), data, sizeof(data)), 20);
    assert_int_equal(load_be(data, 2), 18);
    assert_int_equal(data[2], 1);
    assert_int_equal(data[3], 1);
    assert_int_equal(data[5], 0x14);
    assert_int_equal(load_be(data + 8, 4), 0);
    assert_int_equal(data[14], 0xaa);
    assert_int_equal(load_be(data + 16, 4), CD_SECTORS);
    assert_int_equal(ide_packet_reply(rig, PACKET(0x43, 2, 0, 0, 0, 0, 0xaa, 1, 0), data, sizeof(data)), 12);
    assert_int_equal(load_be(data + 8, 4), (CD_SECTORS + 150) / 75 % 60 << 8 | (CD_SECTORS + 150) % 75);
    assert_check(rig, PACKET(0x43, 0, 0, 0, 0, 0, 2, 1, 0), 0x052400);
    assert_int_equal(ide_packet_reply(rig, PACKET(0x43, 0, 1, 0, 0, 0, 0, 1, 0), data, sizeof(data)), 12);
    assert_int_equal(ide_packet_reply(rig, PACKET(0x43, 2, 2, 0, 0, 0, 0, 1, 0), data, sizeof(data)), 48);
    assert_int_equal(data[7], 0xa0);
    assert_check(rig, PACKET(0x43, 0, 5, 0, 0, 0, 0, 1, 0), 0x052400);
}

static void features_and_mode_pages_describe_the_drive(void **state)
{
    IdeRig *rig = *state;
    unsigned len = ide_packet_reply(rig, PACKET(0x46, 0, 0, 0, 0, 0, 0, 1, 0), data, sizeof(data));

    assert_int_equal(load_be(data, 4), len - 4);
    assert_int_equal(load_be(data + 6, 2), 0x08); /* CD-ROM */
    assert_int_equal(ide_packet_reply(rig, PACKET(0x46, 2, 0, 3, 0, 0, 0, 1, 0), data, sizeof(data)), 16);
    assert_int_equal(load_be(data + 8, 2), 3);
    assert_check(rig, PACKET(0x46, 3, 0, 3, 0, 0, 0, 1, 0), 0x052400);
    assert_int_equal(ide_packet_reply(rig, PACKET(0x5a, 0, 0x2a, 0, 0, 0, 0, 1, 0), data, sizeof(data)), 28);
    assert_int_equal(data[8], 0x2a);
    assert_int_equal(ide_packet_reply(rig, PACKET(0x5a, 0, 0x3f, 0, 0, 0, 0, 1, 0), data, sizeof(data)), 40);
    assert_check(rig, PACKET(0x5a, 0, 0x05, 0, 0, 0, 0, 1, 0), 0x052400);
    assert_check(rig, PACKET(0x5a, 0, 0xea, 0, 0, 0, 0, 1, 0), 0x053900);
    assert_int_equal(ide_packet_reply(rig, PACKET(0x51, 0, 0, 0, 0, 0, 0, 1, 0), data, sizeof(data)), 34);
    assert_int_equal(data[2], 0x0e);
}

/* MODE SELECT of a list; the status at the end. */
static uint8_t select_mode(IdeRig *rig, const void *list, unsigned len)
{
    uint8_t status = ide_packet(rig, PACKET(0x55, 0x10, 0, 0, 0, 0, 0, len >> 8, len), false, 0xfffe);

    assert_int_equal(status & (DRQ | ERR), DRQ);
    assert_int_equal(ide_in(rig, 1, COUNT) & 3, 0); /* data from the host */
    assert_int_equal(ide_in(rig, 1, LBA_MID) | ide_in(rig, 1, LBA_HIGH) << 8, len);
    assert_int_equal(rig->level[1], 1);
    ide_write_data(rig, 1, list, len);
    return ide_wait(rig, 1);
}

static void mode_select_changes_error_recovery_and_nothing_else(void **state)
{
    IdeRig *rig = *state;
    uint8_t list[8 + 12 + 20] = {[8] = 1, 10, 0x20, 9};

    assert_int_equal(select_mode(rig, list, 20) & ERR, 0);
    assert_int_equal(ide_packet_reply(rig, PACKET(0x5a, 0, 1, 0, 0, 0, 0, 1, 0), data, sizeof(data)), 20);
    assert_int_equal(data[10], 0x20);
    assert_int_equal(data[11], 9);
    ide_packet_reply(rig, PACKET(0x5a, 0, 0x81, 0, 0, 0, 0, 1, 0), data, sizeof(data)); /* as it would be by default */
    assert_int_equal(data[11], 5);
    ide_packet_reply(rig, PACKET(0x5a, 0, 0x2a, 0, 0, 0, 0, 1, 0), data, sizeof(data));
    memcpy(list + 20, data + 8, 20);
    list[11] = 1;
    assert_int_equal(select_mode(rig, list, 40) & ERR, 0); /* the other page as it is */
    list[22] ^= 1;
    list[11] = 2;
    assert_int_equal(select_mode(rig, list, 40) & ERR, ERR);
    assert_int_equal(ide_sense(rig), 0x052600);
    ide_packet_reply(rig, PACKET(0x5a, 0, 1, 0, 0, 0, 0, 1, 0), data, sizeof(data));
    assert_int_equal(data[11], 1); /* nothing of a bad list is done */
    assert_int_equal(select_mode(rig, list, 14) & ERR, ERR); /* half a page */
    list[7] = 8;
    assert_int_equal(select_mode(rig, list, 20) & ERR, ERR); /* a block descriptor */
    assert_check(rig, PACKET(0x55, 0x10, 0, 0, 0, 0, 0, 0, 4), 0x051a00);
    assert_check(rig, PACKET(0x55, 0, 0, 0, 0, 0, 0, 0, 20), 0x052400);
    assert_good(rig, PACKET(0x55, 0x10, 0, 0, 0, 0, 0, 0, 0));
}

/* --- medium and tray --- */

static unsigned event(IdeRig *rig)
{
    assert_int_equal(ide_packet_reply(rig, PACKET(0x4a, 1, 0, 0, 0x10, 0, 0, 0, 8), data, sizeof(data)), 8);
    assert_int_equal(data[2], 4);
    return data[4] << 8 | data[5];
}

static void events_are_polled_for_and_told_once(void **state)
{
    IdeRig *rig = *state;

    assert_int_equal(event(rig), 0x0002); /* nothing new, a medium */
    assert_check(rig, PACKET(0x4a, 0, 0, 0, 0x10, 0, 0, 0, 8), 0x052400);
    assert_int_equal(ide_packet_reply(rig, PACKET(0x4a, 1, 0, 0, 0x02, 0, 0, 0, 8), data, sizeof(data)), 4);
    assert_int_equal(data[2], 0x80);
    assert_int_equal(data[3], 0x10);
}

static void a_medium_that_is_taken_out_and_put_in_is_noticed(void **state)
{
    IdeRig *rig = *state;

    blk_eject(rig->cd_blk);
    assert_int_equal(event(rig), 0x0301); /* removal, the tray is open */
    assert_int_equal(event(rig), 0x0001);
    assert_check(rig, TEST_UNIT_READY, 0x023a02);
    assert_check(rig, PACKET(0x28, 0, 0, 0, 0, 0, 0, 0, 1), 0x023a02);
    assert_check(rig, PACKET(0x25), 0x023a02);
    blk_insert(rig->cd_blk, block_node_ref(rig->cd_node));
    assert_int_equal(event(rig), 0x0202); /* new medium */
    assert_check(rig, TEST_UNIT_READY, 0x062800);
    assert_good(rig, TEST_UNIT_READY);
}

static void the_host_opens_and_closes_the_tray(void **state)
{
    IdeRig *rig = *state;

    assert_good(rig, PACKET(0x1b, 0, 0, 0, 2));
    assert_int_equal(event(rig), 0x0301);
    assert_check(rig, TEST_UNIT_READY, 0x023a02);
    assert_int_equal(ide_packet_reply(rig, PACKET(0xbd, 0, 0, 0, 0, 0, 0, 0, 0, 8), data, sizeof(data)), 8);
    assert_int_equal(data[1], 0x10);
    assert_good(rig, PACKET(0x1b, 0, 0, 0, 3));
    assert_int_equal(event(rig), 0x0202);
    assert_check(rig, TEST_UNIT_READY, 0x062800);
    assert_int_equal(ide_packet_reply(rig, PACKET(0x25), data, sizeof(data)), 8);
    assert_good(rig, PACKET(0x1b, 0, 0, 0, 1)); /* spin up */
}

static void a_locked_tray_stays_shut(void **state)
{
    IdeRig *rig = *state;

    assert_good(rig, PACKET(0x1e, 0, 0, 0, 1));
    assert_check(rig, PACKET(0x1b, 0, 0, 0, 2), 0x055302);
    assert_good(rig, TEST_UNIT_READY);
    assert_good(rig, PACKET(0x1e, 0, 0, 0, 0));
    assert_good(rig, PACKET(0x1b, 0, 0, 0, 2));
}

static void an_empty_drive_without_a_backend_works(void **state)
{
    IdeRig *rig = *state;
    Device *dev;

    device_free(&rig->cd->dev);
    dev = device_new(&ide_cd_type, rig->pci->machine, NULL);
    device_set_property(dev, "bus", "ide.1", NULL);
    assert_true(device_realize(dev, NULL));
    device_reset(dev);
    ide_clear_attention(rig);
    assert_check(rig, TEST_UNIT_READY, 0x023a01);
    assert_good(rig, PACKET(0x1b, 0, 0, 0, 2));
    assert_check(rig, PACKET(0x43), 0x023a02);
    unsigned len = ide_packet_reply(rig, PACKET(0x46, 0, 0, 0, 0, 0, 0, 1, 0), data, sizeof(data));
    assert_int_equal(load_be(data, 4) + 4, len);
    assert_int_equal(load_be(data + 6, 2), 0); /* no current profile */
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup_ready, ide_rig_teardown)
#define FRESH(name) cmocka_unit_test_setup_teardown(name, ide_rig_setup, ide_rig_teardown)
    static const struct CMUnitTest tests[] = {
        T(commands_for_disks_end_with_the_packet_signature),
        T(identify_packet_device_tells_a_cd_drive),
        T(device_reset_ends_anything),
        T(inquiry_is_cut_to_what_the_host_allocates),
        T(unknown_commands_are_illegal_requests),
        FRESH(a_reset_is_told_once_as_unit_attention),
        FRESH(request_sense_takes_a_unit_attention),
        T(capacity_is_the_last_sector_and_the_sector_size),
        T(reads_come_in_blocks_no_longer_than_the_byte_count),
        T(read_12_and_read_cd_read_the_same),
        T(read_cd_gives_sectors_as_on_the_disc),
        T(long_raw_reads_go_on_by_dma),
        T(read_cd_refuses_what_the_disc_has_not),
        T(dma_reads_go_to_the_descriptors),
        T(replies_can_be_moved_by_dma_too),
        T(reads_beyond_the_disc_are_out_of_range),
        T(bad_sectors_are_medium_errors),
        T(the_table_of_contents_has_one_data_track),
        T(features_and_mode_pages_describe_the_drive),
        T(mode_select_changes_error_recovery_and_nothing_else),
        T(events_are_polled_for_and_told_once),
        T(a_medium_that_is_taken_out_and_put_in_is_noticed),
        T(the_host_opens_and_closes_the_tray),
        T(a_locked_tray_stays_shut),
        T(an_empty_drive_without_a_backend_works),
    };

    core_init();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
