/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The interpreter's loop and control flow (accel/dbt/exec.c, block.c, op-branch.c, op-stack.c) on
 * short guests in 16-, 32- and 64-bit modes.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "core/thread.h"
#include "dbt-rig.h"

GUEST(loop16, ".code16\n mov $1000, %cx\n xor %ax, %ax\n 1: inc %ax\n loop 1b");
GUEST(loop32, ".code32\n mov $1000, %ecx\n xor %eax, %eax\n 1: inc %eax\n dec %ecx\n jnz 1b");
GUEST(loop64, "mov $1000, %ecx\n xor %eax, %eax\n 1: inc %rax\n dec %rcx\n jnz 1b");

static void a_loop_counts_in_every_mode(void **state)
{
    Rig *rig = *state;

    assert_int_equal(RIG_RUN(rig, 16, loop16), -1);
    assert_int_equal(rig_state(rig, 0)->gpr[GPR_RAX], 1000);
    assert_int_equal(RIG_RUN(rig, 32, loop32), -1);
    assert_int_equal(rig_state(rig, 0)->gpr[GPR_RAX], 1000);
    assert_int_equal(RIG_RUN(rig, 64, loop64), -1);
    assert_int_equal(rig_state(rig, 0)->gpr[GPR_RAX], 1000);
}

GUEST(calls64, "call 1f\n mov $7, %ebx\n jmp 2f\n"
               "1: lea 3f(%rip), %rdx\n call *%rdx\n inc %eax\n ret\n"
               "3: add $10, %eax\n push $5\n pop %rcx\n ret $0\n"
               "2:");
GUEST(calls16, ".code16\n call 1f\n mov $7, %bx\n jmp 2f\n"
               "1: mov $(3f - calls16), %dx\n call *%dx\n inc %ax\n ret\n"
               "3: add $10, %ax\n push $5\n pop %cx\n ret $0\n"
               "2:");

static void calls_and_returns_nest(void **state)
{
    Rig *rig = *state;
    const CpuState *s = rig_state(rig, 0);

    assert_int_equal(RIG_RUN(rig, 64, calls64), -1);
    assert_int_equal(s->gpr[GPR_RAX], 11);
    assert_int_equal(s->gpr[GPR_RBX], 7);
    assert_int_equal(s->gpr[GPR_RCX], 5);
    assert_int_equal(s->gpr[GPR_RSP], RIG_STACK);
    assert_int_equal(RIG_RUN(rig, 16, calls16), -1);
    assert_int_equal(s->gpr[GPR_RAX], 11);
    assert_int_equal(s->gpr[GPR_RBX], 7);
    assert_int_equal(s->gpr[GPR_RSP], 0xff00);
}

GUEST(jcc_all, "xor %ebp, %ebp\n"
               "mov $1, %eax\n cmp $2, %eax\n" /* below, less, sign, not zero */
               "jae 9f\n jge 9f\n jz 9f\n jns 9f\n ja 9f\n jg 9f\n"
               "jb 1f\n jmp 9f\n 1: jl 2f\n jmp 9f\n 2: js 3f\n jmp 9f\n 3: jbe 4f\n jmp 9f\n"
               "4: jle 5f\n jmp 9f\n 5: jnz 6f\n jmp 9f\n"
               "6: mov $0x7fffffff, %eax\n add $1, %eax\n jno 9f\n jo 7f\n jmp 9f\n"
               "7: xor %eax, %eax\n jnp 9f\n jp 8f\n jmp 9f\n"
               "8: inc %ebp\n 9:");

static void conditions_follow_the_flags(void **state)
{
    Rig *rig = *state;

    assert_int_equal(RIG_RUN(rig, 64, jcc_all), -1);
    assert_int_equal(rig_state(rig, 0)->gpr[GPR_RBP], 1);
}

GUEST(jump_noncanonical, "mov $0x800000000000, %rax\n jmp *%rax");
GUEST(ret_noncanonical, "mov $0x800000000000, %rax\n push %rax\n ret");
GUEST(jump_outside, ".code32\n mov $0x20000, %eax\n jmp *%eax");

