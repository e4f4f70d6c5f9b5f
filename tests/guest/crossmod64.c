/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Two processors: one runs code, the other rewrites it (SDM vol. 3, 8.1.3), with and without telling it; and code that ends
 * badly: in data that changes, behind its last page, among more functions than a translator keeps. Run with -smp 2.
 */
#include "lib/guest.h"

#define VECTOR_SYNC 0x41
#define PROTOCOL_ROUNDS 200
#define POKE_ROUNDS 50
#define LOOSE_CALLS 20000
#define JUMPS 500
#define FUNCTIONS 8000
#define FUNCTION_SIZE 64
#define AREA ((uint8_t *)0x1000000)
#define WINDOW 0xffff800000000000ul

/* At an address of 4n + 3, so that the immediate is aligned: one store replaces it as a whole. */
static uint8_t page[4096] __attribute__((aligned(4096)));
#define FN (page + 3)
#define FN_VALUE (*(volatile uint32_t *)(page + 4))

static volatile uint32_t job, done, asked, answered, stop, round, acks;
static volatile uint32_t breakpoints;
static uint64_t pdpt[512] __attribute__((aligned(4096))), pd[512] __attribute__((aligned(4096)));
static uint64_t pt[512] __attribute__((aligned(4096)));
extern uint64_t boot_pml4[];

enum { JOB_NONE, JOB_PROTOCOL, JOB_LOOSE, JOB_POKE, JOB_DATA, JOB_FUNCTIONS };

static void serialize(void)
{
    uint32_t r[4];

    cpuid(0, 0, r);
}

static uint32_t next_random(void)
{
    static uint32_t x = 2463534242u;

    x ^= x << 13;
    x ^= x >> 17;
    x ^= x << 5;
    return x;
}

/* --- The processor that writes. --- */

static void write_when_asked(void)
{
    while (!stop) {
        if (asked == answered)
            continue;
        FN_VALUE = asked;
        answered = asked;
    }
}

/* Bytes of the immediate are equal, but for those of a value half written. */
static void write_loosely(void)
{
    for (uint32_t i = 0; !stop; i++)
        FN_VALUE = (i & 0xff) * 0x01010101u;
}

/* Has the other processor take an interrupt, whose IRET serializes it. */
static bool sync_other(void)
{
    uint32_t before = acks;

    apic_send(0, 0x4000 | VECTOR_SYNC);
    return spin_for(&acks, before + 1);
}

/* As kernels patch what others run: a breakpoint first, then the rest, then the first byte. */
static void poke(void)
{
    for (uint32_t i = 1; i <= POKE_ROUNDS; i++) {
        volatile uint8_t *first = FN;

        round = i;
        *first = 0xcc;
        if (!sync_other())
            return;
        FN_VALUE = i;
        if (!sync_other())
            return;
        *first = 0xb8;
        if (!sync_other())
            return;
    }
    round = POKE_ROUNDS + 1;
}

/* NOP, INT3, short jumps, prefixes, MOV with immediates, and bytes that are no instruction: nothing of it reaches memory. */
static uint8_t harmless_byte(void)
{
    static const uint8_t bytes[] = {0x90, 0x90, 0xcc, 0xeb, 0x66, 0x48, 0xb8, 0x06, 0x27};

    return bytes[next_random() % sizeof(bytes)];
}

static void write_data(void)
{
    while (!stop)
        ((volatile uint8_t *)page)[next_random() % sizeof(page)] = harmless_byte();
}

static void write_functions(void)
{
    for (uint32_t i = 0; !stop; i = (i + 7) % FUNCTIONS)
        ((volatile uint8_t *)AREA)[i * FUNCTION_SIZE + 4] ^= 0x80; /* the top byte of what it returns */
}

static void ap_main(void *arg)
{
    for (;;) {
        uint32_t now = job;

        if (now == done)
            continue;
        if (now == JOB_PROTOCOL)
            write_when_asked();
        else if (now == JOB_LOOSE)
            write_loosely();
        else if (now == JOB_POKE)
            poke();
        else if (now == JOB_DATA)
            write_data();
        else if (now == JOB_FUNCTIONS)
            write_functions();
        done = now;
    }
}

/* --- The one that runs it. --- */

static void begin(uint32_t what)
{
    stop = 0;
    job = what;
}

static void end(void)
{
    stop = 1;
    check(spin_for(&done, job), "the other processor goes on");
}

