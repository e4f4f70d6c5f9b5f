/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Random bytes as code, in every mode and at both privileges: whatever a guest executes, the process
 * goes on and the vCPU still answers requests. A seed replays one run:
 *
 *     test-dbt-random [rounds [first seed]]
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "core/dma.h"
#include "core/thread.h"
#include "dbt-rig.h"

/* How long one random program may run. */
#define SLICE_US 500
#define CPUS 2 /* both on the same memory */

static uint32_t first_seed = 1, rounds = 1000;

typedef struct Ticker {
    Rig *rig;
    bool stop;
} Ticker;

/* Random code loops and halts: somebody has to end each slice. */
static void *tick(void *opaque)
{
    Ticker *ticker = opaque;

    while (!__atomic_load_n(&ticker->stop, __ATOMIC_ACQUIRE)) {
        g_usleep(SLICE_US);
        for (unsigned i = 0; i < CPUS; i++)
            vcpu_request(ticker->rig->machine->vcpus[i], VCPU_REQ_PAUSE);
    }
    return NULL;
}

/* Bytes that make longer and rarer instructions more likely than chance does. */
static uint8_t random_byte(GRand *rand)
{
    static const uint8_t favourites[] = {
        0x66, 0x67, 0xf2, 0xf3, 0xf0, 0x48, 0x4f, 0x0f, 0x2e, 0x64, 0xc4, 0xc5, 0x62, 0x0f, 0x8e, 0xcd,
    };
    uint32_t r = g_rand_int(rand);

    return r & 0x700 ? (uint8_t)r : favourites[r & 15];
}

static uint64_t random_value(GRand *rand)
{
    switch (g_rand_int(rand) & 7) {
    case 0:
        return g_rand_int(rand) | (uint64_t)g_rand_int(rand) << 32;
    case 1:
        return (uint64_t)(int64_t)(int32_t)(g_rand_int(rand) & 0x80ffffff);
    default:
        return g_rand_int(rand) % RIG_RAM_SIZE;
    }
}

/* Segments with odd bases, limits and types; CS and SS stay usable. */
static void random_segments(CpuState *s, GRand *rand)
{
    for (unsigned i = 0; i < SEG_COUNT; i++) {
        if (i == SEG_CS || i == SEG_SS || g_rand_int(rand) & 3)
            continue;
        s->seg[i].base = g_rand_int(rand) & 0xffff;
        s->seg[i].limit = g_rand_int(rand) & (g_rand_int(rand) & 1 ? 0xffff : 0xffffffff);
        s->seg[i].attr = (s->seg[i].attr & ~0xfu) | (g_rand_int(rand) & 0xf);
    }
}

static void enter_vm86(CpuState *s)
{
    s->rflags |= RFLAGS_VM;
    for (unsigned i = 0; i < SEG_COUNT; i++)
        s->seg[i] = (SegmentReg){.selector = 0x1000, .attr = 0xf3, .limit = 0xffff, .base = RIG_CODE};
    s->rip = 0;
    s->gpr[GPR_RSP] = 0xff00;
}

static void enter_user(CpuState *s)
{
    /* The handlers' stack then comes from a TSS that is not there. */
    s->seg[SEG_CS].selector |= 3;
    s->seg[SEG_SS].selector |= 3;
    s->seg[SEG_CS].attr |= SEG_ATTR_DPL;
    s->seg[SEG_SS].attr |= SEG_ATTR_DPL;
}

static void random_state(CpuState *s, GRand *rand)
{
    for (unsigned i = 0; i < 16; i++) {
        if (i != GPR_RSP)
            s->gpr[i] = random_value(rand);
    }
    s->rflags |= g_rand_int(rand) & (RFLAGS_ARITH | RFLAGS_DF | RFLAGS_AC | RFLAGS_IF | RFLAGS_IOPL);
    if (!(g_rand_int(rand) & 15))
        s->rflags |= RFLAGS_TF;
    if (!(g_rand_int(rand) & 15))
        s->dr[7] = g_rand_int(rand);
    if (s->cr0 & CR0_PE) {
        uint32_t r = g_rand_int(rand);

        if (!(s->efer & EFER_LMA) && !(r & 7))
            enter_vm86(s);
        else if (r & 8)
            enter_user(s);
    }
    random_segments(s, rand);
    s->cr4 |= CR4_OSFXSR;
    if (g_rand_int(rand) & 3) {
        s->cr4 |= CR4_OSXSAVE;
        s->xcr0 = XCR0_X87 | XCR0_SSE | XCR0_AVX | (dbt_host_has_avx512() ? XCR0_AVX512_PARTS : 0);
    }
}

static void prepare(Rig *rig, uint32_t seed)
{
    GRand *rand = g_rand_new_with_seed(seed);
    uint8_t code[512];

    for (unsigned i = 0; i < sizeof(code); i++)
        code[i] = random_byte(rand);
    rig_reset_memory(rig);
    rig_code(rig, code, sizeof(code));
    for (unsigned i = 0; i < CPUS; i++) {
        rig_mode(rig, i, 16u << g_rand_int(rand) % 3);
        random_state(rig_state(rig, i), rand);
        vcpu_take_requests(rig->machine->vcpus[i], ~0u);
    }
    g_rand_free(rand);
}

static void *run_vcpu(void *opaque)
{
    Vcpu *vcpu = opaque;
    VcpuExit exit;

    current_vcpu = vcpu;
    exit = vcpu->machine->accel->ops->run(vcpu);
    current_vcpu = NULL;
    return GINT_TO_POINTER(exit == VCPU_EXIT_REQUEST);
}

static void run_seed(Rig *rig, uint32_t seed)
{
    pthread_t other;
    void *ok;

    prepare(rig, seed);
    assert_true(thread_create(&other, "other", run_vcpu, rig->machine->vcpus[1], NULL));
    assert_non_null(run_vcpu(rig->machine->vcpus[0]));
    pthread_join(other, &ok);
    assert_non_null(ok);
}

static void random_code_never_harms_the_process(void **state)
{
    Rig *rig = rig_new(CPUS);
    Ticker ticker = {.rig = rig};
    pthread_t thread;

    assert_true(thread_create(&thread, "ticker", tick, &ticker, NULL));
    for (uint32_t i = 0; i < rounds; i++)
        run_seed(rig, first_seed + i);
    __atomic_store_n(&ticker.stop, true, __ATOMIC_RELEASE);
    pthread_join(thread, NULL);
    /* And ordinary code still runs. */
    rig_reset_memory(rig);
    assert_int_equal(rig_run_code(rig, 64, "\x90", 1), -1);
    rig_free(rig);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(random_code_never_harms_the_process),
    };

    if (argc > 1)
        rounds = (uint32_t)strtoul(argv[1], NULL, 0);
    if (argc > 2)
        first_seed = (uint32_t)strtoul(argv[2], NULL, 0);
    core_init();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
