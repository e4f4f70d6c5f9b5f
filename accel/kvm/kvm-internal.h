/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Inside accel/kvm:
 *
 *   kvm.c       probe, options, init, the AccelOps table
 *   caps.c      which capabilities are needed, and what to say when one is missing
 *   slots.c     flat view -> KVM_SET_USER_MEMORY_REGION
 *   eventfd.c   ioeventfds and coalesced writes
 *   vcpu.c      vCPU life cycle, kick, the gate, the run loop
 *   exits.c     exit reasons
 *   debug.c     a debugger's breakpoints, watchpoints and steps
 *   report.c    exits that end the VM: registers and code bytes
 *   intr.c      interrupts for vCPUs whose LAPIC or PIC is in the process
 *   regs.c      CpuState <-> registers, FPU, events; msr.c: MSRs
 *   cpuid.c     KVM_GET_SUPPORTED_CPUID, KVM_SET_CPUID2
 *   irqchip.c   in-kernel PIC, IOAPIC, PIT, LAPIC; routes.c: GSI routes and irqfds
 *   clock.c     kvmclock stops with the VM
 *   stats.c     KVM_GET_STATS_FD
 *
 * Source: Linux Documentation/virt/kvm/api.rst (section numbers "api 4.35").
 *
 * Entering and leaving guest code. A vCPU's phase says whether its thread may be inside KVM_RUN:
 *
 *     vCPU thread                                   others
 *     immediate_exit = 0                            kick: request bits are set (vcpu_request)
 *     phase = IN                                          immediate_exit = 1
 *     requests or gate closed? phase = OUT, serve         phase == IN? signal the thread
 *     KVM_RUN                                       gate: closed = true
 *     phase = OUT                                         kick all; wait until no phase is IN
 *     gate closed? tell who waits
 *
 * No kick is lost. If the vCPU's look at requests came before they were set, phase was IN already and
 * the kicker sees that and signals; whether the signal comes before the ioctl or in it, immediate_exit
 * was set first, so KVM_RUN ends at once. A signal is thus sent only to a thread in or next to KVM_RUN.
 *
 * The gate keeps all vCPUs outside KVM_RUN while memory slots are deleted and recreated, so that no
 * vCPU sees a hole that is in neither the old nor the new view. It is closed with machine_lock held;
 * a vCPU outside KVM_RUN may be waiting for that lock, which does no harm.
 */
#ifndef ACCEL_KVM_INTERNAL_H
#define ACCEL_KVM_INTERNAL_H

#include <linux/kvm.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "accel/accel.h"
#include "core/memory.h"
#include "core/vcpu.h"

typedef struct KvmAccel KvmAccel;
typedef struct KvmVcpu KvmVcpu;
typedef struct KvmDebug KvmDebug;

#define KVM_IOAPIC_PINS 24
/* Three pages KVM uses on Intel hosts without unrestricted guest, and one for its identity-mapped
 * page table: reserved memory in the board's map, below the firmware. */
#define KVM_IDENTITY_BASE 0xfeffc000u
#define KVM_TSS_BASE 0xfeffd000u

typedef struct KvmSlot {
    uint32_t id;
    uint64_t gpa, size;
    void *host;
    bool read_only;
} KvmSlot;

typedef struct KvmSlots {
    MemoryListener listener;
    GArray *slots;        /* of KvmSlot, in use */
    GArray *removed;      /* of KvmSlot, the running transaction's */
    GArray *added;
    uint32_t max;
} KvmSlots;

typedef enum KvmPhase { KVM_PHASE_OUT, KVM_PHASE_IN } KvmPhase;

typedef struct KvmGate {
    uint32_t closed; /* atomic */
    pthread_mutex_t lock;
    pthread_cond_t cond;
} KvmGate;

/*
 * GSI routes (api 4.52). Numbers 0..23 are the board's lines; above come message routes. Locking:
 * lock, a leaf.
 */
typedef struct KvmRoutes {
    GMutex lock;
    struct kvm_irq_routing *table;
    unsigned max;
    GArray *free_gsis; /* of int: message routes given back */
    int next_gsi;
} KvmRoutes;

typedef struct KvmIrqchipImages {
    struct kvm_irqchip chip[3];
    struct kvm_pit_state2 pit;
} KvmIrqchipImages;

