/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Data phases: what moves between host, buffer and medium, by PIO in blocks or by DMA.
 * Source: ATA-7 volume 2, 11 (command protocols): 11.5 and 11.6 PIO, 11.7 DMA, 11.8 PACKET.
 *
 * PIO goes through the drive's buffer, a chunk of the medium at a time. DMA of the medium goes from
 * and to guest memory without a copy.
 *
 * Locking: machine_lock; the block layer's callbacks run on the main loop with it.
 */
#include <string.h>

#include "core/bits.h"
#include "ide-internal.h"

#define DMA_CHUNK (2 * MIB)

/* --- Ends --- */

static void become_idle(IdeDrive *drive, uint8_t status, uint8_t error, bool interrupt)
{
    drive->xfer = (IdeTransfer){0};
    drive->regs.status = status;
    drive->regs.error = error;
    drive->regs.intrq = interrupt;
    ide_channel_update_irq(drive->channel);
}

void ide_done(IdeDrive *drive)
{
    become_idle(drive, ST_DRDY | ST_DSC, 0, true);
}

void ide_fail(IdeDrive *drive, uint8_t error)
{
    become_idle(drive, ST_DRDY | ST_DSC | ST_ERR, error, true);
}

/* A disk's PIO data-in command ends with its last block: no further interrupt (ATA-7 volume 2, 11.5). */
static void end_of_data(IdeDrive *drive)
{
    IdeTransfer *x = &drive->xfer;

    if (x->finish)
        x->finish(drive);
    else
        become_idle(drive, ST_DRDY | ST_DSC, 0, x->dma || !x->to_host);
}

static void set_error_sector(IdeDrive *drive)
{
    IdeRegs *r = &drive->regs;
    uint64_t lba = drive->xfer.offset / IDE_SECTOR;

    r->lba_low[0] = lba;
    r->lba_mid[0] = lba >> 8;
    r->lba_high[0] = lba >> 16;
    if (drive->xfer.ext) {
        r->lba_low[1] = lba >> 24;
        r->lba_mid[1] = lba >> 32;
        r->lba_high[1] = lba >> 40;
    } else if (r->device & DEVICE_LBA) {
        r->device = (r->device & ~DEVICE_HEAD) | (lba >> 24 & DEVICE_HEAD);
    }
}

/* Writes have no error of the medium's (ACS 7.68): they are aborted. */
static void medium_failed(IdeDrive *drive, int ret)
{
    bool reading = drive->xfer.to_host;

    if (drive->is_cd) {
        atapi_medium_error(drive, ret);
        return;
    }
    set_error_sector(drive);
    ide_fail(drive, reading ? ERR_UNC : ERR_ABRT);
}

/* --- Requests to the block layer --- */

static void submit(IdeDrive *drive, BlockOp op, uint64_t offset, uint64_t bytes, const struct iovec *iov, int iovcnt,
                   void (*done)(BlockRequest *req, int ret))
{
    g_assert(!drive->in_flight);
    drive->in_flight = true;
    drive->req = (BlockRequest){
        .op = op,
        .flags = op == BLOCK_WRITE && drive->xfer.fua ? BLOCK_FUA : 0,
        .offset = offset,
        .bytes = bytes,
        .iov = iov,
        .iovcnt = iovcnt,
        .done = done,
        .opaque = drive,
    };
    blk_submit(drive->conf.blk, &drive->req);
}

static void submit_buffer(IdeDrive *drive, BlockOp op, uint64_t offset, uint64_t bytes,
                          void (*done)(BlockRequest *req, int ret))
{
    drive->xfer.phase = IDE_BUSY;
    drive->buf_iov = (struct iovec){drive->buf, bytes};
    submit(drive, op, offset, bytes, &drive->buf_iov, 1, done);
}

void ide_submit(IdeDrive *drive, BlockOp op, uint64_t offset, uint64_t bytes, void (*done)(BlockRequest *req, int ret))
{
    if (op == BLOCK_READ) {
        submit_buffer(drive, op, offset, bytes, done);
        return;
    }
    drive->xfer.phase = IDE_BUSY;
    submit(drive, op, offset, bytes, NULL, 0, done);
}

bool ide_request_ended(IdeDrive *drive)
{
    drive->in_flight = false;
    ide_bm_unmap(drive->channel, &drive->sg);
    return !blk_request_is_stale(&drive->req);
}

