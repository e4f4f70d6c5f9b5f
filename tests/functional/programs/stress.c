/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A Linux program that leans on what a translator gets wrong first: processes, memory that changes under
 * them, signals in the middle of code, ptrace, code that rewrites itself, registers across switches.
 *
 * It prints TAP that is the same wherever it runs, so its output in a guest is compared with a native
 * run's (test_dbt_linux.py). Static, or with a C library of either size.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

#define PAGE 4096u

static unsigned tests;

static void result(bool ok, const char *name, long value)
{
    printf("%s %u - %s: %ld\n", ok ? "ok" : "not ok", ++tests, name, value);
    fflush(stdout);
}

static int status_of(pid_t child)
{
    int status = -1;

    if (child < 0 || waitpid(child, &status, 0) != child)
        return -1;
    return WIFEXITED(status) ? WEXITSTATUS(status) : 1000 + WTERMSIG(status);
}

static uint8_t *map(size_t size, int protection, int flags)
{
    void *memory = mmap(NULL, size, protection, flags | MAP_ANONYMOUS, -1, 0);

    if (memory == MAP_FAILED) {
        perror("mmap");
        exit(1);
    }
    return memory;
}

/* --- Processes --- */

static void forks(void)
{
    enum { CHILDREN = 60 };
    pid_t children[CHILDREN];
    long sum = 0;

    for (int i = 0; i < CHILDREN; i++) {
        children[i] = fork();
        if (children[i] == 0)
            _exit(i);
    }
    for (int i = 0; i < CHILDREN; i++)
        sum += status_of(children[i]);
    result(sum == CHILDREN * (CHILDREN - 1) / 2, "statuses of children", sum);
}

static long fork_tree(int depth)
{
    long count = 1;

    for (int i = 0; depth > 0 && i < 2; i++) {
        int ends[2];
        long below = 0;
        pid_t child;

        if (pipe(ends))
            return -1;
        child = fork();
        if (child == 0) {
            below = fork_tree(depth - 1);
            _exit(write(ends[1], &below, sizeof(below)) != sizeof(below));
        }
        if (read(ends[0], &below, sizeof(below)) != sizeof(below) || status_of(child) != 0)
            return -1;
        close(ends[0]);
        close(ends[1]);
        count += below;
    }
    return count;
}

static void execs(const char *self)
{
    pid_t child = fork();

    if (child == 0) {
        execl(self, "stress", "chain", "30", (char *)NULL);
        _exit(99);
    }
    result(status_of(child) == 7, "end of a chain of execs", 7);
}

static int chain(const char *self, int left)
{
    char text[16];

    if (left == 0)
        return 7;
    snprintf(text, sizeof(text), "%d", left - 1);
    execl(self, "stress", "chain", text, (char *)NULL);
    return 99;
}

/* --- Memory --- */

static void copy_on_write(void)
{
    uint8_t *memory = map(64 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE);
    long wrong = 0;

    memset(memory, 1, 64 * PAGE);
    for (int round = 0; round < 10; round++) {
        pid_t child = fork();

        if (child == 0) {
            for (unsigned i = 0; i < 64; i++)
                memory[i * PAGE + round] = 2;
            _exit(memory[63 * PAGE + round] == 2 ? 0 : 1);
        }
        for (unsigned i = 0; i < 64; i += 2)
            memory[i * PAGE + 100 + round] = 3;
        wrong += status_of(child);
    }
    for (unsigned i = 0; i < 64; i++) {
        for (int round = 0; round < 10; round++)
            wrong += memory[i * PAGE + round] != 1;
    }
    munmap(memory, 64 * PAGE);
    result(wrong == 0, "writes of children that stay theirs", wrong);
}

static void shared_memory(void)
{
    _Atomic long *counter = (_Atomic long *)(void *)map(PAGE, PROT_READ | PROT_WRITE, MAP_SHARED);
    pid_t children[4];

    for (int i = 0; i < 4; i++) {
        children[i] = fork();
        if (children[i] == 0) {
            for (int n = 0; n < 20000; n++)
                atomic_fetch_add(counter, 1);
            _exit(0);
        }
    }
    for (int i = 0; i < 4; i++)
        status_of(children[i]);
    result(*counter == 80000, "additions of four processes", *counter);
    munmap((void *)(uintptr_t)counter, PAGE);
}

static sigjmp_buf escape;
static volatile sig_atomic_t faults;
static void *volatile fault_address;

static void on_fault(int number, siginfo_t *info, void *context)
{
    faults++;
    fault_address = info->si_addr;
    siglongjmp(escape, 1);
}

