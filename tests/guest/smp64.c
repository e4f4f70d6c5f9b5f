/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Four processors: start-up, atomic operations, IPIs, TLB shootdown, the order of loads and stores (SDM vol. 3, 9.2.3). Run
 * with -smp 4.
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

/* Each on a cache line of its own. */
typedef struct Word {
    volatile uint64_t value;
} __attribute__((aligned(64))) Word;

/* Messages: the data is stored before the flag. reversed: a flag was seen without its data; changes: flags seen. */
#define MESSAGES 20
#define MESSAGES_MAX 400000000u
static Word data, flag;
static volatile uint32_t reversed[CPUS], changes[CPUS];

/* Both store their own word and then look at the other's; round n is over for the second processor when its word of turns is n. */
#define CROSSINGS 100
static Word words[2], turn, turned;
static volatile uint64_t looked;

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

static void look_at_messages(unsigned me)
{
    static uint64_t last[CPUS];
    uint64_t seen_flag = flag.value, seen_data = data.value;

    reversed[me] += seen_data < seen_flag;
    changes[me] += seen_flag != last[me];
    last[me] = seen_flag;
}

/* What is behind a full fence, of either kind, is not before it. */
static uint64_t store_and_look(unsigned mine, uint64_t n)
{
    words[mine].value = n;
    if (n & 1)
        asm volatile("mfence" ::: "memory");
    else
        asm volatile("lock orl $0, (%%rsp)" ::: "memory", "cc");
    return words[!mine].value;
}

static void take_turns(void)
{
    for (uint64_t n = 1; n <= CROSSINGS; n++) {
        while (turn.value < n)
            pause();
        looked = store_and_look(1, n);
        turned.value = n;
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
        if (go == 3)
            look_at_messages(me);
        if (go == 4 && me == 1 && !turned.value)
            take_turns();
        pause();
    }
}

static void test_order(void)
{
    bool fenced = true;

    go = 3;
    for (uint64_t n = 1; n < MESSAGES_MAX && (changes[1] < MESSAGES || changes[2] < MESSAGES || changes[3] < MESSAGES); n++) {
        data.value = n;
        flag.value = n;
    }
    check(changes[1] >= MESSAGES && changes[2] >= MESSAGES && changes[3] >= MESSAGES, "stores are seen by all others");
    check(!reversed[1] && !reversed[2] && !reversed[3], "in the order they were made");
    go = 4;
    for (uint64_t n = 1; n <= CROSSINGS; n++) {
        uint64_t mine;

        turn.value = n;
        mine = store_and_look(0, n);
        while (turned.value < n)
            pause();
        fenced &= mine == n || looked == n;
    }
    check(fenced, "of two processors with fences between a store and a load one sees the other's store");
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
    test_order();
    stop = 1;
}
