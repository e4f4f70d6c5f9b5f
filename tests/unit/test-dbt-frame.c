/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Registers that translated code keeps in the frame (accel/dbt/jit-frame.c): R9, R10 and R11 give what R12, R13 and R14 do in
 * their place, in all forms whose register and memory forms differ and in those that are turned round.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "dbt-rig.h"

/*
 * Assembler macros get the three registers as a, b, c.
 * try: the instruction in a unit of its own, and in one that writes the registers before. Flags go on from one to the next.
 * log: what has become of registers and flags, at RBP.
 */
__asm__(".macro log a, b, c\n mov %rax, (%rbp)\n mov %rdx, 8(%rbp)\n mov %\\a, 16(%rbp)\n mov %\\b, 24(%rbp)\n"
        "mov %\\c, 32(%rbp)\n movq %xmm0, 40(%rbp)\n pushfq\n popq 48(%rbp)\n lea 56(%rbp), %rbp\n .endm\n"
        ".macro try a, b, c, insn:vararg\n jmp 9f\n 9: \\insn\n jmp 9f\n 9: log \\a, \\b, \\c\n jmp 9f\n"
        "9: lea 3(%\\a), %\\a\n lea (%\\b, %\\a), %\\b\n lea -1(%\\c), %\\c\n \\insn\n log \\a, \\b, \\c\n .endm\n"
        ".macro clear a\n xor %\\a\\()d, %\\a\\()d\n add $1, %rax\n .endm\n"
        ".macro integers a, b, c\n .irp insn, add, or, adc, sbb, and, sub, xor, cmp, mov, test\n"
        "try \\a, \\b, \\c, \\insn %\\a, %rax\n try \\a, \\b, \\c, \\insn %\\b\\()d, %eax\n"
        "try \\a, \\b, \\c, \\insn %\\c\\()w, %dx\n try \\a, \\b, \\c, \\insn %\\a\\()b, %sil\n"
        "try \\a, \\b, \\c, \\insn %rax, %\\b\n try \\a, \\b, \\c, \\insn %edx, %\\c\\()d\n"
        "try \\a, \\b, \\c, \\insn %dx, %\\a\\()w\n try \\a, \\b, \\c, \\insn %al, %\\b\\()b\n"
        "try \\a, \\b, \\c, \\insn %\\c, %\\a\n try \\a, \\b, \\c, \\insn %\\a\\()d, %\\b\\()d\n"
        "try \\a, \\b, \\c, \\insn %\\b, %\\b\n try \\a, \\b, \\c, \\insn $-5, %\\c\n"
        "try \\a, \\b, \\c, \\insn $-6, %\\a\\()d\n try \\a, \\b, \\c, \\insn $7, %\\b\\()b\n"
        "try \\a, \\b, \\c, \\insn $8, %\\c\\()w\n .endr\n .irp insn, add, adc, sub, cmp, mov\n"
        "try \\a, \\b, \\c, {load} \\insn %\\a, %rax\n try \\a, \\b, \\c, {load} \\insn %rdx, %\\b\n"
        "try \\a, \\b, \\c, {load} \\insn %\\c\\()d, %eax\n try \\a, \\b, \\c, {load} \\insn %\\a, %\\b\n .endr\n"
        ".irp insn, inc, dec, neg, not, mul, imul\n try \\a, \\b, \\c, \\insn %\\a\n try \\a, \\b, \\c, \\insn %\\b\\()d\n"
        "try \\a, \\b, \\c, \\insn %\\c\\()w\n try \\a, \\b, \\c, \\insn %\\a\\()b\n .endr\n"
        ".irp insn, shl, sar, rol, rcr\n try \\a, \\b, \\c, \\insn $3, %\\a\n try \\a, \\b, \\c, \\insn $3, %\\b\\()d\n"
        "try \\a, \\b, \\c, \\insn %cl, %\\c\n try \\a, \\b, \\c, \\insn %cl, %\\a\\()d\n .endr\n .endm\n"
        ".macro others a, b, c\n .irp insn, bt, bts, btr, btc\n try \\a, \\b, \\c, \\insn $37, %\\a\n"
        "try \\a, \\b, \\c, \\insn $37, %\\b\\()d\n try \\a, \\b, \\c, \\insn %rax, %\\c\n"
        "try \\a, \\b, \\c, \\insn %\\a, %rax\n try \\a, \\b, \\c, \\insn %\\a, %\\b\n"
        "try \\a, \\b, \\c, \\insn %eax, %\\b\\()d\n .endr\n"
        ".irp insn, imul, cmovs, cmovns, bsf, bsr, xchg, cmpxchg, xadd\n try \\a, \\b, \\c, \\insn %\\a, %rax\n"
        "try \\a, \\b, \\c, \\insn %\\b\\()d, %eax\n try \\a, \\b, \\c, \\insn %\\c, %\\a\n"
        "try \\a, \\b, \\c, \\insn %\\b, %\\b\n try \\a, \\b, \\c, \\insn %eax, %\\c\\()d\n"
        "try \\a, \\b, \\c, \\insn %\\a\\()d, %\\b\\()d\n .endr\n try \\a, \\b, \\c, imul $9, %\\a, %\\a\n"
        "try \\a, \\b, \\c, imul $-900, %\\b\\()d, %\\c\\()d\n try \\a, \\b, \\c, imul $9, %\\c, %rax\n"
        "try \\a, \\b, \\c, shld $5, %\\a, %\\b\n try \\a, \\b, \\c, shrd %cl, %rax, %\\c\n"
        "try \\a, \\b, \\c, bswap %\\a\n try \\a, \\b, \\c, xchg %rax, %\\b\n try \\a, \\b, \\c, setc %\\a\\()b\n"
        "try \\a, \\b, \\c, setnz %\\b\\()b\n try \\a, \\b, \\c, movslq %\\a\\()d, %rax\n"
        "try \\a, \\b, \\c, movslq %\\b\\()d, %\\b\n try \\a, \\b, \\c, movzbl %\\a\\()b, %eax\n"
        "try \\a, \\b, \\c, movzwl %\\b\\()w, %\\c\\()d\n try \\a, \\b, \\c, movsbq %\\c\\()b, %\\c\n"
        "try \\a, \\b, \\c, movsbw %dl, %\\a\\()w\n try \\a, \\b, \\c, mov $0x12345678, %\\a\\()d\n"
        "try \\a, \\b, \\c, mov $-2, %\\b\\()d\n try \\a, \\b, \\c, movabs $-3, %\\c\n"
        "try \\a, \\b, \\c, movabs $0x123456789abc, %\\a\n try \\a, \\b, \\c, movq $-4, %\\b\n"
        "try \\a, \\b, \\c, clear \\a\n try \\a, \\b, \\c, clear \\c\n try \\a, \\b, \\c, sub %\\b\\()d, %\\b\\()d\n"
        "try \\a, \\b, \\c, movd %\\c\\()d, %xmm0\n try \\a, \\b, \\c, movd %xmm0, %\\a\\()d\n"
        "try \\a, \\b, \\c, movq %\\c, %xmm0\n try \\a, \\b, \\c, movq %xmm0, %\\b\n"
        "try \\a, \\b, \\c, cvtsi2sd %\\b\\()d, %xmm0\n try \\a, \\b, \\c, cvtsi2sd %\\b, %xmm0\n"
        "try \\a, \\b, \\c, cvtsi2ss %\\a, %xmm0\n try \\a, \\b, \\c, cvttsd2si %xmm0, %\\c\n"
        "try \\a, \\b, \\c, pinsrw $3, %\\a\\()d, %xmm0\n try \\a, \\b, \\c, pextrw $3, %xmm0, %\\b\\()d\n .endm\n"
        ".macro extensions a, b, c\n try \\a, \\b, \\c, popcnt %\\a, %rax\n"
        "try \\a, \\b, \\c, popcnt %\\b\\()d, %\\b\\()d\n try \\a, \\b, \\c, crc32 %\\a, %\\b\n"
        "try \\a, \\b, \\c, crc32b %\\c\\()b, %eax\n try \\a, \\b, \\c, pinsrb $3, %\\a\\()d, %xmm0\n"
        "try \\a, \\b, \\c, pinsrq $1, %\\b, %xmm0\n try \\a, \\b, \\c, pextrb $3, %xmm0, %\\c\\()d\n"
        "try \\a, \\b, \\c, pextrq $1, %xmm0, %\\a\n try \\a, \\b, \\c, extractps $1, %xmm0, %\\b\\()d\n"
        "try \\a, \\b, \\c, vmovq %\\a, %xmm0\n try \\a, \\b, \\c, vmovd %xmm0, %\\b\\()d\n"
        "try \\a, \\b, \\c, vpextrw $2, %xmm0, %\\c\\()d\n try \\a, \\b, \\c, lzcnt %\\a, %\\b\n"
        "try \\a, \\b, \\c, tzcnt %\\c\\()d, %eax\n try \\a, \\b, \\c, andn %\\a, %\\b, %\\c\n"
        "try \\a, \\b, \\c, bextr %\\a, %\\b, %rax\n try \\a, \\b, \\c, blsr %\\b, %\\b\n"
        "try \\a, \\b, \\c, mulx %\\a, %\\b, %\\c\n try \\a, \\b, \\c, pdep %\\a, %\\b, %rax\n"
        "try \\a, \\b, \\c, rorx $7, %\\a\\()d, %\\b\\()d\n try \\a, \\b, \\c, shlx %\\a, %\\b, %\\c\n"
        "try \\a, \\b, \\c, adcx %\\a, %\\b\n try \\a, \\b, \\c, adox %\\c\\()d, %eax\n .endm\n");

