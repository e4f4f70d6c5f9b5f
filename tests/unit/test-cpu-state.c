/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * CpuState (core/cpu-state.h): reset and INIT as SDM vol. 3, table 9-1 has them, and the XSAVE area
 * against the host's own XSAVE and XRSTOR.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <cpuid.h>
#include <string.h>

#include "core/bits.h"
#include "core/cpu-state.h"
#include "core/thread.h"

#define SIGNATURE 0x000306c3
#define KNOWN_COMPONENTS                                                                           \
    (XCR0_X87 | XCR0_SSE | XCR0_AVX | XCR0_OPMASK | XCR0_ZMM_HI256 | XCR0_HI16_ZMM)

static void fill_random(void *buf, size_t len, uint32_t seed)
{
    g_autoptr(GRand) rand = g_rand_new_with_seed(seed);

    for (size_t i = 0; i < len; i++)
        ((uint8_t *)buf)[i] = (uint8_t)g_rand_int(rand);
}

static void reset_is_the_power_up_state_of_the_manual(void **state)
{
    CpuState s;

    fill_random(&s, sizeof(s), 1);
    cpu_state_reset(&s, SIGNATURE, true);
    assert_int_equal(s.rip, 0xfff0);
    assert_int_equal(s.rflags, 2);
    assert_int_equal(s.seg[SEG_CS].selector, 0xf000);
    assert_int_equal(s.seg[SEG_CS].base, 0xffff0000);
    assert_int_equal(s.seg[SEG_CS].limit, 0xffff);
    assert_int_equal(s.seg[SEG_CS].attr, SEG_ATTR_P | SEG_ATTR_S | SEG_ATTR_CODE | SEG_ATTR_RW | SEG_ATTR_ACCESSED);
    assert_int_equal(s.seg[SEG_DS].attr, SEG_ATTR_P | SEG_ATTR_S | SEG_ATTR_RW | SEG_ATTR_ACCESSED);
    assert_int_equal(s.gpr[GPR_RDX], SIGNATURE);
    assert_int_equal(s.gpr[GPR_RAX], 0);
    assert_int_equal(s.cr0, 0x60000010);
    assert_int_equal(s.cr4, 0);
    assert_int_equal(s.efer, 0);
    assert_int_equal(s.dr[6], 0xffff0ff0);
    assert_int_equal(s.dr[7], 0x400);
    assert_int_equal(s.xcr0, 1);
    assert_int_equal(s.fpu.mxcsr, 0x1f80);
    assert_int_equal(s.msr.pat, 0x0007040600070406ull);
    assert_int_equal(s.apic_base, 0xfee00900);
    assert_int_equal(s.mp_state, MP_RUNNABLE);
    assert_int_equal(cpu_state_code_bits(&s), 16);
    assert_int_equal(cpu_state_cpl(&s), 0);

    cpu_state_reset(&s, SIGNATURE, false);
    assert_int_equal(s.mp_state, MP_INIT_RECEIVED);
    assert_int_equal(s.apic_base, 0xfee00800);
}

static void init_keeps_what_the_manual_says_it_keeps(void **state)
{
    CpuState s, before;

    cpu_state_reset(&s, SIGNATURE, true);
    fill_random(&s.fpu, sizeof(s.fpu), 2);
    fill_random(&s.msr, sizeof(s.msr), 3);
    s.cr0 = CR0_PG | CR0_PE | CR0_WP | CR0_NW;
    s.cr4 = CR4_PAE;
    s.efer = EFER_LMA | EFER_LME;
    s.xcr0 = 7;
    s.tsc_offset = 12345;
    s.pkru = 0x55555554;
    s.gpr[GPR_RBX] = 1;
    s.rflags = RFLAGS_IF | RFLAGS_1;
    before = s;
    cpu_state_init(&s, SIGNATURE, true);

    assert_memory_equal(&s.fpu, &before.fpu, sizeof(s.fpu));
    assert_memory_equal(&s.msr, &before.msr, sizeof(s.msr));
    assert_int_equal(s.xcr0, 7);
    assert_int_equal(s.tsc_offset, 12345);
    assert_int_equal(s.pkru, 0x55555554);
    assert_int_equal(s.apic_base, before.apic_base);
    assert_int_equal(s.cr0, CR0_NW | CR0_ET);

    assert_int_equal(s.cr4, 0);
    assert_int_equal(s.efer, 0);
    assert_int_equal(s.gpr[GPR_RBX], 0);
    assert_int_equal(s.rflags, RFLAGS_1);
    assert_int_equal(s.rip, 0xfff0);
}

