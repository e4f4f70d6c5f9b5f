/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * 32-bit protected mode: segment limits and types, rings and call gates, two-level and PAE paging
 * (SDM vol. 3, chapters 3 to 5).
 */
#include "lib/guest.h"

#define CLOBBERS "eax", "ecx", "edx", "memory"
#define SEL(i) (SEL_FREE + 8 * (i))

static uint8_t data[8192] __attribute__((aligned(4096)));
static uint8_t user_stack[4096] __attribute__((aligned(16)));
static uint32_t page_dir[1024] __attribute__((aligned(4096))), page_table[1024] __attribute__((aligned(4096)));
static uint64_t pae_pdpt[4] __attribute__((aligned(32)));
static uint64_t pae_pd[4][512] __attribute__((aligned(4096))), pae_pt[512] __attribute__((aligned(4096)));

/* access: P, DPL, S, type; flags: G, D/B, L, AVL. */
static uint64_t segment(uint32_t base, uint32_t limit, uint8_t access, uint8_t flags)
{
    return (limit & 0xffff) | (uint64_t)(base & 0xffffff) << 16 | (uint64_t)access << 40 |
           (uint64_t)(limit >> 16 & 0xf) << 48 | (uint64_t)flags << 52 | (uint64_t)(base >> 24) << 56;
}

static int load_es(uint16_t selector)
{
    return FAULT("mov %0, %%es", ::"r"((uint32_t)selector) : CLOBBERS);
}

static int read_es(uint32_t offset)
{
    return FAULT("mov %%es:(%0), %%al", ::"r"(offset) : CLOBBERS);
}

static int write_es(uint32_t offset)
{
    return FAULT("movb $1, %%es:(%0)", ::"r"(offset) : CLOBBERS);
}

static void test_limits(void)
{
    gdt[SEL(0) / 8] = segment((uint32_t)data, 0xfff, 0x93, 4);
    check(load_es(SEL(0)) == -1, "a data segment loads");
    check(read_es(0xfff) == -1, "its last byte can be read");
    check(read_es(0x1000) == 13 && fault.error == 0, "the byte beyond the limit is #GP(0)");
    check(FAULT("mov %%es:(%0), %%eax", ::"r"(0xffd) : CLOBBERS) == 13, "so is a word that crosses it");
    data[5] = 0x77;
    uint8_t v;
    asm volatile("movb %%es:5, %0" : "=q"(v));
    check(v == 0x77, "addresses are relative to the base");
    gdt[SEL(0) / 8] = segment((uint32_t)data, 0, 0x93, 0xc);
    load_es(SEL(0));
    check(read_es(0xfff) == -1 && read_es(0x1000) == 13, "with G the limit counts pages");
    gdt[SEL(0) / 8] = segment((uint32_t)data, 0xfff, 0x97, 4);
    load_es(SEL(0));
    check(read_es(0xfff) == 13 && read_es(0x1000) == -1, "an expand-down segment is valid above its limit");
}

static void test_types(void)
{
    gdt[SEL(0) / 8] = segment((uint32_t)data, 0xfff, 0x91, 4);
    load_es(SEL(0));
    check(read_es(0) == -1 && write_es(0) == 13, "a read-only segment refuses writes");
    gdt[SEL(0) / 8] = segment(0, 0xfffff, 0x99, 0xc);
    check(load_es(SEL(0)) == 13 && fault.error == SEL(0), "execute-only code does not load into ES");
    gdt[SEL(0) / 8] = segment((uint32_t)data, 0xfff, 0x13, 4);
    check(load_es(SEL(0)) == 11 && fault.error == SEL(0), "a segment not present is #NP");
    gdt[SEL(0) / 8] = segment((uint32_t)data, 0xfff, 0x90, 4);
    load_es(SEL(0));
    check((gdt[SEL(0) / 8] >> 40 & 1) == 1, "loading sets the accessed bit");
    check(load_es(0) == -1 && read_es(0) == 13, "a null selector loads but does not work");
    check(load_es(0xfff8) == 13 && fault.error == 0xfff8, "a selector beyond the GDT is #GP");
    check(FAULT("mov %0, %%ss", ::"r"(0) : CLOBBERS) == 13, "a null selector does not load into SS");
    load_es(SEL_KERNEL_DATA);
}

static void test_checks(void)
{
    static int32_t bounds[2] = {10, 20};
    check(FAULT("bound %0, %1", ::"r"(15), "m"(bounds) : CLOBBERS) == -1, "BOUND inside is silent");
    check(FAULT("bound %0, %1", ::"r"(21), "m"(bounds) : CLOBBERS) == 5, "BOUND outside is #BR");
    check(FAULT("mov $0x7f, %%al; inc %%al; into", ::: CLOBBERS) == 4, "INTO with OF is #OF");
    uint32_t rights = 0, limit = 0;
    bool zf;
    asm volatile("lar %2, %0; setz %1" : "=r"(rights), "=q"(zf) : "r"(SEL_KERNEL_CODE));
    check(zf && (rights & 0xff00) == 0x9b00, "LAR reads the access rights");
    asm volatile("lsl %2, %0; setz %1" : "=r"(limit), "=q"(zf) : "r"(SEL_KERNEL_DATA));
    check(zf && limit == 0xffffffff, "LSL reads the limit in bytes");
    asm volatile("verw %w1; setz %0" : "=q"(zf) : "r"(SEL_KERNEL_CODE));
    check(!zf, "VERW says code cannot be written");
}

