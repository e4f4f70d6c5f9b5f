/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * System registers of dbt: control registers, EFER, MSRs, XCR0, CPUID's dynamic parts, KVM's clock.
 * Intel SDM vol. 3, 2.5 and 4.1; vol. 4; Linux Documentation/virt/kvm/x86/msr.rst.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "accel/dbt/sys.h"
#include "core/loop.h"
#include "core/thread.h"
#include "core/tsc.h"
#include "dbt-rig.h"

#define MSR_TSC 0x10
#define MSR_TSC_ADJUST 0x3b
#define MSR_EFER 0xc0000080

typedef struct Bench {
    Rig *rig;
    DbtVcpu *v;
    CpuState *s;
} Bench;

static int setup(void **state)
{
    Bench *b = g_new0(Bench, 1);

    b->rig = rig_new(1);
    current_vcpu = b->rig->machine->vcpus[0];
    b->v = current_vcpu->accel;
    b->s = b->v->state;
    rig_mode(b->rig, 0, 64);
    dbt_guest_enter(b->v);
    dbt_state_loaded(b->v);
    *state = b;
    return 0;
}

static int teardown(void **state)
{
    Bench *b = *state;

    dbt_guest_leave(b->v);
    current_vcpu = NULL;
    rig_free(b->rig);
    g_free(b);
    return 0;
}

static void expect_gp(const Bench *b, bool ok)
{
    assert_false(ok);
    assert_int_equal(b->v->fault.vector, EXC_GP);
    assert_int_equal(b->v->fault.error, 0);
}

static void msrs_read_back_what_was_written(void **state)
{
    static const struct {
        uint32_t msr;
        uint64_t value;
    } rows[] = {
        { 0xc0000081, 0x0023001000000000 }, { 0xc0000082, 0xffffffff81000000 }, { 0xc0000083, 0x1000 },
        { 0xc0000084, 0x47700 },            { 0xc0000100, 0x7f0000001000 },     { 0xc0000101, 0xffff888000000000 },
        { 0xc0000102, 0x1234 },             { 0xc0000103, 0x3 },                { 0x174, 0x10 },
        { 0x175, 0xffffffff82000000 },      { 0x176, 0xffffffff81000000 },      { 0x277, 0x0407050600070106 },
        { 0x200, 0x80000000 },              { 0x201, 0x3ff80000800 },           { 0x20f, 0x3ffc0000800 },
        { 0x250, 0x0606060606060606 },      { 0x259, 0x0500050004000100 },      { 0x26f, 0x0505050505050505 },
        { 0x2ff, 0xc06 },                   { 0x48, 1 },                        { 0x17a, 4 },
        { 0x4b564d05, 1 },                  { 0x4b564d04, 0x20001 },
    };
    Bench *b = *state;

    for (unsigned i = 0; i < G_N_ELEMENTS(rows); i++) {
        uint64_t value = 0;
        assert_true(dbt_msr_write(b->v, rows[i].msr, rows[i].value));
        assert_true(dbt_msr_read(b->v, rows[i].msr, &value));
        assert_true(value == rows[i].value);
    }
    assert_true(b->v->seg_base[SEG_FS] == 0x7f0000001000);
}

static void values_with_reserved_bits_and_unknown_msrs_are_refused(void **state)
{
    static const struct {
        uint32_t msr;
        uint64_t value;
    } rows[] = {
        { 0xc0000082, 0x800000000000 }, { 0xc0000101, 1ull << 63 }, { 0xc0000084, 1ull << 32 },
        { 0xc0000103, 1ull << 32 },     { 0x277, 0x02 },            { 0x277, 0x0300 },
        { 0x2ff, 0x100 },               { 0x2ff, 7 },               { 0x201, 1 },
        { 0x200, 1ull << 50 },          { 0x250, 7 },               { 0xfe, 0 },
        { 0x179, 0 },                   { 0x48, 1ull << 7 },        { 0x12345678, 0 },
        { 0x4b564d02, 1 },              { 0x4b564d05, 2 },          { MSR_EFER, 1ull << 12 },
    };
    Bench *b = *state;
    uint64_t value;

    for (unsigned i = 0; i < G_N_ELEMENTS(rows); i++)
        expect_gp(b, dbt_msr_write(b->v, rows[i].msr, rows[i].value));
    expect_gp(b, dbt_msr_read(b->v, 0x12345678, &value));
}

