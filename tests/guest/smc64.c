/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Self-modifying code: what a processor runs is what was written (SDM vol. 3, 8.1.3, 11.6).
 */
#include "lib/guest.h"

static uint8_t code[3 * 4096] __attribute__((aligned(4096)));
extern uint64_t boot_pml4[];
static uint64_t pdpt[512] __attribute__((aligned(4096))), pd[512] __attribute__((aligned(4096)));
static uint64_t pt[512] __attribute__((aligned(4096)));
#define ALIAS 0xffff800000000000ull

static void test_rewrite(void)
{
    bool ok = true;
    for (uint32_t i = 0; i < 300; i++) {
        write_fn(code, i * 77);
        ok &= call_fn(code) == i * 77;
    }
    check(ok, "a function rewritten 300 times runs as written each time");
}

static void test_page_crossing(void)
{
    bool ok = true;
    for (uint32_t i = 0; i < 50; i++) {
        write_fn(code + 4096 - 3, i + 1000);
        ok &= call_fn(code + 4096 - 3) == i + 1000;
        code[4096 + 1] = 7; /* the immediate's top byte is on the second page */
        ok &= call_fn(code + 4096 - 3) == ((i + 1000) & 0x00ffffff) + 0x07000000;
    }
    check(ok, "an instruction that crosses a page follows writes to either");
}

static void test_alias(void)
{
    boot_pml4[256] = (unsigned long)pdpt | 3;
    pdpt[0] = (unsigned long)pd | 3;
    pd[0] = (unsigned long)pt | 3;
    pt[0] = (unsigned long)code | 3;
    bool ok = true;
    for (uint32_t i = 0; i < 50; i++) {
        write_fn((uint8_t *)ALIAS, i + 5);
        ok &= call_fn(code) == i + 5;
        write_fn(code, i + 6);
        ok &= call_fn((void *)ALIAS) == i + 6;
    }
    check(ok, "writes through another mapping of the page count");
}

/* The instruction changes one that follows in the same straight line. */
static void test_same_block(void)
{
    uint32_t v;
    bool ok = true;
    for (uint32_t i = 0; i < 20; i++) {
        asm volatile("lea 1f(%%rip), %%rcx\n"
                     "mov %1, 1(%%rcx)\n"
                     "1: mov $0, %%eax\n"
                     : "=&a"(v)
                     : "r"(i + 100)
                     : "rcx", "memory");
        ok &= v == i + 100;
    }
    check(ok, "an instruction can change the next one");
}

static void test_string_store(void)
{
    static uint8_t with[6] = {0xb8, 1, 2, 3, 4, 0xc3};
    write_fn(code, 1);
    bool ok = call_fn(code) == 1;
    void *to = code;
    const void *from = with;
    unsigned long n = 6;
    asm volatile("rep movsb" : "+D"(to), "+S"(from), "+c"(n)::"memory");
    ok &= call_fn(code) == 0x04030201;
    check(ok, "REP MOVSB over code is seen");
}

/* A loop that patches itself until it ends: data and code share the page. */
static void test_data_beside_code(void)
{
    volatile uint32_t *data = (uint32_t *)(code + 2048);
    write_fn(code, 99);
    uint64_t sum = 0;
    for (int i = 0; i < 20000; i++) {
        *data += i;
        if (i % 100 == 0)
            sum += call_fn(code);
    }
    check(sum == 200 * 99, "data on a code page can be written all the time");
}

void guest_main(void)
{
    test_rewrite();
    test_page_crossing();
    test_alias();
    test_same_block();
    test_string_store();
    test_data_beside_code();
}
