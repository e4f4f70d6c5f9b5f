/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * PCI buses and the functions on them.
 * Source: PCI Local Bus Specification 3.0 (PCI 3.0); MSI and MSI-X in hw/pci/msi.h.
 *
 * A PCI device embeds PciDevice as its first member and begins and ends its life with it:
 *
 *     static bool foo_realize(Device *dev, GError **errp)
 *     {
 *         Foo *foo = (Foo *)dev;
 *
 *         if (!pci_device_attach(&foo->pci, &foo_info, errp))   // slot, header, ROM
 *             return false;
 *         memory_region_init_io(&foo->mmio, &foo_ops, foo, "foo", 4096);
 *         pci_register_bar(&foo->pci, 0, 0, &foo->mmio);        // sized and mapped from here on
 *         pci_add_capability / pci_msi_init / pci_msix_init ...
 *         return true;
 *     }
 *     unrealize: pci_device_detach(&foo->pci), then release the regions
 *     reset:     pci_device_reset(&foo->pci), then the device's own registers
 *     props:     its own rows and PCI_DEVICE_PROPS;  DeviceType.bus = "pci"
 *
 * Registers: a write of the guest changes the bits in wmask and clears those in w1cmask that it
 * writes as 1; everything else is read-only. What PCI defines is set up by pci_device_attach, a
 * device adds its own bits. Writes to command and BARs move the regions in one memory transaction.
 *
 * A BAR is mapped while its command bit is on, its address is not 0 (nobody has assigned one) and it
 * ends below the end of its space. It lies under the board's own RAM and devices: a guest that puts
 * one there does not see it.
 *
 * DMA: only through pci_dma_*, which honour BUS MASTER. A refused or wrong address is a master
 * abort: false, and Received Master Abort in the status register.
 *
 * Interrupts: INTx by pci_set_irq, messages by hw/pci/msi.h. pci_set_irq is level-triggered and
 * wants machine_lock; messages may be sent on any thread.
 *
 * Locking: machine_lock, except pci_dma_* and pci_is_master (any thread).
 */
#ifndef HW_PCI_PCI_H
#define HW_PCI_PCI_H

#include "core/device.h"
#include "core/dma.h"
#include "core/irq.h"
#include "core/memory.h"
#include "hw/pci/pci-regs.h"

typedef struct PciBus PciBus;
typedef struct PciDevice PciDevice;
typedef struct PciMsi PciMsi;
typedef struct PciMsix PciMsix;

/* What a function is. 0 as subsystem_vendor: PCI_VENDOR_REDHAT_QUMRANET and PCI_SUBSYSTEM_QEMU. */
typedef struct PciInfo {
    uint16_t vendor, device;
    uint16_t subsystem_vendor, subsystem;
    uint8_t revision;
    uint32_t class_code;   /* PCI_CLASS_* */
    uint8_t interrupt_pin; /* 0: none, 1..4: INTA#..INTD# */
    uint8_t header_type;   /* PCI_HEADER_TYPE_* */
    /* Both may be NULL. before_read: a value is about to be read (refresh it in config). written:
     * len bytes at offset were written and took effect. Any range may span several registers. */
    void (*before_read)(PciDevice *pci, unsigned offset, unsigned len);
    void (*written)(PciDevice *pci, unsigned offset, unsigned len);
} PciInfo;

#define PCI_VENDOR_INTEL 0x8086
#define PCI_VENDOR_REDHAT 0x1b36
#define PCI_VENDOR_REDHAT_QUMRANET 0x1af4
#define PCI_SUBSYSTEM_QEMU 0x1100

/* A base address register, or the expansion ROM. */
typedef struct PciBar {
    MemoryRegion *mr; /* NULL: not implemented. Its size is a power of two */
    uint8_t flags;    /* PCI_BAR_IO, PCI_BAR_MEM64, PCI_BAR_PREFETCH */
    bool mapped;
    uint64_t address; /* if mapped */
} PciBar;

#define PCI_ROM_BAR PCI_BARS /* index of the expansion ROM in PciDevice.bars */

struct PciDevice {
    Device dev;

