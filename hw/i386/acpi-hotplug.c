/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The DSDT's side of PCI hot plug: a device for each slot that one can be plugged into, and the methods
 * that tell the system and eject.
 *
 * Sources: ACPI 6.5, 5.6.4.1.1 (_Exx), 5.6.6 (Notify), 6.1.11 (_SUN), 6.3.3 (_EJ0); hw/acpi/pci-hotplug.h
 *
 *     \_GPE._E01                calls
 *     \_SB.PCI0.PCNT            which tells of each slot with a bit in PCIU or PCID
 *     \_SB.PCI0.Snn._EJ0        writes the slot's bit to B0EJ
 */
#include "acpi-dsdt.h"

#include <stdio.h>

#include "core/bits.h"
#include "hw/acpi/pci-hotplug.h"

#define NOTIFY_DEVICE_CHECK 1
#define NOTIFY_EJECT_REQUEST 3

static const char *const fields[] = {"PCIU", "PCID", "B0EJ", "PRMV", "BNUM", NULL};

/* Two capital hexadecimal digits. */
static void slot_name(unsigned slot, char name[4])
{
    snprintf(name, 4, "S%02X", slot);
}

static Aml *slot_device(unsigned slot)
{
    char name[4];
    Aml *body = aml_new();

    slot_name(slot, name);
    aml_add(body, aml_name("_SUN", aml_int(slot)));
    aml_add(body, aml_name("_ADR", aml_int(slot << 16)));
    aml_add(body, aml_method("_EJ0", 1, false, aml_store(aml_int(BIT(slot)), aml_ref("\\_SB.PCI0.B0EJ"))));
    return aml_device(name, body);
}

static Aml *tell(unsigned slot, unsigned local, unsigned notification)
{
    char name[4];

    slot_name(slot, name);
    return aml_if(aml_and(aml_local(local), aml_int(BIT(slot))), aml_notify(name, notification));
}

/* Reading PCIU clears it. */
static Aml *count_method(uint32_t slots)
{
    Aml *body = aml_new();

    aml_add(body, aml_store(aml_int(0), aml_ref("BNUM")));
    aml_add(body, aml_store(aml_ref("PCIU"), aml_local(0)));
    aml_add(body, aml_store(aml_ref("PCID"), aml_local(1)));
    for (unsigned slot = 0; slot < PCI_SLOTS; slot++) {
        if (!(slots & BIT(slot)))
            continue;
        aml_add(body, tell(slot, 0, NOTIFY_DEVICE_CHECK));
        aml_add(body, tell(slot, 1, NOTIFY_EJECT_REQUEST));
    }
    return aml_method("PCNT", 0, true, body);
}

void acpi_dsdt_add_hotplug(Aml *pci0, const AcpiBoard *board)
{
    aml_add(pci0, aml_operation_region("PCST", AML_SYSTEM_IO, board->hotplug_base, PCI_HOTPLUG_SIZE));
    aml_add(pci0, aml_dword_fields("PCST", fields));
    for (unsigned slot = 0; slot < PCI_SLOTS; slot++) {
        if (board->hotplug_slots & BIT(slot))
            aml_add(pci0, slot_device(slot));
    }
    aml_add(pci0, count_method(board->hotplug_slots));
}

Aml *acpi_dsdt_hotplug_event(void)
{
    return aml_scope("\\_GPE", aml_method("_E01", 0, false, aml_ref("\\_SB.PCI0.PCNT")));
}
