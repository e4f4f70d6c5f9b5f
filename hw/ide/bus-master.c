/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The bus master of a channel: its registers, descriptor tables, guest memory of a transfer.
 * Source: SFF-8038i 1.0, 1.2 (physical region descriptors), 2.1 (registers); PIIX3 2.7.
 *
 * A table lies within 64 KiB, so it has at most 8192 descriptors; one that says no end is stopped
 * there. Memory that is not RAM is a master abort: ERROR, and the drive's command fails.
 *
 * Not modelled: the direction bit; data go where the drive's command has them go.
 *
 * Locking: machine_lock.
 */
#include "core/bits.h"
#include "ide-internal.h"

enum {
    BM_COMMAND = 0,
    BM_STATUS = 2,
    BM_TABLE = 4,
    BM_PORTS = 8,
};

#define DESCRIPTOR_SIZE 8
#define DESCRIPTOR_LAST 0x80000000u
#define TABLE_SIZE 0x10000u

/* --- Descriptors --- */

void ide_bm_start(IdeBusMaster *bm)
{
    bm->next = bm->table;
    bm->segment_left = 0;
    bm->last_segment = false;
    bm->descriptors = 0;
}

static bool fail(IdeBusMaster *bm)
{
    bm->status = (bm->status & ~BM_ACTIVE) | BM_ERROR;
    return false;
}

static bool stop(IdeBusMaster *bm)
{
    bm->status &= ~BM_ACTIVE;
    return false;
}

/* Makes a segment current that has something left. */
static bool next_segment(IdeChannel *channel)
{
    IdeBusMaster *bm = &channel->bm;
    uint8_t raw[DESCRIPTOR_SIZE];
    uint32_t count;

    if (bm->segment_left)
        return true;
    if (bm->last_segment || bm->descriptors == TABLE_SIZE / DESCRIPTOR_SIZE)
        return stop(bm);
    if (!pci_dma_read(&channel->ide->pci, bm->next, raw, sizeof(raw)))
        return fail(bm);
    bm->descriptors++;
    bm->next = (bm->next & ~(TABLE_SIZE - 1)) | ((bm->next + DESCRIPTOR_SIZE) & (TABLE_SIZE - 1));
    bm->segment = load_le(raw, 4) & ~1u;
    count = load_le(raw + 4, 4);
    bm->last_segment = count & DESCRIPTOR_LAST;
    bm->segment_left = count & 0xfffe ? count & 0xfffe : TABLE_SIZE; /* 0 stands for 64 KiB */
    return true;
}

bool ide_bm_map(IdeChannel *channel, uint32_t want, bool to_memory, IdeSg *sg)
{
    IdeBusMaster *bm = &channel->bm;
    DmaDirection direction = to_memory ? DMA_FROM_DEVICE : DMA_TO_DEVICE;

    sg->count = 0;
    sg->bytes = 0;
    sg->to_memory = to_memory;
    while (sg->bytes < want && sg->count < IDE_SG_MAX && next_segment(channel)) {
        uint64_t len = MIN(bm->segment_left, want - sg->bytes);
        void *host = pci_dma_map(&channel->ide->pci, bm->segment, &len, direction);

        if (!host) {
            if (!sg->count)
                return fail(bm);
            break; /* met again when what comes before it has been moved */
        }
        sg->iov[sg->count] = (struct iovec){host, len};
        sg->gpa[sg->count++] = bm->segment;
        sg->bytes += len;
        bm->segment += len;
        bm->segment_left -= len;
    }
    return sg->count > 0;
}

/* After a failure nobody knows how much was written, so all counts as written. */
void ide_bm_unmap(IdeChannel *channel, IdeSg *sg)
{
    for (unsigned i = 0; i < sg->count; i++)
        pci_dma_unmap(&channel->ide->pci, sg->gpa[i], sg->to_memory ? sg->iov[i].iov_len : 0,
                      sg->to_memory ? DMA_FROM_DEVICE : DMA_TO_DEVICE);
    sg->count = 0;
}

void ide_bm_end(IdeBusMaster *bm)
{
    if (bm->last_segment && !bm->segment_left)
        bm->status &= ~BM_ACTIVE;
}

/* --- Registers --- */

static uint64_t bm_read(void *opaque, uint64_t offset, unsigned size)
{
    const IdeBusMaster *bm = &((IdeChannel *)opaque)->bm;

    switch (offset) {
    case BM_COMMAND:
        return bm->command;
    case BM_STATUS:
        return bm->status;
    case BM_TABLE ... BM_TABLE + 3:
        return bm->table >> 8 * (offset - BM_TABLE) & 0xff;
    }
    return 0;
}

/* START rising begins at the table's beginning; falling ends the transfer, finished or not. */
static void write_command(IdeChannel *channel, uint8_t value)
{
    IdeBusMaster *bm = &channel->bm;
    bool was_started = bm->command & BM_START;

    bm->command = value & (BM_START | BM_WRITE);
    if (!was_started && (value & BM_START)) {
        bm->status |= BM_ACTIVE;
        ide_bm_start(bm);
        ide_dma_start(channel);
    } else if (was_started && !(value & BM_START)) {
        bm->status &= ~BM_ACTIVE;
        ide_dma_stop(channel);
    }
}

static void bm_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
    IdeChannel *channel = opaque;
    IdeBusMaster *bm = &channel->bm;
    unsigned shift;

    switch (offset) {
    case BM_COMMAND:
        write_command(channel, value);
        break;
    case BM_STATUS:
        bm->status &= ~(value & (BM_ERROR | BM_INTR));
        bm->status = (bm->status & ~BM_CAPABLE) | (value & BM_CAPABLE);
        break;
    case BM_TABLE ... BM_TABLE + 3:
        shift = 8 * (offset - BM_TABLE);
        bm->table = (bm->table & ~(0xffu << shift)) | (uint32_t)(value & 0xff) << shift;
        bm->table &= ~3u;
        break;
    }
}

static const MemoryRegionOps bm_ops = {
    .read = bm_read,
    .write = bm_write,
    .valid = {1, 4},
    .impl = {1, 1},
};

void ide_bm_reset(IdeChannel *channel)
{
    channel->bm = (IdeBusMaster){0};
}

void ide_bm_init(IdeChannel *channel)
{
    memory_region_init_io(&channel->bm_io, &bm_ops, channel, "ide-bus-master", BM_PORTS);
}

void ide_bm_release(IdeChannel *channel)
{
    memory_region_release(&channel->bm_io);
}