#define TWINS(name)                                                                                \
    GUEST(name##_frame, #name " r9, r10, r11"); GUEST(name##_host, #name " r12, r13, r14")

TWINS(integers);
TWINS(others);
TWINS(extensions);

#define LOG_BYTES 0x10000u

typedef struct Outcome {
    int vector;
    uint8_t log[LOG_BYTES];
} Outcome;

static Outcome *run(Rig *rig, const uint8_t *code, const uint8_t *end, unsigned first)
{
    static const uint64_t values[] = {0x8123456789abcdef, 0xfedcba9876543210, 0x7000000100000025};
    Outcome *out = g_new(Outcome, 1);
    CpuState *s = rig_state(rig, 0);

    rig_reset_memory(rig);
    rig_enable_units(rig, 64, XCR0_X87 | XCR0_SSE | XCR0_AVX);
    rig_code(rig, code, (size_t)(end - code));
    s->gpr[GPR_RBP] = RIG_DATA;
    s->gpr[GPR_RAX] = 0x123456789abcdef0;
    s->gpr[GPR_RDX] = 0xfffffffffffffff7;
    s->gpr[GPR_RCX] = 32 + 5;
    for (unsigned i = 0; i < G_N_ELEMENTS(values); i++)
        s->gpr[first + i] = values[i];
    out->vector = rig_run(rig, 0);
    memcpy(out->log, rig_mem(rig, RIG_DATA), LOG_BYTES);
    return out;
}

static void assert_twins(Rig *rig, const uint8_t *frame, const uint8_t *frame_end, const uint8_t *host, const uint8_t *host_end)
{
    g_autofree Outcome *a = run(rig, frame, frame_end, GPR_R9), *b = run(rig, host, host_end, GPR_R12);

    assert_int_equal(a->vector, b->vector);
    assert_memory_equal(a->log, b->log, LOG_BYTES);
}

#define ASSERT_TWINS(rig, name) assert_twins(rig, name##_frame, name##_frame_end, name##_host, name##_host_end)

static void registers_in_the_frame_are_like_others(void **state)
{
    Rig *rig = *state;

    ASSERT_TWINS(rig, integers);
    ASSERT_TWINS(rig, others);
    assert_true(rig_state(rig, 0)->gpr[GPR_RBP] > RIG_DATA);
    assert_true(rig_state(rig, 0)->gpr[GPR_RBP] <= RIG_DATA + LOG_BYTES);
    /* Up to the first the host does not have. */
    ASSERT_TWINS(rig, extensions);
}

GUEST(divide, "mov %r10, %r9\n mov $7, %r10d\n xor %r11d, %r11d\n sub %edx, %edx\n div %r11\n mov $8, %r10d");
GUEST(load, "mov %rax, %r9\n mov $7, %r10d\n xor %r11d, %r11d\n add %r9, %rax\n mov (%rbx), %r9\n mov $8, %r10d");

static void faults_find_registers_in_the_frame_as_they_are(void **state)
{
    Rig *rig = *state;
    CpuState *s = rig_state(rig, 0);

    rig_mode(rig, 0, 64);
    RIG_LOAD(rig, divide);
    s->gpr[GPR_R10] = 0x123456789abcdef0;
    assert_int_equal(rig_run(rig, 0), EXC_DE);
    assert_int_equal(rig_fault_rip(rig, 64, false), RIG_CODE + 14);
    assert_true(s->gpr[GPR_R9] == 0x123456789abcdef0);
    assert_int_equal(s->gpr[GPR_R10], 7);
    assert_int_equal(s->gpr[GPR_R11], 0);

    rig_mode(rig, 0, 64);
    RIG_LOAD(rig, load);
    s->gpr[GPR_RAX] = 0x1122334455667788;
    s->gpr[GPR_R11] = 5;
    s->gpr[GPR_RBX] = 1ull << 40;
    assert_int_equal(rig_run(rig, 0), EXC_PF);
    assert_int_equal(rig_fault_rip(rig, 64, true), RIG_CODE + 15);
    assert_true(s->gpr[GPR_R9] == 0x1122334455667788);
    assert_true(s->gpr[GPR_RAX] == 0x22446688aaccef10);
    assert_int_equal(s->gpr[GPR_R10], 7);
    assert_int_equal(s->gpr[GPR_R11], 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        RIG_CASE(registers_in_the_frame_are_like_others),
        RIG_CASE(faults_find_registers_in_the_frame_as_they_are),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
