/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Inside the LAPIC model: registers, and what its five files ask of each other.
 *
 *   lapic-bus.c    the device
 *   lapic.c        registers by MMIO and MSR, modes
 *   lapic-intr.c   IRR, ISR, priorities, acknowledge, EOI
 *   lapic-ipi.c    messages: who they are for and what they do there
 *   lapic-timer.c  the timer
 */
#ifndef HW_INTC_LAPIC_INTERNAL_H
#define HW_INTC_LAPIC_INTERNAL_H

#include "hw/intc/lapic.h"

/* Register numbers: MMIO offset >> 4, MSR - 800h; SDM tables 11-1 and 11-6. */
enum {
    APIC_ID = 0x02,
    APIC_VERSION = 0x03,
    APIC_TPR = 0x08,
    APIC_APR = 0x09,
    APIC_PPR = 0x0a,
    APIC_EOI = 0x0b,
    APIC_RRD = 0x0c,
    APIC_LDR = 0x0d,
    APIC_DFR = 0x0e,
    APIC_SVR = 0x0f,
    APIC_ISR = 0x10, /* 8 words */
    APIC_TMR = 0x18, /* 8 words */
    APIC_IRR = 0x20, /* 8 words */
    APIC_ESR = 0x28,
    APIC_ICR_LOW = 0x30,
    APIC_ICR_HIGH = 0x31,
    APIC_LVT = 0x32, /* LVT_COUNT words */
    APIC_INITIAL_COUNT = 0x38,
    APIC_CURRENT_COUNT = 0x39,
    APIC_DIVIDE = 0x3e,
    APIC_SELF_IPI = 0x3f,
};

#define SVR_ENABLE        (1u << 8)
#define SVR_NO_BROADCAST  (1u << 12) /* suppress EOI broadcasts */
#define SVR_MASK          (0xffu | SVR_ENABLE | SVR_NO_BROADCAST)

/* LVT entries; SDM figure 11-8. */
#define LVT_VECTOR        0xffu
#define LVT_DELIVERY(v)   ((v) >> 8 & 7)
#define LVT_SEND_PENDING  (1u << 12)
#define LVT_POLARITY      (1u << 13)
#define LVT_REMOTE_IRR    (1u << 14)
#define LVT_LEVEL         (1u << 15)
#define LVT_MASKED        (1u << 16)
#define LVT_DEADLINE_MODE (1u << 18) /* of the timer's mode */
#define LVT_TIMER_MODE(v) ((v) >> 17 & 3)
enum { TIMER_ONE_SHOT, TIMER_PERIODIC, TIMER_TSC_DEADLINE };

/* Error status; SDM figure 11-9. */
#define ESR_SEND_ILLEGAL_VECTOR    (1u << 5)
#define ESR_RECEIVE_ILLEGAL_VECTOR (1u << 6)
#define ESR_ILLEGAL_REGISTER       (1u << 7)

/* Bits of Lapic.lint_level. */
#define LINT0_ASSERTED 1u
#define LINT1_ASSERTED 2u
#define EXTINT_MESSAGE 4u

/* Delivery modes of ICR, LVT and messages; SDM figure 11-12. */
typedef enum LapicDelivery {
    DELIVERY_FIXED = 0,
    DELIVERY_LOWEST = 1,
    DELIVERY_SMI = 2,
    DELIVERY_NMI = 4,
    DELIVERY_INIT = 5,
    DELIVERY_SIPI = 6,
    DELIVERY_EXTINT = 7,
} LapicDelivery;

#define DEST_BROADCAST 0xffffffffu

typedef struct LapicMessage {
    uint32_t dest; /* DEST_BROADCAST: all */
    bool logical;
    uint8_t delivery;
    uint8_t vector;
    bool level; /* trigger mode */
} LapicMessage;

static inline uint32_t lapic_load(const uint32_t *word)
{
    return __atomic_load_n(word, __ATOMIC_ACQUIRE);
}

static inline void lapic_store(uint32_t *word, uint32_t value)
{
    __atomic_store_n(word, value, __ATOMIC_RELEASE);
}

static inline uint64_t lapic_base(const Lapic *lapic)
{
    return __atomic_load_n(&lapic->base, __ATOMIC_ACQUIRE);
}

static inline bool lapic_is_x2apic(const Lapic *lapic)
{
    return lapic_base(lapic) & APIC_BASE_X2APIC;
}

static inline bool lapic_is_enabled(const Lapic *lapic)
{
    return lapic_base(lapic) & APIC_BASE_ENABLE;
}

/* --- lapic-bus.c --- */
/* Any thread; takes machine_lock. */
void lapic_move_page(LapicBus *bus, uint64_t address);

/* --- lapic.c --- */
extern const MemoryRegionOps lapic_mmio_ops; /* opaque: the LapicBus */
extern const VcpuIntrOps lapic_intr_ops;     /* opaque: the Lapic */
/* The vCPU stands still. */
void lapic_power_up(Lapic *lapic);

/* --- lapic-intr.c --- */
/* Any thread: sets the request, whatever the LAPIC's mode, and tells the vCPU. */
void lapic_set_irr(Lapic *lapic, uint8_t vector, bool level);
/* Any thread: makes the vCPU ask vcpu->intr. */
void lapic_notify(Lapic *lapic);
/* Own thread: takes in an EOI the guest gave through its PV EOI word. */
void lapic_sync_pv_eoi(Lapic *lapic);
uint32_t lapic_ppr(const Lapic *lapic);
void lapic_eoi(Lapic *lapic);
void lapic_write_tpr(Lapic *lapic, uint32_t tpr);
bool lapic_intr_pending(Lapic *lapic);
int lapic_intr_ack(Lapic *lapic);

/* --- lapic-ipi.c --- */
/* Any thread. exclude may be NULL. */
void lapic_bus_deliver(LapicBus *bus, const LapicMessage *msg, const Lapic *exclude);
void lapic_deliver_one(Lapic *lapic, const LapicMessage *msg);
/* Any thread: the local source of an LVT entry fires (rises). */
void lapic_deliver_lvt(Lapic *lapic, LapicLvt entry);
/* Any thread: notes an error and delivers LVT error. */
void lapic_error(Lapic *lapic, uint32_t bit);
/* Own thread: the write that sends. high is the destination: ICR[63:32]. */
void lapic_send_ipi(Lapic *lapic, uint32_t low, uint32_t high);

/* --- lapic-timer.c --- (own thread, or the holder of machine_lock while it stands) */
void lapic_timer_init(Lapic *lapic);
void lapic_timer_release(Lapic *lapic);
void lapic_timer_reset(Lapic *lapic);
void lapic_timer_write_lvt(Lapic *lapic, uint32_t value);
void lapic_timer_write_initial(Lapic *lapic, uint32_t value);
void lapic_timer_write_divide(Lapic *lapic, uint32_t value);
uint32_t lapic_timer_current(Lapic *lapic);
void lapic_timer_write_deadline(Lapic *lapic, uint64_t tsc);
uint64_t lapic_timer_read_deadline(Lapic *lapic);

#endif
