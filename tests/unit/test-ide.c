/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * IDE disks: registers, commands, PIO and DMA, as ATA-7 and ATA8-ACS have them (hw/ide/ide.h).
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "core/thread.h"
#include "ide-rig.h"

#define UNC 0x40
#define IDNF 0x10
#define ABRT 0x04

static uint8_t sector[IDE_SECTOR];

static uint16_t word(const uint8_t *identify, unsigned n)
{
    return load_le(identify + 2 * n, 2);
}

static void identify(IdeRig *rig, uint8_t *data)
{
    ide_out(rig, 0, DEVICE, 0);
    assert_int_equal(ide_run(rig, 0, 0xec) & (DRQ | ERR), DRQ);
    ide_read_data(rig, 0, data, IDE_SECTOR);
}

static void assert_failed(IdeRig *rig, uint8_t status, uint8_t error)
{
    assert_int_equal(status & (BSY | DRQ | ERR), ERR);
    assert_int_equal(ide_in(rig, 0, ERROR), error);
}

static void assert_good(uint8_t status)
{
    assert_int_equal(status & (BSY | DRDY | DRQ | ERR), DRDY);
}

/* --- registers --- */

static void the_selected_drive_answers_and_device_0_for_a_missing_device_1(void **state)
{
    IdeRig *rig = *state;

    ide_out(rig, 0, COUNT, 0x55);
    ide_out(rig, 0, LBA_LOW, 0xaa);
    assert_int_equal(ide_in(rig, 0, COUNT), 0x55);
    assert_int_equal(ide_in(rig, 0, LBA_LOW), 0xaa);
    assert_int_equal(ide_in(rig, 0, STATUS), DRDY | 0x10);
    ide_out(rig, 0, DEVICE, SLAVE);
    assert_int_equal(ide_in(rig, 0, DEVICE), SLAVE | 0xa0);
    assert_int_equal(ide_in(rig, 0, STATUS), 0);
    assert_int_equal(ide_alternate(rig, 0), 0);
    assert_int_equal(ide_in(rig, 0, COUNT), 0x55);
    ide_out(rig, 0, COMMAND, 0xec); /* nobody does it */
    assert_int_equal(ide_in(rig, 0, STATUS), 0);
    assert_int_equal(rig->rises[0], 0);
}

static void an_empty_channel_floats(void **state)
{
    IdeRig *rig = *state;

    device_free(&rig->disk->dev);
    assert_int_equal(ide_in(rig, 0, STATUS), 0x7f);
    ide_out(rig, 0, COUNT, 0x55);
    assert_int_equal(ide_in(rig, 0, COUNT), 0x7f);
    assert_int_equal(ide_in16(rig, 0), 0xffff);
}

static void ports_answer_while_io_space_is_on(void **state)
{
    IdeRig *rig = *state;

    pci_config_write(&rig->pci->bus, 0, rig->ide->pci.devfn, PCI_COMMAND, 0, 2);
    assert_int_equal(ide_in(rig, 0, STATUS), 0xff);
    assert_int_equal(ide_alternate(rig, 1), 0xff);
    pci_config_write(&rig->pci->bus, 0, rig->ide->pci.devfn, PCI_COMMAND, PCI_COMMAND_IO, 2);
    assert_int_equal(ide_in(rig, 0, STATUS), DRDY | 0x10);
    assert_int_equal(pci_config_read(&rig->pci->bus, 0, rig->ide->pci.devfn, PCI_REVISION_ID, 4) >> 8, 0x010180);
}

static void assert_signature(IdeRig *rig, unsigned channel, uint8_t mid, uint8_t high)
{
    assert_int_equal(ide_in(rig, channel, ERROR), 1);
    assert_int_equal(ide_in(rig, channel, COUNT), 1);
    assert_int_equal(ide_in(rig, channel, LBA_LOW), 1);
    assert_int_equal(ide_in(rig, channel, LBA_MID), mid);
    assert_int_equal(ide_in(rig, channel, LBA_HIGH), high);
    assert_int_equal(ide_in(rig, channel, DEVICE) & ~0xa0, 0);
}

static void a_software_reset_leaves_the_signature(void **state)
{
    IdeRig *rig = *state;

    for (unsigned channel = 0; channel < 2; channel++) {
        ide_out(rig, channel, DEVICE, SLAVE);
        ide_out(rig, channel, COUNT, 77);
        ide_control(rig, channel, 0x04);
        ide_control(rig, channel, 0x00);
        assert_signature(rig, channel, channel ? 0x14 : 0, channel ? 0xeb : 0);
        assert_int_equal(rig->rises[channel], 0);
    }
    assert_int_equal(ide_alternate(rig, 0), DRDY | 0x10);
    assert_int_equal(ide_alternate(rig, 1), 0);
}

static void drives_are_busy_while_reset_is_held(void **state)
{
    IdeRig *rig = *state;

    ide_control(rig, 0, 0x04);
    assert_int_equal(ide_alternate(rig, 0), BSY);
    ide_out(rig, 0, COMMAND, 0xec);
    ide_control(rig, 0, 0x00);
    assert_int_equal(ide_alternate(rig, 0), DRDY | 0x10);
}

