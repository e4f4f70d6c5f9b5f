/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * IDE: a controller of two channels, and up to two drives on each.
 *
 *     PiixIde (PCI function, bus-master registers)
 *        +-- IdeChannel 0: ports 1F0h..1F7h, 3F6h, ISA interrupt 14
 *        |      +-- IdeDrive 0, 1      "ide-hd" or "ide-cd"
 *        +-- IdeChannel 1: ports 170h..177h, 376h, ISA interrupt 15
 *
 * Sources: ATA/ATAPI-7 volume 1 and 2 (T13/1532D; commands, and the parallel protocol that later
 * standards left out), ATA8-ACS (T13/1699-D; commands), MMC-5 and SPC-3 (packet commands), SFF-8038i
 * and the PIIX3 data sheet 290550 (bus master). Cited below as ATA-7, ACS, MMC, SPC, SFF, PIIX3.
 *
 * A drive does one command at a time. Where it is in it is its phase:
 *
 *                     command                       command
 *            +------------------- IDLE ------------------------+-----------> DMA   DRQ: the bus
 *            v                     ^  ^                        v              |    master's turn
 *          BUSY -- data read --> PIO_IN  <- last block      PIO_OUT           |
 *     BSY   |  ^                   |  the host reads           |              |
 *           |  +--- next chunk ----+                           |              |
 *           |  +--- a block is full: to the medium ------------+              |
 *           +---------> IDLE: done or error  <--------------------------------+
 *
 * Locking: machine_lock. Resets and an aborted DMA wait for the block layer, which lets go of it; the
 * drive is BSY meanwhile and takes no command.
 */
#ifndef HW_IDE_IDE_H
#define HW_IDE_IDE_H

#include <sys/uio.h>

#include "block/conf.h"
#include "core/device.h"
#include "core/irq.h"
#include "core/memory.h"
#include "hw/pci/pci.h"

#define IDE_CHANNELS 2
#define IDE_UNITS 2
#define IDE_SECTOR 512u
#define IDE_SG_MAX 256

typedef struct IdeDrive IdeDrive;
typedef struct IdeChannel IdeChannel;
typedef struct PiixIde PiixIde;

/* A drive's command block registers. Of those that 48-bit commands take twice, [0] is what was
 * written last and [1] what before that. */
typedef struct IdeRegs {
    uint8_t error, status, device;
    uint8_t feature[2], count[2], lba_low[2], lba_mid[2], lba_high[2];
    bool intrq; /* interrupt pending */
} IdeRegs;

typedef enum IdePhase {
    IDE_IDLE,
    IDE_BUSY,
    IDE_PIO_IN,
    IDE_PIO_OUT,
    IDE_DMA,
} IdePhase;

/* The data phase of the command under way. */
typedef struct IdeTransfer {
    IdePhase phase;
    bool to_host, dma;
    bool medium;         /* the data are the medium's; else buf is all there is */
    bool fua, ext;       /* ext: a 48-bit command, for the sector number of an error */
    uint64_t offset;     /* medium: bytes, of the next chunk */
    uint64_t left;       /* bytes not yet in buf, or not yet out of it */
    uint32_t block;      /* bytes between interrupts */
    uint32_t pos, end;   /* buf: the block the host is at */
    uint32_t filled;     /* buf: what it holds */
    bool dma_cancelled;  /* the request in flight is of a transfer that was stopped */
    void (*finish)(IdeDrive *drive); /* when all data have been moved; NULL: the command is done */
} IdeTransfer;

/* Guest memory of one request. */
typedef struct IdeSg {
    struct iovec iov[IDE_SG_MAX];
    uint64_t gpa[IDE_SG_MAX];
    unsigned count;
    uint32_t bytes;
    bool to_memory;
} IdeSg;

/* What SPC calls sense data. */
typedef struct IdeSense {
    uint8_t key, asc, ascq;
} IdeSense;

