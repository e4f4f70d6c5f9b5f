/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A machine without a board for tests of accel/dbt: RAM, two ports, and vCPUs put into a flat mode
 * by hand.
 *
 *     0x0000   real-mode vectors            0x6000   handlers: OUT to port 0x80 + vector
 *     0x1000   page table of the first 2 MiB (4 KiB pages), 0x2000 PML4, 0x3000 PDPT, 0x4000 PD
 *     0x5000   GDT; 0x5800 IDT              0x10000  RIG_CODE     0x20000  RIG_DATA
 *     0x70000  top of the stack (vCPU n: n * 0x1000 lower)
 *
 * With RIG_TIER=translate in the environment every block is translated before it runs the first time; with
 * RIG_TIER=lock-step each is interpreted as well and the results are compared.
 * A guest ends by writing port 0xf4 (rig_run returns -1), or by an exception (its vector). 1 MiB to
 * 1 GiB is identity-mapped by 2 MiB pages where paging is on.
 */
#ifndef TESTS_UNIT_DBT_RIG_H
#define TESTS_UNIT_DBT_RIG_H

#include "accel/dbt/dbt.h"
#include "core/machine.h"

#define RIG_RAM_SIZE (16 * MIB)
#define RIG_CODE 0x10000u
#define RIG_DATA 0x20000u
#define RIG_STACK 0x70000u
#define RIG_PORT_EXIT 0xf4
#define RIG_PORT_DATA 0xf6 /* reads give rig->port_in, writes set rig->port_out */

enum { RIG_CS64 = 0x08, RIG_DS = 0x10, RIG_CS32 = 0x18, RIG_CS16 = 0x20, RIG_DS16 = 0x28 };

typedef struct Rig {
    Machine *machine;
    MemoryRegion ram, port_exit, port_data, port_vectors;
    int stopped[4];    /* of each vCPU: vector, or -1 */
    uint32_t port_in, port_out;
    unsigned port_accesses;
} Rig;

Rig *rig_new(unsigned cpus);
/* With so many MiB of translated code (-accel dbt,tb-size=); 0: the default. */
Rig *rig_new_sized(unsigned cpus, uint32_t tb_size);
/* All of RAM zero but for the tables, as a device would write it. */
void rig_reset_memory(Rig *rig);
void rig_free(Rig *rig);

/* 16: real mode; 32: protected without paging; 64: long mode. rip = RIG_CODE, rsp = RIG_STACK. */
void rig_mode(Rig *rig, unsigned cpu, unsigned bits);
/* Code at RIG_CODE, followed by the end of the guest. */
void rig_code(Rig *rig, const void *code, size_t len);

static inline void *rig_mem(Rig *rig, uint64_t gpa)
{
    return rig->machine->ram->host + gpa;
}

static inline CpuState *rig_state(Rig *rig, unsigned cpu)
{
    return &rig->machine->vcpus[cpu]->state;
}

/* Runs one vCPU on this thread until it stops; the vector of the exception, or -1. */
int rig_run(Rig *rig, unsigned cpu);
/* For a thread: runs the Vcpu until there is a request for it. */
void *rig_run_until_told(void *vcpu);
/* mode, code, run. */
int rig_run_code(Rig *rig, unsigned bits, const void *code, size_t len);

/* A guest in assembly: GUEST(name, ".code32\n mov $1, %eax\n"). */
#define GUEST(name, text)                                                                          \
    __asm__(".pushsection .rodata\n" #name ":\n" text "\n" #name "_end:\n.code64\n.popsection");   \
    extern const uint8_t name[], name##_end[]
#define RIG_RUN(rig, bits, name)                                                                   \
    rig_run_code((rig), (bits), (name), (size_t)(name##_end - (name)))
#define RIG_LOAD(rig, name) rig_code((rig), (name), (size_t)(name##_end - (name)))

/* A test case with a rig of one vCPU as its state. */
int rig_setup(void **state);
int rig_teardown(void **state);
#define RIG_CASE(name) cmocka_unit_test_setup_teardown(name, rig_setup, rig_teardown)

/* The mode, with an operating system that has switched everything on, these components among it; rbx (16: ds) is at RIG_DATA,
 * whose 16 KiB are zero. */
void rig_enable_units(Rig *rig, unsigned bits, uint64_t xcr0);
/* What one instruction raises (-1: nothing) when bits of the control registers are other than rig_enable_units leaves them. */
typedef struct RigGate {
    const char *what;
    const uint8_t *code, *end;
    uint64_t cr0_set, cr4_clear, xcr0_clear;
    int vector;
} RigGate;
#define RIG_GATE(name, cr0_set, cr4_clear, xcr0_clear, vector)                                     \
    {#name " " #cr0_set " " #cr4_clear " " #xcr0_clear, name, name##_end, cr0_set, cr4_clear, xcr0_clear, vector}
/* False: some raise something else, which is printed. */
bool rig_gates_hold(Rig *rig, uint64_t xcr0, const RigGate *gates, size_t count);

/* Where the exception happened, from its frame. */
uint64_t rig_fault_rip(Rig *rig, unsigned bits, bool has_error);

#endif
