/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The smallest machine on KVM, in the test's own process: RAM, vCPUs, a port to print to and one to
 * end with. A guest is a few lines of assembly in the test's source.
 *
 *     GUEST(hello, ".code16\n mov $'H', %al\n out %al, $0xe9\n out %al, $0xf4\n");
 *     KvmMachine *m = kvm_machine_new(&(KvmConfig){ GUEST_CODE(hello) });
 *     kvm_machine_run(m);
 *     assert_string_equal(m->output->str, "H");
 *     kvm_machine_free(m);
 */
#ifndef TESTS_GUEST_KVM_MACHINE_H
#define TESTS_GUEST_KVM_MACHINE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <glib.h>

#include "core/bits.h"
#include "core/machine.h"
#include "hw/intc/lapic.h"

/* Code in .rodata, from NAME to NAME_end. */
#define GUEST(name, text)                                                                          \
    __asm__(".pushsection .rodata\n.balign 16\n.globl " #name "\n" #name ":\n" text                \
            "\n.globl " #name "_end\n" #name "_end:\n.code64\n.popsection\n");                     \
    extern const uint8_t name[], name##_end[]
#define GUEST_CODE(name) .code = name, .code_end = name##_end

#define GUEST_ENTRY 0x1000u   /* linear; real mode CS:IP is 0:1000h */
#define GUEST_STACK 0x8000u
#define GUEST_RAM_SIZE (1u << 20)

/* For what takes milliseconds: hosts may be slow, busy, or emulate each instruction. */
#define GUEST_TIME_LIMIT_NS (120 * NS_PER_SEC)

/* What guests write to. */
#define PORT_PRINT 0xe9       /* a byte of output */
#define PORT_END 0xf4         /* a byte of status: the machine stops */

typedef enum GuestMode {
    GUEST_REAL,      /* 16 bits, all segments 0 */
    GUEST_PROTECTED, /* 32 bits, flat, no paging, no IDT */
} GuestMode;

typedef struct KvmMachine KvmMachine;

typedef struct KvmConfig {
    const uint8_t *code, *code_end; /* copied to GUEST_ENTRY */
    GuestMode mode;
    unsigned cpus;        /* 0: one */
    const char *irqchip;  /* NULL: "on" */
    const char *cpu;      /* -cpu; NULL: default */
    bool no_reboot;
    void (*build)(KvmMachine *m); /* more regions and wires; before the vCPUs */
    void (*reset)(KvmMachine *m); /* more state; after the vCPUs' */
} KvmConfig;

struct KvmMachine {
    Machine machine;
    const KvmConfig *config;
    MemoryRegion ram, print, end;
    LapicBus *lapics; /* kernel-irqchip=off */
    GString *output;
    bool ended;       /* the guest wrote PORT_END */
    uint8_t status;   /* what it wrote */
    unsigned resets;
};

/* Ends the program with a TAP skip where KVM cannot be used. First thing in main; calls core_init. */
void kvm_machine_setup(void);

KvmMachine *kvm_machine_new(const KvmConfig *config);
void kvm_machine_free(KvmMachine *m);
/* Starts it and runs the main loop until the machine stops. Fails the test after GUEST_TIME_LIMIT_NS. */
void kvm_machine_run(KvmMachine *m);
void kvm_machine_start(KvmMachine *m);
/* Main-loop turns until condition(m), called with machine_lock held, or the machine stops; fails after
 * GUEST_TIME_LIMIT_NS. */
void kvm_machine_wait(KvmMachine *m, bool (*condition)(KvmMachine *m));
/* One turn of the main loop, waiting at most a millisecond. */
void kvm_machine_turn(void);
static inline uint8_t *kvm_machine_ram(KvmMachine *m, uint32_t addr)
{
    return m->machine.ram->host + addr;
}
/* Pauses, reads vCPU index's registers, resumes. */
CpuState kvm_machine_state(KvmMachine *m, unsigned index);

#endif
