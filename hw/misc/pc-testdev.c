/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * pc-testdev: what kvm-unit-tests expect of a test machine.
 * Source: kvm-unit-tests' use of it (lib/x86/, x86/ioapic.c, x86/emulator.c).
 *
 *   I/O  E0h..E3h       a scratch register of 4 bytes, any access size
 *   I/O  E4h..E7h       "flush the page at this address": accepted, does nothing (below)
 *   I/O  E8h..EBh       the scratch register again, implemented a byte at a time
 *   I/O  2000h..2017h   writing 0 or 1 sets the level of that interrupt line
 *   mem  FF000000h      64 KiB of device memory
 *
 * QEMU's flush takes the page's host mapping away for a moment, to make the hypervisor forget it.
 * Here another thread may be using guest RAM at that time, and no test needs the effect.
 *
 * Locking: machine_lock.
 */
#include "core/bits.h"
#include "core/gsi.h"
#include "core/machine.h"
#include "hw/misc/pc-devices.h"

#define SCRATCH_PORT      0xe0
#define FLUSH_PORT        0xe4
#define SCRATCH_BYTE_PORT 0xe8
#define LINE_PORT         0x2000
#define IOMEM_BASE        0xff000000u
#define IOMEM_SIZE        0x10000

typedef struct PcTestDev {
    Device dev;
    uint32_t scratch;
    uint8_t iomem[IOMEM_SIZE];

    MemoryRegion scratch_io, scratch_byte_io, flush_io, line_io, iomem_mr;
    Irq lines[GSI_COUNT];
} PcTestDev;

static uint64_t scratch_read(void *opaque, uint64_t offset, unsigned size)
{
    const PcTestDev *test = opaque;

    return test->scratch >> 8 * offset & size_mask(size);
}

static void scratch_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
    PcTestDev *test = opaque;
    uint32_t mask = size_mask(size) << 8 * offset;

    test->scratch = (test->scratch & ~mask) | (value << 8 * offset & mask);
}

static uint64_t zero_read(void *opaque, uint64_t offset, unsigned size)
{
    return 0;
}

static void flush_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
}

static void line_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
    PcTestDev *test = opaque;

    irq_set(&test->lines[offset], value != 0);
}

static uint64_t iomem_read(void *opaque, uint64_t offset, unsigned size)
{
    const PcTestDev *test = opaque;

    return range_ok(offset, size, IOMEM_SIZE) ? load_le(test->iomem + offset, size) : 0;
}

static void iomem_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
    PcTestDev *test = opaque;

    if (range_ok(offset, size, IOMEM_SIZE))
        store_le(test->iomem + offset, value, size);
}

static const MemoryRegionOps scratch_ops = {
    .read = scratch_read,
    .write = scratch_write,
    .valid = {1, 4},
    .impl = {1, 4},
};

static const MemoryRegionOps scratch_byte_ops = {
    .read = scratch_read,
    .write = scratch_write,
    .valid = {1, 4},
    .impl = {1, 1},
};

static const MemoryRegionOps flush_ops = {
    .read = zero_read,
    .write = flush_write,
    .valid = {4, 4},
    .impl = {4, 4},
};

static const MemoryRegionOps line_ops = {
    .read = zero_read,
    .write = line_write,
    .valid = {1, 1},
    .impl = {1, 1},
};

static const MemoryRegionOps iomem_ops = {
    .read = iomem_read,
    .write = iomem_write,
    .valid = {1, 8, true},
    .impl = {1, 8, true},
};

static bool pc_testdev_realize(Device *dev, GError **errp)
{
    PcTestDev *test = (PcTestDev *)dev;
    Machine *machine = dev->machine;

    for (int i = 0; i < GSI_COUNT; i++)
        test->lines[i] = machine_gsi(machine, i);
    memory_region_init_io(&test->scratch_io, &scratch_ops, test, "testdev-ioport", 4);
    memory_region_init_io(&test->flush_io, &flush_ops, test, "testdev-flush-page", 4);
    memory_region_init_io(&test->scratch_byte_io, &scratch_byte_ops, test, "testdev-ioport-byte", 4);
    memory_region_init_io(&test->line_io, &line_ops, test, "testdev-irq-line", GSI_COUNT);
    memory_region_init_io(&test->iomem_mr, &iomem_ops, test, "testdev-iomem", IOMEM_SIZE);
    memory_transaction_begin();
    memory_region_add(&machine->io_root, SCRATCH_PORT, &test->scratch_io, 0);
    memory_region_add(&machine->io_root, FLUSH_PORT, &test->flush_io, 0);
    memory_region_add(&machine->io_root, SCRATCH_BYTE_PORT, &test->scratch_byte_io, 0);
    memory_region_add(&machine->io_root, LINE_PORT, &test->line_io, 0);
    memory_region_add(&machine->memory_root, IOMEM_BASE, &test->iomem_mr, 0);
    memory_transaction_commit();
    return true;
}

static void pc_testdev_unrealize(Device *dev)
{
    PcTestDev *test = (PcTestDev *)dev;
    MemoryRegion *regions[] = {&test->scratch_io, &test->flush_io, &test->scratch_byte_io, &test->line_io,
                               &test->iomem_mr};

    for (size_t i = 0; i < G_N_ELEMENTS(regions); i++) {
        memory_region_remove(regions[i]);
        memory_region_release(regions[i]);
    }
}

static void pc_testdev_reset(Device *dev)
{
    PcTestDev *test = (PcTestDev *)dev;

    test->scratch = 0;
    memset(test->iomem, 0, sizeof(test->iomem));
    for (int i = 0; i < GSI_COUNT; i++)
        irq_set(&test->lines[i], 0);
}

const DeviceType pc_testdev_type = {
    .name = "pc-testdev",
    .desc = "the test device of kvm-unit-tests",
    .bus = "isa",
    .instance_size = sizeof(PcTestDev),
    .user_creatable = true,
    .realize = pc_testdev_realize,
    .unrealize = pc_testdev_unrealize,
    .reset = pc_testdev_reset,
};
