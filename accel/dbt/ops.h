/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The tables that give a Zydis mnemonic its handler, and the handlers one file lends another.
 *
 * Each file of semantics ends with one table of DbtOp rows and lists it here; decode.c indexes all
 * of them by mnemonic when the accelerator starts. An instruction is looked up there first, then
 * dbt_native_bind is asked, else it is #UD. A row has a handler, or a bind function that picks one
 * from the instruction's form (and may refine sub, op_size, imm). bind returns NULL for a form that
 * is not its own (MOVSD of SSE2): native.c is asked then.
 *
 * decode.c has filled the DbtInsn before bind runs:
 *   MOV/PUSH/POP of a segment register: reg = SegIndex. MOV CR/DR: reg = number, rm = the GPR.
 *   Far CALL/JMP with a pointer in the instruction: imm = offset, disp = selector, no INSN_MEM.
 *   Near branches with a distance: imm. Operand and address sizes have all prefixes applied.
 */
#ifndef DBT_OPS_H
#define DBT_OPS_H

#include <Zydis/Zydis.h>

#include "accel/dbt/dbt.h"

/* An instruction as Zydis saw it, for bind functions. */
typedef struct DbtDecoded {
    const ZydisDecodedInstruction *insn;
    const ZydisDecodedOperand *operands;
    const uint8_t *bytes;
    unsigned code_bits;
} DbtDecoded;

typedef DbtHandler (*DbtBind)(DbtVcpu *v, DbtInsn *insn, const DbtDecoded *dec);

enum {
    OP_END_BLOCK = 1 << 0, /* no instruction follows it in a block */
};

typedef struct DbtOp {
    uint16_t mnemonic; /* ZydisMnemonic; ZYDIS_MNEMONIC_INVALID ends a table */
    uint8_t sub;
    uint8_t flags;
    DbtHandler handler;
    DbtBind bind;
} DbtOp;

extern const DbtOp dbt_ops_alu[];    /* op-alu.c: add ... test, inc, dec, neg, not */
extern const DbtOp dbt_ops_shift[];  /* op-shift.c: shifts, rotates, shld, shrd */
extern const DbtOp dbt_ops_mul[];    /* op-mul.c: mul, imul, div, idiv, cbw ... cqo */
extern const DbtOp dbt_ops_move[];   /* op-move.c: data movement */
extern const DbtOp dbt_ops_stack[];  /* op-stack.c: push, pop, call, ret, enter, leave */
extern const DbtOp dbt_ops_branch[]; /* op-branch.c: jumps, loops, hlt, pause, mwait, cli, sti, flags */
extern const DbtOp dbt_ops_bit[];    /* op-bit.c: bt*, bsf, bsr, xadd, cmpxchg* */
extern const DbtOp dbt_ops_string[]; /* op-string.c */
extern const DbtOp dbt_ops_legacy[]; /* op-legacy.c: BCD, xlat, bound, into, arpl */
extern const DbtOp dbt_ops_fpu[];    /* fpu-ops.c: x87, SSE and XSAVE state, caches, masked moves, gathers */
extern const DbtOp dbt_ops_seg[];    /* seg.c: LES.., LLDT, LTR, SLDT, STR, LAR, LSL, VERR, VERW */
extern const DbtOp dbt_ops_exc[];    /* exc.c: INT, INT3, INT1, INTO, IRET* */
extern const DbtOp dbt_ops_sys[];    /* sys.c: the rest of the system instructions, IN, OUT */

/* decode.c: #UD. */
DbtStep dbt_op_undefined(DbtVcpu *v, const DbtInsn *insn);

/* seg.c; bound by op-move.c, op-stack.c and op-branch.c where the mnemonic is shared. */
DbtStep dbt_op_mov_to_seg(DbtVcpu *v, const DbtInsn *insn);
DbtStep dbt_op_mov_from_seg(DbtVcpu *v, const DbtInsn *insn);
DbtStep dbt_op_push_seg(DbtVcpu *v, const DbtInsn *insn);
DbtStep dbt_op_pop_seg(DbtVcpu *v, const DbtInsn *insn);
DbtStep dbt_op_jmp_far(DbtVcpu *v, const DbtInsn *insn);
DbtStep dbt_op_call_far(DbtVcpu *v, const DbtInsn *insn);
DbtStep dbt_op_ret_far(DbtVcpu *v, const DbtInsn *insn); /* imm: bytes of parameters */

/* sys.c; bound by op-move.c. */
DbtStep dbt_op_mov_to_cr(DbtVcpu *v, const DbtInsn *insn);
DbtStep dbt_op_mov_from_cr(DbtVcpu *v, const DbtInsn *insn);
DbtStep dbt_op_mov_to_dr(DbtVcpu *v, const DbtInsn *insn);
DbtStep dbt_op_mov_from_dr(DbtVcpu *v, const DbtInsn *insn);

/* sys.c, for INS and OUTS: permission (IOPL, VM86, TSS bitmap), then the access itself, which steps
 * out of guest code. check returns false with v->fault set. */
bool dbt_io_check(DbtVcpu *v, uint16_t port, unsigned size);
uint32_t dbt_io_read(DbtVcpu *v, uint16_t port, unsigned size);
void dbt_io_write(DbtVcpu *v, uint16_t port, unsigned size, uint32_t value);
/* Elements of size bytes, one after the other, to the same port, as REP OUTS writes them; stops behind
 * one after which the loop is wanted. Returns how many were written: 1..count. */
unsigned dbt_io_write_run(DbtVcpu *v, uint16_t port, unsigned size, const uint8_t *elements, unsigned count);

/* op-stack.c, for gates and far transfers as well: one stack access of size 2, 4 or 8 relative to
 * SS:rSP, which they do not change. false: v->fault is set (#SS or #PF). */
bool dbt_stack_read(DbtVcpu *v, uint64_t sp, unsigned size, uint64_t *value);
bool dbt_stack_write(DbtVcpu *v, uint64_t sp, unsigned size, uint64_t value);
/* rSP of the current stack width, and its update (SP, ESP or RSP). */
uint64_t dbt_stack_pointer(const DbtVcpu *v);
void dbt_stack_set(DbtVcpu *v, uint64_t sp);

#endif
