/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Process-context identifiers (SDM vol. 3, 4.10): two address spaces that map other pages at the same addresses, with all
 * that takes translations back. What a processor may still know is not asked about, only what it must, and must not.
 */
#include "lib/guest.h"

#define WINDOW 0x8000000000ul /* entry 1 of the PML4 */
#define CODE ((void *)WINDOW)
#define DATA (*(volatile uint64_t *)(WINDOW + 0x1000))
#define SHARED (*(volatile uint64_t *)(WINDOW + 0x2000))
#define LARGE (*(volatile uint64_t *)(WINDOW + 0x200000 + 0x5000))
#define OTHER_LARGE 0x1000000ul /* 2 MiB of RAM that nobody uses */
#define SWITCHES 20000

#define P 1ul
#define W 2ul
#define ACCESSED 0x20ul
#define DIRTY 0x40ul
#define PS 0x80ul
#define GLOBAL 0x100ul
#define KEEP (1ul << 63)
#define CR4_PGE 0x80ul
#define CR4_PCIDE 0x20000ul

typedef uint64_t Table[512] __attribute__((aligned(4096)));

static Table pml4[2], pdpt[2], pd[2], pt[2];
static uint8_t pages[6][4096] __attribute__((aligned(4096)));
extern uint64_t boot_pml4[];

enum { INVPCID_PAGE, INVPCID_ONE, INVPCID_ALL, INVPCID_NOT_GLOBAL };

static unsigned long address(const void *p)
{
    return (unsigned long)p;
}

static void invpcid(unsigned long type, uint64_t pcid, uint64_t linear)
{
    uint64_t descriptor[2] = {pcid, linear};

    asm volatile("invpcid %0, %1" ::"m"(descriptor), "r"(type) : "memory");
}

static void invlpg(unsigned long linear)
{
    asm volatile("invlpg (%0)" ::"r"(linear) : "memory");
}

/* Space n has PCID n + 1. */
static void use(unsigned n, unsigned long keep)
{
    WRITE_CR(3, address(pml4[n]) | (n + 1) | keep);
}

static void map(void)
{
    for (unsigned n = 0; n < 2; n++) {
        for (unsigned i = 0; i < 512; i++)
            pml4[n][i] = boot_pml4[i];
        pml4[n][1] = address(pdpt[n]) | P | W;
        pdpt[n][0] = address(pd[n]) | P | W;
        pd[n][0] = address(pt[n]) | P | W;
        pd[n][1] = n * 0x200000 | P | W | PS;
        pt[n][0] = address(pages[n]) | P | W;
        pt[n][1] = address(pages[2 + n]) | P | W;
        pt[n][2] = address(pages[4]) | P | W | GLOBAL;
        write_fn(pages[n], 100 + n);
        *(uint64_t *)pages[2 + n] = 0;
    }
    *(uint64_t *)pages[4] = 4;
    *(uint64_t *)pages[5] = 5;
}

static void test_spaces_keep_apart(void)
{
    bool code = true, data = true;

    for (uint32_t i = 0; i < SWITCHES; i++) {
        unsigned n = i & 1;

        use(n, KEEP);
        code &= call_fn(CODE) == 100 + n;
        data &= DATA == (i & ~1u);
        DATA = i + 2 - n;
    }
    check(code, "each space runs its own code");
    check(data, "each space has its own data");
    check(*(uint64_t *)pages[2] == SWITCHES && *(uint64_t *)pages[3] == SWITCHES, "what was stored is in the right pages");
}

static void test_same_space_written_again(void)
{
    use(0, 0);
    DATA = 7;
    pt[0][1] = address(pages[5]) | P | W;
    use(0, 0);
    check(DATA == 5, "a CR3 write without bit 63 takes the translations of its PCID");
    use(1, KEEP);
    pt[0][1] = address(pages[2]) | P | W;
    use(0, 0);
    check(DATA == 7, "so it does when it comes from another");
}

static void test_invlpg(void)
{
    use(0, 0);
    (void)(DATA + SHARED + LARGE);
    pt[0][1] = address(pages[5]) | P | W;
    invlpg(WINDOW + 0x1ff8);
    check(DATA == 5, "INVLPG takes a page");
    pt[0][2] = address(pages[5]) | P | W | GLOBAL;
    pt[1][2] = address(pages[5]) | P | W | GLOBAL;
    invlpg(WINDOW + 0x2000);
    check(SHARED == 5, "INVLPG takes a global page");
    use(1, KEEP);
    check(SHARED == 5, "in every space");
    use(0, KEEP);
    *(volatile uint64_t *)(OTHER_LARGE + 0x5000) = 0x1234;
    pd[0][1] = OTHER_LARGE | P | W | PS;
    invlpg(WINDOW + 0x3ff000);
    check(LARGE == 0x1234, "INVLPG takes all of a large page");
    map();
    WRITE_CR(4, READ_CR(4) & ~CR4_PGE);
    WRITE_CR(4, READ_CR(4) | CR4_PGE);
}

