/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * CPUID bits -> Zydis ISA sets. An instruction whose set is not offered is #UD.
 *
 * Bits: Intel SDM vol. 2, CPUID (tables 3-8 to 3-19); AMD APM vol. 3, appendix E. Sets without a
 * row are not modelled (VMX, SVM, SGX, TSX, CET, AMX, Key Locker, ...) and never offered.
 */
#include "accel/dbt/feature.h"

enum { EAX, EBX, ECX, EDX };

/* One CPUID bit. */
typedef struct FeatureBit {
    uint32_t leaf;
    uint8_t subleaf, reg, bit;
    bool used;
} FeatureBit;

#define F(leaf, subleaf, reg, bit) {leaf, subleaf, reg, bit, true}

typedef struct FeatureRow {
    uint16_t isa_set;
    FeatureBit need[3]; /* all that are used */
} FeatureRow;

#define SSE2     F(1, 0, EDX, 26)
#define AVX      F(1, 0, ECX, 28)
#define AES      F(1, 0, ECX, 25)
#define GFNI     F(7, 0, ECX, 8)
#define VAES     F(7, 0, ECX, 9)
#define VPCLMUL  F(7, 0, ECX, 10)
#define AVX512F  F(7, 0, EBX, 16)
#define AVX512DQ F(7, 0, EBX, 17)
#define IFMA     F(7, 0, EBX, 21)
#define AVX512CD F(7, 0, EBX, 28)
#define AVX512BW F(7, 0, EBX, 30)
#define AVX512VL F(7, 0, EBX, 31)
#define VBMI     F(7, 0, ECX, 1)
#define VBMI2    F(7, 0, ECX, 6)
#define VNNI     F(7, 0, ECX, 11)
#define BITALG   F(7, 0, ECX, 12)
#define VPOPCNT  F(7, 0, ECX, 14)
#define VP2INT   F(7, 0, EDX, 8)
#define FP16     F(7, 0, EDX, 23)
#define BF16     F(7, 1, EAX, 5)

