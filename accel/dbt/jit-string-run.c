/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A repeated MOVS that goes on behind a page's end, called from translated code (jit-string.c).
 *
 *     while there are elements:  look both pages up in the TLB -> the bytes to the nearer end -> copy
 *
 * The host's own REP takes some 30 cycles to get going, which is most of what a piece of a page costs. So pieces are
 * moved with 64-byte vectors where the host has them and does not slow down for it (Ice Lake, Zen 4 and later), and
 * with REP elsewhere, where the sides overlap, and where little is left. Fast-string operations store in no order that
 * anybody may rely on (SDM vol. 3, 9.2.4), so nobody can tell.
 *
 * All vector registers may be the guest's: functions are compiled without them, and those that copies use are put back.
 *
 * Thread: the vCPU's, inside guest code; nothing is filled in and nothing faults here.
 */
#include "accel/dbt/jit.h"

#include "accel/dbt/mmu-priv.h"

/* Compiled for general registers alone. */
#define GENERAL __attribute__((target("general-regs-only")))

#define VECTOR_SIZE 64u
#define GROUP_SIZE (4 * VECTOR_SIZE)

/* Host address of the byte at linear; *left: bytes to the end of its page. 0: no entry. */
GENERAL static inline uint64_t host_of(const MmuEntry *table, uint64_t linear, uint64_t *left)
{
    const MmuEntry *e = &table[linear >> GUEST_PAGE_BITS & (MMU_TLB_SIZE - 1)];
    uint64_t offset = linear - e->tag;

    if (offset >= GUEST_PAGE_SIZE)
        return 0;
    *left = MIN(*left, GUEST_PAGE_SIZE - offset);
    return e->value + linear;
}

GENERAL static inline void rep_movs(uint64_t to, uint64_t from, uint64_t count, unsigned shift)
{
    switch (shift) {
    case 0:
        __asm__ volatile("rep movsb" : "+D"(to), "+S"(from), "+c"(count) : : "memory");
        break;
    case 1:
        __asm__ volatile("rep movsw" : "+D"(to), "+S"(from), "+c"(count) : : "memory");
        break;
    case 2:
        __asm__ volatile("rep movsl" : "+D"(to), "+S"(from), "+c"(count) : : "memory");
        break;
    default:
        __asm__ volatile("rep movsq" : "+D"(to), "+S"(from), "+c"(count) : : "memory");
        break;
    }
}

#define LOAD_GROUP(at)                                                                                                 \
    "vmovdqu64 (" at ",%[distance]), %%zmm0\n"                                                                         \
    "vmovdqu64 64(" at ",%[distance]), %%zmm1\n"                                                                       \
    "vmovdqu64 128(" at ",%[distance]), %%zmm2\n"                                                                      \
    "vmovdqu64 192(" at ",%[distance]), %%zmm3\n"
#define EACH_OF_GROUP(name, at, order)                                                                                 \
    name " " order(0, at) "\n" name " " order(1, at) "\n" name " " order(2, at) "\n" name " " order(3, at) "\n"
#define TO_MEMORY(n, at) "%%zmm" #n ", 64*" #n "(" at ")"
#define TO_REGISTER(n, at) "64*" #n "(" at "), %%zmm" #n

/* The four registers copies use are the guest's, maybe. */
GENERAL static inline void keep_vectors(DbtJit *jit)
{
    __asm__ volatile(EACH_OF_GROUP("vmovdqa64", "%[kept]", TO_MEMORY) : : [kept] "r"(jit->area->string_vectors) : "memory");
}

GENERAL static inline void put_vectors_back(const DbtJit *jit)
{
    __asm__ volatile(EACH_OF_GROUP("vmovdqa64", "%[kept]", TO_REGISTER) : : [kept] "r"(jit->area->string_vectors) : "memory");
}

/*
 * These take VECTOR_SIZE bytes and more, GROUP_SIZE and more: the first vector; those between, at aligned addresses; the
 * last ones, over what they meet.
 */
