/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Interrupt controllers and the ACPI PM timer, as a guest drives them.
 */
#include "guest.h"

#define PM_TIMER_PORT 0x608
#define PM_TIMER_HZ 3579545
#define PATIENCE_MS 60000

void apic_enable(void)
{
    wrmsr(0x1b, rdmsr(0x1b) | 1 << 11);
    apic_write(APIC_SVR, 0x1ff);
    apic_write(APIC_TPR, 0);
}

void apic_eoi(void)
{
    apic_write(APIC_EOI, 0);
}

void apic_send(uint32_t dest, uint32_t icr_low)
{
    apic_write(APIC_ICR_HIGH, dest << 24);
    apic_write(APIC_ICR, icr_low);
    while (apic_read(APIC_ICR) & 1 << 12)
        pause();
}

uint32_t ioapic_read(uint32_t reg)
{
    *(volatile uint32_t *)IOAPIC_BASE = reg;
    return *(volatile uint32_t *)(IOAPIC_BASE + 0x10);
}

void ioapic_write(uint32_t reg, uint32_t v)
{
    *(volatile uint32_t *)IOAPIC_BASE = reg;
    *(volatile uint32_t *)(IOAPIC_BASE + 0x10) = v;
}

void ioapic_route(unsigned pin, uint64_t entry)
{
    ioapic_write(0x11 + 2 * pin, entry >> 32);
    ioapic_write(0x10 + 2 * pin, entry);
}

void pic_init(uint8_t base)
{
    outb(0x20, 0x11);
    outb(0xa0, 0x11);
    outb(0x21, base);
    outb(0xa1, base + 8);
    outb(0x21, 4);
    outb(0xa1, 2);
    outb(0x21, 1);
    outb(0xa1, 1);
    outb(0x21, 0xff);
    outb(0xa1, 0xff);
}

void pic_unmask(unsigned irq)
{
    if (irq >= 8) {
        outb(0xa1, inb(0xa1) & ~(1 << (irq - 8)));
        irq = 2;
    }
    outb(0x21, inb(0x21) & ~(1 << irq));
}

void pic_eoi(unsigned irq)
{
    if (irq >= 8)
        outb(0xa0, 0x20);
    outb(0x20, 0x20);
}

uint32_t pm_timer(void)
{
    return inl(PM_TIMER_PORT) & 0xffffff;
}

uint32_t pm_ticks_since(uint32_t start)
{
    return (pm_timer() - start) & 0xffffff;
}

void delay_us(uint32_t us)
{
    uint32_t start = pm_timer();
    while (pm_ticks_since(start) < us * (PM_TIMER_HZ / 1000) / 1000)
        pause();
}

bool wait_for(const volatile uint32_t *word, uint32_t value)
{
    for (uint32_t ms = 0; *word < value && ms < PATIENCE_MS; ms++) {
        sti();
        delay_us(1000);
        cli();
    }
    return *word >= value;
}

bool spin_for(const volatile uint32_t *word, uint32_t value)
{
    for (uint32_t ms = 0; *word < value && ms < PATIENCE_MS; ms++)
        delay_us(1000);
    return *word >= value;
}