static void code_size_follows_lma_l_and_db(void **state)
{
    CpuState s;

    cpu_state_reset(&s, SIGNATURE, true);
    s.seg[SEG_CS].attr |= SEG_ATTR_DB;
    assert_int_equal(cpu_state_code_bits(&s), 32);
    s.seg[SEG_CS].attr = (s.seg[SEG_CS].attr & ~SEG_ATTR_DB) | SEG_ATTR_L;
    assert_int_equal(cpu_state_code_bits(&s), 16); /* L means nothing outside IA-32e mode */
    s.efer |= EFER_LMA;
    assert_int_equal(cpu_state_code_bits(&s), 64);
}

static void the_dump_names_every_register(void **state)
{
    CpuState s;
    g_autoptr(GString) out = g_string_new(NULL);

    cpu_state_reset(&s, SIGNATURE, true);
    s.efer = EFER_LMA;
    s.gpr[GPR_R15] = 0x123456789abcdef0ull;
    cpu_state_print(&s, 3, out);
    assert_non_null(strstr(out->str, "CPU#3"));
    assert_non_null(strstr(out->str, "R15=123456789abcdef0"));
    assert_non_null(strstr(out->str, "RIP=000000000000fff0"));
    assert_non_null(strstr(out->str, "CS =f000 00000000ffff0000 0000ffff 00009b00"));
    assert_non_null(strstr(out->str, "CR0=60000010"));
}

/* --- XSAVE --- */

static uint64_t host_xcr0(void)
{
    uint32_t eax, ebx, ecx, edx, lo, hi;

    if (!__get_cpuid(1, &eax, &ebx, &ecx, &edx) || !(ecx & bit_OSXSAVE))
        return 0;
    __asm__ volatile("xgetbv" : "=a"(lo), "=d"(hi) : "c"(0));
    return (uint64_t)hi << 32 | lo;
}

/* The host's registers are loaded from `in` and stored to `out` with nothing in between; those the
 * compiler works with are the caller's, so all are put back. */
static void host_round_trip(const void *in, void *out, uint64_t mask)
{
    uint8_t own[16384] __attribute__((aligned(64))) = { 0 };
    uint32_t lo = (uint32_t)mask, hi = (uint32_t)(mask >> 32);

    __asm__ volatile("xsave64 %[own]\n\t"
                     "xrstor64 %[in]\n\t"
                     "xsave64 %[out]\n\t"
                     "xrstor64 %[own]"
                     : [own] "+m"(own), [out] "+m"(*(uint8_t(*)[4096])out)
                     : [in] "m"(*(const uint8_t(*)[4096])in), "a"(lo), "d"(hi)
                     : "memory");
}

/* Any state the host accepts: control words without unmasked exceptions or reserved bits. Padding is
 * zero, so that structs can be compared. */
static void random_fpu(CpuState *s, uint32_t seed)
{
    FpuState *fpu = &s->fpu;
    struct {
        uint16_t fcw, fsw, fop, mxcsr;
        uint64_t fip, fdp;
        uint8_t ftw;
    } r;

    memset(s, 0, sizeof(*s));
    fill_random(&r, sizeof(r), seed);
    fill_random(fpu->st, sizeof(fpu->st), seed + 1000);
    fill_random(fpu->zmm, sizeof(fpu->zmm), seed + 2000);
    fill_random(fpu->opmask, sizeof(fpu->opmask), seed + 3000);
    fpu->fcw = (r.fcw & 0x0f00) | 0x037f;
    fpu->fsw = r.fsw & 0x7f00; /* no pending exception, not busy */
    fpu->ftw = r.ftw;
    fpu->fop = r.fop & 0x7ff;
    fpu->fip = r.fip & 0x00007fffffffffffull;
    fpu->fdp = r.fdp & 0x00007fffffffffffull;
    fpu->mxcsr = (r.mxcsr & 0xffbf) | 0x1f80;
    for (int i = 0; i < 8; i++)
        memset(fpu->st[i] + 10, 0, 6);
}

/* AMD keeps FOP, FIP and FDP only while an x87 exception is pending (APM vol. 2, 11.4.4). */
static void forget_x87_pointers(FpuState *fpu)
{
    fpu->fop = 0;
    fpu->fip = fpu->fdp = 0;
}

