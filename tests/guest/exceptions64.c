/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Exceptions in 64-bit mode: vector, error code, saved RIP, CR2 (SDM vol. 3, chapter 6).
 */
#include "lib/guest.h"

#define USELESS "rax", "rbx", "rcx", "rdx", "memory"

extern uint64_t boot_pml4[];

static uint64_t page_tables[2][512] __attribute__((aligned(4096)));
static volatile uint8_t page[4096] __attribute__((aligned(4096)));

/* A 4 KiB mapping of its own for one linear page, beyond the identity map. */
#define TEST_LINEAR 0xffff800000000000ull
static uint64_t *const test_pte = &page_tables[1][0];
static uint64_t test_pdpt[512] __attribute__((aligned(4096)));

static void map_test_page(uint64_t flags)
{
    test_pdpt[0] = (unsigned long)page_tables[0] | 7;
    page_tables[0][0] = (unsigned long)page_tables[1] | 7;
    *test_pte = (unsigned long)page | flags;
    boot_pml4[256] = (unsigned long)test_pdpt | 7;
    asm volatile("invlpg (%0)" ::"r"(TEST_LINEAR) : "memory");
}

static void test_divide(void)
{
    check(FAULT("xor %%ecx, %%ecx; mov $1, %%eax; xor %%edx, %%edx; div %%ecx", ::: USELESS) == 0, "DIV by zero is #DE");
    check(FAULT("mov $2, %%edx; mov $1, %%ecx; div %%ecx", ::: USELESS) == 0, "a quotient too large is #DE");
    check(FAULT("mov $0x80000000, %%eax; cdq; mov $-1, %%ecx; idiv %%ecx", ::: USELESS) == 0, "INT_MIN / -1 is #DE");
}

static void test_invalid_opcode(void)
{
    extern char ud_here[];
    check(FAULT("ud_here: ud2", ::: USELESS) == 6, "UD2 is #UD");
    check(fault.ip == (unsigned long)ud_here, "#UD is a fault: RIP is the instruction's");
    check(FAULT(".byte 0xf0, 0x89, 0xc0", ::: USELESS) == 6, "LOCK before a register MOV is #UD");
    check(FAULT(".byte 0x06", ::: USELESS) == 6, "PUSH ES does not exist in 64-bit mode");
}

static void test_traps(void)
{
    extern char int3_after[];
    if (FAULT("int3; int3_after:", ::: USELESS) != -1)
        check(fault.vector == 3 && fault.ip == (unsigned long)int3_after, "INT3 is a trap: RIP is behind it");
    else
        check(false, "INT3 raises #BP");
    extern char step_after[];
    check(FAULT("pushfq; orl $0x100, (%%rsp); popfq; nop; step_after: nop", ::: USELESS) == 1,
          "TF raises #DB after one instruction");
    check(fault.ip == (unsigned long)step_after, "RIP is behind the instruction stepped over");
    unsigned long dr6;
    asm volatile("mov %%dr6, %0" : "=r"(dr6));
    check(dr6 & 1 << 14, "DR6.BS says so");
}

static void test_data_breakpoint(void)
{
    asm volatile("mov %0, %%dr0; mov %1, %%dr7" ::"r"((unsigned long)&page[8]), "r"(0x000d0002ul)); /* write, 4 bytes */
    int hit = FAULT("movl $1, 8(%0)", ::"r"(page) : USELESS);
    unsigned long dr6;
    asm volatile("mov %%dr6, %0; mov %1, %%dr7" : "=r"(dr6) : "r"(0ul));
    check(hit == 1 && dr6 & 1, "a data breakpoint on a write raises #DB");
}

static void test_protection(void)
{
    check(FAULT("mov $0x1234, %%eax; mov %%eax, %%ds", ::: USELESS) == 13 && fault.error == 0x1234,
          "a selector beyond the GDT is #GP with the selector");
    check(FAULT("mov (%0), %%al", ::"r"(0x800000000000ull) : USELESS) == 13 && fault.error == 0,
          "a non-canonical address is #GP(0)");
    check(FAULT("mov (%%rsp), %%al", : : : USELESS) == -1, "the stack is accessible");
    check(FAULT("mov %0, %%rbp; mov (%%rbp), %%al", ::"r"(0x800000000000ull) : USELESS) == 12,
          "a non-canonical address based on RBP is #SS");
    check(FAULT("mov $0xc0000080, %%ecx; rdmsr; or $2, %%eax; wrmsr", ::: USELESS) == 13, "a reserved EFER bit is #GP");
    check(FAULT("mov $0x12345678, %%ecx; rdmsr", ::: USELESS) == 13, "an unknown MSR is #GP");
    check(FAULT("mov %0, %%cr4", ::"r"(READ_CR(4) & ~0x20ul) : USELESS) == 13, "clearing PAE in long mode is #GP");
    check(FAULT("mov %0, %%cr0", ::"r"(READ_CR(0) & ~1ul) : USELESS) == 13, "PG without PE is #GP");
}

