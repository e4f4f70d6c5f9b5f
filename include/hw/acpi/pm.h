/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The ACPI fixed hardware: PM1 event and control blocks, PM timer, one GPE block, and the SMI
 * command port by which a guest takes the machine into ACPI mode.
 * Sources: ACPI 6.4, 4.8 (fixed hardware); register layout of ICH9, data sheet 13.8.3.
 *
 * Locking: machine_lock; the PM timer is read without it.
 */
#ifndef HW_ACPI_PM_H
#define HW_ACPI_PM_H

#include "core/device.h"
#include "core/irq.h"
#include "core/loop.h"
#include "core/memory.h"

#define ACPI_PM_TIMER_HZ 3579545

/* Offsets in the PM I/O range (ICH9: PMBASE). The FADT names them. */
enum {
    ACPI_PM1_EVT = 0x00, /* PM1_STS, 16 bits; PM1_EN at +2 */
    ACPI_PM1_CNT = 0x04,
    ACPI_PM_TMR = 0x08,
    ACPI_GPE0 = 0x20,    /* 8 bytes status, 8 bytes enable */
    ACPI_PM_IO_SIZE = 0x40,
};
#define ACPI_PM1_EVT_LEN 4
#define ACPI_PM1_CNT_LEN 2
#define ACPI_PM_TMR_LEN 4
#define ACPI_GPE0_LEN 16

/* The board's usual places. */
#define ACPI_PM_BASE 0x600
#define ACPI_SMI_CMD_PORT 0xb2
#define ACPI_SCI_IRQ 9

/* Values of SMI_CMD (FADT ACPI_ENABLE, ACPI_DISABLE), as ICH9 firmware uses them. */
#define ACPI_SMI_ENABLE 0x02
#define ACPI_SMI_DISABLE 0x03

/* SLP_TYP of soft off, for \_S5 in the DSDT. */
#define ACPI_SLP_TYP_S5 5

typedef struct AcpiPmRegs {
    uint16_t pm1_sts;
    uint16_t pm1_en;
    uint16_t pm1_cnt;
    uint64_t gpe0_sts;
    uint64_t gpe0_en;
    uint8_t smi_cmd; /* APM_CNT */
    uint8_t smi_sts; /* APM_STS */
    int64_t timer_seen; /* half periods of the PM timer that have set TMR_STS */
} AcpiPmRegs;

typedef struct AcpiPm {
    Device dev;
    AcpiPmRegs regs;
    MemoryRegion io;   /* ACPI_PM_IO_SIZE ports; initialised by realize, mapped by the board */
    MemoryRegion evt, cnt, tmr, gpe; /* inside io */
    MemoryRegion smi;  /* 2 ports, at B2h */
    Irq sci;
    Timer timer;       /* next carry of the PM timer, if its interrupt is enabled */

    /* Property: reset state of PM1_CNT.SCI_EN. On where no firmware would set it. */
    bool acpi_enabled_at_reset;
    bool timer_32bit;
} AcpiPm;

extern const DeviceType acpi_pm_type;

/* Before realize. */
void acpi_pm_connect(AcpiPm *pm, Irq sci);
/* The user pressed the power button (system_powerdown). */
void acpi_pm_power_button(AcpiPm *pm);
/* A general-purpose event 0..63 happened: its status bit is set and the SCI raised if enabled. */
void acpi_pm_set_gpe(AcpiPm *pm, unsigned gpe);

#endif
