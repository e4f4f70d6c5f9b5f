/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The clocks of a PC tell the same time: PM timer, 8254 channel 2, RTC, TSC, and the RTC's alarms.
 *
 * A busy host may stop this CPU at any instruction for any time, so an interval is not measured but
 * bounded: each of its ends lies between two readings of the PM timer.
 */
#include "lib/guest.h"

#define PM_HZ 3579545
#define PIT_HZ 1193182

static volatile uint32_t rtc_interrupts;

static uint8_t cmos(uint8_t reg)
{
    outb(0x70, reg);
    return inb(0x71);
}

static void cmos_write(uint8_t reg, uint8_t v)
{
    outb(0x70, reg);
    outb(0x71, v);
}

/* An event that happened after one reading of the PM timer and before another. */
typedef struct Moment {
    uint32_t after, before;
} Moment;

/* The time between the two may be what was expected, give or take a hundredth. */
static bool may_be(Moment from, Moment to, uint32_t expected)
{
    uint32_t shortest = (to.after - from.before) & 0xffffff, longest = (to.before - from.after) & 0xffffff;

    if (shortest > 0x800000) /* the moments overlap */
        shortest = 0;
    return shortest <= expected + expected / 100 && longest >= expected - expected / 100;
}

/* When it begins to hold: after the reading before the last look that found it did not. */
#define MOMENT_WHEN(condition)                                                                     \
    ({                                                                                             \
        Moment m_ = {.before = pm_timer()};                                                        \
        do {                                                                                       \
            m_.after = m_.before;                                                                  \
            m_.before = pm_timer();                                                                \
        } while (!(condition));                                                                    \
        m_.before = pm_timer();                                                                    \
        m_;                                                                                        \
    })

/* Channel 2 counts 50 ms down once (mode 0, OUT2 in port 61h bit 5). */
static void test_pit(void)
{
    uint16_t count = PIT_HZ / 20;

    outb(0x61, (inb(0x61) & ~3) | 1);
    outb(0x43, 0xb0);
    outb(0x42, count);
    Moment start = {.after = pm_timer()};
    outb(0x42, count >> 8);
    start.before = pm_timer();
    Moment end = MOMENT_WHEN(inb(0x61) & 0x20);
    check(may_be(start, end, PM_HZ / 20), "50 ms of the 8254 are 50 ms of the PM timer (%u to %u ticks)",
          end.after - start.before, end.before - start.after);
}

static void test_rtc(void)
{
    uint8_t second = cmos(0);
    Moment start = MOMENT_WHEN(cmos(0) != second);
    uint64_t tsc = rdtsc();
    second = cmos(0);
    Moment end = MOMENT_WHEN(cmos(0) != second);
    tsc = rdtsc() - tsc;
    check(may_be(start, end, PM_HZ), "a second of the RTC is a second of the PM timer (%u to %u ticks)",
          end.after - start.before, end.before - start.after);
    check(tsc > 50000000, "the TSC runs at 50 MHz at least (%u MHz)", (unsigned)(tsc >> 20));
    check(!(cmos(0x0b) & 0x80) && cmos(0x0d) & 0x80, "the clock runs and its battery is good");
}

static void on_rtc(Frame *frame)
{
    rtc_interrupts++;
    cmos(0x0c);
    pic_eoi(8);
}

static void test_rtc_periodic(void)
{
    pic_init(0x20);
    intr_set_handler(0x28, on_rtc);
    cmos_write(0x0a, 0x26); /* 1024 Hz */
    cmos_write(0x0b, cmos(0x0b) | 0x40);
    cmos(0x0c);
    pic_unmask(8);
    uint32_t start = pm_timer();
    check(wait_for(&rtc_interrupts, 100), "the RTC interrupts periodically through IRQ 8");
    uint32_t ms = pm_ticks_since(start) / (PM_HZ / 1000);
    check(ms >= 80, "at no more than 1024 Hz (%u ms)", ms);
    /* One that comes while register C is read must make a new edge: some do among so many. */
    cmos_write(0x0a, 0x24); /* 4096 Hz */
    check(wait_for(&rtc_interrupts, 4096), "none of thousands is the last (%u)", rtc_interrupts);
    cmos_write(0x0b, cmos(0x0b) & ~0x40);
}

void guest_main(void)
{
    uint32_t a = pm_timer();
    delay_us(100);
    check(pm_timer() != a, "the PM timer counts");
    test_pit();
    test_rtc();
    test_rtc_periodic();
}
