/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The DSDT's PCI host bridge: what it decodes, how its interrupts are routed, and the functions ACPI
 * has something to say about.
 *
 * Sources: ACPI 6.5, 6.2.13 (_PRT), 6.2.2 (_CRS), 6.2.12 (_PRS), 6.2.16 (_SRS); PCI Firmware Specification 3.3,
 * 4.1 (host bridges in the name space). PIIX3 data sheet 290550, 2.2.7 (PIRQ route control).
 *
 *     \_SB.LNKA .. LNKD      PIRQA# to PIRQD#: interrupts 5, 10 or 11, chosen in the PIIX3
 *     \_SB.LNKS              the SCI, which the PIIX4's function 3 says is its INTA#: interrupt 9, fixed
 *     \_SB.PCI0              host bridge
 *     \_SB.PCI0.ISA          PIIX3: PRQ0 to PRQ3 are its route control registers
 */
#include "acpi-dsdt.h"

#include <stdio.h>

#include "hw/pci/piix3.h"

/* _STA, 6.3.7 */
#define STA_PRESENT_DISABLED 0x9
#define STA_PRESENT_ENABLED 0xb

#define INTERRUPT_IN_DESCRIPTOR 5 /* offset of the first number in an extended interrupt descriptor */

static const uint32_t pirq_choices[] = {5, 10, 11};
static const char *const pirq_fields[] = {"PRQ0", "PRQ1", "PRQ2", "PRQ3", NULL};

static Aml *interrupt_resource(const uint32_t *irqs, unsigned count)
{
    Aml *descriptors = aml_new();
    aml_add(descriptors, aml_interrupts(irqs, count));
    return aml_resources(descriptors);
}

static Aml *link_head(unsigned uid)
{
    Aml *body = aml_new();
    aml_add(body, aml_name("_HID", aml_eisa_id("PNP0C0F")));
    aml_add(body, aml_name("_UID", aml_int(uid)));
    return body;
}

static Aml *link_sta(const char *reg)
{
    Aml *body = aml_new(), *off = aml_return(aml_int(STA_PRESENT_DISABLED));

    aml_add(body, aml_if(aml_and(aml_ref(reg), aml_int(PIRQRC_DISABLED)), off));
    aml_add(body, aml_return(aml_int(STA_PRESENT_ENABLED)));
    return aml_method("_STA", 0, false, body);
}

/* BUF is a resource template whose number CRSI is filled in. */
static Aml *link_crs(const char *reg)
{
    Aml *body = aml_new();

    aml_add(body, aml_create_dword_field(aml_ref("BUF"), INTERRUPT_IN_DESCRIPTOR, "CRSI"));
    aml_add(body, aml_store(aml_and(aml_ref(reg), aml_int(PIRQRC_IRQ)), aml_ref("CRSI")));
    aml_add(body, aml_return(aml_ref("BUF")));
    return aml_method("_CRS", 0, true, body);
}

static Aml *link_srs(const char *reg)
{
    Aml *body = aml_new();

    aml_add(body, aml_create_dword_field(aml_arg(0), INTERRUPT_IN_DESCRIPTOR, "SRSI"));
    aml_add(body, aml_store(aml_ref("SRSI"), aml_ref(reg)));
    return aml_method("_SRS", 1, true, body);
}

static Aml *pirq_link(unsigned line)
{
    static const uint32_t none;
    g_autofree char *reg = g_strconcat("\\_SB.PCI0.ISA.", pirq_fields[line], NULL);
    const char name[] = {'L', 'N', 'K', 'A' + line, 0};
    Aml *body = link_head(line);

    aml_add(body, aml_name("_PRS", interrupt_resource(pirq_choices, G_N_ELEMENTS(pirq_choices))));
    aml_add(body, aml_name("BUF", interrupt_resource(&none, 1)));
    aml_add(body, link_sta(reg));
    Aml *disabled = aml_or(aml_ref(reg), aml_int(PIRQRC_DISABLED));
    aml_add(body, aml_method("_DIS", 0, false, aml_store(disabled, aml_ref(reg))));
    aml_add(body, link_crs(reg));
    aml_add(body, link_srs(reg));
    return aml_device(name, body);
}

