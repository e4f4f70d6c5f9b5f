/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The code buffer of a vCPU, and the code in it that all units use (glue).
 *
 * One sealed memfd is mapped twice, writable and executable, never both in one mapping:
 *
 *     glue | part 0: units, growing up --> | their stubs, growing up --> | part 1: ...
 *
 * Stubs are what runs rarely (TLB misses, exits not linked); apart from the units they cost the
 * instruction cache nothing. Parts are used in turn (jit-part.c).
 *
 * Glue is made for one vCPU, so the addresses of its state are constants in it. It changes between
 * the two worlds: C's registers, and the guest's as jit.h describes them.
 */
#include "accel/dbt/jit.h"

#include <asm/prctl.h>
#include <fcntl.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "accel/dbt/mmu-priv.h"
#include "core/error.h"
#include "core/host.h"

/* What one unit may take: 64 instructions, and a bound for each in hot and in cold code, on average: there are not many that take more. */
#define UNIT_HOT_MAX (BLOCK_MAX_INSNS * 400 + 512 + JIT_PLACES)
#define UNIT_COLD_MAX (BLOCK_MAX_INSNS * 160 + 256)
/* What is worth a part. */
#define PART_MIN (128 * (uint32_t)KIB)
#define HWCAP2_FSGSBASE_BIT (1 << 1)

#define FRAME(field) ((int32_t)offsetof(JitFrame, field))
#define AREA(jit, field) ((int32_t)jit_area_offset(jit, offsetof(JitArea, field)))
#define GPR(number) ((int32_t)(offsetof(CpuState, gpr) + 8 * (number)))

/* Guest registers that are in a host register: themselves, and RSP in R9. */
static const uint8_t mapped[][2] = {
    {GPR_RAX, GPR_RAX}, {GPR_RCX, GPR_RCX}, {GPR_RDX, GPR_RDX}, {GPR_RBX, GPR_RBX}, {GPR_RSP, GPR_R9},
    {GPR_RBP, GPR_RBP}, {GPR_RSI, GPR_RSI}, {GPR_RDI, GPR_RDI}, {GPR_R8, GPR_R8},   {GPR_R12, GPR_R12},
    {GPR_R13, GPR_R13}, {GPR_R14, GPR_R14}, {GPR_R15, GPR_R15},
};

static const uint8_t callee_saved[] = {GPR_RBX, GPR_RBP, GPR_R12, GPR_R13, GPR_R14, GPR_R15};

#define VECTOR(number) ((int32_t)(offsetof(CpuState, fpu.zmm) + 64 * (number)))

/* (v)movups between vector register n and its place in CpuState at R10, without bits 511:256; opcode 10 loads, 11
 * stores. */
static void emit_vector(JitEmit *e, uint8_t opcode, uint8_t n)
{
    if (__builtin_cpu_supports("avx")) {
        emit8(e, 0xc4);
        emit8(e, (n & 8 ? 0 : 0x80) | 0x41); /* R, X, base R10, map 0F */
        emit8(e, 0x7c);                      /* 256 bits */
    } else {
        emit_rex(e, false, n, 0, GPR_R10);
        emit8(e, 0x0f);
    }
    emit8(e, opcode);
    emit_base_disp(e, n, GPR_R10, VECTOR(n));
}

/* vmovups zmm, [r10 + disp32]. */
static void emit_wide_vector(JitEmit *e, uint8_t opcode, uint8_t n)
{
    emit8(e, 0x62);
    emit8(e, (n & 8 ? 0 : 0x80) | 0x41 | (n & 16 ? 0 : 0x10)); /* R, X, base R10, R', map 0F */
    emit_bytes(e, (const uint8_t[]){0x7c, 0x48, opcode, 0x82 | (n & 7) << 3}, 4);
    emit32(e, (uint32_t)VECTOR(n));
}

/* kmovq; opcode 90 loads, 91 stores. */
static void emit_opmask(JitEmit *e, uint8_t opcode, uint8_t n)
{
    emit_bytes(e, (const uint8_t[]){0xc4, 0xc1, 0xf8, opcode}, 4); /* base R10, map 0F, W */
    emit_base_disp(e, n, GPR_R10, (int32_t)(offsetof(CpuState, fpu.opmask) + 8 * n));
}

