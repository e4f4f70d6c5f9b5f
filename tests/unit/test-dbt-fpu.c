/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * x87, SSE and AVX as a guest's operating system sees them: availability, exceptions, state images.
 * What single instructions compute is tests/guest/oracle's subject.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "core/thread.h"
#include "dbt-rig.h"

static void prepare(Rig *rig, unsigned bits)
{
    rig_enable_units(rig, bits, XCR0_X87 | XCR0_SSE | XCR0_AVX);
}

#define RUN(rig, bits, name) (prepare((rig), (bits)), RIG_LOAD((rig), name), rig_run((rig), 0))

/* --- state images against the host's --- */

#define WORK                                                                                       \
    "fninit\n fldpi\n fld1\n fldl2e\n fadd %st(1)\n fchs\n fstp %st(2)\n fldz\n"                    \
    "fdiv %st(1)\n mov $0x3fc00000, %eax\n movd %eax, %xmm3\n movd %eax, %xmm9\n"                   \
    "rcpps %xmm3, %xmm4\n sqrtps %xmm3, %xmm15\n movl $0x1f85, (%rbx)\n ldmxcsr (%rbx)\n"           \
    "vmovdqu %ymm15, %ymm14\n"

#define SAVE                                                                                       \
    "fxsave64 0x200(%rbx)\n mov $7, %eax\n xor %edx, %edx\n xsave64 0x800(%rbx)\n"                 \
    "fnstenv 0x1000(%rbx)\n fnsave 0x1100(%rbx)\n fnstcw 0x1200(%rbx)\n"

GUEST(images, WORK SAVE);

/* The same on this CPU. */
void host_images(void *data);
__asm__(".pushsection .text\n.type host_images, @function\nhost_images:\n push %rbx\n mov %rdi, %rbx\n"
        "vzeroall\n" WORK SAVE "vzeroall\n movl $0x1f80, (%rbx)\n ldmxcsr (%rbx)\n pop %rbx\n ret\n"
        ".size host_images, . - host_images\n.popsection");

static void state_images_are_those_of_the_host(void **state)
{
    static uint8_t host[0x2000] __attribute__((aligned(64)));
    Rig *rig = *state;
    const uint8_t *guest = rig_mem(rig, RIG_DATA);

    memset(host, 0, sizeof(host));
    host_images(host);
    assert_int_equal(RUN(rig, 64, images), -1);

    for (unsigned base = 0x200; base <= 0x800; base += 0x600) {
        assert_memory_equal(guest + base, host + base, 6);             /* FCW, FSW, FTW */
        assert_memory_equal(guest + base + 24, host + base + 24, 8);   /* MXCSR and its mask */
        assert_memory_equal(guest + base + 32, host + base + 32, 384); /* ST, XMM */
    }
    /* AVX is in its initial state on both sides, or in use on both: bits 0 and 1 are sure. */
    assert_int_equal(guest[0x800 + 512] & 3, host[0x800 + 512] & 3);
    assert_memory_equal(guest + 0x800 + 576, host + 0x800 + 576, 256);
    assert_memory_equal(guest + 0x1000, host + 0x1000, 12);      /* FCW, FSW, FTW */
    assert_memory_equal(guest + 0x1100, host + 0x1100, 12);
    assert_memory_equal(guest + 0x1100 + 28, host + 0x1100 + 28, 80);
    assert_memory_equal(guest + 0x1200, host + 0x1200, 2);
}

GUEST(round_trip, WORK "mov $7, %eax\n xor %edx, %edx\n xsave64 0x800(%rbx)\n vzeroall\n fninit\n"
                       "xrstor64 0x800(%rbx)\n xsave64 0x1800(%rbx)\n"
                       "xsavec64 0x2000(%rbx)\n vzeroall\n fninit\n xrstor64 0x2000(%rbx)\n"
                       "xsave64 0x2800(%rbx)\n"
                       "fxsave64 0x3000(%rbx)\n fninit\n vzeroall\n fxrstor64 0x3000(%rbx)\n"
                       "fxsave64 0x3800(%rbx)\n");