/* A packet device; hw/ide/atapi.c. */
typedef struct IdeAtapi {
    bool dma;                /* of the packet command under way */
    bool data_out;           /* what the host sends is data, no packet */
    uint32_t limit;          /* bytes a PIO block may have */
    uint32_t raw_lba, raw_left; /* READ CD: sectors to come */
    uint8_t raw_parts;       /* and what of them, as in its packet */
    uint8_t recovery, retries; /* error recovery page, bytes 2 and 3; without effect */
    IdeSense sense;          /* for the next REQUEST SENSE */
    uint8_t attention_asc;   /* ASC_* of the unit attention */
    bool unit_attention;     /* the medium changed, or the device was reset, and nobody has been told */
    bool medium_event;       /* likewise for GET EVENT STATUS NOTIFICATION */
    bool eject_event;        /* the user presses the button of a locked tray */
    bool tray_open, locked;
} IdeAtapi;

struct IdeDrive {
    Device dev;

    IdeRegs regs;
    IdeTransfer xfer;
    IdeAtapi atapi;
    /* SET FEATURES, SET MULTIPLE, INITIALIZE DEVICE PARAMETERS. */
    uint8_t multiple;        /* sectors a block; 0: off */
    uint8_t pio_mode, mwdma_mode, udma_mode; /* of the last two one is MODE_NONE */
    bool look_ahead, smart, smart_autosave;
    uint8_t heads, sectors;  /* of the CHS translation */
    bool standby;            /* CHECK POWER MODE */

    /* Wiring. */
    IdeChannel *channel;     /* NULL: not attached */
    uint8_t *buf;            /* IDE_BUFFER_SIZE */
    bool is_cd;
    BlockRequest req;
    bool in_flight;          /* req is the block layer's */
    struct iovec buf_iov;
    IdeSg sg;
    uint32_t trim_next, trim_count; /* DATA SET MANAGEMENT: ranges in buf */

    /* Properties. */
    BlockConf conf;          /* blk NULL: a CD drive without one, always empty */
    char *bus_name;          /* "ide.0", "ide.1"; NULL: the first that has room */
    uint32_t unit;           /* UNIT_ANY: the first that is free */
    char *serial, *version, *model;
    uint64_t wwn;
    uint16_t rotation_rate;
    int32_t bootindex;
};

/* One channel's registers of SFF 2.1, and where it is in its table. */
typedef struct IdeBusMaster {
    uint8_t command, status;
    uint32_t table;          /* descriptor table pointer */
    uint32_t next;           /* address of the next descriptor */
    uint32_t segment, segment_left;
    bool last_segment;
    unsigned descriptors;    /* read since START: bounds the walk */
} IdeBusMaster;

struct IdeChannel {
    PiixIde *ide;
    unsigned index;
    uint8_t selected;        /* unit */
    uint8_t control;         /* device control */
    IdeBusMaster bm;
    IdeDrive *drives[IDE_UNITS];
    bool irq_level;          /* what was last on the wire, to find its rise */

    /* Wiring. */
    MemoryRegion command_io, control_io, bm_io;
    Irq irq;
};

struct PiixIde {
    PciDevice pci;
    IdeChannel channels[IDE_CHANNELS];
    MemoryRegion bar;        /* container of both bm_io */
};

/* Configuration: timing of channel n, a word at IDETIM + 2n; bit 15: the channel is decoded. */
#define PIIX_IDETIM 0x40
#define PIIX_IDETIM_ENABLE 0x8000

/* The PIIX3's IDE function, 00:01.1. Before realize: the wires of ISA interrupts 14 and 15. */
extern const DeviceType piix_ide_type;
void piix_ide_connect(PiixIde *ide, const Irq irqs[IDE_CHANNELS]);

extern const DeviceType ide_hd_type, ide_cd_type;
/* What a disk is called in the CMOS byte by which firmware chooses the geometry of INT 13h. */
enum { IDE_TRANSLATION_NONE = 0, IDE_TRANSLATION_LBA = 1 };
unsigned ide_drive_translation(const IdeDrive *drive);
/* Position of a drive among the board's four, as -drive index= and CMOS count them. */
static inline unsigned ide_drive_index(const IdeDrive *drive)
{
    return drive->channel->index * IDE_UNITS + (drive->channel->drives[1] == drive);
}

#endif
