/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Ways for a machine to end or to start again, named by the command line:
 * poweroff, cf9, kbd, port92, triple, debug-exit. Those that reset look at a CMOS byte to know that
 * they come round the second time; memory and devices must be as after power-up then.
 */
#include "lib/guest.h"

extern uint32_t multiboot_info;

#define CMOS_MARK 0x70

static uint8_t cmos_mark(void)
{
    outb(0x70, CMOS_MARK);
    return inb(0x71);
}

static void set_cmos_mark(uint8_t v)
{
    outb(0x70, CMOS_MARK);
    outb(0x71, v);
}

static bool ends_with(const char *s, const char *end)
{
    const char *p = s;
    while (*p)
        p++;
    const char *e = end;
    while (*e)
        e++;
    while (e > end && p > s && *--e == *--p)
        ;
    return e == end && *e == *p;
}

static void triple_fault(void)
{
    static const struct __attribute__((packed)) {
        uint16_t limit;
        uint32_t base;
    } empty = {0, 0};
    asm volatile("lidt %0; int3" ::"m"(empty));
}

static void reset(const char *how)
{
    if (ends_with(how, "cf9"))
        outb(0xcf9, 6);
    else if (ends_with(how, "kbd"))
        outb(0x64, 0xfe);
    else if (ends_with(how, "port92"))
        outb(0x92, inb(0x92) | 1);
    else
        triple_fault();
    for (;;)
        asm volatile("hlt");
}

static uint32_t data_canary = 0x600df00d;

void guest_main(void)
{
    const uint32_t *info = (const uint32_t *)multiboot_info;
    const char *cmdline = (const char *)info[4];

    if (ends_with(cmdline, "poweroff")) {
        check(true, "powering off");
        finish_tap();
        outw(0x604, 5 << 10 | 1 << 13);
        for (;;)
            asm volatile("hlt");
    }
    if (cmos_mark() != 0x5a) {
        set_cmos_mark(0x5a);
        data_canary = 0;
        *(volatile uint32_t *)0x500000 = 1;
        outb(0x3fb, 0x1b);
        reset(cmdline);
    }
    set_cmos_mark(0);
    check(true, "the machine started again");
    check(data_canary == 0x600df00d, "with the kernel loaded anew");
    check(inb(0x3fb) == 0, "and devices in their reset state");
    check(!(READ_CR(0) & 1u << 31), "and the processor as the boot protocol wants it");
}