/* Locking: machine_lock for what changes after init, except as noted. */
struct KvmAccel {
    Accel accel;
    int kernel_irqchip; /* property: index into on, split, off */

    int fd, vm_fd;
    int first_vcpu_fd; /* APIC id 0, made with the VM: only a vCPU knows the TSC's frequency; -1: taken */
    size_t run_size;   /* of a vCPU's kvm_run mapping */
    size_t xsave_size;
    bool has_sregs2, has_xsave2, has_tsc_offset, has_ioeventfd_any_length;

    KvmSlots slots;
    MemoryListener io_listener;
    KvmGate gate;
    GPtrArray *vcpus; /* of KvmVcpu *; gate.lock */
    KvmDebug *debug;

    KvmRoutes routes;
    KvmIrqchipImages *images; /* IRQCHIP_KERNEL: what reset restores */

    unsigned ring_page;  /* coalesced ring: page in kvm_run's mapping; 0: none */
    bool has_coalesced_pio;
    struct kvm_coalesced_mmio_ring *ring; /* of the first vCPU; one per VM */

    bool clock_stopped; /* kvmclock, with the VM */
    uint64_t clock_ns;  /* where */

    uint32_t *msr_indices; /* KVM_GET_MSR_INDEX_LIST */
    unsigned msr_count;
};

struct KvmVcpu {
    Vcpu *cpu;
    KvmAccel *kvm;
    int fd;
    struct kvm_run *run;
    pid_t tid;       /* of the thread, set before phase is ever IN */
    uint32_t phase;  /* atomic KvmPhase */

    /* Own thread. */
    bool debugging;  /* KVM_SET_GUEST_DEBUG has enabled something */
    bool io_pending; /* the last exit is completed by the next KVM_RUN */
    bool halted, wait_sipi; /* IRQCHIP_USERSPACE: not runnable */
    uint64_t apic_base; /* IRQCHIP_USERSPACE: as the LAPIC knows it */
    uint64_t xcr0_mask; /* components CpuState and this vCPU's CPUID have */
    void *xsave;        /* kvm->xsave_size bytes, page aligned */
    uint8_t *msr_refused; /* by row of msr.c's table: not tried again */

    struct kvm_lapic_state *lapic_image; /* power-up state */
    uint32_t lapic_reset; /* atomic: restore it with the next put */
};

static inline KvmAccel *kvm_of(Accel *accel)
{
    return (KvmAccel *)accel;
}

static inline KvmVcpu *kvm_vcpu_of(Vcpu *vcpu)
{
    return vcpu->accel;
}

/* ioctl with EINTR retried (not for KVM_RUN). -1 with errno. */
int kvm_ioctl(int fd, unsigned long request, void *arg);
int kvm_check(int fd, int cap);

/* caps.c */
int kvm_open(GError **errp);
bool kvm_check_caps(KvmAccel *kvm, GError **errp);

/* slots.c */
void kvm_slots_init(KvmAccel *kvm);
void kvm_slots_release(KvmAccel *kvm);

/* eventfd.c; both listeners use it. pio: the I/O space. */
void kvm_eventfd_listener_init(MemoryListener *listener, bool pio);
void kvm_coalesced_update(KvmAccel *kvm, const MemorySection *section, bool pio, bool add);
void kvm_coalesced_drain_slow(KvmAccel *kvm);
static inline void kvm_coalesced_drain(KvmAccel *kvm)
{
    struct kvm_coalesced_mmio_ring *ring = kvm->ring;

    if (ring && __atomic_load_n(&ring->first, __ATOMIC_RELAXED) != __atomic_load_n(&ring->last, __ATOMIC_ACQUIRE))
        kvm_coalesced_drain_slow(kvm);
}

/* vcpu.c */
bool kvm_vcpu_init(Vcpu *vcpu, GError **errp);
void kvm_vcpu_thread_init(Vcpu *vcpu);
void kvm_vcpu_release(Vcpu *vcpu);
VcpuExit kvm_vcpu_run(Vcpu *vcpu);
void kvm_vcpu_kick(Vcpu *vcpu);
/* Lets KVM finish the access of the last exit, if there is one; runs no guest code. Own thread. */
void kvm_complete_io(KvmVcpu *kv);
/* All vCPUs stay out of KVM_RUN in between. machine_lock held. */
void kvm_gate_close(KvmAccel *kvm);
void kvm_gate_open(KvmAccel *kvm);

