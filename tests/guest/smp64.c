/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Four processors: start-up, atomic operations, IPIs, TLB shootdown. Run with -smp 4.
 */
#include "lib/guest.h"

#define CPUS 4
#define ROUNDS 10000

static volatile uint32_t online, counter, plain_lock, locked_count, pings[CPUS], stop, flushed;
static volatile uint64_t cmpxchg_sum;
static volatile uint32_t go;
static uint32_t ids[CPUS] = {0, 1, 2, 3};

extern uint64_t boot_pml4[];
static uint64_t pdpt[512] __attribute__((aligned(4096))), pd[512] __attribute__((aligned(4096)));
static uint64_t pt[512] __attribute__((aligned(4096)));
static volatile uint32_t page_a[1024] __attribute__((aligned(4096))), page_b[1024] __attribute__((aligned(4096)));
#define SHARED_LINEAR ((volatile uint32_t *)0xffff800000000000ull)
static volatile uint32_t seen[CPUS], looks[CPUS];

static unsigned self(void)
{
    return apic_read(APIC_ID) >> 24;
}

static void on_ping(Frame *frame)
{
    pings[self()]++;
    apic_eoi();
}

static void on_flush(Frame *frame)
{
    asm volatile("invlpg (%0)" ::"r"(SHARED_LINEAR) : "memory");
    apic_eoi();
    __atomic_fetch_add(&flushed, 1, __ATOMIC_SEQ_CST);
}

static void work(void)
{
    for (int i = 0; i < ROUNDS; i++) {
        asm volatile("lock incl %0" : "+m"(counter));
        while (__atomic_exchange_n(&plain_lock, 1, __ATOMIC_ACQUIRE))
            pause();
        locked_count++;
        __atomic_store_n(&plain_lock, 0, __ATOMIC_RELEASE);
        uint64_t old = cmpxchg_sum;
        while (!__atomic_compare_exchange_n(&cmpxchg_sum, &old, old + 3, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST))
            ;
    }
}

static void ap_main(void *arg)
{
    unsigned me = *(uint32_t *)arg;

    if (self() != me)
        return;
    __atomic_fetch_add(&online, 1, __ATOMIC_SEQ_CST);
    sti();
    while (!go)
        pause();
    work();
    __atomic_fetch_add(&online, 1, __ATOMIC_SEQ_CST);
    while (!stop) {
        if (go >= 2) {
            seen[me] = *SHARED_LINEAR;
            looks[me]++;
        }
        pause();
    }
}

/* Until each of the others has begun and ended a look at the page. */
static void wait_looks(void)
{
    uint32_t before[CPUS];

    for (unsigned i = 1; i < CPUS; i++)
        before[i] = looks[i];
    for (unsigned i = 1; i < CPUS; i++)
        spin_for(&looks[i], before[i] + 2);
}

static void test_shootdown(void)
{
    boot_pml4[256] = (unsigned long)pdpt | 3;
    pdpt[0] = (unsigned long)pd | 3;
    pd[0] = (unsigned long)pt | 3;
    pt[0] = (unsigned long)page_a | 3;
    page_a[0] = 1;
    page_b[0] = 2;
    asm volatile("" ::: "memory");
    go = 2;
    wait_looks();
    check(seen[1] == 1 && seen[2] == 1 && seen[3] == 1, "all processors see the first page");
    asm volatile("" ::: "memory");
    pt[0] = (unsigned long)page_b | 3;
    apic_send(0, 0xc0000 | 0x62); /* all but self */
    spin_for(&flushed, 3);
    check(flushed == 3, "all processors flush on an IPI");
    wait_looks();
    check(seen[1] == 2 && seen[2] == 2 && seen[3] == 2, "and see the second page then");
}

void guest_main(void)
{
    apic_enable();
    intr_set_handler(0x61, on_ping);
    intr_set_handler(0x62, on_flush);
    check(rdmsr(0x1b) & 1 << 8, "the first processor is the BSP");
    for (unsigned i = 1; i < CPUS; i++)
        check(smp_start(i, ap_main, &ids[i]), "processor %u starts by INIT and SIPI", i);
    spin_for(&online, 3);
    check(online == 3, "each finds its own APIC id");
    go = 1;
    work();
    spin_for(&online, 6);
    check(counter == CPUS * ROUNDS, "LOCK INC loses nothing (%u)", counter);
    check(locked_count == CPUS * ROUNDS, "an XCHG spin lock excludes (%u)", locked_count);
    check(cmpxchg_sum == 3 * CPUS * ROUNDS, "LOCK CMPXCHG loses nothing (%lu)", (unsigned long)cmpxchg_sum);
    apic_send(1, 0x61);
    apic_send(2, 0x61);
    spin_for(&pings[1], 1);
    spin_for(&pings[2], 1);
    check(pings[1] == 1 && pings[2] == 1 && pings[3] == 0, "an IPI reaches the processor it names");
    apic_send(0, 0xc0000 | 0x61);
    spin_for(&pings[1], 2);
    spin_for(&pings[2], 2);
    spin_for(&pings[3], 1);
    check(pings[1] == 2 && pings[2] == 2 && pings[3] == 1 && pings[0] == 0, "a broadcast reaches all others");
    test_shootdown();
    stop = 1;
}
