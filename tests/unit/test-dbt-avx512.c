/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * AVX-512 as a guest's operating system sees it: XCR0, CPUID, availability, state images, and registers that stay
 * while translated code comes and goes. What single instructions compute is tests/guest/oracle's subject.
 * Skipped where the host has no AVX-512.
 */
#include <cpuid.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "accel/dbt/sys.h"
#include "core/thread.h"
#include "dbt-rig.h"

#define XCR0_ALL (XCR0_X87 | XCR0_SSE | XCR0_AVX | XCR0_AVX512_PARTS)

static void prepare(Rig *rig, unsigned bits)
{
    rig_enable_units(rig, bits, XCR0_ALL);
}

#define RUN(rig, bits, name) (prepare((rig), (bits)), RIG_LOAD((rig), name), rig_run((rig), 0))

static DbtVcpu *dbt_of(Rig *rig)
{
    return rig->machine->vcpus[0]->accel;
}

/* --- What there is. --- */

static void xcr0_takes_all_three_components_with_avx_or_none(void **state)
{
    DbtVcpu *v = dbt_of(*state);

    assert_true(dbt_xcr0_write(v, XCR0_ALL));
    assert_int_equal(v->state->xcr0, XCR0_ALL);
    for (uint64_t part = XCR0_OPMASK; part <= XCR0_HI16_ZMM; part <<= 1) {
        assert_false(dbt_xcr0_write(v, XCR0_ALL & ~part));
        assert_false(dbt_xcr0_write(v, (XCR0_ALL & ~(uint64_t)XCR0_AVX512_PARTS) | part));
    }
    assert_false(dbt_xcr0_write(v, XCR0_ALL & ~(uint64_t)XCR0_AVX));
    assert_int_equal(v->state->xcr0, XCR0_ALL);
    assert_true(dbt_xcr0_write(v, XCR0_X87 | XCR0_SSE));
}

static void cpuid_has_the_components_where_this_host_has_them(void **state)
{
    DbtVcpu *v = dbt_of(*state);
    uint32_t regs[4], host[4], compacted = 576;

    v->state->xcr0 = XCR0_ALL;
    dbt_cpuid(v, 0xd, 0, regs);
    assert_int_equal(regs[0], XCR0_ALL);
    assert_int_equal(regs[1], cpu_state_xsave_size(XCR0_ALL));
    for (unsigned i = 2; i < 8; i++) {
        if (!(XCR0_ALL >> i & 1))
            continue;
        __cpuid_count(0xd, i, host[0], host[1], host[2], host[3]);
        dbt_cpuid(v, 0xd, i, regs);
        assert_memory_equal(regs, host, sizeof(regs));
        compacted = (regs[2] & 2 ? (uint32_t)align_up(compacted, 64) : compacted) + regs[0];
    }
    dbt_cpuid(v, 0xd, 1, regs);
    assert_int_equal(regs[1], compacted);
    v->state->xcr0 = XCR0_X87;
    dbt_cpuid(v, 0xd, 1, regs);
    assert_int_equal(regs[1], 576);
}

GUEST(evex, "vaddps %zmm0, %zmm1, %zmm2");
GUEST(evex_high, "vmovdqa64 %ymm17, %ymm18");
GUEST(opmask, "kandw %k1, %k2, %k3");
GUEST(opmask_gpr, "kmovq %rax, %k3");
GUEST(gather, "kxnorw %k1, %k1, %k1\n vpxord %xmm1, %xmm1, %xmm1\n vpgatherdd (%rbx, %xmm1), %xmm2{%k1}");
GUEST(masked, "vmovdqu32 (%rbx), %zmm2{%k1}");
GUEST(vex, "vaddps %ymm0, %ymm1, %ymm2");

#define GATES(name)                                                                                                    \
    RIG_GATE(name, 0, 0, 0, -1), RIG_GATE(name, CR0_TS, 0, 0, EXC_NM), RIG_GATE(name, CR0_EM, 0, 0, -1),               \
        RIG_GATE(name, 0, CR4_OSXSAVE, 0, EXC_UD), RIG_GATE(name, CR0_TS, 0, XCR0_AVX512_PARTS, EXC_UD),               \
        RIG_GATE(name, 0, CR4_OSFXSR, 0, -1)

