/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * An IDE channel: what the host's accesses to its ports do.
 * Source: ATA-7 volume 2, 7 (registers), 9.2 (software reset), 9.12 (signature), 9.16 (one device only).
 *
 * Both drives take what is written to the command block, so each keeps registers of its own; the
 * selected one answers. Device 0 answers for a device 1 that is not there, with status 0. An empty
 * channel reads as 7Fh: its lines are pulled up, but for bit 7 (ATA-7 volume 2, 4.2.1).
 *
 * Locking: machine_lock.
 */
#include "ide-internal.h"

#define EMPTY 0x7f

/* --- The interrupt line --- */

static bool intrq_level(const IdeChannel *channel)
{
    const IdeDrive *drive = channel->drives[channel->selected];

    return drive && drive->regs.intrq && !(channel->control & CONTROL_NIEN);
}

/* The controller latches the rise in the bus master's status (SFF 2.1). */
void ide_channel_update_irq(IdeChannel *channel)
{
    bool level = intrq_level(channel);

    if (level && !channel->irq_level)
        channel->bm.status |= BM_INTR;
    channel->irq_level = level;
    irq_set(&channel->irq, level);
}

/* --- Resets --- */

void ide_drive_signature(IdeDrive *drive)
{
    IdeRegs *r = &drive->regs;

    *r = (IdeRegs){
        .error = 0x01, /* diagnostic code: passed */
        .status = drive->is_cd ? 0 : ST_DRDY | ST_DSC,
        .count = {1},
        .lba_low = {1},
        .lba_mid = {drive->is_cd ? 0x14 : 0},
        .lba_high = {drive->is_cd ? 0xeb : 0},
    };
    drive->xfer = (IdeTransfer){0};
}

static void begin_software_reset(IdeChannel *channel)
{
    for (unsigned i = 0; i < IDE_UNITS; i++) {
        if (channel->drives[i])
            ide_transfer_reset(channel->drives[i]);
    }
    ide_channel_update_irq(channel);
}

static void end_software_reset(IdeChannel *channel)
{
    channel->selected = 0;
    for (unsigned i = 0; i < IDE_UNITS; i++) {
        if (channel->drives[i])
            ide_drive_signature(channel->drives[i]);
    }
    ide_channel_update_irq(channel);
}

static void write_control(IdeChannel *channel, uint8_t value)
{
    uint8_t old = channel->control;

    channel->control = value;
    if ((value & CONTROL_SRST) && !(old & CONTROL_SRST))
        begin_software_reset(channel);
    else if (!(value & CONTROL_SRST) && (old & CONTROL_SRST))
        end_software_reset(channel);
    else
        ide_channel_update_irq(channel);
}

void ide_channel_reset(IdeChannel *channel)
{
    channel->control = 0;
    channel->selected = 0;
    ide_bm_reset(channel);
    ide_channel_update_irq(channel);
}

/* --- Command block --- */

static uint8_t drive_status(const IdeDrive *drive)
{
    switch (drive->xfer.phase) {
    case IDE_BUSY:
        return ST_BSY;
    case IDE_IDLE: /* a request of a transfer that was stopped may still be on its way */
        return drive->in_flight ? ST_BSY : drive->regs.status;
    default:
        return ST_DRDY | ST_DSC | ST_DRQ;
    }
}

static bool is_busy(const IdeDrive *drive)
{
    return drive_status(drive) & (ST_BSY | ST_DRQ);
}

static uint8_t read_status(const IdeChannel *channel)
{
    const IdeDrive *drive = channel->drives[channel->selected];

    if (drive)
        return drive_status(drive);
    return channel->drives[0] ? 0 : EMPTY;
}

/* The task file of whoever answers; NULL: nobody. */
static const IdeRegs *answering_regs(const IdeChannel *channel)
{
    const IdeDrive *drive = channel->drives[channel->selected];

    if (!drive)
        drive = channel->drives[0];
    return drive ? &drive->regs : NULL;
}

static uint8_t read_register(IdeChannel *channel, unsigned reg)
{
    const IdeRegs *r = answering_regs(channel);
    unsigned previous = channel->control & CONTROL_HOB ? 1 : 0;

    if (reg == ATA_STATUS) {
        uint8_t status = read_status(channel);

        if (channel->drives[channel->selected])
            channel->drives[channel->selected]->regs.intrq = false; /* reading status acknowledges */
        ide_channel_update_irq(channel);
        return status;
    }
    if (!r)
        return EMPTY;
    switch (reg) {
    case ATA_ERROR:
        return r->error;
    case ATA_COUNT:
        return r->count[previous];
    case ATA_LBA_LOW:
        return r->lba_low[previous];
    case ATA_LBA_MID:
        return r->lba_mid[previous];
    case ATA_LBA_HIGH:
        return r->lba_high[previous];
    default:
        return r->device | DEVICE_OBSOLETE;
    }
}

