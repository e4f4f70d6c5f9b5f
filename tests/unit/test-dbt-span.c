/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Code that goes from page to page, whose site entries hold spans (accel/dbt/jit-span.c), of pages brought together by windows
 * where they are not (window.c): whatever happens to one page in the middle, nothing goes to where it was.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "accel/dbt/jit.h"
#include "accel/dbt/mmu-priv.h"
#include "core/lock.h"
#include "core/thread.h"
#include "dbt-rig.h"

#define PAGE 0x1000u
#define PAGES 16u
#define MIDDLE 5u
#define FAR 0x80000u
#define FAR_PAGES 256u
#define SPARE 0x100000u /* where memory lies that nothing goes to at first */
#define PTE_BITS 3u     /* present, writable */
#define PORT_MAP 0xe8u
#define SPACES 0x700000u /* page tables of two more address spaces: as many pages for each */
#define SPACE_SIZE 0x10000u
#define KEEP (1ull << 63) /* CR3 writes: the translations of this PCID stay */

/* Adds the first word of each page, at RIG_DATA mostly, 400 times; EAX is the last sum. */
#define WALK WALK_FROM("0x20000")
#define WALK_FROM(first)                                                                                               \
    "mov $" first ", %ebx\n mov $400, %ebp\n"                                                                          \
    "1: xor %esi, %esi\n xor %eax, %eax\n"                                                                             \
    "2: add (%rbx,%rsi), %eax\n add $4096, %esi\n cmp $0x10000, %esi\n jne 2b\n"                                       \
    "dec %ebp\n jnz 1b\n"
/* Stores EDI at 0x101 of each, as often. */
#define STORE                                                                                                          \
    "mov $0x20000, %ebx\n mov $400, %ebp\n"                                                                            \
    "1: xor %esi, %esi\n"                                                                                              \
    "2: mov %edi, 0x101(%rbx,%rsi)\n add $4096, %esi\n cmp $0x10000, %esi\n jne 2b\n"                                  \
    "dec %ebp\n jnz 1b\n"
/* The same 20 times for an array of 8 pages, of which none but the first `end` bytes are asked for; two elements in each round. */
#define ARRAY(end)                                                                                                     \
    "mov $0x20000, %ebx\n mov $20, %ebp\n"                                                                            \
    "1: xor %esi, %esi\n xor %eax, %eax\n"                                                                             \
    "2: mov %esi, %ecx\n and $0x1fff, %ecx\n add (%rbx,%rcx,4), %eax\n"                                               \
    "lea 0x400(%rsi), %ecx\n and $0x1fff, %ecx\n add (%rbx,%rcx,4), %eax\n"                                           \
    "add $0x800, %esi\n cmp $" end " / 4, %esi\n jne 2b\n dec %ebp\n jnz 1b\n"
/* Stores EDI at 0x101 of each of its pages. */
#define STORE_ARRAY                                                                                                    \
    "mov $0x20000, %ebx\n mov $20, %ebp\n"                                                                            \
    "1: xor %esi, %esi\n"                                                                                              \
    "2: mov %esi, %ecx\n and $0x7000, %ecx\n mov %edi, 0x101(%rbx,%rcx)\n"                                            \
    "lea 0x1000(%rsi), %ecx\n and $0x7000, %ecx\n mov %edi, 0x101(%rbx,%rcx)\n"                                       \
    "add $0x2000, %esi\n cmp $0x8000, %esi\n jne 2b\n dec %ebp\n jnz 1b\n"
/* The page at R10 gets the entry R8 at R9. */
#define REMAP "mov %r8, (%r9)\n invlpg (%r10)\n"

/* Called at 8b. */
#define FUNCTION(text) "jmp 9f\n 8:" text "ret\n 9:\n"

GUEST(walk, WALK);
/* The same for FAR_PAGES pages at FAR, 97 pages further each time. */
GUEST(leap, "mov $0x80000, %ebx\n mov $100, %ebp\n"
            "1: xor %esi, %esi\n xor %eax, %eax\n"
            "2: add (%rbx,%rsi), %eax\n add $0x61000, %esi\n and $0xfffff, %esi\n jnz 2b\n"
            "dec %ebp\n jnz 1b\n");
/* The walk in each of 16 stretches of a GiB, 40 times, and all of that 8 times. */
GUEST(far_apart, "mov $8, %r12d\n"
                 "1: mov $0x20000, %ebx\n mov $16, %r13d\n"
                 "2: mov $40, %ebp\n"
                 "3: xor %esi, %esi\n xor %eax, %eax\n"
                 "4: add (%rbx,%rsi), %eax\n add $4096, %esi\n cmp $0x10000, %esi\n jne 4b\n"
                 "dec %ebp\n jnz 3b\n add %rax, %r14\n add $0x40000000, %rbx\n dec %r13d\n jnz 2b\n"
                 "dec %r12d\n jnz 1b\n");
GUEST(straddle, "mov $0x20000, %ebx\n mov $400, %ebp\n"
                "1: xor %esi, %esi\n xor %eax, %eax\n"
                "2: add 4092(%rbx,%rsi), %rax\n add $4096, %esi\n cmp $0xf000, %esi\n jne 2b\n"
                "dec %ebp\n jnz 1b\n");
/* Another page each round, 540 times, and then 10000 times none. The NOPs keep the loop from being made longer. */
GUEST(linger, "mov $10540, %ebp\n xor %ecx, %ecx\n"
              "1: mov %ebp, %ebx\n shl $12, %ebx\n and $4096, %ebx\n cmp $10000, %ebp\n cmovbe %ecx, %ebx\n"
              "mov 0x20000(%rbx), %eax\n .fill 24, 1, 0x90\n dec %ebp\n jnz 1b\n");
