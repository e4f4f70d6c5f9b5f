/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * PIRQ routing of the PIIX3 (82371SB data sheet 290550, 2.2.7), and pins behind a bridge (PCI-to-PCI Bridge
 * Architecture Specification 1.2, 3.1 and 9.1).
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "core/thread.h"
#include "hw/pci/piix3.h"
#include "pci-rig.h"

static int level[PIIX3_ISA_IRQS];
static unsigned changes[PIIX3_ISA_IRQS];

static void isa_wire(void *opaque, int pin, int value)
{
    changes[pin]++;
    level[pin] = value;
}

static Piix3 *plug_piix3(PciRig *rig)
{
    Device *dev = device_new(&piix3_type, rig->machine, NULL);
    Irq isa[PIIX3_ISA_IRQS];

    for (int i = 0; i < PIIX3_ISA_IRQS; i++) {
        isa[i] = (Irq){isa_wire, NULL, i};
        level[i] = 0;
        changes[i] = 0;
    }
    piix3_connect((Piix3 *)dev, isa);
    assert_true(device_realize(dev, NULL));
    device_reset(dev);
    for (unsigned i = 0; i < PCI_INTX_LINES; i++)
        rig->bus.intx[i] = piix3_pirq((Piix3 *)dev, i);
    return (Piix3 *)dev;
}

static void route(PciRig *rig, const Piix3 *piix3, unsigned line, uint8_t control)
{
    pci_config_write(&rig->bus, 0, piix3->pci.devfn, PIIX3_PIRQRCA + line, control, 1);
}

static void a_pirq_reaches_the_interrupt_it_is_routed_to(void **state)
{
    PciRig *rig = *state;
    Piix3 *piix3 = plug_piix3(rig);
    RigDevice *dev = pci_rig_plug(rig, "addr=5", NULL);

    pci_set_irq(&dev->pci, 1); /* slot 5, INTA#: line 1 */
    for (int i = 0; i < PIIX3_ISA_IRQS; i++)
        assert_int_equal(level[i], 0);
    route(rig, piix3, 1, 11);
    assert_int_equal(level[11], 1);
    route(rig, piix3, 1, 5);
    assert_int_equal(level[11], 0);
    assert_int_equal(level[5], 1);
    route(rig, piix3, 1, 5 | PIRQRC_DISABLED);
    assert_int_equal(level[5], 0);
    assert_int_equal(piix3_pirq_route(piix3, 1), -1);
}

static void reserved_interrupts_cannot_be_chosen(void **state)
{
    PciRig *rig = *state;
    Piix3 *piix3 = plug_piix3(rig);
    static const bool routable[16] = {[3] = true, [4] = true, [5] = true, [6] = true, [7] = true, [9] = true,
                                      [10] = true, [11] = true, [12] = true, [14] = true, [15] = true};

    pci_set_irq(&pci_rig_plug(rig, "addr=4", NULL)->pci, 1);
    for (int irq = 0; irq < 16; irq++) {
        route(rig, piix3, 0, irq);
        assert_int_equal(level[irq], routable[irq]);
    }
}

static void lines_on_one_interrupt_are_combined(void **state)
{
    PciRig *rig = *state;
    Piix3 *piix3 = plug_piix3(rig);
    RigDevice *a = pci_rig_plug(rig, "addr=4", NULL), *b = pci_rig_plug(rig, "addr=5", NULL);

    route(rig, piix3, 0, 10);
    route(rig, piix3, 1, 10);
    pci_set_irq(&a->pci, 1);
    pci_set_irq(&b->pci, 1);
    pci_set_irq(&a->pci, 0);
    assert_int_equal(level[10], 1);
    pci_set_irq(&b->pci, 0);
    assert_int_equal(level[10], 0);
    assert_int_equal(changes[10], 2);
}

static void an_isa_source_shares_its_interrupt_with_pirqs(void **state)
{
    PciRig *rig = *state;
    Piix3 *piix3 = plug_piix3(rig);
    RigDevice *dev = pci_rig_plug(rig, "addr=4", NULL);
    Irq sci = piix3_isa_irq(piix3, 9);

    route(rig, piix3, 0, 9);
    irq_set(&sci, 1);
    pci_set_irq(&dev->pci, 1);
    irq_set(&sci, 0);
    assert_int_equal(level[9], 1);
    pci_set_irq(&dev->pci, 0);
    assert_int_equal(level[9], 0);
}

static void reset_takes_the_routes_away(void **state)
{
    PciRig *rig = *state;
    Piix3 *piix3 = plug_piix3(rig);

    route(rig, piix3, 0, 10);
    pci_set_irq(&pci_rig_plug(rig, "addr=4", NULL)->pci, 1);
    assert_int_equal(level[10], 1);
    device_reset(&piix3->pci.dev);
    assert_int_equal(level[10], 0);
    assert_int_equal(pci_config_read(&rig->bus, 0, piix3->pci.devfn, PIIX3_PIRQRCA, 4), 0x80808080);
}

/* --- behind a bridge --- */

typedef struct Bridge {
    PciDevice pci;
    PciBus bus;
} Bridge;

static const PciInfo bridge_info = {
    .vendor = 0x1b36,
    .device = 0x0001,
    .class_code = PCI_CLASS_BRIDGE_PCI,
    .interrupt_pin = 1,
    .header_type = PCI_HEADER_TYPE_BRIDGE,
};

