/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Floating point, packed instructions, x87, and the special ones for cryptography and checksums.
 * Each function is compiled for what it needs and runs only where the CPU has it. No contraction into
 * fused operations but where they are written: the results are the same on every CPU.
 */
#include <immintrin.h>
#include <string.h>

#include "kernels.h"

static uint64_t double_bits(double x)
{
    uint64_t bits;

    memcpy(&bits, &x, sizeof(bits));
    return bits;
}

static void fill(void *scratch, size_t size, uint64_t seed)
{
    uint64_t *to = scratch;

    for (size_t i = 0; i < size / sizeof(*to); i++)
        to[i] = next_random(&seed);
}

/* --- scalar: bodies that attract each other --- */

static uint64_t run_fp_scalar(void *scratch, unsigned rounds)
{
    typedef struct Body {
        double x[3], v[3], mass;
    } Body;
    Body bodies[5];

    for (unsigned i = 0; i < 5; i++)
        bodies[i] = (Body){{i * 1.5, 3.0 - i, i * 0.25}, {0.1 * i, 0.2, -0.05 * i}, 1.0 + i * 0.125};
    for (unsigned r = 0; r < rounds; r++) {
        for (unsigned i = 0; i < 5; i++) {
            for (unsigned j = i + 1; j < 5; j++) {
                Body *a = &bodies[i], *b = &bodies[j];
                double d[3], square = 0.01, root, force;

                for (unsigned k = 0; k < 3; k++) {
                    d[k] = a->x[k] - b->x[k];
                    square += d[k] * d[k];
                }
                __asm__("sqrtsd %1, %0" : "=x"(root) : "x"(square));
                force = 0.001 / (square * root);
                for (unsigned k = 0; k < 3; k++) {
                    a->v[k] -= d[k] * b->mass * force;
                    b->v[k] += d[k] * a->mass * force;
                }
            }
        }
        for (unsigned i = 0; i < 5; i++) {
            for (unsigned k = 0; k < 3; k++)
                bodies[i].x[k] += 0.001 * bodies[i].v[k];
        }
    }
    return double_bits(bodies[0].x[0]) ^ double_bits(bodies[4].v[2]);
}

/* Conversions and comparisons between integers and floating point. */
static uint64_t run_fp_convert(void *scratch, unsigned rounds)
{
    uint64_t random = 3, sum = 0;
    double total = 0;

    for (unsigned r = 0; r < rounds; r++) {
        int64_t x = (int64_t)(next_random(&random) >> 20);
        double y = (double)x * 0.125;
        float z = (float)y;

        if (y > total)
            total += y * 0.5;
        else
            total -= (double)z * 0.25;
        sum += (uint64_t)(int64_t)total ^ (uint64_t)(int32_t)(z * 1e-12f);
    }
    return sum;
}

/* --- SSE --- */

/* The iterations of z = z * z + c, four points at a time. */
static uint64_t run_sse_float(void *scratch, unsigned rounds)
{
    uint64_t sum = 0;

    for (unsigned r = 0; r < rounds; r++) {
        __m128 cx = _mm_set_ps(-1.5f + (float)(r % 64) / 32, -1.0f, 0.25f, -0.5f), cy = _mm_set1_ps(0.01f * (float)(r % 97));
        __m128 x = _mm_setzero_ps(), y = x, four = _mm_set1_ps(4);
        __m128i count = _mm_setzero_si128();

        for (unsigned i = 0; i < 64; i++) {
            __m128 xx = _mm_mul_ps(x, x), yy = _mm_mul_ps(y, y), xy = _mm_mul_ps(x, y);
            __m128 inside = _mm_cmple_ps(_mm_add_ps(xx, yy), four);

            count = _mm_sub_epi32(count, _mm_castps_si128(inside));
            x = _mm_min_ps(_mm_add_ps(_mm_sub_ps(xx, yy), cx), four);
            y = _mm_min_ps(_mm_add_ps(_mm_add_ps(xy, xy), cy), four);
        }
        sum = mix(sum, (uint64_t)_mm_cvtsi128_si64(_mm_add_epi32(count, _mm_srli_si128(count, 8))));
    }
    return sum;
}

