/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The high precision event timer.
 * Source: IA-PC HPET Specification 1.0a: 2.3 (registers), 2.4 (operation).
 *
 * Nothing counts: the main counter is computed from the virtual clock, and a host timer is armed only for
 * a comparator whose interrupt is enabled. A host that comes late, and periods below PERIOD_FLOOR_NS, merge
 * matches: each wake-up is one interrupt.
 *
 * Not modelled: timer interrupts that are not enabled set no status.
 *
 * Locking: machine_lock.
 */
#include "hw/timer/hpet.h"

#include "core/bits.h"
#include "core/machine.h"

enum {
    REG_GCAP_ID = 0x000,
    REG_GEN_CONF = 0x010,
    REG_GINTR_STA = 0x020,
    REG_MAIN_CNT = 0x0f0,
    REG_TIMERS = 0x100, /* each TIMER_SIZE bytes */
    TIMER_SIZE = 0x20,
    REG_TN_CONF = 0x00,
    REG_TN_CMP = 0x08,
    REG_TN_FSB = 0x10,
};

/* GCAP_ID, 2.3.4 */
#define CAP_REVISION 0x01
#define CAP_TIMERS ((HPET_TIMERS - 1) << 8)
#define CAP_COUNT_64 BIT(13)
#define CAP_LEG_RT BIT(15)
#define CAP_VENDOR (UINT64_C(0x8086) << 16)
#define CAP_PERIOD ((uint64_t)(HPET_TICK_NS * 1000000) << 32) /* femtoseconds */

/* GEN_CONF, 2.3.5 */
#define GEN_ENABLE BIT(0)
#define GEN_LEG_RT BIT(1)

/* TN_CONF, 2.3.8 */
#define TN_LEVEL BIT(1)
#define TN_ENABLE BIT(2)
#define TN_PERIODIC BIT(3)
#define TN_PERIODIC_CAP BIT(4)
#define TN_SIZE_CAP BIT(5)
#define TN_VAL_SET BIT(6)
#define TN_32BIT BIT(8)
#define TN_ROUTE(config) ((config) >> 9 & 0x1f)
#define TN_FSB_ENABLE BIT(14)
#define TN_FSB_CAP BIT(15)
#define TN_WRITABLE (TN_LEVEL | TN_ENABLE | TN_PERIODIC | TN_VAL_SET | TN_32BIT | BITS(13, 9) | TN_FSB_ENABLE)
#define ROUTES UINT64_C(0x00ff0000) /* GSI 16 to 23: ISA and PCI interrupts lie below */

#define PERIOD_FLOOR_NS (200 * NS_PER_US)
#define FAR_TICKS (INT64_MAX / HPET_TICK_NS / 4) /* some 70 years: not worth a timer */

static const uint8_t legacy_irqs[] = {0, 8}; /* of timers 0 and 1 */

/* --- pure helpers --- */

static uint64_t capabilities(const Hpet *hpet)
{
    return CAP_PERIOD | CAP_VENDOR | CAP_COUNT_64 | CAP_TIMERS | CAP_REVISION | (hpet->legacy_capable ? CAP_LEG_RT : 0);
}

uint32_t hpet_block_id(const Hpet *hpet)
{
    return capabilities(hpet);
}

static uint64_t counter_at(const HpetRegs *r, int64_t now)
{
    return r->gen_conf & GEN_ENABLE ? r->counter + (now - r->start_ns) / HPET_TICK_NS : r->counter;
}

static uint64_t width_mask(const HpetTimerRegs *t)
{
    return t->config & TN_32BIT ? UINT32_MAX : UINT64_MAX;
}

static bool is_periodic(const HpetTimerRegs *t)
{
    return (t->config & TN_PERIODIC) && t->period;
}

