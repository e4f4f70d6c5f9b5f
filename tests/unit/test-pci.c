/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * PCI functions and buses (hw/pci): configuration space, BARs, INTx, bus mastering, slots.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>
#include <unistd.h>

#include "core/ram.h"
#include "core/thread.h"
#include "pci-rig.h"

#define NOTHING 0xffffffff

/* --- configuration space --- */

static void the_header_says_what_the_function_is(void **state)
{
    RigDevice *dev = pci_rig_plug(*state, "addr=5", NULL);

    assert_int_equal(rig_read(*state, dev, PCI_VENDOR_ID, 4), 0x56781234);
    assert_int_equal(rig_read(*state, dev, PCI_REVISION_ID, 4), 0xff000003);
    assert_int_equal(rig_read(*state, dev, PCI_SUBSYSTEM_VENDOR_ID, 4), 0x11001af4);
    assert_int_equal(rig_read(*state, dev, PCI_INTERRUPT_PIN, 1), 1);
    assert_int_equal(rig_read(*state, dev, PCI_COMMAND, 2), 0);
    assert_int_equal(rig_read(*state, dev, PCI_STATUS, 2), PCI_STATUS_CAP_LIST);
}

static void an_absent_function_reads_as_all_ones(void **state)
{
    PciRig *rig = *state;

    assert_int_equal(pci_config_read(&rig->bus, 0, PCI_DEVFN(7, 0), 0, 4), NOTHING);
    assert_int_equal(pci_config_read(&rig->bus, 0, PCI_DEVFN(7, 0), 0, 2), 0xffff);
    assert_int_equal(pci_config_read(&rig->bus, 9, PCI_DEVFN(0, 0), 0, 4), NOTHING);
    pci_config_write(&rig->bus, 9, 0, 4, NOTHING, 4);
}

static void read_only_registers_ignore_writes(void **state)
{
    RigDevice *dev = pci_rig_plug(*state, NULL, NULL);

    for (unsigned i = 0; i < PCI_CONFIG_SIZE; i += 4)
        rig_write(*state, dev, i, NOTHING, 4);
    assert_int_equal(rig_read(*state, dev, PCI_VENDOR_ID, 4), 0x56781234);
    assert_int_equal(rig_read(*state, dev, PCI_REVISION_ID, 4), 0xff000003);
    assert_int_equal(rig_read(*state, dev, PCI_HEADER_TYPE, 1), 0);
    assert_int_equal(rig_read(*state, dev, PCI_SUBSYSTEM_VENDOR_ID, 4), 0x11001af4);
    assert_int_equal(rig_read(*state, dev, PCI_INTERRUPT_PIN, 1), 1);
    assert_int_equal(rig_read(*state, dev, PCI_INTERRUPT_LINE, 1), 0xff);
    assert_int_equal(rig_read(*state, dev, PCI_STATUS, 2), PCI_STATUS_CAP_LIST);
}

static void command_bits_exist_only_for_what_the_function_decodes(void **state)
{
    RigDevice *dev = pci_rig_plug(*state, NULL, NULL);

    rig_write(*state, dev, PCI_COMMAND, 0xffff, 2);
    assert_int_equal(rig_read(*state, dev, PCI_COMMAND, 2), 0x075f);
}

static void the_capability_list_can_be_walked(void **state)
{
    RigDevice *dev = pci_rig_plug(*state, NULL, NULL);
    unsigned seen = 0, at = rig_read(*state, dev, PCI_CAPABILITY_LIST, 1);

    for (int hops = 0; at && hops < 48; hops++) {
        seen |= 1u << rig_read(*state, dev, at, 1);
        at = rig_read(*state, dev, at + PCI_CAP_NEXT, 1);
    }
    assert_int_equal(seen, 1u << PCI_CAP_ID_MSI | 1u << PCI_CAP_ID_MSIX);
    assert_int_equal(pci_find_capability(&dev->pci, PCI_CAP_ID_PM), 0);
}