static void hob_shows_what_was_written_before(void **state)
{
    IdeRig *rig = *state;

    ide_address48(rig, 0x665544332211, 0x7788);
    assert_int_equal(ide_in(rig, 0, LBA_LOW), 0x11);
    assert_int_equal(ide_in(rig, 0, COUNT), 0x88);
    ide_control(rig, 0, 0x80);
    assert_int_equal(ide_in(rig, 0, LBA_LOW), 0x44);
    assert_int_equal(ide_in(rig, 0, LBA_MID), 0x55);
    assert_int_equal(ide_in(rig, 0, LBA_HIGH), 0x66);
    assert_int_equal(ide_in(rig, 0, COUNT), 0x77);
    ide_out(rig, 0, FEATURE, 0); /* any write turns it off */
    assert_int_equal(ide_in(rig, 0, LBA_LOW), 0x11);
}

static void reading_status_acknowledges_and_alternate_status_does_not(void **state)
{
    IdeRig *rig = *state;

    ide_run(rig, 0, 0xe5);
    assert_int_equal(rig->level[0], 1);
    ide_alternate(rig, 0);
    assert_int_equal(rig->level[0], 1);
    ide_in(rig, 0, STATUS);
    assert_int_equal(rig->level[0], 0);
    assert_int_equal(bm_in(rig, 0, BM_STATUS, 1), BM_INTR); /* latched all the same */
    bm_out(rig, 0, BM_STATUS, BM_INTR, 1);
    assert_int_equal(bm_in(rig, 0, BM_STATUS, 1), 0);
}

static void nien_keeps_the_interrupt_from_the_line(void **state)
{
    IdeRig *rig = *state;

    ide_control(rig, 0, 0x02);
    ide_run(rig, 0, 0xe5);
    assert_int_equal(rig->level[0], 0);
    ide_control(rig, 0, 0x00); /* it is pending still */
    assert_int_equal(rig->level[0], 1);
}

static void commands_to_a_busy_drive_are_not_heard(void **state)
{
    IdeRig *rig = *state;

    record_hold(rig->disk_node);
    ide_address(rig, 5, 1);
    ide_out(rig, 0, COMMAND, 0x20);
    assert_int_equal(ide_alternate(rig, 0), BSY);
    ide_out(rig, 0, COUNT, 99);
    ide_out(rig, 0, COMMAND, 0xe5);
    record_let_go(rig->disk_node);
    assert_int_equal(ide_wait(rig, 0) & DRQ, DRQ);
    assert_int_equal(ide_in(rig, 0, COUNT), 1);
    ide_read_data(rig, 0, sector, sizeof(sector));
    assert_int_equal(load_le(sector, 4), 5);
}

/* --- what a drive says of itself --- */

static void identify_describes_the_disk(void **state)
{
    IdeRig *rig = *state;
    uint8_t id[IDE_SECTOR], sum = 0;

    identify(rig, id);
    assert_int_equal(word(id, 0), 0x0040);
    assert_memory_equal(id + 2 * 10, "MV0000 1", 6); /* VM00001, bytes swapped */
    assert_memory_equal(id + 2 * 27, "MV MAHDRIDKS", 12);
    assert_int_equal(word(id, 3), 16);
    assert_int_equal(word(id, 6), 63);
    assert_int_equal(word(id, 1), DISK_SECTORS / (16 * 63));
    assert_int_equal(load_le(id + 2 * 60, 4), DISK_SECTORS);
    assert_int_equal(load_le(id + 2 * 100, 8), DISK_SECTORS);
    assert_int_equal(word(id, 83) & 0x7400, 0x7400); /* valid, FLUSH, FLUSH EXT, 48 bits */
    assert_int_equal(word(id, 169), 1);
    for (unsigned i = 0; i < sizeof(id); i++)
        sum += id[i];
    assert_int_equal(sum, 0);
    assert_int_equal(id[510], 0xa5);
}

static void set_features_shows_in_identify(void **state)
{
    IdeRig *rig = *state;
    uint8_t id[IDE_SECTOR];

    ide_out(rig, 0, FEATURE, 0x03);
    ide_out(rig, 0, COUNT, 0x22); /* multiword DMA 2 */
    assert_good(ide_run(rig, 0, 0xef));
    ide_out(rig, 0, FEATURE, 0x82);
    assert_good(ide_run(rig, 0, 0xef));
    ide_out(rig, 0, FEATURE, 0x55);
    assert_good(ide_run(rig, 0, 0xef));
    identify(rig, id);
    assert_int_equal(word(id, 63), 0x0407);
    assert_int_equal(word(id, 88), 0x003f);
    assert_int_equal(word(id, 82) & 0x60, 0x60);
    assert_int_equal(word(id, 85) & 0x60, 0);
    ide_out(rig, 0, FEATURE, 0x03);
    ide_out(rig, 0, COUNT, 0x47); /* UDMA 7 */
    assert_failed(rig, ide_run(rig, 0, 0xef), ABRT);
    ide_out(rig, 0, FEATURE, 0x99);
    assert_failed(rig, ide_run(rig, 0, 0xef), ABRT);
}

