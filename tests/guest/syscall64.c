/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Long mode's ring changes: SYSCALL/SYSRET, SYSENTER/SYSEXIT, IRET to user and compatibility mode,
 * SWAPGS, FS and GS bases (SDM vol. 3, chapters 5.8.7, 5.8.8; AMD APM vol. 2, chapter 6).
 */
#include "lib/guest.h"

enum { MSR_STAR = 0xc0000081, MSR_LSTAR, MSR_CSTAR, MSR_FMASK };
enum { MSR_FS_BASE = 0xc0000100, MSR_GS_BASE, MSR_KERNEL_GS_BASE };
enum { MSR_SYSENTER_CS = 0x174, MSR_SYSENTER_ESP, MSR_SYSENTER_EIP };

/* What the kernel side saw. */
volatile uint64_t seen_rcx, seen_r11, seen_flags, seen_cs, seen_ss, seen_gs;
volatile uint64_t kernel_rsp;
static uint8_t user_stack[4096] __attribute__((aligned(16)));
static uint64_t gs_area[2] = {0x1111, 0x2222};

/* Enters user code at fn by IRETQ; comes back when it ends in "int $0x80". */
void enter_user(uint64_t ip, uint64_t cs, uint64_t sp);
asm(".globl enter_user\n"
    "enter_user:\n"
    "push %rbx; push %rbp; push %r12; push %r13; push %r14; push %r15\n"
    "mov %rsp, kernel_rsp\n"
    "push $0x23\n"
    "push %rdx\n"
    "push $2\n"
    "push %rsi\n"
    "push %rdi\n"
    "iretq\n"
    "leave_user:\n"
    "mov kernel_rsp, %rsp\n"
    "pop %r15; pop %r14; pop %r13; pop %r12; pop %rbp; pop %rbx\n"
    "ret\n");

/* SYSCALL's entry: notes the state, goes back. */
void syscall_entry(void);
asm("syscall_entry:\n"
    "mov %rcx, seen_rcx\n"
    "mov %r11, seen_r11\n"
    "mov %cs, %eax; mov %rax, seen_cs\n"
    "mov %ss, %eax; mov %rax, seen_ss\n"
    "mov %rsp, %rdx; mov $guest_stack_top - 4096, %rsp\n"
    "pushfq; pop %rax; mov %rax, seen_flags\n"
    "mov %rdx, %rsp\n"
    "swapgs; mov %gs:0, %rax; mov %rax, seen_gs; swapgs\n"
    "sysretq\n");

void sysenter_entry(void);
asm("sysenter_entry:\n"
    "mov %cs, %eax; mov %rax, seen_cs\n"
    "mov %rsp, seen_rcx\n"
    "mov %rbx, %rdx\n" /* the user's return address and stack, by our convention */
    "mov %rbp, %rcx\n"
    ".byte 0x48\n"
    "sysexit\n");

void user_syscall(void);
void user_after_syscall(void);
asm("user_syscall:\n"
    "mov $0x5a5a, %r12\n"
    "stc\n"
    "std\n"
    "syscall\n"
    "user_after_syscall:\n"
    "setc %r13b\n"
    "cld\n"
    "int $0x80\n");

/* Two entries that count, and one that has SYSRET load AC and ID, too. */
volatile uint64_t calls_one, calls_two, calls_carry;
void entry_one(void);
void entry_two(void);
void entry_flags(void);
asm("entry_one:\n"
    "incq calls_one\n"
    "sysretq\n"
    "entry_two:\n"
    "adcq $0, calls_carry\n"
    "incq calls_two\n"
    "sysretq\n"
    "entry_flags:\n"
    "or $0x240000, %r11d\n"
    "sysretq\n");

/* A hundred calls in a loop; r13: how often CF came back. */
void user_many(void);
asm("user_many:\n"
    "mov $100, %ebx\n"
    "xor %r13d, %r13d\n"
    "1: stc\n"
    "syscall\n"
    "adc $0, %r13d\n"
    "dec %ebx\n"
    "jnz 1b\n"
    "pushfq; pop %r12\n"
    "int $0x80\n");