GUEST(remap, WALK "mov %eax, %r12d\n" REMAP WALK);
GUEST(array, ARRAY("0x8000"));
GUEST(array_begin, ARRAY("0x6000"));
GUEST(array_remap, FUNCTION(ARRAY("0x8000")) "call 8b\n mov %eax, %r12d\n" REMAP "call 8b\n");
GUEST(array_rewrite, FUNCTION(STORE_ARRAY) "mov $1, %edi\n call 8b\n call *%r11\n mov %eax, %r12d\n"
                     "mov $2, %edi\n call 8b\n call *%r11\n mov %eax, %r13d\n"
                     "mov $3, %edi\n call 8b\n call *%r11\n");
/* CMPXCHG leaves RAX alone where its lower half is what was compared: 0x30 is above. */
GUEST(array_unlimited, "mov $40, %ebp\n mov $0x20ff0, %ebx\n"
                       "1: mov $0x3000000005, %rax\n mov $5, %ecx\n cmpxchg %edx, %ecx\n shr $32, %rax\n"
                       "mov (%rbx,%rax,4), %esi\n add (%rbx,%rax,4), %esi\n dec %ebp\n jnz 1b\n");
/* The same elements by a base that changes, by one that is a copy, and by the first again. */
GUEST(array_rebased, "mov $40, %ebp\n mov $0x20010, %ebx\n xor %r12d, %r12d\n"
                     "1: movzbl %bpl, %esi\n mov 8(%rbx,%rsi,4), %eax\n add $0x40000000, %rbx\n add 8-0x40000000(%rbx,%rsi,4), %eax\n"
                     "lea -0x1000(%rbx), %rdx\n add 8-0x3ffff000(%rdx,%rsi,4), %eax\n sub $0x40000000, %rbx\n"
                     "add 8(%rbx,%rsi,4), %eax\n add %rax, %r12\n dec %ebp\n jnz 1b\n");
/* What string instructions compare lies in another page behind them than before. */
GUEST(comparisons, "mov $40, %ebp\n xor %r12d, %r12d\n"
                   "1: mov $0x20ff8, %edi\n mov (%rdi), %eax\n mov $0xff, %al\n mov $0x2008, %ecx\n repne scasb\n add (%rdi), %r12d\n"
                   "mov $0x20ff8, %esi\n mov %esi, %edi\n mov (%rsi), %eax\n mov (%rdi), %edx\n mov $0x1008, %ecx\n repe cmpsb\n"
                   "add (%rsi), %r12d\n add (%rdi), %r12d\n"
                   "mov $0x23ffc, %edi\n mov (%rdi), %eax\n scasl\n add (%rdi), %r12d\n"
                   "mov $0x23ff8, %esi\n mov $0x24ff8, %edi\n mov (%rsi), %eax\n mov (%rdi), %edx\n cmpsq\n"
                   "add (%rsi), %r12d\n add (%rdi), %r12d\n dec %ebp\n jnz 1b\n");
/* The same where entries that are empty have their tags, R15, behind a flush of the TLB. */
#define WHERE_NOTHING_IS(instructions)                                                                                 \
    FUNCTION("mov $64, %ecx\n" instructions) "mov $40, %ebp\n"                                                         \
    "1: mov $0x20000, %edi\n mov $0x20800, %esi\n call 8b\n dec %ebp\n jnz 1b\n mov %cr3, %rcx\n mov %rcx, %cr3\n"        \
    "mov %r15, %rdi\n mov %r15, %rsi\n call 8b\n"
GUEST(store_nowhere, WHERE_NOTHING_IS("rep stosb\n"));
GUEST(copy_nowhere, WHERE_NOTHING_IS("rep movsb\n"));
GUEST(high_byte_nowhere, WHERE_NOTHING_IS("mov %ah, (%rdi)\n"));
GUEST(flags_nowhere, WHERE_NOTHING_IS("mov %rsp, %rbx\n lea 64(%rdi), %rsp\n pushfq\n mov %rbx, %rsp\n"));
GUEST(remap_large, FUNCTION(WALK_FROM("0x410000")) "call 8b\n mov %eax, %r12d\n" REMAP "call 8b\n");
GUEST(protect, "mov $7, %edi\n" STORE REMAP STORE);
GUEST(rewrite, "mov $1, %edi\n" STORE "call *%r11\n mov %eax, %r12d\n"
               "mov $2, %edi\n" STORE "call *%r11\n mov %eax, %r13d\n"
               "mov $3, %edi\n" STORE "call *%r11\n");
/* 0x5123 bytes from the third byte of the first page to the fifth of page 8, and back to where they were, 300 times. */
GUEST(copy, "mov $300, %ebp\n"
            "1: mov $0x20003, %esi\n mov $0x28005, %edi\n mov $0x5123, %ecx\n stc\n rep movsb\n adc %rcx, %r15\n"
            "mov $0x28005, %esi\n mov $0x20003, %edi\n mov $0x1448, %ecx\n rep movsl\n"
            "dec %ebp\n jnz 1b\n");
/* Each byte becomes the one before it, which has become its own predecessor. */
GUEST(overlap, WALK "mov $40, %ebp\n"
               "1: mov $0x20000, %esi\n lea 1(%rsi), %edi\n mov $0x7ffe, %ecx\n rep movsb\n dec %ebp\n jnz 1b\n");