static void test_protocol(void)
{
    bool ok = true;

    write_fn(FN, 0);
    begin(JOB_PROTOCOL);
    for (uint32_t i = 1; i <= PROTOCOL_ROUNDS && ok; i++) {
        asked = i;
        ok = spin_for(&answered, i);
        serialize();
        ok = ok && call_fn(FN) == i;
    }
    check(ok, "code that another processor wrote runs as written behind a serializing instruction");
    end();
}

static void test_loose(void)
{
    bool ok = true, changed = false;
    uint32_t first;

    write_fn(FN, 0);
    begin(JOB_LOOSE);
    first = call_fn(FN);
    for (uint32_t i = 0; i < LOOSE_CALLS || (!changed && i < 1000 * LOOSE_CALLS); i++) {
        uint32_t v = call_fn(FN);

        ok &= v == (v & 0xff) * 0x01010101u;
        changed |= v != first;
    }
    check(ok, "an immediate that another processor keeps replacing is an old one or a new one");
    check(changed, "and the new one comes");
    end();
    serialize();
    check(call_fn(FN) == FN_VALUE, "what was written last is what runs");
}

static void on_sync(Frame *frame)
{
    apic_eoi();
    acks++;
}

/* The instruction that is being replaced: as if it had its old value. */
static void on_breakpoint(Frame *frame)
{
    breakpoints++;
    frame->rax = round - 1;
    frame->ip = (unsigned long)FN + 5;
}

static void test_poke(void)
{
    bool ok = true;

    write_fn(FN, 0);
    intr_set_handler(VECTOR_SYNC, on_sync);
    intr_set_handler(3, on_breakpoint);
    round = 0;
    sti();
    begin(JOB_POKE);
    while (round <= POKE_ROUNDS && done != JOB_POKE) {
        uint32_t before = round, v = call_fn(FN), after = round;

        ok &= v + 1 >= before && v <= after;
    }
    end();
    cli();
    check(round == POKE_ROUNDS + 1, "a function is patched under way by way of a breakpoint");
    check(ok, "each call gives the old value or the new one");
    check(call_fn(FN) == POKE_ROUNDS, "and the last one in the end");
    intr_set_handler(3, NULL);
}

/* The page at WINDOW, with nothing before and behind it. */
static void map_window(void)
{
    boot_pml4[256] = (unsigned long)pdpt | 3;
    pdpt[0] = (unsigned long)pd | 3;
    pd[0] = (unsigned long)pt | 3;
    pt[1] = (unsigned long)page | 3;
}

static int jump_to(unsigned long to)
{
    return FAULT("jmp *%[to]", : : [to] "r"(to) : "rax", "rcx", "rdx", "rbx", "memory", "cc");
}

static void test_data(void)
{
    const unsigned long end_of_page = WINDOW + 2 * 4096;
    bool ok = true;

    for (unsigned i = 0; i < sizeof(page); i++)
        page[i] = 0x90;
    map_window();
    for (unsigned i = 0; i < 20; i++) {
        page[4095] = i & 1 ? 0xb8 : 0x90; /* an instruction that begins here ends behind the page */
        ok &= jump_to(end_of_page - 40) == 14 && fault.cr2 == end_of_page && fault.ip == end_of_page - (i & 1);
    }
    check(ok, "code that runs off its page faults at the next one");
    for (unsigned i = 0; i < sizeof(page); i++)
        page[i] = harmless_byte();
    begin(JOB_DATA);
    for (unsigned i = 0; i < JUMPS && ok; i++) {
        int vector = jump_to(WINDOW + 4096 + i * 61 % 4096);

        ok = vector == 3 || vector == 6 || vector == 13 || vector == 14; /* 13: more prefixes than an instruction may have */
    }
    check(ok, "jumps into data that another processor changes end in exceptions");
    end();
}

static void test_functions(void)
{
    bool ok = true;

    for (uint32_t i = 0; i < FUNCTIONS; i++)
        write_fn(AREA + i * FUNCTION_SIZE, i);
    begin(JOB_FUNCTIONS);
    for (unsigned times = 0; times < 3; times++) {
        for (uint32_t i = 0; i < FUNCTIONS; i++)
            ok &= (call_fn(AREA + i * FUNCTION_SIZE) & 0x7fffffff) == i;
    }
    check(ok, "thousands of functions run while another processor changes them");
    end();
}

void guest_main(void)
{
    pic_init(0x20); /* all masked */
    apic_enable();
    if (!smp_start(1, ap_main, NULL))
        die("the second processor does not start");
    test_protocol();
    test_loose();
    test_poke();
    test_data();
    test_functions();
}
