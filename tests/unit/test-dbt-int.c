/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Integer instructions where C code of the interpreter, not the host, decides: divisions, bit
 * strings, high bytes, 16- and 32-bit results, instructions the host no longer has.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "core/thread.h"
#include "dbt-rig.h"

#define ARITH (RFLAGS_CF | RFLAGS_PF | RFLAGS_AF | RFLAGS_ZF | RFLAGS_SF | RFLAGS_OF)

/* Runs a guest of one mode with these registers. */
static int run_with(Rig *rig, unsigned bits, const uint8_t *code, const uint8_t *end, uint64_t rax,
                    uint64_t rcx, uint64_t rdx, uint64_t rbx)
{
    CpuState *s = rig_state(rig, 0);

    rig_code(rig, code, (size_t)(end - code));
    rig_mode(rig, 0, bits);
    s->gpr[GPR_RAX] = rax;
    s->gpr[GPR_RCX] = rcx;
    s->gpr[GPR_RDX] = rdx;
    s->gpr[GPR_RBX] = rbx;
    return rig_run(rig, 0);
}

#define RUN(rig, bits, name, ...) run_with((rig), (bits), (name), name##_end, __VA_ARGS__)

GUEST(partial, "add $1, %al\n add $1, %ah\n mov %ah, %cl\n mov $0x1234, %dx\n mov %ebx, %ebx");

static void partial_registers_keep_or_clear_the_rest(void **state)
{
    Rig *rig = *state;
    const CpuState *s = rig_state(rig, 0);

    assert_int_equal(RUN(rig, 64, partial, 0x1111111111110cff, ~0ull, ~0ull, ~0ull), -1);
    assert_int_equal(s->gpr[GPR_RAX], 0x1111111111110d00);
    assert_int_equal(s->gpr[GPR_RCX], 0xffffffffffffff0d);
    assert_int_equal(s->gpr[GPR_RDX], 0xffffffffffff1234);
    assert_int_equal(s->gpr[GPR_RBX], 0xffffffff);
}

GUEST(div8, "div %cl");
GUEST(div32, "div %ecx");
GUEST(div64, "div %rcx");
GUEST(idiv8, "idiv %cl");
GUEST(idiv16, "idiv %cx");
GUEST(idiv32, "idiv %ecx");
GUEST(idiv64, "idiv %rcx");

static void divisions_that_do_not_fit_are_divide_errors(void **state)
{
    Rig *rig = *state;
    const CpuState *s = rig_state(rig, 0);

    assert_int_equal(RUN(rig, 64, div8, 0x0300, 3, 0, 0), EXC_DE);
    assert_int_equal(RUN(rig, 64, div8, 0x02ff, 3, 0, 0), -1);
    assert_int_equal(s->gpr[GPR_RAX], 0x00ff | 2 << 8);
    assert_int_equal(RUN(rig, 64, div32, 5, 0, 0, 0), EXC_DE);
    assert_int_equal(RUN(rig, 64, div64, 0, 2, 2, 0), EXC_DE);
    assert_int_equal(RUN(rig, 64, div64, 0, 2, 1, 0), -1);
    assert_int_equal(s->gpr[GPR_RAX], BIT(63));

    assert_int_equal(RUN(rig, 64, idiv8, 0xff80, 0xff, 0, 0), EXC_DE); /* -128 / -1 */
    assert_int_equal(RUN(rig, 64, idiv8, 0xff80, 1, 0, 0), -1);
    assert_int_equal(s->gpr[GPR_RAX] & 0xffff, 0x80);
    assert_int_equal(RUN(rig, 64, idiv16, 0x8000, 0xffff, 0xffff, 0), EXC_DE);
    assert_int_equal(RUN(rig, 64, idiv32, 0x80000000, 0xffffffff, 0xffffffff, 0), EXC_DE);
    assert_int_equal(RUN(rig, 64, idiv32, (uint32_t)-7, 2, 0xffffffff, 0), -1);
    assert_int_equal(s->gpr[GPR_RAX], (uint32_t)-3);
    assert_int_equal(s->gpr[GPR_RDX], (uint32_t)-1);
    assert_int_equal(RUN(rig, 64, idiv64, BIT(63), ~0ull, ~0ull, 0), EXC_DE);
    assert_int_equal(RUN(rig, 64, idiv64, 0, 2, BIT(63), 0), EXC_DE);
    assert_int_equal(RUN(rig, 64, idiv64, BIT(63), 1, ~0ull, 0), -1);
    assert_int_equal(s->gpr[GPR_RAX], BIT(63));
    assert_int_equal(RUN(rig, 64, idiv64, 0, (uint64_t)-2, 1, 0), -1); /* 2^64 / -2 = -2^63 */
    assert_int_equal(s->gpr[GPR_RAX], BIT(63));
    assert_int_equal(RUN(rig, 64, idiv64, 0, 2, 1, 0), EXC_DE); /* 2^63 is one too many */
}

