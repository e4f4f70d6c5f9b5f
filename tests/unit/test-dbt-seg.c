/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Segmentation, gates, tasks and privilege levels on small guests: Intel SDM vol. 3, chapters 5, 6,
 * 8 and 20.
 *
 * Beside the rig's: a GDT with ring 3, TSSs and gates; handlers at HANDLER; user stack at RIG_STACK.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "accel/dbt/mmu.h"
#include "accel/dbt/seg.h"
#include "core/dma.h"
#include "core/thread.h"
#include "dbt-rig.h"

#define HANDLER 0x11000u
#define INNER_STACK 0x60000u
#define TSS_A 0x8000u
#define TSS_B 0x8100u
#define VM86 0x9000u

enum {
    SEL_UCS = 0x40, SEL_UDS = 0x48, SEL_TSS_A = 0x50, SEL_TSS_B = 0x58, SEL_GATE = 0x60, SEL_TASK = 0x68,
    SEL_DOWN = 0x70, SEL_EXEC = 0x78, SEL_RO = 0x80, SEL_ABSENT = 0x88, SEL_SMALL = 0x90, SEL_UCS64 = 0x98,
    SEL_GATE64 = 0xa0, SEL_TSS64 = 0xb0, SEL_CONF = 0xc0,
};

static uint64_t descriptor(uint32_t base, uint32_t limit, uint32_t type, uint32_t flags)
{
    return (limit & 0xffff) | (uint64_t)(base & 0xffffff) << 16 | (uint64_t)type << 40 |
           (uint64_t)(limit >> 16 & 0xf) << 48 | (uint64_t)flags << 52 | (uint64_t)(base >> 24) << 56;
}

static uint64_t gate(uint16_t selector, uint32_t offset, uint32_t type, uint32_t params)
{
    return (offset & 0xffff) | (uint64_t)selector << 16 | (uint64_t)params << 32 | (uint64_t)type << 40 |
           (uint64_t)(offset >> 16) << 48;
}

static uint64_t *gdt(Rig *rig, unsigned selector)
{
    return rig_mem(rig, 0x5000 + (selector & ~7u));
}

static uint64_t *idt(Rig *rig, unsigned vector)
{
    return rig_mem(rig, 0x5800 + 8 * vector);
}

static uint32_t *tss(Rig *rig, uint32_t base, unsigned offset)
{
    return rig_mem(rig, base + offset);
}

static int setup(void **state)
{
    Rig *rig = rig_new(1);

    *gdt(rig, SEL_UCS) = descriptor(0, 0xfffff, 0xfb, 0xc);
    *gdt(rig, SEL_UDS) = descriptor(0, 0xfffff, 0xf3, 0xc);
    *gdt(rig, SEL_TSS_A) = descriptor(TSS_A, 0x67, 0x89, 0);
    *gdt(rig, SEL_TSS_B) = descriptor(TSS_B, 0x67, 0x89, 0);
    *gdt(rig, SEL_GATE) = gate(RIG_CS32, HANDLER, 0xec, 2);
    *gdt(rig, SEL_TASK) = gate(SEL_TSS_B, 0, 0xe5, 0);
    *gdt(rig, SEL_DOWN) = descriptor(0x20000, 0xfff, 0x97, 0x4);
    *gdt(rig, SEL_EXEC) = descriptor(0, 0xfffff, 0x99, 0xc);
    *gdt(rig, SEL_RO) = descriptor(0, 0xfffff, 0x91, 0xc);
    *gdt(rig, SEL_ABSENT) = descriptor(0, 0xfffff, 0x13, 0xc);
    *gdt(rig, SEL_SMALL) = descriptor(0x20000, 0xff, 0x93, 0x4);
    *gdt(rig, SEL_UCS64) = descriptor(0, 0xfffff, 0xfb, 0xa);
    *gdt(rig, SEL_GATE64) = gate(RIG_CS64, HANDLER, 0xec, 0);
    *gdt(rig, SEL_TSS64) = descriptor(TSS_A, 0x67, 0x89, 0);
    *gdt(rig, SEL_CONF) = descriptor(0, 0xfffff, 0x9f, 0xc);
    *tss(rig, TSS_A, 4) = INNER_STACK;
    *tss(rig, TSS_A, 8) = RIG_DS;
    store_le(rig_mem(rig, TSS_A + 0x66), 0x68, 2); /* no I/O bitmap */
    *state = rig;
    return 0;
}

static int teardown(void **state)
{
    rig_free(*state);
    return 0;
}

