/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The interface between core and what runs guest code: kvm, dbt, qtest.
 *
 * An accelerator listens to machine->memory and machine->io, owns the loop a vCPU thread runs, and
 * either brings its own interrupt controllers (irqchip) or asks hw/intc's through VcpuIntrOps.
 */
#ifndef ACCEL_ACCEL_H
#define ACCEL_ACCEL_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

#include "core/cpu-state.h"
#include "core/device.h"
#include "core/guest-debug.h"

typedef struct Machine Machine;
typedef struct Vcpu Vcpu;
typedef struct Accel Accel;
typedef struct AccelOps AccelOps;

/* Who models the PC's interrupt controllers. */
typedef enum IrqchipKind {
    IRQCHIP_USERSPACE, /* hw/intc: PIC, IOAPIC, LAPIC; hw/timer: PIT */
    IRQCHIP_SPLIT,     /* LAPIC in the accelerator, the rest in hw/ */
    IRQCHIP_KERNEL,    /* PIC, IOAPIC, LAPIC and PIT in the accelerator */
} IrqchipKind;

/* One CPUID leaf of a vCPU. subleaf counts only if indexed. */
typedef struct CpuidEntry {
    uint32_t leaf, subleaf;
    bool indexed;
    uint32_t eax, ebx, ecx, edx;
} CpuidEntry;

/* A read-only MSR that enumerates features: IA32_ARCH_CAPABILITIES and the like. */
typedef struct FeatureMsr {
    uint32_t index;
    uint64_t value;
} FeatureMsr;

/* What a CPU says it is. */
typedef struct CpuidTable {
    unsigned count;
    CpuidEntry entries[128];
    unsigned msr_count;
    FeatureMsr msrs[8];
} CpuidTable;

/* Looks a leaf up as the CPUID instruction does, out-of-range leaves included. */
void cpuid_table_query(const CpuidTable *table, uint32_t leaf, uint32_t subleaf, uint32_t regs[4]);
CpuidEntry *cpuid_table_find(CpuidTable *table, uint32_t leaf, uint32_t subleaf);

typedef enum VcpuExit {
    VCPU_EXIT_REQUEST, /* a request bit is set: the core loop serves it */
    VCPU_EXIT_STOP,    /* the machine was asked to stop or reset; wait */
} VcpuExit;

struct AccelOps {
    const char *name;   /* as in -accel NAME */
    const char *thread_suffix; /* "KVM", "DBT": "CPU 0/KVM" */
    const Property *props; /* of the accelerator's own struct (-accel NAME,prop=value) */
    size_t instance_size;  /* begins with Accel */

    /* Whether it can work on this host; the reason otherwise, with VMM_ERROR_ABSENT. NULL: it can. */
    bool (*probe)(GError **errp);
    /* Opens what it needs and attaches to the machine's address spaces. */
    bool (*init)(Accel *accel, Machine *machine, GError **errp);
    void (*release)(Accel *accel);

    /* What CPUID and the feature MSRs may offer at most, before -cpu and topology
     * (hw/i386/cpu-model.c). Leaf 40000010h holds the TSC and the APIC timer frequency in kHz (EAX,
     * EBX) where they are known; qtest offers an empty table. */
    void (*supported_cpuid)(Accel *accel, CpuidTable *table);

    /* Called on the creating thread, then vcpu_thread_init on the vCPU's own. cpuid is final. */
    bool (*vcpu_init)(Vcpu *vcpu, GError **errp);
    bool (*vcpu_set_cpuid)(Vcpu *vcpu, const CpuidTable *cpuid, GError **errp);
    void (*vcpu_thread_init)(Vcpu *vcpu);
    void (*vcpu_release)(Vcpu *vcpu);

    /* Runs guest code until a request bit is set or the machine stops. Own thread, no lock held. */
    VcpuExit (*run)(Vcpu *vcpu);
    /* Makes run look at the request word soon. Any thread; must not block. */
    void (*kick)(Vcpu *vcpu);