static void a_branch_outside_the_code_segment_faults_at_the_branch(void **state)
{
    Rig *rig = *state;

    assert_int_equal(RIG_RUN(rig, 64, jump_noncanonical), EXC_GP);
    assert_int_equal(rig_fault_rip(rig, 64, true), RIG_CODE + 10);
    assert_int_equal(RIG_RUN(rig, 64, ret_noncanonical), EXC_GP);
    assert_int_equal(rig_fault_rip(rig, 64, true), RIG_CODE + 11);

    RIG_LOAD(rig, jump_outside);
    rig_mode(rig, 0, 32);
    rig_state(rig, 0)->seg[SEG_CS].limit = 0x1ffff;
    assert_int_equal(rig_run(rig, 0), EXC_GP);
    assert_int_equal(rig_fault_rip(rig, 32, true), RIG_CODE + 5);
}

GUEST(off_the_end, ".code32\n .rept 6\n nop\n .endr\n mov $1, %eax");

static void running_off_the_end_of_the_segment_is_a_general_protection_fault(void **state)
{
    Rig *rig = *state;

    RIG_LOAD(rig, off_the_end);
    rig_mode(rig, 0, 32);
    rig_state(rig, 0)->seg[SEG_CS].limit = RIG_CODE + 7;
    assert_int_equal(rig_run(rig, 0), EXC_GP);
    /* The last instruction has two bytes inside. */
    assert_int_equal(rig_fault_rip(rig, 32, true), RIG_CODE + 6);
}

GUEST(flags_trap, "pushf\n orl $0x100, (%rsp)\n popf\n nop\n inc %eax\n inc %eax");

static void a_trap_flag_traps_after_the_next_instruction(void **state)
{
    Rig *rig = *state;

    assert_int_equal(RIG_RUN(rig, 64, flags_trap), EXC_DB);
    assert_int_equal(rig_fault_rip(rig, 64, false), RIG_CODE + 10); /* behind the nop */
    assert_true(rig_state(rig, 0)->dr[6] & BIT(14));
}

GUEST(count_to_four, "inc %eax\n inc %eax\n inc %eax\n inc %eax");

static void a_breakpoint_stops_before_its_instruction_and_rf_lets_it_pass(void **state)
{
    Rig *rig = *state;
    CpuState *s = rig_state(rig, 0);

    RIG_LOAD(rig, count_to_four);
    rig_mode(rig, 0, 64);
    s->dr[1] = RIG_CODE + 4;
    s->dr[7] = 0x408; /* G1, instruction */
    assert_int_equal(rig_run(rig, 0), EXC_DB);
    assert_int_equal(s->gpr[GPR_RAX], 2);
    assert_int_equal(rig_fault_rip(rig, 64, false), RIG_CODE + 4);
    assert_int_equal(s->dr[6] & 0xf, 2);

    RIG_LOAD(rig, count_to_four);
    rig_mode(rig, 0, 64);
    s->dr[1] = RIG_CODE;
    s->dr[7] = 0x408;
    s->rflags |= RFLAGS_RF;
    assert_int_equal(rig_run(rig, 0), -1);
    assert_int_equal(s->gpr[GPR_RAX], 4);
    assert_false(s->rflags & RFLAGS_RF);
}

/* An interrupt controller with one interrupt to give. */
typedef struct OneInterrupt {
    bool pending;
    unsigned polls;
} OneInterrupt;

static bool one_pending(void *opaque)
{
    OneInterrupt *one = opaque;

    one->polls++;
    return one->pending;
}

static int one_ack(void *opaque)
{
    ((OneInterrupt *)opaque)->pending = false;
    return 0x1e;
}

static const VcpuIntrOps one_ops = {.pending = one_pending, .ack = one_ack};

static void give_interrupt(Rig *rig, OneInterrupt *one, bool pending)
{
    rig->machine->vcpus[0]->intr = &one_ops;
    rig->machine->vcpus[0]->intr_opaque = one;
    one->pending = pending;
}

GUEST(sti_shadow, "inc %eax\n sti\n inc %eax\n inc %eax\n inc %eax");
GUEST(mov_popf, "inc %eax\n push $0x202\n popf\n inc %eax\n inc %eax");

static void sti_takes_an_interrupt_one_instruction_later(void **state)
{
    Rig *rig = *state;
    OneInterrupt one;

    give_interrupt(rig, &one, true);
    assert_int_equal(RIG_RUN(rig, 64, sti_shadow), 0x1e);
    assert_int_equal(rig_state(rig, 0)->gpr[GPR_RAX], 2);
    assert_int_equal(rig_fault_rip(rig, 64, false), RIG_CODE + 5);
    /* POPF has no shadow. */
    give_interrupt(rig, &one, true);
    assert_int_equal(RIG_RUN(rig, 64, mov_popf), 0x1e);
    assert_int_equal(rig_state(rig, 0)->gpr[GPR_RAX], 1);
    rig->machine->vcpus[0]->intr = NULL;
}

