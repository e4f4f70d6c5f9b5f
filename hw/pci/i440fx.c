/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The i440FX host bridge (82441FX PMC).
 * Source: data sheet 290549: 3.1 (CONFADD, CONFDATA), 3.2 (configuration registers), 3.2.18 (PAM),
 * 3.2.24 (SMRAM), 4.1 (memory map).
 *
 * PAM registers decide for each segment between C0000h and FFFFFh whether reads and writes go to RAM
 * or to the bus, where the system ROM is:
 *
 *     RE WE
 *     0  0   bus             neither alias is on
 *     1  0   RAM, protected  ram, read-only
 *     0  1   fill            reads the ROM, writes the RAM behind it: a BIOS copies itself this way
 *     1  1   RAM             ram
 *
 * Adjacent segments in the same state are one range of the flat view, as their aliases have one target.
 *
 * Not modelled: DRAM timing, row boundaries and error reporting (registers keep nothing and read as after
 * reset), SMM itself: SMRAM shows with D_OPEN only. A BAR below 1 MiB is not seen through a segment in the
 * fill state.
 *
 * Locking: machine_lock.
 */
#include "hw/pci/i440fx.h"

#include "core/bits.h"
#include "core/dma.h"
#include "core/machine.h"
#include "core/ram.h"

#define CONFADD_CONE BIT(31) /* configuration enable */
#define CONFADD_MASK 0x80fffffcu
#define CONFADD_BUS(v) ((v) >> 16 & 0xff)
#define CONFADD_DEVFN(v) ((v) >> 8 & 0xff)
#define CONFADD_REGISTER(v) ((v) & 0xfc)

/* Segment n is half a PAM register: the upper half of PAM0, then both halves of PAM1 to PAM6. */
static const struct {
    uint32_t base, size;
} segments[PAM_SEGMENTS] = {
    {0xf0000, 0x10000}, {0xc0000, 0x4000}, {0xc4000, 0x4000}, {0xc8000, 0x4000}, {0xcc000, 0x4000},
    {0xd0000, 0x4000},  {0xd4000, 0x4000}, {0xd8000, 0x4000}, {0xdc000, 0x4000}, {0xe0000, 0x4000},
    {0xe4000, 0x4000},  {0xe8000, 0x4000}, {0xec000, 0x4000},
};

/* --- configuration mechanism 1 --- */

static uint64_t confadd_read(void *opaque, uint64_t offset, unsigned size)
{
    const I440fx *bridge = opaque;
    return bridge->confadd;
}

static void confadd_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
    I440fx *bridge = opaque;
    bridge->confadd = value & CONFADD_MASK;
}

static uint64_t confdata_read(void *opaque, uint64_t offset, unsigned size)
{
    I440fx *bridge = opaque;
    uint32_t address = bridge->confadd;

    if (!(address & CONFADD_CONE))
        return size_mask(size);
    return pci_config_read(&bridge->bus, CONFADD_BUS(address), CONFADD_DEVFN(address),
                           CONFADD_REGISTER(address) + offset, size);
}

static void confdata_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
    I440fx *bridge = opaque;
    uint32_t address = bridge->confadd;

    if (address & CONFADD_CONE)
        pci_config_write(&bridge->bus, CONFADD_BUS(address), CONFADD_DEVFN(address),
                         CONFADD_REGISTER(address) + offset, value, size);
}

/* 3.1.1: only a doubleword reaches CONFADD; other accesses are the ISA bus's. */
static const MemoryRegionOps confadd_ops = {
    .read = confadd_read,
    .write = confadd_write,
    .valid = {4, 4},
    .impl = {4, 4},
};

static const MemoryRegionOps confdata_ops = {
    .read = confdata_read,
    .write = confdata_write,
    .valid = {1, 4},
    .impl = {1, 4},
};

/* --- RAM below 1 MiB --- */

static unsigned segment_attributes(const I440fx *bridge, unsigned segment)
{
    unsigned half = segment + 1;
    return bridge->pci.config[I440FX_PAM0 + half / 2] >> (half & 1 ? 4 : 0) & (PAM_READ_RAM | PAM_WRITE_RAM);
}

/* What was written to RAM that did not show: whoever keeps something about these bytes hears of it
 * now that they show again. */
static void tell_filled(I440fx *bridge, unsigned segment)
{
    dma_unmap(&bridge->pci.dev.machine->memory, segments[segment].base, segments[segment].size, DMA_FROM_DEVICE);
}

