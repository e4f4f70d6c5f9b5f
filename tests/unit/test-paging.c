/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The page walk of someone who looks from outside (core/paging.h), in each paging mode.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "core/bits.h"
#include "core/lock.h"
#include "core/paging.h"
#include "core/ram.h"
#include "core/thread.h"

#define RAM_SIZE (4 * MIB)
#define P BIT(0)
#define PS BIT(7)
#define NX BIT(63)

typedef struct Space {
    MemoryRegion root, ram;
    RamBlock *block;
    AddressSpace as;
    CpuState state;
} Space;

static int setup(void **state)
{
    Space *s = g_new0(Space, 1);
    RamOptions options = {.size = RAM_SIZE, .share = true};

    machine_lock();
    s->block = ram_block_new("ram", &options, NULL);
    memory_region_init_container(&s->root, "root", MEMORY_SPACE_SIZE);
    memory_region_init_ram(&s->ram, "ram", s->block, 0, RAM_SIZE);
    memory_region_add(&s->root, 0, &s->ram, 0);
    address_space_init(&s->as, &s->root, "memory");
    machine_unlock();
    *state = s;
    return 0;
}

static int teardown(void **state)
{
    Space *s = *state;

    machine_lock();
    address_space_release(&s->as);
    memory_region_remove(&s->ram);
    memory_region_release(&s->ram);
    memory_region_release(&s->root);
    ram_block_free(s->block);
    machine_unlock();
    g_free(s);
    return 0;
}

static void entry64(Space *s, uint64_t table, unsigned index, uint64_t value)
{
    store_le(s->block->host + table + 8 * index, value, 8);
}

static void entry32(Space *s, uint64_t table, unsigned index, uint32_t value)
{
    store_le(s->block->host + table + 4 * index, value, 4);
}

static void maps(Space *s, uint64_t linear, uint64_t expected)
{
    uint64_t gpa;

    assert_true(paging_translate(&s->as, &s->state, linear, &gpa));
    assert_int_equal(gpa, expected);
}

static void maps_not(Space *s, uint64_t linear)
{
    uint64_t gpa;

    assert_false(paging_translate(&s->as, &s->state, linear, &gpa));
}

static void without_paging_linear_addresses_have_32_bits(void **state)
{
    maps(*state, 0x1000, 0x1000);
    maps(*state, 0x100001000, 0x1000);
}

static void four_levels_and_large_pages(void **state)
{
    Space *s = *state;

    s->state.cr0 = CR0_PE | CR0_PG;
    s->state.cr4 = CR4_PAE;
    s->state.efer = EFER_LME | EFER_LMA;
    s->state.cr3 = 0x1000 | 0x18; /* PWT, PCD */
    entry64(s, 0x1000, 511, 0x2000 | P);
    entry64(s, 0x2000, 510, 0x3000 | P);
    entry64(s, 0x2000, 511, 0x40000000 | 0x1000 | P | PS); /* PAT in bit 12 */
    entry64(s, 0x3000, 1, 0x4000 | P);
    entry64(s, 0x3000, 2, 0x600000 | P | PS | NX);
    entry64(s, 0x4000, 3, 0x123456789000 | P);
    maps(s, 0xffffffff80203abc, 0x123456789abc);
    maps(s, 0xffffffff80412345, 0x612345);
    maps(s, 0xffffffffc0abcdef, 0x40abcdef);
    maps_not(s, 0xffffffff80204000);
    maps_not(s, 0x0000ffff80203abc); /* not canonical */
    maps_not(s, 0);
    /* The tables are as they were: no accessed bit. */
    assert_int_equal(load_le(s->block->host + 0x4000 + 24, 8), 0x123456789000 | P);
}

static void five_levels(void **state)
{
    Space *s = *state;

    s->state.cr0 = CR0_PE | CR0_PG;
    s->state.cr4 = CR4_PAE | CR4_LA57;
    s->state.efer = EFER_LME | EFER_LMA;
    s->state.cr3 = 0x1000;
    entry64(s, 0x1000, 255, 0x2000 | P);
    entry64(s, 0x2000, 0, 0x3000 | P);
    entry64(s, 0x3000, 0, 0x80000000 | P | PS);
    maps(s, 0x00ff000000000123, 0x80000123);
    maps_not(s, 0x01ff000000000123);
}

static void pae(void **state)
{
    Space *s = *state;

    s->state.cr0 = CR0_PE | CR0_PG;
    s->state.cr4 = CR4_PAE;
    s->state.cr3 = 0x1020; /* tables of 32 bytes */
    entry64(s, 0x1020, 3, 0x2000 | P);
    entry64(s, 0x2000, 511, 0x3000 | P);
    entry64(s, 0x2000, 0, 0x200000 | P | PS);
    entry64(s, 0x3000, 511, 0x7fff000 | P);
    maps(s, 0xfffff123, 0x7fff123);
    maps(s, 0xc0000456, 0x200456);
    maps(s, 0x1c0000456, 0x200456);
    maps_not(s, 0x80000000);
}

static void two_levels_and_pse36(void **state)
{
    Space *s = *state;

    s->state.cr0 = CR0_PE | CR0_PG;
    s->state.cr3 = 0x1000;
    entry32(s, 0x1000, 1, 0x2000 | P);
    entry32(s, 0x1000, 2, 0x00c00000 | 0x5u << 13 | P | PS);
    entry32(s, 0x2000, 1023, 0xfffff000 | P);
    maps(s, 0x7ff123, 0xfffff123);
    s->state.cr4 = CR4_PSE;
    maps(s, 0x812345, 0x500c12345);
}

static void tables_outside_memory_map_nothing(void **state)
{
    Space *s = *state;

    s->state.cr0 = CR0_PE | CR0_PG;
    s->state.cr3 = RAM_SIZE;
    maps_not(s, 0x1000);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(without_paging_linear_addresses_have_32_bits),
        CASE(four_levels_and_large_pages),
        CASE(five_levels),
        CASE(pae),
        CASE(two_levels_and_pse36),
        CASE(tables_outside_memory_map_nothing),
    };

    core_init();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