static void handler(Rig *rig, const uint8_t *code, const uint8_t *end)
{
    dma_write(&rig->machine->memory, HANDLER, code, (size_t)(end - code));
}
#define HANDLER_LOAD(rig, name) handler(rig, name, name##_end)

/* Loads TR as LTR would, and drops to ring 3 with IOPL 3 so that the guest can end itself. */
static void enter_ring3(Rig *rig, unsigned bits)
{
    CpuState *s = rig_state(rig, 0);

    rig_mode(rig, 0, bits);
    s->seg[SEG_CS].selector = (bits == 64 ? SEL_UCS64 : SEL_UCS) | 3;
    s->seg[SEG_CS].attr |= SEG_ATTR_DPL;
    for (unsigned i = 0; i < SEG_COUNT; i++) {
        if (i == SEG_CS)
            continue;
        s->seg[i].selector = SEL_UDS | 3;
        s->seg[i].attr |= SEG_ATTR_DPL;
    }
    s->rflags |= RFLAGS_IOPL;
    s->tr = (SegmentReg){ bits == 64 ? SEL_TSS64 : SEL_TSS_A, 0x8b, 0x67, TSS_A };
    if (bits == 64)
        store_le(rig_mem(rig, TSS_A + 4), INNER_STACK, 8);
}

static uint32_t peek(Rig *rig, uint64_t addr)
{
    return *(uint32_t *)rig_mem(rig, addr);
}

GUEST(call_gate, ".code32\n push $0x2222\n push $0x1111\n lcall $0x60, $0\n mov %cs, %ecx");
GUEST(on_gate, ".code32\n mov 8(%esp), %eax\n mov 12(%esp), %ebx\n mov %cs, %edx\n mov %ss, %esi\n"
               " mov %esp, %edi\n lret $8");

static void a_call_gate_switches_stacks_and_copies_parameters(void **state)
{
    Rig *rig = *state;
    const CpuState *s = rig_state(rig, 0);

    HANDLER_LOAD(rig, on_gate);
    RIG_LOAD(rig, call_gate);
    enter_ring3(rig, 32);
    assert_int_equal(rig_run(rig, 0), -1);
    assert_int_equal(s->gpr[GPR_RAX], 0x1111);
    assert_int_equal(s->gpr[GPR_RBX], 0x2222);
    assert_int_equal(s->gpr[GPR_RDX], RIG_CS32);
    assert_int_equal(s->gpr[GPR_RSI], RIG_DS);
    assert_int_equal(s->gpr[GPR_RDI], INNER_STACK - 24);
    assert_int_equal(s->gpr[GPR_RCX], SEL_UCS | 3);
    assert_int_equal(s->gpr[GPR_RSP], RIG_STACK);
    assert_int_equal(peek(rig, INNER_STACK - 4), SEL_UDS | 3);
    assert_int_equal(peek(rig, INNER_STACK - 8), RIG_STACK - 8);
    assert_int_equal(s->seg[SEG_DS].selector, SEL_UDS | 3);
}

GUEST(call_gate64, "lcall *1f(%rip)\n mov %cs, %ecx\n jmp 2f\n 1: .long 0\n .word 0xa0\n 2: nop");
GUEST(on_gate64, "mov %cs, %eax\n mov %ss, %ebx\n mov 8(%rsp), %rdx\n mov 24(%rsp), %rsi\n rex.W lret");

static void a_64_bit_call_gate_has_a_null_stack_segment(void **state)
{
    Rig *rig = *state;
    const CpuState *s = rig_state(rig, 0);

    HANDLER_LOAD(rig, on_gate64);
    RIG_LOAD(rig, call_gate64);
    enter_ring3(rig, 64);
    assert_int_equal(rig_run(rig, 0), -1);
    assert_int_equal(s->gpr[GPR_RAX], RIG_CS64);
    assert_int_equal(s->gpr[GPR_RBX], 0);
    assert_int_equal(s->gpr[GPR_RDX], SEL_UCS64 | 3);
    assert_int_equal(s->gpr[GPR_RSI], SEL_UDS | 3);
    assert_int_equal(s->gpr[GPR_RCX], SEL_UCS64 | 3);
}

GUEST(call_user_code, ".code32\n lcall $0x18, $0x11000");

static void ring_3_cannot_call_ring_0_directly(void **state)
{
    Rig *rig = *state;

    RIG_LOAD(rig, call_user_code);
    enter_ring3(rig, 32);
    assert_int_equal(rig_run(rig, 0), EXC_GP);
    assert_int_equal(peek(rig, rig_state(rig, 0)->gpr[GPR_RSP]), RIG_CS32);
}