/* exits.c: what became of an exit. */
typedef enum KvmExitResult {
    KVM_EXIT_AGAIN, /* go on running */
    KVM_EXIT_LEAVE, /* the machine was asked to stop or reset */
} KvmExitResult;
KvmExitResult kvm_handle_exit(KvmVcpu *kv);

/* report.c: says what happened, with registers and code, and stops the machine. */
KvmExitResult kvm_report_exit(KvmVcpu *kv, const char *what);

/* intr.c */
/* Whether this vCPU's interrupts come from the process at all. */
static inline bool kvm_intr_in_process(const KvmVcpu *kv)
{
    return kv->cpu->intr || kv->kvm->accel.irqchip == IRQCHIP_USERSPACE;
}
/* Before KVM_RUN; false: the vCPU has nothing to run (halted, waiting for SIPI). */
bool kvm_intr_before_run(KvmVcpu *kv);
void kvm_intr_after_run(KvmVcpu *kv);
/* Sleeps until a request or an interrupt. */
void kvm_intr_wait(KvmVcpu *kv);

/* debug.c */
void kvm_debug_init(KvmAccel *kvm);
void kvm_debug_release(KvmAccel *kvm);
bool kvm_debug_check(Accel *accel, const DebugPoint *points, unsigned count, GError **errp);
void kvm_debug_arm(Accel *accel, const DebugPoint *points, unsigned count);
/* When the loop begins: points and steps change only while it is not running. */
void kvm_debug_enter(KvmVcpu *kv);
KvmExitResult kvm_debug_exit(KvmVcpu *kv);

/* regs.c */
void kvm_get_state(Vcpu *vcpu);
void kvm_put_state(Vcpu *vcpu);
bool kvm_regs_init(KvmVcpu *kv, GError **errp);
/* The vCPU's CPUID has these components. */
void kvm_regs_set_xcr0_mask(KvmVcpu *kv, uint64_t mask);
void kvm_regs_release(KvmVcpu *kv);

/* msr.c */
bool kvm_msr_init(KvmAccel *kvm, GError **errp);
void kvm_msr_release(KvmAccel *kvm);
unsigned kvm_msr_table_size(void);
void kvm_get_msrs(KvmVcpu *kv);
void kvm_put_msrs(KvmVcpu *kv);
/* One MSR; false if KVM refuses. */
bool kvm_get_msr(int fd, uint32_t index, uint64_t *value);
bool kvm_set_msr(int fd, uint32_t index, uint64_t value);

/* cpuid.c */
void kvm_supported_cpuid(Accel *accel, CpuidTable *table);
bool kvm_vcpu_set_cpuid(Vcpu *vcpu, const CpuidTable *table, GError **errp);

/* irqchip.c */
bool kvm_irqchip_create(KvmAccel *kvm, GError **errp);
void kvm_irqchip_release(KvmAccel *kvm);
void kvm_irqchip_set_gsi(Accel *accel, int gsi, int level);
void kvm_irqchip_send_msi(Accel *accel, uint64_t address, uint32_t data);
void kvm_irqchip_reset(Accel *accel);

/* routes.c */
bool kvm_routes_init(KvmAccel *kvm, GError **errp);
void kvm_routes_release(KvmAccel *kvm);
void kvm_irqchip_route(Accel *accel, int pin, uint64_t address, uint32_t data, bool level);
int kvm_msi_route_add(Accel *accel, uint64_t address, uint32_t data);
void kvm_msi_route_change(Accel *accel, int route, uint64_t address, uint32_t data);
void kvm_msi_route_remove(Accel *accel, int route);
bool kvm_irqfd_add_route(Accel *accel, int route, int fd);
void kvm_irqfd_remove_route(Accel *accel, int route, int fd);
bool kvm_irqfd_add_gsi(Accel *accel, int gsi, int fd, int resample);
void kvm_irqfd_remove_gsi(Accel *accel, int gsi, int fd);

/* clock.c */
void kvm_clock_running(Accel *accel, bool running);

/* stats.c: the VM's and its vCPUs' counters, one "name: value" a line. */
bool kvm_print_stats(Accel *accel, GString *out, GError **errp);

#endif
