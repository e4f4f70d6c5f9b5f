/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The LAPIC's interrupt acceptance: IRR, ISR, TMR, priorities, acknowledge and EOI.
 * Source: Intel SDM vol. 3, 11.8 (handling interrupts); KVM's PV EOI: Linux
 * Documentation/virt/kvm/x86/msr.rst, MSR_KVM_EOI_EN.
 *
 * PV EOI: when an edge-triggered interrupt goes in service and nothing else waits, bit 0 of a word in
 * guest memory is set; the guest ends the interrupt by clearing it and never comes here. The vCPU's
 * thread looks at the word before it looks at anything the EOI would have changed.
 *
 * Locking: as hw/intc/lapic.h: senders use atomics only; the rest is the vCPU's own thread.
 */
#include "hw/intc/lapic-internal.h"

#include "core/bits.h"
#include "core/dma.h"
#include "core/lock.h"
#include "core/machine.h"

#define PV_EOI_ENABLE 1u /* MSR bit 0 */
#define PV_EOI_BIT    1u /* of the word */

/* --- Bitmaps of 256 vectors --- */

static int highest_bit(const uint32_t *map)
{
    for (int i = 7; i >= 0; i--) {
        uint32_t word = __atomic_load_n(&map[i], __ATOMIC_RELAXED);

        if (word)
            return i * 32 + 31 - __builtin_clz(word);
    }
    return -1;
}

static bool test_bit(const uint32_t *map, unsigned vector)
{
    return lapic_load(&map[vector / 32]) >> vector % 32 & 1;
}

static void set_bit(uint32_t *map, unsigned vector)
{
    __atomic_fetch_or(&map[vector / 32], 1u << vector % 32, __ATOMIC_SEQ_CST);
}

static void clear_bit(uint32_t *map, unsigned vector)
{
    __atomic_fetch_and(&map[vector / 32], ~(1u << vector % 32), __ATOMIC_SEQ_CST);
}

/* --- Senders: any thread --- */

void lapic_notify(Lapic *lapic)
{
    if (current_vcpu == lapic->vcpu) /* looks at its requests before the next guest instruction */
        __atomic_fetch_or(&lapic->vcpu->requests, VCPU_REQ_INTR, __ATOMIC_RELEASE);
    else
        vcpu_request(lapic->vcpu, VCPU_REQ_INTR);
}

void lapic_set_irr(Lapic *lapic, uint8_t vector, bool level)
{
    if (level)
        set_bit(lapic->tmr, vector);
    else
        clear_bit(lapic->tmr, vector);
    set_bit(lapic->irr, vector);
    __atomic_store_n(&lapic->irr_hint, 1, __ATOMIC_SEQ_CST);
    lapic_notify(lapic);
}

/* --- Priorities --- */

/* The foremost request, -1 if none. Clears the hint, and believes the IRR over it. */
static int highest_irr(Lapic *lapic)
{
    int vector;

    if (!lapic_load(&lapic->irr_hint))
        return -1;
    vector = highest_bit(lapic->irr);
    if (vector >= 0)
        return vector;
    __atomic_store_n(&lapic->irr_hint, 0, __ATOMIC_SEQ_CST);
    vector = highest_bit(lapic->irr); /* one may have come since the first look */
    if (vector >= 0)
        __atomic_store_n(&lapic->irr_hint, 1, __ATOMIC_SEQ_CST);
    return vector;
}

uint32_t lapic_ppr(const Lapic *lapic)
{
    int isrv = highest_bit(lapic->isr);
    uint32_t tpr = lapic_load(&lapic->tpr);

    if (isrv < 0 || tpr >> 4 >= (uint32_t)isrv >> 4)
        return tpr;
    return isrv & 0xf0;
}

/* A vector above the processor priority, -1 if none. */
static int deliverable(Lapic *lapic)
{
    int vector = highest_irr(lapic);

    return vector >= 0 && (uint32_t)vector >> 4 > lapic_ppr(lapic) >> 4 ? vector : -1;
}

/* Whether INTR of the PIC reaches the core: virtual wire mode, or no LAPIC in between. */
static bool accepts_lint0_extint(const Lapic *lapic)
{
    uint32_t lint0 = lapic_load(&lapic->lvt[LVT_LINT0]);

    if (!lapic_is_enabled(lapic))
        return true;
    return !(lint0 & LVT_MASKED) && LVT_DELIVERY(lint0) == DELIVERY_EXTINT;
}

static bool extint_pending(const Lapic *lapic)
{
    uint32_t lint = lapic_load(&lapic->lint_level);

    return (lint & EXTINT_MESSAGE) || ((lint & LINT0_ASSERTED) && accepts_lint0_extint(lapic));
}

/* --- EOI --- */