/* A picture onto a picture: saturated sums, averages, differences of bytes. */
static uint64_t run_sse_bytes(void *scratch, unsigned rounds)
{
    __m128i *a = scratch, *b = a + 512, difference = _mm_setzero_si128();

    fill(scratch, 1024 * sizeof(*a), 17);
    for (unsigned r = 0; r < rounds; r++) {
        for (unsigned i = 0; i < 512; i++) {
            __m128i x = _mm_load_si128(a + i), y = _mm_load_si128(b + (i ^ (r & 511)));

            difference = _mm_add_epi64(difference, _mm_sad_epu8(x, y));
            y = _mm_avg_epu8(_mm_adds_epu8(x, _mm_set1_epi8(3)), y);
            _mm_store_si128(a + i, _mm_xor_si128(y, _mm_unpacklo_epi8(x, y)));
        }
    }
    return (uint64_t)_mm_cvtsi128_si64(difference) + (uint64_t)_mm_cvtsi128_si64(_mm_srli_si128(difference, 8));
}

/* --- AVX2 and FMA --- */

static bool has_avx2(void)
{
    return __builtin_cpu_supports("avx2");
}

static bool has_fma(void)
{
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
}

__attribute__((target("avx2"))) static uint64_t run_avx2_int(void *scratch, unsigned rounds)
{
    __m256i *a = scratch, sum = _mm256_setzero_si256();
    __m128i folded;

    fill(scratch, 1025 * sizeof(*a), 23);
    for (unsigned r = 0; r < rounds; r++) {
        for (unsigned i = 0; i < 1024; i++) {
            __m256i x = _mm256_load_si256(a + i), y = _mm256_loadu_si256((__m256i *)((char *)(a + (i ^ 5)) + 8 * (i & 1)));

            x = _mm256_add_epi32(_mm256_mullo_epi32(x, y), _mm256_shuffle_epi8(y, _mm256_set1_epi64x(0x0001020304050607)));
            x = _mm256_permutevar8x32_epi32(x, _mm256_set_epi32(3, 5, 7, 1, 0, 2, 6, 4));
            sum = _mm256_add_epi64(sum, _mm256_srlv_epi64(x, _mm256_set_epi64x(1, 3, 5, 7)));
            _mm256_store_si256(a + i, _mm256_blend_epi32(x, y, 0x5a));
        }
    }
    folded = _mm_add_epi64(_mm256_castsi256_si128(sum), _mm256_extracti128_si256(sum, 1));
    return (uint64_t)_mm_cvtsi128_si64(folded) + (uint64_t)_mm_extract_epi64(folded, 1);
}

/* A product of 64 x 64 matrices. */
__attribute__((target("avx2,fma"))) static uint64_t run_avx2_fma(void *scratch, unsigned rounds)
{
    double *a = scratch, *b = a + 4096, *c = b + 4096;
    uint64_t sum = 0;

    for (unsigned i = 0; i < 4096; i++) {
        a[i] = (double)(i % 37) / 41;
        b[i] = (double)(i % 53) / 59;
        c[i] = 0;
    }
    for (unsigned r = 0; r < rounds; r++) {
        for (unsigned i = 0; i < 64; i++) {
            for (unsigned j = 0; j < 64; j += 16) {
                __m256d t[4];

                for (unsigned k = 0; k < 4; k++)
                    t[k] = _mm256_loadu_pd(c + 64 * i + j + 4 * k);
                for (unsigned l = 0; l < 64; l++) {
                    __m256d x = _mm256_broadcast_sd(a + 64 * i + l);

                    for (unsigned k = 0; k < 4; k++)
                        t[k] = _mm256_fmadd_pd(x, _mm256_loadu_pd(b + 64 * l + j + 4 * k), t[k]);
                }
                for (unsigned k = 0; k < 4; k++)
                    _mm256_storeu_pd(c + 64 * i + j + 4 * k, t[k]);
            }
        }
        sum = mix(sum, double_bits(c[r & 4095]));
    }
    return sum;
}

