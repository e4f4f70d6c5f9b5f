/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * AVX-512 in a Linux program: arithmetic under masks, memory at the end of what is mapped, faults in the middle of
 * gathers, registers across signals, threads and processes, and the C library's own use of it.
 *
 * It prints TAP that is the same wherever it runs, so its output in a guest is compared with a native run's
 * (test_dbt_linux.py). Needs -mavx512f -mavx512bw -mavx512dq -mavx512vl; static.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fenv.h>
#include <immintrin.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#define PAGE 4096

static unsigned tests;

static void result(bool ok, const char *name, uint64_t value)
{
    printf("%s %u - %s: %llx\n", ok ? "ok" : "not ok", ++tests, name, (unsigned long long)value);
    fflush(stdout);
}

static __attribute__((noinline)) uint64_t digest(const void *data, size_t len)
{
    const uint8_t *bytes = data;
    uint64_t h = 0xcbf29ce484222325;

    for (size_t i = 0; i < len; i++)
        h = (h ^ bytes[i]) * 0x100000001b3;
    return h;
}

/* Two pages, the second of which must not be touched. */
static uint8_t *page_before_nothing(void)
{
    uint8_t *memory = mmap(NULL, 2 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    if (memory == MAP_FAILED || mprotect(memory + PAGE, PAGE, PROT_NONE) != 0) {
        perror("mmap");
        exit(1);
    }
    for (unsigned i = 0; i < PAGE; i++)
        memory[i] = (uint8_t)(i * 37 + 11);
    return memory;
}

/* --- Arithmetic --- */

static void arithmetic(void)
{
    __m512 sum = _mm512_setzero_ps(), x = _mm512_set1_ps(1.0f);
    __m512i bits = _mm512_set1_epi32(0x12345), index = _mm512_set_epi32(15, 3, 1, 0, 2, 9, 7, 8, 4, 5, 6, 11, 10, 13, 12, 14);
    double scalars[16];

    for (int i = 1; i < 20000; i++) {
        __mmask16 odd = _mm512_test_epi32_mask(bits, _mm512_set1_epi32(i));

        x = _mm512_mask_fmadd_round_ps(x, odd, _mm512_set1_ps(0.999f), _mm512_set1_ps(1.0f / i), _MM_FROUND_TO_ZERO | _MM_FROUND_NO_EXC);
        sum = _mm512_mask_add_ps(sum, (__mmask16)~odd, sum, _mm512_permutexvar_ps(index, x));
        bits = _mm512_ternarylogic_epi32(bits, _mm512_rolv_epi32(bits, _mm512_set1_epi32(i & 31)), _mm512_set1_epi32(i), 0x96);
        bits = _mm512_maskz_add_epi32((__mmask16)(odd | 0x5555), bits, _mm512_cvtps_epi32(x));
    }
    _mm512_storeu_pd(scalars, _mm512_add_pd(_mm512_cvtps_pd(_mm512_castps512_ps256(sum)),
                                            _mm512_cvtepi64_pd(_mm512_cvtepi32_epi64(_mm512_castsi512_si256(bits)))));
    _mm512_storeu_si512(scalars + 8, bits);
    result(true, "arithmetic under masks", digest(scalars, sizeof(scalars)));
}

static void moves(void)
{
    uint8_t in[256], out[512] = {0};
    __m512i v;

    for (unsigned i = 0; i < sizeof(in); i++)
        in[i] = (uint8_t)(i * i + 3);
    v = _mm512_loadu_si512(in);
    _mm512_mask_compressstoreu_epi32(out, 0x8f31, v);
    _mm512_storeu_si512(out + 64, _mm512_maskz_expandloadu_epi64(0xa5, in + 7));
    _mm512_mask_cvtepi32_storeu_epi8(out + 128, 0x7ffe, v);
    _mm512_mask_storeu_epi8(out + 200, 0xf0f0123456789abc, v);
    _mm256_storeu_si256((__m256i *)(out + 300), _mm256_maskz_mov_epi16(0x3c5a, _mm512_extracti64x4_epi64(v, 1)));
    _mm512_i32scatter_epi32(out + 400, _mm512_set_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 3, 3, 14, 15), v, 4);
    result(true, "compressing, narrowing and scattering stores", digest(out, sizeof(out)));
}

/* --- Memory --- */

