/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The DSDT's contents, for acpi-tables.c.
 */
#ifndef HW_I386_ACPI_DSDT_H
#define HW_I386_ACPI_DSDT_H

#include "hw/acpi/aml.h"
#include "hw/i386/acpi-tables.h"

/* The definition block's body, without the table header. */
Aml *acpi_dsdt_body(const AcpiBoard *board);

/* acpi-pci.c: adds host bridge and interrupt links to \_SB; consumes isa_devices. */
void acpi_dsdt_add_pci(Aml *sb, const AcpiBoard *board, Aml *isa_devices);

/* acpi-hotplug.c: slots and methods for \_SB.PCI0, and the event that calls them. */
void acpi_dsdt_add_hotplug(Aml *pci0, const AcpiBoard *board);
Aml *acpi_dsdt_hotplug_event(void);

#endif
