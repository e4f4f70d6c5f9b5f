/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Mode pages of the CD-ROM drive: error recovery, and capabilities.
 * Source: MMC-5 6.13 (MODE SENSE), 6.12 (MODE SELECT), 7 (mode pages); SPC-3 7.4 (their frame); MMC-3
 * annex for the capabilities page.
 *
 * How hard a drive tries to read can be set and read back; an image has nothing to try. Nothing is saved.
 *
 * Locking: machine_lock.
 */
#include <string.h>

#include "core/bits.h"
#include "ide-internal.h"

#define HEADER 8
#define PAGE_RECOVERY 0x01
#define PAGE_CAPABILITIES 0x2a
#define PAGE_ALL 0x3f
#define RECOVERY_SIZE 12
#define CAPABILITIES_SIZE 20
#define LIST_MAX 512 /* bytes of MODE SELECT: more than there is to say */

enum { CURRENT, CHANGEABLE, DEFAULT, SAVED };

#define DEFAULT_RETRIES 5

void atapi_mode_reset(IdeDrive *drive)
{
    drive->atapi.recovery = 0;
    drive->atapi.retries = DEFAULT_RETRIES;
}

/* --- Pages --- */

static void put_recovery_page(const IdeDrive *drive, uint8_t *b, unsigned which)
{
    memset(b, 0, RECOVERY_SIZE);
    b[0] = PAGE_RECOVERY;
    b[1] = RECOVERY_SIZE - 2;
    b[2] = which == CURRENT ? drive->atapi.recovery : which == CHANGEABLE ? 0xff : 0;
    b[3] = which == CURRENT ? drive->atapi.retries : which == CHANGEABLE ? 0xff : DEFAULT_RETRIES;
}

static void put_capabilities_page(const IdeDrive *drive, uint8_t *b, unsigned which)
{
    memset(b, 0, CAPABILITIES_SIZE);
    b[0] = PAGE_CAPABILITIES;
    b[1] = CAPABILITIES_SIZE - 2;
    if (which == CHANGEABLE)
        return;
    b[2] = 0x3b; /* reads CD-R, CD-RW, DVD-ROM, DVD-R */
    b[4] = 0x70; /* multi-session, mode 2 forms 1 and 2 */
    b[6] = 0x29 | (drive->atapi.locked ? 2 : 0); /* tray, ejects, can be locked */
    store_be(b + 8, 706, 2);   /* KB/s: 4x */
    store_be(b + 10, 2, 2);    /* volume levels: on, off */
    store_be(b + 12, 512, 2);  /* KB of buffer */
    store_be(b + 14, 706, 2);
}

/* --- MODE SENSE --- */

void atapi_mode_sense(IdeDrive *drive, const uint8_t *packet)
{
    uint8_t *b = drive->buf, *end = b + HEADER;
    unsigned page = packet[2] & 0x3f, which = packet[2] >> 6;

    if (which == SAVED) {
        atapi_check(drive, SENSE_ILLEGAL_REQUEST, ASC_SAVING_NOT_SUPPORTED, 0);
        return;
    }
    if (page == PAGE_RECOVERY || page == PAGE_ALL) {
        put_recovery_page(drive, end, which);
        end += RECOVERY_SIZE;
    }
    if (page == PAGE_CAPABILITIES || page == PAGE_ALL) {
        put_capabilities_page(drive, end, which);
        end += CAPABILITIES_SIZE;
    }
    if (end == b + HEADER) {
        atapi_check(drive, SENSE_ILLEGAL_REQUEST, ASC_INVALID_FIELD, 0);
        return;
    }
    memset(b, 0, HEADER);
    store_be(b, end - b - 2, 2);
    b[2] = atapi_has_medium(drive) ? 0x01 : 0x70; /* 120 mm data disc; no disc */
    atapi_reply(drive, end - b, load_be(packet + 7, 2));
}

/* --- MODE SELECT --- */

/* The page at b, of len bytes at most: its size, or 0 if it is none of ours or changes what cannot be changed. */
static unsigned check_page(const IdeDrive *drive, const uint8_t *b, unsigned len)
{
    uint8_t now[CAPABILITIES_SIZE], mask[CAPABILITIES_SIZE];
    unsigned page = b[0] & 0x3f, size;

    if (page == PAGE_RECOVERY) {
        put_recovery_page(drive, now, CURRENT);
        put_recovery_page(drive, mask, CHANGEABLE);
    } else if (page == PAGE_CAPABILITIES) {
        put_capabilities_page(drive, now, CURRENT);
        put_capabilities_page(drive, mask, CHANGEABLE);
    } else {
        return 0;
    }
    size = now[1] + 2u;
    if (len < size || b[1] != now[1])
        return 0;
    for (unsigned i = 2; i < size; i++) {
        if ((b[i] ^ now[i]) & ~mask[i])
            return 0;
    }
    return size;
}

static void set_page(IdeDrive *drive, const uint8_t *b)
{
    if ((b[0] & 0x3f) != PAGE_RECOVERY)
        return;
    drive->atapi.recovery = b[2];
    drive->atapi.retries = b[3];
}

/* Whether the len bytes at b are pages that may be set so. */
static bool check_pages(const IdeDrive *drive, const uint8_t *b, unsigned len)
{
    while (len) {
        unsigned size = len < 2 ? 0 : check_page(drive, b, len);
        if (!size)
            return false;
        b += size;
        len -= size;
    }
    return true;
}

/* The list is in buf, up to xfer.pos. All of it is checked before any takes effect. */
static void select_pages(IdeDrive *drive)
{
    const uint8_t *first = drive->buf + HEADER, *end = drive->buf + drive->xfer.pos;
    bool has_descriptors = load_be(drive->buf + 6, 2);

    if (has_descriptors || !check_pages(drive, first, end - first)) {
        atapi_check(drive, SENSE_ILLEGAL_REQUEST, ASC_INVALID_PARAMETER, 0);
        return;
    }
    for (const uint8_t *b = first; b < end; b += b[1] + 2)
        set_page(drive, b);
    atapi_complete(drive);
}

void atapi_mode_select(IdeDrive *drive, const uint8_t *packet)
{
    uint32_t len = load_be(packet + 7, 2);

    if (!(packet[1] & 0x10) || packet[1] & 1) /* pages as MMC has them, not to be saved */
        atapi_check(drive, SENSE_ILLEGAL_REQUEST, ASC_INVALID_FIELD, 0);
    else if (!len)
        atapi_complete(drive);
    else if (len < HEADER || len > LIST_MAX || len % 2)
        atapi_check(drive, SENSE_ILLEGAL_REQUEST, ASC_PARAMETER_LENGTH, 0);
    else
        atapi_receive(drive, len, select_pages);
}
