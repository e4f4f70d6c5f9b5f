/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The host side of the oracle: loads every register, jumps to the instruction, and is back at
 * host_exit, through the jump behind it or through a signal handler that rewrites rip.
 *
 * No register is free around the instruction, so everything is addressed relative to rip.
 */
#include <asm/ldt.h>
#include <cpuid.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <ucontext.h>
#include <unistd.h>

#include "oracle.h"

extern uint64_t oracle_regs[17]; /* gpr, rflags */
extern uint8_t oracle_xsave[4096];
extern uint32_t oracle_components;
extern uint64_t oracle_entry;
void oracle_enter(void);
extern const char oracle_exit[], oracle_exit_taken[];
extern volatile uint8_t oracle_taken;

/*
 * 32- and 16-bit code: its registers, entry and the code around it must lie below 4 GiB. GS, which
 * nobody uses, reaches them whatever DS is. 16-bit code has segments of the LDT.
 */
#define LDT_CODE 0x07
#define LDT_DATA 0x0f
#define LOW_ADDRESS UINT64_C(0x30000000)
#define LOW_REGS 0x30000000
#define LOW_ENTRY 0x30000020
#define LOW_CODE 0x30000100
#define STRING(x) #x
#define NUMBER(x) STRING(x)

void oracle_enter32(void);
extern const char oracle_low_start[], oracle_low_exit[], oracle_low_taken[], oracle_low_back[],
    oracle_low_end[], oracle_back32[];