static Aml *sci_link(uint32_t irq)
{
    Aml *body = link_head(PCI_INTX_LINES);

    aml_add(body, aml_name("_PRS", interrupt_resource(&irq, 1)));
    aml_add(body, aml_name("_CRS", interrupt_resource(&irq, 1)));
    aml_add(body, aml_name("_STA", aml_int(STA_PRESENT_ENABLED)));
    aml_add(body, aml_method("_DIS", 0, false, aml_new()));
    aml_add(body, aml_method("_SRS", 1, false, aml_new()));
    return aml_device("LNKS", body);
}

/* Address, pin, link, index in the link's resources. */
static Aml *route(unsigned slot, unsigned pin, const char *link)
{
    Aml *elements = aml_new();

    aml_add(elements, aml_int(slot << 16 | 0xffff));
    aml_add(elements, aml_int(pin));
    aml_add(elements, aml_ref(link));
    aml_add(elements, aml_int(0));
    return aml_package(4, elements);
}

/* The rotation of the root bus (pc-pci.c): slot 1's INTA# is PIRQA#. */
static Aml *routing_table(void)
{
    Aml *routes = aml_new();

    for (unsigned slot = 0; slot < PCI_SLOTS; slot++) {
        for (unsigned pin = 0; pin < PCI_INTX_LINES; pin++) {
            const char link[] = {'L', 'N', 'K', 'A' + (slot + pin + 3) % PCI_INTX_LINES, 0};
            aml_add(routes, route(slot, pin, slot == 1 && pin == 0 ? "LNKS" : link));
        }
    }
    return aml_package(PCI_SLOTS * PCI_INTX_LINES, routes);
}

static Aml *windows(const AcpiPci *pci)
{
    Aml *crs = aml_new();

    aml_add(crs, aml_bus_window(0, 0xff));
    aml_add(crs, aml_io(0xcf8, 8));
    aml_add(crs, aml_io_window(0, 0xcf7));
    aml_add(crs, aml_io_window(0xd00, 0xffff));
    aml_add(crs, aml_memory_window(0xa0000, 0xbffff));
    aml_add(crs, aml_memory_window(pci->start32, pci->end32 - 1));
    if (pci->end64 > pci->start64)
        aml_add(crs, aml_memory_window(pci->start64, pci->end64 - 1));
    return aml_resources(crs);
}

static Aml *isa_bridge(Aml *isa_devices)
{
    Aml *body = aml_new();

    aml_add(body, aml_name("_ADR", aml_int(0x00010000)));
    aml_add(body, aml_operation_region("PIRQ", AML_PCI_CONFIG, PIIX3_PIRQRCA, PCI_INTX_LINES));
    aml_add(body, aml_byte_fields("PIRQ", pirq_fields));
    aml_add(body, isa_devices);
    return aml_device("ISA", body);
}

void acpi_dsdt_add_pci(Aml *sb, const AcpiBoard *board, Aml *isa_devices)
{
    Aml *body = aml_new();

    aml_add(body, aml_name("_HID", aml_eisa_id("PNP0A03")));
    aml_add(body, aml_name("_UID", aml_int(0)));
    aml_add(body, aml_name("_BBN", aml_int(0)));
    aml_add(body, aml_name("_CRS", windows(&board->pci)));
    aml_add(body, aml_name("_PRT", routing_table()));
    aml_add(body, isa_bridge(isa_devices));
    if (board->hotplug_base)
        acpi_dsdt_add_hotplug(body, board);
    aml_add(sb, aml_device("PCI0", body));
    for (unsigned line = 0; line < PCI_INTX_LINES; line++)
        aml_add(sb, pirq_link(line));
    aml_add(sb, sci_link(board->sci_irq));
}
