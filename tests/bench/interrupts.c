/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * How long after another thread raises an interrupt its handler's first instruction runs, while the guest is in a loop:
 * in process, translated. For people to read; the bound that is tested is one of rounds (test-dbt-exec.c).
 *
 *     interrupts [SAMPLES]
 *
 * Both threads read the time stamp counter. Samples during which the host had one of the two wait for a CPU say nothing
 * about the translator: they are counted apart. On a busy host that is most of them.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "core/thread.h"
#include "dbt-rig.h"

#define VECTOR 0x1e
#define IDT 0x5800u
#define HANDLER 0x18000u
#define STAMP (RIG_DATA + 8)
#define SAMPLES_MAX 1000000u
#define WAITED_NS 5000 /* by how much CPU time may fall behind the clock: reading them takes a while */

/* What runs when the interrupt comes. */
GUEST(loop_near, "sti\n 1: incq 0x20000\n jmp 1b");
GUEST(loop_calls, "sti\n mov $0x12000, %ebx\n movl $0xc3, (%rbx)\n 1: incq 0x20000\n call *%rbx\n jmp 1b");
GUEST(loop_strings, "sti\n 1: incq 0x20000\n mov $0x100000, %edi\n mov $0x100000, %ecx\n xor %eax, %eax\n rep stosb\n jmp 1b");
GUEST(handler, "push %rax\n push %rdx\n rdtsc\n shl $32, %rdx\n or %rax, %rdx\n mov %rdx, 0x20008\n pop %rdx\n pop %rax\n iretq");

typedef struct Workload {
    const char *name;
    const uint8_t *code, *end;
} Workload;

static const Workload workloads[] = {
    {"loop", loop_near, loop_near_end},
    {"calls", loop_calls, loop_calls_end},
    {"REP STOS of 1 MiB", loop_strings, loop_strings_end},
};

static bool pending;

static bool is_pending(void *opaque)
{
    return __atomic_load_n(&pending, __ATOMIC_ACQUIRE);
}

static int acknowledge(void *opaque)
{
    __atomic_store_n(&pending, false, __ATOMIC_RELEASE);
    return VECTOR;
}

static const VcpuIntrOps intr_ops = {.pending = is_pending, .ack = acknowledge};

static void set_up(Rig *rig, const Workload *w)
{
    uint64_t *gate = (uint64_t *)rig_mem(rig, IDT + 16 * VECTOR);

    rig_code(rig, w->code, (size_t)(w->end - w->code));
    rig_mode(rig, 0, 64); /* with gates of its own */
    memcpy(rig_mem(rig, HANDLER), handler, (size_t)(handler_end - handler));
    gate[0] = (HANDLER & 0xffff) | (uint64_t)RIG_CS64 << 16 | 0x8eull << 40 | (uint64_t)(HANDLER >> 16) << 48;
    gate[1] = 0;
    rig->machine->vcpus[0]->intr = &intr_ops;
}

static void *run(void *opaque)
{
    rig_run(opaque, 0);
    return NULL;
}

static uint64_t stamp_of(Rig *rig)
{
    return __atomic_load_n((uint64_t *)rig_mem(rig, STAMP), __ATOMIC_ACQUIRE);
}

static int64_t now_ns(clockid_t id)
{
    struct timespec t;

    clock_gettime(id, &t);
    return t.tv_sec * (int64_t)1000000000 + t.tv_nsec;
}

/* How long the threads have waited for a CPU, together. */
static int64_t waited_ns(clockid_t vcpu)
{
    int64_t mine = now_ns(CLOCK_THREAD_CPUTIME_ID), its = now_ns(vcpu);

    return 2 * now_ns(CLOCK_MONOTONIC) - mine - its;
}

/* One interrupt: time stamp counts from the request to the handler; false: somebody had to wait. */
static bool sample(Rig *rig, clockid_t vcpu, uint64_t *count)
{
    uint64_t before = stamp_of(rig), after, start;
    int64_t waited = waited_ns(vcpu);

    start = __builtin_ia32_rdtsc();
    __atomic_store_n(&pending, true, __ATOMIC_RELEASE);
    vcpu_request(rig->machine->vcpus[0], VCPU_REQ_INTR);
    while ((after = stamp_of(rig)) == before)
        __builtin_ia32_pause();
    *count = after - rig_state(rig, 0)->tsc_offset - start;
    return waited_ns(vcpu) - waited < WAITED_NS;
}

static int compare(const void *a, const void *b)
{
    const uint64_t *x = a, *y = b;

    return (*x > *y) - (*x < *y);
}

static void report(const Workload *w, uint64_t *counts, unsigned samples, unsigned waited, double ns)
{
    qsort(counts, samples, sizeof(*counts), compare);
    printf("interrupts %-17s median %5.2f us, 90%% %5.2f us, 99%% %5.2f us, longest %5.2f us; of %u, %u more waited\n", w->name,
           (double)counts[samples / 2] * ns / 1e3, (double)counts[samples * 9 / 10] * ns / 1e3,
           (double)counts[samples * 99 / 100] * ns / 1e3, (double)counts[samples - 1] * ns / 1e3, samples, waited);
    fflush(stdout);
}

static void measure(Rig *rig, const Workload *w, uint64_t *counts, unsigned samples)
{
    const uint64_t *rounds = rig_mem(rig, RIG_DATA);
    unsigned taken = 0, tried = 0;
    int64_t start_ns;
    uint64_t start;
    clockid_t vcpu;
    pthread_t thread;

    set_up(rig, w);
    if (!thread_create(&thread, "vcpu", run, rig, NULL) || pthread_getcpuclockid(thread, &vcpu))
        exit(1);
    while (__atomic_load_n(rounds, __ATOMIC_ACQUIRE) < 100)
        g_usleep(100);
    start_ns = now_ns(CLOCK_MONOTONIC);
    start = __builtin_ia32_rdtsc();
    for (; taken < samples && tried < 20 * samples; tried++) {
        g_usleep(20);
        taken += sample(rig, vcpu, &counts[taken]);
    }
    if (taken)
        report(w, counts, taken, tried - taken,
               (double)(now_ns(CLOCK_MONOTONIC) - start_ns) / (double)(__builtin_ia32_rdtsc() - start));
    rig->stopped[0] = -1;
    vcpu_request(rig->machine->vcpus[0], VCPU_REQ_PAUSE);
    pthread_join(thread, NULL);
}

int main(int argc, char **argv)
{
    unsigned samples = CLAMP(argc > 1 ? (unsigned)strtoul(argv[1], NULL, 0) : 5000, 100, SAMPLES_MAX);
    g_autofree uint64_t *counts = g_new(uint64_t, samples);
    Rig *rig;

    core_init();
    g_setenv("RIG_TIER", "translate", false);
    for (unsigned i = 0; i < G_N_ELEMENTS(workloads); i++) {
        rig = rig_new(1);
        measure(rig, &workloads[i], counts, samples);
        rig_free(rig);
    }
    return 0;
}
