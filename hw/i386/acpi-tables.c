/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The ACPI tables of a PC.
 *
 * ACPI 6.5, section 5.2: RSDP 5.2.5, table header 5.2.6, RSDT 5.2.7, XSDT 5.2.8, FADT 5.2.9 (here
 * revision 6.0, which every reader in use takes), FACS 5.2.10, MADT 5.2.12. Fields are written in
 * order and by the specification's offsets, not through structs.
 */
#include "hw/i386/acpi-tables.h"

#include <string.h>

#include "acpi-dsdt.h"
#include "core/bits.h"
#include "hw/acpi/pm.h"

#define OEM_ID "VMM   "
#define OEM_TABLE_ID "VMMPC   "
#define CREATOR_ID "VMM "
#define HEADER_SIZE 36
#define HEADER_CHECKSUM 9

static void put(GByteArray *t, uint64_t value, unsigned size)
{
    uint8_t bytes[8];
    store_le(bytes, value, size);
    g_byte_array_append(t, bytes, size);
}

static void set(GByteArray *t, uint32_t offset, uint64_t value, unsigned size)
{
    g_assert(offset + size <= t->len);
    store_le(t->data + offset, value, size);
}

static void grow(GByteArray *t, uint32_t len)
{
    uint32_t old = t->len;
    g_byte_array_set_size(t, len);
    memset(t->data + old, 0, len - old);
}

/* Starts a table; its offset. */
static uint32_t begin_table(AcpiTables *acpi, const char *signature, uint8_t revision)
{
    GByteArray *t = acpi->tables;
    uint32_t start = align_up(t->len, 16);

    grow(t, start);
    g_byte_array_append(t, (const uint8_t *)signature, 4);
    put(t, 0, 4); /* length */
    put(t, revision, 1);
    put(t, 0, 1); /* checksum */
    g_byte_array_append(t, (const uint8_t *)OEM_ID, 6);
    g_byte_array_append(t, (const uint8_t *)OEM_TABLE_ID, 8);
    put(t, 1, 4); /* OEM revision */
    g_byte_array_append(t, (const uint8_t *)CREATOR_ID, 4);
    put(t, 1, 4);
    return start;
}

static void add_checksum(AcpiTables *acpi, bool in_rsdp, uint32_t offset, uint32_t start, uint32_t len)
{
    AcpiFixup fixup = {.in_rsdp = in_rsdp, .checksum = true, .offset = offset, .size = 1, .start = start, .len = len};
    g_array_append_val(acpi->fixups, fixup);
}

static void end_table(AcpiTables *acpi, uint32_t start)
{
    uint32_t len = acpi->tables->len - start;
    set(acpi->tables, start + 4, len, 4);
    add_checksum(acpi, false, start + HEADER_CHECKSUM, start, len);
}

/* The pointer at offset (already grown) to the table at target. */
static void add_pointer(AcpiTables *acpi, bool in_rsdp, uint32_t offset, uint8_t size, uint32_t target)
{
    AcpiFixup fixup = {.in_rsdp = in_rsdp, .offset = offset, .size = size};
    set(in_rsdp ? acpi->rsdp : acpi->tables, offset, target, size);
    g_array_append_val(acpi->fixups, fixup);
}

static uint32_t build_facs(AcpiTables *acpi)
{
    GByteArray *t = acpi->tables;
    uint32_t start = align_up(t->len, 64);

    grow(t, start + 64);
    memcpy(t->data + start, "FACS", 4);
    set(t, start + 4, 64, 4);
    set(t, start + 32, 2, 1); /* version */
    return start;
}

static uint32_t build_dsdt(AcpiTables *acpi, const AcpiBoard *board)
{
    uint32_t start = begin_table(acpi, "DSDT", 2);
    aml_add(acpi->tables, acpi_dsdt_body(board));
    end_table(acpi, start);
    return start;
}

