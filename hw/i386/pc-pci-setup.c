/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What firmware does to PCI, for guests that are booted without one: shadow RAM open, interrupt lines
 * routed, ACPI registers placed, BARs assigned.
 *
 * Sources: PCI BIOS Specification 2.1 and PCI 3.0, 6.2.5 (sizes), Intel data sheets 290549, 290550,
 * 290562 (the registers). Routes and places are those SeaBIOS chooses on this board.
 *
 * Buses behind bridges are left to the operating system, which numbers and assigns them itself.
 */
#include "core/bits.h"
#include "core/log.h"
#include "hw/intc/i8259.h"
#include "pc-internal.h"

#define PM_DEVFN PCI_DEVFN(1, 3)
#define ISA_DEVFN PCI_DEVFN(1, 0)
#define IDE_DEVFN PCI_DEVFN(1, 1)

/* PIRQA# to PIRQD#. */
static const uint8_t pirq_irqs[PCI_INTX_LINES] = {10, 10, 11, 11};

/* Each space is given out from its end downward, largest sizes first, which keeps all aligned. */
typedef struct Space {
    uint64_t start, next;
} Space;

typedef struct Setup {
    PcMachine *pc;
    GArray *bars; /* of BarRef */
    Space io, memory32, memory64;
} Setup;

typedef struct BarRef {
    PciDevice *pci;
    unsigned index;
} BarRef;

static void write_config(PcMachine *pc, uint8_t devfn, unsigned offset, uint32_t value, unsigned size)
{
    pci_config_write(&pc->i440fx->bus, 0, devfn, offset, value, size);
}

static void open_shadow_ram(PcMachine *pc)
{
    write_config(pc, 0, I440FX_PAM0, 0x30, 1);
    for (unsigned i = 1; i < I440FX_PAM_COUNT; i++)
        write_config(pc, 0, I440FX_PAM0 + i, 0x33, 1);
}

static void route_interrupts(PcMachine *pc)
{
    for (unsigned line = 0; line < PCI_INTX_LINES; line++)
        write_config(pc, ISA_DEVFN, PIIX3_PIRQRCA + line, pirq_irqs[line], 1);
    /* Where the accelerator has the PIC this is its own business, as is that of I/O APICs anyway. */
    if (pc->pic)
        memory_region_write(&pc->pic->chip[I8259_SLAVE].elcr, 0, 1, BIT(10 - 8) | BIT(11 - 8));
}

static void place_acpi(PcMachine *pc)
{
    if (!pc->piix4_pm)
        return;
    write_config(pc, PM_DEVFN, PIIX4_PMBA, PORT_PM, 4);
    write_config(pc, PM_DEVFN, PIIX4_PMREGMISC, PIIX4_PMIOSE, 1);
    write_config(pc, PM_DEVFN, PIIX4_SMBBA, PORT_SMBUS, 4);
    write_config(pc, PM_DEVFN, PIIX4_SMBHSTCFG, PIIX4_SMB_HST_EN, 1);
    write_config(pc, PM_DEVFN, PCI_COMMAND, PCI_COMMAND_IO, 2);
    write_config(pc, PM_DEVFN, PCI_INTERRUPT_LINE, ACPI_SCI_IRQ, 1);
}

/* Drivers skip a channel whose decoding is not enabled. */
static void enable_ide(PcMachine *pc)
{
    for (unsigned i = 0; i < IDE_CHANNELS; i++)
        write_config(pc, IDE_DEVFN, PIIX_IDETIM + 2 * i, PIIX_IDETIM_ENABLE, 2);
}

static void collect(PciDevice *pci, void *opaque)
{
    Setup *setup = opaque;

    if (pci->bus->bridge)
        return;
    for (unsigned i = 0; i <= PCI_ROM_BAR; i++) {
        BarRef ref = {pci, i};
        if (pci->bars[i].mr)
            g_array_append_val(setup->bars, ref);
    }
}

static uint64_t bar_size(const BarRef *ref)
{
    return ref->pci->bars[ref->index].mr->size;
}

static gint larger_first(gconstpointer a, gconstpointer b)
{
    uint64_t x = bar_size(a), y = bar_size(b);
    return x < y ? 1 : x > y ? -1 : 0;
}

static uint64_t take(Space *space, uint64_t size)
{
    uint64_t address = space->next >= size ? align_down(space->next - size, size) : 0;

    if (address < space->start || !address)
        return 0;
    space->next = address;
    return address;
}

static uint64_t place_bar(Setup *setup, const PciBar *bar)
{
    uint64_t address = take(bar->flags & PCI_BAR_IO ? &setup->io : &setup->memory32, bar->mr->size);

    if (!address && (bar->flags & PCI_BAR_MEM64))
        address = take(&setup->memory64, bar->mr->size);
    return address;
}

static void assign(Setup *setup, const BarRef *ref)
{
    PciDevice *pci = ref->pci;
    const PciBar *bar = &pci->bars[ref->index];
    unsigned reg = ref->index == PCI_ROM_BAR ? PCI_ROM_ADDRESS : PCI_BAR0 + 4 * ref->index;
    uint64_t address = place_bar(setup, bar);

    if (!address) {
        log_warn("no room for a BAR of %s (%" G_GUINT64_FORMAT " KiB): the guest may not find the device",
                 device_name(&pci->dev), bar->mr->size / KIB);
        return;
    }
    write_config(setup->pc, pci->devfn, reg, address, 4);
    if (bar->flags & PCI_BAR_MEM64)
        write_config(setup->pc, pci->devfn, reg + 4, address >> 32, 4);
    write_config(setup->pc, pci->devfn, PCI_COMMAND,
                 pci_get(pci, PCI_COMMAND, 2) | (bar->flags & PCI_BAR_IO ? PCI_COMMAND_IO : PCI_COMMAND_MEMORY), 2);
}

static void set_interrupt_line(PciDevice *pci, void *opaque)
{
    PcMachine *pc = opaque;
    int line = pci_intx_root_line(pci);

    if (line >= 0 && !pci->bus->bridge && pci->devfn != PM_DEVFN)
        write_config(pc, pci->devfn, PCI_INTERRUPT_LINE, pirq_irqs[line], 1);
}

void pc_pci_setup(PcMachine *pc)
{
    AcpiPci holes = pc_pci_holes(pc);
    Setup setup = {
        .pc = pc,
        .bars = g_array_new(false, false, sizeof(BarRef)),
        .io = {PCI_IO_START, IO_SPACE_SIZE},
        .memory32 = {holes.start32, holes.end32},
        .memory64 = {holes.start64, holes.end64},
    };

    memory_transaction_begin();
    open_shadow_ram(pc);
    route_interrupts(pc);
    place_acpi(pc);
    enable_ide(pc);
    pci_bus_foreach(&pc->i440fx->bus, collect, &setup);
    g_array_sort(setup.bars, larger_first);
    for (guint i = 0; i < setup.bars->len; i++)
        assign(&setup, &g_array_index(setup.bars, BarRef, i));
    pci_bus_foreach(&pc->i440fx->bus, set_interrupt_line, pc);
    memory_transaction_commit();
    g_array_unref(setup.bars);
}
