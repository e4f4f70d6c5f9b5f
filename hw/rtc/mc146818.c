/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The MC146818A real-time clock.
 * Source: Motorola MC146818A data sheet ("DS"); the century byte is IBM's and the FADT's.
 *
 * Nothing ticks unless an interrupt is enabled: the time is the host's (or virtual) clock plus an
 * offset, and flags are worked out when register C is read. The second changes at the end of the
 * update cycle; during it (UIP) the old time is read. Not modelled: square wave, daylight saving,
 * a day of week that disagrees with the date, other time bases than 32.768 kHz.
 * Periodic interrupts that come late or above 5 kHz are merged.
 *
 * Locking: machine_lock.
 */
#include "hw/rtc/mc146818.h"

#include <time.h>

#include "core/bits.h"
#include "core/error.h"
#include "core/event.h"

enum {
    REG_SECONDS = 0x00,
    REG_SECONDS_ALARM = 0x01,
    REG_MINUTES = 0x02,
    REG_MINUTES_ALARM = 0x03,
    REG_HOURS = 0x04,
    REG_HOURS_ALARM = 0x05,
    REG_DAY_OF_WEEK = 0x06,
    REG_DAY_OF_MONTH = 0x07,
    REG_MONTH = 0x08,
    REG_YEAR = 0x09,
    REG_A = 0x0a,
    REG_B = 0x0b,
    REG_C = 0x0c,
    REG_D = 0x0d,
    REG_CENTURY = 0x32,
};

/* DS "Register A" to "Register D". */
#define A_UIP  0x80
#define A_DV   0x70 /* 010: 32.768 kHz; 11x: divider held in reset */
#define A_RS   0x0f
#define B_SET  0x80
#define B_PIE  0x40
#define B_AIE  0x20
#define B_UIE  0x10
#define B_SQWE 0x08
#define B_DM   0x04 /* 1: binary */
#define B_24   0x02
#define C_IRQF 0x80
#define C_PF   0x40
#define C_AF   0x20
#define C_UF   0x10
#define D_VRT  0x80

#define DV_RUNNING_MAX 0x20
#define ALARM_ANY      0xc0 /* both bits set: every hour, minute or second matches */
#define HOUR_PM        0x80

#define SECONDS_MIN (-6900000000ll)
#define SECONDS_MAX 8800000000ll

#define CRYSTAL_HZ   32768
#define UIP_LEAD_NS  (244 * NS_PER_US)  /* DS table 6: t_BUC */
#define UPDATE_NS    (1984 * NS_PER_US) /* t_UC at 32.768 kHz */
#define PERIOD_FLOOR_NS (200 * NS_PER_US)
#define ALARM_SECONDS_MAX 86400 /* a longer gap has met every possible alarm */

/* --- Time --- */

static VmClock rtc_clock(const Mc146818 *rtc)
{
    return rtc->clock == RTC_CLOCK_VM ? VMCLOCK_VIRTUAL : VMCLOCK_HOST;
}

static int64_t rtc_now_ns(const Mc146818 *rtc)
{
    return clock_get_ns(rtc_clock(rtc)) + rtc->regs.offset_ns;
}

static int64_t seconds_of(int64_t ns)
{
    return ns >= 0 ? ns / NS_PER_SEC : -((-ns + NS_PER_SEC - 1) / NS_PER_SEC);
}

static int64_t crystal_now(void)
{
    return muldiv64(clock_get_ns(VMCLOCK_VIRTUAL), CRYSTAL_HZ, NS_PER_SEC);
}

/* --- Pure functions of the registers --- */

static bool is_running(const Mc146818Regs *r)
{
    return !(r->cmos[REG_B] & B_SET) && (r->cmos[REG_A] & A_DV) <= DV_RUNNING_MAX;
}