static void update_segments(I440fx *bridge)
{
    bool was_filling[PAM_SEGMENTS];

    memory_transaction_begin();
    for (unsigned i = 0; i < PAM_SEGMENTS; i++) {
        PamSegment *segment = &bridge->segment[i];
        unsigned attributes = segment_attributes(bridge, i);

        was_filling[i] = segment->fill.enabled;
        memory_region_set_enabled(&segment->ram, attributes & PAM_READ_RAM);
        memory_region_set_read_only(&segment->ram, !(attributes & PAM_WRITE_RAM));
        memory_region_set_enabled(&segment->fill, attributes == PAM_WRITE_RAM);
    }
    memory_region_set_enabled(&bridge->smram, bridge->pci.config[I440FX_SMRAM] & SMRAM_D_OPEN);
    memory_transaction_commit();
    for (unsigned i = 0; i < PAM_SEGMENTS; i++) {
        if (was_filling[i])
            tell_filled(bridge, i);
    }
}

/* 3.2.24: D_LCK closes SMRAM for good; until the next reset nothing of the register can be changed. */
static void smram_written(I440fx *bridge)
{
    uint8_t *smram = &bridge->pci.config[I440FX_SMRAM];

    if (!(*smram & SMRAM_D_LCK))
        return;
    *smram &= ~SMRAM_D_OPEN;
    bridge->pci.wmask[I440FX_SMRAM] = SMRAM_D_CLS;
}

static void i440fx_written(PciDevice *pci, unsigned offset, unsigned len)
{
    I440fx *bridge = (I440fx *)pci;

    if (pci_touches(offset, len, I440FX_SMRAM, 1))
        smram_written(bridge);
    if (pci_touches(offset, len, I440FX_PAM0, I440FX_PAM_COUNT) || pci_touches(offset, len, I440FX_SMRAM, 1))
        update_segments(bridge);
}

static uint64_t open_read(void *opaque, uint64_t offset, unsigned size)
{
    return size_mask(size);
}

static void fill_write(I440fx *bridge, uint64_t gpa, uint64_t value, unsigned size)
{
    store_le(bridge->ram->host + gpa, value, size);
}

static void open_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
    fill_write(opaque, PAM_BASE + offset, value, size);
}

static void rom_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
    I440fx *bridge = opaque;
    fill_write(bridge, MIB - bridge->rom_size + offset, value, size);
}

static const MemoryRegionOps open_ops = {
    .read = open_read,
    .write = open_write,
    .valid = {1, 8},
    .impl = {1, 8},
};

static const MemoryRegionOps rom_ops = {
    .write = rom_write,
    .valid = {1, 8},
    .impl = {1, 8},
};

/* --- life cycle --- */

void i440fx_connect(I440fx *bridge, RamBlock *ram, RamBlock *rom, uint64_t rom_size)
{
    bridge->ram = ram;
    bridge->rom = rom;
    bridge->rom_size = rom ? rom_size : 0;
}

static const PciInfo i440fx_info = {
    .vendor = PCI_VENDOR_INTEL,
    .device = 0x1237,
    .revision = 2,
    .class_code = PCI_CLASS_BRIDGE_HOST,
    .written = i440fx_written,
};

static void init_registers(I440fx *bridge)
{
    PciDevice *pci = &bridge->pci;

    /* The bridge always masters the bus and always decodes memory. */
    pci_init_register(pci, PCI_COMMAND, 2, PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER, PCI_COMMAND_SERR);
    pci_set(pci, PCI_STATUS, 2, PCI_STATUS_DEVSEL_MEDIUM | PCI_STATUS_FAST_BACK);
    pci_init_register(pci, I440FX_PAM0, 1, 0, 0x30);
    for (unsigned i = 1; i < I440FX_PAM_COUNT; i++)
        pci_init_register(pci, I440FX_PAM0 + i, 1, 0, 0x33);
    pci_init_register(pci, I440FX_SMRAM, 1, SMRAM_C_BASE_SEG,
                      SMRAM_D_OPEN | SMRAM_D_CLS | SMRAM_D_LCK | SMRAM_G_SMRAME);
}

static void init_segment(I440fx *bridge, unsigned i)
{
    PamSegment *segment = &bridge->segment[i];
    uint32_t base = segments[i].base, size = segments[i].size;
    uint32_t rom_base = MIB - bridge->rom_size;
    bool over_rom = base >= rom_base;

    memory_region_init_alias(&segment->ram, "pam-ram", &bridge->shadow_ram, base - PAM_BASE, size);
    memory_region_init_alias(&segment->fill, "pam-fill", over_rom ? &bridge->shadow_rom : &bridge->shadow_open,
                             base - (over_rom ? rom_base : PAM_BASE), size);
    memory_region_set_enabled(&segment->ram, false);
    memory_region_set_enabled(&segment->fill, false);
    memory_region_add(&bridge->window, base - SMRAM_BASE, &segment->ram, 0);
    memory_region_add(&bridge->window, base - SMRAM_BASE, &segment->fill, 0);
}

