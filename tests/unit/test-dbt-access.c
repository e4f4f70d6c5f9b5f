/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Random programs of memory accesses, made to find one that translated code does not check (accel/dbt/jit-group.c and those it
 * names): registers that are copied, moved by constants of any size, counted up and down in 32 bits, where they wrap around, limited,
 * written in part or by instructions that do not show it, as bases and indices of accesses that share checks; pages that lie scattered, some of them read-only, absent or a device's, and
 * change meanwhile. The interpreter runs each program as well: registers, memory and the fault it ends with have to be the same.
 * Pages lie where no distance leads from one to the other, so an access of the wrong one shows. Programs run as a kernel does, with
 * SMAP or without, or as a user's, and pages are of the one or the other kind. A seed replays one program:
 *
 *     test-dbt-access [programs [first seed]]
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "accel/dbt/jit.h"
#include "accel/dbt/mmu.h"
#include "core/thread.h"
#include "dbt-rig.h"

#define PAGE 0x1000u
#define PAGES 16u        /* at RIG_DATA */
#define SPARE 0x100000u  /* where they lie */
#define DEVICE 0x8000000u /* where nothing is */
#define TSS 0x7000u
#define TURNS 40
#define RUNS 3

enum { P = 1, W = 2, U = 4, PTE_ACCESSED = 0x20, PTE_DIRTY = 0x40 };

static uint32_t programs = 1000, first_seed = 1;

/* --- Encoding. --- */

typedef enum Rights {
    KERNEL,
    KERNEL_SMAP, /* AC comes and goes */
    USER,
} Rights;

typedef struct Program {
    GRand *rand;
    Rights rights;
    bool aliases; /* each GiB around has the same memory */
    uint8_t code[4000];
    unsigned len;
} Program;

static uint32_t below(Program *p, uint32_t n)
{
    return g_rand_int(p->rand) % n;
}

static void put(Program *p, uint8_t byte)
{
    g_assert(p->len < sizeof(p->code));
    p->code[p->len++] = byte;
}

static void put32(Program *p, uint32_t value)
{
    for (unsigned i = 0; i < 4; i++)
        put(p, (uint8_t)(value >> 8 * i));
}

/* Bytes of an opcode, the last one first: 0x0fb6 is two. */
static void put_opcode(Program *p, uint32_t opcode)
{
    if (opcode >> 8)
        put(p, (uint8_t)(opcode >> 8));
    put(p, (uint8_t)opcode);
}

/* An operand in memory; index INSN_NO_REG: none. base INSN_NO_REG: disp is the address. */
typedef struct Mem {
    uint8_t base, index, scale;
    int32_t disp;
} Mem;

static void put_mem(Program *p, bool wide, uint32_t opcode, uint8_t reg, Mem m)
{
    bool none = m.base == INSN_NO_REG;

    put(p, 0x40 | wide << 3 | (reg >> 3) << 2 | (m.index == INSN_NO_REG ? 0 : m.index >> 3) << 1 | (none ? 0 : m.base >> 3));
    put_opcode(p, opcode);
    put(p, (none ? 0 : 0x80) | (reg & 7) << 3 | 4);
    put(p, m.scale << 6 | (m.index == INSN_NO_REG ? 4 : m.index & 7) << 3 | (none ? 5 : m.base & 7));
    put32(p, (uint32_t)m.disp);
}

static void put_regs(Program *p, bool wide, uint32_t opcode, uint8_t reg, uint8_t rm)
{
    put(p, 0x40 | wide << 3 | (reg >> 3) << 2 | rm >> 3);
    put_opcode(p, opcode);
    put(p, 0xc0 | (reg & 7) << 3 | (rm & 7));
}

/* op rm, imm32: opcode 81, or a shift by imm8. */
static void put_imm(Program *p, bool wide, uint8_t digit, uint8_t rm, uint32_t imm)
{
    put_regs(p, wide, 0x81, digit, rm);
    put32(p, imm);
}

static void put_shift(Program *p, bool wide, uint8_t rm, uint8_t count)
{
    put_regs(p, wide, 0xc1, 5, rm);
    put(p, count);
}