static void commands_a_disk_does_not_have_are_aborted(void **state)
{
    IdeRig *rig = *state;
    static const uint8_t codes[] = {0x00, 0x01, 0x08, 0x27, 0x60, 0xa0, 0xa1, 0xf1, 0xf8, 0xff};

    for (unsigned i = 0; i < sizeof(codes); i++)
        assert_failed(rig, ide_run(rig, 0, codes[i]), ABRT);
}

static void power_modes_are_remembered(void **state)
{
    IdeRig *rig = *state;

    ide_run(rig, 0, 0xe5);
    assert_int_equal(ide_in(rig, 0, COUNT), 0xff);
    assert_good(ide_run(rig, 0, 0xe0));
    ide_run(rig, 0, 0xe5);
    assert_int_equal(ide_in(rig, 0, COUNT), 0x00);
    ide_address(rig, 0, 1);
    ide_run(rig, 0, 0x20);
    ide_read_data(rig, 0, sector, sizeof(sector));
    ide_run(rig, 0, 0xe5);
    assert_int_equal(ide_in(rig, 0, COUNT), 0xff);
}

static void diagnostics_reset_both_and_report_no_fault(void **state)
{
    IdeRig *rig = *state;

    ide_out(rig, 0, DEVICE, SLAVE);
    ide_out(rig, 0, COMMAND, 0x90);
    assert_int_equal(rig->level[0], 1);
    assert_signature(rig, 0, 0, 0);
}

static uint8_t smart(IdeRig *rig, uint8_t feature)
{
    ide_out(rig, 0, FEATURE, feature);
    ide_out(rig, 0, COUNT, 1);
    ide_out(rig, 0, LBA_MID, 0x4f);
    ide_out(rig, 0, LBA_HIGH, 0xc2);
    return ide_run(rig, 0, 0xb0);
}

static void smart_reports_a_healthy_disk_while_it_is_enabled(void **state)
{
    IdeRig *rig = *state;
    uint8_t sum = 0;

    assert_good(smart(rig, 0xda));
    assert_int_equal(ide_in(rig, 0, LBA_MID), 0x4f);
    assert_int_equal(ide_in(rig, 0, LBA_HIGH), 0xc2);
    assert_int_equal(smart(rig, 0xd0) & DRQ, DRQ);
    ide_read_data(rig, 0, sector, sizeof(sector));
    for (unsigned i = 0; i < sizeof(sector); i++)
        sum += sector[i];
    assert_int_equal(sum, 0);
    assert_int_equal(sector[2], 1); /* the first attribute */
    ide_out(rig, 0, LBA_LOW, 1);
    assert_int_equal(smart(rig, 0xd5) & DRQ, DRQ);
    ide_read_data(rig, 0, sector, sizeof(sector));
    ide_out(rig, 0, LBA_LOW, 0x80);
    assert_failed(rig, smart(rig, 0xd5), ABRT);
    assert_good(smart(rig, 0xd9));
    assert_failed(rig, smart(rig, 0xda), ABRT);
    assert_good(smart(rig, 0xd8));
    ide_out(rig, 0, LBA_MID, 0);
    assert_failed(rig, ide_run(rig, 0, 0xb0), ABRT);
}

/* --- PIO --- */

static void reads_interrupt_for_each_sector(void **state)
{
    IdeRig *rig = *state;

    ide_address(rig, 100, 3);
    ide_out(rig, 0, COMMAND, 0x20);
    for (unsigned i = 0; i < 3; i++) {
        assert_int_equal(ide_wait_interrupt(rig, 0) & (DRQ | ERR), DRQ);
        ide_read_data(rig, 0, sector, sizeof(sector));
        assert_int_equal(load_le(sector, 4), 100 + i);
        assert_int_equal(sector[511], (100 + i) & 0xff);
    }
    assert_good(ide_alternate(rig, 0));
    assert_int_equal(rig->rises[0], 3);
    assert_int_equal(ide_in16(rig, 0), 0);
}

static void writes_begin_without_an_interrupt_and_end_with_one(void **state)
{
    IdeRig *rig = *state;

    ide_address(rig, 200, 2);
    assert_int_equal(ide_run(rig, 0, 0x30) & (DRQ | ERR), DRQ);
    assert_int_equal(rig->rises[0], 0);
    memset(sector, 0xa1, sizeof(sector));
    ide_write_data(rig, 0, sector, sizeof(sector));
    assert_int_equal(ide_wait_interrupt(rig, 0) & DRQ, DRQ);
    memset(sector, 0xa2, sizeof(sector));
    ide_write_data(rig, 0, sector, sizeof(sector));
    assert_good(ide_wait_interrupt(rig, 0));
    assert_int_equal(rig->rises[0], 2);
    assert_int_equal(*ide_image(rig->disk_node, 200 * 512), 0xa1);
    assert_int_equal(*ide_image(rig->disk_node, 202 * 512 - 1), 0xa2);
    assert_int_equal(load_le(ide_image(rig->disk_node, 202 * 512), 4), 202);
}

