/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Local APICs for accelerators that have none: xAPIC registers at FEE00000h, x2APIC as MSRs.
 * Source: Intel SDM vol. 3, chapter 11 (APIC).
 *
 * LapicBus is the device: the vCPUs' LAPICs, the way messages find them, and their MMIO page.
 *
 *     IOAPIC, MSI  --> lapic_bus_msi() --\
 *     ICR of a vCPU ------------------------> delivery (lapic-ipi.c) --> IRR bit or request bit
 *     PIC INTR     --> lapic_bus_lint0() -> LVT LINT0 ------------------------^
 *     timer (main loop) ------------------> LVT timer ------------------------^
 *
 * Locking: none in delivery, acknowledge, EOI, TPR and ICR. Each field of Lapic says who writes it:
 *   [own]    the vCPU's thread; others read it atomically
 *   [any]    any thread, by atomic read-modify-write
 * A sender sets the TMR bit, then the IRR bit, then the hint, then VCPU_REQ_INTR; the vCPU looks in
 * the opposite order. machine_lock is taken only to ack the PIC, to tell the IOAPIC of an EOI of a
 * level-triggered vector, and to move the MMIO page. With no vCPU running (qtest, reset) the holder
 * of machine_lock stands for the vCPU's thread.
 */
#ifndef HW_INTC_LAPIC_H
#define HW_INTC_LAPIC_H

#include "core/device.h"
#include "core/irq.h"
#include "core/loop.h"
#include "core/memory.h"
#include "core/vcpu.h"

#define LAPIC_DEFAULT_BASE 0xfee00000u
#define LAPIC_MMIO_SIZE 0x1000
#define LAPIC_TIMER_HZ NS_PER_SEC /* before the divider; CPUID 15h and 40000010h say so */

/* IA32_APIC_BASE (SDM 11.4.4, 11.12.1) */
#define APIC_BASE_BSP (1u << 8)
#define APIC_BASE_X2APIC (1u << 10)
#define APIC_BASE_ENABLE (1u << 11)

/* The local vector table, in register order from 320h (CMCI apart). */
typedef enum LapicLvt {
    LVT_TIMER, LVT_THERMAL, LVT_PMC, LVT_LINT0, LVT_LINT1, LVT_ERROR,
    LVT_COUNT,
} LapicLvt;

typedef struct LapicBus LapicBus;

typedef struct Lapic {
    LapicBus *bus;
    Vcpu *vcpu;

    uint64_t base;       /* [own] IA32_APIC_BASE */
    uint32_t id;         /* [own] xAPIC: 8 bits; x2APIC: all */
    uint32_t ldr, dfr;   /* [own] as the guest reads them */
    uint32_t svr;        /* [own] */
    uint32_t tpr;        /* [own] */
    uint32_t icr_low, icr_high; /* [own] */
    uint32_t esr;        /* [own] as read */
    uint32_t esr_latch;  /* [any] errors since ESR was written last */
    uint32_t lvt[LVT_COUNT]; /* [own]; Remote IRR: [any] */

    uint32_t isr[8];     /* [own] */
    uint32_t irr[8];     /* [any] */
    uint32_t tmr[8];     /* [any] */
    uint32_t irr_hint;   /* [any] IRR may have a bit set */
    uint32_t lint_level; /* [any] bit n: LINTn asserted; bit 2: an ExtINT message came */

    /* Timer: under timer_lock, a leaf. */
    GMutex timer_lock;
    uint32_t initial_count, divide;
    int64_t count_start_ns; /* initial_count was written or the period began; -1: not counting */
    uint64_t tsc_deadline;  /* 0: disarmed */
    Timer timer;

    bool pv_eoi_armed; /* [own] the guest may end the interrupt in service by clearing its PV EOI bit */
} Lapic;

struct LapicBus {
    Device dev;
    Lapic **lapics;      /* by vCPU index; NULL until attached */
    unsigned count;      /* slots: smp.cpus */
    MemoryRegion mmio;   /* lockless; initialised by realize, mapped by the board at LAPIC_DEFAULT_BASE */
    uint32_t lowest_next; /* [any] round robin of lowest-priority delivery */
    /* Wiring. */
    void (*ioapic_eoi)(void *opaque, int vector);
    void *ioapic_eoi_opaque;
    int (*extint_ack)(void *opaque);
    void *extint_opaque;
};

extern const DeviceType lapic_bus_type;

/* Before realize. Both are called with machine_lock held: the EOI of a level-triggered vector, and
 * INTA to the PIC (returns the vector). Either may be NULL. */
void lapic_bus_connect(LapicBus *bus, void (*ioapic_eoi)(void *opaque, int vector), void *ioapic_opaque,
                       int (*extint_ack)(void *opaque), void *extint_opaque);
/* After realize, once the vCPU exists and before it runs: gives it a LAPIC and sets vcpu->intr. */
void lapic_bus_attach(LapicBus *bus, Vcpu *vcpu);
/* For machine->msi. Any thread. */
MsiSink lapic_bus_msi(LapicBus *bus);
/* The PIC's INTR: LINT0 of every LAPIC. LINT1 is the NMI line. Any thread. */
Irq lapic_bus_lint0(LapicBus *bus);
Irq lapic_bus_lint1(LapicBus *bus);

/* The LAPIC's page for a vCPU that is not running here (debugger, monitor): no side effects. */
uint32_t lapic_peek(const Lapic *lapic, uint32_t reg);

#endif
