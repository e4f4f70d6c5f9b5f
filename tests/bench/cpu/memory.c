/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Memory and strings: the C library's functions, and the processor's own string instructions.
 */
#include <string.h>

#include "kernels.h"

/* Hides where a pointer comes from, so that calls stay calls. */
#define OPAQUE(pointer) __asm__ volatile("" : "+r"(pointer) : : "memory")

static uint64_t sum_of(const uint8_t *data, unsigned size)
{
    uint64_t sum = 0;

    for (unsigned i = 0; i < size; i += 61)
        sum = mix(sum, data[i]);
    return sum;
}

static void fill(uint8_t *data, unsigned size, uint64_t seed)
{
    for (unsigned i = 0; i < size; i++)
        data[i] = (uint8_t)(next_random(&seed) >> 24);
}

static uint64_t run_memcpy(void *scratch, unsigned rounds)
{
    static const unsigned sizes[] = {3, 16, 40, 100, 256, 1000, 4096, 30000};
    uint8_t *from = scratch, *to = from + 65536;

    fill(from, 65536, 1);
    fill(to, 65536, 2);
    for (unsigned r = 0; r < rounds; r++) {
        unsigned size = sizes[r & 7];
        uint8_t *a = to + (r * 67 & 0x3fff), *b = from + (r * 31 & 0x3fff);

        OPAQUE(a);
        memcpy(a, b, size);
        OPAQUE(b);
        memmove(b + 1, b, size / 2);
    }
    return sum_of(to, 65536);
}

static uint64_t run_memset(void *scratch, unsigned rounds)
{
    static const unsigned sizes[] = {7, 32, 64, 200, 512, 2048, 4096, 20000};
    uint8_t *to = scratch;

    for (unsigned r = 0; r < rounds; r++) {
        uint8_t *a = to + (r * 67 & 0x7fff);

        OPAQUE(a);
        memset(a, (int)r, sizes[r & 7]);
    }
    return sum_of(to, 32768);
}

static uint64_t run_strings(void *scratch, unsigned rounds)
{
    char *text = scratch, *other = text + 8192;
    uint64_t sum = 0;

    for (unsigned i = 0; i < 4096; i++)
        text[i] = (char)('a' + i * 7 % 23);
    text[4095] = 0;
    memcpy(other, text, 4096);
    for (unsigned r = 0; r < rounds; r++) {
        unsigned at = r * 37 & 2047;
        const char *a = text + at, *b = other + at;

        OPAQUE(a);
        OPAQUE(b);
        sum += strlen(a);
        sum += (uint64_t)(strcmp(a, b) + 1);
        sum += strchr(a, 'z') != NULL;
        sum += (uint64_t)((const char *)memchr(a, 'w', 2000) - a);
        sum += strstr(a, "ahov") != NULL;
    }
    return sum;
}

static void rep_movs(uint8_t *to, const uint8_t *from, size_t count)
{
    __asm__ volatile("rep movsb" : "+D"(to), "+S"(from), "+c"(count) : : "memory");
}

static uint64_t run_rep_movs(void *scratch, unsigned rounds)
{
    uint8_t *from = scratch, *to = from + 65536;

    fill(from, 65536, 3);
    for (unsigned r = 0; r < rounds; r++)
        rep_movs(to + (r * 64 & 0x3fff), from + (r * 192 & 0x3fff), 4096 + (r & 0xfff));
    return sum_of(to, 20000);
}

static uint64_t run_rep_stos(void *scratch, unsigned rounds)
{
    uint64_t *to = scratch;

    for (unsigned r = 0; r < rounds; r++) {
        uint64_t *at = to + (r * 8 & 0x7ff), count = 512 + (r & 0x1ff);

        __asm__ volatile("rep stosq" : "+D"(at), "+c"(count) : "a"(r) : "memory");
    }
    return sum_of((uint8_t *)to, 16384);
}

static uint64_t run_rep_scan(void *scratch, unsigned rounds)
{
    uint8_t *a = scratch, *b = a + 65536;
    uint64_t sum = 0;

    memset(a, 'x', 8192);
    memset(b, 'x', 8192);
    a[6000] = 'y';
    for (unsigned r = 0; r < rounds; r++) {
        const uint8_t *p = a + (r & 1023), *q = a + (r & 1023), *s = b + (r & 1023);
        uint64_t left = 8000, rest = 8000;

        __asm__ volatile("repne scasb" : "+D"(p), "+c"(left) : "a"('y') : "memory", "cc");
        __asm__ volatile("repe cmpsb" : "+D"(q), "+S"(s), "+c"(rest) : : "memory", "cc");
        sum = mix(sum, left + rest);
    }
    return sum;
}

const Kernel memory_kernels[] = {
    {"memcpy", "libc", run_memcpy, 100000, 0x52192c6e4e574d9au, NULL},
    {"memset", "libc", run_memset, 600000, 0x3dd7edd90988bc2eu, NULL},
    {"strings", "libc", run_strings, 150000, 0x1b93e532, NULL},
    {"rep-movs", "rep", run_rep_movs, 200000, 0xaf2681c970198cc7u, NULL},
    {"rep-stos", "rep", run_rep_stos, 150000, 0x40a44512adc722ceu, NULL},
    {"rep-scan", "rep", run_rep_scan, 5000, 0xb3f5849ed09b677fu, NULL},
    {NULL},
};
