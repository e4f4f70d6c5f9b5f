/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the disc is and what can be done with it: table of contents, disc information, features.
 * Source: MMC-5 6.26 (READ TOC/PMA/ATIP), 6.22 (READ DISC INFORMATION), 6.6 and 5 (GET CONFIGURATION,
 * features).
 *
 * A disc is one session with one data track that begins at sector 0.
 *
 * Locking: machine_lock.
 */
#include <string.h>

#include "core/bits.h"
#include "ide-internal.h"

#define LEAD_OUT 0xaa
#define TRACK_DATA 0x14 /* ADR 1: position; control 4: data track */
#define MSF_OFFSET 150  /* sector 0 is at 00:02:00 */
#define CD_SECTORS_MAX 405000 /* 90 minutes; what is longer is a DVD */

enum { PROFILE_NONE = 0, PROFILE_CD_ROM = 0x08, PROFILE_DVD_ROM = 0x10 };

uint32_t atapi_disc_sectors(const IdeDrive *drive)
{
    return atapi_has_medium(drive) ? MIN(blk_size(drive->conf.blk) / CD_SECTOR, UINT32_MAX) : 0;
}

static uint16_t profile(const IdeDrive *drive)
{
    if (!atapi_has_medium(drive))
        return PROFILE_NONE;
    return atapi_disc_sectors(drive) > CD_SECTORS_MAX ? PROFILE_DVD_ROM : PROFILE_CD_ROM;
}

/* --- Table of contents --- */

void atapi_put_msf(uint8_t *b, uint32_t lba)
{
    uint32_t frames = lba + MSF_OFFSET;

    b[0] = MIN(frames / (75 * 60), 255);
    b[1] = frames / 75 % 60;
    b[2] = frames % 75;
}

static void put_address(uint8_t *b, uint32_t lba, bool msf)
{
    b[0] = 0;
    if (msf)
        atapi_put_msf(b + 1, lba);
    else
        store_be(b, lba, 4);
}

static uint8_t *put_track(uint8_t *b, uint8_t track, uint32_t lba, bool msf)
{
    b[0] = 0;
    b[1] = TRACK_DATA;
    b[2] = track;
    b[3] = 0;
    put_address(b + 4, lba, msf);
    return b + 8;
}

/* Format 0: tracks from the one asked for on. NULL: there is none. */
static uint8_t *toc_tracks(IdeDrive *drive, uint8_t *b, uint8_t first, bool msf)
{
    if (first > 1 && first != LEAD_OUT)
        return NULL;
    if (first <= 1)
        b = put_track(b, 1, 0, msf);
    return put_track(b, LEAD_OUT, atapi_disc_sectors(drive), msf);
}

static uint8_t *toc_full_entry(uint8_t *b, uint8_t point)
{
    memset(b, 0, 11);
    b[0] = 1; /* session */
    b[1] = TRACK_DATA;
    b[3] = point;
    return b + 11;
}

/* Format 2: the lead-in's entries, always in minutes, seconds, frames. */
static uint8_t *toc_full(IdeDrive *drive, uint8_t *b)
{
    uint8_t *first = b, *last = toc_full_entry(first, 0xa0), *out = toc_full_entry(last, 0xa1);
    uint8_t *track = toc_full_entry(out, 0xa2), *end = toc_full_entry(track, 1);

    first[8] = last[8] = 1;
    atapi_put_msf(out + 8, atapi_disc_sectors(drive));
    atapi_put_msf(track + 8, 0);
    return end;
}

void atapi_read_toc(IdeDrive *drive, const uint8_t *packet)
{
    uint8_t *b = drive->buf, *end;
    bool msf = packet[1] & 2;
    unsigned format = packet[2] & 0xf ? packet[2] & 0xf : packet[9] >> 6; /* SFF-8020i had it in byte 9 */

    b[2] = b[3] = 1; /* first and last track, or session */
    if (format == 0)
        end = toc_tracks(drive, b + 4, packet[6], msf);
    else if (format == 1)
        end = put_track(b + 4, 1, 0, msf);
    else if (format == 2)
        end = toc_full(drive, b + 4);
    else
        end = NULL;
    if (!end) {
        atapi_check(drive, SENSE_ILLEGAL_REQUEST, ASC_INVALID_FIELD, 0);
        return;
    }
    store_be(b, end - b - 2, 2);
    atapi_reply(drive, end - b, load_be(packet + 7, 2));
}

void atapi_read_disc_information(IdeDrive *drive, const uint8_t *packet)
{
    uint8_t *b = drive->buf;

    if (packet[1] & 7) { /* of other kinds of disc */
        atapi_check(drive, SENSE_ILLEGAL_REQUEST, ASC_INVALID_FIELD, 0);
        return;
    }
    memset(b, 0, 34);
    store_be(b, 32, 2);
    b[2] = 0x0e; /* last session complete, disc finalized */
    b[3] = b[4] = b[5] = b[6] = 1;
    b[7] = 0x20; /* unrestricted use */
    memset(b + 16, 0xff, 8); /* no further session can begin, anywhere */
    atapi_reply(drive, 34, load_be(packet + 7, 2));
}

/* --- Features --- */

typedef struct FeatureList {
    uint8_t *next;
    uint16_t start; /* lowest number wanted */
    uint8_t type;   /* 0: all, 1: current, 2: the one that is start */
} FeatureList;

static void put_feature(FeatureList *list, uint16_t code, bool current, unsigned version, const uint8_t *data,
                        unsigned len)
{
    bool persistent = code <= 3;

    if (list->type == 2 ? code != list->start : code < list->start)
        return;
    if (list->type == 1 && !current)
        return;
    store_be(list->next, code, 2);
    list->next[2] = version << 2 | persistent << 1 | current;
    list->next[3] = len;
    memcpy(list->next + 4, data, len);
    list->next += 4 + len;
}

void atapi_get_configuration(IdeDrive *drive, const uint8_t *packet)
{
    uint16_t now = profile(drive);
    bool cd = now == PROFILE_CD_ROM, dvd = now == PROFILE_DVD_ROM;
    FeatureList list = {drive->buf + 8, load_be(packet + 2, 2), packet[1] & 3};
    const uint8_t profiles[] = {0, PROFILE_DVD_ROM, dvd, 0, 0, PROFILE_CD_ROM, cd, 0};
    static const uint8_t core[] = {0, 0, 0, 2, 1, 0, 0, 0}; /* ATAPI; device busy events */
    static const uint8_t removable[] = {0x39, 0, 0, 0};     /* tray, can eject and load, lock */
    static const uint8_t readable[] = {0, 0, CD_SECTOR >> 8, CD_SECTOR & 0xff, 0, 16, 0, 0};
    static const uint8_t none[4];

    if (list.type == 3) {
        atapi_check(drive, SENSE_ILLEGAL_REQUEST, ASC_INVALID_FIELD, 0);
        return;
    }
    put_feature(&list, 0x0000, true, 0, profiles, sizeof(profiles));
    put_feature(&list, 0x0001, true, 2, core, sizeof(core));
    put_feature(&list, 0x0003, true, 0, removable, sizeof(removable));
    put_feature(&list, 0x0010, cd || dvd, 0, readable, sizeof(readable));
    put_feature(&list, 0x001e, cd, 2, none, sizeof(none));
    put_feature(&list, 0x001f, dvd, 0, none, 0);
    store_be(drive->buf, list.next - drive->buf - 4, 4);
    store_be(drive->buf + 4, 0, 2);
    store_be(drive->buf + 6, now, 2);
    atapi_reply(drive, list.next - drive->buf, load_be(packet + 7, 2));
}