/* The code in the middle becomes RETs after it has run. */
GUEST(overwrite, "mov $400, %ebp\n mov $0xb8, %eax\n"
                 "1: mov $0x26000, %edi\n mov $0x6000, %ecx\n rep stosb\n dec %ebp\n jnz 1b\n"
                 "call *%r11\n mov %eax, %r12d\n"
                 "mov $0xc3, %eax\n mov $0x20000, %edi\n mov $0x1000, %ecx\n rep stosq\n"
                 "mov $7, %eax\n call *%r11\n");
GUEST(too_many, "mov $0x20000, %edi\n mov $1, %ecx\n shl $61, %rcx\n or $1, %rcx\n mov %rcx, %r12\n xor %eax, %eax\n rep stosq\n");
/*
 * The same instructions in two address spaces, R8 and R9, there and back; the sums are in R12 and R13, R14 is their number.
 */
GUEST(spaces, FUNCTION(WALK) "mov $3, %r15d\n"
              "3: mov %r8, %cr3\n call 8b\n add %rax, %r12\n"
              "mov %r9, %cr3\n call 8b\n add %rax, %r13\n"
              "inc %r14d\n dec %r15d\n jnz 3b\n");
GUEST(space_stores, FUNCTION(STORE) "mov $3, %r15d\n"
                    "3: mov %r8, %cr3\n mov $0x1111, %edi\n call 8b\n"
                    "mov %r9, %cr3\n mov $0x2222, %edi\n call 8b\n dec %r15d\n jnz 3b\n");
/* The address at R10 gets the entry R11, and the address space in use is loaded again. */
GUEST(reload, FUNCTION(WALK) "call 8b\n mov %eax, %r12d\n mov %r11, (%r10)\n mov %cr3, %rax\n mov %rax, %cr3\n call 8b\n");
/* The same while another one, R9, is in use; with INVPCID of the page, whose descriptor is at RSP. */
GUEST(change_behind, FUNCTION(WALK) "mov %r8, %cr3\n call 8b\n mov %eax, %r12d\n mov %r9, %cr3\n call 8b\n mov %eax, %r13d\n"
                     "mov %r11, (%r10)\n xor %eax, %eax\n invpcid (%rsp), %rax\n mov %r8, %cr3\n call 8b\n");
GUEST(map_change, WALK "mov %eax, %r12d\n out %al, $0xe8\n" WALK);

static DbtVcpu *vcpu_of(Rig *rig)
{
    return rig->machine->vcpus[0]->accel;
}

static uint64_t *pte(Rig *rig, unsigned page)
{
    return (uint64_t *)rig_mem(rig, 0x1000) + RIG_DATA / PAGE + page;
}

static uint64_t gpa_of(Rig *rig, unsigned page)
{
    return *pte(rig, page) & -(uint64_t)PAGE;
}

/* Page n goes to this page of memory, whose first word becomes n + 1. */
static void put(Rig *rig, unsigned page, uint64_t gpa)
{
    uint32_t value = page + 1;

    *pte(rig, page) = gpa | PTE_BITS;
    memcpy(rig_mem(rig, gpa), &value, sizeof(value));
}

#define SUM (PAGES * (PAGES + 1) / 2)

static void together(Rig *rig)
{
    for (unsigned i = 0; i < PAGES; i++)
        put(rig, i, RIG_DATA + i * PAGE);
}

static void scattered(Rig *rig)
{
    for (unsigned i = 0; i < PAGES; i++)
        put(rig, i, SPARE + (PAGES - i) * 2 * PAGE);
}

/* Counters say something where code is translated and runs once. */
static bool counts(const DbtVcpu *v)
{
    return v->jit && !v->accel->lock_step;
}

static CpuState *start(Rig *rig)
{
    CpuState *s = rig_state(rig, 0);

    rig_mode(rig, 0, 64);
    s->cr0 |= CR0_WP;
    s->gpr[GPR_R8] = SPARE | PTE_BITS;
    s->gpr[GPR_R9] = 0x1000 + (RIG_DATA / PAGE + MIDDLE) * 8;
    s->gpr[GPR_R10] = RIG_DATA + MIDDLE * PAGE;
    s->gpr[GPR_R11] = RIG_DATA + MIDDLE * PAGE + 0x100;
    return s;
}

static void (*const layouts[])(Rig *rig) = {together, scattered};

static void pages_side_by_side_become_a_span(void **state)
{
    Rig *rig = *state;
    const DbtVcpu *v = vcpu_of(rig);
    CpuState *s = start(rig);
    uint64_t misses;

    together(rig);
    RIG_LOAD(rig, walk);
    assert_int_equal(rig_run(rig, 0), -1);
    assert_int_equal(s->gpr[GPR_RAX], SUM);
    if (!counts(v))
        return;
    misses = v->jit->stats.span_misses;
    assert_true(v->jit->stats.span_pages > misses);
    start(rig);
    assert_int_equal(rig_run(rig, 0), -1);
    assert_true(v->jit->stats.span_misses - misses < 2 * PAGES);
    assert_int_equal(v->mmu->stats.windowed, 0);
}

static void scattered_pages_are_brought_together(void **state)
{
    Rig *rig = *state;
    const DbtVcpu *v = vcpu_of(rig);
    CpuState *s = start(rig);
    uint64_t misses;

    scattered(rig);
    RIG_LOAD(rig, walk);
    assert_int_equal(rig_run(rig, 0), -1);
    assert_int_equal(s->gpr[GPR_RAX], SUM);
    if (!counts(v))
        return;
    assert_int_equal(v->mmu->stats.windowed, PAGES);
    misses = v->jit->stats.span_misses;
    start(rig);
    assert_int_equal(rig_run(rig, 0), -1);
    assert_int_equal(s->gpr[GPR_RAX], SUM);
    assert_true(v->jit->stats.span_misses - misses < 2 * PAGES);
    assert_int_equal(v->mmu->stats.windowed, PAGES);
}