/* FADT fields by offset, table 5.9. */
enum {
    FADT_FIRMWARE_CTRL = 36,
    FADT_DSDT = 40,
    FADT_PM_PROFILE = 45,
    FADT_SCI_INT = 46,
    FADT_SMI_CMD = 48,
    FADT_ACPI_ENABLE = 52,
    FADT_ACPI_DISABLE = 53,
    FADT_PM1A_EVT = 56,
    FADT_PM1A_CNT = 64,
    FADT_PM_TMR = 76,
    FADT_GPE0 = 80,
    FADT_PM1_EVT_LEN = 88,
    FADT_PM1_CNT_LEN = 89,
    FADT_PM_TMR_LEN = 91,
    FADT_GPE0_LEN = 92,
    FADT_P_LVL2_LAT = 96,
    FADT_P_LVL3_LAT = 98,
    FADT_CENTURY = 108,
    FADT_BOOT_ARCH = 109,
    FADT_FLAGS = 112,
    FADT_RESET_REG = 116,
    FADT_RESET_VALUE = 128,
    FADT_MINOR = 131,
    FADT_X_DSDT = 140,
    FADT_X_PM1A_EVT = 148,
    FADT_X_PM1A_CNT = 172,
    FADT_X_PM_TMR = 208,
    FADT_X_GPE0 = 220,
    FADT_SIZE = 276,
};

/* Table 5.10 */
#define FADT_WBINVD BIT(0)
#define FADT_PROC_C1 BIT(2)
#define FADT_SLP_BUTTON BIT(5) /* none in the fixed registers */
#define FADT_FIX_RTC BIT(6)    /* RTC wake status not in the fixed registers */
#define FADT_TMR_VAL_EXT BIT(8)
#define FADT_RESET_REG_SUP BIT(10)
/* Table 5.11 */
#define BOOT_LEGACY_DEVICES BIT(0)
#define BOOT_8042 BIT(1)
#define BOOT_NO_VGA BIT(2)

#define HPET_MIN_TICK 100 /* between periodic interrupts that are not lost, in clocks */
#define PM_PROFILE_DESKTOP 1
#define CMOS_CENTURY 0x32
#define NO_C2 101   /* worst-case latencies that say: not supported */
#define NO_C3 1001

/* Generic Address Structure in I/O space, 5.2.3.2; access size in bytes. */
static void set_gas(GByteArray *t, uint32_t offset, uint16_t port, unsigned bytes, unsigned access)
{
    set(t, offset, 1, 1);
    set(t, offset + 1, bytes * 8, 1);
    set(t, offset + 2, 0, 1);
    set(t, offset + 3, access == 4 ? 3 : access, 1);
    set(t, offset + 4, port, 8);
}

static void fadt_pm_block(GByteArray *t, uint32_t f, const AcpiBoard *board)
{
    uint16_t pm = board->pm_base;

    set(t, f + FADT_SMI_CMD, board->smi_cmd, 4);
    set(t, f + FADT_ACPI_ENABLE, ACPI_SMI_ENABLE, 1);
    set(t, f + FADT_ACPI_DISABLE, ACPI_SMI_DISABLE, 1);
    set(t, f + FADT_PM1A_EVT, pm + ACPI_PM1_EVT, 4);
    set(t, f + FADT_PM1A_CNT, pm + ACPI_PM1_CNT, 4);
    set(t, f + FADT_PM_TMR, pm + ACPI_PM_TMR, 4);
    set(t, f + FADT_GPE0, pm + ACPI_GPE0, 4);
    set(t, f + FADT_PM1_EVT_LEN, ACPI_PM1_EVT_LEN, 1);
    set(t, f + FADT_PM1_CNT_LEN, ACPI_PM1_CNT_LEN, 1);
    set(t, f + FADT_PM_TMR_LEN, ACPI_PM_TMR_LEN, 1);
    set(t, f + FADT_GPE0_LEN, ACPI_GPE0_LEN, 1);
    set_gas(t, f + FADT_X_PM1A_EVT, pm + ACPI_PM1_EVT, ACPI_PM1_EVT_LEN, 2);
    set_gas(t, f + FADT_X_PM1A_CNT, pm + ACPI_PM1_CNT, ACPI_PM1_CNT_LEN, 2);
    set_gas(t, f + FADT_X_PM_TMR, pm + ACPI_PM_TMR, ACPI_PM_TMR_LEN, 4);
    set_gas(t, f + FADT_X_GPE0, pm + ACPI_GPE0, ACPI_GPE0_LEN, 1);
}

