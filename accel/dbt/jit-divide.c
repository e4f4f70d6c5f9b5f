/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * DIV and IDIV of 64 bits: compilers use them for all that is "long", but what they divide mostly has 32 bits, and the host
 * divides those sooner: 18 clocks or 14 on a Sapphire Rapids, 90 or 26 on a Skylake. So where neither dividend (RDX:RAX) nor
 * divisor has a bit above 31 it is a DIV of 32 bits, for IDIV as well, as both are positive then and the quotient fits.
 *
 * Both forms leave from the unit's hot code, where the host's #DE is the guest's (jit_signal).
 *
 * Sources: SDM vol. 2, DIV and IDIV: the flags are undefined behind them.
 */
#include "accel/dbt/jit-translate.h"
#include "accel/dbt/native.h"

enum {
    HOST_OR = 0x0b,
    HOST_GROUP3 = 0xf7, /* ModRM.reg: 6 DIV, 7 IDIV */
    DIGIT_DIV = 6,
};

bool jit_fits_divide(const JitTranslator *t, const JitInsn *in)
{
    return in->dec.operand_width == 64;
}

/* The host register with the divisor, which is not HOST_ADDR; HOST_NO_REG: the interpreter's turn. */
static uint8_t emit_divisor(JitTranslator *t, const JitInsn *in)
{
    JitPlace place;

    if (!(in->insn->flags & INSN_MEM))
        return jit_emit_load_guest(t, native_gpr_number(in->operands[0].reg.value), HOST_TEMP);
    if (!jit_emit_place(t, in, 8, false, false, &place))
        return HOST_NO_REG;
    emit_at(t->hot, true, HOST_LOAD, HOST_TEMP, &place.at);
    t->keeps_temp = false;
    return HOST_TEMP;
}

/* Jumps of eight bits: where the distance is. */
static uint32_t emit_short(JitEmit *e, uint8_t opcode)
{
    emit8(e, opcode);
    emit8(e, 0);
    return e->at - 1;
}

static void land_short(JitEmit *e, uint32_t at)
{
    e->base[at] = (uint8_t)(e->at - (at + 1));
}

bool jit_emit_divide(JitTranslator *t, const JitInsn *in)
{
    uint8_t divisor = emit_divisor(t, in);
    uint32_t wide, end;

    if (divisor == HOST_NO_REG)
        return false;
    emit_rr(t->hot, true, HOST_LOAD, HOST_ADDR, divisor);
    emit_rr(t->hot, true, HOST_OR, HOST_ADDR, GPR_RAX);
    emit_bytes(t->hot, (const uint8_t[]){0x49, 0xc1, 0xea, 32}, 4); /* shr r10, 32 */
    emit_rr(t->hot, true, HOST_OR, HOST_ADDR, GPR_RDX);
    wide = emit_short(t->hot, 0x70 | HOST_NE);
    emit_rr(t->hot, false, HOST_GROUP3, DIGIT_DIV, divisor);
    end = emit_short(t->hot, 0xeb);
    land_short(t->hot, wide);
    emit_rr(t->hot, true, HOST_GROUP3, in->dec.raw.modrm.reg, divisor);
    land_short(t->hot, end);
    return true;
}
