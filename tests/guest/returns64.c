/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Flags that a function returns: every kind of instruction that sets them, through RET and indirect jumps, straight and
 * through functions in between; and loops that only an interrupt ends.
 *
 * Each row is a piece of code, what follows it without changing flags, and the flags it leaves undefined. The flags of the piece
 * alone are compared with those that come out of a function with both.
 */
#include "lib/guest.h"

#define CF 0x001
#define PF 0x004
#define AF 0x010
#define ZF 0x040
#define SF 0x080
#define OF 0x800
#define ARITH (CF | PF | AF | ZF | SF | OF)
#define IF 0x200

/* RAX, RDX and RCX are operands. A fixed stack makes RSP one, with room for an interrupt. */
#define FIXED_STACK "push %rbx; push %rbp; mov %rsp, %rbp; mov $fixed_stack + 3072, %rsp; "
#define USUAL_STACK "mov %rbp, %rsp; pop %rbp; pop %rbx"
#define ROWS(X)                                                                                                        \
    X(and32, "and %edx, %eax", "", AF)                                                                                 \
    X(and32_lost, "and %edx, %eax", "mov $1, %eax", AF)                                                                \
    X(or8, "or %dl, %al", "", AF)                                                                                      \
    X(or8_high, "or %dl, %ah", "", AF)                                                                                 \
    X(xor16, "xor %dx, %ax", "mov $0x77, %edx", AF)                                                                    \
    X(xor_zero, "xor %eax, %eax", "mov $3, %al", AF)                                                                   \
    X(xor_memory, "xor operand(%rip), %rax", "", AF)                                                                   \
    X(and_to_memory, "mov %rax, scratch(%rip); and %rdx, scratch(%rip)", "", AF)                                       \
    X(test32, "test %edx, %eax", "", AF)                                                                               \
    X(test64_lost, "test %rdx, %rax", "mov %rax, %rdx; mov $0, %ah", AF)                                               \
    X(test_immediate, "test $0x80000001, %eax", "mov $0, %ah", AF)                                                     \
    X(test_immediate64, "test $-16, %rax", "", AF)                                                                     \
    X(test_high, "test $0x81, %ah", "", AF)                                                                            \
    X(test8, "test $0x81, %dl", "", AF)                                                                                \
    X(test_self, "test %rdx, %rdx", "xchg %rax, %rdx", AF)                                                             \
    X(cmp32, "cmp %edx, %eax", "", 0)                                                                                  \
    X(cmp32_lost, "cmp %edx, %eax", "setc %al; cmovs %ecx, %edx", 0)                                                   \
    X(cmp64, "cmp %rax, %rdx", "", 0)                                                                                  \
    X(cmp8, "cmp %al, %dl", "movzbl %dl, %eax", 0)                                                                     \
    X(cmp16, "cmp %dx, %ax", "", 0)                                                                                    \
    X(cmp_immediate, "cmp $-128, %rax", "mov %rdx, %rax", 0)                                                           \
    X(cmp_immediate8, "cmp $0x80, %al", "", 0)                                                                         \
    X(cmp_immediate16, "cmp $0x8000, %dx", "", 0)                                                                      \
    X(cmp_memory, "cmp operand(%rip), %rax", "", 0)                                                                    \
    X(cmp_spilled, "mov %rax, %r10; mov %rdx, %r9; cmp %r9, %r10", "", 0)                                              \
    X(cmp_spilled_lost, "mov %rax, %r10; mov %rdx, %r11; cmp %r10, %r11", "mov $5, %r10d; lea 1(%r11), %r11", 0)       \
    X(cmp_kept, "push %rbx; mov %rax, %rbx; cmp %rdx, %rbx", "pop %rbx", 0)                                            \
    X(cmp_kept_both, "push %rbx; push %r12; mov %rax, %rbx; mov %rdx, %r12; cmp %rbx, %r12", "pop %r12; pop %rbx", 0)  \
    X(add32, "add %edx, %eax", "", 0)                                                                                  \
    X(add64_lost, "add %rdx, %rax", "movslq %eax, %rax; mov $7, %edx", 0)                                              \
    X(add8, "add %dl, %al", "", 0)                                                                                     \
    X(add16_immediate, "add $0x7fff, %ax", "", 0)                                                                      \
    X(add_self, "add %rax, %rax", "", 0)                                                                               \
    X(add_spilled, "mov %rax, %r9; add %rdx, %r9", "", 0)                                                              \
    X(add_from_spilled, "mov %rdx, %r11; add %r11, %rax", "", 0)                                                       \
    X(add_memory, "add operand(%rip), %rax", "", 0)                                                                    \
    X(sub32, "sub %edx, %eax", "", 0)                                                                                  \
    X(sub64, "sub %rax, %rdx", "lea (%rdx, %rax), %rax", 0)                                                            \
    X(sub_immediate, "sub $0x12345, %rax", "bswap %rax", 0)                                                            \
    X(sub_immediate8, "sub $1, %al", "", 0)                                                                            \
    X(sub_self, "sub %eax, %eax", "mov %rdx, %rax", 0)                                                                 \
    X(add_stack, FIXED_STACK "add $24, %rsp", USUAL_STACK, 0)                                                          \
    X(add_stack_pop, FIXED_STACK "sub $8, %rsp; push %rdx; add $16, %rsp", "pop %rdx; pop %rax; " USUAL_STACK, 0)      \
    X(sub_stack, FIXED_STACK "sub %rcx, %rsp", "mov $0, %ecx; " USUAL_STACK, 0)                                        \
    X(and_stack, FIXED_STACK "and $-1024, %rsp", USUAL_STACK, AF)                                                      \
    X(inc_keeps_carry, "add %rdx, %rax; inc %rax", "", 0)                                                              \
    X(dec_keeps_carry, "cmp %rdx, %rax; dec %edx", "mov $0, %eax", 0)                                                  \
    X(adc, "adc %rdx, %rax", "", 0)                                                                                    \
    X(sbb_self, "sbb %eax, %eax", "", 0)                                                                               \
    X(neg, "neg %rax", "", 0)                                                                                          \
    X(not, "not %rax", "", 0)                                                                                          \
    X(shl, "shl $3, %rax", "", AF | OF)                                                                                \
    X(shr_one, "shr %rax", "", AF)                                                                                     \
    X(sar_cl_maybe_zero, "test %rdx, %rdx; mov %edx, %ecx; sar %cl, %rax", "mov $0, %ecx", AF | OF)                    \
    X(rol, "cmp %rdx, %rax; rol $1, %eax", "", 0)                                                                      \
    X(mul, "mul %rdx", "", PF | AF | ZF | SF)                                                                          \
    X(imul, "imul %edx, %eax", "", PF | AF | ZF | SF)                                                                  \
    X(bt, "cmp %rdx, %rax; bt $31, %rax", "", PF | AF | SF | OF)                                                       \
    X(bsf, "cmp %rdx, %rax; bsf %rdx, %rax", "", CF | PF | AF | SF | OF)                                               \
    X(cmpxchg, "cmpxchg %rdx, operand(%rip)", "mov %rax, operand(%rip)", 0)                                            \
    X(xadd, "xadd %rax, %rdx", "", 0)                                                                                  \
    X(popf, "push %rdx; andq $0x8d5, (%rsp); popfq", "", 0)                                                            \
    X(sahf, "sahf", "mov $0, %eax", 0)                                                                                 \
    X(carry, "cmc", "", 0)                                                                                             \
    X(set_carry, "cmp %rdx, %rax; stc", "", 0)                                                                         \
    X(nothing, "", "mov %rdx, %rax", 0)                                                                                \
    X(set_then_memory, "cmp %rdx, %rax", "mov operand(%rip), %rax; mov %rdx, scratch(%rip); setz %al; push %rax; pop %rdx", 0)