/* On the bus, and the same behind segments in the fill state. */
static void init_rom(I440fx *bridge)
{
    uint64_t offset = bridge->rom->size - bridge->rom_size;

    memory_region_init_rom(&bridge->isa_rom, "isa-bios", bridge->rom, offset, bridge->rom_size);
    memory_region_add(&bridge->memory, MIB - bridge->rom_size, &bridge->isa_rom, 1);
    memory_region_init_rom_device(&bridge->shadow_rom, &rom_ops, bridge, "pam-rom", bridge->rom, offset,
                                  bridge->rom_size);
}

static void init_window(I440fx *bridge)
{
    memory_region_init_container(&bridge->window, "i440fx-window", I440FX_WINDOW_SIZE);
    memory_region_init_ram(&bridge->shadow_ram, "ram-shadow", bridge->ram, PAM_BASE, PAM_SIZE);
    memory_region_init_io(&bridge->shadow_open, &open_ops, bridge, "pam-open", PAM_SIZE);
    if (bridge->rom_size)
        init_rom(bridge);
    for (unsigned i = 0; i < PAM_SEGMENTS; i++)
        init_segment(bridge, i);
    memory_region_init_ram(&bridge->smram, "smram", bridge->ram, SMRAM_BASE, SMRAM_SIZE);
    memory_region_set_enabled(&bridge->smram, false);
    memory_region_add(&bridge->window, 0, &bridge->smram, 0);
}

static void release_window(I440fx *bridge)
{
    for (unsigned i = 0; i < PAM_SEGMENTS; i++) {
        memory_region_release(&bridge->segment[i].ram);
        memory_region_release(&bridge->segment[i].fill);
    }
    memory_region_release(&bridge->smram);
    if (bridge->rom_size) {
        memory_region_release(&bridge->shadow_rom);
        memory_region_release(&bridge->isa_rom);
    }
    memory_region_release(&bridge->shadow_open);
    memory_region_release(&bridge->shadow_ram);
    memory_region_release(&bridge->window);
}

static bool i440fx_realize(Device *dev, GError **errp)
{
    I440fx *bridge = (I440fx *)dev;

    memory_region_init_container(&bridge->memory, "pci", MEMORY_SPACE_SIZE);
    memory_region_init_container(&bridge->io, "pci-io", IO_SPACE_SIZE);
    pci_bus_init(&bridge->bus, "pci.0", NULL, &bridge->memory, &bridge->io);
    dev->machine->pci = &bridge->bus;
    if (!pci_device_attach(&bridge->pci, &i440fx_info, errp)) {
        dev->machine->pci = NULL;
        pci_bus_release(&bridge->bus);
        memory_region_release(&bridge->memory);
        memory_region_release(&bridge->io);
        return false;
    }
    init_registers(bridge);
    memory_region_init_io(&bridge->confadd_io, &confadd_ops, bridge, "pci-confadd", 4);
    memory_region_init_io(&bridge->confdata_io, &confdata_ops, bridge, "pci-confdata", 4);
    init_window(bridge);
    return true;
}

static void i440fx_unrealize(Device *dev)
{
    I440fx *bridge = (I440fx *)dev;

    pci_device_detach(&bridge->pci);
    release_window(bridge);
    memory_region_release(&bridge->confadd_io);
    memory_region_release(&bridge->confdata_io);
    dev->machine->pci = NULL;
    pci_bus_release(&bridge->bus);
    memory_region_release(&bridge->memory);
    memory_region_release(&bridge->io);
}

static void i440fx_reset(Device *dev)
{
    I440fx *bridge = (I440fx *)dev;

    pci_device_reset(&bridge->pci);
    bridge->pci.wmask[I440FX_SMRAM] = SMRAM_D_OPEN | SMRAM_D_CLS | SMRAM_D_LCK | SMRAM_G_SMRAME;
    bridge->confadd = 0;
    update_segments(bridge);
}

static const Property i440fx_props[] = {
    PCI_DEVICE_PROPS,
    {0},
};

const DeviceType i440fx_type = {
    .name = "i440FX",
    .desc = "i440FX host bridge",
    .bus = "pci",
    .instance_size = sizeof(I440fx),
    .props = i440fx_props,
    .realize = i440fx_realize,
    .unrealize = i440fx_unrealize,
    .reset = i440fx_reset,
};
