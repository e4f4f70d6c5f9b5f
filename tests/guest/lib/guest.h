/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a guest test stands on: no operating system, no library.
 *
 * A guest checks things with check() and ends with finish(); its TAP lines go to the debug console
 * (port E9h), its verdict to isa-debug-exit (port F4h), which ends the machine. tests/guest/run.py
 * runs it and judges. guest_main() runs with interrupts off; 64-bit guests have the low 4 GiB mapped
 * one to one (user accessible, 2 MiB pages), 32-bit guests have paging off.
 */
#ifndef TESTS_GUEST_GUEST_H
#define TESTS_GUEST_GUEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

void guest_main(void);

/* --- reporting (tap.c) --- */
/* %c %s %d %u %x %lx %lu %p */
void say(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
void check(bool ok, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* "ok n - what # SKIP why" */
void skip(const char *what, const char *why);
/* Prints the plan; exits good if no check failed. */
void finish(void) __attribute__((noreturn));
/* The plan without the exit, for guests that end in another way. */
void finish_tap(void);
void guest_exit(uint32_t value) __attribute__((noreturn));
void die(const char *fmt, ...) __attribute__((format(printf, 1, 2), noreturn));

/* --- instructions --- */
static inline void outb(uint16_t port, uint8_t v)
{
    asm volatile("outb %0, %1" ::"a"(v), "Nd"(port));
}
static inline void outw(uint16_t port, uint16_t v)
{
    asm volatile("outw %0, %1" ::"a"(v), "Nd"(port));
}
static inline void outl(uint16_t port, uint32_t v)
{
    asm volatile("outl %0, %1" ::"a"(v), "Nd"(port));
}
static inline uint8_t inb(uint16_t port)
{
    uint8_t v;
    asm volatile("inb %1, %0" : "=a"(v) : "Nd"(port));
    return v;
}
static inline uint16_t inw(uint16_t port)
{
    uint16_t v;
    asm volatile("inw %1, %0" : "=a"(v) : "Nd"(port));
    return v;
}
static inline uint32_t inl(uint16_t port)
{
    uint32_t v;
    asm volatile("inl %1, %0" : "=a"(v) : "Nd"(port));
    return v;
}
static inline uint64_t rdmsr(uint32_t msr)
{
    uint32_t lo, hi;
    asm volatile("rdmsr" : "=a"(lo), "=d"(hi) : "c"(msr));
    return (uint64_t)hi << 32 | lo;
}
static inline void wrmsr(uint32_t msr, uint64_t v)
{
    asm volatile("wrmsr" ::"c"(msr), "a"((uint32_t)v), "d"((uint32_t)(v >> 32)) : "memory");
}
static inline uint64_t rdtsc(void)
{
    uint32_t lo, hi;
    asm volatile("rdtsc" : "=a"(lo), "=d"(hi));
    return (uint64_t)hi << 32 | lo;
}
static inline void cpuid(uint32_t leaf, uint32_t subleaf, uint32_t r[4])
{
    asm volatile("cpuid" : "=a"(r[0]), "=b"(r[1]), "=c"(r[2]), "=d"(r[3]) : "a"(leaf), "c"(subleaf));
}
static inline void pause(void)
{
    asm volatile("pause" ::: "memory");
}
static inline void sti(void)
{
    asm volatile("sti" ::: "memory");
}
static inline void cli(void)
{
    asm volatile("cli" ::: "memory");
}
/* Interrupts on and halt, without a window between. */
static inline void sti_hlt_cli(void)
{
    asm volatile("sti; hlt; cli" ::: "memory");
}
#define READ_CR(n)                                                                                 \
    ({                                                                                             \
        unsigned long v_;                                                                          \
        asm volatile("mov %%cr" #n ", %0" : "=r"(v_));                                             \
        v_;                                                                                        \
    })
#define WRITE_CR(n, v) asm volatile("mov %0, %%cr" #n ::"r"((unsigned long)(v)) : "memory")

/* --- code made at run time --- */
/* mov $value, %eax; ret: byte by byte, as far as another processor sees. */
static inline void write_fn(uint8_t *at, uint32_t value)
{
    volatile uint8_t *p = at;

    p[0] = 0xb8;
    for (int i = 0; i < 4; i++)
        p[1 + i] = value >> 8 * i;
    p[5] = 0xc3;
}
static inline uint32_t call_fn(const void *fn)
{
    uint32_t v;

    asm volatile("call *%1" : "=a"(v) : "r"(fn) : "memory", "cc");
    return v;
}

/* --- descriptors and interrupts (idt.c) --- */
enum {
    SEL_KERNEL_CODE = 0x08,
    SEL_KERNEL_DATA = 0x10,
    SEL_USER_CODE32 = 0x1b,
    SEL_USER_DATA = 0x23,
    SEL_USER_CODE64 = 0x2b,
    SEL_KERNEL_CODE32 = 0x30,
    SEL_TSS = 0x38,
    SEL_FREE = 0x50, /* and up, for the guest */
};
extern uint64_t gdt[32];

/* What the stubs leave on the stack. */
typedef struct Frame {
#ifdef __x86_64__
    uint64_t r15, r14, r13, r12, r11, r10, r9, r8, rdi, rsi, rbp, rbx, rdx, rcx, rax;
    uint64_t vector, error, ip, cs, flags, sp, ss;
#else
    uint32_t es, ds, edi, esi, ebp, unused_esp, ebx, edx, ecx, eax;
    uint32_t vector, error, ip, cs, flags, sp, ss; /* sp, ss: only from an outer ring */
#endif
} Frame;

typedef void (*IntrHandler)(Frame *frame);
void intr_set_handler(unsigned vector, IntrHandler handler);
/* Gate of the vector: DPL and IST (64-bit). */
void idt_set_dpl(unsigned vector, unsigned dpl);
void idt_set_ist(unsigned vector, unsigned ist);
void idt_set_raw(unsigned vector, uint64_t low, uint64_t high);
void idt_load(void);
extern uint8_t intr_stubs[256 * 16];

/* The TSS of CPU 0: ring 0 stack and, in 64-bit mode, interrupt stacks. */
typedef struct __attribute__((packed)) Tss {
#ifdef __x86_64__
    uint32_t reserved0;
    uint64_t rsp[3];
    uint64_t reserved1;
    uint64_t ist[7];
    uint64_t reserved2;
    uint16_t reserved3, io_map;
#else
    uint32_t link, esp0, ss0, esp1, ss1, esp2, ss2, cr3, eip, eflags;
    uint32_t eax, ecx, edx, ebx, esp, ebp, esi, edi, es, cs, ss, ds, fs, gs, ldt;
    uint16_t trap, io_map;
#endif
} Tss;
extern Tss tss;
uint64_t tss_descriptor(const void *base, uint32_t limit);

/*
 * The last exception taken while fault_resume was set; -1: none. FAULT(insn) runs an instruction
 * and tells which exception it raised: FAULT("asm", : outputs : inputs : clobbers).
 */
typedef struct Fault {
    int vector;
    uint32_t error;
    unsigned long cr2, ip, flags;
} Fault;
extern volatile Fault fault;
extern volatile unsigned long fault_resume;

#ifdef __x86_64__
#define FAULT(insn, ...)                                                                           \
    ({                                                                                             \
        fault.vector = -1;                                                                         \
        asm volatile("mov %%rsp, fault_saved; mov %%rbp, fault_saved + 8\n"                        \
                     "movq $99f, fault_resume\n" insn                                              \
                     "\n99: mov fault_saved, %%rsp; mov fault_saved + 8, %%rbp\n"                  \
                     "movq $0, fault_resume" __VA_ARGS__);                                         \
        fault.vector;                                                                              \
    })
#else
#define FAULT(insn, ...)                                                                           \
    ({                                                                                             \
        fault.vector = -1;                                                                         \
        asm volatile("mov %%esp, fault_saved; mov %%ebp, fault_saved + 4\n"                        \
                     "movl $99f, fault_resume\n" insn                                              \
                     "\n99: mov fault_saved, %%esp; mov fault_saved + 4, %%ebp\n"                  \
                     "movl $0, fault_resume" __VA_ARGS__);                                         \
        fault.vector;                                                                              \
    })
#endif
extern unsigned long fault_saved[2]; /* stack and frame pointer */

/* --- APIC, PIC, timers (apic.c) --- */
#define LAPIC_BASE 0xfee00000ul
#define IOAPIC_BASE 0xfec00000ul
enum {
    APIC_ID = 0x20, APIC_TPR = 0x80, APIC_EOI = 0xb0, APIC_SVR = 0xf0, APIC_ESR = 0x280,
    APIC_ICR = 0x300, APIC_ICR_HIGH = 0x310, APIC_LVT_TIMER = 0x320, APIC_LVT_LINT0 = 0x350,
    APIC_LVT_LINT1 = 0x360, APIC_TIMER_INIT = 0x380, APIC_TIMER_COUNT = 0x390, APIC_TIMER_DIV = 0x3e0,
};
static inline uint32_t apic_read(uint32_t reg)
{
    return *(volatile uint32_t *)(LAPIC_BASE + reg);
}
static inline void apic_write(uint32_t reg, uint32_t v)
{
    *(volatile uint32_t *)(LAPIC_BASE + reg) = v;
}
void apic_enable(void);
void apic_eoi(void);
/* Waits until the last IPI has gone out. */
void apic_send(uint32_t dest, uint32_t icr_low);
uint32_t ioapic_read(uint32_t reg);
void ioapic_write(uint32_t reg, uint32_t v);
void ioapic_route(unsigned pin, uint64_t entry);
/* 8259 pair to vectors base and base + 8; all masked. */
void pic_init(uint8_t base);
void pic_unmask(unsigned irq);
void pic_eoi(unsigned irq);
/* Counts PM timer ticks (3.579545 MHz) with wrap-around handled; calls between < 4 s apart. */
uint32_t pm_timer(void);
uint32_t pm_ticks_since(uint32_t start);
void delay_us(uint32_t us);
/* Waits until *word reaches value, with interrupts on or as they are; false if it does not within a
 * time that is long on any host, however busy. */
bool wait_for(const volatile uint32_t *word, uint32_t value);
bool spin_for(const volatile uint32_t *word, uint32_t value);

/* --- SMP (smp.c) --- */
#define AP_TRAMPOLINE 0x8000
/* Starts the processor with this APIC id at fn(arg) on a stack of its own; false if it does not come up. */
bool smp_start(uint32_t apic_id, void (*fn)(void *arg), void *arg);
/* The same without waiting for it: for a processor that may not be there. At most once in a guest, and not
 * before smp_start. */
bool smp_launch(uint32_t apic_id, void (*fn)(void *arg), void *arg);

#endif