/* Clocks of the crystal per periodic interrupt, 0: none; DS table 5. */
static unsigned period_clocks(const Mc146818Regs *r)
{
    unsigned rs = r->cmos[REG_A] & A_RS;

    if (!rs)
        return 0;
    return rs <= 2 ? 1u << (rs + 6) : 1u << (rs - 1);
}

static bool irq_pending(const Mc146818Regs *r)
{
    return r->cmos[REG_C] & r->cmos[REG_B] & (C_PF | C_AF | C_UF);
}

static uint8_t encode(const Mc146818Regs *r, unsigned v)
{
    return r->cmos[REG_B] & B_DM ? v : v / 10 % 10 << 4 | v % 10;
}

static unsigned decode(const Mc146818Regs *r, uint8_t v)
{
    return r->cmos[REG_B] & B_DM ? v : (v >> 4) * 10 + (v & 15);
}

static uint8_t encode_hour(const Mc146818Regs *r, unsigned hour)
{
    if (r->cmos[REG_B] & B_24)
        return encode(r, hour);
    return encode(r, (hour + 11) % 12 + 1) | (hour >= 12 ? HOUR_PM : 0);
}

static unsigned decode_hour(const Mc146818Regs *r, uint8_t v)
{
    if (r->cmos[REG_B] & B_24)
        return decode(r, v);
    return decode(r, v & ~HOUR_PM) % 12 + (v & HOUR_PM ? 12 : 0);
}

/* The time registers of a second since 1970. */
static void encode_time(Mc146818Regs *r, int64_t seconds)
{
    time_t t = seconds;
    struct tm tm = {0};

    gmtime_r(&t, &tm);
    r->cmos[REG_SECONDS] = encode(r, tm.tm_sec);
    r->cmos[REG_MINUTES] = encode(r, tm.tm_min);
    r->cmos[REG_HOURS] = encode_hour(r, tm.tm_hour);
    r->cmos[REG_DAY_OF_WEEK] = encode(r, tm.tm_wday + 1);
    r->cmos[REG_DAY_OF_MONTH] = encode(r, tm.tm_mday);
    r->cmos[REG_MONTH] = encode(r, tm.tm_mon + 1);
    r->cmos[REG_YEAR] = encode(r, (unsigned)tm.tm_year % 100);
    r->cmos[REG_CENTURY] = encode(r, ((unsigned)tm.tm_year + 1900) / 100);
}

/* Values out of range carry over, as timegm has it. What a date of other centuries would be in
 * nanoseconds does not fit: it becomes 1751 or 2248. */
static int64_t decode_time(const Mc146818Regs *r)
{
    struct tm tm = {
        .tm_sec = decode(r, r->cmos[REG_SECONDS]),
        .tm_min = decode(r, r->cmos[REG_MINUTES]),
        .tm_hour = decode_hour(r, r->cmos[REG_HOURS]),
        .tm_mday = decode(r, r->cmos[REG_DAY_OF_MONTH]),
        .tm_mon = (int)decode(r, r->cmos[REG_MONTH]) - 1,
        .tm_year = decode(r, r->cmos[REG_CENTURY]) * 100 + decode(r, r->cmos[REG_YEAR]) - 1900,
    };

    return CLAMP(timegm(&tm), SECONDS_MIN, SECONDS_MAX);
}

static bool alarm_field_matches(uint8_t alarm, uint8_t value)
{
    return (alarm & ALARM_ANY) == ALARM_ANY || alarm == value;
}

static bool alarm_matches(const Mc146818Regs *r, int64_t seconds)
{
    unsigned s = ((seconds % 86400) + 86400) % 86400;

    return alarm_field_matches(r->cmos[REG_SECONDS_ALARM], encode(r, s % 60)) &&
           alarm_field_matches(r->cmos[REG_MINUTES_ALARM], encode(r, s / 60 % 60)) &&
           alarm_field_matches(r->cmos[REG_HOURS_ALARM], encode_hour(r, s / 3600));
}

/* --- Flags and interrupts --- */

