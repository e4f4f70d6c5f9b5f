/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The PIIX3's IDE function (82371SB, function 1): legacy ports and interrupts, bus master.
 * Source: data sheet 290550, 2.3 (configuration), 2.7 (bus master); SFF-8038i.
 *
 * The legacy ports are decoded while COMMAND.IO is on. The data sheet has IDETIM bit 15 gate each
 * channel's; firmware for this board (OVMF) does not set it and finds its drives, so it is a register
 * only. Timings are registers only too.
 *
 * Locking: machine_lock.
 */
#include "core/bits.h"
#include "core/machine.h"
#include "ide-internal.h"

#define REG_SIDETIM 0x44

#define CLASS_IDE_BUS_MASTER 0x010180 /* both channels at legacy addresses for good */
#define BAR_BUS_MASTER 4
#define BM_CHANNEL_PORTS 8

static const struct {
    uint16_t command, control;
} legacy[IDE_CHANNELS] = {
    {0x1f0, 0x3f6},
    {0x170, 0x376},
};

static void update_decoding(PiixIde *ide)
{
    bool on = pci_get(&ide->pci, PCI_COMMAND, 2) & PCI_COMMAND_IO;

    for (unsigned i = 0; i < IDE_CHANNELS; i++) {
        memory_region_set_enabled(&ide->channels[i].command_io, on);
        memory_region_set_enabled(&ide->channels[i].control_io, on);
    }
}

static void written(PciDevice *pci, unsigned offset, unsigned len)
{
    if (pci_touches(offset, len, PCI_COMMAND, 2))
        update_decoding((PiixIde *)pci);
}

void piix_ide_connect(PiixIde *ide, const Irq irqs[IDE_CHANNELS])
{
    for (unsigned i = 0; i < IDE_CHANNELS; i++)
        ide->channels[i].irq = irqs[i];
}

static const PciInfo info = {
    .vendor = PCI_VENDOR_INTEL,
    .device = 0x7010,
    .class_code = CLASS_IDE_BUS_MASTER,
    .written = written,
};

static void init_channel(PiixIde *ide, unsigned index)
{
    IdeChannel *channel = &ide->channels[index];
    MemoryRegion *io = &ide->pci.dev.machine->io_root;

    channel->ide = ide;
    channel->index = index;
    ide_channel_init(channel);
    memory_region_add(&ide->bar, index * BM_CHANNEL_PORTS, &channel->bm_io, 0);
    memory_region_add(io, legacy[index].command, &channel->command_io, 0);
    memory_region_add(io, legacy[index].control, &channel->control_io, 0);
}

static bool piix_ide_realize(Device *dev, GError **errp)
{
    PiixIde *ide = (PiixIde *)dev;

    if (!pci_device_attach(&ide->pci, &info, errp))
        return false;
    pci_set(&ide->pci, PCI_STATUS, 2, PCI_STATUS_DEVSEL_MEDIUM | PCI_STATUS_FAST_BACK);
    pci_init_register(&ide->pci, PIIX_IDETIM, 4, 0, UINT32_MAX);
    pci_init_register(&ide->pci, REG_SIDETIM, 1, 0, 0xff);
    memory_region_init_container(&ide->bar, "ide-bus-master", IDE_CHANNELS * BM_CHANNEL_PORTS);
    memory_transaction_begin();
    for (unsigned i = 0; i < IDE_CHANNELS; i++)
        init_channel(ide, i);
    pci_register_bar(&ide->pci, BAR_BUS_MASTER, PCI_BAR_IO, &ide->bar);
    update_decoding(ide);
    memory_transaction_commit();
    return true;
}

static void piix_ide_unrealize(Device *dev)
{
    PiixIde *ide = (PiixIde *)dev;

    pci_device_detach(&ide->pci);
    for (unsigned i = 0; i < IDE_CHANNELS; i++) {
        IdeChannel *channel = &ide->channels[i];

        memory_region_remove(&channel->command_io);
        memory_region_remove(&channel->control_io);
        memory_region_remove(&channel->bm_io);
        ide_channel_release(channel);
    }
    memory_region_release(&ide->bar);
}

static void piix_ide_reset(Device *dev)
{
    PiixIde *ide = (PiixIde *)dev;

    pci_device_reset(&ide->pci);
    update_decoding(ide);
    for (unsigned i = 0; i < IDE_CHANNELS; i++)
        ide_channel_reset(&ide->channels[i]);
}

static const DeviceWire wires[] = {
    {"irq0", offsetof(PiixIde, channels[0].irq)},
    {"irq1", offsetof(PiixIde, channels[1].irq)},
    {0},
};

static const Property props[] = {
    PCI_DEVICE_PROPS,
    {0},
};

const DeviceType piix_ide_type = {
    .name = "piix3-ide",
    .desc = "IDE controller of the PIIX3",
    .bus = "pci",
    .instance_size = sizeof(PiixIde),
    .props = props,
    .wires = wires,
    .realize = piix_ide_realize,
    .unrealize = piix_ide_unrealize,
    .reset = piix_ide_reset,
};