static void what_is_restored_is_what_was_saved(void **state)
{
    Rig *rig = *state;
    const uint8_t *guest = rig_mem(rig, RIG_DATA);

    assert_int_equal(RUN(rig, 64, round_trip), -1);
    assert_memory_equal(guest + 0x1800, guest + 0x800, 832);
    assert_memory_equal(guest + 0x2800, guest + 0x800, 832);
    assert_memory_equal(guest + 0x3800, guest + 0x3000, 416);
    assert_int_equal(load_le(guest + 0x2000 + 520, 8), BIT(63) | 7);
}

GUEST(xrstor, "mov $7, %eax\n xor %edx, %edx\n xrstor64 0x800(%rbx)\n");
GUEST(xrstor_misaligned, "mov $7, %eax\n xor %edx, %edx\n xrstor64 0x808(%rbx)\n");
GUEST(fxrstor, "fxrstor64 0x800(%rbx)\n");
GUEST(fxsave_misaligned, "fxsave64 0x808(%rbx)\n");
GUEST(ldmxcsr, "ldmxcsr 0x818(%rbx)\n");

static int run_with_bytes(Rig *rig, const uint8_t *code, const uint8_t *end, unsigned offset,
                          uint64_t value)
{
    prepare(rig, 64);
    rig_code(rig, code, (size_t)(end - code));
    store_le((uint8_t *)rig_mem(rig, RIG_DATA) + 0x800 + offset, value, 8);
    return rig_run(rig, 0);
}

#define RUN_WITH(rig, name, offset, value) run_with_bytes((rig), name, name##_end, (offset), (value))

static void bad_images_are_general_protection_faults(void **state)
{
    Rig *rig = *state;

    assert_int_equal(RUN_WITH(rig, xrstor, 512, 0), -1);
    assert_int_equal(RUN_WITH(rig, xrstor, 512, 8), EXC_GP);            /* XSTATE_BV beyond XCR0 */
    assert_int_equal(RUN_WITH(rig, xrstor, 520, 1), EXC_GP);            /* XCOMP_BV without bit 63 */
    assert_int_equal(RUN_WITH(rig, xrstor, 528, 1), EXC_GP);            /* reserved */
    assert_int_equal(RUN_WITH(rig, xrstor, 520, BIT(63) | 7), -1);      /* compacted, all initial */
    assert_int_equal(RUN_WITH(rig, xrstor, 520, BIT(63) | 0x10), EXC_GP);
    assert_int_equal(RUN_WITH(rig, xrstor, 24, 0xffffffff), EXC_GP);    /* MXCSR */
    assert_int_equal(RUN_WITH(rig, xrstor_misaligned, 0, 0), EXC_GP);
    assert_int_equal(RUN_WITH(rig, fxrstor, 24, 0x1f80), -1);
    assert_int_equal(RUN_WITH(rig, fxrstor, 24, 0x80000000), EXC_GP);
    assert_int_equal(RUN_WITH(rig, fxsave_misaligned, 0, 0), EXC_GP);
    assert_int_equal(RUN_WITH(rig, ldmxcsr, 24, 0x9fc0), -1);
    assert_int_equal(RUN_WITH(rig, ldmxcsr, 24, 0x10000), EXC_GP);
}

static void xrstor_of_an_empty_image_initialises(void **state)
{
    Rig *rig = *state;
    CpuState *s = rig_state(rig, 0);

    prepare(rig, 64);
    RIG_LOAD(rig, xrstor);
    memset(s->fpu.zmm, 0x55, sizeof(s->fpu.zmm));
    s->fpu.fcw = 0x1234;
    s->fpu.mxcsr = 0x9fff;
    store_le((uint8_t *)rig_mem(rig, RIG_DATA) + 0x800 + 24, 0x1fc0, 4);
    assert_int_equal(rig_run(rig, 0), -1);
    assert_int_equal(s->fpu.fcw, 0x37f);
    assert_int_equal(s->fpu.zmm[15][31], 0);
    assert_int_equal(s->fpu.zmm[15][32], 0x55); /* not in XCR0 */
    assert_int_equal(s->fpu.mxcsr, 0x1fc0);     /* standard format: from memory all the same */
}