static void multiple_moves_blocks_of_sectors(void **state)
{
    IdeRig *rig = *state;
    uint8_t data[10 * IDE_SECTOR];

    ide_out(rig, 0, COUNT, 4);
    assert_good(ide_run(rig, 0, 0xc6));
    ide_in(rig, 0, STATUS);
    rig->rises[0] = 0;
    ide_address(rig, 300, 10);
    ide_out(rig, 0, COMMAND, 0xc4);
    for (unsigned done = 0; done < 10;) {
        unsigned block = MIN(10 - done, 4);
        assert_int_equal(ide_wait_interrupt(rig, 0) & DRQ, DRQ);
        ide_read_data(rig, 0, data, block * IDE_SECTOR);
        assert_int_equal(load_le(data + (block - 1) * IDE_SECTOR, 4), 300 + done + block - 1);
        done += block;
    }
    assert_int_equal(rig->rises[0], 3);
    ide_address(rig, 400, 5);
    assert_int_equal(ide_run(rig, 0, 0xc5) & DRQ, DRQ);
    memset(data, 0x77, sizeof(data));
    ide_write_data(rig, 0, data, 4 * IDE_SECTOR);
    assert_int_equal(ide_wait_interrupt(rig, 0) & DRQ, DRQ);
    ide_write_data(rig, 0, data, IDE_SECTOR);
    assert_good(ide_wait_interrupt(rig, 0));
    assert_int_equal(*ide_image(rig->disk_node, 405 * 512 - 1), 0x77);
    assert_int_equal(record_count(rig->disk_node, BLOCK_WRITE), 2);
    ide_out(rig, 0, COUNT, 3);
    assert_failed(rig, ide_run(rig, 0, 0xc6), ABRT);
    ide_out(rig, 0, COUNT, 0);
    assert_good(ide_run(rig, 0, 0xc6));
    ide_address(rig, 0, 1);
    assert_failed(rig, ide_run(rig, 0, 0xc4), ABRT);
}

/* More than the drive's buffer holds. */
static void the_longest_transfer_goes_through(void **state)
{
    IdeRig *rig = *state;

    ide_address48(rig, 1000, 600);
    ide_out(rig, 0, COMMAND, 0x24);
    for (unsigned i = 0; i < 600; i++) {
        assert_int_equal(ide_wait_interrupt(rig, 0) & DRQ, DRQ);
        ide_read_data(rig, 0, sector, sizeof(sector));
        assert_int_equal(load_le(sector, 4), 1000 + i);
    }
    assert_good(ide_alternate(rig, 0));
}

static void the_data_port_is_16_and_32_bits_wide(void **state)
{
    IdeRig *rig = *state;

    ide_address(rig, 0x1234, 1);
    ide_run(rig, 0, 0x20);
    assert_int_equal(rig_in(rig->pci, 0x1f0, 4), 0x1234);
    for (unsigned i = 1; i < 128; i++)
        assert_int_equal(rig_in(rig->pci, 0x1f0, 4), 0x34343434);
    assert_good(ide_alternate(rig, 0));
}

static uint32_t read_one(IdeRig *rig, uint8_t command)
{
    assert_int_equal(ide_run(rig, 0, command) & (DRQ | ERR), DRQ);
    ide_read_data(rig, 0, sector, sizeof(sector));
    return load_le(sector, 4);
}

static void chs_lba28_and_lba48_name_the_same_sectors(void **state)
{
    IdeRig *rig = *state;

    ide_out(rig, 0, COUNT, 1);
    ide_out(rig, 0, LBA_LOW, 7);
    ide_out(rig, 0, LBA_MID, 2);
    ide_out(rig, 0, LBA_HIGH, 0);
    ide_out(rig, 0, DEVICE, 3);
    assert_int_equal(read_one(rig, 0x20), (2 * 16 + 3) * 63 + 6);
    ide_out(rig, 0, COUNT, 32); /* 8 heads of 32 sectors */
    ide_out(rig, 0, DEVICE, 7);
    assert_good(ide_run(rig, 0, 0x91));
    ide_out(rig, 0, COUNT, 1);
    ide_out(rig, 0, DEVICE, 3);
    assert_int_equal(read_one(rig, 0x20), (2 * 8 + 3) * 32 + 6);
    ide_out(rig, 0, LBA_LOW, 0); /* sectors begin with 1 */
    assert_failed(rig, ide_run(rig, 0, 0x20), IDNF);
    ide_out(rig, 0, LBA_LOW, 33);
    assert_failed(rig, ide_run(rig, 0, 0x20), IDNF);
    ide_address(rig, 0x1765, 1);
    assert_int_equal(read_one(rig, 0x20), 0x1765);
    ide_address48(rig, 0x1765, 1);
    assert_int_equal(read_one(rig, 0x24), 0x1765);
}