/* Ticks from the counter to the next match: after one, that is a whole turn of the counter. */
static uint64_t ticks_to_match(const HpetTimerRegs *t, uint64_t counter)
{
    uint64_t mask = width_mask(t), ticks = (t->comparator - counter) & mask;

    return ticks ? ticks : mask + (mask != UINT64_MAX);
}

/* --- interrupts --- */

static bool is_legacy(const Hpet *hpet, unsigned index)
{
    return (hpet->regs.gen_conf & GEN_LEG_RT) && index < G_N_ELEMENTS(legacy_irqs);
}

static int wanted_route(const Hpet *hpet, unsigned index)
{
    unsigned route = TN_ROUTE(hpet->regs.timer[index].config);

    if (is_legacy(hpet, index))
        return legacy_irqs[index];
    return ROUTES >> route & 1 ? (int)route : -1;
}

/* Level interrupts follow the status bit. */
static void update_line(HpetTimer *timer)
{
    Hpet *hpet = timer->hpet;
    const HpetTimerRegs *t = &hpet->regs.timer[timer->index];
    bool active = (t->config & TN_LEVEL) && (t->config & TN_ENABLE) && !(t->config & TN_FSB_ENABLE) &&
                  (hpet->regs.gintr_sta >> timer->index & 1);
    int route = active ? wanted_route(hpet, timer->index) : -1;

    if (route == timer->route)
        return;
    if (timer->route >= 0)
        irq_set(&hpet->gsi[timer->route], 0);
    timer->route = route;
    if (route >= 0)
        irq_set(&hpet->gsi[route], 1);
}

static void send_interrupt(HpetTimer *timer)
{
    Hpet *hpet = timer->hpet;
    const HpetTimerRegs *t = &hpet->regs.timer[timer->index];
    int route = wanted_route(hpet, timer->index);

    if (t->config & TN_FSB_ENABLE) {
        msi_send(&hpet->dev.machine->msi, t->fsb >> 32, (uint32_t)t->fsb);
    } else if (t->config & TN_LEVEL) {
        hpet->regs.gintr_sta |= 1u << timer->index;
        update_line(timer);
    } else if (route >= 0) {
        irq_pulse(&hpet->gsi[route]);
    }
}

/* --- matches --- */

/* A periodic comparator that the counter has passed is the next one it will meet. True if it was. */
static bool advance(HpetTimerRegs *t, uint64_t counter)
{
    uint64_t mask = width_mask(t), behind = (counter - t->comparator) & mask;

    if (!is_periodic(t) || behind > mask / 2)
        return false;
    t->comparator = (t->comparator + (behind / t->period + 1) * t->period) & mask;
    return true;
}

static void arm(HpetTimer *timer)
{
    HpetRegs *r = &timer->hpet->regs;
    HpetTimerRegs *t = &r->timer[timer->index];
    int64_t now = clock_get_ns(VMCLOCK_VIRTUAL), deadline;
    uint64_t counter = counter_at(r, now), ticks;

    timer->due_ns = -1;
    if (!(r->gen_conf & GEN_ENABLE) || !(t->config & TN_ENABLE)) {
        timer_del(&timer->timer);
        return;
    }
    advance(t, counter);
    ticks = ticks_to_match(t, counter);
    if (ticks > FAR_TICKS) {
        timer_del(&timer->timer);
        return;
    }
    deadline = r->start_ns + (int64_t)(counter - r->counter + ticks) * HPET_TICK_NS;
    if (is_periodic(t) && t->period * HPET_TICK_NS < PERIOD_FLOOR_NS)
        deadline = MAX(deadline, now + PERIOD_FLOOR_NS);
    timer->due_ns = deadline;
    timer_mod(&timer->timer, deadline);
}

/* A match that the host timer has not come round to yet, and that a change of registers would lose. */
static void run_due(HpetTimer *timer)
{
    if (timer->due_ns < 0 || clock_get_ns(VMCLOCK_VIRTUAL) < timer->due_ns)
        return;
    timer->due_ns = -1;
    send_interrupt(timer);
}