GUEST(interrupt, ".code32\n int $0x30\n mov %cs, %ebx");
GUEST(on_interrupt, ".code32\n mov %cs, %eax\n pushf\n pop %edx\n mov %esp, %edi\n iret");

static void an_interrupt_from_ring_3_and_back(void **state)
{
    Rig *rig = *state;
    const CpuState *s = rig_state(rig, 0);

    HANDLER_LOAD(rig, on_interrupt);
    *idt(rig, 0x30) = 0;
    RIG_LOAD(rig, interrupt);
    enter_ring3(rig, 32);
    *idt(rig, 0x30) = gate(RIG_CS32, HANDLER, 0xee, 0);
    rig_state(rig, 0)->rflags |= RFLAGS_IF;
    assert_int_equal(rig_run(rig, 0), -1);
    assert_int_equal(s->gpr[GPR_RAX], RIG_CS32);
    assert_int_equal(s->gpr[GPR_RDX] & RFLAGS_IF, 0);
    assert_int_equal(s->gpr[GPR_RDI], INNER_STACK - 20);
    assert_int_equal(s->gpr[GPR_RBX], SEL_UCS | 3);
    assert_int_equal(s->gpr[GPR_RSP], RIG_STACK);
    assert_true(s->rflags & RFLAGS_IF);
}

static void int_n_needs_the_gate_s_privilege(void **state)
{
    Rig *rig = *state;

    RIG_LOAD(rig, interrupt);
    enter_ring3(rig, 32);
    *idt(rig, 0x30) = gate(RIG_CS32, HANDLER, 0x8e, 0);
    assert_int_equal(rig_run(rig, 0), EXC_GP);
    assert_int_equal(peek(rig, rig_state(rig, 0)->gpr[GPR_RSP]), 0x30 * 8 + 2);
    assert_int_equal(rig_fault_rip(rig, 32, true), RIG_CODE);
}

GUEST(long_interrupt, "mov $0x1122, %eax\n ud2");

static void long_mode_uses_the_interrupt_stack_table(void **state)
{
    Rig *rig = *state;
    const CpuState *s = rig_state(rig, 0);

    RIG_LOAD(rig, long_interrupt);
    enter_ring3(rig, 64);
    store_le(rig_mem(rig, TSS_A + 36 + 8), 0x50008, 8); /* IST2, misaligned */
    *(uint64_t *)rig_mem(rig, 0x5800 + 16 * EXC_UD) |= 2ull << 32;
    assert_int_equal(rig_run(rig, 0), EXC_UD);
    assert_int_equal(s->gpr[GPR_RSP], 0x50000 - 40);
    assert_int_equal(peek(rig, 0x50000 - 8), SEL_UDS | 3);
    assert_true(*(uint64_t *)rig_mem(rig, 0x50000 - 16) == RIG_STACK);
    assert_int_equal(s->seg[SEG_SS].selector, 0);
}

static DbtVcpu *direct(Rig *rig, unsigned bits)
{
    DbtVcpu *v = rig->machine->vcpus[0]->accel;

    current_vcpu = v->cpu;
    rig_mode(rig, 0, bits);
    dbt_guest_enter(v);
    dbt_state_loaded(v);
    return v;
}

static void direct_end(DbtVcpu *v)
{
    dbt_guest_leave(v);
    current_vcpu = NULL;
}

static void expect_fault(const DbtVcpu *v, bool ok, uint8_t vector, uint32_t error)
{
    assert_false(ok);
    assert_int_equal(v->fault.vector, vector);
    assert_int_equal(v->fault.error, error);
}