    /* Configuration space. Little-endian. */
    uint8_t config[PCI_CONFIG_SIZE];
    uint8_t wmask[PCI_CONFIG_SIZE];
    uint8_t w1cmask[PCI_CONFIG_SIZE];
    uint8_t reset_config[PCI_CONFIG_SIZE]; /* what reset restores: taken at the first one */
    uint8_t used[PCI_CONFIG_SIZE];         /* bytes that header and capabilities take */
    bool have_reset_config;

    /* Wiring. */
    const PciInfo *info;
    PciBus *bus;   /* NULL: not attached */
    uint8_t devfn; /* PCI_SLOT, PCI_FUNC */
    PciBar bars[PCI_BARS + 1];
    PciMsi *msi;   /* hw/pci/msi.h; NULL: no such capability */
    PciMsix *msix;
    RamBlock *rom_block;
    MemoryRegion rom;

    bool irq_level; /* what the device asked for with pci_set_irq */
    bool is_master; /* atomic copy of COMMAND.MASTER */

    /* Properties. */
    char *addr;        /* "SLOT[.FUNCTION]", hexadecimal; NULL: the next free slot */
    char *bus_name;    /* NULL: the root bus */
    bool multifunction;
    char *romfile;     /* "": none */
    bool rombar;       /* ROM in a BAR; off: firmware gets it by fw_cfg */
};

/* Rows for the property table of every PCI device. */
#define PCI_DEVICE_PROPS \
    {"addr", PROP_STRING, offsetof(PciDevice, addr), NULL, "slot and function in hexadecimal: 5 or 5.1", NULL, 0, 0}, \
    {"bus", PROP_STRING, offsetof(PciDevice, bus_name), NULL, "the PCI bus, pci.0 or a bridge's id", NULL, 0, 0}, \
    {"multifunction", PROP_BOOL, offsetof(PciDevice, multifunction), "off", "the slot has more functions", NULL, 0, \
     0}, \
    {"romfile", PROP_STRING, offsetof(PciDevice, romfile), NULL, "image of the option ROM; empty: none", NULL, 0, 0}, \
    {"rombar", PROP_BOOL, offsetof(PciDevice, rombar), "on", "the option ROM is in a BAR", NULL, 0, 0}

/* --- life of a function --- */

/* Finds the slot, fills in the header, loads romfile. First in realize. On failure nothing is left. */
bool pci_device_attach(PciDevice *pci, const PciInfo *info, GError **errp);
/* Unmaps all BARs, frees capabilities and the slot. First in unrealize; the device's regions are
 * its own to release after that. Safe if attach failed. */
void pci_device_detach(PciDevice *pci);
/* INTx down, messages off, BARs unmapped, registers as they were realized. First in reset. */
void pci_device_reset(PciDevice *pci);

/* --- configuration space, for the device --- */

/* In the device's own space, past the masks. Offsets are constants of ours. */
static inline uint32_t pci_get(const PciDevice *pci, unsigned offset, unsigned size)
{
    uint32_t value = 0;
    memcpy(&value, pci->config + offset, size);
    return value;
}
static inline void pci_set(PciDevice *pci, unsigned offset, unsigned size, uint32_t value)
{
    memcpy(pci->config + offset, &value, size);
}
/* Initial value, and the bits the guest may write; in realize. */
void pci_init_register(PciDevice *pci, unsigned offset, unsigned size, uint32_t value, uint32_t wmask);
/* Reserves size bytes for a capability, at offset or (0) where there is room, and puts it in front
 * of the list. Returns its offset; its body reads as zero and is read-only until the device says otherwise. */
unsigned pci_add_capability(PciDevice *pci, uint8_t id, unsigned offset, unsigned size);
/* Offset of the capability, 0 if there is none. */
unsigned pci_find_capability(const PciDevice *pci, uint8_t id);
/* True if [offset, offset + len) of a written hook touches the register. */
static inline bool pci_touches(unsigned offset, unsigned len, unsigned reg, unsigned reg_size)
{
    return offset < reg + reg_size && reg < offset + len;
}

/* --- base address registers --- */

/* index 0..5; flags: PCI_BAR_*; with PCI_BAR_MEM64 index + 1 is taken too. The region's size is a
 * power of two of at least 16 bytes (memory) or 4 (I/O, at most 256 by PCI 3.0, 6.2.5.1). */