    /* Vcpu.state <-> the accelerator's registers; no-ops where state is the truth. Own thread or
     * paused. put_state after reset writes everything. */
    void (*get_state)(Vcpu *vcpu);
    void (*put_state)(Vcpu *vcpu);

    /* The virtual clock runs or stands from now on; paravirtual clocks shown to the guest follow it.
     * machine_lock held, vCPUs paused. Optional. */
    void (*clock_running)(Accel *accel, bool running);
    /* Counters, one "name: value" a line. Optional. Any thread. */
    bool (*print_stats)(Accel *accel, GString *out, GError **errp);

    /* Irqchip (IRQCHIP_SPLIT, IRQCHIP_KERNEL): GSI lines and messages. Any thread, lock-free. */
    void (*irqchip_set_gsi)(Accel *accel, int gsi, int level);
    void (*irqchip_send_msi)(Accel *accel, uint64_t address, uint32_t data);
    /* IRQCHIP_SPLIT: the IOAPIC's redirection entry pin now sends this message; level-triggered
     * entries report their EOI through machine->ioapic_eoi (core/machine.h). */
    void (*irqchip_route)(Accel *accel, int pin, uint64_t address, uint32_t data, bool level);
    /* System reset of the in-kernel controllers; vCPUs paused. Their LAPICs follow when the vCPUs'
     * reset state is put. */
    void (*irqchip_reset)(Accel *accel);

    /*
     * Interrupts from eventfds without the process (optional; NULL: the owner of the eventfd reads it
     * and raises the interrupt itself, likewise if a call fails). Any thread. An msi route is a number
     * that stands for one message: >= 0 from msi_route_add, -1 if there is none left. A write to fd
     * then sends the message. irqfd_add_gsi raises a line instead: as an edge, or, with resample >= 0,
     * as a level that lasts until the guest's EOI, which writes resample.
     */
    int (*msi_route_add)(Accel *accel, uint64_t address, uint32_t data);
    void (*msi_route_change)(Accel *accel, int route, uint64_t address, uint32_t data);
    void (*msi_route_remove)(Accel *accel, int route);
    bool (*irqfd_add_route)(Accel *accel, int route, int fd);
    void (*irqfd_remove_route)(Accel *accel, int route, int fd);
    bool (*irqfd_add_gsi)(Accel *accel, int gsi, int fd, int resample);
    void (*irqfd_remove_gsi)(Accel *accel, int gsi, int fd);

    /*
     * Guest debugging (core/guest-debug.h; both NULL: not possible). debug_check: whether it can watch
     * for these points together; the error says what is too much. debug_arm: from now on it does,
     * instead of those of the call before; it copies them; they passed debug_check. Main thread,
     * machine_lock held, vCPUs PAUSED.
     */
    bool (*debug_check)(Accel *accel, const DebugPoint *points, unsigned count, GError **errp);
    void (*debug_arm)(Accel *accel, const DebugPoint *points, unsigned count);
};

struct Accel {
    const AccelOps *ops;
    Machine *machine;
    IrqchipKind irqchip;
};

/* Known accelerators, NULL-terminated. */
extern const AccelOps *const accel_list[];
extern const AccelOps kvm_accel_ops, dbt_accel_ops, qtest_accel_ops;

/*
 * Chooses and creates. specs: "-accel" arguments in order of preference ("kvm", "dbt,tb-size=32"),
 * possibly none. The default is kvm where /dev/kvm opens and the host CPU has VT-x or AMD-V, else
 * dbt, and a line on stderr says which and why. "tcg" is dbt.
 */
Accel *accel_create(const char *const *specs, unsigned count, GError **errp);
void accel_free(Accel *accel);
/* "-accel help": the names, and what speaks against each on this host. */
void accel_print_help(GString *out);

#endif
