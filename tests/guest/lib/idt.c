/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Interrupt gates to the stubs of start.S, exceptions as values, and the TSS.
 */
#include "guest.h"

volatile Fault fault = {.vector = -1};
volatile unsigned long fault_resume;
unsigned long fault_saved[2];
Tss tss;

void guest_start(void);
void intr_dispatch(Frame *frame);

static IntrHandler handlers[256];
static uint8_t ring0_stack[8192] __attribute__((aligned(16)));
static uint8_t ist_stack[8192] __attribute__((aligned(16)));

#ifdef __x86_64__
static uint64_t idt[256][2];
#else
static uint64_t idt[256];
#endif

void intr_set_handler(unsigned vector, IntrHandler handler)
{
    handlers[vector] = handler;
}

static uint64_t gate_low(unsigned vector)
{
    uint64_t ip = (unsigned long)&intr_stubs[vector * 16];
    return (ip & 0xffff) | (uint64_t)SEL_KERNEL_CODE << 16 | 0x8eull << 40 | (ip >> 16 & 0xffff) << 48;
}

void idt_set_raw(unsigned vector, uint64_t low, uint64_t high)
{
#ifdef __x86_64__
    idt[vector][0] = low;
    idt[vector][1] = high;
#else
    (void)high;
    idt[vector] = low;
#endif
}

void idt_set_dpl(unsigned vector, unsigned dpl)
{
    idt_set_raw(vector, (gate_low(vector) & ~(3ull << 45)) | (uint64_t)dpl << 45, 0);
}

void idt_set_ist(unsigned vector, unsigned ist)
{
    idt_set_raw(vector, gate_low(vector) | (uint64_t)ist << 32, 0);
}

void idt_load(void)
{
    struct __attribute__((packed)) {
        uint16_t limit;
        unsigned long base;
    } pointer = {sizeof(idt) - 1, (unsigned long)idt};
    asm volatile("lidt %0" ::"m"(pointer));
}

/* Type 9: available TSS. */
uint64_t tss_descriptor(const void *base, uint32_t limit)
{
    uint64_t b = (unsigned long)base;
    return (limit & 0xffff) | (b & 0xffffff) << 16 | 0x89ull << 40 | (uint64_t)(limit >> 16 & 0xf) << 48 |
           (b >> 24 & 0xff) << 56;
}

static void load_tss(void)
{
#ifdef __x86_64__
    tss.rsp[0] = (unsigned long)ring0_stack + sizeof(ring0_stack);
    tss.ist[0] = (unsigned long)ist_stack + sizeof(ist_stack);
#else
    tss.esp0 = (unsigned long)ring0_stack + sizeof(ring0_stack);
    tss.ss0 = SEL_KERNEL_DATA;
    (void)ist_stack;
#endif
    tss.io_map = sizeof(tss);
    gdt[SEL_TSS / 8] = tss_descriptor(&tss, sizeof(tss) - 1);
    gdt[SEL_TSS / 8 + 1] = 0;
    asm volatile("ltr %w0" ::"r"(SEL_TSS));
}

void intr_dispatch(Frame *frame)
{
    unsigned vector = frame->vector;

    if (handlers[vector]) {
        handlers[vector](frame);
        return;
    }
    if (vector < 32 && fault_resume) {
        fault.vector = vector;
        fault.error = frame->error;
        fault.cr2 = READ_CR(2);
        fault.ip = frame->ip;
        fault.flags = frame->flags;
        frame->ip = fault_resume;
        frame->flags &= ~0x100ul; /* TF */
        return;
    }
    die("unexpected interrupt %u, error %x, at %lx, cr2 %lx", vector, (unsigned)frame->error,
        (unsigned long)frame->ip, READ_CR(2));
}

void guest_start(void)
{
    for (unsigned i = 0; i < 256; i++)
        idt_set_raw(i, gate_low(i), 0);
    idt_load();
    load_tss();
    guest_main();
    finish();
}
