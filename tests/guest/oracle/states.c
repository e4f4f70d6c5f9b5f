/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Random states that meet the edges often: the integers around each width's limits, floating-point
 * zeros, denormals, infinities and NaNs of three formats, operands across and beyond a page's end.
 */
#include <string.h>

#include "oracle.h"

uint64_t rng_next(Rng *rng)
{
    uint64_t z = rng->s += 0x9e3779b97f4a7c15;

    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
    z = (z ^ z >> 27) * 0x94d049bb133111eb;
    return z ^ z >> 31;
}

static const uint64_t edge_integers[] = {
    0, 1, 2, 3, 7, 8, 15, 16, 31, 32, 33, 63, 64, 0x7e, 0x7f, 0x80, 0x81, 0xff, 0x100, 0x7fff,
    0x8000, 0x8001, 0xffff, 0x10000, 0x7fffffff, 0x80000000, 0x80000001, 0xffffffff, 0x100000000,
    0x7fffffffffffffff, 0x8000000000000000, 0x8000000000000001, 0xfffffffffffffffe, 0xffffffffffffffff,
    0xffffffff80000000, 0xffffffffffff8000, 0xffffffffffffff80, 0x5555555555555555, 0xaaaaaaaaaaaaaaaa,
};

static const uint32_t edge_singles[] = {
    0, 0x80000000, 0x3f800000, 0xbf800000, 0x00000001, 0x80000001, 0x007fffff, 0x00800000, 0x7f7fffff,
    0x7f800000, 0xff800000, 0x7fc00000, 0xffc00000, 0x7f800001, 0x7fa00000, 0x4f000000, 0xcf000000,
    0x4effffff, 0x5f000000, 0x3f000000, 0x3fc00000, 0x40490fdb, 0x33800000,
};

static const uint64_t edge_doubles[] = {
    0, 0x8000000000000000, 0x3ff0000000000000, 0xbff0000000000000, 1, 0x8000000000000001,
    0x000fffffffffffff, 0x0010000000000000, 0x7fefffffffffffff, 0x7ff0000000000000,
    0xfff0000000000000, 0x7ff8000000000000, 0xfff8000000000000, 0x7ff0000000000001,
    0x7ff4000000000000, 0x41dfffffffc00000, 0x41e0000000000000, 0xc1e0000000000000,
    0x43e0000000000000, 0xc3e0000000000000, 0x3fe0000000000000, 0x3ff8000000000000,
    0x36a0000000000000, 0x47efffffe0000000, 0x400921fb54442d18,
};

static const uint16_t edge_exponents[] = {0, 1, 0x3ffe, 0x3fff, 0x4000, 0x400e, 0x401e, 0x403e, 0x7ffe, 0x7fff};
static const uint64_t edge_mantissas[] = {
    0, 1, 0x8000000000000000, 0x8000000000000001, 0xc000000000000000, 0xffffffffffffffff,
    0x4000000000000000, 0xa000000000000000, 0xc90fdaa22168c235,
};

#define PICK(table) table[rng_below(rng, G_N_ELEMENTS(table))]

static uint64_t random_integer(Rng *rng)
{
    switch (rng_below(rng, 4)) {
    case 0: return PICK(edge_integers);
    case 1: return rng_next(rng) >> rng_below(rng, 64);
    default: return rng_next(rng);
    }
}

/* 8 bytes of a vector or of memory: packed values of one kind. */
static uint64_t random_lane(Rng *rng, unsigned kind)
{
    switch (kind) {
    case 0: return rng_next(rng);
    case 1: return PICK(edge_doubles);
    case 2: return (uint64_t)PICK(edge_singles) << 32 | PICK(edge_singles);
    case 3: return random_integer(rng);
    case 4: { /* moderate floats: results that are neither zero nor infinite */
        uint64_t single = 0x3f000000 + (rng_next(rng) & 0x03ffffff);
        return single << 32 | (0x3f000000 + (rng_next(rng) & 0x81ffffff));
    }
    default: return 0x3fe0000000000000 + (rng_next(rng) & 0x806fffffffffffff);
    }
}