GUEST(div64_frame, "mov %rcx, %r10\n div %r10");
GUEST(idiv64_frame, "mov %rcx, %r10\n idiv %r10");
GUEST(div64_memory, "mov %rcx, (%rbx)\n divq (%rbx)");
GUEST(idiv64_memory, "mov %rcx, (%rbx)\n idivq (%rbx)");

/* What RDX:RAX / RCX gives; false: #DE. */
static bool divide(bool is_signed, uint64_t high, uint64_t low, uint64_t divisor, uint64_t *quotient, uint64_t *rest)
{
    unsigned __int128 all = (unsigned __int128)high << 64 | low;
    bool minus = is_signed && high >> 63, other = is_signed && divisor >> 63;
    unsigned __int128 top = minus ? -all : all, q;
    uint64_t by = other ? -divisor : divisor;

    if (!divisor)
        return false;
    q = top / by;
    if (q > (!is_signed ? UINT64_MAX : minus != other ? BIT(63) : BIT(63) - 1))
        return false;
    *quotient = (uint64_t)(minus != other ? -q : q);
    *rest = (uint64_t)(minus ? -(top % by) : top % by);
    return true;
}

static void check_division(Rig *rig, bool is_signed, const uint8_t *code, const uint8_t *end, uint64_t high, uint64_t low,
                           uint64_t divisor)
{
    const CpuState *s = rig_state(rig, 0);
    uint64_t quotient, rest;

    if (!divide(is_signed, high, low, divisor, &quotient, &rest)) {
        assert_int_equal(run_with(rig, 64, code, end, low, divisor, high, RIG_DATA), EXC_DE);
        quotient = low;
        rest = high;
    } else {
        assert_int_equal(run_with(rig, 64, code, end, low, divisor, high, RIG_DATA), -1);
    }
    assert_int_equal(s->gpr[GPR_RAX], quotient);
    assert_int_equal(s->gpr[GPR_RDX], rest);
}

/* The translator divides 32 bits where both have no more. */
static void long_divisions_give_the_same_around_32_bits(void **state)
{
    static const uint64_t values[] = {0, 1, 3, 0x7fffffff, 0x80000000, UINT32_MAX, BIT(32), BIT(32) + 1, BIT(63) - 1, BIT(63),
                                      ~0ull << 32, ~0ull << 31, (uint64_t)-3, ~0ull};
    static const struct {
        const uint8_t *code, *end;
        bool is_signed;
    } forms[] = {{div64, div64_end, false}, {idiv64, idiv64_end, true},
                 {div64_frame, div64_frame_end, false}, {idiv64_frame, idiv64_frame_end, true},
                 {div64_memory, div64_memory_end, false}, {idiv64_memory, idiv64_memory_end, true}};
    const unsigned n = G_N_ELEMENTS(values);

    for (unsigned i = 0; i < G_N_ELEMENTS(forms); i++) {
        for (unsigned k = 0; k < n * n * n; k++)
            check_division(*state, forms[i].is_signed, forms[i].code, forms[i].end, values[k / n / n], values[k / n % n],
                           values[k % n]);
    }
}