/* 512 misses are worth a closer look, which ends though too few follow to be too many. */
static void instructions_that_are_watched_are_not_for_ever(void **state)
{
    Rig *rig = *state;
    const DbtVcpu *v = vcpu_of(rig);

    start(rig);
    together(rig);
    RIG_LOAD(rig, linger);
    assert_int_equal(rig_run(rig, 0), -1);
    assert_int_equal(rig_state(rig, 0)->gpr[GPR_RAX], 1);
    if (counts(v))
        assert_int_equal(v->jit->stats.sites_adapted, 2);
}

/* Pages come to the window here and there; what lies between is not taken for pages that are apart. */
static void pages_met_in_any_order_are_brought_together(void **state)
{
    Rig *rig = *state;
    const DbtVcpu *v = vcpu_of(rig);
    CpuState *s = start(rig);
    uint64_t misses;

    for (unsigned i = 0; i < FAR_PAGES; i++) {
        uint32_t gpa = 0x400000 + (FAR_PAGES - i) * 2 * PAGE, value = i + 1;

        *pte(rig, (FAR - RIG_DATA) / PAGE + i) = gpa | PTE_BITS;
        memcpy(rig_mem(rig, gpa), &value, sizeof(value));
    }
    RIG_LOAD(rig, leap);
    assert_int_equal(rig_run(rig, 0), -1);
    assert_int_equal(s->gpr[GPR_RAX], FAR_PAGES * (FAR_PAGES + 1) / 2);
    if (!counts(v))
        return;
    assert_int_equal(v->mmu->stats.windowed, FAR_PAGES);
    misses = v->jit->stats.span_misses;
    start(rig);
    assert_int_equal(rig_run(rig, 0), -1);
    assert_true(v->jit->stats.span_misses - misses < FAR_PAGES);
}

static void windows_of_an_address_space_do_not_displace_each_other(void **state)
{
    Rig *rig = *state;
    const DbtVcpu *v = vcpu_of(rig);
    CpuState *s = start(rig);
    uint64_t *pdpt = rig_mem(rig, 0x3000), flushes;

    if (!counts(v))
        return;
    scattered(rig);
    for (unsigned i = 1; i < 16; i++)
        pdpt[i] = pdpt[0];
    RIG_LOAD(rig, far_apart);
    flushes = v->mmu->stats.flushes;
    s->gpr[GPR_R14] = 0;
    assert_int_equal(rig_run(rig, 0), -1);
    assert_int_equal(s->gpr[GPR_R14], 8 * 16 * SUM);
    assert_true(v->mmu->stats.flushes - flushes < 4);
    assert_int_equal(v->mmu->stats.windowed, 16 * PAGES);
}

static void an_access_may_lie_across_two_pages_of_a_span(void **state)
{
    Rig *rig = *state;
    CpuState *s = start(rig);
    const uint32_t low = 0x80000001;

    RIG_LOAD(rig, straddle);
    for (unsigned l = 0; l < G_N_ELEMENTS(layouts); l++) {
        uint64_t sum = 0;

        layouts[l](rig);
        for (unsigned i = 0; i + 1 < PAGES; i++) {
            memcpy(rig_mem(rig, gpa_of(rig, i) + PAGE - 4), &low, sizeof(low));
            sum += low + ((uint64_t)(i + 2) << 32);
        }
        start(rig);
        assert_int_equal(rig_run(rig, 0), -1);
        assert_true(s->gpr[GPR_RAX] == sum);
    }
}

static void invlpg_of_a_page_in_the_middle_takes_the_span(void **state)
{
    Rig *rig = *state;
    CpuState *s = rig_state(rig, 0);
    const uint32_t value = 1000;

    memcpy(rig_mem(rig, SPARE), &value, sizeof(value));
    RIG_LOAD(rig, remap);
    for (unsigned l = 0; l < G_N_ELEMENTS(layouts); l++) {
        for (unsigned round = 0; round < 3; round++) { /* there is code for it, and pages are where they were before */
            layouts[l](rig);
            start(rig);
            assert_int_equal(rig_run(rig, 0), -1);
            assert_int_equal(s->gpr[GPR_R12], SUM);
            assert_int_equal(s->gpr[GPR_RAX], SUM - (MIDDLE + 1) + value);
        }
    }
}

/* INVLPG of one of 512 pages, which nothing has gone to. */
static void invlpg_of_a_large_page_takes_the_spans_in_it(void **state)
{
    Rig *rig = *state;
    uint64_t *pde = (uint64_t *)rig_mem(rig, 0x4000) + 2;

    RIG_LOAD(rig, remap_large);
    for (uint32_t i = 0; i < PAGES; i++) {
        *(uint32_t *)rig_mem(rig, 0x410000 + i * PAGE) = i + 1;
        *(uint32_t *)rig_mem(rig, 0x610000 + i * PAGE) = 100 + i + 1;
    }
    for (unsigned round = 0; round < 3; round++) {
        CpuState *s = start(rig);

        *pde = 0x400000 | (pde[1] & 0xfff);
        s->gpr[GPR_R8] = pde[1];
        s->gpr[GPR_R9] = 0x4000 + 2 * 8;
        s->gpr[GPR_R10] = 0x5ff000;
        dbt_tlb_flush(vcpu_of(rig), true);
        assert_int_equal(rig_run(rig, 0), -1);
        assert_int_equal(s->gpr[GPR_R12], SUM);
        assert_int_equal(s->gpr[GPR_RAX], SUM + 100 * PAGES);
    }
}

