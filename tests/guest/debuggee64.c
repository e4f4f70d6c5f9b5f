/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A program to be debugged: it computes for ever, on as many CPUs as there are (at most two), until a
 * debugger sets `finished`. tests/functional/test_gdb.py knows the names.
 */
#include "lib/guest.h"

#define NOINLINE __attribute__((noinline, noclone))

volatile uint32_t rounds, ap_rounds, watched, finished;
volatile uint32_t code_changed; /* rounds in which leaf() was not what it was at first */
volatile uint64_t buffer[64];

NOINLINE uint32_t leaf(uint32_t n)
{
    asm volatile(""); /* a function of its own, each time */
    return 2 * n + 1;
}

NOINLINE void store(uint32_t n)
{
    watched = n;
}

NOINLINE uint32_t work(uint32_t n)
{
    uint32_t value = leaf(n);

    store(value);
    buffer[n % 64] = value;
    return value;
}

NOINLINE void ap_work(void)
{
    ap_rounds++;
}

/* What the guest sees of its own code. */
static uint32_t code_sum(void)
{
    const volatile uint8_t *code = (const volatile uint8_t *)leaf;
    uint32_t sum = 0;

    for (unsigned i = 0; i < 8; i++)
        sum = sum * 31 + code[i];
    return sum;
}

static void ap_main(void *arg)
{
    for (;;) {
        ap_work();
        pause();
    }
}

void guest_main(void)
{
    uint32_t sum = code_sum();

    smp_launch(1, ap_main, NULL); /* there may be none */
    while (!finished) {
        rounds++;
        work(rounds);
        if (code_sum() != sum)
            code_changed++;
    }
    guest_exit(code_changed ? 1 : 0);
}
