/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * How fast the interpreter is: millions of guest instructions a second on compute loops, in process,
 * on one vCPU. Prints one line a loop; exit status 1 if a loop is below the floor of 60.
 */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "core/thread.h"
#include "dbt-rig.h"

#define ROUNDS 12
#define FLOOR_MIPS 60

/* Guests in 64-bit mode; rcx is the number of iterations. */
__asm__(".pushsection .rodata\n"
        "guest_alu:\n" /* 8 instructions: dependent and independent arithmetic */
        "1: addq %rcx, %rax\n"
        "xorq %rax, %rdx\n"
        "shlq $3, %rbx\n"
        "leaq 5(%rbx,%rax), %rbx\n"
        "imulq $33, %rdx, %rdx\n"
        "andl $0xffffff, %esi\n"
        "decq %rcx\n"
        "jnz 1b\n"
        "guest_alu_end:\n"
        "guest_memory:\n" /* 9: loads, stores and a read-modify-write in 32 KiB */
        "1: movl %ecx, %edi\n"
        "andl $0x7ff8, %edi\n"
        "movq 0x20000(%rdi), %rax\n"
        "addq %rcx, %rax\n"
        "movq %rax, 0x20000(%rdi)\n"
        "addl $1, 0x20004(%rdi)\n"
        "movzbl 0x20001(%rdi), %edx\n"
        "decq %rcx\n"
        "jnz 1b\n"
        "guest_memory_end:\n"
        "guest_calls:\n" /* 11: call, push, pop, ret, conditional branches */
        "1: call 2f\n"
        "testb $1, %cl\n"
        "jz 3f\n"
        "addq $3, %rax\n"
        "3: decq %rcx\n"
        "jnz 1b\n"
        "jmp 4f\n"
        "2: pushq %rbx\n"
        "movq %rcx, %rbx\n"
        "addq %rbx, %rax\n"
        "popq %rbx\n"
        "ret\n"
        "4:\n"
        "guest_calls_end:\n"
        ".popsection");

extern const uint8_t guest_alu[], guest_alu_end[], guest_memory[], guest_memory_end[];
extern const uint8_t guest_calls[], guest_calls_end[];

typedef struct Loop {
    const char *name;
    const uint8_t *code, *end;
    double insns; /* an iteration, on average */
} Loop;

static const Loop loops[] = {
    {"alu", guest_alu, guest_alu_end, 8},
    {"memory", guest_memory, guest_memory_end, 9},
    {"calls", guest_calls, guest_calls_end, 10.5},
};

/* CPU time: other work on the host is not ours. */
static double cpu_seconds(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &ts);
    return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

static double measure(Rig *rig, const Loop *loop, uint64_t iterations)
{
    double best = 0;

    for (int round = 0; round < ROUNDS; round++) {
        double start, mips;

        rig_code(rig, loop->code, (size_t)(loop->end - loop->code));
        rig_mode(rig, 0, 64);
        rig_state(rig, 0)->gpr[GPR_RCX] = iterations;
        start = cpu_seconds();
        rig_run(rig, 0);
        mips = (double)iterations * loop->insns / 1e6 / (cpu_seconds() - start);
        if (mips > best)
            best = mips;
    }
    return best;
}

int main(int argc, char **argv)
{
    uint64_t iterations = argc > 1 ? strtoull(argv[1], NULL, 0) : 300000;
    bool fast = true;
    Rig *rig;

    core_init();
    rig = rig_new(1);
    for (unsigned i = 0; i < G_N_ELEMENTS(loops); i++) {
        double mips = measure(rig, &loops[i], iterations);

        printf("cpu-interp %-8s %7.1f M guest instructions/s\n", loops[i].name, mips);
        fast = fast && mips >= FLOOR_MIPS;
    }
    rig_free(rig);
    return fast ? 0 : 1;
}