__asm__(".pushsection .bss\n"
        ".balign 64\n"
        ".globl oracle_xsave, oracle_regs, oracle_entry\n"
        "oracle_xsave: .skip 4096\n"
        "oracle_regs: .skip 17*8\n"
        "oracle_entry: .skip 8\n"
        "host_rsp: .skip 8\n"
        ".globl oracle_taken, oracle_components\n"
        "oracle_components: .skip 4\n"
        "oracle_taken: .skip 1\n"
        ".popsection\n"
        ".pushsection .rodata\n"
        "host_mxcsr: .long 0x1f80\n"
        "low_entry: .long " NUMBER(LOW_CODE) "\n .word 0x23\n"
        ".globl oracle_low_start, oracle_low_exit, oracle_low_taken, oracle_low_back, oracle_low_end\n"
        ".code32\n"
        "oracle_low_start:\n"
        "    mov %gs:" NUMBER(LOW_ENTRY) "+6, %ax\n mov %ax, %ds\n mov %ax, %es\n mov %ax, %ss\n"
        "    mov %gs:" NUMBER(LOW_REGS) "+16, %esp\n"
        "    mov %gs:" NUMBER(LOW_REGS) "+0, %eax\n mov %gs:" NUMBER(LOW_REGS) "+4, %ecx\n"
        "    mov %gs:" NUMBER(LOW_REGS) "+8, %edx\n mov %gs:" NUMBER(LOW_REGS) "+12, %ebx\n"
        "    mov %gs:" NUMBER(LOW_REGS) "+20, %ebp\n"
        "    mov %gs:" NUMBER(LOW_REGS) "+24, %esi\n mov %gs:" NUMBER(LOW_REGS) "+28, %edi\n"
        "    ljmp *%gs:" NUMBER(LOW_ENTRY) "\n"
        "oracle_low_taken:\n"
        "    movb $1, %gs:" NUMBER(LOW_ENTRY) "+8\n"
        "oracle_low_exit:\n"
        "    mov %eax, %gs:" NUMBER(LOW_REGS) "+0\n mov %ecx, %gs:" NUMBER(LOW_REGS) "+4\n"
        "    mov %edx, %gs:" NUMBER(LOW_REGS) "+8\n mov %ebx, %gs:" NUMBER(LOW_REGS) "+12\n"
        "    mov %esp, %gs:" NUMBER(LOW_REGS) "+16\n mov %ebp, %gs:" NUMBER(LOW_REGS) "+20\n"
        "    mov %esi, %gs:" NUMBER(LOW_REGS) "+24\n mov %edi, %gs:" NUMBER(LOW_REGS) "+28\n"
        "    mov $0x2b, %eax\n mov %ax, %ds\n mov %ax, %es\n mov %ax, %ss\n"
        "    ljmp $0x33, $" NUMBER(LOW_CODE) "+oracle_low_back-oracle_low_start\n"
        ".code64\n"
        "oracle_low_back:\n"
        "    jmp *1f(%rip)\n"
        "1:  .skip 8\n"
        "oracle_low_end:\n"
        ".popsection\n"
        ".pushsection .text\n"
        ".globl oracle_enter, oracle_exit, oracle_exit_taken, oracle_enter32, oracle_back32\n"
        ".type oracle_enter32, @function\n"
        "oracle_enter32:\n"
        "    push %rbx\n push %rbp\n push %r12\n push %r13\n push %r14\n push %r15\n"
        "    mov %rsp, host_rsp(%rip)\n"
        "    mov oracle_components(%rip), %eax\n xor %edx, %edx\n xrstor64 oracle_xsave(%rip)\n"
        "    pushq oracle_regs+128(%rip)\n popfq\n"
        "    ljmpl *low_entry(%rip)\n"
        ".size oracle_enter32, . - oracle_enter32\n"
        ".type oracle_enter, @function\n"
        "oracle_enter:\n"
        "    push %rbx\n push %rbp\n push %r12\n push %r13\n push %r14\n push %r15\n"
        "    mov %rsp, host_rsp(%rip)\n"
        "    mov oracle_components(%rip), %eax\n xor %edx, %edx\n xrstor64 oracle_xsave(%rip)\n"
        "    pushq oracle_regs+128(%rip)\n popfq\n"
        "    mov oracle_regs+0(%rip), %rax\n mov oracle_regs+8(%rip), %rcx\n"
        "    mov oracle_regs+16(%rip), %rdx\n mov oracle_regs+24(%rip), %rbx\n"
        "    mov oracle_regs+32(%rip), %rsp\n mov oracle_regs+40(%rip), %rbp\n"
        "    mov oracle_regs+48(%rip), %rsi\n mov oracle_regs+56(%rip), %rdi\n"
        "    mov oracle_regs+64(%rip), %r8\n mov oracle_regs+72(%rip), %r9\n"
        "    mov oracle_regs+80(%rip), %r10\n mov oracle_regs+88(%rip), %r11\n"
        "    mov oracle_regs+96(%rip), %r12\n mov oracle_regs+104(%rip), %r13\n"
        "    mov oracle_regs+112(%rip), %r14\n mov oracle_regs+120(%rip), %r15\n"
        "    jmp *oracle_entry(%rip)\n"
        "oracle_exit_taken:\n"
        "    movb $1, oracle_taken(%rip)\n"
        "oracle_exit:\n"
        "    mov %rax, oracle_regs+0(%rip)\n mov %rcx, oracle_regs+8(%rip)\n"
        "    mov %rdx, oracle_regs+16(%rip)\n mov %rbx, oracle_regs+24(%rip)\n"
        "    mov %rsp, oracle_regs+32(%rip)\n mov %rbp, oracle_regs+40(%rip)\n"
        "    mov %rsi, oracle_regs+48(%rip)\n mov %rdi, oracle_regs+56(%rip)\n"
        "    mov %r8, oracle_regs+64(%rip)\n mov %r9, oracle_regs+72(%rip)\n"
        "    mov %r10, oracle_regs+80(%rip)\n mov %r11, oracle_regs+88(%rip)\n"
        "    mov %r12, oracle_regs+96(%rip)\n mov %r13, oracle_regs+104(%rip)\n"
        "    mov %r14, oracle_regs+112(%rip)\n mov %r15, oracle_regs+120(%rip)\n"
        "oracle_back32:\n"
        "    mov host_rsp(%rip), %rsp\n"
        "    pushfq\n popq oracle_regs+128(%rip)\n cld\n"
        "    mov oracle_components(%rip), %eax\n xor %edx, %edx\n xsave64 oracle_xsave(%rip)\n"
        "    vzeroupper\n fninit\n ldmxcsr host_mxcsr(%rip)\n"
        "    pop %r15\n pop %r14\n pop %r13\n pop %r12\n pop %rbp\n pop %rbx\n ret\n"
        ".size oracle_enter, . - oracle_enter\n"
        ".popsection\n");

