/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The benchmark's kernels: each a loop over one kind of work whose result is a number that is the same
 * on every machine. Each file brings a table of them that ends with a name of NULL.
 */
#ifndef BENCH_CPU_KERNELS_H
#define BENCH_CPU_KERNELS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SCRATCH_SIZE (16u << 20)

typedef struct Kernel {
    const char *name;
    const char *class;  /* what run.py groups by */
    /* scratch: SCRATCH_SIZE bytes that exist, contents undefined; of this thread alone. */
    uint64_t (*run)(void *scratch, unsigned rounds);
    unsigned rounds;    /* about 20 ms natively */
    uint64_t expect;    /* the result */
    bool (*available)(void); /* NULL: always */
} Kernel;

extern const Kernel integer_kernels[], program_kernels[], vector_kernels[], memory_kernels[], system_kernels[];

/* Pseudo-random numbers: xorshift64. */
static inline uint64_t next_random(uint64_t *state)
{
    uint64_t x = *state;

    x ^= x << 13;
    x ^= x >> 7;
    x ^= x << 17;
    return *state = x;
}

/* Folds a value into a result. */
static inline uint64_t mix(uint64_t sum, uint64_t value)
{
    return (sum ^ value) * 0x100000001b3u + (sum >> 29);
}

#endif
