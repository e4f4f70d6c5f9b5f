/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "pci-rig.h"

#include "core/lock.h"
#include "fake-accel.h"

static uint64_t bar_read(void *opaque, uint64_t offset, unsigned size)
{
    return *(unsigned *)opaque << 24 | offset;
}

static const MemoryRegionOps bar_ops = {.read = bar_read, .valid = {1, 4}, .impl = {1, 4}};

static void written(PciDevice *pci, unsigned offset, unsigned len)
{
    ((RigDevice *)pci)->written++;
}

static const PciInfo rig_info = {
    .vendor = 0x1234,
    .device = 0x5678,
    .revision = 3,
    .class_code = PCI_CLASS_OTHERS,
    .interrupt_pin = 1,
    .written = written,
};

static bool rig_realize(Device *device, GError **errp)
{
    RigDevice *dev = (RigDevice *)device;
    static const unsigned numbers[] = {0xa0, 0xa1, 0xa2};

    if (!pci_device_attach(&dev->pci, &rig_info, errp))
        return false;
    memcpy(dev->bars, numbers, sizeof(numbers));
    memory_region_init_io(&dev->bar0, &bar_ops, &dev->bars[0], "bar0", RIG_BAR0);
    memory_region_init_io(&dev->bar1, &bar_ops, &dev->bars[1], "bar1", RIG_BAR1);
    memory_region_init_io(&dev->bar2, &bar_ops, &dev->bars[2], "bar2", RIG_BAR2);
    pci_register_bar(&dev->pci, 0, 0, &dev->bar0);
    pci_register_bar(&dev->pci, 1, PCI_BAR_IO, &dev->bar1);
    pci_register_bar(&dev->pci, 2, PCI_BAR_MEM64 | PCI_BAR_PREFETCH, &dev->bar2);
    if (!dev->no_msi) {
        pci_msi_init(&dev->pci, 0, 4);
        pci_msix_init_exclusive(&dev->pci, RIG_MSIX_VECTORS, 4);
    }
    return true;
}

static void rig_unrealize(Device *device)
{
    RigDevice *dev = (RigDevice *)device;

    pci_device_detach(&dev->pci);
    memory_region_release(&dev->bar0);
    memory_region_release(&dev->bar1);
    memory_region_release(&dev->bar2);
}

static void rig_reset(Device *device)
{
    pci_device_reset(&((RigDevice *)device)->pci);
}

static const Property rig_props[] = {
    {"no-msi", PROP_BOOL, offsetof(RigDevice, no_msi), "off", "neither MSI nor MSI-X", NULL, 0, 0},
    PCI_DEVICE_PROPS,
    {0},
};

const DeviceType rig_device_type = {
    .name = "rig",
    .desc = "a PCI function to test with",
    .bus = "pci",
    .instance_size = sizeof(RigDevice),
    .props = rig_props,
    .realize = rig_realize,
    .unrealize = rig_unrealize,
    .reset = rig_reset,
};

static void line_changed(void *opaque, int pin, int level)
{
    PciRig *rig = opaque;

    rig->line[pin] = level;
    rig->changes++;
}

static void message_sent(void *opaque, uint64_t address, uint32_t data)
{
    PciRig *rig = opaque;
    RigMessage message = {address, data};

    g_array_append_val(rig->messages, message);
}

int pci_rig_setup(void **state)
{
    PciRig *rig = g_new0(PciRig, 1);
    Machine *machine = rig->machine = fake_machine_new(1, NULL);

    rig->messages = g_array_new(false, false, sizeof(RigMessage));
    machine_lock();
    memory_region_init_container(&rig->memory, "pci-memory", MEMORY_SPACE_SIZE);
    memory_region_init_container(&rig->io, "pci-io", IO_SPACE_SIZE);
    memory_region_add(&machine->memory_root, 0, &rig->memory, -1);
    memory_region_add(&machine->io_root, 0, &rig->io, -1);
    pci_bus_init(&rig->bus, "pci.0", NULL, &rig->memory, &rig->io);
    for (int i = 0; i < PCI_INTX_LINES; i++)
        rig->bus.intx[i] = (Irq){line_changed, rig, i};
    machine->pci = &rig->bus;
    machine->msi = (MsiSink){message_sent, rig};
    *state = rig;
    return 0;
}

int pci_rig_teardown(void **state)
{
    PciRig *rig = *state;

    while (rig->machine->devices->len)
        device_free(g_ptr_array_index(rig->machine->devices, rig->machine->devices->len - 1));
    pci_bus_release(&rig->bus);
    memory_region_release(&rig->memory);
    memory_region_release(&rig->io);
    machine_unlock();
    machine_free(rig->machine);
    g_array_unref(rig->messages);
    g_free(rig);
    return 0;
}

static bool set_props(Device *dev, const char *props, GError **errp)
{
    g_auto(GStrv) list = g_strsplit(props ? props : "", ",", -1);

    for (char **prop = list; *prop; prop++) {
        g_auto(GStrv) pair = g_strsplit(*prop, "=", 2);
        if (!device_set_property(dev, pair[0], pair[1], errp))
            return false;
    }
    return true;
}

RigDevice *pci_rig_plug(PciRig *rig, const char *props, GError **errp)
{
    Device *dev = device_new(&rig_device_type, rig->machine, NULL);

    if (!set_props(dev, props, errp) || !device_realize(dev, errp)) {
        device_free(dev);
        return NULL;
    }
    device_reset(dev);
    return (RigDevice *)dev;
}

uint64_t rig_load(PciRig *rig, uint64_t addr, unsigned size)
{
    uint64_t value;

    address_space_load(&rig->machine->memory, addr, size, &value);
    return value;
}

void rig_store(PciRig *rig, uint64_t addr, unsigned size, uint64_t value)
{
    address_space_store(&rig->machine->memory, addr, size, value);
}

uint64_t rig_in(PciRig *rig, uint16_t port, unsigned size)
{
    uint64_t value;

    address_space_load(&rig->machine->io, port, size, &value);
    return value;
}