/* --- ring 3 and back through a call gate --- */

static volatile uint32_t gate_cs, gate_param, user_done, user_cs;
uint32_t saved_esp;
void gate_entry(void);
asm("gate_entry:\n"
    "mov %cs, gate_cs\n"
    "mov 8(%esp), %eax\n" /* the parameter the gate copied */
    "mov %eax, gate_param\n"
    "lret $4\n");

void user_code(void);
asm("user_code:\n"
    "mov $0x23, %eax\n"
    "mov %eax, %ds\n"
    "mov %cs, %eax\n"
    "mov %eax, user_cs\n"
    "push $0x1234567\n"
    "lcall $0x5b, $0\n"   /* SEL_FREE + 8, RPL 3 */
    "int $0x80\n"
    "user_cli: cli\n"
    "int $0x80\n");

void enter_user(void (*fn)(void), uint32_t esp);
asm("enter_user:\n"
    "mov 4(%esp), %eax\n"
    "mov 8(%esp), %ecx\n"
    "pushal\n"
    "mov %esp, saved_esp\n"
    "push $0x23\n"
    "push %ecx\n"
    "push $2\n"
    "push $0x1b\n"
    "push %eax\n"
    "iret\n"
    "leave_user:\n"
    "mov saved_esp, %esp\n"
    "mov $0x10, %eax\n"
    "mov %eax, %ds\n"
    "mov %eax, %es\n"
    "mov %eax, %ss\n"
    "popal\n"
    "ret\n");

static volatile int user_fault;
static volatile uint32_t user_error;

/* Leaves ring 3 for good: straight to leave_user on its own stack. */
static void on_user_end(Frame *frame)
{
    extern char leave_user[];
    user_cs = frame->cs;
    user_done++;
    if (frame->vector < 32) {
        user_fault = frame->vector;
        user_error = frame->error;
    }
    asm volatile("jmp *%0" ::"r"(leave_user));
}

static void test_rings(void)
{
    extern char user_cli[];
    gdt[SEL(1) / 8] = ((uint32_t)gate_entry & 0xffff) | (uint64_t)SEL_KERNEL_CODE << 16 | 1ull << 32 |
                      0xecull << 40 | (uint64_t)((uint32_t)gate_entry >> 16) << 48;
    idt_set_dpl(0x80, 3);
    intr_set_handler(0x80, on_user_end);
    intr_set_handler(13, on_user_end);
    user_fault = -1;
    enter_user(user_code, (uint32_t)user_stack + sizeof(user_stack));
    check(user_done == 1 && user_fault == -1, "IRET to ring 3 and INT back work");
    check(user_cs == SEL_USER_CODE32, "the code ran in ring 3");
    check(gate_cs == SEL_KERNEL_CODE, "a call gate leads to ring 0");
    check(gate_param == 0x1234567, "the gate copies the parameter to the inner stack");
    enter_user((void (*)(void))user_cli, (uint32_t)user_stack + sizeof(user_stack));
    check(user_fault == 13 && user_error == 0, "CLI in ring 3 with IOPL 0 is #GP(0)");
    intr_set_handler(13, NULL);
}

/* --- SYSENTER, SYSEXIT --- */

static volatile uint32_t entry_cs, entry_ss, entry_esp;
void sysenter_entry(void);
asm("sysenter_entry:\n"
    "mov %cs, entry_cs\n"
    "mov %ss, entry_ss\n"
    "mov %esp, entry_esp\n"
    "mov %ebx, %edx\n" /* the user's return address and stack, by our convention */
    "mov %ebp, %ecx\n"
    "sysexit\n");

void user_sysenter(void);
asm("user_sysenter:\n"
    "mov $0x23, %eax\n" /* IRET to ring 3 has made DS null */
    "mov %eax, %ds\n"
    "mov $1f, %ebx\n"
    "mov %esp, %ebp\n"
    "sysenter\n"
    "1: int $0x80\n");

