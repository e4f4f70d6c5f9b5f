/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The "pc" machine: the board puts the devices where the memory map of pc-internal.h has them.
 *
 * Sources: IBM PC/AT Technical Reference (ports, interrupts, CMOS); ICH9 data sheet, chapter 9.3
 * (fixed and variable I/O ranges); the MultiProcessor Specification for IRQ 0 on I/O APIC pin 2.
 *
 * Not modelled: DMA controllers, floppy, parallel port, a display.
 */
#include "hw/i386/pc.h"

#include <stdio.h>

#include "core/bits.h"
#include "core/error.h"
#include "hw/char/serial.h"
#include "pc-internal.h"

static const PcComPort com_ports[MAX_SERIALS] = {
    {"COM1", 0x3f8, 4},
    {"COM2", 0x2f8, 3},
    {"COM3", 0x3e8, 4},
    {"COM4", 0x2e8, 3},
};

const PcComPort *pc_com_port(unsigned n)
{
    return &com_ports[n];
}

/* CMOS, IBM PC/AT Technical Reference "Real-time clock/CMOS RAM information", and what SeaBIOS reads. */
enum {
    CMOS_EQUIPMENT = 0x14,
    CMOS_BASE_MEM = 0x15,      /* KiB below 640 KiB */
    CMOS_EXT_MEM = 0x17,       /* KiB above 1 MiB */
    CMOS_EXT_MEM_POST = 0x30,
    CMOS_MEM_ABOVE_16M = 0x34, /* 64 KiB units */
    CMOS_MEM_ABOVE_4G = 0x5b,  /* 64 KiB units, three bytes */
    CMOS_DISK_TRANSLATION = 0x39, /* of four IDE drives, two bits each; SeaBIOS */
    CMOS_CPUS = 0x5f,          /* less one */
};
#define EQUIPMENT_FPU 0x02
#define EQUIPMENT_MOUSE 0x04

/* --- devices --- */

void pc_map_ports(PcMachine *pc, uint16_t port, MemoryRegion *io)
{
    memory_region_add(&pc->machine.io_root, port, io, 0);
}

bool pc_realize(Device *dev, GError **errp)
{
    if (device_realize(dev, errp))
        return true;
    device_free(dev);
    return false;
}

static void set_a20(void *opaque, int source, int level)
{
    PcMachine *pc = opaque;

    pc_memory_set_a20(pc, level);
    if (source == PORT_92 && pc->kbc)
        i8042_note_a20(pc->kbc, level);
}

static void set_legacy_replacement(void *opaque, int pin, int level)
{
    PcMachine *pc = opaque;

    i8254_set_irq_disabled(pc->pit, level);
}

static bool build_hpet(PcMachine *pc, GError **errp)
{
    Irq gsi[GSI_COUNT];

    for (int i = 0; i < GSI_COUNT; i++)
        gsi[i] = machine_gsi(&pc->machine, i);
    pc->hpet = (Hpet *)device_new(&hpet_type, &pc->machine, NULL);
    hpet_connect(pc->hpet, gsi, pc->pit ? (Irq){set_legacy_replacement, pc, 0} : (Irq){0});
    if (!pc_realize(&pc->hpet->dev, errp))
        return false;
    memory_region_add(&pc->machine.memory_root, HPET_BASE, &pc->hpet->mmio, 1);
    return true;
}

