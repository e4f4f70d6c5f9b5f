/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Stubs of native instructions (accel/dbt/native*.c) on a CpuState, without an MMU or a loop; and
 * their memory when a guest has more forms than it holds.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>
#include <urcu.h>

#include "accel/dbt/native.h"
#include "core/thread.h"
#include "dbt-rig.h"

/* A vCPU with nothing but registers, its memory operand and a cache of forms. */
typedef struct Bench {
    Vcpu vcpu;
    DbtVcpu dbt;
    DbtAccel accel;
    uint8_t operand[64] __attribute__((aligned(64)));
} Bench;

static Bench *bench_new(size_t segment_size)
{
    Bench *b = aligned_alloc(64, align_up(sizeof(*b), 64));

    memset(b, 0, sizeof(*b));
    b->accel.native = native_cache_new(segment_size, NULL);
    assert_non_null(b->accel.native);
    b->dbt.accel = &b->accel;
    b->dbt.state = &b->vcpu.state;
    b->dbt.cpu = &b->vcpu;
    b->vcpu.accel = &b->dbt;
    b->vcpu.state.fpu.mxcsr = 0x1f80;
    b->vcpu.state.fpu.fcw = 0x37f;
    current_vcpu = &b->vcpu;
    native_signals_init();
    return b;
}

static void bench_free(Bench *b)
{
    native_cache_free(b->accel.native);
    current_vcpu = NULL;
    free(b);
}

static bool encode(NativeInsn *insn, unsigned code_bits, const uint8_t *bytes, unsigned len)
{
    ZydisDecoder decoder;
    ZydisDecodedInstruction dec;
    ZydisDecodedOperand operands[ZYDIS_MAX_OPERAND_COUNT];

    ZydisDecoderInit(&decoder, code_bits == 64 ? ZYDIS_MACHINE_MODE_LONG_64 : ZYDIS_MACHINE_MODE_LEGACY_32,
                     code_bits == 64 ? ZYDIS_STACK_WIDTH_64 : ZYDIS_STACK_WIDTH_32);
    assert_true(ZYAN_SUCCESS(ZydisDecoderDecodeFull(&decoder, bytes, len, &dec, operands)));
    return native_encode(insn, code_bits, &dec, operands, bytes);
}

static uint32_t run(Bench *b, unsigned code_bits, const uint8_t *bytes, unsigned len)
{
    NativeInsn insn;
    const NativeForm *form;
    uint64_t serial;
    uint32_t result;

    assert_true(encode(&insn, code_bits, bytes, len));
    form = native_cache_get(b->accel.native, &insn, &serial);
    assert_non_null(form);
    rcu_read_lock();
    result = native_run(&b->dbt, native_form_code(form, serial), b->operand, insn.x87);
    rcu_read_unlock();
    return result;
}

#define RUN(b, ...)                                                                                \
    run(b, 64, (const uint8_t[16]){__VA_ARGS__}, sizeof((const uint8_t[]){__VA_ARGS__}))
#define RUN32(b, ...)                                                                              \
    run(b, 32, (const uint8_t[16]){__VA_ARGS__}, sizeof((const uint8_t[]){__VA_ARGS__}))

static void integer_results_and_flags_reach_the_state(void **state)
{
    Bench *b = bench_new(MIB);
    CpuState *s = &b->vcpu.state;

    s->rflags = RFLAGS_1 | RFLAGS_IF | RFLAGS_DF | RFLAGS_CF | RFLAGS_AC;
    s->gpr[GPR_RCX] = 0xff00ff;
    assert_int_equal(RUN(b, 0xf3, 0x48, 0x0f, 0xb8, 0xc1), 0); /* popcnt rax, rcx */
    assert_int_equal(s->gpr[GPR_RAX], 16);
    assert_int_equal(s->rflags, RFLAGS_1 | RFLAGS_IF | RFLAGS_DF | RFLAGS_AC);
    s->gpr[GPR_RSP] = 0xf0;
    assert_int_equal(RUN(b, 0xf3, 0x4c, 0x0f, 0xb8, 0xcc), 0); /* popcnt r9, rsp */
    assert_int_equal(s->gpr[GPR_R9], 4);
    assert_int_equal(RUN(b, 0xf3, 0x49, 0x0f, 0xb8, 0xe1), 0); /* popcnt rsp, r9 */
    assert_int_equal(s->gpr[GPR_RSP], 1);
    s->rflags = RFLAGS_1 | RFLAGS_CF;
    s->gpr[GPR_RAX] = 1;
    assert_int_equal(RUN(b, 0x66, 0x48, 0x0f, 0x38, 0xf6, 0xc0), 0); /* adcx rax, rax */
    assert_int_equal(s->gpr[GPR_RAX], 3);
    bench_free(b);
}

