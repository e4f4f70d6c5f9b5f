/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The i440FX host bridge: configuration mechanism 1, and what of the RAM below 1 MiB shows.
 * Source: Intel 82441FX (PMC) data sheet 290549, 3.2 (registers), 4.1 (memory map).
 *
 * Locking: machine_lock.
 */
#ifndef HW_PCI_I440FX_H
#define HW_PCI_I440FX_H

#include "hw/pci/pci.h"

/* Configuration registers. */
enum {
    I440FX_PAM0 = 0x59, /* PAM0 to PAM6 */
    I440FX_SMRAM = 0x72,
};
#define I440FX_PAM_COUNT 7

/* A half of a PAM register: where reads and writes of a segment go. */
#define PAM_READ_RAM 0x1 /* RE */
#define PAM_WRITE_RAM 0x2 /* WE */

/* SMRAM */
#define SMRAM_C_BASE_SEG 0x02
#define SMRAM_G_SMRAME 0x08
#define SMRAM_D_LCK 0x10
#define SMRAM_D_CLS 0x20
#define SMRAM_D_OPEN 0x40

#define PAM_SEGMENTS 13
#define PAM_BASE 0xc0000u
#define PAM_SIZE 0x40000u
#define SMRAM_BASE 0xa0000u
#define SMRAM_SIZE 0x20000u
/* What the bridge lays over PCI memory: from SMRAM_BASE to 1 MiB. */
#define I440FX_WINDOW_SIZE (SMRAM_SIZE + PAM_SIZE)

typedef struct PamSegment {
    MemoryRegion ram;  /* alias: RAM, perhaps read-only */
    MemoryRegion fill; /* alias: reads go to the ROM under it, writes to RAM */
} PamSegment;

typedef struct I440fx {
    PciDevice pci;
    uint32_t confadd; /* CONFADD, port CF8h */

    /* Wiring: the board maps these. */
    PciBus bus;                    /* machine->pci from realize on */
    MemoryRegion memory, io;       /* the bus's address spaces, to lie under everything else */
    MemoryRegion window;           /* at SMRAM_BASE, over memory and under nothing */
    MemoryRegion confadd_io, confdata_io; /* 4 ports each, at CF8h and CFCh */

    /* Inside window. */
    PamSegment segment[PAM_SEGMENTS];
    MemoryRegion shadow_ram;       /* RAM from PAM_BASE to 1 MiB, seen through segment[].ram */
    MemoryRegion shadow_open;      /* nothing to read, writes go to RAM */
    MemoryRegion shadow_rom;       /* the system ROM to read, writes go to RAM */
    MemoryRegion smram;
    MemoryRegion isa_rom;          /* in memory: the system ROM below 1 MiB */
    RamBlock *ram, *rom;
    uint64_t rom_size;             /* bytes below 1 MiB; 0: no ROM */
} I440fx;

extern const DeviceType i440fx_type;

/* Before realize. ram: the machine's, whose first MiB lies behind PAM. rom: the system ROM, whose last
 * rom_size bytes (a multiple of 16 KiB, at most 128 KiB) are to show below 1 MiB; may be NULL. */
void i440fx_connect(I440fx *bridge, RamBlock *ram, RamBlock *rom, uint64_t rom_size);

#endif
