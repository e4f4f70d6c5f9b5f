/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Writing x86-64 host code: the few shapes the translator itself needs (SDM vol. 2, ch. 2).
 *
 * Code is written through the writable mapping of the code buffer and runs in the executable one.
 * Targets and positions are offsets into the buffer, which are the same in both.
 *
 * Overflow: the caller makes sure of room before it starts a unit (jit-code.c); an emitter asserts.
 */
#ifndef DBT_JIT_EMIT_H
#define DBT_JIT_EMIT_H

#include <glib.h>
#include <stdint.h>
#include <string.h>

#include "core/cpu-state.h"

typedef struct JitEmit {
    uint8_t *base; /* of the writable mapping */
    uint32_t at;   /* offset of the next byte */
    uint32_t end;
} JitEmit;

/* Opcodes with the register in ModRM.reg, the other operand in ModRM.rm. */
enum {
    HOST_ADD = 0x03,
    HOST_SUB = 0x2b,
    HOST_XOR = 0x33,
    HOST_AND = 0x23,
    HOST_CMP = 0x3b,
    HOST_STORE = 0x89, /* r/m = reg */
    HOST_LOAD = 0x8b,
    HOST_LEA = 0x8d,
};

/* Condition codes of Jcc. */
enum {
    HOST_B = 2,
    HOST_AE = 3,
    HOST_E = 4,
    HOST_NE = 5,
    HOST_BE = 6,
    HOST_A = 7,
    HOST_S = 8,
    HOST_G = 15,
};

#define HOST_NO_REG 0xff

static inline void emit8(JitEmit *e, uint8_t byte)
{
    g_assert(e->at < e->end);
    e->base[e->at++] = byte;
}

static inline void emit_bytes(JitEmit *e, const void *bytes, unsigned len)
{
    g_assert(len <= e->end - e->at);
    memcpy(e->base + e->at, bytes, len);
    e->at += len;
}

static inline void emit32(JitEmit *e, uint32_t value)
{
    emit_bytes(e, &value, sizeof(value));
}

static inline void emit64(JitEmit *e, uint64_t value)
{
    emit_bytes(e, &value, sizeof(value));
}

/* REX, left out when it says nothing. */
static inline void emit_rex(JitEmit *e, bool w, uint8_t reg, uint8_t index, uint8_t base)
{
    uint8_t rex = 0x40 | w << 3 | (reg >> 3 & 1) << 2 | (index >> 3 & 1) << 1 | (base >> 3 & 1);

    if (rex != 0x40)
        emit8(e, rex);
}

/* ModRM, SIB and displacement of [base + disp]. */
static inline void emit_base_disp(JitEmit *e, uint8_t reg, uint8_t base, int32_t disp)
{
    uint8_t mod = disp == 0 && (base & 7) != GPR_RBP ? 0 : disp == (int8_t)disp ? 1 : 2;

    emit8(e, mod << 6 | (reg & 7) << 3 | (base & 7));
    if ((base & 7) == GPR_RSP)
        emit8(e, 0x24);
    if (mod == 1)
        emit8(e, (uint8_t)disp);
    else if (mod == 2)
        emit32(e, (uint32_t)disp);
}

/* op reg, rm between registers. */
static inline void emit_rr(JitEmit *e, bool w, uint8_t opcode, uint8_t reg, uint8_t rm)
{
    emit_rex(e, w, reg, 0, rm);
    emit8(e, opcode);
    emit8(e, 0xc0 | (reg & 7) << 3 | (rm & 7));
}

/* op reg, [base + disp]. */
static inline void emit_rm(JitEmit *e, bool w, uint8_t opcode, uint8_t reg, uint8_t base, int32_t disp)
{
    emit_rex(e, w, reg, 0, base);
    emit8(e, opcode);
    emit_base_disp(e, reg, base, disp);
}

/* The address of a memory operand in host registers; HOST_NO_REG: none. */
typedef struct HostAddress {
    uint8_t base, index, scale; /* scale: log2 */
    int32_t disp;
} HostAddress;

static inline void emit_address(JitEmit *e, uint8_t reg, const HostAddress *a)
{
    uint8_t sib;

    if (a->index == HOST_NO_REG && a->base != HOST_NO_REG) {
        emit_base_disp(e, reg, a->base, a->disp);
        return;
    }
    sib = a->scale << 6 | (a->index == HOST_NO_REG ? 4 : a->index & 7) << 3;
    if (a->base == HOST_NO_REG) {
        emit8(e, (reg & 7) << 3 | 4);
        emit8(e, sib | 5);
        emit32(e, (uint32_t)a->disp);
        return;
    }
    /* Always with a displacement, which spares the exceptions for RBP and R13. */
    emit8(e, (a->disp == (int8_t)a->disp ? 0x40 : 0x80) | (reg & 7) << 3 | 4);
    emit8(e, sib | (a->base & 7));
    if (a->disp == (int8_t)a->disp)
        emit8(e, (uint8_t)a->disp);
    else
        emit32(e, (uint32_t)a->disp);
}