static void what_leaves_the_disk_is_refused_as_a_whole(void **state)
{
    IdeRig *rig = *state;
    static const uint8_t codes[] = {0x20, 0x30, 0x40, 0xc4, 0xc5, 0xc8, 0xca};
    static const uint8_t codes48[] = {0x24, 0x25, 0x29, 0x34, 0x35, 0x39, 0x3d, 0x42, 0xce};

    for (unsigned i = 0; i < sizeof(codes); i++) {
        ide_address(rig, DISK_SECTORS - 1, 2);
        assert_failed(rig, ide_run(rig, 0, codes[i]), IDNF);
        ide_address(rig, DISK_SECTORS - 255, 0); /* 256 of them */
        assert_failed(rig, ide_run(rig, 0, codes[i]), IDNF);
    }
    for (unsigned i = 0; i < sizeof(codes48); i++) {
        ide_address48(rig, 0xffffffffffff, 1);
        assert_failed(rig, ide_run(rig, 0, codes48[i]), IDNF);
        ide_address48(rig, 0, 0); /* 65536 */
        assert_failed(rig, ide_run(rig, 0, codes48[i]), IDNF);
    }
    assert_int_equal(record_of(rig->disk_node)->log->len, 0);
}

/* --- errors of the medium, caches --- */

static void a_bad_sector_is_unc_and_named(void **state)
{
    IdeRig *rig = *state;

    record_fail(rig->disk_node, BLOCK_READ, 1, EIO);
    ide_address(rig, 0x1234, 4);
    assert_failed(rig, ide_run(rig, 0, 0x20), UNC);
    assert_int_equal(ide_in(rig, 0, LBA_LOW), 0x34);
    assert_int_equal(ide_in(rig, 0, LBA_MID), 0x12);
    record_fail(rig->disk_node, BLOCK_READ, 1, EIO);
    ide_address(rig, 0x1235, 4);
    assert_failed(rig, ide_run(rig, 0, 0x40), UNC);
    record_fail(rig->disk_node, BLOCK_WRITE, 1, EIO);
    ide_address(rig, 50, 1);
    ide_run(rig, 0, 0x30);
    ide_write_data(rig, 0, sector, sizeof(sector));
    assert_failed(rig, ide_wait(rig, 0), ABRT);
    record_fail(rig->disk_node, BLOCK_FLUSH, 1, EIO);
    assert_failed(rig, ide_run(rig, 0, 0xe7), ABRT);
    ide_address(rig, 60, 1);
    assert_int_equal(read_one(rig, 0x20), 60);
}

static void flushes_reach_the_image(void **state)
{
    IdeRig *rig = *state;

    assert_good(ide_run(rig, 0, 0xe7));
    assert_good(ide_run(rig, 0, 0xea));
    assert_int_equal(record_count(rig->disk_node, BLOCK_FLUSH), 2);
}

static void verify_reads_and_gives_no_data(void **state)
{
    IdeRig *rig = *state;

    ide_address48(rig, 10, 600);
    assert_good(ide_run(rig, 0, 0x42));
    assert_int_equal(rig->rises[0], 1);
}

static void read_buffer_gives_what_write_buffer_put(void **state)
{
    IdeRig *rig = *state;
    uint8_t data[IDE_SECTOR];

    for (unsigned i = 0; i < sizeof(data); i++)
        data[i] = i * 3;
    ide_run(rig, 0, 0xe8);
    ide_write_data(rig, 0, data, sizeof(data));
    assert_good(ide_wait(rig, 0));
    assert_int_equal(ide_run(rig, 0, 0xe4) & DRQ, DRQ);
    ide_read_data(rig, 0, sector, sizeof(sector));
    assert_memory_equal(sector, data, sizeof(data));
}

/* --- DMA --- */

static void dma_read_scatters_over_its_descriptors(void **state)
{
    IdeRig *rig = *state;

    ide_descriptor(rig, 0, DATA_AREA + 6, 1000, false);
    ide_descriptor(rig, 1, DATA_AREA + 0x4000, 536, false);
    ide_descriptor(rig, 2, DATA_AREA + 0x8000, 512, true);
    ide_address(rig, 500, 4);
    ide_out(rig, 0, COMMAND, 0xc8);
    assert_int_equal(ide_alternate(rig, 0) & (BSY | DRQ), DRQ); /* waits for the bus master */
    ide_bm_begin(rig, 0, true);
    assert_good(ide_wait_interrupt(rig, 0));
    assert_int_equal(ide_bm_finish(rig, 0), BM_INTR);
    assert_memory_equal(ide_ram(rig, DATA_AREA + 6), ide_image(rig->disk_node, 500 * 512), 1000);
    assert_memory_equal(ide_ram(rig, DATA_AREA + 0x4000), ide_image(rig->disk_node, 500 * 512 + 1000), 536);
    assert_memory_equal(ide_ram(rig, DATA_AREA + 0x8000), ide_image(rig->disk_node, 503 * 512), 512);
    assert_int_equal(*ide_ram(rig, DATA_AREA + 5), 0);
    assert_int_equal(rig->rises[0], 1);
}