GUEST(shl_cl, "shl %cl, %eax");
GUEST(rcl16, "rcl %cl, %ax");

static void a_shift_by_zero_leaves_the_flags(void **state)
{
    Rig *rig = *state;
    CpuState *s = rig_state(rig, 0);

    for (unsigned i = 0; i < 2; i++) {
        uint64_t flags = i ? ARITH : 0;

        RIG_LOAD(rig, shl_cl);
        rig_mode(rig, 0, 64);
        s->rflags |= flags;
        s->gpr[GPR_RCX] = 32;
        s->gpr[GPR_RAX] = 0xffffffff80000001;
        assert_int_equal(rig_run(rig, 0), -1);
        assert_int_equal(s->rflags & ARITH, flags);
        assert_int_equal(s->gpr[GPR_RAX], 0x80000001);
    }
    assert_int_equal(RUN(rig, 64, rcl16, 0x8000, 17, 0, 0), -1); /* 17 turns through CF */
    assert_int_equal(s->gpr[GPR_RAX], 0x8000);
}

GUEST(bts_string, "bts %rcx, (%rbx)");
GUEST(bts_string16, "bts %cx, (%rbx)");
GUEST(btr_imm, "btrl $37, (%rbx)");

static void a_bit_string_reaches_in_both_directions(void **state)
{
    Rig *rig = *state;
    const CpuState *s = rig_state(rig, 0);
    uint64_t *p = rig_mem(rig, RIG_DATA);

    assert_int_equal(RUN(rig, 64, bts_string, 0, 130, 0, RIG_DATA), -1);
    assert_int_equal(p[2], 4);
    assert_false(s->rflags & RFLAGS_CF);
    assert_int_equal(RUN(rig, 64, bts_string, 0, (uint64_t)-1, 0, RIG_DATA + 8), -1);
    assert_int_equal(p[0], BIT(63));
    assert_int_equal(RUN(rig, 64, bts_string, 0, (uint64_t)-1, 0, RIG_DATA + 8), -1);
    assert_true(s->rflags & RFLAGS_CF);
    assert_int_equal(RUN(rig, 64, bts_string16, 0, 0xdead00000000ffff, 0, RIG_DATA + 32), -1);
    assert_int_equal(p[3], BIT(63)); /* bit -1 of 16 */
    p[0] = ~0ull;
    assert_int_equal(RUN(rig, 64, btr_imm, 0, 0, 0, RIG_DATA), -1);
    assert_int_equal(p[0], ~BIT(5)); /* an immediate stays in the operand */
}

GUEST(cmpxchg8, "cmpxchg8b (%rsi)");
GUEST(cmpxchg16, "lock cmpxchg16b (%rsi)");
GUEST(cmpxchg_mem, "cmpxchg %cl, 0x20000");
GUEST(xadd_mem, "lock xadd %ecx, 0x20000");