enum { ADD = 0, OR = 1, AND = 4, SUB = 5, CMP = 7 };

/* --- What programs are made of. --- */

static const uint8_t pointers[] = {GPR_RBX, GPR_RBP, GPR_RSI, GPR_RDI, GPR_R8, GPR_R12, GPR_R13, GPR_R9, GPR_RSP};
static const uint8_t values[] = {GPR_RAX, GPR_RCX, GPR_RDX, GPR_R10, GPR_R11, GPR_R14};

static uint8_t pointer(Program *p)
{
    return pointers[below(p, G_N_ELEMENTS(pointers) - (below(p, 3) > 0))];
}

static uint8_t value(Program *p)
{
    return values[below(p, G_N_ELEMENTS(values))];
}

static int32_t near(Program *p)
{
    return (int32_t)below(p, 161) - 80;
}

/* Distances that wrap around where they are added up in too few bits. */
static int32_t far(Program *p)
{
    static const int32_t all[] = {0x1000, -0x1000, 0x40000000, -0x40000000, 0x7fffff00, -0x7fffff00, 0x7ffffff0, 0x200};

    return all[below(p, G_N_ELEMENTS(all))];
}

/* Loads, stores and both, of 1 to 16 bytes. The interpreter has CMPXCHG of AH, whatever is checked for it. */
static void any_access(Program *p, Mem m)
{
    static const uint16_t opcodes[] = {0x8b, 0x8b, 0x89, 0x89, 0x03, 0x01, 0x8a, 0x88, 0x0fb6, 0x0fbf, 0x0fb1, 0x0fc1, 0x33, 0x3b};

    if (m.base < 8 && m.index == INSN_NO_REG && !below(p, 4)) { /* AH */
        put_opcode(p, below(p, 2) ? 0x0fb0 : 0x88);
        put(p, 0x80 | 4 << 3 | 4);
        put(p, 4 << 3 | m.base);
        put32(p, (uint32_t)m.disp);
    } else if (!below(p, 12)) { /* MOVDQU */
        put(p, 0xf3);
        put_mem(p, false, below(p, 2) ? 0x0f6f : 0x0f7f, (uint8_t)below(p, 2), m);
    } else {
        put_mem(p, below(p, 2), opcodes[below(p, G_N_ELEMENTS(opcodes))], value(p), m);
    }
}

static void near_pointer(Program *p)
{
    any_access(p, (Mem){pointer(p), INSN_NO_REG, 0, near(p)});
}

/* A register that is limited, or looks so, and what it is the index of. */
static void limit(Program *p, uint8_t reg)
{
    uint8_t from = value(p);

    switch (below(p, 8)) {
    case 0:
        put_regs(p, below(p, 2), 0x0fb6, reg, from); /* movzx from 8 bits */
        break;
    case 1:
        put_imm(p, below(p, 2), AND, reg, below(p, 2) ? 0xff : 0x1ff8);
        break;
    case 2:
        put_regs(p, false, 0x8b, reg, from);
        put_shift(p, false, reg, 20 + (uint8_t)below(p, 12));
        break;
    case 3:
        put_regs(p, true, 0x8b, reg, from);
        put_shift(p, true, reg, 48 + (uint8_t)below(p, 16));
        break;
    case 4: /* the upper half may stay */
        put_regs(p, false, below(p, 2) ? 0x0fb1 : 0x0fbc, from, reg); /* cmpxchg, bsf */
        put_shift(p, true, reg, 32);
        break;
    case 5:
        put_regs(p, false, 0x0f42, reg, from); /* cmovb */
        put_shift(p, false, reg, 24);
        break;
    case 6:
        put_imm(p, false, AND, reg, 0x3f);
        put_regs(p, below(p, 2), 0x8b, from, reg);
        break;
    default:
        put_imm(p, true, AND, reg, 0x7f);
        put(p, 0x66); /* and then 16 or 8 bits of it change */
        put_regs(p, false, below(p, 2) ? 0x8b : 0x8a, reg, from);
        put_imm(p, true, AND, reg, 0xfff);
        break;
    }
}