static void dma_write_gathers_and_may_be_started_first(void **state)
{
    IdeRig *rig = *state;

    memset(ide_ram(rig, DATA_AREA), 0x3c, 3 * IDE_SECTOR);
    ide_descriptor(rig, 0, DATA_AREA, 700, false);
    ide_descriptor(rig, 1, DATA_AREA + 700, 3 * IDE_SECTOR - 700, true);
    ide_bm_begin(rig, 0, false);
    assert_int_equal(bm_in(rig, 0, BM_STATUS, 1), BM_ACTIVE);
    ide_address48(rig, 600, 3);
    ide_out(rig, 0, COMMAND, 0x35);
    assert_good(ide_wait_interrupt(rig, 0));
    assert_int_equal(ide_bm_finish(rig, 0), BM_INTR);
    assert_int_equal(*ide_image(rig->disk_node, 600 * 512), 0x3c);
    assert_int_equal(*ide_image(rig->disk_node, 603 * 512 - 1), 0x3c);
    assert_int_equal(load_le(ide_image(rig->disk_node, 603 * 512), 4), 603);
}

static void a_count_of_0_is_64_kib(void **state)
{
    IdeRig *rig = *state;

    ide_descriptor(rig, 0, DATA_AREA, 0, true);
    ide_address(rig, 0, 128);
    ide_out(rig, 0, COMMAND, 0xc8);
    ide_bm_begin(rig, 0, true);
    assert_good(ide_wait_interrupt(rig, 0));
    assert_memory_equal(ide_ram(rig, DATA_AREA), ide_image(rig->disk_node, 0), 65536);
}

static void a_table_that_is_too_long_leaves_the_bus_master_active(void **state)
{
    IdeRig *rig = *state;

    ide_descriptor(rig, 0, DATA_AREA, 4096, true);
    ide_address(rig, 0, 1);
    ide_out(rig, 0, COMMAND, 0xc8);
    ide_bm_begin(rig, 0, true);
    assert_good(ide_wait_interrupt(rig, 0));
    assert_int_equal(ide_bm_finish(rig, 0), BM_INTR | BM_ACTIVE);
    assert_int_equal(bm_in(rig, 0, BM_STATUS, 1), BM_INTR);
}

static void let_everything_complete(IdeRig *rig)
{
    blk_drain(rig->disk_blk);
}

static void a_table_that_is_too_short_leaves_the_drive_waiting(void **state)
{
    IdeRig *rig = *state;

    ide_descriptor(rig, 0, DATA_AREA, 512, true);
    ide_address(rig, 0, 2);
    ide_out(rig, 0, COMMAND, 0xc8);
    ide_bm_begin(rig, 0, true);
    let_everything_complete(rig);
    assert_int_equal(rig->rises[0], 0);
    assert_int_equal(ide_bm_finish(rig, 0), 0);
    assert_int_equal(ide_alternate(rig, 0) & DRQ, DRQ);
    /* A further table goes on where the first ended. */
    ide_descriptor(rig, 0, DATA_AREA + 512, 512, true);
    ide_bm_begin(rig, 0, true);
    assert_good(ide_wait_interrupt(rig, 0));
    ide_bm_finish(rig, 0);
    assert_memory_equal(ide_ram(rig, DATA_AREA), ide_image(rig->disk_node, 0), 1024);
}

static void descriptors_that_name_no_ram_are_a_master_abort(void **state)
{
    IdeRig *rig = *state;
    static const struct {
        uint32_t table, data;
    } bad[] = {{0xfff00000, 0}, {TABLE, 0xfffff000}, {TABLE, 0x00200000}, {0x000ffffc, 0}};

    for (unsigned i = 0; i < G_N_ELEMENTS(bad); i++) {
        ide_descriptor(rig, 0, bad[i].data, 512, true);
        ide_address(rig, 0, 1);
        ide_out(rig, 0, COMMAND, 0xc8);
        bm_out(rig, 0, BM_TABLE, bad[i].table, 4);
        bm_out(rig, 0, BM_STATUS, BM_ERROR | BM_INTR, 1);
        bm_out(rig, 0, BM_COMMAND, BM_START | BM_TO_MEMORY, 1);
        assert_int_equal(ide_wait_interrupt(rig, 0) & ERR, ERR);
        assert_int_equal(ide_in(rig, 0, ERROR), ABRT);
        assert_int_equal(ide_bm_finish(rig, 0), BM_ERROR | BM_INTR);
    }
}

static void what_comes_before_a_bad_descriptor_is_moved(void **state)
{
    IdeRig *rig = *state;

    ide_descriptor(rig, 0, DATA_AREA, 512, false);
    ide_descriptor(rig, 1, 0xf0000000, 512, true);
    ide_address(rig, 9, 2);
    ide_out(rig, 0, COMMAND, 0xc8);
    ide_bm_begin(rig, 0, true);
    assert_int_equal(ide_wait_interrupt(rig, 0) & ERR, ERR);
    assert_int_equal(ide_bm_finish(rig, 0) & BM_ERROR, BM_ERROR);
    assert_int_equal(load_le(ide_ram(rig, DATA_AREA), 4), 9);
}

static void without_bus_master_enable_nothing_is_moved(void **state)
{
    IdeRig *rig = *state;

    pci_config_write(&rig->pci->bus, 0, rig->ide->pci.devfn, PCI_COMMAND, PCI_COMMAND_IO, 2);
    ide_descriptor(rig, 0, DATA_AREA, 512, true);
    ide_address(rig, 9, 1);
    ide_out(rig, 0, COMMAND, 0xc8);
    ide_bm_begin(rig, 0, true);
    assert_int_equal(ide_wait_interrupt(rig, 0) & ERR, ERR);
    assert_int_equal(ide_bm_finish(rig, 0) & BM_ERROR, BM_ERROR);
    assert_int_equal(load_le(ide_ram(rig, DATA_AREA), 4), 0);
}