#define CODE(id, insns, tail, undefined)                                                                               \
    __asm__("alone_" #id ": " insns "; pushfq; pop %r8; " tail "; mov %r8, %rax; ret\n"                                \
            "return_" #id ": " insns "; " tail "; ret\n"                                                               \
            "jump_" #id ": " insns "; " tail "; pop %r8; jmp *%r8\n"                                                   \
            "jump_memory_" #id ": " insns "; " tail "; popq target(%rip); jmp *target(%rip)\n");                           \
    extern const uint8_t alone_##id[], return_##id[], jump_##id[], jump_memory_##id[];
ROWS(CODE)

#define ENTRY(id, insns, tail, undefined)                                                                              \
    {#id, undefined, alone_##id, {return_##id, jump_##id, jump_memory_##id}},
static const struct {
    const char *name;
    uint32_t undefined;
    const void *alone, *function[3];
} rows[] = {ROWS(ENTRY)};

/* Called with the function in R8: the flags in RAX. */
__asm__("flags_straight: call *%r8; pushfq; pop %rax; ret\n"
        "keeps_callers: push %rbx; mov $9, %ebx; call *%r8; pop %rbx; ret\n"
        "flags_through_keeping: push %rbp; lea 1(%rsp), %rbp; call keeps_callers; pop %rbp; pushfq; pop %rax; ret\n"
        "changes_scratch: call *%r8; mov $0x55, %eax; lea 3(%rax), %rdx; mov %rax, %r9; ret\n"
        "flags_through_changing: call changes_scratch; pushfq; pop %rax; ret\n"
        "only_returns: call *%r8; ret\n"
        "flags_through_both: call 1f; pushfq; pop %rax; ret; 1: call 2f; jmp *empty(%rip); 2: push %r12; call only_returns; pop %r12; ret\n"
        "returns: ret\n");
extern const uint8_t flags_straight[], flags_through_keeping[], flags_through_changing[], flags_through_both[], returns[];
const void *empty = returns;
static const void *const callers[] = {flags_straight, flags_through_keeping, flags_through_changing, flags_through_both};

/* Of the code above, which the compiler does not see. */
uint64_t operand = 0x8000000000000001ull, scratch, target;
uint8_t fixed_stack[4096] __attribute__((aligned(4096)));

static const uint64_t values[] = {0, 1, 0x7f, 0x80, 0xff00, 0x7fffffff, 0x80000000, 0xffffffff, 0x8000000000000000ull, ~0ull};
#define VALUES (sizeof(values) / sizeof(values[0]))

static uint32_t flags_of(const void *caller, const void *function, uint64_t a, uint64_t b, uint64_t before)
{
    register const void *r8 asm("r8") = function;
    uint64_t count = 40;

    operand = b ^ 0x8000000000000001ull;
    __asm__ volatile("push %[before]; popfq; call *%[caller]"
                     : "+a"(a), "+d"(b), "+c"(count), "+r"(r8)
                     : [before] "r"(before), [caller] "S"(caller)
                     : "r9", "r10", "r11", "memory", "cc");
    return a & ARITH;
}

static bool row_is_right(unsigned n, unsigned how, uint64_t enabled)
{
    uint32_t mask = ARITH & ~rows[n].undefined;

    for (unsigned i = 0; i < VALUES * VALUES * 2; i++) {
        uint64_t a = values[i % VALUES], b = values[i / VALUES % VALUES], before = enabled | 2 | (i / (VALUES * VALUES) ? ARITH : 0);
        uint32_t want = flags_of(rows[n].alone, rows[n].alone, a, b, before);

        for (unsigned c = 0; c < sizeof(callers) / sizeof(callers[0]); c++) {
            uint32_t got = flags_of(callers[c], rows[n].function[how], a, b, before);

            if ((got ^ want) & mask) {
                say("# %s, way %u, caller %u: %lx and %lx give flags %x, not %x\n", rows[n].name, how, c, a, b, got & mask, want & mask);
                return false;
            }
        }
    }
    return true;
}

static bool all_right(unsigned how, uint64_t enabled)
{
    bool right = true;

    for (unsigned n = 0; n < sizeof(rows) / sizeof(rows[0]); n++)
        right &= row_is_right(n, how, enabled);
    return right;
}

/* --- Interrupts. --- */

static volatile uint32_t ticks;
static volatile bool ends_loop;
extern const uint8_t loop_end[];
uint64_t loop_stack;

static void on_timer(Frame *frame)
{
    ticks++;
    apic_eoi();
    if (ends_loop) {
        frame->ip = (uintptr_t)loop_end;
        ends_loop = false;
    }
}

#define LOOPS(X)                                                                                                       \
    X(jump, "a jump to a register", ".p2align 15; 1: jmp *%rax")                                                       \
    X(jump_one, "a jump to an address one behind a multiple of 32 KiB", ".p2align 15; nop; 1: jmp *%rax")              \
    X(jump_elsewhere, "a jump to another register", "nop; 1: jmp *%rax")                                               \
    X(memory, "a jump by memory", "nop; 1: mov %rax, scratch(%rip); jmp *scratch(%rip)")                               \
    X(ret, "a return to itself", "1: push %rax; ret")                                                                  \
    X(calls, "calls whose return addresses are taken off the stack", "1: call 2f; nop; 2: lea 8(%rsp), %rsp; jmp 1b")  \
    X(back, "a jump back", "1: nop; jmp 2f; nop; 2: nop; jmp 1b")                                                      \
    X(self, "a jump to itself", "1: jmp 1b")                                                                           \
    X(condition, "a conditional jump", "1: xor %edx, %edx; jz 1b; ud2")                                                \
    X(carried, "a loop that carries flags", "1: adc $1, %rdx; dec %ecx; lea 1(%rcx), %rcx; jnz 1b; jmp 1b")            \
    X(pages, "jumps between pages", ".p2align 12; 1: jmp 2f; .skip 5000; 2: jmp 1b")                                   \
    X(counted, "LOOP", "1: lea 1(%rcx), %rcx; loop 1b; ud2")
#define LOOP_CODE(id, what, insns) __asm__("loop_" #id ": lea 1f(%rip), %rax; jmp 1f; " insns "\n"); extern const uint8_t loop_##id[];
LOOPS(LOOP_CODE)

#define LOOP_ENTRY(id, what, insns) {what, loop_##id},
static const struct {
    const char *what;
    const void *code;
} loops[] = {LOOPS(LOOP_ENTRY)};

static void timer(uint32_t mode, uint32_t count)
{
    apic_write(APIC_TIMER_DIV, 0xb); /* by 1 */
    apic_write(APIC_LVT_TIMER, mode | 0x40);
    apic_write(APIC_TIMER_INIT, count);
}

static __attribute__((noinline)) void run_until_interrupt(const void *code)
{
    ends_loop = true;
    timer(0, 300000);
    __asm__ volatile("push %%rbx; push %%rbp; mov %%rsp, loop_stack(%%rip); mov $3, %%ecx; sti; jmp *%0\n"
                     "loop_end: mov loop_stack(%%rip), %%rsp; cli; pop %%rbp; pop %%rbx"
                     :
                     : "S"(code)
                     : "rax", "rcx", "rdx", "memory", "cc");
}

void guest_main(void)
{
    static const char *const ways[] = {"RET", "a jump to a register", "a jump by memory"};

    for (unsigned how = 0; how < 3; how++)
        check(all_right(how, 0), "%s passes on the flags of every instruction", ways[how]);
    apic_enable();
    outb(0x21, 0xff);
    intr_set_handler(0x40, on_timer);
    for (unsigned i = 0; i < sizeof(loops) / sizeof(loops[0]); i++) {
        for (unsigned n = 0; n < 3; n++)
            run_until_interrupt(loops[i].code);
        check(!ends_loop, "an interrupt ends a loop of %s", loops[i].what);
    }
    timer(0x20000, 50000);
    for (unsigned how = 0; how < 3; how++)
        check(all_right(how, IF), "%s passes flags on with interrupts in between", ways[how]);
    cli();
    timer(0, 0);
    check(ticks > 3 * sizeof(loops) / sizeof(loops[0]), "and there were some");
}