/* ldmxcsr (/2), stmxcsr (/3) [r10 + offset of the guest's]. */
static void emit_mxcsr(JitEmit *e, uint8_t digit)
{
    emit_rex(e, false, 0, 0, GPR_R10);
    emit_bytes(e, (const uint8_t[]){0x0f, 0xae}, 2);
    emit_base_disp(e, digit, GPR_R10, (int32_t)offsetof(CpuState, fpu.mxcsr));
}

/* Registers 0 to 15, in full if the instruction test_wide (NULL: never) clears ZF. */
static void emit_low_vectors(JitEmit *e, uint8_t opcode, const uint8_t test_wide[4])
{
    uint32_t narrow, done = 0;

    if (test_wide) {
        emit_bytes(e, test_wide, 4);
        narrow = emit_jcc(e, HOST_E, 0);
        for (uint8_t i = 0; i < 16; i++)
            emit_wide_vector(e, opcode, i);
        done = emit_jmp(e, 0);
        emit_patch(e, narrow, e->at);
    }
    for (uint8_t i = 0; i < 16; i++)
        emit_vector(e, opcode, i);
    if (test_wide)
        emit_patch(e, done, e->at);
}

static void emit_high_vectors(JitEmit *e, uint8_t vector_opcode, uint8_t mask_opcode)
{
    for (uint8_t i = 16; i < 32; i++)
        emit_wide_vector(e, vector_opcode, i);
    for (uint8_t i = 0; i < 8; i++)
        emit_opmask(e, mask_opcode, i);
}

static void glue_load_vectors(DbtJit *jit, JitEmit *e, bool avx512)
{
    static const uint8_t test_wide[] = {0x41, 0xf6, 0xc3, JIT_VECTORS_WIDE}; /* test r11b, */
    uint32_t low, high, narrow;

    jit->glue.load_vectors = e->at;
    emit_bytes(e, (const uint8_t[]){0x41, 0xf6, 0xc3, JIT_VECTORS_LOW}, 4);
    low = emit_jcc(e, HOST_E, 0);
    if (avx512) {
        emit_mov_imm(e, GPR_R10, (uintptr_t)&jit->v->wide_vectors);
        emit_bytes(e, (const uint8_t[]){0x41, 0x80, 0x3a, 0}, 4); /* cmp byte [r10], 0 */
        narrow = emit_jcc(e, HOST_E, 0);
        emit_bytes(e, (const uint8_t[]){0x41, 0x83, 0xcb, JIT_VECTORS_WIDE}, 4); /* or r11d, */
        emit_patch(e, narrow, e->at);
    }
    emit_mov_imm(e, GPR_R10, (uintptr_t)jit->v->state);
    emit_mxcsr(e, 2);
    emit_low_vectors(e, 0x10, avx512 ? test_wide : NULL);
    emit_patch(e, low, e->at);
    if (avx512) {
        emit_bytes(e, (const uint8_t[]){0x41, 0xf6, 0xc3, JIT_VECTORS_HIGH}, 4);
        high = emit_jcc(e, HOST_E, 0);
        emit_mov_imm(e, GPR_R10, (uintptr_t)jit->v->state);
        emit_high_vectors(e, 0x10, 0x90);
        emit_patch(e, high, e->at);
    }
    emit8(e, 0xc3);
}