static void legacy_sse_keeps_upper_halves_and_vex_clears_them(void **state)
{
    Bench *b = bench_new(MIB);
    FpuState *fpu = &b->vcpu.state.fpu;

    memset(fpu->zmm, 0x11, sizeof(fpu->zmm));
    memset(b->operand, 0x22, sizeof(b->operand));
    assert_int_equal(RUN(b, 0x66, 0x44, 0x0f, 0xfc, 0x3b), 0); /* paddb xmm15, [rbx] */
    assert_int_equal(fpu->zmm[15][15], 0x33);
    assert_int_equal(fpu->zmm[15][16], 0x11);
    assert_int_equal(RUN(b, 0xc5, 0x01, 0xfc, 0x3b), 0); /* vpaddb xmm15, xmm15, [rbx] */
    assert_int_equal(fpu->zmm[15][15], 0x55);
    assert_int_equal(fpu->zmm[15][16], 0);
    assert_int_equal(fpu->zmm[15][63], 0);
    assert_int_equal(RUN(b, 0xc5, 0x85, 0xfc, 0xd1), 0); /* vpaddb ymm2, ymm15, ymm1 */
    assert_int_equal(fpu->zmm[2][31], 0x11);
    assert_int_equal(fpu->zmm[2][0], 0x66);
    assert_int_equal(fpu->zmm[2][32], 0);
    assert_int_equal(fpu->zmm[3][32], 0x11);
    bench_free(b);
}

static void an_unmasked_simd_exception_stores_nothing_but_mxcsr(void **state)
{
    Bench *b = bench_new(MIB);
    FpuState *fpu = &b->vcpu.state.fpu;
    float one = 1.0f;

    fpu->mxcsr = 0x1f80 & ~0x200; /* ZM clear */
    memcpy(fpu->zmm[0], &one, 4);
    assert_int_equal(RUN(b, 0xf3, 0x0f, 0x5e, 0xc1), NATIVE_FAULT | EXC_XM); /* divss xmm0, xmm1 */
    assert_memory_equal(fpu->zmm[0], &one, 4);
    assert_int_equal(fpu->mxcsr, (0x1f80 & ~0x200) | 4);
    fpu->mxcsr = 0x1f80;
    assert_int_equal(RUN(b, 0xf3, 0x0f, 0x5e, 0xc1), 0);
    assert_int_equal(fpu->mxcsr, 0x1f84);
    assert_int_equal(fpu->zmm[0][3], 0x7f); /* +inf */
    bench_free(b);
}

static void a_division_error_leaves_the_registers(void **state)
{
    Bench *b = bench_new(MIB);
    CpuState *s = &b->vcpu.state;

    s->gpr[GPR_RAX] = 7;
    s->gpr[GPR_RBX] = 0;
    s->gpr[GPR_RBP] = 0x1234;
    assert_int_equal(RUN(b, 0x48, 0xf7, 0xf3), NATIVE_FAULT | EXC_DE); /* div rbx */
    assert_int_equal(s->gpr[GPR_RAX], 7);
    s->gpr[GPR_RBX] = 2;
    assert_int_equal(RUN(b, 0x48, 0xf7, 0xf3), 0);
    assert_int_equal(s->gpr[GPR_RAX], 3);
    assert_int_equal(s->gpr[GPR_RDX], 1);
    bench_free(b);
}

