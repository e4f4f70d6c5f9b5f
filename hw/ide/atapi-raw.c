/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * READ CD and READ CD MSF: the parts of a sector that the host asks for, as they would be on the disc.
 * Source: MMC-5 6.19 and 6.20; ECMA-130 14 (a sector of mode 1) and annex A (its error correction).
 *
 *      0  sync, 12 bytes            16  user data, 2048
 *     12  address: BCD, minutes   2064  EDC, over all before it
 *     15  mode: 1                 2068  zeros
 *                                 2076  P parity, then Q parity
 *
 * An image has the user data only; the rest is computed. Sectors are read to buf a chunk at a time, and
 * spread there to what is wanted of them.
 *
 * Not modelled: sectors that are not mode 1, sub-channels, C2 error bits.
 *
 * Locking: machine_lock.
 */
#include <string.h>

#include "core/bits.h"
#include "ide-internal.h"

#define RAW_SECTOR 2352
#define CHUNK (IDE_BUFFER_SIZE / RAW_SECTOR)

enum { SYNC = 0, ADDRESS = 12, MODE = 15, USER = 16, EDC = 2064, PARITY_P = 2076, PARITY_Q = 2248 };

/* Packet byte 9. */
#define WANT_SYNC   0x80
#define WANT_HEADER 0x20
#define WANT_USER   0x10
#define WANT_EDC    0x08
#define WANT_C2     0x06

#define ANY_TYPE 0
#define MODE_1 2

/* --- A sector's own bytes --- */

static uint8_t bcd(uint8_t value)
{
    return value / 10 << 4 | value % 10;
}

/* x^32 + x^31 + x^16 + x^15 + x^4 + x^3 + x + 1, least significant bit first; ECMA-130 14.3. */
static uint32_t detection_code(const uint8_t *data, unsigned len)
{
    uint32_t code = 0;

    for (unsigned i = 0; i < len; i++) {
        code ^= data[i];
        for (unsigned bit = 0; bit < 8; bit++)
            code = code >> 1 ^ (code & 1 ? 0xd8018001 : 0);
    }
    return code;
}

/* Multiplication by alpha in GF(2^8), x^8 + x^4 + x^3 + x^2 + 1; annex A.3. */
static uint8_t times_alpha(uint8_t value)
{
    return (uint8_t)(value << 1) ^ (value & 0x80 ? 0x1d : 0);
}

static uint8_t over_alpha_plus_one(uint8_t value)
{
    uint8_t product = 0;

    for (uint8_t factor = 0xf4; factor; factor >>= 1, value = times_alpha(value)) { /* 1 / (alpha + 1) */
        if (factor & 1)
            product ^= value;
    }
    return product;
}

/*
 * The code words are over 16-bit words from the address on, low and high bytes apart: count words, from word
 * first on by steps of step, modulo period. Both parity bytes make the plain and the weighted sum zero.
 */
static void put_parity(uint8_t *sector, unsigned first, unsigned step, unsigned count, unsigned period, unsigned at[2])
{
    for (unsigned plane = 0; plane < 2; plane++) {
        uint8_t *bytes = sector + ADDRESS + plane, sum = 0, weighted = 0;
        for (unsigned i = 0; i < count; i++) {
            uint8_t value = bytes[2 * ((first + i * step) % period)];
            sum ^= value;
            weighted = times_alpha(weighted ^ value);
        }
        bytes[2 * at[0]] = over_alpha_plus_one(sum ^ times_alpha(weighted));
        bytes[2 * at[1]] = sum ^ bytes[2 * at[0]];
    }
}

/* P: 43 columns of 24 words. Q: 26 diagonals of 43 words, P among them. Annex A.4 and A.5. */
static void put_error_correction(uint8_t *sector)
{
    for (unsigned n = 0; n < 43; n++)
        put_parity(sector, n, 43, 24, 43 * 24, (unsigned[]){43 * 24 + n, 43 * 25 + n});
    for (unsigned n = 0; n < 26; n++)
        put_parity(sector, 43 * n, 44, 43, 43 * 26, (unsigned[]){43 * 26 + n, 43 * 26 + 26 + n});
}

static void make_sector(uint8_t *sector, uint32_t lba, const uint8_t *user, bool with_correction)
{
    memset(sector, 0, RAW_SECTOR);
    memset(sector + SYNC + 1, 0xff, 10);
    atapi_put_msf(sector + ADDRESS, lba);
    for (unsigned i = ADDRESS; i < MODE; i++)
        sector[i] = bcd(sector[i]);
    sector[MODE] = 1;
    memcpy(sector + USER, user, CD_SECTOR);
    if (!with_correction)
        return;
    store_le(sector + EDC, detection_code(sector, EDC), 4);
    put_error_correction(sector);
}