static void elements(Program *p)
{
    uint8_t base = pointer(p), index = value(p), other = pointer(p);
    uint8_t scale = (uint8_t)below(p, 4);
    int32_t disp = near(p), moved = below(p, 2) ? near(p) : far(p);

    limit(p, index);
    any_access(p, (Mem){base, index, scale, disp});
    if (below(p, 2))
        any_access(p, (Mem){base, index, scale, disp + 8 * (int32_t)below(p, 4)});
    if (below(p, 2) || other == GPR_RSP)
        return;
    put_mem(p, true, 0x8d, other, (Mem){base, INSN_NO_REG, 0, moved});
    any_access(p, (Mem){other, index, scale, (int32_t)((int64_t)disp - moved)});
    if (below(p, 2))
        any_access(p, (Mem){base, index, scale, disp});
}

/* An index of 32 bits that counts: what is at base + (index << scale) + disp lies where memory is, unless it has wrapped around. Or
 * plus + (index << times) is that. */
typedef struct Counter {
    uint8_t base, index, scale;
    uint8_t plus, times; /* plus INSN_NO_REG: none */
    uint32_t disp; /* modulo 2^32 */
} Counter;

/* bts reg, 32..35 */
static void put_upper(Program *p, uint8_t reg)
{
    put_regs(p, true, 0x0fba, 5, reg);
    put(p, 32 + (uint8_t)below(p, 4));
}

/* Near 0, on both sides in turns or on one of them, or where 8 bits wrap around, or anywhere; with an upper half or without. */
static void begin_count(Program *p, uint8_t index)
{
    switch (below(p, 6)) {
    case 0:
    case 1:
        put_regs(p, false, 0x8b, index, GPR_R15);
        put_imm(p, false, AND, index, 0x1f);
        put_imm(p, below(p, 8) == 0, SUB, index, 8 + below(p, 16));
        break;
    case 2:
    case 3:
        put(p, 0x40 | index >> 3);
        put(p, 0xb8 | (index & 7)); /* mov index, */
        put32(p, below(p, 48) - (below(p, 3) ? 24 : 0) + (below(p, 4) ? 0 : 0x200));
        break;
    case 4:
        put_regs(p, false, 0x8b, index, value(p));
        break;
    default:
        break;
    }
    if (!below(p, 4))
        put_upper(p, index);
}

/* One of the instructions that make an index of another one, or change it in a way that is easily taken for that. */
static void disturb(Program *p, Counter *c)
{
    uint8_t to = value(p);

    switch (below(p, 10)) {
    case 0:
        put_regs(p, false, 0x0f42, c->index, to); /* cmovb */
        break;
    case 1:
        put_regs(p, false, 0x0fc1, c->index, to); /* xadd */
        break;
    case 2:
        put_regs(p, false, 0x0fb1, to, c->index); /* cmpxchg */
        break;
    case 3:
        put_regs(p, false, 0x0fbc | below(p, 2), c->index, to); /* bsf, bsr */
        break;
    case 4:
        put_upper(p, c->index);
        break;
    case 5:
        put_regs(p, true, 0x63, c->index, c->index); /* movsxd */
        break;
    case 6:
        put_regs(p, false, 0xd3, 4 + (uint8_t)below(p, 2), c->index); /* shl, shr by cl */
        break;
    case 7:
        if (below(p, 2))
            put(p, 0x66);
        put_regs(p, false, 0xfe | below(p, 2), (uint8_t)below(p, 2), c->index); /* inc, dec of 8, 16 or 32 bits */
        break;
    case 8:
        put_imm(p, true, ADD, c->index, (uint32_t)near(p)); /* all of it */
        break;
    default:
        put_regs(p, below(p, 2), 0x87, c->index, to); /* xchg */
        break;
    }
}