#define XSAVE_HEADER 512

static volatile uint8_t fault_vector;
static volatile uint64_t fault_address;

static void on_signal(int sig, siginfo_t *info, void *opaque)
{
    ucontext_t *context = opaque;
    greg_t *regs = context->uc_mcontext.gregs;

    uint16_t cs = regs[REG_CSGSFS];

    if ((uint64_t)regs[REG_RIP] + (cs == LDT_CODE ? CODE_ADDRESS : 0) != CODE_ADDRESS) {
        signal(sig, SIG_DFL);
        return;
    }
    fault_vector = regs[REG_TRAPNO];
    fault_address = regs[REG_CR2];
    if (cs == 0x33) {
        regs[REG_RIP] = (greg_t)(uintptr_t)oracle_exit;
    } else {
        regs[REG_RIP] = LOW_CODE + (oracle_low_exit - oracle_low_start);
        regs[REG_CSGSFS] += 0x23 - cs;
    }
}

static void set_ldt(unsigned entry, uint64_t base, unsigned contents)
{
    struct user_desc desc = {.entry_number = entry, .base_addr = base, .limit = 0xffff, .contents = contents,
                             .useable = 1};

    if (syscall(SYS_modify_ldt, 0x11, &desc, sizeof(desc)) < 0) {
        g_printerr("oracle: no LDT here, 16-bit code cannot be checked: %m\n");
        exit(77);
    }
}

void host_use_ldt(void)
{
    set_ldt(LDT_CODE >> 3, CODE_ADDRESS, MODIFY_LDT_CONTENTS_CODE);
    set_ldt(LDT_DATA >> 3, SEG16_BASE, MODIFY_LDT_CONTENTS_DATA);
}

static void map_at(uint64_t address, size_t size, int prot)
{
    void *p = mmap((void *)address, size, prot, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);

    if (p == MAP_FAILED) {
        g_error("oracle: cannot map %#lx: %m", (unsigned long)address);
    }
}

bool host_has_avx512(void)
{
    return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
           __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
}

/* AVX-512's components, whose place is the processor's to choose. */
static struct {
    unsigned component, at, size, offset;
} parts[] = {{5, X_OPMASK, 64, 0}, {6, X_ZMM, 512, 0}, {7, X_HIGH, 1024, 0}};

static void find_components(void)
{
    uint32_t eax, ecx, edx;

    oracle_components = host_has_avx512() ? 0xe7 : 7;
    for (unsigned i = 0; i < G_N_ELEMENTS(parts) && host_has_avx512(); i++) {
        __cpuid_count(0xd, parts[i].component, eax, parts[i].offset, ecx, edx);
        g_assert(parts[i].offset + parts[i].size <= sizeof(oracle_xsave));
    }
}

static void load_components(const State *state)
{
    memcpy(oracle_xsave, state->xsave, X_OPMASK);
    memset(oracle_xsave + XSAVE_HEADER, 0, 64);
    oracle_xsave[XSAVE_HEADER] = oracle_components;
    for (unsigned i = 0; i < G_N_ELEMENTS(parts) && host_has_avx512(); i++)
        memcpy(oracle_xsave + parts[i].offset, state->xsave + parts[i].at, parts[i].size);
}

static void store_components(State *state)
{
    memcpy(state->xsave, oracle_xsave, X_OPMASK);
    for (unsigned i = 0; i < G_N_ELEMENTS(parts) && host_has_avx512(); i++)
        memcpy(state->xsave + parts[i].at, oracle_xsave + parts[i].offset, parts[i].size);
}