static uint32_t build_fadt(AcpiTables *acpi, const AcpiBoard *board, uint32_t facs, uint32_t dsdt)
{
    uint32_t f = begin_table(acpi, "FACP", 6);
    GByteArray *t = acpi->tables;

    grow(t, f + FADT_SIZE);
    add_pointer(acpi, false, f + FADT_FIRMWARE_CTRL, 4, facs);
    add_pointer(acpi, false, f + FADT_DSDT, 4, dsdt);
    add_pointer(acpi, false, f + FADT_X_DSDT, 8, dsdt);
    set(t, f + FADT_PM_PROFILE, PM_PROFILE_DESKTOP, 1);
    set(t, f + FADT_SCI_INT, board->sci_irq, 2);
    fadt_pm_block(t, f, board);
    set(t, f + FADT_P_LVL2_LAT, NO_C2, 2);
    set(t, f + FADT_P_LVL3_LAT, NO_C3, 2);
    set(t, f + FADT_CENTURY, CMOS_CENTURY, 1);
    set(t, f + FADT_BOOT_ARCH,
        BOOT_LEGACY_DEVICES | (board->has_8042 ? BOOT_8042 : 0) | (board->has_vga ? 0 : BOOT_NO_VGA), 2);
    set(t, f + FADT_FLAGS,
        FADT_WBINVD | FADT_PROC_C1 | FADT_SLP_BUTTON | FADT_FIX_RTC | FADT_RESET_REG_SUP |
            (board->pm_timer_32bit ? FADT_TMR_VAL_EXT : 0), 4);
    set_gas(t, f + FADT_RESET_REG, board->reset_port, 1, 1);
    set(t, f + FADT_RESET_VALUE, board->reset_value, 1);
    end_table(acpi, f);
    return f;
}

/* MADT structures, table 5.21 ff. */
static void madt_cpu(GByteArray *t, uint32_t uid, uint32_t apic_id)
{
    if (apic_id < 0xff) {
        put(t, 0, 1); /* Processor Local APIC */
        put(t, 8, 1);
        put(t, uid, 1);
        put(t, apic_id, 1);
        put(t, 1, 4); /* enabled */
    } else {
        put(t, 9, 1); /* Processor Local x2APIC */
        put(t, 16, 1);
        put(t, 0, 2);
        put(t, apic_id, 4);
        put(t, 1, 4);
        put(t, uid, 4);
    }
}

static void madt_override(GByteArray *t, uint8_t irq, uint32_t gsi, uint16_t flags)
{
    put(t, 2, 1); /* Interrupt Source Override */
    put(t, 10, 1);
    put(t, 0, 1); /* ISA */
    put(t, irq, 1);
    put(t, gsi, 4);
    put(t, flags, 2);
}

#define MPS_ACTIVE_HIGH_LEVEL 0xd

/* What the PIIX3 may route PCI interrupts to (acpi-pci.c). */
static const uint8_t pci_irqs[] = {5, 10, 11};

static uint32_t build_madt(AcpiTables *acpi, const AcpiBoard *board)
{
    uint32_t m = begin_table(acpi, "APIC", 5);
    GByteArray *t = acpi->tables;

    put(t, board->lapic_base, 4);
    put(t, 1, 4); /* PCAT_COMPAT: there are 8259s as well */
    for (unsigned i = 0; i < board->cpus; i++)
        madt_cpu(t, i, board->apic_ids[i]);
    put(t, 1, 1); /* I/O APIC */
    put(t, 12, 1);
    put(t, board->ioapic_id, 1);
    put(t, 0, 1);
    put(t, board->ioapic_base, 4);
    put(t, 0, 4); /* first GSI */
    madt_override(t, 0, board->timer_gsi, 0);
    for (size_t i = 0; i < G_N_ELEMENTS(pci_irqs); i++)
        madt_override(t, pci_irqs[i], pci_irqs[i], MPS_ACTIVE_HIGH_LEVEL);
    madt_override(t, board->sci_irq, board->sci_irq, MPS_ACTIVE_HIGH_LEVEL);
    put(t, 4, 1); /* Local APIC NMI: LINT1 of all processors */
    put(t, 6, 1);
    put(t, 0xff, 1);
    put(t, 0, 2);
    put(t, 1, 1);
    end_table(acpi, m);
    return m;
}

