/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "ide-rig.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "block/io.h"

static const uint16_t command_ports[] = {0x1f0, 0x170}, control_ports[] = {0x3f6, 0x376};

static void irq_changed(void *opaque, int pin, int level)
{
    IdeRig *rig = opaque;

    rig->rises[pin] += level && !rig->level[pin];
    rig->level[pin] = level;
}

static void fill_image(BlockNode *node, uint64_t bytes, unsigned unit)
{
    for (uint64_t at = 0; at < bytes; at += unit) {
        memset(ide_image(node, at), (int)(at / unit & 0xff), unit);
        store_le(ide_image(node, at), at / unit, 4);
    }
}

static IdeDrive *plug(IdeRig *rig, const DeviceType *type, const char *drive, const char *bus)
{
    Device *dev = device_new(type, rig->pci->machine, NULL);
    GError *err = NULL;

    device_set_property(dev, "bus", bus, NULL);
    if (!device_set_property(dev, "drive", drive, &err) || !device_realize(dev, &err))
        fail_msg("%s", err->message);
    device_reset(dev);
    return (IdeDrive *)dev;
}

static void plug_controller(IdeRig *rig)
{
    const Irq irqs[IDE_CHANNELS] = {{irq_changed, rig, 0}, {irq_changed, rig, 1}};

    rig->ide = (PiixIde *)device_new(&piix_ide_type, rig->pci->machine, NULL);
    piix_ide_connect(rig->ide, irqs);
    assert_true(device_realize(&rig->ide->pci.dev, NULL));
    device_reset(&rig->ide->pci.dev);
    pci_config_write(&rig->pci->bus, 0, rig->ide->pci.devfn, PCI_BAR0 + 4 * 4, BM_PORT, 4);
    pci_config_write(&rig->pci->bus, 0, rig->ide->pci.devfn, PCI_COMMAND, PCI_COMMAND_IO | PCI_COMMAND_MASTER, 2);
}

int ide_rig_setup(void **state)
{
    IdeRig *rig = g_new0(IdeRig, 1);

    pci_rig_setup((void **)&rig->pci);
    memory_region_init_ram(&rig->ram, "ram", rig->pci->machine->ram, 0, rig->pci->machine->ram->size);
    memory_region_add(&rig->pci->machine->memory_root, 0, &rig->ram, 0);
    rig->disk_node = record_new(DISK_SECTORS * IDE_SECTOR);
    rig->cd_node = record_new(CD_SECTORS * 2048);
    fill_image(rig->disk_node, DISK_SECTORS * IDE_SECTOR, IDE_SECTOR);
    fill_image(rig->cd_node, CD_SECTORS * 2048, 2048);
    record_of(rig->disk_node)->logging = true;
    rig->disk_blk = blk_new("disk", rig->disk_node);
    rig->cd_blk = blk_new("cd", rig->cd_node);
    plug_controller(rig);
    rig->disk = plug(rig, &ide_hd_type, "disk", "ide.0");
    rig->cd = plug(rig, &ide_cd_type, "cd", "ide.1");
    *state = rig;
    return 0;
}

int ide_rig_teardown(void **state)
{
    IdeRig *rig = *state;
    Machine *machine = rig->pci->machine;

    while (machine->devices->len)
        device_free(g_ptr_array_index(machine->devices, machine->devices->len - 1));
    blk_unref(rig->disk_blk);
    blk_unref(rig->cd_blk);
    block_node_unref(rig->disk_node);
    block_node_unref(rig->cd_node);
    memory_region_release(&rig->ram);
    pci_rig_teardown((void **)&rig->pci);
    g_free(rig);
    return 0;
}

static uint64_t port_in(IdeRig *rig, uint16_t port, unsigned size)
{
    return rig_in(rig->pci, port, size);
}

static void port_out(IdeRig *rig, uint16_t port, uint64_t value, unsigned size)
{
    address_space_store(&rig->pci->machine->io, port, size, value);
}

uint8_t ide_in(IdeRig *rig, unsigned channel, unsigned reg)
{
    return port_in(rig, command_ports[channel] + reg, 1);
}

void ide_out(IdeRig *rig, unsigned channel, unsigned reg, uint8_t value)
{
    port_out(rig, command_ports[channel] + reg, value, 1);
}

uint16_t ide_in16(IdeRig *rig, unsigned channel)
{
    return port_in(rig, command_ports[channel], 2);
}

void ide_out16(IdeRig *rig, unsigned channel, uint16_t value)
{
    port_out(rig, command_ports[channel], value, 2);
}

uint8_t ide_alternate(IdeRig *rig, unsigned channel)
{
    return port_in(rig, control_ports[channel], 1);
}

void ide_control(IdeRig *rig, unsigned channel, uint8_t value)
{
    port_out(rig, control_ports[channel], value, 1);
}

uint32_t bm_in(IdeRig *rig, unsigned channel, unsigned reg, unsigned size)
{
    return port_in(rig, BM_PORT + 8 * channel + reg, size);
}

void bm_out(IdeRig *rig, unsigned channel, unsigned reg, uint32_t value, unsigned size)
{
    port_out(rig, BM_PORT + 8 * channel + reg, value, size);
}

void ide_address(IdeRig *rig, uint32_t lba, uint8_t count)
{
    ide_out(rig, 0, COUNT, count);
    ide_out(rig, 0, LBA_LOW, lba);
    ide_out(rig, 0, LBA_MID, lba >> 8);
    ide_out(rig, 0, LBA_HIGH, lba >> 16);
    ide_out(rig, 0, DEVICE, LBA | (lba >> 24 & 15));
}