static void count(Program *p, Counter *c)
{
    uint8_t to = value(p);
    int32_t step = (int32_t)below(p, 25) - 8;

    switch (below(p, 9)) {
    case 0:
    case 1:
        put_imm(p, false, ADD, c->index, (uint32_t)step);
        break;
    case 2:
        put_imm(p, false, SUB, c->index, (uint32_t)step);
        break;
    case 3:
        put_regs(p, false, 0xff, (uint8_t)below(p, 2), c->index); /* inc, dec */
        break;
    case 4:
        if (below(p, 2))
            put(p, 0x67);
        put_mem(p, below(p, 6) == 0, 0x8d, to, (Mem){c->index, INSN_NO_REG, 0, step}); /* lea */
        c->index = to;
        break;
    case 5:
    case 6:
        put_regs(p, below(p, 6) == 0, 0x8b, to, c->index);
        if (below(p, 2))
            put_imm(p, false, ADD, c->index, (uint32_t)step); /* as in a[i++] */
        c->index = to;
        break;
    case 7:
        step = below(p, 3) ? (step >= 0 ? 0x200 : -0x200) : far(p);
        put_imm(p, false, ADD, c->index, (uint32_t)step);
        c->disp -= (uint32_t)step << c->scale;
        break;
    default:
        disturb(p, c);
        break;
    }
}

/* A register that may change. */
static uint8_t other_value(Program *p, const Counter *c)
{
    uint8_t reg = value(p);

    while (reg == c->index || reg == c->plus)
        reg = value(p);
    return reg;
}

/* The index, or a register with the sum, mostly of 32 bits. */
static uint8_t index_of(Program *p, const Counter *c)
{
    uint8_t sum = other_value(p, c);

    if (c->plus == INSN_NO_REG)
        return c->index;
    if (c->times || below(p, 2)) {
        put_mem(p, !below(p, 8), 0x8d, sum, (Mem){c->plus, c->index, c->times, 0}); /* lea */
    } else if (below(p, 2)) {
        put_mem(p, !below(p, 8), 0x8d, sum, (Mem){c->index, c->plus, 0, 0});
    } else {
        put_regs(p, !below(p, 8), 0x8b, sum, c->index);
        put_regs(p, !below(p, 8), 0x03, sum, c->plus);
    }
    return sum;
}

static void count_access(Program *p, const Counter *c)
{
    static const uint16_t opcodes[] = {0x8b, 0x89, 0x8a, 0x88, 0x01, 0x3b};
    uint8_t with = other_value(p, c), index = index_of(p, c);

    if (!below(p, 16))
        put(p, 0x67);
    put_mem(p, below(p, 2), opcodes[below(p, G_N_ELEMENTS(opcodes))], with,
            (Mem){c->base, index, c->scale, (int32_t)(c->disp + below(p, 17) - 8)});
}

static void counting(Program *p)
{
    Counter c = {.base = pointer(p), .index = value(p), .scale = below(p, 3) ? 0 : (uint8_t)below(p, 4), .plus = value(p)}, was;
    uint8_t from = pointer(p);
    unsigned steps = 2 + below(p, 6);

    c.times = below(p, 2) ? 0 : (uint8_t)below(p, 4);
    if (c.plus == c.index || below(p, 2))
        c.plus = INSN_NO_REG;
    else if (below(p, 3))
        begin_count(p, c.plus);
    begin_count(p, c.index);
    if (c.base != from && c.base != GPR_RSP && below(p, 8)) { /* from is where the first element will be */
        if (c.plus == INSN_NO_REG)
            put_regs(p, true, 0x8b, c.base, c.index);
        else
            put_mem(p, false, 0x8d, c.base, (Mem){c.plus, c.index, c.times, 0});
        put_regs(p, true, 0xc1, 4, c.base);
        put(p, c.scale);
        put_regs(p, true, 0xf7, 3, c.base); /* neg */
        put_regs(p, true, 0x03, c.base, from);
    }
    for (unsigned i = 0; i < steps; i++) {
        if (below(p, 4))
            count_access(p, &c);
        was = c;
        count(p, &c);
        if (!below(p, 8)) { /* of what this one comes from, or was when that came from it */
            count_access(p, &c);
            count_access(p, &was);
        }
    }
    count_access(p, &c);
}