#define ARRAY_PAGES 8u
#define ARRAY_SUM (ARRAY_PAGES * (ARRAY_PAGES + 1) / 2)

static void elements_of_an_array_share_a_check(void **state)
{
    Rig *rig = *state;
    const DbtVcpu *v = vcpu_of(rig);
    CpuState *s = rig_state(rig, 0);

    RIG_LOAD(rig, array);
    for (unsigned l = 0; l < G_N_ELEMENTS(layouts); l++) {
        uint64_t before = v->jit ? v->jit->stats.shared : 0;

        layouts[l](rig);
        start(rig);
        assert_int_equal(rig_run(rig, 0), -1);
        assert_int_equal(s->gpr[GPR_RAX], ARRAY_SUM);
        if (v->jit && l == 0)
            assert_true(v->jit->stats.shared > before);
    }
}

/* First, in the middle, last: an access is anywhere in what the one check is for. */
static void invlpg_of_any_page_of_an_array_takes_it(void **state)
{
    static const unsigned pages[] = {0, MIDDLE, ARRAY_PAGES - 1};
    Rig *rig = *state;
    CpuState *s = rig_state(rig, 0);
    const uint32_t value = 1000;

    memcpy(rig_mem(rig, SPARE), &value, sizeof(value));
    RIG_LOAD(rig, array_remap);
    for (unsigned i = 0; i < 3 * G_N_ELEMENTS(pages) * G_N_ELEMENTS(layouts); i++) {
        unsigned page = pages[i % G_N_ELEMENTS(pages)];

        layouts[i / (3 * G_N_ELEMENTS(pages))](rig);
        start(rig);
        s->gpr[GPR_R9] = 0x1000 + (RIG_DATA / PAGE + page) * 8;
        s->gpr[GPR_R10] = RIG_DATA + page * PAGE;
        assert_int_equal(rig_run(rig, 0), -1);
        assert_int_equal(s->gpr[GPR_R12], ARRAY_SUM);
        assert_int_equal(s->gpr[GPR_RAX], ARRAY_SUM - (page + 1) + value);
    }
}

static void an_array_may_end_where_nothing_is_mapped(void **state)
{
    Rig *rig = *state;
    CpuState *s = rig_state(rig, 0);

    for (unsigned l = 0; l < G_N_ELEMENTS(layouts); l++) {
        RIG_LOAD(rig, array_begin);
        layouts[l](rig);
        *pte(rig, 6) &= ~1ull;
        start(rig);
        assert_int_equal(rig_run(rig, 0), -1);
        assert_int_equal(s->gpr[GPR_RAX], 21);
        RIG_LOAD(rig, array);
        start(rig);
        assert_int_equal(rig_run(rig, 0), 14);
        assert_true(s->cr2 == RIG_DATA + 6 * PAGE && s->gpr[GPR_RCX] == 6 * PAGE / 4 && s->gpr[GPR_RAX] == 21);
    }
}

static void an_index_that_may_be_larger_is_not_taken_for_limited(void **state)
{
    Rig *rig = *state;
    const uint32_t value = 1234;

    RIG_LOAD(rig, array_unlimited);
    scattered(rig);
    memcpy((uint8_t *)rig_mem(rig, gpa_of(rig, 1)) + 0xb0, &value, sizeof(value));
    start(rig);
    assert_int_equal(rig_run(rig, 0), -1);
    assert_int_equal(rig_state(rig, 0)->gpr[GPR_RSI], 2 * value);
}

static void elements_are_where_the_base_of_now_says(void **state)
{
    Rig *rig = *state;
    uint64_t sum = 0;

    RIG_LOAD(rig, array_rebased);
    scattered(rig);
    for (uint32_t i = 1; i <= 40; i++) {
        memcpy((uint8_t *)rig_mem(rig, gpa_of(rig, 0)) + 0x18 + 4 * i, &i, sizeof(i));
        sum += 4 * i;
    }
    start(rig);
    assert_int_equal(rig_run(rig, 0), -1);
    assert_int_equal(rig_state(rig, 0)->gpr[GPR_R12], sum);
}

static void comparisons_of_strings_move_their_pointers(void **state)
{
    Rig *rig = *state;

    RIG_LOAD(rig, comparisons);
    for (unsigned l = 0; l < G_N_ELEMENTS(layouts); l++) {
        layouts[l](rig);
        start(rig);
        assert_int_equal(rig_run(rig, 0), -1);
        assert_int_equal(rig_state(rig, 0)->gpr[GPR_R12], 40 * (4 + 3 + 3 + 5 + 5 + 6));
    }
}

#define STACK_FAULT 12
#define TSS 0x7000u
#define FAULT_STACK 0x7800u

static void give_stack_faults_a_stack(Rig *rig)
{
    uint8_t *gate = (uint8_t *)rig_mem(rig, 0x5800) + 16 * STACK_FAULT;

    gate[4] = 1; /* IST1 */
    store_le(rig_mem(rig, TSS + 36), FAULT_STACK, 8);
    rig_state(rig, 0)->tr = (SegmentReg){.selector = 0x28, .attr = 0x8b, .limit = 0x67, .base = TSS};
}