static void glue_save_vectors(DbtJit *jit, JitEmit *e, bool avx512)
{
    static const uint8_t test_wide[] = {0xf6, 0xc0, JIT_VECTORS_WIDE, 0x90}; /* test al, ; nop */
    const HostAddress host_mxcsr = {HOST_NO_REG, HOST_NO_REG, 0, AREA(jit, host_mxcsr)};
    uint32_t low, high, narrow;

    jit->glue.save_vectors = e->at;
    if (avx512) {
        emit_bytes(e, (const uint8_t[]){0xa8, JIT_VECTORS_HIGH}, 2); /* test al, */
        high = emit_jcc(e, HOST_E, 0);
        emit_high_vectors(e, 0x11, 0x91);
        emit_patch(e, high, e->at);
    }
    emit_bytes(e, (const uint8_t[]){0xa8, JIT_VECTORS_LOW}, 2);
    low = emit_jcc(e, HOST_E, 0);
    emit_mxcsr(e, 3);
    emit_low_vectors(e, 0x11, avx512 ? test_wide : NULL);
    if (avx512) {
        emit_bytes(e, (const uint8_t[]){0xa8, JIT_VECTORS_WIDE}, 2);
        narrow = emit_jcc(e, HOST_E, 0);
        emit_mov_imm(e, GPR_RAX, (uintptr_t)&jit->v->wide_vectors);
        emit_bytes(e, (const uint8_t[]){0xc6, 0x00, 0x01}, 3); /* mov byte [rax], 1 */
        emit_patch(e, narrow, e->at);
    }
    emit_bytes(e, (const uint8_t[]){0x65, 0x0f, 0xae}, 3); /* ldmxcsr gs:[host_mxcsr] */
    emit_address(e, 2, &host_mxcsr);
    emit_patch(e, low, e->at);
    if (__builtin_cpu_supports("avx"))
        emit_bytes(e, (const uint8_t[]){0xc5, 0xf8, 0x77}, 3); /* vzeroupper */
    emit8(e, 0xc3);
}

static void glue_vectors(DbtJit *jit, JitEmit *e)
{
    bool avx512 = dbt_host_has_avx512();

    glue_load_vectors(jit, e, avx512);
    glue_save_vectors(jit, e, avx512);
}

void jit_glue_call(DbtJit *jit, JitEmit *e, uintptr_t function, uint32_t depth)
{
    JitGlueCall *call = &jit->glue.calls[jit->glue.call_count++];

    g_assert(jit->glue.call_count <= G_N_ELEMENTS(jit->glue.calls) && depth % 16 == 0);
    call->begin = e->at;
    emit_mov_imm(e, GPR_RAX, function);
    emit_bytes(e, (const uint8_t[]){0xff, 0xd0}, 2); /* call rax */
    call->end = e->at;
    call->depth = depth;
}

static const uint8_t pushed[] = {GPR_RAX, GPR_RCX, GPR_RDX, GPR_RSI, GPR_RDI, GPR_R8, GPR_R9};

G_STATIC_ASSERT(8 * G_N_ELEMENTS(pushed) == JIT_GLUE_PUSHED);

void jit_glue_push(JitEmit *e)
{
    emit_push_all(e, pushed, G_N_ELEMENTS(pushed));
}

void jit_glue_pop(JitEmit *e)
{
    emit_pop_all(e, pushed, G_N_ELEMENTS(pushed));
}

/* A call of jit_x87_load from any place in translated code. */
static void glue_x87(DbtJit *jit, JitEmit *e)
{
    static const uint8_t saved[] = {GPR_RCX, GPR_RDX, GPR_RSI, GPR_RDI, GPR_R8, GPR_R9};
    const HostAddress down = {GPR_RSP, HOST_NO_REG, 0, -8}, up = {GPR_RSP, HOST_NO_REG, 0, 8};

    jit->glue.load_x87 = e->at;
    emit8(e, 0x50); /* push rax; flags; push rax */
    emit_flags_to_ax(e);
    emit8(e, 0x50);
    emit_push_all(e, saved, G_N_ELEMENTS(saved));
    emit_lea(e, true, GPR_RSP, &down);
    emit_mov_imm(e, GPR_RDI, (uintptr_t)jit);
    jit_glue_call(jit, e, (uintptr_t)jit_x87_load, 8 * (4 + G_N_ELEMENTS(saved)));
    emit_lea(e, true, GPR_RSP, &up);
    emit_pop_all(e, saved, G_N_ELEMENTS(saved));
    emit8(e, 0x58); /* pop rax; flags; pop rax; ret */
    emit_flags_from_ax(e);
    emit_bytes(e, (const uint8_t[]){0x58, 0xc3}, 2);
}

