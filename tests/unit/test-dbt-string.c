/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * String instructions of the interpreter: overlap, page ends, faults in the middle, directions,
 * address sizes, ports (accel/dbt/op-string.c).
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "core/thread.h"
#include "dbt-rig.h"

#define PAGE 0x1000u

static uint64_t *pte(Rig *rig, uint64_t linear)
{
    return (uint64_t *)rig_mem(rig, 0x1000) + linear / PAGE;
}

/* Registers after the guest's code and mode were set up. */
static CpuState *prepare(Rig *rig, uint64_t rsi, uint64_t rdi, uint64_t rcx)
{
    CpuState *s = rig_state(rig, 0);

    rig_mode(rig, 0, 64);
    s->gpr[GPR_RSI] = rsi;
    s->gpr[GPR_RDI] = rdi;
    s->gpr[GPR_RCX] = rcx;
    return s;
}

static void fill(Rig *rig, uint64_t gpa, unsigned len, uint8_t first)
{
    uint8_t *p = rig_mem(rig, gpa);

    for (unsigned i = 0; i < len; i++)
        p[i] = (uint8_t)(first + i);
}

GUEST(rep_movsb, "rep movsb");
GUEST(rep_movsb_down, "std\n rep movsb");
GUEST(rep_movsq, "rep movsq");

static void movs_copies_across_pages(void **state)
{
    Rig *rig = *state;
    const CpuState *s;

    RIG_LOAD(rig, rep_movsb);
    fill(rig, RIG_DATA + 100, 10000, 1);
    s = prepare(rig, RIG_DATA + 100, 0x30003, 10000);
    assert_int_equal(rig_run(rig, 0), -1);
    assert_memory_equal(rig_mem(rig, 0x30003), rig_mem(rig, RIG_DATA + 100), 10000);
    assert_int_equal(s->gpr[GPR_RCX], 0);
    assert_int_equal(s->gpr[GPR_RSI], RIG_DATA + 100 + 10000);
    assert_int_equal(s->gpr[GPR_RDI], 0x30003 + 10000);

    /* Elements that lie in two pages. */
    RIG_LOAD(rig, rep_movsq);
    s = prepare(rig, RIG_DATA + 100, 0x40003, 1000);
    assert_int_equal(rig_run(rig, 0), -1);
    assert_memory_equal(rig_mem(rig, 0x40003), rig_mem(rig, RIG_DATA + 100), 8000);
    assert_int_equal(s->gpr[GPR_RDI], 0x40003 + 8000);
}

static void movs_upwards_into_its_own_source_repeats_the_pattern(void **state)
{
    Rig *rig = *state;
    const uint8_t *p = rig_mem(rig, RIG_DATA);

    RIG_LOAD(rig, rep_movsb);
    fill(rig, RIG_DATA, 3, 10);
    prepare(rig, RIG_DATA, RIG_DATA + 3, 5000);
    assert_int_equal(rig_run(rig, 0), -1);
    for (unsigned i = 0; i < 5003; i++)
        assert_int_equal(p[i], 10 + i % 3);
}

static void movs_downwards_moves_an_overlapping_block(void **state)
{
    Rig *rig = *state;
    const uint8_t *p = rig_mem(rig, RIG_DATA);
    const CpuState *s;

    RIG_LOAD(rig, rep_movsb_down);
    fill(rig, RIG_DATA, 200, 0);
    s = prepare(rig, RIG_DATA + 199, RIG_DATA + 209, 200);
    assert_int_equal(rig_run(rig, 0), -1);
    for (unsigned i = 0; i < 200; i++)
        assert_int_equal(p[10 + i], i);
    assert_int_equal(s->gpr[GPR_RSI], RIG_DATA - 1);
}

static void a_fault_in_the_middle_leaves_a_restartable_state(void **state)
{
    Rig *rig = *state;
    CpuState *s;

    RIG_LOAD(rig, rep_movsb);
    fill(rig, RIG_DATA, 2 * PAGE, 1);
    *pte(rig, 0x31000) &= ~1ull;
    s = prepare(rig, RIG_DATA, 0x30ff0, 100);
    assert_int_equal(rig_run(rig, 0), EXC_PF);
    assert_int_equal(s->cr2, 0x31000);
    assert_int_equal(rig_fault_rip(rig, 64, true), RIG_CODE);
    assert_int_equal(s->gpr[GPR_RCX], 100 - 16);
    assert_int_equal(s->gpr[GPR_RSI], RIG_DATA + 16);
    assert_int_equal(s->gpr[GPR_RDI], 0x31000);
    /* The page comes, the instruction goes on. */
    *pte(rig, 0x31000) |= 1;
    s = prepare(rig, s->gpr[GPR_RSI], s->gpr[GPR_RDI], s->gpr[GPR_RCX]);
    assert_int_equal(rig_run(rig, 0), -1);
    assert_memory_equal(rig_mem(rig, 0x30ff0), rig_mem(rig, RIG_DATA), 100);
}