static void catch(int number)
{
    struct sigaction action = {.sa_sigaction = on_fault, .sa_flags = SA_SIGINFO | SA_NODEFER};

    sigaction(number, &action, NULL);
}

/* Whether touching the byte faults, at its own address. */
static bool faulting(volatile uint8_t *at, bool write)
{
    if (sigsetjmp(escape, 1))
        return fault_address == (void *)(uintptr_t)at;
    if (write)
        *at = 1;
    else
        (void)*at;
    return false;
}

static void protection(void)
{
    uint8_t *memory = map(16 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE);
    long good = 0;

    catch(SIGSEGV);
    for (int round = 0; round < 50; round++) {
        unsigned at = round % 14 * PAGE + 77;

        memory[at] = 5;
        mprotect(memory, 16 * PAGE, PROT_READ);
        good += !faulting(memory + at, false) && faulting(memory + at, true);
        mprotect(memory, 16 * PAGE, PROT_NONE);
        good += faulting(memory + at, false);
        mprotect(memory, 16 * PAGE, PROT_READ | PROT_WRITE);
        good += memory[at] == 5 && !faulting(memory + at, true);
    }
    munmap(memory, 16 * PAGE);
    good += faulting(memory, false);
    result(good == 151, "protection that changes", good);
}

static void moved_memory(void)
{
    uint8_t *memory = map(8 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE), *moved, *place;
    long good = 0;

    for (int round = 0; round < 20; round++) {
        memory[3 * PAGE] = (uint8_t)round;
        place = map(8 * PAGE, PROT_NONE, MAP_PRIVATE);
        moved = mremap(memory, 8 * PAGE, 8 * PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, place);
        good += moved == place && moved[3 * PAGE] == (uint8_t)round && faulting(memory + 3 * PAGE, false);
        memory = moved;
    }
    munmap(memory, 8 * PAGE);
    result(good == 20, "memory that moves", good);
}

/* --- Signals --- */

static volatile sig_atomic_t alarms;

static void on_alarm(int number)
{
    alarms++;
}

/* A computation that a timer interrupts wherever it likes. */
static void interrupted_work(void)
{
    struct sigaction action = {.sa_handler = on_alarm};
    struct itimerval timer = {{0, 500}, {0, 500}}, off = {{0, 0}, {0, 0}};
    uint64_t x = 1, sum = 0;
    double y = 1;

    sigaction(SIGALRM, &action, NULL);
    setitimer(ITIMER_REAL, &timer, NULL);
    for (unsigned i = 0; i < 3000000 || alarms < 20; i++) {
        x = x * 6364136223846793005u + 1442695040888963407u;
        y = y * 1.0000001 + 1e-9;
        if (i == 2999999)
            sum = x + (y > 1);
    }
    setitimer(ITIMER_REAL, &off, NULL);
    result(alarms >= 20, "work between signals", (long)(sum >> 33));
}

static int order[64];
static volatile sig_atomic_t received;

static void on_queued(int number, siginfo_t *info, void *context)
{
    order[received++] = info->si_value.sival_int;
}

static void queued_signals(void)
{
    struct sigaction action = {.sa_sigaction = on_queued, .sa_flags = SA_SIGINFO};
    sigset_t set;
    long good = 0;

    sigaction(SIGRTMIN, &action, NULL);
    sigemptyset(&set);
    sigaddset(&set, SIGRTMIN);
    sigprocmask(SIG_BLOCK, &set, NULL);
    for (int i = 0; i < 50; i++)
        sigqueue(getpid(), SIGRTMIN, (union sigval){.sival_int = i});
    sigprocmask(SIG_UNBLOCK, &set, NULL);
    for (int i = 0; i < 50; i++)
        good += order[i] == i;
    result(received == 50 && good == 50, "queued signals in order", good);
}

#define FAULT_OF(name, assembly)                                        \
    static bool name(void)                                              \
    {                                                                   \
        if (sigsetjmp(escape, 1))                                       \
            return true;                                                \
        __asm__ volatile(assembly : : : "eax", "ecx", "edx", "memory"); \
        return false;                                                   \
    }
FAULT_OF(divides_by_zero, "xorl %%ecx, %%ecx\n xorl %%edx, %%edx\n movl $1, %%eax\n divl %%ecx")
FAULT_OF(is_undefined, "ud2")
FAULT_OF(is_privileged, "hlt")
FAULT_OF(breaks, "int3")

static void exceptions(void)
{
    static const int numbers[] = {SIGFPE, SIGILL, SIGSEGV, SIGTRAP, SIGBUS};
    long count = 0;

    for (unsigned i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++)
        catch(numbers[i]);
    for (int round = 0; round < 20; round++)
        count += divides_by_zero() + is_undefined() + is_privileged() + breaks();
    result(count == 80, "exceptions", count);
}

