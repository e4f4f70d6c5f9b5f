/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Machine: what every board has. A board embeds it (hw/i386/pc.h).
 *
 * Made by main after the options are parsed; machine_build runs in this order: accelerator, RAM,
 * board (devices, vCPUs, tables and boot image), vCPU threads, reset. Configuration fields are read-only after that.
 *
 * Locking: machine_lock, except what core/vcpu.h and core/memory.h allow without.
 */
#ifndef CORE_MACHINE_H
#define CORE_MACHINE_H

#include "accel/accel.h"
#include "core/device.h"
#include "core/gsi.h"
#include "core/irq.h"
#include "core/loop.h"
#include "core/memory.h"
#include "core/ram.h"
#include "core/runstate.h"
#include "core/vcpu.h"

#define MAX_VCPUS 255 /* 8-bit xAPIC ids; more would need x2APIC tables */

typedef struct SmpTopology {
    unsigned cpus, sockets, dies, cores, threads; /* cpus == sockets * dies * cores * threads when full */
} SmpTopology;

/* What -cpu said: a model and feature changes. */
typedef struct CpuOptions {
    char *model;          /* "host", "max", "qemu64", ... */
    GPtrArray *features;  /* of char *: "+avx2", "-x2apic", "pcid=on", in order */
} CpuOptions;

#define MAX_SERIALS 4 /* COM1..COM4 */

/* -option-rom */
typedef struct OptionRom {
    char *file;
    int32_t bootindex; /* -1: none */
} OptionRom;

typedef struct BootOptions {
    char *kernel, *initrd, *append, *firmware; /* NULL: not given */
    /* -boot: letters of drives, NULL if not given. */
    char *order, *once;
    bool menu, strict;
    int splash_time, reboot_timeout; /* ms; -1: not given */
    GPtrArray *option_roms;          /* of OptionRom *; may be NULL */
} BootOptions;

/* -rtc: values of the clock's properties of the same names, for the board to set; NULL: not given. */
typedef struct RtcOptions {
    char *base, *clock;
} RtcOptions;

/* -global: the value of a property of every device of a type, unless the device is given another. */
typedef struct GlobalProperty {
    char *driver, *property, *value;
    bool used;
} GlobalProperty;

/* -vcpu: where a vCPU's thread runs. */
typedef struct VcpuAffinity {
    unsigned vcpu;
    cpu_set_t cpus;
    char *context; /* id of a thread-context instead; NULL: cpus */
} VcpuAffinity;

typedef struct MachineType {
    const char *name;
    const char *desc;
    /* "pc-i440fx-": "pc-i440fx-N.M" names this board too, for tools that ask for a version; may be NULL. */
    const char *versioned_name;
    size_t instance_size;
    const Property *props; /* of the board's struct: -machine NAME,prop=value */
    bool (*build)(Machine *machine, GError **errp); /* devices, vCPUs (vcpu_new), boot image */
    /* After devices and vCPUs are in their power-up state (vcpu->state may be written here: the entry
     * of a directly booted kernel), before vCPUs run. May be NULL. */
    void (*reset)(Machine *machine);
    void (*release)(Machine *machine); /* devices are gone, vCPUs are not; may be NULL */
    /* The user presses the power button. False: the machine has none. May be NULL; machine_lock held. */
    bool (*power_button)(Machine *machine);
    /* A device of bus "pci" has been realized while the VM runs; and: the user wants it back, which the guest
     * decides. An error if that cannot be. NULL: the machine has no hot plug. machine_lock held. */
    bool (*plug)(Machine *machine, Device *dev, GError **errp);
    bool (*request_unplug)(Machine *machine, Device *dev, GError **errp);
} MachineType;

struct Machine {
    const MachineType *type;
    /* Configuration. */
    char *name;
    uint64_t ram_size;
    RamOptions ram_options;
    SmpTopology smp;
    CpuOptions cpu;
    BootOptions boot;
    RtcOptions rtc;
    char *serial[MAX_SERIALS]; /* -serial: id of the chardev behind each COM port; NULL: no such port */
    GPtrArray *user_devices;   /* -device: of Device *, NEW with properties set; the board realizes them
                                * after its own and takes them; never NULL */
    GPtrArray *firmware_dirs;  /* -L: of char *, where firmware is looked for first; never NULL */
    bool no_reboot, no_shutdown;
    bool nographic; /* there is no screen: text goes to the first serial port */
    PanicAction panic_action;
    WatchdogAction watchdog_action;
    uint8_t uuid[16];   /* -uuid, in the order it is written; zero: not given */
    GArray *vcpu_affinity; /* of VcpuAffinity; main's, may be NULL */
    bool cpu_pm;        /* -overcommit cpu-pm=on: the guest may put the host's CPU to sleep */
    GPtrArray *globals; /* of GlobalProperty *, in order; main's, may be NULL */
    GPtrArray *objects; /* -object: of Object *, in the order made, which they are freed against */

    /* What was built. */
    Accel *accel;
    AddressSpace memory, io;
    MemoryRegion memory_root, io_root;
    RamBlock *ram;
    MsiSink msi;
    struct PciBus *pci; /* the root bus (hw/pci/pci.h); NULL: the board has none */
    Irq gsi[GSI_COUNT]; /* where the interrupt lines end: filled by the board (core/gsi.h) */
    uint32_t gsi_levels; /* atomic: a bit each, as devices set them */
    uint64_t gsi_raised[GSI_COUNT]; /* atomic: how often each went up ("info irq") */
    Irq gsi_watch;      /* a test sees the lines instead; its pin is not used */
    /* EOI of a level-triggered vector broadcast by a LAPIC outside hw/intc (IRQCHIP_SPLIT). */
    void (*ioapic_eoi)(void *opaque, int vector);
    void *ioapic_eoi_opaque;
    Vcpu **vcpus; /* smp.cpus of them: an empty array until MachineType.build fills it */
    GPtrArray *devices; /* of Device *, reset in order, freed in reverse */
    GPtrArray *boot_order; /* core/bootorder.h */

    /* Run state (src/core/runstate.c). */
    RunState run_state;
    int exit_status;
    ShutdownCause shutdown_cause; /* of the shutdown that ended the run */
    Timer request_timer;          /* wakes the main loop to serve requests */
    pthread_mutex_t request_lock; /* a leaf; guards requests */
    RunRequests requests;
    RunStateWatch *run_state_watches; /* machine_lock */
    bool hold_clock;              /* a debugger steps: machine_start leaves the virtual clock standing */
};

/* Zeroed board of this type with empty address spaces, default properties, one CPU and 128 MiB. */
Machine *machine_new(const MachineType *type);
/* Initialises the accelerator (machine->accel is set), RAM and the board, starts the vCPU threads
 * and resets. On failure only machine_free is left to do. */
bool machine_build(Machine *machine, GError **errp);
/* Ends the vCPU threads; frees devices in reverse order, vCPUs, board, accelerator, address spaces, RAM. */
void machine_free(Machine *machine);
/* "550e8400-e29b-41d4-a716-446655440000"; the caller's. */
char *machine_uuid_text(const Machine *machine);
/* A non-maskable interrupt for every vCPU (the NMI button). */
void machine_inject_nmi(Machine *machine);
/* Resets the accelerator's irqchip, devices, vCPUs to their power-up state, then the board, which
 * may change that state (a kernel's entry point). Main thread, vCPUs paused. */
void machine_reset(Machine *machine);

/* The boards (hw/i386), NULL-terminated; the first is the default. */
extern const MachineType *const machine_types[];

#endif