GUEST(halt, "inc %eax\n sti\n hlt\n inc %eax");

static void *wake_later(void *opaque)
{
    Rig *rig = opaque;
    Vcpu *vcpu = rig->machine->vcpus[0];

    /* The vCPU sleeps when it has found nothing pending after HLT. */
    while (__atomic_load_n((unsigned *)((char *)vcpu->intr_opaque + offsetof(OneInterrupt, polls)),
                           __ATOMIC_ACQUIRE) < 1)
        sched_yield();
    __atomic_store_n((bool *)vcpu->intr_opaque, true, __ATOMIC_RELEASE);
    vcpu_request(vcpu, VCPU_REQ_INTR);
    return NULL;
}

static void hlt_waits_for_an_interrupt(void **state)
{
    Rig *rig = *state;
    OneInterrupt one = {0};
    pthread_t thread;

    give_interrupt(rig, &one, false);
    assert_true(thread_create(&thread, "waker", wake_later, rig, NULL));
    assert_int_equal(RIG_RUN(rig, 64, halt), 0x1e);
    pthread_join(thread, NULL);
    assert_int_equal(rig_state(rig, 0)->gpr[GPR_RAX], 1);
    assert_int_equal(rig_fault_rip(rig, 64, false), RIG_CODE + 4); /* behind HLT */
    rig->machine->vcpus[0]->intr = NULL;
}

GUEST(counted_loops, "xor %eax, %eax\n mov $5, %ecx\n stc\n 1: lea 1(%rax), %eax\n loop 1b\n sbb %ebx, %ebx\n"
                     "xor %edx, %edx\n mov $10, %ecx\n 2: lea 1(%rdx), %edx\n cmp $4, %edx\n loopne 2b\n setz %r8b\n"
                     "mov %rcx, %r9\n xor %edi, %edi\n mov $3, %ecx\n 3: lea 1(%rdi), %edi\n loope 3b\n setz %r10b\n"
                     "xor %esi, %esi\n mov $0x100000002, %rcx\n stc\n 4: lea 1(%rsi), %esi\n addr32 loop 4b\n setc %r11b");

static void loop_instructions_count_and_keep_the_flags(void **state)
{
    Rig *rig = *state;
    const CpuState *s = rig_state(rig, 0);

    assert_int_equal(RIG_RUN(rig, 64, counted_loops), -1);
    assert_int_equal(s->gpr[GPR_RAX], 5);
    assert_int_equal(s->gpr[GPR_RBX], 0xffffffff); /* LOOP has kept CF */
    assert_int_equal(s->gpr[GPR_RDX], 4);          /* LOOPNE ends at ZF, with */
    assert_int_equal(s->gpr[GPR_R9], 6);           /* that left */
    assert_int_equal(s->gpr[GPR_R8] & 0xff, 1);
    assert_int_equal(s->gpr[GPR_RDI], 3); /* LOOPE at zero */
    assert_int_equal(s->gpr[GPR_R10] & 0xff, 1);
    assert_int_equal(s->gpr[GPR_RSI], 2); /* ECX alone counts */
    assert_int_equal(s->gpr[GPR_RCX], 0);
    assert_int_equal(s->gpr[GPR_R11] & 0xff, 1);
}

GUEST(selectors, "mov %cs, %eax\n mov %ss, %r10\n mov $-1, %rbx\n mov %ds, %ebx\n mov $-1, %rcx\n mov %es, %cx");

static void moves_from_segment_registers_give_the_selector(void **state)
{
    Rig *rig = *state;
    const CpuState *s = rig_state(rig, 0);

    assert_int_equal(RIG_RUN(rig, 64, selectors), -1);
    assert_int_equal(s->gpr[GPR_RAX], s->seg[SEG_CS].selector);
    assert_int_equal(s->gpr[GPR_R10], s->seg[SEG_SS].selector);
    assert_int_equal(s->gpr[GPR_RBX], s->seg[SEG_DS].selector);
    assert_int_equal(s->gpr[GPR_RCX], (uint64_t)-1 << 16 | s->seg[SEG_ES].selector);
}