/* The address is not canonical wherever it comes from: registers are those before the instruction. */
static void what_faults_where_empty_entries_are_has_done_nothing(void **state)
{
    static const struct {
        const uint8_t *code, *end;
        int vector;
    } guests[] = {
        {store_nowhere, store_nowhere_end, 13},
        {copy_nowhere, copy_nowhere_end, 13},
        {high_byte_nowhere, high_byte_nowhere_end, 13},
        {flags_nowhere, flags_nowhere_end, STACK_FAULT},
    };
    Rig *rig = *state;

    for (unsigned i = 0; i < G_N_ELEMENTS(guests); i++) {
        CpuState *s = start(rig);

        scattered(rig);
        rig_code(rig, guests[i].code, (size_t)(guests[i].end - guests[i].code));
        s->gpr[GPR_RAX] = 0x1122334455667788;
        s->gpr[GPR_R15] = JIT_SITE_NONE;
        give_stack_faults_a_stack(rig);
        assert_int_equal(rig_run(rig, 0), guests[i].vector);
        assert_true(s->gpr[GPR_RDI] == JIT_SITE_NONE && s->gpr[GPR_RSI] == JIT_SITE_NONE);
        assert_true(s->gpr[GPR_RAX] == 0x1122334455667788 && s->gpr[GPR_RCX] == 64);
    }
}

/* Code that has run in a page is stored to, and runs again, three times. */
static void check_rewriting(Rig *rig)
{
    static const uint8_t code[] = {0xb8, 0, 0, 0, 0, 0xc3}; /* mov eax, imm32; ret */
    const CpuState *s = rig_state(rig, 0);

    for (unsigned l = 0; l < G_N_ELEMENTS(layouts); l++) {
        layouts[l](rig);
        memcpy((uint8_t *)rig_mem(rig, gpa_of(rig, MIDDLE)) + 0x100, code, sizeof(code));
        start(rig);
        assert_int_equal(rig_run(rig, 0), -1);
        assert_int_equal(s->gpr[GPR_R12], 1);
        assert_int_equal(s->gpr[GPR_R13], 2);
        assert_int_equal(s->gpr[GPR_RAX], 3);
    }
}

static void an_array_of_stores_never_covers_code_that_was_run(void **state)
{
    Rig *rig = *state;

    RIG_LOAD(rig, array_rewrite);
    check_rewriting(rig);
}

static void a_span_of_stores_ends_where_a_page_is_read_only(void **state)
{
    Rig *rig = *state;
    CpuState *s = rig_state(rig, 0);

    RIG_LOAD(rig, protect);
    for (unsigned l = 0; l < G_N_ELEMENTS(layouts); l++) {
        layouts[l](rig);
        start(rig);
        s->gpr[GPR_R8] = *pte(rig, MIDDLE) & ~2ull;
        assert_int_equal(rig_run(rig, 0), 14);
        assert_true(s->cr2 == RIG_DATA + MIDDLE * PAGE + 0x101);
        assert_int_equal(s->gpr[GPR_RSI], MIDDLE * PAGE);
    }
}

static void a_span_of_stores_never_covers_code_that_was_run(void **state)
{
    Rig *rig = *state;

    RIG_LOAD(rig, rewrite);
    check_rewriting(rig);
}

static void fill(Rig *rig, unsigned page, uint8_t seed)
{
    uint8_t *at = rig_mem(rig, gpa_of(rig, page));

    for (unsigned i = 0; i < PAGE; i++)
        at[i] = (uint8_t)(seed + i * 7 + (i >> 8));
}

static uint8_t byte_at(Rig *rig, uint64_t linear)
{
    return *((uint8_t *)rig_mem(rig, gpa_of(rig, (unsigned)(linear - RIG_DATA) / PAGE)) + linear % PAGE);
}

static void a_copy_goes_over_pages_wherever_they_are(void **state)
{
    Rig *rig = *state;
    CpuState *s = rig_state(rig, 0);

    RIG_LOAD(rig, copy);
    for (unsigned l = 0; l < G_N_ELEMENTS(layouts); l++) {
        layouts[l](rig);
        for (unsigned i = 0; i < PAGES; i++)
            fill(rig, i, (uint8_t)(i * 31));
        start(rig);
        s->gpr[GPR_R15] = 0;
        assert_int_equal(rig_run(rig, 0), -1);
        assert_int_equal(s->gpr[GPR_R15], 300);
        assert_true(s->gpr[GPR_RSI] == 0x28005 + 0x5120 && s->gpr[GPR_RDI] == 0x20003 + 0x5120);
        for (unsigned i = 0; i < 0x5123; i++) {
            assert_int_equal(byte_at(rig, 0x28005 + i), byte_at(rig, 0x20003 + i));
            assert_int_equal(byte_at(rig, 0x20003 + i), (uint8_t)((i + 3) / PAGE * 31 + (i + 3) % PAGE * 7 + ((i + 3) % PAGE >> 8)));
        }
        assert_int_equal(byte_at(rig, 0x28005 + 0x5123), (uint8_t)(13 * 31 + 0x128 * 7 + 1));
    }
}

static void a_copy_onto_itself_repeats_its_first_byte(void **state)
{
    Rig *rig = *state;

    RIG_LOAD(rig, overlap);
    for (unsigned l = 0; l < G_N_ELEMENTS(layouts); l++) {
        layouts[l](rig);
        start(rig);
        assert_int_equal(rig_run(rig, 0), -1);
        for (unsigned i = 0; i < 0x7fff; i++)
            assert_int_equal(byte_at(rig, RIG_DATA + i), 1);
        assert_int_equal(byte_at(rig, RIG_DATA + 0x7fff), 0);
    }
}

