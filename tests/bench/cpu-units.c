/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What an instruction of the vector, x87 and bit-manipulation units costs in the interpreter, in
 * process: nanoseconds each, in runs of eight; with RIG_TIER=translate in translated code. For people to read; no floor.
 */
#include <stdio.h>
#include <stdlib.h>

#include "core/loop.h"
#include "core/thread.h"
#include "dbt-rig.h"

#define ROUNDS 3
#define RUN_LENGTH 8

#define LOOP(name, insn) \
    "loop_" #name ": 1: .rept 8\n" insn "\n.endr\n dec %rcx\n jnz 1b\n loop_" #name "_end:\n"

/* rcx: iterations, rbx: data. */
__asm__(".pushsection .rodata\n"
        LOOP(pxor, "pxor %xmm1, %xmm2")
        LOOP(movups_load, "movups 0x10(%rbx), %xmm3")
        LOOP(movups_store, "movups %xmm3, 0x20(%rbx)")
        LOOP(addps, "addps %xmm1, %xmm2")
        LOOP(vaddps, "vaddps %ymm1, %ymm2, %ymm3")
        LOOP(aesenc, "aesenc (%rbx), %xmm4")
        LOOP(popcnt, "popcnt %rax, %rdx")
        LOOP(andn, "andn %rax, %rdx, %rsi")
        LOOP(fadd, "fadd %st(0), %st(0)")
        LOOP(fldstp, "fldl (%rbx)\n fstpl 8(%rbx)")
        LOOP(paddb, "paddb %mm0, %mm1")
        LOOP(gather8, "vpcmpeqd %ymm1, %ymm1, %ymm1\n vpgatherdd %ymm1, (%rbx,%ymm5,4), %ymm2")
        LOOP(gather4, "vpcmpeqd %ymm1, %ymm1, %ymm1\n vgatherqpd %ymm1, (%rbx,%ymm5,4), %ymm2")
        ".popsection");

#define GUEST_LOOP(name, insns) {#name, loop_##name, loop_##name##_end, insns}
#define DECLARE(name) extern const uint8_t loop_##name[], loop_##name##_end[]
DECLARE(pxor); DECLARE(movups_load); DECLARE(movups_store); DECLARE(addps); DECLARE(vaddps);
DECLARE(aesenc); DECLARE(popcnt); DECLARE(andn); DECLARE(fadd); DECLARE(fldstp); DECLARE(paddb);
DECLARE(gather8); DECLARE(gather4);

typedef struct Loop {
    const char *name;
    const uint8_t *code, *end;
    unsigned insns; /* in each of the eight */
} Loop;

static const Loop loops[] = {
    GUEST_LOOP(pxor, 1),   GUEST_LOOP(movups_load, 1), GUEST_LOOP(movups_store, 1), GUEST_LOOP(addps, 1),
    GUEST_LOOP(vaddps, 1), GUEST_LOOP(aesenc, 1),      GUEST_LOOP(popcnt, 1),       GUEST_LOOP(andn, 1),
    GUEST_LOOP(fadd, 1),   GUEST_LOOP(fldstp, 2),      GUEST_LOOP(paddb, 1),
    GUEST_LOOP(gather8, 2), GUEST_LOOP(gather4, 2),
};

static double measure(Rig *rig, const Loop *loop, uint64_t iterations)
{
    double best = 1e9;

    for (int round = 0; round < ROUNDS; round++) {
        CpuState *s = rig_state(rig, 0);
        int64_t start;
        double ns;

        rig_code(rig, loop->code, (size_t)(loop->end - loop->code));
        rig_mode(rig, 0, 64);
        s->cr4 |= CR4_OSXSAVE;
        s->xcr0 = XCR0_X87 | XCR0_SSE | XCR0_AVX;
        s->gpr[GPR_RCX] = iterations;
        s->gpr[GPR_RBX] = RIG_DATA;
        start = clock_get_ns(VMCLOCK_MONO);
        if (rig_run(rig, 0) >= 0)
            return 0;
        ns = (double)(clock_get_ns(VMCLOCK_MONO) - start) / ((double)iterations * RUN_LENGTH * loop->insns);
        if (ns < best)
            best = ns;
    }
    return best;
}

int main(int argc, char **argv)
{
    uint64_t iterations = argc > 1 ? strtoull(argv[1], NULL, 0) : 100000;
    Rig *rig;

    core_init();
    rig = rig_new(1);
    for (unsigned i = 0; i < G_N_ELEMENTS(loops); i++)
        printf("cpu-units %-12s %6.1f ns\n", loops[i].name, measure(rig, &loops[i], iterations));
    rig_free(rig);
    return 0;
}