void user_sysenter(void);
asm("user_sysenter:\n"
    "mov $1f, %rbx\n"
    "mov %rsp, %rbp\n"
    "sysenter\n"
    "1: int $0x80\n");

void user_compat(void);
asm(".code32\n"
    "user_compat:\n"
    "mov $0x12345678, %eax\n"
    "inc %eax\n"           /* 40h: REX in 64-bit mode */
    "push %eax\n"
    "mov %esp, %ecx\n"
    "int $0x80\n"
    ".code64\n");

void user_hlt(void);
void user_in(void);
void user_kernel_read(void);
asm("user_hlt: hlt\n"
    "user_in: inb $0x80, %al\n"
    "user_kernel_read: mov gdt, %rax; int $0x80\n");

static Frame user_end;
static int user_fault;
static uint32_t user_error;

static void on_user_end(Frame *frame)
{
    user_end = *frame;
    extern char leave_user[];
    frame->ip = (unsigned long)leave_user;
    frame->cs = SEL_KERNEL_CODE;
    frame->ss = SEL_KERNEL_DATA;
    frame->sp = kernel_rsp;
    frame->flags = 2;
}

static void on_user_fault(Frame *frame)
{
    user_fault = frame->vector;
    user_error = frame->error;
    on_user_end(frame);
}

static void run_user(void (*fn)(void), uint64_t cs)
{
    user_fault = -1;
    enter_user((unsigned long)fn, cs, (unsigned long)user_stack + sizeof(user_stack));
}

static void test_syscall(void)
{
    wrmsr(MSR_STAR, (uint64_t)SEL_KERNEL_CODE << 32 | 0x1bull << 48);
    wrmsr(MSR_LSTAR, (unsigned long)syscall_entry);
    wrmsr(MSR_FMASK, 0x401); /* DF, CF */
    wrmsr(MSR_GS_BASE, (unsigned long)&gs_area[0]);
    wrmsr(MSR_KERNEL_GS_BASE, (unsigned long)&gs_area[1]);
    run_user(user_syscall, SEL_USER_CODE64);
    check(user_fault == -1, "SYSCALL and SYSRET run without a fault");
    check(seen_rcx == (unsigned long)user_after_syscall, "SYSCALL puts the return address into RCX");
    check((seen_r11 & 0x401) == 0x401, "SYSCALL puts the flags into R11");
    check((seen_flags & 0x401) == 0, "SYSCALL clears the flags of FMASK");
    check(seen_cs == SEL_KERNEL_CODE && seen_ss == SEL_KERNEL_DATA, "SYSCALL loads CS and SS from STAR");
    check(seen_gs == 0x2222, "SWAPGS exchanges the GS bases");
    check(user_end.cs == SEL_USER_CODE64 && user_end.ss == SEL_USER_DATA, "SYSRET returns to 64-bit user mode");
    check((user_end.r13 & 0xff) == 1, "SYSRET restores the flags from R11");
    check(user_end.r12 == 0x5a5a, "other registers are untouched");
}

static void run_many(void (*entry)(void), uint64_t fmask)
{
    wrmsr(MSR_LSTAR, (unsigned long)entry);
    wrmsr(MSR_FMASK, fmask);
    run_user(user_many, SEL_USER_CODE64);
}

/* The same SYSCALL again and again, while what decides where it goes changes. */
static void test_many(void)
{
    run_many(entry_one, 0x401);
    check(calls_one == 100 && user_end.r13 == 100, "each of a hundred SYSCALLs reaches its entry and comes back with its flags");
    run_many(entry_two, 0x401);
    check(calls_one == 100 && calls_two == 100, "SYSCALL follows LSTAR when that changes");
    check(calls_carry == 0, "a flag of FMASK is clear in the entry each time");
    run_many(entry_two, 0);
    check(calls_two == 200 && calls_carry == 100, "SYSCALL follows FMASK when that changes");
    run_many(entry_flags, 0x40401);
    check((user_end.r12 & 0x240000) == 0x240000, "SYSRET loads AC and ID from R11");
    run_many(entry_one, 0x401);
    check(calls_one == 200 && !(user_end.r12 & 0x40000), "and clears AC again");
    wrmsr(0xc0000080, rdmsr(0xc0000080) & ~1ull);
    run_many(entry_one, 0x401);
    check(user_fault == 6 && calls_one == 200, "SYSCALL is #UD when EFER.SCE is clear");
    wrmsr(0xc0000080, rdmsr(0xc0000080) | 1);
    run_many(entry_one, 0x401);
    check(calls_one == 300, "and runs when it is set again");
}