/* Loops that count at 0x20000: a backward link to itself, from another unit, from another page, and indirect branches between pages. */
GUEST(endless_loop, "sti\n 1: incq 0x20000\n jmp 1b");
GUEST(endless_circle, "sti\n 1: incq 0x20000\n jmp 2f\n ud2\n 2: inc %ebx\n jmp 1b");
GUEST(endless_pages, "sti\n 1: incq 0x20000\n jmp 2f\n .skip 4096, 0x90\n 2: inc %ebx\n jmp 1b");
GUEST(endless_carry, "sti\n 1: incq 0x20000\n jmp 2f\n ud2\n 2: adc $0, %rbx\n jmp 1b");
GUEST(endless_calls, "sti\n mov $0x12000, %ebx\n movl $0xc3, (%rbx)\n 1: incq 0x20000\n call *%rbx\n jmp 1b");

#define ROUNDS_AFTER 1000

typedef struct Interrupter {
    Rig *rig;
    uint64_t rounds; /* when the request had been made */
} Interrupter;

/* What a kernel's switch from one process to another has; flags and the other registers stay. */
GUEST(switch64, "mov $-1, %r8\n mov $-1, %r10\n mov %ds, %r8w\n mov %ss, %r10w\n"
                "movw $-1, 0x20000\n movw $-1, 0x20002\n mov %ss, 0x20000\n"
                "mov %cr3, %rbx\n mov %cr0, %r11\n"
                "mov $0x123456789abc, %rax\n stc\n wrfsbase %rax\n wrgsbase %eax\n setc %cl\n"
                "mov %rax, %r9\n add $8, %r9\n cmp %r9, %rax\n wrfsbase %r9\n rdfsbase %rdx\n rdgsbase %r12\n rdfsbase %r13d\n"
                "sets %ch");
GUEST(bad_base, "mov $0x800000000000, %rax\n wrgsbase %rax");
GUEST(no_base, "mov %cr4, %rax\n and $~0x10000, %rax\n mov %rax, %cr4\n rdgsbase %rax");

static void bases_and_control_registers_are_read_and_written(void **state)
{
    Rig *rig = *state;
    CpuState *s = rig_state(rig, 0);

    for (unsigned i = 0; i < 3; i++) {
        rig_mode(rig, 0, 64);
        RIG_LOAD(rig, switch64);
        s->cr4 |= CR4_FSGSBASE;
        assert_int_equal(rig_run(rig, 0), -1);
        assert_true(s->gpr[GPR_R8] == 0xffffffffffff0010);
        assert_true(s->gpr[GPR_R10] == 0xffffffffffff0010);
        assert_int_equal(*(uint32_t *)rig_mem(rig, RIG_DATA), 0xffff0010);
        assert_true(s->gpr[GPR_RBX] == s->cr3);
        assert_true(s->gpr[GPR_R11] == s->cr0);
        assert_int_equal(s->gpr[GPR_RCX] & 0xffff, 0x101);
        assert_true(s->gpr[GPR_RDX] == 0x123456789ac4);
        assert_true(s->seg[SEG_FS].base == 0x123456789ac4);
        assert_true(s->seg[SEG_GS].base == 0x56789abc);
        assert_true(s->gpr[GPR_R12] == 0x56789abc);
        assert_true(s->gpr[GPR_R13] == 0x56789ac4);
    }
    rig_mode(rig, 0, 64);
    RIG_LOAD(rig, bad_base);
    s->cr4 |= CR4_FSGSBASE;
    assert_int_equal(rig_run(rig, 0), EXC_GP);
    rig_mode(rig, 0, 64);
    RIG_LOAD(rig, no_base);
    s->cr4 |= CR4_FSGSBASE;
    assert_int_equal(rig_run(rig, 0), EXC_UD);
}

/* The bit number reaches beyond the operand both ways; what BT does not change is what it was. */
GUEST(bits64, "mov $0x20100, %esi\n movq $0x10, -8(%rsi)\n movq $0x2, 8(%rsi)\n"
              "mov $-60, %rax\n xor %edx, %edx\n bt %rax, (%rsi)\n setz %dl\n setc %dh\n"
              "xor %ecx, %ecx\n mov $65, %ecx\n btr %rcx, (%rsi)\n setc %bl\n setz %bh\n"
              "mov $-64, %rax\n cmp %rax, %rax\n bts %rax, (%rsi)\n setz %al");