static void limits_and_types_of_data_segments(void **state)
{
    DbtVcpu *v = direct(*state, 32);
    uint64_t value;

    assert_true(dbt_seg_load(v, SEG_ES, SEL_SMALL));
    assert_true(dbt_load(v, SEG_ES, 0xfc, 4, &value));
    expect_fault(v, dbt_load(v, SEG_ES, 0xfd, 4, &value), EXC_GP, 0);
    expect_fault(v, dbt_load(v, SEG_ES, 0xffffffff, 2, &value), EXC_GP, 0);
    assert_true(dbt_seg_load(v, SEG_ES, SEL_DOWN));
    expect_fault(v, dbt_load(v, SEG_ES, 0xfff, 1, &value), EXC_GP, 0);
    assert_true(dbt_load(v, SEG_ES, 0x1000, 1, &value));
    expect_fault(v, dbt_load(v, SEG_ES, 0xfffffffe, 4, &value), EXC_GP, 0);
    assert_true(dbt_seg_load(v, SEG_ES, SEL_RO));
    assert_true(dbt_load(v, SEG_ES, 0x20000, 4, &value));
    expect_fault(v, dbt_store(v, SEG_ES, 0x20000, 4, 0), EXC_GP, 0);
    expect_fault(v, dbt_store(v, SEG_CS, 0x20000, 4, 0), EXC_GP, 0);
    assert_true(dbt_seg_load(v, SEG_SS, SEL_SMALL));
    expect_fault(v, dbt_load(v, SEG_SS, 0x100, 1, &value), EXC_SS, 0);
    direct_end(v);
}

static void what_may_be_loaded_into_segment_registers(void **state)
{
    Rig *rig = *state;
    DbtVcpu *v = direct(rig, 32);

    expect_fault(v, dbt_seg_load(v, SEG_ES, SEL_EXEC), EXC_GP, SEL_EXEC);
    expect_fault(v, dbt_seg_load(v, SEG_ES, SEL_ABSENT), EXC_NP, SEL_ABSENT);
    expect_fault(v, dbt_seg_load(v, SEG_SS, SEL_ABSENT), EXC_SS, SEL_ABSENT);
    expect_fault(v, dbt_seg_load(v, SEG_SS, SEL_RO), EXC_GP, SEL_RO);
    expect_fault(v, dbt_seg_load(v, SEG_SS, 0), EXC_GP, 0);
    expect_fault(v, dbt_seg_load(v, SEG_ES, 0x800), EXC_GP, 0x800); /* beyond the limit */
    expect_fault(v, dbt_seg_load(v, SEG_ES, 0x14), EXC_GP, 0x14);   /* no LDT */
    expect_fault(v, dbt_seg_load(v, SEG_DS, SEL_TSS_A), EXC_GP, SEL_TSS_A);
    expect_fault(v, dbt_seg_load(v, SEG_DS, RIG_DS | 3), EXC_GP, RIG_DS);
    assert_true(dbt_seg_load(v, SEG_DS, SEL_CONF | 3)); /* conforming and readable: any RPL */
    assert_true(dbt_seg_load(v, SEG_DS, 3));
    expect_fault(v, dbt_load(v, SEG_DS, 0, 1, &(uint64_t){ 0 }), EXC_GP, 0);
    /* The accessed bit is set in memory. */
    *gdt(rig, SEL_RO) = descriptor(0, 0xfffff, 0x90, 0xc);
    assert_true(dbt_seg_load(v, SEG_ES, SEL_RO));
    assert_true(*gdt(rig, SEL_RO) == descriptor(0, 0xfffff, 0x91, 0xc));
    direct_end(v);
}

GUEST(queries, ".code32\n mov $0x90, %eax\n lsl %eax, %ebx\n lar %eax, %ecx\n verw %ax\n setz %dl\n"
               " mov $0x80, %eax\n verw %ax\n setz %dh\n mov $0x78, %eax\n verr %ax\n setz %al\n"
               " mov $0x800, %esi\n xor %edi, %edi\n lsl %esi, %edi\n setz %ah");

static void lar_lsl_verr_verw_ask_without_faulting(void **state)
{
    Rig *rig = *state;
    const CpuState *s = rig_state(rig, 0);

    assert_int_equal(RIG_RUN(rig, 32, queries), -1);
    assert_int_equal(s->gpr[GPR_RBX], 0xff);
    assert_int_equal(s->gpr[GPR_RCX], 0x409300);
    assert_int_equal(s->gpr[GPR_RDX] & 0xffff, 0x0001);
    assert_int_equal(s->gpr[GPR_RAX] & 0xffff, 0x0000);
}

GUEST(task_jump, ".code32\n mov $0x50, %eax\n ltr %ax\n mov $0x77, %ebx\n ljmp $0x58, $0\n mov $1, %ecx");
GUEST(in_task, ".code32\n mov %cr0, %edx\n str %esi\n ljmp $0x50, $0");