static void strings_over_code_that_was_run_replace_it(void **state)
{
    static const uint8_t code[] = {0xb8, 5, 0, 0, 0, 0xc3}; /* mov eax, 5; ret */
    Rig *rig = *state;
    CpuState *s = rig_state(rig, 0);

    RIG_LOAD(rig, overwrite);
    for (unsigned l = 0; l < G_N_ELEMENTS(layouts); l++) {
        layouts[l](rig);
        memcpy((uint8_t *)rig_mem(rig, gpa_of(rig, MIDDLE)) + 0x100, code, sizeof(code));
        start(rig);
        assert_int_equal(rig_run(rig, 0), -1);
        assert_int_equal(s->gpr[GPR_R12], 5);
        assert_int_equal(s->gpr[GPR_RAX], 7);
    }
}

/* It ends at the first page that is not there; what RCX has too many of does not count as few. */
static void a_string_longer_than_memory_faults_where_that_ends(void **state)
{
    Rig *rig = *state;
    CpuState *s = rig_state(rig, 0);

    RIG_LOAD(rig, too_many);
    together(rig);
    for (unsigned round = 0; round < 3; round++) {
        start(rig);
        *pte(rig, PAGES) &= ~1ull;
        assert_int_equal(rig_run(rig, 0), 14);
        assert_true(s->cr2 == RIG_DATA + PAGES * PAGE);
        assert_true(s->gpr[GPR_RDI] == s->cr2 && s->gpr[GPR_R12] - s->gpr[GPR_RCX] == PAGES * PAGE / 8);
    }
}

static uint64_t ones_read(void *opaque, uint64_t offset, unsigned size)
{
    return 1000;
}

static void ones_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
}

/* Guest memory changes with a write to the port. */
static void map_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
    memory_region_set_enabled(opaque, true);
}

static void a_device_put_over_a_page_in_the_middle_takes_the_span(void **state)
{
    static const MemoryRegionOps ones = {.read = ones_read, .write = ones_write};
    static const MemoryRegionOps map = {.read = ones_read, .write = map_write};
    Rig *rig = *state;
    CpuState *s = rig_state(rig, 0);
    MemoryRegion device, port;

    RIG_LOAD(rig, map_change);
    for (unsigned l = 0; l < G_N_ELEMENTS(layouts); l++) {
        layouts[l](rig);
        machine_lock();
        memory_region_init_io(&device, &ones, NULL, "device", PAGE);
        memory_region_init_io(&port, &map, &device, "map", 1);
        memory_region_set_enabled(&device, false);
        memory_region_add(&rig->machine->memory_root, gpa_of(rig, MIDDLE), &device, 1);
        memory_region_add(&rig->machine->io_root, PORT_MAP, &port, 0);
        machine_unlock();
        start(rig);
        assert_int_equal(rig_run(rig, 0), -1);
        assert_int_equal(s->gpr[GPR_R12], SUM);
        assert_int_equal(s->gpr[GPR_RAX], SUM - (MIDDLE + 1) + 1000);
        machine_lock();
        memory_region_remove(&device);
        memory_region_remove(&port);
        machine_unlock();
        memory_region_release(&device);
        memory_region_release(&port);
    }
}

/*
 * An address space beside the rig's own: nothing but the pages at RIG_DATA is elsewhere, either way round. Its page n begins with
 * the word base + n + 1.
 */
static uint64_t make_space(Rig *rig, unsigned number, bool side_by_side, uint32_t base)
{
    uint64_t tables = SPACES + number * SPACE_SIZE, memory = 0x800000 + number * 2 * PAGES * PAGE;
    uint64_t *pml4 = rig_mem(rig, tables), *pdpt = pml4 + 512, *pd = pdpt + 512, *pt = pd + 512;

    memcpy(pml4, rig_mem(rig, 0x2000), 3 * PAGE);
    memcpy(pt, rig_mem(rig, 0x1000), PAGE);
    pml4[0] = (tables + PAGE) | PTE_BITS;
    pdpt[0] = (tables + 2 * PAGE) | PTE_BITS;
    pd[0] = (tables + 3 * PAGE) | PTE_BITS;
    for (unsigned i = 0; i < PAGES; i++) {
        uint64_t gpa = memory + (side_by_side ? i : 2 * (PAGES - 1 - i)) * PAGE;
        uint32_t word = base + i + 1;

        pt[RIG_DATA / PAGE + i] = gpa | PTE_BITS;
        memset(rig_mem(rig, gpa), 0, PAGE);
        memcpy(rig_mem(rig, gpa), &word, sizeof(word));
    }
    return tables;
}

static uint64_t *space_pte(Rig *rig, uint64_t space, unsigned page)
{
    return (uint64_t *)rig_mem(rig, space + 3 * PAGE) + RIG_DATA / PAGE + page;
}

/* Two of them, in R8 and R9; with PCIDs all translations are kept. */
static CpuState *start_spaces(Rig *rig, unsigned layout, bool pcids)
{
    CpuState *s = start(rig);

    s->gpr[GPR_R8] = make_space(rig, 0, layout & 1, 0);
    s->gpr[GPR_R9] = make_space(rig, 1, layout >> 1, 100);
    s->gpr[GPR_R12] = s->gpr[GPR_R13] = s->gpr[GPR_R14] = 0;
    if (pcids) {
        s->cr4 |= CR4_PCIDE;
        s->gpr[GPR_R8] |= KEEP | 1;
        s->gpr[GPR_R9] |= KEEP | 2;
    }
    dbt_tlb_flush(vcpu_of(rig), true); /* the tables were made behind its back */
    return s;
}

#define SUM_OTHER (SUM + 100 * PAGES)