static void instructions_are_there_as_cr0_cr4_and_xcr0_say(void **state)
{
    const RigGate gates[] = {
        GATES(evex), GATES(evex_high), GATES(opmask), GATES(opmask_gpr), GATES(gather), GATES(masked),
        RIG_GATE(vex, 0, 0, XCR0_AVX512_PARTS, -1),
    };

    assert_true(rig_gates_hold(*state, XCR0_ALL, gates, G_N_ELEMENTS(gates)));
}

/* --- State images. --- */

#define WORK                                                                                                           \
    "mov $0x1234567, %eax\n vpbroadcastd %eax, %zmm3\n vpaddd %zmm3, %zmm3, %zmm9\n"                              \
    "vpmulld %zmm3, %zmm3, %zmm20\n vmovdqa64 %zmm20, %zmm31\n kmovd %eax, %k1\n knotq %k1, %k7\n"                     \
    "vpaddd %ymm3, %ymm20, %ymm15\n"

GUEST(images, WORK "mov $0xe7, %eax\n xor %edx, %edx\n xsave64 0x800(%rbx)\n");

/* The same on this CPU. */
void host_images(void *data);
__asm__(".pushsection .text\n.type host_images, @function\nhost_images:\n push %rbx\n mov %rdi, %rbx\n vzeroall\n" WORK
        "mov $0xe6, %eax\n xor %edx, %edx\n xsave64 0x800(%rbx)\n vzeroall\n pop %rbx\n ret\n"
        ".size host_images, . - host_images\n.popsection");

static void state_images_are_those_of_the_host(void **state)
{
    static uint8_t host[0x2000] __attribute__((aligned(64)));
    static const unsigned components[] = {2, 6, 7};
    Rig *rig = *state;
    const uint8_t *guest = rig_mem(rig, RIG_DATA);
    uint32_t regs[4];

    host_images(host);
    assert_int_equal(RUN(rig, 64, images), -1);
    assert_memory_equal(guest + 0x800 + 160, host + 0x800 + 160, 256);
    for (unsigned i = 0; i < G_N_ELEMENTS(components); i++) {
        __cpuid_count(0xd, components[i], regs[0], regs[1], regs[2], regs[3]);
        if (components[i] == 7) { /* others of ZMM16..31 are whatever this program left in them */
            assert_memory_equal(guest + 0x800 + regs[1] + 4 * 64, host + 0x800 + regs[1] + 4 * 64, 64);
            assert_memory_equal(guest + 0x800 + regs[1] + 15 * 64, host + 0x800 + regs[1] + 15 * 64, 64);
        } else {
            assert_memory_equal(guest + 0x800 + regs[1], host + 0x800 + regs[1], regs[0]);
        }
    }
    __cpuid_count(0xd, 5, regs[0], regs[1], regs[2], regs[3]);
    assert_int_equal(load_le(guest + 0x800 + regs[1] + 8, 8), 0x1234567);
    assert_int_equal(load_le(guest + 0x800 + regs[1] + 56, 8), ~UINT64_C(0x1234567));
    assert_int_equal(guest[0x800 + 512] & 0xe6, 0xe6);
}

GUEST(round_trip, WORK "mov $0xe7, %eax\n xor %edx, %edx\n xsave64 0x800(%rbx)\n vzeroall\n kxorq %k1, %k1, %k1\n"
                       "vpxord %zmm20, %zmm20, %zmm20\n kmovq %k1, %k7\n xrstor64 0x800(%rbx)\n xsavec64 0x1800(%rbx)\n"
                       "vzeroall\n kxorq %k7, %k7, %k7\n vpxord %zmm31, %zmm31, %zmm31\n xrstor64 0x1800(%rbx)\n"
                       "xsave64 0x2400(%rbx)\n");