static bool build_timers(PcMachine *pc, GError **errp)
{
    Machine *machine = &pc->machine;

    if (machine->accel->irqchip != IRQCHIP_KERNEL) {
        pc->pit = (I8254 *)device_new(&i8254_type, machine, NULL);
        i8254_connect(pc->pit, machine_gsi(machine, IRQ_TIMER));
        if (!pc_realize(&pc->pit->dev, errp))
            return false;
        pc_map_ports(pc, PORT_PIT, &pc->pit->io);
        pc_map_ports(pc, PORT_NMI_SC, &pc->pit->port61);
    }
    if (pc->hpet_enabled && !build_hpet(pc, errp))
        return false;
    pc->rtc = (Mc146818 *)device_new(&mc146818_type, machine, NULL);
    mc146818_connect(pc->rtc, pc->hpet ? hpet_rtc_irq(pc->hpet) : machine_gsi(machine, IRQ_RTC));
    if ((machine->rtc.base && !device_set_property(&pc->rtc->dev, "base", machine->rtc.base, errp)) ||
        (machine->rtc.clock && !device_set_property(&pc->rtc->dev, "clock", machine->rtc.clock, errp))) {
        device_free(&pc->rtc->dev);
        return false;
    }
    if (!pc_realize(&pc->rtc->dev, errp))
        return false;
    pc_map_ports(pc, PORT_RTC, &pc->rtc->io);
    return true;
}

static bool build_system_control(PcMachine *pc, GError **errp)
{
    Machine *machine = &pc->machine;

    if (pc->i8042_enabled) {
        pc->kbc = (I8042 *)device_new(&i8042_type, machine, NULL);
        i8042_connect(pc->kbc, machine_gsi(machine, IRQ_KEYBOARD), machine_gsi(machine, IRQ_MOUSE),
                      (Irq){set_a20, pc, PORT_KBC_COMMAND});
        if (!pc_realize(&pc->kbc->dev, errp))
            return false;
        pc_map_ports(pc, PORT_KBC_DATA, &pc->kbc->data);
        pc_map_ports(pc, PORT_KBC_COMMAND, &pc->kbc->command);
    }
    pc->port92 = (Port92 *)device_new(&port92_type, machine, NULL);
    port92_connect(pc->port92, (Irq){set_a20, pc, PORT_92});
    if (!pc_realize(&pc->port92->dev, errp))
        return false;
    pc_map_ports(pc, PORT_92, &pc->port92->io);

    pc->reset_control = (ResetControl *)device_new(&reset_control_type, machine, NULL);
    if (!pc_realize(&pc->reset_control->dev, errp))
        return false;
    memory_region_add(&machine->io_root, PORT_RESET, &pc->reset_control->io, 1);
    return true;
}

static bool build_acpi_pm(PcMachine *pc, GError **errp)
{
    Machine *machine = &pc->machine;

    if (!pc->acpi)
        return true;
    pc->pm = (AcpiPm *)device_new(&acpi_pm_type, machine, NULL);
    acpi_pm_connect(pc->pm, piix3_isa_irq(pc->piix3, ACPI_SCI_IRQ));
    pc->pm->acpi_enabled_at_reset = pc_boots_directly(pc);
    if (!pc_realize(&pc->pm->dev, errp))
        return false;
    pc_map_ports(pc, PORT_SMI, &pc->pm->smi);
    return pc_pci_build_pm(pc, errp) && pc_pci_build_hotplug(pc, errp);
}

static bool build_fw_cfg(PcMachine *pc, GError **errp)
{
    Machine *machine = &pc->machine;

    pc->fw_cfg = (FwCfg *)device_new(&fw_cfg_type, machine, NULL);
    if (!pc_realize(&pc->fw_cfg->dev, errp))
        return false;
    pc_map_ports(pc, PORT_FW_CFG, &pc->fw_cfg->io);
    fw_cfg_add_u64(pc->fw_cfg, FW_CFG_RAM_SIZE, machine->ram->size);
    fw_cfg_add_u16(pc->fw_cfg, FW_CFG_NB_CPUS, machine->smp.cpus);
    fw_cfg_add_u16(pc->fw_cfg, FW_CFG_MAX_CPUS, machine->smp.cpus);
    fw_cfg_add_u16(pc->fw_cfg, FW_CFG_NOGRAPHIC, 1);
    fw_cfg_add_bytes(pc->fw_cfg, FW_CFG_UUID, machine->uuid, sizeof(machine->uuid));
    return true;
}

