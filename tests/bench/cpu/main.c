/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Runs the kernels natively and as a guest's program: one static binary for both.
 *
 *     cpu-kernels --list          name, class and whether this CPU has what it takes, a line each
 *     cpu-kernels --check         runs each once and compares its result; TAP
 *     cpu-kernels --serve         reads "NAME THREADS" lines and answers each with
 *                                 "= NAME RESULT WALL-NS CPU-NS" or "! NAME reason"
 *
 * CPU-NS is the time of this process and the children it has waited for.
 */
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

#include "kernels.h"

#define MAX_THREADS 16u

typedef struct Work {
    const Kernel *kernel;
    void *scratch;
    uint64_t result;
    pthread_t thread;
} Work;

static const Kernel *const tables[] = {integer_kernels, program_kernels, vector_kernels, memory_kernels,
                                       system_kernels};
#define TABLES (sizeof(tables) / sizeof(tables[0]))

static bool available(const Kernel *kernel)
{
    return !kernel->available || kernel->available();
}

static const Kernel *find(const char *name)
{
    for (size_t t = 0; t < TABLES; t++) {
        for (const Kernel *k = tables[t]; k->name; k++) {
            if (strcmp(k->name, name) == 0)
                return k;
        }
    }
    return NULL;
}

static void *scratch_new(void)
{
    void *memory = mmap(NULL, SCRATCH_SIZE, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);

    if (memory == MAP_FAILED) {
        perror("mmap");
        exit(1);
    }
    return memory;
}

static uint64_t now_ns(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static uint64_t cpu_ns(void)
{
    struct timespec t;
    struct rusage children;

    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    getrusage(RUSAGE_CHILDREN, &children);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec +
           (uint64_t)(children.ru_utime.tv_sec + children.ru_stime.tv_sec) * 1000000000u +
           (uint64_t)(children.ru_utime.tv_usec + children.ru_stime.tv_usec) * 1000u;
}

static void *work_run(void *opaque)
{
    Work *work = opaque;

    work->result = work->kernel->run(work->scratch, work->kernel->rounds);
    return NULL;
}

/* One request; the answer goes to stdout in one write. */
static void serve(Work *works, const char *name, unsigned threads)
{
    const Kernel *kernel = find(name);
    uint64_t wall, cpu;
    bool wrong = false;

    if (!kernel || threads < 1 || threads > MAX_THREADS) {
        printf("! %s unknown kernel or number of threads\n", name);
        return;
    }
    if (!available(kernel)) {
        printf("! %s not on this CPU\n", name);
        return;
    }
    for (unsigned i = 0; i < threads; i++) {
        works[i].kernel = kernel;
        if (!works[i].scratch)
            works[i].scratch = scratch_new();
    }
    wall = now_ns();
    cpu = cpu_ns();
    for (unsigned i = 1; i < threads; i++) {
        if (pthread_create(&works[i].thread, NULL, work_run, &works[i]) != 0)
            abort();
    }
    work_run(&works[0]);
    for (unsigned i = 1; i < threads; i++) {
        pthread_join(works[i].thread, NULL);
        wrong |= works[i].result != works[0].result;
    }
    wall = now_ns() - wall;
    cpu = cpu_ns() - cpu;
    if (wrong)
        printf("! %s the threads' results differ\n", name);
    else
        printf("= %s %016" PRIx64 " %" PRIu64 " %" PRIu64 "\n", name, works[0].result, wall, cpu);
}

/* A console is to pass lines through and nothing else. */
static void quiet_terminal(void)
{
    struct termios modes;

    if (tcgetattr(STDIN_FILENO, &modes) != 0)
        return;
    modes.c_lflag &= ~(tcflag_t)ECHO;
    modes.c_oflag &= ~(tcflag_t)OPOST;
    tcsetattr(STDIN_FILENO, TCSANOW, &modes);
}

static int serve_all(void)
{
    static Work works[MAX_THREADS];
    char line[128], name[64];
    unsigned threads;

    quiet_terminal();
    setvbuf(stdout, NULL, _IOFBF, 1024);
    printf("= ready\n");
    fflush(stdout);
    while (fgets(line, sizeof(line), stdin)) {
        if (sscanf(line, "%63s %u", name, &threads) == 2)
            serve(works, name, threads);
        else
            printf("! ? a line is a name and a number of threads\n");
        fflush(stdout);
    }
    return 0;
}

static int list(void)
{
    for (size_t t = 0; t < TABLES; t++) {
        for (const Kernel *k = tables[t]; k->name; k++)
            printf("%s %s %s\n", k->name, k->class, available(k) ? "yes" : "no");
    }
    return 0;
}

static int check(void)
{
    void *scratch = scratch_new();
    unsigned number = 0;
    bool failed = false;

    for (size_t t = 0; t < TABLES; t++) {
        for (const Kernel *k = tables[t]; k->name; k++) {
            uint64_t start, result;

            number++;
            if (!available(k)) {
                printf("ok %u - %s # SKIP not on this CPU\n", number, k->name);
                continue;
            }
            fflush(stdout);
            start = now_ns();
            result = k->run(scratch, k->rounds);
            printf("%s %u - %s\n# %.1f ms\n", result == k->expect ? "ok" : "not ok", number, k->name,
                   (double)(now_ns() - start) / 1e6);
            if (result != k->expect) {
                printf("# 0x%016" PRIx64 " instead of 0x%016" PRIx64 "\n", result, k->expect);
                failed = true;
            }
        }
    }
    printf("1..%u\n", number);
    return failed;
}

int main(int argc, char **argv)
{
    if (argc == 2 && strcmp(argv[1], "--nothing") == 0)
        return 0; /* what the kernel "exec" executes */
    if (argc == 2 && strcmp(argv[1], "--list") == 0)
        return list();
    if (argc == 2 && strcmp(argv[1], "--check") == 0)
        return check();
    if (argc == 2 && strcmp(argv[1], "--serve") == 0)
        return serve_all();
    fprintf(stderr, "usage: cpu-kernels --list|--check|--serve\n");
    return 2;
}