static void capabilities_fill_the_space_without_overlap(void **state)
{
    RigDevice *dev = pci_rig_plug(*state, "no-msi=on", NULL);
    unsigned fixed = pci_add_capability(&dev->pci, PCI_CAP_ID_PM, 0x50, 8);

    assert_int_equal(fixed, 0x50);
    assert_int_equal(pci_add_capability(&dev->pci, PCI_CAP_ID_VENDOR, 0, 16), 0x40);
    assert_int_equal(pci_add_capability(&dev->pci, PCI_CAP_ID_VENDOR, 0, 13), 0x58);
    assert_int_equal(pci_add_capability(&dev->pci, PCI_CAP_ID_VENDOR, 0, 4), 0x68);
}

static void status_bits_are_cleared_by_writing_ones(void **state)
{
    RigDevice *dev = pci_rig_plug(*state, NULL, NULL);
    uint8_t byte;

    assert_false(pci_dma_read(&dev->pci, 0, &byte, 1));
    assert_true(rig_read(*state, dev, PCI_STATUS, 2) & PCI_STATUS_REC_MASTER_ABORT);
    rig_write(*state, dev, PCI_STATUS, PCI_STATUS_SIG_TARGET_ABORT, 2);
    assert_true(rig_read(*state, dev, PCI_STATUS, 2) & PCI_STATUS_REC_MASTER_ABORT);
    rig_write(*state, dev, PCI_STATUS, PCI_STATUS_REC_MASTER_ABORT, 2);
    assert_false(rig_read(*state, dev, PCI_STATUS, 2) & PCI_STATUS_REC_MASTER_ABORT);
}

static void the_hook_is_called_after_each_write(void **state)
{
    RigDevice *dev = pci_rig_plug(*state, NULL, NULL);

    rig_write(*state, dev, PCI_COMMAND, 2, 2);
    rig_write(*state, dev, PCI_INTERRUPT_LINE, 11, 1);
    assert_int_equal(dev->written, 2);
}

static void a_broken_function_is_absent_until_its_reset(void **state)
{
    RigDevice *dev = pci_rig_plug(*state, NULL, NULL);

    device_set_broken(&dev->pci.dev, "test");
    assert_int_equal(rig_read(*state, dev, PCI_VENDOR_ID, 4), NOTHING);
    device_reset(&dev->pci.dev);
    assert_int_equal(rig_read(*state, dev, PCI_VENDOR_ID, 4), 0x56781234);
}

static void reset_restores_every_register_and_unmaps(void **state)
{
    RigDevice *dev = pci_rig_plug(*state, NULL, NULL);
    uint8_t before[PCI_CONFIG_SIZE];

    memcpy(before, dev->pci.config, sizeof(before));
    rig_write(*state, dev, PCI_BAR0, 0xe0000000, 4);
    for (unsigned i = 0; i < PCI_CONFIG_SIZE; i += 4)
        rig_write(*state, dev, i, 0xa5a5a5a7, 4);
    pci_set_irq(&dev->pci, 1);
    device_reset(&dev->pci.dev);
    assert_memory_equal(dev->pci.config, before, sizeof(before));
    assert_false(dev->pci.bars[0].mapped);
    assert_false(pci_is_master(&dev->pci));
    assert_int_equal(((PciRig *)*state)->line[0] | ((PciRig *)*state)->line[3], 0);
}

/* --- BARs --- */

static void sizing_reads_back_the_size(void **state)
{
    RigDevice *dev = pci_rig_plug(*state, NULL, NULL);

    for (unsigned i = 0; i < PCI_BARS; i++)
        rig_write(*state, dev, PCI_BAR0 + 4 * i, NOTHING, 4);
    assert_int_equal(rig_read(*state, dev, PCI_BAR0, 4), 0xfffff000);
    assert_int_equal(rig_read(*state, dev, PCI_BAR0 + 4, 4), 0xffffffe1);
    assert_int_equal(rig_read(*state, dev, PCI_BAR0 + 8, 4), 0xffff000c);
    assert_int_equal(rig_read(*state, dev, PCI_BAR0 + 12, 4), 0xffffffff);
    assert_int_equal(rig_read(*state, dev, PCI_BAR0 + 16, 4), 0xfffff000);
    assert_int_equal(rig_read(*state, dev, PCI_BAR0 + 20, 4), 0);
}