void host_init(void)
{
    static const int signals[] = {SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGTRAP};
    static uint8_t stack[65536];
    stack_t alternate = {.ss_sp = stack, .ss_size = sizeof(stack)};
    struct sigaction action = {.sa_sigaction = on_signal, .sa_flags = SA_SIGINFO | SA_ONSTACK};

    find_components();
    map_at(CODE_ADDRESS, 4096, PROT_READ | PROT_WRITE | PROT_EXEC);
    map_at(DATA_ADDRESS - 4096, DATA_SIZE + 8192, PROT_NONE);
    mprotect((void *)DATA_ADDRESS, DATA_SIZE, PROT_READ | PROT_WRITE);
    map_at(LOW_ADDRESS, 4096, PROT_READ | PROT_WRITE | PROT_EXEC);
    memcpy((void *)(uintptr_t)LOW_CODE, oracle_low_start, oracle_low_end - oracle_low_start);
    memcpy((char *)(uintptr_t)LOW_CODE + (oracle_low_end - oracle_low_start) - 8, &(const char *){oracle_back32}, 8);
    /* 64-bit code has null data segments. */
    __asm__ volatile("mov %0, %%ds\n mov %0, %%es\n mov %0, %%gs" : : "r"(0x2b));
    sigaltstack(&alternate, NULL);
    for (unsigned i = 0; i < G_N_ELEMENTS(signals); i++) {
        sigaction(signals[i], &action, NULL);
    }
}

uint8_t *host_data(void)
{
    return (uint8_t *)DATA_ADDRESS;
}

static void put_jump(uint8_t *at, unsigned bits, const char *target)
{
    uint64_t address = (uintptr_t)target;
    uint32_t low = LOW_CODE + (target - oracle_low_start);

    switch (bits) {
    case 64:
        memcpy(at, "\xff\x25\0\0\0\0", 6); /* jmp [rip] */
        memcpy(at + 6, &address, 8);
        break;
    case 32:
        low -= (uintptr_t)at + 5;
        at[0] = 0xe9;
        memcpy(at + 1, &low, 4);
        break;
    default:
        memcpy(at, "\x66\xea", 2); /* jmp far 0x23:low */
        memcpy(at + 2, &low, 4);
        memcpy(at + 6, "\x23", 2);
        break;
    }
}

static void run64(State *state)
{
    oracle_taken = 0;
    memcpy(oracle_regs, state->gpr, sizeof(state->gpr));
    oracle_entry = CODE_ADDRESS;
    oracle_enter();
    memcpy(state->gpr, oracle_regs, sizeof(state->gpr));
}

static void run_low(State *state, unsigned bits)
{
    volatile uint32_t *low = (volatile uint32_t *)LOW_ADDRESS;
    volatile uint16_t *selectors = (volatile uint16_t *)(low + 9);

    for (unsigned i = 0; i < 8; i++) {
        low[i] = state->gpr[i];
    }
    low[8] = bits == 16 ? 0 : CODE_ADDRESS;
    selectors[0] = bits == 16 ? LDT_CODE : 0x23;
    selectors[1] = bits == 16 ? LDT_DATA : 0x2b;
    low[10] = 0;
    oracle_enter32();
    for (unsigned i = 0; i < 8; i++) {
        state->gpr[i] = low[i];
    }
    oracle_taken = low[10];
}

void host_run(const Case *c, State *state)
{
    uint8_t *code = (uint8_t *)CODE_ADDRESS;
    unsigned bits = case_bits(c);

    memcpy(code, c->bytes, c->len);
    put_jump(code + c->len, bits, bits == 64 ? oracle_exit : oracle_low_exit);
    put_jump(code + (TAKEN_ADDRESS - CODE_ADDRESS), bits, bits == 64 ? oracle_exit_taken : oracle_low_taken);
    oracle_regs[16] = state->rflags;
    load_components(state);
    fault_vector = NO_FAULT;
    if (bits == 64) {
        run64(state);
    } else {
        run_low(state, bits);
    }
    state->rflags = oracle_regs[16];
    store_components(state);
    state->fault = fault_vector;
    state->fault_address = fault_vector == 14 ? fault_address : 0;
    state->rip = fault_vector != NO_FAULT ? CODE_ADDRESS : oracle_taken ? TAKEN_ADDRESS : CODE_ADDRESS + c->len;
}
