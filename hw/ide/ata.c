/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * ATA commands without data: features, power, flush; and the table of all commands.
 * Source: ACS 7 (commands), 7.45 (SET FEATURES); ATA-7 volume 1 for what ACS made obsolete.
 *
 * A command that is not in the table, or not for this kind of drive, is aborted, as ACS 6.2 has it
 * for features a drive does not report: security, HPA, queuing, streaming, CFA, general purpose logs.
 * Power modes are remembered and save no power.
 *
 * Locking: machine_lock.
 */
#include "core/bits.h"
#include "ide-internal.h"

/* SET FEATURES subcommands. */
enum {
    FEATURE_WRITE_CACHE_ON = 0x02,
    FEATURE_TRANSFER_MODE = 0x03,
    FEATURE_READ_AHEAD_OFF = 0x55,
    FEATURE_DEFAULTS_OFF = 0x66, /* at software reset: no revert to power-on defaults */
    FEATURE_WRITE_CACHE_OFF = 0x82,
    FEATURE_READ_AHEAD_ON = 0xaa,
    FEATURE_DEFAULTS_ON = 0xcc,
};

/* Transfer modes, ACS table 51: type in bits 7:3. */
#define MODE_PIO_DEFAULT 0
#define MODE_PIO   1
#define MODE_MWDMA 4
#define MODE_UDMA  8

#define POWER_ACTIVE  0xff
#define POWER_STANDBY 0x00

uint64_t ide_drive_sectors(const IdeDrive *drive)
{
    return drive->conf.blk ? blk_size(drive->conf.blk) / IDE_SECTOR : 0;
}

void ide_drive_defaults(IdeDrive *drive)
{
    drive->multiple = IDE_MULTIPLE_MAX;
    drive->pio_mode = 4;
    drive->mwdma_mode = IDE_MODE_NONE;
    drive->udma_mode = 5;
    drive->look_ahead = drive->smart = drive->smart_autosave = true;
    drive->standby = false;
    drive->heads = drive->conf.heads;
    drive->sectors = drive->conf.sectors;
    if (drive->is_cd)
        atapi_reset(drive);
}

/* --- Commands --- */

static void done(IdeDrive *drive, const AtaCommand *command)
{
    ide_done(drive);
}

static void abort_command(IdeDrive *drive, const AtaCommand *command)
{
    ide_fail(drive, ERR_ABRT);
}

/* A packet device answers commands for disks with its signature, which tells the host what it is. */
static void refuse_with_signature(IdeDrive *drive, const AtaCommand *command)
{
    if (drive->is_cd)
        ide_drive_signature(drive);
    ide_fail(drive, ERR_ABRT);
}

static void reset_by_command(IdeDrive *drive, const AtaCommand *command)
{
    ide_transfer_reset(drive);
    ide_drive_signature(drive);
    ide_channel_update_irq(drive->channel);
}

static void flushed(BlockRequest *req, int ret)
{
    IdeDrive *drive = ide_request_drive(req);

    if (!ide_request_ended(drive))
        return;
    if (ret < 0)
        ide_fail(drive, ERR_ABRT);
    else
        ide_done(drive);
}

static void flush_cache(IdeDrive *drive, const AtaCommand *command)
{
    ide_submit(drive, BLOCK_FLUSH, 0, 0, flushed);
}

static bool set_transfer_mode(IdeDrive *drive, uint8_t value)
{
    unsigned type = value >> 3, mode = value & 7;

    switch (type) {
    case MODE_PIO_DEFAULT:
        return mode <= 1;
    case MODE_PIO:
        if (mode > 4)
            return false;
        drive->pio_mode = mode;
        return true;
    case MODE_MWDMA:
        if (mode > 2)
            return false;
        drive->mwdma_mode = mode;
        drive->udma_mode = IDE_MODE_NONE;
        return true;
    case MODE_UDMA:
        if (mode > 5)
            return false;
        drive->udma_mode = mode;
        drive->mwdma_mode = IDE_MODE_NONE;
        return true;
    }
    return false;
}