/* --- availability --- */

GUEST(x87, "fld1");
GUEST(mmx, "paddb %mm0, %mm1");
GUEST(emms, "emms");
GUEST(sse, "addps %xmm0, %xmm1");
GUEST(avx, "vaddps %xmm0, %xmm1, %xmm2");
GUEST(vzero, "vzeroupper");
GUEST(fwait, "fwait");
GUEST(fnstsw, "fnstsw %ax");
GUEST(crc32, "crc32 %eax, %ecx");
GUEST(andn, "andn %eax, %ecx, %edx");
GUEST(sfence, "sfence");
GUEST(prefetch, "prefetcht0 (%rbx)");
GUEST(fxsave, "fxsave64 (%rbx)");
GUEST(xsave, "xsave64 (%rbx)");
GUEST(stmxcsr, "stmxcsr (%rbx)");

static void units_are_available_as_cr0_cr4_and_xcr0_say(void **state)
{
    const RigGate gates[] = {
        RIG_GATE(x87, 0, 0, 0, -1),
        RIG_GATE(x87, CR0_TS, 0, 0, EXC_NM),
        RIG_GATE(x87, CR0_EM, 0, 0, EXC_NM),
        RIG_GATE(x87, 0, CR4_OSFXSR | CR4_OSXSAVE, 0, -1),
        RIG_GATE(mmx, 0, 0, 0, -1),
        RIG_GATE(mmx, CR0_TS, 0, 0, EXC_NM),
        RIG_GATE(mmx, CR0_EM, 0, 0, EXC_UD),
        RIG_GATE(mmx, CR0_EM | CR0_TS, 0, 0, EXC_UD),
        RIG_GATE(emms, CR0_EM, 0, 0, EXC_UD),
        RIG_GATE(sse, 0, 0, 0, -1),
        RIG_GATE(sse, CR0_TS, 0, 0, EXC_NM),
        RIG_GATE(sse, CR0_EM, 0, 0, EXC_UD),
        RIG_GATE(sse, CR0_TS, CR4_OSFXSR, 0, EXC_UD),
        RIG_GATE(sse, 0, CR4_OSXSAVE, 0, -1),
        RIG_GATE(avx, 0, 0, 0, -1),
        RIG_GATE(avx, CR0_TS, 0, 0, EXC_NM),
        RIG_GATE(avx, CR0_EM, 0, 0, -1),
        RIG_GATE(avx, 0, CR4_OSXSAVE, 0, EXC_UD),
        RIG_GATE(avx, 0, 0, XCR0_AVX, EXC_UD),
        RIG_GATE(avx, 0, CR4_OSFXSR, 0, -1),
        RIG_GATE(vzero, 0, 0, XCR0_AVX, EXC_UD),
        RIG_GATE(vzero, CR0_TS, 0, 0, EXC_NM),
        RIG_GATE(fwait, CR0_TS, 0, 0, EXC_NM),
        RIG_GATE(fwait, CR0_EM, 0, 0, -1),
        RIG_GATE(fnstsw, CR0_EM, 0, 0, EXC_NM),
        RIG_GATE(crc32, CR0_TS | CR0_EM, CR4_OSFXSR | CR4_OSXSAVE, XCR0_AVX, -1),
        RIG_GATE(andn, CR0_TS | CR0_EM, CR4_OSFXSR | CR4_OSXSAVE, XCR0_AVX, -1),
        RIG_GATE(sfence, CR0_TS | CR0_EM, CR4_OSFXSR, 0, -1),
        RIG_GATE(prefetch, CR0_TS | CR0_EM, CR4_OSFXSR, 0, -1),
        RIG_GATE(fxsave, CR0_TS, 0, 0, EXC_NM),
        RIG_GATE(fxsave, CR0_EM, 0, 0, EXC_NM),
        RIG_GATE(xsave, CR0_TS, 0, 0, EXC_NM),
        RIG_GATE(xsave, CR0_TS, CR4_OSXSAVE, 0, EXC_UD),
        RIG_GATE(xsave, CR0_EM, 0, 0, -1),
        RIG_GATE(stmxcsr, CR0_EM, 0, 0, EXC_UD),
        RIG_GATE(stmxcsr, CR0_TS, 0, 0, EXC_NM),
    };

    assert_true(rig_gates_hold(*state, XCR0_X87 | XCR0_SSE | XCR0_AVX, gates, G_N_ELEMENTS(gates)));
}