static void matched(void *opaque)
{
    HpetTimer *timer = opaque;

    run_due(timer);
    arm(timer);
}

static void update_all(Hpet *hpet)
{
    for (unsigned i = 0; i < HPET_TIMERS; i++) {
        update_line(&hpet->timers[i]);
        arm(&hpet->timers[i]);
    }
}

/* --- registers --- */

static uint64_t read_timer(Hpet *hpet, unsigned index, unsigned reg)
{
    HpetTimerRegs *t = &hpet->regs.timer[index];

    switch (reg) {
    case REG_TN_CONF:
        return t->config | TN_PERIODIC_CAP | TN_SIZE_CAP | TN_FSB_CAP | ROUTES << 32;
    case REG_TN_CMP:
        if (hpet->regs.gen_conf & GEN_ENABLE)
            advance(t, counter_at(&hpet->regs, clock_get_ns(VMCLOCK_VIRTUAL)));
        return t->comparator;
    case REG_TN_FSB:
        return t->fsb;
    default:
        return 0;
    }
}

static uint64_t read_register(Hpet *hpet, unsigned reg)
{
    unsigned index = (reg - REG_TIMERS) / TIMER_SIZE;

    if (reg >= REG_TIMERS)
        return index < HPET_TIMERS ? read_timer(hpet, index, reg % TIMER_SIZE) : 0;
    switch (reg) {
    case REG_GCAP_ID:
        return capabilities(hpet);
    case REG_GEN_CONF:
        return hpet->regs.gen_conf;
    case REG_GINTR_STA:
        return hpet->regs.gintr_sta;
    case REG_MAIN_CNT:
        return counter_at(&hpet->regs, clock_get_ns(VMCLOCK_VIRTUAL));
    default:
        return 0;
    }
}

static void write_gen_conf(Hpet *hpet, uint64_t value)
{
    HpetRegs *r = &hpet->regs;
    uint64_t old = r->gen_conf, mask = GEN_ENABLE | (hpet->legacy_capable ? GEN_LEG_RT : 0);
    int64_t now = clock_get_ns(VMCLOCK_VIRTUAL);

    if ((old ^ value) & GEN_ENABLE) {
        r->counter = counter_at(r, now);
        r->start_ns = now;
    }
    r->gen_conf = value & mask;
    if ((old ^ r->gen_conf) & GEN_LEG_RT) {
        bool on = r->gen_conf & GEN_LEG_RT;
        irq_set(&hpet->legacy, on);
        irq_set(&hpet->gsi[legacy_irqs[0]], 0); /* where the 8254 left it high */
        irq_set(&hpet->gsi[legacy_irqs[1]], on ? 0 : hpet->rtc_level);
    }
}

/* 2.3.9.2.2: a periodic timer's comparator is set with VAL_SET, once; writes set its period too. */
static void write_comparator(HpetTimerRegs *t, uint64_t value)
{
    value &= width_mask(t);
    if (!(t->config & TN_PERIODIC) || (t->config & TN_VAL_SET))
        t->comparator = value;
    if (t->config & TN_PERIODIC)
        t->period = value;
    t->config &= ~TN_VAL_SET;
}

static void write_timer(Hpet *hpet, unsigned index, unsigned reg, uint64_t value)
{
    HpetTimerRegs *t = &hpet->regs.timer[index];

    switch (reg) {
    case REG_TN_CONF:
        t->config = value & TN_WRITABLE;
        t->comparator &= width_mask(t);
        t->period &= width_mask(t);
        break;
    case REG_TN_CMP:
        write_comparator(t, value);
        break;
    case REG_TN_FSB:
        t->fsb = value;
        break;
    }
}

