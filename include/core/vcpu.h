/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Virtual CPUs: one thread each, and how the rest of the program reaches them.
 *
 *                vcpu_start              vcpu_resume (the last one)
 *     CREATED ---------------> PAUSED ------------------------------> RUNNING
 *     (vcpu_new)                |  <---------------------------------   |
 *                               |    vcpu_pause, vcpu_stop_self         |
 *                               |                                       |
 *                               +-------------> EXITED <----------------+
 *                                  vcpu_exit (joins the thread)
 *
 * A vCPU thread loops: serve requests; if paused, wait; else AccelOps.run until a request or an
 * event needs it back. Requests are bits in one atomic word; setting one kicks the thread out of
 * guest code (AccelOps.kick), never waits for it. Who serves which:
 *
 *     core, outside AccelOps.run     PAUSE EXIT WORK RESET, and INIT SIPI (userspace irqchip; with
 *                                    a LAPIC in the accelerator nobody sets these two)
 *     AccelOps.run                   INTR NMI ACCEL
 *
 * AccelOps.run returns VCPU_EXIT_REQUEST when one of VCPU_REQ_CORE is set.
 *
 * Locking: state belongs to the vCPU's thread while RUNNING; anyone holding machine_lock may read
 * and write it once the vCPU is PAUSED or CREATED (vcpu_sync_state first, vcpu_mark_dirty after a
 * change).
 */
#ifndef CORE_VCPU_H
#define CORE_VCPU_H

#include <glib.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "core/cpu-state.h"
#include "core/guest-debug.h"
#include "core/log.h"

typedef struct Machine Machine;
typedef struct Vcpu Vcpu;
typedef struct CpuidTable CpuidTable;

enum {
    VCPU_REQ_PAUSE = 1 << 0,  /* look whether to stand still: set by vcpu_pause and vcpu_stop_self */
    VCPU_REQ_EXIT = 1 << 1,   /* end the thread */
    VCPU_REQ_WORK = 1 << 2,   /* functions queued by vcpu_run_on */
    VCPU_REQ_RESET = 1 << 3,  /* power-up reset of this vCPU */
    VCPU_REQ_INTR = 1 << 4,   /* the interrupt controller may have something: ask it */
    VCPU_REQ_NMI = 1 << 5,
    VCPU_REQ_INIT = 1 << 6,   /* INIT IPI */
    VCPU_REQ_SIPI = 1 << 7,   /* start-up IPI; vector in Vcpu.sipi_vector */
    VCPU_REQ_ACCEL = 1 << 8,  /* the accelerator's own: TLB flush, code revocation */

    VCPU_REQ_CORE = VCPU_REQ_PAUSE | VCPU_REQ_EXIT | VCPU_REQ_WORK | VCPU_REQ_RESET | VCPU_REQ_INIT | VCPU_REQ_SIPI,
};

/* In the same word, not a request: the thread sleeps in vcpu_wait. Only core/vcpu.c looks at it. */
#define VCPU_WAITING (1u << 31)

/*
 * What an accelerator without an interrupt controller of its own asks of the one in hw/intc.
 * Set by the LAPIC model when it is realized. All are called on the vCPU's thread and take no
 * lock, except that ack may take machine_lock for an ExtINT from the PIC.
 */
typedef struct VcpuIntrOps {
    /* An interrupt is deliverable (above PPR, or ExtINT). Cheap: polled at instruction boundaries. */
    bool (*pending)(void *opaque);
    /* INTA: the vector to deliver, now in service; -1 if it went away. */
    int (*ack)(void *opaque);
    /* CR8. */
    uint64_t (*get_tpr)(void *opaque);
    void (*set_tpr)(void *opaque, uint64_t cr8);
    /* IA32_APIC_BASE, 0x800-0x8ff, IA32_TSC_DEADLINE. False: #GP. */
    bool (*read_msr)(void *opaque, uint32_t msr, uint64_t *value);
    bool (*write_msr)(void *opaque, uint32_t msr, uint64_t value);
    /* INIT of this CPU: registers as SDM vol. 3, 11.4.7.3. */
    void (*init)(void *opaque);
    /* PV EOI (KVM paravirtual): take note of an EOI the guest made in the shared word, before that
     * word changes. */
    void (*eoi)(void *opaque);
} VcpuIntrOps;

struct Vcpu {
    Machine *machine;
    unsigned index;     /* 0 is the bootstrap processor */
    uint32_t apic_id;   /* from the topology */
    uint32_t signature; /* CPUID.1:EAX, in RDX after reset; set by vcpu_set_cpuid */
    uint32_t feature_ecx; /* CPUID.1:ECX, for interrupt controllers: x2APIC, TSC deadline; likewise */
    uint32_t phys_bits;   /* MAXPHYADDR; likewise, 0: not known */
    uint64_t xcr0_mask; /* state components its CPUID has (0Dh); likewise */
    bool has_long_mode; /* likewise */
    CpuState state;
    void *accel;        /* the accelerator's own per-vCPU data */

