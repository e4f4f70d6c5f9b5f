/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Accesses near one register, which translated code checks together (accel/dbt/jit-group.c): wherever a page ends
 * between them, and with a page that cannot be accessed there, each does what it does alone.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "core/thread.h"
#include "dbt-rig.h"

#define PAGE 0x1000u
#define NEXT (RIG_DATA + PAGE)
#define PTE_PRESENT 1u
#define PTE_WRITABLE 2u
#define PTE_DIRTY 0x40u

static uint64_t *pte(Rig *rig, uint64_t linear)
{
    return (uint64_t *)rig_mem(rig, 0x1000) + linear / PAGE;
}

/* Runs at RIG_CODE with RBX as given; all fresh but for memory and the translations. */
static int run(Rig *rig, uint64_t rbx)
{
    CpuState *s = rig_state(rig, 0);

    rig_mode(rig, 0, 64);
    s->cr0 |= CR0_WP;
    s->gpr[GPR_RBX] = rbx;
    s->gpr[GPR_RAX] = 0x1122334455667788;
    s->gpr[GPR_RCX] = s->gpr[GPR_RDX] = s->gpr[GPR_R9] = 0;
    return rig_run(rig, 0);
}

/* The flags of the comparison are needed behind two of the accesses. */
GUEST(fields, "mov %rax, 8(%rbx)\n mov $5, %ecx\n mov %ecx, 20(%rbx)\n lea 32(%rbx), %rbx\n cmp $6, %ecx\n"
              "adc 8-32(%rbx), %rdx\n movb $7, 3(%rbx)\n add $16, %rbx\n mov -40(%rbx), %r9\n mov %r9, 32(%rbx)\n"
              "xor %r9d, %r9d\n mov %rbx, %r9\n mov (%r9), %r10\n inc %r10\n mov %r10, 8(%r9)");

static void fields_are_where_they_are_alone(void **state)
{
    Rig *rig = *state;
    const CpuState *s = rig_state(rig, 0);

    RIG_LOAD(rig, fields);
    for (uint64_t rbx = NEXT - 96; rbx < NEXT + 8; rbx++) {
        uint8_t *at = rig_mem(rig, rbx);
        uint64_t value;

        memset(rig_mem(rig, NEXT - 200), 0, 400);
        assert_int_equal(run(rig, rbx), -1);
        assert_true(s->gpr[GPR_RDX] == 0x1122334455667789);
        assert_true(s->gpr[GPR_RBX] == rbx + 48);
        memcpy(&value, at + 8, 8);
        assert_true(value == 0x1122334455667788);
        memcpy(&value, at + 80, 8);
        assert_true(value == 0x1122334455667788);
        assert_int_equal(at[20], 5);
        assert_int_equal(at[35], 7);
        assert_int_equal(at[56], 1);
    }
}

GUEST(calls, "mov %rsp, %rbp\n mov %rbx, %rsp\n"
             "1: push %rax\n push %r9\n push $3\n sub $24, %rsp\n mov %rcx, 8(%rsp)\n call 2f\n jmp 3f\n"
             "2: push %rbx\n mov 24(%rsp), %rdx\n pop %r10\n ret\n"
             "3: add $24, %rsp\n pop %rdx\n pop %r9\n pop %r11\n mov %rsp, %rsi\n mov %rbp, %rsp");

static void the_stack_may_end_its_page_anywhere(void **state)
{
    Rig *rig = *state;
    const CpuState *s = rig_state(rig, 0);

    RIG_LOAD(rig, calls);
    for (uint64_t rsp = NEXT - 8; rsp < NEXT + 96; rsp++) {
        assert_int_equal(run(rig, rsp), -1);
        assert_true(s->gpr[GPR_RSI] == rsp);
        assert_int_equal(s->gpr[GPR_RDX], 3);
        assert_true(s->gpr[GPR_R10] == rsp);
        assert_true(s->gpr[GPR_R11] == 0x1122334455667788);
    }
}

GUEST(stores, "add $1, %ecx\n mov %rax, (%rbx)\n add $1, %ecx\n mov %rax, 8(%rbx)\n add $1, %ecx\n mov 16(%rbx), %rdx");
#define STORES_SECOND 9u  /* where the second store is */
#define STORES_LOAD 16u