/* --- The parts that are wanted --- */

/* They are neighbours in the sector. */
static void wanted_range(uint8_t parts, unsigned *start, unsigned *end)
{
    *start = parts & WANT_SYNC ? SYNC : parts & WANT_HEADER ? ADDRESS : USER;
    *end = parts & WANT_EDC ? RAW_SECTOR : parts & WANT_USER ? EDC : USER;
}

/* From sectors of user data to sectors of what is wanted; longer ones from the last on. */
static void spread(IdeDrive *drive, uint32_t lba, unsigned count)
{
    uint8_t sector[RAW_SECTOR];
    unsigned start, end;

    wanted_range(drive->atapi.raw_parts, &start, &end);
    for (unsigned n = 0; n < count; n++) {
        unsigned i = end - start > CD_SECTOR ? count - 1 - n : n;
        make_sector(sector, lba + i, drive->buf + i * CD_SECTOR, end > EDC);
        memcpy(drive->buf + i * (end - start), sector + start, end - start);
    }
}

/* --- Chunks --- */

static void next_chunk(IdeDrive *drive);

static void chunk_read(BlockRequest *req, int ret)
{
    IdeDrive *drive = ide_request_drive(req);
    unsigned count = req->bytes / CD_SECTOR, start, end;

    if (!ide_medium_moved(req, ret))
        return;
    wanted_range(drive->atapi.raw_parts, &start, &end);
    spread(drive, drive->atapi.raw_lba, count);
    drive->atapi.raw_lba += count;
    drive->atapi.raw_left -= count;
    ide_send(drive, count * (end - start), drive->atapi.limit, drive->atapi.dma, next_chunk);
}

static void next_chunk(IdeDrive *drive)
{
    const IdeAtapi *a = &drive->atapi;
    uint64_t bytes = (uint64_t)MIN(a->raw_left, CHUNK) * CD_SECTOR;

    if (!bytes) {
        atapi_complete(drive);
        return;
    }
    drive->xfer = (IdeTransfer){.to_host = true, .offset = (uint64_t)a->raw_lba * CD_SECTOR, .left = bytes};
    ide_submit(drive, BLOCK_READ, drive->xfer.offset, bytes, chunk_read);
}

/* --- Commands --- */

static bool check_parts(IdeDrive *drive, const uint8_t *packet)
{
    unsigned type = packet[1] >> 2 & 7, parts = packet[9];

    if (type != ANY_TYPE && type != MODE_1) {
        atapi_check(drive, SENSE_ILLEGAL_REQUEST, ASC_WRONG_MODE, 0);
        return false;
    }
    if (!(parts & WANT_C2) && !(packet[10] & 7) && (!(parts & WANT_SYNC) || parts & WANT_HEADER) &&
        (!(parts & WANT_EDC) || parts & WANT_USER))
        return true;
    atapi_check(drive, SENSE_ILLEGAL_REQUEST, ASC_INVALID_FIELD, 0);
    return false;
}

static void read_parts(IdeDrive *drive, const uint8_t *packet, uint32_t lba, uint32_t count)
{
    uint8_t parts = packet[9] & (WANT_SYNC | WANT_HEADER | WANT_USER | WANT_EDC);

    if (!check_parts(drive, packet))
        return;
    if (!parts || parts == WANT_USER) {
        atapi_read_sectors(drive, lba, parts ? count : 0);
        return;
    }
    if (!range_ok(lba, count, atapi_disc_sectors(drive))) {
        atapi_check(drive, SENSE_ILLEGAL_REQUEST, ASC_LBA_OUT_OF_RANGE, 0);
        return;
    }
    drive->atapi.raw_lba = lba;
    drive->atapi.raw_left = count;
    drive->atapi.raw_parts = parts;
    next_chunk(drive);
}

void atapi_read_cd(IdeDrive *drive, const uint8_t *packet)
{
    read_parts(drive, packet, load_be(packet + 2, 4), load_be(packet + 6, 3));
}

/* A sector number; what comes before the first wraps to beyond any disc. */
static uint32_t from_msf(const uint8_t *b)
{
    return (b[0] * 60u + b[1]) * 75u + b[2] - 150u;
}

void atapi_read_cd_msf(IdeDrive *drive, const uint8_t *packet)
{
    uint32_t start = from_msf(packet + 3), end = from_msf(packet + 6);

    if (end < start)
        atapi_check(drive, SENSE_ILLEGAL_REQUEST, ASC_INVALID_FIELD, 0);
    else
        read_parts(drive, packet, start, end - start);
}
