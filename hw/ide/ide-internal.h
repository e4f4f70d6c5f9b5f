/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Inside hw/ide:
 *
 *   piix-ide.c    the PCI function: legacy ports, bus-master registers
 *   channel.c     a channel's ports: selection, registers, software reset, the interrupt line
 *   bus-master.c  descriptor tables, guest memory of a transfer
 *   transfer.c    data phases: PIO blocks, DMA, the medium
 *   ata.c         commands of disks, and those both kinds of drive have
 *   ata-data.c    commands that move sectors; TRIM
 *   identify.c    IDENTIFY DEVICE, IDENTIFY PACKET DEVICE
 *   smart.c       SMART
 *   atapi.c       PACKET and its commands; atapi-media.c: medium, tray and their events;
 *                 atapi-disc.c: what the disc is; atapi-mode.c: what the drive is;
 *                 atapi-raw.c: READ CD, sectors with all their bytes
 *   drive.c       devices ide-hd and ide-cd
 */
#ifndef HW_IDE_INTERNAL_H
#define HW_IDE_INTERNAL_H

#include "hw/ide/ide.h"

/* Command block registers by port offset; ATA-7 volume 2, 7. */
enum {
    ATA_DATA = 0,
    ATA_ERROR = 1,   /* R */
    ATA_FEATURE = 1, /* W */
    ATA_COUNT = 2,   /* packet commands: interrupt reason */
    ATA_LBA_LOW = 3,
    ATA_LBA_MID = 4,
    ATA_LBA_HIGH = 5,
    ATA_DEVICE = 6,
    ATA_STATUS = 7,  /* R */
    ATA_COMMAND = 7, /* W */
    ATA_PORTS = 8,
};

#define ST_BSY  0x80
#define ST_DRDY 0x40
#define ST_DF   0x20
#define ST_DSC  0x10 /* seek complete; SERV for packet devices */
#define ST_DRQ  0x08
#define ST_ERR  0x01 /* packet devices: CHK */

#define ERR_UNC  0x40
#define ERR_IDNF 0x10
#define ERR_ABRT 0x04

#define DEVICE_LBA 0x40
#define DEVICE_DEV 0x10
#define DEVICE_HEAD 0x0f
#define DEVICE_OBSOLETE 0xa0 /* read as ones */

#define CONTROL_NIEN 0x02
#define CONTROL_SRST 0x04
#define CONTROL_HOB  0x80

/* Interrupt reason of packet commands, in the count register. */
#define REASON_CD 0x01
#define REASON_IO 0x02

/* Bus master; SFF 2.1. */
#define BM_START  0x01
#define BM_WRITE  0x08 /* to memory */
#define BM_ACTIVE 0x01
#define BM_ERROR  0x02
#define BM_INTR   0x04
#define BM_CAPABLE 0x60

/* What one request moves through the buffer: the most a 28-bit command can. */
#define IDE_BUFFER_SIZE (256 * IDE_SECTOR)
#define IDE_MULTIPLE_MAX 16
#define IDE_MODE_NONE 0xff
#define IDE_UNIT_ANY 0xffffffffu
#define IDE_LBA28_MAX UINT64_C(0x0fffffff)
#define IDE_TRIM_BLOCKS 8 /* of ranges in one DATA SET MANAGEMENT */

/* --- channel.c --- */
void ide_channel_init(IdeChannel *channel);
void ide_channel_release(IdeChannel *channel);
/* Power-on and hardware reset; the drives have theirs as devices. */
void ide_channel_reset(IdeChannel *channel);
/* After any change of intrq, selection or nIEN. */
void ide_channel_update_irq(IdeChannel *channel);
/* Signature and registers after a reset (ATA-7 volume 2, 9.12). */
void ide_drive_signature(IdeDrive *drive);

