/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The ACPI tables of a PC: RSDP, RSDT, XSDT, FADT, FACS, MADT, HPET and DSDT.
 *
 * The board says what it is made of (AcpiBoard); the tables say it to the guest. They are built
 * without knowing where they will lie: pointers are offsets plus a list of where they are, so that
 * the board can place them itself (acpi_tables_link) or hand them to firmware that does.
 */
#ifndef HW_I386_ACPI_TABLES_H
#define HW_I386_ACPI_TABLES_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

typedef struct AcpiPorts {
    uint16_t base;
    uint8_t count; /* 0: unused */
} AcpiPorts;

#define ACPI_ISA_PORTS 4
#define ACPI_NO_IRQ -1

/* A device on the ISA bus, for the DSDT. */
typedef struct AcpiIsaDevice {
    const char *name; /* four characters, unique */
    const char *hid;  /* EISA id ("PNP0501") or another string ("QEMU0002") */
    unsigned uid;
    AcpiPorts ports[ACPI_ISA_PORTS];
    int irq; /* ACPI_NO_IRQ: none */
} AcpiIsaDevice;

/* Where PCI devices may be mapped: start included, end not. */
typedef struct AcpiPci {
    uint64_t start32, end32;
    uint64_t start64, end64; /* empty: none above 4 GiB */
} AcpiPci;

typedef struct AcpiBoard {
    unsigned cpus;
    const uint32_t *apic_ids; /* cpus of them; the processor UID is the index */
    uint64_t lapic_base, ioapic_base;
    uint8_t ioapic_id;
    uint8_t sci_irq;
    uint8_t timer_gsi; /* where ISA IRQ 0 arrives */

    uint32_t hpet_base, hpet_id; /* where it lies and its block id; 0: none */

    uint16_t pm_base; /* hw/acpi/pm.h gives the layout */
    bool pm_timer_32bit;
    uint16_t smi_cmd;
    uint16_t reset_port;
    uint8_t reset_value;
    bool has_8042;
    bool has_vga;

    AcpiPci pci;
    uint16_t hotplug_base;   /* hw/acpi/pci-hotplug.h gives the layout; 0: none */
    uint32_t hotplug_slots;  /* of the root bus, a bit each */
    const AcpiIsaDevice *isa;
    unsigned isa_count;
} AcpiBoard;

/* A pointer of size bytes at offset, into tables; or a checksum byte over [start, start + len). */
typedef struct AcpiFixup {
    bool in_rsdp;  /* offset, start: in rsdp instead of tables */
    bool checksum;
    uint32_t offset;
    uint8_t size;
    uint32_t start, len;
} AcpiFixup;

#define ACPI_TABLES_ALIGN 64 /* of the FACS, hence of the whole */

typedef struct AcpiTables {
    GByteArray *rsdp;   /* 16-byte aligned, where the guest looks for it */
    GByteArray *tables;
    GArray *fixups;     /* of AcpiFixup; pointers before the checksums over them */
} AcpiTables;

AcpiTables *acpi_tables_build(const AcpiBoard *board);
/* Resolves all fixups for tables lying at base. Once. */
void acpi_tables_link(AcpiTables *acpi, uint64_t base);
void acpi_tables_free(AcpiTables *acpi);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(AcpiTables, acpi_tables_free)

#endif