    const VcpuIntrOps *intr;
    void *intr_opaque;

    /* Atomic. */
    uint32_t requests;
    uint8_t sipi_vector;

    /* Accelerators that keep registers elsewhere: state is a copy taken while not running. Own
     * thread, or machine_lock while PAUSED. */
    bool state_synced;
    bool state_dirty;
    uint32_t spin_ns; /* vcpu_wait: how long polling has paid lately. Own thread. */

    pthread_t thread;
    VcpuDebug debug;   /* core/guest-debug.h */
    bool started;      /* the thread exists: vcpu_start .. vcpu_exit; machine_lock */

    pthread_mutex_t lock; /* a leaf; guards what follows */
    pthread_cond_t cond;  /* any change of it */
    unsigned pauses;      /* vcpu_pause less vcpu_resume */
    bool self_stopped;    /* vcpu_stop_self */
    bool paused;          /* the thread stands still */
    GQueue work;          /* of queued calls */
    pid_t thread_id;      /* gettid(2) on its thread; 0: it has not come that far */
};

extern __thread Vcpu *current_vcpu;

/* Creates the vCPU and its accelerator half, without its thread; paused once. */
Vcpu *vcpu_new(Machine *machine, unsigned index, uint32_t apic_id, GError **errp);
/* Gives it its CPUID, before vcpu_start: the accelerator's copy and the signature at reset. */
bool vcpu_set_cpuid(Vcpu *vcpu, const CpuidTable *table, GError **errp);
/* Makes the thread, "CPU 0/KVM", which starts out PAUSED. machine_build does this. */
bool vcpu_start(Vcpu *vcpu, GError **errp);
/* The kernel's number of the thread, for tools that pin it; vcpu_start was called. */
pid_t vcpu_thread_id(Vcpu *vcpu);
/* Ends and joins the thread; it will not run again. machine_lock is released while waiting. */
void vcpu_exit(Vcpu *vcpu);
/* vcpu_exit if need be, then frees the accelerator's half and the vCPU. */
void vcpu_free(Vcpu *vcpu);

/* Sets request bits and gets the vCPU's attention. Any thread, lock-free, also from a timer. */
void vcpu_request(Vcpu *vcpu, uint32_t bits);
static inline uint32_t vcpu_requests(const Vcpu *vcpu)
{
    return __atomic_load_n(&vcpu->requests, __ATOMIC_ACQUIRE) & ~VCPU_WAITING;
}
/* Takes and clears some request bits; own thread. */
static inline uint32_t vcpu_take_requests(Vcpu *vcpu, uint32_t bits)
{
    if (!(vcpu_requests(vcpu) & bits))
        return 0;
    return __atomic_fetch_and(&vcpu->requests, ~bits, __ATOMIC_ACQ_REL) & bits;
}

/*
 * Pauses nest: a vCPU runs when every vcpu_pause has met its vcpu_resume. vcpu_pause waits until the
 * vCPU stands still; vcpu_resume does not wait. Not on a vCPU's own thread; machine_lock is released
 * while waiting, so that a vCPU that wants it for an MMIO access gets there. The _all forms ask
 * all of the machine's vCPUs first and wait then.
 */
void vcpu_pause(Vcpu *vcpu);
void vcpu_resume(Vcpu *vcpu);
void vcpu_pause_all(Machine *machine);
void vcpu_resume_all(Machine *machine);
/* The calling vCPU runs no further instruction until it has been paused and resumed. Used by
 * machine_request_*, which makes the main thread do that. */
void vcpu_stop_self(void);
/* Runs fn(vcpu, opaque) on the vCPU's thread between guest instructions and waits for it. Works
 * when paused too, and at once on the vCPU's own thread; never call it on another vCPU's thread (two
 * could wait for each other). machine_lock is released while waiting, and not held by fn. */
void vcpu_run_on(Vcpu *vcpu, void (*fn)(Vcpu *vcpu, void *opaque), void *opaque);

/*
 * HLT for accelerators that halt in the process: sleeps until any request bit is set or deadline_ns
 * (VMCLOCK_MONO, -1: none) passes; spins briefly first. Own thread, no locks held.
 */
void vcpu_wait(Vcpu *vcpu, int64_t deadline_ns);

/* Brings state up to date with the accelerator / marks it to be written back before running. On
 * the vCPU's own thread, or while it is PAUSED or CREATED. */
void vcpu_sync_state(Vcpu *vcpu);
void vcpu_mark_dirty(Vcpu *vcpu);
/* Writes state back if dirty, and takes it for stale from here on. Core does it before
 * AccelOps.run; an accelerator that stays in run over exits to devices does it before each entry to
 * guest code, because a device may have synchronised or changed the state. Own thread. */
void vcpu_flush_state(Vcpu *vcpu);
/* Power-up state, dirty; pending requests of the time before are dropped. */
void vcpu_reset(Vcpu *vcpu, uint64_t tsc_offset);
/* reason and the registers as last synchronised. */
void vcpu_log_state(Vcpu *vcpu, LogMask mask, const char *reason);

#endif