/* --- AVX-512 --- */

static bool has_avx512(void)
{
    return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq") &&
           __builtin_cpu_supports("avx512vl");
}

/* Numbers above a limit are gathered at the front, the others worked on in their places: masks all along. */
__attribute__((target("avx512f,avx512bw,avx512dq,avx512vl"))) static uint64_t run_avx512(void *scratch, unsigned rounds)
{
    uint8_t *a = scratch, *b = a + 65536;
    __m512i sum = _mm512_setzero_si512();

    fill(scratch, 2 * 65536, 31);
    for (unsigned r = 0; r < rounds; r++) {
        __m512i limit = _mm512_set1_epi32((int)(r * 0x01234567u)), step = _mm512_set1_epi32((int)r);
        unsigned kept = 0;

        for (unsigned i = 0; i < 65536; i += 64) {
            __m512i x = _mm512_loadu_si512(a + i);
            __mmask16 above = _mm512_cmpgt_epi32_mask(x, limit);
            __mmask64 bytes = _mm512_movepi8_mask(x);

            _mm512_mask_compressstoreu_epi32(b + 4 * kept, above, x);
            kept += (unsigned)__builtin_popcount(above);
            x = _mm512_mask_mullo_epi32(x, (__mmask16)~above, x, step);
            x = _mm512_mask_add_epi8(x, bytes, x, _mm512_maskz_loadu_epi8(bytes, a + (i ^ 64)));
            sum = _mm512_add_epi64(sum, _mm512_ternarylogic_epi64(x, _mm512_rorv_epi32(x, step), limit, 0x96));
            _mm512_storeu_si512(a + i, x);
        }
        sum = _mm512_mask_add_epi32(sum, 0x0f0f, sum, _mm512_loadu_si512(b + 64 * (r & 511)));
    }
    return (uint64_t)_mm512_reduce_add_epi64(sum);
}

/* --- x87 --- */

static uint64_t run_x87(void *scratch, unsigned rounds)
{
    long double sum = 0, power = 1;

    for (unsigned r = 1; r <= rounds; r++) {
        long double x = (long double)(r & 1023) / 1024;

        power = power * x + 0.5L;
        sum += power / (x + 1) - sum * 0.0625L;
    }
    return (uint64_t)(int64_t)(sum * 1e12L) + (uint64_t)(int64_t)(power * 1e12L);
}

static uint64_t run_x87_functions(void *scratch, unsigned rounds)
{
    long double sum = 0;

    for (unsigned r = 1; r <= rounds; r++) {
        long double x = (long double)(r & 255) / 256, root;

        __asm__("fsqrt" : "=t"(root) : "0"(x + 1));
        __asm__("frndint" : "=t"(x) : "0"(root * 100));
        sum += x - root;
    }
    return (uint64_t)(int64_t)(sum * 1e6L);
}

/* --- special instructions --- */

static bool has_aes(void)
{
    return __builtin_cpu_supports("aes");
}

__attribute__((target("aes"))) static uint64_t run_aes(void *scratch, unsigned rounds)
{
    __m128i x[4], key = _mm_set_epi64x(0x0f0e0d0c0b0a0908, 0x0706050403020100);

    for (unsigned i = 0; i < 4; i++)
        x[i] = _mm_set1_epi32((int)i);
    for (unsigned r = 0; r < rounds; r++) {
        for (unsigned i = 0; i < 4; i++)
            x[i] = _mm_aesenc_si128(x[i], key);
        key = _mm_aesdec_si128(_mm_aeskeygenassist_si128(key, 0x1b), x[3]);
    }
    for (unsigned i = 1; i < 4; i++)
        x[0] = _mm_xor_si128(x[0], x[i]);
    return (uint64_t)_mm_cvtsi128_si64(x[0]);
}

