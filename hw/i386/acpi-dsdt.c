/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The DSDT: processors, the ISA devices nobody can probe for, and the soft-off state.
 *
 * ACPI 6.5: 8.4 (processor devices), 6.1 and 6.2 (identification and resources), 7.4.2 (\_S5). PCI is
 * in acpi-pci.c.
 */
#include "acpi-dsdt.h"

#include <stdio.h>
#include <string.h>

#include "hw/acpi/pm.h"
#include "hw/timer/hpet.h"

/* ACPI0007, 8.4.1: _UID matches the MADT's processor UID. */
static Aml *cpu_device(unsigned index)
{
    char name[5];
    Aml *body = aml_new();

    snprintf(name, sizeof(name), "C%03X", index & 0xfff);
    aml_add(body, aml_name("_HID", aml_string("ACPI0007")));
    aml_add(body, aml_name("_UID", aml_int(index)));
    return aml_device(name, body);
}

static Aml *isa_device(const AcpiIsaDevice *dev)
{
    Aml *body = aml_new(), *crs = aml_new();

    aml_add(body, aml_name("_HID", !strncmp(dev->hid, "PNP", 3) ? aml_eisa_id(dev->hid) : aml_string(dev->hid)));
    aml_add(body, aml_name("_UID", aml_int(dev->uid)));
    /* Present, enabled, shown, working (6.3.7). */
    aml_add(body, aml_name("_STA", aml_int(0xf)));
    for (unsigned i = 0; i < ACPI_ISA_PORTS; i++) {
        if (dev->ports[i].count)
            aml_add(crs, aml_io(dev->ports[i].base, dev->ports[i].count));
    }
    if (dev->irq != ACPI_NO_IRQ)
        aml_add(crs, aml_irq(dev->irq));
    aml_add(body, aml_name("_CRS", aml_resources(crs)));
    return aml_device(dev->name, body);
}

static Aml *hpet_device(uint32_t base)
{
    Aml *body = aml_new(), *crs = aml_new();

    aml_add(body, aml_name("_HID", aml_eisa_id("PNP0103")));
    aml_add(body, aml_name("_UID", aml_int(0)));
    aml_add(crs, aml_memory32(base, HPET_SIZE));
    aml_add(body, aml_name("_CRS", aml_resources(crs)));
    return aml_device("HPET", body);
}

/* SLP_TYPa, SLP_TYPb and two reserved elements. */
static Aml *soft_off(void)
{
    Aml *elements = aml_new();
    aml_add(elements, aml_int(ACPI_SLP_TYP_S5));
    aml_add(elements, aml_int(ACPI_SLP_TYP_S5));
    aml_add(elements, aml_int(0));
    aml_add(elements, aml_int(0));
    return aml_name("_S5", aml_package(4, elements));
}

Aml *acpi_dsdt_body(const AcpiBoard *board)
{
    Aml *body = aml_new(), *sb = aml_new(), *isa = aml_new();

    for (unsigned i = 0; i < board->cpus; i++)
        aml_add(sb, cpu_device(i));
    for (unsigned i = 0; i < board->isa_count; i++)
        aml_add(isa, isa_device(&board->isa[i]));
    acpi_dsdt_add_pci(sb, board, isa);
    if (board->hpet_base)
        aml_add(sb, hpet_device(board->hpet_base));
    aml_add(body, aml_scope("\\_SB", sb));
    if (board->hotplug_base)
        aml_add(body, acpi_dsdt_hotplug_event());
    aml_add(body, soft_off());
    return body;
}
