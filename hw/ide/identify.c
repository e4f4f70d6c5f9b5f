/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What drives say of themselves: IDENTIFY DEVICE and IDENTIFY PACKET DEVICE.
 * Source: ACS 7.12 and table 22, ATA-7 volume 1, 6.17 and 6.18 (words that ACS made obsolete, which
 * drivers of parallel ATA read).
 *
 * Locking: machine_lock.
 */
#include <string.h>

#include "core/bits.h"
#include "ide-internal.h"

#define VALID 0x4000 /* bit 14 set, bit 15 clear: the word is valid */

/* Words 82..87. */
#define W82_SMART       0x0001
#define W82_POWER       0x0008
#define W82_PACKET      0x0010
#define W82_WRITE_CACHE 0x0020
#define W82_LOOK_AHEAD  0x0040
#define W82_DEVICE_RESET 0x0200
#define W82_WRITE_BUFFER 0x1000
#define W82_READ_BUFFER 0x2000
#define W82_NOP         0x4000
#define W83_LBA48       0x0400
#define W83_FLUSH       0x1000
#define W83_FLUSH_EXT   0x2000
#define W84_FUA         0x0040
#define W84_WWN         0x0100

/* A disk of no more than 1024 cylinders is addressed by INT 13h as it is. */
unsigned ide_drive_translation(const IdeDrive *drive)
{
    return !drive->is_cd && drive->conf.cylinders > 1024 ? IDE_TRANSLATION_LBA : IDE_TRANSLATION_NONE;
}

static void put(IdeDrive *drive, unsigned word, uint16_t value)
{
    store_le(drive->buf + 2 * word, value, 2);
}

static void put32(IdeDrive *drive, unsigned word, uint32_t value)
{
    store_le(drive->buf + 2 * word, value, 4);
}

/* Two characters a word, the first in the high byte; padded with spaces. */
static void put_string(IdeDrive *drive, unsigned word, unsigned words, const char *text)
{
    for (unsigned i = 0; i < 2 * words; i++)
        drive->buf[2 * word + (i ^ 1)] = *text ? *text++ : ' ';
}

static void put_names(IdeDrive *drive)
{
    put_string(drive, 10, 10, drive->serial);
    put_string(drive, 23, 4, drive->version);
    put_string(drive, 27, 20, drive->model);
}

static uint16_t modes(unsigned supported, uint8_t selected)
{
    return supported | (selected == IDE_MODE_NONE ? 0 : 0x100u << selected);
}

static void put_timing(IdeDrive *drive)
{
    put(drive, 51, 0x0200);
    put(drive, 53, 0x0007); /* words 54..58, 64..70, 88 are valid */
    put(drive, 63, modes(0x07, drive->mwdma_mode));
    put(drive, 64, 0x0003); /* PIO modes 3 and 4 */
    for (unsigned word = 65; word <= 68; word++)
        put(drive, word, 120); /* ns a cycle */
    put(drive, 88, modes(0x3f, drive->udma_mode));
}

static void put_geometry(IdeDrive *drive)
{
    uint64_t sectors = ide_drive_sectors(drive);
    uint32_t current;

    put(drive, 1, drive->conf.cylinders);
    put(drive, 3, drive->conf.heads);
    put(drive, 6, drive->conf.sectors);
    current = MIN(sectors / (drive->heads * drive->sectors), UINT16_MAX);
    put(drive, 54, current);
    put(drive, 55, drive->heads);
    put(drive, 56, drive->sectors);
    put32(drive, 57, current * drive->heads * drive->sectors);
    put32(drive, 60, MIN(sectors, IDE_LBA28_MAX));
    store_le(drive->buf + 2 * 100, sectors, 8);
}

static void put_features(IdeDrive *drive)
{
    uint16_t w82 = W82_SMART | W82_POWER | W82_WRITE_CACHE | W82_LOOK_AHEAD | W82_WRITE_BUFFER | W82_READ_BUFFER |
                   W82_NOP;
    uint16_t off = (drive->smart ? 0 : W82_SMART) | (drive->look_ahead ? 0 : W82_LOOK_AHEAD) |
                   (blk_write_cache(drive->conf.blk) ? 0 : W82_WRITE_CACHE);
    uint16_t w83 = W83_FLUSH_EXT | W83_FLUSH | W83_LBA48, w84 = W84_FUA | (drive->wwn ? W84_WWN : 0);

    put(drive, 82, w82);
    put(drive, 83, VALID | w83);
    put(drive, 84, VALID | w84);
    put(drive, 85, w82 & ~off);
    put(drive, 86, w83);
    put(drive, 87, VALID | w84);
}

/* Word 106: 2^n logical sectors a physical one. */
static void put_sector_sizes(IdeDrive *drive)
{
    unsigned exponent = __builtin_ctz(drive->conf.physical_block_size / IDE_SECTOR);

    put(drive, 106, VALID | (exponent ? 0x2000 | exponent : 0));
    put(drive, 209, VALID);
}

/* Word 255: the sum of all bytes is 0. */
static void put_checksum(IdeDrive *drive)
{
    uint8_t sum = 0xa5;

    drive->buf[510] = 0xa5;
    for (unsigned i = 0; i < 510; i++)
        sum += drive->buf[i];
    drive->buf[511] = -sum;
}

void ata_identify(IdeDrive *drive, const AtaCommand *command)
{
    memset(drive->buf, 0, IDE_SECTOR);
    put(drive, 0, 0x0040); /* an ATA device, not removable */
    put_names(drive);
    put_geometry(drive);
    put(drive, 47, 0x8000 | IDE_MULTIPLE_MAX);
    put(drive, 48, VALID);
    put(drive, 49, 0x0f00); /* IORDY, which can be turned off; LBA, DMA */
    put(drive, 50, VALID);
    put_timing(drive);
    put(drive, 59, drive->multiple ? 0x0100 | drive->multiple : 0);
    put(drive, 80, 0x01f0); /* ATA/ATAPI-4 to ATA8-ACS */
    put_features(drive);
    put(drive, 93, VALID | 0x2001); /* 80-conductor cable, device number by jumper */
    if (drive->conf.discard_granularity) {
        put(drive, 105, IDE_TRIM_BLOCKS);
        put(drive, 169, 1); /* TRIM */
    }
    put_sector_sizes(drive);
    for (unsigned i = 0; i < 4; i++)
        put(drive, 108 + i, drive->wwn >> 16 * (3 - i));
    put(drive, 119, VALID);
    put(drive, 120, VALID);
    put(drive, 217, drive->rotation_rate);
    put_checksum(drive);
    ide_send(drive, IDE_SECTOR, IDE_SECTOR, false, NULL);
}

void ata_identify_packet(IdeDrive *drive, const AtaCommand *command)
{
    uint16_t w82 = W82_POWER | W82_PACKET | W82_DEVICE_RESET | W82_NOP;

    memset(drive->buf, 0, IDE_SECTOR);
    put(drive, 0, 0x85c0); /* packet device, CD or DVD, removable, DRQ within 50 us, 12 byte packets */
    put_names(drive);
    put(drive, 48, VALID);
    put(drive, 49, 0x0f00);
    put(drive, 50, VALID);
    put_timing(drive);
    put(drive, 80, 0x01f0);
    put(drive, 82, w82);
    put(drive, 83, VALID);
    put(drive, 84, VALID);
    put(drive, 85, w82);
    put(drive, 87, VALID);
    put(drive, 93, VALID | 0x2001);
    put_checksum(drive);
    ide_send(drive, IDE_SECTOR, IDE_SECTOR, false, NULL);
}