static void random_bytes(uint8_t *p, unsigned len, Rng *rng)
{
    unsigned kind = rng_below(rng, 6);

    for (unsigned i = 0; i + 8 <= len; i += 8) {
        uint64_t lane = random_lane(rng, kind);

        memcpy(p + i, &lane, 8);
    }
}

static void random_x87(State *state, Rng *rng)
{
    uint8_t *x = state->xsave;
    uint16_t fcw = 0x37f, fsw = 0;

    if (rng_below(rng, 2)) {
        fcw = 0x7f | rng_below(rng, 4) << 8 | rng_below(rng, 4) << 10;
    }
    if (rng_below(rng, 8) == 0) {
        fcw &= ~rng_below(rng, 64);
    }
    fsw = rng_below(rng, 8) << 11 | (rng_next(rng) & 0x4700);
    if (rng_below(rng, 4) == 0) {
        fsw |= rng_below(rng, 64);
    }
    fsw |= fsw & ~fcw & 0x3f ? 0x8080 : 0;
    memcpy(x + X_FCW, &fcw, 2);
    memcpy(x + X_FSW, &fsw, 2);
    x[X_FTW] = rng_below(rng, 4) ? 0xff : rng_next(rng);
    x[X_FTW + 1] = 0;
    for (unsigned i = 0; i < 8; i++) {
        uint64_t mantissa = rng_below(rng, 2) ? PICK(edge_mantissas) : rng_next(rng) | UINT64_C(1) << 63;
        uint16_t exponent = rng_below(rng, 2) ? PICK(edge_exponents) : 0x3fc0 + rng_below(rng, 128);

        exponent |= rng_below(rng, 2) << 15;
        memcpy(x + X_ST + 16 * i, &mantissa, 8);
        memcpy(x + X_ST + 16 * i + 8, &exponent, 2);
        memset(x + X_ST + 16 * i + 10, 0, 6);
    }
}

uint8_t *state_lane(State *state, unsigned vec, unsigned i)
{
    uint8_t *x = state->xsave;

    if (vec > 15) {
        return x + X_HIGH + 64 * (vec - 16) + 8 * i;
    }
    if (i >= 4) {
        return x + X_ZMM + 32 * vec + 8 * (i - 4);
    }
    return i < 2 ? x + X_XMM + 16 * vec + 8 * i : x + X_YMM + 16 * vec + 8 * (i - 2);
}

/* Masks of none, few, most and all elements. */
static uint64_t random_opmask(Rng *rng)
{
    switch (rng_below(rng, 8)) {
    case 0: return 0;
    case 1: return ~UINT64_C(0);
    case 2: return UINT64_C(1) << rng_below(rng, 64);
    case 3: return ~UINT64_C(0) >> rng_below(rng, 64);
    case 4: return rng_next(rng) & rng_next(rng) & rng_next(rng);
    case 5: return rng_next(rng) & 3;
    default: return rng_next(rng);
    }
}

/* As often as not the upper halves of ZMM are in their initial state, which is a case of its own. */
static void random_avx512(State *state, Rng *rng)
{
    bool wide = rng_below(rng, 2);

    for (unsigned i = 0; i < 32; i++) {
        if (wide || i >= 16) {
            random_bytes(state_lane(state, i, 4), 32, rng);
        }
        if (i >= 16) {
            random_bytes(state_lane(state, i, 0), 32, rng);
        }
    }
    for (unsigned i = 0; i < 8; i++) {
        uint64_t mask = random_opmask(rng);

        memcpy(state->xsave + X_OPMASK + 8 * i, &mask, 8);
    }
}

static void random_vectors(State *state, Rng *rng)
{
    uint32_t mxcsr = 0x1f80;

    for (unsigned i = 0; i < 16; i++) {
        random_bytes(state->xsave + X_XMM + 16 * i, 16, rng);
        random_bytes(state->xsave + X_YMM + 16 * i, 16, rng);
    }
    if (host_has_avx512()) {
        random_avx512(state, rng);
    }
    if (rng_below(rng, 2)) {
        mxcsr |= rng_below(rng, 4) << 13 | rng_below(rng, 2) << 15 | rng_below(rng, 2) << 6 | rng_below(rng, 64);
    }
    if (rng_below(rng, 10) == 0) {
        mxcsr &= ~(rng_below(rng, 64) << 7);
    }
    memcpy(state->xsave + X_MXCSR, &mxcsr, 4);
    memset(state->xsave + X_MXCSR + 4, 0, 4);
}