/* --- bus-master.c --- */
void ide_bm_init(IdeChannel *channel);
void ide_bm_release(IdeChannel *channel);
void ide_bm_reset(IdeChannel *channel);
/* Begins at the table's first descriptor. */
void ide_bm_start(IdeBusMaster *bm);
/* Maps up to want bytes of the table's memory to sg. False: the table is at its end (ACTIVE is off), or
 * names what is not RAM (ERROR is on); nothing is mapped. */
bool ide_bm_map(IdeChannel *channel, uint32_t want, bool to_memory, IdeSg *sg);
void ide_bm_unmap(IdeChannel *channel, IdeSg *sg);
/* The transfer is over: ACTIVE goes with the last descriptor's last byte. */
void ide_bm_end(IdeBusMaster *bm);

/* --- transfer.c --- */
/* The command is over: without an error, or with these bits in the error register. Interrupts. */
void ide_done(IdeDrive *drive);
void ide_fail(IdeDrive *drive, uint8_t error);
/* The first len bytes of buf to the host, and from it, in blocks; finish as IdeTransfer.finish. */
void ide_send(IdeDrive *drive, uint32_t len, uint32_t block, bool dma, void (*finish)(IdeDrive *drive));
void ide_receive(IdeDrive *drive, uint32_t len, uint32_t block, bool dma, void (*finish)(IdeDrive *drive));
/* bytes of the medium from offset on, inside its size. */
void ide_send_medium(IdeDrive *drive, uint64_t offset, uint64_t bytes, uint32_t block, bool dma);
void ide_receive_medium(IdeDrive *drive, uint64_t offset, uint64_t bytes, uint32_t block, bool dma, bool fua);
/* A request beside the data phase, for READ into buf; the drive is BSY until done. */
void ide_submit(IdeDrive *drive, BlockOp op, uint64_t offset, uint64_t bytes, void (*done)(BlockRequest *req, int ret));
static inline IdeDrive *ide_request_drive(BlockRequest *req)
{
    return req->opaque;
}
/* First in each such done: false if a reset has made the request void. */
bool ide_request_ended(IdeDrive *drive);
/* First in the done of a request that moved a chunk of the medium: false if that is all, because of a reset or an
 * error, which the host is told. Else offset and left are behind the chunk. */
bool ide_medium_moved(BlockRequest *req, int ret);
/* The data port. */
uint16_t ide_data_read(IdeDrive *drive);
void ide_data_write(IdeDrive *drive, uint16_t value);
/* START was set, or cleared. */
void ide_dma_start(IdeChannel *channel);
void ide_dma_stop(IdeChannel *channel);
/* Ends whatever goes on, without a trace; waits. The drive is BSY until ide_drive_signature. */
void ide_transfer_reset(IdeDrive *drive);

/* --- ata.c --- */
void ide_command(IdeDrive *drive, uint8_t command);
/* What SET FEATURES and others have set, as at power-on. */
void ide_drive_defaults(IdeDrive *drive);
uint64_t ide_drive_sectors(const IdeDrive *drive);

/* --- ata-data.c; each is a command's handler --- */
typedef struct AtaCommand AtaCommand;
void ata_transfer(IdeDrive *drive, const AtaCommand *command);
void ata_verify(IdeDrive *drive, const AtaCommand *command);
void ata_data_set_management(IdeDrive *drive, const AtaCommand *command);

/* A row of the command table: flags say how a command that moves sectors does it. */
struct AtaCommand {
    uint8_t code;
    uint8_t flags; /* ATA_* */
    void (*run)(IdeDrive *drive, const AtaCommand *command);
};
#define ATA_HD     0x01
#define ATA_CD     0x02
#define ATA_48     0x04 /* 48-bit registers */
#define ATA_DMA    0x08
#define ATA_WRITE  0x10
#define ATA_MULTI  0x20
#define ATA_FUA    0x40

/* --- identify.c --- */
void ata_identify(IdeDrive *drive, const AtaCommand *command);
void ata_identify_packet(IdeDrive *drive, const AtaCommand *command);

