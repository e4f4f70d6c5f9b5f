/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What goes through the kernel: system calls, page faults, processes, switches between them, signals.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "kernels.h"

#define PAGE 4096u

static uint64_t run_syscall(void *scratch, unsigned rounds)
{
    uint64_t sum = 0;

    for (unsigned r = 0; r < rounds; r++)
        sum += syscall(SYS_getppid) >= 0;
    return sum;
}

static uint64_t run_page_fault(void *scratch, unsigned rounds)
{
    uint64_t sum = 0;

    for (unsigned r = 0; r < rounds; r++) {
        uint8_t *memory = mmap(NULL, 256 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

        if (memory == MAP_FAILED)
            abort();
        madvise(memory, 256 * PAGE, MADV_NOHUGEPAGE);
        for (unsigned i = 0; i < 256; i++)
            memory[i * PAGE] = (uint8_t)i;
        for (unsigned i = 0; i < 256; i++)
            sum += memory[i * PAGE];
        munmap(memory, 256 * PAGE);
    }
    return sum;
}

/* Waits for the child and returns its status; ends here if there is none. */
static uint64_t status_of(pid_t child)
{
    int status;

    if (child < 0 || waitpid(child, &status, 0) != child || !WIFEXITED(status))
        abort();
    return (uint64_t)WEXITSTATUS(status);
}

static uint64_t run_fork(void *scratch, unsigned rounds)
{
    uint64_t sum = 0;

    for (unsigned r = 0; r < rounds; r++) {
        pid_t child = fork();

        if (child == 0)
            _exit((int)(r & 63));
        sum += status_of(child);
    }
    return sum;
}

static uint64_t run_exec(void *scratch, unsigned rounds)
{
    uint64_t sum = 0;

    for (unsigned r = 0; r < rounds; r++) {
        char *arguments[] = {"cpu-kernels", "--nothing", NULL};
        pid_t child = -1;

        posix_spawn(&child, "/proc/self/exe", NULL, NULL, arguments, environ);
        sum += status_of(child) + 1;
    }
    return sum;
}

/* A byte goes to and fro between two processes on one CPU. */
static uint64_t run_switch(void *scratch, unsigned rounds)
{
    int to[2], from[2];
    cpu_set_t before, one;
    uint8_t byte = 0;
    pid_t child;
    int cpu = 0;

    sched_getaffinity(0, sizeof(before), &before);
    while (!CPU_ISSET(cpu, &before))
        cpu++;
    CPU_ZERO(&one);
    CPU_SET(cpu, &one);
    sched_setaffinity(0, sizeof(one), &one);
    if (pipe(to) || pipe(from))
        abort();
    child = fork();
    if (child == 0) {
        close(to[1]);
        while (read(to[0], &byte, 1) == 1) {
            byte++;
            if (write(from[1], &byte, 1) != 1)
                _exit(1);
        }
        _exit(0);
    }
    for (unsigned r = 0; r < rounds; r++) {
        if (write(to[1], &byte, 1) != 1 || read(from[0], &byte, 1) != 1)
            abort();
    }
    close(to[1]);
    byte = (uint8_t)(byte + status_of(child));
    close(to[0]);
    close(from[0]);
    close(from[1]);
    sched_setaffinity(0, sizeof(before), &before);
    return byte;
}

static __thread volatile uint64_t signals;

static void on_signal(int number)
{
    signals++;
}

static uint64_t run_signal(void *scratch, unsigned rounds)
{
    struct sigaction action = {.sa_handler = on_signal};

    sigaction(SIGUSR1, &action, NULL);
    signals = 0;
    for (unsigned r = 0; r < rounds; r++)
        raise(SIGUSR1);
    return signals;
}

/* Files in memory: names, reads, writes. */
static uint64_t run_files(void *scratch, unsigned rounds)
{
    uint8_t *data = scratch;
    struct stat info;
    uint64_t sum = 0;
    int fd = memfd_create("files", MFD_CLOEXEC);

    if (fd < 0)
        abort();
    memset(data, 'f', PAGE);
    for (unsigned r = 0; r < rounds; r++) {
        int null = open("/dev/null", O_WRONLY);

        if (pwrite(fd, data, PAGE, (off_t)(r & 63) * PAGE) != (ssize_t)PAGE || fstat(fd, &info) ||
            pread(fd, data, 512, (off_t)(r & 63) * 512) != 512 || write(null, data, 100) != 100 || close(null))
            abort();
        sum += (uint64_t)info.st_size + data[r & 511];
    }
    close(fd);
    return sum;
}

static uint64_t run_clock(void *scratch, unsigned rounds)
{
    struct timespec last = {0}, now;
    uint64_t backwards = 0;

    for (unsigned r = 0; r < rounds; r++) {
        clock_gettime(CLOCK_MONOTONIC, &now);
        backwards += now.tv_sec < last.tv_sec || (now.tv_sec == last.tv_sec && now.tv_nsec < last.tv_nsec);
        last = now;
    }
    return backwards;
}

const Kernel system_kernels[] = {
    {"syscall", "system", run_syscall, 150000, 0x249f0, NULL},
    {"page-fault", "system", run_page_fault, 80, 0x27d800, NULL},
    {"fork", "system", run_fork, 100, 0xa56, NULL},
    {"exec", "system", run_exec, 100, 0x64, NULL},
    {"switch", "system", run_switch, 6000, 0x70, NULL},
    {"signal", "system", run_signal, 15000, 0x3a98, NULL},
    {"files", "system", run_files, 6000, 0x5d4b56a0, NULL},
    {"clock", "system", run_clock, 600000, 0, NULL},
    {NULL},
};