static void bit_tests_of_memory_keep_the_zero_flag(void **state)
{
    Rig *rig = *state;
    const CpuState *s = rig_state(rig, 0);

    assert_int_equal(RIG_RUN(rig, 64, bits64), -1);
    assert_int_equal(s->gpr[GPR_RDX], 0x101);
    assert_int_equal(s->gpr[GPR_RBX] & 0xffff, 0x101);
    assert_int_equal(s->gpr[GPR_RAX] & 0xff, 1);
    assert_int_equal(*(uint64_t *)rig_mem(rig, 0x200f8), 0x11);
    assert_int_equal(*(uint64_t *)rig_mem(rig, 0x20108), 0);
}

static void *interrupt_when_it_runs(void *opaque)
{
    Interrupter *in = opaque;
    Vcpu *vcpu = in->rig->machine->vcpus[0];
    const uint64_t *rounds = rig_mem(in->rig, RIG_DATA);

    while (__atomic_load_n(rounds, __ATOMIC_ACQUIRE) < 100)
        sched_yield();
    __atomic_store_n((bool *)vcpu->intr_opaque, true, __ATOMIC_RELEASE);
    vcpu_request(vcpu, VCPU_REQ_INTR);
    in->rounds = __atomic_load_n(rounds, __ATOMIC_ACQUIRE);
    return NULL;
}

/* Counted, not timed: what runs behind the request is what is under way, and stores that are not seen yet. */
static void a_loop_takes_an_interrupt_within_a_few_rounds(void **state)
{
    static const struct {
        const uint8_t *code, *end;
    } loops[] = {{endless_loop, endless_loop_end}, {endless_circle, endless_circle_end}, {endless_pages, endless_pages_end},
                 {endless_carry, endless_carry_end}, {endless_calls, endless_calls_end}};
    Rig *rig = *state;
    OneInterrupt one = {0};
    pthread_t thread;

    for (unsigned i = 0; i < 100; i++) {
        unsigned n = i % G_N_ELEMENTS(loops);
        Interrupter in = {rig, 0};
        uint64_t *rounds = rig_mem(rig, RIG_DATA);

        *rounds = 0;
        give_interrupt(rig, &one, false);
        assert_true(thread_create(&thread, "interrupter", interrupt_when_it_runs, &in, NULL));
        assert_int_equal(rig_run_code(rig, 64, loops[n].code, (size_t)(loops[n].end - loops[n].code)), 0x1e);
        pthread_join(thread, NULL);
        assert_in_range(*rounds, 100, in.rounds + ROUNDS_AFTER);
    }
    rig->machine->vcpus[0]->intr = NULL;
}

GUEST(enter_leave, "mov %rsp, %rbp\n movq $0x55, -8(%rbp)\n movq $0x66, -16(%rbp)\n"
                   "sub $64, %rsp\n enter $32, $3\n mov %rbp, %rax\n mov %rsp, %rbx\n mov -8(%rbp), %rcx\n"
                   "mov -16(%rbp), %rdx\n mov -24(%rbp), %rsi\n leave");

static void enter_copies_the_display(void **state)
{
    Rig *rig = *state;
    const CpuState *s = rig_state(rig, 0);

    assert_int_equal(RIG_RUN(rig, 64, enter_leave), -1);
    assert_int_equal(s->gpr[GPR_RAX], RIG_STACK - 72);
    assert_int_equal(s->gpr[GPR_RBX], RIG_STACK - 96 - 32);
    assert_int_equal(s->gpr[GPR_RCX], 0x55);
    assert_int_equal(s->gpr[GPR_RDX], 0x66);
    assert_int_equal(s->gpr[GPR_RSI], RIG_STACK - 72);
    assert_int_equal(s->gpr[GPR_RSP], RIG_STACK - 64);
    assert_int_equal(s->gpr[GPR_RBP], RIG_STACK);
}

GUEST(pusha32, ".code32\n mov $1, %eax\n mov $2, %ecx\n mov $3, %edx\n mov $4, %ebx\n mov $5, %ebp\n"
               "mov $6, %esi\n mov $7, %edi\n pusha\n xor %eax, %eax\n xor %edi, %edi\n xor %ebp, %ebp\n"
               "mov 12(%esp), %ecx\n popa\n");