static void end_level_interrupt(Lapic *lapic, int vector)
{
    LapicBus *bus = lapic->bus;

    /* A level-triggered LINT pin that is still asserted fires again; SDM 11.5.1, Remote IRR. */
    for (int pin = 0; pin < 2; pin++) {
        LapicLvt entry = LVT_LINT0 + pin;
        uint32_t lvt = lapic_load(&lapic->lvt[entry]);

        if (!(lvt & LVT_REMOTE_IRR) || (int)(lvt & LVT_VECTOR) != vector)
            continue;
        __atomic_fetch_and(&lapic->lvt[entry], ~LVT_REMOTE_IRR, __ATOMIC_SEQ_CST);
        if (lapic_load(&lapic->lint_level) & 1u << pin)
            lapic_deliver_lvt(lapic, entry);
    }
    if ((lapic->svr & SVR_NO_BROADCAST) || !bus->ioapic_eoi)
        return;
    machine_lock();
    bus->ioapic_eoi(bus->ioapic_eoi_opaque, vector);
    machine_unlock();
}

static void end_highest(Lapic *lapic)
{
    int vector = highest_bit(lapic->isr);

    if (vector < 0)
        return; /* EOI of nothing has no effect */
    clear_bit(lapic->isr, vector);
    if (test_bit(lapic->tmr, vector))
        end_level_interrupt(lapic, vector);
}

/* The guest's PV EOI word, in RAM; NULL if it names none. */
static uint32_t *pv_eoi_map(Lapic *lapic, uint64_t *gpa)
{
    uint64_t msr = lapic->vcpu->state.msr.kvm_pv_eoi, len = sizeof(uint32_t);
    uint32_t *word;

    *gpa = msr & ~3ull;
    if (!(msr & PV_EOI_ENABLE))
        return NULL;
    word = dma_map(&lapic->vcpu->machine->memory, *gpa, &len, DMA_FROM_DEVICE);
    if (word && len < sizeof(uint32_t)) {
        dma_unmap(&lapic->vcpu->machine->memory, *gpa, 0, DMA_FROM_DEVICE);
        return NULL;
    }
    return word;
}

static void pv_eoi_unmap(Lapic *lapic, uint64_t gpa)
{
    dma_unmap(&lapic->vcpu->machine->memory, gpa, sizeof(uint32_t), DMA_FROM_DEVICE);
}

static void pv_eoi_arm(Lapic *lapic, int vector)
{
    uint64_t gpa;
    uint32_t *word;

    if (!(lapic->vcpu->state.msr.kvm_pv_eoi & PV_EOI_ENABLE))
        return;
    /* The guest's EOI must have nothing to do but end this vector. */
    if (test_bit(lapic->tmr, vector) || lapic_load(&lapic->irr_hint))
        return;
    word = pv_eoi_map(lapic, &gpa);
    if (!word)
        return;
    __atomic_fetch_or(word, PV_EOI_BIT, __ATOMIC_SEQ_CST);
    pv_eoi_unmap(lapic, gpa);
    lapic->pv_eoi_armed = true;
}

void lapic_sync_pv_eoi(Lapic *lapic)
{
    uint64_t gpa;
    uint32_t *word, old;

    if (!lapic->pv_eoi_armed)
        return;
    lapic->pv_eoi_armed = false;
    word = pv_eoi_map(lapic, &gpa);
    if (!word)
        return;
    old = __atomic_fetch_and(word, ~PV_EOI_BIT, __ATOMIC_SEQ_CST);
    pv_eoi_unmap(lapic, gpa);
    if (!(old & PV_EOI_BIT))
        end_highest(lapic);
}

void lapic_eoi(Lapic *lapic)
{
    lapic_sync_pv_eoi(lapic);
    end_highest(lapic);
    if (lapic_load(&lapic->irr_hint)) /* what waited for this priority */
        lapic_notify(lapic);
}

void lapic_write_tpr(Lapic *lapic, uint32_t tpr)
{
    uint32_t old = lapic->tpr;

    lapic_store(&lapic->tpr, tpr & 0xff);
    if ((tpr & 0xff) < old && lapic_load(&lapic->irr_hint))
        lapic_notify(lapic);
}

/* --- The core's side --- */

/* Only with something new to weigh is the guest's fast EOI taken away from it. */
bool lapic_intr_pending(Lapic *lapic)
{
    if (lapic_load(&lapic->irr_hint))
        lapic_sync_pv_eoi(lapic);
    return extint_pending(lapic) || (lapic_is_enabled(lapic) && deliverable(lapic) >= 0);
}

static int ack_extint(Lapic *lapic)
{
    LapicBus *bus = lapic->bus;
    int vector = -1;

    machine_lock();
    if (extint_pending(lapic) && bus->extint_ack) {
        __atomic_fetch_and(&lapic->lint_level, ~EXTINT_MESSAGE, __ATOMIC_SEQ_CST);
        vector = bus->extint_ack(bus->extint_opaque);
    }
    machine_unlock();
    return vector;
}

int lapic_intr_ack(Lapic *lapic)
{
    int vector;

    if (extint_pending(lapic)) {
        vector = ack_extint(lapic);
        if (vector >= 0)
            return vector;
    }
    lapic_sync_pv_eoi(lapic);
    vector = lapic_is_enabled(lapic) ? deliverable(lapic) : -1;
    if (vector < 0)
        return -1;
    clear_bit(lapic->irr, vector);
    set_bit(lapic->isr, vector);
    if (highest_irr(lapic) < 0)
        pv_eoi_arm(lapic, vector);
    return vector;
}