static void compare_and_exchange_loads_the_accumulator_when_it_fails(void **state)
{
    Rig *rig = *state;
    CpuState *s = rig_state(rig, 0);
    uint64_t *p = rig_mem(rig, RIG_DATA);

    p[0] = 0x1122334455667788;
    RIG_LOAD(rig, cmpxchg8);
    rig_mode(rig, 0, 64);
    s->gpr[GPR_RSI] = RIG_DATA;
    s->gpr[GPR_RAX] = 0xffffffff55667788;
    s->gpr[GPR_RDX] = 0x11223344;
    s->gpr[GPR_RBX] = 1;
    s->gpr[GPR_RCX] = 2;
    assert_int_equal(rig_run(rig, 0), -1);
    assert_int_equal(p[0], 0x200000001);
    assert_int_equal(s->gpr[GPR_RAX], 0xffffffff55667788);
    assert_true(s->rflags & RFLAGS_ZF);

    p[1] = 7;
    RIG_LOAD(rig, cmpxchg16);
    rig_mode(rig, 0, 64);
    s->gpr[GPR_RSI] = RIG_DATA;
    assert_int_equal(rig_run(rig, 0), -1);
    assert_int_equal(s->gpr[GPR_RAX], 0x200000001);
    assert_int_equal(s->gpr[GPR_RDX], 7);
    assert_false(s->rflags & RFLAGS_ZF);
    rig_mode(rig, 0, 64);
    s->gpr[GPR_RSI] = RIG_DATA + 8;
    assert_int_equal(rig_run(rig, 0), EXC_GP);

    p[0] = 0x80;
    assert_int_equal(RUN(rig, 64, cmpxchg_mem, 0x180, 0x33, 0, 0), -1);
    assert_int_equal(p[0], 0x33);
    assert_int_equal(RUN(rig, 64, cmpxchg_mem, 0x180, 0x44, 0, 0), -1);
    assert_int_equal(p[0], 0x33);
    assert_int_equal(s->gpr[GPR_RAX], 0x133);
    assert_int_equal(RUN(rig, 64, xadd_mem, 0, 0xffffffff00000001, 0, 0), -1);
    assert_int_equal(p[0], 0x34);
    assert_int_equal(s->gpr[GPR_RCX], 0x33);
}

GUEST(daa32, ".code32\n daa");
GUEST(das32, ".code32\n das");
GUEST(aaa32, ".code32\n aaa");
GUEST(aam32, ".code32\n aam");
GUEST(aam_zero, ".code32\n .byte 0xd4, 0");
GUEST(aad32, ".code32\n aad");

static void decimal_adjustments_follow_the_manual(void **state)
{
    Rig *rig = *state;
    const CpuState *s = rig_state(rig, 0);

    assert_int_equal(RUN(rig, 32, daa32, 0xae, 0, 0, 0), -1); /* SDM: 79 + 35 = 114 */
    assert_int_equal(s->gpr[GPR_RAX], 0x14);
    assert_true(s->rflags & RFLAGS_CF && s->rflags & RFLAGS_AF);
    assert_int_equal(RUN(rig, 32, das32, 0x12, 0, 0, 0), -1);
    assert_int_equal(s->gpr[GPR_RAX], 0x12);
    assert_int_equal(RUN(rig, 32, aaa32, 0x010b, 0, 0, 0), -1);
    assert_int_equal(s->gpr[GPR_RAX], 0x0201);
    assert_int_equal(RUN(rig, 32, aam32, 0x63, 0, 0, 0), -1);
    assert_int_equal(s->gpr[GPR_RAX], 0x0909);
    assert_int_equal(RUN(rig, 32, aad32, 0x0909, 0, 0, 0), -1);
    assert_int_equal(s->gpr[GPR_RAX], 99);
    assert_int_equal(RUN(rig, 32, aam_zero, 0, 0, 0, 0), EXC_DE);
}

GUEST(bound32, ".code32\n bound %eax, 0x20000");

static void bound_compares_signed(void **state)
{
    Rig *rig = *state;
    int32_t *p = rig_mem(rig, RIG_DATA);

    p[0] = -5;
    p[1] = 5;
    assert_int_equal(RUN(rig, 32, bound32, (uint32_t)-5, 0, 0, 0), -1);
    assert_int_equal(RUN(rig, 32, bound32, 6, 0, 0, 0), EXC_BR);
    assert_int_equal(RUN(rig, 32, bound32, (uint32_t)-6, 0, 0, 0), EXC_BR);
}

GUEST(cmov_fault, "cmp %eax, %eax\n cmovne 0x31000, %ebx");
GUEST(cmov_zero, "cmp %eax, %eax\n cmovne %ecx, %ebx");

