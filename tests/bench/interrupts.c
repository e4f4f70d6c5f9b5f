/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * How long after another thread raises an interrupt its handler's first instruction runs, while the guest is in a loop:
 * in process, translated. For people to read; the bound that is tested is one of rounds (test-dbt-exec.c).
 *
 *     interrupts [SAMPLES]
 *
 * The lines "native" are of a thread that looks at a word another one stores, and then spins for 1 us, about as long as
 * a translator takes: before and behind the guests. What waits longer there waits for the host.
 *
 * All of it is done twice: as any program is, and with real-time priority, if the user may have that. Then nothing else runs on the
 * CPUs of the two threads while they do, nor fills the caches between two samples: what is slow there is the translator, or the machine below
 * the host.
 *
 * Both threads read the time stamp counter. Samples during which the host had one of the two wait for a CPU say nothing
 * about the translator: they are counted apart. On a busy host that is most of them.
 */
#include <errno.h>
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
#define NATIVE_NS 1000
#define BOUND_NS 10000.0
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

static int64_t now_ns(clockid_t id)
{
    struct timespec t;

    clock_gettime(id, &t);
    return t.tv_sec * (int64_t)1000000000 + t.tv_nsec;
}

/* Who is asked: a thread, how to ask it, and where it says when it saw that. */
typedef struct Target {
    const char *name;
    pthread_t thread;
    clockid_t clock;
    void (*ask)(struct Target *t);
    uint64_t *stamp;
    uint64_t offset; /* of its time stamp counter */
    Rig *rig;
    uint64_t word, own_stamp; /* native: ASKED, QUIT */
} Target;

enum { ASKED = 1, QUIT = 2 };

static void ask_guest(Target *t)
{
    __atomic_store_n(&pending, true, __ATOMIC_RELEASE);
    vcpu_request(t->rig->machine->vcpus[0], VCPU_REQ_INTR);
}

static void ask_native(Target *t)
{
    __atomic_store_n(&t->word, ASKED, __ATOMIC_RELEASE);
}

static void *look_at_word(void *opaque)
{
    Target *t = opaque;
    uint64_t word;

    while ((word = __atomic_load_n(&t->word, __ATOMIC_ACQUIRE)) != QUIT) {
        if (word != ASKED)
            continue;
        __atomic_store_n(&t->word, 0, __ATOMIC_RELEASE);
        __builtin_ia32_lfence(); /* not before the word was seen */
        for (int64_t until = now_ns(CLOCK_MONOTONIC) + NATIVE_NS; now_ns(CLOCK_MONOTONIC) < until;)
            ;
        __atomic_store_n(t->stamp, __builtin_ia32_rdtsc(), __ATOMIC_RELEASE);
    }
    return NULL;
}

static uint64_t stamp_of(const Target *t)
{
    return __atomic_load_n(t->stamp, __ATOMIC_ACQUIRE);
}

/* How long the threads have waited for a CPU, together. */
static int64_t waited_ns(clockid_t vcpu)
{
    int64_t mine = now_ns(CLOCK_THREAD_CPUTIME_ID), its = now_ns(vcpu);

    return 2 * now_ns(CLOCK_MONOTONIC) - mine - its;
}

/* One request: time stamp counts until it was seen; false: somebody had to wait. */
static bool sample(Target *t, uint64_t *count)
{
    uint64_t before = stamp_of(t), after, start;
    int64_t waited = waited_ns(t->clock);

    start = __builtin_ia32_rdtsc();
    t->ask(t);
    while ((after = stamp_of(t)) == before)
        __builtin_ia32_pause();
    *count = after - t->offset - start;
    return waited_ns(t->clock) - waited < WAITED_NS;
}

static int compare(const void *a, const void *b)
{
    const uint64_t *x = a, *y = b;

    return (*x > *y) - (*x < *y);
}

static void report(const Target *t, uint64_t *counts, unsigned samples, unsigned waited, double ns)
{
    unsigned within = 0;

    qsort(counts, samples, sizeof(*counts), compare);
    while (within < samples && (double)counts[within] * ns <= BOUND_NS)
        within++;
    printf("  %-17s median %5.2f us, 90%% %5.2f us, 99%% %5.2f us, %u of %u over 10 us, longest %5.2f us; %u more waited\n", t->name,
           (double)counts[samples / 2] * ns / 1e3, (double)counts[samples * 9 / 10] * ns / 1e3,
           (double)counts[samples * 99 / 100] * ns / 1e3, samples - within, samples,
           (double)counts[samples - 1] * ns / 1e3, waited);
    fflush(stdout);
}

static void take(Target *t, uint64_t *counts, unsigned samples)
{
    unsigned taken = 0, tried = 0;
    int64_t start_ns = now_ns(CLOCK_MONOTONIC);
    uint64_t start = __builtin_ia32_rdtsc();

    for (; taken < samples && tried < 20 * samples; tried++) {
        g_usleep(20);
        taken += sample(t, &counts[taken]);
    }
    if (taken)
        report(t, counts, taken, tried - taken,
               (double)(now_ns(CLOCK_MONOTONIC) - start_ns) / (double)(__builtin_ia32_rdtsc() - start));
}

static void start_thread(Target *t, void *(*fn)(void *opaque), void *opaque)
{
    if (!thread_create(&t->thread, "target", fn, opaque, NULL) || pthread_getcpuclockid(t->thread, &t->clock))
        exit(1);
}

static void measure_guest(const Workload *w, uint64_t *counts, unsigned samples)
{
    Rig *rig = rig_new(1);
    Target t = {.name = w->name, .ask = ask_guest, .stamp = rig_mem(rig, STAMP), .rig = rig};
    const uint64_t *rounds = rig_mem(rig, RIG_DATA);

    set_up(rig, w);
    start_thread(&t, run, rig);
    while (__atomic_load_n(rounds, __ATOMIC_ACQUIRE) < 100)
        g_usleep(100);
    t.offset = rig_state(rig, 0)->tsc_offset;
    take(&t, counts, samples);
    rig->stopped[0] = -1;
    vcpu_request(rig->machine->vcpus[0], VCPU_REQ_PAUSE);
    pthread_join(t.thread, NULL);
    rig_free(rig);
}

static void measure_native(uint64_t *counts, unsigned samples)
{
    Target t = {.name = "native", .ask = ask_native};

    t.stamp = &t.own_stamp;
    start_thread(&t, look_at_word, &t);
    take(&t, counts, samples);
    __atomic_store_n(&t.word, QUIT, __ATOMIC_RELEASE);
    pthread_join(t.thread, NULL);
}

static void measure_all(uint64_t *counts, unsigned samples)
{
    measure_native(counts, samples);
    for (unsigned i = 0; i < G_N_ELEMENTS(workloads); i++)
        measure_guest(&workloads[i], counts, samples);
    measure_native(counts, samples);
}

int main(int argc, char **argv)
{
    unsigned samples = CLAMP(argc > 1 ? (unsigned)strtoul(argv[1], NULL, 0) : 5000, 100, SAMPLES_MAX);
    g_autofree uint64_t *counts = g_new(uint64_t, samples);

    core_init();
    g_setenv("RIG_TIER", "translate", false);
    printf("as any program:\n");
    measure_all(counts, samples);
    errno = pthread_setschedparam(pthread_self(), SCHED_FIFO, &(struct sched_param){.sched_priority = 1});
    if (errno) {
        printf("with real-time priority: not measured (%s)\n", g_strerror(errno));
        return 0;
    }
    printf("with real-time priority:\n");
    measure_all(counts, samples);
    return 0;
}
