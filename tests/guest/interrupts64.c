/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Interrupt controllers together: 8259 pair, I/O APIC, local APIC timer and IPIs, NMI, x2APIC.
 */
#include "lib/guest.h"

static volatile uint32_t hits[256];
static volatile uint32_t nmis;
static uint8_t order[8];
static volatile uint32_t order_len;

static void on_pic(Frame *frame)
{
    hits[frame->vector]++;
    pic_eoi(frame->vector - 0x20);
}

static void on_apic(Frame *frame)
{
    hits[frame->vector]++;
    if (order_len < sizeof(order))
        order[order_len++] = frame->vector;
    apic_eoi();
}

static void on_apic_x2(Frame *frame)
{
    hits[frame->vector]++;
    wrmsr(0x80b, 0);
}

static void on_nmi(Frame *frame)
{
    nmis++;
}

static void pit_periodic(uint32_t hz)
{
    uint32_t count = hz ? 1193182 / hz : 0;
    outb(0x43, 0x34);
    outb(0x40, count);
    outb(0x40, count >> 8);
}

static void test_pic(void)
{
    pic_init(0x20);
    intr_set_handler(0x20, on_pic);
    pit_periodic(100);
    pic_unmask(0);
    check(wait_for(&hits[0x20], 5), "the 8254 interrupts through the 8259 and LINT0");
    outb(0x21, 0xff);
    uint32_t before = hits[0x20];
    sti();
    delay_us(50000);
    cli();
    check(hits[0x20] - before <= 1, "a masked line does not interrupt");
    pic_unmask(0);
    before = hits[0x20];
    sti_hlt_cli();
    check(hits[0x20] > before, "HLT ends with an interrupt");
    outb(0x21, 0xff);
}

static void test_ioapic(void)
{
    intr_set_handler(0x31, on_apic);
    apic_enable();
    check((ioapic_read(1) & 0xff) >= 0x11 && (ioapic_read(1) >> 16 & 0xff) == 23, "the I/O APIC has 24 pins");
    ioapic_route(2, 0x31);
    check(wait_for(&hits[0x31], 5), "the 8254 interrupts through I/O APIC pin 2");
    ioapic_route(2, 0x10031);
    uint32_t before = hits[0x31];
    sti();
    delay_us(50000);
    cli();
    check(hits[0x31] - before <= 1, "a masked pin does not interrupt");
}

static void test_apic_timer(void)
{
    intr_set_handler(0x40, on_apic);
    apic_write(APIC_TIMER_DIV, 0xb); /* by 1 */
    apic_write(APIC_LVT_TIMER, 0x40);
    apic_write(APIC_TIMER_INIT, 100000);
    uint32_t first = apic_read(APIC_TIMER_COUNT);
    check(first <= 100000, "the count starts at the initial count");
    check(wait_for(&hits[0x40], 1), "the APIC timer fires once in one-shot mode");
    sti();
    delay_us(20000);
    cli();
    check(hits[0x40] == 1 && apic_read(APIC_TIMER_COUNT) == 0, "and only once");

    hits[0x40] = 0;
    apic_write(APIC_LVT_TIMER, 0x20040);
    apic_write(APIC_TIMER_INIT, 1000000);
    check(wait_for(&hits[0x40], 4), "the APIC timer repeats in periodic mode");
    apic_write(APIC_TIMER_INIT, 0);
    sti(); /* for one that is requested already */
    delay_us(5000);
    cli();
    uint32_t before = hits[0x40];
    sti();
    delay_us(20000);
    cli();
    check(hits[0x40] == before, "initial count 0 stops it");
}

static void test_tsc_deadline(void)
{
    uint32_t r[4];

    cpuid(1, 0, r);
    if (!(r[2] & 1 << 24)) {
        skip("TSC deadline", "not offered in CPUID");
        return;
    }
    hits[0x40] = 0;
    apic_write(APIC_LVT_TIMER, 0x40040);
    asm volatile("mfence");
    uint64_t deadline = rdtsc() + 20000000;
    wrmsr(0x6e0, deadline);
    bool fired = wait_for(&hits[0x40], 1);
    check(fired && rdtsc() >= deadline, "the TSC deadline fires, not early");
    check(rdmsr(0x6e0) == 0, "and disarms itself");
    wrmsr(0x6e0, rdtsc() + 1000000000000ull);
    wrmsr(0x6e0, 0);
    sti();
    delay_us(1000);
    cli();
    check(hits[0x40] == 1, "writing 0 disarms it");
    apic_write(APIC_LVT_TIMER, 0x10000);
}

static void test_ipis(void)
{
    intr_set_handler(0x51, on_apic);
    intr_set_handler(0x61, on_apic);
    intr_set_handler(2, on_nmi);
    order_len = 0;
    apic_write(APIC_ICR, 0x40051); /* self */
    apic_write(APIC_ICR, 0x40061);
    check(hits[0x51] == 0, "an IPI waits for IF");
    check(wait_for(&hits[0x51], 1) && hits[0x61] == 1, "self IPIs arrive");
    check(order_len == 2 && order[0] == 0x61, "the higher vector first");
    apic_write(APIC_TPR, 0x60);
    apic_write(APIC_ICR, 0x40051);
    sti();
    delay_us(1000);
    cli();
    check(hits[0x51] == 1, "the task priority holds lower classes back");
    WRITE_CR(8, 0);
    check(apic_read(APIC_TPR) == 0, "CR8 is the task priority");
    check(wait_for(&hits[0x51], 2), "and lets them through when it falls");
    apic_send(apic_read(APIC_ID) >> 24, 0x400);
    check(spin_for(&nmis, 1) && nmis == 1, "an NMI arrives with IF clear");
}

static void test_x2apic(void)
{
    uint32_t r[4];

    cpuid(1, 0, r);
    if (!(r[2] & 1 << 21)) {
        skip("x2APIC", "not offered in CPUID");
        return;
    }
    wrmsr(0x1b, rdmsr(0x1b) | 3 << 10);
    intr_set_handler(0x71, on_apic_x2);
    check(rdmsr(0x802) == r[1] >> 24, "the x2APIC id is CPUID's");
    check((rdmsr(0x803) & 0xff) >= 0x10, "the version is an integrated APIC's");
    wrmsr(0x83f, 0x71);
    check(wait_for(&hits[0x71], 1), "a self IPI by MSR arrives");
    check(FAULT("mov $0x80a, %%ecx; xor %%eax, %%eax; xor %%edx, %%edx; wrmsr", ::: "rax", "rcx", "rdx") == 13,
          "a write to a read-only APIC MSR is #GP");
}

void guest_main(void)
{
    test_pic();
    test_ioapic();
    test_apic_timer();
    test_tsc_deadline();
    test_ipis();
    test_x2apic();
}