static void an_instruction_the_host_lacks_is_undefined(void **state)
{
    Bench *b = bench_new(MIB);
    uint32_t result = RUN(b, 0x0f, 0x38, 0xc8, 0xc1); /* sha1nexte xmm0, xmm1 */

    assert_true(result == 0 || result == (NATIVE_FAULT | EXC_UD));
    bench_free(b);
}

static void a_misaligned_operand_is_a_general_protection_fault(void **state)
{
    Bench *b = bench_new(MIB);
    NativeInsn insn;
    uint64_t serial;
    const NativeForm *form;

    assert_true(encode(&insn, 64, (const uint8_t[]){0x0f, 0x28, 0x00}, 3)); /* movaps xmm0, [rax] */
    assert_int_equal(insn.align, 16);
    form = native_cache_get(b->accel.native, &insn, &serial);
    rcu_read_lock();
    assert_int_equal(native_run(&b->dbt, native_form_code(form, serial), b->operand + 1, false),
                     NATIVE_FAULT | EXC_GP);
    rcu_read_unlock();
    bench_free(b);
}

static void x87_registers_are_loaded_and_stored(void **state)
{
    Bench *b = bench_new(MIB);
    FpuState *fpu = &b->vcpu.state.fpu;
    double value = 2.5, result;

    memcpy(b->operand, &value, 8);
    assert_int_equal(RUN(b, 0xdd, 0x00), 0); /* fld qword [rax] */
    assert_int_equal(fpu->ftw, 0x80);
    assert_int_equal(RUN(b, 0xd8, 0xc0), 0); /* fadd st0, st0 */
    assert_int_equal(RUN(b, 0xdd, 0x18), 0); /* fstp qword [rax] */
    memcpy(&result, b->operand, 8);
    assert_true(result == 5.0);
    assert_int_equal(fpu->ftw, 0);
    assert_int_equal(fpu->fip, 0);
    bench_free(b);
}

static void code_of_32_bits_means_the_same_in_64(void **state)
{
    Bench *b = bench_new(MIB);
    CpuState *s = &b->vcpu.state;
    NativeInsn insn;

    s->gpr[GPR_RCX] = 0xffff1234;
    assert_int_equal(RUN32(b, 0x66, 0xf3, 0x0f, 0xb8, 0xc1), 0); /* popcnt ax, cx */
    assert_int_equal(s->gpr[GPR_RAX], 5);
    /* VEX.W is ignored: andn ecx, ecx, eax, with W = 1 and vvvv[3] clear */
    s->gpr[GPR_RAX] = 0xffffffffffffffff;
    s->gpr[GPR_RCX] = 0xf;
    assert_int_equal(RUN32(b, 0xc4, 0xe2, 0xb0, 0xf2, 0xc8), 0);
    assert_int_equal(s->gpr[GPR_RCX], 0xfffffff0);
    /* inc eax by its one-byte form is REX in 64-bit mode: not expressible byte by byte */
    assert_false(encode(&insn, 32, (const uint8_t[]){0x40}, 1));
    bench_free(b);
}

static void equal_forms_share_a_stub(void **state)
{
    Bench *b = bench_new(MIB);
    NativeInsn insn;
    uint64_t first, second;

    /* paddb xmm1, [rbx+8] and paddb xmm1, [rip+x] */
    assert_true(encode(&insn, 64, (const uint8_t[]){0x66, 0x0f, 0xfc, 0x4b, 0x08}, 5));
    native_cache_get(b->accel.native, &insn, &first);
    assert_true(encode(&insn, 64, (const uint8_t[]){0x66, 0x0f, 0xfc, 0x0d, 1, 2, 3, 4}, 8));
    native_cache_get(b->accel.native, &insn, &second);
    assert_int_equal(first, second);
    bench_free(b);
}

