/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Bits, ranges and unaligned little-endian access: the arithmetic every register file needs.
 */
#ifndef CORE_BITS_H
#define CORE_BITS_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#define KIB (UINT64_C(1) << 10)
#define MIB (UINT64_C(1) << 20)
#define GIB (UINT64_C(1) << 30)

#define GUEST_PAGE_BITS 12
#define GUEST_PAGE_SIZE (UINT64_C(1) << GUEST_PAGE_BITS)
#define GUEST_PAGE_MASK (~(GUEST_PAGE_SIZE - 1))

#define BIT(n) (UINT64_C(1) << (n))

/* A mask of bits hi..lo, both included. */
#define BITS(hi, lo) ((~UINT64_C(0) >> (63 - (hi))) & (~UINT64_C(0) << (lo)))

/* True if [base, base + len) lies in [0, limit). Cannot overflow. The one check for guest lengths. */
static inline bool range_ok(uint64_t base, uint64_t len, uint64_t limit)
{
    return base <= limit && len <= limit - base;
}

/* True if the two ranges share a byte. Neither may wrap. */
static inline bool ranges_overlap(uint64_t a, uint64_t a_len, uint64_t b, uint64_t b_len)
{
    return a_len && b_len && a <= b + (b_len - 1) && b <= a + (a_len - 1);
}

/* All ones in the low size bytes; size is 1..8. */
static inline uint64_t size_mask(unsigned size)
{
    return ~UINT64_C(0) >> (64 - 8 * size);
}

static inline uint64_t align_down(uint64_t v, uint64_t align)
{
    return v & ~(align - 1);
}

static inline uint64_t align_up(uint64_t v, uint64_t align)
{
    return (v + align - 1) & ~(align - 1);
}

/* a * b / c without overflow in between, rounded down; c is not 0 and the result fits. */
static inline uint64_t muldiv64(uint64_t a, uint64_t b, uint64_t c)
{
    return (uint64_t)((unsigned __int128)a * b / c);
}

/* The same, rounded up. */
static inline uint64_t muldiv64_up(uint64_t a, uint64_t b, uint64_t c)
{
    return (uint64_t)(((unsigned __int128)a * b + (c - 1)) / c);
}

/* size is 1, 2, 4 or 8 (any 0..8 works); the host is little-endian like the guest. */
static inline uint64_t load_le(const void *p, unsigned size)
{
    uint64_t v = 0;
    memcpy(&v, p, size);
    return v;
}

static inline void store_le(void *p, uint64_t v, unsigned size)
{
    memcpy(p, &v, size);
}

/* Big-endian; size 0..8. */
static inline uint64_t load_be(const void *p, unsigned size)
{
    uint64_t v = 0;

    for (unsigned i = 0; i < size; i++)
        v = v << 8 | ((const uint8_t *)p)[i];
    return v;
}

static inline void store_be(void *p, uint64_t v, unsigned size)
{
    for (unsigned i = size; i-- > 0; v >>= 8)
        ((uint8_t *)p)[i] = (uint8_t)v;
}

#endif