static void task_b(Rig *rig, uint32_t eip)
{
    static const unsigned segments[] = { 0x48, 0x50, 0x54, 0x58, 0x5c };

    *tss(rig, TSS_B, 0x20) = eip;
    *tss(rig, TSS_B, 0x24) = RFLAGS_1;
    *tss(rig, TSS_B, 0x38) = 0x58000; /* ESP */
    *tss(rig, TSS_B, 0x34) = 0xbbbb;  /* EBX */
    *tss(rig, TSS_B, 0x4c) = RIG_CS32;
    for (unsigned i = 0; i < G_N_ELEMENTS(segments); i++)
        *tss(rig, TSS_B, segments[i]) = RIG_DS;
}

static void a_jump_to_a_tss_switches_tasks(void **state)
{
    Rig *rig = *state;
    const CpuState *s = rig_state(rig, 0);

    task_b(rig, HANDLER);
    HANDLER_LOAD(rig, in_task);
    assert_int_equal(RIG_RUN(rig, 32, task_jump), -1);
    assert_int_equal(s->gpr[GPR_RBX], 0x77); /* back in A */
    assert_int_equal(s->gpr[GPR_RCX], 1);
    assert_int_equal(s->tr.selector, SEL_TSS_A);
    assert_true(s->cr0 & CR0_TS);
    assert_int_equal(*tss(rig, TSS_B, 0x34), 0xbbbb); /* B's registers as it left */
    assert_int_equal(*tss(rig, TSS_B, 0x40), SEL_TSS_B);
    assert_true(*tss(rig, TSS_B, 0x30) & CR0_TS);
    assert_int_equal(*gdt(rig, SEL_TSS_A) >> 40 & 0xf, DESC_TSS32_BUSY);
    assert_int_equal(*gdt(rig, SEL_TSS_B) >> 40 & 0xf, DESC_TSS32);
}

GUEST(task_call, ".code32\n mov $0x50, %eax\n ltr %ax\n lcall $0x68, $0\n mov $1, %ecx");
GUEST(in_called_task, ".code32\n pushf\n pop %eax\n iret");

static void a_call_through_a_task_gate_nests_and_iret_returns(void **state)
{
    Rig *rig = *state;
    const CpuState *s = rig_state(rig, 0);

    task_b(rig, HANDLER);
    HANDLER_LOAD(rig, in_called_task);
    assert_int_equal(RIG_RUN(rig, 32, task_call), -1);
    assert_int_equal(s->gpr[GPR_RCX], 1);
    assert_int_equal(s->tr.selector, SEL_TSS_A);
    assert_false(s->rflags & RFLAGS_NT);
    assert_true(*tss(rig, TSS_B, 0x28) & RFLAGS_NT);      /* EAX: the flags in B */
    assert_false(*tss(rig, TSS_B, 0x24) & RFLAGS_NT);     /* saved by IRET */
    assert_int_equal(*tss(rig, TSS_B, 0) & 0xffff, SEL_TSS_A);
    assert_int_equal(*gdt(rig, SEL_TSS_B) >> 40 & 0xf, DESC_TSS32);
}

static void a_bad_segment_faults_in_the_new_task(void **state)
{
    Rig *rig = *state;

    task_b(rig, HANDLER);
    *tss(rig, TSS_B, 0x54) = SEL_ABSENT; /* DS */
    HANDLER_LOAD(rig, in_task);
    assert_int_equal(RIG_RUN(rig, 32, task_jump), EXC_NP);
    assert_int_equal(rig_state(rig, 0)->tr.selector, SEL_TSS_B);
    assert_int_equal(rig_fault_rip(rig, 32, true), HANDLER);
}

GUEST(to_v86, ".code32\n mov $0x50, %eax\n ltr %ax\n push $0x4444\n push $0x3333\n push $0x2222\n push $0x1111\n"
              " push $0x8000\n push $0x100\n push $0x23002\n push $0x900\n push $0\n iret");
GUEST(in_v86, ".code16\n mov %ds, %bx\n mov %es, %cx\n int $0x30");
GUEST(from_v86, ".code32\n mov %ss, %esi\n mov %ds, %edi\n out %al, $0xf4\n hlt");

