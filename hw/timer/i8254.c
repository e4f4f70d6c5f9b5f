/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The 8254 programmable interval timer and port 61h.
 * Source: Intel 8254 data sheet (order 231164), "DS" below, section "Mode Definitions"; port 61h
 * (NMI_SC): ICH9 data sheet 13.7.1.
 *
 * Nothing counts: the counting element's value is computed from the virtual clock when somebody
 * looks. A count written during clock t is loaded by clock t + 1 (DS: "on the next CLK pulse").
 * OUT0's low phases are not timed; each rising edge is sent as low, high on the wire at its time.
 * Periods below PERIOD_FLOOR_NS lose edges, and so does a host that comes late: edges never queue.
 *
 * Locking: machine_lock.
 */
#include "hw/timer/i8254.h"

#include "core/bits.h"

#define PORT_CONTROL 3

/* The control word, DS figure 7. */
#define CW_BCD      0x01
#define CW_MODE(v)  ((v) >> 1 & 7)
#define CW_RW(v)    ((v) >> 4 & 3)
#define CW_SC(v)    ((v) >> 6 & 3)
#define SC_READBACK 3
#define RW_LATCH    0
#define RW_LSB      1
#define RW_MSB      2
#define RW_BOTH     3
/* The read-back command, DS figure 10: active low. */
#define RB_COUNT    0x20
#define RB_STATUS   0x10
/* The status byte, DS figure 11. */
#define ST_OUT      0x80
#define ST_NULL     0x40

/* Port 61h. */
#define P61_GATE2   0x01
#define P61_MASK    0x0f
#define P61_REFRESH 0x10
#define P61_OUT2    0x20
#define REFRESH_NS  15085 /* DRAM refresh request: toggles at this rate */

#define PERIOD_FLOOR_NS (200 * NS_PER_US)

/* Power-up: "the state of the 8254 is undefined", so this is what a PC's firmware leaves. */
static const I8254Channel reset_channel = {
    .mode = 3,
    .rw = RW_BOTH,
    .count = 0x10000,
    .gate = true,
    .paused = -1,
};

/* --- Time --- */

static int64_t ticks_of_ns(int64_t ns)
{
    return muldiv64(ns, I8254_HZ, NS_PER_SEC);
}

static int64_t now_tick(void)
{
    return ticks_of_ns(clock_get_ns(VMCLOCK_VIRTUAL));
}

/* The first nanosecond that belongs to this clock. */
static int64_t ns_of_tick(int64_t tick)
{
    return muldiv64_up(tick, NS_PER_SEC, I8254_HZ);
}

/* --- Pure functions of a channel --- */

/* Clocks since the count was loaded; negative before that. */
static int64_t elapsed(const I8254Channel *ch, int64_t now)
{
    return ch->paused >= 0 ? ch->paused : now - ch->start_tick;
}

static bool is_periodic(const I8254Channel *ch)
{
    return ch->mode == 2 || ch->mode == 3;
}

/* GATE is a level that enables counting; in modes 1 and 5 only its rise counts, as the trigger. */
static bool gate_holds(const I8254Channel *ch)
{
    return ch->mode != 1 && ch->mode != 5;
}

/* Modes 1 and 5 wait for their trigger. */
static bool is_counting(const I8254Channel *ch)
{
    return ch->loaded && (ch->triggered || gate_holds(ch));
}

static bool channel_out(const I8254Channel *ch, int64_t now)
{
    int64_t e = elapsed(ch, now), n = ch->count;

    if (!is_counting(ch))
        return ch->mode != 0;
    switch (ch->mode) {
    case 0:
    case 1:
        return e >= n || (ch->mode == 1 && e < 0);
    case 2: /* low for the last clock of the period; GATE low sets OUT high */
        return !ch->gate || e < 0 || e % n != n - 1 || n == 1;
    case 3: /* high for (N+1)/2, low for (N-1)/2 clocks */
        return !ch->gate || e < 0 || e % n < (n + 1) / 2;
    default: /* 4, 5: a strobe of one clock */
        return e != n;
    }
}