static void a_bar_is_mapped_while_its_command_bit_is_on(void **state)
{
    RigDevice *dev = pci_rig_plug(*state, NULL, NULL);

    rig_write(*state, dev, PCI_BAR0, 0xe0000000, 4);
    rig_write(*state, dev, PCI_BAR0 + 4, 0xc000, 4);
    assert_int_equal(rig_load(*state, 0xe0000010, 4), NOTHING);
    rig_write(*state, dev, PCI_COMMAND, PCI_COMMAND_MEMORY, 2);
    assert_int_equal(rig_load(*state, 0xe0000010, 4), 0xa0000010);
    assert_int_equal(rig_in(*state, 0xc004, 4), NOTHING);
    rig_write(*state, dev, PCI_COMMAND, PCI_COMMAND_IO, 2);
    assert_int_equal(rig_load(*state, 0xe0000010, 4), NOTHING);
    assert_int_equal(rig_in(*state, 0xc004, 4), 0xa1000004);
}

static void a_bar_moves_with_its_register(void **state)
{
    RigDevice *dev = pci_rig_plug(*state, NULL, NULL);

    rig_write(*state, dev, PCI_COMMAND, PCI_COMMAND_MEMORY, 2);
    rig_write(*state, dev, PCI_BAR0, 0xe0000000, 4);
    rig_write(*state, dev, PCI_BAR0, 0xe0004000, 4);
    assert_int_equal(rig_load(*state, 0xe0000000, 4), NOTHING);
    assert_int_equal(rig_load(*state, 0xe0004000, 4), 0xa0000000);
    assert_int_equal(pci_bar_address(&dev->pci, 0), 0xe0004000);
}

static void a_64_bit_bar_lies_above_4_gib(void **state)
{
    RigDevice *dev = pci_rig_plug(*state, NULL, NULL);

    rig_write(*state, dev, PCI_COMMAND, PCI_COMMAND_MEMORY, 2);
    rig_write(*state, dev, PCI_BAR0 + 8, 0x00020000, 4);
    rig_write(*state, dev, PCI_BAR0 + 12, 0x80, 4);
    assert_int_equal(rig_load(*state, 0x8000020004, 4), 0xa2000004);
    rig_write(*state, dev, PCI_BAR0 + 12, NOTHING, 4);
    assert_false(dev->pci.bars[2].mapped);
}

static void bytes_of_a_bar_can_be_written_alone(void **state)
{
    RigDevice *dev = pci_rig_plug(*state, NULL, NULL);

    rig_write(*state, dev, PCI_COMMAND, PCI_COMMAND_MEMORY, 2);
    rig_write(*state, dev, PCI_BAR0 + 3, 0xe1, 1);
    rig_write(*state, dev, PCI_BAR0, 0xffff, 2);
    assert_int_equal(rig_read(*state, dev, PCI_BAR0, 4), 0xe100f000);
    assert_int_equal(rig_load(*state, 0xe100f000, 4), 0xa0000000);
}

static void an_unassigned_or_sizing_address_is_not_mapped(void **state)
{
    RigDevice *dev = pci_rig_plug(*state, NULL, NULL);

    rig_write(*state, dev, PCI_COMMAND, PCI_COMMAND_MEMORY | PCI_COMMAND_IO, 2);
    for (unsigned i = 0; i <= PCI_ROM_BAR; i++)
        assert_false(dev->pci.bars[i].mapped);
    for (unsigned i = 0; i < PCI_BARS; i++)
        rig_write(*state, dev, PCI_BAR0 + 4 * i, NOTHING, 4);
    for (unsigned i = 0; i <= PCI_ROM_BAR; i++)
        assert_false(dev->pci.bars[i].mapped);
}

static void ports_beyond_64_kib_are_not_mapped(void **state)
{
    RigDevice *dev = pci_rig_plug(*state, NULL, NULL);

    rig_write(*state, dev, PCI_COMMAND, PCI_COMMAND_IO, 2);
    rig_write(*state, dev, PCI_BAR0 + 4, 0x1c000, 4);
    assert_false(dev->pci.bars[1].mapped);
    rig_write(*state, dev, PCI_BAR0 + 4, 0xffe0, 4);
    assert_int_equal(rig_in(*state, 0xffe0, 1), 0);
    assert_true(dev->pci.bars[1].mapped);
}