GUEST(fwait_without_mp, "fwait");

static void fwait_looks_at_ts_only_with_mp(void **state)
{
    Rig *rig = *state;

    prepare(rig, 64);
    RIG_LOAD(rig, fwait_without_mp);
    rig_state(rig, 0)->cr0 = (rig_state(rig, 0)->cr0 & ~(uint64_t)CR0_MP) | CR0_TS;
    assert_int_equal(rig_run(rig, 0), -1);
}

/* --- exceptions --- */

/* 1 / 0 with ZM clear; the next waiting instruction reports it. */
#define DIVIDE "fninit\n movw $0x37b, (%rbx)\n fldcw (%rbx)\n fld1\n fldz\n fdivrp\n"
GUEST(mf_fwait, DIVIDE "fnstsw %ax\n mov $1, %ecx\n fwait\n mov $2, %ecx\n");
GUEST(mf_mmx, DIVIDE "mov $1, %ecx\n paddb %mm0, %mm0\n mov $2, %ecx\n");
GUEST(mf_cleared, DIVIDE "fnclex\n fwait\n mov $3, %ecx\n");
GUEST(mf_saved, DIVIDE "fnsave (%rbx)\n fwait\n mov $3, %ecx\n");

static void x87_exceptions_wait_for_the_next_waiting_instruction(void **state)
{
    Rig *rig = *state;
    CpuState *s = rig_state(rig, 0);

    assert_int_equal(RUN(rig, 64, mf_fwait), EXC_MF);
    assert_int_equal(s->gpr[GPR_RCX], 1);
    assert_int_equal(s->gpr[GPR_RAX] & 0x8084, 0x8084); /* B, ES, ZE */
    assert_int_equal(RUN(rig, 64, mf_mmx), EXC_MF);
    assert_int_equal(s->gpr[GPR_RCX], 1);
    assert_int_equal(RUN(rig, 64, mf_cleared), -1);
    assert_int_equal(s->gpr[GPR_RCX], 3);
    assert_int_equal(RUN(rig, 64, mf_saved), -1);
    assert_int_equal(s->gpr[GPR_RCX], 3);
}

GUEST(xm, "movl $0x1d80, (%rbx)\n ldmxcsr (%rbx)\n mov $0x3f800000, %eax\n movd %eax, %xmm0\n"
          "mov $1, %ecx\n divss %xmm1, %xmm0\n mov $2, %ecx\n");

static void simd_exceptions_are_faults_with_the_flag_set(void **state)
{
    Rig *rig = *state;
    CpuState *s = rig_state(rig, 0);

    assert_int_equal(RUN(rig, 64, xm), EXC_XM);
    assert_int_equal(s->gpr[GPR_RCX], 1);
    assert_int_equal(s->fpu.mxcsr, 0x1d84);
    assert_int_equal(load_le(s->fpu.zmm[0], 4), 0x3f800000);
    prepare(rig, 64);
    RIG_LOAD(rig, xm);
    s->cr4 &= ~(uint64_t)CR4_OSXMMEXCPT;
    assert_int_equal(rig_run(rig, 0), EXC_UD);
}

GUEST(pointers, "fninit\n 1: fldl 0x10(%rbx)\n fnstenv 0x100(%rbx)\n fninit\n fnstenv 0x140(%rbx)\n");