static void virtual_8086_mode_and_back_by_an_interrupt(void **state)
{
    Rig *rig = *state;
    const CpuState *s = rig_state(rig, 0);
    uint32_t stack = INNER_STACK;

    dma_write(&rig->machine->memory, VM86, in_v86, (size_t)(in_v86_end - in_v86));
    HANDLER_LOAD(rig, from_v86);
    RIG_LOAD(rig, to_v86);
    rig_mode(rig, 0, 32);
    *idt(rig, 0x30) = gate(RIG_CS32, HANDLER, 0xee, 0);
    assert_int_equal(rig_run(rig, 0), -1);
    assert_int_equal(s->gpr[GPR_RBX] & 0xffff, 0x2222);
    assert_int_equal(s->gpr[GPR_RCX] & 0xffff, 0x1111);
    assert_int_equal(s->gpr[GPR_RDI], 0); /* data segments are null in the handler */
    assert_int_equal(s->gpr[GPR_RSI], RIG_DS);
    assert_int_equal(s->gpr[GPR_RSP], stack - 36);
    assert_int_equal(peek(rig, stack - 4), 0x4444);
    assert_int_equal(peek(rig, stack - 16), 0x1111);
    assert_int_equal(peek(rig, stack - 20), 0x8000);
    assert_int_equal(peek(rig, stack - 32), 0x900);
    assert_true(peek(rig, stack - 28) & RFLAGS_VM);
}

GUEST(to_v86_iopl0, ".code32\n mov $0x50, %eax\n ltr %ax\n push $0\n push $0\n push $0\n push $0\n"
                    " push $0x8000\n push $0x100\n push $0x20002\n push $0x900\n push $0\n iret");

static void int_n_in_virtual_8086_mode_needs_iopl_3(void **state)
{
    Rig *rig = *state;

    dma_write(&rig->machine->memory, VM86, in_v86, (size_t)(in_v86_end - in_v86));
    assert_int_equal(RIG_RUN(rig, 32, to_v86_iopl0), EXC_GP);
    assert_int_equal(peek(rig, INNER_STACK - 40), 0); /* error code */
    assert_int_equal(peek(rig, INNER_STACK - 36), 4); /* at INT */
}

GUEST(mode_switch, ".code16\n lgdtl %cs:(1f - mode_switch)\n mov %cr0, %eax\n or $1, %al\n mov %eax, %cr0\n"
                   " ljmpl $0x18, $(0x10000 + 2f - mode_switch)\n 1: .word 0x7ff\n .long 0x5000\n"
                   " .code32\n 2: mov $0x10, %eax\n mov %eax, %ds\n movl $0x1234, 0x120000\n"
                   " ljmpl $0x20, $(0x10000 + 3f - mode_switch)\n .code16\n 3: mov %cr0, %eax\n"
                   " and $0xfe, %al\n mov %eax, %cr0\n ljmp $0x1000, $(4f - mode_switch)\n"
                   " 4: mov %cs, %bx\n addr32 mov 0x120000, %ecx");

/* SDM vol. 3, 9.9; the data segment keeps its limit ("unreal mode"). */
static void from_real_mode_to_protected_mode_and_back(void **state)
{
    Rig *rig = *state;
    const CpuState *s = rig_state(rig, 0);

    *gdt(rig, RIG_CS16) = descriptor(0, 0xfffff, 0x9b, 0x8);
    assert_int_equal(RIG_RUN(rig, 16, mode_switch), -1);
    assert_int_equal(s->gpr[GPR_RBX] & 0xffff, 0x1000);
    assert_int_equal(s->gpr[GPR_RCX], 0x1234);
    assert_false(s->cr0 & CR0_PE);
}

GUEST(do_syscall, "mov $0x3202, %r11d\n lea 1f(%rip), %rcx\n rex.W sysret\n"
               " 1: mov %cs, %eax\n mov %ss, %ebx\n syscall\n 2: mov %cs, %esi");
GUEST(on_syscall, "mov %cs, %edx\n mov %rcx, %r8\n mov %r11, %r9\n rex.W sysret");

static void syscall_and_sysret_use_the_selectors_of_star(void **state)
{
    Rig *rig = *state;
    CpuState *s = rig_state(rig, 0);

    HANDLER_LOAD(rig, on_syscall);
    RIG_LOAD(rig, do_syscall);
    rig_mode(rig, 0, 64);
    s->msr.star = 0x0008ull << 32 | 0x0088ull << 48; /* user CS 0x98, SS 0x90 */
    s->msr.lstar = HANDLER;
    s->msr.sfmask = RFLAGS_IF;
    assert_int_equal(rig_run(rig, 0), -1);
    assert_int_equal(s->gpr[GPR_RAX], 0x9b);
    assert_int_equal(s->gpr[GPR_RBX], 0x93);
    assert_int_equal(s->gpr[GPR_RDX], 0x08);
    assert_int_equal(s->gpr[GPR_RSI], 0x9b);
    assert_int_equal(s->gpr[GPR_R9], 0x3202);
}

