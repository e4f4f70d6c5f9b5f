/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * An IDE controller with its drives, driven by ports as a host's driver does it. machine_lock is held
 * throughout; requests complete when a wait lets them.
 */
#ifndef TESTS_UNIT_IDE_RIG_H
#define TESTS_UNIT_IDE_RIG_H

#include "block-record.h"
#include "core/bits.h"
#include "hw/ide/ide.h"
#include "pci-rig.h"

#define DISK_SECTORS 8192u
#define CD_SECTORS 2048u

enum { DATA, ERROR, COUNT, LBA_LOW, LBA_MID, LBA_HIGH, DEVICE, STATUS };
enum { FEATURE = ERROR, COMMAND = STATUS };
#define BSY 0x80
#define DRDY 0x40
#define DRQ 0x08
#define ERR 0x01
#define LBA 0x40
#define SLAVE 0x10

enum { BM_COMMAND, BM_STATUS = 2, BM_TABLE = 4 };
#define BM_PORT 0xc000
#define BM_START 1
#define BM_TO_MEMORY 8
#define BM_ACTIVE 1
#define BM_ERROR 2
#define BM_INTR 4

/* Guest memory: the descriptor table and data. */
#define TABLE 0x10000u
#define DATA_AREA 0x20000u

/* Channel 0: a disk as master. Channel 1: a CD drive as master. */
typedef struct IdeRig {
    PciRig *pci;
    MemoryRegion ram;
    PiixIde *ide;
    IdeDrive *disk, *cd;
    BlockNode *disk_node, *cd_node;
    BlockBackend *disk_blk, *cd_blk;
    int level[IDE_CHANNELS];
    unsigned rises[IDE_CHANNELS];
} IdeRig;

int ide_rig_setup(void **state);
int ide_rig_teardown(void **state);

/* Command block of channel 0 or 1. */
uint8_t ide_in(IdeRig *rig, unsigned channel, unsigned reg);
void ide_out(IdeRig *rig, unsigned channel, unsigned reg, uint8_t value);
uint16_t ide_in16(IdeRig *rig, unsigned channel);
void ide_out16(IdeRig *rig, unsigned channel, uint16_t value);
uint8_t ide_alternate(IdeRig *rig, unsigned channel);
void ide_control(IdeRig *rig, unsigned channel, uint8_t value);
uint32_t bm_in(IdeRig *rig, unsigned channel, unsigned reg, unsigned size);
void bm_out(IdeRig *rig, unsigned channel, unsigned reg, uint32_t value, unsigned size);

/* Registers of a command that names sectors; 28 bits. */
void ide_address(IdeRig *rig, uint32_t lba, uint8_t count);
/* And of 48 bits. */
void ide_address48(IdeRig *rig, uint64_t lba, uint16_t count);
/* Until the drive is not BSY; status without acknowledging. */
uint8_t ide_wait(IdeRig *rig, unsigned channel);
/* Until the interrupt line is up; then reads status, which takes it down. */
uint8_t ide_wait_interrupt(IdeRig *rig, unsigned channel);
/* Writes the command and waits until the drive is not BSY. */
uint8_t ide_run(IdeRig *rig, unsigned channel, uint8_t command);
/* Bytes through the data port. */
void ide_read_data(IdeRig *rig, unsigned channel, void *data, unsigned bytes);
void ide_write_data(IdeRig *rig, unsigned channel, const void *data, unsigned bytes);

/* Entry n of the descriptor table. */
void ide_descriptor(IdeRig *rig, unsigned n, uint32_t addr, uint32_t bytes, bool last);
void ide_bm_begin(IdeRig *rig, unsigned channel, bool to_memory);
/* Stops the bus master; returns its status as it was. */
uint8_t ide_bm_finish(IdeRig *rig, unsigned channel);

/* Sends a packet by PIO; limit is the byte count. Returns the status, not BSY. */
uint8_t ide_packet(IdeRig *rig, const uint8_t *packet, bool dma, uint16_t limit);
/* The reply of a packet command that has one; returns its length. Fails the test if it has none. */
unsigned ide_packet_reply(IdeRig *rig, const uint8_t *packet, void *data, unsigned max);
/* REQUEST SENSE: key << 16 | asc << 8 | ascq. */
uint32_t ide_sense(IdeRig *rig);
/* Takes the unit attention every reset leaves. */
void ide_clear_attention(IdeRig *rig);

uint8_t *ide_ram(IdeRig *rig, uint32_t addr);
/* The image's bytes. */
uint8_t *ide_image(BlockNode *node, uint64_t offset);

#endif
