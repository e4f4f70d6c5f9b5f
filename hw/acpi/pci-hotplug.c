/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * PCI hot plug by ACPI (hw/acpi/pci-hotplug.h has the registers and the course of things).
 * Source: QEMU, docs/specs/acpi_pci_hotplug.rst; ACPI 6.5, 5.6.6 (device object notifications), 6.3.3 (_EJx).
 *
 * Not modelled: slots behind bridges, renumbering by _DSM.
 *
 * A device leaves on the main loop and not in the access that ejects it: its end waits for its requests, and
 * another vCPU may be in its registers.
 *
 * Locking: machine_lock.
 */
#include "hw/acpi/pci-hotplug.h"

#include "core/bits.h"
#include "core/error.h"
#include "core/event.h"
#include "core/lock.h"
#include "core/loop.h"
#include "core/machine.h"

static uint32_t occupied(const AcpiPciHotplug *hotplug)
{
    uint32_t slots = 0;

    for (unsigned devfn = 0; devfn < G_N_ELEMENTS(hotplug->bus->devices); devfn++)
        slots |= hotplug->bus->devices[devfn] ? BIT(PCI_SLOT(devfn)) : 0;
    return slots;
}

static uint32_t removable(const AcpiPciHotplug *hotplug)
{
    return occupied(hotplug) & ~hotplug->fixed;
}

/* --- the end of devices --- */

/* False: somebody frees it already, and its end waits for requests. */
static bool is_there(PciDevice *pci)
{
    return pci && g_ptr_array_find(pci->dev.machine->devices, pci, NULL);
}

static void remove_function(PciDevice *pci)
{
    if (pci->dev.id)
        event_emit(VM_EVENT_DEVICE_DELETED, "{s:s, s:s}", "device", pci->dev.id, "path", pci->dev.id);
    device_free(&pci->dev);
}

static void remove_leaving(void *opaque)
{
    AcpiPciHotplug *hotplug = opaque;
    uint32_t slots = hotplug->leaving & removable(hotplug);

    hotplug->leaving = 0;
    hotplug->regs.up &= ~slots;
    hotplug->regs.down &= ~slots;
    for (unsigned devfn = G_N_ELEMENTS(hotplug->bus->devices); devfn-- > 0;) {
        PciDevice *pci = hotplug->bus->devices[devfn];
        if (slots & BIT(PCI_SLOT(devfn)) && is_there(pci))
            remove_function(pci);
    }
}

static void eject(AcpiPciHotplug *hotplug, uint32_t slots)
{
    slots &= removable(hotplug);
    hotplug->leaving |= slots;
    if (slots)
        timer_mod(&hotplug->removal, clock_get_ns(VMCLOCK_MONO));
}

/* --- registers --- */

static uint64_t hotplug_read(void *opaque, uint64_t offset, unsigned size)
{
    AcpiPciHotplug *hotplug = opaque;
    AcpiPciHotplugRegs *r = &hotplug->regs;
    uint32_t value = 0;

    if (r->bus && offset != PCIHP_BUS)
        return 0;
    switch (offset) {
    case PCIHP_UP:
        value = r->up;
        r->up = 0;
        break;
    case PCIHP_DOWN:
        value = r->down;
        break;
    case PCIHP_REMOVABLE:
        value = removable(hotplug);
        break;
    case PCIHP_BUS:
        value = r->bus;
        break;
    }
    return value;
}

static void hotplug_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
    AcpiPciHotplug *hotplug = opaque;

    if (offset == PCIHP_BUS)
        hotplug->regs.bus = value;
    else if (offset == PCIHP_EJECT && !hotplug->regs.bus)
        eject(hotplug, value);
}

static const MemoryRegionOps hotplug_ops = {
    .read = hotplug_read,
    .write = hotplug_write,
    .valid = {4, 4},
    .impl = {4, 4},
};

/* --- the user --- */

bool acpi_pci_hotplug_plug(AcpiPciHotplug *hotplug, PciDevice *pci, GError **errp)
{
    uint32_t slot = BIT(PCI_SLOT(pci->devfn));

    if (pci->bus != hotplug->bus)
        return error_set(errp, "devices can be plugged into bus %s only while the VM runs", hotplug->bus->name);
    if (PCI_FUNC(pci->devfn) || pci->multifunction)
        return error_set(errp, "a slot is plugged as a whole: its only function is 0");
    hotplug->regs.up |= slot;
    acpi_pm_set_gpe(hotplug->pm, PCI_HOTPLUG_GPE);
    return true;
}

bool acpi_pci_hotplug_request_unplug(AcpiPciHotplug *hotplug, PciDevice *pci, GError **errp)
{
    uint32_t slot = BIT(PCI_SLOT(pci->devfn));

    if (pci->bus != hotplug->bus || !(removable(hotplug) & slot))
        return error_set(errp, "'%s' cannot be unplugged", device_name(&pci->dev));
    if ((hotplug->regs.down | hotplug->leaving) & slot)
        return error_set(errp, "the guest has been asked to let go of '%s' and has not answered yet",
                         device_name(&pci->dev));
    hotplug->regs.down |= slot;
    acpi_pm_set_gpe(hotplug->pm, PCI_HOTPLUG_GPE);
    return true;
}

/* --- life cycle --- */

void acpi_pci_hotplug_connect(AcpiPciHotplug *hotplug, AcpiPm *pm, PciBus *bus, uint32_t fixed)
{
    hotplug->pm = pm;
    hotplug->bus = bus;
    hotplug->fixed = fixed;
}

static bool hotplug_realize(Device *dev, GError **errp)
{
    AcpiPciHotplug *hotplug = (AcpiPciHotplug *)dev;

    timer_init(&hotplug->removal, event_loop_main(), VMCLOCK_MONO, remove_leaving, hotplug);
    memory_region_init_io(&hotplug->io, &hotplug_ops, hotplug, "acpi-pci-hotplug", PCI_HOTPLUG_SIZE);
    return true;
}

static void hotplug_unrealize(Device *dev)
{
    AcpiPciHotplug *hotplug = (AcpiPciHotplug *)dev;

    timer_release(&hotplug->removal);
    memory_region_release(&hotplug->io);
}

/* What the system before the reset was asked for, firmware need not see any more. */
static void hotplug_reset(Device *dev)
{
    AcpiPciHotplug *hotplug = (AcpiPciHotplug *)dev;
    uint32_t wanted = hotplug->regs.down;

    hotplug->regs = (AcpiPciHotplugRegs){0};
    eject(hotplug, wanted);
}

const DeviceType acpi_pci_hotplug_type = {
    .name = "acpi-pci-hotplug",
    .desc = "PCI hot plug by ACPI",
    .bus = "system",
    .instance_size = sizeof(AcpiPciHotplug),
    .realize = hotplug_realize,
    .unrealize = hotplug_unrealize,
    .reset = hotplug_reset,
};