GENERAL static void copy_vectors(uint64_t to, uint64_t distance, uint64_t bytes)
{
    uint64_t last = to + bytes - VECTOR_SIZE, next = (to | (VECTOR_SIZE - 1)) + 1;

    __asm__ volatile("vmovdqu64 (%[to],%[distance]), %%zmm0\n"
                     "vmovdqu64 %%zmm0, (%[to])\n"
                     "jmp 2f\n"
                     "1: vmovdqu64 (%[next],%[distance]), %%zmm0\n"
                     "vmovdqa64 %%zmm0, (%[next])\n"
                     "add $64, %[next]\n"
                     "2: cmp %[last], %[next]\n"
                     "jb 1b\n"
                     "vmovdqu64 (%[last],%[distance]), %%zmm0\n"
                     "vmovdqu64 %%zmm0, (%[last])\n"
                     : [next] "+&r"(next)
                     : [to] "r"(to), [distance] "r"(distance), [last] "r"(last)
                     : "cc", "memory");
}

GENERAL static void copy_groups(uint64_t to, uint64_t distance, uint64_t bytes)
{
    uint64_t last = to + bytes - GROUP_SIZE, next = (to | (VECTOR_SIZE - 1)) + 1;

    __asm__ volatile("vmovdqu64 (%[to],%[distance]), %%zmm0\n"
                     "vmovdqu64 %%zmm0, (%[to])\n"
                     "jmp 2f\n"
                     "1:\n"
                     LOAD_GROUP("%[next]")
                     EACH_OF_GROUP("vmovdqa64", "%[next]", TO_MEMORY)
                     "add $256, %[next]\n"
                     "2: cmp %[last], %[next]\n"
                     "jb 1b\n"
                     LOAD_GROUP("%[last]")
                     EACH_OF_GROUP("vmovdqu64", "%[last]", TO_MEMORY)
                     : [next] "+&r"(next)
                     : [to] "r"(to), [distance] "r"(distance), [last] "r"(last)
                     : "cc", "memory");
}

GENERAL static inline void copy(const DbtJit *jit, uint64_t to, uint64_t from, uint64_t bytes, unsigned shift)
{
    bool apart = to - from >= bytes && from - to >= bytes;

    if (!jit->wide_strings || !apart || bytes < VECTOR_SIZE)
        rep_movs(to, from, bytes >> shift, shift);
    else if (bytes < GROUP_SIZE)
        copy_vectors(to, from - to, bytes);
    else
        copy_groups(to, from - to, bytes);
}

GENERAL uint64_t jit_string_run(DbtJit *jit, JitStringRegs *regs, uint32_t word)
{
    const MmuEntry *read = jit->v->mmu->tables[2 * (word >> JIT_RUN_CONTEXT_SHIFT)], *write = read + MMU_TLB_SIZE;
    uint64_t mask = word & JIT_RUN_32 ? UINT32_MAX : UINT64_MAX;
    unsigned shift = word & JIT_RUN_SHIFT;
    uint64_t left = MIN(regs->rcx, JIT_STRING_MAX >> shift) << shift, done = 0;

    if (jit->wide_strings)
        keep_vectors(jit);
    while (left) {
        uint64_t bytes = left;
        uint64_t to = host_of(write, regs->rdi & mask, &bytes), from = host_of(read, regs->rsi & mask, &bytes);

        bytes &= ~((1ull << shift) - 1);
        if (!to || !from || !bytes)
            break;
        copy(jit, to, from, bytes, shift);
        regs->rsi = (regs->rsi + bytes) & mask;
        regs->rdi = (regs->rdi + bytes) & mask;
        left -= bytes;
        done += bytes;
    }
    if (jit->wide_strings)
        put_vectors_back(jit);
    regs->rcx -= done >> shift;
    return done;
}

/* A call of jit_string_run: R11 is its word, R10 becomes its result; ZF: that is 0. */
void jit_string_glue(DbtJit *jit, JitEmit *e)
{
    const HostAddress regs = {GPR_RSP, HOST_NO_REG, 0, 0};

    jit->glue.string_run = e->at;
    jit_glue_push(e);
    emit_mov_imm(e, GPR_RDI, (uintptr_t)jit);
    emit_lea(e, true, GPR_RSI, &regs);
    emit_rr(e, false, HOST_LOAD, GPR_RDX, GPR_R11);
    jit_glue_call(jit, e, (uintptr_t)jit_string_run, 8 + JIT_GLUE_PUSHED);
    emit_rr(e, true, HOST_LOAD, GPR_R10, GPR_RAX);
    jit_glue_pop(e);
    emit_bytes(e, (const uint8_t[]){0x4d, 0x85, 0xd2, 0xc3}, 4); /* test r10, r10; ret */
}

void jit_string_init(DbtJit *jit)
{
    jit->wide_strings = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vbmi2");
}