static bool build_serials(PcMachine *pc, GError **errp)
{
    for (unsigned i = 0; i < MAX_SERIALS; i++) {
        if (!pc->machine.serial[i])
            continue;
        IsaSerial *com = (IsaSerial *)device_new(&isa_serial_type, &pc->machine, NULL);
        com->index = i;
        com->iobase = com_ports[i].port;
        com->irq = com_ports[i].irq;
        if (!device_set_property(&com->dev, "chardev", pc->machine.serial[i], errp)) {
            device_free(&com->dev);
            return false;
        }
        if (!pc_realize(&com->dev, errp))
            return false;
    }
    return true;
}

static bool build_user_devices(PcMachine *pc, GError **errp)
{
    GPtrArray *user = pc->machine.user_devices;

    for (guint i = 0; i < user->len; i++) {
        Device *dev = g_ptr_array_index(user, i);
        if (!device_realize(dev, errp))
            return false;
        g_ptr_array_index(user, i) = NULL; /* the machine's now */
    }
    g_ptr_array_set_size(user, 0);
    return true;
}

static void set_cmos16(PcMachine *pc, unsigned index, uint64_t value)
{
    value = MIN(value, 0xffff);
    mc146818_set_nvram(pc->rtc, index, value & 0xff);
    mc146818_set_nvram(pc->rtc, index + 1, value >> 8);
}

static uint8_t disk_translations(const PcMachine *pc)
{
    uint8_t value = 0;

    for (unsigned i = 0; i < IDE_CHANNELS * IDE_UNITS; i++) {
        const IdeDrive *drive = pc->ide->channels[i / IDE_UNITS].drives[i % IDE_UNITS];
        if (drive)
            value |= ide_drive_translation(drive) << 2 * i;
    }
    return value;
}

static void set_cmos(PcMachine *pc)
{
    uint64_t below_4g = memmap_ram_below(&pc->map, 4 * GIB), top = 0;
    uint64_t above_4g = memmap_ram_below(&pc->map, UINT64_MAX) - below_4g;

    for (unsigned i = 0; i < pc->map.count; i++) {
        if (pc->map.entries[i].type == MEMMAP_RAM && pc->map.entries[i].base < 4 * GIB)
            top = pc->map.entries[i].base + pc->map.entries[i].size;
    }
    mc146818_set_nvram(pc->rtc, CMOS_EQUIPMENT, EQUIPMENT_FPU | (pc->kbc ? EQUIPMENT_MOUSE : 0));
    set_cmos16(pc, CMOS_BASE_MEM, 640);
    set_cmos16(pc, CMOS_EXT_MEM, top > MIB ? (top - MIB) / KIB : 0);
    set_cmos16(pc, CMOS_EXT_MEM_POST, top > MIB ? (top - MIB) / KIB : 0);
    set_cmos16(pc, CMOS_MEM_ABOVE_16M, top > 16 * MIB ? (top - 16 * MIB) / (64 * KIB) : 0);
    set_cmos16(pc, CMOS_MEM_ABOVE_4G, above_4g / (64 * KIB) & 0xffff);
    mc146818_set_nvram(pc->rtc, CMOS_MEM_ABOVE_4G + 2, above_4g / (64 * KIB) >> 16);
    mc146818_set_nvram(pc->rtc, CMOS_DISK_TRANSLATION, disk_translations(pc));
    mc146818_set_nvram(pc->rtc, CMOS_CPUS, pc->machine.smp.cpus - 1);
}

/* --- processors --- */