bool ide_medium_moved(BlockRequest *req, int ret)
{
    IdeDrive *drive = ide_request_drive(req);

    if (!ide_request_ended(drive))
        return false;
    if (ret < 0) {
        medium_failed(drive, ret);
        return false;
    }
    drive->xfer.offset += req->bytes;
    drive->xfer.left -= req->bytes;
    return true;
}

/* --- PIO --- */

static void begin_block(IdeDrive *drive, uint32_t bytes, bool interrupt)
{
    IdeTransfer *x = &drive->xfer;

    x->phase = x->to_host ? IDE_PIO_IN : IDE_PIO_OUT;
    x->end = x->pos + bytes;
    if (drive->is_cd)
        atapi_announce_block(drive, bytes);
    drive->regs.intrq = interrupt;
    ide_channel_update_irq(drive->channel);
}

static void chunk_read(BlockRequest *req, int ret)
{
    IdeDrive *drive = ide_request_drive(req);
    IdeTransfer *x = &drive->xfer;

    if (!ide_medium_moved(req, ret))
        return;
    x->filled = req->bytes;
    x->pos = 0;
    begin_block(drive, MIN(x->block, x->filled), true);
}

static void read_chunk(IdeDrive *drive)
{
    submit_buffer(drive, BLOCK_READ, drive->xfer.offset, MIN(drive->xfer.left, IDE_BUFFER_SIZE), chunk_read);
}

static void block_is_out(IdeDrive *drive)
{
    IdeTransfer *x = &drive->xfer;

    if (x->pos < x->filled)
        begin_block(drive, MIN(x->block, x->filled - x->pos), true);
    else if (x->left)
        read_chunk(drive);
    else
        end_of_data(drive);
}

static void block_written(BlockRequest *req, int ret)
{
    IdeDrive *drive = ide_request_drive(req);
    IdeTransfer *x = &drive->xfer;

    if (!ide_medium_moved(req, ret))
        return;
    x->pos = 0;
    if (x->left)
        begin_block(drive, MIN(x->block, x->left), true);
    else
        end_of_data(drive);
}

static void block_is_in(IdeDrive *drive)
{
    IdeTransfer *x = &drive->xfer;

    if (x->medium) {
        submit_buffer(drive, BLOCK_WRITE, x->offset, x->end, block_written);
        return;
    }
    x->left -= MIN(x->left, x->block);
    if (x->left)
        begin_block(drive, MIN(x->block, x->left), true);
    else
        end_of_data(drive);
}

uint16_t ide_data_read(IdeDrive *drive)
{
    IdeTransfer *x = &drive->xfer;
    uint16_t value;

    if (x->phase != IDE_PIO_IN)
        return 0;
    value = load_le(drive->buf + x->pos, x->end - x->pos > 1 ? 2 : 1); /* a packet's reply may be odd */
    x->pos = MIN(x->pos + 2, x->end);
    if (x->pos == x->end)
        block_is_out(drive);
    return value;
}

void ide_data_write(IdeDrive *drive, uint16_t value)
{
    IdeTransfer *x = &drive->xfer;

    if (x->phase != IDE_PIO_OUT)
        return;
    store_le(drive->buf + x->pos, value, 2); /* blocks to drives are even */
    x->pos += 2;
    if (x->pos == x->end)
        block_is_in(drive);
}

/* --- DMA --- */

static bool is_active(const IdeChannel *channel)
{
    return channel->bm.status & BM_ACTIVE;
}

/* A table that is too short leaves the drive waiting for more, as the wires do. */
static void table_ended(IdeDrive *drive)
{
    if (!(drive->channel->bm.status & BM_ERROR))
        return;
    if (drive->is_cd)
        atapi_check(drive, SENSE_ABORTED_COMMAND, ASC_DATA_PHASE, 0);
    else
        ide_fail(drive, ERR_ABRT);
}

static void copy_segments(IdeDrive *drive)
{
    IdeTransfer *x = &drive->xfer;

    for (unsigned i = 0; i < drive->sg.count; i++) {
        const struct iovec *v = &drive->sg.iov[i];

        if (x->to_host)
            memcpy(v->iov_base, drive->buf + x->pos, v->iov_len);
        else
            memcpy(drive->buf + x->pos, v->iov_base, v->iov_len);
        x->pos += v->iov_len;
    }
    x->left -= drive->sg.bytes;
    ide_bm_unmap(drive->channel, &drive->sg);
}

static void dma_end(IdeDrive *drive)
{
    ide_bm_end(&drive->channel->bm);
    end_of_data(drive);
}