/* Calls a routine if there are vector registers of the guest's, which ones in reg; changes flags. */
static void glue_call_if_vectors(JitEmit *e, uint8_t reg, int32_t depth, uint32_t routine)
{
    uint32_t none;

    emit_rm(e, false, HOST_LOAD, reg, GPR_RSP, FRAME(vectors) + depth);
    emit_rr(e, false, 0x85, reg, reg); /* test */
    none = emit_jcc(e, HOST_E, 0);
    emit_call(e, routine);
    emit_patch(e, none, e->at);
}

/* Guest registers to CpuState, flags to area.flags, R10 to area.target. R11 stays. depth: bytes on
 * the stack above the frame. in_frame: the flags are in frame.flags already. */
static void glue_save(DbtJit *jit, JitEmit *e, int32_t depth, bool in_frame)
{
    emit_gs(e, true, HOST_STORE, GPR_R10, HOST_NO_REG, AREA(jit, target));
    emit_mov_imm(e, GPR_R10, (uintptr_t)jit->v->state);
    for (unsigned i = 0; i < G_N_ELEMENTS(mapped); i++)
        emit_rm(e, true, HOST_STORE, mapped[i][1], GPR_R10, GPR(mapped[i][0]));
    if (in_frame)
        emit_rm(e, true, HOST_LOAD, GPR_RAX, GPR_RSP, FRAME(flags) + depth);
    else
        emit_flags_to_ax(e);
    emit_gs(e, true, HOST_STORE, GPR_RAX, HOST_NO_REG, AREA(jit, flags));
    for (unsigned i = 0; i < 3; i++) {
        emit_rm(e, true, HOST_LOAD, GPR_RAX, GPR_RSP, FRAME(spill) + 8 * (int32_t)i + depth);
        emit_rm(e, true, HOST_STORE, GPR_RAX, GPR_R10, GPR(GPR_R9 + i));
    }
    glue_call_if_vectors(e, GPR_RAX, depth, jit->glue.save_vectors);
}

/* The way back. Changes all registers. */
static void glue_load(DbtJit *jit, JitEmit *e, int32_t depth)
{
    static const SegIndex segs[] = {SEG_FS, SEG_GS};

    emit_mov_imm(e, GPR_R10, (uintptr_t)&jit->v->seg_base[0]);
    for (unsigned i = 0; i < 2; i++) {
        emit_rm(e, true, HOST_LOAD, GPR_RAX, GPR_R10, (int32_t)(8 * segs[i]));
        emit_rm(e, true, HOST_STORE, GPR_RAX, GPR_RSP, FRAME(seg_base) + 8 * (int32_t)i + depth);
    }
    glue_call_if_vectors(e, GPR_R11, depth, jit->glue.load_vectors);
    emit_rm(e, false, HOST_STORE, GPR_R11, GPR_RSP, FRAME(vectors) + depth);
    emit_mov_imm(e, GPR_R10, (uintptr_t)jit->v->state);
    for (unsigned i = 0; i < 3; i++) {
        emit_rm(e, true, HOST_LOAD, GPR_RAX, GPR_R10, GPR(GPR_R9 + i));
        emit_rm(e, true, HOST_STORE, GPR_RAX, GPR_RSP, FRAME(spill) + 8 * (int32_t)i + depth);
    }
    emit_gs(e, true, HOST_LOAD, GPR_RAX, HOST_NO_REG, AREA(jit, flags));
    emit_rm(e, true, HOST_STORE, GPR_RAX, GPR_RSP, FRAME(flags) + depth);
    emit_flags_from_ax(e);
    for (unsigned i = 0; i < G_N_ELEMENTS(mapped); i++)
        emit_rm(e, true, HOST_LOAD, mapped[i][1], GPR_R10, GPR(mapped[i][0]));
}

