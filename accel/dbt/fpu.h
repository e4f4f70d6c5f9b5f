/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * FpuState as instructions see it in memory, and the instructions that need more than a stub.
 *
 *   fpu-image.c  FXSAVE, XSAVE and environment images (SDM vol. 1, 8.1.10, 10.5, 13.4)
 *   fpu-ops.c    the instructions that load, store or reset state: FNSTENV .. FXRSTOR, LDMXCSR,
 *                VZEROUPPER; fences, prefetches, cache line flushes
 *   fpu-xsave.c  XSAVE, XSAVEOPT, XSAVEC, XRSTOR
 *   fpu-mask.c   masked moves, gathers and scatters: memory element by element
 */
#ifndef DBT_FPU_H
#define DBT_FPU_H

#include "accel/dbt/dbt.h"

#define FXSAVE_SIZE    512
#define XSAVE_HEADER   512
#define XSAVE_EXTENDED 576 /* where extended components begin */

#define MXCSR_RESET 0x1f80

/* Bits LDMXCSR, FXRSTOR and XRSTOR accept; what this processor has (SDM vol. 1, 11.6.6). */
uint32_t fpu_mxcsr_mask(void);

/* FNINIT (SDM vol. 3, table 9-1); the registers keep their contents. */
void fpu_x87_init(FpuState *fpu);
/* Changes TOP while the registers stay where they are physically:
 * FpuState.st is relative to TOP. */
void fpu_set_top(FpuState *fpu, unsigned top);
/* Sets FCW and FSW as loading them does: reserved bits fixed, ES and B recomputed. */
void fpu_load_control(FpuState *fpu, uint16_t fcw, uint16_t fsw);

/* The x87 part of an FXSAVE image: bytes 0..23 and 32..159. wide: 64-bit FIP and FDP, else with
 * selectors. */
void fpu_store_x87(const FpuState *fpu, uint8_t *image, bool wide);
void fpu_load_x87(FpuState *fpu, const uint8_t *image, bool wide);

/* Layout of FNSTENV and FNSAVE. */
typedef struct EnvFormat {
    bool wide; /* 32-bit fields */
    bool real; /* real-address mode or VM86: linear pointers */
} EnvFormat;
static inline unsigned env_size(EnvFormat format)
{
    return format.wide ? 28 : 14;
}
void fpu_store_env(const FpuState *fpu, uint8_t *image, EnvFormat format);
void fpu_load_env(FpuState *fpu, const uint8_t *image, EnvFormat format);

/* Components that are not in their initial configuration (XINUSE).
 * vecs: 8 or 16 registers count. */
uint64_t fpu_in_use(const CpuState *state, unsigned vecs);
/* One extended component, bits 2 and up: its bytes in an XSAVE area. Size 0: unknown here. */
unsigned fpu_component_size(unsigned component);
/* Those of them that instructions see where vecs registers count. */
unsigned fpu_component_used(unsigned component, unsigned vecs);
void fpu_store_component(const CpuState *state, unsigned component, unsigned vecs, uint8_t *image);
/* image NULL: the initial configuration. */
void fpu_load_component(CpuState *state, unsigned component, unsigned vecs, const uint8_t *image);

/* fpu-xsave.c. DbtInsn.sub is a kind, with XSAVE_WIDE where FIP and FDP have 64 bits. */
enum { XSAVE_PLAIN = 1, XSAVE_OPT = 2, XSAVE_COMPACT = 3, XSAVE_WIDE = 0x80 };
DbtStep fpu_xsave(DbtVcpu *v, const DbtInsn *insn);
DbtStep fpu_xrstor(DbtVcpu *v, const DbtInsn *insn);

/* fpu-mask.c, bound by fpu-ops.c's table. */
DbtStep fpu_maskmovq(DbtVcpu *v, const DbtInsn *insn);
DbtStep fpu_maskmovdqu(DbtVcpu *v, const DbtInsn *insn);
DbtStep fpu_masked_load(DbtVcpu *v, const DbtInsn *insn);
DbtStep fpu_masked_store(DbtVcpu *v, const DbtInsn *insn);
DbtStep fpu_gather(DbtVcpu *v, const DbtInsn *insn);
DbtStep fpu_gather_opmask(DbtVcpu *v, const DbtInsn *insn);
DbtStep fpu_scatter(DbtVcpu *v, const DbtInsn *insn);

/* Elements of a memory operand: bit i of active is element i of size bytes; the others are not there. */
typedef struct FpuElements {
    unsigned count, size;
    uint64_t active;
} FpuElements;

/* false: v->fault is set. Into and out of the element's place in an image of the operand. */
bool fpu_elements_read(DbtVcpu *v, const DbtInsn *insn, uint64_t ea, const FpuElements *e, uint8_t *image);
/* Whether they can be written. */
bool fpu_elements_probe(DbtVcpu *v, const DbtInsn *insn, uint64_t ea, const FpuElements *e);
/* Faults before anything is stored. */
DbtStep fpu_elements_write(DbtVcpu *v, const DbtInsn *insn, uint64_t ea, const FpuElements *e, const uint8_t *image);

#endif