/* Turning the cache off flushes it first: what was written into it is safe from then on. */
static void write_cache_off(IdeDrive *drive)
{
    blk_set_write_cache(drive->conf.blk, false);
    ide_submit(drive, BLOCK_FLUSH, 0, 0, flushed);
}

static void set_features(IdeDrive *drive, const AtaCommand *command)
{
    uint8_t feature = drive->regs.feature[0];

    if (drive->is_cd && feature != FEATURE_TRANSFER_MODE && feature != FEATURE_DEFAULTS_OFF &&
        feature != FEATURE_DEFAULTS_ON) {
        ide_fail(drive, ERR_ABRT);
        return;
    }
    switch (feature) {
    case FEATURE_WRITE_CACHE_ON:
        blk_set_write_cache(drive->conf.blk, true);
        break;
    case FEATURE_WRITE_CACHE_OFF:
        write_cache_off(drive);
        return;
    case FEATURE_TRANSFER_MODE:
        if (!set_transfer_mode(drive, drive->regs.count[0])) {
            ide_fail(drive, ERR_ABRT);
            return;
        }
        break;
    case FEATURE_READ_AHEAD_ON:
    case FEATURE_READ_AHEAD_OFF:
        drive->look_ahead = feature == FEATURE_READ_AHEAD_ON;
        break;
    case FEATURE_DEFAULTS_OFF:
    case FEATURE_DEFAULTS_ON:
        break;
    default:
        ide_fail(drive, ERR_ABRT);
        return;
    }
    ide_done(drive);
}

static void set_multiple(IdeDrive *drive, const AtaCommand *command)
{
    uint8_t count = drive->regs.count[0];

    if (count > IDE_MULTIPLE_MAX || (count & (count - 1))) {
        ide_fail(drive, ERR_ABRT);
        return;
    }
    drive->multiple = count;
    ide_done(drive);
}

/* Obsolete since ATA-6, and used by every BIOS: the geometry of CHS addresses. */
static void initialize_parameters(IdeDrive *drive, const AtaCommand *command)
{
    uint8_t sectors = drive->regs.count[0];

    if (!sectors || sectors > 63) {
        ide_fail(drive, ERR_ABRT);
        return;
    }
    drive->sectors = sectors;
    drive->heads = (drive->regs.device & DEVICE_HEAD) + 1;
    ide_done(drive);
}

static void active_mode(IdeDrive *drive, const AtaCommand *command)
{
    drive->standby = false;
    ide_done(drive);
}

static void standby_mode(IdeDrive *drive, const AtaCommand *command)
{
    drive->standby = true;
    ide_done(drive);
}

static void check_power_mode(IdeDrive *drive, const AtaCommand *command)
{
    drive->regs.count[0] = drive->standby ? POWER_STANDBY : POWER_ACTIVE;
    ide_done(drive);
}

static void buffer_sent(IdeDrive *drive, const AtaCommand *command)
{
    ide_send(drive, IDE_SECTOR, IDE_SECTOR, false, NULL);
}

static void buffer_received(IdeDrive *drive, const AtaCommand *command)
{
    ide_receive(drive, IDE_SECTOR, IDE_SECTOR, false, NULL);
}

/* --- The table --- */

