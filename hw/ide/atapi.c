/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * PACKET, and the commands of a CD-ROM drive in it.
 * Source: ATA-7 volume 1, 6.24 (PACKET), volume 2, 11.8 (its protocol); MMC-5 6 (commands), SPC-3 6
 * (INQUIRY, REQUEST SENSE, TEST UNIT READY).
 *
 * Not modelled: audio, writing, overlap.
 *
 * Locking: machine_lock.
 */
#include <string.h>

#include "core/bits.h"
#include "ide-internal.h"

#define PACKET_SIZE 12
#define FEATURE_DMA 0x01
#define FEATURE_OVERLAP 0x02
#define LIMIT_MAX 0xfffe /* a larger one is taken as this; ATA-7 volume 1, 6.24.6 */

#define SENSE_SIZE 18
#define INQUIRY_SIZE 36

typedef struct AtapiCommand {
    uint8_t code;
    bool needs_medium;
    bool anytime; /* also with a unit attention pending, which it leaves */
    void (*run)(IdeDrive *drive, const uint8_t *packet);
} AtapiCommand;

/* --- How a packet command ends --- */

void atapi_complete(IdeDrive *drive)
{
    drive->regs.count[0] = REASON_CD | REASON_IO;
    ide_done(drive);
}

void atapi_check(IdeDrive *drive, uint8_t key, uint8_t asc, uint8_t ascq)
{
    drive->atapi.sense = (IdeSense){key, asc, ascq};
    drive->regs.count[0] = REASON_CD | REASON_IO;
    ide_fail(drive, key << 4 | (key == SENSE_ABORTED_COMMAND ? ERR_ABRT : 0));
}

void atapi_medium_error(IdeDrive *drive, int ret)
{
    if (!atapi_has_medium(drive))
        atapi_check(drive, SENSE_NOT_READY, ASC_NO_MEDIUM, 0);
    else
        atapi_check(drive, SENSE_MEDIUM_ERROR, ASC_READ_ERROR, 0);
}

void atapi_announce_block(IdeDrive *drive, uint32_t bytes)
{
    IdeRegs *r = &drive->regs;

    if (!drive->xfer.to_host && !drive->atapi.data_out) {
        r->count[0] = REASON_CD;
        return;
    }
    if (!drive->xfer.finish)
        return; /* of an ATA command: IDENTIFY */
    r->count[0] = drive->xfer.to_host ? REASON_IO : 0;
    r->lba_mid[0] = bytes;
    r->lba_high[0] = bytes >> 8;
}

void atapi_reply(IdeDrive *drive, uint32_t len, uint32_t allocated)
{
    len = MIN(len, allocated);
    if (len)
        ide_send(drive, len, drive->atapi.limit, drive->atapi.dma, atapi_complete);
    else
        atapi_complete(drive);
}

/* Unlike that of other commands, each block of a packet command's data is announced by an interrupt. */
void atapi_receive(IdeDrive *drive, uint32_t len, void (*finish)(IdeDrive *drive))
{
    drive->atapi.data_out = true;
    ide_receive(drive, len, drive->atapi.limit, drive->atapi.dma, finish);
    if (drive->atapi.dma)
        return;
    drive->regs.intrq = true;
    ide_channel_update_irq(drive->channel);
}

/* --- Commands --- */

static void test_unit_ready(IdeDrive *drive, const uint8_t *packet)
{
    atapi_complete(drive);
}

/* Fixed format; SPC 4.5.3. What is told is gone. */
static void request_sense(IdeDrive *drive, const uint8_t *packet)
{
    IdeAtapi *a = &drive->atapi;
    uint8_t *b = drive->buf;

    if (a->unit_attention && !a->sense.key) {
        a->sense = (IdeSense){SENSE_UNIT_ATTENTION, a->attention_asc, 0};
        a->unit_attention = false;
    }
    memset(b, 0, SENSE_SIZE);
    b[0] = 0x70;
    b[2] = a->sense.key;
    b[7] = SENSE_SIZE - 8;
    b[12] = a->sense.asc;
    b[13] = a->sense.ascq;
    a->sense = (IdeSense){0};
    atapi_reply(drive, SENSE_SIZE, packet[4]);
}

static void put_text(uint8_t *to, unsigned len, const char *text)
{
    for (unsigned i = 0; i < len; i++)
        to[i] = *text ? *text++ : ' ';
}

static void inquiry(IdeDrive *drive, const uint8_t *packet)
{
    uint8_t *b = drive->buf;

    if (packet[1] & 1) { /* vital product data: there are none */
        atapi_check(drive, SENSE_ILLEGAL_REQUEST, ASC_INVALID_FIELD, 0);
        return;
    }
    memset(b, 0, INQUIRY_SIZE);
    b[0] = 0x05; /* CD-ROM */
    b[1] = 0x80; /* removable */
    b[3] = 0x21; /* ATAPI transport, response format 1 (SFF-8020i) */
    b[4] = INQUIRY_SIZE - 5;
    put_text(b + 8, 8, "VMM");
    put_text(b + 16, 16, drive->model);
    put_text(b + 32, 4, drive->version);
    atapi_reply(drive, INQUIRY_SIZE, packet[4]);
}