static void x87_pointers_are_the_guests(void **state)
{
    Rig *rig = *state;
    const uint8_t *guest = rig_mem(rig, RIG_DATA);

    assert_int_equal(RUN(rig, 64, pointers), -1);
    assert_int_equal(load_le(guest + 0x100 + 12, 4), RIG_CODE + 2);     /* FIP */
    assert_int_equal(load_le(guest + 0x100 + 16, 2), 0);                /* FCS: CPUID.7.EBX[13] */
    assert_int_equal(load_le(guest + 0x100 + 18, 2), 0x543);            /* FOP: DD 43 */
    assert_int_equal(load_le(guest + 0x100 + 20, 4), 0);                /* FDP: no exception, EBX[6] */
    assert_int_equal(load_le(guest + 0x140 + 12, 4), 0);
}

/* 1 / 0 with ZM clear. */
GUEST(pointers_unmasked, "movw $0x37b, 0x20(%rbx)\n fninit\n fldcw 0x20(%rbx)\n fld1\n fdivl 0x10(%rbx)\n"
                         " fnstenv 0x100(%rbx)\n");

static void fdp_belongs_to_an_exception_that_is_not_masked(void **state)
{
    Rig *rig = *state;
    const uint8_t *guest = rig_mem(rig, RIG_DATA);

    assert_int_equal(RUN(rig, 64, pointers_unmasked), -1);
    assert_int_equal(load_le(guest + 0x100 + 12, 4), RIG_CODE + 6 + 2 + 3 + 2);
    assert_int_equal(load_le(guest + 0x100 + 20, 4), RIG_DATA + 0x10);
}

/* Between the last x87 instruction and the look at it: control instructions, branches, a store to another page. */
GUEST(pointers_late, "fninit\n mov $3, %ecx\n 1: fldpi\n 2: fld1\n fnstcw 0x20(%rbx)\n movb $1, 0x3000(%rbx)\n"
                     " fstp %st\n 3: fstp %st\n loop 1b\n jmp 4f\n 4: pushf\n popf\n fnstenv 0x100(%rbx)\n");

static void pointers_are_right_long_after_the_instruction(void **state)
{
    Rig *rig = *state;
    const uint8_t *guest = rig_mem(rig, RIG_DATA);

    assert_int_equal(RUN(rig, 64, pointers_late), -1);
    assert_int_equal(load_le(guest + 0x100 + 12, 4), RIG_CODE + 2 + 5 + 2 + 2 + 3 + 7 + 2);
    assert_int_equal(load_le(guest + 0x100 + 18, 2), 0x5d8); /* DD D8 */
}

GUEST(x87_fault, "fninit\n fldpi\n fld1\n faddl 0x1000(%rbx)\n");

static void x87_state_at_a_page_fault_is_that_before_the_instruction(void **state)
{
    Rig *rig = *state;
    CpuState *s = rig_state(rig, 0);
    uint8_t *entry = rig_mem(rig, 0x1000 + (RIG_DATA + 0x1000) / 4096 * 8);
    uint64_t page = load_le(entry, 8);

    prepare(rig, 64);
    RIG_LOAD(rig, x87_fault);
    store_le(entry, 0, 8);
    assert_int_equal(rig_run(rig, 0), EXC_PF);
    store_le(entry, page, 8);
    assert_int_equal(load_le(s->fpu.st[0], 8), 1ull << 63);
    assert_int_equal(load_le(s->fpu.st[1], 8), 0xc90fdaa22168c235);
    assert_int_equal(s->fpu.fsw >> 11 & 7, 6);
    assert_int_equal(s->fpu.fip, RIG_CODE + 4);
    assert_int_equal(s->fpu.fop, 0x1e8);
}

