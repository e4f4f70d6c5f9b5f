/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Accesses near one register, one sum of two, or one base of a segment, and those at constant addresses, which translated code
 * checks together (accel/dbt/jit-group.c): wherever a page ends between them, and with a page that cannot be accessed there, each does what it does alone.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/mman.h>

#include <cmocka.h>

#include "accel/dbt/jit.h"
#include "core/thread.h"
#include "dbt-rig.h"

#define PAGE 0x1000u
#define NEXT (RIG_DATA + PAGE)
#define PTE_PRESENT 1u
#define PTE_WRITABLE 2u
#define PTE_ACCESSED 0x20u
#define PTE_DIRTY 0x40u

static uint64_t *pte(Rig *rig, uint64_t linear)
{
    return (uint64_t *)rig_mem(rig, 0x1000) + linear / PAGE;
}

/* Runs at RIG_CODE with RBX and RBP as given; all fresh but for memory and the translations. */
static int run_times(Rig *rig, uint64_t rbx, uint64_t rbp)
{
    CpuState *s = rig_state(rig, 0);

    rig_mode(rig, 0, 64);
    s->cr0 |= CR0_WP;
    s->cr4 |= CR4_FSGSBASE;
    s->gpr[GPR_RBX] = rbx;
    s->gpr[GPR_RBP] = rbp;
    s->gpr[GPR_RAX] = 0x1122334455667788;
    s->gpr[GPR_RCX] = s->gpr[GPR_RDX] = s->gpr[GPR_R9] = 0;
    return rig_run(rig, 0);
}

static int run(Rig *rig, uint64_t rbx)
{
    return run_times(rig, rbx, 1);
}

/* How many accesses have been translated without a check of their own. */
static uint64_t shared(Rig *rig)
{
    const DbtVcpu *v = rig->machine->vcpus[0]->accel;

    return v->jit ? v->jit->stats.shared : 0;
}