static void a_bar_over_ram_is_not_seen(void **state)
{
    PciRig *rig = *state;
    RigDevice *dev = pci_rig_plug(rig, NULL, NULL);
    MemoryRegion ram;

    memory_region_init_ram(&ram, "ram", rig->machine->ram, 0, MIB);
    memory_region_add(&rig->machine->memory_root, 0, &ram, 0);
    rig_store(rig, 0x2000, 4, 0x1234567);
    rig_write(rig, dev, PCI_COMMAND, PCI_COMMAND_MEMORY, 2);
    rig_write(rig, dev, PCI_BAR0, 0x2000, 4);
    assert_int_equal(rig_load(rig, 0x2000, 4), 0x1234567);
    memory_region_release(&ram);
    assert_int_equal(rig_load(rig, 0x2000, 4), 0xa0000000);
}

static void the_rom_is_mapped_by_its_own_enable_bit(void **state)
{
    g_autofree char *path = NULL;
    static const uint8_t image[5000] = {0x55, 0xaa, 8};
    int fd = g_file_open_tmp("vmm-rom-XXXXXX", &path, NULL);
    g_autofree char *props = g_strdup_printf("romfile=%s", path);

    assert_int_equal(write(fd, image, sizeof(image)), sizeof(image));
    close(fd);
    RigDevice *dev = pci_rig_plug(*state, props, NULL);
    assert_non_null(dev);
    unlink(path);
    rig_write(*state, dev, PCI_COMMAND, PCI_COMMAND_MEMORY, 2);
    rig_write(*state, dev, PCI_ROM_ADDRESS, 0xfffff800, 4);
    assert_int_equal(rig_read(*state, dev, PCI_ROM_ADDRESS, 4), 0xffffe000);
    rig_write(*state, dev, PCI_ROM_ADDRESS, 0xf0000000, 4);
    assert_int_equal(rig_load(*state, 0xf0000000, 4), NOTHING);
    rig_write(*state, dev, PCI_ROM_ADDRESS, 0xf0000000 | PCI_ROM_ENABLE, 4);
    assert_int_equal(rig_load(*state, 0xf0000000, 4), 0x0008aa55);
    rig_store(*state, 0xf0000000, 4, 0);
    assert_int_equal(rig_load(*state, 0xf0000000, 4), 0x0008aa55);
    assert_int_equal(rig_load(*state, 0xf0001ffc, 4), 0);
}

static void a_missing_rom_file_names_the_package(void **state)
{
    g_autoptr(GError) err = NULL;

    assert_null(pci_rig_plug(*state, "romfile=efi-no-such.rom", &err));
    assert_non_null(strstr(err->message, "ipxe-qemu"));
    assert_null(((PciRig *)*state)->bus.devices[0]);
}

/* --- INTx --- */

static void a_pin_arrives_at_the_line_of_its_slot(void **state)
{
    PciRig *rig = *state;

    for (unsigned slot = 0; slot < 8; slot++) {
        g_autofree char *addr = g_strdup_printf("addr=%x", slot);
        RigDevice *dev = pci_rig_plug(rig, addr, NULL);

        pci_set_irq(&dev->pci, 1);
        assert_int_equal(rig->line[slot % 4], 1);
        assert_int_equal(pci_intx_root_line(&dev->pci), slot % 4);
        assert_true(rig_read(rig, dev, PCI_STATUS, 2) & PCI_STATUS_INTERRUPT);
        pci_set_irq(&dev->pci, 0);
        assert_int_equal(rig->line[slot % 4], 0);
    }
}

static void a_shared_line_falls_with_the_last_pin(void **state)
{
    PciRig *rig = *state;
    RigDevice *a = pci_rig_plug(rig, "addr=1", NULL), *b = pci_rig_plug(rig, "addr=5", NULL);

    pci_set_irq(&a->pci, 1);
    pci_set_irq(&b->pci, 1);
    pci_set_irq(&b->pci, 1);
    pci_set_irq(&a->pci, 0);
    assert_int_equal(rig->line[1], 1);
    pci_set_irq(&b->pci, 0);
    assert_int_equal(rig->line[1], 0);
    assert_int_equal(rig->changes, 2);
}