/* Where an operand goes: mostly inside, sometimes across the pages' boundary or beyond the end. */
static uint64_t random_target(Rng *rng)
{
    switch (rng_below(rng, 16)) {
    case 0: return DATA_ADDRESS + 4096 - 1 - rng_below(rng, 72);
    case 1: return DATA_ADDRESS + DATA_SIZE - 1 - rng_below(rng, 72);
    case 2: return DATA_ADDRESS + DATA_SIZE + rng_below(rng, 64);
    case 3:
    case 4:
    case 5: return DATA_ADDRESS + 1024 + rng_below(rng, 2048);
    default: return DATA_ADDRESS + 1024 + (rng_below(rng, 4096) & ~63u);
    }
}

static unsigned gpr_id(ZydisRegister reg)
{
    return ZydisRegisterGetId(ZydisRegisterGetLargestEnclosing(ZYDIS_MACHINE_MODE_LONG_64, reg));
}

uint64_t case_address(const Case *c, const ZydisDecodedOperandMem *mem, const State *state)
{
    uint64_t ea = mem->disp.value;

    if (mem->base == ZYDIS_REGISTER_RIP || mem->base == ZYDIS_REGISTER_EIP) {
        ea += CODE_ADDRESS + c->len; /* 64-bit code only */
    } else if (mem->base != ZYDIS_REGISTER_NONE) {
        ea += state->gpr[gpr_id(mem->base)];
    }
    if (mem->index != ZYDIS_REGISTER_NONE && mem->type != ZYDIS_MEMOP_TYPE_VSIB) {
        ea += state->gpr[gpr_id(mem->index)] * mem->scale;
    }
    return c->insn.address_width == 64 ? ea : c->insn.address_width == 32 ? (uint32_t)ea : (uint16_t)ea;
}

/* Vector indices are small, so that most elements of a gather are in the data. */
static void aim_gather(State *state, const Case *c, const ZydisDecodedOperandMem *mem, Rng *rng)
{
    unsigned vec = ZydisRegisterGetId(mem->index);

    for (unsigned i = 0; i < 8; i++) {
        uint64_t lane = rng_below(rng, 4) ? (uint64_t)rng_below(rng, 64) << 32 | rng_below(rng, 64) : rng_below(rng, 64);

        if (strstr(ZydisMnemonicGetString(c->insn.mnemonic), "erq")) { /* VGATHERQ, VSCATTERQ */
            lane = rng_below(rng, 64);
        }
        if (i < 4 || host_has_avx512()) {
            memcpy(state_lane(state, vec, i), &lane, 8);
        }
    }
}

/* Sets registers or the displacement so that the operand is at target. */
static void aim(State *state, Case *c, ZydisDecodedOperandMem *mem, uint64_t target, Rng *rng)
{
    uint64_t now;

    if (mem->type == ZYDIS_MEMOP_TYPE_VSIB) {
        aim_gather(state, c, mem, rng);
        target = DATA_ADDRESS + 1024 + rng_below(rng, 64);
    }
    target -= case_data_base(c);
    if (mem->base != ZYDIS_REGISTER_NONE && ZydisRegisterGetClass(mem->base) != ZYDIS_REGCLASS_IP) {
        if (mem->index != ZYDIS_REGISTER_NONE && mem->type != ZYDIS_MEMOP_TYPE_VSIB) {
            state->gpr[gpr_id(mem->index)] = rng_below(rng, 64) - (uint64_t)32;
        }
        now = case_address(c, mem, state);
        state->gpr[gpr_id(mem->base)] += target - now;
    } else if (c->insn.raw.disp.size == 32) {
        int32_t disp;

        if (mem->index != ZYDIS_REGISTER_NONE && mem->type != ZYDIS_MEMOP_TYPE_VSIB) {
            state->gpr[gpr_id(mem->index)] = rng_below(rng, 64);
        }
        disp = mem->disp.value + (target - case_address(c, mem, state));
        memcpy(c->bytes + c->insn.raw.disp.offset, &disp, 4);
        mem->disp.value = disp;
    } else if (c->insn.raw.disp.size == 16) {
        memcpy(c->bytes + c->insn.raw.disp.offset, &target, 2);
        mem->disp.value = target;
    } else if (c->insn.raw.disp.size == 64) {
        memcpy(c->bytes + c->insn.raw.disp.offset, &target, 8);
        mem->disp.value = target;
    }
}