static void a_fault_in_a_fault_s_delivery_is_a_double_fault(void **state)
{
    Rig *rig = *state;
    DbtVcpu *v = direct(rig, 32);
    CpuState *s = v->state;

    *idt(rig, EXC_GP) &= ~BIT(47); /* not present: contributory upon contributory */
    dbt_fault_error(v, EXC_GP, 0);
    dbt_deliver_fault(v);
    assert_int_equal(s->rip, 0x6000 + 4 * EXC_DF);
    assert_int_equal(peek(rig, s->gpr[GPR_RSP]), 0);
    /* A benign first exception is followed, not doubled. */
    s->rip = RIG_CODE;
    *idt(rig, EXC_UD) &= ~BIT(47);
    dbt_fault(v, EXC_UD);
    dbt_deliver_fault(v);
    assert_int_equal(s->rip, 0x6000 + 4 * EXC_NP);
    assert_int_equal(peek(rig, s->gpr[GPR_RSP]), EXC_UD * 8 + 2 + 1);
    direct_end(v);
}

static void a_triple_fault_shuts_down_and_asks_for_a_reset(void **state)
{
    Rig *rig = *state;
    DbtVcpu *v = direct(rig, 32);

    v->state->idtr.limit = 0;
    assert_false(rig->machine->requests.reset);
    dbt_fault_error(v, EXC_GP, 0);
    dbt_deliver_fault(v);
    assert_true(rig->machine->requests.reset);
    assert_int_equal(rig->machine->requests.reset_cause, SHUTDOWN_CAUSE_TRIPLE_FAULT);
    assert_int_equal(v->state->mp_state, MP_HALTED);
    direct_end(v);
}

GUEST(data_break, ".code32\n movl $1, 0x20004\n nop\n movl $1, 0x20000\n nop");

static void a_data_breakpoint_traps_after_the_access(void **state)
{
    Rig *rig = *state;
    CpuState *s = rig_state(rig, 0);

    RIG_LOAD(rig, data_break);
    rig_mode(rig, 0, 32);
    s->dr[0] = 0x20000;
    s->dr[7] = 0x400 | 1 | 1 << 16 | 3 << 18; /* L0, writes, 4 bytes */
    assert_int_equal(rig_run(rig, 0), EXC_DB);
    assert_int_equal(rig_fault_rip(rig, 32, false), RIG_CODE + 21);
    assert_int_equal(s->dr[6] & 0xf, 1);
}

GUEST(port_break, ".code32\n in $0xf6, %al\n nop");
GUEST(touch_dr, ".code32\n mov %dr0, %eax");

static void ports_can_break_too_and_general_detection_guards_dr(void **state)
{
    Rig *rig = *state;
    CpuState *s = rig_state(rig, 0);

    RIG_LOAD(rig, port_break);
    rig_mode(rig, 0, 32);
    s->cr4 |= CR4_DE;
    s->dr[1] = RIG_PORT_DATA;
    s->dr[7] = 0x400 | 4 | 2 << 20;
    assert_int_equal(rig_run(rig, 0), EXC_DB);
    assert_int_equal(s->dr[6] & 0xf, 2);
    RIG_LOAD(rig, touch_dr);
    rig_mode(rig, 0, 32);
    s->dr[7] = 0x2400;
    assert_int_equal(rig_run(rig, 0), EXC_DB);
    assert_true(s->dr[6] & 1u << 13);
    assert_false(s->dr[7] & 0x2000);
    assert_int_equal(rig_fault_rip(rig, 32, false), RIG_CODE);
}

static void a_segment_a_return_makes_null_keeps_its_base(void **state)
{
    DbtVcpu *v = direct(*state, 64);
    CpuState *s = v->state;

    s->seg[SEG_GS].base = 0x123456;
    s->seg[SEG_FS].selector = SEL_UDS | 3;
    s->seg[SEG_FS].attr |= SEG_ATTR_DPL;
    dbt_seg_drop_inner(v, 3);
    assert_int_equal(s->seg[SEG_GS].selector, 0);
    assert_true(s->seg[SEG_GS].attr & SEG_ATTR_UNUSABLE);
    assert_int_equal(s->seg[SEG_GS].base, 0x123456);
    assert_int_equal(s->seg[SEG_FS].selector, SEL_UDS | 3);
    direct_end(v);
}

GUEST(sysret_traced, "mov $0x3302, %r11d\n lea 1f(%rip), %rcx\n rex.W sysret\n 1: nop");