void ide_address48(IdeRig *rig, uint64_t lba, uint16_t count)
{
    for (int i = 1; i >= 0; i--) {
        ide_out(rig, 0, COUNT, count >> 8 * i);
        ide_out(rig, 0, LBA_LOW, lba >> 24 * i);
        ide_out(rig, 0, LBA_MID, lba >> (24 * i + 8));
        ide_out(rig, 0, LBA_HIGH, lba >> (24 * i + 16));
    }
    ide_out(rig, 0, DEVICE, LBA);
}

static void let_complete(void)
{
    if (!block_loop_reap(event_loop_main()))
        block_loop_wait(event_loop_main());
}

uint8_t ide_wait(IdeRig *rig, unsigned channel)
{
    while (ide_alternate(rig, channel) & BSY)
        let_complete();
    return ide_alternate(rig, channel);
}

uint8_t ide_wait_interrupt(IdeRig *rig, unsigned channel)
{
    while (!rig->level[channel])
        let_complete();
    return ide_in(rig, channel, STATUS);
}

uint8_t ide_run(IdeRig *rig, unsigned channel, uint8_t command)
{
    ide_out(rig, channel, COMMAND, command);
    return ide_wait(rig, channel);
}

void ide_read_data(IdeRig *rig, unsigned channel, void *data, unsigned bytes)
{
    for (unsigned i = 0; i < bytes; i += 2)
        store_le((uint8_t *)data + i, ide_in16(rig, channel), MIN(bytes - i, 2));
}

void ide_write_data(IdeRig *rig, unsigned channel, const void *data, unsigned bytes)
{
    for (unsigned i = 0; i < bytes; i += 2)
        ide_out16(rig, channel, load_le((const uint8_t *)data + i, 2));
}

void ide_descriptor(IdeRig *rig, unsigned n, uint32_t addr, uint32_t bytes, bool last)
{
    store_le(ide_ram(rig, TABLE + 8 * n), addr, 4);
    store_le(ide_ram(rig, TABLE + 8 * n + 4), (bytes & 0xffff) | (last ? BIT(31) : 0), 4);
}

void ide_bm_begin(IdeRig *rig, unsigned channel, bool to_memory)
{
    bm_out(rig, channel, BM_TABLE, TABLE, 4);
    bm_out(rig, channel, BM_STATUS, BM_ERROR | BM_INTR, 1);
    bm_out(rig, channel, BM_COMMAND, to_memory ? BM_TO_MEMORY : 0, 1);
    bm_out(rig, channel, BM_COMMAND, BM_START | (to_memory ? BM_TO_MEMORY : 0), 1);
}

uint8_t ide_bm_finish(IdeRig *rig, unsigned channel)
{
    uint8_t status = bm_in(rig, channel, BM_STATUS, 1);

    bm_out(rig, channel, BM_COMMAND, 0, 1);
    return status;
}

uint8_t ide_packet(IdeRig *rig, const uint8_t *packet, bool dma, uint16_t limit)
{
    ide_out(rig, 1, FEATURE, dma);
    ide_out(rig, 1, LBA_MID, limit);
    ide_out(rig, 1, LBA_HIGH, limit >> 8);
    ide_out(rig, 1, COMMAND, 0xa0);
    assert_int_equal(ide_wait(rig, 1) & (DRQ | ERR), DRQ);
    assert_int_equal(ide_in(rig, 1, COUNT) & 3, 1); /* a command, to the drive */
    ide_write_data(rig, 1, packet, 12);
    return ide_wait(rig, 1);
}

unsigned ide_packet_reply(IdeRig *rig, const uint8_t *packet, void *data, unsigned max)
{
    unsigned len = 0, block;

    if (ide_packet(rig, packet, false, 0xfffe) & ERR)
        fail_msg("packet %#x: sense %06x", packet[0], ide_sense(rig));
    while (ide_wait(rig, 1) & DRQ) {
        assert_int_equal(ide_in(rig, 1, COUNT) & 3, 2); /* data, to the host */
        block = ide_in(rig, 1, LBA_MID) | ide_in(rig, 1, LBA_HIGH) << 8;
        assert_true(len + block <= max);
        ide_read_data(rig, 1, (uint8_t *)data + len, block);
        len += block;
    }
    assert_int_equal(ide_in(rig, 1, COUNT) & 3, 3); /* over */
    return len;
}

uint32_t ide_sense(IdeRig *rig)
{
    static const uint8_t packet[12] = {0x03, 0, 0, 0, 18};
    uint8_t data[18];

    assert_int_equal(ide_packet(rig, packet, false, 18) & (DRQ | ERR), DRQ);
    ide_read_data(rig, 1, data, 18);
    return data[2] << 16 | data[12] << 8 | data[13];
}

void ide_clear_attention(IdeRig *rig)
{
    static const uint8_t test_unit_ready[12];

    assert_true(ide_packet(rig, test_unit_ready, false, 0) & ERR);
    assert_int_equal(ide_sense(rig), 0x062900);
}

uint8_t *ide_ram(IdeRig *rig, uint32_t addr)
{
    return (uint8_t *)rig->pci->machine->ram->host + addr;
}

uint8_t *ide_image(BlockNode *node, uint64_t offset)
{
    return record_of(node)->image + offset;
}