static void efer_lme_is_locked_while_paging_and_lma_cannot_be_written(void **state)
{
    Bench *b = *state;

    expect_gp(b, dbt_msr_write(b->v, MSR_EFER, EFER_LMA | EFER_SCE));
    assert_true(dbt_msr_write(b->v, MSR_EFER, EFER_LME));
    assert_int_equal(b->s->efer, EFER_LME | EFER_LMA);
}

static void control_registers_refuse_what_the_manual_forbids(void **state)
{
    Bench *b = *state;
    uint64_t cr0 = b->s->cr0, cr4 = b->s->cr4;

    expect_gp(b, dbt_cr0_write(b->v, cr0 & ~(uint64_t)CR0_PE));
    expect_gp(b, dbt_cr0_write(b->v, (cr0 & ~(uint64_t)CR0_CD) | CR0_NW));
    expect_gp(b, dbt_cr0_write(b->v, cr0 | BIT(32)));
    expect_gp(b, dbt_cr0_write(b->v, cr0 & ~(uint64_t)CR0_PG)); /* in 64-bit code */
    expect_gp(b, dbt_cr4_write(b->v, cr4 & ~(uint64_t)CR4_PAE));
    expect_gp(b, dbt_cr4_write(b->v, cr4 | CR4_LA57));
    expect_gp(b, dbt_cr4_write(b->v, cr4 | CR4_VME));
    expect_gp(b, dbt_cr3_write(b->v, 0x2000 | BIT(51)));
    expect_gp(b, dbt_cr3_write(b->v, 0x2000 | BIT(63))); /* no PCIDs yet */
    assert_true(b->s->cr0 == cr0 && b->s->cr4 == cr4 && b->s->cr3 == 0x2000);
    b->s->cr3 |= 8;
    expect_gp(b, dbt_cr4_write(b->v, cr4 | CR4_PCIDE));
    b->s->cr3 &= ~8ull;
    assert_true(dbt_cr4_write(b->v, cr4 | CR4_PCIDE));
    assert_true(dbt_cr3_write(b->v, 0x2005 | BIT(63)));
    assert_int_equal(b->s->cr3, 0x2005);
}

static void long_mode_begins_and_ends_with_paging(void **state)
{
    Bench *b = *state;

    rig_mode(b->rig, 0, 32);
    b->s->tr.attr = 0x8b;
    dbt_state_loaded(b->v);
    assert_true(dbt_msr_write(b->v, MSR_EFER, EFER_LME));
    b->s->cr3 = 0x2000;
    expect_gp(b, dbt_cr0_write(b->v, b->s->cr0 | CR0_PG)); /* without PAE */
    assert_true(dbt_cr4_write(b->v, b->s->cr4 | CR4_PAE));
    assert_true(dbt_cr0_write(b->v, b->s->cr0 | CR0_PG));
    assert_int_equal(b->s->efer, EFER_LME | EFER_LMA);
    assert_int_equal(b->v->code_bits, 32);
    assert_true(dbt_cr0_write(b->v, b->s->cr0 & ~(uint64_t)CR0_PG));
    assert_int_equal(b->s->efer, EFER_LME);
}