static void sysret_with_tf_traps_before_the_next_instruction(void **state)
{
    Rig *rig = *state;

    RIG_LOAD(rig, sysret_traced);
    enter_ring3(rig, 64);
    for (unsigned i = 0; i < SEG_COUNT; i++)
        rig_state(rig, 0)->seg[i].attr &= ~(uint32_t)SEG_ATTR_DPL;
    rig_state(rig, 0)->msr.star = 0x0088ull << 48;
    assert_int_equal(rig_run(rig, 0), EXC_DB);
    assert_int_equal(rig_fault_rip(rig, 64, false), RIG_CODE + 16);
    assert_true(rig_state(rig, 0)->dr[6] & 1u << 14);
}

GUEST(int_traced, ".code32\n pushf\n orl $0x100, (%esp)\n popf\n int $0x30\n nop\n nop");
GUEST(on_int, ".code32\n iret");

/* SDM vol. 3, 17.3.1.4: INT n clears TF after it has been run; IRET brings it back. */
static void a_software_interrupt_loses_its_single_step_trap(void **state)
{
    Rig *rig = *state;

    HANDLER_LOAD(rig, on_int);
    RIG_LOAD(rig, int_traced);
    rig_mode(rig, 0, 32);
    *idt(rig, 0x30) = gate(RIG_CS32, HANDLER, 0x8e, 0);
    assert_int_equal(rig_run(rig, 0), EXC_DB);
    assert_int_equal(rig_fault_rip(rig, 32, false), RIG_CODE + 12); /* after the first NOP */
}

GUEST(in_port, ".code32\n in $0xf6, %al");

static void ports_in_ring_3_ask_iopl_and_then_the_bitmap(void **state)
{
    Rig *rig = *state;
    CpuState *s = rig_state(rig, 0);

    RIG_LOAD(rig, in_port);
    enter_ring3(rig, 32);
    s->rflags &= ~(uint64_t)RFLAGS_IOPL;
    assert_int_equal(rig_run(rig, 0), EXC_GP);
    assert_int_equal(rig->port_accesses, 0);
    enter_ring3(rig, 32);
    s->rflags &= ~(uint64_t)RFLAGS_IOPL;
    s->tr.limit = 0x68 + 0x20;
    memset(rig_mem(rig, TSS_A + 0x68), 0, 0x20);
    *(uint8_t *)rig_mem(rig, TSS_A + 0x68 + (RIG_PORT_EXIT >> 3)) = 0;
    assert_int_equal(rig_run(rig, 0), -1);
    assert_int_equal(rig->port_accesses, 1);
    enter_ring3(rig, 32);
    s->rflags &= ~(uint64_t)RFLAGS_IOPL;
    s->tr.limit = 0x68 + 0x20;
    *(uint8_t *)rig_mem(rig, TSS_A + 0x68 + (RIG_PORT_DATA >> 3)) = 1u << (RIG_PORT_DATA & 7);
    assert_int_equal(rig_run(rig, 0), EXC_GP);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(a_call_gate_switches_stacks_and_copies_parameters),
        CASE(a_64_bit_call_gate_has_a_null_stack_segment),
        CASE(ring_3_cannot_call_ring_0_directly),
        CASE(an_interrupt_from_ring_3_and_back),
        CASE(int_n_needs_the_gate_s_privilege),
        CASE(long_mode_uses_the_interrupt_stack_table),
        CASE(limits_and_types_of_data_segments),
        CASE(what_may_be_loaded_into_segment_registers),
        CASE(lar_lsl_verr_verw_ask_without_faulting),
        CASE(a_jump_to_a_tss_switches_tasks),
        CASE(a_call_through_a_task_gate_nests_and_iret_returns),
        CASE(a_bad_segment_faults_in_the_new_task),
        CASE(virtual_8086_mode_and_back_by_an_interrupt),
        CASE(int_n_in_virtual_8086_mode_needs_iopl_3),
        CASE(from_real_mode_to_protected_mode_and_back),
        CASE(syscall_and_sysret_use_the_selectors_of_star),
        CASE(a_fault_in_a_fault_s_delivery_is_a_double_fault),
        CASE(a_triple_fault_shuts_down_and_asks_for_a_reset),
        CASE(a_data_breakpoint_traps_after_the_access),
        CASE(ports_can_break_too_and_general_detection_guards_dr),
        CASE(a_segment_a_return_makes_null_keeps_its_base),
        CASE(sysret_with_tf_traps_before_the_next_instruction),
        CASE(a_software_interrupt_loses_its_single_step_trap),
        CASE(ports_in_ring_3_ask_iopl_and_then_the_bitmap),
    };

    core_init();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