/* rorx eax, ecx, imm with all registers: 256 * 64 forms. */
static void churn(Bench *b, unsigned rounds)
{
    NativeInsn insn;
    uint64_t serial;

    for (unsigned i = 0; i < rounds; i++) {
        uint8_t bytes[] = {0xc4, 0xe3, 0x7b, 0xf0, 0xc0 | (i & 7) << 3 | (i >> 3 & 7), i >> 6};
        const NativeForm *form;

        if ((bytes[4] & 7) == GPR_RSP || (bytes[4] >> 3 & 7) == GPR_RSP) {
            continue;
        }
        assert_true(encode(&insn, 64, bytes, sizeof(bytes)));
        while (!(form = native_cache_get(b->accel.native, &insn, &serial))) {
            synchronize_rcu(); /* the next segment is still draining */
        }
        b->vcpu.state.gpr[i >> 3 & 7] = 0x80000001;
        rcu_read_lock();
        if (native_form_code(form, serial)) {
            assert_int_equal(native_run(&b->dbt, native_form_code(form, serial), NULL, false), 0);
            assert_int_equal((uint32_t)b->vcpu.state.gpr[i & 7],
                             (i >> 6 & 31) ? 0x80000001u >> (i >> 6 & 31) | 0x80000001u << (32 - (i >> 6 & 31))
                                           : 0x80000001u);
        }
        rcu_read_unlock();
    }
}

static void code_memory_is_bounded_and_reused(void **state)
{
    Bench *b = bench_new(16 * KIB);
    NativeInsn insn;
    const NativeForm *form;
    uint64_t serial;
    NativeStats stats;

    assert_true(encode(&insn, 64, (const uint8_t[]){0x66, 0x0f, 0xfc, 0xca}, 4));
    form = native_cache_get(b->accel.native, &insn, &serial);
    churn(b, 8192);
    stats = native_cache_stats(b->accel.native);
    assert_true(stats.segments_reclaimed > 8);
    assert_true(stats.bytes == 8 * 16 * KIB);
    rcu_read_lock();
    assert_null(native_form_code(form, serial)); /* gone, and known to be */
    rcu_read_unlock();
    bench_free(b);
}

typedef struct Churner {
    Bench bench;
    pthread_t thread;
} Churner;

static void *churn_thread(void *opaque)
{
    Churner *c = opaque;

    rcu_register_thread();
    current_vcpu = &c->bench.vcpu;
    churn(&c->bench, 8192);
    rcu_unregister_thread();
    return NULL;
}

static void two_threads_make_and_run_stubs(void **state)
{
    Bench *b = bench_new(16 * KIB);
    Churner *churners = aligned_alloc(64, 2 * align_up(sizeof(Churner), 64));

    for (unsigned i = 0; i < 2; i++) {
        Bench *own = &churners[i].bench;

        memset(&churners[i], 0, sizeof(churners[i]));
        own->accel.native = b->accel.native;
        own->dbt.accel = &own->accel;
        own->dbt.state = &own->vcpu.state;
        own->vcpu.accel = &own->dbt;
        assert_int_equal(pthread_create(&churners[i].thread, NULL, churn_thread, &churners[i]), 0);
    }
    for (unsigned i = 0; i < 2; i++) {
        pthread_join(churners[i].thread, NULL);
    }
    assert_true(native_cache_stats(b->accel.native).segments_reclaimed > 8);
    free(churners);
    bench_free(b);
}

static void random_numbers_come_from_the_host(void **state)
{
    Bench *b = bench_new(MIB);
    CpuState *s = &b->vcpu.state;
    uint64_t seen = 0;

    for (unsigned i = 0; i < 3; i++) {
        uint32_t result = RUN(b, 0x48, 0x0f, 0xc7, 0xf0); /* rdrand rax */

        if (result == (NATIVE_FAULT | EXC_UD))
            break; /* not on this host */
        assert_int_equal(result, 0);
        assert_true(s->rflags & RFLAGS_CF);
        assert_true(s->gpr[GPR_RAX] != seen);
        seen = s->gpr[GPR_RAX];
    }
    bench_free(b);
}