/* Assemblers disagree on the default size in 16-bit code: bytes. */
#define ENV16(opcode, reg, offset) ".byte " opcode ", 0x87 | " reg " << 3\n .word " offset "\n"
#define FNSTENV16(offset) ENV16("0xd9", "6", offset)
GUEST(env16, ".code16\n fninit\n fldpi\n fldl 0x10(%bx)\n" FNSTENV16("0x100") "fninit\n"
             ENV16("0xd9", "4", "0x100") FNSTENV16("0x120") ".byte 0x66\n" FNSTENV16("0x140")
             ".byte 0x66\n" ENV16("0xdd", "6", "0x180") ".byte 0x66\n" ENV16("0xdd", "4", "0x180")
             FNSTENV16("0x200"));

static void environments_have_the_layout_of_the_mode(void **state)
{
    Rig *rig = *state;
    const uint8_t *guest = rig_mem(rig, RIG_DATA);
    uint32_t fip = RIG_CODE + 4, fdp = RIG_DATA + 0x10;

    assert_int_equal(RUN(rig, 16, env16), -1);
    assert_int_equal(load_le(guest + 0x100, 2), 0x37f);
    assert_int_equal(load_le(guest + 0x102, 2), 6 << 11);
    assert_int_equal(load_le(guest + 0x104, 2), 0x1fff); /* R7 valid, R6 zero: 01 */
    assert_int_equal(load_le(guest + 0x106, 2), fip & 0xffff);
    assert_int_equal(load_le(guest + 0x108, 2), (fip >> 16) << 12 | 0x547);
    assert_int_equal(load_le(guest + 0x10a, 2), fdp & 0xffff);
    assert_int_equal(load_le(guest + 0x10c, 2), (fdp >> 16) << 12);
    assert_memory_equal(guest + 0x120, guest + 0x100, 14);
    assert_int_equal(load_le(guest + 0x140 + 12, 4), fip & 0xffff);
    assert_int_equal(load_le(guest + 0x140 + 16, 4), (fip >> 16) << 12 | 0x547);
    assert_memory_equal(guest + 0x200, guest + 0x100, 14);
}

/* --- masked moves and gathers --- */

/* A page's end: the page behind it is made absent. */
#define EDGE (RIG_DATA + 0x1000)

static void *end_of_memory(Rig *rig)
{
    store_le((uint8_t *)rig_mem(rig, 0x1000 + EDGE / 4096 * 8), 0, 8);
    return rig_mem(rig, EDGE);
}

static void memory_again(Rig *rig)
{
    store_le((uint8_t *)rig_mem(rig, 0x1000 + EDGE / 4096 * 8), EDGE | 0x67, 8);
}

GUEST(mask_load, "vmaskmovps 0xff0(%rbx), %ymm1, %ymm2");
GUEST(mask_store, "vmaskmovps %ymm2, %ymm1, 0xff0(%rbx)");

static void set_lanes(uint8_t *zmm, uint8_t lanes, uint32_t value)
{
    for (unsigned i = 0; i < 8; i++)
        store_le(zmm + 4 * i, lanes >> i & 1 ? value : 0, 4);
}

static int run_masked(Rig *rig, const uint8_t *code, const uint8_t *end, uint8_t lanes)
{
    CpuState *s = rig_state(rig, 0);
    uint8_t *edge;
    int vector;

    prepare(rig, 64);
    rig_code(rig, code, (size_t)(end - code));
    edge = end_of_memory(rig);
    memset(edge - 16, 0x77, 16);
    set_lanes(s->fpu.zmm[1], lanes, 0x80000000);
    memset(s->fpu.zmm[2], 0x33, 64);
    vector = rig_run(rig, 0);
    memory_again(rig);
    return vector;
}