static void test_sysenter(void)
{
    wrmsr(MSR_SYSENTER_CS, SEL_KERNEL_CODE);
    wrmsr(MSR_SYSENTER_ESP, 0x76543210);
    wrmsr(MSR_SYSENTER_EIP, (unsigned long)sysenter_entry);
    user_fault = -1;
    run_user(user_sysenter, SEL_USER_CODE64);
    if (user_fault == 6) {
        skip("SYSENTER", "not available in long mode on AMD processors");
        return;
    }
    check(user_fault == -1, "SYSENTER and SYSEXIT run without a fault");
    check(seen_cs == SEL_KERNEL_CODE && seen_rcx == 0x76543210, "SYSENTER loads CS and RSP from its MSRs");
    check(user_end.cs == SEL_KERNEL_CODE + 35, "SYSEXIT with REX.W returns to 64-bit user mode");
}

static void test_compat(void)
{
    run_user(user_compat, SEL_USER_CODE32);
    check(user_fault == -1, "compatibility mode runs without a fault");
    check(user_end.rax == 0x12345679, "40h is INC EAX there");
    check(user_end.rcx == (unsigned long)user_stack + sizeof(user_stack) - 4, "PUSH moves ESP by four");
}

static void test_user_limits(void)
{
    intr_set_handler(13, on_user_fault);
    intr_set_handler(14, on_user_fault);
    run_user(user_hlt, SEL_USER_CODE64);
    check(user_fault == 13 && user_error == 0, "HLT in user mode is #GP(0)");
    run_user(user_in, SEL_USER_CODE64);
    check(user_fault == 13 && user_error == 0, "IN without permission is #GP(0)");
    extern uint64_t boot_pml4[];
    uint64_t *pd = (uint64_t *)(((uint64_t *)(boot_pml4[0] & ~0xfffull))[0] & ~0xfffull);
    pd[0] &= ~4ull; /* the kernel's 2 MiB are the kernel's */
    WRITE_CR(3, READ_CR(3));
    run_user(user_kernel_read, SEL_USER_CODE64);
    check(user_fault == 14 && user_error == 0x15, "user code on a supervisor page is #PF(P,U,I) on its fetch");
    pd[0] |= 4;
    WRITE_CR(3, READ_CR(3));
    intr_set_handler(13, NULL);
    intr_set_handler(14, NULL);
}

static void test_bases(void)
{
    uint64_t v;
    wrmsr(MSR_FS_BASE, (unsigned long)&gs_area[1]);
    asm volatile("mov %%fs:0, %0" : "=r"(v));
    check(v == 0x2222, "IA32_FS_BASE is the base of FS");
    check(FAULT("mov $0xc0000100, %%ecx; xor %%eax, %%eax; mov $0x8000, %%edx; wrmsr", ::: "rax", "rcx", "rdx") == 13,
          "a non-canonical FS base is #GP");
    asm volatile("mov %0, %%fs" ::"r"(SEL_KERNEL_DATA));
    check(rdmsr(MSR_FS_BASE) == 0, "loading FS loads its base from the descriptor");
}

void guest_main(void)
{
    idt_set_dpl(0x80, 3);
    intr_set_handler(0x80, on_user_end);
    intr_set_handler(6, on_user_fault);
    wrmsr(0xc0000080, rdmsr(0xc0000080) | 1 << 11);
    test_syscall();
    test_many();
    test_sysenter();
    test_compat();
    test_user_limits();
    intr_set_handler(6, NULL);
    test_bases();
}