static void dma_buffer(IdeDrive *drive)
{
    IdeTransfer *x = &drive->xfer;

    while (x->left) {
        if (!ide_bm_map(drive->channel, x->left, x->to_host, &drive->sg)) {
            table_ended(drive);
            return;
        }
        copy_segments(drive);
    }
    dma_end(drive);
}

static void dma_medium(IdeDrive *drive);

static void dma_step(IdeDrive *drive)
{
    if (drive->in_flight)
        return; /* one that was stopped: it comes back here */
    if (drive->xfer.medium)
        dma_medium(drive);
    else
        dma_buffer(drive);
}

static void dma_moved(BlockRequest *req, int ret)
{
    IdeDrive *drive = ide_request_drive(req);
    IdeTransfer *x = &drive->xfer;
    bool cancelled = x->dma_cancelled;

    x->dma_cancelled = false;
    if (cancelled) {
        if (ide_request_ended(drive) && is_active(drive->channel))
            dma_step(drive);
        return;
    }
    if (!ide_medium_moved(req, ret))
        return;
    if (x->left)
        dma_step(drive);
    else
        dma_end(drive);
}

static void dma_medium(IdeDrive *drive)
{
    IdeTransfer *x = &drive->xfer;

    if (!ide_bm_map(drive->channel, MIN(x->left, DMA_CHUNK), x->to_host, &drive->sg)) {
        table_ended(drive);
        return;
    }
    submit(drive, x->to_host ? BLOCK_READ : BLOCK_WRITE, x->offset, drive->sg.bytes, drive->sg.iov,
           (int)drive->sg.count, dma_moved);
}

static IdeDrive *dma_drive(IdeChannel *channel)
{
    for (unsigned i = 0; i < IDE_UNITS; i++) {
        if (channel->drives[i] && channel->drives[i]->xfer.phase == IDE_DMA)
            return channel->drives[i];
    }
    return NULL;
}

void ide_dma_start(IdeChannel *channel)
{
    IdeDrive *drive = dma_drive(channel);

    if (drive)
        dma_step(drive);
}

/* Guest memory is its own again when this returns. */
void ide_dma_stop(IdeChannel *channel)
{
    IdeDrive *drive = dma_drive(channel);

    if (!drive || !drive->in_flight)
        return;
    drive->xfer.dma_cancelled = true;
    blk_drain(drive->conf.blk);
}

/* --- Beginnings --- */

static void begin_dma(IdeDrive *drive)
{
    drive->xfer.phase = IDE_DMA;
    if (is_active(drive->channel))
        dma_step(drive);
}

void ide_send(IdeDrive *drive, uint32_t len, uint32_t block, bool dma, void (*finish)(IdeDrive *drive))
{
    drive->xfer = (IdeTransfer){
        .to_host = true, .dma = dma, .block = block, .left = dma ? len : 0, .filled = len, .finish = finish,
    };
    if (dma)
        begin_dma(drive);
    else
        begin_block(drive, MIN(block, len), true);
}

void ide_receive(IdeDrive *drive, uint32_t len, uint32_t block, bool dma, void (*finish)(IdeDrive *drive))
{
    drive->xfer = (IdeTransfer){.dma = dma, .block = block, .left = len, .finish = finish};
    if (dma)
        begin_dma(drive);
    else
        begin_block(drive, MIN(block, len), false);
}

void ide_send_medium(IdeDrive *drive, uint64_t offset, uint64_t bytes, uint32_t block, bool dma)
{
    drive->xfer.to_host = drive->xfer.medium = true;
    drive->xfer.dma = dma;
    drive->xfer.block = block;
    drive->xfer.offset = offset;
    drive->xfer.left = bytes;
    if (dma)
        begin_dma(drive);
    else
        read_chunk(drive);
}

void ide_receive_medium(IdeDrive *drive, uint64_t offset, uint64_t bytes, uint32_t block, bool dma, bool fua)
{
    drive->xfer.medium = true;
    drive->xfer.dma = dma;
    drive->xfer.fua = fua;
    drive->xfer.block = block;
    drive->xfer.offset = offset;
    drive->xfer.left = bytes;
    if (dma)
        begin_dma(drive);
    else
        begin_block(drive, MIN(block, bytes), false);
}

void ide_transfer_reset(IdeDrive *drive)
{
    drive->xfer = (IdeTransfer){.phase = IDE_BUSY};
    drive->regs.intrq = false;
    if (drive->conf.blk)
        blk_reset(drive->conf.blk);
}
