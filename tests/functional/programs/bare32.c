/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A 32-bit Linux program without a C library: system calls by INT 80h, thread-local storage through a
 * segment of its own, processes, 64-bit arithmetic, text. Prints TAP that is the same wherever it runs.
 */
#include <stdbool.h>
#include <stdint.h>

/* Linux: arch/x86/entry/syscalls/syscall_32.tbl. Its headers are for the host's size. */
enum { NR_EXIT = 1, NR_FORK = 2, NR_WRITE = 4, NR_WAITPID = 7, NR_SET_THREAD_AREA = 243 };

/* arch/x86/include/uapi/asm/ldt.h */
struct user_desc {
    uint32_t entry_number, base_addr, limit;
    uint32_t seg_32bit : 1, contents : 2, read_exec_only : 1, limit_in_pages : 1, seg_not_present : 1, useable : 1;
};

static long call(long number, long a, long b, long c)
{
    long value;

    __asm__ volatile("int $0x80" : "=a"(value) : "a"(number), "b"(a), "c"(b), "d"(c) : "memory");
    return value;
}

static char line[128];
static unsigned used, tests;

static void put(const char *text)
{
    while (*text)
        line[used++] = *text++;
}

static void put_number(uint32_t value)
{
    char digits[12];
    unsigned count = 0;

    do
        digits[count++] = (char)('0' + value % 10);
    while (value /= 10);
    while (count)
        line[used++] = digits[--count];
}

static void result(bool ok, const char *name, uint32_t value)
{
    used = 0;
    put(ok ? "ok " : "not ok ");
    put_number(++tests);
    put(" - ");
    put(name);
    put(": ");
    put_number(value);
    put("\n");
    call(NR_WRITE, 1, (long)line, (long)used);
}

/* Division of 64-bit numbers by hand, as a library's does. */
static uint32_t remainder_of(uint64_t value, uint32_t by)
{
    uint32_t high = (uint32_t)(value >> 32) % by, low = (uint32_t)value, quotient;

    __asm__("divl %3" : "=a"(quotient), "=d"(high) : "0"(low), "rm"(by), "1"(high));
    return high;
}

static void arithmetic(void)
{
    uint64_t x = 1;
    uint32_t sum = 0;

    for (unsigned i = 0; i < 100000; i++) {
        x = x * 6364136223846793005u + 1442695040888963407u;
        sum += remainder_of(x, 1000003) ^ (uint32_t)(x >> 45);
    }
    result(sum == 3946777265u, "64-bit arithmetic", sum);
}

static uint32_t primes[2000];

static void memory(void)
{
    unsigned count = 0;

    for (uint32_t n = 2; count < 2000; n++) {
        bool prime = true;

        for (unsigned i = 0; i < count && primes[i] * primes[i] <= n && prime; i++)
            prime = n % primes[i] != 0;
        if (prime)
            primes[count++] = n;
    }
    result(primes[1999] == 17389, "the 2000th prime", primes[1999]);
}

static void processes(void)
{
    uint32_t sum = 0;
    int status;

    for (int i = 0; i < 20; i++) {
        long child = call(NR_FORK, 0, 0, 0);

        if (child == 0)
            call(NR_EXIT, i, 0, 0);
        status = -1;
        call(NR_WAITPID, child, (long)&status, 0);
        sum += (uint32_t)status >> 8;
    }
    result(sum == 190, "statuses of children", sum);
}

static void segment(void)
{
    static uint32_t area[4] = {1, 2, 3, 4};
    struct user_desc desc = {.entry_number = -1u, .base_addr = (unsigned)(uintptr_t)area, .limit = 15, .seg_32bit = 1,
                             .useable = 1};
    uint32_t got = 0;

    call(NR_SET_THREAD_AREA, (long)&desc, 0, 0);
    __asm__ volatile("movw %w1, %%gs\n movl %%gs:8, %0" : "=r"(got) : "r"(desc.entry_number << 3 | 3));
    result(got == 3, "a segment of its own", got);
}

static void x87(void)
{
    double sum = 0;

    for (int i = 1; i <= 1000; i++)
        sum += 1.0 / i;
    result((uint32_t)(sum * 1e6) == 7485470, "x87", (uint32_t)(sum * 1e6));
}

void start(void)
{
    arithmetic();
    memory();
    processes();
    segment();
    x87();
    used = 0;
    put("1..");
    put_number(tests);
    put("\n");
    call(NR_WRITE, 1, (long)line, (long)used);
    call(NR_EXIT, 0, 0, 0);
}

__asm__(".globl _start\n_start: andl $-16, %esp\n call start\n hlt");
