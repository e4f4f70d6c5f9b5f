/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * ATA commands that name sectors: reads and writes of all kinds, READ VERIFY, TRIM.
 * Source: ACS 7.22 to 7.36 and 7.66 to 7.79, 7.10 (DATA SET MANAGEMENT); 3.1.x for LBA28 and LBA48;
 * ATA-7 volume 1, 6.2 (CHS).
 *
 * A range that leaves the disk is refused as a whole, with the first address in it: IDNF.
 *
 * Locking: machine_lock.
 */
#include "core/bits.h"
#include "ide-internal.h"

#define TRIM_ENTRY 8
#define TRIM_ENTRIES (IDE_SECTOR / TRIM_ENTRY) /* in a block */

typedef struct Range {
    uint64_t lba;
    uint32_t count;
} Range;

/* --- Addresses --- */

static uint64_t lba48(const IdeRegs *r)
{
    return r->lba_low[0] | (uint64_t)r->lba_mid[0] << 8 | (uint64_t)r->lba_high[0] << 16 |
           (uint64_t)r->lba_low[1] << 24 | (uint64_t)r->lba_mid[1] << 32 | (uint64_t)r->lba_high[1] << 40;
}

static uint64_t lba28(const IdeRegs *r)
{
    return r->lba_low[0] | r->lba_mid[0] << 8 | r->lba_high[0] << 16 | (r->device & DEVICE_HEAD) << 24;
}

/* Sector numbers begin with 1. False: there is no such sector on a track, or head. */
static bool chs_to_lba(const IdeDrive *drive, uint64_t *lba)
{
    const IdeRegs *r = &drive->regs;
    unsigned cylinder = r->lba_mid[0] | r->lba_high[0] << 8, head = r->device & DEVICE_HEAD, sector = r->lba_low[0];

    if (!sector || sector > drive->sectors || head >= drive->heads)
        return false;
    *lba = ((uint64_t)cylinder * drive->heads + head) * drive->sectors + sector - 1;
    return true;
}

/* False: the command has failed. */
static bool find_range(IdeDrive *drive, const AtaCommand *command, Range *range)
{
    const IdeRegs *r = &drive->regs;
    bool ext = command->flags & ATA_48, found = true;

    range->count = ext ? r->count[0] | r->count[1] << 8 : r->count[0];
    if (!range->count)
        range->count = ext ? 65536 : 256;
    if (ext)
        range->lba = lba48(r);
    else if (r->device & DEVICE_LBA)
        range->lba = lba28(r);
    else
        found = chs_to_lba(drive, &range->lba);
    if (found && range_ok(range->lba, range->count, ide_drive_sectors(drive)))
        return true;
    ide_fail(drive, ERR_IDNF);
    return false;
}

/* --- Reads and writes --- */

void ata_transfer(IdeDrive *drive, const AtaCommand *command)
{
    bool dma = command->flags & ATA_DMA, multiple = command->flags & ATA_MULTI;
    uint32_t block = multiple ? drive->multiple * IDE_SECTOR : IDE_SECTOR;
    Range range;

    if (multiple && !drive->multiple) {
        ide_fail(drive, ERR_ABRT);
        return;
    }
    if (!find_range(drive, command, &range))
        return;
    drive->standby = false;
    drive->xfer = (IdeTransfer){.ext = command->flags & ATA_48};
    if (command->flags & ATA_WRITE)
        ide_receive_medium(drive, range.lba * IDE_SECTOR, (uint64_t)range.count * IDE_SECTOR, block, dma,
                           command->flags & ATA_FUA);
    else
        ide_send_medium(drive, range.lba * IDE_SECTOR, (uint64_t)range.count * IDE_SECTOR, block, dma);
}

/* --- READ VERIFY SECTORS: reads, and keeps the data --- */

static void verified(BlockRequest *req, int ret)
{
    IdeDrive *drive = ide_request_drive(req);
    IdeTransfer *x = &drive->xfer;

    if (!ide_medium_moved(req, ret))
        return;
    if (x->left)
        ide_submit(drive, BLOCK_READ, x->offset, MIN(x->left, IDE_BUFFER_SIZE), verified);
    else
        ide_done(drive);
}

void ata_verify(IdeDrive *drive, const AtaCommand *command)
{
    Range range;

    if (!find_range(drive, command, &range))
        return;
    drive->xfer = (IdeTransfer){
        .to_host = true, .ext = command->flags & ATA_48,
        .offset = range.lba * IDE_SECTOR, .left = (uint64_t)range.count * IDE_SECTOR,
    };
    ide_submit(drive, BLOCK_READ, drive->xfer.offset, MIN(drive->xfer.left, IDE_BUFFER_SIZE), verified);
}

/* --- DATA SET MANAGEMENT --- */

static Range trim_entry(const IdeDrive *drive, uint32_t index)
{
    uint64_t entry = load_le(drive->buf + index * TRIM_ENTRY, TRIM_ENTRY);

    return (Range){entry & BITS(47, 0), entry >> 48}; /* a count of 0: not used */
}

static void trim_next(IdeDrive *drive);

static void trimmed(BlockRequest *req, int ret)
{
    IdeDrive *drive = ide_request_drive(req);

    if (!ide_request_ended(drive))
        return;
    if (ret < 0 && ret != -ENOTSUP)
        ide_fail(drive, ERR_ABRT);
    else
        trim_next(drive);
}

/* One range after the other; the list came in at most IDE_TRIM_BLOCKS blocks. */
static void trim_next(IdeDrive *drive)
{
    while (drive->trim_next < drive->trim_count) {
        Range range = trim_entry(drive, drive->trim_next++);

        if (!range.count)
            continue;
        ide_submit(drive, BLOCK_DISCARD, range.lba * IDE_SECTOR, (uint64_t)range.count * IDE_SECTOR, trimmed);
        return;
    }
    ide_done(drive);
}

/* All ranges are checked before the first takes effect. */
static void trim_begin(IdeDrive *drive)
{
    for (uint32_t i = 0; i < drive->trim_count; i++) {
        Range range = trim_entry(drive, i);

        if (range.count && !range_ok(range.lba, range.count, ide_drive_sectors(drive))) {
            ide_fail(drive, ERR_IDNF | ERR_ABRT);
            return;
        }
    }
    drive->trim_next = 0;
    trim_next(drive);
}

void ata_data_set_management(IdeDrive *drive, const AtaCommand *command)
{
    unsigned blocks = drive->regs.count[0] | drive->regs.count[1] << 8;

    if (!drive->conf.discard_granularity || !(drive->regs.feature[0] & 1) || !blocks || blocks > IDE_TRIM_BLOCKS) {
        ide_fail(drive, ERR_ABRT);
        return;
    }
    drive->trim_count = blocks * TRIM_ENTRIES;
    ide_receive(drive, blocks * IDE_SECTOR, IDE_SECTOR, true, trim_begin);
}
