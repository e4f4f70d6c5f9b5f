/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The PIIX4's function 3: power management and SMBus.
 * Source: 82371AB data sheet 290562: 7.1 (configuration registers), 7.3 (SMBus registers).
 *
 * The ACPI block behind PMBA is hw/acpi/pm.c, which has the general-purpose events where the ICH9 has
 * them (+20h) and not at +0Ch: operating systems look into the FADT.
 *
 * SMBus: no device answers. Each transaction ends at once with DEV_ERR, as an address that nobody
 * acknowledges does. Not modelled: the slave side, SMBus interrupts, device monitors, SMIs.
 *
 * Locking: machine_lock.
 */
#include "hw/acpi/piix4-pm.h"

#include "core/bits.h"
#include "core/machine.h"

/* DEVACTB bit 25: writes to APMC raise SMIs, which firmware turns on when it has set up SMM. */
#define DEVACTB_APMC_EN 0x02000000u

/* SMBus registers, 7.3. */
enum {
    SMBHSTSTS = 0,
    SMBSLVSTS = 1,
    SMBHSTCNT = 2,
    SMBHSTCMD = 3,
    SMBHSTADD = 4,
    SMBHSTDAT0 = 5,
    SMBHSTDAT1 = 6,
    SMBBLKDAT = 7,
    SMBSLVCNT = 8,
};
#define HSTSTS_DEV_ERR 0x04
#define HSTSTS_CLEARABLE 0x1e
#define SLVSTS_CLEARABLE 0x3c
#define HSTCNT_START 0x40 /* write-only */
#define HSTCNT_KEPT 0x1f

/* --- SMBus --- */

/* Reading SMBHSTCNT rewinds the block buffer, 7.3.8. */
static uint64_t smbus_read(void *opaque, uint64_t offset, unsigned size)
{
    Piix4Pm *piix4 = opaque;
    Piix4SmbusRegs *r = &piix4->smb;

    switch (offset) {
    case SMBHSTSTS:
        return r->hststs;
    case SMBSLVSTS:
        return r->slvsts;
    case SMBHSTCNT:
        r->block_index = 0;
        return r->hstcnt;
    case SMBHSTCMD:
        return r->hstcmd;
    case SMBHSTADD:
        return r->hstadd;
    case SMBHSTDAT0:
        return r->hstdat0;
    case SMBHSTDAT1:
        return r->hstdat1;
    case SMBBLKDAT:
        return r->block[r->block_index++ % sizeof(r->block)];
    case SMBSLVCNT:
        return r->slvcnt;
    default:
        return 0;
    }
}

static void smbus_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
    Piix4Pm *piix4 = opaque;
    Piix4SmbusRegs *r = &piix4->smb;

    switch (offset) {
    case SMBHSTSTS:
        r->hststs &= ~(value & HSTSTS_CLEARABLE);
        break;
    case SMBSLVSTS:
        r->slvsts &= ~(value & SLVSTS_CLEARABLE);
        break;
    case SMBHSTCNT:
        r->hstcnt = value & HSTCNT_KEPT;
        if (value & HSTCNT_START)
            r->hststs |= HSTSTS_DEV_ERR;
        break;
    case SMBHSTCMD:
        r->hstcmd = value;
        break;
    case SMBHSTADD:
        r->hstadd = value;
        break;
    case SMBHSTDAT0:
        r->hstdat0 = value;
        break;
    case SMBHSTDAT1:
        r->hstdat1 = value;
        break;
    case SMBBLKDAT:
        r->block[r->block_index++ % sizeof(r->block)] = value;
        break;
    case SMBSLVCNT:
        r->slvcnt = value & 0x0f;
        break;
    }
}

static const MemoryRegionOps smbus_ops = {
    .read = smbus_read,
    .write = smbus_write,
    .valid = {1, 4},
    .impl = {1, 1},
};

/* --- where the registers lie --- */

static void place(Piix4Pm *piix4, MemoryRegion *io, bool decoded, uint32_t base)
{
    if (io->parent && (!decoded || io->offset != base))
        memory_region_remove(io);
    if (decoded && !io->parent)
        memory_region_add(piix4->pci.bus->io, base, io, 0);
}

