/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What programs do: sorting, hashing, trees, text, checksums, compression, an interpreter, the heap.
 */
#include <stdlib.h>
#include <string.h>

#include "kernels.h"

/* --- sort: quicksort down to short runs, then insertion --- */

static void quick_sort(uint64_t *v, long low, long high)
{
    while (high - low > 12) {
        uint64_t pivot = v[(low + high) / 2];
        long i = low, j = high;

        while (i <= j) {
            while (v[i] < pivot)
                i++;
            while (v[j] > pivot)
                j--;
            if (i <= j) {
                uint64_t swap = v[i];

                v[i++] = v[j];
                v[j--] = swap;
            }
        }
        if (j - low < high - i) {
            quick_sort(v, low, j);
            low = i;
        } else {
            quick_sort(v, i, high);
            high = j;
        }
    }
}

static uint64_t run_sort(void *scratch, unsigned rounds)
{
    uint64_t *v = scratch, random = 31337, sum = 0;
    const long count = 20000;

    for (unsigned r = 0; r < rounds; r++) {
        for (long i = 0; i < count; i++)
            v[i] = next_random(&random);
        quick_sort(v, 0, count - 1);
        for (long i = 1; i < count; i++) {
            uint64_t x = v[i];
            long j = i;

            for (; j > 0 && v[j - 1] > x; j--)
                v[j] = v[j - 1];
            v[j] = x;
        }
        for (long i = 1; i < count; i++)
            sum += v[i] < v[i - 1];
        sum = mix(sum, v[count / 3]);
    }
    return sum;
}

/* --- hash: a table of short keys with open addressing --- */

#define HASH_SLOTS 16384u

static uint64_t run_hash(void *scratch, unsigned rounds)
{
    typedef struct Slot {
        char key[16];
        uint64_t count;
    } Slot;
    Slot *table = scratch;
    uint64_t random = 777, sum = 0;

    memset(table, 0, HASH_SLOTS * sizeof(*table));
    for (unsigned r = 0; r < rounds; r++) {
        uint64_t value = next_random(&random) % 8192, hash = 0xcbf29ce484222325u;
        char key[16] = "key-";
        unsigned length = 4;

        for (; value; value /= 10)
            key[length++] = (char)('0' + value % 10);
        key[length] = 0;
        for (unsigned i = 0; i < length; i++)
            hash = (hash ^ (uint8_t)key[i]) * 0x100000001b3u;
        for (unsigned i = hash % HASH_SLOTS;; i = (i + 1) % HASH_SLOTS) {
            if (!table[i].count)
                memcpy(table[i].key, key, sizeof(key));
            if (strcmp(table[i].key, key) == 0) {
                sum += ++table[i].count;
                break;
            }
        }
    }
    return sum;
}

/* --- tree: a treap, so its shape is that of its random priorities --- */

typedef struct TreeNode {
    uint32_t left, right; /* indices, 0: none */
    uint32_t key, priority;
} TreeNode;

static uint32_t tree_insert(TreeNode *t, uint32_t at, uint32_t fresh)
{
    uint32_t child;

    if (!at)
        return fresh;
    if (t[fresh].key < t[at].key) {
        t[at].left = child = tree_insert(t, t[at].left, fresh);
        if (t[child].priority <= t[at].priority)
            return at;
        t[at].left = t[child].right;
        t[child].right = at;
    } else {
        t[at].right = child = tree_insert(t, t[at].right, fresh);
        if (t[child].priority <= t[at].priority)
            return at;
        t[at].right = t[child].left;
        t[child].left = at;
    }
    return child;
}

static uint64_t run_tree(void *scratch, unsigned rounds)
{
    TreeNode *t = scratch;
    uint64_t random = 2026, sum = 0;

    for (unsigned r = 0; r < rounds; r++) {
        uint32_t root = 0;

        for (uint32_t i = 1; i <= 4000; i++) {
            uint64_t x = next_random(&random);

            t[i] = (TreeNode){.key = (uint32_t)x, .priority = (uint32_t)(x >> 32)};
            root = tree_insert(t, root, i);
        }
        for (unsigned i = 0; i < 16000; i++) {
            uint32_t key = (uint32_t)next_random(&random), at = root, best = 0;

            while (at) {
                best = at;
                at = key < t[at].key ? t[at].left : t[at].right;
            }
            sum += t[best].key ^ key;
        }
    }
    return sum;
}

