/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Writes every port and the devices' memory at random. The machine must still be there afterwards;
 * what the devices make of it is their business. Ports that end the run are left out.
 */
#include "lib/guest.h"

static uint32_t state = 12345;

static uint32_t next(void)
{
    state ^= state << 13;
    state ^= state >> 17;
    state ^= state << 5;
    return state;
}

/* Debug console and exit, reset (64h, 92h, CF9h), PM1_CNT (sleep), fw_cfg's DMA (writes memory). */
static bool ends_the_run(uint16_t port)
{
    static const struct {
        uint16_t first, last;
    } ranges[] = {{0x61, 0x64}, {0x92, 0x92}, {0xe9, 0xe9}, {0xf4, 0xf7}, {0x511, 0x51b}, {0x604, 0x607}, {0xcf9, 0xcf9}};

    for (unsigned i = 0; i < sizeof(ranges) / sizeof(ranges[0]); i++) {
        if (port + 3 >= ranges[i].first && port <= ranges[i].last)
            return true;
    }
    return false;
}

static void touch(uint16_t port)
{
    if (ends_the_run(port))
        return;
    switch (next() % 6) {
    case 0:
        outb(port, next());
        break;
    case 1:
        outw(port, next());
        break;
    case 2:
        outl(port, next());
        break;
    case 3:
        inb(port);
        break;
    case 4:
        inw(port);
        break;
    default:
        inl(port);
    }
}

/* Registers of I/O APIC and local APIC; the ICR is left out: INIT and NMI to self end the run. */
static void touch_memory(void)
{
    uint32_t offset = next() & 0xff0;

    if (next() & 1)
        *(volatile uint32_t *)(IOAPIC_BASE + (offset & 0x50)) = next();
    else if (offset != APIC_ICR && offset != 0x310)
        *(volatile uint32_t *)(LAPIC_BASE + offset) = next() & ~0x700u; /* no NMI or INIT from the LVT */
}

void guest_main(void)
{
    static const uint16_t devices[] = {0x20, 0x40, 0x60, 0x70, 0xa0, 0xb2, 0x2e8, 0x2f8, 0x3e8, 0x3f8, 0x4d0, 0x510, 0x600};

    for (uint32_t port = 0; port < 0x10000; port += 1 + (port >= 0x1000) * 15)
        touch(port);
    check(true, "every port was touched");
    for (int i = 0; i < 20000; i++)
        touch(devices[next() % (sizeof(devices) / sizeof(devices[0]))] + next() % 16);
    check(true, "every device's registers were written at random");
    for (int i = 0; i < 5000; i++)
        touch_memory();
    check(true, "the interrupt controllers' registers too");
}