#define BASE(name)            {ZYDIS_ISA_SET_##name, {{.used = false}}}
#define ROW(name, ...)        {ZYDIS_ISA_SET_##name, .need = {__VA_ARGS__}}
/* An AVX-512 extension's 128-, 256- and 512-bit forms. */
#define EVEX_ROWS(name, ...)                                                                       \
    ROW(name##_128, AVX512VL, __VA_ARGS__), ROW(name##_256, AVX512VL, __VA_ARGS__),                \
        ROW(name##_512, AVX512F, __VA_ARGS__)

static const FeatureRow rows[] = {
    BASE(FAT_NOP), BASE(I186), BASE(I286PROTECTED), BASE(I286REAL), BASE(I386), BASE(I486),
    BASE(I486REAL), BASE(I86), BASE(LAHF), BASE(LONGMODE), BASE(PAUSE), BASE(PENTIUMREAL),
    BASE(PPRO), BASE(PREFETCH_NOP), BASE(PREFETCHWT1), BASE(RDPMC), BASE(SSE_PREFETCH),

    ROW(X87, F(1, 0, EDX, 0)),
    ROW(CMOV, F(1, 0, EDX, 15)),
    ROW(FCMOV, F(1, 0, EDX, 0), F(1, 0, EDX, 15)),
    ROW(CLFSH, F(1, 0, EDX, 19)),
    ROW(PENTIUMMMX, F(1, 0, EDX, 23)),
    ROW(FXSAVE, F(1, 0, EDX, 24)),
    ROW(FXSAVE64, F(1, 0, EDX, 24)),
    ROW(SSE, F(1, 0, EDX, 25)),
    ROW(SSEMXCSR, F(1, 0, EDX, 25)),
    ROW(SSE2, SSE2),
    ROW(SSE2MMX, SSE2),
    ROW(SSE3, F(1, 0, ECX, 0)),
    ROW(SSE3X87, F(1, 0, ECX, 0)),
    ROW(PCLMULQDQ, F(1, 0, ECX, 1)),
    ROW(MONITOR, F(1, 0, ECX, 3)),
    ROW(SSSE3, F(1, 0, ECX, 9)),
    ROW(SSSE3MMX, F(1, 0, ECX, 9)),
    ROW(FMA, F(1, 0, ECX, 12), AVX),
    ROW(CMPXCHG16B, F(1, 0, ECX, 13)),
    ROW(SSE4, F(1, 0, ECX, 19)),
    ROW(SSE42, F(1, 0, ECX, 20)),
    ROW(MOVBE, F(1, 0, ECX, 22)),
    ROW(POPCNT, F(1, 0, ECX, 23)),
    ROW(AES, AES),
    ROW(XSAVE, F(1, 0, ECX, 26)),
    ROW(AVX, AVX),
    ROW(AVXAES, AVX, AES),
    ROW(F16C, F(1, 0, ECX, 29), AVX),
    ROW(RDRAND, F(1, 0, ECX, 30)),

    ROW(RDWRFSGS, F(7, 0, EBX, 0)),
    ROW(BMI1, F(7, 0, EBX, 3)),
    ROW(AVX2, F(7, 0, EBX, 5)),
    ROW(AVX2GATHER, F(7, 0, EBX, 5)),
    ROW(BMI2, F(7, 0, EBX, 8)),
    ROW(INVPCID, F(7, 0, EBX, 10)),
    ROW(RDSEED, F(7, 0, EBX, 18)),
    ROW(ADOX_ADCX, F(7, 0, EBX, 19)),
    ROW(SMAP, F(7, 0, EBX, 20)),
    ROW(CLFLUSHOPT, F(7, 0, EBX, 23)),
    ROW(CLWB, F(7, 0, EBX, 24)),
    ROW(SHA, F(7, 0, EBX, 29)),
    ROW(PKU, F(7, 0, ECX, 3)),
    ROW(WAITPKG, F(7, 0, ECX, 5)),
    ROW(GFNI, GFNI),
    ROW(AVX_GFNI, GFNI, AVX),
    ROW(VAES, VAES, AVX),
    ROW(VPCLMULQDQ, VPCLMUL, AVX),
    ROW(RDPID, F(7, 0, ECX, 22)),
    ROW(MOVDIR, F(7, 0, ECX, 27)),
    ROW(SERIALIZE, F(7, 0, EDX, 14)),
    ROW(AVX_VNNI, F(7, 1, EAX, 4)),
    ROW(XSAVEOPT, F(0xd, 1, EAX, 0)),
    ROW(XSAVEC, F(0xd, 1, EAX, 1)),
    ROW(XSAVES, F(0xd, 1, EAX, 3)),
    ROW(LZCNT, F(0x80000001, 0, ECX, 5)),
    ROW(SSE4A, F(0x80000001, 0, ECX, 6)),
    ROW(XOP, F(0x80000001, 0, ECX, 11)),
    ROW(FMA4, F(0x80000001, 0, ECX, 16)),
    ROW(TBM, F(0x80000001, 0, ECX, 21)),
    ROW(RDTSCP, F(0x80000001, 0, EDX, 27)),
    ROW(CLZERO, F(0x80000008, 0, EBX, 0)),
    ROW(RDPRU, F(0x80000008, 0, EBX, 4)),

    ROW(AVX512F_128, AVX512F, AVX512VL),
    ROW(AVX512F_128N, AVX512F),
    ROW(AVX512F_256, AVX512F, AVX512VL),
    ROW(AVX512F_512, AVX512F),
    ROW(AVX512F_KOP, AVX512F),
    ROW(AVX512F_SCALAR, AVX512F),
    EVEX_ROWS(AVX512BW, AVX512BW),
    ROW(AVX512BW_128N, AVX512BW),
    ROW(AVX512BW_KOP, AVX512BW),
    EVEX_ROWS(AVX512CD, AVX512CD),
    EVEX_ROWS(AVX512DQ, AVX512DQ),
    ROW(AVX512DQ_128N, AVX512DQ),
    ROW(AVX512DQ_KOP, AVX512DQ),
    ROW(AVX512DQ_SCALAR, AVX512DQ),
    EVEX_ROWS(AVX512_BF16, BF16),
    EVEX_ROWS(AVX512_BITALG, BITALG),
    EVEX_ROWS(AVX512_FP16, FP16),
    ROW(AVX512_FP16_128N, FP16, AVX512F),
    ROW(AVX512_FP16_SCALAR, FP16, AVX512F),
    EVEX_ROWS(AVX512_GFNI, GFNI),
    EVEX_ROWS(AVX512_IFMA, IFMA),
    EVEX_ROWS(AVX512_VAES, VAES),
    EVEX_ROWS(AVX512_VBMI, VBMI),
    EVEX_ROWS(AVX512_VBMI2, VBMI2),
    EVEX_ROWS(AVX512_VNNI, VNNI),
    EVEX_ROWS(AVX512_VP2INTERSECT, VP2INT),
    EVEX_ROWS(AVX512_VPCLMULQDQ, VPCLMUL),
    EVEX_ROWS(AVX512_VPOPCNTDQ, VPOPCNT),
};

static bool bit_set(const CpuidTable *cpuid, const FeatureBit *f)
{
    uint32_t max[4], regs[4];

    if (!f->used)
        return true;
    /* A leaf past the last one reads as the highest basic leaf. */
    cpuid_table_query(cpuid, f->leaf & 0x80000000u, 0, max);
    if (f->leaf > max[0])
        return false;
    cpuid_table_query(cpuid, f->leaf, f->subleaf, regs);
    return regs[f->reg] >> f->bit & 1;
}

void dbt_features_from_cpuid(DbtFeatures *features, const CpuidTable *cpuid)
{
    static const FeatureBit wbnoinvd = F(0x80000008, 0, EBX, 9);
    uint32_t vendor[4];

    *features = (DbtFeatures){0};
    for (unsigned i = 0; i < G_N_ELEMENTS(rows); i++) {
        const FeatureBit *need = rows[i].need;

        features->isa_set[rows[i].isa_set] =
            bit_set(cpuid, &need[0]) && bit_set(cpuid, &need[1]) && bit_set(cpuid, &need[2]);
    }
    /* SYSCALL outside 64-bit mode exists on AMD's processors only ("Auth" of AuthenticAMD). */
    cpuid_table_query(cpuid, 0, 0, vendor);
    features->isa_set[ZYDIS_ISA_SET_AMD] = vendor[EBX] == 0x68747541;
    features->wbnoinvd = bit_set(cpuid, &wbnoinvd);
}