static bool build_vcpus(PcMachine *pc, GError **errp)
{
    Machine *machine = &pc->machine;
    CpuidTable *cpuid = g_new0(CpuidTable, 1);
    bool ok = true;

    pc->cpu_model = cpu_model_new_for_machine(machine, errp);
    if (!pc->cpu_model) {
        g_free(cpuid);
        return false;
    }
    for (unsigned i = 0; ok && i < machine->smp.cpus; i++) {
        Vcpu *vcpu = vcpu_new(machine, i, cpu_model_apic_id(pc->cpu_model, i), errp);
        machine->vcpus[i] = vcpu;
        if (!vcpu)
            break;
        cpu_model_get_cpuid(pc->cpu_model, i, cpuid);
        ok = vcpu_set_cpuid(vcpu, cpuid, errp);
        pc_interrupts_attach(pc, vcpu);
    }
    g_free(cpuid);
    return ok && machine->vcpus[machine->smp.cpus - 1];
}

/* --- the machine --- */

static bool pc_build(Machine *machine, GError **errp)
{
    PcMachine *pc = (PcMachine *)machine;

    if (!pc_boot_open(pc, errp) || !pc_memory_build(pc, errp) || !pc_interrupts_build(pc, errp) || !pc_pci_build(pc, errp) ||
        !build_timers(pc, errp) || !build_system_control(pc, errp) || !build_acpi_pm(pc, errp) ||
        !build_fw_cfg(pc, errp) || !build_serials(pc, errp) || !build_user_devices(pc, errp) ||
        !pc_drives_build(pc, errp))
        return false;
    set_cmos(pc);
    return build_vcpus(pc, errp) && pc_boot_build(pc, errp) && pc_firmware_build(pc, errp);
}

static void pc_reset(Machine *machine)
{
    PcMachine *pc = (PcMachine *)machine;

    pc_memory_set_a20(pc, true);
    pc_firmware_reset(pc);
    pc_boot_reset(pc);
}

static void pc_release(Machine *machine)
{
    PcMachine *pc = (PcMachine *)machine;

    pc_boot_release(pc);
    g_clear_pointer(&pc->cpu_model, cpu_model_free);
    pc_memory_release(pc);
}

static bool pc_power_button(Machine *machine)
{
    PcMachine *pc = (PcMachine *)machine;

    if (pc->pm)
        acpi_pm_power_button(pc->pm);
    return pc->pm != NULL;
}

static bool pc_plug(Machine *machine, Device *dev, GError **errp)
{
    PcMachine *pc = (PcMachine *)machine;

    return pc->pci_hotplug ? acpi_pci_hotplug_plug(pc->pci_hotplug, (PciDevice *)dev, errp)
                           : error_set(errp, "without ACPI nothing can be plugged while the VM runs");
}

static bool pc_request_unplug(Machine *machine, Device *dev, GError **errp)
{
    PcMachine *pc = (PcMachine *)machine;

    return pc->pci_hotplug ? acpi_pci_hotplug_request_unplug(pc->pci_hotplug, (PciDevice *)dev, errp)
                           : error_set(errp, "without ACPI nothing can be unplugged while the VM runs");
}

static const Property pc_props[] = {
    {"acpi", PROP_BOOL, offsetof(PcMachine, acpi), "on", "ACPI tables and power management", NULL, 0, 0},
    {"hpet", PROP_BOOL, offsetof(PcMachine, hpet_enabled), "on", "high precision event timer", NULL, 0, 0},
    {"i8042", PROP_BOOL, offsetof(PcMachine, i8042_enabled), "on", "keyboard controller", NULL, 0, 0},
    {"max-ram-below-4g", PROP_SIZE, offsetof(PcMachine, max_ram_below_4g), "3G",
     "RAM beyond this is mapped above 4 GiB", NULL, MIB, 0xe0000000},
    {0},
};

const MachineType pc_machine_type = {
    .name = "pc",
    .desc = "PC (i440FX and PIIX) with ISA and PCI devices, APICs and ACPI",
    .versioned_name = "pc-i440fx-",
    .instance_size = sizeof(PcMachine),
    .props = pc_props,
    .build = pc_build,
    .reset = pc_reset,
    .release = pc_release,
    .power_button = pc_power_button,
    .plug = pc_plug,
    .request_unplug = pc_request_unplug,
};