static void masked_out_elements_are_neither_read_nor_written(void **state)
{
    Rig *rig = *state;
    CpuState *s = rig_state(rig, 0);
    const uint8_t *edge = rig_mem(rig, EDGE);

    assert_int_equal(run_masked(rig, mask_load, mask_load_end, 0x0a), -1);
    assert_int_equal(load_le(s->fpu.zmm[2], 8), 0x7777777700000000);
    assert_int_equal(load_le(s->fpu.zmm[2] + 16, 8), 0);
    assert_int_equal(load_le(s->fpu.zmm[2] + 32, 8), 0);
    assert_int_equal(run_masked(rig, mask_load, mask_load_end, 0x1a), EXC_PF);
    assert_int_equal(load_le(s->fpu.zmm[2], 8), 0x3333333333333333);
    assert_int_equal(s->cr2, EDGE);

    assert_int_equal(run_masked(rig, mask_store, mask_store_end, 0x05), -1);
    assert_int_equal(load_le(edge - 16, 8), 0x7777777733333333);
    assert_int_equal(load_le(edge - 8, 8), 0x7777777733333333);
    assert_int_equal(run_masked(rig, mask_store, mask_store_end, 0x15), EXC_PF);
    assert_int_equal(load_le(edge - 16, 8), 0x7777777777777777);
    assert_int_equal(run_masked(rig, mask_store, mask_store_end, 0), -1);
}

GUEST(gather, "vpgatherdd %ymm1, 0xff0(%rbx, %ymm3, 4), %ymm2");

static void a_gather_that_faults_goes_on_where_it_stopped(void **state)
{
    Rig *rig = *state;
    CpuState *s = rig_state(rig, 0);

    prepare(rig, 64);
    RIG_LOAD(rig, gather);
    memset(end_of_memory(rig) - 16, 0x77, 16);
    memset(s->fpu.zmm[1], 0xff, 32);
    memset(s->fpu.zmm[2], 0x33, 64);
    for (unsigned i = 0; i < 8; i++)
        store_le(s->fpu.zmm[3] + 4 * i, i, 4);
    assert_int_equal(rig_run(rig, 0), EXC_PF);
    assert_int_equal(s->cr2, EDGE);
    assert_int_equal(load_le(s->fpu.zmm[2] + 8, 8), 0x7777777777777777);
    assert_int_equal(load_le(s->fpu.zmm[2] + 16, 8), 0x3333333333333333);
    assert_int_equal(load_le(s->fpu.zmm[1] + 8, 8), 0);
    assert_int_equal(load_le(s->fpu.zmm[1] + 16, 4), 0xffffffff);

    memory_again(rig);
    memset(rig_mem(rig, EDGE), 0x88, 16);
    s->rip = RIG_CODE;
    s->mp_state = MP_RUNNABLE; /* the rig's handler ends with HLT */
    assert_int_equal(rig_run(rig, 0), -1);
    assert_int_equal(load_le(s->fpu.zmm[2] + 8, 8), 0x7777777777777777);
    assert_int_equal(load_le(s->fpu.zmm[2] + 24, 8), 0x8888888888888888);
    assert_int_equal(load_le(s->fpu.zmm[1] + 24, 8), 0);
    assert_int_equal(load_le(s->fpu.zmm[2] + 32, 8), 0);
}

#define TABLE RIG_DATA /* two pages of words */
#define TABLE_SIZE 0x2000u

GUEST(gathers, "mov (%rax), %ecx\n mov 0x1000(%rax), %ecx\n stc\n" /* both pages are known then */
               "vpgatherdd %ymm1, 0x1000(%rax, %ymm3, 4), %ymm2\n"
               "vpgatherqq %ymm4, -8(%rax, %ymm5), %ymm6\n"
               "vgatherqps %xmm7, (%rax, %xmm8, 2), %xmm9\n"
               "vgatherdpd %xmm10, %fs:(%rdx, %xmm11, 8), %xmm12\n"
               "adc $0, %edx\n");

static uint8_t *vector(Rig *rig, unsigned n)
{
    return rig_state(rig, 0)->fpu.zmm[n];
}

