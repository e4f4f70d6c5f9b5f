/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The pc machine's map, the only place with port and interrupt numbers, and its parts
 * (hw/i386/pc*.c).
 */
#ifndef HW_I386_PC_INTERNAL_H
#define HW_I386_PC_INTERNAL_H

#include "core/bits.h"
#include "core/bootorder.h"
#include "hw/i386/pc.h"

enum {
    IRQ_TIMER = 0,
    IRQ_KEYBOARD = 1,
    IRQ_CASCADE = 2,
    IRQ_RTC = 8,
    IRQ_MOUSE = 12,
    IRQ_IDE0 = 14,
    IRQ_IDE1 = 15,
    GSI_TIMER = 2, /* where IRQ 0 arrives at the I/O APIC */
};

enum {
    PORT_PIC_MASTER = 0x20,
    PORT_PIT = 0x40,
    PORT_KBC_DATA = 0x60,
    PORT_NMI_SC = 0x61,
    PORT_KBC_COMMAND = 0x64,
    PORT_RTC = 0x70,
    PORT_92 = 0x92,
    PORT_PIC_SLAVE = 0xa0,
    PORT_SMI = ACPI_SMI_CMD_PORT,
    PORT_ELCR = 0x4d0,
    PORT_FW_CFG = FW_CFG_PORT,
    PORT_PM = ACPI_PM_BASE, /* where we place it; firmware may choose otherwise */
    PORT_SMBUS = 0x700,
    PORT_PCI_HOTPLUG = PCI_HOTPLUG_BASE,
    PORT_CONFADD = 0xcf8,
    PORT_CONFDATA = 0xcfc,
    PORT_RESET = RESET_CONTROL_PORT,
};

#define BOARD_SLOTS 0x3u /* of the root bus, a bit each: those of the table in pc-pci.c */
#define PCI_IO_START 0xc000 /* ports for PCI: to 64 KiB */
#define PCI_HOLE64_MAX (512 * GIB)
#define PC_BIOS_AREA 0xe0000ull /* to 1 MiB: the last 128 KiB of the firmware, or our tables */

/* --- pc.c --- */
typedef struct PcComPort {
    const char *acpi_name;
    uint16_t port;
    uint8_t irq;
} PcComPort;

/* COM n + 1. */
const PcComPort *pc_com_port(unsigned n);
void pc_map_ports(PcMachine *pc, uint16_t port, MemoryRegion *io);
/* The machine owns a realized device; one that fails is freed here. */
bool pc_realize(Device *dev, GError **errp);

/* --- pc-interrupts.c --- */
/* Controllers, machine.gsi and machine.msi, by the accelerator's irqchip. */
bool pc_interrupts_build(PcMachine *pc, GError **errp);
/* Once for each vCPU, after its creation. */
void pc_interrupts_attach(PcMachine *pc, Vcpu *vcpu);

/* --- pc-memory.c --- */
/* Maps RAM and the firmware image, if one was given, and fills pc->map. */
bool pc_memory_build(PcMachine *pc, GError **errp);
void pc_memory_release(PcMachine *pc);
/* The A20 gate's output. */
void pc_memory_set_a20(PcMachine *pc, bool on);

/* --- pc-acpi.c --- */
/* Of the devices there are, where they are now; not linked. */
AcpiTables *pc_acpi_build(const PcMachine *pc);

/* --- pc-pci.c --- */
/* Host and ISA bridge; after the memory and the interrupt controllers. */
bool pc_pci_build(PcMachine *pc, GError **errp);
/* pc-drives.c: what -drive asks for, after the user's devices. */
bool pc_drives_build(PcMachine *pc, GError **errp);
/* The function that places the ACPI block; after that. */
bool pc_pci_build_pm(PcMachine *pc, GError **errp);
/* The slots that are not the board's. After the power management. */
bool pc_pci_build_hotplug(PcMachine *pc, GError **errp);
/* The holes for devices; the one above 4 GiB is empty if the processors cannot address it. After the CPU model. */
AcpiPci pc_pci_holes(const PcMachine *pc);

/* --- pc-pci-setup.c --- */
/* In a firmware's stead: shadow RAM, interrupt routes, ACPI registers, BARs. */
void pc_pci_setup(PcMachine *pc);

/* --- pc-firmware.c --- */
/* Fills fw_cfg. */
bool pc_firmware_build(PcMachine *pc, GError **errp);
/* The boot order in CMOS, at each reset of the machine. */
void pc_firmware_reset(PcMachine *pc);

/* --- pc-boot.c --- */
/* Opens the -kernel, if there is one, and decides whether firmware runs. Before anything is built. */
bool pc_boot_open(PcMachine *pc, GError **errp);
/* No firmware runs: the board prepares what one would. */
bool pc_boots_directly(const PcMachine *pc);
/* Builds tables and boot plan from the devices there are. */
bool pc_boot_build(PcMachine *pc, GError **errp);
SmbiosTables *pc_smbios_build(const PcMachine *pc);
/* Puts tables and kernel into memory and the boot processor at its entry. */
void pc_boot_reset(PcMachine *pc);
void pc_boot_release(PcMachine *pc);

/* --- pc-boot-rom.c --- */
/* What firmware needs to start the -kernel. Gives the files' contents back to the host. */
bool pc_boot_rom_build(PcMachine *pc, GError **errp);

/* --- pc-bios-state.c --- */
/* Vectors, data area and interrupt controllers as a BIOS leaves them. False: no RAM where it must be. */
bool pc_bios_state_place(PcMachine *pc);

#endif