/* --- words: a text into words, counted by length and first letter --- */

static unsigned make_text(uint8_t *text, unsigned size, uint64_t seed)
{
    static const char *const words[] = {"the",  "processor", "of", "a", "machine", "reads", "its", "memory", "and",
                                        "then", "writes", "it", "back", "into", "register", "translation"};
    unsigned at = 0;

    while (at + 16 < size) {
        const char *word = words[next_random(&seed) >> 13 & 15];

        while (*word)
            text[at++] = (uint8_t)*word++;
        text[at++] = next_random(&seed) % 11 ? ' ' : '\n';
    }
    return at;
}

static uint64_t run_words(void *scratch, unsigned rounds)
{
    uint8_t *text = scratch;
    uint32_t *counts = (uint32_t *)((char *)scratch + (1u << 20));
    unsigned size = make_text(text, 65536, 5);
    uint64_t sum = 0;

    memset(counts, 0, 32 * 32 * sizeof(*counts));
    for (unsigned r = 0; r < rounds; r++) {
        unsigned begin = 0, lines = 0;

        for (unsigned i = 0; i < size; i++) {
            if (text[i] != ' ' && text[i] != '\n')
                continue;
            if (i > begin)
                counts[(i - begin) % 32 * 32 + (text[begin] & 31)]++;
            lines += text[i] == '\n';
            begin = i + 1;
        }
        sum = mix(sum, lines);
    }
    for (unsigned i = 0; i < 32 * 32; i++)
        sum = mix(sum, counts[i]);
    return sum;
}

/* --- sha256: FIPS 180-4, without special instructions --- */

static const uint32_t sha256_k[64] = {
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
    0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
    0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
    0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
    0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
    0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
    0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
    0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2,
};

static uint32_t rotate(uint32_t x, unsigned n)
{
    return x >> n | x << (32 - n);
}

static void sha256_block(uint32_t *h, const uint8_t *block)
{
    uint32_t w[64], s[8];

    for (unsigned i = 0; i < 16; i++) {
        memcpy(&w[i], block + 4 * i, 4);
        w[i] = __builtin_bswap32(w[i]);
    }
    for (unsigned i = 16; i < 64; i++) {
        uint32_t x = w[i - 15], y = w[i - 2];

        w[i] = w[i - 16] + w[i - 7] + (rotate(x, 7) ^ rotate(x, 18) ^ x >> 3) +
               (rotate(y, 17) ^ rotate(y, 19) ^ y >> 10);
    }
    memcpy(s, h, sizeof(s));
    for (unsigned i = 0; i < 64; i++) {
        uint32_t t1 = s[7] + (rotate(s[4], 6) ^ rotate(s[4], 11) ^ rotate(s[4], 25)) +
                      ((s[4] & s[5]) ^ (~s[4] & s[6])) + sha256_k[i] + w[i];
        uint32_t t2 = (rotate(s[0], 2) ^ rotate(s[0], 13) ^ rotate(s[0], 22)) +
                      ((s[0] & s[1]) ^ (s[0] & s[2]) ^ (s[1] & s[2]));

        memmove(s + 1, s, 7 * sizeof(*s));
        s[4] += t1;
        s[0] = t1 + t2;
    }
    for (unsigned i = 0; i < 8; i++)
        h[i] += s[i];
}

static uint64_t run_sha256(void *scratch, unsigned rounds)
{
    uint32_t h[8] = {0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19};
    uint8_t *data = scratch;

    make_text(data, 4096, 8);
    for (unsigned r = 0; r < rounds; r++)
        sha256_block(h, data + r % 60 * 64);
    return (uint64_t)h[0] << 32 | h[7];
}

