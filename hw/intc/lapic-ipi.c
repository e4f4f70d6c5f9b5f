/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Interrupt messages between LAPICs, and to them from I/O APIC, MSI and the local vector table.
 * Source: Intel SDM vol. 3, 11.6 (IPIs), 11.6.2 (destination), 11.5.1 (LVT), 11.11 (MSI),
 * 11.12.10 (x2APIC destinations).
 *
 * Not modelled: SMI, and focus processors. INIT level de-assert is accepted and means nothing.
 *
 * Locking: none; any thread may send to any LAPIC.
 */
#include "hw/intc/lapic-internal.h"

#include <inttypes.h>

#include "core/log.h"
#include "core/machine.h"

/* ICR low; SDM figure 11-12. */
#define ICR_VECTOR       0xffu
#define ICR_DELIVERY(v)  ((v) >> 8 & 7)
#define ICR_LOGICAL      (1u << 11)
#define ICR_ASSERT       (1u << 14)
#define ICR_LEVEL        (1u << 15)
#define ICR_SHORTHAND(v) ((v) >> 18 & 3)
enum { SHORTHAND_NONE, SHORTHAND_SELF, SHORTHAND_ALL, SHORTHAND_OTHERS };

/* Message address and data; SDM 11.11. The redirection hint adds nothing to the delivery mode. */
#define MSI_BASE           0xfee00000u
#define MSI_BASE_SHIFT     20
#define MSI_DEST(a)        ((a) >> 12 & 0xff)
#define MSI_DM             (1u << 2)
#define MSI_DATA_LEVEL     (1u << 15)
#define MSI_DATA_ASSERT    (1u << 14)

#define FIRST_LEGAL_VECTOR 16

/* --- Acceptance at one LAPIC --- */

static void accept_fixed(Lapic *lapic, uint8_t vector, bool level)
{
    if (!lapic_is_enabled(lapic) || !(lapic_load(&lapic->svr) & SVR_ENABLE))
        return;
    if (vector < FIRST_LEGAL_VECTOR)
        lapic_error(lapic, ESR_RECEIVE_ILLEGAL_VECTOR);
    else
        lapic_set_irr(lapic, vector, level);
}

void lapic_deliver_one(Lapic *lapic, const LapicMessage *msg)
{
    switch (msg->delivery) {
    case DELIVERY_FIXED:
    case DELIVERY_LOWEST:
        accept_fixed(lapic, msg->vector, msg->level);
        break;
    case DELIVERY_NMI:
        vcpu_request(lapic->vcpu, VCPU_REQ_NMI);
        break;
    case DELIVERY_INIT:
        vcpu_request(lapic->vcpu, VCPU_REQ_INIT);
        break;
    case DELIVERY_SIPI:
        __atomic_store_n(&lapic->vcpu->sipi_vector, msg->vector, __ATOMIC_RELEASE);
        vcpu_request(lapic->vcpu, VCPU_REQ_SIPI);
        break;
    case DELIVERY_EXTINT:
        __atomic_fetch_or(&lapic->lint_level, EXTINT_MESSAGE, __ATOMIC_SEQ_CST);
        lapic_notify(lapic);
        break;
    default:
        log_printf(LOG_UNIMP, "lapic: delivery mode %u is not modelled\n", msg->delivery);
        break;
    }
}

/* LVT error is delivered once for each error that was not latched already; SDM 11.5.3. */
void lapic_error(Lapic *lapic, uint32_t bit)
{
    uint32_t old = __atomic_fetch_or(&lapic->esr_latch, bit, __ATOMIC_SEQ_CST);
    uint32_t lvt = lapic_load(&lapic->lvt[LVT_ERROR]);

    if (!(old & bit) && !(lvt & LVT_MASKED) && (lvt & LVT_VECTOR) >= FIRST_LEGAL_VECTOR)
        lapic_set_irr(lapic, lvt & LVT_VECTOR, false);
}

void lapic_deliver_lvt(Lapic *lapic, LapicLvt entry)
{
    uint32_t lvt = lapic_load(&lapic->lvt[entry]);
    bool is_lint = entry == LVT_LINT0 || entry == LVT_LINT1;
    LapicMessage msg = {.vector = lvt & LVT_VECTOR, .delivery = LVT_DELIVERY(lvt)};

    if ((lvt & LVT_MASKED) || !lapic_is_enabled(lapic))
        return;
    if (entry == LVT_TIMER || entry == LVT_ERROR)
        msg.delivery = DELIVERY_FIXED; /* these entries have no such field */
    if (msg.delivery == DELIVERY_EXTINT) {
        lapic_notify(lapic); /* the level is looked at when the vCPU asks */
        return;
    }
    if (is_lint && (lvt & LVT_LEVEL) && msg.delivery == DELIVERY_FIXED) {
        msg.level = true;
        __atomic_fetch_or(&lapic->lvt[entry], LVT_REMOTE_IRR, __ATOMIC_SEQ_CST);
    }
    lapic_deliver_one(lapic, &msg);
}

/* --- Destinations --- */

/* Logical mode of an xAPIC: flat or cluster model by DFR; SDM 11.6.2.2. */
static bool matches_xapic_logical(const Lapic *lapic, uint32_t dest)
{
    uint32_t ldr = lapic_load(&lapic->ldr) >> 24;

    if (lapic_load(&lapic->dfr) >> 28 == 0xf)
        return dest & ldr & 0xff;
    return (dest >> 4 & 0xf) == ldr >> 4 && (dest & ldr & 0xf);
}