/* The counting element, before BCD. */
static uint32_t channel_value(const I8254Channel *ch, int64_t now)
{
    int64_t e = elapsed(ch, now), n = ch->count, high = (n + 1) / 2;
    uint32_t modulus = ch->bcd ? 10000 : 0x10000;

    if (!is_counting(ch) || e < 0)
        return n % modulus;
    switch (ch->mode) {
    case 2:
        return (n - e % n) % modulus;
    case 3: /* counts by two in each half; an odd N is loaded as N - 1 (DS "Mode 3") */
        e = e % n < high ? e % n : e % n - high;
        return ((n & ~1) - 2 * e) % modulus;
    default: /* counting goes on below zero */
        return (uint64_t)(n - e % modulus + modulus) % modulus;
    }
}

static uint16_t to_bcd(uint32_t v)
{
    return v / 1000 % 10 << 12 | v / 100 % 10 << 8 | v / 10 % 10 << 4 | v % 10;
}

static uint32_t from_bcd(uint16_t v)
{
    return (v >> 12) * 1000 + (v >> 8 & 15) * 100 + (v >> 4 & 15) * 10 + (v & 15);
}

static uint16_t channel_read_value(const I8254Channel *ch, int64_t now)
{
    uint32_t value = channel_value(ch, now);

    return ch->bcd ? to_bcd(value) : value;
}

static uint8_t channel_status(const I8254Channel *ch, int64_t now)
{
    bool null_count = !ch->loaded || ch->next_count || elapsed(ch, now) < 0;

    return (channel_out(ch, now) ? ST_OUT : 0) | (null_count ? ST_NULL : 0) | ch->rw << 4 |
           ch->mode << 1 | (ch->bcd ? CW_BCD : 0);
}

/* The first clock after `after` at which OUT rises by counting; -1: none. */
static int64_t next_rise(const I8254Channel *ch, int64_t after)
{
    int64_t n = ch->count, e = after - ch->start_tick, rise;

    if (!is_counting(ch) || ch->paused >= 0)
        return -1;
    if (is_periodic(ch))
        return ch->start_tick + (e < 0 ? n : (e / n + 1) * n);
    rise = ch->start_tick + n + (ch->mode >= 4);
    return rise > after ? rise : -1;
}

/* --- Changes --- */

/* A count written while modes 2 and 3 run becomes the count at the end of the period (in mode 3 the
 * chip changes over at the half period already). */
static void channel_sync(I8254Channel *ch, int64_t now)
{
    if (ch->next_count && now >= ch->next_tick) {
        ch->start_tick = ch->next_tick;
        ch->count = ch->next_count;
        ch->next_count = 0;
    }
}

/* Re-arms the interrupt timer and puts OUT0 on the wire. */
static void update_irq(I8254 *pit)
{
    I8254Channel *ch = &pit->regs.ch[0];
    int64_t now = now_tick(), rise, ns;

    channel_sync(ch, now);
    if (pit->irq_disabled) {
        timer_del(&pit->timer);
        return;
    }
    irq_set(&pit->irq, channel_out(ch, now));
    pit->edge_tick = now;
    rise = next_rise(ch, now);
    if (rise < 0) {
        timer_del(&pit->timer);
        return;
    }
    ns = ns_of_tick(rise);
    if (is_periodic(ch) && ch->count < ticks_of_ns(PERIOD_FLOOR_NS))
        ns = MAX(ns, clock_get_ns(VMCLOCK_VIRTUAL) + PERIOD_FLOOR_NS);
    timer_mod(&pit->timer, ns);
}

static void timer_fired(void *opaque)
{
    I8254 *pit = opaque;
    int64_t rise = next_rise(&pit->regs.ch[0], pit->edge_tick);

    if (rise >= 0 && rise <= now_tick()) {
        irq_set(&pit->irq, 0);
        irq_set(&pit->irq, 1);
    }
    update_irq(pit);
}