static void popa_restores_all_but_the_stack_pointer(void **state)
{
    Rig *rig = *state;
    const CpuState *s = rig_state(rig, 0);

    assert_int_equal(RIG_RUN(rig, 32, pusha32), -1);
    assert_int_equal(s->gpr[GPR_RAX], 1);
    assert_int_equal(s->gpr[GPR_RCX], 2);
    assert_int_equal(s->gpr[GPR_RBP], 5);
    assert_int_equal(s->gpr[GPR_RDI], 7);
    assert_int_equal(s->gpr[GPR_RSP], RIG_STACK);
    assert_int_equal(*(uint32_t *)rig_mem(rig, RIG_STACK - 20), RIG_STACK); /* the pushed ESP */
}

#define LOWEST 4u
#define ROUNDS 300u

GUEST(to_lowest, "1: jmp *%rdx\n 2: dec %rcx\n jnz 1b");
GUEST(lowest, "nop\n nop\n nop\n inc %rax\n jmp *%rbx");

static void jumps_to_the_lowest_addresses_arrive(void **state)
{
    Rig *rig = *state;
    CpuState *s = rig_state(rig, 0);

    for (unsigned target = 0; target < LOWEST; target++) {
        RIG_LOAD(rig, to_lowest);
        memcpy(rig_mem(rig, 0), lowest, (size_t)(lowest_end - lowest));
        rig_mode(rig, 0, 64);
        s->gpr[GPR_RAX] = 0;
        s->gpr[GPR_RBX] = RIG_CODE + 2;
        s->gpr[GPR_RCX] = ROUNDS;
        s->gpr[GPR_RDX] = target;
        assert_int_equal(rig_run(rig, 0), -1);
        assert_int_equal(s->gpr[GPR_RAX], ROUNDS);
    }
}

GUEST(to_many, "mov %rbx, %rdx\n mov $0x400, %ecx\n 1: jmp *%rdx\n 2: add $0x2000, %rdx\n dec %ecx\n jnz 1b");
#define MANY_BACK 10u /* where 2 is */
#define MANY 0x400u
#define MANY_APART 0x2000u
#define MANY_FIRST 0x200000u

/* Their low bits are the same: a cache that goes by those finds the wrong ones. */
static void indirect_jumps_know_targets_apart(void **state)
{
    static const uint8_t back[] = {0x48, 0x01, 0xd0, 0xff, 0xe6}; /* add %rdx, %rax ; jmp *%rsi */
    Rig *rig = *state;
    CpuState *s = rig_state(rig, 0);
    uint64_t sum = 0;

    for (uint32_t target = MANY_FIRST; target < MANY_FIRST + MANY * MANY_APART; target += MANY_APART) {
        memcpy(rig_mem(rig, target), back, sizeof(back));
        sum += target;
    }
    for (unsigned round = 0; round < 8; round++) {
        RIG_LOAD(rig, to_many);
        rig_mode(rig, 0, 64);
        s->gpr[GPR_RAX] = 0;
        s->gpr[GPR_RBX] = MANY_FIRST;
        s->gpr[GPR_RSI] = RIG_CODE + MANY_BACK;
        assert_int_equal(rig_run(rig, 0), -1);
        assert_true(s->gpr[GPR_RAX] == sum);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        RIG_CASE(a_loop_counts_in_every_mode),
        RIG_CASE(calls_and_returns_nest),
        RIG_CASE(conditions_follow_the_flags),
        RIG_CASE(a_branch_outside_the_code_segment_faults_at_the_branch),
        RIG_CASE(running_off_the_end_of_the_segment_is_a_general_protection_fault),
        RIG_CASE(a_trap_flag_traps_after_the_next_instruction),
        RIG_CASE(a_breakpoint_stops_before_its_instruction_and_rf_lets_it_pass),
        RIG_CASE(sti_takes_an_interrupt_one_instruction_later),
        RIG_CASE(hlt_waits_for_an_interrupt),
        RIG_CASE(loop_instructions_count_and_keep_the_flags),
        RIG_CASE(moves_from_segment_registers_give_the_selector),
        RIG_CASE(bases_and_control_registers_are_read_and_written),
        RIG_CASE(bit_tests_of_memory_keep_the_zero_flag),
        RIG_CASE(a_loop_takes_an_interrupt_within_a_few_rounds),
        RIG_CASE(enter_copies_the_display),
        RIG_CASE(popa_restores_all_but_the_stack_pointer),
        RIG_CASE(jumps_to_the_lowest_addresses_arrive),
        RIG_CASE(indirect_jumps_know_targets_apart),
    };

    core_init();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