/* Somewhere else and back. */
static void by_a_detour(Program *p)
{
    uint8_t base = pointer(p), other = pointer(p);
    int32_t distance = far(p);

    if (below(p, 2))
        any_access(p, (Mem){base, INSN_NO_REG, 0, near(p)});
    if (other == GPR_RSP)
        return;
    put_mem(p, true, 0x8d, other, (Mem){base, INSN_NO_REG, 0, distance});
    any_access(p, (Mem){other, INSN_NO_REG, 0, -distance + near(p) / 16});
    put_imm(p, true, SUB, other, (uint32_t)distance);
    any_access(p, (Mem){other, INSN_NO_REG, 0, near(p)});
}

/* A pointer that is a sum, and the same again, or nearly so. */
static void sums(Program *p)
{
    uint8_t base = pointer(p), index = value(p), to = pointer(p), other = pointer(p), scale = (uint8_t)below(p, 4);
    int32_t disp = near(p);

    if (to == GPR_RSP || other == GPR_RSP || to == base)
        return;
    put_imm(p, false, AND, index, 0xfff);
    put_mem(p, true, 0x8d, to, (Mem){base, index, scale, disp});
    any_access(p, (Mem){to, INSN_NO_REG, 0, near(p)});
    if (below(p, 2))
        put_imm(p, below(p, 2), below(p, 2) ? ADD : SUB, index, 8 * below(p, 24));
    if (below(p, 2)) {
        if (!below(p, 4))
            put(p, 0x67);
        if (!below(p, 4) && base != GPR_RSP)
            put_mem(p, true, 0x8d, other, (Mem){index, base, scale, disp});
        else
            put_mem(p, below(p, 8), 0x8d, other, (Mem){base, index, below(p, 8) ? scale : (uint8_t)below(p, 4), disp});
    } else {
        put_regs(p, true, 0x8b, other, base);
        put_regs(p, below(p, 8), 0x03, other, index);
    }
    any_access(p, (Mem){other, INSN_NO_REG, 0, near(p)});
    any_access(p, (Mem){to, INSN_NO_REG, 0, near(p)});
}

static void move_pointer(Program *p)
{
    uint8_t to = pointers[below(p, G_N_ELEMENTS(pointers) - 1)];

    switch (below(p, 6)) {
    case 0:
        put_regs(p, true, 0x8b, to, pointer(p));
        break;
    case 1:
        put_mem(p, true, 0x8d, to, (Mem){pointer(p), INSN_NO_REG, 0, near(p)});
        break;
    case 2:
        put_regs(p, true, 0x87, to, pointers[below(p, 4)]); /* xchg */
        break;
    case 3:
        put_regs(p, true, 0x0fc1, to, pointers[below(p, 4)]); /* xadd: this is lost, that moves */
        put_imm(p, false, AND, to, 0xffff);
        put_imm(p, false, OR, to, RIG_DATA);
        break;
    default:
        put_imm(p, true, below(p, 2) ? ADD : SUB, to, (uint32_t)near(p));
        break;
    }
}

static void string(Program *p)
{
    static const uint8_t opcodes[] = {0xa4, 0xa6, 0xaa, 0xac, 0xae};

    if (below(p, 2)) {
        put(p, 0xb9); /* mov ecx */
        put32(p, below(p, 3) ? below(p, 40) : below(p, 0x2000));
        put(p, below(p, 2) ? 0xf3 : 0xf2);
    }
    if (below(p, 2))
        put(p, 0x48);
    put(p, opcodes[below(p, G_N_ELEMENTS(opcodes))] | (uint8_t)below(p, 2));
    any_access(p, (Mem){below(p, 2) ? GPR_RSI : GPR_RDI, INSN_NO_REG, 0, near(p) / 4});
}

static void stack(Program *p)
{
    switch (below(p, 4)) {
    case 0:
        put(p, 0x50 | values[below(p, 3)]); /* push */
        break;
    case 1:
        put(p, 0x58 | values[below(p, 3)]); /* pop */
        break;
    case 2:
        put(p, 0xe8); /* call what is next */
        put32(p, 0);
        break;
    default:
        put(p, 0x55); /* push rbp ; mov rbp, rsp ; an access ; leave */
        put_regs(p, true, 0x8b, GPR_RBP, GPR_RSP);
        any_access(p, (Mem){GPR_RBP, INSN_NO_REG, 0, near(p)});
        put(p, 0xc9);
        break;
    }
}

