/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * SMART: a drive that is healthy and says so.
 * Source: ACS 7.53 (SMART), tables 61 (data) and A.x (logs); the attribute table, which the standard
 * leaves to the vendor, is in the form all vendors and smartmontools use.
 *
 * Self-tests end at once and pass. Not modelled: off-line data collection, writing logs.
 *
 * Locking: machine_lock.
 */
#include <string.h>

#include "core/bits.h"
#include "ide-internal.h"

enum {
    SMART_READ_DATA = 0xd0,
    SMART_READ_THRESHOLDS = 0xd1,
    SMART_AUTOSAVE = 0xd2,
    SMART_SAVE = 0xd3,
    SMART_OFFLINE = 0xd4,
    SMART_READ_LOG = 0xd5,
    SMART_ENABLE = 0xd8,
    SMART_DISABLE = 0xd9,
    SMART_STATUS = 0xda,
};

enum { LOG_DIRECTORY = 0x00, LOG_ERRORS = 0x01, LOG_SELF_TEST = 0x06 };

#define KEY_MID  0x4f
#define KEY_HIGH 0xc2
#define AUTOSAVE_ON 0xf1
#define ATTRIBUTE_SIZE 12

/* id, flags, value now and worst, threshold; raw values are 0. */
static const struct {
    uint8_t id;
    uint16_t flags;
    uint8_t value, threshold;
} attributes[] = {
    {1, 0x000b, 100, 6},  /* raw read error rate */
    {5, 0x0033, 100, 36}, /* reallocated sectors */
    {9, 0x0032, 100, 0},  /* power-on hours */
    {12, 0x0032, 100, 0}, /* power cycles */
    {197, 0x0012, 100, 0}, /* pending sectors */
    {199, 0x003e, 100, 0}, /* CRC errors */
};

static void send_page(IdeDrive *drive)
{
    uint8_t sum = 0;

    for (unsigned i = 0; i < IDE_SECTOR - 1; i++)
        sum += drive->buf[i];
    drive->buf[IDE_SECTOR - 1] = -sum;
    ide_send(drive, IDE_SECTOR, IDE_SECTOR, false, NULL);
}

static void read_data(IdeDrive *drive)
{
    uint8_t *b = drive->buf;

    memset(b, 0, IDE_SECTOR);
    store_le(b, 0x0010, 2);
    for (unsigned i = 0; i < G_N_ELEMENTS(attributes); i++) {
        uint8_t *a = b + 2 + i * ATTRIBUTE_SIZE;

        a[0] = attributes[i].id;
        store_le(a + 1, attributes[i].flags, 2);
        a[3] = a[4] = attributes[i].value;
    }
    b[367] = 0x10;            /* off-line capability: self-tests */
    store_le(b + 368, 3, 2);  /* attributes are saved, by autosave too */
    b[370] = 1;               /* error logging */
    b[372] = b[373] = 1;      /* minutes a short and an extended self-test take */
    send_page(drive);
}

static void read_thresholds(IdeDrive *drive)
{
    memset(drive->buf, 0, IDE_SECTOR);
    store_le(drive->buf, 0x0010, 2);
    for (unsigned i = 0; i < G_N_ELEMENTS(attributes); i++) {
        drive->buf[2 + i * ATTRIBUTE_SIZE] = attributes[i].id;
        drive->buf[2 + i * ATTRIBUTE_SIZE + 1] = attributes[i].threshold;
    }
    send_page(drive);
}

static void read_log(IdeDrive *drive)
{
    memset(drive->buf, 0, IDE_SECTOR);
    switch (drive->regs.count[0] == 1 ? drive->regs.lba_low[0] : 0xff) {
    case LOG_DIRECTORY:
        drive->buf[0] = 1;
        drive->buf[2 * LOG_ERRORS] = 1;
        drive->buf[2 * LOG_SELF_TEST] = 1;
        ide_send(drive, IDE_SECTOR, IDE_SECTOR, false, NULL);
        break;
    case LOG_ERRORS:
    case LOG_SELF_TEST:
        drive->buf[0] = 1; /* version; no entries */
        send_page(drive);
        break;
    default:
        ide_fail(drive, ERR_ABRT);
        break;
    }
}

static void autosave(IdeDrive *drive)
{
    uint8_t count = drive->regs.count[0];

    if (count && count != AUTOSAVE_ON) {
        ide_fail(drive, ERR_ABRT);
        return;
    }
    drive->smart_autosave = count;
    ide_done(drive);
}

/* Off-line, short, extended and conveyance tests, their captive forms, abort. */
static void offline(IdeDrive *drive)
{
    uint8_t test = drive->regs.lba_low[0];

    if (test <= 3 || (test >= 127 && test <= 131))
        ide_done(drive);
    else
        ide_fail(drive, ERR_ABRT);
}

void ata_smart(IdeDrive *drive, const AtaCommand *command)
{
    IdeRegs *r = &drive->regs;
    uint8_t feature = r->feature[0];

    if (r->lba_mid[0] != KEY_MID || r->lba_high[0] != KEY_HIGH || (!drive->smart && feature != SMART_ENABLE)) {
        ide_fail(drive, ERR_ABRT);
        return;
    }
    switch (feature) {
    case SMART_READ_DATA:
        read_data(drive);
        break;
    case SMART_READ_THRESHOLDS:
        read_thresholds(drive);
        break;
    case SMART_AUTOSAVE:
        autosave(drive);
        break;
    case SMART_OFFLINE:
        offline(drive);
        break;
    case SMART_READ_LOG:
        read_log(drive);
        break;
    case SMART_ENABLE:
    case SMART_DISABLE:
        drive->smart = feature == SMART_ENABLE;
        ide_done(drive);
        break;
    case SMART_SAVE:
    case SMART_STATUS: /* the key in the registers stays: no threshold is exceeded */
        ide_done(drive);
        break;
    default:
        ide_fail(drive, ERR_ABRT);
        break;
    }
}