static void test_segments(void)
{
    gdt[SEL_FREE / 8] = 0x00cf13000000ffff; /* data, not present */
    check(FAULT("mov %0, %%es", ::"r"(SEL_FREE) : USELESS) == 11 && fault.error == SEL_FREE,
          "a segment not present is #NP with the selector");
    check(FAULT("mov %0, %%ss", ::"r"(SEL_FREE) : USELESS) == 12 && fault.error == SEL_FREE,
          "a stack segment not present is #SS with the selector");
    gdt[SEL_FREE / 8] = 0x0000890000000067;
    check(FAULT("mov %0, %%es", ::"r"(SEL_FREE) : USELESS) == 13 && fault.error == SEL_FREE,
          "a system segment in ES is #GP with the selector");
    check(FAULT("mov %0, %%ds", ::"r"(0) : USELESS) == -1, "a null selector in DS is fine");
    asm volatile("mov %0, %%ds; mov %0, %%es" ::"r"(SEL_KERNEL_DATA));
}

static void test_interrupt_gates(void)
{
    idt_set_raw(0x50, 0, 0);
    check(FAULT("int $0x50", ::: USELESS) == 13 && fault.error == 0x50 * 8 + 2, "an empty gate is #GP with the IDT bit");
    idt_set_raw(0x50, 0x00000e0000080000ull, 0); /* interrupt gate, not present */
    check(FAULT("int $0x50", ::: USELESS) == 11 && fault.error == 0x50 * 8 + 2, "a gate not present is #NP");
}

static void test_page_faults(void)
{
    map_test_page(0);
    check(FAULT("mov 0x123(%0), %%al", ::"r"(TEST_LINEAR) : USELESS) == 14 && fault.error == 0,
          "a read of a page not present is #PF(0)");
    check(fault.cr2 == TEST_LINEAR + 0x123, "CR2 has the address");
    check(FAULT("movb $1, (%0)", ::"r"(TEST_LINEAR) : USELESS) == 14 && fault.error == 2, "a write is #PF(W)");
    map_test_page(1);
    check(FAULT("mov (%0), %%al", ::"r"(TEST_LINEAR) : USELESS) == -1, "a present page can be read");
    check(*test_pte & 0x20, "the walk set the accessed bit");
    check(FAULT("movb $1, (%0)", ::"r"(TEST_LINEAR) : USELESS) == 14 && fault.error == 3,
          "a write to a read-only page is #PF(P,W) with CR0.WP");
    map_test_page(3);
    check(FAULT("movb $0x5a, (%0)", ::"r"(TEST_LINEAR) : USELESS) == -1 && page[0] == 0x5a, "a writable page can be written");
    check(*test_pte & 0x40, "the walk set the dirty bit");
    wrmsr(0xc0000080, rdmsr(0xc0000080) | 1 << 11);
    page[0] = 0xc3; /* RET */
    map_test_page(3 | 1ull << 63);
    check(FAULT("call *%0", ::"r"(TEST_LINEAR) : USELESS) == 14 && fault.error == 0x11, "a fetch from an NX page is #PF(P,I)");
    map_test_page(3);
    check(FAULT("call *%0", ::"r"(TEST_LINEAR) : USELESS) == -1, "without NX it is fetched");
    uint32_t r[4];
    cpuid(0x80000008, 0, r);
    if ((r[0] & 0xff) == 52) {
        skip("reserved bits in page-table entries", "all physical address bits exist");
        return;
    }
    map_test_page(3 | 1ull << 51);
    check(FAULT("mov (%0), %%al", ::"r"(TEST_LINEAR) : USELESS) == 14 && fault.error == 9,
          "a reserved bit in an entry is #PF(P,RSVD)");
}

static void test_alignment_and_math(void)
{
    WRITE_CR(0, READ_CR(0) | 1 << 3);
    check(FAULT("fninit", ::: USELESS) == 7, "x87 with CR0.TS is #NM");
    check(FAULT("xorps %%xmm0, %%xmm0", ::: USELESS) == 7, "SSE with CR0.TS is #NM");
    asm volatile("clts");
    check(FAULT("xorps %%xmm0, %%xmm0; movaps 1(%0), %%xmm0", ::"r"(page) : USELESS) == 13, "an unaligned MOVAPS is #GP");
    static const uint32_t unmasked = 0x1f80 & ~(1 << 9), masked = 0x1f80;
    asm volatile("ldmxcsr %0" ::"m"(unmasked));
    check(FAULT("mov $1, %%eax; cvtsi2ss %%eax, %%xmm0; xorps %%xmm1, %%xmm1; divss %%xmm1, %%xmm0", ::: USELESS) == 19,
          "an unmasked SSE exception is #XM");
    asm volatile("ldmxcsr %0" ::"m"(masked));
}

static void test_x87(void)
{
    check(FAULT("fninit; push $0x37b; fldcw (%%rsp); add $8, %%rsp; fld1; fldz; fdivrp; fwait", ::: USELESS) == 16,
          "an unmasked x87 exception is #MF at the next waiting instruction");
    asm volatile("fninit");
}

/* #DF on a stack of its own: a fault whose own delivery faults. */
static void test_double_fault(void)
{
    idt_set_ist(8, 1);
    idt_set_raw(13, 0, 0); /* #GP cannot be delivered: #GP while delivering #GP */
    int v = FAULT("mov $0x1234, %%eax; mov %%eax, %%ds", ::: USELESS);
    idt_set_dpl(13, 0);
    check(v == 8 && fault.error == 0, "a fault in delivering #GP is #DF(0)");
}

void guest_main(void)
{
    test_divide();
    test_invalid_opcode();
    test_traps();
    test_data_breakpoint();
    test_protection();
    test_segments();
    test_interrupt_gates();
    test_page_faults();
    test_alignment_and_math();
    test_x87();
    test_double_fault();
}
