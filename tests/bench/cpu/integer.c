/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Integer instructions, branches, calls and loads, one kind at a time.
 */
#include "kernels.h"

static uint64_t run_empty(void *scratch, unsigned rounds)
{
    return rounds;
}

/* As many instructions at a time as there are units for: takes longer when another thread uses them, too. */
static uint64_t run_core(void *scratch, unsigned rounds)
{
    uint64_t left = rounds;

    __asm__ volatile("1: add $1, %%rax\n add $1, %%rcx\n add $1, %%rdx\n add $1, %%rsi\n add $1, %%rdi\n"
                     "add $1, %%r8\n add $1, %%r9\n add $1, %%r10\n dec %0\n jnz 1b"
                     : "+r"(left)
                     :
                     : "rax", "rcx", "rdx", "rsi", "rdi", "r8", "r9", "r10", "cc");
    return left;
}

static uint64_t run_alu(void *scratch, unsigned rounds)
{
    uint64_t a = 1, b = 2, c = 3, d = 4;

    /* Several things at a time, as compiled code mostly has. */
    for (unsigned i = 0; i < rounds; i++) {
        uint64_t x = a + i, y = b ^ i, z = c - d;

        a = (a << 13 | a >> 51) ^ y;
        b += (uint32_t)x * 33u + (z >> 7);
        c = ~c + (x & y) - (uint16_t)i;
        d ^= (uint64_t)(uint8_t)y << 8 | z >> 56;
        a -= d > c ? x : z;
    }
    return mix(mix(a, b), mix(c, d));
}

static uint64_t run_divide(void *scratch, unsigned rounds)
{
    uint64_t random = 88172645463325252u, sum = 0;

    for (unsigned i = 0; i < rounds; i++) {
        uint64_t x = next_random(&random), y = next_random(&random) | 1;

        sum += x / (y >> 40 | 1) + (uint32_t)x % ((uint32_t)y >> 20 | 1);
        for (y &= 0xffff; y; ) {
            uint64_t rest = x % y;

            x = y;
            y = rest;
        }
        sum = mix(sum, x);
    }
    return sum;
}

/* The classes of bytes of a source text, by comparisons as a lexer makes them. */
static uint64_t run_branches(void *scratch, unsigned rounds)
{
    uint8_t *text = scratch;
    uint64_t random = 99, sum = 0;
    unsigned words = 0, digits = 0, depth = 0, state = 0;

    for (unsigned i = 0; i < 16384; i++)
        text[i] = (uint8_t)(next_random(&random) >> 33) & 0x7f;
    for (unsigned r = 0; r < rounds; r++) {
        for (unsigned i = 0; i < 16384; i++) {
            uint8_t c = text[i];

            if (c >= 'a' && c <= 'z') {
                if (state != 1)
                    words++;
                state = 1;
            } else if (c >= '0' && c <= '9') {
                if (state != 2)
                    digits += c - '0';
                state = 2;
            } else if (c == '(' || c == '[') {
                depth++;
                state = 0;
            } else if ((c == ')' || c == ']') && depth > 0) {
                depth--;
                state = 0;
            } else if (c < ' ') {
                state = 3;
            } else if (state == 3) {
                sum += c;
            }
        }
        sum = mix(sum, words + digits + depth);
    }
    return sum;
}

static uint64_t run_collatz(void *scratch, unsigned rounds)
{
    uint64_t steps = 0;

    for (unsigned i = 1; i <= rounds; i++) {
        for (uint64_t x = i; x != 1; steps++)
            x = x & 1 ? 3 * x + 1 : x >> 1;
    }
    return steps;
}

static __attribute__((noinline)) uint64_t fibonacci(unsigned n)
{
    __asm__ volatile("" : "+r"(n)); /* no turning it into a loop */
    return n < 2 ? n : fibonacci(n - 1) + fibonacci(n - 2);
}

static uint64_t run_calls(void *scratch, unsigned rounds)
{
    uint64_t sum = 0;

    for (unsigned i = 0; i < rounds; i++)
        sum = mix(sum, fibonacci(20 + i % 3));
    return sum;
}

#define OPERATION(name, expression)                                             \
    static __attribute__((noinline)) uint64_t name(uint64_t x, uint64_t y)      \
    {                                                                           \
        return expression;                                                      \
    }
OPERATION(op_add, x + y)
OPERATION(op_sub, x - y)
OPERATION(op_xor, x ^ y)
OPERATION(op_mul, x * (y | 1))
OPERATION(op_shift, x >> (y & 7) ^ y)
OPERATION(op_select, x > y ? x : y + 1)
OPERATION(op_not, ~x + y)
OPERATION(op_swap, __builtin_bswap64(x) + y)

static uint64_t run_indirect(void *scratch, unsigned rounds)
{
    static uint64_t (*const operations[])(uint64_t, uint64_t) = {op_add, op_sub,    op_xor, op_mul,
                                                                  op_shift, op_select, op_not, op_swap};
    uint64_t random = 12345, x = 1;
    uint8_t order[4096];

    for (unsigned i = 0; i < sizeof(order); i++)
        order[i] = next_random(&random) >> 40 & 7;
    for (unsigned i = 0; i < rounds; i++)
        x = operations[order[i % sizeof(order)]](x, i);
    return x;
}