static void the_host_reads_and_writes_the_area_as_we_do(void **state)
{
    uint64_t mask = host_xcr0() & KNOWN_COMPONENTS;
    static uint8_t in[4096] __attribute__((aligned(64)));
    static uint8_t out[4096] __attribute__((aligned(64)));
    CpuState given, got;

    if (!mask)
        skip();
    assert_true(cpu_state_xsave_size(mask) <= sizeof(in));
    for (uint32_t seed = 1; seed <= 50; seed++) {
        random_fpu(&given, seed);
        memset(in, 0, sizeof(in));
        memset(out, 0, sizeof(out));
        cpu_state_to_xsave(&given, mask, in, sizeof(in));
        host_round_trip(in, out, mask);
        memset(&got, 0, sizeof(got));
        cpu_state_from_xsave(&got, mask, out, sizeof(out));
        forget_x87_pointers(&given.fpu);
        forget_x87_pointers(&got.fpu);
        if (!(mask & XCR0_HI16_ZMM)) { /* registers the host has not */
            memset(given.fpu.zmm[16], 0, 16 * 64);
            memset(given.fpu.opmask, 0, sizeof(given.fpu.opmask));
            for (int i = 0; i < 16; i++)
                memset(given.fpu.zmm[i] + 32, 0, 32);
        }
        assert_memory_equal(&got.fpu, &given.fpu, sizeof(given.fpu));
    }
}

static void the_size_is_the_hosts_own(void **state)
{
    uint32_t eax, ebx, ecx, edx;

    if (!host_xcr0())
        skip();
    __cpuid_count(0xd, 0, eax, ebx, ecx, edx);
    assert_int_equal(cpu_state_xsave_size(XCR0_X87 | XCR0_SSE), 576);
    /* EBX: for what XCR0 has enabled, which may be more than we know. */
    assert_true(cpu_state_xsave_size(host_xcr0()) <= ebx);
    if (!(host_xcr0() & ~(uint64_t)(KNOWN_COMPONENTS | XCR0_PKRU)))
        assert_int_equal(cpu_state_xsave_size(host_xcr0()), ebx);
}

static void components_outside_the_mask_are_not_touched(void **state)
{
    static uint8_t area[4096] __attribute__((aligned(64)));
    CpuState s;
    uint32_t sse_end = 160 + 16 * 16;

    memset(area, 0xa5, sizeof(area));
    memset(area + 512, 0, 64);
    store_le(area + 512, XCR0_AVX, 8);
    random_fpu(&s, 7);
    cpu_state_to_xsave(&s, XCR0_SSE, area, sizeof(area));
    for (uint32_t i = 0; i < sizeof(area); i++) {
        bool ours = (i >= 24 && i < 32) || (i >= 160 && i < sse_end) || (i >= 512 && i < 576);
        if (!ours)
            assert_int_equal(area[i], 0xa5);
    }
    assert_memory_equal(area + 160, s.fpu.zmm[0], 16);
    assert_int_equal(load_le(area + 512, 8), XCR0_AVX | XCR0_SSE);

    CpuState before = s;
    memset(area + 160, 0x11, 16);
    cpu_state_from_xsave(&s, XCR0_X87, area, sizeof(area));
    assert_memory_equal(s.fpu.zmm, before.fpu.zmm, sizeof(s.fpu.zmm));
    assert_int_equal(s.fpu.mxcsr, before.fpu.mxcsr);
}

static void absent_components_come_back_in_their_initial_configuration(void **state)
{
    uint64_t mask = host_xcr0() & (KNOWN_COMPONENTS | XCR0_PKRU);
    static uint8_t area[4096] __attribute__((aligned(64)));
    CpuState s;

    if (!mask)
        skip();
    memset(area, 0xff, sizeof(area));
    memset(area + 512, 0, 64);
    store_le(area + 24, 0x1f80, 4);
    random_fpu(&s, 9);
    s.pkru = 4;
    cpu_state_from_xsave(&s, mask, area, sizeof(area));
    assert_int_equal(s.fpu.fcw, 0x37f);
    assert_int_equal(s.fpu.fsw, 0);
    assert_int_equal(s.fpu.ftw, 0);
    assert_int_equal(s.fpu.mxcsr, 0x1f80);
    for (int i = 0; i < 16; i++) {
        static const uint8_t zero[16];
        assert_memory_equal(s.fpu.zmm[i], zero, 16);
    }
    if (mask & XCR0_PKRU)
        assert_int_equal(s.pkru, 0);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(reset_is_the_power_up_state_of_the_manual),
        cmocka_unit_test(init_keeps_what_the_manual_says_it_keeps),
        cmocka_unit_test(code_size_follows_lma_l_and_db),
        cmocka_unit_test(the_dump_names_every_register),
        cmocka_unit_test(the_host_reads_and_writes_the_area_as_we_do),
        cmocka_unit_test(the_size_is_the_hosts_own),
        cmocka_unit_test(components_outside_the_mask_are_not_touched),
        cmocka_unit_test(absent_components_come_back_in_their_initial_configuration),
    };

    core_init();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
