/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The "pc" machine: i440FX and PIIX, with APICs and ACPI.
 *
 * Locking: machine_lock for everything here.
 */
#ifndef HW_I386_PC_H
#define HW_I386_PC_H

#include "core/machine.h"
#include "hw/acpi/pci-hotplug.h"
#include "hw/acpi/pci-hotplug.h"
#include "hw/acpi/piix4-pm.h"
#include "hw/acpi/pm.h"
#include "hw/i386/acpi-tables.h"
#include "hw/i386/boot.h"
#include "hw/i386/cpu-model.h"
#include "hw/i386/memmap.h"
#include "hw/ide/ide.h"
#include "hw/i386/smbios.h"
#include "hw/input/i8042.h"
#include "hw/intc/i8259.h"
#include "hw/intc/ioapic.h"
#include "hw/intc/lapic.h"
#include "hw/misc/fw_cfg.h"
#include "hw/misc/port92.h"
#include "hw/misc/reset-control.h"
#include "hw/pci/i440fx.h"
#include "hw/pci/piix3.h"
#include "hw/rtc/mc146818.h"
#include "hw/timer/hpet.h"
#include "hw/timer/i8254.h"

#define PC_RAM_PIECES 3

typedef struct PcMachine {
    Machine machine;

    /* Properties. */
    bool acpi;
    bool i8042_enabled;
    bool hpet_enabled;
    uint64_t max_ram_below_4g;

    /* Memory, hw/i386/pc-memory.c. */
    MemoryRegion ram[PC_RAM_PIECES];
    unsigned ram_pieces;
    MemoryRegion a20_wrap; /* enabled while A20 is held low */
    RamBlock *firmware_block;
    MemoryRegion firmware;
    uint64_t firmware_size, firmware_isa_size; /* above: at 4 GiB; what of it shows below 1 MiB */
    MemMap map;          /* as firmware reports it, and as a kernel booted without one is told */
    MemMap firmware_map; /* as firmware is told */

    /* Devices; all belong to machine.devices. NULL where the accelerator has them. */
    I440fx *i440fx;
    Piix3 *piix3;
    PiixIde *ide;
    Piix4Pm *piix4_pm;
    AcpiPciHotplug *pci_hotplug; /* NULL: without ACPI */
    I8259 *pic;
    IoApic *ioapic;
    LapicBus *lapics;
    I8254 *pit;
    Hpet *hpet; /* NULL: hpet=off */
    Mc146818 *rtc;
    I8042 *kbc;
    Port92 *port92;
    ResetControl *reset_control;
    AcpiPm *pm;
    FwCfg *fw_cfg;
    Irq pic_irq[16], ioapic_irq[IOAPIC_PINS];

    CpuModel *cpu_model;

    /* Booting, hw/i386/pc-boot.c. */
    AcpiTables *tables;  /* linked; NULL without ACPI */
    BootSource *source;  /* -kernel */
    BootPlan *plan;      /* ready for the next reset; NULL: made anew then */
    SmbiosTables *smbios; /* linked; NULL where firmware places them */
    unsigned firmware_resets; /* resets so far: -boot once= is for the first */
} PcMachine;

extern const MachineType pc_machine_type;

#endif