/* Space 0 is current; its data page and the shared one change, and those of space 1. */
static void prepare_change(void)
{
    use(1, KEEP);
    (void)(DATA + SHARED);
    use(0, KEEP);
    (void)(DATA + SHARED);
    for (unsigned n = 0; n < 2; n++) {
        pt[n][1] = address(pages[5]) | P | W;
        pt[n][2] = address(pages[5]) | P | W | GLOBAL;
    }
}

static void undo_change(void)
{
    map();
    invpcid(INVPCID_ALL, 0, 0);
    use(0, KEEP);
    DATA = 20;
    use(1, KEEP);
    DATA = 21;
}

static void test_invpcid(void)
{
    undo_change();
    prepare_change();
    invpcid(INVPCID_PAGE, 1, WINDOW + 0x1000);
    check(DATA == 5, "INVPCID takes a page of the current PCID");
    invpcid(INVPCID_PAGE, 2, WINDOW + 0x1000);
    use(1, KEEP);
    check(DATA == 5, "and of another");
    undo_change();
    prepare_change();
    invpcid(INVPCID_ONE, 2, 0);
    use(1, KEEP);
    check(DATA == 5, "INVPCID takes all pages of a PCID");
    undo_change();
    prepare_change();
    invpcid(INVPCID_NOT_GLOBAL, 0, 0);
    check(DATA == 5, "INVPCID takes what is not global");
    use(1, KEEP);
    check(DATA == 5, "of all PCIDs");
    undo_change();
    prepare_change();
    invpcid(INVPCID_ALL, 0, 0);
    check(DATA == 5 && SHARED == 5, "INVPCID takes everything");
    use(1, KEEP);
    check(DATA == 5 && SHARED == 5, "everywhere");
    undo_change();
}

static void test_cr4(void)
{
    prepare_change();
    WRITE_CR(4, READ_CR(4) & ~CR4_PGE);
    check(DATA == 5 && SHARED == 5, "a change of CR4.PGE takes everything");
    use(1, KEEP);
    check(DATA == 5 && SHARED == 5, "of all PCIDs");
    WRITE_CR(4, READ_CR(4) | CR4_PGE);
    undo_change();
}

static void test_accessed_and_dirty(void)
{
    use(0, 0);
    DATA = 1;
    check((pt[0][1] & (ACCESSED | DIRTY)) == (ACCESSED | DIRTY), "a store sets the accessed and the dirty bit");
    pt[0][1] &= ~(ACCESSED | DIRTY);
    invlpg(WINDOW + 0x1000);
    (void)DATA;
    check((pt[0][1] & (ACCESSED | DIRTY)) == ACCESSED, "cleared and flushed, a load sets the first again");
    DATA = 2;
    check(pt[0][1] & DIRTY, "and a store the second");
    pt[0][1] &= ~(ACCESSED | DIRTY);
    use(1, KEEP);
    invpcid(INVPCID_ONE, 1, 0);
    use(0, KEEP);
    DATA = 3;
    check(pt[0][1] & DIRTY, "so it is when another space was current");
}

/* A page that becomes present or writable needs no flush, at most a fault. */
static void test_more_rights(void)
{
    pt[0][1] = address(pages[2]) | P;
    use(0, 0);
    (void)DATA;
    pt[0][3] = 0;
    check(FAULT("mov (%0), %%rax", :: "r"(WINDOW + 0x3000) : "rax", "memory") == 14, "a page that isn't there faults");
    pt[0][3] = address(pages[5]) | P | W;
    check(*(volatile uint64_t *)(WINDOW + 0x3000) == 5, "and is there when its entry is");
    pt[0][1] = address(pages[2]) | P | W;
    invlpg(WINDOW + 0x1000);
    DATA = 9;
    check(*(uint64_t *)pages[2] == 9, "a page that has become writable is written");
}

void guest_main(void)
{
    uint32_t r[4], ebx7;

    cpuid(7, 0, r);
    ebx7 = r[1];
    cpuid(1, 0, r);
    if (!(r[2] >> 17 & 1) || !(ebx7 >> 10 & 1)) {
        skip("process-context identifiers", "the CPU has no PCID or no INVPCID");
        return;
    }
    WRITE_CR(4, READ_CR(4) | CR4_PGE | CR4_PCIDE);
    map();
    test_spaces_keep_apart();
    test_same_space_written_again();
    test_invlpg();
    test_invpcid();
    test_cr4();
    test_accessed_and_dirty();
    test_more_rights();
    WRITE_CR(3, address(boot_pml4));
}