static void catch_up_update(Mc146818 *rtc)
{
    Mc146818Regs *r = &rtc->regs;
    int64_t now = seconds_of(rtc_now_ns(rtc)), from = MAX(r->update_seen_s, now - ALARM_SECONDS_MAX);

    if (!is_running(r))
        return;
    if (now > r->update_seen_s)
        r->cmos[REG_C] |= C_UF;
    for (int64_t s = from + 1; s <= now && !(r->cmos[REG_C] & C_AF); s++)
        if (alarm_matches(r, s))
            r->cmos[REG_C] |= C_AF;
    r->update_seen_s = now; /* backwards too: the host's clock was set */
}

static void catch_up_periodic(Mc146818 *rtc)
{
    Mc146818Regs *r = &rtc->regs;
    unsigned period = period_clocks(r);
    int64_t now = crystal_now();

    if (period && now / period > r->periodic_seen / period)
        r->cmos[REG_C] |= C_PF;
    r->periodic_seen = now;
}

/* Timers run only for a flag that would interrupt and is not set yet. */
static void arm_timers(Mc146818 *rtc)
{
    const Mc146818Regs *r = &rtc->regs;
    uint8_t wanted = r->cmos[REG_B] & ~r->cmos[REG_C];
    unsigned period = period_clocks(r);

    if ((wanted & (B_UIE | B_AIE)) && is_running(r))
        timer_mod(&rtc->update_timer, (r->update_seen_s + 1) * NS_PER_SEC - r->offset_ns);
    else
        timer_del(&rtc->update_timer);
    if ((wanted & B_PIE) && period) {
        int64_t next = (r->periodic_seen / period + 1) * period;
        int64_t ns = muldiv64_up(next, NS_PER_SEC, CRYSTAL_HZ);

        if (period < CRYSTAL_HZ / (NS_PER_SEC / PERIOD_FLOOR_NS))
            ns = MAX(ns, clock_get_ns(VMCLOCK_VIRTUAL) + PERIOD_FLOOR_NS);
        timer_mod(&rtc->periodic_timer, ns);
    } else {
        timer_del(&rtc->periodic_timer);
    }
}

static void catch_up(Mc146818 *rtc)
{
    catch_up_update(rtc);
    catch_up_periodic(rtc);
}

static void set_outputs(Mc146818 *rtc)
{
    arm_timers(rtc);
    irq_set(&rtc->irq, irq_pending(&rtc->regs));
}

static void update_irq(Mc146818 *rtc)
{
    catch_up(rtc);
    set_outputs(rtc);
}

static void timer_fired(void *opaque)
{
    update_irq(opaque);
}

/* --- Setting the time --- */

static void set_time(Mc146818 *rtc, int64_t seconds, int64_t fraction_ns)
{
    rtc->regs.offset_ns = seconds * NS_PER_SEC + fraction_ns - clock_get_ns(rtc_clock(rtc));
    rtc->regs.update_seen_s = seconds;
}

/* The time registers become the time; the divider chain, the fraction of a second, goes on. */
static void take_time(Mc146818 *rtc)
{
    int64_t now = rtc_now_ns(rtc);

    set_time(rtc, decode_time(&rtc->regs), now - seconds_of(now) * NS_PER_SEC);
    event_emit(VM_EVENT_RTC_CHANGE, "{s:I}", "offset",
               (json_int_t)(rtc->regs.update_seen_s - seconds_of(clock_get_ns(VMCLOCK_HOST))));
}

static void write_time(Mc146818 *rtc, uint8_t index, uint8_t value)
{
    Mc146818Regs *r = &rtc->regs;

    if (is_running(r)) {
        encode_time(r, seconds_of(rtc_now_ns(rtc)));
        r->cmos[index] = value;
        take_time(rtc);
    } else {
        r->cmos[index] = value;
    }
}