static void cmov_reads_and_extends_whatever_the_condition(void **state)
{
    Rig *rig = *state;
    const CpuState *s = rig_state(rig, 0);

    ((uint64_t *)rig_mem(rig, 0x1000))[0x31] = 0;
    assert_int_equal(RUN(rig, 64, cmov_fault, 0, 0, 0, 0), EXC_PF);
    assert_int_equal(RUN(rig, 64, cmov_zero, 0, 0, 0, 0xffffffff12345678), -1);
    assert_int_equal(s->gpr[GPR_RBX], 0x12345678);
}

GUEST(pop_mem, "push $0x77\n popq 8(%rsp)");
GUEST(pop_rsp, "push $0x1234\n pop %rsp\n xor %eax, %eax");
GUEST(push_rsp, "push %rsp\n pop %rax");

static void stack_pointer_operands(void **state)
{
    Rig *rig = *state;
    const CpuState *s = rig_state(rig, 0);

    /* The address is formed with the incremented rSP. */
    assert_int_equal(RUN(rig, 64, pop_mem, 0, 0, 0, 0), -1);
    assert_int_equal(*(uint64_t *)rig_mem(rig, RIG_STACK + 8), 0x77);
    assert_int_equal(RUN(rig, 64, pop_rsp, 0, 0, 0, 0), -1);
    assert_int_equal(s->gpr[GPR_RSP], 0x1234);
    assert_int_equal(RUN(rig, 64, push_rsp, 0, 0, 0, 0), -1);
    assert_int_equal(s->gpr[GPR_RAX], RIG_STACK);
}

GUEST(adc_chain, "add %rcx, %rax\n adc %rbx, %rdx\n sbb %rsi, %rsi\n inc %esi\n setc %dil\n");

static void carries_travel_and_inc_keeps_them(void **state)
{
    Rig *rig = *state;
    const CpuState *s = rig_state(rig, 0);

    assert_int_equal(RUN(rig, 64, adc_chain, ~0ull, 1, ~0ull, 0), -1);
    assert_int_equal(s->gpr[GPR_RAX], 0);
    assert_int_equal(s->gpr[GPR_RDX], 0);
    assert_int_equal(s->gpr[GPR_RSI], 0);
    assert_int_equal(s->gpr[GPR_RDI], 1);
}

GUEST(movsxd_word, ".byte 0x66, 0x63, 0x03\n movsxd (%rbx), %ecx"); /* movsxd (%rbx), %ax */
#define MOVSXD_SECOND 3u

static void movsxd_to_a_word_reads_a_word(void **state)
{
    const uint32_t edge = RIG_DATA + 0x1000;
    Rig *rig = *state;
    const CpuState *s = rig_state(rig, 0);

    store_le(rig_mem(rig, 0x1000 + edge / 4096 * 8), 0, 8); /* not present */
    store_le(rig_mem(rig, edge - 2), 0x8765, 2);
    assert_int_equal(RUN(rig, 64, movsxd_word, ~0ull, 0, 0, edge - 2), EXC_PF);
    assert_true(rig_fault_rip(rig, 64, true) == RIG_CODE + MOVSXD_SECOND);
    assert_true(s->gpr[GPR_RAX] == 0xffffffffffff8765);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        RIG_CASE(partial_registers_keep_or_clear_the_rest),
        RIG_CASE(divisions_that_do_not_fit_are_divide_errors),
        RIG_CASE(long_divisions_give_the_same_around_32_bits),
        RIG_CASE(a_shift_by_zero_leaves_the_flags),
        RIG_CASE(a_bit_string_reaches_in_both_directions),
        RIG_CASE(compare_and_exchange_loads_the_accumulator_when_it_fails),
        RIG_CASE(decimal_adjustments_follow_the_manual),
        RIG_CASE(bound_compares_signed),
        RIG_CASE(cmov_reads_and_extends_whatever_the_condition),
        RIG_CASE(stack_pointer_operands),
        RIG_CASE(carries_travel_and_inc_keeps_them),
        RIG_CASE(movsxd_to_a_word_reads_a_word),
    };

    core_init();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