/* IA-PC HPET 1.0a, 3.2.4. */
static uint32_t build_hpet(AcpiTables *acpi, const AcpiBoard *board)
{
    uint32_t h = begin_table(acpi, "HPET", 1);
    GByteArray *t = acpi->tables;

    put(t, board->hpet_id, 4);
    put(t, 0, 4); /* Generic Address Structure: memory */
    put(t, board->hpet_base, 8);
    put(t, 0, 1); /* its number */
    put(t, HPET_MIN_TICK, 2);
    put(t, 0, 1);
    end_table(acpi, h);
    return h;
}

/* RSDT (4-byte pointers) or XSDT (8-byte). */
static uint32_t build_root(AcpiTables *acpi, const char *signature, unsigned size, const uint32_t *targets,
                           unsigned count)
{
    uint32_t start = begin_table(acpi, signature, 1);

    for (unsigned i = 0; i < count; i++) {
        uint32_t at = acpi->tables->len;
        put(acpi->tables, 0, size);
        add_pointer(acpi, false, at, size, targets[i]);
    }
    end_table(acpi, start);
    return start;
}

static void build_rsdp(AcpiTables *acpi, uint32_t rsdt, uint32_t xsdt)
{
    GByteArray *r = acpi->rsdp;

    grow(r, 36);
    memcpy(r->data, "RSD PTR ", 8);
    memcpy(r->data + 9, OEM_ID, 6);
    set(r, 15, 2, 1); /* revision */
    set(r, 20, 36, 4);
    add_pointer(acpi, true, 16, 4, rsdt);
    add_pointer(acpi, true, 24, 8, xsdt);
    add_checksum(acpi, true, 8, 0, 20);
    add_checksum(acpi, true, 32, 0, 36);
}

AcpiTables *acpi_tables_build(const AcpiBoard *board)
{
    AcpiTables *acpi = g_new0(AcpiTables, 1);

    acpi->rsdp = g_byte_array_new();
    acpi->tables = g_byte_array_new();
    acpi->fixups = g_array_new(FALSE, TRUE, sizeof(AcpiFixup));
    uint32_t facs = build_facs(acpi);
    uint32_t dsdt = build_dsdt(acpi, board);
    uint32_t targets[3];
    unsigned count = 0;
    targets[count++] = build_fadt(acpi, board, facs, dsdt);
    targets[count++] = build_madt(acpi, board);
    if (board->hpet_base)
        targets[count++] = build_hpet(acpi, board);
    uint32_t rsdt = build_root(acpi, "RSDT", 4, targets, count);
    uint32_t xsdt = build_root(acpi, "XSDT", 8, targets, count);
    build_rsdp(acpi, rsdt, xsdt);
    return acpi;
}

void acpi_tables_link(AcpiTables *acpi, uint64_t base)
{
    for (guint i = 0; i < acpi->fixups->len; i++) {
        const AcpiFixup *fixup = &g_array_index(acpi->fixups, AcpiFixup, i);
        uint8_t *data = fixup->in_rsdp ? acpi->rsdp->data : acpi->tables->data;
        uint8_t sum = 0;
        if (!fixup->checksum) {
            uint64_t value = load_le(data + fixup->offset, fixup->size) + base;
            g_assert(value <= size_mask(fixup->size));
            store_le(data + fixup->offset, value, fixup->size);
            continue;
        }
        data[fixup->offset] = 0;
        for (uint32_t n = 0; n < fixup->len; n++)
            sum += data[fixup->start + n];
        data[fixup->offset] = -sum;
    }
}

void acpi_tables_free(AcpiTables *acpi)
{
    if (!acpi)
        return;
    g_byte_array_unref(acpi->rsdp);
    g_byte_array_unref(acpi->tables);
    g_array_unref(acpi->fixups);
    g_free(acpi);
}
