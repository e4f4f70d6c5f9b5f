/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Hardware task switches: JMP, CALL and IRET to a TSS, task gates, double fault as a task
 * (SDM vol. 3, chapter 7).
 */
#include "lib/guest.h"

enum { SEL_TSS_A = SEL_FREE, SEL_TSS_B = SEL_FREE + 8, SEL_TASK_GATE = SEL_FREE + 16 };

static Tss tss_b;
static uint8_t stack_b[4096] __attribute__((aligned(16)));
static volatile uint32_t b_runs, b_link, b_flags, b_eax;

static void task_b(void)
{
    for (;;) {
        uint32_t flags;
        asm volatile("mov %%eax, %0" : "=m"(b_eax));
        asm volatile("pushfl; pop %0" : "=r"(flags));
        b_runs++;
        b_flags = flags;
        b_link = tss_b.link;
        if (flags & 0x4000)
            asm volatile("iret" ::: "memory");
        else
            asm volatile("ljmp %0, $0" ::"i"(SEL_TSS) : "memory");
    }
}

static void reset_b(void)
{
    tss_b = (Tss){
        .eip = (uint32_t)task_b, .eflags = 2, .esp = (uint32_t)stack_b + sizeof(stack_b), .eax = 0xb0b0b0b0,
        .cs = SEL_KERNEL_CODE, .ds = SEL_KERNEL_DATA, .es = SEL_KERNEL_DATA, .ss = SEL_KERNEL_DATA,
        .fs = SEL_KERNEL_DATA, .gs = SEL_KERNEL_DATA, .io_map = sizeof(Tss),
    };
    gdt[SEL_TSS_B / 8] = tss_descriptor(&tss_b, sizeof(tss_b) - 1);
}

static bool is_busy(uint16_t selector)
{
    return gdt[selector / 8] >> 41 & 1;
}

static uint16_t task_register(void)
{
    uint16_t tr;
    asm volatile("str %0" : "=r"(tr));
    return tr;
}

static void test_jump(void)
{
    reset_b();
    asm volatile("ljmp %0, $0" ::"i"(SEL_TSS_B) : "eax", "memory");
    check(b_runs == 1, "JMP to a TSS runs that task");
    check(b_eax == 0xb0b0b0b0, "with the registers of its TSS");
    check(!(b_flags & 0x4000), "without NT");
    check(task_register() == SEL_TSS && is_busy(SEL_TSS) && !is_busy(SEL_TSS_B), "JMP back leaves only this task busy");
    check(READ_CR(0) & 8, "a task switch sets CR0.TS");
    asm volatile("clts");
}

static void test_call(void)
{
    uint32_t before = b_runs;
    reset_b();
    asm volatile("lcall %0, $0" ::"i"(SEL_TSS_B) : "eax", "memory");
    check(b_runs == before + 1, "CALL to a TSS runs that task, IRET comes back");
    check(b_flags & 0x4000, "the called task has NT");
    check(b_link == SEL_TSS, "and a link to the caller");
    asm volatile("lcall %0, $0" ::"i"(SEL_TSS_B) : "eax", "memory");
    check(b_runs == before + 2, "it goes on where it left off");
}

static void test_gates(void)
{
    uint32_t before = b_runs;
    reset_b();
    gdt[SEL_TASK_GATE / 8] = (uint64_t)SEL_TSS_B << 16 | 0x85ull << 40;
    asm volatile("lcall %0, $0" ::"i"(SEL_TASK_GATE) : "eax", "memory");
    check(b_runs == before + 1, "CALL through a task gate");
    reset_b();
    idt_set_raw(0x60, (uint64_t)SEL_TSS_B << 16 | 0x85ull << 40, 0);
    asm volatile("int $0x60" ::: "eax", "memory");
    check(b_runs == before + 2, "INT through a task gate");
}

static void test_faults(void)
{
    check(FAULT("ljmp %0, $0", ::"i"(SEL_TSS) : "eax", "memory") == 13 && fault.error == SEL_TSS,
          "JMP to a busy TSS is #GP with its selector");
    gdt[SEL_TSS_B / 8] = tss_descriptor(&tss_b, 50);
    check(FAULT("ljmp %0, $0", ::"i"(SEL_TSS_B) : "eax", "memory") == 10 && fault.error == SEL_TSS_B,
          "a TSS too small is #TS with its selector");
    gdt[SEL_TSS_B / 8] = tss_descriptor(&tss_b, sizeof(tss_b) - 1) & ~(1ull << 47);
    check(FAULT("ljmp %0, $0", ::"i"(SEL_TSS_B) : "eax", "memory") == 11, "a TSS not present is #NP");
}

void guest_main(void)
{
    test_jump();
    test_call();
    test_gates();
    test_faults();
}