static void intx_disable_gates_the_pin_and_not_the_status(void **state)
{
    PciRig *rig = *state;
    RigDevice *dev = pci_rig_plug(rig, "addr=2", NULL);

    pci_set_irq(&dev->pci, 1);
    rig_write(rig, dev, PCI_COMMAND, PCI_COMMAND_INTX_DISABLE, 2);
    assert_int_equal(rig->line[2], 0);
    assert_true(rig_read(rig, dev, PCI_STATUS, 2) & PCI_STATUS_INTERRUPT);
    rig_write(rig, dev, PCI_COMMAND, 0, 2);
    assert_int_equal(rig->line[2], 1);
}

static void a_function_that_goes_lets_go_of_its_line_and_slot(void **state)
{
    PciRig *rig = *state;
    RigDevice *dev = pci_rig_plug(rig, "addr=3", NULL);

    pci_set_irq(&dev->pci, 1);
    device_free(&dev->pci.dev);
    assert_int_equal(rig->line[3], 0);
    assert_non_null(pci_rig_plug(rig, "addr=3", NULL));
}

/* --- DMA --- */

static void dma_needs_bus_master(void **state)
{
    PciRig *rig = *state;
    RigDevice *dev = pci_rig_plug(rig, NULL, NULL);
    MemoryRegion ram;
    uint32_t word = 0x12345678;
    uint64_t len = 4;

    memory_region_init_ram(&ram, "ram", rig->machine->ram, 0, MIB);
    memory_region_add(&rig->machine->memory_root, 0, &ram, 0);
    assert_false(pci_dma_write(&dev->pci, 0x1000, &word, 4));
    assert_null(pci_dma_map(&dev->pci, 0x1000, &len, DMA_TO_DEVICE));
    assert_int_equal(rig_load(rig, 0x1000, 4), 0);
    rig_write(rig, dev, PCI_COMMAND, PCI_COMMAND_MASTER, 2);
    assert_true(pci_dma_write(&dev->pci, 0x1000, &word, 4));
    assert_int_equal(rig_load(rig, 0x1000, 4), 0x12345678);
    memory_region_release(&ram);
}

static void dma_reaches_no_device_region(void **state)
{
    PciRig *rig = *state;
    RigDevice *dev = pci_rig_plug(rig, NULL, NULL);
    uint32_t word;

    rig_write(rig, dev, PCI_BAR0, 0xe0000000, 4);
    rig_write(rig, dev, PCI_COMMAND, PCI_COMMAND_MASTER | PCI_COMMAND_MEMORY, 2);
    assert_false(pci_dma_read(&dev->pci, 0xe0000000, &word, 4));
    assert_true(rig_read(rig, dev, PCI_STATUS, 2) & PCI_STATUS_REC_MASTER_ABORT);
}

/* --- slots --- */

static void addresses_are_hexadecimal_slots_and_functions(void **state)
{
    static const struct {
        const char *addr;
        int devfn;
    } cases[] = {{"0x4", 0x20}, {"1f", 0xf8}, {"05.0", 0x28}, {"6.7", 0x37}, {"20", -1}, {"4.8", -1},
                 {"", -1},      {"4.", -1},   {"x", -1},      {"4,1", -1},   {"100000005", -1}};

    for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
        Device *dev = device_new(&rig_device_type, ((PciRig *)*state)->machine, NULL);
        g_autoptr(GError) err = NULL;

        device_set_property(dev, "addr", cases[i].addr, NULL);
        bool ok = device_realize(dev, &err);
        assert_int_equal(ok, cases[i].devfn >= 0);
        if (ok)
            assert_int_equal(((RigDevice *)dev)->pci.devfn, cases[i].devfn);
        device_free(dev);
    }
}

static void without_an_address_the_next_free_slot_is_taken(void **state)
{
    pci_rig_plug(*state, "addr=0", NULL);
    pci_rig_plug(*state, "addr=1.1", NULL);
    assert_int_equal(pci_rig_plug(*state, NULL, NULL)->pci.devfn, PCI_DEVFN(2, 0));
    for (int i = 3; i < PCI_SLOTS; i++)
        assert_non_null(pci_rig_plug(*state, NULL, NULL));
    g_autoptr(GError) err = NULL;
    assert_null(pci_rig_plug(*state, NULL, &err));
    assert_non_null(strstr(err->message, "all 32 slots"));
}