static void push(uint8_t reg[2], uint8_t value)
{
    reg[1] = reg[0];
    reg[0] = value;
}

static void write_drive_register(IdeDrive *drive, unsigned reg, uint8_t value)
{
    IdeRegs *r = &drive->regs;

    switch (reg) {
    case ATA_FEATURE:
        push(r->feature, value);
        break;
    case ATA_COUNT:
        push(r->count, value);
        break;
    case ATA_LBA_LOW:
        push(r->lba_low, value);
        break;
    case ATA_LBA_MID:
        push(r->lba_mid, value);
        break;
    case ATA_LBA_HIGH:
        push(r->lba_high, value);
        break;
    case ATA_DEVICE:
        r->device = value;
        break;
    }
}

#define EXECUTE_DEVICE_DIAGNOSTIC 0x90
#define DEVICE_RESET 0x08

static void write_command(IdeChannel *channel, uint8_t command)
{
    IdeDrive *drive = channel->drives[channel->selected];

    if (command == EXECUTE_DEVICE_DIAGNOSTIC) { /* both do it, whoever is selected; device 0 reports */
        begin_software_reset(channel);
        end_software_reset(channel);
        if (channel->drives[0])
            channel->drives[0]->regs.intrq = true;
        ide_channel_update_irq(channel);
        return;
    }
    if (!drive || (is_busy(drive) && !(command == DEVICE_RESET && drive->is_cd)))
        return;
    drive->regs.intrq = false;
    ide_channel_update_irq(channel);
    ide_command(drive, command);
}

static void write_register(IdeChannel *channel, unsigned reg, uint8_t value)
{
    channel->control &= ~CONTROL_HOB;
    if (channel->control & CONTROL_SRST)
        return;
    if (reg == ATA_COMMAND) {
        write_command(channel, value);
        return;
    }
    for (unsigned i = 0; i < IDE_UNITS; i++) {
        if (channel->drives[i] && !is_busy(channel->drives[i]))
            write_drive_register(channel->drives[i], reg, value);
    }
    if (reg == ATA_DEVICE) {
        channel->selected = value & DEVICE_DEV ? 1 : 0;
        ide_channel_update_irq(channel);
    }
}

/* The data port is 16 bits wide and stays the data port for 32; the registers behind it are bytes. */
static uint64_t command_read(void *opaque, uint64_t offset, unsigned size)
{
    IdeChannel *channel = opaque;
    IdeDrive *drive = channel->drives[channel->selected];
    uint64_t value = 0;

    if (offset == ATA_DATA) {
        value = drive ? ide_data_read(drive) : UINT16_MAX;
        return size == 4 && drive ? value | (uint32_t)ide_data_read(drive) << 16 : value;
    }
    for (unsigned i = 0; i < size; i++)
        value |= (uint64_t)read_register(channel, (offset + i) % ATA_PORTS) << 8 * i;
    return value;
}

static void command_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
    IdeChannel *channel = opaque;
    IdeDrive *drive = channel->drives[channel->selected];

    if (offset == ATA_DATA) {
        if (drive)
            ide_data_write(drive, value);
        if (drive && size == 4)
            ide_data_write(drive, value >> 16);
        return;
    }
    for (unsigned i = 0; i < size && offset + i < ATA_PORTS; i++)
        write_register(channel, offset + i, value >> 8 * i);
}

static uint64_t control_read(void *opaque, uint64_t offset, unsigned size)
{
    return read_status(opaque); /* alternate status: acknowledges nothing */
}

static void control_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
    write_control(opaque, value);
}

static const MemoryRegionOps command_ops = {
    .read = command_read,
    .write = command_write,
    .valid = {1, 4},
};

static const MemoryRegionOps control_ops = {
    .read = control_read,
    .write = control_write,
    .valid = {1, 1},
};

/* --- Life cycle --- */

void ide_channel_init(IdeChannel *channel)
{
    memory_region_init_io(&channel->command_io, &command_ops, channel, "ide-command", ATA_PORTS);
    memory_region_init_io(&channel->control_io, &control_ops, channel, "ide-control", 1);
    ide_bm_init(channel);
}

void ide_channel_release(IdeChannel *channel)
{
    memory_region_release(&channel->command_io);
    memory_region_release(&channel->control_io);
    ide_bm_release(channel);
}
