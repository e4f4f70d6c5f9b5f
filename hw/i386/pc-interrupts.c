/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The pc machine's interrupt controllers and what connects them.
 *
 * Who models the interrupt controllers depends on the accelerator (IrqchipKind):
 *
 *     userspace   ISA irq n -> 8259 pair -> LINT0 of the LAPICs (ExtINT)
 *                           -> I/O APIC pin n (0 -> 2) -> message -> LAPIC
 *     split       the same, with messages and the 8259's INTR going to the accelerator
 *     kernel      GSI n -> accelerator, which has the 8254 too
 *
 * Sources: MultiProcessor Specification 1.4, 3.6.2 (virtual wire mode; IRQ 0 on I/O APIC pin 2).
 */
#include "core/lock.h"
#include "pc-internal.h"

static void gsi_to_controllers(void *opaque, int pin, int level)
{
    PcMachine *pc = opaque;

    if (pin == IRQ_CASCADE)
        return;
    if (pin < 16)
        irq_set(&pc->pic_irq[pin], level);
    irq_set(&pc->ioapic_irq[pin == IRQ_TIMER ? GSI_TIMER : pin], level);
}

static void gsi_to_accel(void *opaque, int pin, int level)
{
    Accel *accel = opaque;
    accel->ops->irqchip_set_gsi(accel, pin, level);
}

static void msi_to_accel(void *opaque, uint64_t address, uint32_t data)
{
    Accel *accel = opaque;
    accel->ops->irqchip_send_msi(accel, address, data);
}

static int ack_pic(void *opaque)
{
    PcMachine *pc = opaque;
    return i8259_ack(pc->pic);
}

static void eoi_to_ioapic(void *opaque, int vector)
{
    PcMachine *pc = opaque;
    ioapic_eoi(pc->ioapic, vector);
}

/* IRQCHIP_SPLIT: the boot processor takes the 8259's interrupts (ExtINT) as if by LINT0. */
static bool split_pending(void *opaque)
{
    PcMachine *pc = opaque;
    return i8259_intr_pending(pc->pic);
}

static int split_ack(void *opaque)
{
    PcMachine *pc = opaque;

    machine_lock();
    int vector = i8259_intr_pending(pc->pic) ? i8259_ack(pc->pic) : -1;
    machine_unlock();
    return vector;
}

static void split_intr(void *opaque, int pin, int level)
{
    PcMachine *pc = opaque;
    if (level && pc->machine.vcpus[0])
        vcpu_request(pc->machine.vcpus[0], VCPU_REQ_INTR);
}

static const VcpuIntrOps split_intr_ops = {.pending = split_pending, .ack = split_ack};

static bool build_ioapic(PcMachine *pc, GError **errp)
{
    Machine *machine = &pc->machine;

    pc->ioapic = (IoApic *)device_new(&ioapic_type, machine, NULL);
    pc->ioapic->split = machine->accel->irqchip == IRQCHIP_SPLIT;
    if (!pc_realize(&pc->ioapic->dev, errp))
        return false;
    memory_region_add(&machine->memory_root, IOAPIC_DEFAULT_BASE, &pc->ioapic->mmio, 1);
    for (int i = 0; i < IOAPIC_PINS; i++)
        pc->ioapic_irq[i] = ioapic_irq(pc->ioapic, i);
    return true;
}

static bool build_lapics(PcMachine *pc, GError **errp)
{
    Machine *machine = &pc->machine;

    pc->lapics = (LapicBus *)device_new(&lapic_bus_type, machine, NULL);
    lapic_bus_connect(pc->lapics, eoi_to_ioapic, pc, ack_pic, pc);
    if (!pc_realize(&pc->lapics->dev, errp))
        return false;
    memory_region_add(&machine->memory_root, LAPIC_DEFAULT_BASE, &pc->lapics->mmio, 2);
    machine->msi = lapic_bus_msi(pc->lapics);
    return true;
}

static bool build_pic(PcMachine *pc, Irq intr, GError **errp)
{
    pc->pic = (I8259 *)device_new(&i8259_type, &pc->machine, NULL);
    i8259_connect(pc->pic, intr);
    if (!pc_realize(&pc->pic->dev, errp))
        return false;
    pc_map_ports(pc, PORT_PIC_MASTER, &pc->pic->chip[I8259_MASTER].io);
    pc_map_ports(pc, PORT_PIC_SLAVE, &pc->pic->chip[I8259_SLAVE].io);
    pc_map_ports(pc, PORT_ELCR, &pc->pic->chip[I8259_MASTER].elcr);
    pc_map_ports(pc, PORT_ELCR + 1, &pc->pic->chip[I8259_SLAVE].elcr);
    for (int i = 0; i < 16; i++)
        pc->pic_irq[i] = i8259_irq(pc->pic, i);
    return true;
}

bool pc_interrupts_build(PcMachine *pc, GError **errp)
{
    Machine *machine = &pc->machine;
    Accel *accel = machine->accel;
    bool kernel = accel->irqchip == IRQCHIP_KERNEL;

    for (int i = 0; i < GSI_COUNT; i++)
        machine->gsi[i] = (Irq){kernel ? gsi_to_accel : gsi_to_controllers, kernel ? (void *)accel : pc, i};
    if (accel->irqchip != IRQCHIP_USERSPACE)
        machine->msi = (MsiSink){msi_to_accel, accel};
    if (kernel)
        return true;

    if (!build_ioapic(pc, errp))
        return false;
    if (accel->irqchip == IRQCHIP_USERSPACE)
        return build_lapics(pc, errp) && build_pic(pc, lapic_bus_lint0(pc->lapics), errp);
    machine->ioapic_eoi = eoi_to_ioapic;
    machine->ioapic_eoi_opaque = pc;
    return build_pic(pc, (Irq){split_intr, pc, 0}, errp);
}

void pc_interrupts_attach(PcMachine *pc, Vcpu *vcpu)
{
    if (pc->lapics)
        lapic_bus_attach(pc->lapics, vcpu);
    if (pc->machine.accel->irqchip == IRQCHIP_SPLIT && vcpu->index == 0) {
        vcpu->intr = &split_intr_ops;
        vcpu->intr_opaque = pc;
    }
}