/* --- crc32: by table, a byte at a time --- */

static uint64_t run_crc_table(void *scratch, unsigned rounds)
{
    uint32_t table[256], crc = 0xffffffff;
    uint8_t *data = scratch;
    unsigned size = make_text(data, 16384, 9);

    for (uint32_t i = 0; i < 256; i++) {
        uint32_t x = i;

        for (unsigned bit = 0; bit < 8; bit++)
            x = x >> 1 ^ (x & 1 ? 0xedb88320 : 0);
        table[i] = x;
    }
    for (unsigned r = 0; r < rounds; r++) {
        for (unsigned i = 0; i < size; i++)
            crc = table[(uint8_t)(crc ^ data[i])] ^ crc >> 8;
    }
    return crc;
}

/* --- compress: a byte-oriented LZ77 with a hash of the last occurrence, and its reverse --- */

#define WINDOW_BITS 13

static unsigned lz_compress(const uint8_t *in, unsigned size, uint8_t *out, uint32_t *heads)
{
    unsigned at = 0, to = 0, flags_at = 0, flag = 8;

    memset(heads, 0, sizeof(*heads) << WINDOW_BITS);
    while (at + 4 < size) {
        uint32_t word, candidate, length = 0;

        memcpy(&word, in + at, 4);
        word = word * 2654435761u >> (32 - WINDOW_BITS);
        candidate = heads[word];
        heads[word] = at;
        if (candidate && at - candidate < 65536) {
            while (length < 255 && at + length < size && in[candidate + length] == in[at + length])
                length++;
        }
        if (flag == 8) {
            flags_at = to;
            out[to++] = 0;
            flag = 0;
        }
        if (length >= 4) {
            out[flags_at] |= (uint8_t)(1 << flag);
            out[to++] = (uint8_t)(at - candidate);
            out[to++] = (uint8_t)((at - candidate) >> 8);
            out[to++] = (uint8_t)length;
            at += length;
        } else {
            out[to++] = in[at++];
        }
        flag++;
    }
    return to;
}

static unsigned lz_expand(const uint8_t *in, unsigned size, uint8_t *out)
{
    unsigned at = 0, to = 0;

    while (at < size) {
        uint8_t flags = in[at++];

        for (unsigned i = 0; i < 8 && at < size; i++, flags >>= 1) {
            if (!(flags & 1)) {
                out[to++] = in[at++];
                continue;
            }
            unsigned distance = in[at] | (unsigned)in[at + 1] << 8, length = in[at + 2];

            at += 3;
            for (; length; length--, to++)
                out[to] = out[to - distance];
        }
    }
    return to;
}

static uint64_t run_compress(void *scratch, unsigned rounds)
{
    uint8_t *text = scratch, *packed = text + (1u << 20), *back = text + (2u << 20);
    uint32_t *heads = (uint32_t *)((char *)scratch + (3u << 20));
    uint64_t sum = 0;

    for (unsigned r = 0; r < rounds; r++) {
        unsigned size = make_text(text, 65536, 100 + r), packed_size, back_size;

        packed_size = lz_compress(text, size, packed, heads);
        back_size = lz_expand(packed, packed_size, back);
        sum = mix(sum, packed_size);
        sum += memcmp(text, back, back_size) != 0;
    }
    return sum;
}

/* --- interpreter: a stack machine that looks for primes --- */

enum { OP_PUSH, OP_LOAD, OP_STORE, OP_ADD, OP_MUL, OP_REM, OP_LESS, OP_JZ, OP_JMP, OP_INC, OP_HALT };