void pci_register_bar(PciDevice *pci, unsigned index, uint8_t flags, MemoryRegion *mr);
/* Address the guest has programmed, mapped or not. */
uint64_t pci_bar_address(const PciDevice *pci, unsigned index);

/* --- bus mastering --- */

static inline bool pci_is_master(const PciDevice *pci)
{
    return __atomic_load_n(&pci->is_master, __ATOMIC_RELAXED);
}
/* As core/dma.h, through the function's BUS MASTER bit. Any thread. */
bool pci_dma_read(PciDevice *pci, uint64_t addr, void *buf, uint64_t len);
bool pci_dma_write(PciDevice *pci, uint64_t addr, const void *buf, uint64_t len);
void *pci_dma_map(PciDevice *pci, uint64_t addr, uint64_t *len, DmaDirection direction);
/* Also after BUS MASTER went off: the transfer had begun. */
void pci_dma_unmap(PciDevice *pci, uint64_t addr, uint64_t written, DmaDirection direction);

/* --- INTx --- */

/* The function's interrupt pin. INTx Disable gates it; the status register shows it. */
void pci_set_irq(PciDevice *pci, int level);
/* The pin as a wire, for devices that have an Irq inside. */
Irq pci_irq(PciDevice *pci);

/* --- buses --- */

/*
 * A bus. The root bus is embedded in the host bridge, a secondary bus in a bridge (its device is
 * then bridge). memory and io are containers in which BARs are mapped.
 *
 * An INTx pin of a function arrives at line (slot + pin + swizzle) & 3: on the root bus of the wires
 * in intx, on a secondary bus of the bridge's own pins (PCI-to-PCI Bridge 1.2, 9.1).
 */
#define PCI_INTX_LINES 4
struct PciBus {
    char *name;        /* "pci.0" */
    PciDevice *bridge; /* NULL: root */
    MemoryRegion *memory, *io;
    unsigned swizzle;
    Irq intx[PCI_INTX_LINES];
    uint64_t asserted[PCI_INTX_LINES][PCI_DEVFNS / 64]; /* functions that pull each line down */
    PciDevice *devices[PCI_DEVFNS];
    GPtrArray *children; /* of PciBus *: behind bridges of this bus */
};

void pci_bus_init(PciBus *bus, const char *name, PciDevice *bridge, MemoryRegion *memory, MemoryRegion *io);
/* Its devices are gone. */
void pci_bus_release(PciBus *bus);
/* As configuration cycles see it: 0 for the root, else what the bridge's registers say. */
uint8_t pci_bus_number(const PciBus *bus);
/* By name, among root and the buses below it; NULL if there is none. */
PciBus *pci_bus_find(PciBus *root, const char *name);
/* By the number configuration cycles use; NULL if no bridge passes them on. */
PciBus *pci_bus_find_number(PciBus *root, uint8_t number);
/* Calls fn for each function on the bus and the buses below it, in order of bus and devfn: what the
 * monitor's "info pci" walks. */
void pci_bus_foreach(PciBus *root, void (*fn)(PciDevice *pci, void *opaque), void *opaque);
/* The lowest root line n that the function's pin ends at, -1 if it has no pin: PIRQ A is 0. */
int pci_intx_root_line(const PciDevice *pci);

/* A configuration cycle of size 1, 2 or 4 that does not cross a doubleword: what a host bridge
 * starts. Absent functions read as all ones. */
uint32_t pci_config_read(PciBus *root, uint8_t bus, uint8_t devfn, unsigned offset, unsigned size);
void pci_config_write(PciBus *root, uint8_t bus, uint8_t devfn, unsigned offset, uint32_t value, unsigned size);

/* "0000:00:04.0", for messages and monitor; free with g_free. */
char *pci_device_address(const PciDevice *pci);
/* Firmware's name of the function for the boot order: "/pci@i0cf8/scsi@4". unit: by class, as Open
 * Firmware's PCI binding has it; a device behind it appends its own part. Free with g_free. */
char *pci_boot_path(const PciDevice *pci);

#endif
