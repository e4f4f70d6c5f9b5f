/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The PIIX4's power management function: places the ACPI registers (hw/acpi/pm.h) and an SMBus host
 * controller with nothing on its bus.
 * Source: Intel 82371AB (PIIX4) data sheet 290562, chapter 7.
 *
 * Locking: machine_lock.
 */
#ifndef HW_ACPI_PIIX4_PM_H
#define HW_ACPI_PIIX4_PM_H

#include "hw/acpi/pm.h"
#include "hw/pci/pci.h"

enum {
    PIIX4_PMBA = 0x40,      /* base of the ACPI registers; bit 0 reads 1 */
    PIIX4_DEVACTB = 0x58,
    PIIX4_PMREGMISC = 0x80, /* bit 0: the registers at PMBA are decoded */
    PIIX4_SMBBA = 0x90,     /* base of the SMBus registers; bit 0 reads 1 */
    PIIX4_SMBHSTCFG = 0xd2, /* bit 0: they are decoded */
};
#define PIIX4_PMIOSE 0x01
#define PIIX4_SMB_HST_EN 0x01

#define PIIX4_SMBUS_IO_SIZE 16

typedef struct Piix4SmbusRegs {
    uint8_t hststs, slvsts, hstcnt, hstcmd, hstadd, hstdat0, hstdat1, slvcnt;
    uint8_t block[32];
    uint8_t block_index;
} Piix4SmbusRegs;

typedef struct Piix4Pm {
    PciDevice pci;
    Piix4SmbusRegs smb;
    MemoryRegion smbus;
    AcpiPm *pm; /* wiring: the registers that PMBA places */
    bool smm_initialized; /* property: tell firmware that SMM has been set up: there is none to set up */
} Piix4Pm;

extern const DeviceType piix4_pm_type;

/* Before realize; pm is realized and lives longer. */
void piix4_pm_connect(Piix4Pm *piix4, AcpiPm *pm);

#endif