static bool matches(const Lapic *lapic, const LapicMessage *msg)
{
    if (!lapic_is_enabled(lapic)) /* it is not on the bus */
        return false;
    if (msg->dest == DEST_BROADCAST)
        return true;
    if (!msg->logical)
        return msg->dest == lapic_load(&lapic->id);
    if (!lapic_is_x2apic(lapic))
        return matches_xapic_logical(lapic, msg->dest);
    /* x2APIC: bits 31:16 name the cluster, 15:0 its members; SDM 11.12.10.2. */
    return msg->dest >> 16 == lapic_load(&lapic->ldr) >> 16 &&
           (msg->dest & lapic_load(&lapic->ldr) & 0xffff);
}

/* Of all that match, the one with the lowest priority; equals take turns. SDM 11.6.2.4. */
static Lapic *find_lowest(LapicBus *bus, const LapicMessage *msg)
{
    unsigned start = __atomic_fetch_add(&bus->lowest_next, 1, __ATOMIC_RELAXED);
    Lapic *lowest = NULL;

    for (unsigned i = 0; i < bus->count; i++) {
        Lapic *lapic = bus->lapics[(start + i) % bus->count];

        if (!lapic || !matches(lapic, msg) || !(lapic_load(&lapic->svr) & SVR_ENABLE))
            continue;
        if (!lowest || lapic_ppr(lapic) >> 4 < lapic_ppr(lowest) >> 4)
            lowest = lapic;
    }
    return lowest;
}

void lapic_bus_deliver(LapicBus *bus, const LapicMessage *msg, const Lapic *exclude)
{
    if (msg->delivery == DELIVERY_LOWEST) {
        Lapic *lapic = find_lowest(bus, msg);

        if (lapic)
            lapic_deliver_one(lapic, msg);
        return;
    }
    for (unsigned i = 0; i < bus->count; i++) {
        Lapic *lapic = bus->lapics[i];

        if (lapic && lapic != exclude && matches(lapic, msg))
            lapic_deliver_one(lapic, msg);
    }
}

/* --- Sources --- */

/* Eight-bit destinations: FFh is everybody, for x2APICs too. */
static uint32_t widen_dest(uint32_t dest)
{
    return dest == 0xff ? DEST_BROADCAST : dest;
}

void lapic_send_ipi(Lapic *lapic, uint32_t low, uint32_t high)
{
    unsigned shorthand = ICR_SHORTHAND(low);
    LapicMessage msg = {
        .dest = lapic_is_x2apic(lapic) ? high : widen_dest(high >> 24),
        .logical = low & ICR_LOGICAL,
        .delivery = ICR_DELIVERY(low),
        .vector = low & ICR_VECTOR,
    };
    bool is_fixed = msg.delivery == DELIVERY_FIXED || msg.delivery == DELIVERY_LOWEST;

    /* IPIs are edge-triggered; the trigger bit is for INIT level de-assert alone (11.6.1). */
    if (msg.delivery == DELIVERY_INIT && (low & ICR_LEVEL) && !(low & ICR_ASSERT))
        return;
    if (is_fixed && msg.vector < FIRST_LEGAL_VECTOR)
        lapic_error(lapic, ESR_SEND_ILLEGAL_VECTOR);
    switch (shorthand) {
    case SHORTHAND_NONE:
        lapic_bus_deliver(lapic->bus, &msg, NULL);
        break;
    case SHORTHAND_SELF: /* fixed only; SDM table 11-3 */
        if (msg.delivery == DELIVERY_FIXED)
            lapic_deliver_one(lapic, &msg);
        break;
    default:
        msg.dest = DEST_BROADCAST;
        msg.logical = false;
        lapic_bus_deliver(lapic->bus, &msg, shorthand == SHORTHAND_OTHERS ? lapic : NULL);
        break;
    }
}

static void msi_receive(void *opaque, uint64_t address, uint32_t data)
{
    LapicBus *bus = opaque;
    LapicMessage msg = {
        .dest = widen_dest(MSI_DEST(address)),
        .logical = address & MSI_DM,
        .delivery = LVT_DELIVERY(data),
        .vector = data & ICR_VECTOR,
        .level = data & MSI_DATA_LEVEL,
    };

    if (address >> MSI_BASE_SHIFT != MSI_BASE >> MSI_BASE_SHIFT) {
        guest_error("lapic", "interrupt message to address %#" PRIx64, address);
        return;
    }
    if (msg.level && !(data & MSI_DATA_ASSERT))
        return; /* level de-assert */
    lapic_bus_deliver(bus, &msg, NULL);
}

MsiSink lapic_bus_msi(LapicBus *bus)
{
    return (MsiSink){.send = msi_receive, .opaque = bus};
}

static void lint_set(void *opaque, int pin, int level)
{
    LapicBus *bus = opaque;
    uint32_t bit = 1u << pin;

    for (unsigned i = 0; i < bus->count; i++) {
        Lapic *lapic = bus->lapics[i];
        uint32_t old;

        if (!lapic)
            continue;
        if (!level) {
            __atomic_fetch_and(&lapic->lint_level, ~bit, __ATOMIC_SEQ_CST);
            continue;
        }
        old = __atomic_fetch_or(&lapic->lint_level, bit, __ATOMIC_SEQ_CST);
        if (old & bit)
            continue;
        if (lapic_is_enabled(lapic))
            lapic_deliver_lvt(lapic, LVT_LINT0 + pin);
        else if (pin == 0)
            lapic_notify(lapic); /* the pins are INTR and NMI then; SDM 11.4.3 */
        else
            vcpu_request(lapic->vcpu, VCPU_REQ_NMI);
    }
}

Irq lapic_bus_lint0(LapicBus *bus)
{
    return (Irq){.handler = lint_set, .opaque = bus, .pin = 0};
}

Irq lapic_bus_lint1(LapicBus *bus)
{
    return (Irq){.handler = lint_set, .opaque = bus, .pin = 1};
}