static inline uint8_t address_high(uint8_t reg)
{
    return reg == HOST_NO_REG ? 0 : reg;
}

/* op reg, address. */
static inline void emit_at(JitEmit *e, bool w, uint8_t opcode, uint8_t reg, const HostAddress *a)
{
    emit_rex(e, w, reg, address_high(a->index), address_high(a->base));
    emit8(e, opcode);
    emit_address(e, reg, a);
}

/* lea reg, address; w: 64 bits, else the result is cut to 32. */
static inline void emit_lea(JitEmit *e, bool w, uint8_t reg, const HostAddress *a)
{
    emit_rex(e, w, reg, address_high(a->index), address_high(a->base));
    emit8(e, HOST_LEA);
    emit_address(e, reg, a);
}

/* op reg, gs:[index * 2^scale + disp]; index HOST_NO_REG: none. */
static inline void emit_gs_scaled(JitEmit *e, bool w, uint8_t opcode, uint8_t reg, uint8_t index, uint8_t scale,
                                  int32_t disp)
{
    const HostAddress a = {HOST_NO_REG, index, scale, disp};

    emit8(e, 0x65);
    emit_rex(e, w, reg, address_high(index), 0);
    emit8(e, opcode);
    emit_address(e, reg, &a);
}

static inline void emit_gs(JitEmit *e, bool w, uint8_t opcode, uint8_t reg, uint8_t index, int32_t disp)
{
    emit_gs_scaled(e, w, opcode, reg, index, 0, disp);
}

/* mov reg, value in the shortest form; flags stay. */
static inline void emit_mov_imm(JitEmit *e, uint8_t reg, uint64_t value)
{
    if (value <= UINT32_MAX) {
        emit_rex(e, false, 0, 0, reg);
        emit8(e, 0xb8 | (reg & 7));
        emit32(e, (uint32_t)value);
    } else if ((int64_t)value == (int32_t)value) {
        emit_rex(e, true, 0, 0, reg);
        emit8(e, 0xc7);
        emit8(e, 0xc0 | (reg & 7));
        emit32(e, (uint32_t)value);
    } else {
        emit_rex(e, true, 0, 0, reg);
        emit8(e, 0xb8 | (reg & 7));
        emit64(e, value);
    }
}

/* cmp reg, imm32 (64 bits). */
static inline void emit_cmp_imm(JitEmit *e, uint8_t reg, int32_t value)
{
    emit_rex(e, true, 0, 0, reg);
    emit8(e, 0x81);
    emit8(e, 0xc0 | 7 << 3 | (reg & 7));
    emit32(e, (uint32_t)value);
}

/* cmp reg32, value. */
static inline void emit_cmp_imm32(JitEmit *e, uint8_t reg, uint32_t value)
{
    bool brief = (int32_t)value == (int8_t)value;

    emit_rex(e, false, 0, 0, reg);
    emit8(e, brief ? 0x83 : 0x81);
    emit8(e, 0xc0 | 7 << 3 | (reg & 7));
    if (brief)
        emit8(e, (uint8_t)value);
    else
        emit32(e, value);
}

/* The rel32 whose four bytes begin at offset at. */
static inline void emit_patch(JitEmit *e, uint32_t at, uint32_t target)
{
    uint32_t rel = target - (at + 4);

    memcpy(e->base + at, &rel, sizeof(rel));
}

/* These return where the rel32 is, for emit_patch. */
static inline uint32_t emit_jmp(JitEmit *e, uint32_t target)
{
    emit8(e, 0xe9);
    emit32(e, target - (e->at + 4));
    return e->at - 4;
}

static inline uint32_t emit_jcc(JitEmit *e, uint8_t cc, uint32_t target)
{
    emit8(e, 0x0f);
    emit8(e, 0x80 | cc);
    emit32(e, target - (e->at + 4));
    return e->at - 4;
}

static inline void emit_push_all(JitEmit *e, const uint8_t *regs, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        emit_rex(e, false, 0, 0, regs[i]);
        emit8(e, 0x50 | (regs[i] & 7));
    }
}

/* The last one first. */
static inline void emit_pop_all(JitEmit *e, const uint8_t *regs, unsigned count)
{
    while (count-- > 0) {
        emit_rex(e, false, 0, 0, regs[count]);
        emit8(e, 0x58 | (regs[count] & 7));
    }
}

static inline void emit_call(JitEmit *e, uint32_t target)
{
    emit8(e, 0xe8);
    emit32(e, target - (e->at + 4));
}

/*
 * Arithmetic flags as LAHF and SETO leave them in AX, which is cheaper than PUSHF and POPF by ten
 * times (see op-util.h).
 */
static inline void emit_flags_to_ax(JitEmit *e)
{
    emit_bytes(e, (const uint8_t[]){0x9f, 0x0f, 0x90, 0xc0}, 4);
}

static inline void emit_flags_from_ax(JitEmit *e)
{
    emit_bytes(e, (const uint8_t[]){0x04, 0x7f, 0x9e}, 3);
}

#endif