static void an_element_that_straddles_a_missing_page_stores_nothing(void **state)
{
    Rig *rig = *state;
    const CpuState *s;

    RIG_LOAD(rig, rep_movsq);
    fill(rig, RIG_DATA, 64, 1);
    memset(rig_mem(rig, 0x30ff0), 0, 16);
    *pte(rig, 0x31000) &= ~1ull;
    s = prepare(rig, RIG_DATA, 0x30ff4, 4);
    assert_int_equal(rig_run(rig, 0), EXC_PF);
    assert_int_equal(s->gpr[GPR_RCX], 3);
    assert_int_equal(s->gpr[GPR_RDI], 0x30ffc);
    assert_int_equal(*(uint32_t *)rig_mem(rig, 0x30ffc), 0);
}

GUEST(rep_stos_32, "mov $0x11223344, %eax\n addr32 rep stosl");
GUEST(stos_zero, "rep stosb");

static void a_32_bit_address_size_uses_and_extends_ecx_and_edi(void **state)
{
    Rig *rig = *state;
    CpuState *s;
    const uint32_t *p = rig_mem(rig, RIG_DATA);

    RIG_LOAD(rig, rep_stos_32);
    s = prepare(rig, 0, 0xabcd00000000ull + RIG_DATA, 0x500000003ull);
    assert_int_equal(rig_run(rig, 0), -1);
    assert_int_equal(s->gpr[GPR_RCX], 0);
    assert_int_equal(s->gpr[GPR_RDI], RIG_DATA + 12);
    assert_int_equal(p[0], 0x11223344);
    assert_int_equal(p[2], 0x11223344);
    assert_int_equal(p[3], 0);
}

static void a_count_of_zero_touches_nothing(void **state)
{
    Rig *rig = *state;
    CpuState *s;

    RIG_LOAD(rig, stos_zero);
    *pte(rig, 0x31000) = 0;
    s = prepare(rig, 0, 0x31000, 0);
    assert_int_equal(rig_run(rig, 0), -1);
    assert_int_equal(s->gpr[GPR_RDI], 0x31000);
}

GUEST(wrap16, ".code16\n mov $0x2000, %ax\n mov $0x3000, %bx\n mov %ax, %ds\n mov %bx, %es\n"
              "mov $0xfffe, %si\n mov $0xfffd, %di\n mov $6, %cx\n rep movsb");

static void indices_wrap_at_64_kib_in_16_bit_mode(void **state)
{
    Rig *rig = *state;
    const CpuState *s = rig_state(rig, 0);
    const uint8_t *p = rig_mem(rig, 0x30000);

    fill(rig, 0x2fffe, 2, 1); /* also 3000:... does not overlap what is written */
    fill(rig, 0x20000, 4, 3);
    assert_int_equal(RIG_RUN(rig, 16, wrap16), -1);
    assert_int_equal(s->gpr[GPR_RSI], 4);
    assert_int_equal(s->gpr[GPR_RDI], 3);
    assert_int_equal(p[0xfffd], 1);
    assert_int_equal(p[0xffff], 3);
    assert_int_equal(p[0], 4);
    assert_int_equal(p[2], 6);
}

GUEST(strlen_guest, "xor %eax, %eax\n mov $-1, %rcx\n repne scasb");
GUEST(memcmp_guest, "repe cmpsb");