static void test_sysenter(void)
{
    wrmsr(0x174, SEL_KERNEL_CODE);
    wrmsr(0x175, 0x123450);
    wrmsr(0x176, (uint32_t)sysenter_entry);
    user_fault = -1;
    uint32_t before = user_done;
    enter_user(user_sysenter, (uint32_t)user_stack + sizeof(user_stack));
    check(user_done == before + 1 && user_fault == -1, "SYSENTER and SYSEXIT run without a fault");
    check((entry_cs & 0xffff) == SEL_KERNEL_CODE && (entry_ss & 0xffff) == SEL_KERNEL_CODE + 8 && entry_esp == 0x123450,
          "SYSENTER loads CS, SS and ESP from its MSRs");
    check(user_cs == SEL_KERNEL_CODE + 16 + 3, "SYSEXIT returns to ring 3");
    wrmsr(0x174, 0);
    intr_set_handler(13, on_user_end);
    enter_user(user_sysenter, (uint32_t)user_stack + sizeof(user_stack));
    intr_set_handler(13, NULL);
    check(user_fault == 13 && user_error == 0, "SYSENTER with a null CS MSR is #GP(0)");
}

/* --- paging --- */

static int read_at(uint32_t linear)
{
    return FAULT("mov (%0), %%al", ::"r"(linear) : CLOBBERS);
}

static int write_at(uint32_t linear)
{
    return FAULT("movb $0x33, (%0)", ::"r"(linear) : CLOBBERS);
}

static void test_paging(void)
{
    const uint32_t at = 0x40000000;

    WRITE_CR(4, READ_CR(4) | 1 << 4); /* PSE */
    for (uint32_t i = 0; i < 1024; i++)
        page_dir[i] = i << 22 | 0x83;
    page_dir[at >> 22] = (uint32_t)page_table | 3;
    WRITE_CR(3, page_dir);
    WRITE_CR(0, READ_CR(0) | 1u << 31 | 1 << 16);
    check(read_at(at) == 14 && fault.error == 0 && fault.cr2 == at, "a page not present is #PF(0)");
    page_table[0] = (uint32_t)data | 1;
    data[0] = 0x42;
    check(read_at(at) == -1, "a not-present entry is not cached");
    check(write_at(at) == 14 && fault.error == 3, "a read-only page is #PF(P,W) with WP");
    WRITE_CR(0, READ_CR(0) & ~(1ul << 16));
    check(write_at(at) == -1 && data[0] == 0x33, "without WP the supervisor may write");
    check((page_table[0] & 0x60) == 0x60, "accessed and dirty bits are set");
    WRITE_CR(0, READ_CR(0) | 1 << 16);
    page_table[1] = ((uint32_t)data + 4096) | 3;
    page_table[0] |= 2;
    asm volatile("invlpg (%0)" ::"r"(at) : "memory");
    *(volatile uint32_t *)(at + 4094) = 0xaabbccdd;
    check(data[4095] == 0xcc && data[4096] == 0xbb, "an access across a page boundary reaches both pages");
    page_table[1] = 0;
    asm volatile("invlpg (%0)" ::"r"(at + 4096) : "memory");
    data[4094] = 0;
    check(FAULT("movl $-1, (%0)", ::"r"(at + 4094) : CLOBBERS) == 14 && fault.cr2 == at + 4096 && data[4094] == 0,
          "a store that faults on its second page stores nothing");
    check(FAULT("jmp *%0", ::"r"(at + 4096) : CLOBBERS) == 14, "a fetch from a page not present is #PF");
    WRITE_CR(0, READ_CR(0) & ~(1ul << 31));
}

static void test_pae(void)
{
    const uint32_t at = 0x40000000;

    for (int i = 0; i < 4; i++) {
        pae_pdpt[i] = (uint32_t)pae_pd[i] | 1;
        for (int j = 0; j < 512; j++)
            pae_pd[i][j] = (uint64_t)(i * 512 + j) << 21 | 0x83;
    }
    pae_pd[1][0] = (uint32_t)pae_pt | 3;
    WRITE_CR(4, READ_CR(4) | 1 << 5);
    WRITE_CR(3, pae_pdpt);
    WRITE_CR(0, READ_CR(0) | 1u << 31);
    pae_pt[0] = (uint32_t)data | 3;
    data[0] = 0x42;
    check(read_at(at) == -1 && *(volatile uint8_t *)at == 0x42, "PAE: a 4 KiB page");
    check(read_at(at + 4096) == 14 && fault.error == 0, "PAE: a page not present is #PF");
    wrmsr(0xc0000080, rdmsr(0xc0000080) | 1 << 11);
    data[0] = 0xc3;
    pae_pt[0] |= 1ull << 63;
    asm volatile("invlpg (%0)" ::"r"(at) : "memory");
    check(FAULT("call *%0", ::"r"(at) : CLOBBERS) == 14 && fault.error == 0x11, "PAE: a fetch from an NX page is #PF(P,I)");
    check(read_at(at) == -1, "PAE: reading it is fine");
    pae_pdpt[1] = 0;
    check(read_at(at) == -1, "PAE: directory pointers are read when CR3 is loaded");
    WRITE_CR(3, pae_pdpt);
    check(read_at(at) == 14, "and then they count");
    WRITE_CR(0, READ_CR(0) & ~(1ul << 31));
}

void guest_main(void)
{
    test_limits();
    test_types();
    test_checks();
    test_rings();
    test_sysenter();
    test_paging();
    test_pae();
}