static void write_register(Hpet *hpet, unsigned reg, uint64_t value)
{
    HpetRegs *r = &hpet->regs;
    unsigned index = (reg - REG_TIMERS) / TIMER_SIZE;

    for (unsigned i = 0; i < HPET_TIMERS; i++)
        run_due(&hpet->timers[i]);
    if (reg >= REG_TIMERS) {
        if (index < HPET_TIMERS)
            write_timer(hpet, index, reg % TIMER_SIZE, value);
    } else if (reg == REG_GEN_CONF) {
        write_gen_conf(hpet, value);
    } else if (reg == REG_GINTR_STA) {
        r->gintr_sta &= ~value;
    } else if (reg == REG_MAIN_CNT && !(r->gen_conf & GEN_ENABLE)) {
        r->counter = value; /* 2.3.7: only while it is halted */
    }
    update_all(hpet);
}

/* 64-bit registers, also by halves. */
static uint64_t hpet_read(void *opaque, uint64_t offset, unsigned size)
{
    uint64_t value = read_register(opaque, offset & ~7u);

    return size == 8 ? value : (uint32_t)(value >> 8 * (offset & 4));
}

static void hpet_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
    unsigned reg = offset & ~7u, shift = 8 * (offset & 4);

    if (size == 4) {
        /* Bits that a write of one clears must not come from the half that is not written. */
        uint64_t other = reg == REG_GINTR_STA ? 0 : read_register(opaque, reg) & ~(UINT64_C(0xffffffff) << shift);
        value = other | value << shift;
    }
    write_register(opaque, reg, value);
}

static const MemoryRegionOps hpet_ops = {
    .read = hpet_read,
    .write = hpet_write,
    .valid = {4, 8},
    .impl = {4, 8},
};

/* --- wires and life cycle --- */

static void rtc_changed(void *opaque, int pin, int level)
{
    Hpet *hpet = opaque;

    hpet->rtc_level = level;
    if (!(hpet->regs.gen_conf & GEN_LEG_RT))
        irq_set(&hpet->gsi[legacy_irqs[1]], level);
}

Irq hpet_rtc_irq(Hpet *hpet)
{
    return (Irq){rtc_changed, hpet, 0};
}

void hpet_connect(Hpet *hpet, const Irq gsi[GSI_COUNT], Irq legacy)
{
    memcpy(hpet->gsi, gsi, sizeof(hpet->gsi));
    hpet->legacy = legacy;
    hpet->legacy_capable = legacy.handler;
}

static bool hpet_realize(Device *dev, GError **errp)
{
    Hpet *hpet = (Hpet *)dev;

    memory_region_init_io(&hpet->mmio, &hpet_ops, hpet, "hpet", HPET_SIZE);
    for (unsigned i = 0; i < HPET_TIMERS; i++) {
        hpet->timers[i] = (HpetTimer){.hpet = hpet, .index = i, .due_ns = -1, .route = -1};
        timer_init(&hpet->timers[i].timer, event_loop_main(), VMCLOCK_VIRTUAL, matched, &hpet->timers[i]);
    }
    return true;
}

static void hpet_unrealize(Device *dev)
{
    Hpet *hpet = (Hpet *)dev;

    for (unsigned i = 0; i < HPET_TIMERS; i++)
        timer_release(&hpet->timers[i].timer);
    memory_region_release(&hpet->mmio);
}

/* 2.3: comparators come up as all ones. */
static void hpet_reset(Device *dev)
{
    Hpet *hpet = (Hpet *)dev;

    write_gen_conf(hpet, 0);
    hpet->regs = (HpetRegs){0};
    for (unsigned i = 0; i < HPET_TIMERS; i++)
        hpet->regs.timer[i].comparator = UINT64_MAX;
    update_all(hpet);
}

const DeviceType hpet_type = {
    .name = "hpet",
    .desc = "high precision event timer",
    .bus = "system",
    .instance_size = sizeof(Hpet),
    .realize = hpet_realize,
    .unrealize = hpet_unrealize,
    .reset = hpet_reset,
};
