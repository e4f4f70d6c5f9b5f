/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Scalars in option syntax, and the name a user probably meant (config/keyval.h).
 *
 * Nothing is skipped or cut off: white space, a sign or trailing text makes a value invalid, so
 * that "-m 4G8" is an error and not four gigabytes.
 */
#include "config/keyval.h"

#include <string.h>

#define MAX_NAME 63 /* longer words have no near name */

bool parse_bool(const char *value, bool *out)
{
    static const char *const on[] = {"on", "yes", "true", "y", NULL};
    static const char *const off[] = {"off", "no", "false", "n", NULL};

    if (g_strv_contains(on, value)) {
        *out = true;
        return true;
    }
    if (g_strv_contains(off, value)) {
        *out = false;
        return true;
    }
    return false;
}

/* Digits of the base from *pos on; at least one. Moves *pos behind them. */
static bool take_digits(const char **pos, unsigned base, uint64_t *out)
{
    const char *p = *pos;
    uint64_t n = 0;

    for (;; p++) {
        int digit = base == 16 ? g_ascii_xdigit_value(*p) : g_ascii_digit_value(*p);
        if (digit < 0) {
            break;
        }
        if (__builtin_mul_overflow(n, base, &n) || __builtin_add_overflow(n, digit, &n)) {
            return false;
        }
    }
    if (p == *pos) {
        return false;
    }
    *pos = p;
    *out = n;
    return true;
}

static bool take_number(const char **pos, uint64_t *out)
{
    if ((*pos)[0] == '0' && ((*pos)[1] == 'x' || (*pos)[1] == 'X')) {
        *pos += 2;
        return take_digits(pos, 16, out);
    }
    return take_digits(pos, 10, out);
}

bool parse_u64(const char *value, uint64_t *out)
{
    uint64_t n;

    if (!take_number(&value, &n) || *value) {
        return false;
    }
    *out = n;
    return true;
}

/* Reads ".ddd" into thousandths of whatever: numerator over a power of ten. At most 9 digits. */
static bool take_fraction(const char **pos, uint64_t *numerator, uint64_t *denominator)
{
    *numerator = 0;
    *denominator = 1;
    if (**pos != '.') {
        return true;
    }
    const char *start = ++*pos;
    if (!take_digits(pos, 10, numerator) || *pos - start > 9) {
        return false;
    }
    for (const char *p = start; p < *pos; p++) {
        *denominator *= 10;
    }
    return true;
}

/* The unit a suffix stands for: B is one byte, K is 1024, and so on by 1024. 0 if it is none. */
static uint64_t size_unit(char suffix)
{
    static const char suffixes[] = "BKMGTPE";
    const char *found = suffix ? strchr(suffixes, g_ascii_toupper(suffix)) : NULL;

    return found ? 1ull << (10 * (found - suffixes)) : 0;
}

bool parse_size(const char *value, uint64_t default_unit, uint64_t *out)
{
    const char *p = value;
    uint64_t whole, numerator, denominator;
    uint64_t unit = default_unit;

    if (!take_number(&p, &whole) || !take_fraction(&p, &numerator, &denominator)) {
        return false;
    }
    if (*p) {
        unit = size_unit(*p++);
    }
    if (!unit || *p) {
        return false;
    }
    /* "0.3M" is not a whole number of bytes and rounds down; "1.5B" is a mistake. */
    unsigned __int128 bytes = (unsigned __int128)whole * unit +
                              (unsigned __int128)numerator * unit / denominator;
    if (bytes > UINT64_MAX || (unit == 1 && numerator)) {
        return false;
    }
    *out = bytes;
    return true;
}

/* Spelling variants that count as equal: case, and "_" for "-". */
static char fold(char c)
{
    return c == '_' ? '-' : g_ascii_tolower(c);
}

static unsigned min3(unsigned a, unsigned b, unsigned c)
{
    return MIN(MIN(a, b), c);
}

/* Insertions, deletions, substitutions and swaps of neighbours that turn a into b. */
static unsigned edit_distance(const char *a, const char *b)
{
    unsigned rows[3][MAX_NAME + 1];
    size_t a_len = strlen(a), b_len = strlen(b);

    for (size_t j = 0; j <= b_len; j++) {
        rows[0][j] = j;
    }
    for (size_t i = 1; i <= a_len; i++) {
        unsigned *row = rows[i % 3];
        const unsigned *prev = rows[(i - 1) % 3];
        const unsigned *prev2 = rows[(i + 1) % 3]; /* i - 2 */

        row[0] = i;
        for (size_t j = 1; j <= b_len; j++) {
            unsigned cost = fold(a[i - 1]) != fold(b[j - 1]);
            row[j] = min3(prev[j] + 1, row[j - 1] + 1, prev[j - 1] + cost);
            if (i > 1 && j > 1 && fold(a[i - 1]) == fold(b[j - 2]) &&
                fold(a[i - 2]) == fold(b[j - 1])) {
                row[j] = MIN(row[j], prev2[j - 2] + 1);
            }
        }
    }
    return rows[a_len % 3][b_len];
}

const char *nearest_name(const char *word, const char *const *candidates)
{
    size_t len = strlen(word);
    const char *best = NULL;
    unsigned best_distance = len / 3 + 1; /* a third of the letters may be wrong */

    if (len > MAX_NAME || !candidates) {
        return NULL;
    }
    for (; *candidates; candidates++) {
        if (strlen(*candidates) > MAX_NAME) {
            continue;
        }
        unsigned distance = edit_distance(word, *candidates);
        if (distance <= best_distance && (!best || distance < best_distance) &&
            distance < MAX(len, strlen(*candidates))) {
            best = *candidates;
            best_distance = distance;
        }
    }
    return best;
}