/* A branch that is taken goes to TAKEN_ADDRESS: distance, register, memory operand or stack. */
static void aim_branch(State *state, uint8_t *data, Case *c)
{
    const ZydisDecodedInstructionRaw *raw = &c->insn.raw;
    const ZydisDecodedOperand *op = &c->operands[0];
    uint64_t target = TAKEN_ADDRESS - case_code_base(c), where = state->gpr[4];

    if (raw->imm[0].is_relative) {
        target -= CODE_ADDRESS - case_code_base(c) + c->len;
        memcpy(c->bytes + raw->imm[0].offset, &target, raw->imm[0].size / 8);
        return;
    }
    if (op->type == ZYDIS_OPERAND_TYPE_REGISTER && op->visibility == ZYDIS_OPERAND_VISIBILITY_EXPLICIT) {
        state->gpr[gpr_id(op->reg.value)] = target;
        return;
    }
    if (op->type == ZYDIS_OPERAND_TYPE_MEMORY && op->visibility == ZYDIS_OPERAND_VISIBILITY_EXPLICIT) {
        where = case_address(c, &op->mem, state);
    }
    where += case_data_base(c);
    if (where >= DATA_ADDRESS && where <= DATA_ADDRESS + DATA_SIZE - case_bits(c) / 8) {
        memcpy(data + (where - DATA_ADDRESS), &target, case_bits(c) / 8);
    }
}

void state_random(State *state, uint8_t *data, Case *c, Rng *rng)
{
    bool repeated = c->insn.attributes & (ZYDIS_ATTRIB_HAS_REP | ZYDIS_ATTRIB_HAS_REPE | ZYDIS_ATTRIB_HAS_REPNE);

    memset(state, 0, sizeof(*state));
    for (unsigned i = 0; i < 16; i++) {
        state->gpr[i] = random_integer(rng);
    }
    state->rflags = 0x202 | (rng_next(rng) & 0xcd5);
    random_x87(state, rng);
    random_vectors(state, rng);
    for (unsigned i = 0; i < DATA_SIZE; i += 256) {
        random_bytes(data + i, 256, rng);
    }
    if (repeated) {
        state->gpr[1] = rng_below(rng, 40);
    }
    state->gpr[4] = DATA_ADDRESS - case_data_base(c) + 2048 + (rng_below(rng, 1024) & ~7u);
    if (rng_below(rng, 2)) {
        state->gpr[5] = DATA_ADDRESS - case_data_base(c) + 2048 + rng_below(rng, 1024);
    }
    for (unsigned i = 0; i < c->insn.operand_count; i++) {
        ZydisDecodedOperand *op = &c->operands[i];

        if (op->type != ZYDIS_OPERAND_TYPE_MEMORY || gpr_id(op->mem.base) == 4) {
            continue;
        }
        aim(state, c, &op->mem, random_target(rng), rng);
    }
    /* The bit offset of BT m, r: in reach. */
    if (c->insn.meta.category == ZYDIS_CATEGORY_BITBYTE && c->operands[0].type == ZYDIS_OPERAND_TYPE_MEMORY &&
        c->operands[1].type == ZYDIS_OPERAND_TYPE_REGISTER && gpr_id(c->operands[1].reg.value) != gpr_id(c->operands[0].mem.base)) {
        state->gpr[gpr_id(c->operands[1].reg.value)] = rng_below(rng, 4096) - (uint64_t)2048;
    }
    if (c->insn.meta.branch_type != ZYDIS_BRANCH_TYPE_NONE) {
        aim_branch(state, data, c);
    }
    for (unsigned i = 0; i < 16 && case_bits(c) != 64; i++) {
        state->gpr[i] = (uint32_t)state->gpr[i];
    }
    state->rip = CODE_ADDRESS;
    state->fault = NO_FAULT;
}