static uint64_t interpret(const int32_t *code)
{
    int64_t stack[16], locals[4] = {0};
    unsigned sp = 0;

    for (;;) {
        switch (*code++) {
        case OP_PUSH:
            stack[sp++] = *code++;
            break;
        case OP_LOAD:
            stack[sp++] = locals[*code++];
            break;
        case OP_STORE:
            locals[*code++] = stack[--sp];
            break;
        case OP_ADD:
            sp--;
            stack[sp - 1] += stack[sp];
            break;
        case OP_MUL:
            sp--;
            stack[sp - 1] *= stack[sp];
            break;
        case OP_REM:
            sp--;
            stack[sp - 1] %= stack[sp];
            break;
        case OP_LESS:
            sp--;
            stack[sp - 1] = stack[sp - 1] < stack[sp];
            break;
        case OP_JZ:
            code += stack[--sp] ? 1 : *code;
            break;
        case OP_JMP:
            code += *code;
            break;
        case OP_INC:
            locals[*code++]++;
            break;
        case OP_HALT:
            return (uint64_t)locals[2];
        }
    }
}

static uint64_t run_interpreter(void *scratch, unsigned rounds)
{
    /* for (n = 2; n < 2000; n++) { for (d = 2; d * d < n + 1; d++) if (n % d == 0) break; else count } */
    static const int32_t program[] = {
        OP_PUSH, 2, OP_STORE, 0,                                              /* 0: n = 2 */
        OP_LOAD, 0, OP_PUSH, 2000, OP_LESS, OP_JZ, 35,                        /* 4: while n < 2000 */
        OP_PUSH, 2, OP_STORE, 1,                                              /* 11: d = 2 */
        OP_LOAD, 1, OP_LOAD, 1, OP_MUL, OP_LOAD, 0, OP_PUSH, 1, OP_ADD, OP_LESS, OP_JZ, 12, /* 15: d * d < n + 1 */
        OP_LOAD, 0, OP_LOAD, 1, OP_REM, OP_JZ, 7,                             /* 28: n % d == 0: next n */
        OP_INC, 1, OP_JMP, -23,                                               /* 35: d++ */
        OP_INC, 2,                                                            /* 39: count */
        OP_INC, 0, OP_JMP, -40,                                               /* 41: n++ */
        OP_HALT,                                                              /* 45 */
    };
    uint64_t sum = 0;

    for (unsigned r = 0; r < rounds; r++)
        sum = mix(sum, interpret(program));
    return sum;
}

/* --- malloc: the C library's heap, sizes as programs ask for --- */

static uint64_t run_malloc(void *scratch, unsigned rounds)
{
    static const unsigned sizes[] = {16, 24, 32, 40, 64, 100, 300, 1000, 5000};
    uint8_t **blocks = scratch;
    uint64_t random = 55, sum = 0;

    memset(blocks, 0, 1024 * sizeof(*blocks));
    for (unsigned r = 0; r < rounds; r++) {
        uint64_t x = next_random(&random);
        unsigned slot = x & 1023, size = sizes[(x >> 10) % 9];

        if (blocks[slot]) {
            sum += blocks[slot][0];
            free(blocks[slot]);
        }
        blocks[slot] = malloc(size);
        if (!blocks[slot])
            abort();
        blocks[slot][0] = (uint8_t)x;
        blocks[slot][size - 1] = (uint8_t)(x >> 8);
    }
    for (unsigned i = 0; i < 1024; i++)
        free(blocks[i]);
    return sum;
}

const Kernel program_kernels[] = {
    {"sort", "integer", run_sort, 12, 0xd81826f6fb50b220u, NULL},
    {"hash", "integer", run_hash, 500000, 0xf0590f, NULL},
    {"tree", "integer", run_tree, 10, 0x19f519e522eu, NULL},
    {"words", "integer", run_words, 120, 0x300cd16e667232d9u, NULL},
    {"sha256", "integer", run_sha256, 30000, 0x4cbef507cc7da94au, NULL},
    {"crc-table", "integer", run_crc_table, 600, 0x8bcac6f3, NULL},
    {"compress", "integer", run_compress, 30, 0x47b29096a750e00du, NULL},
    {"interpreter", "integer", run_interpreter, 40, 0x6e79a38187fd561au, NULL},
    {"malloc", "integer", run_malloc, 600000, 0x48cf452, NULL},
    {NULL},
};
