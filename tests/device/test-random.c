/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A guest gone mad: every port and every device register written and read at random, lines toggled,
 * time stepped. The process stays and the machine comes out of a reset as new.
 *
 * What asks for the end of the VM is held off by -no-shutdown; resets are served as they come. Seeds
 * are fixed; VMM_RANDOM_SEED=N runs another one, and a failure names its seed.
 */
#include "qtest.h"

#include <stdlib.h>
#include <unistd.h>

#define BATCH      256
#define WILD_OPS   20000
#define MMIO_BASES 8

/* Where the pc has devices, ROM and nothing. */
static const struct {
    uint64_t base, size;
} mmio[MMIO_BASES] = {
    {0xfee00000, 0x1000},  /* LAPIC */
    {0xfec00000, 0x100},   /* I/O APIC */
    {0xff000000, 0x10000}, /* pc-testdev */
    {0xfffc0000, 0x40000}, /* firmware */
    {0x000a0000, 0x60000}, /* the hole below 1 MiB */
    {0x03fff000, 0x2000},  /* the end of RAM */
    {0xfffffffffff000, 0x1000}, /* the end of everything */
    {0xfed00000, 0x1000},
};

/* Ports with something behind them come up more often. */
static const uint16_t port_bases[] = {0x20, 0x40, 0x60, 0x64, 0x70, 0x92, 0xa0, 0xb2, 0xe0, 0xe9, 0x2f8,
                                      0x3f8, 0x170, 0x1f0, 0x376, 0x3f0, 0x4d0, 0x510, 0x600, 0x620, 0xcf8, 0x2000, 0xc100};

typedef struct Random {
    uint64_t state;
} Random;

/* xorshift64* */
static uint64_t next(Random *r)
{
    r->state ^= r->state >> 12;
    r->state ^= r->state << 25;
    r->state ^= r->state >> 27;
    return r->state * 0x2545f4914f6cdd1dull;
}

static uint64_t below(Random *r, uint64_t n)
{
    return (next(r) >> 16) % n;
}

static uint64_t pick_value(Random *r)
{
    switch (below(r, 4)) {
    case 0:
        return below(r, 2) ? 0 : UINT64_MAX;
    case 1:
        return 1ull << below(r, 64);
    default:
        return next(r);
    }
}

static void append_port(Random *r, GString *out, uint16_t port)
{
    static const char sizes[] = "bwl";
    char size = sizes[below(r, 3)];
    uint64_t value = pick_value(r);

    if (below(r, 3))
        g_string_append_printf(out, "out%c 0x%x 0x%x\n", size, port, (uint32_t)value);
    else
        g_string_append_printf(out, "in%c 0x%x\n", size, port);
}

static void append_memory(Random *r, GString *out)
{
    static const char sizes[] = "bwlq";
    unsigned i = below(r, MMIO_BASES);
    uint64_t addr = mmio[i].base + below(r, mmio[i].size);
    char size = sizes[below(r, 4)];

    if (below(r, 2))
        addr &= ~15ull; /* where LAPIC registers are */
    if (below(r, 3))
        g_string_append_printf(out, "write%c 0x%" G_GINT64_MODIFIER "x 0x%" G_GINT64_MODIFIER "x\n", size, addr,
                               pick_value(r));
    else
        g_string_append_printf(out, "read%c 0x%" G_GINT64_MODIFIER "x\n", size, addr);
}

/* Half of an access to PCI configuration space of the first slots: BARs move, windows open and close. */
static void append_config(Random *r, GString *out)
{
    uint32_t address = 0x80000000u | (uint32_t)below(r, 64) << 8 | (uint32_t)below(r, 64) << 2;

    if (below(r, 2))
        g_string_append_printf(out, "outl 0xcf8 0x%x\n", address);
    else
        g_string_append_printf(out, "outl 0xcfc 0x%x\n", (uint32_t)pick_value(r));
}

static void append_wild(Random *r, GString *out)
{
    switch (below(r, 16)) {
    case 0:
        g_string_append_printf(out, "clock_step %u\n", (unsigned)below(r, 20000000));
        break;
    case 1:
        g_string_append_printf(out, "set_irq_in gsi in %u %u\n", (unsigned)below(r, 24), (unsigned)below(r, 2));
        break;
    case 2 ... 7:
        append_memory(r, out);
        break;
    case 8:
        append_port(r, out, below(r, 0x10000));
        break;
    case 9 ... 10:
        append_config(r, out);
        break;
    default:
        append_port(r, out, port_bases[below(r, G_N_ELEMENTS(port_bases))] + below(r, 16));
        break;
    }
}

static void sweep_ports(QTest *qt, Random *r)
{
    for (unsigned port = 0; port < 0x10000; port += BATCH) {
        g_autoptr(GString) lines = g_string_new(NULL);

        for (unsigned i = 0; i < BATCH; i++)
            append_port(r, lines, port + i);
        qt_batch(qt, lines->str, BATCH);
    }
}

static void go_wild(QTest *qt, Random *r)
{
    for (unsigned done = 0; done < WILD_OPS; done += BATCH) {
        g_autoptr(GString) lines = g_string_new(NULL);

        for (unsigned i = 0; i < BATCH; i++)
            append_wild(r, lines);
        qt_batch(qt, lines->str, BATCH);
    }
}

/* As firmware does, at port c100h. */
static void enable_ide(QTest *qt)
{
    qt_outl(qt, 0xcf8, 0x80000920);
    qt_outl(qt, 0xcfc, 0xc100);
    qt_outl(qt, 0xcf8, 0x80000904);
    qt_outl(qt, 0xcfc, 5);
}

static void run_seed(uint64_t seed)
{
    Random r = {.state = seed * 0x9e3779b97f4a7c15ull + 1};
    QTest *qt = qt_start_serial("-smp 2 -no-shutdown -device pc-testdev -debugcon file:/dev/null"
                                " -blockdev driver=null-co,node-name=n0,size=1G -blockdev driver=null-co,node-name=n1"
                                " -device ide-hd,drive=n0 -device ide-cd,drive=n1,bus=ide.1");
    char drain[4096];

    enable_ide(qt);
    print_message("# seed %" G_GUINT64_FORMAT "\n", seed);
    /* COM1's bytes must go somewhere, or it stops taking them, which is another path. */
    sweep_ports(qt, &r);
    go_wild(qt, &r);
    (void)!read(qt->serial_out, drain, sizeof(drain));
    go_wild(qt, &r);

    qt_outb(qt, 0xcf9, 0x00);
    qt_outb(qt, 0xcf9, 0x06);
    assert_int_equal(qt_inb(qt, 0x3ff), 0);
    assert_int_equal(qt_inb(qt, 0x3fd), 0x60);
    assert_int_equal(qt_inb(qt, 0x4d0), 0);
    assert_int_equal(qt_readl(qt, 0xfee000f0), 0xff);
    assert_int_equal(qt_inb(qt, 0x92), 0x02);
    assert_true(qt_end(qt));
}

static void no_sequence_of_accesses_ends_the_process(void **state)
{
    const char *seed = getenv("VMM_RANDOM_SEED");

    if (seed) {
        run_seed(strtoull(seed, NULL, 0));
        return;
    }
    for (uint64_t i = 1; i <= 6; i++)
        run_seed(i);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(no_sequence_of_accesses_ends_the_process),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