static void update_places(Piix4Pm *piix4)
{
    const PciDevice *pci = &piix4->pci;
    uint32_t pmba = pci_get(pci, PIIX4_PMBA, 2) & 0xffc0, smbba = pci_get(pci, PIIX4_SMBBA, 2) & 0xfff0;
    bool pm_on = pci->config[PIIX4_PMREGMISC] & PIIX4_PMIOSE;
    bool smbus_on = (pci->config[PIIX4_SMBHSTCFG] & PIIX4_SMB_HST_EN) && (pci->config[PCI_COMMAND] & PCI_COMMAND_IO);

    memory_transaction_begin();
    place(piix4, &piix4->pm->io, pm_on && pmba, pmba);
    place(piix4, &piix4->smbus, smbus_on && smbba, smbba);
    memory_transaction_commit();
}

static void piix4_written(PciDevice *pci, unsigned offset, unsigned len)
{
    update_places((Piix4Pm *)pci);
}

/* --- life cycle --- */

void piix4_pm_connect(Piix4Pm *piix4, AcpiPm *pm)
{
    piix4->pm = pm;
}

/* INTA# is not connected: the SCI is ISA interrupt 9 (7.1.13, 8.3). */
static const PciInfo piix4_pm_info = {
    .vendor = PCI_VENDOR_INTEL,
    .device = 0x7113,
    .revision = 3,
    .class_code = PCI_CLASS_BRIDGE_OTHER,
    .interrupt_pin = 1,
    .written = piix4_written,
};

static bool piix4_pm_realize(Device *dev, GError **errp)
{
    Piix4Pm *piix4 = (Piix4Pm *)dev;
    PciDevice *pci = &piix4->pci;

    if (!pci_device_attach(pci, &piix4_pm_info, errp))
        return false;
    pci_init_register(pci, PCI_COMMAND, 2, 0, PCI_COMMAND_IO | PCI_COMMAND_SPECIAL);
    pci_set(pci, PCI_STATUS, 2, PCI_STATUS_DEVSEL_MEDIUM | PCI_STATUS_FAST_BACK);
    pci_init_register(pci, PIIX4_PMBA, 4, 1, 0x0000ffc0);
    pci_init_register(pci, PIIX4_DEVACTB, 4, piix4->smm_initialized ? DEVACTB_APMC_EN : 0, 0x07ffffff);
    pci_init_register(pci, PIIX4_PMREGMISC, 1, 0, PIIX4_PMIOSE);
    pci_init_register(pci, PIIX4_SMBBA, 4, 1, 0x0000fff0);
    pci_init_register(pci, PIIX4_SMBHSTCFG, 1, 0, 0x0f);
    memory_region_init_io(&piix4->smbus, &smbus_ops, piix4, "piix4-smbus", PIIX4_SMBUS_IO_SIZE);
    return true;
}

static void piix4_pm_unrealize(Device *dev)
{
    Piix4Pm *piix4 = (Piix4Pm *)dev;

    if (piix4->pm->io.parent)
        memory_region_remove(&piix4->pm->io);
    pci_device_detach(&piix4->pci);
    memory_region_release(&piix4->smbus);
}

static void piix4_pm_reset(Device *dev)
{
    Piix4Pm *piix4 = (Piix4Pm *)dev;

    pci_device_reset(&piix4->pci);
    piix4->smb = (Piix4SmbusRegs){0};
    update_places(piix4);
}

static const Property piix4_pm_props[] = {
    {"smm-initialized", PROP_BOOL, offsetof(Piix4Pm, smm_initialized), "on", "firmware need not set up SMM", NULL, 0, 0},
    PCI_DEVICE_PROPS,
    {0},
};

const DeviceType piix4_pm_type = {
    .name = "PIIX4_PM",
    .desc = "PIIX4 power management and SMBus",
    .bus = "pci",
    .instance_size = sizeof(Piix4Pm),
    .props = piix4_pm_props,
    .realize = piix4_pm_realize,
    .unrealize = piix4_pm_unrealize,
    .reset = piix4_pm_reset,
};
