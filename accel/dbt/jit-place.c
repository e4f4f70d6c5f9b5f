/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Where a unit lies, so that the host predicts its branches as well as the guest's own.
 *
 * Intel's predictors have two halves: bit 5 of the address of a conditional branch's last byte tells which one knows it, so
 * branches that need much history to be told apart should not all be in one. A recursive search for eight queens takes 10 ms
 * natively where its two hard branches differ in that bit and 21 ms where they do not, at each of 80 alignments and distances between
 * them tried on a Sapphire Rapids; translated, with units one behind the other, it took the one or the other in each boot by chance.
 *
 * So in hot units the branches have the bit they have in the guest, as far as one distance for all of them can do that: code that is
 * well laid out stays so, and takes the same time in each boot.
 */
#include "accel/dbt/jit-translate.h"

#define HALF 32u

static unsigned count_agreeing(const JitTranslator *t, unsigned skip)
{
    unsigned n = 0;

    for (unsigned i = 0; i < t->branch_count; i++)
        n += !(((t->branches[i].last + skip) ^ t->branches[i].guest) & HALF);
    return n;
}

unsigned jit_place_unit(const JitTranslator *t)
{
    unsigned best = 0, most = count_agreeing(t, 0);

    for (unsigned skip = 1; skip < JIT_PLACES && most < t->branch_count; skip++) {
        unsigned n = count_agreeing(t, skip);

        if (n > most) {
            most = n;
            best = skip;
        }
    }
    return best;
}