/* Registers A and B start and stop the time. */
static void write_control(Mc146818 *rtc, uint8_t index, uint8_t value)
{
    Mc146818Regs *r = &rtc->regs;
    bool was_running = is_running(r);
    bool was_divider_reset = (r->cmos[REG_A] & A_DV) > DV_RUNNING_MAX;

    update_irq(rtc); /* flags up to now are by the old rules */
    if (was_running)
        encode_time(r, seconds_of(rtc_now_ns(rtc)));
    if (index == REG_A)
        r->cmos[REG_A] = value & ~A_UIP;
    else
        r->cmos[REG_B] = value & B_SET ? value & ~B_UIE : value; /* SET clears UIE */
    if (!was_running && is_running(r)) {
        if (was_divider_reset && index == REG_A) /* the first update comes half a second later */
            set_time(rtc, decode_time(r), NS_PER_SEC / 2);
        else
            take_time(rtc);
    }
}

/* --- Ports --- */

static bool is_time_register(uint8_t index)
{
    return index == REG_CENTURY || index == REG_SECONDS || index == REG_MINUTES || index == REG_HOURS ||
           (index >= REG_DAY_OF_WEEK && index <= REG_YEAR);
}

static uint8_t read_time(const Mc146818 *rtc, uint8_t index)
{
    Mc146818Regs now = rtc->regs;

    if (is_running(&rtc->regs))
        encode_time(&now, seconds_of(rtc_now_ns(rtc)));
    return now.cmos[index];
}

static uint8_t read_a(const Mc146818 *rtc)
{
    int64_t ns = rtc_now_ns(rtc);
    bool updating = ns + UIP_LEAD_NS + UPDATE_NS >= (seconds_of(ns) + 1) * NS_PER_SEC;

    return rtc->regs.cmos[REG_A] | (is_running(&rtc->regs) && updating ? A_UIP : 0);
}

static uint8_t read_c(Mc146818 *rtc)
{
    uint8_t value;

    catch_up(rtc);
    value = rtc->regs.cmos[REG_C] | (irq_pending(&rtc->regs) ? C_IRQF : 0);
    rtc->regs.cmos[REG_C] = 0; /* reading acknowledges all */
    /* Without looking at the clock again: the line has to be seen low before the next flag raises it. */
    set_outputs(rtc);
    return value;
}

static uint64_t rtc_read(void *opaque, uint64_t offset, unsigned size)
{
    Mc146818 *rtc = opaque;
    uint8_t index = rtc->regs.index;

    if (offset == 0)
        return 0xff; /* write-only */
    if (is_time_register(index))
        return read_time(rtc, index);
    if (index == REG_A)
        return read_a(rtc);
    if (index == REG_C)
        return read_c(rtc);
    return rtc->regs.cmos[index];
}

static void rtc_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
    Mc146818 *rtc = opaque;
    uint8_t index = rtc->regs.index;

    if (offset == 0) {
        rtc->regs.index = value & (CMOS_SIZE - 1);
        return;
    }
    if (is_time_register(index))
        write_time(rtc, index, value);
    else if (index == REG_A || index == REG_B)
        write_control(rtc, index, value);
    else if (index != REG_C && index != REG_D)
        rtc->regs.cmos[index] = value;
    update_irq(rtc);
}

static const MemoryRegionOps rtc_ops = {
    .read = rtc_read,
    .write = rtc_write,
    .valid = {1, 4, true},
    .impl = {1, 1},
};

/* --- Life cycle --- */

void mc146818_connect(Mc146818 *rtc, Irq irq8)
{
    rtc->irq = irq8;
}

void mc146818_set_nvram(Mc146818 *rtc, unsigned index, uint8_t value)
{
    g_assert(index > REG_D && index < CMOS_SIZE);
    rtc->regs.cmos[index] = value;
}

uint8_t mc146818_get_nvram(const Mc146818 *rtc, unsigned index)
{
    g_assert(index < CMOS_SIZE);
    return rtc->regs.cmos[index];
}