/* Back to C: RSP is depth below the frame, EAX is the result. */
static void glue_return(JitEmit *e, int32_t depth)
{
    const HostAddress frame_end = {GPR_RSP, HOST_NO_REG, 0, depth + (int32_t)sizeof(JitFrame)};

    emit_lea(e, true, GPR_RSP, &frame_end);
    emit_pop_all(e, callee_saved, G_N_ELEMENTS(callee_saved));
    emit8(e, 0xc3);
}

/* uint32_t enter(const void *entry). */
static void glue_enter(DbtJit *jit, JitEmit *e)
{
    const HostAddress frame = {GPR_RSP, HOST_NO_REG, 0, -(int32_t)sizeof(JitFrame)};

    jit->glue.enter = e->at;
    emit_push_all(e, callee_saved, G_N_ELEMENTS(callee_saved));
    emit_lea(e, true, GPR_RSP, &frame);
    emit_rm(e, true, HOST_STORE, GPR_RDI, GPR_RSP, FRAME(entry));
    emit_rm(e, true, 0xc7, 0, GPR_RSP, FRAME(vectors)); /* mov qword, 0 */
    emit32(e, 0);
    glue_load(jit, e, 0);
    emit8(e, 0xff); /* jmp [rsp + entry] */
    emit_base_disp(e, 4, GPR_RSP, FRAME(entry));
}

/* Called from a unit, with the return address on the stack. */
static void glue_interpret(DbtJit *jit, JitEmit *e, bool in_frame)
{
    const HostAddress down = {GPR_RSP, HOST_NO_REG, 0, -8}, up = {GPR_RSP, HOST_NO_REG, 0, 8};
    const HostAddress frame = {GPR_RSP, HOST_NO_REG, 0, 16};
    uint32_t leave, really;

    jit->glue.interpret[in_frame] = e->at;
    if (in_frame)
        jit_glue_settle_flags(jit, e, true);
    glue_save(jit, e, 8, in_frame);
    emit_mov_imm(e, GPR_RDI, (uintptr_t)jit);
    emit_rr(e, false, HOST_STORE, GPR_R11, GPR_RSI);
    emit_lea(e, true, GPR_RSP, &down);
    jit_glue_call(jit, e, (uintptr_t)jit_interpret, 16);
    emit_bytes(e, (const uint8_t[]){0x85, 0xc0}, 2); /* test eax, eax */
    leave = emit_jcc(e, HOST_NE, 0);
    emit_lea(e, true, GPR_RSP, &up);
    glue_load(jit, e, 8);
    emit8(e, 0xc3);
    emit_patch(e, leave, e->at);
    emit_bytes(e, (const uint8_t[]){0x83, 0xf8, JIT_LEAVE}, 3); /* cmp eax, */
    really = emit_jcc(e, HOST_E, 0);
    emit_lea(e, true, GPR_RSP, &frame);
    glue_load(jit, e, 0);
    emit_gs(e, false, 0xff, 4, HOST_NO_REG, AREA(jit, resume)); /* jmp */
    emit_patch(e, really, e->at);
    emit_mov_imm(e, GPR_RAX, JIT_EXIT_LEFT);
    glue_return(e, 16);
}

static void glue_leave(DbtJit *jit, JitEmit *e, bool in_frame)
{
    jit->glue.leave[in_frame] = e->at;
    if (in_frame)
        jit_glue_settle_flags(jit, e, false);
    glue_save(jit, e, 0, in_frame);
    emit_rr(e, false, HOST_STORE, GPR_R11, GPR_RAX);
    glue_return(e, 0);
}

/* Flags are in the frame. Which unit it was matters only for addresses that are not canonical, and this is address 2. */
static void glue_leave_empty(DbtJit *jit, JitEmit *e)
{
    jit->glue.leave_empty = e->at;
    emit_mov_imm(e, GPR_R11, JIT_ID(0, JIT_EXIT_INDIRECT));
    emit_jmp(e, jit->glue.leave[true]);
}