static const AtaCommand commands[] = {
    {0x00, ATA_HD | ATA_CD, abort_command}, /* NOP: aborts what is queued, itself included */
    {0x06, ATA_HD | ATA_DMA, ata_data_set_management},
    {0x08, ATA_CD, reset_by_command},
    {0x10, ATA_HD, done}, /* RECALIBRATE */
    {0x20, ATA_HD, ata_transfer},
    {0x21, ATA_HD, ata_transfer}, /* without retries: obsolete */
    {0x24, ATA_HD | ATA_48, ata_transfer},
    {0x25, ATA_HD | ATA_48 | ATA_DMA, ata_transfer},
    {0x29, ATA_HD | ATA_48 | ATA_MULTI, ata_transfer},
    {0x30, ATA_HD | ATA_WRITE, ata_transfer},
    {0x31, ATA_HD | ATA_WRITE, ata_transfer},
    {0x34, ATA_HD | ATA_48 | ATA_WRITE, ata_transfer},
    {0x35, ATA_HD | ATA_48 | ATA_DMA | ATA_WRITE, ata_transfer},
    {0x39, ATA_HD | ATA_48 | ATA_MULTI | ATA_WRITE, ata_transfer},
    {0x3d, ATA_HD | ATA_48 | ATA_DMA | ATA_WRITE | ATA_FUA, ata_transfer},
    {0x40, ATA_HD, ata_verify},
    {0x41, ATA_HD, ata_verify},
    {0x42, ATA_HD | ATA_48, ata_verify},
    {0x70, ATA_HD, done}, /* SEEK */
    {0x91, ATA_HD, initialize_parameters},
    {0x94, ATA_HD | ATA_CD, standby_mode}, /* the old codes of E0h.. */
    {0x95, ATA_HD | ATA_CD, active_mode},
    {0x96, ATA_HD | ATA_CD, standby_mode},
    {0x97, ATA_HD | ATA_CD, active_mode},
    {0x98, ATA_HD | ATA_CD, check_power_mode},
    {0x99, ATA_HD | ATA_CD, standby_mode},
    {0xa0, ATA_CD, ata_packet},
    {0xa1, ATA_CD, ata_identify_packet},
    {0xb0, ATA_HD, ata_smart},
    {0xc4, ATA_HD | ATA_MULTI, ata_transfer},
    {0xc5, ATA_HD | ATA_MULTI | ATA_WRITE, ata_transfer},
    {0xc6, ATA_HD, set_multiple},
    {0xc8, ATA_HD | ATA_DMA, ata_transfer},
    {0xc9, ATA_HD | ATA_DMA, ata_transfer},
    {0xca, ATA_HD | ATA_DMA | ATA_WRITE, ata_transfer},
    {0xcb, ATA_HD | ATA_DMA | ATA_WRITE, ata_transfer},
    {0xce, ATA_HD | ATA_48 | ATA_MULTI | ATA_WRITE | ATA_FUA, ata_transfer},
    {0xe0, ATA_HD | ATA_CD, standby_mode}, /* STANDBY IMMEDIATE */
    {0xe1, ATA_HD | ATA_CD, active_mode},  /* IDLE IMMEDIATE */
    {0xe2, ATA_HD | ATA_CD, standby_mode}, /* STANDBY */
    {0xe3, ATA_HD | ATA_CD, active_mode},  /* IDLE */
    {0xe4, ATA_HD, buffer_sent},
    {0xe5, ATA_HD | ATA_CD, check_power_mode},
    {0xe6, ATA_HD | ATA_CD, standby_mode}, /* SLEEP */
    {0xe7, ATA_HD, flush_cache},
    {0xe8, ATA_HD, buffer_received},
    {0xea, ATA_HD | ATA_48, flush_cache},
    {0xec, ATA_HD, ata_identify},
    {0xef, ATA_HD | ATA_CD, set_features},
};

static const AtaCommand refused = {.run = abort_command};
/* READ SECTORS and IDENTIFY DEVICE, by which hosts look for disks. */
static const AtaCommand refused_by_packet_device = {.run = refuse_with_signature};

static const AtaCommand *find_command(const IdeDrive *drive, uint8_t code)
{
    uint8_t kind = drive->is_cd ? ATA_CD : ATA_HD;

    for (unsigned i = 0; i < G_N_ELEMENTS(commands); i++) {
        if (commands[i].code == code && (commands[i].flags & kind))
            return &commands[i];
    }
    return drive->is_cd && (code == 0x20 || code == 0xec) ? &refused_by_packet_device : &refused;
}

void ide_command(IdeDrive *drive, uint8_t code)
{
    const AtaCommand *command = find_command(drive, code);

    command->run(drive, command);
}