static void what_is_restored_is_what_was_saved(void **state)
{
    Rig *rig = *state;
    const uint8_t *guest = rig_mem(rig, RIG_DATA);

    assert_int_equal(RUN(rig, 64, round_trip), -1);
    assert_memory_equal(guest + 0x2400 + 160, guest + 0x800 + 160, 256);
    assert_memory_equal(guest + 0x2400 + 576, guest + 0x800 + 576, cpu_state_xsave_size(XCR0_ALL) - 576);
    assert_int_equal(load_le(guest + 0x1800 + 520, 8), BIT(63) | XCR0_ALL);
}

GUEST(only_opmask, "kxnorb %k2, %k2, %k2\n mov $0xe7, %eax\n xor %edx, %edx\n xsavec64 0x800(%rbx)\n"
                   "xsaveopt64 0x1800(%rbx)\n");

static void components_in_their_initial_state_are_left_out(void **state)
{
    Rig *rig = *state;
    uint8_t *guest = rig_mem(rig, RIG_DATA);
    uint32_t regs[4];

    prepare(rig, 64);
    memset(rig_state(rig, 0)->fpu.zmm, 0, sizeof(rig_state(rig, 0)->fpu.zmm));
    memset(rig_state(rig, 0)->fpu.opmask, 0, sizeof(rig_state(rig, 0)->fpu.opmask));
    RIG_LOAD(rig, only_opmask);
    memset(guest + 0x800 + 576, 0x77, 0x800);
    memset(guest + 0x1800 + 576, 0x77, 0x1000);
    assert_int_equal(rig_run(rig, 0), -1);
    assert_int_equal(guest[0x800 + 512] & 0xe4, XCR0_OPMASK);
    assert_int_equal(guest[0x1800 + 512] & 0xe4, XCR0_OPMASK);
    __cpuid_count(0xd, 5, regs[0], regs[1], regs[2], regs[3]);
    assert_int_equal(load_le(guest + 0x800 + 576 + 256 + 16, 8), 0xff); /* behind AVX */
    assert_int_equal(guest[0x800 + 576], 0x77);
    assert_int_equal(load_le(guest + 0x1800 + regs[1] + 16, 8), 0xff);
    assert_int_equal(guest[0x1800 + 576], 0x77);
    __cpuid_count(0xd, 6, regs[0], regs[1], regs[2], regs[3]);
    assert_int_equal(guest[0x1800 + regs[1]], 0x77);
}

GUEST(restore32, ".code32\n mov $0xe7, %eax\n xor %edx, %edx\n xrstor 0x800(%ebx)\n xsave 0x1800(%ebx)\n");

static void code_of_32_bits_reaches_eight_registers(void **state)
{
    Rig *rig = *state;
    CpuState *s = rig_state(rig, 0);
    uint8_t *guest = rig_mem(rig, RIG_DATA);
    uint32_t regs[4];

    prepare(rig, 32);
    RIG_LOAD(rig, restore32);
    memset(s->fpu.zmm, 0x55, sizeof(s->fpu.zmm));
    memset(guest + 0x1800, 0x77, 0x1000);
    memset(guest + 0x1800 + 512, 0, 64);
    store_le(guest + 0x800 + 24, 0x1f80, 4);
    guest[0x800 + 512] = XCR0_ZMM_HI256;
    __cpuid_count(0xd, 6, regs[0], regs[1], regs[2], regs[3]);
    memset(guest + 0x800 + regs[1], 0x99, 512);
    assert_int_equal(rig_run(rig, 0), -1);
    assert_int_equal(s->fpu.zmm[7][0], 0);
    assert_int_equal(s->fpu.zmm[7][32], 0x99);
    assert_int_equal(s->fpu.zmm[8][32], 0x55);
    assert_int_equal(s->fpu.zmm[16][0], 0x55);
    assert_int_equal(guest[0x1800 + regs[1] + 255], 0x99);
    assert_int_equal(guest[0x1800 + regs[1] + 256], 0x77);
    __cpuid_count(0xd, 7, regs[0], regs[1], regs[2], regs[3]);
    assert_int_equal(guest[0x1800 + regs[1]], 0x77);
}