/* A list whose nodes, a cache line each, are in random order. */
static uint64_t chase(void *scratch, unsigned nodes, unsigned rounds)
{
    typedef struct Node {
        struct Node *next;
        uint64_t value[7];
    } Node;
    Node *list = scratch, *at = list;
    uint32_t *order = (uint32_t *)((char *)scratch + SCRATCH_SIZE / 2);
    uint64_t random = 4711, sum = 0;

    for (unsigned i = 0; i < nodes; i++)
        order[i] = i;
    for (unsigned i = nodes - 1; i > 1; i--) { /* node 0 stays the first */
        unsigned j = 1 + (unsigned)(next_random(&random) % i);
        uint32_t swap = order[i];

        order[i] = order[j];
        order[j] = swap;
    }
    for (unsigned i = 0; i < nodes; i++) {
        list[order[i]].next = &list[order[(i + 1) % nodes]];
        list[order[i]].value[0] = i;
    }
    for (unsigned i = 0; i < rounds; i++) {
        sum += at->value[0];
        at = at->next;
    }
    return mix(sum, (uint64_t)(at - list));
}

static uint64_t run_chase_16k(void *scratch, unsigned rounds)
{
    return chase(scratch, 256, rounds);
}

static uint64_t run_chase_1m(void *scratch, unsigned rounds)
{
    return chase(scratch, 16384, rounds);
}

/* Loads and stores of all sizes through several pointers. */
static uint64_t run_load_store(void *scratch, unsigned rounds)
{
    uint64_t *a = scratch, sum = 0;
    uint32_t *b = (uint32_t *)((char *)scratch + 32768);
    uint8_t *c = (uint8_t *)scratch + 65536;

    for (unsigned i = 0; i < 2048; i++) {
        a[i] = i * 0x9e3779b97f4a7c15u;
        b[i] = i;
        c[i] = (uint8_t)(i * 7);
    }
    for (unsigned r = 0; r < rounds; r++) {
        for (unsigned i = 0; i < 2048; i++) {
            uint64_t x = a[(i * 5 + r) & 2047];

            b[x >> 53] += (uint32_t)x;
            c[i] ^= (uint8_t)b[i];
            a[i] = x + c[x & 2047];
        }
        sum = mix(sum, a[r & 2047]);
    }
    return sum;
}

/* Modular exponentiation of 1024-bit numbers: multiplications with carry. */
#define LIMBS 16u
static void multiply_add(uint64_t *restrict to, const uint64_t *restrict x, uint64_t y)
{
    uint64_t carry = 0;

    for (unsigned i = 0; i < LIMBS; i++) {
        unsigned __int128 t = (unsigned __int128)x[i] * y + to[i] + carry;

        to[i] = (uint64_t)t;
        carry = (uint64_t)(t >> 64);
    }
    to[LIMBS] += carry;
}

static uint64_t run_bignum(void *scratch, unsigned rounds)
{
    uint64_t x[LIMBS], product[2 * LIMBS + 1], random = 1234567, sum = 0;

    for (unsigned i = 0; i < LIMBS; i++)
        x[i] = next_random(&random);
    for (unsigned r = 0; r < rounds; r++) {
        for (unsigned i = 0; i <= 2 * LIMBS; i++)
            product[i] = 0;
        for (unsigned i = 0; i < LIMBS; i++)
            multiply_add(product + i, x, x[i]);
        for (unsigned i = 0; i < LIMBS; i++)
            x[i] = product[i] + product[i + LIMBS] * 38;
        sum = mix(sum, x[r % LIMBS]);
    }
    return sum;
}

static uint64_t queens(unsigned all, unsigned columns, unsigned left, unsigned right)
{
    uint64_t count = 0;

    if (columns == all)
        return 1;
    for (unsigned free = all & ~(columns | left | right); free; free &= free - 1) {
        unsigned bit = free & -free;

        count += queens(all, columns | bit, (left | bit) << 1, (right | bit) >> 1);
    }
    return count;
}

static uint64_t run_queens(void *scratch, unsigned rounds)
{
    uint64_t sum = 0;

    for (unsigned i = 0; i < rounds; i++)
        sum = mix(sum, queens((1u << (8 + (i & 1))) - 1, 0, 0, 0));
    return sum;
}

const Kernel integer_kernels[] = {
    {"empty", "none", run_empty, 1, 1, NULL}, /* what a request costs; subtracted */
    {"core", "none", run_core, 1000000, 0, NULL},  /* whether the CPU is a whole one */
    {"alu", "integer", run_alu, 3000000, 0xaacf4c1d6f39adf3u, NULL},
    {"divide", "integer", run_divide, 200000, 0xbb5835d199a3d1d7u, NULL},
    {"branches", "integer", run_branches, 180, 0xf40aa073b67c81ddu, NULL},
    {"collatz", "integer", run_collatz, 100000, 0xa41730, NULL},
    {"calls", "integer", run_calls, 500, 0x4746b9cafc7f300eu, NULL},
    {"indirect", "integer", run_indirect, 2500000, 0xa020ce4a303df919u, NULL},
    {"chase-16k", "integer", run_chase_16k, 10000000, 0xfed43681220297c4u, NULL},
    {"chase-1m", "memory", run_chase_1m, 3000000, 0xffc4e0b7a79b7982u, NULL},
    {"load-store", "integer", run_load_store, 4000, 0x1a8619f7271dbe46u, NULL},
    {"bignum", "integer", run_bignum, 60000, 0x27c6592f63129dbfu, NULL},
    {"queens", "integer", run_queens, 700, 0x27c8bfb2cfde5733u, NULL},
    {NULL},
};