/* The base option as nanoseconds since 1970, local time counted as if it were UTC. */
static bool parse_base(const char *base, int64_t *ns, GError **errp)
{
    int64_t host_ns = clock_get_ns(VMCLOCK_HOST);
    time_t now = seconds_of(host_ns);
    struct tm tm = {0};
    const char *end;

    if (g_str_equal(base, "utc")) {
        *ns = host_ns;
        return true;
    }
    if (g_str_equal(base, "localtime")) {
        localtime_r(&now, &tm);
        *ns = host_ns + tm.tm_gmtoff * NS_PER_SEC;
        return true;
    }
    end = strptime(base, "%Y-%m-%dT%H:%M:%S", &tm);
    if (!end) {
        tm = (struct tm){0};
        end = strptime(base, "%Y-%m-%d", &tm);
    }
    if (!end || *end)
        return error_set_code(errp, VMM_ERROR_USAGE,
                              "base=%s: expected utc, localtime, or a date such as 2026-01-31T12:00:00", base);
    now = timegm(&tm);
    if (now < SECONDS_MIN || now > SECONDS_MAX)
        return error_set_code(errp, VMM_ERROR_USAGE, "base=%s: expected a year from 1752 to 2247", base);
    *ns = now * NS_PER_SEC;
    return true;
}

static bool mc146818_realize(Device *dev, GError **errp)
{
    Mc146818 *rtc = (Mc146818 *)dev;
    int64_t base_ns = 0;

    if (!parse_base(rtc->base, &base_ns, errp))
        return false;
    rtc->regs.cmos[REG_A] = 0x26; /* 32.768 kHz, 1024 Hz */
    rtc->regs.cmos[REG_B] = B_24;
    rtc->regs.cmos[REG_D] = D_VRT;
    rtc->regs.offset_ns = base_ns - clock_get_ns(rtc_clock(rtc));
    rtc->regs.update_seen_s = seconds_of(base_ns);
    rtc->regs.periodic_seen = crystal_now();
    memory_region_init_io(&rtc->io, &rtc_ops, rtc, "rtc", 2);
    timer_init(&rtc->update_timer, event_loop_main(), rtc_clock(rtc), timer_fired, rtc);
    timer_init(&rtc->periodic_timer, event_loop_main(), VMCLOCK_VIRTUAL, timer_fired, rtc);
    return true;
}

static void mc146818_unrealize(Device *dev)
{
    Mc146818 *rtc = (Mc146818 *)dev;

    timer_release(&rtc->update_timer);
    timer_release(&rtc->periodic_timer);
    memory_region_release(&rtc->io);
}

/* Time and RAM run on a battery; DS "RESET pin". */
static void mc146818_reset(Device *dev)
{
    Mc146818 *rtc = (Mc146818 *)dev;

    rtc->regs.cmos[REG_B] &= ~(B_PIE | B_AIE | B_UIE | B_SQWE);
    rtc->regs.cmos[REG_C] = 0;
    update_irq(rtc);
}

static const char *const clock_names[] = {"host", "vm", NULL};

static const Property mc146818_props[] = {
    {.name = "base", PROP_STRING, offsetof(Mc146818, base), "utc", "utc, localtime, or YYYY-MM-DD[THH:MM:SS]"},
    {.name = "clock", PROP_ENUM, offsetof(Mc146818, clock), "host", "what moves the time on", clock_names},
    {0},
};

static const DeviceWire mc146818_wires[] = {{"irq", offsetof(Mc146818, irq)}, {0}};

const DeviceType mc146818_type = {
    .name = "mc146818rtc",
    .desc = "MC146818A real-time clock",
    .bus = "system",
    .instance_size = sizeof(Mc146818),
    .props = mc146818_props,
    .wires = mc146818_wires,
    .realize = mc146818_realize,
    .unrealize = mc146818_unrealize,
    .reset = mc146818_reset,
};