static void without_register(Program *p)
{
    uint32_t address = RIG_DATA + below(p, PAGES * PAGE);

    if (below(p, 2)) {
        any_access(p, (Mem){INSN_NO_REG, INSN_NO_REG, 0, (int32_t)address});
        any_access(p, (Mem){INSN_NO_REG, INSN_NO_REG, 0, (int32_t)(address ^ below(p, 256))});
        return;
    }
    if (below(p, 2)) {
        put(p, 0xf3);
        put_regs(p, true, 0x0fae, 2 + (uint8_t)below(p, 2), pointers[below(p, 8)]); /* wrfsbase, wrgsbase */
    }
    for (unsigned i = 0; i < 2; i++) {
        put(p, below(p, 2) ? 0x64 : 0x65);
        put_mem(p, true, below(p, 2) ? 0x8b : 0x89, value(p), (Mem){INSN_NO_REG, INSN_NO_REG, 0, near(p)});
    }
}

/* STAC, CLAC. */
static void change_ac(Program *p)
{
    put(p, 0x0f);
    put(p, 0x01);
    put(p, below(p, 3) ? 0xcb : 0xca);
}

/* A page becomes writable, or no longer so, or goes and comes. */
static void change_page(Program *p)
{
    uint32_t page = below(p, PAGES);

    if (p->rights == USER) /* who cannot say so to the TLB */
        return;
    put_mem(p, true, 0x0fba, 7, (Mem){INSN_NO_REG, INSN_NO_REG, 0, (int32_t)(0x1000 + (RIG_DATA / PAGE + page) * 8)}); /* btc */
    put(p, below(p, 3) ? 1 : 0);
    if (p->aliases) {
        put(p, 0x0f);
        put_opcode(p, 0x20d8); /* mov rax, cr3 ; mov cr3, rax */
        put(p, 0x0f);
        put_opcode(p, 0x22d8);
        return;
    }
    put_mem(p, false, 0x0f01, 7, (Mem){INSN_NO_REG, INSN_NO_REG, 0, (int32_t)(RIG_DATA + page * PAGE)}); /* invlpg */
}

/* The flags of a comparison behind an access. */
static void flags(Program *p)
{
    put_regs(p, true, 0x3b, value(p), value(p));
    put_mem(p, true, below(p, 2) ? 0x8b : 0x89, value(p), (Mem){pointer(p), INSN_NO_REG, 0, near(p)});
    if (below(p, 2)) {
        put_regs(p, below(p, 2), below(p, 2) ? 0x13 : 0x0f42, value(p), value(p)); /* adc, cmovb */
    } else {
        put(p, 0x72); /* jb over an access of 8 bytes */
        put(p, 8);
        put_mem(p, true, 0x89, value(p), (Mem){GPR_RBX, INSN_NO_REG, 0, near(p)});
    }
}

static void (*const kinds[])(Program *p) = {near_pointer, near_pointer, near_pointer, elements, elements, by_a_detour,      move_pointer, move_pointer,
                                            counting,     counting,     counting,     string,   stack,    without_register, flags,        flags,
                                            sums};

/* All pointers get back to where memory is, at the begin of each turn. */
static void gather_pointers(Program *p)
{
    for (unsigned i = 0; i < G_N_ELEMENTS(pointers); i++) {
        put_imm(p, false, AND, pointers[i], 0xffff);
        put_imm(p, false, OR, pointers[i], RIG_DATA);
    }
}

static void write_program(Program *p)
{
    unsigned top = p->len = 0, count = 4 + below(p, 12);

    gather_pointers(p);
    for (unsigned i = 0; i < count; i++) {
        if (p->rights == KERNEL_SMAP && !below(p, 6))
            change_ac(p);
        else if (below(p, 40))
            kinds[below(p, G_N_ELEMENTS(kinds))](p);
        else
            change_page(p);
    }
    put_imm(p, true, SUB, GPR_R15, 1);
    put(p, 0x0f);
    put(p, 0x85); /* jnz */
    put32(p, top - (p->len + 4));
}

