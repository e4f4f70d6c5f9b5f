/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the pc machine's ACPI tables say of it.
 *
 * They can be built again while the machine runs: firmware reads them after it has chosen where the power
 * management's registers lie (PIIX4 data sheet, 7.1.20; OVMF takes B000h, SeaBIOS 600h). Every address has a fixed
 * size in the tables, so their length stays the same.
 *
 * Locking: machine_lock.
 */
#include "pc-internal.h"

#define MAX_ISA_DEVICES 16

static uint16_t pm_base(const PcMachine *pc)
{
    return pc->pm && pc->pm->io.parent ? pc->pm->io.offset : PORT_PM;
}

static unsigned describe_isa(const PcMachine *pc, AcpiIsaDevice *isa)
{
    unsigned n = 0;

    isa[n++] = (AcpiIsaDevice){"PIC", "PNP0000", 0, {{PORT_PIC_MASTER, 2}, {PORT_PIC_SLAVE, 2}, {PORT_ELCR, 2}},
                               IRQ_CASCADE};
    isa[n++] = (AcpiIsaDevice){"TIMR", "PNP0100", 0, {{PORT_PIT, 4}}, IRQ_TIMER};
    isa[n++] = (AcpiIsaDevice){"SPKR", "PNP0800", 0, {{PORT_NMI_SC, 1}}, ACPI_NO_IRQ};
    isa[n++] = (AcpiIsaDevice){"RTC", "PNP0B00", 0, {{PORT_RTC, 2}}, IRQ_RTC};
    if (pc->kbc) {
        isa[n++] = (AcpiIsaDevice){"KBD", "PNP0303", 0, {{PORT_KBC_DATA, 1}, {PORT_KBC_COMMAND, 1}}, IRQ_KEYBOARD};
        isa[n++] = (AcpiIsaDevice){"MOU", "PNP0F13", 0, {{0}}, IRQ_MOUSE};
    }
    for (unsigned i = 0; i < MAX_SERIALS; i++) {
        const PcComPort *com = pc_com_port(i);
        if (pc->machine.serial[i])
            isa[n++] = (AcpiIsaDevice){com->acpi_name, "PNP0501", i + 1, {{com->port, 8}}, com->irq};
    }
    isa[n++] = (AcpiIsaDevice){"FWCF", "QEMU0002", 0, {{PORT_FW_CFG, FW_CFG_IO_SIZE}}, ACPI_NO_IRQ};
    isa[n++] = (AcpiIsaDevice){
        "SYSR", "PNP0C02", 0,
        {{pm_base(pc), ACPI_PM_IO_SIZE}, {PORT_SMBUS, PIIX4_SMBUS_IO_SIZE}, {PORT_SMI, 2}, {PORT_92, 1}}, ACPI_NO_IRQ,
    };
    if (pc->pci_hotplug)
        isa[n++] = (AcpiIsaDevice){"PHPR", "PNP0C02", 1, {{PORT_PCI_HOTPLUG, PCI_HOTPLUG_SIZE}}, ACPI_NO_IRQ};
    g_assert(n <= MAX_ISA_DEVICES);
    return n;
}

AcpiTables *pc_acpi_build(const PcMachine *pc)
{
    AcpiIsaDevice isa[MAX_ISA_DEVICES];
    uint32_t apic_ids[MAX_VCPUS];
    unsigned cpus = pc->machine.smp.cpus;

    g_assert(cpus <= MAX_VCPUS);
    for (unsigned i = 0; i < cpus; i++)
        apic_ids[i] = pc->machine.vcpus[i]->apic_id;
    AcpiBoard board = {
        .cpus = cpus,
        .apic_ids = apic_ids,
        .lapic_base = LAPIC_DEFAULT_BASE,
        .ioapic_base = IOAPIC_DEFAULT_BASE,
        .sci_irq = ACPI_SCI_IRQ,
        .timer_gsi = GSI_TIMER,
        .pm_base = pm_base(pc),
        .pm_timer_32bit = pc->pm && pc->pm->timer_32bit,
        .smi_cmd = PORT_SMI,
        .reset_port = PORT_RESET,
        .reset_value = RST_CNT_SYS_RST | RST_CNT_RST_CPU,
        .has_8042 = pc->kbc,
        .hpet_base = pc->hpet ? HPET_BASE : 0,
        .hpet_id = pc->hpet ? hpet_block_id(pc->hpet) : 0,
        .pci = pc_pci_holes(pc),
        .hotplug_base = pc->pci_hotplug ? PORT_PCI_HOTPLUG : 0,
        .hotplug_slots = ~BOARD_SLOTS,
        .isa = isa,
        .isa_count = describe_isa(pc, isa),
    };
    return acpi_tables_build(&board);
}
