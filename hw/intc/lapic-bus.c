/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The device that holds all LAPICs, and their page's place in memory.
 *
 * Locking: as hw/intc/lapic.h: machine_lock here.
 */
#include "core/lock.h"
#include "core/machine.h"
#include "hw/intc/lapic-internal.h"

void lapic_move_page(LapicBus *bus, uint64_t address)
{
    machine_lock();
    if (bus->mmio.parent && bus->mmio.offset != address)
        memory_region_set_offset(&bus->mmio, address);
    machine_unlock();
}

void lapic_bus_connect(LapicBus *bus, void (*ioapic_eoi_fn)(void *opaque, int vector), void *ioapic_opaque,
                       int (*extint_ack)(void *opaque), void *extint_opaque)
{
    bus->ioapic_eoi = ioapic_eoi_fn;
    bus->ioapic_eoi_opaque = ioapic_opaque;
    bus->extint_ack = extint_ack;
    bus->extint_opaque = extint_opaque;
}

void lapic_bus_attach(LapicBus *bus, Vcpu *vcpu)
{
    Lapic *lapic = g_new0(Lapic, 1);

    g_assert(vcpu->index < bus->count && !bus->lapics[vcpu->index]);
    lapic->bus = bus;
    lapic->vcpu = vcpu;
    lapic_timer_init(lapic);
    lapic_power_up(lapic);
    bus->lapics[vcpu->index] = lapic;
    vcpu->intr_opaque = lapic;
    vcpu->intr = &lapic_intr_ops;
}

static bool lapic_bus_realize(Device *dev, GError **errp)
{
    LapicBus *bus = (LapicBus *)dev;

    bus->count = dev->machine->smp.cpus;
    bus->lapics = g_new0(Lapic *, bus->count);
    memory_region_init_io(&bus->mmio, &lapic_mmio_ops, bus, "lapic", LAPIC_MMIO_SIZE);
    return true;
}

static void lapic_bus_unrealize(Device *dev)
{
    LapicBus *bus = (LapicBus *)dev;

    for (unsigned i = 0; i < bus->count; i++) {
        if (!bus->lapics[i])
            continue;
        lapic_timer_release(bus->lapics[i]);
        g_free(bus->lapics[i]);
    }
    g_free(bus->lapics);
    memory_region_release(&bus->mmio);
}

/* The vCPUs stand still. */
static void lapic_bus_reset(Device *dev)
{
    LapicBus *bus = (LapicBus *)dev;

    for (unsigned i = 0; i < bus->count; i++)
        if (bus->lapics[i])
            lapic_power_up(bus->lapics[i]);
    lapic_move_page(bus, LAPIC_DEFAULT_BASE);
}

const DeviceType lapic_bus_type = {
    .name = "apic",
    .desc = "local APICs of all vCPUs",
    .bus = "system",
    .instance_size = sizeof(LapicBus),
    .realize = lapic_bus_realize,
    .unrealize = lapic_bus_unrealize,
    .reset = lapic_bus_reset,
};