static void masked_off(void)
{
    uint8_t *memory = page_before_nothing();
    uint64_t sum = 0;

    for (unsigned n = 0; n < 64; n++) {
        __mmask64 mask = ((__mmask64)1 << n) - 1;
        __m512i v = _mm512_maskz_loadu_epi8(mask, memory + PAGE - n);

        _mm512_mask_storeu_epi8(memory + PAGE - n, mask, _mm512_add_epi8(v, _mm512_set1_epi8(1)));
        sum += (uint64_t)_mm512_reduce_add_epi64(v);
    }
    sum += (uint64_t)_mm512_reduce_add_epi64(_mm512_maskz_loadu_epi64(0, memory + PAGE)); /* nothing at all */
    result(true, "masked-off elements beyond the end", sum + digest(memory, PAGE));
    munmap(memory, 2 * PAGE);
}

static sigjmp_buf back;
static void *volatile fault_address;
static volatile sig_atomic_t fault_signal;

static void on_fault(int sig, siginfo_t *info, void *context)
{
    (void)context;
    fault_signal = sig;
    fault_address = info->si_addr;
    siglongjmp(back, 1);
}

static void catch(int sig, void (*handler)(int, siginfo_t *, void *))
{
    struct sigaction action = {.sa_sigaction = handler, .sa_flags = SA_SIGINFO};

    sigaction(sig, &action, NULL);
}

static void faults(void)
{
    uint8_t *memory = page_before_nothing();
    uint64_t before = digest(memory, PAGE);

    catch(SIGSEGV, on_fault);
    if (!sigsetjmp(back, 1))
        _mm512_mask_storeu_epi8(memory + PAGE - 10, 0x7ff, _mm512_set1_epi8(1));
    result(fault_signal == SIGSEGV && (uint8_t *)fault_address == memory + PAGE && digest(memory, PAGE) == before,
           "a store one of whose elements faults stores nothing", (uint64_t)((uint8_t *)fault_address - memory));
    fault_signal = 0;
    if (!sigsetjmp(back, 1))
        __asm__ volatile("vmovdqa64 %%zmm0, (%0)" : : "r"(memory + 8) : "memory");
    result(fault_signal == SIGSEGV, "a misaligned store faults", (uint64_t)fault_signal);
    catch(SIGFPE, on_fault);
    fault_signal = 0;
    feenableexcept(FE_DIVBYZERO);
    if (!sigsetjmp(back, 1))
        __asm__ volatile("vdivps %0, %0, %%zmm2" : : "v"(_mm512_setzero_ps()) : "zmm2"); /* invalid, which is masked */
    result(fault_signal == 0, "a masked exception is none", (uint64_t)fault_signal);
    if (!sigsetjmp(back, 1))
        __asm__ volatile("vdivps %0, %1, %%zmm2" : : "v"(_mm512_setzero_ps()), "v"(_mm512_set1_ps(1)) : "zmm2");
    result(fault_signal == SIGFPE, "a division by zero is signalled", (uint64_t)fault_signal);
    fedisableexcept(FE_ALL_EXCEPT);
    munmap(memory, 2 * PAGE);
}

static uint8_t *opened;

static void open_page(int sig, siginfo_t *info, void *context)
{
    (void)sig;
    (void)context;
    fault_address = info->si_addr;
    mprotect(opened + PAGE, PAGE, PROT_READ | PROT_WRITE);
}

/* Half of the elements are in the page that is opened when the first of them is met. */
static void gathers(void)
{
    __m512i index = _mm512_set_epi32(2000, 12, 1500, 7, 1200, 90, 1100, 50, 1025, 4, 1024, 3, 2, 1, 0, 1023), got;

    opened = page_before_nothing();
    catch(SIGSEGV, open_page);
    got = _mm512_mask_i32gather_epi32(_mm512_set1_epi32(-1), 0xdfff, index, opened, 4);
    mprotect(opened + PAGE, PAGE, PROT_NONE);
    _mm512_mask_i32scatter_epi32(opened, 0xfffe, index, got, 4);
    result((uint8_t *)fault_address >= opened + PAGE, "gathers and scatters go on after a fault",
           digest(opened, 2 * PAGE) + (uint64_t)_mm512_reduce_add_epi32(got));
    munmap(opened, 2 * PAGE);
    signal(SIGSEGV, SIG_DFL);
}

/* --- Registers --- */

typedef struct Registers {
    uint8_t zmm[32][64];
    uint64_t k[8];
} __attribute__((aligned(64))) Registers;

#define EACH(X) X(0) X(1) X(2) X(3) X(4) X(5) X(6) X(7) X(8) X(9) X(10) X(11) X(12) X(13) X(14) X(15) X(16) X(17) X(18) \
    X(19) X(20) X(21) X(22) X(23) X(24) X(25) X(26) X(27) X(28) X(29) X(30) X(31)