/* --- Running it. --- */

typedef struct World {
    uint64_t gpr[16], pte[PAGES];
    uint8_t order[PAGES];
    uint32_t fill;
} World;

static uint64_t page_at(const World *w, unsigned n)
{
    return SPARE + w->order[n] * 3 * PAGE;
}

static void make_world(World *w, Program *p)
{
    for (uint8_t i = 0; i < PAGES; i++)
        w->order[i] = i;
    for (unsigned i = 0; i < PAGES && below(p, 3); i++) {
        unsigned other = below(p, PAGES);
        uint8_t was = w->order[i];

        w->order[i] = w->order[other];
        w->order[other] = was;
    }
    for (unsigned i = 0; i < PAGES; i++) {
        uint32_t what = below(p, 40);
        bool usual = p->rights == USER;

        w->pte[i] = (what == 0 ? DEVICE : page_at(w, i)) | (what == 1 ? 0 : P) | (what == 2 ? 0 : W) | ((what == 3) != usual ? U : 0);
    }
    for (unsigned i = 0; i < 16; i++)
        w->gpr[i] = (uint64_t)g_rand_int(p->rand) << 32 | g_rand_int(p->rand);
    w->gpr[GPR_R15] = TURNS;
    w->fill = g_rand_int(p->rand);
}

/* Exceptions have a stack of their own. */
static void set_stacks(Rig *rig, CpuState *s)
{
    uint64_t *idt = rig_mem(rig, 0x5800);
    const uint64_t top = RIG_STACK;

    memcpy((uint8_t *)rig_mem(rig, TSS) + 0x24, &top, sizeof(top));
    for (unsigned i = 0; i < 32; i++)
        idt[2 * i] |= 1ull << 32;
    s->tr = (SegmentReg){.selector = 0x30, .attr = 0x8b, .limit = 0x67, .base = TSS};
}

static void set_aliases(Rig *rig, bool on)
{
    uint64_t *pml4 = rig_mem(rig, 0x2000), *pdpt = rig_mem(rig, 0x3000);

    pml4[511] = on ? pml4[0] : 0;
    for (unsigned i = 1; i < 8; i++)
        pdpt[i] = pdpt[512 - i] = on ? pdpt[0] : 0;
}

static void set_world(Rig *rig, const World *w, const Program *p)
{
    uint64_t *pt = rig_mem(rig, 0x1000);
    uint32_t word = w->fill;

    set_aliases(rig, p->aliases);
    for (unsigned i = 0; i < 512; i++)
        pt[i] = p->rights == KERNEL_SMAP ? pt[i] & ~(uint64_t)U : pt[i] | U;
    rig_code(rig, p->code, p->len);
    for (unsigned i = 0; i < PAGES; i++) {
        uint32_t *page = rig_mem(rig, page_at(w, i) - PAGE);

        pt[RIG_DATA / PAGE + i] = w->pte[i];
        for (unsigned n = 0; n < 3 * PAGE / sizeof(*page); n++)
            page[n] = word = word * 1664525 + 1013904223;
    }
    dbt_tlb_flush(rig->machine->vcpus[0]->accel, true); /* all that behind its back */
}

static void set_rights(CpuState *s, Rights rights)
{
    if (rights == KERNEL_SMAP)
        s->cr4 |= CR4_SMAP;
    if (rights != USER)
        return;
    s->rflags |= RFLAGS_IOPL;
    for (unsigned i = 0; i < SEG_COUNT; i++) {
        s->seg[i].selector |= 3;
        s->seg[i].attr |= SEG_ATTR_DPL;
    }
}

static int run_world(Rig *rig, const World *w, Rights rights)
{
    CpuState *s = rig_state(rig, 0);

    rig_enable_units(rig, 64, XCR0_X87 | XCR0_SSE);
    s->cr0 |= CR0_WP;
    s->cr4 |= CR4_FSGSBASE;
    s->cr2 = 0;
    memcpy(s->gpr, w->gpr, sizeof(s->gpr));
    s->seg[SEG_FS].base = RIG_DATA + 0x100;
    s->seg[SEG_GS].base = RIG_DATA + 0x1ff0;
    set_stacks(rig, s);
    set_rights(s, rights);
    return rig_run(rig, 0);
}