static void functions_need_a_multifunction_first(void **state)
{
    g_autoptr(GError) taken = NULL, single = NULL, late = NULL;

    pci_rig_plug(*state, "addr=4", NULL);
    assert_null(pci_rig_plug(*state, "addr=4", &taken));
    assert_non_null(strstr(taken->message, "taken"));
    assert_null(pci_rig_plug(*state, "addr=4.1", &single));
    assert_non_null(strstr(single->message, "multifunction=on"));
    assert_non_null(pci_rig_plug(*state, "addr=5.1", NULL));
    assert_null(pci_rig_plug(*state, "addr=5", &late));
    RigDevice *first = pci_rig_plug(*state, "addr=5,multifunction=on", NULL);
    assert_int_equal(rig_read(*state, first, PCI_HEADER_TYPE, 1), PCI_HEADER_MULTIFUNCTION);
}

static void an_unknown_bus_is_an_error(void **state)
{
    g_autoptr(GError) err = NULL;

    assert_null(pci_rig_plug(*state, "bus=pci.7", &err));
    assert_non_null(strstr(err->message, "no PCI bus 'pci.7'"));
    assert_non_null(pci_rig_plug(*state, "bus=pci.0", NULL));
}

static void names_tell_place_and_class(void **state)
{
    RigDevice *dev = pci_rig_plug(*state, "addr=1d.2", NULL);
    g_autofree char *address = pci_device_address(&dev->pci), *path = pci_boot_path(&dev->pci);

    assert_string_equal(address, "0000:00:1d.2");
    assert_string_equal(path, "/pci@i0cf8/pci@1d,2");
}

static void count_function(PciDevice *pci, void *opaque)
{
    g_string_append_printf(opaque, "%x.%x ", PCI_SLOT(pci->devfn), PCI_FUNC(pci->devfn));
}

static void a_walk_visits_functions_in_order(void **state)
{
    g_autoptr(GString) seen = g_string_new(NULL);

    pci_rig_plug(*state, "addr=9", NULL);
    pci_rig_plug(*state, "addr=2", NULL);
    pci_rig_plug(*state, "addr=4.3", NULL);
    pci_bus_foreach(&((PciRig *)*state)->bus, count_function, seen);
    assert_string_equal(seen->str, "2.0 4.3 9.0 ");
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, pci_rig_setup, pci_rig_teardown)

int main(void)
{
    static const struct CMUnitTest tests[] = {
        CASE(the_header_says_what_the_function_is),
        CASE(an_absent_function_reads_as_all_ones),
        CASE(read_only_registers_ignore_writes),
        CASE(command_bits_exist_only_for_what_the_function_decodes),
        CASE(the_capability_list_can_be_walked),
        CASE(capabilities_fill_the_space_without_overlap),
        CASE(status_bits_are_cleared_by_writing_ones),
        CASE(the_hook_is_called_after_each_write),
        CASE(a_broken_function_is_absent_until_its_reset),
        CASE(reset_restores_every_register_and_unmaps),
        CASE(sizing_reads_back_the_size),
        CASE(a_bar_is_mapped_while_its_command_bit_is_on),
        CASE(a_bar_moves_with_its_register),
        CASE(a_64_bit_bar_lies_above_4_gib),
        CASE(bytes_of_a_bar_can_be_written_alone),
        CASE(an_unassigned_or_sizing_address_is_not_mapped),
        CASE(ports_beyond_64_kib_are_not_mapped),
        CASE(a_bar_over_ram_is_not_seen),
        CASE(the_rom_is_mapped_by_its_own_enable_bit),
        CASE(a_missing_rom_file_names_the_package),
        CASE(a_pin_arrives_at_the_line_of_its_slot),
        CASE(a_shared_line_falls_with_the_last_pin),
        CASE(intx_disable_gates_the_pin_and_not_the_status),
        CASE(a_function_that_goes_lets_go_of_its_line_and_slot),
        CASE(dma_needs_bus_master),
        CASE(dma_reaches_no_device_region),
        CASE(addresses_are_hexadecimal_slots_and_functions),
        CASE(without_an_address_the_next_free_slot_is_taken),
        CASE(functions_need_a_multifunction_first),
        CASE(an_unknown_bus_is_an_error),
        CASE(names_tell_place_and_class),
        CASE(a_walk_visits_functions_in_order),
    };

    core_init();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