/* --- Registers stay while the interpreter takes its turns (XGETBV), whoever uses which of them. --- */

#define TURN "xor %ecx, %ecx\n xgetbv\n"

GUEST(turns, "mov $20, %esi\n vpternlogd $0xff, %zmm1, %zmm1, %zmm1\n vmovdqa64 %zmm1, %zmm17\n kxnorq %k3, %k3, %k3\n"
             "1:\n" TURN "pxor %xmm1, %xmm1\n" TURN "vpsubd %ymm17, %ymm18, %ymm18\n" TURN
             "kshiftlq $1, %k3, %k3\n jmp 2f\n 2: vpaddd %zmm1, %zmm2, %zmm2\n" TURN "vpxor %xmm4, %xmm4, %xmm4\n"
             "dec %esi\n jnz 1b\n"
             "vmovdqu64 %zmm1, (%rbx)\n vmovdqu64 %zmm2, 0x40(%rbx)\n vmovdqu64 %zmm18, 0x80(%rbx)\n kmovq %k3, 0xc0(%rbx)\n");

static void registers_stay_while_others_are_used(void **state)
{
    Rig *rig = *state;
    const uint8_t *guest = rig_mem(rig, RIG_DATA);

    prepare(rig, 64);
    memset(rig_state(rig, 0)->fpu.zmm, 0, sizeof(rig_state(rig, 0)->fpu.zmm));
    RIG_LOAD(rig, turns);
    assert_int_equal(rig_run(rig, 0), -1);
    assert_int_equal(load_le(guest, 8), 0);                        /* SSE clears the low quarter */
    assert_int_equal(load_le(guest + 16, 8), ~UINT64_C(0));        /* and keeps the rest */
    assert_int_equal(load_le(guest + 56, 8), ~UINT64_C(0));
    assert_int_equal(load_le(guest + 0x40 + 0, 4), 0);
    assert_int_equal(load_le(guest + 0x40 + 60, 4), UINT32_MAX - 19); /* -1, twenty times */
    assert_int_equal(load_le(guest + 0x80 + 28, 4), 20);
    assert_int_equal(load_le(guest + 0x80 + 32, 8), 0);
    assert_int_equal(load_le(guest + 0xc0, 8), ~UINT64_C(0) << 20);
}

GUEST(vex_clears, "vpternlogd $0xff, %zmm1, %zmm1, %zmm1\n vmovdqa64 %zmm1, %zmm2\n" TURN "vpor %xmm1, %xmm1, %xmm1\n" TURN
                  "vzeroupper\n" TURN "vmovdqu64 %zmm1, (%rbx)\n vmovdqu64 %zmm2, 0x40(%rbx)\n");

static void vex_clears_what_is_above_its_result(void **state)
{
    Rig *rig = *state;
    const uint8_t *guest = rig_mem(rig, RIG_DATA);

    assert_int_equal(RUN(rig, 64, vex_clears), -1);
    for (unsigned at = 0; at < 0x80; at += 0x40) {
        assert_int_equal(load_le(guest + at + 8, 8), ~UINT64_C(0));
        for (unsigned i = 16; i < 64; i += 8)
            assert_int_equal(load_le(guest + at + i, 8), 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        RIG_CASE(xcr0_takes_all_three_components_with_avx_or_none),
        RIG_CASE(cpuid_has_the_components_where_this_host_has_them),
        RIG_CASE(instructions_are_there_as_cr0_cr4_and_xcr0_say),
        RIG_CASE(state_images_are_those_of_the_host),
        RIG_CASE(what_is_restored_is_what_was_saved),
        RIG_CASE(components_in_their_initial_state_are_left_out),
        RIG_CASE(code_of_32_bits_reaches_eight_registers),
        RIG_CASE(registers_stay_while_others_are_used),
        RIG_CASE(vex_clears_what_is_above_its_result),
    };

    core_init();
    if (!dbt_host_has_avx512()) {
        print_message("1..0 # SKIP this processor has no AVX-512\n");
        return 0;
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
