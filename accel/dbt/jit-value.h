/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What is known about the values of a unit's registers while it is being translated (jit-value.c). Nothing here is about the
 * guest's state: it holds whatever the registers have when the unit is entered.
 */
#ifndef DBT_JIT_VALUE_H
#define DBT_JIT_VALUE_H

#include "accel/dbt/jit-translate.h"

#define JIT_NO_LIMIT UINT64_MAX

/*
 * What a register has: what nobody can tell from what was there before gets a number, as do the registers at the begin. Two with
 * one number differ by their shifts; the lower halves of two with the same low differ by their low_shifts, modulo 2^32.
 */
typedef struct JitValue {
    uint16_t number, low;
    int64_t shift; /* what was added to it */
    uint32_t low_shift;
    uint64_t limit; /* it is not more than this */
} JitValue;

/* What one of number first is plus one of number second times scale has this number; so have their lower halves. */
typedef struct JitSum {
    uint16_t first, second, number;
    uint8_t scale;
} JitSum;

typedef struct JitValues {
    JitValue reg[16];
    uint16_t segment_base[2]; /* FS and GS: numbers of what they have */
    uint16_t count;           /* so many numbers are in use */
    uint16_t sum_count;
    JitSum sums[2 * BLOCK_MAX_INSNS];
} JitValues;

/* Nothing is known any more. */
void jit_values_begin(JitValues *v);
/* The instruction, which has an emitter, has run. */
void jit_values_follow(const JitTranslator *t, JitValues *v, const JitInsn *in);

/* The upper half is known to be 0. */
static inline bool jit_value_is_narrow(const JitValue *value)
{
    return value->limit <= UINT32_MAX;
}

#endif