static void the_tsc_and_its_adjustment_move_together(void **state)
{
    Bench *b = *state;
    uint64_t tsc, adjust, offset;

    assert_true(dbt_msr_write(b->v, MSR_TSC, 1ull << 40));
    assert_true(dbt_msr_read(b->v, MSR_TSC, &tsc));
    assert_true(tsc >= 1ull << 40 && tsc < (1ull << 40) + (1ull << 36));
    assert_true(dbt_msr_read(b->v, MSR_TSC_ADJUST, &adjust));
    offset = b->s->tsc_offset;
    assert_true(dbt_msr_write(b->v, MSR_TSC_ADJUST, adjust + 1000));
    assert_true(b->s->tsc_offset == offset + 1000);
}

static void xcr0_takes_components_that_belong_together(void **state)
{
    Bench *b = *state;

    expect_gp(b, dbt_xcr0_write(b->v, 0));
    expect_gp(b, dbt_xcr0_write(b->v, XCR0_X87 | XCR0_AVX));
    expect_gp(b, dbt_xcr0_write(b->v, XCR0_X87 | XCR0_PKRU));
    assert_true(dbt_xcr0_write(b->v, XCR0_X87 | XCR0_SSE));
}

static void cpuid_follows_the_registers_it_reports(void **state)
{
    Bench *b = *state;
    uint32_t regs[4];

    dbt_cpuid(b->v, 1, 0, regs);
    assert_int_equal(regs[2] >> 27 & 1, 0);
    assert_true(dbt_cr4_write(b->v, b->s->cr4 | CR4_OSXSAVE));
    dbt_cpuid(b->v, 1, 0, regs);
    assert_int_equal(regs[2] >> 27 & 1, 1);
    assert_true(dbt_xcr0_write(b->v, XCR0_X87 | XCR0_SSE));
    dbt_cpuid(b->v, 0xd, 0, regs);
    assert_int_equal(regs[1], 576);
    if (regs[0] & XCR0_AVX) {
        assert_true(dbt_xcr0_write(b->v, XCR0_X87 | XCR0_SSE | XCR0_AVX));
        dbt_cpuid(b->v, 0xd, 0, regs);
        assert_int_equal(regs[1], 832);
    }
}

/* What kernels would work around at each return and each system call. */
static void the_cpu_has_neither_indirect_target_selection_nor_branch_history_injection(void **state)
{
    Bench *b = *state;
    uint64_t capabilities = 0;
    uint32_t regs[4];

    assert_true(dbt_msr_read(b->v, 0x10a, &capabilities));
    assert_true(capabilities >> 62 & 1); /* ITS_NO */
    assert_true(capabilities >> 20 & 1); /* BHI_NO */
    dbt_cpuid(b->v, 7, 0, regs);
    assert_true(regs[0] >= 2);
    dbt_cpuid(b->v, 7, 2, regs);
    assert_true(regs[3] >> 4 & 1); /* BHI_CTRL */
}

/* What a guest computes from the page: pvclock_read of its kernel. */
static uint64_t guest_clock(const uint8_t *page, uint64_t tsc)
{
    uint64_t delta = tsc - load_le(page + 8, 8);
    int8_t shift = (int8_t)page[28];

    delta = shift < 0 ? delta >> -shift : delta << shift;
    return load_le(page + 16, 8) + (uint64_t)((__uint128_t)delta * load_le(page + 24, 4) >> 32);
}

static void the_kvm_clock_page_tells_the_virtual_time(void **state)
{
    Bench *b = *state;
    const uint8_t *page = rig_mem(b->rig, RIG_DATA);
    int64_t before, told, after;

    clock_set_running(true);
    assert_true(dbt_msr_write(b->v, 0x4b564d01, RIG_DATA | 1));
    assert_int_equal(load_le(page, 4) & 1, 0);
    assert_int_not_equal(load_le(page, 4), 0);
    assert_int_equal(page[29], 1);
    before = clock_get_ns(VMCLOCK_VIRTUAL);
    told = (int64_t)guest_clock(page, dbt_tsc(b->v));
    after = clock_get_ns(VMCLOCK_VIRTUAL);
    assert_true(told > before - 2 * NS_PER_MS && told < after + 2 * NS_PER_MS);
    /* A moved TSC does not move the clock. */
    assert_true(dbt_msr_write(b->v, MSR_TSC, 0));
    told = (int64_t)guest_clock(page, dbt_tsc(b->v));
    after = clock_get_ns(VMCLOCK_VIRTUAL);
    assert_true(told > before - 2 * NS_PER_MS && told < after + 2 * NS_PER_MS);
    clock_set_running(false);
}