#define MANY_FORMS 80000u
#define MANY_CODE 0x200000u

/* RORX among the registers but RCX, which counts, RSP and R15: 2 * 256 * 169 forms. */
static uint8_t many_register(unsigned i)
{
    static const uint8_t registers[] = {0, 2, 3, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14};

    return registers[i % G_N_ELEMENTS(registers)];
}

static void many_insn(unsigned i, uint8_t bytes[6], uint64_t gpr[16])
{
    uint8_t to = many_register(i), from = many_register(i / 13), count = i / 169 % 256;
    bool wide = i / (169 * 256) & 1;
    uint64_t value = wide ? gpr[from] : (uint32_t)gpr[from];
    unsigned bits = wide ? 64 : 32, by = count % bits;

    bytes[0] = 0xc4;
    bytes[1] = (to & 8 ? 0 : 0x80) | 0x40 | (from & 8 ? 0 : 0x20) | 3;
    bytes[2] = wide ? 0xfb : 0x7b;
    bytes[3] = 0xf0;
    bytes[4] = 0xc0 | (to & 7) << 3 | (from & 7);
    bytes[5] = count;
    gpr[to] = by ? value >> by | value << (bits - by) : value;
    gpr[to] = wide ? gpr[to] : (uint32_t)gpr[to];
}

/* Twice through more forms than code memory holds: those of the first round are gone in the second. */
static void a_guest_of_endless_forms_is_right_and_bounded(void **state)
{
    Rig *rig = rig_new(1);
    CpuState *s = rig_state(rig, 0);
    DbtNative *native = ((DbtAccel *)rig->machine->accel)->native;
    uint8_t *code = rig_mem(rig, MANY_CODE);
    int32_t distance = -(int32_t)(MANY_FORMS * 6 + 3 + 6);
    uint64_t expected[16];

    rig_mode(rig, 0, 64);
    for (unsigned i = 0; i < 16; i++) {
        expected[i] = s->gpr[i] = i == GPR_RSP ? RIG_STACK : i * 0x9e3779b97f4a7c15;
    }
    for (unsigned round = 0; round < 2; round++) {
        for (unsigned i = 0; i < MANY_FORMS; i++) {
            many_insn(i, code + 6 * i, expected);
        }
    }
    code += 6 * MANY_FORMS;
    memcpy(code, "\x48\xff\xc9\x0f\x85", 5); /* dec rcx; jnz */
    memcpy(code + 5, &distance, 4);
    memcpy(code + 9, "\xe6\xf4\xf4", 3); /* out 0xf4, al; hlt */
    s->gpr[GPR_RCX] = 2;
    s->rip = MANY_CODE;
    assert_int_equal(rig_run(rig, 0), -1);
    expected[GPR_RCX] = 0;
    assert_memory_equal(s->gpr, expected, sizeof(expected));
    assert_true(native_cache_stats(native).segments_reclaimed > 0);
    assert_true(native_cache_stats(native).bytes <= 16 * MIB);
    rig_free(rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(integer_results_and_flags_reach_the_state),
        cmocka_unit_test(legacy_sse_keeps_upper_halves_and_vex_clears_them),
        cmocka_unit_test(an_unmasked_simd_exception_stores_nothing_but_mxcsr),
        cmocka_unit_test(a_division_error_leaves_the_registers),
        cmocka_unit_test(an_instruction_the_host_lacks_is_undefined),
        cmocka_unit_test(a_misaligned_operand_is_a_general_protection_fault),
        cmocka_unit_test(x87_registers_are_loaded_and_stored),
        cmocka_unit_test(code_of_32_bits_means_the_same_in_64),
        cmocka_unit_test(equal_forms_share_a_stub),
        cmocka_unit_test(code_memory_is_bounded_and_reused),
        cmocka_unit_test(two_threads_make_and_run_stubs),
        cmocka_unit_test(random_numbers_come_from_the_host),
        cmocka_unit_test(a_guest_of_endless_forms_is_right_and_bounded),
    };

    core_init();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
