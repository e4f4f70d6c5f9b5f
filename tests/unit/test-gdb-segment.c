/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Selectors written by a debugger load what the CPU would load (src/debug/gdb-segment.c; SDM vol. 2, MOV
 * and JMP).
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <glib.h>
#include <string.h>

#include "core/bits.h"
#include "core/lock.h"
#include "core/machine.h"
#include "core/thread.h"
#include "fake-accel.h"
#include "src/debug/gdb-segment.h"

#define RAM_SIZE (1u << 20)
#define GDT 0x1000u
#define LDT 0x2000u

/* Descriptors: base 0x12345678 unless flat. DPL in bits 5 and 6 of the type byte. */
enum {
    CODE32 = 0x08, CODE64 = 0x10, DATA = 0x18, DATA3 = 0x20, READ_ONLY = 0x28, ABSENT = 0x30, CONFORMING = 0x38,
    EXECUTE_ONLY = 0x40, SYSTEM = 0x48, BIG = 0x50, CODE3 = 0x58, LAST = 0x60,
};

typedef struct Bench {
    Machine *machine;
    MemoryRegion ram;
    CpuState s;
} Bench;

static void put(Bench *b, uint32_t addr, uint32_t base, uint32_t limit, uint8_t type, uint8_t flags)
{
    uint64_t d = (limit & 0xffff) | (uint64_t)(base & 0xffffff) << 16 | (uint64_t)type << 40 |
                 (uint64_t)(limit >> 16 & 0xf) << 48 | (uint64_t)flags << 52 | (uint64_t)(base >> 24) << 56;

    store_le((uint8_t *)b->machine->ram->host + addr, d, 8);
}

static VcpuExit never_runs(Vcpu *vcpu)
{
    return VCPU_EXIT_STOP;
}

/* 32-bit protected mode at level 0, without paging. */
static int setup(void **state)
{
    Bench *b = g_new0(Bench, 1);

    b->machine = fake_machine_new(1, never_runs);
    machine_lock();
    memory_region_init_ram(&b->ram, "ram", b->machine->ram, 0, RAM_SIZE);
    memory_region_add(&b->machine->memory_root, 0, &b->ram, 0);
    put(b, GDT + CODE32, 0, 0xfffff, 0x9a, 0xc);
    put(b, GDT + CODE64, 0, 0xfffff, 0x9a, 0xa);
    put(b, GDT + DATA, 0x12345678, 0xabcd, 0x92, 0x4);
    put(b, GDT + DATA3, 0x12345678, 0xabcd, 0xf2, 0x4);
    put(b, GDT + READ_ONLY, 0x12345678, 0xabcd, 0x90, 0x4);
    put(b, GDT + ABSENT, 0x12345678, 0xabcd, 0x12, 0x4);
    put(b, GDT + CONFORMING, 0, 0xfffff, 0x9e, 0xc);
    put(b, GDT + EXECUTE_ONLY, 0, 0xfffff, 0x98, 0xc);
    put(b, GDT + SYSTEM, 0, 0xfffff, 0x89, 0);
    put(b, GDT + BIG, 0xfedc0000, 0x12345, 0x92, 0xc);
    put(b, GDT + CODE3, 0, 0xfffff, 0xfa, 0xc);
    put(b, LDT + 8, 0x00abc000, 0x10, 0x92, 0x4);
    b->s.cr0 = CR0_PE;
    b->s.gdtr = (DescTableReg){GDT, LAST - 1};
    b->s.ldtr = (SegmentReg){.attr = SEG_ATTR_UNUSABLE};
    b->s.seg[SEG_CS] = (SegmentReg){CODE32, 0xc09b, 0xffffffff, 0};
    b->s.seg[SEG_SS] = (SegmentReg){DATA, 0x4093, 0xabcd, 0x12345678};
    *state = b;
    return 0;
}

static int teardown(void **state)
{
    Bench *b = *state;

    memory_region_remove(&b->ram);
    machine_unlock();
    machine_free(b->machine);
    memory_region_release(&b->ram);
    g_free(b);
    return 0;
}

static bool load(Bench *b, SegIndex seg, uint16_t selector)
{
    return gdb_segment_load(&b->machine->memory, &b->s, seg, selector);
}

static void assert_refused(Bench *b, SegIndex seg, uint16_t selector)
{
    CpuState before = b->s;

    assert_false(load(b, seg, selector));
    assert_memory_equal(&before, &b->s, sizeof(before));
}

static void level(Bench *b, unsigned cpl)
{
    b->s.seg[SEG_SS].attr = 0x4093 | cpl << SEG_ATTR_DPL_SHIFT;
}

static void data_segments_get_base_limit_and_attributes(void **state)
{
    Bench *b = *state;

    assert_true(load(b, SEG_DS, DATA));
    assert_int_equal(b->s.seg[SEG_DS].selector, DATA);
    assert_int_equal(b->s.seg[SEG_DS].base, 0x12345678);
    assert_int_equal(b->s.seg[SEG_DS].limit, 0xabcd);
    assert_int_equal(b->s.seg[SEG_DS].attr, 0x4093); /* accessed */
    assert_true(load(b, SEG_FS, BIG));
    assert_int_equal(b->s.seg[SEG_FS].base, 0xfedc0000);
    assert_int_equal(b->s.seg[SEG_FS].limit, 0x12345fff);
    assert_true(load(b, SEG_ES, READ_ONLY));
    assert_true(load(b, SEG_GS, CODE32)); /* readable code */
}