static void alternate_stack(void)
{
    stack_t stack = {.ss_sp = map(16 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE), .ss_size = 16 * PAGE};
    struct sigaction action = {.sa_sigaction = on_fault, .sa_flags = SA_SIGINFO | SA_ONSTACK | SA_NODEFER};
    uint8_t *guard = map(PAGE, PROT_NONE, MAP_PRIVATE);
    long good = 0;

    sigaltstack(&stack, NULL);
    sigaction(SIGSEGV, &action, NULL);
    for (int i = 0; i < 20; i++)
        good += faulting(guard, true);
    result(good == 20, "faults on another stack", good);
    munmap(guard, PAGE);
}

/* --- ptrace --- */

#ifdef __x86_64__
#define PROGRAM_COUNTER offsetof(struct user_regs_struct, rip)
#else
#define PROGRAM_COUNTER offsetof(struct user_regs_struct, eip)
#endif

void traced(void);
extern char traced_end[];
__asm__(".pushsection .text\n"
        ".globl traced, traced_end\n"
        "traced: movl $100, %ecx\n"
        "1: decl %ecx\n"
        "jnz 1b\n"
        "traced_end: ret\n"
        ".popsection");

static pid_t traced_child(void)
{
    pid_t child = fork();
    int status;

    if (child == 0) {
        ptrace(PTRACE_TRACEME, 0, NULL, NULL);
        raise(SIGSTOP);
        traced();
        for (int i = 0; i < 25; i++)
            syscall(SYS_getppid);
        _exit(3);
    }
    waitpid(child, &status, 0);
    return child;
}

static long steps_in(pid_t child)
{
    long steps = 0;
    int status = 0;

    for (unsigned i = 0; i < 100000; i++) {
        uintptr_t at = (uintptr_t)ptrace(PTRACE_PEEKUSER, child, PROGRAM_COUNTER, NULL);

        if (at == (uintptr_t)traced_end)
            return steps;
        steps += at >= (uintptr_t)traced && at < (uintptr_t)traced_end;
        if (ptrace(PTRACE_SINGLESTEP, child, NULL, NULL) || waitpid(child, &status, 0) != child || !WIFSTOPPED(status))
            return -1;
    }
    return -2;
}

static void traced_steps(void)
{
    pid_t child = traced_child();
    long steps = steps_in(child), calls = 0;
    int status = 0;

    result(steps == 201, "single steps through a loop", steps);
    while (ptrace(PTRACE_SYSCALL, child, NULL, NULL) == 0 && waitpid(child, &status, 0) == child && WIFSTOPPED(status))
        calls++;
    result(calls >= 50 && WIFEXITED(status) && WEXITSTATUS(status) == 3, "stops at system calls", calls);
}

static void traced_breakpoint(void)
{
    pid_t child = traced_child();
    long old = ptrace(PTRACE_PEEKTEXT, child, (void *)(uintptr_t)traced_end, NULL);
    uintptr_t at = 0;
    int status = 0;

    ptrace(PTRACE_POKETEXT, child, (void *)(uintptr_t)traced_end, (void *)((old & ~0xffl) | 0xcc));
    ptrace(PTRACE_CONT, child, NULL, NULL);
    waitpid(child, &status, 0);
    if (WIFSTOPPED(status) && WSTOPSIG(status) == SIGTRAP)
        at = (uintptr_t)ptrace(PTRACE_PEEKUSER, child, PROGRAM_COUNTER, NULL) - 1;
    ptrace(PTRACE_POKETEXT, child, (void *)(uintptr_t)traced_end, (void *)old);
    ptrace(PTRACE_POKEUSER, child, PROGRAM_COUNTER, (void *)(uintptr_t)traced_end);
    ptrace(PTRACE_CONT, child, NULL, NULL);
    result(at == (uintptr_t)traced_end && status_of(child) == 3, "a breakpoint written into code", 3);
}

/* --- Code that changes --- */

/* mov eax, number; ret */
static void write_function(uint8_t *at, uint32_t number)
{
    at[0] = 0xb8;
    memcpy(at + 1, &number, 4);
    at[5] = 0xc3;
}

typedef uint32_t (*Function)(void);

static void rewritten_code(void)
{
    uint8_t *code = map(2 * PAGE, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE);
    long good = 0;

    for (uint32_t i = 0; i < 3000; i++) {
        uint8_t *at = code + PAGE - 8 + i % 16; /* also across the page's end */

        write_function(at, i * 77);
        good += ((Function)(void *)at)() == i * 77;
    }
    result(good == 3000, "functions rewritten before each call", good);
    munmap(code, 2 * PAGE);
}