static void channel_load(I8254Channel *ch, uint16_t written, int64_t now)
{
    uint32_t count = ch->bcd ? from_bcd(written) : written;

    if (!count)
        count = ch->bcd ? 10000 : 0x10000;
    if (is_periodic(ch) && ch->loaded && ch->gate) {
        int64_t e = MAX(now - ch->start_tick, 0);

        ch->next_count = count;
        ch->next_tick = ch->start_tick + (e / ch->count + 1) * ch->count;
        return;
    }
    if ((ch->mode == 1 || ch->mode == 5) && ch->triggered) { /* waits for the next trigger */
        ch->next_count = count;
        ch->next_tick = INT64_MAX;
        return;
    }
    ch->count = count;
    ch->loaded = true;
    ch->start_tick = now + 1;
    ch->paused = gate_holds(ch) && !ch->gate ? 0 : -1;
}

static void channel_write(I8254Channel *ch, uint8_t value, int64_t now)
{
    channel_sync(ch, now);
    switch (ch->rw) {
    case RW_LSB:
        channel_load(ch, value, now);
        break;
    case RW_MSB:
        channel_load(ch, value << 8, now);
        break;
    default:
        if (!ch->write_msb_next) {
            ch->write_lsb = value;
            if (ch->mode == 0) /* "writing the first byte disables counting, OUT is set low" */
                ch->loaded = false;
        } else {
            channel_load(ch, ch->write_lsb | value << 8, now);
        }
        ch->write_msb_next = !ch->write_msb_next;
    }
}

static void set_gate(I8254Channel *ch, bool gate, int64_t now)
{
    bool rises = gate && !ch->gate;

    channel_sync(ch, now);
    if (gate == ch->gate)
        return;
    if (!rises) {
        if (gate_holds(ch) && ch->loaded)
            ch->paused = MAX(now - ch->start_tick, 0);
    } else if (ch->mode == 0 || ch->mode == 4) { /* goes on where it stood */
        if (ch->paused >= 0)
            ch->start_tick = now - ch->paused;
    } else if (ch->loaded) { /* a rising edge reloads; in modes 1 and 5 it is what starts */
        ch->count = ch->next_count ? ch->next_count : ch->count;
        ch->next_count = 0;
        ch->start_tick = now + 1;
        ch->triggered = true;
    }
    if (rises)
        ch->paused = -1;
    ch->gate = gate;
}

/* --- Ports 40h..43h --- */

static void latch_count(I8254Channel *ch, int64_t now)
{
    if (ch->count_latched)
        return; /* "the second Counter Latch Command is ignored" */
    ch->count_latch = channel_read_value(ch, now);
    ch->count_latched = true;
}

static void read_back(I8254 *pit, uint8_t value, int64_t now)
{
    for (int i = 0; i < I8254_CHANNELS; i++) {
        I8254Channel *ch = &pit->regs.ch[i];

        if (!(value & 2u << i))
            continue;
        channel_sync(ch, now);
        if (!(value & RB_COUNT))
            latch_count(ch, now);
        if (!(value & RB_STATUS) && !ch->status_latched) {
            ch->status_latch = channel_status(ch, now);
            ch->status_latched = true;
        }
    }
}

static void write_control(I8254 *pit, uint8_t value, int64_t now)
{
    I8254Channel *ch;

    if (CW_SC(value) == SC_READBACK) {
        read_back(pit, value, now);
        return;
    }
    ch = &pit->regs.ch[CW_SC(value)];
    channel_sync(ch, now);
    if (CW_RW(value) == RW_LATCH) {
        latch_count(ch, now);
        return;
    }
    *ch = (I8254Channel){
        .mode = CW_MODE(value) > 5 ? CW_MODE(value) - 4 : CW_MODE(value), /* X10 and X11 */
        .rw = CW_RW(value),
        .bcd = value & CW_BCD,
        .gate = ch->gate,
        .count = ch->count,
        .paused = -1,
    };
}