/* --- smart.c --- */
void ata_smart(IdeDrive *drive, const AtaCommand *command);

/* --- atapi.c, atapi-media.c --- */
/* Sense keys and additional codes; SPC 4.5.6, MMC annex F. */
enum {
    SENSE_NOT_READY = 0x2,
    SENSE_MEDIUM_ERROR = 0x3,
    SENSE_ILLEGAL_REQUEST = 0x5,
    SENSE_UNIT_ATTENTION = 0x6,
    SENSE_ABORTED_COMMAND = 0xb,
};
enum {
    ASC_READ_ERROR = 0x11,
    ASC_PARAMETER_LENGTH = 0x1a,
    ASC_INVALID_COMMAND = 0x20,
    ASC_LBA_OUT_OF_RANGE = 0x21,
    ASC_INVALID_FIELD = 0x24,
    ASC_INVALID_PARAMETER = 0x26,
    ASC_MEDIUM_CHANGED = 0x28,
    ASC_RESET = 0x29,
    ASC_SAVING_NOT_SUPPORTED = 0x39,
    ASC_NO_MEDIUM = 0x3a,
    ASC_DATA_PHASE = 0x4b,
    ASC_REMOVAL_PREVENTED = 0x53,
    ASC_WRONG_MODE = 0x64,
};
#define CD_SECTOR 2048u

void ata_packet(IdeDrive *drive, const AtaCommand *command);
void atapi_reset(IdeDrive *drive);
/* The packet's data failed: CHECK CONDITION. */
void atapi_check(IdeDrive *drive, uint8_t key, uint8_t asc, uint8_t ascq);
void atapi_medium_error(IdeDrive *drive, int ret);
/* A block of a packet command's data is ready: the byte count and the interrupt reason. */
void atapi_announce_block(IdeDrive *drive, uint32_t bytes);
extern const BlockDeviceOps atapi_device_ops;
bool atapi_has_medium(const IdeDrive *drive);
/* Commands of atapi-media.c, as in atapi.c's table. */
void atapi_start_stop(IdeDrive *drive, const uint8_t *packet);
void atapi_prevent_allow(IdeDrive *drive, const uint8_t *packet);
void atapi_event_status(IdeDrive *drive, const uint8_t *packet);
void atapi_mechanism_status(IdeDrive *drive, const uint8_t *packet);
/* Commands of atapi-disc.c. */
void atapi_read_toc(IdeDrive *drive, const uint8_t *packet);
void atapi_read_disc_information(IdeDrive *drive, const uint8_t *packet);
void atapi_get_configuration(IdeDrive *drive, const uint8_t *packet);
uint32_t atapi_disc_sectors(const IdeDrive *drive);
/* Minutes, seconds and frames of a sector. */
void atapi_put_msf(uint8_t *b, uint32_t lba);
/* Commands of atapi-mode.c, and what MODE SELECT has set as at power-on. */
void atapi_mode_sense(IdeDrive *drive, const uint8_t *packet);
void atapi_mode_select(IdeDrive *drive, const uint8_t *packet);
void atapi_mode_reset(IdeDrive *drive);
/* Commands of atapi-raw.c. */
void atapi_read_cd(IdeDrive *drive, const uint8_t *packet);
void atapi_read_cd_msf(IdeDrive *drive, const uint8_t *packet);
/* READ: whole sectors of user data. */
void atapi_read_sectors(IdeDrive *drive, uint32_t lba, uint32_t count);
/* len bytes from the host to buf, then finish. */
void atapi_receive(IdeDrive *drive, uint32_t len, void (*finish)(IdeDrive *drive));
/* The reply in buf, cut to what the host allocated. */
void atapi_reply(IdeDrive *drive, uint32_t len, uint32_t allocated);
void atapi_complete(IdeDrive *drive);

#endif