static bool has_sha(void)
{
    unsigned a, b, c, d;

    __asm__("cpuid" : "=a"(a), "=b"(b), "=c"(c), "=d"(d) : "a"(0), "c"(0));
    if (a < 7)
        return false;
    __asm__("cpuid" : "=a"(a), "=b"(b), "=c"(c), "=d"(d) : "a"(7), "c"(0));
    return b >> 29 & 1;
}

__attribute__((target("sha,sse4.1"))) static uint64_t run_sha_ni(void *scratch, unsigned rounds)
{
    __m128i abef = _mm_set_epi64x(0x6a09e667bb67ae85, 0x510e527f9b05688c);
    __m128i cdgh = _mm_set_epi64x(0x3c6ef372a54ff53a, 0x1f83d9ab5be0cd19), w = abef;

    for (unsigned r = 0; r < rounds; r++) {
        cdgh = _mm_sha256rnds2_epu32(cdgh, abef, w);
        abef = _mm_sha256rnds2_epu32(abef, cdgh, _mm_shuffle_epi32(w, 0x0e));
        w = _mm_sha256msg2_epu32(_mm_sha256msg1_epu32(w, cdgh), abef);
    }
    return (uint64_t)_mm_cvtsi128_si64(_mm_xor_si128(abef, cdgh));
}

static bool has_crc(void)
{
    return __builtin_cpu_supports("sse4.2") && __builtin_cpu_supports("pclmul");
}

__attribute__((target("sse4.2,pclmul"))) static uint64_t run_crc(void *scratch, unsigned rounds)
{
    uint64_t *data = scratch, crc = 0xffffffff;
    __m128i folded = _mm_setzero_si128(), factor = _mm_set_epi64x(0x1751997d0, 0x0ccaa009e);

    fill(scratch, 2048 * sizeof(*data), 6);
    for (unsigned r = 0; r < rounds; r++) {
        for (unsigned i = 0; i < 2048; i += 2) {
            crc = _mm_crc32_u64(crc, data[i]);
            folded = _mm_xor_si128(_mm_clmulepi64_si128(folded, factor, 0x00), _mm_clmulepi64_si128(folded, factor, 0x11));
            folded = _mm_xor_si128(folded, _mm_loadu_si128((__m128i *)(data + i)));
        }
    }
    return crc ^ (uint64_t)_mm_cvtsi128_si64(folded);
}

const Kernel vector_kernels[] = {
    {"fp-scalar", "fp", run_fp_scalar, 250000, 0x7fee16ca2c8d492eu, NULL},
    {"fp-convert", "fp", run_fp_convert, 2000000, 0x32bc55c054dce1b9u, NULL},
    {"sse-float", "packed", run_sse_float, 60000, 0x454c62ba977c45dau, NULL},
    {"sse-bytes", "packed", run_sse_bytes, 20000, 0x354356c86u, NULL},
    {"avx2-int", "packed", run_avx2_int, 8000, 0xf7239a3be72c8ec3u, has_avx2},
    {"avx2-fma", "packed", run_avx2_fma, 100, 0xb4459fd6c75f1898u, has_fma},
    {"avx512", "packed", run_avx512, 4000, 0xdb8947a745cb25e3u, has_avx512},
    {"x87", "x87", run_x87, 3000000, 0xeae8f002363u, NULL},
    {"x87-functions", "x87", run_x87_functions, 3000000, 0x1490cb351d8e5u, NULL},
    {"aes", "crypto", run_aes, 2500000, 0x89b89c2128c82379u, has_aes},
    {"sha-ni", "crypto", run_sha_ni, 2500000, 0x66f68c902097c02du, has_sha},
    {"crc-clmul", "crypto", run_crc, 8000, 0x75d520b745663312u, has_crc},
    {NULL},
};