static void elements_of_a_gather_come_from_any_page(void **state)
{
    static const int32_t words[8] = {-1024, 1023, 0, -1, 512, -512, 7, 8};
    static const uint64_t quads[4] = {8, 0xffd, 0x1004, 0x2000}; /* the second begins in one page and ends in the other */
    Rig *rig = *state;
    CpuState *s = rig_state(rig, 0);
    const uint8_t *table = rig_mem(rig, TABLE);

    prepare(rig, 64);
    RIG_LOAD(rig, gathers);
    for (unsigned i = 0; i < TABLE_SIZE / 4; i++)
        store_le(rig_mem(rig, TABLE + 4 * i), (i + 1) * 0x9e3779b1u, 4);
    s->gpr[GPR_RAX] = TABLE;
    s->gpr[GPR_RDX] = 0x800;
    s->seg[SEG_FS].base = TABLE;
    set_lanes(vector(rig, 1), 0xb7, 0x80000000);
    for (unsigned i = 0; i < 8; i++)
        store_le(vector(rig, 3) + 4 * i, (uint32_t)words[i], 4);
    for (unsigned i = 0; i < 4; i++)
        store_le(vector(rig, 5) + 8 * i, quads[i], 8);
    store_le(vector(rig, 8), 0x100, 8);
    store_le(vector(rig, 8) + 8, 0x900, 8);
    store_le(vector(rig, 11), (uint32_t)-0x100, 4);
    store_le(vector(rig, 11) + 4, 0x100, 4);
    for (unsigned n = 4; n <= 10; n += 3)
        memset(vector(rig, n), 0xff, 32);
    memset(vector(rig, 2), 0x33, 32);
    memset(vector(rig, 9), 0x33, 32);
    memset(vector(rig, 12), 0x33, 32);
    assert_int_equal(rig_run(rig, 0), -1);
    for (unsigned i = 0; i < 8; i++)
        assert_int_equal(load_le(vector(rig, 2) + 4 * i, 4), 0xb7 >> i & 1 ? load_le(table + 0x1000 + 4 * words[i], 4) : 0x33333333);
    for (unsigned i = 0; i < 4; i++)
        assert_true(load_le(vector(rig, 6) + 8 * i, 8) == load_le(table + quads[i] - 8, 8));
    assert_int_equal(load_le(vector(rig, 9), 4), load_le(table + 0x200, 4));
    assert_int_equal(load_le(vector(rig, 9) + 4, 4), load_le(table + 0x1200, 4));
    assert_true(load_le(vector(rig, 12), 8) == load_le(table, 8));
    assert_true(load_le(vector(rig, 12) + 8, 8) == load_le(table + 0x1000, 8));
    for (unsigned i = 0; i < 4; i++) {
        assert_true(load_le(vector(rig, 1 + 3 * i), 8) == 0);
        assert_true(load_le(vector(rig, 1 + 3 * i) + 24, 8) == 0);
    }
    assert_true(load_le(vector(rig, 9) + 8, 8) == 0);
    assert_true(load_le(vector(rig, 12) + 16, 8) == 0);
    assert_int_equal(s->gpr[GPR_RDX], 0x801);
}

static int setup(void **state)
{
    *state = rig_new(1);
    return *state ? 0 : -1;
}

static int teardown(void **state)
{
    rig_free(*state);
    return 0;
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(state_images_are_those_of_the_host),
        TEST(what_is_restored_is_what_was_saved),
        TEST(bad_images_are_general_protection_faults),
        TEST(xrstor_of_an_empty_image_initialises),
        TEST(units_are_available_as_cr0_cr4_and_xcr0_say),
        TEST(fwait_looks_at_ts_only_with_mp),
        TEST(x87_exceptions_wait_for_the_next_waiting_instruction),
        TEST(simd_exceptions_are_faults_with_the_flag_set),
        TEST(x87_pointers_are_the_guests),
        TEST(fdp_belongs_to_an_exception_that_is_not_masked),
        TEST(pointers_are_right_long_after_the_instruction),
        TEST(x87_state_at_a_page_fault_is_that_before_the_instruction),
        TEST(environments_have_the_layout_of_the_mode),
        TEST(masked_out_elements_are_neither_read_nor_written),
        TEST(a_gather_that_faults_goes_on_where_it_stopped),
        TEST(elements_of_a_gather_come_from_any_page),
    };

    core_init();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