static void the_wall_clock_is_the_time_of_boot(void **state)
{
    Bench *b = *state;
    const uint8_t *page = rig_mem(b->rig, RIG_DATA);
    int64_t boot = clock_get_ns(VMCLOCK_HOST) - clock_get_ns(VMCLOCK_VIRTUAL);

    assert_true(dbt_msr_write(b->v, 0x4b564d00, RIG_DATA));
    assert_int_equal(load_le(page, 4) & 1, 0);
    assert_in_range(load_le(page + 4, 4), boot / NS_PER_SEC - 1, boot / NS_PER_SEC + 2);
    assert_in_range(load_le(page + 8, 4), 0, NS_PER_SEC - 1);
}

GUEST(store_gdt, "sgdt 0x20000");
GUEST(read_tsc, "rdtsc");
GUEST(bad_invpcid, "mov $4, %eax\n invpcid 0x20000, %rax");
GUEST(read_cr1, ".byte 0x0f, 0x20, 0xc8"); /* mov %cr1, %eax */
GUEST(privileged, "wbinvd");

static void user_mode(Bench *b)
{
    rig_mode(b->rig, 0, 64);
    for (unsigned i = 0; i < SEG_COUNT; i++)
        b->s->seg[i].attr |= SEG_ATTR_DPL;
    b->s->rflags |= RFLAGS_IOPL;
    b->s->tr = (SegmentReg){ 0x30, 0x8b, 0x67, 0x8000 };
    store_le(rig_mem(b->rig, 0x8004), 0x60000, 8);
}

static void privileged_instructions_fault_in_user_mode(void **state)
{
    Bench *b = *state;

    dbt_guest_leave(b->v);
    RIG_LOAD(b->rig, privileged);
    user_mode(b);
    assert_int_equal(rig_run(b->rig, 0), EXC_GP);
    RIG_LOAD(b->rig, store_gdt);
    user_mode(b);
    assert_int_equal(rig_run(b->rig, 0), -1);
    user_mode(b);
    b->s->cr4 |= CR4_UMIP;
    assert_int_equal(rig_run(b->rig, 0), EXC_GP);
    RIG_LOAD(b->rig, read_tsc);
    user_mode(b);
    assert_int_equal(rig_run(b->rig, 0), -1);
    user_mode(b);
    b->s->cr4 |= CR4_TSD;
    assert_int_equal(rig_run(b->rig, 0), EXC_GP);
    assert_int_equal(RIG_RUN(b->rig, 64, bad_invpcid), EXC_GP);
    assert_int_equal(RIG_RUN(b->rig, 64, read_cr1), EXC_UD);
    current_vcpu = b->v->cpu;
    dbt_guest_enter(b->v);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(msrs_read_back_what_was_written),
        CASE(values_with_reserved_bits_and_unknown_msrs_are_refused),
        CASE(efer_lme_is_locked_while_paging_and_lma_cannot_be_written),
        CASE(control_registers_refuse_what_the_manual_forbids),
        CASE(long_mode_begins_and_ends_with_paging),
        CASE(the_tsc_and_its_adjustment_move_together),
        CASE(xcr0_takes_components_that_belong_together),
        CASE(cpuid_follows_the_registers_it_reports),
        CASE(the_cpu_has_neither_indirect_target_selection_nor_branch_history_injection),
        CASE(the_kvm_clock_page_tells_the_virtual_time),
        CASE(the_wall_clock_is_the_time_of_boot),
        CASE(privileged_instructions_fault_in_user_mode),
    };

    core_init();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