#define EACH_MASK(X) X(0) X(1) X(2) X(3) X(4) X(5) X(6) X(7)
#define LOAD(n) "vmovdqu64 " #n "*64(%[in]), %%zmm" #n "\n"
#define STORE(n) "vmovdqu64 %%zmm" #n ", " #n "*64(%[out])\n"
#define LOAD_MASK(n) "kmovq 2048+" #n "*8(%[in]), %%k" #n "\n"
#define STORE_MASK(n) "kmovq %%k" #n ", 2048+" #n "*8(%[out])\n"
#define CLOBBER(n) "zmm" #n,
#define CLOBBER_MASK(n) , "k" #n

/* Whether all registers keep their contents over so many turns, in which signals and switches fall. */
static bool registers_stay(unsigned seed, uint64_t turns)
{
    Registers in, out;

    for (unsigned i = 0; i < sizeof(in); i++)
        ((uint8_t *)&in)[i] = (uint8_t)(seed * 7 + i * 13 + i / 64);
    memset(&out, 0, sizeof(out));
    __asm__ volatile(EACH(LOAD) EACH_MASK(LOAD_MASK)
                     "1: dec %[turns]\n jnz 1b\n"
                     EACH(STORE) EACH_MASK(STORE_MASK)
                     : [turns] "+r"(turns)
                     : [in] "r"(&in), [out] "r"(&out)
                     : EACH(CLOBBER) "memory" EACH_MASK(CLOBBER_MASK));
    return !memcmp(&in, &out, sizeof(in));
}

static volatile sig_atomic_t alarms;

static void on_alarm(int sig)
{
    (void)sig;
    alarms++;
    registers_stay((unsigned)alarms, 100);
}

static void signals(void)
{
    struct itimerval often = {{0, 2000}, {0, 2000}}, never = {0};
    bool ok = true;

    signal(SIGALRM, on_alarm);
    setitimer(ITIMER_REAL, &often, NULL);
    for (unsigned i = 0; alarms < 50; i++)
        ok &= registers_stay(i, 1000000);
    setitimer(ITIMER_REAL, &never, NULL);
    result(ok, "registers survive signals", 0);
}

static void *keep(void *seed)
{
    bool ok = true;

    for (unsigned i = 0; i < 100; i++) {
        ok &= registers_stay((unsigned)(uintptr_t)seed + i, 20000);
        sched_yield();
    }
    return (void *)(uintptr_t)ok;
}

static void threads(void)
{
    pthread_t thread[4];
    bool ok = true;
    void *fine;

    for (uintptr_t i = 0; i < 4; i++)
        pthread_create(&thread[i], NULL, keep, (void *)(i * 100));
    for (unsigned i = 0; i < 4; i++) {
        pthread_join(thread[i], &fine);
        ok &= fine != NULL;
    }
    result(ok, "threads have registers of their own", 0);
}

/* --- The C library --- */

static void strings(void)
{
    uint8_t *memory = page_before_nothing(), *other = page_before_nothing();
    uint64_t sum = 0;

    for (unsigned n = 0; n < 600; n++) {
        char *text = (char *)memory + PAGE - n - 1;

        memset(text, 'a' + (int)(n % 26), n);
        text[n] = 0;
        if (n > 3)
            text[n / 2] = '=';
        memcpy(other + PAGE - n - 1, text, n + 1);
        memmove(other + 5, other + 1, n);
        sum = sum * 31 + strlen(text) + (uint64_t)(n > 3 ? strchr(text, '=') - text : 0);
        sum += (uint64_t)(strcmp(text, (char *)other + PAGE - n - 1) == 0) + (memchr(text, 0, n + 1) == text + n);
        sum += (uint64_t)(strrchr(text, 'q') != NULL) + strnlen(text, 17);
        sum += memcmp(text, other + PAGE - n - 1, n + 1) == 0;
    }
    result(true, "strings at the end of a page", sum + digest(memory, PAGE) + digest(other, PAGE));
}

static void processes(void)
{
    bool ok = true;

    for (unsigned i = 0; i < 8; i++) {
        int status = 1;
        pid_t child = fork();

        if (child == 0)
            _exit(!registers_stay(i, 100000));
        ok &= registers_stay(i + 50, 100000) && waitpid(child, &status, 0) == child && status == 0;
    }
    result(ok, "processes have registers of their own", 0);
}

int main(void)
{
    arithmetic();
    moves();
    masked_off();
    faults();
    gathers();
    signals();
    threads();
    processes();
    strings();
    printf("1..%u\n", tests);
    return 0;
}