static void guest_memory_keeps_no_trace(void **state)
{
    Bench *b = *state;
    g_autofree void *before = g_memdup2(b->machine->ram->host, RAM_SIZE);

    assert_true(load(b, SEG_DS, DATA));
    assert_true(load(b, SEG_CS, CONFORMING));
    assert_memory_equal(before, b->machine->ram->host, RAM_SIZE);
}

static void what_a_cpu_would_fault_on_is_refused(void **state)
{
    Bench *b = *state;

    assert_refused(b, SEG_DS, ABSENT);
    assert_refused(b, SEG_DS, EXECUTE_ONLY);
    assert_refused(b, SEG_DS, SYSTEM);
    assert_refused(b, SEG_DS, LAST);        /* beyond the table */
    assert_refused(b, SEG_DS, 0xfff8);
    assert_refused(b, SEG_DS, 8 | 4);       /* there is no LDT */
    assert_refused(b, SEG_SS, READ_ONLY);
    assert_refused(b, SEG_SS, CODE32);
    assert_refused(b, SEG_SS, DATA3);       /* of another level */
    assert_refused(b, SEG_SS, DATA | 3);
    assert_refused(b, SEG_CS, DATA);
    assert_refused(b, SEG_CS, CODE3 | 3);   /* a jump does not change the level */
    b->s.gdtr.base = RAM_SIZE;              /* not in memory */
    assert_refused(b, SEG_DS, DATA);
}

static void levels_are_checked(void **state)
{
    Bench *b = *state;

    level(b, 3);
    assert_refused(b, SEG_DS, DATA);
    assert_refused(b, SEG_DS, DATA | 3);
    assert_true(load(b, SEG_DS, DATA3 | 3));
    assert_true(load(b, SEG_ES, CONFORMING | 3)); /* whatever the level */
    assert_true(load(b, SEG_SS, DATA3 | 3));
    assert_true(load(b, SEG_CS, CODE3));
    assert_int_equal(b->s.seg[SEG_CS].selector, CODE3 | 3);
    assert_true(load(b, SEG_CS, CONFORMING));
    assert_int_equal(b->s.seg[SEG_CS].selector, CONFORMING | 3);
    level(b, 0);
    assert_true(load(b, SEG_DS, DATA3 | 3));
    assert_refused(b, SEG_DS, DATA | 1);          /* RPL asks for less */
}

static void null_selectors_make_data_segments_unusable(void **state)
{
    Bench *b = *state;

    assert_true(load(b, SEG_DS, 3));
    assert_int_equal(b->s.seg[SEG_DS].selector, 3);
    assert_true(b->s.seg[SEG_DS].attr & SEG_ATTR_UNUSABLE);
    assert_refused(b, SEG_SS, 0);
    assert_refused(b, SEG_CS, 0);
}

static void a_local_table_is_used_if_there_is_one(void **state)
{
    Bench *b = *state;

    b->s.ldtr = (SegmentReg){.attr = 0x82, .limit = 15, .base = LDT};
    assert_true(load(b, SEG_ES, 8 | 4));
    assert_int_equal(b->s.seg[SEG_ES].base, 0x00abc000);
    assert_refused(b, SEG_ES, 16 | 4);
}

static void real_mode_and_v86_mode_have_no_descriptors(void **state)
{
    Bench *b = *state;

    b->s.cr0 = 0;
    assert_true(load(b, SEG_CS, 0xf000));
    assert_int_equal(b->s.seg[SEG_CS].base, 0xf0000);
    assert_int_equal(b->s.seg[SEG_CS].limit, 0xffffffff); /* unreal mode lives on that */
    b->s.cr0 = CR0_PE;
    b->s.rflags |= RFLAGS_VM;
    assert_true(load(b, SEG_DS, 0xb800));
    assert_int_equal(b->s.seg[SEG_DS].base, 0xb8000);
}

static void code_of_64_and_32_bits(void **state)
{
    Bench *b = *state;

    b->s.rip = 0x1000;
    assert_true(load(b, SEG_CS, CODE64)); /* L means nothing without long mode */
    b->s.efer = EFER_LMA | EFER_LME;
    assert_true(load(b, SEG_CS, CODE64));
    assert_true(b->s.seg[SEG_CS].attr & SEG_ATTR_L);
    assert_true(load(b, SEG_SS, 0)); /* a null stack, in 64-bit code only */
    assert_int_equal((b->s.seg[SEG_SS].attr & SEG_ATTR_DPL) >> SEG_ATTR_DPL_SHIFT, 0);
    assert_refused(b, SEG_SS, 1);
    b->s.rip = 0xffffffff80000000;
    assert_refused(b, SEG_CS, CODE32); /* where it would be beyond the limit */
    b->s.rip = 0x1000;
    assert_true(load(b, SEG_CS, CODE32));
    assert_refused(b, SEG_SS, 0);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(data_segments_get_base_limit_and_attributes),
        CASE(guest_memory_keeps_no_trace),
        CASE(what_a_cpu_would_fault_on_is_refused),
        CASE(levels_are_checked),
        CASE(null_selectors_make_data_segments_unusable),
        CASE(a_local_table_is_used_if_there_is_one),
        CASE(real_mode_and_v86_mode_have_no_descriptors),
        CASE(code_of_64_and_32_bits),
    };

    core_init();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