static void emit_glue(DbtJit *jit)
{
    JitEmit *e = &jit->hot;

    jit->area->host_mxcsr = 0x1f80;
    glue_vectors(jit, e);
    glue_x87(jit, e);
    glue_enter(jit, e);
    jit_remake_glue(jit, e);
    for (unsigned in_frame = 0; in_frame < 2; in_frame++) {
        glue_interpret(jit, e, in_frame);
        glue_leave(jit, e, in_frame);
    }
    glue_leave_empty(jit, e);
    jit_sites_glue(jit, e);
    jit_string_glue(jit, e);
    jit_gather_glue(jit, e);
    jit->after_glue = (uint32_t)align_up(e->at, 64);
}

void jit_code_use_part(DbtJit *jit, unsigned part)
{
    uint32_t begin = jit->after_glue + part * jit->part_code;
    uint32_t cold = (uint32_t)align_up(begin + jit->part_code / 5 * 3, 64);

    jit->hot = (JitEmit){.base = jit->rw, .at = begin, .end = cold};
    jit->cold = (JitEmit){.base = jit->rw, .at = cold, .end = begin + jit->part_code};
}

uint32_t jit_code_used(const DbtJit *jit)
{
    uint32_t begin = jit->after_glue + jit->part * jit->part_code;

    return jit->hot.at - begin + jit->cold.at - jit->hot.end;
}

bool jit_code_has_room(const DbtJit *jit)
{
    return jit->hot.end - jit->hot.at > UNIT_HOT_MAX && jit->cold.end - jit->cold.at > UNIT_COLD_MAX;
}

uint32_t jit_code_enter(DbtJit *jit, uint32_t entry)
{
    uint32_t (*enter)(const void *) = (uint32_t(*)(const void *))(uintptr_t)(jit->rx + jit->glue.enter);

    return enter(jit->rx + entry);
}

void jit_code_use_gs(const DbtJit *jit)
{
    uintptr_t base = (uintptr_t)jit->area - jit->tables;

    if (getauxval(AT_HWCAP2) & HWCAP2_FSGSBASE_BIT)
        __asm__ volatile("wrgsbase %0" : : "r"(base));
    else
        syscall(SYS_arch_prctl, ARCH_SET_GS, base);
}

static bool map_sealed_file(DbtJit *jit, GError **errp)
{
    int fd = host_memfd("dbt-code", jit->size, 0, errp);

    if (fd < 0)
        return false;
    fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL);
    jit->rw = host_mmap(jit->size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0, "translated code", errp);
    if (jit->rw)
        jit->rx = host_mmap(jit->size, PROT_READ | PROT_EXEC, MAP_SHARED, fd, 0, "executable translated code", errp);
    close(fd);
    return jit->rx;
}

/* perf looks for names in its map only for memory without a file, so the second mapping is made from the first. */
static bool map_for_perf(DbtJit *jit, GError **errp)
{
    void *rx;

    jit->rw = host_mmap(jit->size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0, "translated code", errp);
    if (!jit->rw)
        return false;
    rx = mremap(jit->rw, 0, jit->size, MREMAP_MAYMOVE);
    if (rx != MAP_FAILED)
        jit->rx = rx;
    if (!jit->rx || mprotect(rx, jit->size, PROT_READ | PROT_EXEC) != 0)
        return error_set_errno(errp, errno, "cannot map executable translated code a second time");
    return true;
}

bool jit_code_init(DbtJit *jit, GError **errp)
{
    jit->size = (uint32_t)align_down(dbt_budget(jit->v, 64), GUEST_PAGE_SIZE);
    if (!(jit->v->accel->perf_map ? map_for_perf(jit, errp) : map_sealed_file(jit, errp)))
        return false;
    jit->hot = (JitEmit){.base = jit->rw, .at = 0, .end = jit->size};
    emit_glue(jit);
    jit->part_count = CLAMP(jit->size / PART_MIN, 2, JIT_PARTS_MAX);
    jit->part_code = (jit->size - jit->after_glue) / jit->part_count & ~63u;
    jit_look_glue(jit);
    return true;
}

void jit_code_release(DbtJit *jit)
{
    if (jit->rw)
        munmap(jit->rw, jit->size);
    if (jit->rx)
        munmap(jit->rx, jit->size);
}