/* 8192 descriptors of 2 bytes and no end: the walk stops at the end of the table's 64 KiB. */
static void an_endless_table_ends(void **state)
{
    IdeRig *rig = *state;

    for (unsigned i = 0; i < 8192; i++)
        ide_descriptor(rig, i, DATA_AREA + 2 * i, 2, false);
    ide_address48(rig, 0, 4096);
    ide_out(rig, 0, COMMAND, 0x25);
    ide_bm_begin(rig, 0, true);
    while (bm_in(rig, 0, BM_STATUS, 1) & BM_ACTIVE)
        let_everything_complete(rig);
    assert_int_equal(rig->rises[0], 0);
    ide_control(rig, 0, 4);
    ide_control(rig, 0, 0);
    assert_good(ide_alternate(rig, 0));
}

static void dma_errors_are_the_drives(void **state)
{
    IdeRig *rig = *state;

    record_fail(rig->disk_node, BLOCK_READ, 1, EIO);
    ide_descriptor(rig, 0, DATA_AREA, 1024, true);
    ide_address(rig, 77, 2);
    ide_out(rig, 0, COMMAND, 0xc8);
    ide_bm_begin(rig, 0, true);
    assert_int_equal(ide_wait_interrupt(rig, 0) & ERR, ERR);
    assert_int_equal(ide_in(rig, 0, ERROR), UNC);
    assert_int_equal(ide_in(rig, 0, LBA_LOW), 77);
    assert_int_equal(ide_bm_finish(rig, 0) & BM_ERROR, 0);
}

static void *let_go_soon(void *opaque)
{
    record_wait_held(opaque, 1);
    record_let_go(opaque);
    return NULL;
}

static void begin_held_dma(IdeRig *rig)
{
    record_hold(rig->disk_node);
    ide_descriptor(rig, 0, DATA_AREA, 512, true);
    ide_address(rig, 33, 1);
    ide_out(rig, 0, COMMAND, 0xc8);
    ide_bm_begin(rig, 0, true);
}

/* When START is off guest memory is the guest's again. */
static void stopping_the_bus_master_waits_for_the_request(void **state)
{
    IdeRig *rig = *state;
    GThread *thread;

    begin_held_dma(rig);
    thread = g_thread_new("let-go", let_go_soon, rig->disk_node);
    bm_out(rig, 0, BM_COMMAND, 0, 1);
    g_thread_join(thread);
    assert_int_equal(blk_in_flight(rig->disk_blk), 0);
    assert_int_equal(rig->rises[0], 0);
    assert_int_equal(ide_alternate(rig, 0) & DRQ, DRQ);
    assert_int_equal(bm_in(rig, 0, BM_STATUS, 1), 0);
}

static void a_reset_in_the_middle_of_dma_leaves_nothing(void **state)
{
    IdeRig *rig = *state;
    GThread *thread;

    begin_held_dma(rig);
    thread = g_thread_new("let-go", let_go_soon, rig->disk_node);
    ide_control(rig, 0, 4);
    g_thread_join(thread);
    ide_control(rig, 0, 0);
    assert_int_equal(rig->rises[0], 0);
    assert_signature(rig, 0, 0, 0);
    assert_good(ide_alternate(rig, 0));
    ide_bm_finish(rig, 0);
    ide_address(rig, 61, 1);
    assert_int_equal(read_one(rig, 0x20), 61);
}

static void a_board_reset_in_the_middle_of_dma_leaves_nothing(void **state)
{
    IdeRig *rig = *state;
    GThread *thread;

    begin_held_dma(rig);
    thread = g_thread_new("let-go", let_go_soon, rig->disk_node);
    device_reset(&rig->ide->pci.dev);
    device_reset(&rig->disk->dev);
    g_thread_join(thread);
    pci_config_write(&rig->pci->bus, 0, rig->ide->pci.devfn, PCI_COMMAND, PCI_COMMAND_IO, 2);
    assert_signature(rig, 0, 0, 0);
    assert_int_equal(rig->level[0], 0);
    ide_address(rig, 62, 1);
    assert_int_equal(read_one(rig, 0x20), 62);
}

/* --- TRIM --- */

static uint8_t trim(IdeRig *rig, unsigned blocks)
{
    ide_out(rig, 0, FEATURE, 1);
    ide_address48(rig, 0, blocks);
    ide_descriptor(rig, 0, DATA_AREA, blocks * IDE_SECTOR, true);
    ide_out(rig, 0, COMMAND, 0x06);
    if (!(ide_alternate(rig, 0) & DRQ))
        return ide_in(rig, 0, STATUS);
    ide_bm_begin(rig, 0, false);
    uint8_t status = ide_wait_interrupt(rig, 0);
    ide_bm_finish(rig, 0);
    return status;
}

