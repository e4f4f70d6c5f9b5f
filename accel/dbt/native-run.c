/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Entering a stub, and what becomes of the signals its instruction may raise.
 *
 * A stub has stored nothing when its instruction runs, so a fault in one is undone by returning
 * from native_enter with the vector: the handler sets rip to native_fault and drops the stub's
 * return address. #DE and #XM come as SIGFPE, a misaligned operand (#GP) as SIGSEGV or SIGBUS, an
 * instruction this host lacks (#UD) as SIGILL. The kernel leaves the vector in REG_TRAPNO. A fault
 * at any other address belongs to whoever had the signal before.
 *
 * Signal dispositions are the process's, hence the static variables.
 */
#include <signal.h>
#include <ucontext.h>

#include "accel/dbt/jit.h"
#include "accel/dbt/native.h"

/* Of native_enter's frame, from rsp inside a stub. */
#define FRAME_STATE 2 /* in quadwords */

uint32_t native_enter(CpuState *state, void *mem, const void *code, uint8_t *x87_image)
    __attribute__((visibility("hidden")));
extern const char native_fault[] __attribute__((visibility("hidden")));

__asm__(".pushsection .text\n"
        ".globl native_enter, native_fault\n"
        ".hidden native_enter, native_fault\n"
        ".type native_enter, @function\n"
        "native_enter:\n"
        ".cfi_startproc\n"
        "    push %rbx\n    .cfi_adjust_cfa_offset 8\n    .cfi_rel_offset rbx, 0\n"
        "    push %rbp\n    .cfi_adjust_cfa_offset 8\n    .cfi_rel_offset rbp, 0\n"
        "    push %r12\n    .cfi_adjust_cfa_offset 8\n    .cfi_rel_offset r12, 0\n"
        "    push %r13\n    .cfi_adjust_cfa_offset 8\n    .cfi_rel_offset r13, 0\n"
        "    push %r14\n    .cfi_adjust_cfa_offset 8\n    .cfi_rel_offset r14, 0\n"
        "    push %r15\n    .cfi_adjust_cfa_offset 8\n    .cfi_rel_offset r15, 0\n"
        "    push %rcx\n    .cfi_adjust_cfa_offset 8\n" /* [rsp+24] in the stub: x87 image */
        "    push %rdi\n    .cfi_adjust_cfa_offset 8\n" /* [rsp+16]: CpuState */
        "    push $0x1f80\n    .cfi_adjust_cfa_offset 8\n" /* [rsp+8]: the host's MXCSR */
        "    call *%rdx\n"
        "    xor %eax, %eax\n"
        "1:  add $24, %rsp\n    .cfi_adjust_cfa_offset -24\n"
        "    pop %r15\n    .cfi_adjust_cfa_offset -8\n    .cfi_restore r15\n"
        "    pop %r14\n    .cfi_adjust_cfa_offset -8\n    .cfi_restore r14\n"
        "    pop %r13\n    .cfi_adjust_cfa_offset -8\n    .cfi_restore r13\n"
        "    pop %r12\n    .cfi_adjust_cfa_offset -8\n    .cfi_restore r12\n"
        "    pop %rbp\n    .cfi_adjust_cfa_offset -8\n    .cfi_restore rbp\n"
        "    pop %rbx\n    .cfi_adjust_cfa_offset -8\n    .cfi_restore rbx\n"
        "    ret\n"
        ".cfi_adjust_cfa_offset 72\n"
        "native_fault:\n" /* eax = result, rsp as before the call */
        "    ldmxcsr (%rsp)\n"
        "    fninit\n"
        "    jmp 1b\n"
        ".cfi_endproc\n"
        ".size native_enter, . - native_enter\n"
        ".popsection\n");

static const int native_signals[] = {SIGFPE, SIGSEGV, SIGBUS, SIGILL};
static struct sigaction previous[G_N_ELEMENTS(native_signals)];

static bool vector_is_expected(uint64_t vector)
{
    return vector == EXC_DE || vector == EXC_UD || vector == EXC_SS || vector == EXC_GP || vector == EXC_MF ||
           vector == EXC_AC || vector == EXC_XM;
}

/* The same for an instruction of translated code: the interpreter will raise the exception. */
static bool leave_unit(ucontext_t *context)
{
    greg_t *regs = context->uc_mcontext.gregs;
    DbtVcpu *v = current_vcpu ? current_vcpu->accel : NULL;
    uint64_t rip = regs[REG_RIP], r11;

    if (!v || !v->accel || !v->jit || !vector_is_expected(regs[REG_TRAPNO]) || !jit_signal(v, &rip, &r11)) {
        return false;
    }
    regs[REG_RIP] = (greg_t)rip;
    regs[REG_R11] = (greg_t)r11;
    return true;
}

/* True if the fault was a stub's instruction and context now leaves it. */
static bool leave_stub(ucontext_t *context)
{
    greg_t *regs = context->uc_mcontext.gregs;
    const DbtVcpu *v = current_vcpu ? current_vcpu->accel : NULL;
    uint64_t *frame = (uint64_t *)regs[REG_RSP];
    uint64_t vector = regs[REG_TRAPNO];

    if (!v || !v->accel || !v->accel->native || !vector_is_expected(vector) ||
        !native_cache_contains(v->accel->native, regs[REG_RIP])) {
        return false;
    }
    if (vector == EXC_XM) {
        ((CpuState *)frame[FRAME_STATE])->fpu.mxcsr = context->uc_mcontext.fpregs->mxcsr;
    }
    regs[REG_RAX] = NATIVE_FAULT | (vector == EXC_AC ? EXC_GP : vector);
    regs[REG_RSP] += 8;
    regs[REG_RIP] = (uintptr_t)native_fault;
    return true;
}

/* A fault of the program itself: as if this handler did not exist. */
static void pass_on(const struct sigaction *next, int sig, siginfo_t *info, void *context)
{
    if (next->sa_flags & SA_SIGINFO) {
        next->sa_sigaction(sig, info, context);
    } else if (next->sa_handler != SIG_DFL && next->sa_handler != SIG_IGN) {
        next->sa_handler(sig);
    } else {
        signal(sig, SIG_DFL); /* returning runs the instruction again, which ends the process */
    }
}

static void on_signal(int sig, siginfo_t *info, void *context)
{
    if (leave_stub(context) || leave_unit(context)) {
        return;
    }
    for (unsigned i = 0; i < G_N_ELEMENTS(native_signals); i++) {
        if (native_signals[i] == sig) {
            pass_on(&previous[i], sig, info, context);
        }
    }
}

void native_signals_init(void)
{
    struct sigaction action = {.sa_sigaction = on_signal,
                               .sa_flags = SA_SIGINFO | SA_NODEFER | SA_ONSTACK};
    struct sigaction now;

    sigemptyset(&action.sa_mask);
    for (unsigned i = 0; i < G_N_ELEMENTS(native_signals); i++) {
        sigaction(native_signals[i], NULL, &now);
        if (!(now.sa_flags & SA_SIGINFO) || now.sa_sigaction != on_signal) {
            previous[i] = now;
            sigaction(native_signals[i], &action, NULL);
        }
    }
}

/* FpuState begins as an FXSAVE64 image does, up to FDP; the registers are at the same place too. */
G_STATIC_ASSERT(offsetof(FpuState, fop) == 6 && offsetof(FpuState, fdp) == 16 &&
                offsetof(FpuState, st) == 32);

enum {
    FX_MXCSR = 24,
    FX_ST = 32,
};

static void x87_to_image(const FpuState *fpu, uint8_t *image)
{
    memcpy(image, fpu, FX_ST + sizeof(fpu->st));
    image[5] = 0;
    store_le(image + FX_MXCSR, 0x1f80, 8);
}

/* Not the pointers: the host's FIP is an address of ours. */
static void x87_from_image(FpuState *fpu, const uint8_t *image)
{
    fpu->fcw = load_le(image, 2);
    fpu->fsw = load_le(image + 2, 2);
    fpu->ftw = image[4];
    memcpy(fpu->st, image + FX_ST, sizeof(fpu->st));
}

uint32_t native_run(DbtVcpu *v, const void *code, void *mem, bool x87)
{
    uint32_t result;

    if (!x87) {
        return native_enter(v->state, mem, code, NULL);
    }
    x87_to_image(&v->state->fpu, v->x87_image);
    result = native_enter(v->state, mem, code, v->x87_image);
    if (result == 0) {
        x87_from_image(&v->state->fpu, v->x87_image);
    }
    return result;
}