static void read_capacity(IdeDrive *drive, const uint8_t *packet)
{
    store_be(drive->buf, atapi_disc_sectors(drive) - 1, 4);
    store_be(drive->buf + 4, CD_SECTOR, 4);
    atapi_reply(drive, 8, 8);
}

void atapi_read_sectors(IdeDrive *drive, uint32_t lba, uint32_t count)
{
    if (!range_ok(lba, count, atapi_disc_sectors(drive))) {
        atapi_check(drive, SENSE_ILLEGAL_REQUEST, ASC_LBA_OUT_OF_RANGE, 0);
        return;
    }
    if (!count) {
        atapi_complete(drive);
        return;
    }
    drive->xfer = (IdeTransfer){.finish = atapi_complete};
    ide_send_medium(drive, (uint64_t)lba * CD_SECTOR, (uint64_t)count * CD_SECTOR, drive->atapi.limit,
                    drive->atapi.dma);
}

static void read_10(IdeDrive *drive, const uint8_t *packet)
{
    atapi_read_sectors(drive, load_be(packet + 2, 4), load_be(packet + 7, 2));
}

static void read_12(IdeDrive *drive, const uint8_t *packet)
{
    atapi_read_sectors(drive, load_be(packet + 2, 4), load_be(packet + 6, 4));
}

static void seek(IdeDrive *drive, const uint8_t *packet)
{
    if (load_be(packet + 2, 4) >= atapi_disc_sectors(drive))
        atapi_check(drive, SENSE_ILLEGAL_REQUEST, ASC_LBA_OUT_OF_RANGE, 0);
    else
        atapi_complete(drive);
}

static void accepted(IdeDrive *drive, const uint8_t *packet)
{
    atapi_complete(drive);
}

/* --- PACKET --- */

static const AtapiCommand commands[] = {
    {0x00, true, false, test_unit_ready},
    {0x03, false, true, request_sense},
    {0x12, false, true, inquiry},
    {0x1b, false, false, atapi_start_stop},
    {0x1e, false, false, atapi_prevent_allow},
    {0x25, true, false, read_capacity},
    {0x28, true, false, read_10},
    {0x2b, true, false, seek},
    {0x43, true, false, atapi_read_toc},
    {0x46, false, true, atapi_get_configuration},
    {0x4a, false, true, atapi_event_status},
    {0x51, true, false, atapi_read_disc_information},
    {0x55, false, false, atapi_mode_select},
    {0x5a, false, false, atapi_mode_sense},
    {0xa8, true, false, read_12},
    {0xb9, true, false, atapi_read_cd_msf},
    {0xbb, false, false, accepted}, /* SET CD SPEED: as fast as it goes */
    {0xbd, false, false, atapi_mechanism_status},
    {0xbe, true, false, atapi_read_cd},
};

static void execute(IdeDrive *drive)
{
    IdeAtapi *a = &drive->atapi;
    const AtapiCommand *command = NULL;
    uint8_t packet[PACKET_SIZE];

    memcpy(packet, drive->buf, sizeof(packet)); /* replies are built there */
    for (unsigned i = 0; i < G_N_ELEMENTS(commands) && !command; i++)
        command = commands[i].code == packet[0] ? &commands[i] : NULL;
    if (!command || command->run != request_sense)
        a->sense = (IdeSense){0};
    if (!command) {
        atapi_check(drive, SENSE_ILLEGAL_REQUEST, ASC_INVALID_COMMAND, 0);
    } else if (a->unit_attention && !command->anytime) {
        a->unit_attention = false;
        atapi_check(drive, SENSE_UNIT_ATTENTION, a->attention_asc, 0);
    } else if (command->needs_medium && !atapi_has_medium(drive)) {
        atapi_check(drive, SENSE_NOT_READY, ASC_NO_MEDIUM, a->tray_open ? 2 : 1);
    } else {
        command->run(drive, packet);
    }
}

void ata_packet(IdeDrive *drive, const AtaCommand *command)
{
    IdeRegs *r = &drive->regs;
    uint32_t limit = r->lba_mid[0] | r->lba_high[0] << 8;

    if (r->feature[0] & FEATURE_OVERLAP) {
        ide_fail(drive, ERR_ABRT);
        return;
    }
    drive->atapi.data_out = false;
    drive->atapi.dma = r->feature[0] & FEATURE_DMA;
    drive->atapi.limit = limit < 2 || limit > LIMIT_MAX ? LIMIT_MAX : limit & ~1u;
    ide_receive(drive, PACKET_SIZE, PACKET_SIZE, false, execute);
}

void atapi_reset(IdeDrive *drive)
{
    IdeAtapi *a = &drive->atapi;

    a->sense = (IdeSense){0};
    a->unit_attention = true;
    a->attention_asc = ASC_RESET;
    a->locked = false;
    a->medium_event = a->eject_event = false;
    atapi_mode_reset(drive);
}