/*
 * Entries of the page table are the same, but for the accessed bit, which processors set for what they only look at, too, and dirty
 * bits of pages that only a check was for.
 */
static bool same_ptes(Rig *a, Rig *b)
{
    const uint64_t *x = (const uint64_t *)rig_mem(a, 0x1000) + RIG_DATA / PAGE, *y = (const uint64_t *)rig_mem(b, 0x1000) + RIG_DATA / PAGE;

    for (unsigned i = 0; i < PAGES; i++) {
        if ((x[i] ^ y[i]) & ~(uint64_t)(PTE_ACCESSED | PTE_DIRTY) || (x[i] & ~y[i] & PTE_DIRTY))
            return false;
    }
    return true;
}

/* Both ran the same way; the frame of an exception is on its stack. What nobody needs of its RFLAGS is not promised. */
static bool same(Rig *a, Rig *b, const World *w, int vector)
{
    const CpuState *x = rig_state(a, 0), *y = rig_state(b, 0);
    bool error = vector != 0 && vector != 6, equal = same_ptes(a, b);

    equal &= !memcmp(x->gpr, y->gpr, sizeof(x->gpr)) && x->cr2 == y->cr2 && x->seg[SEG_FS].base == y->seg[SEG_FS].base;

    for (unsigned i = 0; i < PAGES; i++)
        equal &= !memcmp(rig_mem(a, page_at(w, i) - PAGE), rig_mem(b, page_at(w, i) - PAGE), 3 * PAGE);
    return equal && (vector < 0 || rig_fault_rip(a, 64, error) == rig_fault_rip(b, 64, error));
}

static Rig *new_rig(const char *tier)
{
    const char *now = g_getenv("RIG_TIER");
    g_autofree char *was = g_strdup(now);
    Rig *rig;

    if (tier)
        g_setenv("RIG_TIER", tier, true);
    else
        g_unsetenv("RIG_TIER");
    rig = rig_new(1);
    if (was)
        g_setenv("RIG_TIER", was, true);
    return rig;
}

static bool run_seed(Rig *plain, Rig *rig, uint32_t seed)
{
    Program p = {.rand = g_rand_new_with_seed(seed)};
    DbtAccel *accel = ((DbtVcpu *)rig->machine->vcpus[0]->accel)->accel;
    bool equal = true;
    World w;

    accel->translate_after = 1 + below(&p, 2);
    accel->hot_after = 4 + below(&p, 20);
    p.aliases = below(&p, 2);
    p.rights = (Rights)below(&p, 3);
    write_program(&p);
    make_world(&w, &p);
    for (unsigned i = 0; i < RUNS && equal; i++) {
        int vector, expected;

        set_world(plain, &w, &p);
        set_world(rig, &w, &p);
        expected = run_world(plain, &w, p.rights);
        vector = run_world(rig, &w, p.rights);
        equal = vector == expected && same(plain, rig, &w, vector);
        if (!equal)
            g_printerr("seed %u, run %u: vector %d, not %d\n", seed, i, vector, expected);
    }
    g_rand_free(p.rand);
    return equal;
}

static void accesses_are_those_of_the_interpreter(void **state)
{
    const char *tier = g_getenv("RIG_TIER");
    Rig *plain = new_rig(NULL), *rig = new_rig(tier);
    unsigned wrong = 0;

    for (uint32_t i = 0; i < programs; i++)
        wrong += !run_seed(plain, rig, first_seed + i);
    rig_free(plain);
    rig_free(rig);
    assert_int_equal(wrong, 0);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(accesses_are_those_of_the_interpreter),
    };

    if (g_strcmp0(g_getenv("VMM_TEST_DEPTH"), "full") == 0)
        programs = 100000;
    if (argc > 1)
        programs = (uint32_t)strtoul(argv[1], NULL, 0);
    if (argc > 2)
        first_seed = (uint32_t)strtoul(argv[2], NULL, 0);
    core_init();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