static void each_address_space_has_spans_and_windows_of_its_own(void **state)
{
    Rig *rig = *state;
    const DbtVcpu *v = vcpu_of(rig);

    RIG_LOAD(rig, spaces);
    for (unsigned i = 0; i < 8; i++) {
        CpuState *s = start_spaces(rig, i & 3, i >> 2);

        assert_int_equal(rig_run(rig, 0), -1);
        assert_int_equal(s->gpr[GPR_R14], 3);
        assert_int_equal(s->gpr[GPR_R12], 3 * SUM);
        assert_int_equal(s->gpr[GPR_R13], 3 * SUM_OTHER);
        if (counts(v)) /* both were scattered in the first round */
            assert_true(v->mmu->stats.windowed >= 2 * PAGES);
    }
}

static void what_is_stored_in_one_address_space_is_not_in_another(void **state)
{
    Rig *rig = *state;

    RIG_LOAD(rig, space_stores);
    for (unsigned i = 0; i < 8; i++) {
        CpuState *s = start_spaces(rig, i & 3, i >> 2);

        assert_int_equal(rig_run(rig, 0), -1);
        for (unsigned n = 0; n < 2; n++) {
            uint64_t space = s->gpr[n ? GPR_R9 : GPR_R8] & 0xfffffff000;

            for (unsigned page = 0; page < PAGES; page++) {
                uint32_t value;

                memcpy(&value, (uint8_t *)rig_mem(rig, *space_pte(rig, space, page) & 0xfffffff000) + 0x101, sizeof(value));
                assert_int_equal(value, n ? 0x2222 : 0x1111);
            }
        }
    }
}

/* The middle page of the first space becomes the one at SPARE, with the word 1000. */
static void prepare_change(Rig *rig, CpuState *s)
{
    const uint32_t value = 1000;
    uint64_t space = s->gpr[GPR_R8] & 0xfffffff000;

    memcpy(rig_mem(rig, SPARE), &value, sizeof(value));
    s->gpr[GPR_R10] = (uintptr_t)space_pte(rig, space, MIDDLE) - (uintptr_t)rig_mem(rig, 0);
    s->gpr[GPR_R11] = SPARE | PTE_BITS;
}

#define SUM_CHANGED (SUM - (MIDDLE + 1) + 1000)

static void a_cr3_write_takes_spans_though_the_address_space_is_the_same(void **state)
{
    Rig *rig = *state;

    RIG_LOAD(rig, reload);
    for (unsigned i = 0; i < 4; i++) {
        CpuState *s = start_spaces(rig, i & 1, i >> 1);

        s->cr3 = s->gpr[GPR_R8] & ~KEEP;
        prepare_change(rig, s);
        assert_int_equal(rig_run(rig, 0), -1);
        assert_int_equal(s->gpr[GPR_R12], SUM);
        assert_int_equal(s->gpr[GPR_RAX], SUM_CHANGED);
    }
}

static void a_page_changed_behind_the_back_of_its_address_space_is_not_found_in_its_window(void **state)
{
    Rig *rig = *state;

    RIG_LOAD(rig, change_behind);
    for (unsigned i = 0; i < 8; i++) {
        CpuState *s = start_spaces(rig, i & 3, i >> 2);
        const uint64_t descriptor[2] = {i >> 2, RIG_DATA + MIDDLE * PAGE};

        prepare_change(rig, s);
        memcpy(rig_mem(rig, RIG_STACK), descriptor, sizeof(descriptor));
        assert_int_equal(rig_run(rig, 0), -1);
        assert_int_equal(s->gpr[GPR_R12], SUM);
        assert_int_equal(s->gpr[GPR_R13], SUM_OTHER);
        assert_int_equal(s->gpr[GPR_RAX], SUM_CHANGED);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        RIG_CASE(pages_side_by_side_become_a_span),
        RIG_CASE(instructions_that_are_watched_are_not_for_ever),
        RIG_CASE(scattered_pages_are_brought_together),
        RIG_CASE(pages_met_in_any_order_are_brought_together),
        RIG_CASE(windows_of_an_address_space_do_not_displace_each_other),
        RIG_CASE(an_access_may_lie_across_two_pages_of_a_span),
        RIG_CASE(invlpg_of_a_page_in_the_middle_takes_the_span),
        RIG_CASE(invlpg_of_a_large_page_takes_the_spans_in_it),
        RIG_CASE(elements_of_an_array_share_a_check),
        RIG_CASE(invlpg_of_any_page_of_an_array_takes_it),
        RIG_CASE(an_array_may_end_where_nothing_is_mapped),
        RIG_CASE(an_index_that_may_be_larger_is_not_taken_for_limited),
        RIG_CASE(elements_are_where_the_base_of_now_says),
        RIG_CASE(comparisons_of_strings_move_their_pointers),
        RIG_CASE(what_faults_where_empty_entries_are_has_done_nothing),
        RIG_CASE(an_array_of_stores_never_covers_code_that_was_run),
        RIG_CASE(a_span_of_stores_ends_where_a_page_is_read_only),
        RIG_CASE(a_span_of_stores_never_covers_code_that_was_run),
        RIG_CASE(a_copy_goes_over_pages_wherever_they_are),
        RIG_CASE(a_copy_onto_itself_repeats_its_first_byte),
        RIG_CASE(strings_over_code_that_was_run_replace_it),
        RIG_CASE(a_string_longer_than_memory_faults_where_that_ends),
        RIG_CASE(a_device_put_over_a_page_in_the_middle_takes_the_span),
        RIG_CASE(each_address_space_has_spans_and_windows_of_its_own),
        RIG_CASE(what_is_stored_in_one_address_space_is_not_in_another),
        RIG_CASE(a_cr3_write_takes_spans_though_the_address_space_is_the_same),
        RIG_CASE(a_page_changed_behind_the_back_of_its_address_space_is_not_found_in_its_window),
    };

    core_init();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