static void trim_discards_the_ranges_it_lists(void **state)
{
    IdeRig *rig = *state;
    BlockStats stats;

    store_le(ide_ram(rig, DATA_AREA), 100 | UINT64_C(8) << 48, 8);
    store_le(ide_ram(rig, DATA_AREA + 16), 200 | UINT64_C(16) << 48, 8); /* entries of 0 are skipped */
    store_le(ide_ram(rig, DATA_AREA + 520), 300 | UINT64_C(1) << 48, 8);
    assert_good(trim(rig, 2));
    blk_get_stats(rig->disk_blk, &stats);
    assert_int_equal(stats.ops[BLOCK_DISCARD], 3);
    assert_int_equal(stats.bytes[BLOCK_DISCARD], 25 * 512);
}

static void a_trim_range_beyond_the_end_discards_nothing(void **state)
{
    IdeRig *rig = *state;
    BlockStats stats;

    store_le(ide_ram(rig, DATA_AREA), 100 | UINT64_C(8) << 48, 8);
    store_le(ide_ram(rig, DATA_AREA + 8), (DISK_SECTORS - 1) | UINT64_C(2) << 48, 8);
    assert_int_equal(trim(rig, 1) & ERR, ERR);
    blk_get_stats(rig->disk_blk, &stats);
    assert_int_equal(stats.ops[BLOCK_DISCARD], 0);
    assert_int_equal(trim(rig, 9) & ERR, ERR);
    assert_int_equal(trim(rig, 0) & ERR, ERR);
}

/* --- placing drives --- */

static bool refused(IdeRig *rig, const DeviceType *type, const char *name, const char *value, const char *mention)
{
    Device *dev = device_new(type, rig->pci->machine, NULL);
    g_autoptr(GError) err = NULL;

    bool failed = !device_set_property(dev, name, value, &err) || !device_realize(dev, &err);
    if (failed && !strstr(err->message, mention))
        fail_msg("'%s' does not mention '%s'", err->message, mention);
    device_free(dev);
    return failed;
}

static void drives_that_have_no_place_are_refused_with_the_reason(void **state)
{
    IdeRig *rig = *state;

    assert_true(refused(rig, &ide_hd_type, "bus", "ide.7", "'ide.7'; ide.0 and ide.1"));
    assert_true(refused(rig, &ide_hd_type, "unit", "2", "units 0 and 1"));
    assert_true(refused(rig, &ide_hd_type, "drive", "nosuch", "nosuch"));
    assert_true(refused(rig, &ide_hd_type, "serial", "123456789012345678901", "20 characters"));
    assert_true(refused(rig, &ide_hd_type, "unit", "1", "drive"));
    assert_true(refused(rig, &ide_hd_type, "drive", "disk", "disk")); /* it has a device */
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, ide_rig_setup, ide_rig_teardown)
    static const struct CMUnitTest tests[] = {
        T(the_selected_drive_answers_and_device_0_for_a_missing_device_1),
        T(an_empty_channel_floats),
        T(ports_answer_while_io_space_is_on),
        T(a_software_reset_leaves_the_signature),
        T(drives_are_busy_while_reset_is_held),
        T(hob_shows_what_was_written_before),
        T(reading_status_acknowledges_and_alternate_status_does_not),
        T(nien_keeps_the_interrupt_from_the_line),
        T(commands_to_a_busy_drive_are_not_heard),
        T(identify_describes_the_disk),
        T(set_features_shows_in_identify),
        T(commands_a_disk_does_not_have_are_aborted),
        T(power_modes_are_remembered),
        T(diagnostics_reset_both_and_report_no_fault),
        T(smart_reports_a_healthy_disk_while_it_is_enabled),
        T(reads_interrupt_for_each_sector),
        T(writes_begin_without_an_interrupt_and_end_with_one),
        T(multiple_moves_blocks_of_sectors),
        T(the_longest_transfer_goes_through),
        T(the_data_port_is_16_and_32_bits_wide),
        T(chs_lba28_and_lba48_name_the_same_sectors),
        T(what_leaves_the_disk_is_refused_as_a_whole),
        T(a_bad_sector_is_unc_and_named),
        T(flushes_reach_the_image),
        T(verify_reads_and_gives_no_data),
        T(read_buffer_gives_what_write_buffer_put),
        T(dma_read_scatters_over_its_descriptors),
        T(dma_write_gathers_and_may_be_started_first),
        T(a_count_of_0_is_64_kib),
        T(a_table_that_is_too_long_leaves_the_bus_master_active),
        T(a_table_that_is_too_short_leaves_the_drive_waiting),
        T(descriptors_that_name_no_ram_are_a_master_abort),
        T(what_comes_before_a_bad_descriptor_is_moved),
        T(without_bus_master_enable_nothing_is_moved),
        T(an_endless_table_ends),
        T(dma_errors_are_the_drives),
        T(stopping_the_bus_master_waits_for_the_request),
        T(a_reset_in_the_middle_of_dma_leaves_nothing),
        T(a_board_reset_in_the_middle_of_dma_leaves_nothing),
        T(trim_discards_the_ranges_it_lists),
        T(a_trim_range_beyond_the_end_discards_nothing),
        T(drives_that_have_no_place_are_refused_with_the_reason),
    };

    core_init();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