/* The same code at two addresses: written at one, run at the other. */
static void aliased_code(void)
{
    int fd = memfd_create("code", 0);
    uint8_t *write, *run;
    long good = 0;

    if (ftruncate(fd, PAGE))
        exit(1);
    write = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    run = mmap(NULL, PAGE, PROT_READ | PROT_EXEC, MAP_SHARED, fd, 0);
    for (uint32_t i = 0; i < 1000; i++) {
        write_function(write + i % 64, i);
        good += ((Function)(void *)(run + i % 64))() == i;
    }
    result(good == 1000, "functions written at another address", good);
    munmap(write, PAGE);
    munmap(run, PAGE);
    close(fd);
}

static uint8_t *crossed;
static _Atomic uint32_t crossed_turn;

static void *crossing_thread(void *opaque)
{
    for (uint32_t i = 1; i <= 400; i++) {
        while (atomic_load(&crossed_turn) != 2 * i - 1)
            sched_yield();
        write_function(crossed, i);
        atomic_store(&crossed_turn, 2 * i);
    }
    return NULL;
}

static void serialize(void)
{
    unsigned a = 0, b, c = 0, d;

    __asm__ volatile("cpuid" : "+a"(a), "=b"(b), "+c"(c), "=d"(d) : : "memory");
}

static void cross_modified_code(void)
{
    pthread_t thread;
    long good = 0;

    crossed = map(PAGE, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE);
    pthread_create(&thread, NULL, crossing_thread, NULL);
    for (uint32_t i = 1; i <= 400; i++) {
        atomic_store(&crossed_turn, 2 * i - 1);
        while (atomic_load(&crossed_turn) != 2 * i)
            sched_yield();
        serialize();
        good += ((Function)(void *)crossed)() == i;
    }
    pthread_join(thread, NULL);
    result(good == 400, "functions written by another thread", good);
}

/* --- Registers across switches, threads --- */

static bool vectors_hold(uint32_t seed)
{
    uint32_t in[4] = {seed, seed * 3, seed * 5, seed * 7}, out[4];
    double x = seed, y;

    for (int i = 0; i < 300; i++) {
        __asm__ volatile("movups %2, %%xmm5\n fldl %3\n"
                         "movl $2000, %%ecx\n 1: decl %%ecx\n jnz 1b\n"
                         "fstpl %1\n movups %%xmm5, %0"
                         : "=m"(out), "=m"(y) : "m"(in), "m"(x) : "ecx", "xmm5");
        if (memcmp(in, out, sizeof(in)) || y != x)
            return false;
        sched_yield();
    }
    return true;
}

static void kept_registers(void)
{
    pid_t children[6];
    long good = 0;

    for (int i = 0; i < 6; i++) {
        children[i] = fork();
        if (children[i] == 0)
            _exit(vectors_hold(0x1234567u * (unsigned)(i + 1)) ? 1 : 0);
    }
    for (int i = 0; i < 6; i++)
        good += status_of(children[i]);
    result(good == 6, "vector and x87 registers across switches", good);
}

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static long turns, locked_sum;

static void *turning_thread(void *opaque)
{
    long mine = (long)(intptr_t)opaque;

    for (int i = 0; i < 300; i++) {
        pthread_mutex_lock(&lock);
        while (turns % 4 != mine)
            pthread_cond_wait(&changed, &lock);
        turns++;
        locked_sum += mine * i;
        pthread_cond_broadcast(&changed);
        pthread_mutex_unlock(&lock);
    }
    return NULL;
}

static void threads(void)
{
    pthread_t thread[4];

    for (long i = 0; i < 4; i++)
        pthread_create(&thread[i], NULL, turning_thread, (void *)(intptr_t)i);
    for (int i = 0; i < 4; i++)
        pthread_join(thread[i], NULL);
    result(turns == 1200, "threads that take turns", locked_sum);
}

int main(int argc, char **argv)
{
    if (argc == 3 && strcmp(argv[1], "chain") == 0)
        return chain("/proc/self/exe", (int)strtol(argv[2], NULL, 10));
    forks();
    result(fork_tree(5) == 63, "processes in a tree", 63);
    execs("/proc/self/exe");
    copy_on_write();
    shared_memory();
    protection();
    moved_memory();
    interrupted_work();
    queued_signals();
    exceptions();
    alternate_stack();
    traced_steps();
    traced_breakpoint();
    rewritten_code();
    aliased_code();
    cross_modified_code();
    kept_registers();
    threads();
    printf("1..%u\n", tests);
    return 0;
}