static bool is_translated(Rig *rig)
{
    return ((const DbtVcpu *)rig->machine->vcpus[0]->accel)->jit;
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

/*
 * The same with an index. RBP times, so that its code gets hot; RAX is an index, too, while flags are needed.
 */
GUEST(elements, "mov %rax, %r8\n"
                "1: mov %r8, %rax\n xor %edx, %edx\n xor %esi, %esi\n mov $5, %edi\n"
                "mov %rax, (%rbx,%rdi,8)\n cmp $6, %edi\n adc (%rbx,%rdi,8), %rdx\n add $1, %rdi\n mov -8(%rbx,%rdi,8), %r9\n"
                "lea 2(%rdi), %rdi\n movb $7, (%rbx,%rdi,8)\n mov -16(%rbx,%rdi,8), %ecx\n sub $3, %rdi\n"
                "mov %r9, 16(%rbx,%rdi,8)\n mov %rdi, (%rbx,%rdi,2)\n mov (%rbx,%rdi,2), %r10\n"
                "mov $1, %eax\n cmp $2, %eax\n adc 68(%rbx,%rax,4), %rsi\n adc 60(%rbx,%rax,4), %rsi\n"
                "add $8, %rbx\n mov (%rbx,%rdi,8), %r11\n mov 8(%rbx,%rdi,8), %r12\n sub $8, %rbx\n"
                "dec %rbp\n jnz 1b\n");

static void elements_are_where_they_are_alone(void **state)
{
    Rig *rig = *state;
    const CpuState *s = rig_state(rig, 0);

    RIG_LOAD(rig, elements);
    for (uint64_t rbx = NEXT - 96; rbx < NEXT + 8; rbx++) {
        const uint64_t value = 0x1122334455667788;

        memset(rig_mem(rig, NEXT - 200), 0, 400);
        assert_int_equal(run_times(rig, rbx, rbx == NEXT - 96 ? 9000 : 1), -1);
        assert_true(s->gpr[GPR_RDX] == value + 1);
        assert_true(s->gpr[GPR_R9] == value);
        assert_int_equal(s->gpr[GPR_RCX], 0);
        assert_int_equal(s->gpr[GPR_RDI], 5);
        assert_int_equal(s->gpr[GPR_R10], 5);
        assert_int_equal(s->gpr[GPR_RSI], 8);
        assert_int_equal(s->gpr[GPR_R11], 0);
        assert_true(s->gpr[GPR_R12] == value);
        assert_int_equal(*(uint8_t *)rig_mem(rig, rbx + 64), 7);
    }
}

/*
 * Indices of 32 bits that count, RBP at first, in registers of the host and in the frame; the flags of a comparison are needed behind an
 * access at RAX. RBP may have an upper half, which the last access is made with.
 */
GUEST(counted, "mov %ebp, %eax\n mov %eax, %r10d\n add $1, %eax\n movb $1, (%rbx,%r10)\n mov %eax, %r10d\n inc %eax\n"
               "movb $2, (%rbx,%r10)\n movb $3, (%rbx,%rax)\n lea 1(%rax), %ecx\n movb $4, (%rbx,%rcx)\n lea -6(%rcx), %r11d\n"
               "movb $5, (%rbx,%r11)\n mov %rbx, %r9\n not %r9\n not %r9\n xor %edx, %edx\n lea 8(%rbp), %eax\n cmp $-1, %edx\n"
               "adc (%r9,%rax), %dl\n add $1, %eax\n mov (%r9,%rax), %cl\n dec %r11d\n movb $6, (%rbx,%r11)\n"
               "mov %rbp, %r11\n movzbl (%rbx,%r11), %r8d\n");
#define COUNTED_SHARED 6u /* of nine */

static void a_count_of_32_bits_goes_on_at_0(void **state)
{
    static const uint8_t expected[] = {6, 5, 0, 0, 1, 2, 3, 4}; /* from 4 bytes below the first element on */
    const uint64_t gib4 = 1ull << 32;
    Rig *rig = *state;
    const CpuState *s = rig_state(rig, 0);
    uint64_t *pdpt = rig_mem(rig, 0x3000);
    bool first = true;

    pdpt[4] = pdpt[8] = pdpt[0]; /* where the first elements are, and those of an index with an upper half */
    RIG_LOAD(rig, counted);
    for (uint64_t rbx = NEXT - 16; rbx < NEXT + 16; rbx++) {
        for (uint32_t index = (uint32_t)-12; index != 12; index++) {
            uint8_t *at = rig_mem(rig, rbx + (uint64_t)(int64_t)(int32_t)index);
            uint64_t upper = index % 3 == 0 ? gib4 : 0;

            memset(at - 16, 0, 32);
            at[8] = 7;
            at[9] = 9;
            assert_int_equal(run_times(rig, rbx, index | upper), -1);
            if (is_translated(rig) && first)
                assert_int_equal(shared(rig), COUNTED_SHARED);
            first = false;
            assert_memory_equal(at - 4, expected, sizeof(expected));
            assert_int_equal(s->gpr[GPR_RDX], 8);
            assert_int_equal(s->gpr[GPR_RCX] & 0xff, 9);
            assert_int_equal(s->gpr[GPR_R8], 1);
        }
    }
}

/* RDI and RAX are an index together, in 32 bits; RSI and R8 are two ways to the same element. */
GUEST(sums, "mov $5, %edx\n lea -24(%rbx,%rdx,4), %rsi\n movb $6, (%rsi)\n add $1, %rdx\n lea -24(%rbx,%rdx,4), %rsi\n movb $7, (%rsi)\n"
            "movzbl -4(%rbx), %r9d\n movzbl (%rbx), %r10d\n"
            "mov %ebp, %edi\n sub %eax, %edi\n lea (%rdi,%rax), %ecx\n movb $1, (%rbx,%rcx)\n add $1, %eax\n lea (%rax,%rdi), %ecx\n"
            "movb $2, (%rbx,%rcx)\n inc %edi\n mov %edi, %r11d\n add %eax, %r11d\n movb $3, (%rbx,%r11)\n"
            "lea -3(%rbx,%r11,1), %rsi\n movb $4, 6(%rsi)\n mov %rbx, %r8\n add %r11, %r8\n movb $5, 4(%r8)\n");
#define SUMS_SHARED 5u /* of nine */

static void sums_are_counted_as_well(void **state)
{
    static const uint8_t expected[] = {1, 2, 3};
    Rig *rig = *state;
    const CpuState *s = rig_state(rig, 0);
    uint64_t *pdpt = rig_mem(rig, 0x3000);
    bool first = true;

    pdpt[4] = pdpt[0];
    RIG_LOAD(rig, sums);
    for (uint64_t rbx = NEXT - 16; rbx < NEXT + 16; rbx++) {
        for (uint32_t index = (uint32_t)-12; index != 12; index++) {
            uint8_t *at = rig_mem(rig, rbx + (uint64_t)(int64_t)(int32_t)index);

            memset(at, 0, 8);
            assert_int_equal(run_times(rig, rbx, index), -1);
            if (is_translated(rig) && first)
                assert_int_equal(shared(rig), SUMS_SHARED);
            first = false;
            assert_memory_equal(at, expected, sizeof(expected));
            assert_int_equal(s->gpr[GPR_R9], 6);
            assert_int_equal(s->gpr[GPR_R10], 7);
            assert_int_equal(at[5], 4);
            assert_int_equal(at[6], 5);
        }
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

/* A frame with a pointer to it, and copies of that: all near one value. RCX counts what was as it should be. */
GUEST(frame, "mov %rsp, %rsi\n mov %rbx, %rsp\n xor %ecx, %ecx\n push %rax\n mov %rsp, %rbp\n sub $32, %rsp\n mov %rax, -8(%rbp)\n"
             "lea -24(%rbp), %rdx\n inc %rax\n mov %rax, (%rdx)\n add $16, %rdx\n mov %rdx, %r9\n cmp %rax, (%rdx)\n jae 1f\n inc %ecx\n"
             "1: mov -16(%r9), %r10\n cmp %rax, %r10\n jne 2f\n inc %ecx\n 2: xchg %rdx, %rbp\n cmp %rax, -16(%rbp)\n jne 3f\n inc %ecx\n"
             "3: xchg %rdx, %rbp\n dec %rax\n leave\n sub %rbp, %rax\n mov %rsp, %rdx\n mov %rsi, %rsp");

static void copies_of_a_pointer_are_near_what_it_points_to(void **state)
{
    Rig *rig = *state;
    const CpuState *s = rig_state(rig, 0);

    RIG_LOAD(rig, frame);
    for (uint64_t rsp = NEXT - 16; rsp < NEXT + 64; rsp++) {
        assert_int_equal(run(rig, rsp), -1);
        assert_int_equal(s->gpr[GPR_RCX], 3);
        assert_int_equal(s->gpr[GPR_RAX], 0);
        assert_true(s->gpr[GPR_RDX] == rsp);
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

GUEST(indexed_stores, "mov $2, %edi\n add $1, %ecx\n mov %rax, -16(%rbx,%rdi,8)\n"
                      "add $1, %ecx\n mov %rax, -8(%rbx,%rdi,8)\n add $1, %ecx\n mov (%rbx,%rdi,8), %rdx");
#define INDEXED_STORES_SECOND 16u
#define INDEXED_STORES_LOAD 24u

static void a_fault_is_that_of_the_element_it_belongs_to(void **state)
{
    Rig *rig = *state;
    const CpuState *s = rig_state(rig, 0);

    RIG_LOAD(rig, indexed_stores);
    for (unsigned round = 0; round < 3; round++) {
        memset(rig_mem(rig, NEXT - 64), 0, 64);
        *pte(rig, NEXT) &= ~(uint64_t)PTE_PRESENT;
        assert_int_equal(run(rig, NEXT - 16), 14);
        assert_true(rig_fault_rip(rig, 64, true) == RIG_CODE + INDEXED_STORES_LOAD);
        assert_true(s->cr2 == NEXT);
        assert_int_equal(s->gpr[GPR_RCX], 3);
        assert_int_equal(*(uint8_t *)rig_mem(rig, NEXT - 8), 0x88);
        assert_int_equal(run(rig, NEXT - 12), 14);
        assert_true(rig_fault_rip(rig, 64, true) == RIG_CODE + INDEXED_STORES_SECOND);
        assert_int_equal(s->gpr[GPR_RCX], 2);
        *pte(rig, NEXT) |= PTE_PRESENT;
        assert_int_equal(run(rig, NEXT - 16), -1);
        assert_int_equal(run(rig, NEXT), -1);
    }
}

/* The range of both would begin where no displacement from the first one's register leads; 4 GiB further there is memory, too. */
GUEST(far_below, "mov -0x80000000(%rbx), %ecx\n sub $256, %rbx\n mov -0x80000000(%rbx), %edx");
GUEST(far_below_indexed, "mov $32, %edi\n mov -0x80000000(%rbx,%rdi,8), %ecx\n sub $32, %rdi\n mov -0x80000000(%rbx,%rdi,8), %edx");

/* So it would for the second access, which is the first that is translated: the interpreter has CMPXCHG of AH. */
GUEST(far_above, "lea 0x7ffffff0(%rbx), %rsi\n cmpxchg %ah, -128(%rbx)\n mov -0x80000000(%rsi), %ecx\n mov -0x7ffffff8(%rsi), %edx");

/* No displacement leads from where the stack pointer was to the second one; 4 GiB below it the host has something else. */
GUEST(far_stack, "mov %rsp, %rsi\n lea -0x7ffffff8(%rbx), %rsp\n mov 0x7ffffff8(%rsp), %ecx\n add $16, %rsp\n mov 0x7ffffff0(%rsp), %edx\n"
                 "mov %rsi, %rsp\n xor %esi, %esi");

static void a_range_begins_where_a_displacement_leads(void **state)
{
    Rig *rig = *state;
    const CpuState *s = rig_state(rig, 0);
    uint64_t *pdpt = rig_mem(rig, 0x3000);
    uint8_t *host = rig_mem(rig, NEXT);
    void *below = mmap(host - (1ull << 32), PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);

    pdpt[4] = pdpt[0];
    *(uint32_t *)rig_mem(rig, NEXT + 256) = 17;
    *(uint32_t *)rig_mem(rig, NEXT) = 18;
    for (unsigned round = 0; round < 3; round++) {
        RIG_LOAD(rig, far_below);
        assert_int_equal(run(rig, NEXT + 256 + 0x80000000), -1);
        assert_int_equal(s->gpr[GPR_RCX], 17);
        assert_int_equal(s->gpr[GPR_RDX], 18);
        RIG_LOAD(rig, far_below_indexed);
        assert_int_equal(run(rig, NEXT + 0x80000000), -1);
        assert_int_equal(s->gpr[GPR_RCX], 17);
        assert_int_equal(s->gpr[GPR_RDX], 18);
        *(uint32_t *)rig_mem(rig, NEXT + 240) = 19;
        *(uint32_t *)rig_mem(rig, NEXT + 248) = 20;
        RIG_LOAD(rig, far_above);
        assert_int_equal(run(rig, NEXT + 256), -1);
        assert_int_equal(s->gpr[GPR_RCX], 19);
        assert_int_equal(s->gpr[GPR_RDX], 20);
        RIG_LOAD(rig, far_stack);
        assert_int_equal(run(rig, NEXT + 240), -1);
        assert_int_equal(s->gpr[GPR_RCX], 19);
        assert_int_equal(s->gpr[GPR_RDX], 20);
    }
    if (below != MAP_FAILED) /* nothing was there before */
        munmap(below, PAGE);
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

/* What a thread has: 16 to 64 bytes from its base, and below it. The flags of the comparison are needed behind the second access. */
GUEST(thread, "wrfsbase %rbx\n mov %rax, %fs:16\n cmp $0, %rax\n adc %fs:16, %rcx\n mov %fs:16, %r9\n mov %r9, %fs:24\n"
              "mov %ah, %fs:35\n mov %fs:24, %r10\n mov %r10, %fs:-48\n stc\n adc %fs:-48, %rdx\n mov %fs:32, %r11");
#define THREAD_SHARED 7u /* of nine */

static void a_thread_has_its_own_wherever_its_base_is(void **state)
{
    Rig *rig = *state;
    const CpuState *s = rig_state(rig, 0);
    const uint64_t value = 0x1122334455667788;

    RIG_LOAD(rig, thread);
    for (uint64_t base = NEXT - 96; base < NEXT + 72; base++) {
        memset(rig_mem(rig, NEXT - 200), 0, 400);
        assert_int_equal(run(rig, base), -1);
        if (is_translated(rig) && base == NEXT - 96)
            assert_int_equal(shared(rig), THREAD_SHARED);
        assert_true(s->gpr[GPR_RCX] == value && s->gpr[GPR_R9] == value && s->gpr[GPR_R10] == value);
        assert_true(s->gpr[GPR_RDX] == value + 1);
        assert_int_equal(s->gpr[GPR_R11], 0x77000000);
        assert_memory_equal(rig_mem(rig, base - 48), &value, 8);
        assert_memory_equal(rig_mem(rig, base + 24), &value, 8);
    }
}

/* RBX and RBP are bases; 0x10 is a segment whose base is 0. */
GUEST(switches, "wrfsbase %rbx\n mov %fs:8, %rcx\n wrfsbase %rbp\n mov %fs:8, %rdx\n mov %fs:8, %r8\n"
                "wrgsbase %rbx\n mov %gs:8, %rsi\n swapgs\n wrgsbase %rbp\n mov %gs:8, %rdi\n swapgs\n mov %gs:8, %r9\n"
                "mov $0x10, %eax\n mov %eax, %fs\n mov %fs:0x20008, %r10\n wrfsbase %rbx\n mov %fs:0x20008-0x20000, %r11\n"
                "push $0x10\n pop %fs\n mov %fs:0x20008, %r12\n mov %fs:0x20010, %r13");

static void a_new_base_is_another_place(void **state)
{
    Rig *rig = *state;
    const CpuState *s = rig_state(rig, 0);

    *(uint64_t *)rig_mem(rig, RIG_DATA + 8) = 1;
    *(uint64_t *)rig_mem(rig, RIG_DATA + 0x10) = 2;
    *(uint64_t *)rig_mem(rig, NEXT + 8) = 3;
    *(uint64_t *)rig_mem(rig, NEXT + 0x48) = 4;
    RIG_LOAD(rig, switches);
    for (unsigned round = 0; round < 3; round++) {
        assert_int_equal(run_times(rig, NEXT, NEXT + 0x40), -1);
        assert_int_equal(s->gpr[GPR_RCX], 3);
        assert_int_equal(s->gpr[GPR_RDX], 4);
        assert_int_equal(s->gpr[GPR_R8], 4);
        assert_int_equal(s->gpr[GPR_RSI], 3);
        assert_int_equal(s->gpr[GPR_RDI], 4);
        assert_int_equal(s->gpr[GPR_R9], 3);
        assert_int_equal(s->gpr[GPR_R10], 1);
        assert_int_equal(s->gpr[GPR_R11], 3);
        assert_int_equal(s->gpr[GPR_R12], 1);
        assert_int_equal(s->gpr[GPR_R13], 2);
    }
}

/* RBP times: the page a base is near, and the one that starts there, is another (R8, R9). The base is in the page before. */
GUEST(remapped, "mov $0x20ff0, %ebx\n wrfsbase %rbx\n mov 0x1108, %r8\n mov 0x1110, %r9\n xor %ecx, %ecx\n xor %edx, %edx\n"
                "1: imul $7, %rcx\n add %fs:0x80, %rcx\n imul $7, %rdx\n add 0x21070, %rdx\n addl $1, %fs:0x90\n addl $1, 0x210a0\n"
                "xchg %r8, %r9\n mov %r8, 0x1108\n invlpg 0x21000\n dec %rbp\n jnz 1b\n mov $8, %ecx\n");

static void what_has_no_register_goes_with_its_page(void **state)
{
    Rig *rig = *state;
    const CpuState *s = rig_state(rig, 0);
    uint64_t expected = 0;

    *(uint64_t *)rig_mem(rig, NEXT + 0x70) = 1;
    *(uint64_t *)rig_mem(rig, NEXT + PAGE + 0x70) = 2;
    RIG_LOAD(rig, remapped);
    assert_int_equal(run_times(rig, 0, 5000), -1);
    for (unsigned i = 0; i < 5000; i++)
        expected = 7 * expected + 1 + i % 2;
    assert_true(s->gpr[GPR_RDX] == expected);
    for (unsigned page = 0; page < 2; page++) {
        assert_int_equal(*(uint32_t *)rig_mem(rig, NEXT + page * PAGE + 0x80), 2500);
        assert_int_equal(*(uint32_t *)rig_mem(rig, NEXT + page * PAGE + 0xa0), 2500);
    }
}

/* Variables of a program: by addresses, and relative to RIP; the last crosses into the next page. */
GUEST(variables, "mov 0x20010, %rcx\n mov %rax, 0x20018\n mov 0x20018, %rdx\n mov 0x20ff8, %r8\n"
                 "mov variables+0x11000(%rip), %r9\n cmp $6, %ecx\n adc variables+0x11008(%rip), %r10\n incl variables+0x11010(%rip)\n"
                 "mov variables+0x11010(%rip), %r11d\n mov variables+0x10ffc(%rip), %r12\n mov %r12b, variables+0x11018(%rip)");
#define VARIABLES_SHARED 5u

static void variables_of_a_page_are_where_they_are_alone(void **state)
{
    Rig *rig = *state;
    CpuState *s = rig_state(rig, 0);

    *(uint64_t *)rig_mem(rig, RIG_DATA + 0x10) = 5;
    *(uint64_t *)rig_mem(rig, RIG_DATA + 0xff8) = 6ull << 32;
    *(uint64_t *)rig_mem(rig, NEXT) = 7;
    *(uint64_t *)rig_mem(rig, NEXT + 8) = 8;
    RIG_LOAD(rig, variables);
    for (unsigned round = 1; round < 4; round++) {
        s->gpr[GPR_R10] = 0;
        *(uint64_t *)rig_mem(rig, RIG_DATA + 0x18) = 0;
        assert_int_equal(run(rig, 0), -1);
        if (is_translated(rig))
            assert_int_equal(shared(rig), VARIABLES_SHARED);
        assert_int_equal(s->gpr[GPR_RCX], 5);
        assert_true(s->gpr[GPR_RDX] == s->gpr[GPR_RAX]);
        assert_true(s->gpr[GPR_R8] == 6ull << 32);
        assert_int_equal(s->gpr[GPR_R9], 7);
        assert_int_equal(s->gpr[GPR_R10], 9);
        assert_int_equal(s->gpr[GPR_R11], round);
        assert_true(s->gpr[GPR_R12] == (7ull << 32 | 6));
        assert_int_equal(*(uint8_t *)rig_mem(rig, NEXT + 0x18), 6);
    }
}

GUEST(variable_stores, "add $1, %ecx\n mov 0x21000, %rdx\n mov 0x21008, %rdx\n add $1, %ecx\n mov %rax, 0x21010\n add $1, %ecx\n mov %rax, 0x21018\n"
                       "mov 0x21010, %rsi");
#define VARIABLE_STORES_LOAD 3u
#define VARIABLE_STORES_STORE 22u

static void a_fault_is_that_of_the_variable_it_belongs_to(void **state)
{
    Rig *rig = *state;
    const CpuState *s = rig_state(rig, 0);

    RIG_LOAD(rig, variable_stores);
    for (unsigned round = 0; round < 3; round++) {
        *pte(rig, NEXT) &= ~(uint64_t)PTE_PRESENT;
        assert_int_equal(run(rig, 0), 14);
        assert_true(rig_fault_rip(rig, 64, true) == RIG_CODE + VARIABLE_STORES_LOAD);
        assert_true(s->cr2 == NEXT);
        *pte(rig, NEXT) |= PTE_PRESENT;
        *pte(rig, NEXT) &= ~(uint64_t)(PTE_WRITABLE | PTE_DIRTY);
        assert_int_equal(run(rig, 0), 14);
        assert_true(rig_fault_rip(rig, 64, true) == RIG_CODE + VARIABLE_STORES_STORE);
        assert_true(s->cr2 == NEXT + 0x10);
        assert_int_equal(s->gpr[GPR_RCX], 2);
        assert_false(*pte(rig, NEXT) & PTE_DIRTY);
        *pte(rig, NEXT) |= PTE_WRITABLE;
        assert_int_equal(run(rig, 0), -1);
        assert_true(s->gpr[GPR_RSI] == s->gpr[GPR_RAX]);
    }
}

#define PLACES 600u /* near a base; there are entries for fewer */

static void there_may_be_more_places_near_a_base_than_entries(void **state)
{
    static const uint8_t add_rax_fs[] = {0x64, 0x48, 0x03, 0x04, 0x25}, wrfsbase_rbx[] = {0xf3, 0x48, 0x0f, 0xae, 0xd3};
    g_autoptr(GByteArray) code = g_byte_array_new();
    Rig *rig = *state;
    const CpuState *s = rig_state(rig, 0);
    uint64_t sum = 0x1122334455667788;

    g_byte_array_append(code, wrfsbase_rbx, sizeof(wrfsbase_rbx));
    for (uint32_t i = 0; i < PLACES; i++) {
        uint32_t disp = i * JIT_BASE_BYTES;

        g_byte_array_append(code, add_rax_fs, sizeof(add_rax_fs));
        g_byte_array_append(code, (const uint8_t *)&disp, sizeof(disp));
        *(uint64_t *)rig_mem(rig, RIG_DATA + disp) = i * i;
        sum += i * i;
    }
    rig_code(rig, code->data, code->len);
    for (unsigned round = 0; round < 3; round++) {
        assert_int_equal(run(rig, RIG_DATA), -1);
        assert_true(s->gpr[GPR_RAX] == sum);
    }
}

/* What is pushed and popped, and at each place what RSP is: by registers, by memory, by flags, and where a division fails. */
GUEST(looks, "mov %rsp, %r12\n mov %rbx, %rsp\n xor %r9d, %r9d\n mov $3, %esi\n"
             "1: push %rax\n push %rsi\n push %rsp\n pop %r8\n sub %rsp, %r8\n push $5\n mov %rsp, %r10\n sub %rbx, %r10\n"
             "push %rbp\n sub $16, %rsp\n lea 24(%rsp), %r11\n sub %rbx, %r11\n mov %rsi, 8(%rsp)\n add 8(%rsp), %r9\n"
             "push %rcx\n lea -8(%rsp), %rsp\n cmp %rbx, %rsp\n setb %dl\n add $24, %rsp\n test %rbp, %rbp\n jz 2f\n"
             "push %rdx\n push %rdx\n div %rcx\n"
             "2: add $8, %rsp\n pop %rbp\n pop %rcx\n pop %r13\n pop %r14\n dec %esi\n jnz 1b\n"
             "mov %rsp, %r15\n mov %r12, %rsp");

static void whoever_looks_at_the_stack_pointer_finds_it(void **state)
{
    Rig *rig = *state;
    const CpuState *s = rig_state(rig, 0);

    RIG_LOAD(rig, looks);
    for (uint64_t rbx = NEXT - 16; rbx < NEXT + 96; rbx += 4) {
        assert_int_equal(run_times(rig, rbx, 0), -1);
        assert_int_equal(s->gpr[GPR_R8], 0);
        assert_true((int64_t)s->gpr[GPR_R10] == -24);
        assert_true((int64_t)s->gpr[GPR_R11] == -24);
        assert_int_equal(s->gpr[GPR_R9], 3 + 2 + 1);
        assert_int_equal(s->gpr[GPR_RDX], 1);
        assert_int_equal(s->gpr[GPR_RCX], 5);
        assert_int_equal(s->gpr[GPR_R13], 1);
        assert_true(s->gpr[GPR_R14] == 0x1122334455667788);
        assert_true(s->gpr[GPR_R15] == rbx);
    }
    for (uint64_t rbx = NEXT - 16; rbx < NEXT + 96; rbx += 4) {
        assert_int_equal(run_times(rig, rbx, 1), 0);
        /* The processor aligns it before it saves five words. */
        assert_true(s->gpr[GPR_RSP] == ((rbx - 56) & ~(uint64_t)15) - 40);
        assert_true(*(uint64_t *)rig_mem(rig, s->gpr[GPR_RSP] + 24) == rbx - 56);
    }
}

GUEST(thread_stores, "wrfsbase %rbx\n add $1, %ecx\n mov %fs:0, %rdx\n add $1, %ecx\n mov %rax, %fs:8\n add $1, %ecx\n mov %rax, %fs:16");
#define THREAD_STORES_STORE 20u

static void a_fault_near_a_base_is_that_of_its_access(void **state)
{
    Rig *rig = *state;
    const CpuState *s = rig_state(rig, 0);

    RIG_LOAD(rig, thread_stores);
    for (unsigned round = 0; round < 3; round++) {
        for (uint64_t base = NEXT - 8; base <= NEXT; base += 8) { /* across the page's end, too */
            *pte(rig, NEXT) &= ~(uint64_t)PTE_WRITABLE;
            assert_int_equal(run(rig, base), 14);
            assert_true(rig_fault_rip(rig, 64, true) == RIG_CODE + THREAD_STORES_STORE);
            assert_int_equal(s->gpr[GPR_RCX], 2);
            *pte(rig, NEXT) |= PTE_WRITABLE;
            assert_int_equal(run(rig, base), -1);
        }
    }
}

/* The base is in the page before that of the accesses. */
GUEST(thread_load_behind, "wrfsbase %rbx\n mov %fs:40, %rdx\n mov %fs:48, %rcx");
GUEST(thread_store_behind, "wrfsbase %rbx\n mov %rax, %fs:40\n mov %rax, %fs:48");

static void only_the_page_of_an_access_near_a_base_is_accessed(void **state)
{
    const uint64_t both = PTE_ACCESSED | PTE_DIRTY;
    Rig *rig = *state;

    for (unsigned store = 0; store < 2; store++) {
        if (store)
            RIG_LOAD(rig, thread_store_behind);
        else
            RIG_LOAD(rig, thread_load_behind);
        for (unsigned round = 0; round < 3; round++) {
            *pte(rig, RIG_DATA) &= ~both;
            *pte(rig, NEXT) &= ~both;
            assert_int_equal(run(rig, NEXT - 40), -1);
            assert_int_equal(*pte(rig, RIG_DATA) & both, 0);
            assert_int_equal(*pte(rig, NEXT) & both, store ? both : PTE_ACCESSED);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        RIG_CASE(fields_are_where_they_are_alone),
        RIG_CASE(elements_are_where_they_are_alone),
        RIG_CASE(a_count_of_32_bits_goes_on_at_0),
        RIG_CASE(sums_are_counted_as_well),
        RIG_CASE(the_stack_may_end_its_page_anywhere),
        RIG_CASE(copies_of_a_pointer_are_near_what_it_points_to),
        RIG_CASE(a_fault_is_that_of_the_access_it_belongs_to),
        RIG_CASE(a_fault_is_that_of_the_element_it_belongs_to),
        RIG_CASE(a_range_begins_where_a_displacement_leads),
        RIG_CASE(a_load_says_nothing_about_stores),
        RIG_CASE(only_a_store_that_happens_makes_a_page_dirty),
        RIG_CASE(a_load_before_a_store_needs_no_right_to_write),
        RIG_CASE(a_thread_has_its_own_wherever_its_base_is),
        RIG_CASE(a_new_base_is_another_place),
        RIG_CASE(what_has_no_register_goes_with_its_page),
        RIG_CASE(variables_of_a_page_are_where_they_are_alone),
        RIG_CASE(a_fault_is_that_of_the_variable_it_belongs_to),
        RIG_CASE(there_may_be_more_places_near_a_base_than_entries),
        RIG_CASE(whoever_looks_at_the_stack_pointer_finds_it),
        RIG_CASE(a_fault_near_a_base_is_that_of_its_access),
        RIG_CASE(only_the_page_of_an_access_near_a_base_is_accessed),
    };

    core_init();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