static void pit_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
    I8254 *pit = opaque;

    if (offset == PORT_CONTROL)
        write_control(pit, value, now_tick());
    else
        channel_write(&pit->regs.ch[offset], value, now_tick());
    if (offset == 0 || (offset == PORT_CONTROL && CW_SC(value) == 0 && CW_RW(value) != RW_LATCH))
        update_irq(pit);
}

static uint8_t channel_read(I8254Channel *ch, int64_t now)
{
    uint16_t value;
    bool msb;

    channel_sync(ch, now);
    if (ch->status_latched) {
        ch->status_latched = false;
        return ch->status_latch;
    }
    value = ch->count_latched ? ch->count_latch : channel_read_value(ch, now);
    msb = ch->rw == RW_MSB || (ch->rw == RW_BOTH && ch->read_msb_next);
    if (ch->rw == RW_BOTH)
        ch->read_msb_next = !ch->read_msb_next;
    if (msb || ch->rw != RW_BOTH)
        ch->count_latched = false;
    return msb ? value >> 8 : value;
}

static uint64_t pit_read(void *opaque, uint64_t offset, unsigned size)
{
    I8254 *pit = opaque;

    if (offset == PORT_CONTROL)
        return 0; /* "no-operation (3-state)" */
    return channel_read(&pit->regs.ch[offset], now_tick());
}

/* --- Port 61h --- */

static uint64_t port61_read(void *opaque, uint64_t offset, unsigned size)
{
    I8254 *pit = opaque;
    int64_t ns = clock_get_ns(VMCLOCK_VIRTUAL), now = ticks_of_ns(ns);

    channel_sync(&pit->regs.ch[2], now);
    return pit->regs.port61 | (ns / REFRESH_NS & 1 ? P61_REFRESH : 0) |
           (channel_out(&pit->regs.ch[2], now) ? P61_OUT2 : 0);
}

static void port61_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
    I8254 *pit = opaque;

    pit->regs.port61 = value & P61_MASK;
    set_gate(&pit->regs.ch[2], value & P61_GATE2, now_tick());
}

static const MemoryRegionOps pit_ops = {
    .read = pit_read,
    .write = pit_write,
    .valid = {1, 4, true},
    .impl = {1, 1},
};

static const MemoryRegionOps port61_ops = {
    .read = port61_read,
    .write = port61_write,
    .valid = {1, 4, true},
    .impl = {1, 1},
};

/* --- Life cycle --- */

void i8254_connect(I8254 *pit, Irq out0)
{
    pit->irq = out0;
}

void i8254_set_irq_disabled(I8254 *pit, bool disabled)
{
    pit->irq_disabled = disabled;
    update_irq(pit);
}

static bool i8254_realize(Device *dev, GError **errp)
{
    I8254 *pit = (I8254 *)dev;

    memory_region_init_io(&pit->io, &pit_ops, pit, "pit", 4);
    memory_region_init_io(&pit->port61, &port61_ops, pit, "port61", 1);
    timer_init(&pit->timer, event_loop_main(), VMCLOCK_VIRTUAL, timer_fired, pit);
    return true;
}

static void i8254_unrealize(Device *dev)
{
    I8254 *pit = (I8254 *)dev;

    timer_release(&pit->timer);
    memory_region_release(&pit->io);
    memory_region_release(&pit->port61);
}

static void i8254_reset(Device *dev)
{
    I8254 *pit = (I8254 *)dev;

    pit->regs = (I8254Regs){.ch = {reset_channel, reset_channel, reset_channel}};
    pit->regs.ch[2].gate = false; /* port 61h gates it */
    pit->irq_disabled = false;
    update_irq(pit);
}

static const DeviceWire i8254_wires[] = {{"out0", offsetof(I8254, irq)}, {0}};

const DeviceType i8254_type = {
    .name = "isa-pit",
    .desc = "8254 interval timer and port 61h",
    .bus = "system",
    .instance_size = sizeof(I8254),
    .wires = i8254_wires,
    .realize = i8254_realize,
    .unrealize = i8254_unrealize,
    .reset = i8254_reset,
};
