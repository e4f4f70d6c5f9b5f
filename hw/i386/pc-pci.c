/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The pc machine's PCI: host bridge, ISA bridge and power management in the slots where firmware
 * and operating systems know them, and the holes in which devices are mapped.
 *
 *     00.0  i440FX host bridge
 *     01.0  PIIX3 ISA bridge
 *     01.1  PIIX3 IDE
 *     01.3  PIIX4 power management
 *
 * Sources: SeaBIOS, OVMF and Linux know the i440FX board by these; the memory holes are SeaBIOS's
 * (its docs/Memory_layout and PCI allocation: 0x80000000, 0xc0000000 or 0xe0000000 to 0xfec00000).
 */
#include "block/drive.h"
#include "core/bits.h"
#include "pc-internal.h"

/* PIRQA# is function 1's pin A: slot 1 has no rotation (_PRT in acpi-pci.c, firmware does the same). */
#define SLOT_ROTATION 3

/* The ACPI block's SCI, and PIRQs that the guest routes to the same interrupt. */
static bool build_isa_bridge(PcMachine *pc, GError **errp)
{
    Irq isa[PIIX3_ISA_IRQS];

    for (int irq = 0; irq < PIIX3_ISA_IRQS; irq++)
        isa[irq] = machine_gsi(&pc->machine, irq);
    pc->piix3 = (Piix3 *)device_new(&piix3_type, &pc->machine, NULL);
    piix3_connect(pc->piix3, isa);
    device_set_property(&pc->piix3->pci.dev, "addr", "1.0", NULL);
    device_set_property(&pc->piix3->pci.dev, "multifunction", "on", NULL);
    if (!pc_realize(&pc->piix3->pci.dev, errp))
        return false;
    for (unsigned line = 0; line < PCI_INTX_LINES; line++)
        pc->i440fx->bus.intx[line] = piix3_pirq(pc->piix3, line);
    return true;
}

/* -drive if=ide, -hda and others. */
static bool build_ide_drive(PcMachine *pc, const Drive *drive, GError **errp)
{
    Device *dev = device_new(drive->cdrom ? &ide_cd_type : &ide_hd_type, &pc->machine, NULL);
    g_autofree char *bus = g_strdup_printf("ide.%u", drive->bus), *unit = g_strdup_printf("%u", drive->unit);

    if (device_set_property(dev, "bus", bus, errp) && device_set_property(dev, "unit", unit, errp) &&
        device_set_property(dev, "drive", blk_id(drive->blk), errp))
        return pc_realize(dev, errp);
    device_free(dev);
    return false;
}

static bool build_ide_drives(PcMachine *pc, GError **errp)
{
    for (unsigned i = 0; i < IDE_CHANNELS * IDE_UNITS; i++) {
        const Drive *drive = drive_at(DRIVE_IF_IDE, i / IDE_UNITS, i % IDE_UNITS);
        if (drive && !build_ide_drive(pc, drive, errp))
            return false;
    }
    return true;
}

static bool build_ide(PcMachine *pc, GError **errp)
{
    const Irq irqs[IDE_CHANNELS] = {piix3_isa_irq(pc->piix3, IRQ_IDE0), piix3_isa_irq(pc->piix3, IRQ_IDE1)};

    pc->ide = (PiixIde *)device_new(&piix_ide_type, &pc->machine, NULL);
    piix_ide_connect(pc->ide, irqs);
    device_set_property(&pc->ide->pci.dev, "addr", "1.1", NULL);
    return pc_realize(&pc->ide->pci.dev, errp) && build_ide_drives(pc, errp);
}

bool pc_pci_build(PcMachine *pc, GError **errp)
{
    Machine *machine = &pc->machine;

    pc->i440fx = (I440fx *)device_new(&i440fx_type, machine, NULL);
    i440fx_connect(pc->i440fx, machine->ram, pc->firmware_block, pc->firmware_isa_size);
    device_set_property(&pc->i440fx->pci.dev, "addr", "0.0", NULL);
    if (!pc_realize(&pc->i440fx->pci.dev, errp))
        return false;
    pc->i440fx->bus.swizzle = SLOT_ROTATION;
    memory_region_add(&machine->memory_root, 0, &pc->i440fx->memory, -1);
    memory_region_add(&machine->memory_root, SMRAM_BASE, &pc->i440fx->window, 0);
    memory_region_add(&machine->io_root, 0, &pc->i440fx->io, -1);
    pc_map_ports(pc, PORT_CONFADD, &pc->i440fx->confadd_io);
    pc_map_ports(pc, PORT_CONFDATA, &pc->i440fx->confdata_io);
    return build_isa_bridge(pc, errp) && build_ide(pc, errp);
}

bool pc_pci_build_pm(PcMachine *pc, GError **errp)
{
    pc->piix4_pm = (Piix4Pm *)device_new(&piix4_pm_type, &pc->machine, NULL);
    piix4_pm_connect(pc->piix4_pm, pc->pm);
    device_set_property(&pc->piix4_pm->pci.dev, "addr", "1.3", NULL);
    return pc_realize(&pc->piix4_pm->pci.dev, errp);
}

bool pc_pci_build_hotplug(PcMachine *pc, GError **errp)
{
    pc->pci_hotplug = (AcpiPciHotplug *)device_new(&acpi_pci_hotplug_type, &pc->machine, NULL);
    acpi_pci_hotplug_connect(pc->pci_hotplug, pc->pm, &pc->i440fx->bus, BOARD_SLOTS);
    if (!pc_realize(&pc->pci_hotplug->dev, errp))
        return false;
    pc_map_ports(pc, PORT_PCI_HOTPLUG, &pc->pci_hotplug->io);
    return true;
}

AcpiPci pc_pci_holes(const PcMachine *pc)
{
    uint64_t below_4g = MIN(pc->machine.ram->size, pc->max_ram_below_4g), above = pc->machine.ram->size - below_4g;
    uint64_t end = BIT(cpu_model_phys_bits(pc->cpu_model));
    AcpiPci holes = {
        .start32 = below_4g <= 2 * GIB ? 2 * GIB : below_4g <= 3 * GIB ? 3 * GIB : 0xe0000000,
        .end32 = IOAPIC_DEFAULT_BASE,
        .start64 = align_up(4 * GIB + above, GIB),
    };

    /* As much as a process may map in one piece is enough for any device; the end has to be addressable. */
    holes.end64 = MIN(holes.start64 + PCI_HOLE64_MAX, MIN(end, MEMORY_SPACE_SIZE));
    holes.end64 = MAX(holes.end64, holes.start64);
    return holes;
}