static bool bridge_realize(Device *dev, GError **errp)
{
    Bridge *bridge = (Bridge *)dev;

    if (!pci_device_attach(&bridge->pci, &bridge_info, errp))
        return false;
    pci_bus_init(&bridge->bus, dev->id, &bridge->pci, bridge->pci.bus->memory, bridge->pci.bus->io);
    return true;
}

static void bridge_unrealize(Device *dev)
{
    Bridge *bridge = (Bridge *)dev;

    pci_bus_release(&bridge->bus);
    pci_device_detach(&bridge->pci);
}

static void bridge_reset(Device *dev)
{
    pci_device_reset(&((Bridge *)dev)->pci);
}

static const Property bridge_props[] = {PCI_DEVICE_PROPS, {0}};

static const DeviceType bridge_type = {
    .name = "test-bridge",
    .desc = "a bridge without windows",
    .bus = "pci",
    .instance_size = sizeof(Bridge),
    .props = bridge_props,
    .realize = bridge_realize,
    .unrealize = bridge_unrealize,
    .reset = bridge_reset,
};

static Bridge *plug_bridge(PciRig *rig, const char *id, const char *bus, const char *addr, uint32_t numbers)
{
    Device *dev = device_new(&bridge_type, rig->machine, id);
    Bridge *bridge = (Bridge *)dev;

    device_set_property(dev, "addr", addr, NULL);
    device_set_property(dev, "bus", bus, NULL);
    assert_true(device_realize(dev, NULL));
    device_reset(dev);
    pci_config_write(&rig->bus, pci_bus_number(bridge->pci.bus), bridge->pci.devfn, PCI_PRIMARY_BUS, numbers, 4);
    return bridge;
}

static void a_bridge_passes_on_cycles_for_its_buses(void **state)
{
    PciRig *rig = *state;
    Bridge *outer = plug_bridge(rig, "outer", "pci.0", "3", 0x00020100);

    plug_bridge(rig, "inner", "outer", "7", 0x00020201);
    RigDevice *dev = pci_rig_plug(rig, "bus=inner,addr=4", NULL);
    assert_int_equal(pci_bus_number(dev->pci.bus), 2);
    assert_int_equal(pci_config_read(&rig->bus, 2, PCI_DEVFN(4, 0), 0, 4), 0x56781234);
    assert_int_equal(pci_config_read(&rig->bus, 1, PCI_DEVFN(7, 0), 0, 4), 0x00011b36);
    assert_int_equal(pci_config_read(&rig->bus, 3, PCI_DEVFN(4, 0), 0, 4), 0xffffffff);
    pci_config_write(&rig->bus, 0, outer->pci.devfn, PCI_SUBORDINATE_BUS, 1, 1);
    assert_int_equal(pci_config_read(&rig->bus, 2, PCI_DEVFN(4, 0), 0, 4), 0xffffffff);
    g_autofree char *address = pci_device_address(&dev->pci), *path = pci_boot_path(&dev->pci);
    assert_string_equal(address, "0000:02:04.0");
    assert_string_equal(path, "/pci@i0cf8/pci-bridge@3/pci-bridge@7/pci@4");
}

static void numbers_that_overlap_or_loop_end(void **state)
{
    PciRig *rig = *state;

    plug_bridge(rig, "a", "pci.0", "3", 0x00ff0100);
    plug_bridge(rig, "b", "pci.0", "4", 0x00ff0100);
    plug_bridge(rig, "c", "a", "5", 0x00ff0001);
    for (unsigned bus = 0; bus < 256; bus++)
        pci_config_read(&rig->bus, bus, PCI_DEVFN(5, 0), 0, 4);
    assert_int_equal(pci_config_read(&rig->bus, 1, PCI_DEVFN(5, 0), 0, 4), 0x00011b36);
}

static void pins_rotate_once_for_each_bridge(void **state)
{
    PciRig *rig = *state;

    plug_bridge(rig, "outer", "pci.0", "3", 0x00020100);
    plug_bridge(rig, "inner", "outer", "7", 0x00020201);
    RigDevice *dev = pci_rig_plug(rig, "bus=inner,addr=4", NULL);
    unsigned line = (0 + 4 + 7 + 3) % 4;

    assert_int_equal(pci_intx_root_line(&dev->pci), line);
    pci_set_irq(&dev->pci, 1);
    assert_int_equal(rig->line[line], 1);
    pci_set_irq(&dev->pci, 0);
    assert_int_equal(rig->line[line], 0);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, pci_rig_setup, pci_rig_teardown)

int main(void)
{
    static const struct CMUnitTest tests[] = {
        CASE(a_pirq_reaches_the_interrupt_it_is_routed_to),
        CASE(reserved_interrupts_cannot_be_chosen),
        CASE(lines_on_one_interrupt_are_combined),
        CASE(an_isa_source_shares_its_interrupt_with_pirqs),
        CASE(reset_takes_the_routes_away),
        CASE(a_bridge_passes_on_cycles_for_its_buses),
        CASE(numbers_that_overlap_or_loop_end),
        CASE(pins_rotate_once_for_each_bridge),
    };

    core_init();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