static void scas_finds_and_cmps_compares(void **state)
{
    Rig *rig = *state;
    CpuState *s;
    uint8_t *a = rig_mem(rig, RIG_DATA), *b = rig_mem(rig, 0x30000);

    memset(a, 'x', 6000);
    a[5000] = 0;
    RIG_LOAD(rig, strlen_guest);
    s = prepare(rig, 0, RIG_DATA, 0);
    assert_int_equal(rig_run(rig, 0), -1);
    assert_int_equal(s->gpr[GPR_RDI], RIG_DATA + 5001);
    assert_int_equal(s->gpr[GPR_RCX], (uint64_t)-5002);
    assert_true(s->rflags & RFLAGS_ZF);

    memcpy(b, a, 6000);
    b[4500]++;
    RIG_LOAD(rig, memcmp_guest);
    s = prepare(rig, RIG_DATA, 0x30000, 6000);
    assert_int_equal(rig_run(rig, 0), -1);
    assert_int_equal(s->gpr[GPR_RSI], RIG_DATA + 4501);
    assert_int_equal(s->gpr[GPR_RCX], 6000 - 4501);
    assert_false(s->rflags & RFLAGS_ZF);
    assert_true(s->rflags & RFLAGS_CF);
}

GUEST(rep_insw, "mov $0xf6, %edx\n rep insw");
GUEST(rep_outsb, "mov $0xf6, %edx\n rep outsb");

static void ins_reads_no_port_for_a_page_that_is_missing(void **state)
{
    Rig *rig = *state;
    CpuState *s;

    rig->port_in = 0x4321;
    RIG_LOAD(rig, rep_insw);
    *pte(rig, 0x31000) &= ~1ull;
    s = prepare(rig, 0, 0x30ffc, 5);
    rig->port_accesses = 0;
    assert_int_equal(rig_run(rig, 0), EXC_PF);
    assert_int_equal(rig->port_accesses, 2);
    assert_int_equal(s->gpr[GPR_RCX], 3);
    assert_int_equal(*(uint32_t *)rig_mem(rig, 0x30ffc), 0x43214321);
}

static void outs_writes_every_element(void **state)
{
    Rig *rig = *state;
    CpuState *s;

    fill(rig, RIG_DATA, 200, 1);
    RIG_LOAD(rig, rep_outsb);
    s = prepare(rig, RIG_DATA, 0, 200);
    rig->port_accesses = 0;
    assert_int_equal(rig_run(rig, 0), -1);
    assert_int_equal(rig->port_accesses, 200);
    assert_int_equal(rig->port_out, 200);
    assert_int_equal(s->gpr[GPR_RCX], 0);
}

static void outs_writes_what_comes_before_a_missing_page_once(void **state)
{
    Rig *rig = *state;
    CpuState *s;

    fill(rig, 0x30000, PAGE, 1);
    RIG_LOAD(rig, rep_outsb);
    *pte(rig, 0x31000) &= ~1ull;
    s = prepare(rig, 0x30fd8, 0, 100);
    rig->port_accesses = 0;
    assert_int_equal(rig_run(rig, 0), EXC_PF);
    assert_int_equal(rig->port_accesses, 40);
    assert_int_equal(s->gpr[GPR_RSI], 0x31000);
    assert_int_equal(s->gpr[GPR_RCX], 60);
}

GUEST(traced_rep, "pushf\n orl $0x100, (%rsp)\n popf\n rep stosb\n nop");

static void a_trap_flag_traps_after_each_element(void **state)
{
    Rig *rig = *state;
    CpuState *s;

    RIG_LOAD(rig, traced_rep);
    s = prepare(rig, 0, RIG_DATA, 3);
    assert_int_equal(rig_run(rig, 0), EXC_DB);
    assert_int_equal(s->gpr[GPR_RCX], 2);
    assert_int_equal(rig_fault_rip(rig, 64, false), RIG_CODE + 9);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        RIG_CASE(movs_copies_across_pages),
        RIG_CASE(movs_upwards_into_its_own_source_repeats_the_pattern),
        RIG_CASE(movs_downwards_moves_an_overlapping_block),
        RIG_CASE(a_fault_in_the_middle_leaves_a_restartable_state),
        RIG_CASE(an_element_that_straddles_a_missing_page_stores_nothing),
        RIG_CASE(a_32_bit_address_size_uses_and_extends_ecx_and_edi),
        RIG_CASE(a_count_of_zero_touches_nothing),
        RIG_CASE(indices_wrap_at_64_kib_in_16_bit_mode),
        RIG_CASE(scas_finds_and_cmps_compares),
        RIG_CASE(ins_reads_no_port_for_a_page_that_is_missing),
        RIG_CASE(outs_writes_every_element),
        RIG_CASE(outs_writes_what_comes_before_a_missing_page_once),
        RIG_CASE(a_trap_flag_traps_after_each_element),
    };

    core_init();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