static void a_fault_is_that_of_the_access_it_belongs_to(void **state)
{
    Rig *rig = *state;
    const CpuState *s = rig_state(rig, 0);

    RIG_LOAD(rig, stores);
    for (unsigned round = 0; round < 3; round++) { /* there is code for it, and then for the rest */
        memset(rig_mem(rig, NEXT - 64), 0, 64);
        *pte(rig, NEXT) &= ~(uint64_t)PTE_PRESENT;
        assert_int_equal(run(rig, NEXT - 16), 14);
        assert_true(rig_fault_rip(rig, 64, true) == RIG_CODE + STORES_LOAD);
        assert_true(s->cr2 == NEXT);
        assert_int_equal(s->gpr[GPR_RCX], 3);
        assert_int_equal(*(uint8_t *)rig_mem(rig, NEXT - 8), 0x88);
        assert_int_equal(run(rig, NEXT - 12), 14);
        assert_true(rig_fault_rip(rig, 64, true) == RIG_CODE + STORES_SECOND);
        assert_int_equal(s->gpr[GPR_RCX], 2);
        *pte(rig, NEXT) |= PTE_PRESENT;
        assert_int_equal(run(rig, NEXT - 16), -1);
        assert_int_equal(run(rig, NEXT), -1);
    }
}

GUEST(load_and_store, "mov (%rbx), %rcx\n mov 8(%rbx), %rdx\n mov %rax, 16(%rbx)");
#define LOAD_AND_STORE_STORE 7u

static void a_load_says_nothing_about_stores(void **state)
{
    Rig *rig = *state;

    RIG_LOAD(rig, load_and_store);
    for (unsigned round = 0; round < 3; round++) {
        *pte(rig, NEXT) &= ~(uint64_t)PTE_WRITABLE;
        assert_int_equal(run(rig, NEXT + 8), 14);
        assert_true(rig_fault_rip(rig, 64, true) == RIG_CODE + LOAD_AND_STORE_STORE);
        *pte(rig, NEXT) |= PTE_WRITABLE;
        assert_int_equal(run(rig, NEXT + 8), -1);
    }
}

/* The load's check is the store's, which a fault may keep from happening. */
GUEST(load_fault_store, "mov (%rbx), %rcx\n xor %edx, %edx\n xor %r8d, %r8d\n div %r8\n mov %rax, 8(%rbx)");
GUEST(load_then_store, "mov (%rbx), %rcx\n inc %rcx\n mov %rcx, 8(%rbx)");

static void only_a_store_that_happens_makes_a_page_dirty(void **state)
{
    Rig *rig = *state;

    RIG_LOAD(rig, load_fault_store);
    for (unsigned round = 0; round < 3; round++) {
        *pte(rig, NEXT) &= ~(uint64_t)PTE_DIRTY;
        assert_int_equal(run(rig, NEXT), 0);
        assert_false(*pte(rig, NEXT) & PTE_DIRTY);
    }
    RIG_LOAD(rig, load_then_store);
    for (unsigned round = 0; round < 3; round++) {
        *pte(rig, NEXT) &= ~(uint64_t)PTE_DIRTY;
        assert_int_equal(run(rig, NEXT), -1);
        assert_true(*pte(rig, NEXT) & PTE_DIRTY);
    }
}

/* Not all that is loaded from can be stored to. */
static void a_load_before_a_store_needs_no_right_to_write(void **state)
{
    Rig *rig = *state;
    const CpuState *s = rig_state(rig, 0);

    RIG_LOAD(rig, load_then_store);
    for (unsigned round = 0; round < 3; round++) {
        memset(rig_mem(rig, NEXT), 0, 16);
        *pte(rig, NEXT) &= ~(uint64_t)PTE_WRITABLE;
        assert_int_equal(run(rig, NEXT), 14);
        assert_true(s->cr2 == NEXT + 8);
        assert_int_equal(s->gpr[GPR_RCX], 1);
        *pte(rig, NEXT) |= PTE_WRITABLE;
        assert_int_equal(run(rig, NEXT), -1);
        assert_int_equal(*(uint8_t *)rig_mem(rig, NEXT + 8), 1);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        RIG_CASE(fields_are_where_they_are_alone),
        RIG_CASE(the_stack_may_end_its_page_anywhere),
        RIG_CASE(a_fault_is_that_of_the_access_it_belongs_to),
        RIG_CASE(a_load_says_nothing_about_stores),
        RIG_CASE(only_a_store_that_happens_makes_a_page_dirty),
        RIG_CASE(a_load_before_a_store_needs_no_right_to_write),
    };

    core_init();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
